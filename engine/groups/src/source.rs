//! Building frames: control messages first, then runs pulled from the clients.

use frame::Class;
use totem::{Delivered, Payload, Source};
use wire::control::CONTROL_BYTES_MIN;
use wire::data::DATA_HEADER_BYTES;
use wire::run::{ALIGN, RUN_HEADER_BYTES, RUN_SAFE, RunHeader, RunKind};
use zerocopy::IntoBytes;

use crate::{Clients, Event, Groups, Pulled, PulledKind, RefusedReason};

/// Least room worth building a frame in: any control message fits, so nothing waits for ever behind
/// one that does not.
const ROOM_BYTES_MIN: usize = RUN_HEADER_BYTES + CONTROL_BYTES_MIN;

/// Most refused runs thrown away while one frame is built, so that a session that sends where it
/// may not cannot hold the engine.
const REFUSED_PER_FRAME_MAX: u32 = 64;

/// The group layer as the ring's source of frames. Made by [`Groups::source`].
pub struct GroupSource<'a> {
    groups: &'a mut Groups,
    clients: &'a mut dyn Clients,
}

/// Adds runs to a payload.
struct Packer<'a> {
    buf: &'a mut [u8],
    at: usize,
    safe: bool,
}

impl Packer<'_> {
    /// Where the next run's body goes; `None` when there is no room for one.
    fn body(&mut self) -> Option<&mut [u8]> {
        let whole = self.buf.len() / ALIGN * ALIGN;
        self.buf[..whole].get_mut(self.at + RUN_HEADER_BYTES..).filter(|body| !body.is_empty())
    }

    /// Ends the run whose body was just written.
    fn push(&mut self, header: &RunHeader) {
        let body_at = self.at + RUN_HEADER_BYTES;
        self.buf[self.at..body_at].copy_from_slice(header.as_bytes());
        self.at = body_at + header.bytes.get() as usize;
        self.safe |= header.flags & RUN_SAFE != 0;
    }
}

impl<'a> GroupSource<'a> {
    pub(crate) fn new(groups: &'a mut Groups, clients: &'a mut dyn Clients) -> Self {
        Self { groups, clients }
    }

    /// Control messages that may go out now, as many as fit. `false` if one had to stay.
    fn pack_controls(&mut self, packer: &mut Packer<'_>) -> bool {
        let groups = &mut *self.groups;
        while groups.has_control() {
            let Some(body) = packer.body() else { return false };
            let Some((bytes, safe)) = groups.write_control(body) else { return false };
            groups.counters.controls_sent += 1;
            packer.push(&RunHeader {
                group: 0.into(),
                session: 0.into(),
                bytes: (bytes as u32).into(),
                count: 1.into(),
                kind: RunKind::Control.code(),
                flags: if safe { RUN_SAFE } else { 0 },
            });
        }
        true
    }

    /// Application messages, as many runs as fit.
    fn pack_messages(&mut self, packer: &mut Packer<'_>) {
        let mut refused = 0;
        while refused < REFUSED_PER_FRAME_MAX {
            let Some(body) = packer.body() else { return };
            let room = body.len();
            let Some(pulled) = self.clients.pull(body) else { return };
            let Some(header) = self.groups.run_header(&pulled, room) else {
                refused += 1;
                continue;
            };
            packer.push(&header);
        }
    }
}

impl Groups {
    /// Writes the next control message into `body` and takes it off its queue, and says whether it asks for
    /// safe delivery; `None` if it does not fit or may not go out yet. What is said at a barrier comes
    /// first: nothing else is listened to before.
    fn write_control(&mut self, body: &mut [u8]) -> Option<(usize, bool)> {
        if let Some(barrier) = self.barrier.as_mut().filter(|barrier| barrier.must_send()) {
            let part = barrier.write_part(body, &self.table, self.config.me, self.config.boot);
            return part.map(|bytes| (bytes, false));
        }
        if let Some(message) = self.quorum.peek_message() {
            let bytes = message.len();
            body.get_mut(..bytes)?.copy_from_slice(message);
            self.quorum.pop_message();
            return Some((bytes, false));
        }
        if self.barrier.is_some() {
            return None;
        }
        if !self.sessions.requests.is_empty() {
            return self.sessions.write(body).map(|bytes| (bytes, false));
        }
        self.changes.write(body)
    }

    /// The header of a pulled run, or `None` (counted, the session told) if it must not be sent.
    fn run_header(&mut self, pulled: &Pulled, room: usize) -> Option<RunHeader> {
        let counters = &mut self.counters;
        let well_formed = pulled.bytes != 0
            && pulled.bytes <= room
            && pulled.bytes.is_multiple_of(ALIGN)
            && pulled.count != 0;
        if !well_formed {
            counters.pulls_malformed += 1;
            return None;
        }
        let number = self.table.number_of(pulled.group);
        let group = number.and_then(|number| self.table.get(number));
        let Some(number) = number.filter(|_| group.is_some_and(|g| g.may_send(pulled.session)))
        else {
            self.refuse_messages(pulled);
            return None;
        };
        counters.runs_sent += 1;
        counters.messages_sent += u64::from(pulled.count);
        let kind = match pulled.kind {
            PulledKind::Messages => RunKind::Messages,
            PulledKind::Fragment => RunKind::Fragment,
        };
        Some(RunHeader {
            group: number.into(),
            session: pulled.session.into(),
            bytes: (pulled.bytes as u32).into(),
            count: pulled.count.into(),
            kind: kind.code(),
            flags: if pulled.safe { RUN_SAFE } else { 0 },
        })
    }

    fn refuse_messages(&mut self, pulled: &Pulled) {
        let &Pulled { session, group, count, .. } = pulled;
        if !self.sessions.is_open(session) {
            self.counters.messages_of_closed += u64::from(count);
            return;
        }
        self.counters.messages_refused += u64::from(count);
        let reason = RefusedReason::NotMember;
        self.events.push_back(Event::NotSent { session, group, count, reason });
    }
}

impl Source for GroupSource<'_> {
    #[inline]
    fn deliver(&mut self, now_ns: u64, delivered: Delivered) -> Option<Delivered> {
        let clients = &mut *self.clients;
        self.groups.deliver_to(now_ns, &delivered, &mut |messages| clients.deliver(messages));
        None
    }

    fn backlog_bytes(&self) -> u64 {
        let control = if self.groups.has_control() { CONTROL_BYTES_MIN as u64 } else { 0 };
        let waiting = if self.groups.is_synced() { self.clients.pending_bytes() } else { 0 };
        control + waiting
    }

    fn next(&mut self, room: usize) -> Option<Payload> {
        let synced = self.groups.is_synced();
        let control = self.groups.has_control();
        if room < ROOM_BYTES_MIN || !(control || synced && self.clients.pending_bytes() != 0) {
            return None;
        }
        let pool = &self.groups.pool;
        if pool.free(Class::Small) <= self.groups.small_slots_reserved {
            self.groups.counters.slots_short += 1;
            return None;
        }
        let mut frame = pool.alloc(Class::Small)?;
        let end = frame.len().min(DATA_HEADER_BYTES.saturating_add(room));
        let buf = frame.get_mut(DATA_HEADER_BYTES..end)?;
        let mut packer = Packer { buf, at: 0, safe: false };
        if self.pack_controls(&mut packer) && synced {
            self.pack_messages(&mut packer);
        }
        let (bytes, safe) = (packer.at, packer.safe);
        if bytes == 0 {
            return None;
        }
        self.groups.counters.frames_built += 1;
        frame.truncate(DATA_HEADER_BYTES + bytes);
        Some(Payload { frame, safe })
    }
}
