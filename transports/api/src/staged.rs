//! What a driver has received and noticed, until the engine polls it.

use std::collections::VecDeque;

use crate::{Burst, Event, Queue};

/// Something to tell that carries no datagram.
#[derive(Clone, Copy, Debug)]
enum Notice {
    Unreachable(u16),
    Ready(u32),
}

/// Notices first, then the two queues in the order the engine asks for.
#[derive(Debug)]
pub struct Staged {
    tokens: VecDeque<Burst>,
    bursts: VecDeque<Burst>,
    notices: VecDeque<Notice>,
    /// By peer: it is in `notices` already.
    unreachable: Vec<bool>,
}

/// Room for notices beside one for each peer: some watched descriptors at a time.
const NOTICES: usize = 64;

impl Staged {
    /// Room for so many receptions of each queue before it grows.
    pub fn new(peers: usize, tokens: usize, bursts: usize) -> Self {
        Self {
            tokens: VecDeque::with_capacity(tokens),
            bursts: VecDeque::with_capacity(bursts),
            notices: VecDeque::with_capacity(peers + NOTICES),
            unreachable: vec![false; peers],
        }
    }

    /// There is one peer more.
    pub fn add_peer(&mut self) {
        self.unreachable.push(false);
    }

    /// Datagrams came.
    #[inline]
    pub fn received(&mut self, queue: Queue, burst: Burst) {
        match queue {
            Queue::Token => self.tokens.push_back(burst),
            Queue::Data => self.bursts.push_back(burst),
        }
    }

    /// Nobody is at a peer's address. Said once until it was polled, so that this is bounded.
    pub fn unreachable(&mut self, peer: u16) {
        if let Some(said) = self.unreachable.get_mut(usize::from(peer))
            && !std::mem::replace(said, true)
        {
            self.notices.push_back(Notice::Unreachable(peer));
        }
    }

    /// The watched descriptor of this number is readable.
    pub fn ready(&mut self, number: u32) {
        self.notices.push_back(Notice::Ready(number));
    }

    /// Receptions of a queue that wait.
    #[inline]
    pub fn waiting(&self, queue: Queue) -> usize {
        match queue {
            Queue::Token => self.tokens.len(),
            Queue::Data => self.bursts.len(),
        }
    }

    /// Whether nothing is to be polled.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.bursts.is_empty() && self.notices.is_empty()
    }

    /// The next event, the preferred queue first. `key` gives the key of a watched descriptor, or nothing if that
    /// watch has ended.
    #[inline]
    pub fn next(
        &mut self,
        prefer: Queue,
        mut key: impl FnMut(u32) -> Option<u64>,
    ) -> Option<Event> {
        while let Some(notice) = self.notices.pop_front() {
            match notice {
                Notice::Unreachable(peer) => {
                    self.unreachable[usize::from(peer)] = false;
                    return Some(Event::Unreachable { peer });
                }
                Notice::Ready(number) => {
                    if let Some(key) = key(number) {
                        return Some(Event::Ready { key });
                    }
                }
            }
        }
        let queue = match prefer {
            Queue::Token if self.tokens.is_empty() => Queue::Data,
            Queue::Data if self.bursts.is_empty() => Queue::Token,
            _ => prefer,
        };
        let staged = match queue {
            Queue::Token => &mut self.tokens,
            Queue::Data => &mut self.bursts,
        };
        Some(Event::Received { queue, burst: staged.pop_front()? })
    }
}

#[cfg(test)]
mod tests {
    use frame::{Class, Pool, PoolConfig};

    use super::*;

    #[test]
    fn notices_come_first_each_peer_once_and_then_the_preferred_queue() {
        let (small_bytes, large_bytes) = (2048, 16384);
        let pool =
            Pool::heap(PoolConfig { small_bytes, small_count: 4, large_bytes, large_count: 1 });
        let burst = || Burst { bytes: pool.alloc(Class::Small).expect("a slot"), segment_bytes: 1 };
        let mut staged = Staged::new(1, 2, 2);
        staged.add_peer();
        staged.received(Queue::Data, burst());
        staged.received(Queue::Token, burst());
        for peer in [1, 1, 9] {
            staged.unreachable(peer);
        }
        (0..2).for_each(|number| staged.ready(number));
        let mut told = Vec::new();
        while let Some(event) = staged.next(Queue::Token, |number| (number == 1).then_some(7)) {
            told.push(match event {
                Event::Unreachable { peer } => format!("unreachable {peer}"),
                Event::Ready { key } => format!("ready {key}"),
                Event::Received { queue, .. } => format!("{queue:?}"),
            });
        }
        assert_eq!(told, ["unreachable 1", "ready 7", "Token", "Data"]);
        assert!(staged.is_empty());
        staged.unreachable(1);
        assert!(staged.next(Queue::Data, |_| None).is_some(), "it may be said again");
    }
}
