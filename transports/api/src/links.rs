//! Several transports as one: the redundant links of a node.
//!
//! What is sent names the links it goes on, what is received the link it came by. One thread waits for all of
//! them at once: one of them sleeps, and watches the descriptors of the others.

use std::io;
use std::os::fd::BorrowedFd;

use frame::{Class, FrameMut, Pool};

use crate::{Burst, Caps, Dest, Event, Queue, SendError, Transport};

/// Most links; a set of them is a byte.
pub const LINKS_MAX: usize = 8;

/// Events taken from one link in a row while it has any. The link that carries the load is read to its end
/// before others are looked at: what came by a calm link must not seem earlier than what waits in the queue of
/// the busy one.
const RUN_MAX: u32 = 32;

/// Keys of the links' own descriptors, from the greatest down; callers' keys are small.
const KEY_FIRST: u64 = u64::MAX - LINKS_MAX as u64;

/// How long a sleep lasts at most when a link has no descriptor to be waited for.
const BLIND_WAIT_NS: u64 = 1_000_000;

/// Why links cannot be used together.
#[derive(Debug, thiserror::Error)]
pub enum LinksError {
    /// None, or too many.
    #[error("{0} links, 1 to {LINKS_MAX} are possible")]
    Count(usize),
    /// The kernel refuses to watch a link.
    #[error("cannot wait for a link beside the others ({link}): {source}")]
    Watch {
        /// Its number.
        link: usize,
        /// What the kernel said.
        source: io::Error,
    },
}

/// What several links cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bursts copied because they went on more than one link.
    pub copies: u64,
    /// Copies not made because no slot was free.
    pub copies_failed: u64,
}

/// One to eight transports. See the module's documentation.
pub struct Links<T> {
    links: Vec<T>,
    /// The one that sleeps for all.
    home: usize,
    /// Where copies are made.
    pool: Pool,
    /// The link read last, and how many events it gave in a row.
    current: usize,
    run: u32,
    counters: Counters,
}

impl<T: Transport> Links<T> {
    /// Puts transports together, link 0 first; `home` (one of them, else the first) sleeps for all.
    ///
    /// # Errors
    /// See [`LinksError`].
    pub fn new(links: Vec<T>, home: usize, pool: Pool) -> Result<Self, LinksError> {
        if links.is_empty() || links.len() > LINKS_MAX {
            return Err(LinksError::Count(links.len()));
        }
        let home = if home < links.len() { home } else { 0 };
        let (count, counters) = (links.len(), Counters::default());
        let mut made = Self { links, home, pool, current: 0, run: 0, counters };
        (0..count).try_for_each(|link| made.attach(link))?;
        Ok(made)
    }

    /// Waits for a link, beside the others, whose transport has something to be waited for only now: it was
    /// silent before.
    ///
    /// # Errors
    /// When the kernel refuses to watch it.
    pub fn attach(&mut self, link: usize) -> Result<(), LinksError> {
        let Ok([own, other]) = self.links.get_disjoint_mut([self.home, link]) else {
            return Ok(());
        };
        let Some(fd) = other.doorbell() else { return Ok(()) };
        let watched = own.watch(fd, KEY_FIRST + link as u64);
        watched.map_err(|source| LinksError::Watch { link, source })
    }

    /// What all links can do: of everything the least.
    pub fn caps(&self) -> Caps {
        let mut caps = self.links[0].caps();
        for other in self.links[1..].iter().map(Transport::caps) {
            caps.datagram_bytes = caps.datagram_bytes.min(other.datagram_bytes);
            caps.token_bytes = caps.token_bytes.min(other.token_bytes);
            caps.burst_segments = caps.burst_segments.min(other.burst_segments);
            caps.burst_bytes = caps.burst_bytes.min(other.burst_bytes);
            caps.multicast &= other.multicast;
        }
        caps
    }

    /// Each of them, link 0 first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.links.iter()
    }

    /// Each of them, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.links.iter_mut()
    }

    /// What several links cost so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Takes a burst for sending on each of `links` (as bits; there are others than this node has: ignored).
    ///
    /// # Errors
    /// When no link took it; see [`SendError`].
    #[inline]
    pub fn send(
        &mut self,
        links: u8,
        to: Dest,
        queue: Queue,
        burst: Burst,
    ) -> Result<(), SendError> {
        if links.is_power_of_two()
            && let Some(link) = self.links.get_mut(links.trailing_zeros() as usize)
        {
            return link.send(to, queue, burst);
        }
        self.send_copies(links, to, queue, burst)
    }

    fn send_copies(
        &mut self,
        links: u8,
        to: Dest,
        queue: Queue,
        burst: Burst,
    ) -> Result<(), SendError> {
        let mut rest = links & (u8::MAX >> (LINKS_MAX - self.links.len()));
        let segment_bytes = burst.segment_bytes;
        let mut taken = Err(SendError::Full);
        while rest.count_ones() > 1 {
            let at = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            let Some(bytes) = copy_of(&self.pool, &burst.bytes) else {
                self.counters.copies_failed += 1;
                continue;
            };
            self.counters.copies += 1;
            let sent = self.links[at].send(to, queue, Burst { bytes, segment_bytes });
            taken = taken.or(sent);
        }
        match self.links.get_mut(rest.trailing_zeros() as usize) {
            Some(last) => taken.or(last.send(to, queue, burst)),
            None => taken,
        }
    }

    /// Hands everything sent since the last call to the kernel or card.
    #[inline]
    pub fn flush(&mut self) {
        self.links.iter_mut().for_each(Transport::flush);
    }

    /// Takes at most one event, with the link it came by. `prefer` is read first within a link.
    #[inline]
    pub fn poll_one(&mut self, prefer: Queue) -> Option<(u8, Event)> {
        let mut event = None;
        if let [only] = &mut self.links[..] {
            only.poll(1, prefer, &mut |came| event = Some(came));
            return event.map(|event| (0, event));
        }
        self.poll_several(prefer)
    }

    fn poll_several(&mut self, prefer: Queue) -> Option<(u8, Event)> {
        if self.run >= RUN_MAX {
            self.next_link();
        }
        for _ in 0..self.links.len() {
            let mut event = None;
            while self.links[self.current].poll(1, prefer, &mut |came| event = Some(came)) > 0 {
                self.run += 1;
                match event {
                    // A link's own doorbell: it is polled in any case.
                    Some(Event::Ready { key }) if key >= KEY_FIRST => event = None,
                    _ => break,
                }
            }
            if let Some(event) = event {
                return Some((self.current as u8, event));
            }
            self.next_link();
        }
        None
    }

    fn next_link(&mut self) {
        self.current = (self.current + 1) % self.links.len();
        self.run = 0;
    }

    /// Sleeps until there is something to poll on any link or `timeout_ns` is over (`None`: for ever).
    pub fn wait(&mut self, timeout_ns: Option<u64>) {
        let mut timeout_ns = timeout_ns.unwrap_or(u64::MAX);
        let (before, rest) = self.links.split_at_mut(self.home);
        let (own, after) = rest.split_at_mut(1);
        for link in before.iter_mut().chain(after) {
            timeout_ns = timeout_ns.min(link.doze());
            if timeout_ns == 0 {
                return own[0].flush();
            }
            if !link.is_silent() && link.doorbell().is_none() {
                timeout_ns = timeout_ns.min(BLIND_WAIT_NS);
            }
        }
        own[0].wait((timeout_ns < u64::MAX).then_some(timeout_ns));
    }

    /// See [`Transport::watch`]. Keys must be below `u64::MAX - 8`.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn watch(&mut self, fd: BorrowedFd<'_>, key: u64) -> io::Result<()> {
        self.links[self.home].watch(fd, key)
    }
}

/// The same bytes in another slot, a small one if they fit.
fn copy_of(pool: &Pool, bytes: &[u8]) -> Option<FrameMut> {
    let small = bytes.len() <= pool.slot_bytes(Class::Small);
    let mut slot = pool.alloc(if small { Class::Small } else { Class::Large })?;
    slot.truncate(bytes.len());
    slot.copy_from_slice(bytes);
    Some(slot)
}
