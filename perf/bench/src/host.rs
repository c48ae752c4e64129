//! The machine a measurement runs on.

use std::process::Command;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::usage::Machine;

/// What a reader of figures must know about the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Host {
    /// Kernel release.
    pub(crate) kernel: String,
    /// Processor.
    pub(crate) cpu: String,
    /// Cores.
    pub(crate) cores: u64,
    /// Version of this program.
    pub(crate) version: String,
    /// Commit of the sources in the present directory, if it is a repository.
    pub(crate) commit: Option<String>,
}

impl Host {
    /// Looks at this machine.
    pub(crate) fn here() -> Self {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info.lines().find_map(|line| line.strip_prefix("model name"));
        let model = model.map(|rest| rest.trim_start_matches(['\t', ' ', ':']).to_owned());
        Self {
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            cpu: model.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: Machine::now().cores,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: commit(),
        }
    }
}

fn commit() -> Option<String> {
    let args = ["describe", "--always", "--dirty", "--abbrev=12"];
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// A machine with this share of idle time counts as idle.
pub(crate) const IDLE_SHARE: f64 = 0.8;

/// How long the machine is looked at.
const LOOK: Duration = Duration::from_millis(400);

/// Waits until the machine is idle, but not for ever; the share that was idle when last looked.
pub(crate) fn wait_idle(patience: Duration) -> f64 {
    let deadline = Instant::now() + patience;
    loop {
        let before = Machine::now();
        std::thread::sleep(LOOK);
        let share = Machine::now().idle_since(&before);
        if share >= IDLE_SHARE || Instant::now() > deadline {
            return share;
        }
    }
}
