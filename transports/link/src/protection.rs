//! What stands between a body and the network: AES-256-GCM, or a checksum where encryption is off.

use alloc::boxed::Box;

use wire::link::{CRC_BYTES, LINK_HEADER_BYTES, LinkHeader, TAG_BYTES};

use crate::aead::{Aead, BadTag, NONCE_BYTES};

/// How the datagrams of one sender, boot and key epoch are protected.
pub(crate) enum Protection {
    /// CRC-32C over header and body.
    Checksum,
    /// Header authenticated, body encrypted.
    Sealed(Box<dyn Aead>),
}

/// Bytes after the body.
pub(crate) fn trailer_bytes(sealed: bool) -> usize {
    if sealed { TAG_BYTES } else { CRC_BYTES }
}

/// Never repeats under one key: the counter does not within a boot, and another boot has another key.
fn nonce(counter: u64) -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    nonce[NONCE_BYTES - 8..].copy_from_slice(&counter.to_le_bytes());
    nonce
}

impl Protection {
    /// Writes header, body and trailer to the start of `out` and returns their length. `None` when
    /// `out` is too small or `body` longer than a header can say.
    pub(crate) fn seal(&self, header: &LinkHeader, body: &[u8], out: &mut [u8]) -> Option<usize> {
        let body_len = u16::try_from(body.len()).ok()?;
        let end = LINK_HEADER_BYTES + body.len();
        let total = end + trailer_bytes(header.sealed);
        let out = out.get_mut(..total)?;
        let header = LinkHeader { body_len, ..*header };
        out[..LINK_HEADER_BYTES].copy_from_slice(&header.to_bytes());
        out[LINK_HEADER_BYTES..end].copy_from_slice(body);
        let (front, trailer) = out.split_at_mut(end);
        match self {
            Self::Checksum => trailer.copy_from_slice(&checksum(front)),
            Self::Sealed(aead) => {
                let (aad, body) = front.split_at_mut(LINK_HEADER_BYTES);
                trailer.copy_from_slice(&aead.seal(&nonce(header.counter), aad, body)?);
            }
        }
        Some(total)
    }

    /// Checks a datagram without its padding and decrypts the body where it stands.
    pub(crate) fn open(&self, counter: u64, datagram: &mut [u8]) -> Result<(), BadTag> {
        let trailer = match self {
            Self::Checksum => CRC_BYTES,
            Self::Sealed(_) => TAG_BYTES,
        };
        let end = datagram.len().checked_sub(trailer).ok_or(BadTag)?;
        let (front, trailer) = datagram.split_at_mut(end);
        match self {
            Self::Checksum => {
                let fits = *trailer == checksum(front);
                if fits { Ok(()) } else { Err(BadTag) }
            }
            Self::Sealed(aead) => {
                let (aad, body) = front.split_at_mut_checked(LINK_HEADER_BYTES).ok_or(BadTag)?;
                let tag = (&*trailer).try_into().map_err(|_| BadTag)?;
                aead.open(&nonce(counter), aad, body, tag)
            }
        }
    }
}

/// CRC-32C (Castagnoli; RFC 3720 calls it the iSCSI CRC), little-endian.
fn checksum(bytes: &[u8]) -> [u8; CRC_BYTES] {
    crc_fast::crc32_iscsi(bytes).to_le_bytes()
}
