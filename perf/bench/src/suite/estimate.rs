//! How long a command will take, about: what similar ones took on a machine with two cores.

/// Seconds of a command as the suite runs it.
pub(super) fn seconds(command: &str) -> f64 {
    let option = |name: &str| {
        let mut words = command.split_whitespace().skip_while(|word| *word != name);
        words.nth(1)
    };
    let number = |name: &str, default: f64| {
        option(name).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let nodes = number("--nodes", 2.0);
    let load = number("--seconds", 3.0) + LOAD_BESIDE_S;
    let ours = |loads: f64| OURS_S + OURS_NODE_S * nodes + loads * load;
    match command.split_whitespace().next().unwrap_or_default() {
        "local" => {
            let loads = option("--loads").map_or(3, |loads| loads.split(',').count()) as f64;
            ours(loads)
        }
        "compare" => {
            let loads = if command.contains("--flood-only") { 1.0 } else { 3.0 };
            let forms_at_once = option("--transport") == Some("udp");
            let node_s = if forms_at_once { OURS_NODE_S } else { THEIR_NODE_S };
            number("--pairs", 2.0) * (ours(loads) + OURS_S + node_s * nodes + loads * load)
        }
        "failover" => {
            let round = match option("--engine") {
                Some("corosync") => THEIR_FAILOVER_S,
                _ => OUR_FAILOVER_S + OURS_NODE_S * nodes,
            };
            OURS_S + number("--rounds", 5.0) * round
        }
        "ring" => number("--runs", 9.0) * RING_RUN_S,
        _ => MODEL_S,
    }
}

/// Several together, in words.
pub(super) fn sum(seconds: &[f64]) -> String {
    let minutes = seconds.iter().fold(0.0, |sum, seconds| sum + seconds) / 60.0;
    format!("{} commands, about {minutes:.0} minutes on two idle cores", seconds.len())
}

/// Warming up before a load is measured, and what is still on the way after it.
const LOAD_BESIDE_S: f64 = 0.4;

/// Looking whether the machine is idle, namespaces, ending; more for each node.
const OURS_S: f64 = 0.5;
const OURS_NODE_S: f64 = 0.05;

/// Corosync's rings form by one node after another.
const THEIR_NODE_S: f64 = 0.95;

/// Settling before the fault, noticing, coming back; Corosync's token timeout with a new cluster for each round.
const OUR_FAILOVER_S: f64 = 1.3;
const THEIR_FAILOVER_S: f64 = 13.0;

/// All rings, all threads and processes, once.
const RING_RUN_S: f64 = 5.5;

/// The costs measured and 16 clusters predicted.
const MODEL_S: f64 = 30.0;

#[cfg(test)]
mod tests {
    use super::*;

    /// What was seen on an idle machine with two cores.
    #[test]
    fn it_is_about_right() {
        for (command, seen) in [
            ("compare --nodes 2 --size 64 --seconds 1 --pairs 1", 10.9),
            ("compare --nodes 8 --size 64 --seconds 1 --pairs 1", 16.0),
            ("compare --nodes 32 --size 1400 --flood-only --seconds 1 --pairs 1", 35.5),
            ("local --nodes 32 --loads flood,half,rate:300000 --seconds 1", 6.4),
            ("local --nodes 2 --loads idle --mode park --seconds 1", 1.9),
            ("failover --nodes 32 --fault kill --rounds 2", 5.5),
            ("failover --nodes 3 --fault kill --engine corosync --rounds 2", 28.5),
            ("ring --runs 3", 16.3),
        ] {
            let found = seconds(command);
            assert!((0.7..1.3).contains(&(found / seen)), "{command}: {found} for {seen}");
        }
    }
}
