//! The one point where the engine sleeps: completions, events and watched descriptors at once.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use ::transport::Staged;
use rustix::event::{Timespec, epoll};

use crate::device::Device;

/// What an epoll event belongs to; watches follow.
const BELL: u64 = 0;
const EVENTS: u64 = 1;
const FIRST_WATCH: u64 = 2;

/// Events taken at a time.
const BATCH: usize = 64;

/// Most descriptors watched at once: one doorbell for each program, and a few of our own. A program costs
/// the engine far more than an entry here, so its limit comes first.
const WATCHES_MAX: usize = 65536;

struct Watch {
    key: u64,
    fd: RawFd,
    /// Reported as readable and not yet passed on.
    ready: bool,
}

/// The descriptors.
pub(crate) struct Waits {
    epoll: OwnedFd,
    watches: Vec<Option<Watch>>,
    events: Vec<epoll::Event>,
}

/// # Safety
/// The descriptor is open during the caller's call.
unsafe fn borrow<'a>(fd: RawFd) -> BorrowedFd<'a> {
    // SAFETY: the caller's promise.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

impl Waits {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, watches: Vec::new(), events: Vec::with_capacity(BATCH) })
    }

    /// Readable while anything here is; whoever else waits for it is woken by each thing anew.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Listens to a device.
    pub(crate) fn watch_device(&self, device: &Device) -> io::Result<()> {
        for (fd, data) in device_fds(device) {
            // SAFETY: the device keeps its descriptors open.
            let fd = unsafe { borrow(fd) };
            epoll::add(&self.epoll, fd, epoll::EventData::new_u64(data), epoll::EventFlags::IN)?;
        }
        Ok(())
    }

    /// Does so no more; the device is about to go.
    pub(crate) fn forget_device(&self, device: &Device) {
        for (fd, _) in device_fds(device) {
            // SAFETY: as above. One that was not added cannot be taken out, which does no harm.
            let _ = epoll::delete(&self.epoll, unsafe { borrow(fd) });
        }
    }

    pub(crate) fn watch(&mut self, fd: BorrowedFd<'_>, key: u64) -> io::Result<()> {
        use std::os::fd::AsRawFd;
        let free = self.watches.iter().position(Option::is_none);
        let number = free.unwrap_or(self.watches.len());
        if number >= WATCHES_MAX {
            return Err(io::Error::other("too many watched descriptors"));
        }
        let data = epoll::EventData::new_u64(FIRST_WATCH + number as u64);
        epoll::add(&self.epoll, fd, data, epoll::EventFlags::IN | epoll::EventFlags::ET)?;
        let watch = Some(Watch { key, fd: fd.as_raw_fd(), ready: false });
        match free {
            Some(at) => self.watches[at] = watch,
            None => self.watches.push(watch),
        }
        Ok(())
    }

    pub(crate) fn unwatch(&mut self, key: u64) {
        let is_it = |watch: &Option<Watch>| watch.as_ref().is_some_and(|w| w.key == key);
        let Some(at) = self.watches.iter().position(is_it) else { return };
        if let Some(watch) = self.watches[at].take() {
            // SAFETY: callers keep a watched descriptor open until this call.
            let _ = epoll::delete(&self.epoll, unsafe { borrow(watch.fd) });
        }
    }

    /// Passes a report on; `None` if the watch ended meanwhile.
    pub(crate) fn take_ready(&mut self, number: u32) -> Option<u64> {
        let watch = self.watches.get_mut(number as usize)?.as_mut()?;
        std::mem::take(&mut watch.ready).then_some(watch.key)
    }

    /// Looks without waiting; true if there may be events of the connection manager or of the device.
    pub(crate) fn look(&mut self, staged: &mut Staged) -> bool {
        self.wait(Some(0), staged)
    }

    /// Waits until something is there or the time is over; returns as [`Waits::look`].
    pub(crate) fn wait(&mut self, timeout_ns: Option<u64>, staged: &mut Staged) -> bool {
        let timeout = timeout_ns.map(|ns| Timespec {
            tv_sec: i64::try_from(ns / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: (ns % 1_000_000_000) as _,
        });
        self.events.clear();
        let room = rustix::buffer::spare_capacity(&mut self.events);
        // Interrupted: nothing is there, which is an answer.
        let _ = epoll::wait(&self.epoll, room, timeout.as_ref());
        let mut events = false;
        for event in &self.events {
            let data = event.data.u64();
            events |= data == EVENTS;
            let number = data.wrapping_sub(FIRST_WATCH);
            let watch =
                usize::try_from(number).ok().and_then(|at| self.watches.get_mut(at)?.as_mut());
            if let Some(watch) = watch.filter(|watch| !watch.ready) {
                watch.ready = true;
                staged.ready(number as u32);
            }
        }
        events
    }
}

fn device_fds(device: &Device) -> [(RawFd, u64); 3] {
    [(device.bell.fd(), BELL), (device.channel.fd(), EVENTS), (device.events_fd(), EVENTS)]
}
