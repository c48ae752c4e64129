//! What the protocol itself costs per frame: machines that share one pool hand each other frames
//! without a copy. `cargo bench -p synchrotron-totem`.

extern crate synchrotron_totem as totem;

use std::time::Instant;

use frame::{Class, FrameMut, Pool, PoolConfig};
use totem::{Config, Dest, Output, Payload, Source, TokenTimeout, Totem, Tuning};
use wire::NodeId;
use wire::data::DATA_HEADER_BYTES;

const FRAME_BYTES: usize = 1400;

/// Endless frames, cut from large slots as a client's burst would be.
struct Endless {
    pool: Pool,
    burst: Option<FrameMut>,
    on: bool,
}

impl Source for Endless {
    fn backlog_bytes(&self) -> u64 {
        if self.on { 1 << 20 } else { 0 }
    }

    fn next(&mut self, _room: usize) -> Option<Payload> {
        if !self.on {
            return None;
        }
        if self.burst.as_ref().is_none_or(|burst| burst.len() < FRAME_BYTES) {
            self.burst = Some(self.pool.alloc(Class::Large)?);
        }
        let frame = self.burst.as_mut()?.split_to(FRAME_BYTES);
        Some(Payload { frame, safe: false })
    }
}

fn run(nodes: u32, senders: u32, frames: u64) {
    let pool = Pool::heap(PoolConfig { large_count: 2048, ..PoolConfig::default() });
    let ids: Vec<NodeId> = (1..=nodes).map(NodeId).collect();
    let mut now = 0;
    let mut machines: Vec<(Totem, Endless)> = ids
        .iter()
        .map(|me| {
            let config = Config {
                me: *me,
                nodes: ids.clone(),
                payload_bytes_max: FRAME_BYTES - DATA_HEADER_BYTES,
                token_timeout: TokenTimeout::Fixed { us: 1_000_000 },
                config_version: 1,
                config_hash: 1,
                ring_seq_stored: 0,
                seed: 1,
                tuning: Tuning::default(),
            };
            let source = Endless { pool: pool.clone(), burst: None, on: false };
            (Totem::new(config, pool.clone(), now), source)
        })
        .collect();
    let mut delivered = vec![0_u64; machines.len()];
    let mut started = None;
    let mut wire = std::collections::VecDeque::new();
    while delivered.iter().any(|count| *count < frames) {
        now += 10_000;
        for (machine, source) in &mut machines {
            if machine.next_timeout().is_some_and(|(at, _)| at <= now) {
                machine.timeout(now, source);
            }
        }
        for index in 0..machines.len() {
            while let Some(output) = machines[index].0.poll_output() {
                match output {
                    Output::Send { to, frame, .. } => wire.push_back((index, to, frame)),
                    Output::Deliver(_) => delivered[index] += 1,
                    Output::Persist { ring_seq } => machines[index].0.persisted(now, ring_seq),
                    _ => {}
                }
            }
        }
        while let Some((from, to, frame)) = wire.pop_front() {
            for (index, id) in ids.iter().enumerate() {
                let addressed = to == Dest::All && index != from || to == Dest::Node(*id);
                if addressed {
                    let (machine, source) = &mut machines[index];
                    machine.receive(now, ids[from], frame.clone(), source);
                }
            }
        }
        let formed = machines.iter().all(|(m, _)| m.status().members.len() == ids.len());
        if formed && started.is_none() {
            started = Some(Instant::now());
            for (_, source) in machines.iter_mut().take(senders as usize) {
                source.on = true;
            }
            for (machine, source) in &mut machines {
                machine.wake(now, source);
            }
        }
    }
    let spent = started.expect("the ring was formed").elapsed().as_nanos() as f64;
    let total: u64 = delivered.iter().sum();
    let visits: u64 = machines.iter().map(|(m, _)| m.counters().token_visits).sum();
    println!(
        "{nodes} nodes, {senders} senders: {:.1} ns per frame and node, {:.1} frames per visit",
        spent / total as f64,
        delivered[0] as f64 / visits as f64
    );
}

fn main() {
    for (nodes, senders) in [(1, 1), (2, 1), (2, 2), (8, 1), (8, 8), (32, 1), (32, 32)] {
        run(nodes, senders, 2_000_000 / u64::from(nodes));
    }
}
