//! Engines for the programs in C, on this machine's loopback.

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// How long the engine may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running engine, ended with this.
pub(crate) struct Engine {
    child: Child,
    config: PathBuf,
    program: PathBuf,
}

impl Engine {
    /// As many engines as are wanted, each in a directory of its own below `dir`, with this `quorum.provider`.
    pub(crate) fn cluster(
        program: &Path,
        dir: &Path,
        count: u16,
        provider: &str,
    ) -> anyhow::Result<Vec<Self>> {
        let _ = fs::remove_dir_all(dir);
        // Two ports for each: data and token.
        let port = UdpSocket::bind(("127.0.0.1", 0))?.local_addr()?.port().clamp(2000, 60_000);
        let nodes: String = (0..count)
            .map(|at| {
                let (id, port) = (at + 1, port + 2 * at);
                format!("[[nodes]]\nid = {id}\naddress = \"127.0.0.1:{port}\"\n")
            })
            .collect();
        let start = |id| {
            let dir = dir.join(format!("{id}"));
            fs::create_dir_all(&dir)?;
            let config = dir.join("synchrotron.toml");
            let text = format!(
                "[cluster]\nname = \"capi-{port}\"\n[node]\nid = {id}\n[ipc]\nsocket = \"socket\"\n\
                 [transport]\nmulticast = \"off\"\n[log]\nfile = \"log\"\n[limits]\n\
                 message_bytes_max = \"16MiB\"\n[engine]\nstate_dir = \"state\"\n\
                 [quorum]\nprovider = \"{provider}\"\n{nodes}"
            );
            fs::write(&config, text)?;
            let child = Command::new(program).arg("--config").arg(&config).spawn()?;
            let mut engine = Self { child, config, program: program.to_owned() };
            engine.wait()?;
            Ok(engine)
        };
        (1..=count).map(start).collect()
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.config.with_file_name("socket")
    }

    fn wait(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        while !self.socket().exists() {
            ensure!(self.child.try_wait()?.is_none(), "the engine ended at once");
            ensure!(start.elapsed() < PATIENCE, "the engine does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again after [`Engine::kill`].
    pub(crate) fn restart(&mut self) -> anyhow::Result<()> {
        let _ = fs::remove_file(self.socket());
        self.child = Command::new(&self.program).arg("--config").arg(&self.config).spawn()?;
        self.wait()
    }

    /// Lets it stand still, or go on.
    pub(crate) fn freeze(&self, still: bool) -> anyhow::Result<()> {
        let pid = Pid::from_raw(self.child.id().cast_signed()).context("a process has an id")?;
        kill_process(pid, if still { Signal::STOP } else { Signal::CONT })?;
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
