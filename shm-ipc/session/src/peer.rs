//! Who is at the other end of a socket, as the kernel knew when it connected.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use rustix::net::sockopt::socket_peercred;

/// Groups that most users have at most; for more the kernel is asked again.
const GROUPS_USUAL: usize = 64;

/// Most groups that a process can have: Linux's `NGROUPS_MAX`.
const GROUPS_MAX: usize = 65_536;

/// The process that connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Its effective user.
    pub(crate) uid: u32,
    /// Its process id.
    pub(crate) pid: u32,
    /// Its effective group, then its supplementary ones.
    gids: Box<[u32]>,
}

impl Peer {
    /// Whoever connected this socket.
    ///
    /// # Errors
    /// When the kernel does not tell: it is no connected Unix socket.
    pub(crate) fn of(socket: impl AsFd) -> io::Result<Self> {
        let credentials = socket_peercred(&socket)?;
        let mut gids = supplementary(&socket)?;
        gids.insert(0, credentials.gid.as_raw());
        Ok(Self {
            uid: credentials.uid.as_raw(),
            pid: credentials.pid.as_raw_nonzero().get() as u32,
            gids: gids.into(),
        })
    }

    /// Its effective group.
    pub(crate) fn gid(&self) -> u32 {
        self.gids[0]
    }

    /// All its groups.
    pub(crate) fn gids(&self) -> &[u32] {
        &self.gids
    }
}

/// The supplementary groups of whoever connected (`SO_PEERGROUPS`, Linux 4.13).
fn supplementary(socket: impl AsFd) -> io::Result<Vec<u32>> {
    let mut groups = vec![0; GROUPS_USUAL];
    loop {
        match peer_groups(&socket, &mut groups) {
            Ok(count) => {
                groups.truncate(count);
                return Ok(groups);
            }
            // It does not fit; the groups of a peer never change.
            Err((error, wanted)) if error.raw_os_error() == Some(libc::ERANGE) => {
                if wanted <= groups.len() || wanted > GROUPS_MAX {
                    return Err(error);
                }
                groups.resize(wanted, 0);
            }
            Err((error, _)) => return Err(error),
        }
    }
}

/// Fills the beginning of `groups`, and gives how many there are; with an error, how many there would be.
fn peer_groups(socket: impl AsFd, groups: &mut [u32]) -> Result<usize, (io::Error, usize)> {
    const GID_BYTES: usize = size_of::<libc::gid_t>();
    let mut bytes = (groups.len() * GID_BYTES) as libc::socklen_t;
    // SAFETY: the descriptor is open as long as `socket` is borrowed; the kernel writes at most `bytes` bytes, which
    // `groups` has and which may be anything (`gid_t` is `u32`), and the length, which is ours alone.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERGROUPS,
            groups.as_mut_ptr().cast(),
            &raw mut bytes,
        )
    };
    let count = bytes as usize / GID_BYTES;
    if result == 0 { Ok(count) } else { Err((io::Error::last_os_error(), count)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_end_of_a_pair_is_this_process_with_all_its_groups() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let peer = Peer::of(&one).unwrap();
        assert_eq!(peer.pid, std::process::id());
        assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
        assert_eq!(peer.gid(), rustix::process::getegid().as_raw());
        let mut mine: Vec<u32> =
            rustix::process::getgroups().unwrap().iter().map(|gid| gid.as_raw()).collect();
        let mut told = peer.gids()[1..].to_vec();
        mine.sort_unstable();
        told.sort_unstable();
        assert_eq!(told, mine);
        // With too little room the kernel says how much it takes.
        if let Err((error, wanted)) = peer_groups(&one, &mut []) {
            assert_eq!((error.raw_os_error(), wanted), (Some(libc::ERANGE), mine.len()));
        }
        assert!(Peer::of(std::fs::File::open("/dev/null").unwrap()).is_err());
    }
}
