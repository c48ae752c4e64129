//! Configuration texts.

use std::net::IpAddr;
use std::path::Path;

use schema::{Config, Host, Source};

/// Parses a text. A problem must lie in the text, one accepted must name its own node, and messages must
/// be printable.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Config::parse(text, Path::new("/etc/synchrotron/fuzz.toml")) {
        Ok(config) => {
            assert!(!config.my_node().name.contains('\n'));
            let again = Config::parse(text, Path::new("/etc/synchrotron/fuzz.toml"));
            let again = again.expect("accepted once, accepted again");
            assert_eq!(again.shared_hash(), config.shared_hash());
        }
        Err(problems) => {
            assert!(!problems.list.is_empty(), "refused without a reason");
            for problem in &problems.list {
                assert!(problem.offset <= text.len() && !problem.wrong.is_empty(), "{problem:?}");
                assert!(problem.line <= text.lines().count() + 1, "{problem:?}");
            }
            assert!(!problems.to_string().is_empty());
        }
    }
}

/// A machine that looks nothing up, so that inputs mean the same everywhere.
struct Nowhere;

impl Host for Nowhere {
    fn name(&self) -> String {
        "a".to_owned()
    }

    fn addresses(&self) -> Vec<IpAddr> {
        vec![IpAddr::from([127, 0, 0, 1])]
    }

    fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        match name.len() {
            1..8 => Ok(vec![IpAddr::from([10, 0, 0, name.len() as u8])]),
            _ => Err("unknown".to_owned()),
        }
    }

    fn user(&self, name: &str) -> Option<u32> {
        name.bytes().next().map(u32::from)
    }

    fn group(&self, name: &str) -> Option<u32> {
        self.user(name)
    }
}

/// Parses a text as `corosync.conf` and as `corosync.xml`. A problem must lie in the text, what is accepted must
/// name its own node.
pub fn corosync_conf(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for source in [Source::Corosync, Source::CorosyncXml] {
        match source("/nowhere/corosync.conf".into()).parse(text, &Nowhere) {
            Ok(loaded) => assert!(!loaded.config.my_node().name.contains('\n')),
            Err(problems) => {
                assert!(!problems.list.is_empty(), "refused without a reason");
                for problem in &problems.list {
                    assert!(
                        problem.offset <= text.len() && !problem.wrong.is_empty(),
                        "{problem:?}"
                    );
                }
                assert!(!problems.to_string().is_empty());
            }
        }
    }
}

pub(crate) fn corosync_seeds() -> Vec<Vec<u8>> {
    let conf = "totem {\n version: 2\n cluster_name: c\n token: 300\n secauth: on\n interface {\n linknumber: 1\n \
        mcastport: 6000\n knet_link_priority: 3\n }\n}\nnodelist {\n node {\n ring0_addr: 127.0.0.1\n ring1_addr: \
        127.0.1.1\n nodeid: 1\n name: a\n }\n node {\n ring0_addr: 127.0.0.2\n ring1_addr: 127.0.1.2\n \
        nodeid: 2\n }\n}\nlogging {\n to_logfile: yes\n logfile: /l\n logger_subsys {\n subsys: QUORUM\n \
        debug: on\n }\n}\nuidgid {\n uid: a\n}\nsynchrotron {\n engine {\n cpu: 1\n }\n}\n";
    let xml = "<corosync><totem version=\"2\" transport=\"udp\"><interface mcastaddr=\"239.1.1.1\"/></totem>\
        <nodelist><node ring0_addr=\"a\" name=\"a\"/></nodelist></corosync>";
    let keys = schema::corosync::keys::KEYS.iter().map(|key| {
        let parts: Vec<_> = key.name.split('.').filter(|part| *part != "N").collect();
        let (last, sections) = parts.split_last().expect("a name has parts");
        let open: String = sections.iter().map(|section| format!("{section} {{\n")).collect();
        format!("{conf}{open}{last}: 1\n{}", "}\n".repeat(sections.len()))
    });
    [conf.to_owned(), xml.to_owned()].into_iter().chain(keys).map(String::into_bytes).collect()
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let examples = [
        include_str!("../../../conf/examples/loopback.toml"),
        include_str!("../../../conf/examples/three-hosts.toml"),
        include_str!("../../../conf/examples/lowest-latency.toml"),
    ];
    let keys =
        schema::keys::KEYS.iter().map(|key| format!("[{}]\n{} = 1\n", key.section, key.name));
    examples.into_iter().map(str::to_owned).chain(keys).map(String::into_bytes).collect()
}
