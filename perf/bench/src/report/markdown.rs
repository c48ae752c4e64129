//! The table as Markdown: as a file of its own, and into documents between marks.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, bail};
use chrono::DateTime;

use crate::host::IDLE_SHARE;
use crate::report::table::{Line, Rows};
use crate::results::Results;

/// What a document can have between its marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Everything.
    Table,
    /// The few lines that say most.
    Summary,
}

/// Marks of the parts, and of the end of both.
const MARKS: [(Part, &str); 2] = [
    (Part::Table, "<!-- bench report: table -->\n"),
    (Part::Summary, "<!-- bench report: summary -->\n"),
];
const END: &str = "<!-- bench report: end -->\n";

/// The whole table.
pub(super) fn table(results: &Results, rows: &[Rows]) -> String {
    let mut text = machine(results);
    text += "\n| row | what | Corosync | Synchrotron | least to greatest (runs) | ratio | to reach | met \
             | `synchrotron bench ...` |\n|---|---|---|---|---|---|---|---|---|\n";
    for row in rows {
        _ = writeln!(text, "| **{}** | **{}** | | | | | | | |", row.number, cell(row.what));
        for line in &row.lines {
            let Line { what, corosync, synchrotron, spread, ratio, reach, command, .. } = line;
            let command = format!("`{command}`");
            let cells: [&str; 8] =
                [what, corosync, synchrotron, spread, ratio, reach, met(line), &command];
            _ = writeln!(text, "| {} | {} |", row.number, join(&cells));
        }
    }
    text
}

/// The few lines that say most.
pub(super) fn summary(results: &Results, rows: &[Rows]) -> String {
    let mut text = machine(results);
    text +=
        "\n| what | Corosync | Synchrotron | ratio | to reach | met |\n|---|---|---|---|---|---|\n";
    for line in rows.iter().flat_map(|row| &row.lines) {
        if let Some(what) = line.summary {
            let Line { corosync, synchrotron, spread, ratio, reach, .. } = line;
            let ours = match spread.rsplit_once(" (") {
                Some((range, _)) => format!("{synchrotron} ({range})"),
                None => synchrotron.clone(),
            };
            let cells: [&str; 6] = [what, corosync, &ours, ratio, reach, met(line)];
            _ = writeln!(text, "| {} |", join(&cells));
        }
    }
    text
}

fn met(line: &Line) -> &'static str {
    match line.is_met {
        Some(true) => "yes",
        Some(false) => "**no**",
        None => "",
    }
}

fn join(cells: &[&str]) -> String {
    cells.iter().map(|text| cell(text)).collect::<Vec<_>>().join(" | ")
}

/// Text that stays in its cell.
fn cell(text: &str) -> String {
    let text = text.replace('|', "\\|").replace('<', "&lt;");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Where and when, and how figures are to be read.
fn machine(results: &Results) -> String {
    let hosts = || results.runs().map(|(_, run)| &run.host);
    let list = |items: BTreeSet<String>| items.into_iter().collect::<Vec<_>>().join(", ");
    let machines = hosts().map(|h| format!("{}, {} cores, Linux {}", h.cpu, h.cores, h.kernel));
    let commits = hosts().map(|h| h.commit.clone().unwrap_or_else(|| "unknown".to_owned()));
    let times = || results.runs().map(|(_, run)| run.at_unix_s);
    let when = |seconds: Option<u64>| {
        let at = seconds.and_then(|s| DateTime::from_timestamp(s.cast_signed(), 0));
        at.map_or_else(String::new, |at| at.format("%Y-%m-%d %H:%M UTC").to_string())
    };
    let shares: Vec<f64> = results.runs().flat_map(|(_, run)| run.idle_before()).collect();
    let busy = shares.iter().filter(|share| **share < IDLE_SHARE).count();
    let took_s: f64 = results.runs().map(|(_, run)| run.took_s).sum();
    format!(
        "Written by `synchrotron bench report` from what `synchrotron bench suite` measured: {}, commit {}, {} to {}, \
         {} commands in {:.0} minutes; {busy} of {} measurements began while less than {:.0} % of the machine was \
         idle. Figures are medians, with the least and the greatest; a ratio is taken pair by pair, and above 1 it is \
         in our favour.\n",
        list(machines.collect()),
        list(commits.collect()),
        when(times().min()),
        when(times().max()),
        times().count(),
        took_s / 60.0,
        shares.len(),
        IDLE_SHARE * 100.0,
    )
}

/// Puts the parts into a document, each between its marks.
///
/// # Errors
/// When there are no marks, or the document cannot be read or written; it stays as it was then.
pub(super) fn put_into(file: &Path, results: &Results, rows: &[Rows]) -> anyhow::Result<()> {
    let name = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
    let mut changed = text.clone();
    let mut has_marks = false;
    for (part, mark) in MARKS {
        let new = match part {
            Part::Table => table(results, rows),
            Part::Summary => summary(results, rows),
        };
        if let Some(with) = between(&changed, mark, &new) {
            (changed, has_marks) = (with, true);
        }
    }
    if !has_marks {
        let [(_, table), (_, summary)] = MARKS.map(|(part, mark)| (part, mark.trim()));
        bail!(
            "{name} has no place for a table: a line `{table}` or `{summary}`, and below it a line `{}`",
            END.trim()
        );
    }
    let mut new = file.as_os_str().to_owned();
    new.push(".new");
    std::fs::write(&new, changed)
        .and_then(|()| std::fs::rename(&new, file))
        .with_context(|| format!("cannot write {name}"))
}

/// The document with something else between a mark and the end; `None` if it has no such marks.
fn between(text: &str, mark: &str, new: &str) -> Option<String> {
    let start = text.find(mark)? + mark.len();
    let end = start + text[start..].find(END)?;
    Some(format!("{}{new}{}", &text[..start], &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let mark = MARKS[1].1;
        let text = format!("before\n{mark}old\n{END}after\n");
        let changed = between(&text, mark, "new\n").unwrap();
        assert_eq!(changed, format!("before\n{mark}new\n{END}after\n"));
        assert!(between("no marks", mark, "new").is_none());
        assert!(between(&format!("{mark}no end"), mark, "new").is_none());
    }

    #[test]
    fn a_cell_stays_in_its_row() {
        assert_eq!(cell("a | b\nc  <d>"), "a \\| b c &lt;d>");
    }
}
