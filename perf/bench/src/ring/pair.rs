//! Messages of 64 bytes from one process to another and back, both spinning: our ring and iceoryx2 through the same
//! loops, taking turns.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::figures::median;
use crate::ring::ours::Ours;
use crate::ring::threads::pin;

/// Words of a message: 64 bytes.
pub(super) const WORDS: usize = 8;

/// A message.
pub(super) type Message = [u64; WORDS];

/// Both directions of one end.
pub(super) trait Link {
    /// Hands a message over; `false` if there is no room now. It may stay unseen until [`Link::show`].
    fn send(&mut self, message: &Message) -> anyhow::Result<bool>;
    /// Makes everything sent visible.
    fn show(&mut self);
    /// The next message, if there is one; its place is given back at the latest by [`Link::release`].
    fn receive(&mut self) -> anyhow::Result<Option<Message>>;
    /// Gives the places of everything received back.
    fn release(&mut self);
}

/// Whose ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Ours,
    Iceoryx2,
}

/// What the other end does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Task {
    /// Sends every message back.
    Echo,
    /// Sends as fast as it can, showing every message at once.
    Flood,
    /// Sends as fast as it can, showing them in batches.
    FloodBatches,
}

/// Options of `bench ring-end`: the other process.
#[derive(Clone, Debug, Args)]
pub struct End {
    #[arg(long, value_enum)]
    kind: Kind,
    #[arg(long, value_enum)]
    task: Task,
    /// Where the rings are: what [`Kind`] needs to find them.
    #[arg(long)]
    place: String,
}

/// Round trips of a run.
const HOPS: usize = 20_000;

/// Messages of a run.
const MESSAGES: usize = 2_000_000;

/// Messages shown together in a flood of batches.
const BATCH: usize = 64;

/// Longest time of a run; one whose other end has died ends then.
const PATIENCE: Duration = Duration::from_secs(20);

/// Spins, some 50 us of them, before others get the processor: where there is only one, the other end needs it.
const SPINS_PER_LOOK: u32 = 1 << 12;

/// The other end tells that it is there.
const HELLO: Message = [u64::MAX; WORDS];

/// From the least to the greatest of several runs, and the middle.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// One thing done by all.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Versus {
    pub(crate) what: String,
    pub(crate) unit: String,
    /// Our ring between two threads.
    pub(crate) threads: Found,
    /// Our ring between two processes.
    pub(crate) processes: Found,
    /// iceoryx2 between two processes.
    pub(crate) iceoryx2: Option<Found>,
    /// Ours (processes) against iceoryx2, run by run; more than 1 is in our favour.
    pub(crate) ratio: Option<Found>,
}

impl Versus {
    /// What was found, with names.
    pub(crate) fn named(&self) -> Vec<(&'static str, Found)> {
        let mut all = vec![
            ("ours, between two threads", self.threads),
            ("ours, between two processes", self.processes),
        ];
        all.extend(self.iceoryx2.map(|found| ("iceoryx2, between two processes", found)));
        all
    }
}

impl Found {
    fn of(values: &[f64]) -> Self {
        Self {
            median: median(values.to_vec()),
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

/// Why iceoryx2 is not measured, if it is not.
pub(super) fn absent() -> Option<String> {
    let is_built = cfg!(feature = "iceoryx2");
    (!is_built).then(|| "this program was built without the feature `iceoryx2`".to_owned())
}

/// Measures everything, taking turns.
///
/// # Errors
/// When the other process does not start or does not answer.
pub(super) fn measure(tool: &Path, turns: usize) -> anyhow::Result<Vec<Versus>> {
    let hop = "one-way hop of 64 bytes, both spin: half of the median round trip";
    let rate = "million a second";
    Ok(vec![
        versus(tool, turns, hop, "ns", Task::Echo)?,
        versus(tool, turns, "flood of 64 bytes, each shown at once", rate, Task::Flood)?,
        versus(
            tool,
            turns,
            "flood of 64 bytes, ours shown by 64, iceoryx2's each at once",
            rate,
            Task::FloodBatches,
        )?,
    ])
}

fn versus(tool: &Path, turns: usize, what: &str, unit: &str, task: Task) -> anyhow::Result<Versus> {
    let (mut threads, mut processes, mut peer) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..turns {
        crate::stop::check()?;
        threads.push(between_threads(task).context("between threads")?);
        let (place, link) = Ours::create()?;
        let found = between_processes(tool, Kind::Ours, task, &place, link);
        processes.push(found.context("between processes")?);
        peer.extend(iceoryx2(tool, task).context("iceoryx2")?);
    }
    let against = |(ours, theirs): (&f64, &f64)| match task {
        Task::Echo => theirs / ours,
        Task::Flood | Task::FloodBatches => ours / theirs,
    };
    let ratios: Vec<f64> = processes.iter().zip(&peer).map(against).collect();
    let found = |values: &Vec<f64>| (!values.is_empty()).then(|| Found::of(values));
    Ok(Versus {
        what: what.into(),
        unit: unit.into(),
        threads: Found::of(&threads),
        processes: Found::of(&processes),
        iceoryx2: found(&peer),
        ratio: found(&ratios),
    })
}

/// iceoryx2's figure, where it is built in.
#[cfg(feature = "iceoryx2")]
fn iceoryx2(tool: &Path, task: Task) -> anyhow::Result<Option<f64>> {
    let (place, link) = super::iceoryx::Iceoryx::create()?;
    between_processes(tool, Kind::Iceoryx2, task, &place, link).map(Some)
}

#[cfg(not(feature = "iceoryx2"))]
fn iceoryx2(_: &Path, _: Task) -> anyhow::Result<Option<f64>> {
    Ok(None)
}

fn between_threads(task: Task) -> anyhow::Result<f64> {
    let (mut near_link, mut far_link) = Ours::pair()?;
    std::thread::scope(|scope| {
        let other = scope.spawn(move || {
            pin(1);
            far(&mut far_link, task)
        });
        pin(0);
        let found = near(&mut near_link, task);
        other.join().map_err(|_| anyhow::anyhow!("a thread failed"))??;
        found
    })
}

fn between_processes<L: Link>(
    tool: &Path,
    kind: Kind,
    task: Task,
    place: &str,
    mut link: L,
) -> anyhow::Result<f64> {
    let name = |value: &dyn Fn() -> Option<clap::builder::PossibleValue>| {
        value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    };
    let mut command = Command::new(tool);
    command.args(["bench", "ring-end", "--kind", &name(&|| kind.to_possible_value())]);
    command.args(["--task", &name(&|| task.to_possible_value()), "--place", place]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let mut other = Other(command.spawn().with_context(|| format!("cannot start {command:?}"))?);
    pin(0);
    let found = near(&mut link, task)?;
    other.finish()?;
    Ok(found)
}

/// The other process; ended with this value at the latest.
struct Other(Child);

impl Other {
    fn finish(&mut self) -> anyhow::Result<()> {
        let status = self.0.wait()?;
        ensure!(status.success(), "the other process ended with {status}");
        Ok(())
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // One that has ended is not hurt.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl End {
    /// Does what the other process asks for.
    ///
    /// # Errors
    /// When the rings are not there or the other process is gone.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        pin(1);
        match self.kind {
            Kind::Ours => far(&mut Ours::open(&self.place)?, self.task),
            #[cfg(feature = "iceoryx2")]
            Kind::Iceoryx2 => far(&mut super::iceoryx::Iceoryx::open(&self.place)?, self.task),
            #[cfg(not(feature = "iceoryx2"))]
            Kind::Iceoryx2 => bail!("this program was built without the feature `iceoryx2`"),
        }
    }
}

/// Spins, but not for ever.
struct Spins {
    left: u32,
    deadline: Instant,
}

impl Spins {
    fn new() -> Self {
        Self { left: SPINS_PER_LOOK, deadline: Instant::now() + PATIENCE }
    }

    #[inline]
    fn spin(&mut self) -> anyhow::Result<()> {
        std::hint::spin_loop();
        self.left -= 1;
        if self.left == 0 {
            self.left = SPINS_PER_LOOK;
            std::thread::yield_now();
            if Instant::now() > self.deadline {
                bail!("the other end does not answer");
            }
        }
        Ok(())
    }
}

#[inline]
fn take<L: Link>(link: &mut L, spins: &mut Spins) -> anyhow::Result<Message> {
    loop {
        if let Some(message) = link.receive()? {
            return Ok(message);
        }
        link.release();
        spins.spin()?;
    }
}

#[inline]
fn give<L: Link>(link: &mut L, message: &Message, spins: &mut Spins) -> anyhow::Result<()> {
    while !link.send(message)? {
        link.show();
        spins.spin()?;
    }
    Ok(())
}

/// The measuring end.
fn near<L: Link>(link: &mut L, task: Task) -> anyhow::Result<f64> {
    let mut spins = Spins::new();
    ensure!(take(link, &mut spins)? == HELLO, "the other end did not say hello");
    link.release();
    give(link, &HELLO, &mut spins)?;
    link.show();
    let found =
        if task == Task::Echo { round_trips(link, &mut spins) } else { drain(link, &mut spins) };
    // Until then the other end keeps alive what it has sent.
    give(link, &HELLO, &mut spins)?;
    link.show();
    found
}

/// Half of the median round trip in nanoseconds.
fn round_trips<L: Link>(link: &mut L, spins: &mut Spins) -> anyhow::Result<f64> {
    let mut trips = Vec::with_capacity(HOPS);
    for number in 0..HOPS as u64 {
        let start = Instant::now();
        give(link, &[number; WORDS], spins)?;
        link.show();
        let back = take(link, spins)?;
        trips.push(start.elapsed());
        link.release();
        ensure!(back == [number; WORDS], "{number} came back as {back:?}");
    }
    trips.sort_unstable();
    Ok(trips[HOPS / 2].as_nanos() as f64 / 2.0)
}

/// Millions of messages a second, all of which must come in order.
fn drain<L: Link>(link: &mut L, spins: &mut Spins) -> anyhow::Result<f64> {
    let mut start = None;
    for number in 0..MESSAGES as u64 {
        let message = take(link, spins)?;
        ensure!(message == [number; WORDS], "{message:?} instead of {number}");
        if number % BATCH as u64 == 0 {
            start.get_or_insert_with(Instant::now);
            link.release();
        }
    }
    link.release();
    let took = start.context("there are messages")?.elapsed();
    Ok((MESSAGES - 1) as f64 / took.as_secs_f64() / 1e6)
}

/// The other end.
fn far<L: Link>(link: &mut L, task: Task) -> anyhow::Result<()> {
    let mut spins = Spins::new();
    give(link, &HELLO, &mut spins)?;
    link.show();
    take(link, &mut spins)?;
    link.release();
    match task {
        Task::Echo => {
            for _ in 0..HOPS {
                let message = take(link, &mut spins)?;
                link.release();
                give(link, &message, &mut spins)?;
                link.show();
            }
        }
        Task::Flood | Task::FloodBatches => {
            let batch = if task == Task::Flood { 1 } else { BATCH };
            for number in 0..MESSAGES {
                give(link, &[number as u64; WORDS], &mut spins)?;
                if number % batch == batch - 1 {
                    link.show();
                }
            }
            link.show();
        }
    }
    take(link, &mut spins)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_agree_on_every_message() {
        for task in [Task::Echo, Task::Flood, Task::FloodBatches] {
            assert!(between_threads(task).unwrap() > 0.0);
        }
    }
}
