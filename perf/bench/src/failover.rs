//! `synchrotron bench failover`: time from a fault to the new view at every surviving program, many times over.

use std::path::Path;
use std::time::Duration;

use clap::{Args, ValueEnum};
use cluster::{Fault, Place, Rate, Rig, Spec, failover};

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
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// SIGKILL of the engine.
    Kill,
    /// The host's cable is pulled.
    Unplug,
    /// SIGTERM: announced.
    Leave,
}

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
}
