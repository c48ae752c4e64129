//! A network in memory: transports of one thread that hand each other copies of datagrams.
//!
//! It keeps the contract of [`Transport`] like any other implementation: a full queue refuses, an
//! exhausted pool makes datagrams wait, a dropped node is unreachable. Time never passes in it by
//! itself, so tests over it are exact.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use frame::{Class, Pool};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{Burst, Caps, Dest, Event, Queue, SendError, Transport};

/// Payload of one datagram; as UDP over Ethernet.
const DATAGRAM_BYTES: usize = 1472;

/// Datagrams in one burst; as UDP segmentation.
const BURST_SEGMENTS: usize = 64;

/// Bytes in one burst; as UDP.
const BURST_BYTES: usize = 65507;

/// Bursts sent and not flushed, or flushed and not received, that a node may have: about what a
/// socket buffer of 4 MiB holds.
const QUEUE_BURSTS: usize = 64;

/// A burst under way.
struct Packet {
    queue: Queue,
    bytes: Vec<u8>,
    segment_bytes: usize,
}

/// What waits at one node.
#[derive(Default)]
struct Inbox {
    open: bool,
    packets: VecDeque<Packet>,
}

/// A network of a fixed number of nodes. Cloning gives another handle to it.
#[derive(Clone)]
pub struct Network {
    inboxes: Rc<[RefCell<Inbox>]>,
}

impl Network {
    /// A network for `nodes` nodes, none of which is there yet.
    pub fn new(nodes: u16) -> Self {
        Self { inboxes: (0..nodes).map(|_| RefCell::default()).collect() }
    }

    /// The transport of the node at position `me`, receiving into `pool`.
    ///
    /// # Panics
    /// If there is no such position.
    pub fn attach(&self, me: u16, pool: Pool) -> Memory {
        *self.inboxes[usize::from(me)].borrow_mut() =
            Inbox { open: true, packets: VecDeque::new() };
        Memory {
            network: self.clone(),
            me,
            pool,
            outbox: VecDeque::new(),
            unreachable: VecDeque::new(),
            watches: Vec::new(),
            ready: Vec::new(),
            counters: Counters::default(),
        }
    }
}

/// What a [`Memory`] transport counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bursts sent.
    pub bursts_sent: u64,
    /// Bursts received.
    pub bursts_received: u64,
    /// Bursts lost because the receiver's queue was full.
    pub overruns: u64,
    /// Polls that left a burst waiting because the pool had no slot.
    pub buffers_exhausted: u64,
}

/// One node's transport in a [`Network`].
pub struct Memory {
    network: Network,
    me: u16,
    pool: Pool,
    outbox: VecDeque<(Dest, Packet)>,
    unreachable: VecDeque<u16>,
    watches: Vec<(u64, OwnedFd)>,
    /// Keys reported by the last look at the descriptors.
    ready: Vec<u64>,
    counters: Counters,
}

impl Memory {
    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn deliver(&mut self, peer: u16, packet: &Packet) {
        let mut inbox = self.network.inboxes[usize::from(peer)].borrow_mut();
        if !inbox.open {
            // Several datagrams to a closed port are one piece of news.
            if !self.unreachable.contains(&peer) {
                self.unreachable.push_back(peer);
            }
        } else if inbox.packets.len() >= QUEUE_BURSTS {
            self.counters.overruns += 1;
        } else {
            let Packet { queue, ref bytes, segment_bytes } = *packet;
            inbox.packets.push_back(Packet { queue, bytes: bytes.clone(), segment_bytes });
        }
    }

    /// The next packet of the preferred queue, else of the other, in a slot.
    fn receive(&mut self, prefer: Queue) -> Option<Event> {
        let mut inbox = self.network.inboxes[usize::from(self.me)].borrow_mut();
        let preferred = inbox.packets.iter().position(|p| p.queue == prefer);
        let at = preferred.or((!inbox.packets.is_empty()).then_some(0))?;
        let class =
            if inbox.packets[at].queue == Queue::Token { Class::Small } else { Class::Large };
        let Some(mut slot) = self.pool.alloc(class) else {
            self.counters.buffers_exhausted += 1;
            return None;
        };
        let packet = inbox.packets.remove(at)?;
        slot.truncate(packet.bytes.len());
        let len = slot.len();
        slot.copy_from_slice(&packet.bytes[..len]);
        self.counters.bursts_received += 1;
        let burst = Burst { bytes: slot, segment_bytes: packet.segment_bytes };
        Some(Event::Received { queue: packet.queue, burst })
    }

    /// Notes which watched descriptors are readable, waiting for one at most `timeout`.
    fn look(&mut self, timeout: Option<Timespec>) {
        let mut fds: Vec<PollFd<'_>> =
            self.watches.iter().map(|(_, fd)| PollFd::new(fd, PollFlags::IN)).collect();
        // Interrupted: nothing is ready, which is the answer in any case.
        if poll(&mut fds, timeout.as_ref()).is_ok() {
            let readable: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            for ((key, _), _) in self.watches.iter().zip(&readable).filter(|(_, r)| **r) {
                if !self.ready.contains(key) {
                    self.ready.push(*key);
                }
            }
        }
    }
}

impl Transport for Memory {
    fn caps(&self) -> Caps {
        Caps {
            datagram_bytes: DATAGRAM_BYTES.min(self.pool.slot_bytes(Class::Large)),
            token_bytes: DATAGRAM_BYTES.min(self.pool.slot_bytes(Class::Small)),
            burst_segments: BURST_SEGMENTS,
            burst_bytes: BURST_BYTES.min(self.pool.slot_bytes(Class::Large)),
            multicast: true,
        }
    }

    fn send(&mut self, to: Dest, queue: Queue, burst: Burst) -> Result<(), SendError> {
        let (bytes, segment_bytes) = (burst.bytes.len(), burst.segment_bytes.max(1));
        self.caps().check(queue, bytes, segment_bytes)?;
        if let Dest::Peer(peer) = to
            && usize::from(peer) >= self.network.inboxes.len()
        {
            return Err(SendError::NoSuchPeer(peer));
        }
        if self.outbox.len() >= QUEUE_BURSTS {
            return Err(SendError::Full);
        }
        if bytes > 0 {
            let packet = Packet { queue, bytes: burst.bytes.to_vec(), segment_bytes };
            self.outbox.push_back((to, packet));
        }
        Ok(())
    }

    fn flush(&mut self) {
        while let Some((to, packet)) = self.outbox.pop_front() {
            self.counters.bursts_sent += 1;
            match to {
                Dest::Peer(peer) => self.deliver(peer, &packet),
                Dest::All => {
                    for peer in 0..self.network.inboxes.len() as u16 {
                        // A multicast tells nothing about who is not there.
                        let there = self.network.inboxes[usize::from(peer)].borrow().open;
                        if there && peer != self.me {
                            self.deliver(peer, &packet);
                        }
                    }
                }
            }
        }
    }

    fn poll(&mut self, budget: usize, prefer: Queue, sink: &mut dyn FnMut(Event)) -> usize {
        self.look(Some(Timespec::default()));
        let mut count = 0;
        while count < budget {
            let event = if let Some(peer) = self.unreachable.pop_front() {
                Event::Unreachable { peer }
            } else if let Some(key) = self.ready.pop() {
                Event::Ready { key }
            } else if let Some(event) = self.receive(prefer) {
                event
            } else {
                break;
            };
            sink(event);
            count += 1;
        }
        count
    }

    /// Returns at once if something is there; else sleeps on the watched descriptors alone, since no
    /// other node can send while this thread sleeps. With nothing watched and no timeout it returns.
    fn wait(&mut self, timeout_ns: Option<u64>) {
        self.flush();
        let waiting = !self.network.inboxes[usize::from(self.me)].borrow().packets.is_empty();
        let nothing_to_wait_for = self.watches.is_empty() && timeout_ns.is_none();
        if waiting || !self.unreachable.is_empty() || !self.ready.is_empty() || nothing_to_wait_for
        {
            return;
        }
        self.look(timeout_ns.map(|ns| Timespec {
            tv_sec: (ns / 1_000_000_000).try_into().unwrap_or(i64::MAX),
            tv_nsec: (ns % 1_000_000_000) as _,
        }));
    }

    fn watch(&mut self, fd: BorrowedFd<'_>, key: u64) -> io::Result<()> {
        self.watches.push((key, fd.as_fd().try_clone_to_owned()?));
        Ok(())
    }

    fn unwatch(&mut self, key: u64) {
        self.watches.retain(|(k, _)| *k != key);
        self.ready.retain(|k| *k != key);
    }

    fn counters(&self, sink: &mut dyn FnMut(&'static str, u64)) {
        let c = &self.counters;
        sink("bursts_sent", c.bursts_sent);
        sink("bursts_received", c.bursts_received);
        sink("overruns", c.overruns);
        sink("buffers_exhausted", c.buffers_exhausted);
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        *self.network.inboxes[usize::from(self.me)].borrow_mut() = Inbox::default();
    }
}
