//! What the demo found, as a table and as JSON.

use cluster::{Observer, Verdict};
use hdrhistogram::Histogram;
use serde::Serialize;

/// The demo's result. Field names are the keys of `demo --json`.
#[derive(Default, Serialize)]
pub(crate) struct Report {
    /// Engines.
    pub(crate) nodes: usize,
    /// Bytes of a message.
    pub(crate) message_bytes: u32,
    /// Messages published and ordered in the whole demo.
    pub(crate) messages: u64,
    /// Deliveries to all subscribers together.
    pub(crate) deliveries: u64,
    /// Messages ordered per second under flood, as one subscriber received them.
    pub(crate) messages_per_second: f64,
    /// Publish to own agreed delivery on an idle ring.
    pub(crate) latency_us: LatencyUs,
    /// From starting the first engine to one view of all.
    pub(crate) formation_ms: f64,
    /// From SIGKILL of an engine to the new view at every surviving subscriber.
    pub(crate) failover_ms: f64,
    /// From starting it again to one view of all.
    pub(crate) rejoin_ms: f64,
    /// Whether all subscribers saw the same messages in the same order.
    pub(crate) order_identical: bool,
    /// Views that two subscribers went through together and that were compared.
    pub(crate) views_compared: usize,
    /// Rolling hash over everything the first subscriber received.
    pub(crate) order_hash: String,
    /// What was wrong, if anything.
    pub(crate) findings: Vec<String>,
}

/// Latency percentiles in microseconds.
#[derive(Default, Serialize)]
pub(crate) struct LatencyUs {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p99_9: f64,
}

impl Report {
    /// Takes the percentiles from a histogram of nanoseconds.
    pub(crate) fn latency(&mut self, histogram: &Histogram<u64>) {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        self.latency_us = LatencyUs { p50: at(0.5), p99: at(0.99), p99_9: at(0.999) };
    }

    /// Takes over the comparison. Subscribers that compared nothing have proved nothing.
    pub(crate) fn compare(&mut self, observers: &[Observer], verdict: Verdict) {
        self.order_identical = verdict.findings.is_empty() && verdict.together > 0;
        self.views_compared = verdict.together;
        self.order_hash =
            observers.first().map(|o| format!("{:016x}", o.hash())).unwrap_or_default();
        self.findings = verdict.findings;
    }

    /// Prints the table.
    pub(crate) fn print(&self) {
        let row = |name: &str, value: String| println!("  {name:<34} {value}");
        println!(
            "{} engines on this machine, messages of {} bytes",
            self.nodes, self.message_bytes
        );
        row("ordered messages per second", format!("{:.0}", self.messages_per_second));
        row("messages ordered in all", self.messages.to_string());
        row("deliveries to subscribers", self.deliveries.to_string());
        let l = &self.latency_us;
        let latency =
            format!("p50 {:.1} us   p99 {:.1} us   p99.9 {:.1} us", l.p50, l.p99, l.p99_9);
        row("latency, idle ring", latency);
        row("ring formed after", format!("{:.1} ms", self.formation_ms));
        row("fail-over after SIGKILL", format!("{:.1} ms", self.failover_ms));
        row("engine back in the ring after", format!("{:.1} ms", self.rejoin_ms));
        let verdict = if self.order_identical { "yes" } else { "NO" };
        let order =
            format!("{verdict} ({} views compared, hash {})", self.views_compared, self.order_hash);
        row("same order at every subscriber", order);
    }
}
