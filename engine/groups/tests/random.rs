//! Random lives of clusters: joins, leaves, messages, deaths, crashes, partitions and merges in any
//! order. The world checks after every frame that all nodes that read it have the same table; here
//! it is checked what each program was told.

extern crate synchrotron_groups as groups;

mod world;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use groups::{Event, GroupHandle, View};
use wire::{MemberId, NodeId};
use world::World;
use world::clients::WHOLE_BYTES_MAX;
use world::reader::{Place, Read, Reader, messages};

const NAMES: [&[u8]; 4] = [b"a", b"bb", &[0, 255, 0], &[b'x'; 128]];
const NODES: u32 = 4;

/// splitmix64: the same seed, the same life.
struct Random(u64);

impl Random {
    fn next(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// A view of a group as it names itself, and whom it calls gone and come.
type ViewName = (Place, Vec<MemberId>, Vec<(MemberId, u8)>);

/// Messages in their order.
type Messages = Vec<(Place, MemberId, Vec<u8>)>;

/// What one run of a node was told and did.
struct Account {
    reader: Reader,
    sessions: Vec<u32>,
    /// Joins that were ordered, shown by a view or not.
    granted: BTreeMap<(u32, GroupHandle), ()>,
    /// Per group: the last view and the messages since.
    since: BTreeMap<GroupHandle, (ViewName, Messages)>,
    members: BTreeMap<GroupHandle, Vec<MemberId>>,
    handles: BTreeMap<(u32, GroupHandle), ()>,
    /// Messages in frames that did not come back yet, per session, in order.
    under_way: BTreeMap<u32, Vec<Vec<u8>>>,
    /// Messages given to the engine less those sent and those answered as not sent. Of large ones every
    /// fragment counts, and counts as given when it is pulled.
    open: i64,
}

impl Account {
    fn new(id: NodeId) -> Self {
        Self {
            reader: Reader::new(id),
            sessions: Vec::new(),
            granted: BTreeMap::new(),
            since: BTreeMap::new(),
            members: BTreeMap::new(),
            handles: BTreeMap::new(),
            under_way: BTreeMap::new(),
            open: 0,
        }
    }
}

struct Life {
    random: Random,
    world: World,
    accounts: BTreeMap<NodeId, Account>,
    next_session: u32,
    next_message: u64,
    /// Every run at its place in the order, by whoever was told first.
    order: BTreeMap<Place, (MemberId, Vec<u8>)>,
    /// What was delivered between two views, by whoever came to the second first.
    passages: BTreeMap<(Vec<u8>, ViewName, ViewName), Messages>,
    /// How many passages from view to view were made by two nodes.
    together: u64,
    views: u64,
    messages: u64,
    waited: u64,
}

impl Life {
    fn new(seed: u64) -> Self {
        let world = World::with_nodes(NODES);
        let accounts = (1..=NODES).map(|id| (NodeId(id), Account::new(NodeId(id)))).collect();
        Self {
            random: Random(seed),
            world,
            accounts,
            next_session: 100,
            next_message: 0,
            order: BTreeMap::new(),
            passages: BTreeMap::new(),
            together: 0,
            views: 0,
            messages: 0,
            waited: 0,
        }
    }

    fn any_node(&mut self) -> NodeId {
        let at = self.random.next(self.world.nodes.len() as u64) as usize;
        *self.world.nodes.keys().nth(at).expect("some node runs")
    }

    fn step(&mut self) {
        let id = self.any_node();
        match self.random.next(100) {
            0..10 => self.join(id),
            10..14 => self.leave(id),
            14..17 => self.close(id),
            17..35 => self.message(id),
            35..60 => drop(self.world.send(id)),
            60..95 => drop(self.world.read(id)),
            95..98 => self.regroup(),
            _ => self.crash_or_start(),
        }
        self.account_all();
    }

    fn join(&mut self, id: NodeId) {
        let name = NAMES[self.random.next(4) as usize];
        let account = self.accounts.get_mut(&id).expect("runs");
        let node = self.world.nodes.get_mut(&id).expect("runs");
        let pick = self.random.next(4) as usize;
        let session = match account.sessions.get(pick) {
            Some(&session) => session,
            None => {
                self.next_session += 1;
                account.sessions.push(self.next_session);
                node.groups.open(self.next_session, self.next_session % 7);
                self.next_session
            }
        };
        node.groups.join(session, 1, name);
    }

    fn any_membership(&mut self, id: NodeId) -> Option<(u32, GroupHandle)> {
        let account = &self.accounts[&id];
        let count = account.handles.len() as u64;
        let at = if count == 0 { return None } else { self.random.next(count) as usize };
        account.handles.keys().nth(at).copied()
    }

    fn leave(&mut self, id: NodeId) {
        let Some((session, group)) = self.any_membership(id) else { return };
        self.world.node(id.0).groups.leave(session, 2, group);
    }

    fn close(&mut self, id: NodeId) {
        let account = self.accounts.get_mut(&id).expect("runs");
        let Some(session) = account.sessions.pop() else { return };
        account.handles.retain(|(s, _), ()| *s != session);
        account.granted.retain(|(s, _), ()| *s != session);
        account.under_way.remove(&session);
        self.world.node(id.0).groups.close(session);
    }

    fn message(&mut self, id: NodeId) {
        let Some((session, group)) = self.any_membership(id) else { return };
        self.next_message += 1;
        let mut bytes = self.next_message.to_le_bytes().to_vec();
        let large = self.random.next(6) == 0;
        let more = if large { 1000 + self.random.next(9000) } else { self.random.next(300) };
        bytes.resize(8 + more as usize, session as u8);
        let safe = self.random.next(4) == 0;
        let account = self.accounts.get_mut(&id).expect("runs");
        account.open += i64::from(bytes.len() <= WHOLE_BYTES_MAX);
        self.world.node(id.0).clients.push(session, group, &bytes, safe);
    }

    fn regroup(&mut self) {
        let ids: Vec<NodeId> = self.world.nodes.keys().copied().collect();
        let mut parts = vec![Vec::new(); 1 + self.random.next(3) as usize];
        for id in ids {
            let part = self.random.next(parts.len() as u64) as usize;
            parts[part].push(id);
        }
        parts.retain(|part| !part.is_empty());
        self.world.reform(&parts);
    }

    fn crash_or_start(&mut self) {
        let id = NodeId(1 + self.random.next(u64::from(NODES)) as u32);
        if self.world.nodes.contains_key(&id) {
            if self.world.nodes.len() > 1 {
                self.world.crash(id);
                self.accounts.remove(&id);
            }
        } else {
            self.world.start(id);
            self.accounts.insert(id, Account::new(id));
            self.world.reform(&[vec![id]]);
        }
    }

    /// Reads what every node was told since the last time.
    fn account_all(&mut self) {
        for entry in std::mem::take(&mut self.world.sent) {
            if let Some(account) = self.accounts.get_mut(&entry.origin) {
                account.sent(&entry.payload);
            }
        }
        let ids: Vec<NodeId> = self.world.nodes.keys().copied().collect();
        for id in ids {
            let node = self.world.nodes.get_mut(&id).expect("runs");
            let events = std::mem::take(&mut node.events);
            for event in &events {
                self.account(id, event);
            }
        }
    }

    fn account(&mut self, id: NodeId, event: &Event) {
        let account = self.accounts.get_mut(&id).expect("runs");
        match event {
            Event::Joined { session, group, .. } => {
                account.granted.insert((*session, *group), ());
            }
            Event::NotSent { session, count, .. } => {
                assert!(account.sessions.contains(session));
                account.open -= i64::from(*count);
            }
            Event::Messages(run) => {
                let place = (run.ring, run.seq, run.offset);
                let told = (run.sender, run.body.to_vec());
                let first = self.order.entry(place).or_insert_with(|| told.clone());
                assert_eq!(*first, told, "node {id} was told something else at {place:?}");
                if run.sender.node == id && run.kind == wire::run::RunKind::Messages {
                    account.came_back(run);
                }
            }
            _ => {}
        }
        for read in account.reader.read(event) {
            let account = self.accounts.get_mut(&id).expect("runs");
            match read {
                Read::View(view) => {
                    self.views += 1;
                    check_view(id, account, &view);
                    self.pass(id, view);
                }
                Read::Message { group, sender, at, bytes } => {
                    let members = account.members.get(&group).expect("a view came first");
                    assert!(members.contains(&sender), "a sender outside the view");
                    self.messages += 1;
                    let (_, seen) = account.since.get_mut(&group).expect("a view came first");
                    seen.push((at, sender, bytes));
                }
            }
        }
    }

    /// Who goes from one view to the next saw the same in between as all others who do.
    fn pass(&mut self, id: NodeId, view: View) {
        let account = self.accounts.get_mut(&id).expect("runs");
        let at = (view.ring, view.seq, view.offset);
        let changes = view.left.iter().chain(&view.joined).map(|(m, cause)| (*m, *cause as u8));
        let changes = changes.collect();
        let name: ViewName = (at, view.members, changes);
        let before = if account.reader.shows(view.group) {
            account.since.insert(view.group, (name.clone(), Vec::new()))
        } else {
            account.members.remove(&view.group);
            account.since.remove(&view.group)
        };
        let Some((from, seen)) = before else { return };
        match self.passages.entry((view.name, from, name)) {
            Entry::Vacant(entry) => drop(entry.insert(seen)),
            Entry::Occupied(entry) => {
                self.together += 1;
                assert!(*entry.get() == seen, "node {id} saw something else: {:?}", entry.key());
            }
        }
    }

    /// Heals everything and checks that nobody waits and all agree.
    fn end(&mut self) {
        let all: Vec<NodeId> = self.world.nodes.keys().copied().collect();
        self.world.reform(&[all]);
        self.world.settle();
        self.account_all();
        let mut tables = self.world.nodes.values().map(|n| {
            assert!(n.groups.is_synced());
            assert!(!n.groups.has_control());
            world::table_of(&n.groups.status().groups)
        });
        let first = tables.next().expect("some node runs");
        assert!(tables.all(|table| table == first));
        for (id, account) in &self.accounts {
            for (session, group) in account.handles.keys() {
                let members = &account.members[group];
                assert!(members.iter().any(|m| (m.node, m.session) == (*id, *session)));
            }
            let under_way: usize = account.under_way.values().map(Vec::len).sum();
            assert_eq!(under_way, 0, "node {id} sent messages that never came back");
            let node = &self.world.nodes[id];
            let of_closed = node.groups.counters().messages_of_closed as i64;
            let open = account.open + node.clients.fragments as i64;
            assert_eq!(open, of_closed, "node {id} has messages nobody answered for");
            for (session, group) in account.granted.keys() {
                let shown = account.members.get(group).is_some_and(|members| {
                    members.iter().any(|m| (m.node, m.session) == (*id, *session))
                });
                assert!(shown, "node {id}: session {session} waits for its view for ever");
            }
        }
        for (name, _, members, waiting) in &first {
            assert!(!members.is_empty(), "{name:?} has no members");
            assert!(waiting.is_empty(), "{name:?} keeps {waiting:?} waiting");
        }
        for node in self.world.nodes.values() {
            let counters = node.groups.counters();
            assert_eq!(counters.peer_malformed, 0);
            assert_eq!(counters.peer_unknown_group, 0);
            assert_eq!(counters.peer_not_member, 0);
            assert_eq!(counters.peer_out_of_place, 0);
            assert_eq!(counters.peer_void, 0);
            assert_eq!(counters.peer_stray_fragments, 0);
            self.waited += counters.joins_waited;
            assert_eq!(node.pool.stats().small_free, node.pool.stats().small_total);
        }
    }
}

/// The old members without those who left, with those who joined, are the new ones.
fn check_view(id: NodeId, account: &mut Account, view: &View) {
    let known = account.members.get(&view.group);
    let mut members = match known {
        Some(members) => members.clone(),
        // The first view of a handle shows the local member that came.
        None => {
            assert!(view.joined.iter().any(|(m, _)| m.node == id));
            view.members
                .iter()
                .filter(|m| view.joined.iter().all(|(j, _)| j != *m))
                .copied()
                .collect()
        }
    };
    // Who went with the very change that ended a join's wait was never shown to the one that joined.
    let left = if known.is_some() { &view.left[..] } else { &[] };
    for (member, cause) in left {
        let at = members.iter().position(|m| m == member);
        members.remove(at.unwrap_or_else(|| panic!("{member:?} left ({cause:?}) but was not in")));
    }
    for (member, cause) in &view.joined {
        assert!(!members.contains(member), "{member:?} joined ({cause:?}) but was in");
        members.push(*member);
    }
    members.sort_by_key(|m| (m.node, m.pid, m.session));
    assert_eq!(members, view.members, "node {id}");
    let gone = |s: &u32| view.left.iter().any(|(m, _)| (m.node, m.session) == (id, *s));
    account.handles.retain(|(s, g), ()| *g != view.group || !gone(s));
    account.granted.retain(|(s, g), ()| *g != view.group || !gone(s));
    for (session, group) in account.granted.keys().filter(|(_, g)| *g == view.group) {
        if members.iter().any(|m| (m.node, m.session) == (id, *session)) {
            account.handles.insert((*session, *group), ());
        }
    }
    account.members.insert(view.group, members);
}

impl Account {
    /// A frame of ours was numbered.
    fn sent(&mut self, payload: &[u8]) {
        for run in wire::run::runs(payload) {
            let run = run.expect("we send whole runs");
            if run.kind == wire::run::RunKind::Messages {
                let under_way = self.under_way.entry(run.session).or_default();
                under_way.extend(messages(run.body, run.count));
            }
            if run.kind != wire::run::RunKind::Control {
                self.open -= i64::from(run.count);
            }
        }
    }

    /// The messages of a run of our own are the oldest of its session that are under way.
    fn came_back(&mut self, run: &groups::Messages) {
        let Some(under_way) = self.under_way.get_mut(&run.sender.session) else { return };
        let own: Vec<_> = under_way.drain(..usize::from(run.count)).collect();
        assert!(own == messages(&run.body, run.count), "lost, twice or out of order");
    }
}

#[test]
fn nodes_agree_through_any_life() {
    let (mut views, mut messages, mut together, mut waited) = (0, 0, 0, 0);
    for seed in 0..200 {
        let outcome = std::panic::catch_unwind(|| {
            let mut life = Life::new(seed);
            for _ in 0..1500 {
                life.step();
            }
            life.end();
            (life.views, life.messages, life.together, life.waited)
        });
        match outcome {
            Ok((v, m, t, w)) => {
                (views, messages) = (views + v, messages + m);
                (together, waited) = (together + t, waited + w);
            }
            Err(panic) => {
                eprintln!("seed {seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    assert!(views > 20_000 && messages > 12_000, "{views} views, {messages} messages");
    assert!(together > 1_000, "{together} passages made together");
    assert!(waited > 100, "{waited} joins that waited");
}
