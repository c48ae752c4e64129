//! What control thread and engine thread share: two bounded queues and two bells.

use std::os::fd::OwnedFd;

use crossbeam_queue::ArrayQueue;

use crate::access::Trust;
use crate::hello::Cause;
use crate::park::EngineBell;
use crate::seat::Seat;
use crate::server::Intake;
use ring::spsc::Consumer;

/// A session that has shaken hands, on its way to the engine thread.
pub(crate) struct NewSession {
    pub(crate) session: u32,
    pub(crate) pid: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) trust: Trust,
    pub(crate) seat: Box<Seat>,
    pub(crate) submit: Consumer,
}

/// To the engine thread.
pub(crate) enum Arrival {
    Open(Box<NewSession>),
    /// The session's socket is closed.
    Gone {
        session: u32,
    },
}

/// To the control thread.
pub(crate) enum Departure {
    /// Tell the client to go; its memory is still in use.
    Evicted { session: u32, cause: Cause },
    /// The session is over. Unmapping is system calls: the control thread does it.
    Closed { session: u32, cause: Cause, memory: Box<(Box<Seat>, Intake)> },
}

/// Shared by the two threads.
pub(crate) struct Link {
    /// At most two per session (open, gone), and a session counts until its `Closed` came back;
    /// twice that for what is under way: never full.
    arrivals: ArrayQueue<Arrival>,
    /// At most two per session (evicted, closed): never full.
    pub(crate) departures: ArrayQueue<Departure>,
    pub(crate) engine_bell: EngineBell,
    pub(crate) control_bell: OwnedFd,
    /// Descriptors for clients that may map them.
    pub(crate) region: OwnedFd,
    pub(crate) region_bytes: u64,
    pub(crate) delivery: OwnedFd,
    pub(crate) delivery_bytes: u32,
}

impl Link {
    pub(crate) fn new(
        sessions_max: usize,
        engine_bell: EngineBell,
        control_bell: OwnedFd,
        region: (OwnedFd, u64),
        delivery: (OwnedFd, u32),
    ) -> Self {
        Self {
            arrivals: ArrayQueue::new(4 * sessions_max),
            departures: ArrayQueue::new(4 * sessions_max),
            engine_bell,
            control_bell,
            region: region.0,
            region_bytes: region.1,
            delivery: delivery.0,
            delivery_bytes: delivery.1,
        }
    }

    /// From the control thread.
    pub(crate) fn arrive(&self, arrival: Arrival) {
        let pushed = self.arrivals.push(arrival);
        debug_assert!(pushed.is_ok(), "arrivals are bounded by the number of sessions");
        self.engine_bell.ring();
    }

    /// On the engine thread.
    pub(crate) fn next_arrival(&self) -> Option<Arrival> {
        self.arrivals.pop()
    }

    /// Whether nothing is on its way to the engine thread.
    pub(crate) fn is_quiet(&self) -> bool {
        self.arrivals.is_empty()
    }

    /// From the engine thread. Rare: one system call to wake the control thread is all right.
    pub(crate) fn depart(&self, departure: Departure) {
        let pushed = self.departures.push(departure);
        debug_assert!(pushed.is_ok(), "departures are bounded by the number of sessions");
        let _ = rustix::io::write(&self.control_bell, &1_u64.to_ne_bytes());
    }
}
