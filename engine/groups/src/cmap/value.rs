//! Values with their types.

use alloc::vec::Vec;

/// A value with its type, one of Corosync's.
#[derive(Clone, Debug, PartialEq)]
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
    /// A string, without a final NUL.
    Text(Vec<u8>),
    /// Any bytes.
    Binary(Vec<u8>),
}

impl Value {
    /// A string.
    pub fn text(text: impl AsRef<str>) -> Self {
        Self::Text(text.as_ref().as_bytes().to_vec())
    }

    /// Bytes of the value.
    pub fn bytes(&self) -> usize {
        match self {
            Self::I8(_) | Self::U8(_) => 1,
            Self::I16(_) | Self::U16(_) => 2,
            Self::I32(_) | Self::U32(_) | Self::F32(_) => 4,
            Self::I64(_) | Self::U64(_) | Self::F64(_) => 8,
            Self::Text(bytes) | Self::Binary(bytes) => bytes.len(),
        }
    }

    /// The sum, wrapping in the value's type; `None` where that is no integer.
    pub(super) fn plus(&self, by: i32) -> Option<Self> {
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
}
