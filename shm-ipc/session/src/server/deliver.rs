//! Delivery: one descriptor into the delivery ring for all who share it, one copy for each who does not.

use frame::{Class, Frame};
use zerocopy::IntoBytes;

use super::pressure::Pace;
use super::session::Life;
use super::{Delivery, Group, Messages, Server};
use crate::descriptor::{Descriptor, Kind, Order};
use crate::hello::Cause;
use crate::view::{self, View};

/// Bytes of one part of a view: fits a private ring of any size many times.
const VIEW_PART_BYTES: usize = 16 << 10;

/// Whom an item is for.
#[derive(Clone, Copy, Debug)]
enum For {
    Group(u32),
    Session(usize),
    All,
}

/// What comes with an item.
enum Body<'a> {
    /// Nothing.
    None,
    /// Bytes in the region.
    Frame(Frame),
    /// Bytes elsewhere; copied into a slot if somebody reads the delivery ring.
    Bytes(&'a [u8]),
}

impl Server {
    /// Delivers one item to the local programs it concerns. Calls come in the total order. Never
    /// fails: a reader for whom there is no room is dealt with as the documentation of this crate
    /// says.
    pub fn deliver(&mut self, item: Delivery<'_>) {
        match item {
            Delivery::Messages(messages) => self.deliver_messages(messages),
            Delivery::View { group, order, view } => self.deliver_view(group, order, &view),
            Delivery::Joined { session, request, group } => {
                let Some(&place) = self.by_id.get(&session) else { return };
                self.enter(place, group);
                let mut item = Descriptor::new(Kind::Joined);
                item.group = group.into();
                self.address(place, item, request);
            }
            Delivery::Refused { session, request, reason } => {
                let Some(&place) = self.by_id.get(&session) else { return };
                let mut item = Descriptor::new(Kind::Refused);
                item.count = u16::from(reason).into();
                self.address(place, item, request);
            }
            Delivery::NotSent { session, group, count, reason } => {
                self.not_sent(session, group, count, reason);
            }
            Delivery::Configuration { transitional, synced, order, nodes } => {
                let mut item = Descriptor::new(Kind::Configuration).at(order);
                item.count = if synced { 2 } else { u16::from(transitional) }.into();
                let mut bytes = std::mem::take(&mut self.scratch);
                bytes.clear();
                nodes.iter().for_each(|node| bytes.extend_from_slice(&node.to_le_bytes()));
                self.send(For::All, item, Body::Bytes(&bytes));
                self.scratch = bytes;
            }
        }
        self.evict_doomed();
    }

    pub(super) fn not_sent(&mut self, session: u32, group: u32, count: u64, reason: u8) {
        let Some(&place) = self.by_id.get(&session) else { return };
        let mut item = Descriptor::new(Kind::NotSent);
        item.group = group.into();
        item.seq = count.into();
        item.count = u16::from(reason).into();
        self.address(place, item, 0);
    }

    fn deliver_messages(&mut self, messages: Messages) {
        let kind = if messages.fragment { Kind::Fragment } else { Kind::Messages };
        let mut item = Descriptor::new(kind).from_member(messages.sender).at(messages.order);
        item.group = messages.group.into();
        item.count = messages.count.into();
        item.flags = if messages.safe { Descriptor::SAFE } else { 0 };
        self.send(For::Group(messages.group), item, Body::Frame(messages.body));
    }

    fn deliver_view(&mut self, group: u32, order: Order, view: &View<'_>) {
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        view::encode(view, &mut bytes);
        let mut parts = bytes.chunks(VIEW_PART_BYTES).peekable();
        while let Some(part) = parts.next() {
            let mut item = Descriptor::new(Kind::View).at(order);
            item.group = group.into();
            item.flags = if parts.peek().is_some() { Descriptor::MORE } else { 0 };
            self.send(For::Group(group), item, Body::Bytes(part));
        }
        self.scratch = bytes;
        for (member, _) in view.left {
            if member.node == self.config.node {
                self.quit(member.session, group);
            }
        }
    }

    /// An item for one session.
    fn address(&mut self, place: usize, mut item: Descriptor, request: u32) {
        let Some(session) = &self.sessions[place] else { return };
        item.session = session.id.into();
        item.position = request.into();
        self.send(For::Session(place), item, Body::None);
    }

    /// Brings an item to whom it is for.
    #[inline]
    fn send(&mut self, to: For, item: Descriptor, body: Body<'_>) {
        // First, because it may move readers from the ring to copies.
        self.make_room();
        // Out of the tables while they are walked: copying may doom a session.
        let (mut group, one);
        let places: &[usize] = match to {
            For::Group(number) => match self.groups.get_mut(&number) {
                Some(entry) => {
                    group = std::mem::take(&mut entry.members);
                    &group
                }
                None => return,
            },
            For::Session(place) => {
                group = Vec::new();
                one = [place];
                &one
            }
            For::All => {
                group = std::mem::take(&mut self.order);
                &group
            }
        };
        let shared = self.send_copies(places, &item, &body);
        if shared {
            self.share(places, item, body);
        }
        match to {
            For::Group(number) => {
                if let Some(entry) = self.groups.get_mut(&number) {
                    entry.members = std::mem::take(&mut group);
                }
            }
            For::All => self.order = std::mem::take(&mut group),
            For::Session(_) => {}
        }
    }

    /// Copies for those on private rings; returns whether somebody is on the delivery ring.
    fn send_copies(&mut self, places: &[usize], item: &Descriptor, body: &Body<'_>) -> bool {
        let bytes: &[u8] = match body {
            Body::None => &[],
            Body::Frame(frame) => frame,
            Body::Bytes(bytes) => bytes,
        };
        let mut shared = false;
        for &place in places {
            let Some(session) = self.sessions[place].as_mut() else { continue };
            if session.life != Life::Open || session.doomed {
                continue;
            }
            session.touched = true;
            session.news = true;
            if session.shared {
                shared = true;
            } else {
                self.copy_to(place, item, bytes, 0);
            }
        }
        shared
    }

    /// Into the delivery ring, for those of `places` who read it.
    #[inline]
    fn share(&mut self, places: &[usize], mut item: Descriptor, body: Body<'_>) {
        let frame = match body {
            Body::None => None,
            Body::Frame(frame) => Some(frame),
            Body::Bytes(bytes) => match self.slot_for(bytes) {
                Some(frame) => Some(frame),
                // No slot is free: those readers go over to copies, which need none.
                None => return self.copy_instead(places, &item, bytes),
            },
        };
        if let Some(frame) = &frame {
            item.body_offset = (frame.region_offset() as u64).into();
            item.body_bytes = (frame.len() as u32).into();
        }
        self.counters.descriptors += 1;
        // `make_room` keeps a quarter of the ring free.
        let pushed = self.ring.push(item, frame);
        debug_assert!(pushed, "the delivery ring is full");
    }

    fn copy_instead(&mut self, places: &[usize], item: &Descriptor, bytes: &[u8]) {
        for &place in places {
            if !self.sessions[place].as_ref().is_some_and(|s| s.shared) {
                continue;
            }
            match self.spill(place) {
                Ok(()) => self.copy_to(place, item, bytes, 0),
                Err(_) => self.doom(place, Cause::Protocol),
            }
        }
    }

    fn slot_for(&self, bytes: &[u8]) -> Option<Frame> {
        let small = bytes.len() <= self.pool.slot_bytes(Class::Small);
        let first = if small { self.pool.alloc(Class::Small) } else { None };
        let mut slot = first.or_else(|| self.pool.alloc(Class::Large))?;
        slot.get_mut(..bytes.len())?.copy_from_slice(bytes);
        slot.truncate(bytes.len());
        Some(slot.freeze())
    }

    /// Copies one item for one session: into its private ring, or behind it. `mark` is its position in the
    /// delivery ring plus one if it was there, so that a reader can tell what it has read already.
    pub(super) fn copy_to(&mut self, place: usize, item: &Descriptor, body: &[u8], mark: u64) {
        let Some(session) = self.sessions[place].as_mut().filter(|s| !s.doomed) else { return };
        let mut item = *item;
        item.body_offset = mark.into();
        item.body_bytes = (body.len() as u32).into();
        session.copied_items += 1;
        self.attention |= session.wants_resume();
        self.counters.copied_items += 1;
        self.counters.copied_bytes += body.len() as u64;
        let bytes = item.as_bytes().len() + body.len();
        if session.backlog.is_empty() {
            match session.seat.push(&item, body) {
                Ok(true) => return,
                Ok(false) => {}
                Err(_) => return self.doom(place, Cause::Protocol),
            }
            session.pace = Pace::default();
        }
        let all = self.backlog_total + bytes;
        if bytes > session.seat.record_bytes_max()
            || session.backlog.bytes() + bytes > self.config.backlog_bytes_max
            || all > self.config.backlog_bytes_total_max
        {
            return self.doom(place, Cause::Backlog);
        }
        session.backlog.push([item.as_bytes(), body], &mut self.spare);
        self.backlog_total = all;
        self.attention = true;
    }

    fn enter(&mut self, place: usize, group: u32) {
        let Some(session) = self.sessions[place].as_mut() else { return };
        session.enter(group);
        if session.life != Life::Open {
            return;
        }
        let Group { members } = self.groups.entry(group).or_default();
        if !members.contains(&place) {
            members.push(place);
        }
    }

    fn quit(&mut self, session: u32, group: u32) {
        let Some(&place) = self.by_id.get(&session) else { return };
        if let Some(session) = self.sessions[place].as_mut() {
            session.quit(group);
        }
        if let Some(entry) = self.groups.get_mut(&group) {
            entry.members.retain(|member| *member != place);
            if entry.members.is_empty() {
                self.groups.remove(&group);
            }
        }
    }
}
