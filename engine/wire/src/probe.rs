//! What is said between nodes that share no ring: probe, ping, refusal.

use crate::codec::{Reader, Writer};
use crate::join::Compat;
use crate::kind::Kind;
use crate::{NodeSet, RingId, WireError};

/// A ring's representative shows the ring to whoever is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// See [`Compat`].
    pub compat: Compat,
    /// The ring.
    pub ring: RingId,
    /// Its members.
    pub members: NodeSet,
    /// Who answered the sender's last probe.
    pub hears: NodeSet,
}

/// Asks whether a process is there, or says that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    /// What the question is about.
    pub about: PingAbout,
    /// Whether this is the answer.
    pub answer: bool,
    /// Copied from question to answer.
    pub nonce: u64,
}

/// What a [`Ping`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PingAbout {
    /// Whether the process lives.
    Life,
    /// Whether a probe was heard.
    Probe,
}

/// Why a peer is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RefuseReason {
    /// It is not in our node list.
    Unlisted = 1,
    /// Its configuration is older than ours.
    OlderConfig = 2,
    /// Its configuration has our version but other contents.
    OtherConfig = 3,
    /// We share no version of the protocol.
    Protocol = 4,
}

/// A refusal with its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refuse {
    /// Why.
    pub reason: RefuseReason,
    /// What the peer has.
    pub theirs: u64,
    /// What the refuser has.
    pub ours: u64,
    /// Hash of the refuser's configuration: with its version, what the peer may look for in its file.
    pub config_hash: u64,
}

impl Probe {
    /// Reads the [`Compat`] alone, which every version writes at the same place.
    ///
    /// # Errors
    /// When bytes are missing.
    pub fn parse_compat(frame: &[u8]) -> Result<Compat, WireError> {
        let mut r = Reader::new("probe", frame);
        r.expect("kind", Kind::Probe as u8)?;
        r.take(3)?;
        Compat::read(&mut r)
    }

    /// Reads a probe of a cluster of `nodes` nodes.
    ///
    /// # Errors
    /// When bytes are missing or a field is impossible.
    pub fn parse(frame: &[u8], nodes: usize) -> Result<Self, WireError> {
        let mut r = Reader::new("probe", frame);
        r.expect("kind", Kind::Probe as u8)?;
        r.expect("flags", 0)?;
        let words = r.words()?;
        r.expect("reserved", 0)?;
        let probe = Self {
            compat: Compat::read(&mut r)?,
            ring: r.ring()?,
            members: r.set(words)?,
            hears: r.set(words)?,
        };
        let all = NodeSet::first_n(nodes);
        if !probe.members.is_subset(&all) || !probe.hears.is_subset(&all) {
            return Err(r.bad("members", nodes as u64));
        }
        Ok(probe)
    }

    /// Writes a probe; `None` if `out` is too small.
    pub fn emit(&self, out: &mut [u8], nodes: usize) -> Option<usize> {
        let words = NodeSet::words_for(nodes);
        let mut w = Writer::new(out);
        w.u8(Kind::Probe as u8).u8(0).u8(words as u8).u8(0);
        self.compat.write(&mut w);
        w.ring(self.ring).set(&self.members, words).set(&self.hears, words).finish()
    }
}

impl Ping {
    /// Reads a ping or its answer.
    ///
    /// # Errors
    /// When bytes are missing or a field is impossible.
    pub fn parse(frame: &[u8]) -> Result<Self, WireError> {
        let mut r = Reader::new("ping", frame);
        r.expect("kind", Kind::Ping as u8)?;
        let flags = r.u8()?;
        if flags > 3 {
            return Err(r.bad("flags", flags.into()));
        }
        let about = if flags & 2 == 0 { PingAbout::Life } else { PingAbout::Probe };
        Ok(Self { about, answer: flags & 1 != 0, nonce: r.u64()? })
    }

    /// Writes a ping or its answer; `None` if `out` is too small.
    pub fn emit(&self, out: &mut [u8]) -> Option<usize> {
        let about = if self.about == PingAbout::Probe { 2 } else { 0 };
        Writer::new(out)
            .u8(Kind::Ping as u8)
            .u8(about | u8::from(self.answer))
            .u64(self.nonce)
            .finish()
    }
}

impl Refuse {
    /// Reads a refusal.
    ///
    /// # Errors
    /// When bytes are missing or the reason is unknown.
    pub fn parse(frame: &[u8]) -> Result<Self, WireError> {
        let mut r = Reader::new("refuse", frame);
        r.expect("kind", Kind::Refuse as u8)?;
        let reason = match r.u8()? {
            1 => RefuseReason::Unlisted,
            2 => RefuseReason::OlderConfig,
            3 => RefuseReason::OtherConfig,
            4 => RefuseReason::Protocol,
            other => return Err(r.bad("reason", other.into())),
        };
        Ok(Self { reason, theirs: r.u64()?, ours: r.u64()?, config_hash: r.u64()? })
    }

    /// Writes a refusal; `None` if `out` is too small.
    pub fn emit(&self, out: &mut [u8]) -> Option<usize> {
        Writer::new(out)
            .u8(Kind::Refuse as u8)
            .u8(self.reason as u8)
            .u64(self.theirs)
            .u64(self.ours)
            .u64(self.config_hash)
            .finish()
    }
}
