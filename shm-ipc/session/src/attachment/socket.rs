//! The client's end of the socket: handshake, questions, and the reason when the engine ends it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ring::shm::ShmError;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use zerocopy::{FromBytes, IntoBytes};

use crate::hello::{
    ANSWER_BYTES_MAX, Cause, Head, Hello, MORE, Purpose, REQUEST_BYTES_MAX, Refusal, Request,
    SOCKET, Type, VERSION, Welcome,
};
use crate::seqpacket;

/// Longest question, in bytes.
pub const QUESTION_BYTES_MAX: usize = REQUEST_BYTES_MAX - size_of::<Request>();

/// Pause before another try when the engine has too many connections waiting.
const BACKLOG_PAUSE: Duration = Duration::from_millis(2);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens, or the socket may not be used.
    #[error("cannot connect to the engine at {path}: {source}{}", way_out(source.kind()))]
    Unreachable {
        /// Where.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The engine said no.
    #[error(
        "the engine at {path} refused: {} (it speaks versions {version_min} to {version_max})",
        cause.text()
    )]
    Refused {
        /// Where.
        path: PathBuf,
        /// Why.
        cause: Cause,
        /// Lowest version the engine speaks.
        version_min: u16,
        /// Highest version the engine speaks.
        version_max: u16,
    },
    /// Whoever listens there does not speak as an engine does.
    #[error("{path}: not an engine of this version ({what})")]
    NotAnEngine {
        /// Where.
        path: PathBuf,
        /// What was wrong.
        what: &'static str,
    },
    /// No answer in time.
    #[error("the engine at {path} did not answer within {timeout:?}")]
    Timeout {
        /// Where.
        path: PathBuf,
        /// How long we waited.
        timeout: Duration,
    },
    /// The memory received cannot be used.
    #[error("cannot use the memory of the engine at {path}: {source}")]
    Memory {
        /// Where.
        path: PathBuf,
        /// What is wrong with it.
        source: ShmError,
    },
}

/// What may help who cannot connect.
fn way_out(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            "; is synchrotrond running, and is this path its ipc.socket?"
        }
        io::ErrorKind::PermissionDenied => {
            "; this user may not enter the socket's directory or use it"
        }
        _ => "",
    }
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The engine ended the connection.
    #[error("the engine ended the connection: {}", .0.text())]
    Ended(Cause),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The question is longer than [`QUESTION_BYTES_MAX`].
    #[error("a question of {found} bytes, at most {QUESTION_BYTES_MAX} are taken")]
    TooLong {
        /// Its length.
        found: usize,
    },
    /// The socket failed.
    #[error("the connection to the engine failed: {0}")]
    Socket(#[from] io::Error),
}

/// A connection without rings: for questions.
pub struct Control {
    fd: OwnedFd,
    /// Where notices come, if it was asked for.
    notices: Option<OwnedFd>,
    next_request: u32,
}

/// What the engine welcomes a client with.
pub(super) struct Welcomed {
    pub(super) control: Control,
    pub(super) welcome: Welcome,
    pub(super) fds: Vec<OwnedFd>,
}

impl Control {
    /// Connects for questions only.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub fn connect(path: &Path, timeout: Duration) -> Result<Self, ConnectError> {
        Ok(greet(path, timeout, Purpose::Control, (0, 0), false)?.control)
    }

    /// Connects for questions and for what the engine says unasked. Also returns this node's id.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub fn connect_for_notices(
        path: &Path,
        timeout: Duration,
    ) -> Result<(Self, u32), ConnectError> {
        let Welcomed { mut control, welcome, mut fds } =
            greet(path, timeout, Purpose::Control, (0, 0), true)?;
        let what = "its welcome came without a socket for notices";
        let missing = || ConnectError::NotAnEngine { path: path.into(), what };
        control.notices = Some(fds.pop().ok_or_else(missing)?);
        Ok((control, welcome.node.get()))
    }

    /// The socket on which notices come: readable if and only if there is one, or the connection is over. Its
    /// peer is the engine as `SO_PEERCRED` tells. `None` unless it was asked for.
    pub fn notices_fd(&self) -> Option<BorrowedFd<'_>> {
        self.notices.as_ref().map(AsFd::as_fd)
    }

    /// The next notice, without waiting; `None`: none now.
    ///
    /// # Errors
    /// Why the connection is over.
    pub fn next_notice(&mut self) -> Result<Option<Vec<u8>>, Cause> {
        let Some(fd) = &self.notices else { return Ok(None) };
        let mut buf = vec![0; ANSWER_BYTES_MAX];
        loop {
            match recv(fd, &mut buf, &mut Vec::new()) {
                Ok(0) => return Err(self.farewell().unwrap_or(Cause::Gone)),
                Ok(len) => {
                    let datagram = &buf[..len];
                    let Some((_, rest)) = Head::read(datagram, Type::Notice) else { continue };
                    // The number that every notice has in place of a request's.
                    return Ok(rest.get(size_of::<u32>()..).map(<[u8]>::to_vec));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Cause::Gone),
            }
        }
    }

    /// Waits for a notice or the end, at most this long (`None`: for ever). False: the time is over.
    ///
    /// # Errors
    /// What the kernel says to waiting; `Unsupported` on a connection that gets no notices.
    pub fn wait_for_notice(&self, timeout: Option<Duration>) -> io::Result<bool> {
        let fd = self.notices.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        loop {
            let timeout = timeout.map(timespec);
            match poll(&mut [PollFd::new(fd, PollFlags::IN)], timeout.as_ref()) {
                Ok(count) => return Ok(count > 0),
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Asks and waits for the answer. The bytes are between the caller and the daemon.
    ///
    /// # Errors
    /// See [`AskError`].
    pub fn ask(&mut self, question: &[u8], timeout: Duration) -> Result<Vec<u8>, AskError> {
        if question.len() > QUESTION_BYTES_MAX {
            return Err(AskError::TooLong { found: question.len() });
        }
        let request = self.next_request;
        self.next_request = request.wrapping_add(1);
        let head = Request { head: Head::new(Type::Request), request: request.into() };
        let mut datagram = head.as_bytes().to_vec();
        datagram.extend_from_slice(question);
        let deadline = Instant::now() + timeout;
        loop {
            match seqpacket::send(&self.fd, &datagram, &[]) {
                Ok(()) => break,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    if !wait_until(self.fd.as_fd(), PollFlags::OUT, deadline)? {
                        return Err(AskError::Timeout(timeout));
                    }
                }
                // It may have said why before it closed.
                Err(_) => return Err(AskError::Ended(self.farewell().unwrap_or(Cause::Gone))),
            }
        }
        self.await_answer(request, deadline, timeout)
    }

    fn await_answer(
        &mut self,
        request: u32,
        deadline: Instant,
        timeout: Duration,
    ) -> Result<Vec<u8>, AskError> {
        let mut answer = Vec::new();
        let mut buf = vec![0; ANSWER_BYTES_MAX];
        loop {
            if !wait_until(self.fd.as_fd(), PollFlags::IN, deadline)? {
                return Err(AskError::Timeout(timeout));
            }
            let datagram = match recv(&self.fd, &mut buf, &mut Vec::new()) {
                Ok(0) => return Err(AskError::Ended(Cause::Gone)),
                Ok(len) => &buf[..len],
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => continue,
                Err(_) => return Err(AskError::Ended(Cause::Gone)),
            };
            if let Some(cause) = read_refusal(datagram) {
                return Err(AskError::Ended(cause.0));
            }
            let Some((head, _)) = Head::read(datagram, Type::Answer) else { continue };
            let Ok((its, part)) = Request::read_from_prefix(datagram) else { continue };
            // An answer to a question that was given up.
            if its.request.get() != request {
                continue;
            }
            answer.extend_from_slice(part);
            if head.flags & MORE == 0 {
                return Ok(answer);
            }
        }
    }

    /// Reads what the engine has said without being asked: nothing, or why it ended the connection.
    pub(super) fn farewell(&mut self) -> Option<Cause> {
        let mut buf = [0; 64];
        loop {
            match recv(&self.fd, &mut buf, &mut Vec::new()) {
                Ok(0) => return Some(Cause::Gone),
                Ok(len) => {
                    if let Some((cause, _)) = read_refusal(&buf[..len]) {
                        return Some(cause);
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return None,
                // An answer to a question that was given up may well be longer than a refusal.
                Err(e) if e.kind() == io::ErrorKind::InvalidData => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Some(Cause::Gone),
            }
        }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Connects and shakes hands.
pub(super) fn greet(
    path: &Path,
    timeout: Duration,
    purpose: Purpose,
    (submit_bytes, private_bytes): (u32, u32),
    socket: bool,
) -> Result<Welcomed, ConnectError> {
    let deadline = Instant::now() + timeout;
    let unreachable = |source| ConnectError::Unreachable { path: path.into(), source };
    let late = || ConnectError::Timeout { path: path.into(), timeout };
    let fd = loop {
        match seqpacket::connect(path) {
            Ok(fd) => break fd,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                std::thread::sleep(BACKLOG_PAUSE);
            }
            Err(e) => return Err(unreachable(e)),
        }
    };
    let mut head = Head::new(Type::Hello);
    head.flags = if socket { SOCKET } else { 0 };
    let hello = Hello {
        head,
        version_max: VERSION.into(),
        purpose: purpose as u8,
        reserved: 0,
        submit_bytes: submit_bytes.into(),
        private_bytes: private_bytes.into(),
        reserved_too: 0.into(),
    };
    seqpacket::send(&fd, hello.as_bytes(), &[]).map_err(unreachable)?;
    let mut buf = [0; 4096];
    let mut fds = Vec::new();
    let len = loop {
        if !wait_until(fd.as_fd(), PollFlags::IN, deadline).map_err(unreachable)? {
            return Err(late());
        }
        match recv(&fd, &mut buf, &mut fds) {
            Ok(len) => break len,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(unreachable(e)),
        }
    };
    let bytes = &buf[..len];
    if let Some((cause, refusal)) = read_refusal(bytes) {
        return Err(ConnectError::Refused {
            path: path.into(),
            cause,
            version_min: refusal.version_min.get(),
            version_max: refusal.version_max.get(),
        });
    }
    let strange = |what| ConnectError::NotAnEngine { path: path.into(), what };
    Head::read(bytes, Type::Welcome).ok_or_else(|| strange("its first datagram is no welcome"))?;
    let (welcome, _) =
        Welcome::read_from_prefix(bytes).map_err(|_| strange("its welcome is too short"))?;
    Ok(Welcomed { control: Control { fd, notices: None, next_request: 1 }, welcome, fds })
}

fn read_refusal(bytes: &[u8]) -> Option<(Cause, Refusal)> {
    Head::read(bytes, Type::Refusal)?;
    let (refusal, _) = Refusal::read_from_prefix(bytes).ok()?;
    Some((Cause::from_code(refusal.cause.get()).unwrap_or(Cause::Protocol), refusal))
}

/// One datagram. A peer that closes with something of ours unread makes the kernel report that first, once,
/// and its last words after that.
fn recv(fd: &OwnedFd, buf: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<usize> {
    match seqpacket::recv(fd, buf, fds) {
        Err(e) if e.kind() == io::ErrorKind::ConnectionReset => seqpacket::recv(fd, buf, fds),
        other => other,
    }
}

/// Waits for the socket; false: the time is over.
fn wait_until(fd: BorrowedFd<'_>, flags: PollFlags, deadline: Instant) -> io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = timespec(left);
        match poll(&mut [PollFd::from_borrowed_fd(fd, flags)], Some(&timeout)) {
            Ok(count) => return Ok(count > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

pub(super) fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}
