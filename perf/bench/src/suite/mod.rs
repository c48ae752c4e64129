//! `synchrotron bench suite`: the table of targets, each row by commands that anybody can run by themselves.

mod child;
mod estimate;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::host::Host;
use crate::report;
use crate::results::{Results, RowResults, Run};
use crate::rows::{self, Item, Row};

/// Options of `bench suite`.
#[derive(Clone, Debug, Args)]
pub struct Suite {
    /// Rows to measure, separated by commas; if none is given all but 22, which needs a kernel with `sch_netem`.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u8).range(1..=i64::from(rows::COUNT)))]
    rows: Vec<u8>,
    /// Seconds of each load: 2, or 1 with `--quick`.
    #[arg(long, value_parser = crate::setup::seconds)]
    seconds: Option<f64>,
    /// Everything once, for a second: a third of the time, and figures of which one may be an accident.
    #[arg(long)]
    quick: bool,
    /// How often everything is measured that has a target, instead of the table's own three or five times.
    #[arg(long, conflicts_with = "quick", value_parser = clap::value_parser!(u8).range(1..=50))]
    rounds: Option<u8>,
    /// Keep what the directory has of an earlier suite of this commit with the same options, and measure the rest:
    /// what failed, and what an interrupted suite did not come to.
    #[arg(long)]
    resume: bool,
    /// Seconds to wait for the machine to become idle before each measurement; whether it was is reported.
    #[arg(long, value_parser = crate::setup::patience)]
    patience: Option<f64>,
    /// Directory of `results.json`, `report.html`, `table.md`, plots and the HdrHistogram logs; rows that are there
    /// and not measured now stay.
    #[arg(long, default_value = "bench-results")]
    out: PathBuf,
    /// Print the commands with the time each will take, about, and run nothing.
    #[arg(long)]
    list: bool,
}

/// Seconds of a load, and of a load in a hurry.
const SECONDS: f64 = 2.0;
const SECONDS_QUICK: f64 = 1.0;

/// Longest time of a command: three times what the longest takes, two pairs with Corosync on 32 nodes.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(420);

/// A command with its place in the table.
struct Step {
    row: u8,
    /// What the row is about.
    what: &'static str,
    /// What follows `synchrotron bench`, times included.
    command: String,
    /// Which of its repetitions, from 0.
    round: u8,
    /// Whether it can write HdrHistogram logs.
    has_logs: bool,
    /// Name of their directory.
    name: String,
    /// How long it takes, about.
    seconds: f64,
}

impl Suite {
    /// Whether it measures nothing.
    pub(crate) fn only_prints(&self) -> bool {
        self.list
    }

    /// Measures the rows asked for.
    pub(crate) fn run(&self, tool: &Path, json: bool) -> anyhow::Result<()> {
        let rows: Vec<&'static Row> = rows::rows().filter(|row| self.wants(row.number)).collect();
        if self.list {
            self.print(&rows, json);
            return Ok(());
        }
        std::fs::create_dir_all(&self.out)
            .with_context(|| format!("cannot make {}", self.out.display()))?;
        let mut results = Results::load(&self.out)?;
        let commit = Host::here().commit;
        let mut failed = Vec::new();
        let kept = |row: &&'static Row| match self.resume {
            true => (row.number, self.kept(row, &results, commit.as_deref())),
            false => (row.number, Vec::new()),
        };
        let mut kept: BTreeMap<u8, Vec<Run>> = rows.iter().map(kept).collect();
        let done: Vec<String> = kept.values().flatten().map(|run| run.step.clone()).collect();
        let steps = rows.iter().flat_map(|row| self.steps(row));
        let steps: Vec<Step> = steps.filter(|step| !done.contains(&step.name)).collect();
        let bar = progress(&steps, json);
        bar.suspend(|| eprintln!("{} kept, {}", done.len(), estimate::sum(&seconds(&steps))));
        for step in &steps {
            // What is there of an earlier suite stays until the row is measured again.
            if let Some(runs) = kept.remove(&step.row) {
                results.rows.insert(step.row, RowResults { what: step.what.into(), runs });
            }
            bar.suspend(|| eprintln!("row {}: synchrotron bench {}", step.row, step.command));
            bar.set_message(format!("row {}: {}", step.row, step.command));
            let run = self.one(tool, step, &bar)?;
            if let Some(error) = &run.error {
                bar.suspend(|| eprintln!("row {}: FAILED: {error}", step.row));
                failed.push(format!("row {}: {}: {error}", step.row, step.command));
            }
            results.rows.entry(step.row).or_default().runs.push(run);
            // After every command, so that an interrupted suite has something to show.
            results.save(&self.out)?;
            bar.inc(step.seconds.ceil() as u64);
        }
        results.save(&self.out)?;
        bar.finish_and_clear();
        let report = report::write(&results, &self.out)?;
        if json {
            println!("{}", serde_json::to_string(&results)?);
        } else {
            eprintln!("results and report: {}", report.display());
        }
        ensure!(failed.is_empty(), "{}", failed.join("\n"));
        Ok(())
    }

    /// What an earlier suite measured of a row as this one would.
    fn kept(&self, row: &'static Row, results: &Results, commit: Option<&str>) -> Vec<Run> {
        let steps = self.steps(row);
        let same = |run: &&Run| {
            let is_step = |step: &Step| step.name == run.step && step.command == run.command;
            run.error.is_none() && run.host.commit.as_deref() == commit && steps.iter().any(is_step)
        };
        let stored = results.rows.get(&row.number).map(|row| row.runs.as_slice());
        stored.unwrap_or_default().iter().filter(same).cloned().collect()
    }

    /// What would be run, and for how long.
    fn print(&self, rows: &[&'static Row], json: bool) {
        let steps: Vec<Step> = rows.iter().flat_map(|row| self.steps(row)).collect();
        if json {
            let list = steps.iter().map(|step| {
                serde_json::json!({ "row": step.row, "command": step.command, "seconds": step.seconds })
            });
            println!("{}", serde_json::Value::Array(list.collect()));
            return;
        }
        for row in rows {
            println!("{:>2}  {}", row.number, row.what);
            for step in steps.iter().filter(|step| step.row == row.number) {
                println!("   {:>5.0} s  synchrotron bench {} --json", step.seconds, step.command);
            }
        }
        println!("{}", estimate::sum(&seconds(&steps)));
    }

    fn wants(&self, number: u8) -> bool {
        self.rows.contains(&number) || self.rows.is_empty() && number != rows::WEATHER
    }

    /// A row's commands in the order in which they run: those to be repeated take turns.
    fn steps(&self, row: &'static Row) -> Vec<Step> {
        let mut steps = Vec::new();
        let rounds = row.commands.iter().map(|item| self.repeats(item)).max().unwrap_or(0);
        for round in 0..rounds {
            for (index, item) in row.commands.iter().enumerate() {
                if round < self.repeats(item) {
                    let command = self.filled(item);
                    steps.push(Step {
                        row: row.number,
                        what: row.what,
                        seconds: estimate::seconds(&command),
                        command,
                        round,
                        has_logs: matches!(kind(item), "compare" | "local"),
                        name: format!("{:02}-{}-{}", row.number, index + 1, round + 1),
                    });
                }
            }
        }
        steps
    }

    fn times(&self, item: &Item) -> u8 {
        match kind(item) {
            // One fail-over says nothing about the next, and a hop is a short thing to measure.
            "failover" if self.quick => item.times.min(2),
            "ring" if self.quick => item.times.min(3),
            _ if self.quick => 1,
            _ if item.times > 1 => self.rounds.unwrap_or(item.times),
            _ => item.times,
        }
    }

    /// How often the command is run as a whole.
    fn repeats(&self, item: &Item) -> u8 {
        if kind(item) == "local" { self.times(item) } else { 1 }
    }

    fn filled(&self, item: &Item) -> String {
        let seconds = self.seconds.unwrap_or(if self.quick { SECONDS_QUICK } else { SECONDS });
        let mut command = item.line.to_owned();
        match kind(item) {
            "compare" => {
                command += &format!(" --seconds {seconds} --pairs {}", self.times(item));
            }
            "local" => command += &format!(" --seconds {seconds}"),
            "failover" => command += &format!(" --rounds {}", self.times(item)),
            "ring" => command += &format!(" --runs {}", self.times(item)),
            _ => {}
        }
        let waits = matches!(kind(item), "compare" | "local" | "failover" | "ring");
        if let Some(patience) = self.patience.filter(|_| waits) {
            command += &format!(" --patience {patience}");
        }
        command
    }

    /// Runs a command.
    fn one(&self, tool: &Path, step: &Step, bar: &ProgressBar) -> anyhow::Result<Run> {
        let start = Instant::now();
        let logs = step.has_logs.then(|| format!("logs/{}", step.name));
        let mut command = Command::new(tool);
        command.arg("bench").args(step.command.split_whitespace()).arg("--json");
        if let Some(logs) = &logs {
            let dir = self.out.join(logs);
            if step.round == 0 {
                // Logs of an earlier suite would be taken for this one's.
                let _ = std::fs::remove_dir_all(&dir);
            }
            command.arg("--out").arg(dir);
        }
        let outcome = child::measure(command, COMMAND_TIME_MAX, || bar.tick());
        crate::stop::check()?;
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (result, error) = match outcome {
            Ok(result) => (Some(result), None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        Ok(Run {
            command: step.command.clone(),
            step: step.name.clone(),
            host: Host::here(),
            at_unix_s: at.as_secs(),
            took_s: start.elapsed().as_secs_f64(),
            logs,
            result,
            error,
        })
    }
}

/// The first word of a command.
fn kind(item: &Item) -> &'static str {
    item.line.split_whitespace().next().unwrap_or_default()
}

fn seconds(steps: &[Step]) -> Vec<f64> {
    steps.iter().map(|step| step.seconds).collect()
}

/// A bar whose length is the time that everything takes, about.
fn progress(steps: &[Step], json: bool) -> ProgressBar {
    let bar = ProgressBar::new(steps.iter().map(|step| step.seconds.ceil() as u64).sum());
    if json {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    if let Ok(style) = ProgressStyle::with_template("{bar:20} {percent} % {elapsed} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        bench: crate::Bench,
    }

    fn suite(args: &[&str]) -> Suite {
        let words = ["bench", "suite"].iter().chain(args);
        let crate::Bench::Suite(suite) = Line::parse_from(words).bench else { panic!("a suite") };
        suite
    }

    #[test]
    fn every_command_of_the_table_is_understood() {
        for suite in [suite(&[]), suite(&["--quick", "--patience", "0"])] {
            assert!(suite.wants(1) && !suite.wants(rows::WEATHER));
            for row in rows::rows() {
                for step in suite.steps(row) {
                    let words = std::iter::once("bench").chain(step.command.split_whitespace());
                    assert!(
                        Line::try_parse_from(words).is_ok(),
                        "row {}: {}",
                        row.number,
                        step.command
                    );
                }
            }
        }
    }

    #[test]
    fn commands_that_are_repeated_take_turns_and_write_their_own_logs() {
        let suite = suite(&["--rows", "16"]);
        let row = rows::rows().find(|row| suite.wants(row.number)).unwrap();
        let steps = suite.steps(row);
        let hogs: Vec<bool> = steps.iter().map(|step| step.command.contains("--hogs")).collect();
        assert_eq!(hogs, [false, true, false, true, false, true]);
        let mut names: Vec<&String> = steps.iter().map(|step| &step.name).collect();
        names.dedup();
        assert_eq!(names.len(), 6);
    }

    #[test]
    fn what_was_measured_as_it_would_be_now_is_kept() {
        let suite = suite(&["--rows", "16", "--seconds", "1", "--resume"]);
        let row = rows::rows().find(|row| row.number == 16).unwrap();
        let steps = suite.steps(row);
        let run = |step: &Step, error: Option<&str>| Run {
            command: step.command.clone(),
            step: step.name.clone(),
            host: Host::here(),
            at_unix_s: 0,
            took_s: 1.0,
            logs: None,
            result: None,
            error: error.map(str::to_owned),
        };
        let other = Run {
            command: "local --nodes 3 --loads flood --seconds 9".into(),
            ..run(&steps[2], None)
        };
        let runs = vec![run(&steps[0], None), run(&steps[1], Some("it failed")), other];
        let mut results = Results::default();
        results.rows.insert(16, RowResults { what: String::new(), runs });
        let commit = Host::here().commit;
        let kept = suite.kept(row, &results, commit.as_deref());
        assert_eq!(kept.iter().map(|run| &run.step).collect::<Vec<_>>(), [&steps[0].name]);
        assert!(suite.kept(row, &results, Some("another")).is_empty());
    }
}
