//! A wrapper that writes what passes through any transport to a capture file.
//!
//! The file is classic pcap with link type 147 (USER0): each record is one datagram behind eight bytes
//! that say what the transport knows: direction (0 sent, 1 received), queue (0 token, 1 data), peer
//! (u16, little-endian; 0xffff: all, or unknown), and four zero bytes. Nothing of IP is known here.

use std::io::{self, Write};
use std::os::fd::BorrowedFd;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::{Burst, Caps, Dest, Event, Queue, SendError, Transport};

/// pcap's magic for microsecond time stamps, in the writer's byte order.
const MAGIC: u32 = 0xa1b2_c3d4;

/// Link type for private use.
const LINKTYPE_USER0: u32 = 147;

/// Longest record.
const SNAP_BYTES: u32 = 65536 + PREFIX_BYTES as u32;

/// Bytes before each datagram.
const PREFIX_BYTES: usize = 8;

/// Any transport, recorded. See the module's documentation.
///
/// Writing goes on until the first error; the transport itself goes on in any case, and
/// [`Pcap::error`] tells.
pub struct Pcap<T, W> {
    inner: T,
    out: W,
    error: Option<io::Error>,
    records: u64,
}

impl<T: Transport, W: Write> Pcap<T, W> {
    /// Wraps a transport; writes the file's header at once.
    ///
    /// # Errors
    /// When the header cannot be written.
    pub fn new(inner: T, mut out: W) -> io::Result<Self> {
        let mut header = [0u8; 24];
        header[0..4].copy_from_slice(&MAGIC.to_ne_bytes());
        header[4..6].copy_from_slice(&2u16.to_ne_bytes());
        header[6..8].copy_from_slice(&4u16.to_ne_bytes());
        header[16..20].copy_from_slice(&SNAP_BYTES.to_ne_bytes());
        header[20..24].copy_from_slice(&LINKTYPE_USER0.to_ne_bytes());
        out.write_all(&header)?;
        Ok(Self { inner, out, error: None, records: 0 })
    }

    /// Why recording ended, if it did.
    pub fn error(&self) -> Option<&io::Error> {
        self.error.as_ref()
    }

    /// Datagrams recorded.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The wrapped transport and the writer.
    pub fn into_parts(self) -> (T, W) {
        (self.inner, self.out)
    }
}

/// Writes the datagrams of a burst; returns how many.
fn record<W: Write>(
    out: &mut W,
    received: bool,
    queue: Queue,
    peer: u16,
    burst: &Burst,
) -> io::Result<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut count = 0;
    for datagram in burst.bytes.chunks(burst.segment_bytes.max(1)) {
        let len = (datagram.len() + PREFIX_BYTES) as u32;
        let mut header = [0u8; 16 + PREFIX_BYTES];
        // pcap's seconds are 32 bits and wrap in 2106.
        header[0..4].copy_from_slice(&(now.as_secs() as u32).to_ne_bytes());
        header[4..8].copy_from_slice(&now.subsec_micros().to_ne_bytes());
        header[8..12].copy_from_slice(&len.to_ne_bytes());
        header[12..16].copy_from_slice(&len.to_ne_bytes());
        header[16] = received.into();
        header[17] = (queue == Queue::Data).into();
        header[18..20].copy_from_slice(&peer.to_le_bytes());
        out.write_all(&header)?;
        out.write_all(datagram)?;
        count += 1;
    }
    Ok(count)
}

/// Books a record's outcome.
fn book(result: io::Result<u64>, records: &mut u64, error: &mut Option<io::Error>) {
    match result {
        Ok(count) => *records += count,
        Err(e) => *error = Some(e),
    }
}

impl<T: Transport, W: Write> Transport for Pcap<T, W> {
    fn caps(&self) -> Caps {
        self.inner.caps()
    }

    fn send(&mut self, to: Dest, queue: Queue, burst: Burst) -> Result<(), SendError> {
        if self.error.is_none() {
            let peer = match to {
                Dest::Peer(peer) => peer,
                Dest::All => u16::MAX,
            };
            let result = record(&mut self.out, false, queue, peer, &burst);
            book(result, &mut self.records, &mut self.error);
        }
        self.inner.send(to, queue, burst)
    }

    fn flush(&mut self) {
        self.inner.flush();
    }

    fn poll(&mut self, budget: usize, prefer: Queue, sink: &mut dyn FnMut(Event)) -> usize {
        let Self { inner, out, error, records } = self;
        inner.poll(budget, prefer, &mut |event| {
            if let Event::Received { queue, burst } = &event
                && error.is_none()
            {
                book(record(out, true, *queue, u16::MAX, burst), records, error);
            }
            sink(event);
        })
    }

    fn wait(&mut self, timeout_ns: Option<u64>) {
        self.inner.wait(timeout_ns);
    }

    fn watch(&mut self, fd: BorrowedFd<'_>, key: u64) -> io::Result<()> {
        self.inner.watch(fd, key)
    }

    fn unwatch(&mut self, key: u64) {
        self.inner.unwatch(key);
    }

    fn counters(&self, sink: &mut dyn FnMut(&'static str, u64)) {
        self.inner.counters(sink);
        sink("pcap_records", self.records);
    }
}
