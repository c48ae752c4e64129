//! `synchrotron bench report`: one page with the table, the plots and every figure, and the table as Markdown, from
//! stored results.

mod curves;
mod markdown;
mod page;
mod plot;
mod samples;
mod table;
mod wanted;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Args;

use crate::results::Results;

/// Options of `bench report`.
#[derive(Clone, Debug, Args)]
pub struct Report {
    /// Directory of `results.json` and of the logs that `bench suite` wrote; the report goes there, too.
    dir: PathBuf,
    /// A document that gets the table, or its few most telling lines, between `<!-- bench report: table -->` or
    /// `<!-- bench report: summary -->` and `<!-- bench report: end -->`; may be given several times.
    #[arg(long, value_name = "FILE")]
    into: Vec<PathBuf>,
}

/// The page.
const PAGE: &str = "report.html";

/// The table as Markdown.
const TABLE: &str = "table.md";

/// Plots that are written as files of their own as well.
const FILES: [&str; 3] = ["throughput-nodes", "latency-percentiles", "throughput-weather"];

impl Report {
    /// Reads, draws and writes.
    pub(crate) fn run(&self, json: bool) -> anyhow::Result<()> {
        let results = Results::load(&self.dir)?;
        ensure!(
            !results.rows.is_empty(),
            "there is no {} in {}: `synchrotron bench suite --out {0}` makes one",
            crate::results::FILE,
            self.dir.display()
        );
        let page = write(&results, &self.dir)?;
        let (reads, _) = samples::read(&results);
        let rows = table::table(&results, &reads);
        self.into.iter().try_for_each(|file| markdown::put_into(file, &results, &rows))?;
        let table = self.dir.join(TABLE);
        if json {
            println!(
                "{}",
                serde_json::json!({ "report": page, "table": table, "into": self.into })
            );
        } else {
            println!("{}", page.display());
        }
        Ok(())
    }
}

/// Writes the page, the table as Markdown and the plots that are files of their own; where the page is.
///
/// # Errors
/// When something cannot be written.
pub(crate) fn write(results: &Results, dir: &Path) -> anyhow::Result<PathBuf> {
    let (reads, mut wrong) = samples::read(results);
    let (plots, unread) = curves::plots(&reads, dir);
    wrong.extend(unread);
    let plots: Vec<(plot::Plot, String)> = plots
        .into_iter()
        .map(|plot| plot.svg().map(|svg| (plot, svg)))
        .collect::<anyhow::Result<_>>()?;
    for (plot, svg) in plots.iter().filter(|(plot, _)| FILES.contains(&plot.name)) {
        let file = dir.join(format!("{}.svg", plot.name));
        std::fs::write(&file, svg).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let rows = table::table(results, &reads);
    let (page, table) = (dir.join(PAGE), dir.join(TABLE));
    for (file, text) in [
        (&table, markdown::table(results, &rows)),
        (&page, page::html(results, &reads, &rows, &plots, &wrong)),
    ] {
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use plot::{Of, Plot};

    /// What a short suite left on a busy machine, with one run that failed and one whose result is none.
    fn golden() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
    }

    fn plots() -> Vec<Plot> {
        let results = Results::load(&golden()).unwrap();
        let (reads, _) = samples::read(&results);
        let (plots, wrong) = curves::plots(&reads, &golden());
        assert_eq!(wrong, Vec::<String>::new());
        plots
    }

    /// Values of x of an engine's first curve.
    fn xs(plot: &str, of: Of) -> Vec<f64> {
        let plots = plots();
        let plot = plots.iter().find(|found| found.name == plot).unwrap();
        let curve = plot.curves.iter().find(|curve| curve.of == of);
        curve.map(|curve| curve.points.iter().map(|point| point.0).collect()).unwrap_or_default()
    }

    #[test]
    fn every_plot_has_its_curves() {
        let names: Vec<&str> = plots().iter().map(|plot| plot.name).collect();
        assert_eq!(
            names,
            [
                "throughput-nodes",
                "throughput-size",
                "bytes-size",
                "throughput-loss",
                "throughput-weather",
                "latency-percentiles",
                "latency-idle",
                "cpu-nodes",
                "formation-nodes",
                "model"
            ]
        );
        assert_eq!(xs("throughput-nodes", Of::Synchrotron), [2.0, 3.0, 8.0]);
        assert_eq!(xs("throughput-nodes", Of::Corosync), [2.0, 8.0]);
        assert_eq!(xs("throughput-nodes", Of::Model), [2.0, 8.0]);
        assert_eq!(xs("throughput-size", Of::Corosync), [64.0, 320.0]);
        assert_eq!(xs("throughput-loss", Of::Synchrotron), [0.0, 1.0]);
        // Corosync brought nothing through a loss of a tenth.
        assert_eq!(xs("throughput-weather", Of::Synchrotron), [0.0, 1.0, 10.0]);
        assert_eq!(xs("throughput-weather", Of::Corosync), [0.0, 1.0]);
        for of in [Of::Synchrotron, Of::Corosync] {
            let percentiles = xs("latency-percentiles", of);
            assert!(percentiles.is_sorted() && percentiles.len() > 20, "{percentiles:?}");
        }
    }

    #[test]
    fn the_report_comes_from_what_was_stored_and_is_well_formed() {
        let dir = tempfile::tempdir().unwrap();
        let copied = std::process::Command::new("cp")
            .arg("-r")
            .arg(golden().join("."))
            .arg(dir.path())
            .status();
        assert!(copied.unwrap().success());
        let document = dir.path().join("document.md");
        let (table, summary) =
            ("<!-- bench report: table -->\n", "<!-- bench report: summary -->\n");
        let end = "<!-- bench report: end -->\n";
        std::fs::write(&document, format!("first\n{table}old\n{end}then\n{summary}{end}last\n"))
            .unwrap();
        Report { dir: dir.path().to_owned(), into: vec![document.clone()] }.run(true).unwrap();
        let written = std::fs::read_to_string(dir.path().join(TABLE)).unwrap();
        let (before, rest) = written.split_once("| **2** |").unwrap();
        assert!(before.contains("commit c0ffee123456") && rest.contains("| **14** |"), "{written}");
        for row in written.lines().filter(|line| line.starts_with('|')) {
            assert_eq!(row.replace("\\|", "").matches('|').count(), 10, "{row}");
        }
        let text = std::fs::read_to_string(&document).unwrap();
        assert!(text.contains(&format!("first\n{table}{written}{end}then\n{summary}")), "{text}");
        assert!(text.contains("| ... to 8 nodes |") && text.ends_with("last\n"), "{text}");
        let page = std::fs::read_to_string(dir.path().join(PAGE)).unwrap();
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        let tree = roxmltree::Document::parse_with_options(&page, options).unwrap();
        let count = |tag: &str| tree.descendants().filter(|n| n.tag_name().name() == tag).count();
        assert_eq!(count("svg"), 10);
        assert!(count("script") == 0 && count("img") == 0 && count("link") == 0);
        let text: String = tree
            .descendants()
            .filter(|node| node.is_text())
            .filter_map(|node| node.text())
            .collect();
        for part in [
            "6.18.0-golden",
            "c0ffee123456",
            "AMD EPYC, 2 cores",
            "of the sequence of mixed sizes: 1",
            "measurements began while less than 80 % of the machine was idle",
            "2 nodes, 64 B, flood",
            "compare --nodes 8 --size 64 --seconds 0.2 --pairs 1",
            "3 nodes, an engine killed",
            "packets: flood left",
            "3 nodes, 64 B, every node sends, delay 1ms 300us: flood",
            "an engine has ended: <no room> & \"no more\"",
            "row 12: what `failover --nodes 3 --rounds 1` printed",
            "\"window_bytes\":1048576",
        ] {
            assert!(text.contains(part), "{part}");
        }
        for name in FILES {
            let svg = std::fs::read_to_string(dir.path().join(format!("{name}.svg"))).unwrap();
            assert!(roxmltree::Document::parse(&svg).is_ok());
        }
    }

    #[test]
    fn a_directory_without_results_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let error = Report { dir: dir.path().to_owned(), into: Vec::new() }.run(true).unwrap_err();
        assert!(error.to_string().contains("bench suite --out"), "{error}");
    }
}
