//! A client on a machine: `shm-ipc/capi/tests/member.c`, what it says and what it is told.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::mpsc::{Receiver, channel};

use anyhow::{Context, bail, ensure};

use super::late::Late;
use crate::host;
use crate::site::Site;

/// The group that all of them are in.
const GROUP: &str = "members";

/// A running one. It ends with this.
pub(crate) struct Member {
    /// `nsenter`, which waits for it.
    outer: Child,
    to: Option<ChildStdin>,
    said: Receiver<String>,
    /// What it complained of.
    complaints: PathBuf,
    /// How many members it saw, and when.
    views: Vec<(u64, usize)>,
    /// The last phase of which it has sent everything, and how much that was.
    pub(crate) sent: Option<(u32, u64)>,
    /// What it received in the last phase.
    pub(crate) got: Option<Got>,
}

/// What a member received in a phase.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) phase: u32,
    pub(crate) count: u64,
    pub(crate) first_ns: u64,
    pub(crate) last_ns: u64,
    /// Over the order.
    pub(crate) hash: u64,
    pub(crate) late: Late,
}

impl Member {
    /// Starts one; it joins when there is an engine.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(site: &Site, node: usize, program: &str) -> anyhow::Result<Self> {
        let complaints = site.home(node).join("member.err");
        let mut command = site.command(node, program)?;
        command.arg(GROUP).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(fs::File::create(&complaints)?);
        let mut outer = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let to = outer.stdin.take();
        let from = outer.stdout.take().context("a member without output")?;
        let said = listen(from);
        let (views, sent, got) = (Vec::new(), None, None);
        Ok(Self { outer, to, said, complaints, views, sent, got })
    }

    /// Its process, as we number it.
    pub(crate) fn pid(&self) -> Option<u32> {
        host::child_of(self.outer.id()).map(|pid| pid.as_raw_nonzero().get().cast_unsigned())
    }

    /// Tells it something.
    ///
    /// # Errors
    /// When it has ended.
    pub(crate) fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        let to = self.to.as_mut().context("a member that was told to end")?;
        writeln!(to, "{line}").context("a member has ended")
    }

    /// Takes what it has said.
    ///
    /// # Errors
    /// When it has ended, or said what nobody understands.
    pub(crate) fn look(&mut self) -> anyhow::Result<()> {
        while let Ok(line) = self.said.try_recv() {
            self.understand(&line).with_context(|| format!("a member said {line:?}"))?;
        }
        if let Some(status) = self.outer.try_wait()? {
            let complaints = fs::read_to_string(&self.complaints).unwrap_or_default();
            bail!("a member ended with {status}: {}", complaints.trim());
        }
        Ok(())
    }

    fn understand(&mut self, line: &str) -> anyhow::Result<()> {
        let mut words = line.split_whitespace();
        let kind = words.next().unwrap_or_default();
        let mut number = || words.next().context("a number")?.parse::<u64>().context("a number");
        match kind {
            "view" => self.views.push((number()?, number()? as usize)),
            "lost" => self.views.push((number()?, 0)),
            "sent" => self.sent = Some((number()? as u32, number()?)),
            "got" => {
                let (phase, count) = (number()? as u32, number()?);
                let (first_ns, last_ns, hash) = (number()?, number()?, number()?);
                let mut late = Late::default();
                for word in words {
                    late.add(word).context("a bucket")?;
                }
                self.got = Some(Got { phase, count, first_ns, last_ns, hash, late });
            }
            _ => bail!("not understood"),
        }
        Ok(())
    }

    /// When it first saw so many members, from `from_ns` on.
    pub(crate) fn saw(&self, members: usize, from_ns: u64) -> Option<u64> {
        let mut later = self.views.iter().filter(|(at_ns, _)| *at_ns >= from_ns);
        later.find(|(_, count)| *count == members).map(|(at_ns, _)| *at_ns)
    }

    /// How many members it saw last.
    pub(crate) fn sees(&self) -> usize {
        self.views.last().map_or(0, |(_, count)| *count)
    }

    /// Ends it in order.
    ///
    /// # Errors
    /// When it ends otherwise; what it complained of is in the error.
    pub(crate) fn end(mut self) -> anyhow::Result<()> {
        self.to = None;
        let status = self.outer.wait()?;
        let complaints = fs::read_to_string(&self.complaints).unwrap_or_default();
        ensure!(status.success(), "a member ended with {status}: {}", complaints.trim());
        Ok(())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // What is gone cannot be hurt; the program itself dies with its machine.
        let _ = self.outer.kill();
        let _ = self.outer.wait();
    }
}

/// Its lines, as they come.
fn listen(from: ChildStdout) -> Receiver<String> {
    let (send, said) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    said
}
