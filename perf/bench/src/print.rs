//! Figures for people.

use crate::figures::{Figures, LoadFigures};

/// Prints what an engine did.
pub(crate) fn figures(figures: &Figures) {
    println!("{}", figures.engine);
    println!(
        "  formed in {:.3} s; {:.0} % of the machine was idle before",
        figures.formation_s,
        figures.idle_before * 100.0
    );
    println!(
        "  {:<16} {:>12} {:>9} {:>9} {:>9} {:>9} {:>9} {:>10} {:>9} {:>9} {:>9}",
        "load",
        "messages/s",
        "MB/s",
        "p50 us",
        "p99 us",
        "p99.9 us",
        "max us",
        "us/message",
        "engine",
        "subscr.",
        "rotation"
    );
    figures.loads.iter().for_each(load);
    let memory = figures.memory;
    println!(
        "  memory of an engine: {:.1} MB of its own, {:.1} MB shared",
        memory.private_bytes as f64 / 1e6,
        memory.shared_bytes as f64 / 1e6
    );
    let order = &figures.order;
    if order.identical {
        println!(
            "  {} subscribers received the same {} messages in the same order",
            order.subscribers, order.messages
        );
    } else {
        println!("  THE SUBSCRIBERS DISAGREE: {}", order.findings.join("; "));
    }
}

fn load(load: &LoadFigures) {
    let (latency, cpu) = (load.latency_us, load.cpu_us_per_message);
    let rotation = load.rotation_us.map_or_else(|| "-".to_owned(), |us| format!("{us:.1}"));
    println!(
        "  {:<16} {:>12.0} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>10.3} {:>9.3} {:>9.3} {:>9}",
        load.load,
        load.messages_per_second,
        load.megabytes_per_second,
        latency.p50,
        latency.p99,
        latency.p99_9,
        latency.max,
        cpu.machine,
        cpu.per_engine,
        cpu.per_subscriber,
        rotation
    );
}
