//! System calls of processes, counted by `perf stat` while a load runs.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};

/// What is counted: every entry into the kernel.
const EVENT: &str = "raw_syscalls:sys_enter";

/// A count under way.
pub(crate) struct Count {
    perf: Child,
    time: Duration,
}

impl Count {
    /// Counts what these processes do from about now on, for so long.
    ///
    /// # Errors
    /// When there is no `perf`.
    pub(crate) fn start(pids: &[u32], time: Duration) -> anyhow::Result<Self> {
        let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
        let mut command = Command::new("perf");
        command.args(["stat", "-x", ",", "-e", EVENT, "-p", &pids.join(","), "--", "sleep"]);
        command.arg(time.as_secs_f64().to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let perf = command
            .spawn()
            .context("cannot start `perf` (package linux-perf), which counts system calls")?;
        Ok(Self { perf, time })
    }

    /// System calls a second, once the time is over.
    ///
    /// # Errors
    /// When `perf` could not count.
    pub(crate) fn per_second(self) -> anyhow::Result<f64> {
        let output = self.perf.wait_with_output().context("perf")?;
        let said = String::from_utf8_lossy(&output.stderr);
        let count = counted(&said);
        ensure!(
            output.status.success() && count.is_some(),
            "`perf stat` could not count {EVENT} (it takes root and tracefs): {}",
            said.trim()
        );
        Ok(count.unwrap_or(0.0) / self.time.as_secs_f64())
    }
}

/// `1234,,raw_syscalls:sys_enter,...`
fn counted(said: &str) -> Option<f64> {
    let line = said.lines().find(|line| line.contains(EVENT))?;
    line.split(',').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_perf_prints_is_understood() {
        let said = "warning: x\n109,,raw_syscalls:sys_enter,5577407,100.00,,\n";
        assert_eq!(counted(said), Some(109.0));
        assert_eq!(counted("<not counted>,,raw_syscalls:sys_enter,0,0.00,,"), None);
        assert_eq!(counted(""), None);
    }
}
