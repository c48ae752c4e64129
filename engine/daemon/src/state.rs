//! What survives a restart: the highest ring number that may have been used.
//!
//! A ring id must never repeat (Amir et al. 1995, section 4.1), so the number is stored before it
//! is used. The file has two places of a block each, made and filled once; a number is written over
//! the place that holds the lower one and synced. So a full disk does not matter once the file is
//! there, and a crash in the middle of a write harms a place whose number nobody relied on yet.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Name of the file in the state directory.
const FILE: &str = "ring";

/// First word of each place, with the version of the file's format.
const MAGIC: &str = "synchrotron-ring-2";

/// Bytes of one place: a block of the usual file systems, so that writing one cannot tear the other.
const PLACE_BYTES: usize = 4096;

/// Places in the file: the number that stands, and the one being written.
const PLACES: usize = 2;

/// Bytes of a good file.
const FILE_BYTES: usize = PLACE_BYTES * PLACES;

/// Where the number is kept.
#[derive(Debug)]
pub(crate) struct State {
    dir: PathBuf,
    file: PathBuf,
    /// What a new file is written to before it is renamed.
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
        let clock = wall_ns / 1_000_000;
        let mut bytes = Vec::new();
        match File::open(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Loaded { ring_seq: clock, found: Found::Missing });
            }
            Err(error) => return Err(error),
            Ok(file) => file.take(FILE_BYTES as u64 + 1).read_to_end(&mut bytes)?,
        };
        let corrupt = |ring_seq, what| Ok(Loaded { ring_seq, found: Found::Corrupt(what) });
        if bytes.len() != FILE_BYTES {
            return corrupt(clock, format!("it has not {FILE_BYTES} bytes"));
        }
        let (first, second) = bytes.split_at(PLACE_BYTES);
        match (parse(first), parse(second)) {
            (Ok(a), Ok(b)) => Ok(Loaded { ring_seq: a.max(b), found: Found::Stored }),
            // A torn write or a bad block: whether the lost number was used is not known, so it counts.
            (Ok(one), Err(what)) | (Err(what), Ok(one)) => corrupt(one.max(clock), what),
            (Err(what), Err(_)) => corrupt(clock, what),
        }
    }

    /// Stores the number durably: when this returns, it survives a power cut.
    ///
    /// # Errors
    /// When the disk is broken, or full and the file not there yet; the old number then still stands.
    pub(crate) fn store(&self, ring_seq: u64) -> io::Result<()> {
        let opened = OpenOptions::new().read(true).write(true).open(&self.file);
        let file = match opened {
            Ok(file) if file.metadata()?.len() == FILE_BYTES as u64 => file,
            Ok(_) => return self.make(ring_seq),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.make(ring_seq),
            Err(error) => return Err(error),
        };
        let mut place = [0; PLACE_BYTES];
        let mut numbers = [None; PLACES];
        for (at, number) in numbers.iter_mut().enumerate() {
            file.read_exact_at(&mut place, (at * PLACE_BYTES) as u64)?;
            *number = parse(&place).ok();
        }
        // A damaged place counts as the lowest: the good one stays until the other is durable.
        for (at, _) in numbers.iter().enumerate().filter(|(_, number)| number.is_none()) {
            overwrite(&file, at, ring_seq)?;
        }
        if numbers.iter().all(Option::is_some) {
            overwrite(&file, usize::from(numbers[1] < numbers[0]), ring_seq)?;
        }
        Ok(())
    }

    /// Makes the file, with the number in both places: written aside, synced, renamed.
    fn make(&self, ring_seq: u64) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let draft =
            options.write(true).create(true).truncate(true).mode(0o600).open(&self.draft)?;
        // On a file system that copies on write, overwriting needs room unless this is set; the others
        // refuse it and need nothing.
        let _ = rustix::fs::ioctl_setflags(&draft, rustix::fs::IFlags::NOCOW);
        for at in 0..PLACES {
            overwrite(&draft, at, ring_seq)?;
        }
        draft.sync_all()?;
        fs::rename(&self.draft, &self.file)?;
        File::open(&self.dir)?.sync_all()
    }
}

/// Writes a number over one place, and waits until it is durable.
fn overwrite(file: &File, at: usize, ring_seq: u64) -> io::Result<()> {
    file.write_all_at(&place(ring_seq), (at * PLACE_BYTES) as u64)?;
    file.sync_data()
}

/// A place's contents: the number and a checksum, readable by people, and line ends to fill the block.
fn place(ring_seq: u64) -> [u8; PLACE_BYTES] {
    let mut bytes = [b'\n'; PLACE_BYTES];
    let line = format!("{MAGIC} {ring_seq} {:016x}", checksum(ring_seq));
    bytes[..line.len()].copy_from_slice(line.as_bytes());
    bytes
}

fn parse(bytes: &[u8]) -> Result<u64, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
    let mut words = text.split_ascii_whitespace();
    if words.next() != Some(MAGIC) {
        return Err(format!("a block does not start with {MAGIC}"));
    }
    let number: u64 =
        words.next().and_then(|word| word.parse().ok()).ok_or("a block has no number")?;
    if bytes != place(number) {
        return Err("a block's checksum is wrong".into());
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
