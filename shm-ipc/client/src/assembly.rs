//! Large messages, put together from fragments: one buffer per sending member and group, all within one budget.

use std::collections::BTreeMap;

use session::Member;

/// Bytes reserved at once at most, whatever a fragment claims its message will have.
const RESERVE_BYTES_MAX: u64 = 1 << 20;

/// What a fragment led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The message is whole: the fragment carries all of it.
    Whole,
    /// The message is whole: here it is.
    Assembled(Vec<u8>),
    /// More has to come, or it belongs to nothing we saw the start of.
    Partial,
    /// The message is whole, but did not fit the budget. Its length.
    TooMuch(u64),
}

#[derive(Debug)]
struct Partial {
    total: u64,
    /// How much of it came.
    have: u64,
    /// `None`: there was no room for it.
    bytes: Option<Vec<u8>>,
}

/// Whose message: group and sender.
type Key = (u32, Member);

/// Messages under construction.
#[derive(Debug)]
pub(crate) struct Assembly {
    /// The one that the last fragment belongs to. Fragments of one sender mostly follow each other, and a map that gets
    /// and loses its only entry with each message allocates for each.
    last: Option<(Key, Partial)>,
    /// The others.
    partial: BTreeMap<Key, Partial>,
    bytes: usize,
    bytes_max: usize,
    /// Memory of a message that was read, for the next one: fresh pages cost more than what is copied into them.
    spare: Vec<u8>,
}

impl Assembly {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { last: None, partial: BTreeMap::new(), bytes: 0, bytes_max, spare: Vec::new() }
    }

    /// Takes a fragment of `sender` to `group`: bytes of the whole message, where in it this piece starts, and
    /// the piece.
    pub(crate) fn add(
        &mut self,
        group: u32,
        sender: Member,
        (total, offset, bytes): (u64, u64, &[u8]),
    ) -> Step {
        let key = (group, sender);
        if offset == 0 {
            self.forget(&key);
            if bytes.len() as u64 == total {
                return Step::Whole;
            }
            let mut kept = std::mem::take(&mut self.spare);
            kept.reserve(total.min(RESERVE_BYTES_MAX) as usize);
            self.turn_to(key);
            self.last = Some((key, Partial { total, have: 0, bytes: Some(kept) }));
        }
        self.turn_to(key);
        let Some((_, partial)) = &mut self.last else { return Step::Partial };
        if partial.total != total || partial.have != offset {
            // A sender's fragments come in order without a gap; what does not fit is a message whose
            // middle we were not there for.
            self.forget(&key);
            return Step::Partial;
        }
        partial.have += bytes.len() as u64;
        let is_whole = partial.have == total;
        match &mut partial.bytes {
            Some(kept) if self.bytes + bytes.len() <= self.bytes_max => {
                kept.extend_from_slice(bytes);
                self.bytes += bytes.len();
            }
            // The program is told where the message would have stood: with its last fragment.
            kept => self.bytes -= kept.take().map_or(0, |kept| kept.len()),
        }
        if !is_whole {
            return Step::Partial;
        }
        match self.last.take().and_then(|(_, partial)| partial.bytes) {
            Some(kept) => {
                self.bytes -= kept.len();
                Step::Assembled(kept)
            }
            None => Step::TooMuch(total),
        }
    }

    /// Makes this message, if it was begun, the last one.
    fn turn_to(&mut self, key: Key) {
        if self.last.as_ref().is_some_and(|(last, _)| *last == key) {
            return;
        }
        self.partial.extend(self.last.take());
        self.last = self.partial.remove(&key).map(|partial| (key, partial));
    }

    /// Takes back the memory of a message that was assembled.
    pub(crate) fn recycle(&mut self, mut bytes: Vec<u8>) {
        if bytes.capacity() as u64 <= RESERVE_BYTES_MAX {
            bytes.clear();
            self.spare = bytes;
        }
    }

    /// A member went: what it had begun will never be finished.
    pub(crate) fn member_left(&mut self, group: u32, member: Member) {
        self.forget(&(group, member));
    }

    /// We left the group.
    pub(crate) fn group_left(&mut self, group: u32) {
        self.partial.extend(self.last.take());
        let gone: Vec<_> = self.partial.keys().filter(|key| key.0 == group).copied().collect();
        gone.iter().for_each(|key| self.forget(key));
    }

    /// A new session: nothing goes on.
    pub(crate) fn clear(&mut self) {
        self.last = None;
        self.partial.clear();
        self.bytes = 0;
    }

    fn forget(&mut self, key: &Key) {
        let last = self.last.take_if(|(last, _)| last == key).map(|(_, partial)| partial);
        if let Some(partial) = last.or_else(|| self.partial.remove(key)) {
            self.bytes -= partial.bytes.map_or(0, |bytes| bytes.len());
        }
    }
}

#[cfg(test)]
impl Assembly {
    fn is_empty(&self) -> bool {
        self.last.is_none() && self.partial.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENDER: Member = Member { node: 1, session: 2, pid: 3 };

    #[test]
    fn fragments_of_several_senders_do_not_mix() {
        let mut assembly = Assembly::new(100);
        let other = Member { session: 9, ..SENDER };
        assert_eq!(assembly.add(7, SENDER, (4, 0, b"ab")), Step::Partial);
        assert_eq!(assembly.add(7, other, (4, 0, b"wx")), Step::Partial);
        assert_eq!(assembly.add(7, SENDER, (4, 2, b"cd")), Step::Assembled(b"abcd".to_vec()));
        assert_eq!(assembly.add(7, other, (4, 2, b"yz")), Step::Assembled(b"wxyz".to_vec()));
        assert_eq!(assembly.bytes, 0);
        assert_eq!(assembly.add(7, SENDER, (2, 0, b"hi")), Step::Whole);
    }

    #[test]
    fn memory_is_used_again_and_says_nothing_of_what_it_held() {
        let mut assembly = Assembly::new(100);
        assembly.recycle(b"leftover".to_vec());
        assert_eq!(assembly.add(7, SENDER, (4, 0, b"ab")), Step::Partial);
        assert_eq!(assembly.add(7, SENDER, (4, 2, b"cd")), Step::Assembled(b"abcd".to_vec()));
    }

    #[test]
    fn what_began_before_us_or_was_cut_off_is_ignored() {
        let mut assembly = Assembly::new(100);
        assert_eq!(assembly.add(7, SENDER, (6, 2, b"cd")), Step::Partial);
        assert_eq!(assembly.add(7, SENDER, (6, 4, b"ef")), Step::Partial);
        assert_eq!(assembly.add(7, SENDER, (4, 0, b"ab")), Step::Partial);
        assembly.member_left(7, SENDER);
        assert_eq!(assembly.add(7, SENDER, (4, 2, b"cd")), Step::Partial);
        assert_eq!(assembly.add(7, SENDER, (4, 0, b"ab")), Step::Partial);
        assembly.group_left(7);
        assert_eq!(assembly.add(7, SENDER, (4, 2, b"cd")), Step::Partial);
        assert_eq!((assembly.bytes, assembly.is_empty()), (0, true));
    }

    #[test]
    fn the_budget_holds_and_comes_back() {
        let mut assembly = Assembly::new(10);
        assert_eq!(assembly.add(7, SENDER, (20, 0, &[1; 8])), Step::Partial);
        assert_eq!(assembly.add(7, SENDER, (20, 8, &[1; 8])), Step::Partial);
        assert_eq!(assembly.bytes, 0);
        assert_eq!(assembly.add(7, SENDER, (20, 16, &[1; 4])), Step::TooMuch(20));
        assert_eq!((assembly.bytes, assembly.is_empty()), (0, true));
        assert_eq!(assembly.add(7, SENDER, (10, 0, &[1; 8])), Step::Partial);
        assert_eq!(assembly.add(7, SENDER, (10, 8, &[1; 2])), Step::Assembled(vec![1; 10]));
    }
}
