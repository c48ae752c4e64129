//! Making, sealing and receiving memfds.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, fstatfs, ftruncate,
    memfd_create,
};

use super::{Mapping, ShmError};

/// File system type of memfds without huge pages (`TMPFS_MAGIC` of linux/magic.h).
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// How a mapping may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Loads only.
    ReadOnly,
    /// Loads and stores.
    ReadWrite,
}

/// What those who receive a segment may do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerAccess {
    /// They can map it for reading only; even with the descriptor they cannot get a writable mapping.
    ReadOnly,
    /// They can map it for writing.
    ReadWrite,
}

/// A segment being made: its size is fixed and it reads as zeros, but it is not handed out yet.
#[derive(Debug)]
pub struct Draft {
    segment: Segment,
}

impl Draft {
    /// Makes `len` bytes of shared memory (rounded up to pages). `name` shows in `/proc/*/maps`.
    ///
    /// # Errors
    /// When the kernel refuses the memfd or its size.
    pub fn create(name: &str, len: usize) -> Result<Self, ShmError> {
        let len = len.next_multiple_of(super::PAGE_BYTES).max(super::PAGE_BYTES);
        let fd = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
            .map_err(ShmError::os("create shared memory"))?;
        ftruncate(&fd, len as u64).map_err(ShmError::os("size shared memory"))?;
        // Before anybody maps it, ourselves included.
        fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW)
            .map_err(ShmError::os("seal the size of shared memory"))?;
        Ok(Self { segment: Segment { fd, len, access: Access::ReadWrite } })
    }

    /// Final seals. With [`PeerAccess::ReadOnly`] only mappings made before stay writable.
    ///
    /// # Errors
    /// When the kernel refuses the seals.
    pub fn seal(mut self, peers: PeerAccess) -> Result<Segment, ShmError> {
        let mut seals = SealFlags::SEAL;
        if peers == PeerAccess::ReadOnly {
            seals |= SealFlags::FUTURE_WRITE;
            self.segment.access = Access::ReadOnly;
        }
        fcntl_add_seals(&self.segment.fd, seals).map_err(ShmError::os("seal shared memory"))?;
        Ok(self.segment)
    }
}

impl std::ops::Deref for Draft {
    type Target = Segment;

    fn deref(&self) -> &Segment {
        &self.segment
    }
}

/// Shared memory whose size cannot change. Dropping it closes the descriptor; mappings stay.
#[derive(Debug)]
pub struct Segment {
    fd: OwnedFd,
    len: usize,
    access: Access,
}

impl Segment {
    /// Takes a descriptor that came from elsewhere: it must be a memfd of exactly `len` bytes, sealed
    /// against shrinking and growing.
    ///
    /// # Errors
    /// When it is none of that, or the kernel does not answer.
    pub fn receive(fd: OwnedFd, len: usize, access: Access) -> Result<Self, ShmError> {
        let needed = SealFlags::SHRINK | SealFlags::GROW;
        // Only files of shmem and hugetlbfs have seals at all.
        let found = fcntl_get_seals(&fd).map_err(|_| ShmError::NotMemfd)?;
        let statfs = fstatfs(&fd).map_err(ShmError::os("examine the segment received"))?;
        if statfs.f_type as u64 != TMPFS_MAGIC {
            return Err(ShmError::NotMemfd);
        }
        if !found.contains(needed) {
            return Err(ShmError::Unsealed { found: found.bits(), needed: needed.bits() });
        }
        let stat = fstat(&fd).map_err(ShmError::os("examine the segment received"))?;
        if stat.st_size as u64 != len as u64 {
            return Err(ShmError::Size { found: stat.st_size as u64, expected: len as u64 });
        }
        Ok(Self { fd, len, access })
    }

    /// Bytes; a multiple of the page size if made by [`Draft`].
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What mappings of it allow.
    pub fn access(&self) -> Access {
        self.access
    }

    /// The descriptor to hand out.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Only the descriptor.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// Maps `len` bytes at `offset`, both multiples of [`super::PAGE_BYTES`].
    ///
    /// # Errors
    /// When they are not inside the segment or the kernel refuses.
    pub fn map(&self, offset: usize, len: usize) -> Result<Mapping, ShmError> {
        self.check("a mapping", offset, len)?;
        Mapping::new(self.fd(), offset, len, self.access, false)
    }

    /// Maps all of it.
    ///
    /// # Errors
    /// As [`Segment::map`].
    pub fn map_all(&self) -> Result<Mapping, ShmError> {
        self.map(0, self.len)
    }

    /// Maps `len` bytes at `offset` twice, back to back: address `i` and address `i + len` are the
    /// same byte, so that what wraps at the end of a ring is contiguous all the same.
    ///
    /// # Errors
    /// As [`Segment::map`].
    pub fn map_mirrored(&self, offset: usize, len: usize) -> Result<Mapping, ShmError> {
        self.check("a mirrored mapping", offset, len)?;
        Mapping::new(self.fd(), offset, len, self.access, true)
    }

    fn check(&self, what: &'static str, offset: usize, len: usize) -> Result<(), ShmError> {
        let paged =
            offset.is_multiple_of(super::PAGE_BYTES) && len.is_multiple_of(super::PAGE_BYTES);
        let inside = offset.checked_add(len).is_some_and(|end| end <= self.len);
        // Twice `len` must be an address range.
        if paged && inside && len > 0 && len <= isize::MAX as usize / 2 {
            Ok(())
        } else {
            Err(ShmError::Place { what, offset, bytes: len, len: self.len })
        }
    }
}
