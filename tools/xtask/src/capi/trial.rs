//! `calls.c` over a real engine: what every function returns, compared with what is written down.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::{link, run as run_command};
use crate::steps::cargo;

/// How long the engine may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Line after which the program wants the engine to end.
const END_THE_ENGINE: &str = "now end the engine";

/// Links the libraries, then runs the program over an engine of its own.
pub(crate) fn run() -> anyhow::Result<()> {
    let places = link()?;
    run_command(&mut cargo(["build", "--quiet", "-p", "synchrotron-daemon"]))?;
    let sources = places.root.join("shm-ipc/capi/tests");
    let program = places.out.join("calls");
    let mut cc = Command::new("cc");
    cc.arg("-Wall").arg("-I").arg(places.out.join("include")).arg("-o").arg(&program);
    cc.arg(sources.join("calls.c")).arg("-L").arg(&places.out);
    cc.args(["-lcpg", "-lcfg", "-lcmap", "-lquorum", "-lvotequorum", "-lcorosync_common"]);
    run_command(cc.arg("-lpthread"))?;
    let dir = places.out.join("trial");
    let mut engine = Engine::start(&places.target.join("debug/synchrotrond"), &dir)?;
    let found = calls(&program, &places.out, &dir.join("socket"), &mut engine)?;
    let written = fs::read_to_string(sources.join("calls.txt"))?;
    fs::remove_dir_all(&dir)?;
    fs::remove_file(&program)?;
    let different: Vec<_> =
        found.lines().zip(written.lines()).filter(|(found, written)| found != written).collect();
    ensure!(different.is_empty(), "found, and written in calls.txt: {different:#?}");
    ensure!(found == written, "calls.txt has other lines than these:\n{found}");
    Ok(())
}

/// Runs the program, ends the engine when it asks for that, and returns what it said.
fn calls(
    program: &Path,
    libraries: &Path,
    socket: &Path,
    engine: &mut Engine,
) -> anyhow::Result<String> {
    let mut child = Command::new(program)
        .arg("null")
        .env("LD_LIBRARY_PATH", libraries)
        .env("SYNCHROTRON_SOCKET", socket)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().context("its output was piped")?;
    let mut said = String::new();
    for line in BufReader::new(output).lines() {
        let line = line?;
        said += &line;
        said += "\n";
        if line == END_THE_ENGINE {
            engine.0.kill()?;
            engine.0.wait()?;
            child.stdin.take().context("its input was piped")?.write_all(b"\n")?;
        }
    }
    let status = child.wait()?;
    ensure!(status.success(), "the program ended with {status} after:\n{said}");
    Ok(said)
}

/// A running engine, ended with this.
struct Engine(Child);

impl Engine {
    fn start(program: &Path, dir: &Path) -> anyhow::Result<Self> {
        let _ = fs::remove_dir_all(dir);
        fs::create_dir_all(dir)?;
        let port = UdpSocket::bind(("127.0.0.1", 0))?.local_addr()?.port().clamp(2000, 60_000);
        let config = dir.join("synchrotron.toml");
        let text = format!(
            "[cluster]\nname = \"calls-{port}\"\n[node]\nid = 1\n[ipc]\nsocket = \"socket\"\n\
             [transport]\nmulticast = \"239.255.79.9:{port}\"\n[log]\nfile = \"log\"\n\
             [[nodes]]\nid = 1\naddress = \"127.0.0.1:{}\"\n[limits]\n\
             message_bytes_max = \"16MiB\"\n[engine]\nstate_dir = \"state\"\n",
            port + 1
        );
        fs::write(&config, text)?;
        let child = Command::new(program).arg("--config").arg(&config).spawn()?;
        let mut engine = Self(child);
        let start = Instant::now();
        while !dir.join("socket").exists() {
            ensure!(engine.0.try_wait()?.is_none(), "the engine ended at once");
            ensure!(start.elapsed() < PATIENCE, "the engine does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(engine)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
