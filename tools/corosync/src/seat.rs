//! Where a tool prints, reads, and reaches an engine.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use services::{Client, Error, Failure, Notice, Reply, Request};

use crate::engine::{Ask, Event};

/// Why a tool ends with [`crate::FAILURE`]: what to say before, if anything.
#[derive(Debug)]
pub(crate) struct Stop(pub(crate) String);

/// A result that ends the tool if it is none.
pub(crate) type Try<T> = Result<T, Stop>;

/// Where a tool runs.
pub trait Seat {
    /// Prints text as it is.
    fn print(&mut self, text: &str);
    /// Prints bytes as they are.
    fn print_bytes(&mut self, bytes: &[u8]);
    /// Prints a line to standard error.
    fn complain(&mut self, line: &str);
    /// A new connection to the engine.
    ///
    /// # Errors
    /// Why there is none.
    fn connect(&mut self) -> Result<Box<dyn Ask>, Failure>;
    /// Everything on standard input.
    ///
    /// # Errors
    /// When it cannot be read.
    fn input(&mut self) -> std::io::Result<Vec<u8>>;
    /// The present local time, as `ctime` writes it.
    fn date(&self) -> String;
}

/// Where engines listen unless [`SOCKET_VARIABLE`] says otherwise.
const SOCKET: &str = "/run/synchrotron/socket";

/// The environment variable with the path of the engine's socket.
const SOCKET_VARIABLE: &str = "SYNCHROTRON_SOCKET";

/// How long an engine may take to answer. A reload asks every node and may take longer than other questions.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The terminal, and the engine of this machine.
#[derive(Debug)]
pub struct Terminal {
    socket: PathBuf,
}

impl Terminal {
    /// With the engine that the environment names.
    pub fn new() -> Self {
        let socket = std::env::var_os(SOCKET_VARIABLE).unwrap_or_else(|| SOCKET.into());
        Self { socket: socket.into() }
    }
}

impl Default for Terminal {
    fn default() -> Self {
        Self::new()
    }
}

impl Seat for Terminal {
    fn print(&mut self, text: &str) {
        self.print_bytes(text.as_bytes());
    }

    fn print_bytes(&mut self, bytes: &[u8]) {
        // Whoever reads may have gone; there is nobody to tell.
        let mut out = std::io::stdout().lock();
        _ = out.write_all(bytes).and_then(|()| out.flush());
    }

    fn complain(&mut self, line: &str) {
        _ = writeln!(std::io::stderr(), "{line}");
    }

    fn connect(&mut self) -> Result<Box<dyn Ask>, Failure> {
        match Client::connect(&self.socket, TIMEOUT) {
            Ok(client) => Ok(Box::new(client)),
            Err(session::ConnectError::Unreachable { source, .. })
                if source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                Err(Failure::Access)
            }
            Err(_) => Err(Failure::Library),
        }
    }

    fn input(&mut self) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        std::io::stdin()
            .lock()
            .take(services::cmap::VALUE_BYTES_MAX as u64 + 1)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn date(&self) -> String {
        chrono::Local::now().format("%a %b %e %H:%M:%S %Y").to_string()
    }
}

impl Ask for Client {
    fn ask(&mut self, request: &Request) -> Reply {
        Self::ask(self, request).map_err(|error| error.failure())
    }

    fn node(&self) -> u32 {
        Self::node(self)
    }

    fn next(&mut self, input: bool) -> Result<Event, Failure> {
        loop {
            if let Some(notice) = next_notice(self)? {
                return Ok(Event::Notice(notice));
            }
            if !input {
                self.wait(None).map_err(|_| Failure::Library)?;
            } else if input_is_ready(self)? {
                return Ok(Event::Input(line()));
            }
        }
    }
}

fn next_notice(client: &mut Client) -> Result<Option<Notice>, Failure> {
    client.next_notice().map_err(|error: Error| error.failure())
}

/// Waits for standard input or a notice; whether it was input.
fn input_is_ready(client: &Client) -> Result<bool, Failure> {
    use rustix::event::{PollFd, PollFlags, poll};
    let stdin = std::io::stdin();
    let notices = client.notices_fd().ok_or(Failure::Library)?;
    let mut fds = [
        PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN),
        PollFd::from_borrowed_fd(notices, PollFlags::IN),
    ];
    match poll(&mut fds, None) {
        Ok(_) => Ok(!fds[0].revents().is_empty()),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(_) => Err(Failure::Library),
    }
}

/// A line of standard input; `None` at its end. Read byte by byte, so that poll sees what is left.
fn line() -> Option<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        match rustix::io::read(std::io::stdin(), &mut byte) {
            Ok(0) | Err(_) if line.is_empty() => return None,
            Ok(1) if byte[0] != b'\n' && line.len() < 1024 => line.push(byte[0]),
            _ => return Some(String::from_utf8_lossy(&line).into_owned()),
        }
    }
}
