//! `synchrotron bench suite`: the table of targets, each row by the command that anybody can run by itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use clap::Args;
use serde_json::{Value, json};

use crate::host::Host;

/// Options of `bench suite`.
#[derive(Clone, Debug, Args)]
pub struct Suite {
    /// Rows to measure, separated by commas; all of them if none is given.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u8).range(1..=16))]
    rows: Vec<u8>,
    /// Seconds of each load.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Pairs of each comparison.
    #[arg(long, default_value_t = 3)]
    pairs: u16,
    /// Directory of `results.json`; rows that are there and not measured now stay.
    #[arg(long, default_value = "bench-results")]
    out: PathBuf,
    /// Print the commands and run nothing.
    #[arg(long)]
    list: bool,
}

/// A row's commands.
struct Row {
    number: u8,
    what: &'static str,
    commands: &'static [&'static str],
}

/// What is measured; PAIRS stands for the options that say how long and how often, TIME for how long.
const ROWS: [Row; 16] = [
    Row {
        number: 1,
        what: "2 nodes, 64 B, flood from one sender",
        commands: &["compare --nodes 2 --size 64 PAIRS"],
    },
    Row { number: 2, what: "8 nodes, same", commands: &["compare --nodes 8 --size 64 PAIRS"] },
    Row {
        number: 3,
        what: "32 nodes, same, and with every node sending",
        commands: &[
            "compare --nodes 32 --size 64 PAIRS",
            "local --nodes 32 --size 64 --senders all --loads flood TIME",
        ],
    },
    Row {
        number: 4,
        what: "1400 B: 2, 8 and 32 nodes",
        commands: &[
            "compare --nodes 2 --size 1400 PAIRS",
            "compare --nodes 8 --size 1400 PAIRS",
            "compare --nodes 32 --size 1400 PAIRS",
        ],
    },
    Row {
        number: 5,
        what: "64 KiB: 2 and 8 nodes",
        commands: &[
            "compare --nodes 2 --size 65536 PAIRS",
            "compare --nodes 8 --size 65536 PAIRS",
            "local --nodes 2 --size 1048576 --loads flood TIME",
        ],
    },
    Row {
        number: 6,
        what: "CPU of the machine per ordered 64 B message: see rows 1, 2 and 3",
        commands: &[],
    },
    Row {
        number: 7,
        what: "latency of an idle ring, 64 B",
        commands: &[
            "local --nodes 2 --loads idle --mode busy --waiting yield TIME",
            "local --nodes 2 --loads idle --mode park TIME",
            "local --nodes 2 --loads idle --mode adaptive TIME",
            "local --nodes 32 --loads idle --mode adaptive TIME",
        ],
    },
    Row {
        number: 8,
        what: "latency at half of Corosync's peak: see `half` of rows 1, 2 and 3",
        commands: &[],
    },
    Row {
        number: 9,
        what: "latency at half of our own flood, and at 300 k messages/s of 32 nodes",
        commands: &[
            "local --nodes 2 --loads flood,half TIME",
            "local --nodes 8 --loads flood,half TIME",
            "local --nodes 32 --loads flood,half,rate:300000 TIME",
        ],
    },
    Row {
        number: 10,
        what: "encryption on against off",
        commands: &[
            "local --nodes 2 --size 64 --loads flood --encryption off TIME",
            "local --nodes 2 --size 64 --loads flood --encryption on TIME",
            "local --nodes 2 --size 1400 --loads flood --encryption off TIME",
            "local --nodes 2 --size 1400 --loads flood --encryption on TIME",
            "local --nodes 32 --size 64 --loads flood --encryption off TIME",
            "local --nodes 32 --size 64 --loads flood --encryption on TIME",
        ],
    },
    Row { number: 11, what: "rings alone", commands: &["ring"] },
    Row {
        number: 12,
        what: "32 idle engines",
        commands: &["local --nodes 32 --loads silent --mode adaptive TIME"],
    },
    Row {
        number: 13,
        what: "formation of 32, 64 and 128 nodes, and what they carry then",
        commands: &[
            "local --nodes 32 --loads flood TIME",
            "local --nodes 64 --loads flood TIME",
            "local --nodes 128 --loads flood TIME",
        ],
    },
    Row {
        number: 14,
        what: "fail-over: SIGKILL of an engine, and a dead host, 3 and 32 nodes",
        commands: &[
            "failover --nodes 3 --fault kill",
            "failover --nodes 32 --fault kill",
            "failover --nodes 3 --fault unplug",
            "failover --nodes 32 --fault unplug",
        ],
    },
    Row {
        number: 15,
        what: "1 % loss against none",
        commands: &[
            "local --nodes 3 --loads flood,half TIME",
            "local --nodes 3 --loads flood,half --loss 1 TIME",
        ],
    },
    Row {
        number: 16,
        what: "two CPU hogs beside the cluster",
        commands: &[
            "local --nodes 3 --loads flood TIME",
            "local --nodes 3 --loads flood --hogs 2 TIME",
        ],
    },
];

/// Where `docs/performance.md` takes its table from.
const RESULTS: &str = "results.json";

impl Suite {
    /// Measures the rows asked for.
    pub(crate) fn run(&self, tool: &Path, json: bool) -> anyhow::Result<()> {
        let wanted = |row: &&Row| self.rows.is_empty() || self.rows.contains(&row.number);
        if self.list {
            for row in ROWS.iter().filter(wanted) {
                println!("{:>2}  {}", row.number, row.what);
                for command in row.commands {
                    println!("      synchrotron bench {} --json", self.filled(command));
                }
            }
            return Ok(());
        }
        let file = self.out.join(RESULTS);
        std::fs::create_dir_all(&self.out).with_context(|| self.out.display().to_string())?;
        let mut results = earlier(&file)?;
        let mut failed = Vec::new();
        for row in ROWS.iter().filter(wanted) {
            let mut entries = Vec::new();
            for command in row.commands {
                let command = self.filled(command);
                eprintln!("row {}: synchrotron bench {command} --json", row.number);
                let entry = match measure(tool, &command) {
                    Ok(result) => json!({ "command": command, "result": result }),
                    Err(error) => {
                        failed.push(format!("row {}: {command}: {error:#}", row.number));
                        json!({ "command": command, "error": format!("{error:#}") })
                    }
                };
                entries.push(entry);
                crate::stop::check()?;
            }
            let row_json = json!({ "what": row.what, "host": Host::here(), "runs": entries });
            results.insert(format!("{:02}", row.number), row_json);
            // After every row, so that an interrupted suite has something to show.
            let text = serde_json::to_string_pretty(&results)?;
            std::fs::write(&file, text).with_context(|| file.display().to_string())?;
        }
        if json {
            println!("{}", serde_json::to_string(&results)?);
        } else {
            eprintln!("results: {}", file.display());
        }
        ensure!(failed.is_empty(), "{}", failed.join("\n"));
        Ok(())
    }

    fn filled(&self, command: &str) -> String {
        let time = format!("--seconds {}", self.seconds);
        command.replace("PAIRS", &format!("{time} --pairs {}", self.pairs)).replace("TIME", &time)
    }
}

/// What an earlier suite left.
fn earlier(file: &Path) -> anyhow::Result<BTreeMap<String, Value>> {
    match std::fs::read(file) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .with_context(|| format!("{} is not what a suite writes", file.display())),
        Err(_) => Ok(BTreeMap::new()),
    }
}

fn measure(tool: &Path, command: &str) -> anyhow::Result<Value> {
    let args = command.split_whitespace();
    let output = Command::new(tool).arg("bench").args(args).arg("--json").output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}", said.trim());
    serde_json::from_slice(&output.stdout).context("what it printed")
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

    #[test]
    fn every_command_of_the_table_is_understood() {
        let text = ["bench", "suite"];
        let crate::Bench::Suite(suite) = Line::parse_from(text).bench else { panic!("a suite") };
        for row in &ROWS {
            for command in row.commands {
                let filled = suite.filled(command);
                let words = std::iter::once("bench").chain(filled.split_whitespace());
                assert!(Line::try_parse_from(words).is_ok(), "row {}: {filled}", row.number);
            }
        }
        let numbers: Vec<u8> = ROWS.iter().map(|row| row.number).collect();
        assert_eq!(numbers, (1..=16).collect::<Vec<u8>>());
    }
}
