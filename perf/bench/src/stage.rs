//! Engines that run, with a seat on every node.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cluster::{Cluster, Namespaces, Spec};
use tempfile::TempDir;

use crate::corosync::{self, Transport};
use crate::crew::{Crew, Mark};
use crate::figures::Memory;
use crate::hosts::Hosts;
use crate::seat::Place;
use crate::setup::{Agents, Setup, Switch};
use crate::usage::Usage;

/// Engines whose logs are shown in error messages: there are two at least, and more say the same.
const LOGS_SHOWN: usize = 2;

/// Lines of Corosync's logs shown in error messages.
const LOG_LINES: usize = 8;

/// Engines and seats. The seats go first when it is dropped.
pub(crate) struct Stage {
    pub(crate) crew: Crew,
    pub(crate) name: String,
    pub(crate) formation_s: f64,
    /// Engines that we started ourselves.
    pids: Vec<u32>,
    /// Where their counters stand.
    pages: Vec<PathBuf>,
    engines: Engines,
    _hogs: Hogs,
}

/// Threads that only take time.
struct Hogs {
    stop: Arc<AtomicBool>,
}

impl Hogs {
    fn start(count: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        for _ in 0..count {
            let stop = stop.clone();
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        Self { stop }
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// What keeps the engines running.
enum Engines {
    /// Ours.
    Synchrotron(Box<Cluster>),
    /// Corosync's, which the agents started; their network and their files.
    Corosync { network: Namespaces, dir: TempDir },
    /// Ours on other hosts, which the agents there started.
    Hosts(Hosts),
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
        let formation_s =
            form(setup, &mut crew, nodes, started).map_err(|e| told(&e, &logs(&mut cluster)))?;
        if setup.loss > 0 {
            cluster.network()?.lose(setup.loss)?;
        }
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
        Ok(Self {
            crew,
            name,
            formation_s,
            pids,
            pages,
            engines: Engines::Synchrotron(Box::new(cluster)),
            _hogs: Hogs::start(setup.hogs),
        })
    }

    /// Starts engines of ours on other hosts and waits until everybody sees everybody.
    ///
    /// # Errors
    /// When a host is not reached, something does not start or the ring does not form.
    pub(crate) fn hosts(setup: &Setup, tool: &Path) -> anyhow::Result<Self> {
        let hosts = Hosts::prepare(setup, tool)?;
        let mut crew =
            Crew::start((0..hosts.len()).map(|node| hosts.agent_command(node)).collect())?;
        for node in 0..hosts.len() {
            crew.start_program(node, hosts.argv(node), hosts.log(node))?;
        }
        let started = Instant::now();
        let places = (0..hosts.len()).map(|node| vec![Place::Synchrotron(hosts.socket(node))]);
        crew.open(places.collect(), hosts.len(), setup.sizes().max())?;
        let formation_s = form(setup, &mut crew, hosts.len(), started)?;
        let encryption = setup.encryption;
        let version = env!("CARGO_PKG_VERSION");
        let name =
            format!("synchrotron {version}, {:?}, encryption {encryption:?}, hosts", setup.mode);
        Ok(Self {
            crew,
            name: name.to_lowercase(),
            formation_s,
            pids: Vec::new(),
            pages: Vec::new(),
            engines: Engines::Hosts(hosts),
            _hogs: Hogs::start(0),
        })
    }

    /// Whether the engines are on other machines.
    pub(crate) fn is_remote(&self) -> bool {
        matches!(self.engines, Engines::Hosts(_))
    }

    /// Starts Corosync's engines and waits until everybody sees everybody.
    ///
    /// # Errors
    /// When something does not start or the ring does not form.
    pub(crate) fn corosync(
        setup: &Setup,
        tool: &Path,
        program: &Path,
        transport: Transport,
    ) -> anyhow::Result<Self> {
        let nodes = setup.nodes();
        let dir = tempfile::Builder::new().prefix("synchrotron-corosync-").tempdir()?;
        let network = Namespaces::create(nodes, setup.mtu)?;
        let dirs: Vec<PathBuf> = (0..nodes).map(|node| node_dir(&dir, node)).collect();
        corosync::configure(setup, transport, &network, &dirs)?;
        let command = |node| corosync::agent_command(&network, node, tool);
        let mut crew = Crew::start((0..nodes).map(command).collect())?;
        for (node, dir) in dirs.iter().enumerate() {
            crew.start_program(node, corosync::argv(program, dir), dir.join("output"))?;
        }
        let started = Instant::now();
        let places = (0..nodes).map(|_| vec![Place::Cpg(None)]).collect();
        crew.open(places, nodes, setup.sizes().max())?;
        let formation_s =
            form(setup, &mut crew, nodes, started).map_err(|e| told(&e, &corosync_logs(&dir)))?;
        if setup.loss > 0 {
            network.lose(setup.loss)?;
        }
        let name = format!("corosync {}, encryption {:?}", transport.name(), setup.encryption);
        Ok(Self {
            crew,
            name: name.to_lowercase(),
            formation_s,
            pids: Vec::new(),
            pages: Vec::new(),
            engines: Engines::Corosync { network, dir },
            _hogs: Hogs::start(setup.hogs),
        })
    }

    /// Unplugs the cable of a node of Corosync's.
    ///
    /// # Errors
    /// When `ip` fails, or the engines are others.
    pub(crate) fn unplug(&self, node: usize) -> anyhow::Result<()> {
        match &self.engines {
            Engines::Corosync { network, .. } => network.unplug(node),
            _ => anyhow::bail!("only the cables of Corosync's namespaces can be unplugged here"),
        }
    }

    /// Weather for every host, in the words of netem; an empty one is fair.
    ///
    /// # Errors
    /// When the network is not made of namespaces, or the kernel has no `sch_netem`.
    pub(crate) fn weather(&self, weather: &str) -> anyhow::Result<()> {
        let network = match &self.engines {
            Engines::Synchrotron(cluster) => cluster.network()?,
            Engines::Corosync { network, .. } => network,
            Engines::Hosts(_) => anyhow::bail!("there is no weather on other hosts"),
        };
        network.send_singly()?;
        network.netem(&weather.replace(',', " "))
    }

    /// The last lines that the engines wrote, for error messages.
    pub(crate) fn logs(&mut self) -> String {
        match &mut self.engines {
            Engines::Synchrotron(cluster) => logs(cluster),
            Engines::Corosync { dir, .. } => corosync_logs(dir),
            Engines::Hosts(hosts) => format!("(logs are on the {} hosts)", hosts.len()),
        }
    }

    /// What the engines have used.
    pub(crate) fn engines(&self, mark: &Mark) -> Usage {
        Usage::of(&self.pids).plus(mark.started())
    }

    /// The engines' processes on this machine.
    pub(crate) fn engine_pids(&self, mark: &Mark) -> Vec<u32> {
        let started = mark.agents.iter().flat_map(|agent| &agent.started_pids);
        self.pids.iter().chain(started).copied().collect()
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

/// What went wrong, and below it what the engines wrote.
pub(crate) fn told(error: &anyhow::Error, logs: &str) -> anyhow::Error {
    anyhow::anyhow!("{error:#}\n{logs}")
}

/// The last lines of the first engines' logs.
fn logs(cluster: &mut Cluster) -> String {
    let tail = |node: usize| {
        let tail = cluster.engine(node).map(|engine| engine.log_tail()).unwrap_or_default();
        format!("--- log of node {}:\n{tail}", node + 1)
    };
    (0..LOGS_SHOWN).map(tail).collect::<Vec<_>>().join("\n")
}

fn node_dir(dir: &TempDir, node: usize) -> PathBuf {
    dir.path().join(format!("n{}", node + 1))
}

fn corosync_logs(dir: &TempDir) -> String {
    let tail = |node: usize| {
        let file = node_dir(dir, node).join("log");
        let text = String::from_utf8_lossy(&std::fs::read(file).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
        format!("--- log of node {}:\n{tail}", node + 1)
    };
    (0..LOGS_SHOWN).map(tail).collect::<Vec<_>>().join("\n")
}

/// The command of an agent on this machine.
fn agent_command(tool: &Path) -> Command {
    let mut command = Command::new(tool);
    command.args(["bench", "agent"]);
    command
}

/// Waits until everybody sees everybody; how long that took since `started`.
fn form(setup: &Setup, crew: &mut Crew, nodes: usize, started: Instant) -> anyhow::Result<f64> {
    let longest = Duration::from_secs_f64(setup.formation_max);
    let is_whole = |mark: &Mark| mark.seats().all(|seat| seat.members == nodes);
    let mark = crew.wait("everybody sees everybody", longest, is_whole)?;
    // By the agents' own clocks, so that our looking now and then is not in the figure.
    let ago_ns = mark.agents.iter().flat_map(|agent| {
        agent.seats.iter().map(|seat| agent.at_ns.saturating_sub(seat.whole_ns.unwrap_or(0)))
    });
    let ago = Duration::from_nanos(ago_ns.min().unwrap_or(0));
    Ok(mark.at.duration_since(started).saturating_sub(ago).as_secs_f64())
}

/// The command of an engine of ours.
fn program(setup: &Setup, tool: &Path) -> Vec<PathBuf> {
    let mut program: Vec<PathBuf> = Vec::new();
    if setup.datagram_loss > 0 {
        let ppm = u32::from(setup.datagram_loss) * 10_000;
        program.push("env".into());
        program.push(format!("SYNCHROTRON_FAULTS=drop_ppm={ppm},only=data").into());
    }
    program.extend([tool.to_owned(), "engine".into()]);
    program
}

fn spec(setup: &Setup, tool: &Path) -> anyhow::Result<Spec> {
    let place = if setup.loopback {
        let base_port = cluster::free_ports(2 * setup.nodes + 1)?;
        cluster::Place::Loopback { base_port }
    } else {
        cluster::Place::Namespaces { mtu_bytes: setup.mtu }
    };
    Ok(Spec {
        nodes: setup.nodes(),
        place,
        program: program(setup, tool),
        encrypted: setup.encryption == Switch::On,
        extra: setup.engine_settings(),
    })
}
