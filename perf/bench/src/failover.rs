//! `synchrotron bench failover`: time from a fault to the new view at every surviving program, many times over;
//! for a link that fails while others work, the time for which deliveries stop.

use std::path::Path;
use std::time::Duration;

use clap::{Args, ValueEnum};
use cluster::{Fault, LinkFault, Place, Rate, Rig, Spec, failover, links};

/// Options of `bench failover`.
#[derive(Clone, Debug, Args)]
pub struct Failover {
    /// Engines.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(3..=128))]
    nodes: u16,
    /// How the victim goes.
    #[arg(long, value_enum, default_value_t = Kind::Kill)]
    fault: Kind,
    /// How often.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Messages a second from every node meanwhile.
    #[arg(long, default_value_t = 1000)]
    rate: u64,
    /// Links between the nodes, with `--fault link`.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(2..=8))]
    links: u8,
    /// How they are used, with `--fault link`.
    #[arg(long, value_enum, default_value_t = Mode::Passive)]
    link_mode: Mode,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// SIGKILL of the engine.
    Kill,
    /// The host's cable is pulled.
    Unplug,
    /// SIGTERM: announced.
    Leave,
    /// Each link fails in turn, in every way; nobody goes.
    Link,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mode {
    /// The best link that works.
    Passive,
    /// All that work.
    Active,
    /// Those that work, in turn.
    Rr,
}

/// How long a link stays broken, and how long is looked at before that to compare.
const LINK_SPELL: Duration = Duration::from_secs(1);

/// Longest wait for the ring to form.
const FORMATION: Duration = Duration::from_secs(60);

impl Failover {
    /// Measures and prints.
    pub(crate) fn run(&self, tool: &Path, json: bool) -> anyhow::Result<()> {
        let nodes = usize::from(self.nodes);
        let spec = Spec {
            nodes,
            place: Place::Namespaces { mtu_bytes: 1500 },
            program: vec![tool.to_owned(), "engine".into()],
            encrypted: true,
            extra: Vec::new(),
        };
        let fault = match self.fault {
            Kind::Kill => Fault::Kill,
            Kind::Unplug => Fault::Unplug,
            Kind::Leave => Fault::Leave,
            Kind::Link => return self.run_links(spec, json),
        };
        let mut rig = Rig::start(spec, 64, FORMATION)?;
        let mut times_ms = Vec::new();
        for round in 0..usize::from(self.rounds) {
            crate::stop::check()?;
            rig.set_rate(Rate::PerSecond(self.rate));
            std::thread::sleep(Duration::from_secs(1));
            // Never the same one twice running; the representative has its turn too.
            let victim = (nodes - 1 + round) % nodes;
            times_ms.push(failover::measure(&mut rig, victim, fault)? as f64 / 1e6);
            failover::restore(&mut rig, victim, fault)?;
        }
        times_ms.sort_by(f64::total_cmp);
        let (median, last) = (times_ms[times_ms.len() / 2], times_ms[times_ms.len() - 1]);
        let report = serde_json::json!({
            "nodes": nodes, "fault": format!("{fault:?}").to_lowercase(), "median_ms": median,
            "min_ms": times_ms[0], "max_ms": last, "all_ms": times_ms,
        });
        if json {
            println!("{report}");
        } else {
            println!(
                "{fault:?} of one of {nodes}: {median:.1} ms ({:.1} to {last:.1})",
                times_ms[0]
            );
        }
        Ok(())
    }
    /// Breaks every link in every way, as often as asked.
    fn run_links(&self, spec: Spec, json: bool) -> anyhow::Result<()> {
        let (nodes, count) = (usize::from(self.nodes), usize::from(self.links));
        let mode = format!("{:?}", self.link_mode).to_lowercase();
        let extra = vec![("transport".to_owned(), format!("link_mode = \"{mode}\""))];
        let spec = Spec { place: Place::Links { count }, extra, ..spec };
        let mut rig = Rig::start(spec, 64, FORMATION)?;
        links::wait_whole(&mut rig)?;
        rig.set_rate(Rate::PerSecond(self.rate));
        let mut all = Vec::new();
        for round in 0..usize::from(self.rounds) {
            for fault in LinkFault::ALL {
                for link in 0..count {
                    crate::stop::check()?;
                    let victim = (round + link) % nodes;
                    let gap = links::measure(&mut rig, link, fault, victim, LINK_SPELL)?;
                    links::wait_whole(&mut rig)?;
                    all.push((fault, link, gap.worst_ns as f64 / 1e6, gap.before_ns as f64 / 1e6));
                }
            }
        }
        rig.settle(FORMATION)?;
        let (_, verdict) = rig.verdict();
        anyhow::ensure!(verdict.findings.is_empty(), "{:#?}", verdict.findings);
        let mut worst_ms: Vec<f64> = all.iter().map(|(.., worst_ms, _)| *worst_ms).collect();
        worst_ms.sort_by(f64::total_cmp);
        let (median, last) = (worst_ms[worst_ms.len() / 2], worst_ms[worst_ms.len() - 1]);
        if json {
            let each = |(fault, link, worst_ms, before_ms): &(LinkFault, usize, f64, f64)| {
                let fault = format!("{fault:?}").to_lowercase();
                serde_json::json!({
                    "fault": fault, "link": link, "worst_ms": worst_ms, "before_ms": before_ms,
                })
            };
            let report = serde_json::json!({
                "nodes": nodes, "fault": "link", "links": count, "link_mode": mode,
                "view_changes": 0, "median_ms": median, "min_ms": worst_ms[0], "max_ms": last,
                "all": all.iter().map(each).collect::<Vec<_>>(),
            });
            println!("{report}");
            return Ok(());
        }
        for (fault, link, worst_ms, before_ms) in &all {
            println!(
                "link {link} {fault:?}: slowest message {worst_ms:.1} ms, {before_ms:.1} ms before"
            );
        }
        println!(
            "{} failures of links ({mode}), no view change, order identical: slowest message \
             {median:.1} ms ({:.1} to {last:.1})",
            all.len(),
            worst_ms[0]
        );
        Ok(())
    }
}
