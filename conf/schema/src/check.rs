//! From values to the model, with the checks that concern several keys at once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::path::Path;

use crate::config::{Config, fnv1a};
use crate::host::Host;
use crate::key_file::{DERIVED_BYTES_MAX, DERIVED_BYTES_MIN};
use crate::kind::{Value, duration_text, size_text};
use crate::model::{
    Cpu, Driver, Encryption, Engine, Idle, Ipc, KeySource, Limits, Link, LinkMode, LockMemory, Log,
    LogFormat, LogLevel, Memory, Multicast, Node, Priority, Provider, Rdma, Recorder, Secret,
    Security, TokenTimeout, Totem, Transport,
};
use crate::problem::Report;
use crate::quorum;
use crate::reader::Document;
use crate::values::Values;
use crate::{me, nodes};

/// The model of a document. Problems go to `report`; with any of them the result is worthless.
///
/// Without a `host`, which entry of the node list is this node's own is not looked for where the file leaves it open.
pub(crate) fn config(
    document: &Document,
    file: &Path,
    host: Option<&dyn Host>,
    report: &mut Report<'_>,
) -> Option<Config> {
    let dir = file.parent().unwrap_or(Path::new(""));
    let values = Values { document, dir };
    let nodes = nodes::read(document, report);
    let me = me::read(document, &nodes, host, report);
    let cluster_name = values.text("cluster", "name").unwrap_or_default();
    Some(Config {
        file: file.to_owned(),
        config_version: values.number("cluster", "config_version"),
        me,
        transport: transport(&values, &cluster_name, &nodes, report),
        security: security(&values, &nodes, report),
        totem: totem(&values, report),
        quorum: quorum::read(&values),
        engine: engine(&values),
        memory: Memory {
            small_slots: values.number("memory", "small_slots") as u32,
            large_slots: values.number("memory", "large_slots") as u32,
        },
        ipc: ipc(&values, report),
        limits: Limits {
            message_bytes_max: values.number("limits", "message_bytes_max"),
            memberships_max: values.number("limits", "memberships_max") as u32,
        },
        log: log(&values),
        recorder: recorder(&values),
        nodes,
        cluster_name,
    })
}

/// Where the file says a key, or where its table starts.
fn place(values: &Values<'_>, section: &'static str, name: &'static str) -> Range<usize> {
    let table = values.document.table(section);
    let span = table.get(name).and_then(|found| found.span.clone());
    span.unwrap_or(table.offset..table.offset)
}

fn transport(
    values: &Values<'_>,
    cluster: &str,
    nodes: &[Node],
    report: &mut Report<'_>,
) -> Transport {
    let multicast = match values.value("transport", "multicast") {
        Some(Value::Word("off")) => Multicast::Off,
        Some(Value::Address(group)) => {
            check_group(values, group, nodes, report);
            Multicast::Group(group)
        }
        _ => derived_group(cluster, nodes),
    };
    if let Multicast::Group(group) = multicast
        && let Some((node, link)) = nodes.iter().find_map(|n| port_clash(n, group.port()))
    {
        let wrong = format!(
            "port {} of group {group} clashes with node {}'s {} and {}",
            group.port(),
            node.id,
            link.address,
            link.token_address
        );
        let span = place(values, "transport", "multicast");
        report.value("transport.multicast", span, wrong, "a port no node of the list uses");
    }
    Transport {
        drivers: drivers(values, nodes, report),
        multicast,
        multicast_ttl: values.number("transport", "multicast_ttl") as u8,
        mtu_bytes: match values.value("transport", "mtu") {
            Some(Value::Number(bytes)) => Some(bytes as usize),
            _ => None,
        },
        receive_buffer_bytes: values.number("transport", "receive_buffer") as usize,
        send_buffer_bytes: values.number("transport", "send_buffer") as usize,
        link_mode: match values.word("transport", "link_mode") {
            "active" => LinkMode::Active,
            "rr" => LinkMode::RoundRobin,
            _ => LinkMode::Passive,
        },
        link_priorities: link_priorities(values, nodes, report),
    }
}

/// One priority per link of the nodes.
fn link_priorities(values: &Values<'_>, nodes: &[Node], report: &mut Report<'_>) -> Vec<u8> {
    let mut said = values.ids("transport", "link_priorities");
    let links = 1 + nodes.first().map_or(0, |node| node.links.len());
    if said.len() > links {
        let wrong = format!("has {} priorities, but nodes have {links} links", said.len());
        let span = place(values, "transport", "link_priorities");
        report.value("transport.link_priorities", span, wrong, "at most one for each link");
    }
    said.resize(links, 1);
    // The key's bounds keep them within a byte.
    said.into_iter().map(|priority| u8::try_from(priority).unwrap_or(u8::MAX)).collect()
}

/// The driver of each link, and what only one of them has keys for.
fn drivers(values: &Values<'_>, nodes: &[Node], report: &mut Report<'_>) -> Vec<Driver> {
    let mut kinds = values.words("transport", "link_kinds");
    let links = 1 + nodes.first().map_or(0, |node| node.links.len());
    if kinds.len() > links {
        let wrong = format!("has {} kinds, but nodes have {links} links", kinds.len());
        let span = place(values, "transport", "link_kinds");
        report.value("transport.link_kinds", span, wrong, "at most one for each link");
    }
    kinds.resize(links, values.word("transport", "kind"));
    let rdma = rdma(values, kinds.contains(&"verbs"), report);
    let driver = |kind| if kind == "verbs" { Driver::Verbs(rdma.clone()) } else { Driver::Udp };
    kinds.into_iter().map(driver).collect()
}

/// The keys of RDMA, for all links that are over it; `used`: whether any is.
fn rdma(values: &Values<'_>, used: bool, report: &mut Report<'_>) -> Rdma {
    let table = values.document.table("transport");
    if !used {
        let names = ["rdma_device", "rdma_port", "rdma_gid_index", "rdma_pkey"];
        for name in names.into_iter().filter(|name| table.says(name)) {
            let span = place(values, "transport", name);
            report.value(
                &format!("transport.{name}"),
                span,
                "has no meaning where every link is UDP",
                "kind = \"verbs\" or one in link_kinds, or no such key",
            );
        }
    }
    let number = |name| match values.value("transport", name) {
        Some(Value::Number(number)) => Some(number),
        _ => None,
    };
    Rdma {
        device: values.text("transport", "rdma_device"),
        // The table's bounds keep these within their types.
        port: number("rdma_port").map(|port| port as u8),
        gid_index: number("rdma_gid_index").map(|index| index as u8),
        pkey: number("rdma_pkey").map(|pkey| pkey as u16),
    }
}

/// Where a node receives, on each link.
fn links(node: &Node) -> impl Iterator<Item = Link> + '_ {
    (0..=node.links.len()).filter_map(|link| node.link(link))
}

fn ports(link: &Link) -> [u16; 2] {
    [link.address.port(), link.token_address.port()]
}

/// The link of a node that uses a port.
fn port_clash(node: &Node, port: u16) -> Option<(&Node, Link)> {
    links(node).find(|link| ports(link).contains(&port)).map(|link| (node, link))
}

fn check_group(values: &Values<'_>, group: SocketAddr, nodes: &[Node], report: &mut Report<'_>) {
    let span = place(values, "transport", "multicast");
    if !group.ip().is_multicast() {
        let accepted = "a group in 224.0.0.0/4 or ff00::/8, \"auto\" or \"off\"";
        report.value("transport.multicast", span, "is not a multicast group", accepted);
    } else if let Some(node) = nodes.iter().find(|n| n.address.is_ipv4() != group.is_ipv4()) {
        let wrong = format!("is of another family than node {}'s {}", node.id, node.address);
        let family = if node.address.is_ipv4() { "IPv4" } else { "IPv6" };
        report.value("transport.multicast", span, wrong, format!("an {family} group"));
    }
}

/// A group of organisation-local scope (RFC 2365, RFC 4291) that depends on the cluster's name only, and the
/// port below the lowest of the node list.
fn derived_group(cluster: &str, nodes: &[Node]) -> Multicast {
    let hash = fnv1a(cluster.as_bytes()).to_le_bytes();
    let lowest = nodes.iter().flat_map(links).flat_map(|link| ports(&link)).min().unwrap_or(2);
    let ip = if nodes.first().is_none_or(|node| node.address.is_ipv4()) {
        IpAddr::V4(Ipv4Addr::new(239, 192 | (hash[0] & 3), hash[1], hash[2]))
    } else {
        let low = u16::from_le_bytes([hash[0], hash[1]]);
        let high = u16::from_le_bytes([hash[2], hash[3]]);
        IpAddr::V6(Ipv6Addr::new(0xff08, 0, 0, 0, 0, 0, high, low))
    };
    Multicast::Group(SocketAddr::new(ip, lowest.saturating_sub(1).max(1)))
}

fn security(values: &Values<'_>, nodes: &[Node], report: &mut Report<'_>) -> Security {
    let outside = nodes.iter().find(|node| !node.address.ip().is_loopback());
    let word = values.word("security", "encryption");
    let key = key_source(values, report);
    let table = values.document.table("security");
    let on = match word {
        "aes-256-gcm" => Some("encryption = \"aes-256-gcm\"".to_owned()),
        "auto" => outside.map(|node| {
            format!("encryption is on because node {}'s {} is not loopback", node.id, node.address)
        }),
        _ => None,
    };
    let encryption = match (on, key) {
        (Some(_), Some(key)) => Encryption::Aes256Gcm { key },
        (Some(why), None) => {
            if !table.says("key_file") && !table.says("key") {
                let accepted =
                    "the file `synchrotron keygen` wrote, or security.encryption = \"off\"";
                report.at("security.key_file", table.offset, format!("missing: {why}"), accepted);
            }
            Encryption::Off
        }
        (None, Some(_)) if word == "off" => {
            let name = if table.says("key_file") { "key_file" } else { "key" };
            let span = place(values, "security", name);
            let wrong = "a key is given, but encryption is \"off\"";
            let accepted = format!("no {name}, or encryption = \"aes-256-gcm\"");
            report.value(&format!("security.{name}"), span, wrong, accepted);
            Encryption::Off
        }
        (None, _) => Encryption::Off,
    };
    let provider = match values.word("security", "provider") {
        "aes-gcm" => Provider::AesGcm,
        "aws-lc" => Provider::AwsLc,
        _ => Provider::Auto,
    };
    Security { encryption, provider }
}

/// Where the cluster key comes from, if the file says so.
fn key_source(values: &Values<'_>, report: &mut Report<'_>) -> Option<KeySource> {
    let table = values.document.table("security");
    let corosync = values.word("security", "key_format") == "corosync";
    let file = values.path("security", "key_file");
    if corosync && !table.says("key_file") {
        let span = place(values, "security", "key_format");
        let wrong = "has no effect without key_file";
        report.value("security.key_format", span, wrong, "only with key_file");
    }
    let Some(bytes) = values.text("security", "key").map(String::into_bytes) else {
        return file.map(|file| match corosync {
            true => KeySource::CorosyncFile(file),
            false => KeySource::File(file),
        });
    };
    let at = place(values, "security", "key").start;
    if table.says("key_file") {
        report.at("security.key", at, "key_file is given, too", "one of key and key_file");
    }
    if bytes.len() < DERIVED_BYTES_MIN {
        let wrong = format!("has {} bytes", bytes.len());
        let accepted = format!("{DERIVED_BYTES_MIN} to {DERIVED_BYTES_MAX} bytes");
        report.at("security.key", at, wrong, accepted);
    }
    Some(KeySource::Bytes(Secret(bytes)))
}

fn totem(values: &Values<'_>, report: &mut Report<'_>) -> Totem {
    let table = values.document.table("totem");
    let (min_ns, max_ns) =
        (values.number("totem", "token_timeout_min"), values.number("totem", "token_timeout_max"));
    if min_ns > max_ns {
        let name =
            if table.says("token_timeout_min") { "token_timeout_min" } else { "token_timeout_max" };
        let wrong = format!(
            "token_timeout_min ({}) is above token_timeout_max ({})",
            duration_text(min_ns),
            duration_text(max_ns)
        );
        let span = place(values, "totem", name);
        report.value(&format!("totem.{name}"), span, wrong, "a lower bound below the upper one");
    }
    let fixed = match values.value("totem", "token_timeout") {
        Some(Value::Number(ns)) => Some(ns),
        _ => None,
    };
    for name in ["token_timeout_min", "token_timeout_max"] {
        if fixed.is_some() && table.says(name) {
            let wrong = "has no effect, because token_timeout is fixed";
            let span = place(values, "totem", name);
            report.value(
                &format!("totem.{name}"),
                span,
                wrong,
                "only with token_timeout = \"auto\"",
            );
        }
    }
    let token_timeout = match fixed {
        Some(ns) => TokenTimeout::Fixed { us: ns / 1000 },
        None => TokenTimeout::Auto { min_us: min_ns / 1000, max_us: max_ns / 1000 },
    };
    let consensus_timeout_us = match values.value("totem", "consensus_timeout") {
        Some(Value::Number(ns)) => Some(ns / 1000),
        _ => None,
    };
    Totem { token_timeout, consensus_timeout_us }
}

fn engine(values: &Values<'_>) -> Engine {
    Engine {
        idle: match values.word("engine", "idle") {
            "busy" => Idle::Busy,
            "park" => Idle::Park,
            _ => Idle::Adaptive,
        },
        spin_ns: values.number("engine", "spin"),
        cpu: match values.value("engine", "cpu") {
            Some(Value::Number(core)) => Cpu::Pinned(core as usize),
            _ => Cpu::Any,
        },
        priority: match values.word("engine", "priority") {
            "high" => Priority::High,
            "normal" => Priority::Normal,
            _ => Priority::Auto,
        },
        wake_latency_ns: match values.value("engine", "wake_latency") {
            Some(Value::Number(ns)) => Some(ns),
            _ => None,
        },
        lock_memory: match values.word("engine", "lock_memory") {
            "on" => LockMemory::On,
            "off" => LockMemory::Off,
            _ => LockMemory::Auto,
        },
        state_dir: values.path("engine", "state_dir").unwrap_or_default(),
    }
}

/// Reports a size or count that is not a power of two.
fn power_of_two(
    values: &Values<'_>,
    name: &'static str,
    show: fn(u64) -> String,
    report: &mut Report<'_>,
) -> usize {
    let number = values.number("ipc", name);
    if !number.is_power_of_two() {
        let (below, above) = (number.next_power_of_two() / 2, number.next_power_of_two());
        let span = place(values, "ipc", name);
        let accepted = format!("{} or {}", show(below), show(above));
        report.value(&format!("ipc.{name}"), span, "is not a power of two", accepted);
    }
    number as usize
}

fn ipc(values: &Values<'_>, report: &mut Report<'_>) -> Ipc {
    let quoted_size = |bytes| format!("\"{}\"", size_text(bytes));
    let submit_bytes = power_of_two(values, "submit_bytes", quoted_size, report);
    let private_bytes = power_of_two(values, "private_bytes", quoted_size, report);
    let delivery_slots = power_of_two(values, "delivery_slots", |n| n.to_string(), report);
    let lag_slots = values.number("ipc", "lag_slots") as usize;
    // The last quarter of the ring is what the engine needs to notice a slow reader and copy for it.
    if lag_slots > delivery_slots / 4 * 3 {
        let table = values.document.table("ipc");
        let name = if table.says("lag_slots") { "lag_slots" } else { "delivery_slots" };
        let wrong =
            format!("lag_slots ({lag_slots}) is more than three quarters of delivery_slots");
        let accepted = format!("lag_slots up to {}", delivery_slots / 4 * 3);
        report.value(&format!("ipc.{name}"), place(values, "ipc", name), wrong, accepted);
    }
    Ipc {
        socket: values.path("ipc", "socket").unwrap_or_default(),
        max_clients: values.number("ipc", "max_clients") as u32,
        submit_bytes,
        private_bytes,
        delivery_slots,
        lag_slots,
        lease_ns: values.number("ipc", "lease"),
        spill_bytes: values.number("ipc", "spill_bytes") as usize,
        spill_bytes_total: values.number("ipc", "spill_bytes_total") as usize,
        allow_uids: values.ids("ipc", "allow_uids"),
        allow_gids: values.ids("ipc", "allow_gids"),
        private_uids: values.ids("ipc", "private_uids"),
        private_gids: values.ids("ipc", "private_gids"),
    }
}

fn log(values: &Values<'_>) -> Log {
    Log {
        level: match values.word("log", "level") {
            "error" => LogLevel::Error,
            "warn" => LogLevel::Warn,
            "debug" => LogLevel::Debug,
            _ => LogLevel::Info,
        },
        format: match values.word("log", "format") {
            "json" => LogFormat::Json,
            _ => LogFormat::Text,
        },
        file: values.path("log", "file"),
    }
}

fn recorder(values: &Values<'_>) -> Recorder {
    let file = match values.value("recorder", "file") {
        Some(Value::Word("off")) => None,
        Some(Value::Text(path)) => Some(values.dir.join(path)),
        _ => values.path("engine", "state_dir").map(|dir| dir.join("blackbox")),
    };
    Recorder { file, bytes: values.number("recorder", "bytes") }
}
