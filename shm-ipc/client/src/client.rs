//! The client: a session and what it knows.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use session::{AskError, Attachment, Cause, ConnectError, Member, Trust};

use crate::assembly::Assembly;
use crate::membership::Memberships;
use crate::patience::Patience;
use crate::receive::Inbox;

/// The default of [`Options::look_for`]: a wake-up of the engine and of ourselves.
const LOOK_FOR: Duration = Duration::from_micros(50);

/// What to ask for when connecting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of the submit ring; 0: as the engine's configuration says (256 KiB unless changed).
    pub submit_bytes: u32,
    /// Bytes of the private ring; 0: as the engine's configuration says (256 KiB unless changed).
    pub private_bytes: u32,
    /// How long to wait for the engine when connecting.
    pub connect_timeout: Duration,
    /// How long [`Client::join`] waits for the first view.
    pub join_timeout: Duration,
    /// How long [`Client::recv`] looks for something new before it sleeps, after something was received or
    /// published, while nobody else wants the core. Zero: it sleeps at once.
    pub look_for: Duration,
    /// Most bytes of large messages under construction, of all senders together.
    pub assembly_bytes_max: usize,
    /// As the C libraries need it: the bell is a socket ([`Client::bell`], [`Client::settle`]), and the moment at
    /// which the groups are agreed in a new ring is shown ([`crate::Configuration::synced`]).
    pub bell_socket: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            submit_bytes: 0,
            private_bytes: 0,
            connect_timeout: Duration::from_secs(5),
            join_timeout: Duration::from_secs(30),
            look_for: LOOK_FOR,
            assembly_bytes_max: 256 << 20,
            bell_socket: false,
        }
    }
}

/// A connection to the engine of this node. Dropping it leaves all groups, after everything published was sent.
pub struct Client {
    pub(crate) path: PathBuf,
    pub(crate) options: Options,
    pub(crate) attachment: Attachment,
    pub(crate) groups: Memberships,
    pub(crate) assembly: Assembly,
    pub(crate) inbox: Inbox,
    pub(crate) patience: Patience,
}

impl Client {
    /// Connects to the engine that listens at `path`.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub fn connect(path: impl Into<PathBuf>, options: Options) -> Result<Self, ConnectError> {
        let path = path.into();
        let attachment = attach(&path, options)?;
        Ok(Self {
            path,
            options,
            attachment,
            groups: Memberships::default(),
            assembly: Assembly::new(options.assembly_bytes_max),
            inbox: Inbox::default(),
            patience: Patience::default(),
        })
    }

    /// Connects anew, after [`crate::Event::Disconnected`] or [`crate::Event::Evicted`], and asks
    /// to join the same groups again. Events not read yet are lost. The groups come back as views
    /// with `is_first` set; until then publishing to them is refused, and [`crate::Group`]s of the
    /// old session are of no use any more.
    ///
    /// # Errors
    /// See [`ConnectError`]; the old session is over all the same, call again.
    pub fn reconnect(&mut self) -> Result<(), ConnectError> {
        // The new one first: if there is none, this client stays what it was, a closed one.
        self.attachment = attach(&self.path, self.options)?;
        self.assembly.clear();
        self.inbox = Inbox::default();
        for name in self.groups.forget_session() {
            // A ring that was made this moment has room for names; if not, the session is over and says so.
            let _ = self.start_join(&name);
        }
        Ok(())
    }

    /// Who we are as a member of groups.
    pub fn me(&self) -> Member {
        let (node, session) = (self.attachment.node(), self.attachment.session());
        Member { node, session, pid: std::process::id() }
    }

    /// One start of the engine; another value after it was restarted.
    pub fn engine_boot(&self) -> [u8; 16] {
        self.attachment.boot()
    }

    /// Whether messages are read where they lie or are copied for us.
    pub fn trust(&self) -> Trust {
        self.attachment.trust()
    }

    /// Longest message that can be published, in bytes.
    pub fn message_bytes_max(&self) -> u64 {
        self.attachment.message_bytes_max()
    }

    /// Bytes published that the engine has not taken yet. Zero: everything was taken.
    pub fn unsent_bytes(&mut self) -> usize {
        self.attachment.submitted_bytes()
    }

    /// Why the session is over, if it is known to be.
    pub fn ended(&self) -> Option<Cause> {
        self.attachment.ended()
    }

    /// A descriptor for epoll, poll and their like. Call [`Client::arm`] before waiting on it and
    /// [`Client::disarm`] after.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.attachment.as_fd()
    }

    /// Asks the engine to make the descriptor readable when there is something new. True: there is
    /// nothing to receive now, so waiting makes sense.
    pub fn arm(&mut self) -> bool {
        self.inbox.is_empty() && self.attachment.arm()
    }

    /// The engine need not wake us any more.
    pub fn disarm(&mut self) {
        self.attachment.disarm();
    }

    /// The socket that is this client's bell, if [`Options::bell_socket`] asked for one. Its peer is the engine as
    /// `SO_PEERCRED` tells; after [`Client::settle`] it is readable if and only if there is something to receive, or
    /// the session is over.
    pub fn bell(&self) -> Option<BorrowedFd<'_>> {
        self.attachment.bell()
    }

    /// Whether [`Client::bell`] is readable now.
    pub fn is_rung(&self) -> bool {
        self.attachment.is_rung()
    }

    /// To be called before the program goes back to waiting on [`Client::bell`]. `pending`: the program has
    /// something left to do besides what is received here, so the bell must be readable anyway.
    pub fn settle(&mut self, pending: bool) {
        let pending = pending || !self.inbox.is_empty();
        self.attachment.settle(pending);
    }

    /// Asks the daemon something on the session's socket; the answer is one JSON object.
    ///
    /// # Errors
    /// See [`AskError`].
    pub fn ask(&mut self, question: &[u8], timeout: Duration) -> Result<Vec<u8>, AskError> {
        self.attachment.ask(question, timeout)
    }
}

fn attach(path: &Path, options: Options) -> Result<Attachment, ConnectError> {
    let wanted = session::Options {
        submit_bytes: options.submit_bytes,
        private_bytes: options.private_bytes,
        timeout: options.connect_timeout,
        socket: options.bell_socket,
    };
    Attachment::connect(path, wanted)
}
