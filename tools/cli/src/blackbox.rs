//! `synchrotron blackbox`: reads a flight recorder, of a running engine or of one that died.

use std::path::PathBuf;

use clap::Args;
use daemon::blackbox::{Blackbox as Recording, Entry};
use serde_json::json;

/// Options of `blackbox`.
#[derive(Args)]
pub(crate) struct Blackbox {
    /// The recorder's file (`recorder.file` in the configuration, in the state directory unless set).
    file: PathBuf,
    /// Only the last N events.
    #[arg(long, short = 'n')]
    last: Option<usize>,
}

/// Prints the events, oldest first.
pub(crate) fn run(options: &Blackbox, json: bool) -> anyhow::Result<()> {
    let recording = daemon::blackbox::read(&options.file)?;
    let skip = options.last.map_or(0, |last| recording.events.len().saturating_sub(last));
    let events = recording.events.iter().skip(skip);
    if json {
        println!("{}", object(&recording, events));
        return Ok(());
    }
    println!(
        "node {}, boot {:016x}, started {}",
        recording.node,
        recording.boot,
        daemon::wall_text(recording.started_wall_ns)
    );
    for event in events {
        let args: Vec<String> =
            event.named_args().map(|(name, value)| format!("{name}={value}")).collect();
        let (wall, level) = (daemon::wall_text(event.wall_ns), event.level_text());
        println!("{wall} {level:<5} {:<24} {}", event.text(), args.join(" "));
    }
    Ok(())
}

fn object<'a>(recording: &Recording, events: impl Iterator<Item = &'a Entry>) -> serde_json::Value {
    let events: Vec<_> = events
        .map(|event| {
            let args: serde_json::Map<_, _> =
                event.named_args().map(|(name, value)| (name.to_owned(), value.into())).collect();
            json!({
                "number": event.number,
                "wall_ns": event.wall_ns,
                "monotonic_ns": event.monotonic_ns,
                "level": event.level_text(),
                "event": event.text(),
                "args": args,
            })
        })
        .collect();
    json!({
        "node": recording.node,
        "boot": format!("{:016x}", recording.boot),
        "started_wall_ns": recording.started_wall_ns,
        "events": events,
    })
}
