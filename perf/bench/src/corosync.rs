//! Debian's Corosync as it is started for comparison: generated configuration, a network namespace and a mount
//! namespace for each node.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use clap::ValueEnum;
use cluster::Namespaces;
use serde::Serialize;

use crate::setup::{Setup, Switch};

/// How Corosync's datagrams travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Transport {
    /// Kronosnet.
    Knet,
    /// Multicast.
    Udp,
    /// Unicast.
    Udpu,
}

impl Transport {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Knet => "knet",
            Self::Udp => "udp",
            Self::Udpu => "udpu",
        }
    }
}

/// Bytes of a key as `corosync-keygen` makes it.
const KEY_BYTES: usize = 256;

/// Directories that every node needs for itself: libqb's rings, lock and state.
const PRIVATE_DIRS: [&str; 3] = ["/dev/shm", "/run", "/var/lib/corosync"];

/// Where the engine's program is.
///
/// # Errors
/// Why Corosync cannot be measured here, for people to read.
pub(crate) fn available(transport: Transport, encryption: Switch) -> anyhow::Result<PathBuf> {
    ensure!(
        transport == Transport::Knet || encryption == Switch::Off,
        "Corosync encrypts with knet only, not with {}",
        transport.name()
    );
    ensure!(
        rustix::process::geteuid().is_root(),
        "Corosync runs in network and mount namespaces, which needs root"
    );
    libcpg::Library::load(None).context("the package libcpg4 is not installed")?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let found = dirs.map(|dir| dir.join("corosync")).find(|file| file.is_file());
    match found {
        Some(program) => Ok(program),
        None => bail!("the package corosync is not installed: no program `corosync`"),
    }
}

/// The command of an agent in a node's namespaces.
pub(crate) fn agent_command(namespaces: &Namespaces, node: usize, tool: &Path) -> Command {
    let mut command = namespaces.command(node, Path::new("sh"));
    // `ip netns exec` has given it a mount namespace of its own, a slave of ours: these stay there.
    let mounts: String = PRIVATE_DIRS
        .iter()
        .map(|dir| format!("mount -t tmpfs -o size=2g corosync {dir} && "))
        .collect();
    command.arg("-c").arg(format!("{mounts}exec \"$0\" bench agent")).arg(tool);
    command
}

/// Writes key and configuration of every node; the directories are given.
pub(crate) fn configure(
    setup: &Setup,
    transport: Transport,
    namespaces: &Namespaces,
    dirs: &[PathBuf],
) -> anyhow::Result<()> {
    for dir in dirs {
        std::fs::create_dir_all(dir)?;
        let key = dir.join("authkey");
        let bytes: Vec<u8> = (0..KEY_BYTES).map(|at| (at * 37 + 11) as u8).collect();
        std::fs::write(&key, bytes)?;
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o400))?;
        std::fs::write(dir.join("corosync.conf"), config(setup, transport, namespaces, dir))?;
    }
    Ok(())
}

/// The arguments that start the engine of a node.
pub(crate) fn argv(program: &Path, dir: &Path) -> Vec<String> {
    let conf = dir.join("corosync.conf");
    [program, Path::new("-f"), Path::new("-c"), &conf].map(|part| part.display().to_string()).into()
}

fn config(setup: &Setup, transport: Transport, namespaces: &Namespaces, dir: &Path) -> String {
    let (cipher, hash) = match setup.encryption {
        Switch::On => ("aes256", "sha256"),
        Switch::Off => ("none", "none"),
    };
    let (name, dir) = (transport.name(), dir.display());
    let mut text = format!(
        "totem {{\n  version: 2\n  cluster_name: bench\n  transport: {name}\n  \
         crypto_cipher: {cipher}\n  crypto_hash: {hash}\n  keyfile: {dir}/authkey\n}}\n\
         system {{\n  sched_rr: no\n  priority: -10\n  move_to_root_cgroup: no\n  \
         allow_knet_handle_fallback: yes\n}}\n\
         resources {{\n  watchdog_device: off\n}}\n\
         logging {{\n  to_stderr: no\n  to_syslog: no\n  to_logfile: yes\n  \
         logfile: {dir}/log\n}}\nnodelist {{\n"
    );
    for node in 0..setup.nodes() {
        let (id, address) = (node + 1, namespaces.address(node));
        _ = writeln!(
            text,
            "  node {{\n    nodeid: {id}\n    name: n{id}\n    ring0_addr: {address}\n  }}"
        );
    }
    text.push_str("}\n");
    text
}
