//! The keys of a `corosync.conf` that matter to votes: `quorum.*` and the node list. Everything else of
//! the file may be there and is not looked at: the simulator needs no addresses and no transport.

use groups::votequorum::{DeviceOptions, Options, TieBreaker};
use wire::NodeId;

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfError {
    /// Line, from 1.
    pub line: usize,
    /// What was found and what would be right.
    pub what: String,
}

impl std::fmt::Display for ConfError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for ConfError {}

/// Deepest nesting of sections that is read: Corosync's own files have three.
const DEPTH_MAX: usize = 8;

/// A node under construction.
#[derive(Default)]
struct Node {
    id: Option<u32>,
    votes: Option<u32>,
}

/// Reads a text.
///
/// # Errors
/// The first line that is neither a section nor a key, or whose value is not what its key takes.
pub fn read_conf(text: &str) -> Result<Options, ConfError> {
    let mut path: Vec<String> = Vec::new();
    let mut options = Options::default();
    let mut nodes: Vec<Node> = Vec::new();
    let mut tie = (false, TieBreaker::Lowest);
    for (index, line) in text.lines().enumerate() {
        let wrong = |what: String| ConfError { line: index + 1, what };
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_suffix('{') {
            if path.len() == DEPTH_MAX {
                return Err(wrong(format!("sections nest deeper than {DEPTH_MAX}")));
            }
            path.push(name.trim().to_owned());
            if path == ["nodelist", "node"] {
                nodes.push(Node::default());
            }
        } else if line == "}" {
            path.pop().ok_or_else(|| wrong("a } without a section".to_owned()))?;
        } else {
            let (key, value) = line.split_once(':').ok_or_else(|| {
                wrong(format!("{line:?} is neither \"key: value\" nor a section"))
            })?;
            let (key, value) = (key.trim(), value.trim());
            match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["quorum"] => quorum(key, value, &mut options, &mut tie).map_err(wrong)?,
                ["quorum", "device"] => device(key, value, &mut options).map_err(wrong)?,
                ["nodelist", "node"] => node(key, value, nodes.last_mut()).map_err(wrong)?,
                _ => {}
            }
        }
    }
    if tie.0 {
        options.auto_tie_breaker = tie.1;
    }
    let listed = |node: &Node| Some((NodeId(node.id?), node.votes.unwrap_or(1)));
    options.nodes = nodes.iter().filter_map(listed).collect();
    Ok(options)
}

fn number(key: &str, value: &str) -> Result<u32, String> {
    value.parse().map_err(|_| format!("{key} is {value:?}, not a whole number"))
}

fn flag(key: &str, value: &str) -> Result<bool, String> {
    number(key, value).map(|number| number != 0)
}

fn quorum(
    key: &str,
    value: &str,
    options: &mut Options,
    tie: &mut (bool, TieBreaker),
) -> Result<(), String> {
    match key {
        "expected_votes" => options.expected_votes = Some(number(key, value)?).filter(|n| *n > 0),
        "two_node" => options.two_node = flag(key, value)?,
        "wait_for_all" => options.wait_for_all = Some(flag(key, value)?),
        "last_man_standing" => options.last_man_standing = flag(key, value)?,
        "last_man_standing_window" => options.last_man_standing_window_ms = number(key, value)?,
        "allow_downscale" => options.allow_downscale = flag(key, value)?,
        "expected_votes_tracking" => options.expected_votes_tracking = flag(key, value)?,
        "auto_tie_breaker" => tie.0 = flag(key, value)?,
        "auto_tie_breaker_node" => {
            tie.1 = match value {
                "lowest" => TieBreaker::Lowest,
                "highest" => TieBreaker::Highest,
                list => {
                    let ids = list.split_whitespace().map(|id| number(key, id).map(NodeId));
                    TieBreaker::List(ids.collect::<Result<_, _>>()?)
                }
            };
        }
        _ => {}
    }
    Ok(())
}

fn device(key: &str, value: &str, options: &mut Options) -> Result<(), String> {
    let device = options.device.get_or_insert_with(DeviceOptions::default);
    match key {
        "votes" => device.votes = Some(number(key, value)?),
        "timeout" => device.timeout_ms = number(key, value)?,
        "sync_timeout" => device.sync_timeout_ms = number(key, value)?,
        _ => {}
    }
    Ok(())
}

fn node(key: &str, value: &str, node: Option<&mut Node>) -> Result<(), String> {
    let Some(node) = node else { return Ok(()) };
    match key {
        "nodeid" => node.id = Some(number(key, value)?),
        "quorum_votes" => node.votes = Some(number(key, value)?),
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_is_read_and_the_rest_is_passed_over() {
        let text = "# x\ntotem {\n  version: 2\n  interface {\n  }\n}\nquorum {\n  two_node: 1\n  wait_for_all: 0\n  \
                    auto_tie_breaker: 1\n  auto_tie_breaker_node: 3 1\n  device {\n    model: net\n    votes: 2\n  \
                    }\n}\nnodelist {\n  node {\n    ring0_addr: a\n    nodeid: 7\n    quorum_votes: 3\n  }\n  \
                    node {\n    nodeid: 9\n  }\n}\n";
        let options = read_conf(text).expect("a good file");
        let expected = Options {
            nodes: vec![(NodeId(7), 3), (NodeId(9), 1)],
            two_node: true,
            wait_for_all: Some(false),
            auto_tie_breaker: TieBreaker::List(vec![NodeId(3), NodeId(1)]),
            device: Some(DeviceOptions { votes: Some(2), ..DeviceOptions::default() }),
            ..Options::default()
        };
        assert_eq!(options, expected);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let wrong = |text: &str| read_conf(text).expect_err("wrong").to_string();
        assert_eq!(
            wrong("quorum {\ntwo_node: x\n"),
            "line 2: two_node is \"x\", not a whole number"
        );
        assert_eq!(wrong("}\n"), "line 1: a } without a section");
        let nothing = "line 2: \"abc\" is neither \"key: value\" nor a section";
        assert_eq!(wrong("a {\nabc\n"), nothing);
        assert!(wrong(&"a {\n".repeat(9)).starts_with("line 9: sections nest"));
    }
}
