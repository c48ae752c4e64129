//! Socket options, the error queue and interface look-up: what no safe crate offers.

use std::ffi::CStr;
use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

use libc::{c_int, c_void, socklen_t};
use socket2::{SockAddr, SockAddrStorage};

/// Sets an option whose value is an int.
pub(crate) fn set_int(fd: impl AsFd, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    // SAFETY: the pointer and the length describe `value`, which outlives the call.
    let rc = unsafe {
        libc::setsockopt(
            fd.as_fd().as_raw_fd(),
            level,
            name,
            (&raw const value).cast::<c_void>(),
            size_of::<c_int>() as socklen_t,
        )
    };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Reads an option whose value is an int.
pub(crate) fn get_int(fd: impl AsFd, level: c_int, name: c_int) -> io::Result<c_int> {
    let mut value: [c_int; 1] = [0];
    get_ints(fd, level, name, &mut value)?;
    Ok(value[0])
}

/// Reads an option whose value is a row of ints; returns how many there were.
fn get_ints(fd: impl AsFd, level: c_int, name: c_int, out: &mut [c_int]) -> io::Result<usize> {
    let mut len = size_of_val(out) as socklen_t;
    // SAFETY: the pointer and the length describe `out`, which outlives the call; every bit pattern
    // the kernel may store is a valid int.
    let rc = unsafe {
        libc::getsockopt(
            fd.as_fd().as_raw_fd(),
            level,
            name,
            out.as_mut_ptr().cast::<c_void>(),
            &raw mut len,
        )
    };
    if rc == 0 { Ok(len as usize / size_of::<c_int>()) } else { Err(io::Error::last_os_error()) }
}

/// Datagrams the kernel dropped at this socket because its buffer was full (`SO_MEMINFO`).
pub(crate) fn drops(fd: impl AsFd) -> u64 {
    const SO_MEMINFO: c_int = 55;
    let mut info: [c_int; 16] = [0; 16];
    match get_ints(fd, libc::SOL_SOCKET, SO_MEMINFO, &mut info) {
        // The kernel's count is unsigned.
        Ok(n) if n > libc::SK_MEMINFO_DROPS as usize => {
            info[libc::SK_MEMINFO_DROPS as usize].cast_unsigned().into()
        }
        _ => 0,
    }
}

/// Sends IPv4 multicasts of this socket out of an interface.
pub(crate) fn set_multicast_interface_v4(fd: impl AsFd, index: u32) -> io::Result<()> {
    let request = libc::ip_mreqn {
        imr_multiaddr: libc::in_addr { s_addr: 0 },
        imr_address: libc::in_addr { s_addr: 0 },
        imr_ifindex: index.cast_signed(),
    };
    // SAFETY: the pointer and the length describe `request`, which outlives the call.
    let rc = unsafe {
        libc::setsockopt(
            fd.as_fd().as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_MULTICAST_IF,
            (&raw const request).cast::<c_void>(),
            size_of::<libc::ip_mreqn>() as socklen_t,
        )
    };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// One entry of a socket's error queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueuedError {
    /// Where the datagram that failed was going, if the kernel says.
    pub(crate) destination: Option<SocketAddr>,
    /// The error number a system call would have returned.
    pub(crate) errno: i32,
    /// Whether another host (or our own stack in its name) sent it as ICMP.
    pub(crate) icmp: bool,
    /// For `EMSGSIZE`: the MTU found on the path.
    pub(crate) mtu: u32,
}

/// Takes one entry off the error queue; `None` when it is empty.
pub(crate) fn next_error(fd: impl AsFd) -> Option<QueuedError> {
    // Aligned as a cmsghdr must be; room for IP_RECVERR with its offender's address and more.
    let mut control = [0u64; 64];
    let mut name = SockAddrStorage::zeroed();
    // SAFETY: a msghdr of zeroes is an empty message.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_name = (&raw mut name).cast();
    message.msg_namelen = name.size_of();
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
    // SAFETY: every pointer in `message` is to a local that outlives the call, with its true length;
    // there is no iovec, so the datagram's own bytes are cut off.
    if unsafe { libc::recvmsg(fd.as_fd().as_raw_fd(), &raw mut message, flags) } < 0 {
        return None;
    }
    // SAFETY: the kernel wrote an address of this length (possibly 0) over the zeroes.
    let address = unsafe { SockAddr::new(name, message.msg_namelen) };
    let mut found = QueuedError { destination: address.as_socket(), errno: 0, icmp: false, mtu: 0 };
    // SAFETY: the kernel set msg_controllen to what it wrote into `control`; CMSG_FIRSTHDR and
    // CMSG_NXTHDR stay inside that; the structure is read unaligned and only if it fits.
    unsafe {
        let mut at = libc::CMSG_FIRSTHDR(&raw const message);
        while !at.is_null() {
            let header = &*at;
            let error = matches!(
                (header.cmsg_level, header.cmsg_type),
                (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
            );
            let need = libc::CMSG_LEN(size_of::<libc::sock_extended_err>() as u32) as usize;
            if error && header.cmsg_len as usize >= need {
                let e: libc::sock_extended_err = ptr::read_unaligned(libc::CMSG_DATA(at).cast());
                found.errno = e.ee_errno.cast_signed();
                found.icmp =
                    matches!(e.ee_origin, libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6);
                found.mtu = e.ee_info;
            }
            at = libc::CMSG_NXTHDR(&raw const message, at);
        }
    }
    Some(found)
}

/// Index of the interface that has this address; for a loopback address that no interface lists
/// (127.0.0.2), the loopback interface.
pub(crate) fn interface_of(ip: IpAddr) -> io::Result<u32> {
    let mut list: *mut libc::ifaddrs = ptr::null_mut();
    // SAFETY: `list` is a valid place for the answer.
    if unsafe { libc::getifaddrs(&raw mut list) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut index = 0;
    let mut at = list;
    while !at.is_null() {
        // SAFETY: `at` walks the list getifaddrs made, which is freed only below; names in it are
        // NUL-terminated, addresses null or of the length their family says.
        let (entry, address) = unsafe { (&*at, address((*at).ifa_addr)) };
        let loopback = entry.ifa_flags & libc::IFF_LOOPBACK as u32 != 0 && ip.is_loopback();
        if address == Some(ip) || (loopback && index == 0) {
            // SAFETY: as above.
            let name = unsafe { CStr::from_ptr(entry.ifa_name) };
            // SAFETY: the name is NUL-terminated.
            index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        }
        at = entry.ifa_next;
    }
    // SAFETY: `list` came from getifaddrs and nothing of it is used any more.
    unsafe { libc::freeifaddrs(list) };
    if index == 0 {
        let text = format!("no interface has the address {ip}");
        return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, text));
    }
    Ok(index)
}

/// # Safety
/// `sockaddr` is null or points to an address of the length that its family says.
unsafe fn address(sockaddr: *const libc::sockaddr) -> Option<IpAddr> {
    if sockaddr.is_null() {
        return None;
    }
    // SAFETY: the caller's promise; every family's structure starts with the family.
    match c_int::from(unsafe { (*sockaddr).sa_family }) {
        libc::AF_INET => {
            // SAFETY: the family says that this is a sockaddr_in.
            let v4 = unsafe { ptr::read_unaligned(sockaddr.cast::<libc::sockaddr_in>()) };
            Some(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that this is a sockaddr_in6.
            let v6 = unsafe { ptr::read_unaligned(sockaddr.cast::<libc::sockaddr_in6>()) };
            Some(Ipv6Addr::from(v6.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}
