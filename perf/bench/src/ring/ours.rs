//! Two of our rings, one for each direction.

use std::fs::OpenOptions;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, ensure};
use ring::shm::{Access, Segment};
use ring::spsc::{Consumer, Memory, Producer};

use crate::ring::pair::{Link, Message, WORDS};

/// Bytes of each ring: a tenth of a second-level cache.
const RING_BYTES: usize = 128 << 10;

/// One end.
pub(super) struct Ours {
    out: Producer,
    back: Consumer,
    /// Kept open for the other process to find.
    _segments: Vec<Segment>,
}

impl Ours {
    /// Makes the rings; the other end opens them at the place that is returned.
    ///
    /// # Errors
    /// When the kernel gives no memory.
    pub(super) fn create() -> anyhow::Result<(String, Self)> {
        let (to, to_segment) = Memory::create("bench-to", RING_BYTES)?;
        let (from, from_segment) = Memory::create("bench-from", RING_BYTES)?;
        let place = [&to_segment, &from_segment].map(|segment| {
            let fd = segment.fd().as_raw_fd();
            format!("/proc/{}/fd/{fd}:{}", std::process::id(), segment.len())
        });
        let segments = vec![to_segment, from_segment];
        let ends = (Producer::new(&to)?, Consumer::new(&from)?);
        Ok((place.join(","), Self { out: ends.0, back: ends.1, _segments: segments }))
    }

    /// Opens what the other process made.
    ///
    /// # Errors
    /// When it is not there.
    pub(super) fn open(place: &str) -> anyhow::Result<Self> {
        let attach = |part: &str| {
            let (path, bytes) = part.split_once(':').context("PATH:BYTES")?;
            let file = OpenOptions::new().read(true).write(true).open(path);
            let fd = OwnedFd::from(file.with_context(|| path.to_owned())?);
            let segment = Segment::receive(fd, bytes.parse()?, Access::ReadWrite)?;
            anyhow::Ok(Memory::attach(&segment, 0, RING_BYTES)?)
        };
        let memories: Vec<Memory> = place.split(',').map(attach).collect::<anyhow::Result<_>>()?;
        ensure!(memories.len() == 2, "two rings, not {}", memories.len());
        Ok(Self {
            out: Producer::new(&memories[1])?,
            back: Consumer::new(&memories[0])?,
            _segments: Vec::new(),
        })
    }

    /// Both ends in this process.
    ///
    /// # Errors
    /// When the kernel gives no memory.
    pub(super) fn pair() -> anyhow::Result<(Self, Self)> {
        let (out, far_back) = ring::spsc::pair(RING_BYTES)?;
        let (far_out, back) = ring::spsc::pair(RING_BYTES)?;
        let end = |out, back| Self { out, back, _segments: Vec::new() };
        Ok((end(out, back), end(far_out, far_back)))
    }
}

impl Link for Ours {
    #[inline]
    fn send(&mut self, message: &Message) -> anyhow::Result<bool> {
        let mut bytes = [0; WORDS * 8];
        for (place, word) in bytes.chunks_exact_mut(8).zip(message) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        match self.out.push(0, &bytes) {
            Ok(()) => Ok(true),
            Err(ring::spsc::PushError::Full) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    #[inline]
    fn show(&mut self) {
        self.out.publish();
    }

    #[inline]
    fn receive(&mut self) -> anyhow::Result<Option<Message>> {
        let Some(record) = self.back.peek()? else { return Ok(None) };
        ensure!(record.len() == WORDS * 8, "a record of {} bytes", record.len());
        let mut bytes = [0; WORDS * 8];
        self.back.copy_payload(&record, 0, &mut bytes);
        self.back.consume(&record);
        let (words, _) = bytes.as_chunks::<8>();
        let mut message = [0; WORDS];
        for (word, bytes) in message.iter_mut().zip(words) {
            *word = u64::from_le_bytes(*bytes);
        }
        Ok(Some(message))
    }

    #[inline]
    fn release(&mut self) {
        self.back.release();
    }
}
