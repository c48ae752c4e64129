//! Somebody on the wire: hears what is multicast on loopback and sends what it has made of it.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};

use rustix::net::{AddressFamily, SocketType, sockopt};

/// The group of every cluster on loopback.
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 77, 1);

/// Real frames kept for mutation: the latest ones.
const KEPT: usize = 512;

/// Bytes of the largest UDP datagram.
const DATAGRAM_BYTES_MAX: usize = 65_507;

/// Offset and length of the fields of the link header (`docs/protocol.md`).
const FIELDS: [(usize, usize); 12] = [
    (0, 4),
    (4, 1),
    (5, 1),
    (6, 1),
    (7, 1),
    (8, 1),
    (9, 1),
    (10, 2),
    (12, 4),
    (16, 8),
    (24, 16),
    (40, 8),
];

/// Bytes of the link header.
const HEADER_BYTES: usize = 48;

/// An attacker without the key.
pub(crate) struct Attacker {
    ears: UdpSocket,
    mouth: UdpSocket,
    targets: Vec<SocketAddr>,
    heard: Vec<Vec<u8>>,
    heard_in_all: usize,
    random: Random,
    sent: u64,
}

impl Attacker {
    /// Stands beside a cluster of `nodes` on loopback.
    pub(crate) fn new(nodes: usize, base_port: u16, seed: u64) -> Self {
        let ears: UdpSocket =
            rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None).unwrap().into();
        sockopt::set_socket_reuseaddr(&ears, true).unwrap();
        rustix::net::bind(&ears, &SocketAddrV4::new(GROUP, base_port)).unwrap();
        ears.join_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST).unwrap();
        ears.set_nonblocking(true).unwrap();
        let mouth = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        sockopt::set_ip_multicast_if(&mouth, &Ipv4Addr::LOCALHOST).unwrap();
        // Data and token port of each node, and the group.
        let ports = (0..2 * nodes as u16).map(|n| base_port + 1 + n);
        let own = ports.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let targets = own.chain([SocketAddr::from((GROUP, base_port))]).collect();
        let random = Random(seed);
        Self { ears, mouth, targets, heard: Vec::new(), heard_in_all: 0, random, sent: 0 }
    }

    /// Keeps what the cluster has multicast since the last call; how many frames it was in all.
    pub(crate) fn listen(&mut self) -> usize {
        let me = self.mouth.local_addr().unwrap();
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        while let Ok((bytes, from)) = self.ears.recv_from(&mut buffer) {
            if from == me {
                continue;
            }
            let frame = buffer[..bytes].to_vec();
            if self.heard.len() < KEPT {
                self.heard.push(frame);
            } else {
                self.heard[self.heard_in_all % KEPT] = frame;
            }
            self.heard_in_all += 1;
        }
        self.heard_in_all
    }

    /// Sends this many frames, every target in turn; how many the kernel took.
    pub(crate) fn attack(&mut self, frames: u64) -> u64 {
        let mut taken = 0;
        for _ in 0..frames {
            let frame = self.make();
            let target = self.targets[(self.sent % self.targets.len() as u64) as usize];
            self.sent += 1;
            taken += u64::from(self.mouth.send_to(&frame, target).is_ok());
        }
        taken
    }

    fn make(&mut self) -> Vec<u8> {
        let which = self.random.below(self.heard.len());
        let mut frame = self.heard[which].clone();
        let random = &mut self.random;
        match random.below(10) {
            0 | 1 => {
                for _ in 0..=random.below(8) {
                    let at = random.below(frame.len());
                    frame[at] ^= 1 << random.below(8);
                }
            }
            2 => frame.truncate(random.below(frame.len())),
            3 => {
                let more = 1 + random.below(200);
                frame.extend((0..more).map(|_| random.byte()));
            }
            // Padding is lawful; so this is a replay that looks different.
            4 => frame.extend(std::iter::repeat_n(0, random.below(200))),
            5 | 6 => {
                let (offset, bytes) = FIELDS[random.below(FIELDS.len())];
                frame[offset..offset + bytes].fill_with(|| random.byte());
            }
            7 => {}
            8 => {
                let end = if random.below(50) == 0 { DATAGRAM_BYTES_MAX } else { 1600 };
                let bytes = random.below(end + 1);
                frame = (0..bytes).map(|_| random.byte()).collect();
            }
            _ => {
                // The head of one frame, the body of another.
                let other = &self.heard[random.below(self.heard.len())];
                let head = frame[..HEADER_BYTES].to_vec();
                frame = [&head, &other[HEADER_BYTES..]].concat();
            }
        }
        frame
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): choices from a seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn byte(&mut self) -> u8 {
        self.next() as u8
    }
}
