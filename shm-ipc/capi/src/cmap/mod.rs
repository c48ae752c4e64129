//! libcmap: the configuration map.

use std::collections::{HashMap, VecDeque};
use std::ffi::{CString, c_char, c_void};
use std::sync::{Arc, Mutex};

use services::cmap::{Answer, Change, Events, KEY_BYTES, Key, Map, Request, Value, is_key};
use services::{Answer as Any, Notice, Request as AnyRequest};

use crate::edge::{bytes_of, guard, lock, malloc_text, put, slice_at};
use crate::error::{
    BAD_HANDLE, CsError, INVALID_PARAM, NAME_TOO_LONG, NO_SECTIONS, NOT_EXIST, Outcome, STRANGE,
};
use crate::handles::Table;
use crate::service::Connection;

/// `struct cmap_notify_value`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct CmapNotifyValue {
    /// `cmap_value_types_t`.
    pub kind: i32,
    /// Bytes of the value.
    pub len: usize,
    /// The value.
    pub data: *const c_void,
}

/// `cmap_notify_fn_t`.
pub type NotifyFn = unsafe extern "C" fn(
    u64,
    u64,
    i32,
    *const c_char,
    CmapNotifyValue,
    CmapNotifyValue,
    *mut c_void,
);

/// Who is called for a track. The word is the program's, and only handed back.
#[derive(Clone, Copy)]
struct Tracker {
    notify: NotifyFn,
    user: usize,
}

struct Cmap {
    map: Map,
    connection: Connection<HashMap<u64, Tracker>>,
    /// Iterations of this handle.
    iterations: Mutex<HashMap<u64, Iteration>>,
}

struct Iteration {
    prefix: String,
    keys: VecDeque<Key>,
    /// The last key that came.
    after: String,
}

static HANDLES: Table<Cmap> = Table::new();

/// Numbers iterations; never zero.
static NEXT_ITERATION: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);

/// `CMAP_VALUETYPE_STRING`.
const STRING: i32 = 11;

/// Connects to the configuration map.
#[unsafe(no_mangle)]
pub extern "C" fn cmap_initialize(handle: *mut u64) -> CsError {
    guard(|| open(handle, Map::Config))
}

/// Connects to a map.
#[unsafe(no_mangle)]
pub extern "C" fn cmap_initialize_map(handle: *mut u64, map: i32) -> CsError {
    guard(|| match map {
        0 => open(handle, Map::Config),
        1 => open(handle, Map::Stats),
        _ => Err(INVALID_PARAM),
    })
}

fn open(handle: *mut u64, map: Map) -> Outcome {
    if handle.is_null() {
        return Err(INVALID_PARAM);
    }
    let connection = Connection::open(HashMap::new())?;
    let cmap = Cmap { map, connection, iterations: Mutex::new(HashMap::new()) };
    put(handle, HANDLES.insert(Arc::new(cmap)))
}

/// Disconnects.
#[unsafe(no_mangle)]
pub extern "C" fn cmap_finalize(handle: u64) -> CsError {
    guard(|| {
        HANDLES.remove(handle)?.connection.finalize();
        Ok(())
    })
}

/// The descriptor to poll.
#[unsafe(no_mangle)]
pub extern "C" fn cmap_fd_get(handle: u64, fd: *mut i32) -> CsError {
    guard(|| put(fd, HANDLES.get(handle)?.connection.fd()))
}

/// The program's own word.
#[unsafe(no_mangle)]
pub extern "C" fn cmap_context_get(handle: u64, context: *mut *const c_void) -> CsError {
    guard(|| put(context, HANDLES.get(handle)?.connection.context() as *const c_void))
}

/// Sets the program's own word.
#[unsafe(no_mangle)]
pub extern "C" fn cmap_context_set(handle: u64, context: *const c_void) -> CsError {
    guard(|| {
        HANDLES.get(handle)?.connection.set_context(context as usize);
        Ok(())
    })
}

/// Calls back for keys that changed.
#[unsafe(no_mangle)]
pub extern "C" fn cmap_dispatch(handle: u64, flags: i32) -> CsError {
    guard(|| {
        let cmap = HANDLES.get(handle)?;
        cmap.connection.dispatch(flags, &mut |notice| {
            let Notice::Cmap(notice) = notice else { return };
            let tracker = cmap.connection.with(|inner| Ok(inner.state.get(&notice.track).copied()));
            // Untracked meanwhile: nobody wants it any more.
            let Ok(Some(tracker)) = tracker else { return };
            let event = match notice.change {
                Change::Delete => 1,
                Change::Modify => 2,
                Change::Add => 4,
            };
            let Ok(key) = CString::new(notice.key) else { return };
            let (new, old) = (native(notice.new), native(notice.old));
            // SAFETY: the program's own function, which it gave for this; key and values live until it returns.
            unsafe {
                (tracker.notify)(
                    handle,
                    notice.track,
                    event,
                    key.as_ptr(),
                    shown(new.as_ref()),
                    shown(old.as_ref()),
                    tracker.user as *mut c_void,
                );
            }
        })
    })
}

/// A value's type and bytes; words, so that numbers are aligned.
fn native(value: Option<Value>) -> Option<(u8, usize, Vec<u64>)> {
    let value = value?;
    let bytes = value.to_native();
    let words = bytes.chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_ne_bytes(word)
    });
    Some((value.type_code(), bytes.len(), words.collect()))
}

fn shown(value: Option<&(u8, usize, Vec<u64>)>) -> CmapNotifyValue {
    match value {
        Some((kind, len, words)) => {
            CmapNotifyValue { kind: (*kind).into(), len: *len, data: words.as_ptr().cast() }
        }
        None => CmapNotifyValue { kind: 0, len: 0, data: std::ptr::null() },
    }
}

/// A key as the program gave it.
fn key_of(key: *const c_char) -> Outcome<String> {
    let key = bytes_of(key)?;
    if key.len() > *KEY_BYTES.end() {
        return Err(NAME_TOO_LONG);
    }
    String::from_utf8(key.to_vec()).map_err(|_| INVALID_PARAM)
}

/// A key to read: what cannot be one is not there.
fn key_to_read(key: *const c_char) -> Outcome<String> {
    let key = key_of(key)?;
    if is_key(key.as_bytes()) { Ok(key) } else { Err(NOT_EXIST) }
}

/// A key to write: Corosync calls whatever cannot be one too long.
fn key_to_write(key: *const c_char) -> Outcome<String> {
    let key = key_of(key)?;
    if is_key(key.as_bytes()) { Ok(key) } else { Err(NAME_TOO_LONG) }
}

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

/// Begins to go through the keys with a prefix, or all.
#[unsafe(no_mangle)]
pub extern "C" fn cmap_iter_init(
    handle: u64,
    prefix: *const c_char,
    iteration: *mut u64,
) -> CsError {
    guard(|| {
        if iteration.is_null() {
            return Err(INVALID_PARAM);
        }
        let prefix = if prefix.is_null() { String::new() } else { key_of(prefix)? };
        let cmap = HANDLES.get(handle)?;
        let number = NEXT_ITERATION.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut fresh = Iteration { prefix, keys: VecDeque::new(), after: String::new() };
        // Now, so that an engine that cannot answer is known by now.
        fresh.fetch(&cmap)?;
        lock(&cmap.iterations).insert(number, fresh);
        put(iteration, number)
    })
}

impl Iteration {
    /// Gets the next keys.
    fn fetch(&mut self, cmap: &Cmap) -> Outcome {
        let (map, prefix, after) = (cmap.map, self.prefix.clone(), self.after.clone());
        match cmap.connection.ask(&AnyRequest::Cmap(Request::List { map, prefix, after }))? {
            Any::Cmap(Answer::Keys(keys)) => {
                if let Some(last) = keys.last() {
                    self.after = last.name.clone();
                }
                self.keys = keys.into();
                Ok(())
            }
            _ => Err(STRANGE),
        }
    }
}

/// Goes on; `NO_SECTIONS` at the end. `key` has room for 256 bytes.
#[unsafe(no_mangle)]
pub extern "C" fn cmap_iter_next(
    handle: u64,
    iteration: u64,
    key: *mut c_char,
    len: *mut usize,
    kind: *mut i32,
) -> CsError {
    guard(|| {
        if key.is_null() {
            return Err(INVALID_PARAM);
        }
        let cmap = HANDLES.get(handle)?;
        let mut iterations = lock(&cmap.iterations);
        let mine = iterations.get_mut(&iteration).ok_or(crate::error::BAD_HANDLE)?;
        if mine.keys.is_empty() {
            mine.fetch(&cmap)?;
        }
        let next = mine.keys.pop_front().ok_or(NO_SECTIONS)?;
        let name = &next.name.as_bytes()[..next.name.len().min(*KEY_BYTES.end())];
        // SAFETY: not null, and by contract it has room for the longest key and a NUL.
        unsafe {
            key.cast::<u8>().copy_from_nonoverlapping(name.as_ptr(), name.len());
            key.add(name.len()).write(0);
        }
        if !len.is_null() {
            put(len, next.bytes as usize)?;
        }
        if !kind.is_null() {
            put(kind, next.type_code.into())?;
        }
        Ok(())
    })
}

/// Ends.
#[unsafe(no_mangle)]
pub extern "C" fn cmap_iter_finalize(handle: u64, iteration: u64) -> CsError {
    guard(|| {
        let cmap = HANDLES.get(handle)?;
        let ended = lock(&cmap.iterations).remove(&iteration);
        ended.map(drop).ok_or(crate::error::BAD_HANDLE)
    })
}

/// Tracks a key, or all with a prefix.
#[unsafe(no_mangle)]
pub extern "C" fn cmap_track_add(
    handle: u64,
    key: *const c_char,
    kinds: i32,
    notify: Option<NotifyFn>,
    user: *mut c_void,
    track: *mut u64,
) -> CsError {
    guard(|| {
        let (Some(notify), false) = (notify, track.is_null()) else { return Err(INVALID_PARAM) };
        let prefix = kinds & 8 != 0;
        let key = match key.is_null() {
            true if prefix => String::new(),
            _ => key_of(key)?,
        };
        if kinds & !15 != 0 || kinds & 7 == 0 {
            return Err(INVALID_PARAM);
        }
        let events =
            Events { delete: kinds & 1 != 0, modify: kinds & 2 != 0, add: kinds & 4 != 0, prefix };
        let cmap = HANDLES.get(handle)?;
        let map = cmap.map;
        let number = cmap.connection.with(|inner| {
            match inner.ask(&AnyRequest::Cmap(Request::Track { map, key, events }))? {
                Any::Cmap(Answer::Tracking { track }) => {
                    inner.state.insert(track, Tracker { notify, user: user as usize });
                    Ok(track)
                }
                _ => Err(STRANGE),
            }
        })?;
        put(track, number)
    })
}

/// Tracks no more.
#[unsafe(no_mangle)]
pub extern "C" fn cmap_track_delete(handle: u64, track: u64) -> CsError {
    guard(|| {
        let cmap = HANDLES.get(handle)?;
        cmap.connection.with(|inner| {
            inner.state.remove(&track).ok_or(BAD_HANDLE)?;
            inner.ask(&AnyRequest::Cmap(Request::Untrack { track })).map(drop)
        })
    })
}
