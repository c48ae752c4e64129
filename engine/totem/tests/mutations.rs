//! Each deliberate bug is noticed by the checks, so the checks are worth something.
#![cfg(feature = "mutations")]

extern crate synchrotron_totem as totem;

mod net;

use net::scenario::{drive, prepared};
use totem::Mutation;

fn noticed(mutation: Mutation) -> Option<(u64, String)> {
    (1..400).find_map(|seed| {
        let mut net = prepared(seed);
        net.mutation = Some(mutation);
        drive(&mut net).err().map(|problem| (seed, problem))
    })
}

#[test]
fn every_mutation_is_noticed() {
    for mutation in [
        Mutation::SkipStableCheck,
        Mutation::SafeAsAgreed,
        Mutation::AskOne,
        Mutation::DeliverGap,
        Mutation::NoSelfDelivery,
        Mutation::ForgetRetransmit,
        Mutation::DuplicateDeliver,
        Mutation::DeliverDifferentRecovered,
        Mutation::ReuseRingSeq,
    ] {
        let Some((seed, problem)) = noticed(mutation) else { panic!("{mutation:?} not noticed") };
        println!("{mutation:?}: seed {seed}: {problem:.120}");
    }
}
