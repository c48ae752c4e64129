//! Lines and what happens when they cannot be written.

use std::path::PathBuf;

use wire::trace::Code;

use super::*;

fn config(format: LogFormat, file: PathBuf) -> schema::Log {
    schema::Log { level: LogLevel::Info, format, file: Some(file) }
}

#[test]
fn both_shapes_carry_the_same_facts() {
    let dir = tempfile::tempdir().unwrap();
    let trace = Trace::new(Level::Warn, Code::OwnPause, &[1500, 30]);
    for (format, expected) in [
        (
            LogFormat::Text,
            "1970-01-01T00:00:01.000000Z warn  node 3 own pause paused_us=1500 timeout_us=30\n",
        ),
        (
            LogFormat::Json,
            "{\"event\":\"own pause\",\"level\":\"warn\",\"node\":3,\"paused_us\":1500,\
             \"time\":\"1970-01-01T00:00:01.000000Z\",\"timeout_us\":30}\n",
        ),
    ] {
        let file = dir.path().join(format!("{format:?}"));
        let mut log = Log::open(&config(format, file.clone()), 3).unwrap();
        log.trace(1_000_000_000, &trace);
        log.trace(1_000_000_000, &Trace::new(Level::Debug, Code::Commit, &[]));
        assert_eq!(std::fs::read_to_string(file).unwrap(), expected);
    }
}

#[test]
fn a_value_cannot_break_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("log");
    let mut log = Log::open(&config(LogFormat::Text, file.clone()), 3).unwrap();
    log.say(Level::Error, "bad", &[("path", Field::Text(&"a b\n\"c\"")), ("n", Field::Text(&"x"))]);
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.ends_with("bad path=\"a b\\n\\\"c\\\"\" n=x\n"), "{text}");
    assert_eq!(text.lines().count(), 1);
}

#[test]
fn a_full_disk_costs_lines_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("log");
    let mut log = Log::open(&config(LogFormat::Text, file.clone()), 3).unwrap();
    log.out = open_out(Some(Path::new("/dev/full"))).unwrap();
    log.say(Level::Info, "one", &[]);
    log.say(Level::Info, "two", &[]);
    assert_eq!(log.lost(), 2);
    log.reopen();
    log.say(Level::Info, "three", &[]);
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains("log lines were lost lines=2") && text.ends_with("three\n"), "{text}");
    assert_eq!(log.lost(), 0);
}

#[test]
fn reopening_follows_a_rotation_and_survives_a_missing_directory() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("log");
    let mut log = Log::open(&config(LogFormat::Text, file.clone()), 3).unwrap();
    let rotated = dir.path().join("log.1");
    std::fs::rename(&file, &rotated).unwrap();
    log.reopen();
    log.say(Level::Info, "after", &[]);
    assert!(std::fs::read_to_string(&file).unwrap().contains("after"));
    log.config.file = Some(dir.path().join("gone/log"));
    log.reopen();
    assert!(std::fs::read_to_string(&file).unwrap().contains("not opened anew"));
}
