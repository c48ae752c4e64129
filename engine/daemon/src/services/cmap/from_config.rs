//! The configuration as keys of the map, with the names and types that Corosync gives them.

use std::collections::BTreeMap;

use schema::corosync::{ConfKey, ConfValue};
use schema::{Config, Encryption, TieBreaker, TokenTimeout};
use services::cmap::Value;

/// Services by name, in the order in which Corosync loads them, with their numbers there.
pub(super) const SERVICES: [(&str, u16); 5] =
    [("cmap", 0), ("cfg", 1), ("cpg", 2), ("quorum", 3), ("votequorum", 5)];

/// The keys of a configuration: what is in use, and over it what its file says, which Corosync's programs
/// may have reasons of their own to read. The cluster key is not among them.
pub(super) fn keys(config: &Config, file: &[ConfKey]) -> BTreeMap<String, Value> {
    let mut keys = Vec::new();
    totem(config, &mut keys);
    if !file.iter().any(|key| key.name.starts_with("nodelist.")) {
        // The file numbers its nodes as they stand there; two orders must not be mixed.
        nodes(config, &mut keys);
    }
    quorum(config, &mut keys);
    logging(config, &mut keys);
    let ids = [("uid", &config.ipc.allow_uids), ("gid", &config.ipc.allow_gids)];
    for (name, list) in ids {
        keys.extend(list.iter().map(|id| (format!("uidgid.config.{name}.{id}"), Value::U8(1))));
    }
    let said = file.iter().filter(|key| key.name != "totem.key");
    keys.extend(said.map(|key| (key.name.clone(), value(&key.value))));
    keys.into_iter().collect()
}

fn value(value: &ConfValue) -> Value {
    match value {
        ConfValue::U8(v) => Value::U8(*v),
        ConfValue::U16(v) => Value::U16(*v),
        ConfValue::U32(v) => Value::U32(*v),
        ConfValue::U64(v) => Value::U64(*v),
        ConfValue::I32(v) => Value::I32(*v),
        ConfValue::Text(v) => Value::text(v),
    }
}

type Keys = Vec<(String, Value)>;

fn put(keys: &mut Keys, key: impl Into<String>, value: Value) {
    keys.push((key.into(), value));
}

fn totem(config: &Config, keys: &mut Keys) {
    let me = config.my_node();
    let encrypted = config.security.encryption != Encryption::Off;
    let pick = |on, off| Value::text(if encrypted { on } else { off });
    put(keys, "totem.version", Value::U32(2));
    put(keys, "totem.cluster_name", Value::text(&config.cluster_name));
    // Corosync's map has it where the file has it; 0 is what counts otherwise.
    if config.config_version != 0 {
        put(keys, "totem.config_version", Value::U64(config.config_version));
    }
    // Encrypted links to each node by itself: what programs that ask know by this name.
    put(keys, "totem.transport", Value::text("knet"));
    put(keys, "totem.crypto_cipher", pick("aes256", "none"));
    put(keys, "totem.crypto_hash", pick("sha256", "none"));
    put(keys, "totem.secauth", pick("on", "off"));
    let timeout_us = match config.totem.token_timeout {
        TokenTimeout::Auto { max_us, .. } => max_us,
        TokenTimeout::Fixed { us } => us,
    };
    put(keys, "totem.token", Value::U32(milliseconds(timeout_us)));
    put(keys, "totem.interface.0.bindnetaddr", Value::text(me.address.ip().to_string()));
    put(keys, "totem.interface.0.mcastport", Value::U16(me.address.port()));
}

/// At least one: zero means something else to those who read it.
pub(super) fn milliseconds(us: u64) -> u32 {
    u32::try_from(us / 1000).unwrap_or(u32::MAX).max(1)
}

fn nodes(config: &Config, keys: &mut Keys) {
    for (position, node) in config.nodes.iter().enumerate() {
        let name = |what: &str| format!("nodelist.node.{position}.{what}");
        put(keys, name("nodeid"), Value::U32(node.id));
        put(keys, name("name"), Value::text(&node.name));
        put(keys, name("ring0_addr"), Value::text(node.address.ip().to_string()));
        put(keys, name("quorum_votes"), Value::U32(node.votes));
        if node.id == config.me {
            put(keys, "nodelist.local_node_pos", Value::U32(position as u32));
        }
    }
}

fn quorum(config: &Config, keys: &mut Keys) {
    let quorum = &config.quorum;
    if !quorum.votequorum {
        return;
    }
    put(keys, "quorum.provider", Value::text("corosync_votequorum"));
    if let Some(votes) = quorum.expected_votes {
        put(keys, "quorum.expected_votes", Value::U32(votes));
    }
    let flag = |on: bool| Value::U8(on.into());
    put(keys, "quorum.two_node", flag(quorum.two_node));
    put(keys, "quorum.wait_for_all", flag(quorum.wait_for_all.unwrap_or(quorum.two_node)));
    put(keys, "quorum.last_man_standing", flag(quorum.last_man_standing));
    put(keys, "quorum.last_man_standing_window", Value::U32(quorum.last_man_standing_window_ms));
    put(keys, "quorum.auto_tie_breaker", flag(quorum.auto_tie_breaker != TieBreaker::Off));
    let breaker = match &quorum.auto_tie_breaker {
        TieBreaker::Off => None,
        TieBreaker::Lowest => Some("lowest".to_owned()),
        TieBreaker::Highest => Some("highest".to_owned()),
        TieBreaker::List(nodes) => {
            Some(nodes.iter().map(u32::to_string).collect::<Vec<_>>().join(" "))
        }
    };
    if let Some(breaker) = breaker {
        put(keys, "quorum.auto_tie_breaker_node", Value::text(breaker));
    }
    put(keys, "quorum.allow_downscale", flag(quorum.allow_downscale));
    put(keys, "quorum.expected_votes_tracking", flag(quorum.expected_votes_tracking));
    if let Some(device) = &quorum.device {
        put(keys, "quorum.device.model", Value::text(&device.model));
        if let Some(votes) = device.votes {
            put(keys, "quorum.device.votes", Value::U32(votes));
        }
        put(keys, "quorum.device.timeout", Value::U32(device.timeout_ms));
        put(keys, "quorum.device.sync_timeout", Value::U32(device.sync_timeout_ms));
        put(keys, "quorum.device.master_wins", flag(device.master_wins));
    }
}

fn logging(config: &Config, keys: &mut Keys) {
    let yes = |on: bool| Value::text(if on { "yes" } else { "no" });
    let log = &config.log;
    put(keys, "logging.to_stderr", yes(log.file.is_none()));
    put(keys, "logging.to_logfile", yes(log.file.is_some()));
    put(keys, "logging.to_syslog", yes(false));
    if let Some(file) = &log.file {
        put(keys, "logging.logfile", Value::text(file.to_string_lossy()));
    }
    let debug = log.level == schema::LogLevel::Debug;
    put(keys, "logging.debug", Value::text(if debug { "on" } else { "off" }));
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_programs_look_for_is_there_with_its_type() {
        let text = "[cluster]\nname = \"c\"\nconfig_version = 4\n[node]\nid = 7\n\
             [[nodes]]\nid = 3\nname = \"a\"\naddress = \"127.0.0.1:7001\"\nvotes = 2\n\
             [[nodes]]\nid = 7\nname = \"b\"\naddress = \"127.0.0.1:7003\"\n\
             [quorum]\nprovider = \"votequorum\"\ntwo_node = true\ndevice = \"net\"\n\
             [totem]\ntoken_timeout = \"300ms\"\n[ipc]\nallow_gids = [189]\n[log]\nlevel = \"debug\"\n";
        let said = |name: &str, value| ConfKey { name: name.to_owned(), value };
        let file = [
            said("totem.token", ConfValue::U32(400)),
            said("totem.key", ConfValue::Text("secret".to_owned())),
            said("quorum.device.net.host", ConfValue::Text("q".to_owned())),
        ];
        let keys = keys(&Config::parse(text, Path::new("/c")).unwrap(), &file);
        for (name, expected) in [
            ("totem.cluster_name", Value::text("c")),
            ("totem.config_version", Value::U64(4)),
            ("totem.token", Value::U32(400)),
            ("quorum.device.net.host", Value::text("q")),
            ("totem.crypto_cipher", Value::text("none")),
            ("nodelist.local_node_pos", Value::U32(1)),
            ("nodelist.node.0.nodeid", Value::U32(3)),
            ("nodelist.node.0.quorum_votes", Value::U32(2)),
            ("nodelist.node.1.name", Value::text("b")),
            ("nodelist.node.1.ring0_addr", Value::text("127.0.0.1")),
            ("quorum.provider", Value::text("corosync_votequorum")),
            ("quorum.two_node", Value::U8(1)),
            ("quorum.wait_for_all", Value::U8(1)),
            ("quorum.device.model", Value::text("net")),
            ("quorum.device.sync_timeout", Value::U32(30_000)),
            ("uidgid.config.gid.189", Value::U8(1)),
            ("logging.debug", Value::text("on")),
        ] {
            assert_eq!(keys.get(name), Some(&expected), "{name}");
        }
        assert!(keys.keys().all(|key| super::super::store::is_key(key)));
        assert!(!keys.contains_key("totem.key"));
    }
}
