//! Corosync's tools on a real cluster: Debian's over our libraries beside ours, and beside what Debian's say over
//! Corosync in the same state.

use std::fs;
use std::time::Duration;

use anyhow::{Context, ensure};
use cluster::Signal;

use crate::host::Program;
use crate::site::{PATIENCE, Site};

/// What is asked on the first node; the same words for Debian's tools and ours.
const QUESTIONS: &[&str] = &[
    "corosync-quorumtool -s",
    "corosync-quorumtool -l",
    "corosync-quorumtool -i -s",
    "corosync-quorumtool -e 2",
    "corosync-cfgtool -s",
    "corosync-cfgtool -b -s",
    "corosync-cfgtool -n",
    "corosync-cfgtool -a 2",
    "corosync-cfgtool -a 9",
    "corosync-cmapctl nodelist.",
    "corosync-cmapctl runtime.votequorum.",
    "corosync-cmapctl runtime.members.",
    "corosync-cmapctl -g totem.cluster_name",
    "corosync-cmapctl -g no.such.key",
    "corosync-cmapctl -s quorum.cancel_wait_for_all u8 1",
    "corosync-cmapctl -g quorum.cancel_wait_for_all",
];

/// What is asked only of a cluster with programs in groups.
const GROUPS: &[&str] = &["corosync-cpgtool -n", "corosync-cpgtool", "corosync-cpgtool -d ,"];

/// What Debian's tools say over Corosync 3.1.7, three nodes up: `synchrotron-pacemaker tools --kind corosync`.
const OVER_COROSYNC: &str = include_str!("../tools.txt");

/// What Debian's tools say about a cluster of engines without programs.
///
/// # Errors
/// When a tool cannot be started.
pub(crate) fn said(site: &mut Site) -> anyhow::Result<String> {
    let mut text = String::new();
    for question in QUESTIONS {
        let answer = site.said(0, &format!("/usr/sbin/{question}"))?;
        text += &format!("$ {question}\n{}", plain(&answer));
    }
    Ok(text)
}

/// Debian's tools say what they say over Corosync, and ours say the same.
///
/// # Errors
/// Every difference.
pub(crate) fn check(site: &mut Site) -> anyhow::Result<()> {
    let found = said(site)?;
    let mut different: Vec<String> = found
        .lines()
        .zip(OVER_COROSYNC.lines())
        .filter(|(found, written)| found != written)
        .map(|(found, written)| format!("over our engine {found:?}, over Corosync {written:?}"))
        .collect();
    if found.lines().count() != OVER_COROSYNC.lines().count() {
        different.push(format!("other lines than in tools.txt:\n{found}"));
    }
    let ours = site.tools_dir();
    for question in QUESTIONS.iter().chain(GROUPS) {
        let theirs = plain(&site.said(0, &format!("/usr/sbin/{question}"))?);
        let our = plain(&site.said(0, &format!("{}/{question}", ours.display()))?);
        if theirs != our {
            different.push(format!("{question}: Debian's says {theirs:?}, ours {our:?}"));
        }
    }
    ensure!(different.is_empty(), "{}", different.join("\n"));
    Ok(())
}

/// Leaves out what differs from run to run: times, numbers of rings and processes, sizes of datagrams and how often
/// a node came.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for line in text.lines() {
        let head = |what: &str| line.trim_start().starts_with(what);
        let line = if head("Date:") || head("Ring ID:") {
            line.split(':').next().unwrap_or_default().to_owned()
        } else if let Some((before, _)) = line.split_once(" mtu: ") {
            format!("{before} mtu")
        } else if line.contains(".join_count (u32)") {
            line.split('=').next().unwrap_or_default().to_owned()
        } else {
            line.to_owned()
        };
        plain += &line;
        plain += "\n";
    }
    plain
}

/// Both notifiers, at work.
pub(crate) struct Watched {
    node: usize,
    programs: [Program; 2],
}

/// Starts Debian's notifier and ours on a node that will not be harmed.
///
/// # Errors
/// When they cannot be started or do not get to work.
pub(crate) fn watch(site: &mut Site) -> anyhow::Result<Watched> {
    let victim = *site.resource_at().first().context("nobody runs the resource")?;
    let node = site.but(victim)[0];
    let ours = site.tools_dir().join("corosync-notifyd").display().to_string();
    let start = |program: &str, log: &str| {
        // Into a file it would keep what it says to itself.
        let mut command = site.command(node, "/usr/bin/stdbuf")?;
        command.args(["-oL", program, "-f", "-o", "-n"]);
        site.start(node, command, log)
    };
    let programs =
        [start("/usr/sbin/corosync-notifyd", "notify.debian")?, start(&ours, "notify.ours")?];
    let watched = Watched { node, programs };
    // Both have said all there is to say when they have told of the quorum.
    site.wait("two notifiers at work", PATIENCE, |site| {
        NOTICES.iter().all(|log| notices(site, node, log).iter().any(|line| line.contains("quor")))
    })?;
    Ok(watched)
}

/// Logs of both.
const NOTICES: [&str; 2] = ["notify.debian", "notify.ours"];

/// What a notifier said of nodes and the quorum, without time and names (Debian's asks the resolver), sorted: their
/// order is that of two sources.
fn notices(site: &Site, node: usize, log: &str) -> Vec<String> {
    let text = fs::read_to_string(site.home(node).join(log)).unwrap_or_default();
    let about = |line: &&str| line.contains(" ip:") || line.contains(" quor");
    let mut lines: Vec<String> = text
        .lines()
        .filter(about)
        .filter_map(|line| line.rsplit_once('[').map(|(_, rest)| rest.trim().to_owned()))
        .collect();
    lines.sort();
    lines
}

/// Both have said the same.
///
/// # Errors
/// When they have not, and do not within a while.
pub(crate) fn compare_watched(site: &mut Site, mut watched: Watched) -> anyhow::Result<()> {
    let node = watched.node;
    let same = |site: &Site| {
        let [theirs, ours] = NOTICES.map(|log| notices(site, node, log));
        (theirs == ours && theirs.iter().any(|line| line.contains("left")), theirs, ours)
    };
    let result =
        site.wait("two notifiers that say the same", Duration::from_secs(20), |site| same(site).0);
    let (_, theirs, ours) = same(site);
    result.with_context(|| format!("Debian's notifier said {theirs:#?}, ours {ours:#?}"))?;
    for program in &mut watched.programs {
        ensure!(program.is_running(), "a notifier ended");
        program.signal(Signal::TERM)?;
    }
    Ok(())
}
