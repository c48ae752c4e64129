//! Tells systemd how we are: datagrams to the socket in `NOTIFY_SOCKET` (see `sd_notify(3)`).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The service manager's socket, if there is one.
pub(crate) struct Notify {
    to: Option<(UnixDatagram, SocketAddr)>,
}

impl Notify {
    /// Where the environment says.
    pub(crate) fn from_env() -> Self {
        Self::new(std::env::var_os("NOTIFY_SOCKET").as_deref())
    }

    /// A socket path; one that starts with `@` is in the abstract namespace.
    fn new(socket: Option<&OsStr>) -> Self {
        let open = |name: &OsStr| -> io::Result<_> {
            let address = match name.as_bytes().strip_prefix(b"@") {
                Some(name) => SocketAddr::from_abstract_name(name)?,
                None => SocketAddr::from_pathname(name)?,
            };
            Ok((UnixDatagram::unbound()?, address))
        };
        // A manager that cannot be reached is no reason not to serve.
        Self { to: socket.and_then(|name| open(name).ok()) }
    }

    /// Sends `state` (`READY=1`, `STOPPING=1`, `STATUS=...`).
    pub(crate) fn send(&self, state: &str) {
        if let Some((socket, address)) = &self.to {
            let _ = socket.send_to_addr(state.as_bytes(), address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_hears_us_under_both_kinds_of_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        Notify::new(Some(path.as_os_str())).send("READY=1");
        let mut buf = [0; 64];
        let len = manager.recv(&mut buf).unwrap();
        assert_eq!(&buf[..len], b"READY=1");

        let name = format!("synchrotron-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        Notify::new(Some(OsStr::new(&format!("@{name}")))).send("STOPPING=1");
        let len = manager.recv(&mut buf).unwrap();
        assert_eq!(&buf[..len], b"STOPPING=1");
    }

    #[test]
    fn without_a_manager_nothing_happens() {
        Notify::new(None).send("READY=1");
        Notify::new(Some(OsStr::new("/nonexistent/notify"))).send("READY=1");
    }
}
