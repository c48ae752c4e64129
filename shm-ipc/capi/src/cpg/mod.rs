//! libcpg: closed process groups.

mod instance;
mod iteration;
mod types;

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub use iteration::{cpg_iteration_finalize, cpg_iteration_initialize, cpg_iteration_next};
pub use types::{
    ConfchgFn, CpgAddress, CpgCallbacks, CpgIterationDescription, CpgModelV1, CpgName, CpgRingId,
    DeliverFn, NAME_BYTES_MAX, TotemConfchgFn,
};

use crate::edge::{generation, guard, put, slice_at, value_at};
use crate::error::{BAD_HANDLE, CsError, INVALID_PARAM, LIBRARY, NO_MEMORY, Outcome, STRANGE};
use crate::handles::Table;
use crate::service::{Dispatch, LOOK, wait_for};
use instance::{Buffer, Callback, Instance, Look};
use types::{INITIAL_TOTEM_CONF, NO_CALLBACKS};

static HANDLES: Table<Instance> = Table::new();

/// The only model: `CPG_MODEL_V1`.
const MODEL_V1: i32 = 1;

/// `CPG_TYPE_SAFE`.
const TYPE_SAFE: i32 = 3;

/// Connects.
#[unsafe(no_mangle)]
pub extern "C" fn cpg_initialize(handle: *mut u64, callbacks: *const CpgCallbacks) -> CsError {
    guard(|| {
        let mut model = NO_CALLBACKS;
        if let Ok(callbacks) = value_at(callbacks) {
            (model.deliver, model.confchg) = (callbacks.deliver, callbacks.confchg);
        }
        open(handle, model, 0)
    })
}

/// Connects, with callbacks of a model.
#[unsafe(no_mangle)]
pub extern "C" fn cpg_model_initialize(
    handle: *mut u64,
    model: i32,
    data: *const CpgModelV1,
    context: *mut c_void,
) -> CsError {
    guard(|| {
        if model != MODEL_V1 {
            return Err(INVALID_PARAM);
        }
        let model = if data.is_null() { NO_CALLBACKS } else { value_at(data)? };
        if model.flags & !INITIAL_TOTEM_CONF != 0 {
            return Err(INVALID_PARAM);
        }
        open(handle, model, context as usize)
    })
}

fn open(handle: *mut u64, model: CpgModelV1, context: usize) -> Outcome {
    if handle.is_null() {
        return Err(INVALID_PARAM);
    }
    let instance = Instance::open(model, context)?;
    put(handle, HANDLES.insert(Arc::new(instance)))
}

/// Leaves and disconnects.
#[unsafe(no_mangle)]
pub extern "C" fn cpg_finalize(handle: u64) -> CsError {
    guard(|| {
        HANDLES.remove(handle)?.finalize();
        Ok(())
    })
}

/// The descriptor to poll.
#[unsafe(no_mangle)]
pub extern "C" fn cpg_fd_get(handle: u64, fd: *mut i32) -> CsError {
    guard(|| put(fd, HANDLES.get(handle)?.fd))
}

/// Largest message that is sent in one go.
#[unsafe(no_mangle)]
pub extern "C" fn cpg_max_atomic_msgsize_get(handle: u64, size: *mut u32) -> CsError {
    guard(|| put(size, HANDLES.get(handle)?.atomic_bytes_max()))
}

/// The program's own word.
#[unsafe(no_mangle)]
pub extern "C" fn cpg_context_get(handle: u64, context: *mut *mut c_void) -> CsError {
    guard(|| {
        let word = HANDLES.get(handle)?.context.load(Ordering::Relaxed);
        put(context, word as *mut c_void)
    })
}

/// Sets the program's own word.
#[unsafe(no_mangle)]
pub extern "C" fn cpg_context_set(handle: u64, context: *mut c_void) -> CsError {
    guard(|| {
        HANDLES.get(handle)?.context.store(context as usize, Ordering::Relaxed);
        Ok(())
    })
}

/// Calls back for what has come.
#[unsafe(no_mangle)]
pub extern "C" fn cpg_dispatch(handle: u64, flags: i32) -> CsError {
    guard(|| {
        let instance = HANDLES.get(handle)?;
        let dispatch = Dispatch::from_code(flags)?;
        let process = generation();
        let mut buffer = Buffer::default();
        // A ring that turns out to be for nothing ends a `CS_DISPATCH_ONE`: who polled first must not be kept.
        let mut rung = dispatch == Dispatch::One && instance.is_rung();
        loop {
            match instance.look(&mut buffer, rung) {
                Look::Call(callback) => {
                    call(handle, &instance, &callback, &mut buffer);
                    // Also in a child that the program made in its callback: the session is its parent's.
                    if instance.finalized.load(Ordering::Acquire) || process != generation() {
                        return Err(BAD_HANDLE);
                    }
                    if dispatch.is_one() {
                        instance.settle();
                        return Ok(());
                    }
                }
                Look::Over => return Err(LIBRARY),
                Look::Spurious => return Ok(()),
                Look::Nothing => {
                    if let Some(outcome) = dispatch.when_idle() {
                        return outcome;
                    }
                    if instance.finalized.load(Ordering::Acquire) {
                        return Ok(());
                    }
                    wait_for(instance.fd, LOOK);
                    rung = false;
                }
            }
        }
    })
}

/// Calls back, with nothing locked.
fn call(handle: u64, instance: &Instance, callback: &Callback, buffer: &mut Buffer) {
    match callback {
        Callback::Deliver { group, node, pid, len } => {
            let Some(deliver) = instance.callbacks.deliver else { return };
            let name = CpgName::new(group);
            // SAFETY: the program's own function of this type; name and message live until it returns.
            unsafe { deliver(handle, &raw const name, *node, *pid, buffer.as_mut_ptr(), *len) };
        }
        Callback::Confchg { group, members, left, joined } => {
            let Some(confchg) = instance.callbacks.confchg else { return };
            let name = CpgName::new(group);
            // SAFETY: the program's own function of this type; name and lists live until it returns.
            unsafe {
                confchg(
                    handle,
                    &raw const name,
                    members.as_ptr(),
                    members.len(),
                    left.as_ptr(),
                    left.len(),
                    joined.as_ptr(),
                    joined.len(),
                );
            }
        }
        Callback::Totem { node, seq, members } => {
            let Some(totem) = instance.callbacks.totem_confchg else { return };
            let ring = CpgRingId { nodeid: *node, seq: *seq };
            // SAFETY: the program's own function of this type; the list lives until it returns.
            unsafe { totem(handle, ring, members.len() as u32, members.as_ptr()) };
        }
    }
}

/// Joins a group.
#[unsafe(no_mangle)]
pub extern "C" fn cpg_join(handle: u64, group: *const CpgName) -> CsError {
    guard(|| {
        let name = CpgName::read(group)?;
        HANDLES.get(handle)?.join(&name)
    })
}

/// Leaves the group of this handle. The name must be one, but need not be that group's.
#[unsafe(no_mangle)]
pub extern "C" fn cpg_leave(handle: u64, group: *const CpgName) -> CsError {
    guard(|| {
        CpgName::read(group)?;
        HANDLES.get(handle)?.leave()
    })
}

/// Sends to the group of this handle.
#[unsafe(no_mangle)]
pub extern "C" fn cpg_mcast_joined(
    handle: u64,
    guarantee: i32,
    iovec: *const libc::iovec,
    count: u32,
) -> CsError {
    guard(|| {
        let instance = HANDLES.get(handle)?;
        let iovec = slice_at(iovec, count as usize)?;
        let mut parts = Vec::with_capacity(iovec.len());
        for part in iovec {
            parts.push(slice_at(part.iov_base.cast_const().cast::<u8>(), part.iov_len)?);
        }
        instance.publish(&parts, guarantee == TYPE_SAFE)
    })
}

/// Members of any group.
#[unsafe(no_mangle)]
pub extern "C" fn cpg_membership_get(
    handle: u64,
    group: *const CpgName,
    members: *mut CpgAddress,
    count: *mut i32,
) -> CsError {
    guard(|| {
        let name = CpgName::read(group)?;
        if members.is_null() || count.is_null() {
            return Err(INVALID_PARAM);
        }
        let instance = HANDLES.get(handle)?;
        let services::cpg::Answer::Groups(groups) = instance.ask(services::cpg::Request::Groups)?
        else {
            return Err(STRANGE);
        };
        let found = groups.iter().find(|group| group.name == name);
        let found = found.map_or(&[][..], |group| &group.members);
        // The program has room for `CPG_MEMBERS_MAX`, so says the contract.
        let found = &found[..found.len().min(MEMBERS_MAX)];
        for (at, member) in found.iter().enumerate() {
            let address = CpgAddress { nodeid: member.node, pid: member.pid, reason: 0 };
            // SAFETY: not null, and within the array of `CPG_MEMBERS_MAX` that the program gave.
            unsafe { members.add(at).write(address) };
        }
        put(count, found.len() as i32)
    })
}

/// `CPG_MEMBERS_MAX`: room in the arrays of programs.
const MEMBERS_MAX: usize = 128;

/// This node's id.
#[unsafe(no_mangle)]
pub extern "C" fn cpg_local_get(handle: u64, node: *mut u32) -> CsError {
    guard(|| {
        let instance = HANDLES.get(handle)?;
        // Programs probe with this whether the engine lives.
        instance.ask(services::cpg::Request::Flow)?;
        put(node, instance.node)
    })
}

/// Whether to wait before sending more: 1, or not: 0.
#[unsafe(no_mangle)]
pub extern "C" fn cpg_flow_control_state_get(handle: u64, state: *mut i32) -> CsError {
    guard(|| put(state, HANDLES.get(handle)?.is_congested().into()))
}

/// Memory for a message.
#[unsafe(no_mangle)]
pub extern "C" fn cpg_zcb_alloc(handle: u64, size: usize, buffer: *mut *mut c_void) -> CsError {
    guard(|| {
        HANDLES.get(handle)?;
        // SAFETY: any size may be asked for.
        let memory = unsafe { libc::malloc(size.max(1)) };
        if memory.is_null() {
            return Err(NO_MEMORY);
        }
        put(buffer, memory).inspect_err(|_| {
            // SAFETY: from `malloc` just now, and nobody has it.
            unsafe { libc::free(memory) };
        })
    })
}

/// Gives it back.
#[unsafe(no_mangle)]
pub extern "C" fn cpg_zcb_free(handle: u64, buffer: *mut c_void) -> CsError {
    guard(|| {
        HANDLES.get(handle)?;
        // SAFETY: null, or by contract from `cpg_zcb_alloc` and not given back yet.
        unsafe { libc::free(buffer) };
        Ok(())
    })
}

/// Sends what is in such memory.
#[unsafe(no_mangle)]
pub extern "C" fn cpg_zcb_mcast_joined(
    handle: u64,
    guarantee: i32,
    message: *mut c_void,
    len: usize,
) -> CsError {
    guard(|| {
        let instance = HANDLES.get(handle)?;
        let part = slice_at(message.cast_const().cast::<u8>(), len)?;
        instance.publish(&[part], guarantee == TYPE_SAFE)
    })
}
