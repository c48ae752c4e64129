//! A command of the suite, run as a process of its own.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How often is looked whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Time it gets to take its engines and namespaces down when it is told to end.
const END_TIME: Duration = Duration::from_secs(30);

/// Runs a command that prints one JSON value, and reads that.
///
/// # Errors
/// What it said when it failed, or that it took too long.
pub(super) fn measure(
    mut command: Command,
    time_max: Duration,
    mut tick: impl FnMut(),
) -> anyhow::Result<Value> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
    let output = read_all(child.stdout.take());
    let errors = read_all(child.stderr.take());
    let deadline = Instant::now() + time_max;
    let mut status = None;
    let mut in_time = true;
    while status.is_none() {
        std::thread::sleep(LOOK_EVERY);
        tick();
        status = child.try_wait()?;
        let is_late = Instant::now() > deadline;
        if status.is_none() && (is_late || crate::stop::check().is_err()) {
            in_time = !is_late;
            status = Some(end(&mut child)?);
        }
    }
    let (output, errors) = (take(output)?, take(errors)?);
    ensure!(in_time, "it was ended after {time_max:?}; it said: {}", errors.trim());
    if !status.is_some_and(|status| status.success()) {
        bail!("{}", errors.trim());
    }
    serde_json::from_str(&output).with_context(|| format!("it printed {output:?}"))
}

/// Reads everything in a thread of its own, so that a full pipe holds nobody up.
fn read_all(from: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut from) = from {
            // What came before an error is still worth reading.
            let _ = from.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn take(reader: JoinHandle<String>) -> anyhow::Result<String> {
    reader.join().map_err(|_| anyhow::anyhow!("a reading thread failed"))
}

/// Ends a command in order, or by force.
fn end(child: &mut Child) -> anyhow::Result<std::process::ExitStatus> {
    if let Some(pid) = Pid::from_raw(child.id().cast_signed()) {
        // It is a child not waited for: the number is its own, whether it still runs or not.
        let _ = kill_process(pid, Signal::TERM);
    }
    let deadline = Instant::now() + END_TIME;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    child.kill()?;
    Ok(child.wait()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", text]);
        command
    }

    const ENOUGH: Duration = Duration::from_secs(60);

    #[test]
    fn what_it_prints_is_read_and_what_it_says_is_the_error() {
        let value = measure(script("echo '{\"rings\": 3}'"), ENOUGH, || {}).unwrap();
        assert_eq!(value["rings"], 3);
        let error = measure(script("echo no engine >&2; exit 3"), ENOUGH, || {}).unwrap_err();
        assert_eq!(error.to_string(), "no engine");
        assert!(measure(script("echo nothing useful"), ENOUGH, || {}).is_err());
    }

    #[test]
    fn one_that_does_not_end_is_ended() {
        let slow = script("exec sleep 600");
        let error = measure(slow, Duration::from_millis(200), || {}).unwrap_err();
        assert!(error.to_string().contains("it was ended after 200ms"), "{error}");
    }
}
