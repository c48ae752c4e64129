//! What processes and the machine have used, by the kernel's accounting.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Microseconds of a tick of `/proc/stat`: it counts in hundredths of a second on every architecture.
const TICK_US: u64 = 10_000;

/// What processes have used since they started, all of them together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Time on a core, in nanoseconds.
    pub cpu_ns: u64,
    /// Times off a core.
    pub switches: u64,
    /// Memory of its own, in bytes.
    pub private_bytes: u64,
    /// Memory shared with others, in bytes: the message region and the rings, as far as touched.
    pub shared_bytes: u64,
}

impl Usage {
    /// Reads what these processes have used; those that are gone count nothing.
    pub fn of(pids: &[u32]) -> Self {
        pids.iter().fold(Self::default(), |sum, &pid| sum.plus(Self::of_process(pid)))
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns + other.cpu_ns,
            switches: self.switches + other.switches,
            private_bytes: self.private_bytes + other.private_bytes,
            shared_bytes: self.shared_bytes + other.shared_bytes,
        }
    }

    /// What was used since `before`; memory is what it is now.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns.saturating_sub(before.cpu_ns),
            switches: self.switches.saturating_sub(before.switches),
            ..self
        }
    }

    fn of_process(pid: u32) -> Self {
        let process = PathBuf::from(format!("/proc/{pid}"));
        let mut usage = Self::default();
        for task in fs::read_dir(process.join("task")).into_iter().flatten().flatten() {
            // Nanoseconds on a core, nanoseconds waiting for one, turns.
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let first = text.split_whitespace().next();
            usage.cpu_ns += first.and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
            let status = Fields::read(&task.path().join("status"));
            usage.switches += status.number("voluntary_ctxt_switches");
            usage.switches += status.number("nonvoluntary_ctxt_switches");
        }
        let status = Fields::read(&process.join("status"));
        usage.private_bytes = status.number("RssAnon") << 10;
        usage.shared_bytes = (status.number("RssFile") + status.number("RssShmem")) << 10;
        usage
    }
}

/// What the whole machine has used since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// When this was read, in nanoseconds of its monotonic clock.
    pub at_ns: u64,
    /// Time that cores were idle, all together, in microseconds.
    pub idle_us: u64,
    /// Context switches.
    pub switches: u64,
    /// Cores.
    pub cores: u64,
}

impl Machine {
    /// Reads it.
    pub fn now() -> Self {
        let text = fs::read_to_string("/proc/stat").unwrap_or_default();
        let mut machine = Self { at_ns: crate::now_ns(), ..Self::default() };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                // user nice system idle iowait ...
                Some("cpu") => {
                    let idle = words.skip(3).take(2).filter_map(|ticks| ticks.parse::<u64>().ok());
                    machine.idle_us = idle.sum::<u64>() * TICK_US;
                }
                Some("ctxt") => {
                    machine.switches = words.next().and_then(|n| n.parse().ok()).unwrap_or(0);
                }
                Some(core) if core.starts_with("cpu") => machine.cores += 1,
                _ => {}
            }
        }
        machine
    }

    /// Time on cores since `before`, of everything that ran, in microseconds.
    pub fn busy_us_since(&self, before: &Self) -> f64 {
        let all = (self.at_ns - before.at_ns) as f64 / 1e3 * self.cores as f64;
        (all - self.idle_us.saturating_sub(before.idle_us) as f64).max(0.0)
    }

    /// Share of all cores' time that was idle since `before`, from 0 to 1.
    pub fn idle_since(&self, before: &Self) -> f64 {
        let all = (self.at_ns - before.at_ns) as f64 / 1e3 * self.cores as f64;
        (self.idle_us.saturating_sub(before.idle_us) as f64 / all.max(1.0)).min(1.0)
    }
}

/// A file of `Name: value` lines.
struct Fields(String);

impl Fields {
    fn read(path: &Path) -> Self {
        Self(fs::read_to_string(path).unwrap_or_default())
    }

    fn number(&self, name: &str) -> u64 {
        let line = self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let first = line.and_then(|value| value.split_whitespace().next());
        first.and_then(|value| value.parse().ok()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_is_burnt_is_seen_in_the_process_and_in_the_machine() {
        let pid = [std::process::id()];
        let (before, machine) = (Usage::of(&pid), Machine::now());
        let start = std::time::Instant::now();
        // Other tests' threads end meanwhile and take their time with them, and a busy machine gives us little:
        // so as long as it takes.
        let mut used = Usage::default();
        while used.cpu_ns < 1_000_000 && start.elapsed().as_secs() < 60 {
            (0..1_000_000).for_each(|_| std::hint::spin_loop());
            used = Usage::of(&pid).since(before);
        }
        assert!(used.cpu_ns >= 1_000_000, "{used:?}");
        assert!(used.private_bytes > 0);
        let now = Machine::now();
        assert!(now.cores > 0 && now.switches >= machine.switches);
        assert!((0.0..=1.0).contains(&now.idle_since(&machine)));
    }

    #[test]
    fn a_process_that_is_gone_counts_nothing() {
        assert_eq!(Usage::of(&[u32::MAX]), Usage::default());
    }
}
