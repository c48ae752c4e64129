//! What a ring costs at rest, under a light load and under a full one: processor time of its engines and
//! everything that they count, for each message.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Map, Value, json};

use crate::{Participant, Rate, Rig, wait_until};

/// Longest wait for the ring and for messages under way.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Let go by before each part: engines that sleep write their counters once a second.
const PAUSE: Duration = Duration::from_millis(1500);

/// Clock ticks of `/proc/PID/stat` a second, on every Linux that Rust runs on.
const TICKS_PER_S: f64 = 100.0;

/// How long, and how fast the light load is.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Seconds of each part.
    pub seconds: f64,
    /// Messages a second of the first node's participant under the light load.
    pub light_rate: u64,
    /// Whether there is a last part, in which the first node floods alone.
    pub has_lone: bool,
}

/// Everything counted at one moment.
struct Account {
    counters: Vec<BTreeMap<String, u64>>,
    cpu_s: Vec<f64>,
    messages: u64,
    deliveries: u64,
    at: Instant,
}

impl Account {
    fn take(rig: &mut Rig) -> anyhow::Result<Self> {
        let nodes = rig.cluster.nodes();
        let mut cpu_s = Vec::new();
        for node in 0..nodes {
            cpu_s.push(cpu_seconds(rig.cluster.engine(node)?.pid())?);
        }
        Ok(Self {
            counters: (0..nodes).map(|node| rig.cluster.counters(node)).collect(),
            cpu_s,
            messages: rig.participants[0].delivered(),
            deliveries: rig.delivered(),
            at: Instant::now(),
        })
    }

    /// What a counter has grown by since `before`, all nodes together.
    fn grown(&self, before: &Self, name: &str) -> u64 {
        let value = |counters: &BTreeMap<String, u64>| counters.get(name).copied().unwrap_or(0);
        let both = self.counters.iter().zip(&before.counters);
        both.map(|(now, then)| value(now).saturating_sub(value(then))).sum()
    }
}

/// Processor time of a process so far.
fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may hold spaces; 11 fields later stand user and system time.
    let (_, rest) = stat.rsplit_once(')').context("a line of /proc/PID/stat")?;
    let ticks =
        rest.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<f64>().ok());
    Ok(ticks.sum::<f64>() / TICKS_PER_S)
}

/// Runs the parts on a ring that stands; returns one JSON object.
///
/// # Errors
/// When messages do not arrive, or an engine is gone.
pub fn run(rig: &mut Rig, plan: &Plan) -> anyhow::Result<Value> {
    let mut parts = Map::new();
    let loads = [
        ("idle", Rate::Silent, Rate::Silent),
        ("light", Rate::PerSecond(plan.light_rate), Rate::Silent),
        ("flood", Rate::Flood, Rate::Flood),
        ("lone", Rate::Flood, Rate::Silent),
    ];
    for (name, first, others) in loads.into_iter().take(if plan.has_lone { 4 } else { 3 }) {
        rig.set_rate(Rate::Silent);
        let is_calm = wait_until(TIMEOUT, || rig.participants.iter().all(Participant::is_settled));
        ensure!(
            is_calm,
            "messages are still under way {TIMEOUT:?} after they were sent, before {name}"
        );
        std::thread::sleep(PAUSE);
        rig.participants[0].set_rate(first);
        rig.participants[1..].iter().for_each(|participant| participant.set_rate(others));
        rig.participants[0].measure(true);
        let before = Account::take(rig)?;
        std::thread::sleep(Duration::from_secs_f64(plan.seconds));
        let after = Account::take(rig)?;
        rig.participants[0].measure(false);
        parts.insert(name.to_owned(), part(rig, &before, &after));
    }
    rig.settle(TIMEOUT)?;
    Ok(Value::Object(parts))
}

fn part(rig: &Rig, before: &Account, after: &Account) -> Value {
    let seconds = (after.at - before.at).as_secs_f64();
    let nodes = rig.cluster.nodes();
    let (messages, deliveries) =
        (after.messages - before.messages, after.deliveries - before.deliveries);
    let per_message = |count: u64| (messages > 0).then(|| count as f64 / messages as f64);
    let mut counts = Map::new();
    for name in after.counters.iter().flat_map(BTreeMap::keys) {
        let grown = after.grown(before, name);
        if grown > 0 && !name.starts_with("pool.") {
            counts
                .insert(name.clone(), json!({ "count": grown, "per_message": per_message(grown) }));
        }
    }
    let cpu = |node: usize| (after.cpu_s[node] - before.cpu_s[node]) / seconds;
    let latency = rig.participants[0].latency();
    let at_us = |quantile| latency.value_at_quantile(quantile) as f64 / 1e3;
    // What an engine copies on the way in: frames out of large slots, and items that a reader could not be
    // handed in place. Everything else is read where the card, or the kernel, has put it.
    let copies = after.grown(before, "node.frames_copied_out")
        + after.grown(before, "sessions.copied_items");
    json!({
        "seconds": seconds,
        "messages": messages,
        "messages_per_s": messages as f64 / seconds,
        "deliveries": deliveries,
        "engine_cpu": (0..nodes).map(cpu).collect::<Vec<_>>(),
        "latency_us": (!latency.is_empty()).then(|| json!({
            "p50": at_us(0.5), "p99": at_us(0.99), "count": latency.len(),
        })),
        "copies_per_delivery": (deliveries > 0).then(|| copies as f64 / deliveries as f64),
        "registrations": after.grown(before, "transport.registrations"),
        "counts": counts,
    })
}
