//! The transport: what the engine calls.

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use ::transport::{Burst, Caps, Dest, Event, Queue, SendError, Staged, Transport};
use frame::Pool;
use io_uring::{IoUring, opcode, squeue, types};

use crate::buffers::{BufferRing, Lending};
use crate::config::{Config, Warning, header_bytes};
use crate::counters::Counters;
use crate::peers::{ADDRESS_OF_GROUP, data_address, token_address};
use crate::sends::{Along, Route, Sends};
use crate::sockets::{DATAGRAM_BYTES_MIN, Sockets};
use crate::tethers::Tethers;
use crate::watches::Watches;

/// Numbers of the sockets and of their receives. They are not registered with the ring: the kernel
/// tears a dead process's ring down in the background, and sockets that live so long would hide the
/// death from peers, who learn of it by "port unreachable".
pub(crate) const FILE_TOKEN: u32 = 0;
pub(crate) const FILE_DATA: u32 = 1;
pub(crate) const FILE_GROUP: u32 = 2;

/// What a completion belongs to, in the top byte of its user data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Receive = 1,
    Send = 2,
    Watch = 3,
    Cancel = 4,
    Tether = 5,
}

pub(crate) fn user_data(kind: Kind, number: u32) -> u64 {
    (kind as u64) << 56 | u64::from(number)
}

/// Memory the kernel may touch until every operation has ended.
pub(crate) struct Shared {
    pub(crate) data: BufferRing,
    pub(crate) token: BufferRing,
    pub(crate) sends: Sends,
    /// Template of every receive: no name, room for one control message.
    pub(crate) receive_message: Box<libc::msghdr>,
}

/// UDP over io_uring. Made, used and dropped on one thread.
pub struct UdpTransport {
    pub(crate) shared: ManuallyDrop<Shared>,
    pub(crate) ring: IoUring,
    /// Rings when there are completions, once somebody asked for it. Nobody reads it: whoever watches it does so
    /// edge-triggered, and a count of 64 bits lasts.
    pub(crate) doorbell: Option<OwnedFd>,
    pub(crate) sockets: Sockets,
    /// After the sockets, so that it is also dropped after them.
    pub(crate) tethers: Option<Tethers>,
    pub(crate) config: Config,
    /// Which receives the kernel has.
    pub(crate) armed: [bool; 3],
    pub(crate) watches: Watches,
    pub(crate) staged: Staged,
    /// How many data buffers the kernel gets.
    pub(crate) lending: Lending,
    /// By peer: it was taken out, see `peers`.
    pub(crate) absent: Vec<bool>,
    pub(crate) gso: bool,
    pub(crate) caps: Caps,
    /// The caps at start: frames made under them may have to be sent again when the MTU has fallen.
    pub(crate) limits: Caps,
    pub(crate) counters: Counters,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) pool: Pool,
}

impl UdpTransport {
    /// What the host gave less of than was asked for.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What [`Transport::counters`] tells of a transport that has done nothing.
    pub fn no_counters(sink: &mut dyn FnMut(&'static str, u64)) {
        Self::tell(&Counters::default(), 0, sink);
    }

    fn tell(counters: &Counters, tethers_up: u64, sink: &mut dyn FnMut(&'static str, u64)) {
        counters.fields().for_each(|(name, value)| sink(name, value));
        sink("tethers_up", tethers_up);
    }

    /// Datagrams the kernel dropped because a socket buffer was full. Three system calls.
    pub fn kernel_drops(&self) -> u64 {
        self.sockets.drops()
    }

    /// Peers whose death would be noticed at once (see [`Config::tethers`]).
    pub fn tethers_up(&self) -> u64 {
        self.tethers.as_ref().map_or(0, Tethers::up)
    }

    /// Slots lent to the kernel for receiving.
    pub fn slots_lent(&self) -> usize {
        self.shared.data.lent() + self.shared.token.lent()
    }

    /// Hands submissions to the kernel and lets it post completions; sleeps for the time given (or
    /// for ever) until there is one if `sleep` is set.
    pub(crate) fn enter(&mut self, timeout_ns: Option<u64>, sleep: bool) {
        self.counters.enters += 1;
        let submitter = self.ring.submitter();
        // Errors here are EINTR, EBUSY (completions must be collected first) and ETIME (the timeout
        // is over); the caller collects next in any case, and what was not taken goes next time.
        let _ = match (sleep, timeout_ns) {
            (false, _) => submitter.submit(),
            (true, None) => submitter.submit_and_wait(1),
            (true, Some(ns)) => {
                let nanoseconds = (ns % 1_000_000_000) as u32;
                let time = types::Timespec::new().sec(ns / 1_000_000_000).nsec(nanoseconds);
                submitter.submit_with_args(1, &types::SubmitArgs::new().timespec(&time))
            }
        };
    }

    /// Whether there is something to poll; what can be received into is lent first.
    fn has_something(&mut self) -> bool {
        self.refill();
        !self.staged.is_empty() || !self.ring.completion().is_empty()
    }

    /// Puts an entry on the submission queue, submitting once if it is full.
    pub(crate) fn push(&mut self, entry: &squeue::Entry) -> bool {
        for _ in 0..2 {
            // SAFETY: what the entry points to is in `self.shared` (boxed or in the pool) and stays
            // there until its completion; `Drop` waits for all of them.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                return true;
            }
            self.enter(None, false);
        }
        false
    }

    /// Lends buffers to the kernel and starts receives that ended.
    pub(crate) fn refill(&mut self) {
        let shared = &mut *self.shared;
        // What is staged still occupies slots: a slow engine leaves datagrams in the socket buffer.
        shared.data.refill(self.lending.wanted().saturating_sub(self.staged.waiting(Queue::Data)));
        let tokens = usize::from(self.config.token_buffers);
        shared.token.refill(tokens.saturating_sub(self.staged.waiting(Queue::Token)));
        if self.armed != [true; 3] {
            self.rearm();
        }
    }

    #[cold]
    fn rearm(&mut self) {
        for file in [FILE_TOKEN, FILE_DATA, FILE_GROUP] {
            if file == FILE_GROUP && self.sockets.group.is_none() {
                self.armed[file as usize] = true;
            }
            let buffers = if file == FILE_TOKEN { &self.shared.token } else { &self.shared.data };
            let fd = self.sockets.fd(file);
            if self.armed[file as usize] || buffers.lent() == 0 {
                continue;
            }
            let message: *const libc::msghdr = &raw const *self.shared.receive_message;
            let entry = opcode::RecvMsgMulti::new(types::Fd(fd), message, buffers.group())
                .build()
                .user_data(user_data(Kind::Receive, file));
            if self.push(&entry) {
                self.armed[file as usize] = true;
                self.counters.receives_rearmed += 1;
            }
        }
    }

    /// Starts the sends of a burst along one route: one, or one per datagram where the kernel cannot
    /// segment.
    pub(crate) fn send_along(
        &mut self,
        held: u32,
        range: std::ops::Range<usize>,
        along: Along,
    ) -> bool {
        // What no longer fits the path is fragmented, which excludes segmenting.
        let fits = along.segment_bytes <= self.caps.datagram_bytes;
        let step = if self.gso && fits { range.len() } else { along.segment_bytes };
        let mut from = range.start;
        while from < range.end {
            let part = from..range.end.min(from + step);
            from = part.end;
            let number = |n| user_data(Kind::Send, n);
            let Some(entry) = self.shared.sends.start(held, part, along, number) else {
                return false;
            };
            self.counters.datagrams_fragmented += u64::from(!fits);
            if !self.push(&entry) {
                let number = (entry.get_user_data() & u64::from(u32::MAX)) as u32;
                self.shared.sends.finish(number, true);
                return false;
            }
        }
        true
    }

    fn route(&self, queue: Queue, peer: u16) -> Route {
        let (file, address) = match queue {
            Queue::Token => (FILE_TOKEN, token_address(peer)),
            Queue::Data => (FILE_DATA, data_address(peer)),
        };
        let fd = self.sockets.fd(file);
        Route { file, fd, address, peer: Some(peer) }
    }

    fn send_to(&mut self, to: Dest, queue: Queue, burst: Burst) -> Result<(), SendError> {
        let (bytes, segment_bytes) = (burst.bytes.len(), burst.segment_bytes.max(1));
        self.limits.check(queue, bytes, segment_bytes)?;
        let segment_bytes = segment_bytes.min(bytes);
        let peers = self.config.peers.len() as u16;
        let all = 0..peers;
        let (targets, group) = match to {
            Dest::Peer(peer) if !self.is_there(peer.into()) => {
                return Err(SendError::NoSuchPeer(peer));
            }
            Dest::Peer(peer) => (peer..peer + 1, false),
            Dest::All => (all, self.caps.multicast && queue == Queue::Data),
        };
        if bytes == 0 {
            return Ok(());
        }
        let datagrams = bytes.div_ceil(segment_bytes);
        let copies = if group { 1 } else { targets.len() };
        let whole = self.gso && segment_bytes <= self.caps.datagram_bytes;
        let sends = copies * if whole { 1 } else { datagrams };
        if self.shared.sends.free() < sends {
            // The kernel may have finished some that we have not looked at yet.
            self.enter(None, false);
            self.collect();
        }
        if self.shared.sends.free() < sends {
            return Err(SendError::Full);
        }
        let Some(held) = self.shared.sends.hold(burst.bytes) else { return Err(SendError::Full) };
        let mut taken = true;
        if group {
            let fd = self.sockets.fd(FILE_DATA);
            let route = Route { file: FILE_DATA, fd, address: ADDRESS_OF_GROUP, peer: None };
            taken = self.send_along(held, 0..bytes, Along { route, segment_bytes, repeats: 0 });
        } else {
            let me = self.config.me;
            for peer in targets {
                if to == Dest::All && (peer == me || !self.is_there(peer.into())) {
                    continue;
                }
                let route = self.route(queue, peer);
                let along = Along { route, segment_bytes, repeats: 0 };
                taken &= self.send_along(held, 0..bytes, along);
            }
        }
        self.shared.sends.let_go(held);
        if taken { Ok(()) } else { Err(SendError::Full) }
    }

    /// Lowers the datagram limit to what fits a path of this MTU. Larger ones, made before, are sent
    /// in fragments from then on: slow, but they cannot be made smaller.
    pub(crate) fn lower_mtu(&mut self, mtu: usize) {
        let me = self.config.peers[self.config.me as usize].data.ip();
        let room = mtu.saturating_sub(header_bytes(me)).max(DATAGRAM_BYTES_MIN);
        if room < self.caps.datagram_bytes {
            self.caps.datagram_bytes = room;
            self.caps.token_bytes = self.caps.token_bytes.min(room);
            self.counters.mtu_fell += 1;
            self.sockets.allow_fragments();
        }
    }
}

fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: takes no memory of ours.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

impl Transport for UdpTransport {
    fn caps(&self) -> Caps {
        self.caps
    }

    fn send(&mut self, to: Dest, queue: Queue, burst: Burst) -> Result<(), SendError> {
        let result = self.send_to(to, queue, burst);
        match result {
            Err(SendError::Full) => self.counters.sends_full += 1,
            Err(SendError::TooBig { .. }) => self.counters.sends_too_big += 1,
            _ => {}
        }
        result
    }

    fn flush(&mut self) {
        self.refill();
        if !self.ring.submission().is_empty() {
            self.enter(None, false);
        }
    }

    fn poll(&mut self, budget: usize, prefer: Queue, sink: &mut dyn FnMut(Event)) -> usize {
        let submission = self.ring.submission();
        let pending = submission.taskrun() || submission.cq_overflow();
        drop(submission);
        if pending {
            self.enter(None, false);
        }
        self.collect();
        let mut count = 0;
        while count < budget {
            let Some(event) = self.next_event(prefer) else { break };
            sink(event);
            count += 1;
        }
        self.refill();
        count
    }

    fn wait(&mut self, timeout_ns: Option<u64>) {
        if self.has_something() {
            self.flush();
            return;
        }
        self.counters.waits += 1;
        self.enter(timeout_ns, true);
    }

    fn doorbell(&mut self) -> Option<BorrowedFd<'_>> {
        if self.doorbell.is_none() {
            // The ring's own descriptor would do, but where completions wait until we ask for them the kernel
            // wakes nobody who polls it.
            self.doorbell = eventfd().ok();
            let fd = self.doorbell.as_ref()?.as_raw_fd();
            if self.ring.submitter().register_eventfd(fd).is_err() {
                self.doorbell = None;
            }
        }
        self.doorbell.as_ref().map(AsFd::as_fd)
    }

    fn doze(&mut self) -> u64 {
        self.flush();
        if self.has_something() { 0 } else { u64::MAX }
    }

    fn watch(&mut self, fd: BorrowedFd<'_>, key: u64) -> io::Result<()> {
        let number = self
            .watches
            .add(fd.as_raw_fd(), key)
            .ok_or_else(|| io::Error::other("too many watched descriptors"))?;
        self.arm_watch(number, fd.as_raw_fd());
        // Now, while the descriptor's number surely means this file.
        self.enter(None, false);
        Ok(())
    }

    fn unwatch(&mut self, key: u64) {
        if let Some(number) = self.watches.end(key) {
            let target = user_data(Kind::Watch, number);
            let entry =
                opcode::AsyncCancel::new(target).build().user_data(user_data(Kind::Cancel, number));
            self.push(&entry);
            self.enter(None, false);
        }
    }

    fn counters(&self, sink: &mut dyn FnMut(&'static str, u64)) {
        Self::tell(&self.counters, self.tethers_up(), sink);
    }
}

impl Drop for UdpTransport {
    fn drop(&mut self) {
        if self.quiesce() {
            // SAFETY: the kernel has no operation left that uses this memory, and it is not touched
            // after this.
            unsafe { ManuallyDrop::drop(&mut self.shared) };
        } else {
            // The kernel may still write to lent slots: the region must never be freed.
            std::mem::forget(self.pool.clone());
        }
    }
}
