//! The page about Corosync's keys, written from the table.

use std::fmt::Write as _;

use super::keys::{Fate, KEYS};

/// `docs/corosync-conf.md`.
pub fn corosync_reference() -> String {
    let mut text = "# Keys of corosync.conf\n\n\
        What becomes of every key of Corosync 3 when `synchrotrond --corosync-conf FILE` runs the file, or \
         `synchrotron \
        convert`\n\
        rewrites it. This page is written from the table in `conf/schema/src/corosync/keys.rs`\n\
        (`UPDATE_REFERENCE=1 cargo test -p synchrotron-schema --test reference`); a test keeps the two equal.\n\n\
        Names are those of the configuration map (`corosync-cmapctl`): `N` stands for a number, `NAME` for a name, `*` \
        for\n\
        everything that follows. *sets*: the key of `synchrotron.toml` it becomes. *kept*: the engine has no use for \
        it,\n\
        the programs it is meant for read it in the map. *no effect*: a warning at start says the same.\n\
        Keys that are not listed are kept, with a warning. A value of the wrong type is an error, as in Corosync.\n"
        .to_owned();
    let mut section = "";
    for key in KEYS {
        let of = key.name.split('.').next().unwrap_or_default();
        if of != section {
            section = of;
            _ = write!(
                text,
                "\n## {section}\n\n| key | accepted | what becomes of it |\n|---|---|---|\n"
            );
        }
        let fate = match key.fate {
            Fate::To("", how) => how.to_owned(),
            Fate::To(to, how) => {
                let to: Vec<_> = to.split(", ").map(|to| format!("`{to}`")).collect();
                let gap = if how.is_empty() { "" } else { ": " };
                format!("sets {}{gap}{how}", to.join(", "))
            }
            Fate::Kept(why) => format!("kept: {why}"),
            Fate::Instead(why) => format!("no effect: {why}"),
        };
        _ = writeln!(text, "| `{}` | {} | {fate} |", key.name, key.kind.accepted());
    }
    text
}
