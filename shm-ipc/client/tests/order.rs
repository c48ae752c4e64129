//! Programs on one engine: order, sizes, loans, views.

mod engine;

use std::time::Duration;

use client::{Client, Event, Group, Options, PublishError, ViewCause};
use engine::{Engine, Setup};

const LONG: Option<Duration> = Some(Duration::from_secs(10));

fn connect(engine: &Engine) -> Client {
    Client::connect(engine.path(), Options::default()).unwrap()
}

/// Reads messages until `count` were seen; anything but messages and views is a failure.
fn read(client: &mut Client, count: usize) -> Vec<(u32, Vec<u8>)> {
    let mut seen = Vec::new();
    while seen.len() < count {
        match client.recv(LONG) {
            Some(Event::Message(m)) => seen.push((m.sender.session, m.bytes.to_vec())),
            Some(Event::View(_)) => {}
            other => panic!("after {} messages: {other:?}", seen.len()),
        }
    }
    seen
}

#[test]
fn two_programs_see_one_order() {
    let engine = Engine::start();
    let (mut a, mut b) = (connect(&engine), connect(&engine));
    let (in_a, in_b) = (a.join(b"g").unwrap(), b.join(b"g").unwrap());
    const EACH: u32 = 5000;
    for i in 0..EACH {
        a.publish(&in_a, &i.to_le_bytes()).unwrap();
        b.publish(&in_b, &i.to_le_bytes()).unwrap();
    }
    let from_a = read(&mut a, 2 * EACH as usize);
    // B saw the views from its own join on, A one more; messages are the same.
    assert_eq!(from_a, read(&mut b, 2 * EACH as usize));
    for session in [a.me().session, b.me().session] {
        let own = from_a.iter().filter(|(s, _)| *s == session);
        let numbers: Vec<u32> =
            own.map(|(_, m)| u32::from_le_bytes(m[..].try_into().unwrap())).collect();
        assert!(numbers.iter().copied().eq(0..EACH), "each sender's order is kept");
    }
    let shown = engine.until("readers on the delivery ring", |s| s.counters.resumed >= 2);
    assert!(shown.counters.descriptors > 0, "most of it went through the delivery ring: {shown:?}");
}

#[test]
fn what_is_staged_leaves_together_and_the_rest_of_a_run_is_taken_at_once() {
    const COUNT: u32 = 1000;
    let engine = Engine::start();
    let mut client = connect(&engine);
    let group = client.join(b"g").unwrap();
    for i in 0..COUNT {
        let mut loan = client.loan(&group, 4 + i as usize % 60).unwrap();
        loan[..4].copy_from_slice(&i.to_le_bytes());
        loan.stage();
        if i % 64 == 0 {
            client.show();
        }
    }
    // Waiting shows what nobody showed.
    let (mut seen, mut in_runs) = (Vec::new(), 0);
    while seen.len() < COUNT as usize {
        let first = match client.recv(LONG) {
            Some(Event::Message(m)) => Some((m.bytes.len(), m.bytes[..4].to_vec())),
            Some(Event::View(_)) => None,
            other => panic!("after {} messages: {other:?}", seen.len()),
        };
        let is_message = first.is_some();
        seen.extend(first);
        let taken = client.rest_of_run(|m| seen.push((m.bytes.len(), m.bytes[..4].to_vec())));
        assert!(is_message || taken == 0);
        assert_eq!(client.rest_of_run(|_| panic!("a run ends once")), 0);
        in_runs += taken;
    }
    let wanted = (0..COUNT).map(|i| (4 + i as usize % 60, i.to_le_bytes().to_vec()));
    assert!(seen.into_iter().eq(wanted));
    assert!(in_runs > 0, "frames take more than one of these");
}

#[test]
fn messages_are_taken_many_at_a_time_and_nothing_else_is_skipped() {
    const COUNT: u32 = 3000;
    let engine = Engine::start();
    let (mut a, mut b) = (connect(&engine), connect(&engine));
    let groups = [b"g", b"h"].map(|name| a.join(name).unwrap());
    let only = b.join(b"h").unwrap();
    for i in 0..COUNT {
        let mut loan = a.loan(&groups[i as usize / 20 % 2], 4).unwrap();
        loan.copy_from_slice(&i.to_le_bytes());
        loan.stage();
        if i == COUNT / 2 {
            b.leave(&only).unwrap();
        }
        if i % 64 == 0 {
            a.show();
        }
    }
    let take = |client: &mut Client, numbers: &mut Vec<u32>, views: &mut usize| {
        let taken = client.take_messages(100, |m| {
            let number = u32::from_le_bytes(m.bytes.try_into().unwrap());
            assert_eq!(m.group.name(), if number / 20 % 2 == 0 { b"g" } else { b"h" });
            numbers.push(number);
        });
        if taken > 0 {
            return taken;
        }
        match client.recv(LONG) {
            Some(Event::Message(m)) => {
                numbers.push(u32::from_le_bytes(m.bytes.try_into().unwrap()));
            }
            Some(Event::View(_)) => *views += 1,
            other => panic!("after {numbers:?}: {other:?}"),
        }
        0
    };
    let (mut numbers, mut views, mut together) = (Vec::new(), 0, 0);
    // Three joins and a leave; the last view that A sees is of B.
    while numbers.len() < COUNT as usize || views < 4 {
        together += take(&mut a, &mut numbers, &mut views);
    }
    assert!(numbers.into_iter().eq(0..COUNT));
    assert!(together > 0);
    let (mut numbers, mut views) = (Vec::new(), 0);
    while views < 2 {
        take(&mut b, &mut numbers, &mut views);
    }
    // All of its group in order until it left, nothing of the other and nothing after.
    assert!(numbers.iter().copied().eq((0..COUNT).filter(|i| i / 20 % 2 == 1).take(numbers.len())));
    assert_eq!(b.take_messages(1, |_| panic!("not a member any more")), 0);
}

#[test]
fn a_group_is_silent_before_joining_and_after_leaving() {
    let engine = Engine::start();
    let (mut a, mut b) = (connect(&engine), connect(&engine));
    let in_a = a.join(b"g").unwrap();
    a.publish(&in_a, b"before").unwrap();
    read(&mut a, 1);
    let in_b = b.join(b"g").unwrap();
    let Some(Event::View(view)) = b.recv(LONG) else { panic!("no view") };
    assert!(view.is_first && !view.is_last);
    assert_eq!(view.members.len(), 2);
    assert_eq!(view.joined[0].cause, ViewCause::Join);
    assert_eq!(view.joined[0].member.session, b.me().session);
    a.publish(&in_a, b"between").unwrap();
    assert_eq!(read(&mut b, 1)[0].1, b"between");
    b.leave(&in_b).unwrap();
    assert_eq!(b.publish(&in_b, b"x"), Err(PublishError::NotMember));
    let Some(Event::View(view)) = b.recv(LONG) else { panic!("no view") };
    assert!(view.is_last);
    assert_eq!(view.left[0].cause, ViewCause::Leave);
    a.publish(&in_a, b"after").unwrap();
    read(&mut a, 2);
    assert!(b.recv(Some(Duration::from_millis(50))).is_none());
    let again = b.join(b"g").unwrap();
    a.publish(&in_a, b"again").unwrap();
    assert_eq!(read(&mut b, 1)[0].1, b"again");
    assert_eq!(again, in_b, "a group keeps its number");
}

#[test]
fn loans_are_sent_when_committed_and_never_otherwise() {
    let engine = Engine::start();
    let mut a = connect(&engine);
    let group = a.join(b"g").unwrap();
    for i in 0..200_u8 {
        let mut loan = a.loan(&group, usize::from(i)).unwrap();
        loan.fill(i);
        if i % 3 == 0 {
            drop(loan);
        } else {
            loan.commit();
        }
    }
    for i in (0..200_u8).filter(|i| i % 3 != 0) {
        assert_eq!(read(&mut a, 1)[0].1, vec![i; usize::from(i)]);
    }
    assert!(matches!(a.loan(&group, 40_000), Err(PublishError::TooLongForOnePiece { .. })));
}

#[test]
fn sizes_around_every_limit_come_back_whole() {
    for frame_bytes in [1400, 9000, 60_000] {
        let mut setup = Setup::new();
        setup.frame_bytes = frame_bytes;
        let engine = setup.start();
        let mut a = connect(&engine);
        let group = a.join(b"g").unwrap();
        let sizes = [
            0, 1, 7, 8, 9, 1300, 1384, 1392, 1393, 1400, 1500, 8976, 8992, 9001, 32_767, 32_768,
            32_769, 65_536, 100_000,
        ];
        for (i, size) in sizes.into_iter().enumerate() {
            let byte = i as u8 + 1;
            a.publish(&group, &vec![byte; size]).unwrap();
            a.publish_safe(&group, &[byte]).unwrap();
        }
        for (i, size) in sizes.into_iter().enumerate() {
            let got = read(&mut a, 2);
            let byte = i as u8 + 1;
            assert_eq!(got[0].1.len(), size, "frames of {frame_bytes}");
            assert!(got[0].1.iter().all(|b| *b == byte));
            assert_eq!(got[1].1, [byte]);
        }
    }
}

#[test]
fn megabytes_travel_in_one_message() {
    let mut setup = Setup::new();
    setup.frame_bytes = 60_000;
    let engine = setup.start();
    let path = engine.path().to_owned();
    for size in [1 << 20, 8 << 20, 16 << 20] {
        let (mut a, mut b) = (connect(&engine), connect(&engine));
        let in_a = a.join(b"g").unwrap();
        b.join(b"g").unwrap();
        let sent: Vec<u8> = (0..size).map(|i| (i * 7 + i / 251) as u8).collect();
        let copy = sent.clone();
        let reader = std::thread::spawn(move || {
            let got = read(&mut b, 1);
            assert!(got[0].1 == copy, "changed on the way");
        });
        a.publish(&in_a, &sent).unwrap();
        reader.join().unwrap();
        assert_eq!(read(&mut a, 1)[0].1.len(), size);
    }
    let mut a = Client::connect(path, Options::default()).unwrap();
    let group = a.join(b"g").unwrap();
    let too_long = a.publish(&group, &vec![0; (16 << 20) + 1]);
    assert_eq!(too_long, Err(PublishError::TooLong { found: (16 << 20) + 1, max: 16 << 20 }));
}

#[test]
fn what_a_program_published_before_it_ended_is_sent() {
    let engine = Engine::start();
    let mut a = connect(&engine);
    let _in_a = a.join(b"g").unwrap();
    engine.pause(true);
    std::thread::sleep(Duration::from_millis(5));
    engine.pause(false);
    let sender = {
        let mut b = connect(&engine);
        let in_b = b.join(b"g").unwrap();
        engine.pause(true);
        for i in 0..100_u32 {
            b.publish(&in_b, &i.to_le_bytes()).unwrap();
        }
        b.me().session
    };
    engine.pause(false);
    let got = read(&mut a, 100);
    assert!(got.iter().all(|(session, _)| *session == sender));
    let left = loop {
        match a.recv(LONG) {
            Some(Event::View(view)) if !view.left.is_empty() => break view.left,
            Some(_) => {}
            None => panic!("no view"),
        }
    };
    assert_eq!(left[0].member.session, sender);
    let shown = engine.until("the end of the session", |s| !s.closed.is_empty());
    assert_eq!(shown.closed[0].1, client::Cause::Closed);
}

#[test]
fn an_unpolled_program_is_woken_by_its_descriptor() {
    let engine = Engine::start();
    let (mut a, mut b) = (connect(&engine), connect(&engine));
    let in_a = a.join(b"g").unwrap();
    b.join(b"g").unwrap();
    while b.try_recv().is_some() {}
    for round in 0..50_u8 {
        while !b.arm() {
            b.disarm();
            while b.try_recv().is_some() {}
        }
        a.publish(&in_a, &[round]).unwrap();
        let fd = b.as_fd();
        let mut fds = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
        let timeout = rustix::event::Timespec { tv_sec: 10, tv_nsec: 0 };
        assert_eq!(rustix::event::poll(&mut fds, Some(&timeout)).unwrap(), 1, "round {round}");
        b.disarm();
        assert_eq!(read(&mut b, 1)[0].1, [round]);
    }
}

#[test]
fn groups_do_not_mix() {
    let engine = Engine::start();
    let (mut a, mut b) = (connect(&engine), connect(&engine));
    let one: Group = a.join(b"one").unwrap();
    let two: Group = b.join(b"two").unwrap();
    for i in 0..500_u32 {
        a.publish(&one, &i.to_le_bytes()).unwrap();
        b.publish(&two, &(i + 1000).to_le_bytes()).unwrap();
    }
    let numbers = |got: Vec<(u32, Vec<u8>)>| -> Vec<u32> {
        got.iter().map(|(_, m)| u32::from_le_bytes(m[..].try_into().unwrap())).collect()
    };
    assert!(numbers(read(&mut a, 500)).into_iter().eq(0..500));
    assert!(numbers(read(&mut b, 500)).into_iter().eq(1000..1500));
    // Joining the other group while traffic goes on in the first loses nothing of it.
    for i in 0..500_u32 {
        a.publish(&one, &i.to_le_bytes()).unwrap();
    }
    a.join(b"two").unwrap();
    assert!(numbers(read(&mut a, 500)).into_iter().eq(0..500));
}
