//! The C libraries that programs written for Corosync link: libcpg, libcmap, libcfg, libquorum, libvotequorum, libsam
//! and libcorosync_common. One crate makes one static library; `cargo xtask link-capi` links a shared object per
//! library from it, with its own soname, version script and nothing else exported.
//!
//! Thin on purpose: a C function checks its arguments, finds its handle, and asks [`client`] (process groups, by the
//! rings) or [`services`] (everything else, by the socket). What the C world needs on top is in `edge` (nothing
//! unwinds into C; what a fork leaves behind is refused), `handles` and [`error`].
//!
//! # Threads
//! Any function may be called from any thread. Calls on one handle wait for each other, except that callbacks run with
//! nothing locked: they may call everything, `finalize` included.
// Pointers from C are looked at in functions that C calls; their contracts are those of the headers.
#![allow(clippy::not_unsafe_ptr_arg_deref)]

pub mod cfg;
pub mod cmap;
pub mod common;
pub mod cpg;
mod edge;
pub mod error;
mod handles;
pub mod quorum;
pub mod sam;
mod service;
pub mod votequorum;
