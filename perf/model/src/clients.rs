//! The programs of a node: one that sends as the load says and receives everything.

use std::collections::VecDeque;

use groups::{Clients, GroupHandle, Pulled, PulledKind};
use wire::run::{ALIGN, FRAGMENT_HEADER_BYTES, RECORD_HEADER_BYTES, begin_fragment};

/// Bytes of a submit ring (the engine's default): how far a flood runs ahead.
const SUBMIT_RING_BYTES: usize = 256 << 10;

/// A program that sends.
pub(crate) struct Program {
    pub(crate) group: Option<GroupHandle>,
    pub(crate) session: u32,
    message_bytes: usize,
    /// From one message to the next; infinite if it does not send.
    every_ns: f64,
    flood: bool,
    /// When the next message would be sent if there is room.
    next_ns: f64,
    /// When those that wait were meant to be sent.
    waiting: VecDeque<u64>,
    /// Bytes of the first one that went already.
    cut: usize,
    /// When those on their way were meant to be sent.
    pub(crate) underway: VecDeque<u64>,
    /// Messages made so far.
    pub(crate) made: u64,
    /// Messages pulled since the owner last looked.
    pub(crate) pulled: u64,
}

impl Program {
    pub(crate) fn new(session: u32, message_bytes: usize, every_ns: f64, flood: bool) -> Self {
        Self {
            group: None,
            session,
            message_bytes,
            every_ns,
            flood,
            next_ns: 0.0,
            waiting: VecDeque::new(),
            cut: 0,
            underway: VecDeque::new(),
            made: 0,
            pulled: 0,
        }
    }

    fn record_bytes(&self) -> usize {
        (RECORD_HEADER_BYTES + self.message_bytes).next_multiple_of(ALIGN)
    }

    /// Starts to send at `now_ns`.
    pub(crate) fn start(&mut self, now_ns: u64) {
        self.next_ns = now_ns as f64;
    }

    /// When the next message comes; `None` if none does before something is pulled.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        let comes =
            self.every_ns.is_finite() && self.group.is_some() && self.waiting.len() < self.room();
        comes.then_some(self.next_ns.ceil() as u64)
    }

    /// Messages that may wait.
    fn room(&self) -> usize {
        if self.flood { (SUBMIT_RING_BYTES / self.record_bytes()).max(2) } else { usize::MAX }
    }

    /// Makes the messages that are due.
    pub(crate) fn advance(&mut self, now_ns: u64) {
        if !self.every_ns.is_finite() || self.group.is_none() {
            return;
        }
        let room = self.room();
        while self.next_ns <= now_ns as f64 && self.waiting.len() < room {
            self.waiting.push_back(self.next_ns as u64);
            self.next_ns += self.every_ns;
            self.made += 1;
        }
        if self.waiting.len() >= room {
            // It waits for room and goes on from when there is some.
            self.next_ns = self.next_ns.max(now_ns as f64);
        }
    }

    fn sent_one(&mut self) {
        self.underway.extend(self.waiting.pop_front());
        self.pulled += 1;
        self.cut = 0;
    }

    fn fragment(&mut self, group: GroupHandle, buf: &mut [u8]) -> Option<Pulled> {
        let piece = begin_fragment(buf, self.message_bytes as u64, self.cut as u64)?;
        piece.fill(0);
        let len = piece.len();
        let bytes = FRAGMENT_HEADER_BYTES + len.next_multiple_of(ALIGN);
        self.cut += len;
        if self.cut == self.message_bytes {
            self.sent_one();
        }
        let (session, kind) = (self.session, PulledKind::Fragment);
        Some(Pulled { session, group, kind, count: 1, bytes, safe: false })
    }
}

impl Clients for Program {
    fn pending_bytes(&self) -> u64 {
        (self.waiting.len() * self.record_bytes() - self.cut) as u64
    }

    fn restart(&mut self) {
        self.cut = 0;
    }

    fn pull(&mut self, buf: &mut [u8]) -> Option<Pulled> {
        let (group, record) = (self.group?, self.record_bytes());
        if self.waiting.is_empty() {
            return None;
        }
        let count = (buf.len() / record).min(self.waiting.len()).min(usize::from(u16::MAX));
        if self.cut > 0 || count == 0 {
            return self.fragment(group, buf);
        }
        for chunk in buf.chunks_exact_mut(record).take(count) {
            chunk.fill(0);
            chunk[..RECORD_HEADER_BYTES]
                .copy_from_slice(&(self.message_bytes as u64).to_le_bytes());
            self.sent_one();
        }
        let (session, kind, count16) = (self.session, PulledKind::Messages, count as u16);
        Some(Pulled { session, group, kind, count: count16, bytes: count * record, safe: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(message_bytes: usize, flood: bool) -> Program {
        let mut program = Program::new(1, message_bytes, 10.0, flood);
        program.group = Some(GroupHandle(1));
        program.start(0);
        program
    }

    #[test]
    fn messages_come_at_their_times() {
        let mut program = program(64, false);
        program.advance(95);
        let mut buf = [0; 1400];
        let pulled = program.pull(&mut buf).unwrap();
        assert_eq!((pulled.count, pulled.bytes), (10, 720));
        assert_eq!(
            program.underway.iter().copied().collect::<Vec<_>>(),
            (0..10).map(|i| i * 10).collect::<Vec<_>>()
        );
        assert_eq!(program.next_ns(), Some(100));
        assert!(program.pull(&mut buf).is_none());
    }

    #[test]
    fn large_messages_are_cut_and_counted_once() {
        let mut program = program(3_000, false);
        program.advance(0);
        let mut buf = [0; 1400];
        let mut pieces = 0;
        while let Some(pulled) = program.pull(&mut buf) {
            assert_eq!(pulled.kind, PulledKind::Fragment);
            pieces += 1;
        }
        assert_eq!((pieces, program.pulled), (3, 1));
    }

    #[test]
    fn a_flood_waits_for_room() {
        let mut program = program(64, true);
        program.advance(1_000_000_000);
        assert_eq!(program.pending_bytes() as usize, SUBMIT_RING_BYTES / 72 * 72);
    }
}
