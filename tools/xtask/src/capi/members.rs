//! `cargo xtask cpg-members`: a client of one group on each node of a cluster, the same binary over Debian's Corosync
//! and over ours: start, steady state, failover.

use std::ffi::OsString;
use std::process::Command;

use super::link;
use super::load::{build, prepare};
use crate::run::run as run_command;
use crate::steps::cargo;

/// Builds what is needed and runs it; the arguments are those of `synchrotron-pacemaker groups`.
///
/// # Errors
/// What is missing or went wrong.
pub(crate) fn run(args: &[OsString]) -> anyhow::Result<()> {
    prepare()?;
    let places = link()?;
    let programs = ["-p", "synchrotron-daemon", "-p", "synchrotron-tools"];
    let mut release = cargo(["build", "--quiet", "--release", "-p", "synchrotron-pacemaker"]);
    run_command(release.args(programs))?;
    let member = build(&places, "member", &places.out)?;
    let programs = places.target.join("release");
    let mut groups = Command::new(programs.join("synchrotron-pacemaker"));
    groups.arg("groups").arg("--member").arg(member).arg("--libraries").arg(&places.out);
    groups.arg("--engine").arg(programs.join("synchrotrond"));
    groups.arg("--tools").arg(programs.join("synchrotron-corosync"));
    run_command(groups.args(args))
}
