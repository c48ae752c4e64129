//! The node list: identities and addresses, and what must hold between them.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use crate::NODES_MAX;
use crate::kind::Value;
use crate::model::{Link, Node};
use crate::problem::Report;
use crate::reader::{Document, Found, Table};

/// Reads and checks the node list; sorted by id. Bad entries are reported and left out.
pub(crate) fn read(document: &Document, report: &mut Report<'_>) -> Vec<Node> {
    if document.nodes.is_empty() {
        let at = document.table("node").offset;
        report.at("nodes", at, "the node list is empty", format!("1 to {NODES_MAX} [[nodes]]"));
    }
    if let Some(table) = document.nodes.get(NODES_MAX) {
        let wrong = format!("the node list has {} nodes", document.nodes.len());
        report.at("nodes", table.offset, wrong, format!("1 to {NODES_MAX} [[nodes]]"));
    }
    unique(document, report);
    let mut nodes: Vec<Node> =
        document.nodes.iter().filter_map(|table| node(table, report)).collect();
    families(document, report);
    same_links(document, report);
    nodes.sort_by_key(|node| node.id);
    nodes
}

fn node(table: &Table, report: &mut Report<'_>) -> Option<Node> {
    let id = match table.get("id")?.value {
        Value::Number(id) => u32::try_from(id).ok()?,
        _ => return None,
    };
    let name = match table.get("name").map(|found| &found.value) {
        Some(Value::Text(name)) => name.clone(),
        _ => format!("node-{id}"),
    };
    let address = address(table, "address", report)?;
    let token_address = if table.says("token_address") {
        let token = address_of(table.get("token_address")?)?;
        if token.ip() == address.ip() {
            token
        } else {
            let span = table.get("token_address")?.span.clone().unwrap_or_default();
            let key = format!("{}.token_address", table.label);
            report.value(
                &key,
                span,
                "has another IP address than address",
                address.ip().to_string(),
            );
            return None;
        }
    } else if let Some(port) = address.port().checked_add(1) {
        SocketAddr::new(address.ip(), port)
    } else {
        let span = table.get("address")?.span.clone().unwrap_or_default();
        let key = format!("{}.address", table.label);
        let accepted = "a port up to 65534, or a token_address of its own";
        report.value(&key, span, "leaves no port for the token after it", accepted);
        return None;
    };
    let votes = match table.get("votes").map(|found| &found.value) {
        Some(Value::Number(votes)) => *votes as u32,
        _ => 1,
    };
    Some(Node { id, name, address, token_address, votes, links: links(table, report)? })
}

/// The links beyond the first. The token goes to the port after each address.
fn links(table: &Table, report: &mut Report<'_>) -> Option<Vec<Link>> {
    let Some(Found { value: Value::Addresses(addresses), span }) = table.get("links") else {
        return Some(Vec::new());
    };
    let mut links = Vec::new();
    for address in addresses {
        let wrong = match (unusable(address.ip()), address.port().checked_add(1)) {
            (Some(wrong), _) => format!("{address} {wrong}"),
            (None, None) => format!("{address} leaves no port for the token after it"),
            (None, Some(port)) => {
                let token_address = SocketAddr::new(address.ip(), port);
                links.push(Link { address: *address, token_address });
                continue;
            }
        };
        let key = format!("{}.links", table.label);
        report.value(
            &key,
            span.clone().unwrap_or_default(),
            wrong,
            "the node's own unicast addresses",
        );
        return None;
    }
    Some(links)
}

/// Every node has the links that the first one has.
fn same_links(document: &Document, report: &mut Report<'_>) {
    let count = |table: &Table| match table.get("links").map(|found| &found.value) {
        Some(Value::Addresses(links)) => Some(links.len()),
        _ => None,
    };
    let Some((first, expected)) = document.nodes.iter().find_map(|t| Some((&t.label, count(t)?)))
    else {
        return;
    };
    for table in &document.nodes {
        if let Some(links) = count(table).filter(|links| *links != expected) {
            let span = table.get("links").and_then(|found| found.span.clone());
            let wrong = format!("has {links} further links, but {first} has {expected}");
            let (key, accepted) = (format!("{}.links", table.label), "as many on every node");
            match span {
                Some(span) => report.value(&key, span, wrong, accepted),
                None => report.at(&key, table.offset, wrong, accepted),
            }
        }
    }
}

/// An address datagrams can be sent to.
fn address(table: &Table, name: &'static str, report: &mut Report<'_>) -> Option<SocketAddr> {
    let found = table.get(name)?;
    let address = address_of(found)?;
    let Some(wrong) = unusable(address.ip()) else { return Some(address) };
    let key = format!("{}.{name}", table.label);
    let span = found.span.clone().unwrap_or_default();
    report.value(&key, span, wrong, "the node's own unicast address");
    None
}

/// Why datagrams cannot be sent to an address.
fn unusable(ip: IpAddr) -> Option<&'static str> {
    if ip.is_unspecified() {
        Some("is the unspecified address, which nobody can send to")
    } else if ip.is_multicast() {
        Some("is a multicast address")
    } else if ip == IpAddr::from([255, 255, 255, 255]) {
        Some("is the broadcast address")
    } else {
        None
    }
}

fn address_of(found: &Found) -> Option<SocketAddr> {
    match found.value {
        Value::Address(address) => Some(address),
        _ => None,
    }
}

/// Ids, names and sockets may not appear twice.
fn unique(document: &Document, report: &mut Report<'_>) {
    let (mut ids, mut names) = (HashMap::new(), HashMap::new());
    let mut sockets: HashMap<SocketAddr, String> = HashMap::new();
    for table in &document.nodes {
        if let Some(Found { value: Value::Number(id), span: Some(span) }) = table.get("id")
            && let Some(other) = ids.insert(*id, table.label.clone())
        {
            let key = format!("{}.id", table.label);
            report.value(&key, span.clone(), format!("{other} has this id, too"), "a unique id");
        }
        if let Some(Found { value: Value::Text(name), span: Some(span) }) = table.get("name")
            && let Some(other) = names.insert(name.clone(), table.label.clone())
        {
            let key = format!("{}.name", table.label);
            let wrong = format!("{other} has this name, too");
            report.value(&key, span.clone(), wrong, "a unique name");
        }
        for (key, span, socket, implied) in sockets_of(table) {
            let user = format!("{key}{}", if implied { " (the token's port)" } else { "" });
            if let Some(other) = sockets.insert(socket, user) {
                let what = if implied { "implies token port " } else { "" };
                let wrong = format!("{what}{socket} clashes with {other}");
                report.value(&key, span, wrong, "sockets that no other node or queue has");
            }
        }
    }
}

/// The sockets of a node: key, place, socket, and whether it follows from another key.
fn sockets_of(table: &Table) -> Vec<(String, std::ops::Range<usize>, SocketAddr, bool)> {
    let place = |name: &'static str| {
        let found = table.get(name)?;
        Some((format!("{}.{name}", table.label), found.span.clone()?, address_of(found)?))
    };
    let mut sockets = Vec::new();
    if let Some((key, span, data)) = place("address") {
        sockets.push((key.clone(), span.clone(), data, false));
        if !table.says("token_address")
            && let Some(port) = data.port().checked_add(1)
        {
            sockets.push((key, span, SocketAddr::new(data.ip(), port), true));
        }
    }
    if let Some((key, span, token)) = place("token_address") {
        sockets.push((key, span, token, false));
    }
    if let Some(Found { value: Value::Addresses(links), span: Some(span) }) = table.get("links") {
        for link in links {
            let key = format!("{}.links", table.label);
            sockets.push((key.clone(), span.clone(), *link, false));
            if let Some(port) = link.port().checked_add(1) {
                sockets.push((key, span.clone(), SocketAddr::new(link.ip(), port), true));
            }
        }
    }
    sockets
}

/// One address family, and loopback addresses only among themselves.
fn families(document: &Document, report: &mut Report<'_>) {
    let addresses: Vec<_> = document
        .nodes
        .iter()
        .filter_map(|table| {
            let found = table.get("address")?;
            Some((&table.label, found.span.clone()?, address_of(found)?))
        })
        .collect();
    let Some((first_label, _, first)) = addresses.first() else { return };
    for (label, span, address) in &addresses[1..] {
        let key = format!("{label}.address");
        if address.is_ipv4() != first.is_ipv4() {
            let wrong = format!("IPv4 and IPv6 are mixed: {first_label} has {first}");
            report.value(&key, span.clone(), wrong, "addresses of one family");
        } else if address.ip().is_loopback() != first.ip().is_loopback() {
            let wrong =
                format!("a loopback address and others are mixed: {first_label} has {first}");
            report.value(&key, span.clone(), wrong, "addresses all nodes can reach");
        }
    }
}
