//! The fabric of the RDMA lab (`cargo xtask rdma-lab`), for engines that run in it: node i, from zero, has
//! the port `vI`, the soft-RoCE device `rxeI` on it, the address 10.77.0.(I+1) and the routing table 100+I;
//! `pI` in the namespace `switch` is the other end of its cable.

use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

/// First byte of a packet of a datagram queue pair, in UDP after headers of 28 bytes.
const DATAGRAM_OPCODE: &str = "0x64";

/// Address of a node.
pub(crate) fn address(node: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, (node + 1) as u8)
}

/// Sets a node's port down.
///
/// # Errors
/// When `ip` fails; we may not be in the lab.
pub(crate) fn port_down(node: usize) -> anyhow::Result<()> {
    run(&format!("/usr/bin/ip link set v{node} down"))
}

/// Sets it up again. The kernel brings back its own routes of the port in the same step; those in the lab's
/// tables are ours, and are there before the first packet can come: until then the cable is out.
///
/// # Errors
/// As [`port_down`].
pub(crate) fn port_up(node: usize) -> anyhow::Result<()> {
    let (table, address) = (100 + node, address(node));
    run(&format!("/usr/bin/ip -n switch link set p{node} down"))?;
    run(&format!("/usr/bin/ip link set v{node} up"))?;
    run(&format!(
        "/usr/bin/ip route replace 10.77.0.0/24 dev v{node} src {address} table {table}"
    ))?;
    run(&format!("/usr/bin/ip route replace 224.0.0.0/4 dev v{node} table {table}"))?;
    run(&format!("/usr/bin/ip -n switch link set p{node} up"))
}

/// Deletes a node's device. This returns when its engine has let go of it.
///
/// # Errors
/// When `rdma` fails; we may not be in the lab.
pub(crate) fn remove_device(node: usize) -> anyhow::Result<()> {
    run(&format!("rdma link delete rxe{node}"))
}

/// Makes it again.
///
/// # Errors
/// As [`remove_device`].
pub(crate) fn add_device(node: usize) -> anyhow::Result<()> {
    run(&format!("rdma link add rxe{node} type rxe netdev v{node}"))
}

/// From now on every node loses this share of what datagram queue pairs send to it, each on its own; what
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
