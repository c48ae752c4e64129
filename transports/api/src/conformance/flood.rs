//! Rules about slots: under load, in want, and at the end.

use frame::PoolConfig;

use super::{Lab, Log, Node, assert_all_slots_home, logs, pattern, pump, settle};
use crate::{Dest, Event, Queue, Transport};

/// Bursts of the flood.
const FLOOD_BURSTS: usize = 2000;

/// Bursts under way at once: fewer than any implementation's queue or socket buffer holds.
const FLOOD_WINDOW: usize = 4;

/// Thousands of bursts both ways arrive whole and in order, and every slot is accounted for after.
pub fn floods_without_leaks<L: Lab>(lab: &L) {
    let mut nodes = lab.network(2, lab.pool());
    let segment = nodes[0].transport().caps().datagram_bytes.min(1400);
    let (mut sent, mut got) = ([0usize; 2], [0usize; 2]);
    let start = std::time::Instant::now();
    while got != [FLOOD_BURSTS * 8; 2] {
        assert!(start.elapsed() < super::DEADLINE * 4, "stuck at {got:?} of {sent:?}");
        for me in 0..2 {
            let peer = 1 - me;
            if sent[me] < FLOOD_BURSTS && sent[me] < got[peer] / 8 + FLOOD_WINDOW {
                let mut bytes = vec![0; segment * 8];
                for (i, datagram) in bytes.chunks_mut(segment).enumerate() {
                    datagram[..8].copy_from_slice(&(sent[me] * 8 + i).to_le_bytes());
                }
                nodes[me].send(Dest::Peer(peer as u16), Queue::Data, &bytes, segment);
                sent[me] += 1;
            }
            let node = nodes[me].transport();
            node.flush();
            node.poll(8, Queue::Data, &mut |event| {
                let Event::Received { burst, .. } = event else { return };
                for datagram in burst.bytes.chunks(burst.segment_bytes) {
                    let number = datagram[..8].try_into().map(usize::from_le_bytes);
                    assert_eq!(number.ok(), Some(got[me]), "in order, none missing");
                    assert_eq!(datagram.len(), segment);
                    got[me] += 1;
                }
            });
        }
    }
    settle(&mut nodes, &mut logs(2));
    for node in &nodes {
        assert_all_slots_home(&node.pool, "by a flood");
    }
}

/// With no free slot left datagrams wait or are lost, but nothing breaks: once slots come back, what
/// is sent then arrives.
pub fn survives_an_empty_pool<L: Lab>(lab: &L) {
    let poor = PoolConfig { small_count: 6, large_count: 6, ..lab.pool() };
    let mut nodes = lab.open(&[lab.pool(), poor]);
    for round in 0..3 {
        let mut kept = Vec::new();
        for i in 0..20 {
            for queue in [Queue::Data, Queue::Token] {
                nodes[0].send(Dest::Peer(1), queue, &pattern(i, 90), 90);
            }
            nodes[0].drain(&mut Log::default());
            keep(&mut nodes[1], &mut kept);
        }
        // The network may be slower than we are.
        let start = std::time::Instant::now();
        while kept.is_empty() && start.elapsed() < super::DEADLINE {
            keep(&mut nodes[1], &mut kept);
        }
        assert!(!kept.is_empty() && kept.len() <= 12, "{} kept of 12 slots", kept.len());
        drop(kept);
        let mut all = logs(2);
        settle(&mut nodes, &mut all);
        for queue in [Queue::Data, Queue::Token] {
            let mut all = logs(2);
            nodes[0].send(Dest::Peer(1), queue, b"after the famine", 16);
            let came = pump(&mut nodes, &mut all, |l| {
                l[1].datagrams.contains(&(queue, b"after the famine".to_vec()))
            });
            assert!(came, "round {round}, {queue:?}");
        }
    }
    settle(&mut nodes, &mut logs(2));
    assert_all_slots_home(&nodes[1].pool, "by an empty pool");
}

/// Takes what has come and keeps its slots.
fn keep<T: Transport>(node: &mut Node<T>, kept: &mut Vec<frame::FrameMut>) {
    let transport = node.transport();
    transport.flush();
    transport.poll(16, Queue::Data, &mut |event| {
        if let Event::Received { burst, .. } = event {
            kept.push(burst.bytes);
        }
    });
}

/// When a transport is dropped, whatever it was doing, its pool gets every slot back.
pub fn gives_everything_back<L: Lab>(lab: &L) {
    let mut nodes = lab.network(3, lab.pool());
    for i in 0..20 {
        for me in 0..3u16 {
            let bytes = pattern(i, 5000);
            nodes[usize::from(me)].send(Dest::All, Queue::Data, &bytes, 1000);
            nodes[usize::from(me)].send(Dest::Peer((me + 1) % 3), Queue::Token, b"t", 1);
        }
        nodes[0].transport().flush();
    }
    for node in &mut nodes {
        node.transport = None;
        let s = node.pool.stats();
        assert_eq!((s.small_free, s.large_free), (s.small_total, s.large_total), "{s:?}");
    }
}
