//! The edge to C: panics stop here, pointers become references here, a fork is noticed here.

use std::ffi::{CStr, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use crate::error::{CsError, INVALID_PARAM, LIBRARY, OK, Outcome};

/// Where the engine listens unless the environment says otherwise.
const SOCKET: &str = "/run/synchrotron/socket";

/// Environment variable with the path of the engine's socket. Ignored in programs with more rights than who started
/// them.
const SOCKET_VARIABLE: &str = "SYNCHROTRON_SOCKET";

/// How long connecting may take. A live engine answers in well under a millisecond.
pub(crate) const CONNECT: Duration = Duration::from_secs(5);

/// Questions have no time limit, as ever: this is a year. They end when the engine does.
pub(crate) const NO_LIMIT: Duration = Duration::from_secs(365 * 86_400);

/// Runs the body of a C function. A panic, which would be a bug of ours, is `LIBRARY` to the program.
pub(crate) fn guard(body: impl FnOnce() -> Outcome) -> CsError {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => OK,
        Ok(Err(error)) => error,
        Err(_) => LIBRARY,
    }
}

/// Locks, whoever panicked before.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Stores a result where the program wants it; `INVALID_PARAM` for a null pointer.
pub(crate) fn put<T>(to: *mut T, value: T) -> Outcome {
    if to.is_null() {
        return Err(INVALID_PARAM);
    }
    // SAFETY: not null, and by the contract of every C function of these libraries a pointer for a result points to
    // room for one value of its type, aligned and the caller's alone during the call.
    unsafe { to.write(value) };
    Ok(())
}

/// The bytes of a C string, without its NUL; `INVALID_PARAM` for a null pointer.
pub(crate) fn bytes_of<'a>(text: *const c_char) -> Outcome<&'a [u8]> {
    if text.is_null() {
        return Err(INVALID_PARAM);
    }
    // SAFETY: not null, and by contract a NUL-terminated string that stays unchanged during the call; no result of this
    // function outlives the C function that called it.
    Ok(unsafe { CStr::from_ptr(text) }.to_bytes())
}

/// What a pointer from C points to; `INVALID_PARAM` for a null pointer.
pub(crate) fn value_at<T: Copy>(from: *const T) -> Outcome<T> {
    if from.is_null() {
        return Err(INVALID_PARAM);
    }
    // SAFETY: not null, and by contract it points to a value of this type, which is plain C data.
    Ok(unsafe { from.read() })
}

/// `len` values from C; `INVALID_PARAM` for a null pointer with a length, or an impossible length.
pub(crate) fn slice_at<'a, T>(from: *const T, len: usize) -> Outcome<&'a [T]> {
    if len == 0 {
        return Ok(&[]);
    }
    // More than any memory has is a program's mistake, and no slice.
    if from.is_null() || len > isize::MAX as usize / size_of::<T>().max(1) {
        return Err(INVALID_PARAM);
    }
    // SAFETY: not null, of a length that memory can have, and by contract `len` initialised values of this type that
    // stay unchanged during the call.
    Ok(unsafe { std::slice::from_raw_parts(from, len) })
}

/// Copies bytes to memory from `malloc`, with a NUL behind them: programs give it back with `free`.
pub(crate) fn malloc_text(text: &[u8]) -> Outcome<*mut c_char> {
    // SAFETY: any size may be asked for.
    let memory = unsafe { libc::malloc(text.len() + 1) }.cast::<u8>();
    if memory.is_null() {
        return Err(crate::error::NO_MEMORY);
    }
    // SAFETY: `memory` has room for the text and one byte more, and is nobody else's.
    unsafe {
        memory.copy_from_nonoverlapping(text.as_ptr(), text.len());
        memory.add(text.len()).write(0);
    }
    Ok(memory.cast())
}

/// Where the engine listens.
pub(crate) fn socket_path() -> PathBuf {
    // SAFETY: it only looks a number up.
    let more_rights = unsafe { libc::getauxval(libc::AT_SECURE) } != 0;
    let said = if more_rights { None } else { std::env::var_os(SOCKET_VARIABLE) };
    said.filter(|path| !path.is_empty()).map_or(SOCKET.into(), PathBuf::from)
}

/// Counts the forks that led to this process.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Which process this is, counted in forks. A handle of another generation is the parent's: two processes on one ring
/// would garble it, so a child cannot use it (and its end does not end the parent's session).
pub(crate) fn generation() -> u32 {
    static REGISTERED: Once = Once::new();
    extern "C" fn forked() {
        GENERATION.fetch_add(1, Ordering::Relaxed);
    }
    REGISTERED.call_once(|| {
        // SAFETY: the handler only touches an atomic integer, which is safe in a child of many threads. If it cannot be
        // registered (no memory), forks go unnoticed, as with libraries that do not look.
        let _ = unsafe { libc::pthread_atfork(None, None, Some(forked)) };
    });
    GENERATION.load(Ordering::Relaxed)
}
