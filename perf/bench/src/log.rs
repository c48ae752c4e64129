//! Latencies as HdrHistogram logs, for any tool that reads them.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{
    IntervalLogIterator, IntervalLogWriterBuilder, LogEntry,
};
use hdrhistogram::serialization::{Deserializer, V2Serializer};

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

/// Reads a log back, all its intervals together.
///
/// # Errors
/// When it cannot be read or is none.
pub(crate) fn read(path: &Path) -> anyhow::Result<Histogram<u64>> {
    let text = std::fs::read(path).with_context(|| path.display().to_string())?;
    let mut sum = crate::desk::histogram();
    for entry in IntervalLogIterator::new(&text) {
        match entry {
            Ok(LogEntry::Interval(interval)) => add(&mut sum, interval.encoded_histogram())
                .with_context(|| path.display().to_string())?,
            Ok(_) => {}
            Err(error) => bail!("{}: {error:?}", path.display()),
        }
    }
    Ok(sum)
}

/// Adds a histogram in V2 encoding and base64.
///
/// # Errors
/// When it is none.
pub(crate) fn add(sum: &mut Histogram<u64>, encoded: &str) -> anyhow::Result<()> {
    let bytes = STANDARD.decode(encoded).context("latencies")?;
    let part: Histogram<u64> = Deserializer::new()
        .deserialize(&mut bytes.as_slice())
        .map_err(|error| anyhow::anyhow!("latencies: {error:?}"))?;
    sum.add(&part).map_err(|error| anyhow::anyhow!("latencies: {error:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_can_be_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut latency = crate::desk::histogram();
        latency.record_n(5000, 10).unwrap();
        write(dir.path(), "rate:100", &latency).unwrap();
        let file = dir.path().join("rate-100.hlog");
        assert_eq!(read(&file).unwrap(), latency);
        std::fs::write(&file, "no log").unwrap();
        assert!(read(&file).is_err());
        assert!(read(&dir.path().join("nothing")).is_err());
    }
}
