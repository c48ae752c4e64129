//! Boots: a new one is believed within a round trip, an old one never.

mod common;

use common::*;
use link::{DropReason, Link, Output, Timer};
use synchrotron_link as link;
use wire::NodeId;
use wire::trace::Code;

#[test]
fn a_first_frame_is_handed_up_one_round_trip_later() {
    let pool = pool();
    for security in all_securities() {
        let (mut a, mut b) = (node(1, 1, security.clone()), node(2, 1, security));
        assert!(drain(&mut a).sends.is_empty() && a.next_timeout().is_none(), "nobody to ask yet");
        let hello = seal(&mut a, b"hello");
        assert_eq!(open(&mut b, 0, &pool, &hello), None);
        let ask = drain(&mut b).sends;
        assert_eq!((ask.len(), ask[0].0), (1, NodeId(1)));
        assert_eq!(open(&mut a, MS, &pool, &ask[0].1), None);
        let answer = drain(&mut a).sends;
        assert_eq!((answer.len(), answer[0].0), (1, NodeId(2)), "answer and question in one");
        assert_eq!(open(&mut b, 2 * MS, &pool, &answer[0].1), Some((1, b"hello".to_vec())));
        assert!(boot_of(&b, 1).is_some() && boot_of(&a, 2).is_none());
        let drained = drain(&mut b);
        assert_eq!(drained.traces.iter().filter(|trace| trace.code == Code::PeerBoot).count(), 1);
        assert_eq!(open(&mut a, 3 * MS, &pool, &drained.sends[0].1), None);
        assert!(boot_of(&a, 2).is_some());
        assert!(drain(&mut a).sends.is_empty() && a.next_timeout().is_none());
        assert!(b.next_timeout().is_none());
        let again = seal(&mut a, b"again");
        assert_eq!(open(&mut b, 4 * MS, &pool, &again), Some((1, b"again".to_vec())));
        assert_eq!(open(&mut b, 4 * MS, &pool, &hello), None, "what was held counts as seen");
        assert_eq!(b.counters().drops.get(DropReason::Replay), 1);
        assert_eq!(pool.stats().small_free, pool.stats().small_total);
    }
}

#[test]
fn a_restart_is_accepted_and_the_old_boot_dies() {
    let pool = pool();
    for security in all_securities() {
        let (mut old, mut b) = pair(&pool, &security);
        let recorded: Vec<_> = (0..50).map(|_| seal(&mut old, b"old frame")).collect();
        assert!(open(&mut b, MS, &pool, &recorded[0]).is_some());
        let old_boot = boot_of(&b, 1);

        let mut new = node(1, 2, security);
        let hello = seal(&mut new, b"hello again");
        assert_eq!(open(&mut b, 20 * MS, &pool, &hello), None);
        // Until the new boot has proved itself the old one is as good as ever.
        assert!(open(&mut b, 20 * MS, &pool, &recorded[1]).is_some());
        let up = settle(20 * MS, &pool, &mut new, &mut b);
        assert_eq!(up, [(1, b"hello again".to_vec())]);
        assert_ne!(boot_of(&b, 1), old_boot);
        for bytes in &recorded {
            assert_eq!(open(&mut b, SECOND, &pool, bytes), None);
        }
        assert_eq!(b.counters().drops.get(DropReason::OldBoot), 50);
        assert!(drain(&mut b).sends.is_empty(), "stragglers of the last boot are not asked about");
    }
}

#[test]
fn frames_of_earlier_boots_change_nothing_whoever_repeats_them() {
    let pool = pool();
    let (mut first, mut b) = pair(&pool, &sealed());
    let ancient: Vec<_> = (0..1000).map(|_| seal(&mut first, b"ancient")).collect();
    let mut living = first;
    for boot in 2..4 {
        living = node(1, boot, sealed());
        let hello = seal(&mut living, b"hello");
        open(&mut b, u64::from(boot) * SECOND, &pool, &hello);
        settle(u64::from(boot) * SECOND, &pool, &mut living, &mut b);
    }
    let boot = boot_of(&b, 1);
    // 1000 replays within 100 ms: asked about every 10 ms, and the living node's answer stands.
    let mut asked = 0;
    for (at, bytes) in ancient.iter().enumerate() {
        let now_ns = 5 * SECOND + at as u64 * MS / 10;
        assert_eq!(open(&mut b, now_ns, &pool, bytes), None);
        for (_, ask) in drain(&mut b).sends {
            asked += 1;
            assert_eq!(open(&mut living, now_ns, &pool, &ask), None);
            for (_, answer) in drain(&mut living).sends {
                assert_eq!(open(&mut b, now_ns, &pool, &answer), None);
            }
        }
        assert_eq!(boot_of(&b, 1), boot);
        let news = seal(&mut living, b"news");
        assert!(
            open(&mut b, now_ns, &pool, &news).is_some(),
            "the living node is heard throughout"
        );
    }
    assert_eq!(b.counters().boots, 3);
    assert!((10..=1000).contains(&asked), "asked {asked} times");
    assert_eq!(pool.stats().small_free, pool.stats().small_total, "nothing is kept for ever");
}

#[test]
fn an_answer_is_good_for_one_question_of_one_boot() {
    let pool = pool();
    let (mut a, mut b) = (node(1, 1, sealed()), node(2, 1, sealed()));
    let hello = seal(&mut a, b"hello");
    open(&mut b, 0, &pool, &hello);
    let ask = drain(&mut b).sends.remove(0).1;
    open(&mut a, 0, &pool, &ask);
    let answer = drain(&mut a).sends.remove(0).1;

    // Another boot of the asking node, which has a question of its own open.
    let mut b2 = node(2, 2, sealed());
    open(&mut b2, 0, &pool, &hello);
    assert_eq!(open(&mut b2, 0, &pool, &answer), None);
    assert_eq!((boot_of(&b2, 1), b2.counters().drops.get(DropReason::BadHandshake)), (None, 1));
    // A third node: not even its name fits.
    let mut c = node(3, 1, sealed());
    open(&mut c, 0, &pool, &hello);
    assert_eq!(open(&mut c, 0, &pool, &answer), None);
    assert_eq!(boot_of(&c, 1), None);
    // The asking boot, too late: the nonce has run out.
    let mut late = node(2, 1, sealed());
    open(&mut late, 0, &pool, &hello);
    assert_eq!(open(&mut late, 2 * SECOND, &pool, &answer), None);
    assert_eq!(boot_of(&late, 1), None);
    // In time, and then once more.
    assert!(open(&mut b, 1900 * MS, &pool, &answer).is_some());
    assert_eq!(open(&mut b, 1900 * MS, &pool, &answer), None);
    assert_eq!(b.counters().drops.get(DropReason::Replay), 1);
}

/// Runs `at`'s timer as often as it asks for and returns when it sent something.
fn silence(at: &mut Link) -> Vec<u64> {
    let mut sent_ns = Vec::new();
    while let Some((due_ns, timer)) = at.next_timeout() {
        assert_eq!(timer, Timer::AskAgain);
        at.timeout(due_ns);
        sent_ns.extend(drain(at).sends.iter().map(|_| due_ns));
        assert!(sent_ns.len() < 100, "asks for ever");
    }
    sent_ns
}

#[test]
fn a_lost_question_is_asked_again_and_given_up() {
    let pool = pool();
    let (mut a, mut b) = (node(1, 1, sealed()), node(2, 1, sealed()));
    let hello = seal(&mut a, b"hello");
    open(&mut b, 0, &pool, &hello);
    assert_eq!(drain(&mut b).sends.len(), 1);
    assert_eq!(pool.stats().small_free, pool.stats().small_total - 1, "the frame is kept");
    assert_eq!(silence(&mut b), [10, 30, 70, 150, 310].map(|ms| ms * MS));
    assert_eq!(pool.stats().small_free, pool.stats().small_total, "and then let go");
    // The next frame asks anew, and the timer's question is answered like any other.
    let later = seal(&mut a, b"later");
    open(&mut b, SECOND, &pool, &later);
    drain(&mut b);
    let (due_ns, _) = b.next_timeout().unwrap();
    b.timeout(due_ns);
    assert_eq!(settle(due_ns, &pool, &mut a, &mut b), [(1, b"later".to_vec())]);
    assert!(boot_of(&a, 2).is_some() && b.next_timeout().is_none());
}

#[test]
fn who_has_no_key_is_never_answered() {
    let pool = pool();
    let mut b = node(2, 1, sealed());
    for boot in 0..200 {
        let mut forger = node(1, boot, gcm(OTHER_KEY, 0, link::Provider::AesGcm));
        let frame = seal(&mut forger, b"hello");
        let mut handshake = frame.clone();
        handshake[5] = 1;
        handshake[10] = 56;
        handshake.resize(48 + 56 + 16, 7);
        for bytes in [frame, handshake] {
            assert_eq!(open(&mut b, u64::from(boot) * SECOND, &pool, &bytes), None);
            assert!(drain(&mut b).sends.is_empty());
        }
    }
    assert_eq!(b.counters().drops.get(DropReason::BadTag), 400);
    assert_eq!(pool.stats().small_free, pool.stats().small_total);
    assert!(b.next_timeout().is_none());
}

#[test]
fn recorded_questions_are_answered_at_a_bounded_rate() {
    let pool = pool();
    let (mut old, mut b) = (node(1, 1, sealed()), node(2, 1, sealed()));
    // Questions that boot 1 of node 1 asked long ago.
    let mut recorded = Vec::new();
    for ms in 0..2000 {
        let frame = seal(&mut b, b"frame");
        open(&mut old, ms * 10 * MS, &pool, &frame);
        recorded.extend(drain(&mut old).sends.into_iter().map(|(_, bytes)| bytes));
    }
    assert!(recorded.len() >= 1000);
    let mut sent = 0;
    for (at, bytes) in recorded.iter().cycle().take(100_000).enumerate() {
        // 100 ms of them, at a million a second.
        open(&mut b, 30 * SECOND + at as u64 * 1000, &pool, bytes);
        sent += drain(&mut b).sends.len();
    }
    assert!((100..=127).contains(&sent), "{sent} answers and questions");
    assert!(b.counters().answers_withheld > 90_000);
    assert_eq!(boot_of(&b, 1), None);
}

/// Two nodes and a network that loses, repeats and reorders.
struct Rough {
    nodes: [Link; 2],
    /// How often each of them was started.
    boots: [u8; 2],
    flying: Vec<(u64, usize, Vec<u8>)>,
    random: u64,
}

impl Rough {
    fn next(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) % below
    }

    /// Sends to node `to`: a third is lost, a fifth comes twice, all of it takes 0 to 30 ms.
    fn send(&mut self, now_ns: u64, to: usize, bytes: &[u8]) {
        let copies = match self.next(15) {
            0..5 => 0,
            5..8 => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let at_ns = now_ns + self.next(30 * MS);
            self.flying.push((at_ns, to, bytes.to_vec()));
        }
    }

    fn step(&mut self, now_ns: u64, pool: &frame::Pool) -> Vec<(usize, Vec<u8>)> {
        let mut up = Vec::new();
        self.flying.sort();
        let later = self.flying.partition_point(|(at_ns, ..)| *at_ns <= now_ns);
        for (_, to, bytes) in self.flying.drain(..later).collect::<Vec<_>>() {
            up.extend(open(&mut self.nodes[to], now_ns, pool, &bytes).map(|(_, body)| (to, body)));
        }
        for from in 0..2 {
            self.nodes[from].timeout(now_ns);
            while let Some(output) = self.nodes[from].poll_output() {
                if let Output::Send { datagram, .. } = output {
                    self.send(now_ns, 1 - from, &datagram);
                }
            }
        }
        up
    }
}

#[test]
fn boots_are_learnt_over_a_rough_network_and_nothing_comes_twice() {
    let pool = pool();
    for seed in 0..60 {
        let nodes = [node(1, 1, sealed()), node(2, 1, sealed())];
        let mut world = Rough { nodes, boots: [1; 2], flying: Vec::new(), random: seed };
        let mut seen = std::collections::BTreeSet::new();
        let mut heard = [0; 2];
        for ms in 0..6000_u64 {
            if ms % 1000 == 999 && ms < 4000 {
                // A restart, while its old frames are still on their way.
                let who = world.next(2) as usize;
                world.boots[who] += 1;
                world.nodes[who] = node(who as u32 + 1, world.boots[who], sealed());
            }
            if ms % 20 == 0 {
                for from in 0..2 {
                    let body = format!("{from} at {ms} ms");
                    let bytes = seal(&mut world.nodes[from], body.as_bytes());
                    world.send(ms * MS, 1 - from, &bytes);
                }
            }
            for (to, body) in world.step(ms * MS, &pool) {
                // A restarted node knows nothing of what it was sent before.
                assert!(seen.insert((to, world.boots[to], body)), "seed {seed}: twice");
                heard[to] += usize::from(ms > 5000);
            }
        }
        for (at, heard) in heard.into_iter().enumerate() {
            let counters = world.nodes[at].counters();
            assert!(
                boot_of(&world.nodes[at], 2 - at as u32).is_some(),
                "seed {seed}: {counters:?}"
            );
            assert!(heard >= 20, "seed {seed}: {heard} frames in the last second, {counters:?}");
        }
    }
}
