//! The syntax of `corosync.conf`: sections in braces, `key: value` lines, comments.

use std::ops::Range;

use crate::problem::Report;

/// Bytes of a line at most, without its end: what Corosync's own reader takes.
pub(crate) const LINE_BYTES_MAX: usize = 510;

/// Bytes of a key's whole name at most, sections included (`CMAP_KEYNAME_MAXLEN`).
pub(crate) const NAME_BYTES_MAX: usize = 255;

/// Sections in sections at most: as deep as a name of the longest length can be. Deeper ones are read past, so that a
/// file of opening braces costs no stack.
const DEPTH_MAX: usize = NAME_BYTES_MAX / 2;

/// One entry of a section.
#[derive(Debug)]
pub(crate) enum Item {
    /// A section in a section.
    Section(Section),
    /// `key: value`.
    Key(Key),
}

/// A section.
#[derive(Debug)]
pub(crate) struct Section {
    /// Its name.
    pub(crate) name: String,
    /// What stands in it, in the order of the file.
    pub(crate) items: Vec<Item>,
    /// Where its name stands.
    pub(crate) offset: usize,
}

/// A key with its value.
#[derive(Debug)]
pub(crate) struct Key {
    /// Its name.
    pub(crate) name: String,
    /// Its value; may be empty.
    pub(crate) value: String,
    /// Where the name stands.
    pub(crate) offset: usize,
    /// Where the value stands.
    pub(crate) span: Range<usize>,
}

/// Spaces as Corosync's reader sees them; it takes a no-break space for one, too.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{a0}')
}

/// A part of the text without spaces around it.
#[derive(Clone, Copy)]
struct Part<'t> {
    text: &'t str,
    offset: usize,
}

impl<'t> Part<'t> {
    fn trimmed(self) -> Self {
        let start = self.text.trim_start_matches(is_space);
        let offset = self.offset + (self.text.len() - start.len());
        Self { text: start.trim_end_matches(is_space), offset }
    }

    /// What stands before and after the first `c`.
    fn split(self, c: char) -> Option<(Self, Self)> {
        let at = self.text.find(c)?;
        let after = at + c.len_utf8();
        let left = Self { text: &self.text[..at], offset: self.offset };
        let right = Self { text: &self.text[after..], offset: self.offset + after };
        Some((left.trimmed(), right.trimmed()))
    }

    fn range(self) -> Range<usize> {
        self.offset..self.offset + self.text.len()
    }
}

/// Sections that are open, outermost first; the first one is the file itself.
struct Open {
    stack: Vec<Section>,
    /// Bytes of the names of all open sections, with a dot after each.
    name_bytes: usize,
    /// Sections that are open beyond the deepest one that is kept.
    too_deep: usize,
}

impl Open {
    fn push(&mut self, item: Item) {
        if let Some(section) = self.stack.last_mut() {
            section.items.push(item);
        }
    }

    /// Closes the innermost section; the file itself stays open.
    fn close(&mut self) -> bool {
        if self.too_deep > 0 {
            self.too_deep -= 1;
            return true;
        }
        if self.stack.len() < 2 {
            return false;
        }
        if let Some(section) = self.stack.pop() {
            self.name_bytes -= section.name.len() + 1;
            self.push(Item::Section(section));
        }
        true
    }
}

/// Reads a text. Problems go to `report`, and reading goes on, so that one run shows all of them.
pub(crate) fn parse(text: &str, report: &mut Report<'_>) -> Vec<Item> {
    let root = Section { name: String::new(), items: Vec::new(), offset: 0 };
    let mut open = Open { stack: vec![root], name_bytes: 0, too_deep: 0 };
    let mut offset = 0;
    for raw in text.split_inclusive('\n') {
        let line = raw.strip_suffix('\n').unwrap_or(raw);
        let line = line.strip_suffix('\r').unwrap_or(line);
        read_line(Part { text: line, offset }.trimmed(), line.len(), &mut open, report);
        offset += raw.len();
    }
    open.too_deep = 0;
    while let [_, .., section] = open.stack.as_slice() {
        let wrong = format!("section {:?} is not closed", section.name);
        report.at("", section.offset, wrong, "a line with \"}\" after its last key");
        open.close();
    }
    open.stack.pop().map(|root| root.items).unwrap_or_default()
}

fn read_line(line: Part<'_>, bytes: usize, open: &mut Open, report: &mut Report<'_>) {
    if line.text.is_empty() || line.text.starts_with('#') {
        return;
    }
    if bytes > LINE_BYTES_MAX {
        let wrong = format!("the line has {bytes} bytes");
        report.at("", line.offset, wrong, format!("at most {LINE_BYTES_MAX} bytes"));
    } else if let Some((name, rest)) = line.split('{') {
        section(name, rest, open, report);
    } else if let Some((name, value)) = line.split(':') {
        if open.too_deep == 0 && named(name, open, report) {
            let (offset, span) = (name.offset, value.range());
            let (name, value) = (name.text.to_owned(), value.text.to_owned());
            open.push(Item::Key(Key { name, value, offset, span }));
        }
    } else if line.text.contains('}') {
        if line.text != "}" {
            report.at(
                "",
                line.offset,
                "a closing brace with other text",
                "\"}\" on a line of its own",
            );
        }
        if !open.close() {
            let accepted = "one closing brace for each \"section {\"";
            report.at("", line.offset, "a closing brace without an open section", accepted);
        }
    } else {
        let accepted = "\"section {\", \"key: value\", \"}\" or \"# comment\"";
        let wrong = "neither the start nor the end of a section nor a key with a value";
        report.value("line", line.range(), wrong, accepted);
    }
}

fn section(name: Part<'_>, rest: Part<'_>, open: &mut Open, report: &mut Report<'_>) {
    // Some people write "section: {", and Corosync lets them.
    let name = Part { text: name.text.trim_end_matches([':', ' ', '\t', '\u{a0}']), ..name };
    if !rest.text.is_empty() {
        let accepted = "the first key on the line after \"section {\"";
        report.at("", rest.offset, "text after an opening brace", accepted);
    }
    if open.too_deep > 0 || open.stack.len() > DEPTH_MAX {
        if open.too_deep == 0 {
            let accepted = format!("{DEPTH_MAX} at most");
            report.at("", name.offset, "sections are nested too deeply", accepted);
        }
        open.too_deep += 1;
        return;
    }
    // A bad section is opened all the same, so that its closing brace finds it.
    named(name, open, report);
    open.name_bytes += name.text.len() + 1;
    let (name, offset) = (name.text.to_owned(), name.offset);
    open.stack.push(Section { name, items: Vec::new(), offset });
}

/// Whether a name may be one in a configuration map; if not, says so.
fn named(name: Part<'_>, open: &Open, report: &mut Report<'_>) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || "._-/:".contains(c);
    let bytes = open.name_bytes + name.text.len();
    if name.text.is_empty() {
        report.at("", name.offset, "a name is missing", "a name before \":\" or \"{\"");
    } else if let Some(c) = name.text.chars().find(|&c| !known(c)) {
        let wrong = format!("name {:?} has the character {c:?}", name.text);
        report.at("", name.offset, wrong, "letters, digits and \"._-/:\"");
    } else if bytes > NAME_BYTES_MAX {
        let wrong = format!("the name has {bytes} bytes with its sections");
        report.at("", name.offset, wrong, format!("at most {NAME_BYTES_MAX} bytes"));
    } else {
        return true;
    }
    false
}
