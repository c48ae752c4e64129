//! libquorum: whether this part may go on.

use std::ffi::c_void;
use std::sync::Arc;

use services::quorum::{Answer, Notice, Request};
use services::{Answer as Any, Notice as AnyNotice, Request as AnyRequest};

use crate::edge::{guard, put, value_at};
use crate::error::{CsError, INVALID_PARAM, NOT_EXIST, Outcome, STRANGE};
use crate::handles::Table;
use crate::service::{Connection, track};

/// `struct quorum_ring_id`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct QuorumRingId {
    /// The ring's representative.
    pub nodeid: u32,
    /// Its sequence number.
    pub seq: u64,
}

/// `quorum_notification_fn_t`.
pub type NotifyV0 = Option<unsafe extern "C" fn(u64, u32, u64, u32, *mut u32)>;

/// `quorum_v1_quorum_notification_fn_t`.
pub type NotifyV1 = Option<unsafe extern "C" fn(u64, u32, QuorumRingId, u32, *const u32)>;

/// `quorum_v1_nodelist_notification_fn_t`.
pub type NodesV1 = Option<
    unsafe extern "C" fn(u64, QuorumRingId, u32, *const u32, u32, *const u32, u32, *const u32),
>;

/// `quorum_callbacks_t`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct QuorumCallbacks {
    /// Quorum changed.
    pub notify: NotifyV0,
}

/// `quorum_model_v0_data_t`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct QuorumModelV0 {
    /// 0.
    pub model: i32,
    /// Quorum changed.
    pub notify: NotifyV0,
}

/// `quorum_model_v1_data_t`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct QuorumModelV1 {
    /// 1.
    pub model: i32,
    /// Quorum changed.
    pub notify: NotifyV1,
    /// Membership changed.
    pub nodes: NodesV1,
}

#[derive(Clone, Copy)]
enum Model {
    V0(NotifyV0),
    V1(NotifyV1, NodesV1),
}

struct Quorum {
    model: Model,
    connection: Connection<()>,
}

static HANDLES: Table<Quorum> = Table::new();

/// Connects.
#[unsafe(no_mangle)]
pub extern "C" fn quorum_initialize(
    handle: *mut u64,
    callbacks: *const QuorumCallbacks,
    kind: *mut u32,
) -> CsError {
    guard(|| {
        let notify = value_at(callbacks).map_or(None, |callbacks| callbacks.notify);
        open(handle, Model::V0(notify), kind, 0)
    })
}

/// Connects, with callbacks of a model.
#[unsafe(no_mangle)]
pub extern "C" fn quorum_model_initialize(
    handle: *mut u64,
    model: i32,
    data: *const c_void,
    kind: *mut u32,
    context: *mut c_void,
) -> CsError {
    guard(|| {
        let model = match (model, data.is_null()) {
            (0, true) => Model::V0(None),
            (1, true) => Model::V1(None, None),
            (0, false) => Model::V0(value_at(data.cast::<QuorumModelV0>())?.notify),
            (1, false) => {
                let data = value_at(data.cast::<QuorumModelV1>())?;
                Model::V1(data.notify, data.nodes)
            }
            _ => return Err(INVALID_PARAM),
        };
        open(handle, model, kind, context as usize)
    })
}

fn open(handle: *mut u64, model: Model, kind: *mut u32, context: usize) -> Outcome {
    if handle.is_null() || kind.is_null() {
        return Err(INVALID_PARAM);
    }
    let connection = Connection::open(())?;
    let (_, counted) = state(&connection)?;
    connection.set_context(context);
    put(kind, counted.into())?;
    put(handle, HANDLES.insert(Arc::new(Quorum { model, connection })))
}

/// Whether this part may go on, and whether that is counted at all.
fn state(connection: &Connection<()>) -> Outcome<(bool, bool)> {
    match connection.ask(&AnyRequest::Quorum(Request::State))? {
        Any::Quorum(Answer::State { quorate, counted }) => Ok((quorate, counted)),
        _ => Err(STRANGE),
    }
}

/// Disconnects.
#[unsafe(no_mangle)]
pub extern "C" fn quorum_finalize(handle: u64) -> CsError {
    guard(|| {
        HANDLES.remove(handle)?.connection.finalize();
        Ok(())
    })
}

/// The descriptor to poll.
#[unsafe(no_mangle)]
pub extern "C" fn quorum_fd_get(handle: u64, fd: *mut i32) -> CsError {
    guard(|| put(fd, HANDLES.get(handle)?.connection.fd()))
}

/// Whether this part may go on.
#[unsafe(no_mangle)]
pub extern "C" fn quorum_getquorate(handle: u64, quorate: *mut i32) -> CsError {
    guard(|| {
        let (now, _) = state(&HANDLES.get(handle)?.connection)?;
        put(quorate, now.into())
    })
}

/// The program's own word.
#[unsafe(no_mangle)]
pub extern "C" fn quorum_context_get(handle: u64, context: *mut *const c_void) -> CsError {
    guard(|| put(context, HANDLES.get(handle)?.connection.context() as *const c_void))
}

/// Sets the program's own word.
#[unsafe(no_mangle)]
pub extern "C" fn quorum_context_set(handle: u64, context: *const c_void) -> CsError {
    guard(|| {
        HANDLES.get(handle)?.connection.set_context(context as usize);
        Ok(())
    })
}

/// Tracks.
#[unsafe(no_mangle)]
pub extern "C" fn quorum_trackstart(handle: u64, flags: u32) -> CsError {
    guard(|| {
        let request = AnyRequest::Quorum(Request::Track(track(flags)));
        HANDLES.get(handle)?.connection.order(&request)
    })
}

/// Tracks no more.
#[unsafe(no_mangle)]
pub extern "C" fn quorum_trackstop(handle: u64) -> CsError {
    guard(|| {
        let quorum = HANDLES.get(handle)?;
        match quorum.connection.order(&AnyRequest::Quorum(Request::Untrack)) {
            // Whoever did not track is told that all is well, as by Corosync.
            Err(NOT_EXIST) => Ok(()),
            outcome => outcome,
        }
    })
}

/// Calls back for what changed.
#[unsafe(no_mangle)]
pub extern "C" fn quorum_dispatch(handle: u64, flags: i32) -> CsError {
    guard(|| {
        let quorum = HANDLES.get(handle)?;
        quorum.connection.dispatch(flags, &mut |notice| {
            if let AnyNotice::Quorum(notice) = notice {
                call(handle, quorum.model, notice);
            }
        })
    })
}

fn call(handle: u64, model: Model, notice: Notice) {
    let ring_id = |ring: services::Ring| QuorumRingId { nodeid: ring.node, seq: ring.seq };
    match (model, notice) {
        (Model::V0(Some(notify)), Notice::Quorum { quorate, ring, mut members }) => {
            let count = members.len() as u32;
            // SAFETY: the program's own function of this type; the list lives until it returns and is ours to give.
            unsafe { notify(handle, quorate.into(), ring.seq, count, members.as_mut_ptr()) };
        }
        (Model::V1(Some(notify), _), Notice::Quorum { quorate, ring, members }) => {
            let count = members.len() as u32;
            // SAFETY: the program's own function of this type; the list lives until it returns.
            unsafe { notify(handle, quorate.into(), ring_id(ring), count, members.as_ptr()) };
        }
        (Model::V1(_, Some(nodes)), Notice::Nodes { ring, members, joined, left }) => {
            // SAFETY: the program's own function of this type; the lists live until it returns.
            unsafe {
                nodes(
                    handle,
                    ring_id(ring),
                    members.len() as u32,
                    members.as_ptr(),
                    joined.len() as u32,
                    joined.as_ptr(),
                    left.len() as u32,
                    left.as_ptr(),
                );
            }
        }
        _ => {}
    }
}
