//! What a node with several links does more than one with a single link.

use frame::FrameMut;
use link::Opened;
use link::paths::{Paths, Sort};
use totem::{Dest, Lane};
use wire::{CONTROL_BYTES_MAX, Kind, NodeId};

use crate::burst::slot;
use crate::{Config, Node, Output};

/// The machine that knows which links work, if there are several.
pub(crate) fn made(config: &Config<'_>, nodes: &[NodeId], now_ns: u64) -> Option<Paths> {
    let mut life = [0; 8];
    life.copy_from_slice(&config.boot.0[8..]);
    let life = u64::from_le_bytes(life);
    (config.links.count > 1).then(|| Paths::new(config.links, config.me, nodes, life, now_ns))
}

impl Node {
    /// The links that a frame of the ring goes on.
    #[inline]
    pub(crate) fn links_for(&mut self, now_ns: u64, to: Dest, frame: &[u8]) -> u8 {
        let Some(paths) = &mut self.paths else { return 1 };
        let sort = match Kind::of(frame) {
            Some(Kind::Data | Kind::Token) => Sort::Bulk,
            Some(Kind::Beacon | Kind::Answer) => Sort::Sign,
            _ => Sort::Rare,
        };
        let to = match to {
            Dest::All => None,
            Dest::Node(node) => Some(node),
        };
        paths.links_for(now_ns, to, sort)
    }

    /// Every link.
    pub(crate) fn all_links(&mut self) -> u8 {
        self.paths.as_mut().map_or(1, |paths| paths.links_for(0, None, Sort::Rare))
    }

    /// Notes that a link brought something; true if that was a hello.
    pub(crate) fn is_about_links(
        &mut self,
        now_ns: u64,
        (link, queue): (u8, Lane),
        opened: &Opened,
    ) -> bool {
        let Some(paths) = &mut self.paths else { return false };
        let token_queue = queue == Lane::Token;
        paths.heard(now_ns, opened.from, link, token_queue);
        if Kind::of(&opened.body) != Some(Kind::Hello) {
            paths.carried(now_ns, link);
            return false;
        }
        // What is wrong with one is counted there.
        let _ = paths.on_hello(now_ns, opened.from, link, token_queue, &opened.body);
        true
    }

    /// Sends the hellos that are due, each link and queue its own, and passes on what there is to remember.
    pub(crate) fn send_hellos(&mut self) {
        let Self { paths: Some(paths), packer, link, out, counters, pool, .. } = self else {
            return;
        };
        while paths.has_hello() {
            let Some(mut frame) = slot(pool, CONTROL_BYTES_MAX) else {
                counters.frames_unsent += 1;
                break;
            };
            let Some((len, number, token_queue)) = paths.poll_hello(&mut frame) else { break };
            frame.truncate(len);
            let lane = if token_queue { Lane::Token } else { Lane::Data };
            let to = (Dest::All, 1 << number);
            packer.push(to, lane, FrameMut::freeze(frame), link, out, counters);
        }
        while let Some(trace) = paths.poll_trace() {
            out.push_back(Output::Trace(trace));
        }
    }
}
