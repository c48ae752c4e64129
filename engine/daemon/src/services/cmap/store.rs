//! The configuration map of one node: typed keys that programs read, write and track.
//!
//! [`Map`] is a pure store. The engine writes what it knows into it, programs what they may; whoever tracks a
//! key or a prefix is owed a [`Notice`] with the value before and after. Nothing of it is replicated. The
//! rules are those of Corosync's icmap: 3 to 255 letters from `[A-Za-z0-9._-/:]` in a key; read-only keys and
//! prefixes; setting a value to what it is tells nobody.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use services::cmap::{Change, Events, KEY_BYTES, Notice, Value, is_key_byte};

/// Longest value in bytes: with the longest key it still fits one question of a program, and one notice.
const VALUE_BYTES_MAX: usize = 31_000;

/// Most bytes of keys and values together, 64 bytes counted for each beside its own. A program that
/// writes without end must not use the engine's memory up.
const BYTES_MAX: usize = 16 << 20;

/// Most tracks at a time: some for each of as many programs as may connect.
const TRACKS_MAX: usize = 4096;

/// Most notices that wait; whoever owns the map drains it after every call, and one change owes at most one
/// notice per track.
const NOTICES_CAPACITY: usize = 64;

/// Counted for a key beside its own bytes and its value's: the tree's nodes, lengths, pointers.
const ENTRY_BYTES: usize = 64;

/// Why the map refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    /// Not 3 to 255 letters from the allowed ones.
    #[error("a key has 3 to 255 letters, digits and ._-/:")]
    BadKey,
    /// Programs may not write it.
    #[error("the key is read-only")]
    ReadOnly,
    /// There is no such key (or track).
    #[error("there is no such key")]
    NotExist,
    /// It is no integer.
    #[error("the key's value is not an integer")]
    NotAnInteger,
    /// The value is longer than [`VALUE_BYTES_MAX`].
    #[error("the value has more than {VALUE_BYTES_MAX} bytes")]
    TooLong,
    /// [`BYTES_MAX`] or [`TRACKS_MAX`] is reached.
    #[error("the map is full")]
    Full,
}

/// Who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writer {
    /// The engine: everything.
    Engine,
    /// A program: what is not read-only.
    Program,
}

#[derive(Debug)]
struct Track {
    key: Box<str>,
    events: Events,
}

/// Keys that programs may not write.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ReadOnly {
    /// All that begin so; an empty one: all.
    pub(super) prefixes: &'static [&'static str],
    /// These.
    pub(super) keys: &'static [&'static str],
    /// But these may be written, or made, all the same.
    pub(super) except: &'static [&'static str],
}

impl ReadOnly {
    fn covers(&self, key: &str) -> bool {
        let named =
            self.prefixes.iter().any(|prefix| key.starts_with(prefix)) || self.keys.contains(&key);
        named && !self.except.contains(&key)
    }
}

/// A map. See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Map {
    entries: BTreeMap<Box<str>, Value>,
    bytes: usize,
    read_only: ReadOnly,
    tracks: BTreeMap<u64, Track>,
    next_track: u64,
    notices: VecDeque<Notice>,
}

impl Map {
    /// An empty map.
    pub(super) fn new(read_only: ReadOnly) -> Self {
        let notices = VecDeque::with_capacity(NOTICES_CAPACITY);
        Self { read_only, notices, next_track: 1, ..Self::default() }
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.entries.get(key)
    }

    /// Sets a key, making it if need be.
    ///
    /// # Errors
    /// See [`Error`]; nothing has changed then.
    pub(super) fn set(&mut self, writer: Writer, key: &str, value: Value) -> Result<(), Error> {
        self.check(writer, key)?;
        if value.native_bytes() > VALUE_BYTES_MAX {
            return Err(Error::TooLong);
        }
        let old = self.entries.get(key);
        if old == Some(&value) {
            return Ok(());
        }
        let before = old.map_or(0, |old| cost(key, old));
        let bytes = self.bytes - before + cost(key, &value);
        if bytes > BYTES_MAX && writer == Writer::Program {
            return Err(Error::Full);
        }
        self.bytes = bytes;
        let new = Some(value.clone());
        let old = match self.entries.get_mut(key) {
            Some(entry) => Some(std::mem::replace(entry, value)),
            None => self.entries.insert(key.into(), value),
        };
        let change = if old.is_some() { Change::Modify } else { Change::Add };
        self.tell(key, change, old, new);
        Ok(())
    }

    /// Removes a key.
    ///
    /// # Errors
    /// See [`Error`].
    pub(super) fn delete(&mut self, writer: Writer, key: &str) -> Result<(), Error> {
        self.check(writer, key)?;
        let old = self.entries.remove(key).ok_or(Error::NotExist)?;
        self.bytes -= cost(key, &old);
        self.tell(key, Change::Delete, Some(old), None);
        Ok(())
    }

    /// Adds to an integer, wrapping in its type.
    ///
    /// # Errors
    /// See [`Error`].
    pub(super) fn adjust(&mut self, writer: Writer, key: &str, by: i32) -> Result<(), Error> {
        self.check(writer, key)?;
        let old = self.entries.get(key).ok_or(Error::NotExist)?;
        let new = old.plus(by).ok_or(Error::NotAnInteger)?;
        self.set(writer, key, new)
    }

    /// Makes the keys that begin with one of `prefixes` those of `entries`: others go, these are set. For
    /// what the engine owns.
    pub(super) fn replace(&mut self, prefixes: &[&str], entries: &[(String, Value)]) {
        let mut wanted: Vec<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
        wanted.sort_unstable();
        let mut gone: Vec<Box<str>> = Vec::new();
        for prefix in prefixes {
            let old = self.keys(prefix, "").map(|(key, _)| key);
            gone.extend(old.filter(|key| wanted.binary_search(key).is_err()).map(Box::from));
        }
        for key in gone {
            // It was there a moment ago.
            let _ = self.delete(Writer::Engine, &key);
        }
        for (key, value) in entries {
            // Keys that the engine makes are good ones, but for names that people gave; such a one is left out.
            let _ = self.set(Writer::Engine, key, value.clone());
        }
    }

    /// The keys that begin with `prefix`, in byte order, from the first one after `after`.
    pub(super) fn keys<'m>(
        &'m self,
        prefix: &str,
        after: &str,
    ) -> impl Iterator<Item = (&'m str, &'m Value)> + use<'m> {
        let prefix: Box<str> = prefix.into();
        let from = match after {
            "" => Bound::Included(&*prefix),
            after if after < &*prefix => Bound::Included(&*prefix),
            after => Bound::Excluded(after),
        };
        let range = self.entries.range::<str, _>((from, Bound::Unbounded));
        range
            .map(|(key, value)| (&**key, value))
            .take_while(move |(key, _)| key.starts_with(&*prefix))
    }

    /// Starts a track and gives its number. With `events.prefix` an empty or short key is good too.
    ///
    /// # Errors
    /// See [`Error`].
    pub(super) fn track(&mut self, key: &str, events: Events) -> Result<u64, Error> {
        let letters = key.bytes().all(is_key_byte);
        if !letters || key.len() > *KEY_BYTES.end() || !events.prefix && !is_key(key) {
            return Err(Error::BadKey);
        }
        if self.tracks.len() >= TRACKS_MAX {
            return Err(Error::Full);
        }
        let track = self.next_track;
        self.next_track += 1;
        self.tracks.insert(track, Track { key: key.into(), events });
        Ok(track)
    }

    /// Ends a track; what it was owed so far is forgotten.
    ///
    /// # Errors
    /// [`Error::NotExist`].
    pub(super) fn untrack(&mut self, track: u64) -> Result<(), Error> {
        self.tracks.remove(&track).ok_or(Error::NotExist)?;
        self.notices.retain(|notice| notice.track != track);
        Ok(())
    }

    /// Who is to be told next. Drain it after every call.
    pub(super) fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    fn check(&self, writer: Writer, key: &str) -> Result<(), Error> {
        if !is_key(key) {
            return Err(Error::BadKey);
        }
        if writer == Writer::Program && self.read_only.covers(key) {
            return Err(Error::ReadOnly);
        }
        Ok(())
    }

    fn tell(&mut self, key: &str, change: Change, old: Option<Value>, new: Option<Value>) {
        for (number, track) in &self.tracks {
            let wanted = match change {
                Change::Delete => track.events.delete,
                Change::Modify => track.events.modify,
                Change::Add => track.events.add,
            };
            let meant = match track.events.prefix {
                true => key.starts_with(&*track.key),
                false => *key == *track.key,
            };
            if wanted && meant {
                let (track, key) = (*number, key.to_owned());
                let (old, new) = (old.clone(), new.clone());
                self.notices.push_back(Notice { track, key, change, old, new });
            }
        }
    }
}

/// What a key is counted for.
fn cost(key: &str, value: &Value) -> usize {
    ENTRY_BYTES + key.len() + value.native_bytes()
}

/// Whether a key has a length and letters that keys may have.
pub(super) fn is_key(key: &str) -> bool {
    services::cmap::is_key(key.as_bytes())
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
