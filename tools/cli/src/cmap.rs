//! `synchrotron cmap`: the configuration map and the statistics of a node.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value as Json, json};
use services::cmap::{Answer, Change, Events, Map, Notice, Request, Value};
use services::{Answer as Any, Client, Failure};

use crate::engine::Engine;

/// How long the engine may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Options of `cmap`.
#[derive(Args)]
pub(crate) struct CmapArgs {
    #[command(flatten)]
    engine: Engine,
    /// The statistics instead of the configuration.
    #[arg(long, global = true)]
    stats: bool,
    #[command(subcommand)]
    command: Cmap,
}

#[derive(Subcommand)]
enum Cmap {
    /// Print the value of a key.
    Get {
        /// The key.
        key: String,
    },
    /// Set a key, making it if need be.
    Set {
        /// The key.
        key: String,
        /// The value's type.
        kind: Kind,
        /// The value; of a binary one hexadecimal digits.
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Remove a key.
    Delete {
        /// The key.
        key: String,
    },
    /// Print all keys that begin so, with their values.
    List {
        /// How they begin; without it all.
        #[arg(default_value = "")]
        prefix: String,
    },
    /// Print what happens to a key, until interrupted.
    Track {
        /// The key.
        key: String,
        /// All keys that begin so.
        #[arg(long)]
        prefix: bool,
    },
}

/// Types of values.
#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    Float,
    Double,
    Str,
    Bin,
}

/// Does what is asked for.
pub(crate) fn run(options: &CmapArgs, as_json: bool) -> anyhow::Result<()> {
    let mut client = Client::connect(&options.engine.socket, TIMEOUT)?;
    let map = if options.stats { Map::Stats } else { Map::Config };
    match &options.command {
        Cmap::Get { key } => {
            let value = get(&mut client, map, key)?;
            print_entry(as_json, key, &value);
            Ok(())
        }
        Cmap::Set { key, kind, value } => {
            let value = parse(*kind, value)?;
            ask(&mut client, key, &Request::Set { map, key: key.clone(), value }).map(drop)
        }
        Cmap::Delete { key } => {
            ask(&mut client, key, &Request::Delete { map, key: key.clone() }).map(drop)
        }
        Cmap::List { prefix } => list(&mut client, map, prefix, as_json),
        Cmap::Track { key, prefix } => track(&mut client, map, key, *prefix, as_json),
    }
}

fn ask(client: &mut Client, key: &str, request: &Request) -> anyhow::Result<Any> {
    match client.ask(&services::Request::Cmap(request.clone())) {
        Err(services::Error::Failed(failure)) => bail!("{key}: {}", meaning(failure)),
        answer => answer.with_context(|| key.to_owned()),
    }
}

/// What a refusal means for a key.
fn meaning(failure: Failure) -> String {
    match failure {
        Failure::InvalidParameter => {
            "not a key (3 to 255 letters, digits and ._-/:), or not of that type".to_owned()
        }
        Failure::NotExist => "no such key".to_owned(),
        Failure::Access => "read-only, or this user may not change anything".to_owned(),
        other => other.to_string(),
    }
}

fn get(client: &mut Client, map: Map, key: &str) -> anyhow::Result<Value> {
    match ask(client, key, &Request::Get { map, key: key.to_owned() })? {
        Any::Cmap(Answer::Value(value)) => Ok(value),
        other => bail!("the engine's answer makes no sense: {other:?}"),
    }
}

fn list(client: &mut Client, map: Map, prefix: &str, as_json: bool) -> anyhow::Result<()> {
    let mut after = String::new();
    loop {
        let request = Request::List { map, prefix: prefix.to_owned(), after: after.clone() };
        let Any::Cmap(Answer::Keys(keys)) = ask(client, prefix, &request)? else {
            bail!("the engine's answer makes no sense")
        };
        let Some(last) = keys.last() else { return Ok(()) };
        after.clone_from(&last.name);
        for key in keys {
            // It may have gone since.
            if let Ok(value) = get(client, map, &key.name) {
                print_entry(as_json, &key.name, &value);
            }
        }
    }
}

fn track(
    client: &mut Client,
    map: Map,
    key: &str,
    prefix: bool,
    as_json: bool,
) -> anyhow::Result<()> {
    let events = Events { delete: true, modify: true, add: true, prefix };
    ask(client, key, &Request::Track { map, key: key.to_owned(), events })?;
    loop {
        client.wait(None).context("waiting for the engine")?;
        while let Some(notice) = client.next_notice()? {
            if let services::Notice::Cmap(notice) = notice {
                print_notice(as_json, &notice);
            }
        }
    }
}

fn print_notice(as_json: bool, notice: &Notice) {
    let what = match notice.change {
        Change::Add => "add",
        Change::Modify => "modify",
        Change::Delete => "delete",
    };
    let shown = |value: &Option<Value>| value.as_ref().map_or(Json::Null, |value| show(value).1);
    if as_json {
        let (old, new) = (shown(&notice.old), shown(&notice.new));
        println!("{}", json!({ "change": what, "key": notice.key, "old": old, "new": new }));
    } else {
        let text = |value: &Option<Value>| value.as_ref().map_or_else(|| "-".to_owned(), plain);
        println!("{what} {} {} -> {}", notice.key, text(&notice.old), text(&notice.new));
    }
}

fn print_entry(as_json: bool, key: &str, value: &Value) {
    let (kind, shown) = show(value);
    if as_json {
        println!("{}", json!({ "key": key, "type": kind, "value": shown }));
    } else {
        println!("{key} ({kind}) = {}", plain(value));
    }
}

/// Type and value. Bytes that are no text are shown as hexadecimal digits.
fn show(value: &Value) -> (&'static str, Json) {
    match value {
        Value::I8(v) => ("i8", json!(v)),
        Value::U8(v) => ("u8", json!(v)),
        Value::I16(v) => ("i16", json!(v)),
        Value::U16(v) => ("u16", json!(v)),
        Value::I32(v) => ("i32", json!(v)),
        Value::U32(v) => ("u32", json!(v)),
        Value::I64(v) => ("i64", json!(v)),
        Value::U64(v) => ("u64", json!(v)),
        Value::F32(v) => ("flt", json!(v)),
        Value::F64(v) => ("dbl", json!(v)),
        Value::Text(v) => ("str", json!(String::from_utf8_lossy(v))),
        Value::Binary(v) => {
            ("bin", json!(v.iter().map(|b| format!("{b:02x}")).collect::<String>()))
        }
    }
}

fn plain(value: &Value) -> String {
    match show(value).1 {
        Json::String(text) => text,
        other => other.to_string(),
    }
}

fn parse(kind: Kind, text: &str) -> anyhow::Result<Value> {
    fn number<T: std::str::FromStr>(text: &str) -> anyhow::Result<T> {
        text.parse().ok().with_context(|| format!("{text:?} is not a number of that type"))
    }
    Ok(match kind {
        Kind::I8 => Value::I8(number(text)?),
        Kind::U8 => Value::U8(number(text)?),
        Kind::I16 => Value::I16(number(text)?),
        Kind::U16 => Value::U16(number(text)?),
        Kind::I32 => Value::I32(number(text)?),
        Kind::U32 => Value::U32(number(text)?),
        Kind::I64 => Value::I64(number(text)?),
        Kind::U64 => Value::U64(number(text)?),
        Kind::Float => Value::F32(number(text)?),
        Kind::Double => Value::F64(number(text)?),
        Kind::Str => Value::Text(text.as_bytes().to_vec()),
        Kind::Bin => Value::Binary(bytes(text)?),
    })
}

fn bytes(text: &str) -> anyhow::Result<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let good = text.len().is_multiple_of(2);
    let bytes: Option<Vec<u8>> = pairs.map(byte).collect();
    bytes.filter(|_| good).with_context(|| format!("{text:?} is not pairs of hexadecimal digits"))
}
