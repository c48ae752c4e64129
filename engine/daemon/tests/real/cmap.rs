//! The configuration map and the statistics, as programs reach them.

use std::time::Instant;

use services::cmap::{
    Answer, Change, Events, LIST_KEYS_MAX, Map, Notice, Request, VALUE_BYTES_MAX, Value,
};
use services::{Answer as Any, Client, Failure};

use crate::cluster::{Cluster, PATIENCE};

fn connect(cluster: &Cluster, node: usize) -> Client {
    Client::connect(&cluster.node_dir(node).join("socket"), PATIENCE).unwrap()
}

fn ask(client: &mut Client, request: Request) -> Result<Any, Failure> {
    client.ask(&services::Request::Cmap(request)).map_err(|error| error.failure())
}

fn get(client: &mut Client, map: Map, key: &str) -> Result<Value, Failure> {
    match ask(client, Request::Get { map, key: key.into() })? {
        Any::Cmap(Answer::Value(value)) => Ok(value),
        other => panic!("{other:?}"),
    }
}

fn set(client: &mut Client, key: &str, value: Value) -> Result<Any, Failure> {
    ask(client, Request::Set { map: Map::Config, key: key.into(), value })
}

fn text(text: &str) -> Value {
    Value::Text(text.as_bytes().to_vec())
}

fn keys(client: &mut Client, map: Map, prefix: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    loop {
        let after = all.last().cloned().unwrap_or_default();
        let answer = ask(client, Request::List { map, prefix: prefix.into(), after }).unwrap();
        let Any::Cmap(Answer::Keys(keys)) = answer else { panic!("{answer:?}") };
        if keys.is_empty() {
            return all;
        }
        assert!(keys.len() <= LIST_KEYS_MAX);
        all.extend(keys.into_iter().map(|key| key.name));
    }
}

fn track(client: &mut Client, key: &str, prefix: bool) -> u64 {
    let events = Events { delete: true, modify: true, add: true, prefix };
    let request = Request::Track { map: Map::Config, key: key.into(), events };
    match ask(client, request).unwrap() {
        Any::Cmap(Answer::Tracking { track }) => track,
        other => panic!("{other:?}"),
    }
}

/// The next notice; waits for it.
fn notice(client: &mut Client) -> Notice {
    let start = Instant::now();
    loop {
        match client.next_notice().unwrap() {
            Some(services::Notice::Cmap(notice)) => return notice,
            Some(other) => panic!("{other:?}"),
            None => {
                assert!(start.elapsed() < PATIENCE, "no notice");
                client.wait(Some(PATIENCE)).unwrap();
            }
        }
    }
}

fn alone() -> (Cluster, Client) {
    let mut cluster = Cluster::new(1, "");
    cluster.start(1);
    cluster.wait_for_members(1, &[1]);
    let client = connect(&cluster, 1);
    (cluster, client)
}

#[test]
fn the_configuration_is_there_and_programs_keep_keys_of_their_own() {
    let (_cluster, mut client) = alone();
    let mut value = |key: &str| get(&mut client, Map::Config, key);
    assert_eq!(value("nodelist.node.0.nodeid"), Ok(Value::U32(1)));
    assert_eq!(value("nodelist.local_node_pos"), Ok(Value::U32(0)));
    assert_eq!(value("runtime.services.cpg.service_id"), Ok(Value::U16(2)));
    assert_eq!(value("runtime.members.1.status"), Ok(text("joined")));
    assert_eq!(value("config.totemconfig_reload_in_progress"), Ok(Value::U8(0)));
    assert_eq!(value("no.such.key"), Err(Failure::NotExist));
    assert_eq!(value("??"), Err(Failure::InvalidParameter));
    for key in ["totem.token", "nodelist.node.0.name", "runtime.members.1.status"] {
        assert_eq!(set(&mut client, key, text("x")), Err(Failure::Access), "{key}");
    }
    set(&mut client, "my.key", Value::U8(255)).unwrap();
    let adjust = |by| Request::Adjust { map: Map::Config, key: "my.key".into(), by };
    ask(&mut client, adjust(2)).unwrap();
    assert_eq!(get(&mut client, Map::Config, "my.key"), Ok(Value::U8(1)));
    for number in 0..3 * LIST_KEYS_MAX {
        set(&mut client, &format!("many.{number:03}"), text("x")).unwrap();
    }
    let many = keys(&mut client, Map::Config, "many.");
    assert!(many.is_sorted() && many.len() == 3 * LIST_KEYS_MAX);
    ask(&mut client, Request::Delete { map: Map::Config, key: "many.000".into() }).unwrap();
    assert_eq!(get(&mut client, Map::Config, "many.000"), Err(Failure::NotExist));
    assert!(keys(&mut client, Map::Config, "").contains(&"totem.cluster_name".to_owned()));
}

#[test]
fn statistics_count_and_are_cleared_and_nothing_else_is_written_there() {
    let (_cluster, mut client) = alone();
    let entered = get(&mut client, Map::Stats, "stats.srp.operational_entered").unwrap();
    assert!(matches!(entered, Value::U64(1..)), "{entered:?}");
    let clear = |key: &str| Request::Set { map: Map::Stats, key: key.into(), value: Value::U8(1) };
    ask(&mut client, clear("stats.clear.totem")).unwrap();
    let cleared = get(&mut client, Map::Stats, "stats.srp.operational_entered");
    assert_eq!(cleared, Ok(Value::U64(0)));
    assert_eq!(ask(&mut client, clear("stats.clear.nothing")), Err(Failure::NotExist));
    assert_eq!(ask(&mut client, clear("stats.srp.mcast_tx")), Err(Failure::Access));
}

#[test]
fn trackers_are_told_what_others_do_until_they_stop() {
    let (cluster, mut client) = alone();
    let mut other = connect(&cluster, 1);
    let prefix = track(&mut client, "a.", true);
    let exact = track(&mut client, "a.b", false);
    set(&mut other, "a.b", Value::I32(-1)).unwrap();
    let (first, second) = (notice(&mut client), notice(&mut client));
    assert_eq!((first.track, first.change, first.old), (prefix, Change::Add, None));
    assert_eq!(
        (second.track, second.key.as_str(), second.new),
        (exact, "a.b", Some(Value::I32(-1)))
    );
    ask(&mut client, Request::Untrack { track: prefix }).unwrap();
    assert_eq!(
        ask(&mut other, Request::Untrack { track: exact }),
        Err(Failure::NotExist),
        "not its own"
    );
    // Two long values do not fit a notice together: the new one is told.
    let long = |byte| Value::Binary(vec![byte; 20_000]);
    set(&mut other, "a.b", long(1)).unwrap();
    set(&mut other, "a.b", long(2)).unwrap();
    assert_eq!(notice(&mut client).old, Some(Value::I32(-1)));
    let last = notice(&mut client);
    assert_eq!((last.change, last.old, last.new), (Change::Modify, None, Some(long(2))));
    let too_long = Value::Binary(vec![0; VALUE_BYTES_MAX - 500]);
    assert_eq!(set(&mut other, "a.b", too_long), Err(Failure::TooBig));
}

#[test]
fn members_that_come_and_go_are_told_and_so_is_a_reload() {
    let mut cluster = Cluster::new(2, "");
    cluster.start(1);
    cluster.wait_for_members(1, &[1]);
    let mut client = connect(&cluster, 1);
    track(&mut client, "runtime.members.2.status", false);
    cluster.start(2);
    let come = notice(&mut client);
    assert_eq!((come.change, come.new), (Change::Add, Some(text("joined"))));
    cluster.signal(2, rustix::process::Signal::KILL);
    cluster.wait(2);
    let gone = notice(&mut client);
    assert_eq!((gone.old, gone.new), (Some(text("joined")), Some(text("left"))));
    let mut client = connect(&cluster, 1);
    track(&mut client, "config.totemconfig_reload_in_progress", false);
    assert_eq!(cluster.reload(1)["reload"], "committed");
    assert_eq!(notice(&mut client).new, Some(Value::U8(1)));
    assert_eq!(notice(&mut client).new, Some(Value::U8(0)));
    assert_eq!(get(&mut client, Map::Config, "config.reload_status"), Ok(Value::I32(1)));
    cluster.edit(1, "level = \"debug\"", "level = \"loud\"");
    assert_eq!(cluster.reload(1)["reload"], "refused");
    let error = get(&mut client, Map::Config, "config.reload_error_message").unwrap();
    let Value::Text(error) = error else { panic!("{error:?}") };
    assert!(String::from_utf8(error).unwrap().contains("log.level"));
}

#[test]
fn a_group_that_is_let_in_at_run_time_may_connect() {
    use std::os::unix::fs::PermissionsExt;
    const NOBODY: u32 = 65_534;
    let (cluster, mut client) = alone();
    if !rustix::process::geteuid().is_root() {
        // Whoever is not root is the only user there is.
        return;
    }
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(cluster.dir.path(), open).unwrap();
    let socket = cluster.node_dir(1).join("socket");
    // Users are those of the thread that connects.
    let as_nobody = || {
        let socket = socket.clone();
        let thread = std::thread::spawn(move || {
            let (uid, gid) =
                (rustix::thread::Uid::from_raw(NOBODY), rustix::thread::Gid::from_raw(NOBODY));
            rustix::thread::set_thread_gid(gid).unwrap();
            rustix::thread::set_thread_uid(uid).unwrap();
            Client::connect(&socket, PATIENCE)
                .map(|mut client| get(&mut client, Map::Config, "totem.cluster_name"))
        });
        thread.join().unwrap()
    };
    assert!(as_nobody().is_err());
    set(&mut client, &format!("uidgid.gid.{NOBODY}"), Value::U8(1)).unwrap();
    assert!(as_nobody().unwrap().is_ok());
    ask(&mut client, Request::Delete { map: Map::Config, key: format!("uidgid.gid.{NOBODY}") })
        .unwrap();
    assert!(as_nobody().is_err());
}
