//! Rules about sleeping and waking.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};

use super::{DEADLINE, Lab, Log, Node, logs, settle};
use crate::{Dest, Queue, Transport};

/// Waits, then polls, until the log has what `done` wants; panics if a wait slept to its end.
fn wait_for<T: Transport>(
    node: &mut Node<T>,
    log: &mut Log,
    what: &str,
    done: impl Fn(&Log) -> bool,
) {
    let start = Instant::now();
    let deadline_ns = DEADLINE.as_nanos() as u64;
    while !done(log) {
        node.transport().wait(Some(deadline_ns));
        node.drain(log);
        assert!(start.elapsed() < DEADLINE, "{what} did not end the wait");
    }
}

/// A datagram that is there, or comes, ends a wait.
pub fn wakes_for_datagrams<L: Lab>(lab: &L) {
    let mut nodes = lab.network(2, lab.pool());
    for queue in [Queue::Token, Queue::Data] {
        let mut log = Log::default();
        nodes[0].send(Dest::Peer(1), queue, b"wake", 4);
        nodes[0].transport().flush();
        wait_for(&mut nodes[1], &mut log, "a datagram", |l| !l.datagrams.is_empty());
    }
}

/// A doorbell, if there is one, rings for what comes while its transport dozes, each time, for somebody who waits for
/// it edge-triggered and reads nothing of it.
pub fn rings_for_datagrams<L: Lab>(lab: &L) {
    let mut nodes = lab.network(2, lab.pool());
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
    let Some(bell) = nodes[1].transport().doorbell() else { return };
    let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
    epoll::add(&epoll, bell, epoll::EventData::new_u64(0), flags).expect("watch the bell");
    let deadline = Timespec { tv_sec: DEADLINE.as_secs() as i64, tv_nsec: 0 };
    let mut events = Vec::with_capacity(4);
    for round in 0..20 {
        let queue = if round % 2 == 0 { Queue::Token } else { Queue::Data };
        let mut log = Log::default();
        while nodes[1].transport().doze() == 0 {
            nodes[1].drain(&mut log);
        }
        assert!(log.datagrams.is_empty(), "nothing was sent yet");
        nodes[0].send(Dest::Peer(1), queue, b"ring", 4);
        nodes[0].transport().flush();
        while log.datagrams.is_empty() {
            events.clear();
            let room = rustix::buffer::spare_capacity(&mut events);
            let rang = epoll::wait(&epoll, room, Some(&deadline)).expect("wait for the bell");
            assert!(rang > 0, "round {round}: the doorbell is silent");
            nodes[1].drain(&mut log);
            if log.datagrams.is_empty() && nodes[1].transport().doze() == 0 {
                nodes[1].drain(&mut log);
            }
        }
        assert_eq!(log.datagrams, [(queue, b"ring".to_vec())]);
    }
}

/// A watched descriptor that becomes readable ends a wait and is reported under its key, each time.
pub fn wakes_for_descriptors<L: Lab>(lab: &L) {
    let mut nodes = lab.network(2, lab.pool());
    let flags = EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC;
    let bells: Vec<_> = (0..3).map(|_| eventfd(0, flags).expect("eventfd")).collect();
    for (i, bell) in bells.iter().enumerate() {
        nodes[0].transport().watch(bell.as_fd(), 100 + i as u64).expect("watch");
    }
    let mut log = Log::default();
    nodes[0].drain(&mut log);
    assert!(log.ready.is_empty(), "a silent bell is not ready");
    for round in 0..5 {
        for (i, bell) in bells.iter().enumerate() {
            let key = 100 + i as u64;
            rustix::io::write(bell, &1u64.to_ne_bytes()).expect("ring");
            let mut log = Log::default();
            wait_for(&mut nodes[0], &mut log, "a bell", |l| {
                if !l.ready.is_empty() {
                    // Read as the engine would, so that the next ring is news.
                    let _ = rustix::io::read(bell, &mut [0; 8]);
                }
                l.ready.contains(&key)
            });
            assert!(log.ready.iter().all(|k| *k == key), "round {round}: {:?}", log.ready);
        }
    }
    // One that was readable before it was watched counts too.
    let early = eventfd(1, flags).expect("eventfd");
    nodes[0].transport().watch(early.as_fd(), 7).expect("watch");
    let mut log = Log::default();
    wait_for(&mut nodes[0], &mut log, "a bell rung before", |l| l.ready.contains(&7));
}

/// After [`Transport::unwatch`] a descriptor says nothing and may be closed and its number reused.
pub fn forgets_descriptors<L: Lab>(lab: &L) {
    let mut nodes = lab.network(1, lab.pool());
    let mut all = logs(1);
    for round in 0..50u64 {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("eventfd");
        nodes[0].transport().watch(bell.as_fd(), round).expect("watch");
        if round % 2 == 0 {
            rustix::io::write(&bell, &1u64.to_ne_bytes()).expect("ring");
        }
        nodes[0].transport().unwatch(round);
        rustix::io::write(&bell, &1u64.to_ne_bytes()).expect("ring");
        drop(bell);
    }
    settle(&mut nodes, &mut all);
    assert!(all[0].ready.is_empty(), "{:?}", all[0].ready);
    nodes[0].transport().unwatch(99);
}

/// A wait with nothing to wake it ends when its time is over, not before and not much after.
pub fn ends_waits_in_time<L: Lab>(lab: &L) {
    let mut nodes = lab.network(2, lab.pool());
    let mut all = logs(2);
    settle(&mut nodes, &mut all);
    let wanted = Duration::from_millis(20);
    let start = Instant::now();
    nodes[0].transport().wait(Some(wanted.as_nanos() as u64));
    let slept = start.elapsed();
    assert!(slept >= wanted - Duration::from_millis(1), "{slept:?}");
    assert!(slept < DEADLINE, "{slept:?}");
    let start = Instant::now();
    nodes[0].transport().wait(Some(0));
    assert!(start.elapsed() < Duration::from_secs(1));
}
