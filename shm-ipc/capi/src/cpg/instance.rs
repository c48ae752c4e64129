//! One handle of libcpg: a session of the native client, and what comes of its events.

use std::collections::{BTreeSet, VecDeque};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use client::{
    Change, Client, Event, Group, JoinError, Options, PublishError, RefusedReason, View, ViewCause,
};
use services::{Answer, Reply, Request, codec};

use super::types::{CpgAddress, CpgModelV1, INITIAL_TOTEM_CONF};
use crate::edge::{CONNECT, NO_LIMIT, generation, lock, socket_path};
use crate::error::{
    EXIST, INVALID_PARAM, LIBRARY, NOT_EXIST, Outcome, TOO_BIG, TRY_AGAIN, of_connect,
};

/// Submit ring of a handle, in bytes: a message of the largest atomic size and its headers fit at once, so that
/// sending one either happens or is `TRY_AGAIN`. Pages become real as they are used.
const SUBMIT_BYTES: u32 = 2 << 20;

/// Largest message that is sent in one go, as every libcpg says.
pub(super) const ATOMIC_BYTES_MAX: u32 = (1 << 20) - 1024;

/// Groups that handles of a process are in: a process is in a group once.
struct Joined {
    /// Which process, see [`generation`].
    process: u32,
    names: BTreeSet<Vec<u8>>,
}

static JOINED: Mutex<Joined> = Mutex::new(Joined { process: 0, names: BTreeSet::new() });

/// The groups of this process. One that was forked is in none of its parent's.
fn names_joined() -> MutexGuard<'static, Joined> {
    let mut joined = lock(&JOINED);
    let process = generation();
    if std::mem::replace(&mut joined.process, process) != process {
        joined.names.clear();
    }
    joined
}

/// A handle's session.
pub(super) struct Instance {
    state: Mutex<State>,
    pub(super) callbacks: CpgModelV1,
    /// What the program polls. Open as long as this lives.
    pub(super) fd: i32,
    pub(super) node: u32,
    pub(super) finalized: AtomicBool,
    pub(super) context: AtomicUsize,
}

struct State {
    client: Client,
    joined: Option<Group>,
    /// What one event led to beyond its first callback.
    more: VecDeque<Callback>,
    /// The ring that the program was told of last.
    ring: Option<(u32, u64)>,
}

/// What to call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Callback {
    /// A message of `len` bytes, in the buffer of the dispatch.
    Deliver { group: Vec<u8>, node: u32, pid: u32, len: usize },
    /// A group changed.
    Confchg {
        group: Vec<u8>,
        members: Vec<CpgAddress>,
        left: Vec<CpgAddress>,
        joined: Vec<CpgAddress>,
    },
    /// The ring changed.
    Totem { node: u32, seq: u64, members: Vec<u32> },
}

/// What a look led to.
pub(super) enum Look {
    /// A callback is due.
    Call(Callback),
    /// There was nothing, although the bell had been rung.
    Spurious,
    /// There is nothing.
    Nothing,
    /// The engine is gone, or has ended the session.
    Over,
}

/// Memory for messages, aligned as programs expect that lay structures over them.
#[derive(Default)]
pub(super) struct Buffer(Vec<u64>);

impl Buffer {
    fn fill(&mut self, bytes: &[u8]) {
        self.0.clear();
        self.0.resize(bytes.len().div_ceil(8).max(1), 0);
        // SAFETY: the words were just made to hold at least these bytes, and they are ours alone.
        unsafe {
            let to = self.0.as_mut_ptr().cast::<u8>();
            to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut std::ffi::c_void {
        self.0.as_mut_ptr().cast()
    }
}

impl Instance {
    pub(super) fn open(callbacks: CpgModelV1, context: usize) -> Outcome<Self> {
        let options = Options {
            submit_bytes: SUBMIT_BYTES,
            connect_timeout: CONNECT,
            join_timeout: NO_LIMIT,
            bell_socket: true,
            ..Options::default()
        };
        let connected = Client::connect(socket_path(), options);
        let mut client = connected.map_err(|error| of_connect(&error))?;
        let fd = client.bell().ok_or(LIBRARY)?.as_raw_fd();
        let node = client.me().node;
        // From here on the bell rings for what comes.
        client.settle(false);
        let state = State { client, joined: None, more: VecDeque::new(), ring: None };
        Ok(Self {
            state: Mutex::new(state),
            callbacks,
            fd,
            node,
            finalized: AtomicBool::new(false),
            context: AtomicUsize::new(context),
        })
    }

    /// Joins; the change that shows it is left for the dispatch.
    pub(super) fn join(&self, name: &[u8]) -> Outcome {
        let mut state = lock(&self.state);
        if state.joined.is_some() || !names_joined().names.insert(name.to_vec()) {
            return Err(EXIST);
        }
        let joined = state.client.join(name);
        state.settle();
        match joined {
            Ok(group) => {
                state.joined = Some(group);
                Ok(())
            }
            Err(error) => {
                names_joined().names.remove(name);
                Err(match error {
                    JoinError::Refused(RefusedReason::BadName) => INVALID_PARAM,
                    JoinError::Refused(RefusedReason::AlreadyMember) => EXIST,
                    JoinError::Refused(_) | JoinError::Timeout => TRY_AGAIN,
                    JoinError::TooMuchArrived | JoinError::Ended(_) => LIBRARY,
                })
            }
        }
    }

    /// Leaves the group of this handle, whatever name is given.
    pub(super) fn leave(&self) -> Outcome {
        let mut state = lock(&self.state);
        if state.client.ended().is_some() {
            return Err(LIBRARY);
        }
        let group = state.joined.take().ok_or(NOT_EXIST)?;
        names_joined().names.remove(group.name());
        let left = state.client.leave(&group);
        state.settle();
        left.map_err(|_| LIBRARY)
    }

    /// Sends.
    pub(super) fn publish(&self, parts: &[&[u8]], safe: bool) -> Outcome {
        let mut state = lock(&self.state);
        let State { client, joined, .. } = &mut *state;
        if client.ended().is_some() {
            return Err(LIBRARY);
        }
        let group = joined.as_ref().ok_or(NOT_EXIST)?;
        match client.publish_parts(group, parts, safe, false) {
            Ok(()) => Ok(()),
            Err(PublishError::Full) => Err(TRY_AGAIN),
            Err(PublishError::TooLong { .. } | PublishError::TooLongForOnePiece { .. }) => {
                Err(TOO_BIG)
            }
            Err(PublishError::NotMember) => Err(NOT_EXIST),
            Err(PublishError::Ended(_)) => Err(LIBRARY),
        }
    }

    /// Whether it would be wise to wait before sending more: half of the submit ring waits for the engine.
    pub(super) fn is_congested(&self) -> bool {
        lock(&self.state).client.unsent_bytes() > SUBMIT_BYTES as usize / 2
    }

    /// Largest message sent in one go.
    pub(super) fn atomic_bytes_max(&self) -> u32 {
        let max = lock(&self.state).client.message_bytes_max();
        u32::try_from(max).unwrap_or(u32::MAX).min(ATOMIC_BYTES_MAX)
    }

    /// Asks about groups.
    pub(super) fn ask(&self, request: services::cpg::Request) -> Outcome<services::cpg::Answer> {
        let mut state = lock(&self.state);
        let answer = state.ask(request);
        state.settle();
        answer
    }

    /// The next thing to call. `rung`: the bell had been rung when the dispatch began.
    pub(super) fn look(&self, buffer: &mut Buffer, rung: bool) -> Look {
        let mut state = lock(&self.state);
        state.look(buffer, &self.callbacks, rung)
    }

    /// Before the program waits on the bell by its own means.
    pub(super) fn settle(&self) {
        lock(&self.state).settle();
    }

    pub(super) fn is_rung(&self) -> bool {
        lock(&self.state).client.is_rung()
    }

    /// The program is done with it. What is still inside goes on until it returns.
    pub(super) fn finalize(&self) {
        self.finalized.store(true, Ordering::Release);
        if let Some(group) = &lock(&self.state).joined {
            names_joined().names.remove(group.name());
        }
    }
}

impl State {
    fn settle(&mut self) {
        self.client.settle(!self.more.is_empty());
    }

    fn ask(&mut self, request: services::cpg::Request) -> Outcome<services::cpg::Answer> {
        let question = codec::encode(&Request::Cpg(request));
        let answer = self.client.ask(&question, NO_LIMIT).map_err(|_| LIBRARY)?;
        match codec::decode::<Reply>(&answer) {
            Ok(Ok(Answer::Cpg(answer))) => Ok(answer),
            Ok(Err(failure)) => Err(failure.code().into()),
            _ => Err(LIBRARY),
        }
    }

    fn look(&mut self, buffer: &mut Buffer, callbacks: &CpgModelV1, rung: bool) -> Look {
        loop {
            if let Some(callback) = self.more.pop_front() {
                return Look::Call(callback);
            }
            let mut first = false;
            match self.client.try_recv() {
                Some(Event::Message(message)) => {
                    if callbacks.deliver.is_none() {
                        continue;
                    }
                    buffer.fill(message.bytes);
                    return Look::Call(Callback::Deliver {
                        group: message.group.name().to_vec(),
                        node: message.sender.node,
                        pid: message.sender.pid,
                        len: message.bytes.len(),
                    });
                }
                Some(Event::View(view)) => {
                    first = view.is_first;
                    if callbacks.confchg.is_some() {
                        confchg(&view, &mut self.more);
                    }
                }
                Some(Event::Configuration(ring)) if ring.synced => {
                    self.ring_is((ring.ring_rep, ring.ring_seq), ring.nodes, callbacks);
                }
                Some(Event::Evicted(_) | Event::Disconnected) => return Look::Over,
                Some(_) => {}
                None => {
                    // Also learns of the engine's end.
                    self.settle();
                    return match self.client.ended() {
                        Some(_) => Look::Over,
                        None if rung => Look::Spurious,
                        None => Look::Nothing,
                    };
                }
            }
            let wants_ring = callbacks.flags & INITIAL_TOTEM_CONF != 0;
            if first
                && wants_ring
                && let Ok(services::cpg::Answer::Flow { ring, members, .. }) =
                    self.ask(services::cpg::Request::Flow)
            {
                self.ring_is((ring.node, ring.seq), members, callbacks);
            }
        }
    }

    fn ring_is(&mut self, ring: (u32, u64), members: Vec<u32>, callbacks: &CpgModelV1) {
        if callbacks.totem_confchg.is_some() && self.ring.replace(ring) != Some(ring) {
            self.more.push_back(Callback::Totem { node: ring.0, seq: ring.1, members });
        }
    }
}

/// The callbacks of a view: one, or two if somebody went and somebody came. Then first those who went.
fn confchg(view: &View, out: &mut VecDeque<Callback>) {
    let plain = |node, pid| CpgAddress { nodeid: node, pid, reason: 0 };
    let changed = |change: &Change| CpgAddress {
        nodeid: change.member.node,
        pid: change.member.pid,
        reason: reason(change.cause),
    };
    let group = view.group.name().to_vec();
    let members: Vec<_> = view.members.iter().map(|m| plain(m.node, m.pid)).collect();
    let left: Vec<_> = view.left.iter().map(changed).collect();
    let joined: Vec<_> = view.joined.iter().map(changed).collect();
    if left.is_empty() || joined.is_empty() {
        return out.push_back(Callback::Confchg { group, members, left, joined });
    }
    let new = |m: &client::Member| view.joined.iter().any(|change| change.member == *m);
    let stayed = view.members.iter().filter(|m| !new(m)).map(|m| plain(m.node, m.pid)).collect();
    let went =
        Callback::Confchg { group: group.clone(), members: stayed, left, joined: Vec::new() };
    out.push_back(went);
    out.push_back(Callback::Confchg { group, members, left: Vec::new(), joined });
}

fn reason(cause: ViewCause) -> u32 {
    match cause {
        ViewCause::Join => 1,
        ViewCause::Leave => 2,
        ViewCause::NodeDown => 3,
        ViewCause::NodeUp => 4,
        ViewCause::ProcessDown => 5,
        ViewCause::Other(_) => 0,
    }
}
