//! What the libraries over the socket have in common: connect, ask, wait, dispatch, finalize.

use std::os::fd::AsRawFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use services::{Answer, Client, Notice, Request};

use crate::edge::{CONNECT, NO_LIMIT, generation, lock, socket_path};
use crate::error::{
    BAD_HANDLE, INVALID_PARAM, LIBRARY, Outcome, TRY_AGAIN, of_connect, of_service,
};

/// How long a blocking dispatch waits before it looks whether its handle was finalized by another thread.
pub(crate) const LOOK: Duration = Duration::from_millis(200);

/// `cs_dispatch_flags_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dispatch {
    One,
    All,
    Blocking,
    OneNonblocking,
}

impl Dispatch {
    pub(crate) fn from_code(code: i32) -> Outcome<Self> {
        Ok(match code {
            1 => Self::One,
            2 => Self::All,
            3 => Self::Blocking,
            4 => Self::OneNonblocking,
            _ => return Err(INVALID_PARAM),
        })
    }

    /// Whether one callback is enough.
    pub(crate) fn is_one(self) -> bool {
        matches!(self, Self::One | Self::OneNonblocking)
    }

    /// What it returns when nothing is there; `None`: it waits.
    pub(crate) fn when_idle(self) -> Option<Outcome> {
        match self {
            Self::All => Some(Ok(())),
            Self::OneNonblocking => Some(Err(TRY_AGAIN)),
            Self::One | Self::Blocking => None,
        }
    }
}

/// A connection to the services, with the state `S` that a library keeps for it.
pub(crate) struct Connection<S> {
    inner: Mutex<Inner<S>>,
    /// Where notices come. Open as long as this lives.
    fd: i32,
    finalized: AtomicBool,
    context: AtomicUsize,
}

pub(crate) struct Inner<S> {
    client: Client,
    pub(crate) state: S,
}

impl<S> Inner<S> {
    pub(crate) fn ask(&mut self, request: &Request) -> Outcome<Answer> {
        self.client.ask(request).map_err(|error| of_service(&error))
    }
}

impl<S> Connection<S> {
    pub(crate) fn open(state: S) -> Outcome<Self> {
        let connected = Client::connect(&socket_path(), CONNECT);
        let mut client = connected.map_err(|error| of_connect(&error))?;
        client.set_timeout(NO_LIMIT);
        let fd = client.notices_fd().ok_or(LIBRARY)?.as_raw_fd();
        Ok(Self {
            fd,
            inner: Mutex::new(Inner { client, state }),
            finalized: AtomicBool::new(false),
            context: AtomicUsize::new(0),
        })
    }

    pub(crate) fn fd(&self) -> i32 {
        self.fd
    }

    pub(crate) fn context(&self) -> usize {
        self.context.load(Ordering::Relaxed)
    }

    pub(crate) fn set_context(&self, context: usize) {
        self.context.store(context, Ordering::Relaxed);
    }

    /// The connection and its state, for the length of one call.
    pub(crate) fn with<T>(&self, call: impl FnOnce(&mut Inner<S>) -> Outcome<T>) -> Outcome<T> {
        call(&mut lock(&self.inner))
    }

    /// Asks.
    pub(crate) fn ask(&self, request: &Request) -> Outcome<Answer> {
        self.with(|inner| inner.ask(request))
    }

    /// Asks for something that is only done.
    pub(crate) fn order(&self, request: &Request) -> Outcome {
        match self.ask(request)? {
            Answer::Done => Ok(()),
            _ => Err(LIBRARY),
        }
    }

    /// Marks it as over, for those who are inside.
    pub(crate) fn finalize(&self) {
        self.finalized.store(true, Ordering::Release);
    }

    /// Takes notices and gives each to `call`, with nothing locked, as `flags` say.
    pub(crate) fn dispatch(&self, flags: i32, call: &mut dyn FnMut(Notice)) -> Outcome {
        let dispatch = Dispatch::from_code(flags)?;
        let process = generation();
        loop {
            let next = lock(&self.inner).client.next_notice();
            match next {
                Ok(Some(notice)) => {
                    call(notice);
                    // Also in a child that the program made in its callback: the connection is its parent's.
                    if self.finalized.load(Ordering::Acquire) || process != generation() {
                        return Err(BAD_HANDLE);
                    }
                    if dispatch.is_one() {
                        return Ok(());
                    }
                }
                Ok(None) => {
                    if let Some(outcome) = dispatch.when_idle() {
                        return outcome;
                    }
                    if self.finalized.load(Ordering::Acquire) {
                        return Ok(());
                    }
                    wait_for(self.fd, LOOK);
                }
                Err(error) => return Err(of_service(&error)),
            }
        }
    }
}

/// Waits until a descriptor of ours is readable or its other end gone, at most this long; a signal ends it early.
pub(crate) fn wait_for(fd: i32, timeout: Duration) {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: one entry, which lives during the call.
    unsafe { libc::poll(&raw mut poll, 1, timeout_ms) };
}

/// Which changes, from `CS_TRACK_*`.
pub(crate) fn track(flags: u32) -> services::Track {
    services::Track {
        current: flags & 1 != 0,
        changes: flags & 2 != 0,
        changes_only: flags & 4 != 0,
    }
}
