//! Engines that run, with a seat on every node.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use cluster::{Cluster, Spec};

use crate::crew::{Crew, Mark};
use crate::figures::Memory;
use crate::seat::Place;
use crate::setup::{Agents, Mode, Setup, Switch};
use crate::usage::Usage;

/// Longest wait for a ring to form: Corosync's takes 37 s with 32 nodes.
const FORMATION: Duration = Duration::from_secs(180);

/// Engines and seats. The seats go first when it is dropped.
pub(crate) struct Stage {
    pub(crate) crew: Crew,
    pub(crate) name: String,
    pub(crate) formation_s: f64,
    /// Engines that we started ourselves.
    pids: Vec<u32>,
    /// Where their counters stand.
    pages: Vec<PathBuf>,
    cluster: Option<Cluster>,
}

impl Stage {
    /// Starts engines of ours and waits until everybody sees everybody.
    ///
    /// # Errors
    /// When something does not start or the ring does not form.
    pub(crate) fn synchrotron(setup: &Setup, tool: &Path) -> anyhow::Result<Self> {
        let nodes = setup.nodes();
        let mut cluster = Cluster::prepare(spec(setup, tool)?)?;
        let agents = match setup.agents {
            Agents::One => 1,
            Agents::Each => nodes,
        };
        let mut crew = Crew::start((0..agents).map(|_| agent_command(tool)).collect())?;
        let places = |agent: usize| {
            let mine = (0..nodes).filter(|node| node * agents / nodes == agent);
            mine.map(|node| Place::Synchrotron(cluster.socket(node))).collect()
        };
        let places = (0..agents).map(places).collect();
        cluster.start_all()?;
        let started = Instant::now();
        crew.open(places, nodes, setup.sizes().max())?;
        let formation_s = form(&mut crew, nodes, started).with_context(|| logs(&mut cluster))?;
        let pids = (0..nodes).map(|node| Ok(cluster.engine(node)?.pid()));
        let pids = pids.collect::<anyhow::Result<_>>()?;
        let state = |node: usize| cluster.node_dir(node).join("state/counters");
        let pages = (0..nodes).map(state).collect();
        let (mode, network) = (setup.mode, if setup.loopback { "loopback" } else { "namespaces" });
        let name = format!(
            "synchrotron {}, {mode:?}, encryption {:?}, {network}",
            env!("CARGO_PKG_VERSION"),
            setup.encryption
        );
        let name = name.to_lowercase();
        Ok(Self { crew, name, formation_s, pids, pages, cluster: Some(cluster) })
    }

    /// The last lines that the engines wrote, for error messages.
    pub(crate) fn logs(&mut self) -> String {
        self.cluster.as_mut().map(logs).unwrap_or_default()
    }

    /// What the engines have used.
    pub(crate) fn engines(&self, mark: &Mark) -> Usage {
        Usage::of(&self.pids).plus(mark.started())
    }

    /// Counters of all engines of ours.
    pub(crate) fn counters(&self) -> Vec<Vec<(String, u64)>> {
        let read = |page: &PathBuf| {
            let bytes = std::fs::read(page).ok()?;
            Some(daemon::page::parse(&bytes)?.values)
        };
        self.pages.iter().filter_map(read).collect()
    }

    /// Memory of the largest engine.
    pub(crate) fn memory(&mut self) -> anyhow::Result<Memory> {
        let mark = self.crew.mark()?;
        let local = self.pids.iter().map(|&pid| Usage::of(&[pid]));
        let remote = mark.agents.iter().map(|agent| agent.started);
        let largest = local.chain(remote).max_by_key(|u| u.private_bytes + u.shared_bytes);
        let largest = largest.unwrap_or_default();
        Ok(Memory { private_bytes: largest.private_bytes, shared_bytes: largest.shared_bytes })
    }
}

/// The last lines of every engine's log.
fn logs(cluster: &mut Cluster) -> String {
    let nodes = 0..cluster.nodes();
    let tail = |node: usize| {
        let tail = cluster.engine(node).map(|engine| engine.log_tail()).unwrap_or_default();
        format!("--- log of node {}:\n{tail}", node + 1)
    };
    nodes.map(tail).collect::<Vec<_>>().join("\n")
}

/// The command of an agent on this machine.
fn agent_command(tool: &Path) -> Command {
    let mut command = Command::new(tool);
    command.args(["bench", "agent"]);
    command
}

/// Waits until everybody sees everybody; how long that took since `started`.
fn form(crew: &mut Crew, nodes: usize, started: Instant) -> anyhow::Result<f64> {
    let is_whole = |mark: &Mark| mark.seats().all(|seat| seat.members == nodes);
    let mark = crew.wait("everybody sees everybody", FORMATION, is_whole)?;
    // By the agents' own clocks, so that our looking now and then is not in the figure.
    let ago_ns = mark.agents.iter().flat_map(|agent| {
        agent.seats.iter().map(|seat| agent.at_ns.saturating_sub(seat.whole_ns.unwrap_or(0)))
    });
    let ago = Duration::from_nanos(ago_ns.min().unwrap_or(0));
    Ok(mark.at.duration_since(started).saturating_sub(ago).as_secs_f64())
}

fn spec(setup: &Setup, tool: &Path) -> anyhow::Result<Spec> {
    let mode = match setup.mode {
        Mode::Busy => "busy",
        Mode::Adaptive => "adaptive",
        Mode::Park => "park",
    };
    let mut extra = vec![("engine".to_owned(), format!("idle = \"{mode}\""))];
    if setup.mtu != 1500 {
        extra.push(("transport".to_owned(), format!("mtu = \"{}B\"", setup.mtu)));
    }
    extra.extend(setup.set.iter().cloned());
    let place = if setup.loopback {
        let base_port = cluster::free_ports(2 * setup.nodes + 1)?;
        cluster::Place::Loopback { base_port }
    } else {
        cluster::Place::Namespaces { mtu_bytes: setup.mtu }
    };
    Ok(Spec {
        nodes: setup.nodes(),
        place,
        program: vec![tool.to_owned(), "engine".into()],
        encrypted: setup.encryption == Switch::On,
        extra,
    })
}
