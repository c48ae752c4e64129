//! Reading one submit ring: control records, runs of messages, fragments of large ones.
//!
//! The ring's memory belongs to a client that may change it at any time. Every byte is copied first and
//! judged in the copy; [`Consumer`] reads each length once and keeps to it.

use ring::Corrupt;
use ring::spsc::{Consumer, Next, Record};
use zerocopy::{FromBytes, IntoBytes};

use super::kept::Kept;
use crate::layout::{
    ALIGN, FRAGMENT_HEADER_BYTES, FragmentHeader, PIECE_HEADER_BYTES, PieceHeader, RecordKind,
    record_at, untag,
};

/// Smallest fragment worth a frame's room, in bytes.
const FRAGMENT_BYTES_MIN: usize = 256;

/// Most bytes of a control record: request number and a name, with room for names that are too long, so that
/// they are refused and not punished.
pub(crate) const CONTROL_BYTES_MAX: usize = 512;

/// The client wrote nonsense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

impl From<Corrupt> for Broken {
    fn from(_: Corrupt) -> Self {
        Self
    }
}

/// A control record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    Join { request: u32, name: Vec<u8> },
    Leave { request: u32, group: u32 },
    Close,
}

/// What was put into a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) group: u32,
    pub(crate) fragment: bool,
    pub(crate) safe: bool,
    pub(crate) count: u16,
    pub(crate) bytes: usize,
}

/// A message that goes in several fragments.
#[derive(Clone, Copy, Debug)]
struct Large {
    group: u32,
    safe: bool,
    total: u64,
}

/// Reads one submit ring.
#[derive(Debug)]
pub(crate) struct Intake {
    ring: Consumer,
    /// The large message that is being gathered or sent.
    large: Option<Large>,
    /// Its bytes. Joins of its group wait from its first fragment to its last, so it is only begun when all of it
    /// is here: no program can stall in its middle. They are kept until the last fragment is taken, in case
    /// it has to start again.
    kept: Kept,
    /// Where the ring ends for us: what is published later does not count.
    end: Option<u64>,
    message_bytes_max: u64,
}

impl Intake {
    pub(crate) fn new(ring: Consumer, message_bytes_max: u64) -> Self {
        Self { ring, large: None, kept: Kept::default(), end: None, message_bytes_max }
    }

    /// Bytes submitted and not taken.
    pub(crate) fn available(&mut self) -> Result<usize, Broken> {
        let published = self.ring.available()?;
        let left = self.end.map(|end| end.saturating_sub(self.ring.position()));
        Ok(left.map_or(published, |left| published.min(left as usize)))
    }

    /// The client is gone: nothing published from now on counts. Another process may still have its memory.
    pub(crate) fn close(&mut self) {
        let published = self.ring.available().unwrap_or(0);
        self.end.get_or_insert(self.ring.position() + published as u64);
    }

    /// Gives room back to the client, up to what is kept in the ring. True if there was any to give.
    pub(crate) fn release(&mut self) -> bool {
        self.ring.release_to(self.kept.first().unwrap_or(self.ring.position()))
    }

    /// A message of which a part was taken starts again from its first byte: receivers may be new and not have
    /// seen that part.
    pub(crate) fn restart(&mut self) {
        self.kept.restart();
    }

    /// Bytes of a large message that wait outside of the ring; none while a part of it is missing.
    pub(crate) fn gathered_bytes(&self) -> usize {
        if self.is_gathered() { self.kept.left() } else { 0 }
    }

    /// Whether nothing waits to be taken. A message of which a part is missing does not wait.
    pub(crate) fn is_drained(&mut self) -> bool {
        self.gathered_bytes() == 0 && self.available().is_ok_and(|left| left == 0)
    }

    fn is_gathered(&self) -> bool {
        self.large.is_some_and(|large| large.total == self.kept.len() as u64)
    }

    /// Takes the pieces of a large message out of the ring, as far as they are there now, up to its end. Returns
    /// how many bytes of the ring it took.
    pub(crate) fn gather(&mut self) -> Result<usize, Broken> {
        let from = self.ring.position();
        // Not what comes meanwhile: one program's stream must not hold the engine.
        let until = from + self.ring.available()? as u64;
        while !self.is_gathered() && self.ring.position() < until {
            let Some((kind, group)) = self.peek()? else { break };
            if !is_piece(kind) {
                break;
            }
            self.gather_piece(group, kind.is_safe())?;
        }
        Ok((self.ring.position() - from) as usize)
    }

    /// What can be taken next: `None` when nothing can. Of a large message that is not all there nothing can.
    pub(crate) fn head(&mut self) -> Result<Option<(RecordKind, u32)>, Broken> {
        if let Some(large) = self.large.filter(|_| self.is_gathered()) {
            let kind = if large.safe { RecordKind::SafePiece } else { RecordKind::Piece };
            return Ok(Some((kind, large.group)));
        }
        Ok(self.peek()?.filter(|(kind, _)| !is_piece(*kind)))
    }

    /// What stands at the head of the ring.
    fn peek(&mut self) -> Result<Option<(RecordKind, u32)>, Broken> {
        if self.end.is_some_and(|end| self.ring.position() >= end) {
            return Ok(None);
        }
        match self.ring.peek()? {
            Some(record) => untag(record.tag()).map(Some).ok_or(Broken),
            None => Ok(None),
        }
    }

    /// Takes the control record at the head.
    pub(crate) fn control(&mut self) -> Result<Control, Broken> {
        let record = self.ring.peek()?.ok_or(Broken)?;
        let (kind, group) = untag(record.tag()).ok_or(Broken)?;
        let mut contents = [0; CONTROL_BYTES_MAX];
        let contents = contents.get_mut(..record.len()).ok_or(Broken)?;
        self.ring.copy_payload(&record, 0, contents);
        let request =
            |bytes: &[u8]| bytes.first_chunk().map(|b| u32::from_le_bytes(*b)).ok_or(Broken);
        let control = match kind {
            // A message that is only half there ends with its session; a join or leave in its middle
            // is nothing a client may do.
            RecordKind::Close => Control::Close,
            _ if self.large.is_some() => return Err(Broken),
            RecordKind::Join => {
                Control::Join { request: request(contents)?, name: contents[4..].to_vec() }
            }
            RecordKind::Leave => Control::Leave { request: request(contents)?, group },
            _ => return Err(Broken),
        };
        self.ring.consume(&record);
        Ok(control)
    }

    /// Fills `buf` with one run: consecutive messages of one group and kind, or a fragment of a large one.
    /// `None`: nothing there, a control record stands at the head, or it does not fit (`frame_bytes`, the most
    /// that any `buf` has, tells whether it would fit another time).
    pub(crate) fn take(
        &mut self,
        buf: &mut [u8],
        frame_bytes: usize,
    ) -> Result<Option<Taken>, Broken> {
        if self.is_gathered() {
            return Ok(self.take_fragment(buf));
        }
        let Some((kind, group)) = self.head()? else { return Ok(None) };
        match kind {
            _ if !kind.is_data() => Ok(None),
            _ if self.large.is_some() => Err(Broken),
            // In the copy the tags are zero: ours are not the wire's.
            _ => match self.ring.copy_next_run(buf, u16::MAX.into(), 0)? {
                Next::Empty => Ok(None),
                Next::Long(record) if record.bytes() <= frame_bytes => Ok(None),
                Next::Long(record) => {
                    self.gather_long(record, group, kind.is_safe())?;
                    Ok(self.take_fragment(buf))
                }
                Next::Run(run) => {
                    self.ring.consume_run(&run);
                    let (count, bytes) = (run.count() as u16, run.bytes());
                    self.check_run(&buf[..bytes])?;
                    Ok(Some(Taken { group, fragment: false, safe: kind.is_safe(), count, bytes }))
                }
            },
        }
    }

    /// Drops the data at the head, one run's worth. Returns how many messages ended with it, and its bytes.
    pub(crate) fn skip(&mut self) -> Result<(u64, usize), Broken> {
        let mut sink = [0; 4096];
        let taken = self.take(&mut sink, 0)?.ok_or(Broken)?;
        let whole = u64::from(taken.count);
        let count = if taken.fragment { u64::from(self.large.is_none()) } else { whole };
        Ok((count, taken.bytes))
    }

    /// Looks for a message that is longer than messages may be. Its lengths were checked.
    fn check_run(&self, body: &[u8]) -> Result<(), Broken> {
        if body.len() as u64 <= self.message_bytes_max {
            return Ok(());
        }
        let mut at = 0;
        while at < body.len() {
            let (payload, next) = record_at(body, at).ok_or(Broken)?;
            if payload.len() as u64 > self.message_bytes_max {
                return Err(Broken);
            }
            at = next;
        }
        Ok(())
    }

    /// A whole message that does not fit a frame.
    fn gather_long(&mut self, record: Record, group: u32, safe: bool) -> Result<(), Broken> {
        let total = record.len() as u64;
        if total > self.message_bytes_max {
            return Err(Broken);
        }
        self.large = Some(Large { group, safe, total });
        self.keep(&record, 0, total);
        Ok(())
    }

    /// A piece, if it continues what came before.
    fn gather_piece(&mut self, group: u32, safe: bool) -> Result<(), Broken> {
        let record = self.ring.peek()?.ok_or(Broken)?;
        let left = record.len().checked_sub(PIECE_HEADER_BYTES).filter(|left| *left > 0);
        let left = left.ok_or(Broken)? as u64;
        let mut header = [0; PIECE_HEADER_BYTES];
        self.ring.copy_payload(&record, 0, &mut header);
        let header = PieceHeader::read_from_bytes(&header).map_err(|_| Broken)?;
        let (total, offset) = (header.total.get(), header.offset.get());
        let fits = offset.checked_add(left).is_some_and(|end| end <= total);
        if !fits || total > self.message_bytes_max {
            return Err(Broken);
        }
        let continues = match self.large {
            None => offset == 0,
            Some(l) => {
                (l.group, l.safe, l.total, self.kept.len() as u64) == (group, safe, total, offset)
            }
        };
        if !continues {
            return Err(Broken);
        }
        self.large = Some(Large { group, safe, total });
        self.keep(&record, PIECE_HEADER_BYTES, total);
        Ok(())
    }

    /// Keeps a record's payload from `from` on, a piece of a message of `total` bytes.
    fn keep(&mut self, record: &Record, from: usize, total: u64) {
        self.kept.add(&self.ring, record, from, total);
        self.ring.consume(record);
    }

    /// Takes as much of the large message as `buf` has room for. `None`: too little room for it to be worth while.
    fn take_fragment(&mut self, buf: &mut [u8]) -> Option<Taken> {
        let large = self.large?;
        let body = fragment(buf, &large, self.kept.taken() as u64, self.kept.left())?;
        let len = body.len();
        self.kept.take(&self.ring, body);
        if self.kept.left() == 0 {
            self.large = None;
            self.kept.clear();
        }
        Some(Taken::fragment(&large, len))
    }
}

fn is_piece(kind: RecordKind) -> bool {
    matches!(kind, RecordKind::Piece | RecordKind::SafePiece)
}

impl Taken {
    fn fragment(large: &Large, len: usize) -> Self {
        let bytes = FRAGMENT_HEADER_BYTES + len.next_multiple_of(ALIGN);
        Self { group: large.group, fragment: true, safe: large.safe, count: 1, bytes }
    }
}

/// Writes the header of a fragment of at most `left` bytes that starts at `offset`, and its
/// padding, and gives the place for its bytes. `None`: too little room for it to be worth while.
fn fragment<'b>(
    buf: &'b mut [u8],
    large: &Large,
    offset: u64,
    left: usize,
) -> Option<&'b mut [u8]> {
    let room = buf.len().saturating_sub(FRAGMENT_HEADER_BYTES) / ALIGN * ALIGN;
    let len = left.min(room);
    if len < left.min(FRAGMENT_BYTES_MIN) {
        return None;
    }
    let header = FragmentHeader {
        total: large.total.into(),
        offset: offset.into(),
        len: (len as u32).into(),
        reserved: 0.into(),
    };
    let (head, rest) = buf.split_at_mut(FRAGMENT_HEADER_BYTES);
    head.copy_from_slice(header.as_bytes());
    rest[len..len.next_multiple_of(ALIGN)].fill(0);
    Some(&mut rest[..len])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::tag;

    /// A program that stops in the middle of a message must not have begun it: joins would wait for it.
    #[test]
    fn a_large_message_begins_when_all_of_it_is_there() {
        let (mut client, ring) = ring::spsc::pair(4096).unwrap();
        let mut intake = Intake::new(ring, 3000);
        let mut submit = |offset: u64| {
            let mut piece = [7; PIECE_HEADER_BYTES + 1000];
            piece[..8].copy_from_slice(&3000_u64.to_le_bytes());
            piece[8..16].copy_from_slice(&offset.to_le_bytes());
            client.push(tag(RecordKind::Piece, 3), &piece).unwrap();
            client.publish();
        };
        let mut buf = [0; 1400];
        for offset in [0, 1000] {
            submit(offset);
            assert_ne!(intake.gather(), Ok(0));
            assert_eq!((intake.take(&mut buf, 1400), intake.gathered_bytes()), (Ok(None), 0));
            assert!(intake.is_drained());
        }
        submit(2000);
        assert_ne!(intake.gather(), Ok(0));
        let mut offsets = |intake: &mut Intake, count: usize| -> Vec<u64> {
            let fragment = |_| {
                intake
                    .take(&mut buf, 1400)
                    .unwrap()
                    .map(|_| crate::layout::fragment(&buf).unwrap().1)
            };
            (0..count).filter_map(fragment).collect()
        };
        assert_eq!(offsets(&mut intake, 2), [0, 1376]);
        assert!(!intake.is_drained());
        intake.restart();
        assert_eq!(offsets(&mut intake, 4), [0, 1376, 2752]);
        assert!(intake.is_drained());
    }

    /// What lies in the ring until its last fragment is taken may be asked for again.
    #[test]
    fn the_room_of_a_large_message_is_given_back_with_its_last_fragment() {
        let (mut client, ring) = ring::spsc::pair(16 << 10).unwrap();
        let free = |client: &mut ring::spsc::Producer| client.room().unwrap();
        let all = free(&mut client);
        let mut intake = Intake::new(ring, 3000);
        client.push(tag(RecordKind::Message, 3), b"short").unwrap();
        let short = all - free(&mut client);
        client.push(tag(RecordKind::Message, 3), &[7; 3000]).unwrap();
        client.publish();
        let both = all - free(&mut client);
        let mut buf = [0; 1400];
        for bytes in [16, 1400, 1400] {
            assert_eq!(intake.take(&mut buf, 1400).unwrap().map(|taken| taken.bytes), Some(bytes));
            intake.release();
            assert_eq!(all - free(&mut client), both - short);
        }
        intake.restart();
        let mut found = Vec::new();
        while let Some(taken) = intake.take(&mut buf, 1400).unwrap() {
            assert_eq!(all - free(&mut client), both - short);
            let (total, offset, bytes) = crate::layout::fragment(&buf[..taken.bytes]).unwrap();
            assert_eq!((total, offset), (3000, found.len() as u64));
            found.extend_from_slice(bytes);
        }
        assert_eq!(found, [7; 3000]);
        assert!(intake.release());
        assert_eq!(free(&mut client), all);
    }

    /// Also one that has the memory of a client that is gone can publish: it is not listened to.
    #[test]
    fn what_is_published_after_the_end_does_not_count() {
        let (mut client, ring) = ring::spsc::pair(4096).unwrap();
        let mut intake = Intake::new(ring, 1000);
        let message = tag(RecordKind::Message, 3);
        client.push(message, b"before").unwrap();
        client.publish();
        intake.close();
        client.push(message, b"after").unwrap();
        client.publish();
        intake.close();
        assert_eq!(intake.available(), Ok(16));
        assert_eq!(intake.head(), Ok(Some((RecordKind::Message, 3))));
        // Whether a run goes past the end does not matter: what follows it does.
        let mut buf = [0; 64];
        assert!(intake.take(&mut buf, 64).unwrap().is_some());
        client.push(message, b"later").unwrap();
        client.publish();
        assert_eq!((intake.available(), intake.head()), (Ok(0), Ok(None)));
        assert_eq!(intake.take(&mut buf, 64), Ok(None));
    }
}
