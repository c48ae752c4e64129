//! `synchrotron quorum`: votes, and whether this part of the cluster may act.

use anyhow::Context;
use serde_json::Value;

use crate::engine::Engine;

/// Asks the engine and prints what it says of votes.
pub(crate) fn run(engine: &Engine, json: bool) -> anyhow::Result<()> {
    let status = engine.status()?;
    let quorum = status.get("quorum").context("the engine says nothing of a quorum")?;
    if json {
        println!("{quorum}");
    } else {
        print!("{}", page(quorum));
    }
    Ok(())
}

fn page(quorum: &Value) -> String {
    let ids = |value: &Value| {
        let list = value.as_array().into_iter().flatten();
        list.map(|item| item.as_str().map_or(item.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let yes = if quorum["quorate"] == true { "yes" } else { "no" };
    let mut page = format!(
        "quorate:   {yes}\nring:      {}.{}\nmembers:   {}\n",
        quorum["ring_rep"],
        quorum["ring_seq"],
        ids(&quorum["members"])
    );
    let votes = &quorum["votes"];
    if votes.is_null() {
        return page + "votes:     not counted (quorum.provider = \"none\")\n";
    }
    page += &format!(
        "votes:     {} here, {} expected, {} needed\nlease:     {} us\nflags:     {}\n",
        votes["total_votes"],
        votes["highest_expected"],
        votes["quorum"],
        votes["lease_us"],
        ids(&votes["flags"])
    );
    if let Some(name) = votes["device"]["name"].as_str() {
        page += &format!("device:    {name}, votes {}\n", votes["device"]["votes"]);
    }
    page += "\n      node  votes  state\n";
    for node in votes["nodes"].as_array().into_iter().flatten() {
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        page += &format!(
            "{:>10} {:>6}  {} {}\n",
            number(&node["node"]),
            number(&node["votes"]),
            node["state"].as_str().unwrap_or_default(),
            ids(&node["flags"])
        );
    }
    page.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_says_who_is_there_and_what_counts() {
        let quorum = serde_json::json!({
            "quorate": true, "ring_seq": 7, "ring_rep": 1, "members": [1, 2],
            "votes": {
                "lease_us": 90, "total_votes": 3, "highest_expected": 4, "quorum": 3,
                "flags": ["QUORATE", "DEVICE_VOTES"], "device": {"name": "Qdevice", "votes": 1},
                "nodes": [
                    {"node": 1, "votes": 1, "state": "member", "flags": ["DEVICE_VOTES"]},
                    {"node": 3, "votes": 1, "state": "dead", "flags": []},
                ],
            },
        });
        let expected = "quorate:   yes\nring:      1.7\nmembers:   1 2\n\
                        votes:     3 here, 4 expected, 3 needed\nlease:     90 us\n\
                        flags:     QUORATE DEVICE_VOTES\ndevice:    Qdevice, votes 1\n\n      \
                        node  votes  state\n         1      1  member DEVICE_VOTES\n         \
                        3      1  dead\n";
        assert_eq!(page(&quorum), expected);
        let none =
            serde_json::json!({"quorate": true, "ring_seq": 1, "ring_rep": 1, "members": []});
        assert!(page(&none).ends_with("not counted (quorum.provider = \"none\")\n"));
    }
}
