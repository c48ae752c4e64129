//! A wrapper that loses, doubles and reorders what passes through any transport.
//!
//! Faults are drawn per datagram from a seeded generator, on the receiving side, so that one multicast
//! is lost at some nodes and not at others. Cuts are made on the sending side, by peer and direction.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::str::FromStr;

use frame::{Class, FrameMut, Pool};

use crate::{Burst, Caps, Dest, Event, Queue, SendError, Transport};

/// Datagrams held back for reordering at most; the oldest goes first when there are more.
const HELD_MAX: usize = 64;

/// Sleep at most this long while datagrams are held back, so that they are late and not lost.
const HELD_WAIT_NS: u64 = 1_000_000;

/// How often what happens, in parts per million of all datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Lost.
    pub drop_ppm: u32,
    /// Received twice.
    pub duplicate_ppm: u32,
    /// Received after datagrams that came later.
    pub reorder_ppm: u32,
    /// Faults on this queue only; `None`: on both.
    pub only: Option<Queue>,
}

impl FromStr for Faults {
    type Err = String;

    /// Reads `drop_ppm=10000,duplicate_ppm=0,reorder_ppm=500,only=data`: any of the fields, in any
    /// order; `only` is `token` or `data`. The error says what was found and what is accepted.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut faults = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| format!("`{part}` is not of the form name=value"))?;
            if name == "only" {
                faults.only = Some(match value {
                    "token" => Queue::Token,
                    "data" => Queue::Data,
                    _ => return Err(format!("only={value}: `token` or `data` are accepted")),
                });
                continue;
            }
            let field = match name {
                "drop_ppm" => &mut faults.drop_ppm,
                "duplicate_ppm" => &mut faults.duplicate_ppm,
                "reorder_ppm" => &mut faults.reorder_ppm,
                _ => {
                    return Err(format!(
                        "unknown fault `{name}`; drop_ppm, duplicate_ppm, reorder_ppm and only \
                         are accepted"
                    ));
                }
            };
            *field =
                value.parse().ok().filter(|ppm| *ppm <= 1_000_000).ok_or_else(|| {
                    format!("{name}={value}: a number from 0 to 1000000 is accepted")
                })?;
        }
        Ok(faults)
    }
}

/// What a [`Lossy`] transport did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams lost.
    pub dropped: u64,
    /// Datagrams doubled.
    pub duplicated: u64,
    /// Datagrams held back.
    pub reordered: u64,
    /// Sends not made because the peer is cut off.
    pub cut: u64,
}

/// Any transport, made worse. See the module's documentation.
pub struct Lossy<T> {
    inner: T,
    pool: Pool,
    faults: Faults,
    random: u64,
    peers: u16,
    me: u16,
    cut: Vec<bool>,
    held: VecDeque<(Queue, FrameMut)>,
    /// Passed on before anything new is polled: what came out of a burst taken apart.
    ready: VecDeque<Event>,
    counters: Counters,
}

impl<T: Transport> Lossy<T> {
    /// Wraps the transport of node `me` of `peers`; copies (for duplicates) come from `pool`.
    pub fn new(inner: T, pool: Pool, me: u16, peers: u16, faults: Faults, seed: u64) -> Self {
        Self {
            inner,
            pool,
            faults,
            // xorshift must not start at 0.
            random: (seed ^ (u64::from(me) << 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            peers,
            me,
            cut: vec![false; peers.into()],
            held: VecDeque::new(),
            ready: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// Changes what happens from now on.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// Cuts the way to a peer off or heals it; the way from it is its own to cut.
    pub fn set_cut(&mut self, peer: u16, cut: bool) {
        if let Some(entry) = self.cut.get_mut(usize::from(peer)) {
            *entry = cut;
        }
    }

    /// What it did so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The wrapped transport.
    pub fn inner(&self) -> &T {
        &self.inner
    }

    /// The wrapped transport, to be changed.
    pub fn inner_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// True for `ppm` of a million calls.
    fn chance(&mut self, ppm: u32) -> bool {
        if ppm == 0 {
            return false;
        }
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 32) % 1_000_000 < u64::from(ppm)
    }

    /// Takes a reception apart where a fault hits one of its datagrams.
    fn pass(&mut self, queue: Queue, mut burst: Burst) {
        if self.faults.only.is_some_and(|only| only != queue) {
            self.ready.push_back(Event::Received { queue, burst });
            return;
        }
        let segment = burst.segment_bytes.max(1);
        let mut clean = 0;
        while clean < burst.bytes.len() {
            let len = segment.min(burst.bytes.len() - clean);
            let lost = self.chance(self.faults.drop_ppm);
            let late = !lost && self.chance(self.faults.reorder_ppm);
            let twice = !lost && !late && self.chance(self.faults.duplicate_ppm);
            if !lost && !late {
                clean += len;
                if twice && let Some(copy) = self.copy(&burst.bytes[clean - len..clean]) {
                    self.counters.duplicated += 1;
                    self.pass_clean(queue, &mut burst, clean);
                    self.ready.push_back(received(queue, copy));
                    clean = 0;
                }
                continue;
            }
            self.pass_clean(queue, &mut burst, clean);
            clean = 0;
            let hit = burst.bytes.split_to(len);
            if lost {
                self.counters.dropped += 1;
            } else {
                self.counters.reordered += 1;
                self.held.push_back((queue, hit));
            }
        }
        if clean > 0 {
            self.ready.push_back(Event::Received { queue, burst });
        }
        while self.held.len() > HELD_MAX {
            self.release();
        }
    }

    /// Passes the first `len` bytes of a burst on.
    fn pass_clean(&mut self, queue: Queue, burst: &mut Burst, len: usize) {
        if len > 0 {
            let bytes = burst.bytes.split_to(len);
            let burst = Burst { bytes, segment_bytes: burst.segment_bytes };
            self.ready.push_back(Event::Received { queue, burst });
        }
    }

    fn copy(&self, bytes: &[u8]) -> Option<FrameMut> {
        let small = bytes.len() <= self.pool.slot_bytes(Class::Small);
        let mut slot = self.pool.alloc(if small { Class::Small } else { Class::Large })?;
        slot.truncate(bytes.len());
        slot.copy_from_slice(bytes);
        Some(slot)
    }

    /// Passes the oldest datagram held back on.
    fn release(&mut self) {
        if let Some((queue, bytes)) = self.held.pop_front() {
            self.ready.push_back(received(queue, bytes));
        }
    }
}

/// One datagram as an event.
fn received(queue: Queue, bytes: FrameMut) -> Event {
    let segment_bytes = bytes.len();
    Event::Received { queue, burst: Burst { bytes, segment_bytes } }
}

impl<T: Transport> Transport for Lossy<T> {
    fn caps(&self) -> Caps {
        self.inner.caps()
    }

    fn send(&mut self, to: Dest, queue: Queue, burst: Burst) -> Result<(), SendError> {
        let is_cut = |cut: &[bool], peer: u16| cut.get(usize::from(peer)).is_some_and(|c| *c);
        match to {
            Dest::Peer(peer) if is_cut(&self.cut, peer) => {
                self.counters.cut += 1;
                Ok(())
            }
            Dest::All if self.cut.contains(&true) => {
                // To each of the others by itself.
                for peer in (0..self.peers).filter(|peer| *peer != self.me) {
                    if is_cut(&self.cut, peer) {
                        self.counters.cut += 1;
                        continue;
                    }
                    let bytes = self.copy(&burst.bytes).ok_or(SendError::Full)?;
                    let burst = Burst { bytes, segment_bytes: burst.segment_bytes };
                    self.inner.send(Dest::Peer(peer), queue, burst)?;
                }
                Ok(())
            }
            _ => self.inner.send(to, queue, burst),
        }
    }

    fn flush(&mut self) {
        self.inner.flush();
    }

    fn poll(&mut self, budget: usize, prefer: Queue, sink: &mut dyn FnMut(Event)) -> usize {
        if self.faults == Faults::default() && self.held.is_empty() && self.ready.is_empty() {
            return self.inner.poll(budget, prefer, sink);
        }
        let room = budget.saturating_sub(self.ready.len());
        let held_before = self.held.len();
        let mut came = Vec::new();
        self.inner.poll(room, prefer, &mut |event| came.push(event));
        for event in came {
            match event {
                Event::Received { queue, burst } => self.pass(queue, burst),
                other => self.ready.push_back(other),
            }
        }
        // What was held back before this poll has been overtaken by now.
        for _ in 0..held_before.min(self.held.len()) {
            self.release();
        }
        let mut count = 0;
        while count < budget
            && let Some(event) = self.ready.pop_front()
        {
            sink(event);
            count += 1;
        }
        count
    }

    fn wait(&mut self, timeout_ns: Option<u64>) {
        if !self.ready.is_empty() {
            return self.inner.flush();
        }
        let timeout_ns = if self.held.is_empty() {
            timeout_ns
        } else {
            Some(timeout_ns.map_or(HELD_WAIT_NS, |ns| ns.min(HELD_WAIT_NS)))
        };
        self.inner.wait(timeout_ns);
    }

    fn is_silent(&self) -> bool {
        self.inner.is_silent()
    }

    fn doorbell(&mut self) -> Option<BorrowedFd<'_>> {
        self.inner.doorbell()
    }

    fn doze(&mut self) -> u64 {
        let rest_ns = self.inner.doze();
        // What is held back comes with the next poll.
        if self.ready.is_empty() && self.held.is_empty() { rest_ns } else { 0 }
    }

    fn watch(&mut self, fd: BorrowedFd<'_>, key: u64) -> io::Result<()> {
        self.inner.watch(fd, key)
    }

    fn unwatch(&mut self, key: u64) {
        self.inner.unwatch(key);
        self.ready.retain(|event| !matches!(event, Event::Ready { key: k } if *k == key));
    }

    fn counters(&self, sink: &mut dyn FnMut(&'static str, u64)) {
        self.inner.counters(sink);
        let c = &self.counters;
        sink("lossy_dropped", c.dropped);
        sink("lossy_duplicated", c.duplicated);
        sink("lossy_reordered", c.reordered);
        sink("lossy_cut", c.cut);
    }
}
