//! The transport: what the engine calls.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use ::transport::{Burst, Caps, Dest, Event, Queue, SendError, Staged, Transport};
use frame::{Class, Pool};

use crate::config::{Config, Warning};
use crate::counters::Counters;
use crate::device::{CONNECTION_SENDS, DATAGRAM_KEY, DATAGRAM_SENDS, Device, Membership};
use crate::error::Error;
use crate::loss::Parting;
use crate::peer::Peer;
use crate::receive::Receives;
use crate::sends::{Held, Part, SendQueue, To};
use crate::waits::Waits;

/// Datagrams in one burst: a queue of 512 takes eight of them.
const BURST_SEGMENTS: usize = 64;

/// A stopped connection's queue, kept until what is under way in it was flushed.
pub(crate) struct Closing {
    pub(crate) queue: SendQueue,
    pub(crate) until_ns: u64,
}

/// Monotonic time since the transport was made.
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn now_ns(&self) -> u64 {
        // Nanoseconds of five hundred years fit.
        self.0.elapsed().as_nanos() as u64
    }
}

/// Datagrams over verbs. Made, used and dropped on one thread.
pub struct VerbsTransport {
    /// `None` while there is none with our address.
    pub(crate) device: Option<Device>,
    pub(crate) peers: Vec<Peer>,
    pub(crate) closing: VecDeque<Closing>,
    pub(crate) partings: VecDeque<Parting>,
    pub(crate) held: Held,
    pub(crate) receives: Receives,
    pub(crate) waits: Waits,
    pub(crate) staged: Staged,
    pub(crate) config: Config,
    pub(crate) counters: Counters,
    pub(crate) pool: Pool,
    pub(crate) clock: Clock,
    /// Differs between starts, for peers to tell them apart.
    pub(crate) start: u64,
    /// Numbers queue pairs, so that completions of old ones are known as such.
    pub(crate) generation: u16,
    /// The device said that it is going.
    pub(crate) lost: bool,
    /// The datagram queue pair has stopped and must be started anew.
    pub(crate) datagrams_failed: bool,
    pub(crate) next_revive_ns: u64,
    pub(crate) next_look_ns: u64,
    pub(crate) next_open_ns: u64,
    caps: Caps,
    warnings: Vec<Warning>,
}

impl VerbsTransport {
    /// Finds the device, registers the region and starts receiving into `pool`; connections are made
    /// while the transport is polled. Call it on the thread that will use it.
    ///
    /// # Errors
    /// See [`Error`]: every variant says what was tried and what to change.
    pub fn new(config: Config, pool: Pool) -> Result<Self, Error> {
        config.check().map_err(Error::Config)?;
        let (mut counters, mut warnings) = (Counters::default(), Vec::new());
        let waits = Waits::new().map_err(|e| Error::at("make an epoll descriptor", e))?;
        let device = Device::open(&config, &pool, &mut counters, &mut warnings, true)?;
        waits.watch_device(&device).map_err(|e| Error::at("listen to the device", e))?;
        let caps = limits(&config, &pool, &device, &mut warnings);
        let peers = config.peers.len();
        let sends = DATAGRAM_SENDS + 2 * CONNECTION_SENDS * peers as u32;
        let started = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let mut transport = Self {
            receives: Receives::new(pool.clone(), device.depths),
            device: Some(device),
            peers: (0..peers).map(|_| Peer::new()).collect(),
            closing: VecDeque::new(),
            partings: VecDeque::new(),
            held: Held::new(sends),
            waits,
            staged: Staged::new(peers, 64, 1024),
            config,
            counters,
            pool,
            clock: Clock(Instant::now()),
            start: started.map_or(0, |time| time.as_nanos() as u64),
            generation: 0,
            lost: false,
            datagrams_failed: false,
            next_revive_ns: 0,
            next_look_ns: 0,
            next_open_ns: 0,
            caps,
            warnings,
        };
        transport.refill();
        transport.tend(0);
        Ok(transport)
    }

    /// What the host gives less of than was asked for.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Peers to whom both connections are up.
    pub fn peers_connected(&self) -> usize {
        let connected = |peer: &&Peer| peer.connections.iter().all(crate::peer::Connection::is_up);
        self.peers.iter().filter(connected).count()
    }

    /// Whether a multicast reaches the group; otherwise what goes to all is sent to each.
    pub fn in_group(&self) -> bool {
        self.device.as_ref().is_some_and(|d| matches!(d.membership, Membership::In { .. }))
    }

    /// Name of the device in use; `None` while there is none.
    pub fn device(&self) -> Option<&str> {
        self.device.as_ref().map(|device| device.name.as_str())
    }

    /// Slots lent to the device for receiving.
    pub fn slots_lent(&self) -> u32 {
        self.receives.lent()
    }

    /// One message over a peer's connection; false if its queue is full.
    fn send_peer(&mut self, at: u16, queue: Queue, whole: Part, segment_bytes: usize) -> bool {
        let lane = usize::from(queue == Queue::Data);
        let peer = &mut self.peers[usize::from(at)];
        let up = peer.connections[lane].is_up();
        let Some(sends) = peer.connections[lane].queue.as_mut().filter(|_| up) else {
            self.counters.sends_unconnected += 1;
            if peer.gone {
                self.stage_unreachable(at);
            }
            return true;
        };
        if sends.room() == 0 {
            sends.post(&mut self.held, &mut self.counters);
            return false;
        }
        // Segments fit a slot, and a slot 32 bits.
        let taken = sends.stage(&mut self.held, whole, Some(segment_bytes as u32), None);
        self.counters.datagrams_sent += whole.len.div_ceil(segment_bytes) as u64;
        self.counters.bytes_sent += whole.len as u64;
        taken
    }

    /// Datagrams over the datagram queue pair: to the group, or to each peer whose queue pair is known.
    fn send_all(&mut self, whole: Part, segment_bytes: usize) -> bool {
        if self.datagrams_failed {
            self.counters.sends_unconnected += 1;
            return true;
        }
        let Some(device) = &mut self.device else { return true };
        let Some(sends) = &mut device.datagrams else { return true };
        let segments = whole.len.div_ceil(segment_bytes);
        let peer_to = |peer: &Peer| {
            let (handle, number) = peer.datagrams.as_ref()?;
            Some(To { handle: handle.raw(), number: *number, key: DATAGRAM_KEY })
        };
        let group = match &device.membership {
            Membership::In { group, handle } => {
                Some(To { handle: handle.raw(), number: group.number, key: group.key })
            }
            _ => None,
        };
        let each = || self.peers.iter().filter_map(peer_to);
        let copies = if group.is_some() { 1 } else { each().count() };
        if sends.room() < copies * segments {
            sends.post(&mut self.held, &mut self.counters);
            return false;
        }
        let targets =
            group.into_iter().chain(each().take(if group.is_some() { 0 } else { copies }));
        for to in targets {
            for from in (0..whole.len).step_by(segment_bytes) {
                let len = segment_bytes.min(whole.len - from);
                sends.stage(&mut self.held, Part { from, len, ..whole }, None, Some(to));
            }
        }
        self.counters.datagrams_sent += (copies * segments) as u64;
        self.counters.bytes_sent += (copies * whole.len) as u64;
        true
    }

    fn send_held(&mut self, to: Dest, queue: Queue, whole: Part, segment_bytes: usize) -> bool {
        let fits = self.device.as_ref().is_none_or(|device| segment_bytes <= device.mtu_bytes);
        match to {
            Dest::Peer(at) => self.send_peer(at, queue, whole, segment_bytes),
            Dest::All if queue == Queue::Data && fits => self.send_all(whole, segment_bytes),
            Dest::All => {
                let me = self.config.me;
                for at in (0..self.peers.len() as u16).filter(|at| *at != me) {
                    if !self.send_peer(at, queue, whole, segment_bytes) {
                        self.counters.sends_crowded += 1;
                    }
                }
                true
            }
        }
    }

    fn send_to(&mut self, to: Dest, queue: Queue, burst: Burst) -> Result<(), SendError> {
        let (len, segment_bytes) = (burst.bytes.len(), burst.segment_bytes.max(1));
        self.caps.check(queue, len, segment_bytes)?;
        if let Dest::Peer(at) = to
            && usize::from(at) >= self.peers.len()
        {
            return Err(SendError::NoSuchPeer(at));
        }
        if len == 0 {
            return Ok(());
        }
        let segment_bytes = segment_bytes.min(len);
        let Some(held) = self.held.take(burst.bytes) else { return Err(SendError::Full) };
        let whole = Part { held, from: 0, len };
        let mut taken = self.send_held(to, queue, whole, segment_bytes);
        if !taken {
            // The card may have finished some that we have not looked at yet.
            self.collect();
            taken = self.send_held(to, queue, whole, segment_bytes);
        }
        self.held.release(held);
        if taken {
            self.counters.bursts_sent += 1;
            return Ok(());
        }
        Err(SendError::Full)
    }

    /// Posts everything staged, one doorbell for each queue.
    fn post(&mut self) {
        let Self { device, peers, held, counters, .. } = self;
        // Tokens first: their receivers can work while the rest is under way.
        for peer in &mut *peers {
            for connection in &mut peer.connections {
                if let Some(queue) = &mut connection.queue {
                    queue.post(held, counters);
                }
            }
        }
        if let Some(datagrams) = device.as_mut().and_then(|device| device.datagrams.as_mut()) {
            datagrams.post(held, counters);
        }
    }

    /// Posts what is staged and makes completions ring; false if there is something to poll.
    fn arm(&mut self) -> bool {
        self.refill();
        self.post();
        if let Some(device) = &self.device {
            device.bell.hush();
            device.token_completions.arm(false);
            device.data_completions.arm(false);
            // A send that went well frees a slot, which can wait; one that failed is news.
            device.sends.arm(true);
        }
        // What came before the bells were armed rings none.
        self.collect();
        self.staged.is_empty()
    }

    /// After how many nanoseconds something is to be done although nothing comes.
    fn due_in_ns(&self) -> Option<u64> {
        let now_ns = self.clock.now_ns();
        self.due_ns().map(|at_ns| at_ns.saturating_sub(now_ns))
    }
}

/// What the device and the slots allow.
fn limits(config: &Config, pool: &Pool, device: &Device, warnings: &mut Vec<Warning>) -> Caps {
    let (large, small) = (pool.slot_bytes(Class::Large), pool.slot_bytes(Class::Small));
    let datagram_bytes = config.datagram_bytes_max.unwrap_or(device.mtu_bytes).min(large);
    if datagram_bytes > device.mtu_bytes {
        let (device, mtu_bytes) = (device.name.clone(), device.mtu_bytes);
        warnings.push(Warning::LargeDatagrams { device, mtu_bytes });
    }
    Caps {
        datagram_bytes,
        token_bytes: datagram_bytes.min(small),
        burst_segments: BURST_SEGMENTS,
        burst_bytes: large,
        multicast: config.multicast.is_some(),
    }
}

impl Transport for VerbsTransport {
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
        self.post();
    }

    fn poll(&mut self, budget: usize, prefer: Queue, sink: &mut dyn FnMut(Event)) -> usize {
        self.collect();
        self.look(self.clock.now_ns());
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
        if !self.arm() {
            return;
        }
        self.counters.waits += 1;
        let due_ns = self.due_in_ns();
        let timeout_ns = [timeout_ns, due_ns].into_iter().flatten().min();
        if self.waits.wait(timeout_ns, &mut self.staged) || due_ns.is_some() {
            self.next_look_ns = 0;
        }
        self.collect();
    }

    fn doorbell(&mut self) -> Option<BorrowedFd<'_>> {
        Some(self.waits.fd())
    }

    fn doze(&mut self) -> u64 {
        // Events that are there already may have rung before: they ring no more.
        self.next_look_ns = 0;
        self.look(self.clock.now_ns());
        // Whoever sleeps for us is told of the bell, not of what rang: the next poll looks at everything.
        self.next_look_ns = 0;
        if self.arm() { self.due_in_ns().unwrap_or(u64::MAX) } else { 0 }
    }

    fn watch(&mut self, fd: BorrowedFd<'_>, key: u64) -> io::Result<()> {
        self.waits.watch(fd, key)
    }

    fn unwatch(&mut self, key: u64) {
        self.waits.unwatch(key);
    }

    fn counters(&self, sink: &mut dyn FnMut(&'static str, u64)) {
        self.counters.fields().for_each(|(name, value)| sink(name, value));
        sink("peers_connected", self.peers_connected() as u64);
        sink("in_group", u64::from(self.in_group()));
    }
}

impl Drop for VerbsTransport {
    fn drop(&mut self) {
        self.post();
        self.take_apart(0);
    }
}
