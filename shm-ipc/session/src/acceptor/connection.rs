//! One accepted socket: its stage, and what waits to be sent on it.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use rustix::event::epoll;
use rustix::net::{Shutdown, shutdown};
use zerocopy::{FromBytes, IntoBytes};

use crate::hello::{ANSWER_BYTES_MAX, Cause, Head, MORE, Refusal, Request, Type};
use crate::peer::Peer;
use crate::seqpacket;

/// Answers that may wait for a client to read them, in bytes: a few status documents. As much again may wait
/// on the socket for notices.
const UNREAD_BYTES_MAX: usize = 4 << 20;

/// Longest notice, in bytes.
pub(super) const NOTICE_BYTES_MAX: usize = ANSWER_BYTES_MAX - size_of::<Request>();

/// One socket, and what waits to be sent on it.
pub(super) struct Line {
    fd: OwnedFd,
    /// What epoll watches besides room to send.
    always: epoll::EventFlags,
    unsent: VecDeque<Vec<u8>>,
    unsent_bytes: usize,
}

impl Line {
    fn new(fd: OwnedFd, always: epoll::EventFlags) -> Self {
        Self { fd, always, unsent: VecDeque::new(), unsent_bytes: 0 }
    }

    /// Sends a datagram now or when there is room. False: the connection is broken, or too much waits unread.
    fn send(&mut self, set: impl AsFd, key: u64, datagram: Vec<u8>) -> bool {
        if self.unsent_bytes + datagram.len() > UNREAD_BYTES_MAX {
            return false;
        }
        self.unsent_bytes += datagram.len();
        self.unsent.push_back(datagram);
        self.flush(set, key)
    }

    /// Sends what waits, as far as the socket takes it. False: the connection is broken.
    fn flush(&mut self, set: impl AsFd, key: u64) -> bool {
        let waited = !self.unsent.is_empty();
        while let Some(datagram) = self.unsent.front() {
            match seqpacket::send(&self.fd, datagram, &[]) {
                Ok(()) => {
                    self.unsent_bytes -= datagram.len();
                    self.unsent.pop_front();
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
        }
        if waited {
            let more = !self.unsent.is_empty();
            let out = if more { epoll::EventFlags::OUT } else { epoll::EventFlags::empty() };
            let flags = self.always | out;
            return epoll::modify(set, &self.fd, epoll::EventData::new_u64(key), flags).is_ok();
        }
        true
    }
}

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    /// We wait for its Hello.
    Greeting { until: Instant },
    /// It may ask.
    Open { session: Option<u32> },
    /// We told it to go and wait until it has.
    Leaving,
}

/// One accepted socket.
pub(super) struct Connection {
    main: Line,
    /// For notices, if it asked for that.
    notices: Option<Line>,
    /// Its bell, if that is a socket.
    bell: Option<OwnedFd>,
    pub(super) stage: Stage,
    /// Whether its user was in the shared trust domain when it connected.
    pub(super) trusted: bool,
    /// The session that hangs on this socket, from the Welcome to its end.
    pub(super) session: Option<u32>,
    pub(super) peer: Peer,
}

impl Connection {
    pub(super) fn new(fd: OwnedFd, peer: Peer, trusted: bool, until: Instant) -> Self {
        Self {
            main: Line::new(fd, epoll::EventFlags::IN),
            notices: None,
            bell: None,
            stage: Stage::Greeting { until },
            trusted,
            session: None,
            peer,
        }
    }

    /// Its socket.
    pub(super) fn fd(&self) -> &OwnedFd {
        &self.main.fd
    }

    /// From here on notices can be sent to it, on this socket.
    pub(super) fn take_notices_on(&mut self, fd: OwnedFd) {
        // Its end shows without being asked for.
        self.notices = Some(Line::new(fd, epoll::EventFlags::empty()));
    }

    /// Its bell is this socket (the engine thread has another descriptor of the same).
    pub(super) fn take_bell(&mut self, fd: OwnedFd) {
        self.bell = Some(fd);
    }

    /// Rings its bell. False: it has none that is a socket.
    pub(super) fn ring(&self, number: u32) -> bool {
        let Some(bell) = &self.bell else { return false };
        // No room: then it is readable already.
        let _ = seqpacket::send(bell, &number.to_le_bytes(), &[]);
        true
    }

    /// Says why, and that nothing more will come; the other side closes when it has read it.
    pub(super) fn refuse(&mut self, cause: Cause) {
        if matches!(self.stage, Stage::Leaving) {
            return;
        }
        self.main.unsent.clear();
        let _ = seqpacket::send(&self.main.fd, Refusal::new(cause).as_bytes(), &[]);
        let _ = shutdown(&self.main.fd, Shutdown::Write);
        let more = self.notices.iter().map(|line| &line.fd).chain(&self.bell);
        more.for_each(|fd| _ = shutdown(fd, Shutdown::Write));
        self.stage = Stage::Leaving;
    }

    /// Sends an answer, in parts if it is long. False: the client lets too much pile up unread.
    pub(super) fn answer(&mut self, set: impl AsFd, key: u64, request: u32, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        loop {
            let room = ANSWER_BYTES_MAX - size_of::<Request>();
            let (part, after) = rest.split_at(rest.len().min(room));
            rest = after;
            let mut head = Head::new(Type::Answer);
            head.flags = if rest.is_empty() { 0 } else { MORE };
            if !self.main.send(&set, key, datagram(head, request, part)) {
                return false;
            }
            if rest.is_empty() {
                return true;
            }
        }
    }

    /// Sends a notice of at most [`NOTICE_BYTES_MAX`]. False: it takes none, is broken, or lets too much pile up
    /// unread.
    pub(super) fn notify(&mut self, set: impl AsFd, key: u64, bytes: &[u8]) -> bool {
        let Some(line) = &mut self.notices else { return false };
        line.send(set, key | NOTICES, datagram(Head::new(Type::Notice), 0, bytes))
    }

    /// Sends what waits, as far as the sockets take it. False: the connection is broken.
    pub(super) fn flush(&mut self, set: impl AsFd, key: u64) -> bool {
        self.main.flush(&set, key)
            && self.notices.as_mut().is_none_or(|line| line.flush(&set, key | NOTICES))
    }
}

/// The number of a wish to be rung for.
pub(super) fn read_wish(bytes: &[u8]) -> Option<u32> {
    Head::read(bytes, Type::Ring)?;
    let wish = Request::read_from_bytes(bytes).ok()?;
    Some(wish.request.get())
}

/// Set in the epoll key of a connection's socket for notices.
pub(super) const NOTICES: u64 = 1 << 63;

fn datagram(head: Head, number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut datagram = Request { head, request: number.into() }.as_bytes().to_vec();
    datagram.extend_from_slice(bytes);
    datagram
}

/// Number and contents of a request.
pub(super) fn read_request(bytes: &[u8]) -> Option<(u32, &[u8])> {
    Head::read(bytes, Type::Request)?;
    let (request, rest) = Request::read_from_prefix(bytes).ok()?;
    Some((request.request.get(), rest))
}
