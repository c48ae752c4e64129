//! Events of the connection manager, and what each asks for.

use rdma_sys::rdma_cm_event_type as event;

use crate::cm::CmEvent;
use crate::hello::Purpose;
use crate::peer::{Connection, Knock, State};
use crate::transport::VerbsTransport;

/// Pause between two knocks at a peer to whom there is no way.
const KNOCK_NS: u64 = 100_000_000;

impl VerbsTransport {
    /// Whose identifier this is, and for what; knocks are lane 2.
    fn whose(&self, id: usize) -> Option<(u16, usize)> {
        self.peers.iter().enumerate().find_map(|(at, peer)| {
            let is_it =
                |connection: &Connection| connection.id.as_ref().is_some_and(|i| i.key() == id);
            let lane = peer.connections.iter().position(is_it);
            let knock = matches!(&peer.knock, Knock::Made { id: knock, .. } if knock.key() == id);
            Some((at as u16, lane.or(knock.then_some(2))?))
        })
    }

    /// Does what an event of the connection manager asks for.
    pub(crate) fn connection_event(&mut self, told: CmEvent, now_ns: u64) {
        if let Some(request) = told.request {
            self.requested(request, told.hello, now_ns);
            return;
        }
        match told.kind {
            event::RDMA_CM_EVENT_DEVICE_REMOVAL => {
                self.lost = true;
                return;
            }
            event::RDMA_CM_EVENT_MULTICAST_JOIN => {
                let Some((device, group)) = self.device.as_mut().zip(told.group) else { return };
                match device.joined(group, self.config.gid_index) {
                    Ok(()) => self.counters.groups_joined += 1,
                    Err(_) => self.rejoin(now_ns),
                }
                return;
            }
            event::RDMA_CM_EVENT_MULTICAST_ERROR => {
                self.rejoin(now_ns);
                return;
            }
            _ => {}
        }
        let Some((at, lane)) = self.whose(told.id) else { return };
        let ok = told.status == 0;
        if ok && told.kind == event::RDMA_CM_EVENT_ADDR_RESOLVED {
            self.peers[usize::from(at)].unrouted = false;
        }
        if lane == 2 {
            self.knock_event(at, told.kind, now_ns);
            return;
        }
        let state = self.peers[usize::from(at)].connections[lane].state;
        match (state, told.kind) {
            (State::Resolving, event::RDMA_CM_EVENT_ADDR_RESOLVED) if ok => {
                let connection = &mut self.peers[usize::from(at)].connections[lane];
                let asked = connection.id.as_ref().is_some_and(|id| id.resolve_route().is_ok());
                connection.set(State::Routing, now_ns);
                if !asked {
                    self.attempt_failed(at, lane, now_ns);
                }
            }
            (State::Routing, event::RDMA_CM_EVENT_ROUTE_RESOLVED) if ok => {
                if self.found(at, lane, now_ns).is_err() {
                    self.attempt_failed(at, lane, now_ns);
                }
            }
            (State::Asking, event::RDMA_CM_EVENT_CONNECT_RESPONSE) if ok => {
                if self.answered(at, lane, told.hello, now_ns).is_err() {
                    self.attempt_failed(at, lane, now_ns);
                }
            }
            (State::Accepting, event::RDMA_CM_EVENT_ESTABLISHED) if ok => self.up(at, lane, now_ns),
            (State::Up, event::RDMA_CM_EVENT_DISCONNECTED | event::RDMA_CM_EVENT_ADDR_CHANGE) => {
                self.lose(at, lane, now_ns);
            }
            (_, event::RDMA_CM_EVENT_TIMEWAIT_EXIT) | (State::Up, _) => {}
            (_, event::RDMA_CM_EVENT_REJECTED) => {
                // Its host answers, and nobody listens there.
                self.counters.connections_refused += 1;
                self.peers[usize::from(at)].gone = true;
                self.attempt_failed(at, lane, now_ns);
            }
            (_, event::RDMA_CM_EVENT_ADDR_ERROR | event::RDMA_CM_EVENT_ROUTE_ERROR) => {
                self.counters.connections_unresolved += 1;
                self.attempt_failed(at, lane, now_ns);
            }
            _ => self.attempt_failed(at, lane, now_ns),
        }
    }

    fn knock_event(&mut self, at: u16, kind: rdma_sys::rdma_cm_event_type::Type, now_ns: u64) {
        let hello = self.hello(Purpose::Knock);
        let Knock::Made { id, .. } = &self.peers[usize::from(at)].knock else { return };
        let went_on = match kind {
            event::RDMA_CM_EVENT_ADDR_RESOLVED => id.resolve_route().is_ok(),
            // No queue pair stands behind this request; it is always refused.
            event::RDMA_CM_EVENT_ROUTE_RESOLVED => id.connect(hello.datagram_qp, &hello).is_ok(),
            _ => false,
        };
        if !went_on {
            self.knock_ended(at, now_ns);
        }
    }

    /// Our knock was answered or came to nothing; without a way to the peer it is made again.
    pub(crate) fn knock_ended(&mut self, at: u16, now_ns: u64) {
        let peer = &mut self.peers[usize::from(at)];
        let next =
            if peer.unrouted { Knock::Due { at_ns: now_ns + KNOCK_NS } } else { Knock::Done };
        if let Knock::Made { id, .. } = std::mem::replace(&mut peer.knock, next) {
            self.part(at, id, now_ns);
        }
    }
}
