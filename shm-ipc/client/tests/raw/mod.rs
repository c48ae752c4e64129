//! A client made by hand: says and writes whatever it likes.
#![allow(dead_code)] // each test file uses its own part of it

use std::fs::File;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

/// A connection whose datagrams are written by hand.
pub(crate) struct Raw {
    pub(crate) fd: OwnedFd,
}

/// The bytes of a Hello.
pub(crate) fn hello(version_min: u16, version_max: u16, purpose: u8) -> Vec<u8> {
    let mut bytes = b"SYNI".to_vec();
    bytes.extend_from_slice(&[1, 0]);
    bytes.extend_from_slice(&version_min.to_le_bytes());
    bytes.extend_from_slice(&version_max.to_le_bytes());
    bytes.extend_from_slice(&[purpose, 0]);
    bytes.extend_from_slice(&[0; 12]);
    bytes
}

impl Raw {
    pub(crate) fn connect(path: &Path) -> Self {
        let fd = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        rustix::net::connect(&fd, &SocketAddrUnix::new(path).unwrap()).unwrap();
        let timeout = Some(Duration::from_secs(10));
        rustix::net::sockopt::set_socket_timeout(&fd, rustix::net::sockopt::Timeout::Recv, timeout)
            .unwrap();
        Self { fd }
    }

    /// False: the other side has closed.
    pub(crate) fn send(&self, bytes: &[u8]) -> bool {
        let mut control = SendAncillaryBuffer::default();
        let flags = SendFlags::NOSIGNAL;
        rustix::net::sendmsg(&self.fd, &[IoSlice::new(bytes)], &mut control, flags).is_ok()
    }

    /// The next datagram and its descriptors; empty at the end.
    pub(crate) fn recv(&self) -> (Vec<u8>, Vec<OwnedFd>) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
        let mut bytes = vec![0; 65536];
        for _ in 0..2 {
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut iov = [IoSliceMut::new(&mut bytes)];
            let flags = RecvFlags::CMSG_CLOEXEC;
            let Ok(message) = rustix::net::recvmsg(&self.fd, &mut iov, &mut control, flags) else {
                // Closed with something unread: reported once, before what was said last.
                continue;
            };
            let mut fds = Vec::new();
            for part in control.drain() {
                if let RecvAncillaryMessage::ScmRights(received) = part {
                    fds.extend(received);
                }
            }
            bytes.truncate(message.bytes);
            return (bytes, fds);
        }
        (Vec::new(), Vec::new())
    }

    /// Whether the other side has left the connection open, with nothing said.
    pub(crate) fn fd_is_open(&self) -> bool {
        let mut byte = [0];
        let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
        rustix::net::recv(&self.fd, &mut byte[..], flags) == Err(rustix::io::Errno::AGAIN)
    }

    /// Gives the socket away and keeps one that is connected to nothing.
    pub(crate) fn take_fd(&mut self) -> OwnedFd {
        let flags = SocketFlags::CLOEXEC;
        let none =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
        std::mem::replace(&mut self.fd, none.unwrap())
    }

    /// The cause of a refusal, if that is what comes next.
    pub(crate) fn refusal(&self) -> Option<u16> {
        let (bytes, _) = self.recv();
        (bytes.len() == 16 && bytes[4] == 3).then(|| u16::from_le_bytes([bytes[8], bytes[9]]))
    }
}

/// A session whose memory is written by hand. Files: the engine's page, our bell at the engine, our
/// segment, the engine's segment, (our bell), the region, the delivery ring.
pub(crate) struct RawSession {
    pub(crate) raw: Raw,
    pub(crate) fds: Vec<File>,
}

impl RawSession {
    pub(crate) fn open(path: &Path) -> Self {
        let raw = Raw::connect(path);
        assert!(raw.send(&hello(1, 1, 1)));
        let (bytes, fds) = raw.recv();
        assert_eq!((bytes.len(), bytes[4], fds.len()), (64, 2, 7), "no welcome: {bytes:?}");
        Self { raw, fds: fds.into_iter().map(File::from).collect() }
    }

    /// The segment this client may write.
    pub(crate) fn own(&self) -> &File {
        &self.fds[2]
    }

    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) {
        std::os::unix::fs::FileExt::write_all_at(self.own(), bytes, offset).unwrap();
    }

    pub(crate) fn ring(&self) {
        rustix::io::write(&self.fds[1], &1_u64.to_ne_bytes()).unwrap();
    }
}

/// Bytes of a record.
pub(crate) fn record(tag: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_le_bytes().to_vec();
    bytes.extend_from_slice(&tag.to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// Numbers from a seed.
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    pub(crate) fn next(&mut self) -> u64 {
        // xorshift64*: any full-period generator does here.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}
