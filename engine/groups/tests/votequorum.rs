//! Votequorum without a ring: nodes that hand each other's messages round in one order.

use std::collections::BTreeMap;

use synchrotron_groups::votequorum::{
    DeviceOptions, Event, InfoFlags, News, NodeState, Options, Problem, Refusal, TieBreaker,
    Votequorum,
};
use wire::control::{Control, parse};
use wire::{NodeId, RingId};

const MS: u64 = 1_000_000;
const DEVICE: &[u8] = b"Qdevice";

struct Cluster {
    options: Options,
    nodes: BTreeMap<u32, Votequorum>,
    ring_seq: u64,
    now_ns: u64,
    events: BTreeMap<u32, Vec<Event>>,
}

impl Cluster {
    /// Nodes 1 to `votes.len()` that are configured; none of them runs yet.
    fn new(votes: &[u32], change: impl FnOnce(&mut Options)) -> Self {
        let nodes = (1..).map(NodeId).zip(votes.iter().copied()).collect();
        let mut options = Options { nodes, ..Options::default() };
        change(&mut options);
        let (nodes, events) = (BTreeMap::new(), BTreeMap::new());
        Self { options, nodes, ring_seq: 0, now_ns: 0, events }
    }

    fn start(&mut self, id: u32) {
        let made = Votequorum::new(self.options.clone(), NodeId(id), 0);
        self.nodes.insert(id, made.expect("good options").0);
    }

    fn node(&mut self, id: u32) -> &mut Votequorum {
        self.nodes.get_mut(&id).expect("a node that runs")
    }

    /// A ring of these nodes, which are started if they do not run. Says who is quorate.
    fn ring(&mut self, members: &[u32]) -> Vec<u32> {
        self.ring_begin(members);
        self.ring_end(members);
        self.quorate(members)
    }

    fn ring_begin(&mut self, members: &[u32]) {
        self.ring_begin_after(members, true);
    }

    /// `held`: whoever had a quorum had it until now.
    fn ring_begin_after(&mut self, members: &[u32], held: bool) {
        self.ring_seq += 1;
        let ring = RingId { seq: self.ring_seq, rep: NodeId(members[0]) };
        let ids: Vec<NodeId> = members.iter().copied().map(NodeId).collect();
        for id in members {
            if !self.nodes.contains_key(id) {
                self.start(*id);
            }
            let now_ns = self.now_ns;
            self.node(*id).sync_start(now_ns, ring, &ids, held);
        }
        self.exchange();
    }

    fn ring_end(&mut self, members: &[u32]) {
        for id in members {
            self.node(*id).sync_end();
        }
        self.exchange();
    }

    fn exchange(&mut self) {
        loop {
            let next =
                self.nodes.iter_mut().find_map(|(id, node)| Some((*id, node.poll_message()?)));
            let Some((origin, body)) = next else { break };
            let Ok(Control::Quorum(message)) = parse(&body) else { panic!("a quorum message") };
            let (ring, _) = self.nodes[&origin].view();
            for node in self.nodes.values_mut().filter(|node| node.view().0 == ring) {
                node.deliver(NodeId(origin), &message);
            }
        }
        for (id, node) in &mut self.nodes {
            let events = self.events.entry(*id).or_default();
            events.extend(std::iter::from_fn(|| node.poll_event()));
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now_ns += ms * MS;
        let now_ns = self.now_ns;
        self.nodes.values_mut().for_each(|node| node.timeout(now_ns));
        self.exchange();
    }

    fn quorate(&self, members: &[u32]) -> Vec<u32> {
        members.iter().copied().filter(|id| self.nodes[id].is_quorate()).collect()
    }

    fn events(&mut self, id: u32) -> Vec<Event> {
        self.events.remove(&id).unwrap_or_default()
    }

    /// Needed and total votes as a node sees them.
    fn votes(&self, id: u32) -> (u32, u32) {
        let info = self.nodes[&id].info(NodeId(0)).expect("itself");
        (info.needed, info.total_votes)
    }

    fn register(&mut self, id: u32) {
        assert_eq!(self.node(id).device_register(DEVICE), Ok(false));
        self.exchange();
        assert_eq!(self.node(id).device_register(DEVICE), Ok(true));
    }

    fn poll(&mut self, id: u32, votes: bool) -> Result<(), Refusal> {
        let (now_ns, ring) = (self.now_ns, self.nodes[&id].view().0);
        let result = self.node(id).device_poll(now_ns, DEVICE, votes, ring);
        self.exchange();
        result
    }
}

const NOBODY: Vec<u32> = Vec::new();

#[test]
fn more_than_half_of_the_votes_is_a_quorum() {
    let mut five = Cluster::new(&[1; 5], |_| {});
    assert_eq!(five.ring(&[1, 2]), NOBODY);
    assert_eq!(five.ring(&[1, 2, 3]), [1, 2, 3]);
    assert_eq!(five.ring(&[1, 2, 3, 4, 5]).len(), 5);
    assert_eq!((five.ring(&[1, 2]), five.ring(&[3, 4, 5])), (NOBODY, vec![3, 4, 5]));
    let mut heavy = Cluster::new(&[3, 1, 1], |_| {});
    assert_eq!((heavy.ring(&[1, 2, 3]).len(), heavy.ring(&[1])), (3, vec![1]));
    assert_eq!(heavy.ring(&[2, 3]), NOBODY);
}

#[test]
fn programs_hear_of_the_ring_and_then_of_the_quorum() {
    let mut cluster = Cluster::new(&[1; 2], |_| {});
    cluster.ring(&[1]);
    cluster.events(1);
    cluster.ring(&[1, 2]);
    let (ring, members) = (RingId { seq: 2, rep: NodeId(1) }, vec![NodeId(1), NodeId(2)]);
    let nodes = members.iter().map(|node| (*node, NodeState::Member)).collect();
    let quorum = Event::Quorum { quorate: true, ring, members: members.clone(), nodes };
    assert_eq!(cluster.events(1), [Event::NodeList { ring, members }, quorum]);
    cluster.ring(&[1]);
    let nodes = vec![(NodeId(1), NodeState::Member), (NodeId(2), NodeState::Dead)];
    let told = cluster.events(1);
    assert!(matches!(&told[1], Event::Quorum { quorate: false, nodes: n, .. } if *n == nodes));
}

#[test]
fn who_waits_for_all_waits_until_all_were_here_or_one_that_need_not_wait() {
    let mut cluster = Cluster::new(&[1; 3], |options| options.wait_for_all = Some(true));
    assert_eq!(cluster.ring(&[1, 2]), NOBODY);
    assert_eq!(cluster.ring(&[1, 2, 3]).len(), 3);
    assert_eq!(cluster.ring(&[1, 2]), [1, 2]);
    cluster.start(3);
    assert_eq!(cluster.ring(&[3]), NOBODY);
    assert_eq!(cluster.ring(&[1, 3]), [1, 3], "1 need not wait, so 3 need not");
    assert_eq!(cluster.ring(&[1]), NOBODY);
    cluster.start(2);
    assert_eq!(cluster.ring(&[1, 2]), NOBODY, "both wait now");
    cluster.node(1).cancel_wait_for_all().expect("room");
    cluster.exchange();
    assert_eq!(cluster.quorate(&[1, 2]), [1, 2]);
}

#[test]
fn each_of_two_nodes_goes_on_alone_once_both_were_here() {
    let mut cluster = Cluster::new(&[1; 2], |options| options.two_node = true);
    assert_eq!(cluster.ring(&[1]), NOBODY);
    assert_eq!(cluster.ring(&[1, 2]), [1, 2]);
    assert_eq!((cluster.ring(&[1]), cluster.ring(&[2])), (vec![1], vec![2]));
}

#[test]
fn the_last_men_standing_expect_only_each_other() {
    let change = |options: &mut Options| {
        options.last_man_standing = true;
        options.last_man_standing_window_ms = 100;
        options.wait_for_all = Some(true);
    };
    let all = [1, 2, 3, 4, 5, 6, 7, 8];
    let mut cluster = Cluster::new(&[1; 8], change);
    cluster.ring(&all);
    assert_eq!(cluster.ring(&all[..5]).len(), 5);
    assert_eq!(cluster.votes(1), (5, 5));
    cluster.pass(99);
    assert_eq!(cluster.votes(1), (5, 5));
    cluster.pass(1);
    assert_eq!(cluster.votes(1), (3, 5));
    assert_eq!(cluster.ring(&all[..3]).len(), 3);
    cluster.pass(100);
    assert_eq!(cluster.ring(&all[..2]).len(), 2);
    cluster.pass(100);
    assert_eq!((cluster.votes(1), cluster.ring(&[3])), ((2, 2), NOBODY));
    for node in [4, 5, 6, 7, 8] {
        cluster.start(node);
    }
    assert_eq!(
        cluster.ring(&[3, 4, 5, 6, 7, 8]),
        NOBODY,
        "two go on without them: all wait for all"
    );
    assert_eq!(cluster.ring(&[1]), NOBODY);
    let mut early = Cluster::new(&[1; 8], change);
    early.ring(&all);
    early.ring(&all[..5]);
    assert_eq!(early.ring(&all[..4]), NOBODY, "within the window");
}

#[test]
fn who_was_left_behind_does_not_take_its_small_quorum_to_others() {
    let mut cluster = Cluster::new(&[1; 5], |options| {
        options.last_man_standing = true;
        options.last_man_standing_window_ms = 0;
        options.wait_for_all = Some(true);
    });
    cluster.ring(&[1, 2, 3, 4, 5]);
    cluster.ring(&[1, 2, 3]);
    cluster.pass(1);
    assert_eq!((cluster.votes(3), cluster.ring(&[1, 2])), ((2, 3), vec![1, 2]));
    cluster.start(4);
    cluster.start(5);
    let meet = |cluster: &mut Cluster, held| {
        cluster.ring_begin_after(&[3, 4, 5], held);
        cluster.ring_end(&[3, 4, 5]);
        cluster.quorate(&[3, 4, 5])
    };
    assert_eq!(meet(&mut cluster, false), NOBODY, "1 and 2 go on");
    assert_eq!(cluster.quorate(&[1, 2]), [1, 2]);
}

#[test]
fn a_ring_that_does_not_come_into_force_lowers_nobodys_votes() {
    let mut cluster = Cluster::new(&[1; 6], |options| {
        options.last_man_standing = true;
        options.last_man_standing_window_ms = 10;
        options.wait_for_all = Some(true);
    });
    cluster.ring(&[1, 2, 3, 4, 5, 6]);
    // The window ends before the ring is in force, and then the ring is gone.
    cluster.ring_begin(&[1, 2, 3, 4]);
    cluster.pass(20);
    assert_eq!(cluster.votes(1).0, 4);
    assert_eq!(cluster.ring(&[1, 2, 3]), NOBODY, "three of six");
}

#[test]
fn a_tie_is_broken_only_for_who_was_quorate_until_then() {
    let mut cluster = Cluster::new(&[1; 4], |o| o.auto_tie_breaker = TieBreaker::Lowest);
    cluster.ring(&[1, 2, 3, 4]);
    assert_eq!((cluster.ring(&[2, 3, 4]).len(), cluster.ring(&[1])), (3, NOBODY));
    assert_eq!(cluster.ring(&[2, 3]), [2, 3], "2 is the lowest of those that went on");
    assert_eq!(cluster.ring(&[1, 4]), NOBODY, "1 is the lowest of all, but lost its quorum");
    let mut list = Cluster::new(&[1; 4], |o| {
        o.auto_tie_breaker = TieBreaker::List(vec![NodeId(4), NodeId(1)])
    });
    list.ring(&[1, 2, 3, 4]);
    assert_eq!((list.ring(&[1, 2, 3]).len(), list.ring(&[4])), (3, NOBODY));
    assert_eq!(list.ring(&[1, 2]), [1, 2]);
    assert_eq!(list.ring(&[3, 4]), NOBODY);
    assert_eq!(list.ring(&[1, 3]), [1, 3], "3 comes to who goes on");
}

#[test]
fn a_ring_that_may_be_in_force_elsewhere_counts_when_a_tie_is_broken() {
    let mut cluster = Cluster::new(&[1; 4], |o| o.auto_tie_breaker = TieBreaker::Lowest);
    cluster.ring(&[1, 2, 3, 4]);
    cluster.ring_begin(&[2, 3, 4]);
    cluster.ring_end(&[2]);
    assert_eq!((cluster.ring(&[2, 3]), cluster.ring(&[1])), (vec![2, 3], NOBODY));
    assert_eq!(cluster.ring(&[1, 4]), NOBODY, "the ring of 2, 3 and 4 was in force at 2");
}

#[test]
fn one_half_of_an_even_split_goes_on() {
    let halves = |breaker: TieBreaker| {
        let mut cluster = Cluster::new(&[1; 4], |options| options.auto_tie_breaker = breaker);
        assert_eq!(cluster.ring(&[1, 2]), NOBODY, "never quorate before");
        cluster.ring(&[1, 2, 3, 4]);
        (cluster.ring(&[1, 2]), cluster.ring(&[3, 4]))
    };
    assert_eq!(halves(TieBreaker::Off), (NOBODY, NOBODY));
    assert_eq!(halves(TieBreaker::Lowest), (vec![1, 2], NOBODY));
    assert_eq!(halves(TieBreaker::Highest), (NOBODY, vec![3, 4]));
    assert_eq!(halves(TieBreaker::List(vec![NodeId(4), NodeId(1)])), (NOBODY, vec![3, 4]));
    let mut fresh = Cluster::new(&[1; 4], |o| o.auto_tie_breaker = TieBreaker::Lowest);
    fresh.ring(&[1, 2, 3, 4]);
    fresh.start(1);
    assert_eq!(fresh.ring(&[1]), NOBODY, "a quarter");
}

#[test]
fn leaving_in_order_lowers_the_quorum_to_what_is_configured() {
    let mut cluster = Cluster::new(&[1; 3], |options| options.allow_downscale = true);
    cluster.ring(&[1, 2, 3, 4, 5]);
    assert_eq!(cluster.votes(1), (3, 5));
    assert!(cluster.events(1).contains(&Event::News(News::Track { votes: 5 })));
    cluster.node(5).leave();
    cluster.exchange();
    assert_eq!(cluster.votes(1), (3, 4));
    cluster.ring(&[1, 2, 3, 4]);
    cluster.node(4).leave();
    cluster.exchange();
    assert_eq!(cluster.votes(1), (2, 3));
    cluster.node(3).leave();
    cluster.exchange();
    assert_eq!(cluster.votes(1), (2, 2), "three are configured");
    assert_eq!(cluster.ring(&[1, 2]), [1, 2]);
}

#[test]
fn who_loses_members_needs_no_fewer_votes() {
    let mut cluster = Cluster::new(&[1; 3], |_| {});
    cluster.ring(&[1, 2, 3, 4, 5]);
    assert_eq!((cluster.ring(&[1, 2]), cluster.votes(1)), (NOBODY, (3, 2)));
    cluster.start(3);
    assert_eq!(cluster.ring(&[1, 2, 3]).len(), 3);
}

#[test]
fn a_tracked_number_of_votes_is_expected_after_a_restart() {
    let options =
        Options { expected_votes_tracking: true, ..Cluster::new(&[1; 3], |_| {}).options };
    let (machine, _) = Votequorum::new(options, NodeId(1), 7).expect("good options");
    let info = machine.info(NodeId(1)).expect("itself");
    assert_eq!((info.needed, info.expected_votes, machine.features().tracked), (4, 7, 7));
}

#[test]
fn votes_can_be_changed_while_it_runs_but_not_to_nonsense() {
    let mut cluster = Cluster::new(&[1; 5], |_| {});
    cluster.ring(&[1, 2, 3, 4, 5]);
    cluster.ring(&[1, 2, 3]);
    assert_eq!(cluster.node(1).set_expected(2), Err(Refusal::Impossible), "less than there are");
    assert_eq!(cluster.node(1).set_expected(6), Err(Refusal::Impossible), "takes the quorum");
    assert_eq!(cluster.node(1).set_expected(3), Ok(()));
    cluster.exchange();
    assert_eq!((cluster.votes(2), cluster.ring(&[1, 2])), ((2, 3), vec![1, 2]));
    assert!(cluster.events(2).contains(&Event::News(News::ExpectedVotes { votes: 3 })));
    assert_eq!(cluster.node(1).set_votes(NodeId(9), 1), Err(Refusal::NoSuchNode));
    assert_eq!(cluster.node(1).set_votes(NodeId(2), 5), Ok(()));
    cluster.exchange();
    assert_eq!(cluster.votes(1), (4, 6));
    assert_eq!((cluster.ring(&[1]), cluster.ring(&[2])), (NOBODY, vec![2]));
}

#[test]
fn a_changed_node_list_changes_what_is_expected() {
    let mut cluster = Cluster::new(&[1; 3], |_| {});
    cluster.ring(&[1, 2, 3]);
    let more =
        Options { nodes: (1..=6).map(|id| (NodeId(id), 1)).collect(), ..cluster.options.clone() };
    for id in 1..=3 {
        assert_eq!(cluster.node(id).reconfigure(&more), []);
    }
    cluster.exchange();
    assert_eq!((cluster.votes(1), cluster.quorate(&[1, 2, 3])), ((4, 3), NOBODY));
    let two = Options { two_node: true, device: Some(DeviceOptions::default()), ..more };
    assert_eq!(cluster.node(1).reconfigure(&two), [Problem::TwoNodeWithDevice]);
    assert_eq!(cluster.node(1).device_register(DEVICE), Err(Refusal::NotAllowed));
}

fn with_device(votes: &[u32]) -> Cluster {
    Cluster::new(votes, |options| options.device = Some(DeviceOptions::default()))
}

#[test]
fn a_device_votes_while_it_polls() {
    let mut cluster = with_device(&[1; 2]);
    cluster.ring(&[1, 2]);
    assert_eq!(cluster.votes(1), (2, 2));
    assert_eq!(cluster.poll(1, true), Err(Refusal::NotRegistered));
    cluster.register(1);
    let other = cluster.node(1).device_register(b"other");
    assert_eq!(other, Err(Refusal::OtherDevice));
    assert_eq!(cluster.node(2).device_register(b"other"), Ok(false));
    cluster.exchange();
    assert!(cluster.events(2).contains(&Event::News(News::Registered { accepted: false })));
    cluster.register(2);
    assert_eq!(cluster.poll(1, true), Ok(()));
    assert_eq!((cluster.votes(1), cluster.votes(2)), ((2, 3), (2, 2)));
    let flags = cluster.nodes[&2].info(NodeId(1)).expect("known").flags;
    assert!(flags.contains(InfoFlags::DEVICE_REGISTERED | InfoFlags::DEVICE_VOTES));
    cluster.pass(9_999);
    assert_eq!(cluster.votes(1), (2, 3));
    cluster.pass(1);
    assert_eq!(cluster.votes(1), (2, 2));
    let flags = cluster.nodes[&1].info(NodeId(0)).expect("itself").flags;
    assert!(
        flags.contains(InfoFlags::DEVICE_REGISTERED) && !flags.contains(InfoFlags::DEVICE_ALIVE)
    );
}

#[test]
fn a_new_ring_waits_for_the_device_to_poll() {
    let mut cluster = with_device(&[1; 2]);
    cluster.ring(&[1, 2]);
    for id in [1, 2] {
        cluster.register(id);
        cluster.poll(id, true).expect("registered");
    }
    let old = cluster.nodes[&1].view().0;
    cluster.ring_begin(&[1]);
    assert!(cluster.node(1).waits_for_device());
    assert_eq!(cluster.node(1).device_poll(0, DEVICE, true, old), Err(Refusal::OtherRing));
    assert_eq!(
        cluster.node(1).device_poll(0, b"x", true, RingId { seq: 2, ..old }),
        Err(Refusal::WrongName)
    );
    assert!(cluster.node(1).waits_for_device());
    cluster.poll(1, true).expect("the new ring");
    assert!(!cluster.node(1).waits_for_device());
    cluster.ring_end(&[1]);
    assert_eq!(cluster.quorate(&[1]), [1]);
    cluster.ring_begin(&[2]);
    cluster.pass(29_999);
    assert!(cluster.node(2).waits_for_device());
    cluster.pass(1);
    assert!(!cluster.node(2).waits_for_device());
    cluster.ring_end(&[2]);
    assert_eq!(cluster.quorate(&[2]), NOBODY);
}

#[test]
fn a_device_can_be_renamed_taken_away_and_win() {
    let mut cluster = Cluster::new(&[1; 4], |options| {
        options.device = Some(DeviceOptions { votes: Some(1), ..DeviceOptions::default() });
    });
    cluster.ring(&[1, 2, 3, 4]);
    for id in 1..=4 {
        cluster.register(id);
    }
    assert_eq!(cluster.node(1).device_update(b"x", b"y"), Err(Refusal::WrongName));
    assert_eq!(cluster.node(1).device_update(DEVICE, b"new"), Ok(()));
    cluster.exchange();
    assert_eq!(cluster.nodes[&3].device().name.as_deref(), Some(b"new".as_slice()));
    assert_eq!(cluster.node(1).device_update(b"new", DEVICE), Ok(()));
    cluster.exchange();
    cluster.ring(&[1]);
    assert_eq!(cluster.node(1).device_master_wins(DEVICE, true), Ok(()));
    cluster.poll(1, true).expect("registered");
    assert_eq!((cluster.votes(1), cluster.quorate(&[1])), ((3, 2), vec![1]));
    assert_eq!(cluster.node(1).device_unregister(b"x"), Err(Refusal::WrongName));
    assert_eq!(cluster.node(1).device_unregister(DEVICE), Ok(()));
    cluster.exchange();
    assert_eq!(cluster.quorate(&[1]), NOBODY);
    assert_eq!(cluster.nodes[&1].device().name, None);
}

#[test]
fn nobody_speaks_for_another_node() {
    let mut cluster = Cluster::new(&[1; 3], |_| {});
    cluster.ring(&[1, 2, 3]);
    let lie =
        wire::quorum::NodeInfo { node: NodeId(3), votes: 9, expected_votes: 1, flags: u32::MAX };
    let before = cluster.nodes[&1].info(NodeId(3));
    cluster.node(1).deliver(NodeId(2), &wire::quorum::Quorum::Info(lie));
    assert_eq!(cluster.nodes[&1].info(NodeId(3)), before);
}

/// Extra information that a node was told of: the node it is about, and how many bytes.
fn told_extra(events: &[Event]) -> Vec<(u32, usize)> {
    let extra = |event: &Event| match event {
        Event::News(News::Extra { node, bytes }) => Some((node.0, bytes.len())),
        _ => None,
    };
    events.iter().filter_map(extra).collect()
}

#[test]
fn what_a_device_has_to_say_is_known_everywhere_while_it_is_registered() {
    let mut cluster = with_device(&[1, 1, 1]);
    cluster.ring(&[1, 2]);
    assert_eq!(cluster.node(1).device_set_extra(b"more"), Err(Refusal::NotRegistered));
    cluster.register(1);
    let long: Vec<u8> = (0..4096).map(|at| (at / 7) as u8).collect();
    assert_eq!(cluster.node(1).device_set_extra(&[0; 4097]), Err(Refusal::Impossible));
    assert_eq!(cluster.node(1).device_set_extra(&long), Ok(()));
    cluster.exchange();
    for id in [1, 2] {
        assert_eq!(cluster.node(id).device_extra(NodeId(1)), Ok(&long[..]));
        assert_eq!(cluster.node(id).device_extra(NodeId(9)), Err(Refusal::NoSuchNode));
        let flags = cluster.node(id).info(NodeId(1)).unwrap().flags;
        assert!(flags.contains(InfoFlags::DEVICE_EXTRA), "{flags:?}");
        assert_eq!(told_extra(&cluster.events(id)), [(1, 4096)]);
    }
    // Who comes learns it in the barrier, and who is there hears it again.
    cluster.ring(&[1, 2, 3]);
    assert_eq!(cluster.node(3).device_extra(NodeId(1)), Ok(&long[..]));
    assert_eq!(told_extra(&cluster.events(3)), [(1, 4096)]);
    // A new life has nothing to say, and the others hear of that.
    cluster.events(2);
    cluster.start(1);
    cluster.ring(&[1, 2, 3]);
    assert_eq!(told_extra(&cluster.events(2)), [(1, 0)]);
    assert_eq!(cluster.node(3).device_extra(NodeId(1)), Ok(&[][..]));
    cluster.register(1);
    assert_eq!(cluster.node(1).device_set_extra(b"once more"), Ok(()));
    assert_eq!(cluster.node(1).device_unregister(DEVICE), Ok(()));
    cluster.exchange();
    assert_eq!(told_extra(&cluster.events(3)), [(1, 0), (1, 9), (1, 0)]);
    assert!(!cluster.node(3).info(NodeId(1)).unwrap().flags.contains(InfoFlags::DEVICE_EXTRA));
}
