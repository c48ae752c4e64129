//! Opening a transport: sockets, ring, buffers, limits.

use std::mem::ManuallyDrop;

use ::transport::{Caps, Staged};
use frame::{Class, Pool};
use io_uring::IoUring;

use crate::buffers::{BufferRing, Lending};
use crate::config::{Config, Warning};
use crate::counters::Counters;
use crate::error::Error;
use crate::peers::addresses_of;
use crate::receive::{CONTROL_BYTES, HEADROOM_BYTES};
use crate::ring;
use crate::sends::Sends;
use crate::sockets::{DATAGRAM_BYTES_MIN, Sockets};
use crate::tethers::Tethers;
use crate::transport::{Shared, UdpTransport};
use crate::watches::Watches;

/// Datagrams the kernel segments from one send (`UDP_MAX_SEGMENTS` of the oldest kernels with GSO).
const BURST_SEGMENTS_MAX: usize = 64;

/// Largest payload of one UDP send: 65535 less IPv4 and UDP headers.
const UDP_PAYLOAD_BYTES_MAX: usize = 65507;

/// Room for completions of watches and cancellations. More than this at once wait in the kernel;
/// the ring stays small because its pages count against the user's locked memory.
const OTHER_COMPLETIONS: u32 = 256;

impl UdpTransport {
    /// Opens the sockets, makes the ring and starts receiving into `pool`. Call it on the thread that
    /// will use it.
    ///
    /// # Errors
    /// See [`Error`]: every variant says what was tried and what to change.
    pub fn new(config: Config, pool: Pool) -> Result<Self, Error> {
        config.check().map_err(Error::Config)?;
        let config = within_pool(config, &pool);
        for (class, name) in [(Class::Large, "large"), (Class::Small, "small")] {
            let (have, need) = (pool.slot_bytes(class), DATAGRAM_BYTES_MIN + HEADROOM_BYTES);
            if have < need {
                return Err(Error::Slots { class: name, have, need });
            }
        }
        let mut warnings = Vec::new();
        let tethers = listen(&config, &mut warnings);
        let sockets = Sockets::open(&config, &mut warnings)?;
        let completions = u32::from(config.data_buffers)
            + u32::from(config.token_buffers)
            + u32::from(config.sends_max)
            + OTHER_COMPLETIONS;
        let ring = ring::open(
            u32::from(config.sends_max).next_power_of_two(),
            completions.next_power_of_two(),
            &mut warnings,
        )?;
        let shared = Self::share(&config, &pool, &ring, &sockets)?;
        let caps = Self::limits(&pool, &sockets);
        let mut transport = Self {
            staged: Staged::new(
                config.peers.len(),
                config.token_buffers.into(),
                config.data_buffers.into(),
            ),
            absent: vec![false; config.peers.len()],
            lending: Lending::new(config.data_buffers),
            gso: sockets.gso,
            shared: ManuallyDrop::new(shared),
            ring,
            doorbell: None,
            sockets,
            tethers,
            config,
            armed: [false; 3],
            watches: Watches::default(),
            caps,
            limits: caps,
            counters: Counters::default(),
            warnings,
            pool,
        };
        transport.start()?;
        Ok(transport)
    }

    /// Registers the sockets and makes the memory the kernel will use.
    fn share(
        config: &Config,
        pool: &Pool,
        ring: &IoUring,
        sockets: &Sockets,
    ) -> Result<Shared, Error> {
        let at = |step| move |source| Error::Ring { step, source };
        let submitter = ring.submitter();
        // In the order that `peers` gives them indices. Without a group nothing is sent to its index.
        let group = sockets.group.as_ref().map_or(config.peers[0].data, |g| g.address);
        let mut addresses = vec![socket2::SockAddr::from(group)];
        addresses.extend(config.peers.iter().flat_map(addresses_of));
        let step = at("register a ring of receive buffers (Linux 5.19 has them)");
        let data =
            BufferRing::register(&submitter, pool.clone(), Class::Large, 0, config.data_buffers)
                .map_err(step)?;
        let step = at("register a ring of receive buffers (Linux 5.19 has them)");
        let token =
            BufferRing::register(&submitter, pool.clone(), Class::Small, 1, config.token_buffers)
                .map_err(step)?;
        // SAFETY: a msghdr of zeroes is an empty message; the kernel reads only its lengths.
        let mut receive_message: Box<libc::msghdr> = Box::new(unsafe { std::mem::zeroed() });
        receive_message.msg_controllen = CONTROL_BYTES as _;
        let sends = Sends::new(config.sends_max, addresses);
        Ok(Shared { data, token, sends, receive_message })
    }

    fn limits(pool: &Pool, sockets: &Sockets) -> Caps {
        let large = pool.slot_bytes(Class::Large) - HEADROOM_BYTES;
        let small = pool.slot_bytes(Class::Small) - HEADROOM_BYTES;
        Caps {
            datagram_bytes: sockets.datagram_bytes.min(large),
            token_bytes: sockets.datagram_bytes.min(small),
            burst_segments: BURST_SEGMENTS_MAX,
            burst_bytes: large.min(UDP_PAYLOAD_BYTES_MAX),
            multicast: sockets.group.is_some(),
        }
    }

    /// Arms the receives and learns at once whether the kernel knows multishot ones.
    fn start(&mut self) -> Result<(), Error> {
        self.refill();
        if let Some(tethers) = &mut self.tethers {
            tethers.tie(None);
            self.watch_tethers();
            self.report_tethers();
        }
        self.enter(None, false);
        self.collect();
        if self.shared.data.lent() > 0 && self.counters.receives_failed > 0 {
            let kernel = crate::error::kernel_release();
            return Err(Error::Missing {
                what: "multishot receives (RECVMSG)",
                since: "6.0",
                kernel,
            });
        }
        Ok(())
    }
}

/// Opens the listener for tethers, if they are wanted and it can be.
fn listen(config: &Config, warnings: &mut Vec<Warning>) -> Option<Tethers> {
    if !config.tethers {
        return None;
    }
    let opened = Tethers::listen(config.me, &config.peers);
    opened
        .map_err(|e| {
            let address = config.peers[config.me as usize].data;
            warnings.push(Warning::NoTethers { address, reason: e.to_string() });
        })
        .ok()
}

/// Lends the kernel at most half of a small pool, so that there is always something to send from.
fn within_pool(mut config: Config, pool: &Pool) -> Config {
    let stats = pool.stats();
    let half = |total: u32, wanted: u16| {
        // The greatest power of two up to half of the slots.
        let most = (total / 2).max(1).min(u32::from(u16::MAX));
        wanted.min(1 << most.ilog2())
    };
    config.data_buffers = half(stats.large_total, config.data_buffers);
    config.token_buffers = half(stats.small_total, config.token_buffers);
    config
}
