//! Which links a frame travels on.

use wire::NodeId;
use wire::trace::{Code, Level, Trace};

use super::{Mode, Paths};

impl Paths {
    /// The links for a frame to one node or to all, as bits; `bulk`: data, or the token.
    #[inline]
    pub fn links_for(&mut self, now_ns: u64, to: Option<NodeId>, bulk: bool) -> u8 {
        if !bulk || self.again || now_ns < self.doubtful_until_ns {
            return self.links.all();
        }
        let chosen = match to {
            None => self.chosen,
            Some(node) => match self.position(node) {
                Some(pos) => self.peers[pos].chosen & self.links.all(),
                None => self.links.all(),
            },
        };
        if self.links.mode == Mode::RoundRobin { self.in_turn(chosen) } else { chosen }
    }

    /// What was sent again has been sent; what comes next goes on the next link.
    pub fn end_call(&mut self) {
        self.again = false;
        self.turn = self.turn_taken;
    }

    /// The next of a set of links, the same for a whole call: frames that are sent together make one burst.
    fn in_turn(&mut self, set: u8) -> u8 {
        let later = set & !(u8::MAX >> (7 - self.turn.min(7)));
        let from = if later != 0 { later } else { set };
        self.turn_taken = from.trailing_zeros() as u8;
        from & from.wrapping_neg()
    }

    /// Chooses anew what frames for all and for each peer travel on.
    pub(super) fn choose(&mut self) {
        let before = self.chosen;
        let others = || self.peers.iter().enumerate().filter(|(pos, _)| *pos != self.me_pos);
        let reached = || others().map(|(_, peer)| peer.usable).filter(|usable| *usable != 0);
        let common = reached().fold(self.links.all(), |common, usable| common & usable);
        self.chosen = if reached().next().is_none() {
            self.links.all()
        } else {
            match self.links.mode {
                Mode::Active => reached().fold(0, |all, usable| all | usable),
                Mode::RoundRobin if common != 0 => common,
                _ if common != 0 => self.best_of(common, before),
                // No link reaches all: each peer's best, together.
                _ => reached().fold(0, |all, usable| all | self.best_of(usable, 0)),
            }
        };
        for pos in 0..self.peers.len() {
            let usable = self.peers[pos].usable;
            self.peers[pos].chosen = match self.links.mode {
                _ if usable == 0 => self.links.all(),
                Mode::Passive => self.best_of(usable, self.chosen),
                Mode::Active | Mode::RoundRobin => usable,
            };
        }
        if self.chosen != before {
            self.counters.moves += 1;
            let args = [self.chosen.into(), before.into()];
            self.trace(Trace::new(Level::Info, Code::LinksInUse, &args));
        }
    }

    /// The link of the highest priority of a set; among equals one that is used already, else the first.
    fn best_of(&self, set: u8, used: u8) -> u8 {
        let rank = |link: &u8| {
            (self.links.priorities[usize::from(*link)], used >> link & 1, u8::MAX - link)
        };
        let links = (0..self.links.count).filter(|link| set >> link & 1 == 1);
        links.max_by_key(rank).map_or(0, |link| 1 << link)
    }
}
