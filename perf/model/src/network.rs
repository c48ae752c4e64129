//! The wires between the nodes.

use serde::Serialize;

/// Bytes on the wire beside a datagram's payload: preamble 8, Ethernet 14 + 4, gap 12, IPv4 20, UDP 8.
const DATAGRAM_OVERHEAD_BYTES: usize = 66;

/// How a card hands bursts to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Receive {
    /// As they were sent: virtual links, and cards that merge (GRO) multicast datagrams.
    Merged,
    /// One datagram at a time: cards that merge nothing.
    Single,
}

/// A switch with a full-duplex link to every node.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Network {
    /// Bits a second of each link; `None`: memory of one machine, limited by the kernel's work alone.
    pub bits_per_second: Option<f64>,
    /// From the end of sending to the start of receiving: cables, switch, cards.
    pub latency_ns: u64,
    /// How bursts arrive.
    pub receive: Receive,
}

impl Network {
    /// Links of this machine: network namespaces on a bridge.
    pub const HERE: Self = Self { bits_per_second: None, latency_ns: 0, receive: Receive::Merged };

    /// Links of `gigabits` per second through one switch (about 1 us with both cards), merging nothing.
    pub fn switched(gigabits: f64) -> Self {
        Self { bits_per_second: Some(gigabits * 1e9), latency_ns: 1_000, receive: Receive::Single }
    }

    /// How long a burst occupies a link.
    fn serial_ns(&self, bytes: usize, datagrams: usize) -> u64 {
        let bits = 8.0 * (bytes + datagrams * DATAGRAM_OVERHEAD_BYTES) as f64;
        self.bits_per_second.map_or(0, |rate| (bits / rate * 1e9).ceil() as u64)
    }
}

/// One node's link.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Port {
    /// When the sending side is free again.
    out_free_ns: u64,
    /// When the receiving side is free again.
    in_free_ns: u64,
    /// How long the sending side was in use.
    pub(crate) out_busy_ns: u64,
    /// How long the receiving side was in use.
    pub(crate) in_busy_ns: u64,
}

/// Puts a burst on the wire at `at_ns`; returns when its first bit reaches the switch's far side.
pub(crate) fn depart(
    network: &Network,
    port: &mut Port,
    at_ns: u64,
    bytes: usize,
    count: usize,
) -> u64 {
    let serial_ns = network.serial_ns(bytes, count);
    let start_ns = at_ns.max(port.out_free_ns);
    port.out_free_ns = start_ns + serial_ns;
    port.out_busy_ns += serial_ns;
    start_ns + network.latency_ns
}

/// Takes a burst that starts to arrive at `at_ns`; returns when all of it is there.
pub(crate) fn arrive(
    network: &Network,
    port: &mut Port,
    at_ns: u64,
    bytes: usize,
    count: usize,
) -> u64 {
    let serial_ns = network.serial_ns(bytes, count);
    let start_ns = at_ns.max(port.in_free_ns);
    port.in_free_ns = start_ns + serial_ns;
    port.in_busy_ns += serial_ns;
    port.in_free_ns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_frame_takes_what_ethernet_takes() {
        let network = Network::switched(10.0);
        let mut port = Port::default();
        assert_eq!(depart(&network, &mut port, 0, 1472, 1), 1_000);
        assert_eq!(port.out_busy_ns, 1_231, "1538 bytes at 10 Gb/s");
        assert_eq!(depart(&network, &mut port, 0, 1472, 1), 2_231, "after the one before it");
        assert_eq!(arrive(&network, &mut port, 5_000, 1472, 1), 6_231);
    }

    #[test]
    fn memory_has_no_rate() {
        let mut port = Port::default();
        assert_eq!(arrive(&Network::HERE, &mut port, 7, 65_000, 45), 7);
    }
}
