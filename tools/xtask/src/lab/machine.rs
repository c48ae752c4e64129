//! The emulated machine: started, listened to, ended.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use super::{Outcome, Run};

/// What the init script says before the exit code, when the command has ended.
const MARKER: &str = "RDMA-LAB-EXIT";

/// Processors of the machine. More than the host has would only make them wait for each other.
const CPUS: usize = 2;

/// A machine to be.
pub(crate) struct Machine<'a> {
    pub(crate) kernel: &'a Path,
    pub(crate) initrd: &'a Path,
    pub(crate) dir: &'a Path,
    pub(crate) run: &'a Run<'a>,
}

impl Machine<'_> {
    /// Runs it to its end.
    pub(crate) fn boot(&self) -> anyhow::Result<Outcome> {
        let tar = self.dir.join(format!("results.{}.tar", std::process::id()));
        let mut child = self.command(&tar).spawn().context("cannot start qemu-system-x86_64")?;
        let ended = Arc::new(AtomicBool::new(false));
        let output = child.stdout.take().context("stdout was piped")?;
        let watchdog = guard(child, self.run.timeout, ended.clone());
        let console = listen(output);
        ended.store(true, Ordering::Release);
        let in_time = watchdog.join().map_err(|_| anyhow::anyhow!("the watchdog died"))?;
        std::fs::write(self.dir.join("console.log"), &console)?;
        let outcome = self.outcome(&console, &tar);
        let _ = std::fs::remove_file(&tar);
        if !in_time {
            let log = self.dir.join("console.log");
            let (limit, log) = (self.run.timeout, log.display());
            bail!("rdma-lab: not finished within {limit:?}; the console is in {log}");
        }
        outcome
    }

    fn command(&self, results: &Path) -> Command {
        let cpus = std::thread::available_parallelism().map_or(CPUS, |n| n.get().min(CPUS));
        let append = format!(
            "console=ttyS0 quiet panic=-1 tsc=reliable mitigations=off lab_nodes={}",
            self.run.nodes
        );
        let mut command = Command::new("qemu-system-x86_64");
        command
            .args(["-accel", "tcg,thread=multi", "-cpu", "max", "-nodefaults", "-no-reboot"])
            .args(["-display", "none", "-m", &self.run.memory_mib.to_string()])
            .args(["-smp", &cpus.to_string()])
            .arg("-kernel")
            .arg(self.kernel)
            .arg("-initrd")
            .arg(self.initrd)
            .args(["-append", &append, "-serial", "stdio", "-serial"])
            .arg(format!("file:{}", results.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        command
    }

    /// Reads the verdict off the console and unpacks what was left in `/results`.
    fn outcome(&self, console: &str, tar: &Path) -> anyhow::Result<Outcome> {
        let marked = console.lines().rev().find_map(|line| line.split_once(MARKER));
        let code = marked.and_then(|(_, code)| code.trim().parse().ok());
        let results = self.dir.join("results");
        let _ = std::fs::remove_dir_all(&results);
        std::fs::create_dir_all(&results)?;
        // Absent or cut off when the machine fell over; the verdict says so already.
        let _ = Command::new("tar").arg("-xf").arg(tar).arg("-C").arg(&results).output();
        ensure!(code.is_some(), "rdma-lab: the machine ended before the command did");
        Ok(Outcome { code: code.unwrap_or(1), results })
    }
}

/// Passes the console on, line by line, until it closes.
fn listen(output: impl std::io::Read) -> String {
    let mut console = String::new();
    for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
        console.push_str(&line);
        console.push('\n');
    }
    console
}

/// Ends the machine when its time is over; true if it ended by itself.
fn guard(
    mut child: Child,
    limit: Duration,
    ended: Arc<AtomicBool>,
) -> std::thread::JoinHandle<bool> {
    std::thread::spawn(move || {
        let deadline = Instant::now() + limit;
        while !ended.load(Ordering::Acquire) {
            if Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                return false;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = child.wait();
        true
    })
}
