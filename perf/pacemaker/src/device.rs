//! `corosync-qdevice` and `corosync-qnetd` as Debian ships them: two nodes, and a third machine that arbitrates.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, ensure};
use cluster::Signal;
use serde::Serialize;

use crate::case;
use crate::conf::Kind;
use crate::host::{self, Program};
use crate::site::{PATIENCE, Site};

/// How long things took, in seconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Device {
    /// From the start of the device's programs until both nodes count its vote.
    pub(crate) votes_s: f64,
    /// From the end of a machine until the other goes on alone with the device's vote.
    pub(crate) alone_s: f64,
    /// How often the survivor was seen without a quorum meanwhile.
    pub(crate) dips: u32,
    /// From the end of the device until the survivor knows that its vote is gone.
    pub(crate) gone_s: f64,
}

/// Two nodes and the device's vote; one loses its power; the device ends.
///
/// # Errors
/// When any of it does not come out as it should.
pub(crate) fn run(site: &mut Site) -> anyhow::Result<Device> {
    ensure!(site.spec.nodes == 2 && site.spec.device, "a device arbitrates between two nodes here");
    case::start_engines(site)?;
    let arbiter = site.spec.nodes;
    let from = Instant::now();
    let mut server = site.command(arbiter, "/usr/bin/corosync-qnetd")?;
    server.args(["-f", "-s", "off", "-c", "off"]);
    let mut server = site.start(arbiter, server, "qnetd.out")?;
    let mut devices = Vec::new();
    for node in site.nodes() {
        let mut device = site.command(node, "/usr/sbin/corosync-qdevice")?;
        device.arg("-f");
        devices.push(site.start(node, device, "qdevice.out")?);
    }
    let voted = site.wait("the device's vote on both nodes", PATIENCE, |site| {
        site.nodes().all(|node| {
            let said = status(site, node);
            has(&said, "Total votes:", "3") && said.matches("A,V,NMW").count() == 2
        })
    });
    let voted = voted.with_context(|| heard(site, arbiter))?;
    if site.spec.settings.kind == Kind::Synchrotron {
        let (theirs, ours) = (undated(&status(site, 0)), undated(&ours(site)?));
        ensure!(theirs == ours, "Debian's quorumtool says {theirs}, ours {ours}");
    }
    let off = Instant::now();
    site.power_off(1)?;
    let mut dips = 0;
    let alone = site.wait("one node and the device go on", PATIENCE, |site| {
        let said = status(site, 0);
        dips += u32::from(has(&said, "Quorate:", "No"));
        has(&said, "Nodes:", "1")
            && has(&said, "Quorate:", "Yes")
            && has(&said, "Total votes:", "2")
    });
    let alone = alone.with_context(|| heard(site, arbiter))?;
    let device = devices.swap_remove(0);
    let ends = Instant::now();
    device.signal(Signal::TERM)?;
    let gone = site.wait("a quorum lost with the device", PATIENCE, |site| {
        let said = status(site, 0);
        has(&said, "Quorate:", "No") && has(&said, "Total votes:", "1")
    })?;
    stop(&mut server)?;
    Ok(Device {
        votes_s: (voted - from).as_secs_f64(),
        alone_s: (alone - off).as_secs_f64(),
        dips,
        gone_s: (gone - ends).as_secs_f64(),
    })
}

/// What Debian's tool says; without a quorum it ends with 2.
fn status(site: &Site, node: usize) -> String {
    site.said(node, "/usr/sbin/corosync-quorumtool -s").unwrap_or_default()
}

fn ours(site: &Site) -> anyhow::Result<String> {
    site.said(0, &format!("{}/corosync-quorumtool -s", site.tools_dir().display()))
}

/// Without the line that has the time.
fn undated(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with("Date:")).collect::<Vec<_>>().join("\n")
}

/// Whether a line begins so and goes on so.
fn has(text: &str, name: &str, value: &str) -> bool {
    text.lines()
        .filter_map(|line| line.strip_prefix(name))
        .any(|rest| rest.trim().starts_with(value))
}

/// The last words of the device's programs.
fn heard(site: &Site, arbiter: usize) -> String {
    let last = |index: usize, log: &str| {
        let text =
            std::fs::read_to_string(site.home(index).join(Path::new(log))).unwrap_or_default();
        format!("--- {} {log}\n{text}", host::name(index))
    };
    let devices: String = site.nodes().map(|node| last(node, "qdevice.out")).collect();
    format!("{devices}{}{}", last(arbiter, "qnetd.out"), status(site, 0))
}

fn stop(program: &mut Program) -> anyhow::Result<()> {
    ensure!(program.is_running(), "corosync-qnetd ended by itself");
    program.signal(Signal::TERM)
}
