//! Which engine a command talks to.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde_json::Value;

/// Where an engine listens when nothing else is said.
const DEFAULT_SOCKET: &str = "/run/synchrotron/socket";

/// The engine a command talks to.
#[derive(Args)]
pub(crate) struct Engine {
    /// The engine's client socket.
    #[arg(long, global = true, default_value = DEFAULT_SOCKET, env = "SYNCHROTRON_SOCKET")]
    pub(crate) socket: PathBuf,
}

impl Engine {
    /// What it says about itself.
    pub(crate) fn status(&self) -> anyhow::Result<Value> {
        let text = client::status(&self.socket)
            .with_context(|| format!("no status from the engine at {}", self.socket.display()))?;
        serde_json::from_str(&text).context("the engine's answer is not JSON")
    }
}
