//! Configuration texts.

use std::path::Path;

use schema::Config;

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
