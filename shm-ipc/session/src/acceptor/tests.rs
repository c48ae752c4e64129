//! Those whom we do not trust cannot keep others out.

use std::os::fd::OwnedFd;

use frame::{PoolConfig, Region};

use super::*;
use crate::attachment::{Attachment, ConnectError, Options};
use crate::config::Config;
use crate::server::Server;

fn serve(sessions_max: usize, trusted: bool) -> (Server, Acceptor, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config { sessions_max, ..Config::new(dir.path().join("socket")) };
    if !trusted {
        config.access.private_uids = vec![rustix::process::geteuid().as_raw()];
    }
    let pool = PoolConfig { small_count: 64, large_count: 4, ..PoolConfig::default() };
    let region = Region::create(pool).unwrap();
    let fd = region.fd().try_clone_to_owned().unwrap();
    let (server, acceptor) = crate::open(config, region.into_pool(pool), fd).unwrap();
    (server, acceptor, dir)
}

/// How many of so many programs get a session, and why the next one does not.
fn sessions(trusted: bool) -> (usize, Cause) {
    let (_server, mut acceptor, _dir) = serve(4, trusted);
    let path = acceptor.path().clone();
    let mut held = Vec::new();
    loop {
        let connecting = std::thread::spawn({
            let path = path.clone();
            move || Attachment::connect(&path, Options::default())
        });
        while !connecting.is_finished() {
            acceptor.poll(Duration::from_millis(1), &mut |_| {}).unwrap();
        }
        match connecting.join().unwrap() {
            Ok(attachment) => held.push(attachment),
            Err(ConnectError::Refused { cause, .. }) => return (held.len(), cause),
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn the_last_places_are_for_those_whom_we_trust() {
    assert_eq!(sessions(true), (4, Cause::TooMany));
    assert_eq!(sessions(false), (3, Cause::TooMany));
}

/// How many of so many silent connections are given up when each has had the time of a crowd.
fn given_up(count: usize, trusted: bool) -> u64 {
    let (_server, mut acceptor, _dir) = serve(4, trusted);
    let mut silent: Vec<OwnedFd> = Vec::new();
    while silent.len() < count {
        silent.push(seqpacket::connect(acceptor.path()).unwrap());
        acceptor.poll(Duration::ZERO, &mut |_| {}).unwrap();
    }
    assert_eq!(acceptor.half_open(), count);
    let until = acceptor.connections.values().filter_map(|c| greets_until(c, false)).max();
    acceptor.expire(until.unwrap() - HANDSHAKE + HANDSHAKE_CROWDED);
    acceptor.counters().late
}

#[test]
fn strangers_who_say_nothing_make_room_for_others() {
    assert_eq!(given_up(HALF_OPEN_MAX, false), HALF_OPEN_MAX as u64);
    assert_eq!(given_up(HALF_OPEN_MAX - 1, false), 0, "there is room");
    assert_eq!(given_up(HALF_OPEN_MAX, true), 0, "they have their time");
}
