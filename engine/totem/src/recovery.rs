//! Recovery: who still has which old frames, who sends which of them again, and when all is done
//! (Moser et al. 1994; Amir et al. 1995 sec. 4.4).
//!
//! The first frames of a new ring are the members' old states; from them everybody computes the
//! same plan: each old frame that one of its ring's survivors has and another misses is sent again,
//! once, by the lowest-numbered holder, encapsulated in a frame of the new ring. So the number of
//! frames that Recovery takes is known to all, and it is over when that many are stable.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use frame::{Class, FrameMut, Pool};
use wire::data::{DATA_HEADER_BYTES, DataHeader, FLAG_CONTROL, FLAG_RECOVERED};
use wire::state::OldState;
use wire::{CONTROL_BYTES_MAX, NodeSet, RingId};

use crate::ctx::Ctx;
use crate::ordering::Ordering;
use crate::visit::Feed;
use crate::window::Slot;

/// What a member said of its old ring.
struct Told {
    state: OldState,
    ranges: Vec<(u64, u64)>,
    complete: bool,
}

impl Told {
    /// Whether the member has the old frame `seq`. Ranges ascend.
    fn has(&self, seq: u64) -> bool {
        let next = self.ranges.partition_point(|(_, to)| *to < seq);
        seq <= self.state.aru || self.ranges.get(next).is_some_and(|(from, _)| *from <= seq)
    }

    fn highest(&self) -> u64 {
        self.ranges.iter().map(|(_, to)| *to).max().unwrap_or(0).max(self.state.aru)
    }
}

/// Recovery into one ring.
pub(crate) struct Recovery {
    /// By position in the node list.
    told: Vec<Option<Told>>,
    missing: usize,
    control_frames: u64,
    /// Payloads of mine that say what I have.
    to_tell: VecDeque<Vec<u8>>,
    /// Old frames that I send again.
    to_send: VecDeque<(u64, u64)>,
    /// Frames of the new ring that Recovery takes; known once all have told.
    pub(crate) total: Option<u64>,
    /// Members that come from my old ring.
    pub(crate) together: NodeSet,
    /// Whose frames must be delivered in any case.
    pub(crate) obliged: NodeSet,
    pub(crate) started_ns: u64,
    broken: bool,
}

impl Recovery {
    pub(crate) fn new() -> Self {
        Self {
            told: Vec::new(),
            missing: 0,
            control_frames: 0,
            to_tell: VecDeque::new(),
            to_send: VecDeque::new(),
            total: None,
            together: NodeSet::EMPTY,
            obliged: NodeSet::EMPTY,
            started_ns: 0,
            broken: false,
        }
    }

    /// Starts with what this node has of its old ring.
    pub(crate) fn start(
        &mut self,
        now_ns: u64,
        old: &Ordering,
        members: NodeSet,
        obliged: NodeSet,
        ctx: &Ctx,
    ) {
        *self = Self::new();
        self.told.resize_with(ctx.nodes.len(), || None);
        self.missing = members.len();
        self.started_ns = now_ns;
        let mut ranges = Vec::new();
        old.window.ranges(old.aru + 1, old.high, true, |from, to| {
            ranges.push((from, to));
            true
        });
        let room = OldState::ranges_max(ctx.payload_bytes_max, ctx.nodes.len()).max(1);
        let mut parts = ranges.chunks(room).peekable();
        loop {
            let part = parts.next().unwrap_or(&[]);
            let last = parts.peek().is_none();
            let (ring, aru) = (old.ring, old.aru);
            let state = OldState { last, ring, aru, stable: old.stable, obliged };
            let mut payload = alloc::vec![0; CONTROL_BYTES_MAX];
            if let Some(len) = state.emit(&mut payload, ctx.nodes.len(), part) {
                payload.truncate(len);
                self.to_tell.push_back(payload);
            }
            if last {
                return;
            }
        }
    }

    /// A ring of one: there is nobody to tell and nobody to hear.
    pub(crate) fn recover_alone(&mut self, me: usize, obliged: NodeSet) {
        self.together = NodeSet::single(me);
        self.obliged = obliged.union(&self.together);
        self.total = Some(0);
    }

    /// Takes in the new ring's frames in order.
    pub(crate) fn digest(&mut self, new: &mut Ordering, old: &mut Ordering, ctx: &mut Ctx) {
        while new.delivered < new.aru && self.total.is_none_or(|total| new.delivered < total) {
            let Some(slot) = new.window.get(new.delivered + 1) else { return };
            let payload = &slot.frame[DATA_HEADER_BYTES..];
            if slot.flags & FLAG_CONTROL != 0 {
                self.control_frames += 1;
                match ctx.pos(slot.origin) {
                    Some(pos) => self.hear(pos, payload, new.members.set, old, ctx),
                    None => self.broken = true,
                }
            } else if slot.flags & FLAG_RECOVERED != 0 {
                take_back(slot, old, ctx);
            } else {
                ctx.counters.malformed += 1;
                self.broken = true;
            }
            new.delivered += 1;
        }
    }

    /// A member (part of) whose state arrived.
    fn hear(
        &mut self,
        pos: usize,
        payload: &[u8],
        members: NodeSet,
        old: &mut Ordering,
        ctx: &mut Ctx,
    ) {
        let mut ranges = Vec::new();
        let parsed = OldState::parse(payload, ctx.nodes.len(), |from, to| ranges.push((from, to)));
        let Ok(state) = parsed else {
            ctx.counters.malformed += 1;
            self.broken = true;
            return;
        };
        let told =
            self.told[pos].get_or_insert(Told { state, ranges: Vec::new(), complete: false });
        if told.complete || told.state.ring != state.ring {
            self.broken = true;
            return;
        }
        told.ranges.append(&mut ranges);
        if !told.ranges.is_sorted_by(|a, b| a.1 < b.0) {
            self.broken = true;
            return;
        }
        told.complete = state.last;
        if state.last {
            self.missing -= 1;
        }
        if self.missing == 0 {
            self.plan(members, old, ctx);
        }
    }

    /// All have told: who sends what again.
    fn plan(&mut self, members: NodeSet, old: &mut Ordering, ctx: &Ctx) {
        let mut rings: Vec<RingId> = Vec::new();
        let mut total = self.control_frames;
        for pos in members.iter() {
            let Some(told) = &self.told[pos] else { continue };
            let ring = told.state.ring;
            if rings.contains(&ring) {
                continue;
            }
            rings.push(ring);
            let of_ring =
                |pos: &usize| self.told[*pos].as_ref().is_some_and(|told| told.state.ring == ring);
            let group: Vec<usize> = members.iter().filter(of_ring).collect();
            let Some(resent) = self.plan_ring(&group, ring == old.ring, ctx) else {
                self.broken = true;
                return;
            };
            total += resent;
            if ring == old.ring {
                self.together = group.iter().copied().collect();
            }
        }
        let ours = || self.together.iter().filter_map(|pos| self.told[pos].as_ref());
        let stable = ours().map(|told| told.state.stable).max().unwrap_or(0);
        self.obliged = ours().fold(self.together, |all, told| all.union(&told.state.obliged));
        // A fact that one member knows is a fact for all who come along with it.
        old.set_stable(stable);
        self.total = Some(total);
    }

    /// Counts the frames of one old ring that are sent again and notes those that are mine to send.
    fn plan_ring(&mut self, group: &[usize], mine: bool, ctx: &Ctx) -> Option<u64> {
        let told: Vec<&Told> = group.iter().filter_map(|pos| self.told[*pos].as_ref()).collect();
        let low = told.iter().map(|told| told.state.aru).min()?;
        let high = told.iter().map(|told| told.highest()).max()?;
        if high - low > 2 * ctx.tuning.window_frames.next_power_of_two().max(64) as u64 {
            return None;
        }
        let mut count = 0;
        let mut to_send = VecDeque::new();
        for seq in low + 1..=high {
            let holders = told.iter().filter(|told| told.has(seq)).count();
            if holders == 0 || holders == told.len() {
                continue;
            }
            count += 1;
            let lowest = told.iter().position(|told| told.has(seq)).map(|index| group[index]);
            if mine && lowest == Some(ctx.me_pos) {
                match to_send.back_mut() {
                    Some((_, to)) if *to + 1 == seq => *to = seq,
                    _ => to_send.push_back((seq, seq)),
                }
            }
        }
        if mine {
            self.to_send = to_send;
        }
        Some(count)
    }

    /// Whether this node has everything it is to get.
    pub(crate) fn has_all(&self, new: &Ordering) -> bool {
        self.total.is_some_and(|total| new.delivered >= total)
    }

    /// Whether everybody has everything.
    pub(crate) fn is_done(&self, new: &Ordering) -> bool {
        self.has_all(new) && self.total.is_some_and(|total| new.stable >= total)
    }

    /// A member contradicted itself: this ring cannot be formed.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }
}

/// Puts a recovered frame into the old ring's window, if it is of mine and misses there.
fn take_back(slot: &Slot, old: &mut Ordering, ctx: &mut Ctx) {
    let inner = slot.frame.slice(DATA_HEADER_BYTES..slot.frame.len());
    let Ok(header) = DataHeader::parse(&inner).copied() else {
        ctx.counters.malformed += 1;
        return;
    };
    let seq = header.seq.get();
    if header.ring() != old.ring || !old.window.covers(seq) || old.window.has(seq) {
        return;
    }
    ctx.counters.recovered_received += 1;
    let origin = wire::NodeId(header.origin.get());
    old.put_known(seq, Slot { frame: inner, origin, flags: header.flags });
}

/// What Recovery has to number on the new ring.
pub(crate) struct RecoveryFeed<'a> {
    pub(crate) recovery: &'a mut Recovery,
    pub(crate) old: &'a Ordering,
    pub(crate) pool: Pool,
    pub(crate) sent: u64,
}

impl RecoveryFeed<'_> {
    fn slot(&self, bytes: usize) -> Option<FrameMut> {
        let small = bytes <= self.pool.slot_bytes(Class::Small);
        let slot = if small { self.pool.alloc(Class::Small) } else { None };
        slot.or_else(|| self.pool.alloc(Class::Large)).filter(|slot| slot.len() >= bytes)
    }

    fn wrap(&self, payload: &[u8]) -> Option<FrameMut> {
        let len = DATA_HEADER_BYTES + payload.len();
        let mut frame = self.slot(len)?;
        frame.truncate(len);
        frame[DATA_HEADER_BYTES..].copy_from_slice(payload);
        Some(frame)
    }
}

impl Feed for RecoveryFeed<'_> {
    fn backlog_bytes(&self) -> u64 {
        let tell: usize = self.recovery.to_tell.iter().map(Vec::len).sum();
        let send: u64 = self.recovery.to_send.iter().map(|(from, to)| to - from + 1).sum();
        tell as u64 + send * 1024
    }

    fn next(&mut self, _room: usize) -> Option<(FrameMut, u8)> {
        if let Some(payload) = self.recovery.to_tell.front() {
            let frame = self.wrap(payload)?;
            self.recovery.to_tell.pop_front();
            return Some((frame, FLAG_CONTROL));
        }
        let (from, to) = *self.recovery.to_send.front()?;
        // It was told to the others, so it is here until the new ring is installed.
        let frame = self.wrap(&self.old.window.get(from)?.frame)?;
        self.sent += 1;
        if from == to {
            self.recovery.to_send.pop_front();
        } else if let Some(range) = self.recovery.to_send.front_mut() {
            range.0 += 1;
        }
        Some((frame, FLAG_RECOVERED))
    }
}
