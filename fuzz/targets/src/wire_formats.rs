//! Every parser of bytes from the network. What a parser accepts must come back the same after it was
//! written and read once more.

use wire::beacon::{Answer, Beacon, Want, Wish};
use wire::cfg::Cfg;
use wire::commit::Commit;
use wire::control::{self, Control};
use wire::data::DataHeader;
use wire::hello::Hello;
use wire::join::Join;
use wire::link::{HANDSHAKE_BYTES, Handshake, LINK_HEADER_BYTES, LinkHeader};
use wire::probe::{Ping, Probe, Refuse};
use wire::quorum::{Gone, NodeInfo, Quorum};
use wire::repair::Ask;
use wire::run::{self, RunKind};
use wire::state::OldState;
use wire::token::Token;
use wire::{BootId, Kind, NodeId, NodeSet, RingId};

/// Cluster sizes: the smallest sets, one more word, the largest.
const NODES: [usize; 4] = [2, 64, 65, wire::NODES_MAX];

/// Room for any frame of the ring.
const FRAME_BYTES: usize = 2048;

/// Offers bytes to every parser.
pub fn wire(bytes: &[u8]) {
    link(bytes);
    fixed_frames(bytes);
    hello(bytes);
    for nodes in NODES {
        sets_of_nodes(bytes, nodes);
    }
    data(bytes);
    runs(bytes);
    group_control(bytes);
    _ = Kind::of(bytes);
}

/// `$parse` gives a value whose `$emit` gives bytes that `$parse` reads as the same value.
macro_rules! again {
    ($bytes:expr, $type:ty $(, $nodes:expr)?) => {
        if let Ok(value) = <$type>::parse($bytes $(, $nodes)?) {
            let mut out = [0; FRAME_BYTES];
            let len = value.emit(&mut out $(, $nodes)?).expect("what was read can be written");
            assert_eq!(<$type>::parse(&out[..len] $(, $nodes)?), Ok(value));
        }
    };
}

fn link(bytes: &[u8]) {
    if let Ok(header) = LinkHeader::parse(bytes) {
        assert_eq!(header.to_bytes(), bytes[..LINK_HEADER_BYTES]);
    }
    if let Ok(handshake) = Handshake::parse(bytes) {
        assert_eq!(handshake.to_bytes(), bytes[..HANDSHAKE_BYTES]);
    }
}

fn fixed_frames(bytes: &[u8]) {
    again!(bytes, Beacon);
    again!(bytes, Want);
    again!(bytes, Ping);
    again!(bytes, Refuse);
    again!(bytes, Ask);
    again!(bytes, Token);
    answer(bytes);
}

/// What is missing is told range by range.
fn answer(bytes: &[u8]) {
    let mut missing = Vec::new();
    let Ok(value) = Answer::parse(bytes, |from, to| missing.push((from, to))) else { return };
    let mut out = [0; FRAME_BYTES];
    let len = value.emit(&missing, &mut out).expect("what was read can be written");
    let mut again = Vec::new();
    assert_eq!(Answer::parse(&out[..len], |from, to| again.push((from, to))), Ok(value));
    assert_eq!(again, missing);
}

/// The set's length is in the frame itself.
fn hello(bytes: &[u8]) {
    let Ok(hello) = Hello::parse(bytes) else { return };
    let mut out = [0; FRAME_BYTES];
    let len = hello.emit(64 * usize::from(bytes[4]), &mut out).expect("a hello fits");
    assert_eq!(Hello::parse(&out[..len]), Ok(hello));
}

fn sets_of_nodes(bytes: &[u8], nodes: usize) {
    again!(bytes, Commit, nodes);
    again!(bytes, Probe, nodes);
    _ = (Join::parse_compat(bytes), Probe::parse_compat(bytes));
    let mut rows = Vec::new();
    let join = Join::parse(bytes, nodes, |position, set| rows.push((position, set)));
    if let Ok(join) = join {
        assert!(rows.iter().all(|(position, set)| {
            *position < nodes && set.is_subset(&NodeSet::first_n(nodes))
        }));
        let mut out = [0; FRAME_BYTES];
        let some = rows.iter().copied().take(Join::rows_max(nodes));
        let len = join.emit(&mut out, nodes, some.clone()).expect("rows_max fit");
        let mut again = Vec::new();
        let parsed = Join::parse(&out[..len], nodes, |position, set| again.push((position, set)));
        assert_eq!((parsed, again), (Ok(join), some.collect()));
    }
    let mut ranges = Vec::new();
    let state = OldState::parse(bytes, nodes, |from, to| ranges.push((from, to)));
    if let Ok(state) = state {
        assert!(ranges.iter().all(|(from, to)| from <= to));
        ranges.truncate(OldState::ranges_max(FRAME_BYTES, nodes));
        let mut out = [0; FRAME_BYTES];
        let len = state.emit(&mut out, nodes, &ranges).expect("ranges_max fit");
        let mut again = Vec::new();
        let parsed = OldState::parse(&out[..len], nodes, |from, to| again.push((from, to)));
        assert_eq!((parsed, again), (Ok(state), ranges));
    }
}

fn data(bytes: &[u8]) {
    let Ok(header) = DataHeader::parse(bytes) else { return };
    let mut out = bytes.to_vec();
    header.emit(&mut out);
    assert_eq!(out, bytes);
    runs(&bytes[wire::data::DATA_HEADER_BYTES..]);
}

fn runs(payload: &[u8]) {
    let mut end = 0;
    for parsed in run::runs(payload) {
        let Ok(parsed) = parsed else { break };
        assert!(parsed.body_offset >= end, "runs overlap");
        end = parsed.body_offset + parsed.body.len();
        assert_eq!(parsed.body, &payload[parsed.body_offset..end]);
        match parsed.kind {
            RunKind::Messages => records(parsed.body),
            RunKind::Control => group_control(parsed.body),
            RunKind::Fragment => {}
        }
    }
}

fn records(body: &[u8]) {
    let mut at = 0;
    while let Some((range, next)) = run::record_at(body, at) {
        assert!(next > at && range.end <= next && next <= body.len());
        at = next;
    }
}

fn group_control(body: &[u8]) {
    let Ok(message) = control::parse(body) else { return };
    let mut out = [0; FRAME_BYTES];
    let written = match message {
        Control::Quorum(quorum) => control::write_quorum(&mut out, &quorum),
        Control::Join { session, pid, name } => control::write_join(&mut out, session, pid, name),
        Control::Leave { session, pid, name } => control::write_leave(&mut out, session, pid, name),
        Control::ProcessDown { session, pid } => {
            control::write_process_down(&mut out, session, pid)
        }
        Control::Cfg(message) => control::write_cfg(&mut out, &message),
        Control::State(state) => {
            let names_fit = |entry: control::Entry<'_>| {
                (1..=control::NAME_BYTES_MAX).contains(&entry.name.len())
            };
            assert!(state.entries().all(names_fit));
            return;
        }
    };
    let len = written.expect("the longest name fits");
    let again = control::parse(&out[..len]).expect("what was written can be read");
    assert_eq!(format!("{again:?}"), format!("{message:?}"));
}

/// One of everything.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let ring = RingId { seq: 70, rep: NodeId(1) };
    let mut seeds = Vec::new();
    let mut add = |emit: &dyn Fn(&mut [u8]) -> Option<usize>| {
        let mut out = [0; FRAME_BYTES];
        let len = emit(&mut out).expect("a frame's room is enough");
        seeds.push(out[..len].to_vec());
    };
    let mut token = Token::first(ring, 1000);
    (token.seq, token.aru) = (20, 10);
    token.ranges.push(11, 15);
    add(&|out| token.emit(out));
    let (answer, again, number, proven) = (true, true, 5, 4);
    let (visit, seq, stable, kept, timeout_us) = (3, 9, 8, true, 1000);
    let beacon =
        Beacon { ring, visit, seq, stable, answer, kept, again, number, proven, timeout_us };
    add(&|out| beacon.emit(out));
    let answer = Answer { ring, visit: 3, aru: 8, number, credit: 7, again };
    add(&|out| answer.emit(&[], out));
    add(&|out| answer.emit(&[(9, 9), (12, 20)], out));
    let info = NodeInfo { node: NodeId(1), votes: 1, expected_votes: 3, flags: 2 };
    let mut buffer = Gone::buffer();
    let gone = Gone::write(&mut buffer, [(NodeId(2), 9)].into_iter());
    let quorum = [
        Quorum::Info(info),
        Quorum::SetVotes { node: NodeId(2), votes: 3 },
        Quorum::Rename { old: b"one", new: b"two" },
        Quorum::Present { ring, ready: true, gone },
        Quorum::Ready { ring, wait_us: 1 },
    ];
    quorum.iter().for_each(|message| add(&|out| control::write_quorum(out, message)));
    add(&|out| Want { ring, node: NodeId(2), wish: Wish::Sign }.emit(out));
    add(&|out| Ask { ring, from: 2, to: 4 }.emit(out));
    add(&|out| Commit { ring, hop: 1, members: NodeSet::first_n(2) }.emit(out, 2));
    add(&|out| control::write_join(out, 1, 2, b"group"));
    add(&|out| control::write_leave(out, 1, 2, b"group"));
    add(&|out| control::write_process_down(out, 1, 2));
    let change = wire::cfg::ChangeId { node: NodeId(1), number: 7 };
    let target = wire::cfg::Target { config_version: 2, config_hash: 3, key: 4 };
    for message in [
        Cfg::Prepare { number: 7, target },
        Cfg::Answer { change, good: false, text: b"file:3:1: what" },
        Cfg::Commit { number: 7 },
        Cfg::Abort { number: 7, text: b"why" },
        Cfg::Kill { node: NodeId(2), text: b"why" },
    ] {
        add(&|out| control::write_cfg(out, &message));
    }
    add(&|out| {
        let mut state = control::StateWriter::new(out, ring, 0, 7)?;
        let wrote = state.group(b"one") && state.session(1, 2) && state.session(3, 4);
        assert!(wrote && state.group(b"two") && state.session(1, 2));
        Some(state.finish(true))
    });
    add(&|out| {
        let obliged = NodeSet::first_n(2);
        OldState { last: true, ring, aru: 5, stable: 4, obliged }.emit(out, 2, &[(7, 9), (11, 11)])
    });
    let ask = wire::link::Nonce([7; 16]);
    seeds
        .push(Handshake { ask: Some(ask), answer: Some((ask, BootId([1; 16]))) }.to_bytes().into());
    // Frames as nodes really send them: Join, Probe, Ping, data with runs.
    seeds.extend(crate::ring::frames());
    seeds
}
