//! The state file under everything that can happen to a file.

use super::*;

/// 2026-01-01 in nanoseconds.
const NOW_NS: u64 = 1_767_225_600_000_000_000;

fn state() -> (tempfile::TempDir, State) {
    let dir = tempfile::tempdir().unwrap();
    let state = State::new(dir.path());
    (dir, state)
}

#[test]
fn what_was_stored_comes_back() {
    let (_dir, state) = state();
    for number in [0, 1, 65, u64::MAX] {
        state.store(number).unwrap();
        let loaded = state.load(NOW_NS).unwrap();
        assert_eq!(loaded, Loaded { ring_seq: number, found: Found::Stored });
    }
}

#[test]
fn a_missing_file_gives_a_number_above_any_used_before() {
    let (_dir, state) = state();
    let loaded = state.load(NOW_NS).unwrap();
    assert_eq!(loaded, Loaded { ring_seq: 1_767_225_600_000, found: Found::Missing });
}

#[test]
fn every_cut_and_every_flipped_bit_is_noticed() {
    let (dir, state) = state();
    let good = line(1234);
    for cut in 0..good.len() {
        fs::write(dir.path().join(FILE), &good[..cut]).unwrap();
        let loaded = state.load(NOW_NS).unwrap();
        assert!(matches!(loaded.found, Found::Corrupt(_)), "cut to {cut} bytes: {loaded:?}");
        assert_eq!(loaded.ring_seq, NOW_NS / 1_000_000);
    }
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone().into_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(dir.path().join(FILE), &bytes).unwrap();
        let loaded = state.load(NOW_NS).unwrap();
        assert!(matches!(loaded.found, Found::Corrupt(_)), "bit {bit}: {loaded:?}");
    }
}

#[test]
fn garbage_and_long_files_are_noticed() {
    let (dir, state) = state();
    for bytes in [vec![0; 4096], vec![0xff; 10], line(5).repeat(100).into_bytes()] {
        fs::write(dir.path().join(FILE), bytes).unwrap();
        assert!(matches!(state.load(NOW_NS).unwrap().found, Found::Corrupt(_)));
    }
}

#[test]
fn a_full_disk_is_an_error_and_leaves_the_old_number() {
    let (_dir, mut state) = state();
    state.store(7).unwrap();
    let draft = std::mem::replace(&mut state.draft, "/dev/full".into());
    let error = state.store(8).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(state.load(NOW_NS).unwrap().ring_seq, 7);
    state.draft = draft;
    state.store(8).unwrap();
    assert_eq!(state.load(NOW_NS).unwrap().ring_seq, 8);
}

#[test]
fn a_directory_in_the_place_of_the_file_is_an_error_not_a_guess() {
    let (dir, state) = state();
    fs::create_dir(dir.path().join(FILE)).unwrap();
    assert!(state.load(NOW_NS).is_err());
}
