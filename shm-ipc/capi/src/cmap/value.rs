//! Reading and writing keys.

use std::ffi::{c_char, c_void};

use services::cmap::{Answer, Request, Value};
use services::{Answer as Any, Request as AnyRequest};

use super::{HANDLES, key_of, key_to_read, key_to_write};
use crate::edge::{bytes_of, guard, malloc_text, put, slice_at};
use crate::error::{CsError, INVALID_PARAM, Outcome, STRANGE};

/// `CMAP_VALUETYPE_STRING`.
const STRING: i32 = 11;

/// Writes.
#[unsafe(no_mangle)]
pub extern "C" fn cmap_set(
    handle: u64,
    key: *const c_char,
    value: *const c_void,
    len: usize,
    kind: i32,
) -> CsError {
    guard(|| {
        if value.is_null() {
            return Err(INVALID_PARAM);
        }
        set(handle, key, slice_at(value.cast::<u8>(), len)?, kind)
    })
}

fn set(handle: u64, key: *const c_char, bytes: &[u8], kind: i32) -> Outcome {
    let key = key_to_write(key)?;
    let cmap = HANDLES.get(handle)?;
    let kind = u8::try_from(kind).map_err(|_| INVALID_PARAM)?;
    let value = Value::from_native(kind, bytes).ok_or(INVALID_PARAM)?;
    cmap.connection.order(&AnyRequest::Cmap(Request::Set { map: cmap.map, key, value }))
}

/// Reads. Without room for the value only its length and type are told.
#[unsafe(no_mangle)]
pub extern "C" fn cmap_get(
    handle: u64,
    key: *const c_char,
    value: *mut c_void,
    len: *mut usize,
    kind: *mut i32,
) -> CsError {
    guard(|| {
        if !value.is_null() && len.is_null() {
            return Err(INVALID_PARAM);
        }
        let found = get(handle, key_to_read(key)?)?;
        let bytes = found.to_native();
        if !value.is_null() {
            // SAFETY: not null (looked at above), and by contract a length that the program set.
            let room = unsafe { len.read() };
            if room < bytes.len() {
                return Err(INVALID_PARAM);
            }
            // SAFETY: by contract `value` has room for that many bytes.
            unsafe { value.cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        }
        if !len.is_null() {
            put(len, bytes.len())?;
        }
        if !kind.is_null() {
            put(kind, found.type_code().into())?;
        }
        Ok(())
    })
}

fn get(handle: u64, key: String) -> Outcome<Value> {
    let cmap = HANDLES.get(handle)?;
    match cmap.connection.ask(&AnyRequest::Cmap(Request::Get { map: cmap.map, key }))? {
        Any::Cmap(Answer::Value(value)) => Ok(value),
        _ => Err(STRANGE),
    }
}

macro_rules! numbers {
    ($($variant:ident $type:ty: $set:ident $get:ident;)*) => {$(
        /// Writes a number of this type.
        #[unsafe(no_mangle)]
        pub extern "C" fn $set(handle: u64, key: *const c_char, value: $type) -> CsError {
            guard(|| {
                let value = Value::$variant(value);
                set(handle, key, &value.to_native(), value.type_code().into())
            })
        }

        /// Reads a number of this type; `INVALID_PARAM` if the key has another.
        #[unsafe(no_mangle)]
        pub extern "C" fn $get(handle: u64, key: *const c_char, value: *mut $type) -> CsError {
            guard(|| match get(handle, key_to_read(key)?)? {
                Value::$variant(found) => put(value, found),
                _ => Err(INVALID_PARAM),
            })
        }
    )*};
}

numbers! {
    I8 i8: cmap_set_int8 cmap_get_int8;
    U8 u8: cmap_set_uint8 cmap_get_uint8;
    I16 i16: cmap_set_int16 cmap_get_int16;
    U16 u16: cmap_set_uint16 cmap_get_uint16;
    I32 i32: cmap_set_int32 cmap_get_int32;
    U32 u32: cmap_set_uint32 cmap_get_uint32;
    I64 i64: cmap_set_int64 cmap_get_int64;
    U64 u64: cmap_set_uint64 cmap_get_uint64;
    F32 f32: cmap_set_float cmap_get_float;
    F64 f64: cmap_set_double cmap_get_double;
}

/// Writes a string.
#[unsafe(no_mangle)]
pub extern "C" fn cmap_set_string(
    handle: u64,
    key: *const c_char,
    value: *const c_char,
) -> CsError {
    guard(|| set(handle, key, bytes_of(value)?, STRING))
}

/// Reads a string into memory that the program frees.
#[unsafe(no_mangle)]
pub extern "C" fn cmap_get_string(
    handle: u64,
    key: *const c_char,
    value: *mut *mut c_char,
) -> CsError {
    guard(|| {
        if value.is_null() {
            return Err(INVALID_PARAM);
        }
        match get(handle, key_to_read(key)?)? {
            Value::Text(text) => put(value, malloc_text(&text)?),
            _ => Err(INVALID_PARAM),
        }
    })
}

/// Removes.
#[unsafe(no_mangle)]
pub extern "C" fn cmap_delete(handle: u64, key: *const c_char) -> CsError {
    guard(|| {
        let key = key_of(key)?;
        let cmap = HANDLES.get(handle)?;
        cmap.connection.order(&AnyRequest::Cmap(Request::Delete { map: cmap.map, key }))
    })
}

/// Adds one.
#[unsafe(no_mangle)]
pub extern "C" fn cmap_inc(handle: u64, key: *const c_char) -> CsError {
    guard(|| adjust(handle, key, 1))
}

/// Takes one off.
#[unsafe(no_mangle)]
pub extern "C" fn cmap_dec(handle: u64, key: *const c_char) -> CsError {
    guard(|| adjust(handle, key, -1))
}

fn adjust(handle: u64, key: *const c_char, by: i32) -> Outcome {
    let key = key_of(key)?;
    let cmap = HANDLES.get(handle)?;
    cmap.connection.order(&AnyRequest::Cmap(Request::Adjust { map: cmap.map, key, by }))
}
