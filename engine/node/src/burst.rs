//! Packing frames into bursts.
//!
//! A burst is one buffer that the kernel or card cuts into datagrams of equal size. Frames differ
//! in size, so all but the last are padded with zeros to the longest. Frames are only noted as they
//! come and sealed together once the burst is cut, when its segment size is known. A burst is cut
//! when
//!
//! * a frame for another destination or other links, or a token, follows: the network must see the order of
//!   outputs;
//! * it would be longer than the transport or a large slot takes, or have too many segments;
//! * more than half of it would be padding.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use frame::{Class, Frame, FrameMut, Pool};
use link::Link;
use totem::{Dest, Lane};

use crate::Output;
use crate::status::NodeCounters;

/// Collects frames and seals them.
pub(crate) struct Packer {
    pool: Pool,
    segments_max: usize,
    bytes_max: usize,
    overhead_bytes: usize,
    to: Dest,
    /// The links it goes on, as bits.
    links: u8,
    /// The burst so far; its room is made at the start.
    frames: Vec<Frame>,
    /// Bytes of the longest frame.
    longest: usize,
    /// Bytes of all frames.
    total: usize,
}

impl Packer {
    pub(crate) fn new(
        pool: Pool,
        segments_max: usize,
        bytes_max: usize,
        overhead_bytes: usize,
    ) -> Self {
        let segments_max = segments_max.max(1);
        Self {
            segments_max,
            bytes_max: bytes_max.min(pool.slot_bytes(Class::Large)),
            pool,
            overhead_bytes,
            to: Dest::All,
            links: 1,
            frames: Vec::with_capacity(segments_max),
            longest: 0,
            total: 0,
        }
    }

    /// Takes a frame; what must leave before it is sealed first.
    pub(crate) fn push(
        &mut self,
        (to, links): (Dest, u8),
        lane: Lane,
        frame: Frame,
        link: &mut Link,
        out: &mut VecDeque<Output>,
        counters: &mut NodeCounters,
    ) {
        if lane == Lane::Token || !self.takes(to, links, frame.len()) {
            self.flush(link, out, counters);
        }
        (self.to, self.links) = (to, links);
        self.longest = self.longest.max(frame.len());
        self.total += frame.len();
        self.frames.push(frame);
        if lane == Lane::Token {
            self.cut(Lane::Token, link, out, counters);
        }
    }

    /// Whether a frame may join the burst.
    fn takes(&self, to: Dest, links: u8, len: usize) -> bool {
        let count = self.frames.len() + 1;
        let longest = self.longest.max(len);
        let padded = count * longest;
        count == 1
            || (to == self.to
                && links == self.links
                && count <= self.segments_max
                && padded + count * self.overhead_bytes <= self.bytes_max
                && padded <= 2 * (self.total + len))
    }

    /// Seals what was collected.
    pub(crate) fn flush(
        &mut self,
        link: &mut Link,
        out: &mut VecDeque<Output>,
        counters: &mut NodeCounters,
    ) {
        self.cut(Lane::Data, link, out, counters);
    }

    fn cut(
        &mut self,
        lane: Lane,
        link: &mut Link,
        out: &mut VecDeque<Output>,
        counters: &mut NodeCounters,
    ) {
        if self.frames.is_empty() {
            return;
        }
        let segment_bytes = self.longest + self.overhead_bytes;
        let room = self.frames.len() * segment_bytes;
        match slot(&self.pool, room) {
            Some(mut bytes) => {
                let len = self.seal(&mut bytes, segment_bytes, link, counters);
                bytes.truncate(len);
                if len != 0 {
                    counters.bursts_sent += 1;
                    counters.bytes_sent += len as u64;
                    let (to, links) = (self.to, self.links);
                    out.push_back(Output::Send { to, links, lane, bytes, segment_bytes });
                }
            }
            // As if the network had lost them: the ring asks again.
            None => counters.frames_unsent += self.frames.len() as u64,
        }
        self.frames.clear();
        self.longest = 0;
        self.total = 0;
    }

    /// Writes the burst and returns its length.
    fn seal(
        &self,
        bytes: &mut FrameMut,
        segment_bytes: usize,
        link: &mut Link,
        counters: &mut NodeCounters,
    ) -> usize {
        let (mut at, mut end) = (0, 0);
        for frame in &self.frames {
            // The frame before becomes a whole segment.
            bytes[end..at].fill(0);
            counters.padding_bytes_sent += (at - end) as u64;
            let Some(len) = link.seal(frame, &mut bytes[at..]) else {
                counters.frames_unsent += 1;
                continue;
            };
            counters.datagrams_sent += 1;
            end = at + len;
            at += segment_bytes;
        }
        end
    }
}

/// A free slot that holds `len` bytes, a small one if it does.
pub(crate) fn slot(pool: &Pool, len: usize) -> Option<FrameMut> {
    let small = pool.slot_bytes(Class::Small) >= len;
    let class = if small { Class::Small } else { Class::Large };
    if pool.slot_bytes(class) < len {
        return None;
    }
    pool.alloc(class).or_else(|| if small { pool.alloc(Class::Large) } else { None })
}

#[cfg(test)]
#[path = "burst_tests.rs"]
mod tests;
