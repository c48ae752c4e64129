//! Corosync's command-line tools: the same names, options, exit codes and layouts, since programs parse what
//! they print. They ask the engine through `services`.
//!
//! Each tool is a function of its arguments and a [`Seat`]: where it prints, and how it reaches an engine. Tests
//! give it an engine of their own.
#![forbid(unsafe_code)]

mod about;
mod blackbox;
mod cfgtool;
mod cmapctl;
mod cpgtool;
mod engine;
mod errors;
mod keygen;
mod nodes;
mod notifyd;
mod options;
mod quorumtool;
mod seat;
mod watch;

use std::ffi::{OsStr, OsString};
use std::path::Path;

pub use about::{About, Flag};
pub use engine::{Ask, Event};
pub use seat::{Seat, Terminal};

/// The tools.
pub const TOOLS: [&About; 7] = [
    &blackbox::ABOUT,
    &cfgtool::ABOUT,
    &cmapctl::ABOUT,
    &cpgtool::ABOUT,
    &keygen::ABOUT,
    &notifyd::ABOUT,
    &quorumtool::ABOUT,
];

/// The version of Corosync whose tools these behave like.
pub(crate) const LIKE_VERSION: &str = "3.1.7";

/// Exit code of success.
pub(crate) const SUCCESS: u8 = 0;

/// Exit code of everything else, unless a tool says otherwise.
pub(crate) const FAILURE: u8 = 1;

/// The tool that a program's path names.
pub fn name_of(path: &OsStr) -> Option<&'static str> {
    let name = Path::new(path).file_name()?;
    TOOLS.iter().map(|tool| tool.name).find(|known| OsStr::new(known) == name)
}

/// Runs a tool with its arguments; the exit code.
pub fn run(name: &str, args: &[OsString], seat: &mut dyn Seat) -> u8 {
    let result = match name {
        "corosync-blackbox" => blackbox::run(args, seat),
        "corosync-cfgtool" => cfgtool::run(args, seat),
        "corosync-cmapctl" => cmapctl::run(args, seat),
        "corosync-cpgtool" => cpgtool::run(args, seat),
        "corosync-keygen" => keygen::run(args, seat),
        "corosync-notifyd" => notifyd::run(args, seat),
        "corosync-quorumtool" => quorumtool::run(args, seat),
        _ => return FAILURE,
    };
    match result {
        Ok(code) => code,
        Err(seat::Stop(text)) => {
            if !text.is_empty() {
                seat.complain(&text);
            }
            FAILURE
        }
    }
}
