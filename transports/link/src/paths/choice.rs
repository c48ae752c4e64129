//! Which links a frame travels on.

use wire::NodeId;
use wire::trace::{Code, Level, Trace};

use super::{Mode, Paths};

/// Signs of life go on every link this often, those in between on the links chosen. Under load there are hundreds to
/// thousands a second, each of which would end a burst and be copied; and the silence that follows when the link in
/// use fails becomes this much longer, a fraction of the shortest token timeout that is chosen by itself (30 ms).
const SIGN_NS: u64 = 5_000_000;

/// What a frame is, as far as that decides where it travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Data, or the token: on the links chosen.
    Bulk,
    /// A beacon or the answer to one: now and then on every link, so that a ring at rest does not notice a link that
    /// fails; on the links chosen where they follow each other quickly.
    Sign,
    /// Anything else, which is rare: on every link.
    Rare,
}

impl Paths {
    /// The links for a frame to one node or to all, as bits.
    #[inline]
    pub fn links_for(&mut self, now_ns: u64, to: Option<NodeId>, sort: Sort) -> u8 {
        let is_rare = match sort {
            Sort::Bulk => false,
            Sort::Sign => self.is_sign_due(now_ns, to.is_none()),
            Sort::Rare => true,
        };
        if is_rare || self.again || now_ns < self.doubtful_until_ns {
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

    /// Whether a sign of life is to go on every link. Answers (which go to one node) may follow each other at half the
    /// distance: one to a beacon that came on every link is not to be early by a hair.
    fn is_sign_due(&mut self, now_ns: u64, to_all: bool) -> bool {
        let wait_ns = if to_all { SIGN_NS } else { SIGN_NS / 2 };
        let last_ns = &mut self.signs_ns[usize::from(to_all)];
        let is_due = now_ns >= last_ns.saturating_add(wait_ns);
        if is_due {
            *last_ns = now_ns;
        }
        is_due
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
