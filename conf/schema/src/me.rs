//! Which entry of the node list is this machine's.

use std::net::IpAddr;

use crate::host::Host;
use crate::kind::Value;
use crate::model::Node;
use crate::problem::Report;
use crate::reader::{Document, Found};

/// The id of this node; 0 where it is not known, which is reported if a `host` is there to be asked.
pub(crate) fn read(
    document: &Document,
    nodes: &[Node],
    host: Option<&dyn Host>,
    report: &mut Report<'_>,
) -> u32 {
    match (document.table("node").get("id"), host) {
        (Some(Found { value: Value::Number(id), span }), _) => {
            let id = u32::try_from(*id).unwrap_or_default();
            if !nodes.is_empty() && !nodes.iter().any(|node| node.id == id) {
                let wrong = "is not in the node list";
                let span = span.clone().unwrap_or_default();
                let known: Vec<_> = nodes.iter().map(|node| node.id.to_string()).collect();
                report.value("node.id", span, wrong, format!("one of {}", known.join(", ")));
            }
            id
        }
        // With a node list that is wrong, what is found in it says nothing.
        (Some(Found { value: Value::Word(_), span }), Some(host)) if report.list.is_empty() => {
            find(nodes, host).unwrap_or_else(|wrong| {
                let accepted = "exactly one node with an address or the name of this machine";
                let span = span.clone().unwrap_or_default();
                report.at("node.id", span.start, wrong, accepted);
                0
            })
        }
        _ => 0,
    }
}

/// The node with an address of this machine; where that is not exactly one, the one among them (or among all)
/// with this machine's name.
fn find(nodes: &[Node], host: &dyn Host) -> Result<u32, String> {
    let local = host.addresses();
    let is_local = |ip: IpAddr| local.contains(&ip);
    let here: Vec<&Node> = nodes
        .iter()
        .filter(|node| {
            is_local(node.address.ip()) || node.links.iter().any(|l| is_local(l.address.ip()))
        })
        .collect();
    if let [node] = here.as_slice() {
        return Ok(node.id);
    }
    let name = host.name();
    let among = if here.is_empty() { nodes.iter().collect() } else { here };
    if let Some(node) = named(&among, &name) {
        return Ok(node.id);
    }
    let ids: Vec<_> = among.iter().map(|node| node.id.to_string()).collect();
    Err(match ids.len() == nodes.len() && !among.iter().any(|node| is_local(node.address.ip())) {
        true => format!("no node of the list has an address of this machine or its name ({name})"),
        false => format!(
            "nodes {} all have an address of this machine, and none its name ({name})",
            ids.join(", ")
        ),
    })
}

/// The node with this name: as it stands, without its domain, or with the domains of both left out.
fn named<'n>(nodes: &[&'n Node], name: &str) -> Option<&'n Node> {
    let short = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    let only = |matches: &dyn Fn(&str) -> bool| {
        let mut found = nodes.iter().filter(|node| matches(&node.name));
        let first = found.next()?;
        if found.next().is_some() { None } else { Some(*first) }
    };
    only(&|known| known == name)
        .or_else(|| only(&|known| known == short(name)))
        .or_else(|| only(&|known| short(known) == short(name)))
}
