//! What the programs of this crate have in common: which engines they start, and how they end.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::{Place, Spec};

/// Options of every program here.
#[derive(Clone, Debug, Args)]
pub struct Launch {
    /// The tool that carries the engine, or `synchrotrond` with `--daemon`.
    #[arg(long, default_value = "target/release/synchrotron")]
    program: PathBuf,
    /// The program is `synchrotrond`, started as it is instead of as `synchrotron engine`.
    #[arg(long)]
    daemon: bool,
    /// Engines.
    #[arg(long, default_value_t = 3)]
    pub nodes: usize,
}

impl Launch {
    /// The cluster to be started: encrypted, all else as it is by default.
    pub fn spec(&self, place: Place) -> Spec {
        let engine = (!self.daemon).then(|| "engine".into());
        let program = [self.program.clone()].into_iter().chain(engine).collect();
        Spec { nodes: self.nodes, place, program, encrypted: true, extra: Vec::new() }
    }
}

/// How a program ends: well, or with a failure that it has shown already, or with one to be shown.
pub fn ended(name: &str, outcome: anyhow::Result<bool>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
