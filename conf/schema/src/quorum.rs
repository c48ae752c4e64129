//! `[quorum]`: who may act for the cluster.

use std::fmt::Write as _;

use crate::kind::Value;
use crate::model::{Node, TokenTimeout, Totem};
use crate::values::Values;

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
    /// The half with the first of these nodes goes on.
    List(Vec<u32>),
}

/// A quorum device: a program beside the engine that votes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// What kind; read by the device itself.
    pub model: String,
    /// Its votes; `None`: one less than the nodes have.
    pub votes: Option<u32>,
    /// It counts as gone when it has not polled for so long.
    pub timeout_ms: u32,
    /// How long a new ring waits for it.
    pub sync_timeout_ms: u32,
    /// Whether the partition with its votes wins; read by the device itself.
    pub master_wins: bool,
}

/// `[quorum]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// Whether votes are counted at all; else there is always a quorum.
    pub votequorum: bool,
    /// Votes of the whole cluster; `None`: those of the node list.
    pub expected_votes: Option<u32>,
    /// Two nodes, each of which may go on alone.
    pub two_node: bool,
    /// No quorum until all nodes were here at once; `None`: follows `two_node`.
    pub wait_for_all: Option<bool>,
    /// Expected votes follow the members of a quorate partition down.
    pub last_man_standing: bool,
    /// How long after a loss they do.
    pub last_man_standing_window_ms: u32,
    /// How an even split is decided.
    pub auto_tie_breaker: TieBreaker,
    /// Nodes that leave in order lower the quorum.
    pub allow_downscale: bool,
    /// The highest number of votes ever seen is expected.
    pub expected_votes_tracking: bool,
    /// A quorum device.
    pub device: Option<Device>,
}

impl Default for Quorum {
    /// No votes are counted.
    fn default() -> Self {
        Self {
            votequorum: false,
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

impl Quorum {
    /// What all nodes must agree on, as text for the shared hash.
    pub(crate) fn shared_text(&self, nodes: &[Node], totem: &Totem) -> String {
        if !self.votequorum {
            return String::new();
        }
        // How long a node may act without hearing of the others, and how long others wait for that, follow from
        // the upper bound of the one and from the other; what a node may owe must be the same everywhere.
        let timeout_us = match totem.token_timeout {
            TokenTimeout::Auto { min_us, max_us } => min_us.max(max_us),
            TokenTimeout::Fixed { us } => us,
        };
        let mut text = format!("{self:?}\n{timeout_us} {:?}\n", totem.consensus_timeout_us);
        for node in nodes {
            // A text always has room.
            let _ = writeln!(text, "{} {}", node.id, node.votes);
        }
        text
    }
}

const SECTION: &str = "quorum";
const MS: u64 = 1_000_000;

pub(crate) fn read(values: &Values<'_>) -> Quorum {
    let flag = |name| values.value(SECTION, name) == Some(Value::Bool(true));
    let ms = |name| (values.number(SECTION, name) / MS) as u32;
    let votes = |name| match values.value(SECTION, name) {
        Some(Value::Number(votes)) => Some(votes as u32),
        _ => None,
    };
    Quorum {
        votequorum: values.word(SECTION, "provider") == "votequorum",
        expected_votes: votes("expected_votes"),
        two_node: flag("two_node"),
        wait_for_all: match values.value(SECTION, "wait_for_all") {
            Some(Value::Bool(wait)) => Some(wait),
            _ => None,
        },
        last_man_standing: flag("last_man_standing"),
        last_man_standing_window_ms: ms("last_man_standing_window"),
        auto_tie_breaker: match values.value(SECTION, "auto_tie_breaker") {
            Some(Value::Word("lowest")) => TieBreaker::Lowest,
            Some(Value::Word("highest")) => TieBreaker::Highest,
            Some(Value::Ids(nodes)) if !nodes.is_empty() => TieBreaker::List(nodes),
            _ => TieBreaker::Off,
        },
        allow_downscale: flag("allow_downscale"),
        expected_votes_tracking: flag("expected_votes_tracking"),
        device: values.text(SECTION, "device").map(|model| Device {
            model,
            votes: votes("device_votes"),
            timeout_ms: ms("device_timeout"),
            sync_timeout_ms: ms("device_sync_timeout"),
            master_wins: flag("device_master_wins"),
        }),
    }
}
