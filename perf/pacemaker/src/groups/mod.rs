//! Clusters with a client of one group on each node, side by side: how they start, what they use, and how soon members
//! are told of a node that goes.

mod late;
mod member;
mod print;
mod steady;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::ValueEnum;
use cluster::{Signal, now_ns, stop};
use serde::Serialize;

use crate::case::Fault;
use crate::conf::{Kind, Settings, Timers};
use crate::site::{LOOK_EVERY, PATIENCE, Programs, Site, Spec};
use member::{Got, Member};
use steady::{Load, Spent};

/// Options of `groups`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Groups {
    /// The client: `shm-ipc/capi/tests/member.c`, built with Debian's headers and library.
    #[arg(long)]
    member: PathBuf,
    /// Nodes of a cluster.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u8).range(2..=64))]
    nodes: u8,
    /// Which clusters, in turn.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "corosync,same,own")]
    clusters: Vec<Cluster>,
    /// What happens to one node, in turn.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "engine,link,stop")]
    faults: Vec<Fault>,
    /// How often.
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// Seconds without a fault before each: a node that restarted owes the longest lease of its last life.
    #[arg(long, default_value_t = 6)]
    pause_s: u64,
    /// Seconds without messages, at a fixed rate, and as fast as it goes; each.
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    seconds: f64,
    /// Messages a second from each node, at the fixed rate.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Bytes of a message.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(24..=1_000_000))]
    bytes: u32,
}

/// A time that makes sense.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("{error}"))?;
    let ok = (0.1..=3600.0).contains(&seconds);
    if ok { Ok(seconds) } else { Err("0.1 to 3600 seconds make sense".into()) }
}

/// Whose engines, with which settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cluster {
    /// Debian's Corosync; token, consensus and join given.
    Corosync,
    /// Ours on the same file.
    Same,
    /// Ours as it chooses: no timers given, multicast.
    Own,
    /// Debian's Corosync as it chooses.
    CorosyncDefault,
}

impl Cluster {
    fn settings(self) -> Settings {
        let kind = match self {
            Self::Corosync | Self::CorosyncDefault => Kind::Corosync,
            Self::Same | Self::Own => Kind::Synchrotron,
        };
        let timers = match self {
            Self::Corosync | Self::Same => Timers::Second,
            Self::Own | Self::CorosyncDefault => Timers::Default,
        };
        Settings { kind, timers, token_ms: None, multicast: self == Self::Own }
    }
}

/// What was found out about one cluster; times in seconds.
#[derive(Debug, Serialize)]
pub(crate) struct Found {
    pub(crate) cluster: Cluster,
    pub(crate) nodes: usize,
    /// From the start of the last engine until every member saw all.
    pub(crate) formed_s: f64,
    /// From the start of the first engine until that of the last.
    pub(crate) starting_s: f64,
    pub(crate) idle: Spent,
    pub(crate) rate: Load,
    pub(crate) flood: Load,
    pub(crate) changes: Vec<Change>,
}

/// A node that went and came back.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Change {
    pub(crate) fault: Fault,
    /// From the fault until the first of the other members was told.
    pub(crate) first_s: f64,
    /// ... until all of them were.
    pub(crate) all_s: f64,
    /// ... until the member that was cut off was told, where it lives on.
    pub(crate) cut_off_s: Option<f64>,
    /// From the repair (engine started, cable plugged in) until all members saw all again.
    pub(crate) whole_s: f64,
}

/// A cluster and its members.
struct Crowd<'a> {
    site: &'a mut Site,
    members: Vec<Member>,
    phase: u32,
}

impl Groups {
    /// Measures and prints.
    ///
    /// # Errors
    /// When a cluster does not do what it should.
    pub(crate) fn run(&self, programs: &Programs, json: bool) -> anyhow::Result<()> {
        let member = self.member.canonicalize();
        let member = member.with_context(|| self.member.display().to_string())?;
        let member = member.to_str().context("the path of the client is not text")?;
        let mut found = Vec::new();
        for &cluster in &self.clusters {
            eprintln!("{cluster:?}, {} nodes", self.nodes);
            let spec = Spec {
                settings: cluster.settings(),
                nodes: usize::from(self.nodes),
                others: 0,
                fencing: false,
                device: false,
                programs: programs.clone(),
            };
            found.push(self.one(cluster, &mut Site::boot(spec)?, member)?);
        }
        print::print(&found, json)
    }

    fn one(&self, cluster: Cluster, site: &mut Site, member: &str) -> anyhow::Result<Found> {
        let nodes = site.spec.nodes;
        let members = site.nodes().map(|node| Member::start(site, node, member));
        let members = members.collect::<anyhow::Result<_>>()?;
        let mut crowd = Crowd { site, members, phase: 0 };
        let first_ns = now_ns();
        let mut last_ns = first_ns;
        for node in 0..nodes {
            last_ns = now_ns();
            crowd.site.start_engine(node)?;
        }
        let formed_ns = crowd.wait_whole(first_ns)?;
        let time = Duration::from_secs_f64(self.seconds);
        // A node still has work to do for a while after it has seen all others.
        crowd.site.pause(Duration::from_secs(1))?;
        let idle = crowd.idle(time)?;
        let rate = crowd.load(Some(self.rate), time, self.bytes as usize)?;
        let flood = crowd.load(None, time, self.bytes as usize)?;
        let mut changes = Vec::new();
        for round in 0..self.rounds {
            for (index, &fault) in self.faults.iter().enumerate() {
                // Another node each time.
                let victim = (round * self.faults.len() + index) * 5 % nodes;
                eprintln!("{cluster:?}: {fault:?} of node {}", victim + 1);
                crowd.site.pause(Duration::from_secs(self.pause_s))?;
                changes.push(crowd.change(fault, victim)?);
            }
        }
        crowd.members.into_iter().try_for_each(Member::end)?;
        Ok(Found {
            cluster,
            nodes,
            formed_s: seconds_between(last_ns, formed_ns),
            starting_s: seconds_between(first_ns, last_ns),
            idle,
            rate,
            flood,
            changes,
        })
    }
}

impl Crowd<'_> {
    /// Takes what all members have said.
    fn look(&mut self) -> anyhow::Result<()> {
        self.members.iter_mut().try_for_each(Member::look)
    }

    /// Tells all of them something.
    fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        self.members.iter_mut().try_for_each(|member| member.tell(line))
    }

    /// Waits until something is so.
    fn wait(
        &mut self,
        what: &str,
        limit: Duration,
        mut condition: impl FnMut(&mut Self) -> bool,
    ) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            stop::check()?;
            self.look()?;
            if condition(self) {
                return Ok(());
            }
            if start.elapsed() > limit {
                let sees: Vec<usize> = self.members.iter().map(Member::sees).collect();
                bail!("not in {limit:?}: {what}; members see {sees:?}\n{}", self.site.tails());
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// When the last member has seen all others, from `from_ns` on.
    fn wait_whole(&mut self, from_ns: u64) -> anyhow::Result<u64> {
        let nodes = self.site.spec.nodes;
        self.wait("all members at every member", PATIENCE, |crowd| {
            crowd.members.iter().all(|member| member.sees() == nodes)
        })?;
        let saw = self.members.iter().filter_map(|member| member.saw(nodes, from_ns));
        saw.max().context("no member saw anything")
    }

    /// Lets a node go, waits until the others know, brings it back.
    fn change(&mut self, fault: Fault, victim: usize) -> anyhow::Result<Change> {
        let nodes = self.site.spec.nodes;
        let from_ns = now_ns();
        match fault {
            Fault::Engine => self.site.signal_engine(victim, Signal::KILL)?,
            Fault::Stop => self.site.signal_engine(victim, Signal::TERM)?,
            Fault::Link => self.site.network().unplug(victim)?,
            Fault::Host | Fault::Path | Fault::Quorum => {
                bail!("{fault:?} is not measured here")
            }
        }
        let told = |crowd: &Self| -> Option<Vec<u64>> {
            let others = crowd.members.iter().enumerate().filter(|(node, _)| *node != victim);
            others.map(|(_, member)| member.saw(nodes - 1, from_ns)).collect()
        };
        self.wait("the others told", PATIENCE, |crowd| told(crowd).is_some())?;
        let told = told(self).unwrap_or_default();
        let mut cut_off_s = None;
        if fault == Fault::Link {
            let alone = |crowd: &Self| crowd.members[victim].saw(1, from_ns);
            self.wait("the one cut off told", PATIENCE, |crowd| alone(crowd).is_some())?;
            cut_off_s = alone(self).map(|at_ns| seconds_between(from_ns, at_ns));
        } else {
            self.wait("the engine's end", PATIENCE, |crowd| !crowd.site.has_engine(victim))?;
        }
        let repair_ns = now_ns();
        match fault {
            Fault::Link => self.site.network().plug(victim)?,
            _ => self.site.start_engine(victim)?,
        }
        let whole_ns = self.wait_whole(repair_ns)?;
        Ok(Change {
            fault,
            first_s: seconds_between(from_ns, told.iter().copied().min().unwrap_or(from_ns)),
            all_s: seconds_between(from_ns, told.iter().copied().max().unwrap_or(from_ns)),
            cut_off_s,
            whole_s: seconds_between(repair_ns, whole_ns),
        })
    }
}

fn seconds_between(from_ns: u64, to_ns: u64) -> f64 {
    to_ns.saturating_sub(from_ns) as f64 / 1e9
}
