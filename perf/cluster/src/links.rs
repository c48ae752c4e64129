//! Links that fail under load while others work: how long deliveries stop, and that nothing else happens.

use std::time::Duration;

use anyhow::{Context, ensure};

use crate::clock::{now_ns, wall_ns};
use crate::said::{self, Said};
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

/// Longest wait for all links to work again: twice the probation after eight failures.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What a fault did.
#[derive(Clone, Copy, Debug)]
pub struct Gap {
    /// The link that failed.
    pub link: usize,
    /// The longest time from a message's turn to be published to its delivery at its own sender while the link
    /// was failing: what programs see of it.
    pub worst_ns: u64,
    /// The same over as long a time just before, in which the same commands were run to no effect: on a small machine
    /// they take cores away from the engines.
    pub before_ns: u64,
    /// From the fault, once it was complete, until the last engine that found the link broken had said so.
    pub noticed_ns: u64,
    /// From the repair, once it was complete, until the last engine used the link again. A link that failed must work
    /// for a while first.
    pub healed_ns: u64,
    /// How long that while was.
    pub probation_ns: u64,
}

/// Breaks a link for a while, under the present load: the one given, or the one that carries most.
///
/// # Errors
/// When a view changes, the failure is not noticed, or the network cannot be changed.
pub fn measure(
    rig: &mut Rig,
    link: Option<usize>,
    fault: LinkFault,
    victim: usize,
    spell: Duration,
) -> anyhow::Result<Gap> {
    wait_whole(rig)?;
    let views = views(rig);
    let sent = sent_bytes(rig)?;
    let (before_ns, done) = worst_ns(rig, spell, |rig| pretend(rig, fault, victim));
    done?;
    let sent = sent_bytes(rig)?.into_iter().zip(sent).map(|(after, before)| after - before);
    let busiest = sent.enumerate().max_by_key(|(_, bytes)| *bytes).map_or(0, |(link, _)| link);
    let link = link.unwrap_or(busiest);
    // Somebody may notice before the last of several commands is done.
    let (begun_ns, mut broken_ns) = (wall_ns(), 0);
    let (worst_ns, done) = worst_ns(rig, spell, |rig| {
        break_link(rig, link, fault, victim)?;
        broken_ns = wall_ns();
        Ok(())
    });
    done?;
    // All of them must have found it broken before it is mended, or some never will.
    let what = format!("{fault:?} on link {link} at node {}", victim + 1);
    let is_noticed = |rig: &Rig| said::since(&rig.cluster, link, Said::Down, begun_ns).count() > 0;
    ensure!(wait_until(TIMEOUT, || is_noticed(rig)), "{what}: nobody noticed in {TIMEOUT:?}");
    std::thread::sleep(spell);
    let mending_ns = wall_ns();
    mend_link(rig, link, victim)?;
    let mended_ns = wall_ns();
    wait_whole(rig)?;
    unchanged(rig, &views, &what)?;
    let last =
        |said, since_ns| said::since(&rig.cluster, link, said, since_ns).max_by_key(|e| e.at_ns);
    let (down, up) = (last(Said::Down, begun_ns), last(Said::Up, mending_ns));
    let up = up.with_context(|| format!("{what}: nobody said that it works again"))?;
    Ok(Gap {
        link,
        worst_ns,
        before_ns,
        noticed_ns: down.map_or(0, |event| event.at_ns.saturating_sub(broken_ns)),
        healed_ns: up.at_ns.saturating_sub(mended_ns),
        probation_ns: up.probation_ms * 1_000_000,
    })
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

/// Waits until every link to every node works, as every engine sees it from now on: what an engine's counters page
/// says may be as old as the engine's last look at it, and then tells of the time before a failure.
///
/// # Errors
/// When that takes too long; says what is missing.
pub fn wait_whole(rig: &mut Rig) -> anyhow::Result<()> {
    let wanted = rig.cluster.links() * (rig.cluster.nodes() - 1);
    let since_ns = now_ns();
    let is_fresh =
        |rig: &Rig, node| rig.cluster.page(node).is_some_and(|page| page.updated_ns > since_ns);
    let all: Vec<usize> = (0..rig.cluster.nodes()).collect();
    let is_whole = |rig: &Rig, node| is_fresh(rig, node) && up(rig, node) == wanted;
    let whole = wait_until(TIMEOUT, || all.iter().all(|node| is_whole(rig, *node)));
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

/// What all engines together sent on each link, once each of them has written that down after now.
fn sent_bytes(rig: &Rig) -> anyhow::Result<Vec<u64>> {
    let (since_ns, nodes) = (now_ns(), rig.cluster.nodes());
    let page = |node| rig.cluster.page(node).filter(|page| page.updated_ns > since_ns);
    let fresh = wait_until(TIMEOUT, || (0..nodes).all(|node| page(node).is_some()));
    ensure!(fresh, "an engine has written no counters for {TIMEOUT:?}");
    let sent = |link: usize| {
        let name = if link == 0 { "transport".into() } else { format!("transport{link}") };
        let name = format!("{name}.bytes_sent");
        let values = (0..nodes).filter_map(|node| rig.cluster.counters(node).get(&name).copied());
        values.sum()
    };
    Ok((0..rig.cluster.links()).map(sent).collect())
}

/// Runs the commands that [`break_link`] would run, without their effect.
fn pretend(rig: &Rig, fault: LinkFault, victim: usize) -> anyhow::Result<()> {
    let network = rig.cluster.network()?;
    // No interface has this number.
    let none = network.links();
    match fault {
        LinkFault::Interface => network.set_interface(victim, 0, true),
        LinkFault::Switch => network.set_switch(0, true),
        LinkFault::OneWay => network.deafen(victim, none),
        LinkFault::Loss => (0..rig.cluster.nodes()).try_for_each(|host| network.deafen(host, none)),
    }
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

/// The slowest message of a spell that begins with something.
fn worst_ns(
    rig: &Rig,
    spell: Duration,
    begin: impl FnOnce(&Rig) -> anyhow::Result<()>,
) -> (u64, anyhow::Result<()>) {
    rig.participants.iter().for_each(|participant| participant.measure(true));
    let done = begin(rig);
    std::thread::sleep(spell);
    rig.participants.iter().for_each(|participant| participant.measure(false));
    let worst = rig.participants.iter().map(|participant| participant.latency().max()).max();
    (worst.unwrap_or(0), done)
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
