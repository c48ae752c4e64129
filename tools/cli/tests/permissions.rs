//! Directories, files and disks that are not as an engine needs them: it says what, where and how to mend it,
//! and what fails later does not stop it.

mod common;

use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use cluster::{Cluster, Spec, wait_until};
use common::shell::{PATIENCE, run, status, wait_for_ring};

/// The user without privileges.
const NOBODY: u32 = 65_534;

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

/// A cluster of one that was not started, in a directory that everybody may enter.
fn prepared(base_port: u16, encrypted: bool) -> Cluster {
    let spec = Spec { encrypted, ..common::on_loopback(1, base_port) };
    let cluster = Cluster::prepare(spec).unwrap();
    std::fs::set_permissions(cluster.dir(), Permissions::from_mode(0o755)).unwrap();
    cluster
}

fn config(cluster: &Cluster) -> PathBuf {
    cluster.node_dir(0).join("synchrotron.toml")
}

fn change(cluster: &Cluster, from: &str, to: &str) {
    let text = std::fs::read_to_string(config(cluster)).unwrap();
    assert!(text.contains(from), "{from:?} not in {text}");
    std::fs::write(config(cluster), text.replace(from, to)).unwrap();
}

/// What an engine that does not start says, run as nobody where we are root.
fn refused(cluster: &Cluster, code: i32) -> String {
    // The build directory may be closed to others: run a copy.
    let program = cluster.dir().join("synchrotron");
    if !program.exists() {
        std::fs::copy(common::tool(), &program).unwrap();
        std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new(&program);
    command.args(["engine", "--config"]).arg(config(cluster)).stdin(Stdio::null());
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    // While another test's child is between fork and exec it holds our copy open for writing.
    let output = loop {
        match command.output() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => {
                std::thread::yield_now();
            }
            output => break output.unwrap(),
        }
    };
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

fn assert_says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part:?} not in {said:?}");
    }
}

#[test]
fn a_state_directory_that_may_not_be_written_ends_with_73() {
    let cluster = prepared(33_300, false);
    let node = cluster.node_dir(0);
    // May not be made.
    std::fs::set_permissions(&node, Permissions::from_mode(0o555)).unwrap();
    let said = refused(&cluster, 73);
    let state = node.join("state");
    let mend = "engine.state_dir must be a directory that the engine's user may write to";
    assert_says(&said, &["cannot make the state directory", state.to_str().unwrap(), mend]);
    // Is there, but may not be written to.
    std::fs::set_permissions(&node, Permissions::from_mode(0o755)).unwrap();
    std::fs::create_dir(&state).unwrap();
    std::fs::set_permissions(&state, Permissions::from_mode(0o555)).unwrap();
    let said = refused(&cluster, 73);
    assert_says(&said, &[state.to_str().unwrap(), "Permission denied", mend]);
}

#[test]
fn a_socket_that_may_not_be_made_ends_with_73() {
    let cluster = prepared(33_310, false);
    let node = cluster.node_dir(0);
    let state = node.join("state");
    std::fs::create_dir(&state).unwrap();
    if rustix::process::geteuid().is_root() {
        chown(&state, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    std::fs::set_permissions(&node, Permissions::from_mode(0o555)).unwrap();
    let said = refused(&cluster, 73);
    assert_says(&said, &[cluster.socket(0).to_str().unwrap(), "Permission denied", "ipc.socket"]);
    std::fs::set_permissions(&node, Permissions::from_mode(0o755)).unwrap();
    change(&cluster, "/n1/socket", "/none/socket");
    let said = refused(&cluster, 73);
    assert_says(&said, &["none/socket", "No such file or directory", "ipc.socket"]);
}

#[test]
fn a_key_that_others_may_read_ends_with_78() {
    let cluster = prepared(33_320, true);
    let key = cluster.dir().join("key");
    for mode in [0o640, 0o604, 0o622] {
        std::fs::set_permissions(&key, Permissions::from_mode(mode)).unwrap();
        let said = run(&[&"engine", &"--config", &config(&cluster)]).bad(78);
        let found = format!("mode {mode:04o}");
        assert_says(&said, &["security.key_file", key.to_str().unwrap(), &found, "chmod 600"]);
    }
    if is_root() {
        // Of another user, and closed to us.
        std::fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        let said = refused(&cluster, 78);
        assert_says(&said, &["security.key_file", key.to_str().unwrap(), "Permission denied"]);
    }
}

#[test]
fn a_second_engine_with_the_same_state_ends_with_75_and_the_first_goes_on() {
    let _machine = common::machine();
    let mut cluster = prepared(33_330, false);
    cluster.start(0).unwrap();
    wait_for_ring(&cluster.socket(0), 1);
    let said = run(&[&"engine", &"--config", &config(&cluster)]).bad(75);
    let owner =
        format!("process {} runs with the state directory", cluster.engine(0).unwrap().pid());
    let state = cluster.node_dir(0).join("state");
    assert_says(&said, &[&owner, state.to_str().unwrap(), "its own engine.state_dir"]);
    wait_for_ring(&cluster.socket(0), 1);
}

/// A tiny file system, gone when dropped.
struct TinyDisk(PathBuf);

impl TinyDisk {
    /// Mounts a tmpfs of so many KiB; `None` where that is not allowed.
    fn mount(at: &Path, kibibytes: u32) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let size = format!("size={kibibytes}k");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).stderr(Stdio::null());
        let mounted = is_root() && command.status().is_ok_and(|status| status.success());
        mounted.then(|| Self(at.to_owned()))
    }

    /// Writes until nothing more fits.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.0.join("ballast")).unwrap();
        while std::io::Write::write_all(&mut file, &[0; 512]).is_ok() {}
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        // Lazily: an engine may still be dying.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn log(cluster: &Cluster, node: usize) -> String {
    std::fs::read_to_string(cluster.node_dir(node).join("log")).unwrap_or_default()
}

#[test]
fn a_disk_too_small_for_the_recorder_is_told_and_the_engine_runs() {
    let _machine = common::machine();
    let mut cluster = prepared(33_340, false);
    let state = cluster.node_dir(0).join("state");
    let Some(_disk) = TinyDisk::mount(&state, 64) else { return };
    cluster.start(0).unwrap();
    wait_for_ring(&cluster.socket(0), 1);
    let warnings = status(&cluster.socket(0))["warnings"].to_string();
    assert_says(&warnings, &["no flight recorder", state.to_str().unwrap(), "No space left"]);
}

#[test]
fn a_disk_that_fills_later_does_not_matter() {
    let _machine = common::machine();
    let spec = common::on_loopback(2, 33_350);
    let mut cluster = Cluster::prepare(spec).unwrap();
    let state = cluster.node_dir(0).join("state");
    let Some(disk) = TinyDisk::mount(&state, 4096) else { return };
    cluster.start_all().unwrap();
    (0..2).for_each(|node| wait_for_ring(&cluster.socket(node), 2));
    disk.fill();
    // Every change of the ring takes a number. While the other node comes and goes those stored ahead run out
    // twice, so both places of the file are written over with the disk full.
    let ring = |cluster: &Cluster| status(&cluster.socket(0))["ring"].clone();
    let number = |ring: &serde_json::Value, key: &str| ring[key].as_u64().unwrap();
    let before = number(&ring(&cluster), "persisted");
    let stored_twice = |cluster: &Cluster| number(&ring(cluster), "persisted") > before + 256;
    let deadline = Instant::now() + 2 * PATIENCE;
    while !stored_twice(&cluster) {
        assert!(Instant::now() < deadline, "not stored: {}", log(&cluster, 0));
        for is_there in [false, true] {
            match is_there {
                true => cluster.start(1).unwrap(),
                false => cluster.engine(1).unwrap().kill().unwrap(),
            }
            let members = 1 + usize::from(is_there);
            let is_formed = || {
                let ring = ring(&cluster);
                ring["members"].as_array().unwrap().len() == members
                    && ring["state"] == "operational"
            };
            assert!(wait_until(PATIENCE, is_formed), "no ring: {}", log(&cluster, 0));
        }
    }
    assert!(!log(&cluster, 0).contains("state not stored"), "{}", log(&cluster, 0));
    // A node that starts on a full disk gets in like any other.
    cluster.engine(0).unwrap().kill().unwrap();
    disk.fill();
    cluster.start(0).unwrap();
    (0..2).for_each(|node| wait_for_ring(&cluster.socket(node), 2));
    assert!(!log(&cluster, 0).contains("stored ring number damaged"), "{}", log(&cluster, 0));
}
