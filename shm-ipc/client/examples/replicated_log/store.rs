//! A replicated key-value store: every member applies the same commands in the same order, and one
//! that (re)joins gets the state from an elder, in order.
//!
//! How a newcomer catches up. The view with which it joins is a *point* in the total order.
//! Everybody knows from the views who has no state yet (*waiting*, and since which point). The
//! first member with state, the *elder*, takes a snapshot when it sees the view, that is: of the
//! state at exactly this point, and publishes it with the point's place. The newcomer keeps the
//! commands that come meanwhile; when a snapshot of its own or a later point arrives it takes that
//! and applies the commands kept that came after the point. If the elder dies first, the view that
//! shows it is the next point, and the next elder does the same there.
//!
//! When two parts of a cluster meet again, each may have gone on alone. The side of the first
//! member in the view's order that did not just join wins; the others wait for its snapshot. If
//! that member has no state itself it says so, and the next one of its side takes its place.

use std::collections::BTreeMap;

use client::{Member, Order, View, ViewCause};

/// First byte of a message.
const COMMAND: u8 = b'C';
const SNAPSHOT: u8 = b'S';
const NO_STATE: u8 = b'N';

/// Bytes of a point in a snapshot: ring sequence number, representative, sequence number, offset.
const POINT_BYTES: usize = 24;

/// A change of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Set a key.
    Set(String, String),
    /// Remove a key.
    Delete(String),
}

impl Command {
    /// The message that carries it.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![COMMAND];
        match self {
            Self::Set(key, value) => {
                put(&mut bytes, key);
                put(&mut bytes, value);
            }
            Self::Delete(key) => put(&mut bytes, key),
        }
        bytes
    }

    fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let key = take(&mut bytes)?;
        if bytes.is_empty() {
            return Some(Self::Delete(key));
        }
        Some(Self::Set(key, take(&mut bytes)?))
    }
}

/// One replica.
#[derive(Debug)]
pub(crate) struct Store {
    me: Member,
    data: BTreeMap<String, String>,
    applied: u64,
    members: Vec<Member>,
    /// Points seen since somebody waits.
    points: Vec<Order>,
    /// Members without state, and the point (as a place in `points`) since when.
    waiting: BTreeMap<Member, usize>,
    /// While waiting ourselves: commands, and how many points had come before each.
    kept: Vec<(usize, Command)>,
}

impl Store {
    /// An empty replica of this member.
    pub(crate) fn new(me: Member) -> Self {
        Self {
            me,
            data: BTreeMap::new(),
            applied: 0,
            members: Vec::new(),
            points: Vec::new(),
            waiting: BTreeMap::new(),
            kept: Vec::new(),
        }
    }

    /// The same replica in a new session. It keeps its state, in case nobody has a newer one.
    pub(crate) fn reconnected(&mut self, me: Member) {
        let (data, applied) = (std::mem::take(&mut self.data), self.applied);
        *self = Self { data, applied, ..Self::new(me) };
    }

    /// Whether the state is that of the group.
    pub(crate) fn is_current(&self) -> bool {
        !self.waiting.contains_key(&self.me)
    }

    /// A value.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.data.get(key).map(String::as_str)
    }

    /// Commands that made this state.
    pub(crate) fn applied(&self) -> u64 {
        self.applied
    }

    /// A number that is equal wherever the state is (FNV-1a over keys and values).
    pub(crate) fn hash(&self) -> u64 {
        let bytes = self.data.iter().flat_map(|(key, value)| {
            let (key, value) = (key.bytes(), value.bytes());
            key.chain([0]).chain(value).chain([0])
        });
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        })
    }

    /// A view was delivered. Returns a message to publish, if it is for us to do something.
    pub(crate) fn view(&mut self, view: &View) -> Option<Vec<u8>> {
        self.members.clone_from(&view.members);
        self.waiting.retain(|member, _| view.members.contains(member));
        let point = self.point(view.order);
        let came = |fresh: bool| {
            let changes = view.joined.iter();
            changes.filter(move |c| (c.cause == ViewCause::Join) == fresh).map(|c| c.member)
        };
        if view.members.len() > 1 {
            self.waiting.extend(came(true).map(|member| (member, point)));
        }
        let strangers: Vec<Member> = came(false).collect();
        if strangers.is_empty() {
            return self.help(self.elder()?, view.order);
        }
        // Two parts meet. Who wins follows from the view alone, so that both sides think the same.
        let first = view.members.iter().copied().find(|member| came(true).all(|c| c != *member))?;
        let we_lose = strangers.contains(&first);
        for member in view.members.iter().filter(|member| strangers.contains(member) != we_lose) {
            self.waiting.insert(*member, point);
        }
        self.help(first, view.order)
    }

    /// A message was delivered. Returns a message to publish, if it is for us to do something.
    pub(crate) fn message(
        &mut self,
        sender: Member,
        order: Order,
        bytes: &[u8],
    ) -> Option<Vec<u8>> {
        let (kind, rest) = bytes.split_first()?;
        match *kind {
            COMMAND => {
                let command = Command::from_bytes(rest)?;
                if self.is_current() {
                    self.apply(command);
                } else {
                    self.kept.push((self.points.len(), command));
                }
                None
            }
            SNAPSHOT => {
                self.snapshot_came(rest);
                None
            }
            NO_STATE => {
                let point = self.point(order);
                self.waiting.insert(sender, point);
                self.help(self.elder()?, order)
            }
            _ => None,
        }
    }

    /// Notes a point; returns its place.
    fn point(&mut self, order: Order) -> usize {
        if self.waiting.is_empty() {
            self.points.clear();
        }
        self.points.push(order);
        self.points.len() - 1
    }

    /// The first member that has the state; if nobody has, the first of all.
    fn elder(&self) -> Option<Member> {
        let elder = self.members.iter().find(|member| !self.waiting.contains_key(member));
        elder.or(self.members.first()).copied()
    }

    /// What is to be done at this point for those who wait, if it is for us to do it.
    fn help(&mut self, elder: Member, point: Order) -> Option<Vec<u8>> {
        if elder != self.me || self.waiting.is_empty() {
            return None;
        }
        if !self.is_current() {
            if self.members.iter().any(|member| !self.waiting.contains_key(member)) {
                return Some(vec![NO_STATE]);
            }
            // Nobody has the state any more: what we have becomes it.
            self.waiting.remove(&self.me);
            let kept = std::mem::take(&mut self.kept);
            kept.into_iter().for_each(|(_, command)| self.apply(command));
        }
        let mut bytes = vec![SNAPSHOT];
        bytes.extend_from_slice(&point.ring_seq.to_le_bytes());
        bytes.extend_from_slice(&point.ring_rep.to_le_bytes());
        bytes.extend_from_slice(&point.seq.to_le_bytes());
        bytes.extend_from_slice(&point.offset.to_le_bytes());
        bytes.extend_from_slice(&self.applied.to_le_bytes());
        for (key, value) in &self.data {
            put(&mut bytes, key);
            put(&mut bytes, value);
        }
        Some(bytes)
    }

    fn snapshot_came(&mut self, bytes: &[u8]) {
        let Some((point, rest)) = bytes.split_at_checked(POINT_BYTES) else { return };
        let Some((applied, mut rest)) = rest.split_first_chunk::<8>() else { return };
        let long = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| point[at + i]));
        let short = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| point[at + i]));
        let order =
            Order { ring_seq: long(0), ring_rep: short(8), seq: long(12), offset: short(20) };
        // A point from before our time is of no use to us, nor to anybody who came with us or later.
        let Some(point) = self.points.iter().position(|known| *known == order) else { return };
        let was_waiting = self.waiting.get(&self.me).is_some_and(|since| *since <= point);
        self.waiting.retain(|_, since| *since > point);
        if !was_waiting {
            return;
        }
        self.data.clear();
        self.applied = u64::from_le_bytes(*applied);
        while !rest.is_empty() {
            let (Some(key), Some(value)) = (take(&mut rest), take(&mut rest)) else { break };
            self.data.insert(key, value);
        }
        for (points, command) in std::mem::take(&mut self.kept) {
            // `points` of them had come before: the one in question was among them.
            if points > point {
                self.apply(command);
            }
        }
    }

    fn apply(&mut self, command: Command) {
        match command {
            Command::Set(key, value) => {
                self.data.insert(key, value);
            }
            Command::Delete(key) => {
                self.data.remove(&key);
            }
        }
        self.applied += 1;
    }
}

fn put(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

fn take(bytes: &mut &[u8]) -> Option<String> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    *bytes = rest;
    String::from_utf8(text.to_vec()).ok()
}
