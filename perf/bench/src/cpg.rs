//! A seat at Corosync, or at whatever has its `libcpg`.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::Context;
use libcpg::{Address, Library, Sink};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::desk::Desk;
use crate::payload;
use crate::seat::lock;

/// Pause before asking again to be let into the group.
const JOIN_PAUSE: Duration = Duration::from_millis(5);

/// Events entered under one lock.
const BATCH: usize = 256;

/// A member of the group, connected to one engine.
pub(crate) struct Cpg {
    connection: libcpg::Cpg,
    me: Address,
    buffer: Vec<u8>,
}

/// Where events go.
struct Intake<'a> {
    desk: &'a mut Desk,
    me: Address,
}

impl Sink for Intake<'_> {
    fn message(&mut self, from: Address, bytes: &[u8]) {
        self.desk.message(from.node, from == self.me, bytes);
        // Here a message takes longer than a look at the clock.
        self.desk.stamp();
    }

    fn view(&mut self, members: &[Address]) {
        let mut nodes: Vec<u32> = members.iter().map(|member| member.node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        self.desk.view(nodes.len());
    }
}

impl Cpg {
    /// Connects and joins; `None` while there is no engine.
    pub(crate) fn connect(
        library: Option<&Path>,
        group: &str,
        message_bytes_max: usize,
    ) -> anyhow::Result<Option<Self>> {
        let library = Library::load(library.map(Path::as_os_str))?;
        let Ok(mut connection) = libcpg::Cpg::connect(&library) else { return Ok(None) };
        let Ok(node) = connection.node() else { return Ok(None) };
        while !connection.join(group.as_bytes())? {
            std::thread::sleep(JOIN_PAUSE);
        }
        let me = Address { node, pid: std::process::id() };
        Ok(Some(Self { connection, me, buffer: vec![0; message_bytes_max] }))
    }

    /// Publishes a message; `false` if there is no room now.
    pub(crate) fn send(&mut self, bytes: usize, number: u64, due_ns: u64) -> anyhow::Result<bool> {
        let message = &mut self.buffer[..bytes];
        payload::fill(message, number, due_ns);
        self.connection.send(message).context("publish")
    }

    /// Enters what has arrived, about `most` events; how many there were.
    pub(crate) fn take(&mut self, most: usize, desk: &Mutex<Desk>) -> anyhow::Result<usize> {
        let mut taken = 0;
        while taken < most {
            let mut intake = Intake { desk: &mut lock(desk), me: self.me };
            for _ in 0..BATCH {
                if !self.connection.dispatch(&mut intake).context("the engine is gone")? {
                    return Ok(taken);
                }
                taken += 1;
            }
        }
        Ok(taken)
    }

    /// Waits for something to arrive.
    pub(crate) fn wait(&mut self, timeout: Duration) -> anyhow::Result<()> {
        let fd = self.connection.as_fd()?;
        let timeout = Timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("wait for the engine"),
        }
    }
}
