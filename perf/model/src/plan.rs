//! What is to be predicted.

use serde::Serialize;

use crate::{Costs, Network};

/// The processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cores {
    /// Every engine has one to itself and spins; so has every program.
    Own,
    /// All engines and programs share so many.
    Shared(u16),
}

/// What the programs do.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Load {
    /// Send as fast as they can.
    Flood,
    /// Send so many messages a second, each of them.
    Rate(f64),
}

/// A cluster and its load.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// Nodes, each with a program that receives everything.
    pub nodes: u16,
    /// How many of these programs send.
    pub senders: u16,
    /// Bytes of a message.
    pub message_bytes: usize,
    /// What they send.
    pub load: Load,
    /// MTU.
    pub mtu_bytes: usize,
    /// Whether datagrams are encrypted (by the fastest provider built in).
    pub encrypted: bool,
    /// The processors.
    pub cores: Cores,
    /// The network.
    pub network: Network,
    /// What work costs.
    pub costs: Costs,
    /// Virtual nanoseconds that are measured.
    pub measure_ns: u64,
}
