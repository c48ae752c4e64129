//! A member of one group.

use std::cell::Cell;
use std::ffi::{c_int, c_uint, c_void};
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::Arc;

use crate::Library;
use crate::abi::{self, Handle, Name, RawAddress};

/// A process of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Its node.
    pub node: u32,
    /// Its process id there.
    pub pid: u32,
}

/// What receives.
pub trait Sink {
    /// A message was delivered.
    fn message(&mut self, from: Address, bytes: &[u8]);

    /// The group's members changed.
    fn view(&mut self, members: &[Address]);
}

/// A call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{call} returned {code} (cs_error_t)")]
pub struct CpgError {
    /// Which.
    pub call: &'static str,
    /// What it returned.
    pub code: c_int,
}

thread_local! {
    /// Who receives what `cpg_dispatch`, running on this thread, delivers; null while it does not run.
    static RECEIVER: Cell<*mut c_void> = const { Cell::new(std::ptr::null_mut()) };
}

/// A connection to the engine of this node. It stays on the thread that made it: the library finds the engine
/// through that thread's namespaces, and is not made to be called from several at a time.
pub struct Cpg {
    library: Arc<Library>,
    /// Open from `connect` until `drop`, which alone closes it.
    handle: Handle,
    _stays: std::marker::PhantomData<*const ()>,
}

impl Cpg {
    /// Connects.
    ///
    /// # Errors
    /// When no engine answers.
    pub fn connect(library: &Arc<Library>) -> Result<Self, CpgError> {
        let mut handle = 0;
        let mut callbacks = abi::Callbacks { deliver, confchg };
        // SAFETY: both pointers are valid for the call; the library copies the callbacks.
        let code = unsafe { (library.initialize)(&raw mut handle, &raw mut callbacks) };
        check("cpg_initialize", code)?;
        Ok(Self { library: library.clone(), handle, _stays: std::marker::PhantomData })
    }

    /// Joins a group; `false`: not now, try again.
    ///
    /// # Errors
    /// When the engine refuses, or the name is longer than 128 bytes (then as code 0).
    pub fn join(&mut self, name: &[u8]) -> Result<bool, CpgError> {
        if name.len() > abi::NAME_BYTES_MAX {
            return Err(CpgError { call: "cpg_join", code: 0 });
        }
        let mut raw = Name { length: name.len() as u32, value: [0; abi::NAME_BYTES_MAX] };
        for (to, from) in raw.value.iter_mut().zip(name) {
            *to = from.cast_signed();
        }
        // SAFETY: the handle is open and the name valid for the call.
        let code = unsafe { (self.library.join)(self.handle, &raw const raw) };
        done("cpg_join", code)
    }

    /// The number of this node.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub fn node(&self) -> Result<u32, CpgError> {
        let mut node: c_uint = 0;
        // SAFETY: the handle is open and the pointer valid for the call.
        let code = unsafe { (self.library.local_get)(self.handle, &raw mut node) };
        check("cpg_local_get", code)?;
        Ok(node)
    }

    /// Sends a message to the group; `false`: no room now, try again.
    ///
    /// # Errors
    /// When the engine refuses or is gone.
    pub fn send(&mut self, bytes: &[u8]) -> Result<bool, CpgError> {
        let part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        let send = self.library.mcast_joined;
        // SAFETY: the handle is open as long as `self`, which closes it when dropped. The library reads the one part
        // and its bytes during the call and never writes: `part` is a local and `bytes` is borrowed until it returns.
        let code = unsafe { send(self.handle, abi::AGREED, &raw const part, 1) };
        done("cpg_mcast_joined", code)
    }

    /// Takes one event, if there is one; whether there was.
    ///
    /// # Errors
    /// When the engine is gone.
    pub fn dispatch(&mut self, mut sink: &mut dyn Sink) -> Result<bool, CpgError> {
        let before = RECEIVER.replace((&raw mut sink).cast());
        // SAFETY: the handle is open. The callbacks run on this thread during this call only, while RECEIVER
        // points to `sink`, which this function holds.
        let code = unsafe { (self.library.dispatch)(self.handle, abi::DISPATCH_ONE_NONBLOCKING) };
        RECEIVER.set(before);
        done("cpg_dispatch", code)
    }

    /// A descriptor that is readable when there is something to take.
    ///
    /// # Errors
    /// When the connection is over.
    pub fn as_fd(&self) -> Result<BorrowedFd<'_>, CpgError> {
        let mut fd: RawFd = -1;
        // SAFETY: the handle is open and the pointer valid for the call.
        let code = unsafe { (self.library.fd_get)(self.handle, &raw mut fd) };
        check("cpg_fd_get", code)?;
        // SAFETY: the descriptor belongs to the connection and stays open as long as it, which is borrowed.
        Ok(unsafe { BorrowedFd::borrow_raw(fd) })
    }
}

impl Drop for Cpg {
    fn drop(&mut self) {
        // SAFETY: the handle is open and not used after this. An engine that is gone is told nothing.
        unsafe { (self.library.finalize)(self.handle) };
    }
}

fn check(call: &'static str, code: c_int) -> Result<(), CpgError> {
    if code == abi::OK { Ok(()) } else { Err(CpgError { call, code }) }
}

fn done(call: &'static str, code: c_int) -> Result<bool, CpgError> {
    if code == abi::TRY_AGAIN { Ok(false) } else { check(call, code).map(|()| true) }
}

/// Gives the receiver of this thread to `then`, if there is one.
fn with_receiver(then: impl FnOnce(&mut dyn Sink)) {
    let receiver = RECEIVER.get().cast::<&mut dyn Sink>();
    // SAFETY: RECEIVER is null or points to the `sink` of the `dispatch` that runs on this thread now; nobody
    // else uses it during a callback, and the library does not call back from within a callback.
    if let Some(sink) = unsafe { receiver.as_mut() } {
        then(*sink);
    }
}

/// # Safety
/// `message` points to `len` bytes that stay as they are until this returns; `cpg_dispatch` sees to it. Called by the
/// library only, with what [`abi::Deliver`] says.
unsafe extern "C" fn deliver(
    _: Handle,
    _: *const Name,
    node: u32,
    pid: u32,
    message: *mut c_void,
    len: usize,
) {
    let bytes = if len == 0 {
        &[][..]
    } else {
        // SAFETY: the caller vouches for `len` readable bytes that stay as they are until we return; the slice does not
        // outlive this call, since `Sink::message` gets it for the call only.
        unsafe { std::slice::from_raw_parts(message.cast::<u8>(), len) }
    };
    with_receiver(|sink| sink.message(Address { node, pid }, bytes));
}

/// # Safety
/// `members` points to `count` addresses that stay as they are until this returns; `cpg_dispatch` sees to it. Called
/// by the library only, with what [`abi::Confchg`] says.
unsafe extern "C" fn confchg(
    _: Handle,
    _: *const Name,
    members: *const RawAddress,
    count: usize,
    _: *const RawAddress,
    _: usize,
    _: *const RawAddress,
    _: usize,
) {
    let members = if count == 0 {
        &[][..]
    } else {
        // SAFETY: the caller vouches for `count` addresses that stay as they are until we return; they are copied
        // before anything else happens.
        unsafe { std::slice::from_raw_parts(members, count) }
    };
    let members: Vec<Address> =
        members.iter().map(|raw| Address { node: raw.node, pid: raw.pid }).collect();
    with_receiver(|sink| sink.view(&members));
}
