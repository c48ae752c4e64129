//! What a cluster is made of, and the cluster itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use tempfile::TempDir;

use crate::fabric::Port;
use crate::{Engine, Namespaces};

/// Where engines run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// All on 127.0.0.1, each on ports of its own from `base_port` up (two each, and one for multicast).
    Loopback {
        /// First port.
        base_port: u16,
    },
    /// Each in a network namespace, joined by a bridge. Needs root.
    Namespaces {
        /// MTU of every interface.
        mtu_bytes: u32,
    },
    /// Each in a network namespace with several links, IPv4 and IPv6 in turn, each on a bridge of its own. Needs
    /// root.
    Links {
        /// How many.
        count: usize,
    },
    /// In the RDMA lab (`cargo xtask rdma-lab`), each on a soft-RoCE device of its own.
    Rdma,
    /// There, with a second link on the nodes' second ports.
    RdmaAnd {
        /// What carries it.
        second: Second,
    },
}

/// What carries the second link in the RDMA lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Second {
    /// UDP.
    Udp,
    /// A second soft-RoCE device.
    Verbs,
}

/// MTU of every interface where there are several links.
const LINKS_MTU_BYTES: u32 = 1500;

/// A cluster to be.
#[derive(Clone, Debug)]
pub struct Spec {
    /// How many engines.
    pub nodes: usize,
    /// Where.
    pub place: Place,
    /// Program and leading arguments that start an engine; `--config FILE` is added.
    pub program: Vec<PathBuf>,
    /// AES-256-GCM on or off.
    pub encrypted: bool,
    /// More configuration, per section: `("engine", "idle = \"busy\"")`.
    pub extra: Vec<(String, String)>,
}

/// A running cluster in a directory of its own, removed with it (unless `SYNCHROTRON_KEEP` is set:
/// then it stays for a post-mortem).
pub struct Cluster {
    spec: Spec,
    namespaces: Option<Namespaces>,
    engines: Vec<Option<Engine>>,
    dir: TempDir,
}

impl Cluster {
    /// Writes the configuration and makes the network; starts nothing yet.
    ///
    /// # Errors
    /// When files cannot be written or the namespaces cannot be made.
    pub fn prepare(spec: Spec) -> anyhow::Result<Self> {
        let mut dir = tempfile::Builder::new().prefix("synchrotron-").tempdir()?;
        if std::env::var_os("SYNCHROTRON_KEEP").is_some() {
            dir.disable_cleanup(true);
            eprintln!("logs, state and recorders stay in {}", dir.path().display());
        }
        let namespaces = match spec.place {
            Place::Loopback { .. } | Place::Rdma => None,
            Place::RdmaAnd { second } => {
                second_devices(second, spec.nodes)?;
                None
            }
            Place::Namespaces { mtu_bytes } => Some(Namespaces::create(spec.nodes, mtu_bytes)?),
            Place::Links { count } => {
                Some(Namespaces::with_links(spec.nodes, count, LINKS_MTU_BYTES)?)
            }
        };
        let engines = (0..spec.nodes).map(|_| None).collect();
        let cluster = Self { spec, namespaces, engines, dir };
        if cluster.spec.encrypted {
            cluster.write_key()?;
        }
        for node in 0..cluster.spec.nodes {
            std::fs::create_dir_all(cluster.node_dir(node))?;
            std::fs::write(cluster.config_file(node), cluster.config(node))?;
        }
        Ok(cluster)
    }

    /// Starts every engine.
    ///
    /// # Errors
    /// See [`Cluster::start`].
    pub fn start_all(&mut self) -> anyhow::Result<()> {
        (0..self.spec.nodes).try_for_each(|node| self.start(node))
    }

    /// Starts (again) the engine of one node.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn start(&mut self, node: usize) -> anyhow::Result<()> {
        let (program, args) = self.spec.program.split_first().context("no engine program given")?;
        let mut command = match &self.namespaces {
            Some(namespaces) => namespaces.command(node, program),
            None => Command::new(program),
        };
        command.args(args).arg("--config").arg(self.config_file(node));
        let log = self.node_dir(node).join("log");
        self.engines[node] = Some(Engine::start(command, &log)?);
        Ok(())
    }

    /// How many nodes.
    pub fn nodes(&self) -> usize {
        self.spec.nodes
    }

    /// The engine of a node, if it was started.
    pub fn engine(&mut self, node: usize) -> anyhow::Result<&mut Engine> {
        self.engines[node].as_mut().with_context(|| format!("engine {node} was not started"))
    }

    /// The network, for faults.
    ///
    /// # Errors
    /// On loopback there is none.
    pub fn network(&self) -> anyhow::Result<&Namespaces> {
        self.namespaces.as_ref().context("this cluster has no network of its own to cut")
    }

    /// How many links nodes have.
    pub fn links(&self) -> usize {
        match (self.spec.place, &self.namespaces) {
            (Place::RdmaAnd { .. }, _) => 2,
            (_, Some(namespaces)) => namespaces.links(),
            _ => 1,
        }
    }

    /// Path of a node's client socket.
    pub fn socket(&self, node: usize) -> PathBuf {
        self.node_dir(node).join("socket")
    }

    /// Directory of a node: configuration, state, log, socket.
    pub fn node_dir(&self, node: usize) -> PathBuf {
        self.dir.path().join(format!("n{}", node + 1))
    }

    /// What the engine of a node counts, by name; empty before its first start.
    pub fn counters(&self, node: usize) -> BTreeMap<String, u64> {
        self.page(node).map(|page| page.values.into_iter().collect()).unwrap_or_default()
    }

    /// The same with the time of writing (by [`crate::now_ns`]): ten times a second, and once if it sleeps.
    pub(crate) fn page(&self, node: usize) -> Option<daemon::page::Counters> {
        let bytes = std::fs::read(self.node_dir(node).join("state/counters")).ok()?;
        daemon::page::parse(&bytes)
    }

    /// The cluster's directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn config_file(&self, node: usize) -> PathBuf {
        self.node_dir(node).join("synchrotron.toml")
    }

    fn key_file(&self) -> PathBuf {
        self.dir.path().join("key")
    }

    /// A test key, readable by us alone: not secret, but of the right shape.
    fn write_key(&self) -> anyhow::Result<()> {
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(self.key_file())?;
        Ok(std::io::Write::write_all(&mut file, test_key().as_bytes())?)
    }

    /// Address and port of a node's data queue; the token's port is one higher.
    fn address(&self, node: usize) -> String {
        match (self.spec.place, &self.namespaces) {
            (Place::Loopback { base_port }, _) => {
                format!("127.0.0.1:{}", base_port + 1 + 2 * node as u16)
            }
            (Place::Rdma | Place::RdmaAnd { .. }, _) => {
                format!("{}:5405", Port { node, link: 0 }.address())
            }
            (_, Some(namespaces)) => format!("{}:5405", namespaces.address(node)),
            (Place::Namespaces { .. } | Place::Links { .. }, None) => {
                unreachable!("namespaces were made in `prepare`")
            }
        }
    }

    fn config(&self, node: usize) -> String {
        let dir = self.node_dir(node);
        let mut sections = vec![
            ("cluster".to_owned(), format!("name = \"local-{}\"", std::process::id())),
            ("node".to_owned(), format!("id = {}", node + 1)),
            ("engine".to_owned(), format!("state_dir = {:?}", dir.join("state"))),
            ("ipc".to_owned(), format!("socket = {:?}", self.socket(node))),
        ];
        if let Place::Loopback { base_port } = self.spec.place {
            let group = format!("multicast = \"239.255.77.1:{base_port}\"");
            sections.push(("transport".to_owned(), group));
        }
        let kind = match self.spec.place {
            Place::Rdma | Place::RdmaAnd { second: Second::Verbs } => Some("kind = \"verbs\""),
            Place::RdmaAnd { second: Second::Udp } => Some("link_kinds = [\"verbs\", \"udp\"]"),
            _ => None,
        };
        sections.extend(kind.map(|kind| ("transport".to_owned(), kind.to_owned())));
        let encryption = if self.spec.encrypted {
            format!("encryption = \"aes-256-gcm\"\nkey_file = {:?}", self.key_file())
        } else {
            "encryption = \"off\"".to_owned()
        };
        sections.push(("security".to_owned(), encryption));
        sections.extend(self.spec.extra.iter().cloned());
        let addresses: Vec<_> = (0..self.spec.nodes).map(|node| self.addresses(node)).collect();
        render(&sections, &addresses)
    }

    /// The node's addresses by link; ports as Corosync numbers them, with room for the token's.
    fn addresses(&self, node: usize) -> Vec<String> {
        let further = self.namespaces.iter().flat_map(|namespaces| {
            (1..namespaces.links()).map(|link| {
                let port = 5405 + 2 * link as u16;
                SocketAddr::new(namespaces.link_address(node, link), port).to_string()
            })
        });
        let second = match self.spec.place {
            Place::RdmaAnd { .. } => Some(format!("{}:5407", Port { node, link: 1 }.address())),
            _ => None,
        };
        std::iter::once(self.address(node)).chain(second).chain(further).collect()
    }
}

/// Makes the devices of second links where there are none yet.
fn second_devices(second: Second, nodes: usize) -> anyhow::Result<()> {
    let ports = (0..nodes).map(|node| Port { node, link: 1 });
    match second {
        Second::Udp => Ok(()),
        Second::Verbs => ports.filter(|port| !port.has_device()).try_for_each(Port::add_device),
    }
}

/// A key for tests: not secret, but of the right shape.
pub fn test_key() -> String {
    (0..32).map(|byte: u8| format!("{:02x}", byte.wrapping_mul(37))).collect()
}

/// An engine's configuration: one table per section (a section may be given several times), then the node list, node 1
/// at the first addresses (one for each link).
pub fn render(sections: &[(String, String)], addresses: &[Vec<String>]) -> String {
    let mut names: Vec<&String> = Vec::new();
    for (name, _) in sections {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut text = String::new();
    for name in names {
        _ = writeln!(text, "[{name}]");
        for (_, keys) in sections.iter().filter(|(section, _)| section == name) {
            _ = writeln!(text, "{keys}");
        }
        text.push('\n');
    }
    for (peer, links) in addresses.iter().enumerate() {
        let id = peer + 1;
        _ = writeln!(text, "[[nodes]]\nid = {id}\nname = \"n{id}\"");
        if let Some((first, further)) = links.split_first() {
            _ = writeln!(text, "address = \"{first}\"");
            if !further.is_empty() {
                _ = writeln!(text, "links = {further:?}");
            }
        }
        text.push('\n');
    }
    text
}
