//! `corosync.xml`: sections are elements, keys are attributes, the root is `<corosync>`; text is ignored.

use roxmltree::{Document, Node, ParsingOptions};

use super::syntax::{Item, Key, Section};
use crate::problem::Report;

/// Elements in elements at most: as deep as a name of the longest length can be.
const DEPTH_MAX: usize = super::syntax::NAME_BYTES_MAX / 2;

/// Reads a text. Problems go to `report`.
pub(crate) fn parse(text: &str, report: &mut Report<'_>) -> Vec<Item> {
    let options = ParsingOptions { allow_dtd: false, ..ParsingOptions::default() };
    let document = match Document::parse_with_options(text, options) {
        Ok(document) => document,
        Err(error) => {
            report.at("", offset_of(text, error.pos()), format!("not XML: {error}"), "");
            return Vec::new();
        }
    };
    let root = document.root_element();
    if root.tag_name().name() != "corosync" {
        let wrong = format!("the root element is <{}>", root.tag_name().name());
        report.at("", root.range().start, wrong, "<corosync>");
        return Vec::new();
    }
    items(root, 0, report)
}

/// The byte offset of a line and column, both from 1.
fn offset_of(text: &str, at: roxmltree::TextPos) -> usize {
    let lines = text.split_inclusive('\n');
    let before: usize = lines.take(at.row.saturating_sub(1) as usize).map(str::len).sum();
    let column = at.col.saturating_sub(1) as usize;
    let line = &text[before..];
    before + line.char_indices().nth(column).map_or(line.len(), |(at, _)| at)
}

fn items(element: Node<'_, '_>, depth: usize, report: &mut Report<'_>) -> Vec<Item> {
    let mut items = Vec::new();
    for attribute in element.attributes() {
        items.push(Item::Key(Key {
            name: attribute.name().to_owned(),
            value: attribute.value().trim().to_owned(),
            offset: attribute.range().start,
            span: attribute.range_value(),
        }));
    }
    for child in element.children().filter(Node::is_element) {
        let (name, offset) = (child.tag_name().name().to_owned(), child.range().start);
        if depth == DEPTH_MAX {
            report.at("", offset, "sections are nested too deeply", format!("{DEPTH_MAX} at most"));
            return items;
        }
        let inner = self::items(child, depth + 1, report);
        items.push(Item::Section(Section { name, items: inner, offset }));
    }
    items
}
