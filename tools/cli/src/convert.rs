//! `synchrotron convert`: one configuration language into another.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};
use schema::{Source, System};

/// Options of `convert`.
#[derive(Args)]
pub(crate) struct Convert {
    /// The file to read: `*.toml`, `*.xml`, or else the language of corosync.conf.
    file: PathBuf,
    /// What to write; without it TOML, or corosync.conf if the file is TOML.
    #[arg(long, value_enum)]
    to: Option<Language>,
    /// Where to write it; without it standard output. An existing file is not overwritten.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Language {
    /// synchrotron.toml
    Toml,
    /// corosync.conf
    Corosync,
}

/// The language of a file, by its name.
fn source(file: &Path) -> Source {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => Source::Toml(file.to_owned()),
        Some("xml") => Source::CorosyncXml(file.to_owned()),
        _ => Source::Corosync(file.to_owned()),
    }
}

/// Writes the same configuration in another language. What is lost goes to standard error.
pub(crate) fn run(options: &Convert, json: bool) -> anyhow::Result<()> {
    let source = source(&options.file);
    let to = options.to.unwrap_or(match source {
        Source::Toml(_) => Language::Corosync,
        Source::Corosync(_) | Source::CorosyncXml(_) => Language::Toml,
    });
    let converted = match to {
        Language::Toml => source.to_toml(&System)?,
        Language::Corosync => source.to_corosync(&System)?,
    };
    if let Some(output) = &options.output {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(output);
        file.as_mut()
            .map_err(|error| std::io::Error::new(error.kind(), error.to_string()))
            .and_then(|file| std::io::Write::write_all(file, converted.text.as_bytes()))
            .with_context(|| format!("cannot write {}", output.display()))?;
    }
    if json {
        let warnings: Vec<_> = converted
            .warnings
            .iter()
            .map(|warning| {
                serde_json::json!({
                    "file": warning.file,
                    "line": warning.line,
                    "key": warning.key,
                    "text": warning.text,
                })
            })
            .collect();
        println!("{}", serde_json::json!({ "text": converted.text, "warnings": warnings }));
        return Ok(());
    }
    for warning in &converted.warnings {
        eprintln!("warning: {warning}");
    }
    if options.output.is_none() {
        print!("{}", converted.text);
    }
    Ok(())
}
