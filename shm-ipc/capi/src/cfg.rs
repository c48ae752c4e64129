//! libcfg: administration.

use std::ffi::{c_char, c_void};
use std::net::IpAddr;
use std::sync::Arc;

use services::cfg::{Answer, Link, Node, Notice, Request, Shutdown};
use services::{Answer as Any, Notice as AnyNotice, Request as AnyRequest};

use crate::edge::{bytes_of, guard, malloc_text, put, value_at};
use crate::error::{CsError, INVALID_PARAM, NAME_TOO_LONG, NO_MEMORY, Outcome, STRANGE};
use crate::handles::Table;
use crate::service::Connection;

/// `CFG_MAX_HOST_LEN`.
const HOST_BYTES: usize = 256;

/// `CFG_MAX_LINKS`.
const LINKS_MAX: usize = 8;

/// Longest reason of a kill, in bytes.
const REASON_BYTES_MAX: usize = 255;

/// `corosync_cfg_shutdown_callback_t`.
pub type ShutdownFn = Option<unsafe extern "C" fn(u64, i32)>;

/// `corosync_cfg_callbacks_t`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct CfgCallbacks {
    /// Somebody wants to shut this node down.
    pub shutdown: ShutdownFn,
}

/// `corosync_cfg_node_address_t`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct CfgNodeAddress {
    /// Bytes used.
    pub len: i32,
    /// A `sockaddr_in` or `sockaddr_in6`.
    pub address: [u8; 28],
}

/// `struct corosync_knet_link_status_v1`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct LinkStatusV1 {
    /// Configured.
    pub enabled: u8,
    /// Heard of lately.
    pub connected: u8,
    /// Its address was found out by listening.
    pub dynconnected: u8,
    /// Largest datagram.
    pub mtu: u32,
    /// Our address.
    pub source: [u8; HOST_BYTES],
    /// Its address.
    pub destination: [u8; HOST_BYTES],
}

/// `struct corosync_cfg_node_status_v1`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct NodeStatusV1 {
    /// 1.
    pub version: i32,
    /// Its id.
    pub nodeid: u32,
    /// Heard of lately.
    pub reachable: u8,
    /// Reached through another node.
    pub remote: u8,
    /// Outside of the cluster.
    pub external: u8,
    /// Lowest version of the wire format it speaks.
    pub onwire_min: u8,
    /// Highest version it speaks.
    pub onwire_max: u8,
    /// The version spoken with it.
    pub onwire_ver: u8,
    /// Its links.
    pub links: [LinkStatusV1; LINKS_MAX],
}

struct Cfg {
    shutdown: ShutdownFn,
    connection: Connection<()>,
}

static HANDLES: Table<Cfg> = Table::new();

/// Connects.
#[unsafe(no_mangle)]
pub extern "C" fn corosync_cfg_initialize(
    handle: *mut u64,
    callbacks: *const CfgCallbacks,
) -> CsError {
    guard(|| {
        if handle.is_null() {
            return Err(INVALID_PARAM);
        }
        let shutdown = value_at(callbacks).map_or(None, |callbacks| callbacks.shutdown);
        let connection = Connection::open(())?;
        put(handle, HANDLES.insert(Arc::new(Cfg { shutdown, connection })))
    })
}

/// The descriptor to poll.
#[unsafe(no_mangle)]
pub extern "C" fn corosync_cfg_fd_get(handle: u64, fd: *mut i32) -> CsError {
    guard(|| put(fd, HANDLES.get(handle)?.connection.fd()))
}

/// Calls back for what is asked of the program.
#[unsafe(no_mangle)]
pub extern "C" fn corosync_cfg_dispatch(handle: u64, flags: i32) -> CsError {
    guard(|| {
        let cfg = HANDLES.get(handle)?;
        cfg.connection.dispatch(flags, &mut |notice| {
            let (AnyNotice::Cfg(Notice::Shutdown(how)), Some(shutdown)) = (notice, cfg.shutdown)
            else {
                return;
            };
            let flags = match how {
                Shutdown::Request => 0,
                Shutdown::Regardless => 1,
                Shutdown::Immediate => 2,
            };
            // SAFETY: the program's own function of this type.
            unsafe { shutdown(handle, flags) };
        })
    })
}

/// Disconnects.
#[unsafe(no_mangle)]
pub extern "C" fn corosync_cfg_finalize(handle: u64) -> CsError {
    guard(|| {
        HANDLES.remove(handle)?.connection.finalize();
        Ok(())
    })
}

fn ask(handle: u64, request: Request) -> Outcome<Any> {
    HANDLES.get(handle)?.connection.ask(&AnyRequest::Cfg(request))
}

fn order(handle: u64, request: Request) -> Outcome {
    HANDLES.get(handle)?.connection.order(&AnyRequest::Cfg(request))
}

/// Names and states of this node's links, in memory that the program frees piece by piece.
#[unsafe(no_mangle)]
pub extern "C" fn corosync_cfg_ring_status_get(
    handle: u64,
    names: *mut *mut *mut c_char,
    states: *mut *mut *mut c_char,
    count: *mut u32,
) -> CsError {
    guard(|| {
        if names.is_null() || states.is_null() || count.is_null() {
            return Err(INVALID_PARAM);
        }
        let Any::Cfg(Answer::Links(links)) = ask(handle, Request::Links)? else {
            return Err(STRANGE);
        };
        let texts =
            |text: fn(&services::cfg::LinkStatus) -> &str| malloc_texts(links.iter().map(text));
        put(names, texts(|link| &link.name)?)?;
        put(states, texts(|link| &link.status)?)?;
        put(count, links.len() as u32)
    })
}

/// An array of strings, each and itself from `malloc`. Out of memory in the middle leaves what was made: the
/// program is about to end.
fn malloc_texts<'a>(texts: impl ExactSizeIterator<Item = &'a str>) -> Outcome<*mut *mut c_char> {
    // SAFETY: any size may be asked for.
    let array = unsafe { libc::malloc(size_of::<*mut c_char>() * texts.len().max(1)) };
    let array = array.cast::<*mut c_char>();
    if array.is_null() {
        return Err(NO_MEMORY);
    }
    for (at, text) in texts.enumerate() {
        let text = malloc_text(text.as_bytes())?;
        // SAFETY: the array was made for as many pointers as there are texts.
        unsafe { array.add(at).write(text) };
    }
    Ok(array)
}

/// A node as this one sees it.
#[unsafe(no_mangle)]
pub extern "C" fn corosync_cfg_node_status_get(
    handle: u64,
    node: u32,
    version: i32,
    status: *mut c_void,
) -> CsError {
    guard(|| {
        if status.is_null() || version != 1 {
            return Err(INVALID_PARAM);
        }
        let Any::Cfg(Answer::Node(node)) = ask(handle, Request::NodeStatus { node })? else {
            return Err(STRANGE);
        };
        put(status.cast(), node_status(&node))
    })
}

fn node_status(node: &Node) -> NodeStatusV1 {
    let none = LinkStatusV1 {
        enabled: 0,
        connected: 0,
        dynconnected: 0,
        mtu: 0,
        source: [0; HOST_BYTES],
        destination: [0; HOST_BYTES],
    };
    let mut links = [none; LINKS_MAX];
    for link in &node.links {
        if let Some(place) = links.get_mut(usize::from(link.number)) {
            *place = link_status(link);
        }
    }
    NodeStatusV1 {
        version: 1,
        nodeid: node.id,
        reachable: node.reachable.into(),
        remote: node.remote.into(),
        external: node.external.into(),
        onwire_min: node.wire_min,
        onwire_max: node.wire_max,
        onwire_ver: node.wire,
        links,
    }
}

fn link_status(link: &Link) -> LinkStatusV1 {
    LinkStatusV1 {
        enabled: link.enabled.into(),
        connected: link.connected.into(),
        dynconnected: link.dynamic.into(),
        mtu: link.mtu,
        source: host(&link.source),
        destination: host(&link.destination),
    }
}

/// An address as text, with a NUL.
fn host(text: &str) -> [u8; HOST_BYTES] {
    let mut bytes = [0; HOST_BYTES];
    bytes[..HOST_BYTES - 1].iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
    bytes
}

/// Makes a node leave at once.
#[unsafe(no_mangle)]
pub extern "C" fn corosync_cfg_kill_node(handle: u64, node: u32, reason: *const c_char) -> CsError {
    guard(|| {
        let reason = if reason.is_null() { &[] } else { bytes_of(reason)? };
        if reason.len() > REASON_BYTES_MAX {
            return Err(NAME_TOO_LONG);
        }
        order(handle, Request::Kill { node, reason: reason.to_vec() })
    })
}

/// Asks to be asked before a shutdown.
#[unsafe(no_mangle)]
pub extern "C" fn corosync_cfg_trackstart(handle: u64, _flags: u8) -> CsError {
    guard(|| order(handle, Request::Track))
}

/// Asks not to be asked any more.
#[unsafe(no_mangle)]
pub extern "C" fn corosync_cfg_trackstop(handle: u64) -> CsError {
    guard(|| order(handle, Request::Untrack))
}

/// Shuts this node down, or tries to.
#[unsafe(no_mangle)]
pub extern "C" fn corosync_cfg_try_shutdown(handle: u64, flags: i32) -> CsError {
    guard(|| {
        let how = match flags {
            0 => Shutdown::Request,
            1 => Shutdown::Regardless,
            2 => Shutdown::Immediate,
            _ => return Err(INVALID_PARAM),
        };
        order(handle, Request::TryShutdown(how))
    })
}

/// Answers when asked.
#[unsafe(no_mangle)]
pub extern "C" fn corosync_cfg_replyto_shutdown(handle: u64, flags: i32) -> CsError {
    guard(|| match flags {
        0 | 1 => order(handle, Request::ReplyShutdown { yes: flags == 1 }),
        _ => Err(INVALID_PARAM),
    })
}

/// Addresses of a node.
#[unsafe(no_mangle)]
pub extern "C" fn corosync_cfg_get_node_addrs(
    handle: u64,
    node: u32,
    room: usize,
    count: *mut i32,
    addresses: *mut CfgNodeAddress,
) -> CsError {
    guard(|| {
        if count.is_null() || addresses.is_null() && room > 0 {
            return Err(INVALID_PARAM);
        }
        let asked = ask(handle, Request::NodeAddresses { node })?;
        let Any::Cfg(Answer::Addresses(found)) = asked else { return Err(STRANGE) };
        let found = &found[..found.len().min(room)];
        for (at, address) in found.iter().enumerate() {
            // SAFETY: not null, and within the room that the program gave.
            unsafe { addresses.add(at).write(node_address(*address)) };
        }
        put(count, found.len() as i32)
    })
}

/// As the kernel lays out socket addresses: family, port, then the address (IPv6: after the flow's label).
fn node_address(address: IpAddr) -> CfgNodeAddress {
    let mut bytes = [0; 28];
    let (family, len) = match address {
        IpAddr::V4(v4) => {
            bytes[4..8].copy_from_slice(&v4.octets());
            (libc::AF_INET, size_of::<libc::sockaddr_in>())
        }
        IpAddr::V6(v6) => {
            bytes[8..24].copy_from_slice(&v6.octets());
            (libc::AF_INET6, size_of::<libc::sockaddr_in6>())
        }
    };
    bytes[..2].copy_from_slice(&(family as libc::sa_family_t).to_ne_bytes());
    CfgNodeAddress { len: len as i32, address: bytes }
}

/// This node's id.
#[unsafe(no_mangle)]
pub extern "C" fn corosync_cfg_local_get(handle: u64, node: *mut u32) -> CsError {
    guard(|| {
        let cfg = HANDLES.get(handle)?;
        match cfg.connection.ask(&AnyRequest::Cfg(Request::LocalGet))? {
            Any::Cfg(Answer::Local { node: local }) => put(node, local),
            _ => Err(STRANGE),
        }
    })
}

/// Reads the configuration anew.
#[unsafe(no_mangle)]
pub extern "C" fn corosync_cfg_reload_config(handle: u64) -> CsError {
    guard(|| order(handle, Request::Reload))
}

/// Opens log files anew.
#[unsafe(no_mangle)]
pub extern "C" fn corosync_cfg_reopen_log_files(handle: u64) -> CsError {
    guard(|| order(handle, Request::ReopenLogs))
}
