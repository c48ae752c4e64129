//! Links that fail one by one: cut, cut in one direction, lossy, flapping.

use crate::event::Event;
use crate::scenario::MS;
use crate::world::World;

/// A step of a fault of links.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LinkStep {
    /// One breaks.
    Break,
    /// One breaks or comes back, and does so again in a moment.
    Flap { link: usize, left: u32, broken: bool },
    /// One comes back.
    Mend { link: usize },
}

/// By then the ring of all nodes stands, if nothing fails.
const FORMED_NS: u64 = 500 * MS;

/// After a fault every link is whole for at least this long where one is to be spared.
const WHOLE_NS: u64 = 20 * MS;

impl World {
    /// Plans the first fault of a link.
    pub(crate) fn plan_link_faults(&mut self) {
        if let Some(faults) = self.scenario.link_faults {
            let start_ns = if faults.sparing { FORMED_NS } else { 0 };
            self.history.one_view_from_ns = faults.sparing.then_some(start_ns);
            let at_ns = start_ns + self.link_rng.around(faults.every_ns);
            self.schedule(at_ns, Event::LinkFault(LinkStep::Break));
        }
    }

    pub(crate) fn mend_links(&mut self) {
        for link in 0..usize::from(self.scenario.links.count) {
            self.network.mend_link(link);
        }
    }

    pub(crate) fn link_fault(&mut self, step: LinkStep) {
        if self.healed {
            return;
        }
        match step {
            LinkStep::Break => self.break_link(),
            LinkStep::Mend { link } => {
                self.network.mend_link(link);
                self.say(|| format!("link {link} mended"));
            }
            LinkStep::Flap { link, left, broken } => {
                if broken || left == 0 {
                    self.network.mend_link(link);
                } else {
                    self.cut_all(link);
                }
                if left > 0 {
                    let next = LinkStep::Flap { link, left: left - 1, broken: !broken };
                    let at_ns = self.now_ns + self.link_rng.between(1, 40) * MS;
                    self.schedule(at_ns, Event::LinkFault(next));
                }
            }
        }
    }

    fn cut_all(&mut self, link: usize) {
        for from in 0..self.hosts.len() {
            for to in 0..self.hosts.len() {
                self.network.cut_link(link, from, to, true);
            }
        }
        self.say(|| format!("link {link} cut"));
    }

    /// Breaks a link for a while, and plans the next time.
    fn break_link(&mut self) {
        let Some(faults) = self.scenario.link_faults else { return };
        let link = self.link_rng.below(self.scenario.links.count.into()) as usize;
        let count = self.hosts.len();
        let mut end_ns = self.now_ns + self.link_rng.around(faults.every_ns) + MS;
        match self.link_rng.below(5) {
            0 => self.cut_all(link),
            1 => {
                let host = self.link_rng.below(count as u64) as usize;
                for other in 0..count {
                    self.network.cut_link(link, host, other, true);
                    self.network.cut_link(link, other, host, true);
                }
                self.say(|| format!("link {link} cut at n{}", host + 1));
            }
            2 => {
                let from = self.link_rng.below(count as u64) as usize;
                for to in 0..count {
                    if self.link_rng.chance(600_000) {
                        self.network.cut_link(link, from, to, true);
                        self.say(|| format!("link {link} cut {} -> {}", from + 1, to + 1));
                    }
                }
            }
            3 => {
                let ppm = self.link_rng.between(50_000, 1_000_000);
                self.network.link_loss_ppm[link] = ppm;
                self.say(|| format!("link {link} loses {ppm} ppm"));
            }
            _ => {
                let left = self.link_rng.between(2, 12) as u32;
                self.link_fault(LinkStep::Flap { link, left, broken: false });
                end_ns = end_ns.max(self.now_ns + u64::from(left + 1) * 40 * MS);
            }
        }
        self.schedule(end_ns, Event::LinkFault(LinkStep::Mend { link }));
        let next_ns = match faults.sparing {
            true => end_ns + WHOLE_NS + self.link_rng.below(faults.every_ns),
            false => self.now_ns + self.link_rng.around(faults.every_ns),
        };
        self.schedule(next_ns, Event::LinkFault(LinkStep::Break));
    }
}
