use alloc::vec::Vec;

use proptest::prelude::*;
use wire::NodeSet;

use crate::clique::group_of;

fn groups(count: usize, broken: &[(usize, usize)]) -> Vec<Vec<usize>> {
    let hears =
        |a: usize| -> NodeSet { (0..count).filter(|b| !broken.contains(&(*b, a))).collect() };
    (0..count).map(|me| group_of(me, NodeSet::first_n(count), hears).iter().collect()).collect()
}

#[test]
fn all_stay_together_when_all_hear_each_other() {
    assert_eq!(groups(5, &[]), alloc::vec![alloc::vec![0, 1, 2, 3, 4]; 5]);
}

#[test]
fn one_broken_path_costs_the_higher_side() {
    // 3 does not hear 1: both {0, 1, 2, 4} and {0, 2, 3, 4} would do, the first has the lower
    // nodes.
    let all = groups(5, &[(1, 3)]);
    for (me, group) in all.iter().enumerate() {
        let expected: &[usize] = if me == 3 { &[3] } else { &[0, 1, 2, 4] };
        assert_eq!(group, expected, "{me}");
    }
}

#[test]
fn a_dead_node_is_one_that_nobody_hears() {
    let broken: Vec<(usize, usize)> = (0..4).flat_map(|b| [(2, b), (b, 2)]).collect();
    assert_eq!(groups(4, &broken)[0], [0, 1, 3]);
    assert_eq!(groups(4, &broken)[2], [2]);
}

#[test]
fn two_halves_form_two_groups() {
    let across = |(a, b): &(usize, usize)| (a % 2 == 0) != (b % 2 == 0);
    let pairs = (0..6).flat_map(|a| (0..6).map(move |b| (a, b)));
    let broken: Vec<(usize, usize)> = pairs.filter(across).collect();
    let all = groups(6, &broken);
    assert_eq!(all[0], [0, 2, 4]);
    assert_eq!(all[5], [1, 3, 5]);
}

proptest! {
    #[test]
    fn everybody_computes_the_same_partition(
        broken in prop::collection::vec((0..12_usize, 0..12_usize), 0..40),
    ) {
        let all = groups(12, &broken);
        for (me, group) in all.iter().enumerate() {
            prop_assert!(group.contains(&me));
            for other in group {
                prop_assert_eq!(&all[*other], group);
                let hear = me == *other || !broken.contains(&(me, *other));
                prop_assert!(hear, "{} does not hear {}", other, me);
            }
        }
    }

    #[test]
    fn a_large_broken_matrix_ends_in_bounded_time(seed in any::<u64>()) {
        let hears = |a: usize| -> NodeSet {
            (0..128)
                .filter(|b| *b == a || (seed >> ((a * 7 + b * 13) % 61)) & 1 == 0)
                .collect()
        };
        let group = group_of(0, NodeSet::first_n(128), hears);
        prop_assert!(group.contains(0));
    }
}
