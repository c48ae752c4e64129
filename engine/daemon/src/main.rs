//! `synchrotrond`: the engine as a service.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use schema::{Loaded, Source};
use synchrotron_daemon::{self as daemon, CommandLine};

fn main() -> ExitCode {
    // clap ends with 2 on a wrong command line, which is `Exit::Usage`.
    let cli = CommandLine::parse();
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
