//! What is done to a site, and how long it takes until the resource runs again.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::ValueEnum;
use cluster::Signal;
use serde::Serialize;

use crate::host;
use crate::log;
use crate::site::{PATIENCE, Site};
use crate::view::View;

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fault {
    /// The engine is killed; everything else on its machine lives on.
    Engine,
    /// The machine loses its power.
    Host,
    /// The machine loses its network and lives on.
    Link,
    /// The path between the machine and one of the others carries nothing any more, both ways.
    Path,
    /// All other machines lose their power: the quorum is lost.
    Quorum,
    /// Pacemaker, then the engine, end in order.
    Stop,
}

/// What came of it; times in seconds from the fault.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) fault: Fault,
    /// Until Pacemaker was told, somewhere else.
    pub(crate) noticed_s: Option<f64>,
    /// Until it asked for the power to be switched off.
    pub(crate) fence_asked_s: Option<f64>,
    /// Until the resource ran elsewhere; with [`Fault::Path`] until one of the two was out and the resource ran in the
    /// part that goes on.
    pub(crate) running_s: Option<f64>,
    /// Until it was stopped where it had to be.
    pub(crate) stopped_s: Option<f64>,
    /// Until the cluster was whole again, from the repair.
    pub(crate) whole_again_s: f64,
}

/// How long a start took, in seconds from the first program.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Start {
    /// Until every engine saw a quorum.
    pub(crate) quorate_s: f64,
    /// Until Pacemaker showed every node as online.
    pub(crate) online_s: f64,
    /// Until the resource ran.
    pub(crate) running_s: f64,
}

/// Starts engines and Pacemaker everywhere.
///
/// # Errors
/// When the cluster does not come together.
pub(crate) fn start(site: &mut Site) -> anyhow::Result<Start> {
    let start = Instant::now();
    let since = |at: Instant| (at - start).as_secs_f64();
    let quorate = start_engines(site)?;
    for node in site.nodes() {
        site.start_pacemaker(node)?;
    }
    let online = wait_whole(site)?;
    let running = site.wait("the resource", PATIENCE, |site| site.resource_at().len() == 1)?;
    settle(site)?;
    Ok(Start { quorate_s: since(quorate), online_s: since(online), running_s: since(running) })
}

/// Starts engines everywhere and waits until each sees all others and a quorum.
///
/// # Errors
/// When they do not come together.
pub(crate) fn start_engines(site: &mut Site) -> anyhow::Result<Instant> {
    for node in site.nodes() {
        site.start_engine(node)?;
    }
    let whole = format!("Nodes:            {}", site.spec.nodes);
    site.wait("a quorum of all nodes everywhere", PATIENCE, |site| {
        // Its exit code says that there is a quorum.
        site.nodes().all(|node| {
            site.run(node, "/usr/sbin/corosync-quorumtool -s")
                .is_ok_and(|said| said.contains(&whole))
        })
    })
}

/// Lets something fail, waits until the cluster has dealt with it, repairs it.
///
/// # Errors
/// When the cluster does not deal with it as it should.
pub(crate) fn fail(site: &mut Site, fault: Fault) -> anyhow::Result<Outcome> {
    let victim = *site.resource_at().first().context("nobody runs the resource")?;
    let others = site.but(victim);
    site.forget();
    let (from_ms, from) = (log::now_ms(), Instant::now());
    let since = |at: Instant| (at - from).as_secs_f64();
    match fault {
        Fault::Engine => site.signal_engine(victim, Signal::KILL)?,
        Fault::Host => site.power_off(victim)?,
        Fault::Link => site.network().unplug(victim)?,
        Fault::Path => {
            site.network().cut(victim, others[0])?;
            site.network().cut(others[0], victim)?;
        }
        Fault::Quorum => others.iter().try_for_each(|&other| site.power_off(other))?,
        Fault::Stop => site.stop_pacemaker(victim)?,
    }
    let (mut running, mut stopped) = (None, None);
    match fault {
        Fault::Quorum => {
            stopped = Some(
                site.wait("the resource stopped", PATIENCE, |site| !site.has_resource(victim))?,
            );
        }
        Fault::Path => running = Some(wait_one_side(site, victim, others[0], others[1])?),
        _ => {
            let at = site.wait("the resource elsewhere", PATIENCE, |site| {
                // A machine cut off and not switched off stops it by itself.
                if stopped.is_none() && !site.has_resource(victim) {
                    stopped = Some(Instant::now());
                }
                others.iter().any(|&other| site.has_resource(other))
            })?;
            running = Some(at);
        }
    }
    if fault == Fault::Link && site.fenced.is_none() && stopped.is_none() {
        let gone = site
            .wait("stopped where the link is cut", PATIENCE, |site| !site.has_resource(victim))?;
        stopped = Some(gone);
    }
    let fenced = site.fenced;
    let should = site.spec.fencing && matches!(fault, Fault::Engine | Fault::Host | Fault::Link);
    ensure!(!should || fenced.is_some(), "{fault:?}: nobody was fenced");
    let elsewhere = if fault == Fault::Quorum { vec![victim] } else { others };
    let noticed = elsewhere.iter().filter_map(|&node| {
        log::noticed_ms(&site.home(node).join("log/pacemaker/pacemaker.log"), from_ms)
    });
    let noticed_s = noticed.min().map(|at| (at - from_ms) as f64 / 1e3);
    let repair = Instant::now();
    mend(site, fault, victim)?;
    let whole = wait_whole(site)?;
    settle(site)?;
    Ok(Outcome {
        fault,
        noticed_s,
        fence_asked_s: fenced.map(since),
        running_s: running.map(since),
        stopped_s: stopped.map(since),
        whole_again_s: (whole - repair).as_secs_f64(),
    })
}

/// Waits until one of the two whose path is cut is out, and the resource runs once, in the part that goes on.
fn wait_one_side(
    site: &mut Site,
    one: usize,
    other: usize,
    third: usize,
) -> anyhow::Result<Instant> {
    site.wait("one side of a cut path goes on", PATIENCE, |site| {
        let view = View::at(site, third);
        let holders: Vec<String> = site.resource_at().into_iter().map(host::name).collect();
        view.quorate
            && view.online.len() == 2
            && [one, other].iter().any(|&node| !view.online.contains(&host::name(node)))
            && holders.len() == 1
            && view.online.contains(&holders[0])
    })
}

/// Repairs what was done.
fn mend(site: &mut Site, fault: Fault, victim: usize) -> anyhow::Result<()> {
    match fault {
        Fault::Path => site.network().heal(),
        // Plugged in again as it is, if nobody switched it off.
        Fault::Link if !site.spec.fencing => site.network().plug(victim),
        // Switched off, or to be: those that are off are switched on while we wait.
        Fault::Engine | Fault::Host | Fault::Link => site.power_off(victim),
        Fault::Quorum => Ok(()),
        Fault::Stop => {
            site.wait("Pacemaker's end", PATIENCE, |site| !site.has_pacemaker(victim))?;
            site.run(victim, "/usr/sbin/corosync-cfgtool -H")?;
            site.wait("the engine's end", PATIENCE, |site| !site.has_engine(victim))?;
            site.power_off(victim)
        }
    }
}

/// Waits until everybody sees everybody online; machines that are off are switched on.
fn wait_whole(site: &mut Site) -> anyhow::Result<Instant> {
    let mut problem = Ok(());
    let whole = site.wait("all nodes online, one of them coordinating", PATIENCE, |site| {
        problem = site.nodes().try_for_each(|node| site.revive(node));
        problem.is_err() || site.nodes().all(|node| sees_all(site, node))
    })?;
    problem.map(|()| whole)
}

fn sees_all(site: &Site, node: usize) -> bool {
    let view = View::at(site, node);
    view.coordinator.is_some() && view.quorate && view.online.len() == site.spec.nodes
}

/// Waits until Pacemaker has nothing more to do and the resource runs once.
fn settle(site: &mut Site) -> anyhow::Result<()> {
    site.wait("an idle cluster", PATIENCE, |site| {
        site.run(0, "/usr/sbin/crm_resource --wait --timeout 5").is_ok()
            && site.resource_at().len() == 1
            && site.nodes().all(|node| sees_all(site, node))
    })?;
    Ok(())
}

impl Site {
    /// Switches a machine on if it is off, and starts what belongs on it.
    fn revive(&mut self, node: usize) -> anyhow::Result<()> {
        if self.is_on(node) {
            return Ok(());
        }
        self.power_on(node)?;
        self.start_engine(node)?;
        self.wait("an engine that answers", Duration::from_secs(60), |site| {
            site.run(node, "/usr/sbin/corosync-cmapctl -g totem.cluster_name").is_ok()
        })?;
        self.start_pacemaker(node)
    }
}
