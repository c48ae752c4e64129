//! Clusters side by side, for people: a column each.

use super::Found;
use super::steady::{Load, Spent};
use crate::case::Fault;
use crate::report::word;

const MIB: f64 = 1_048_576.0;

/// Prints what was found.
///
/// # Errors
/// When it has no form in JSON.
pub(super) fn print(found: &[Found], json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::json!({ "clusters": serde_json::to_value(found)? }));
        return Ok(());
    }
    let head: Vec<String> = found.iter().map(|one| word(&one.cluster)).collect();
    println!("| {} nodes | {} |", found.first().map_or(0, |one| one.nodes), head.join(" | "));
    println!("|---|{}", "---|".repeat(found.len()));
    let row = |what: &str, cell: &dyn Fn(&Found) -> String| {
        let cells: Vec<String> = found.iter().map(cell).collect();
        println!("| {what} | {} |", cells.join(" | "));
    };
    row("formed after the last start, s", &|one| format!("{:.2}", one.formed_s));
    row("idle: engines, machine, % of a core", &|one| {
        let Spent { engines_cores, machine_cores, .. } = one.idle;
        format!("{:.1}, {:.1}", engines_cores * 100.0, machine_cores * 100.0)
    });
    row("memory of an engine, own + shared, MiB", &|one| {
        let Spent { engine_private_bytes, engine_shared_bytes, .. } = one.flood.spent;
        format!(
            "{:.1} + {:.1}",
            engine_private_bytes as f64 / MIB,
            engine_shared_bytes as f64 / MIB
        )
    });
    for (what, pick) in [
        ("fixed rate", (|one| &one.rate) as fn(&Found) -> &Load),
        ("as fast as it goes", |one| &one.flood),
    ] {
        row(&format!("{what}: messages a second"), &|one| {
            format!("{:.0}", pick(one).messages_per_second)
        });
        row(&format!("{what}: p50 / p99 / longest, us"), &|one| {
            let late = pick(one).latency;
            format!("{:.0} / {:.0} / {:.0}", late.p50_us, late.p99_us, late.max_us)
        });
        row(&format!("{what}: engines + members, machine, cores"), &|one| {
            let Spent { engines_cores, members_cores, machine_cores, .. } = pick(one).spent;
            format!("{engines_cores:.2} + {members_cores:.2}, {machine_cores:.2}")
        });
    }
    for fault in [Fault::Engine, Fault::Link, Fault::Stop] {
        row(&format!("{}: all others told, s", word(&fault)), &|one| {
            times(one, fault, |change| Some(change.all_s))
        });
        if fault == Fault::Link {
            row("... the one cut off told, s", &|one| times(one, fault, |change| change.cut_off_s));
        }
        row("... whole again after the repair, s", &|one| {
            times(one, fault, |change| Some(change.whole_s))
        });
    }
    Ok(())
}

/// What came of a fault in every round.
fn times(one: &Found, fault: Fault, pick: fn(&super::Change) -> Option<f64>) -> String {
    let times = one.changes.iter().filter(|change| change.fault == fault).filter_map(pick);
    let times: Vec<String> = times.map(|time| format!("{time:.4}")).collect();
    if times.is_empty() { "-".into() } else { times.join(", ") }
}
