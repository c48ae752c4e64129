//! Sessions between programs and the engine of their node: the handshake over a Unix socket, the
//! rings of shared memory that follow from it, and the rules by which both sides use them.
//!
//! Three parts:
//! * [`Acceptor`], on the engine's control thread: listens, authorises (`SO_PEERCRED`, `SO_PEERGROUPS`), shakes
//!   hands, carries requests and answers, notices when clients are gone.
//! * [`Server`], on the engine's hot thread: reads submit rings, delivers, keeps what readers need, spills
//!   and evicts those that lag.
//! * [`Attachment`], in the client: the other end of all that.
//!
//! Layouts and the life of a session: `docs/ipc.md`. This crate knows no word of the ring protocol: groups are
//! numbers, members are triples, and the daemon translates.

mod acceptor;
mod access;
mod attachment;
mod config;
mod delivery;
mod descriptor;
mod hello;
pub mod layout;
mod link;
mod open;
mod park;
mod peer;
mod seat;
mod seqpacket;
mod server;
pub mod view;

pub use acceptor::{Acceptor, AcceptorCounters, Ask, AskId, ConnectionId};
pub use access::{Access, Trust};
pub use attachment::{
    AskError, Attachment, ConnectError, Control, Item, Options, QUESTION_BYTES_MAX, SubmitError,
    SubmitLoan,
};
pub use config::{Config, ReaderLimits};
pub use descriptor::{DESCRIPTOR_BYTES, Descriptor, Kind, Member, Order};
pub use hello::{Cause, VERSION};
pub use open::{OpenError, open};
pub use server::{
    Counters, Delivery, Messages, NOT_A_MEMBER, Pulled, Request, Server, SessionStatus,
};
