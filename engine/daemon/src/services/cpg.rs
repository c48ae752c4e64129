//! Process groups as seen from outside: taken from a snapshot of the hot thread, which owns them.

use services::cpg::{Answer, Group, Member, Request};
use services::{Answer as Any, Reply, Ring};

use super::Outcome;
use crate::status::Snapshot;

/// Both questions are about the hot thread's state.
pub(super) fn ask(request: &Request) -> Outcome {
    match request {
        Request::Groups | Request::Flow => Outcome::NeedsSnapshot,
    }
}

pub(super) fn with_snapshot(request: &Request, snapshot: &Snapshot) -> Reply {
    let answer = match request {
        Request::Flow => Answer::Flow {
            synced: snapshot.groups.synced,
            ring: Ring { node: snapshot.ring.rep, seq: snapshot.ring.seq },
            members: snapshot.ring.members.clone(),
        },
        Request::Groups => Answer::Groups(snapshot.groups.list.iter().map(group).collect()),
    };
    Ok(Any::Cpg(answer))
}

fn group(group: &crate::status::Group) -> Group {
    let member = |member: &crate::status::Member| Member { node: member.node, pid: member.pid };
    Group { name: group.name.clone(), members: group.members.iter().map(member).collect() }
}
