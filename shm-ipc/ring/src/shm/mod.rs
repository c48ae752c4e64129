//! Sealed memory segments.
//!
//! A segment starts as a [`Draft`]: its maker maps what it needs, then seals it and hands the
//! descriptor out. The receiver trusts nothing: [`Segment::receive`] refuses what is not a memfd on
//! tmpfs, lacks the seals against shrinking and growing, or has another size than announced.
//! Without the seals a peer could cut the file and every access would raise `SIGBUS`.
//!
//! | seal | why |
//! |---|---|
//! | `F_SEAL_SHRINK` | nobody can take the memory away under a mapping |
//! | `F_SEAL_GROW` | nobody can blow it up and charge it to the maker |
//! | `F_SEAL_FUTURE_WRITE` | ([`PeerAccess::ReadOnly`]) the maker's mappings stay writable, no new one can be |
//! | `F_SEAL_SEAL` | the set of seals is final |

mod mapping;
mod segment;

pub use mapping::Mapping;
pub use segment::{Access, Draft, PeerAccess, Segment};

/// Bytes of a page, the granularity of mappings. Larger hardware pages are refused when mapping.
pub const PAGE_BYTES: usize = 4096;

/// Why memory could not be made, received or used.
#[derive(Debug, thiserror::Error)]
pub enum ShmError {
    /// The kernel refused a step.
    #[error("cannot {step}: {source}")]
    Os {
        /// The step, as a person would say it.
        step: &'static str,
        /// What the kernel answered.
        source: std::io::Error,
    },
    /// The descriptor received is no memfd on tmpfs (ordinary file, socket, huge-page file: their
    /// pages can go away or fail to come).
    #[error("the descriptor received is not a memfd on tmpfs")]
    NotMemfd,
    /// The descriptor received lacks seals.
    #[error(
        "the segment received lacks the seals against shrinking and growing (has {found:#x}, \
         needs {needed:#x})"
    )]
    Unsealed {
        /// Bits of `F_GET_SEALS`.
        found: u32,
        /// Bits that must be among them.
        needed: u32,
    },
    /// The segment received has another size than announced.
    #[error("the segment received has {found} bytes, announced were {expected}")]
    Size {
        /// Bytes found.
        found: u64,
        /// Bytes announced.
        expected: u64,
    },
    /// Something does not fit where it should be placed.
    #[error(
        "{what} of {bytes} bytes at offset {offset} does not fit a mapping of {len} bytes or its alignment"
    )]
    Place {
        /// What was to be placed.
        what: &'static str,
        /// Where.
        offset: usize,
        /// Its size in bytes.
        bytes: usize,
        /// Bytes of the mapping.
        len: usize,
    },
    /// A word that this side must write lies in a read-only mapping.
    #[error("{what} must be written by this side but is mapped read-only")]
    ReadOnly {
        /// What must be writable.
        what: &'static str,
    },
    /// A capacity that is no power of two or outside the limits.
    #[error("a capacity of {found} is not a power of two within {low}..={high}")]
    Capacity {
        /// What was asked for.
        found: u64,
        /// Least accepted.
        low: u64,
        /// Greatest accepted.
        high: u64,
    },
}

impl ShmError {
    /// Names the step a system call was for.
    pub(crate) fn os(step: &'static str) -> impl FnOnce(rustix::io::Errno) -> Self {
        move |errno| Self::Os { step, source: errno.into() }
    }
}

/// Checks that `capacity` is a power of two within the limits.
pub(crate) fn check_capacity(capacity: u64, low: u64, high: u64) -> Result<(), ShmError> {
    if capacity.is_power_of_two() && (low..=high).contains(&capacity) {
        Ok(())
    } else {
        Err(ShmError::Capacity { found: capacity, low, high })
    }
}
