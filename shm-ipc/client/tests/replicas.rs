//! The replicated state machine of the examples: equal states, newcomers that catch up, elders that die.

mod engine;

// The example's own source: what is shown is what is tested.
#[path = "../examples/replicated_log/store.rs"]
mod store;

use std::time::{Duration, Instant};

use client::{Change, Client, Event, Group, Member, Options, Order, View, ViewCause};
use engine::Engine;
use store::{Command, Store};

struct Replica {
    client: Client,
    group: Group,
    store: Store,
}

impl Replica {
    fn new(engine: &Engine) -> Self {
        let mut client = Client::connect(engine.path(), Options::default()).unwrap();
        let group = client.join(b"store").unwrap();
        let store = Store::new(client.me());
        Self { client, group, store }
    }

    fn set(&mut self, key: u32, value: u32) {
        let command = Command::Set(key.to_string(), value.to_string());
        self.client.publish(&self.group, &command.to_bytes()).unwrap();
    }

    /// Takes one event, if there is one.
    fn step(&mut self) {
        let answer = match self.client.try_recv() {
            Some(Event::Message(m)) => self.store.message(m.sender, m.order, m.bytes),
            Some(Event::View(view)) => self.store.view(&view),
            Some(other) => panic!("{other:?}"),
            None => None,
        };
        if let Some(bytes) = answer {
            self.client.publish(&self.group, &bytes).unwrap();
        }
    }
}

fn settle(replicas: &mut [Replica], applied: u64) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let done = |r: &Replica| r.store.is_current() && r.store.applied() == applied;
    while !replicas.iter().all(done) {
        replicas.iter_mut().for_each(Replica::step);
        let applied: Vec<_> =
            replicas.iter().map(|r| (r.store.applied(), r.store.is_current())).collect();
        assert!(Instant::now() < deadline, "{applied:?}");
    }
    let first = &replicas[0].store;
    for replica in &replicas[1..] {
        assert_eq!(replica.store.hash(), first.hash());
        assert_eq!(replica.store.get("7"), first.get("7"));
    }
}

#[test]
fn newcomers_catch_up_while_commands_flow_and_elders_die() {
    let engine = Engine::start();
    let mut replicas = vec![Replica::new(&engine)];
    let mut sent = 0_u32;
    for round in 0..12 {
        for i in 0..200 {
            let sender = i as usize % replicas.len();
            replicas[sender].set(sent % 97, sent);
            sent += 1;
            if i == 50 {
                // Comes in the middle of traffic; nobody stops for it.
                replicas.push(Replica::new(&engine));
            }
            if i % 3 == 0 {
                replicas.iter_mut().for_each(Replica::step);
            }
            if round % 3 == 2 && i == 70 && replicas.len() > 2 {
                // The elder ends before the newcomer has its state; what it had sent still counts.
                replicas.remove(0);
            }
        }
        settle(&mut replicas, sent.into());
    }
    assert!(replicas.len() > 4);
}

/// A group of stores without engines: delivers to all in one order.
struct Wire {
    seq: u64,
}

impl Wire {
    fn order(&mut self) -> Order {
        self.seq += 1;
        Order { ring_seq: 1, ring_rep: 1, seq: self.seq, offset: 0 }
    }

    fn send(&mut self, to: &mut [(Member, Store)], from: Member, bytes: &[u8]) {
        let order = self.order();
        let answers: Vec<_> = to
            .iter_mut()
            .filter_map(|(me, store)| Some((*me, store.message(from, order, bytes)?)))
            .collect();
        answers.into_iter().for_each(|(me, bytes)| self.send(to, me, &bytes));
    }

    fn views(&mut self, to: &mut [(Member, Store)], joined: impl Fn(Member) -> Vec<Change>) {
        let order = self.order();
        let members: Vec<Member> = to.iter().map(|(me, _)| *me).collect();
        let mut answers = Vec::new();
        for (me, store) in to.iter_mut() {
            let view = a_view(order, members.clone(), joined(*me));
            answers.extend(store.view(&view).map(|bytes| (*me, bytes)));
        }
        answers.into_iter().for_each(|(me, bytes)| self.send(to, me, &bytes));
    }
}

fn member(node: u32) -> Member {
    Member { node, session: node, pid: node }
}

/// Views come from clients only; one that was received is a template for others.
fn a_view(order: Order, members: Vec<Member>, joined: Vec<Change>) -> View {
    let engine = Engine::start();
    let mut client = Client::connect(engine.path(), Options::default()).unwrap();
    client.join(b"store").unwrap();
    match client.recv(Some(Duration::from_secs(10))) {
        Some(Event::View(view)) => View { order, members, joined, ..view },
        other => panic!("{other:?}"),
    }
}

#[test]
fn two_parts_that_meet_again_agree() {
    let set = |key: &str, value: &str| Command::Set(key.into(), value.into()).to_bytes();
    let mut wire = Wire { seq: 0 };
    let part = |wire: &mut Wire, nodes: &[u32], value: &str| {
        let mut stores: Vec<_> = Vec::new();
        for node in nodes {
            stores.push((member(*node), Store::new(member(*node))));
            let joined = Change { member: member(*node), cause: ViewCause::Join };
            wire.views(&mut stores, |_| vec![joined]);
        }
        wire.send(&mut stores, member(nodes[0]), &set("side", value));
        assert!(stores.iter().all(|(_, store)| store.get("side") == Some(value)));
        stores
    };
    let low = part(&mut wire, &[2, 5], "low");
    let mut all = part(&mut wire, &[3, 4], "high");
    all.extend(low);
    all.sort_by_key(|(me, _)| *me);
    let is_low = |m: Member| m.node == 2 || m.node == 5;
    let members: Vec<Member> = all.iter().map(|(me, _)| *me).collect();
    wire.views(&mut all, |me| {
        let strangers = members.iter().filter(|other| is_low(**other) != is_low(me));
        strangers.map(|m| Change { member: *m, cause: ViewCause::NodeUp }).collect()
    });
    wire.send(&mut all, member(4), &set("after", "yes"));
    for (me, store) in &all {
        assert!(store.is_current(), "{me:?}");
        assert_eq!((store.get("side"), store.get("after")), (Some("low"), Some("yes")), "{me:?}");
        assert_eq!(store.hash(), all[0].1.hash());
    }
    // One of them loses its session, misses something, and comes back as somebody new.
    let (_, mut lost) = all.remove(0);
    wire.send(&mut all, member(4), &set("missed", "no"));
    lost.reconnected(member(9));
    assert_eq!(lost.get("after"), Some("yes"), "what it had is better than nothing");
    all.push((member(9), lost));
    let joined = Change { member: member(9), cause: ViewCause::Join };
    wire.views(&mut all, |_| vec![joined]);
    let (_, back) = &all[all.len() - 1];
    assert!(back.is_current());
    assert_eq!(back.get("missed"), Some("no"));
    assert_eq!(back.hash(), all[0].1.hash());
}
