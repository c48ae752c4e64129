//! An engine in a thread: one node, no network. What programs submit is delivered back to all of them in the
//! order in which it was pulled, joins and leaves included.
#![allow(dead_code)] // each test file uses its own part of it

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use frame::{Class, Pool, PoolConfig, Region};
use session::layout::FRAGMENT_GAP_BYTES;
use session::view::View;
use session::{
    Acceptor, Access, Cause, Config, Counters, Delivery, Member, Messages, Order, Pulled, Request,
    Server, SessionStatus,
};

pub(crate) const NODE: u32 = 7;

/// How an engine is made.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) session: Config,
    pub(crate) pool: PoolConfig,
    /// Room for messages in one frame.
    pub(crate) frame_bytes: usize,
}

/// What the hot thread shows to the test.
#[derive(Clone, Default, Debug)]
pub(crate) struct Shown {
    pub(crate) counters: Counters,
    pub(crate) sessions: Vec<(u32, u32, bool, usize)>,
    pub(crate) closed: Vec<(u32, Cause)>,
    pub(crate) small_free: u32,
    pub(crate) large_free: u32,
    pub(crate) backlog_bytes: usize,
}

/// A running engine.
pub(crate) struct Engine {
    pub(crate) path: PathBuf,
    stop: Arc<AtomicBool>,
    paused: Arc<AtomicBool>,
    shown: Arc<Mutex<Shown>>,
    turns: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
    pub(crate) dir: tempfile::TempDir,
}

impl Setup {
    pub(crate) fn new() -> Self {
        let pool = PoolConfig {
            small_bytes: 2048,
            small_count: 2048,
            large_bytes: 65536,
            large_count: 64,
        };
        let mut session = Config::new("replaced by start");
        session.node = NODE;
        session.first_session = 1000;
        session.boot = [3; 16];
        session.access = Access::default();
        Self { session, pool, frame_bytes: 1400 }
    }

    pub(crate) fn start(self) -> Engine {
        let dir = tempfile::tempdir().unwrap();
        self.start_in(dir)
    }

    pub(crate) fn start_in(mut self, dir: tempfile::TempDir) -> Engine {
        // Clients of other users have to reach the socket.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir.path(), open).unwrap();
        self.session.path = dir.path().join("socket");
        let path = self.session.path.clone();
        let stop = Arc::new(AtomicBool::new(false));
        let paused = Arc::new(AtomicBool::new(false));
        let shown = Arc::new(Mutex::new(Shown::default()));
        let turns = Arc::new(AtomicU64::new(0));
        let (send, receive) = mpsc::channel();
        let hot = {
            let (stop, paused) = (stop.clone(), paused.clone());
            let (shown, turns) = (shown.clone(), turns.clone());
            std::thread::spawn(move || {
                let region = Region::create(self.pool).unwrap();
                let fd = region.fd().try_clone_to_owned().unwrap();
                let pool = region.into_pool(self.pool);
                let (server, acceptor) =
                    session::open(self.session.clone(), pool.clone(), fd).unwrap();
                send.send(acceptor).unwrap();
                let mut hot = Hot::new(server, pool, self.frame_bytes);
                while !stop.load(Ordering::Relaxed) {
                    while paused.load(Ordering::Relaxed) && !stop.load(Ordering::Relaxed) {
                        std::thread::sleep(Duration::from_micros(200));
                    }
                    hot.turn();
                    hot.show(&shown);
                    turns.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let mut acceptor: Acceptor = receive.recv().unwrap();
        let control = {
            let stop = stop.clone();
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let mut asked = Vec::new();
                    let mut sink =
                        |ask: &session::Ask<'_>| asked.push((ask.id, ask.bytes.to_vec()));
                    acceptor.poll(Duration::from_millis(5), &mut sink).unwrap();
                    for (id, bytes) in asked {
                        acceptor.answer(id, &answer(&bytes));
                    }
                }
            })
        };
        Engine { path, stop, paused, shown, turns, threads: vec![hot, control], dir }
    }
}

/// `echo N`: N bytes; anything else comes back.
fn answer(question: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(question);
    match text.strip_prefix("echo ").and_then(|n| n.parse().ok()) {
        Some(bytes) => vec![b'e'; bytes],
        None => question.to_vec(),
    }
}

impl Engine {
    pub(crate) fn start() -> Self {
        Setup::new().start()
    }

    /// Stops the hot thread's loop for a while (`true`), or lets it go on.
    pub(crate) fn pause(&self, on: bool) {
        self.paused.store(on, Ordering::Relaxed);
    }

    pub(crate) fn shown(&self) -> Shown {
        self.shown.lock().unwrap().clone()
    }

    /// Waits until what the engine shows satisfies `test`.
    pub(crate) fn until(&self, what: &str, test: impl Fn(&Shown) -> bool) -> Shown {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let shown = self.shown();
            if test(&shown) {
                return shown;
            }
            assert!(Instant::now() < deadline, "waited for {what}: {shown:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Ends both threads at once, as if the process had died: no farewell.
    pub(crate) fn kill(mut self) -> tempfile::TempDir {
        self.end();
        let fresh = tempfile::tempdir().unwrap();
        std::mem::replace(&mut self.dir, fresh)
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            if let Err(panic) = thread.join()
                && !std::thread::panicking()
            {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end();
    }
}

struct Hot {
    server: Server,
    pool: Pool,
    frame_bytes: usize,
    start: Instant,
    seq: u64,
    pids: BTreeMap<u32, u32>,
    groups: Vec<(Vec<u8>, Vec<Member>)>,
    closed: Vec<(u32, Cause)>,
    ordered: VecDeque<Request>,
}

impl Hot {
    fn new(server: Server, pool: Pool, frame_bytes: usize) -> Self {
        Self {
            server,
            pool,
            frame_bytes,
            start: Instant::now(),
            seq: 0,
            pids: BTreeMap::new(),
            groups: Vec::new(),
            closed: Vec::new(),
            ordered: VecDeque::new(),
        }
    }

    fn turn(&mut self) {
        let now_ns = self.start.elapsed().as_nanos() as u64;
        let ordered = &mut self.ordered;
        self.server.poll(now_ns, &mut |request| ordered.push_back(request));
        let mut worked = !self.ordered.is_empty();
        while let Some(request) = self.ordered.pop_front() {
            self.request(request);
        }
        for _ in 0..32 {
            if !self.frame() {
                break;
            }
            worked = true;
        }
        self.server.publish();
        self.server.reclaim(now_ns);
        if !worked {
            if self.server.may_sleep() {
                let fd = self.server.bell();
                let mut fds = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
                let timeout = rustix::event::Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
                let _ = rustix::event::poll(&mut fds, Some(&timeout));
            }
            self.server.awake();
        }
    }

    /// Pulls one frame's worth of runs and delivers them.
    fn frame(&mut self) -> bool {
        // What a ring does with a node's credit.
        if self.server.room_bytes() < self.frame_bytes as u64 {
            return false;
        }
        let class = if self.frame_bytes <= self.pool.slot_bytes(Class::Small) {
            Class::Small
        } else {
            Class::Large
        };
        let Some(mut slot) = self.pool.alloc(class) else { return false };
        slot.truncate(self.frame_bytes);
        let mut used = 0;
        let mut runs: Vec<(Pulled, usize)> = Vec::new();
        while let Some(pulled) = slot.get_mut(used..).and_then(|room| self.server.pull(room)) {
            let of = |p: &Pulled| (p.fragment, p.session, p.group, p.safe);
            match runs.last_mut().filter(|(last, _)| pulled.fragment && of(last) == of(&pulled)) {
                // As the group layer does: one item for fragments that follow each other.
                Some((last, _)) => {
                    last.bytes += FRAGMENT_GAP_BYTES + pulled.bytes;
                    last.count += 1;
                }
                None => runs.push((pulled, used)),
            }
            used += pulled.bytes + FRAGMENT_GAP_BYTES;
        }
        if runs.is_empty() {
            return false;
        }
        self.seq += 1;
        let frame = slot.freeze();
        for (pulled, offset) in runs {
            let order = Order { ring_seq: 1, ring_rep: NODE, seq: self.seq, offset: offset as u32 };
            self.server.deliver(Delivery::Messages(Messages {
                group: pulled.group,
                sender: self.member(pulled.session),
                fragment: pulled.fragment,
                safe: pulled.safe,
                count: pulled.count,
                order,
                body: frame.slice(offset..offset + pulled.bytes),
            }));
        }
        true
    }

    fn member(&self, session: u32) -> Member {
        Member { node: NODE, session, pid: self.pids.get(&session).copied().unwrap_or(0) }
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::Open { session, pid, .. } => {
                self.pids.insert(session, pid);
            }
            Request::Join { session, request, name } => self.join(session, request, &name),
            Request::Leave { session, request, group } => {
                let me = self.member(session);
                let members = self.groups.get_mut(group as usize).map(|g| &mut g.1);
                if members.is_some_and(|m| m.contains(&me)) {
                    self.change(group, &[], &[(me, 2)]);
                } else {
                    self.server.deliver(Delivery::Refused { session, request, reason: 3 });
                }
            }
            Request::Closed { session, cause, .. } => {
                let me = self.member(session);
                for group in 0..self.groups.len() {
                    if self.groups[group].1.contains(&me) {
                        self.change(group as u32, &[], &[(me, 5)]);
                    }
                }
                self.pids.remove(&session);
                self.closed.push((session, cause));
            }
        }
    }

    fn join(&mut self, session: u32, request: u32, name: &[u8]) {
        if name.is_empty() || name.len() > 128 {
            return self.server.deliver(Delivery::Refused { session, request, reason: 1 });
        }
        let known = self.groups.iter().position(|g| g.0 == name);
        let group = known.unwrap_or_else(|| {
            self.groups.push((name.to_vec(), Vec::new()));
            self.groups.len() - 1
        });
        let me = self.member(session);
        if self.groups[group].1.contains(&me) {
            return self.server.deliver(Delivery::Refused { session, request, reason: 2 });
        }
        self.server.deliver(Delivery::Joined { session, request, group: group as u32 });
        self.change(group as u32, &[(me, 1)], &[]);
    }

    fn change(&mut self, group: u32, joined: &[(Member, u8)], left: &[(Member, u8)]) {
        let (name, members) = &mut self.groups[group as usize];
        members.retain(|m| !left.iter().any(|(l, _)| l == m));
        members.extend(joined.iter().map(|(m, _)| *m));
        members.sort_by_key(|m| (m.node, m.pid, m.session));
        self.seq += 1;
        let order = Order { ring_seq: 1, ring_rep: NODE, seq: self.seq, offset: 0 };
        let view = View { name, members, joined, left };
        self.server.deliver(Delivery::View { group, order, view });
    }

    fn show(&self, shown: &Mutex<Shown>) {
        let mut shown = shown.lock().unwrap();
        shown.counters = *self.server.counters();
        shown.sessions.clear();
        let brief = |s: SessionStatus| (s.session, s.pid, s.on_delivery_ring, s.backlog_bytes);
        shown.sessions.extend(self.server.sessions().map(brief));
        shown.closed.clone_from(&self.closed);
        let stats = self.pool.stats();
        shown.small_free = stats.small_free;
        shown.large_free = stats.large_free;
        shown.backlog_bytes = self.server.backlog_bytes();
    }
}
