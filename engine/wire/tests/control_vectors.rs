//! Golden bytes of the group layer's control messages: a change here is a change of the protocol.

use synchrotron_wire::control::{
    Control, StateWriter, parse, write_join, write_leave, write_process_down,
};
use synchrotron_wire::{NodeId, RingId};

#[rustfmt::skip]
const JOIN: [u8; 24] = [
    1, 0, 0, 0, 11, 0, 0, 0, // kind, flags, reserved, bytes
    0x44, 0x33, 0x22, 0x11, 0xdd, 0xcc, 0xbb, 0xaa, // session, pid
    b'a', b'b', b'c', 0, 0, 0, 0, 0, // name, padding
];

#[rustfmt::skip]
const PROCESS_DOWN: [u8; 16] = [
    3, 0, 0, 0, 8, 0, 0, 0,
    0x44, 0x33, 0x22, 0x11, 0xdd, 0xcc, 0xbb, 0xaa,
];

#[rustfmt::skip]
const STATE: [u8; 56] = [
    4, 1, 0, 0, 46, 0, 0, 0, // the last piece
    7, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, // ring seq, rep
    2, 0, 0, 0, // part
    8, 7, 6, 5, 4, 3, 2, 1, // boot
    2, 0, 2, 0, b'x', b'y', // name length, sessions, name
    1, 0, 0, 0, 2, 0, 0, 0, // session, pid
    3, 0, 0, 0, 4, 0, 0, 0,
    0, 0, // padding
];

#[test]
fn messages_have_these_bytes() {
    let mut buf = [0xff; 256];
    let end = write_join(&mut buf, 0x1122_3344, 0xaabb_ccdd, b"abc").expect("room");
    assert_eq!(buf[..end], JOIN);
    let end = write_leave(&mut buf, 0x1122_3344, 0xaabb_ccdd, b"abc").expect("room");
    assert_eq!((buf[0], &buf[1..end]), (2, &JOIN[1..]));
    let end = write_process_down(&mut buf, 0x1122_3344, 0xaabb_ccdd).expect("room");
    assert_eq!(buf[..end], PROCESS_DOWN);
    let ring = RingId { seq: 7, rep: NodeId(3) };
    let mut writer = StateWriter::new(&mut buf, ring, 2, 0x0102_0304_0506_0708).expect("room");
    assert!(writer.group(b"xy") && writer.session(1, 2) && writer.session(3, 4));
    let end = writer.finish(true);
    assert_eq!(buf[..end], STATE);
}

#[test]
fn each_changed_field_is_refused() {
    let refused = |at: usize, value: u8, message: &[u8]| {
        let mut bytes = message.to_vec();
        bytes[at] = value;
        parse(&bytes).is_err()
    };
    assert!(parse(&JOIN).is_ok() && parse(&STATE).is_ok() && parse(&PROCESS_DOWN).is_ok());
    assert!(
        refused(0, 0, &JOIN) && refused(0, 5, &JOIN) && refused(0, 6, &JOIN),
        "kinds nobody sends"
    );
    assert!(refused(1, 1, &JOIN) && refused(1, 2, &STATE), "flags nobody sends");
    assert!(refused(2, 1, &JOIN), "the reserved field");
    assert!(refused(4, 17, &JOIN), "longer than the body");
    assert!(refused(4, 8, &JOIN), "no name, and more than padding behind the content");
    assert!(refused(0, 3, &JOIN), "a process-down with a name");
    assert!(refused(32, 0, &STATE) && refused(32, 129, &STATE), "name lengths");
    assert!(refused(34, 3, &STATE), "more sessions than bytes");
    for len in 0..STATE.len() - 2 {
        assert!(parse(&STATE[..len]).is_err(), "cut at {len}");
    }
}

#[test]
fn a_state_takes_no_more_than_fits() {
    let ring = RingId { seq: 1, rep: NodeId(1) };
    let mut buf = [0; 181];
    assert!(StateWriter::new(&mut buf[..175], ring, 0, 0).is_none());
    let mut writer = StateWriter::new(&mut buf, ring, 0, 0).expect("room for one entry");
    assert!(!writer.group(&[1; 129]) && !writer.group(b""));
    assert!(writer.group(&[1; 128]));
    assert!(writer.session(1, 1));
    assert!(!writer.session(2, 2));
    let end = writer.finish(false);
    assert_eq!(end, 176);
    let Ok(Control::State(state)) = parse(&buf[..end]) else { panic!("a state") };
    assert!(!state.last);
    assert_eq!(state.entries().map(|entry| entry.sessions.len()).collect::<Vec<_>>(), [1]);
}
