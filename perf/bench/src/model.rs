//! `synchrotron bench model`: what a cluster would do on hardware that is not here.

use std::path::PathBuf;

use ::model::{Cores, Costs, LatencyUs, Load, Network, Plan, Prediction};
use anyhow::Context;
use clap::Args;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

use crate::setup::{Senders, Switch};

/// Options of `bench model`.
#[derive(Clone, Debug, Args)]
pub struct Model {
    /// Sizes of cluster.
    #[arg(long, value_delimiter = ',', default_value = "2,8,32,128",
          value_parser = clap::value_parser!(u16).range(2..=128))]
    nodes: Vec<u16>,
    /// Networks: `here` (this machine's cores and kernel), or gigabits per second of links to one switch, with cores
    /// like these for every engine.
    #[arg(long, value_delimiter = ',', default_value = "here,10,25,100", value_parser = link)]
    links: Vec<Link>,
    /// Bytes of a message.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(16..=1_048_576))]
    size: u32,
    /// Who sends.
    #[arg(long, value_enum, default_value_t = Senders::One)]
    senders: Senders,
    /// Messages a second of each sender; without it they flood.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// MTU of the network.
    #[arg(long, default_value_t = 1500, value_parser = clap::value_parser!(u32).range(1280..=65535))]
    mtu: u32,
    /// Whether datagrams are encrypted.
    #[arg(long, value_enum, default_value_t = Switch::Off)]
    encryption: Switch,
    /// Virtual milliseconds that are measured.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    milliseconds: u32,
    /// Outputs of `bench local --json` to show beside the predictions for `here`.
    #[arg(long)]
    measured: Vec<PathBuf>,
}

/// A network by name.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Link {
    Here,
    Gigabits(f64),
}

fn link(text: &str) -> Result<Link, String> {
    if text == "here" {
        return Ok(Link::Here);
    }
    let gigabits = text.parse::<f64>().ok().filter(|rate| (0.1..=1000.0).contains(rate));
    gigabits
        .map(Link::Gigabits)
        .ok_or_else(|| "`here`, or 0.1 to 1000 gigabits per second".to_owned())
}

/// One cluster.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    /// `here`, or the network's name.
    pub(crate) link: String,
    pub(crate) nodes: u16,
    pub(crate) prediction: Prediction,
    /// What `bench local` measured with the same nodes, size and senders.
    measured_messages_per_second: Option<f64>,
}

/// What `bench model --json` prints.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    costs: Costs,
    pub(crate) message_bytes: u32,
    senders: Senders,
    rate_per_sender: Option<u32>,
    mtu: u32,
    encryption: Switch,
    pub(crate) rows: Vec<Row>,
}

impl Model {
    /// Measures the costs, predicts and prints.
    pub(crate) fn run(&self, json: bool) -> anyhow::Result<()> {
        let bar = crate::bar(json);
        bar.set_message("measuring what work costs here");
        let measured = self.read_measured()?;
        let costs = ::model::measure(self.encryption == Switch::On)?;
        let rows = self.rows(costs, &measured, &bar)?;
        bar.finish_and_clear();
        let report = Report {
            costs,
            message_bytes: self.size,
            senders: self.senders,
            rate_per_sender: self.rate,
            mtu: self.mtu,
            encryption: self.encryption,
            rows,
        };
        if json {
            println!("{}", serde_json::to_string(&report)?);
        } else {
            print(&report);
        }
        Ok(())
    }

    fn rows(
        &self,
        costs: Costs,
        measured: &[(u16, f64)],
        bar: &ProgressBar,
    ) -> anyhow::Result<Vec<Row>> {
        let mut rows = Vec::new();
        for link in &self.links {
            for &nodes in &self.nodes {
                let name = match link {
                    Link::Here => "here".to_owned(),
                    Link::Gigabits(rate) => format!("{rate} Gb/s"),
                };
                bar.set_message(format!("{nodes} nodes, {name}"));
                let prediction = ::model::predict(&self.plan(nodes, *link, costs))?;
                let beside =
                    measured.iter().find(|(found, _)| *link == Link::Here && *found == nodes);
                let measured_messages_per_second = beside.map(|(_, rate)| *rate);
                rows.push(Row { link: name, nodes, prediction, measured_messages_per_second });
            }
        }
        Ok(rows)
    }

    fn plan(&self, nodes: u16, link: Link, costs: Costs) -> Plan {
        let here = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u16);
        let (cores, network) = match link {
            Link::Here => (Cores::Shared(here), Network::HERE),
            Link::Gigabits(rate) => (Cores::Own, Network::switched(rate)),
        };
        Plan {
            nodes,
            senders: if self.senders == Senders::All { nodes } else { 1 },
            message_bytes: self.size as usize,
            load: self.rate.map_or(Load::Flood, |rate| Load::Rate(rate.into())),
            mtu_bytes: self.mtu as usize,
            encrypted: self.encryption == Switch::On,
            cores,
            network,
            costs,
            measure_ns: u64::from(self.milliseconds) * 1_000_000,
        }
    }

    /// Nodes and rates of the measurements that are like these predictions.
    fn read_measured(&self) -> anyhow::Result<Vec<(u16, f64)>> {
        let mut found = Vec::new();
        for file in &self.measured {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            let value: serde_json::Value = serde_json::from_str(&text)
                .with_context(|| format!("{} is not JSON", file.display()))?;
            let nodes =
                value["settings"]["nodes"].as_u64().and_then(|nodes| u16::try_from(nodes).ok());
            let (Some(nodes), Some(rate)) = (nodes, value["messages_per_second"].as_f64()) else {
                anyhow::bail!(
                    "{} is not an output of `synchrotron bench local --json`",
                    file.display()
                );
            };
            let same = value["settings"]["size"] == serde_json::json!([self.size])
                && value["settings"]["senders"] == serde_json::to_value(self.senders)?;
            if same {
                found.push((nodes, rate));
            }
        }
        Ok(found)
    }
}

fn print(report: &Report) {
    let costs = &report.costs;
    println!("costs here, ns of processor time");
    println!(
        "  burst: send {:.0} + {:.0} a datagram, receive {:.0} + {:.0} a datagram; frame: send {:.0}, receive {:.0}",
        costs.burst_send_ns,
        costs.datagram_send_ns,
        costs.burst_receive_ns,
        costs.datagram_receive_ns,
        costs.frame_send_ns,
        costs.frame_receive_ns
    );
    println!(
        "  message: submit {:.1}, read {:.1}; a wake-up {:.0}",
        costs.message_submit_ns, costs.message_read_ns, costs.wake_ns
    );
    println!(
        "{:>10} {:>6} {:>12} {:>9} {:>10} {:>10} {:>10} {:>6} {:>6} {:>8} {:>12}",
        "link",
        "nodes",
        "messages/s",
        "MB/s",
        "p50 us",
        "p99 us",
        "rotation",
        "cpu",
        "link",
        "formed",
        "measured/s"
    );
    for Row { link, nodes, prediction, measured_messages_per_second } in &report.rows {
        let measured = measured_messages_per_second
            .map_or_else(|| "-".to_owned(), |rate| format!("{rate:.0}"));
        let us = |pick: fn(&LatencyUs) -> f64| {
            prediction
                .latency_us
                .as_ref()
                .map_or_else(|| "-".to_owned(), |latency| format!("{:.1}", pick(latency)))
        };
        let (p50, p99) = (us(|latency| latency.p50), us(|latency| latency.p99));
        println!(
            "{link:>10} {nodes:>6} {:>12.0} {:>9.1} {p50:>10} {p99:>10} {:>10.1} {:>5.0}% {:>5.0}% {:>5.0} ms \
             {measured:>12}",
            prediction.messages_per_second,
            prediction.megabytes_per_second,
            prediction.rotation_us,
            prediction.processor_busy * 100.0,
            prediction.link_busy * 100.0,
            prediction.formation_ms,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_have_names_or_rates() {
        assert_eq!(link("here"), Ok(Link::Here));
        assert_eq!(link("2.5"), Ok(Link::Gigabits(2.5)));
        for bad in ["", "fast", "0", "-1", "1e9"] {
            assert!(link(bad).is_err(), "{bad}");
        }
    }
}
