//! Reads the flight recorder's file, while the engine runs or after it died.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use wire::trace::Code;

use crate::clock::wall_text;
use crate::names;
use crate::recorder::{HEADER_WORDS, MAGIC, RECORD_WORDS, VERSION};

/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 31;

/// What a recorder's file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blackbox {
    /// The node whose engine writes or wrote it.
    pub node: u32,
    /// First half of the boot id of its last start.
    pub boot: u64,
    /// When that start was, nanoseconds since 1970.
    pub started_wall_ns: u64,
    /// Events, oldest first.
    pub events: Vec<Entry>,
}

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the file's whole life.
    pub number: u64,
    /// When it was, nanoseconds since 1970.
    pub wall_ns: u64,
    /// When it was on the machine's monotonic clock.
    pub monotonic_ns: u64,
    /// 0 debug, 1 info, 2 warn, 3 error.
    pub level: u8,
    /// Number of the event (`wire::trace::Code`).
    pub code: u16,
    /// Its evidence.
    pub args: [u64; 4],
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BlackboxError {
    /// The file cannot be opened or read.
    #[error("{}: {source}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
    /// It is no recorder's file, or of a version that is not known here.
    #[error("{}: is not a flight recorder of version {VERSION}: {what}", .file.display())]
    Foreign {
        /// The file.
        file: PathBuf,
        /// What does not fit.
        what: String,
    },
}

/// Reads a file. Records that a crash or a running engine left half written are left out.
///
/// # Errors
/// See [`BlackboxError`].
pub fn read(path: &Path) -> Result<Blackbox, BlackboxError> {
    let unreadable = |source| BlackboxError::Unreadable { file: path.to_owned(), source };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > FILE_BYTES_MAX {
        let what = format!("{size} bytes are more than any has");
        return Err(BlackboxError::Foreign { file: path.to_owned(), what });
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    parse(&bytes).map_err(|what| BlackboxError::Foreign { file: path.to_owned(), what })
}

/// Reads a file's contents; the error says what does not fit.
///
/// # Errors
/// When the header is not a recorder's.
pub fn parse(bytes: &[u8]) -> Result<Blackbox, String> {
    let words: Vec<u64> = bytes
        .chunks_exact(8)
        .map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default()))
        .collect();
    let Some((header, rest)) = words.split_at_checked(HEADER_WORDS) else {
        return Err(format!("{} bytes are less than a header", bytes.len()));
    };
    if header[0] != MAGIC {
        return Err("the first word is another".into());
    }
    if header[1] != VERSION || header[2] != RECORD_WORDS as u64 {
        return Err(format!("it has version {} and records of {} words", header[1], header[2]));
    }
    let count = rest.len() / RECORD_WORDS;
    if header[3] != count as u64 {
        return Err(format!("{count} records, but the header says {}", header[3]));
    }
    let mut events: Vec<Entry> = rest
        .chunks_exact(RECORD_WORDS)
        .zip(0..)
        .filter_map(|(r, at)| entry(r, at, count))
        .collect();
    events.sort_by_key(|event| event.number);
    Ok(Blackbox { node: header[4] as u32, boot: header[5], started_wall_ns: header[6], events })
}

fn entry(record: &[u64], position: u64, count: usize) -> Option<Entry> {
    let number = record[0];
    if number == 0 || (number - 1) % count as u64 != position {
        return None;
    }
    Some(Entry {
        number,
        wall_ns: record[1],
        monotonic_ns: record[2],
        level: (record[3] >> 16) as u8,
        code: record[3] as u16,
        args: [record[4], record[5], record[6], record[7]],
    })
}

impl Entry {
    /// `debug`, `info`, `warn` or `error`.
    pub fn level_text(&self) -> &'static str {
        match self.level {
            0 => "debug",
            1 => "info",
            2 => "warn",
            _ => "error",
        }
    }

    /// The event's name; codes of newer engines have none here.
    pub fn text(&self) -> &'static str {
        Code::from_number(self.code).map_or("unknown event", Code::text)
    }

    /// Names and values of the arguments that mean something.
    pub fn named_args(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        const NAMES: [&str; 4] = ["arg0", "arg1", "arg2", "arg3"];
        let names = Code::from_number(self.code).map_or(&NAMES[..], Code::arg_names);
        names.iter().copied().zip(self.args)
    }
}

impl Entry {
    /// What an argument's number means, if it is more than a number.
    pub fn arg_text(&self, name: &str, value: u64) -> Option<&'static str> {
        names::arg_text(Code::from_number(self.code)?, name, value)
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:<5} {}", wall_text(self.wall_ns), self.level_text(), self.text())?;
        self.named_args().try_for_each(|(name, value)| match self.arg_text(name, value) {
            Some(text) => write!(f, " {name}={text:?}"),
            None => write!(f, " {name}={value}"),
        })
    }
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("number", &self.number)?;
        map.serialize_entry("time", &wall_text(self.wall_ns))?;
        map.serialize_entry("monotonic_ns", &self.monotonic_ns)?;
        map.serialize_entry("level", self.level_text())?;
        map.serialize_entry("event", self.text())?;
        for (name, value) in self.named_args() {
            match self.arg_text(name, value) {
                Some(text) => map.serialize_entry(name, text)?,
                None => map.serialize_entry(name, &value)?,
            }
        }
        map.end()
    }
}

#[cfg(test)]
#[path = "blackbox_tests.rs"]
mod tests;
