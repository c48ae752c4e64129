//! When Pacemaker noticed: its logs, with the time to a millisecond.

use std::fs;
use std::path::Path;

use chrono::{Datelike, NaiveDateTime, Utc};

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    Utc::now().timestamp_millis()
}

/// When a log first says after `from_ms` that a process of a group's member is gone.
pub(crate) fn noticed_ms(log: &Path, from_ms: i64) -> Option<i64> {
    let text = fs::read(log).ok()?;
    let text = String::from_utf8_lossy(&text);
    let lines = text.lines().filter(|line| line.contains(" left via "));
    lines.filter_map(stamp_ms).find(|&at| at >= from_ms)
}

/// The time in front of a line, `Nov 21 14:45:17.816` in UTC.
fn stamp_ms(line: &str) -> Option<i64> {
    let stamp = format!("{} {}", Utc::now().year(), line.get(..19)?);
    let at = NaiveDateTime::parse_from_str(&stamp, "%Y %b %d %H:%M:%S%.3f").ok()?;
    Some(at.and_utc().timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_came_later_counts() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let line = |time: &str, what: &str| {
            format!(
                "Nov 21 {time} n1 pacemaker-based [75] (node_left) \tinfo: Group cib event 3: {what}\n"
            )
        };
        let gone = "n2 (node 2 pid 74) left via cluster exit";
        let text = line("14:45:17.000", gone)
            + &line("14:45:18.000", "n3 (node 3 pid 9) is member")
            + &line("14:45:19.250", gone);
        fs::write(&log, text).unwrap();
        let first = noticed_ms(&log, 0).unwrap();
        assert_eq!(noticed_ms(&log, first + 1), Some(first + 2250));
        assert_eq!(noticed_ms(&log, first + 2251), None);
    }
}
