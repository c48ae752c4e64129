//! How many bytes a visit may number: windows, credit, fairness.

use wire::token::Token;

use crate::Tuning;

/// A rotation that takes longer than this share of the timeout is too long: windows shrink.
const ROTATION_SHARE: u64 = 8;

/// Who keeps the token may have this many times the personal window on the way: all of half the global one unless
/// frames were lost lately.
const KEPT_PERSONAL: u64 = 8;

/// Where frames are lost that window is so many times as wide: part of it waits for what is sent again, which takes two
/// round trips, and the rest must last as long.
const LOSSY: u64 = 2;

/// A rotation in which a member missed no more than this share of the frames lost them by chance: a smaller window
/// would lose as many of fewer. Who is overrun loses whole bursts of several senders.
const CHANCE_SHARE: u64 = 8;
/// A few frames say nothing, whatever share they are.
const CHANCE_FRAMES: u64 = 16;
/// As the share of a rotation, for the window of who keeps the token, which is a few bursts: one of them may be lost
/// by chance.
const CHANCE_SHARE_KEPT: u64 = 4;
/// By so much the window of who keeps the token grows again for each answer of all, in bytes of the personal one.
const REGAIN_BYTES: u64 = 1 << 10;

/// This node's adaptive window (additive increase, multiplicative decrease).
pub(crate) struct Flow {
    personal: u64,
    min: u64,
    max: u64,
    global: u64,
    least_charge: u64,
}

impl Flow {
    pub(crate) fn new(tuning: &Tuning, frame_bytes: usize) -> Self {
        let least_charge = frame_bytes as u64 / 2;
        // Less than one frame would never let anything be sent.
        let min = tuning.personal_window_bytes_min.max(frame_bytes as u64);
        let max = tuning.personal_window_bytes_max.max(min);
        let global = tuning.global_window_bytes.max(max);
        Self { personal: (64 << 10).clamp(min, max), min, max, global, least_charge }
    }

    /// Bytes this node may number in one visit at the moment.
    pub(crate) fn personal_bytes(&self) -> u64 {
        self.personal
    }

    /// Bytes that may always be numbered in a visit during Recovery: four frames.
    pub(crate) fn recovery_bytes(&self) -> u64 {
        8 * self.least_charge
    }

    /// What a frame costs at least, bytes: slots are made for full ones.
    pub(crate) fn least_charge(&self) -> u64 {
        self.least_charge
    }

    /// Bytes that all may number in one rotation.
    pub(crate) fn global_bytes(&self) -> u64 {
        self.global
    }

    /// Bytes that may be numbered now: the personal window, an equal share of the global one among
    /// those who have something to send, and what neither the global window nor the least free
    /// member forbids.
    pub(crate) fn allowed(&self, token: &Token, free_bytes: u64) -> u64 {
        let facts = &token.in_force;
        let share = (self.global / u64::from(facts.senders.max(1))).max(2 * self.least_charge);
        let credit = facts.credit.min(token.collecting.credit).min(free_bytes);
        self.personal.min(share).min(self.room(token, credit))
    }

    /// Bytes that may be numbered now by whoever keeps the token, of whose frames `unstable_bytes` are not
    /// known to be everywhere: nobody else wants a share, and members said with their answers how much they can
    /// take in (`credit`). `lossy`: they miss some of it now and then.
    pub(crate) fn allowed_kept(
        &self,
        token: &Token,
        unstable_bytes: u64,
        credit: Option<u64>,
        free_bytes: u64,
        lossy: bool,
    ) -> u64 {
        let told = token.in_force.credit.min(token.collecting.credit);
        let credit = credit.unwrap_or(told).min(free_bytes);
        let window = self.kept_bytes_where(lossy).saturating_sub(unstable_bytes);
        window.min(self.room(token, credit))
    }

    /// Most bytes that are not known to be everywhere while the token is kept.
    pub(crate) fn kept_bytes(&self) -> u64 {
        (self.global / 2).min(KEPT_PERSONAL * self.personal)
    }

    /// The same where frames are lost or not.
    pub(crate) fn kept_bytes_where(&self, lossy: bool) -> u64 {
        if lossy { (LOSSY * self.kept_bytes()).min(self.global) } else { self.kept_bytes() }
    }

    /// Whether a member that misses `missing` frames, of `numbered` in a rotation, was overrun.
    pub(crate) fn is_heavy(missing: u64, numbered: u64) -> bool {
        missing > (numbered / CHANCE_SHARE).max(CHANCE_FRAMES)
    }

    /// Whether a member that misses so many frames of who keeps the token was overrun.
    pub(crate) fn is_overrun(&self, missing: u64) -> bool {
        missing.saturating_mul(2 * self.least_charge) > self.kept_bytes() / CHANCE_SHARE_KEPT
    }

    /// A member was overrun while the token was kept.
    pub(crate) fn shrink_kept(&mut self) {
        let used = self.kept_bytes() / KEPT_PERSONAL;
        self.personal = (used * 3 / 4).max(self.min);
    }

    /// All answered while the token was kept.
    pub(crate) fn regain_kept(&mut self) {
        if self.kept_bytes() < self.global / 2 {
            self.personal = (self.personal + REGAIN_BYTES).min(self.max);
        }
    }

    fn room(&self, token: &Token, credit: u64) -> u64 {
        self.global.min(credit).saturating_sub(token.in_flight)
    }

    /// Once per regular visit: shrink when the last rotation overran somebody or took too long, grow
    /// when the window was all used.
    pub(crate) fn adapt(&mut self, token: &Token, used: u64, rotation_ns: u64, timeout_ns: u64) {
        if token.in_force.losers > 0 {
            self.personal = (self.personal * 3 / 4).max(self.min);
        } else if rotation_ns > timeout_ns / ROTATION_SHARE {
            self.personal = (self.personal * 7 / 8).max(self.min);
        } else if used * 4 >= self.personal * 3 {
            self.personal = (self.personal + (8 << 10)).min(self.max);
        }
    }
}
