//! A long load through every fault, with the accounts compared at the end.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::process::Signal;

use crate::fabric::{self, Port};
use crate::{Crossing, Place, Rate, Rig, Spec, Verdict, crossing, links};

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The cluster; faults of the network need namespaces.
    pub spec: Spec,
    /// Deliveries (all participants together) at least.
    pub deliveries: u64,
    /// Bytes of a message.
    pub message_bytes: usize,
    /// Decides who is hit when.
    pub seed: u64,
    /// Names of the faults to make (see [`faults`]); empty: all.
    pub faults: Vec<String>,
    /// Load of each program; `None`: a flood, or with several links [`CROSSING_LOAD`].
    pub load: Option<Rate>,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// Messages ordered: published and taken.
    pub messages: u64,
    /// Deliveries to all participants.
    pub deliveries: u64,
    /// Seconds under load.
    pub seconds: f64,
    /// Faults made.
    pub faults: Vec<Fault>,
    /// Longest time from healing to one whole view, in milliseconds.
    pub heal_ms_max: u64,
    /// The comparison.
    pub verdict: Verdict,
}

/// A fault that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What.
    pub name: &'static str,
    /// To whom, counted from zero; some are everybody's.
    pub victim: usize,
    /// From healing to one whole view, in milliseconds.
    pub heal_ms: u64,
    /// Of a link that failed while another worked.
    pub crossing: Option<Crossing>,
}

/// The faults, in the order in which they are made; the seed chooses victims and pauses.
const FAULTS: [&str; 7] =
    ["kill", "pause", "isolate", "one-way cut", "leave", "link down", "long pause"];

/// Those of the RDMA lab.
const RDMA_FAULTS: [&str; 8] = [
    "kill",
    "datagram loss 1%",
    REMOVAL,
    "leave",
    "datagram loss 5%",
    "pause",
    "port down",
    REMOVAL,
];

/// The one among them that takes a device away.
const REMOVAL: &str = "device removed";

/// Those of the RDMA lab with two links, that change no view. Every second one is of the same link: equal links are
/// used until they fail, so that each hits the link that the ring is on, but for the first.
const CROSSINGS: [&str; 4] =
    ["link 0 port down", "link 1 cable out", "link 0 cable out", "link 1 port down"];

/// Load of each program meanwhile. A flood fills an emulated machine so that its links are late by as much as
/// would make them dead elsewhere.
const CROSSING_LOAD: Rate = Rate::PerSecond(2000);

/// How often they are made, at most, until the ring has moved from either link to the other.
const CROSSING_TRIES: usize = 3;

/// Whether the ring has moved, on each link's failure, to the other; or not all of these faults are to be made.
fn crossed(list: &[&str], faults: &[Fault]) -> bool {
    (0..2).all(|link| {
        let mut of_link = CROSSINGS.iter().skip(link).step_by(2);
        let moved = |name: &&&str| {
            let made = faults.iter().filter(|fault| fault.name == **name);
            made.filter_map(|fault| fault.crossing).any(|crossing| crossing.moved)
        };
        list != CROSSINGS || of_link.any(|name| moved(&name))
    })
}

/// Every fault that can be made in a place.
pub fn faults(place: Place) -> &'static [&'static str] {
    match place {
        Place::Rdma => &RDMA_FAULTS,
        Place::RdmaAnd { .. } => &CROSSINGS,
        _ => &FAULTS,
    }
}

/// The faults of a plan.
fn chosen(plan: &Plan) -> Vec<&'static str> {
    let all = faults(plan.spec.place);
    if !plan.faults.is_empty() {
        let named = |fault: &&str| plan.faults.iter().any(|name| name == fault);
        return all.iter().copied().filter(named).collect();
    }
    all.to_vec()
}

/// Longest wait for one whole ring after healing.
const HEAL_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs the plan; `progress` hears deliveries so far and the fault at hand.
///
/// # Errors
/// When engines do not start, or the ring does not heal.
pub fn run(plan: &Plan, mut progress: impl FnMut(u64, &str)) -> anyhow::Result<Report> {
    let mut rig = Rig::start(plan.spec.clone(), plan.message_bytes, HEAL_TIMEOUT)?;
    if rig.cluster.links() > 1 {
        links::wait_whole(&mut rig)?;
    }
    let mut random = Random(plan.seed);
    let start = Instant::now();
    let (mut faults, mut heal_ms_max) = (Vec::new(), 0);
    let usual = if rig.cluster.links() > 1 { CROSSING_LOAD } else { Rate::Flood };
    let load = plan.load.unwrap_or(usual);
    rig.set_rate(load);
    let has_network = matches!(plan.spec.place, Place::Namespaces { .. });
    let list = chosen(plan);
    let rounds_min = list.len();
    let mut round = 0;
    while rig.delivered() < plan.deliveries
        || round < rounds_min
        || (!crossed(&list, &faults) && round < CROSSING_TRIES * rounds_min)
    {
        let fault = list[round % list.len()];
        round += 1;
        let needs_network = ["isolate", "one-way cut", "link down"].contains(&fault);
        if needs_network && !has_network {
            continue;
        }
        progress(rig.delivered(), fault);
        load_for(&rig, Duration::from_millis(300 + random.below(700)), plan, &mut progress, fault);
        let removals = faults.iter().filter(|past: &&Fault| past.name == REMOVAL).count();
        let victim = match fault {
            // Everybody's in turn: a second one finds librdmacm as the first has left it.
            REMOVAL => removals % plan.spec.nodes,
            _ => random.below(plan.spec.nodes as u64) as usize,
        };
        let other = (victim + 1) % plan.spec.nodes;
        let crossing = hit(&mut rig, fault, victim, other, &mut random)
            .with_context(|| format!("after {faults:?}, {fault:?} of node {}", victim + 1))?;
        let healed = Instant::now();
        rig.wait_whole(HEAL_TIMEOUT)
            .with_context(|| format!("after {faults:?}, {fault:?} of node {}", victim + 1))?;
        let heal_ms = healed.elapsed().as_millis() as u64;
        heal_ms_max = heal_ms_max.max(heal_ms);
        rig.set_rate(load);
        faults.push(Fault { name: fault, victim, heal_ms, crossing });
    }
    ensure!(crossed(&list, &faults), "no fault hit the link that the ring was on: {faults:?}");
    let seconds = start.elapsed().as_secs_f64();
    rig.settle(HEAL_TIMEOUT)?;
    let (messages, deliveries) =
        (rig.participants.iter().map(|p| p.sent_in_all()).sum(), rig.delivered());
    let (_, verdict) = rig.verdict();
    ensure!(verdict.together > 0, "no two participants passed from view to view together");
    Ok(Report { messages, deliveries, seconds, faults, heal_ms_max, verdict })
}

fn load_for(
    rig: &Rig,
    time: Duration,
    plan: &Plan,
    progress: &mut impl FnMut(u64, &str),
    fault: &str,
) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(50));
        progress(rig.delivered().min(plan.deliveries), fault);
    }
}

/// Makes one fault, lets it act, undoes it.
fn hit(
    rig: &mut Rig,
    fault: &str,
    victim: usize,
    other: usize,
    random: &mut Random,
) -> anyhow::Result<Option<Crossing>> {
    let act = Duration::from_millis(500 + random.below(1500));
    if let Some(at) = CROSSINGS.iter().position(|name| *name == fault) {
        let port = Port { node: victim, link: at % 2 };
        return crossing::measure(rig, port, fault.ends_with("down")).map(Some);
    }
    let port = Port { node: victim, link: 0 };
    match fault {
        "kill" => {
            rig.cluster.engine(victim)?.kill()?;
            std::thread::sleep(act);
            rig.cluster.start(victim)
        }
        "leave" => {
            rig.cluster.engine(victim)?.signal(Signal::TERM)?;
            rig.cluster.engine(victim)?.wait(HEAL_TIMEOUT)?;
            std::thread::sleep(act);
            rig.cluster.start(victim)
        }
        "pause" | "long pause" => {
            rig.cluster.engine(victim)?.signal(Signal::STOP)?;
            std::thread::sleep(if fault == "pause" { Duration::from_millis(50) } else { act * 2 });
            rig.cluster.engine(victim)?.signal(Signal::CONT)
        }
        "isolate" => {
            rig.cluster.network()?.isolate(victim)?;
            std::thread::sleep(act);
            rig.cluster.network()?.heal()
        }
        "one-way cut" => {
            rig.cluster.network()?.cut(victim, other)?;
            std::thread::sleep(act);
            rig.cluster.network()?.heal()
        }
        "link down" => {
            rig.cluster.network()?.unplug(victim)?;
            std::thread::sleep(act);
            rig.cluster.network()?.plug(victim)
        }
        "port down" => {
            port.down()?;
            std::thread::sleep(act);
            port.up()
        }
        REMOVAL => {
            port.remove_device()?;
            std::thread::sleep(act);
            port.add_device()
        }
        "datagram loss 1%" => lose_for(rig, 1, act),
        "datagram loss 5%" => lose_for(rig, 5, act),
        unknown => anyhow::bail!("no fault is called {unknown}"),
    }
    .map(|()| None)
}

/// Loses datagrams for a time.
fn lose_for(rig: &Rig, percent: u32, time: Duration) -> anyhow::Result<()> {
    fabric::lose(rig.cluster.nodes(), percent)?;
    std::thread::sleep(time);
    fabric::lose(rig.cluster.nodes(), 0)
}

/// SplitMix64 (Steele, Lea, Flood 2014): choices from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
