//! Our decisions for every scenario, kept in `table.txt` so that a change of any is seen; and the same
//! scenarios decided by Debian's corosync-vqsim, compared line by line.

mod scenarios;

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use scenarios::{Scenario, Step};
use synchrotron_vqsim::{Shell, Simulator, read_conf};

const MS: u64 = 1_000_000;

/// How long Debian's simulator may take to come to the state we expect.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where it is known to differ, this is how long it may take to come to our state all the same.
const DIFFERENCE: Duration = Duration::from_secs(2);

/// It must still be in that state after this time.
const STABLE: Duration = Duration::from_millis(150);

/// Scenarios played at once: nearly all of their time is spent waiting.
const AT_ONCE: usize = 10;

fn conf(scenario: &Scenario, state_dir: &Path) -> String {
    let mut text = format!(
        "totem {{\n  version: 2\n  cluster_name: x\n}}\nsystem {{\n  state_dir: {}\n}}\nquorum {{\n  \
         provider: corosync_votequorum\n  {}\n}}\nlogging {{\n  to_stderr: no\n  to_syslog: no\n}}\nnodelist {{\n",
        state_dir.display(),
        scenario.quorum.join("\n  ")
    );
    for (index, votes) in scenario.votes.iter().enumerate() {
        let id = index + 1;
        let _ = writeln!(
            text,
            "  node {{\n    ring0_addr: 127.0.0.{id}\n    nodeid: {id}\n    quorum_votes: {votes}\n  }}"
        );
    }
    text + "}\n"
}

/// What we show after the start and after each step.
fn ours(scenario: &Scenario) -> Vec<String> {
    let options = read_conf(&conf(scenario, Path::new("/nowhere"))).expect("a good file");
    let simulator = Simulator::new(options).expect("features that go together");
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut shell = Shell::new(simulator, &mut out, &mut err);
    let mut now_ns = 0;
    shell.start().expect("memory");
    for step in &scenario.steps {
        match step {
            Step::Do("show") => shell.run("show").map(drop).expect("memory"),
            Step::Do(command) | Step::Safer(command, _) | Step::Races(command, _) => {
                now_ns += MS;
                shell.advance(now_ns);
                shell.run(command).map(drop).expect("memory");
            }
            Step::Pass(ms) => {
                now_ns += ms * MS;
                shell.advance(now_ns);
                shell.run("show").map(drop).expect("memory");
            }
        }
    }
    assert_eq!(String::from_utf8_lossy(&err), "", "{}", scenario.name);
    let text = String::from_utf8(out).expect("text");
    let mut blocks: Vec<String> = text.split("#autofence: off\n").map(nodes_of).collect();
    blocks.pop();
    blocks
}

/// The lines about nodes.
fn nodes_of(text: &str) -> String {
    text.lines()
        .filter(|line| line.contains("q="))
        .fold(String::new(), |all, line| all + line + "\n")
}

fn label(step: &Step) -> String {
    match step {
        Step::Do(command) => (*command).to_owned(),
        Step::Safer(command, why) => format!("{command}    # safer than Corosync: {why}"),
        Step::Races(command, why) => format!("{command}    # Corosync's simulator races: {why}"),
        Step::Pass(ms) => format!("({ms} ms pass)"),
    }
}

fn table() -> String {
    let mut table = String::new();
    for scenario in &scenarios::all() {
        let _ = writeln!(table, "## {}", scenario.name);
        let keys = scenario.quorum.join(" ");
        let keys = keys.split_whitespace().collect::<Vec<_>>().join(" ");
        let _ = writeln!(table, "votes {:?} {keys}", scenario.votes);
        let labels = ["start".to_owned()].into_iter().chain(scenario.steps.iter().map(label));
        let blocks = ours(scenario);
        assert_eq!(blocks.len(), scenario.steps.len() + 1, "{}: {blocks:?}", scenario.name);
        for (label, block) in labels.zip(blocks) {
            let _ = write!(table, "> {label}\n{block}");
        }
        table.push('\n');
    }
    table
}

#[test]
fn every_scenario_is_decided_as_the_table_says() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/table.txt");
    let found = table();
    if std::env::var_os("UPDATE_TABLE").is_some() {
        std::fs::write(&file, &found).expect("the table can be written");
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    for (index, (found, kept)) in found.lines().zip(kept.lines()).enumerate() {
        assert_eq!(found, kept, "line {}; UPDATE_TABLE=1 writes the table anew", index + 1);
    }
    assert_eq!(found.len(), kept.len(), "UPDATE_TABLE=1 writes the table anew");
}

/// Debian's simulator at the other end of a pipe.
struct Debian {
    child: std::process::Child,
    lines: mpsc::Receiver<String>,
}

impl Debian {
    fn start(dir: &Path) -> Self {
        // It takes no name of more than seven letters.
        let mut child = Command::new("corosync-vqsim")
            .args(["-c", "c.conf", "-n"])
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("corosync-vqsim runs (package corosync-vqsim; `cargo xtask test` installs it)");
        let (to, lines) = mpsc::channel();
        let stdout = child.stdout.take().expect("a pipe");
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if to.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }

    fn say(&mut self, command: &str) {
        let stdin = self.child.stdin.as_mut().expect("a pipe");
        writeln!(stdin, "{command}").and_then(|()| stdin.flush()).expect("it reads");
    }

    /// What it shows now.
    fn show(&mut self) -> String {
        self.say("show");
        let mut block = String::new();
        let mut asked = false;
        loop {
            let line = self.lines.recv_timeout(PATIENCE).expect("it answers");
            // What it says unasked comes before the echo of the question.
            asked |= line.ends_with("show");
            if asked && line.contains("q=") {
                block += &line;
                block.push('\n');
            }
            if asked && line.starts_with("#autofence") {
                return block;
            }
        }
    }

    /// Waits until it shows this and goes on showing it; else what it shows instead.
    fn comes_to(&mut self, expected: &str, patience: Duration) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let shown = self.show();
            if shown == expected {
                std::thread::sleep(STABLE);
                if self.show() == expected {
                    return Ok(());
                }
            }
            if start.elapsed() > patience {
                return Err(shown);
            }
            std::thread::sleep(Duration::from_millis(30));
        }
    }
}

impl Drop for Debian {
    fn drop(&mut self) {
        // Its children end when it says so; killed, it could not.
        if let Some(stdin) = &mut self.child.stdin {
            let _ = writeln!(stdin, "exit");
        }
        let _ = self.child.wait();
    }
}

/// Plays a scenario on both; what differs, if anything does.
fn compare(scenario: &Scenario) -> Option<String> {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("c.conf");
    std::fs::write(&file, conf(scenario, dir.path())).expect("a file");
    let mut debian = Debian::start(dir.path());
    let mut blocks = ours(scenario).into_iter();
    let differs = |label: &str, ours: &str, theirs: &str| {
        Some(format!("{}, after {label}:\nours:\n{ours}Corosync's:\n{theirs}", scenario.name))
    };
    let first = blocks.next().expect("the start");
    if let Err(theirs) = debian.comes_to(&first, PATIENCE) {
        return differs("the start", &first, &theirs);
    }
    for (step, block) in scenario.steps.iter().zip(blocks) {
        match step {
            Step::Do("show") => {}
            Step::Do(command) | Step::Safer(command, _) | Step::Races(command, _) => {
                debian.say(command)
            }
            Step::Pass(ms) => std::thread::sleep(Duration::from_millis(*ms)),
        }
        let differs_here = matches!(step, Step::Safer(..) | Step::Races(..));
        let patience = if differs_here { DIFFERENCE } else { PATIENCE };
        let result = debian.comes_to(&block, patience);
        match (step, result) {
            (Step::Safer(..), Ok(())) => {
                return Some(format!("{}: {step:?} is no difference any more", scenario.name));
            }
            (Step::Safer(..) | Step::Races(..), Err(_)) | (_, Ok(())) => {}
            (_, Err(theirs)) => return differs(&label(step), &block, &theirs),
        }
    }
    None
}

#[test]
fn debians_simulator_decides_alike() {
    if std::env::var_os("SYNCHROTRON_VQSIM").is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "corosync-vqsim must be here: run `cargo xtask test` as root"
        );
        println!(
            "not run: SYNCHROTRON_VQSIM is not set (`cargo xtask test` installs corosync-vqsim and sets it)"
        );
        return;
    }
    let scenarios = scenarios::all();
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Some(difference) = compare(scenario) {
                        found.lock().expect("no panic").push(difference);
                    }
                }
            });
        }
    });
    let found = found.into_inner().expect("no panic");
    assert!(
        found.is_empty(),
        "{} of {} scenarios:\n{}",
        found.len(),
        scenarios.len(),
        found.join("\n")
    );
}
