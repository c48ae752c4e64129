//! The control thread's half: listens, authorises, shakes hands, hands finished sessions to the
//! engine thread, carries requests and answers, and notices when a client is gone.
//!
//! It may block, allocate and make system calls; the engine thread never waits for it. Everything is bounded:
//! half-open connections, sessions, control connections, and what may wait to be sent on one.

mod ask;
mod connection;
mod counters;
mod handshake;

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use ask::{Ask, AskId, ConnectionId};
pub use counters::AcceptorCounters;

use rustix::event::epoll;
use rustix::net::{SocketFlags, accept_with};

use crate::access::{Access, Trust};
use crate::config::Config;
use crate::hello::Cause;
use crate::link::{Arrival, Departure, Link};
use crate::peer::Peer;
use crate::seqpacket;
use connection::{Connection, NOTICE_BYTES_MAX, NOTICES, Stage};

/// Connections that have not finished their handshake; more wait in the kernel's backlog.
const HALF_OPEN_MAX: usize = 64;

/// Connections without rings (`status`, queries, cluster services): a Pacemaker node has about twenty.
const CONTROL_MAX: usize = 512;

/// How long a client may take from connecting to its Hello. A live one takes microseconds.
const HANDSHAKE: Duration = Duration::from_secs(2);

/// The same for users whom we do not trust, while as many are half open as may be: they must not keep others out.
const HANDSHAKE_CROWDED: Duration = Duration::from_millis(100);

/// Pause in accepting after the system ran out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Events taken from epoll in one `poll`.
const EVENTS_MAX: usize = 64;

/// Epoll key of the listener.
const LISTENER: u64 = 0;

/// Epoll key of the bell that the engine thread rings.
const BELL: u64 = 1;

/// Listener and connections. Lives on the control thread.
pub struct Acceptor {
    config: Config,
    link: Arc<Link>,
    listener: Option<OwnedFd>,
    /// Whether the listener is in the epoll set now.
    listening: bool,
    paused_until: Option<Instant>,
    epoll: OwnedFd,
    connections: HashMap<u64, Connection>,
    /// Connection of each live session.
    sessions: HashMap<u32, u64>,
    /// Sessions whose memory the engine has not given back yet.
    seats: usize,
    /// Connections that ended since [`Acceptor::take_closed`].
    closed: Vec<ConnectionId>,
    next_connection: u64,
    next_session: u32,
    own_uid: u32,
    /// Room for one datagram of a client.
    buf: Vec<u8>,
    counters: AcceptorCounters,
}

impl Acceptor {
    pub(crate) fn new(config: Config, link: Arc<Link>) -> io::Result<Self> {
        let listener = seqpacket::listen(&config.path, config.mode)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let key = epoll::EventData::new_u64;
        epoll::add(&epoll, &listener, key(LISTENER), epoll::EventFlags::IN)?;
        epoll::add(&epoll, &link.control_bell, key(BELL), epoll::EventFlags::IN)?;
        Ok(Self {
            next_session: config.first_session,
            config,
            link,
            listener: Some(listener),
            listening: true,
            paused_until: None,
            epoll,
            connections: HashMap::new(),
            sessions: HashMap::new(),
            seats: 0,
            closed: Vec::new(),
            next_connection: BELL + 1,
            own_uid: rustix::process::geteuid().as_raw(),
            buf: vec![0; crate::hello::REQUEST_BYTES_MAX],
            counters: AcceptorCounters::default(),
        })
    }

    /// Waits up to `timeout` for something to do, does it, and gives each question to `sink`. Also returns
    /// early, with nothing done, when only a deadline has passed.
    ///
    /// # Errors
    /// What epoll says; anything that concerns one connection only ends that connection.
    pub fn poll(&mut self, timeout: Duration, sink: &mut dyn FnMut(&Ask<'_>)) -> io::Result<()> {
        let now = Instant::now();
        let until = self.next_deadline().map(|at| at.saturating_duration_since(now));
        let wait = until.map_or(timeout, |until| until.min(timeout));
        let wait = rustix::event::Timespec {
            tv_sec: wait.as_secs() as i64,
            tv_nsec: wait.subsec_nanos().into(),
        };
        // Not kept from call to call: an `epoll::Event` is not `Send`, and the acceptor moves to its thread.
        let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS_MAX);
        let spare = rustix::buffer::spare_capacity(&mut events);
        let waited = epoll::wait(&self.epoll, spare, Some(&wait));
        for event in events.drain(..) {
            match event.data.u64() {
                LISTENER => self.accept(),
                BELL => {
                    let _ = rustix::io::read(&self.link.control_bell, &mut [0; 8]);
                }
                key => self.serve(key & !NOTICES, event.flags, sink),
            }
        }
        self.departures();
        self.expire(Instant::now());
        match waited {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Readable whenever [`Acceptor::poll`] has something to do, so that a control thread with other
    /// duties can wait for all of them at once. Deadlines are not in it: poll at least once a second.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Answers a question. If the client is gone meanwhile, nothing happens.
    pub fn answer(&mut self, id: AskId, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(&id.connection) else { return };
        if !connection.answer(&self.epoll, id.connection, id.request, bytes) {
            self.counters.unread += 1;
            self.drop_connection(id.connection);
        }
    }

    /// Tells a connection something it did not ask for, if it took a socket for that. One that lets too much
    /// pile up unread is closed: it learns that it missed something by losing its connection.
    pub fn notify(&mut self, to: ConnectionId, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(&to.0) else { return };
        if bytes.len() > NOTICE_BYTES_MAX || !connection.notify(&self.epoll, to.0, bytes) {
            self.counters.unread += 1;
            connection.refuse(Cause::Backlog);
            self.drop_connection(to.0);
        }
    }

    /// Ends a connection without rings.
    pub fn hang_up(&mut self, id: ConnectionId, cause: Cause) {
        if let Some(connection) = self.connections.get_mut(&id.0)
            && connection.session.is_none()
        {
            connection.refuse(cause);
            self.drop_connection(id.0);
        }
    }

    /// Connections that ended since the last call: whatever was kept for them can go.
    pub fn take_closed(&mut self) -> Vec<ConnectionId> {
        std::mem::take(&mut self.closed)
    }

    /// Stops listening and removes the socket file; sessions live on until they close.
    pub fn stop_listening(&mut self) {
        if self.listener.take().is_some() {
            self.listening = false;
            let _ = std::fs::remove_file(&self.config.path);
        }
    }

    /// Tells every client that the engine stops and closes all connections.
    pub fn close_all(&mut self) {
        self.stop_listening();
        for connection in self.connections.values_mut() {
            connection.refuse(Cause::Stopping);
        }
        self.connections.clear();
        self.sessions.clear();
    }

    /// Sets who may connect from now on; who is connected stays.
    pub fn set_access(&mut self, access: Access) {
        self.config.access = access;
    }

    /// Where it listens.
    pub fn path(&self) -> &PathBuf {
        &self.config.path
    }

    /// What happened so far.
    pub fn counters(&self) -> &AcceptorCounters {
        &self.counters
    }

    /// When a connection is given up that says nothing, or new ones are taken again: [`Acceptor::poll`] is to be called
    /// then, if not before.
    pub fn next_deadline(&self) -> Option<Instant> {
        let crowded = self.is_crowded();
        let stages = self.connections.values().filter_map(|c| greets_until(c, crowded));
        stages.chain(self.paused_until).min()
    }

    /// Whether nobody else is let in because of those that have not finished their handshake.
    fn is_crowded(&self) -> bool {
        self.half_open() >= HALF_OPEN_MAX
    }

    fn accept(&mut self) {
        while self.half_open() < HALF_OPEN_MAX {
            let Some(listener) = &self.listener else { return };
            match accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(fd) => self.adopt(fd),
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return,
                Err(rustix::io::Errno::CONNABORTED) => {}
                Err(_) => {
                    // Out of descriptors or memory: without a pause the listener would stay
                    // readable and this thread would spin.
                    self.counters.accept_failed += 1;
                    self.paused_until = Some(Instant::now() + ACCEPT_PAUSE);
                    self.listen_again();
                    return;
                }
            }
        }
        self.listen_again();
    }

    fn half_open(&self) -> usize {
        self.connections.values().filter(|c| matches!(c.stage, Stage::Greeting { .. })).count()
    }

    /// Puts the listener into the epoll set or takes it out, as limits ask.
    fn listen_again(&mut self) {
        let Some(listener) = &self.listener else { return };
        let wanted = self.half_open() < HALF_OPEN_MAX && self.paused_until.is_none();
        if wanted != self.listening {
            let flags = if wanted { epoll::EventFlags::IN } else { epoll::EventFlags::empty() };
            let data = epoll::EventData::new_u64(LISTENER);
            if epoll::modify(&self.epoll, listener, data, flags).is_ok() {
                self.listening = wanted;
            }
        }
    }

    fn adopt(&mut self, fd: OwnedFd) {
        let key = self.next_connection;
        let data = epoll::EventData::new_u64(key);
        let Ok(peer) = Peer::of(&fd) else { return };
        if epoll::add(&self.epoll, &fd, data, epoll::EventFlags::IN).is_err() {
            return;
        }
        self.next_connection += 1;
        self.counters.accepted += 1;
        let trust = self.config.access.admit(peer.uid, peer.gids(), self.own_uid);
        let trusted = trust == Some(Trust::Shared);
        let connection = Connection::new(fd, peer, trusted, Instant::now() + HANDSHAKE);
        self.connections.insert(key, connection);
    }

    /// A connection is readable, writable or gone.
    fn serve(&mut self, key: u64, flags: epoll::EventFlags, sink: &mut dyn FnMut(&Ask<'_>)) {
        let mut buf = std::mem::take(&mut self.buf);
        self.serve_with(key, flags, &mut buf, sink);
        self.buf = buf;
    }

    fn serve_with(
        &mut self,
        key: u64,
        flags: epoll::EventFlags,
        buf: &mut [u8],
        sink: &mut dyn FnMut(&Ask<'_>),
    ) {
        // A few datagrams at a time: a client that talks without end must not keep others waiting.
        for _ in 0..8 {
            let Some(connection) = self.connections.get_mut(&key) else { return };
            if !connection.flush(&self.epoll, key) {
                return self.drop_connection(key);
            }
            let received = seqpacket::recv_bytes(connection.fd(), buf);
            let len = match received {
                Ok(0) => return self.drop_connection(key),
                Ok(len) => len,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    // Its main socket has nothing more: the end must be that of the one for notices.
                    if flags.intersects(epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
                        self.drop_connection(key);
                    }
                    return;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => {
                    if e.kind() == io::ErrorKind::InvalidData {
                        self.malformed(key);
                    }
                    return self.drop_connection(key);
                }
            };
            match connection.stage {
                Stage::Greeting { .. } => self.greet(key, &buf[..len]),
                Stage::Open { .. } => self.ask(key, &buf[..len], sink),
                // It was told to go; what it says does not matter any more.
                Stage::Leaving => {}
            }
        }
    }

    fn malformed(&mut self, key: u64) {
        self.counters.malformed += 1;
        if let Some(connection) = self.connections.get_mut(&key) {
            connection.refuse(Cause::Protocol);
        }
    }

    fn ask(&mut self, key: u64, bytes: &[u8], sink: &mut dyn FnMut(&Ask<'_>)) {
        let Some(connection) = self.connections.get(&key) else { return };
        if let Some(number) = connection::read_wish(bytes)
            && connection.ring(number)
        {
            return;
        }
        let Some((request, bytes)) = connection::read_request(bytes) else {
            self.malformed(key);
            return self.drop_connection(key);
        };
        self.counters.asks += 1;
        let Stage::Open { session } = connection.stage else { return };
        let Peer { uid, pid, .. } = connection.peer;
        let trust = self.config.access.admit(uid, connection.peer.gids(), self.own_uid);
        let id = AskId { connection: key, request };
        sink(&Ask { id, uid, pid, trust, session, bytes });
    }

    /// Closes a connection; if it had a session, the engine is told.
    fn drop_connection(&mut self, key: u64) {
        let Some(connection) = self.connections.remove(&key) else { return };
        if let Some(session) = connection.session {
            self.sessions.remove(&session);
            self.link.arrive(Arrival::Gone { session });
        }
        self.closed.push(ConnectionId(key));
        drop(connection);
        self.listen_again();
    }

    /// What the engine thread says: sessions to end, memory to give back.
    fn departures(&mut self) {
        while let Some(departure) = self.link.departures.pop() {
            match departure {
                Departure::Evicted { session, cause } => {
                    let key = self.sessions.get(&session);
                    if let Some(connection) = key.and_then(|key| self.connections.get_mut(key)) {
                        connection.refuse(cause);
                    }
                }
                Departure::Closed { session, cause, memory } => {
                    self.seats = self.seats.saturating_sub(1);
                    drop(memory);
                    let key = self.sessions.remove(&session);
                    if let Some(key) = key
                        && let Some(mut connection) = self.connections.remove(&key)
                    {
                        self.closed.push(ConnectionId(key));
                        connection.refuse(cause);
                    }
                }
            }
        }
    }

    fn expire(&mut self, now: Instant) {
        if self.paused_until.is_some_and(|until| until <= now) {
            self.paused_until = None;
        }
        let crowded = self.is_crowded();
        let is_late = |c: &Connection| greets_until(c, crowded).is_some_and(|until| until <= now);
        let late: Vec<u64> =
            self.connections.iter().filter(|(_, c)| is_late(c)).map(|(key, _)| *key).collect();
        for key in late {
            self.counters.late += 1;
            if let Some(connection) = self.connections.get_mut(&key) {
                connection.refuse(Cause::Late);
            }
            self.drop_connection(key);
        }
        self.listen_again();
    }
}

/// Until when we wait for a connection's Hello, if we do.
fn greets_until(connection: &Connection, crowded: bool) -> Option<Instant> {
    match connection.stage {
        Stage::Greeting { until } if crowded && !connection.trusted => {
            Some(until - (HANDSHAKE - HANDSHAKE_CROWDED))
        }
        Stage::Greeting { until } => Some(until),
        Stage::Open { .. } | Stage::Leaving => None,
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.stop_listening();
    }
}

#[cfg(test)]
mod tests;
