//! The tool as a shell runs it: arguments in, exit code and text out.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use cluster::wait_until;
use serde_json::Value;

/// How long anything may take before a test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An argument: text or a path.
pub(crate) type Arg<'a> = &'a (dyn AsRef<OsStr> + Sync);

/// What a command that ended has said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    fn new(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Standard output of a command that must have gone well.
    pub(crate) fn good(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// Standard error of a command that must have ended with `code` and printed nothing else.
    pub(crate) fn bad(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.out, "", "errors belong on standard error: {self:?}");
        assert!(!self.err.contains("panicked"), "{self:?}");
        self.err
    }
}

fn command(args: &[Arg<'_>]) -> Command {
    let mut command = Command::new(super::tool());
    command.args(args.iter().map(|arg| arg.as_ref()));
    // The user's own choice of an engine is not ours.
    command.env_remove("SYNCHROTRON_SOCKET");
    command
}

/// Runs the tool to its end.
pub(crate) fn run(args: &[Arg<'_>]) -> Said {
    Said::new(command(args).stdin(Stdio::null()).output().unwrap())
}

/// Runs the tool to its end with this on its standard input.
pub(crate) fn run_with_input(args: &[Arg<'_>], input: &str) -> Said {
    let mut command = command(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that ends early does not read it all; what it says then is what counts.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    Said::new(child.wait_with_output().unwrap())
}

/// A running command whose output is read line by line. Dropping it kills the process.
pub(crate) struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Running {
    /// Starts the tool.
    pub(crate) fn start(args: &[Arg<'_>]) -> Self {
        let mut child = command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    /// The next line, without its end; empty at the end of the output.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim_end_matches('\n').to_owned()
    }

    /// Writes to its standard input; errors are those of a process that has ended.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.child.stdin.as_mut().unwrap().write_all(bytes)
    }

    /// SIGKILL, and waits for the end.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end and gives the exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already dead is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a running engine says about itself.
pub(crate) fn status(socket: &Path) -> Value {
    serde_json::from_str(&client::status(socket).unwrap()).unwrap()
}

/// Waits until an engine's ring has this many members and its groups are agreed.
pub(crate) fn wait_for_ring(socket: &Path, members: usize) {
    let ready = || {
        let Ok(text) = client::status(socket) else { return false };
        let status: Value = serde_json::from_str(&text).unwrap();
        let is_whole =
            status["ring"]["members"].as_array().is_some_and(|list| list.len() == members);
        is_whole && status["ring"]["state"] == "operational" && status["groups"]["synced"] == true
    };
    assert!(wait_until(PATIENCE, ready), "no ring of {members} at {}", socket.display());
}
