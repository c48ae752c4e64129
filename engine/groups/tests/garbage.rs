//! Bytes from peers: whatever they are, the table stays what all agreed on, and what is read was
//! written.

extern crate synchrotron_groups as groups;

mod world;

use proptest::collection::vec;
use proptest::prelude::*;
use totem::Delivered;
use wire::control::{self, CONTROL_BYTES_MIN, Control, StateWriter};
use wire::run::{RUN_HEADER_BYTES, RunHeader, RunKind};
use wire::{NodeId, RingId};
use world::{World, frame_of};
use zerocopy::IntoBytes;

const RING: RingId = RingId { seq: 7, rep: NodeId(3) };

/// A group's name and its sessions.
type Entry = (Vec<u8>, Vec<(u32, u32)>);

fn write_state(entries: &[Entry], room: usize, last: bool) -> Option<Vec<u8>> {
    let mut buf = vec![0xaa; room];
    let mut writer = StateWriter::new(&mut buf, RING, 5, 99)?;
    for (name, sessions) in entries {
        assert!(writer.group(name), "the buffer was made for all entries");
        for &(session, pid) in sessions {
            assert!(writer.session(session, pid), "the buffer was made for all entries");
        }
    }
    let end = writer.finish(last);
    buf.truncate(end);
    Some(buf)
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        session: u32,
        pid: u32,
        name in vec(any::<u8>(), 1..=128),
        entries in vec((vec(any::<u8>(), 1..=128), vec(any::<(u32, u32)>(), 1..20)), 0..10),
        last: bool,
    ) {
        let mut buf = [0xaa; CONTROL_BYTES_MIN];
        let end = control::write_join(&mut buf, session, pid, &name).expect("room");
        let read = control::parse(&buf[..end]);
        let same = matches!(read, Ok(Control::Join { session: s, pid: p, name: n })
            if (s, p, n) == (session, pid, &name[..]));
        prop_assert!(same);
        let end = control::write_leave(&mut buf, session, pid, &name).expect("room");
        let read = control::parse(&buf[..end]);
        let same = matches!(read, Ok(Control::Leave { session: s, pid: p, name: n })
            if (s, p, n) == (session, pid, &name[..]));
        prop_assert!(same);
        let end = control::write_process_down(&mut buf, session, pid).expect("room");
        let read = control::parse(&buf[..end]);
        let same = matches!(read, Ok(Control::ProcessDown { session: s, pid: p })
            if (s, p) == (session, pid));
        prop_assert!(same);
        let body = write_state(&entries, 8192, last).expect("room");
        prop_assert_eq!(body.len() % 8, 0);
        let Ok(Control::State(state)) = control::parse(&body) else {
            return Err(TestCaseError::fail("not a state"));
        };
        prop_assert_eq!((state.ring, state.part, state.boot, state.last), (RING, 5, 99, last));
        let read: Vec<Entry> = state
            .entries()
            .map(|e| {
                let pairs = e.sessions.iter().map(|s| (s.session.get(), s.pid.get()));
                (e.name.to_vec(), pairs.collect())
            })
            .collect();
        prop_assert_eq!(read, entries);
    }

    #[test]
    fn a_changed_message_is_refused_or_well_formed(
        entries in vec((vec(any::<u8>(), 1..=128), vec(any::<(u32, u32)>(), 1..5)), 0..4),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut body = write_state(&entries, 4096, true).expect("room");
        for (at, value) in changes {
            let at = at.index(body.len());
            body[at] = value;
        }
        body.truncate(cut.index(body.len() + 1));
        match control::parse(&body) {
            Ok(Control::State(state)) => {
                for entry in state.entries() {
                    prop_assert!((1..=128).contains(&entry.name.len()));
                }
            }
            Ok(Control::Join { name, .. } | Control::Leave { name, .. }) => {
                prop_assert!((1..=128).contains(&name.len()));
            }
            Ok(Control::ProcessDown { .. } | Control::Cfg(_) | Control::Quorum(_)) | Err(_) => {}
        }
    }

    #[test]
    fn garbage_runs_change_nothing(
        runs in vec((0u8..4, any::<u32>(), any::<u16>(), 0u8..4, vec(any::<u8>(), 0..64)), 0..6),
        tail in vec(any::<u8>(), 0..40),
    ) {
        let mut world = World::with_nodes(2);
        world.node(1).groups.open(11, 1);
        world.node(1).groups.join(11, 1, b"g");
        world.settle();
        world.drain();
        let before = world::table_of(&world.node(1).groups.status().groups);
        let mut payload = Vec::new();
        for (kind, group, count, flags, mut body) in runs {
            body.resize(body.len().next_multiple_of(8), 0);
            let header = RunHeader {
                // Half of the runs name the group there is.
                group: (group % 2).into(),
                session: 11.into(),
                bytes: (body.len() as u32).into(),
                count: count.into(),
                kind,
                flags,
            };
            prop_assert_eq!(header.as_bytes().len(), RUN_HEADER_BYTES);
            // A control message that happens to be well formed may change the table.
            let control = kind == RunKind::Control.code() && control::parse(&body).is_ok();
            if !control {
                payload.extend_from_slice(header.as_bytes());
                payload.extend_from_slice(&body);
            }
        }
        payload.extend_from_slice(&tail);
        let node = world.node(1);
        let ring = node.groups.status().ring.expect("a ring");
        let payload = frame_of(&node.pool, &payload);
        // From node 2, which has no session 11: nothing of it may reach a program.
        let origin = NodeId(2);
        node.groups.deliver(0, Delivered { ring, seq: 1, origin, payload, transitional: false });
        node.take_events();
        prop_assert!(node.events.is_empty(), "{:?}", node.events);
        prop_assert_eq!(world::table_of(&node.groups.status().groups), before);
    }
}

#[test]
fn a_fragment_must_agree_with_its_body_and_continue_what_came_before() {
    let mut world = World::with_nodes(1);
    world.node(1).groups.open(11, 1);
    world.node(1).groups.join(11, 1, b"g");
    world.settle();
    let fragment = |total: u64, offset: u64, len: u32, bytes: usize| {
        let mut body = Vec::new();
        body.extend_from_slice(&total.to_le_bytes());
        body.extend_from_slice(&offset.to_le_bytes());
        body.extend_from_slice(&len.to_le_bytes());
        body.extend_from_slice(&[0; 4]);
        body.resize(24 + bytes, 7);
        body
    };
    let cases = [
        (fragment(100, 50, 16, 16), 0),
        (fragment(100, 0, 16, 16), 1),
        (fragment(100, 16, 13, 16), 1),
        (fragment(100, 29, 17, 16), 0),
        (fragment(40, 29, 16, 16), 0),
        (fragment(100, 29, 16, 16), 1),
        (fragment(100, 29, 16, 16), 0),
        (fragment(100, 45, 16, 16), 0),
        (fragment(u64::MAX, u64::MAX, 16, 16), 0),
        (vec![0; 16], 0),
    ];
    for (body, expected) in cases {
        world.drain();
        let header = RunHeader {
            group: 0.into(),
            session: 11.into(),
            bytes: (body.len() as u32).into(),
            count: 1.into(),
            kind: RunKind::Fragment.code(),
            flags: 0,
        };
        let mut payload = header.as_bytes().to_vec();
        payload.extend_from_slice(&body);
        let node = world.node(1);
        let ring = node.groups.status().ring.expect("a ring");
        let payload = frame_of(&node.pool, &payload);
        let origin = NodeId(1);
        node.groups.deliver(0, Delivered { ring, seq: 9, origin, payload, transitional: false });
        node.take_events();
        assert_eq!(node.events.len(), expected, "{body:?}");
    }
}
