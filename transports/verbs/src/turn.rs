//! What a turn finds: completions, events of the connection manager and of the device.

use ::transport::{Burst, Event, Queue as Side};
use rdma_sys::{ibv_async_event, ibv_event_type, ibv_wc, ibv_wc_flags, ibv_wc_status};

use crate::device::Device;
use crate::objects::{COMPLETIONS, empty_completion};
use crate::receive::{HEADER_BYTES, Lane, Queue, source};
use crate::transport::VerbsTransport;

/// Events read at a time; more wait for the next look.
const EVENTS_MAX: usize = 256;

/// How often descriptors are looked at while the engine does not sleep: a system call, and nothing on the
/// path of a message waits for it.
const LOOK_NS: u64 = 1_000_000;

/// How often a lost device is looked for.
const OPEN_NS: u64 = 100_000_000;

/// The completion queues.
#[derive(Clone, Copy)]
enum Which {
    Sends,
    Tokens,
    Data,
}

impl VerbsTransport {
    /// Takes every completion there is.
    pub(crate) fn collect(&mut self) {
        for which in [Which::Tokens, Which::Data, Which::Sends] {
            let mut batch = [empty_completion(); COMPLETIONS];
            loop {
                let Some(device) = &self.device else { return };
                let queue = match which {
                    Which::Sends => &device.sends,
                    Which::Tokens => &device.token_completions,
                    Which::Data => &device.data_completions,
                };
                let got = queue.poll(&mut batch);
                for completion in &batch[..got] {
                    match which {
                        Which::Sends => self.sent(completion),
                        Which::Tokens | Which::Data => self.received(completion),
                    }
                }
                if got < COMPLETIONS {
                    break;
                }
            }
        }
    }

    fn sent(&mut self, completion: &ibv_wc) {
        self.counters.send_completions += 1;
        let (number, sequence) = ((completion.wr_id >> 32) as u32, completion.wr_id as u32);
        let failed = completion.status != ibv_wc_status::IBV_WC_SUCCESS;
        self.counters.sends_failed += u64::from(failed);
        if number == 0 {
            let datagrams = self.device.as_mut().and_then(|device| device.datagrams.as_mut());
            if let Some(datagrams) = datagrams {
                datagrams.completed(sequence, &mut self.held);
            }
            self.datagrams_failed |= failed;
            return;
        }
        let route = (number & 0xffff).wrapping_sub(1) as usize;
        let (at, lane) = (route / 2, route % 2);
        let Some(peer) = self.peers.get_mut(at) else { return };
        let Some(queue) = &mut peer.connections[lane].queue else { return };
        // Else it is of a queue pair that was there before.
        if queue.number() == number {
            queue.completed(sequence, &mut self.held);
            if failed {
                self.lose(at as u16, lane, self.clock.now_ns());
            }
        }
    }

    fn received(&mut self, completion: &ibv_wc) {
        self.counters.receive_completions += 1;
        let len = completion.byte_len as usize;
        if completion.status != ibv_wc_status::IBV_WC_SUCCESS {
            drop(self.receives.take(completion.wr_id, 0));
            if completion.status != ibv_wc_status::IBV_WC_WR_FLUSH_ERR {
                self.counters.receives_failed += 1;
                self.lose_by_number(completion.qp_num);
            }
            return;
        }
        let Some((lane, mut bytes)) = self.receives.take(completion.wr_id, len) else { return };
        let segment_bytes = match lane {
            Lane::Datagrams => {
                if self.is_own(completion, &bytes) {
                    self.counters.loopbacks += 1;
                    return;
                }
                bytes.advance(HEADER_BYTES.min(bytes.len()));
                bytes.len()
            }
            Lane::Tokens => bytes.len(),
            Lane::Bursts => {
                // SAFETY: both members of the union are plain numbers of the same size.
                let beside = unsafe { completion.imm_data_invalidated_rkey_union.imm_data };
                let has = completion.wc_flags & ibv_wc_flags::IBV_WC_WITH_IMM.0 != 0;
                if has { u32::from_be(beside) as usize } else { 0 }
            }
        };
        if bytes.is_empty() || segment_bytes == 0 {
            self.counters.malformed += 1;
            return;
        }
        self.counters.bursts_received += 1;
        self.counters.datagrams_received += bytes.len().div_ceil(segment_bytes) as u64;
        self.counters.bytes_received += bytes.len() as u64;
        self.counters.tokens_received += u64::from(lane == Lane::Tokens);
        let side = if lane == Lane::Tokens { Side::Token } else { Side::Data };
        self.staged.received(side, Burst { bytes, segment_bytes });
    }

    /// Whether this datagram is our own multicast, which some cards hand back.
    fn is_own(&self, completion: &ibv_wc, bytes: &[u8]) -> bool {
        let Some(device) = &self.device else { return false };
        let number = device.datagrams.as_ref().map(|queue| queue.pair().number());
        number == Some(completion.src_qp)
            && completion.wc_flags & ibv_wc_flags::IBV_WC_GRH.0 != 0
            && device.own_source.is_some()
            && source(bytes) == device.own_source
    }

    /// The connection with this queue pair has failed on our side.
    #[cold]
    fn lose_by_number(&mut self, number: u32) {
        let found = self.peers.iter().enumerate().find_map(|(at, peer)| {
            let is_it = |connection: &crate::peer::Connection| {
                connection.queue.as_ref().is_some_and(|queue| queue.pair().number() == number)
            };
            Some((at as u16, peer.connections.iter().position(is_it)?))
        });
        if let Some((at, lane)) = found {
            self.lose(at, lane, self.clock.now_ns());
        }
    }

    /// Fills the receive queues.
    pub(crate) fn refill(&mut self) {
        let Some(device) = &self.device else { return };
        let key = device.registration.key();
        let (receives, counters) = (&mut self.receives, &mut self.counters);
        if let Some(datagrams) = &device.datagrams
            && !self.datagrams_failed
        {
            receives.fill(Lane::Datagrams, &Queue::Pair(datagrams.pair()), key, counters);
        }
        if let Some(shared) = &device.burst_receives {
            receives.fill(Lane::Bursts, &Queue::Shared(shared), key, counters);
        }
        if let Some(shared) = &device.token_receives {
            receives.fill(Lane::Tokens, &Queue::Shared(shared), key, counters);
        }
    }

    /// Looks at everything that is not a message, if it is time to.
    pub(crate) fn look(&mut self, now_ns: u64) {
        if now_ns < self.next_look_ns {
            return;
        }
        self.next_look_ns = now_ns + LOOK_NS;
        if self.waits.look(&mut self.staged) {
            self.events(now_ns);
        }
        if self.lost {
            self.lose_device(now_ns);
        }
        if self.device.is_none() && now_ns >= self.next_open_ns {
            self.next_open_ns = now_ns + OPEN_NS;
            self.open_again();
        }
        self.revive_datagrams(now_ns);
        self.tend(now_ns);
    }

    /// Reads the connection manager's and the device's events.
    fn events(&mut self, now_ns: u64) {
        for _ in 0..EVENTS_MAX {
            let Some(device) = &self.device else { return };
            let Some(event) = device.channel.next() else { break };
            self.connection_event(event, now_ns);
        }
        for _ in 0..EVENTS_MAX {
            let Some(kind) = self.device.as_ref().and_then(device_event) else { return };
            match kind {
                ibv_event_type::IBV_EVENT_DEVICE_FATAL => self.lost = true,
                ibv_event_type::IBV_EVENT_PORT_ERR => {
                    self.counters.port_errors += 1;
                    self.port_lost();
                    // Connections may take a while to break: other links can be tried meanwhile.
                    let me = self.config.me;
                    (0..self.peers.len() as u16)
                        .filter(|at| *at != me)
                        .for_each(|at| self.stage_unreachable(at));
                }
                ibv_event_type::IBV_EVENT_PORT_ACTIVE => {
                    self.port_found(now_ns);
                    self.rejoin(now_ns);
                }
                // The group's routers, or our own address, may have changed meanwhile.
                ibv_event_type::IBV_EVENT_CLIENT_REREGISTER
                | ibv_event_type::IBV_EVENT_GID_CHANGE
                | ibv_event_type::IBV_EVENT_LID_CHANGE
                | ibv_event_type::IBV_EVENT_SM_CHANGE => self.rejoin(now_ns),
                _ => {}
            }
        }
    }

    /// The next staged event, the preferred queue first.
    pub(crate) fn next_event(&mut self, prefer: Side) -> Option<Event> {
        let Self { staged, waits, .. } = self;
        staged.next(prefer, |number| waits.take_ready(number))
    }
}

/// The device's next event, acknowledged.
fn device_event(device: &Device) -> Option<ibv_event_type> {
    // SAFETY: an event of zeros is valid and overwritten; the context is open; what was read is
    // acknowledged once, and what it points to is not followed.
    unsafe {
        let mut event: ibv_async_event = std::mem::zeroed();
        if rdma_sys::ibv_get_async_event(device.context(), &raw mut event) != 0 {
            return None;
        }
        let kind = event.event_type;
        rdma_sys::ibv_ack_async_event(&raw mut event);
        Some(kind)
    }
}
