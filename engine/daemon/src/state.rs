//! What survives a restart: the highest ring number that may have been used, and how long others may act on what
//! this node has shown of itself.
//!
//! A ring id must never repeat (Amir et al. 1995, section 4.1), so the number is stored before it
//! is used; so is a longer time before anything is promised by it. The file has two places of a block each, made
//! and filled once; what is new is written over the place with the lower number and synced. So a full disk does
//! not matter once the file is there, and a crash in the middle of a write harms a place on which nobody relied
//! yet. The time changes seldom, and then in both places, one after the other: the longer of the two counts.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use node::Stored;

/// Name of the file in the state directory.
const FILE: &str = "ring";

/// First word of each place, with the version of the file's format.
const MAGIC: &str = "synchrotron-ring-3";

/// The same where the time that may be owed was not stored yet.
const MAGIC_OF_NUMBERS: &str = "synchrotron-ring-2";

/// Bytes of one place: a block of the usual file systems, so that writing one cannot tear the other.
const PLACE_BYTES: usize = 4096;

/// Places in the file: what stands, and what is being written.
const PLACES: usize = 2;

/// Bytes of a good file.
const FILE_BYTES: usize = PLACE_BYTES * PLACES;

/// Where it is kept.
#[derive(Debug)]
pub(crate) struct State {
    dir: PathBuf,
    file: PathBuf,
    /// What a new file is written to before it is renamed.
    draft: PathBuf,
}

/// How it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// As it was stored.
    Stored,
    /// There is no file: a first start, or somebody removed it.
    Missing,
    /// There is a file that is not as we wrote it.
    Corrupt(String),
}

/// What to start from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Loaded {
    /// What was stored; a number that was not is taken from the clock, a time that was not is zero.
    pub stored: Stored,
    /// Where the number comes from.
    pub found: Found,
}

impl State {
    /// The state in a directory that exists.
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), file: dir.join(FILE), draft: dir.join("ring.new") }
    }

    /// Reads what was stored. Where there is no number that can be believed, it is taken from the wall clock:
    /// milliseconds since 1970. Rings are numbered one by one and take longer than a millisecond each to form, so
    /// this is above every number used before, as long as the clock has not been set back by more than the engine's
    /// whole life.
    ///
    /// # Errors
    /// When the file is there but cannot be read at all (permissions, a broken disk): guessing is not
    /// for the case where the truth is known to somebody.
    pub(crate) fn load(&self, wall_ns: u64) -> io::Result<Loaded> {
        let clock = Stored { ring_seq: wall_ns / 1_000_000, owed_ns: 0 };
        let mut bytes = Vec::new();
        match File::open(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Loaded { stored: clock, found: Found::Missing });
            }
            Err(error) => return Err(error),
            Ok(file) => file.take(FILE_BYTES as u64 + 1).read_to_end(&mut bytes)?,
        };
        let corrupt = |stored, what| Ok(Loaded { stored, found: Found::Corrupt(what) });
        if bytes.len() != FILE_BYTES {
            return corrupt(clock, format!("it has not {FILE_BYTES} bytes"));
        }
        let (first, second) = bytes.split_at(PLACE_BYTES);
        match (parse(first), parse(second)) {
            (Ok(a), Ok(b)) => Ok(Loaded { stored: higher(a, b), found: Found::Stored }),
            // A torn write or a bad block: whether the lost number was used is not known, so it counts.
            (Ok(one), Err(what)) | (Err(what), Ok(one)) => corrupt(higher(one, clock), what),
            (Err(what), Err(_)) => corrupt(clock, what),
        }
    }

    /// Stores both durably: when this returns, they survive a power cut.
    ///
    /// # Errors
    /// When the disk is broken, or full and the file not there yet; the old ones then still stand,
    /// and a time that was to be lowered may.
    pub(crate) fn store(&self, stored: Stored) -> io::Result<()> {
        let opened = OpenOptions::new().read(true).write(true).open(&self.file);
        let file = match opened {
            Ok(file) if file.metadata()?.len() == FILE_BYTES as u64 => file,
            Ok(_) => return self.make(stored),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.make(stored),
            Err(error) => return Err(error),
        };
        let mut place = [0; PLACE_BYTES];
        let mut found = [None; PLACES];
        for (at, found) in found.iter_mut().enumerate() {
            file.read_exact_at(&mut place, (at * PLACE_BYTES) as u64)?;
            *found = parse(&place).ok();
        }
        // A damaged place counts as the lowest: the good one stays until the other is durable.
        let number = |at: usize| found[at].map(|found: Stored| found.ring_seq);
        let lower = usize::from(number(1) < number(0));
        overwrite(&file, lower, stored)?;
        // The other one is good as it is, unless another time stands there.
        if found[1 - lower].is_none_or(|other| other.owed_ns != stored.owed_ns) {
            overwrite(&file, 1 - lower, stored)?;
        }
        Ok(())
    }

    /// Makes the file, with the same in both places: written aside, synced, renamed.
    fn make(&self, stored: Stored) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let draft =
            options.write(true).create(true).truncate(true).mode(0o600).open(&self.draft)?;
        // On a file system that copies on write, overwriting needs room unless this is set; the others
        // refuse it and need nothing.
        let _ = rustix::fs::ioctl_setflags(&draft, rustix::fs::IFlags::NOCOW);
        for at in 0..PLACES {
            overwrite(&draft, at, stored)?;
        }
        draft.sync_all()?;
        fs::rename(&self.draft, &self.file)?;
        File::open(&self.dir)?.sync_all()
    }
}

/// Each of the two as it is where it is higher.
fn higher(a: Stored, b: Stored) -> Stored {
    Stored { ring_seq: a.ring_seq.max(b.ring_seq), owed_ns: a.owed_ns.max(b.owed_ns) }
}

/// Writes over one place, and waits until it is durable.
fn overwrite(file: &File, at: usize, stored: Stored) -> io::Result<()> {
    file.write_all_at(&place(stored), (at * PLACE_BYTES) as u64)?;
    file.sync_data()
}

/// A place's contents: number, time and a checksum, readable by people, and line ends to fill the block.
fn place(stored: Stored) -> [u8; PLACE_BYTES] {
    let Stored { ring_seq, owed_ns } = stored;
    let checksum = checksum(checksum(ring_seq) ^ owed_ns);
    filled(&format!("{MAGIC} {ring_seq} {owed_ns} {checksum:016x}"))
}

/// The same as it was before the time was stored.
fn place_of_number(ring_seq: u64) -> [u8; PLACE_BYTES] {
    filled(&format!("{MAGIC_OF_NUMBERS} {ring_seq} {:016x}", checksum(ring_seq)))
}

fn filled(line: &str) -> [u8; PLACE_BYTES] {
    let mut bytes = [b'\n'; PLACE_BYTES];
    bytes[..line.len()].copy_from_slice(line.as_bytes());
    bytes
}

fn parse(bytes: &[u8]) -> Result<Stored, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
    let mut words = text.split_ascii_whitespace();
    let magic = words.next().filter(|word| [MAGIC, MAGIC_OF_NUMBERS].contains(word));
    let magic = magic.ok_or_else(|| format!("a block does not start with {MAGIC}"))?;
    let mut number = |what| {
        let word = words.next().and_then(|word| word.parse::<u64>().ok());
        word.ok_or_else(|| format!("a block has no {what}"))
    };
    let ring_seq = number("number")?;
    let (stored, expected) = if magic == MAGIC {
        let stored = Stored { ring_seq, owed_ns: number("time")? };
        (stored, place(stored))
    } else {
        (Stored { ring_seq, owed_ns: 0 }, place_of_number(ring_seq))
    };
    if bytes != expected {
        return Err("a block's checksum is wrong".into());
    }
    Ok(stored)
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
