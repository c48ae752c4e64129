//! The RDMA connection manager: identifiers, events, addresses.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr::{self, NonNull};

use rdma_sys::{
    ibv_ah_attr, ibv_context, ibv_qp_attr, ibv_qp_state, rdma_cm_event_type, rdma_cm_id,
    rdma_conn_param, rdma_event_channel, rdma_port_space,
};
use socket2::SockAddr;

use crate::error::Error;
use crate::hello::{HELLO_BYTES, Hello};
use crate::objects::{no_attributes, set_nonblocking};

/// Longest wait for an address or a route to be resolved.
const RESOLVE_MS: i32 = 2_000;

/// Attempts at a message that a peer's queue pair has not acknowledged, and at one for which it had no
/// buffer: 7 is the most, and in the second case without end.
const RETRIES: u8 = 7;

/// Connection requests that may wait to be looked at: two of every node, and as many again.
const BACKLOG: i32 = 256;

/// Where events come from.
pub(crate) struct Channel(NonNull<rdma_event_channel>);

impl Channel {
    pub(crate) fn new() -> Result<Self, Error> {
        // SAFETY: the call takes nothing; where the library or the kernel's part is missing it says so.
        let raw = unsafe { rdma_sys::rdma_create_event_channel() };
        let Some(raw) = NonNull::new(raw) else {
            return Err(Error::Unavailable(crate::probe::why_unavailable()));
        };
        let channel = Self(raw);
        set_nonblocking(channel.fd())?;
        Ok(channel)
    }

    pub(crate) fn fd(&self) -> RawFd {
        // SAFETY: the channel lives as long as `self`.
        unsafe { self.0.as_ref() }.fd
    }

    /// The next event, copied and acknowledged; `None` when there is none.
    pub(crate) fn next(&self) -> Option<CmEvent> {
        let mut raw = ptr::null_mut();
        // SAFETY: the channel is alive and the place for the event is ours.
        if unsafe { rdma_sys::rdma_get_cm_event(self.0.as_ptr(), &raw mut raw) } != 0 {
            return None;
        }
        // SAFETY: the call succeeded, so `raw` points to an event that lives until it is acknowledged below;
        // which member of the union is filled follows from the kind of event, and both start with the
        // private data's address and length.
        let event = unsafe {
            let event = &*raw;
            let kind = event.event;
            let is_request = kind == rdma_cm_event_type::RDMA_CM_EVENT_CONNECT_REQUEST;
            let is_group = kind == rdma_cm_event_type::RDMA_CM_EVENT_MULTICAST_JOIN;
            let said = &event.param.conn;
            let hello = if is_group || said.private_data.is_null() {
                None
            } else {
                let bytes = std::slice::from_raw_parts(
                    said.private_data.cast::<u8>(),
                    said.private_data_len.into(),
                );
                Hello::parse(bytes)
            };
            CmEvent {
                id: event.id as usize,
                kind,
                status: event.status,
                hello,
                request: if is_request { NonNull::new(event.id).map(Id) } else { None },
                group: is_group.then(|| {
                    let ud = &event.param.ud;
                    Group { address: ud.ah_attr, number: ud.qp_num, key: ud.qkey }
                }),
            }
        };
        // SAFETY: the event is acknowledged once and not used after.
        unsafe { rdma_sys::rdma_ack_cm_event(raw) };
        Some(event)
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        // SAFETY: made in `new`; its identifiers are dropped before it (order in `Device`).
        unsafe { rdma_sys::rdma_destroy_event_channel(self.0.as_ptr()) };
    }
}

/// A multicast group that was joined.
#[derive(Clone, Copy)]
pub(crate) struct Group {
    pub(crate) address: ibv_ah_attr,
    pub(crate) number: u32,
    pub(crate) key: u32,
}

/// Something the connection manager has to tell.
pub(crate) struct CmEvent {
    /// Whom it is about; compared, never followed.
    pub(crate) id: usize,
    pub(crate) kind: rdma_cm_event_type::Type,
    pub(crate) status: i32,
    pub(crate) hello: Option<Hello>,
    /// The new identifier of a request to connect.
    pub(crate) request: Option<Id>,
    pub(crate) group: Option<Group>,
}

/// An identifier: a listener, a connection or a membership of groups.
pub(crate) struct Id(NonNull<rdma_cm_id>);

impl Drop for Id {
    fn drop(&mut self) {
        // SAFETY: made by the manager, destroyed here only; every event about it was acknowledged when it
        // was read, so this does not wait. A connection's other end is told.
        unsafe { rdma_sys::rdma_destroy_id(self.0.as_ptr()) };
    }
}

/// 0 is success; else errno tells.
fn checked(result: i32, step: &'static str) -> Result<(), Error> {
    if result == 0 { Ok(()) } else { Err(Error::step(step)) }
}

impl Id {
    /// An identifier for connections, or with `datagrams` for multicast.
    pub(crate) fn new(channel: &Channel, datagrams: bool) -> Result<Self, Error> {
        let space =
            if datagrams { rdma_port_space::RDMA_PS_UDP } else { rdma_port_space::RDMA_PS_TCP };
        let mut raw = ptr::null_mut();
        // SAFETY: the channel is alive; the place for the identifier is ours.
        let result = unsafe {
            rdma_sys::rdma_create_id(channel.0.as_ptr(), &raw mut raw, ptr::null_mut(), space)
        };
        checked(result, "make a connection identifier")?;
        NonNull::new(raw).map(Self).ok_or_else(|| Error::step("make a connection identifier"))
    }

    /// What events name it by.
    pub(crate) fn key(&self) -> usize {
        self.0.as_ptr() as usize
    }

    /// The device it is bound to; null before.
    pub(crate) fn context(&self) -> *mut ibv_context {
        // SAFETY: the identifier lives as long as `self`.
        unsafe { self.0.as_ref() }.verbs
    }

    /// The device's port it is bound to.
    pub(crate) fn port(&self) -> u8 {
        // SAFETY: as above.
        unsafe { self.0.as_ref() }.port_num
    }

    /// The partition it is bound to.
    pub(crate) fn partition(&self) -> u16 {
        // SAFETY: as above; the union has one member.
        u16::from_be(unsafe { self.0.as_ref().route.addr.addr.ibaddr.pkey })
    }

    pub(crate) fn bind(&self, address: SocketAddr) -> std::io::Result<()> {
        let address = SockAddr::from(address);
        // SAFETY: the address is read during the call only.
        let result = unsafe {
            rdma_sys::rdma_bind_addr(self.0.as_ptr(), address.as_ptr().cast_mut().cast())
        };
        if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    }

    pub(crate) fn listen(&self) -> Result<(), Error> {
        // SAFETY: the identifier is alive.
        checked(
            unsafe { rdma_sys::rdma_listen(self.0.as_ptr(), BACKLOG) },
            "listen for connections",
        )
    }

    pub(crate) fn resolve_address(&self, from: IpAddr, to: SocketAddr) -> Result<(), Error> {
        let (from, to) = (SockAddr::from(SocketAddr::new(from, 0)), SockAddr::from(to));
        // SAFETY: both addresses are read during the call only.
        let result = unsafe {
            rdma_sys::rdma_resolve_addr(
                self.0.as_ptr(),
                from.as_ptr().cast_mut().cast(),
                to.as_ptr().cast_mut().cast(),
                RESOLVE_MS,
            )
        };
        checked(result, "resolve a peer's address")
    }

    pub(crate) fn resolve_route(&self) -> Result<(), Error> {
        // SAFETY: the identifier is alive.
        checked(
            unsafe { rdma_sys::rdma_resolve_route(self.0.as_ptr(), RESOLVE_MS) },
            "resolve the route to a peer",
        )
    }

    /// Asks for a connection of the queue pair `number`.
    pub(crate) fn connect(&self, number: u32, hello: &Hello) -> Result<(), Error> {
        let bytes = hello.bytes();
        let mut parameters = parameters(number, &bytes);
        // SAFETY: the parameters and what they point to are used during the call only.
        checked(
            unsafe { rdma_sys::rdma_connect(self.0.as_ptr(), &raw mut parameters) },
            "ask for a connection",
        )
    }

    /// Accepts a connection with the queue pair `number`.
    pub(crate) fn accept(&self, number: u32, hello: &Hello) -> Result<(), Error> {
        let bytes = hello.bytes();
        let mut parameters = parameters(number, &bytes);
        // SAFETY: as in `connect`.
        checked(
            unsafe { rdma_sys::rdma_accept(self.0.as_ptr(), &raw mut parameters) },
            "accept a connection",
        )
    }

    /// Says that the accepted connection is there on this side too.
    pub(crate) fn establish(&self) -> Result<(), Error> {
        // SAFETY: the identifier is alive.
        checked(unsafe { rdma_sys::rdma_establish(self.0.as_ptr()) }, "establish a connection")
    }

    /// Turns a request down.
    pub(crate) fn reject(&self) {
        // SAFETY: no private data. If it fails the requester gives up by itself.
        unsafe { rdma_sys::rdma_reject(self.0.as_ptr(), ptr::null(), 0) };
    }

    /// What the manager would have a queue pair's attributes be in a state, and which of them.
    pub(crate) fn attributes(
        &self,
        state: ibv_qp_state::Type,
    ) -> Result<(ibv_qp_attr, i32), Error> {
        let mut attributes = ibv_qp_attr { qp_state: state, ..no_attributes() };
        let mut mask = 0;
        // SAFETY: both places are ours.
        let result = unsafe {
            rdma_sys::rdma_init_qp_attr(self.0.as_ptr(), &raw mut attributes, &raw mut mask)
        };
        checked(result, "ask for a queue pair's attributes")?;
        Ok((attributes, mask))
    }

    /// Starts joining a group; an event tells how it went.
    pub(crate) fn join(&self, group: IpAddr) -> Result<(), Error> {
        let address = SockAddr::from(SocketAddr::new(group, 0));
        // SAFETY: the address is copied during the call.
        let result = unsafe {
            rdma_sys::rdma_join_multicast(
                self.0.as_ptr(),
                address.as_ptr().cast_mut().cast(),
                ptr::null_mut(),
            )
        };
        checked(result, "join the multicast group")
    }

    /// Leaves it.
    pub(crate) fn leave(&self, group: IpAddr) {
        let address = SockAddr::from(SocketAddr::new(group, 0));
        // SAFETY: as in `join`. Leaving a group never joined does no harm.
        unsafe {
            rdma_sys::rdma_leave_multicast(self.0.as_ptr(), address.as_ptr().cast_mut().cast())
        };
    }
}

fn parameters(number: u32, hello: &[u8; HELLO_BYTES]) -> rdma_conn_param {
    rdma_conn_param {
        private_data: hello.as_ptr().cast(),
        private_data_len: HELLO_BYTES as u8,
        // No remote reads.
        responder_resources: 0,
        initiator_depth: 0,
        flow_control: 1,
        retry_count: RETRIES,
        rnr_retry_count: RETRIES,
        srq: 1,
        qp_num: number,
    }
}

/// The files by which librdmacm has a device open. It closes one that has gone only when it looks for another, and
/// never while there is none; the kernel may wait for that before it lets the device go.
pub(crate) struct OpenFiles {
    commands: RawFd,
    events: RawFd,
    /// Device number of the first.
    number: u64,
}

impl OpenFiles {
    /// Those of a device.
    ///
    /// # Safety
    /// `context` is an open device.
    pub(crate) unsafe fn of(context: *mut ibv_context) -> Option<Self> {
        // SAFETY: the caller's promise.
        let (commands, events) = unsafe { ((*context).cmd_fd, (*context).async_fd) };
        Some(Self { commands, events, number: device_number(commands)? })
    }

    /// Puts files that mean nothing in their places, which librdmacm closes in its own time. Everything made on the
    /// device is destroyed.
    pub(crate) fn let_go(&self) {
        if device_number(self.commands) != Some(self.number) {
            // It was quicker, and the numbers may be somebody else's.
            return;
        }
        let Ok(nothing) = std::fs::File::open("/dev/null") else { return };
        for fd in [self.commands, self.events] {
            // SAFETY: takes no memory of ours. Both numbers are the gone device's, which nobody uses but librdmacm,
            // to close them.
            unsafe { libc::dup3(nothing.as_raw_fd(), fd, libc::O_CLOEXEC) };
        }
    }
}

/// Number of the device that a descriptor is open for; `None` if it is not open.
fn device_number(fd: RawFd) -> Option<u64> {
    // SAFETY: used during the call only; of a number that is not open the kernel says so.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    rustix::fs::fstat(fd).ok().map(|stat| stat.st_rdev)
}
