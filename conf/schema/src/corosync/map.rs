//! From Corosync's flat keys to the document that the TOML reader makes, too.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::Path;

use toml::de::DeValue;

use super::flat::{Entry, Flat};
use super::keys::{self, Fate};
use super::{KEY_FILE, OWN_SECTION, nodelist};
use crate::host::Host;
use crate::keys::{SECTIONS, find};
use crate::kind::read;
use crate::load::Warning;
use crate::problem::Report;
use crate::reader::{Document, Table, fill_defaults, unknown_key};

/// What a file without a cluster name is called.
const CLUSTER_NAME: &str = "corosync";

/// The token timeout that counts where only its coefficient is set, in milliseconds.
const TOKEN_MS: u64 = 3000;

/// Milliseconds more per node beyond two.
const TOKEN_COEFFICIENT_MS: u64 = 650;

/// How a number of Corosync's is written in TOML.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    /// As it is.
    Count,
    /// 0 or 1.
    Truth,
    /// A time.
    Milliseconds,
}

/// Numbers of `[quorum]`: our name, Corosync's name in its section, and shape.
pub(super) const QUORUM: [(&str, &str, Shape); 11] = [
    ("expected_votes", "expected_votes", Shape::Count),
    ("two_node", "two_node", Shape::Truth),
    ("wait_for_all", "wait_for_all", Shape::Truth),
    ("last_man_standing", "last_man_standing", Shape::Truth),
    ("last_man_standing_window", "last_man_standing_window", Shape::Milliseconds),
    ("allow_downscale", "allow_downscale", Shape::Truth),
    ("expected_votes_tracking", "expected_votes_tracking", Shape::Truth),
    ("device_votes", "device.votes", Shape::Count),
    ("device_timeout", "device.timeout", Shape::Milliseconds),
    ("device_sync_timeout", "device.sync_timeout", Shape::Milliseconds),
    ("device_master_wins", "device.master_wins", Shape::Truth),
];

/// The document under construction.
pub(crate) struct Build<'b, 'r, 't> {
    pub(crate) flat: &'b Flat,
    pub(crate) file: &'b Path,
    pub(crate) host: &'b dyn Host,
    pub(crate) report: &'r mut Report<'t>,
    pub(crate) warnings: &'r mut Vec<Warning>,
    tables: HashMap<&'static str, Table>,
    nodes: Vec<Table>,
}

/// A value as TOML would have it.
pub(crate) enum Say<'v> {
    /// A string.
    Text(&'v str),
    /// Anything else, as TOML text.
    Raw(&'v str),
}

/// Makes the document. Problems go to `report`, under the names and at the places of the file's own keys.
pub(crate) fn document(
    flat: &Flat,
    file: &Path,
    host: &dyn Host,
    report: &mut Report<'_>,
    warnings: &mut Vec<Warning>,
) -> Document {
    let tables = SECTIONS
        .iter()
        .filter(|(section, _)| *section != "nodes")
        .map(|(section, _)| (*section, Table::empty((*section).to_owned(), 0)))
        .collect();
    let mut build = Build { flat, file, host, report, warnings, tables, nodes: Vec::new() };
    build.cluster();
    nodelist::read(&mut build);
    build.transport();
    build.security();
    build.timers();
    build.quorum();
    build.log();
    build.rest();
    build.own();
    build.finish()
}

impl Build<'_, '_, '_> {
    /// Sets a key of the model. `from` is the file's key it comes from.
    pub(crate) fn set(
        &mut self,
        section: &'static str,
        name: &'static str,
        value: &Say<'_>,
        from: &str,
        span: Range<usize>,
    ) {
        let full = format!("{section}.{name}");
        if !from.is_empty() {
            self.report.rename(full.clone(), from.to_owned());
        }
        let Some(key) = find(section, name) else { return };
        let value = match value {
            Say::Text(text) => Ok(DeValue::String(Cow::Borrowed(text))),
            Say::Raw(text) => DeValue::parse(text).map(toml::Spanned::into_inner),
        };
        let read = value
            .map_err(|error| error.message().to_owned())
            .and_then(|value| read(key.kind, key.words, &value))
            .map_err(|wrong| self.report.value(&full, span.clone(), wrong, key.accepted()));
        if let Some(table) = self.tables.get_mut(section) {
            table.set(key.name, read.ok(), Some(span));
        }
    }

    /// Sets a text from the key `from`, if that is there.
    fn pass(&mut self, section: &'static str, name: &'static str, from: &str) {
        if let Some(entry) = self.flat.get(from) {
            self.set(section, name, &Say::Text(&entry.text), from, entry.span.clone());
        }
    }

    /// Sets a number from the key `from`, if that is there.
    fn pass_number(&mut self, section: &'static str, name: &'static str, from: &str) {
        if let (Some(entry), Some(number)) = (self.flat.get(from), self.flat.number(from)) {
            self.set(section, name, &Say::Raw(&number.to_string()), from, entry.span.clone());
        }
    }

    pub(crate) fn warn(&mut self, key: &str, text: impl Into<String>) {
        let line = self.flat.get(key).map_or(0, |entry| self.report.position(entry.offset).0);
        let (file, key) = (self.file.to_owned(), key.to_owned());
        self.warnings.push(Warning { file, line, key, text: text.into() });
    }

    pub(crate) fn node(&mut self, table: Table) {
        self.nodes.push(table);
    }

    fn cluster(&mut self) {
        match self.flat.number("totem.version") {
            Some(2) => {}
            Some(_) => {
                let span =
                    self.flat.get("totem.version").map(|e| e.span.clone()).unwrap_or_default();
                self.report.value("totem.version", span, "is not a version this reader knows", "2");
            }
            None => self.report.at("totem.version", 0, "missing", "2"),
        }
        if self.flat.get("totem.cluster_name").is_some() {
            self.pass("cluster", "name", "totem.cluster_name");
        } else {
            self.set("cluster", "name", &Say::Text(CLUSTER_NAME), "totem.cluster_name", 0..0);
        }
        self.pass_number("cluster", "config_version", "totem.config_version");
        self.set("node", "id", &Say::Text("auto"), "nodelist.local_node_pos", 0..0);
    }

    /// Whether the transport multicasts.
    fn is_multicast(&self) -> bool {
        matches!(self.flat.text("totem.transport"), Some("udp" | "iba"))
    }

    fn transport(&mut self) {
        let span = |entry: Option<&Entry>| entry.map_or(0..0, |entry| entry.span.clone());
        let at = span(self.flat.get("totem.transport"));
        if self.is_multicast() {
            let port = self.flat.number("totem.interface.0.mcastport").unwrap_or(nodelist::PORT);
            if let Some(group) = self.flat.get("totem.interface.0.mcastaddr") {
                let address = match group.text.contains(':') {
                    true => format!("[{}]:{}", group.text, port.saturating_sub(1)),
                    false => format!("{}:{}", group.text, port.saturating_sub(1)),
                };
                let from = "totem.interface.0.mcastaddr";
                let span = group.span.clone();
                self.set("transport", "multicast", &Say::Text(&address), from, span);
            }
            self.pass_number("transport", "multicast_ttl", "totem.interface.0.ttl");
        } else {
            self.set("transport", "multicast", &Say::Text("off"), "totem.transport", at);
            for name in ["totem.interface.0.mcastaddr", "totem.interface.0.ttl"] {
                if self.flat.get(name).is_some() {
                    self.warn(name, "has no effect here: only transports udp and iba multicast");
                }
            }
        }
        if self.flat.text("totem.transport") == Some("iba") {
            let at = span(self.flat.get("totem.transport"));
            self.set("transport", "kind", &Say::Text("verbs"), "totem.transport", at);
        }
        self.pass("transport", "link_mode", "totem.link_mode");
        self.kinds();
        self.mtu();
        self.priorities();
    }

    fn mtu(&mut self) {
        let knet = !matches!(self.flat.text("totem.transport"), Some("udp" | "udpu" | "iba"));
        let (used, unused) = match knet {
            true => ("totem.knet_mtu", "totem.netmtu"),
            false => ("totem.netmtu", "totem.knet_mtu"),
        };
        if self.flat.number(used).is_some_and(|bytes| bytes > 0) {
            self.pass_number("transport", "mtu", used);
        }
        if self.flat.get(unused).is_some() {
            let text = format!("has no effect here: with this transport, {used} sets the MTU");
            self.warn(unused, text);
        }
    }

    /// As priorities, up to the last link that says its transport.
    fn kinds(&mut self) {
        let name = |link: usize| format!("totem.interface.{link}.knet_transport");
        let links = self.flat.indices("totem.interface.");
        let Some(last) = links.iter().rev().find(|&&link| self.flat.get(&name(link)).is_some())
        else {
            return;
        };
        let usual = if self.flat.text("totem.transport") == Some("iba") { "verbs" } else { "udp" };
        let kind = |link| match self.flat.text(&name(link)) {
            Some("verbs") => "\"verbs\"".to_owned(),
            Some(_) => "\"udp\"".to_owned(),
            None => format!("\"{usual}\""),
        };
        let list = format!("[{}]", (0..=*last).map(kind).collect::<Vec<_>>().join(", "));
        let from = name(*last);
        let span = self.flat.get(&from).map(|entry| entry.span.clone()).unwrap_or_default();
        self.set("transport", "link_kinds", &Say::Raw(&list), &from, span);
    }

    fn priorities(&mut self) {
        let name = |link: usize| format!("totem.interface.{link}.knet_link_priority");
        let links = self.flat.indices("totem.interface.");
        let Some(last) = links.iter().rev().find(|&&link| self.flat.get(&name(link)).is_some())
        else {
            return;
        };
        // As with Corosync, a link without a priority has 1.
        let list: Vec<_> = (0..=*last)
            .map(|link| self.flat.number(&name(link)).unwrap_or(1).to_string())
            .collect();
        let from = name(*last);
        let span = self.flat.get(&from).map(|entry| entry.span.clone()).unwrap_or_default();
        let list = format!("[{}]", list.join(", "));
        self.set("transport", "link_priorities", &Say::Raw(&list), &from, span);
    }

    fn security(&mut self) {
        let said = |name: &str| self.flat.get(name).map(|entry| (entry.text.as_str(), &entry.span));
        let (cipher, hash) = (said("totem.crypto_cipher"), said("totem.crypto_hash"));
        let all = said("totem.secauth").map(|(text, _)| matches!(text, "on" | "yes"));
        let each = |found: Option<(&str, &Range<usize>)>| {
            found.map_or(all == Some(true), |(text, _)| text != "none")
        };
        let at = [said("totem.secauth"), hash, cipher].into_iter().flatten().last();
        let at = at.map_or(0..0, |(_, span)| span.clone());
        if !each(cipher) && !each(hash) {
            self.set("security", "encryption", &Say::Text("off"), "totem.crypto_cipher", at);
            for name in ["totem.keyfile", "totem.key"] {
                if self.flat.get(name).is_some() {
                    self.warn(name, "has no effect here: crypto_cipher and crypto_hash are none");
                }
            }
            return;
        }
        self.set("security", "encryption", &Say::Text("aes-256-gcm"), "totem.crypto_cipher", at);
        if let Some(key) = self.flat.get("totem.key")
            && self.flat.get("totem.keyfile").is_none()
        {
            self.set("security", "key", &Say::Text(&key.text), "totem.key", key.span.clone());
            return;
        }
        if self.flat.get("totem.key").is_some() {
            self.warn("totem.key", "has no effect here: totem.keyfile is set, too");
        }
        let (file, span) = said("totem.keyfile").unwrap_or((KEY_FILE, &(0..0)));
        let (file, span) = (file.to_owned(), span.clone());
        self.set("security", "key_file", &Say::Text(&file), "totem.keyfile", span.clone());
        self.set("security", "key_format", &Say::Text("corosync"), "totem.keyfile", span);
    }

    fn timers(&mut self) {
        let (token, more) = ("totem.token", "totem.token_coefficient");
        let first = self.flat.get(token).or_else(|| self.flat.get(more));
        if let Some(span) = first.map(|entry| entry.span.clone()) {
            let base = self.flat.number(token).unwrap_or(TOKEN_MS);
            let per_node = self.flat.number(more).unwrap_or(TOKEN_COEFFICIENT_MS);
            let nodes = self.flat.nodes as u64;
            let real = base.saturating_add(nodes.saturating_sub(2).saturating_mul(per_node));
            let from = if self.flat.get(token).is_some() { token } else { more };
            self.set("totem", "token_timeout", &Say::Text(&format!("{real}ms")), from, span);
        }
        if let (Some(entry), Some(ms)) =
            (self.flat.get("totem.consensus"), self.flat.number("totem.consensus"))
        {
            let (text, span) = (format!("{ms}ms"), entry.span.clone());
            self.set("totem", "consensus_timeout", &Say::Text(&text), "totem.consensus", span);
        }
    }

    fn quorum(&mut self) {
        for (name, from, shape) in QUORUM {
            let from = format!("quorum.{from}");
            let (Some(entry), Some(number)) = (self.flat.get(&from), self.flat.number(&from))
            else {
                continue;
            };
            let value = match shape {
                Shape::Count => number.to_string(),
                Shape::Truth => (number != 0).to_string(),
                Shape::Milliseconds => format!("\"{number}ms\""),
            };
            self.set("quorum", name, &Say::Raw(&value), &from, entry.span.clone());
        }
        if let Some(entry) = self.flat.get("quorum.provider") {
            let span = entry.span.clone();
            self.set("quorum", "provider", &Say::Text("votequorum"), "quorum.provider", span);
        }
        self.pass("quorum", "device", "quorum.device.model");
        self.tie_breaker();
    }

    fn tie_breaker(&mut self) {
        let (on, node) = ("quorum.auto_tie_breaker", "quorum.auto_tie_breaker_node");
        let found = (self.flat.get(on), self.flat.get(node));
        match found {
            (Some(entry), _) if self.flat.number(on) != Some(1) => {
                let span = entry.span.clone();
                self.set("quorum", "auto_tie_breaker", &Say::Text("off"), on, span);
                if self.flat.get(node).is_some() {
                    self.warn(node, "has no effect here: auto_tie_breaker is 0");
                }
            }
            (Some(entry), None) => {
                let span = entry.span.clone();
                self.set("quorum", "auto_tie_breaker", &Say::Text("lowest"), on, span);
            }
            (Some(_), Some(entry)) => {
                let (text, span) = (entry.text.as_str(), entry.span.clone());
                let list = text.split_whitespace().collect::<Vec<_>>().join(", ");
                let list = format!("[{list}]");
                let say = match text {
                    "lowest" | "highest" => Say::Text(text),
                    _ => Say::Raw(&list),
                };
                self.set("quorum", "auto_tie_breaker", &say, node, span);
            }
            (None, Some(_)) => self.warn(node, "has no effect here: auto_tie_breaker is not 1"),
            (None, None) => {}
        }
    }

    fn log(&mut self) {
        let yes = |name: &str| matches!(self.flat.text(name), Some("yes" | "on"));
        let to_file = yes("logging.to_logfile") || yes("logging.to_file");
        if to_file {
            self.pass("log", "file", "logging.logfile");
        } else if self.flat.get("logging.logfile").is_some() {
            self.warn("logging.logfile", "has no effect here: to_logfile is not yes");
        }
        let wanted = if to_file {
            ["logging.logfile_priority", "logging.logfile_priority"]
        } else {
            ["logging.syslog_priority", "logging.syslog_level"]
        };
        let (debug, name) =
            ("logging.debug", wanted.into_iter().find(|n| self.flat.get(n).is_some()));
        let level = |text: &str| match text {
            "emerg" | "alert" | "crit" | "error" | "err" => "error",
            "warning" => "warn",
            "notice" | "info" => "info",
            _ => "debug",
        };
        let from = match self.flat.text(debug) {
            Some("on" | "trace") => Some((debug, "debug")),
            _ => name.and_then(|name| Some((name, level(self.flat.text(name)?)))),
        };
        if let Some((from, level)) = from {
            let span = self.flat.get(from).map(|entry| entry.span.clone()).unwrap_or_default();
            self.set("log", "level", &Say::Text(level), from, span);
        }
        if let Some(entry) = self.flat.get("logging.blackbox").filter(|e| e.text == "off") {
            let span = entry.span.clone();
            self.set("recorder", "file", &Say::Text("off"), "logging.blackbox", span);
        }
    }

    fn rest(&mut self) {
        self.pass("engine", "state_dir", "system.state_dir");
        for (kind, name) in [("uid", "allow_uids"), ("gid", "allow_gids")] {
            let prefix = format!("uidgid.config.{kind}.");
            let ids: Vec<_> = self.flat.indices(&prefix).iter().map(usize::to_string).collect();
            if !ids.is_empty() {
                let (from, list) = (format!("uidgid.{kind}"), format!("[{}]", ids.join(", ")));
                self.set("ipc", name, &Say::Raw(&list), &from, 0..0);
            }
        }
    }

    /// The section with this engine's own keys, which override all others.
    fn own(&mut self) {
        let flat = self.flat;
        let prefix = format!("{OWN_SECTION}.");
        for (full, entry) in flat.under(&prefix) {
            let rest = &full[prefix.len()..];
            let found = rest.split_once('.').and_then(|(section, name)| {
                Some((SECTIONS.iter().find(|(known, _)| *known == section)?.0, name))
            });
            let Some((section, name)) = found.filter(|(section, _)| *section != "nodes") else {
                let accepted =
                    "synchrotron { SECTION { KEY: VALUE } } with a section of synchrotron.toml";
                self.report.at(full, entry.offset, "unknown section", accepted);
                continue;
            };
            let Some(key) = find(section, name) else {
                unknown_key(section, full, name, entry.offset, self.report);
                continue;
            };
            let raw = DeValue::parse(&entry.text)
                .is_ok_and(|value| read(key.kind, key.words, value.get_ref()).is_ok());
            let say = if raw { Say::Raw(&entry.text) } else { Say::Text(&entry.text) };
            self.set(section, key.name, &say, full, entry.span.clone());
        }
    }

    fn finish(mut self) -> Document {
        for (section, table) in &mut self.tables {
            fill_defaults(section, table, self.report);
        }
        for table in &mut self.nodes {
            fill_defaults("nodes", table, self.report);
        }
        let mut map = BTreeMap::new();
        for (name, entry) in &self.flat.entries {
            if matches!(keys::find(name).map(|key| key.fate), None | Some(Fate::Kept(_))) {
                map.insert(name.clone(), (entry.text.clone(), entry.span.clone()));
            }
        }
        Document { tables: self.tables, nodes: self.nodes, map }
    }
}
