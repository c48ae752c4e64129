//! What breaks while faults are injected, and the healing after it.

use frame::Class;
use node::Input;

use crate::event::Event;
use crate::history::{End, LifeId};
use crate::host::Doom;
use crate::scenario::{MS, NetworkFaults};
use crate::world::World;

/// Slots that a starved node keeps: enough for a token and an answer.
const STARVED_SLOTS: u32 = 12;

/// How much a storm loses, at most.
const STORM_PPM: u64 = 500_000;

impl World {
    /// Breaks something and plans the next time.
    pub(crate) fn fault(&mut self) {
        if self.healed {
            return;
        }
        let weights = self.scenario.faults.list();
        let mut draw = self.fault_rng.below(weights.iter().sum());
        let which = weights.iter().position(|weight| {
            let hit = draw < *weight;
            draw = draw.saturating_sub(*weight);
            hit
        });
        match which {
            Some(0) => self.partition(),
            Some(1) => self.one_way(),
            Some(2) => self.mend(),
            Some(3) => self.pause(),
            Some(4) => self.crash(),
            Some(5) => self.leave(),
            Some(6) => self.storm(),
            Some(7) => self.starve(),
            _ => self.reload(),
        }
        if self.fault_rng.chance(100_000) {
            self.forge_hint();
        }
        let next = self.now_ns + MS + self.fault_rng.around(self.scenario.fault_ns);
        self.schedule(next, Event::Fault);
    }

    /// Something that meets a reload under way.
    pub(crate) fn shake_now(&mut self) {
        if self.healed {
            return;
        }
        match self.fault_rng.below(10) {
            0..=4 => self.partition(),
            5..=6 => self.one_way(),
            7..=8 => self.crash(),
            _ => self.pause(),
        }
    }

    pub(crate) fn say(&self, text: impl FnOnce() -> String) {
        self.tracer.line(self.now_ns, || format!("! {}", text()));
    }

    /// Whether the node list that counts names a host's node.
    fn is_wanted(&self, host: usize) -> bool {
        self.files.goal().names(self.hosts[host].id)
    }

    fn mend(&mut self) {
        self.network.mend();
        self.say(|| "all paths mended".to_owned());
    }

    /// The nodes fall apart into two or three groups.
    fn partition(&mut self) {
        self.network.mend();
        let parts = self.fault_rng.between(2, 3);
        let part: Vec<u64> = self.hosts.iter().map(|_| self.fault_rng.below(parts)).collect();
        for a in 0..part.len() {
            for b in 0..part.len() {
                if part[a] != part[b] {
                    self.network.cut(a, b);
                }
            }
        }
        self.say(|| format!("partition {part:?}"));
    }

    /// One node does not reach some others, or is not reached by them.
    fn one_way(&mut self) {
        let count = self.hosts.len() as u64;
        let one = self.fault_rng.below(count) as usize;
        let outward = self.fault_rng.chance(500_000);
        let share = *self.fault_rng.pick(&[200_000, 500_000, 1_000_000]);
        for other in (0..self.hosts.len()).filter(|o| *o != one) {
            if self.fault_rng.chance(share) {
                let (from, to) = if outward { (one, other) } else { (other, one) };
                self.network.cut(from, to);
                self.say(|| format!("cut {} -> {}", from + 1, to + 1));
            }
        }
    }

    fn any_live(&mut self) -> Option<(usize, LifeId)> {
        let live = self.live();
        if live.is_empty() {
            return None;
        }
        let host = *self.fault_rng.pick(&live);
        self.life_of(host).map(|life| (host, life))
    }

    /// A node stands still while datagrams pile up.
    fn pause(&mut self) {
        let Some((host, _)) = self.any_live() else { return };
        let longest = *self.fault_rng.pick(&[5, 60, 500, 1500]);
        let until = self.now_ns + self.fault_rng.between(1, longest) * MS;
        self.hosts[host].paused_until = until;
        self.say(|| format!("n{} pauses until {} ms", host + 1, until / MS));
    }

    /// A node dies, or the network falls apart, in the middle of a multicast.
    pub(crate) fn meet_doom(&mut self, host: usize, doom: Doom) {
        self.hosts[host].doom = None;
        match doom {
            Doom::Partition => self.partition(),
            Doom::Crash => {
                self.hosts[host].dying = true;
                self.say(|| format!("n{} dies while sending", host + 1));
            }
        }
    }

    /// Who is to die in the middle of a multicast that may never come is spared at healing.
    fn plan_doom(&mut self) -> bool {
        if !self.fault_rng.chance(400_000) {
            return false;
        }
        let Some((host, _)) = self.any_live() else { return false };
        let crash = self.fault_rng.chance(500_000);
        self.hosts[host].doom = Some(if crash { Doom::Crash } else { Doom::Partition });
        true
    }

    /// A node is killed, sometimes a third of them at once.
    fn crash(&mut self) {
        if self.plan_doom() {
            return;
        }
        let many = self.fault_rng.chance(100_000);
        let count = if many { self.hosts.len().div_ceil(3) } else { 1 };
        for _ in 0..count {
            let Some((host, _)) = self.any_live() else { return };
            self.hosts[host].answers = !self.fault_rng.chance(300_000);
            self.kill(host, End::Crash);
            self.plan_restart(host);
        }
    }

    pub(crate) fn plan_restart(&mut self, host: usize) {
        if self.fault_rng.chance(800_000) {
            let longest = *self.fault_rng.pick(&[2, 50, 800]);
            let at_ns = self.now_ns + self.fault_rng.between(1, longest) * MS;
            self.schedule(at_ns, Event::Restart { host });
        }
    }

    fn leave(&mut self) {
        let Some((host, life)) = self.any_live() else { return };
        if let Some(r) = self.running(host, life) {
            if r.leaving {
                return;
            }
            r.leaving = true;
        }
        self.close_all(host, life);
        self.say(|| format!("n{} is told to leave", host + 1));
        self.control(host, life, Input::Shutdown);
        if self.fault_rng.chance(700_000) {
            let at_ns = self.now_ns + self.fault_rng.between(300, 1500) * MS;
            self.schedule(at_ns, Event::Restart { host });
        }
    }

    fn storm(&mut self) {
        let loss_ppm = self.fault_rng.between(100_000, STORM_PPM);
        self.network.faults = NetworkFaults { loss_ppm, ..self.scenario.network };
        let end = self.now_ns + self.fault_rng.between(5, 300) * MS;
        self.say(|| format!("storm: {loss_ppm} ppm lost until {} ms", end / MS));
        self.schedule(end, Event::Calm);
    }

    /// Something holds most slots of a node for a while.
    fn starve(&mut self) {
        let Some((host, life)) = self.any_live() else { return };
        let end = self.now_ns + self.fault_rng.between(2, 200) * MS;
        self.say(|| format!("n{} starves until {} ms", host + 1, end / MS));
        if let Some(r) = self.running(host, life) {
            while r.pool.free(Class::Small) > STARVED_SLOTS
                && let Some(slot) = r.pool.alloc(Class::Small)
            {
                r.hog.push(slot);
            }
        }
        self.schedule(end, Event::Feed { host, life });
    }

    /// Somebody forges "port unreachable" of a node that is well.
    fn forge_hint(&mut self) {
        let Some((host, life)) = self.any_live() else { return };
        let peer = *self.fault_rng.pick(&self.history.nodes);
        if peer != self.hosts[host].id {
            self.say(|| format!("n{} gets a forged hint about n{peer}", host + 1));
            let link = self.link_rng.below(self.scenario.links.count.into()) as u8;
            self.control(host, life, Input::Unreachable { link, peer });
        }
    }

    /// From here on nothing breaks any more: paths, sockets, slots are well, who was stopped goes
    /// on, most of who is dead is started.
    pub(crate) fn heal(&mut self) {
        self.healed = true;
        self.history.healed_ns = self.now_ns;
        self.mend();
        self.mend_links();
        self.begin_to_tend();
        self.network.faults = NetworkFaults::default();
        self.scenario.network = NetworkFaults::default();
        let absent = self.fault_rng.chance(250_000);
        let stays_away = absent.then(|| self.fault_rng.below(self.hosts.len() as u64) as usize);
        for host in 0..self.hosts.len() {
            self.hosts[host].paused_until = self.now_ns;
            self.hosts[host].answers = true;
            self.hosts[host].doom = None;
            self.hosts[host].turn_ns = None;
            match self.life_of(host) {
                Some(life) => {
                    if let Some(r) = self.running(host, life) {
                        r.hog.clear();
                    }
                    self.want_turn(host, self.now_ns);
                    self.begin_fresh(host);
                }
                None if stays_away != Some(host) && self.is_wanted(host) => self.start(host),
                None => {}
            }
        }
        self.say(|| "healed".to_owned());
    }
}
