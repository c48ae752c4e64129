//! Links that fail under load while others work: how long deliveries stop, and that nothing else happens.

use std::time::Duration;

use anyhow::{Context, ensure};

use crate::{Rig, wait_until};

/// How a link fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkFault {
    /// A host's interface is set down.
    Interface,
    /// The switch forwards nothing any more; no interface notices.
    Switch,
    /// A host receives nothing any more, but is heard.
    OneWay,
    /// No host receives anything.
    Loss,
}

impl LinkFault {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Interface, Self::Switch, Self::OneWay, Self::Loss];
}

/// Longest wait for all links to work again: twice the probation after a few failures.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What a fault did.
#[derive(Clone, Copy, Debug)]
pub struct Gap {
    /// The longest time from a message's turn to be published to its delivery at its own sender while the link
    /// was failing: what programs see of it.
    pub worst_ns: u64,
    /// The same over as long a time just before.
    pub before_ns: u64,
}

/// Breaks a link for a while, under the present load.
///
/// # Errors
/// When a view changes, or the network cannot be changed.
pub fn measure(
    rig: &mut Rig,
    link: usize,
    fault: LinkFault,
    victim: usize,
    spell: Duration,
) -> anyhow::Result<Gap> {
    let views = views(rig);
    let before_ns = worst_ns(rig, || std::thread::sleep(spell));
    let mut done = Ok(());
    let worst_ns = worst_ns(rig, || {
        done = break_link(rig, link, fault, victim);
        std::thread::sleep(spell);
    });
    done?;
    mend_link(rig, link, victim)?;
    unchanged(rig, &views, &format!("{fault:?} on link {link} at node {}", victim + 1))?;
    Ok(Gap { worst_ns, before_ns })
}

/// Breaks and mends a link many times, as fast as told.
///
/// # Errors
/// When a view changes, or the network cannot be changed.
pub fn flap(
    rig: &mut Rig,
    link: usize,
    victim: usize,
    times: usize,
    spell: Duration,
) -> anyhow::Result<()> {
    let views = views(rig);
    for _ in 0..times {
        break_link(rig, link, LinkFault::Interface, victim)?;
        std::thread::sleep(spell);
        mend_link(rig, link, victim)?;
        std::thread::sleep(spell);
    }
    unchanged(rig, &views, &format!("link {link} flapping at node {}", victim + 1))
}

/// Waits until every link to every node works, as every engine sees it.
///
/// # Errors
/// When that takes too long; says what is missing.
pub fn wait_whole(rig: &mut Rig) -> anyhow::Result<()> {
    let wanted = rig.cluster.links() * (rig.cluster.nodes() - 1);
    let all: Vec<usize> = (0..rig.cluster.nodes()).collect();
    let whole = wait_until(TIMEOUT, || all.iter().all(|node| up(rig, *node) == wanted));
    let seen: Vec<_> = all.iter().map(|node| up(rig, *node)).collect();
    ensure!(whole, "links that work, of {wanted} at each node: {seen:?} after {TIMEOUT:?}");
    Ok(())
}

/// How many links to other nodes work, as an engine sees it.
pub(crate) fn up(rig: &Rig, node: usize) -> usize {
    let counters = rig.cluster.counters(node);
    let count = |name| counters.get(name).copied().unwrap_or(0);
    count("links.links_up").saturating_sub(count("links.links_down")) as usize
}

fn break_link(rig: &Rig, link: usize, fault: LinkFault, victim: usize) -> anyhow::Result<()> {
    let network = rig.cluster.network()?;
    match fault {
        LinkFault::Interface => network.set_interface(victim, link, false),
        LinkFault::Switch => network.set_switch(link, false),
        LinkFault::OneWay => network.deafen(victim, link),
        LinkFault::Loss => (0..rig.cluster.nodes()).try_for_each(|host| network.deafen(host, link)),
    }
}

fn mend_link(rig: &Rig, link: usize, victim: usize) -> anyhow::Result<()> {
    let network = rig.cluster.network()?;
    network.set_switch(link, true)?;
    network.set_interface(victim, link, true)?;
    network.heal()
}

fn worst_ns(rig: &Rig, during: impl FnOnce()) -> u64 {
    rig.participants.iter().for_each(|participant| participant.measure(true));
    during();
    rig.participants.iter().for_each(|participant| participant.measure(false));
    rig.participants.iter().map(|participant| participant.latency().max()).max().unwrap_or(0)
}

/// How many views each participant has seen.
pub(crate) fn views(rig: &Rig) -> Vec<usize> {
    rig.participants.iter().map(|participant| participant.views().len()).collect()
}

pub(crate) fn unchanged(rig: &mut Rig, before: &[usize], what: &str) -> anyhow::Result<()> {
    let after = views(rig);
    if after == before {
        return Ok(());
    }
    let log = rig.cluster.engine(0).map(|engine| engine.log_tail()).unwrap_or_default();
    Err(anyhow::anyhow!("views before and after: {before:?} {after:?}\n{log}"))
        .with_context(|| what.to_owned())
}
