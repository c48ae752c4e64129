//! What comes out.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// From the intended time of sending to the sender's own delivery, microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LatencyUs {
    /// Median.
    pub p50: f64,
    /// 99 %.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

impl LatencyUs {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        let us = |ns: u64| ns as f64 / 1e3;
        Self {
            p50: us(histogram.value_at_quantile(0.5)),
            p99: us(histogram.value_at_quantile(0.99)),
            max: us(histogram.max()),
        }
    }
}

/// What a cluster is expected to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// From the start of all nodes to the ring of all of them, milliseconds.
    pub formation_ms: f64,
    /// Messages a second, in the order of all and read by every program.
    pub messages_per_second: f64,
    /// Their bytes, megabytes a second.
    pub megabytes_per_second: f64,
    /// Latency; a flood has no times at which its messages were meant to be sent.
    pub latency_us: Option<LatencyUs>,
    /// Token rotation, median, microseconds.
    pub rotation_us: f64,
    /// Busiest processor, share of its time.
    pub processor_busy: f64,
    /// Busiest direction of a link, share of its rate.
    pub link_busy: f64,
    /// Processor time of all, microseconds per message.
    pub cpu_us_per_message: f64,
    /// Datagrams in a burst of data, on average.
    pub datagrams_per_burst: f64,
}
