//! Types of values: how each is read, and how "what is accepted" is said.

use std::net::SocketAddr;

use toml::de::{DeInteger, DeValue};

/// The type of a key's value, with its bounds.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A text of at most so many bytes, not empty, without control characters.
    Text {
        /// Bytes at most.
        bytes_max: usize,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of these words.
    Choices {
        /// The words.
        words: &'static [&'static str],
        /// Items at most.
        items_max: usize,
    },
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Integer {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// A time with a unit, kept in nanoseconds.
    Duration {
        /// Shortest, nanoseconds.
        min_ns: u64,
        /// Longest, nanoseconds.
        max_ns: u64,
    },
    /// A number of bytes, plain or with a unit.
    Size {
        /// Least.
        min: u64,
        /// Most.
        max: u64,
    },
    /// An IP address with a port.
    Address,
    /// A list of IP addresses with ports.
    Addresses {
        /// Items at most.
        items_max: usize,
    },
    /// A list of whole numbers.
    Numbers {
        /// Items at most.
        items_max: usize,
        /// Largest.
        max: u32,
    },
    /// A path; relative ones start at the configuration file's directory.
    Path,
    /// A list of user or group ids.
    Ids,
    /// A share in percent.
    Percent,
}

/// A value that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// One of the words a key accepts beside its kind, or of a [`Kind::Choice`].
    Word(&'static str),
    /// A list of words of a [`Kind::Choices`].
    Words(Vec<&'static str>),
    /// A text or path.
    Text(String),
    /// `true` or `false`.
    Bool(bool),
    /// A number, nanoseconds, bytes or percent, as the kind says.
    Number(u64),
    /// An address with a port.
    Address(SocketAddr),
    /// A list of addresses with ports.
    Addresses(Vec<SocketAddr>),
    /// A list of ids or numbers.
    Ids(Vec<u32>),
}

/// Units of time and their nanoseconds, longest first.
const TIMES: [(&str, u64); 4] = [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1000), ("ns", 1)];

/// Units of memory and their bytes.
const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Most ids in a list.
const IDS_MAX: usize = 1024;

/// Reads a value of `kind`, or one of `words`. The error says what is wrong.
pub(crate) fn read(
    kind: Kind,
    words: &'static [&'static str],
    found: &DeValue<'_>,
) -> Result<Value, String> {
    if let Some(text) = found.as_str()
        && let Some(word) = words.iter().find(|word| **word == text)
    {
        return Ok(Value::Word(word));
    }
    match kind {
        Kind::Text { bytes_max } => text(string(found)?, bytes_max).map(Value::Text),
        Kind::Choice(choices) => choice(string(found)?, choices),
        Kind::Choices { words, items_max } => chosen(found, words, items_max).map(Value::Words),
        Kind::Bool => found.as_bool().map(Value::Bool).ok_or_else(|| wrong_type(found)),
        Kind::Integer { min, max } => bounded(integer(found)?, min, max, &|n| n.to_string()),
        Kind::Percent => bounded(integer(found)?, 1, 100, &|n| n.to_string()),
        Kind::Duration { min_ns, max_ns } => {
            let text = string(found).map_err(|wrong| format!("{wrong}; a duration has a unit"))?;
            bounded(scaled(text, &TIMES, "a duration")?, min_ns, max_ns, &duration_text)
        }
        Kind::Size { min, max } => bounded(size(found)?, min, max, &size_text),
        Kind::Address => address(string(found)?).map(Value::Address),
        Kind::Path => text(string(found)?, 4096).map(Value::Text),
        Kind::Ids => numbers(found, "id", IDS_MAX, u32::MAX).map(Value::Ids),
        Kind::Numbers { items_max, max } => {
            numbers(found, "number", items_max, max).map(Value::Ids)
        }
        Kind::Addresses { items_max } => addresses(found, items_max).map(Value::Addresses),
    }
}

/// What a key of this kind accepts, in words.
pub(crate) fn accepted(kind: Kind, words: &[&str]) -> String {
    let kind = match kind {
        Kind::Text { bytes_max } => format!("a text of 1 to {bytes_max} bytes"),
        Kind::Choice(choices) => quoted(choices),
        Kind::Choices { words, items_max } => {
            format!("a list of at most {items_max} of {}", quoted(words))
        }
        Kind::Bool => "true or false".to_owned(),
        Kind::Integer { min, max } => format!("a whole number from {min} to {max}"),
        Kind::Percent => "a whole number from 1 to 100".to_owned(),
        Kind::Duration { min_ns, max_ns } => format!(
            "a duration from \"{}\" to \"{}\"",
            duration_text(min_ns),
            duration_text(max_ns)
        ),
        Kind::Size { min, max } => {
            format!("a size from \"{}\" to \"{}\"", size_text(min), size_text(max))
        }
        Kind::Address => "\"IPV4:PORT\" or \"[IPV6]:PORT\" with a port from 1 to 65535".to_owned(),
        Kind::Path => "a path".to_owned(),
        Kind::Ids => format!("a list of at most {IDS_MAX} ids from 0 to {}", u32::MAX),
        Kind::Numbers { items_max, max } => {
            format!("a list of at most {items_max} whole numbers from 0 to {max}")
        }
        Kind::Addresses { items_max } => {
            format!("a list of at most {items_max} addresses, \"IPV4:PORT\" or \"[IPV6]:PORT\"")
        }
    };
    if words.is_empty() { kind } else { format!("{}, or {kind}", quoted(words)) }
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}

fn wrong_type(found: &DeValue<'_>) -> String {
    format!("is of type {}", found.type_str())
}

fn string<'v>(found: &'v DeValue<'_>) -> Result<&'v str, String> {
    found.as_str().ok_or_else(|| wrong_type(found))
}

fn text(found: &str, bytes_max: usize) -> Result<String, String> {
    if found.is_empty() {
        return Err("is empty".to_owned());
    }
    if found.len() > bytes_max {
        return Err(format!("has {} bytes", found.len()));
    }
    if found.chars().any(char::is_control) {
        return Err("has control characters".to_owned());
    }
    Ok(found.to_owned())
}

fn choice(found: &str, choices: &'static [&'static str]) -> Result<Value, String> {
    match choices.iter().find(|choice| **choice == found) {
        Some(word) => Ok(Value::Word(word)),
        None => Err("is not a word this key knows".to_owned()),
    }
}

fn chosen(
    found: &DeValue<'_>,
    words: &'static [&'static str],
    items_max: usize,
) -> Result<Vec<&'static str>, String> {
    items(found, "word", items_max)?
        .map(|item| {
            let text = string(item).map_err(|wrong| format!("holds what {wrong}"))?;
            let word = words.iter().find(|word| **word == text);
            word.copied().ok_or_else(|| format!("holds {text:?}, which is not one of its words"))
        })
        .collect()
}

fn integer(found: &DeValue<'_>) -> Result<u64, String> {
    let integer = found.as_integer().ok_or_else(|| wrong_type(found))?;
    whole(integer)
}

fn whole(integer: &DeInteger<'_>) -> Result<u64, String> {
    if integer.as_str().starts_with('-') {
        return Err("is negative".to_owned());
    }
    u64::from_str_radix(integer.as_str(), integer.radix()).map_err(|_| "is too large".to_owned())
}

fn bounded(value: u64, min: u64, max: u64, show: &dyn Fn(u64) -> String) -> Result<Value, String> {
    if value < min {
        Err(format!("is below {}", show(min)))
    } else if value > max {
        Err(format!("is above {}", show(max)))
    } else {
        Ok(Value::Number(value))
    }
}

fn size(found: &DeValue<'_>) -> Result<u64, String> {
    match found {
        DeValue::Integer(integer) => whole(integer),
        _ => scaled(string(found)?, &SIZES, "a size"),
    }
}

/// A whole number directly followed by a unit.
fn scaled(text: &str, units: &[(&str, u64)], what: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let known = || units.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    if number.is_empty() {
        return Err(format!("is not {what}: it starts with no whole number"));
    }
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        return Err(match unit {
            "" => format!("has no unit ({})", known()),
            unit => format!("has the unknown unit {unit:?} (known: {})", known()),
        });
    };
    let number: u64 = number.parse().map_err(|_| "is too large".to_owned())?;
    number.checked_mul(*factor).ok_or_else(|| "is too large".to_owned())
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr =
        text.parse().map_err(|_| "is not an IP address with a port".to_owned())?;
    if address.port() == 0 { Err("has port 0".to_owned()) } else { Ok(address) }
}

/// The items of a list that is not too long.
fn items<'v>(
    found: &'v DeValue<'_>,
    what: &str,
    items_max: usize,
) -> Result<impl Iterator<Item = &'v DeValue<'v>>, String> {
    let list = found.as_array().ok_or_else(|| wrong_type(found))?;
    if list.len() > items_max {
        return Err(format!("has {} {what}s", list.len()));
    }
    Ok(list.iter().map(toml::Spanned::get_ref))
}

fn numbers(
    found: &DeValue<'_>,
    what: &str,
    items_max: usize,
    max: u32,
) -> Result<Vec<u32>, String> {
    items(found, what, items_max)?
        .map(|item| {
            let number = integer(item).map_err(|wrong| format!("holds what {wrong}"))?;
            let article = if what == "id" { "an" } else { "a" };
            let fits = u32::try_from(number).ok().filter(|&number| number <= max);
            fits.ok_or_else(|| format!("holds {number}, which is too large for {article} {what}"))
        })
        .collect()
}

fn addresses(found: &DeValue<'_>, items_max: usize) -> Result<Vec<SocketAddr>, String> {
    items(found, "addresse", items_max)?
        .map(|item| {
            let text = string(item).map_err(|wrong| format!("holds what {wrong}"))?;
            address(text).map_err(|wrong| format!("holds {text:?}, which {wrong}"))
        })
        .collect()
}

/// A value as TOML, in the way its kind is written.
pub(crate) fn written(kind: Kind, value: &Value) -> String {
    let string = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let list = |items: Vec<String>| format!("[{}]", items.join(", "));
    match (kind, value) {
        (_, Value::Word(word)) => string(word),
        (_, Value::Words(words)) => list(words.iter().map(|word| string(word)).collect()),
        (_, Value::Text(text)) => string(text),
        (_, Value::Bool(truth)) => truth.to_string(),
        (Kind::Duration { .. }, Value::Number(ns)) => string(&duration_text(*ns)),
        (Kind::Size { .. }, Value::Number(bytes)) => string(&size_text(*bytes)),
        (_, Value::Number(number)) => number.to_string(),
        (_, Value::Address(address)) => string(&address.to_string()),
        (_, Value::Addresses(addresses)) => {
            list(addresses.iter().map(|address| string(&address.to_string())).collect())
        }
        (_, Value::Ids(ids)) => list(ids.iter().map(u32::to_string).collect()),
    }
}

/// A duration with the largest unit that keeps it whole.
pub(crate) fn duration_text(ns: u64) -> String {
    unit_text(ns, &TIMES)
}

/// A size with the largest unit that keeps it whole.
pub(crate) fn size_text(bytes: u64) -> String {
    unit_text(bytes, &SIZES)
}

fn unit_text(value: u64, units: &[(&str, u64)]) -> String {
    let fits = |factor: u64| value >= factor && value.is_multiple_of(factor);
    let (name, factor) =
        units.iter().find(|(_, factor)| fits(*factor)).unwrap_or(&units[units.len() - 1]);
    format!("{}{name}", value / factor)
}
