//! `views.c` on every node of three: groups, quorum and votes tell of the same rings, in the order that clients rely
//! on.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use super::Places;
use super::engines::Engine;

/// How long a change may take until everybody has seen it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The nodes.
const NODES: [usize; 3] = [0, 1, 2];

/// What a program said last: the ring it is in, and who is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct View {
    /// "ring NODE.NUMBER".
    ring: String,
    /// "of N, group of N, quorate".
    rest: String,
}

/// A program on each node, and what they said.
struct Programs<'a> {
    program: &'a Path,
    libraries: &'a Path,
    running: Vec<Option<Child>>,
    views: Vec<View>,
    said: Receiver<(usize, String)>,
    say: Sender<(usize, String)>,
}

/// Runs a cluster through the changes that clients see.
pub(crate) fn run(places: &Places, program: &Path) -> anyhow::Result<()> {
    let dir = places.out.join("views-trial");
    let synchrotrond = places.target.join("debug/synchrotrond");
    let mut engines = Engine::cluster(&synchrotrond, &dir, 3, "votequorum")?;
    let (say, said) = channel();
    let views = vec![View::default(); NODES.len()];
    let running = NODES.map(|_| None).into();
    let libraries = &places.out;
    let mut programs = Programs { program, libraries, running, views, said, say };
    for node in NODES {
        programs.start(node, &engines[node])?;
    }
    programs.wait("all are there", &NODES, "of 3, group of 3, quorate")?;
    engines[2].freeze(true)?;
    programs.wait("a node stands still", &[0, 1], "of 2, group of 2, quorate")?;
    engines[2].freeze(false)?;
    programs.wait("it is back", &NODES, "of 3, group of 3, quorate")?;
    engines[0].freeze(true)?;
    engines[1].freeze(true)?;
    programs.wait("two stand still", &[2], "of 1, group of 1, not quorate")?;
    engines[0].freeze(false)?;
    engines[1].freeze(false)?;
    programs.wait("they are back", &NODES, "of 3, group of 3, quorate")?;
    programs.stop(1)?;
    programs.wait("a program ended", &[0, 2], "of 3, group of 2, quorate")?;
    programs.start(1, &engines[1])?;
    programs.wait("it is back", &NODES, "of 3, group of 3, quorate")?;
    // The program first: it has nobody to ask when its engine is gone.
    programs.stop(0)?;
    engines[0].kill()?;
    programs.wait("an engine was killed", &[1, 2], "of 2, group of 2, quorate")?;
    engines[0].restart()?;
    programs.start(0, &engines[0])?;
    programs.wait("it is back", &NODES, "of 3, group of 3, quorate")?;
    drop(programs);
    drop(engines);
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

impl Programs<'_> {
    fn start(&mut self, node: usize, engine: &Engine) -> anyhow::Result<()> {
        let mut child = Command::new(self.program)
            .env("LD_LIBRARY_PATH", self.libraries)
            .env("SYNCHROTRON_SOCKET", engine.socket())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().context("its output was piped")?;
        let say = self.say.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Nobody listens any more at the end.
                let _ = say.send((node, line));
            }
        });
        self.running[node] = Some(child);
        Ok(())
    }

    fn stop(&mut self, node: usize) -> anyhow::Result<()> {
        let mut child = self.running[node].take().context("no program runs on this node")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Waits until the programs on these nodes have said the same ring and this about it.
    fn wait(&mut self, when: &str, nodes: &[usize], rest: &str) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            let first = &self.views[nodes[0]];
            let all_agree = nodes.iter().all(|node| self.views[*node] == *first);
            if all_agree && first.rest == rest {
                return Ok(());
            }
            let left = PATIENCE.saturating_sub(start.elapsed());
            let (node, line) = match self.said.recv_timeout(left) {
                Ok(said) => said,
                Err(RecvTimeoutError::Timeout) => {
                    bail!("{when}: nodes {nodes:?} do not say {rest:?}: {:#?}", self.views)
                }
                Err(RecvTimeoutError::Disconnected) => bail!("no program runs"),
            };
            ensure!(!line.starts_with("wrong"), "{when}: node {}: {line}", node + 1);
            let (ring, rest) = line.split_once(" of ").context("a ring and who is in it")?;
            self.views[node] = View { ring: ring.to_owned(), rest: format!("of {rest}") };
        }
    }
}

impl Drop for Programs<'_> {
    fn drop(&mut self) {
        for child in self.running.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
