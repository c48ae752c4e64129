//! The reference page, the defaults and the examples agree with the table of keys.

use std::path::{Path, PathBuf};

use synchrotron_schema::{
    Config, Device, Driver, Encryption, KeySource, Multicast, Quorum, Rdma, TieBreaker,
    TokenTimeout, keys,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_pages_are_what_the_tables_say() {
    is_written("docs/configuration.md", &synchrotron_schema::reference());
    is_written("docs/corosync-conf.md", &synchrotron_schema::corosync::corosync_reference());
}

fn is_written(page: &str, expected: &str) {
    let page = root().join(page);
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(&page, expected).unwrap();
    }
    let found = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(
        found == expected,
        "run: UPDATE_REFERENCE=1 cargo test -p synchrotron-schema --test reference"
    );
}

#[test]
fn every_key_has_a_section_and_a_meaning_and_appears_once() {
    for (index, key) in keys::KEYS.iter().enumerate() {
        assert!(keys::SECTIONS.iter().any(|(name, _)| *name == key.section), "{}", key.name);
        assert!(key.doc.ends_with('.'), "{}.{}", key.section, key.name);
        let same = |other: &keys::Key| other.section == key.section && other.name == key.name;
        assert!(!keys::KEYS[..index].iter().any(same), "{}.{} twice", key.section, key.name);
    }
}

#[test]
fn a_minimal_file_gives_the_defaults() {
    let text =
        "[cluster]\nname = \"x\"\n[node]\nid = 2\n[[nodes]]\nid = 2\naddress = \"[::1]:6001\"\n";
    let config = Config::parse(text, Path::new("/etc/s/c.toml")).unwrap();
    assert_eq!(config.my_node().token_address, "[::1]:6002".parse().unwrap());
    assert_eq!(config.my_node().name, "node-2");
    assert_eq!((config.my_node().votes, config.quorum), (1, Quorum::default()));
    assert_eq!(config.security.encryption, Encryption::Off, "all addresses are loopback");
    assert_eq!(
        config.totem.token_timeout,
        TokenTimeout::Auto { min_us: 30_000, max_us: 1_000_000 }
    );
    assert_eq!(config.recorder.file.as_deref(), Some(Path::new("/var/lib/synchrotron/blackbox")));
    let Multicast::Group(group) = config.transport.multicast else { panic!("no multicast") };
    assert_eq!(group.port(), 6000);
    assert!(group.is_ipv6() && group.ip().is_multicast());
}

#[test]
fn quorum_keys_reach_the_model() {
    let text = "[cluster]\nname = \"x\"\n[node]\nid = 1\n[[nodes]]\nid = 1\nvotes = 3\naddress = \"[::1]:6001\"\n\
                [quorum]\nprovider = \"votequorum\"\nexpected_votes = 5\nwait_for_all = true\n\
                last_man_standing = true\nlast_man_standing_window = \"2s\"\nauto_tie_breaker = [3, 1]\n\
                device = \"net\"\ndevice_votes = 2\ndevice_timeout = \"1s\"\n";
    let config = Config::parse(text, Path::new("c")).unwrap();
    let device = Device {
        model: "net".to_owned(),
        votes: Some(2),
        timeout_ms: 1000,
        sync_timeout_ms: 30_000,
        master_wins: false,
    };
    let expected = Quorum {
        votequorum: true,
        expected_votes: Some(5),
        wait_for_all: Some(true),
        last_man_standing: true,
        last_man_standing_window_ms: 2000,
        auto_tie_breaker: TieBreaker::List(vec![3, 1]),
        device: Some(device),
        ..Quorum::default()
    };
    assert_eq!(config.quorum, expected);
    assert_eq!(config.my_node().votes, 3);
}

#[test]
fn rdma_keys_reach_the_model() {
    let text = |kind: &str| {
        format!(
            "[cluster]\nname = \"x\"\n[node]\nid = 1\n[[nodes]]\nid = 1\naddress = \"[::1]:6001\"\n\
             [transport]\n{kind}rdma_device = \"mlx5_0\"\nrdma_port = 2\nrdma_gid_index = 3\nrdma_pkey = 0x8001\n"
        )
    };
    let config = Config::parse(&text("kind = \"verbs\"\n"), Path::new("c")).unwrap();
    let rdma = Rdma {
        device: Some("mlx5_0".to_owned()),
        port: Some(2),
        gid_index: Some(3),
        pkey: Some(0x8001),
    };
    assert_eq!(config.transport.drivers, [Driver::Verbs(rdma.clone())]);
    let links = "link_kinds = [\"udp\", \"verbs\"]\n";
    let two =
        text(links).replace(":6001\"\n", ":6001\"\nlinks = [\"[::1]:6003\", \"[::1]:6005\"]\n");
    let config = Config::parse(&two, Path::new("c")).unwrap();
    let drivers = [Driver::Udp, Driver::Verbs(rdma), Driver::Udp];
    assert_eq!((config.transport.drivers.as_slice(), config.verbs_links()), (&drivers[..], 1));
    let problems = Config::parse(&text(links), Path::new("c")).unwrap_err().to_string();
    assert!(problems.contains("has 2 kinds, but nodes have 1 links"), "{problems}");
    let problems = Config::parse(&text(""), Path::new("c")).unwrap_err().to_string();
    for name in ["rdma_device", "rdma_port", "rdma_gid_index", "rdma_pkey"] {
        assert!(problems.contains(&format!("transport.{name}")), "{problems}");
    }
}

#[test]
fn relative_paths_start_at_the_files_directory() {
    let text = "[cluster]\nname = \"x\"\n[node]\nid = 1\n[[nodes]]\nid = 1\naddress = \"10.1.1.1:6001\"\n\
                [security]\nkey_file = \"key\"\n[engine]\nstate_dir = \"/tmp/s\"\n";
    let config = Config::parse(text, Path::new("/etc/s/c.toml")).unwrap();
    let key_file = PathBuf::from("/etc/s/key");
    let key = KeySource::File(key_file);
    assert_eq!(config.security.encryption, Encryption::Aes256Gcm { key });
    assert_eq!(config.engine.state_dir, Path::new("/tmp/s"));
}

#[test]
fn the_shared_hash_covers_what_nodes_must_agree_on_and_nothing_else() {
    let text = |name: &str, id: u32, address: &str, more: &str| {
        format!(
            "[cluster]\nname = \"{name}\"\n[node]\nid = {id}\n[[nodes]]\nid = 1\naddress = \"{address}\"\n\
             [[nodes]]\nid = 2\naddress = \"127.0.0.1:7005\"\n{more}"
        )
    };
    let hash = |name, id, address, more| {
        Config::parse(&text(name, id, address, more), Path::new("c")).unwrap().shared_hash()
    };
    let base = hash("x", 1, "127.0.0.1:7001", "");
    assert_eq!(base, hash("x", 2, "127.0.0.1:7001", "[log]\nlevel = \"debug\""));
    assert_ne!(base, hash("y", 1, "127.0.0.1:7001", ""));
    assert_ne!(base, hash("x", 1, "127.0.0.1:7003", ""));
    assert_ne!(base, hash("x", 1, "127.0.0.1:7001", "[transport]\nkind = \"verbs\""));
    assert_ne!(base, hash("x", 1, "127.0.0.1:7001", "[quorum]\nprovider = \"votequorum\""));
    assert_eq!(
        base,
        hash("x", 1, "127.0.0.1:7001", "[quorum]\nprovider = \"none\"\ntwo_node = true")
    );
    assert_ne!(base, hash("x", 1, "127.0.0.1:7001", "[limits]\nmessage_bytes_max = \"2MiB\""));
}

#[test]
fn the_examples_are_good() {
    let mut count = 0;
    for entry in std::fs::read_dir(root().join("conf/examples")).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_some_and(|extension| extension == "toml") {
            Config::load(&file).unwrap_or_else(|problems| panic!("{problems}"));
            count += 1;
        }
    }
    assert_eq!(count, 3);
}
