//! `corosync-blackbox`: what the engine did last.

use std::ffi::OsString;
use std::process::Command;

use crate::about::{About, flag};
use crate::seat::{Seat, Stop, Try};
use crate::{FAILURE, SUCCESS, options};

/// What this tool accepts.
pub(crate) const ABOUT: About = About {
    name: "corosync-blackbox",
    about: "Shows what the engine did last.",
    words: "",
    options: &[flag('h', "this text")],
    notes: "The flight recorder is written all the time and outlives the engine: nothing has to be dumped first.",
};

/// The state directory of an engine that cannot be asked.
const STATE_DIR: &str = "/var/lib/synchrotron";

/// Lets `synchrotron blackbox` show the flight recorder, which an engine writes all the time and which outlives it:
/// nothing has to be dumped first.
pub(crate) fn run(args: &[OsString], seat: &mut dyn Seat) -> Try<u8> {
    if options::read(&ABOUT, args)?.letters.iter().any(|(letter, _)| *letter == 'h') {
        seat.print(&ABOUT.help());
        return Ok(SUCCESS);
    }
    let asked = seat.connect().ok().and_then(|mut engine| engine.text("system.state_dir"));
    let file = format!("{}/blackbox", asked.as_deref().unwrap_or(STATE_DIR));
    let status = Command::new("synchrotron")
        .args(["blackbox", &file])
        .status()
        .map_err(|error| Stop(format!("synchrotron blackbox: {error}")))?;
    Ok(if status.success() { SUCCESS } else { FAILURE })
}
