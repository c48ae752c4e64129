//! How a peer proves its boot, and how we prove ours.
//!
//! A frame of a boot that we do not know makes us ask: a handshake with a nonce never used before by
//! this boot goes to the peer's configured address. Whatever process lives there answers with that
//! nonce and our boot, sealed by its own boot's key. Only then is its boot accepted, in place of the one
//! before. What an attacker recorded of an earlier boot fails here: it cannot contain the nonce, and the
//! answer of the living process names the living boot.
//!
//! Both sides ask for themselves. A handshake that asks is a frame of a boot that may be unknown too, so
//! the answer to it usually asks back in the same datagram: `A: frame`, `B: ask`, `A: answer, ask`,
//! `B: answer`. B knows A one round trip after A's first frame, which B kept meanwhile; A knows B half a
//! round trip later.

use sha2::{Digest, Sha256};
use wire::BootId;
use wire::link::{Handshake, LinkHeader, LinkKind, Nonce};
use wire::trace::{Code, Level, Trace};

use crate::counters::DropReason;
use crate::link::{Link, Opened};
use crate::output::{HandshakeDatagram, Output};
use crate::peer::{Accepted, Question};
use crate::window::Window;

/// First bytes hashed for a nonce.
const NONCE_LABEL: &[u8] = b"synchrotron nonce v1\0";

/// Makes nonces that do not repeat within a boot and that nobody can guess who does not know the seed.
pub(crate) struct Nonces {
    seed: u64,
    boot: BootId,
    made: u64,
}

impl Nonces {
    pub(crate) fn new(seed: u64, boot: BootId) -> Self {
        Self { seed, boot, made: 0 }
    }

    fn next(&mut self) -> Nonce {
        self.made += 1;
        let hash = Sha256::new()
            .chain_update(NONCE_LABEL)
            .chain_update(self.seed.to_le_bytes())
            .chain_update(self.boot.0)
            .chain_update(self.made.to_le_bytes())
            .finalize();
        let mut nonce = [0; 16];
        nonce.copy_from_slice(&hash[..16]);
        Nonce(nonce)
    }
}

impl Link {
    /// Takes an authentic handshake; the boot that sent it may be unknown.
    pub(crate) fn handshake(
        &mut self,
        now_ns: u64,
        at: usize,
        header: &LinkHeader,
        body: &[u8],
    ) -> Result<Option<Opened>, DropReason> {
        let handshake = Handshake::parse(body).map_err(|_| DropReason::BadHandshake)?;
        let mut opened = None;
        let mut bad_answer = false;
        if let Some((nonce, asked_by)) = handshake.answer {
            if asked_by == self.boot && self.peers[at].answers(nonce, now_ns) {
                opened = self.accept(now_ns, at, header);
            } else {
                bad_answer = true;
            }
        }
        let peer = &mut self.peers[at];
        let known = peer.is_accepted(header.boot);
        let answer = match handshake.ask {
            Some(nonce) if known || peer.take_answer(now_ns) => Some((nonce, header.boot)),
            Some(_) => {
                self.counters.answers_withheld += 1;
                None
            }
            None => None,
        };
        let may_ask = peer.question.is_none_or(|question| question.may_repeat(now_ns));
        if !known && may_ask {
            self.ask(now_ns, at, header.epoch, answer);
        } else if answer.is_some() {
            self.send_handshake(at, header.epoch, Handshake { ask: None, answer });
        }
        if bad_answer { Err(DropReason::BadHandshake) } else { Ok(opened) }
    }

    /// The boot has proved itself. Returns its first frame, if that was kept.
    fn accept(&mut self, now_ns: u64, at: usize, header: &LinkHeader) -> Option<Opened> {
        let peer = &mut self.peers[at];
        peer.question = None;
        let held = peer.held.take().filter(|held| held.boot == header.boot);
        if !peer.is_accepted(header.boot) {
            let mut window = Window::new();
            window.insert(header.counter);
            let accepted = Accepted {
                boot: header.boot,
                keys: self.keys.derive_all(header.sender, header.boot),
                window,
                newest_epoch: header.newest_epoch,
                uses_newest: header.epoch == self.keys.newest(),
                heard_ns: now_ns,
            };
            let before = peer.accepted.replace(accepted);
            peer.previous = before.map(|before| before.boot).or(peer.previous);
            self.counters.boots += 1;
            let first = header.boot.0.first_chunk().map_or(0, |eight| u64::from_be_bytes(*eight));
            let args = [header.sender.0.into(), first];
            self.output(Output::Trace(Trace::new(Level::Info, Code::PeerBoot, &args)));
            self.consider_roll(now_ns);
        }
        self.refresh_due();
        let held = held?;
        let accepted = self.peers[at].accepted.as_mut()?;
        if !accepted.window.is_new(held.counter) {
            return None;
        }
        accepted.window.insert(held.counter);
        Some(self.hand_up(at, held.body))
    }

    /// Asks a peer for its boot, with the same nonce as long as that is good, and answers in the same
    /// datagram.
    pub(crate) fn ask(
        &mut self,
        now_ns: u64,
        at: usize,
        epoch: u8,
        answer: Option<(Nonce, BootId)>,
    ) {
        let question = match self.peers[at].question {
            Some(mut question) if question.is_good(now_ns) => {
                question.repeat(now_ns);
                question
            }
            _ => Question::new(self.nonces.next(), now_ns),
        };
        self.peers[at].question = Some(question);
        self.send_handshake(at, epoch, Handshake { ask: Some(question.nonce), answer });
        self.refresh_due();
    }

    /// Repeats the questions that were not answered in time; after the last try the frame that was
    /// kept is given up.
    pub(crate) fn ask_again(&mut self, now_ns: u64) {
        for at in 0..self.peers.len() {
            let peer = &mut self.peers[at];
            let Some(question) = &mut peer.question else { continue };
            if question.due_ns().is_none_or(|due_ns| due_ns > now_ns) {
                continue;
            }
            if question.retry(now_ns) {
                let ask = Some(question.nonce);
                self.send_handshake(at, self.keys.sending(), Handshake { ask, answer: None });
            } else {
                peer.held = None;
            }
        }
    }

    /// Seals a handshake and queues it. Under the epoch of what it answers: the peer holds that one.
    fn send_handshake(&mut self, at: usize, epoch: u8, handshake: Handshake) {
        let to = self.peers[at].node;
        let body = handshake.to_bytes();
        let sealed =
            HandshakeDatagram::new(|out| self.seal_kind(LinkKind::Handshake, epoch, &body, out));
        let Some(datagram) = sealed else { return };
        if self.output(Output::Send { to, datagram }) {
            self.counters.asks += u64::from(handshake.ask.is_some());
            self.counters.answers += u64::from(handshake.answer.is_some());
        }
    }
}
