//! Golden bytes of quorum messages: a change here is a change of the protocol.

use synchrotron_wire::control::{CONTROL_BYTES_MIN, Control, parse, write_quorum};
use synchrotron_wire::quorum::{
    DEVICE_NAME_BYTES_MAX, EXTRA_PART_BYTES_MAX, ExtraPart, GONE_MAX, Gone, NodeInfo, Quorum,
};
use synchrotron_wire::{NodeId, RingId};

const RING: RingId = RingId { seq: 7, rep: NodeId(3) };

fn body(message: &Quorum<'_>) -> Vec<u8> {
    let mut buf = [0xff; CONTROL_BYTES_MIN];
    let end = write_quorum(&mut buf, message).expect("room");
    buf[..end].to_vec()
}

#[test]
fn messages_have_these_bytes() {
    let info = NodeInfo { node: NodeId(2), votes: 3, expected_votes: 0x0102, flags: 9 };
    #[rustfmt::skip]
    assert_eq!(body(&Quorum::Info(info)), [
        5, 0, 0, 0, 17, 0, 0, 0, // kind, flags, reserved, bytes
        1, 2, 0, 0, 0, 3, 0, 0, 0, 2, 1, 0, 0, 9, 0, 0, 0, // operation, node, votes, expected, flags
        0, 0, 0, 0, 0, 0, 0,
    ]);
    #[rustfmt::skip]
    assert_eq!(body(&Quorum::Rename { old: b"ab", new: b"c" }), [
        5, 0, 0, 0, 6, 0, 0, 0, 7, 2, b'a', b'b', 1, b'c', 0, 0,
    ]);
    let part = ExtraPart { total: 0x0102, offset: 1, bytes: b"ab" };
    #[rustfmt::skip]
    assert_eq!(body(&Quorum::Extra(part)), [
        5, 0, 0, 0, 7, 0, 0, 0, 10, 2, 1, 1, 0, b'a', b'b', 0,
    ]);
    let mut buf = Gone::buffer();
    let gone = Gone::write(&mut buf, [(NodeId(4), 5)].into_iter());
    #[rustfmt::skip]
    assert_eq!(body(&Quorum::Present { ring: RING, ready: true, gone }), [
        5, 0, 0, 0, 27, 0, 0, 0,
        8, 7, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1, 1, // operation, ring, ready, count
        4, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, // node, boot
        0, 0, 0, 0, 0,
    ]);
}

#[test]
fn every_message_is_read_back() {
    let mut buf = Gone::buffer();
    let gone = Gone::write(&mut buf, (1..=u32::MAX).map(|n| (NodeId(n), u64::from(n) << 33)));
    assert_eq!(gone.iter().count(), GONE_MAX);
    let longest = [b'x'; DEVICE_NAME_BYTES_MAX];
    let messages = [
        Quorum::Info(NodeInfo { node: NodeId(1), votes: 2, expected_votes: 3, flags: 4 }),
        Quorum::SetExpected { votes: u32::MAX },
        Quorum::SetVotes { node: NodeId(9), votes: 0 },
        Quorum::CancelWaitForAll,
        Quorum::Register { name: b"Qdevice" },
        Quorum::Unregister { name: &longest },
        Quorum::Rename { old: &longest, new: &longest },
        Quorum::Present { ring: RING, ready: false, gone },
        Quorum::Ready { ring: RING, wait_us: 1 << 40 },
        Quorum::Extra(ExtraPart { total: 0, offset: 0, bytes: b"" }),
        Quorum::Extra(ExtraPart { total: 4096, offset: 9, bytes: &[7; EXTRA_PART_BYTES_MAX] }),
    ];
    for message in messages {
        let bytes = body(&message);
        let Ok(Control::Quorum(read)) = parse(&bytes) else { panic!("{message:?}") };
        assert_eq!(read, message);
        for len in 8..bytes.len() - 8 {
            assert!(parse(&bytes[..len]).is_err(), "{message:?} cut at {len}");
        }
    }
}

#[test]
fn what_nobody_sends_is_refused() {
    let refused = |content: &[u8]| Quorum::parse(content).is_err();
    assert!(refused(&[]) && refused(&[0]) && refused(&[11]), "operations");
    assert!(refused(&[4, 0]), "more than the message");
    assert!(refused(&[5, 0]) && refused(&[5, 255]), "name lengths");
    assert!(refused(&[5, 3, b'a', b'b']), "a name cut short");
    assert!(refused(&[10, 1, 0x10, 0, 0, 1]), "more than a device may say");
    assert!(refused(&[10, 1, 0, 1, 0, 1]) && refused(&[10, 1, 0, 2, 0, 1]), "past the whole");
    assert!(refused(&[10, 1, 0, 0, 0]), "a part of nothing");
    let long = ExtraPart { total: 4096, offset: 0, bytes: &[0; EXTRA_PART_BYTES_MAX + 1] };
    assert!(Quorum::Extra(long).emit(&mut [0; 600]).is_none());
    let mut present = [0; 15];
    present[0] = 8;
    assert!(!refused(&present));
    present[13] = 2;
    assert!(refused(&present), "a flag nobody sends");
    let mut many = vec![0; 15 + 12 * (GONE_MAX + 1)];
    (many[0], many[14]) = (8, GONE_MAX as u8 + 1);
    assert!(refused(&many), "more nodes than allowed");
    assert!(Quorum::Register { name: &[0; 255] }.emit(&mut [0; 600]).is_none());
    assert!(Quorum::Register { name: b"" }.emit(&mut [0; 600]).is_none());
}
