//! Looking at the hot thread's state: counters by name, and everything else for `status`.

use std::collections::BTreeMap;

use frame::Class;
use transport::Transport;
use transport::links::LINKS_MAX;
use transport::lossy::Lossy;

use super::Hot;
use super::driver::Driver;
use crate::clock::monotonic_ns;
use crate::status::{
    Client, Engine, Gather, Group, Groups, Member, OwnLink, Peer, PeerLink, Pool, Ring, Security,
    Snapshot,
};

/// Names of the drivers' counters, by link.
const TRANSPORTS: [&str; LINKS_MAX] = [
    "transport",
    "transport1",
    "transport2",
    "transport3",
    "transport4",
    "transport5",
    "transport6",
    "transport7",
];

impl Hot {
    /// Every counter of every layer, always in the same order: layer, name, value.
    pub(super) fn each_counter(&self, sink: &mut dyn FnMut(&'static str, &'static str, u64)) {
        let counters = self.node.counters();
        let mut layer = |name, fields: &mut dyn Iterator<Item = (&'static str, u64)>| {
            fields.for_each(|(field, value)| sink(name, field, value));
        };
        layer("engine", &mut self.counters.fields());
        layer("node", &mut counters.node.fields());
        layer("totem", &mut counters.totem.fields());
        layer("groups", &mut counters.groups.fields());
        layer("link", &mut counters.link.fields());
        layer("sessions", &mut self.server.counters().fields());
        for (link, transport) in TRANSPORTS.iter().zip(self.transport.iter()) {
            Transport::counters(transport, &mut |name, value| sink(link, name, value));
        }
        if self.running.link_count() > 1 {
            counters.paths.fields().for_each(|(name, value)| sink("links", name, value));
            let links = self.transport.counters();
            sink("links", "copies", links.copies);
            sink("links", "copies_failed", links.copies_failed);
        }
        let pool = self.pool.stats();
        sink("pool", "small_free", pool.small_free.into());
        sink("pool", "large_free", pool.large_free.into());
        sink("pool", "lent", pool.lent.into());
        sink("engine", "events_lost", self.channel.traces_lost());
    }

    /// Everything about this moment.
    pub(super) fn snapshot(&self, now_ns: u64) -> Snapshot {
        let status = self.node.status();
        let mut counters: BTreeMap<String, BTreeMap<&'static str, u64>> = BTreeMap::new();
        self.each_counter(&mut |layer, name, value| {
            counters.entry(layer.to_owned()).or_default().insert(name, value);
        });
        Snapshot {
            ring: ring(&status.totem),
            peers: status.peers.iter().map(|peer| self.peer(now_ns, peer, &status.links)).collect(),
            links: self.links(status.links_in_use),
            security: Security {
                encryption: if status.security.provider.is_some() { "aes-256-gcm" } else { "off" },
                provider: status.security.provider.map(|provider| format!("{provider:?}")),
                sending_epoch: status.security.sending_epoch,
            },
            quorum: super::quorum::status(&self.node, now_ns),
            groups: groups(&status.groups),
            clients: self.clients(),
            pool: self.pool_status(),
            engine: self.engine_status(),
            counters,
        }
    }

    /// This node's end of every link.
    fn links(&self, in_use: u8) -> Vec<OwnLink> {
        let priorities = &self.running.transport.link_priorities;
        let own = |(number, transport): (usize, &Lossy<Driver>)| OwnLink {
            number: number as u8,
            kind: self.running.driver(number).name(),
            device: transport.inner().device().map(ToOwned::to_owned),
            address: self.running.my_node().link(number).map(|link| link.address.to_string()),
            priority: priorities.get(number).copied().unwrap_or(1),
            in_use: in_use >> number & 1 == 1,
            datagram_bytes: if transport.is_silent() { 0 } else { transport.caps().datagram_bytes },
            multicast: !transport.is_silent() && transport.caps().multicast,
        };
        self.transport.iter().enumerate().map(own).collect()
    }

    /// Every link to a peer. With a single one nothing is known of it but that something came.
    fn peer_links(&self, now_ns: u64, node: u32, states: &[node::LinkState]) -> Vec<PeerLink> {
        let known = self.running.nodes.iter().find(|known| known.id == node);
        let link = |state: &node::LinkState| PeerLink {
            number: state.link,
            address: known
                .and_then(|node| node.link(state.link.into()))
                .map(|link| link.address.to_string()),
            state: if state.up { "up" } else { "down" },
            cause: state.cause.map(link::paths::DownCause::name),
            hears: state.hears,
            heard_by: state.heard_by,
            used: state.used,
            since_ms: now_ns.saturating_sub(state.since_ns) / 1_000_000,
            flaps: state.flaps,
        };
        states.iter().filter(|state| state.node.0 == node).map(link).collect()
    }

    fn peer(&self, now_ns: u64, peer: &link::PeerStatus, links: &[node::LinkState]) -> Peer {
        let known = self.running.nodes.iter().find(|node| node.id == peer.node.0);
        let drops = peer.drops.fields().filter(|(_, count)| *count > 0).collect();
        Peer {
            node: peer.node.0,
            name: known.map(|node| node.name.clone()).unwrap_or_default(),
            address: known.map(|node| node.address.to_string()).unwrap_or_default(),
            boot: peer.boot.map(|boot| format!("{boot:?}")),
            heard_ms_ago: peer.heard_ns.map(|at_ns| now_ns.saturating_sub(at_ns) / 1_000_000),
            frames: peer.opened,
            links: self.peer_links(now_ns, peer.node.0, links),
            drops,
        }
    }

    fn clients(&self) -> Vec<Client> {
        let client = |session: session::SessionStatus| Client {
            session: session.session,
            pid: session.pid,
            uid: session.uid,
            gid: session.gid,
            groups: session.groups,
            shared: session.shared,
            on_delivery_ring: session.on_delivery_ring,
            backlog_bytes: session.backlog_bytes,
            submitted_bytes: session.submitted_bytes,
        };
        self.server.sessions().filter(|session| !session.evicted).map(client).collect()
    }

    fn pool_status(&self) -> Pool {
        let stats = self.pool.stats();
        Pool {
            region_bytes: self.pool.region_bytes(),
            small_slot_bytes: self.pool.slot_bytes(Class::Small),
            small_free: stats.small_free,
            small_total: stats.small_total,
            large_slot_bytes: self.pool.slot_bytes(Class::Large),
            large_free: stats.large_free,
            large_total: stats.large_total,
            lent: stats.lent,
        }
    }

    fn engine_status(&self) -> Engine {
        let caps = self.transport.caps();
        let timer = self.node.next_timeout();
        let now_ns = monotonic_ns();
        Engine {
            idle: match self.running.engine.idle {
                schema::Idle::Busy => "busy",
                schema::Idle::Adaptive => "adaptive",
                schema::Idle::Park => "park",
            },
            next_timer: timer.map(|(_, reason)| format!("{reason:?}")),
            next_timer_us: timer.map(|(at_ns, _)| at_ns.saturating_sub(now_ns) / 1000),
            datagram_bytes: caps.datagram_bytes,
            multicast: caps.multicast,
        }
    }
}

fn ring(status: &totem::Status) -> Ring {
    Ring {
        state: format!("{:?}", status.state).to_lowercase(),
        seq: status.ring.seq,
        rep: status.ring.rep.0,
        members: status.members.iter().map(|node| node.0).collect(),
        frame_seq: status.seq,
        aru: status.aru,
        stable: status.stable,
        delivered: status.delivered,
        personal_window_bytes: status.personal_window_bytes,
        global_window_bytes: status.global_window_bytes,
        free_bytes: status.free_bytes,
        token_timeout_us: status.token_timeout_us,
        rotation_p50_us: status.rotation_p50_us,
        rotation_p999_us: status.rotation_p999_us,
        holding: status.holding,
        resting: status.resting,
        last_gather: Gather {
            cause: format!("{:?}", status.last_gather.cause),
            peer: status.last_gather.peer,
            last_seen_us: status.last_gather.last_seen_us,
        },
        persisted: status.persisted,
    }
}

fn groups(status: &groups::Status) -> Groups {
    let member = |id: &wire::MemberId| Member { node: id.node.0, pid: id.pid, session: id.session };
    let group = |group: &groups::GroupStatus| Group {
        name: group.name.clone(),
        members: group.members.iter().map(member).collect(),
    };
    Groups {
        synced: status.synced,
        requests_waiting: status.requests_waiting,
        list: status.groups.iter().map(group).collect(),
    }
}
