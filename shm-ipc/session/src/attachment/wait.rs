//! Waiting: for something to read, for room to write, or for the end.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use ring::bell::PollFd;
use ring::shm::ShmError;
use rustix::event::epoll;

use super::Attachment;
use super::socket::timespec;

/// Key of the socket in the set.
const SOCKET: u64 = 0;

/// Key of the bell in the set.
const BELL: u64 = 1;

/// Socket and bell in one descriptor.
pub(super) fn pair(socket: BorrowedFd<'_>, bell: &PollFd) -> Result<OwnedFd, ShmError> {
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
}
