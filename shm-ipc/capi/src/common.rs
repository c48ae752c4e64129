//! libcorosync_common: errors as text, and errors of other kinds as `cs_error_t`.

use std::ffi::{CStr, c_char};

use crate::error::{
    ACCESS, BAD_HANDLE, CsError, EXIST, INVALID_PARAM, LIBRARY, NAME_TOO_LONG, NO_MEMORY,
    NOT_EXIST, NOT_SUPPORTED, OK, TOO_BIG, TRY_AGAIN,
};

/// What an error is called.
#[unsafe(no_mangle)]
pub extern "C" fn cs_strerror(error: CsError) -> *const c_char {
    text(error).as_ptr()
}

fn text(error: CsError) -> &'static CStr {
    match error {
        1 => c"success",
        2 => c"CS_ERR_LIBRARY",
        3 => c"CS_ERR_VERSION",
        4 => c"CS_ERR_INIT",
        5 => c"CS_ERR_TIMEOUT",
        6 => c"CS_ERR_TRY_AGAIN",
        7 => c"CS_ERR_INVALID_PARAM",
        8 => c"CS_ERR_NO_MEMORY",
        9 => c"CS_ERR_BAD_HANDLE",
        10 => c"CS_ERR_BUSY",
        11 => c"CS_ERR_ACCESS",
        12 => c"CS_ERR_NOT_EXIST",
        13 => c"CS_ERR_NAME_TOO_LONG",
        14 => c"CS_ERR_EXIST",
        15 => c"CS_ERR_NO_SPACE",
        16 => c"CS_ERR_INTERRUPT",
        17 => c"CS_ERR_NAME_NOT_FOUND",
        18 => c"CS_ERR_NO_RESOURCES",
        19 => c"CS_ERR_NOT_SUPPORTED",
        20 => c"CS_ERR_BAD_OPERATION",
        21 => c"CS_ERR_FAILED_OPERATION",
        22 => c"CS_ERR_MESSAGE_ERROR",
        23 => c"CS_ERR_QUEUE_FULL",
        24 => c"CS_ERR_QUEUE_NOT_AVAILABLE",
        25 => c"CS_ERR_BAD_FLAGS",
        26 => c"CS_ERR_TOO_BIG",
        27 => c"CS_ERR_NO_SECTIONS",
        28 => c"CS_ERR_CONTEXT_NOT_FOUND",
        30 => c"CS_ERR_TOO_MANY_GROUPS",
        100 => c"CS_ERR_SECURITY",
        _ => c"unknown error",
    }
}

/// An error of libqb, which is a negative `errno`, as ours.
#[unsafe(no_mangle)]
pub extern "C" fn qb_to_cs_error(result: i32) -> CsError {
    if result >= 0 {
        return OK;
    }
    match result.wrapping_neg() {
        libc::EBADF => BAD_HANDLE,
        libc::ENOMEM => NO_MEMORY,
        libc::ENOMSG | libc::ENOBUFS | libc::ETIMEDOUT | libc::EAGAIN => TRY_AGAIN,
        libc::EBADE => 21,
        libc::ETIME => 5,
        libc::EINVAL => INVALID_PARAM,
        libc::EBUSY => 10,
        libc::EACCES => ACCESS,
        libc::EOVERFLOW => NAME_TOO_LONG,
        libc::EEXIST => EXIST,
        libc::ENOSPC => 15,
        libc::EINTR => 16,
        libc::ENOENT | libc::ENODEV => NOT_EXIST,
        libc::ENOSYS | libc::ENOTSUP => NOT_SUPPORTED,
        libc::EBADMSG => 22,
        libc::EMSGSIZE | libc::E2BIG => TOO_BIG,
        _ => LIBRARY,
    }
}

/// An error of libqb's handle database as ours.
#[unsafe(no_mangle)]
pub extern "C" fn hdb_error_to_cs(result: i32) -> CsError {
    match result.wrapping_neg() {
        0 => OK,
        libc::EBADF => BAD_HANDLE,
        libc::ENOMEM => NO_MEMORY,
        libc::EMFILE => 18,
        libc::EACCES => ACCESS,
        _ => LIBRARY,
    }
}
