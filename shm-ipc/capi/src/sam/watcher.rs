//! The watcher: the process that called `sam_register`, while another one of it goes on with the program.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use services::{Notice, quorum};

use super::channel::{Channel, Command};
use super::keys::{Keys, State};
use super::{Policy, Store};
use crate::error::{INVALID_PARAM, LIBRARY, Outcome};
use crate::service::Connection;

/// `CS_DISPATCH_ALL`.
const ALL: i32 = 2;

/// What tells the watcher whether there is a quorum.
pub(crate) struct Quorum {
    connection: Connection<()>,
    quorate: bool,
}

impl Quorum {
    /// Connects and hears how it stands now.
    pub(crate) fn open() -> Outcome<Self> {
        let connection = Connection::open(())?;
        let track = services::Track { current: true, changes: true, changes_only: false };
        connection.order(&services::Request::Quorum(quorum::Request::Track(track)))?;
        let mut quorum = Self { connection, quorate: false };
        quorum.look()?;
        Ok(quorum)
    }

    /// Takes what is new.
    fn look(&mut self) -> Outcome {
        let quorate = &mut self.quorate;
        self.connection.dispatch(ALL, &mut |notice| {
            if let Notice::Quorum(quorum::Notice::Quorum { quorate: now, .. }) = notice {
                *quorate = now;
            }
        })
    }
}

/// A process that is watched.
pub(crate) struct Child {
    pid: libc::pid_t,
    /// Readable once it has ended.
    ended: OwnedFd,
}

impl Child {
    /// For a process that was just forked.
    pub(crate) fn new(pid: libc::pid_t) -> Outcome<Self> {
        // SAFETY: it makes a descriptor and touches no memory.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } as i32;
        if fd < 0 {
            return Err(LIBRARY);
        }
        // SAFETY: the kernel just made this descriptor, and nobody else knows it.
        Ok(Self { pid, ended: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    fn signal(&self, signal: i32) {
        // SAFETY: a number to the kernel. The process is ours and not yet waited for, so the number is still its own.
        unsafe { libc::kill(self.pid, signal) };
    }

    /// Waits for its end; the code it ended with, 0 after a signal.
    pub(crate) fn wait(&self) -> i32 {
        let mut status = 0;
        loop {
            // SAFETY: room for one number, which lives during the call.
            let found = unsafe { libc::waitpid(self.pid, &raw mut status, 0) };
            if found >= 0
                || std::io::Error::last_os_error().kind() != std::io::ErrorKind::Interrupted
            {
                return libc::WEXITSTATUS(status);
            }
        }
    }
}

/// How watching a process came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It ended while nobody minded.
    Quit,
    /// It ended, or was ended, while it was watched.
    Failed,
}

/// Everything the watcher knows.
pub(crate) struct Watcher<'a> {
    pub(crate) policy: &'a mut Policy,
    pub(crate) store: &'a mut Store,
    pub(crate) quorum: Option<&'a mut Quorum>,
    pub(crate) keys: Option<&'a Keys>,
    pub(crate) channel: Channel,
    pub(crate) child: Child,
    /// Whether the process asked to be watched.
    watching: bool,
    /// Whether it was warned: next time it is killed.
    warned: bool,
    /// Whether it can still say something.
    open: bool,
    /// Since when nothing was heard.
    heard: Instant,
}

impl<'a> Watcher<'a> {
    pub(crate) fn new(
        policy: &'a mut Policy,
        store: &'a mut Store,
        quorum: Option<&'a mut Quorum>,
        keys: Option<&'a Keys>,
        channel: Channel,
        child: Child,
    ) -> Self {
        let (watching, warned, open) = (false, false, true);
        let heard = Instant::now();
        Self { policy, store, quorum, keys, channel, child, watching, warned, open, heard }
    }

    /// Watches until the process has ended.
    pub(crate) fn run(&mut self) -> std::io::Result<End> {
        loop {
            let ready = self.poll()?;
            // What it said last counts, even if it has ended since.
            if ready.channel {
                match self.channel.next()? {
                    Some(command) => self.obey(command),
                    // It ended, or it runs another program now, which may yet be waited for.
                    None => self.open = false,
                }
            } else if ready.ended {
                return Ok(if self.watching { End::Failed } else { End::Quit });
            } else if !ready.quorum {
                self.overdue();
            }
            if ready.quorum {
                self.quorum_changed();
            }
        }
    }

    fn poll(&self) -> std::io::Result<Ready> {
        let quorum = self.quorum.as_ref().map_or(-1, |quorum| quorum.connection.fd());
        // Descriptors below 0 are passed over.
        let channel = if self.open { self.channel.fd() } else { -1 };
        let mut fds = [channel, self.child.ended.as_raw_fd(), quorum].map(|fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        });
        let timeout_ms = self
            .rest()
            .map_or(-1, |rest| i32::try_from(rest.as_micros().div_ceil(1000)).unwrap_or(i32::MAX));
        // SAFETY: as many entries as said, which live during the call.
        let found = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout_ms) };
        if found < 0 {
            let error = std::io::Error::last_os_error();
            return match error.kind() {
                // Nothing happened; `overdue` looks at the clock itself.
                std::io::ErrorKind::Interrupted => Ok(Ready::default()),
                _ => Err(error),
            };
        }
        let [channel, ended, quorum] = fds.map(|fd| fd.revents != 0);
        Ok(Ready { channel, ended, quorum })
    }

    /// For how long it may still be silent; `None`: for ever.
    fn rest(&self) -> Option<Duration> {
        let limit = self.policy.interval().filter(|_| self.watching)?;
        Some(limit.saturating_sub(self.heard.elapsed()))
    }

    fn overdue(&mut self) {
        if self.rest() == Some(Duration::ZERO) {
            self.end_it();
        }
    }

    /// Warns the process, or kills it if it was warned before.
    fn end_it(&mut self) {
        let signal = if self.warned { libc::SIGKILL } else { self.policy.warn_signal };
        self.child.signal(signal);
        self.warned = true;
        self.heard = Instant::now();
    }

    fn obey(&mut self, command: Command) {
        self.heard = Instant::now();
        if let Some(keys) = self.keys {
            keys.heard();
        }
        match command {
            Command::Alive => {}
            Command::Start => {
                let outcome = self.start();
                self.watching |= outcome.is_ok();
                self.heard = Instant::now();
                self.channel.answer(outcome);
            }
            Command::Stop => {
                let outcome = self.keys.map_or(Ok(()), |keys| keys.state(State::Stopped));
                self.watching &= outcome.is_err();
                self.channel.answer(outcome);
            }
            Command::WarnSignal(signal) => {
                self.policy.warn_signal = signal;
                self.channel.answer(Ok(()));
            }
            Command::Data(data) => {
                *self.store = data;
                self.channel.answer(Ok(()));
            }
            Command::Refused(error) => self.channel.answer(Err(error)),
            Command::Failed => {
                self.watching = true;
                self.warned = true;
                self.policy.restart = false;
                self.end_it();
            }
        }
    }

    /// Waits for a quorum if the policy asks for one.
    fn start(&mut self) -> Outcome {
        if self.quorum.is_some() {
            if let Some(keys) = self.keys {
                keys.state(State::Waiting)?;
            }
            let outcome = self.wait_for_quorum();
            if let (Err(_), Some(keys)) = (outcome, self.keys) {
                let _ = keys.state(State::Stopped);
            }
            outcome?;
        }
        self.keys.map_or(Ok(()), |keys| keys.state(State::Running))
    }

    fn wait_for_quorum(&mut self) -> Outcome {
        loop {
            let quorum = self.quorum.as_mut().ok_or(INVALID_PARAM)?;
            quorum.look()?;
            if quorum.quorate {
                return Ok(());
            }
            // The channel cannot say anything meanwhile: the process waits for the answer.
            let mut fds = [self.child.ended.as_raw_fd(), quorum.connection.fd()]
                .map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
            // SAFETY: as many entries as said, which live during the call. Whatever ends it, both are looked at.
            unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, -1) };
            if fds[0].revents != 0 {
                return Err(LIBRARY);
            }
        }
    }

    /// The quorum was won or lost, or nobody can say so any more.
    fn quorum_changed(&mut self) {
        let Some(quorum) = self.quorum.as_mut() else { return };
        let known = quorum.look().is_ok();
        let quorate = known && quorum.quorate;
        if !known {
            // It stays readable; with nobody to ask, the process gets the time that it was given, as ever.
            self.quorum = None;
        }
        if self.watching && !quorate {
            self.end_it();
            if !known && self.policy.interval().is_none() {
                self.end_it();
            }
        }
    }
}

/// What there is to do.
#[derive(Default)]
struct Ready {
    channel: bool,
    ended: bool,
    quorum: bool,
}
