//! Sections made flat: names and types as Corosync's configuration map (`icmap`) has them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use super::keys::{self, Type};
use super::syntax::{Item, Key, NAME_BYTES_MAX, Section};
use crate::host::Host;
use crate::load::Warning;
use crate::problem::Report;

/// A typed value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfValue {
    /// `u8`
    U8(u8),
    /// `u16`
    U16(u16),
    /// `u32`
    U32(u32),
    /// `u64`
    U64(u64),
    /// `i32`
    I32(i32),
    /// `str`
    Text(String),
}

/// A key as programs read it from the configuration map: `nodelist.node.0.nodeid` and the like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfKey {
    /// Its whole name.
    pub name: String,
    /// Its value.
    pub value: ConfValue,
}

/// A key with its place in the text.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) value: ConfValue,
    /// The value as written.
    pub(crate) text: String,
    pub(crate) offset: usize,
    pub(crate) span: Range<usize>,
}

/// All keys of a file. Of a key that is there twice the last one counts, as with Corosync.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flat {
    pub(crate) entries: BTreeMap<String, Entry>,
    /// How many `node` sections there are.
    pub(crate) nodes: usize,
}

impl Flat {
    pub(crate) fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.entries.get(name).map(|entry| entry.text.as_str())
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        match self.entries.get(name)?.value {
            ConfValue::U8(n) => Some(n.into()),
            ConfValue::U16(n) => Some(n.into()),
            ConfValue::U32(n) => Some(n.into()),
            ConfValue::U64(n) => Some(n),
            ConfValue::I32(_) | ConfValue::Text(_) => None,
        }
    }

    /// Keys whose names start with `prefix`.
    pub(crate) fn under<'f>(
        &'f self,
        prefix: &'f str,
    ) -> impl Iterator<Item = (&'f str, &'f Entry)> {
        self.entries
            .range(prefix.to_owned()..)
            .take_while(move |(name, _)| name.starts_with(prefix))
            .map(|(name, entry)| (name.as_str(), entry))
    }

    /// The numbers that follow `prefix` in names, each once, ascending.
    pub(crate) fn indices(&self, prefix: &str) -> Vec<usize> {
        let mut found: Vec<usize> = self
            .under(prefix)
            .filter_map(|(name, _)| name[prefix.len()..].split('.').next()?.parse().ok())
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The keys as programs see them.
    pub(crate) fn keys(&self) -> Vec<ConfKey> {
        let own = |name: &str| name.starts_with("synchrotron.") || keys::SECRET.contains(&name);
        self.entries
            .iter()
            .filter(|(name, _)| !own(name))
            .map(|(name, entry)| ConfKey { name: name.clone(), value: entry.value.clone() })
            .collect()
    }
}

/// Makes sections flat. Problems go to `report`, keys that are not carried over to `warnings`.
pub(crate) fn flatten(
    items: &[Item],
    file: &Path,
    host: &dyn Host,
    report: &mut Report<'_>,
    warnings: &mut Vec<Warning>,
) -> Flat {
    let mut walk = Walk { flat: Flat::default(), file, host, report, warnings };
    walk.items(items, "");
    walk.flat
}

struct Walk<'w, 'r, 't> {
    flat: Flat,
    file: &'w Path,
    host: &'w dyn Host,
    report: &'r mut Report<'t>,
    warnings: &'r mut Vec<Warning>,
}

impl Walk<'_, '_, '_> {
    fn items(&mut self, items: &[Item], path: &str) {
        for item in items {
            match item {
                Item::Key(key) if path.is_empty() => self.put(&key.name.clone(), key),
                Item::Key(key) => self.put(&format!("{path}.{}", key.name), key),
                Item::Section(section) if path.is_empty() => self.section(section, &section.name),
                Item::Section(section) => {
                    self.section(section, &format!("{path}.{}", section.name));
                }
            }
        }
    }

    fn section(&mut self, section: &Section, path: &str) {
        match path {
            "totem.interface" => {
                let link = self.link_number(section);
                self.items(&section.items, &format!("{path}.{link}"));
            }
            "nodelist.node" => {
                let index = self.flat.nodes;
                self.flat.nodes += 1;
                self.items(&section.items, &format!("{path}.{index}"));
            }
            "logging.logger_subsys" => self.named(section, path, "subsys"),
            "logging.logging_daemon" => self.named(section, path, "name"),
            "uidgid" => self.ids(section),
            _ => self.items(&section.items, path),
        }
    }

    /// Which link an `interface` section is about. Corosync 2 called it `ringnumber`.
    fn link_number(&mut self, section: &Section) -> u8 {
        let key = section.items.iter().rev().find_map(|item| match item {
            Item::Key(key) if matches!(key.name.as_str(), "linknumber" | "ringnumber") => Some(key),
            _ => None,
        });
        let Some(key) = key else { return 0 };
        match key.value.parse() {
            Ok(link) if link < 8 => link,
            _ => {
                let accepted = "a whole number from 0 to 7";
                let wrong = "is not the number of a link";
                self.report.value("totem.interface.linknumber", key.span.clone(), wrong, accepted);
                0
            }
        }
    }

    /// A section whose name in the map comes from one of its keys.
    fn named(&mut self, section: &Section, path: &str, by: &str) {
        let value = |name: &str| {
            section.items.iter().rev().find_map(|item| match item {
                Item::Key(key) if key.name == name && !key.value.is_empty() => Some(&key.value),
                _ => None,
            })
        };
        let Some(name) = value(by) else {
            let accepted = format!("{by}: NAME");
            self.report.at(&format!("{path}.{by}"), section.offset, "missing", accepted);
            return;
        };
        let path = match (by, name.as_str(), value("subsys")) {
            ("name", "corosync", None) => "logging".to_owned(),
            ("name", "corosync", Some(subsys)) => format!("logging.logger_subsys.{subsys}"),
            ("name", name, Some(subsys)) => format!("{path}.{name}.{subsys}"),
            (_, name, _) => format!("{path}.{name}"),
        };
        self.items(&section.items, &path);
    }

    /// `uidgid`: users and groups by name or number.
    fn ids(&mut self, section: &Section) {
        for item in &section.items {
            match item {
                Item::Key(key) if matches!(key.name.as_str(), "uid" | "gid") => self.id(key),
                Item::Key(Key { name, offset, .. })
                | Item::Section(Section { name, offset, .. }) => {
                    let key = format!("uidgid.{name}");
                    self.report.at(&key, *offset, "unknown key", "uid, gid");
                }
            }
        }
    }

    fn id(&mut self, key: &Key) {
        let (kind, found) = match key.name.as_str() {
            "uid" => ("user", self.host.user(&key.value)),
            _ => ("group", self.host.group(&key.value)),
        };
        let Some(id) = key.value.parse::<u32>().ok().or(found) else {
            let wrong = format!("no {kind} of this name is known here");
            let name = format!("uidgid.{}", key.name);
            self.report.value(&name, key.span.clone(), wrong, format!("a {kind}'s name or number"));
            return;
        };
        let name = format!("uidgid.config.{}.{id}", key.name);
        self.insert(name, ConfValue::U8(1), key);
    }

    fn insert(&mut self, name: String, value: ConfValue, key: &Key) {
        let (text, offset, span) = (key.value.clone(), key.offset, key.span.clone());
        self.flat.entries.insert(name, Entry { value, text, offset, span });
    }

    fn put(&mut self, name: &str, key: &Key) {
        if matches!(key.name.as_str(), "linknumber" | "ringnumber")
            && name.starts_with("totem.interface.")
        {
            return;
        }
        // Elements of XML may have names that Corosync's map cannot hold.
        let known = |c: char| c.is_ascii_alphanumeric() || "._-/:".contains(c);
        if let Some(c) = name.chars().find(|&c| !known(c)) {
            let wrong = format!("name {name:?} has the character {c:?}");
            self.report.at("", key.offset, wrong, "letters, digits and \"._-/:\"");
            return;
        }
        if name.len() > NAME_BYTES_MAX {
            let wrong = format!("the name has {} bytes with its sections", name.len());
            self.report.at("", key.offset, wrong, format!("at most {NAME_BYTES_MAX} bytes"));
            return;
        }
        let known = keys::find(name);
        let kind = known.map_or(Type::Text, |known| known.kind);
        match typed(kind, &key.value) {
            Ok(value) => self.insert(name.to_owned(), value, key),
            Err(wrong) => {
                self.report.value(name, key.span.clone(), wrong, kind.accepted());
                return;
            }
        }
        if let Some(text) = keys::warning(name, known) {
            let line = self.report.position(key.offset).0;
            let (file, key) = (self.file.to_owned(), name.to_owned());
            self.warnings.push(Warning { file, line, key, text });
        }
    }
}

/// Reads a value as its key's type.
pub(crate) fn typed(kind: Type, text: &str) -> Result<ConfValue, String> {
    fn number<N: std::str::FromStr>(text: &str) -> Result<N, String> {
        text.parse().map_err(|_| match text {
            "" => "is empty".to_owned(),
            _ => "is not a whole number in range".to_owned(),
        })
    }
    match kind {
        Type::U8 => number(text).map(ConfValue::U8),
        Type::U16 => number(text).map(ConfValue::U16),
        Type::U32 => number(text).map(ConfValue::U32),
        Type::U64 => number(text).map(ConfValue::U64),
        Type::I32 => number(text).map(ConfValue::I32),
        Type::Flag => match number(text)? {
            flag @ 0..=1 => Ok(ConfValue::U8(flag)),
            _ => Err("is neither 0 nor 1".to_owned()),
        },
        Type::Words(words) if !words.contains(&text) => {
            Err("is not a word this key knows".to_owned())
        }
        Type::Words(_) | Type::Text => Ok(ConfValue::Text(text.to_owned())),
    }
}
