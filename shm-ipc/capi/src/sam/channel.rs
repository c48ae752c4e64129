//! What the watched process says to its watcher, and the answers: a stream socket between the two.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

use crate::error::{CsError, LIBRARY, NO_MEMORY, OK, Outcome};

/// Bytes of data a process may leave with its watcher. Both keep a copy for as long as they live, and this is far more
/// than fits a sensible start-up.
const DATA_BYTES_MAX: u64 = 1 << 32;

/// What the process wants. Only [`Command::Alive`] and [`Command::Failed`] are not answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Watch me from now on.
    Start,
    /// Do not watch me any more.
    Stop,
    /// I am well.
    Alive,
    /// I am beyond help: end me, and do not start me again.
    Failed,
    /// Warn me with this signal.
    WarnSignal(i32),
    /// Keep this for me and for those after me.
    Data(Vec<u8>),
    /// A command that cannot be carried out, and the answer to it.
    Refused(CsError),
}

const START: u8 = 0;
const STOP: u8 = 1;
const ALIVE: u8 = 2;
const FAILED: u8 = 3;
const WARN_SIGNAL: u8 = 4;
const DATA: u8 = 5;

/// A command's first bytes: what it is, and a number: a signal, or how many bytes follow.
const HEAD_BYTES: usize = 9;

/// One end.
#[derive(Debug)]
pub(crate) struct Channel(UnixStream);

impl Channel {
    /// Both ends. Programs that either process starts do not get them.
    pub(crate) fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = UnixStream::pair()?;
        Ok((Self(one), Self(other)))
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Says something without waiting for an answer. A watcher that is gone is an error, not a signal.
    pub(crate) fn say(&mut self, command: &Command) -> Outcome {
        let (kind, number, data): (u8, u64, &[u8]) = match command {
            Command::Start => (START, 0, &[]),
            Command::Stop => (STOP, 0, &[]),
            Command::Alive => (ALIVE, 0, &[]),
            Command::Failed => (FAILED, 0, &[]),
            Command::WarnSignal(signal) => (WARN_SIGNAL, u64::from(*signal as u32), &[]),
            Command::Data(data) => (DATA, data.len() as u64, data),
            Command::Refused(_) => return Err(LIBRARY),
        };
        let mut head = [kind; HEAD_BYTES];
        head[1..].copy_from_slice(&number.to_ne_bytes());
        self.0.write_all(&head).and_then(|()| self.0.write_all(data)).map_err(|_| LIBRARY)
    }

    /// Says something and waits for the answer.
    pub(crate) fn ask(&mut self, command: &Command) -> Outcome {
        self.say(command)?;
        let mut answer = [0; 4];
        self.0.read_exact(&mut answer).map_err(|_| LIBRARY)?;
        match CsError::from_ne_bytes(answer) {
            OK => Ok(()),
            error => Err(error),
        }
    }

    /// The next command; `None` at the end of the other side.
    pub(crate) fn next(&mut self) -> io::Result<Option<Command>> {
        let mut head = [0; HEAD_BYTES];
        match self.0.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            Err(error) => return Err(error),
        }
        let [kind, number @ ..] = head;
        let number = u64::from_ne_bytes(number);
        Ok(Some(match kind {
            START => Command::Start,
            STOP => Command::Stop,
            ALIVE => Command::Alive,
            FAILED => Command::Failed,
            WARN_SIGNAL => Command::WarnSignal(number as u32 as i32),
            DATA => self.data(number)?,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }))
    }

    fn data(&mut self, bytes: u64) -> io::Result<Command> {
        let mut data = Vec::new();
        let fits = bytes <= DATA_BYTES_MAX && data.try_reserve_exact(bytes as usize).is_ok();
        let mut rest = Read::by_ref(&mut self.0).take(bytes);
        if !fits {
            // What is not kept is read all the same: the next command stands behind it.
            io::copy(&mut rest, &mut io::sink())?;
            return Ok(Command::Refused(NO_MEMORY));
        }
        if rest.read_to_end(&mut data)? as u64 != bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Command::Data(data))
    }

    /// Answers. A process that is gone needs none.
    pub(crate) fn answer(&mut self, outcome: Outcome) {
        let code = outcome.err().unwrap_or(OK);
        let _ = self.0.write_all(&code.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_arrive_as_they_were_said_and_the_end_is_noticed() {
        let (mut process, mut watcher) = Channel::pair().expect("a pair of sockets");
        let said = [
            Command::Start,
            Command::Alive,
            Command::WarnSignal(libc::SIGUSR1),
            Command::Data(b"kept".to_vec()),
            Command::Data(Vec::new()),
            Command::Stop,
            Command::Failed,
        ];
        for command in &said {
            process.say(command).expect("the watcher is there");
        }
        drop(process);
        for command in said {
            assert_eq!(watcher.next().expect("readable"), Some(command));
        }
        assert_eq!(watcher.next().expect("readable"), None);
    }

    #[test]
    fn a_watcher_that_is_gone_is_an_error() {
        let (mut process, watcher) = Channel::pair().expect("a pair of sockets");
        drop(watcher);
        assert_eq!(process.ask(&Command::Start), Err(LIBRARY));
    }

    #[test]
    fn what_is_no_command_and_too_much_data_are_refused() {
        let (mut process, mut watcher) = Channel::pair().expect("a pair of sockets");
        process.0.write_all(&[99; HEAD_BYTES]).expect("room");
        assert!(watcher.next().is_err());
        let mut head = [DATA; HEAD_BYTES];
        head[1..].copy_from_slice(&u64::MAX.to_ne_bytes());
        process.0.write_all(&head).expect("room");
        drop(process);
        assert_eq!(watcher.next().expect("readable"), Some(Command::Refused(NO_MEMORY)));
    }
}
