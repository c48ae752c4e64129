//! A cluster at rest, at a fixed rate, and as fast as it goes.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use cluster::usage::{Machine, Usage};
use serde::Serialize;

use super::Crowd;
use super::late::{Late, Lateness};
use crate::site::PATIENCE;

/// How often members are asked what they have received.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// What it took, all nodes together.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Spent {
    /// Cores that the engines used, on average.
    pub(crate) engines_cores: f64,
    /// ... the members.
    pub(crate) members_cores: f64,
    /// ... everything on this machine, whoever it was.
    pub(crate) machine_cores: f64,
    /// Memory of one engine's own, on average, in bytes.
    pub(crate) engine_private_bytes: u64,
    /// Memory it shares with its clients or maps from files, as far as touched.
    pub(crate) engine_shared_bytes: u64,
}

/// A load and what came of it.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Load {
    /// Bytes of a message.
    pub(crate) bytes: usize,
    /// Ordered messages a second; every member received each.
    pub(crate) messages_per_second: f64,
    /// From when a message was due to its delivery, at all members.
    pub(crate) latency: Lateness,
    pub(crate) spent: Spent,
}

impl Crowd<'_> {
    /// What the cluster uses without any message.
    ///
    /// # Errors
    /// When a member ends.
    pub(crate) fn idle(&mut self, time: Duration) -> anyhow::Result<Spent> {
        let before = self.meter();
        self.site.pause(time)?;
        self.look()?;
        Ok(self.spent(&before))
    }

    /// All members send, each so many messages a second, or as fast as they may.
    ///
    /// # Errors
    /// When not everything comes through, everywhere, in the same order.
    pub(crate) fn load(
        &mut self,
        per_second: Option<u32>,
        time: Duration,
        bytes: usize,
    ) -> anyhow::Result<Load> {
        self.phase += 1;
        let (phase, seconds) = (self.phase, time.as_secs_f64());
        let before = self.meter();
        self.tell(&match per_second {
            Some(rate) => format!("rate {phase} {rate} {seconds} {bytes}"),
            None => format!("flood {phase} {seconds} {bytes}"),
        })?;
        let sent = |crowd: &Self| -> Option<u64> {
            let counts = crowd.members.iter().map(|member| member.sent);
            counts.map(|sent| sent.filter(|sent| sent.0 == phase).map(|sent| sent.1)).sum()
        };
        let limit = time + PATIENCE;
        self.wait("everything sent", limit, |crowd| sent(crowd).is_some())?;
        let spent = self.spent(&before);
        let total: u64 = sent(self).context("nothing was sent")?;
        let mut asked = Instant::now();
        self.tell("report")?;
        self.wait("everything received everywhere", limit, |crowd| {
            if asked.elapsed() > ASK_EVERY {
                asked = Instant::now();
                // Who has ended is found out by the next look.
                let _ = crowd.tell("report");
            }
            let all = |got: &super::Got| got.phase == phase && got.count >= total;
            crowd.members.iter().all(|member| member.got.as_ref().is_some_and(all))
        })?;
        let gots: Vec<_> = self.members.iter().filter_map(|member| member.got.as_ref()).collect();
        let alike = gots.iter().all(|got| got.count == total && got.hash == gots[0].hash);
        ensure!(alike, "members received other messages, or in another order");
        let mut late = Late::default();
        gots.iter().for_each(|got| late.merge(&got.late));
        let first_ns = gots.iter().map(|got| got.first_ns).min().unwrap_or(0);
        let last_ns = gots.iter().map(|got| got.last_ns).max().unwrap_or(0);
        Ok(Load {
            bytes,
            messages_per_second: total as f64 / ((last_ns - first_ns).max(1) as f64 / 1e9),
            latency: late.lateness().context("nothing was received")?,
            spent,
        })
    }

    fn meter(&self) -> (Machine, Usage, Usage) {
        let engines: Vec<u32> =
            self.site.nodes().filter_map(|node| self.site.engine_pid(node)).collect();
        let members: Vec<u32> = self.members.iter().filter_map(super::Member::pid).collect();
        (Machine::now(), Usage::of(&engines), Usage::of(&members))
    }

    fn spent(&self, before: &(Machine, Usage, Usage)) -> Spent {
        let (machine, engines, members) = self.meter();
        let time_ns = (machine.at_ns - before.0.at_ns) as f64;
        let nodes = self.site.spec.nodes as u64;
        Spent {
            engines_cores: engines.since(before.1).cpu_ns as f64 / time_ns,
            members_cores: members.since(before.2).cpu_ns as f64 / time_ns,
            machine_cores: machine.busy_us_since(&before.0) * 1e3 / time_ns,
            engine_private_bytes: engines.private_bytes / nodes,
            engine_shared_bytes: engines.shared_bytes / nodes,
        }
    }
}
