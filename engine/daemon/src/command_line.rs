//! What `synchrotrond` accepts on its command line.

use std::path::PathBuf;

use clap::Parser;

/// The Synchrotron engine: group messaging in total order.
#[derive(Debug, Parser)]
#[command(name = "synchrotrond", version, max_term_width = 100)]
pub struct CommandLine {
    /// The configuration (see docs/configuration.md).
    #[arg(long, value_name = "FILE", required_unless_present = "corosync_conf")]
    pub config: Option<PathBuf>,
    /// A configuration of Corosync instead (see docs/corosync.md).
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub corosync_conf: Option<PathBuf>,
    /// Read the configuration, list everything that is wrong with it, and end.
    #[arg(long)]
    pub check: bool,
}
