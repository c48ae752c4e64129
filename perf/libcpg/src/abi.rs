//! Types and numbers of `cpg.h` and `corotypes.h`.

use std::ffi::{c_char, c_int, c_uint, c_void};

/// `cpg_handle_t`.
pub(crate) type Handle = u64;

/// `CPG_MAX_NAME_LENGTH`.
pub(crate) const NAME_BYTES_MAX: usize = 128;

/// `struct cpg_name`.
#[repr(C)]
pub(crate) struct Name {
    pub(crate) length: u32,
    pub(crate) value: [c_char; NAME_BYTES_MAX],
}

/// `struct cpg_address`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct RawAddress {
    pub(crate) node: u32,
    pub(crate) pid: u32,
    pub(crate) reason: u32,
}

// The types of functions from here on are those of `cpg.h`, parameter by parameter. Being called through them is
// `unsafe` because pointers go both ways; who calls says why they are valid, beside the call.

/// `cpg_deliver_fn_t`: what the library calls with a message.
pub(crate) type Deliver = unsafe extern "C" fn(Handle, *const Name, u32, u32, *mut c_void, usize);

/// `cpg_confchg_fn_t`: what the library calls with the members, those who left and those who joined.
pub(crate) type Confchg = unsafe extern "C" fn(
    Handle,
    *const Name,
    *const RawAddress,
    usize,
    *const RawAddress,
    usize,
    *const RawAddress,
    usize,
);

/// `cpg_callbacks_t`.
#[repr(C)]
pub(crate) struct Callbacks {
    pub(crate) deliver: Deliver,
    pub(crate) confchg: Confchg,
}

/// `cs_error_t`, as far as they are told apart here.
pub(crate) const OK: c_int = 1;
/// Not now.
pub(crate) const TRY_AGAIN: c_int = 6;

/// `CS_DISPATCH_ONE_NONBLOCKING`.
pub(crate) const DISPATCH_ONE_NONBLOCKING: c_int = 4;

/// `CPG_TYPE_AGREED`.
pub(crate) const AGREED: c_int = 2;

/// `cpg_initialize`.
pub(crate) type Initialize = unsafe extern "C" fn(*mut Handle, *mut Callbacks) -> c_int;
/// `cpg_finalize`.
pub(crate) type Finalize = unsafe extern "C" fn(Handle) -> c_int;
/// `cpg_fd_get`.
pub(crate) type FdGet = unsafe extern "C" fn(Handle, *mut c_int) -> c_int;
/// `cpg_join`.
pub(crate) type Join = unsafe extern "C" fn(Handle, *const Name) -> c_int;
/// `cpg_mcast_joined`.
pub(crate) type McastJoined =
    unsafe extern "C" fn(Handle, c_int, *const libc::iovec, c_uint) -> c_int;
/// `cpg_dispatch`.
pub(crate) type Dispatch = unsafe extern "C" fn(Handle, c_int) -> c_int;
/// `cpg_local_get`.
pub(crate) type LocalGet = unsafe extern "C" fn(Handle, *mut c_uint) -> c_int;
