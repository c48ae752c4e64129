//! What work costs a processor.

use serde::{Deserialize, Serialize};

/// Processor time in nanoseconds. A burst is what one system call (or work request) moves: up to 64 KiB of equal
/// datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Costs {
    /// The kernel sends a burst, whatever is in it.
    pub burst_send_ns: f64,
    /// The kernel receives one, from the wire to the engine's slot.
    pub burst_receive_ns: f64,
    /// The kernel sends one more datagram in it.
    pub datagram_send_ns: f64,
    /// The kernel receives one more datagram in it.
    pub datagram_receive_ns: f64,
    /// The engine builds, numbers, seals and later releases a full frame.
    pub frame_send_ns: f64,
    /// The engine opens, orders and hands over a full frame.
    pub frame_receive_ns: f64,
    /// A program puts a message into its submit ring.
    pub message_submit_ns: f64,
    /// A program reads a message.
    pub message_read_ns: f64,
    /// A thread that waits starts to run.
    pub wake_ns: f64,
}

impl Costs {
    /// Sending a burst of so many datagrams to `copies` receivers that the kernel serves one by one.
    pub(crate) fn send_ns(&self, datagrams: usize, copies: usize) -> f64 {
        let burst = self.burst_send_ns + self.datagram_send_ns * (datagrams as f64 - 1.0);
        burst * copies as f64
    }

    /// Receiving a burst of so many datagrams.
    pub(crate) fn receive_ns(&self, datagrams: usize) -> f64 {
        self.burst_receive_ns + self.datagram_receive_ns * (datagrams as f64 - 1.0)
    }
}
