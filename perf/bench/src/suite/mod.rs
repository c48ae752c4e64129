//! `synchrotron bench suite`: the table of targets, each row by commands that anybody can run by themselves.

mod child;
mod rows;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::host::Host;
use crate::report;
use crate::results::{Results, RowResults, Run};
use rows::{Item, ROWS, Row};

/// Options of `bench suite`.
#[derive(Clone, Debug, Args)]
pub struct Suite {
    /// Rows to measure, separated by commas; if none is given all but 22, which needs a kernel with `sch_netem`.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u8).range(1..=ROWS.len() as i64))]
    rows: Vec<u8>,
    /// Seconds of each load: 2, or 1 with `--quick`.
    #[arg(long, value_parser = crate::setup::seconds)]
    seconds: Option<f64>,
    /// Everything once, for a second: a third of the time, and figures of which one may be an accident.
    #[arg(long)]
    quick: bool,
    /// Seconds to wait for the machine to become idle before each measurement; whether it was is reported.
    #[arg(long, value_parser = crate::setup::patience)]
    patience: Option<f64>,
    /// Directory of `results.json`, `report.html`, plots and the HdrHistogram logs; rows that are there and not
    /// measured now stay.
    #[arg(long, default_value = "bench-results")]
    out: PathBuf,
    /// Print the commands and run nothing.
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
    /// What follows `synchrotron bench`, times included.
    command: String,
    /// Which of its repetitions, from 0.
    round: u8,
    /// Whether it can write HdrHistogram logs.
    has_logs: bool,
    /// Name of their directory.
    name: String,
}

impl Suite {
    /// Measures the rows asked for.
    pub(crate) fn run(&self, tool: &Path, json: bool) -> anyhow::Result<()> {
        let rows: Vec<&Row> = ROWS.iter().filter(|row| self.wants(row.number)).collect();
        if self.list {
            for row in rows {
                println!("{:>2}  {}", row.number, row.what);
                for step in self.steps(row) {
                    println!("      synchrotron bench {} --json", step.command);
                }
            }
            return Ok(());
        }
        std::fs::create_dir_all(&self.out)
            .with_context(|| format!("cannot make {}", self.out.display()))?;
        let mut results = Results::load(&self.out)?;
        let steps: Vec<Step> = rows.iter().flat_map(|row| self.steps(row)).collect();
        let bar = progress(steps.len() as u64, json);
        let mut failed = Vec::new();
        for row in rows {
            let entry = RowResults { what: row.what.into(), reach: row.reach.into(), runs: vec![] };
            results.rows.insert(row.number, entry);
            for step in steps.iter().filter(|step| step.row == row.number) {
                bar.suspend(|| eprintln!("row {}: synchrotron bench {}", step.row, step.command));
                bar.set_message(format!("row {}: {}", step.row, step.command));
                let run = self.one(tool, step, &bar)?;
                if let Some(error) = &run.error {
                    bar.suspend(|| eprintln!("row {}: FAILED: {error}", step.row));
                    failed.push(format!("row {}: {}: {error}", step.row, step.command));
                }
                results.rows.entry(row.number).or_default().runs.push(run);
                // After every command, so that an interrupted suite has something to show.
                results.save(&self.out)?;
                bar.inc(1);
            }
            results.save(&self.out)?;
        }
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

    fn wants(&self, number: u8) -> bool {
        self.rows.contains(&number) || self.rows.is_empty() && number != rows::WEATHER
    }

    /// A row's commands in the order in which they run: those to be repeated take turns.
    fn steps(&self, row: &Row) -> Vec<Step> {
        let mut steps = Vec::new();
        let rounds = row.commands.iter().map(|item| self.rounds(item)).max().unwrap_or(0);
        for round in 0..rounds {
            for (index, item) in row.commands.iter().enumerate() {
                if round < self.rounds(item) {
                    steps.push(Step {
                        row: row.number,
                        command: self.filled(item),
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
            _ => item.times,
        }
    }

    /// How often the command is run as a whole.
    fn rounds(&self, item: &Item) -> u8 {
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

fn progress(steps: u64, json: bool) -> ProgressBar {
    let bar = ProgressBar::new(steps);
    if json {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    if let Ok(style) = ProgressStyle::with_template("{bar:20} {pos}/{len} {elapsed} {msg}") {
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
            for row in &ROWS {
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
        let numbers: Vec<u8> = ROWS.iter().map(|row| row.number).collect();
        assert_eq!(numbers, (1..=ROWS.len() as u8).collect::<Vec<u8>>());
    }

    #[test]
    fn commands_that_are_repeated_take_turns_and_write_their_own_logs() {
        let suite = suite(&["--rows", "16"]);
        let row = ROWS.iter().find(|row| suite.wants(row.number)).unwrap();
        let steps = suite.steps(row);
        let hogs: Vec<bool> = steps.iter().map(|step| step.command.contains("--hogs")).collect();
        assert_eq!(hogs, [false, true, false, true]);
        let mut names: Vec<&String> = steps.iter().map(|step| &step.name).collect();
        names.dedup();
        assert_eq!(names.len(), 4);
    }
}
