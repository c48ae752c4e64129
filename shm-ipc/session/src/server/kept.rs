//! The bytes of a large message until its last fragment is taken: in the submit ring while they are few, so that
//! they are copied only once; else in memory of the engine, so that its program can go on.

use ring::spsc::{Consumer, Record};

/// A message of at most one in this many of the ring's bytes stays in it: its program goes on writing meanwhile.
const RING_SHARE: u64 = 4;

/// Records a message that stays in the ring may have: more than the client library makes of a mebibyte, and few
/// enough that what goes before the pieces themselves is nothing beside a ring.
const PIECES_MAX: usize = 64;

/// Room for a large message that is kept from one to the next.
const KEPT_BYTES_MAX: usize = 256 << 10;

/// The bytes of one large message.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Records that are consumed and not released, and how many bytes of each go before the piece. Either these or
    /// `bytes`.
    pieces: Vec<(Record, usize)>,
    /// The first one's place in the ring.
    first: Option<u64>,
    bytes: Vec<u8>,
    /// Bytes that were added.
    len: usize,
    /// Bytes that were taken.
    taken: usize,
    /// In which of the pieces the next byte is, and where.
    next: (usize, usize),
}

impl Kept {
    /// Bytes of it that are here.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes that were taken.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// Bytes that can be taken.
    pub(super) fn left(&self) -> usize {
        self.len - self.taken
    }

    /// From where on the ring must not be released.
    pub(super) fn first(&self) -> Option<u64> {
        self.first
    }

    /// Adds the ring's next record, its payload from `from` on, to a message that will have `total` bytes.
    pub(super) fn add(&mut self, ring: &Consumer, record: &Record, from: usize, total: u64) {
        let stays = total <= ring.capacity() as u64 / RING_SHARE && self.bytes.is_empty();
        if stays && self.pieces.len() < PIECES_MAX {
            self.first.get_or_insert(ring.position());
            self.pieces.push((*record, from));
        } else {
            self.copy_out(ring);
            append(&mut self.bytes, ring, record, from);
        }
        self.len += record.len() - from;
    }

    /// Fills `to` with the next bytes, of which there must be so many.
    pub(super) fn take(&mut self, ring: &Consumer, to: &mut [u8]) {
        let from = self.taken;
        self.taken += to.len();
        if self.pieces.is_empty() {
            return to.copy_from_slice(&self.bytes[from..self.taken]);
        }
        let mut to = to;
        while !to.is_empty() {
            let (record, header) = &self.pieces[self.next.0];
            let at = header + self.next.1;
            let len = (record.len() - at).min(to.len());
            let (now, later) = to.split_at_mut(len);
            ring.copy_payload(record, at, now);
            self.next = match at + len == record.len() {
                true => (self.next.0 + 1, 0),
                false => (self.next.0, self.next.1 + len),
            };
            to = later;
        }
    }

    /// Goes back to the first byte.
    pub(super) fn restart(&mut self) {
        self.taken = 0;
        self.next = (0, 0);
    }

    /// All of it was taken.
    pub(super) fn clear(&mut self) {
        let Self { mut pieces, mut bytes, .. } = core::mem::take(self);
        pieces.clear();
        bytes.clear();
        bytes.shrink_to(KEPT_BYTES_MAX);
        *self = Self { pieces, bytes, ..Self::default() };
    }

    /// Takes what is in the ring out of it.
    fn copy_out(&mut self, ring: &Consumer) {
        for (record, from) in self.pieces.drain(..) {
            append(&mut self.bytes, ring, &record, from);
        }
        self.first = None;
    }
}

fn append(bytes: &mut Vec<u8>, ring: &Consumer, record: &Record, from: usize) {
    let at = bytes.len();
    bytes.resize(at + record.len() - from, 0);
    ring.copy_payload(record, from, &mut bytes[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kept: &mut Kept, ring: &Consumer, at_once: usize) -> Vec<u8> {
        let mut found = Vec::new();
        while kept.left() > 0 {
            let mut part = vec![0; at_once.min(kept.left())];
            kept.take(ring, &mut part);
            found.extend(part);
        }
        found
    }

    /// In the ring, out of it because it is long, and out of it after too many pieces: the bytes are the same.
    #[test]
    fn bytes_come_back_whole_and_again_wherever_they_are() {
        for (pieces, bytes, stays) in [(3, 100, true), (3, 2000, false), (PIECES_MAX + 2, 5, false)]
        {
            let (mut client, mut ring) = ring::spsc::pair(16 << 10).unwrap();
            let mut kept = Kept::default();
            for _ in 0..2 {
                let mut sent = Vec::new();
                for number in 0..pieces {
                    let piece = vec![number as u8; bytes];
                    client.push(1, &[&[0xff; 16][..], &piece].concat()).unwrap();
                    sent.extend(piece);
                }
                client.publish();
                for number in 0..pieces {
                    let record = ring.peek().unwrap().unwrap();
                    kept.add(&ring, &record, 16, sent.len() as u64);
                    ring.consume(&record);
                    assert_eq!(kept.len(), (number + 1) * bytes);
                }
                assert_eq!(kept.first().is_some(), stays, "{pieces} of {bytes}");
                assert_eq!(read(&mut kept, &ring, 70), sent);
                kept.restart();
                assert_eq!((kept.taken(), read(&mut kept, &ring, 1000)), (0, sent));
                kept.clear();
                assert_eq!((kept.len(), kept.first()), (0, None));
                ring.release();
            }
        }
    }
}
