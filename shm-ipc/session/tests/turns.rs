//! What a program may cost in one turn of the engine.

use std::time::Duration;

use frame::{PoolConfig, Region};
use session::layout::RecordKind;
use session::{Attachment, Config, Options};
use synchrotron_session as session;

/// A message may have no bytes, but telling that it is not sent costs every reader of the delivery ring something.
#[test]
fn messages_that_are_not_sent_cost_their_sender_its_turn() {
    const COUNT: u32 = 4096;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let pool = PoolConfig { small_count: 64, large_count: 4, ..PoolConfig::default() };
    let region = Region::create(pool).unwrap();
    let fd = region.fd().try_clone_to_owned().unwrap();
    let (mut server, mut acceptor) =
        session::open(Config::new(&path), region.into_pool(pool), fd).unwrap();
    let client = std::thread::spawn(move || {
        let mut client = Attachment::connect(&path, Options::default()).unwrap();
        for number in 0..COUNT {
            // By turns to two groups, so that each is a run of its own.
            client.loan(RecordKind::Message, 70 + number % 2, 0).unwrap().commit();
        }
        client.flush();
        client
    });
    while !client.is_finished() {
        acceptor.poll(Duration::from_millis(1), &mut |_| {}).unwrap();
    }
    let _client = client.join().unwrap();
    server.poll(1, &mut |_| {});
    assert!(server.pull(&mut [0; 1400]).is_none());
    let first = server.counters().not_sent;
    assert!((1..=600).contains(&first), "{first} in one turn");
    while server.pending_bytes() > 0 {
        assert!(server.pull(&mut [0; 1400]).is_none());
    }
    assert_eq!(server.counters().not_sent, COUNT.into());
}
