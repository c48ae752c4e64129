//! Other programs of Debian's that live on Corosync's libraries: `dlm_controld`, as far as it goes without its kernel
//! module, and `sbd` without disks.

use std::time::Instant;

use anyhow::ensure;
use cluster::Signal;
use serde::Serialize;

use crate::case;
use crate::site::{PATIENCE, Site};

/// How long things took, in seconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Friends {
    /// From the start of `dlm_controld` until it is in one group with the others and knows of the quorum.
    pub(crate) dlm_s: f64,
    /// From the end of an engine until `sbd` has ended its machine.
    pub(crate) sbd_s: f64,
}

/// What `dlm_controld` wants to find of its kernel module: devices that say nothing and directories. In mounts of
/// its own: nobody else sees them.
const DLM: &str = "set -e
mount -t tmpfs node /dev
mkdir /dev/misc /dev/shm
mknod -m 666 /dev/null c 1 3
mknod -m 666 /dev/urandom c 1 9
cp /proc/misc /dev/list
for name in dlm-control dlm-monitor dlm_plock; do
  mknod /dev/misc/$name c 1 3
  echo \"  3 $name\" >>/dev/list
done
mount --bind /dev/list /proc/misc
mount -t tmpfs node /sys/kernel
mkdir -p /sys/kernel/dlm /sys/kernel/config/dlm/cluster/comms /sys/kernel/config/dlm/cluster/spaces
exec /usr/sbin/dlm_controld -D -f 0";

/// Without disks, without a watchdog (the kernel ends the machine when it asks for a restart), and without settings of
/// the scheduler that a shared host refuses.
const SBD: &str = "setsid /usr/sbin/sbd -T -R -w /dev/null -P -p /run/sbd.pid watch </dev/null >/run/sbd.log 2>&1 &";

/// Starts a cluster, then `dlm_controld` and `sbd` on all machines; an engine is killed.
///
/// # Errors
/// When they do not do what they are for.
pub(crate) fn run(site: &mut Site) -> anyhow::Result<Friends> {
    case::start(site)?;
    let dlm_s = dlm(site)?;
    for node in site.nodes() {
        site.run(node, SBD)?;
    }
    site.wait("sbd at work everywhere", PATIENCE, |site| {
        site.run(0, "/usr/sbin/corosync-cpgtool")
            .is_ok_and(|said| members(&said, "sbd:cluster") == site.spec.nodes)
    })?;
    let killed = Instant::now();
    site.signal_engine(2, Signal::KILL)?;
    let ended = site.wait("sbd ends its machine", PATIENCE, |site| site.has_died(2))?;
    ensure!(!site.has_died(0) && !site.has_died(1), "sbd ended a machine whose engine runs");
    Ok(Friends { dlm_s, sbd_s: (ended - killed).as_secs_f64() })
}

fn dlm(site: &mut Site) -> anyhow::Result<f64> {
    let from = Instant::now();
    let mut programs = Vec::new();
    for node in site.nodes() {
        let mut command = site.command(node, "/usr/bin/unshare")?;
        command.args(["--mount", "/bin/sh", "-c", DLM]);
        programs.push(site.start(node, command, "dlm.out")?);
    }
    let together = site.wait("one group of dlm_controld with a quorum", PATIENCE, |site| {
        site.nodes().all(|node| {
            let said = site.said(node, "/usr/sbin/dlm_tool status").unwrap_or_default();
            let all = (1..=site.spec.nodes).all(|id| said.contains(&format!("\nnode {id} M ")));
            all && said.contains(" quorate 1 ")
        })
    })?;
    for program in &programs {
        program.signal(Signal::KILL)?;
    }
    Ok((together - from).as_secs_f64())
}

/// Members of a group as `corosync-cpgtool` lists them.
fn members(said: &str, group: &str) -> usize {
    let list = said.lines().skip_while(|line| !line.starts_with(group)).skip(1);
    list.take_while(|line| line.starts_with('\t')).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_one_group_are_counted() {
        let said = "Group Name\t       PID\t   Node ID\ncib\\x00\n\t\t        32\t         1 (10.78.0.1)\n\
                    sbd:cluster\\x00\n\t\t        35\t         1 (10.78.0.1)\n\t\t        36\t         2 (10.78.0.2)\n\
                    stonith-ng\\x00\n\t\t        33\t         1 (10.78.0.1)\n";
        assert_eq!(members(said, "sbd:cluster"), 2);
        assert_eq!(members(said, "crmd"), 0);
    }
}
