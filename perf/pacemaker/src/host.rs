//! A machine made of namespaces: network, processes, files and name of its own. What runs on it dies with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use cluster::{Engine, Namespaces, Signal, stop, wait_until};
use rustix::process::{Pid, kill_process};

/// How long a machine may take to come up, or a program to fork.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a tool may take to answer: Corosync's libraries wait for ever for an engine that hangs.
const ANSWER_WAIT: Duration = Duration::from_secs(60);

/// How often it is looked whether we have been told to stop, while a tool has not answered.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What a machine has for itself: what is empty after a reboot, and what outlives one (below the directory `$0`).
/// Fence agents of ours are laid over the system's programs.
const SETUP: &str = r#"set -e
hostname "$1"
for dir in /dev/shm /run /etc/pacemaker; do mount -t tmpfs -o size=1g node "$dir"; done
mkdir -p /run/lock /run/synchrotron /run/corosync /run/corosync-qdevice /run/corosync-qnetd
for user in blackbox cib cores pengine; do mkdir -p "$0/lib/pacemaker/$user"; done
mkdir -p "$0/lib/corosync" "$0/lib/synchrotron" "$0/log/pacemaker" "$0/log/corosync" "$0/log/cluster" "$0/etc"
chown -R hacluster:haclient "$0/lib/pacemaker" "$0/log/pacemaker"
mount --bind "$0/lib" /var/lib
mount --bind "$0/log" /var/log
mount --bind "$0/etc" /etc/corosync
mount -t overlay -o "lowerdir=$2:/usr/sbin" node /usr/sbin
# Who panics here must not restart the machine on which we all run.
[ ! -e /proc/sysrq-trigger ] || mount --bind /dev/null /proc/sysrq-trigger
touch "$0/up"
exec "$3" init"#;

/// A machine that runs.
pub(crate) struct Host {
    /// `ip`, then `unshare`: ends when the machine does.
    outer: Child,
    /// The machine's first process, as we number it.
    init: Pid,
    dir: PathBuf,
    name: String,
}

/// A program on a machine. Dropping this leaves it alone: it dies with its machine.
pub(crate) struct Program {
    /// `nsenter`, which waits for the program.
    outer: Engine,
    pid: Pid,
}

impl Host {
    /// Starts a machine. `dir` is what it keeps over reboots, `sbin` is laid over `/usr/sbin`.
    ///
    /// # Errors
    /// When we are not root or something is missing; what its start said is in the error.
    pub(crate) fn boot(
        namespaces: &Namespaces,
        index: usize,
        dir: &Path,
        sbin: &Path,
    ) -> anyhow::Result<Self> {
        let name = name(index);
        fs::create_dir_all(dir)?;
        let up = dir.join("up");
        if up.exists() {
            fs::remove_file(&up)?;
        }
        let said = dir.join("boot.log");
        let mut command = namespaces.command(index, Path::new("unshare"));
        command.args(["--mount", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc"]);
        command.args(["sh", "-c", SETUP]).arg(dir).arg(&name).arg(sbin);
        command.arg(std::env::current_exe().context("our own executable")?);
        let mut outer = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&said)?)
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let came = wait_until(PATIENCE, || {
            up.exists() || !matches!(outer.try_wait(), Ok(None)) || stop::check().is_err()
        });
        let init = if came && up.exists() { child_of(outer.id()) } else { None };
        let Some(init) = init else {
            let _ = outer.kill();
            let said = fs::read_to_string(&said).unwrap_or_default();
            anyhow::bail!("machine {name} did not come up: {}", said.trim());
        };
        Ok(Self { outer, init, dir: dir.to_owned(), name })
    }

    /// A file of this machine, as we see it.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.init.as_raw_nonzero()))
    }

    /// A command that runs a program on this machine.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.arg("-t").arg(self.init.as_raw_nonzero().to_string());
        command.args(["-m", "-p", "-n", "-u", "--wd=/", "--"]).arg(program);
        command.env("TZ", "UTC");
        command
    }

    /// Starts a program; what it says goes to `log` in the machine's directory.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(&self, command: Command, log: &str) -> anyhow::Result<Program> {
        let mut outer = Engine::start(command, &self.dir.join(log))?;
        let mut pid = None;
        wait_until(PATIENCE, || {
            pid = child_of(outer.pid());
            pid.is_some() || !outer.is_running()
        });
        let tail = outer.log_tail();
        let pid =
            pid.with_context(|| format!("a program ended at once on {}: {tail}", self.name))?;
        Ok(Program { outer, pid })
    }

    /// Whether it runs.
    pub(crate) fn is_up(&mut self) -> bool {
        matches!(self.outer.try_wait(), Ok(None))
    }

    /// Ends every process on it at once, and waits until they are gone.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        if self.is_up() {
            kill_process(self.init, Signal::KILL)?;
            self.outer.wait()?;
        }
        Ok(())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("machine {} stays: {error:#}", self.name);
        }
    }
}

impl Program {
    /// Sends it a signal.
    ///
    /// # Errors
    /// When it is gone.
    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill_process(self.pid, signal)?)
    }

    /// Its number, as we count.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().cast_unsigned()
    }

    /// Whether it runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.outer.is_running()
    }
}

/// Runs a command to its end and returns what it printed.
///
/// # Errors
/// When it cannot be started or ends without success; what it said is in the error.
pub(crate) fn output(mut command: Command) -> anyhow::Result<String> {
    let output = answer(&mut command)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}: {said}{errors}", output.status);
    Ok(said)
}

/// Runs a command to its end, whatever that is. One that does not end is left behind: it dies with its machine.
///
/// # Errors
/// When it cannot be started, does not end, or we have been told to stop.
pub(crate) fn answer(command: &mut Command) -> anyhow::Result<Output> {
    let (stdin, pipe) = (Stdio::null(), Stdio::piped);
    let child = command.stdin(stdin).stdout(pipe()).stderr(pipe()).spawn();
    let child = child.with_context(|| format!("cannot start {command:?}"))?;
    let (send, ended) = mpsc::channel();
    // Whoever no longer listens does not care.
    std::thread::spawn(move || _ = send.send(child.wait_with_output()));
    let start = Instant::now();
    loop {
        if let Ok(output) = ended.recv_timeout(LOOK_EVERY) {
            return Ok(output?);
        }
        stop::check()?;
        ensure!(start.elapsed() < ANSWER_WAIT, "no end in {ANSWER_WAIT:?}: {command:?}");
    }
}

/// Name of the machine at `index`, from zero.
pub(crate) fn name(index: usize) -> String {
    format!("n{}", index + 1)
}

/// The one child of a process.
pub(crate) fn child_of(pid: u32) -> Option<Pid> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    Pid::from_raw(text.split_whitespace().next()?.parse().ok()?)
}
