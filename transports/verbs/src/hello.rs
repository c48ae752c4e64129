//! What two nodes tell each other when they connect: the connection manager carries it as private data.
//!
//! Anyone on the fabric can send it, so it decides nothing but where to send to; frames are authenticated by
//! the link layer.

/// "SYNV".
const MAGIC: [u8; 4] = *b"SYNV";

/// Version of this format.
const VERSION: u8 = 1;

/// Bytes of a hello; the connection manager has room for 56.
pub(crate) const HELLO_BYTES: usize = 20;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Tokens.
    Token,
    /// Bursts for one peer.
    Data,
    /// None: the sender asks to be connected to now, since it has just started.
    Knock,
}

/// Format: magic 4, version 1, purpose 1, sender's position 2, number of its datagram queue pair 4, start of
/// the sender 8; little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) purpose: Purpose,
    /// Position in the node list.
    pub(crate) from: u16,
    /// Number of the sender's datagram queue pair.
    pub(crate) datagram_qp: u32,
    /// Differs between starts of a node.
    pub(crate) start: u64,
}

impl Hello {
    pub(crate) fn bytes(&self) -> [u8; HELLO_BYTES] {
        let mut bytes = [0; HELLO_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = VERSION;
        bytes[5] = match self.purpose {
            Purpose::Token => 0,
            Purpose::Data => 1,
            Purpose::Knock => 2,
        };
        bytes[6..8].copy_from_slice(&self.from.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.datagram_qp.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.start.to_le_bytes());
        bytes
    }

    /// Reads a hello; `None` for anything else. The manager pads private data with zeros.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HELLO_BYTES] = bytes.first_chunk()?;
        if bytes[..4] != MAGIC || bytes[4] != VERSION {
            return None;
        }
        let purpose = match bytes[5] {
            0 => Purpose::Token,
            1 => Purpose::Data,
            2 => Purpose::Knock,
            _ => return None,
        };
        Some(Self {
            purpose,
            from: u16::from_le_bytes([bytes[6], bytes[7]]),
            datagram_qp: u32::from_le_bytes(*bytes[8..].first_chunk()?),
            start: u64::from_le_bytes(*bytes[12..].first_chunk()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hellos_are_read_back_and_others_are_not() {
        for purpose in [Purpose::Token, Purpose::Data, Purpose::Knock] {
            let hello = Hello { purpose, from: 513, datagram_qp: 0xabcdef, start: u64::MAX - 5 };
            let mut bytes = hello.bytes().to_vec();
            assert_eq!(Hello::parse(&bytes), Some(hello));
            bytes.resize(56, 0);
            assert_eq!(Hello::parse(&bytes), Some(hello), "padded");
            assert_eq!(Hello::parse(&bytes[..HELLO_BYTES - 1]), None, "cut off");
            for at in 0..6 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 0x80;
                assert_eq!(Hello::parse(&damaged), None, "byte {at}");
            }
        }
    }
}
