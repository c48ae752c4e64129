//! Going through the keys.

use std::collections::VecDeque;
use std::ffi::c_char;

use services::cmap::{Answer, KEY_BYTES, Key, Request};
use services::{Answer as Any, Request as AnyRequest};

use super::{Cmap, HANDLES, key_of};
use crate::edge::{guard, lock, put};
use crate::error::{CsError, INVALID_PARAM, NO_SECTIONS, Outcome, STRANGE};

/// Numbers iterations; never zero.
static NEXT_ITERATION: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);

pub(super) struct Iteration {
    prefix: String,
    keys: VecDeque<Key>,
    /// The last key that came.
    after: String,
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
