//! The region of a running engine: a sealed memfd that clients may map read-only.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;

use memmap2::{MmapMut, MmapOptions};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

use crate::{Pool, PoolConfig};

/// Why a region could not be made.
#[derive(Debug)]
pub struct RegionError {
    /// The step that failed, as a person would say it.
    pub step: &'static str,
    /// What the kernel answered.
    pub source: std::io::Error,
}

impl std::fmt::Display for RegionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot {} the message region: {}", self.step, self.source)
    }
}

impl std::error::Error for RegionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Shared memory for one [`Pool`]. Its size is sealed, and after our own mapping no writable one can
/// be made from the descriptor, so it can be handed to clients.
pub struct Region {
    fd: OwnedFd,
    map: MmapMut,
}

impl Region {
    /// Makes a region large enough for `config`.
    ///
    /// # Errors
    /// When the kernel refuses the memfd, its size, the mapping or the seals; the step is named.
    pub fn create(config: PoolConfig) -> Result<Self, RegionError> {
        let at = |step| move |source: std::io::Error| RegionError { step, source };
        let len = config.region_bytes();
        let fd =
            memfd_create("synchrotron-region", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
                .map_err(|e| at("create")(e.into()))?;
        ftruncate(&fd, len as u64).map_err(|e| at("size")(e.into()))?;
        let file = File::from(fd);
        // SAFETY: the memfd is new and known only to us; its size is sealed below before anybody else
        // gets the descriptor, so the mapping cannot lose its backing.
        let map = unsafe { MmapOptions::new().len(len).map_mut(&file) }.map_err(at("map"))?;
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::FUTURE_WRITE | SealFlags::SEAL;
        fcntl_add_seals(&file, seals).map_err(|e| at("seal")(e.into()))?;
        // Huge pages where the kernel gives them for shared memory; without them nothing is lost but
        // TLB reach, so the answer does not matter.
        let _ = map.advise(memmap2::Advice::HugePage);
        Ok(Self { fd: file.into(), map })
    }

    /// The descriptor clients map. Duplicate it to keep it past [`Region::into_pool`].
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The pool over this region; the mapping lives as long as the pool's last handle.
    pub fn into_pool(mut self, config: PoolConfig) -> Pool {
        let len = self.map.len();
        let base = NonNull::new(self.map.as_mut_ptr()).expect("a mapping is never at null");
        // SAFETY: the mapping is zero-filled, `len` bytes, page aligned and moved into the keeper;
        // the FUTURE_WRITE seal keeps every other process from writing to it.
        unsafe { Pool::from_memory(base, len, config, Box::new(self.map)) }
    }
}
