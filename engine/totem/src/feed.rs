//! Where numbered frames come from in normal life: the layer above, and the announcement of a
//! leave.

use frame::FrameMut;
use wire::data::{DATA_HEADER_BYTES, FLAG_CONTROL, FLAG_SAFE};
use wire::state::ControlKind;

use crate::ctx::Ctx;
use crate::visit::Feed;
use crate::{Payload, Source};

/// The layer above; once the leave is announced nothing follows it.
pub(crate) struct Upper<'a> {
    pub(crate) source: &'a mut dyn Source,
    /// The announcement, after everything that waits.
    pub(crate) leave: Option<FrameMut>,
    /// The announcement was numbered: nothing may follow.
    pub(crate) closed: bool,
}

impl Feed for Upper<'_> {
    fn backlog_bytes(&self) -> u64 {
        if self.closed {
            return 0;
        }
        let leave = self.leave.as_ref().map_or(0, |frame| frame.len() as u64);
        self.source.backlog_bytes() + leave
    }

    fn next(&mut self, room: usize) -> Option<(FrameMut, u8)> {
        if self.closed {
            return None;
        }
        if let Some(Payload { frame, safe }) = self.source.next(room) {
            return Some((frame, if safe { FLAG_SAFE } else { 0 }));
        }
        let frame = self.leave.take()?;
        self.closed = true;
        // Safe: who delivers it knows that everybody has it, so nobody waits for the leaver's
        // frames.
        Some((frame, FLAG_CONTROL | FLAG_SAFE))
    }
}

/// The frame that announces a leave.
pub(crate) fn leave_frame(ctx: &mut Ctx) -> Option<FrameMut> {
    let mut frame = ctx.alloc(DATA_HEADER_BYTES + 8)?;
    frame.truncate(DATA_HEADER_BYTES + 8);
    frame[DATA_HEADER_BYTES..].fill(0);
    frame[DATA_HEADER_BYTES] = ControlKind::Leave as u8;
    Some(frame)
}
