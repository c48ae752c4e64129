//! Sends: bursts held until the card is done with them, and the queue pairs' send queues.

use std::ptr;

use frame::FrameMut;
use rdma_sys::{
    ibv_ah, ibv_send_flags, ibv_send_wr, ibv_sge, ibv_wr_opcode, imm_data_invalidated_rkey_union_t,
    ud_t,
};

use crate::counters::Counters;
use crate::objects::QueuePair;

/// A burst and how many work requests name it.
#[derive(Default)]
struct Burst {
    bytes: Option<FrameMut>,
    uses: u32,
}

/// Bursts under way, each possibly in several queues. Room for all is made at the start.
pub(crate) struct Held {
    bursts: Box<[Burst]>,
    free: Vec<u32>,
}

impl Held {
    pub(crate) fn new(count: u32) -> Self {
        Self {
            bursts: (0..count).map(|_| Burst::default()).collect(),
            free: (0..count).rev().collect(),
        }
    }

    /// Takes a burst, used once: by the caller, until [`Held::release`].
    pub(crate) fn take(&mut self, bytes: FrameMut) -> Option<u32> {
        let number = self.free.pop()?;
        self.bursts[number as usize] = Burst { bytes: Some(bytes), uses: 1 };
        Some(number)
    }

    fn retain(&mut self, number: u32) {
        self.bursts[number as usize].uses += 1;
    }

    /// One use fewer; the last one frees the slot.
    pub(crate) fn release(&mut self, number: u32) {
        let burst = &mut self.bursts[number as usize];
        burst.uses -= 1;
        if burst.uses == 0 {
            burst.bytes = None;
            self.free.push(number);
        }
    }

    /// Address of a held burst's first byte.
    fn address(&self, number: u32) -> u64 {
        let bytes = self.bursts[number as usize].bytes.as_ref();
        bytes.map_or(0, |bytes| bytes.as_ptr() as u64)
    }
}

/// Where a datagram of a datagram queue pair goes.
#[derive(Clone, Copy)]
pub(crate) struct To {
    pub(crate) handle: *mut ibv_ah,
    pub(crate) number: u32,
    pub(crate) key: u32,
}

/// Part of a held burst.
#[derive(Clone, Copy)]
pub(crate) struct Part {
    pub(crate) held: u32,
    pub(crate) from: usize,
    pub(crate) len: usize,
}

/// One queue pair's send queue.
///
/// Invariant: entries from `done` to `posted` are with the card, which may read the bursts they name (but
/// for those it has copied); entries from `posted` to `staged` wait for [`SendQueue::post`]. Each holds one use of
/// its burst, given up when a completion says that the card is past it, or when the queue pair is gone.
pub(crate) struct SendQueue {
    pair: Option<QueuePair>,
    /// Tells this queue's completions from those of others, and of earlier ones in its place.
    number: u32,
    inline_bytes: usize,
    region_key: u32,
    requests: Box<[ibv_send_wr]>,
    pieces: Box<[ibv_sge]>,
    held: Box<[Option<u32>]>,
    done: u64,
    posted: u64,
    staged: u64,
    /// Posted since the last request that asks for a completion.
    silent: u64,
}

impl SendQueue {
    /// A queue over a pair that was made for `entries` sends; `number` comes back in completions.
    pub(crate) fn new(
        pair: QueuePair,
        number: u32,
        entries: u32,
        inline_bytes: usize,
        region_key: u32,
    ) -> Self {
        // SAFETY: a request of zeros is one with no data; every field is filled before it is posted.
        let request = || unsafe { std::mem::zeroed::<ibv_send_wr>() };
        let piece = || ibv_sge { addr: 0, length: 0, lkey: 0 };
        Self {
            pair: Some(pair),
            number,
            inline_bytes,
            region_key,
            requests: (0..entries).map(|_| request()).collect(),
            pieces: (0..entries).map(|_| piece()).collect(),
            held: vec![None; entries as usize].into(),
            done: 0,
            posted: 0,
            staged: 0,
            silent: 0,
        }
    }

    pub(crate) fn pair(&self) -> &QueuePair {
        self.pair.as_ref().expect("a queue in use has its pair")
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Requests that may still be staged.
    pub(crate) fn room(&self) -> usize {
        self.requests.len() - (self.staged - self.done) as usize
    }

    /// Requests waiting to be posted.
    pub(crate) fn waiting(&self) -> usize {
        (self.staged - self.posted) as usize
    }

    fn index(&self, at: u64) -> usize {
        (at % self.requests.len() as u64) as usize
    }

    /// Stages a message with a number beside it (connections), or a datagram (`to`).
    pub(crate) fn stage(
        &mut self,
        held: &mut Held,
        part: Part,
        beside: Option<u32>,
        to: Option<To>,
    ) -> bool {
        if self.room() == 0 {
            return false;
        }
        let at = self.index(self.staged);
        self.pieces[at] = ibv_sge {
            addr: held.address(part.held) + part.from as u64,
            // A burst fits a slot, and a slot 32 bits.
            length: part.len as u32,
            lkey: self.region_key,
        };
        let inline = part.len <= self.inline_bytes;
        let request = &mut self.requests[at];
        request.wr_id = u64::from(self.number) << 32 | (self.staged & u64::from(u32::MAX));
        request.num_sge = 1;
        request.send_flags = if inline { ibv_send_flags::IBV_SEND_INLINE.0 } else { 0 };
        request.opcode = match beside {
            Some(_) => ibv_wr_opcode::IBV_WR_SEND_WITH_IMM,
            None => ibv_wr_opcode::IBV_WR_SEND,
        };
        request.imm_data_invalidated_rkey_union =
            imm_data_invalidated_rkey_union_t { imm_data: beside.unwrap_or(0).to_be() };
        if let Some(to) = to {
            request.wr.ud = ud_t { ah: to.handle, remote_qpn: to.number, remote_qkey: to.key };
        }
        held.retain(part.held);
        self.held[at] = Some(part.held);
        self.staged += 1;
        true
    }

    /// Posts what is staged with one ring of the doorbell. Only the last asks for a completion, and it only
    /// if a burst must be given back or the queue would fill up with silent ones.
    pub(crate) fn post(&mut self, held: &mut Held, counters: &mut Counters) {
        if self.waiting() == 0 {
            return;
        }
        let (first, last) = (self.posted, self.staged - 1);
        let mut holds = false;
        for at in first..=last {
            let (this, next) = (self.index(at), self.index(at + 1));
            let next: *mut ibv_send_wr = &raw mut self.requests[next];
            let piece: *mut ibv_sge = &raw mut self.pieces[this];
            let request = &mut self.requests[this];
            request.next = if at == last { ptr::null_mut() } else { next };
            request.sg_list = piece;
            holds |= request.send_flags & ibv_send_flags::IBV_SEND_INLINE.0 == 0;
        }
        self.silent += last - first + 1;
        if holds || self.silent >= self.requests.len() as u64 / 4 {
            let at = self.index(last);
            self.requests[at].send_flags |= ibv_send_flags::IBV_SEND_SIGNALED.0;
            self.silent = 0;
        }
        let head: *mut ibv_send_wr = &raw mut self.requests[self.index(first)];
        let mut refused: *mut ibv_send_wr = ptr::null_mut();
        // SAFETY: the pair is alive; the list was linked above, ends with null and its requests and pieces
        // stay in place during the call; the bytes named are in the registered region and their slots are
        // held until completion (the type's invariant).
        let result = unsafe { rdma_sys::ibv_post_send(self.pair().raw(), head, &raw mut refused) };
        counters.send_doorbells += 1;
        let mut taken = last + 1;
        if result != 0 {
            // The first refused one and all after it were not taken.
            let is_refused = |at: &u64| ptr::eq(&raw const self.requests[self.index(*at)], refused);
            taken = (first..=last).find(is_refused).unwrap_or(first);
            counters.sends_failed += last + 1 - taken;
        }
        for at in first..=last {
            let index = self.index(at);
            let inline = self.requests[index].send_flags & ibv_send_flags::IBV_SEND_INLINE.0 != 0;
            if at < taken {
                counters.send_requests += 1;
                counters.send_copies_inline += u64::from(inline);
            }
            // What was copied or never taken is not needed any more.
            if (inline || at >= taken)
                && let Some(number) = self.held[index].take()
            {
                held.release(number);
            }
        }
        self.posted = taken;
        self.staged = taken;
    }

    /// A completion: the card is done with this request and all before it.
    pub(crate) fn completed(&mut self, sequence: u32, held: &mut Held) {
        let distance = u64::from(sequence.wrapping_sub(self.done as u32));
        let until = self.done + distance + 1;
        if until > self.posted {
            // Not one of ours: never counted as done.
            return;
        }
        while self.done < until {
            let at = self.index(self.done);
            if let Some(number) = self.held[at].take() {
                held.release(number);
            }
            self.done += 1;
        }
    }

    /// After the queue pair was reset: nothing is under way any more.
    pub(crate) fn reset(&mut self, held: &mut Held) {
        for number in self.held.iter_mut().filter_map(Option::take) {
            held.release(number);
        }
        (self.done, self.posted, self.silent) = (self.staged, self.staged, 0);
    }

    /// Destroys the queue pair; then nobody reads what it held, and that is given back.
    pub(crate) fn close(mut self, held: &mut Held) {
        drop(self.pair.take());
        for number in self.held.iter_mut().filter_map(Option::take) {
            held.release(number);
        }
    }
}
