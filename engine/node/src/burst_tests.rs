//! Bursts: equal segments, cut where the rules say.

use alloc::vec;
use alloc::vec::Vec;

use frame::PoolConfig;
use link::{Config, Opened, Security};
use wire::{BootId, NodeId};

use super::*;

const OVERHEAD: usize = 52;

struct Bench {
    pool: Pool,
    link: Link,
    packer: Packer,
    out: VecDeque<Output>,
    counters: NodeCounters,
}

fn link_of(me: u32) -> Link {
    let boot = BootId([me as u8; 16]);
    Link::new(Config {
        me: NodeId(me),
        peers: vec![NodeId(1), NodeId(2)],
        cluster_name: "test",
        security: Security::Off,
        boot,
        seed: 1,
    })
}

impl Bench {
    fn new(large_count: u32) -> Self {
        let pool = Pool::heap(PoolConfig {
            small_bytes: 1536,
            small_count: 64,
            large_bytes: 16384,
            large_count,
        });
        let link = link_of(1);
        assert_eq!(link.overhead_bytes(), OVERHEAD);
        let packer = Packer::new(pool.clone(), 8, 65000, OVERHEAD);
        let (out, counters) = (VecDeque::new(), NodeCounters::default());
        Self { pool, link, packer, out, counters }
    }

    fn push(&mut self, to: Dest, lane: Lane, len: usize, fill: u8) {
        let mut frame = self.pool.alloc(Class::Small).expect("a free slot");
        frame.truncate(len);
        frame.fill(fill);
        let Self { link, packer, out, counters, .. } = self;
        packer.push((to, 1), lane, frame.freeze(), link, out, counters);
    }

    /// Destination, lane, segment size and datagram lengths of each burst.
    fn bursts(&mut self) -> Vec<(Dest, Lane, usize, usize)> {
        let Self { link, packer, out, counters, .. } = self;
        packer.flush(link, out, counters);
        let burst = |output: &Output| match output {
            Output::Send { to, lane, bytes, segment_bytes, .. } => {
                (*to, *lane, *segment_bytes, bytes.len())
            }
            other => panic!("{other:?}"),
        };
        self.out.iter().map(burst).collect()
    }

    /// What a receiver gets out of the bursts, in order.
    fn received(&mut self) -> Vec<Vec<u8>> {
        let mut receiver = link_of(2);
        let mut frames = Vec::new();
        for output in &self.out {
            let Output::Send { bytes, segment_bytes, .. } = output else { continue };
            for datagram in bytes.chunks(*segment_bytes) {
                let mut slot = self.pool.alloc(Class::Small).expect("a free slot");
                slot.truncate(datagram.len());
                slot.copy_from_slice(datagram);
                if let Some(Opened { body, .. }) = receiver.open(0, slot) {
                    frames.push(body.to_vec());
                }
                answer_questions(&mut receiver, &mut self.link, &self.pool, &mut frames);
            }
        }
        frames
    }
}

/// Lets the sender prove its boot to the receiver; a frame that was held meanwhile comes out.
fn answer_questions(receiver: &mut Link, sender: &mut Link, pool: &Pool, out: &mut Vec<Vec<u8>>) {
    let copied = |bytes: &[u8]| {
        let mut slot = pool.alloc(Class::Small).expect("a free slot");
        slot.truncate(bytes.len());
        slot.copy_from_slice(bytes);
        slot
    };
    for _ in 0..4 {
        while let Some(output) = receiver.poll_output() {
            if let link::Output::Send { datagram, .. } = output {
                assert!(sender.open(0, copied(&datagram)).is_none());
            }
        }
        while let Some(output) = sender.poll_output() {
            if let link::Output::Send { datagram, .. } = output
                && let Some(opened) = receiver.open(0, copied(&datagram))
            {
                out.push(opened.body.to_vec());
            }
        }
    }
}

#[test]
fn frames_for_all_leave_as_one_burst_of_equal_segments() {
    let mut bench = Bench::new(4);
    let lens = [1000, 700, 1000, 900];
    for (fill, len) in lens.into_iter().enumerate() {
        bench.push(Dest::All, Lane::Data, len, fill as u8 + 1);
    }
    let segment = 1000 + OVERHEAD;
    assert_eq!(bench.bursts(), [(Dest::All, Lane::Data, segment, 3 * segment + 900 + OVERHEAD)]);
    let frames = bench.received();
    let expected: Vec<Vec<u8>> =
        lens.iter().enumerate().map(|(fill, len)| vec![fill as u8 + 1; *len]).collect();
    assert_eq!(frames, expected);
    assert_eq!(bench.counters.padding_bytes_sent, 300);
    assert_eq!(bench.counters.datagrams_sent, 4);
}

#[test]
fn a_token_leaves_alone_and_overtakes_nothing() {
    let mut bench = Bench::new(4);
    let to = Dest::Node(NodeId(2));
    bench.push(Dest::All, Lane::Data, 500, 1);
    bench.push(Dest::All, Lane::Data, 500, 2);
    bench.push(to, Lane::Token, 100, 3);
    bench.push(Dest::All, Lane::Data, 500, 4);
    let one = 500 + OVERHEAD;
    let expected = [
        (Dest::All, Lane::Data, one, 2 * one),
        (to, Lane::Token, 100 + OVERHEAD, 100 + OVERHEAD),
        (Dest::All, Lane::Data, one, one),
    ];
    assert_eq!(bench.bursts(), expected);
}

#[test]
fn bursts_are_cut_by_destination_count_bytes_and_padding() {
    let lens = |bench: &mut Bench| -> Vec<usize> {
        bench.bursts().iter().map(|(_, _, segment, len)| len.div_ceil(*segment)).collect()
    };
    let mut bench = Bench::new(4);
    bench.push(Dest::All, Lane::Data, 100, 1);
    bench.push(Dest::Node(NodeId(2)), Lane::Data, 100, 1);
    bench.push(Dest::Node(NodeId(2)), Lane::Data, 100, 1);
    assert_eq!(lens(&mut bench), [1, 2], "another destination");
    let mut bench = Bench::new(4);
    (0..20).for_each(|_| bench.push(Dest::All, Lane::Data, 100, 1));
    assert_eq!(lens(&mut bench), [8, 8, 4], "at most 8 segments");
    let mut bench = Bench::new(4);
    bench.packer = Packer::new(bench.pool.clone(), 64, 65000, OVERHEAD);
    (0..12).for_each(|_| bench.push(Dest::All, Lane::Data, 1480, 1));
    assert_eq!(lens(&mut bench), [10, 2], "16384 bytes hold 10 segments of 1532");
    let mut bench = Bench::new(4);
    (0..4).for_each(|_| bench.push(Dest::All, Lane::Data, 100, 1));
    bench.push(Dest::All, Lane::Data, 1400, 1);
    assert_eq!(lens(&mut bench), [4, 1], "more than half would be padding");
}

#[test]
fn without_a_slot_frames_are_lost_and_counted() {
    let mut bench = Bench::new(0);
    (0..4).for_each(|_| bench.push(Dest::All, Lane::Data, 1000, 1));
    assert_eq!(bench.bursts(), []);
    assert_eq!(bench.counters.frames_unsent, 4);
    assert_eq!(bench.pool.free(Class::Small), 64, "nothing is kept");
}
