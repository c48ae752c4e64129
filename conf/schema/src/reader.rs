//! Walks a parsed TOML document along the table of keys.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::corosync;
use crate::keys::{KEYS, Key, Presence, SECTIONS, find, nearest};
use crate::kind::{Value, accepted, read};
use crate::problem::Report;

/// A value with its place in the text; defaults have none.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) value: Value,
    pub(crate) span: Option<Range<usize>>,
}

/// One table's values. `None` in a key's place: it is there but bad, which is reported already.
pub(crate) struct Table {
    /// `section` or `nodes[2]`.
    pub(crate) label: String,
    /// Where its header stands, if it is in the file.
    pub(crate) offset: usize,
    found: HashMap<&'static str, Option<Found>>,
}

impl Table {
    /// A table without keys.
    pub(crate) fn empty(label: String, offset: usize) -> Self {
        Self { label, offset, found: HashMap::new() }
    }

    /// Sets a key; no value: it is there but bad, which is reported already.
    pub(crate) fn set(
        &mut self,
        name: &'static str,
        value: Option<Value>,
        span: Option<Range<usize>>,
    ) {
        self.found.insert(name, value.map(|value| Found { value, span }));
    }

    /// The value of a key of the table of keys, or `None` if it is optional and missing, or bad.
    pub(crate) fn get(&self, name: &'static str) -> Option<&Found> {
        self.found.get(name).and_then(Option::as_ref)
    }

    /// Whether the file has this key, well or badly.
    pub(crate) fn says(&self, name: &'static str) -> bool {
        self.found.get(name).is_some_and(|found| match found {
            Some(found) => found.span.is_some(),
            None => true,
        })
    }
}

/// Everything a file says, defaults filled in.
pub(crate) struct Document {
    pub(crate) tables: HashMap<&'static str, Table>,
    /// The `[[nodes]]` tables in the order of the file.
    pub(crate) nodes: Vec<Table>,
    /// `[map]`: keys that programs read in the configuration map, with their values and places.
    pub(crate) map: BTreeMap<String, (String, Range<usize>)>,
}

impl Document {
    /// A table other than `nodes`.
    pub(crate) fn table(&self, section: &'static str) -> &Table {
        &self.tables[section]
    }
}

/// Reads `text`. Problems go to `report`; what could be read is returned.
pub(crate) fn document(text: &str, report: &mut Report<'_>) -> Option<Document> {
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let at = error.span().map_or(0, |span| span.start);
        report.at("", at, format!("not TOML: {}", error.message().replace('\n', " ")), "");
    }
    if !errors.is_empty() {
        return None;
    }
    let mut tables = HashMap::new();
    let mut nodes = Vec::new();
    let mut map = BTreeMap::new();
    for (name, value) in root.get_ref() {
        let (section, at) = (name.get_ref().as_ref(), name.span().start);
        let Some((section, _)) = SECTIONS.iter().find(|(known, _)| *known == section) else {
            unknown_section(section, at, report);
            continue;
        };
        if *section == "nodes" {
            nodes = node_tables(value, report);
        } else if let ("map", Some(table)) = (*section, value.get_ref().as_table()) {
            map = free_table(table, report);
        } else if let Some(table) = value.get_ref().as_table() {
            tables.insert(*section, read_table(section, section.to_string(), at, table, report));
        } else {
            report.value(section, value.span(), "is not a table", format!("[{section}]"));
        }
    }
    for (section, _) in SECTIONS {
        if section != "nodes" && !tables.contains_key(section) {
            let empty = DeTable::new();
            let table = read_table(section, section.to_owned(), text.len(), &empty, report);
            tables.insert(section, table);
        }
    }
    Some(Document { tables, nodes, map })
}

/// `[map]`: any key of the configuration map that does not set a key of ours.
fn free_table(
    table: &DeTable<'_>,
    report: &mut Report<'_>,
) -> BTreeMap<String, (String, Range<usize>)> {
    let mut map = BTreeMap::new();
    for (name, value) in table {
        let (name, at, span) = (name.get_ref().as_ref(), name.span().start, value.span());
        let Some(text) = value.get_ref().as_str() else {
            let wrong = format!("is of type {}", value.get_ref().type_str());
            report.value(&format!("map.{name}"), span, wrong, "a string");
            continue;
        };
        match corosync::keys::not_free(name) {
            Some((wrong, accepted)) => report.at(&format!("map.{name}"), at, wrong, accepted),
            None => _ = map.insert(name.to_owned(), (text.to_owned(), span)),
        }
    }
    map
}

fn unknown_section(section: &str, at: usize, report: &mut Report<'_>) {
    let all: Vec<_> = SECTIONS.iter().map(|(known, _)| *known).collect();
    let wrong = match nearest(section, all.iter().copied()) {
        Some(near) => format!("unknown section; did you mean [{near}]?"),
        None => "unknown section".to_owned(),
    };
    report.at(&format!("[{section}]"), at, wrong, all.join(", "));
}

fn node_tables(value: &Spanned<DeValue<'_>>, report: &mut Report<'_>) -> Vec<Table> {
    let Some(list) = value.get_ref().as_array() else {
        report.at("nodes", value.span().start, "is not a list of tables", "[[nodes]]");
        return Vec::new();
    };
    let mut tables = Vec::new();
    for (index, item) in list.iter().enumerate() {
        let label = format!("nodes[{index}]");
        match item.get_ref().as_table() {
            Some(table) => {
                tables.push(read_table("nodes", label, item.span().start, table, report));
            }
            None => report.value(&label, item.span(), "is not a table", "[[nodes]]"),
        }
    }
    tables
}

fn read_table(
    section: &str,
    label: String,
    offset: usize,
    table: &DeTable<'_>,
    report: &mut Report<'_>,
) -> Table {
    let mut read_so_far = Table::empty(label, offset);
    for (name, value) in table {
        let full = format!("{}.{}", read_so_far.label, name.get_ref());
        let Some(key) = find(section, name.get_ref()) else {
            unknown_key(section, &full, name.get_ref(), name.span().start, report);
            continue;
        };
        let span = value.span();
        let read = read(key.kind, key.words, value.get_ref())
            .map_err(|wrong| report.value(&full, span.clone(), wrong, key.accepted()));
        read_so_far.set(key.name, read.ok(), Some(span));
    }
    fill_defaults(section, &mut read_so_far, report);
    read_so_far
}

/// Gives keys that are missing their defaults, and reports those that have none.
pub(crate) fn fill_defaults(section: &str, table: &mut Table, report: &mut Report<'_>) {
    for key in KEYS.iter().filter(|key| key.section == section) {
        if table.found.contains_key(key.name) {
            continue;
        }
        match key.presence {
            Presence::Optional => {}
            Presence::Default(text) => table.set(key.name, Some(key.default_value(text)), None),
            Presence::Required => {
                let full = format!("{}.{}", table.label, key.name);
                report.at(&full, table.offset, "missing", key.accepted());
            }
        }
    }
}

/// Reports a key that no table of `section` has.
pub(crate) fn unknown_key(
    section: &str,
    full: &str,
    name: &str,
    offset: usize,
    report: &mut Report<'_>,
) {
    let known: Vec<_> =
        KEYS.iter().filter(|key| key.section == section).map(|key| key.name).collect();
    let elsewhere = KEYS.iter().find(|key| key.name == name);
    let wrong = match (nearest(name, known.iter().copied()), elsewhere) {
        (Some(near), _) => format!("unknown key; did you mean {near:?}?"),
        (None, Some(key)) => format!("unknown key; it belongs to [{}]", key.section),
        (None, None) => "unknown key".to_owned(),
    };
    report.at(full, offset, wrong, known.join(", "));
}

impl Key {
    /// What the key accepts, in words.
    pub fn accepted(&self) -> String {
        accepted(self.kind, self.words)
    }

    /// The value of a default, which is written as TOML so that the reference can show it.
    ///
    /// # Panics
    /// If the table of keys has a default that its own key refuses; a test reads all of them.
    pub(crate) fn default_value(&self, text: &str) -> Value {
        let value = DeValue::parse(text).expect("defaults are TOML values");
        read(self.kind, self.words, value.get_ref()).expect("defaults are accepted by their keys")
    }
}
