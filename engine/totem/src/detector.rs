//! Dead processes and our own pauses.

use alloc::vec::Vec;

use wire::probe::{Ping, PingAbout};
use wire::trace::{Code, Level};

use crate::ctx::Ctx;
use crate::timers::Timer;
use crate::{Dest, Lane};

/// Hints must come for this many pings before a process is taken for dead: anybody can forge one.
const PINGS: u8 = 2;
/// Suspects watched at a time.
const SUSPECTS_MAX: usize = 64;
/// A ping whose hint does not come back in this time proves nothing.
const PATIENCE_NS: u64 = 50_000_000;
/// Grace is given so often in a row: a node that is always late must still notice that others are
/// gone.
const GRACES_MAX: u32 = 3;
/// Lateness below this is the scheduler's, not a pause.
const PAUSE_MIN_NS: u64 = 5_000_000;

pub(crate) struct Suspect {
    pub(crate) pos: usize,
    pings: u8,
    at_ns: u64,
}

/// Who is suspected dead.
pub(crate) struct Detector {
    pub(crate) suspects: Vec<Suspect>,
    /// When grace was last given for a pause, and how often in a row.
    grace_ns: u64,
    graces: u32,
}

impl Detector {
    pub(crate) fn new() -> Self {
        Self { suspects: Vec::new(), grace_ns: 0, graces: 0 }
    }

    /// A hint that `pos` is gone; `true` when it is confirmed.
    pub(crate) fn on_hint(&mut self, now_ns: u64, pos: usize, ctx: &mut Ctx) -> bool {
        ctx.counters.unreachable_hints += 1;
        let index = match self.suspects.iter().position(|suspect| suspect.pos == pos) {
            Some(index) => index,
            None if self.suspects.len() == SUSPECTS_MAX => return false,
            None => {
                let args = [ctx.nodes[pos].0.into()];
                ctx.trace(Level::Info, Code::PeerUnreachable, &args);
                self.suspects.push(Suspect { pos, pings: 0, at_ns: now_ns });
                self.suspects.len() - 1
            }
        };
        let suspect = &mut self.suspects[index];
        if suspect.pings == PINGS {
            self.suspects.swap_remove(index);
            let args = [ctx.nodes[pos].0.into(), PINGS.into()];
            ctx.trace(Level::Warn, Code::PeerDead, &args);
            return true;
        }
        suspect.pings += 1;
        suspect.at_ns = now_ns;
        let ping = Ping { about: PingAbout::Life, answer: false, nonce: now_ns };
        let to = Dest::Node(ctx.nodes[pos]);
        ctx.send_control(to, Lane::Data, |out| ping.emit(out));
        ctx.timers.set_earlier(Timer::Ping, now_ns.saturating_add(PATIENCE_NS));
        false
    }

    /// A frame of `pos` arrived: it lives.
    #[inline]
    pub(crate) fn lives(&mut self, pos: usize) {
        if !self.suspects.is_empty() {
            self.suspects.retain(|suspect| suspect.pos != pos);
        }
    }

    /// Forgets suspicions that were not confirmed.
    pub(crate) fn fire(&mut self, now_ns: u64, ctx: &mut Ctx) {
        self.suspects.retain(|s| now_ns < s.at_ns.saturating_add(PATIENCE_NS));
        if let Some(oldest_ns) = self.suspects.iter().map(|s| s.at_ns).min() {
            ctx.timers.set(Timer::Ping, oldest_ns.saturating_add(PATIENCE_NS));
        }
    }

    /// When the machine was not called although a timer was long due, it was this node that slept:
    /// what piled up is to be read before anybody is blamed.
    pub(crate) fn own_pause(&mut self, now_ns: u64, ctx: &mut Ctx) -> Option<u64> {
        let (due_ns, _) = ctx.timers.next()?;
        let late_ns = now_ns.checked_sub(due_ns)?;
        let timeout_ns = ctx.timeout_ns();
        if late_ns < (timeout_ns / 4).max(PAUSE_MIN_NS) {
            return None;
        }
        ctx.counters.own_pauses += 1;
        ctx.counters.own_pause_ns += late_ns;
        if late_ns < timeout_ns {
            ctx.rotation.survived_pause(now_ns, late_ns);
        }
        let soon = now_ns < self.grace_ns.saturating_add(timeout_ns);
        self.graces = if soon { self.graces + 1 } else { 1 };
        self.grace_ns = now_ns;
        let grace_ns = now_ns.saturating_add(timeout_ns / 4);
        let blameless = self.graces <= GRACES_MAX;
        for timer in [Timer::TokenLoss, Timer::Consensus, Timer::Beacon, Timer::Leave] {
            if blameless && ctx.timers.is_set(timer) {
                ctx.timers.postpone(timer, grace_ns);
            }
        }
        ctx.trace(Level::Warn, Code::OwnPause, &[late_ns / 1000, timeout_ns / 1000]);
        // What is due now is due now: the lateness must not be counted again by the next call.
        ctx.timers.rebase(now_ns);
        Some(late_ns)
    }
}
