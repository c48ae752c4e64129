//! Log lines, written by the control thread: text for people or one JSON object per line.
//!
//! The hot thread never formats: it hands over [`Trace`] values. A line that cannot be written
//! (full disk, closed pipe) is counted and lost; the engine goes on, and says how many were lost
//! once lines can be written again.

use std::fmt::{Display, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use schema::{LogFormat, LogLevel};
use wire::trace::{Level, Trace};

use crate::clock::{wall_ns, wall_text};
use crate::names;

/// A value in a line.
pub(crate) enum Field<'a> {
    /// A number.
    Number(u64),
    /// A text.
    Text(&'a dyn Display),
}

/// Where lines go.
pub(crate) struct Log {
    config: schema::Log,
    node: u32,
    out: Box<dyn Write + Send>,
    /// The line being made; kept for its memory.
    line: String,
    lost: u64,
}

impl Log {
    /// Opens the log.
    ///
    /// # Errors
    /// When its file cannot be opened.
    pub(crate) fn open(config: &schema::Log, node: u32) -> io::Result<Self> {
        let out = open_out(config.file.as_deref())?;
        Ok(Self { config: config.clone(), node, out, line: String::new(), lost: 0 })
    }

    /// Opens the file anew, as after a rotation. If that fails the old one stays in use.
    pub(crate) fn reopen(&mut self) {
        match open_out(self.config.file.as_deref()) {
            Ok(out) => self.out = out,
            Err(error) => self.say(
                Level::Error,
                "log file not opened anew; the old one stays in use",
                &[("error", Field::Text(&error))],
            ),
        }
    }

    /// Takes over other settings. If a new file cannot be opened the old one stays in use, which it says.
    pub(crate) fn set_config(&mut self, config: &schema::Log) {
        let moved = self.config.file != config.file;
        self.config.clone_from(config);
        if moved {
            self.reopen();
        }
    }

    /// Lines that could not be written so far.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    /// Writes an event of the hot thread.
    pub(crate) fn trace(&mut self, wall_ns: u64, trace: &Trace) {
        if !self.wants(trace.level) {
            return;
        }
        let values = trace.code.arg_names().iter().zip(trace.args);
        let texts: Vec<_> = values
            .map(|(name, value)| (*name, value, names::arg_text(trace.code, name, value)))
            .collect();
        let fields: Vec<(&str, Field<'_>)> = texts
            .iter()
            .map(|(name, value, text)| match text {
                Some(text) => (*name, Field::Text(text)),
                None => (*name, Field::Number(*value)),
            })
            .collect();
        self.write(wall_ns, trace.level, trace.code.text(), &fields);
    }

    /// Writes something that the control thread has to say.
    pub(crate) fn say(&mut self, level: Level, event: &str, fields: &[(&str, Field<'_>)]) {
        if self.wants(level) {
            self.write(wall_ns(), level, event, fields);
        }
    }

    fn wants(&self, level: Level) -> bool {
        let least = match self.config.level {
            LogLevel::Error => Level::Error,
            LogLevel::Warn => Level::Warn,
            LogLevel::Info => Level::Info,
            LogLevel::Debug => Level::Debug,
        };
        level >= least
    }

    fn write(&mut self, wall_ns: u64, level: Level, event: &str, fields: &[(&str, Field<'_>)]) {
        let mut line = std::mem::take(&mut self.line);
        if self.lost > 0 {
            let lost = self.lost;
            let fields = [("lines", Field::Number(lost))];
            self.format(&mut line, wall_ns, Level::Warn, "log lines were lost", &fields);
        }
        self.format(&mut line, wall_ns, level, event, fields);
        match self.out.write_all(line.as_bytes()).and_then(|()| self.out.flush()) {
            Ok(()) => self.lost = 0,
            Err(_) => self.lost += 1,
        }
        line.clear();
        self.line = line;
    }

    fn format(
        &self,
        line: &mut String,
        wall_ns: u64,
        level: Level,
        event: &str,
        fields: &[(&str, Field<'_>)],
    ) {
        match self.config.format {
            LogFormat::Text => text(line, wall_ns, level, self.node, event, fields),
            LogFormat::Json => json(line, wall_ns, level, self.node, event, fields),
        }
        line.push('\n');
    }
}

fn open_out(file: Option<&Path>) -> io::Result<Box<dyn Write + Send>> {
    Ok(match file {
        None => Box::new(io::stderr()),
        Some(path) => {
            let file: File = OpenOptions::new().create(true).append(true).mode(0o640).open(path)?;
            Box::new(file)
        }
    })
}

fn level_text(level: Level) -> &'static str {
    match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    }
}

/// `TIME LEVEL node N event key=value key="two words"`
fn text(
    line: &mut String,
    wall_ns: u64,
    level: Level,
    node: u32,
    event: &str,
    fields: &[(&str, Field<'_>)],
) {
    _ = write!(line, "{} {:<5} node {node} {event}", wall_text(wall_ns), level_text(level));
    for (name, field) in fields {
        match field {
            Field::Number(number) => _ = write!(line, " {name}={number}"),
            Field::Text(text) => {
                let text = text.to_string();
                // Quoted where it is more than a word: a line stays a line, whatever is in it.
                if text.is_empty() || text.contains(|c: char| !c.is_ascii_graphic() || c == '"') {
                    _ = write!(line, " {name}={text:?}");
                } else {
                    _ = write!(line, " {name}={text}");
                }
            }
        }
    }
}

fn json(
    line: &mut String,
    wall_ns: u64,
    level: Level,
    node: u32,
    event: &str,
    fields: &[(&str, Field<'_>)],
) {
    let mut object = serde_json::Map::new();
    object.insert("time".into(), wall_text(wall_ns).into());
    object.insert("level".into(), level_text(level).into());
    object.insert("node".into(), node.into());
    object.insert("event".into(), event.into());
    for (name, field) in fields {
        let value = match field {
            Field::Number(number) => (*number).into(),
            Field::Text(text) => text.to_string().into(),
        };
        object.insert((*name).to_owned(), value);
    }
    line.push_str(&serde_json::Value::Object(object).to_string());
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
