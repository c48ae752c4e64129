use alloc::vec::Vec;

use frame::{Class, Pool, PoolConfig};
use wire::NodeId;

use crate::window::{Slot, Window};

fn slot(pool: &Pool) -> Slot {
    let frame = pool.alloc(Class::Small).expect("a slot is free").freeze();
    Slot { frame, origin: NodeId(1), flags: 0 }
}

fn ranges(window: &Window, to: u64, present: bool) -> Vec<(u64, u64)> {
    let mut all = Vec::new();
    window.ranges(window.base() + 1, to, present, |from, to| {
        all.push((from, to));
        true
    });
    all
}

#[test]
fn frames_are_found_until_released() {
    let config = PoolConfig { small_count: 200, large_count: 0, ..PoolConfig::default() };
    let pool = Pool::heap(config);
    let mut window = Window::new(50);
    assert_eq!(window.capacity(), 64, "rounded up");
    for seq in [1, 2, 4, 5, 9] {
        assert!(window.covers(seq) && !window.has(seq));
        window.insert(seq, slot(&pool));
        assert!(window.has(seq));
    }
    assert!(!window.covers(0) && window.covers(64) && !window.covers(65));
    assert_eq!(ranges(&window, 10, true), [(1, 2), (4, 5), (9, 9)]);
    assert_eq!(ranges(&window, 10, false), [(3, 3), (6, 8), (10, 10)]);
    window.release_to(4);
    assert!(!window.has(4) && window.has(5) && window.covers(68));
    assert_eq!(pool.free(Class::Small), 198);
    window.insert(68, slot(&pool));
    assert!(window.has(68) && !window.has(68 - 64), "same place, other number");
    window.reset();
    assert_eq!((window.base(), pool.free(Class::Small)), (0, 200));
}
