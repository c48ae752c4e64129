//! Keys that are watched.

use std::ffi::{CString, c_char, c_void};

use services::cmap::{Answer, Change, Events, Request, Value};
use services::{Answer as Any, Notice, Request as AnyRequest};

use super::{HANDLES, key_of};
use crate::edge::{guard, put};
use crate::error::{BAD_HANDLE, CsError, INVALID_PARAM, STRANGE};

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
pub(super) struct Tracker {
    notify: NotifyFn,
    user: usize,
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
