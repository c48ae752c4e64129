//! The sockets of a node: token, data, and the group's.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use libc::{IPPROTO_IP, IPPROTO_IPV6, SOL_UDP};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockAddr, SockFilter, Socket, Type};

use crate::config::{Config, Multicast, Warning, header_bytes};
use crate::error::Error;
use crate::sockopt;
use crate::transport::{FILE_DATA, FILE_TOKEN};

/// Longest the self-test of multicast waits for its own datagram; on one host it is there at once.
const SELF_TEST_WAIT: Duration = Duration::from_millis(100);

/// Payload every path must carry: IPv4's least reassembly size less headers, rounded down.
pub(crate) const DATAGRAM_BYTES_MIN: usize = 512;

/// The group's receiving socket and where to send.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) socket: Socket,
    pub(crate) address: SocketAddr,
    /// Index of the interface it was joined on.
    pub(crate) interface: u32,
}

/// All sockets of a node.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) token: Socket,
    pub(crate) data: Socket,
    pub(crate) group: Option<Group>,
    /// Whether bursts may be sent as one (`UDP_SEGMENT`).
    pub(crate) gso: bool,
    /// Largest datagram the paths known at start carry unfragmented, within the configured limit.
    pub(crate) datagram_bytes: usize,
}

impl Sockets {
    pub(crate) fn open(config: &Config, warnings: &mut Vec<Warning>) -> Result<Self, Error> {
        let me = config.peers[config.me as usize];
        let token = unicast("token", me.token)?;
        let data = unicast("data", me.data)?;
        buffers("data", &data, config, warnings);
        buffers("token", &token, config, warnings);
        let gso = config.offload && offload(&data, warnings);
        let group = config.multicast.as_ref().and_then(|m| {
            join(config, m, me.data, &data)
                .map_err(|reason| {
                    warnings.push(Warning::NoMulticast { group: m.group, reason });
                })
                .ok()
        });
        if let Some(group) = &group {
            buffers("multicast", &group.socket, config, warnings);
            if config.offload {
                let _ = sockopt::set_int(&group.socket, SOL_UDP, libc::UDP_GRO, 1);
            }
        }
        let mut sockets = Self { token, data, group, gso, datagram_bytes: 0 };
        let room = sockets.path_mtu(config).saturating_sub(header_bytes(me.data.ip()));
        sockets.datagram_bytes = room.min(config.datagram_bytes_max).max(DATAGRAM_BYTES_MIN);
        Ok(sockets)
    }

    /// The descriptor of a socket by its number; -1 for a group that is not there.
    pub(crate) fn fd(&self, file: u32) -> RawFd {
        match file {
            FILE_TOKEN => self.token.as_raw_fd(),
            FILE_DATA => self.data.as_raw_fd(),
            _ => self.group.as_ref().map_or(-1, |g| g.socket.as_raw_fd()),
        }
    }

    /// The least MTU of all paths as the kernel's routes know them now. Alone or with no route yet
    /// nothing limits us but the configuration; a smaller path shows itself with the first datagram.
    pub(crate) fn path_mtu(&self, config: &Config) -> usize {
        let me = config.peers[config.me as usize].data.ip();
        let others = config.peers.iter().enumerate().filter(|(i, _)| *i != config.me as usize);
        let unicast = others.filter_map(|(_, peer)| path_mtu(me, peer.data, None));
        let multicast =
            self.group.iter().filter_map(|g| path_mtu(me, g.address, Some(g.interface)));
        unicast.chain(multicast).min().unwrap_or(usize::MAX)
    }

    /// Lets the kernel fragment what is larger than the path's MTU.
    pub(crate) fn allow_fragments(&self) {
        for socket in [&self.token, &self.data] {
            let v4 = socket.domain().is_ok_and(|d| d == Domain::IPV4);
            // If refused, such datagrams are lost and counted.
            let _ = fragments(socket, v4, true);
        }
    }

    /// Datagrams the kernel dropped because a socket buffer was full.
    pub(crate) fn drops(&self) -> u64 {
        let group = self.group.as_ref().map_or(0, |g| sockopt::drops(&g.socket));
        sockopt::drops(&self.token) + sockopt::drops(&self.data) + group
    }
}

fn new_socket(v4: bool) -> io::Result<Socket> {
    let domain = if v4 { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::DGRAM.cloexec().nonblocking(), Some(Protocol::UDP))?;
    if !v4 {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// A bound unicast socket that never fragments and queues ICMP errors.
fn unicast(which: &'static str, address: SocketAddr) -> Result<Socket, Error> {
    let at = |step| move |source| Error::Socket { step, which, address, source };
    let socket = new_socket(address.is_ipv4()).map_err(at("make"))?;
    never_fragment(&socket, address.is_ipv4()).map_err(at("forbid fragments on"))?;
    let (level, name) = if address.is_ipv4() {
        (IPPROTO_IP, libc::IP_RECVERR)
    } else {
        (IPPROTO_IPV6, libc::IPV6_RECVERR)
    };
    sockopt::set_int(&socket, level, name, 1).map_err(at("ask for errors on"))?;
    socket.bind(&address.into()).map_err(at("bind"))?;
    Ok(socket)
}

fn never_fragment(socket: &Socket, v4: bool) -> io::Result<()> {
    fragments(socket, v4, false)
}

/// Allows or forbids IP fragments; either way the path's MTU is learnt.
fn fragments(socket: &Socket, v4: bool, allowed: bool) -> io::Result<()> {
    let (discover, level, name) = if v4 {
        let how = if allowed { libc::IP_PMTUDISC_WANT } else { libc::IP_PMTUDISC_DO };
        (how, IPPROTO_IP, libc::IP_MTU_DISCOVER)
    } else {
        let how = if allowed { libc::IPV6_PMTUDISC_WANT } else { libc::IPV6_PMTUDISC_DO };
        sockopt::set_int(socket, IPPROTO_IPV6, libc::IPV6_DONTFRAG, (!allowed).into())?;
        (how, IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER)
    };
    sockopt::set_int(socket, level, name, discover)
}

/// Asks for socket buffers, past the sysctl limits where we may, and reports what is missing.
fn buffers(which: &'static str, socket: &Socket, config: &Config, warnings: &mut Vec<Warning>) {
    const FORCE_RECEIVE: i32 = libc::SO_RCVBUFFORCE;
    const FORCE_SEND: i32 = libc::SO_SNDBUFFORCE;
    let clamp = |bytes: usize| i32::try_from(bytes).unwrap_or(i32::MAX);
    let names = match which {
        "data" => ["data receive", "data send"],
        "token" => ["token receive", "token send"],
        _ => ["multicast receive", "multicast send"],
    };
    // A token is one small datagram: an eighth is plenty.
    let share = if which == "token" { 8 } else { 1 };
    let receive = clamp(config.receive_buffer_bytes / share);
    let send = clamp(config.send_buffer_bytes / share);
    if sockopt::set_int(socket, libc::SOL_SOCKET, FORCE_RECEIVE, receive).is_err() {
        let _ = socket.set_recv_buffer_size(receive as usize);
    }
    // The kernel reports twice what was asked for: the other half is its own book-keeping.
    let got = socket.recv_buffer_size().unwrap_or(0) / 2;
    if got < receive as usize {
        warnings.push(Warning::SocketBuffer {
            which: names[0],
            wanted_bytes: receive as usize,
            got_bytes: got,
            sysctl: "net.core.rmem_max",
        });
    }
    if which == "multicast" {
        return;
    }
    if sockopt::set_int(socket, libc::SOL_SOCKET, FORCE_SEND, send).is_err() {
        let _ = socket.set_send_buffer_size(send as usize);
    }
    let got = socket.send_buffer_size().unwrap_or(0) / 2;
    if got < send as usize {
        warnings.push(Warning::SocketBuffer {
            which: names[1],
            wanted_bytes: send as usize,
            got_bytes: got,
            sysctl: "net.core.wmem_max",
        });
    }
}

/// Turns on merging; says whether segmenting is there.
fn offload(data: &Socket, warnings: &mut Vec<Warning>) -> bool {
    if let Err(e) = sockopt::set_int(data, SOL_UDP, libc::UDP_GRO, 1) {
        warnings.push(Warning::NoOffload { what: "UDP_GRO", reason: e.to_string() });
    }
    match sockopt::get_int(data, SOL_UDP, libc::UDP_SEGMENT) {
        Ok(_) => true,
        Err(e) => {
            warnings.push(Warning::NoOffload { what: "UDP_SEGMENT", reason: e.to_string() });
            false
        }
    }
}

/// Joins the group; the data socket will send to it. The error names the step.
fn join(config: &Config, m: &Multicast, me: SocketAddr, data: &Socket) -> Result<Group, String> {
    let index = match &m.interface {
        Some(name) => rustix::net::netdevice::name_to_index(data, name)
            .map_err(|e| format!("no interface {name}: {e}"))?,
        None => sockopt::interface_of(me.ip()).map_err(|e| e.to_string())?,
    };
    let address = scoped(m.group, m.port, index);
    self_test(m, me, index)?;
    prepare_sender(data, m, index)?;
    let socket = receiver(address, index)?;
    // Our own multicasts come back to this host for its other nodes; the kernel drops them for us
    // before they wake anybody.
    let _ = socket.attach_filter(&not_from(config.peers[config.me as usize].data));
    Ok(Group { socket, address, interface: index })
}

/// A group's address; an IPv6 one names the interface, which link-local groups need.
fn scoped(group: IpAddr, port: u16, index: u32) -> SocketAddr {
    match group {
        IpAddr::V4(_) => SocketAddr::new(group, port),
        IpAddr::V6(group) => SocketAddrV6::new(group, port, 0, index).into(),
    }
}

/// Sets where and how far a socket's multicasts go, and that nodes on this host hear them too.
fn prepare_sender(socket: &Socket, m: &Multicast, index: u32) -> Result<(), String> {
    let at = |step: &'static str| move |e: io::Error| format!("{step}: {e}");
    let hops = u32::from(m.hops);
    if m.group.is_ipv4() {
        sockopt::set_multicast_interface_v4(socket, index).map_err(at("choose the interface"))?;
        socket.set_multicast_ttl_v4(hops).map_err(at("set the TTL"))?;
        socket.set_multicast_loop_v4(true).map_err(at("loop back"))
    } else {
        socket.set_multicast_if_v6(index).map_err(at("choose the interface"))?;
        socket.set_multicast_hops_v6(hops).map_err(at("set the hop limit"))?;
        socket.set_multicast_loop_v6(true).map_err(at("loop back"))
    }
}

/// A socket bound to the group's address, so that only the group's datagrams reach it, shared with
/// other nodes on this host.
fn receiver(address: SocketAddr, index: u32) -> Result<Socket, String> {
    let at = |step: &'static str| move |e: io::Error| format!("{step}: {e}");
    let socket = new_socket(address.is_ipv4()).map_err(at("make a socket"))?;
    // For multicast SO_REUSEADDR means that every socket gets a copy, whoever owns it;
    // SO_REUSEPORT would add nothing but the demand that all have one owner.
    socket.set_reuse_address(true).map_err(at("share the port"))?;
    socket.bind(&address.into()).map_err(at("bind to the group"))?;
    match address.ip() {
        IpAddr::V4(group) => {
            let _ = socket.set_multicast_all_v4(false);
            socket
                .join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index))
                .map_err(at("join the group"))?;
        }
        IpAddr::V6(group) => {
            let _ = socket.set_multicast_all_v6(false);
            socket.join_multicast_v6(&group, index).map_err(at("join the group"))?;
        }
    }
    Ok(socket)
}

/// Sends one multicast that cannot leave the host (TTL 0) and expects it back, on a port of its own.
fn self_test(m: &Multicast, me: SocketAddr, index: u32) -> Result<(), String> {
    let at = |step: &'static str| move |e: io::Error| format!("{step}: {e}");
    let receiver = receiver(scoped(m.group, 0, index), index)?;
    let port =
        receiver.local_addr().map_err(at("read the port"))?.as_socket().map_or(0, |a| a.port());
    let sender = new_socket(m.group.is_ipv4()).map_err(at("make a socket"))?;
    sender.bind(&SocketAddr::new(me.ip(), 0).into()).map_err(at("bind"))?;
    prepare_sender(&sender, &Multicast { hops: 0, ..m.clone() }, index)?;
    let nonce = std::process::id().to_le_bytes();
    let to = SockAddr::from(scoped(m.group, port, index));
    sender.send_to(&nonce, &to).map_err(at("send to the group"))?;
    let receiver = UdpSocket::from(receiver);
    receiver.set_nonblocking(false).map_err(at("wait"))?;
    receiver.set_read_timeout(Some(SELF_TEST_WAIT)).map_err(at("wait"))?;
    let mut bytes = [0; 16];
    let len = receiver.recv(&mut bytes).map_err(at("hear our own datagram"))?;
    if bytes[..len] == nonce { Ok(()) } else { Err("heard something else on the group".into()) }
}

/// A socket filter (classic BPF) that drops datagrams from `me` and takes everything else.
fn not_from(me: SocketAddr) -> Vec<SockFilter> {
    const LOAD_HALF: u16 = 0x28;
    const LOAD_WORD: u16 = 0x20;
    const JUMP_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    /// Offsets from here on count from the IP header (SKF_NET_OFF); others from the UDP header.
    const NET: u32 = -0x10_0000_i32 as u32;
    let (source_at, words): (u32, Vec<u32>) = match me.ip() {
        IpAddr::V4(ip) => (12, vec![ip.to_bits()]),
        IpAddr::V6(ip) => {
            let bits = ip.to_bits();
            (8, [96, 64, 32, 0].map(|shift| (bits >> shift) as u32).to_vec())
        }
    };
    let mut tests = vec![(LOAD_HALF, 0, u32::from(me.port()))];
    tests
        .extend(words.iter().zip(0..).map(|(word, i)| (LOAD_WORD, NET + source_at + 4 * i, *word)));
    let mut program = Vec::new();
    for (i, (load, offset, value)) in tests.iter().enumerate() {
        // When a test fails: over the remaining tests (two instructions each) and the drop.
        let to_accept = (2 * (tests.len() - 1 - i) + 1) as u8;
        program.push(SockFilter::new(*load, 0, 0, *offset));
        program.push(SockFilter::new(JUMP_EQUAL, 0, to_accept, *value));
    }
    program.push(SockFilter::new(RETURN, 0, 0, 0));
    program.push(SockFilter::new(RETURN, 0, 0, u32::MAX));
    program
}

/// MTU of the path to `to` as the kernel's routes know it now.
fn path_mtu(me: IpAddr, to: SocketAddr, multicast_index: Option<u32>) -> Option<usize> {
    let socket = new_socket(me.is_ipv4()).ok()?;
    socket.bind(&SocketAddr::new(me, 0).into()).ok()?;
    never_fragment(&socket, me.is_ipv4()).ok()?;
    if let Some(index) = multicast_index {
        if me.is_ipv4() {
            sockopt::set_multicast_interface_v4(&socket, index).ok()?;
        } else {
            socket.set_multicast_if_v6(index).ok()?;
        }
    }
    socket.connect(&to.into()).ok()?;
    let (level, name) =
        if me.is_ipv4() { (IPPROTO_IP, libc::IP_MTU) } else { (IPPROTO_IPV6, libc::IPV6_MTU) };
    usize::try_from(sockopt::get_int(&socket, level, name).ok()?).ok()
}
