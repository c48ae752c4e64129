//! `corosync-cmapctl`: the configuration map and the map of statistics.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::time::Duration;

use services::cmap::{self, Change, Events, Map, Value};
use services::{Answer, Failure, Notice, Request};

use crate::about::{About, flag, valued};
use crate::engine::{Ask, Event};
use crate::errors::name;
use crate::seat::{Seat, Stop, Try};
use crate::{FAILURE, SUCCESS, options};

/// What this tool accepts.
pub(crate) const ABOUT: About = About {
    name: "corosync-cmapctl",
    about: "Shows and changes keys of the configuration map.",
    words: "prefix|key ...",
    options: &[
        flag('g', "print these keys"),
        flag('s', "set: key type value"),
        flag('d', "delete these keys"),
        flag('D', "delete all keys that begin with a prefix"),
        flag('t', "print every change of these keys until \"q\" is typed"),
        flag('T', "print every change of keys that begin with a prefix"),
        valued(
            'p',
            "file",
            "lines of: key type value, or ^key to delete, or ^^prefix to delete all",
        ),
        valued('C', "knet|ipc|totem|schedmiss|all", "clear statistics"),
        valued('m', "icmap|stats", "which map: configuration (default) or statistics"),
        flag('b', "show binary values"),
        flag('q', "with -g: values only"),
        flag('h', "this text"),
    ],
    notes: "Without an option it prints all keys, or those that begin with a prefix.\n\
            Types: i8, u8, i16, u16, i32, u32, i64, u64, flt, dbl, str, bin (a file, or - for standard input).",
};

/// How often a busy engine is asked again, once a second.
const TRIES_MAX: u32 = 10;

/// What values look like.
#[derive(Clone, Copy, Default)]
struct Style {
    binary: bool,
    quiet: bool,
}

enum Action {
    Print,
    Get,
    Set,
    Delete,
    DeletePrefix,
    Load(String),
    Clear(String),
    Track { prefix: bool },
}

pub(crate) fn run(args: &[OsString], seat: &mut dyn Seat) -> Try<u8> {
    let options = options::read(&ABOUT, args)?;
    let (mut action, mut map, mut style) = (Action::Print, Map::Config, Style::default());
    for (letter, value) in options.letters {
        match letter {
            'h' => {
                seat.print(&ABOUT.help());
                return Ok(SUCCESS);
            }
            'b' => style.binary = true,
            'q' => style.quiet = true,
            'g' => action = Action::Get,
            's' => action = Action::Set,
            'd' => action = Action::Delete,
            'D' => action = Action::DeletePrefix,
            'p' => action = Action::Load(value),
            't' => action = Action::Track { prefix: false },
            'T' => action = Action::Track { prefix: true },
            'C' if matches!(value.as_str(), "knet" | "totem" | "ipc" | "schedmiss" | "all") => {
                action = Action::Clear(value);
                map = Map::Stats;
            }
            'C' => {
                let known = "'knet', 'totem', 'ipc', 'schedmiss' or 'all'";
                return Err(Stop(format!("argument to -C should be {known}")));
            }
            _ => {
                map = match value.as_str() {
                    "icmap" | "default" => Map::Config,
                    "stats" => Map::Stats,
                    _ => {
                        return Err(Stop(
                            "invalid map name, must be 'default', 'icmap' or 'stats'".into(),
                        ));
                    }
                };
            }
        }
    }
    let needs_words = !matches!(action, Action::Load(_) | Action::Clear(_) | Action::Print);
    if needs_words && options.words.is_empty() {
        return Err(Stop("Expected key after options".into()));
    }
    let mut engine = seat.connect().map_err(|failure| {
        Stop(format!("Failed to initialize the cmap API. Error {}", name(failure)))
    })?;
    let mut tool = Tool { engine: engine.as_mut(), seat, map, style };
    tool.act(action, &options.words)
}

struct Tool<'t> {
    engine: &'t mut dyn Ask,
    seat: &'t mut dyn Seat,
    map: Map,
    style: Style,
}

impl Tool<'_> {
    fn act(&mut self, action: Action, words: &[String]) -> Try<u8> {
        match action {
            Action::Print if words.is_empty() => {
                return Ok(if self.print_all("")? { SUCCESS } else { FAILURE });
            }
            Action::Print => {
                let mut found = false;
                for prefix in words {
                    found |= self.print_all(prefix)?;
                }
                return Ok(if found { SUCCESS } else { FAILURE });
            }
            Action::Get => {
                for key in words {
                    let value = self.value(key).map_err(|failure| {
                        Stop(format!("Can't get key {key}. Error {}", name(failure)))
                    })?;
                    self.print(key, &value);
                }
            }
            Action::Set => match words {
                [key, kind, value, ..] => self.set(key, kind, value)?,
                _ => return Err(Stop("At least 3 parameters are expected for set".into())),
            },
            Action::Delete => {
                for key in words {
                    self.delete(key).map_err(|failure| {
                        Stop(format!("Can't delete key {key}. Error {}", name(failure)))
                    })?;
                }
            }
            Action::DeletePrefix => {
                for prefix in words {
                    self.delete_all(prefix)?;
                }
            }
            Action::Load(file) => self.load(&file)?,
            Action::Clear(what) => {
                let (map, key) = (Map::Stats, format!("stats.clear.{what}"));
                let value = Value::U32(1);
                // As Corosync's tool, this one does not say whether there was anything to clear.
                _ = self.engine.act(&Request::Cmap(cmap::Request::Set { map, key, value }));
            }
            Action::Track { prefix } => self.track(words, prefix)?,
        }
        Ok(SUCCESS)
    }

    /// A value; asks a busy engine again.
    fn value(&mut self, key: &str) -> Result<Value, Failure> {
        for _ in 0..TRIES_MAX {
            match self.engine.get(self.map, key) {
                Err(Failure::TryAgain) => std::thread::sleep(Duration::from_secs(1)),
                other => return other,
            }
        }
        self.engine.get(self.map, key)
    }

    /// Prints the keys that begin so; whether there were any.
    fn print_all(&mut self, prefix: &str) -> Try<bool> {
        let keys = self.keys(prefix)?;
        for key in &keys {
            match self.value(key) {
                Ok(value) => self.print(key, &value),
                Err(failure) => {
                    let line = format!("Can't get value of {key}. Error {}", name(failure));
                    self.seat.complain(&line);
                }
            }
        }
        Ok(!keys.is_empty())
    }

    fn keys(&mut self, prefix: &str) -> Try<Vec<String>> {
        self.engine.keys(self.map, prefix).map_err(|failure| {
            Stop(format!("Failed to initialize iteration. Error {}", name(failure)))
        })
    }

    fn print(&mut self, key: &str, value: &Value) {
        let (kind, text) = (kind_of(value), shown(value, self.style));
        let mut line = match &text {
            _ if self.style.quiet => Vec::new(),
            Some(_) => format!("{key} ({kind}) = ").into_bytes(),
            None => format!("{key} ({kind})").into_bytes(),
        };
        line.extend(text.unwrap_or_default());
        line.push(b'\n');
        self.seat.print_bytes(&line);
    }

    fn set(&mut self, key: &str, kind: &str, text: &str) -> Try<()> {
        let value = self.read(kind, text)?;
        let (map, name_of_key) = (self.map, key.to_owned());
        let request = Request::Cmap(cmap::Request::Set { map, key: name_of_key, value });
        self.engine
            .act(&request)
            .map_err(|failure| Stop(format!("Failed to set key {key}. Error {}", name(failure))))
    }

    /// A value of this type from its text.
    fn read(&mut self, kind: &str, text: &str) -> Try<Value> {
        fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
            text.trim_start().trim_start_matches('+').parse().ok()
        }
        let value = match kind {
            "i8" => number(text).map(Value::I8),
            "u8" => number(text).map(Value::U8),
            "i16" => number(text).map(Value::I16),
            "u16" => number(text).map(Value::U16),
            "i32" => number(text).map(Value::I32),
            "u32" => number(text).map(Value::U32),
            "i64" => number(text).map(Value::I64),
            "u64" => number(text).map(Value::U64),
            "flt" => number(text).map(Value::F32),
            "dbl" => number(text).map(Value::F64),
            "str" => Some(Value::Text(text.as_bytes().to_vec())),
            "bin" => Some(Value::Binary(self.file(text)?)),
            _ => return Err(Stop(format!("Unknown type {kind}"))),
        };
        value.ok_or_else(|| {
            // A number that is none is told from one that is too large.
            match text.parse::<i128>() {
                Ok(_) => Stop(format!("{text} is not valid {kind} integer")),
                Err(_) => Stop(format!("{text} is not valid {kind} type value")),
            }
        })
    }

    fn file(&mut self, file: &str) -> Try<Vec<u8>> {
        let read = if file == "-" { self.seat.input() } else { std::fs::read(file) };
        read.map_err(|error| Stop(format!("{file}: {error}")))
    }

    fn delete(&mut self, key: &str) -> Result<(), Failure> {
        let (map, key) = (self.map, key.to_owned());
        self.engine.act(&Request::Cmap(cmap::Request::Delete { map, key }))
    }

    fn delete_all(&mut self, prefix: &str) -> Try<()> {
        for key in self.keys(prefix)? {
            if let Err(failure) = self.delete(&key) {
                self.seat.complain(&format!("Can't delete key {key}. Error {}", name(failure)));
            }
        }
        Ok(())
    }

    /// Lines of a file: what to set, `^` before what to delete, `^^` before prefixes of it.
    fn load(&mut self, file: &str) -> Try<()> {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) => {
                self.seat.complain(&format!("Couldn't open file.: {error}"));
                return Ok(());
            }
        };
        for line in text.lines().map(str::trim_start) {
            let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
            let Some(key) = words.next().filter(|key| !key.starts_with('#')) else { continue };
            if let Some(prefix) = key.strip_prefix("^^") {
                self.delete_all(prefix)?;
            } else if let Some(key) = key.strip_prefix('^') {
                if let Err(failure) = self.delete(key) {
                    self.seat.complain(&format!("Can't delete key {key}. Error {}", name(failure)));
                }
            } else if let (Some(kind), Some(value)) = (words.next(), words.next()) {
                self.set(key, kind, value)?;
            } else {
                return Err(Stop(format!("Both type and value for key {key} are required")));
            }
        }
        Ok(())
    }

    fn track(&mut self, keys: &[String], prefix: bool) -> Try<()> {
        let events = Events { delete: true, modify: true, add: true, prefix };
        for key in keys {
            let request = cmap::Request::Track { map: self.map, key: key.clone(), events };
            match self.engine.ask(&Request::Cmap(request)) {
                Ok(Answer::Cmap(cmap::Answer::Tracking { .. })) => {}
                Ok(_) => {
                    return Err(Stop(
                        "Failed to add tracking function. Error CS_ERR_LIBRARY".into(),
                    ));
                }
                Err(failure) => {
                    let failure = name(failure);
                    return Err(Stop(format!("Failed to add tracking function. Error {failure}")));
                }
            }
        }
        self.seat.print("Type \"q\" to finish\n");
        loop {
            match self.engine.next(true) {
                Ok(Event::Notice(Notice::Cmap(notice))) => self.changed(&notice),
                Ok(Event::Notice(_)) => {}
                Ok(Event::Input(line)) => {
                    if line.is_none_or(|line| line.starts_with('q')) {
                        return Ok(());
                    }
                }
                Err(failure) => {
                    self.seat.complain(&format!("Dispatch error {}", name(failure)));
                    return Ok(());
                }
            }
        }
    }

    fn changed(&mut self, notice: &cmap::Notice) {
        let (what, value) = match notice.change {
            Change::Add => ("create> ", &notice.new),
            Change::Modify => ("modify> ", &notice.new),
            Change::Delete => ("delete> ", &notice.old),
        };
        self.seat.print(what);
        match value {
            Some(value) => self.print(&notice.key, value),
            None => self.seat.print(&format!("{}\n", notice.key)),
        }
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::I8(_) => "i8",
        Value::U8(_) => "u8",
        Value::I16(_) => "i16",
        Value::U16(_) => "u16",
        Value::I32(_) => "i32",
        Value::U32(_) => "u32",
        Value::I64(_) => "i64",
        Value::U64(_) => "u64",
        Value::F32(_) => "flt",
        Value::F64(_) => "dbl",
        Value::Text(_) => "str",
        Value::Binary(_) => "bin",
    }
}

/// A value as it is printed; `None`: a binary one that is not to be shown.
fn shown(value: &Value, style: Style) -> Option<Vec<u8>> {
    let text = match value {
        Value::I8(v) => v.to_string(),
        Value::U8(v) => v.to_string(),
        Value::I16(v) => v.to_string(),
        Value::U16(v) => v.to_string(),
        Value::I32(v) => v.to_string(),
        Value::U32(v) => v.to_string(),
        Value::I64(v) => v.to_string(),
        Value::U64(v) => v.to_string(),
        Value::F32(v) => format!("{v:.6}"),
        Value::F64(v) => format!("{v:.6}"),
        Value::Text(bytes) => return Some(bytes.clone()),
        Value::Binary(bytes) if style.binary && bytes.is_empty() => "*empty*".to_owned(),
        Value::Binary(bytes) if style.binary => escaped(bytes),
        Value::Binary(_) => return None,
    };
    Some(text.into_bytes())
}

/// Printable characters as they are, all others as `\xNN`, a backslash twice.
pub(crate) fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b' '..0x7f => text.push(byte.into()),
            _ => _ = write!(text, "\\x{byte:02X}"),
        }
    }
    text
}
