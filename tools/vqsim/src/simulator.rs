//! Partitions, the nodes in them, and what the nodes tell each other.

use std::fmt;

use groups::votequorum::{Event, Options, Problem, Votequorum};
use wire::control::{Control, parse};
use wire::{NodeId, RingId};

/// How many partitions there are.
pub const PARTITIONS: usize = 16;

/// By how much ring numbers grow, as corosync-vqsim has it.
const RING_STEP: u64 = 4;

/// Name of the device that nodes are given.
const DEVICE: &[u8] = b"VQsim_qdevice";

/// A node of the simulation.
struct Node {
    id: u32,
    machine: Votequorum,
    /// What it said last: whether it has a quorum, in which ring, with whom.
    last: Option<(bool, RingId, Vec<NodeId>)>,
    /// Whether its device is to vote.
    device: bool,
    /// When the device polls next.
    poll_ns: Option<u64>,
}

/// A part of the network.
struct Partition {
    /// Its ring: the number grows with every change, as the representative's does.
    ring: RingId,
    /// In the order in which they came.
    nodes: Vec<Node>,
}

/// The simulation.
pub struct Simulator {
    options: Options,
    partitions: Vec<Partition>,
    now_ns: u64,
    /// How often a device polls.
    poll_every_ns: u64,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((quorate, ring, members)) = &self.last else {
            return write!(f, "{}: q=UNINITIALIZED", self.id);
        };
        let (quorate, rep, seq) = (u8::from(*quorate), ring.rep.0, ring.seq);
        write!(f, "{}: q={quorate} ring=[{rep:x}.{seq:x}] nodes=[", self.id)?;
        for (index, member) in members.iter().enumerate() {
            write!(f, "{}{member}", if index > 0 { " " } else { "" })?;
        }
        write!(f, "]")
    }
}

impl Simulator {
    /// Empty partitions.
    ///
    /// # Errors
    /// When the options exclude each other.
    pub fn new(options: Options) -> Result<Self, Problem> {
        Votequorum::new(options.clone(), NodeId(1), 0)?;
        let empty = |number: usize| Partition {
            ring: RingId { seq: 0, rep: NodeId(1000 + number as u32) },
            nodes: Vec::new(),
        };
        let device = options.device.clone().unwrap_or_default();
        Ok(Self {
            partitions: (0..PARTITIONS).map(empty).collect(),
            now_ns: 0,
            poll_every_ns: u64::from(device.timeout_ms) * 1_000_000 / 2,
            options,
        })
    }

    /// The nodes that the configuration names.
    pub fn configured(&self) -> Vec<u32> {
        self.options.nodes.iter().map(|(node, _)| node.0).collect()
    }

    /// In which partition a node is.
    pub fn find(&self, id: u32) -> Option<usize> {
        self.partitions.iter().position(|part| part.nodes.iter().any(|node| node.id == id))
    }

    /// Starts a node, which joins the others of its partition; `false` if it runs.
    pub fn start(&mut self, id: u32, partition: usize) -> bool {
        if self.find(id).is_some() {
            return false;
        }
        let Ok((mut machine, _)) = Votequorum::new(self.options.clone(), NodeId(id), 0) else {
            return false;
        };
        let alone = RingId { seq: 1, rep: NodeId(id) };
        machine.sync_start(self.now_ns, alone, &[NodeId(id)], true);
        let node = Node { id, machine, last: None, device: false, poll_ns: None };
        let mut part = Partition { ring: alone, nodes: vec![node] };
        settle(&mut part);
        end_sync(&mut part);
        let part = &mut part.nodes;
        self.partitions[partition].nodes.append(part);
        self.reform(partition, true);
        true
    }

    /// Takes a node away without a word; the rest of its partition goes on. Its partition, if it ran.
    pub fn stop(&mut self, id: u32) -> Option<usize> {
        let partition = self.find(id)?;
        self.partitions[partition].nodes.retain(|node| node.id != id);
        self.reform(partition, true);
        Some(partition)
    }

    /// Puts nodes into another partition; those that are not there are returned. Then call
    /// [`Simulator::reform_all`].
    pub fn place(&mut self, nodes: &[u32], partition: usize) -> Vec<u32> {
        let mut missing = Vec::new();
        for id in nodes {
            let Some(from) = self.find(*id) else {
                missing.push(*id);
                continue;
            };
            let list = &mut self.partitions[from].nodes;
            if let Some(at) = list.iter().position(|node| node.id == *id) {
                let node = list.remove(at);
                self.partitions[partition].nodes.push(node);
            }
        }
        missing
    }

    /// Puts all nodes of one partition into another. Then call [`Simulator::reform_all`].
    pub fn join(&mut self, to: usize, from: usize) {
        if to != from {
            let mut nodes = std::mem::take(&mut self.partitions[from].nodes);
            self.partitions[to].nodes.append(&mut nodes);
        }
    }

    /// Every partition forms its ring anew.
    pub fn reform_all(&mut self, new_ring: bool) {
        for partition in 0..PARTITIONS {
            self.reform(partition, new_ring);
        }
    }

    fn reform(&mut self, partition: usize, new_ring: bool) {
        let now_ns = self.now_ns;
        let part = &mut self.partitions[partition];
        if new_ring {
            part.ring.seq += RING_STEP;
        }
        let members: Vec<NodeId> = part.nodes.iter().map(|node| NodeId(node.id)).collect();
        if let Some(first) = members.first() {
            part.ring.rep = *first;
        }
        for node in &mut part.nodes {
            // Nobody's lease ends here: a step takes no time.
            node.machine.sync_start(now_ns, part.ring, &members, true);
        }
        settle(part);
        // A device judges the new ring before it comes into force.
        for node in part.nodes.iter_mut().filter(|node| node.machine.waits_for_device()) {
            // It is registered, and the ring is the present one.
            let _ = node.machine.device_poll(now_ns, DEVICE, node.device, part.ring);
        }
        settle(part);
        end_sync(part);
    }

    /// Gives a node's device a vote, or takes it away. `false` if there is no such node, or it may have
    /// none.
    pub fn set_device(&mut self, id: u32, votes: bool) -> bool {
        let Some(partition) = self.find(id) else { return false };
        let (now_ns, poll_every_ns) = (self.now_ns, self.poll_every_ns);
        let part = &mut self.partitions[partition];
        let register = |node: &mut Node| node.machine.device_register(DEVICE);
        let Some(node) = part.nodes.iter_mut().find(|node| node.id == id) else { return false };
        if votes && register(node).is_err() {
            return false;
        }
        settle(part);
        let ring = part.ring;
        let Some(node) = part.nodes.iter_mut().find(|node| node.id == id) else { return false };
        let polled = node.machine.device_poll(now_ns, DEVICE, votes, ring).is_ok();
        node.device = votes && polled;
        node.poll_ns = node.device.then(|| now_ns.saturating_add(poll_every_ns));
        settle(part);
        polled
    }

    /// Takes every node away that has no quorum while another has one; returns where and who.
    pub fn fence(&mut self) -> Vec<(usize, u32)> {
        let quorate = |node: &Node| node.machine.is_quorate();
        if !self.partitions.iter().flat_map(|part| &part.nodes).any(quorate) {
            return Vec::new();
        }
        let mut fenced = Vec::new();
        for partition in 0..PARTITIONS {
            let nodes = &mut self.partitions[partition].nodes;
            let before = fenced.len();
            fenced.extend(nodes.iter().filter(|n| !quorate(n)).map(|n| (partition, n.id)));
            nodes.retain(quorate);
            if fenced.len() > before {
                self.reform(partition, true);
            }
        }
        fenced
    }

    /// Lets time pass: windows end, devices poll.
    pub fn advance(&mut self, now_ns: u64) {
        loop {
            let nodes = self.partitions.iter().flat_map(|part| &part.nodes);
            let due = nodes.flat_map(|node| {
                let timer = node.machine.next_timeout().map(|(at, _)| at);
                timer.into_iter().chain(node.poll_ns)
            });
            let Some(at_ns) = due.min().filter(|at| *at <= now_ns) else { break };
            self.now_ns = self.now_ns.max(at_ns);
            self.fire();
        }
        self.now_ns = self.now_ns.max(now_ns);
    }

    fn fire(&mut self) {
        let (now_ns, every_ns) = (self.now_ns, self.poll_every_ns.max(1));
        for part in &mut self.partitions {
            for node in &mut part.nodes {
                if node.poll_ns.is_some_and(|at| at <= now_ns) {
                    node.poll_ns = Some(now_ns + every_ns);
                    let _ = node.machine.device_poll(now_ns, DEVICE, node.device, part.ring);
                }
                node.machine.timeout(now_ns);
            }
            settle(part);
        }
    }

    /// What every node said last, one line each.
    pub fn states(&self) -> Vec<String> {
        let lines = |(number, part): (usize, &Partition)| -> Vec<String> {
            part.nodes.iter().map(|node| format!("{number}:{node}")).collect()
        };
        self.partitions.iter().enumerate().flat_map(lines).collect()
    }
}

fn end_sync(part: &mut Partition) {
    part.nodes.iter_mut().for_each(|node| node.machine.sync_end());
    settle(part);
}

/// Hands messages round in one order until nobody has any left, and notes what the nodes say.
fn settle(part: &mut Partition) {
    loop {
        let next =
            part.nodes.iter_mut().find_map(|node| Some((node.id, node.machine.poll_message()?)));
        let Some((origin, body)) = next else { break };
        if let Ok(Control::Quorum(message)) = parse(&body) {
            part.nodes.iter_mut().for_each(|node| node.machine.deliver(NodeId(origin), &message));
        }
    }
    for node in &mut part.nodes {
        while let Some(event) = node.machine.poll_event() {
            if let Event::Quorum { quorate, ring, members, .. } = event {
                node.last = Some((quorate, ring, members));
            }
        }
    }
}
