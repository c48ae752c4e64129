//! Sending.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use session::layout::{PIECE_HEADER_BYTES, RecordKind, record_bytes};
use session::{Cause, SubmitLoan};

use crate::event::Group;
use crate::membership::Stage;
use crate::{Client, PublishError};

/// Longest message or piece that is submitted in one record, in bytes.
pub(crate) const PIECE_BYTES: usize = 32 << 10;

/// A message being written in place, in the submit ring. Dropped without [`Loan::commit`], it never was.
#[must_use = "a loan that is not committed is not sent"]
pub struct Loan<'a> {
    loan: SubmitLoan<'a>,
}

impl Loan<'_> {
    /// Sends it.
    #[inline]
    pub fn commit(self) {
        self.loan.send();
    }

    /// Sends it together with what follows: the engine sees it at the next [`Client::show`], or when something is
    /// published in another way or waited for. Showing costs as much as writing a short message.
    #[inline]
    pub fn stage(self) {
        self.loan.commit();
    }
}

impl Deref for Loan<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.loan.bytes()
    }
}

impl DerefMut for Loan<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.loan.bytes_mut()
    }
}

/// What of a message that lies in several parts was not sent yet.
struct Rest<'a> {
    /// The rest of a part that was sent in part.
    part: &'a [u8],
    others: &'a [&'a [u8]],
}

impl Rest<'_> {
    /// Copies the next bytes to `to`, which is no longer than all that is left.
    #[inline]
    fn fill(&mut self, mut to: &mut [u8]) {
        while !to.is_empty() {
            if self.part.is_empty() {
                (self.part, self.others) = (self.others[0], &self.others[1..]);
            }
            let (now, later) = self.part.split_at(self.part.len().min(to.len()));
            let (here, rest) = to.split_at_mut(now.len());
            here.copy_from_slice(now);
            (self.part, to) = (later, rest);
        }
    }
}

impl Client {
    /// Publishes a message (agreed delivery), waiting for room in the submit ring as long as it
    /// takes. What arrives meanwhile is set aside in memory of this process (up to 32 MiB and one
    /// message) and received later.
    ///
    /// # Errors
    /// See [`PublishError`]; then nothing was published.
    pub fn publish(&mut self, group: &Group, bytes: &[u8]) -> Result<(), PublishError> {
        self.publish_parts(group, &[bytes], false, true)
    }

    /// Publishes a message with safe delivery: it is delivered nowhere before every node of the ring has it.
    ///
    /// # Errors
    /// See [`PublishError`]; then nothing was published.
    pub fn publish_safe(&mut self, group: &Group, bytes: &[u8]) -> Result<(), PublishError> {
        self.publish_parts(group, &[bytes], true, true)
    }

    /// Publishes a message of at most 32 KiB if there is room now.
    ///
    /// # Errors
    /// See [`PublishError`]; then nothing was published.
    pub fn try_publish(&mut self, group: &Group, bytes: &[u8]) -> Result<(), PublishError> {
        self.try_send(group, bytes, false)
    }

    /// As [`Client::try_publish`], with safe delivery.
    ///
    /// # Errors
    /// See [`PublishError`]; then nothing was published.
    pub fn try_publish_safe(&mut self, group: &Group, bytes: &[u8]) -> Result<(), PublishError> {
        self.try_send(group, bytes, true)
    }

    /// Publishes a message that lies in several pieces, of any length that the engine takes. With `wait` as
    /// [`Client::publish`]; without it waits only in the middle of a message larger than the submit ring.
    ///
    /// # Errors
    /// See [`PublishError`]; then nothing was published, unless the session is over.
    pub fn publish_parts(
        &mut self,
        group: &Group,
        parts: &[&[u8]],
        safe: bool,
        wait: bool,
    ) -> Result<(), PublishError> {
        // Pieces may overlap, so they may be more than memory has bytes.
        let total = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        self.check(group, total as u64)?;
        self.patience.found();
        let mut rest = Rest { part: &[], others: parts };
        if total <= PIECE_BYTES {
            let kind = if safe { RecordKind::SafeMessage } else { RecordKind::Message };
            return self.send_record(kind, group, (&[], total), &mut rest, wait);
        }
        let pieces = total.div_ceil(PIECE_BYTES);
        let room = pieces * record_bytes(PIECE_BYTES + PIECE_HEADER_BYTES);
        let free = self.attachment.submit_bytes() - self.attachment.submitted_bytes();
        if !wait && free < room.min(self.attachment.submit_bytes()) {
            return Err(PublishError::Full);
        }
        let kind = if safe { RecordKind::SafePiece } else { RecordKind::Piece };
        for offset in (0..total).step_by(PIECE_BYTES) {
            let mut header = [0; PIECE_HEADER_BYTES];
            header[..8].copy_from_slice(&(total as u64).to_le_bytes());
            header[8..].copy_from_slice(&(offset as u64).to_le_bytes());
            let len = PIECE_BYTES.min(total - offset);
            self.send_record(kind, group, (&header, len), &mut rest, true)?;
        }
        Ok(())
    }

    /// Room for a message of exactly `len` bytes (at most 32 KiB), to be written in place: saves
    /// the copy of `publish`. The bytes are whatever the ring held there before.
    ///
    /// # Errors
    /// See [`PublishError`]; [`PublishError::Full`]: wait with [`Client::wait_for_room`].
    pub fn loan(&mut self, group: &Group, len: usize) -> Result<Loan<'_>, PublishError> {
        self.check(group, len as u64)?;
        if len > PIECE_BYTES {
            return Err(PublishError::TooLongForOnePiece { found: len, max: PIECE_BYTES });
        }
        let loan = self.attachment.loan(RecordKind::Message, group.handle, len)?;
        self.patience.found();
        Ok(Loan { loan })
    }

    /// Shows the engine what was staged ([`Loan::stage`]).
    pub fn show(&mut self) {
        self.attachment.flush();
    }

    /// Waits until a message of `len` bytes (at most 32 KiB) has room in the submit ring, or the
    /// session is over. False: the time is over.
    pub fn wait_for_room(&mut self, len: usize, timeout: Option<Duration>) -> bool {
        let bytes = record_bytes(len.min(PIECE_BYTES) + PIECE_HEADER_BYTES);
        self.wait(timeout, Some(bytes))
    }

    fn check(&self, group: &Group, len: u64) -> Result<(), PublishError> {
        if let Some(cause) = self.attachment.ended() {
            return Err(PublishError::Ended(cause));
        }
        let max = self.attachment.message_bytes_max();
        if len > max {
            return Err(PublishError::TooLong { found: len, max });
        }
        match self.groups.get(group.handle) {
            Some(m) if m.stage == Stage::Member && (m.group.is(group) || m.group == *group) => {
                Ok(())
            }
            _ => Err(PublishError::NotMember),
        }
    }

    fn try_send(&mut self, group: &Group, bytes: &[u8], safe: bool) -> Result<(), PublishError> {
        if bytes.len() > PIECE_BYTES {
            self.check(group, bytes.len() as u64)?;
            return Err(PublishError::TooLongForOnePiece { found: bytes.len(), max: PIECE_BYTES });
        }
        self.publish_parts(group, &[bytes], safe, false)
    }

    /// Submits one record: a header and that many bytes of what was not sent yet.
    fn send_record(
        &mut self,
        kind: RecordKind,
        group: &Group,
        (header, body_bytes): (&[u8], usize),
        rest: &mut Rest<'_>,
        may_wait: bool,
    ) -> Result<(), PublishError> {
        let len = header.len() + body_bytes;
        loop {
            match self.attachment.loan(kind, group.handle, len).map_err(PublishError::from) {
                Ok(mut loan) => {
                    let (head, body) = loan.bytes_mut().split_at_mut(header.len());
                    head.copy_from_slice(header);
                    rest.fill(body);
                    loan.send();
                    return Ok(());
                }
                Err(PublishError::Full) if may_wait => {
                    // What has arrived is taken out of the engine's way first: if everybody waited
                    // for room without reading, nobody would ever get any.
                    if !self.set_aside() {
                        self.wait(None, Some(record_bytes(len)));
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for something to receive or (`room`) for that many bytes of room. False: the time is over.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>, room: Option<usize>) -> bool {
        self.attachment.flush();
        match self.attachment.wait(timeout, room) {
            Ok(rung) => rung,
            // The kernel cannot wait on descriptors that are ours and open: something took them away.
            Err(_) => {
                self.attachment.end(Cause::Resources);
                true
            }
        }
    }
}
