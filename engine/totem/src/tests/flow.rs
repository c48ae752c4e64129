use wire::token::{Facts, Token};
use wire::{NodeId, RingId};

use crate::Tuning;
use crate::flow::Flow;

fn token(facts: Facts, in_flight: u64) -> Token {
    let mut token = Token::first(RingId { seq: 1, rep: NodeId(1) }, 1_000);
    token.in_force = facts;
    token.in_flight = in_flight;
    token
}

#[test]
fn the_least_of_all_limits_counts() {
    let flow = Flow::new(&Tuning::default(), 1_400);
    let free = u64::MAX;
    assert_eq!(flow.allowed(&token(Facts::NONE, 0), free), 64 << 10, "personal window");
    let many = Facts { senders: 32, ..Facts::NONE };
    assert_eq!(flow.allowed(&token(many, 0), free), 32 << 10, "an equal share");
    assert_eq!(flow.allowed(&token(Facts::NONE, (1 << 20) - 500), free), 500, "global window");
    let tight = Facts { credit: 10_000, ..Facts::NONE };
    assert_eq!(flow.allowed(&token(tight, 4_000), free), 6_000, "credit");
    assert_eq!(flow.allowed(&token(Facts::NONE, 0), 70), 70, "my own room");
}

#[test]
fn the_window_shrinks_on_loss_and_grows_when_used() {
    let mut flow = Flow::new(&Tuning::default(), 1_400);
    let timeout_ns = 20_000_000;
    let start = flow.personal_bytes();
    flow.adapt(&token(Facts::NONE, 0), start, 50_000, timeout_ns);
    assert_eq!(flow.personal_bytes(), start + (8 << 10));
    flow.adapt(&token(Facts::NONE, 0), 0, 50_000, timeout_ns);
    assert_eq!(flow.personal_bytes(), start + (8 << 10), "unused: no change");
    let lossy = Facts { losers: 1, ..Facts::NONE };
    for _ in 0..50 {
        flow.adapt(&token(lossy, 0), start, 50_000, timeout_ns);
    }
    assert_eq!(flow.personal_bytes(), Tuning::default().personal_window_bytes_min);
    for _ in 0..1_000 {
        let used = flow.personal_bytes();
        flow.adapt(&token(Facts::NONE, 0), used, 50_000, timeout_ns);
    }
    assert_eq!(flow.personal_bytes(), Tuning::default().personal_window_bytes_max);
    flow.adapt(&token(Facts::NONE, 0), 0, timeout_ns, timeout_ns);
    assert!(flow.personal_bytes() < Tuning::default().personal_window_bytes_max, "too slow");
}

#[test]
fn what_is_lost_by_chance_shrinks_nothing() {
    assert!(!Flow::is_heavy(16, 20), "a few frames");
    assert!(!Flow::is_heavy(45, 360), "a burst of eight");
    assert!(Flow::is_heavy(91, 720));
    let mut flow = Flow::new(&Tuning::default(), 1_400);
    let start = flow.kept_bytes();
    assert!(!flow.is_overrun(45) && flow.is_overrun(100), "a burst, and two");
    let kept = |lossy| flow.allowed_kept(&token(Facts::NONE, 0), 1_000, None, u64::MAX, lossy);
    assert_eq!((kept(false), kept(true)), (start - 1_000, 2 * start - 1_000));
    flow.shrink_kept();
    assert_eq!(flow.kept_bytes(), start * 3 / 4);
    for _ in 0..16 {
        flow.regain_kept();
    }
    assert_eq!(flow.kept_bytes(), start);
    flow.regain_kept();
    assert_eq!(flow.kept_bytes(), start);
    let mut wide = Flow::new(&Tuning::default(), 1_400);
    for _ in 0..100 {
        let used = wide.personal_bytes();
        wide.adapt(&token(Facts::NONE, 0), used, 50_000, 20_000_000);
    }
    wide.shrink_kept();
    assert_eq!(wide.kept_bytes(), start * 3 / 4, "at once, however wide rotations were");
}
