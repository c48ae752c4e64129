//! One turn of a host's loop: what came in goes to the node, what the node wants is done.

use frame::Class;
use node::{Dest, Input, Lane, Output};
use wire::NodeId;

use crate::event::Event;
use crate::history::{End, LifeId, What};
use crate::host::READER_FRAMES_MAX;
use crate::network::Burst;
use crate::recorder::Known;
use crate::socket::Merged;
use crate::spy;
use crate::tamper::Tamper;
use crate::world::World;

/// Most receive buffers handled before the loop looks at anything else.
const BUFFERS_PER_TURN: usize = 256;

/// Share of unicasts to a dead process that are answered with "port unreachable".
const ANSWERED_PPM: u64 = 700_000;

impl World {
    /// Datagrams reach a host.
    pub(crate) fn arrive(
        &mut self,
        to: usize,
        from: usize,
        (link, lane): (u8, Lane),
        unicast: bool,
        burst: &Burst,
    ) {
        let deaf = self.spoil.tamper == Some(Tamper::StayDeaf) && self.healed && to == 0;
        if deaf {
            return;
        }
        if self.hosts[to].running.is_none() {
            let answer = unicast && self.hosts[to].answers && !self.network.is_cut(to, from);
            if let Some(life) = self.life_of(from).filter(|_| answer)
                && self.rng.chance(ANSWERED_PPM)
            {
                let peer = self.hosts[to].id;
                let at_ns = self.now_ns + self.network.delay_ns();
                self.schedule(at_ns, Event::Unreachable { host: from, life, link, peer });
            }
            return;
        }
        self.hosts[to].sockets.push(lane, link, burst);
        self.want_turn(to, self.now_ns);
    }

    /// One turn of a host's loop.
    pub(crate) fn turn(&mut self, host: usize) {
        if self.hosts[host].turn_ns != Some(self.now_ns) {
            return;
        }
        self.hosts[host].turn_ns = None;
        if self.hosts[host].is_paused(self.now_ns) {
            let until = self.hosts[host].paused_until;
            self.want_turn(host, until);
            return;
        }
        let Some(life) = self.life_of(host) else { return };
        let mut work = 1;
        while let Some(r) = self.running(host, life)
            && let Some(input) = r.controls.pop_front()
        {
            self.handle(host, life, input);
        }
        while work <= BUFFERS_PER_TURN
            && self.running(host, life).is_some()
            && let Some((lane, merged)) = self.next_buffer(host)
        {
            work += 1;
            self.receive(host, life, lane, &merged);
        }
        self.release_readers(host, life);
        let local_ns = self.hosts[host].clock.local(self.now_ns);
        let rested = self.hosts[host].sockets.is_empty();
        if let Some(r) = self.running(host, life)
            && rested
            && r.node.next_timeout().is_some_and(|(due, _)| due <= local_ns)
        {
            self.handle(host, life, Input::Timeout);
        }
        self.plan_next_turn(host, life, work as u64);
    }

    fn plan_next_turn(&mut self, host: usize, life: LifeId, work: u64) {
        let h = &mut self.hosts[host];
        h.busy_until = self.now_ns + self.scenario.turn_ns * work.div_ceil(4);
        let busy = h.busy_until;
        let Some(r) = h.running.as_ref().filter(|r| r.life == life) else { return };
        if !h.sockets.is_empty() || !r.controls.is_empty() {
            self.want_turn(host, busy);
            return;
        }
        let timer = r.node.next_timeout().map(|(due, _)| h.clock.world(due));
        let reader = r.readers.front().map(|(until, _)| *until);
        if let Some(at_ns) = timer.into_iter().chain(reader).min() {
            self.want_turn(host, at_ns);
        }
    }

    /// The loop prefers data after a visit and the token otherwise; either may come first here.
    fn next_buffer(&mut self, host: usize) -> Option<(Lane, Merged)> {
        let prefer = if self.rng.chance(700_000) { Lane::Data } else { Lane::Token };
        self.hosts[host].sockets.pop(prefer)
    }

    /// Puts a receive buffer into a slot and gives it to the node. Without a free slot it is lost.
    fn receive(&mut self, host: usize, life: LifeId, lane: Lane, merged: &Merged) {
        let segment_bytes = merged.burst.segment_bytes;
        let Some(r) = self.running(host, life) else { return };
        let bytes = merged.bytes();
        let small = bytes.len() <= r.pool.slot_bytes(Class::Small);
        let slot = if small { r.pool.alloc(Class::Small) } else { None };
        let Some(mut slot) = slot.or_else(|| r.pool.alloc(Class::Large)) else {
            let id = self.hosts[host].id;
            self.tracer.line(self.now_ns, || format!("n{id} no slot for {} bytes", bytes.len()));
            return;
        };
        slot.truncate(bytes.len());
        slot.copy_from_slice(bytes);
        for index in merged.first..merged.first + merged.count {
            self.note_receipt(life, merged.burst.segment(index), merged.burst.damaged);
        }
        self.handle(
            host,
            life,
            Input::Received { link: merged.link, queue: lane, bytes: slot, segment_bytes },
        );
    }

    /// Holds a token's word on what is stable against what the members have.
    fn look_at_claim(&mut self, life: LifeId, datagram: &[u8]) {
        let Some((ring, stable)) = spy::stable_claim(datagram) else { return };
        let host = self.history.life(life).node.0 as usize - 1;
        let Some(r) = self.hosts[host].running.as_ref() else { return };
        let Some((_, members)) = r.ring.as_ref().filter(|(own, _)| *own == ring) else { return };
        if let Some((node, aru)) = self.holdings.refute(ring, members, stable) {
            let who = self.history.who(life);
            self.history.overclaims.push(format!(
                "{who} sends a token that calls {ring} stable up to {stable}, node {node} has it up to {aru}"
            ));
        }
    }

    /// Remembers who has which frame since when.
    fn note_receipt(&mut self, life: LifeId, datagram: &[u8], damaged: bool) {
        let Some(receipts) = &mut self.history.receipts else { return };
        if damaged && !spy::intact(datagram) {
            return;
        }
        let (node, now_ns) = (self.history.lives[life.0 as usize].node, self.now_ns);
        spy::frames(datagram, |ring, seq, safe| {
            self.holdings.add(node, ring, seq);
            if safe {
                let holders = receipts.entry((ring, seq)).or_default();
                if !holders.iter().any(|(who, _)| *who == life) {
                    holders.push((life, now_ns));
                }
            }
        });
    }

    /// One input of one node, and everything that follows from it.
    pub(crate) fn handle(&mut self, host: usize, life: LifeId, input: Input) {
        let local_ns = self.hosts[host].clock.local(self.now_ns);
        let (now_ns, id) = (self.now_ns, self.hosts[host].id);
        if self.tracer.is_on() {
            let text = describe(&input);
            self.tracer.line(now_ns, || format!("n{id} < {text}"));
        }
        let Some(r) = self.running(host, life) else { return };
        r.node.handle(local_ns, input, &mut r.processes);
        let delivered = std::mem::take(&mut r.processes.delivered);
        let sent = std::mem::take(&mut r.processes.sent);
        r.undelivered.extend(&sent);
        for message in sent {
            self.record(life, What::Sent(message));
        }
        for messages in delivered {
            self.event(host, life, &groups::Event::Messages(messages));
        }
        self.drain(host);
        self.look_at_quorum(host);
    }

    /// Does what a node wants done.
    pub(crate) fn drain(&mut self, host: usize) {
        let Some(life) = self.life_of(host) else { return };
        while let Some(r) = self.running(host, life)
            && let Some(output) = r.node.poll_output()
        {
            if self.hosts[host].dying {
                drop(output);
                self.kill(host, End::Crash);
                self.plan_restart(host);
                return;
            }
            match output {
                Output::Send { to, links, lane, bytes, segment_bytes } => {
                    self.send(host, life, (to, links, lane), &bytes, segment_bytes);
                }
                Output::Event(event) => self.event(host, life, &event),
                Output::Change(event) => self.change(host, life, event),
                Output::Persist(stored) => self.persist(host, life, stored),
                Output::Trace(trace) => {
                    self.tracer.trace(self.now_ns, self.hosts[host].id, &trace);
                }
                Output::Left => {
                    self.kill(host, End::Left);
                    return;
                }
            }
        }
        if self.hosts[host].dying {
            self.kill(host, End::Crash);
            self.plan_restart(host);
        }
    }

    fn send(
        &mut self,
        host: usize,
        life: LifeId,
        (to, links, lane): (Dest, u8, Lane),
        bytes: &[u8],
        segment_bytes: usize,
    ) {
        assert!(Burst::fits(bytes.len(), segment_bytes), "a burst of too many datagrams");
        assert!(!bytes.is_empty(), "an empty datagram");
        let burst = Burst::new(bytes, segment_bytes);
        for index in burst.indices() {
            self.note_receipt(life, burst.segment(index), false);
            if lane == Lane::Token && self.history.receipts.is_some() {
                self.look_at_claim(life, burst.segment(index));
            }
        }
        let id = self.hosts[host].id;
        self.tracer.line(self.now_ns, || {
            let what: Vec<String> = burst.indices().map(|i| spy::name(burst.segment(i))).collect();
            let on = if links == 1 { String::new() } else { format!(" on {links:b}") };
            format!("n{id} > {to:?}{on} {lane:?} {}", what.join(" "))
        });
        assert!(links != 0, "a frame for no link");
        for link in (0..self.scenario.links.count).filter(|link| links >> link & 1 == 1) {
            self.send_on(host, link, to, lane, &burst);
        }
    }

    /// Sends a burst on one link.
    fn send_on(&mut self, host: usize, link: u8, to: Dest, lane: Lane, burst: &Burst) {
        match to {
            Dest::All => {
                let doom = self.hosts[host]
                    .doom
                    .filter(|_| lane == Lane::Data && spy::is_data(&burst.bytes));
                for other in (0..self.hosts.len()).filter(|o| *o != host) {
                    if doom.is_none() || self.fault_rng.chance(500_000) {
                        self.carry(host, other, (link, lane), false, burst);
                    }
                }
                if let Some(doom) = doom {
                    self.meet_doom(host, doom);
                }
            }
            Dest::Node(node) => {
                let other = self.host_of(node);
                self.carry(host, other, (link, lane), true, burst);
            }
        }
    }

    fn host_of(&self, node: NodeId) -> usize {
        node.0 as usize - 1
    }

    fn carry(
        &mut self,
        from: usize,
        to: usize,
        (link, lane): (u8, Lane),
        unicast: bool,
        burst: &Burst,
    ) {
        let mut arrivals = std::mem::take(&mut self.arrivals);
        self.network.carry(self.now_ns, link.into(), (from, to), burst, &mut arrivals);
        for arrival in arrivals.drain(..) {
            let event = Event::Arrive { to, from, link, lane, unicast, burst: arrival.burst };
            self.schedule(arrival.at_ns, event);
        }
        self.arrivals = arrivals;
    }

    /// Something for the clients of a node.
    fn event(&mut self, host: usize, life: LifeId, event: &groups::Event) {
        self.hear_quorum(host, life, event);
        let stored = self.hosts[host].disk.stored.ring_seq;
        let known = Known { messages: &self.history.messages, groups: &self.history.groups };
        let Some(r) = self.hosts[host].running.as_mut().filter(|r| r.life == life) else { return };
        let joined = match event {
            groups::Event::Joined { session, request, .. } => {
                r.asked.get(&(*session, *request)).copied()
            }
            _ => None,
        };
        r.tamperer.event(event);
        let mut entries = Vec::new();
        r.recorder.read(event, &known, stored, joined, &mut entries);
        r.tamperer.entries(&mut entries);
        if let groups::Event::Messages(run) = event {
            let slow = r.processes.sessions.iter().any(|s| s.slow);
            if slow && r.readers.len() < READER_FRAMES_MAX {
                r.readers.push_back((self.now_ns + self.scenario.load.slow_ns, run.body.clone()));
            }
        }
        let fresh = self.fresh_group();
        for what in entries {
            if let (What::Delivered(d), Some(r)) = (&what, self.running(host, life)) {
                r.undelivered.remove(&d.message);
                if d.group == fresh {
                    r.fresh_seen.insert(d.message);
                }
            }
            self.record(life, what);
        }
        self.clients_see(host, life, event);
    }

    fn release_readers(&mut self, host: usize, life: LifeId) {
        let now_ns = self.now_ns;
        let Some(r) = self.running(host, life) else { return };
        while r.readers.front().is_some_and(|(until, _)| *until <= now_ns) {
            r.readers.pop_front();
        }
    }
}

fn describe(input: &Input) -> String {
    match input {
        Input::Received { queue, bytes, segment_bytes, .. } => {
            let names: Vec<String> = bytes.chunks((*segment_bytes).max(1)).map(spy::name).collect();
            format!("{queue:?} {}", names.join(" "))
        }
        other => format!("{other:?}"),
    }
}
