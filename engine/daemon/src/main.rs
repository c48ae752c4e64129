//! `synchrotrond`: the engine as a service.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use schema::{Loaded, Source};
use synchrotron_daemon as daemon;

/// The Synchrotron engine: group messaging in total order.
#[derive(Parser)]
#[command(name = "synchrotrond", version, max_term_width = 100)]
struct Cli {
    /// The configuration (see docs/configuration.md).
    #[arg(long, value_name = "FILE", required_unless_present = "corosync_conf")]
    config: Option<PathBuf>,
    /// A configuration of Corosync instead (see docs/corosync.md).
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    corosync_conf: Option<PathBuf>,
    /// Read the configuration, list everything that is wrong with it, and end.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    // clap ends with 2 on a wrong command line, which is `Exit::Usage`.
    let cli = Cli::parse();
    let source = match (cli.config, cli.corosync_conf) {
        (Some(file), _) => Source::Toml(file),
        (None, Some(file)) => Source::Corosync(file),
        (None, None) => unreachable!("clap asks for one of them"),
    };
    if !cli.check {
        return daemon::main_with(&source);
    }
    match daemon::check(&source) {
        Ok(Loaded { config, warnings, .. }) => {
            for warning in warnings {
                eprintln!("warning: {warning}");
            }
            let (nodes, me) = (config.nodes.len(), config.my_node());
            println!("{}: good: node {} ({}) of {nodes}", source.file().display(), me.id, me.name);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit.into()
        }
    }
}
