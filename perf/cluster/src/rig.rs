//! A cluster with one participant on each node, and waiting for things to come true.

use std::time::{Duration, Instant};

use anyhow::bail;

use crate::{Cluster, Observer, Participant, Rate, Role, Spec, Verdict, compare};

/// A running cluster under load.
pub struct Rig {
    /// The engines and their network.
    pub cluster: Cluster,
    /// One for each node, in order.
    pub participants: Vec<Participant>,
}

/// How often conditions are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(1);

impl Rig {
    /// Starts all engines and participants and waits until everybody sees everybody.
    ///
    /// # Errors
    /// When an engine does not start or the ring does not form in `timeout`.
    pub fn start(spec: Spec, message_bytes: usize, timeout: Duration) -> anyhow::Result<Self> {
        let mut cluster = Cluster::prepare(spec)?;
        cluster.start_all()?;
        let participants = (0..cluster.nodes())
            .map(|node| {
                Participant::start(Role {
                    name: format!("n{}", node + 1),
                    socket: cluster.socket(node),
                    group: b"load".to_vec(),
                    message_bytes,
                })
            })
            .collect();
        let mut rig = Self { cluster, participants };
        rig.wait_whole(timeout)?;
        Ok(rig)
    }

    /// Waits until the latest view of every participant shows exactly `nodes` (counted from zero).
    ///
    /// # Errors
    /// When that does not come true in `timeout`; the error says who sees what.
    pub fn wait_view(
        &mut self,
        at: &[usize],
        nodes: &[usize],
        timeout: Duration,
    ) -> anyhow::Result<()> {
        let wanted: Vec<u32> = nodes.iter().map(|&node| node as u32 + 1).collect();
        let sees = |p: &Participant| p.last_view().map(|view| view.nodes);
        let what = format!("view {wanted:?} at {at:?}");
        let done = wait_until(timeout, || {
            at.iter().all(|&node| sees(&self.participants[node]).as_ref() == Some(&wanted))
        });
        if done {
            return Ok(());
        }
        let seen: Vec<_> = self.participants.iter().map(sees).collect();
        let logs: Vec<String> = (0..self.cluster.nodes()).map(|node| self.log_of(node)).collect();
        bail!("{what} not reached in {timeout:?}; seen: {seen:?}\n{}", logs.join("\n"));
    }

    /// Waits until everybody sees everybody.
    ///
    /// # Errors
    /// See [`Rig::wait_view`].
    pub fn wait_whole(&mut self, timeout: Duration) -> anyhow::Result<()> {
        let all: Vec<usize> = (0..self.cluster.nodes()).collect();
        self.wait_view(&all, &all, timeout)
    }

    fn log_of(&mut self, node: usize) -> String {
        let tail = self.cluster.engine(node).map(|engine| engine.log_tail()).unwrap_or_default();
        let counters = self.cluster.counters(node).into_iter();
        let transport = counters.filter(|(name, n)| *n > 0 && name.starts_with("transport"));
        let transport: Vec<_> = transport.map(|(name, n)| format!("{name} {n}")).collect();
        format!("--- n{}: {}\n{tail}", node + 1, transport.join(", "))
    }

    /// Sets everybody's rate.
    pub fn set_rate(&self, rate: Rate) {
        self.participants.iter().for_each(|participant| participant.set_rate(rate));
    }

    /// Messages delivered, all participants together.
    pub fn delivered(&self) -> u64 {
        self.participants.iter().map(Participant::delivered).sum()
    }

    /// Stops publishing, waits until everybody has its own messages back and nothing moves any more.
    ///
    /// # Errors
    /// When messages are still on the way after `timeout`.
    pub fn settle(&mut self, timeout: Duration) -> anyhow::Result<()> {
        self.set_rate(Rate::Silent);
        let quiet = Duration::from_millis(300);
        let (mut last, mut since) = (self.delivered(), Instant::now());
        let settled = wait_until(timeout, || {
            let now = self.delivered();
            if now != last {
                (last, since) = (now, Instant::now());
            }
            since.elapsed() > quiet && self.participants.iter().all(Participant::is_settled)
        });
        if !settled {
            let open: Vec<_> =
                self.participants.iter().map(|p| (p.sent(), p.own_delivered())).collect();
            bail!("not settled in {timeout:?}: (sent, own delivered) in this connection {open:?}");
        }
        self.participants.iter().for_each(Participant::declare_settled);
        // Each of them notices within its idle wait of a millisecond, long before anybody says good-bye.
        std::thread::sleep(quiet);
        Ok(())
    }

    /// Ends the participants and compares what they saw. The cluster runs on.
    pub fn verdict(&mut self) -> (Vec<Observer>, Verdict) {
        let observers: Vec<_> = self.participants.drain(..).map(Participant::finish).collect();
        let verdict = compare(&observers);
        (observers, verdict)
    }
}

/// Looks at `condition` until it is true (then true) or `timeout` is over (then false).
pub fn wait_until(timeout: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + timeout;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
