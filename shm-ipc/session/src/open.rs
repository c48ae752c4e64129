//! Makes both halves of the engine's side.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use frame::Pool;
use ring::shm::ShmError;
use rustix::event::{EventfdFlags, eventfd};

use crate::acceptor::Acceptor;
use crate::config::Config;
use crate::delivery::DeliveryRing;
use crate::link::Link;
use crate::park::EngineBell;
use crate::server::Server;

/// Why sessions cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Shared memory could not be made.
    #[error(transparent)]
    Memory(#[from] ShmError),
    /// The socket could not be opened.
    #[error("cannot listen for clients at {path}: {source}")]
    Socket {
        /// Where.
        path: std::path::PathBuf,
        /// What the kernel answered.
        source: std::io::Error,
    },
}

/// Starts to serve sessions. `region` is the descriptor of the memory under `pool`, which clients
/// get to map. The server stays on the calling (hot) thread; the acceptor goes to the control
/// thread.
///
/// # Errors
/// When the socket is in use or cannot be made, or the kernel gives no memory.
pub fn open(config: Config, pool: Pool, region: OwnedFd) -> Result<(Server, Acceptor), OpenError> {
    let config = config.checked();
    let (ring, delivery) = DeliveryRing::create(config.delivery_slots)?;
    let (engine_bell, parking) = EngineBell::create()?;
    let control_bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
        .map_err(|e| ShmError::Os { step: "make the control thread's bell", source: e.into() })?;
    let region = (region, pool.region_bytes() as u64);
    // At most 2^20 slots of 64 bytes and a page.
    let delivery_bytes = delivery.len() as u32;
    let delivery = (delivery.into_fd(), delivery_bytes);
    let link = Link::new(config.sessions_max, engine_bell, control_bell, region, delivery);
    let link = Arc::new(link);
    let path = config.path.clone();
    let acceptor = Acceptor::new(config.clone(), link.clone())
        .map_err(|source| OpenError::Socket { path, source })?;
    Ok((Server::new(config, link, pool, ring, parking), acceptor))
}
