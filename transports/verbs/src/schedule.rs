//! What is due although nothing comes: attempts, knocks, groups, queue pairs to destroy or to start anew.

use rdma_sys::ibv_qp_state;

use crate::cm::Id;
use crate::device::{Device, Membership};
use crate::peer::{Connection, Knock, Peer, State};
use crate::receive::Lane;
use crate::transport::VerbsTransport;

/// When an attempt that has come to no end is given up: longer than resolving address and route may take.
const ATTEMPT_NS: u64 = 6_000_000_000;

/// Pause before a group is joined again after the port was away, and after the kernel refused to join.
const REJOIN_NS: u64 = 200_000_000;
const REFUSED_NS: u64 = 10_000_000_000;

/// Pause before the datagram queue pair is started anew.
const REVIVE_NS: u64 = 50_000_000;

impl VerbsTransport {
    /// Looks after connections and groups: starts what is due, gives up what is stuck.
    pub(crate) fn tend(&mut self, now_ns: u64) {
        let me = self.config.me;
        for at in 0..self.peers.len() as u16 {
            if at == me || self.device.is_none() {
                continue;
            }
            for lane in 0..2 {
                let connection = &self.peers[usize::from(at)].connections[lane];
                match connection.state {
                    State::Up => {}
                    State::Idle { try_at_ns } if me < at && try_at_ns <= now_ns => {
                        self.ask(at, lane, now_ns);
                    }
                    State::Idle { .. } => {}
                    _ if now_ns > connection.since_ns + ATTEMPT_NS => {
                        self.attempt_failed(at, lane, now_ns);
                    }
                    _ => {}
                }
            }
            self.tend_knock(at, now_ns);
        }
        self.tend_group(now_ns);
        self.tend_closing(now_ns);
        self.tend_partings(now_ns);
    }

    /// When something is to be done although nothing comes: a device to find, a peer to ask, a group to join, a
    /// queue to destroy.
    pub(crate) fn due_ns(&self) -> Option<u64> {
        let Some(device) = &self.device else { return Some(self.next_open_ns) };
        let attempt = |connection: &Connection| match connection.state {
            State::Idle { try_at_ns } => Some(try_at_ns),
            State::Up => None,
            _ => Some(connection.since_ns + ATTEMPT_NS),
        };
        let asked = self.peers.iter().skip(usize::from(self.config.me) + 1);
        let attempts = asked.flat_map(|peer| peer.connections.iter().filter_map(attempt));
        let knock = |peer: &Peer| match peer.knock {
            Knock::Due { at_ns } => Some(at_ns),
            Knock::Made { since_ns, .. } => Some(since_ns + ATTEMPT_NS),
            Knock::Done => None,
        };
        let knocks = self.peers.iter().take(usize::from(self.config.me)).filter_map(knock);
        let group = match device.membership {
            Membership::Out { again_at_ns } => again_at_ns,
            _ => None,
        };
        let closing = self.closing.front().map(|closing| closing.until_ns);
        let revival = self.datagrams_failed.then_some(self.next_revive_ns);
        let parting = self.parting_due_ns();
        attempts.chain(knocks).chain(group).chain(closing).chain(revival).chain(parting).min()
    }

    fn tend_knock(&mut self, at: u16, now_ns: u64) {
        if at >= self.config.me {
            return;
        }
        let address = self.config.peers[usize::from(at)];
        let mine = self.config.my_address().ip();
        let Some(device) = &self.device else { return };
        match self.peers[usize::from(at)].knock {
            Knock::Due { at_ns } if at_ns <= now_ns => {
                let id = Id::new(&device.channel, false);
                let started = id.and_then(|id| id.resolve_address(mine, address).map(|()| id));
                match started {
                    Ok(id) => {
                        self.peers[usize::from(at)].knock = Knock::Made { id, since_ns: now_ns };
                    }
                    Err(_) => self.knock_ended(at, now_ns),
                }
            }
            Knock::Made { since_ns, .. } if now_ns > since_ns + ATTEMPT_NS => {
                self.knock_ended(at, now_ns);
            }
            _ => {}
        }
    }

    fn tend_group(&mut self, now_ns: u64) {
        let Some(device) = &mut self.device else { return };
        let Some(group) = self.config.multicast else { return };
        if let Membership::Out { again_at_ns: Some(at_ns) } = device.membership
            && at_ns <= now_ns
        {
            device.membership = match device.groups.join(group) {
                Ok(()) => Membership::Joining,
                Err(_) => Membership::Out { again_at_ns: Some(now_ns + REFUSED_NS) },
            };
        }
    }

    /// Destroys stopped queue pairs whose time is over.
    pub(crate) fn tend_closing(&mut self, now_ns: u64) {
        while self.closing.front().is_some_and(|closing| closing.until_ns <= now_ns) {
            // What it had received or was flushed first: its completions name slots of ours.
            self.collect();
            if let Some(closing) = self.closing.pop_front() {
                closing.queue.close(&mut self.held);
            }
        }
    }

    /// Leaves the group and joins it again soon: the port was away, or has another address.
    pub(crate) fn rejoin(&mut self, now_ns: u64) {
        if let Some(device) = &mut self.device {
            if let Some(datagrams) = &mut device.datagrams {
                datagrams.post(&mut self.held, &mut self.counters);
            }
            device.leave(&self.config, now_ns + REJOIN_NS);
        }
    }

    /// Starts the datagram queue pair anew under its old number: a datagram that could not leave at all, as
    /// with the port down, stops it for good.
    pub(crate) fn revive_datagrams(&mut self, now_ns: u64) {
        if !self.datagrams_failed || now_ns < self.next_revive_ns {
            return;
        }
        self.next_revive_ns = now_ns + REVIVE_NS;
        let pair = |device: &Option<Device>, state| {
            let queue = device.as_ref().and_then(|device| device.datagrams.as_ref());
            queue.is_some_and(|queue| {
                queue.pair().enter(state, "reset the datagram queue pair").is_ok()
            })
        };
        if !pair(&self.device, ibv_qp_state::IBV_QPS_RESET) {
            return;
        }
        self.collect();
        let Some(device) = &mut self.device else { return };
        let Some(datagrams) = &mut device.datagrams else { return };
        datagrams.reset(&mut self.held);
        // SAFETY: the queue pair was reset, and what it had completed before was taken just now.
        unsafe { self.receives.reclaim(Some(Lane::Datagrams)) };
        if crate::device::ready_for_datagrams(&device.groups, datagrams.pair()).is_ok() {
            self.datagrams_failed = false;
            self.counters.datagrams_revived += 1;
            self.refill();
        }
    }
}
