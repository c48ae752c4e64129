//! A ring through bad weather: `sch_netem` on the way to every host, throughput and order under each condition.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{Participant, Place, Rate, Rig, Spec, wait_until};

/// A condition, and what `tc` calls it. Loss, duplication and delay happen to every packet on its way to
/// every host, the token's included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// For people.
    pub name: &'static str,
    /// Arguments of `netem`; empty: fair weather.
    pub netem: &'static str,
    /// Packets lost, per thousand.
    pub loss_permille: u32,
}

const fn condition(name: &'static str, netem: &'static str, loss_permille: u32) -> Condition {
    Condition { name, netem, loss_permille }
}

/// What is tried. Reordering needs a delay that the early ones are spared.
pub const CONDITIONS: [Condition; 8] = [
    condition("fair", "", 0),
    condition("loss 0.1 %", "loss 0.1%", 1),
    condition("loss 1 %", "loss 1%", 10),
    condition("loss 5 %", "loss 5%", 50),
    condition("loss 10 %", "loss 10%", 100),
    condition("delay 1 ms, jitter 0.3 ms", "delay 1ms 300us", 0),
    condition("duplication 5 %", "duplicate 5%", 0),
    condition("reordering 25 %", "delay 1ms reorder 25%", 0),
];

/// Longest wait for the ring and for messages under way: at a tenth lost a token takes several attempts.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Let go by under load before the count begins.
const WARM_UP: Duration = Duration::from_millis(500);

/// Runs one condition on a ring of its own; returns one JSON object, with what is wrong in `findings`.
///
/// # Errors
/// When the ring does not form, messages do not arrive, or the kernel lacks netem.
pub fn run(
    spec: &Spec,
    message_bytes: usize,
    seconds: f64,
    is: &Condition,
) -> anyhow::Result<Value> {
    debug_assert!(
        matches!(spec.place, Place::Namespaces { .. }),
        "netem needs a network of its own"
    );
    let mut rig = Rig::start(spec.clone(), message_bytes, TIMEOUT)?;
    let network = rig.cluster.network()?;
    network.send_singly()?;
    network.netem(is.netem)?;
    let nodes = rig.cluster.nodes();
    let views = |rig: &Rig| rig.participants.iter().map(|p| p.views().len()).sum::<usize>();
    let views_before = views(&rig);
    rig.set_rate(Rate::Flood);
    let begun = wait_until(TIMEOUT, || rig.participants.iter().all(|p| p.own_delivered() > 0));
    anyhow::ensure!(begun, "{}: no message was ordered in {TIMEOUT:?}", is.name);
    std::thread::sleep(WARM_UP);
    rig.participants[0].measure(true);
    let grown = |rig: &Rig, name: &str| -> u64 {
        (0..nodes).filter_map(|node| rig.cluster.counters(node).get(name).copied()).sum()
    };
    let names = [
        "totem.retransmissions",
        "totem.repairs_sent",
        "totem.frames_duplicate",
        "totem.token_retransmits",
    ];
    let counts_before = names.map(|name| grown(&rig, name));
    let (start, before) = (Instant::now(), rig.participants[0].delivered());
    std::thread::sleep(Duration::from_secs_f64(seconds));
    let (taken_s, after) = (start.elapsed().as_secs_f64(), rig.participants[0].delivered());
    let latency = rig.participants[0].latency();
    rig.participants[0].measure(false);
    let counts = names.map(|name| grown(&rig, name));
    rig.set_rate(Rate::Silent);
    let is_calm = wait_until(TIMEOUT, || rig.participants.iter().all(Participant::is_settled));
    anyhow::ensure!(is_calm, "{}: messages are still under way after {TIMEOUT:?}", is.name);
    rig.cluster.network()?.netem("")?;
    rig.settle(TIMEOUT)?;
    let view_changes = views(&rig) - views_before;
    let (_, verdict) = rig.verdict();
    let counts: serde_json::Map<String, Value> = names
        .iter()
        .zip(counts.iter().zip(counts_before))
        .filter(|(_, (now, then))| *now > then)
        .map(|(name, (now, then))| ((*name).to_owned(), json!(now - then)))
        .collect();
    Ok(json!({
        "condition": is.name,
        "netem": is.netem,
        "loss_percent": f64::from(is.loss_permille) / 10.0,
        "messages_per_s": (after - before) as f64 / taken_s,
        "seconds": taken_s,
        "latency_us_p50": latency.value_at_quantile(0.5) as f64 / 1e3,
        "view_changes": view_changes,
        "messages_compared": verdict.messages,
        "counts": counts,
        "findings": verdict.findings,
    }))
}
