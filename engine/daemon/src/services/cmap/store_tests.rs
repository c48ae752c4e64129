//! The map under the rules of Corosync's.

use super::*;

const ALL: Events = Events { delete: true, modify: true, add: true, prefix: false };

fn map() -> Map {
    Map::new(ReadOnly {
        prefixes: &["system.", "quorum."],
        keys: &["totem.key"],
        except: &["quorum.cancel"],
    })
}

fn notices(map: &mut Map) -> Vec<(u64, String, Change)> {
    std::iter::from_fn(|| map.poll_notice())
        .map(|notice| (notice.track, notice.key.to_string(), notice.change))
        .collect()
}

#[test]
fn what_was_set_is_there_with_its_type_until_it_is_deleted() {
    let mut map = map();
    let values = [
        Value::I8(-1),
        Value::U8(1),
        Value::I16(-2),
        Value::U16(2),
        Value::I32(-3),
        Value::U32(3),
        Value::I64(-4),
        Value::U64(u64::MAX),
        Value::F32(0.5),
        Value::F64(-0.5),
        Value::text("text"),
        Value::Binary(vec![0, 1, 0]),
    ];
    for value in values {
        map.set(Writer::Program, "a.key", value.clone()).unwrap();
        assert_eq!(map.get("a.key"), Some(&value), "also when the type changes");
    }
    map.delete(Writer::Program, "a.key").unwrap();
    assert_eq!(map.get("a.key"), None);
    assert_eq!(map.delete(Writer::Program, "a.key"), Err(Error::NotExist));
    assert_eq!(map.bytes, 0);
}

#[test]
fn keys_have_their_letters_and_lengths_and_some_are_not_for_programs() {
    let mut map = map();
    let mut set = |key: &str| map.set(Writer::Program, key, Value::U8(1));
    for bad in ["ab", "a b", "a.ä", &"x".repeat(256), ""] {
        assert_eq!(set(bad), Err(Error::BadKey), "{bad:?}");
    }
    for good in ["abc", "A0._-/:z", &"x".repeat(255), "quorum.cancel", "totem.keys", "systems.x"] {
        assert_eq!(set(good), Ok(()), "{good:?}");
    }
    for read_only in ["system.x", "quorum.votes", "totem.key"] {
        assert_eq!(set(read_only), Err(Error::ReadOnly), "{read_only:?}");
    }
    map.set(Writer::Engine, "system.x", Value::U8(1)).unwrap();
    assert_eq!(map.adjust(Writer::Program, "system.x", 1), Err(Error::ReadOnly));
    assert_eq!(map.delete(Writer::Program, "system.x"), Err(Error::ReadOnly));
    assert_eq!(map.get("system.x"), Some(&Value::U8(1)));
}

#[test]
fn integers_go_up_and_down_in_their_type() {
    let mut map = map();
    for (value, by, sum) in [
        (Value::U8(255), 1, Value::U8(0)),
        (Value::I8(-128), -1, Value::I8(127)),
        (Value::U16(1), -2, Value::U16(u16::MAX)),
        (Value::I32(i32::MAX), 1, Value::I32(i32::MIN)),
        (Value::U64(0), -1, Value::U64(u64::MAX)),
        (Value::I64(5), i32::MIN, Value::I64(5 + i64::from(i32::MIN))),
    ] {
        map.set(Writer::Program, "n.n", value).unwrap();
        map.adjust(Writer::Program, "n.n", by).unwrap();
        assert_eq!(map.get("n.n"), Some(&sum));
    }
    for value in [Value::F32(1.0), Value::text("1"), Value::Binary(vec![1])] {
        map.set(Writer::Program, "n.n", value).unwrap();
        assert_eq!(map.adjust(Writer::Program, "n.n", 1), Err(Error::NotAnInteger));
    }
    assert_eq!(map.adjust(Writer::Program, "n.o", 1), Err(Error::NotExist));
}

#[test]
fn keys_come_in_order_by_prefix_and_from_anywhere() {
    let mut map = map();
    for key in ["b.2", "a.1", "b.10", "b.1", "c.1"] {
        map.set(Writer::Program, key, Value::text(key)).unwrap();
    }
    let keys = |prefix, after| map.keys(prefix, after).map(|(key, _)| key).collect::<Vec<_>>();
    assert_eq!(keys("", ""), ["a.1", "b.1", "b.10", "b.2", "c.1"]);
    assert_eq!(keys("b.", ""), ["b.1", "b.10", "b.2"]);
    assert_eq!(keys("b.", "b.1"), ["b.10", "b.2"]);
    assert_eq!(keys("b.", "b.11"), ["b.2"], "the key before may be gone");
    assert_eq!(keys("b.", "a.1"), ["b.1", "b.10", "b.2"]);
    assert_eq!(keys("b.", "c.1"), Vec::<&str>::new());
    assert_eq!(keys("b.1", ""), ["b.1", "b.10"]);
}

#[test]
fn tracks_are_told_of_what_they_asked_for_with_both_values() {
    let mut map = map();
    let exact = map.track("a.x", ALL).unwrap();
    let prefix = map.track("a.", Events { prefix: true, modify: false, ..ALL }).unwrap();
    let all = map.track("", Events { prefix: true, add: true, ..Events::default() }).unwrap();
    map.set(Writer::Program, "a.x", Value::U8(1)).unwrap();
    let added = |track| (track, "a.x".to_string(), Change::Add);
    assert_eq!(notices(&mut map), [added(exact), added(prefix), added(all)]);
    map.set(Writer::Program, "a.x", Value::U8(1)).unwrap();
    assert_eq!(notices(&mut map), [], "it was that before");
    map.set(Writer::Program, "a.x", Value::U16(1)).unwrap();
    let notice = map.poll_notice().unwrap();
    assert_eq!((notice.track, notice.change), (exact, Change::Modify), "another type");
    assert_eq!((notice.old, notice.new), (Some(Value::U8(1)), Some(Value::U16(1))));
    map.delete(Writer::Program, "a.x").unwrap();
    let gone = |track| (track, "a.x".to_string(), Change::Delete);
    assert_eq!(notices(&mut map), [gone(exact), gone(prefix)]);
    map.set(Writer::Program, "a.xy", Value::U8(1)).unwrap();
    assert_eq!(notices(&mut map).len(), 2, "not the exact one");
    map.set(Writer::Program, "a.x", Value::U8(1)).unwrap();
    map.untrack(exact).unwrap();
    assert_eq!(notices(&mut map), [added(prefix), added(all)], "what it was owed is forgotten");
    assert_eq!(map.untrack(exact), Err(Error::NotExist));
    assert_eq!(map.track("ab", ALL), Err(Error::BadKey));
    assert_eq!(map.track("a b", Events { prefix: true, ..ALL }), Err(Error::BadKey));
}

#[test]
fn the_engine_replaces_what_is_its_own_and_tells_only_what_changed() {
    let mut map = map();
    let entry = |key: &str, value: u8| (key.to_string(), Value::U8(value));
    map.set(Writer::Program, "r.other", Value::U8(9)).unwrap();
    map.replace(&["r.m."], &[entry("r.m.1", 1), entry("r.m.2", 2), entry("r.m.3", 3)]);
    let track = map.track("r.", Events { prefix: true, ..ALL }).unwrap();
    map.replace(&["r.m."], &[entry("r.m.4", 4), entry("r.m.2", 2), entry("r.m.1", 7)]);
    let told: Vec<_> =
        notices(&mut map).into_iter().map(|(_, key, change)| (key, change)).collect();
    let expected = [("r.m.3", Change::Delete), ("r.m.4", Change::Add), ("r.m.1", Change::Modify)];
    assert_eq!(told, expected.map(|(key, change)| (key.to_string(), change)));
    assert_eq!(map.get("r.other"), Some(&Value::U8(9)));
    map.untrack(track).unwrap();
}

#[test]
fn a_program_cannot_fill_the_memory() {
    let mut map = map();
    let long = Value::Binary(vec![0; VALUE_BYTES_MAX]);
    assert_eq!(
        map.set(Writer::Program, "a.a", Value::Binary(vec![0; VALUE_BYTES_MAX + 1])),
        Err(Error::TooLong)
    );
    let mut count = 0;
    while map.set(Writer::Program, &format!("a.{count}"), long.clone()).is_ok() {
        count += 1;
    }
    // Keys have 3 to 5 bytes.
    let fit = |key_bytes| BYTES_MAX / (VALUE_BYTES_MAX + ENTRY_BYTES + key_bytes);
    assert!((fit(5)..=fit(3)).contains(&count), "{count}");
    assert_eq!(map.set(Writer::Program, "a.0", Value::U8(1)), Ok(()), "a shorter value fits");
    assert_eq!(map.set(Writer::Engine, "y.y", long), Ok(()), "the engine's own always do");
    for _ in 0..TRACKS_MAX {
        map.track("a.a", ALL).unwrap();
    }
    assert_eq!(map.track("a.a", ALL), Err(Error::Full));
}
