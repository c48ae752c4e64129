//! A whole configuration: what the rest of the house reads.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::host::System;
use crate::load::Source;
use crate::model::{
    Driver, Encryption, Engine, Ipc, Limits, Log, Memory, Multicast, Node, Recorder, Security,
    Totem, Transport,
};
use crate::problem::Problems;
use crate::quorum::Quorum;

/// A checked configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file it came from.
    pub file: PathBuf,
    /// Name of the cluster.
    pub cluster_name: String,
    /// Version of the node list.
    pub config_version: u64,
    /// This node's id; it is in `nodes`.
    pub me: u32,
    /// All nodes, sorted by id.
    pub nodes: Vec<Node>,
    /// `[transport]`
    pub transport: Transport,
    /// `[security]`
    pub security: Security,
    /// `[totem]`
    pub totem: Totem,
    /// `[quorum]`
    pub quorum: Quorum,
    /// `[engine]`
    pub engine: Engine,
    /// `[memory]`
    pub memory: Memory,
    /// `[ipc]`
    pub ipc: Ipc,
    /// `[limits]`
    pub limits: Limits,
    /// `[log]`
    pub log: Log,
    /// `[recorder]`
    pub recorder: Recorder,
}

impl Config {
    /// Reads and checks a file of TOML. The cluster key is not read: see [`crate::key_file::cluster_key`].
    ///
    /// # Errors
    /// Everything that is wrong with the file, or why it cannot be read.
    pub fn load(file: &Path) -> Result<Self, Problems> {
        Source::Toml(file.to_owned()).load(&System).map(|loaded| loaded.config)
    }

    /// Checks a text. Relative paths in it start at `file`'s directory.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str, file: &Path) -> Result<Self, Problems> {
        Source::Toml(file.to_owned()).parse(text, &System).map(|loaded| loaded.config)
    }

    /// This node.
    ///
    /// # Panics
    /// Never for a configuration made by [`Config::parse`], which checks that `me` is listed.
    pub fn my_node(&self) -> &Node {
        let me = self.nodes.iter().find(|node| node.id == self.me);
        me.expect("`parse` checked that this node is listed")
    }

    /// How many links every node has.
    pub fn link_count(&self) -> usize {
        1 + self.my_node().links.len()
    }

    /// What carries datagrams on a link.
    pub fn driver(&self, link: usize) -> &Driver {
        self.transport.drivers.get(link).unwrap_or(&Driver::Udp)
    }

    /// How many links are over RDMA.
    pub fn verbs_links(&self) -> usize {
        self.transport.drivers.iter().filter(|driver| driver.is_verbs()).count()
    }

    /// How data reaches all nodes on a link. Each link has a group of its own, that many past the group of
    /// link 0; where a link is of the other IP version, one that follows from it.
    pub fn multicast_on(&self, link: usize) -> Multicast {
        let Multicast::Group(group) = self.transport.multicast else { return Multicast::Off };
        let is_ipv4 = self.my_node().link(link).is_none_or(|own| own.address.is_ipv4());
        let ip = match group.ip() {
            IpAddr::V4(ip) if is_ipv4 => IpAddr::V4(Ipv4Addr::from(u32::from(ip) + link as u32)),
            IpAddr::V6(ip) if !is_ipv4 => IpAddr::V6(Ipv6Addr::from(u128::from(ip) + link as u128)),
            other => {
                let [a, b, c, d, ..] = fnv1a(other.to_string().as_bytes()).to_le_bytes();
                if is_ipv4 {
                    IpAddr::V4(Ipv4Addr::new(239, 192 | (a & 3), b, c & 0xf8 | link as u8))
                } else {
                    let (high, low) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
                    IpAddr::V6(Ipv6Addr::new(0xff08, 0, 0, 0, 0, link as u16, high, low))
                }
            }
        };
        Multicast::Group(SocketAddr::new(ip, group.port()))
    }

    /// A hash over what must be the same on every node: cluster name, node list, encryption on or off,
    /// limits, quorum, and where votes are counted how long the ring may take for anything. Nodes with equal
    /// versions and different hashes refuse each other. FNV-1a, 64 bits.
    pub fn shared_hash(&self) -> u64 {
        let mut text = format!(
            "{}\n{}\n{}\n",
            self.cluster_name,
            matches!(self.security.encryption, Encryption::Off),
            self.limits.message_bytes_max
        );
        let drivers = &self.transport.drivers;
        if drivers.iter().all(Driver::is_verbs) {
            text += "verbs\n";
        } else if self.verbs_links() > 0 {
            drivers.iter().for_each(|driver| text += driver.name());
            text += "\n";
        }
        for node in &self.nodes {
            text += &format!("{} {} {}", node.id, node.address, node.token_address);
            for link in &node.links {
                text += &format!(" {} {}", link.address, link.token_address);
            }
            text += "\n";
        }
        text += &self.quorum.shared_text(&self.nodes, &self.totem);
        fnv1a(text.as_bytes())
    }
}

/// FNV-1a, 64 bits: stable for ever, unlike the standard library's hashes.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
