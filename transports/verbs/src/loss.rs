//! Losing the port or the device, and getting them back.
//!
//! A connection's end is a message to the peer, sent by the kernel's connection manager over the port's own
//! queue pair when the identifier is destroyed. Soft RoCE stops a queue pair for good when a packet finds no
//! way out, that one too, and then no connection is ever made again on the device: so identifiers are kept
//! until the port is up and a way to their peer was found. Other cards lose nothing by that.

use rdma_sys::ibv_port_state;

use crate::cm::{Id, OpenFiles};
use crate::device::{Device, Membership};
use crate::peer::Knock;
use crate::probe::query_port;
use crate::transport::VerbsTransport;

/// How long an identifier is kept at least: when a port goes down, queue pairs fail first and its state
/// follows, in one sweep of the kernel that takes far less.
const PARTING_NS: u64 = 20_000_000;

/// Identifiers kept for each peer at most; only requests could make it more, which anybody can send.
const PARTINGS_PER_PEER: usize = 8;

/// An identifier that is not needed any more, whose peer is yet to be told.
pub(crate) struct Parting {
    /// Destroyed with this.
    _id: Id,
    at: u16,
    until_ns: u64,
}

impl VerbsTransport {
    /// Gives an identifier up.
    pub(crate) fn part(&mut self, at: u16, id: Id, now_ns: u64) {
        if self.partings.len() < PARTINGS_PER_PEER * self.peers.len() {
            self.partings.push_back(Parting { _id: id, at, until_ns: now_ns + PARTING_NS });
        }
    }

    /// Destroys the identifiers whose time is over and whose peers can be told.
    pub(crate) fn tend_partings(&mut self, now_ns: u64) {
        let tellable = |parting: &Parting, peers: &[crate::peer::Peer]| {
            parting.until_ns <= now_ns && !peers[usize::from(parting.at)].unrouted
        };
        if !self.partings.iter().any(|parting| tellable(parting, &self.peers)) {
            return;
        }
        if self.port_is_active() {
            let peers = &self.peers;
            self.partings.retain(|parting| !tellable(parting, peers));
        } else {
            self.port_lost();
        }
    }

    /// When an identifier may be destroyed next.
    pub(crate) fn parting_due_ns(&self) -> Option<u64> {
        let routed = |parting: &&Parting| !self.peers[usize::from(parting.at)].unrouted;
        self.partings.iter().filter(routed).map(|parting| parting.until_ns).min()
    }

    fn port_is_active(&self) -> bool {
        let Some(device) = &self.device else { return false };
        // SAFETY: the listener keeps the context open.
        let port = unsafe { query_port(device.context(), device.listener.port()) };
        port.is_some_and(|port| port.state == ibv_port_state::IBV_PORT_ACTIVE)
    }

    /// The port is down: until a way is found again nobody is told anything.
    pub(crate) fn port_lost(&mut self) {
        for peer in &mut self.peers {
            peer.unrouted = true;
        }
    }

    /// The port is up again: asks and knocks, which finds the ways.
    pub(crate) fn port_found(&mut self, now_ns: u64) {
        for at in 0..self.peers.len() as u16 {
            self.hurry(at, now_ns);
            let peer = &mut self.peers[usize::from(at)];
            if matches!(peer.knock, Knock::Done) {
                peer.knock = Knock::Due { at_ns: now_ns };
            }
        }
    }

    /// The device may be back.
    pub(crate) fn open_again(&mut self) {
        let mut warnings = Vec::new();
        let opened =
            Device::open(&self.config, &self.pool, &mut self.counters, &mut warnings, false);
        if let Ok(device) = opened
            && self.waits.watch_device(&device).is_ok()
        {
            self.device = Some(device);
            self.refill();
        }
    }

    /// The device is gone: all connections are, and everything made on it.
    pub(crate) fn lose_device(&mut self, now_ns: u64) {
        (self.lost, self.datagrams_failed) = (false, false);
        let Some(device) = &self.device else { return };
        // SAFETY: the listener keeps the context open.
        let files = unsafe { OpenFiles::of(device.context()) };
        self.counters.devices_lost += 1;
        let me = self.config.me;
        for at in (0..self.peers.len() as u16).filter(|at| *at != me) {
            self.lose(at, 0, now_ns);
            self.lose(at, 1, now_ns);
        }
        self.take_apart(now_ns);
        if let Some(files) = files {
            files.let_go();
        }
    }

    /// Destroys everything that was made on the device, and takes back what was lent and held.
    pub(crate) fn take_apart(&mut self, now_ns: u64) {
        if let Some(device) = &self.device {
            self.waits.forget_device(device);
        }
        for at in 0..self.peers.len() as u16 {
            self.forget(at, 0, now_ns);
            self.forget(at, 1, now_ns);
            let peer = &mut self.peers[usize::from(at)];
            (peer.datagrams, peer.knock) = (None, Knock::Due { at_ns: 0 });
            peer.unrouted = false;
        }
        self.partings.clear();
        self.collect();
        for closing in self.closing.drain(..) {
            closing.queue.close(&mut self.held);
        }
        if let Some(mut device) = self.device.take() {
            dismantle(&mut device, &mut self.held);
            // SAFETY: every queue pair is closed and both shared queues are destroyed: no receive is
            // posted anywhere.
            unsafe { self.receives.reclaim(None) };
            drop(device);
        }
    }
}

/// Destroys all queues of a device.
fn dismantle(device: &mut Device, held: &mut crate::sends::Held) {
    let membership =
        std::mem::replace(&mut device.membership, Membership::Out { again_at_ns: None });
    if let Some(datagrams) = device.datagrams.take() {
        if let Membership::In { group, .. } = &membership {
            // One that is in a group is not destroyed, and would keep the device for as long as we run.
            datagrams.pair().detach(&group.address);
        }
        datagrams.close(held);
    }
    device.token_receives = None;
    device.burst_receives = None;
}
