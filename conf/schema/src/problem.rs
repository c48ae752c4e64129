//! What is wrong with a configuration, and where.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::corosync::keys::SECRET;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Byte offset in the text; what problems are sorted by.
    pub offset: usize,
    /// Line, from 1; 0 when the problem is not at a place in the file.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// `section.key`, a section, or empty.
    pub key: String,
    /// The value as it stands in the file; empty when there is none.
    pub value: String,
    /// What is wrong with it.
    pub wrong: String,
    /// What would be accepted; empty when there is nothing to add.
    pub accepted: String,
}

/// All that is wrong with one file, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems {
    /// The file, as it was named to us.
    pub file: PathBuf,
    /// At least one.
    pub list: Vec<Problem>,
}

/// Longest value shown in a message, in characters.
const VALUE_CHARS_MAX: usize = 80;

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}:", self.file.display())?;
            if problem.line > 0 {
                write!(f, "{}:{}:", problem.line, problem.column)?;
            }
            write!(f, " {problem}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.key.is_empty(), self.value.is_empty()) {
            (true, _) => write!(f, "{}", self.wrong)?,
            (false, true) => write!(f, "{}: {}", self.key, self.wrong)?,
            (false, false) => write!(f, "{} = {}: {}", self.key, self.value, self.wrong)?,
        }
        if self.accepted.is_empty() { Ok(()) } else { write!(f, "; accepted: {}", self.accepted) }
    }
}

/// Collects problems while a text is read.
pub(crate) struct Report<'t> {
    text: &'t str,
    pub(crate) list: Vec<Problem>,
    /// What the text calls a key of the model, where it has a name of its own for it.
    names: HashMap<String, String>,
}

impl<'t> Report<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { text, list: Vec::new(), names: HashMap::new() }
    }

    /// From now on, problems with `key` are problems with `name`.
    pub(crate) fn rename(&mut self, key: String, name: String) {
        self.names.insert(key, name);
    }

    /// Notes a problem with `key` whose value stands at `span`.
    pub(crate) fn value(
        &mut self,
        key: &str,
        span: Range<usize>,
        wrong: impl Into<String>,
        accepted: impl Into<String>,
    ) {
        let secret = SECRET.iter().any(|secret| key.ends_with(secret));
        let value = if secret { String::new() } else { self.shown(&span) };
        self.push(key, &value, span.start, wrong.into(), accepted.into());
    }

    /// Notes a problem at `offset` that is not about a value.
    pub(crate) fn at(
        &mut self,
        key: &str,
        offset: usize,
        wrong: impl Into<String>,
        accepted: impl Into<String>,
    ) {
        self.push(key, "", offset, wrong.into(), accepted.into());
    }

    fn push(&mut self, key: &str, value: &str, offset: usize, wrong: String, accepted: String) {
        let (line, column) = self.position(offset);
        let key = self.names.get(key).map_or(key, String::as_str).to_owned();
        let value = value.to_owned();
        self.list.push(Problem { offset, line, column, key, value, wrong, accepted });
    }

    fn shown(&self, span: &Range<usize>) -> String {
        let raw = self.text.get(span.clone()).unwrap_or_default();
        let mut chars = raw.chars().map(|c| if c.is_control() { ' ' } else { c });
        let mut shown: String = chars.by_ref().take(VALUE_CHARS_MAX).collect();
        if chars.next().is_some() {
            shown.push_str("...");
        }
        shown
    }

    /// Line and column (in characters) of a byte offset, both from 1.
    pub(crate) fn position(&self, offset: usize) -> (usize, usize) {
        let bytes = &self.text.as_bytes()[..offset.min(self.text.len())];
        let line_start = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        let line = bytes.iter().filter(|&&b| b == b'\n').count() + 1;
        (line, String::from_utf8_lossy(&bytes[line_start..]).chars().count() + 1)
    }

    /// The problems in the order of the file, or nothing.
    pub(crate) fn finish(mut self, file: &Path) -> Result<(), Problems> {
        if self.list.is_empty() {
            return Ok(());
        }
        self.list.sort_by_key(|problem| problem.offset);
        Err(Problems { file: file.to_owned(), list: self.list })
    }
}
