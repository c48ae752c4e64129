//! Hosts made of network namespaces: one each, joined by bridges in a namespace of their own, one for each link.
//!
//! Everything lives in namespaces made here and is removed when the value is dropped; nothing of the
//! machine's own network is touched. Needs root, `ip` (iproute2) and `nft` (nftables).

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, ensure};

/// So that several clusters of one process do not collide.
static SERIAL: AtomicU32 = AtomicU32::new(0);

/// Most hosts that ask for each other's hardware addresses, as usual. All namespaces share the kernel's table of
/// neighbours, which has room for 1024: 32 hosts have 992, and with more of them most datagrams would go nowhere.
const HOSTS_ASKING_MAX: usize = 32;

/// A switch and its hosts.
pub struct Namespaces {
    /// Prefix of all namespace names.
    prefix: String,
    hosts: usize,
    links: usize,
    mtu_bytes: u32,
}

/// Packets that wait at a port while they are delayed: more than a window of the ring has.
const NETEM_PACKETS: &str = "10000";

impl Namespaces {
    /// Most hosts one switch serves: addresses are 10.77.0.1 and up in a /24.
    pub const HOSTS_MAX: usize = 250;

    /// Makes `hosts` namespaces whose interfaces have this MTU.
    ///
    /// # Errors
    /// When we are not root, a program is missing or the kernel refuses; what was made is removed.
    pub fn create(hosts: usize, mtu_bytes: u32) -> anyhow::Result<Self> {
        Self::with_links(hosts, 1, mtu_bytes)
    }

    /// Makes `hosts` namespaces with this many interfaces each, of this MTU, on as many bridges.
    ///
    /// # Errors
    /// When we are not root, a program is missing or the kernel refuses; what was made is removed.
    pub fn with_links(hosts: usize, links: usize, mtu_bytes: u32) -> anyhow::Result<Self> {
        ensure!(
            (1..=Self::HOSTS_MAX).contains(&hosts),
            "{hosts} hosts; 1 to {} work",
            Self::HOSTS_MAX
        );
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("syn{}-{serial}-", std::process::id());
        let made = Self { prefix, hosts, links, mtu_bytes };
        let switch = made.switch();
        ip(&["netns", "add", &switch])?;
        let mtu = mtu_bytes.to_string();
        for link in 0..links {
            let bridge = format!("br{link}");
            // No multicast snooping: there is no querier here, and snooping would drop groups at random.
            ip(&[
                "-n",
                &switch,
                "link",
                "add",
                &bridge,
                "mtu",
                &mtu,
                "type",
                "bridge",
                "mcast_snooping",
                "0",
            ])?;
            ip(&["-n", &switch, "link", "set", &bridge, "up"])?;
        }
        for host in 0..hosts {
            made.add_host(host)?;
            (0..links).try_for_each(|link| made.add_interface(host, link))?;
        }
        if hosts > HOSTS_ASKING_MAX {
            (0..hosts).try_for_each(|host| made.introduce(host))?;
        }
        Ok(made)
    }

    /// Tells a host the hardware addresses of all others, for good.
    fn introduce(&self, host: usize) -> anyhow::Result<()> {
        let others = (0..self.hosts).filter(|&other| other != host);
        let entries = others.flat_map(|other| {
            (0..self.links).map(move |link| {
                let (address, mac) = (self.link_address(other, link), mac(other, link));
                format!("neigh replace {address} lladdr {mac} dev eth{link} nud permanent\n")
            })
        });
        let lines: String = entries.collect();
        let mut batch = tempfile::NamedTempFile::new().context("a file for `ip -batch`")?;
        batch.write_all(lines.as_bytes()).context("a file for `ip -batch`")?;
        let file = batch.path().display().to_string();
        ip(&["-n", &self.name(host), "-batch", &file])
    }

    fn add_host(&self, host: usize) -> anyhow::Result<()> {
        let name = self.name(host);
        ip(&["netns", "add", &name])?;
        ip(&["-n", &name, "link", "set", "lo", "up"])?;
        self.nft(host, "add table inet fault")?;
        self.nft(
            host,
            "add chain inet fault input { type filter hook input priority 0; policy accept; }",
        )
    }

    /// Gives a host an interface on a link, with its address.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn add_interface(&self, host: usize, link: usize) -> anyhow::Result<()> {
        let (name, switch, port) = (self.name(host), self.switch(), port(host, link));
        let (bridge, interface) = (format!("br{link}"), format!("eth{link}"));
        let mtu = &self.mtu_bytes.to_string();
        ip(&[
            "-n",
            &switch,
            "link",
            "add",
            &port,
            "mtu",
            mtu,
            "type",
            "veth",
            "peer",
            "name",
            &interface,
            "netns",
            &name,
            "mtu",
            mtu,
            "address",
            &mac(host, link),
        ])?;
        ip(&["-n", &switch, "link", "set", &port, "master", &bridge, "up"])?;
        if self.link_address(host, link).is_ipv6() {
            // Static addresses stay when the interface is down, as a network manager would see to.
            let key = format!("net.ipv6.conf.{interface}.keep_addr_on_down=1");
            run(Command::new("ip").args(["netns", "exec", &name, "sysctl", "-qw", &key]))?;
        }
        self.add_address(host, link)?;
        ip(&["-n", &name, "link", "set", &interface, "up"])?;
        if link == 0 {
            ip(&["-n", &name, "route", "add", "224.0.0.0/4", "dev", &interface])?;
        }
        Ok(())
    }

    /// Takes a host's interface on a link away.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn remove_interface(&self, host: usize, link: usize) -> anyhow::Result<()> {
        ip(&["-n", &self.switch(), "link", "del", &port(host, link)])
    }

    /// Gives the interface of a host on a link its address.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn add_address(&self, host: usize, link: usize) -> anyhow::Result<()> {
        self.change_address("add", host, link)
    }

    /// Takes that address away again.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn remove_address(&self, host: usize, link: usize) -> anyhow::Result<()> {
        self.change_address("del", host, link)
    }

    fn change_address(&self, change: &str, host: usize, link: usize) -> anyhow::Result<()> {
        let address = self.link_address(host, link);
        let (bits, nodad): (u8, &[&str]) = match address {
            IpAddr::V6(_) if change == "add" => (64, &["nodad"]),
            IpAddr::V6(_) => (64, &[]),
            IpAddr::V4(_) => (24, &[]),
        };
        let (name, address, interface) =
            (self.name(host), format!("{address}/{bits}"), format!("eth{link}"));
        let line = ["-n", &name, "addr", change, &address, "dev", &interface];
        ip(&[&line, nodad].concat())
    }

    /// Address of a host.
    pub fn address(&self, host: usize) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, (host + 1) as u8)
    }

    /// Address of a host on a link: IPv4 on even ones, IPv6 on odd ones.
    pub fn link_address(&self, host: usize, link: usize) -> IpAddr {
        match link % 2 {
            0 => Ipv4Addr::new(10, 77, link as u8, (host + 1) as u8).into(),
            _ => Ipv6Addr::new(0xfd77, 0, 0, link as u16, 0, 0, 0, (host + 1) as u16).into(),
        }
    }

    /// Sets a host's interface on a link down or up.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn set_interface(&self, host: usize, link: usize, up: bool) -> anyhow::Result<()> {
        let state = if up { "up" } else { "down" };
        ip(&["-n", &self.name(host), "link", "set", &format!("eth{link}"), state])
    }

    /// Sets the switch of a link down or up: it forwards nothing, and the hosts' interfaces do not notice.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn set_switch(&self, link: usize, up: bool) -> anyhow::Result<()> {
        let state = if up { "up" } else { "down" };
        ip(&["-n", &self.switch(), "link", "set", &format!("br{link}"), state])
    }

    /// From now on a host receives nothing on a link (one way).
    ///
    /// # Errors
    /// When `nft` fails.
    pub fn deafen(&self, host: usize, link: usize) -> anyhow::Result<()> {
        self.nft(host, &format!("add rule inet fault input iifname eth{link} drop"))
    }

    /// How many links there are.
    pub fn links(&self) -> usize {
        self.links
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

    /// From now on hosts send every datagram as a packet of its own, as wires carry them: without this, what
    /// happens to one packet here happens to a whole burst.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn send_singly(&self) -> anyhow::Result<()> {
        (0..self.hosts).try_for_each(|host| {
            ip(&["-n", &self.name(host), "link", "set", "eth0", "gso_max_segs", "1"])
        })
    }

    /// Weather on the way to every host, in the words of `tc qdisc add ... netem`; an empty one ends it.
    ///
    /// # Errors
    /// When `tc` fails, or the kernel has no `sch_netem`.
    pub fn netem(&self, weather: &str) -> anyhow::Result<()> {
        for host in 0..self.hosts {
            let (switch, port) = (self.switch(), format!("p{host}"));
            let mut command = Command::new("ip");
            command.args(["netns", "exec", &switch, "tc", "qdisc"]);
            if weather.is_empty() {
                // Without weather there is nothing to end, which is well.
                let _ = run(command.args(["del", "dev", &port, "root"]));
                continue;
            }
            command.args(["replace", "dev", &port, "root", "netem", "limit", NETEM_PACKETS]);
            run(command.args(weather.split_whitespace()))?;
        }
        Ok(())
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

/// The switch's end of a host's cable.
fn port(host: usize, link: usize) -> String {
    if link == 0 { format!("p{host}") } else { format!("p{host}l{link}") }
}

/// Hardware address of a host's interface: locally administered, so that it collides with no real one.
fn mac(host: usize, link: usize) -> String {
    format!("02:4d:00:00:{link:02x}:{:02x}", host + 1)
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
