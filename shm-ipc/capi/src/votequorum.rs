//! libvotequorum: the votes behind quorum.

use std::ffi::{c_char, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use services::votequorum::{
    Answer, Info, Notice, QDEVICE_EXTRA_BYTES_MAX, QDEVICE_NAME_BYTES_MAX, Request,
};
use services::{Answer as Any, Notice as AnyNotice, Request as AnyRequest, Ring};

use crate::edge::{bytes_of, guard, put, slice_at, value_at};
use crate::error::{CsError, INVALID_PARAM, NAME_NOT_FOUND, NOT_EXIST, Outcome, STRANGE};
use crate::handles::Table;
use crate::service::{Connection, track};

/// `struct votequorum_info`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct VotequorumInfo {
    /// Its id.
    pub node_id: u32,
    /// `VOTEQUORUM_NODESTATE_*`.
    pub node_state: u32,
    /// Its votes.
    pub node_votes: u32,
    /// The votes it expects.
    pub node_expected_votes: u32,
    /// The most that any node expects.
    pub highest_expected: u32,
    /// The votes of all members.
    pub total_votes: u32,
    /// The votes needed.
    pub quorum: u32,
    /// `VOTEQUORUM_INFO_*`.
    pub flags: u32,
    /// Votes of its quorum device.
    pub qdevice_votes: u32,
    /// Name of its quorum device.
    pub qdevice_name: [c_char; QDEVICE_NAME_BYTES_MAX + 1],
}

/// `votequorum_node_t`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct VotequorumNode {
    /// Its id.
    pub nodeid: u32,
    /// `VOTEQUORUM_NODESTATE_*`.
    pub state: u32,
}

/// `votequorum_ring_id_t`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct VotequorumRingId {
    /// The ring's representative.
    pub nodeid: u32,
    /// Its sequence number.
    pub seq: u64,
}

/// `votequorum_quorum_notification_fn_t`.
pub type QuorumFn = Option<unsafe extern "C" fn(u64, u64, u32, u32, *mut VotequorumNode)>;

/// `votequorum_nodelist_notification_fn_t`.
pub type NodesFn = Option<unsafe extern "C" fn(u64, u64, VotequorumRingId, u32, *mut u32)>;

/// `votequorum_expectedvotes_notification_fn_t`.
pub type ExpectedFn = Option<unsafe extern "C" fn(u64, u64, u32)>;

/// `votequorum_qdevice_extra_info_fn_t`.
pub type ExtraFn = Option<unsafe extern "C" fn(u64, u64, u32, u32, *mut c_void)>;

/// `votequorum_callbacks_t`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct VotequorumCallbacks {
    /// Votes were counted.
    pub quorum: QuorumFn,
    /// Other votes are expected.
    pub expected: ExpectedFn,
    /// Membership changed.
    pub nodes: NodesFn,
}

/// `votequorum_model_v1_data_t`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct VotequorumModelV1 {
    /// 1.
    pub model: i32,
    /// Votes were counted.
    pub quorum: QuorumFn,
    /// Other votes are expected.
    pub expected: ExpectedFn,
    /// Membership changed.
    pub nodes: NodesFn,
    /// A quorum device has something else to say for itself.
    pub extra: ExtraFn,
}

struct Votequorum {
    callbacks: VotequorumCallbacks,
    extra: ExtraFn,
    /// The word given with the track.
    tracked: AtomicU64,
    connection: Connection<()>,
}

static HANDLES: Table<Votequorum> = Table::new();

/// Connects.
#[unsafe(no_mangle)]
pub extern "C" fn votequorum_initialize(
    handle: *mut u64,
    callbacks: *const VotequorumCallbacks,
) -> CsError {
    guard(|| {
        let none = VotequorumCallbacks { quorum: None, expected: None, nodes: None };
        open(handle, value_at(callbacks).unwrap_or(none), None)
    })
}

/// Connects, with callbacks of a model.
#[unsafe(no_mangle)]
pub extern "C" fn votequorum_model_initialize(
    handle: *mut u64,
    model: *const VotequorumModelV1,
) -> CsError {
    guard(|| {
        if value_at(model.cast::<i32>())? != 1 {
            return Err(INVALID_PARAM);
        }
        let VotequorumModelV1 { quorum, expected, nodes, extra, .. } = value_at(model)?;
        open(handle, VotequorumCallbacks { quorum, expected, nodes }, extra)
    })
}

fn open(handle: *mut u64, callbacks: VotequorumCallbacks, extra: ExtraFn) -> Outcome {
    if handle.is_null() {
        return Err(INVALID_PARAM);
    }
    let (connection, tracked) = (Connection::open(())?, AtomicU64::new(0));
    put(handle, HANDLES.insert(Arc::new(Votequorum { callbacks, extra, tracked, connection })))
}

/// Disconnects.
#[unsafe(no_mangle)]
pub extern "C" fn votequorum_finalize(handle: u64) -> CsError {
    guard(|| {
        HANDLES.remove(handle)?.connection.finalize();
        Ok(())
    })
}

/// The descriptor to poll.
#[unsafe(no_mangle)]
pub extern "C" fn votequorum_fd_get(handle: u64, fd: *mut i32) -> CsError {
    guard(|| put(fd, HANDLES.get(handle)?.connection.fd()))
}

/// The program's own word.
#[unsafe(no_mangle)]
pub extern "C" fn votequorum_context_get(handle: u64, context: *mut *mut c_void) -> CsError {
    guard(|| put(context, HANDLES.get(handle)?.connection.context() as *mut c_void))
}

/// Sets the program's own word.
#[unsafe(no_mangle)]
pub extern "C" fn votequorum_context_set(handle: u64, context: *mut c_void) -> CsError {
    guard(|| {
        HANDLES.get(handle)?.connection.set_context(context as usize);
        Ok(())
    })
}

/// A node and its votes.
#[unsafe(no_mangle)]
pub extern "C" fn votequorum_getinfo(handle: u64, node: u32, info: *mut VotequorumInfo) -> CsError {
    guard(|| {
        if info.is_null() {
            return Err(INVALID_PARAM);
        }
        match HANDLES.get(handle)?.connection.ask(&request(Request::Info { node }))? {
            Any::Votequorum(Answer::Info(found)) => put(info, shown(&found)),
            _ => Err(STRANGE),
        }
    })
}

fn shown(info: &Info) -> VotequorumInfo {
    let mut qdevice_name = [0; QDEVICE_NAME_BYTES_MAX + 1];
    let name = info.qdevice_name.iter().take(QDEVICE_NAME_BYTES_MAX);
    qdevice_name.iter_mut().zip(name).for_each(|(to, from)| *to = *from as c_char);
    VotequorumInfo {
        node_id: info.node,
        node_state: info.state.code(),
        node_votes: info.votes,
        node_expected_votes: info.expected,
        highest_expected: info.highest_expected,
        total_votes: info.total,
        quorum: info.quorum,
        flags: info.flags,
        qdevice_votes: info.qdevice_votes,
        qdevice_name,
    }
}

fn request(request: Request) -> AnyRequest {
    AnyRequest::Votequorum(request)
}

fn order(handle: u64, what: Request) -> Outcome {
    HANDLES.get(handle)?.connection.order(&request(what))
}

/// Expects so many votes.
#[unsafe(no_mangle)]
pub extern "C" fn votequorum_setexpected(handle: u64, votes: u32) -> CsError {
    guard(|| order(handle, Request::SetExpected { votes }))
}

/// Gives a node so many votes.
#[unsafe(no_mangle)]
pub extern "C" fn votequorum_setvotes(handle: u64, node: u32, votes: u32) -> CsError {
    guard(|| match order(handle, Request::SetVotes { node, votes }) {
        Err(NOT_EXIST) => Err(NAME_NOT_FOUND),
        outcome => outcome,
    })
}

/// Tracks.
#[unsafe(no_mangle)]
pub extern "C" fn votequorum_trackstart(handle: u64, context: u64, flags: u32) -> CsError {
    guard(|| {
        let votequorum = HANDLES.get(handle)?;
        // Also that of a second call, which changes nothing else.
        votequorum.tracked.store(context, Ordering::Relaxed);
        votequorum.connection.order(&request(Request::Track(track(flags))))
    })
}

/// Tracks no more.
#[unsafe(no_mangle)]
pub extern "C" fn votequorum_trackstop(handle: u64) -> CsError {
    guard(|| order(handle, Request::Untrack))
}

/// The name of a quorum device, as the program gave it.
fn qdevice(name: *const c_char) -> Outcome<Vec<u8>> {
    let name = bytes_of(name)?;
    if name.len() > QDEVICE_NAME_BYTES_MAX {
        return Err(INVALID_PARAM);
    }
    Ok(name.to_vec())
}

/// A quorum device is here.
#[unsafe(no_mangle)]
pub extern "C" fn votequorum_qdevice_register(handle: u64, name: *const c_char) -> CsError {
    guard(|| order(handle, Request::QdeviceRegister { name: qdevice(name)? }))
}

/// It goes.
#[unsafe(no_mangle)]
pub extern "C" fn votequorum_qdevice_unregister(handle: u64, name: *const c_char) -> CsError {
    guard(|| order(handle, Request::QdeviceUnregister { name: qdevice(name)? }))
}

/// It has another name.
#[unsafe(no_mangle)]
pub extern "C" fn votequorum_qdevice_update(
    handle: u64,
    old: *const c_char,
    new: *const c_char,
) -> CsError {
    guard(|| order(handle, Request::QdeviceUpdate { old: qdevice(old)?, new: qdevice(new)? }))
}

/// It lives, and votes.
#[unsafe(no_mangle)]
pub extern "C" fn votequorum_qdevice_poll(
    handle: u64,
    name: *const c_char,
    cast_vote: u32,
    ring: VotequorumRingId,
) -> CsError {
    guard(|| {
        let name = qdevice(name)?;
        let ring = Ring { node: ring.nodeid, seq: ring.seq };
        order(handle, Request::QdevicePoll { name, cast_vote: cast_vote != 0, ring })
    })
}

/// Whether its vote alone is enough.
#[unsafe(no_mangle)]
pub extern "C" fn votequorum_qdevice_master_wins(
    handle: u64,
    name: *const c_char,
    allow: u32,
) -> CsError {
    guard(|| {
        let name = qdevice(name)?;
        order(handle, Request::QdeviceMasterWins { name, allow: allow != 0 })
    })
}

/// What a node's quorum device has to say for itself. There must be room for the longest that it can be: as with
/// Corosync, `size` is set and not looked at.
#[unsafe(no_mangle)]
pub extern "C" fn votequorum_get_qdevice_extra_info(
    handle: u64,
    node: u32,
    size: *mut u32,
    extra: *mut c_void,
) -> CsError {
    guard(|| {
        if size.is_null() || extra.is_null() {
            return Err(INVALID_PARAM);
        }
        let asked = request(Request::QdeviceExtraGet { node });
        let Any::Votequorum(Answer::QdeviceExtra(found)) =
            HANDLES.get(handle)?.connection.ask(&asked)?
        else {
            return Err(STRANGE);
        };
        let len = found.len().min(QDEVICE_EXTRA_BYTES_MAX);
        // SAFETY: not null, and by contract it has room for `QDEVICE_EXTRA_BYTES_MAX` bytes.
        unsafe { extra.cast::<u8>().copy_from_nonoverlapping(found.as_ptr(), len) };
        put(size, len as u32)
    })
}

/// What our quorum device has to say for itself.
#[unsafe(no_mangle)]
pub extern "C" fn votequorum_set_qdevice_extra_info(
    handle: u64,
    size: u32,
    extra: *const c_void,
) -> CsError {
    guard(|| {
        let size = if extra.is_null() { 0 } else { size as usize };
        if size > QDEVICE_EXTRA_BYTES_MAX {
            return Err(INVALID_PARAM);
        }
        let bytes = slice_at(extra.cast::<u8>(), size)?.to_vec();
        order(handle, Request::QdeviceExtraSet { bytes })
    })
}

/// Calls back for what changed.
#[unsafe(no_mangle)]
pub extern "C" fn votequorum_dispatch(handle: u64, flags: i32) -> CsError {
    guard(|| {
        let votequorum = HANDLES.get(handle)?;
        votequorum.connection.dispatch(flags, &mut |notice| {
            if let AnyNotice::Votequorum(notice) = notice {
                let context = votequorum.tracked.load(Ordering::Relaxed);
                call(handle, context, &votequorum, notice);
            }
        })
    })
}

fn call(handle: u64, context: u64, votequorum: &Votequorum, notice: Notice) {
    let callbacks = &votequorum.callbacks;
    match notice {
        Notice::Quorum { quorate, nodes } => {
            let Some(quorum) = callbacks.quorum else { return };
            let node = |(nodeid, state): (u32, services::votequorum::NodeState)| VotequorumNode {
                nodeid,
                state: state.code(),
            };
            let mut nodes: Vec<_> = nodes.into_iter().map(node).collect();
            let count = nodes.len() as u32;
            // SAFETY: the program's own function of this type; the list lives until it returns and is ours to give.
            unsafe { quorum(handle, context, quorate.into(), count, nodes.as_mut_ptr()) };
        }
        Notice::Nodes { ring, mut nodes } => {
            let Some(list) = callbacks.nodes else { return };
            let ring = VotequorumRingId { nodeid: ring.node, seq: ring.seq };
            // SAFETY: as above.
            unsafe { list(handle, context, ring, nodes.len() as u32, nodes.as_mut_ptr()) };
        }
        Notice::Expected { votes } => {
            let Some(expected) = callbacks.expected else { return };
            // SAFETY: the program's own function of this type.
            unsafe { expected(handle, context, votes) };
        }
        Notice::QdeviceExtra { node, mut bytes } => {
            let Some(extra) = votequorum.extra else { return };
            let len = bytes.len() as u32;
            // SAFETY: the program's own function of this type; the bytes live until it returns and are ours to give.
            unsafe { extra(handle, context, node, len, bytes.as_mut_ptr().cast()) };
        }
    }
}
