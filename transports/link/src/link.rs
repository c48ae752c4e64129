//! The machine: opens what arrives, seals what is sent.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use frame::FrameMut;
use wire::link::{HANDSHAKE_BYTES, HeaderError, LINK_HEADER_BYTES, LinkHeader, LinkKind};
use wire::trace::{Code, Level, Trace};
use wire::{BootId, NodeId};

use crate::Config;
use crate::counters::{Counters, DropReason};
use crate::handshake::Nonces;
use crate::keys::{Keyring, cluster_tag};
use crate::output::{Output, PeerStatus, SecurityStatus, Timer};
use crate::peer::{Held, Peer};
use crate::protection::trailer_bytes;
use crate::roll::Roll;

/// Outputs kept for one peer at most, and as many again for traces; more are dropped, which costs a
/// retry. The owner drains after every call, so the queue never comes near.
const OUTPUTS_PER_PEER: usize = 4;

/// Drops of one reason are reported at most this often.
const TRACE_GAP_NS: u64 = 1_000_000_000;

/// A frame of the layer above, from a peer whose key and boot were checked.
#[derive(Debug)]
pub struct Opened {
    /// Who sealed it.
    pub from: NodeId,
    /// Its bytes.
    pub body: FrameMut,
}

/// When drops of one reason were last reported, and how many came since.
#[derive(Clone, Copy, Default)]
struct Report {
    last_ns: Option<u64>,
    unreported: u64,
}

/// The link layer of one node. See the crate's documentation.
pub struct Link {
    pub(crate) me: NodeId,
    pub(crate) boot: BootId,
    cluster: u64,
    pub(crate) keys: Keyring,
    pub(crate) roll: Roll,
    /// The next datagram's counter: one sequence for all kinds, queues and epochs of this boot.
    counter: u64,
    /// In ascending order of node id.
    pub(crate) peers: Vec<Peer>,
    /// Place of the last datagram's sender: most often the next one's as well.
    recent: usize,
    /// What a datagram that was seen before counts as.
    seen_before: DropReason,
    pub(crate) nonces: Nonces,
    outputs: VecDeque<Output>,
    outputs_max: usize,
    reports: [Report; DropReason::ALL.len()],
    pub(crate) due: Option<(u64, Timer)>,
    pub(crate) counters: Counters,
}

impl Link {
    /// A link layer that knows nobody's boot yet.
    pub fn new(config: Config<'_>) -> Self {
        let Config { me, peers, cluster_name, security, boot, seed } = config;
        let nodes = sorted_peers(peers, me);
        let outputs_max = outputs_max(nodes.len());
        Self {
            me,
            boot,
            cluster: cluster_tag(cluster_name),
            keys: Keyring::new(me, boot, cluster_name, security),
            roll: Roll::default(),
            counter: 0,
            peers: nodes.into_iter().map(Peer::new).collect(),
            recent: 0,
            seen_before: DropReason::Replay,
            nonces: Nonces::new(seed, boot),
            outputs: VecDeque::with_capacity(outputs_max),
            outputs_max,
            reports: [Report::default(); DropReason::ALL.len()],
            due: None,
            counters: Counters::default(),
        }
    }

    /// From now on datagrams may come several times, by several links: a second one is no attack.
    pub fn expect_copies(&mut self) {
        self.seen_before = DropReason::Duplicate;
    }

    /// Bytes that sealing adds to a body, padding aside.
    pub fn overhead_bytes(&self) -> usize {
        LINK_HEADER_BYTES + trailer_bytes(self.keys.is_sealed())
    }

    /// Writes a datagram with this body to the start of `out` and returns its length, which is the
    /// body's plus [`Link::overhead_bytes`]. The caller may pad it with zeros. `None` when `out` is too
    /// small, the body is empty or longer than [`wire::link::BODY_BYTES_MAX`].
    pub fn seal(&mut self, body: &[u8], out: &mut [u8]) -> Option<usize> {
        let sealed = if body.is_empty() {
            None
        } else {
            self.seal_kind(LinkKind::Frame, self.keys.sending(), body, out)
        };
        match sealed {
            Some(len) => {
                self.counters.sealed += 1;
                self.counters.sealed_bytes += body.len() as u64;
                Some(len)
            }
            None => {
                self.counters.seal_failures += 1;
                None
            }
        }
    }

    /// Seals any kind under an epoch that we hold.
    pub(crate) fn seal_kind(
        &mut self,
        kind: LinkKind,
        epoch: u8,
        body: &[u8],
        out: &mut [u8],
    ) -> Option<usize> {
        // The last counter is never used: the receiver's window could not tell what follows it.
        let counter = self.counter;
        let next = counter.checked_add(1)?;
        let (epoch, own) = self.keys.own(epoch);
        let header = LinkHeader {
            kind,
            sealed: self.keys.is_sealed(),
            epoch,
            newest_epoch: self.keys.newest(),
            body_len: 0,
            sender: self.me,
            cluster: self.cluster,
            boot: self.boot,
            counter,
        };
        // Counted up before sealing: even a failed attempt must not leave its nonce to another.
        self.counter = next;
        own.seal(&header, body, out)
    }

    /// Takes one received datagram. Returns the frame in it; `None` when it was the link layer's own or
    /// was dropped and counted. A handshake that proves a peer's boot returns the frame of that boot
    /// that was held back meanwhile.
    pub fn open(&mut self, now_ns: u64, mut datagram: FrameMut) -> Option<Opened> {
        let (header, peer) = match self.check(&datagram) {
            Ok(checked) => checked,
            Err((reason, peer)) => {
                self.dropped(now_ns, reason, peer);
                return None;
            }
        };
        self.recent = peer;
        datagram.truncate(self.overhead_bytes() + usize::from(header.body_len));
        let opened = if self.peers[peer].is_accepted(header.boot) {
            self.open_accepted(now_ns, peer, &header, datagram)
        } else {
            self.open_unknown(now_ns, peer, &header, datagram)
        };
        opened.unwrap_or_else(|reason| {
            self.dropped(now_ns, reason, Some(peer));
            None
        })
    }

    /// Everything that can be said without the key. Gives the header and the peer's place.
    fn check(&self, datagram: &[u8]) -> Result<(LinkHeader, usize), (DropReason, Option<usize>)> {
        let header = LinkHeader::parse(datagram).map_err(|error| (reason_of(error), None))?;
        let fail = |reason| Err((reason, None));
        if header.cluster != self.cluster {
            return fail(DropReason::WrongCluster);
        }
        if header.sender == self.me {
            let own = header.boot == self.boot;
            return fail(if own { DropReason::OwnFrame } else { DropReason::SameNodeId });
        }
        let Some(peer) = self.place_of(header.sender) else {
            return fail(DropReason::UnknownSender);
        };
        let fail = |reason| Err((reason, Some(peer)));
        if header.sealed != self.keys.is_sealed() {
            return fail(DropReason::WrongSecurity);
        }
        let body_len = usize::from(header.body_len);
        let fits = match header.kind {
            LinkKind::Frame => body_len > 0,
            LinkKind::Handshake => body_len == HANDSHAKE_BYTES,
        };
        if !fits {
            return fail(DropReason::BadLength);
        }
        let Some(padding) = datagram.get(self.overhead_bytes() + body_len..) else {
            return fail(DropReason::Truncated);
        };
        if padding.iter().any(|byte| *byte != 0) {
            return fail(DropReason::BadLength);
        }
        if !self.keys.holds(header.epoch) {
            return fail(DropReason::UnknownEpoch);
        }
        Ok((header, peer))
    }

    /// Where a peer stands in `peers`.
    #[inline]
    fn place_of(&self, node: NodeId) -> Option<usize> {
        match self.peers.get(self.recent) {
            Some(peer) if peer.node == node => Some(self.recent),
            _ => self.peers.binary_search_by_key(&node, |peer| peer.node).ok(),
        }
    }

    /// Opens a datagram of the boot we know.
    fn open_accepted(
        &mut self,
        now_ns: u64,
        at: usize,
        header: &LinkHeader,
        mut datagram: FrameMut,
    ) -> Result<Option<Opened>, DropReason> {
        let newest = self.keys.newest();
        let peer = &mut self.peers[at];
        let accepted = peer.accepted.as_mut().ok_or(DropReason::UnknownBoot)?;
        if !accepted.window.is_new(header.counter) {
            return Err(self.seen_before);
        }
        let protection = accepted.keys.get(header.epoch).ok_or(DropReason::UnknownEpoch)?;
        protection.open(header.counter, &mut datagram).map_err(|_| DropReason::BadTag)?;
        accepted.window.insert(header.counter);
        accepted.heard_ns = now_ns;
        let news = accepted.newest_epoch != header.newest_epoch
            || (!accepted.uses_newest && header.epoch == newest);
        if news {
            accepted.newest_epoch = header.newest_epoch;
            accepted.uses_newest |= header.epoch == newest;
            self.consider_roll(now_ns);
        }
        let body = body_of(datagram, header);
        match header.kind {
            LinkKind::Frame => Ok(Some(self.hand_up(at, body))),
            LinkKind::Handshake => self.handshake(now_ns, at, header, &body),
        }
    }

    /// Opens a datagram of a boot that has not proved itself. What is learnt from it is never more than
    /// a reason to ask, or to answer.
    fn open_unknown(
        &mut self,
        now_ns: u64,
        at: usize,
        header: &LinkHeader,
        mut datagram: FrameMut,
    ) -> Result<Option<Opened>, DropReason> {
        let peer = &mut self.peers[at];
        if peer.previous == Some(header.boot) {
            return Err(DropReason::OldBoot);
        }
        let may_ask = peer.question.is_none_or(|question| question.may_repeat(now_ns));
        if header.kind == LinkKind::Frame && !may_ask {
            // Nothing could follow from it: not worth the key derivation.
            return Err(DropReason::UnknownBoot);
        }
        let protection = self
            .keys
            .derive(header.epoch, header.sender, header.boot)
            .ok_or(DropReason::UnknownEpoch)?;
        protection.open(header.counter, &mut datagram).map_err(|_| DropReason::BadTag)?;
        let body = body_of(datagram, header);
        match header.kind {
            LinkKind::Frame => {
                peer.held = Some(Held { boot: header.boot, counter: header.counter, body });
                self.counters.held += 1;
                self.dropped(now_ns, DropReason::UnknownBoot, Some(at));
                self.ask(now_ns, at, header.epoch, None);
                Ok(None)
            }
            LinkKind::Handshake => self.handshake(now_ns, at, header, &body),
        }
    }

    /// Counts a frame and names its sender.
    pub(crate) fn hand_up(&mut self, at: usize, body: FrameMut) -> Opened {
        let peer = &mut self.peers[at];
        peer.opened += 1;
        self.counters.opened += 1;
        self.counters.opened_bytes += body.len() as u64;
        Opened { from: peer.node, body }
    }

    /// Counts a dropped datagram and reports it, but not too often.
    fn dropped(&mut self, now_ns: u64, reason: DropReason, peer: Option<usize>) {
        self.counters.drops.add(reason);
        let node = match peer {
            Some(at) => {
                self.peers[at].drops.add(reason);
                self.peers[at].node.0.into()
            }
            None => 0,
        };
        let report = &mut self.reports[reason as usize];
        report.unreported += 1;
        let level = match reason {
            DropReason::OwnFrame | DropReason::Duplicate => return,
            DropReason::UnknownBoot | DropReason::OldBoot | DropReason::Replay => Level::Debug,
            _ => Level::Warn,
        };
        if report.last_ns.is_some_and(|last| now_ns.saturating_sub(last) < TRACE_GAP_NS) {
            return;
        }
        report.last_ns = Some(now_ns);
        let count = core::mem::take(&mut report.unreported);
        self.output(Output::Trace(Trace::new(
            level,
            Code::LinkDrop,
            &[reason as u64, count, node],
        )));
    }

    /// Queues an output; false when the queue is full.
    pub(crate) fn output(&mut self, output: Output) -> bool {
        let room = self.outputs.len() < self.outputs_max;
        if room {
            self.outputs.push_back(output);
        }
        room
    }

    /// The next thing to do, oldest first. Drain it after every call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Link::timeout`] wants to be called, and why.
    pub fn next_timeout(&self) -> Option<(u64, Timer)> {
        self.due
    }

    /// Does everything that is due.
    pub fn timeout(&mut self, now_ns: u64) {
        if self.due.is_none_or(|(due_ns, _)| due_ns > now_ns) {
            return;
        }
        self.ask_again(now_ns);
        self.consider_roll(now_ns);
        self.refresh_due();
    }

    /// Finds the earliest timer.
    pub(crate) fn refresh_due(&mut self) {
        let questions = self.peers.iter().filter_map(|peer| peer.question?.due_ns());
        let asks = questions.min().map(|at| (at, Timer::AskAgain));
        let roll = self.roll.due_ns().map(|at| (at, Timer::KeyRoll));
        self.due = [asks, roll].into_iter().flatten().min_by_key(|(at, _)| *at);
    }

    /// Takes over another list of peers. What is known of those who stay is kept; who is not in it is
    /// a stranger from now on.
    pub fn set_peers(&mut self, nodes: &[NodeId]) {
        let mut known = core::mem::take(&mut self.peers);
        for node in sorted_peers(nodes.to_vec(), self.me) {
            let at = known.iter().position(|peer| peer.node == node);
            self.peers.push(at.map_or_else(|| Peer::new(node), |at| known.swap_remove(at)));
        }
        self.outputs_max = outputs_max(self.peers.len());
        self.refresh_due();
    }

    /// What is known of each peer, in ascending order of node id.
    pub fn peers(&self) -> impl Iterator<Item = PeerStatus> + '_ {
        self.peers.iter().map(|peer| {
            let accepted = peer.accepted.as_ref();
            PeerStatus {
                node: peer.node,
                boot: accepted.map(|accepted| accepted.boot),
                heard_ns: accepted.map(|accepted| accepted.heard_ns),
                opened: peer.opened,
                newest_epoch: accepted.map(|accepted| accepted.newest_epoch),
                drops: peer.drops,
            }
        })
    }

    /// How datagrams are protected now.
    pub fn security(&self) -> SecurityStatus {
        SecurityStatus {
            provider: self.keys.provider(),
            sending_epoch: self.keys.sending(),
            newest_epoch: self.keys.newest(),
            epochs: self.keys.len(),
        }
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// All nodes but this one, in ascending order.
fn sorted_peers(mut nodes: Vec<NodeId>, me: NodeId) -> Vec<NodeId> {
    nodes.retain(|node| *node != me);
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

/// Outputs that may wait.
fn outputs_max(peers: usize) -> usize {
    2 * OUTPUTS_PER_PEER * (peers + DropReason::ALL.len())
}

/// The body of an opened datagram.
fn body_of(mut datagram: FrameMut, header: &LinkHeader) -> FrameMut {
    datagram.advance(LINK_HEADER_BYTES);
    datagram.truncate(header.body_len.into());
    datagram
}

/// The reason that goes with an error of the header.
fn reason_of(error: HeaderError) -> DropReason {
    match error {
        HeaderError::Truncated { .. } => DropReason::Truncated,
        HeaderError::BadMagic { .. } => DropReason::BadMagic,
        HeaderError::WrongVersion { .. } => DropReason::WrongVersion,
        HeaderError::BadField(_) => DropReason::BadField,
    }
}
