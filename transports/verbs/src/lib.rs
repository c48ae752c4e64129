//! InfiniBand and RoCE: datagrams over verbs, received in slots of the engine's region.
//!
//! What goes to all is multicast over an unreliable-datagram queue pair (UD); the token, and what goes to
//! one peer, travels over two reliable connections to it (RC), one for each [`transport::Queue`], so that
//! tokens land in small slots and whole bursts in large ones. Connections are made by the RDMA connection
//! manager from the nodes' IP addresses, which works alike on RoCE and on InfiniBand with IPoIB, and which
//! tells at once when a peer's process has gone.
//!
//! The region is registered once. A receive names a slot, so bytes land where programs read them; a send
//! names a slot or, if it is short, is written into the work request. docs/rdma.md counts what each message
//! costs.
//!
//! libibverbs and librdmacm are loaded when they are first used: a program built with this crate starts
//! on hosts that have neither, and is told so by an error that names them.
#![cfg_attr(not(feature = "rdma"), forbid(unsafe_code))]

#[cfg(feature = "rdma")]
mod cm;
#[cfg(feature = "rdma")]
mod config;
#[cfg(feature = "rdma")]
mod connect;
#[cfg(feature = "rdma")]
mod counters;
#[cfg(feature = "rdma")]
mod device;
#[cfg(feature = "rdma")]
mod error;
#[cfg(feature = "rdma")]
mod events;
#[cfg(feature = "rdma")]
mod hello;
#[cfg(feature = "rdma")]
mod loss;
#[cfg(feature = "rdma")]
mod objects;
#[cfg(feature = "rdma")]
mod peer;
#[cfg(feature = "rdma")]
mod probe;
#[cfg(feature = "rdma")]
mod receive;
#[cfg(feature = "rdma")]
mod schedule;
#[cfg(feature = "rdma")]
mod sends;
#[cfg(feature = "rdma")]
mod transport;
#[cfg(feature = "rdma")]
mod turn;
#[cfg(feature = "rdma")]
mod waits;

#[cfg(feature = "rdma")]
pub use crate::{
    config::{Config, Warning},
    counters::Counters,
    error::Error,
    probe::{DeviceReport, probe},
    transport::VerbsTransport,
};
