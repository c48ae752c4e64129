//! The table: what is measured, by which commands, which of their figures count and what they should reach. The suite
//! runs the commands; the report fills the lines.

mod more;
mod targets;

pub(crate) use more::WEATHER;

/// A row.
pub(crate) struct Row {
    pub(crate) number: u8,
    pub(crate) what: &'static str,
    pub(crate) commands: &'static [Item],
    /// Its lines; a row without any shows what its commands gave.
    pub(crate) lines: &'static [Want],
}

/// A command without its times.
pub(crate) struct Item {
    /// What follows `synchrotron bench`.
    pub(crate) line: &'static str,
    /// How often: pairs of a comparison, rounds of fail-overs, runs of rings; anything else is run again, taking turns
    /// with the other commands of its row.
    pub(crate) times: u8,
}

/// A line of the table.
#[derive(Debug)]
pub(crate) struct Want {
    pub(crate) what: &'static str,
    /// The command whose figure it is, of this row or of another.
    pub(crate) line: &'static str,
    pub(crate) metric: Metric,
    /// What it should reach on two cores that all nodes share.
    pub(crate) target: Target,
    /// The command of the same thing done by Corosync, where `line` does not measure it itself; of the throughput
    /// without what takes some of it away, for [`Metric::Left`].
    pub(crate) beside: Option<&'static str>,
    /// In words of its own, if it is one of the few lines that the README shows.
    pub(crate) summary: Option<&'static str>,
}

/// A figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Metric {
    /// Ordered messages a second of the flood.
    Rate,
    /// 10^6 bytes a second of the flood.
    Megabytes,
    /// Microseconds of the whole machine for an ordered message of the flood.
    Cpu,
    /// Seconds from the last start to the whole ring.
    Formed,
    /// Of the load with this name.
    Latency(&'static str, Of),
    /// Share of the flood without what takes some of it away, in percent.
    Left,
    /// Time of all engines in the load of silence, in percent of one core.
    Cores,
    /// Milliseconds from the fault to the last program's new view.
    Failover,
    /// Nanoseconds of what has this in its name.
    RingTime(&'static str),
    /// Millions a second of what has this in its name.
    RingRate(&'static str),
    /// The time of the one in percent of the other's.
    RingShare(&'static str, &'static str),
    /// That every run ended with the view it began with, everybody having seen the same in the same order: any other
    /// fails.
    Held,
}

/// What of a record of latencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    P50,
    P99,
    /// p99 divided by p50.
    Skew,
    /// p99 divided by the mean rotation of the token.
    Rotations,
}

/// What a figure should reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    /// Nothing: it is only shown.
    Shown,
    AtLeast(f64),
    AtMost(f64),
    /// At least so much, and so many times Corosync's.
    Times(f64, f64),
    /// It has to hold.
    Held,
}

const fn item(line: &'static str, times: u8) -> Item {
    Item { line, times }
}

const fn want(what: &'static str, line: &'static str, metric: Metric, target: Target) -> Want {
    Want { what, line, metric, target, beside: None, summary: None }
}

impl Want {
    const fn beside(mut self, line: &'static str) -> Self {
        self.beside = Some(line);
        self
    }

    const fn summary(mut self, what: &'static str) -> Self {
        self.summary = Some(what);
        self
    }
}

/// How many rows there are: their numbers go from 1 to this.
pub(crate) const COUNT: u8 = (targets::ROWS.len() + more::ROWS.len()) as u8;

/// All of them, in order.
pub(crate) fn rows() -> impl Iterator<Item = &'static Row> {
    targets::ROWS.iter().chain(&more::ROWS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_names_commands_that_are_run() {
        let numbers: Vec<u8> = rows().map(|row| row.number).collect();
        assert_eq!(numbers, (1..=COUNT).collect::<Vec<u8>>());
        let runs = |line: &str| rows().any(|row| row.commands.iter().any(|item| item.line == line));
        for row in rows() {
            for want in row.lines {
                assert!(runs(want.line), "row {}: {}", row.number, want.line);
                assert!(want.beside.is_none_or(runs), "row {}: {:?}", row.number, want.beside);
                // Shares need something to be shares of.
                assert!(want.metric != Metric::Left || want.beside.is_some(), "{want:?}");
            }
        }
    }
}
