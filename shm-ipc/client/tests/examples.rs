//! The examples at work: two programs with a terminal's input each, in one group.

mod engine;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use engine::{NODE, Setup};

/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(30);

/// A running example.
struct Example {
    child: Child,
    keyboard: Option<ChildStdin>,
    said: Receiver<String>,
}

impl Example {
    fn start(name: &str, socket: &Path) -> Self {
        // Tests are in `deps`, examples beside it.
        let me = std::env::current_exe().unwrap();
        let program = me.parent().unwrap().with_file_name("examples").join(name);
        assert!(program.exists(), "{} is not built: cargo build --examples", program.display());
        let mut command = Command::new(program);
        command.arg(socket).arg("talk").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (send, said) = channel();
        let from = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            from.lines().map_while(Result::ok).try_for_each(|line| send.send(line))
        });
        let keyboard = child.stdin.take();
        Self { child, keyboard, said }
    }

    fn types(&mut self, line: &str) {
        writeln!(self.keyboard.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Waits until it has said this; what it says before is not looked at.
    fn says(&self, wanted: &str) {
        let deadline = Instant::now() + LONG;
        let mut others = Vec::new();
        while let Ok(line) = self.said.recv_timeout(deadline - Instant::now()) {
            if line == wanted {
                return;
            }
            others.push(line);
        }
        panic!("never said {wanted:?}, but {others:?}");
    }

    /// Ends its input, and waits for it to end well.
    fn ends(mut self) {
        self.keyboard = None;
        let deadline = Instant::now() + LONG;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end with its input");
            std::thread::sleep(Duration::from_millis(1));
        };
        assert!(status.success(), "{status}");
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // It has ended, or the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_chat_and_a_poll_loop_talk_in_one_group() {
    let engine = Setup::new().start();
    let mut chat = Example::start("chat", engine.path());
    chat.says("* 1 here");
    let mut poll_loop = Example::start("poll_loop", engine.path());
    poll_loop.says("* 2 members");
    chat.says("* 2 here");
    chat.types("hello");
    poll_loop.says("hello");
    let me = format!("{NODE}.{}", chat.child.id());
    chat.says(&format!("{me}: hello"));
    // Typed at once: lines are told apart, and their order is kept.
    poll_loop.types("one\ntwo");
    let other = format!("{NODE}.{}", poll_loop.child.id());
    for line in ["one", "two"] {
        chat.says(&format!("{other}: > {line}"));
        poll_loop.says(&format!("> {line}"));
    }
    poll_loop.ends();
    chat.says("* 1 here");
    chat.ends();
}
