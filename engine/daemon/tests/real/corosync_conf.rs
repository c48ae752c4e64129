//! Engines with a file of Corosync.

use std::process::Command;

use rustix::process::Signal;

use crate::cluster::Cluster;

#[test]
fn a_corosync_conf_runs() {
    let mut cluster = Cluster::new(1, "");
    let dir = cluster.node_dir(1);
    let own = std::fs::read_to_string(cluster.config(1)).unwrap();
    let port = own.rsplit("127.0.0.1:").next().and_then(|rest| rest.split('"').next()).unwrap();
    let conf = dir.join("corosync.conf");
    let text = format!(
        "totem {{\n version: 2\n cluster_name: c{port}\n token: 400\n join: 60\n \
         interface {{\n  mcastport: {port}\n }}\n}}\n\
         nodelist {{\n node {{\n  ring0_addr: 127.0.0.1\n  nodeid: 7\n  name: here\n }}\n}}\n\
         synchrotron {{\n ipc {{\n  socket: socket\n }}\n engine {{\n  state_dir: state\n }}\n}}\n"
    );
    std::fs::write(&conf, text).unwrap();
    let mut check = Command::new(env!("CARGO_BIN_EXE_synchrotrond"));
    let checked = check.arg("--corosync-conf").arg(&conf).arg("--check").output().unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (said(&checked.stdout), said(&checked.stderr));
    assert!(checked.status.success(), "{err}");
    assert!(out.ends_with(": good: node 7 (here) of 1\n"), "{out}");
    assert!(err.contains("corosync.conf:5: totem.join: has no effect here: "), "{err}");

    cluster.start_corosync(1, &conf);
    let status = cluster.wait_for_members(1, &[7]);
    assert_eq!(status["ring"]["token_timeout_us"], 400_000, "{status}");
    assert!(status["warnings"].to_string().contains("totem.join: has no effect"), "{status}");
    cluster.signal(1, Signal::TERM);
    assert!(cluster.wait(1).success());
}
