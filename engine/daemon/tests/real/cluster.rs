//! Engines as their users run them: processes with a configuration file on loopback.

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use client::{Client, Options};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long anything may take before a test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A cluster's files and its engines. Dropping it kills them.
pub(crate) struct Cluster {
    pub(crate) dir: tempfile::TempDir,
    nodes: usize,
    base_port: u16,
    engines: Vec<Option<Child>>,
}

impl Cluster {
    /// Files for `nodes` nodes; `extra` is added to each configuration.
    pub(crate) fn new(nodes: usize, extra: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cluster = Self {
            dir,
            nodes,
            base_port: free_ports(nodes),
            engines: (0..nodes).map(|_| None).collect(),
        };
        for node in 1..=nodes {
            std::fs::create_dir(cluster.node_dir(node)).unwrap();
            std::fs::write(cluster.config(node), cluster.text(node, extra)).unwrap();
        }
        cluster
    }

    pub(crate) fn node_dir(&self, node: usize) -> PathBuf {
        self.dir.path().join(format!("n{node}"))
    }

    pub(crate) fn config(&self, node: usize) -> PathBuf {
        self.node_dir(node).join("synchrotron.toml")
    }

    pub(crate) fn log(&self, node: usize) -> String {
        std::fs::read_to_string(self.node_dir(node).join("log")).unwrap_or_default()
    }

    fn text(&self, node: usize, extra: &str) -> String {
        let base = self.base_port;
        let mut text = format!(
            "[cluster]\nname = \"test-{base}\"\n[node]\nid = {node}\n\
             [ipc]\nsocket = \"socket\"\n[transport]\nmulticast = \"239.255.79.1:{base}\"\n\
             [log]\nfile = \"log\"\nlevel = \"debug\"\n"
        );
        for peer in 1..=self.nodes {
            text += &self.listing(peer);
        }
        // Last, so that `extra` can go on with keys of [engine].
        text + "[engine]\nstate_dir = \"state\"\n" + extra
    }

    /// Changes a node's configuration file.
    pub(crate) fn edit(&self, node: usize, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.config(node)).unwrap();
        assert!(text.contains(from), "{from:?} is not in {text}");
        std::fs::write(self.config(node), text.replacen(from, to, 1)).unwrap();
    }

    /// The lines by which a node is listed.
    pub(crate) fn listing(&self, node: usize) -> String {
        let port = self.base_port + 2 * node as u16 - 1;
        format!("[[nodes]]\nid = {node}\naddress = \"127.0.0.1:{port}\"\n")
    }

    /// Asks an engine for a reload.
    pub(crate) fn reload(&self, node: usize) -> Value {
        let text = client::reload(self.node_dir(node).join("socket")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    pub(crate) fn start(&mut self, node: usize) {
        let command = Command::new(env!("CARGO_BIN_EXE_synchrotrond"));
        self.spawn(node, command);
    }

    /// Starts an engine as the user nobody; `false` if we are not root.
    pub(crate) fn start_as_nobody(&mut self, node: usize) -> bool {
        use std::os::unix::fs::{PermissionsExt, chown};
        use std::os::unix::process::CommandExt;
        const NOBODY: u32 = 65_534;
        if !rustix::process::geteuid().is_root() {
            return false;
        }
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(self.dir.path(), open.clone()).unwrap();
        chown(self.node_dir(node), Some(NOBODY), Some(NOBODY)).unwrap();
        // The build directory may be closed to others: run a copy.
        let program = self.dir.path().join("synchrotrond");
        std::fs::copy(env!("CARGO_BIN_EXE_synchrotrond"), &program).unwrap();
        std::fs::set_permissions(&program, open).unwrap();
        let mut command = Command::new(program);
        command.uid(NOBODY).gid(NOBODY);
        self.spawn(node, command);
        true
    }

    /// Starts an engine with a file of Corosync instead.
    pub(crate) fn start_corosync(&mut self, node: usize, file: &Path) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_synchrotrond"));
        command.arg("--corosync-conf").arg(file);
        self.spawn_as_it_is(node, command);
    }

    fn spawn(&mut self, node: usize, mut command: Command) {
        command.arg("--config").arg(self.config(node));
        self.spawn_as_it_is(node, command);
    }

    fn spawn_as_it_is(&mut self, node: usize, mut command: Command) {
        let child = command
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(self.node_dir(node).join("stderr")).unwrap())
            .spawn()
            .unwrap();
        self.engines[node - 1] = Some(child);
    }

    pub(crate) fn pid(&self, node: usize) -> u32 {
        self.engines[node - 1].as_ref().unwrap().id()
    }

    pub(crate) fn signal(&self, node: usize, signal: Signal) {
        kill_process(Pid::from_raw(self.pid(node) as i32).unwrap(), signal).unwrap();
    }

    /// Waits for an engine to end by itself.
    pub(crate) fn wait(&mut self, node: usize) -> ExitStatus {
        let mut child = self.engines[node - 1].take().unwrap();
        let start = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            if start.elapsed() > PATIENCE {
                let _ = child.kill();
                panic!("engine {node} does not end:\n{}", self.log(node));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn status(&self, node: usize) -> Option<Value> {
        let text = client::status(self.node_dir(node).join("socket")).ok()?;
        Some(serde_json::from_str(&text).unwrap())
    }

    /// Waits until an engine says that it runs with exactly these members, and returns its status.
    pub(crate) fn wait_for_members(&self, node: usize, members: &[u64]) -> Value {
        let start = Instant::now();
        loop {
            let status = self.status(node);
            if let Some(status) = &status {
                let ring = &status["ring"];
                let now: Vec<u64> =
                    ring["members"].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
                if now == members
                    && ring["state"] == "operational"
                    && status["groups"]["synced"] == true
                {
                    return status.clone();
                }
            }
            if start.elapsed() > PATIENCE {
                let ring = status.map(|s| s["ring"].clone());
                panic!("node {node} has no ring {members:?}: {ring:?}\n{}", self.log(node));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until the log says `text`.
    pub(crate) fn wait_for_log(&self, node: usize, text: &str) {
        let start = Instant::now();
        while !self.log(node).contains(text) {
            assert!(start.elapsed() < PATIENCE, "{text:?} is not said:\n{}", self.log(node));
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn client(&self, node: usize) -> Client {
        Client::connect(self.node_dir(node).join("socket"), Options::default()).unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.engines.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The first of enough free UDP ports in a row. Tests of one process get different ones; processes are
/// told apart by trying.
fn free_ports(nodes: usize) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let count = 2 * nodes as u16 + 1;
    let first = 20_000 + (std::process::id() % 200) as u16 * 100;
    for _ in 0..500 {
        let base = first.wrapping_add(NEXT.fetch_add(count, Ordering::Relaxed));
        if (20_000..60_000).contains(&base)
            && (base..base + count).all(|port| UdpSocket::bind(("127.0.0.1", port)).is_ok())
        {
            return base;
        }
    }
    panic!("no free ports");
}
