//! Names for the numbers in events: causes and reasons, each as its own crate numbers them.

use link::DropReason;
use link::paths::DownCause;
use totem::Cause;
use wire::probe::RefuseReason;
use wire::trace::Code;

/// Causes of a gather.
const CAUSES: [(Cause, &str); 10] = [
    (Cause::Start, "start"),
    (Cause::TokenLoss, "token-loss"),
    (Cause::Join, "join"),
    (Cause::Merge, "merge"),
    (Cause::PeerDead, "peer-dead"),
    (Cause::PeerLeft, "peer-left"),
    (Cause::Unanswered, "unanswered"),
    (Cause::NotReceiving, "not-receiving"),
    (Cause::Formation, "formation"),
    (Cause::Reload, "reload"),
];

/// Why a node is kept out.
const REFUSALS: [(RefuseReason, &str); 4] = [
    (RefuseReason::Unlisted, "not-in-node-list"),
    (RefuseReason::OlderConfig, "older-configuration"),
    (RefuseReason::OtherConfig, "other-configuration-of-same-version"),
    (RefuseReason::Protocol, "no-common-protocol-version"),
];

/// What an argument's number means, if it is more than a number.
pub(crate) fn arg_text(code: Code, name: &str, value: u64) -> Option<&'static str> {
    match (code, name) {
        (Code::Gather, "cause") => {
            CAUSES.iter().find(|(cause, _)| *cause as u64 == value).map(|(_, text)| *text)
        }
        (Code::Gather, "timer") if value == u64::MAX => Some("none"),
        (Code::Refused | Code::RefusedByPeer, "reason") => {
            REFUSALS.iter().find(|(reason, _)| *reason as u64 == value).map(|(_, text)| *text)
        }
        (Code::LinkDrop, "reason") => {
            DropReason::ALL.iter().find(|reason| **reason as u64 == value).map(|r| r.name())
        }
        (Code::LinkDown, "cause") => {
            DownCause::ALL.iter().find(|cause| **cause as u64 == value).map(|c| c.name())
        }
        (Code::SessionClosed, "cause") | (Code::SessionEvicted, "reason") => {
            u16::try_from(value).ok().and_then(session::Cause::from_code).map(session::Cause::text)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_have_names_and_unknown_ones_stay_numbers() {
        assert_eq!(arg_text(Code::Gather, "cause", Cause::PeerDead as u64), Some("peer-dead"));
        assert_eq!(arg_text(Code::Gather, "cause", 999), None);
        assert_eq!(arg_text(Code::Gather, "peer", 1), None);
        let reason = RefuseReason::OlderConfig as u64;
        assert_eq!(arg_text(Code::Refused, "reason", reason), Some("older-configuration"));
        let gone = session::Cause::Gone as u64;
        assert_eq!(arg_text(Code::SessionClosed, "cause", gone), Some(session::Cause::Gone.text()));
        assert_eq!(arg_text(Code::SessionClosed, "cause", u64::MAX), None);
    }
}
