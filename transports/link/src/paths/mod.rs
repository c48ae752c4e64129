//! Several links to every peer: which of them work, and which are used.
//!
//! A pure machine beside [`crate::Link`], for nodes with more than one link. Every node shows itself with the
//! same numbered hello on every link, to both receive queues. So a receiver needs no clock to know that a link
//! fails: other links bring hellos that this one does not. That also tells a dead link from a dead process and
//! from a node that was late itself, for then no link brings any. What a node hears it says in its own hellos,
//! which covers the way back; all links are in each, so that one that works tells of those that do not.
//!
//! * `Passive`: frames travel on the link of the highest priority that works to all peers; if none does, on the
//!   fewest that cover them.
//! * `Active`: on every link that works; who receives drops the copies by their counters.
//! * `RoundRobin`: on one that works to all after the other.
//!
//! Frames other than data and the token are rare, and they keep the ring alive while it rests: they travel on
//! every link. (Signs of life are not rare under load: of those that follow each other quickly only some do.) So does
//! everything for a moment when something had to be sent again ([`Paths::suspect`]): hellos
//! follow each other quickly then, and a few milliseconds later it is known which link failed, if one did.
//!
//! A link that failed must work for some time before it is used again, twice as long after each failure.

mod choice;
mod path;
mod status;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use wire::hello::{Hello, LINKS_MAX};
use wire::trace::{Code, Level, Trace};
use wire::{NodeId, NodeSet, WireError};

pub use choice::Sort;
pub use path::DownCause;
use path::{Arrivals, Path, State};
pub use status::{LinkState, PathCounters};

/// Time between two hellos of a calm node, and what is added for every node: 127 peers then cost some 700
/// unicasts a second on each link.
const HELLO_NS: u64 = 50_000_000;
const HELLO_NS_PER_NODE: u64 = 1_000_000;

/// Time between two hellos when a link is suspected, and what is added for every node.
const URGENT_NS: u64 = 1_000_000;
const URGENT_NS_PER_NODE: u64 = 50_000;

/// Hellos in quick succession: one more than have to be missed, and two that may be lost themselves.
const URGENT_HELLOS: u32 = path::MISSED_MAX as u32 + 3;

/// After a suspicion that led to nothing the next one waits this long, doubled each time up to the greatest, unless
/// there is more to it ([`STRAYS_MIN`]). A ring whose nodes wait for a core sends tokens again all the time.
const CALM_NS: u64 = 10_000_000;
const CALM_NS_MAX: u64 = 640_000_000;

/// Frames that came on other links than those in use, with none on those in between, until a suspicion need not wait:
/// they are what was sent again on every link. A copy that is read first on the other link counts as well, so one or
/// two say nothing.
const STRAYS_MIN: u32 = 3;

/// A peer of which nothing came on any link for this long starts anew when it comes back: none of its links was
/// at fault. Longer than any pause that membership forgives.
const SILENT_NS: u64 = 2_000_000_000;

/// Events that may wait; more are dropped. The owner drains after every call.
const TRACES_MAX: usize = 256;

/// How several links are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The best one that works.
    Passive,
    /// All that work.
    Active,
    /// Those that work, in turn.
    RoundRobin,
}

/// The links of a node. Every node has as many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Links {
    /// How many, 1 to [`LINKS_MAX`].
    pub count: u8,
    /// How they are used.
    pub mode: Mode,
    /// By link; the highest is the best.
    pub priorities: [u8; LINKS_MAX],
}

impl Links {
    /// One link: nothing to choose.
    pub const ONE: Self = Self { count: 1, mode: Mode::Passive, priorities: [1; LINKS_MAX] };

    /// The set of all of them, as bits.
    fn all(&self) -> u8 {
        u8::MAX >> (LINKS_MAX - usize::from(self.count).clamp(1, LINKS_MAX))
    }
}

/// A peer and every link to it.
#[derive(Clone, Debug)]
struct Peer {
    node: NodeId,
    /// Life of its hellos, zero if none came.
    life: u64,
    arrivals: Arrivals,
    /// When anything came, on any link.
    heard_ns: u64,
    /// Links that work in both directions.
    usable: u8,
    /// What a frame for it alone is sent on, as far as there are such links.
    chosen: u8,
    paths: [Path; LINKS_MAX],
}

impl Peer {
    fn new(node: NodeId) -> Self {
        Self {
            node,
            life: 0,
            arrivals: Arrivals::NONE,
            heard_ns: 0,
            usable: 0,
            chosen: u8::MAX,
            paths: [Path::FRESH; LINKS_MAX],
        }
    }

    /// As if it had never been heard. [`Paths::look`] must follow.
    fn forget(&mut self, life: u64) {
        *self = Self { life, usable: self.usable, ..Self::new(self.node) };
    }
}

/// The links of one node. See the module's documentation.
#[derive(Debug)]
pub struct Paths {
    links: Links,
    /// The whole node list in ascending order; positions in hellos are about it.
    peers: Vec<Peer>,
    me_pos: usize,
    /// Position of the last frame's sender.
    recent: usize,
    list: u32,
    life: u64,
    seq: u64,
    /// What a frame for all is sent on.
    chosen: u8,
    /// Whose turn was last with `RoundRobin`, and whose is in this call.
    turn: u8,
    turn_taken: u8,
    hello_due_ns: u64,
    hello_sent_ns: u64,
    /// A hello is to be written now, and how many links and queues got it already.
    hello_written: Option<u8>,
    /// Hellos that follow in quick succession, and whether ours ask for the others'.
    urgent_left: u32,
    urgent: bool,
    /// Everything goes on every link until then.
    doubtful_until_ns: u64,
    /// No suspicion before that.
    calm_until_ns: u64,
    calm_ns: u64,
    /// Frames, hellos aside, that came on links not in use since one came on those in use.
    strays: u32,
    /// What this call sends goes on every link.
    again: bool,
    /// When an answer, and when a beacon, last went on every link.
    signs_ns: [u64; 2],
    traces: VecDeque<Trace>,
    counters: PathCounters,
}

impl Paths {
    /// The links of node `me` of a list that has it. `life` differs with every start.
    pub fn new(links: Links, me: NodeId, nodes: &[NodeId], life: u64, now_ns: u64) -> Self {
        let mut paths = Self {
            links,
            peers: Vec::new(),
            me_pos: 0,
            recent: 0,
            list: 0,
            // Zero stands for a peer that was not heard.
            life: life | 1,
            seq: 0,
            chosen: links.all(),
            turn: 0,
            turn_taken: 0,
            hello_due_ns: now_ns,
            hello_sent_ns: 0,
            hello_written: None,
            urgent_left: 0,
            urgent: false,
            doubtful_until_ns: 0,
            calm_until_ns: 0,
            calm_ns: CALM_NS,
            strays: 0,
            again: false,
            signs_ns: [0; 2],
            traces: VecDeque::new(),
            counters: PathCounters::default(),
        };
        paths.set_nodes(me, nodes);
        paths
    }

    /// Takes over another node list that has this node; what is known of those who stay is kept.
    pub fn set_nodes(&mut self, me: NodeId, nodes: &[NodeId]) {
        let mut sorted = nodes.to_vec();
        sorted.sort_unstable();
        let mut known = core::mem::take(&mut self.peers);
        for node in &sorted {
            let at = known.iter().position(|peer| peer.node == *node);
            self.peers.push(at.map_or_else(|| Peer::new(*node), |at| known.swap_remove(at)));
        }
        self.me_pos = sorted.binary_search(&me).unwrap_or(0);
        self.recent = 0;
        self.list = hash_of(&sorted);
        // What others say about positions is about another list until they have this one.
        self.choose();
    }

    /// Takes over another mode and other priorities.
    pub fn set_links(&mut self, mode: Mode, priorities: [u8; LINKS_MAX]) {
        (self.links.mode, self.links.priorities) = (mode, priorities);
        self.choose();
    }

    /// An authentic frame of a peer came.
    #[inline]
    pub fn heard(&mut self, now_ns: u64, from: NodeId, link: u8, token_queue: bool) {
        let Some(pos) = self.position(from) else { return };
        let peer = &mut self.peers[pos];
        peer.heard_ns = now_ns;
        if let Some(path) = peer.paths.get_mut(usize::from(link)) {
            path.heard(token_queue, peer.arrivals.newest);
        }
    }

    /// A frame other than a hello came; [`Paths::heard`] was told before.
    #[inline]
    pub fn carried(&mut self, now_ns: u64, link: u8) {
        // In doubt everything travels everywhere, and which copy is read first says nothing.
        let in_use = self.chosen >> link.min(7) & 1 == 1 || now_ns < self.doubtful_until_ns;
        self.strays = if in_use { 0 } else { self.strays.saturating_add(1) };
    }

    /// A hello came; [`Paths::heard`] was told before.
    ///
    /// # Errors
    /// When it is malformed or came on another link than it was sent on.
    pub fn on_hello(
        &mut self,
        now_ns: u64,
        from: NodeId,
        link: u8,
        token_queue: bool,
        frame: &[u8],
    ) -> Result<(), WireError> {
        self.counters.hellos_received += 1;
        let hello = Hello::parse(frame).inspect_err(|_| self.counters.hellos_refused += 1)?;
        let Some(pos) = self.position(from).filter(|pos| *pos != self.me_pos) else {
            return Ok(());
        };
        if hello.link != link || link >= self.links.count || hello.token_queue != token_queue {
            // Cables, or addresses, are crossed: what it proves is about no link of ours.
            self.counters.hellos_misplaced += 1;
            return Ok(());
        }
        let peer = &mut self.peers[pos];
        if hello.life != peer.life {
            peer.forget(hello.life);
        }
        peer.heard_ns = now_ns;
        let is_newest = hello.seq > peer.arrivals.newest;
        peer.arrivals.note(now_ns, hello.seq);
        peer.paths[usize::from(link)].hello(now_ns, token_queue, hello.seq, &peer.arrivals);
        if is_newest && hello.list == self.list {
            for (path, hears) in peer.paths.iter_mut().zip(&hello.hears) {
                path.heard_by = hears.contains(self.me_pos);
            }
        }
        if hello.urgent && is_newest {
            self.answer_urgent(now_ns);
        }
        self.judge(now_ns, pos);
        Ok(())
    }

    /// Somebody else suspects a link: show which of ours work, and be careful meanwhile.
    fn answer_urgent(&mut self, now_ns: u64) {
        if self.urgent_left == 0 {
            self.urgent_left = URGENT_HELLOS;
            self.doubt(now_ns);
            self.hello_soon(now_ns);
        }
    }

    /// Judges every link of a peer.
    fn judge(&mut self, now_ns: u64, pos: usize) {
        let peer = &mut self.peers[pos];
        let mut changed = false;
        for path in peer.paths.iter_mut().take(self.links.count.into()) {
            changed |= path.judge(now_ns, &peer.arrivals);
        }
        if changed {
            // The other side learns from it what it can use.
            self.hello_soon(now_ns);
        }
        self.look(pos);
    }

    /// Compares what can be used of a peer's links with what could before.
    fn look(&mut self, pos: usize) {
        let peer = &mut self.peers[pos];
        let usable = peer.paths.iter().enumerate();
        let usable = usable.fold(0, |set, (link, path)| set | u8::from(path.is_usable()) << link);
        let changed = core::mem::replace(&mut peer.usable, usable) ^ usable;
        if changed == 0 {
            return;
        }
        for link in (0..self.links.count).filter(|link| changed >> link & 1 == 1) {
            self.report(pos, link);
        }
        self.calm_ns = CALM_NS;
        self.calm_until_ns = 0;
        self.choose();
    }

    /// A link to a peer came or went.
    fn report(&mut self, pos: usize, link: u8) {
        let (node, path) = (self.peers[pos].node, &self.peers[pos].paths[usize::from(link)]);
        let who = [link.into(), node.0.into()];
        let trace = if path.is_usable() {
            self.counters.links_up += 1;
            let args = [who[0], who[1], path.probation_ns() / 1_000_000, path.flaps.into()];
            Trace::new(Level::Info, Code::LinkUp, &args)
        } else {
            self.counters.links_down += 1;
            let (cause, missed) = match path.state {
                State::Up => (DownCause::NotHeard, 0),
                State::Down => (path.cause, path.missed),
                State::Fresh => (DownCause::Silent, 0),
            };
            let level = if cause == DownCause::Silent { Level::Info } else { Level::Warn };
            Trace::new(level, Code::LinkDown, &[who[0], who[1], cause as u64, missed])
        };
        self.trace(trace);
    }

    /// Something had to be sent again: what this call sends goes on every link, and hellos show whether one
    /// failed.
    pub fn suspect(&mut self, now_ns: u64) {
        self.again = true;
        let is_calm = now_ns < self.calm_until_ns && self.strays < STRAYS_MIN;
        if is_calm || self.urgent_left > 0 {
            return;
        }
        self.strays = 0;
        self.counters.suspicions += 1;
        self.urgent = true;
        self.urgent_left = URGENT_HELLOS;
        self.doubt(now_ns);
        self.calm_until_ns = self.doubtful_until_ns + self.calm_ns;
        self.calm_ns = (self.calm_ns * 2).min(CALM_NS_MAX);
        self.hello_soon(now_ns);
    }

    /// Everything goes on every link until the hellos have shown what they can.
    fn doubt(&mut self, now_ns: u64) {
        let rounds = u64::from(URGENT_HELLOS) + 2;
        self.doubtful_until_ns = now_ns + rounds * self.urgent_ns();
    }

    /// Nobody is at a peer's address on a link, it is said. Whether that may be passed on: only when all links
    /// that worked, or brought anything lately, say so, for a link that fails says the like, and one where a packet
    /// filter answers.
    pub fn unreachable(&mut self, now_ns: u64, peer: NodeId, link: u8) -> bool {
        let Some(pos) = self.position(peer) else { return true };
        let peer = &mut self.peers[pos];
        let Some(path) = peer.paths.get_mut(usize::from(link)) else { return true };
        path.hinted = true;
        let works =
            |at: usize| peer.usable >> at & 1 == 1 || peer.paths[at].is_heard(&peer.arrivals);
        let mut working = (0..usize::from(self.links.count)).filter(|at| works(*at));
        if working.all(|at| peer.paths[at].hinted) {
            // The next one has to be said by all of them again.
            peer.paths.iter_mut().for_each(|path| path.hinted = false);
            return true;
        }
        if peer.usable >> link & 1 == 1 {
            // Hellos go everywhere and are answered with the same where a process is gone.
            self.suspect(now_ns);
            self.again = false;
        }
        false
    }

    /// Does what is due.
    pub fn timeout(&mut self, now_ns: u64) {
        if now_ns < self.hello_due_ns {
            return;
        }
        self.seq += 1;
        self.hello_written = Some(0);
        let wait_ns = if self.urgent_left > 0 { self.urgent_ns() } else { self.hello_ns() };
        self.hello_due_ns = now_ns + wait_ns;
        self.hello_sent_ns = now_ns;
        if self.urgent_left > 0 {
            self.urgent_left -= 1;
        }
        for pos in 0..self.peers.len() {
            let peer = &mut self.peers[pos];
            let silent = now_ns.saturating_sub(peer.heard_ns) >= SILENT_NS;
            if peer.life != 0 && silent {
                // No link is at fault. Its next hello is of a life that is not known any more.
                peer.forget(0);
                self.look(pos);
            }
        }
    }

    /// When [`Paths::timeout`] wants to be called.
    pub fn next_timeout(&self) -> u64 {
        self.hello_due_ns
    }

    /// Writes the next hello that is due and says where it goes: the link and whether to the token's queue. Call
    /// it until there is none; one that does not fit is lost.
    pub fn poll_hello(&mut self, out: &mut [u8]) -> Option<(usize, u8, bool)> {
        let written = self.hello_written?;
        let (link, token_queue) = (written / 2, written % 2 == 1);
        if link >= self.links.count {
            self.hello_written = None;
            self.urgent &= self.urgent_left > 0;
            return None;
        }
        self.hello_written = Some(written + 1);
        self.counters.hellos_sent += 1;
        let mut hears = [NodeSet::EMPTY; LINKS_MAX];
        for (pos, peer) in self.peers.iter().enumerate() {
            for (set, path) in hears.iter_mut().zip(&peer.paths) {
                if path.state == State::Up {
                    set.insert(pos);
                }
            }
        }
        let hello = Hello {
            urgent: self.urgent,
            token_queue,
            link,
            life: self.life,
            seq: self.seq,
            list: self.list,
            links: self.links.count,
            hears,
        };
        Some((hello.emit(self.peers.len(), out).unwrap_or(0), link, token_queue))
    }

    /// Whether a hello waits to be written.
    pub fn has_hello(&self) -> bool {
        self.hello_written.is_some()
    }

    /// What is to be remembered.
    pub fn poll_trace(&mut self) -> Option<Trace> {
        self.traces.pop_front()
    }

    /// What happened so far.
    pub fn counters(&self) -> &PathCounters {
        &self.counters
    }

    fn hello_ns(&self) -> u64 {
        HELLO_NS + self.peers.len() as u64 * HELLO_NS_PER_NODE
    }

    fn urgent_ns(&self) -> u64 {
        URGENT_NS + self.peers.len() as u64 * URGENT_NS_PER_NODE
    }

    /// The next hello goes now, or as soon as one may follow the last.
    fn hello_soon(&mut self, now_ns: u64) {
        let soon_ns = now_ns.max(self.hello_sent_ns.saturating_add(self.urgent_ns()));
        self.hello_due_ns = self.hello_due_ns.min(soon_ns);
    }

    fn trace(&mut self, trace: Trace) {
        if self.traces.len() < TRACES_MAX {
            self.traces.push_back(trace);
        }
    }

    #[inline]
    fn position(&mut self, node: NodeId) -> Option<usize> {
        if self.peers.get(self.recent).is_none_or(|peer| peer.node != node) {
            self.recent = self.peers.binary_search_by_key(&node, |peer| peer.node).ok()?;
        }
        Some(self.recent)
    }
}

/// FNV-1a over the ids: finds lists that differ, by accident.
fn hash_of(nodes: &[NodeId]) -> u32 {
    let bytes = nodes.iter().flat_map(|node| node.0.to_le_bytes());
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests;
