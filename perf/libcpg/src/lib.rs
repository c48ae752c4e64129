//! Corosync's `libcpg`, loaded at run time: just enough of it to join one group, send and receive.
//!
//! Nothing is linked: where the library is not installed, [`Library::load`] says so. Any library with the same ABI
//! can be loaded by its path. The calls are those of `cpg.h` (Corosync 3): `cpg_initialize`, `cpg_join`,
//! `cpg_mcast_joined`, `cpg_dispatch`, `cpg_fd_get`, `cpg_local_get`, `cpg_finalize`.

mod abi;
mod library;
mod member;

pub use library::{Library, LoadError};
pub use member::{Address, Cpg, CpgError, Sink};
