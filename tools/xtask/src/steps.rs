//! Steps with names, times, counted tests and one verdict.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

/// A cargo invocation with the cargo that runs us.
pub(crate) fn cargo<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args);
    command
}

/// What ran so far. Goes on after a failure, so that one run shows all of them.
#[derive(Default)]
pub(crate) struct Steps {
    failed: Vec<String>,
    skipped: Vec<String>,
    tests_passed: u64,
    tests_failed: u64,
    tests_ignored: u64,
}

impl Steps {
    /// Runs a command, passing its output on while counting the tests it reports.
    pub(crate) fn run(&mut self, name: &str, mut command: Command) {
        self.timed(name, |steps| {
            let mut child = command
                .stdout(Stdio::piped())
                .stdin(Stdio::null())
                .spawn()
                .map_err(|error| anyhow::anyhow!("cannot start {command:?}: {error}"))?;
            let output = child.stdout.take().expect("stdout was piped");
            for line in BufReader::new(output).split(b'\n') {
                let line = line?;
                steps.count(&String::from_utf8_lossy(&line));
                let mut out = std::io::stdout().lock();
                out.write_all(&line)?;
                out.write_all(b"\n")?;
            }
            let status = child.wait()?;
            anyhow::ensure!(status.success(), "{command:?} ended with {status}");
            Ok(())
        });
    }

    /// Runs a check of our own.
    pub(crate) fn check(&mut self, name: &str, check: impl FnOnce() -> anyhow::Result<()>) {
        self.timed(name, |_| check());
    }

    /// Names something that cannot run here, with the reason. Under CI that is a failure.
    pub(crate) fn skip(&mut self, name: &str, reason: &str) {
        eprintln!("== {name}: skipped: {reason}");
        if std::env::var("CI").is_ok_and(|ci| ci == "true") {
            self.failed.push(format!("{name} (may not be skipped under CI: {reason})"));
        } else {
            self.skipped.push(format!("{name}: {reason}"));
        }
    }

    fn timed(&mut self, name: &str, step: impl FnOnce(&mut Self) -> anyhow::Result<()>) {
        eprintln!("== {name}");
        let start = Instant::now();
        let result = step(self);
        let took_s = start.elapsed().as_secs_f64();
        match result {
            Ok(()) => eprintln!("== {name}: ok, {took_s:.1} s"),
            Err(error) => {
                eprintln!("== {name}: FAILED after {took_s:.1} s: {error:#}");
                self.failed.push(name.to_owned());
            }
        }
    }

    /// Adds up `test result: ok. 12 passed; 0 failed; 0 ignored; ...`.
    fn count(&mut self, line: &str) {
        let Some((_, numbers)) = line.split_once("test result: ") else { return };
        let mut words = numbers.split([' ', ';', '.']).filter(|word| !word.is_empty());
        let mut previous = "";
        for word in words.by_ref() {
            let number = || previous.parse::<u64>().unwrap_or(0);
            match word {
                "passed" => self.tests_passed += number(),
                "failed" => self.tests_failed += number(),
                "ignored" => self.tests_ignored += number(),
                _ => {}
            }
            previous = word;
        }
    }

    /// Prints the summary and gives the exit code.
    pub(crate) fn finish(mut self) -> ExitCode {
        if self.tests_ignored > 0 {
            self.failed.push(format!("{} ignored tests (the house has none)", self.tests_ignored));
        }
        for reason in &self.skipped {
            println!("skipped: {reason}");
        }
        for name in &self.failed {
            println!("FAILED: {name}");
        }
        if self.tests_passed + self.tests_failed > 0 {
            println!("{} passed, {} failed", self.tests_passed, self.tests_failed);
        }
        if self.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_test_binaries_are_added_up() {
        let mut steps = Steps::default();
        steps.count("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out");
        steps.count("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured");
        steps.count("some other line with 5 passed");
        assert_eq!((steps.tests_passed, steps.tests_failed, steps.tests_ignored), (15, 2, 1));
    }
}
