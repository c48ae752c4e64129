//! Client processes that die at any moment: the engine takes back all they had, and others see
//! nothing but views.
//!
//! `SYNCHROTRON_KILLS` sets how many are killed (100 unless set).

mod common;

use std::path::Path;
use std::time::Duration;

use client::{Client, Event, Options};
use cluster::{Cluster, wait_until};
use common::attacker::Random;
use common::shell::{PATIENCE, Running, run_with_input, status, wait_for_ring};
use serde_json::Value;

/// Memory that an engine may keep beyond the baseline however many clients came and went: slots of
/// the region that are touched for the first time, and its heap. A hundred rings of dead clients
/// are more.
const SLACK_BYTES: u64 = 8 << 20;

/// Mappings it may keep: parts of its heap.
const SLACK_MAPPINGS: usize = 16;

/// Sent when all victims are dead.
const LAST: &str = "victim last end";

fn kills() -> u64 {
    std::env::var("SYNCHROTRON_KILLS").map_or(100, |count| count.parse().unwrap())
}

/// What one process uses.
#[derive(Clone, Copy, Debug)]
struct Usage {
    /// Its proportional share of memory.
    pss_bytes: u64,
    files: usize,
    mappings: usize,
    sessions: usize,
    members: usize,
}

impl Usage {
    fn of(cluster: &mut Cluster, node: usize) -> Self {
        let pid = cluster.engine(node).unwrap().pid();
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        let line = rollup.lines().find(|line| line.starts_with("Pss:")).unwrap();
        let kibibytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        let status = status(&cluster.socket(node));
        let members = |group: &Value| group["members"].as_array().unwrap().len();
        Self {
            pss_bytes: kibibytes << 10,
            files: std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count(),
            mappings: std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap().lines().count(),
            sessions: status["clients"].as_array().unwrap().len(),
            members: status["groups"]["list"].as_array().unwrap().iter().map(members).sum(),
        }
    }

    /// Whether everything that was taken since `before` was given back.
    fn is_back_at(self, before: Self) -> bool {
        self.files <= before.files
            && self.sessions == before.sessions
            && self.members == before.members
            && self.mappings <= before.mappings + SLACK_MAPPINGS
            && self.pss_bytes <= before.pss_bytes + SLACK_BYTES
    }
}

/// A well-behaved member of the group the victims use.
struct Witness {
    client: Client,
    messages: u64,
    joined: u64,
    left: u64,
    members: usize,
    /// Saw the message that comes after all victims.
    saw_last: bool,
}

impl Witness {
    fn join(socket: &Path) -> Self {
        let mut client = Client::connect(socket, Options::default()).unwrap();
        client.join(b"victims").unwrap();
        Self { client, messages: 0, joined: 0, left: 0, members: 0, saw_last: false }
    }

    /// Takes in everything there is. Only views and whole lines of the victims may come.
    fn look(&mut self) {
        while let Some(event) = self.client.recv(Some(Duration::from_millis(1))) {
            match event {
                Event::Message(message) => {
                    let text = std::str::from_utf8(message.bytes).unwrap();
                    let is_whole = text.starts_with("victim ") && text.ends_with(" end");
                    assert!(is_whole, "a message that nobody sent: {text:?}");
                    self.messages += 1;
                    self.saw_last |= message.bytes == LAST.as_bytes();
                }
                Event::View(view) => {
                    if !view.is_first {
                        self.joined += view.joined.len() as u64;
                        self.left += view.left.len() as u64;
                    }
                    self.members = view.members.len();
                }
                Event::Configuration(_) => {}
                Event::Refused { .. }
                | Event::NotSent { .. }
                | Event::Dropped { .. }
                | Event::Evicted(_)
                | Event::Disconnected => panic!("the witness was hit: {event:?}"),
            }
        }
    }
}

/// Lives of a victim: it sends lines as fast as it can, or listens to what others send, until it is killed.
fn live_and_die(socket: &Path, round: u64, random: &mut Random) {
    let mut victim = if round.is_multiple_of(2) {
        Running::start(&[&"cpg", &"send", &"victims", &"--socket", &socket])
    } else {
        Running::start(&[&"cpg", &"listen", &"victims", &"--socket", &socket])
    };
    let lines: String = (0..100)
        .map(|line| format!("victim {round} line {line} {} end\n", "x".repeat(line * 7)))
        .collect();
    // From before it has connected to long after it has begun: no two deaths are alike.
    let pauses = random.below(60);
    for _ in 0..pauses {
        if round.is_multiple_of(2) && victim.write(lines.as_bytes()).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_micros(random.below(1000) as u64));
    }
    victim.kill();
}

#[test]
fn clients_killed_at_any_moment_leave_nothing_behind() {
    let _machine = common::machine();
    let mut cluster = Cluster::prepare(common::on_loopback(2, 33_200)).unwrap();
    cluster.start_all().unwrap();
    (0..2).for_each(|node| wait_for_ring(&cluster.socket(node), 2));
    let (near, far) = (cluster.socket(0), cluster.socket(1));
    let mut witnesses = [Witness::join(&near), Witness::join(&far)];
    let look = |witnesses: &mut [Witness; 2]| witnesses.iter_mut().for_each(Witness::look);
    let mut random = Random(7);
    // The first lives warm the engine up: what is kept for the next client is part of the baseline.
    (0..10).for_each(|round| live_and_die(&near, round, &mut random));
    let gone = |witnesses: &mut [Witness; 2]| {
        look(witnesses);
        witnesses.iter().all(|witness| witness.members == 2)
    };
    assert!(wait_until(PATIENCE, || gone(&mut witnesses)), "dead members stay in the group");
    let before = [Usage::of(&mut cluster, 0), Usage::of(&mut cluster, 1)];
    for round in 0..kills() {
        live_and_die(&near, round, &mut random);
        look(&mut witnesses);
    }
    assert!(wait_until(PATIENCE, || gone(&mut witnesses)), "dead members stay in the group");
    let mut after = before;
    let back = wait_until(PATIENCE, || {
        look(&mut witnesses);
        after = [Usage::of(&mut cluster, 0), Usage::of(&mut cluster, 1)];
        after[0].is_back_at(before[0]) && after[1].is_back_at(before[1])
    });
    assert!(back, "not given back: {before:#?} then {after:#?}");
    // The engine serves the next one as it did the first.
    let next = run_with_input(&[&"cpg", &"send", &"victims", &"--socket", &near], LAST);
    assert_eq!(next.good(), "");
    let all = |witnesses: &mut [Witness; 2]| {
        gone(witnesses) && witnesses.iter().all(|witness| witness.saw_last)
    };
    assert!(wait_until(PATIENCE, || all(&mut witnesses)), "the last message is not everywhere");
    let [a, b] = &witnesses;
    assert!(b.messages > 1 && b.joined > 1, "no victim lived long enough to join and send");
    assert_eq!(a.messages, b.messages, "both witnesses saw the same messages");
    assert_eq!(b.joined, b.left, "who joined has left");
    assert_eq!(a.joined, b.joined + 1, "the first witness saw the second join, too");
    eprintln!(
        "{} clients killed, {} messages and {} joins seen by both; {before:?} then {after:?}",
        kills(),
        b.messages,
        b.joined
    );
}
