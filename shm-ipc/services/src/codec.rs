//! Messages as bytes: `[mark u8][version u8]`, then the message in postcard's encoding (variable-length
//! integers, little-endian; lengths before sequences; the number of a variant before its fields).
//!
//! The mark tells service messages from the words of text that are also asked on the same socket. Versions:
//! both sides speak [`VERSION`] and refuse every other, since libraries and engine of a node come from one
//! package; a variant is only ever appended, never renumbered, so that a message either decodes as it was
//! meant or not at all.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// First byte of every service message; no text begins with it.
pub const MARK: u8 = 0x01;

/// Version of the messages.
pub const VERSION: u8 = 1;

/// Bytes before the message.
const HEAD: [u8; 2] = [MARK, VERSION];

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not a service message at all.
    #[error("not a service message")]
    NotOurs,
    /// Of another version.
    #[error("a service message of version {0}, version {VERSION} is spoken here")]
    Version(u8),
    /// Cut short, too long, or out of range.
    #[error("a service message that does not decode")]
    Contents,
}

/// Whether these bytes are meant to be a service message, of whatever version.
pub fn is_service_message(bytes: &[u8]) -> bool {
    bytes.first() == Some(&MARK)
}

/// The bytes of a message.
pub fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    // Into memory of ours, from types without custom serialisation: there is nothing that can fail.
    postcard::to_extend(message, HEAD.to_vec()).unwrap_or_default()
}

/// Reads a message; nothing may follow it.
///
/// # Errors
/// See [`Malformed`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Malformed> {
    match bytes {
        [MARK, VERSION, rest @ ..] => match postcard::take_from_bytes(rest) {
            Ok((message, [])) => Ok(message),
            _ => Err(Malformed::Contents),
        },
        [MARK, version, ..] => Err(Malformed::Version(*version)),
        _ => Err(Malformed::NotOurs),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Answer, Failure, Notice, Reply, Request, Ring, cfg, cmap, quorum, votequorum};

    fn samples() -> Vec<Request> {
        let value = cmap::Value::Text(b"x".to_vec());
        let map = cmap::Map::Config;
        vec![
            Request::Cmap(cmap::Request::Set { map, key: "a.b".into(), value }),
            Request::Cfg(cfg::Request::LocalGet),
            Request::Cfg(cfg::Request::Kill { node: 7, reason: b"why".to_vec() }),
            Request::Quorum(quorum::Request::State),
            Request::Votequorum(votequorum::Request::QdevicePoll {
                name: b"Qdevice".to_vec(),
                cast_vote: true,
                ring: Ring { node: 1, seq: 1 << 40 },
            }),
        ]
    }

    #[test]
    fn messages_come_back_and_no_prefix_of_one_does() {
        for request in samples() {
            let bytes = encode(&request);
            assert_eq!(decode::<Request>(&bytes).as_ref(), Ok(&request));
            for cut in 0..bytes.len() {
                assert!(decode::<Request>(&bytes[..cut]).is_err(), "{request:?} cut to {cut}");
            }
            let longer = [&bytes[..], &[0]].concat();
            assert_eq!(decode::<Request>(&longer), Err(Malformed::Contents));
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_documentation() {
        assert_eq!(encode(&Request::Cfg(cfg::Request::LocalGet)), [1, 1, 1, 0]);
        let reply: Reply = Err(Failure::TryAgain);
        assert_eq!(encode(&reply), [1, 1, 1, 2]);
        let reply: Reply = Ok(Answer::Cfg(cfg::Answer::Local { node: 300 }));
        assert_eq!(encode(&reply), [1, 1, 0, 2, 0, 0xac, 2]);
    }

    #[test]
    fn words_and_other_versions_are_told_apart() {
        assert_eq!(decode::<Request>(b"status"), Err(Malformed::NotOurs));
        assert_eq!(decode::<Request>(&[]), Err(Malformed::NotOurs));
        assert_eq!(decode::<Request>(&[MARK, 9, 0]), Err(Malformed::Version(9)));
        assert!(!is_service_message(b"status") && is_service_message(&[MARK]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let with_head = [&HEAD[..], &bytes].concat();
            // Several encodings may mean the same number; what was understood comes back as it was.
            if let Ok(request) = decode::<Request>(&with_head) {
                let again = decode::<Request>(&encode(&request));
                prop_assert_eq!(format!("{again:?}"), format!("{:?}", Ok::<_, Malformed>(request)));
            }
            let _ = decode::<Reply>(&with_head);
            let _ = decode::<Notice>(&with_head);
        }
    }
}
