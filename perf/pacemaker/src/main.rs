//! `synchrotron-pacemaker`: Pacemaker and its friends as Debian ships them, on machines made of namespaces, over our
//! engine and libraries or over Corosync; what fails, and how long it takes until a resource runs again.
#![forbid(unsafe_code)]

mod case;
mod conf;
mod device;
mod fence;
mod friends;
mod groups;
mod host;
mod init;
mod log;
mod report;
mod site;
mod tools;
mod view;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::ensure;
use clap::{Parser, Subcommand};

use crate::case::Fault;
use crate::conf::{Kind, Settings, Timers};
use crate::site::{Programs, Site, Spec};

#[derive(Parser)]
#[command(
    name = "synchrotron-pacemaker",
    about = "Pacemaker on machines made of namespaces (root, Debian)"
)]
struct Args {
    /// Our engine.
    #[arg(long, global = true, default_value = "target/release/synchrotrond")]
    engine: PathBuf,
    /// Our C libraries (`cargo xtask link-capi`).
    #[arg(long, global = true, default_value = "target/capi")]
    libraries: PathBuf,
    /// Our tools.
    #[arg(long, global = true, default_value = "target/release/synchrotron-corosync")]
    tools: PathBuf,
    /// One JSON object on standard output.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// A cluster of three forms; faults; it recovers.
    Run(Run),
    /// What the everyday suite runs: a cluster forms, Debian's tools and ours say the same about it and what
    /// Debian's say over Corosync, an engine is killed, its machine fenced, the cluster made whole again.
    Check,
    /// What Debian's tools say about three nodes, as `tools.txt` keeps it.
    Tools {
        /// Whose engine and libraries.
        #[arg(long, value_enum, default_value_t = Kind::Synchrotron)]
        kind: Kind,
    },
    /// Two nodes and a quorum device: corosync-qdevice and corosync-qnetd.
    Device {
        /// Whose engine and libraries.
        #[arg(long, value_enum, default_value_t = Kind::Synchrotron)]
        kind: Kind,
    },
    /// dlm_controld without its kernel module, sbd without disks.
    Friends {
        /// Whose engine and libraries.
        #[arg(long, value_enum, default_value_t = Kind::Synchrotron)]
        kind: Kind,
    },
    /// Ours and Corosync in turn, under the same faults.
    Compare(report::Compare),
    /// A client of one group on each node: start, steady state and failover, Corosync and ours in turn.
    Groups(groups::Groups),
    /// The first process of a machine.
    #[command(hide = true)]
    Init,
}

/// One cluster and what happens to it.
#[derive(Clone, Debug, clap::Args)]
struct Run {
    /// Whose engine and libraries.
    #[arg(long, value_enum, default_value_t = Kind::Synchrotron)]
    kind: Kind,
    /// How soon a silent node is given up.
    #[arg(long, value_enum, default_value_t = Timers::Default)]
    timers: Timers,
    /// This token timeout instead, in milliseconds, for any number of nodes.
    #[arg(long)]
    token_ms: Option<u32>,
    /// Without a power switch.
    #[arg(long)]
    no_fencing: bool,
    /// What fails, one after the other.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "engine")]
    faults: Vec<Fault>,
    /// Seconds without a fault before each: a node that restarted owes the longest lease of its last life.
    #[arg(long, default_value_t = 0)]
    pause_s: u64,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pacemaker: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    if !matches!(args.task, Task::Init) {
        // Machines and their network end with us, so we end in order.
        cluster::stop::listen()?;
    }
    match &args.task {
        Task::Init => init::run(),
        Task::Run(run) => {
            let found = one(&programs(args)?, run)?;
            report::print(&[found], args.json)
        }
        Task::Check => check(&programs(args)?, args.json),
        Task::Tools { kind } => {
            let mut site = boot(&programs(args)?, &Run { kind: *kind, ..Run::default() })?;
            case::start_engines(&mut site)?;
            print!("{}", tools::said(&mut site)?);
            Ok(())
        }
        Task::Device { kind } => {
            println!("{}", serde_json::to_string(&device(&programs(args)?, *kind)?)?);
            Ok(())
        }
        Task::Friends { kind } => {
            let run = Run { kind: *kind, no_fencing: true, ..Run::default() };
            let found = friends::run(&mut boot(&programs(args)?, &run)?)?;
            println!("{}", serde_json::to_string(&found)?);
            Ok(())
        }
        Task::Groups(groups) => groups.run(&programs(args)?, args.json),
        Task::Compare(compare) => compare.run(&programs(args)?, args.json),
    }
}

/// Programs under test, by absolute paths: machines have another working directory.
fn programs(args: &Args) -> anyhow::Result<Programs> {
    let absolute = |path: &PathBuf| {
        path.canonicalize().map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))
    };
    Ok(Programs {
        engine: absolute(&args.engine)?,
        libraries: absolute(&args.libraries)?,
        tools: absolute(&args.tools)?,
    })
}

/// The everyday check.
fn check(programs: &Programs, json: bool) -> anyhow::Result<()> {
    let run = Run::default();
    let mut site = boot(programs, &run)?;
    let start = case::start(&mut site)?;
    tools::check(&mut site)?;
    let watched = tools::watch(&mut site)?;
    let outcome = case::fail(&mut site, Fault::Engine)?;
    tools::compare_watched(&mut site, watched)?;
    drop(site);
    friends::run(&mut boot(programs, &Run { no_fencing: true, ..Run::default() })?)?;
    let device = device(programs, Kind::Synchrotron)?;
    ensure!(
        device.dips == 0,
        "the quorum was lost on the way to one node and a device: {device:?}"
    );
    let found = report::Found {
        kind: run.kind,
        timers: run.timers,
        token_ms: run.token_ms,
        fencing: true,
        start,
        outcomes: vec![outcome],
    };
    report::print(&[found], json)
}

/// Starts a cluster and lets everything happen to it.
fn one(programs: &Programs, run: &Run) -> anyhow::Result<report::Found> {
    let mut site = boot(programs, run)?;
    let start = case::start(&mut site)?;
    let mut outcomes = Vec::new();
    for &fault in &run.faults {
        eprintln!("{:?} {:?}: {fault:?}", run.kind, run.timers);
        site.pause(Duration::from_secs(run.pause_s))?;
        outcomes.push(case::fail(&mut site, fault)?);
    }
    let Run { kind, timers, token_ms, no_fencing, .. } = *run;
    Ok(report::Found { kind, timers, token_ms, fencing: !no_fencing, start, outcomes })
}

fn device(programs: &Programs, kind: Kind) -> anyhow::Result<device::Device> {
    let spec = Spec {
        settings: Settings { kind, timers: Timers::Default, token_ms: None, multicast: false },
        nodes: 2,
        others: 1,
        fencing: false,
        device: true,
        programs: programs.clone(),
    };
    device::run(&mut Site::boot(spec)?)
}

fn boot(programs: &Programs, run: &Run) -> anyhow::Result<Site> {
    let Run { kind, timers, token_ms, .. } = *run;
    Site::boot(Spec {
        settings: Settings { kind, timers, token_ms, multicast: false },
        nodes: 3,
        others: 0,
        fencing: !run.no_fencing,
        device: false,
        programs: programs.clone(),
    })
}

impl Default for Run {
    fn default() -> Self {
        Self {
            kind: Kind::Synchrotron,
            timers: Timers::Default,
            token_ms: None,
            no_fencing: false,
            faults: vec![Fault::Engine],
            pause_s: 0,
        }
    }
}
