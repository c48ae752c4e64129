//! Engines on other hosts, reached over ssh: the binary is copied there, an agent is started, and the agent starts the
//! engine, so that both end with the connection.

use std::io::Write;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::setup::{Setup, Switch};

/// Port of the engines' data; the token's is the next, multicast's the one before.
const PORT: u16 = 5405;

/// A host as it was named: how ssh reaches it and at which address its engine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// What ssh gets.
    name: String,
    address: IpAddr,
}

impl Host {
    /// Understands `[USER@]HOST[=ADDRESS]`; without an address the host's name is looked up.
    fn parse(text: &str) -> anyhow::Result<Self> {
        let (name, address) = match text.split_once('=') {
            Some((name, address)) => {
                let what = || format!("host {text:?}: {address:?} is not an IP address");
                (name, address.parse().with_context(what)?)
            }
            None => {
                let host = text.rsplit_once('@').map_or(text, |(_, host)| host);
                let found = (host, PORT).to_socket_addrs().with_context(|| {
                    format!("host {host:?} cannot be looked up; HOST=ADDRESS names its address")
                })?;
                let first = found.map(|found| found.ip()).next();
                (text, first.with_context(|| format!("host {host:?} has no address"))?)
            }
        };
        // A name that begins with a dash would be an option of ssh.
        let is_name = !name.is_empty() && !name.starts_with('-');
        ensure!(is_name, "host {text:?}: expected [USER@]HOST[=ADDRESS]");
        Ok(Self { name: name.to_owned(), address })
    }

    /// A command that runs there.
    fn command(&self, line: &str) -> Command {
        let mut command = Command::new("ssh");
        command.args(["-o", "BatchMode=yes", &self.name, line]);
        command
    }

    /// Runs a command there with this input.
    fn feed(&self, line: &str, input: &[u8]) -> anyhow::Result<()> {
        let mut command = self.command(line);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start ssh")?;
        let written = child.stdin.take().map(|mut to| to.write_all(input));
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "host {}: {line}: {}", self.name, said.trim());
        written.transpose().with_context(|| format!("host {}: {line}", self.name))?;
        Ok(())
    }
}

/// The hosts, with everything on them that is needed; it is removed again when this is dropped.
pub(crate) struct Hosts {
    hosts: Vec<Host>,
    /// Directory on each of them.
    dir: PathBuf,
}

impl Hosts {
    /// Copies the binary and writes configuration and key.
    ///
    /// # Errors
    /// When a host is not understood, not reached or refuses.
    pub(crate) fn prepare(setup: &Setup, tool: &Path) -> anyhow::Result<Self> {
        let hosts = setup.hosts.iter().map(|text| Host::parse(text)).collect::<Result<_, _>>()?;
        let dir = PathBuf::from(format!("/tmp/synchrotron-bench-{}", std::process::id()));
        let made = Self { hosts, dir };
        let binary = std::fs::read(tool).with_context(|| tool.display().to_string())?;
        for (node, host) in made.hosts.iter().enumerate() {
            let dir = made.node_dir(node);
            let dir = dir.display();
            host.feed(&format!("umask 077 && mkdir -p {dir}/state"), &[])?;
            host.feed(&format!("cat > {dir}/synchrotron && chmod 755 {dir}/synchrotron"), &binary)?;
            host.feed(&format!("umask 077 && cat > {dir}/key"), cluster::test_key().as_bytes())?;
            let config = made.config(setup, node);
            host.feed(&format!("cat > {dir}/synchrotron.toml"), config.as_bytes())?;
        }
        Ok(made)
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.hosts.len()
    }

    /// The command of an agent there.
    pub(crate) fn agent_command(&self, node: usize) -> Command {
        let binary = self.node_dir(node).join("synchrotron");
        self.hosts[node].command(&format!("exec {} bench agent", binary.display()))
    }

    /// The arguments that start the engine there.
    pub(crate) fn argv(&self, node: usize) -> Vec<String> {
        let dir = self.node_dir(node);
        let (binary, config) = (dir.join("synchrotron"), dir.join("synchrotron.toml"));
        [binary.as_path(), Path::new("engine"), Path::new("--config"), config.as_path()]
            .map(|part| part.display().to_string())
            .into()
    }

    /// Where the engine's log is there.
    pub(crate) fn log(&self, node: usize) -> PathBuf {
        self.node_dir(node).join("log")
    }

    /// Where the engine listens there.
    pub(crate) fn socket(&self, node: usize) -> PathBuf {
        self.node_dir(node).join("socket")
    }

    /// Several of them may be one machine.
    fn node_dir(&self, node: usize) -> PathBuf {
        self.dir.join(format!("n{}", node + 1))
    }

    fn config(&self, setup: &Setup, node: usize) -> String {
        let dir = self.node_dir(node);
        let encryption = match setup.encryption {
            Switch::On => format!("encryption = \"aes-256-gcm\"\nkey_file = {:?}", dir.join("key")),
            Switch::Off => "encryption = \"off\"".to_owned(),
        };
        let mut sections = vec![
            ("cluster".to_owned(), format!("name = \"bench-{}\"", std::process::id())),
            ("node".to_owned(), format!("id = {}", node + 1)),
            ("engine".to_owned(), format!("state_dir = {:?}", dir.join("state"))),
            ("ipc".to_owned(), format!("socket = {:?}", self.socket(node))),
            ("security".to_owned(), encryption),
        ];
        sections.extend(setup.engine_settings());
        let address = |host: &Host| vec![SocketAddr::new(host.address, PORT).to_string()];
        let addresses: Vec<_> = self.hosts.iter().map(address).collect();
        cluster::render(&sections, &addresses)
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for host in &self.hosts {
            // A host that is gone keeps its files; there is nobody left to tell.
            let _ = host.feed(&format!("rm -rf {}", self.dir.display()), &[]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_understood_or_refused() {
        let host = Host::parse("root@a=10.0.0.1").unwrap();
        assert_eq!((host.name.as_str(), host.address), ("root@a", [10, 0, 0, 1].into()));
        assert_eq!(Host::parse("127.0.0.1").unwrap().address, IpAddr::from([127, 0, 0, 1]));
        for wrong in ["a=b", "=10.0.0.1", "-oProxyCommand=10.0.0.1"] {
            assert!(Host::parse(wrong).is_err(), "{wrong}");
        }
    }
}
