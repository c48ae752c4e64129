//! How clients wake the engine.
//!
//! The engine announces its sleep in one word that all clients map read-only, and sleeps on one
//! epoll instance. Each client rings an eventfd of its own that is in that instance: were it one
//! eventfd for all, a client could fill it, take `O_NONBLOCK` off, and so block the others.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ring::bell::{Place, RingFd, Ringer, Sleeper};
use ring::shm::{Draft, PAGE_BYTES, PeerAccess, Segment, ShmError};
use rustix::event::{EventfdFlags, epoll, eventfd};

/// Where the engine's sleep word is in its page.
const SLEEP: usize = 0;

/// Where the word is that a futex bell would count in; never written.
const RINGS: usize = 128;

/// Rings taken from the epoll instance in one call.
const CLEARED_AT_ONCE: usize = 64;

/// The bell of the engine thread.
pub(crate) struct EngineBell {
    page: Segment,
    epoll: OwnedFd,
    /// Ours, for the control thread.
    own: OwnedFd,
}

/// The engine thread's end.
pub(crate) struct Parking {
    sleeper: Sleeper,
}

impl EngineBell {
    /// Makes both ends.
    pub(crate) fn create() -> Result<(Self, Parking), ShmError> {
        let draft = Draft::create("synchrotron-engine", PAGE_BYTES)?;
        let map = draft.map_all()?;
        let page = draft.seal(PeerAccess::ReadOnly)?;
        let place = Place::new((&map, SLEEP), (&map, RINGS))?;
        let os = |step| move |e: rustix::io::Errno| ShmError::Os { step, source: e.into() };
        let epoll =
            epoll::create(epoll::CreateFlags::CLOEXEC).map_err(os("make the engine's epoll"))?;
        let own = add_bell(&epoll)?;
        // Without a descriptor of its own: the engine waits on the epoll instance by its own means.
        let parking = Parking { sleeper: Sleeper::new(&place, None)? };
        Ok((Self { page, epoll, own }, parking))
    }

    /// A bell for one more client; it leaves the engine's set when the client closes it.
    pub(crate) fn bell_for_client(&self) -> Result<OwnedFd, ShmError> {
        add_bell(&self.epoll)
    }

    /// The page with the sleep word, for clients.
    pub(crate) fn page_fd(&self) -> BorrowedFd<'_> {
        self.page.fd()
    }

    /// Readable once somebody has rung.
    pub(crate) fn event_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Wakes the engine whether it sleeps or not. For the control thread.
    pub(crate) fn ring(&self) {
        let _ = rustix::io::write(&self.own, &1_u64.to_ne_bytes());
    }

    /// Forgets rings so far.
    pub(crate) fn clear(&self) {
        let mut events = [std::mem::MaybeUninit::<epoll::Event>::uninit(); CLEARED_AT_ONCE];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        // Edge-triggered: an event reported is an event forgotten.
        while epoll::wait(&self.epoll, &mut events[..], Some(&now))
            .is_ok_and(|(ready, _)| ready.len() == CLEARED_AT_ONCE)
        {}
    }
}

impl Parking {
    /// Clients must ring from now on. Look for work once more after this.
    pub(crate) fn arm(&mut self) {
        self.sleeper.prepare();
    }

    /// Clients need not ring any more.
    pub(crate) fn disarm(&mut self) {
        self.sleeper.cancel();
    }
}

/// The client's end, from the descriptors in its Welcome.
pub(crate) fn ringer(page: OwnedFd, bell: OwnedFd) -> Result<Ringer, ShmError> {
    let page = Segment::receive(page, PAGE_BYTES, ring::shm::Access::ReadOnly)?.map_all()?;
    let place = Place::new((&page, SLEEP), (&page, RINGS))?;
    Ringer::new(&place, Some(RingFd::from(bell)))
}

fn add_bell(set: &OwnedFd) -> Result<OwnedFd, ShmError> {
    let os = |step| move |e: rustix::io::Errno| ShmError::Os { step, source: e.into() };
    let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
    let bell = eventfd(0, flags).map_err(os("make a client's bell"))?;
    let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
    epoll::add(set, &bell, epoll::EventData::new_u64(0), flags)
        .map_err(os("watch a client's bell"))?;
    Ok(bell)
}
