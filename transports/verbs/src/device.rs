//! Everything made on one device: it comes and goes with the device, and with nothing else.

use std::os::fd::RawFd;

use frame::{Class, Pool};
use rdma_sys::{ibv_context, ibv_device_attr, ibv_qp_attr_mask, ibv_qp_state};

use crate::cm::{Channel, Group, Id};
use crate::config::{Config, Warning};
use crate::counters::Counters;
use crate::error::Error;
use crate::objects::{
    AddressHandle, Bell, Completions, Domain, QueuePair, QueuePairPlan, Registration,
    SharedReceives, set_nonblocking,
};
use crate::probe::{device_name, devices_line, mtu_bytes, query_port};
use crate::receive::{HEADER_BYTES, canonical};
use crate::sends::SendQueue;

/// Datagrams that may be under way: eight bursts of 64.
pub(crate) const DATAGRAM_SENDS: u32 = 512;

/// Messages under way on one connection: retransmissions and tokens, of which a visit makes a few.
pub(crate) const CONNECTION_SENDS: u32 = 128;

/// Bytes wanted inline: what fits most cards' work requests, and holds a token.
pub(crate) const INLINE_BYTES: u32 = 220;

/// Key of datagram queue pairs, as the connection manager gives groups (`RDMA_UDP_QKEY` of rdma_cm.h).
pub(crate) const DATAGRAM_KEY: u32 = 0x0123_4567;

/// Multicast, as far as it has come.
pub(crate) enum Membership {
    /// Not wanted, or to be tried at this time.
    Out { again_at_ns: Option<u64> },
    /// Asked for.
    Joining,
    /// In it.
    In { group: Group, handle: AddressHandle },
}

/// A device with this node's address. Fields are dropped in the order in which they are written, which is
/// the order verbs demand: what is made on something before it. Connections, which are the transport's, go before.
pub(crate) struct Device {
    pub(crate) membership: Membership,
    /// `None` only while being taken apart.
    pub(crate) datagrams: Option<SendQueue>,
    pub(crate) token_receives: Option<SharedReceives>,
    pub(crate) burst_receives: Option<SharedReceives>,
    pub(crate) sends: Completions,
    pub(crate) token_completions: Completions,
    pub(crate) data_completions: Completions,
    pub(crate) bell: Bell,
    pub(crate) registration: Registration,
    pub(crate) domain: Domain,
    pub(crate) groups: Id,
    pub(crate) listener: Id,
    pub(crate) channel: Channel,
    /// Name, for messages.
    pub(crate) name: String,
    pub(crate) mtu_bytes: usize,
    /// Depths as the device allows them, in the order of `receive::Lane`.
    pub(crate) depths: [u32; 3],
    pub(crate) connection_sends: u32,
    /// What our own datagrams have as their source, once a group was joined.
    pub(crate) own_source: Option<std::net::IpAddr>,
}

/// A device that has the address, with nothing made on it yet.
struct Found {
    channel: Channel,
    listener: Id,
    name: String,
    mtu_bytes: usize,
    limits: ibv_device_attr,
}

/// Finds the device that has this node's address. Listing what devices there are, for people, opens all of
/// them.
fn find(config: &Config, pool: &Pool, for_people: bool) -> Result<Found, Error> {
    let channel = Channel::new()?;
    let listener = Id::new(&channel, false)?;
    let address = config.my_address();
    let no_device = |source: std::io::Error| match source.raw_os_error() {
        Some(libc::EADDRINUSE) => Error::at("take the address for connections", source),
        _ => {
            let devices = if for_people { devices_line() } else { String::new() };
            Error::NoDevice { address: address.ip(), source, devices }
        }
    };
    listener.bind(address).map_err(no_device)?;
    let context = listener.context();
    if context.is_null() {
        return Err(no_device(std::io::Error::from_raw_os_error(libc::ENODEV)));
    }
    // SAFETY: the identifier is bound to this device, so its context is open as long as that lives.
    let name = unsafe { device_name((*context).device) };
    check_place(config, &name, &listener)?;
    // SAFETY: as above.
    let port = unsafe { query_port(context, listener.port()) };
    let port = port.ok_or_else(|| Error::step("ask for the port's state"))?;
    // SAFETY: as above.
    let limits = unsafe { device_limits(context) }?;
    let mtu_bytes = mtu_bytes(port.active_mtu);
    let (have, need) = (pool.slot_bytes(Class::Small), mtu_bytes + HEADER_BYTES);
    if have < need {
        return Err(Error::Slots { have, need, mtu: mtu_bytes });
    }
    Ok(Found { channel, listener, name, mtu_bytes, limits })
}

impl Device {
    /// Finds the device that has the address and makes everything on it that needs no peer. `for_people`
    /// says whether an error will be read.
    pub(crate) fn open(
        config: &Config,
        pool: &Pool,
        counters: &mut Counters,
        warnings: &mut Vec<Warning>,
        for_people: bool,
    ) -> Result<Self, Error> {
        let Found { channel, listener, name, mtu_bytes, limits } = find(config, pool, for_people)?;
        let context = listener.context();
        let depths = depths(config, pool, &limits, &name, warnings);
        let most_sends = u32::try_from(limits.max_qp_wr).unwrap_or(1);
        let (datagram_sends, connection_sends) =
            (DATAGRAM_SENDS.min(most_sends), CONNECTION_SENDS.min(most_sends));
        let [datagrams, bursts, tokens] = depths;
        // A queue pair that is replaced may leave its completions beside those of its successor.
        let sends = datagram_sends + 4 * connection_sends * config.peers.len() as u32;
        // SAFETY: the context outlives all of these: the listener is dropped after them.
        let (domain, bell) = unsafe { (Domain::new(context)?, Bell::new(context)?) };
        let registration = Registration::new(&domain, pool)?;
        counters.registrations += 1;
        // SAFETY: as above.
        let (sends, token_completions, data_completions) = unsafe {
            (
                Completions::new(context, sends, &bell)?,
                Completions::new(context, 2 * tokens, &bell)?,
                Completions::new(context, 2 * (datagrams + bursts), &bell)?,
            )
        };
        let token_receives = SharedReceives::new(&domain, tokens)?;
        let burst_receives = SharedReceives::new(&domain, bursts)?;
        let (datagrams, groups) = {
            let plan = QueuePairPlan {
                reliable: false,
                sends: &sends,
                receives: &data_completions,
                shared: None,
                send_entries: datagram_sends,
                receive_entries: datagrams,
                inline_bytes: INLINE_BYTES,
            };
            let (pair, inline_bytes) = QueuePair::new(&domain, &plan)?;
            let groups = Id::new(&channel, true)?;
            let mine = std::net::SocketAddr::new(config.my_address().ip(), 0);
            let at = |error| Error::at("bind the datagram identifier", error);
            groups.bind(mine).map_err(at)?;
            ready_for_datagrams(&groups, &pair)?;
            let key = registration.key();
            (SendQueue::new(pair, 0, datagram_sends, inline_bytes, key), groups)
        };
        listener.listen()?;
        // SAFETY: the context is open; reading its descriptor's number.
        set_nonblocking(unsafe { (*context).async_fd })?;
        let again_at_ns = config.multicast.map(|_| 0);
        Ok(Self {
            membership: Membership::Out { again_at_ns },
            datagrams: Some(datagrams),
            token_receives: Some(token_receives),
            burst_receives: Some(burst_receives),
            sends,
            token_completions,
            data_completions,
            bell,
            registration,
            domain,
            groups,
            listener,
            channel,
            name,
            mtu_bytes,
            depths,
            connection_sends,
            own_source: None,
        })
    }

    pub(crate) fn context(&self) -> *mut ibv_context {
        self.listener.context()
    }

    /// Descriptor of the device's own events.
    pub(crate) fn events_fd(&self) -> RawFd {
        // SAFETY: the listener keeps the context open.
        unsafe { (*self.context()).async_fd }
    }

    /// A queue pair for a connection, in its first state.
    pub(crate) fn connection_pair(&self, token: bool) -> Result<(QueuePair, usize), Error> {
        let (receives, shared) = if token {
            (&self.token_completions, &self.token_receives)
        } else {
            (&self.data_completions, &self.burst_receives)
        };
        QueuePair::new(
            &self.domain,
            &QueuePairPlan {
                reliable: true,
                sends: &self.sends,
                receives,
                shared: shared.as_ref(),
                send_entries: self.connection_sends,
                receive_entries: 0,
                inline_bytes: INLINE_BYTES,
            },
        )
    }

    /// Takes up a group that was joined.
    pub(crate) fn joined(&mut self, group: Group, gid_index: Option<u8>) -> Result<(), Error> {
        let mut group = group;
        if let Some(index) = gid_index {
            group.address.grh.sgid_index = index;
        }
        let handle = AddressHandle::new(&self.domain, &group.address)?;
        if let Some(datagrams) = &self.datagrams {
            datagrams.pair().attach(&group.address)?;
        }
        // SAFETY: a GID of zeros is valid and overwritten; the context is open.
        let gid = unsafe {
            let mut gid: rdma_sys::ibv_gid = std::mem::zeroed();
            let index = i32::from(group.address.grh.sgid_index);
            rdma_sys::ibv_query_gid(self.context(), self.listener.port(), index, &raw mut gid);
            gid.raw
        };
        self.own_source = Some(canonical(gid));
        self.membership = Membership::In { group, handle };
        Ok(())
    }

    /// Leaves the group, to join again at that time.
    pub(crate) fn leave(&mut self, config: &Config, again_at_ns: u64) {
        let Some(wanted) = config.multicast else { return };
        let out = Membership::Out { again_at_ns: Some(again_at_ns) };
        match std::mem::replace(&mut self.membership, out) {
            Membership::In { group, handle } => {
                drop(handle);
                if let Some(datagrams) = &self.datagrams {
                    datagrams.pair().detach(&group.address);
                }
                self.groups.leave(wanted);
            }
            Membership::Joining => self.groups.leave(wanted),
            Membership::Out { .. } => {}
        }
    }
}

/// Whether the address is where the configuration says.
fn check_place(config: &Config, name: &str, listener: &Id) -> Result<(), Error> {
    let address = config.my_address().ip();
    let other = |what, found: String, wanted: String| Error::Other { address, what, found, wanted };
    if let Some(wanted) = config.device.as_ref().filter(|wanted| *wanted != name) {
        return Err(other("device", name.into(), wanted.clone()));
    }
    if let Some(wanted) = config.port.filter(|wanted| *wanted != listener.port()) {
        return Err(other("port", listener.port().to_string(), wanted.to_string()));
    }
    // The highest bit tells full from limited members of a partition.
    let found = listener.partition();
    if let Some(wanted) = config.pkey.filter(|wanted| (wanted ^ found) & 0x7fff != 0) {
        return Err(other("partition", format!("{found:#06x}"), format!("{wanted:#06x}")));
    }
    Ok(())
}

/// # Safety
/// `context` is an open device.
unsafe fn device_limits(context: *mut ibv_context) -> Result<ibv_device_attr, Error> {
    // SAFETY: attributes of zeros are valid and overwritten; the caller's promise.
    unsafe {
        let mut limits: ibv_device_attr = std::mem::zeroed();
        if rdma_sys::ibv_query_device(context, &raw mut limits) != 0 {
            return Err(Error::step("ask for the device's limits"));
        }
        Ok(limits)
    }
}

/// Depths of the receive queues: what is wanted, but never more than a quarter of the small slots for
/// datagrams, an eighth for tokens and half of the large ones, nor more than the device takes.
fn depths(
    config: &Config,
    pool: &Pool,
    limits: &ibv_device_attr,
    device: &str,
    warnings: &mut Vec<Warning>,
) -> [u32; 3] {
    let stats = pool.stats();
    let mut depth = |what, wanted: u32, slots: u32, limit: i32| {
        let limit = u32::try_from(limit).unwrap_or(1).max(1);
        if wanted > limit {
            let (device, got) = (device.to_owned(), limit);
            warnings.push(Warning::Queue { device, what, wanted, got });
        }
        wanted.min(slots).min(limit).max(1)
    };
    [
        depth("datagrams", config.datagram_buffers, stats.small_total / 4, limits.max_qp_wr),
        depth("bursts", config.burst_buffers, stats.large_total / 2, limits.max_srq_wr),
        depth("tokens", config.token_buffers, stats.small_total / 8, limits.max_srq_wr),
    ]
}

/// Takes the datagram queue pair to where it sends and receives, as the address's identifier says.
pub(crate) fn ready_for_datagrams(id: &Id, pair: &QueuePair) -> Result<(), Error> {
    let (mut attributes, mask) = id.attributes(ibv_qp_state::IBV_QPS_INIT)?;
    attributes.qkey = DATAGRAM_KEY;
    let mask = mask | ibv_qp_attr_mask::IBV_QP_QKEY.0 as i32;
    // Datagrams have no remote access.
    let mask = mask & !(ibv_qp_attr_mask::IBV_QP_ACCESS_FLAGS.0 as i32);
    pair.modify(&mut attributes, mask, "start the datagram queue pair")?;
    pair.enter(ibv_qp_state::IBV_QPS_RTR, "let the datagram queue pair receive")?;
    let mut attributes = crate::objects::no_attributes();
    attributes.qp_state = ibv_qp_state::IBV_QPS_RTS;
    let mask = ibv_qp_attr_mask::IBV_QP_STATE.0 | ibv_qp_attr_mask::IBV_QP_SQ_PSN.0;
    pair.modify(&mut attributes, mask as i32, "let the datagram queue pair send")
}
