//! What must hold of everything that was delivered (Moser et al. 1994, sec. 3).

use std::collections::{BTreeMap, HashMap, HashSet};

use totem::ConfigurationKind;
use wire::RingId;

use super::{Net, Told};

/// One problem, as text.
pub type Problem = String;

/// Checks all histories; gives the first problem found.
pub fn check(net: &Net) -> Result<(), Problem> {
    let histories = net.histories();
    let mut frames: HashMap<(RingId, u64), (u32, Vec<u8>)> = HashMap::new();
    for (_, told) in &histories {
        for item in *told {
            if let Told::Message { ring, seq, origin, body, .. } = item {
                frames.entry((*ring, *seq)).or_insert((*origin, body.clone()));
            }
        }
    }
    for (id, told) in &histories {
        one_history(*id, told, &frames)?;
    }
    same_between_views(&histories)?;
    views_agree(&histories)?;
    self_delivery(net)?;
    safe_everywhere(net)
}

/// Who took a message in and lives delivers it.
fn self_delivery(net: &Net) -> Result<(), Problem> {
    for node in net.nodes.values().filter(|node| !node.left) {
        let got: HashSet<Vec<u8>> = net.bodies(node.id).into_iter().collect();
        let waiting = node.queue.waiting.len();
        let taken = node.bodies.len() - waiting;
        if let Some(lost) = node.bodies.iter().take(taken).find(|body| !got.contains(*body)) {
            return Err(format!("node {} lost its own message {:?}", node.id, &lost[..8]));
        }
    }
    Ok(())
}

/// What one delivered as safe, every member of that configuration that still lives delivered too.
fn safe_everywhere(net: &Net) -> Result<(), Problem> {
    let living: HashMap<u32, HashSet<Vec<u8>>> =
        net.nodes.keys().map(|id| (*id, net.bodies(*id).into_iter().collect())).collect();
    let knows = |id: u32, name: RingId| {
        net.nodes[&id].told.iter().any(|told| {
            matches!(told, Told::Configuration { kind: ConfigurationKind::Regular, ring, .. } if *ring == name)
        })
    };
    for (id, told) in net.histories() {
        let mut members: Vec<u32> = Vec::new();
        for item in told {
            match item {
                Told::Configuration { members: now, .. } => members = now.clone(),
                Told::Message { body, ring, seq, .. } if net.safe.contains(body) => {
                    for other in &members {
                        let missing = living.get(other).is_some_and(|got| !got.contains(body));
                        // A later boot was never a member of that ring.
                        if missing && knows(*other, *ring) && !net.nodes[other].left {
                            return Err(format!("{ring} {seq} safe at {id}, not at {other}"));
                        }
                    }
                }
                Told::Message { .. } => {}
            }
        }
    }
    Ok(())
}

fn one_history(
    id: u32,
    told: &[Told],
    frames: &HashMap<(RingId, u64), (u32, Vec<u8>)>,
) -> Result<(), Problem> {
    let mut seen = HashSet::new();
    let mut last: BTreeMap<RingId, u64> = BTreeMap::new();
    let mut regular: Option<(RingId, Vec<u32>)> = None;
    let mut transitional: Option<Vec<u32>> = None;
    let mut last_ring_seq = 0;
    for item in told {
        match item {
            Told::Message { ring, seq, origin, body, transitional: in_transit } => {
                if !seen.insert(body.clone()) {
                    return Err(format!("node {id}: {ring} {seq} delivered twice"));
                }
                if frames[&(*ring, *seq)] != (*origin, body.clone()) {
                    return Err(format!("node {id}: {ring} {seq} differs from another node's"));
                }
                let before = last.insert(*ring, *seq).unwrap_or(0);
                if before >= *seq {
                    return Err(format!("node {id}: {ring} {seq} after {before}"));
                }
                // Only the ring's own frames (Recovery, a leave) are passed over silently.
                let missed = (before + 1..*seq).find(|seq| frames.contains_key(&(*ring, *seq)));
                if let Some(missed) = missed.filter(|_| !in_transit) {
                    return Err(format!("node {id}: {ring} {missed} missed before {seq}"));
                }
                let Some((in_force, members)) = &regular else {
                    return Err(format!("node {id}: {ring} {seq} before any configuration"));
                };
                if in_force != ring || !members.contains(origin) {
                    return Err(format!("node {id}: {ring} {seq} of {origin} in {in_force}"));
                }
                if transitional.is_some() != *in_transit {
                    return Err(format!("node {id}: {ring} {seq} wrong kind of configuration"));
                }
            }
            Told::Configuration { kind: ConfigurationKind::Transitional, members, .. } => {
                if transitional.replace(members.clone()).is_some() {
                    return Err(format!("node {id}: two transitional configurations in a row"));
                }
                if !members.contains(&id) {
                    return Err(format!("node {id}: not in its transitional configuration"));
                }
            }
            Told::Configuration { kind: ConfigurationKind::Regular, ring, members } => {
                if ring.seq <= last_ring_seq || !members.contains(&id) {
                    return Err(format!("node {id}: ring {ring} after {last_ring_seq}"));
                }
                if regular.is_some() && transitional.is_none() {
                    return Err(format!("node {id}: no transitional configuration before {ring}"));
                }
                last_ring_seq = ring.seq;
                transitional = None;
                regular = Some((*ring, members.clone()));
            }
        }
    }
    Ok(())
}

type Stretch = Vec<Vec<u8>>;

/// Nodes that go together from one configuration to the next delivered the same in between.
fn same_between_views(histories: &[(u32, &[Told])]) -> Result<(), Problem> {
    // (from, to) -> what was delivered between; a transitional configuration is named by its
    // members.
    type Key = (String, String);
    let mut stretches: HashMap<Key, (u32, Stretch)> = HashMap::new();
    for (id, told) in histories {
        let mut from = String::new();
        let mut between = Vec::new();
        let mut regular = None;
        for item in *told {
            match item {
                Told::Message { body, .. } => between.push(body.clone()),
                Told::Configuration { kind, ring, members } => {
                    let name = match kind {
                        ConfigurationKind::Regular => format!("{ring}"),
                        ConfigurationKind::Transitional => {
                            format!("{regular:?} to {ring} {members:?}")
                        }
                    };
                    if *kind == ConfigurationKind::Regular {
                        regular = Some(*ring);
                    }
                    let key = (from.clone(), name.clone());
                    let mine = std::mem::take(&mut between);
                    // A first configuration follows nothing.
                    if !from.is_empty() {
                        let (other, theirs) =
                            stretches.entry(key).or_insert_with(|| (*id, mine.clone()));
                        if *theirs != mine {
                            return Err(format!(
                                "nodes {other} and {id} delivered {} and {} frames from {from} to {name}",
                                theirs.len(),
                                mine.len()
                            ));
                        }
                    }
                    from = name;
                }
            }
        }
    }
    Ok(())
}

/// A ring has the same members everywhere.
fn views_agree(histories: &[(u32, &[Told])]) -> Result<(), Problem> {
    let mut rings: HashMap<RingId, Vec<u32>> = HashMap::new();
    for (id, told) in histories {
        for item in *told {
            if let Told::Configuration { kind: ConfigurationKind::Regular, ring, members } = item {
                let known = rings.entry(*ring).or_insert_with(|| members.clone());
                if known != members {
                    return Err(format!("node {id}: ring {ring} has other members elsewhere"));
                }
            }
        }
    }
    Ok(())
}
