//! Machines that send each other hellos over links that fail as told.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use super::*;

const MS: u64 = 1_000_000;

/// A hello on its way: from, to, link, token queue.
type Way = (usize, usize, u8, bool);

struct World {
    now_ns: u64,
    paths: Vec<Paths>,
    /// Whether a hello is lost.
    lost: Box<dyn FnMut(Way) -> bool>,
    traces: Vec<(usize, Trace)>,
}

impl World {
    fn new(nodes: u32, links: Links) -> Self {
        let list: Vec<NodeId> = (1..=nodes).map(NodeId).collect();
        let make = |node: &NodeId| Paths::new(links, *node, &list, 2 * u64::from(node.0) + 1, 0);
        let paths = list.iter().map(make).collect();
        Self { now_ns: 0, paths, lost: Box::new(|_| false), traces: Vec::new() }
    }

    fn lose(&mut self, lost: impl FnMut(Way) -> bool + 'static) {
        self.lost = Box::new(lost);
    }

    /// Carries hellos for a while.
    fn run(&mut self, ms: u64) {
        let end_ns = self.now_ns + ms * MS;
        loop {
            let (due_ns, from) = (0..self.paths.len())
                .map(|at| (self.paths[at].next_timeout(), at))
                .min()
                .expect("somebody is here");
            if due_ns > end_ns {
                break;
            }
            self.now_ns = self.now_ns.max(due_ns);
            self.paths[from].timeout(self.now_ns);
            let mut bytes = [0; 1152];
            while let Some((len, link, token)) = self.paths[from].poll_hello(&mut bytes) {
                for to in (0..self.paths.len()).filter(|to| *to != from) {
                    if !(self.lost)((from, to, link, token)) {
                        let (node, hello) = (NodeId(from as u32 + 1), &bytes[..len]);
                        self.paths[to].heard(self.now_ns, node, link, token);
                        let taken = self.paths[to].on_hello(self.now_ns, node, link, token, hello);
                        taken.expect("a hello of ours");
                    }
                }
            }
            for (at, paths) in self.paths.iter_mut().enumerate() {
                while let Some(trace) = paths.poll_trace() {
                    self.traces.push((at, trace));
                }
            }
        }
        self.now_ns = end_ns;
    }

    /// The links that a node's data for all goes on.
    fn chosen(&mut self, at: usize) -> u8 {
        self.paths[at].links_for(self.now_ns, None, Sort::Bulk)
    }

    fn all_chosen(&mut self) -> Vec<u8> {
        (0..self.paths.len()).map(|at| self.chosen(at)).collect()
    }

    fn downs(&self) -> usize {
        self.traces.iter().filter(|(_, trace)| trace.code == Code::LinkDown).count()
    }
}

fn links(count: u8, mode: Mode) -> Links {
    Links { count, mode, priorities: [1; LINKS_MAX] }
}

#[test]
fn links_come_up_at_once_and_the_first_of_equals_is_used() {
    let mut world = World::new(3, links(2, Mode::Passive));
    assert_eq!(world.all_chosen(), [3, 3, 3], "nothing is known yet: all of them");
    world.run(10);
    assert_eq!(world.all_chosen(), [1, 1, 1]);
    assert!(world.paths[0].states().all(|state| state.up && state.cause.is_none()));
    assert_eq!(world.paths[0].states().count(), 4);
    assert_eq!(
        world.paths[0].links_for(world.now_ns, None, Sort::Rare),
        3,
        "rare frames go everywhere"
    );
    let mut second = links(2, Mode::Passive);
    second.priorities[1] = 2;
    let mut world = World::new(3, second);
    world.run(10);
    assert_eq!(world.all_chosen(), [2, 2, 2], "the higher priority");
}

#[test]
fn a_dead_link_is_left_after_a_few_milliseconds_of_suspicion() {
    let mut world = World::new(3, links(2, Mode::Passive));
    world.run(1000);
    world.lose(|(_, _, link, _)| link == 0);
    let now_ns = world.now_ns;
    world.paths[0].suspect(now_ns);
    assert_eq!(world.chosen(0), 3, "what is sent again goes everywhere");
    world.paths[0].end_call();
    assert_eq!(world.chosen(0), 3, "and so does everything for a while");
    world.run(12);
    for at in 0..3 {
        assert_eq!(world.paths[at].in_use(), 2, "node {at}");
    }
    world.run(100);
    assert_eq!(world.all_chosen(), [2, 2, 2]);
    let missed = |trace: &Trace| trace.code == Code::LinkDown && trace.level == Level::Warn;
    assert!(world.traces.iter().filter(|(_, trace)| missed(trace)).count() >= 3);
}

#[test]
fn without_suspicion_hellos_alone_find_a_dead_link() {
    let mut world = World::new(2, links(3, Mode::Passive));
    world.run(1000);
    world.lose(|(_, _, link, _)| link == 0);
    world.run(250);
    assert_eq!(world.all_chosen(), [2, 2]);
    world.lose(|(_, _, link, _)| link < 2);
    world.run(250);
    assert_eq!(world.all_chosen(), [4, 4]);
}

#[test]
fn one_direction_is_enough_to_leave_a_link_and_so_is_one_queue() {
    for (what, lost) in [
        ("one way", (|(from, _, link, _)| link == 0 && from == 0) as fn(Way) -> bool),
        ("the token's queue", |(_, _, link, token)| link == 0 && token),
        ("data's queue, to one node", |(_, to, link, token)| link == 0 && to == 1 && !token),
    ] {
        let mut world = World::new(2, links(2, Mode::Passive));
        world.run(500);
        world.lose(lost);
        world.run(400);
        assert_eq!(world.all_chosen(), [2, 2], "{what}");
    }
}

#[test]
fn other_datagrams_are_signs_of_life_but_not_for_ever() {
    let mut world = World::new(2, links(2, Mode::Passive));
    world.run(500);
    world.lose(|(_, to, link, token)| to == 0 && link == 0 && !token);
    for ms in 0..500 {
        world.run(1);
        let now_ns = world.now_ns;
        world.paths[0].heard(now_ns, NodeId(2), 0, false);
        assert_eq!(world.downs(), 0, "after {ms} ms");
    }
    for _ in 0..800 {
        world.run(1);
        let now_ns = world.now_ns;
        world.paths[0].heard(now_ns, NodeId(2), 0, false);
    }
    assert_eq!(world.all_chosen(), [2, 2]);
    let cause = DownCause::MissedAmidTraffic as u64;
    assert!(world.traces.iter().any(|(at, trace)| *at == 0 && trace.args[2] == cause));
}

#[test]
fn of_signs_of_life_in_quick_succession_some_go_everywhere() {
    let mut world = World::new(3, links(2, Mode::Passive));
    world.run(100);
    let (paths, start_ns) = (&mut world.paths[0], world.now_ns);
    let mut everywhere = |to: Option<NodeId>, every_us: u64| {
        let at = |sign| start_ns + sign * every_us * 1_000;
        let sets = (0..1000).map(|sign| paths.links_for(at(sign), to, Sort::Sign));
        let sets: Vec<u8> = sets.collect();
        assert_eq!(sets[0], 3, "after a rest");
        paths.signs_ns = [0; 2];
        sets.iter().filter(|set| **set == 3).count()
    };
    // A resting ring: all of them. A busy one: every 5 ms, and answers at least as often.
    assert_eq!((everywhere(None, 5_000), everywhere(Some(NodeId(2)), 5_000)), (1000, 1000));
    assert_eq!((everywhere(None, 100), everywhere(Some(NodeId(2)), 100)), (20, 40));
    // One link that works is enough, as for data.
    let sign = |paths: &mut Paths| paths.links_for(start_ns + 1, None, Sort::Sign);
    let first = [sign(&mut world.paths[0]), sign(&mut world.paths[0])];
    assert_eq!(first, [3, 1]);
}

#[test]
fn no_link_reaches_all_so_the_fewest_that_cover_them_are_used() {
    let mut world = World::new(3, links(2, Mode::Passive));
    world.run(500);
    world.lose(|(from, to, link, _)| match link {
        0 => from + to == 1,
        _ => from + to == 2,
    });
    world.run(400);
    assert_eq!(world.all_chosen(), [3, 2, 1], "node 1 needs both, the others one each");
    let now_ns = world.now_ns;
    assert_eq!(world.paths[0].links_for(now_ns, Some(NodeId(2)), Sort::Bulk), 2);
    assert_eq!(world.paths[0].links_for(now_ns, Some(NodeId(3)), Sort::Bulk), 1);
}

#[test]
fn a_node_that_dies_or_sleeps_blames_no_link() {
    let mut world = World::new(3, links(2, Mode::Passive));
    world.run(500);
    world.lose(|(from, to, _, _)| from == 2 || to == 2);
    world.run(1500);
    assert_eq!(world.downs(), 0, "a pause");
    world.lose(|_| false);
    world.run(1000);
    assert_eq!(world.downs(), 0);
    world.lose(|(from, to, _, _)| from == 2 || to == 2);
    world.run(3000);
    let silent = |trace: &Trace| trace.args[2] == DownCause::Silent as u64;
    assert!(
        world.downs() > 0
            && world
                .traces
                .iter()
                .all(|(_, trace)| { trace.code != Code::LinkDown || silent(trace) })
    );
    assert_eq!(world.chosen(0), 1, "the others go on as before");
    world.lose(|_| false);
    world.run(120);
    assert!(world.paths[0].states().all(|state| state.up && state.flaps == 0), "back at once");
}

#[test]
fn a_flapping_link_is_left_alone_for_longer_each_time() {
    let mut world = World::new(2, links(2, Mode::Passive));
    world.run(1000);
    let mut moves = Vec::new();
    for _ in 0..40 {
        world.lose(|(_, _, link, _)| link == 0);
        world.run(300);
        world.lose(|_| false);
        world.run(700);
        moves.push(world.paths[0].counters().moves);
    }
    let (half, all) = (moves[19], moves[39]);
    assert!(all <= 10, "40 failures in 40 s moved the ring {all} times");
    assert!(all - half <= 2, "the later ones hardly any more");
    assert_eq!(world.chosen(0), 2);
    world.run(130_000);
    assert_eq!(world.chosen(0), 2, "among equals the one in use stays");
    assert!(world.paths[0].states().all(|state| state.up));
}

#[test]
fn a_better_link_is_taken_again_after_its_probation() {
    let mut better = links(2, Mode::Passive);
    better.priorities[0] = 9;
    let mut world = World::new(2, better);
    world.run(1000);
    world.lose(|(_, _, link, _)| link == 0);
    world.run(1000);
    assert_eq!(world.chosen(0), 2);
    world.lose(|_| false);
    world.run(100);
    assert_eq!(world.chosen(0), 2, "on probation");
    world.run(1000);
    assert_eq!(world.chosen(0), 1);
}

#[test]
fn loss_of_a_tenth_does_not_take_links_down_all_the_time() {
    let mut world = World::new(4, links(2, Mode::Passive));
    let mut random = 7_u64;
    world.lose(move |_| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33).is_multiple_of(10)
    });
    world.run(60_000);
    // 48 queues, each 1,100 hellos: one miss of three in a row for each on average.
    assert!(world.downs() < 100, "{}", world.downs());
    let usable = world.paths[0].states().filter(|state| state.up).count();
    assert!(usable >= 3, "{usable} of 6 links up");
}

#[test]
fn a_late_link_is_not_a_dead_one() {
    // Link 1 is ten milliseconds longer; hellos in quick succession arrive there many at a time.
    let mut receiver =
        Paths::new(links(2, Mode::Passive), NodeId(1), &[NodeId(1), NodeId(2)], 1, 0);
    let mut sender = Paths::new(links(2, Mode::Passive), NodeId(2), &[NodeId(1), NodeId(2)], 3, 0);
    let (mut under_way, mut bytes) = (VecDeque::new(), [0; 1152]);
    for step in 0..4000_u64 {
        let now_ns = step * MS / 4;
        if step % 800 == 400 {
            sender.suspect(now_ns);
        }
        if sender.next_timeout() <= now_ns {
            sender.timeout(now_ns);
            while let Some((len, link, token)) = sender.poll_hello(&mut bytes) {
                let at_ns = now_ns + u64::from(link) * 10 * MS;
                under_way.push_back((at_ns, link, token, bytes[..len].to_vec()));
            }
        }
        let mut rest = VecDeque::new();
        while let Some((at_ns, link, token, hello)) = under_way.pop_front() {
            if at_ns <= now_ns {
                receiver.heard(now_ns, NodeId(2), link, token);
                receiver.on_hello(now_ns, NodeId(2), link, token, &hello).expect("a hello");
            } else {
                rest.push_back((at_ns, link, token, hello));
            }
        }
        under_way = rest;
    }
    assert!(receiver.counters().hellos_received > 100);
    assert!(receiver.states().all(|state| state.hears && state.flaps == 0));
}

#[test]
fn a_link_that_fails_after_many_false_alarms_is_found_as_soon() {
    let late = |strays: u32| {
        let mut world = World::new(2, links(2, Mode::Passive));
        world.run(1000);
        let suspect = |world: &mut World| {
            let now_ns = world.now_ns;
            world.paths[0].suspect(now_ns);
            world.paths[0].end_call();
        };
        for _ in 0..8 {
            suspect(&mut world);
            world.run(700);
        }
        suspect(&mut world);
        world.run(20);
        assert_eq!(world.chosen(0), 1, "nothing was the matter");
        world.lose(|(_, _, link, _)| link == 0);
        let now_ns = world.now_ns;
        world.paths[0].carried(now_ns, 0);
        (0..strays).for_each(|_| world.paths[0].carried(now_ns, 1));
        suspect(&mut world);
        world.run(15);
        world.chosen(0)
    };
    assert_eq!(late(STRAYS_MIN), 2, "what was sent again came by the other link only");
    assert_eq!(late(STRAYS_MIN - 1), 1, "one more of those");
}

#[test]
fn a_hint_counts_when_every_link_that_worked_has_it() {
    let mut world = World::new(2, links(2, Mode::Passive));
    world.run(100);
    let now_ns = world.now_ns;
    let paths = &mut world.paths[0];
    assert!(!paths.unreachable(now_ns, NodeId(2), 0), "the link may be dead, not the process");
    assert!(!paths.unreachable(now_ns, NodeId(2), 0), "once more the same");
    paths.heard(now_ns, NodeId(2), 0, true);
    assert!(!paths.unreachable(now_ns, NodeId(2), 1), "it was heard meanwhile");
    assert!(paths.unreachable(now_ns, NodeId(2), 0));
    assert!(!paths.unreachable(now_ns, NodeId(2), 0), "both have to say it again");
    assert!(paths.counters().suspicions > 0, "hellos go out to see");
}

#[test]
fn a_hint_on_a_link_that_does_not_work_is_no_news() {
    let mut world = World::new(2, links(2, Mode::Passive));
    world.run(100);
    world.lose(|(_, _, link, _)| link == 0);
    world.run(1000);
    let now_ns = world.now_ns;
    let paths = &mut world.paths[0];
    let suspicions = paths.counters().suspicions;
    for _ in 0..100 {
        assert!(!paths.unreachable(now_ns, NodeId(2), 0));
    }
    assert_eq!(
        paths.counters().suspicions,
        suspicions,
        "nothing is looked at more closely for that"
    );
}

#[test]
fn a_link_on_probation_shows_that_the_process_lives() {
    let mut world = World::new(2, links(2, Mode::Passive));
    world.run(100);
    world.lose(|(_, _, link, _)| link == 0);
    world.run(1000);
    world.lose(|_| false);
    world.run(120);
    assert_eq!(world.all_chosen(), [2, 2], "link 0 is heard, and does not count yet");
    let now_ns = world.now_ns;
    let paths = &mut world.paths[0];
    assert!(!paths.unreachable(now_ns, NodeId(2), 1), "link 1 may be dead, not the process");
    assert!(paths.unreachable(now_ns, NodeId(2), 0), "now nothing speaks for it");
}

#[test]
fn hellos_that_crossed_over_or_are_of_another_list_prove_nothing() {
    let list = [NodeId(1), NodeId(2)];
    let mut one = Paths::new(links(2, Mode::Passive), NodeId(1), &list, 1, 0);
    let mut two = Paths::new(links(2, Mode::Passive), NodeId(2), &list, 3, 0);
    let mut bytes = [0; 1152];
    two.timeout(0);
    let (len, link, token) = two.poll_hello(&mut bytes).expect("a hello");
    assert_eq!((link, token), (0, false));
    one.on_hello(0, NodeId(2), 1, false, &bytes[..len]).expect("well-formed");
    one.on_hello(0, NodeId(2), 0, true, &bytes[..len]).expect("well-formed");
    assert_eq!(one.counters().hellos_misplaced, 2);
    assert!(one.on_hello(0, NodeId(2), 0, false, &bytes[..len - 1]).is_err());
    assert!(one.states().all(|state| !state.hears));
    one.set_nodes(NodeId(1), &[NodeId(1), NodeId(2), NodeId(3)]);
    let mut world =
        World { now_ns: 0, paths: vec![one, two], lost: Box::new(|_| false), traces: Vec::new() };
    world.run(200);
    assert!(world.paths[0].states().all(|state| !state.heard_by), "the lists differ");
    world.paths[1].set_nodes(NodeId(2), &[NodeId(1), NodeId(2), NodeId(3)]);
    world.run(200);
    assert_eq!(world.paths[0].states().filter(|state| state.up).count(), 2);
}

#[test]
fn active_uses_all_that_work_and_in_turn_one_after_the_other() {
    let mut world = World::new(2, links(3, Mode::Active));
    world.run(100);
    assert_eq!(world.chosen(0), 7);
    world.lose(|(_, _, link, _)| link == 1);
    world.run(400);
    assert_eq!(world.chosen(0), 5);
    let now_ns = world.now_ns;
    world.paths[0].set_links(Mode::RoundRobin, [1; LINKS_MAX]);
    let mut turn = || {
        let paths = &mut world.paths[0];
        let together = [0, 1].map(|_| paths.links_for(now_ns, None, Sort::Bulk));
        assert_eq!(together[0], together[1], "one burst");
        paths.end_call();
        together[0]
    };
    let turns: Vec<u8> = (0..4).map(|_| turn()).collect();
    assert!(turns == [4, 1, 4, 1] || turns == [1, 4, 1, 4], "{turns:?}");
}
