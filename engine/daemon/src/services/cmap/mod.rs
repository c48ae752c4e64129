//! The configuration map and its statistics: a store (`store`) filled with what this node is, knows and counts.
//!
//! What comes from the configuration is written at the start and after a reload, what is about members
//! whenever a snapshot of the hot thread comes: with every new ring, for a question about such keys, and every
//! [`SCAN`] while somebody tracks them.

mod from_config;
mod from_state;
mod store;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use schema::Config;
use schema::corosync::ConfKey;
use services::cmap::{Answer, Events, Key, LIST_KEYS_MAX, Map, Notice, Request, Value};
use services::{Answer as Any, Failure, Reply};
use session::ConnectionId;

use super::Outcome;
use crate::status::Snapshot;
use from_state::{Members, Statistics};
use store::Writer;

/// How often tracked keys are looked at: as Corosync looks at its statistics.
const SCAN: Duration = Duration::from_millis(1500);

/// Tracks of one connection at most; a program has one per kind of key it cares for.
const TRACKS_PER_CONNECTION_MAX: usize = 256;

/// The same for users who may only look, and for all of their connections together: every change is compared with every
/// track, so others pay for them.
const TRACKS_UNTRUSTED_MAX: (usize, usize) = (16, 256);

/// What programs cannot write. Beside what Corosync keeps to itself, whatever has no effect when written here:
/// the configuration changes by a reload.
const READ_ONLY: store::ReadOnly = store::ReadOnly {
    prefixes: &[
        "internal_configuration.",
        "logging.",
        "nodelist.",
        "quorum.",
        "runtime.",
        "system.",
        "totem.",
        "uidgid.config.",
    ],
    keys: &[
        "config.reload_in_progress",
        "config.totemconfig_reload_in_progress",
        "config.reload_status",
        "config.reload_error_message",
    ],
    except: &[CANCEL_WAIT_FOR_ALL],
};

/// Written to let this part go on though not all nodes were seen; the engine sets it back to 0.
const CANCEL_WAIT_FOR_ALL: &str = "quorum.cancel_wait_for_all";

/// All statistics; `stats.clear.*` is no key but an order.
const STATISTICS: store::ReadOnly =
    store::ReadOnly { prefixes: &["stats."], keys: &[], except: &[] };

/// What begins the keys that are counters to be cleared, by the last word of `stats.clear.WORD`.
const CLEARED: [(&str, &[&str]); 5] = [
    ("totem", &["stats.srp."]),
    ("knet", &["stats.knet."]),
    ("ipc", &["stats.ipcs."]),
    ("schedmiss", &["stats.schedmiss."]),
    ("all", &["stats."]),
];

/// Bytes of two values that fit a notice together with the longest key and what is around them.
const VALUES_BYTES_MAX: usize = services::NOTICE_BYTES_MAX - 512;

/// A track of a connection.
struct Track {
    connection: ConnectionId,
    /// Whether its user may change something.
    trusted: bool,
    map: Map,
    number: u64,
}

/// Both maps of this node, and who tracks what.
pub(crate) struct Cmap {
    config: store::Map,
    /// Keys that come from the configuration.
    configured: Vec<String>,
    statistics: store::Map,
    members: Members,
    counted: Statistics,
    tracks: BTreeMap<u64, Track>,
    next_track: u64,
    scanned: Instant,
}

impl Cmap {
    pub(crate) fn new(config: &Config, keys: &[ConfKey]) -> Self {
        let mut cmap = Self {
            config: store::Map::new(READ_ONLY),
            configured: Vec::new(),
            statistics: store::Map::new(STATISTICS),
            members: Members::default(),
            counted: Statistics::default(),
            tracks: BTreeMap::new(),
            next_track: 1,
            scanned: Instant::now(),
        };
        cmap.write_services();
        cmap.set_config(config, keys);
        cmap
    }

    fn write_services(&mut self) {
        for (number, (name, id)) in from_config::SERVICES.iter().enumerate() {
            let service = format!("internal_configuration.service.{number}");
            self.put(&format!("{service}.name"), Value::text(format!("corosync_{name}")));
            self.put(&format!("{service}.ver"), Value::U32(0));
            self.put(&format!("runtime.services.{name}.service_id"), Value::U16(*id));
        }
        for key in [
            "config.reload_in_progress",
            "config.totemconfig_reload_in_progress",
            CANCEL_WAIT_FOR_ALL,
        ] {
            self.put(key, Value::U8(0));
        }
    }

    fn put(&mut self, key: &str, value: Value) {
        // A good key; the engine may write all.
        let _ = self.config.set(Writer::Engine, key, value);
    }

    /// The configuration is this now; `keys` are what its file says.
    pub(crate) fn set_config(&mut self, config: &Config, keys: &[ConfKey]) {
        self.members.set_nodes(config);
        let new = from_config::keys(config, keys);
        for key in std::mem::take(&mut self.configured) {
            if !new.contains_key(&key) {
                // A program may have deleted it, where it may.
                let _ = self.config.delete(Writer::Engine, &key);
            }
        }
        self.configured = new.keys().cloned().collect();
        self.config.replace(&[], &new.into_iter().collect::<Vec<_>>());
    }

    /// A reload begins, as those who track it must see before anything changes.
    pub(crate) fn reload_begins(&mut self) {
        self.put("config.reload_in_progress", Value::U8(1));
        self.put("config.totemconfig_reload_in_progress", Value::U8(1));
    }

    /// A reload is over; an error says why nothing was changed.
    pub(crate) fn reload_ends(&mut self, error: Option<&str>) {
        let status = if error.is_none() { 1 } else { Failure::FailedOperation.code().into() };
        self.put("config.reload_status", Value::I32(status));
        match error {
            Some(error) => {
                self.put("config.reload_error_message", Value::text(error));
            }
            None => {
                // It may not be there.
                let _ = self.config.delete(Writer::Engine, "config.reload_error_message");
            }
        }
        self.put("config.totemconfig_reload_in_progress", Value::U8(0));
        self.put("config.reload_in_progress", Value::U8(0));
    }

    /// Users and groups that programs have let in while the engine runs: `uidgid.uid.N` and
    /// `uidgid.gid.N` that are 1.
    pub(crate) fn let_in(&self) -> (Vec<u32>, Vec<u32>) {
        let ids = |prefix: &str| {
            let keys = self.config.keys(prefix, "");
            let set = keys.filter(|(_, value)| **value == Value::U8(1));
            set.filter_map(|(key, _)| key.strip_prefix(prefix)?.parse().ok()).collect()
        };
        (ids("uidgid.uid."), ids("uidgid.gid."))
    }

    /// Whether a program wants that nobody waits for all nodes any longer; asked once.
    pub(super) fn take_cancel(&mut self) -> bool {
        let asked = matches!(self.config.get(CANCEL_WAIT_FOR_ALL), Some(Value::U8(1..)));
        if asked {
            self.put(CANCEL_WAIT_FOR_ALL, Value::U8(0));
        }
        asked
    }

    /// How long a shutdown waits for answers.
    pub(crate) fn shutdown_timeout(&self) -> Duration {
        const DEFAULT_MS: u32 = 5000;
        match self.config.get("cfg.shutdown_timeout") {
            Some(Value::U32(ms)) => Duration::from_millis((*ms).into()),
            _ => Duration::from_millis(DEFAULT_MS.into()),
        }
    }

    /// Whether somebody tracks keys.
    pub(crate) fn is_tracked(&self) -> bool {
        !self.tracks.is_empty()
    }

    /// Whether a snapshot is due because somebody tracks what comes from it.
    pub(crate) fn wants_snapshot(&mut self) -> bool {
        let due = self.is_tracked() && self.scanned.elapsed() >= SCAN;
        if due {
            self.scanned = Instant::now();
        }
        due
    }

    /// How this moment looks.
    pub(crate) fn look(&mut self, snapshot: &Snapshot) {
        self.members.look(snapshot);
        self.config.replace(&from_state::PREFIXES, &self.members.keys(snapshot));
        let keys = self.counted.keys(snapshot);
        self.statistics.replace(&["stats."], &keys);
    }

    /// The engine did not run for a while.
    pub(crate) fn missed_schedule(&mut self, wall_ns: u64, paused_us: u64) {
        self.counted.missed_schedule(wall_ns, paused_us);
    }

    /// A question that may need a fresh look first.
    pub(super) fn ask(
        &mut self,
        connection: ConnectionId,
        trusted: bool,
        request: &Request,
    ) -> Outcome {
        let fresh = match request {
            Request::Get { map, key } => *map == Map::Stats || from_state::is_about(key),
            Request::List { map, prefix, after } => {
                // Only at the beginning: a walk sees the keys of one moment, as far as it can.
                after.is_empty() && (*map == Map::Stats || from_state::may_be_under(prefix))
            }
            _ => false,
        };
        if fresh {
            Outcome::NeedsSnapshot
        } else {
            Outcome::Now(self.answer(connection, trusted, request))
        }
    }

    /// Answers with what is known.
    pub(super) fn answer(
        &mut self,
        connection: ConnectionId,
        trusted: bool,
        request: &Request,
    ) -> Reply {
        let changes = !matches!(
            request,
            Request::Get { .. }
                | Request::List { .. }
                | Request::Track { .. }
                | Request::Untrack { .. }
        );
        if changes && !trusted {
            return Err(Failure::Access);
        }
        match request {
            Request::Get { map, key } => match self.map(*map).get(key) {
                Some(value) => Ok(Any::Cmap(Answer::Value(value.clone()))),
                None if store::is_key(key) => Err(Failure::NotExist),
                None => Err(Failure::InvalidParameter),
            },
            Request::Set { map: Map::Stats, key, .. } if key.starts_with("stats.clear.") => {
                self.clear(key)
            }
            // Programs write here to clear statistics, and for nothing else.
            Request::Set { map: Map::Stats, .. } => Err(Failure::Access),
            Request::Set { map, key, value } => {
                done(self.map(*map).set(Writer::Program, key, value.clone()))
            }
            Request::Delete { map, key } => done(self.map(*map).delete(Writer::Program, key)),
            Request::Adjust { map, key, by } => {
                done(self.map(*map).adjust(Writer::Program, key, *by))
            }
            Request::List { map, prefix, after } => {
                let keys = self.map(*map).keys(prefix, after).take(LIST_KEYS_MAX);
                let keys = keys.map(|(name, value)| {
                    let bytes = value.native_bytes() as u32;
                    Key { name: name.to_owned(), type_code: value.type_code(), bytes }
                });
                Ok(Any::Cmap(Answer::Keys(keys.collect())))
            }
            Request::Track { map, key, events } => {
                self.track(connection, trusted, *map, key, *events)
            }
            Request::Untrack { track } => self.untrack(connection, *track),
        }
    }

    fn map(&mut self, map: Map) -> &mut store::Map {
        match map {
            Map::Config => &mut self.config,
            Map::Stats => &mut self.statistics,
        }
    }

    fn clear(&mut self, key: &str) -> Reply {
        let word = key.strip_prefix("stats.clear.").unwrap_or_default();
        let (_, prefixes) =
            CLEARED.iter().find(|(name, _)| *name == word).ok_or(Failure::NotExist)?;
        self.counted.clear(prefixes);
        Ok(Any::Done)
    }

    fn track(
        &mut self,
        connection: ConnectionId,
        trusted: bool,
        map: Map,
        key: &str,
        events: Events,
    ) -> Reply {
        let own = self.tracks.values().filter(|track| track.connection == connection).count();
        let alike = self.tracks.values().filter(|track| track.trusted == trusted).count();
        let (own_max, alike_max) = match trusted {
            true => (TRACKS_PER_CONNECTION_MAX, usize::MAX),
            false => TRACKS_UNTRUSTED_MAX,
        };
        if own >= own_max || alike >= alike_max {
            return Err(Failure::NoMemory);
        }
        let number = self.map(map).track(key, events).map_err(failure)?;
        let track = self.next_track;
        self.next_track += 1;
        self.tracks.insert(track, Track { connection, trusted, map, number });
        Ok(Any::Cmap(Answer::Tracking { track }))
    }

    fn untrack(&mut self, connection: ConnectionId, track: u64) -> Reply {
        let own = self.tracks.get(&track).is_some_and(|track| track.connection == connection);
        if !own {
            return Err(Failure::NotExist);
        }
        self.end_track(track);
        Ok(Any::Done)
    }

    fn end_track(&mut self, track: u64) {
        if let Some(Track { map, number, .. }) = self.tracks.remove(&track) {
            // It was there as long as the entry here.
            let _ = self.map(map).untrack(number);
        }
    }

    /// A connection is over.
    pub(super) fn closed(&mut self, connection: ConnectionId) {
        let tracks = self.tracks.iter().filter(|(_, track)| track.connection == connection);
        for track in tracks.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.end_track(track);
        }
    }

    /// Who is to be told what, since the last call.
    pub(super) fn notices(&mut self) -> Vec<(ConnectionId, Notice)> {
        let mut all = Vec::new();
        for map in [Map::Config, Map::Stats] {
            let mut owners: Option<BTreeMap<u64, (u64, ConnectionId)>> = None;
            while let Some(notice) = self.map(map).poll_notice() {
                let owners = owners.get_or_insert_with(|| {
                    let of_map = self.tracks.iter().filter(|(_, track)| track.map == map);
                    of_map.map(|(number, t)| (t.number, (*number, t.connection))).collect()
                });
                let Some(&(track, connection)) = owners.get(&notice.track) else { continue };
                let bytes = |value: &Option<Value>| value.as_ref().map_or(0, Value::native_bytes);
                // Two long values would not fit a notice together; then only the new one is told.
                let both = bytes(&notice.old) + bytes(&notice.new);
                let old = notice.old.filter(|_| both <= VALUES_BYTES_MAX);
                all.push((connection, Notice { track, old, ..notice }));
            }
        }
        all
    }
}

fn done(result: Result<(), store::Error>) -> Reply {
    result.map(|()| Any::Done).map_err(failure)
}

fn failure(error: store::Error) -> Failure {
    match error {
        store::Error::BadKey | store::Error::NotAnInteger => Failure::InvalidParameter,
        store::Error::ReadOnly => Failure::Access,
        store::Error::NotExist => Failure::NotExist,
        store::Error::TooLong => Failure::TooBig,
        store::Error::Full => Failure::NoMemory,
    }
}
