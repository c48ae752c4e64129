//! The thread of a participant: connects, joins, publishes at the asked rate, reads everything, and keeps the
//! account. One client does both, as programs do.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use client::{Client, Event, Group, Options, PublishError};

use crate::clock::now_ns;
use crate::participant::{SeenView, Shared, lock};
use crate::payload::{self, PAYLOAD_BYTES_MIN};
use crate::{Member, Observer, Role};

/// Messages sent between two looks at what arrived.
const BURST: u64 = 64;

/// A flood keeps at most this many bytes of its own on the way (published, not yet delivered to itself): the
/// back-pressure of a program that has to read what it sends.
const FLOOD_WINDOW_BYTES: u64 = 2 << 20;

/// ... and at least this many messages.
const FLOOD_WINDOW_MESSAGES_MIN: u64 = 8;

/// Events taken between two bursts.
const INTAKE: usize = 4096;

/// Longest wait for an event when there is nothing to send.
const IDLE_WAIT: Duration = Duration::from_millis(1);

/// Pause before trying again to reach an engine that is not there.
const RECONNECT_PAUSE: Duration = Duration::from_millis(2);

/// Largest message sent in one piece in place.
const LOAN_BYTES_MAX: usize = 32 << 10;

/// A connection and how far it is.
struct Connection {
    client: Client,
    me: Member,
    /// Set once the first view showed us as a member.
    group: Option<Group>,
    next_number: u64,
}

pub(crate) struct Worker {
    role: Role,
    shared: Arc<Shared>,
    observer: Observer,
    /// When the next message of an even rate is due.
    due_ns: u64,
    /// Buffer for messages that do not fit a loan.
    large: Vec<u8>,
    is_settled: bool,
}

/// What a round of the loop did.
#[derive(PartialEq, Eq)]
enum Round {
    Busy,
    Idle,
    Ended,
}

impl Worker {
    pub(crate) fn new(role: Role, shared: Arc<Shared>) -> Self {
        assert!(
            role.message_bytes >= PAYLOAD_BYTES_MIN,
            "a payload has at least {PAYLOAD_BYTES_MIN} bytes"
        );
        let observer = Observer::new(role.name.clone());
        let large = vec![0; role.message_bytes];
        Self { role, shared, observer, due_ns: 0, large, is_settled: false }
    }

    pub(crate) fn run(mut self) -> Observer {
        while !self.stopped() {
            if let Some(mut connection) = self.connect() {
                self.serve(&mut connection);
                self.observer.disconnected();
                let shared = &self.shared;
                shared.is_connected.store(false, Ordering::Relaxed);
            }
        }
        self.observer
    }

    /// Marks the account once its owner says that the load has settled.
    fn note_settled(&mut self) {
        if !self.is_settled && self.shared.settled.load(Ordering::Acquire) {
            self.is_settled = true;
            self.observer.settled();
        }
    }

    fn stopped(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed)
    }

    fn connect(&mut self) -> Option<Connection> {
        let Ok(mut client) = Client::connect(&self.role.socket, Options::default()) else {
            std::thread::sleep(RECONNECT_PAUSE);
            return None;
        };
        client.start_join(&self.role.group).ok()?;
        let shared = &self.shared;
        let sent = shared.sent.swap(0, Ordering::Relaxed);
        shared.sent_before.fetch_add(sent, Ordering::Relaxed);
        shared.own_delivered.store(0, Ordering::Relaxed);
        shared.connections.fetch_add(1, Ordering::Relaxed);
        let me = client.me();
        Some(Connection { client, me: (me.node, me.session), group: None, next_number: 0 })
    }

    fn serve(&mut self, connection: &mut Connection) {
        while !self.stopped() {
            self.note_settled();
            let round = match self.take_in(connection) {
                Round::Ended => return,
                round => round,
            };
            if !self.publish(connection)
                && round == Round::Idle
                && self.wait(connection) == Round::Ended
            {
                return;
            }
        }
    }

    /// Reads what is there.
    fn take_in(&mut self, connection: &mut Connection) -> Round {
        for count in 0..INTAKE {
            let Some(event) = connection.client.try_recv() else {
                return if count == 0 { Round::Idle } else { Round::Busy };
            };
            let seen = note(&self.shared, &mut self.observer, connection.me, event);
            match seen {
                Seen::Nothing => {}
                Seen::First(group) => {
                    connection.group = Some(group);
                    self.shared.is_connected.store(true, Ordering::Relaxed);
                }
                Seen::End => return Round::Ended,
            }
        }
        Round::Busy
    }

    /// Waits for the next event, but not past the time of the next message to send.
    fn wait(&mut self, connection: &mut Connection) -> Round {
        let mut wait = IDLE_WAIT;
        let rate = self.shared.rate.load(Ordering::Relaxed);
        if rate != 0 && connection.group.is_some() {
            wait = wait.min(Duration::from_nanos(self.due_ns.saturating_sub(now_ns())));
        }
        let Some(event) = connection.client.recv(Some(wait)) else { return Round::Idle };
        match note(&self.shared, &mut self.observer, connection.me, event) {
            Seen::Nothing => Round::Busy,
            Seen::First(group) => {
                connection.group = Some(group);
                self.shared.is_connected.store(true, Ordering::Relaxed);
                Round::Busy
            }
            Seen::End => Round::Ended,
        }
    }

    /// Publishes what is due; whether it did anything.
    fn publish(&mut self, connection: &mut Connection) -> bool {
        let rate = self.shared.rate.load(Ordering::Relaxed);
        let Some(group) = connection.group.clone().filter(|_| rate != 0) else {
            self.due_ns = 0;
            return false;
        };
        let now = now_ns();
        if rate == u64::MAX {
            let window = FLOOD_WINDOW_BYTES / self.role.message_bytes as u64;
            let window = window.max(FLOOD_WINDOW_MESSAGES_MIN);
            let back = self.shared.own_delivered.load(Ordering::Relaxed);
            let room = window.saturating_sub(connection.next_number.saturating_sub(back));
            for sent in 0..room.min(BURST) {
                if !self.publish_one(connection, &group, now) {
                    return sent > 0;
                }
            }
            return room > 0;
        }
        let interval_ns = 1_000_000_000 / rate;
        if self.due_ns == 0 {
            self.due_ns = now;
        }
        let mut any = false;
        while self.due_ns <= now && self.publish_one(connection, &group, self.due_ns) {
            self.due_ns += interval_ns;
            any = true;
        }
        any
    }

    /// Publishes one message that was due at `due_ns`; `false` if there is no room now.
    fn publish_one(&mut self, connection: &mut Connection, group: &Group, due_ns: u64) -> bool {
        let number = connection.next_number;
        let bytes = self.role.message_bytes;
        let result = if bytes <= LOAN_BYTES_MAX {
            connection.client.loan(group, bytes).map(|mut loan| {
                payload::fill(&mut loan, number, due_ns);
                loan.commit();
            })
        } else {
            payload::fill(&mut self.large, number, due_ns);
            connection.client.publish(group, &self.large)
        };
        match result {
            Ok(()) => {
                connection.next_number += 1;
                self.shared.sent.store(connection.next_number, Ordering::Relaxed);
                true
            }
            // The engine will say so in its own words at the next look at what arrived.
            Err(PublishError::Ended(_) | PublishError::Full) => false,
            // The engine put us out of the group on its way down; the end of the session follows.
            Err(PublishError::NotMember) => {
                connection.group = None;
                false
            }
            Err(error) => panic!("{}: cannot publish: {error}", self.role.name),
        }
    }
}

/// What an event means for the connection.
enum Seen {
    Nothing,
    /// We are a member now.
    First(Group),
    /// The session is over.
    End,
}

/// Enters an event into the account.
fn note(shared: &Shared, observer: &mut Observer, me: Member, event: Event<'_>) -> Seen {
    match event {
        Event::Message(message) => {
            let from = (message.sender.node, message.sender.session);
            let Some((number, sent_ns)) = payload::check(message.bytes) else {
                observer.damaged(from, message.bytes.len());
                return Seen::Nothing;
            };
            observer.message(from, number);
            shared.delivered.fetch_add(1, Ordering::Relaxed);
            let is_measured = shared.measure.load(Ordering::Relaxed);
            if is_measured {
                shared.note_silence();
            }
            if from == me {
                shared.own_delivered.store(number + 1, Ordering::Relaxed);
                if is_measured {
                    let latency_ns = now_ns().saturating_sub(sent_ns);
                    lock(&shared.latency).saturating_record(latency_ns);
                }
            }
            Seen::Nothing
        }
        Event::View(view) => {
            let order = view.order;
            let id = (order.ring_seq, order.ring_rep, order.seq, order.offset);
            let members = view.members.iter().map(|member| (member.node, member.session));
            let joined =
                view.joined.iter().map(|change| (change.member.node, change.member.session));
            observer.view(id, members, joined);
            let mut nodes: Vec<u32> = view.members.iter().map(|member| member.node).collect();
            nodes.sort_unstable();
            nodes.dedup();
            lock(&shared.views).push(SeenView { at_ns: now_ns(), id, nodes });
            if view.is_first { Seen::First(view.group) } else { Seen::Nothing }
        }
        Event::Refused { reason, .. } => {
            observer.unexpected(format!("join refused: {reason}"));
            Seen::End
        }
        Event::NotSent { count, reason, .. } => {
            observer.unexpected(format!("{count} messages not sent: {reason}"));
            Seen::Nothing
        }
        Event::Dropped { total_bytes, .. } => {
            observer.unexpected(format!("a message of {total_bytes} bytes was dropped"));
            Seen::Nothing
        }
        Event::Evicted(cause) => {
            observer.unexpected(format!("evicted: {}", cause.text()));
            Seen::End
        }
        Event::Configuration(_) => Seen::Nothing,
        Event::Disconnected => Seen::End,
    }
}
