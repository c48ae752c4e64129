//! What engines say in their logs about their links, with times: counters pages are written a few times a second only.

use chrono::DateTime;

use crate::Cluster;

/// What may happen to a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Up,
    Down,
}

/// An engine found a link to another one to work, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// Wall time, nanoseconds since 1970.
    pub(crate) at_ns: u64,
    said: Said,
    link: usize,
    /// For how long the link had to work before it was up again.
    pub(crate) probation_ms: u64,
}

/// What any engine said about a link since then.
pub(crate) fn since(
    cluster: &Cluster,
    link: usize,
    said: Said,
    since_ns: u64,
) -> impl Iterator<Item = Event> {
    let read = |node: usize| std::fs::read(cluster.node_dir(node).join("log")).unwrap_or_default();
    let logs: Vec<_> = (0..cluster.nodes()).map(read).collect();
    let events = logs.into_iter().flat_map(|log| {
        String::from_utf8_lossy(&log).lines().filter_map(event).collect::<Vec<_>>()
    });
    events.filter(move |e| e.link == link && e.said == said && e.at_ns >= since_ns)
}

/// Reads a line of a log: `TIME LEVEL node N EVENT KEY=VALUE...`.
fn event(line: &str) -> Option<Event> {
    let said = if line.contains(" link up ") {
        Said::Up
    } else if line.contains(" link down ") {
        Said::Down
    } else {
        return None;
    };
    let time = DateTime::parse_from_rfc3339(line.split(' ').next()?).ok()?;
    let number = |key: &str| {
        let words = line.split(' ').filter_map(|word| word.split_once('='));
        words.filter(|(name, _)| *name == key).find_map(|(_, value)| value.parse::<u64>().ok())
    };
    Some(Event {
        at_ns: u64::try_from(time.timestamp_nanos_opt()?).ok()?,
        said,
        link: number("link")? as usize,
        probation_ms: number("probation_ms").unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_about_links_are_read() {
        let line = "1970-01-01T00:00:02.500000Z info  node 2 link up link=1 peer=3 probation_ms=400 flaps=2";
        let up = Event { at_ns: 2_500_000_000, said: Said::Up, link: 1, probation_ms: 400 };
        assert_eq!(event(line), Some(up));
        let line = "1970-01-01T00:00:01.000001Z warn  node 1 link down link=0 peer=2 cause=missed missed=3";
        assert_eq!(event(line).map(|e| (e.at_ns, e.said)), Some((1_000_001_000, Said::Down)));
        assert_eq!(event("1970-01-01T00:00:01.000001Z info  node 1 links in use links=2"), None);
        assert_eq!(event(" link up "), None);
    }
}
