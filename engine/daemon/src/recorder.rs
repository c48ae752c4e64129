//! The flight recorder: the last events, in a mapped file of fixed size that survives the process.
//!
//! Version 1, little-endian 64-bit words. The first [`HEADER_WORDS`] are the header: magic,
//! version, words of a record, number of records, node, first half of the boot id, wall time of
//! that boot. Then come the records, eight words each: number (from 1; 0: never written), wall time
//! in nanoseconds since 1970, monotonic time in nanoseconds, `level << 16 | code`, and the four
//! arguments. Record `n` stands at position `(n - 1) % count`. Its number is cleared first and
//! written last, so a record that a crash cut short is not read. The file goes on where the last
//! start ended.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use ring::file::WordFile;
use wire::trace::{Level, Trace};

/// First word of the file.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"SYNBBOX1");

/// Version of the layout.
pub(crate) const VERSION: u64 = 1;

/// Words of the header; a multiple of a record's, so that records do not straddle cache lines.
pub(crate) const HEADER_WORDS: usize = 16;

/// Words of a record: one cache line.
pub(crate) const RECORD_WORDS: usize = 8;

/// Writes events. Owned by the hot thread; an event costs eight stores.
#[derive(Debug)]
pub(crate) struct Recorder {
    file: WordFile,
    records: u64,
    /// Number of the record written last.
    last: u64,
}

impl Recorder {
    /// Opens the recorder's file and goes on after its last record; one of another size or version is made empty.
    ///
    /// # Errors
    /// When there is a file that is no recorder's, or it cannot be made, its blocks cannot be allocated or it cannot
    /// be mapped.
    pub(crate) fn open(
        path: &Path,
        bytes: u64,
        node: u32,
        boot: [u8; 16],
        wall_ns: u64,
    ) -> io::Result<Self> {
        let words = (bytes / 8) as usize;
        let records = (words.saturating_sub(HEADER_WORDS) / RECORD_WORDS).max(1);
        let words = HEADER_WORDS + records * RECORD_WORDS;
        spare_others(path)?;
        let file = WordFile::open(path, words * 8, 0o644)?;
        let mut recorder = Self { file, records: records as u64, last: 0 };
        let same = [MAGIC, VERSION, RECORD_WORDS as u64, records as u64]
            .iter()
            .zip(recorder.file.words())
            .all(|(expected, found)| found.load(Ordering::Relaxed) == *expected);
        if same {
            recorder.last = recorder.newest();
        } else {
            recorder.file.words().iter().for_each(|word| word.store(0, Ordering::Relaxed));
        }
        let boot = u64::from_le_bytes(boot[..8].try_into().unwrap_or_default());
        let header =
            [MAGIC, VERSION, RECORD_WORDS as u64, records as u64, node.into(), boot, wall_ns];
        for (value, word) in header.into_iter().zip(recorder.file.words()) {
            word.store(value, Ordering::Relaxed);
        }
        Ok(recorder)
    }

    /// The highest number among records that stand where their number belongs.
    fn newest(&self) -> u64 {
        let numbers = self.file.words()[HEADER_WORDS..].iter().step_by(RECORD_WORDS);
        numbers
            .zip(0..)
            .map(|(word, position)| (word.load(Ordering::Relaxed), position))
            .filter(|(number, position)| *number > 0 && (number - 1) % self.records == *position)
            .map(|(number, _)| number)
            .max()
            .unwrap_or(0)
    }

    /// Writes one event.
    pub(crate) fn record(&mut self, monotonic_ns: u64, wall_ns: u64, trace: &Trace) {
        // A file that somebody filled with the highest number starts again.
        self.last = self.last.checked_add(1).unwrap_or(1);
        let position = ((self.last - 1) % self.records) as usize;
        let start = HEADER_WORDS + position * RECORD_WORDS;
        let record: &[AtomicU64] = &self.file.words()[start..start + RECORD_WORDS];
        record[0].store(0, Ordering::Relaxed);
        // Nothing below may be seen before the zero above, and the number after all of it.
        fence(Ordering::Release);
        record[1].store(wall_ns, Ordering::Relaxed);
        record[2].store(monotonic_ns, Ordering::Relaxed);
        record[3].store(level_number(trace.level) << 16 | trace.code as u64, Ordering::Relaxed);
        for (word, arg) in record[4..].iter().zip(trace.args) {
            word.store(arg, Ordering::Relaxed);
        }
        record[0].store(self.last, Ordering::Release);
    }
}

/// Refuses a file that holds something else: a path that names the wrong file must not cost what is in it.
fn spare_others(path: &Path) -> io::Result<()> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        // What is no file at all is refused where it is opened.
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    let mut first = Vec::new();
    File::open(path)?.take(8).read_to_end(&mut first)?;
    if first.is_empty() || first == MAGIC.to_le_bytes() || first == [0; 8] {
        return Ok(());
    }
    let what = "the file holds something else than a flight recorder; it stays as it is";
    Err(io::Error::new(io::ErrorKind::InvalidData, what))
}

/// Levels as numbers in the file.
pub(crate) fn level_number(level: Level) -> u64 {
    match level {
        Level::Debug => 0,
        Level::Info => 1,
        Level::Warn => 2,
        Level::Error => 3,
    }
}
