//! Handles: numbers that programs hold for things of ours. A number that is not, or no longer, one is noticed.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex};

use crate::edge::{generation, lock};
use crate::error::{BAD_HANDLE, Outcome};

/// Things by handle. A handle is the place in the lower half and a random odd number in the upper one, so that a place
/// used again has another handle.
pub(crate) struct Table<T> {
    places: Mutex<Vec<Option<Entry<T>>>>,
}

struct Entry<T> {
    check: u32,
    generation: u32,
    thing: Arc<T>,
}

impl<T> Table<T> {
    pub(crate) const fn new() -> Self {
        Self { places: Mutex::new(Vec::new()) }
    }

    /// A handle for something new.
    pub(crate) fn insert(&self, thing: Arc<T>) -> u64 {
        let mut places = lock(&self.places);
        let at = places.iter().position(Option::is_none).unwrap_or_else(|| {
            places.push(None);
            places.len() - 1
        });
        let check = RandomState::new().hash_one(at) as u32 | 1;
        places[at] = Some(Entry { check, generation: generation(), thing });
        u64::from(check) << 32 | at as u64
    }

    /// What a handle stands for.
    pub(crate) fn get(&self, handle: u64) -> Outcome<Arc<T>> {
        let places = lock(&self.places);
        let entry = places.get(handle as u32 as usize).and_then(Option::as_ref);
        entry
            .filter(|entry| entry.is(handle) && entry.generation == generation())
            .map(|entry| entry.thing.clone())
            .ok_or(BAD_HANDLE)
    }

    /// The same, and the handle is one no more.
    pub(crate) fn remove(&self, handle: u64) -> Outcome<Arc<T>> {
        let thing = self.get(handle)?;
        let mut places = lock(&self.places);
        // Two threads may both have found it: the second one comes too late.
        match places.get_mut(handle as u32 as usize) {
            Some(place) if place.as_ref().is_some_and(|entry| entry.is(handle)) => *place = None,
            _ => return Err(BAD_HANDLE),
        }
        Ok(thing)
    }
}

impl<T> Entry<T> {
    fn is(&self, handle: u64) -> bool {
        u64::from(self.check) == handle >> 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_and_invented_handles_are_refused() {
        let table = Table::new();
        let first = table.insert(Arc::new(1));
        let second = table.insert(Arc::new(2));
        assert_eq!(table.get(first).map(|thing| *thing), Ok(1));
        assert_eq!(table.remove(first).map(|thing| *thing), Ok(1));
        assert_eq!(table.get(first), Err(BAD_HANDLE));
        assert_eq!(table.remove(first), Err(BAD_HANDLE));
        let third = table.insert(Arc::new(3));
        assert_eq!(third as u32, first as u32, "the place is used again");
        assert_eq!(table.get(third).map(|thing| *thing), Ok(3));
        for invented in [0, 1, u64::MAX, second ^ (2 << 32), second ^ 1 << 20] {
            assert_eq!(table.get(invented), Err(BAD_HANDLE), "{invented:x}");
        }
    }
}
