//! Why a transport could not be made.

use std::io;
use std::net::IpAddr;

/// Why a transport could not be made: what was tried, what was answered, what to change.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration contradicts itself.
    #[error("bad verbs configuration: {0}")]
    Config(String),
    /// The host has no RDMA at all.
    #[error("RDMA is not available: {0}")]
    Unavailable(String),
    /// No RDMA device has the node's address.
    #[error("no RDMA device has the address {address}: {source}; {devices}")]
    NoDevice {
        /// The node's address.
        address: IpAddr,
        /// What the connection manager answered.
        source: io::Error,
        /// What devices there are.
        devices: String,
    },
    /// The address belongs to another device, port or partition than the configuration says.
    #[error("{address} belongs to {what} {found}, and the configuration says {wanted}")]
    Other {
        /// The node's address.
        address: IpAddr,
        /// "device", "port" or "partition".
        what: &'static str,
        /// Where the address is.
        found: String,
        /// Where it should be.
        wanted: String,
    },
    /// A step of setting up failed.
    #[error("cannot {step}: {source}{hint}")]
    Step {
        /// The step, as a person would say it.
        step: &'static str,
        /// What the kernel or library answered.
        source: io::Error,
        /// What to change, if that is known.
        hint: &'static str,
    },
    /// The slots of the pool are too small to receive into.
    #[error(
        "small slots of {have} bytes are too small; at least {need} are needed for {mtu} byte datagrams"
    )]
    Slots {
        /// Bytes a slot has.
        have: usize,
        /// Bytes it must have.
        need: usize,
        /// Bytes of a datagram.
        mtu: usize,
    },
}

impl Error {
    /// A step that failed just now, with what `errno` says.
    pub(crate) fn step(step: &'static str) -> Self {
        Self::at(step, io::Error::last_os_error())
    }

    pub(crate) fn at(step: &'static str, source: io::Error) -> Self {
        let hint = match source.raw_os_error() {
            Some(libc::ENOMEM) => {
                " (the region must be locked in memory: LimitMEMLOCK=infinity in the unit, or `ulimit -l unlimited`)"
            }
            Some(libc::EACCES | libc::EPERM) => {
                " (the engine's user must be allowed to open /dev/infiniband/uverbs* and rdma_cm)"
            }
            Some(libc::EADDRINUSE) => " (another process listens on this address and port)",
            _ => "",
        };
        Self::Step { step, source, hint }
    }

    /// Whether the address is taken, perhaps by a predecessor that is just being buried.
    pub fn is_address_in_use(&self) -> bool {
        matches!(self, Self::Step { source, .. } if source.raw_os_error() == Some(libc::EADDRINUSE))
    }
}
