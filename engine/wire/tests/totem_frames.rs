//! Frame formats of the ring protocol: golden bytes, round trips, and garbage.

extern crate synchrotron_wire as wire;

use proptest::prelude::*;
use wire::beacon::{Answer, Beacon, MISSING_MAX, Want, Wish};
use wire::commit::Commit;
use wire::data::{DATA_HEADER_BYTES, DataHeader, payload_bytes_max};
use wire::hello::{Hello, LINKS_MAX};
use wire::join::{Compat, Join};
use wire::probe::{Ping, PingAbout, Probe, Refuse, RefuseReason};
use wire::repair::Ask;
use wire::state::OldState;
use wire::token::{Facts, RANGES_MAX, Ranges, TOKEN_BYTES_MAX, Token};
use wire::{CONTROL_BYTES_MAX, Kind, NODES_MAX, NodeId, NodeSet, RingId};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn emitted(emit: impl FnOnce(&mut [u8]) -> Option<usize>) -> Vec<u8> {
    let mut out = vec![0; CONTROL_BYTES_MAX];
    let len = emit(&mut out).expect("a control frame fits");
    out.truncate(len);
    out
}

const RING: RingId = RingId { seq: 0x0102_0304_0506_0708, rep: NodeId(9) };
const COMPAT: Compat =
    Compat { protocol_min: 1, protocol_max: 2, config_version: 3, config_hash: 4 };

#[test]
fn golden_data() {
    let header = DataHeader {
        kind: Kind::Data as u8,
        flags: 1,
        payload_len: 2.into(),
        origin: 3.into(),
        ring_seq: RING.seq.into(),
        ring_rep: 9.into(),
        round: 5.into(),
        seq: 7.into(),
        prev: 6.into(),
    };
    let mut frame = vec![0xee; DATA_HEADER_BYTES + 2];
    header.emit(&mut frame);
    assert_eq!(
        hex(&frame),
        "0101020003000000080706050403020109000000050000000700000000000000\
         0600000000000000eeee"
    );
    assert_eq!(DataHeader::parse(&frame).unwrap().ring(), RING);
    assert!(DataHeader::parse(&frame[..41]).is_err(), "payload cut short");
    frame.push(0);
    assert!(DataHeader::parse(&frame).is_err(), "bytes after the payload");
    assert_eq!(payload_bytes_max(1400), 1320);
}

#[test]
fn golden_token() {
    let mut token = Token::first(RING, 20_000);
    token.visit = 2;
    token.seq = 10;
    token.aru = 8;
    token.aru_setter = Some(NodeId(4));
    token.stable = 7;
    token.in_flight = 0x1000;
    token.ranges.push(9, 9);
    let out_of_turn = emitted(|out| Token { detour: true, ..token }.emit(out));
    assert!(Token::parse(&out_of_turn).is_err(), "out of turn to whose turn it is");
    assert_eq!(
        hex(&emitted(|out| token.emit(out))),
        "020001000400000008070605040302010900000009000000090000000200000000000000\
         0a0000000000000008000000000000000700000000000000\
         0010000000000000\
         ffffffffffffffff0000000000000000204e000000000000\
         ffffffffffffffff0000000000000000204e000000000000\
         09000000000000000900000000000000"
    );
}

#[test]
fn golden_membership() {
    let join = Join {
        compat: COMPAT,
        ring_seq: 5,
        last_ring: RING,
        proc: NodeSet::first_n(3),
        fail: NodeSet::single(2),
        hears: NodeSet::first_n(2),
    };
    let rows = [(1, NodeSet::single(1))];
    assert_eq!(
        hex(&emitted(|out| join.emit(out, 3, rows.into_iter()))),
        "030001010102030000000000000004000000000000000500000000000000\
         080706050403020109000000\
         0700000000000000040000000000000003000000000000000100\
         0200000000000000"
    );
    let commit = Commit { ring: RING, hop: 1, members: NodeSet::first_n(2) };
    assert_eq!(
        hex(&emitted(|out| commit.emit(out, 3))),
        "0400010001000000080706050403020109000000\
         0300000000000000"
    );
    let state = OldState { last: true, ring: RING, aru: 3, stable: 2, obliged: NodeSet::single(0) };
    assert_eq!(
        hex(&emitted(|out| state.emit(out, 3, &[(5, 6)]))),
        "0101010001000000080706050403020109000000\
         030000000000000002000000000000000100000000000000\
         05000000000000000600000000000000"
    );
    let probe =
        Probe { compat: COMPAT, ring: RING, members: NodeSet::single(0), hears: NodeSet::EMPTY };
    assert_eq!(
        hex(&emitted(|out| probe.emit(out, 3))),
        "09000100010203000000000000000400000000000000080706050403020109000000\
         01000000000000000000000000000000"
    );
}

#[test]
fn golden_small_frames() {
    let ring = "080706050403020109000000";
    let (number, proven, timeout_us) = (5, 4, 0x0102);
    let beacon = Beacon {
        ring: RING,
        visit: 1,
        seq: 3,
        stable: 2,
        answer: true,
        kept: true,
        again: false,
        number,
        proven,
        timeout_us,
    };
    let rest = "010000000000000003000000000000000200000000000000\
                0500000000000000040000000000000002010000";
    assert_eq!(hex(&emitted(|out| beacon.emit(out))), format!("0503{ring}{rest}"));
    assert_eq!(emitted(|out| Beacon { kept: false, ..beacon }.emit(out))[1], 1);
    assert_eq!(emitted(|out| Beacon { again: true, ..beacon }.emit(out))[1], 7);
    let impossible = emitted(|out| Beacon { proven: 6, ..beacon }.emit(out));
    assert!(Beacon::parse(&impossible).is_err(), "answered before it was sent");
    let answer = Answer { ring: RING, visit: 1, aru: 2, number, credit: 7, again: false };
    let answered = "0100000000000000020000000000000005000000000000000700000000000000";
    assert_eq!(hex(&emitted(|out| answer.emit(&[], out))), format!("0600{ring}{answered}00"));
    let again = Answer { again: true, ..answer };
    assert_eq!(hex(&emitted(|out| again.emit(&[], out))), format!("0601{ring}{answered}00"));
    let missing = [(3, 3), (5, 6)];
    let named = emitted(|out| answer.emit(&missing, out));
    let ranges = "0300000000000000030000000000000005000000000000000600000000000000";
    assert_eq!(hex(&named), format!("0600{ring}{answered}02{ranges}"));
    let mut read = Vec::new();
    assert_eq!(Answer::parse(&named, |from, to| read.push((from, to))), Ok(answer));
    assert_eq!(read, missing);
    let impossible = emitted(|out| answer.emit(&[(2, 3)], out));
    assert!(Answer::parse(&impossible, |_, _| {}).is_err(), "what it says that it has");
    let most = [(3, 3); MISSING_MAX];
    assert!(emitted(|out| answer.emit(&most, out)).len() <= CONTROL_BYTES_MAX);
    assert_eq!(answer.emit(&[(3, 3); MISSING_MAX + 1], &mut [0; CONTROL_BYTES_MAX]), None);
    let rest = "01000000000000000200000000000000";
    for (wish, byte) in [(Wish::Token, "00"), (Wish::Sign, "01"), (Wish::Rotation, "02")] {
        let want = Want { ring: RING, node: NodeId(3), wish };
        let bytes = emitted(|out| want.emit(out));
        assert_eq!(hex(&bytes), format!("07{byte}{ring}03000000"));
        assert_eq!(Want::parse(&bytes), Ok(want));
    }
    let ask = Ask { ring: RING, from: 1, to: 2 };
    assert_eq!(hex(&emitted(|out| ask.emit(out))), format!("0800{ring}{rest}"));
    let ping = Ping { about: PingAbout::Probe, answer: true, nonce: 1 };
    assert_eq!(hex(&emitted(|out| ping.emit(out))), "0a030100000000000000");
    let refuse = Refuse { reason: RefuseReason::OlderConfig, theirs: 1, ours: 2, config_hash: 3 };
    assert_eq!(hex(&emitted(|out| refuse.emit(out))), format!("0b02{rest}0300000000000000"));
}

#[test]
fn golden_hello() {
    let mut hears = [NodeSet::EMPTY; LINKS_MAX];
    hears[0] = NodeSet::first_n(3);
    hears[1] = NodeSet::single(2);
    let (life, seq, list) = (0x0807_0605_0403_0201, 7, 0x0d0c_0b0a);
    let hello =
        Hello { urgent: true, token_queue: false, link: 1, life, seq, list, links: 2, hears };
    let bytes = emitted(|out| hello.emit(3, out));
    let fixed = "0c01010201010203040506070807000000000000000a0b0c0d";
    assert_eq!(hex(&bytes), format!("{fixed}07000000000000000400000000000000"));
    assert_eq!(Hello::parse(&bytes), Ok(hello.clone()));
    let elsewhere = emitted(|out| Hello { link: 2, ..hello.clone() }.emit(3, out));
    assert!(Hello::parse(&elsewhere).is_err(), "a link that the sender has not");
    assert!(Hello::parse(&bytes[..bytes.len() - 1]).is_err(), "a set cut short");
    let mut flags = bytes;
    flags[1] = 4;
    assert!(Hello::parse(&flags).is_err(), "an unknown flag");
}

#[test]
fn every_format_fits_a_control_frame_at_its_largest() {
    let hello = Hello {
        urgent: false,
        token_queue: true,
        link: 0,
        life: 1,
        seq: 1,
        list: 1,
        links: LINKS_MAX as u8,
        hears: [NodeSet::first_n(NODES_MAX); LINKS_MAX],
    };
    assert!(emitted(|out| hello.emit(NODES_MAX, out)).len() <= CONTROL_BYTES_MAX);
    let all = NodeSet::first_n(NODES_MAX);
    let join =
        Join { compat: COMPAT, ring_seq: 1, last_ring: RING, proc: all, fail: all, hears: all };
    for nodes in [1, 64, 65, 128, NODES_MAX] {
        assert!(Join::rows_max(nodes) > 0);
        let narrow = NodeSet::first_n(nodes);
        let join = Join { proc: narrow, fail: narrow, hears: narrow, ..join };
        let rows = (0..nodes).map(|pos| (pos, narrow));
        assert!(emitted(|out| join.emit(out, nodes, rows)).len() <= CONTROL_BYTES_MAX);
        let ranges = vec![(1, 2); OldState::ranges_max(512 - 40, nodes)];
        let state = OldState { last: true, ring: RING, aru: 0, stable: 0, obliged: narrow };
        assert!(emitted(|out| state.emit(out, nodes, &ranges)).len() <= 512 - 40);
    }
    let mut token = Token::first(RING, 1);
    token.seq = 1_000;
    (0..RANGES_MAX as u64).for_each(|i| assert!(token.ranges.push(3 * i + 1, 3 * i + 1)));
    assert!(!token.ranges.push(999, 999));
    assert_eq!(emitted(|out| token.emit(out)).len(), TOKEN_BYTES_MAX);
    let mut short = [0; TOKEN_BYTES_MAX - 1];
    assert_eq!(token.emit(&mut short), None);
}

/// What is counted on from a number that was received must not overflow.
#[test]
fn numbers_with_none_after_them_are_refused() {
    let commit = Commit { ring: RING, hop: 2, members: NodeSet::first_n(2) };
    for (hop, good) in [(2, true), (3, false), (u32::MAX, false)] {
        let bytes = emitted(|out| Commit { hop, ..commit }.emit(out, 3));
        assert_eq!(Commit::parse(&bytes, 3).is_ok(), good, "hop {hop}");
    }
    let hello = Hello {
        urgent: false,
        token_queue: false,
        link: 0,
        life: 1,
        seq: 1,
        list: 1,
        links: 1,
        hears: [NodeSet::EMPTY; LINKS_MAX],
    };
    for (seq, good) in [(u64::MAX >> 1, true), ((u64::MAX >> 1) + 1, false), (u64::MAX, false)] {
        let bytes = emitted(|out| Hello { seq, ..hello.clone() }.emit(3, out));
        assert_eq!(Hello::parse(&bytes).is_ok(), good, "seq {seq}");
    }
}

#[test]
fn ranges_join_with_their_neighbours() {
    let mut ranges = Ranges::NONE;
    for (from, to) in [(5, 6), (1, 2), (8, 9), (3, 4), (7, 7)] {
        ranges.add(from, to);
    }
    assert_eq!(ranges.as_slice(), [(1, 9)]);
    assert!(ranges.contains(9) && !ranges.contains(10));
}

fn ring() -> impl Strategy<Value = RingId> {
    (any::<u64>(), any::<u32>()).prop_map(|(seq, rep)| RingId { seq, rep: NodeId(rep) })
}

fn set(nodes: usize) -> impl Strategy<Value = NodeSet> {
    prop::collection::vec(0..nodes, 0..40).prop_map(|positions| positions.into_iter().collect())
}

fn facts() -> impl Strategy<Value = Facts> {
    any::<(u64, u64, u32, u16, u16)>().prop_map(|(credit, backlog, timeout_us, senders, losers)| {
        Facts { credit, backlog, timeout_us, senders, losers }
    })
}

prop_compose! {
    fn token()(
        ring in ring(),
        ids in any::<(u64, bool, u32, u32, u64)>(),
        seq in 1..u64::MAX,
        low in any::<(u64, u64)>(),
        in_force in facts(),
        collecting in facts(),
        ranges in prop::collection::vec(any::<(u64, u64)>(), 0..RANGES_MAX),
    ) -> Token {
        let (visit, detour, next, setter, in_flight) = ids;
        let mut list = Ranges::NONE;
        for (a, b) in ranges {
            let (a, b) = (a % seq + 1, b % seq + 1);
            list.push(a.min(b), a.max(b));
        }
        Token {
            ring, visit, detour, seq, in_flight, in_force, collecting,
            regular_next: NodeId(next),
            to: NodeId(if detour { next ^ 1 } else { next }),
            aru: low.0 % seq,
            aru_setter: (setter != 0).then_some(NodeId(setter)),
            stable: low.1 % seq,
            ranges: list,
        }
    }
}

proptest! {
    #[test]
    fn tokens_survive_the_wire(token in token()) {
        prop_assert_eq!(Token::parse(&emitted(|out| token.emit(out))), Ok(token));
    }

    #[test]
    fn joins_survive_the_wire(
        nodes in 1..NODES_MAX,
        numbers in any::<(u64, u64, u64)>(),
        last_ring in ring(),
        sets in (set(NODES_MAX), set(NODES_MAX), set(NODES_MAX), set(NODES_MAX)),
    ) {
        let all = NodeSet::first_n(nodes);
        let join = Join {
            compat: Compat { config_version: numbers.0, config_hash: numbers.1, ..COMPAT },
            ring_seq: numbers.2,
            last_ring,
            proc: sets.0.intersection(&all),
            fail: sets.1.intersection(&all),
            hears: sets.2.intersection(&all),
        };
        let row = (nodes - 1, sets.3.intersection(&all));
        let frame = emitted(|out| join.emit(out, nodes, [row].into_iter()));
        let mut rows = Vec::new();
        let read = Join::parse(&frame, nodes, |pos, set| rows.push((pos, set)));
        prop_assert_eq!(read, Ok(join));
        prop_assert_eq!(rows, vec![row]);
        prop_assert_eq!(Join::parse_compat(&frame), Ok(join.compat));
    }

    #[test]
    fn states_survive_the_wire(
        ring in ring(),
        numbers in any::<(u64, u64)>(),
        obliged in set(128),
        ranges in prop::collection::vec((1..1000_u64, 0..1000_u64), 0..20),
    ) {
        let aru = numbers.0 / 2;
        let state = OldState { last: true, ring, aru, stable: numbers.1.min(aru), obliged };
        let ranges: Vec<(u64, u64)> =
            ranges.into_iter().map(|(from, len)| (aru + from, aru + from + len)).collect();
        let frame = emitted(|out| state.emit(out, 128, &ranges));
        let mut read = Vec::new();
        prop_assert_eq!(OldState::parse(&frame, 128, |a, b| read.push((a, b))), Ok(state));
        prop_assert_eq!(read, ranges);
    }

    #[test]
    fn garbage_never_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 0..13_u8) {
        if let Some(first) = bytes.first_mut() {
            *first = kind;
        }
        let _ = DataHeader::parse(&bytes);
        let _ = Token::parse(&bytes);
        let _ = Join::parse_compat(&bytes);
        for nodes in [1, 64, 65, NODES_MAX] {
            let _ = Join::parse(&bytes, nodes, |pos, _| assert!(pos < nodes));
            let _ = Commit::parse(&bytes, nodes);
            let _ = Probe::parse(&bytes, nodes);
            let _ = OldState::parse(&bytes, nodes, |from, to| assert!(0 < from && from <= to));
        }
        let _ = Beacon::parse(&bytes);
        let _ = Answer::parse(&bytes, |from, to| assert!(0 < from && from <= to));
        let _ = Want::parse(&bytes);
        let _ = Ask::parse(&bytes);
        let _ = Ping::parse(&bytes);
        let _ = Refuse::parse(&bytes);
        let _ = Hello::parse(&bytes);
    }
}
