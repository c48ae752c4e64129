//! What is said between the one who measures and the agents that carry the load: one JSON object per line.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::seat::{Order, Place};
use crate::usage::{Machine, Usage};

/// To an agent.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ask {
    /// Start a program that lives as long as the agent.
    Start {
        /// Program and arguments.
        argv: Vec<String>,
        /// Where its output goes.
        log: PathBuf,
    },
    /// Open seats.
    Open {
        /// Where.
        places: Vec<Place>,
        /// How many nodes the group will have.
        nodes: usize,
        /// Longest message that will be sent.
        message_bytes_max: usize,
    },
    /// Another order for one seat (counted from zero).
    Order {
        /// Which seat.
        seat: usize,
        /// What to do.
        order: Order,
    },
    /// Start new records of latencies of what is sent in so many nanoseconds from now.
    Record {
        /// How long.
        for_ns: u64,
    },
    /// Kill every program it started, with SIGKILL.
    Kill,
    /// How far everything is.
    Mark,
    /// The records of latencies.
    Latencies,
    /// The accounts.
    Accounts,
}

/// From an agent.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// It is done.
    Done,
    /// How far everything is.
    Mark(AgentMark),
    /// One record for each seat: HdrHistogram's V2 encoding in base64.
    Latencies(Vec<String>),
    /// One for each seat.
    Accounts(Vec<Account>),
    /// It could not be done.
    Failed(String),
}

/// How far an agent is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AgentMark {
    /// When, by its clock.
    pub(crate) at_ns: u64,
    /// Its process.
    pub(crate) pid: u32,
    /// Processes of the programs that it started.
    pub(crate) started_pids: Vec<u32>,
    /// Its seats.
    pub(crate) seats: Vec<SeatMark>,
    /// What the agent itself has used.
    pub(crate) own: Usage,
    /// What the programs have used that it started.
    pub(crate) started: Usage,
    /// What its machine has used.
    pub(crate) machine: Machine,
    /// Whether they run.
    pub(crate) all_run: bool,
}

/// How far a seat is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SeatMark {
    pub(crate) sent: u64,
    pub(crate) own: u64,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) members: usize,
    pub(crate) whole_ns: Option<u64>,
    pub(crate) less_ns: Option<u64>,
    pub(crate) failure: Option<String>,
}
