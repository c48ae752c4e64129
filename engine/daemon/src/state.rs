//! What survives a restart: the highest ring number that may have been used.
//!
//! A ring id must never repeat (Amir et al. 1995, section 4.1), so the number is stored before it
//! is used: written to a new file, synced, renamed over the old one, and the directory synced. A
//! crash leaves the old or the new number, never half of one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Name of the file in the state directory.
const FILE: &str = "ring";

/// First word of the file, with the version of its format.
const MAGIC: &str = "synchrotron-ring-1";

/// Most bytes a good file has; more are not read.
const FILE_BYTES_MAX: u64 = 256;

/// Where the number is kept.
#[derive(Debug)]
pub(crate) struct State {
    dir: PathBuf,
    file: PathBuf,
    /// What is written first and renamed then.
    draft: PathBuf,
}

/// How the stored number was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// As it was stored.
    Stored,
    /// There is no file: a first start, or somebody removed it.
    Missing,
    /// There is a file that is not as we wrote it.
    Corrupt(String),
}

/// The number to start from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Loaded {
    /// No ring with a number up to this one may be formed any more.
    pub ring_seq: u64,
    /// Where it comes from. If it was not stored it was taken from the clock.
    pub found: Found,
}

impl State {
    /// The state in a directory that exists.
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), file: dir.join(FILE), draft: dir.join("ring.new") }
    }

    /// Reads the number. Where there is none that can be believed, it is taken from the wall clock:
    /// milliseconds since
    /// 1970. Rings are numbered one by one and take longer than a millisecond each to form, so this
    ///       is above every number used before, as long as the clock has not been set back by more
    ///       than the engine's whole life.
    ///
    /// # Errors
    /// When the file is there but cannot be read at all (permissions, a broken disk): guessing is not
    /// for the case where the truth is known to somebody.
    pub(crate) fn load(&self, wall_ns: u64) -> io::Result<Loaded> {
        let mut text = Vec::new();
        let found = match File::open(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Missing,
            Err(error) => return Err(error),
            Ok(file) => {
                file.take(FILE_BYTES_MAX).read_to_end(&mut text)?;
                match parse(&text) {
                    Ok(ring_seq) => return Ok(Loaded { ring_seq, found: Found::Stored }),
                    Err(what) => Found::Corrupt(what),
                }
            }
        };
        Ok(Loaded { ring_seq: wall_ns / 1_000_000, found })
    }

    /// Stores the number durably: when this returns, it survives a power cut.
    ///
    /// # Errors
    /// When the disk is full or broken; the old number then still stands.
    pub(crate) fn store(&self, ring_seq: u64) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut draft =
            options.write(true).create(true).truncate(true).mode(0o600).open(&self.draft)?;
        draft.write_all(line(ring_seq).as_bytes())?;
        draft.sync_all()?;
        fs::rename(&self.draft, &self.file)?;
        File::open(&self.dir)?.sync_all()
    }
}

/// The file's contents: the number and a checksum, readable by people.
fn line(ring_seq: u64) -> String {
    format!("{MAGIC} {ring_seq} {:016x}\n", checksum(ring_seq))
}

fn parse(bytes: &[u8]) -> Result<u64, String> {
    if bytes.is_empty() {
        return Err("it is empty".into());
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
    let mut words = text.split_ascii_whitespace();
    if words.next() != Some(MAGIC) {
        return Err(format!("it does not start with {MAGIC}"));
    }
    let number: u64 = words.next().and_then(|word| word.parse().ok()).ok_or("it has no number")?;
    let check = words.next().and_then(|word| u64::from_str_radix(word, 16).ok());
    if check != Some(checksum(number)) || text != line(number) {
        return Err("its checksum is wrong".into());
    }
    Ok(number)
}

/// A mixing of the bits (splitmix64's finaliser): finds torn and edited numbers, not forgers.
fn checksum(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
