//! The wrappers do what they say: losses in proportion, cuts by direction, captures that read back.

use frame::{Class, Pool, PoolConfig};
use synchrotron_transport as transport;
use transport::conformance::Log;
use transport::lossy::{Faults, Lossy};
use transport::memory::{Memory, Network};
use transport::pcap::Pcap;
use transport::{Burst, Dest, Queue, Transport};

const SENT: usize = 20_000;

fn pool() -> Pool {
    Pool::heap(PoolConfig { large_count: 80, small_count: 200, ..PoolConfig::default() })
}

fn lossy(network: &Network, me: u16, peers: u16, faults: Faults, seed: u64) -> Lossy<Memory> {
    let pool = pool();
    Lossy::new(network.attach(me, pool.clone()), pool, me, peers, faults, seed)
}

fn send(from: &mut impl Transport, pool: &Pool, to: Dest, bytes: &[u8], segment_bytes: usize) {
    let mut slot = pool.alloc(Class::Large).expect("a slot");
    slot.truncate(bytes.len());
    slot.copy_from_slice(bytes);
    from.send(to, Queue::Data, Burst { bytes: slot, segment_bytes }).expect("room");
    from.flush();
}

/// Numbers of the datagrams that arrived, in order, of `SENT` sent in bursts of ten.
fn arrivals(faults: Faults, seed: u64) -> (Vec<u32>, transport::lossy::Counters) {
    let network = Network::new(2);
    let sending = pool();
    let mut from = network.attach(0, sending.clone());
    let mut to = lossy(&network, 1, 2, faults, seed);
    let mut log = Log::default();
    for burst in 0..SENT / 10 {
        let numbers = (burst * 10) as u32..;
        let bytes: Vec<u8> = numbers.take(10).flat_map(u32::to_le_bytes).collect();
        send(&mut from, &sending, Dest::Peer(1), &bytes, 4);
        to.poll(usize::MAX, Queue::Token, &mut |event| log.take(event));
    }
    while to.poll(8, Queue::Token, &mut |event| log.take(event)) > 0 {}
    let number = |d: &Vec<u8>| u32::from_le_bytes(d[..].try_into().expect("four bytes"));
    (log.datagrams.iter().map(|(_, d)| number(d)).collect(), *to.counters())
}

#[test]
fn loses_and_doubles_in_proportion() {
    let faults = Faults { drop_ppm: 100_000, duplicate_ppm: 50_000, ..Faults::default() };
    let (got, counters) = arrivals(faults, 1);
    let distinct: std::collections::BTreeSet<_> = got.iter().collect();
    assert_eq!(SENT - distinct.len(), counters.dropped as usize);
    assert_eq!(got.len() - distinct.len(), counters.duplicated as usize);
    // Ten and (of what is not lost) five percent, within six standard deviations.
    assert!(counters.dropped.abs_diff(2000) < 255, "{counters:?}");
    assert!(counters.duplicated.abs_diff(900) < 180, "{counters:?}");
    assert!(got.is_sorted(), "nothing is out of order unless asked for");
}

#[test]
fn one_seed_gives_one_run_and_another_another() {
    let faults =
        Faults { drop_ppm: 30_000, duplicate_ppm: 30_000, reorder_ppm: 30_000, only: None };
    assert_eq!(arrivals(faults, 7), arrivals(faults, 7));
    assert_ne!(arrivals(faults, 7).0, arrivals(faults, 8).0);
}

#[test]
fn reordering_loses_nothing() {
    let faults = Faults { reorder_ppm: 100_000, ..Faults::default() };
    let (mut got, counters) = arrivals(faults, 3);
    assert!(counters.reordered > 1000 && !got.is_sorted());
    got.sort_unstable();
    assert!(got.into_iter().eq(0..SENT as u32));
}

#[test]
fn faults_keep_to_their_queue() {
    let faults = Faults { drop_ppm: 1_000_000, only: Some(Queue::Token), ..Faults::default() };
    let (got, counters) = arrivals(faults, 1);
    assert_eq!((got.len(), counters.dropped), (SENT, 0));
}

#[test]
fn faults_are_read_from_text() {
    let want =
        Faults { drop_ppm: 10, reorder_ppm: 7, only: Some(Queue::Data), ..Faults::default() };
    assert_eq!("reorder_ppm=7,only=data,drop_ppm=10".parse(), Ok(want));
    assert_eq!("".parse(), Ok(Faults::default()));
    for (text, said) in [
        ("drop_ppm", "not of the form name=value"),
        ("drop_ppm=1000001", "a number from 0 to 1000000"),
        ("drop_ppm=-1", "a number from 0 to 1000000"),
        ("loss=1", "unknown fault `loss`"),
        ("only=both", "`token` or `data`"),
    ] {
        let error = text.parse::<Faults>().expect_err("wrong");
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn a_cut_works_one_way_and_heals() {
    let network = Network::new(3);
    let mut nodes: Vec<_> = (0..3).map(|me| lossy(&network, me, 3, Faults::default(), 1)).collect();
    let sending = pool();
    let log = |node: &mut Lossy<Memory>| {
        let mut log = Log::default();
        node.poll(8, Queue::Data, &mut |event| log.take(event));
        log.datagrams.len()
    };
    nodes[0].set_cut(1, true);
    send(&mut nodes[0], &sending, Dest::All, b"to two only", 11);
    send(&mut nodes[0], &sending, Dest::Peer(1), b"nowhere", 7);
    send(&mut nodes[1], &sending, Dest::Peer(0), b"the other way", 13);
    assert_eq!([0, 1, 2].map(|i| log(&mut nodes[i])), [1, 0, 1]);
    assert_eq!(nodes[0].counters().cut, 2);
    nodes[0].set_cut(1, false);
    send(&mut nodes[0], &sending, Dest::All, b"healed", 6);
    assert_eq!([0, 1, 2].map(|i| log(&mut nodes[i])), [0, 1, 1]);
}

#[test]
fn a_capture_reads_back() {
    let network = Network::new(2);
    let sending = pool();
    let file = tempfile::NamedTempFile::new().expect("a file");
    let handle = file.reopen().expect("the file");
    let mut from = Pcap::new(network.attach(0, sending.clone()), handle).expect("a header");
    let mut to = network.attach(1, pool());
    send(&mut from, &sending, Dest::Peer(1), b"abcabcab", 3);
    send(&mut to, &sending, Dest::All, b"reply", 5);
    let mut log = Log::default();
    from.poll(8, Queue::Data, &mut |event| log.take(event));
    assert_eq!(from.records(), 4);
    assert!(from.error().is_none());

    let bytes = std::fs::read(file.path()).expect("the capture");
    let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    assert_eq!((word(0), word(20)), (0xa1b2_c3d4, 147));
    let mut at = 24;
    let mut records = Vec::new();
    while at < bytes.len() {
        let len = word(at + 8) as usize;
        assert_eq!(len, word(at + 12) as usize);
        records.push(&bytes[at + 16..at + 16 + len]);
        at += 16 + len;
    }
    let want: [&[u8]; 4] = [
        b"\x00\x01\x01\x00\0\0\0\0abc",
        b"\x00\x01\x01\x00\0\0\0\0abc",
        b"\x00\x01\x01\x00\0\0\0\0ab",
        b"\x01\x01\xff\xff\0\0\0\0reply",
    ];
    assert_eq!(records, want);
}

#[test]
fn a_full_disk_ends_the_capture_and_nothing_else() {
    struct Full(usize);
    impl std::io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if bytes.len() > self.0 {
                return Err(std::io::ErrorKind::StorageFull.into());
            }
            self.0 -= bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let network = Network::new(2);
    let sending = pool();
    let mut from = Pcap::new(network.attach(0, sending.clone()), Full(30)).expect("a header");
    let mut to = network.attach(1, pool());
    send(&mut from, &sending, Dest::Peer(1), b"arrives all the same", 20);
    let mut log = Log::default();
    to.poll(8, Queue::Data, &mut |event| log.take(event));
    assert_eq!(log.datagrams.len(), 1);
    assert_eq!(from.error().map(std::io::Error::kind), Some(std::io::ErrorKind::StorageFull));
}
