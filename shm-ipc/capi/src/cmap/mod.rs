//! libcmap: the configuration map.

mod iteration;
mod track;
mod value;

use std::collections::HashMap;
use std::ffi::{c_char, c_void};
use std::sync::{Arc, Mutex};

use services::cmap::{KEY_BYTES, Map, is_key};

pub use iteration::{cmap_iter_finalize, cmap_iter_init, cmap_iter_next};
pub use track::{CmapNotifyValue, NotifyFn, cmap_dispatch, cmap_track_add, cmap_track_delete};
pub use value::{
    cmap_dec, cmap_delete, cmap_get, cmap_get_double, cmap_get_float, cmap_get_int8,
    cmap_get_int16, cmap_get_int32, cmap_get_int64, cmap_get_string, cmap_get_uint8,
    cmap_get_uint16, cmap_get_uint32, cmap_get_uint64, cmap_inc, cmap_set, cmap_set_double,
    cmap_set_float, cmap_set_int8, cmap_set_int16, cmap_set_int32, cmap_set_int64, cmap_set_string,
    cmap_set_uint8, cmap_set_uint16, cmap_set_uint32, cmap_set_uint64,
};

use crate::edge::{bytes_of, guard, put};
use crate::error::{CsError, INVALID_PARAM, NAME_TOO_LONG, NOT_EXIST, Outcome};
use crate::handles::Table;
use crate::service::Connection;
use iteration::Iteration;
use track::Tracker;

struct Cmap {
    map: Map,
    connection: Connection<HashMap<u64, Tracker>>,
    /// Iterations of this handle.
    iterations: Mutex<HashMap<u64, Iteration>>,
}

static HANDLES: Table<Cmap> = Table::new();

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
