//! Rules about single datagrams and bursts.

use super::{Lab, Log, Node, assert_all_slots_home, logs, pattern, pump, settle};
use crate::{Burst, Dest, Event, Queue, SendError, Transport};

/// A unicast arrives at its peer, whole, on its queue, and nowhere else.
pub fn delivers_to_one_peer<L: Lab>(lab: &L) {
    let mut nodes = lab.network(3, lab.pool());
    let mut logs = logs(3);
    for (i, queue) in [Queue::Data, Queue::Token].into_iter().enumerate() {
        for len in [1, 100, 1000] {
            let bytes = pattern(i, len);
            nodes[0].send(Dest::Peer(1), queue, &bytes, len);
            let want = logs[1].datagrams.len() + 1;
            assert!(pump(&mut nodes, &mut logs, |l| l[1].datagrams.len() >= want), "{queue:?}");
            assert_eq!(logs[1].datagrams.last(), Some(&(queue, bytes)));
        }
    }
    settle(&mut nodes, &mut logs);
    assert_eq!(logs[1].datagrams.len(), 6, "no datagram comes twice");
    assert!(logs[0].datagrams.is_empty() && logs[2].datagrams.is_empty());
}

/// The datagrams of a burst keep their sizes and their order, the short last one included.
pub fn keeps_bursts_intact<L: Lab>(lab: &L) {
    let mut nodes = lab.network(2, lab.pool());
    let caps = nodes[0].transport().caps();
    let largest = caps.datagram_bytes;
    for (segment, count, last) in
        [(200, 10, 200), (200, 64.min(caps.burst_segments), 17), (largest, 4, 1), (1, 5, 1)]
    {
        let mut logs = logs(2);
        let bytes = pattern(segment, segment * (count - 1) + last);
        nodes[0].send(Dest::Peer(1), Queue::Data, &bytes, segment);
        assert!(pump(&mut nodes, &mut logs, |l| l[1].datagrams.len() >= count), "{count}");
        let got: Vec<&[u8]> = logs[1].datagrams.iter().map(|(_, d)| &d[..]).collect();
        let sent: Vec<&[u8]> = bytes.chunks(segment).collect();
        assert_eq!(got, sent, "{count} datagrams of {segment}");
    }
}

/// Datagrams come out of the queue they were sent on.
pub fn keeps_queues_apart<L: Lab>(lab: &L) {
    let mut nodes = lab.network(2, lab.pool());
    let mut logs = logs(2);
    for i in 0..20 {
        let queue = if i % 2 == 0 { Queue::Token } else { Queue::Data };
        nodes[0].send(Dest::Peer(1), queue, &pattern(i, 50), 50);
    }
    assert!(pump(&mut nodes, &mut logs, |l| l[1].datagrams.len() >= 20));
    for (queue, start) in [(Queue::Token, 0), (Queue::Data, 1)] {
        let got: Vec<&Vec<u8>> =
            logs[1].datagrams.iter().filter(|(q, _)| *q == queue).map(|(_, d)| d).collect();
        let sent: Vec<Vec<u8>> = (start..20).step_by(2).map(|i| pattern(i, 50)).collect();
        assert_eq!(got, sent.iter().collect::<Vec<_>>(), "{queue:?}");
    }
}

/// When both queues have something, the preferred one is read first.
pub fn prefers_a_queue<L: Lab>(lab: &L) {
    for prefer in [Queue::Token, Queue::Data] {
        let mut nodes = lab.network(2, lab.pool());
        nodes[0].send(Dest::Peer(1), Queue::Token, b"token", 5);
        nodes[0].send(Dest::Peer(1), Queue::Data, b"data", 4);
        nodes[0].transport().flush();
        // Both are there; a wait makes sure that the transport knows.
        std::thread::sleep(super::QUIET);
        nodes[1].transport().wait(Some(0));
        let mut queues = Vec::new();
        while queues.len() < 2 {
            nodes[1].transport().poll(1, prefer, &mut |event| {
                if let Event::Received { queue, .. } = event {
                    queues.push(queue);
                }
            });
        }
        assert_eq!(queues[0], prefer);
    }
}

/// [`Dest::All`] reaches every other node once, on either queue, and not the sender.
pub fn reaches_all_others<L: Lab>(lab: &L) {
    let mut nodes = lab.network(4, lab.pool());
    let mut logs = logs(4);
    let bytes = pattern(3, 300 * 5);
    nodes[2].send(Dest::All, Queue::Data, &bytes, 300);
    nodes[2].send(Dest::All, Queue::Token, b"for each", 8);
    assert!(pump(&mut nodes, &mut logs, |l| {
        [0, 1, 3].iter().all(|i| l[*i].datagrams.len() >= 6)
    }));
    settle(&mut nodes, &mut logs);
    for i in [0, 1, 3] {
        let data = logs[i].datagrams.iter().filter(|(q, _)| *q == Queue::Data);
        let data: Vec<u8> = data.flat_map(|(_, d)| d.clone()).collect();
        assert_eq!(data, bytes);
        let tokens = logs[i].datagrams.iter().filter(|(q, _)| *q == Queue::Token);
        assert_eq!(tokens.map(|(_, d)| &d[..]).collect::<Vec<_>>(), [b"for each"]);
    }
    assert!(logs[2].datagrams.is_empty(), "a node does not hear itself");
}

/// Unicasts to a node that is not there are answered with a hint, on both queues. Answers may be
/// rate limited or lost, so a few are sent, as any protocol would.
pub fn tells_of_absent_peers<L: Lab>(lab: &L) {
    if !L::NOTICES_ABSENCE {
        return;
    }
    for queue in [Queue::Data, Queue::Token] {
        let mut nodes = lab.network(3, lab.pool());
        let mut logs = logs(3);
        nodes[1].transport = None;
        for _ in 0..20 {
            nodes[0].send(Dest::Peer(1), queue, b"anybody there", 13);
            settle(&mut nodes, &mut logs);
            if !logs[0].unreachable.is_empty() {
                break;
            }
        }
        let told = &logs[0].unreachable;
        assert!(!told.is_empty() && told.iter().all(|peer| *peer == 1), "{queue:?}: {told:?}");
    }
}

/// Datagrams to living peers arrive although others, sent between them, go nowhere.
pub fn an_absent_peer_harms_no_other<L: Lab>(lab: &L) {
    let mut nodes = lab.network(3, lab.pool());
    let mut logs = logs(3);
    nodes[1].transport = None;
    for i in 0..50 {
        nodes[0].send(Dest::Peer(1), Queue::Data, b"lost", 4);
        nodes[0].send(Dest::Peer(2), Queue::Data, &pattern(i, 60), 60);
        nodes[0].send(Dest::Peer(1), Queue::Token, b"lost", 4);
        nodes[0].send(Dest::Peer(2), Queue::Token, &pattern(i, 61), 61);
        if i % 5 == 0 {
            let before = logs[2].datagrams.len();
            pump(&mut nodes, &mut logs, |l| l[2].datagrams.len() > before);
        }
    }
    assert!(
        pump(&mut nodes, &mut logs, |l| l[2].datagrams.len() >= 100),
        "{} of 100 arrived",
        logs[2].datagrams.len()
    );
}

/// What breaks a limit is refused with the reason, and its slot comes back.
pub fn refuses_what_is_too_big<L: Lab>(lab: &L) {
    let mut nodes = lab.network(2, lab.pool());
    let caps = nodes[0].transport().caps();
    let segment = caps.burst_bytes / caps.burst_segments / 2;
    let mut cases = vec![
        (Queue::Data, caps.datagram_bytes + 1, caps.datagram_bytes + 1),
        (Queue::Token, caps.token_bytes + 1, caps.token_bytes + 1),
        (Queue::Token, 200, 100),
        (Queue::Data, segment * caps.burst_segments + 1, segment),
    ];
    if caps.burst_bytes < nodes[0].pool.slot_bytes(frame::Class::Large) {
        let datagram = caps.datagram_bytes;
        cases.push((Queue::Data, caps.burst_bytes + 1, datagram));
    }
    for (queue, bytes, segment_bytes) in cases {
        let burst = nodes[0].burst(&pattern(0, bytes), segment_bytes);
        let got = nodes[0].transport().send(Dest::Peer(1), queue, burst);
        assert_eq!(got, Err(SendError::TooBig { bytes, segment_bytes }), "{queue:?}");
    }
    let burst = nodes[0].burst(b"x", 1);
    let got = nodes[0].transport().send(Dest::Peer(9), Queue::Data, burst);
    assert_eq!(got, Err(SendError::NoSuchPeer(9)));
    assert_all_slots_home(&nodes[0].pool, "by refused bursts");
}

/// A full queue refuses, loses nothing it took, and takes more once it was polled.
pub fn refuses_when_full<L: Lab>(lab: &L) {
    let mut nodes = lab.network(2, lab.pool());
    let mut refused = false;
    // Never flushed nor received: either the queue fills up, or the transport flushes by itself.
    for i in 0..100 {
        let burst = nodes[0].burst(&pattern(i, 64), 64);
        match nodes[0].transport().send(Dest::Peer(1), Queue::Data, burst) {
            Ok(()) => {}
            Err(SendError::Full) => refused = true,
            Err(e) => panic!("{e}"),
        }
    }
    let mut logs = logs(2);
    settle(&mut nodes, &mut logs);
    let got = logs[1].datagrams.len();
    assert!(got > 0 && (refused || got == 100), "{got} of 100 arrived, refused: {refused}");
    for (i, (_, datagram)) in logs[1].datagrams.iter().enumerate() {
        assert_eq!(*datagram, pattern(i, 64), "what was taken arrives in order");
    }
    nodes[0].send(Dest::Peer(1), Queue::Data, b"again", 5);
    assert!(pump(&mut nodes, &mut logs, |l| l[1].datagrams.len() > got));
    assert_all_slots_home(&nodes[0].pool, "by a full queue");
}

/// The limits it states are consistent, and datagrams and bursts of just these sizes pass.
pub fn reports_its_limits<L: Lab>(lab: &L) {
    let mut nodes = lab.network(2, lab.pool());
    let caps = nodes[0].transport().caps();
    assert!(caps.token_bytes <= caps.datagram_bytes, "{caps:?}");
    assert!(caps.datagram_bytes <= caps.burst_bytes, "{caps:?}");
    assert!(caps.token_bytes >= 512 && caps.burst_segments >= 1, "{caps:?}");
    let mut logs = logs(2);
    let mut sent = 0;
    let mut send = |nodes: &mut [Node<L::Transport>], queue, bytes, segment| {
        nodes[0].send(Dest::Peer(1), queue, &pattern(bytes, bytes), segment);
        sent += bytes;
        let all = |l: &Log| l.datagrams.iter().map(|(_, d)| d.len()).sum::<usize>();
        assert!(pump(nodes, &mut logs, |l| all(&l[1]) >= sent), "{bytes} in {segment}: {caps:?}");
    };
    send(&mut nodes, Queue::Data, caps.datagram_bytes, caps.datagram_bytes);
    send(&mut nodes, Queue::Token, caps.token_bytes, caps.token_bytes);
    let large = nodes[0].pool.slot_bytes(frame::Class::Large);
    let burst = caps.burst_bytes.min(caps.burst_segments * caps.datagram_bytes).min(large);
    send(&mut nodes, Queue::Data, burst, caps.datagram_bytes);
    send(&mut nodes, Queue::Data, caps.burst_segments * 8, 8);
}

/// A poll returns at most as many events as it was asked for, and the rest stays.
pub fn budget_is_kept<L: Lab>(lab: &L) {
    let mut nodes = lab.network(2, lab.pool());
    for i in 0..8 {
        nodes[0].send(Dest::Peer(1), Queue::Token, &pattern(i, 40), 40);
    }
    nodes[0].transport().flush();
    let mut log = Log::default();
    let start = std::time::Instant::now();
    while log.datagrams.len() < 8 && start.elapsed() < super::DEADLINE {
        let before = log.datagrams.len();
        let said = nodes[1].transport().poll(1, Queue::Token, &mut |event| log.take(event));
        assert_eq!(log.datagrams.len() - before, said);
        assert!(said <= 1);
    }
    assert_eq!(log.datagrams.len(), 8);
}

/// Its counters have distinct names, and sending makes some of them grow.
pub fn counts_what_it_does<L: Lab>(lab: &L) {
    let mut nodes = lab.network(2, lab.pool());
    let read = |node: &mut Node<L::Transport>| {
        let mut all = Vec::new();
        node.transport().counters(&mut |name, value| all.push((name, value)));
        all
    };
    let before = read(&mut nodes[0]);
    let mut names: Vec<_> = before.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), before.len(), "names are distinct");
    let mut logs = logs(2);
    let burst = Burst { bytes: super::filled(&nodes[0].pool, b"counted"), segment_bytes: 7 };
    nodes[0].transport().send(Dest::Peer(1), Queue::Data, burst).expect("room");
    assert!(pump(&mut nodes, &mut logs, |l| !l[1].datagrams.is_empty()));
    assert_ne!(read(&mut nodes[0]), before);
}
