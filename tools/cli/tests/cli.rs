//! Every subcommand as a shell user meets it: text and JSON on standard output, errors on standard error,
//! exit codes.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;

use cluster::Cluster;
use common::shell::{Arg, PATIENCE, Running, Said, run, run_with_input, status, wait_for_ring};
use serde_json::Value;

/// A running cluster on loopback.
fn cluster(nodes: usize, base_port: u16) -> Cluster {
    let mut cluster = Cluster::prepare(common::on_loopback(nodes, base_port)).unwrap();
    cluster.start_all().unwrap();
    (0..nodes).for_each(|node| wait_for_ring(&cluster.socket(node), nodes));
    cluster
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text:?}"))
}

#[test]
fn output_that_nobody_reads_ends_the_tool_without_a_word() {
    let unread = |args: &[&str]| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(common::tool()).args(args).stdout(writer).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
        output.status
    };
    for args in [&["doctor"][..], &["bench", "suite", "--list"]] {
        assert_eq!(unread(args).signal(), Some(signal_hook::consts::SIGPIPE), "{args:?}");
    }
    // What starts engines ends them first.
    let local = ["bench", "local", "--loopback", "--loads", "idle", "--seconds", "0.1"];
    let status = unread(&[&local[..], &["--patience", "0"]].concat());
    assert_eq!(status.code(), Some(128 + signal_hook::consts::SIGPIPE), "{status:?}");
}

#[test]
fn keygen_makes_a_key_for_its_owner_alone_and_never_overwrites_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cluster.key");
    let said = run(&[&"keygen", &file]).good();
    assert!(said.contains("cluster.key") && said.contains("security.key_file"), "{said}");
    let key = std::fs::read_to_string(&file).unwrap();
    assert_eq!(key.trim_end().len(), 64);
    assert!(key.trim_end().bytes().all(|byte| byte.is_ascii_hexdigit()), "not hexadecimal");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    let said = run(&[&"keygen", &file]).bad(1);
    assert!(said.contains("cluster.key") && said.contains("never overwritten"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), key);
    let other = dir.path().join("other.key");
    let answer = json(&run(&[&"--json", &"keygen", &other]).good());
    assert_eq!(answer["file"], other.to_str().unwrap());
    assert_eq!(answer["bytes"], 32);
    assert_ne!(std::fs::read_to_string(&other).unwrap(), key, "keys are random");
    let nowhere = dir.path().join("none/key");
    let said = run(&[&"keygen", &nowhere]).bad(1);
    assert!(said.contains("none/key") && said.contains("No such file"), "{said}");
}

#[test]
fn doctor_fails_exactly_when_something_is_bad() {
    let Said { code, out, err } = run(&[&"doctor", &"--json"]);
    let findings = json(&out);
    let findings = findings.as_array().unwrap();
    assert!(findings.iter().any(|finding| finding["check"] == "io_uring"), "{out}");
    let count = |verdict| findings.iter().filter(|finding| finding["verdict"] == verdict).count();
    let bad = count("bad");
    assert_eq!(bad + count("advice") + count("good"), findings.len(), "{out}");
    assert_eq!(code, Some(i32::from(bad > 0)), "{out}{err}");
    for finding in findings {
        let has_advice = finding["advice"].as_str().is_some_and(|advice| !advice.is_empty());
        assert_eq!(has_advice, finding["verdict"] != "good", "{finding}");
    }
    let human = run(&[&"doctor"]);
    assert_eq!(human.code, code);
    for finding in findings {
        assert!(human.out.contains(finding["check"].as_str().unwrap()), "{}", human.out);
    }
}

#[test]
fn status_tells_people_and_programs_the_same() {
    let _machine = common::machine();
    let cluster = cluster(2, 33_000);
    let socket = cluster.socket(0);
    let answer = json(&run(&[&"--json", &"status", &"--socket", &socket]).good());
    assert_eq!(answer["node"]["id"], 1);
    assert_eq!(answer["cluster"]["nodes"], serde_json::json!([1, 2]));
    assert_eq!(answer["ring"]["state"], "operational");
    assert_eq!(answer["ring"]["members"], serde_json::json!([1, 2]));
    assert_eq!(answer["security"]["encryption"], "off");
    assert_eq!(answer["groups"]["synced"], true);
    assert_eq!(answer["peers"][0]["node"], 2);
    assert!(answer["counters"]["link"]["opened"].as_u64().unwrap() > 0, "{answer}");
    assert!(answer["ring"]["token_timeout_us"].as_u64().unwrap() > 0, "{answer}");
    let human = run(&[&"status", &"--socket", &socket]).good();
    for line in ["  state: operational", "  members: 1 2", "  encryption: off", "  synced: true"] {
        assert!(human.lines().any(|found| found == line), "{line:?} not in\n{human}");
    }
    assert!(human.contains(&format!("pid: {}", answer["pid"])), "{human}");
}

#[test]
fn top_prints_an_interval_a_line_where_there_is_no_terminal() {
    let _machine = common::machine();
    let cluster = cluster(2, 33_080);
    let socket = cluster.socket(0);
    let said = run(&[&"--json", &"top", &"-n", &"2", &"-d", &"0.1", &"--socket", &socket]).good();
    assert_eq!(said.lines().count(), 2, "{said}");
    for line in said.lines().map(json) {
        assert_eq!(line["ring"]["members"], serde_json::json!([1, 2]));
        assert_eq!(line["peers"][0]["member"], true, "{line}");
        assert!(line["rates"]["messages_delivered"].is_number(), "{line}");
    }
    let said = run(&[&"top", &"-n", &"1", &"-d", &"0.1", &"--socket", &socket]).good();
    assert!(said.starts_with("operational members=2 quorate=true"), "{said}");
    let said = run(&[&"top", &"-d", &"0", &"--socket", &socket]).bad(1);
    assert!(said.contains("0.1 to 60"), "{said}");
}

/// Starts `cpg listen` and waits until it is a member.
fn listen(cluster: &Cluster, node: usize, group: &str, more: &[&str]) -> Running {
    let socket = cluster.socket(node);
    let members = |group: &str| {
        let status = status(&socket);
        let list = status["groups"]["list"].as_array().unwrap().clone();
        let found = list.into_iter().find(|found| found["name"] == group);
        found.map_or(0, |found| found["members"].as_array().unwrap().len())
    };
    let before = members(group);
    let mut args: Vec<Arg<'_>> = vec![&"cpg", &"listen", &group, &"--socket", &socket];
    args.extend(more.iter().map(|arg| arg as Arg<'_>));
    let running = Running::start(&args);
    assert!(cluster::wait_until(PATIENCE, || members(group) > before), "no member of {group}");
    running
}

#[test]
fn lines_sent_at_one_node_are_heard_at_all_in_one_order() {
    let _machine = common::machine();
    let cluster = cluster(2, 33_010);
    let (a, b) = (cluster.socket(0), cluster.socket(1));
    let mut plain = listen(&cluster, 0, "chat", &["-n", "2000"]);
    let mut lines = listen(&cluster, 1, "chat", &["-n", "2000", "--json"]);
    let input = |who: &str| (0..1000).map(|i| format!("{who} {i}\n")).collect::<String>();
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| {
            let args: [Arg<'_>; 7] =
                [&"cpg", &"send", &"chat", &"--members", &"4", &"--socket", &a];
            run_with_input(&args, &input("a"))
        });
        let args: [Arg<'_>; 9] =
            [&"--json", &"cpg", &"send", &"chat", &"--safe", &"--members", &"4", &"--socket", &b];
        let second = run_with_input(&args, &input("b"));
        (first.join().unwrap(), second)
    });
    assert_eq!(first.good(), "");
    assert_eq!(json(&second.good()), serde_json::json!({ "sent": 1000 }));
    let heard: Vec<String> = (0..2000).map(|_| plain.line()).collect();
    let told: Vec<Value> = (0..2000).map(|_| json(&lines.line())).collect();
    assert_eq!((plain.wait(), lines.wait()), (Some(0), Some(0)));
    for (text, line) in heard.iter().zip(&told) {
        assert_eq!(line["message"], text.as_str(), "both hear the same in the same order");
        assert_eq!(line["node"], if text.starts_with('a') { 1 } else { 2 });
        assert!(line["pid"].as_u64().is_some_and(|pid| pid > 0), "{line}");
    }
    for who in ["a ", "b "] {
        let own: Vec<_> = heard.iter().filter(|line| line.starts_with(who)).collect();
        let sent: Vec<_> = (0..1000).map(|i| format!("{who}{i}")).collect();
        assert!(own.iter().copied().eq(&sent), "the lines of one sender keep their order");
    }
}

#[test]
fn groups_are_listed_and_views_are_told() {
    let _machine = common::machine();
    let cluster = cluster(2, 33_020);
    let socket = cluster.socket(0);
    assert_eq!(run(&[&"cpg", &"ls", &"--socket", &socket]).good(), "");
    let mut views = Running::start(&[&"--json", &"cpg", &"join", &"room", &"--socket", &socket]);
    let first = json(&views.line());
    assert_eq!(first["members"].as_array().unwrap().len(), 1, "{first}");
    let mut other = listen(&cluster, 1, "room", &[]);
    let second = json(&views.line());
    assert_eq!(second["members"].as_array().unwrap().len(), 2, "{second}");
    assert_eq!(second["joined"].as_array().unwrap().len(), 1, "{second}");
    let newcomer = second["joined"][0]["member"].as_str().unwrap();
    assert!(newcomer.starts_with("2:"), "{second}");
    let list = run(&[&"cpg", &"ls", &"--socket", &socket]).good();
    assert_eq!(list.lines().next(), Some("room"), "{list}");
    let [node, pid, session] = newcomer.split(':').collect::<Vec<_>>()[..] else { panic!() };
    let line = format!("  node {node} pid {pid} session {session}");
    assert!(list.lines().any(|found| found == line), "{line:?} not in\n{list}");
    let answer = json(&run(&[&"--json", &"cpg", &"ls", &"--socket", &cluster.socket(1)]).good());
    assert_eq!(answer[0]["name"], "room");
    assert_eq!(answer[0]["members"].as_array().unwrap().len(), 2);
    other.kill();
    let third = json(&views.line());
    assert_eq!(third["left"][0]["member"], newcomer, "{third}");
    let args: [Arg<'_>; 8] =
        [&"cpg", &"join", &"room", &"-n", &"1", &"--socket", &socket, &"--seconds=60"];
    let human = run(&args).good();
    assert!(human.starts_with("members 1:"), "{human}");
}

#[test]
fn the_flight_recorder_is_read_alive_and_dead() {
    let _machine = common::machine();
    let mut cluster = cluster(2, 33_030);
    let file: PathBuf = cluster.node_dir(0).join("state/blackbox");
    let read = || json(&run(&[&"--json", &"blackbox", &file]).good());
    let alive = read();
    assert_eq!(alive["node"], 1);
    let count = |recording: &Value| recording["events"].as_array().unwrap().len();
    assert!(count(&alive) > 0, "{alive}");
    cluster.engine(1).unwrap().kill().unwrap();
    wait_for_ring(&cluster.socket(0), 1);
    cluster.engine(0).unwrap().kill().unwrap();
    let dead = read();
    assert_eq!(dead["boot"], alive["boot"]);
    assert!(count(&dead) > count(&alive), "the loss of the peer is recorded: {dead}");
    let numbers: Vec<u64> =
        dead["events"].as_array().unwrap().iter().map(|e| e["number"].as_u64().unwrap()).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    let human = run(&[&"blackbox", &file, &"-n", &"3"]).good();
    assert_eq!(human.lines().count(), 4, "a headline and three events:\n{human}");
    assert!(human.starts_with("node 1, boot "), "{human}");
}

#[test]
fn errors_say_what_is_wrong_and_where() {
    let dir = tempfile::tempdir().unwrap();
    let (none, text) = (dir.path().join("none"), dir.path().join("text"));
    std::fs::write(&text, "not a recorder's file").unwrap();
    for socket in [&none, &text] {
        let status = run(&[&"status", &"--socket", socket]).bad(1);
        let list = run(&[&"cpg", &"ls", &"--socket", socket]).bad(1);
        assert!(status.contains(socket.to_str().unwrap()), "{status}");
        assert!(status.contains("is synchrotrond running"), "{status}");
        assert_eq!(status.matches("(os error").count(), 1, "said twice: {status}");
        assert!(list.contains(socket.to_str().unwrap()), "{list}");
    }
    let said = run_with_input(&[&"cpg", &"send", &"chat", &"--socket", &none], "hello\n").bad(1);
    assert!(said.contains("cannot connect to the engine at") && said.contains("none"), "{said}");
    let said = run(&[&"blackbox", &none]).bad(1);
    assert!(said.contains("none") && said.contains("No such file"), "{said}");
    let said = run(&[&"blackbox", &text]).bad(1);
    assert!(said.contains("text") && said.contains("recorder"), "{said}");
    let said = run(&[&"frobnicate"]).bad(2);
    assert!(said.contains("frobnicate") && said.contains("--help"), "{said}");
    assert!(run(&[&"--help"]).good().contains("cpg"));
    assert!(run(&[&"--version"]).good().starts_with("synchrotron "));
}

#[test]
fn a_bad_configuration_ends_an_engine_with_78_and_says_where() {
    let spec = common::on_loopback(1, 33_040);
    let cluster = Cluster::prepare(spec).unwrap();
    let file = cluster.node_dir(0).join("synchrotron.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    let line = good.lines().count() + 2;
    std::fs::write(&file, format!("{good}\n[limits]\nmessage_bytes_max = \"2\"\n")).unwrap();
    let said = run(&[&"engine", &"--config", &file]).bad(78);
    let place = format!("{}:{}:21: limits.message_bytes_max = ", file.display(), line + 1);
    assert!(said.contains(&place), "{place:?} not in {said}");
    assert!(said.contains("\"2\"") && said.contains("from \"1KiB\" to \"1GiB\""), "{said}");
    std::fs::write(&file, format!("{good}\n[limits]\nmesage_bytes_max = 2048\n")).unwrap();
    let said = run(&[&"engine", &"--config", &file]).bad(78);
    assert!(said.contains("mesage_bytes_max") && said.contains("message_bytes_max"), "{said}");
    let said = run(&[&"engine", &"--config", &cluster.dir().join("none.toml")]).bad(78);
    assert!(said.contains("none.toml"), "{said}");
}

#[test]
fn reload_changes_all_nodes_or_says_which_one_refused() {
    let _machine = common::machine();
    let cluster = cluster(2, 33_060);
    let file = |node| cluster.node_dir(node).join("synchrotron.toml");
    let socket = cluster.socket(1);
    let said = run(&[&"reload", &"--socket", &socket]).good();
    assert!(said.contains("is in use on all nodes"), "{said}");
    let good = std::fs::read_to_string(file(0)).unwrap();
    std::fs::write(file(0), format!("{good}\n[recorder]\nbytes = 1\n")).unwrap();
    let said = run(&[&"reload", &"--socket", &socket]).bad(1);
    assert!(
        said.contains("nothing was changed; node 1: ") && said.contains("recorder.bytes"),
        "{said}"
    );
    let Said { code, out, .. } = run(&[&"reload", &"--json", &"--socket", &socket]);
    assert_eq!((code, &json(&out)["reload"]), (Some(1), &Value::from("refused")));
}

#[test]
fn cmap_reads_sets_lists_and_deletes_keys() {
    let _machine = common::machine();
    let cluster = cluster(1, 33_080);
    let socket = cluster.socket(0);
    let cmap = |words: &[&str]| {
        let mut args: Vec<Arg<'_>> = vec![&"cmap"];
        args.extend(words.iter().map(|word| word as Arg<'_>));
        args.extend([&"--socket" as Arg<'_>, &socket]);
        run(&args)
    };
    assert_eq!(
        cmap(&["get", "nodelist.node.0.nodeid"]).good().trim(),
        "nodelist.node.0.nodeid (u32) = 1"
    );
    cmap(&["set", "my.number", "i8", "-5"]).good();
    let said = cmap(&["get", "my.number", "--json"]).good();
    assert_eq!(json(&said), serde_json::json!({ "key": "my.number", "type": "i8", "value": -5 }));
    assert!(cmap(&["list", "my."]).good().contains("my.number (i8) = -5"));
    assert!(
        cmap(&["list", "stats.srp.", "--stats"]).good().contains("stats.srp.operational_entered")
    );
    cmap(&["delete", "my.number"]).good();
    assert!(cmap(&["get", "my.number"]).bad(1).contains("my.number: no such key"));
    assert!(cmap(&["set", "totem.token", "u32", "5"]).bad(1).contains("totem.token: read-only"));
    assert!(cmap(&["set", "my.number", "u8", "300"]).bad(1).contains("\"300\" is not a number"));
}
