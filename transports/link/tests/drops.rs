//! Whatever is not a fresh datagram of a peer that holds the key is counted and dropped, and changes
//! nothing else.

mod common;

use common::*;
use link::{DropReason, Link, Provider, Security};
use synchrotron_link as link;
use wire::NodeId;
use wire::trace::Code;

/// Offers bytes to `b` and checks that they are dropped for this reason and cause nothing at all.
#[track_caller]
fn refused(b: &mut Link, bytes: &[u8], reason: DropReason) {
    let before = *b.counters();
    let boots: Vec<_> = b.peers().map(|peer| (peer.boot, peer.heard_ns)).collect();
    assert_eq!(open(b, 5 * MS, &pool(), bytes), None);
    let after = *b.counters();
    assert_eq!(after.drops.get(reason), before.drops.get(reason) + 1, "{:?}", after.drops);
    assert_eq!(after.drops.total(), before.drops.total() + 1);
    assert_eq!(b.peers().map(|peer| (peer.boot, peer.heard_ns)).collect::<Vec<_>>(), boots);
    assert!(drain(b).sends.is_empty(), "{reason:?} was answered");
}

#[test]
fn a_frame_arrives_once_and_as_it_was_sent() {
    let pool = pool();
    for security in all_securities() {
        let (mut a, mut b) = pair(&pool, &security);
        for len in [1, 2, 63, 64, 1400] {
            let body: Vec<u8> = (0..len).map(|at| at as u8).collect();
            let bytes = seal(&mut a, &body);
            assert_eq!(open(&mut b, 0, &pool, &bytes), Some((1, body)));
            refused(&mut b, &bytes, DropReason::Replay);
        }
        let bytes = seal(&mut a, b"plain to see?");
        let visible = bytes.windows(5).any(|window| window == b"plain");
        assert_eq!(visible, matches!(security, Security::Off));
    }
}

#[test]
fn padding_of_zeros_is_allowed_and_nothing_else() {
    let pool = pool();
    for security in all_securities() {
        let (mut a, mut b) = pair(&pool, &security);
        let mut bytes = seal(&mut a, b"short");
        bytes.resize(1400, 0);
        bytes[1399] = 1;
        refused(&mut b, &bytes, DropReason::BadLength);
        bytes[1399] = 0;
        assert_eq!(open(&mut b, 0, &pool, &bytes), Some((1, b"short".to_vec())));
    }
}

#[test]
fn a_datagram_cut_at_any_length_is_dropped() {
    let pool = pool();
    for security in all_securities() {
        let (mut a, mut b) = pair(&pool, &security);
        let bytes = seal(&mut a, b"a frame of some length");
        for len in 0..bytes.len() {
            refused(&mut b, &bytes[..len], DropReason::Truncated);
        }
        assert!(open(&mut b, 0, &pool, &bytes).is_some(), "the whole of it is still good");
    }
}

#[test]
fn a_datagram_with_any_bit_flipped_is_dropped() {
    let pool = pool();
    for security in all_securities() {
        let (mut a, mut b) = pair(&pool, &security);
        let bytes = seal(&mut a, b"a frame of some length");
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let drops = b.counters().drops.total();
            assert_eq!(open(&mut b, bit as u64 * SECOND, &pool, &changed), None, "bit {bit}");
            assert_eq!(b.counters().drops.total(), drops + 1, "bit {bit}");
            let drained = drain(&mut b);
            assert!(drained.sends.is_empty(), "bit {bit} was answered");
        }
        assert!(open(&mut b, 0, &pool, &bytes).is_some(), "the true one is still good");
    }
}

#[test]
fn strangers_are_told_apart() {
    let pool = pool();
    let (mut a, mut b) = pair(&pool, &sealed());
    let hello = |link: &mut Link| seal(link, b"hello");

    let mut other_key = node(1, 9, gcm(OTHER_KEY, 0, Provider::AesGcm));
    refused(&mut b, &hello(&mut other_key), DropReason::BadTag);
    let mut other_epoch = node(1, 9, gcm(KEY, 1, Provider::AesGcm));
    refused(&mut b, &hello(&mut other_epoch), DropReason::UnknownEpoch);
    let mut other_cluster = node_of("tset", 1, 9, sealed());
    refused(&mut b, &hello(&mut other_cluster), DropReason::WrongCluster);
    let mut open_node = node(1, 9, Security::Off);
    refused(&mut b, &hello(&mut open_node), DropReason::WrongSecurity);
    let mut unlisted = node(4, 9, sealed());
    refused(&mut b, &hello(&mut unlisted), DropReason::UnknownSender);
    let mut same_id = node(2, 9, sealed());
    refused(&mut b, &hello(&mut same_id), DropReason::SameNodeId);
    let own = hello(&mut b);
    refused(&mut b, &own, DropReason::OwnFrame);

    let bytes = hello(&mut a);
    for (at, value, reason) in [
        (0, b'X', DropReason::BadMagic),
        (4, 2, DropReason::WrongVersion),
        (5, 9, DropReason::BadField),
        (6, 0x81, DropReason::BadField),
        (9, 1, DropReason::BadField),
    ] {
        let mut changed = bytes.clone();
        changed[at] = value;
        refused(&mut b, &changed, reason);
    }
    let mut empty = bytes.clone();
    empty[10..12].copy_from_slice(&[0, 0]);
    refused(&mut b, &empty, DropReason::BadLength);
    assert_eq!(open(&mut b, 0, &pool, &bytes), Some((1, b"hello".to_vec())));
}

#[test]
fn drops_are_kept_by_peer_and_reported_once_a_second() {
    let pool = pool();
    let (_, mut b) = pair(&pool, &sealed());
    drain(&mut b);
    let mut stranger = node(1, 9, gcm(OTHER_KEY, 0, Provider::AesGcm));
    let mut reports = Vec::new();
    for ms in 0..2500 {
        let bytes = seal(&mut stranger, b"let me in");
        assert_eq!(open(&mut b, ms * MS, &pool, &bytes), None);
        reports.extend(drain(&mut b).traces);
    }
    let args: Vec<_> = reports.iter().map(|trace| (trace.code, trace.args)).collect();
    let bad_tag = DropReason::BadTag as u64;
    let report = |count| (Code::LinkDrop, [bad_tag, count, 1, 0]);
    assert_eq!(args, [report(1), report(1000), report(1000)]);
    let counted = |node| {
        let peer = b.peers().find(|peer| peer.node == NodeId(node)).unwrap();
        peer.drops.get(DropReason::BadTag)
    };
    assert_eq!((counted(1), counted(3)), (2500, 0));
    let by_name = b.counters().fields().find(|(name, _)| *name == "drop_bad_tag");
    assert_eq!(by_name, Some(("drop_bad_tag", 2500)));
}

#[test]
fn garbage_is_only_counted() {
    let pool = pool();
    for security in all_securities() {
        let (mut a, mut b) = pair(&pool, &security);
        let template = seal(&mut a, &[0x5a; 200]);
        let (boots, mut random) = (boot_of(&b, 1), 1_u64);
        let mut next = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        };
        const ROUNDS: u64 = 20_000;
        let free = pool.stats();
        for round in 0..ROUNDS {
            // Pure noise, or a true datagram with some bytes overwritten and cut somewhere.
            let mut bytes = template.clone();
            if round % 2 == 0 {
                bytes.iter_mut().for_each(|byte| *byte = next() as u8);
            }
            for _ in 0..=next() % 8 {
                let at = next() as usize % bytes.len();
                bytes[at] = bytes[at].wrapping_add(1 + (next() % 255) as u8);
            }
            bytes.truncate(next() as usize % 300);
            let before = b.counters().drops.total();
            if bytes == template {
                continue;
            }
            assert_eq!(open(&mut b, round * MS, &pool, &bytes), None);
            assert_eq!(b.counters().drops.total(), before + 1);
            assert!(drain(&mut b).sends.is_empty());
        }
        assert_eq!((boot_of(&b, 1), pool.stats()), (boots, free));
        assert!(open(&mut b, 0, &pool, &template).is_some());
    }
}

#[test]
fn what_cannot_be_sealed_is_counted() {
    let mut a = node(1, 1, sealed());
    let mut out = vec![0; 70_000];
    let body = vec![0; 65_536];
    assert_eq!(a.seal(&[], &mut out), None);
    assert_eq!(a.seal(&body, &mut out), None);
    assert_eq!(a.seal(&body[..100], &mut out[..100 + a.overhead_bytes() - 1]), None);
    assert_eq!(a.counters().seal_failures, 3);
    assert_eq!(a.seal(&body[..65_535], &mut out), Some(65_535 + a.overhead_bytes()));
    assert_eq!((a.counters().sealed, a.counters().sealed_bytes), (1, 65_535));
}
