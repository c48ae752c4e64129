//! What comes out of a measurement.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Latencies in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Percentiles {
    /// How many were recorded.
    pub(crate) count: u64,
    /// Median.
    pub(crate) p50: f64,
    /// 90 %.
    pub(crate) p90: f64,
    /// 99 %.
    pub(crate) p99: f64,
    /// 99.9 %.
    pub(crate) p99_9: f64,
    /// The longest.
    pub(crate) max: f64,
}

impl Percentiles {
    /// Of a record in nanoseconds.
    pub(crate) fn of(latency: &Histogram<u64>) -> Self {
        let us = |ns: u64| ns as f64 / 1e3;
        let at = |quantile| us(latency.value_at_quantile(quantile));
        Self {
            count: latency.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: us(latency.max()),
        }
    }
}

/// CPU time in microseconds per ordered message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Cpu {
    /// Everything that ran on the machine.
    pub(crate) machine: f64,
    /// The engines, all together; what the kernel does for them in interrupts is theirs or whoever's it interrupts.
    pub(crate) engines: f64,
    /// One engine, on average: what a message costs a node.
    pub(crate) per_engine: f64,
    /// The load generator: publishing, receiving and checking on every node.
    pub(crate) generator: f64,
    /// One subscriber of it, on average.
    pub(crate) per_subscriber: f64,
    /// Everything that ran on the machine, by deliveries instead of messages.
    pub(crate) per_delivery: f64,
}

/// Context switches per ordered message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Switches {
    /// On the whole machine.
    pub(crate) machine: f64,
    /// Of the engines.
    pub(crate) engines: f64,
    /// Of the load generator.
    pub(crate) generator: f64,
}

/// System calls per ordered message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Syscalls {
    /// Of the engines.
    pub(crate) engines: f64,
    /// Of the load generator.
    pub(crate) generator: f64,
}

/// Cores in use, on average.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Cores {
    /// By everything.
    pub(crate) machine: f64,
    /// By the engines.
    pub(crate) engines: f64,
    /// By the load generator.
    pub(crate) generator: f64,
}

/// One load's figures.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LoadFigures {
    /// Its name.
    pub(crate) load: String,
    /// How long was measured.
    pub(crate) seconds: f64,
    /// Messages a second that reached every subscriber (the slowest counts).
    pub(crate) messages_per_second: f64,
    /// The same in 10^6 bytes of payload.
    pub(crate) megabytes_per_second: f64,
    /// Messages a second delivered, all subscribers together.
    pub(crate) deliveries_per_second: f64,
    /// From the time a message was meant to be sent to its delivery to the sender.
    pub(crate) latency_us: Percentiles,
    /// CPU time per ordered message.
    pub(crate) cpu_us_per_message: Cpu,
    /// Context switches per ordered message.
    pub(crate) switches_per_message: Switches,
    /// System calls per ordered message, where they were counted.
    pub(crate) syscalls_per_message: Option<Syscalls>,
    /// Cores in use.
    pub(crate) cores: Cores,
    /// Mean time of a token's rotation, where there were any.
    pub(crate) rotation_us: Option<f64>,
    /// Frames sent again for any reason.
    pub(crate) retransmissions: Option<u64>,
    /// Counters of all engines of ours, those that changed.
    pub(crate) counters: BTreeMap<String, u64>,
}

/// Memory of the engines, in bytes, the largest of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Memory {
    /// Of its own.
    pub(crate) private_bytes: u64,
    /// Shared with programs.
    pub(crate) shared_bytes: u64,
}

/// Whether everybody saw the same.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct OrderFigures {
    /// Whether all subscribers received the same messages in the same order, undamaged.
    pub(crate) identical: bool,
    /// How many subscribers were compared.
    pub(crate) subscribers: usize,
    /// Messages each of them received in the whole run.
    pub(crate) messages: u64,
    /// What was wrong.
    pub(crate) findings: Vec<String>,
}

/// Latencies under the loads that have a name everywhere.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Latencies {
    /// One message at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) idle: Option<Percentiles>,
    /// At half of the flood (in a comparison: of Corosync's flood).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) half: Option<Percentiles>,
    /// In the flood.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) flood: Option<Percentiles>,
}

/// Everything about one engine under one setup, in one run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Figures {
    /// Which engine, and how it was set.
    pub(crate) engine: String,
    /// Ordered messages a second in the flood.
    pub(crate) messages_per_second: f64,
    /// The same in 10^6 bytes of payload.
    pub(crate) megabytes_per_second: f64,
    /// Latencies.
    pub(crate) latency_us: Latencies,
    /// CPU time of the whole machine per ordered message in the flood.
    pub(crate) cpu_us_per_message: f64,
    /// From the start of the last engine to the moment everybody sees everybody in the group.
    pub(crate) formation_s: f64,
    /// Memory of an engine after all loads.
    pub(crate) memory: Memory,
    /// Share of the machine that was idle just before, from 0 to 1.
    pub(crate) idle_before: f64,
    /// Whether everybody saw the same.
    pub(crate) order: OrderFigures,
    /// Every load in detail.
    pub(crate) loads: Vec<LoadFigures>,
}

impl Figures {
    /// Takes a load's figures in.
    pub(crate) fn enter(&mut self, figures: LoadFigures) {
        let latency = Some(figures.latency_us);
        match figures.load.as_str() {
            "flood" => {
                self.messages_per_second = figures.messages_per_second;
                self.megabytes_per_second = figures.megabytes_per_second;
                self.cpu_us_per_message = figures.cpu_us_per_message.machine;
                self.latency_us.flood = latency;
            }
            "idle" => self.latency_us.idle = latency,
            "half" => self.latency_us.half = latency,
            _ => {}
        }
        self.loads.push(figures);
    }
}

/// The middle of the values; of the two in the middle, their mean.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let len = values.len();
    match len {
        0 => 0.0,
        _ if len.is_multiple_of(2) => f64::midpoint(values[len / 2 - 1], values[len / 2]),
        _ => values[len / 2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
