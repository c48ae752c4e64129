//! What keeps an engine from starting, each with its message and exit code, and what does not stop it.

use std::process::{Command, Output};

use crate::cluster::Cluster;
use rustix::process::Signal;

fn run(cluster: &Cluster, args: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, stdout } = Command::new(env!("CARGO_BIN_EXE_synchrotrond"))
        .arg("--config")
        .arg(cluster.config(1))
        .args(args)
        .output()
        .unwrap();
    let said = String::from_utf8(stderr).unwrap() + &String::from_utf8(stdout).unwrap();
    (status.code(), said)
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    let cluster = Cluster::new(1, "");
    assert_eq!(run(&cluster, &["--frobnicate"]).0, Some(2));
}

#[test]
fn a_wrong_configuration_ends_with_78_and_says_where() {
    let cluster = Cluster::new(1, "[totem]\ntoken_timeout = 5\n[memory]\nsmall_slots = 1\n");
    for args in [&["--check"][..], &[]] {
        let (code, said) = run(&cluster, args);
        assert_eq!(code, Some(78), "{said}");
        let file = cluster.config(1).display().to_string();
        assert!(said.contains(&format!("{file}:18:17: totem.token_timeout = 5: ")), "{said}");
        assert!(said.contains(&format!("{file}:20:15: memory.small_slots = 1: ")), "{said}");
    }
    assert!(!cluster.node_dir(1).join("state").exists(), "a bad configuration changes nothing");
}

#[test]
fn a_good_configuration_is_said_to_be_good() {
    let (code, said) = run(&Cluster::new(3, ""), &["--check"]);
    assert_eq!(code, Some(0));
    assert!(said.contains("good: node 1 (node-1) of 3"), "{said}");
}

#[test]
fn a_missing_or_exposed_key_ends_with_78() {
    use std::os::unix::fs::PermissionsExt;
    let cluster = Cluster::new(1, "[security]\nencryption = \"aes-256-gcm\"\nkey_file = \"key\"\n");
    let (code, said) = run(&cluster, &["--check"]);
    assert_eq!(code, Some(78));
    assert!(said.contains("security.key_file: ") && said.contains("cannot be read"), "{said}");
    let key = cluster.node_dir(1).join("key");
    std::fs::write(&key, "00".repeat(32)).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (code, said) = run(&cluster, &[]);
    assert_eq!(code, Some(78));
    assert!(said.contains("mode 0644 lets others"), "{said}");
}

#[test]
fn a_second_engine_in_the_same_directory_ends_with_75() {
    let mut cluster = Cluster::new(1, "");
    cluster.start(1);
    cluster.wait_for_members(1, &[1]);
    let (code, said) = run(&cluster, &[]);
    assert_eq!(code, Some(75), "{said}");
    assert!(said.contains(&format!("process {} runs with", cluster.pid(1))), "{said}");
    cluster.wait_for_members(1, &[1]);
}

#[test]
fn a_state_directory_that_cannot_be_made_ends_with_73() {
    let cluster = Cluster::new(1, "");
    std::fs::write(cluster.node_dir(1).join("state"), "in the way").unwrap();
    let (code, said) = run(&cluster, &[]);
    assert_eq!(code, Some(73));
    assert!(said.contains("engine.state_dir must be a directory"), "{said}");
}

#[test]
fn an_address_in_use_or_a_core_that_is_not_there_ends_with_71() {
    let mut cluster = Cluster::new(1, "");
    cluster.start(1);
    cluster.wait_for_members(1, &[1]);
    let text = std::fs::read_to_string(cluster.config(1)).unwrap();
    let other = text.replace("\"state\"", "\"state-2\"").replace("\"socket\"", "\"socket-2\"");
    std::fs::write(cluster.config(1), &other).unwrap();
    let (code, said) = run(&cluster, &[]);
    assert_eq!(code, Some(71), "{said}");
    assert!(said.contains("cannot bind the token socket at 127.0.0.1:"), "{said}");
    let pinned = other.replace("[engine]\n", "[engine]\ncpu = 4095\n");
    std::fs::write(cluster.config(1), pinned).unwrap();
    let (code, said) = run(&cluster, &[]);
    assert_eq!(code, Some(71));
    assert!(said.contains("engine.cpu = 4095: this process may run on cores 0"), "{said}");
}

#[test]
fn a_socket_that_cannot_be_made_ends_with_73() {
    let cluster = Cluster::new(1, "");
    let text = std::fs::read_to_string(cluster.config(1)).unwrap();
    std::fs::write(cluster.config(1), text.replace("\"socket\"", "\"none/socket\"")).unwrap();
    let (code, said) = run(&cluster, &[]);
    assert_eq!(code, Some(73), "{said}");
    assert!(said.contains("none/socket"), "{said}");
}

#[test]
fn damaged_state_is_replaced_by_a_higher_number_and_said() {
    let mut cluster = Cluster::new(1, "");
    let state = cluster.node_dir(1).join("state");
    std::fs::create_dir(&state).unwrap();
    std::fs::write(state.join("ring"), "synchrotron-ring-1 12").unwrap();
    cluster.start(1);
    let status = cluster.wait_for_members(1, &[1]);
    assert!(cluster.log(1).contains("stored ring number damaged"), "{}", cluster.log(1));
    assert!(status["ring"]["seq"].as_u64().unwrap() > 1_700_000_000_000);
}

#[test]
fn a_full_disk_for_log_and_recorder_does_not_stop_an_engine() {
    let mut cluster = Cluster::new(1, "[recorder]\nfile = \"/dev/full\"\n");
    let text = std::fs::read_to_string(cluster.config(1)).unwrap();
    let full = text.replace("file = \"log\"", "file = \"/dev/full\"");
    std::fs::write(cluster.config(1), full).unwrap();
    cluster.start(1);
    let status = cluster.wait_for_members(1, &[1]);
    assert!(status["log_lines_lost"].as_u64().unwrap() > 0);
    let warnings = status["warnings"].to_string();
    assert!(warnings.contains("no flight recorder: /dev/full"), "{warnings}");
    cluster.signal(1, Signal::TERM);
    assert_eq!(cluster.wait(1).code(), Some(0));
}

#[test]
fn sighup_opens_the_log_anew() {
    let mut cluster = Cluster::new(1, "");
    cluster.start(1);
    cluster.wait_for_members(1, &[1]);
    let log = cluster.node_dir(1).join("log");
    std::fs::rename(&log, cluster.node_dir(1).join("log.1")).unwrap();
    cluster.signal(1, Signal::HUP);
    cluster.signal(1, Signal::TERM);
    assert_eq!(cluster.wait(1).code(), Some(0));
    assert!(cluster.log(1).contains("leaving signal=SIGTERM"), "{}", cluster.log(1));
}

#[test]
fn a_number_that_cannot_be_stored_is_tried_again_until_it_can() {
    let mut cluster = Cluster::new(1, "");
    // Something stands where the new file is written: storing fails as on a broken disk.
    let in_the_way = cluster.node_dir(1).join("state/ring.new");
    std::fs::create_dir_all(&in_the_way).unwrap();
    cluster.start(1);
    cluster.wait_for_log(1, "state not stored");
    let state = cluster.status(1).unwrap()["ring"]["state"].clone();
    assert_ne!(state, "operational", "no ring may be formed with a number that is not durable");
    std::fs::remove_dir(&in_the_way).unwrap();
    cluster.wait_for_members(1, &[1]);
    cluster.wait_for_log(1, "state stored again failures=");
}

#[test]
fn others_may_read_counters_and_recorder_and_write_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let mut cluster = Cluster::new(1, "");
    cluster.start(1);
    cluster.wait_for_members(1, &[1]);
    let state = cluster.node_dir(1).join("state");
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&state) & 0o022, 0);
    for (file, others) in [("ring", 0), ("counters", 0o044), ("blackbox", 0o044)] {
        assert_eq!(mode(&state.join(file)) & 0o077, others, "{file}");
    }
}

#[test]
fn an_engine_without_privileges_serves_on_loopback() {
    let mut cluster = Cluster::new(1, "");
    if !cluster.start_as_nobody(1) {
        // Not root: every other test here is this test.
        return;
    }
    let status = cluster.wait_for_members(1, &[1]);
    assert_eq!(status["ring"]["state"], "operational");
    cluster.signal(1, Signal::TERM);
    assert_eq!(cluster.wait(1).code(), Some(0));
}
