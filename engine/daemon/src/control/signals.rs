//! Signals, as bytes in sockets that the control thread waits for.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::epoll;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level::pipe};

/// What signals asked for since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Leave and end; the signal's name.
    pub(crate) stop: Option<&'static str>,
    /// Open the log anew.
    pub(crate) reopen: bool,
}

/// The signals an engine answers to.
pub(crate) struct Signals {
    term: UnixStream,
    int: UnixStream,
    hup: UnixStream,
    /// Both of them in one descriptor.
    epoll: OwnedFd,
    /// Set once we have been asked to stop: the next SIGTERM or SIGINT ends the process at once.
    stopping: Arc<AtomicBool>,
}

impl Signals {
    /// Takes over SIGTERM, SIGINT and SIGHUP. `exit_code` is for those who cannot wait: the second
    /// SIGTERM or SIGINT ends the process at once with it.
    ///
    /// # Errors
    /// When the system gives no sockets.
    pub(crate) fn install(exit_code: i32) -> io::Result<Self> {
        let stopping = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            flag::register_conditional_shutdown(signal, exit_code, stopping.clone())?;
        }
        let (term, int, hup) = (pipe_of(SIGTERM)?, pipe_of(SIGINT)?, pipe_of(SIGHUP)?);
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for stream in [&term, &int, &hup] {
            epoll::add(&epoll, stream, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
        }
        Ok(Self { term, int, hup, epoll, stopping })
    }

    /// What was asked for since the last call.
    pub(crate) fn take(&mut self) -> Asked {
        let term = drain(&mut self.term);
        let int = drain(&mut self.int);
        let stop = if term { Some("SIGTERM") } else { int.then_some("SIGINT") };
        if stop.is_some() {
            self.stopping.store(true, Ordering::Relaxed);
        }
        Asked { stop, reopen: drain(&mut self.hup) }
    }
}

impl AsFd for Signals {
    /// Readable when [`Signals::take`] has something to say.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

fn pipe_of(signal: i32) -> io::Result<UnixStream> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    pipe::register(signal, theirs)?;
    Ok(ours)
}

fn drain(stream: &mut UnixStream) -> bool {
    let mut any = false;
    while stream.read(&mut [0; 64]).is_ok_and(|count| count > 0) {
        any = true;
    }
    any
}
