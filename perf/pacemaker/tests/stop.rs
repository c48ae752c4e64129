//! Told to stop, the harness takes its machines and their network away.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cluster::wait_until;
use rustix::process::{Pid, Signal, kill_process};

/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// Whether the test command installed what machines need; says so where it did not.
fn has_pacemaker() -> bool {
    let prepared = std::env::var_os("SYNCHROTRON_PACEMAKER").is_some();
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(
        prepared || !ci,
        "CI must run the tests with Pacemaker: use `cargo xtask test` as root"
    );
    if !prepared {
        eprintln!("skipped: needs Pacemaker; run `cargo xtask test` as root");
    }
    prepared
}

/// Namespaces that a process made.
fn namespaces_of(pid: u32) -> usize {
    let list = Command::new("ip").args(["netns", "list"]).output().unwrap();
    assert!(list.status.success(), "{list:?}");
    let list = String::from_utf8(list.stdout).unwrap();
    list.lines().filter(|name| name.starts_with(&format!("syn{pid}-"))).count()
}

struct Harness(Child);

impl Drop for Harness {
    fn drop(&mut self) {
        // It has ended, or the test has failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_harness_that_is_told_to_stop_leaves_nothing_behind() {
    if !has_pacemaker() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // Lives, and never answers: the harness waits for a quorum until it is told to stop.
    let engine = dir.path().join("engine");
    fs::write(&engine, "#!/bin/sh\nsleep 600\n").unwrap();
    fs::set_permissions(&engine, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_synchrotron-pacemaker"));
    command.arg("run").arg("--engine").arg(&engine).arg("--tools").arg(&engine);
    command.arg("--libraries").arg(dir.path()).env("TMPDIR", dir.path());
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut harness = Harness(child);
    let pid = harness.0.id();
    // Three machines, each of which has started its engine, and the switch.
    let engines = || {
        let homes = fs::read_dir(dir.path()).unwrap().flatten();
        let mut homes = homes.filter(|entry| entry.path().join("n3/engine.out").exists());
        homes.next().is_some()
    };
    assert!(wait_until(LONG, engines), "no machines in {LONG:?}");
    assert_eq!(namespaces_of(pid), 4);
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::TERM).unwrap();
    let deadline = Instant::now() + LONG;
    while harness.0.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "it does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut said = String::new();
    std::io::Read::read_to_string(harness.0.stderr.as_mut().unwrap(), &mut said).unwrap();
    assert!(said.contains("told to stop"), "{said}");
    assert_eq!(namespaces_of(pid), 0);
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().flatten().map(|e| e.path()).collect();
    assert_eq!(left, [engine], "files of machines are left");
}
