//! The two steps every message goes through, again and again, for tools that count instructions:
//!
//! ```text
//! steps order MICROSECONDS   frames of 1400 bytes through two whole nodes in virtual time
//! steps deliver COUNT        descriptors through a delivery ring with one reader
//! ```
//! Prints how many there were. The same arguments always do exactly the same work.
#![forbid(unsafe_code)]

use model::{Cores, Costs, Load, Network, Plan, predict};
use ring::broadcast::{self, Lease};

/// Costs only say when things happen; these are near what is measured and the same everywhere.
const COSTS: Costs = Costs {
    burst_send_ns: 3000.0,
    burst_receive_ns: 1500.0,
    datagram_send_ns: 70.0,
    datagram_receive_ns: 100.0,
    frame_send_ns: 300.0,
    frame_receive_ns: 150.0,
    message_submit_ns: 50.0,
    message_read_ns: 20.0,
    wake_ns: 2000.0,
};

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [what, count] = args.as_slice() else {
        anyhow::bail!("expected `order MICROSECONDS` or `deliver COUNT`");
    };
    let count: u64 = count.parse()?;
    let done = match what.as_str() {
        "order" => order(count)?,
        "deliver" => deliver(count)?,
        other => anyhow::bail!("{other:?} is neither `order` nor `deliver`"),
    };
    println!("{done}");
    Ok(())
}

/// Messages ordered and read by both nodes' programs.
fn order(micros: u64) -> anyhow::Result<u64> {
    let plan = Plan {
        nodes: 2,
        senders: 1,
        message_bytes: 1400,
        load: Load::Flood,
        mtu_bytes: 1500,
        encrypted: false,
        cores: Cores::Own,
        network: Network::HERE,
        costs: COSTS,
        measure_ns: micros * 1000,
    };
    Ok((predict(&plan)?.messages_per_second * micros as f64 / 1e6).round() as u64)
}

/// Descriptors pushed, published, leased, read and released, in batches of 64.
fn deliver(count: u64) -> anyhow::Result<u64> {
    let memory = broadcast::Memory::create("steps", 1024, 256)?.0;
    let mut producer = broadcast::Producer::new(&memory)?;
    let cursor = broadcast::Cursor::heap();
    producer.add_reader(&cursor, None);
    let mut reader = broadcast::Reader::new(&memory, &cursor);
    let mut done = 0;
    while done < count {
        for index in done..done + 64 {
            anyhow::ensure!(producer.push(&[index; 7]).is_ok(), "the ring is full");
        }
        producer.publish();
        let Lease::Range(range) = reader.lease(64) else { anyhow::bail!("nothing was published") };
        for index in range.clone() {
            let words = reader.read(index);
            anyhow::ensure!(words.is_some_and(|words| words[6] == index), "another descriptor");
        }
        reader.release(range.end);
        done += 64;
    }
    Ok(done)
}
