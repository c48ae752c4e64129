//! Waiting: for something to read, for room to write, or for the end.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use ring::shm::ShmError;
use rustix::event::epoll;
use rustix::net::RecvFlags;
use zerocopy::IntoBytes;

use super::Attachment;
use super::socket::timespec;
use crate::hello::{Head, Request, Type};
use crate::seqpacket;

/// Key of the socket in the set.
const SOCKET: u64 = 0;

/// Key of the bell in the set.
const BELL: u64 = 1;

/// Pause between two looks for room when the bell is a socket, which is not rung for room.
const ROOM_PAUSE: Duration = Duration::from_micros(100);

/// Socket and bell in one descriptor.
pub(super) fn pair(socket: BorrowedFd<'_>, bell: &OwnedFd) -> Result<OwnedFd, ShmError> {
    let os = |step| move |e: rustix::io::Errno| ShmError::Os { step, source: e.into() };
    let set = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(os("make an epoll"))?;
    let flags = epoll::EventFlags::IN | epoll::EventFlags::RDHUP;
    let data = epoll::EventData::new_u64;
    epoll::add(&set, socket, data(SOCKET), flags).map_err(os("watch the engine's socket"))?;
    epoll::add(&set, bell, data(BELL), epoll::EventFlags::IN).map_err(os("watch the bell"))?;
    Ok(set)
}

impl Attachment {
    /// Readable when the engine has delivered something, taken something, or ended the session, if
    /// [`Attachment::arm`] was called before. For epoll, poll and their like.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Asks the engine to ring when there is something new. True: there was nothing up to this
    /// moment, so waiting makes sense. False: there is something already. Afterwards, before
    /// reading on: [`Attachment::disarm`].
    pub fn arm(&mut self) -> bool {
        self.sleeper.prepare();
        !self.has_next()
    }

    /// The engine need not ring any more; looks whether the session is over.
    pub fn disarm(&mut self) {
        self.sleeper.cancel();
        self.look_at_socket();
    }

    /// Waits until there is something to read or (`or_room`) room for that many bytes in the submit
    /// ring, or the session is over. False: the time is over. May return early for no reason.
    ///
    /// # Errors
    /// What the kernel says to waiting.
    pub fn wait(&mut self, timeout: Option<Duration>, or_room: Option<usize>) -> io::Result<bool> {
        if self.bell.is_some() {
            return self.wait_on_socket(timeout, or_room);
        }
        self.sleeper.prepare();
        let room = or_room.is_some_and(|bytes| self.submit.room().map_or(true, |r| r >= bytes));
        let idle = !room && (or_room.is_some() || !self.has_next()) && self.ended.is_none();
        if !idle {
            self.sleeper.cancel();
            return Ok(true);
        }
        let timeout = timeout.map(timespec);
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); 2];
        let outcome = match epoll::wait(&self.epoll, &mut events[..], timeout.as_ref()) {
            Ok((ready, _)) => {
                let socket = ready.iter().any(|event| event.data.u64() == SOCKET);
                Ok((!ready.is_empty(), socket))
            }
            Err(rustix::io::Errno::INTR) => Ok((true, false)),
            Err(e) => Err(e),
        };
        self.sleeper.cancel();
        let (rung, socket) = outcome?;
        if socket {
            self.look_at_socket();
        }
        Ok(rung)
    }

    /// The socket that is the bell, if it was asked for: its peer is the engine as `SO_PEERCRED` tells, and after
    /// [`Attachment::settle`] it is readable if and only if there is something to read, or the session is over.
    pub fn bell(&self) -> Option<BorrowedFd<'_>> {
        self.bell.as_ref().map(AsFd::as_fd)
    }

    /// Whether the bell is a socket and readable now.
    pub fn is_rung(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let peek = |bell| rustix::net::recv(bell, &mut [0; 4], flags);
        self.bell.as_ref().is_some_and(|bell| peek(bell) != Err(rustix::io::Errno::AGAIN))
    }

    /// To be called before the program goes back to waiting on the bell by its own means. `pending`: the caller
    /// has something left that it read before.
    ///
    /// With a bell that is a socket the sleep stays announced all the time, each with a number of its own, and
    /// rings that are not read stay in the socket. So while there is something to read, the ring that announced
    /// it is simply left there. Once there is nothing: a new sleep is announced *first*, then everything is
    /// looked at once more, and only then rings of older sleeps are taken out. A ring for the new sleep can only
    /// be for something that came after the look, so it stays.
    pub fn settle(&mut self, pending: bool) {
        if self.bell.is_none() {
            return;
        }
        if !pending && !self.has_next() {
            self.sleeper.cancel();
            self.sleeper.prepare();
            if !self.has_next() {
                return self.forget_rings();
            }
        }
        if !self.is_rung() && self.ended.is_none() {
            // It was found by looking, before anybody had to ring: the engine's control thread rings for it.
            let wish =
                Request { head: Head::new(Type::Ring), request: self.sleeper.epoch().into() };
            let _ = seqpacket::send(self.control.fd(), wish.as_bytes(), &[]);
        }
    }

    /// Takes rings of older sleeps out of the socket; at its end learns why the session is over.
    fn forget_rings(&mut self) {
        let Some(bell) = &self.bell else { return };
        let mut ring = [0; 4];
        let peek = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        loop {
            match rustix::net::recv(bell, &mut ring, peek) {
                Ok((_, 4)) if u32::from_le_bytes(ring) != self.sleeper.epoch() => {
                    let _ = rustix::net::recv(bell, &mut ring, RecvFlags::DONTWAIT);
                }
                Ok((_, 0)) => return self.look_at_socket(),
                _ => return,
            }
        }
    }

    /// [`Attachment::wait`] when the bell is a socket.
    fn wait_on_socket(
        &mut self,
        timeout: Option<Duration>,
        or_room: Option<usize>,
    ) -> io::Result<bool> {
        if let Some(bytes) = or_room {
            if self.submit.room().is_ok_and(|room| room < bytes) && self.ended.is_none() {
                std::thread::sleep(timeout.map_or(ROOM_PAUSE, |left| left.min(ROOM_PAUSE)));
                self.look_at_socket();
            }
            return Ok(true);
        }
        self.settle(false);
        if self.has_next() {
            return Ok(true);
        }
        let timeout = timeout.map(timespec);
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); 2];
        let (any, socket) = match epoll::wait(&self.epoll, &mut events[..], timeout.as_ref()) {
            Ok((ready, _)) => {
                let socket = ready.iter().any(|event| event.data.u64() == SOCKET);
                (!ready.is_empty(), socket)
            }
            Err(rustix::io::Errno::INTR) => (true, false),
            Err(e) => return Err(e.into()),
        };
        if socket {
            self.look_at_socket();
        }
        Ok(any)
    }
}
