//! What the programs of a node make of its events: large messages put together, and nothing of a
//! group before the first view that shows one of them.

use std::collections::{BTreeMap, BTreeSet};

use groups::{Event, GroupHandle, Messages, View};
use wire::run::{FragmentHeader, RunKind, record_at};
use wire::{MemberId, NodeId, RingId};
use zerocopy::FromBytes;

/// A place in the order.
pub type Place = (RingId, u64, u32);

/// What a program is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    View(View),
    Message { group: GroupHandle, sender: MemberId, at: Place, bytes: Vec<u8> },
}

pub struct Reader {
    me: NodeId,
    granted: BTreeSet<(GroupHandle, u32)>,
    shown: BTreeSet<GroupHandle>,
    parts: BTreeMap<(GroupHandle, MemberId), Vec<u8>>,
}

impl Reader {
    pub fn new(me: NodeId) -> Self {
        let (granted, shown, parts) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
        Self { me, granted, shown, parts }
    }

    pub fn read(&mut self, event: &Event) -> Vec<Read> {
        match event {
            Event::Joined { session, group, .. } => {
                self.granted.insert((*group, *session));
                Vec::new()
            }
            Event::View(view) => self.view(view).into_iter().collect(),
            Event::Messages(run) => self.run(run),
            _ => Vec::new(),
        }
    }

    /// Whether somebody is in the group.
    pub fn shows(&self, group: GroupHandle) -> bool {
        self.shown.contains(&group)
    }

    fn view(&mut self, view: &View) -> Option<Read> {
        let group = view.group;
        for (gone, _) in &view.left {
            self.parts.remove(&(group, *gone));
        }
        let mine = |m: &MemberId| m.node == self.me && self.granted.contains(&(group, m.session));
        let here = view.members.iter().any(mine);
        let was = if here { !self.shown.insert(group) } else { self.shown.remove(&group) };
        for (gone, _) in view.left.iter().filter(|(gone, _)| gone.node == self.me) {
            self.granted.remove(&(group, gone.session));
        }
        (here || was).then(|| Read::View(view.clone()))
    }

    fn run(&mut self, run: &Messages) -> Vec<Read> {
        let bytes = match run.kind {
            RunKind::Fragment => self.fragment(run).into_iter().collect(),
            _ => messages(&run.body, run.count),
        };
        let (group, sender, at) = (run.group, run.sender, (run.ring, run.seq, run.offset));
        let shown = self.shown.contains(&group);
        let given = bytes.into_iter().filter(|_| shown);
        given.map(|bytes| Read::Message { group, sender, at, bytes }).collect()
    }

    /// The message that this fragment ends, if it was all there.
    fn fragment(&mut self, run: &Messages) -> Option<Vec<u8>> {
        let (header, rest) = FragmentHeader::ref_from_prefix(&run.body).expect("checked below");
        let (total, offset) = (header.total.get() as usize, header.offset.get() as usize);
        let key = (run.group, run.sender);
        if offset == 0 {
            self.parts.insert(key, Vec::new());
        }
        // Without its beginning it is not ours.
        let parts = self.parts.get_mut(&key)?;
        assert_eq!(parts.len(), offset, "a hole in a message");
        parts.extend_from_slice(&rest[..header.len.get() as usize]);
        if parts.len() < total {
            return None;
        }
        self.parts.remove(&key)
    }
}

/// The messages of a run.
pub fn messages(body: &[u8], count: u16) -> Vec<Vec<u8>> {
    let mut at = 0;
    let mut all = Vec::new();
    for _ in 0..count {
        let (range, next) = record_at(body, at).expect("a whole record");
        all.push(body[range].to_vec());
        at = next;
    }
    all
}
