//! Frames of peers: which kind, for which ring, to which part of the machine.

use frame::Frame;
use wire::beacon::{Answer, Beacon, MISSING_MAX, Want};
use wire::data::DataHeader;
use wire::probe::{Ping, PingAbout};
use wire::repair::Ask;
use wire::token::Token;
use wire::{Kind, NodeId, WireError};

use crate::machine::{Current, Totem};
use crate::{Dest, Lane, Output, Source, State};

impl Totem {
    pub(crate) fn dispatch(
        &mut self,
        now_ns: u64,
        from: NodeId,
        frame: Frame,
        source: &mut dyn Source,
    ) {
        let Some(pos) = self.ctx.pos(from).filter(|pos| *pos != self.ctx.me_pos) else {
            self.refuse_unlisted(now_ns, from);
            return;
        };
        self.detector.lives(pos);
        let done = match Kind::of(&frame) {
            Some(Kind::Data) => self.on_data(now_ns, frame, source),
            Some(Kind::Token) => self.on_token(now_ns, from, &frame, source),
            Some(Kind::Join) => self.on_join(now_ns, pos, &frame),
            Some(Kind::Commit) => self.on_commit(now_ns, &frame, source),
            Some(Kind::Beacon) => self.on_beacon(now_ns, from, &frame, source),
            Some(Kind::Answer) => self.on_answer(now_ns, pos, &frame, source),
            Some(Kind::Want) => self.on_want(now_ns, from, &frame, source),
            Some(Kind::Ask) => Ask::parse(&frame).map(|ask| {
                let current = self.current();
                if ask.ring == current.ring.ring && current.ring.members.contains(from) {
                    current.ring.answer_ask(now_ns, from, &ask, current.ctx);
                }
            }),
            Some(Kind::Probe) => self.on_probe(now_ns, pos, &frame),
            Some(Kind::Ping) => self.on_ping(pos, &frame),
            Some(Kind::Refuse) => self.on_refuse(now_ns, pos, &frame),
            // Hellos are for the layer below, and never come where there is only one link.
            Some(Kind::Hello) | None => Err(WireError::BadField {
                what: "frame",
                field: "kind",
                found: frame.first().copied().unwrap_or(0).into(),
            }),
        };
        if done.is_err() {
            self.ctx.counters.malformed += 1;
        }
    }

    fn on_data(
        &mut self,
        now_ns: u64,
        frame: Frame,
        source: &mut dyn Source,
    ) -> Result<(), WireError> {
        let header = *DataHeader::parse(&frame)?;
        let ring = header.ring();
        let ctx = &mut self.ctx;
        if ring == self.ring.ring {
            // While the next ring is formed, old frames are taken as long as nobody was told what
            // is here.
            if self.state == State::Operational {
                if self.ring.insert(now_ns, &header, frame, ctx) {
                    self.ring.progress(now_ns, &header, ctx);
                    // At once, without a stay in the outputs: that is most of what a member does with a frame.
                    self.ring.deliver_to(ctx, &mut |ctx, delivered| {
                        let left = match ctx.out.is_empty() {
                            true => source.deliver(now_ns, delivered),
                            false => Some(delivered),
                        };
                        ctx.out.extend(left.map(Output::Deliver));
                    });
                    self.ring.answer_late(ctx);
                }
            } else if !self.ring.sealed {
                self.ring.insert(now_ns, &header, frame, ctx);
            }
            return Ok(());
        }
        let forming = matches!(self.state, State::Commit | State::Recovery);
        if !forming || ring != self.forming.ring {
            self.ctx.counters.frames_foreign += 1;
            return Ok(());
        }
        if self.state == State::Commit {
            self.enter_recovery(now_ns);
        }
        let ctx = &mut self.ctx;
        if self.forming.insert(now_ns, &header, frame, ctx) {
            self.forming.progress(now_ns, &header, ctx);
            self.recovery.digest(&mut self.forming, &mut self.ring, ctx);
        }
        Ok(())
    }

    fn on_token(
        &mut self,
        now_ns: u64,
        from: NodeId,
        frame: &[u8],
        source: &mut dyn Source,
    ) -> Result<(), WireError> {
        let token = Token::parse(frame)?;
        if self.state == State::Commit && token.ring == self.forming.ring {
            self.enter_recovery(now_ns);
        }
        let live = matches!(self.state, State::Operational | State::Recovery);
        let current = self.current();
        if !live || token.ring != current.ring.ring {
            self.ctx.counters.tokens_refused += 1;
            return Ok(());
        }
        if current.ring.accepts(now_ns, from, &token, current.ctx) {
            self.take_token(now_ns, token, source);
        }
        Ok(())
    }

    /// The token is mine: look at what it says, then work.
    pub(crate) fn take_token(&mut self, now_ns: u64, token: Token, source: &mut dyn Source) {
        let current = self.current();
        current.ring.arrive(now_ns, token, current.ctx);
        if self.state == State::Recovery {
            self.check_recovery(now_ns, source);
        }
        // The leave of a member (or mine) may have become deliverable just now; it waits for
        // `finish`.
        self.work(now_ns, source);
    }

    fn on_beacon(
        &mut self,
        now_ns: u64,
        from: NodeId,
        frame: &[u8],
        source: &mut dyn Source,
    ) -> Result<(), WireError> {
        let beacon = Beacon::parse(frame)?;
        // In Recovery too: the first to know that all is stable installs the ring and may rest at
        // once.
        let live = matches!(self.state, State::Operational | State::Recovery);
        let announce = u64::from(self.leaving && !self.leave_numbered);
        let backlog = source.backlog_bytes() + announce;
        let Current { ring, ctx } = self.current();
        if live && beacon.ring == ring.ring && ring.members.contains(from) {
            ring.on_beacon(now_ns, from, &beacon, backlog, ctx);
        }
        Ok(())
    }

    fn on_answer(
        &mut self,
        now_ns: u64,
        pos: usize,
        frame: &[u8],
        source: &mut dyn Source,
    ) -> Result<(), WireError> {
        let mut missing = [(0, 0); MISSING_MAX];
        let mut count = 0;
        let answer = Answer::parse(frame, |from, to| {
            missing[count] = (from, to);
            count += 1;
        })?;
        if answer.ring == self.ring.ring
            && self.ring.on_answer(now_ns, pos, &answer, &missing[..count], &mut self.ctx)
        {
            self.work(now_ns, source);
        }
        Ok(())
    }

    fn on_want(
        &mut self,
        now_ns: u64,
        from: NodeId,
        frame: &[u8],
        source: &mut dyn Source,
    ) -> Result<(), WireError> {
        let want = Want::parse(frame)?;
        if self.state == State::Operational
            && want.ring == self.ring.ring
            && self.ring.on_want(from, &want, &mut self.ctx)
        {
            self.work(now_ns, source);
        }
        Ok(())
    }

    fn on_ping(&mut self, pos: usize, frame: &[u8]) -> Result<(), WireError> {
        let ping = Ping::parse(frame)?;
        let to = Dest::Node(self.ctx.nodes[pos]);
        match (ping.about, ping.answer) {
            (PingAbout::Life, false) => {
                let answer = Ping { answer: true, ..ping };
                self.ctx.send_control(to, Lane::Data, |out| answer.emit(out));
            }
            (PingAbout::Probe, true) => self.others.heard_my_probe(pos),
            // That it lives was noted by whoever called.
            (PingAbout::Life, true) | (PingAbout::Probe, false) => {}
        }
        Ok(())
    }
}
