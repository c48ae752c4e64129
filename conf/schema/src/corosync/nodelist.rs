//! The node list of `corosync.conf`: names resolved, links made a list.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use toml::de::DeValue;

use super::flat::Flat;
use super::keys::link_of;
use super::map::Build;
use crate::LINKS_MAX;
use crate::keys::find;
use crate::kind::read as read_value;
use crate::reader::Table;

/// The port of link 0 in a file that says none.
pub(crate) const PORT: u64 = 5405;

/// A link's address as the file has it.
struct Ring {
    /// The key it comes from.
    key: String,
    text: String,
    span: Range<usize>,
    link: usize,
    /// What it may stand for, by preference.
    found: Vec<IpAddr>,
}

/// Reads the node list into tables.
pub(crate) fn read(build: &mut Build<'_, '_, '_>) {
    let flat = build.flat;
    let mut nodes: Vec<Vec<Ring>> = (0..flat.nodes).map(|node| rings(node, build)).collect();
    let links: Vec<usize> =
        nodes.first().map(|n| n.iter().map(|r| r.link).collect()).unwrap_or_default();
    for (node, rings) in nodes.iter().enumerate() {
        same_links(node, rings, &links, build);
    }
    if links.iter().enumerate().any(|(at, link)| at != *link) {
        let numbers: Vec<_> = links.iter().map(usize::to_string).collect();
        let text = format!("links {} are numbered from 0 without gaps here", numbers.join(", "));
        build.warn("nodelist.node", text);
    }
    for at in 0..links.len() {
        one_family(at, &mut nodes);
    }
    for (node, rings) in nodes.iter().enumerate() {
        let table = table(node, rings, build);
        build.node(table);
    }
}

/// Reports a node whose links are not those of the first one.
fn same_links(node: usize, rings: &[Ring], links: &[usize], build: &mut Build<'_, '_, '_>) {
    let own: Vec<usize> = rings.iter().map(|ring| ring.link).collect();
    if own == links {
        return;
    }
    let missing = links.iter().find(|link| !own.contains(link));
    let extra = rings.iter().find(|ring| !links.contains(&ring.link));
    match (missing, extra) {
        (Some(link), _) => {
            let key = format!("nodelist.node.{node}.ring{link}_addr");
            build.report.at(
                &key,
                node_offset(build.flat, node),
                "missing",
                "the links of the first node",
            );
        }
        (None, Some(ring)) => {
            let wrong = "the first node has no such link";
            build.report.value(&ring.key, ring.span.clone(), wrong, "the links of the first node");
        }
        (None, None) => {}
    }
}

/// Where the first key of a node stands.
fn node_offset(flat: &Flat, node: usize) -> usize {
    let prefix = format!("nodelist.node.{node}.");
    flat.under(&prefix).map(|(_, entry)| entry.offset).min().unwrap_or(0)
}

/// The links of a node in the order of their numbers.
fn rings(node: usize, build: &mut Build<'_, '_, '_>) -> Vec<Ring> {
    let (flat, host) = (build.flat, build.host);
    let mut rings = Vec::new();
    for link in 0..LINKS_MAX {
        let key = format!("nodelist.node.{node}.ring{link}_addr");
        let Some(entry) = flat.get(&key) else { continue };
        let (text, span) = (entry.text.clone(), entry.span.clone());
        let found = match text.parse() {
            Ok(address) => Ok(vec![address]),
            Err(_) if text.is_empty() => Err("is empty".to_owned()),
            Err(_) => host
                .resolve(&text)
                .map_err(|error| format!("cannot be resolved: {error}"))
                .map(|found| preferred(found, flat)),
        };
        let found = found.and_then(|found| match found.as_slice() {
            [] => Err("has no address of the family that totem.ip_version asks for".to_owned()),
            _ => Ok(found),
        });
        match found {
            Ok(found) => rings.push(Ring { key, text, span, link, found }),
            Err(wrong) => {
                let accepted = "an IP address, or a host name that can be resolved here";
                build.report.value(&key, span, wrong, accepted);
                // Others are compared with it all the same.
                rings.push(Ring { key, text, span: 0..0, link, found: Vec::new() });
            }
        }
    }
    rings
}

/// Addresses of a name in the order, and of the families, that the file asks for.
fn preferred(mut found: Vec<IpAddr>, flat: &Flat) -> Vec<IpAddr> {
    let udp = matches!(flat.text("totem.transport"), Some("udp" | "iba"));
    let version = flat.text("totem.ip_version").unwrap_or(if udp { "ipv4" } else { "ipv6-4" });
    match version {
        "ipv4" => found.retain(IpAddr::is_ipv4),
        "ipv6" => found.retain(IpAddr::is_ipv6),
        "ipv4-6" => found.sort_by_key(|address| !address.is_ipv4()),
        _ => found.sort_by_key(|address| !address.is_ipv6()),
    }
    found
}

/// Names often have addresses of both families on some nodes and of one on others: takes the family that all
/// nodes have on this link, the preferred one if both are.
fn one_family(at: usize, nodes: &mut [Vec<Ring>]) {
    let first = |v4: bool| {
        nodes.iter().filter_map(|rings| rings.get(at)).all(|ring| {
            ring.found.is_empty() || ring.found.iter().any(|address| address.is_ipv4() == v4)
        })
    };
    let wanted = nodes.iter().find_map(|rings| Some(rings.get(at)?.found.first()?.is_ipv4()));
    let Some(wanted) = wanted else { return };
    let v4 = if first(wanted) { wanted } else { !wanted };
    for ring in nodes.iter_mut().filter_map(|rings| rings.get_mut(at)) {
        ring.found.sort_by_key(|address| address.is_ipv4() != v4);
    }
}

fn table(node: usize, rings: &[Ring], build: &mut Build<'_, '_, '_>) -> Table {
    let flat = build.flat;
    let prefix = format!("nodelist.node.{node}");
    let mut table = Table::empty(prefix.clone(), node_offset(flat, node));
    // A name that cannot be resolved was reported and leaves a gap.
    let addresses: Vec<Option<SocketAddr>> = rings.iter().map(|ring| socket(ring, flat)).collect();
    let first = addresses.first().copied().flatten();
    for (name, toml) in
        [("name", "name"), ("address", "address"), ("token_address", "token_address")]
    {
        if let Some(entry) = flat.get(&format!("{prefix}.{name}")) {
            set(&mut table, toml, &text(&entry.text), entry.span.clone(), build);
        }
    }
    for (name, toml) in NUMBERS {
        let key = format!("{prefix}.{name}");
        if let (Some(entry), Some(number)) = (flat.get(&key), flat.number(&key)) {
            build.report.rename(format!("{prefix}.{toml}"), key);
            set(&mut table, toml, &number.to_string(), entry.span.clone(), build);
        }
    }
    if let Some(ring) = rings.first() {
        if !table.says("name") && ring.text.parse::<IpAddr>().is_err() && !ring.text.is_empty() {
            set(&mut table, "name", &text(&ring.text), ring.span.clone(), build);
        }
        if !table.says("address") {
            build.report.rename(format!("{prefix}.address"), ring.key.clone());
            match first {
                Some(address) => {
                    set(
                        &mut table,
                        "address",
                        &text(&address.to_string()),
                        ring.span.clone(),
                        build,
                    );
                }
                // Reported when it was resolved.
                None => table.set("address", None, Some(ring.span.clone())),
            }
        }
    } else if !table.says("address") {
        build.report.rename(format!("{prefix}.address"), format!("{prefix}.ring0_addr"));
    }
    if let Some(entry) = flat.get(&format!("{prefix}.links")) {
        set(&mut table, "links", &entry.text, entry.span.clone(), build);
    } else if let Some(further) = addresses.get(1..).filter(|further| !further.is_empty()) {
        let further: Vec<SocketAddr> = further.iter().flatten().copied().collect();
        let (list, span) =
            (list(&further), rings.get(1).map(|r| r.span.clone()).unwrap_or_default());
        build.report.rename(format!("{prefix}.links"), format!("{prefix}.ring1_addr"));
        set(&mut table, "links", &list, span, build);
    }
    if !table.says("id") {
        node_id(&mut table, first, build);
    }
    table
}

/// Numbers of a node and what they are called in `[[nodes]]`.
const NUMBERS: [(&str, &str); 2] = [("nodeid", "id"), ("quorum_votes", "votes")];

/// The socket of a link.
fn socket(ring: &Ring, flat: &Flat) -> Option<SocketAddr> {
    let name = format!("totem.interface.{}.mcastport", ring.link);
    let port = flat.number(&name).unwrap_or(PORT + ring.link as u64);
    debug_assert!(link_of(&ring.key[ring.key.rfind('.').map_or(0, |at| at + 1)..]).is_some());
    Some(SocketAddr::new(*ring.found.first()?, u16::try_from(port).ok()?))
}

/// Without a nodeid, UDP transports take the IPv4 address as a number.
fn node_id(table: &mut Table, address: Option<SocketAddr>, build: &mut Build<'_, '_, '_>) {
    let udp = matches!(build.flat.text("totem.transport"), Some("udp" | "udpu" | "iba"));
    let key = format!("{}.nodeid", table.label);
    build.report.rename(format!("{}.id", table.label), key);
    if let (true, Some(SocketAddr::V4(address))) = (udp, address) {
        let mut id = u32::from(*address.ip());
        if build.flat.text("totem.clear_node_high_bit") == Some("yes") {
            id &= u32::MAX >> 1;
        }
        set(table, "id", &id.to_string(), 0..0, build);
    }
}

fn list(addresses: &[SocketAddr]) -> String {
    let quoted: Vec<_> = addresses.iter().map(|address| text(&address.to_string())).collect();
    format!("[{}]", quoted.join(", "))
}

/// A text as a TOML string.
fn text(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Sets a key of a node from TOML text.
fn set(
    table: &mut Table,
    name: &'static str,
    toml: &str,
    span: Range<usize>,
    build: &mut Build<'_, '_, '_>,
) {
    let Some(key) = find("nodes", name) else { return };
    let value = DeValue::parse(toml).map(toml::Spanned::into_inner);
    let value = value.unwrap_or(DeValue::String(Cow::Borrowed(toml)));
    let full = format!("{}.{name}", table.label);
    let read = read_value(key.kind, key.words, &value)
        .map_err(|wrong| build.report.value(&full, span.clone(), wrong, key.accepted()));
    table.set(key.name, read.ok(), Some(span));
}
