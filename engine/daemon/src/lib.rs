//! The engine: reads its configuration, pins a thread and runs the loop.
//!
//! Two threads. The *hot* thread (`hot`) owns region, pool, transport, node and session server and
//! everything that happens to a message. The *control* thread, which is the one that calls
//! [`run()`], does what may block: it listens for programs, answers questions, writes log and state
//! file, and takes signals. They talk through two bounded queues (`channel`); why so:
//! `docs/adr/0005-thread-model.md`. There is no async runtime: `docs/adr/0003-no-async-runtime.md`.
//!
//! For tools: [`blackbox`] reads flight recorders, [`page`] counters pages. How to run an engine, its files and
//! exit codes: `docs/operations.md`.
#![forbid(unsafe_code)]

pub mod blackbox;
mod channel;
mod clock;
mod command_line;
mod control;
mod exit;
mod hot;
mod lock;
mod log;
mod names;
mod notify;
pub mod page;
mod recorder;
mod run;
mod services;
mod state;
pub mod status;
mod tracked;

pub use clock::wall_text;
pub use command_line::CommandLine;
pub use exit::{Exit, Failure};
pub use run::{check, main_with, run};
