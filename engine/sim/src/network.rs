//! The network: delays, loses, doubles, reorders, damages and cuts. It knows datagrams, not frames.

use std::rc::Rc;

use wire::hello::LINKS_MAX;

use crate::rng::Rng;
use crate::scenario::{NetworkFaults, Scenario};

/// Most datagrams in one burst, one bit each.
pub(crate) const SEGMENTS_MAX: usize = 64;

/// How many old datagrams are kept for replay.
const OLD_MAX: usize = 64;

/// Datagrams of one send: equal sizes, only the last may be shorter.
#[derive(Clone, Debug)]
pub(crate) struct Burst {
    /// All bytes.
    pub(crate) bytes: Rc<[u8]>,
    /// Bytes of each datagram but the last.
    pub(crate) segment_bytes: usize,
    /// Which of the datagrams are here.
    pub(crate) kept: u64,
    /// Whether the network changed a byte, or nobody sent it now.
    pub(crate) damaged: bool,
}

impl Burst {
    /// A whole burst.
    pub(crate) fn new(bytes: &[u8], segment_bytes: usize) -> Self {
        let segment_bytes = segment_bytes.clamp(1, bytes.len().max(1));
        let count = bytes.len().div_ceil(segment_bytes).min(SEGMENTS_MAX);
        let kept = u64::MAX.checked_shr(64 - count as u32).unwrap_or(0);
        Self { bytes: bytes.into(), segment_bytes, kept, damaged: false }
    }

    /// Whether all bytes of the send are in one burst.
    pub(crate) fn fits(len: usize, segment_bytes: usize) -> bool {
        len.div_ceil(segment_bytes.max(1)) <= SEGMENTS_MAX
    }

    /// The bytes of one datagram.
    pub(crate) fn segment(&self, index: usize) -> &[u8] {
        let start = index * self.segment_bytes;
        &self.bytes[start..self.bytes.len().min(start + self.segment_bytes)]
    }

    /// Indices of the datagrams that are here.
    pub(crate) fn indices(&self) -> impl Iterator<Item = usize> + use<> {
        let kept = self.kept;
        (0..SEGMENTS_MAX).filter(move |i| kept >> i & 1 == 1)
    }

    fn only(&self, index: usize) -> Self {
        Self { kept: 1 << index, ..self.clone() }
    }
}

/// A burst with its time of arrival.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    /// When.
    pub(crate) at_ns: u64,
    /// What.
    pub(crate) burst: Burst,
}

/// The network between `count` hosts.
pub(crate) struct Network {
    rng: Rng,
    count: usize,
    latency_ns: u64,
    jitter_ns: u64,
    far: Option<(usize, u64)>,
    /// What it does to datagrams now.
    pub(crate) faults: NetworkFaults,
    /// Cut directions, `from * count + to`.
    cut: Vec<bool>,
    /// The same by link: `(link * count + from) * count + to`.
    link_cut: Vec<bool>,
    /// What each link loses besides, in parts of a million.
    pub(crate) link_loss_ppm: [u64; LINKS_MAX],
    /// Last arrival per link and direction: paths are first in, first out but for what is reordered on purpose.
    last_ns: Vec<u64>,
    old: Vec<Rc<[u8]>>,
    /// Datagrams lost, cut off, doubled, delayed, damaged, made up.
    pub(crate) counts: [u64; 6],
}

impl Network {
    /// The network of a scenario, without faults yet.
    pub(crate) fn new(scenario: &Scenario, rng: Rng) -> Self {
        let count = scenario.nodes as usize;
        Self {
            rng,
            count,
            latency_ns: scenario.latency_ns,
            jitter_ns: scenario.jitter_ns,
            far: scenario.far,
            faults: scenario.network,
            cut: vec![false; count * count],
            link_cut: vec![false; LINKS_MAX * count * count],
            link_loss_ppm: [0; LINKS_MAX],
            last_ns: vec![0; LINKS_MAX * count * count],
            old: Vec::new(),
            counts: [0; 6],
        }
    }

    /// Cuts one direction.
    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        self.cut[from * self.count + to] = true;
    }

    /// Mends all cuts.
    pub(crate) fn mend(&mut self) {
        self.cut.fill(false);
    }

    /// Whether a direction is cut.
    pub(crate) fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut[from * self.count + to]
    }

    /// Cuts or mends one direction of one link.
    pub(crate) fn cut_link(&mut self, link: usize, from: usize, to: usize, cut: bool) {
        self.link_cut[(link * self.count + from) * self.count + to] = cut;
    }

    /// Mends a link altogether.
    pub(crate) fn mend_link(&mut self, link: usize) {
        let paths = self.count * self.count;
        self.link_cut[link * paths..(link + 1) * paths].fill(false);
        self.link_loss_ppm[link] = 0;
    }

    /// A delay as of now.
    pub(crate) fn delay_ns(&mut self) -> u64 {
        self.latency_ns + self.rng.below(self.jitter_ns + 1)
    }

    /// What becomes of a burst on the way from one host to another.
    pub(crate) fn carry(
        &mut self,
        now_ns: u64,
        link: usize,
        (from, to): (usize, usize),
        sent: &Burst,
        out: &mut Vec<Arrival>,
    ) {
        let path = (link * self.count + from) * self.count + to;
        if self.is_cut(from, to) || self.link_cut[path] {
            self.counts[1] += u64::from(sent.kept.count_ones());
            return;
        }
        let far = self.far.filter(|(host, _)| *host == from || *host == to);
        let base = now_ns + self.delay_ns() * far.map_or(1, |(_, times)| times);
        let last = &mut self.last_ns[path];
        let at_ns = base.max(*last + 1);
        *last = at_ns;
        let mut main = sent.clone();
        for index in sent.indices() {
            let lossy = self.link_loss_ppm[link];
            if lossy > 0 && self.rng.chance(lossy) {
                self.counts[0] += 1;
                main.kept &= !(1 << index);
                continue;
            }
            self.fate(at_ns, index, &mut main, out);
        }
        if main.kept != 0 {
            out.push(Arrival { at_ns, burst: main });
        }
        self.remember(sent);
    }

    /// What becomes of one datagram.
    fn fate(&mut self, at_ns: u64, index: usize, main: &mut Burst, out: &mut Vec<Arrival>) {
        let f = self.faults;
        let late = |rng: &mut Rng, ns: u64| at_ns + 1 + rng.below(8 * ns + 1);
        if self.rng.chance(f.loss_ppm) {
            self.counts[0] += 1;
            main.kept &= !(1 << index);
            return;
        }
        if self.rng.chance(f.duplicate_ppm) {
            self.counts[2] += 1;
            let at_ns = late(&mut self.rng, self.latency_ns);
            out.push(Arrival { at_ns, burst: main.only(index) });
        }
        if self.rng.chance(f.reorder_ppm) {
            self.counts[3] += 1;
            let at_ns = late(&mut self.rng, self.latency_ns);
            out.push(Arrival { at_ns, burst: main.only(index) });
            main.kept &= !(1 << index);
            return;
        }
        if self.rng.chance(f.flip_ppm + f.truncate_ppm) {
            self.counts[4] += 1;
            main.kept &= !(1 << index);
            let bytes = self.damage(main.segment(index), f);
            out.push(Arrival { at_ns, burst: forged(bytes) });
        }
        if self.rng.chance(f.garbage_ppm) {
            self.counts[5] += 1;
            let len = self.rng.between(1, 1400) as usize;
            let bytes = (0..len).map(|_| self.rng.next() as u8).collect();
            out.push(Arrival { at_ns: late(&mut self.rng, self.latency_ns), burst: forged(bytes) });
        }
        if self.rng.chance(f.replay_ppm) && !self.old.is_empty() {
            self.counts[5] += 1;
            let bytes = self.rng.pick(&self.old).to_vec();
            out.push(Arrival { at_ns: late(&mut self.rng, self.latency_ns), burst: forged(bytes) });
        }
    }

    fn damage(&mut self, datagram: &[u8], f: NetworkFaults) -> Vec<u8> {
        let mut bytes = datagram.to_vec();
        if self.rng.below(f.flip_ppm + f.truncate_ppm) < f.flip_ppm {
            for _ in 0..self.rng.between(1, 3) {
                let bit = self.rng.below(bytes.len() as u64 * 8) as usize;
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        } else {
            let len = self.rng.below(bytes.len() as u64) as usize;
            bytes.truncate(len.max(1));
        }
        bytes
    }

    /// Keeps a datagram now and then for replay, from any time of the run.
    fn remember(&mut self, sent: &Burst) {
        if self.faults.replay_ppm == 0 || !self.rng.chance(50_000) {
            return;
        }
        let bytes: Rc<[u8]> = sent.segment(0).into();
        if self.old.len() < OLD_MAX {
            self.old.push(bytes);
        } else {
            let at = self.rng.below(OLD_MAX as u64) as usize;
            self.old[at] = bytes;
        }
    }
}

fn forged(bytes: Vec<u8>) -> Burst {
    let len = bytes.len();
    Burst { damaged: true, ..Burst::new(&bytes, len) }
}
