//! Messages in fragments, and members that come, go or are cut off in the middle of one.

extern crate synchrotron_groups as groups;

mod world;

use groups::{Cause, Event, GroupHandle};
use wire::NodeId;
use world::World;
use world::reader::{Read, Reader};

/// Fills three frames.
const LARGE: [u8; 3000] = [b'L'; 3000];

/// What the programs of a node were given, in short: views by the sessions of their members, messages by
/// sender and first byte.
fn given(world: &mut World, node: u32) -> Vec<String> {
    let mut reader = Reader::new(NodeId(node));
    let events = std::mem::take(&mut world.node(node).events);
    let read = events.iter().flat_map(|event| reader.read(event));
    read.map(|read| match read {
        Read::View(view) => {
            let members: Vec<String> = view.members.iter().map(|m| m.session.to_string()).collect();
            let came: Vec<String> = view.joined.iter().map(|(m, c)| sign(m.session, *c)).collect();
            let went: Vec<String> = view.left.iter().map(|(m, c)| sign(m.session, *c)).collect();
            format!("view {} {}", members.join(","), [went, came].concat().join(" "))
        }
        Read::Message { sender, bytes, .. } => {
            format!("{} from {}", char::from(bytes[0]), sender.session)
        }
    })
    .collect()
}

fn sign(session: u32, cause: Cause) -> String {
    match cause {
        Cause::Join => format!("+{session}"),
        Cause::NodeUp => format!("up {session}"),
        Cause::Leave => format!("-{session}"),
        Cause::NodeDown => format!("down {session}"),
        Cause::ProcessDown => format!("dead {session}"),
    }
}

fn ask(world: &mut World, node: u32, session: u32) {
    world.node(node).groups.open(session, session);
    world.node(node).groups.join(session, 7, b"g");
}

fn handle(world: &mut World, node: u32) -> GroupHandle {
    let joined = world.node(node).events.iter().find_map(|event| match event {
        Event::Joined { group, .. } => Some(*group),
        _ => None,
    });
    joined.expect("the join was answered")
}

/// Sessions 11 and 21 on nodes 1 and 2 are members; node 3 has none. Node 1 has sent the first
/// fragment of a large message.
fn half_sent() -> (World, GroupHandle) {
    let mut world = World::with_nodes(3);
    ask(&mut world, 1, 11);
    ask(&mut world, 2, 21);
    world.settle();
    let group = handle(&mut world, 1);
    world.node(1).clients.push(11, group, &LARGE, false);
    assert!(world.send(NodeId(1)));
    (world, group)
}

/// What ends in the frame in which the next begins is no item more.
#[test]
fn fragments_that_follow_each_other_in_a_frame_are_one_item() {
    let (mut world, group) = half_sent();
    world.node(1).clients.push(11, group, &LARGE, false);
    world.settle();
    let counts = |event: &Event| match event {
        Event::Messages(run) => Some(run.count),
        _ => None,
    };
    let seen: Vec<u16> = world.node(2).events.iter().filter_map(counts).collect();
    assert!(seen.contains(&2) && seen.len() < usize::from(seen.iter().sum::<u16>()), "{seen:?}");
    let messages = given(&mut world, 2).into_iter().filter(|text| text == "L from 11").count();
    assert_eq!(messages, 2);
}

/// Everybody reads what there is; nobody sends.
fn read_all(world: &mut World) {
    for id in [1, 2, 3] {
        while world.nodes.contains_key(&NodeId(id)) && world.read(NodeId(id)) {}
    }
}

fn waiting(world: &mut World, node: u32) -> Vec<u32> {
    let groups = world.node(node).groups.status().groups;
    groups.iter().flat_map(|g| g.waiting.iter().map(|m| m.session)).collect()
}

#[test]
fn a_join_takes_effect_after_the_message_that_had_begun() {
    let (mut world, _) = half_sent();
    ask(&mut world, 3, 31);
    assert!(world.send(NodeId(3)));
    read_all(&mut world);
    for node in 1..=3 {
        assert_eq!(waiting(&mut world, node), [31], "node {node}");
    }
    // What is ordered whole meanwhile is for the old members.
    let group = handle(&mut world, 2);
    world.node(2).clients.push(21, group, b"small", false);
    assert!(world.send(NodeId(2)));
    world.settle();
    let old = ["view 11,21 +21", "s from 21", "L from 11", "view 11,21,31 +31"];
    assert_eq!(given(&mut world, 1)[1..], old);
    assert_eq!(given(&mut world, 2), old);
    assert_eq!(given(&mut world, 3), ["view 11,21,31 +31"]);
    assert_eq!(world.node(2).groups.counters().joins_waited, 1);
}

#[test]
fn a_message_that_begins_while_a_join_waits_is_for_all_if_it_ends_later() {
    let (mut world, _) = half_sent();
    ask(&mut world, 3, 31);
    assert!(world.send(NodeId(3)));
    read_all(&mut world);
    let group = handle(&mut world, 2);
    world.node(2).clients.push(21, group, &[b'M'; 3000], false);
    assert!(world.send(NodeId(2)));
    while world.send(NodeId(1)) {}
    world.settle();
    let expected = ["L from 11", "view 11,21,31 +31", "M from 21"];
    assert_eq!(given(&mut world, 1)[2..], expected);
    assert_eq!(given(&mut world, 2)[1..], expected);
    assert_eq!(given(&mut world, 3), expected[1..]);
}

#[test]
fn joins_take_effect_in_their_order_and_together_when_they_can() {
    let (mut world, group) = half_sent();
    ask(&mut world, 3, 31);
    ask(&mut world, 3, 32);
    assert!(world.send(NodeId(3)));
    // The next message begins, in the frame in which this one ends, before the third join.
    world.node(1).clients.push(11, group, &[b'N'; 3000], false);
    assert!(world.send(NodeId(1)) && world.send(NodeId(1)));
    ask(&mut world, 3, 33);
    assert!(world.send(NodeId(3)));
    world.settle();
    let seen = given(&mut world, 2);
    let expected =
        ["L from 11", "view 11,21,31,32 +31 +32", "N from 11", "view 11,21,31,32,33 +33"];
    assert_eq!(seen[1..], expected);
    assert_eq!(given(&mut world, 3), expected[1..]);
}

#[test]
fn a_sender_that_goes_ends_the_wait() {
    let (mut world, _) = half_sent();
    ask(&mut world, 3, 31);
    assert!(world.send(NodeId(3)));
    read_all(&mut world);
    world.node(1).groups.close(11);
    world.settle();
    assert_eq!(given(&mut world, 2)[1..], ["view 21,31 dead 11 +31"]);
    assert_eq!(given(&mut world, 3), ["view 21,31 dead 11 +31"]);
}

#[test]
fn the_last_member_may_go_with_its_message() {
    let mut world = World::with_nodes(2);
    ask(&mut world, 1, 11);
    world.settle();
    let group = handle(&mut world, 1);
    world.node(1).clients.push(11, group, &LARGE, false);
    assert!(world.send(NodeId(1)));
    ask(&mut world, 2, 21);
    assert!(world.send(NodeId(2)));
    while world.read(NodeId(1)) {}
    world.node(1).groups.close(11);
    world.settle();
    assert_eq!(given(&mut world, 2), ["view 21 dead 11 +21"]);
    assert_eq!(world.node(1).groups.members(b"g").map(|m| m.len()), Some(1));
}

#[test]
fn who_dies_waiting_was_never_there() {
    let (mut world, _) = half_sent();
    ask(&mut world, 3, 31);
    assert!(world.send(NodeId(3)));
    read_all(&mut world);
    world.node(3).groups.close(31);
    assert!(world.send(NodeId(3)));
    world.settle();
    for node in 1..=3 {
        assert_eq!(waiting(&mut world, node), [0; 0]);
        assert_eq!(
            world.node(node).groups.groups().next().map(|g| g.handle.is_some()),
            Some(node < 3)
        );
    }
    assert_eq!(given(&mut world, 2)[1..], ["L from 11"]);
    assert!(given(&mut world, 3).is_empty());
}

#[test]
fn who_waits_may_neither_send_nor_leave() {
    let (mut world, _) = half_sent();
    ask(&mut world, 3, 31);
    assert!(world.send(NodeId(3)));
    read_all(&mut world);
    let group = handle(&mut world, 3);
    world.node(3).clients.push(31, group, b"too early", false);
    world.node(3).groups.leave(31, 8, group);
    world.settle();
    let node = world.node(3);
    let refused = node.events.iter().any(|e| matches!(e, Event::Refused { request: 8, .. }));
    let not_sent = node.events.iter().any(|e| matches!(e, Event::NotSent { session: 31, .. }));
    assert!(refused && not_sent);
    node.clients.push(31, group, b"now", false);
    world.settle();
    assert_eq!(given(&mut world, 2).last().map(String::as_str), Some("n from 31"));
}

#[test]
fn a_new_ring_ends_the_wait_in_the_view_of_its_barrier() {
    let (mut world, _) = half_sent();
    ask(&mut world, 3, 31);
    assert!(world.send(NodeId(3)));
    read_all(&mut world);
    world.start(NodeId(4));
    // A ring that breaks before its barrier ends changes nothing.
    world.reform(&[[1, 2, 3, 4].map(NodeId).to_vec()]);
    world.reform(&[[1, 2, 3, 4].map(NodeId).to_vec()]);
    world.settle();
    ask(&mut world, 4, 41);
    world.settle();
    let expected = ["view 11,21,31 +31", "L from 11", "view 11,21,31,41 +41"];
    assert_eq!(given(&mut world, 2)[1..], expected);
    assert_eq!(given(&mut world, 3), expected);
}

#[test]
fn a_sender_cut_off_ends_the_wait_on_both_sides() {
    let (mut world, _) = half_sent();
    ask(&mut world, 3, 31);
    assert!(world.send(NodeId(3)));
    read_all(&mut world);
    world.reform(&[vec![NodeId(1)], vec![NodeId(2), NodeId(3)]]);
    world.settle();
    assert_eq!(given(&mut world, 1)[2..], ["view 11 down 21", "L from 11"]);
    assert_eq!(given(&mut world, 2)[1..], ["view 21,31 down 11 +31"]);
    assert_eq!(given(&mut world, 3), ["view 21,31 down 11 +31"]);
}

#[test]
fn a_message_starts_again_in_a_ring_that_is_ready_at_once() {
    let (mut world, _) = half_sent();
    world.reform(&[vec![NodeId(1)], vec![NodeId(2), NodeId(3)]]);
    // Alone, a node's barrier ends with its own state: nothing comes between it and the next frame.
    while world.send(NodeId(1)) {
        world.read(NodeId(1));
    }
    assert_eq!(given(&mut world, 1)[2..], ["view 11 down 21", "L from 11"]);
    assert_eq!(world.node(1).groups.counters().peer_stray_fragments, 0);
}
