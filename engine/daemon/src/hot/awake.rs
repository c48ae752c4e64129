//! How deep idle cores may sleep while the engine runs.
//!
//! To wake a core from sleep takes from some microseconds to hundreds of them, by how deep it slept, and on virtual
//! machines it takes a turn of the hypervisor. The kernel lets programs bound that for all cores of the machine: the
//! bound holds for as long as they keep a device open.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use crate::exit::{Exit, Failure};

/// Takes a bound in microseconds, as an `i32` in the machine's order.
const DEVICE: &str = "/dev/cpu_dma_latency";

/// The wish, which ends with this value.
#[derive(Debug)]
pub(crate) struct Awake {
    _device: File,
}

impl Awake {
    /// Asks that no core takes longer than this to wake; nothing is asked for without a bound.
    ///
    /// # Errors
    /// When the kernel does not take it.
    pub(crate) fn ask(bound_ns: Option<u64>) -> Result<Option<Self>, Failure> {
        let Some(bound_ns) = bound_ns else { return Ok(None) };
        Self::ask_at(Path::new(DEVICE), bound_ns).map(Some).map_err(|error| {
            let hint = "the engine's user must be allowed to write it";
            Failure::new(Exit::System, format!("engine.wake_latency: {DEVICE}: {error}; {hint}"))
        })
    }

    fn ask_at(device: &Path, bound_ns: u64) -> io::Result<Self> {
        let mut device = OpenOptions::new().write(true).open(device)?;
        let bound_us = i32::try_from(bound_ns / 1000).unwrap_or(i32::MAX);
        device.write_all(&bound_us.to_ne_bytes())?;
        Ok(Self { _device: device })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_is_told_whole_microseconds_in_four_bytes() {
        let device = tempfile::NamedTempFile::new().unwrap();
        let awake = Awake::ask_at(device.path(), 2_999).unwrap();
        assert_eq!(std::fs::read(device.path()).unwrap(), 2_i32.to_ne_bytes());
        drop(awake);
    }

    #[test]
    fn a_device_that_is_not_there_is_an_error_and_is_not_made() {
        let directory = tempfile::tempdir().unwrap();
        let device = directory.path().join("cpu_dma_latency");
        assert_eq!(Awake::ask_at(&device, 0).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(!device.exists());
    }

    #[test]
    fn without_a_bound_nothing_is_opened() {
        assert!(Awake::ask(None).unwrap().is_none());
    }
}
