//! `synchrotron reload`: all nodes take over what their configuration files say now, or none does.

use anyhow::{Context, bail};
use serde_json::Value;

use crate::engine::Engine;

/// Asks the engine and says what came of it. Fails when nothing was changed.
pub(crate) fn run(engine: &Engine, json: bool) -> anyhow::Result<()> {
    let socket = engine.socket.display();
    let text = client::reload(&engine.socket)
        .with_context(|| format!("no answer from the engine at {socket}"))?;
    let answer: Value = serde_json::from_str(&text).context("the engine's answer is not JSON")?;
    if json {
        println!("{text}");
    }
    if answer["reload"] != "committed" {
        let (node, why) = (&answer["node"], answer["why"].as_str());
        bail!("nothing was changed; node {node}: {}", why.unwrap_or(&text));
    }
    if !json {
        print_committed(&answer);
    }
    Ok(())
}

fn print_committed(answer: &Value) {
    println!("configuration {} is in use on all nodes", answer["config_version"]);
    let texts = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
    let changed: Vec<_> =
        texts("changed").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    if !changed.is_empty() {
        println!("changed here: {}", changed.join(", "));
    }
    if answer["new_key"] == true {
        println!("a new cluster key is on its way; the old one is forgotten when all nodes use it");
    }
    for note in texts("notes") {
        println!("node {}: {}", note["node"], note["text"].as_str().unwrap_or_default());
    }
}
