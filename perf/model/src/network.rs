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

/// One direction of a node's link.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lane {
    /// When it is free again.
    free_ns: u64,
    /// How long it was in use.
    pub(crate) busy_ns: u64,
}

impl Lane {
    /// Carries something that comes at `at_ns` and takes `serial_ns`; returns when it starts.
    fn carry(&mut self, at_ns: u64, serial_ns: u64) -> u64 {
        let start_ns = at_ns.max(self.free_ns);
        self.free_ns = start_ns + serial_ns;
        self.busy_ns += serial_ns;
        start_ns
    }
}

/// One node's link.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Port {
    /// From the node.
    pub(crate) out: Lane,
    /// To the node.
    pub(crate) into: Lane,
}

impl Network {
    /// Puts a burst on the wire at `at_ns`; returns when its first bit reaches the switch's far side.
    pub(crate) fn depart(&self, port: &mut Port, at_ns: u64, bytes: usize, count: usize) -> u64 {
        port.out.carry(at_ns, self.serial_ns(bytes, count)) + self.latency_ns
    }

    /// Takes a burst that starts to arrive at `at_ns`; returns when all of it is there.
    pub(crate) fn arrive(&self, port: &mut Port, at_ns: u64, bytes: usize, count: usize) -> u64 {
        let serial_ns = self.serial_ns(bytes, count);
        port.into.carry(at_ns, serial_ns) + serial_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_frame_takes_what_ethernet_takes() {
        let network = Network::switched(10.0);
        let mut port = Port::default();
        assert_eq!(network.depart(&mut port, 0, 1472, 1), 1_000);
        assert_eq!(port.out.busy_ns, 1_231, "1538 bytes at 10 Gb/s");
        assert_eq!(network.depart(&mut port, 0, 1472, 1), 2_231, "after the one before it");
        assert_eq!(network.arrive(&mut port, 5_000, 1472, 1), 6_231);
    }

    #[test]
    fn memory_has_no_rate() {
        let mut port = Port::default();
        assert_eq!(Network::HERE.arrive(&mut port, 7, 65_000, 45), 7);
    }
}
