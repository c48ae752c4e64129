//! Two whole nodes form a ring, and the input is a program of what happens to them: datagrams lost,
//! held back, changed or replaced by anything, with checksums that fit (encryption is off), so that everything
//! reaches the layers above the link. Then the network heals.
//!
//! Whatever happened, no node may panic, answer without end, or keep memory that is not its.

mod world;

use wire::Kind;

use crate::input::Input;
use world::World;

/// Steps of one program: long enough for every state of membership, short enough to be fast.
const STEPS_MAX: usize = 200;

/// Virtual time for the ring to form.
const FORM_NS: u64 = 40_000_000;

/// Virtual time for it to settle afterwards.
const SETTLE_NS: u64 = 150_000_000;

/// Runs a program.
pub fn ring(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut world = World::new();
    world.run(FORM_NS);
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        step(&mut world, &mut input);
    }
    world.run(SETTLE_NS);
    world.end();
}

/// One instruction.
fn step(world: &mut World, input: &mut Input<'_>) {
    let op = input.u8();
    let who = usize::from(op >> 7);
    match op & 0x0f {
        0 => world.pass(1),
        1 => world.pass(usize::from(input.u8())),
        2 => world.lose(),
        3 => world.change(|body| {
            // The kind and flags in front, numbers behind them: edit anywhere.
            for _ in 0..=op >> 5 & 3 {
                let (at, value) = (usize::from(input.u8()), input.u8());
                if let Some(byte) = body.get_mut(at) {
                    *byte = value;
                }
            }
        }),
        4 => {
            let count = input.u16() % 1024;
            let new = input.take(count.into()).to_vec();
            world.change(|body| *body = new);
        }
        5 => {
            let len = usize::from(input.u8());
            world.change(|body| body.truncate(len));
        }
        6 => world.hold_back(),
        7 => world.repeat(),
        8 => {
            let count = input.u8();
            let raw = input.take(count.into()).to_vec();
            world.raw(who, &raw, usize::from(op >> 4 & 3));
        }
        9 => {
            let (token, count) = (op & 0x10 != 0, input.u16() % 1024);
            world.forge(who, token, input.take(count.into()));
        }
        10 => world.say(who, usize::from(input.u16() % 3000), op & 0x10 != 0),
        11 => world.session(who, op >> 4 & 3, input.u8()),
        12 => world.wait(u64::from(input.u16()) * 1000),
        13 => world.unreachable(who),
        14 => world.restart(who),
        _ => world.change(|body| {
            // A number of 8 bytes somewhere, at an edge.
            let at = usize::from(input.u8());
            let edge = [0, 1, u64::MAX, u64::MAX - 1, 1 << 63, 1 << 32, 0x7fff, 5];
            let edge: u64 = edge[usize::from(op >> 4 & 7)];
            if let Some(number) = body.get_mut(at..at + 8) {
                number.copy_from_slice(&edge.to_le_bytes());
            }
        }),
    }
}

/// Programs that reach every state.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![
        // Talk, with safe messages and fragments' worth of bytes, from both.
        vec![0x0a, 40, 0, 1, 50, 0x9a, 0, 4, 1, 50, 0x1a, 0xff, 0x07, 1, 200],
        // Lose, repeat, hold back, wait.
        vec![0x0a, 40, 0, 2, 0, 7, 0, 6, 0, 12, 0xff, 0xff, 2, 2, 2, 1, 100],
        // Sessions come and go; a node restarts while they do.
        vec![0x0b, 0, 0x8b, 1, 1, 90, 0x0e, 1, 255, 0x1b, 0, 0x2b, 0, 1, 90, 0x8e, 1, 255],
        vec![0x0d, 1, 20, 0x8d, 12, 0xff, 0xff, 1, 255],
    ];
    for kind in 1..=12 {
        // Replace, change, cut and forge frames of every kind.
        seeds.push(vec![0x0a, 40, 0, 3, 0, kind, 1, 10, 5, 20, 1, 10, 0x1f, 12, 1, 10]);
        let mut forged = vec![0x0a, 40, 0, 0, 0, 9 | kind << 4, 60, 0, kind];
        forged.extend((0..59).map(|at| at as u8 & 1));
        seeds.push(forged);
    }
    seeds
}

/// Frames as nodes send them while they form a ring and talk.
pub(crate) fn frames() -> Vec<Vec<u8>> {
    let mut world = World::new();
    let mut seen = Vec::new();
    for turn in 0..400 {
        if turn % 50 == 0 {
            world.say(turn / 50 % 2, 20 * turn, turn % 100 == 0);
            world.session(turn / 50 % 2, 1, turn as u8);
        }
        if let Some(body) = world.next_body() {
            let same = |other: &Vec<u8>| {
                Kind::of(other) == Kind::of(&body) && other.len().abs_diff(body.len()) < 100
            };
            if !seen.iter().any(same) {
                seen.push(body);
            }
        }
        world.pass(1);
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A target that forms no ring would find nothing and pass.
    #[test]
    fn frames_of_a_working_ring_are_seen() {
        let kinds: Vec<_> = frames().iter().filter_map(|body| Kind::of(body)).collect();
        for kind in [Kind::Join, Kind::Commit, Kind::Token, Kind::Data, Kind::Beacon, Kind::Answer]
        {
            assert!(kinds.contains(&kind), "{kind:?} not among {kinds:?}");
        }
        let mut world = World::new();
        world.run(FORM_NS);
        assert!(world.is_one_ring(), "no ring within {FORM_NS} ns");
    }
}
