//! The configuration map: typed keys of this node, and its statistics as a second map.

use serde::{Deserialize, Serialize};

/// Shortest and longest key, in bytes.
pub const KEY_BYTES: std::ops::RangeInclusive<usize> = 3..=255;

/// Longest value, in bytes: a question with the longest key still fits one datagram.
pub const VALUE_BYTES_MAX: usize = 32_000;

/// Keys in one answer to [`Request::List`], at most.
pub const LIST_KEYS_MAX: usize = 64;

/// Which map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Map {
    /// Configuration and state.
    Config,
    /// Statistics; read-only but for `stats.clear.*`.
    Stats,
}

/// A value with its type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// `int8`
    I8(i8),
    /// `uint8`
    U8(u8),
    /// `int16`
    I16(i16),
    /// `uint16`
    U16(u16),
    /// `int32`
    I32(i32),
    /// `uint32`
    U32(u32),
    /// `int64`
    I64(i64),
    /// `uint64`
    U64(u64),
    /// `float`
    F32(f32),
    /// `double`
    F64(f64),
    /// A string, without its final NUL; any other bytes.
    Text(Vec<u8>),
    /// Any bytes.
    Binary(Vec<u8>),
}

impl Value {
    /// A string.
    pub fn text(text: impl AsRef<str>) -> Self {
        Self::Text(text.as_ref().as_bytes().to_vec())
    }

    /// The sum, wrapping in the value's type; `None` where that is no integer.
    pub fn plus(&self, by: i32) -> Option<Self> {
        Some(match self {
            Self::I8(value) => Self::I8(value.wrapping_add(by as i8)),
            Self::U8(value) => Self::U8(value.wrapping_add(by as u8)),
            Self::I16(value) => Self::I16(value.wrapping_add(by as i16)),
            Self::U16(value) => Self::U16(value.wrapping_add(by as u16)),
            Self::I32(value) => Self::I32(value.wrapping_add(by)),
            Self::U32(value) => Self::U32(value.wrapping_add(by as u32)),
            Self::I64(value) => Self::I64(value.wrapping_add(by.into())),
            Self::U64(value) => Self::U64(value.wrapping_add_signed(by.into())),
            Self::F32(_) | Self::F64(_) | Self::Text(_) | Self::Binary(_) => return None,
        })
    }

    /// The number of its type, as Corosync numbers them (`CMAP_VALUETYPE_*`).
    pub fn type_code(&self) -> u8 {
        match self {
            Self::I8(_) => 1,
            Self::U8(_) => 2,
            Self::I16(_) => 3,
            Self::U16(_) => 4,
            Self::I32(_) => 5,
            Self::U32(_) => 6,
            Self::I64(_) => 7,
            Self::U64(_) => 8,
            Self::F32(_) => 9,
            Self::F64(_) => 10,
            Self::Text(_) => 11,
            Self::Binary(_) => 12,
        }
    }

    /// Its bytes as programs on this machine hold them; of a string with its final NUL.
    pub fn to_native(&self) -> Vec<u8> {
        match self {
            Self::I8(v) => v.to_ne_bytes().to_vec(),
            Self::U8(v) => v.to_ne_bytes().to_vec(),
            Self::I16(v) => v.to_ne_bytes().to_vec(),
            Self::U16(v) => v.to_ne_bytes().to_vec(),
            Self::I32(v) => v.to_ne_bytes().to_vec(),
            Self::U32(v) => v.to_ne_bytes().to_vec(),
            Self::I64(v) => v.to_ne_bytes().to_vec(),
            Self::U64(v) => v.to_ne_bytes().to_vec(),
            Self::F32(v) => v.to_ne_bytes().to_vec(),
            Self::F64(v) => v.to_ne_bytes().to_vec(),
            Self::Text(v) => [v, &[0][..]].concat(),
            Self::Binary(v) => v.clone(),
        }
    }

    /// The value of this type with these bytes. A number's bytes must be exactly its size; a string ends at its
    /// first NUL, if it has one.
    pub fn from_native(type_code: u8, bytes: &[u8]) -> Option<Self> {
        Some(match type_code {
            1 => Self::I8(i8::from_ne_bytes(bytes.try_into().ok()?)),
            2 => Self::U8(u8::from_ne_bytes(bytes.try_into().ok()?)),
            3 => Self::I16(i16::from_ne_bytes(bytes.try_into().ok()?)),
            4 => Self::U16(u16::from_ne_bytes(bytes.try_into().ok()?)),
            5 => Self::I32(i32::from_ne_bytes(bytes.try_into().ok()?)),
            6 => Self::U32(u32::from_ne_bytes(bytes.try_into().ok()?)),
            7 => Self::I64(i64::from_ne_bytes(bytes.try_into().ok()?)),
            8 => Self::U64(u64::from_ne_bytes(bytes.try_into().ok()?)),
            9 => Self::F32(f32::from_ne_bytes(bytes.try_into().ok()?)),
            10 => Self::F64(f64::from_ne_bytes(bytes.try_into().ok()?)),
            11 => Self::Text(bytes.split(|b| *b == 0).next().unwrap_or_default().to_vec()),
            12 => Self::Binary(bytes.to_vec()),
            _ => return None,
        })
    }

    /// Bytes of a value as [`Value::to_native`] gives them.
    pub fn native_bytes(&self) -> usize {
        match self {
            Self::I8(_) | Self::U8(_) => 1,
            Self::I16(_) | Self::U16(_) => 2,
            Self::I32(_) | Self::U32(_) | Self::F32(_) => 4,
            Self::I64(_) | Self::U64(_) | Self::F64(_) => 8,
            Self::Text(v) => v.len() + 1,
            Self::Binary(v) => v.len(),
        }
    }
}

/// Whether a key has a length and letters that keys may have.
pub fn is_key(key: &[u8]) -> bool {
    KEY_BYTES.contains(&key.len()) && key.iter().all(|b| is_key_byte(*b))
}

/// Whether a key may contain this byte.
pub fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-/:".contains(&byte)
}

/// What somebody wants to be told about a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// It was deleted.
    pub delete: bool,
    /// Its value changed.
    pub modify: bool,
    /// It was made.
    pub add: bool,
    /// All keys that begin so, and not just the one.
    pub prefix: bool,
}

/// A question to the map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Read: [`Answer::Value`], or `NotExist`.
    Get {
        /// Where.
        map: Map,
        /// Which.
        key: String,
    },
    /// Write: `Done`, `Access` on a read-only key.
    Set {
        /// Where.
        map: Map,
        /// Which.
        key: String,
        /// What.
        value: Value,
    },
    /// Remove: `Done`, `NotExist`, `Access`.
    Delete {
        /// Where.
        map: Map,
        /// Which.
        key: String,
    },
    /// Add to a number of an integer type, wrapping: `Done`, `NotExist`, `InvalidParameter` if it is none.
    Adjust {
        /// Where.
        map: Map,
        /// Which.
        key: String,
        /// How much.
        by: i32,
    },
    /// Keys in byte order: [`Answer::Keys`], at most [`LIST_KEYS_MAX`].
    List {
        /// Where.
        map: Map,
        /// Those that begin so.
        prefix: String,
        /// From the first one after this; empty: from the beginning.
        after: String,
    },
    /// Tell me: [`Answer::Tracking`], then [`Notice`]s.
    Track {
        /// Where.
        map: Map,
        /// Which; empty with `events.prefix`: all.
        key: String,
        /// What.
        events: Events,
    },
    /// Do not tell me any more: `Done`, `NotExist`. Of what was said before something may still come.
    Untrack {
        /// Its number.
        track: u64,
    },
}

/// One key of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Its name.
    pub name: String,
    /// Its type's number.
    pub type_code: u8,
    /// Bytes of its value as [`Value::native_bytes`] counts them.
    pub bytes: u32,
}

/// What the map answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// The value.
    Value(Value),
    /// Some keys; empty: there are no more.
    Keys(Vec<Key>),
    /// This is tracked from now on.
    Tracking {
        /// Its number, of this connection.
        track: u64,
    },
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// It was deleted.
    Delete,
    /// Its value changed.
    Modify,
    /// It was made.
    Add,
}

/// A key changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// Whose track this is.
    pub track: u64,
    /// Which key.
    pub key: String,
    /// How.
    pub change: Change,
    /// Its value before, if it had one.
    pub old: Option<Value>,
    /// Its value now, if it has one.
    pub new: Option<Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_type_and_bytes() {
        for value in [
            Value::I8(-1),
            Value::U16(515),
            Value::F64(0.5),
            Value::Text(b"text".to_vec()),
            Value::Binary(vec![0, 1, 0]),
        ] {
            let bytes = value.to_native();
            assert_eq!(bytes.len(), value.native_bytes());
            assert_eq!(Value::from_native(value.type_code(), &bytes), Some(value));
        }
        assert_eq!(Value::from_native(6, &[1, 2, 3]), None);
        assert_eq!(Value::from_native(13, &[1]), None);
        assert_eq!(Value::from_native(11, b"ab\0cd"), Some(Value::Text(b"ab".to_vec())));
    }

    #[test]
    fn keys_have_their_letters_and_lengths() {
        assert!(is_key(b"a.b") && is_key(&[b'x'; 255]) && is_key(b"nodelist.node.0.ring0_addr"));
        assert!(!is_key(b"ab") && !is_key(&[b'x'; 256]) && !is_key(b"a b") && !is_key(b"a\0b"));
    }
}
