//! Votes: from the configuration to the node, and from the node to the snapshot.

use groups::votequorum::{DEVICE, DeviceOptions, InfoFlags, NodeState, Options, Plan, TieBreaker};
use node::Node;
use schema::Config;
use wire::NodeId;

use crate::status;

/// How the configuration says that votes are counted; `None`: not at all.
///
/// The options stand twice: `schema` knows files and keys and nothing of the engine, so that tools read and convert
/// files without it; the group layer knows the rules and nothing of files, and has no standard library.
pub(crate) fn options(config: &Config) -> Option<Options> {
    let quorum = &config.quorum;
    quorum.votequorum.then(|| Options {
        nodes: config.nodes.iter().map(|node| (NodeId(node.id), node.votes)).collect(),
        expected_votes: quorum.expected_votes,
        two_node: quorum.two_node,
        wait_for_all: quorum.wait_for_all,
        last_man_standing: quorum.last_man_standing,
        last_man_standing_window_ms: quorum.last_man_standing_window_ms,
        auto_tie_breaker: match &quorum.auto_tie_breaker {
            schema::TieBreaker::Off => TieBreaker::Off,
            schema::TieBreaker::Lowest => TieBreaker::Lowest,
            schema::TieBreaker::Highest => TieBreaker::Highest,
            schema::TieBreaker::List(nodes) => {
                TieBreaker::List(nodes.iter().copied().map(NodeId).collect())
            }
        },
        allow_downscale: quorum.allow_downscale,
        expected_votes_tracking: quorum.expected_votes_tracking,
        device: quorum.device.as_ref().map(|device| DeviceOptions {
            votes: device.votes,
            timeout_ms: device.timeout_ms,
            sync_timeout_ms: device.sync_timeout_ms,
        }),
    })
}

/// What of it does not go together so badly that there is no safe reading.
pub(crate) fn problem(config: &Config) -> Option<String> {
    let plan = Plan::new(&options(config)?, NodeId(config.me), false);
    plan.fatal().map(|problem| problem.to_string())
}

/// What of it does not go together but does not keep the engine from starting.
pub(crate) fn warnings(config: &Config) -> Vec<String> {
    let Some(options) = options(config) else { return Vec::new() };
    let plan = Plan::new(&options, NodeId(config.me), false);
    plan.problems.iter().filter(|problem| !problem.is_fatal()).map(ToString::to_string).collect()
}

/// What the node says of votes now.
pub(crate) fn status(node: &Node, now_ns: u64) -> status::Quorum {
    let quorum = node.groups().quorum();
    let until_ns = quorum.quorate_until_ns().filter(|until_ns| *until_ns > now_ns);
    let (ring, members) = quorum.view();
    let counted = quorum.votes().and_then(|votes| Some((votes, votes.info(DEVICE)?)));
    status::Quorum {
        quorate: until_ns.is_some(),
        ring_seq: ring.seq,
        ring_rep: ring.rep.0,
        members: members.iter().map(|node| node.0).collect(),
        synchronising: quorum.in_sync(),
        votes: counted.map(|(votes, mine)| status::Votes {
            lease_us: until_ns.map_or(0, |until_ns| (until_ns - now_ns) / 1000),
            expected_votes: mine.expected_votes,
            highest_expected: mine.highest_expected,
            total_votes: mine.total_votes,
            quorum: mine.needed,
            flags: flags(mine.flags),
            waits_for_all: votes.features().waits_for_all,
            rules: rules(votes),
            nodes: votes
                .nodes()
                .map(|node| status::Voter {
                    node: node.node.0,
                    state: match node.state {
                        NodeState::Member => "member",
                        NodeState::Dead => "dead",
                        NodeState::Leaving => "leaving",
                    },
                    votes: node.votes,
                    expected_votes: node.expected_votes,
                    flags: flags(node.flags & InfoFlags::of_device()),
                })
                .collect(),
            device: device(votes),
        }),
    }
}

fn rules(votes: &groups::votequorum::Votequorum) -> status::Rules {
    let (features, device) = (votes.features(), votes.device());
    status::Rules {
        two_node: features.two_node,
        wait_for_all: features.wait_for_all,
        tie_breaker: features.tie_breaker,
        lowest_node: features.lowest.map(|node| node.0),
        highest_node: features.highest.map(|node| node.0),
        configured_votes: features.expected_floor,
        tracked_votes: (features.tracked > 0).then_some(features.tracked),
        device_may_vote: device.may_operate,
        device_master_wins: device.master_wins,
    }
}

fn device(votes: &groups::votequorum::Votequorum) -> Option<status::QuorumDevice> {
    let device = votes.device();
    let name = device.name?;
    Some(status::QuorumDevice { name: status::shown(&name), votes: device.votes })
}

fn flags(flags: InfoFlags) -> Vec<&'static str> {
    flags.iter_names().map(|(name, _)| name).collect()
}
