//! Why a transport could not be made.

use std::io;
use std::net::SocketAddr;

use rustix::process::{Resource, getrlimit};

/// Why a transport could not be made: what was tried, what the kernel said, what to change.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration contradicts itself.
    #[error("bad transport configuration: {0}")]
    Config(String),
    /// io_uring cannot be used at all.
    #[error("io_uring is not available: {reason}")]
    NoRing {
        /// The most likely cause and its remedy.
        reason: String,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The ring exists but lacks something without a replacement.
    #[error("io_uring lacks {what} (Linux {since} has it; this is {kernel})")]
    Missing {
        /// The opcode or feature.
        what: &'static str,
        /// The first kernel that has it.
        since: &'static str,
        /// The running kernel's release.
        kernel: String,
    },
    /// A step of setting up the ring failed.
    #[error("cannot {step}: {source}")]
    Ring {
        /// The step, as a person would say it.
        step: &'static str,
        /// What the kernel answered.
        source: io::Error,
    },
    /// A step of making a socket failed.
    #[error("cannot {step} the {which} socket at {address}: {source}")]
    Socket {
        /// The step, as a person would say it.
        step: &'static str,
        /// "data", "token" or "multicast".
        which: &'static str,
        /// The address it was to have.
        address: SocketAddr,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The slots of the pool are too small to receive into.
    #[error("{class} slots of {have} bytes are too small; at least {need} are needed")]
    Slots {
        /// "small" or "large".
        class: &'static str,
        /// Bytes a slot has.
        have: usize,
        /// Bytes a slot must have.
        need: usize,
    },
}

/// Release of the running kernel, e.g. "6.1.0-18-amd64".
pub(crate) fn kernel_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Explains a refused `io_uring_setup`.
pub(crate) fn explain_setup(source: io::Error) -> Error {
    let sysctl = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
    let disabled = sysctl.as_deref().map_or("absent", str::trim);
    let reason = match source.raw_os_error() {
        Some(libc::ENOSYS) => format!(
            "kernel {} has no io_uring_setup, or a seccomp filter hides it",
            kernel_release()
        ),
        Some(libc::EPERM | libc::EACCES) if disabled == "1" || disabled == "2" => format!(
            "sysctl kernel.io_uring_disabled is {disabled}; set it to 0 (or, at 1, run in the \
             group of kernel.io_uring_group)"
        ),
        Some(libc::EPERM | libc::EACCES) => format!(
            "the call is forbidden although kernel.io_uring_disabled is {disabled}: a seccomp \
             filter (container runtime, systemd unit) or a security module refuses it"
        ),
        Some(libc::ENOMEM) => {
            let limit = getrlimit(Resource::Memlock).current;
            let limit = limit.map_or("unlimited".into(), |bytes| format!("{bytes} bytes"));
            format!(
                "not enough locked memory; raise RLIMIT_MEMLOCK (it is {limit} for all rings of \
                 this user; one needs about 64 KiB)"
            )
        }
        Some(libc::EMFILE | libc::ENFILE) => "too many open files; raise RLIMIT_NOFILE".into(),
        _ => format!("io_uring_setup failed on kernel {}: {source}", kernel_release()),
    };
    Error::NoRing { reason, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_ring_is_explained_by_its_cause() {
        for (errno, want) in [
            (libc::ENOSYS, "has no io_uring_setup, or a seccomp filter hides it"),
            (libc::EPERM, "io_uring_disabled"),
            (libc::ENOMEM, "RLIMIT_MEMLOCK"),
            (libc::EMFILE, "RLIMIT_NOFILE"),
            (libc::EFAULT, "io_uring_setup failed on kernel"),
        ] {
            let said = explain_setup(io::Error::from_raw_os_error(errno)).to_string();
            assert!(said.starts_with("io_uring is not available: "), "{said}");
            assert!(said.contains(want), "{said}");
        }
    }
}
