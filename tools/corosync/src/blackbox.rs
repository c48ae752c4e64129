//! `corosync-blackbox`: what the engine did last.

use std::process::Command;

use crate::seat::{Seat, Stop, Try};
use crate::{FAILURE, SUCCESS};

/// The state directory of an engine that cannot be asked.
const STATE_DIR: &str = "/var/lib/synchrotron";

/// Lets `synchrotron blackbox` show the flight recorder, which an engine writes all the time and which outlives it:
/// nothing has to be dumped first.
pub(crate) fn run(seat: &mut dyn Seat) -> Try<u8> {
    let asked = seat.connect().ok().and_then(|mut engine| engine.text("system.state_dir"));
    let file = format!("{}/blackbox", asked.as_deref().unwrap_or(STATE_DIR));
    let status = Command::new("synchrotron")
        .args(["blackbox", &file])
        .status()
        .map_err(|error| Stop(format!("synchrotron blackbox: {error}")))?;
    Ok(if status.success() { SUCCESS } else { FAILURE })
}
