//! Quorum and votequorum: who may act for the cluster, and the votes behind it. What is asked of votes goes to
//! the hot thread, which has them; who wants to be told is kept here.

use std::collections::BTreeMap;

use groups::QuorumEvent;
use groups::votequorum::{News, NodeState};
use services::{Answer, Failure, Notice, Reply, Ring, Track, codec, quorum, votequorum};
use session::{Acceptor, AskId, ConnectionId};
use wire::{NodeId, RingId};

use super::Caller;

/// What the hot thread is asked.
#[derive(Clone, Debug)]
pub(crate) enum Question {
    /// Whether this node may act now.
    State,
    /// Something about votes.
    Votes(votequorum::Request),
}

/// What comes of a question.
pub(super) enum Outcome {
    /// This is the answer.
    Now(Reply),
    /// The hot thread has it.
    Ask(Question),
}

/// What trackers are told.
pub(super) struct Quorum {
    counted: bool,
    quorate: bool,
    /// The ring in force.
    ring: Ring,
    members: Vec<u32>,
    /// The ring whose votes are being counted, or were.
    judged: (Ring, Vec<u32>),
    nodes: Vec<(u32, votequorum::NodeState)>,
    /// What the quorum devices of nodes have to say for themselves, never empty.
    extras: BTreeMap<u32, Vec<u8>>,
    trackers: BTreeMap<ConnectionId, Track>,
    vote_trackers: BTreeMap<ConnectionId, Track>,
    /// Who waits for the registration of a device.
    registering: Option<AskId>,
}

impl Quorum {
    pub(super) fn new(counted: bool) -> Self {
        Self {
            counted,
            quorate: !counted,
            ring: Ring::default(),
            members: Vec::new(),
            judged: (Ring::default(), Vec::new()),
            nodes: Vec::new(),
            extras: BTreeMap::new(),
            trackers: BTreeMap::new(),
            vote_trackers: BTreeMap::new(),
            registering: None,
        }
    }

    /// A question to quorum.
    pub(super) fn ask(
        &mut self,
        ask: AskId,
        request: &quorum::Request,
        acceptor: &mut Acceptor,
    ) -> Outcome {
        let to = ask.connection();
        match request {
            quorum::Request::State => Outcome::Ask(Question::State),
            quorum::Request::Track(track) => {
                if track.current || track.changes {
                    let (ring, members) = (self.ring, self.members.clone());
                    let (joined, left) = (Vec::new(), Vec::new());
                    let nodes = quorum::Notice::Nodes { ring, members, joined, left };
                    tell(acceptor, to, &Notice::Quorum(nodes));
                    tell(acceptor, to, &self.quorum_notice());
                }
                Outcome::Now(add(&mut self.trackers, to, *track))
            }
            quorum::Request::Untrack => {
                // `corosync-quorumtool` ends a track that asked for the present state only.
                self.trackers.remove(&to);
                Outcome::Now(Ok(Answer::Done))
            }
        }
    }

    /// A question to votequorum.
    pub(super) fn ask_votes(
        &mut self,
        caller: Caller,
        request: &votequorum::Request,
        acceptor: &mut Acceptor,
    ) -> Outcome {
        if !self.counted {
            return Outcome::Now(Err(Failure::NotSupported));
        }
        let to = caller.ask.connection();
        match request {
            votequorum::Request::Track(track) => {
                if track.current || track.changes {
                    tell(acceptor, to, &self.judged_notice());
                    tell(acceptor, to, &self.votes_notice());
                    for (node, bytes) in &self.extras {
                        tell(acceptor, to, &extra_notice(*node, bytes));
                    }
                }
                Outcome::Now(add(&mut self.vote_trackers, to, *track))
            }
            votequorum::Request::Untrack => Outcome::Now(remove(&mut self.vote_trackers, to)),
            votequorum::Request::Info { .. } | votequorum::Request::QdeviceExtraGet { .. } => {
                Outcome::Ask(Question::Votes(request.clone()))
            }
            _ if !caller.trusted => Outcome::Now(Err(Failure::Access)),
            _ => Outcome::Ask(Question::Votes(request.clone())),
        }
    }

    /// The hot thread's answer has come; `None`: it comes with [`News::Registered`].
    pub(super) fn answered(&mut self, ask: AskId, reply: Option<Reply>, acceptor: &mut Acceptor) {
        match reply {
            Some(reply) => super::answer(acceptor, ask, &reply),
            None => self.registering = Some(ask),
        }
    }

    /// Something changed.
    pub(super) fn event(&mut self, event: QuorumEvent, acceptor: &mut Acceptor) {
        match event {
            QuorumEvent::Judge { ring: id, members } => {
                self.judged = (ring(id), ids(&members));
                self.tell_all(true, &self.judged_notice(), acceptor);
            }
            QuorumEvent::NodeList { ring: id, members, joined, left } => {
                self.ring = ring(id);
                self.members = ids(&members);
                let (ring, members) = (self.ring, self.members.clone());
                let (joined, left) = (ids(&joined), ids(&left));
                let nodes = quorum::Notice::Nodes { ring, members, joined, left };
                self.tell_all(false, &Notice::Quorum(nodes), acceptor);
            }
            QuorumEvent::Changed { quorate, ring: id, members, nodes } => {
                self.quorate = quorate;
                self.ring = ring(id);
                self.members = ids(&members);
                self.nodes = nodes.iter().map(|(node, at)| (node.0, state(*at))).collect();
                self.tell_all(false, &self.quorum_notice(), acceptor);
                if self.counted {
                    self.tell_all(true, &self.votes_notice(), acceptor);
                }
            }
            QuorumEvent::News(news) => self.news(news, acceptor),
        }
    }

    fn news(&mut self, news: News, acceptor: &mut Acceptor) {
        match news {
            News::ExpectedVotes { votes } => {
                let expected = votequorum::Notice::Expected { votes };
                self.tell_all(true, &Notice::Votequorum(expected), acceptor);
            }
            News::Extra { node, bytes } => {
                self.tell_all(true, &extra_notice(node.0, &bytes), acceptor);
                self.extras.remove(&node.0);
                if !bytes.is_empty() {
                    self.extras.insert(node.0, bytes.into());
                }
            }
            News::Registered { accepted } => {
                let reply = if accepted { Ok(Answer::Done) } else { Err(Failure::Exist) };
                if let Some(ask) = self.registering.take() {
                    super::answer(acceptor, ask, &reply);
                }
            }
            // Kept by whoever keeps state.
            News::Track { .. } => {}
        }
    }

    /// A connection is over.
    pub(super) fn closed(&mut self, connection: ConnectionId) {
        self.trackers.remove(&connection);
        self.vote_trackers.remove(&connection);
        self.registering = self.registering.filter(|ask| ask.connection() != connection);
    }

    fn tell_all(&self, votes: bool, notice: &Notice, acceptor: &mut Acceptor) {
        let trackers = if votes { &self.vote_trackers } else { &self.trackers };
        let bytes = codec::encode(notice);
        for to in trackers.keys() {
            acceptor.notify(*to, &bytes);
        }
    }

    fn quorum_notice(&self) -> Notice {
        let (quorate, ring, members) = (self.quorate, self.ring, self.members.clone());
        Notice::Quorum(quorum::Notice::Quorum { quorate, ring, members })
    }

    fn judged_notice(&self) -> Notice {
        let (ring, nodes) = self.judged.clone();
        Notice::Votequorum(votequorum::Notice::Nodes { ring, nodes })
    }

    fn votes_notice(&self) -> Notice {
        let (quorate, nodes) = (self.quorate, self.nodes.clone());
        Notice::Votequorum(votequorum::Notice::Quorum { quorate, nodes })
    }
}

fn extra_notice(node: u32, bytes: &[u8]) -> Notice {
    Notice::Votequorum(votequorum::Notice::QdeviceExtra { node, bytes: bytes.to_vec() })
}

fn tell(acceptor: &mut Acceptor, to: ConnectionId, notice: &Notice) {
    acceptor.notify(to, &codec::encode(notice));
}

fn add(trackers: &mut BTreeMap<ConnectionId, Track>, to: ConnectionId, track: Track) -> Reply {
    if trackers.contains_key(&to) {
        return Err(Failure::Exist);
    }
    if track.changes || track.changes_only {
        trackers.insert(to, track);
    }
    Ok(Answer::Done)
}

fn remove(trackers: &mut BTreeMap<ConnectionId, Track>, to: ConnectionId) -> Reply {
    trackers.remove(&to).map(|_| Answer::Done).ok_or(Failure::NotExist)
}

pub(crate) fn ring(id: RingId) -> Ring {
    Ring { node: id.rep.0, seq: id.seq }
}

fn ids(nodes: &[NodeId]) -> Vec<u32> {
    nodes.iter().map(|node| node.0).collect()
}

/// A state as programs are told it: what travels between program and engine is apart from what nodes decide with,
/// so that a client needs nothing of the engine.
pub(crate) fn state(state: NodeState) -> votequorum::NodeState {
    match state {
        NodeState::Member => votequorum::NodeState::Member,
        NodeState::Dead => votequorum::NodeState::Dead,
        NodeState::Leaving => votequorum::NodeState::Leaving,
    }
}
