//! Configuration files: what each of them says, and what the operator wants them all to say.

use groups::cfg::Answer;
use totem::TokenTimeout;
use wire::cfg::Target;
use wire::{NodeId, RingId};

use crate::scenario::Scenario;
use crate::world::World;

/// What a configuration file says, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) version: u64,
    pub(crate) hash: u64,
    pub(crate) nodes: Vec<NodeId>,
    /// The number of the cluster key.
    pub(crate) key: u8,
    /// Bounds of the token timeout in microseconds.
    pub(crate) timeout_us: (u64, u64),
}

/// The file of a host: index into [`Files::all`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileId(usize);

/// Every file that was ever written.
#[derive(Debug)]
pub(crate) struct Files {
    all: Vec<File>,
    /// What all hosts are to have.
    pub(crate) goal: FileId,
    /// Number of the next reload.
    pub(crate) next_number: u64,
}

impl Files {
    /// The first file of a scenario.
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let nodes = (1..=scenario.nodes).map(NodeId);
        let first = File {
            version: 2,
            hash: 7,
            nodes: nodes.filter(|n| scenario.absent != Some(n.0 as usize - 1)).collect(),
            key: 0,
            timeout_us: (scenario.token_timeout_min_us, scenario.token_timeout_max_us),
        };
        Self { all: vec![first], goal: FileId(0), next_number: 1 }
    }

    /// The file that a host has at first: that of the others, unless it is the one that has another.
    pub(crate) fn first_of(&mut self, node: NodeId, scenario: &Scenario) -> FileId {
        match scenario.stale.filter(|stale| node.0 as usize == stale.host + 1) {
            None => self.goal,
            Some(stale) if stale.older => self.write(File { version: 1, ..self.goal().clone() }),
            Some(_) => self.write(File { hash: 8, ..self.goal().clone() }),
        }
    }

    pub(crate) fn get(&self, id: FileId) -> &File {
        &self.all[id.0]
    }

    pub(crate) fn goal(&self) -> &File {
        self.get(self.goal)
    }

    /// Another file, on no host yet.
    pub(crate) fn write(&mut self, file: File) -> FileId {
        self.all.push(file);
        FileId(self.all.len() - 1)
    }

    /// A hash that no file has.
    pub(crate) fn fresh_hash(&self) -> u64 {
        100 + self.all.len() as u64
    }
}

impl File {
    /// Whether a node counts as having the same configuration.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        (self.version, self.hash) == (other.version, other.hash)
    }

    pub(crate) fn names(&self, node: NodeId) -> bool {
        self.nodes.contains(&node)
    }

    pub(crate) fn token_timeout(&self) -> TokenTimeout {
        let (min_us, max_us) = self.timeout_us;
        TokenTimeout::Auto { min_us, max_us }
    }

    /// What all nodes must find.
    pub(crate) fn target(&self, encrypted: bool) -> Target {
        let (config_version, config_hash) = (self.version, self.hash);
        let key = if encrypted { 1 + u64::from(self.key) } else { 0 };
        Target { config_version, config_hash, key }
    }

    /// What a node that stands on `running` answers when it finds this file.
    pub(crate) fn answer(
        &self,
        me: NodeId,
        running: &Self,
        target: Target,
        members: &[NodeId],
        encrypted: bool,
    ) -> Answer {
        let why = if self.target(encrypted) != target {
            Some("another file")
        } else if self.version < running.version {
            Some("an older file")
        } else if self.version == running.version && self.hash != running.hash {
            Some("other contents under the same version")
        } else if !members.iter().chain([&me]).all(|node| self.names(*node)) {
            Some("a member is not in the list")
        } else {
            None
        };
        Answer { good: why.is_none(), text: why.unwrap_or_default().to_owned() }
    }
}

impl World {
    /// What a node is to take over.
    pub(crate) fn reconfiguration(&self, ring: RingId, file: &File) -> node::Reconfiguration {
        node::Reconfiguration {
            ring,
            nodes: file.nodes.clone(),
            token_timeout: file.token_timeout(),
            consensus_us: self.scenario.tuning.consensus_us,
            config_version: file.version,
            config_hash: file.hash,
            limits: groups::Limits::default(),
            links: self.scenario.links,
            quorum: self.scenario.ballot.as_ref().map(|ballot| ballot.options(&file.nodes)),
        }
    }
}
