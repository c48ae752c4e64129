//! Real engines with several links, IPv4 and IPv6 mixed: links fail under load, nobody notices.

mod common;

use std::time::Duration;

use cluster::{LinkFault, Place, Rate, Rig, Spec, links};

/// Longest wait for the ring to form, and for it to come to rest.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How long a link stays broken: long enough to be found dead.
const SPELL: Duration = Duration::from_millis(300);

/// A cluster with several links. The token timeout is far longer than anything here takes even on a machine with
/// much else to do: a view change is then the links' fault.
fn rig(count: usize, mode: &str) -> Rig {
    let extra = [
        ("totem", "token_timeout = \"3s\"".to_owned()),
        ("transport", format!("link_mode = \"{mode}\"")),
    ];
    let spec = Spec {
        place: Place::Links { count },
        extra: extra.map(|(section, keys)| (section.to_owned(), keys)).to_vec(),
        ..common::in_namespaces(3)
    };
    let mut rig = Rig::start(spec, 64, TIMEOUT).unwrap();
    links::wait_whole(&mut rig).unwrap();
    rig
}

fn agreed(mut rig: Rig) {
    rig.settle(TIMEOUT).unwrap();
    let (observers, verdict) = rig.verdict();
    assert!(verdict.findings.is_empty(), "{:#?}", verdict.findings);
    assert!(observers.iter().all(|observer| observer.messages() > 0));
}

fn every_fault(count: usize, mode: &str) {
    if !common::has_namespaces() {
        return;
    }
    let _machine = common::machine();
    let mut rig = rig(count, mode);
    rig.set_rate(Rate::PerSecond(1000));
    for (round, fault) in LinkFault::ALL.into_iter().enumerate() {
        for link in 0..count {
            let victim = (round + link) % 3;
            let gap = links::measure(&mut rig, link, fault, victim, SPELL).unwrap();
            let (worst, before) = (gap.worst_ns / 1000, gap.before_ns / 1000);
            eprintln!("{mode}: {fault:?} on link {link}: {worst} us, before {before} us");
            links::wait_whole(&mut rig).unwrap();
        }
    }
    agreed(rig);
}

#[test]
fn a_passive_ring_moves_from_link_to_link() {
    every_fault(2, "passive");
}

#[test]
fn an_active_ring_on_three_links_goes_on_with_those_that_are_left() {
    every_fault(3, "active");
}

#[test]
fn a_flapping_link_does_not_flap_the_ring() {
    if !common::has_namespaces() {
        return;
    }
    let _machine = common::machine();
    let mut rig = rig(2, "passive");
    rig.set_rate(Rate::Flood);
    links::flap(&mut rig, 0, 1, 20, Duration::from_millis(60)).unwrap();
    let moves: u64 = (0..3).map(|node| rig.cluster.counters(node)["links.moves"]).sum();
    assert!(moves < 30, "20 failures moved three nodes {moves} times");
    agreed(rig);
}
