//! The memory of one session, and the engine's side of it.
//!
//! Two segments. The *client's*, which both sides may write: a page with the sides of the submit
//! ring, its data, and a page with the consumer's side of the private ring and the cursor for the
//! delivery ring. The *engine's*, which the client maps read-only: a page with the producer's side
//! of the private ring, and its data. So a client can never write what the engine believes about
//! itself.

use std::os::fd::OwnedFd;

use ring::bell::{self, RingSocket, Ringer};
use ring::broadcast::{Cursor, ReaderId};
use ring::shm::{Access, Draft, Mapping, PAGE_BYTES, PeerAccess, Segment, ShmError};
use ring::spsc::{Consumer, Memory, Producer, PushError};
use zerocopy::IntoBytes;

use crate::config::RingSizes;
use crate::descriptor::{DESCRIPTOR_BYTES, Descriptor};
use crate::server::Broken;

/// Most descriptors a reader may hold at a time: enough for one look at the ring to be worth it,
/// few enough that what a lagging reader pins is little.
pub(crate) const LEASE_MAX: u32 = 32;

/// Where the consumer's side of the private ring lies in the client's last page.
const PRIVATE_CONSUMER: usize = 0;

/// Where the cursor lies in the client's last page.
const CURSOR: usize = 1024;

/// The engine's side of one session's memory, but for the submit ring.
pub(crate) struct Seat {
    private: Producer,
    bell: Ringer,
    cursor: Cursor,
    /// The session's place among the readers of the delivery ring.
    pub(crate) reader: Option<ReaderId>,
    /// Position in the private ring when the reader was last taken off the delivery ring.
    diverted_at: u64,
}

/// What is sent to the client.
pub(crate) struct ClientFds {
    pub(crate) client: OwnedFd,
    pub(crate) engine: OwnedFd,
    /// The client's end of its bell.
    pub(crate) bell: OwnedFd,
}

/// Both segments, as either side sees them.
pub(crate) struct Rings {
    pub(crate) submit: Memory,
    pub(crate) private: Memory,
    pub(crate) cursor: Cursor,
}

impl Rings {
    /// Places the rings in the segments; `engine` is the mapping of the first page of the engine's segment.
    fn place(
        client: &Segment,
        engine: &Segment,
        engine_page: &Mapping,
        sizes: RingSizes,
    ) -> Result<Self, ShmError> {
        let submit = Memory::attach(client, 0, sizes.submit_bytes)?;
        let last = client.map(Memory::segment_bytes(sizes.submit_bytes), PAGE_BYTES)?;
        let (producer, consumer) = ((engine_page, 0), (&last, PRIVATE_CONSUMER));
        let private = Memory::split(producer, consumer, engine, PAGE_BYTES, sizes.private_bytes)?;
        Ok(Self { submit, private, cursor: Cursor::new(&last, CURSOR)? })
    }

    /// The client's side, from the descriptors of its Welcome.
    pub(crate) fn receive(
        client: OwnedFd,
        engine: OwnedFd,
        sizes: RingSizes,
    ) -> Result<Self, ShmError> {
        let client = Segment::receive(client, client_bytes(sizes), Access::ReadWrite)?;
        let engine = Segment::receive(engine, engine_bytes(sizes), Access::ReadOnly)?;
        let page = engine.map(0, PAGE_BYTES)?;
        Self::place(&client, &engine, &page, sizes)
    }
}

fn client_bytes(sizes: RingSizes) -> usize {
    Memory::segment_bytes(sizes.submit_bytes) + PAGE_BYTES
}

fn engine_bytes(sizes: RingSizes) -> usize {
    Memory::segment_bytes(sizes.private_bytes)
}

impl Seat {
    /// Makes a session's memory: the engine's side, its end of the submit ring, and what to send. With two ends of
    /// a socket that one is its bell: ours and the client's.
    pub(crate) fn create(
        sizes: RingSizes,
        socket: Option<(OwnedFd, OwnedFd)>,
    ) -> Result<(Self, Consumer, ClientFds), ShmError> {
        let client = Draft::create("synchrotron-client", client_bytes(sizes))?
            .seal(PeerAccess::ReadWrite)?;
        let draft = Draft::create("synchrotron-private", engine_bytes(sizes))?;
        let page = draft.map(0, PAGE_BYTES)?;
        let rings = Rings::place(&client, &draft, &page, sizes)?;
        // Our writable mappings are made; from here on nobody gets another.
        let engine = draft.seal(PeerAccess::ReadOnly)?;
        let place = rings.private.consumer_bell();
        let (bell, bell_fd) = match socket {
            Some((ours, theirs)) => (Ringer::by_socket(&place, RingSocket::from(ours)), theirs),
            None => {
                let (ring_fd, poll_fd) = bell::fds()?;
                (Ringer::new(&place, Some(ring_fd))?, poll_fd.into())
            }
        };
        let seat = Self {
            private: Producer::new(&rings.private)?,
            bell,
            cursor: rings.cursor,
            reader: None,
            diverted_at: 0,
        };
        let fds = ClientFds { client: client.into_fd(), engine: engine.into_fd(), bell: bell_fd };
        Ok((seat, Consumer::new(&rings.submit)?, fds))
    }

    pub(crate) fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Longest record (descriptor and body) of the private ring.
    pub(crate) fn record_bytes_max(&self) -> usize {
        self.private.capacity() / 2
    }

    /// Writes an item into the private ring. False: there is no room now.
    pub(crate) fn push(&mut self, item: &Descriptor, body: &[u8]) -> Result<bool, Broken> {
        match self.private.loan(0, DESCRIPTOR_BYTES + body.len()) {
            Ok(mut loan) => {
                loan.write(0, item.as_bytes());
                loan.write(DESCRIPTOR_BYTES, body);
                loan.commit();
                Ok(true)
            }
            Err(error) => refused(error),
        }
    }

    /// Writes an item that was put together before.
    pub(crate) fn push_record(&mut self, record: &[u8]) -> Result<bool, Broken> {
        self.private.push(0, record).map_or_else(refused, |()| Ok(true))
    }

    /// Notes that from here on the reader gets everything by its private ring.
    pub(crate) fn diverted(&mut self) {
        self.diverted_at = self.private.position();
    }

    /// Whether the reader has read from its private ring since it was taken off the delivery ring
    /// (so it knows that it was) and what it has left there leaves some room. A busy reader may never be seen with
    /// an empty ring, and every item copied for it costs more than one shown.
    pub(crate) fn has_caught_up(&mut self) -> Result<bool, Broken> {
        let released = self.private.released()?;
        Ok(released > self.diverted_at && self.private.backlog() <= self.private.capacity() / 4 * 3)
    }

    /// Shows what was written to the client.
    pub(crate) fn publish(&mut self) {
        self.private.publish();
    }

    /// Whether its bell is a socket: readable must mean that something was delivered, so it is not rung for room.
    pub(crate) fn rings_for_news_only(&self) -> bool {
        self.bell.has_socket()
    }

    /// Wakes the client if it sleeps; a full fence must have come since publishing. Returns whether it did.
    pub(crate) fn ring_bell(&mut self) -> bool {
        self.bell.ring_after_fence()
    }
}

fn refused(error: PushError) -> Result<bool, Broken> {
    match error {
        PushError::Full | PushError::TooLong { .. } => Ok(false),
        PushError::Corrupt(_) => Err(Broken),
    }
}
