//! The Unix `SOCK_SEQPACKET` socket under a session: whole datagrams, with descriptors.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
    bind, connect as connect_socket, listen as listen_on, recvmsg, sendmsg, socket_with,
};

/// Most descriptors in one datagram; the kernel's own limit is 253.
pub(crate) const FDS_MAX: usize = 8;

/// Connections the kernel keeps for us until they are accepted.
const BACKLOG: i32 = 64;

/// Starts to listen at `path` with these permissions. A socket file that nobody listens at any more is
/// replaced; one with a listener, or a file of another kind, is an error.
pub(crate) fn listen(path: &Path, mode: u32) -> io::Result<OwnedFd> {
    let fd = socket()?;
    let address = SocketAddrUnix::new(path)?;
    match bind(&fd, &address) {
        Err(rustix::io::Errno::ADDRINUSE) => {
            remove_stale(path)?;
            bind(&fd, &address)?;
        }
        other => other?,
    }
    // Before `listen` nobody can connect, so there is no moment with wider permissions.
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))?;
    listen_on(&fd, BACKLOG)?;
    rustix::io::ioctl_fionbio(&fd, true)?;
    Ok(fd)
}

/// Removes a socket file that nobody listens at any more, and nothing else: "refused" is also what the kernel
/// says of files that are no sockets, and a listener with a full backlog says "try again".
fn remove_stale(path: &Path) -> io::Result<()> {
    let in_use = |what: &str| {
        let text = format!("{}: {what}", path.display());
        Err(io::Error::new(io::ErrorKind::AddrInUse, text))
    };
    if !std::fs::symlink_metadata(path)?.file_type().is_socket() {
        return in_use("is there and is not a socket");
    }
    match connect(path) {
        Ok(_) => in_use("another engine listens there"),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            in_use("another engine listens there")
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        Err(error) => in_use(&format!("another program has it: {error}")),
    }
}

/// Connects to `path`.
pub(crate) fn connect(path: &Path) -> io::Result<OwnedFd> {
    let fd = socket()?;
    // Not blocking: a full backlog answers `EAGAIN` at once and the caller decides how long to try.
    rustix::io::ioctl_fionbio(&fd, true)?;
    connect_socket(&fd, &SocketAddrUnix::new(path)?)?;
    Ok(fd)
}

fn socket() -> io::Result<OwnedFd> {
    let fd = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    Ok(fd)
}

/// Sends one datagram with descriptors.
pub(crate) fn send(fd: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    sendmsg(fd, &[io::IoSlice::new(bytes)], &mut control, flags)?;
    Ok(())
}

/// Receives one datagram into `buf`; descriptors are appended to `fds`. Zero bytes: the other side
/// has closed.
///
/// # Errors
/// What the kernel says; `InvalidData` for a datagram larger than `buf`.
pub(crate) fn recv(fd: impl AsFd, buf: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let message = recvmsg(fd, &mut [io::IoSliceMut::new(buf)], &mut control, flags)?;
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = part {
            fds.extend(received);
        }
    }
    if message.flags.contains(ReturnFlags::TRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(message.bytes)
}

/// As [`recv`], from somebody who has no descriptors to send. What is sent all the same the kernel
/// drops: we never hold, and so never close, a file of a client's choice, whose close might block
/// (its file system may be the client).
///
/// # Errors
/// As [`recv`].
pub(crate) fn recv_bytes(fd: impl AsFd, buf: &mut [u8]) -> io::Result<usize> {
    // With TRUNC the answer is the datagram's own length.
    let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
    let room = buf.len();
    let (_, len) = rustix::net::recv(fd, buf, flags)?;
    if len > room {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (OwnedFd, OwnedFd) {
        let flags = SocketFlags::CLOEXEC;
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap()
    }

    #[test]
    fn datagrams_keep_their_ends_and_carry_descriptors() {
        let (a, b) = pair();
        send(&a, b"one", &[a.as_fd(), b.as_fd()]).unwrap();
        send(&a, b"second", &[]).unwrap();
        let (mut buf, mut fds) = ([0; 16], Vec::new());
        assert_eq!(recv(&b, &mut buf, &mut fds).unwrap(), 3);
        assert_eq!(fds.len(), 2);
        assert_eq!(recv(&b, &mut buf, &mut fds).unwrap(), 6);
        assert_eq!(fds.len(), 2);
        drop(a);
        fds.clear();
        assert_eq!(recv(&b, &mut buf, &mut fds).unwrap(), 0);
    }

    #[test]
    fn descriptors_that_nobody_asked_for_are_not_taken() {
        let (a, b) = pair();
        let gone = rustix::pipe::pipe().unwrap();
        send(&a, b"with", &[gone.1.as_fd()]).unwrap();
        drop(gone.1);
        let mut buf = [0; 16];
        assert_eq!(recv_bytes(&b, &mut buf).unwrap(), 4);
        // The pipe's writing end is gone: it was neither kept nor left in the queue.
        assert_eq!(rustix::io::read(&gone.0, &mut buf).unwrap(), 0);
        send(&a, &[1; 17], &[]).unwrap();
        assert_eq!(recv_bytes(&b, &mut buf).unwrap_err().kind(), io::ErrorKind::InvalidData);
        drop(a);
        assert_eq!(recv_bytes(&b, &mut buf).unwrap(), 0);
    }

    #[test]
    fn only_a_socket_that_nobody_listens_at_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "precious").unwrap();
        assert_eq!(listen(&path, 0o600).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
        let path = dir.path().join("socket");
        let living = listen(&path, 0o600).unwrap();
        assert_eq!(listen(&path, 0o600).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        // So busy that it takes nobody more for the moment.
        let mut waiting = Vec::new();
        while let Ok(fd) = connect(&path) {
            waiting.push(fd);
        }
        assert_eq!(listen(&path, 0o600).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert!(path.exists(), "the living one's socket was removed");
        drop((living, waiting));
        listen(&path, 0o600).unwrap();
        let stream = dir.path().join("stream");
        let _other = std::os::unix::net::UnixListener::bind(&stream).unwrap();
        assert_eq!(listen(&stream, 0o600).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_datagram_too_large_is_an_error() {
        let (a, b) = pair();
        send(&a, &[1; 32], &[]).unwrap();
        let error = recv(&b, &mut [0; 16], &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
