//! Receives: slots lent to the card, and what came in them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr;

use frame::{Class, FrameMut, Pool};
use rdma_sys::{ibv_recv_wr, ibv_sge};

use crate::counters::Counters;
use crate::objects::{QueuePair, SharedReceives};

/// Bytes the card writes before a datagram: the global routing header, or what RoCE has in its place.
pub(crate) const HEADER_BYTES: usize = 40;

/// Receives posted by one call.
const BATCH: usize = 32;

/// Which queue a slot was posted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    Datagrams,
    Bursts,
    Tokens,
}

/// Where receives are posted.
pub(crate) enum Queue<'a> {
    Pair(&'a QueuePair),
    Shared(&'a SharedReceives),
}

/// Slots the card has. A slot's number is its receive's.
///
/// Invariant: a slot in `lent` is lent from the pool and named by exactly one receive that is posted and not
/// completed; it leaves when its completion was taken, or when every queue it may be in is destroyed.
pub(crate) struct Receives {
    pool: Pool,
    lent: Box<[Option<Lane>]>,
    counts: [u32; 3],
    wanted: [u32; 3],
    requests: Box<[ibv_recv_wr; BATCH]>,
    pieces: Box<[ibv_sge; BATCH]>,
}

impl Receives {
    /// `wanted` are the depths of the queues, in the order of [`Lane`].
    pub(crate) fn new(pool: Pool, wanted: [u32; 3]) -> Self {
        let stats = pool.stats();
        let slots = (stats.small_total + stats.large_total) as usize;
        // SAFETY: requests and pieces of zeros are empty ones; they are filled before they are posted.
        let (requests, pieces) = unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        Self {
            pool,
            lent: vec![None; slots].into(),
            counts: [0; 3],
            wanted,
            requests: Box::new(requests),
            pieces: Box::new(pieces),
        }
    }

    /// Fills a queue up, in batches; waits until an eighth of it is missing.
    pub(crate) fn fill(
        &mut self,
        lane: Lane,
        queue: &Queue<'_>,
        region_key: u32,
        counters: &mut Counters,
    ) {
        let wanted = self.wanted[lane as usize];
        if wanted - self.counts[lane as usize] < (wanted / 8).max(1) {
            return;
        }
        loop {
            let missing = (wanted - self.counts[lane as usize]) as usize;
            let count = self.stage(lane, missing.min(BATCH), region_key);
            if count == 0 {
                counters.buffers_exhausted += u64::from(missing > 0);
                return;
            }
            let (head, mut refused) = (self.requests.as_mut_ptr(), ptr::null_mut());
            // SAFETY: the queue is alive; the list was linked by `stage` and stays in place during the call;
            // the memory named is that of slots just lent, in the registered region.
            let result = unsafe {
                match queue {
                    Queue::Pair(pair) => {
                        rdma_sys::ibv_post_recv(pair.raw(), head, &raw mut refused)
                    }
                    Queue::Shared(shared) => {
                        rdma_sys::ibv_post_srq_recv(shared.raw(), head, &raw mut refused)
                    }
                }
            };
            counters.receive_doorbells += 1;
            let taken = if result == 0 {
                count
            } else {
                let is_refused = |at: &usize| ptr::eq(&raw const self.requests[*at], refused);
                (0..count).find(is_refused).unwrap_or(0)
            };
            counters.receive_requests += taken as u64;
            for at in taken..count {
                let slot = self.requests[at].wr_id;
                drop(self.take(slot, 0));
            }
            if taken < count {
                return;
            }
        }
    }

    /// Lends slots and writes their requests; returns how many.
    fn stage(&mut self, lane: Lane, count: usize, region_key: u32) -> usize {
        let class = if lane == Lane::Bursts { Class::Large } else { Class::Small };
        let mut staged = 0;
        while staged < count {
            let Some(lent) = self.pool.lend(class) else { break };
            self.lent[lent.slot as usize] = Some(lane);
            self.counts[lane as usize] += 1;
            self.pieces[staged] = ibv_sge {
                addr: self.pool.base().as_ptr() as u64 + lent.offset as u64,
                length: lent.len as u32,
                lkey: region_key,
            };
            let piece: *mut ibv_sge = &raw mut self.pieces[staged];
            let request = &mut self.requests[staged];
            request.wr_id = u64::from(lent.slot);
            request.next = ptr::null_mut();
            request.sg_list = piece;
            request.num_sge = 1;
            if staged > 0 {
                let this: *mut ibv_recv_wr = &raw mut self.requests[staged];
                self.requests[staged - 1].next = this;
            }
            staged += 1;
        }
        staged
    }

    /// Takes the slot a completion names; its first `len` bytes were written. `None` for one that was not
    /// lent.
    pub(crate) fn take(&mut self, slot: u64, len: usize) -> Option<(Lane, FrameMut)> {
        let slot = u32::try_from(slot).ok()?;
        let lane = self.lent.get_mut(slot as usize)?.take()?;
        self.counts[lane as usize] -= 1;
        // SAFETY: its receive has completed (or was never posted), so the card has finished with it.
        let bytes = unsafe { self.pool.take_back(slot, len) }?;
        Some((lane, bytes))
    }

    /// Slots the card has.
    pub(crate) fn lent(&self) -> u32 {
        self.counts.iter().sum()
    }

    /// Takes every slot back, or every one of a lane.
    ///
    /// # Safety
    /// Every queue that such a slot was posted to is destroyed, or was reset and its completions taken.
    pub(crate) unsafe fn reclaim(&mut self, only: Option<Lane>) {
        for slot in 0..self.lent.len() {
            let Some(lane) = self.lent[slot].filter(|lane| only.is_none_or(|only| only == *lane))
            else {
                continue;
            };
            self.lent[slot] = None;
            self.counts[lane as usize] -= 1;
            // SAFETY: the caller's promise.
            drop(unsafe { self.pool.take_back(slot as u32, 0) });
        }
    }
}

/// Whom a datagram came from, by the header before it: a GID, or for RoCE over IPv4 the address that
/// stands for one.
pub(crate) fn source(header: &[u8]) -> Option<IpAddr> {
    let header: &[u8; HEADER_BYTES] = header.first_chunk()?;
    // An IPv4 header takes the last 20 of the 40 bytes; a GRH begins with version 6, as IPv6 does.
    if header[0] >> 4 == 6 {
        let gid: [u8; 16] = *header[8..].first_chunk()?;
        return Some(canonical(gid));
    }
    if header[20] >> 4 == 4 {
        let address: [u8; 4] = *header[32..].first_chunk()?;
        return Some(Ipv4Addr::from(address).into());
    }
    None
}

/// A GID as an address; those that stand for IPv4 addresses as these.
pub(crate) fn canonical(gid: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(gid).to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_read_from_either_header() {
        let mut v6 = [0u8; 44];
        v6[0] = 0x60;
        v6[8..24].copy_from_slice(&Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 3).octets());
        assert_eq!(source(&v6), Some("fd77::3".parse().expect("an address")));
        let mut v4 = [0u8; 44];
        v4[20] = 0x45;
        v4[32..36].copy_from_slice(&[10, 77, 0, 2]);
        assert_eq!(source(&v4), Some("10.77.0.2".parse().expect("an address")));
        assert_eq!(source(&[0; 44]), None);
        assert_eq!(source(&v4[..39]), None);
        assert_eq!(
            canonical(Ipv4Addr::new(10, 77, 0, 2).to_ipv6_mapped().octets()),
            source(&v4).expect("read")
        );
    }
}
