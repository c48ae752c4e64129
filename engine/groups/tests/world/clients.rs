//! Clients as plain queues.

use std::collections::VecDeque;

use groups::{Clients, GroupHandle, Pulled, PulledKind};
use wire::run::{ALIGN, RECORD_HEADER_BYTES};

/// One message that waits.
pub struct Waiting {
    pub session: u32,
    pub group: GroupHandle,
    pub bytes: Vec<u8>,
    pub safe: bool,
}

/// Messages of all sessions of a node, oldest first. Those of one session to one group that stand
/// together are pulled as one run.
#[derive(Default)]
pub struct Queue {
    pub waiting: VecDeque<Waiting>,
}

impl Queue {
    pub fn push(&mut self, session: u32, group: GroupHandle, bytes: &[u8], safe: bool) {
        self.waiting.push_back(Waiting { session, group, bytes: bytes.to_vec(), safe });
    }
}

fn record_bytes(message: &Waiting) -> usize {
    (RECORD_HEADER_BYTES + message.bytes.len()).next_multiple_of(ALIGN)
}

impl Clients for Queue {
    fn pending_bytes(&self) -> u64 {
        self.waiting.iter().map(|m| record_bytes(m) as u64).sum()
    }

    fn pull(&mut self, buf: &mut [u8]) -> Option<Pulled> {
        let first = self.waiting.front()?;
        let (session, group, safe) = (first.session, first.group, first.safe);
        let (mut bytes, mut count) = (0, 0);
        while let Some(message) = self.waiting.front() {
            let same = (message.session, message.group, message.safe) == (session, group, safe);
            let end = bytes + record_bytes(message);
            if !same || end > buf.len() {
                break;
            }
            let record = &mut buf[bytes..end];
            record.fill(0);
            record[..4].copy_from_slice(&(message.bytes.len() as u32).to_le_bytes());
            record[8..8 + message.bytes.len()].copy_from_slice(&message.bytes);
            (bytes, count) = (end, count + 1);
            self.waiting.pop_front();
        }
        let kind = PulledKind::Messages;
        (count > 0).then_some(Pulled { session, group, kind, count, bytes, safe })
    }
}
