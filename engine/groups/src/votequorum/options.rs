//! The configuration of votequorum: what was asked for, and what of it can go together.

use alloc::vec::Vec;

use wire::NodeId;

/// How an even split is decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TieBreaker {
    /// Both halves lose.
    #[default]
    Off,
    /// The half with the lowest node id goes on.
    Lowest,
    /// The half with the highest node id goes on.
    Highest,
    /// The half with the first node of the list goes on.
    List(Vec<NodeId>),
}

/// A quorum device as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceOptions {
    /// Its votes; when not given, one less than the nodes have.
    pub votes: Option<u32>,
    /// It counts as gone when it has not polled for so long, milliseconds.
    pub timeout_ms: u32,
    /// How long a new ring waits for it to poll, milliseconds.
    pub sync_timeout_ms: u32,
}

impl Default for DeviceOptions {
    /// No votes given, 10 s, 30 s: Corosync's.
    fn default() -> Self {
        Self { votes: None, timeout_ms: 10_000, sync_timeout_ms: 30_000 }
    }
}

/// Everything that can be configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The node list with the votes of each.
    pub nodes: Vec<(NodeId, u32)>,
    /// Votes of the whole cluster, when given.
    pub expected_votes: Option<u32>,
    /// Two nodes, each of which may go on alone.
    pub two_node: bool,
    /// No quorum until all nodes were here at once; follows `two_node` when not given.
    pub wait_for_all: Option<bool>,
    /// Expected votes follow the members of a quorate partition down.
    pub last_man_standing: bool,
    /// How long after a loss they do, milliseconds.
    pub last_man_standing_window_ms: u32,
    /// How an even split is decided.
    pub auto_tie_breaker: TieBreaker,
    /// Nodes that leave in order lower the quorum.
    pub allow_downscale: bool,
    /// The highest number of votes ever seen is expected.
    pub expected_votes_tracking: bool,
    /// A quorum device.
    pub device: Option<DeviceOptions>,
}

impl Default for Options {
    /// No nodes, no features.
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            expected_votes: None,
            two_node: false,
            wait_for_all: None,
            last_man_standing: false,
            last_man_standing_window_ms: 10_000,
            auto_tie_breaker: TieBreaker::Off,
            allow_downscale: false,
            expected_votes_tracking: false,
            device: None,
        }
    }
}

/// Features that do not go together. At the start those that leave no safe reading end it; at run
/// time the engine goes on with what it had, and says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// There is nothing to expect.
    #[error("neither a node list nor quorum.expected_votes says how many votes to expect")]
    NothingExpected,
    /// Two nodes need no device, and a device's votes mean nothing to them.
    #[error("quorum.two_node and quorum.device exclude each other")]
    TwoNodeWithDevice,
    /// A race against who has the lowest id.
    #[error("quorum.two_node and quorum.auto_tie_breaker exclude each other: two_node is off")]
    TwoNodeWithTieBreaker,
    /// After a restart, half of an odd cluster and one node more could be quorate without the one
    /// that breaks ties.
    #[error(
        "quorum.auto_tie_breaker needs quorum.wait_for_all when the nodes' votes are odd: auto_tie_breaker is off"
    )]
    OddTieBreaker,
    /// The same, and nobody can say which feature matters more.
    #[error(
        "quorum.auto_tie_breaker with quorum.last_man_standing needs quorum.wait_for_all when the nodes' votes are odd"
    )]
    OddTieBreakerWithLastMan,
    /// Both change what is expected.
    #[error("quorum.device and quorum.last_man_standing exclude each other")]
    DeviceWithLastMan,
    /// Both decide even splits.
    #[error("quorum.device and quorum.auto_tie_breaker exclude each other")]
    DeviceWithTieBreaker,
    /// Both change what is expected.
    #[error("quorum.device and quorum.allow_downscale exclude each other")]
    DeviceWithDownscale,
    /// The device's votes cannot be derived.
    #[error("quorum.device.votes must be given with quorum.expected_votes")]
    DeviceVotesWithExpected,
    /// The device's votes cannot be derived.
    #[error("quorum.device.votes must be given unless every node has one vote")]
    DeviceVotesUneven,
    /// The device alone would decide.
    #[error("quorum.device.votes leave fewer than 2 of quorum.expected_votes to the nodes")]
    DeviceVotesTooMany,
    /// A partition that shrank could meet one that did not.
    #[error(
        "quorum.last_man_standing without quorum.wait_for_all lets nodes that lost the quorum found a second one"
    )]
    LastManWithoutWait,
}

impl Problem {
    /// Whether an engine must not start with it.
    pub fn is_fatal(self) -> bool {
        !matches!(
            self,
            Self::TwoNodeWithTieBreaker | Self::OddTieBreaker | Self::LastManWithoutWait
        )
    }
}

/// What the options come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Votes of this node.
    pub votes: u32,
    /// Votes it expects.
    pub expected_votes: u32,
    /// Votes of the device, zero without one; not given when they cannot be derived: then they stay.
    pub device_votes: Option<u32>,
    /// Whether a device may register.
    pub device_may_operate: bool,
    /// See [`Options`].
    pub two_node: bool,
    /// See [`Options`]; follows `two_node` when it was not given.
    pub wait_for_all: bool,
    /// See [`Options`].
    pub auto_tie_breaker: TieBreaker,
    /// What did not go together.
    pub problems: Vec<Problem>,
}

impl Plan {
    /// What the options come to for node `me`, if `device_registered` there is a device already.
    pub fn new(options: &Options, me: NodeId, device_registered: bool) -> Self {
        let node_votes: u32 = options.nodes.iter().map(|(_, votes)| votes).sum();
        let mine = options.nodes.iter().find(|(node, _)| *node == me);
        let mut plan = Self {
            votes: mine.map_or(1, |(_, votes)| *votes),
            expected_votes: options.expected_votes.unwrap_or(node_votes),
            device_votes: Some(0),
            device_may_operate: true,
            two_node: options.two_node,
            wait_for_all: false,
            auto_tie_breaker: options.auto_tie_breaker.clone(),
            problems: Vec::new(),
        };
        if options.nodes.is_empty() && options.expected_votes.is_none() {
            plan.problems.push(Problem::NothingExpected);
            return plan;
        }
        plan.check_two_node(options, device_registered);
        plan.wait_for_all = options.wait_for_all.unwrap_or(plan.two_node);
        plan.check_tie_breaker(options, node_votes);
        if let Some(device) = &options.device {
            plan.check_device(options, device, node_votes);
        }
        plan
    }

    fn check_two_node(&mut self, options: &Options, device_registered: bool) {
        if self.two_node && options.device.is_some() {
            self.problems.push(Problem::TwoNodeWithDevice);
            if device_registered {
                self.two_node = false;
            } else {
                self.device_may_operate = false;
            }
        }
    }

    fn check_tie_breaker(&mut self, options: &Options, node_votes: u32) {
        let breaks = self.auto_tie_breaker != TieBreaker::Off;
        if self.two_node && breaks {
            self.problems.push(Problem::TwoNodeWithTieBreaker);
            self.two_node = false;
        }
        if breaks && !node_votes.is_multiple_of(2) && !self.wait_for_all {
            if options.last_man_standing {
                self.problems.push(Problem::OddTieBreakerWithLastMan);
            } else {
                self.problems.push(Problem::OddTieBreaker);
            }
            self.auto_tie_breaker = TieBreaker::Off;
        }
        if options.last_man_standing && !self.wait_for_all {
            self.problems.push(Problem::LastManWithoutWait);
        }
    }

    fn check_device(&mut self, options: &Options, device: &DeviceOptions, node_votes: u32) {
        let derived = device.votes.is_none();
        let even = options.nodes.len() == node_votes as usize;
        let few =
            |votes: u32| options.expected_votes.is_some_and(|all| all < votes.saturating_add(2));
        let wrong = [
            (options.last_man_standing, Problem::DeviceWithLastMan),
            (self.auto_tie_breaker != TieBreaker::Off, Problem::DeviceWithTieBreaker),
            (options.allow_downscale, Problem::DeviceWithDownscale),
            (derived && options.expected_votes.is_some(), Problem::DeviceVotesWithExpected),
            (derived && !options.nodes.is_empty() && !even, Problem::DeviceVotesUneven),
            (
                device.votes.is_some_and(|votes| votes > 0 && few(votes)),
                Problem::DeviceVotesTooMany,
            ),
        ];
        for (_, problem) in wrong.into_iter().filter(|(wrong, _)| *wrong) {
            self.problems.push(problem);
            self.device_may_operate = false;
        }
        self.device_votes = device.votes;
        if derived && options.expected_votes.is_none() && even {
            let votes = node_votes.saturating_sub(1);
            self.device_votes = Some(votes);
            self.expected_votes = node_votes.saturating_add(votes);
        }
    }

    /// The first problem with which an engine must not start.
    pub fn fatal(&self) -> Option<Problem> {
        self.problems.iter().copied().find(|problem| problem.is_fatal())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(votes: &[u32]) -> Options {
        let nodes = (1..).map(NodeId).zip(votes.iter().copied()).collect();
        Options { nodes, ..Options::default() }
    }

    fn plan(options: &Options) -> Plan {
        Plan::new(options, NodeId(1), false)
    }

    fn device(votes: Option<u32>) -> Option<DeviceOptions> {
        Some(DeviceOptions { votes, ..DeviceOptions::default() })
    }

    #[test]
    fn votes_come_from_the_node_list() {
        let found = plan(&nodes(&[3, 1, 1]));
        assert_eq!((found.votes, found.expected_votes, found.device_votes), (3, 5, Some(0)));
        let given = plan(&Options { expected_votes: Some(9), ..nodes(&[1, 1]) });
        assert_eq!((given.votes, given.expected_votes), (1, 9));
        assert_eq!(plan(&nodes(&[])).fatal(), Some(Problem::NothingExpected));
    }

    #[test]
    fn a_device_has_one_vote_less_than_the_nodes() {
        let found = plan(&Options { device: device(None), ..nodes(&[1, 1, 1]) });
        assert_eq!((found.device_votes, found.expected_votes), (Some(2), 5));
        let given = plan(&Options { device: device(Some(1)), ..nodes(&[1, 1]) });
        assert_eq!((given.device_votes, given.expected_votes), (Some(1), 2));
    }

    #[test]
    fn two_node_waits_for_all_unless_told_otherwise() {
        let two = Options { two_node: true, ..nodes(&[1, 1]) };
        assert!(plan(&two).wait_for_all);
        assert!(!plan(&Options { wait_for_all: Some(false), ..two.clone() }).wait_for_all);
        let tie = Options { auto_tie_breaker: TieBreaker::Lowest, ..two };
        let found = plan(&tie);
        assert_eq!((found.two_node, found.fatal()), (false, None));
        assert_eq!(found.problems, [Problem::TwoNodeWithTieBreaker]);
    }

    #[test]
    fn what_excludes_each_other_is_named() {
        let with_device = |votes: &[u32]| Options { device: device(None), ..nodes(votes) };
        let three = || with_device(&[1, 1, 1]);
        let lowest = TieBreaker::Lowest;
        let cases = [
            (Options { two_node: true, ..with_device(&[1, 1]) }, Problem::TwoNodeWithDevice),
            (
                Options { last_man_standing: true, wait_for_all: Some(true), ..three() },
                Problem::DeviceWithLastMan,
            ),
            (
                Options { auto_tie_breaker: lowest.clone(), ..with_device(&[1, 1]) },
                Problem::DeviceWithTieBreaker,
            ),
            (Options { allow_downscale: true, ..three() }, Problem::DeviceWithDownscale),
            (Options { expected_votes: Some(3), ..three() }, Problem::DeviceVotesWithExpected),
            (with_device(&[2, 1]), Problem::DeviceVotesUneven),
            (
                Options { expected_votes: Some(3), device: device(Some(2)), ..nodes(&[1, 1]) },
                Problem::DeviceVotesTooMany,
            ),
            (
                Options {
                    auto_tie_breaker: lowest.clone(),
                    last_man_standing: true,
                    ..nodes(&[1, 1, 1])
                },
                Problem::OddTieBreakerWithLastMan,
            ),
        ];
        for (options, problem) in cases {
            assert_eq!(plan(&options).fatal(), Some(problem), "{options:?}");
        }
        let odd = plan(&Options { auto_tie_breaker: lowest, ..nodes(&[1, 1, 1]) });
        assert_eq!((odd.fatal(), odd.auto_tie_breaker), (None, TieBreaker::Off));
    }
}
