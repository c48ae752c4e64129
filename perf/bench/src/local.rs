//! `synchrotron bench local`: engines of ours on this machine, or on the hosts that are named.

use std::path::{Path, PathBuf};

use anyhow::ensure;
use clap::Args;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

use crate::figures::Figures;
use crate::host::{self, Host};
use crate::load::Load;
use crate::measure::{self, Named};
use crate::setup::Setup;
use crate::stage::Stage;

/// Options of `bench local`.
#[derive(Clone, Debug, Args)]
pub struct Local {
    #[command(flatten)]
    pub(crate) setup: Setup,
    /// Loads, one after another: `idle` (one message at a time), `flood`, `half` (of the flood before it), `silent`,
    /// `rate:MESSAGES_PER_SECOND`, `burst:MESSAGES:MICROSECONDS_BETWEEN`.
    #[arg(long, value_delimiter = ',', default_value = "idle,flood,half")]
    loads: Vec<String>,
    /// Write HdrHistogram logs (V2) of every load's latencies into this directory.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// What `bench local --json` prints.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The process that measured, as directories of hosts are named after it.
    pub(crate) pid: u32,
    pub(crate) host: Host,
    pub(crate) settings: Setup,
    #[serde(flatten)]
    pub(crate) figures: Figures,
}

impl Local {
    /// Measures and prints.
    pub(crate) fn run(&self, tool: &Path, json: bool) -> anyhow::Result<()> {
        let bar = crate::bar(json);
        let figures = self.measure(tool, &bar)?;
        bar.finish_and_clear();
        let failed = (!figures.order.identical).then(|| figures.order.findings.join("; "));
        let pid = std::process::id();
        let settings = self.setup.clone();
        let report = Report { pid, host: Host::here(), settings, figures };
        if json {
            println!("{}", serde_json::to_string(&report)?);
        } else {
            crate::print::figures(&report.figures);
        }
        ensure!(failed.is_none(), "the subscribers disagree: {}", failed.unwrap_or_default());
        Ok(())
    }

    fn measure(&self, tool: &Path, bar: &ProgressBar) -> anyhow::Result<Figures> {
        let idle_before = host::wait_idle(self.setup.patience());
        bar.set_message("starting the engines");
        let mut stage = if self.setup.hosts.is_empty() {
            Stage::synchrotron(&self.setup, tool)?
        } else {
            Stage::hosts(&self.setup, tool)?
        };
        let mut figures = Figures {
            engine: stage.name.clone(),
            formation_s: stage.formation_s,
            idle_before,
            ..Figures::default()
        };
        for text in &self.loads {
            let named = self.load(text, &figures)?;
            let (load, latency) = measure::measure(&mut stage, &self.setup, &named, bar)?;
            if let Some(dir) = &self.out {
                crate::log::write(dir, &format!("synchrotron-{}", named.name), &latency)?;
            }
            figures.enter(load);
        }
        measure::finish(&mut stage, &mut figures)?;
        Ok(figures)
    }

    fn load(&self, text: &str, so_far: &Figures) -> anyhow::Result<Named> {
        let mut parts = text.split(':');
        let kind = parts.next().unwrap_or_default();
        let numbers = parts.map(str::parse).collect::<Result<Vec<u32>, _>>().unwrap_or_default();
        let senders = self.setup.senders();
        Ok(match (kind, numbers.as_slice()) {
            ("idle", []) => measure::idle(),
            ("silent", []) => Named { name: text.into(), load: Load::Silent, senders },
            ("flood", []) => measure::flood(&self.setup),
            ("half", []) => {
                let flood = so_far.messages_per_second;
                ensure!(flood > 0.0, "load `half` is half of a flood: put `flood` before it");
                measure::rate(&self.setup, "half", flood / 2.0)
            }
            ("rate", &[rate]) if rate > 0 => measure::rate(&self.setup, text, rate.into()),
            ("burst", &[messages, us]) if messages > 0 && us > 0 => Named {
                name: text.into(),
                load: Load::Burst { messages, every_ns: u64::from(us) * 1000 },
                senders,
            },
            _ => anyhow::bail!(
                "load {text:?}: there are idle, flood, half, silent, rate:MESSAGES_PER_SECOND and \
                 burst:MESSAGES:MICROSECONDS_BETWEEN"
            ),
        })
    }
}
