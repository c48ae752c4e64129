//! The program around the shell: options, files, a clock.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::{CommandFactory, Parser};

use crate::command::{Flow, Shell};
use crate::conf::read_conf;
use crate::simulator::Simulator;

/// Show which parts of a cluster would have a quorum.
#[derive(Parser)]
#[command(name = "vqsim", version)]
struct Options {
    /// Configuration file.
    #[arg(short = 'c', default_value = "/etc/corosync/corosync.conf")]
    config: PathBuf,
    /// Write to this file instead of standard output.
    #[arg(short = 'o')]
    output: Option<PathBuf>,
    /// Do not show all nodes after each change.
    #[arg(short = 'n')]
    no_sync: bool,
}

/// Its options, for manual pages and completions.
pub fn command() -> clap::Command {
    Options::command()
}

/// Runs the simulator with the arguments of a command line, its own name first.
pub fn main_with(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let options = match Options::try_parse_from(arguments) {
        Ok(options) => options,
        Err(error) => {
            let code = error.exit_code();
            // Nothing is left to say when even this cannot be printed.
            let _ = error.print();
            return ExitCode::from(code as u8);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vqsim: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> anyhow::Result<()> {
    let file = options.config.display();
    let text = std::fs::read_to_string(&options.config).with_context(|| format!("{file}"))?;
    let votes = read_conf(&text).with_context(|| format!("{file}"))?;
    let simulator = Simulator::new(votes).with_context(|| format!("{file}"))?;
    let mut stdout = io::stdout();
    let mut to_file;
    let out: &mut dyn Write = match &options.output {
        Some(path) => {
            to_file = File::create(path).with_context(|| format!("{}", path.display()))?;
            &mut to_file
        }
        None => &mut stdout,
    };
    let mut err = io::stderr();
    let mut shell = Shell::new(simulator, out, &mut err);
    shell.set_sync(!options.no_sync);
    shell.start()?;
    let terminal = io::stdin().is_terminal();
    let started = Instant::now();
    let mut lines = io::stdin().lock().lines();
    loop {
        // Whoever reads the output passes over lines that start with #; a terminal shows what is typed.
        write!(shell.out(), "{}", if terminal { "vqsim> " } else { "#vqsim> " })?;
        shell.out().flush()?;
        let Some(line) = lines.next() else { break };
        let line = line?;
        if !terminal {
            writeln!(shell.out(), "{line}")?;
        }
        shell.advance(u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX));
        if shell.run(&line)? == Flow::Exit {
            return Ok(());
        }
    }
    writeln!(shell.out())?;
    Ok(())
}
