//! `synchrotron`: the command-line tool. A library, so that manual pages and completions can be written from what it
//! accepts.
#![forbid(unsafe_code)]

mod blackbox;
mod cmap;
mod convert;
mod cpg;
mod demo;
mod doctor;
mod engine;
mod keygen;
mod pipe;
mod quorum;
mod reload;
mod status;
mod top;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use schema::Source;

use crate::engine::Engine;

/// Group messaging in total order, in microseconds.
#[derive(Parser)]
#[command(name = "synchrotron", version, max_term_width = 100)]
struct Cli {
    /// Print machine-readable JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a cluster of real engines here, load it, kill one engine and bring it back.
    Demo(demo::Demo),
    /// What an engine says about itself: ring, members, groups, clients, counters.
    Status(Engine),
    /// What an engine does, as it does it: rates, other nodes, local programs.
    Top(top::Top),
    /// Make all nodes take over what their configuration files (and key files) say now, or none.
    Reload(Engine),
    /// Votes: who is here, who is expected, and whether this part of the cluster may act.
    Quorum(Engine),
    /// Process groups: list them, join, send and listen (for scripts).
    #[command(subcommand)]
    Cpg(cpg::Cpg),
    /// The configuration map and the statistics of a node: get, set, delete, list, track.
    Cmap(cmap::CmapArgs),
    /// Make a cluster key.
    Keygen(keygen::Keygen),
    /// Rewrite a configuration: corosync.conf or corosync.xml as TOML, or the other way round.
    Convert(convert::Convert),
    /// Read an engine's flight recorder, also after a crash.
    Blackbox(blackbox::Blackbox),
    /// Measure: engines on this machine, beside Corosync, on other hosts; the rings alone.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Check this host and say what to change.
    Doctor,
    /// Run an engine (what `synchrotrond` does; used by the demo).
    #[command(hide = true)]
    Engine {
        /// The engine's configuration.
        #[arg(long)]
        config: PathBuf,
    },
}

impl Command {
    /// Whether nothing has to be put in order if it ends in the middle of a line.
    fn only_prints(&self) -> bool {
        match self {
            // They start engines and make network namespaces, and an engine tells its peers that it leaves.
            Self::Demo(_) | Self::Engine { .. } => false,
            Self::Bench(bench) => bench.only_prints(),
            Self::Status(_)
            | Self::Top(_)
            | Self::Reload(_)
            | Self::Quorum(_)
            | Self::Cpg(_)
            | Self::Cmap(_)
            | Self::Keygen(_)
            | Self::Convert(_)
            | Self::Blackbox(_)
            | Self::Doctor => true,
        }
    }
}

/// Options and commands, for manual pages and completions.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the tool with the arguments of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.command.only_prints() {
        pipe::end_with_the_reader();
    }
    match pipe::end_in_order(|| run(&cli)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("synchrotron: {}", told(&error));
            ExitCode::FAILURE
        }
    }
}

/// Does what was asked for.
fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    match &cli.command {
        Command::Demo(options) => demo::run(options, cli.json),
        Command::Status(engine) => status::run(engine, cli.json),
        Command::Top(options) => top::run(options, cli.json),
        Command::Reload(engine) => reload::run(engine, cli.json),
        Command::Quorum(engine) => quorum::run(engine, cli.json),
        Command::Cpg(command) => cpg::run(command, cli.json),
        Command::Cmap(options) => cmap::run(options, cli.json),
        Command::Keygen(options) => keygen::run(options, cli.json),
        Command::Convert(options) => convert::run(options, cli.json),
        Command::Blackbox(options) => blackbox::run(options, cli.json),
        Command::Bench(bench) => bench::run(bench, cli.json),
        Command::Doctor => doctor::run(cli.json),
        Command::Engine { config } => {
            return Ok(daemon::main_with(&Source::Toml(config.clone())));
        }
    }?;
    Ok(ExitCode::SUCCESS)
}

/// An error with its causes, but for those that the text before them names already.
fn told(error: &anyhow::Error) -> String {
    error.chain().skip(1).fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}
