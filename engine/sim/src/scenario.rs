//! Everything a run is made of, drawn from its seed: how many nodes, how bad the network, how small
//! the pools, how often what breaks.

use frame::PoolConfig;
use node::{LinkMode, Links};
use totem::Tuning;

use crate::quorum::Ballot;
use crate::rng::Rng;

/// One millisecond in nanoseconds.
pub(crate) const MS: u64 = 1_000_000;

/// A time that does not come.
pub(crate) const NEVER: u64 = u64::MAX;

/// What the network does to datagrams, in parts of a million.
#[derive(Clone, Copy, Debug, Default)]
pub struct NetworkFaults {
    /// Lost.
    pub loss_ppm: u64,
    /// Delivered twice.
    pub duplicate_ppm: u64,
    /// Delayed past others.
    pub reorder_ppm: u64,
    /// A bit flipped.
    pub flip_ppm: u64,
    /// Cut short.
    pub truncate_ppm: u64,
    /// Followed by garbage.
    pub garbage_ppm: u64,
    /// Followed by an old datagram.
    pub replay_ppm: u64,
}

/// What breaks, as weights of one draw.
#[derive(Clone, Copy, Debug)]
pub struct FaultWeights {
    /// The nodes fall apart into two or three groups.
    pub partition: u64,
    /// One direction between some nodes is cut.
    pub one_way: u64,
    /// All cuts are mended.
    pub mend: u64,
    /// A node stands still.
    pub pause: u64,
    /// A node is killed, and most often started again.
    pub crash: u64,
    /// A node leaves, and most often comes back.
    pub leave: u64,
    /// The network loses much for a while.
    pub storm: u64,
    /// Something holds most slots of a node for a while.
    pub starve: u64,
    /// The configuration is changed and reloaded: timeouts, the node list, the cluster key.
    pub reload: u64,
}

impl FaultWeights {
    /// The weights in the order of the fields.
    pub fn list(&self) -> [u64; 9] {
        [
            self.partition,
            self.one_way,
            self.mend,
            self.pause,
            self.crash,
            self.leave,
            self.storm,
            self.starve,
            self.reload,
        ]
    }
}

/// What clients do.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Most clients per node.
    pub sessions_max: u64,
    /// How many group names there are.
    pub groups: u64,
    /// Mean time between two steps of the clients of a node.
    pub step_ns: u64,
    /// Most messages in one batch.
    pub batch_max: u64,
    /// Most bytes of a message that fits a frame.
    pub small_bytes_max: u64,
    /// Most bytes of a fragmented message.
    pub large_bytes_max: u64,
    /// Large messages among the batches.
    pub large_ppm: u64,
    /// Batches that ask for safe delivery.
    pub safe_ppm: u64,
    /// Sessions that read late.
    pub slow_ppm: u64,
    /// How late.
    pub slow_ns: u64,
    /// Most bytes a session lets wait before it stops sending.
    pub queue_bytes_max: u64,
}

impl Load {
    /// One group, most messages in many fragments, and clients that come and go all the time.
    #[must_use]
    pub fn with_joins_amid_large_messages(self) -> Self {
        Self {
            sessions_max: 6,
            groups: 1,
            step_ns: self.step_ns / 4 + MS / 2,
            batch_max: 2,
            large_bytes_max: 30_000,
            large_ppm: 700_000,
            queue_bytes_max: 60_000,
            ..self
        }
    }
}

/// A node that was not given the configuration of the others.
#[derive(Clone, Copy, Debug)]
pub struct Stale {
    /// Which host.
    pub host: usize,
    /// An older version of it; else one of the same version with other contents.
    pub older: bool,
}

/// What happens to single links while others work.
#[derive(Clone, Copy, Debug)]
pub struct LinkFaults {
    /// Mean time between two of them.
    pub every_ns: u64,
    /// Whether there is always one link that nothing happens to, between all nodes.
    pub sparing: bool,
}

/// A run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The seed it was drawn from.
    pub seed: u64,
    /// How many nodes are configured.
    pub nodes: u32,
    /// Whether datagrams are encrypted.
    pub encrypted: bool,
    /// Largest datagram in bytes.
    pub datagram_bytes: usize,
    /// Largest burst in bytes.
    pub burst_bytes: usize,
    /// How long faults are injected.
    pub chaos_ns: u64,
    /// One-way delay of the network.
    pub latency_ns: u64,
    /// What is added to it, at most.
    pub jitter_ns: u64,
    /// Faults of the network while they are injected.
    pub network: NetworkFaults,
    /// Fastest and slowest clock.
    pub drift_ppm: u64,
    /// Mean time between two faults; `u64::MAX`: there are none.
    pub fault_ns: u64,
    /// Which.
    pub faults: FaultWeights,
    /// Memory of a node.
    pub pool: PoolConfig,
    /// Bytes a socket buffers.
    pub socket_bytes: usize,
    /// Time a node's loop needs for one turn and for one datagram.
    pub turn_ns: u64,
    /// How long a disk write takes at most.
    pub disk_ns: u64,
    /// Clients.
    pub load: Load,
    /// Lower bound of the token timeout.
    pub token_timeout_min_us: u64,
    /// Upper bound of the token timeout.
    pub token_timeout_max_us: u64,
    /// Windows and intervals of the ring.
    pub tuning: Tuning,
    /// One host is this many times as far away as the others.
    pub far: Option<(usize, u64)>,
    /// A node with another configuration than the rest, which must stay out and disturb nobody.
    pub stale: Option<Stale>,
    /// How votes are counted, if they are.
    pub ballot: Option<Ballot>,
    /// The links between any two nodes.
    pub links: Links,
    /// How they fail, if there are several.
    pub link_faults: Option<LinkFaults>,
    /// A host that the node list does not name at first.
    pub absent: Option<usize>,
    /// When the cluster's key is replaced, if datagrams are encrypted.
    pub new_key_ns: Option<u64>,
}

/// Virtual time after healing within which everything has to be well again. Probing, back-off and
/// the commit of a ring each take a small multiple of the token timeout's upper bound of 300 ms; a
/// node shut out for the sake of a broken path waits at most as long again as the faults lasted,
/// some three seconds. Four times that, so that only what does not end reaches it.
pub const LIVENESS_NS: u64 = 12_000 * MS;

/// What the bound is longer by for each node: the clients of each have up to half a megabyte waiting, which the
/// smallest windows on the slowest network send in that time.
pub const DRAIN_NS: u64 = 500 * MS;

/// What the bound is longer by when a key was replaced: a dead peer that may not have the new key is
/// waited for ten seconds, and whoever started with the new key alone cannot read the others until then.
pub const NEW_KEY_NS: u64 = 12_000 * MS;

impl Scenario {
    /// The same run with reloads among most of its faults.
    #[must_use]
    pub fn with_many_reloads(mut self) -> Self {
        self.faults.reload = 40;
        self.fault_ns = self.fault_ns.min(60 * MS);
        self
    }

    /// The run of a seed; `nodes` replaces the number of nodes drawn, and nothing else.
    pub fn new(seed: u64, nodes: Option<u32>) -> Self {
        let mut rng = Rng::new(seed);
        let drawn = draw_nodes(&mut rng);
        let nodes = nodes.unwrap_or(drawn);
        let latency_ns = *rng.pick(&[30_000, 100_000, 300_000, 1_000_000]);
        let jitter_ns = latency_ns * rng.between(0, 10) / 10;
        let calm = rng.chance(150_000);
        // Drawn apart, so that older seeds stay what they were but for what is drawn here: sometimes faults
        // hit rings in the making, and sometimes the network is really bad.
        let mut extra = Rng::new(seed ^ 0xe07a);
        let hasty = extra.chance(150_000).then(|| extra.between(2, 20) * MS);
        let bad_loss_ppm = extra.chance(80_000).then(|| extra.between(60_000, 250_000));
        // Large worlds are for large rings, not for long stories.
        let crowd = 1 + u64::from(nodes) / 5;
        let chaos_ns = rng.between(300, 2_500) * MS / crowd + 200 * MS;
        let mut scenario = Self {
            seed,
            nodes,
            encrypted: rng.chance(60_000),
            datagram_bytes: *rng.pick(&[1472, 1472, 1472, 1232, 1952]),
            burst_bytes: *rng.pick(&[16 << 10, 60 << 10, 64_000]),
            chaos_ns,
            latency_ns,
            jitter_ns,
            network: if calm { NetworkFaults::default() } else { draw_network(&mut rng) },
            drift_ppm: *rng.pick(&[0, 50, 500, 500, 10_000]),
            fault_ns: hasty.unwrap_or(chaos_ns / rng.between(1, 8) + 20 * MS),
            faults: draw_weights(&mut rng),
            pool: draw_pool(&mut rng),
            socket_bytes: *rng.pick(&[32 << 10, 212_992, 1 << 20, 4 << 20]),
            turn_ns: *rng.pick(&[1_000, 3_000, 20_000]),
            disk_ns: *rng.pick(&[MS / 10, 3 * MS, 60 * MS]),
            load: draw_load(&mut rng, crowd),
            token_timeout_min_us: *rng.pick(&[10_000, 20_000, 50_000]),
            token_timeout_max_us: *rng.pick(&[200_000, 300_000]),
            tuning: Tuning { window_frames: *rng.pick(&[256, 1024, 1024]), ..Tuning::default() },
            far: None,
            stale: None,
            ballot: None,
            absent: None,
            new_key_ns: None,
            links: Links::ONE,
            link_faults: None,
        };
        if let Some(loss_ppm) = bad_loss_ppm {
            scenario.network.loss_ppm = loss_ppm;
        }
        if extra.chance(120_000) {
            scenario.load.step_ns = crowd * MS;
            scenario.load.large_ppm = 300_000;
        }
        if nodes > 2 && extra.chance(60_000) {
            let host = extra.below(nodes.into()) as usize;
            scenario.stale = Some(Stale { host, older: extra.chance(500_000) });
        }
        if extra.chance(300_000) {
            draw_tuning(&mut extra, &mut scenario.tuning);
            // Windows that small would take longer than the bound to send what many clients could have.
            let least = u64::from(nodes) * 6_000;
            let tuning = &mut scenario.tuning;
            tuning.global_window_bytes = tuning.global_window_bytes.max(least);
            scenario.load.queue_bytes_max = 60_000;
        }
        if extra.chance(100_000) {
            scenario.far = Some((extra.below(nodes.into()) as usize, extra.between(2, 10)));
        }
        if extra.chance(500_000) {
            scenario.new_key_ns = Some(extra.below(chaos_ns));
        }
        if extra.chance(100_000) {
            scenario.load = scenario.load.with_joins_amid_large_messages();
        }
        draw_reloads(&mut Rng::new(seed ^ 0x004e_10ad), &mut scenario);
        scenario.with_more_drawn()
    }

    /// Most count votes, some have several links, which fail whenever they like. Drawn apart, so that older seeds
    /// stay what they were.
    fn with_more_drawn(mut self) -> Self {
        let mut votes = Rng::new(self.seed ^ 0xb0_7e5);
        if votes.chance(750_000) {
            self.ballot = Some(Ballot::draw(&mut votes, self.nodes));
        }
        let mut several = Rng::new(self.seed ^ 0x11_2c);
        if several.chance(300_000) {
            self.links = draw_links(&mut several);
            let every_ns = several.between(5, 300) * MS;
            self.link_faults = Some(LinkFaults { every_ns, sparing: false });
        }
        self
    }

    /// A world in which nothing fails but links, and at every moment one of them works everywhere: nobody may
    /// notice.
    pub fn sparing_links(seed: u64) -> Self {
        let mut several = Rng::new(seed ^ 0x5_1a2e);
        let nodes = several.between(2, 6) as u32;
        let every_ns = *several.pick(&[60, 200, 1_000]) * MS;
        let drawn = Self::new(seed, Some(nodes));
        Self {
            chaos_ns: 4_000 * MS,
            fault_ns: NEVER,
            network: NetworkFaults::default(),
            drift_ppm: drawn.drift_ppm.min(500),
            pool: PoolConfig { small_count: 1024, large_count: 24, ..drawn.pool },
            socket_bytes: 4 << 20,
            token_timeout_min_us: drawn.token_timeout_min_us.max(20_000),
            tuning: Tuning::default(),
            absent: None,
            new_key_ns: None,
            far: None,
            stale: None,
            links: draw_links(&mut several),
            link_faults: Some(LinkFaults { every_ns, sparing: true }),
            ..drawn
        }
    }
}

/// Two links, seldom three, used in any way.
fn draw_links(rng: &mut Rng) -> Links {
    let mut priorities = Links::ONE.priorities;
    priorities.iter_mut().for_each(|priority| *priority = rng.below(3) as u8);
    let modes = [LinkMode::Passive, LinkMode::Passive, LinkMode::Active, LinkMode::RoundRobin];
    Links { count: *rng.pick(&[2, 2, 3]), mode: *rng.pick(&modes), priorities }
}

/// Half of the worlds have reloads, and some of those a host that is not in the node list yet.
fn draw_reloads(rng: &mut Rng, scenario: &mut Scenario) {
    if !rng.chance(500_000) {
        return;
    }
    scenario.faults.reload = rng.between(1, 12);
    if scenario.nodes > 2 && rng.chance(250_000) {
        let host = rng.below(scenario.nodes.into()) as usize;
        let stale = scenario.stale.is_some_and(|stale| stale.host == host);
        scenario.absent = (!stale).then_some(host);
    }
}

/// Windows from one frame to more than a pool holds, and intervals to match.
fn draw_tuning(rng: &mut Rng, tuning: &mut Tuning) {
    tuning.personal_window_bytes_min = *rng.pick(&[1 << 10, 16 << 10]);
    tuning.personal_window_bytes_max = *rng.pick(&[8 << 10, 32 << 10, 256 << 10]);
    tuning.global_window_bytes = *rng.pick(&[16 << 10, 128 << 10, 2 << 20]);
    tuning.accelerated_window_bytes = *rng.pick(&[0, 3_000, 64 << 10, 1 << 20]);
    tuning.hold_us_max = *rng.pick(&[1, 500, 10_000]);
    tuning.rest_interval_per_node_us = *rng.pick(&[300, 1_500, 5_000]);
    tuning.repair_slack_us = *rng.pick(&[0, 200, 2_000]);
}

/// Mostly small worlds; one in sixteen is large.
fn draw_nodes(rng: &mut Rng) -> u32 {
    let nodes = match rng.below(16) {
        0..=10 => rng.between(2, 5),
        11..=14 => rng.between(4, 9),
        _ => rng.between(8, 32),
    };
    nodes as u32
}

fn draw_network(rng: &mut Rng) -> NetworkFaults {
    let mut some = |most: u64| if rng.chance(400_000) { 0 } else { rng.between(1, most) };
    NetworkFaults {
        loss_ppm: some(60_000),
        duplicate_ppm: some(30_000),
        reorder_ppm: some(30_000),
        flip_ppm: some(5_000),
        truncate_ppm: some(2_000),
        garbage_ppm: some(3_000),
        replay_ppm: some(10_000),
    }
}

fn draw_weights(rng: &mut Rng) -> FaultWeights {
    let mut some = |most: u64| if rng.chance(300_000) { 0 } else { rng.between(1, most) };
    FaultWeights {
        partition: some(10),
        one_way: some(6),
        mend: 6,
        pause: some(6),
        crash: some(10),
        leave: some(4),
        storm: some(4),
        starve: some(3),
        reload: 0,
    }
}

/// Pools from just enough to plenty.
fn draw_pool(rng: &mut Rng) -> PoolConfig {
    let tight = rng.chance(150_000);
    let (small_count, large_count) =
        if tight { (rng.between(160, 400), rng.between(4, 8)) } else { (1024, 24) };
    PoolConfig {
        small_bytes: 2048,
        small_count: small_count as u32,
        large_bytes: 65_536,
        large_count: large_count as u32,
    }
}

fn draw_load(rng: &mut Rng, crowd: u64) -> Load {
    let busy = rng.between(1, 6);
    Load {
        sessions_max: rng.between(1, 4),
        groups: rng.between(1, 4),
        step_ns: crowd * rng.between(2, 30) * MS,
        batch_max: busy * busy * 4,
        small_bytes_max: *rng.pick(&[32, 200, 900]),
        large_bytes_max: *rng.pick(&[4_000, 30_000, 200_000]),
        large_ppm: *rng.pick(&[0, 20_000, 100_000]),
        safe_ppm: *rng.pick(&[0, 200_000, 500_000, 1_000_000]),
        slow_ppm: *rng.pick(&[0, 0, 200_000]),
        slow_ns: rng.between(1, 80) * MS,
        queue_bytes_max: 400_000,
    }
}
