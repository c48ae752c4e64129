//! The checkers: what the protocol promises, each promise in a file of its own, judged only by what
//! left the nodes ([`History`]).

mod causal;
mod integrity;
mod liveness;
mod one_configuration;
mod one_quorum;
mod one_view;
mod order;
mod quorum;
mod reasons;
mod reload;
mod rings;
mod safe;
mod self_delivery;
mod slots;
mod synchrony;
mod union;
mod views;

#[cfg(test)]
mod tests;

use std::fmt;

use crate::history::{History, Segment, segments};

/// Findings kept per checker: one fails the run, more only help to understand it.
const FINDINGS_MAX: usize = 8;

/// The promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Checker {
    /// One total order; gaps only where extended virtual synchrony allows them.
    AgreedOrder,
    /// Safe messages wait until every member of the configuration has them.
    SafeDelivery,
    /// What a node took from its clients reaches its own clients.
    SelfDelivery,
    /// The same messages between the same two configurations, and between the same two views.
    VirtualSynchrony,
    /// Effects never before their causes.
    CausalOrder,
    /// Nothing twice, nothing invented, nothing changed, nothing lost, each sender in its order.
    Integrity,
    /// Views agree, follow from one another, and give the true reasons.
    Views,
    /// Ring identities are used once, by the members they name.
    RingIds,
    /// Every slot is accounted for.
    Slots,
    /// One ring, synchronised, and progress within a bound after healing.
    Liveness,
    /// Configurations that hold a majority of the node list form one chain. This is the membership
    /// part only: when a node of the older one learns that it is older is the affair of the lease.
    QuorumMembership,
    /// At no time are two parts of the cluster quorate.
    OneQuorum,
    /// While nothing fails but links, and one of them works everywhere, the ring stays what it is.
    OneView,
    /// A change of the configuration is taken over at one place of the order by all, or by nobody.
    Reload,
    /// All members of a ring have one configuration, and no node goes back.
    OneConfiguration,
}

impl Checker {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::AgreedOrder,
        Self::SafeDelivery,
        Self::SelfDelivery,
        Self::VirtualSynchrony,
        Self::CausalOrder,
        Self::Integrity,
        Self::Views,
        Self::RingIds,
        Self::Slots,
        Self::Liveness,
        Self::QuorumMembership,
        Self::OneQuorum,
        Self::OneView,
        Self::Reload,
        Self::OneConfiguration,
    ];

    /// A short name.
    pub fn name(self) -> &'static str {
        match self {
            Self::AgreedOrder => "agreed-order",
            Self::SafeDelivery => "safe-delivery",
            Self::SelfDelivery => "self-delivery",
            Self::VirtualSynchrony => "virtual-synchrony",
            Self::CausalOrder => "causal-order",
            Self::Integrity => "integrity",
            Self::Views => "views",
            Self::RingIds => "ring-ids",
            Self::Slots => "slots",
            Self::Liveness => "liveness",
            Self::QuorumMembership => "quorum-membership",
            Self::OneQuorum => "one-quorum",
            Self::OneView => "one-view",
            Self::Reload => "reload",
            Self::OneConfiguration => "one-configuration",
        }
    }
}

/// One broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which promise.
    pub checker: Checker,
    /// What was seen.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.checker.name(), self.text)
    }
}

/// Collects findings of one checker.
#[derive(Debug)]
pub(crate) struct Findings {
    checker: Checker,
    list: Vec<Finding>,
}

impl Findings {
    pub(crate) fn new(checker: Checker) -> Self {
        Self { checker, list: Vec::new() }
    }

    /// Notes a broken promise; the text is only made while there is room for it.
    pub(crate) fn add(&mut self, text: impl FnOnce() -> String) {
        if self.list.len() < FINDINGS_MAX {
            self.list.push(Finding { checker: self.checker, text: text() });
        }
    }

    /// Notes a broken promise if the condition does not hold.
    pub(crate) fn require(&mut self, holds: bool, text: impl FnOnce() -> String) {
        if !holds {
            self.add(text);
        }
    }
}

/// What every checker is given.
pub(crate) struct Case<'h> {
    pub(crate) history: &'h History,
    pub(crate) segments: &'h [Segment],
}

/// Runs every checker over a history.
pub fn check(history: &History) -> Vec<Finding> {
    let segments = segments(history);
    let case = Case { history, segments: &segments };
    Checker::ALL.into_iter().flat_map(|checker| run(checker, &case)).collect()
}

/// Runs one checker.
fn run(checker: Checker, case: &Case<'_>) -> Vec<Finding> {
    let mut findings = Findings::new(checker);
    let out = &mut findings;
    match checker {
        Checker::AgreedOrder => order::check(case, out),
        Checker::SafeDelivery => safe::check(case, out),
        Checker::SelfDelivery => self_delivery::check(case, out),
        Checker::VirtualSynchrony => synchrony::check(case, out),
        Checker::CausalOrder => causal::check(case, out),
        Checker::Integrity => integrity::check(case, out),
        Checker::Views => views::check(case, out),
        Checker::RingIds => rings::check(case, out),
        Checker::Slots => slots::check(case, out),
        Checker::Liveness => liveness::check(case, out),
        Checker::QuorumMembership => quorum::check(case, out),
        Checker::OneQuorum => one_quorum::check(case, out),
        Checker::OneView => one_view::check(case, out),
        Checker::Reload => reload::check(case, out),
        Checker::OneConfiguration => one_configuration::check(case, out),
    }
    findings.list
}
