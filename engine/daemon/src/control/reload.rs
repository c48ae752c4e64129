//! Reload: every node checks its own file, and all take over what they found or none does. This thread does
//! the files; `groups::cfg` agrees with the other nodes; the hot thread takes over at the agreed place.

use std::time::{Duration, Instant};

use groups::cfg::{Abort, Answer, Event, Request};
use schema::corosync::ConfKey;
use schema::{Config, Differences, Loaded, Source};
use wire::NodeId;
use wire::cfg::{ChangeId, Target};

use crate::hot::{Plan, Takeover};
use crate::run::{Key, load};

/// How long the nodes may take to answer: reading a file on a slow disk, on a busy machine.
const ANSWERS_MAX: Duration = Duration::from_secs(10);

/// How long after that the end of it may take to come back in order.
const END_MAX: Duration = Duration::from_secs(10);

/// How often this node's file is looked at while a ring with a newer configuration is there.
const FOLLOW_GAP: Duration = Duration::from_secs(5);

/// Notes of nodes that are kept for the one who asked.
const NOTES_MAX: usize = 64;

/// What came of a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All members took it over.
    Committed {
        /// The version in use now.
        config_version: u64,
        /// Keys that this node took over.
        at_run_time: Vec<String>,
        /// Whether the cluster key is a new one.
        new_key: bool,
        /// What nodes had to add: keys that need a restart.
        notes: Vec<(u32, String)>,
    },
    /// Nobody changed anything.
    Refused {
        /// Who refused; this node where nobody else did.
        node: u32,
        /// Why.
        why: String,
    },
}

/// A reload that somebody asked this node for.
struct Asked<A> {
    asker: A,
    number: u64,
    since: Instant,
    given_up: bool,
    notes: Vec<(u32, String)>,
}

/// A configuration that was checked and may be taken over.
struct Checked {
    change: ChangeId,
    config: Config,
    keys: Vec<ConfKey>,
    key: Key,
    differences: Differences,
}

/// What was read.
struct Read {
    config: Config,
    keys: Vec<ConfKey>,
    key: Key,
    differences: Differences,
}

/// Everything about reloads. `A` is who asks.
pub(crate) struct Reload<A> {
    source: Source,
    running: Config,
    /// What the file in use says, for the configuration map.
    keys: Vec<ConfKey>,
    key: u64,
    asked: Option<Asked<A>>,
    checked: Option<Checked>,
    next_number: u64,
    /// When this node last looked whether it can follow a newer configuration.
    followed: Option<Instant>,
}

/// What follows from an event.
pub(crate) enum Step<A> {
    /// Nothing.
    Nothing,
    /// Say this, with what to take over if it is committed.
    Answer(Request, Option<Box<Takeover>>),
    /// The configuration is [`Reload::running`] now; tell who asked, if it was asked here.
    Changed(Option<A>, Outcome),
    /// It is over without effect; tell who asked, if it was asked here.
    Over(Option<A>, Outcome),
}

/// The fingerprint of a key; zero without one.
fn fingerprint(key: &Key) -> u64 {
    key.as_ref().map_or(0, |key| link::fingerprint(&key.0))
}

impl<A> Reload<A> {
    /// As the engine was started; `plan.seed` makes the numbers of this start others than those before.
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            source: plan.source.clone(),
            running: plan.config.clone(),
            keys: plan.keys.clone(),
            key: fingerprint(&plan.key),
            asked: None,
            checked: None,
            next_number: plan.seed,
            followed: None,
        }
    }

    /// The configuration in use.
    pub(crate) fn running(&self) -> &Config {
        &self.running
    }

    /// What the file in use says, for the configuration map.
    pub(crate) fn keys(&self) -> &[ConfKey] {
        &self.keys
    }

    fn refused(&self, why: String) -> Outcome {
        Outcome::Refused { node: self.running.me, why }
    }

    /// Reads the file and what it differs in.
    fn read(&self) -> Result<Read, String> {
        let (Loaded { config, keys, .. }, key) =
            load(&self.source).map_err(|failure| failure.message)?;
        let at = |why| format!("{}: {why}", self.source.file().display());
        let differences = self.running.differences(&config).map_err(at)?;
        let new = fingerprint(&key);
        let number = |fingerprint: u64| fingerprint.to_le_bytes()[0];
        if new != self.key && number(new) == number(self.key) {
            return Err(at("security.key_file: the new key happens to have the number of the key in use; make \
                           another one with `synchrotron keygen`"
                .to_owned()));
        }
        Ok(Read { config, keys, key, differences })
    }

    /// Somebody asks for a reload. Gives what to ask the other nodes for.
    ///
    /// # Errors
    /// What came of it, if it was refused here.
    pub(crate) fn ask(&mut self, asker: A) -> Result<Request, (A, Outcome)> {
        if self.asked.is_some() {
            let why = "another reload that was asked for here is under way; try again";
            return Err((asker, self.refused(why.to_owned())));
        }
        match self.read() {
            Ok(read) => Ok(self.prepare(asker, &read)),
            Err(why) => Err((asker, self.refused(why))),
        }
    }

    /// A ring with a newer configuration was met. If the file here says the same, gives what to ask this node's
    /// own ring for; `None` when that was tried just now, or a reload is under way.
    ///
    /// # Errors
    /// Why this node cannot follow.
    pub(crate) fn follow(
        &mut self,
        asker: A,
        config_version: u64,
        config_hash: u64,
    ) -> Option<Result<Request, (A, Outcome)>> {
        let just_now = self.followed.is_some_and(|at| at.elapsed() < FOLLOW_GAP);
        if just_now || self.asked.is_some() {
            return None;
        }
        self.followed = Some(Instant::now());
        let file = self.source.file().display().to_string();
        let read = self.read().and_then(|read| {
            let found = (read.config.config_version, read.config.shared_hash());
            if found == (config_version, config_hash) {
                return Ok(read);
            }
            Err(format!(
                "{file}: cluster.config_version = {}: another ring has version {config_version}; accepted: the \
                 same file as its nodes have",
                found.0
            ))
        });
        Some(match read {
            Ok(read) => Ok(self.prepare(asker, &read)),
            Err(why) => Err((asker, self.refused(why))),
        })
    }

    fn prepare(&mut self, asker: A, read: &Read) -> Request {
        let Read { config, key, .. } = read;
        let number = self.next_number;
        self.next_number = self.next_number.wrapping_add(1);
        let (since, given_up, notes) = (Instant::now(), false, Vec::new());
        self.asked = Some(Asked { asker, number, since, given_up, notes });
        let target = Target {
            config_version: config.config_version,
            config_hash: config.shared_hash(),
            key: fingerprint(key),
        };
        Request::Prepare { number, target }
    }

    /// Whether a change was asked for here and is not over.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// What is due: giving up when nodes do not answer.
    pub(crate) fn tick(&mut self) -> Option<Request> {
        let asked = self.asked.as_mut()?;
        if asked.given_up || asked.since.elapsed() < ANSWERS_MAX {
            return None;
        }
        asked.given_up = true;
        let text = format!("not answered by all nodes within {} s", ANSWERS_MAX.as_secs());
        Some(Request::Abort { number: asked.number, text })
    }

    /// Whoever asked is told so when not even the end comes back: there is no ring.
    pub(crate) fn give_up(&mut self) -> Option<(A, Outcome)> {
        if self.asked.as_ref()?.since.elapsed() < ANSWERS_MAX + END_MAX {
            return None;
        }
        let asked = self.asked.take()?;
        let why = "this node is in no ring that orders messages; see `synchrotron status`";
        Some((asked.asker, self.refused(why.to_owned())))
    }

    /// Something happened in the total order.
    pub(crate) fn event(&mut self, event: Event) -> Step<A> {
        match event {
            Event::Check { change, target, members } => self.check(change, target, &members),
            Event::Answered { change, node, answer } => {
                if let Some(asked) =
                    self.asked.as_mut().filter(|_| change.node.0 == self.running.me)
                    && asked.number == change.number
                    && asked.notes.len() < NOTES_MAX
                    && !answer.text.is_empty()
                {
                    asked.notes.push((node.0, answer.text));
                }
                Step::Nothing
            }
            Event::Committed { change, .. } => self.committed(change),
            Event::Aborted { change, why } => {
                self.checked.take_if(|checked| checked.change == change);
                let outcome = self.aborted(why);
                Step::Over(self.asker(change).map(|asked| asked.asker), outcome)
            }
            Event::Newer { .. } | Event::Killed { .. } => Step::Nothing,
        }
    }

    fn asker(&mut self, change: ChangeId) -> Option<Asked<A>> {
        let me = self.running.me;
        self.asked.take_if(|asked| change == ChangeId { node: NodeId(me), number: asked.number })
    }

    fn aborted(&self, why: Abort) -> Outcome {
        match why {
            Abort::Busy { node } => {
                let why = format!("a reload that node {node} asked for is under way; try again");
                Outcome::Refused { node: node.0, why }
            }
            Abort::Refused { node, text } => Outcome::Refused { node: node.0, why: text },
            Abort::NewRing => {
                self.refused("the ring changed in between; nothing was changed; try again".into())
            }
        }
    }

    fn check(&mut self, change: ChangeId, target: Target, members: &[NodeId]) -> Step<A> {
        let answer = |good, text| Request::Answer { change, answer: Answer { good, text } };
        let read = self.read().and_then(|read| {
            self.compare(change.node, target, members, &read.config, &read.key)?;
            Ok(read)
        });
        let Read { config, keys, key, differences } = match read {
            Ok(read) => read,
            Err(why) => return Step::Answer(answer(false, why), None),
        };
        let note = match &differences.at_restart[..] {
            [] => String::new(),
            keys => format!("needs restart: {}", keys.join(", ")),
        };
        let mut running = self.running.clone();
        running.adopt(&config);
        let new_key =
            if fingerprint(&key) == self.key { None } else { key.as_ref().map(|key| key.0) };
        let takeover = Box::new(Takeover { change, config: running, new_key });
        self.checked = Some(Checked { change, config, keys, key, differences });
        Step::Answer(answer(true, note), Some(takeover))
    }

    /// Whether what was found here is what the node that asks found.
    fn compare(
        &self,
        asker: NodeId,
        target: Target,
        members: &[NodeId],
        config: &Config,
        key: &Key,
    ) -> Result<(), String> {
        let file = self.source.file().display();
        if config.config_version != target.config_version {
            return Err(format!(
                "{file}: cluster.config_version = {}: node {asker}'s file has {}; accepted: the same on every node",
                config.config_version, target.config_version
            ));
        }
        if config.shared_hash() != target.config_hash {
            return Err(format!(
                "{file}: the node list, or another key that nodes must agree on, differs from node {asker}'s file; \
                 accepted: the same on every node"
            ));
        }
        if fingerprint(key) != target.key {
            return Err(format!(
                "{file}: security.key_file: another key than node {asker}'s; accepted: the same file on every node"
            ));
        }
        let listed = |node: &&NodeId| config.nodes.iter().any(|listed| listed.id == node.0);
        if let Some(node) = members.iter().find(|node| !listed(node)) {
            return Err(format!(
                "{file}: nodes: node {node} is a member of the ring and not in the list; accepted: stop it first"
            ));
        }
        Ok(())
    }

    fn committed(&mut self, change: ChangeId) -> Step<A> {
        let Some(checked) = self.checked.take_if(|checked| checked.change == change) else {
            // Our answer was good, or it would not be committed: so it was checked.
            return Step::Nothing;
        };
        self.running.adopt(&checked.config);
        self.keys = checked.keys;
        let key = fingerprint(&checked.key);
        let new_key = std::mem::replace(&mut self.key, key) != key;
        let (asker, notes) = match self.asker(change) {
            Some(asked) => (Some(asked.asker), asked.notes),
            None => (None, Vec::new()),
        };
        let outcome = Outcome::Committed {
            config_version: self.running.config_version,
            at_run_time: checked.differences.at_run_time,
            new_key,
            notes,
        };
        Step::Changed(asker, outcome)
    }
}

impl Outcome {
    /// Why nothing was changed; `None` where it was.
    pub(crate) fn error(&self) -> Option<&str> {
        match self {
            Self::Committed { .. } => None,
            Self::Refused { why, .. } => Some(why),
        }
    }

    /// For whoever asked, as JSON.
    pub(crate) fn json(&self) -> String {
        match self {
            Self::Committed { config_version, at_run_time, new_key, notes } => {
                let notes: Vec<_> = notes
                    .iter()
                    .map(|(node, text)| serde_json::json!({ "node": node, "text": text }))
                    .collect();
                serde_json::json!({
                    "reload": "committed",
                    "config_version": config_version,
                    "changed": at_run_time,
                    "new_key": new_key,
                    "notes": notes,
                })
            }
            Self::Refused { node, why } => {
                serde_json::json!({ "reload": "refused", "node": node, "why": why })
            }
        }
        .to_string()
    }
}
