//! What programs ask of votes, where the votes are.

use groups::votequorum::{DEVICE, Refusal, Votequorum};
use services::votequorum::{Answer, Info, Request};
use services::{Answer as Any, Failure, Reply, Ring};
use wire::{NodeId, RingId};

use crate::services::quorum::state;

/// Does what is asked; `None` when the answer comes with `News::Registered`.
pub(super) fn answer(
    votes: &mut Votequorum,
    now_ns: u64,
    me: u32,
    asked: &Request,
) -> Option<Reply> {
    let this = |node: u32| NodeId(if node == DEVICE.0 { me } else { node });
    let done = |result: Result<(), Refusal>| Some(result.map(|()| Any::Done).map_err(failure));
    match asked {
        Request::Info { node } => Some(info(votes, this(*node))),
        Request::SetExpected { votes: expected } => done(votes.set_expected(*expected)),
        Request::SetVotes { node, votes: count } => done(votes.set_votes(this(*node), *count)),
        Request::QdeviceRegister { name } => match votes.device_register(name) {
            Ok(true) => Some(Ok(Any::Done)),
            Ok(false) => None,
            Err(refusal) => Some(Err(failure(refusal))),
        },
        Request::QdeviceUnregister { name } => done(votes.device_unregister(name)),
        Request::QdeviceUpdate { old, new } => done(votes.device_update(old, new)),
        Request::QdevicePoll { name, cast_vote, ring } => {
            done(votes.device_poll(now_ns, name, *cast_vote, ring_id(*ring)))
        }
        Request::QdeviceMasterWins { name, allow } => done(votes.device_master_wins(name, *allow)),
        Request::Track(_) | Request::Untrack => Some(Err(Failure::BadOperation)),
        Request::QdeviceExtraGet { node } => {
            let extra = votes.device_extra(NodeId(*node)).map_err(failure);
            Some(extra.map(|bytes| Any::Votequorum(Answer::QdeviceExtra(bytes.to_vec()))))
        }
        Request::QdeviceExtraSet { bytes } => done(votes.device_set_extra(bytes)),
    }
}

fn info(votes: &Votequorum, node: NodeId) -> Reply {
    let status = votes.info(node).ok_or(Failure::NotExist)?;
    let device = votes.device();
    Ok(Any::Votequorum(Answer::Info(Info {
        node: status.node.0,
        state: state(status.state),
        votes: status.votes,
        expected: status.expected_votes,
        highest_expected: status.highest_expected,
        total: status.total_votes,
        quorum: status.needed,
        flags: status.flags.bits(),
        qdevice_votes: status.device_votes,
        qdevice_name: device.name.map(Vec::from).unwrap_or_default(),
    })))
}

fn ring_id(ring: Ring) -> RingId {
    RingId { seq: ring.seq, rep: NodeId(ring.node) }
}

fn failure(refusal: Refusal) -> Failure {
    match refusal {
        Refusal::Impossible | Refusal::WrongName => Failure::InvalidParameter,
        Refusal::NoSuchNode | Refusal::NotRegistered => Failure::NotExist,
        Refusal::OtherDevice => Failure::Exist,
        Refusal::NotAllowed => Failure::Access,
        Refusal::OtherRing => Failure::MessageError,
        Refusal::TryAgain => Failure::TryAgain,
    }
}
