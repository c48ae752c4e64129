//! Numbers in a file that outlive the process: a file mapped shared, seen as 64-bit words.
//!
//! One process writes; anyone who may read the file reads it, while the writer lives and after it was
//! killed (the pages belong to the kernel). For counters pages and flight recorders.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::AtomicU64;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// A file of fixed size, mapped for writing.
#[derive(Debug)]
pub struct WordFile {
    base: NonNull<AtomicU64>,
    len: usize,
    file: File,
}

// SAFETY: the mapping belongs to the process, not to a thread, and is only reached through atomics.
unsafe impl Send for WordFile {}
// SAFETY: as above.
unsafe impl Sync for WordFile {}

impl WordFile {
    /// Opens or makes the file, gives it exactly `bytes` (rounded up to whole words) and maps it. What it
    /// held stays. Every block is allocated, so that a full disk is an error here and not a signal
    /// later. Nobody may cut the file while it is mapped; only users who may write to it could.
    ///
    /// # Errors
    /// When the file is no regular file or cannot be opened, sized, filled or mapped.
    pub fn open(path: &Path, bytes: usize, mode: u32) -> io::Result<Self> {
        let len = bytes.div_ceil(size_of::<u64>()).max(1);
        let bytes = len * size_of::<u64>();
        let mut options = OpenOptions::new();
        // Not truncated: what a recorder of an earlier start holds is what it is for.
        let file =
            options.read(true).write(true).create(true).truncate(false).mode(mode).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        file.set_len(bytes as u64)?;
        fallocate(&file, FallocateFlags::empty(), 0, bytes as u64)?;
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice, of a file that is `bytes` long.
        let base = unsafe { mmap(null_mut(), bytes, prot, MapFlags::SHARED, &file, 0) }?;
        let base = NonNull::new(base.cast()).expect("the kernel maps nothing at null");
        Ok(Self { base, len, file })
    }

    /// The words.
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: `open` mapped `len` words at `base`, page aligned and writable, for as long as `self`
        // lives. They are only ever seen as atomics: any bits are a value, and stores of other
        // processes are no data race.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.len) }
    }

    /// The file itself, for its metadata.
    pub fn file(&self) -> &File {
        &self.file
    }
}

impl Drop for WordFile {
    fn drop(&mut self) {
        let bytes = self.len * size_of::<u64>();
        // SAFETY: exactly the range that `open` mapped; references to it borrow `self`.
        let result = unsafe { munmap(self.base.as_ptr().cast(), bytes) };
        debug_assert!(result.is_ok(), "unmapping our own range failed: {result:?}");
    }
}
