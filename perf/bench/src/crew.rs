//! All agents of a measurement, and their seats as one list.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use hdrhistogram::Histogram;

use crate::account::Account;
use crate::desk::histogram;
use crate::protocol::{AgentMark, Answer, Ask, SeatMark};
use crate::seat::{Order, Place};
use crate::usage::Usage;

/// How often is looked whether something has come true.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Longest time an agent gets to end by itself.
const END_WAIT: Duration = Duration::from_secs(5);

/// One agent process.
struct Agent {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
    seats: usize,
}

/// All agents.
pub(crate) struct Crew {
    agents: Vec<Agent>,
}

/// How far everybody is.
pub(crate) struct Mark {
    /// When: the middle of the time it took to ask, by our clock.
    pub(crate) at: Instant,
    /// Each agent.
    pub(crate) agents: Vec<AgentMark>,
}

impl Mark {
    /// All seats, in order.
    pub(crate) fn seats(&self) -> impl Iterator<Item = &SeatMark> {
        self.agents.iter().flat_map(|agent| &agent.seats)
    }

    /// What the agents themselves have used.
    pub(crate) fn own(&self) -> Usage {
        self.agents.iter().fold(Usage::default(), |sum, agent| sum.plus(agent.own))
    }

    /// What the programs have used that the agents started.
    pub(crate) fn started(&self) -> Usage {
        self.agents.iter().fold(Usage::default(), |sum, agent| sum.plus(agent.started))
    }
}

impl Crew {
    /// Starts an agent with each of these commands.
    ///
    /// # Errors
    /// When one does not start.
    pub(crate) fn start(commands: Vec<Command>) -> anyhow::Result<Self> {
        let agents = commands.into_iter().map(Agent::start).collect::<anyhow::Result<_>>()?;
        Ok(Self { agents })
    }

    /// Tells one agent to start a program, which ends with it.
    pub(crate) fn start_program(
        &mut self,
        agent: usize,
        argv: Vec<String>,
        log: PathBuf,
    ) -> anyhow::Result<()> {
        self.agents[agent].done(&Ask::Start { argv, log })
    }

    /// Opens seats: a list of places for each agent.
    pub(crate) fn open(
        &mut self,
        places: Vec<Vec<Place>>,
        nodes: usize,
        message_bytes_max: usize,
    ) -> anyhow::Result<()> {
        for (agent, places) in self.agents.iter_mut().zip(places) {
            agent.seats += places.len();
            agent.done(&Ask::Open { places, nodes, message_bytes_max })?;
        }
        Ok(())
    }

    /// Gives one seat, counted over all agents, another order.
    pub(crate) fn order(&mut self, seat: usize, order: Order) -> anyhow::Result<()> {
        let mut left = seat;
        for agent in &mut self.agents {
            if left < agent.seats {
                return agent.done(&Ask::Order { seat: left, order });
            }
            left -= agent.seats;
        }
        bail!("there is no seat {seat}")
    }

    /// Starts new records of the latencies of what is sent in the time from now on.
    pub(crate) fn record(&mut self, time: Duration) -> anyhow::Result<()> {
        let ask = Ask::Record { for_ns: time.as_nanos() as u64 };
        self.agents.iter_mut().try_for_each(|agent| agent.done(&ask))
    }

    /// Has an agent kill the programs it started.
    pub(crate) fn kill(&mut self, agent: usize) -> anyhow::Result<()> {
        self.agents[agent].done(&Ask::Kill)
    }

    /// How far everybody is, whoever may have ended.
    pub(crate) fn look(&mut self) -> anyhow::Result<Mark> {
        crate::stop::check()?;
        let start = Instant::now();
        let agents = self.ask_all(&Ask::Mark, |answer| match answer {
            Answer::Mark(mark) => Some(mark),
            _ => None,
        })?;
        Ok(Mark { at: start + start.elapsed() / 2, agents })
    }

    /// How far everybody is.
    ///
    /// # Errors
    /// When an engine or a seat has ended.
    pub(crate) fn mark(&mut self) -> anyhow::Result<Mark> {
        let mark = self.look()?;
        for (index, seat) in mark.seats().enumerate() {
            if let Some(failure) = &seat.failure {
                bail!("seat {index}: {failure}");
            }
        }
        ensure!(mark.agents.iter().all(|agent| agent.all_run), "an engine has ended");
        Ok(mark)
    }

    /// Asks until everybody is as far as `is_there` wants.
    pub(crate) fn wait(
        &mut self,
        what: &str,
        timeout: Duration,
        mut is_there: impl FnMut(&Mark) -> bool,
    ) -> anyhow::Result<Mark> {
        let deadline = Instant::now() + timeout;
        loop {
            let mark = self.mark()?;
            if is_there(&mark) {
                return Ok(mark);
            }
            if Instant::now() > deadline {
                let seats: Vec<_> =
                    mark.seats().map(|seat| (seat.members, seat.sent, seat.messages)).collect();
                bail!("{what}: not within {timeout:?}; (members, sent, delivered): {seats:?}");
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Latencies of all seats together, in nanoseconds.
    pub(crate) fn latencies(&mut self) -> anyhow::Result<Histogram<u64>> {
        let encoded = self.ask_all(&Ask::Latencies, |answer| match answer {
            Answer::Latencies(encoded) => Some(encoded),
            _ => None,
        })?;
        let mut sum = histogram();
        for record in encoded.iter().flatten() {
            crate::log::add(&mut sum, record)?;
        }
        Ok(sum)
    }

    /// Accounts of all seats.
    pub(crate) fn accounts(&mut self) -> anyhow::Result<Vec<Account>> {
        let accounts = self.ask_all(&Ask::Accounts, |answer| match answer {
            Answer::Accounts(accounts) => Some(accounts),
            _ => None,
        })?;
        Ok(accounts.into_iter().flatten().collect())
    }

    /// Asks everybody first and then reads the answers, so that they work at the same time.
    fn ask_all<T>(
        &mut self,
        ask: &Ask,
        take: impl Fn(Answer) -> Option<T>,
    ) -> anyhow::Result<Vec<T>> {
        self.agents.iter_mut().try_for_each(|agent| agent.say(ask))?;
        let answer = |agent: &mut Agent| {
            let answer = agent.hear()?;
            take(answer).with_context(|| format!("an agent did not answer {ask:?}"))
        };
        self.agents.iter_mut().map(answer).collect()
    }
}

impl Agent {
    fn start(mut command: Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let to = child.stdin.take();
        let from = child.stdout.take().context("an agent without output")?;
        Ok(Self { child, to, from: BufReader::new(from), seats: 0 })
    }

    fn say(&mut self, ask: &Ask) -> anyhow::Result<()> {
        let mut line = serde_json::to_string(ask)?;
        line.push('\n');
        let to = self.to.as_mut().context("an agent that has ended")?;
        to.write_all(line.as_bytes()).context("an agent has ended")
    }

    fn hear(&mut self) -> anyhow::Result<Answer> {
        let mut line = String::new();
        ensure!(self.from.read_line(&mut line)? > 0, "an agent has ended");
        match serde_json::from_str(&line).with_context(|| format!("an agent said {line:?}"))? {
            Answer::Failed(reason) => bail!("an agent failed: {reason}"),
            answer => Ok(answer),
        }
    }

    fn done(&mut self, ask: &Ask) -> anyhow::Result<()> {
        self.say(ask)?;
        match self.hear()? {
            Answer::Done => Ok(()),
            other => bail!("an agent answered {other:?} to {ask:?}"),
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        // The end of its input ends an agent; all of them at the same time.
        self.agents.iter_mut().for_each(|agent| agent.to = None);
        let deadline = Instant::now() + END_WAIT;
        for agent in &mut self.agents {
            while Instant::now() < deadline && matches!(agent.child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(2));
            }
            // One that has ended is not hurt.
            let _ = agent.child.kill();
            let _ = agent.child.wait();
        }
    }
}
