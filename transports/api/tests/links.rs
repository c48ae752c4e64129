//! Several transports as one.

use frame::{Class, Pool, PoolConfig};
use synchrotron_transport::links::{Links, LinksError};
use synchrotron_transport::memory::{Memory, Network};
use synchrotron_transport::{Burst, Dest, Event, Queue, SendError};

fn pool(small_count: u32) -> Pool {
    let (small_bytes, large_bytes) = (2048, 16384);
    Pool::heap(PoolConfig { small_bytes, small_count, large_bytes, large_count: 4 })
}

fn links_of(networks: &[Network], me: u16, pool: &Pool) -> Links<Memory> {
    let links = networks.iter().map(|network| network.attach(me, pool.clone())).collect();
    Links::new(links, 0, pool.clone()).unwrap()
}

fn burst(pool: &Pool, text: &[u8]) -> Burst {
    let mut bytes = pool.alloc(Class::Small).unwrap();
    bytes.truncate(text.len());
    bytes.copy_from_slice(text);
    Burst { bytes, segment_bytes: text.len() }
}

/// Everything that can be received, as link and bytes.
fn received(links: &mut Links<Memory>) -> Vec<(u8, Vec<u8>)> {
    let mut all = Vec::new();
    while let Some((link, event)) = links.poll_one(Queue::Data) {
        match event {
            Event::Received { burst, .. } => all.push((link, burst.bytes.to_vec())),
            other => panic!("{other:?}"),
        }
    }
    all
}

#[test]
fn bursts_go_on_the_links_named_and_come_with_the_link_they_came_by() {
    let networks: Vec<_> = (0..3).map(|_| Network::new(2)).collect();
    let (mine, theirs) = (pool(16), pool(16));
    let mut a = links_of(&networks, 0, &mine);
    let mut b = links_of(&networks, 1, &theirs);
    a.send(0b010, Dest::Peer(1), Queue::Data, burst(&mine, b"one")).unwrap();
    a.send(0b101, Dest::All, Queue::Data, burst(&mine, b"two")).unwrap();
    // There is no fourth link.
    a.send(0b1001, Dest::Peer(1), Queue::Data, burst(&mine, b"three")).unwrap();
    a.flush();
    let mut came = received(&mut b);
    came.sort();
    let expected: Vec<(u8, Vec<u8>)> =
        [(0, "three"), (0, "two"), (1, "one"), (2, "two")].map(|(l, t)| (l, t.into())).into();
    assert_eq!(came, expected);
    assert_eq!(a.counters().copies, 1);
    assert_eq!(mine.free(Class::Small), 16, "every slot is free again");
    let nowhere = a.send(0b1000, Dest::Peer(1), Queue::Data, burst(&mine, b"four"));
    assert_eq!(nowhere, Err(SendError::Full));
}

#[test]
fn without_a_slot_for_the_copy_one_link_carries_it() {
    let networks: Vec<_> = (0..2).map(|_| Network::new(2)).collect();
    let (mine, theirs) = (pool(1), pool(16));
    let mut a = links_of(&networks, 0, &mine);
    let mut b = links_of(&networks, 1, &theirs);
    a.send(0b11, Dest::Peer(1), Queue::Data, burst(&mine, b"x")).unwrap();
    a.flush();
    assert_eq!(received(&mut b).len(), 1);
    assert_eq!(a.counters().copies_failed, 1);
}

#[test]
fn the_link_under_load_is_read_on_before_the_next_one_but_not_for_ever() {
    let networks: Vec<_> = (0..2).map(|_| Network::new(2)).collect();
    let (mine, theirs) = (pool(128), pool(128));
    let mut a = links_of(&networks, 0, &mine);
    let mut b = links_of(&networks, 1, &theirs);
    for _ in 0..40 {
        a.send(0b01, Dest::Peer(1), Queue::Data, burst(&mine, b"load")).unwrap();
    }
    a.send(0b10, Dest::Peer(1), Queue::Data, burst(&mine, b"calm")).unwrap();
    a.flush();
    let order: Vec<u8> = received(&mut b).into_iter().map(|(link, _)| link).collect();
    let calm = order.iter().position(|link| *link == 1).unwrap();
    assert!((10..=33).contains(&calm), "{order:?}");
    assert_eq!(order.len(), 41);
}

#[test]
fn there_are_one_to_eight() {
    let pool = pool(4);
    let many = |count: usize| {
        let network = Network::new(1);
        let links = (0..count).map(|_| network.attach(0, pool.clone())).collect();
        Links::<Memory>::new(links, 0, pool.clone())
    };
    assert!(matches!(many(0), Err(LinksError::Count(0))));
    assert!(many(8).is_ok());
    assert!(matches!(many(9), Err(LinksError::Count(9))));
}
