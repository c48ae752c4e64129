//! The engine's side: a session server with one honest client, and a stand-in for the ring protocol.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use frame::{Class, Pool, PoolConfig, Region};
use session::layout::{fragment, record_at};
use session::view::View;
use session::{
    Acceptor, Attachment, Config, Delivery, Kind, Member, Messages, Options, Order, Pulled,
    Request, Server,
};

/// Groups that exist: 1 to this. The honest client is a member of group 1.
pub(super) const GROUPS: u32 = 3;

const NODE: u32 = 1;

/// Longest message that clients may send, in bytes: some fragments.
const MESSAGE_BYTES_MAX: u64 = 5000;

/// Turns in which a session that is gone must be gone.
const TURNS_MAX: usize = 100;

/// A session server and the honest client.
pub(super) struct Engine {
    server: Server,
    acceptor: Acceptor,
    pool: Pool,
    dir: tempfile::TempDir,
    honest: Option<Attachment>,
    honest_member: Member,
    /// What the honest client has to read, in this order.
    expected: VecDeque<Vec<u8>>,
    now_ns: u64,
    seq: u64,
}

impl Engine {
    pub(super) fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut config = Config::new(dir.path().join("socket"));
        config.sessions_max = 8;
        config.delivery_slots = 1024;
        config.lag_slots = 768;
        config.message_bytes_max = MESSAGE_BYTES_MAX;
        config.private_bytes = 128 << 10;
        config.submit_bytes = 128 << 10;
        let sizes =
            PoolConfig { small_bytes: 2048, small_count: 1024, large_bytes: 65536, large_count: 8 };
        let region = Region::create(sizes).expect("memory");
        let fd = region.fd().try_clone_to_owned().expect("a descriptor");
        let pool = region.into_pool(sizes);
        let (server, acceptor) = session::open(config, pool.clone(), fd).expect("a free socket");
        let mut engine = Self {
            server,
            acceptor,
            pool,
            dir,
            honest: None,
            honest_member: Member::default(),
            expected: VecDeque::new(),
            now_ns: 1_000_000_000,
            seq: 0,
        };
        engine.welcome_honest();
        engine
    }

    fn welcome_honest(&mut self) {
        let path = self.path().to_owned();
        let connecting = std::thread::spawn(move || Attachment::connect(&path, Options::default()));
        while !connecting.is_finished() {
            self.accept();
            self.poll();
        }
        let honest = connecting.join().expect("no panic").expect("the engine takes everybody");
        self.honest_member =
            Member { node: NODE, session: honest.session(), pid: std::process::id() };
        self.joined(honest.session(), 1);
        self.honest = Some(honest);
        self.settle();
    }

    pub(super) fn path(&self) -> &Path {
        self.acceptor.path()
    }

    /// What the control thread does.
    pub(super) fn accept(&mut self) {
        let mut asked = Vec::new();
        let polled = self.acceptor.poll(Duration::ZERO, &mut |ask| asked.push(ask.id));
        polled.expect("epoll works");
        for id in asked {
            self.acceptor.answer(id, b"answer");
        }
    }

    pub(super) fn poll(&mut self) {
        let honest = self.honest_member.session;
        let (mut joins, first) = (Vec::new(), self.honest.is_none());
        self.server.poll(self.now_ns, &mut |request| match request {
            Request::Join { session, request, name } => {
                assert!(name.len() <= 512);
                joins.push((session, request));
            }
            Request::Closed { session, .. } => assert!(first || session != honest),
            Request::Open { .. } | Request::Leave { .. } => {}
        });
        for (session, request) in joins {
            self.server.deliver(Delivery::Refused { session, request, reason: 1 });
        }
    }

    /// Takes one run and checks that it is what the server promises to the layers below.
    pub(super) fn pull(&mut self, room: usize) {
        let mut buf = vec![0xee; room];
        let pending = self.server.pending_bytes();
        let Some(pulled) = self.server.pull(&mut buf) else { return };
        assert!(pending > 0, "a run where nothing was pending");
        let body = &buf[..pulled.bytes];
        check_run(&pulled, body);
        self.order(pulled.group, pulled.session, body, &pulled);
    }

    /// Delivers a run as the ring would, if its group has members here.
    fn order(&mut self, group: u32, session: u32, body: &[u8], pulled: &Pulled) {
        let Some(mut slot) = self.pool.alloc(Class::Small) else { return };
        slot.truncate(body.len());
        slot.copy_from_slice(body);
        let order = self.next_order();
        if group == 1 {
            self.expected.push_back(body.to_vec());
        }
        self.server.deliver(Delivery::Messages(Messages {
            group,
            sender: Member { node: NODE, session, pid: 0 },
            fragment: pulled.fragment,
            safe: pulled.safe,
            count: pulled.count,
            order,
            body: slot.freeze(),
        }));
    }

    /// Delivers one message of another node.
    pub(super) fn deliver(&mut self, group: u32, len: usize) {
        let mut body = vec![0; 8 + len.next_multiple_of(8)];
        body[..4].copy_from_slice(&(len as u32).to_le_bytes());
        body[8..].fill(self.seq as u8);
        let bytes = body.len();
        let pulled = Pulled { session: 9, group, fragment: false, safe: false, count: 1, bytes };
        self.order(group, 9, &body, &pulled);
    }

    /// A join of this session is ordered.
    pub(super) fn joined(&mut self, session: u32, group: u32) {
        self.server.deliver(Delivery::Joined { session, request: 1, group });
        self.view(session, group, true);
    }

    /// A session leaves a group.
    pub(super) fn left(&mut self, session: u32, group: u32) {
        self.view(session, group, false);
    }

    fn view(&mut self, session: u32, group: u32, comes: bool) {
        let order = self.next_order();
        let member = Member { node: NODE, session, pid: std::process::id() };
        let members: &[Member] = if comes { &[member, self.honest_member] } else { &[] };
        let (change, none) = ([(member, 1)], []);
        let (joined, left) =
            if comes { (&change[..], &none[..]) } else { (&none[..], &change[..]) };
        let view = View { name: b"group", members, joined, left };
        self.server.deliver(Delivery::View { group, order, view });
    }

    pub(super) fn refuse(&mut self, session: u32, reason: u8) {
        let count = reason.into();
        self.server.deliver(Delivery::NotSent { session, group: 1, count, reason });
    }

    pub(super) fn wait(&mut self, ns: u64) {
        self.now_ns += ns;
    }

    pub(super) fn sleep(&mut self) {
        self.server.may_sleep();
        self.server.awake();
    }

    /// One turn of the engine's loop.
    pub(super) fn turn(&mut self) {
        self.accept();
        self.poll();
        for _ in 0..4 {
            self.pull(1400);
        }
        self.server.publish();
        self.server.reclaim(self.now_ns);
        self.now_ns += 100_000;
    }

    /// The hostile client's socket is closed. Nothing of it may stay, and the honest one has missed nothing.
    pub(super) fn settle(&mut self) {
        let mut turns = 0;
        while self.server.sessions().count() > 1 {
            self.turn();
            self.read_honest();
            self.now_ns += 100_000_000;
            turns += 1;
            assert!(turns < TURNS_MAX, "{:?}", self.server.sessions().collect::<Vec<_>>());
        }
        self.deliver(1, 100);
        self.turn();
        self.read_honest();
        assert!(self.expected.is_empty(), "{} messages are missing", self.expected.len());
        self.turn();
        self.turn();
        let stats = self.pool.stats();
        assert_eq!((stats.small_free, stats.large_free), (stats.small_total, stats.large_total));
        assert_eq!((self.server.pending_bytes(), self.server.backlog_bytes()), (0, 0));
    }

    /// The honest client reads what there is.
    fn read_honest(&mut self) {
        let Some(honest) = &mut self.honest else { return };
        while let Some(item) = honest.next_item().expect("the honest client is served") {
            let kind = Kind::from_code(item.descriptor.kind);
            if matches!(kind, Some(Kind::Messages | Kind::Fragment))
                && item.descriptor.group.get() == 1
            {
                let expected = self.expected.pop_front().expect("nothing comes twice");
                assert_eq!(item.body, expected);
            }
        }
        assert!(self.dir.path().exists());
    }

    fn next_order(&mut self) -> Order {
        self.seq += 1;
        Order { ring_seq: 1, ring_rep: 1, seq: self.seq, offset: 0 }
    }
}

/// What the engine is given must be in good order, whatever stood in the ring.
fn check_run(pulled: &Pulled, body: &[u8]) {
    assert!(body.len().is_multiple_of(8) && !body.is_empty() && pulled.count > 0);
    if pulled.fragment {
        let (total, offset, bytes) = fragment(body).expect("a fragment's header fits it");
        assert!(total <= MESSAGE_BYTES_MAX && offset + bytes.len() as u64 <= total);
        return;
    }
    let mut at = 0;
    for _ in 0..pulled.count {
        let (payload, next) = record_at(body, at).expect("a record lies in its run");
        assert!(payload.len() as u64 <= MESSAGE_BYTES_MAX);
        assert_eq!(body[at + 4..at + 8], [0; 4], "a client's tag goes out");
        at = next;
    }
    assert_eq!(at, body.len());
}
