//! Golden bytes of the messages about the configuration: a change here is a change of the protocol.

use synchrotron_wire::NodeId;
use synchrotron_wire::cfg::{CFG_BYTES_MAX, Cfg, ChangeId, TEXT_BYTES_MAX, Target};
use synchrotron_wire::control::{CONTROL_BYTES_MIN, Control, parse, write_cfg};

#[rustfmt::skip]
const PREPARE: [u8; 48] = [
    6, 0, 0, 0, 40, 0, 0, 0, // control: kind, flags, reserved, bytes
    1, 0, 0, 0, 0, 0, 0, 0, // kind, flag, bytes of text, node
    8, 7, 6, 5, 4, 3, 2, 1, // number
    2, 0, 0, 0, 0, 0, 0, 0, // configuration version
    3, 0, 0, 0, 0, 0, 0, 0, // hash
    4, 0, 0, 0, 0, 0, 0, 0, // fingerprint of the key
];

#[rustfmt::skip]
const ANSWER: [u8; 32] = [
    6, 0, 0, 0, 19, 0, 0, 0,
    2, 1, 3, 0, 9, 0, 0, 0, // a good one, with a text, about a change of node 9
    7, 0, 0, 0, 0, 0, 0, 0,
    b'a', b'b', b'c', 0, 0, 0, 0, 0, // text, padding
];

fn target() -> Target {
    Target { config_version: 2, config_hash: 3, key: 4 }
}

#[test]
fn messages_have_these_bytes_and_come_back() {
    let change = ChangeId { node: NodeId(9), number: 7 };
    let (number, node, text) = (0x0102_0304_0506_0708, NodeId(5), &b"why"[..]);
    let all: [(Cfg<'_>, &[u8]); 6] = [
        (Cfg::Prepare { number, target: target() }, &PREPARE),
        (Cfg::Answer { change, good: true, text: b"abc" }, &ANSWER),
        (Cfg::Answer { change, good: false, text: &[] }, &[]),
        (Cfg::Commit { number }, &[]),
        (Cfg::Abort { number, text }, &[]),
        (Cfg::Kill { node, text }, &[]),
    ];
    for (message, golden) in all {
        let mut buf = [0xff; 512];
        let end = write_cfg(&mut buf, &message).expect("room");
        assert!(golden.is_empty() || &buf[..end] == golden, "{message:?}: {:?}", &buf[..end]);
        let Ok(Control::Cfg(read)) = parse(&buf[..end]) else { panic!("{message:?} is not read") };
        assert_eq!(read, message);
        for cut in 0..end - 8 {
            assert!(parse(&buf[..cut]).is_err(), "{message:?} cut to {cut}");
        }
    }
}

#[test]
fn fields_that_no_sender_writes_are_refused() {
    // A flag on a prepare, a text on it, a node on it; an unknown kind; a flag of 2.
    for (at, value) in [(9, 1), (10, 1), (12, 1), (8, 9), (8, 0), (9, 2)] {
        let mut bytes = PREPARE;
        bytes[at] = value;
        assert!(parse(&bytes).is_err(), "{at} = {value}");
    }
}

#[test]
fn the_longest_message_fits_and_a_longer_text_is_refused() {
    let change = ChangeId { node: NodeId(9), number: 7 };
    let long = [b'x'; TEXT_BYTES_MAX + 1];
    let mut buf = [0; CONTROL_BYTES_MIN];
    let text = &long[..TEXT_BYTES_MAX];
    let end = write_cfg(&mut buf, &Cfg::Answer { change, good: true, text }).expect("room");
    assert!((CFG_BYTES_MAX..=CONTROL_BYTES_MIN).contains(&end));
    assert_eq!(write_cfg(&mut buf, &Cfg::Answer { change, good: true, text: &long }), None);
}
