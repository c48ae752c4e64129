//! A hostile program: it connects properly, then writes anything anywhere it may write, and sends anything
//! on its socket, while the engine works. Another program on the same engine must not notice.

mod engine;
mod hostile;

use std::cell::RefCell;

use crate::input::Input;
use engine::{Engine, GROUPS};
use hostile::Hostile;

/// Steps of one program.
const STEPS_MAX: usize = 200;

thread_local! {
    /// One engine serves all programs, one after the other: what one leaves behind must not matter to the next.
    static ENGINE: RefCell<Option<Engine>> = const { RefCell::new(None) };
}

/// Runs a program.
pub fn client_ring(bytes: &[u8]) {
    ENGINE.with(|engine| {
        let mut engine = engine.borrow_mut();
        let engine = engine.get_or_insert_with(Engine::start);
        let mut input = Input::new(bytes);
        let mut client = Hostile::connect(engine);
        for _ in 0..STEPS_MAX {
            if input.is_empty() {
                break;
            }
            step(engine, &mut client, &mut input);
        }
        engine.turn();
        drop(client);
        engine.settle();
    });
}

/// One instruction.
fn step(engine: &mut Engine, client: &mut Hostile, input: &mut Input<'_>) {
    let op = input.u8();
    let high = op >> 4;
    match op & 0x0f {
        0 | 1 => {
            // A record in good order; its kind (one in two exists) and length are what they are.
            let (group, len) = (u32::from(input.u8()) % (GROUPS + 2), input.u16() % 6000);
            let payload = input.take(usize::from(len).min(64));
            client.record(u32::from(high) << 28 | group, len.into(), payload);
        }
        2 => {
            let (count, ahead) = (input.u8(), input.u8());
            client.raw(input.take(count.into()), u64::from(ahead) * 8);
        }
        3 => {
            let at = u64::from(input.u16()) * 61 + u64::from(input.u8());
            let count = input.u8();
            client.poke(at, input.take(count.into()));
        }
        4 => client.head(edge(high, client.position())),
        5 => {
            // The other words in the client's pages: cursor, consumer's side, bells.
            let (place, value) = (input.u8(), input.u16());
            client.word(place, edge(high, value.into()));
        }
        6 => engine.poll(),
        7 => engine.pull(usize::from(input.u16()) % 2048 / 8 * 8),
        8 => engine.deliver(u32::from(high) % (GROUPS + 1), usize::from(input.u16()) % 1400),
        9 => engine.joined(client.session, u32::from(high) % GROUPS + 1),
        10 => engine.left(client.session, u32::from(high) % GROUPS + 1),
        11 => {
            let count = input.u16() % 4200;
            client.say(input.take(count.into()));
            engine.accept();
        }
        12 => engine.wait(u64::from(input.u16()) * 20_000),
        13 => engine.sleep(),
        14 => engine.refuse(client.session, input.u8()),
        _ => engine.turn(),
    }
}

/// Values at which indices break, near `base` and far from it.
fn edge(which: u8, base: u64) -> u64 {
    match which {
        0 => base,
        1 => base.wrapping_add(8),
        2 => base.wrapping_sub(8),
        3 => base.wrapping_add(1),
        4 => base.wrapping_add(hostile::SUBMIT_BYTES),
        5 => base.wrapping_add(hostile::SUBMIT_BYTES + 8),
        6 => u64::MAX,
        7 => u64::MAX - 7,
        8 => 1 << 63,
        9 => 1 << 32,
        10 => 0,
        _ => base.wrapping_mul(u64::from(which)),
    }
}

/// Programs in good order, so that mutation starts where the rules are kept.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let turns = [0x0f, 0x0f];
    let mut seeds = Vec::new();
    for kind in [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70] {
        // Join, become a member, send some of a kind, let the engine turn.
        let mut program = vec![0x50, 0, 6, 0, 1, 0, 0, 0, b'g', b'1', 6, 0x09];
        for group in [1, 1, 2] {
            program.extend([kind, group, 24, 0]);
            program
                .extend([24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        }
        program.extend([6, 7, 0x40, 5, 7, 0xff, 7, 0x18, 100, 0, 0x0f]);
        program.extend(turns);
        seeds.push(program);
    }
    // A long message, cut into fragments.
    let mut long = vec![0x09, 0x10, 1, 0x70, 0x17];
    long.extend([7; 64]);
    long.extend([6, 7, 0x40, 5, 7, 0x40, 5, 7, 0x40, 5, 7, 0x40, 5, 7, 0x40, 5, 0x0f]);
    seeds.push(long);
    // Bytes without order, a head that lies, words that lie, words on the socket.
    seeds.push(vec![0x02, 16, 4, 8, 0, 0, 0, 1, 0, 0, 0x10, 1, 2, 3, 4, 5, 6, 7, 8, 0x64, 6, 0x0f]);
    seeds.push(vec![0x05, 1, 0, 0, 0x18, 9, 0, 0x65, 4, 1, 1, 0x0f, 0x18, 9, 0, 0x0f]);
    seeds.push([&[0x0b, 12, 0][..], b"SYNI\x04\x00\x01\x00\x01\x00\x00\x00", &[0x0f]].concat());
    seeds
}
