//! The client's side of a session: submitting in place, reading in place, waiting.
//!
//! Everything read here comes from the engine, which a client trusts: it may stop the client any
//! time anyway. What is checked is checked so that mixed versions fail in good order, not to
//! withstand an attack.

mod read;
mod socket;
mod wait;

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use ring::bell::{PollFd, Ringer, Sleeper};
use ring::broadcast;
use ring::shm::{Access, Mapping, Segment, ShmError};
use ring::spsc::{Consumer, Loan, Producer, PushError, Record};

use crate::access::Trust;
use crate::config::RingSizes;
use crate::descriptor::Descriptor;
use crate::hello::{Cause, Purpose, Welcome};
use crate::layout::{RecordKind, tag};
use crate::park;
use crate::seat::Rings;
pub use read::Item;
pub use socket::{AskError, ConnectError, Control, QUESTION_BYTES_MAX};
use socket::{Welcomed, greet};

/// What a client asks for when it connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of the submit ring; 0: as the engine's configuration says. The engine rounds and bounds it.
    pub submit_bytes: u32,
    /// Bytes of the private ring; 0: as the engine's configuration says.
    pub private_bytes: u32,
    /// How long to wait for the engine.
    pub timeout: Duration,
    /// Whether the bell shall be a socket; see [`Attachment::bell`].
    pub socket: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { submit_bytes: 0, private_bytes: 0, timeout: Duration::from_secs(5), socket: false }
    }
}

/// Why nothing was submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// No room in the submit ring now: wait for it with [`Attachment::wait`].
    #[error("the submit ring is full")]
    Full,
    /// It would not even fit an empty ring.
    #[error("{found} bytes do not fit the submit ring, which takes {max}")]
    TooLong {
        /// Bytes asked for.
        found: usize,
        /// Bytes it takes.
        max: usize,
    },
    /// The session is over.
    #[error("the session is over: {}", .0.text())]
    Ended(Cause),
}

/// Where the next item comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Private,
    Delivery,
}

/// One session of this process.
pub struct Attachment {
    control: Control,
    welcome: Welcome,
    submit: Producer,
    engine: Ringer,
    private: Consumer,
    sleeper: Sleeper,
    /// What we are rung on, if it is a socket (else the sleeper has it).
    bell: Option<OwnedFd>,
    /// Bell and socket together.
    epoll: OwnedFd,
    region: Option<Mapping>,
    delivery: Option<(broadcast::Memory, broadcast::Cursor)>,
    /// Made when the engine first sends us to the delivery ring.
    reader: Option<broadcast::Reader>,
    source: Source,
    /// Leased and not read yet.
    lease: std::ops::Range<u64>,
    /// Everything of the delivery ring below this was read, here or there.
    next: u64,
    /// What the caller was given last, to be given back at the next call.
    reading: Option<(Descriptor, Reading)>,
    /// Something was given back to the private ring since it was last found empty.
    drained: bool,
    ended: Option<Cause>,
    idle_looks: u32,
}

/// What the caller holds.
#[derive(Clone, Copy, Debug)]
enum Reading {
    Private(Record),
    Delivery(u64),
}

impl Attachment {
    /// Connects to the engine that listens at `path`.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub fn connect(path: &Path, options: Options) -> Result<Self, ConnectError> {
        let sizes = (options.submit_bytes, options.private_bytes);
        let welcomed = greet(path, options.timeout, Purpose::Session, sizes, options.socket)?;
        let strange = |what| ConnectError::NotAnEngine { path: path.into(), what };
        let wanted = match welcomed.welcome.trust {
            1 => 7,
            2 => 5,
            _ => return Err(strange("its welcome is of an unknown kind")),
        };
        if welcomed.fds.len() != wanted {
            return Err(strange("its welcome came with the wrong number of descriptors"));
        }
        let memory = |source| ConnectError::Memory { path: path.into(), source };
        Self::attach(welcomed, options.socket).map_err(memory)
    }

    /// Maps what was received.
    fn attach(welcomed: Welcomed, socket: bool) -> Result<Self, ShmError> {
        let Welcomed { control, welcome, fds } = welcomed;
        let mut fds = fds.into_iter();
        let mut fd = || {
            let missing = || ShmError::Os {
                step: "take the descriptors of the welcome",
                source: std::io::ErrorKind::UnexpectedEof.into(),
            };
            fds.next().ok_or_else(missing)
        };
        let engine = park::ringer(fd()?, fd()?)?;
        let sizes = RingSizes {
            submit_bytes: welcome.submit_bytes.get() as usize,
            private_bytes: welcome.private_bytes.get() as usize,
        };
        let rings = Rings::receive(fd()?, fd()?, sizes)?;
        let bell = fd()?;
        let (mut region, mut delivery) = (None, None);
        if welcome.trust == 1 {
            let bytes = welcome.region_bytes.get() as usize;
            region = Some(Segment::receive(fd()?, bytes, Access::ReadOnly)?.map_all()?);
            let bytes = welcome.delivery_bytes.get() as usize;
            let segment = Segment::receive(fd()?, bytes, Access::ReadOnly)?;
            delivery = Some((broadcast::Memory::attach(&segment)?, rings.cursor));
        }
        let epoll = wait::pair(control.fd(), &bell)?;
        let (bell, socket) =
            if socket { (None, Some(bell)) } else { (Some(PollFd::from(bell)), None) };
        Ok(Self {
            control,
            welcome,
            submit: Producer::new(&rings.submit)?,
            engine,
            private: Consumer::new(&rings.private)?,
            sleeper: Sleeper::new(&rings.private.consumer_bell(), bell)?,
            bell: socket,
            epoll,
            region,
            delivery,
            reader: None,
            source: Source::Private,
            lease: 0..0,
            next: 0,
            reading: None,
            drained: false,
            ended: None,
            idle_looks: 0,
        })
    }

    /// This session's number on its node.
    pub fn session(&self) -> u32 {
        self.welcome.session.get()
    }

    /// The node's id.
    pub fn node(&self) -> u32 {
        self.welcome.node.get()
    }

    /// One start of the engine; another value after it was restarted.
    pub fn boot(&self) -> [u8; 16] {
        self.welcome.boot
    }

    /// Whether messages are read where they are or copied for us.
    pub fn trust(&self) -> Trust {
        if self.region.is_some() { Trust::Shared } else { Trust::Private }
    }

    /// Longest message the engine takes, in bytes.
    pub fn message_bytes_max(&self) -> u64 {
        self.welcome.message_bytes_max.get()
    }

    /// Bytes of the submit ring.
    pub fn submit_bytes(&self) -> usize {
        self.submit.capacity()
    }

    /// Why the session is over, if it is.
    pub fn ended(&self) -> Option<Cause> {
        self.ended
    }

    /// Ends the session for a reason of this side's own.
    pub fn end(&mut self, cause: Cause) {
        self.ended.get_or_insert(cause);
    }

    /// Room for one record in the submit ring, to be written in place.
    ///
    /// # Errors
    /// See [`SubmitError`].
    pub fn loan(
        &mut self,
        kind: RecordKind,
        group: u32,
        len: usize,
    ) -> Result<SubmitLoan<'_>, SubmitError> {
        if let Some(cause) = self.ended {
            return Err(SubmitError::Ended(cause));
        }
        let loan = self.submit.loan(tag(kind, group), len).map_err(|error| match error {
            PushError::Full => SubmitError::Full,
            PushError::TooLong { found, max } => SubmitError::TooLong { found, max },
            PushError::Corrupt(_) => SubmitError::Ended(Cause::Protocol),
        })?;
        Ok(SubmitLoan { loan, engine: &mut self.engine })
    }

    /// Shows what was committed to the engine and wakes it if it sleeps.
    pub fn flush(&mut self) {
        if self.submit.publish() {
            self.engine.ring();
        }
    }

    /// Bytes submitted and not taken by the engine yet.
    pub fn submitted_bytes(&mut self) -> usize {
        // A look at the consumer's index; if that is broken the session is over anyway.
        let room = self.submit.room().unwrap_or_default();
        self.submit.capacity() - room
    }

    /// Asks the daemon something, on the session's socket.
    ///
    /// # Errors
    /// See [`AskError`].
    pub fn ask(&mut self, question: &[u8], timeout: Duration) -> Result<Vec<u8>, AskError> {
        let answer = self.control.ask(question, timeout);
        if let Err(AskError::Ended(cause)) = &answer {
            self.ended.get_or_insert(*cause);
        }
        answer
    }
}

/// A record of the submit ring being written in place. Dropped, it never was.
#[must_use = "a loan that is not committed is not sent"]
pub struct SubmitLoan<'a> {
    loan: Loan<'a>,
    engine: &'a mut Ringer,
}

impl SubmitLoan<'_> {
    /// The record's bytes; what the ring held there before until written.
    pub fn bytes(&self) -> &[u8] {
        self.loan.bytes()
    }

    /// The record's bytes, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.loan.bytes_mut()
    }

    /// Makes the record part of what the next [`Attachment::flush`] shows.
    pub fn commit(self) {
        self.loan.commit();
    }

    /// Commits, shows everything committed so far to the engine and wakes it if it sleeps.
    pub fn send(self) {
        let Self { loan, engine } = self;
        if loan.commit().publish() {
            engine.ring();
        }
    }
}

impl Drop for Attachment {
    /// Closes in good order: what was submitted is still sent.
    fn drop(&mut self) {
        if let Ok(loan) = self.loan(RecordKind::Close, 0, 0) {
            loan.commit();
        }
        self.flush();
    }
}
