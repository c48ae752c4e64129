//! From the document to Corosync's flat keys, and from those to the text of `corosync.conf`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;

use super::flat::{Entry, Flat, typed};
use super::keys::{self, Type};
use super::map::QUORUM;
use super::{OWN_SECTION, nodelist};
use crate::keys::{KEYS, SECTIONS};
use crate::kind::{Value, written};
use crate::reader::{Document, Table};

/// Keys of a document as Corosync names them. What Corosync has no key for is under [`OWN_SECTION`].
pub(crate) fn flat(document: &Document) -> Flat {
    let mut flat = Flat::default();
    put(&mut flat, "totem.version", "2");
    put(&mut flat, "totem.transport", "knet");
    nodes(document, &mut flat);
    security(document, &mut flat);
    if !document.table("transport").says("multicast") {
        // Corosync's transports send to each node by itself, so what is our default must be said.
        put(&mut flat, "synchrotron.transport.multicast", "auto");
    }
    for (section, _) in SECTIONS.iter().filter(|(section, _)| *section != "nodes") {
        let table = document.table(section);
        for key in KEYS.iter().filter(|key| key.section == *section && table.says(key.name)) {
            let Some(found) = table.get(key.name) else { continue };
            if !mapped(section, key.name, &found.value, &mut flat) {
                let name = format!("{OWN_SECTION}.{section}.{}", key.name);
                put(&mut flat, &name, &bare(&written(key.kind, &found.value)));
            }
        }
    }
    for (name, (value, _)) in &document.map {
        put(&mut flat, name, value);
    }
    flat
}

/// A TOML value without the quotes that `corosync.conf` does not need.
fn bare(toml: &str) -> String {
    let inner = toml.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let inner = inner.or_else(|| toml.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')));
    match inner {
        Some(inner) if !inner.contains(['\\', '"', '{']) => inner.to_owned(),
        _ => toml.to_owned(),
    }
}

fn put(flat: &mut Flat, name: &str, text: &str) {
    let kind = keys::find(name).map_or(Type::Text, |key| key.kind);
    if let Ok(value) = typed(kind, text) {
        let entry = Entry { value, text: text.to_owned(), offset: 0, span: 0..0 };
        flat.entries.insert(name.to_owned(), entry);
    }
}

/// Puts a value under Corosync's own name for it, if it has one that can say this value.
fn mapped(section: &str, name: &str, value: &Value, flat: &mut Flat) -> bool {
    match (section, name, value) {
        ("cluster", "name", Value::Text(text)) => put(flat, "totem.cluster_name", text),
        ("cluster", "config_version", Value::Number(version)) => {
            put(flat, "totem.config_version", &version.to_string());
        }
        ("node", "id", Value::Word(_)) | ("transport", "multicast", Value::Word("off")) => {}
        ("transport", "link_mode", Value::Word(mode)) => put(flat, "totem.link_mode", mode),
        ("transport", "link_priorities", Value::Ids(list)) => {
            for (link, priority) in list.iter().enumerate() {
                let name = format!("totem.interface.{link}.knet_link_priority");
                put(flat, &name, &priority.to_string());
            }
        }
        ("transport", "link_kinds", Value::Words(list)) => {
            for (link, kind) in list.iter().enumerate() {
                put(flat, &format!("totem.interface.{link}.knet_transport"), kind);
            }
        }
        ("transport", "mtu", Value::Number(bytes)) => {
            put(flat, "totem.knet_mtu", &bytes.to_string());
        }
        // Written as a whole by `security`.
        ("security", "encryption" | "key_file" | "key_format" | "key", _) => {}
        ("totem", "token_timeout", Value::Number(ns)) if ns.is_multiple_of(NS_PER_MS) => {
            put(flat, "totem.token", &(ns / NS_PER_MS).to_string());
            put(flat, "totem.token_coefficient", "0");
        }
        ("totem", "consensus_timeout", Value::Number(ns)) if ns.is_multiple_of(NS_PER_MS) => {
            put(flat, "totem.consensus", &(ns / NS_PER_MS).to_string());
        }
        ("quorum", _, _) => return quorum(name, value, flat),
        ("engine", "state_dir", Value::Text(dir)) => put(flat, "system.state_dir", dir),
        ("ipc", "allow_uids", Value::Ids(ids)) => allowed("uid", ids, flat),
        ("ipc", "allow_gids", Value::Ids(ids)) => allowed("gid", ids, flat),
        ("log", "file", Value::Word(_)) => put(flat, "logging.to_stderr", "yes"),
        ("log", "file", Value::Text(file)) => {
            put(flat, "logging.to_logfile", "yes");
            put(flat, "logging.logfile", file);
        }
        ("log", "level", Value::Word(level)) => level_of(level, flat),
        ("recorder", "file", Value::Word("off")) => put(flat, "logging.blackbox", "off"),
        _ => return false,
    }
    true
}

const NS_PER_MS: u64 = 1_000_000;

/// Puts a key of `[quorum]`.
fn quorum(name: &str, value: &Value, flat: &mut Flat) -> bool {
    if let Some((_, to, _)) = QUORUM.iter().find(|(ours, _, _)| *ours == name) {
        let text = match value {
            Value::Bool(truth) => u8::from(*truth).to_string(),
            Value::Number(ns) if name.ends_with("window") || name.ends_with("timeout") => {
                if !ns.is_multiple_of(NS_PER_MS) {
                    return false;
                }
                (ns / NS_PER_MS).to_string()
            }
            Value::Number(number) => number.to_string(),
            _ => return false,
        };
        put(flat, &format!("quorum.{to}"), &text);
        return true;
    }
    match (name, value) {
        ("provider", Value::Word("votequorum")) => {
            put(flat, "quorum.provider", "corosync_votequorum");
        }
        ("provider", Value::Word(_)) => {}
        ("device", Value::Text(model)) => put(flat, "quorum.device.model", model),
        ("auto_tie_breaker", Value::Word("off")) => put(flat, "quorum.auto_tie_breaker", "0"),
        ("auto_tie_breaker", Value::Word(which)) => {
            put(flat, "quorum.auto_tie_breaker", "1");
            put(flat, "quorum.auto_tie_breaker_node", which);
        }
        ("auto_tie_breaker", Value::Ids(ids)) => {
            let ids: Vec<_> = ids.iter().map(u32::to_string).collect();
            put(flat, "quorum.auto_tie_breaker", "1");
            put(flat, "quorum.auto_tie_breaker_node", &ids.join(" "));
        }
        _ => return false,
    }
    true
}

fn allowed(kind: &str, ids: &[u32], flat: &mut Flat) {
    for id in ids {
        put(flat, &format!("uidgid.config.{kind}.{id}"), "1");
    }
}

fn level_of(level: &str, flat: &mut Flat) {
    let priority = if level == "warn" { "warning" } else { level };
    if level == "debug" {
        put(flat, "logging.debug", "on");
    }
    for name in ["logging.logfile_priority", "logging.syslog_priority"] {
        put(flat, name, priority);
    }
}

fn security(document: &Document, flat: &mut Flat) {
    let table = document.table("security");
    let text = |name| match table.get(name).map(|found| &found.value) {
        Some(Value::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    let word = |name| match table.get(name).map(|found| &found.value) {
        Some(Value::Word(word)) => *word,
        _ => "",
    };
    let (file, key) = (text("key_file"), text("key"));
    let on = word("encryption") != "off" && (file.is_some() || key.is_some());
    put(flat, "totem.crypto_cipher", if on { "aes256" } else { "none" });
    put(flat, "totem.crypto_hash", if on { "sha256" } else { "none" });
    if on && word("encryption") == "auto" && all_loopback(document) {
        put(flat, "synchrotron.security.encryption", "auto");
    }
    if let Some(key) = key {
        put(flat, "totem.key", key);
    }
    match (file, word("key_format")) {
        (Some(file), "corosync") => put(flat, "totem.keyfile", file),
        (Some(file), _) => {
            put(flat, "synchrotron.security.key_file", file);
            put(flat, "synchrotron.security.key_format", "hex");
        }
        (None, _) => {}
    }
}

fn all_loopback(document: &Document) -> bool {
    document.nodes.iter().all(|table| match table.get("address").map(|found| &found.value) {
        Some(Value::Address(address)) => address.ip().is_loopback(),
        _ => false,
    })
}

/// The sockets of a node, link 0 first.
fn sockets(table: &Table) -> Vec<SocketAddr> {
    let mut all = Vec::new();
    if let Some(Value::Address(address)) = table.get("address").map(|found| &found.value) {
        all.push(*address);
    }
    if let Some(Value::Addresses(links)) = table.get("links").map(|found| &found.value) {
        all.extend(links);
    }
    all
}

fn nodes(document: &Document, flat: &mut Flat) {
    flat.nodes = document.nodes.len();
    let sockets: Vec<_> = document.nodes.iter().map(sockets).collect();
    let links = sockets.first().map_or(0, Vec::len);
    // A port that differs from node to node cannot be said by Corosync.
    let one_port = |link: usize| {
        let mut ports = sockets.iter().filter_map(|node| Some(node.get(link)?.port()));
        let first = ports.next()?;
        ports.all(|port| port == first).then_some(first)
    };
    for link in 0..links {
        if let Some(port) = one_port(link).filter(|p| u64::from(*p) != nodelist::PORT + link as u64)
        {
            put(flat, &format!("totem.interface.{link}.mcastport"), &port.to_string());
        }
    }
    for (at, (table, sockets)) in document.nodes.iter().zip(&sockets).enumerate() {
        let prefix = format!("nodelist.node.{at}");
        for (link, socket) in sockets.iter().enumerate() {
            put(flat, &format!("{prefix}.ring{link}_addr"), &socket.ip().to_string());
        }
        let own: [(&str, bool); 3] = [
            ("address", one_port(0).is_none()),
            ("token_address", true),
            ("links", (1..links).any(|link| one_port(link).is_none())),
        ];
        for key in KEYS.iter().filter(|key| key.section == "nodes" && table.says(key.name)) {
            let Some(found) = table.get(key.name) else { continue };
            let wanted = own.iter().find(|(name, _)| *name == key.name).is_none_or(|(_, is)| *is);
            if wanted {
                let name = match key.name {
                    "id" => "nodeid",
                    "votes" => "quorum_votes",
                    name => name,
                };
                put(flat, &format!("{prefix}.{name}"), &bare(&written(key.kind, &found.value)));
            }
        }
    }
}

/// Sections in the order people expect; others follow.
const ORDER: [&str; 7] =
    ["totem", "nodelist", "quorum", "logging", "system", "uidgid", OWN_SECTION];

/// The text of `corosync.conf`.
pub(crate) fn text(flat: &Flat) -> String {
    let root = tree(flat);
    let mut text = String::new();
    let known = ORDER.iter().filter_map(|name| Some((*name, root.sections.get(*name)?)));
    let rest = root.sections.iter().filter(|(name, _)| !ORDER.contains(&name.as_str()));
    let all = known.chain(rest.map(|(name, section)| (name.as_str(), section)));
    for (name, section) in all {
        if !text.is_empty() {
            text.push('\n');
        }
        write_section(&mut text, name, section, 0);
    }
    for (key, value) in &root.keys {
        _ = writeln!(text, "{key}: {value}");
    }
    text
}

/// A section on its way out.
#[derive(Default)]
struct Branch {
    keys: Vec<(String, String)>,
    sections: BTreeMap<String, Branch>,
    /// Sections of one name, by number or name.
    lists: BTreeMap<&'static str, BTreeMap<(u32, String), Branch>>,
}

/// Sections that there are several of: where, their name, and the key that tells them apart.
const LISTS: [(&str, &str, Option<&str>); 4] = [
    ("totem", "interface", Some("linknumber")),
    ("nodelist", "node", None),
    ("logging", "logger_subsys", None),
    ("logging", "logging_daemon", None),
];

fn tree(flat: &Flat) -> Branch {
    let mut root = Branch::default();
    for (full, entry) in &flat.entries {
        if let Some(rest) = full.strip_prefix("uidgid.config.") {
            let (kind, id) = rest.split_once('.').unwrap_or((rest, ""));
            let branch = root.sections.entry("uidgid".to_owned()).or_default();
            branch.keys.push((kind.to_owned(), id.to_owned()));
            continue;
        }
        let mut parts: Vec<&str> = full.split('.').collect();
        let key = parts.pop().unwrap_or_default();
        let list = LISTS.iter().find(|(section, name, _)| parts.starts_with(&[section, name]));
        let branch = match (list, parts.as_slice()) {
            (Some((section, name, by)), [_, _, index, rest @ ..]) => {
                let branch = root.sections.entry((*section).to_owned()).or_default();
                // A daemon's subsystem is a section of its own.
                let index = [&[*index], rest].concat().join(".");
                let number = index.parse().unwrap_or(u32::MAX);
                let list = branch.lists.entry(name).or_default();
                let branch = list.entry((number, index.clone())).or_default();
                if let (Some(by), true) = (by, branch.keys.is_empty()) {
                    branch.keys.push(((*by).to_owned(), index));
                }
                branch
            }
            (_, parts) => parts.iter().fold(&mut root, |branch, part| {
                branch.sections.entry((*part).to_owned()).or_default()
            }),
        };
        branch.keys.push((key.to_owned(), entry.text.clone()));
    }
    root
}

fn write_section(text: &mut String, name: &str, section: &Branch, depth: usize) {
    let indent = "    ".repeat(depth);
    _ = writeln!(text, "{indent}{name} {{");
    for (key, value) in &section.keys {
        _ = writeln!(text, "{indent}    {key}: {value}");
    }
    for (name, branch) in &section.sections {
        write_section(text, name, branch, depth + 1);
    }
    for (name, list) in &section.lists {
        for branch in list.values() {
            write_section(text, name, branch, depth + 1);
        }
    }
    _ = writeln!(text, "{indent}}}");
}
