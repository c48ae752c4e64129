//! Latencies as HdrHistogram logs, for any tool that reads them.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2Serializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;

/// Nanoseconds in the unit of the log's maximum, which by custom is the millisecond.
const MAX_DIVISOR: f64 = 1e6;

/// Writes `DIR/NAME.hlog`: one interval, V2, nanoseconds.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn write(dir: &Path, name: &str, latency: &Histogram<u64>) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let path = dir.join(format!("{}.hlog", name.replace([':', '/', ' '], "-")));
    let mut file = std::fs::File::create(&path).with_context(|| path.display().to_string())?;
    let mut serializer = V2Serializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .with_start_time(SystemTime::now())
        .with_max_value_divisor(MAX_DIVISOR)
        .begin_log_with(&mut file, &mut serializer)?;
    log.write_histogram(latency, Duration::ZERO, Duration::from_secs(1), None)
        .map_err(|error| anyhow::anyhow!("{}: {error:?}", path.display()))
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;

    #[test]
    fn a_log_can_be_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut latency = crate::desk::histogram();
        latency.record_n(5000, 10).unwrap();
        write(dir.path(), "rate:100", &latency).unwrap();
        let text = std::fs::read(dir.path().join("rate-100.hlog")).unwrap();
        let entries: Vec<_> = IntervalLogIterator::new(&text).collect::<Result<_, _>>().unwrap();
        let LogEntry::Interval(interval) = entries.last().unwrap() else { panic!("no interval") };
        assert!(!interval.encoded_histogram().is_empty());
    }
}
