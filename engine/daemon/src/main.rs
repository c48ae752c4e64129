//! `synchrotrond`: the engine as a service.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use synchrotron_daemon as daemon;

/// The Synchrotron engine: group messaging in total order.
#[derive(Parser)]
#[command(name = "synchrotrond", version, max_term_width = 100)]
struct Cli {
    /// The configuration (see docs/configuration.md).
    #[arg(long)]
    config: PathBuf,
    /// Read the configuration, list everything that is wrong with it, and end.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    // clap ends with 2 on a wrong command line, which is `Exit::Usage`.
    let cli = Cli::parse();
    if !cli.check {
        return daemon::main_with(&cli.config);
    }
    match daemon::check(&cli.config) {
        Ok(config) => {
            let (nodes, me) = (config.nodes.len(), config.my_node());
            println!("{}: good: node {} ({}) of {nodes}", cli.config.display(), me.id, me.name);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit.into()
        }
    }
}
