//! Sends under way: the memory the kernel reads until each of them completes.

use std::ops::Range;
use std::os::fd::RawFd;
use std::ptr;

use frame::FrameMut;
use io_uring::{opcode, squeue, types::Fd};
use libc::{SOL_UDP, UDP_SEGMENT};
use socket2::SockAddr;

/// Room for one control message with a `u16`, aligned as a `cmsghdr`.
type Control = [u64; 3];

/// Times one datagram is tried again after somebody else's ICMP error used up its call. Two errors
/// can come in between (both queues of one dead peer); a third is the next send's concern.
const REPEATS_MAX: u8 = 2;

/// Where a send goes: which of the node's sockets, and to which of the known addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    /// Number of the sending socket.
    pub(crate) file: u32,
    /// Its descriptor.
    pub(crate) fd: RawFd,
    /// Index of the address.
    pub(crate) address: u32,
    /// Position of the peer, if it is a unicast.
    pub(crate) peer: Option<u16>,
}

/// How a burst, or a part of one, is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Along {
    pub(crate) route: Route,
    /// Bytes of each datagram but the last.
    pub(crate) segment_bytes: usize,
    /// How often it was tried before.
    pub(crate) repeats: u8,
}

/// One `sendmsg`. The kernel may read `message`, `vector` and `control` while `held` is some.
struct Op {
    message: libc::msghdr,
    vector: libc::iovec,
    control: Control,
    /// What it sends.
    held: Option<u32>,
    range: Range<usize>,
    segment_bytes: usize,
    route: Route,
    repeats: u8,
}

/// A burst and how many sends use it.
struct Held {
    bytes: Option<FrameMut>,
    uses: u32,
}

/// What a completed send was.
#[derive(Debug)]
pub(crate) struct Done {
    /// How often it was tried before.
    pub(crate) repeats: u8,
    pub(crate) range: Range<usize>,
    pub(crate) segment_bytes: usize,
    /// Whether it was a burst the kernel was asked to segment.
    pub(crate) segmented: bool,
}

/// A fixed number of sends, made at start.
pub(crate) struct Sends {
    ops: Box<[Op]>,
    free_ops: Vec<u32>,
    held: Box<[Held]>,
    free_held: Vec<u32>,
    /// Each in a place of its own: the kernel may read them while others are added.
    #[expect(clippy::vec_box, reason = "an address must not move when another is added")]
    addresses: Vec<Box<SockAddr>>,
}

impl Sends {
    pub(crate) fn new(count: u16, addresses: Vec<SockAddr>) -> Self {
        let op = || Op {
            // SAFETY: a msghdr of zeroes is an empty message.
            message: unsafe { std::mem::zeroed() },
            vector: libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 },
            control: [0; 3],
            held: None,
            range: 0..0,
            segment_bytes: 0,
            route: Route { file: 0, fd: -1, address: 0, peer: None },
            repeats: 0,
        };
        let count = u32::from(count);
        Self {
            ops: (0..count).map(|_| op()).collect(),
            free_ops: (0..count).rev().collect(),
            held: (0..count).map(|_| Held { bytes: None, uses: 0 }).collect(),
            free_held: (0..count).rev().collect(),
            addresses: addresses.into_iter().map(Box::new).collect(),
        }
    }

    /// Adds a peer's addresses after those there are.
    pub(crate) fn add_addresses(&mut self, addresses: [SockAddr; 2]) {
        self.addresses.extend(addresses.map(Box::new));
    }

    /// Sends that may still be started.
    pub(crate) fn free(&self) -> usize {
        self.free_ops.len()
    }

    /// Sends under way.
    pub(crate) fn in_flight(&self) -> usize {
        self.ops.len() - self.free_ops.len()
    }

    /// Takes a burst to be sent by one or more [`Sends::start`]. There is room whenever `free()` is
    /// not 0, because every burst held has a send under way.
    pub(crate) fn hold(&mut self, bytes: FrameMut) -> Option<u32> {
        let held = self.free_held.pop()?;
        self.held[held as usize] = Held { bytes: Some(bytes), uses: 0 };
        Some(held)
    }

    /// Gives a burst back that no send came to use.
    pub(crate) fn let_go(&mut self, held: u32) {
        let burst = &mut self.held[held as usize];
        if burst.uses == 0 {
            burst.bytes = None;
            self.free_held.push(held);
        }
    }

    /// Prepares one `sendmsg` of part of a burst: one datagram, or several of `segment_bytes` each if
    /// the range is longer. `user_data` is called with the send's number.
    pub(crate) fn start(
        &mut self,
        held: u32,
        range: Range<usize>,
        along: Along,
        user_data: impl Fn(u32) -> u64,
    ) -> Option<squeue::Entry> {
        let number = self.free_ops.pop()?;
        let op = &mut self.ops[number as usize];
        let burst = &mut self.held[held as usize];
        burst.uses += 1;
        op.held = Some(held);
        op.range = range;
        op.segment_bytes = along.segment_bytes;
        op.route = along.route;
        op.repeats = along.repeats;
        Some(self.entry(number).user_data(user_data(number)))
    }

    /// Fills an operation's message and wraps it.
    fn entry(&mut self, number: u32) -> squeue::Entry {
        let op = &mut self.ops[number as usize];
        let held = op.held.expect("only a send under way is prepared");
        let bytes = self.held[held as usize].bytes.as_mut().expect("a used burst has its bytes");
        let part = &mut bytes[op.range.clone()];
        op.vector = libc::iovec { iov_base: part.as_mut_ptr().cast(), iov_len: part.len() };
        let name = &self.addresses[op.route.address as usize];
        op.message.msg_name = name.as_ptr().cast_mut().cast();
        op.message.msg_namelen = name.len();
        op.message.msg_iov = &raw mut op.vector;
        op.message.msg_iovlen = 1;
        op.message.msg_control = ptr::null_mut();
        op.message.msg_controllen = 0;
        if op.range.len() > op.segment_bytes {
            op.message.msg_control = op.control.as_mut_ptr().cast();
            // SAFETY: CMSG_SPACE and CMSG_LEN only compute; `control` is aligned for a cmsghdr, has
            // room for one with a u16 (24 bytes), and msg_controllen says no more than that.
            unsafe {
                op.message.msg_controllen = libc::CMSG_SPACE(2) as _;
                let header = libc::CMSG_FIRSTHDR(&raw const op.message);
                (*header).cmsg_level = SOL_UDP;
                (*header).cmsg_type = UDP_SEGMENT;
                (*header).cmsg_len = libc::CMSG_LEN(2) as _;
                // A segment fits a datagram, so it fits 16 bits.
                ptr::write_unaligned(libc::CMSG_DATA(header).cast(), op.segment_bytes as u16);
            }
        }
        opcode::SendMsg::new(Fd(op.route.fd), &raw const op.message).build()
    }

    /// Prepares the same send again, unless it was tried often enough.
    pub(crate) fn repeat(
        &mut self,
        number: u32,
        user_data: impl Fn(u32) -> u64,
    ) -> Option<squeue::Entry> {
        let op = self.ops.get_mut(number as usize)?;
        if op.held.is_none() || op.repeats >= REPEATS_MAX {
            return None;
        }
        op.repeats += 1;
        Some(self.entry(number).user_data(user_data(number)))
    }

    /// Which socket a send uses.
    pub(crate) fn route(&self, number: u32) -> Option<Route> {
        self.ops.get(number as usize).map(|op| op.route)
    }

    /// Ends a send. With `keep` the burst stays held, even if this was its last send, and its number
    /// is returned: the caller starts more sends of it and then calls [`Sends::let_go`].
    pub(crate) fn finish(&mut self, number: u32, keep: bool) -> Option<(Done, Option<u32>)> {
        let op = self.ops.get_mut(number as usize)?;
        let held = op.held.take()?;
        let done = Done {
            repeats: op.repeats,
            range: op.range.clone(),
            segment_bytes: op.segment_bytes,
            segmented: op.range.len() > op.segment_bytes,
        };
        self.free_ops.push(number);
        let burst = &mut self.held[held as usize];
        burst.uses -= 1;
        if keep {
            return Some((done, Some(held)));
        }
        self.let_go(held);
        Some((done, None))
    }
}
