//! Verbs objects that destroy themselves. Each keeps a raw pointer that came from its `create` call, is used
//! by one thread, and is destroyed exactly once; owners drop them in the order in which they depend on each
//! other (`crate::device::Device` names it).

use std::io;
use std::os::fd::RawFd;
use std::ptr::{self, NonNull};

use frame::Pool;
use rdma_sys::{
    ibv_access_flags, ibv_ah, ibv_ah_attr, ibv_comp_channel, ibv_context, ibv_cq, ibv_mr, ibv_pd,
    ibv_qp, ibv_qp_attr, ibv_qp_attr_mask, ibv_qp_cap, ibv_qp_init_attr, ibv_qp_state, ibv_qp_type,
    ibv_srq, ibv_srq_attr, ibv_srq_init_attr, ibv_wc,
};

use crate::error::Error;

/// Completions taken from a queue at a time.
pub(crate) const COMPLETIONS: usize = 32;

/// The result of a call that returns an errno.
fn checked(result: i32, step: &'static str) -> Result<(), Error> {
    if result == 0 {
        return Ok(());
    }
    // Some calls return the number, some -1 and set errno.
    let source =
        if result > 0 { io::Error::from_raw_os_error(result) } else { io::Error::last_os_error() };
    Err(Error::at(step, source))
}

macro_rules! object {
    ($(#[$doc:meta])* $name:ident, $raw:ty, $destroy:path) => {
        $(#[$doc])*
        pub(crate) struct $name(NonNull<$raw>);

        impl $name {
            pub(crate) fn raw(&self) -> *mut $raw {
                self.0.as_ptr()
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: the pointer came from the matching `create` call and is destroyed here only; what
                // was made on top of it is gone by then (module documentation). An error leaks the object,
                // which nothing can repair.
                unsafe { $destroy(self.0.as_ptr()) };
            }
        }
    };
}

object!(
    /// A protection domain.
    Domain, ibv_pd, rdma_sys::ibv_dealloc_pd
);
object!(
    /// The registered region.
    Registration, ibv_mr, rdma_sys::ibv_dereg_mr
);
object!(
    /// What a sleeping engine is woken by.
    Bell, ibv_comp_channel, rdma_sys::ibv_destroy_comp_channel
);
object!(
    /// A completion queue.
    Completions, ibv_cq, rdma_sys::ibv_destroy_cq
);
object!(
    /// A receive queue shared by connections.
    SharedReceives, ibv_srq, rdma_sys::ibv_destroy_srq
);
object!(
    /// A queue pair.
    QueuePair, ibv_qp, rdma_sys::ibv_destroy_qp
);
object!(
    /// Where a datagram goes.
    AddressHandle, ibv_ah, rdma_sys::ibv_destroy_ah
);

impl Domain {
    /// # Safety
    /// `context` is an open device that outlives the domain.
    pub(crate) unsafe fn new(context: *mut ibv_context) -> Result<Self, Error> {
        // SAFETY: the caller's promise.
        let raw = unsafe { rdma_sys::ibv_alloc_pd(context) };
        NonNull::new(raw).map(Self).ok_or_else(|| Error::step("make a protection domain"))
    }
}

impl Registration {
    /// Registers the whole region of a pool, once. The pool must outlive it.
    pub(crate) fn new(domain: &Domain, pool: &Pool) -> Result<Self, Error> {
        let access = ibv_access_flags::IBV_ACCESS_LOCAL_WRITE.0;
        // SAFETY: the range is the pool's region, mapped and writable as long as the pool is, and the owner
        // keeps a handle to the pool. The card writes only to slots lent to it.
        let raw = unsafe {
            rdma_sys::ibv_reg_mr(
                domain.raw(),
                pool.base().as_ptr().cast(),
                pool.region_bytes(),
                access as _,
            )
        };
        NonNull::new(raw).map(Self).ok_or_else(|| Error::step("register the message region"))
    }

    /// The key that work requests name the region by.
    pub(crate) fn key(&self) -> u32 {
        // SAFETY: the object lives as long as `self`.
        unsafe { (*self.raw()).lkey }
    }
}

impl Bell {
    /// # Safety
    /// `context` is an open device that outlives the bell.
    pub(crate) unsafe fn new(context: *mut ibv_context) -> Result<Self, Error> {
        // SAFETY: the caller's promise.
        let raw = unsafe { rdma_sys::ibv_create_comp_channel(context) };
        let bell =
            NonNull::new(raw).map(Self).ok_or_else(|| Error::step("make a completion channel"))?;
        set_nonblocking(bell.fd())?;
        Ok(bell)
    }

    pub(crate) fn fd(&self) -> RawFd {
        // SAFETY: the object lives as long as `self`.
        unsafe { (*self.raw()).fd }
    }

    /// Takes every ring of the bell.
    pub(crate) fn hush(&self) {
        let (mut queue, mut context) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: both places are ours; the queue returned is one of those made with this bell, which
        // live as long as it is listened to. Every event is acknowledged, as destroying a queue demands.
        while unsafe { rdma_sys::ibv_get_cq_event(self.raw(), &raw mut queue, &raw mut context) }
            == 0
        {
            // SAFETY: as above.
            unsafe { rdma_sys::ibv_ack_cq_events(queue, 1) };
        }
    }
}

/// Makes a descriptor of the RDMA libraries return instead of waiting.
pub(crate) fn set_nonblocking(fd: RawFd) -> Result<(), Error> {
    // SAFETY: fcntl on a descriptor number touches no memory of ours.
    let done = unsafe {
        let flags = libc::fcntl(fd, libc::F_GETFL);
        flags >= 0 && libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) == 0
    };
    if done { Ok(()) } else { Err(Error::step("make an event channel non-blocking")) }
}

impl Completions {
    /// # Safety
    /// `context` is an open device that outlives the queue.
    pub(crate) unsafe fn new(
        context: *mut ibv_context,
        entries: u32,
        bell: &Bell,
    ) -> Result<Self, Error> {
        let entries = i32::try_from(entries).unwrap_or(i32::MAX);
        // SAFETY: the caller's promise; the bell is dropped after its queues.
        let raw =
            unsafe { rdma_sys::ibv_create_cq(context, entries, ptr::null_mut(), bell.raw(), 0) };
        NonNull::new(raw).map(Self).ok_or_else(|| Error::step("make a completion queue"))
    }

    /// Takes completions; returns how many of `batch` are filled.
    pub(crate) fn poll(&self, batch: &mut [ibv_wc; COMPLETIONS]) -> usize {
        // SAFETY: the queue is alive and the array has room for as many entries as asked for.
        let got =
            unsafe { rdma_sys::ibv_poll_cq(self.raw(), COMPLETIONS as i32, batch.as_mut_ptr()) };
        // Negative: the queue is broken, which the device's own event reports.
        usize::try_from(got).unwrap_or(0).min(COMPLETIONS)
    }

    /// Asks for a ring of the bell on the next completion; only on a failed one with `only_errors`.
    pub(crate) fn arm(&self, only_errors: bool) {
        // SAFETY: the queue is alive. A refusal means that the device is gone, which has an event of its own.
        unsafe { rdma_sys::ibv_req_notify_cq(self.raw(), i32::from(only_errors)) };
    }
}

/// A completion with nothing in it.
pub(crate) fn empty_completion() -> ibv_wc {
    // SAFETY: all fields are integers, or a union of integers; zeros are valid.
    unsafe { std::mem::zeroed() }
}

impl SharedReceives {
    pub(crate) fn new(domain: &Domain, entries: u32) -> Result<Self, Error> {
        let mut attributes = ibv_srq_init_attr {
            srq_context: ptr::null_mut(),
            attr: ibv_srq_attr { max_wr: entries, max_sge: 1, srq_limit: 0 },
        };
        // SAFETY: the domain is alive; the attributes are only used during the call.
        let raw = unsafe { rdma_sys::ibv_create_srq(domain.raw(), &raw mut attributes) };
        NonNull::new(raw).map(Self).ok_or_else(|| Error::step("make a shared receive queue"))
    }
}

/// What a queue pair is made with.
pub(crate) struct QueuePairPlan<'a> {
    pub(crate) reliable: bool,
    pub(crate) sends: &'a Completions,
    pub(crate) receives: &'a Completions,
    /// Where received messages land; `None`: a queue of its own with `receive_entries`.
    pub(crate) shared: Option<&'a SharedReceives>,
    pub(crate) send_entries: u32,
    pub(crate) receive_entries: u32,
    /// Bytes wanted inline; the device may give less.
    pub(crate) inline_bytes: u32,
}

impl QueuePair {
    /// Makes a queue pair; returns it with the inline bytes it takes.
    pub(crate) fn new(domain: &Domain, plan: &QueuePairPlan<'_>) -> Result<(Self, usize), Error> {
        let mut refused = None;
        // Devices differ in what they take inline, and refuse more: ask for less until one agrees.
        for inline_bytes in [plan.inline_bytes, 128, 64, 0] {
            let mut attributes = ibv_qp_init_attr {
                qp_context: ptr::null_mut(),
                send_cq: plan.sends.raw(),
                recv_cq: plan.receives.raw(),
                srq: plan.shared.map_or(ptr::null_mut(), SharedReceives::raw),
                cap: ibv_qp_cap {
                    max_send_wr: plan.send_entries,
                    max_recv_wr: plan.receive_entries,
                    max_send_sge: 1,
                    max_recv_sge: 1,
                    max_inline_data: inline_bytes,
                },
                qp_type: if plan.reliable {
                    ibv_qp_type::IBV_QPT_RC
                } else {
                    ibv_qp_type::IBV_QPT_UD
                },
                sq_sig_all: 0,
            };
            // SAFETY: domain and queues are alive and outlive the pair; the attributes are used during the
            // call only.
            let raw = unsafe { rdma_sys::ibv_create_qp(domain.raw(), &raw mut attributes) };
            match NonNull::new(raw) {
                Some(raw) => return Ok((Self(raw), attributes.cap.max_inline_data as usize)),
                None => refused = Some(Error::step("make a queue pair")),
            }
        }
        Err(refused.unwrap_or_else(|| Error::step("make a queue pair")))
    }

    /// Its number, by which peers name it.
    pub(crate) fn number(&self) -> u32 {
        // SAFETY: the object lives as long as `self`.
        unsafe { (*self.raw()).qp_num }
    }

    /// Changes attributes, which include the state.
    pub(crate) fn modify(
        &self,
        attributes: &mut ibv_qp_attr,
        mask: i32,
        step: &'static str,
    ) -> Result<(), Error> {
        // SAFETY: the pair is alive; the attributes are used during the call only.
        checked(unsafe { rdma_sys::ibv_modify_qp(self.raw(), attributes, mask) }, step)
    }

    /// Changes nothing but the state.
    pub(crate) fn enter(&self, state: ibv_qp_state::Type, step: &'static str) -> Result<(), Error> {
        let mut attributes = ibv_qp_attr { qp_state: state, ..no_attributes() };
        self.modify(&mut attributes, ibv_qp_attr_mask::IBV_QP_STATE.0 as i32, step)
    }

    /// Ends everything under way; whatever was posted completes with an error.
    pub(crate) fn stop(&self) {
        // A pair that cannot enter the error state is gone with its device.
        let _ = self.enter(ibv_qp_state::IBV_QPS_ERR, "stop a queue pair");
    }

    /// Joins a multicast group.
    pub(crate) fn attach(&self, attributes: &ibv_ah_attr) -> Result<(), Error> {
        // SAFETY: the pair is alive; the group's address is read during the call only.
        let result = unsafe {
            rdma_sys::ibv_attach_mcast(self.raw(), &raw const attributes.grh.dgid, attributes.dlid)
        };
        checked(result, "attach the queue pair to the multicast group")
    }

    /// Leaves it again.
    pub(crate) fn detach(&self, attributes: &ibv_ah_attr) {
        // SAFETY: as in `attach`. What was not attached cannot be detached, which does no harm.
        unsafe {
            rdma_sys::ibv_detach_mcast(self.raw(), &raw const attributes.grh.dgid, attributes.dlid)
        };
    }
}

/// Attributes with nothing in them.
pub(crate) fn no_attributes() -> ibv_qp_attr {
    // SAFETY: integers and unions of integers only; zero is a value of every enumeration in it.
    unsafe { std::mem::zeroed() }
}

impl AddressHandle {
    pub(crate) fn new(domain: &Domain, attributes: &ibv_ah_attr) -> Result<Self, Error> {
        let mut attributes = *attributes;
        // SAFETY: the domain is alive; the attributes are used during the call only.
        let raw = unsafe { rdma_sys::ibv_create_ah(domain.raw(), &raw mut attributes) };
        NonNull::new(raw).map(Self).ok_or_else(|| Error::step("make an address handle"))
    }
}
