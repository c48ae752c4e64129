//! What programs see: views with their reasons, messages, refusals.

extern crate synchrotron_groups as groups;

mod world;

use groups::{Cause, Event, GroupHandle, RefusedReason};
use wire::NodeId;
use world::World;

fn nodes(ids: &[u32]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

/// Opens a session (numbered and named alike) and joins; the handle it got.
fn join(world: &mut World, node: u32, session: u32, name: &[u8]) -> GroupHandle {
    world.node(node).groups.open(session, 1000 + session);
    world.node(node).groups.join(session, 7, name);
    world.settle();
    let joined = world.node(node).events.iter().rev().find_map(|event| match event {
        Event::Joined { session: s, request: 7, group } if *s == session => Some(*group),
        _ => None,
    });
    joined.expect("the join was answered")
}

/// `(session, cause)` of a view's lists.
fn changes(list: &[(wire::MemberId, Cause)]) -> Vec<(u32, Cause)> {
    list.iter().map(|(member, cause)| (member.session, *cause)).collect()
}

#[test]
fn views_tell_who_came_and_went_and_why() {
    let mut world = World::with_nodes(2);
    let group = join(&mut world, 1, 11, b"alpha");
    join(&mut world, 2, 22, b"alpha");
    join(&mut world, 2, 23, b"alpha");
    let leaver = world.node(2).events.iter().find_map(|e| match e {
        Event::Joined { session: 22, group, .. } => Some(*group),
        _ => None,
    });
    world.node(2).groups.leave(22, 8, leaver.expect("22 joined"));
    world.settle();
    world.node(2).groups.close(23);
    world.settle();
    let seen: Vec<_> = world
        .node(1)
        .views()
        .iter()
        .map(|v| (v.members.len(), changes(&v.joined), changes(&v.left)))
        .collect();
    let none = Vec::new;
    let expected = [
        (1, vec![(11, Cause::Join)], none()),
        (2, vec![(22, Cause::Join)], none()),
        (3, vec![(23, Cause::Join)], none()),
        (2, none(), vec![(22, Cause::Leave)]),
        (1, none(), vec![(23, Cause::ProcessDown)]),
    ];
    assert_eq!(seen, expected);
    assert!(world.node(1).views().iter().all(|v| v.group == group && v.name == b"alpha"));
    // The last local member of node 2 saw itself go.
    assert_eq!(changes(&world.node(2).views().last().expect("views").left).len(), 1);
}

#[test]
fn a_node_that_goes_and_one_that_comes_are_shown_in_one_view_per_group() {
    let mut world = World::with_nodes(3);
    for (node, session) in [(1, 11), (2, 21), (2, 22), (3, 31)] {
        join(&mut world, node, session, b"g");
    }
    world.crash(NodeId(2));
    world.reform(&[nodes(&[1, 3])]);
    world.settle();
    let view = world.node(1).views().last().copied().cloned().expect("a view");
    assert_eq!(changes(&view.left), [(21, Cause::NodeDown), (22, Cause::NodeDown)]);
    assert!(view.joined.is_empty());
    world.start(NodeId(2));
    world.node(2).groups.open(29, 5);
    world.reform(&[nodes(&[1, 2, 3])]);
    join(&mut world, 2, 29, b"g");
    world.drain();
    // Node 2 restarts and its new self is in the very next ring: gone and come in one view.
    world.crash(NodeId(2));
    world.start(NodeId(2));
    world.reform(&[nodes(&[2])]);
    world.settle();
    join(&mut world, 2, 40, b"g");
    world.reform(&[nodes(&[1, 2, 3])]);
    world.settle();
    for id in [1, 3] {
        let views = world.node(id).views();
        assert_eq!(views.len(), 1, "node {id}");
        assert_eq!(changes(&views[0].left), [(29, Cause::NodeDown)]);
        assert_eq!(changes(&views[0].joined), [(40, Cause::NodeUp)]);
    }
}

#[test]
fn a_member_that_missed_a_part_is_shown_as_gone_and_come() {
    let mut world = World::with_nodes(3);
    for (node, session) in [(1, 11), (2, 21), (3, 31)] {
        join(&mut world, node, session, b"g");
    }
    world.drain();
    world.reform(&[nodes(&[1, 2]), nodes(&[3])]);
    world.reform(&[nodes(&[1, 2, 3])]);
    world.settle();
    let views = world.node(1).views();
    // The partition's barrier never ended, so the healed ring shows both changes at once.
    assert_eq!(views.len(), 1);
    assert_eq!(changes(&views[0].left), [(31, Cause::NodeDown)]);
    assert_eq!(changes(&views[0].joined), [(31, Cause::NodeUp)]);
    let views = world.node(3).views();
    assert_eq!(changes(&views[0].left), [(11, Cause::NodeDown), (21, Cause::NodeDown)]);
    assert_eq!(views[0].members.len(), 3);
}

#[test]
fn messages_reach_every_member_in_one_order_and_nobody_else() {
    let mut world = World::with_nodes(3);
    let first = join(&mut world, 1, 11, b"g");
    let second = join(&mut world, 2, 21, b"g");
    join(&mut world, 3, 31, b"other");
    world.drain();
    for i in 0..100u32 {
        world.node(1).clients.push(11, first, &i.to_le_bytes(), false);
        world.node(2).clients.push(21, second, &i.to_be_bytes(), i % 3 == 0);
    }
    world.settle();
    let seen = world.node(1).messages();
    assert_eq!(seen.len(), 200);
    assert_eq!(seen, world.node(2).messages());
    let of_first = seen.iter().filter(|(s, _)| *s == 11).map(|(_, m)| m.clone());
    assert!(of_first.eq((0..100u32).map(|i| i.to_le_bytes().to_vec())));
    assert!(world.node(3).messages().is_empty());
    assert_ne!(world.node(3).groups.counters().runs_foreign, 0);
}

#[test]
fn a_frame_with_a_safe_run_is_safe() {
    use totem::Source as _;
    let mut world = World::with_nodes(1);
    let group = join(&mut world, 1, 11, b"g");
    let node = world.node(1);
    node.clients.push(11, group, b"agreed", false);
    node.clients.push(11, group, b"safe", true);
    let payload = node.groups.source(&mut node.clients).next(world::ROOM).expect("a frame");
    assert!(payload.safe, "a frame with a safe run");
    node.clients.push(11, group, b"agreed", false);
    let payload = node.groups.source(&mut node.clients).next(world::ROOM).expect("a frame");
    assert!(!payload.safe, "a frame without one");
}

#[test]
fn nothing_is_sent_for_those_who_are_not_members() {
    let mut world = World::with_nodes(2);
    let group = join(&mut world, 1, 11, b"g");
    join(&mut world, 1, 13, b"h");
    world.drain();
    let node = world.node(1);
    node.groups.open(12, 5);
    node.clients.push(12, group, b"not a member", false);
    node.clients.push(13, group, b"member of another", false);
    node.clients.push(11, GroupHandle(99), b"no such group", false);
    node.clients.push(77, group, b"no such session", false);
    node.clients.push(11, group, b"fine", false);
    world.settle();
    let node = world.node(1);
    assert_eq!(node.messages(), [(11, b"fine".to_vec())]);
    let told: Vec<u32> = node
        .events
        .iter()
        .filter_map(|e| match e {
            Event::NotSent { session, count: 1, reason: RefusedReason::NotMember, .. } => {
                Some(*session)
            }
            _ => None,
        })
        .collect();
    assert_eq!(told, [12, 13, 11]);
    assert_eq!(node.groups.counters().messages_refused, 3);
    assert_eq!(node.groups.counters().messages_of_closed, 1);
}

#[test]
fn what_a_dead_client_left_waiting_is_not_sent() {
    let mut world = World::with_nodes(2);
    let group = join(&mut world, 1, 11, b"g");
    join(&mut world, 2, 21, b"g");
    world.drain();
    world.node(1).clients.push(11, group, b"too late", false);
    world.node(1).groups.close(11);
    world.settle();
    assert!(world.node(2).messages().is_empty());
    assert_eq!(changes(&world.node(2).views()[0].left), [(11, Cause::ProcessDown)]);
    assert_eq!(world.node(1).groups.counters().messages_of_closed, 1);
}

#[test]
fn wrong_requests_are_refused_with_the_reason() {
    let mut world = World::with_nodes(1);
    world.limits.memberships_max = 2;
    world.crash(NodeId(1));
    world.start(NodeId(1));
    world.reform(&[nodes(&[1])]);
    let group = join(&mut world, 1, 11, b"g");
    join(&mut world, 1, 12, &[0xff; 128]);
    let groups = &mut world.node(1).groups;
    groups.join(11, 1, b"");
    groups.join(11, 2, &[7; 129]);
    groups.join(11, 3, b"g");
    groups.join(11, 4, b"third");
    groups.leave(12, 5, group);
    groups.leave(11, 6, GroupHandle(1000));
    groups.join(99, 8, b"not open");
    world.node(1).take_events();
    let refused: Vec<_> = world
        .node(1)
        .events
        .iter()
        .filter_map(|e| match e {
            Event::Refused { request, reason, .. } => Some((*request, *reason)),
            _ => None,
        })
        .collect();
    use RefusedReason::{AlreadyMember, BadName, NotMember, TooMany};
    let expected = [
        (1, BadName),
        (2, BadName),
        (3, AlreadyMember),
        (4, TooMany),
        (5, NotMember),
        (6, NotMember),
        (8, TooMany),
    ];
    assert_eq!(refused, expected);
}

#[test]
fn a_state_of_any_size_is_split_over_frames() {
    let mut world = World::with_nodes(2);
    for session in 0..700 {
        world.node(1).groups.open(session, session);
        world.node(1).groups.join(session, 1, b"a crowd");
        world.node(1).groups.join(session, 2, format!("own {session}").as_bytes());
    }
    world.settle();
    world.start(NodeId(3));
    world.reform(&[nodes(&[1, 2, 3])]);
    world.settle();
    let states = world.logs.last().expect("a ring").entries.len();
    assert!(states > 10, "{states} frames");
    let node = world.node(3);
    assert!(node.groups.is_synced());
    assert_eq!(node.groups.members(b"a crowd").expect("known").len(), 700);
    assert_eq!(node.groups.groups().count(), 701);
}

#[test]
fn a_membership_that_was_on_the_way_survives_a_change() {
    let mut world = World::with_nodes(2);
    world.node(1).groups.open(11, 1);
    world.node(1).groups.join(11, 7, b"sent");
    assert!(world.send(NodeId(1)));
    world.node(1).groups.join(11, 8, b"waiting");
    world.reform(&[nodes(&[1]), nodes(&[2])]);
    world.reform(&[nodes(&[1, 2])]);
    world.settle();
    for name in [&b"sent"[..], b"waiting"] {
        assert_eq!(world.node(2).groups.members(name).map(|m| m.len()), Some(1));
    }
}

#[test]
fn who_left_before_a_late_end_of_the_barrier_is_not_together_any_more() {
    let mut world = World::with_nodes(3);
    for (node, session) in [(1, 11), (2, 21), (3, 31)] {
        join(&mut world, node, session, b"g");
    }
    // A new ring; all states are in the order, but nobody has read them when it breaks.
    world.reform(&[nodes(&[1, 2, 3])]);
    for id in [3, 1, 2] {
        assert!(world.send(NodeId(id)));
    }
    // Node 3 goes its own way first. Nodes 1 and 2 read the states, and so end the barrier, in the
    // transitional configuration without node 3, which is in the next ring again.
    world.reform(&[nodes(&[3])]);
    world.drain();
    world.reform(&[nodes(&[1, 2, 3])]);
    world.settle();
    for id in [1, 2] {
        let views = world.node(id).views();
        assert_eq!(views.len(), 1, "node {id}");
        assert_eq!(changes(&views[0].left), [(31, Cause::NodeDown)]);
        assert_eq!(changes(&views[0].joined), [(31, Cause::NodeUp)]);
    }
}
