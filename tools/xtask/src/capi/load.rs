//! `cargo xtask cpg-load`: one program for closed process groups, built once with Debian's headers and library, run
//! over Debian's Corosync and over ours: the same binary, the same `corosync.conf`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::ensure;
use clap::Args as ClapArgs;

use super::{Places, link};
use crate::host;
use crate::run::run as run_command;
use crate::steps::cargo;

/// What is wanted.
#[derive(ClapArgs)]
pub(crate) struct Args {
    /// Nodes, each in a network namespace of its own.
    #[arg(long, default_value_t = 3)]
    nodes: u8,
    /// How long each part of a run takes.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Bytes of a message, 24 at least; several sizes with commas.
    #[arg(long, value_delimiter = ',', default_value = "64,1000,16000")]
    bytes: Vec<u32>,
}

/// Programs this needs, and the Debian packages that have them.
const PROGRAMS: [(&str, &str); 4] =
    [("corosync", "corosync"), ("ip", "iproute2"), ("unshare", "util-linux"), ("cc", "gcc")];

/// What Debian's package for building programs brings.
const HEADER: &str = "/usr/include/corosync/cpg.h";

/// Makes sure that what runs over Debian's Corosync can be built and run.
///
/// # Errors
/// What is missing.
pub(super) fn prepare() -> anyhow::Result<()> {
    ensure!(host::is_root(), "network namespaces need root");
    for (program, package) in PROGRAMS {
        host::ensure_program(program, package).map_err(anyhow::Error::msg)?;
    }
    if !fs::exists(HEADER)? {
        host::install("libcpg-dev").map_err(anyhow::Error::msg)?;
    }
    Ok(())
}

/// Builds one of the programs of `shm-ipc/capi/tests` with Debian's headers and library, into `dir`.
///
/// # Errors
/// What the compiler says.
pub(crate) fn build(places: &Places, name: &str, dir: &Path) -> anyhow::Result<PathBuf> {
    let program = dir.join(name);
    let source = places.root.join(format!("shm-ipc/capi/tests/{name}.c"));
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-Wall", "-o"]).arg(&program).arg(source).arg("-lcpg");
    run_command(&mut cc)?;
    Ok(program)
}

/// Builds what is needed and runs both.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    prepare()?;
    let places = link()?;
    run_command(&mut cargo(["build", "--quiet", "--release", "-p", "synchrotron-daemon"]))?;
    let dir = places.out.join("load");
    fs::create_dir_all(&dir)?;
    let program = build(&places, "load", &dir)?;
    let script = dir.join("load.sh");
    fs::write(&script, include_str!("load.sh"))?;
    for engine in ["corosync".into(), places.target.join("release/synchrotrond")] {
        // Whatever was started ends with the process namespace.
        let mut unshare = Command::new("unshare");
        unshare.args(["--net", "--mount", "--propagation", "private"]);
        unshare.args(["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-eu"]);
        unshare.arg(&script).arg(&dir).arg(&program).arg(&places.out);
        unshare.args([args.nodes.to_string(), args.seconds.to_string()]).arg(engine);
        run_command(unshare.args(args.bytes.iter().map(u32::to_string)))?;
    }
    fs::remove_dir_all(&dir)?;
    Ok(())
}
