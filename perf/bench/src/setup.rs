//! What is measured: the options that `local`, `compare` and the suite share.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::load::Sizes;
use crate::seat::Waiting;

/// Who publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Senders {
    /// The first node.
    One,
    /// Every node.
    All,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

/// Idle strategy of our engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// Spin for ever.
    Busy,
    /// Spin a while, then sleep.
    Adaptive,
    /// Sleep at once.
    Park,
}

/// How the seats are spread over processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Agents {
    /// One process with a thread per node.
    One,
    /// A process for each node.
    Each,
}

/// What is measured.
#[derive(Clone, Debug, Args, Serialize, Deserialize)]
pub(crate) struct Setup {
    /// Engines.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(2..=128))]
    pub(crate) nodes: u16,
    /// Bytes of each message; several, separated by commas, are mixed.
    #[arg(long, default_value = "64", value_delimiter = ',',
          value_parser = clap::value_parser!(u32).range(16..=1_048_576))]
    pub(crate) size: Vec<u32>,
    /// Seconds of each load.
    #[arg(long, default_value_t = 3.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Seed of the sequence of sizes, where several are mixed.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Who publishes.
    #[arg(long, value_enum, default_value_t = Senders::One)]
    pub(crate) senders: Senders,
    /// MTU of the network and of the engines.
    #[arg(long, default_value_t = 1500, value_parser = clap::value_parser!(u32).range(1280..=65535))]
    pub(crate) mtu: u32,
    /// Encrypt between the engines.
    #[arg(long, value_enum, default_value_t = Switch::Off)]
    pub(crate) encryption: Switch,
    /// Idle strategy of our engines.
    #[arg(long, value_enum, default_value_t = Mode::Adaptive)]
    pub(crate) mode: Mode,
    /// How the load generator waits.
    #[arg(long, value_enum, default_value_t = Waiting::Block)]
    pub(crate) waiting: Waiting,
    /// How the load generator is spread over processes.
    #[arg(long, value_enum, default_value_t = Agents::Each)]
    pub(crate) agents: Agents,
    /// A flood keeps at most this many bytes published and not yet delivered to the sender.
    #[arg(long, default_value_t = 1 << 20)]
    pub(crate) window_bytes: u64,
    /// Seconds to wait for the machine to become idle before measuring; whether it was is reported.
    #[arg(long, default_value_t = 10.0, value_parser = patience)]
    pub(crate) patience: f64,
    /// Seconds the ring may take to form: Corosync's takes 37 with 32 nodes.
    #[arg(long, default_value_t = 180.0, value_parser = seconds)]
    #[serde(default)]
    pub(crate) formation_max: f64,
    /// Everything on 127.0.0.1 (needs no root) instead of in network namespaces.
    #[arg(long)]
    pub(crate) loopback: bool,
    /// In network namespaces (the default; needs root).
    #[arg(long, conflicts_with = "loopback")]
    pub(crate) netns: bool,
    /// Threads beside everything that take all the time they get.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=64))]
    pub(crate) hogs: u16,
    /// Share of the datagrams that every node loses on their way in, in percent (namespaces only).
    #[arg(long, default_value_t = 0, conflicts_with = "loopback",
          value_parser = clap::value_parser!(u8).range(0..=50))]
    pub(crate) loss: u8,
    /// Share of the data datagrams that every engine of ours throws away as they arrive, one by one, in percent: what a
    /// wire loses. `--loss` takes away what the kernel received together, tokens included, from any engine.
    #[arg(long, default_value_t = 0, conflicts_with = "hosts",
          value_parser = clap::value_parser!(u8).range(0..=50))]
    #[serde(default)]
    pub(crate) datagram_loss: u8,
    /// What the network does under load to every packet on its way to every host, in the words of `tc netem` with
    /// commas between them: `loss,1%`, `delay,1ms,300us`; `fair` for nothing. Every datagram is a packet of its own
    /// then, as on a wire, `fair` or not. It ends before what is still on the way is waited for. Needs namespaces and
    /// a kernel with `sch_netem`.
    #[arg(long, value_name = "WORDS", value_parser = netem,
          conflicts_with_all = ["loopback", "loss", "hosts"])]
    #[serde(default)]
    pub(crate) netem: Option<String>,
    /// Engines on these hosts, reached by ssh without a password, instead of `--nodes` here: `[USER@]HOST[=ADDRESS]`,
    /// separated by commas; the address is where the engines find each other.
    #[arg(long, value_delimiter = ',', num_args = 1, conflicts_with_all = ["loopback", "loss", "nodes"])]
    pub(crate) hosts: Vec<String>,
    /// Count system calls of engines and load generator with `perf stat`, which makes each of them a little dearer.
    #[arg(long, conflicts_with = "hosts")]
    #[serde(default)]
    pub(crate) syscalls: bool,
    /// More configuration of our engines, as in `engine.spin="20us"`; may be given several times.
    #[arg(long, value_name = "SECTION.KEY=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, String)>,
}

impl Setup {
    /// How many engines.
    pub(crate) fn nodes(&self) -> usize {
        if self.hosts.is_empty() { usize::from(self.nodes) } else { self.hosts.len() }
    }

    /// What the options say about the engines' configuration.
    pub(crate) fn engine_settings(&self) -> Vec<(String, String)> {
        let mode = match self.mode {
            Mode::Busy => "busy",
            Mode::Adaptive => "adaptive",
            Mode::Park => "park",
        };
        let mut settings = vec![("engine".to_owned(), format!("idle = \"{mode}\""))];
        if self.mtu != 1500 {
            settings.push(("transport".to_owned(), format!("mtu = \"{}B\"", self.mtu)));
        }
        settings.extend(self.set.iter().cloned());
        settings
    }

    pub(crate) fn sizes(&self) -> Sizes {
        Sizes { bytes: self.size.clone(), seed: self.seed }
    }

    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs_f64(self.patience)
    }

    pub(crate) fn senders(&self) -> usize {
        if self.senders == Senders::One { 1 } else { self.nodes() }
    }
}

pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    let range = 0.1..=3600.0;
    let seconds = text.parse::<f64>().map_err(|error| error.to_string())?;
    if range.contains(&seconds) { Ok(seconds) } else { Err(format!("not in {range:?}")) }
}

pub(crate) fn patience(text: &str) -> Result<f64, String> {
    if text == "0" { Ok(0.0) } else { seconds(text) }
}

/// Words of netem, none of which `tc` could take for something else than weather; empty for fair weather.
fn netem(text: &str) -> Result<String, String> {
    let wrong = || {
        format!(
            "{text:?}: `fair`, or words of netem such as `loss,1%`, `delay,1ms,300us`, `duplicate,5%`"
        )
    };
    let is_word = |word: &str| {
        !word.is_empty()
            && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '%'))
    };
    match text {
        "fair" => Ok(String::new()),
        _ if text.split(',').all(is_word) => Ok(text.to_owned()),
        _ => Err(wrong()),
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    let wrong = || format!("{text:?} is not SECTION.KEY=VALUE");
    let (key, value) = text.split_once('=').ok_or_else(wrong)?;
    let (section, key) = key.rsplit_once('.').ok_or_else(wrong)?;
    Ok((section.to_owned(), format!("{key} = {value}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weather_is_words_of_netem() {
        assert_eq!(netem("fair").as_deref(), Ok(""));
        assert_eq!(netem("delay,1ms,300us").as_deref(), Ok("delay,1ms,300us"));
        assert!(netem("").is_err() && netem("loss 1%").is_err() && netem("loss,,1%").is_err());
    }

    #[test]
    fn settings_and_seconds_are_understood_or_refused() {
        let good = setting("engine.spin=\"20us\"").unwrap();
        assert_eq!(good, ("engine".to_owned(), "spin = \"20us\"".to_owned()));
        assert!(setting("engine.spin").is_err() && setting("spin=1").is_err());
        assert_eq!(seconds("0.5"), Ok(0.5));
        assert!(seconds("0").is_err() && seconds("nan").is_err() && seconds("x").is_err());
    }
}
