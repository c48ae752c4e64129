//! The hostile program's end: a raw socket, and the memory it may write.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::io::{IoSliceMut, pwrite};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, connect, recvmsg, send, socket_with,
};

use super::engine::Engine;

/// Bytes of the submit ring's data.
pub(super) const SUBMIT_BYTES: u64 = 128 << 10;

const PAGE_BYTES: u64 = 4096;

/// The client's segment: a page with the sides of the submit ring, its data, a page with the other words.
const SEGMENT_BYTES: u64 = PAGE_BYTES + SUBMIT_BYTES + PAGE_BYTES;

/// Place of the client's segment among the descriptors of the Welcome.
const SEGMENT_FD: usize = 2;

/// The words of the client's pages that mean something: both sides of the submit ring with their bells,
/// the consumer's side of the private ring, the cursor.
const WORDS: [u64; 9] = [
    0,
    8,
    2048,
    2056,
    SEGMENT_BYTES - PAGE_BYTES,
    SEGMENT_BYTES - PAGE_BYTES + 8,
    SEGMENT_BYTES - PAGE_BYTES + 1024,
    SEGMENT_BYTES - PAGE_BYTES + 1032,
    SEGMENT_BYTES - PAGE_BYTES + 1152,
];

/// A client that keeps no rule after the handshake.
pub(super) struct Hostile {
    socket: OwnedFd,
    segment: OwnedFd,
    pub(super) session: u32,
    head: u64,
}

impl Hostile {
    /// Shakes hands.
    pub(super) fn connect(engine: &mut Engine) -> Self {
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .expect("a socket");
        let address = SocketAddrUnix::new(engine.path()).expect("a short path");
        connect(&socket, &address).expect("the engine listens");
        // Head (magic, Hello, flags, version), highest version, purpose, sizes of the rings.
        let mut hello = *b"SYNI\x01\x00\x01\x00\x01\x00\x01\x00\0\0\0\0\0\0\0\0\0\0\0\0";
        hello[12..16].copy_from_slice(&(SUBMIT_BYTES as u32).to_le_bytes());
        send(&socket, &hello, SendFlags::NOSIGNAL).expect("room for a datagram");
        engine.accept();
        engine.accept();
        let mut bytes = [0; 256];
        let mut fds = Vec::new();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        recvmsg(&socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags)
            .expect("a Welcome is here");
        for part in control.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = part {
                fds.extend(received);
            }
        }
        assert_eq!(bytes[4], 2, "refused: {:?}", &bytes[..16]);
        let session = u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]);
        engine.poll();
        Self { socket, segment: fds.swap_remove(SEGMENT_FD), session, head: 0 }
    }

    /// Bytes published so far, as far as this client keeps count.
    pub(super) fn position(&self) -> u64 {
        self.head
    }

    /// Writes bytes into the ring's data from where the next record is due, and moves the head.
    pub(super) fn raw(&mut self, bytes: &[u8], ahead: u64) {
        for (at, byte) in bytes.iter().enumerate() {
            let place = self.head.wrapping_add(at as u64) % SUBMIT_BYTES;
            self.poke(PAGE_BYTES + place, &[*byte]);
        }
        self.head = self.head.wrapping_add(ahead);
        self.poke(0, &self.head.to_le_bytes());
    }

    /// Writes a record and moves the head behind it.
    pub(super) fn record(&mut self, tag: u32, len: u32, payload: &[u8]) {
        let mut record = Vec::with_capacity(8 + payload.len());
        record.extend_from_slice(&len.to_le_bytes());
        record.extend_from_slice(&tag.to_le_bytes());
        record.extend_from_slice(payload);
        self.raw(&record, 8 + u64::from(len).next_multiple_of(8));
    }

    /// Writes anywhere in the segment.
    pub(super) fn poke(&self, at: u64, bytes: &[u8]) {
        let at = at % SEGMENT_BYTES;
        let count = bytes.len().min((SEGMENT_BYTES - at) as usize);
        pwrite(&self.segment, &bytes[..count], at).expect("the client may write there");
    }

    /// Publishes any head.
    pub(super) fn head(&mut self, value: u64) {
        self.head = value;
        self.poke(0, &value.to_le_bytes());
    }

    /// Writes one of the words that mean something.
    pub(super) fn word(&self, place: u8, value: u64) {
        self.poke(WORDS[usize::from(place) % WORDS.len()], &value.to_le_bytes());
    }

    /// Sends a datagram; a full or closed socket is nobody's concern here.
    pub(super) fn say(&self, bytes: &[u8]) {
        _ = send(&self.socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
    }
}
