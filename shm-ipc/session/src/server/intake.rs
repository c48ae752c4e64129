//! Reading one submit ring: control records, runs of messages, fragments of large ones.
//!
//! The ring's memory belongs to a client that may change it at any time. Every byte is copied first and
//! judged in the copy; [`Consumer`] reads each length once and keeps to it.

use ring::Corrupt;
use ring::spsc::{Consumer, Next, Record};
use zerocopy::{FromBytes, IntoBytes};

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

/// A record that is being cut into fragments.
#[derive(Clone, Copy, Debug)]
struct Cut {
    record: Record,
    /// Where in its payload the next fragment starts.
    at: usize,
}

/// A message that is on its way in several fragments.
#[derive(Clone, Copy, Debug)]
struct Large {
    group: u32,
    safe: bool,
    total: u64,
    /// Where in the message the next fragment starts.
    offset: u64,
}

/// Reads one submit ring.
#[derive(Debug)]
pub(crate) struct Intake {
    ring: Consumer,
    large: Option<Large>,
    cut: Option<Cut>,
    /// What was taken of the large message so far, in case it has to start again: the ring has
    /// given its room back.
    kept: Vec<u8>,
    /// Where in `kept` the next fragment starts while the message is sent again.
    again_at: Option<usize>,
    /// Where the ring ends for us: what is published later does not count.
    end: Option<u64>,
    message_bytes_max: u64,
}

/// Room for a large message that is kept from one to the next.
const KEPT_BYTES_MAX: usize = 256 << 10;

impl Intake {
    pub(crate) fn new(ring: Consumer, message_bytes_max: u64) -> Self {
        Self {
            ring,
            large: None,
            cut: None,
            kept: Vec::new(),
            again_at: None,
            end: None,
            message_bytes_max,
        }
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

    /// Gives room back to the client. True if there was any to give.
    pub(crate) fn release(&mut self) -> bool {
        self.ring.release()
    }

    /// A message of which a part was taken starts again from its first byte: receivers may be new and not have
    /// seen that part.
    pub(crate) fn restart(&mut self) {
        if self.large.is_some() && !self.kept.is_empty() {
            self.again_at = Some(0);
        }
    }

    /// Bytes to be sent again before anything of the ring.
    pub(crate) fn again_bytes(&self) -> usize {
        self.again_at.map_or(0, |at| self.kept.len() - at)
    }

    /// What stands at the head: `None` when nothing does.
    pub(crate) fn head(&mut self) -> Result<Option<(RecordKind, u32)>, Broken> {
        if let (Some(_), Some(large)) = (self.again_at, &self.large) {
            let kind = if large.safe { RecordKind::SafePiece } else { RecordKind::Piece };
            return Ok(Some((kind, large.group)));
        }
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
        if let Some(at) = self.again_at {
            return self.take_again(buf, at);
        }
        if self.cut.is_some() {
            return self.take_fragment(buf);
        }
        let Some((kind, group)) = self.head()? else { return Ok(None) };
        match kind {
            _ if !kind.is_data() => Ok(None),
            RecordKind::Piece | RecordKind::SafePiece => {
                self.begin_piece(group, kind.is_safe())?;
                self.take_fragment(buf)
            }
            _ if self.large.is_some() => Err(Broken),
            // In the copy the tags are zero: ours are not the wire's.
            _ => match self.ring.copy_next_run(buf, u16::MAX.into(), 0)? {
                Next::Empty => Ok(None),
                Next::Long(record) if record.bytes() <= frame_bytes => Ok(None),
                Next::Long(record) => {
                    self.begin_long(record, group, kind.is_safe())?;
                    self.take_fragment(buf)
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
    fn begin_long(&mut self, record: Record, group: u32, safe: bool) -> Result<(), Broken> {
        let total = record.len() as u64;
        if total > self.message_bytes_max {
            return Err(Broken);
        }
        self.large = Some(Large { group, safe, total, offset: 0 });
        self.cut = Some(Cut { record, at: 0 });
        Ok(())
    }

    /// Reads the header of a piece and checks that it continues what came before.
    fn begin_piece(&mut self, group: u32, safe: bool) -> Result<(), Broken> {
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
            Some(l) => (l.group, l.safe, l.total, l.offset) == (group, safe, total, offset),
        };
        if !continues {
            return Err(Broken);
        }
        self.large = Some(Large { group, safe, total, offset });
        self.cut = Some(Cut { record, at: PIECE_HEADER_BYTES });
        Ok(())
    }

    /// Takes as much of the record being cut as `buf` has room for.
    fn take_fragment(&mut self, buf: &mut [u8]) -> Result<Option<Taken>, Broken> {
        let (Some(cut), Some(large)) = (&mut self.cut, &mut self.large) else { return Err(Broken) };
        let left = cut.record.len() - cut.at;
        let Some(body) = fragment(buf, large, large.offset, left) else { return Ok(None) };
        let len = body.len();
        self.ring.copy_payload(&cut.record, cut.at, body);
        large.offset += len as u64;
        cut.at += len;
        let taken = Taken::fragment(large, len);
        if large.offset < large.total {
            self.kept.extend_from_slice(body);
        }
        if cut.at == cut.record.len() {
            self.ring.consume(&cut.record);
            self.cut = None;
            if large.offset == large.total {
                self.large = None;
                self.kept.clear();
                self.kept.shrink_to(KEPT_BYTES_MAX);
            }
        }
        Ok(Some(taken))
    }

    /// Takes as much of what is sent again as `buf` has room for.
    fn take_again(&mut self, buf: &mut [u8], at: usize) -> Result<Option<Taken>, Broken> {
        let Some(large) = &self.large else { return Err(Broken) };
        let rest = self.kept.get(at..).ok_or(Broken)?;
        let Some(body) = fragment(buf, large, at as u64, rest.len()) else { return Ok(None) };
        let len = body.len();
        body.copy_from_slice(&rest[..len]);
        self.again_at = Some(at + len).filter(|at| *at < self.kept.len());
        Ok(Some(Taken::fragment(large, len)))
    }
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
