//! Taking over a new configuration while the engine runs, at its place in the total order.

use groups::cfg::Event;
use node::Reconfiguration;
use schema::Config;
use transport::lossy::Lossy;
use wire::cfg::ChangeId;
use wire::{NodeId, RingId};

use super::Hot;
use super::idle::Strategy;
use super::setup::{group_limits, links, token_timeout};
use crate::channel::ToControl;

/// What the control thread found good, until it is committed or given up.
pub(crate) struct Takeover {
    /// Which change.
    pub(crate) change: ChangeId,
    /// The configuration in use, with everything in it that changes.
    pub(crate) config: Config,
    /// The cluster key, if it is a new one.
    pub(crate) new_key: Option<[u8; link::KEY_BYTES]>,
}

/// Where the transport knows the nodes.
#[derive(Default)]
pub(super) struct Positions {
    /// By node.
    by_node: Vec<(NodeId, u16)>,
    /// By position; none where a node was taken out.
    by_position: Vec<Option<NodeId>>,
}

impl Positions {
    /// The nodes in the order in which the transport was given them.
    pub(super) fn new(nodes: impl Iterator<Item = NodeId>) -> Self {
        let mut positions = Self::default();
        nodes.enumerate().for_each(|(at, node)| positions.insert(node, at as u16));
        positions
    }

    #[inline]
    pub(super) fn of(&self, node: NodeId) -> Option<u16> {
        let at = self.by_node.binary_search_by_key(&node, |(node, _)| *node).ok()?;
        Some(self.by_node[at].1)
    }

    pub(super) fn node(&self, position: u16) -> Option<NodeId> {
        self.by_position.get(usize::from(position)).copied().flatten()
    }

    fn insert(&mut self, node: NodeId, position: u16) {
        let at = usize::from(position);
        if at >= self.by_position.len() {
            self.by_position.resize(at + 1, None);
        }
        self.by_position[at] = Some(node);
        if let Err(at) = self.by_node.binary_search_by_key(&node, |(node, _)| *node) {
            self.by_node.insert(at, (node, position));
        }
    }

    fn remove(&mut self, node: NodeId) -> Option<u16> {
        let at = self.by_node.binary_search_by_key(&node, |(node, _)| *node).ok()?;
        let (_, position) = self.by_node.remove(at);
        self.by_position[usize::from(position)] = None;
        Some(position)
    }

    fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.by_node.iter().map(|(node, _)| *node)
    }
}

impl Hot {
    /// Something happened to a change of the configuration.
    pub(super) fn change(&mut self, now_ns: u64, event: Event) {
        match &event {
            Event::Committed { change, at } => {
                let takeover = self.takeover.take_if(|takeover| takeover.change == *change);
                if let Some(takeover) = takeover
                    && let Err(why) = self.take_over(now_ns, at.ring, *takeover)
                {
                    self.channel.tell_control(ToControl::NotTakenOver { why });
                }
            }
            Event::Aborted { change, .. } => {
                self.takeover.take_if(|takeover| takeover.change == *change);
            }
            // Only what the answer has to add is of interest, and only to the node that asked.
            Event::Answered { change, answer, .. }
                if change.node.0 != self.plan.config.me || answer.text.is_empty() =>
            {
                return;
            }
            Event::Check { .. }
            | Event::Answered { .. }
            | Event::Newer { .. }
            | Event::Killed { .. } => {}
        }
        self.channel.tell_control(ToControl::Change(event));
    }

    fn take_over(&mut self, now_ns: u64, ring: RingId, takeover: Takeover) -> Result<(), String> {
        let Takeover { config, new_key, .. } = takeover;
        let said = |error: &dyn std::fmt::Display| error.to_string();
        // Those who come can be sent to before anybody speaks of them, those who go until nobody does.
        for node in &config.nodes {
            if self.positions.of(NodeId(node.id)).is_none() {
                let links = self.transport.iter_mut().map(Lossy::inner_mut).enumerate();
                let mut added = 0;
                for (link, driver) in links.filter(|(_, driver)| driver.is_there()) {
                    // Every link was given the same nodes in the same order.
                    added = driver.add_node(node, link)?;
                }
                self.positions.insert(NodeId(node.id), added);
                match self.roster.get_mut(usize::from(added)) {
                    Some(place) => place.clone_from(node),
                    None => self.roster.push(node.clone()),
                }
            }
        }
        let reconfiguration = Reconfiguration {
            ring,
            nodes: config.nodes.iter().map(|node| NodeId(node.id)).collect(),
            token_timeout: token_timeout(&config),
            consensus_us: config.totem.consensus_timeout_us,
            config_version: config.config_version,
            config_hash: config.shared_hash(),
            limits: group_limits(&config),
            links: links(&config),
            quorum: super::quorum::options(&config),
        };
        self.node.reconfigure(now_ns, reconfiguration).map_err(|error| said(&error))?;
        let listed = |node: &NodeId| config.nodes.iter().any(|listed| listed.id == node.0);
        let gone: Vec<NodeId> = self.positions.nodes().filter(|node| !listed(node)).collect();
        for node in gone {
            if let Some(position) = self.positions.remove(node) {
                for transport in self.transport.iter_mut() {
                    transport.inner_mut().remove_node(position);
                }
            }
        }
        if let Some(key) = new_key {
            let rolled = self.node.rotate_key(now_ns, &key, link::epoch_of(&key));
            rolled.map_err(|error| said(&error))?;
        }
        self.strategy = Strategy::new(config.engine.idle, config.engine.spin_ns);
        self.server.set_limits(session::ReaderLimits {
            lag_slots: config.ipc.lag_slots,
            backlog_bytes_max: config.ipc.spill_bytes,
            backlog_bytes_total_max: config.ipc.spill_bytes_total,
            lease_ns: config.ipc.lease_ns,
        });
        self.running = config;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_stay_when_nodes_come_and_go() {
        let mut positions = Positions::new([3, 5, 9].map(NodeId).into_iter());
        assert_eq!((positions.of(NodeId(5)), positions.node(2)), (Some(1), Some(NodeId(9))));
        positions.insert(NodeId(4), 3);
        assert_eq!(positions.remove(NodeId(5)), Some(1));
        assert_eq!((positions.of(NodeId(5)), positions.node(1)), (None, None));
        assert_eq!((positions.of(NodeId(4)), positions.of(NodeId(9))), (Some(3), Some(2)));
        positions.insert(NodeId(5), 1);
        assert_eq!(positions.nodes().collect::<Vec<_>>(), [3, 4, 5, 9].map(NodeId));
        assert_eq!(positions.node(7), None);
    }
}
