use crate::TokenTimeout;
use crate::rotation::Rotation;

const AUTO: TokenTimeout = TokenTimeout::Auto { min_us: 10_000, max_us: 1_000_000 };

#[test]
fn the_timeout_follows_the_slowest_rotations_within_its_bounds() {
    let mut rotation = Rotation::new();
    assert_eq!(rotation.timeout_us(AUTO), 1_000_000, "nothing known yet");
    (0..5_000).for_each(|_| rotation.record(0, 100_000));
    assert_eq!(rotation.timeout_us(AUTO), 10_000);
    (0..100).for_each(|_| rotation.record(0, 5_000_000));
    let slow = rotation.timeout_us(AUTO);
    assert!((38_000..50_000).contains(&slow), "{slow}");
    (0..1_000).for_each(|_| rotation.record(0, u64::MAX));
    assert_eq!(rotation.timeout_us(AUTO), 1_000_000);
    assert_eq!(rotation.timeout_us(TokenTimeout::Fixed { us: 7 }), 7);
}

#[test]
fn old_rotations_fade() {
    let mut rotation = Rotation::new();
    (0..4_000).for_each(|_| rotation.record(0, 100_000_000));
    (0..60_000).for_each(|at| rotation.record(at * 2_000_000, 100_000));
    assert_eq!(rotation.timeout_us(AUTO), 10_000);
}

#[test]
fn percentiles_are_upper_bounds_of_their_buckets() {
    for us in [1, 2, 3, 7, 100, 1_000, 12_345, 999_999] {
        let mut rotation = Rotation::new();
        rotation.record(0, us * 1_000);
        let bound = rotation.percentile_us(999);
        assert!(us <= bound && bound <= us * 5 / 4 + 2, "{us} {bound}");
    }
}

#[test]
fn the_worst_is_remembered_for_a_while() {
    const SECOND_NS: u64 = 1_000_000_000;
    let mut rotation = Rotation::new();
    (0..5_000).for_each(|_| rotation.record(0, 100_000));
    rotation.survived_pause(SECOND_NS, 20_000_000);
    (0..60_000).for_each(|at| rotation.record(SECOND_NS + at * 500_000, 100_000));
    assert_eq!(rotation.timeout_us(AUTO), 48_000, "half a minute later");
    (0..60_000).for_each(|at| rotation.record((31 + at / 500) * SECOND_NS, 100_000));
    assert_eq!(rotation.timeout_us(AUTO), 10_000, "two minutes later");
}
