//! Machines, their engines and Pacemaker on them, and what can happen to them.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use cluster::{Namespaces, Signal, stop};
use tempfile::TempDir;

use crate::conf::{self, Kind, Settings};
use crate::fence::Desk;
use crate::host::{self, Host, Program};

/// How long anything may take on a crowded machine before it counts as never.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// How often conditions are looked at.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(2);

/// MTU of the network.
const MTU_BYTES: u32 = 1500;

/// What is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) settings: Settings,
    /// How many machines.
    pub(crate) nodes: usize,
    /// Machines without an engine on the same network, after the others.
    pub(crate) others: usize,
    /// Whether there is a power switch.
    pub(crate) fencing: bool,
    /// Whether the first of the others arbitrates by `corosync-qnetd`.
    pub(crate) device: bool,
    pub(crate) programs: Programs,
}

/// Where the programs under test are.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// Our engine.
    pub(crate) engine: PathBuf,
    /// Directory of our libraries.
    pub(crate) libraries: PathBuf,
    /// Our tools.
    pub(crate) tools: PathBuf,
}

/// What runs on one machine.
struct Seat {
    host: Host,
    engine: Option<Program>,
    pacemaker: Option<Program>,
}

/// Machines on one network.
pub(crate) struct Site {
    pub(crate) spec: Spec,
    desk: Desk,
    seats: Vec<Option<Seat>>,
    /// When somebody first asked for a machine to be switched off since [`Site::forget`].
    pub(crate) fenced: Option<Instant>,
    namespaces: Namespaces,
    dir: TempDir,
}

impl Site {
    /// Makes the network and boots the machines; starts nothing on them.
    ///
    /// # Errors
    /// When we are not root or something is missing.
    pub(crate) fn boot(spec: Spec) -> anyhow::Result<Self> {
        let mut dir = tempfile::Builder::new().prefix("synchrotron-site-").tempdir()?;
        if std::env::var_os("SYNCHROTRON_KEEP").is_some() {
            dir.disable_cleanup(true);
            eprintln!("logs and files of the machines stay in {}", dir.path().display());
        }
        // Pacemaker's daemons, which are not root, go through it.
        fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let namespaces = Namespaces::create(spec.nodes + spec.others, MTU_BYTES)?;
        let desk = Desk::open(&dir.path().join("desk"), &dir.path().join("sbin"))?;
        let seats = (0..spec.nodes + spec.others).map(|_| None).collect();
        let mut site = Self { spec, desk, seats, fenced: None, namespaces, dir };
        let addresses: Vec<Ipv4Addr> = site.nodes().map(|n| site.namespaces.address(n)).collect();
        let device = site.spec.device.then(|| site.namespaces.address(site.spec.nodes));
        let text = conf::corosync(site.spec.settings, device, &addresses);
        site.link_tools()?;
        for index in 0..site.seats.len() {
            let home = site.home(index);
            fs::create_dir_all(home.join("etc"))?;
            fs::write(home.join("etc/corosync.conf"), &text)?;
            stop::check()?;
            site.power_on(index)?;
        }
        Ok(site)
    }

    /// Our tools under Corosync's names.
    fn link_tools(&self) -> anyhow::Result<()> {
        let dir = self.tools_dir();
        fs::create_dir_all(&dir)?;
        for name in ["cfgtool", "cmapctl", "cpgtool", "notifyd", "quorumtool"] {
            std::os::unix::fs::symlink(
                &self.spec.programs.tools,
                dir.join(format!("corosync-{name}")),
            )?;
        }
        Ok(())
    }

    /// Where our tools are.
    pub(crate) fn tools_dir(&self) -> PathBuf {
        self.dir.path().join("tools")
    }

    /// The machines with engines.
    pub(crate) fn nodes(&self) -> std::ops::Range<usize> {
        0..self.spec.nodes
    }

    /// All of them but one.
    pub(crate) fn but(&self, index: usize) -> Vec<usize> {
        self.nodes().filter(|&node| node != index).collect()
    }

    /// What a machine keeps over reboots.
    pub(crate) fn home(&self, index: usize) -> PathBuf {
        self.dir.path().join(host::name(index))
    }

    /// The network.
    pub(crate) fn network(&self) -> &Namespaces {
        &self.namespaces
    }

    /// Boots a machine that is off, with its cable plugged in.
    ///
    /// # Errors
    /// When it does not come up.
    pub(crate) fn power_on(&mut self, index: usize) -> anyhow::Result<()> {
        self.seats[index] = None;
        self.namespaces.plug(index)?;
        let (home, sbin) = (self.home(index), self.dir.path().join("sbin"));
        let host = Host::boot(&self.namespaces, index, &home, &sbin)?;
        self.seats[index] = Some(Seat { host, engine: None, pacemaker: None });
        Ok(())
    }

    /// Pulls the cable, then ends every process at once: a machine without power answers nobody, not even with
    /// "port unreachable".
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn power_off(&mut self, index: usize) -> anyhow::Result<()> {
        self.namespaces.unplug(index)?;
        self.seats[index] = None;
        Ok(())
    }

    /// A command on a machine, with the libraries of the engine that runs there.
    ///
    /// # Errors
    /// When the machine is off.
    pub(crate) fn command(&self, index: usize, program: &str) -> anyhow::Result<Command> {
        let mut command = self.seat(index)?.host.command(Path::new(program));
        if self.spec.settings.kind == Kind::Synchrotron {
            command.env("LD_LIBRARY_PATH", &self.spec.programs.libraries);
        }
        Ok(command)
    }

    /// Runs a line of shell on a machine and returns what it printed.
    ///
    /// # Errors
    /// When it ends without success.
    pub(crate) fn run(&self, index: usize, line: &str) -> anyhow::Result<String> {
        let mut command = self.command(index, "/bin/sh")?;
        command.arg("-c").arg(line);
        host::output(command)
    }

    /// The same, and its exit code; neither is an error.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn said(&self, index: usize, line: &str) -> anyhow::Result<String> {
        let mut command = self.command(index, "/bin/sh")?;
        let output = host::answer(command.arg("-c").arg(line))?;
        let text = [output.stdout, output.stderr].concat();
        Ok(format!("{}({})\n", String::from_utf8_lossy(&text), output.status))
    }

    /// Starts a program on a machine.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(
        &self,
        index: usize,
        command: Command,
        log: &str,
    ) -> anyhow::Result<Program> {
        self.seat(index)?.host.start(command, log)
    }

    /// Starts the engine of a machine.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start_engine(&mut self, index: usize) -> anyhow::Result<()> {
        let command = match self.spec.settings.kind {
            Kind::Synchrotron => {
                let engine = self.spec.programs.engine.clone();
                let mut command = self.seat(index)?.host.command(&engine);
                command.args(["--corosync-conf", "/etc/corosync/corosync.conf"]);
                command
            }
            Kind::Corosync => {
                let mut command = self.seat(index)?.host.command(Path::new("/usr/sbin/corosync"));
                command.arg("-f");
                command
            }
        };
        let engine = self.start(index, command, "engine.out")?;
        self.seat_mut(index)?.engine = Some(engine);
        Ok(())
    }

    /// Starts Pacemaker on a machine; the first time it reads our configuration.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start_pacemaker(&mut self, index: usize) -> anyhow::Result<()> {
        let cib = self.home(index).join("lib/pacemaker/cib/cib.xml");
        if !cib.exists() {
            fs::write(&cib, conf::cib(self.spec.nodes, self.spec.fencing))?;
            host::output({
                let mut chown = Command::new("chown");
                chown.arg("hacluster:haclient").arg(&cib);
                chown
            })?;
        }
        let mut command = self.command(index, "/usr/sbin/pacemakerd")?;
        command.arg("-f").env("PCMK_logfile", "/var/log/pacemaker/pacemaker.log");
        let pacemaker = self.start(index, command, "pacemaker.out")?;
        self.seat_mut(index)?.pacemaker = Some(pacemaker);
        Ok(())
    }

    /// Sends the engine of a machine a signal.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn signal_engine(&self, index: usize, signal: Signal) -> anyhow::Result<()> {
        self.seat(index)?.engine.as_ref().context("no engine was started")?.signal(signal)
    }

    /// Asks Pacemaker on a machine to end in order.
    ///
    /// # Errors
    /// When none was started.
    pub(crate) fn stop_pacemaker(&self, index: usize) -> anyhow::Result<()> {
        let pacemaker = self.seat(index)?.pacemaker.as_ref();
        pacemaker.context("no Pacemaker was started")?.signal(Signal::TERM)
    }

    /// Whether Pacemaker runs on a machine.
    pub(crate) fn has_pacemaker(&mut self, index: usize) -> bool {
        self.seats[index]
            .as_mut()
            .and_then(|seat| seat.pacemaker.as_mut())
            .is_some_and(Program::is_running)
    }

    /// Whether a machine that was on has ended by itself.
    pub(crate) fn has_died(&mut self, index: usize) -> bool {
        self.seats[index].as_mut().is_some_and(|seat| !seat.host.is_up())
    }

    /// Whether a machine is on.
    pub(crate) fn is_on(&self, index: usize) -> bool {
        self.seats[index].is_some()
    }

    /// Whether the engine of a machine runs.
    pub(crate) fn has_engine(&mut self, index: usize) -> bool {
        self.seats[index]
            .as_mut()
            .and_then(|seat| seat.engine.as_mut())
            .is_some_and(Program::is_running)
    }

    /// The engine's process on a machine, as we number it.
    pub(crate) fn engine_pid(&self, index: usize) -> Option<u32> {
        self.seats[index].as_ref()?.engine.as_ref().map(Program::pid)
    }

    /// Whether a machine runs the resource.
    pub(crate) fn has_resource(&self, index: usize) -> bool {
        self.seat(index).is_ok_and(|seat| seat.host.path(conf::RESOURCE_STATE).exists())
    }

    /// The machines that run the resource.
    pub(crate) fn resource_at(&self) -> Vec<usize> {
        self.nodes().filter(|&node| self.has_resource(node)).collect()
    }

    /// Forgets who was switched off.
    pub(crate) fn forget(&mut self) {
        self.fenced = None;
    }

    /// Waits until something is so; meanwhile machines that somebody wants off are switched off.
    ///
    /// # Errors
    /// When it is not so in time (what engines and Pacemaker said last is in the error), or we have been told to stop.
    pub(crate) fn wait(
        &mut self,
        what: &str,
        timeout: Duration,
        mut condition: impl FnMut(&mut Self) -> bool,
    ) -> anyhow::Result<Instant> {
        let start = Instant::now();
        loop {
            stop::check()?;
            self.serve()?;
            if condition(self) {
                return Ok(Instant::now());
            }
            ensure!(start.elapsed() < timeout, "not in {timeout:?}: {what}\n{}", self.tails());
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// When we have been told to stop.
    pub(crate) fn pause(&mut self, time: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + time;
        self.wait("some time", time + PATIENCE, |_| Instant::now() >= end).map(drop)
    }

    fn serve(&mut self) -> anyhow::Result<()> {
        for index in self.nodes() {
            if self.desk.is_wanted(&host::name(index)) {
                self.fenced.get_or_insert_with(Instant::now);
                self.power_off(index)?;
                self.desk.done(&host::name(index))?;
            }
        }
        Ok(())
    }

    fn seat(&self, index: usize) -> anyhow::Result<&Seat> {
        self.seats[index].as_ref().with_context(|| format!("{} is off", host::name(index)))
    }

    fn seat_mut(&mut self, index: usize) -> anyhow::Result<&mut Seat> {
        self.seats[index].as_mut().with_context(|| format!("{} is off", host::name(index)))
    }

    /// The last lines of every log, for error messages.
    pub(crate) fn tails(&self) -> String {
        const LINES: usize = 12;
        let mut text = String::new();
        for index in self.nodes() {
            for log in [
                "engine.out",
                "log/corosync/corosync.log",
                "pacemaker.out",
                "log/pacemaker/pacemaker.log",
            ] {
                let said = fs::read(self.home(index).join(log)).unwrap_or_default();
                let said = String::from_utf8_lossy(&said).into_owned();
                let lines: Vec<&str> = said.lines().collect();
                let last = lines[lines.len().saturating_sub(LINES)..].join("\n");
                text += &format!("--- {} {log}\n{last}\n", host::name(index));
            }
        }
        text
    }
}
