//! A document as TOML.

use std::fmt::Write as _;

use crate::keys::{KEYS, SECTIONS};
use crate::kind::written;
use crate::reader::{Document, Table};

/// The keys a document says, in the order of the reference. What it leaves at its default is left out.
pub(crate) fn toml(document: &Document) -> String {
    let mut text = String::new();
    for (section, _) in SECTIONS {
        if section == "map" {
            map(&mut text, document);
        } else if section == "nodes" {
            for table in &document.nodes {
                self::section(&mut text, "[[nodes]]", section, table);
            }
        } else {
            self::section(&mut text, &format!("[{section}]"), section, document.table(section));
        }
    }
    text
}

fn section(text: &mut String, header: &str, section: &str, table: &Table) {
    let mut lines = String::new();
    for key in KEYS.iter().filter(|key| key.section == section && table.says(key.name)) {
        if let Some(found) = table.get(key.name) {
            _ = writeln!(lines, "{} = {}", key.name, written(key.kind, &found.value));
        }
    }
    if !lines.is_empty() {
        let gap = if text.is_empty() { "" } else { "\n" };
        _ = write!(text, "{gap}{header}\n{lines}");
    }
}

fn map(text: &mut String, document: &Document) {
    if document.map.is_empty() {
        return;
    }
    text.push_str("\n[map]\n");
    for (name, (value, _)) in &document.map {
        let value = toml::Value::String(value.clone());
        _ = writeln!(text, "\"{name}\" = {value}");
    }
}
