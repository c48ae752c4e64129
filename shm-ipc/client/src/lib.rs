//! The native client: join process groups, publish, and receive everything in the one total order.
//!
//! ```no_run
//! use client::{Client, Event, Options};
//!
//! let mut client = Client::connect("/run/synchrotron/socket", Options::default())?;
//! let group = client.join(b"chat")?;
//! client.publish(&group, b"hello")?;
//! loop {
//!     match client.recv(None) {
//!         Some(Event::Message(message)) => println!("{:?}: {:?}", message.sender, message.bytes),
//!         Some(Event::View(view)) => println!("{} members", view.members.len()),
//!         Some(Event::Evicted(cause)) => panic!("{}", cause.text()),
//!         Some(Event::Disconnected) => client.reconnect()?,
//!         _ => {}
//!     }
//! }
//! # #[allow(unreachable_code)]
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is promised
//! * Every member of a group sees the same messages and views of that group in the same order, its
//!   own included. Between joining and the first view, and after the view with which it left, it
//!   sees nothing of the group.
//! * A message is read where it lies in shared memory; the bytes of an event stay until the next
//!   call that needs `&mut` of the client. Messages larger than a frame are put together in memory
//!   of this process.
//! * A reader that is slow loses nothing: the engine keeps a copy for it, up to a bound; past the
//!   bound it is evicted and told so.
//! * `publish` returns when the message is in the submit ring. What the engine took from there is
//!   ordered, or [`Event::NotSent`] tells. What it had not taken when it died is gone:
//!   [`Client::unsent_bytes`] says how much that is.
//!
//! Layouts and the life of a session are described in `docs/ipc.md`.
#![forbid(unsafe_code)]

mod assembly;
mod client;
mod error;
mod event;
mod membership;
mod patience;
mod publish;
mod receive;
mod status;

pub use client::{Client, Options};
pub use error::{JoinError, LeaveError, PublishError, RefusedReason};
pub use event::{Change, Configuration, Event, Group, Message, View, ViewCause};
pub use publish::Loan;
pub use session::{AskError, Cause, ConnectError, Control, Member, Order, Trust};
pub use status::{StatusError, reload, status};
