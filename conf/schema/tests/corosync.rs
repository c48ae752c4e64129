//! Files of Corosync: what becomes of them, and what is refused, with the very message.

use std::net::IpAddr;
use std::path::Path;

use synchrotron_schema::corosync::keys::{Fate, KEYS};
use synchrotron_schema::corosync::{ConfKey, ConfValue};
use synchrotron_schema::{
    Config, Driver, Encryption, Host, KeySource, LinkMode, Loaded, LogLevel, Multicast, Problems,
    Source, TokenTimeout, keys,
};

/// A machine of its own: `n2` with 10.0.0.2.
struct Machine;

impl Host for Machine {
    fn name(&self) -> String {
        "n2.example".to_owned()
    }

    fn addresses(&self) -> Vec<IpAddr> {
        ["127.0.0.1", "10.0.0.2"].map(|text| text.parse().unwrap()).to_vec()
    }

    fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        let addresses: &[&str] = match name {
            "n1" => &["fd00::1", "10.0.0.1"],
            "n2" => &["10.0.0.2"],
            _ => return Err("nobody knows it".to_owned()),
        };
        Ok(addresses.iter().map(|text| text.parse().unwrap()).collect())
    }

    fn user(&self, name: &str) -> Option<u32> {
        (name == "hacluster").then_some(189)
    }

    fn group(&self, name: &str) -> Option<u32> {
        (name == "haclient").then_some(190)
    }
}

/// What `pcs cluster setup` writes, more or less.
const PCS: &str = "totem {
    version: 2
    cluster_name: blue
    transport: knet
    crypto_cipher: aes256
    crypto_hash: sha256
    token: 5000
}

nodelist {
    node {
        ring0_addr: 10.0.0.1
        ring1_addr: 10.1.0.1
        name: n1
        nodeid: 1
    }
    node {
        ring0_addr: 10.0.0.2
        ring1_addr: 10.1.0.2
        name: n2
        nodeid: 2
    }
    node {
        ring0_addr: 10.0.0.3
        ring1_addr: 10.1.0.3
        name: n3
        nodeid: 3
    }
}

logging {
    to_logfile: yes
    logfile: /var/log/cluster/corosync.log
    to_syslog: yes
    timestamp: on
}
";

fn conf() -> Source {
    Source::Corosync("/nowhere/corosync.conf".into())
}

fn parse(text: &str) -> Result<Loaded, Problems> {
    conf().parse(text, &Machine)
}

fn refused(text: &str) -> Vec<String> {
    let problems = parse(text).map(|loaded| loaded.config).unwrap_err();
    problems.to_string().lines().map(|line| line.replace("/nowhere/corosync.conf:", "")).collect()
}

fn read(text: &str) -> Loaded {
    parse(text).unwrap_or_else(|problems| panic!("{problems}"))
}

fn warnings(loaded: &Loaded) -> Vec<String> {
    loaded.warnings.iter().map(|w| format!("{}: {}: {}", w.line, w.key, w.text)).collect()
}

#[test]
fn a_file_of_pcs_becomes_the_model() {
    let loaded = read(PCS);
    let Config { nodes, me, cluster_name, transport, security, totem, log, .. } = &loaded.config;
    assert_eq!((cluster_name.as_str(), *me, nodes.len()), ("blue", 2, 3));
    let sockets = [nodes[1].address, nodes[1].token_address, nodes[1].links[0].address];
    let expected = ["10.0.0.2:5405", "10.0.0.2:5406", "10.1.0.2:5406"];
    assert_eq!(sockets, expected.map(|text| text.parse().unwrap()));
    assert_eq!(transport.multicast, Multicast::Off);
    assert_eq!(
        (transport.link_mode, transport.link_priorities.as_slice()),
        (LinkMode::Passive, &[1, 1][..])
    );
    let key = KeySource::CorosyncFile("/etc/corosync/authkey".into());
    assert_eq!(security.encryption, Encryption::Aes256Gcm { key });
    // 5000 + one node beyond two * 650, as Corosync computes it.
    assert_eq!(totem.token_timeout, TokenTimeout::Fixed { us: 5_650_000 });
    assert_eq!(log.file.as_deref(), Some(Path::new("/var/log/cluster/corosync.log")));
    assert_eq!(warnings(&loaded), [""; 0]);
}

#[test]
fn the_map_has_corosyncs_names_and_types() {
    let loaded = read(&PCS.replace(
        "token: 5000",
        &format!("token: 5000\n config_version: 7\n key: {}", "x".repeat(128)),
    ));
    let find = |name: &str| loaded.keys.iter().find(|key| key.name == name).map(|key| &key.value);
    assert_eq!(find("nodelist.node.1.nodeid"), Some(&ConfValue::U32(2)));
    assert_eq!(find("nodelist.node.2.ring1_addr"), Some(&ConfValue::Text("10.1.0.3".into())));
    assert_eq!(find("nodelist.local_node_pos"), Some(&ConfValue::U32(1)));
    assert_eq!(find("totem.config_version"), Some(&ConfValue::U64(7)));
    assert_eq!(find("totem.token"), Some(&ConfValue::U32(5000)));
    assert_eq!(find("totem.key"), None, "secrets are not for every program to read");
    let names: Vec<_> = loaded.keys.iter().map(|key| key.name.clone()).collect();
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(names, sorted);
}

#[test]
fn a_file_of_toml_makes_the_same_map() {
    let toml = conf_to_toml(PCS);
    let source = Source::Toml("/nowhere/synchrotron.toml".into());
    let other =
        source.parse(&toml, &Machine).unwrap_or_else(|problems| panic!("{problems}\n{toml}"));
    let loaded = read(PCS);
    let without_file = |config: &Config| Config { file: "".into(), ..config.clone() };
    assert_eq!(without_file(&other.config), without_file(&loaded.config));
    for name in ["nodelist.node.0.name", "nodelist.node.2.nodeid", "totem.cluster_name"] {
        let value = |keys: &[ConfKey]| keys.iter().find(|key| key.name == name).cloned();
        assert_eq!(value(&other.keys), value(&loaded.keys));
        assert!(value(&other.keys).is_some(), "{name}");
    }
}

/// Writes a text to a file and converts that.
fn converted(text: &str, name: &str, to_toml: bool) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(name);
    std::fs::write(&file, text).unwrap();
    let source = match name.rsplit('.').next() {
        Some("toml") => Source::Toml(file),
        Some("xml") => Source::CorosyncXml(file),
        _ => Source::Corosync(file),
    };
    let converted = if to_toml { source.to_toml(&Machine) } else { source.to_corosync(&Machine) };
    converted.unwrap_or_else(|problems| panic!("{problems}\n{text}")).text
}

fn conf_to_toml(text: &str) -> String {
    converted(text, "corosync.conf", true)
}

#[test]
fn there_and_back_changes_nothing() {
    let full = "totem {\n version: 2\n cluster_name: c\n config_version: 9\n transport: udp\n secauth: on\n \
        keyfile: /k\n token: 200\n consensus: 300\n link_mode: rr\n netmtu: 1400\n \
        interface {\n  mcastaddr: 239.1.2.3\n  mcastport: 6000\n  ttl: 3\n }\n \
        interface {\n  linknumber: 1\n  knet_link_priority: 7\n  knet_transport: verbs\n }\n}\n\
        nodelist {\n node {\n  ring0_addr: n1\n  ring1_addr: 10.9.0.1\n  nodeid: 5\n }\n \
        node {\n  ring0_addr: n2\n  ring1_addr: 10.9.0.2\n  quorum_votes: 2\n }\n}\n\
        logging {\n debug: on\n blackbox: off\n logging_daemon {\n  name: dlm\n  debug: off\n }\n}\n\
        quorum {\n provider: corosync_votequorum\n expected_votes: 3\n wait_for_all: 1\n \
        last_man_standing_window: 7000\n auto_tie_breaker: 1\n auto_tie_breaker_node: 5 9\n \
        device {\n  model: net\n  votes: 1\n  timeout: 8000\n  net {\n   host: q\n  }\n }\n}\n\
        system {\n state_dir: /s\n}\nuidgid {\n uid: hacluster\n uid: 7\n gid: haclient\n}\n\
        synchrotron {\n engine {\n  cpu: 3\n  spin: 10us\n }\n ipc {\n  private_uids: [1, 2]\n }\n}\n";
    for text in [PCS, full] {
        let toml = conf_to_toml(text);
        let back = converted(&toml, "synchrotron.toml", false);
        assert_eq!(conf_to_toml(&back), toml, "through\n{back}");
    }
    let toml = conf_to_toml(full);
    for line in [
        "id = \"auto\"",
        "id = 5",
        "id = 167772162",
        "address = \"10.0.0.1:6000\"",
        "links = [\"10.9.0.1:5406\"]",
        "multicast = \"239.1.2.3:5999\"",
        "multicast_ttl = 3",
        "token_timeout = \"200ms\"",
        "consensus_timeout = \"300ms\"",
        "link_mode = \"rr\"",
        "link_priorities = [1, 7]",
        "link_kinds = [\"udp\", \"verbs\"]",
        "mtu = \"1400B\"",
        "key_file = \"/k\"",
        "key_format = \"corosync\"",
        "allow_uids = [7, 189]",
        "allow_gids = [190]",
        "private_uids = [1, 2]",
        "provider = \"votequorum\"",
        "expected_votes = 3",
        "wait_for_all = true",
        "last_man_standing_window = \"7s\"",
        "auto_tie_breaker = [5, 9]",
        "device = \"net\"",
        "device_votes = 1",
        "device_timeout = \"8s\"",
        "votes = 2",
        "cpu = 3",
        "level = \"debug\"",
        "file = \"off\"",
        "state_dir = \"/s\"",
        "\"quorum.device.net.host\" = \"q\"",
        "\"logging.logging_daemon.dlm.name\" = \"dlm\"",
    ] {
        assert!(toml.lines().any(|found| found == line), "no {line} in\n{toml}");
    }
}

#[test]
fn infiniband_is_what_it_was() {
    let file = PCS.replace("knet", "iba");
    let kinds = |file: &str| {
        let drivers = read(file).config.transport.drivers;
        drivers.iter().map(Driver::name).collect::<Vec<_>>()
    };
    assert_eq!(kinds(PCS), ["udp", "udp"]);
    assert_eq!(kinds(&file), ["verbs", "verbs"]);
    assert!(matches!(read(&file).config.transport.multicast, Multicast::Group(_)));
    let interface = "interface {\n  linknumber: 1\n  knet_transport: udp\n }\n}\n\nnodelist";
    assert_eq!(kinds(&file.replace("}\n\nnodelist", interface)), ["verbs", "udp"]);
}

#[test]
fn a_file_of_ours_survives_the_way_through_corosyncs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    for name in ["three-hosts.toml", "loopback.toml", "lowest-latency.toml"] {
        let text = std::fs::read_to_string(root.join(name)).unwrap();
        let file = Path::new("/nowhere/corosync.conf");
        let ours = Config::parse(&text, file).unwrap();
        let conf = converted(&text, "synchrotron.toml", false);
        let through = Source::Corosync(file.to_owned()).parse(&conf, &Machine);
        let through = through.unwrap_or_else(|problems| panic!("{problems}\n{conf}"));
        assert_eq!(through.config, ours, "{conf}");
    }
}

#[test]
fn xml_is_the_same_configuration() {
    let xml = "<?xml version=\"1.0\"?>\n<corosync>\n <totem version=\"2\" cluster_name=\"x\">\n  \
        <interface linknumber=\"0\" mcastport=\"7000\"/>\n </totem>\n <nodelist>\n  \
        <node ring0_addr=\"10.0.0.2\" nodeid=\"4\" name=\"a\"/>\n </nodelist>\n <!-- no text counts -->\n \
        <logging debug=\"on\">ignored</logging>\n</corosync>\n";
    let source = Source::CorosyncXml("/nowhere/corosync.xml".into());
    let loaded = source.parse(xml, &Machine).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(loaded.config.me, 4);
    assert_eq!(loaded.config.my_node().address, "10.0.0.2:7000".parse().unwrap());
    assert_eq!(loaded.config.log.level, LogLevel::Debug);
    let conf = converted(xml, "corosync.xml", false);
    assert_eq!(
        conf,
        "totem {\n    cluster_name: x\n    version: 2\n    interface {\n        linknumber: 0\n        \
         mcastport: 7000\n    }\n}\n\nnodelist {\n    node {\n        name: a\n        nodeid: 4\n        \
         ring0_addr: 10.0.0.2\n    }\n}\n\nlogging {\n    debug: on\n}\n"
    );
    let mut config = read(&conf).config;
    config.file.clone_from(&loaded.config.file);
    assert_eq!(config, loaded.config);
    let bad = source.parse(&xml.replace("</totem>", ""), &Machine).unwrap_err().to_string();
    assert!(bad.starts_with("/nowhere/corosync.xml:11:") && bad.contains("not XML"), "{bad}");
    let bad = source.parse("<cluster/>", &Machine).unwrap_err().to_string();
    assert_eq!(
        bad.lines().next().unwrap(),
        "/nowhere/corosync.xml:1:1: the root element is <cluster>; accepted: <corosync>"
    );
}

#[test]
fn keys_without_effect_are_named_with_what_happens_instead() {
    let text = PCS.replace(
        "token: 5000",
        "join: 60\n    tokn: 7\n    netmtu: 1500\n    threads: 1\n    interface {\n        knet_pong_count: 3\n    }",
    );
    let loaded = read(&text);
    assert_eq!(
        warnings(&loaded),
        [
            "7: totem.join: has no effect here: the engine derives this interval from the rotation it measures",
            "8: totem.tokn: unknown key: programs can read it, the engine ignores it; did you mean totem.token?",
            "9: totem.netmtu: has no effect here: with this transport, totem.knet_mtu sets the MTU",
            "10: totem.threads: has no effect here: the engine has one thread for messages and one for control",
            "12: totem.interface.0.knet_pong_count: has no effect here: the engine compares what links bring and \
             needs no timers of its own for that",
        ]
    );
    assert!(matches!(loaded.config.totem.token_timeout, TokenTimeout::Auto { .. }));
}

/// A change to the file of pcs (from, to) and the message expected.
struct Bad(&'static str, &'static str, &'static str);

#[rustfmt::skip]
const BAD: &[Bad] = &[
    Bad("totem {\n", "totem {\n junk\n", "2:2: line = junk: neither the start nor the end of a section nor a \
        key with a \
        value; accepted: \"section {\", \"key: value\", \"}\" or \"# comment\""),
    Bad("totem {\n", "totem { x\n", "1:9: text after an opening brace; accepted: the first key on the line after \
        \"section {\""),
    Bad("totem {\n", " {\n", "1:2: a name is missing; accepted: a name before \":\" or \"{\""),
    Bad("    token: 5000\n}", "    token: 5000\n} # end", "8:1: a closing brace with other text; accepted: \"}\" on a \
        line of its own"),
    Bad("nodelist {", "}\nnodelist {", "10:1: a closing brace without an open section; accepted: one closing brace for \
        each \"section {\""),
    Bad("timestamp: on\n}", "timestamp: on\n", "31:1: section \"logging\" is not closed; accepted: a line with \"}\" \
        after its last key"),
    Bad("token: 5000", "to ken: 5000", "7:5: name \"to ken\" has the character ' '; accepted: letters, digits and \
        \"._-/:\""),
    Bad("version: 2", "version: 3", "2:14: totem.version = 3: is not a version this reader knows; accepted: 2"),
    Bad("    version: 2\n", "", "1:1: totem.version: missing; accepted: 2"),
    Bad("token: 5000", "token: soon", "7:12: totem.token = soon: is not a whole number in range; accepted: a whole \
        number from 0 to 4294967295"),
    Bad("token: 5000", "token: 0\n    token_coefficient: 0", "7:12: totem.token = 0: is below 1ms; accepted: \
        \"auto\", or a duration from \
        \"1ms\" to \"3600s\""),
    Bad("token: 5000", "token:", "7:11: totem.token: is empty; accepted: a whole number from 0 to 4294967295"),
    Bad("aes256", "rot13", "5:20: totem.crypto_cipher = rot13: is not a word this key knows; accepted: none, aes128, \
        aes192, aes256"),
    Bad("nodeid: 2", "nodeid: 1", "21:17: nodelist.node.1.nodeid = 1: nodelist.node.0 has this id, too; accepted: a \
        unique id"),
    Bad("        nodeid: 2\n", "", "18:9: nodelist.node.1.nodeid: missing; accepted: a whole number from 1 to \
        4294967295"),
    Bad("name: n2", "name: n1", "20:15: nodelist.node.1.name = n1: nodelist.node.0 has this name, too; accepted: a \
        unique name"),
    Bad("10.0.0.2", "elsewhere", "18:21: nodelist.node.1.ring0_addr = elsewhere: cannot be resolved: nobody knows it; \
        accepted: an IP address, or a host name that can be resolved here"),
    Bad("10.0.0.2", "0.0.0.0", "18:21: nodelist.node.1.ring0_addr = 0.0.0.0: is the unspecified address, which nobody \
        can send to; accepted: the node's own unicast address"),
    Bad("10.0.0.2", "10.0.0.1", "18:21: nodelist.node.1.ring0_addr = 10.0.0.1: 10.0.0.1:5405 clashes with \
        nodelist.node.0.address; accepted: sockets that no other node or queue has"),
    Bad("        ring1_addr: 10.1.0.2\n", "", "18:9: nodelist.node.1.ring1_addr: missing; accepted: the links of the \
        first node"),
    Bad("        ring1_addr: 10.1.0.1\n", "", "18:21: nodelist.node.1.ring1_addr = 10.1.0.2: the first node has \
        no such \
        link; accepted: the links of the first node"),
    Bad("10.0.0.2\n", "10.0.0.9\n        ring2_addr: 10.2.0.9\n", "19:21: nodelist.node.1.ring2_addr = 10.2.0.9: the \
        first node has no such link; accepted: the links of the first node"),
    Bad("logging {", "uidgid {\n uid: nobody-here\n}\nlogging {", "32:7: uidgid.uid = nobody-here: no user of \
        this name \
        is known here; accepted: a user's name or number"),
    Bad("logging {", "uidgid {\n user: 7\n}\nlogging {", "32:2: uidgid.user: unknown key; accepted: uid, gid"),
    Bad("logging {", "logging {\n logger_subsys {\n  debug: on\n }\n", "32:2: logging.logger_subsys.subsys: missing; \
        accepted: subsys: NAME"),
    Bad("logging {", "quorum {\n two_node: yes\n}\nlogging {", "32:12: quorum.two_node = yes: is not a whole number in \
        range; accepted: 0 or 1"),
    Bad("logging {", "quorum {\n two_node: 2\n}\nlogging {", "32:12: quorum.two_node = 2: is neither 0 nor 1; \
        accepted: 0 or 1"),
    Bad("logging {", "quorum {\n provider: votes\n}\nlogging {", "32:12: quorum.provider = votes: is not a \
        word this key \
        knows; accepted: corosync_votequorum"),
    Bad("logging {", "quorum {\n auto_tie_breaker: 1\n auto_tie_breaker_node: least\n}\nlogging {", "33:25: \
        quorum.auto_tie_breaker_node = least: "),
    Bad("token: 5000", "interface {\n linknumber: 9\n }", "8:14: totem.interface.linknumber = 9: is not the \
        number of a \
        link; accepted: a whole number from 0 to 7"),
    Bad("logging {", "synchrotron {\n engine {\n  cpus: 1\n }\n}\nlogging {", "33:3: synchrotron.engine.cpus: unknown \
        key; did you mean \"cpu\"?; accepted: idle, spin, cpu, priority, wake_latency, \
        lock_memory, state_dir"),
    Bad("logging {", "synchrotron {\n engine {\n  idle: lazy\n }\n}\nlogging {", "33:9: synchrotron.engine.idle \
        = lazy: \
        is not a word this key knows; accepted: \"busy\", \"adaptive\", \"park\""),
    Bad("    crypto_cipher: aes256\n", "    key: abc\n    crypto_cipher: aes256\n", "5:10: totem.key: has 3 bytes; \
        accepted: 128 to 4096 bytes"),
];

#[test]
fn every_wrong_file_is_refused_with_its_message() {
    let mut wrong = String::new();
    for Bad(from, to, expected) in BAD {
        assert!(PCS.contains(from), "{from}");
        let text = PCS.replacen(from, to, 1);
        match parse(&text) {
            Ok(_) => wrong += &format!("accepted, but expected:\n  {expected}\n"),
            Err(_) => {
                let said = refused(&text);
                if !said.iter().any(|line| {
                    line == expected || expected.ends_with(": ") && line.starts_with(expected)
                }) {
                    wrong += &format!("said\n  {}\nexpected\n  {expected}\n", said.join("\n  "));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// It once cost as much stack as it has lines.
#[test]
fn a_file_of_opening_braces_is_refused() {
    let deep = "a {\n".repeat(100_000);
    let says = |problems: &[String], what: &str| problems.iter().any(|line| line.contains(what));
    let problems = refused(&deep);
    assert!(says(&problems, "sections are nested too deeply"), "{problems:?}");
    assert!(says(&problems, "is not closed"), "{problems:?}");
    let closed = format!("{deep}{}", "}\n".repeat(100_000));
    let problems = refused(&closed);
    assert!(says(&problems, "sections are nested too deeply"), "{problems:?}");
    assert!(!says(&problems, "is not closed"), "{problems:?}");
    assert!(says(&refused(&format!("{closed}}}\n")), "without an open section"));
}

#[test]
fn a_long_line_is_refused_and_a_comment_is_not() {
    let long = "x".repeat(511);
    assert!(parse(&PCS.replace("nodelist", &format!("# {long}\nnodelist"))).is_ok());
    let said = refused(&PCS.replace("cluster_name: blue", &format!("cluster_name: {long}")));
    assert!(
        said[0].ends_with("the line has 529 bytes; accepted: at most 510 bytes"),
        "{}",
        said[0]
    );
    let crlf = PCS.replace('\n', "\r\n").replace("token: 5000", "token:\u{a0}5000 \t");
    assert_eq!(read(&crlf).config, read(PCS).config);
}

#[test]
fn of_a_key_that_is_there_twice_the_last_counts() {
    let loaded = read(&PCS.replace("token: 5000", "token: 5000\n    token: 400"));
    assert_eq!(loaded.config.totem.token_timeout, TokenTimeout::Fixed { us: 1_050_000 });
}

#[test]
fn encryption_is_what_the_keys_say_together() {
    let on = |more: &str| {
        let crypto = "crypto_cipher: aes256\n    crypto_hash: sha256\n";
        read(&PCS.replace(crypto, more)).config.security.encryption != Encryption::Off
    };
    assert!(!on(""), "Debian's default");
    assert!(on("secauth: on\n"));
    assert!(!on("secauth: off\n"));
    assert!(on("crypto_hash: sha1\n"), "authentication alone is not offered: both");
    assert!(!on("secauth: on\n    crypto_cipher: none\n    crypto_hash: none\n"));
}

#[test]
fn who_may_connect_comes_from_the_directory_beside_the_file_too() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("uidgid.d")).unwrap();
    let file = dir.path().join("corosync.conf");
    std::fs::write(&file, PCS).unwrap();
    std::fs::write(dir.path().join("uidgid.d/pcmk"), "uidgid {\n gid: haclient\n}\n").unwrap();
    let loaded = Source::Corosync(file.clone()).load(&Machine).unwrap();
    assert_eq!(loaded.config.ipc.allow_gids, [190]);
    let key = loaded.keys.iter().find(|key| key.name == "uidgid.config.gid.190").unwrap();
    assert_eq!(key.value, ConfValue::U8(1));
    std::fs::write(dir.path().join("uidgid.d/bad"), "totem {\n token: 7\n}\n").unwrap();
    let said = Source::Corosync(file).load(&Machine).unwrap_err().to_string();
    assert!(said.contains("uidgid.d/bad:2:2: totem.token: does not belong here"), "{said}");
}

#[test]
fn this_node_is_found_by_address_and_then_by_name() {
    let me = |text: &str| parse(text).map(|loaded| loaded.config.me).map_err(|p| p.to_string());
    assert_eq!(me(PCS), Ok(2));
    // None has an address of this machine: by name, without the domain.
    assert_eq!(me(&PCS.replace("10.0.0.2", "10.0.0.9")), Ok(2));
    // Several have one.
    let loopback = PCS.replace("10.0.0.", "127.0.0.").replace("127.0.0.3", "10.0.0.2");
    assert!(me(&loopback).unwrap_err().contains("loopback"), "mixed with others");
    let unknown = PCS.replace("10.0.0.2", "10.0.0.9").replace("n2", "other");
    let said = me(&unknown).unwrap_err();
    assert!(
        said.contains(
            "no node of the list has an address of this machine or its name (n2.example)"
        ),
        "{said}"
    );
}

#[test]
fn names_are_resolved_to_the_family_all_nodes_have() {
    let text = PCS.replace("10.0.0.1", "n1").replace("10.0.0.2", "n2");
    let config = read(&text).config;
    assert_eq!(config.nodes[0].address, "10.0.0.1:5405".parse().unwrap());
    let said = refused(&text.replace("token: 5000", "ip_version: ipv6"));
    assert!(said[0].contains("ring0_addr = n2: has no address of the family"), "{}", said[0]);
}

#[test]
fn every_key_of_the_table_goes_somewhere_that_exists() {
    for (at, key) in KEYS.iter().enumerate() {
        assert!(!KEYS[..at].iter().any(|other| other.name == key.name), "{} twice", key.name);
        if let Fate::To(to, _) = key.fate {
            for to in to.split(", ").filter(|to| !to.is_empty()) {
                let (section, name) = to.split_once('.').unwrap();
                assert!(keys::find(section, name).is_some(), "{}: {to}", key.name);
            }
        }
    }
}

#[test]
fn any_part_of_a_file_is_read_or_refused() {
    for end in 0..PCS.len() {
        _ = parse(&PCS[..end]);
        _ = parse(&PCS[end..]);
    }
}
