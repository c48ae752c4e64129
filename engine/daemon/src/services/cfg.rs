//! Administration: addresses and links of nodes, shutdown with a veto, reload, making another node leave.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use schema::Config;
use services::cfg::{Answer, Link, LinkStatus, Node, Notice, Request, Shutdown};
use services::{Answer as Any, Failure, Reply};
use session::{AskId, ConnectionId};

use super::{Action, Outcome};
use crate::status::Snapshot;

/// A peer not heard for this long is not connected.
const HEARD_MS_MAX: u64 = 10_000;

/// The version of the wire format, for those who ask.
const WIRE_VERSION: u8 = wire::link::VERSION;

/// What a tracker said to a shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Nothing,
    Yes,
    No,
}

/// A shutdown that waits for answers.
struct Pending {
    ask: AskId,
    how: Shutdown,
    until: Instant,
}

/// Administration of this node.
pub(crate) struct Cfg {
    me: u32,
    /// Addresses of every node, by link.
    nodes: BTreeMap<u32, Vec<IpAddr>>,
    trackers: BTreeMap<ConnectionId, Said>,
    pending: Option<Pending>,
}

impl Cfg {
    pub(crate) fn new(config: &Config) -> Self {
        let mut cfg = Self {
            me: config.me,
            nodes: BTreeMap::new(),
            trackers: BTreeMap::new(),
            pending: None,
        };
        cfg.set_config(config);
        cfg
    }

    /// The node list is this now.
    pub(crate) fn set_config(&mut self, config: &Config) {
        let nodes = config.nodes.iter();
        let addresses = |node: &schema::Node| {
            (0..=node.links.len()).filter_map(|at| node.link(at)).map(|l| l.address.ip()).collect()
        };
        self.nodes = nodes.map(|node| (node.id, addresses(node))).collect();
    }

    /// A question. `trusted`: whether who asks may change something.
    pub(super) fn ask(
        &mut self,
        ask: AskId,
        trusted: bool,
        request: &Request,
        timeout: std::time::Duration,
        actions: &mut Vec<Action>,
    ) -> Outcome {
        // Whoever tracks is asked before a shutdown, and may say no, by silence too.
        let changes = matches!(
            request,
            Request::Kill { .. }
                | Request::TryShutdown(_)
                | Request::Reload
                | Request::ReopenLogs
                | Request::Track
                | Request::ReplyShutdown { .. }
        );
        if changes && !trusted {
            return Outcome::Now(Err(Failure::Access));
        }
        let reply = match request {
            Request::LocalGet => Ok(Any::Cfg(Answer::Local { node: self.me })),
            Request::NodeAddresses { node } => self.addresses(*node),
            Request::NodeStatus { .. } | Request::Links | Request::Kill { .. } => {
                return Outcome::NeedsSnapshot;
            }
            Request::Track => {
                self.track(ask.connection(), actions);
                Ok(Any::Done)
            }
            Request::Untrack => {
                self.untrack(ask.connection(), actions);
                Ok(Any::Done)
            }
            Request::TryShutdown(how) => return self.try_shutdown(ask, *how, timeout, actions),
            Request::ReplyShutdown { yes } => self.reply(ask.connection(), *yes, actions),
            Request::Reload => {
                actions.push(Action::Reload(ask));
                return Outcome::Later;
            }
            Request::ReopenLogs => {
                actions.push(Action::ReopenLogs);
                Ok(Any::Done)
            }
        };
        Outcome::Now(reply)
    }

    /// A question that needed to know how this moment looks.
    pub(super) fn with_snapshot(
        &self,
        request: &Request,
        snapshot: &Snapshot,
        actions: &mut Vec<Action>,
    ) -> Reply {
        match request {
            Request::NodeStatus { node } => self.node(*node, snapshot),
            Request::Links => Ok(Any::Cfg(Answer::Links(self.links(snapshot)))),
            Request::Kill { node, reason } => {
                if !snapshot.ring.members.contains(node) {
                    return Err(Failure::NotExist);
                }
                let text = String::from_utf8_lossy(reason).into_owned();
                actions.push(Action::Kill { node: *node, text });
                Ok(Any::Done)
            }
            _ => Err(Failure::NotSupported),
        }
    }

    fn addresses(&self, node: u32) -> Reply {
        let node = if node == 0 { self.me } else { node };
        let addresses = self.nodes.get(&node).ok_or(Failure::NotExist)?;
        Ok(Any::Cfg(Answer::Addresses(addresses.clone())))
    }

    /// Whether a node was heard lately, on any link.
    fn is_reachable(&self, node: u32, snapshot: &Snapshot) -> bool {
        let heard = |peer: &&crate::status::Peer| {
            peer.node == node && peer.heard_ms_ago.is_some_and(|ms| ms < HEARD_MS_MAX)
        };
        node == self.me || snapshot.peers.iter().any(|peer| heard(&peer))
    }

    /// Whether a link to a node works.
    fn is_connected(&self, node: u32, link: usize, snapshot: &Snapshot) -> bool {
        let peer = snapshot.peers.iter().find(|peer| peer.node == node);
        let state = peer.and_then(|peer| peer.links.get(link)).map(|link| link.state == "up");
        // With a single link there is nothing more to say than that something came.
        state.unwrap_or(true) && self.is_reachable(node, snapshot)
    }

    fn node(&self, node: u32, snapshot: &Snapshot) -> Reply {
        let theirs = self.nodes.get(&node).ok_or(Failure::FailedOperation)?;
        let ours = self.nodes.get(&self.me).ok_or(Failure::FailedOperation)?;
        let link = |(number, (source, destination)): (usize, (&IpAddr, &IpAddr))| Link {
            number: number as u8,
            enabled: true,
            connected: self.is_connected(node, number, snapshot),
            dynamic: false,
            mtu: snapshot.links.get(number).map_or(0, |own| own.datagram_bytes as u32),
            source: source.to_string(),
            destination: destination.to_string(),
        };
        Ok(Any::Cfg(Answer::Node(Node {
            id: node,
            reachable: self.is_reachable(node, snapshot),
            remote: false,
            external: false,
            wire_min: WIRE_VERSION,
            wire_max: WIRE_VERSION,
            wire: WIRE_VERSION,
            links: ours.iter().zip(theirs).enumerate().map(link).collect(),
        })))
    }

    /// One character per node: bit 0 is "configured", bit 1 "connected"; `n` is this node.
    fn links(&self, snapshot: &Snapshot) -> Vec<LinkStatus> {
        let ours = self.nodes.get(&self.me).map(Vec::as_slice).unwrap_or_default();
        let status = |link: usize, node: &u32| match (
            *node == self.me,
            self.is_connected(*node, link, snapshot),
        ) {
            (true, _) => 'n',
            (false, true) => '3',
            (false, false) => '1',
        };
        let link = |(number, name): (usize, &IpAddr)| LinkStatus {
            name: name.to_string(),
            status: self.nodes.keys().map(|node| status(number, node)).collect(),
        };
        ours.iter().enumerate().map(link).collect()
    }

    fn track(&mut self, connection: ConnectionId, actions: &mut Vec<Action>) {
        self.trackers.entry(connection).or_insert(Said::Nothing);
        if let Some(pending) = &self.pending {
            // It comes in the middle: it is asked too.
            actions.push(Action::Notify(connection, Notice::Shutdown(pending.how)));
        }
    }

    fn try_shutdown(
        &mut self,
        ask: AskId,
        how: Shutdown,
        timeout: std::time::Duration,
        actions: &mut Vec<Action>,
    ) -> Outcome {
        if how == Shutdown::Immediate {
            actions.push(Action::Leave);
            return Outcome::Now(Ok(Any::Done));
        }
        if self.pending.is_some() {
            return Outcome::Now(Err(Failure::Exist));
        }
        for (connection, said) in &mut self.trackers {
            // Who asks agrees.
            let asks = *connection == ask.connection();
            *said = if asks { Said::Yes } else { Said::Nothing };
            if !asks {
                actions.push(Action::Notify(*connection, Notice::Shutdown(how)));
            }
        }
        self.pending = Some(Pending { ask, how, until: Instant::now() + timeout });
        self.decide(false, actions);
        Outcome::Later
    }

    fn reply(&mut self, connection: ConnectionId, yes: bool, actions: &mut Vec<Action>) -> Reply {
        if self.pending.is_none() {
            return Err(Failure::Access);
        }
        let said = self.trackers.get_mut(&connection).ok_or(Failure::Access)?;
        *said = if yes { Said::Yes } else { Said::No };
        self.decide(false, actions);
        Ok(Any::Done)
    }

    /// Ends a shutdown that all have answered, or whose time is over: silence then counts as no.
    fn decide(&mut self, over: bool, actions: &mut Vec<Action>) {
        let waits = self.trackers.values().any(|said| *said == Said::Nothing);
        if waits && !over {
            return;
        }
        let Some(pending) = self.pending.take() else { return };
        let agreed = self.trackers.values().all(|said| *said == Said::Yes);
        if agreed || pending.how == Shutdown::Regardless {
            actions.push(Action::Answer(pending.ask, Ok(Any::Done)));
            actions.push(Action::Leave);
        } else {
            actions.push(Action::Answer(pending.ask, Err(Failure::Busy)));
        }
    }

    /// Whether programs are being asked about a shutdown.
    pub(super) fn is_deciding(&self) -> bool {
        self.pending.is_some()
    }

    /// What is due.
    pub(super) fn tick(&mut self, actions: &mut Vec<Action>) {
        if self.pending.as_ref().is_some_and(|pending| pending.until <= Instant::now()) {
            self.decide(true, actions);
        }
    }

    /// A connection is over. A shutdown that it asked for is given up: nobody waits for what comes of it.
    pub(super) fn closed(&mut self, connection: ConnectionId, actions: &mut Vec<Action>) {
        self.pending.take_if(|pending| pending.ask.connection() == connection);
        self.untrack(connection, actions);
    }

    /// A connection tracks no more.
    fn untrack(&mut self, connection: ConnectionId, actions: &mut Vec<Action>) {
        if self.trackers.remove(&connection).is_some() {
            self.decide(false, actions);
        }
    }
}
