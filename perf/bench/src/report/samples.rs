//! Stored results, read: every single run of an engine under one setup.

use crate::figures::Figures;
use crate::report::plot::Of;
use crate::results::{Outcome, Results, Run};
use crate::seat::Waiting;
use crate::setup::{Mode, Senders, Setup, Switch};

/// A command that went well.
pub(super) struct Read<'a> {
    pub(super) row: u8,
    pub(super) run: &'a Run,
    pub(super) outcome: Outcome,
}

/// What can be read, and what is wrong with the rest.
pub(super) fn read(results: &Results) -> (Vec<Read<'_>>, Vec<String>) {
    let (mut reads, mut wrong) = (Vec::new(), Vec::new());
    for (row, run) in results.runs() {
        match run.outcome() {
            Ok(Some(outcome)) => reads.push(Read { row, run, outcome }),
            Ok(None) => {
                let error = run.error.as_deref().unwrap_or("it left no result");
                wrong.push(format!("row {row}: {}: {error}", run.command));
            }
            Err(error) => wrong.push(format!("row {row}: {error:#}")),
        }
    }
    (reads, wrong)
}

/// With which Corosync is fastest.
const BEST_TRANSPORT: &str = "knet";

/// One run of an engine.
#[derive(Clone, Copy)]
pub(super) struct Sample<'a> {
    pub(super) of: Of,
    pub(super) setup: &'a Setup,
    pub(super) figures: &'a Figures,
    /// Whether it was measured in turn with the other engine.
    pub(super) is_paired: bool,
}

/// All runs of engines.
pub(super) fn samples<'a>(reads: &'a [Read<'_>]) -> Vec<Sample<'a>> {
    let mut all = Vec::new();
    for read in reads {
        match &read.outcome {
            Outcome::Compare(comparison) => {
                let theirs = comparison.corosync.side().map(|side| (Of::Corosync, side));
                // Its other transports have a row of their own; curves are of its best.
                let theirs = theirs.filter(|(_, side)| side.engine.contains(BEST_TRANSPORT));
                let ours = (Of::Synchrotron, &comparison.synchrotron);
                for (of, side) in theirs.into_iter().chain([ours]) {
                    let setup = &comparison.settings;
                    let sample = |figures| Sample { of, setup, figures, is_paired: true };
                    all.extend(side.runs.iter().map(sample));
                }
            }
            Outcome::Local(report) => all.push(Sample {
                of: Of::Synchrotron,
                setup: &report.settings,
                figures: &report.figures,
                is_paired: false,
            }),
            _ => {}
        }
    }
    all
}

/// Whether only nodes, size of message and loss may differ from the everyday case.
pub(super) fn is_plain(setup: &Setup) -> bool {
    setup.size.len() == 1
        && setup.encryption == Switch::Off
        && setup.senders == Senders::One
        && setup.mode == Mode::Adaptive
        && setup.waiting == Waiting::Block
        && setup.mtu == 1500
        && setup.hogs == 0
        && setup.datagram_loss == 0
        && setup.netem.is_none()
        && !setup.syscalls
        && setup.hosts.is_empty()
        && setup.set.is_empty()
}

/// A setup in words.
pub(super) fn words(setup: &Setup) -> String {
    let sizes: Vec<String> =
        setup.size.iter().map(|&size| super::plot::bytes(f64::from(size))).collect();
    let mut text = format!("{} nodes, {}", setup.nodes(), sizes.join(" + "));
    let mut add = |is_so: bool, what: &str| {
        if is_so {
            text += ", ";
            text += what;
        }
    };
    add(setup.senders == Senders::All, "every node sends");
    add(setup.encryption == Switch::On, "encrypted");
    add(setup.mode == Mode::Busy, "spinning");
    add(setup.mode == Mode::Park, "parked");
    add(setup.mtu != 1500, &format!("MTU {}", setup.mtu));
    add(setup.loss > 0, &format!("{} % of packets lost", setup.loss));
    add(setup.datagram_loss > 0, &format!("{} % of data datagrams lost", setup.datagram_loss));
    if let Some(weather) = &setup.netem {
        add(weather.is_empty(), "fair weather");
        add(!weather.is_empty(), &weather.replace(',', " "));
    }
    add(setup.hogs > 0, &format!("{} hogs", setup.hogs));
    text
}
