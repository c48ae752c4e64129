//! A host's two receive queues: bounded, filled by the network whether or not the node runs.

use std::collections::VecDeque;

use node::Lane;

use crate::network::Burst;

/// What the kernel's books add per datagram.
const OVERHEAD_BYTES: usize = 512;

/// Datagrams of equal size that are handed over in one buffer.
#[derive(Clone, Debug)]
pub(crate) struct Merged {
    /// The link they came by.
    pub(crate) link: u8,
    /// The send they are part of.
    pub(crate) burst: Burst,
    /// First datagram.
    pub(crate) first: usize,
    /// How many.
    pub(crate) count: usize,
}

impl Merged {
    /// The bytes of all.
    pub(crate) fn bytes(&self) -> &[u8] {
        let start = self.first * self.burst.segment_bytes;
        let end = start + self.count * self.burst.segment_bytes;
        &self.burst.bytes[start..end.min(self.burst.bytes.len())]
    }

    fn cost(&self) -> usize {
        self.bytes().len() + self.count * OVERHEAD_BYTES
    }
}

/// The receive queues of one host.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    token: VecDeque<Merged>,
    data: VecDeque<Merged>,
    used: [usize; 2],
    limit_bytes: usize,
    /// Datagrams that found no room.
    pub(crate) dropped: u64,
}

impl Sockets {
    /// Queues of `limit_bytes` each.
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, ..Self::default() }
    }

    fn lane(&mut self, lane: Lane) -> (&mut VecDeque<Merged>, &mut usize) {
        match lane {
            Lane::Token => (&mut self.token, &mut self.used[0]),
            Lane::Data => (&mut self.data, &mut self.used[1]),
        }
    }

    /// Takes in what arrived of a burst: neighbours are merged, as receive offload does.
    pub(crate) fn push(&mut self, lane: Lane, link: u8, burst: &Burst) {
        let mut open: Option<Merged> = None;
        for index in burst.indices() {
            match &mut open {
                Some(m) if m.first + m.count == index => m.count += 1,
                _ => {
                    self.admit(lane, open.take());
                    open = Some(Merged { link, burst: burst.clone(), first: index, count: 1 });
                }
            }
        }
        self.admit(lane, open);
    }

    fn admit(&mut self, lane: Lane, merged: Option<Merged>) {
        let Some(merged) = merged else { return };
        let limit = self.limit_bytes;
        let (queue, used) = self.lane(lane);
        // Like the kernel: one more is taken while there is any room at all.
        if *used < limit {
            *used += merged.cost();
            queue.push_back(merged);
        } else {
            self.dropped += merged.count as u64;
        }
    }

    /// The next buffer, from the preferred queue if it has one.
    pub(crate) fn pop(&mut self, prefer: Lane) -> Option<(Lane, Merged)> {
        let other = if prefer == Lane::Token { Lane::Data } else { Lane::Token };
        for lane in [prefer, other] {
            let (queue, used) = self.lane(lane);
            if let Some(merged) = queue.pop_front() {
                *used -= merged.cost();
                return Some((lane, merged));
            }
        }
        None
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.token.is_empty() && self.data.is_empty()
    }

    /// The process is gone and its sockets with it.
    pub(crate) fn clear(&mut self) {
        self.token.clear();
        self.data.clear();
        self.used = [0; 2];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_merge_and_a_full_queue_drops() {
        let mut sockets = Sockets::new(4000);
        let mut burst = Burst::new(&[7; 3500], 1000);
        burst.kept = 0b1011;
        sockets.push(Lane::Data, 0, &burst);
        let (_, first) = sockets.pop(Lane::Data).expect("two neighbours");
        assert_eq!((first.count, first.bytes().len()), (2, 2000));
        let (_, last) = sockets.pop(Lane::Token).expect("the short one, for want of tokens");
        assert_eq!((last.count, last.bytes().len()), (1, 500));
        assert!(sockets.is_empty());
        for _ in 0..4 {
            sockets.push(Lane::Data, 0, &Burst::new(&[7; 1500], 1500));
        }
        assert_eq!(sockets.dropped, 2);
    }
}
