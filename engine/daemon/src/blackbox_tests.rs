//! Recorder and reader together.

use wire::trace::{Level, Trace};

use super::*;
use crate::recorder::Recorder;

fn event(n: u64) -> Trace {
    Trace::new(Level::Warn, Code::Gather, &[n, 2, 3, 4])
}

fn open(path: &Path, bytes: u64) -> Recorder {
    Recorder::open(path, bytes, 5, [7; 16], 99).unwrap()
}

#[test]
fn events_come_back_in_order_across_wraps_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("box");
    let bytes = (HEADER_WORDS * 8 + 10 * 64) as u64;
    let mut recorder = open(&path, bytes);
    (1..=7).for_each(|n| recorder.record(n, 1000 + n, &event(n)));
    let found = read(&path).unwrap();
    assert_eq!((found.node, found.started_wall_ns, found.events.len()), (5, 99, 7));
    drop(recorder);
    let mut recorder = open(&path, bytes);
    (8..=23).for_each(|n| recorder.record(n, 1000 + n, &event(n)));
    let numbers: Vec<u64> = read(&path).unwrap().events.iter().map(|e| e.args[0]).collect();
    assert_eq!(numbers, (14..=23).collect::<Vec<_>>());
    let last = read(&path).unwrap().events[9];
    assert_eq!((last.number, last.wall_ns, last.monotonic_ns), (23, 1023, 23));
    assert_eq!(
        last.to_string(),
        "1970-01-01T00:00:00.000001Z warn  gather cause=23 peer=2 timer=3 last_seen_us=4"
    );
}

#[test]
fn another_size_starts_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("box");
    open(&path, 65536).record(1, 1, &event(1));
    open(&path, 131_072).record(2, 2, &event(2));
    let events = read(&path).unwrap().events;
    assert_eq!(events.iter().map(|e| e.number).collect::<Vec<_>>(), [1]);
    assert_eq!(events[0].args[0], 2);
}

#[test]
fn half_written_and_displaced_records_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("box");
    let mut recorder = open(&path, 65536);
    (1..=3).for_each(|n| recorder.record(n, n, &event(n)));
    let mut bytes = std::fs::read(&path).unwrap();
    let at = |record: usize| HEADER_WORDS * 8 + record * 64;
    bytes[at(1)..at(1) + 8].fill(0);
    bytes[at(2)] = 77;
    let numbers: Vec<_> = parse(&bytes).unwrap().events.iter().map(|e| e.number).collect();
    assert_eq!(numbers, [1]);
}

#[test]
fn foreign_files_are_refused_and_garbage_never_panics() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("box");
    assert!(read(&path).unwrap_err().to_string().contains("No such file"));
    std::fs::write(&path, [1; 500]).unwrap();
    let said = read(&path).unwrap_err().to_string();
    assert!(said.ends_with("is not a flight recorder of version 1: the first word is another"));
    let kept = Recorder::open(&path, 65536, 5, [7; 16], 99).unwrap_err();
    assert_eq!(kept.kind(), io::ErrorKind::InvalidData);
    assert_eq!(std::fs::read(&path).unwrap(), [1; 500], "what somebody else wrote is spared");
    std::fs::remove_file(&path).unwrap();
    drop(open(&path, 65536));
    let good = std::fs::read(&path).unwrap();
    for cut in [0, 7, 100, 128, 1000] {
        assert!(parse(&good[..cut]).is_err(), "{cut}");
    }
    // A reader meets whatever an old disk or another version left: unknown codes and levels included.
    let mut odd = good;
    odd[HEADER_WORDS * 8..].fill(0xee);
    odd[HEADER_WORDS * 8..][..8].copy_from_slice(&1_u64.to_le_bytes());
    let event = parse(&odd).unwrap().events[0];
    assert!(event.to_string().contains("unknown event arg0="));
    assert_eq!(serde_json::to_value(event).unwrap()["level"], "error");
}
