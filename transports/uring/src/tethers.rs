//! Tethers: one idle TCP connection to every peer, whose end says that its process has died.
//!
//! A killed process sends no farewell, and multicasts to it go unanswered, so a ring that rests would notice
//! only by missing beacons. But the kernel closes a dead process's connections at once. Nothing is ever
//! sent on a tether; keep-alives once a minute weed out connections to hosts that vanished.
//!
//! Every node listens on the TCP port with the number of its data port and connects to every peer; the
//! connection it made tells it about that peer, those it accepted are only held. When a tether ends,
//! it is tied again at once; only if that is refused, is the peer reported, and again for the next two
//! refusals, a moment apart: then who is sent to and lives has had the time to answer. There are no other
//! timers: a peer that comes up connects to us, which is when we connect to it again. All of this is
//! a hint like any other and may fail silently (firewalls); anybody on a peer's address can forge it.
//!
//! An epoll descriptor watches all of these sockets, and the ring only that one. An operation of the ring keeps its
//! file; when its process dies the kernel lets go of it in the background, 6 to 15 ms later where a tick lasts 4 ms,
//! and so long the UDP sockets still swallow what the dead are asked. What nothing but the process's table of
//! descriptors holds is closed as it ends, after 1 ms.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::event::{Timespec, epoll};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use crate::config::Peer;
use crate::sockopt;

/// How often a tether is tied again before somebody comes up and asks for it: a peer that accepts
/// and drops connections must not keep us busy.
const RETRIES_MAX: u8 = 8;

/// Connections taken from the listener per wake-up; more wait there for the next.
const ACCEPTS_MAX: usize = 64;

/// Reports of a peer whose listener is gone: one, and one for each time that its life is asked for (`PINGS` of totem)
/// before it is believed.
const REFUSALS_MAX: u8 = 3;

/// Time between them: several times what a peer on the next core takes to answer.
const REFUSAL_GAP: Timespec = Timespec { tv_sec: 0, tv_nsec: 500_000 };

/// Events taken from the kernel in one go.
const EVENTS_MAX: usize = 64;

/// Connections held per peer: its own, and one being replaced.
const HELD_PER_PEER: usize = 2;

/// Number of the listener; those of tethers are their peers' positions.
const LISTENER: u64 = u64::MAX;

/// Number of the timer.
const TIMER: u64 = u64::MAX - 1;

/// Number of the first connection held: above those of all positions, which fit 16 bits.
const HELD_FIRST: u64 = 1 << 16;

/// Silence after which the kernel asks whether the other host still knows the connection.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// What is watched for on a connection.
const CLOSED: epoll::EventFlags = epoll::EventFlags::IN.union(epoll::EventFlags::RDHUP);

/// A connection this node made.
#[derive(Debug, Default)]
struct Tether {
    socket: Option<Socket>,
    up: bool,
    /// It was up and ended; if it cannot be tied again, the peer is gone.
    lost: bool,
    retries: u8,
    /// How often it was refused since it was lost.
    refusals: u8,
}

/// All tethers of a node.
#[derive(Debug)]
pub(crate) struct Tethers {
    epoll: OwnedFd,
    listener: Socket,
    /// Ends the gap between two refusals, of whomever it concerns.
    timer: OwnedFd,
    me: u16,
    own: IpAddr,
    /// By peer; none where it was taken out.
    addresses: Vec<Option<SocketAddr>>,
    tethers: Vec<Tether>,
    held: Vec<Option<Socket>>,
    /// Peers to report.
    pub(crate) gone: Vec<u16>,
}

impl Tethers {
    /// Opens the listener.
    pub(crate) fn listen(me: u16, peers: &[Peer]) -> io::Result<Self> {
        let address = peers[usize::from(me)].data;
        let listener = socket(address)?;
        listener.set_reuse_address(true)?;
        listener.bind(&address.into())?;
        listener.listen(i32::try_from(peers.len()).unwrap_or(i32::MAX).max(16))?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let (data, readable) = (epoll::EventData::new_u64, epoll::EventFlags::IN);
        epoll::add(&epoll, &listener, data(LISTENER), readable)?;
        epoll::add(&epoll, &timer, data(TIMER), readable)?;
        Ok(Self {
            epoll,
            timer,
            me,
            own: address.ip(),
            addresses: peers.iter().map(|p| Some(p.data)).collect(),
            tethers: peers.iter().map(|_| Tether::default()).collect(),
            held: (0..peers.len() * HELD_PER_PEER).map(|_| None).collect(),
            gone: Vec::new(),
            listener,
        })
    }

    /// Readable when [`Tethers::look`] has something to do.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.epoll.as_raw_fd()
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
        self.tethers[at] = Tether::default();
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

    /// Does what there is to do, or some of it: the descriptor stays readable until all is done.
    #[cold]
    pub(crate) fn look(&mut self) {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS_MAX);
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let spare = rustix::buffer::spare_capacity(&mut events);
        if epoll::wait(&self.epoll, spare, Some(&at_once)).is_err() {
            return;
        }
        for event in events {
            match event.data.u64() {
                LISTENER => self.accept(),
                TIMER => self.try_lost(),
                n if n < HELD_FIRST => self.outgoing(n as usize),
                n => {
                    // Its owner is gone, or says something, which tethers do not: let go of it.
                    if let Some(slot) = self.held.get_mut((n - HELD_FIRST) as usize) {
                        *slot = None;
                    }
                }
            }
        }
    }

    /// The gap after a refusal has passed.
    fn try_lost(&mut self) {
        let mut ticks = [0; 8];
        let _ = rustix::io::read(&self.timer, &mut ticks);
        for peer in 0..self.tethers.len() {
            let tether = &self.tethers[peer];
            if tether.lost && tether.socket.is_none() && tether.refusals > 0 {
                self.connect(peer);
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
        // Writable or failed: the connection is made or not.
        let (data, flags) = (epoll::EventData::new_u64(peer as u64), epoll::EventFlags::OUT);
        match epoll::add(&self.epoll, &socket, data, flags) {
            Ok(()) => tether.socket = Some(socket),
            Err(error) => self.failed(peer, &error.into()),
        }
    }

    /// No connection came about. "Refused" after there had been one means that the process is gone.
    fn failed(&mut self, peer: usize, error: &io::Error) {
        let tether = &mut self.tethers[peer];
        tether.socket = None;
        tether.up = false;
        let refused = error.raw_os_error() == Some(libc::ECONNREFUSED);
        if !(tether.lost && refused) {
            tether.lost = false;
            return;
        }
        tether.refusals += 1;
        tether.lost = tether.refusals < REFUSALS_MAX;
        self.gone.push(peer as u16);
        if tether.lost {
            let once = Timespec { tv_sec: 0, tv_nsec: 0 };
            let gap = Itimerspec { it_interval: once, it_value: REFUSAL_GAP };
            // At worst nobody comes back to it, and the peer is missed later.
            let _ = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &gap);
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
                    let data = epoll::EventData::new_u64(peer as u64);
                    if let Err(error) = epoll::modify(&self.epoll, socket, data, CLOSED) {
                        self.failed(peer, &error.into());
                    }
                }
                Ok(Some(error)) | Err(error) => self.failed(peer, &error),
            };
        }
        tether.socket = None;
        tether.up = false;
        tether.lost = true;
        tether.refusals = 0;
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
            let data = epoll::EventData::new_u64(HELD_FIRST + slot as u64);
            if epoll::add(&self.epoll, &socket, data, CLOSED).is_err() {
                continue;
            }
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
