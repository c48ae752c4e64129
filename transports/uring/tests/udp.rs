//! What is peculiar to UDP over io_uring: merging, refusals that explain themselves, waking, strangers.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use frame::{Class, Pool, PoolConfig};
use synchrotron_uring::{Config, Error, Multicast, Peer, UdpTransport};
use transport::{Burst, Dest, Event, Queue, Transport};

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Addresses for `count` nodes that nobody uses now, for UDP nor TCP. They lie below the ports the
/// kernel gives to connections, so that no tether takes another node's port.
fn peers(count: usize) -> Vec<Peer> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut free = Vec::new();
    while free.len() < count * 2 {
        let serial = std::process::id() * 97 + NEXT.fetch_add(1, Ordering::Relaxed);
        let address = local(10_000 + (serial % 20_000) as u16);
        if UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok() {
            free.push(address);
        }
    }
    free.chunks(2).map(|a| Peer { data: a[0], token: a[1] }).collect()
}

fn open(me: u16, peers: &[Peer]) -> (UdpTransport, Pool) {
    let pool = Pool::heap(PoolConfig { large_count: 160, ..PoolConfig::default() });
    let transport = UdpTransport::new(Config::new(me, peers.to_vec()), pool.clone());
    (transport.expect("loopback works"), pool)
}

fn burst(pool: &Pool, bytes: usize, segment_bytes: usize) -> Burst {
    let mut slot = pool.alloc(Class::Large).expect("a slot");
    slot.truncate(bytes);
    Burst { bytes: slot, segment_bytes }
}

/// Polls until `done` is true of the receptions' sizes (bytes, segment bytes).
fn receive(
    transport: &mut UdpTransport,
    done: impl Fn(&[(usize, usize)]) -> bool,
) -> Vec<(usize, usize)> {
    let start = Instant::now();
    let mut got = Vec::new();
    while !done(&got) {
        assert!(start.elapsed() < Duration::from_secs(5), "only {got:?}");
        transport.wait(Some(10_000_000));
        transport.poll(16, Queue::Data, &mut |event| {
            if let Event::Received { burst, .. } = event {
                got.push((burst.bytes.len(), burst.segment_bytes));
            }
        });
    }
    got
}

#[test]
fn a_burst_is_received_in_one_piece() {
    let peers = peers(2);
    let (mut from, pool) = open(0, &peers);
    let (mut to, _) = open(1, &peers);
    from.send(Dest::Peer(1), Queue::Data, burst(&pool, 40 * 1472 + 9, 1472)).expect("room");
    from.flush();
    assert_eq!(receive(&mut to, |got| !got.is_empty()), [(40 * 1472 + 9, 1472)]);
    assert_eq!(to.counters().datagrams_received, 41);
    assert_eq!(to.counters().bursts_received, 1);
}

#[test]
fn strangers_are_received_too_and_empty_datagrams_are_not() {
    let peers = peers(1);
    let (mut node, _) = open(0, &peers);
    let stranger = UdpSocket::bind(local(0)).expect("a socket");
    for len in [0, 5, 0, 65_000] {
        stranger.send_to(&vec![1; len], peers[0].data).expect("sent");
    }
    stranger.send_to(&[1; 4000], peers[0].token).expect("sent");
    stranger.send_to(&[1; 3], peers[0].token).expect("sent");
    // The 4000 bytes do not fit a small slot: cut, counted, dropped.
    let got = receive(&mut node, |got| got.len() >= 3);
    assert!(got.contains(&(5, 5)) && got.contains(&(65_000, 65_000)) && got.contains(&(3, 3)));
    assert_eq!(node.counters().truncated, 1);
}

#[test]
fn an_exhausted_pool_is_counted_and_what_comes_meanwhile_waits() {
    let peers = peers(2);
    let (mut from, sending) = open(0, &peers);
    let pool = Pool::heap(PoolConfig { large_count: 8, ..PoolConfig::default() });
    let mut to =
        UdpTransport::new(Config::new(1, peers.clone()), pool.clone()).expect("loopback works");
    assert_eq!(to.slots_lent(), 4 + 16, "at most half of a class is lent");
    for _ in 0..20 {
        from.send(Dest::Peer(1), Queue::Data, burst(&sending, 1000, 1000)).expect("room");
    }
    from.flush();
    let mut kept = Vec::new();
    let start = Instant::now();
    while kept.len() < 20 {
        assert!(start.elapsed() < Duration::from_secs(5), "{} came", kept.len());
        to.flush();
        to.poll(4, Queue::Data, &mut |event| {
            if let Event::Received { burst, .. } = event {
                kept.push(Some(burst));
            }
        });
        if pool.free(Class::Large) == 0 && to.counters().buffers_exhausted > 0 {
            kept.iter_mut().for_each(|burst| *burst = None);
        }
    }
    assert!(to.counters().buffers_exhausted > 0);
    assert_eq!(to.kernel_drops(), 0);
}

#[test]
fn refusals_say_what_is_wrong() {
    let pool = || Pool::heap(PoolConfig::default());
    let fail = |config: Config| match UdpTransport::new(config, pool()) {
        Ok(_) => panic!("accepted"),
        Err(e) => e.to_string(),
    };
    let two = peers(2);
    let good = || Config::new(0, two.clone());
    let group = |group: &str| Multicast {
        group: group.parse().expect("an address"),
        port: 9,
        interface: None,
        hops: 1,
    };
    let cases = [
        (Config { me: 2, ..good() }, "position 2 is not among 2 peers"),
        (Config { data_buffers: 48, ..good() }, "data_buffers is 48, not a power of two"),
        (Config { sends_max: 0, ..good() }, "sends_max is 0"),
        (Config { multicast: Some(group("10.0.0.1")), ..good() }, "not a multicast address"),
        (Config { multicast: Some(group("ff02::1")), ..good() }, "differ in IP version"),
    ];
    for (config, want) in cases {
        let said = fail(config);
        assert!(said.contains(want), "{said}");
    }
    let mut mixed = two.clone();
    mixed[1].data = "[::1]:9".parse().expect("an address");
    assert!(fail(Config::new(0, mixed)).contains("mixes IPv4 and IPv6"));
    let mut anywhere = two.clone();
    anywhere[0].data = "0.0.0.0:9".parse().expect("an address");
    assert!(fail(Config::new(0, anywhere)).contains("must be a definite one"));

    let (_held, _) = open(0, &two);
    let said = fail(good());
    assert!(said.starts_with("cannot bind the token socket at 127.0.0.1:"), "{said}");
    let foreign = Peer { data: "192.0.2.99:9".parse().expect("an address"), ..two[1] };
    let said = fail(Config::new(1, vec![two[0], foreign]));
    assert!(said.starts_with("cannot bind the data socket at 192.0.2.99:9"), "{said}");

    let tiny = Pool::heap(PoolConfig { small_bytes: 128, ..PoolConfig::default() });
    let error = UdpTransport::new(Config::new(1, two.clone()), tiny).err();
    assert!(matches!(error, Some(Error::Slots { class: "small", have: 128, .. })), "{error:?}");
}

#[test]
fn a_multicast_interface_that_is_not_there_falls_back_with_a_warning() {
    let peers = peers(2);
    let interface = Some("no-such-link0".into());
    let group = Ipv4Addr::new(239, 1, 1, 1).into();
    let multicast = Some(Multicast { group, port: 9999, interface, hops: 1 });
    let config = Config { multicast, ..Config::new(0, peers) };
    let node = UdpTransport::new(config, Pool::heap(PoolConfig::default())).expect("falls back");
    assert!(!node.caps().multicast);
    let said = node.warnings().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    assert!(said.contains("no interface no-such-link0"), "{said}");
}

/// Polls both until `done`, and returns whom the first one reports as unreachable.
fn reports(
    node: &mut UdpTransport,
    other: Option<&mut UdpTransport>,
    done: impl Fn(&UdpTransport, &[u16]) -> bool,
) -> Vec<u16> {
    let (start, mut told, mut other) = (Instant::now(), Vec::new(), other);
    while !done(node, &told) {
        assert!(start.elapsed() < Duration::from_secs(5), "{told:?}, {} up", node.tethers_up());
        node.flush();
        node.poll(8, Queue::Data, &mut |event| {
            if let Event::Unreachable { peer } = event {
                told.push(peer);
            }
        });
        if let Some(other) = &mut other {
            other.flush();
            other.poll(8, Queue::Data, &mut |_| {});
        }
    }
    told
}

#[test]
fn a_death_is_noticed_although_nothing_is_sent() {
    let peers = peers(3);
    let (mut node, _) = open(0, &peers);
    for _ in 0..3 {
        let (mut other, _) = open(1, &peers);
        let told = reports(&mut node, Some(&mut other), |n, _| n.tethers_up() == 1);
        assert_eq!(told, [], "nobody died");
        reports(&mut other, Some(&mut node), |n, _| n.tethers_up() == 1);
        drop(other);
        // Once, and for each of two questions whether it lives.
        let told = reports(&mut node, None, |_, told| told.len() >= 3);
        assert_eq!((told, node.tethers_up()), (vec![1; 3], 0));
    }
    assert_eq!(node.counters().tethers_lost, 3 * 3);
    assert_eq!(node.counters().bursts_sent, 0);
}

#[test]
fn thirty_two_nodes_on_one_host_tie_all_their_tethers() {
    const NODES: usize = 32;
    let peers = peers(NODES);
    let small = PoolConfig { small_count: 64, large_count: 8, ..PoolConfig::default() };
    let node = |me| {
        let config = Config { receive_buffer_bytes: 1 << 17, ..Config::new(me, peers.clone()) };
        let node = UdpTransport::new(config, Pool::heap(small)).expect("loopback works");
        assert!(node.warnings().is_empty(), "{:?}", node.warnings());
        node
    };
    // One after the other, each polled while the next comes up, as real ones are.
    let mut nodes: Vec<UdpTransport> = Vec::new();
    let turn = |nodes: &mut [UdpTransport]| {
        for node in nodes {
            node.flush();
            node.poll(8, Queue::Data, &mut |event| panic!("nobody died: {event:?}"));
        }
    };
    for me in 0..NODES as u16 {
        nodes.push(node(me));
        turn(&mut nodes);
    }
    let start = Instant::now();
    while !nodes.iter().all(|n| n.tethers_up() == NODES as u64 - 1) {
        let up: Vec<u64> = nodes.iter().map(UdpTransport::tethers_up).collect();
        assert!(start.elapsed() < Duration::from_secs(10), "{up:?}");
        turn(&mut nodes);
    }
    // A third die at once: the others hear of each of them, and of nobody else.
    nodes.truncate(21);
    for node in &mut nodes {
        let told = reports(node, None, |_, told| told.len() >= 3 * 11);
        assert!(
            (21..32).all(|peer| told.iter().filter(|who| **who == peer).count() == 3),
            "{told:?}"
        );
    }
}

#[test]
fn strangers_on_a_tether_are_let_go_and_bounded() {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    let peers = peers(2);
    let (mut node, _) = open(0, &peers);
    let (mut other, _) = open(1, &peers);
    reports(&mut node, Some(&mut other), |n, _| n.tethers_up() == 1);
    // Same host, so they may connect; whoever speaks is dropped, and only a few are held. Twelve
    // fit the backlog while the node does not look.
    let connect = |_| TcpStream::connect(peers[0].data).expect("the listener is there");
    let mut crowd: Vec<TcpStream> = (0..12).map(connect).collect();
    let start = Instant::now();
    for stream in &mut crowd {
        stream.set_nonblocking(true).expect("a socket");
        let _ = stream.write_all(b"GET / HTTP/1.1");
    }
    let blocked = |s: &mut TcpStream| {
        s.read(&mut [0; 1]).is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock)
    };
    while crowd.iter_mut().any(blocked) {
        assert!(start.elapsed() < Duration::from_secs(5));
        node.wait(Some(1_000_000));
        assert_eq!(reports(&mut node, Some(&mut other), |n, _| n.tethers_up() == 1), []);
        node.poll(8, Queue::Data, &mut |event| panic!("{event:?}"));
    }
    drop(crowd);
    reports(&mut node, Some(&mut other), |n, _| n.tethers_up() == 1);
    drop(other);
    assert_eq!(reports(&mut node, None, |_, told| !told.is_empty())[0], 1);
}

#[test]
fn a_taken_tether_port_is_a_warning() {
    let peers = peers(2);
    let _squatter = TcpListener::bind(peers[0].data).expect("free for TCP");
    let (node, _) = open(0, &peers);
    let said = node.warnings().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    assert!(said.contains("deaths are noticed later"), "{said}");
}

#[test]
fn a_sleeping_node_is_woken_from_another_thread() {
    let peers = peers(2);
    let theirs = peers.clone();
    let (ready, is_ready) = std::sync::mpsc::channel();
    let sleeper = std::thread::spawn(move || {
        let (mut node, _) = open(1, &theirs);
        ready.send(()).expect("the test listens");
        let mut rounds = 0;
        let start = Instant::now();
        while rounds < 100 {
            assert!(start.elapsed() < Duration::from_secs(10), "round {rounds}");
            node.wait(Some(5_000_000_000));
            let mut reply = Vec::new();
            node.poll(8, Queue::Token, &mut |event| {
                if let Event::Received { burst, .. } = event {
                    reply.push(burst);
                }
            });
            for burst in reply {
                rounds += 1;
                node.send(Dest::Peer(0), Queue::Token, burst).expect("room");
            }
            node.flush();
        }
        node.counters().waits
    });
    is_ready.recv().expect("the sleeper is up");
    let (mut node, pool) = open(0, &peers);
    for _ in 0..100 {
        // Let it fall asleep, so that this is about waking.
        std::thread::sleep(Duration::from_micros(200));
        node.send(Dest::Peer(1), Queue::Token, burst(&pool, 100, 100)).expect("room");
        receive(&mut node, |got| !got.is_empty());
    }
    let waits = sleeper.join().expect("no panic");
    assert!(waits >= 50, "slept {waits} times");
}
