//! Two links of different kinds, in the RDMA lab: one is broken under load, the ring goes on over the other, the
//! link comes back. No view may change; what programs see of it is how long nothing is delivered to them.

use std::time::Duration;

use anyhow::ensure;

use crate::fabric::Port;
use crate::{Rig, links, wait_until};

/// Longest wait for engines to see what was done to a link: many times what a busy emulated machine takes.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Deliveries to each program on the other link before the broken one is mended.
const DELIVERIES: u64 = 300;

/// How long the load is watched before a link is broken, to compare with.
const BEFORE: Duration = Duration::from_millis(300);

/// What a link that failed and came back did to programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crossing {
    /// Whether the ring was on the link that failed, and moved.
    pub moved: bool,
    /// The longest time without a delivery to any program, in nanoseconds: just before.
    pub before_ns: u64,
    /// From the failure until everybody had seen it and messages went on.
    pub broken_ns: u64,
    /// From the mending until every link worked again.
    pub mended_ns: u64,
}

/// Breaks a node's port, at the node (`down`) or in the switch, waits until the ring goes on without it, mends it, and
/// waits until everything is as before.
///
/// # Errors
/// When a view changes, the ring does not go on or the link does not come back, or we are not in the lab.
pub(crate) fn measure(rig: &mut Rig, port: Port, down: bool) -> anyhow::Result<Crossing> {
    let views = links::views(rig);
    let moves = moves(rig);
    let silence = |rig: &mut Rig, during: &mut dyn FnMut(&mut Rig) -> anyhow::Result<()>| {
        rig.participants.iter().for_each(|participant| participant.measure(true));
        let done = during(rig);
        rig.participants.iter().for_each(|participant| participant.measure(false));
        done.map(|()| rig.participants.iter().map(|p| p.silence_ns()).max().unwrap_or(0))
    };
    let before_ns = silence(rig, &mut |_| {
        std::thread::sleep(BEFORE);
        Ok(())
    })?;
    let broken_ns = silence(rig, &mut |rig| {
        if down { port.down() } else { port.set_cable(false) }?;
        wait_broken(rig, port)?;
        wait_delivered(rig)
    })?;
    let moved = self::moves(rig) > moves;
    let mended_ns = silence(rig, &mut |rig| {
        if down { port.up() } else { port.set_cable(true) }?;
        links::wait_whole(rig)?;
        wait_delivered(rig)
    })?;
    let what = format!("link {} of node {}", port.link, port.node + 1);
    links::unchanged(rig, &views, &what)?;
    Ok(Crossing { moved, before_ns, broken_ns, mended_ns })
}

/// Waits until every engine knows that the node cannot be reached on that link.
fn wait_broken(rig: &mut Rig, port: Port) -> anyhow::Result<()> {
    let nodes = rig.cluster.nodes();
    let whole = rig.cluster.links() * (nodes - 1);
    let left = |node: usize| whole - if node == port.node { nodes - 1 } else { 1 };
    let seen = wait_until(TIMEOUT, || (0..nodes).all(|node| links::up(rig, node) <= left(node)));
    let counts: Vec<_> = (0..nodes).map(|node| links::up(rig, node)).collect();
    ensure!(seen, "{port:?} failed, and links that work at each node are {counts:?} of {whole}");
    Ok(())
}

/// Waits until messages are delivered to everybody.
fn wait_delivered(rig: &mut Rig) -> anyhow::Result<()> {
    let before: Vec<u64> = rig.participants.iter().map(|p| p.delivered()).collect();
    let goes_on = wait_until(TIMEOUT, || {
        rig.participants.iter().zip(&before).all(|(p, before)| p.delivered() >= before + DELIVERIES)
    });
    let log = rig.cluster.engine(0).map(|engine| engine.log_tail()).unwrap_or_default();
    ensure!(goes_on, "nothing is delivered any more\n{log}");
    Ok(())
}

/// Times the ring moved from link to link, all nodes together.
fn moves(rig: &Rig) -> u64 {
    let of = |node| rig.cluster.counters(node).get("links.moves").copied().unwrap_or(0);
    (0..rig.cluster.nodes()).map(of).sum()
}
