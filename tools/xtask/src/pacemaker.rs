//! Pacemaker as Debian ships it, on machines made of namespaces, over our engine and libraries.

use std::path::Path;
use std::process::Command;

use crate::capi;
use crate::host;
use crate::run::run;
use crate::steps::cargo;

/// Programs and files this needs, and the Debian packages that have them.
const NEEDS: [(&str, &str); 12] = [
    ("/usr/sbin/corosync-cfgtool", "corosync"),
    ("/usr/sbin/corosync-notifyd", "corosync-notifyd"),
    ("/usr/sbin/pacemakerd", "pacemaker"),
    ("/usr/sbin/crm_mon", "pacemaker-cli-utils"),
    ("/usr/lib/ocf/resource.d/pacemaker/Dummy", "pacemaker-resource-agents"),
    ("/usr/sbin/corosync-qdevice", "corosync-qdevice"),
    ("/usr/bin/corosync-qnetd", "corosync-qnetd"),
    ("/usr/sbin/dlm_controld", "dlm-controld"),
    ("/usr/sbin/sbd", "sbd"),
    ("/usr/include/corosync/cpg.h", "libcpg-dev"),
    ("/usr/bin/nsenter", "util-linux"),
    ("/bin/hostname", "hostname"),
];

/// Makes sure that all of it is there.
///
/// # Errors
/// The reason why it is not, for people to read.
pub(crate) fn needs() -> Result<(), String> {
    for (file, package) in NEEDS {
        if !Path::new(file).exists() {
            host::install(package).map_err(|reason| format!("`{file}` is missing; {reason}"))?;
        }
    }
    Ok(())
}

/// The run of the everyday suite.
///
/// # Errors
/// What is missing or went wrong.
pub(crate) fn everyday() -> anyhow::Result<()> {
    let places = capi::link()?;
    let build = ["build", "--quiet", "-p", "synchrotron-daemon", "-p", "synchrotron-tools"];
    run(cargo(build).args(["-p", "synchrotron-pacemaker"]))?;
    let debug = places.target.join("debug");
    let member = capi::load::build(&places, "member", &places.out)?;
    let harness = || {
        let mut harness = Command::new(debug.join("synchrotron-pacemaker"));
        harness.arg("--libraries").arg(&places.out).arg("--engine").arg(debug.join("synchrotrond"));
        harness.arg("--tools").arg(debug.join("synchrotron-corosync"));
        harness
    };
    run(harness().arg("check"))?;
    let mut groups = harness();
    groups.arg("groups").arg("--member").arg(member).args([
        "--nodes",
        "4",
        "--clusters",
        "same,own",
    ]);
    run(groups.args(["--rounds", "1", "--seconds", "0.5", "--pause-s", "0"]))
}
