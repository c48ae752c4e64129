//! What completions mean: receptions are staged, sends ended or repeated, errors explained.

use std::mem::MaybeUninit;
use std::os::fd::RawFd;

use ::transport::{Burst, Event, Queue};
use io_uring::{cqueue, opcode, types};

use crate::receive::parse;
use crate::sends::Along;
use crate::sockopt;
use crate::transport::{FILE_DATA, FILE_GROUP, FILE_TOKEN, Kind, UdpTransport, user_data};
use crate::watches::Outcome;

/// Completions copied out of the shared queue at a time.
const BATCH: usize = 32;

/// Entries read from a socket's error queue at a time; more wait there for the next error.
const ERRORS_MAX: usize = 64;

/// Tries, of ten milliseconds each, to see every operation end when the transport is dropped.
const QUIESCE_TRIES: usize = 100;

impl UdpTransport {
    /// Takes every completion there is.
    pub(crate) fn collect(&mut self) {
        loop {
            let mut batch = [const { MaybeUninit::<cqueue::Entry>::uninit() }; BATCH];
            let got = self.ring.completion().fill(&mut batch);
            for entry in &*got {
                self.complete(entry);
            }
            if got.len() < BATCH {
                return;
            }
        }
    }

    fn complete(&mut self, entry: &cqueue::Entry) {
        let (data, result, flags) = (entry.user_data(), entry.result(), entry.flags());
        let number = (data & u64::from(u32::MAX)) as u32;
        match data >> 56 {
            k if k == Kind::Receive as u64 => self.received(number, result, flags),
            k if k == Kind::Send as u64 => self.sent(number, result),
            k if k == Kind::Watch as u64 => {
                let (outcome, tell) = self.watches.completed(number, result, !cqueue::more(flags));
                if tell {
                    self.staged.ready(number);
                }
                if let Outcome::Rearm(fd) = outcome {
                    self.arm_watch(number, fd);
                }
            }
            k if k == Kind::Tether as u64 && result != -libc::ECANCELED => {
                if let Some(tethers) = &mut self.tethers {
                    tethers.look();
                    self.watch_tethers();
                    self.report_tethers();
                }
            }
            _ => {}
        }
    }

    /// Arms the poll of all tethers.
    pub(crate) fn watch_tethers(&mut self) {
        if let Some(tethers) = &self.tethers {
            let fd = types::Fd(tethers.descriptor());
            let entry = opcode::PollAdd::new(fd, libc::POLLIN as u32)
                .build()
                .user_data(user_data(Kind::Tether, 0));
            self.push(&entry);
        }
    }

    /// Stages what the tethers have to report.
    #[cold]
    pub(crate) fn report_tethers(&mut self) {
        while let Some(peer) = self.tethers.as_mut().and_then(|tethers| tethers.gone.pop()) {
            self.counters.tethers_lost += 1;
            self.stage_unreachable(peer);
        }
    }

    /// The next staged event, the preferred queue first.
    pub(crate) fn next_event(&mut self, prefer: Queue) -> Option<Event> {
        let Self { staged, watches, .. } = self;
        staged.next(prefer, |number| watches.take_ready(number))
    }

    /// A receive's completion.
    fn received(&mut self, file: u32, result: i32, flags: u32) {
        if file > FILE_GROUP {
            return;
        }
        if !cqueue::more(flags) {
            self.armed[file as usize] = false;
        }
        if let Some(id) = cqueue::buffer_select(flags) {
            let token = file == FILE_TOKEN;
            let ring = if token { &mut self.shared.token } else { &mut self.shared.data };
            let len = usize::try_from(result).unwrap_or(0);
            if let Some(received) = ring.take(id, len).and_then(parse) {
                self.stage(token, received);
            }
        }
        match -result {
            ..=0 | libc::ECANCELED | libc::EINTR | libc::EAGAIN => {}
            libc::ENOBUFS => {
                self.counters.buffers_exhausted += 1;
                if file != FILE_TOKEN {
                    self.lending.ran_out();
                }
            }
            libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EMSGSIZE => {
                self.read_errors(file);
            }
            _ => {
                // Whatever else ICMP can say (EPROTO, EHOSTDOWN) also waits in the error queue.
                if self.read_errors(file) == 0 {
                    self.counters.receives_failed += 1;
                }
            }
        }
    }

    fn stage(&mut self, token: bool, received: crate::receive::Received) {
        self.counters.truncated += u64::from(received.truncated);
        let len = received.bytes.len();
        if len == 0 {
            return;
        }
        self.counters.bursts_received += 1;
        self.counters.datagrams_received += len.div_ceil(received.segment_bytes) as u64;
        self.counters.bytes_received += len as u64;
        self.counters.tokens_received += u64::from(token);
        let burst = Burst { bytes: received.bytes, segment_bytes: received.segment_bytes };
        if token {
            self.staged.received(Queue::Token, burst);
        } else {
            self.lending.received();
            self.staged.received(Queue::Data, burst);
        }
    }

    /// A send's completion.
    fn sent(&mut self, number: u32, result: i32) {
        if result >= 0 {
            if let Some((done, _)) = self.shared.sends.finish(number, false) {
                self.counters.bursts_sent += 1;
                self.counters.datagrams_sent +=
                    done.range.len().div_ceil(done.segment_bytes.max(1)) as u64;
                self.counters.bytes_sent += done.range.len() as u64;
            }
            return;
        }
        self.send_failed(number, -result);
    }

    #[cold]
    fn send_failed(&mut self, number: u32, errno: i32) {
        let Some(route) = self.shared.sends.route(number) else { return };
        let explained = self.read_errors(route.file);
        match errno {
            // An ICMP error of an earlier datagram, possibly to another peer, used up this call.
            libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EPROTO
                if explained > 0 || errno == libc::ECONNREFUSED =>
            {
                let repeat = self.shared.sends.repeat(number, |n| user_data(Kind::Send, n));
                if repeat.is_some_and(|entry| self.push(&entry)) {
                    self.counters.sends_repeated += 1;
                    return;
                }
            }
            // Our own host has no way there.
            libc::EHOSTUNREACH | libc::ENETUNREACH | libc::ENETDOWN => {
                if let Some(peer) = route.peer {
                    self.stage_unreachable(peer);
                }
            }
            _ => {}
        }
        let keep = matches!(errno, libc::EINVAL | libc::EIO | libc::EOPNOTSUPP | libc::EMSGSIZE);
        let Some((done, held)) = self.shared.sends.finish(number, keep) else { return };
        let Some(held) = held else {
            self.counters.sends_failed += 1;
            return;
        };
        let again = if errno == libc::EMSGSIZE {
            self.counters.sends_over_mtu += 1;
            // Only if this was not sent before the limit fell.
            if done.segment_bytes <= self.caps.datagram_bytes {
                let mtu = self.sockets.path_mtu(&self.config);
                self.lower_mtu(mtu);
            }
            // Now one by one, and the kernel may fragment them.
            done.segment_bytes > self.caps.datagram_bytes && done.repeats == 0
        } else {
            // The path does not segment: from now on one datagram per call.
            self.gso &= !done.segmented;
            self.counters.bursts_split += u64::from(done.segmented);
            done.segmented
        };
        let along = Along { route, segment_bytes: done.segment_bytes, repeats: done.repeats + 1 };
        if !(again && self.send_along(held, done.range, along)) {
            self.counters.sends_failed += 1;
        }
        self.shared.sends.let_go(held);
    }

    /// Empties (up to a bound) the error queue of a socket; returns how many errors there were.
    #[cold]
    fn read_errors(&mut self, file: u32) -> usize {
        for count in 0..ERRORS_MAX {
            let error = match file {
                FILE_TOKEN => sockopt::next_error(&self.sockets.token),
                FILE_DATA => sockopt::next_error(&self.sockets.data),
                _ => None,
            };
            let Some(error) = error else { return count };
            if error.errno == libc::EMSGSIZE && error.mtu > 0 {
                self.lower_mtu(error.mtu as usize);
            }
            let gone =
                matches!(error.errno, libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::ENETUNREACH);
            if gone && error.icmp {
                let whose = |p: &crate::Peer| {
                    let to = if file == FILE_TOKEN { p.token } else { p.data };
                    error.destination.is_some_and(|d| d.ip() == to.ip() && d.port() == to.port())
                };
                if let Some(peer) = self.config.peers.iter().position(whose) {
                    self.stage_unreachable(peer as u16);
                }
            }
        }
        ERRORS_MAX
    }

    fn stage_unreachable(&mut self, peer: u16) {
        if !self.is_there(peer.into()) {
            return;
        }
        self.counters.unreachable += 1;
        self.staged.unreachable(peer);
    }

    /// Starts polling a watched descriptor.
    pub(crate) fn arm_watch(&mut self, number: u32, fd: RawFd) {
        let entry = opcode::PollAdd::new(types::Fd(fd), libc::POLLIN as u32)
            .multi(true)
            .build()
            .user_data(user_data(Kind::Watch, number));
        self.push(&entry);
    }

    /// Ends every operation and takes the lent slots back; `false` if the kernel would not let go.
    pub(crate) fn quiesce(&mut self) -> bool {
        self.enter(None, false);
        let all = types::CancelBuilder::any();
        let second = types::Timespec::new().sec(1);
        // Refused when nothing is left to cancel; the loop below sees for itself.
        let _ = self.ring.submitter().register_sync_cancel(Some(second), all);
        for _ in 0..QUIESCE_TRIES {
            self.collect();
            let receiving =
                self.armed[..2].contains(&true) || (self.sockets.group.is_some() && self.armed[2]);
            if !receiving && self.shared.sends.in_flight() == 0 {
                let submitter = self.ring.submitter();
                let (data, token) = (self.shared.data.group(), self.shared.token.group());
                if submitter.unregister_buf_ring(data).is_err()
                    || submitter.unregister_buf_ring(token).is_err()
                {
                    return false;
                }
                // SAFETY: the rings are unregistered and every receive has ended.
                unsafe {
                    self.shared.data.reclaim();
                    self.shared.token.reclaim();
                }
                return true;
            }
            self.enter(Some(10_000_000), true);
        }
        false
    }
}
