//! Turns what a node tells its clients into history entries: walks records, puts fragments together,
//! compares bytes with what was sent. Nothing of a group counts before the first view that shows one of
//! the node's clients, but the fragments that come before it do for messages that end after it.

use std::collections::{HashMap, HashSet};

use groups::{Event, GroupHandle, Messages, View};
use totem::{Configuration, ConfigurationKind};
use wire::run::{Fragment, RunKind, fragments, record_at};
use wire::{MemberId, NodeId};

use crate::content;
use crate::history::{Delivery, GroupId, Message, MessageId, Position, Readers, ViewRecord, What};

/// A large message of which not all is here.
#[derive(Debug)]
struct Partial {
    message: MessageId,
    first: Position,
    have: u64,
}

/// What the world knows of messages and groups, for looking up what a node says.
pub(crate) struct Known<'w> {
    /// All messages.
    pub(crate) messages: &'w [Message],
    /// All group names.
    pub(crate) groups: &'w [Vec<u8>],
}

/// Reads one life's events.
#[derive(Debug)]
pub(crate) struct Recorder {
    node: NodeId,
    names: HashMap<GroupHandle, GroupId>,
    partials: HashMap<(GroupHandle, MemberId), Partial>,
    readers: Readers,
    /// A deliberate fault: see [`crate::Tamper::ForgetBeginnings`].
    pub(crate) is_forgetful: bool,
    /// Groups whose last view shows a client of the node.
    shown: HashSet<GroupId>,
}

impl Recorder {
    /// For one life of a node.
    pub(crate) fn new(node: NodeId) -> Self {
        Self {
            node,
            names: HashMap::new(),
            partials: HashMap::new(),
            readers: Readers::default(),
            is_forgetful: false,
            shown: HashSet::new(),
        }
    }

    /// Entries for one event, in order. `joined` is the group of a granted join, as the client asked for it.
    pub(crate) fn read(
        &mut self,
        event: &Event,
        known: &Known<'_>,
        stored: u64,
        joined: Option<GroupId>,
        out: &mut Vec<What>,
    ) {
        match event {
            Event::Messages(run) => self.run(run, known, out),
            Event::View(view) => out.extend(self.view(view, known)),
            Event::Joined { session, request, group } => {
                let Some(id) = joined else { return };
                self.names.insert(*group, id);
                let (session, request) = (*session, *request);
                let joined = What::Joined { session, request, group: id };
                self.readers.see(self.node, &joined);
                out.push(joined);
            }
            Event::Refused { session, request, reason } => {
                let (session, request, reason) = (*session, *request, *reason);
                out.push(What::Refused { session, request, reason });
            }
            Event::NotSent { session, count, .. } => {
                out.push(What::NotSent { session: *session, count: *count });
            }
            Event::Configuration(configuration) => out.push(configured(configuration, stored)),
            // Judged as it happens, see `quorum`.
            Event::Quorum(_) => {}
            Event::Synced { ring } => out.push(What::Synced { ring: *ring }),
        }
    }

    fn view(&mut self, view: &View, known: &Known<'_>) -> Option<What> {
        let Some(group) = known.groups.iter().position(|name| *name == view.name) else {
            let at = Position { ring: view.ring, seq: view.seq, offset: 0, index: 0 };
            let why = format!("a view of unknown group {:?}", view.name);
            return Some(What::Foreign { at, why });
        };
        let group = GroupId(group as u32);
        self.names.insert(view.group, group);
        for (gone, _) in &view.left {
            self.partials.remove(&(view.group, *gone));
        }
        let record = ViewRecord {
            group,
            ring: view.ring,
            seq: view.seq,
            offset: view.offset,
            members: view.members.clone(),
            joined: view.joined.clone(),
            left: view.left.clone(),
        };
        let shows = self.readers.any(self.node, &record);
        let counts = if shows {
            self.shown.insert(group);
            true
        } else {
            self.shown.remove(&group)
        };
        let what = What::View(record);
        self.readers.see(self.node, &what);
        counts.then_some(what)
    }

    fn run(&mut self, run: &Messages, known: &Known<'_>, out: &mut Vec<What>) {
        let at = |index| Position { ring: run.ring, seq: run.seq, offset: run.offset, index };
        let Some(group) = self.names.get(&run.group).copied() else {
            let why = format!("messages of a group never joined: {:?}", run.group);
            out.push(What::Foreign { at: at(0), why });
            return;
        };
        if run.kind == RunKind::Fragment {
            let mut count = 0;
            for fragment in fragments(&run.body) {
                let place = Position { offset: run.offset + fragment.at as u32, ..at(0) };
                self.fragment(run, &fragment, group, place, known, out);
                count += 1;
            }
            if count != u32::from(run.count) {
                let why = format!("{} fragments, of which {count} can be read", run.count);
                out.push(What::Foreign { at: at(count), why });
            }
            return;
        }
        if !self.shown.contains(&group) {
            return;
        }
        let (mut next, mut index) = (0, 0);
        while let Some((bytes, after)) = record_at(&run.body, next) {
            let bytes = &run.body[bytes];
            out.push(match identify(bytes, bytes.len() as u64, known) {
                Ok(message) if content::matches(message, 0, bytes) => {
                    let place = at(index);
                    What::Delivered(delivery(run, message, group, place, place))
                }
                Ok(message) => changed(at(index), message),
                Err(why) => What::Foreign { at: at(index), why },
            });
            next = after;
            index += 1;
        }
        if next != run.body.len() || index != u32::from(run.count) {
            let why = format!("a run of {} has {index} messages", run.count);
            out.push(What::Foreign { at: at(index), why });
        }
    }

    fn fragment(
        &mut self,
        run: &Messages,
        fragment: &Fragment<'_>,
        group: GroupId,
        at: Position,
        known: &Known<'_>,
        out: &mut Vec<What>,
    ) {
        let key = (run.group, run.sender);
        if self.is_forgetful && !self.shown.contains(&group) {
            return;
        }
        let &Fragment { total, offset, bytes: piece, .. } = fragment;
        if offset == 0 {
            match identify(piece, total, known) {
                Ok(message) => {
                    self.partials.insert(key, Partial { message, first: at, have: 0 });
                }
                Err(why) => {
                    out.push(What::Foreign { at, why });
                    return;
                }
            }
        }
        // Without its beginning a message is not ours: we joined in its middle.
        let Some(partial) = self.partials.get_mut(&key) else { return };
        if partial.have != offset {
            let message = self.partials.remove(&key).map(|p| p.message);
            let why = format!("a hole before byte {offset} of message {message:?}");
            out.push(What::Foreign { at, why });
            return;
        }
        if !content::matches(partial.message, offset as usize, piece) {
            out.push(changed(at, partial.message));
        }
        partial.have += piece.len() as u64;
        if partial.have >= total
            && let Some(done) = self.partials.remove(&key)
            && self.shown.contains(&group)
        {
            out.push(What::Delivered(delivery(run, done.message, group, at, done.first)));
        }
    }
}

fn delivery(
    run: &Messages,
    message: MessageId,
    group: GroupId,
    at: Position,
    first: Position,
) -> Delivery {
    Delivery { message, group, at, first, safe: run.safe, sender: run.sender }
}

/// The message that these bytes begin, if there is one of that length.
fn identify(bytes: &[u8], total: u64, known: &Known<'_>) -> Result<MessageId, String> {
    let id = content::number(bytes).ok_or_else(|| format!("{} bytes", bytes.len()))?;
    let message =
        known.messages.get(id.0 as usize).ok_or_else(|| format!("unknown message {}", id.0))?;
    if u64::from(message.len) != total {
        return Err(format!("message {} with {total} bytes, sent {}", id.0, message.len));
    }
    Ok(id)
}

fn changed(at: Position, message: MessageId) -> What {
    What::Foreign { at, why: format!("message {} with other bytes than were sent", message.0) }
}

fn configured(c: &Configuration, stored: u64) -> What {
    let (ring, members) = (c.ring, c.members.clone());
    match c.kind {
        ConfigurationKind::Transitional => What::Transitional { ring, members },
        ConfigurationKind::Regular => What::Regular { ring, members, stored },
    }
}
