//! Golden vectors: the bytes of the link header and of the handshake, once and for all.

use synchrotron_wire as wire;
use wire::link::{
    HANDSHAKE_BYTES, Handshake, HeaderError, LINK_HEADER_BYTES, LinkHeader, LinkKind, Nonce,
};
use wire::{BootId, NodeId, WireError};

const BOOT: BootId = BootId(*b"0123456789abcdef");

const HEADER: LinkHeader = LinkHeader {
    kind: LinkKind::Handshake,
    sealed: true,
    epoch: 7,
    newest_epoch: 8,
    body_len: 0x0102,
    sender: NodeId(0x0304_0506),
    cluster: 0x1112_1314_1516_1718,
    boot: BOOT,
    counter: 0x2122_2324_2526_2728,
};

const HEADER_BYTES: [u8; LINK_HEADER_BYTES] = [
    b'S', b'Y', b'N', b'C', 1, 1, 1, 7, 8, 0, 0x02, 0x01, 0x06, 0x05, 0x04, 0x03, //
    0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11, b'0', b'1', b'2', b'3', b'4', b'5', b'6', b'7',
    b'8', b'9', b'a', b'b', b'c', b'd', b'e', b'f', 0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21,
];

#[test]
fn the_header_is_these_48_bytes() {
    assert_eq!(HEADER.to_bytes(), HEADER_BYTES);
    assert_eq!(LinkHeader::parse(&HEADER_BYTES), Ok(HEADER));
}

#[test]
fn a_header_cut_anywhere_is_truncated() {
    for len in 0..LINK_HEADER_BYTES {
        let cut = LinkHeader::parse(&HEADER_BYTES[..len]);
        assert_eq!(cut, Err(HeaderError::Truncated { found: len }));
    }
}

#[test]
fn fields_without_meaning_are_refused() {
    let with = |at: usize, value: u8| {
        let mut bytes = HEADER_BYTES;
        bytes[at] = value;
        LinkHeader::parse(&bytes)
    };
    assert!(matches!(with(0, b's'), Err(HeaderError::BadMagic { .. })));
    assert_eq!(with(4, 2), Err(HeaderError::WrongVersion { found: 2 }));
    for (at, field, value) in [(5, "kind", 2), (6, "flags", 2), (9, "reserved", 1)] {
        let found = u64::from(value);
        let bad = WireError::BadField { what: "link header", field, found };
        assert_eq!(with(at, value), Err(HeaderError::BadField(bad)));
    }
}

#[test]
fn the_handshake_is_these_56_bytes() {
    let both = Handshake { ask: Some(Nonce([0xa1; 16])), answer: Some((Nonce([0xb2; 16]), BOOT)) };
    let mut bytes = [0; HANDSHAKE_BYTES];
    bytes[..2].copy_from_slice(&[1, 1]);
    bytes[8..24].fill(0xa1);
    bytes[24..40].fill(0xb2);
    bytes[40..56].copy_from_slice(&BOOT.0);
    assert_eq!(both.to_bytes(), bytes);
    assert_eq!(Handshake::parse(&bytes), Ok(both));
    for one in [Handshake { ask: None, ..both }, Handshake { answer: None, ..both }] {
        assert_eq!(Handshake::parse(&one.to_bytes()), Ok(one));
    }
}

#[test]
fn a_handshake_that_contradicts_itself_is_refused() {
    let ask = Handshake { ask: Some(Nonce([0xa1; 16])), answer: None };
    let with = |at: usize, value: u8| {
        let mut bytes = ask.to_bytes();
        bytes[at] = value;
        Handshake::parse(&bytes)
    };
    for (at, value) in [(0, 0), (0, 2), (1, 2), (2, 1), (24, 1), (55, 1)] {
        assert!(matches!(with(at, value), Err(WireError::BadField { .. })), "byte {at} = {value}");
    }
    assert!(with(1, 1).is_ok(), "an answer of zeros is an answer, if a useless one");
    assert!(Handshake::parse(&[0; HANDSHAKE_BYTES]).is_err(), "says nothing");
    assert!(Handshake::parse(&[1; HANDSHAKE_BYTES - 1]).is_err());
    assert!(Handshake::parse(&[1; HANDSHAKE_BYTES + 1]).is_err());
}
