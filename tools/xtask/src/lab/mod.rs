//! The RDMA lab: Debian's own kernel under software emulation, with soft-RoCE devices that talk over
//! virtual Ethernet. The real kernel verbs stack and the real user-space libraries, no hardware needed.
//!
//! `cargo xtask rdma-lab --nodes N -- COMMAND` packs an initramfs from what the machine has (kernel
//! modules, rdma-core, iproute2, busybox, and programs of ours), boots it and runs the command in it.
//! Console output comes back over the first serial port, files left in `/results` over the second.

mod beside;
mod counts;
mod figures;
mod initramfs;
mod machine;
mod parts;
mod ring;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

pub(crate) use ring::{build_needs, everyday};

use initramfs::Initramfs;
use machine::Machine;
use parts::Parts;

/// Most nodes: addresses are 10.77.0.1 and up, and every device costs the emulated machine memory.
const NODES_MAX: usize = 16;

/// What to run in the lab.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many nodes: one Ethernet port and one soft-RoCE device each.
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// When to give the machine up.
    #[arg(long, default_value_t = 300)]
    timeout_s: u64,
    /// A program of this machine to take along (with the libraries it names), as `/lab/NAME`.
    #[arg(long = "with")]
    with: Vec<PathBuf>,
    /// Instead of the usual run: our transport beside perftest, and what messages cost by the engines' counters
    /// (a minute on two idle cores).
    #[arg(long, conflicts_with = "command")]
    figures: bool,
    /// Instead of the usual run: the ring over UDP through netem's loss, delay, duplication and reordering (two
    /// minutes).
    #[arg(long, conflicts_with_all = ["command", "figures"])]
    weather: bool,
    /// With `--weather`: instead Debian's corosync and our engine in turn, 3 nodes, with a report and a plot.
    #[arg(long, requires = "weather")]
    beside_corosync: bool,
    /// With `--beside-corosync`: everything once.
    #[arg(long, requires = "beside_corosync")]
    quick: bool,
    /// With the usual run: afterwards a ring with a second link over `udp` or `verbs` (may be given twice), each link
    /// broken in turn. Wants an idle machine: where emulation is slow, links are late by more than dead ones may be.
    #[arg(long = "second-link", value_parser = ["udp", "verbs"])]
    #[arg(conflicts_with_all = ["command", "figures", "weather"])]
    second_links: Vec<String>,
    /// Memory of the emulated machine in MiB.
    #[arg(long, default_value_t = 2048)]
    memory_mib: u32,
    /// Shell command to run (default: the conformance suite of the verbs transport, then a ring of real
    /// engines over verbs, hurt while it works). `$LAB_NODES` is the number of nodes; node 1 has rxe0 on
    /// v0 with 10.77.0.1.
    #[arg(last = true)]
    command: Vec<String>,
}

/// What a run in the lab gave.
pub(crate) struct Outcome {
    /// Exit code of the command.
    pub(crate) code: i32,
    /// Directory with the files of `/results`.
    pub(crate) results: PathBuf,
}

/// A run to be.
pub(crate) struct Run<'a> {
    pub(crate) nodes: usize,
    pub(crate) timeout: Duration,
    pub(crate) memory_mib: u32,
    /// Programs of this machine, and the names they have under `/lab`.
    pub(crate) programs: &'a [(PathBuf, String)],
    pub(crate) command: &'a str,
}

/// `cargo xtask rdma-lab`.
///
/// # Errors
/// What is missing, or how the command failed.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if args.command.is_empty() {
        build_needs().map_err(|reason| anyhow::anyhow!("rdma-lab: {reason}"))?;
        let (nodes, timeout) = (args.nodes, Duration::from_secs(args.timeout_s));
        let line = if args.figures {
            figures::figures(nodes, timeout, args.memory_mib)?
        } else if args.beside_corosync {
            beside::beside(timeout, args.memory_mib, args.quick)?
        } else if args.weather {
            figures::weather(nodes, timeout, args.memory_mib)?
        } else {
            ring::full(nodes, &args.second_links, timeout, args.memory_mib)?
        };
        println!("{line}");
        return Ok(());
    }
    let mut programs = Vec::new();
    for path in &args.with {
        let name = path.file_name().context("--with takes a program file")?;
        programs.push((path.clone(), name.to_string_lossy().into_owned()));
    }
    let outcome = boot(&Run {
        nodes: args.nodes,
        timeout: Duration::from_secs(args.timeout_s),
        memory_mib: args.memory_mib,
        programs: &programs,
        command: &args.command.join(" "),
    })?;
    if outcome.code != 0 {
        bail!("rdma-lab: {} nodes, the command ended with {}", args.nodes, outcome.code);
    }
    let results = outcome.results.display();
    println!("rdma-lab: {} nodes, the command ended with 0; files in {results}", args.nodes);
    Ok(())
}

/// Builds, boots, waits.
///
/// # Errors
/// When something is missing, or the machine does not come to an end in time.
pub(crate) fn boot(run: &Run<'_>) -> anyhow::Result<Outcome> {
    ensure!((1..=NODES_MAX).contains(&run.nodes), "{} nodes; 1 to {NODES_MAX} work", run.nodes);
    let dir = cache_dir()?;
    let parts = Parts::find(&dir)?;
    let mut image = Initramfs::new();
    parts.pack(&mut image)?;
    for (path, name) in run.programs {
        image.program(path, &format!("lab/{name}")).with_context(|| path.display().to_string())?;
    }
    image.file("lab/command", 0o755, format!("{}\n", run.command).into_bytes());
    let initrd = dir.join(format!("initrd.{}", std::process::id()));
    std::fs::write(&initrd, image.finish())?;
    let outcome = Machine { kernel: &parts.kernel, initrd: &initrd, dir: &dir, run }.boot();
    let _ = std::fs::remove_file(&initrd);
    outcome
}

/// Where kernels, results and logs of the lab are kept.
fn cache_dir() -> anyhow::Result<PathBuf> {
    let metadata = cargo_metadata::MetadataCommand::new().no_deps().exec()?;
    let dir = metadata.target_directory.as_std_path().join("rdma-lab");
    std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    Ok(dir)
}
