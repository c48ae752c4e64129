//! Wrong configurations, each with the very message it must give.

use std::path::Path;

use synchrotron_schema::Config;

/// A good configuration; each case changes it.
const GOOD: &str = r#"[cluster]
name = "blue"

[node]
id = 1

[[nodes]]
id = 1
name = "a"
address = "10.0.0.1:5405"

[[nodes]]
id = 2
name = "b"
address = "10.0.0.2:5405"

[security]
key_file = "key"
"#;

/// What is changed (from, to) and the message expected, without the file's name.
struct Case(&'static str, &'static str, &'static str);

/// Appends instead of replacing.
const APPEND: &str = "\u{0}";

#[rustfmt::skip]
const CASES: &[Case] = &[
    // Syntax and shape.
    Case("[cluster]", "[cluster", "1:9: not TOML: unclosed table, expected `]`"),
    Case("[node]", "[nodus]", "4:2: [nodus]: unknown section; did you mean [nodes]?; accepted: cluster, node, nodes, \
        transport, security, totem, quorum, engine, memory, ipc, limits, log, recorder, map"),
    Case("name = \"blue\"", "nam = \"blue\"", "2:1: cluster.nam: unknown key; did you mean \"name\"?; \
        accepted: name, config_version"),
    Case("[node]", "[node]\nspin = \"1us\"", "5:1: node.spin: unknown key; it belongs to [engine]; accepted: id"),
    Case(APPEND, "engine = 5", "19:1: security.engine: unknown key; accepted: encryption, key_file, key_format, \
        key, provider"),
    Case("[cluster]", "totem = 5\n[cluster]", "1:9: totem = 5: is not a table; accepted: [totem]"),
    Case("[[nodes]]\nid = 1", "[log]\nlevel = \"loud\"\n\n[[nodes]]\nid = 1",
        "8:9: log.level = \"loud\": is not a word this key knows; accepted: \"error\", \"warn\", \"info\", \
         \"debug\""),
    // Missing.
    Case("name = \"blue\"", "", "1:2: cluster.name: missing; accepted: a text of 1 to 64 bytes"),
    Case("id = 2\n", "", "12:1: nodes[1].id: missing; accepted: a whole number from 1 to 4294967295"),
    Case("key_file = \"key\"", "", "17:2: security.key_file: missing: encryption is on because node 1's \
        10.0.0.1:5405 is not loopback; \
        accepted: the file `synchrotron keygen` wrote, or security.encryption = \"off\""),
    Case("key_file = \"key\"", "encryption = \"aes-256-gcm\"", "17:2: security.key_file: missing: encryption \
        = \"aes-256-gcm\"; \
        accepted: the file `synchrotron keygen` wrote, or security.encryption = \"off\""),
    Case("key_file = \"key\"", "key_file = \"key\"\nencryption = \"off\"",
        "18:12: security.key_file = \"key\": a key is given, but encryption is \"off\"; accepted: no \
         key_file, or encryption = \"aes-256-gcm\""),
    // Types and bounds.
    Case("[node]\nid = 1", "[node]\nid = \"1\"", "5:6: node.id = \"1\": is of type string; accepted: \"auto\", \
        or a whole number from 1 to 4294967295"),
    Case("[node]\nid = 1", "[node]\nid = 0", "5:6: node.id = 0: is below 1; accepted: \"auto\", or a whole \
        number from 1 \
        to 4294967295"),
    Case("[node]\nid = 1", "[node]\nid = -3", "5:6: node.id = -3: is negative; accepted: \"auto\", or a whole \
        number from \
        1 to 4294967295"),
    Case("[node]\nid = 1", "[node]\nid = 4294967296", "5:6: node.id = 4294967296: is above 4294967295; \
        accepted: \"auto\", or a whole number from 1 to 4294967295"),
    Case("name = \"blue\"", "name = \"\"", "2:8: cluster.name = \"\": is empty; accepted: a text of 1 to 64 bytes"),
    Case("name = \"blue\"", "name = \"a\\nb\"", "2:8: cluster.name = \"a\\nb\": has control characters; \
        accepted: a text of 1 to 64 bytes"),
    Case(APPEND, "[totem]\ntoken_timeout = 250", "20:17: totem.token_timeout = 250: is of type integer; a \
        duration has a unit; \
        accepted: \"auto\", or a duration from \"1ms\" to \"3600s\""),
    Case(APPEND, "[totem]\ntoken_timeout = \"250\"", "20:17: totem.token_timeout = \"250\": has no unit (s, \
        ms, us, ns); \
        accepted: \"auto\", or a duration from \"1ms\" to \"3600s\""),
    Case(APPEND, "[totem]\ntoken_timeout = \"2min\"", "20:17: totem.token_timeout = \"2min\": has the unknown \
        unit \"min\" (known: s, ms, us, ns); \
        accepted: \"auto\", or a duration from \"1ms\" to \"3600s\""),
    Case(APPEND, "[totem]\ntoken_timeout = \"fast\"", "20:17: totem.token_timeout = \"fast\": is not a \
        duration: it starts with no whole number; \
        accepted: \"auto\", or a duration from \"1ms\" to \"3600s\""),
    Case(APPEND, "[totem]\ntoken_timeout = \"10us\"", "20:17: totem.token_timeout = \"10us\": is below 1ms; \
        accepted: \"auto\", or a duration from \"1ms\" to \"3600s\""),
    Case(APPEND, "[totem]\ntoken_timeout_min = \"2s\"", "20:21: totem.token_timeout_min = \"2s\": \
        token_timeout_min (2s) is above \
        token_timeout_max (1s); accepted: a lower bound below the upper one"),
    Case(APPEND, "[totem]\ntoken_timeout = \"1s\"\ntoken_timeout_min = \"9ms\"", "21:21: \
        totem.token_timeout_min = \"9ms\": has no effect, \
        because token_timeout is fixed; accepted: only with token_timeout = \"auto\""),
    Case(APPEND, "[ipc]\nsubmit_bytes = \"300KiB\"", "20:16: ipc.submit_bytes = \"300KiB\": is not a power of \
        two; accepted: \"256KiB\" or \"512KiB\""),
    Case(APPEND, "[ipc]\nsubmit_bytes = \"99999999999999999999GiB\"", "20:16: ipc.submit_bytes = \
        \"99999999999999999999GiB\": is too large; \
        accepted: a size from \"128KiB\" to \"16MiB\""),
    Case(APPEND, "[ipc]\nlag_slots = 4000", "20:13: ipc.lag_slots = 4000: lag_slots (4000) is more than three \
        quarters of \
        delivery_slots; accepted: lag_slots up to 3072"),
    Case(APPEND, "[ipc]\ndelivery_slots = 1000", "20:18: ipc.delivery_slots = 1000: is not a power of two; \
        accepted: 512 or 1024"),
    Case(APPEND, "[ipc]\nallow_uids = [1, \"root\"]", "20:14: ipc.allow_uids = [1, \"root\"]: holds what is \
        of type string; \
        accepted: a list of at most 1024 ids from 0 to 4294967295"),
    Case(APPEND, "[engine]\nidle = \"lazy\"", "20:8: engine.idle = \"lazy\": is not a word this key knows; \
        accepted: \"busy\", \"adaptive\", \"park\""),
    Case(APPEND, "[engine]\ncpu = true", "20:7: engine.cpu = true: is of type boolean; accepted: \"none\", or \
        a whole number from 0 to 4095"),
    Case(APPEND, "[transport]\nmtu = 576", "20:7: transport.mtu = 576: is below 1280B; accepted: \"auto\", or \
        a size from \"1280B\" to \"65535B\""),
    // Addresses.
    Case("10.0.0.2:5405", "10.0.0.2", "15:11: nodes[1].address = \"10.0.0.2\": is not an IP address with a port; \
        accepted: \"IPV4:PORT\" or \"[IPV6]:PORT\" with a port from 1 to 65535"),
    Case("10.0.0.2:5405", "10.0.0.2:0", "15:11: nodes[1].address = \"10.0.0.2:0\": has port 0; \
        accepted: \"IPV4:PORT\" or \"[IPV6]:PORT\" with a port from 1 to 65535"),
    Case("10.0.0.2:5405", "10.0.0.2:65535", "15:11: nodes[1].address = \"10.0.0.2:65535\": leaves no port for \
        the token after it; \
        accepted: a port up to 65534, or a token_address of its own"),
    Case("10.0.0.2:5405", "0.0.0.0:5405", "15:11: nodes[1].address = \"0.0.0.0:5405\": is the unspecified \
        address, which nobody can send to; \
        accepted: the node's own unicast address"),
    Case("10.0.0.2:5405", "239.1.1.1:5405", "15:11: nodes[1].address = \"239.1.1.1:5405\": is a multicast address; \
        accepted: the node's own unicast address"),
    Case("10.0.0.2:5405", "[fd00::2]:5405", "15:11: nodes[1].address = \"[fd00::2]:5405\": IPv4 and IPv6 are \
        mixed: nodes[0] has 10.0.0.1:5405; \
        accepted: addresses of one family"),
    Case("10.0.0.2:5405", "127.0.0.1:5405", "15:11: nodes[1].address = \"127.0.0.1:5405\": a loopback address \
        and others are mixed: \
        nodes[0] has 10.0.0.1:5405; accepted: addresses all nodes can reach"),
    Case("10.0.0.2:5405", "10.0.0.1:5405", "15:11: nodes[1].address = \"10.0.0.1:5405\": 10.0.0.1:5405 \
        clashes with nodes[0].address; \
        accepted: sockets that no other node or queue has"),
    Case("10.0.0.2:5405", "10.0.0.1:5406", "15:11: nodes[1].address = \"10.0.0.1:5406\": 10.0.0.1:5406 \
        clashes with nodes[0].address \
        (the token's port); accepted: sockets that no other node or queue has"),
    Case("\"10.0.0.2:5405\"", "\"10.0.0.2:5405\"\ntoken_address = \"10.0.0.3:9\"", "16:17: \
        nodes[1].token_address = \"10.0.0.3:9\": \
        has another IP address than address; accepted: 10.0.0.2"),
    // Links.
    Case("\"10.0.0.2:5405\"", "\"10.0.0.2:5405\"\nlinks = [\"10.1.0.2:5405\"]", "16:9: nodes[1].links = \
        [\"10.1.0.2:5405\"]: has 1 further links, but nodes[0] has 0; accepted: as many on every node"),
    Case("\"10.0.0.2:5405\"", "\"10.0.0.2:5405\"\nlinks = [\"10.0.0.1:5405\"]", "16:9: nodes[1].links = \
        [\"10.0.0.1:5405\"]: 10.0.0.1:5405 clashes with nodes[0].address; accepted: sockets that no other node or \
        queue has"),
    Case("\"10.0.0.2:5405\"", "\"10.0.0.2:5405\"\nlinks = [\"10.0.0.1\"]", "16:9: nodes[1].links = [\"10.0.0.1\"]: \
        holds \"10.0.0.1\", which is not an IP address with a port; accepted: a list of at most 7 addresses, \
        \"IPV4:PORT\" or \"[IPV6]:PORT\""),
    Case(APPEND, "[transport]\nlink_priorities = [1, 256]", "20:19: transport.link_priorities = [1, 256]: holds 256, \
        which is too large for a number; accepted: a list of at most 8 whole numbers from 0 to 255"),
    Case(APPEND, "[transport]\nlink_priorities = [1, 2]", "20:19: transport.link_priorities = [1, 2]: has 2 \
        priorities, \
        but nodes have 1 links; accepted: at most one for each link"),
    // Keys.
    Case("key_file = \"key\"", "key_file = \"key\"\nkey = \"abc\"", "19:7: security.key: key_file is given, too; \
        accepted: one of key and key_file"),
    Case("key_file = \"key\"", "key = \"abc\"", "18:7: security.key: has 3 bytes; accepted: 128 to 4096 bytes"),
    Case("key_file = \"key\"", "key_format = \"corosync\"", "18:14: security.key_format = \"corosync\": has no effect \
        without key_file; accepted: only with key_file"),
    Case(APPEND, "[map]\n\"totem.token\" = \"5\"", "20:1: map.totem.token: the engine has a key of its own for this; \
        accepted: totem.token_timeout"),
    Case(APPEND, "[map]\n\"a b\" = \"5\"", "20:1: map.a b: has the character ' '; accepted: letters, digits and \
        \"._-/:\""),
    Case(APPEND, "[map]\nabc = 5", "20:7: map.abc = 5: is of type integer; accepted: a string"),
    // The node list as a whole.
    Case("id = 2\n", "id = 1\n", "13:6: nodes[1].id = 1: nodes[0] has this id, too; accepted: a unique id"),
    Case("\"b\"", "\"a\"", "14:8: nodes[1].name = \"a\": nodes[0] has this name, too; accepted: a unique name"),
    Case("[node]\nid = 1", "[node]\nid = 7", "5:6: node.id = 7: is not in the node list; accepted: one of 1, 2"),
    // Multicast.
    Case(APPEND, "[transport]\nmulticast = \"10.0.0.9:5400\"", "20:13: transport.multicast = \
        \"10.0.0.9:5400\": is not a multicast group; \
        accepted: a group in 224.0.0.0/4 or ff00::/8, \"auto\" or \"off\""),
    Case(APPEND, "[transport]\nmulticast = \"[ff08::1]:5400\"", "20:13: transport.multicast = \
        \"[ff08::1]:5400\": is of another family than \
        node 1's 10.0.0.1:5405; accepted: an IPv4 group"),
    Case(APPEND, "[transport]\nmulticast = \"239.1.1.1:5406\"", "20:13: transport.multicast = \
        \"239.1.1.1:5406\": port 5406 of group \
        239.1.1.1:5406 clashes with node 1's 10.0.0.1:5405 and \
        10.0.0.1:5406; accepted: a port no node of the list uses"),
];

fn changed(case: &Case) -> String {
    if case.0 == APPEND {
        return format!("{GOOD}{}\n", case.1);
    }
    assert_ne!(GOOD.matches(case.0).count(), 0, "{:?} is not in the good configuration", case.0);
    GOOD.replacen(case.0, case.1, 1)
}

#[test]
fn the_good_configuration_is_good() {
    Config::parse(GOOD, Path::new("c.toml")).unwrap();
}

#[test]
fn every_wrong_configuration_is_refused_with_its_message() {
    let mut wrong = String::new();
    for case in CASES {
        let text = changed(case);
        match Config::parse(&text, Path::new("c.toml")) {
            Ok(_) => wrong += &format!("accepted, but expected:\n  {}\n", case.2),
            Err(problems) => {
                let said = problems.to_string();
                let expected = format!("c.toml:{}", case.2);
                if !said.lines().any(|line| line == expected) {
                    wrong += &format!("said\n  {said}\nexpected\n  {expected}\n");
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(CASES.len() >= 40);
}

#[test]
fn all_problems_are_listed_in_the_order_of_the_file() {
    let text = GOOD.replace("blue", "").replace("10.0.0.2:5405", "there").replace("\"key\"", "5");
    let problems = Config::parse(&text, Path::new("c.toml")).unwrap_err();
    let lines: Vec<_> = problems.list.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [2, 15, 18]);
}

#[test]
fn an_empty_node_list_and_one_too_long_are_refused() {
    let head = "[cluster]\nname = \"x\"\n[node]\nid = 1\n";
    let said = Config::parse(head, Path::new("c")).unwrap_err().to_string();
    assert_eq!(said, "c:3:2: nodes: the node list is empty; accepted: 1 to 1024 [[nodes]]");
    let mut text = head.to_owned();
    for id in 1..=1025 {
        text += &format!("[[nodes]]\nid = {id}\naddress = \"127.0.0.1:{}\"\n", 9000 + 2 * id);
    }
    let said = Config::parse(&text, Path::new("c")).unwrap_err().to_string();
    assert_eq!(
        said,
        "c:3077:1: nodes: the node list has 1025 nodes; accepted: 1 to 1024 [[nodes]]"
    );
}

#[test]
fn unreadable_files_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("none.toml");
    let said = Config::load(&missing).unwrap_err().to_string();
    assert!(said.starts_with(&format!("{}: cannot be read: ", missing.display())), "{said}");
    let binary = dir.path().join("binary.toml");
    std::fs::write(&binary, [0xff, 0xfe]).unwrap();
    let said = Config::load(&binary).unwrap_err().to_string();
    assert!(said.contains("is not UTF-8 text"), "{said}");
}
