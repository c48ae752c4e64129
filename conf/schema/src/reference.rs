//! The reference of all keys, written from the table of keys.

use std::fmt::Write as _;

use crate::NODES_MAX;
use crate::keys::{KEYS, Presence, SECTIONS};

/// `docs/configuration.md`.
pub fn reference() -> String {
    let mut text = format!(
        "# Configuration\n\n\
         Every key of `synchrotron.toml`. This page is written from the table in `conf/schema/src/keys.rs`\n\
         (`UPDATE_REFERENCE=1 cargo test -p synchrotron-schema --test reference`); a test keeps the two equal.\n\n\
         The file is TOML. Durations are texts with a unit (`\"250ms\"`; units s, ms, us, ns), sizes are \
         bytes or texts\n\
         with a unit (`\"64KiB\"`; units B, KiB, MiB, GiB). Relative paths start at the file's own directory. \
         Unknown\n\
         keys are errors. `synchrotrond --config FILE --check` lists everything that is wrong, each with file,\n\
         line, column, key, value and what would be accepted, and exits with code 78. A cluster has at most\n\
         {NODES_MAX} nodes. Examples: `conf/examples`.\n\n\
         The column *takes effect* says how a new value comes to count. `reload`: with `synchrotron reload`, on all\n\
         nodes at once. `restart`: when the engine starts anew; a reload names the key and takes over the rest.\n\
         `all stopped`: nodes must agree on it, so a reload that would change it is refused.\n"
    );
    for (section, about) in SECTIONS {
        let header =
            if section == "nodes" { "[[nodes]]".to_owned() } else { format!("[{section}]") };
        _ = write!(text, "\n## `{header}`\n{about}\n");
        if KEYS.iter().any(|key| key.section == section) {
            text.push_str(
                "\n| key | accepted | default | takes effect | meaning |\n|---|---|---|---|---|\n",
            );
        }
        for key in KEYS.iter().filter(|key| key.section == section) {
            let default = match key.presence {
                Presence::Required => "required".to_owned(),
                Presence::Optional => "-".to_owned(),
                Presence::Default(default) => format!("`{default}`"),
            };
            let (accepted, change) = (key.accepted(), key.change.text());
            _ = writeln!(
                text,
                "| `{}` | {accepted} | {default} | {change} | {} |",
                key.name, key.doc
            );
        }
    }
    text
}
