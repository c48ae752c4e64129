//! The page: XHTML in one file, without scripts or anything from elsewhere.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use chrono::DateTime;

use crate::figures::{Figures, LoadFigures};
use crate::host::IDLE_SHARE;
use crate::report::plot::{Of, Plot, short};
use crate::report::samples::{Read, samples, words};
use crate::report::table::{Line, Rows};
use crate::results::{Outcome, Results};

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;max-width:1180px;margin:2em auto;padding:0 1em;\
color:#1c1c1c;background:#fff}table{border-collapse:collapse;margin:.6em 0 1.4em}td,th{border:1px solid #d4d4d4;\
padding:.25em .55em;text-align:left;vertical-align:top}th{background:#f3f3f3}\
td.n{text-align:right;font-variant-numeric:tabular-nums}.bad{background:#fde0d6}.good{background:#dff3e2}\
.busy{opacity:.65}code{font-size:.9em}svg{max-width:100%;height:auto}.plots{display:flex;flex-wrap:wrap;gap:1em}\
.plots figure{margin:0;flex:1 1 520px}h2{margin-top:2em}@media(prefers-color-scheme:dark){\
body{color:#e6edf3;background:#0d1117}td,th{border-color:#3d444d}th{background:#1c222b}.bad{background:#5a2a1c}\
.good{background:#1d4427}}";

/// Writes the page.
pub(super) fn html(
    results: &Results,
    reads: &[Read<'_>],
    rows: &[Rows],
    plots: &[(Plot, String)],
    wrong: &[String],
) -> String {
    let mut page = String::from(
        "<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\"><head><meta charset=\"utf-8\"/>\
         <meta name=\"viewport\" content=\"width=device-width\"/><title>Synchrotron, measured</title>",
    );
    _ = write!(page, "<style>{STYLE}</style></head><body><h1>Synchrotron, measured</h1>");
    page += &machine(results);
    page += &how();
    page += &failures(wrong);
    page += &the_table(rows);
    page += "<h2>Plots</h2><div class=\"plots\">";
    for (_, svg) in plots {
        _ = write!(page, "<figure>{svg}</figure>");
    }
    page += "</div>";
    page += &model(reads);
    page += &details(reads);
    page += &commands(results);
    page += "</body></html>\n";
    page
}

/// Text for between tags.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            // What XML has no letter for, as a program's output may contain.
            control if control.is_control() && !matches!(control, '\n' | '\t') => escaped.push('?'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// One after another, each once.
fn list(items: impl Iterator<Item = String>) -> String {
    let items: BTreeSet<String> = items.collect();
    escape(&items.into_iter().collect::<Vec<_>>().join("; "))
}

fn machine(results: &Results) -> String {
    let hosts = || results.runs().map(|(_, run)| &run.host);
    let settings = results.runs().filter_map(|(_, run)| run.result.as_ref()).collect::<Vec<_>>();
    let seeds = settings.iter().filter_map(|result| result["settings"]["seed"].as_u64());
    let times: Vec<u64> = results.runs().map(|(_, run)| run.at_unix_s).collect();
    let when = |seconds: Option<u64>| {
        let at = seconds.and_then(|s| DateTime::from_timestamp(s.cast_signed(), 0));
        at.map_or_else(String::new, |at| at.format("%Y-%m-%d %H:%M UTC").to_string())
    };
    let took: f64 = results.runs().map(|(_, run)| run.took_s).sum();
    let shares: Vec<f64> = results.runs().flat_map(|(_, run)| run.idle_before()).collect();
    let busy = shares.iter().filter(|share| **share < IDLE_SHARE).count();
    let rows = [
        ("processor", list(hosts().map(|host| format!("{}, {} cores", host.cpu, host.cores)))),
        ("kernel", list(hosts().map(|host| host.kernel.clone()))),
        ("version", list(hosts().map(|host| host.version.clone()))),
        (
            "commit",
            list(hosts().map(|host| host.commit.clone().unwrap_or_else(|| "unknown".into()))),
        ),
        (
            "seeds",
            format!(
                "of the sequence of mixed sizes: {}; contents of messages and the model's nodes: fixed",
                list(seeds.map(|seed| seed.to_string()))
            ),
        ),
        (
            "measured",
            format!(
                "from {} to {}, {} commands, {:.1} minutes",
                when(times.iter().min().copied()),
                when(times.iter().max().copied()),
                times.len(),
                took / 60.0
            ),
        ),
        (
            "idle before",
            format!(
                "{busy} of {} measurements began while less than {:.0} % of the machine was idle; they are marked",
                shares.len(),
                IDLE_SHARE * 100.0
            ),
        ),
    ];
    let rows: String = rows
        .iter()
        .map(|(name, value)| format!("<tr><th>{name}</th><td>{value}</td></tr>"))
        .collect();
    format!("<table>{rows}</table>")
}

fn how() -> String {
    "<p>All engines and all programs share the processors of this one machine, each node in a network namespace of \
     its own. On every node a subscriber checks contents and order of everything; a run whose subscribers disagree \
     is a failure. Messages a second are those of the slowest subscriber. Latency is from the time a message was \
     meant to be sent (so a stall counts for everything it delays) to its delivery to its own sender. Corosync is \
     Debian's, with the same load generator, in turn with ours; figures are medians, spreads from the least to the \
     greatest; a ratio above 1 is in our favour.</p>"
        .to_owned()
}

fn failures(wrong: &[String]) -> String {
    if wrong.is_empty() {
        return String::new();
    }
    let items: String = wrong.iter().map(|what| format!("<li>{}</li>", escape(what))).collect();
    format!("<h2>What failed</h2><ul class=\"bad\">{items}</ul>")
}

fn the_table(rows: &[Rows]) -> String {
    let mut text = String::from(
        "<h2>The table</h2><table><tr><th>row</th><th>what</th><th>Corosync</th><th>Synchrotron</th>\
         <th>least to greatest (runs)</th><th>ratio</th><th>to reach</th><th>met</th><th>idle before</th>\
         <th>synchrotron bench</th></tr>",
    );
    for row in rows {
        _ = write!(
            text,
            "<tr><th>{}</th><th colspan=\"9\">{}</th></tr>",
            row.number,
            escape(row.what)
        );
        for line in &row.lines {
            text += &table_line(line);
        }
    }
    text + "</table>"
}

fn table_line(line: &Line) -> String {
    let is_busy = line.idle_before.is_some_and(|share| share < IDLE_SHARE * 100.0);
    let idle = line.idle_before.map_or_else(String::new, |share| format!("{share:.0} %"));
    let (met, class) = match line.is_met {
        Some(true) => ("yes", " class=\"good\""),
        Some(false) => ("no", " class=\"bad\""),
        None => ("", ""),
    };
    let Line { what, corosync, synchrotron, spread, ratio, reach, command, .. } = line;
    let cells = [what, corosync, synchrotron, spread, ratio, reach];
    let cells: String = cells.iter().map(|text| format!("<td>{}</td>", escape(text))).collect();
    format!(
        "<tr{}><td></td>{cells}<td{class}>{met}</td><td class=\"n\">{idle}</td><td><code>{}</code></td></tr>",
        if is_busy { " class=\"busy\"" } else { "" },
        escape(command)
    )
}

fn model(reads: &[Read<'_>]) -> String {
    let mut text = String::new();
    for read in reads {
        let Outcome::Model(report) = &read.outcome else { continue };
        _ = write!(
            text,
            "<h2>What the model predicts, {} B</h2><table><tr><th>link</th><th>nodes</th><th>messages/s</th>\
             <th>MB/s</th><th>rotation us</th><th>CPU us a message</th><th>formed ms</th></tr>",
            report.message_bytes
        );
        for row in &report.rows {
            let found = &row.prediction;
            let cells = [
                row.link.clone(),
                row.nodes.to_string(),
                short(found.messages_per_second),
                short(found.megabytes_per_second),
                short(found.rotation_us),
                short(found.cpu_us_per_message),
                short(found.formation_ms),
            ];
            text += &cells_row(&cells);
        }
        text += "</table>";
    }
    text
}

fn cells_row(cells: &[String]) -> String {
    let cells: String =
        cells.iter().map(|cell| format!("<td class=\"n\">{}</td>", escape(cell))).collect();
    format!("<tr>{cells}</tr>")
}

/// Every run of every engine.
fn details(reads: &[Read<'_>]) -> String {
    const HEADS: [&str; 18] = [
        "load",
        "messages/s",
        "MB/s",
        "p50 us",
        "p90",
        "p99",
        "p99.9",
        "max",
        "CPU us a message",
        "an engine",
        "a subscriber",
        "a delivery",
        "switches",
        "syscalls",
        "rotation us",
        "sent again",
        "formed s",
        "memory MB",
    ];
    let heads: String = HEADS.iter().map(|head| format!("<th>{head}</th>")).collect();
    let mut text = format!("<h2>Every run</h2><table><tr>{heads}</tr>");
    let mut last = String::new();
    for sample in samples(reads) {
        let engine = match sample.of {
            Of::Corosync => "Corosync",
            _ => "Synchrotron",
        };
        let figures = sample.figures;
        let head = format!("{engine}: {}", words(sample.setup));
        if head != last {
            _ = write!(text, "<tr><th colspan=\"{}\">{}</th></tr>", HEADS.len(), escape(&head));
            last = head;
        }
        for load in &figures.loads {
            text += &cells_row(&load_cells(load, figures));
        }
    }
    text + "</table>"
}

fn load_cells(load: &LoadFigures, figures: &Figures) -> [String; 18] {
    let (latency, cpu) = (&load.latency_us, &load.cpu_us_per_message);
    let memory = figures.memory.private_bytes + figures.memory.shared_bytes;
    let optional = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), short);
    [
        load.load.clone(),
        short(load.messages_per_second),
        short(load.megabytes_per_second),
        short(latency.p50),
        short(latency.p90),
        short(latency.p99),
        short(latency.p99_9),
        short(latency.max),
        short(cpu.machine),
        short(cpu.per_engine),
        short(cpu.per_subscriber),
        short(cpu.per_delivery),
        short(load.switches_per_message.machine),
        optional(load.syscalls_per_message.map(|calls| calls.engines + calls.generator)),
        optional(load.rotation_us),
        optional(load.retransmissions.map(|frames| frames as f64)),
        short(figures.formation_s),
        short(memory as f64 / 1e6),
    ]
}

fn commands(results: &Results) -> String {
    let mut text = String::from(
        "<h2>Commands and settings</h2><table><tr><th>row</th><th>synchrotron bench</th><th>took</th>\
         <th>idle before</th><th>settings</th></tr>",
    );
    for (number, run) in results.runs() {
        let idle: Vec<String> =
            run.idle_before().iter().map(|share| format!("{share:.2}")).collect();
        let settings = run.result.as_ref().map(|result| &result["settings"]);
        let settings = settings.filter(|settings| !settings.is_null());
        let settings = settings.map_or_else(String::new, ToString::to_string);
        _ = write!(
            text,
            "<tr><td>{number}</td><td><code>{}</code></td><td class=\"n\">{:.1} s</td><td>{}</td><td><code>{}</code>\
             </td></tr>",
            escape(&run.command),
            run.took_s,
            escape(&idle.join(" ")),
            escape(&settings)
        );
    }
    text + "</table>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_printed_cannot_break_the_page() {
        assert_eq!(escape("a<b> & \"c\"\u{7}\n"), "a&lt;b&gt; &amp; &quot;c&quot;?\n");
    }
}
