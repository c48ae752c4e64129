//! `synchrotron status`: what an engine says about itself.

use serde_json::Value;

use crate::engine::Engine;

/// Asks the engine and prints its answer.
pub(crate) fn run(engine: &Engine, json: bool) -> anyhow::Result<()> {
    let status = engine.status()?;
    match json {
        true => println!("{status}"),
        false => print_tree(&status, 0),
    }
    Ok(())
}

/// Prints nested objects as indented `key: value` lines and lists of plain values on one line; zero
/// counters are left out, because what did not happen is noise to a reader (`--json` has them).
fn print_tree(value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    let Value::Object(fields) = value else {
        println!("{indent}{}", plain(value));
        return;
    };
    for (key, value) in fields {
        match value {
            Value::Object(inner) if inner.is_empty() => {}
            Value::Object(_) => {
                println!("{indent}{key}:");
                print_tree(value, depth + 1);
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                println!("{indent}{key}:");
                for item in items {
                    println!("{indent}  -");
                    print_tree(item, depth + 2);
                }
            }
            Value::Number(number) if number.as_u64() == Some(0) && depth > 0 => {}
            _ => println!("{indent}{key}: {}", plain(value)),
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}
