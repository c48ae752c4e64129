//! The process that carries seats: `synchrotron bench agent`. It obeys its standard input, answers on its standard
//! output and ends with its input, together with every program it started.

use std::io::{BufRead, Write};
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cluster::{Engine, now_ns};
use hdrhistogram::serialization::{Serializer, V2Serializer};

use crate::protocol::{AgentMark, Answer, Ask, SeatMark};
use crate::seat::Seat;
use crate::usage::{Machine, Usage};

#[derive(Default)]
struct Agent {
    seats: Vec<Seat>,
    started: Vec<Engine>,
}

/// Runs until the input ends.
///
/// # Errors
/// When it can no longer be understood or answered.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut agent = Agent::default();
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let ask: Ask = serde_json::from_str(&line?)?;
        let answer = agent.obey(ask).unwrap_or_else(|error| Answer::Failed(format!("{error:#}")));
        serde_json::to_writer(&mut output, &answer)?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    Ok(())
}

impl Agent {
    fn obey(&mut self, ask: Ask) -> anyhow::Result<Answer> {
        match ask {
            Ask::Start { argv, log } => self.start(&argv, &log)?,
            Ask::Open { places, nodes, message_bytes_max } => {
                let open = |place| Seat::open(place, nodes, message_bytes_max);
                self.seats.extend(places.into_iter().map(open));
            }
            Ask::Order { seat, order } => match self.seats.get(seat) {
                Some(seat) => seat.order(order),
                None => anyhow::bail!("there is no seat {seat}"),
            },
            Ask::Record { for_ns } => {
                let now = now_ns();
                self.seats.iter().for_each(|seat| seat.desk().record(now..now + for_ns));
            }
            Ask::Kill => self.started.iter_mut().try_for_each(Engine::kill)?,
            Ask::Mark => return Ok(Answer::Mark(self.mark())),
            Ask::Latencies => {
                let encoded = self.seats.iter().map(|seat| {
                    let mut bytes = Vec::new();
                    V2Serializer::new().serialize(&seat.desk().latency, &mut bytes)?;
                    Ok(STANDARD.encode(bytes))
                });
                return Ok(Answer::Latencies(encoded.collect::<anyhow::Result<_>>()?));
            }
            Ask::Accounts => {
                let accounts = self.seats.iter().map(|seat| seat.desk().account.clone());
                return Ok(Answer::Accounts(accounts.collect()));
            }
        }
        Ok(Answer::Done)
    }

    fn start(&mut self, argv: &[String], log: &Path) -> anyhow::Result<()> {
        let Some((program, args)) = argv.split_first() else { anyhow::bail!("no program given") };
        let mut command = Command::new(program);
        command.args(args);
        self.started.push(Engine::start(command, log)?);
        Ok(())
    }

    fn mark(&mut self) -> AgentMark {
        let pids: Vec<u32> = self.started.iter().map(Engine::pid).collect();
        let at_ns = now_ns();
        let mark = |seat: &Seat| {
            let desk = seat.desk();
            SeatMark {
                sent: seat.sent(),
                own: desk.own,
                messages: desk.account.messages,
                bytes: desk.account.bytes,
                members: desk.members,
                whole_ns: desk.whole_ns,
                less_ns: desk.less_ns,
                failure: seat.failure(),
            }
        };
        AgentMark {
            at_ns,
            pid: std::process::id(),
            seats: self.seats.iter().map(mark).collect(),
            own: Usage::of(&[std::process::id()]),
            started: Usage::of(&pids),
            started_pids: pids,
            machine: Machine::now(),
            all_run: self.started.iter_mut().all(Engine::is_running),
        }
    }
}
