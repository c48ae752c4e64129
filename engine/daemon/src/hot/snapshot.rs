//! Looking at the hot thread's state: counters by name, and everything else for `status`.

use std::collections::BTreeMap;

use frame::Class;
use transport::Transport;

use super::Hot;
use crate::clock::monotonic_ns;
use crate::status::{
    Client, Engine, Gather, Group, Groups, Member, Peer, Pool, Ring, Security, Snapshot,
};

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
        Transport::counters(&self.transport, &mut |name, value| sink("transport", name, value));
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
            peers: status.peers.iter().map(|peer| self.peer(now_ns, peer)).collect(),
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

    fn peer(&self, now_ns: u64, peer: &link::PeerStatus) -> Peer {
        let known = self.running.nodes.iter().find(|node| node.id == peer.node.0);
        let drops = peer.drops.fields().filter(|(_, count)| *count > 0).collect();
        Peer {
            node: peer.node.0,
            name: known.map(|node| node.name.clone()).unwrap_or_default(),
            address: known.map(|node| node.address.to_string()).unwrap_or_default(),
            boot: peer.boot.map(|boot| format!("{boot:?}")),
            heard_ms_ago: peer.heard_ns.map(|at_ns| now_ns.saturating_sub(at_ns) / 1_000_000),
            frames: peer.opened,
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
