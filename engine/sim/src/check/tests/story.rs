//! A history made by hand.

use std::rc::Rc;

use groups::Cause;
use wire::{MemberId, NodeId, RingId};

use crate::check::{Checker, check};
use crate::history::{
    Ask, Delivery, Entry, GroupId, History, Life, LifeId, Message, MessageId, Position, Receipts,
    ViewRecord, What,
};

pub(super) const GROUP: GroupId = GroupId(0);
pub(super) const FIRST: RingId = RingId { seq: 1, rep: NodeId(1) };
pub(super) const SECOND: RingId = RingId { seq: 2, rep: NodeId(1) };

pub(super) fn member(node: u32) -> MemberId {
    MemberId { node: NodeId(node), session: 10 * node, pid: 7 }
}

pub(super) fn nodes(ids: &[u32]) -> Rc<[NodeId]> {
    ids.iter().map(|id| NodeId(*id)).collect()
}

/// Three nodes with one client each in one group. Builds histories entry by entry.
pub(super) struct Story {
    pub(super) history: History,
    pub(super) now_ns: u64,
}

impl Story {
    /// All on the first ring, all members, synchronised; node by node.
    pub(super) fn begin() -> Self {
        let mut history = History {
            nodes: nodes(&[1, 2, 3]).to_vec(),
            groups: vec![b"g".to_vec()],
            receipts: Some(Receipts::new()),
            ..History::default()
        };
        for node in 1..=3 {
            let life = Life { node: NodeId(node), started_ns: 0, end: None, entries: Vec::new() };
            history.lives.push(life);
        }
        let mut story = Self { history, now_ns: 0 };
        for node in 1..=3 {
            story.regular(node, FIRST, &[1, 2, 3]);
            story.synced(node, FIRST);
        }
        for new in 1..=3 {
            let (session, request, group) = (10 * new, 1, Some(GROUP));
            let asked = What::Asked { session, request, group, ask: Ask::Join, refusal: None };
            story.add(new, asked);
            let seq = 10 + u64::from(new);
            for node in 1..=new {
                if node == new {
                    story.add(node, What::Joined { session, request, group: GROUP });
                }
                let members = (1..=new).map(member).collect();
                story.view(node, FIRST, seq, members, vec![(member(new), Cause::Join)], vec![]);
            }
        }
        story
    }

    pub(super) fn add(&mut self, node: u32, what: What) {
        self.now_ns += 1000;
        let at_ns = self.now_ns;
        self.history.lives[node as usize - 1].entries.push(Entry { at_ns, what });
    }

    pub(super) fn regular(&mut self, node: u32, ring: RingId, members: &[u32]) {
        self.add(node, What::Regular { ring, members: nodes(members), stored: 64 });
    }

    pub(super) fn synced(&mut self, node: u32, ring: RingId) {
        self.add(node, What::Synced { ring });
    }

    pub(super) fn view(
        &mut self,
        node: u32,
        ring: RingId,
        seq: u64,
        members: Vec<MemberId>,
        joined: Vec<(MemberId, Cause)>,
        left: Vec<(MemberId, Cause)>,
    ) {
        let record = ViewRecord { group: GROUP, ring, seq, offset: 0, members, joined, left };
        self.add(node, What::View(record));
    }

    pub(super) fn sent(&mut self, node: u32, safe: bool) -> MessageId {
        let id = MessageId(self.history.messages.len() as u32);
        let session = 10 * node;
        let number = self.history.messages.iter().filter(|m| m.session == session).count() as u64;
        let life = LifeId(node - 1);
        self.history.messages.push(Message { life, session, group: GROUP, number, len: 8, safe });
        self.add(node, What::Sent(id));
        id
    }

    pub(super) fn delivered(&mut self, node: u32, id: MessageId, ring: RingId, seq: u64) {
        let m = self.history.messages[id.0 as usize];
        let at = Position { ring, seq, offset: 16, index: 0 };
        let sender = member(m.life.0 + 1);
        let d = Delivery { message: id, group: GROUP, at, first: at, safe: m.safe, sender };
        self.add(node, What::Delivered(d));
    }

    /// Goes on to the second ring with these members; `together` come along from the first.
    pub(super) fn change(&mut self, node: u32, together: &[u32], members: &[u32]) {
        let along = nodes(together);
        self.add(node, What::Transitional { ring: SECOND, members: along });
        self.regular(node, SECOND, members);
    }

    /// Everything came to rest.
    pub(super) fn findings(&self) -> Vec<Checker> {
        let mut all: Vec<Checker> = check(&self.history).iter().map(|f| f.checker).collect();
        all.dedup();
        all
    }
}

/// A message of node 1 delivered everywhere.
pub(super) fn one_message() -> (Story, MessageId) {
    let mut story = Story::begin();
    let id = story.sent(1, false);
    for node in 1..=3 {
        story.delivered(node, id, FIRST, 20);
    }
    (story, id)
}
