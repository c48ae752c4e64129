//! Links that could not be opened at the start: looked for now and then, opened when their address is there.

use transport::links::Links;
use transport::lossy::Lossy;
use transport::{Caps, Transport};

use super::Hot;
use super::driver::Driver;
use crate::channel::ToControl;
use crate::clock::monotonic_ns;

/// How often it is looked for addresses: a socket is made and closed for each, which takes some microseconds.
const LOOK_NS: u64 = 1_000_000_000;

/// Longest time until the next look after the address was there and the link could not be opened all the same, which
/// takes longer to find out; doubled from [`LOOK_NS`].
const LOOK_NS_MAX: u64 = 64_000_000_000;

/// When to look for links that are not there.
pub(super) struct Awaited {
    /// Never again when no link is missing.
    due_ns: u64,
    wait_ns: u64,
    /// What the links together could do at the start; frames are made for that.
    caps: Caps,
}

impl Awaited {
    pub(super) fn new(links: &Links<Lossy<Driver>>, now_ns: u64) -> Self {
        let is_missing = links.iter().any(is_awaited);
        let due_ns = if is_missing { now_ns + LOOK_NS } else { u64::MAX };
        Self { due_ns, wait_ns: LOOK_NS, caps: links.caps() }
    }

    #[inline]
    pub(super) fn is_due(&self, now_ns: u64) -> bool {
        now_ns >= self.due_ns
    }
}

fn is_awaited(link: &Lossy<Driver>) -> bool {
    matches!(link.inner(), Driver::Awaited(_))
}

impl Hot {
    /// Opens the links whose addresses are there by now.
    pub(super) fn look_for_links(&mut self, now_ns: u64) {
        let mut wait_ns = LOOK_NS;
        for link in 0..self.running.link_count() {
            if !self.transport.iter().nth(link).is_some_and(is_awaited) {
                continue;
            }
            let start_ns = monotonic_ns();
            let Some(outcome) = self.open_awaited(link) else { continue };
            let took_us = (monotonic_ns() - start_ns) / 1000;
            if outcome.is_err() {
                wait_ns = (self.awaited.wait_ns * 2).min(LOOK_NS_MAX);
            }
            let outcome = outcome.map(|warnings| (took_us, warnings));
            self.channel.tell_control(ToControl::Came { link, outcome });
        }
        self.awaited.wait_ns = wait_ns;
        let is_missing = self.transport.iter().any(is_awaited);
        self.awaited.due_ns = if is_missing { now_ns + wait_ns } else { u64::MAX };
    }

    /// Opens a link if its address is there. `None` if not; what the host gives less of, or why it is not opened.
    fn open_awaited(&mut self, link: usize) -> Option<Result<Vec<String>, String>> {
        // Drivers know nodes by their positions, and those of the nodes that went stay empty.
        let config = schema::Config { nodes: self.roster.clone(), ..self.running.clone() };
        let udp = match Driver::come(&config, link, &self.pool)? {
            Ok(udp) => udp,
            Err(error) => return Some(Err(error.to_string())),
        };
        let (have, need) = (udp.caps(), self.awaited.caps);
        if have.datagram_bytes < need.datagram_bytes || have.token_bytes < need.token_bytes {
            let (have, need) = (have.datagram_bytes, need.datagram_bytes);
            return Some(Err(format!(
                "it carries datagrams of {have} bytes, and this engine makes them up to {need}: it is used after the \
                 next start, or with a larger MTU of its interface"
            )));
        }
        let warnings = udp.warnings().iter().map(ToString::to_string).collect();
        let mut driver = Driver::Udp(Box::new(udp));
        for position in
            (0..self.roster.len() as u16).filter(|at| self.positions.node(*at).is_none())
        {
            driver.remove_node(position);
        }
        let lossy = self.transport.iter_mut().nth(link)?;
        let absent = std::mem::replace(lossy.inner_mut(), driver);
        if let Err(error) = self.transport.attach(link) {
            *self.transport.iter_mut().nth(link)?.inner_mut() = absent;
            return Some(Err(error.to_string()));
        }
        Some(Ok(warnings))
    }
}
