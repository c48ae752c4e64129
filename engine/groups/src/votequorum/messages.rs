//! What the nodes tell each other, in the total order.

use wire::NodeId;
use wire::quorum::{NodeInfo, Quorum};

use super::api::News;
use super::machine::{NOBODY, Votequorum};
use super::table::{DEVICE, Entry, NodeFlags, NodeState};

impl Votequorum {
    /// A message of `origin` in its place of the total order. `Present` and `Ready` are not for this
    /// machine.
    pub fn deliver(&mut self, origin: NodeId, message: &Quorum<'_>) {
        match *message {
            Quorum::Info(info) if info.node == DEVICE => self.device_info(origin, &info),
            // Nobody speaks for another node.
            Quorum::Info(info) if info.node == origin => self.node_info(&info),
            Quorum::Info(_) | Quorum::Present { .. } | Quorum::Ready { .. } => {}
            Quorum::SetExpected { votes } => {
                self.expect(votes);
                let expected = self.us().expected_votes;
                self.news(News::ExpectedVotes { votes: expected });
                self.expected_floor = votes;
                if self.tracks() {
                    let tracked = self.tracked;
                    self.us_mut().expected_votes = expected.max(tracked);
                }
                self.recalculate(true, false);
            }
            Quorum::SetVotes { node, votes } => {
                if let Some(place) = self.votes_mut(node) {
                    *place = votes;
                    self.recalculate(true, false);
                }
            }
            Quorum::CancelWaitForAll => {
                self.set_waiting(false);
                self.recalculate(false, false);
            }
            Quorum::Register { name } => self.registered(origin, name),
            Quorum::Unregister { .. } => self.unregistered(),
            Quorum::Rename { old, new } => self.renamed(old, new),
            Quorum::Extra(part) => self.extra_part(origin, &part),
        }
    }

    fn device_info(&mut self, origin: NodeId, info: &NodeInfo) {
        let Some(sender) = self.table.get(origin) else { return };
        let overrides = !self.quorate && sender.flags.contains(NodeFlags::QUORATE);
        let before = self.device.votes;
        self.device.votes = if overrides { info.votes } else { before.max(info.votes) };
        if self.device.votes != before {
            self.recalculate(false, false);
        }
    }

    fn node_info(&mut self, info: &NodeInfo) {
        let node = info.node;
        let before = self.table.get(node).copied();
        let flags = NodeFlags::from_bits_truncate(info.flags);
        let quorate = flags.contains(NodeFlags::QUORATE);
        let leaving = flags.contains(NodeFlags::LEAVING);
        // Whoever has a quorum knows what to expect; who has none does not argue.
        let learns = !self.quorate && quorate;
        let state = if leaving { NodeState::Leaving } else { NodeState::Member };
        let place = Entry { state, votes: info.votes, flags, ..before.unwrap_or(NOBODY) };
        self.table.insert(node, place);
        if learns {
            self.us_mut().expected_votes = info.expected_votes;
        }
        let expected_votes =
            if quorate || self.tracks() { info.expected_votes } else { self.us().expected_votes };
        let entry = Entry { expected_votes, ..place };
        self.table.insert(node, entry);
        if !flags.contains(NodeFlags::DEVICE_EXTRA) {
            self.forget_extra(node);
        }
        if self.last_man_standing && info.votes > 1 {
            self.last_man_standing = false;
            self.last_man_ns = None;
        }
        let news = before != Some(entry) || node == self.me || flags.contains(NodeFlags::FIRST);
        if news {
            self.recalculate(leaving || learns, leaving);
        }
        if self.wait_for_all && quorate && !flags.contains(NodeFlags::WAITS_FOR_ALL) {
            self.set_waiting(false);
        }
    }
}
