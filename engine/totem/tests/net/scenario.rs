//! Random faults, then healing, then checks.

use super::check::check;
use super::{MS, Net};

fn one_fault(net: &mut Net) {
    let ids = net.ids.clone();
    let victim = ids[net.random(ids.len() as u64) as usize];
    let running = net.nodes.contains_key(&victim);
    match net.random(12) {
        0 | 1 if running => net.crash(victim),
        0..=2 if !running => net.start(victim),
        3 => {
            let cut: Vec<bool> = ids.iter().map(|_| net.random(2) == 0).collect();
            let side = |left: bool| -> Vec<u32> {
                ids.iter().zip(&cut).filter(|(_, c)| **c == left).map(|(id, _)| *id).collect()
            };
            net.split(&side(true), &side(false));
        }
        4 => {
            let other = ids[net.random(ids.len() as u64) as usize];
            net.cut.insert((victim, other));
        }
        5 | 6 => net.heal(),
        7 => net.loss_per_mille = net.random(100),
        8 => net.loss_per_mille = 0,
        9 if running => {
            let pause = net.random(300) * MS;
            net.pause(victim, pause);
        }
        10 if running => net.leave(victim),
        11 => net.jitter_ns = 1 + net.random(200_000),
        _ => {}
    }
}

/// Runs one seed; gives what was wrong.
pub fn run(seed: u64) -> Result<(), String> {
    scenario(seed).1
}

/// Runs one seed: the network as it is at the end, and what was wrong.
pub fn scenario(seed: u64) -> (Net, Result<(), String>) {
    let mut net = prepared(seed);
    let result = drive(&mut net);
    (net, result)
}

pub fn prepared(seed: u64) -> Net {
    let mut net = Net::new(1 + (seed % 9) as u32, seed);
    net.answer_unreachable = seed.is_multiple_of(2);
    net.duplicate_per_mille = if seed.is_multiple_of(3) { 20 } else { 0 };
    if seed.is_multiple_of(5) {
        net.tuning.window_frames = 64;
        net.tuning.personal_window_bytes_max = 16 << 10;
        net.tuning.global_window_bytes = 32 << 10;
    }
    if seed.is_multiple_of(4) {
        net.slots = 400;
    }
    if seed.is_multiple_of(7) {
        net.persist_ns = 80 * MS;
    }
    if seed.is_multiple_of(11) {
        net.timeout = totem::TokenTimeout::Fixed { us: 15_000 };
    }
    net
}

/// Faults, healing, checks.
pub fn drive(net: &mut Net) -> Result<(), String> {
    net.start_all();
    let hasty = net.random(3) == 0;
    let bursts = net.random(3) == 0;
    for _ in 0..if hasty { 120 } else { 30 } {
        let quiet = net.random(4) == 0;
        for _ in 0..if hasty { net.random(12) } else { net.random(60) } {
            let index = net.random(net.ids.len() as u64) as usize;
            let id = net.ids[index];
            if !quiet && net.nodes.contains_key(&id) && !net.nodes[&id].left {
                for _ in 0..if bursts { net.random(40) } else { 1 } {
                    let safe = net.random(5) == 0;
                    net.send(id, safe);
                }
            }
            let step = net.random(MS);
            net.run(step);
        }
        one_fault(net);
        // Short waits hit rings while they are being formed.
        let longest = if hasty { 6 * MS } else { 60 * MS };
        let wait = net.random(longest);
        net.run(wait);
    }
    net.heal();
    net.loss_per_mille = 0;
    net.jitter_ns = 5_000;
    // Whoever was asked to leave leaves.
    net.run(2_000 * MS);
    let ids = net.ids.clone();
    let deadline = net.now + 20_000 * MS;
    while !net.one_ring(&ids) {
        for id in ids.clone() {
            if net.nodes.get(&id).is_none_or(|node| node.left) {
                net.crash(id);
                net.start(id);
            }
        }
        if net.now > deadline {
            return Err(format!("no ring after healing\n{}", net.describe()));
        }
        net.run(10 * MS);
    }
    for id in &ids {
        net.send(*id, true);
        net.send(*id, false);
    }
    net.run(500 * MS);
    for id in &ids {
        let waiting = net.nodes[id].queue.waiting.len();
        if waiting > 0 || !net.one_ring(&ids) {
            return Err(format!("node {id}: no progress\n{}", net.describe()));
        }
    }
    check(net)
}
