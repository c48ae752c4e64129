//! The state file under everything that can happen to a file.

use super::*;

/// 2026-01-01 in nanoseconds.
const NOW_NS: u64 = 1_767_225_600_000_000_000;

/// The same in the unit of numbers taken from the clock.
const NOW_MS: u64 = NOW_NS / 1_000_000;

fn state() -> (tempfile::TempDir, State) {
    let dir = tempfile::tempdir().unwrap();
    let state = State::new(dir.path());
    (dir, state)
}

/// A time that may be owed.
const OWED_NS: u64 = 6_300_000_000;

fn stored(ring_seq: u64) -> Stored {
    Stored { ring_seq, owed_ns: OWED_NS }
}

/// What a file with these numbers in its places holds.
fn file_of(numbers: [u64; PLACES]) -> Vec<u8> {
    numbers.map(|ring_seq| place(stored(ring_seq))).concat()
}

#[test]
fn what_was_stored_comes_back() {
    let (_dir, state) = state();
    for number in [0, 1, 65, 66, u64::MAX] {
        for owed_ns in [0, OWED_NS, u64::MAX] {
            let stored = Stored { ring_seq: number, owed_ns };
            state.store(stored).unwrap();
            assert_eq!(state.load(NOW_NS).unwrap(), Loaded { stored, found: Found::Stored });
        }
    }
}

#[test]
fn another_time_is_written_to_both_places_and_the_longer_one_counts() {
    let (dir, state) = state();
    let file = dir.path().join(FILE);
    state.store(stored(64)).unwrap();
    for owed_ns in [9 * OWED_NS, OWED_NS / 9] {
        let changed = Stored { ring_seq: 64, owed_ns };
        let before = fs::read(&file).unwrap();
        state.store(changed).unwrap();
        assert_eq!(fs::read(&file).unwrap(), [place(changed); PLACES].concat());
        // A crash after the first place.
        let mut half = before;
        half[..PLACE_BYTES].copy_from_slice(&place(changed));
        let longer = parse(&half[PLACE_BYTES..]).unwrap().owed_ns.max(owed_ns);
        fs::write(&file, half).unwrap();
        let stored = Stored { ring_seq: 64, owed_ns: longer };
        assert_eq!(state.load(NOW_NS).unwrap(), Loaded { stored, found: Found::Stored });
        state.store(changed).unwrap();
        assert_eq!(fs::read(&file).unwrap(), [place(changed); PLACES].concat());
    }
}

#[test]
fn a_file_from_before_the_time_was_stored_is_read_and_becomes_a_new_one() {
    let (dir, state) = state();
    let file = dir.path().join(FILE);
    let old = "synchrotron-ring-2 128 abf42acc138fedbe";
    let golden = [filled(old), place_of_number(64)].concat();
    assert!(place_of_number(128) == filled(old));
    fs::write(&file, golden).unwrap();
    let expected = Stored { ring_seq: 128, owed_ns: 0 };
    let loaded = state.load(NOW_NS).unwrap();
    assert_eq!(loaded, Loaded { stored: expected, found: Found::Stored });
    state.store(stored(192)).unwrap();
    assert_eq!(fs::read(&file).unwrap(), file_of([192, 192]));
}

#[test]
fn a_number_is_written_over_the_lower_one_and_the_file_stays_the_same_file() {
    use std::os::unix::fs::MetadataExt;
    let (dir, state) = state();
    let file = dir.path().join(FILE);
    state.store(stored(64)).unwrap();
    assert_eq!(fs::read(&file).unwrap(), file_of([64, 64]));
    let inode = fs::metadata(&file).unwrap().ino();
    for (number, expected) in [(128, [128, 64]), (192, [128, 192]), (256, [256, 192])] {
        state.store(stored(number)).unwrap();
        assert_eq!(fs::read(&file).unwrap(), file_of(expected));
    }
    assert_eq!(fs::metadata(&file).unwrap().ino(), inode);
}

#[test]
fn a_missing_file_gives_a_number_above_any_used_before() {
    let (_dir, state) = state();
    let loaded = state.load(NOW_NS).unwrap();
    let stored = Stored { ring_seq: NOW_MS, owed_ns: 0 };
    assert_eq!(loaded, Loaded { stored, found: Found::Missing });
}

#[test]
fn every_cut_and_every_flipped_bit_is_noticed() {
    let (dir, state) = state();
    let good = file_of([1234, 1200]);
    for cut in [0, 1, 40, PLACE_BYTES - 1, PLACE_BYTES, PLACE_BYTES + 60, FILE_BYTES - 1] {
        fs::write(dir.path().join(FILE), &good[..cut]).unwrap();
        let loaded = state.load(NOW_NS).unwrap();
        assert!(matches!(loaded.found, Found::Corrupt(_)), "cut to {cut} bytes: {loaded:?}");
        assert_eq!(loaded.stored.ring_seq, NOW_MS);
    }
    let line_bits = 70 * 8;
    for bit in (0..line_bits).chain(PLACE_BYTES * 8..PLACE_BYTES * 8 + line_bits) {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(dir.path().join(FILE), &bytes).unwrap();
        let loaded = state.load(NOW_NS).unwrap();
        assert!(matches!(loaded.found, Found::Corrupt(_)), "bit {bit}: {loaded:?}");
        assert_eq!(loaded.stored.ring_seq, NOW_MS);
    }
}

#[test]
fn a_damaged_place_never_lowers_the_number_and_is_mended_by_the_next() {
    let (dir, state) = state();
    let file = dir.path().join(FILE);
    let above_the_clock = NOW_MS + 5;
    for damaged in [[true, false], [false, true], [true, true]] {
        let mut bytes = file_of([above_the_clock; PLACES]);
        for at in (0..PLACES).filter(|at| damaged[*at]) {
            bytes[at * PLACE_BYTES + 3] = 0;
        }
        fs::write(&file, bytes).unwrap();
        let loaded = state.load(NOW_NS).unwrap();
        assert!(matches!(loaded.found, Found::Corrupt(_)));
        let left = if damaged == [true, true] { NOW_MS } else { above_the_clock };
        assert_eq!(loaded.stored.ring_seq, left);
        state.store(stored(above_the_clock + 64)).unwrap();
        let expected = Loaded { stored: stored(above_the_clock + 64), found: Found::Stored };
        assert_eq!(state.load(NOW_NS).unwrap(), expected);
    }
}

#[test]
fn garbage_and_long_files_are_noticed_and_replaced() {
    let (dir, state) = state();
    let long = file_of([5, 5]).repeat(2);
    for bytes in [vec![0; 4096], vec![0; FILE_BYTES], vec![0xff; 10], long] {
        fs::write(dir.path().join(FILE), bytes).unwrap();
        assert!(matches!(state.load(NOW_NS).unwrap().found, Found::Corrupt(_)));
        state.store(stored(9)).unwrap();
        assert_eq!(fs::read(dir.path().join(FILE)).unwrap(), file_of([9, 9]));
    }
}

#[test]
fn a_full_disk_is_an_error_only_before_the_file_is_there() {
    let (_dir, mut state) = state();
    let draft = std::mem::replace(&mut state.draft, "/dev/full".into());
    let error = state.store(stored(8)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(state.load(NOW_NS).unwrap().found, Found::Missing);
    let full = std::mem::replace(&mut state.draft, draft);
    state.store(stored(8)).unwrap();
    state.draft = full;
    state.store(stored(9)).unwrap();
    assert_eq!(state.load(NOW_NS).unwrap().stored.ring_seq, 9);
}

#[test]
fn a_directory_in_the_place_of_the_file_is_an_error_not_a_guess() {
    let (dir, state) = state();
    fs::create_dir(dir.path().join(FILE)).unwrap();
    assert!(state.load(NOW_NS).is_err());
}
