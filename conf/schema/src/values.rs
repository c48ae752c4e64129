//! Reading a document by the names of keys.

use std::path::{Path, PathBuf};

use crate::keys::find;
use crate::kind::Value;
use crate::reader::Document;

/// Values of a document by name, in the types of the model. Where a value is bad (and reported), the key's
/// default or its smallest value stands in, so that the other checks can go on.
pub(crate) struct Values<'d> {
    pub(crate) document: &'d Document,
    pub(crate) dir: &'d Path,
}

impl Values<'_> {
    /// The value, or its default; `None` for an optional key that is missing.
    pub(crate) fn value(&self, section: &'static str, name: &'static str) -> Option<Value> {
        debug_assert!(
            find(section, name).is_some(),
            "{section}.{name} is not in the table of keys"
        );
        if let Some(found) = self.document.table(section).get(name) {
            return Some(found.value.clone());
        }
        let key = find(section, name)?;
        match key.presence {
            crate::keys::Presence::Default(text) => Some(key.default_value(text)),
            _ => None,
        }
    }

    pub(crate) fn number(&self, section: &'static str, name: &'static str) -> u64 {
        match self.value(section, name) {
            Some(Value::Number(number)) => number,
            _ => 0,
        }
    }

    pub(crate) fn word(&self, section: &'static str, name: &'static str) -> &'static str {
        match self.value(section, name) {
            Some(Value::Word(word)) => word,
            _ => "",
        }
    }

    pub(crate) fn words(&self, section: &'static str, name: &'static str) -> Vec<&'static str> {
        match self.value(section, name) {
            Some(Value::Words(words)) => words,
            _ => Vec::new(),
        }
    }

    pub(crate) fn text(&self, section: &'static str, name: &'static str) -> Option<String> {
        match self.value(section, name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn path(&self, section: &'static str, name: &'static str) -> Option<PathBuf> {
        self.text(section, name).map(|text| self.dir.join(text))
    }

    pub(crate) fn ids(&self, section: &'static str, name: &'static str) -> Vec<u32> {
        match self.value(section, name) {
            Some(Value::Ids(ids)) => ids,
            _ => Vec::new(),
        }
    }
}
