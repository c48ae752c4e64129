//! Hosts made of network namespaces: one each, joined by a bridge in a namespace of its own.
//!
//! Everything lives in namespaces made here and is removed when the value is dropped; nothing of the
//! machine's own network is touched. Needs root, `ip` (iproute2) and `nft` (nftables).

use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, ensure};

/// So that several clusters of one process do not collide.
static SERIAL: AtomicU32 = AtomicU32::new(0);

/// A switch and its hosts.
pub struct Namespaces {
    /// Prefix of all namespace names.
    prefix: String,
    hosts: usize,
}

impl Namespaces {
    /// Most hosts one switch serves: addresses are 10.77.0.1 and up in a /24.
    pub const HOSTS_MAX: usize = 250;

    /// Makes `hosts` namespaces whose interfaces have this MTU.
    ///
    /// # Errors
    /// When we are not root, a program is missing or the kernel refuses; what was made is removed.
    pub fn create(hosts: usize, mtu_bytes: u32) -> anyhow::Result<Self> {
        ensure!(
            (1..=Self::HOSTS_MAX).contains(&hosts),
            "{hosts} hosts; 1 to {} work",
            Self::HOSTS_MAX
        );
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let made = Self { prefix: format!("syn{}-{serial}-", std::process::id()), hosts };
        let switch = made.switch();
        ip(&["netns", "add", &switch])?;
        // No multicast snooping: there is no querier here, and snooping would drop groups at random.
        ip(&[
            "-n",
            &switch,
            "link",
            "add",
            "br0",
            "mtu",
            &mtu_bytes.to_string(),
            "type",
            "bridge",
            "mcast_snooping",
            "0",
        ])?;
        ip(&["-n", &switch, "link", "set", "br0", "up"])?;
        for host in 0..hosts {
            made.add_host(host, mtu_bytes)?;
        }
        Ok(made)
    }

    fn add_host(&self, host: usize, mtu_bytes: u32) -> anyhow::Result<()> {
        let (name, switch, port) = (self.name(host), self.switch(), format!("p{host}"));
        let mtu = mtu_bytes.to_string();
        ip(&["netns", "add", &name])?;
        ip(&[
            "-n", &switch, "link", "add", &port, "mtu", &mtu, "type", "veth", "peer", "name",
            "eth0", "netns", &name, "mtu", &mtu,
        ])?;
        ip(&["-n", &switch, "link", "set", &port, "master", "br0", "up"])?;
        let address = format!("{}/24", self.address(host));
        ip(&["-n", &name, "addr", "add", &address, "dev", "eth0"])?;
        ip(&["-n", &name, "link", "set", "lo", "up"])?;
        ip(&["-n", &name, "link", "set", "eth0", "up"])?;
        ip(&["-n", &name, "route", "add", "224.0.0.0/4", "dev", "eth0"])?;
        self.nft(host, "add table inet fault")?;
        self.nft(
            host,
            "add chain inet fault input { type filter hook input priority 0; policy accept; }",
        )
    }

    /// Address of a host.
    pub fn address(&self, host: usize) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, (host + 1) as u8)
    }

    /// Name of a host's namespace.
    pub fn name(&self, host: usize) -> String {
        format!("{}{host}", self.prefix)
    }

    fn switch(&self) -> String {
        format!("{}sw", self.prefix)
    }

    /// A command that runs `program` on `host`.
    pub fn command(&self, host: usize, program: &std::path::Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(host)]).arg(program);
        command
    }

    /// From now on `to` receives nothing from `from` (one way).
    ///
    /// # Errors
    /// When `nft` fails.
    pub fn cut(&self, from: usize, to: usize) -> anyhow::Result<()> {
        self.nft(to, &format!("add rule inet fault input ip saddr {} drop", self.address(from)))
    }

    /// Cuts a host off from all others, both ways.
    ///
    /// # Errors
    /// When `nft` fails.
    pub fn isolate(&self, host: usize) -> anyhow::Result<()> {
        for other in (0..self.hosts).filter(|&other| other != host) {
            self.cut(other, host)?;
            self.cut(host, other)?;
        }
        Ok(())
    }

    /// Unplugs a host's cable: the way a dead host looks to the others.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn unplug(&self, host: usize) -> anyhow::Result<()> {
        ip(&["-n", &self.switch(), "link", "set", &format!("p{host}"), "nomaster"])
    }

    /// Plugs the cable in again.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn plug(&self, host: usize) -> anyhow::Result<()> {
        ip(&["-n", &self.switch(), "link", "set", &format!("p{host}"), "master", "br0"])
    }

    /// From now on every host loses this share of the UDP datagrams that reach it, at random; a burst that the
    /// kernel received as one packet is lost as one.
    ///
    /// # Errors
    /// When `nft` fails.
    pub fn lose(&self, percent: u8) -> anyhow::Result<()> {
        let rule = format!(
            "add rule inet fault input meta l4proto udp numgen random mod 100 < {percent} drop"
        );
        (0..self.hosts).try_for_each(|host| self.nft(host, &rule))
    }

    /// Undoes every cut and every loss.
    ///
    /// # Errors
    /// When `nft` fails.
    pub fn heal(&self) -> anyhow::Result<()> {
        (0..self.hosts).try_for_each(|host| self.nft(host, "flush chain inet fault input"))
    }

    fn nft(&self, host: usize, rule: &str) -> anyhow::Result<()> {
        run(Command::new("ip").args(["netns", "exec", &self.name(host), "nft", rule]))
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in (0..self.hosts).map(|host| self.name(host)).chain([self.switch()]) {
            // Interfaces go with their namespace; one that was never made is no loss.
            let _ = run(Command::new("ip").args(["netns", "del", &name]));
        }
    }
}

fn ip(args: &[&str]) -> anyhow::Result<()> {
    run(Command::new("ip").args(args))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed: {}", said.trim());
    Ok(())
}
