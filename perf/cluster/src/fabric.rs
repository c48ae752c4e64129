//! The fabric of the RDMA lab (`cargo xtask rdma-lab`), for engines that run in it. Every node has two ports, each
//! on a switch of its own: node i, from zero, has the port `vI` with the soft-RoCE device `rxeI` on it, the
//! address 10.77.0.(I+1) and the routing table 100+I, and the port `uI` with the address 10.78.0.(I+1) and the table
//! 200+I; `pI` and `qI` in the namespace `switch` are the other ends of their cables. `rxfI` on `uI` is made where
//! it is wanted.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

/// First byte of a packet of a datagram queue pair, in UDP after headers of 28 bytes.
const DATAGRAM_OPCODE: &str = "0x64";

/// One of a node's ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Port {
    /// Whose, from zero.
    pub(crate) node: usize,
    /// 0 or 1.
    pub(crate) link: usize,
}

/// Names by link: port, its cable's other end, and device.
const PORTS: [&str; 2] = ["v", "u"];
const CABLES: [&str; 2] = ["p", "q"];
const DEVICES: [&str; 2] = ["rxe", "rxf"];

impl Port {
    /// Its address.
    pub(crate) fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77 + self.link as u8, 0, (self.node + 1) as u8)
    }

    fn name(self) -> String {
        format!("{}{}", PORTS[self.link], self.node)
    }

    fn device(self) -> String {
        format!("{}{}", DEVICES[self.link], self.node)
    }

    fn cable(self, state: &str) -> anyhow::Result<()> {
        let Self { node, link } = self;
        run(&format!("/usr/bin/ip -n switch link set {}{node} {state}", CABLES[link]))
    }

    /// Pulls its cable out, or puts it in again.
    ///
    /// # Errors
    /// When `ip` fails; we may not be in the lab.
    pub(crate) fn set_cable(self, is_in: bool) -> anyhow::Result<()> {
        self.cable(if is_in { "up" } else { "down" })
    }

    /// Sets it down.
    ///
    /// # Errors
    /// As [`Port::set_cable`].
    pub(crate) fn down(self) -> anyhow::Result<()> {
        run(&format!("/usr/bin/ip link set {} down", self.name()))
    }

    /// Sets it up again. The kernel brings back its own routes of the port in the same step; those in the lab's
    /// tables are ours, and are there before the first packet can come: until then the cable is out.
    ///
    /// # Errors
    /// As [`Port::set_cable`].
    pub(crate) fn up(self) -> anyhow::Result<()> {
        let (name, address, table) =
            (self.name(), self.address(), 100 + 100 * self.link + self.node);
        let net = Ipv4Addr::new(10, 77 + self.link as u8, 0, 0);
        self.cable("down")?;
        run(&format!("/usr/bin/ip link set {name} up"))?;
        run(&format!("/usr/bin/ip route replace {net}/24 dev {name} src {address} table {table}"))?;
        run(&format!("/usr/bin/ip route replace 224.0.0.0/4 dev {name} table {table}"))?;
        self.cable("up")
    }

    /// Deletes its device. This returns when its engine has let go of it.
    ///
    /// # Errors
    /// When `rdma` fails; we may not be in the lab.
    pub(crate) fn remove_device(self) -> anyhow::Result<()> {
        run(&format!("rdma link delete {}", self.device()))
    }

    /// Whether it has its device.
    pub(crate) fn has_device(self) -> bool {
        Path::new("/sys/class/infiniband").join(self.device()).exists()
    }

    /// Makes it (again).
    ///
    /// # Errors
    /// As [`Port::remove_device`].
    pub(crate) fn add_device(self) -> anyhow::Result<()> {
        run(&format!("rdma link add {} type rxe netdev {}", self.device(), self.name()))
    }
}

/// From now on every node loses this share of what datagram queue pairs send to it on link 0, each on its own; what
/// connections send is spared. Zero ends it.
///
/// # Errors
/// When `tc` fails; we may not be in the lab.
pub(crate) fn lose(nodes: usize, percent: u32) -> anyhow::Result<()> {
    for node in 0..nodes {
        let tc = |args: String| run(&format!("/usr/bin/ip netns exec switch /usr/bin/tc {args}"));
        if percent == 0 {
            tc(format!("qdisc del dev p{node} root"))?;
            continue;
        }
        let first = "0 ".repeat(16);
        tc(format!("qdisc add dev p{node} root handle 1: prio bands 3 priomap {first}"))?;
        tc(format!("qdisc add dev p{node} parent 1:3 handle 30: netem loss {percent}%"))?;
        tc(format!(
            "filter add dev p{node} parent 1: protocol ip u32 match ip protocol 17 0xff \
             match u8 {DATAGRAM_OPCODE} 0xfc at 28 flowid 1:3"
        ))?;
    }
    Ok(())
}

fn run(line: &str) -> anyhow::Result<()> {
    let mut words = line.split_whitespace();
    let output = Command::new(words.next().context("a program")?)
        .args(words)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {line}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{line}: {}", said.trim());
    Ok(())
}
