//! What a suite leaves: every run with the command that anybody can repeat it with, in one file.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::host::Host;
use crate::{compare, failover, local, model, ring};

/// The file in a suite's directory.
pub(crate) const FILE: &str = "results.json";

/// All rows measured so far.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    /// By their numbers.
    pub(crate) rows: BTreeMap<u8, RowResults>,
}

/// One row of the table.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct RowResults {
    /// What is measured.
    pub(crate) what: String,
    /// In the order in which they ran.
    pub(crate) runs: Vec<Run>,
}

/// One command and what came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    /// What follows `synchrotron bench`.
    pub(crate) command: String,
    /// Its place in the suite: row, command and repetition.
    #[serde(default)]
    pub(crate) step: String,
    /// The machine at that time.
    pub(crate) host: Host,
    /// When it ended, in seconds since 1970.
    pub(crate) at_unix_s: u64,
    /// How long it took.
    pub(crate) took_s: f64,
    /// Directory of its HdrHistogram logs, beside the results.
    pub(crate) logs: Option<String>,
    /// What it printed, if it went well.
    pub(crate) result: Option<Value>,
    /// Why not, otherwise.
    pub(crate) error: Option<String>,
}

/// What a command printed, by its kind.
#[derive(Debug)]
pub(crate) enum Outcome {
    Compare(Box<compare::Comparison>),
    Local(Box<local::Report>),
    Failover(failover::Report),
    Ring(ring::Report),
    Model(Box<model::Report>),
}

impl Results {
    /// What an earlier suite left in this directory; nothing, if there was none.
    ///
    /// # Errors
    /// When there is something else.
    pub(crate) fn load(dir: &Path) -> anyhow::Result<Self> {
        let file = dir.join(FILE);
        match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("{} is not what `bench suite` writes", file.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }

    /// Writes everything; the earlier file stays whole until the new one is.
    ///
    /// # Errors
    /// When that cannot be written.
    pub(crate) fn save(&self, dir: &Path) -> anyhow::Result<()> {
        let (new, file) = (dir.join("results.json.new"), dir.join(FILE));
        std::fs::write(&new, serde_json::to_string_pretty(self)?)
            .and_then(|()| std::fs::rename(&new, &file))
            .with_context(|| format!("cannot write {}", file.display()))
    }

    /// All runs with the number of their row.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (u8, &Run)> {
        self.rows.iter().flat_map(|(&number, row)| row.runs.iter().map(move |run| (number, run)))
    }
}

/// Options that the suite adds to a command of the table: how long, how often.
const TIMES: [&str; 5] = [" --seconds ", " --pairs ", " --rounds ", " --runs ", " --patience "];

impl Run {
    /// The command as it stands in the table, without its times.
    pub(crate) fn line(&self) -> &str {
        let end = TIMES.iter().filter_map(|option| self.command.find(option)).min();
        &self.command[..end.unwrap_or(self.command.len())]
    }

    /// What it printed; `None` if it failed.
    ///
    /// # Errors
    /// When that is not what its command prints.
    pub(crate) fn outcome(&self) -> anyhow::Result<Option<Outcome>> {
        let Some(result) = &self.result else { return Ok(None) };
        let kind = self.command.split_whitespace().next().unwrap_or_default();
        let what = || format!("what `{}` printed", self.command);
        Ok(Some(match kind {
            "compare" => Outcome::Compare(Box::deserialize(result).with_context(what)?),
            "local" => Outcome::Local(Box::deserialize(result).with_context(what)?),
            "failover" => Outcome::Failover(Deserialize::deserialize(result).with_context(what)?),
            "ring" => Outcome::Ring(Deserialize::deserialize(result).with_context(what)?),
            "model" => Outcome::Model(Box::deserialize(result).with_context(what)?),
            other => bail!("a suite has no command {other:?}"),
        }))
    }

    /// Shares of the machine that were idle before each measurement of it.
    pub(crate) fn idle_before(&self) -> Vec<f64> {
        match self.result.as_ref().map(|result| &result["idle_before"]) {
            Some(Value::Array(shares)) => shares.iter().filter_map(Value::as_f64).collect(),
            Some(share) => share.as_f64().into_iter().collect(),
            None => Vec::new(),
        }
    }
}
