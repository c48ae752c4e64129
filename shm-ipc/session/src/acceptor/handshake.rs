//! The handshake: Hello in, Welcome with descriptors (or a refusal) out.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use zerocopy::{FromBytes, IntoBytes};

use super::connection::{NOTICES, Stage};
use super::{Acceptor, CONTROL_MAX};
use crate::access::Trust;
use crate::hello::{Cause, Head, Hello, Purpose, SOCKET, Type, VERSION, Welcome};
use crate::link::{Arrival, NewSession};
use crate::seat::Seat;
use crate::seqpacket;

impl Acceptor {
    /// A connection's first datagram.
    pub(super) fn greet(&mut self, key: u64, bytes: &[u8]) {
        let outcome =
            self.read_hello(key, bytes).and_then(|(purpose, hello, trust)| match purpose {
                Purpose::Control => self.open_control(key, &hello, trust),
                Purpose::Session => self.open_session(key, &hello, trust),
            });
        let Err(cause) = outcome else { return self.listen_again() };
        match cause {
            Cause::Version => self.counters.refused_version += 1,
            Cause::NotAuthorised => self.counters.refused_user += 1,
            Cause::TooMany | Cause::Resources => self.counters.refused_limit += 1,
            _ => self.counters.malformed += 1,
        }
        if let Some(connection) = self.connections.get_mut(&key) {
            connection.refuse(cause);
        }
        self.drop_connection(key);
    }

    /// Checks everything a Hello can be wrong in.
    fn read_hello(&self, key: u64, bytes: &[u8]) -> Result<(Purpose, Hello, Trust), Cause> {
        let (head, _) = Head::read(bytes, Type::Hello).ok_or(Cause::Protocol)?;
        // Versions first: a Hello of another version may well be longer or shorter than ours.
        let version_max = bytes.get(8..10).ok_or(Cause::Protocol)?;
        let version_max = u16::from_le_bytes([version_max[0], version_max[1]]);
        if head.version.get() > VERSION || version_max < VERSION {
            return Err(Cause::Version);
        }
        let (hello, _) = Hello::read_from_prefix(bytes).map_err(|_| Cause::Protocol)?;
        if head.flags & !SOCKET != 0 || hello.reserved != 0 || hello.reserved_too.get() != 0 {
            return Err(Cause::Protocol);
        }
        let purpose = match hello.purpose {
            1 => Purpose::Session,
            2 => Purpose::Control,
            _ => return Err(Cause::Protocol),
        };
        let connection = self.connections.get(&key).ok_or(Cause::Gone)?;
        let trust =
            self.config.access.admit(connection.peer.uid, connection.peer.gids(), self.own_uid);
        Ok((purpose, hello, trust.ok_or(Cause::NotAuthorised)?))
    }

    fn open_control(&mut self, key: u64, hello: &Hello, trust: Trust) -> Result<(), Cause> {
        let open = |stage: &Stage| matches!(stage, Stage::Open { session: None });
        let count = self.connections.values().filter(|c| open(&c.stage)).count();
        if count >= share(trust, CONTROL_MAX) {
            return Err(Cause::TooMany);
        }
        let welcome = self.welcome(0, 0);
        let connection = self.connections.get_mut(&key).ok_or(Cause::Gone)?;
        let mut theirs = None;
        if hello.head.flags & SOCKET != 0 {
            let (fd, other) = pair()?;
            let data = epoll::EventData::new_u64(key | NOTICES);
            epoll::add(&self.epoll, &fd, data, epoll::EventFlags::empty())
                .map_err(|_| Cause::Resources)?;
            connection.take_notices_on(fd);
            theirs = Some(other);
        }
        connection.stage = Stage::Open { session: None };
        let fds: Vec<_> = theirs.iter().map(AsFd::as_fd).collect();
        seqpacket::send(connection.fd(), welcome.as_bytes(), &fds).map_err(|_| Cause::Gone)
    }

    fn open_session(&mut self, key: u64, hello: &Hello, trust: Trust) -> Result<(), Cause> {
        if self.seats >= share(trust, self.config.sessions_max) {
            return Err(Cause::TooMany);
        }
        let sizes = self.config.ring_sizes(hello.submit_bytes.get(), hello.private_bytes.get());
        let (mut bell, mut own_bell) = (None, None);
        if hello.head.flags & SOCKET != 0 {
            let (ours, theirs) = pair()?;
            own_bell = Some(ours.try_clone().map_err(|_| Cause::Resources)?);
            bell = Some((ours, theirs));
        }
        let (seat, submit, fds) = Seat::create(sizes, bell).map_err(|_| Cause::Resources)?;
        let engine_bell = self.link.engine_bell.bell_for_client().map_err(|_| Cause::Resources)?;
        let session = self.next_session;
        // Zero means "no session" in other places; four billion sessions later it would come up.
        self.next_session = self.next_session.wrapping_add(1).max(1);
        let mut welcome = self.welcome(session, if trust == Trust::Shared { 1 } else { 2 });
        welcome.submit_bytes = (sizes.submit_bytes as u32).into();
        welcome.private_bytes = (sizes.private_bytes as u32).into();
        let connection = self.connections.get_mut(&key).ok_or(Cause::Gone)?;
        let (uid, gid, pid) = (connection.peer.uid, connection.peer.gid(), connection.peer.pid);
        // The engine learns of the session first: once the client has its Welcome it may write.
        self.seats += 1;
        self.sessions.insert(session, key);
        connection.session = Some(session);
        if let Some(bell) = own_bell {
            connection.take_bell(bell);
        }
        connection.stage = Stage::Open { session: Some(session) };
        self.counters.sessions_opened += 1;
        self.link.arrive(Arrival::Open(Box::new(NewSession {
            session,
            pid,
            uid,
            gid,
            trust,
            seat: Box::new(seat),
            submit,
        })));
        let page = self.link.engine_bell.page_fd();
        let own = [&fds.client, &fds.engine, &fds.bell].map(AsFd::as_fd);
        let mut sent = vec![page, engine_bell.as_fd(), own[0], own[1], own[2]];
        if trust == Trust::Shared {
            sent.extend([self.link.region.as_fd(), self.link.delivery.as_fd()]);
        }
        seqpacket::send(connection.fd(), welcome.as_bytes(), &sent).map_err(|_| Cause::Gone)
    }

    fn welcome(&self, session: u32, trust: u8) -> Welcome {
        Welcome {
            head: Head::new(Type::Welcome),
            trust,
            reserved: [0; 3],
            session: session.into(),
            node: self.config.node.into(),
            delivery_bytes: self.link.delivery_bytes.into(),
            region_bytes: self.link.region_bytes.into(),
            message_bytes_max: self.config.message_bytes_max.into(),
            submit_bytes: 0.into(),
            private_bytes: 0.into(),
            boot: self.config.boot,
        }
    }
}

/// How many of so many places there may be before users of a trust domain get no more: the last quarter is for
/// those whom we trust, so that the others cannot keep them out.
fn share(trust: Trust, places: usize) -> usize {
    match trust {
        Trust::Shared => places,
        Trust::Private => places - places / 4,
    }
}

/// Two ends of a socket. Both were made by us, and the kernel says so to whoever asks for the peer of either
/// (`SO_PEERCRED`): that is how programs make sure that they talk to an engine that root started.
fn pair() -> Result<(OwnedFd, OwnedFd), Cause> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
        .map_err(|_| Cause::Resources)
}
