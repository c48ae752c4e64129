//! Receiving: buffers come apart into datagrams, and what is kept of them is kept where it takes the least room.

use frame::{Class, FrameMut};
use groups::Clients;
use totem::Lane;
use wire::Kind;

use crate::Node;

/// A buffer in a large slot that fills less than this share of it (one in so many) is copied out of
/// it: at 64 KiB that is 16 KiB, some 2 us of copying against the risk of running out of large
/// slots.
pub(crate) const COPY_OUT_SHARE: usize = 4;

/// When fewer than this share (one in so many) of the large slots are free, whatever comes in one is copied out
/// of it: a node whose large slots are all kept by the window could receive no burst any more, not even the one
/// that would let it move on.
pub(crate) const LARGE_SCARCE_SHARE: u32 = 4;

/// Payload bytes counted for a free small slot in this node's credit. Frames that are kept are
/// rarely full, and small slots are needed for our own frames too: a quarter of the usual 2 KiB.
const CREDIT_PER_SMALL: u64 = 512;

/// Share (one in so many) of a free large slot's bytes counted in this node's credit. What stays in
/// large slots fills at least `1 / COPY_OUT_SHARE` of them; half of that for what others need them
/// for.
const CREDIT_LARGE_SHARE: u64 = 2 * COPY_OUT_SHARE as u64;

/// Where a data frame that came in a buffer is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Home {
    /// Where it is.
    Stay,
    /// In a small slot if one is free.
    SmallIfFree,
    /// In a small slot or nowhere: the last large slots are for what comes next.
    SmallOnly,
}

impl Node {
    /// Opens every datagram of a buffer and gives what is in it to the ring.
    pub(crate) fn received(
        &mut self,
        now_ns: u64,
        at: (u8, Lane),
        mut bytes: FrameMut,
        segment_bytes: usize,
        clients: &mut dyn Clients,
    ) {
        match at.1 {
            Lane::Token => self.counters.token_bursts_received += 1,
            Lane::Data => self.counters.data_bursts_received += 1,
        }
        self.counters.bytes_received += bytes.len() as u64;
        let large = bytes.region_offset() >= self.large_start;
        let scarce = self.pool.free(Class::Large) < self.large_scarce;
        let home = match large {
            true if scarce => Home::SmallOnly,
            true if bytes.len() <= self.copy_out_bytes_max => Home::SmallIfFree,
            _ => Home::Stay,
        };
        let segment_bytes = segment_bytes.max(1);
        while bytes.len() > segment_bytes {
            let datagram = bytes.split_to(segment_bytes);
            // The next one's headers come while this one is worked on.
            bytes.prefetch();
            self.datagram(now_ns, at, datagram, home, clients);
        }
        if !bytes.is_empty() {
            self.datagram(now_ns, at, bytes, home, clients);
        }
    }

    fn datagram(
        &mut self,
        now_ns: u64,
        at: (u8, Lane),
        datagram: FrameMut,
        home: Home,
        clients: &mut dyn Clients,
    ) {
        self.counters.datagrams_received += 1;
        let Some(opened) = self.link.open(now_ns, datagram) else { return };
        if self.paths.is_some() && self.is_about_links(now_ns, at, &opened) {
            return;
        }
        let mut body = opened.body;
        let kind = Kind::of(&body);
        let sign = [Kind::Beacon, Kind::Answer, Kind::Ping, Kind::Probe];
        self.stirred |= !kind.is_some_and(|kind| sign.contains(&kind));
        // Only data frames are kept; everything else gives its slot back at once.
        if home != Home::Stay && kind == Some(Kind::Data) {
            match self.copied_out(&body) {
                Some(small) => body = small,
                None if home == Home::SmallIfFree => {}
                None => {
                    // Lost like on the way here; it is asked for again when slots are free.
                    self.counters.frames_without_slot += 1;
                    return;
                }
            }
        }
        let source = &mut self.groups.source(clients);
        self.totem.receive(now_ns, opened.from, body.freeze(), source);
        // Most frames went straight to the programs and left nothing to do; what concerns the whole call is settled at
        // its end.
        if self.totem.has_output() || self.groups.wants_wake() {
            self.settle(now_ns, clients);
        }
    }

    /// The same bytes in a small slot, if they fit and one is free.
    fn copied_out(&mut self, body: &[u8]) -> Option<FrameMut> {
        if body.len() > self.pool.slot_bytes(Class::Small) {
            return None;
        }
        let mut small = self.pool.alloc(Class::Small)?;
        small.truncate(body.len());
        small.copy_from_slice(body);
        self.counters.frames_copied_out += 1;
        Some(small)
    }

    /// Receive room of this node that the ring may fill, in bytes.
    pub(crate) fn credit_bytes(&self) -> u64 {
        let small = u64::from(self.pool.free(Class::Small)) * CREDIT_PER_SMALL;
        let large_bytes = self.pool.slot_bytes(Class::Large) as u64 / CREDIT_LARGE_SHARE;
        small.min(u64::from(self.pool.free(Class::Large)) * large_bytes)
    }
}
