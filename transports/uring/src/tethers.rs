//! Tethers: one idle TCP connection to every peer, whose end says that its process has died.
//!
//! A killed process sends no farewell, and multicasts to it go unanswered, so a ring that rests would notice
//! only by missing beacons. But the kernel closes a dead process's connections at once. Nothing is ever
//! sent on a tether; keep-alives once a minute weed out connections to hosts that vanished.
//!
//! Every node listens on the TCP port with the number of its data port and connects to every peer; the
//! connection it made tells it about that peer, those it accepted are only held. When a tether ends,
//! it is tied again at once; only if that is refused, is the peer reported: its listener is closed, and
//! since that was opened before the UDP sockets, so are they (the kernel closes in reverse). There
//! are no timers: a peer that comes up connects to us, which is when we connect to it again. All of this is
//! a hint like any other and may fail silently (firewalls); anybody on a peer's address can forge it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use crate::config::Peer;
use crate::sockopt;

/// How often a tether is tied again before somebody comes up and asks for it: a peer that accepts
/// and drops connections must not keep us busy.
const RETRIES_MAX: u8 = 8;

/// Connections taken from the listener per wake-up; more wait there for the next.
const ACCEPTS_MAX: usize = 64;

/// Connections held per peer: its own, and one being replaced.
const HELD_PER_PEER: usize = 2;

/// Number of the first poll of a connection held: above those of all positions, which fit 16 bits.
const HELD_FIRST: usize = 1 << 17;

/// Silence after which the kernel asks whether the other host still knows the connection.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// What polls watch for on a connection.
pub(crate) const CLOSED: u32 = (libc::POLLIN | libc::POLLRDHUP) as u32;

/// A poll the caller must arm: on which descriptor, for what, and under which number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arm {
    pub(crate) number: u32,
    pub(crate) fd: RawFd,
    pub(crate) flags: u32,
}

/// A connection this node made.
#[derive(Debug, Default)]
struct Tether {
    socket: Option<Socket>,
    up: bool,
    /// It was up and ended; if it cannot be tied again, the peer is gone.
    lost: bool,
    retries: u8,
}

/// All tethers of a node.
#[derive(Debug)]
pub(crate) struct Tethers {
    listener: Socket,
    me: u16,
    own: IpAddr,
    /// By peer; none where it was taken out.
    addresses: Vec<Option<SocketAddr>>,
    tethers: Vec<Tether>,
    held: Vec<Option<Socket>>,
    /// Polls to arm.
    pub(crate) arms: Vec<Arm>,
    /// Peers to report.
    pub(crate) gone: Vec<u16>,
}

impl Tethers {
    /// Opens the listener. Before the UDP sockets: see the module's documentation.
    pub(crate) fn listen(me: u16, peers: &[Peer]) -> io::Result<Self> {
        let address = peers[usize::from(me)].data;
        let listener = socket(address)?;
        listener.set_reuse_address(true)?;
        listener.bind(&address.into())?;
        listener.listen(i32::try_from(peers.len()).unwrap_or(i32::MAX).max(16))?;
        let arm = Arm { number: 0, fd: listener.as_raw_fd(), flags: libc::POLLIN as u32 };
        Ok(Self {
            me,
            own: address.ip(),
            addresses: peers.iter().map(|p| Some(p.data)).collect(),
            tethers: peers.iter().map(|_| Tether::default()).collect(),
            held: (0..peers.len() * HELD_PER_PEER).map(|_| None).collect(),
            arms: vec![arm],
            gone: Vec::new(),
            listener,
        })
    }

    /// Adds a peer at the end, or one that was taken out again, and ties it.
    pub(crate) fn add(&mut self, peer: u16, address: SocketAddr) {
        let at = usize::from(peer);
        if at >= self.addresses.len() {
            self.addresses.resize(at + 1, None);
            self.tethers.resize_with(at + 1, Tether::default);
            self.held.resize_with((at + 1) * HELD_PER_PEER, || None);
        }
        self.addresses[at] = Some(address);
        self.tie(Some(address.ip()));
    }

    /// Lets go of a peer; its place stays.
    pub(crate) fn remove(&mut self, peer: u16) {
        let at = usize::from(peer);
        self.addresses[at] = None;
        if let Some(socket) = std::mem::take(&mut self.tethers[at]).socket {
            // A poll under way keeps the connection; now it fires, and finds nothing.
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Ties every tether that is not tied, of one address or of all.
    pub(crate) fn tie(&mut self, ip: Option<IpAddr>) {
        for peer in 0..self.addresses.len() {
            let Some(address) = self.addresses[peer] else { continue };
            let wanted = ip.is_none_or(|ip| ip == address.ip());
            if wanted && peer != usize::from(self.me) {
                self.tethers[peer].retries = 0;
                if self.tethers[peer].socket.is_none() {
                    self.connect(peer);
                }
            }
        }
    }

    /// Tethers that are up.
    pub(crate) fn up(&self) -> u64 {
        self.tethers.iter().filter(|t| t.up).count() as u64
    }

    /// The poll of this number fired.
    pub(crate) fn fired(&mut self, number: u32, rearm_listener: bool) {
        match number as usize {
            0 => {
                if rearm_listener {
                    let fd = self.listener.as_raw_fd();
                    self.arms.push(Arm { number: 0, fd, flags: libc::POLLIN as u32 });
                }
                self.accept();
            }
            n if n < HELD_FIRST => self.outgoing(n - 1),
            n => {
                // Its owner is gone, or says something, which tethers do not: let go of it.
                if let Some(slot) = self.held.get_mut(n - HELD_FIRST) {
                    *slot = None;
                }
            }
        }
    }

    fn connect(&mut self, peer: usize) {
        let Some(address) = self.addresses[peer] else { return };
        let tether = &mut self.tethers[peer];
        tether.up = false;
        let socket = match outgoing(self.own, address) {
            Ok(socket) => socket,
            Err(error) => return self.failed(peer, &error),
        };
        let (number, fd) = (peer as u32 + 1, socket.as_raw_fd());
        // Writable or failed: the connection is made or not.
        self.arms.push(Arm { number, fd, flags: libc::POLLOUT as u32 });
        tether.socket = Some(socket);
    }

    /// No connection came about. "Refused" after there had been one means that the process is gone.
    fn failed(&mut self, peer: usize, error: &io::Error) {
        let tether = &mut self.tethers[peer];
        tether.socket = None;
        tether.up = false;
        let refused = error.raw_os_error() == Some(libc::ECONNREFUSED);
        if std::mem::take(&mut tether.lost) && refused {
            self.gone.push(peer as u16);
        }
    }

    fn outgoing(&mut self, peer: usize) {
        let Some(tether) = self.tethers.get_mut(peer) else { return };
        let Some(socket) = &tether.socket else { return };
        if !tether.up {
            return match socket.take_error() {
                Ok(None) => {
                    tether.up = true;
                    tether.lost = false;
                    let fd = socket.as_raw_fd();
                    self.arms.push(Arm { number: peer as u32 + 1, fd, flags: CLOSED });
                }
                Ok(Some(error)) | Err(error) => self.failed(peer, &error),
            };
        }
        tether.socket = None;
        tether.up = false;
        tether.lost = true;
        tether.retries += 1;
        if tether.retries <= RETRIES_MAX {
            self.connect(peer);
        }
    }

    fn accept(&mut self) {
        for _ in 0..ACCEPTS_MAX {
            let Ok((socket, from)) = self.listener.accept() else { return };
            let Some(ip) = from.as_socket().map(|a| a.ip()) else { continue };
            if !self.addresses.iter().flatten().any(|a| a.ip() == ip) {
                continue;
            }
            let Some(slot) = self.held.iter().position(Option::is_none) else { continue };
            let _ = socket.set_nonblocking(true);
            if prepare(&socket).is_err() {
                continue;
            }
            let number = (HELD_FIRST + slot) as u32;
            self.arms.push(Arm { number, fd: socket.as_raw_fd(), flags: CLOSED });
            self.held[slot] = Some(socket);
            self.tie(Some(ip));
        }
    }
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM.cloexec().nonblocking(), Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// Closing resets: no state lingers, and the other side knows at once.
fn prepare(socket: &Socket) -> io::Result<()> {
    socket.set_linger(Some(Duration::ZERO))?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4);
    socket.set_tcp_keepalive(&keepalive)
}

/// A connection on its way, from our own address, by which the peer knows us.
fn outgoing(own: IpAddr, to: SocketAddr) -> io::Result<Socket> {
    let socket = socket(to)?;
    prepare(&socket)?;
    // The port is chosen when connecting, so that it is shared with connections to other addresses.
    let _ = sockopt::set_int(&socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1);
    socket.bind(&SocketAddr::new(own, 0).into())?;
    match socket.connect(&to.into()) {
        Ok(()) => {}
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(e) => return Err(e),
    }
    Ok(socket)
}
