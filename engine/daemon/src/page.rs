//! The counters page: every counter of the engine in a file that anyone may map or read.
//!
//! Version 1, little-endian 64-bit words: magic, version, number of counters, words of a name,
//! first half of the boot id, process id, monotonic time of the last update in nanoseconds, number
//! of updates; from word 16 the names (UTF-8, zero-padded), then the values in the same order.
//! Names are written once; values are stored one by one, so two of them may be from different
//! moments of one update.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

use ring::file::WordFile;

/// First word of the file.
const MAGIC: u64 = u64::from_le_bytes(*b"SYNCNTR1");

/// Version of the layout.
const VERSION: u64 = 1;

/// Words of the header.
const HEADER_WORDS: usize = 16;

/// Words of a name: 64 bytes, enough for `layer.counter`.
const NAME_WORDS: usize = 8;

/// Where the time of the last update stands, and the number of updates.
const UPDATED_NS: usize = 6;
const UPDATES: usize = 7;

/// Writes the page. Owned by the hot thread: an update is one store per counter.
#[derive(Debug)]
pub struct CountersPage {
    file: WordFile,
    count: usize,
    next: usize,
}

impl CountersPage {
    /// Makes the page for counters of these names.
    ///
    /// # Errors
    /// When the file cannot be made, filled or mapped.
    pub fn create(path: &Path, names: &[String], boot: [u8; 16]) -> io::Result<Self> {
        // Readers may have the old file mapped: it stays theirs, as it was.
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let words = HEADER_WORDS + names.len() * (NAME_WORDS + 1);
        let file = WordFile::open(path, words * 8, 0o644)?;
        for (name, place) in names.iter().zip(file.words()[HEADER_WORDS..].chunks(NAME_WORDS)) {
            let mut padded = [0; NAME_WORDS * 8];
            let len = name.len().min(padded.len());
            padded[..len].copy_from_slice(&name.as_bytes()[..len]);
            for (bytes, word) in padded.chunks_exact(8).zip(place) {
                let value = u64::from_le_bytes(bytes.try_into().unwrap_or_default());
                word.store(value, Ordering::Relaxed);
            }
        }
        let boot = u64::from_le_bytes(boot[..8].try_into().unwrap_or_default());
        let header =
            [VERSION, names.len() as u64, NAME_WORDS as u64, boot, std::process::id().into()];
        for (value, word) in header.into_iter().zip(&file.words()[1..]) {
            word.store(value, Ordering::Relaxed);
        }
        // Last: who sees the magic sees the rest.
        file.words()[0].store(MAGIC, Ordering::Release);
        Ok(Self { file, count: names.len(), next: 0 })
    }

    /// Stores the next counter's value; call it once per name, in their order, then [`Self::finish`].
    pub fn put(&mut self, value: u64) {
        if self.next < self.count {
            let at = HEADER_WORDS + self.count * NAME_WORDS + self.next;
            self.file.words()[at].store(value, Ordering::Relaxed);
            self.next += 1;
        }
    }

    /// Ends an update.
    pub fn finish(&mut self, now_ns: u64) {
        self.next = 0;
        let words = self.file.words();
        words[UPDATED_NS].store(now_ns, Ordering::Relaxed);
        words[UPDATES].store(words[UPDATES].load(Ordering::Relaxed) + 1, Ordering::Release);
    }
}

/// What a page says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Process id of the engine that writes or wrote it.
    pub pid: u32,
    /// When it was updated last, monotonic time in nanoseconds.
    pub updated_ns: u64,
    /// Names and values.
    pub values: Vec<(String, u64)>,
}

/// Reads a page; `None` if these bytes are not one.
pub fn parse(bytes: &[u8]) -> Option<Counters> {
    let words: Vec<u64> = bytes
        .chunks_exact(8)
        .map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default()))
        .collect();
    let (header, rest) = words.split_at_checked(HEADER_WORDS)?;
    let [MAGIC, VERSION, count, name_words, _, pid, updated_ns, ..] = *header else { return None };
    let (count, name_words) = (usize::try_from(count).ok()?, usize::try_from(name_words).ok()?);
    let (names, values) = rest.split_at_checked(count.checked_mul(name_words)?)?;
    let name = |words: &[u64]| {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned()
    };
    let values = values.get(..count)?;
    let values = names.chunks(name_words.max(1)).map(name).zip(values.iter().copied()).collect();
    Some(Counters { pid: pid as u32, updated_ns, values })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_find_names_and_values_without_a_header_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("counters");
        let names = ["totem.tokens".to_owned(), "x".repeat(80)];
        let mut page = CountersPage::create(&path, &names, [1; 16]).unwrap();
        page.put(11);
        page.put(12);
        page.put(13);
        page.finish(77);
        page.put(21);
        page.put(22);
        page.finish(78);
        let found = parse(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(found.values, [("totem.tokens".to_owned(), 21), ("x".repeat(64), 22)]);
        assert_eq!((found.updated_ns, found.pid), (78, std::process::id()));
    }

    #[test]
    fn damaged_pages_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("counters");
        CountersPage::create(&path, &["a".to_owned()], [1; 16]).unwrap().finish(1);
        let good = std::fs::read(&path).unwrap();
        assert!(parse(&good).is_some());
        assert_eq!(parse(&good[..good.len() - 1]), None);
        for (at, value) in [(0, 0), (8, 9), (16, u64::MAX), (24, u64::MAX)] {
            let mut bytes = good.clone();
            bytes[at..at + 8].copy_from_slice(&u64::to_le_bytes(value));
            assert_eq!(parse(&bytes), None, "word at {at}");
        }
    }
}
