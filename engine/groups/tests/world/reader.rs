//! What the programs of a node make of its events: large messages put together, and nothing of a
//! group before the first view that shows one of them.

use std::collections::{BTreeMap, BTreeSet};

use groups::{Event, GroupHandle, Messages, View};
use wire::run::{Fragment, RunKind, fragments, record_at};
use wire::{MemberId, NodeId, RingId};

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
        let &Messages { group, sender, ring, seq, offset, .. } = run;
        let shown = self.shown.contains(&group);
        let read = |at: u32, bytes| Read::Message { group, sender, at: (ring, seq, at), bytes };
        let all: Vec<Read> = match run.kind {
            RunKind::Fragment => {
                assert_eq!(fragments(&run.body).count(), usize::from(run.count));
                let ended = |f: Fragment<'_>| {
                    self.fragment(run, &f).map(|bytes| read(offset + f.at as u32, bytes))
                };
                fragments(&run.body).filter_map(ended).collect()
            }
            _ => {
                let all = messages(&run.body, run.count).into_iter();
                all.map(|bytes| read(offset, bytes)).collect()
            }
        };
        if shown { all } else { Vec::new() }
    }

    /// The message that this fragment ends, if it was all there.
    fn fragment(&mut self, run: &Messages, fragment: &Fragment<'_>) -> Option<Vec<u8>> {
        let key = (run.group, run.sender);
        if fragment.offset == 0 {
            self.parts.insert(key, Vec::new());
        }
        // Without its beginning it is not ours.
        let parts = self.parts.get_mut(&key)?;
        assert_eq!(parts.len() as u64, fragment.offset, "a hole in a message");
        parts.extend_from_slice(fragment.bytes);
        if (parts.len() as u64) < fragment.total {
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
