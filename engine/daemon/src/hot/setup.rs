//! Making everything the hot thread owns, on that thread, in the order in which it depends on each other.

use std::path::Path;
use std::sync::Arc;

use frame::{Pool, Region};
use node::Node;
use schema::{Config, Cpu, Encryption, LockMemory, Priority, Provider};
use session::{Acceptor, Access};
use transport::links::Links;
use transport::lossy::{Faults, Lossy};
use wire::{BootId, NodeId};

use super::awaited::Awaited;
use super::awake::Awake;
use super::driver::{Driver, mtu_bytes, pool_config};
use super::idle::Strategy;
use super::programs::Scratch;
use super::takeover::Positions;
use super::{Hot, KEY_CONTROL, KEY_PROGRAMS, LoopCounters};
use crate::channel::Channel;
use crate::clock::{monotonic_ns, wall_ns};
use crate::exit::{Exit, Failure};
use crate::page::CountersPage;
use crate::recorder::Recorder;

/// What the hot thread is made from.
pub(crate) struct Plan {
    /// Where the configuration comes from.
    pub(crate) source: schema::Source,
    /// The checked configuration.
    pub(crate) config: Config,
    /// What the file says, for the configuration map.
    pub(crate) keys: Vec<schema::corosync::ConfKey>,
    /// What the configuration says and this engine does not do.
    pub(crate) warnings: Vec<String>,
    /// The cluster key, if encryption is on.
    pub(crate) key: Option<schema::key_file::ClusterKey>,
    /// This start of the engine.
    pub(crate) boot: BootId,
    /// Randomness for jitter and for the first session's number.
    pub(crate) seed: u64,
    /// What was on the disk.
    pub(crate) stored: node::Stored,
    /// The most votes that were ever expected, if that is kept.
    pub(crate) expected_votes_tracked: u32,
}

/// What the control thread gets from a hot thread that is ready to run.
pub(crate) struct Started {
    /// Listens for programs.
    pub(crate) acceptor: Acceptor,
    /// What is not as the configuration asks for it: not done here, or less of it given by the host.
    pub(crate) warnings: Vec<String>,
}

// A configuration that is accepted must be one that the ring can carry.
const _: () = assert!(schema::NODES_MAX == wire::NODES_MAX);

/// Nice value of an urgent thread: 35 times the weight of a normal one (each step is a quarter more), and short
/// of the -20 that an operator may want for something else.
const NICE_HIGH: i32 = -16;

/// Share (one in so many) of the small slots that one rotation may fill; three rotations are kept, and
/// frames are full only under load.
const WINDOW_SHARE: u64 = 4;

/// Environment variable with faults to inject; see [`Faults`]'s `FromStr`.
const FAULTS_VARIABLE: &str = "SYNCHROTRON_FAULTS";

/// Makes the hot thread's belongings. Call it on the thread that will run them.
///
/// # Errors
/// What is missing and what to change, with the exit code.
pub(crate) fn start(plan: Arc<Plan>, channel: Arc<Channel>) -> Result<(Hot, Started), Failure> {
    let config = &plan.config;
    let system = |error: &dyn std::fmt::Display| Failure::new(Exit::System, error);
    let mut warnings = plan.warnings.clone();
    warnings.extend(super::quorum::warnings(config));
    pin(config.engine.cpu)?;
    raise_priority(config.engine.priority)?;
    let awake = Awake::ask(config.engine.wake_latency_ns)?;
    lock_memory(config.engine.lock_memory, &mut warnings)?;
    let pool_config = pool_config(config);
    let region = Region::create(pool_config).map_err(|error| system(&error))?;
    let region_fd = region.fd().try_clone_to_owned().map_err(|error| system(&error))?;
    let pool = region.into_pool(pool_config);
    let mut transport = open_links(&plan, &pool, &mut warnings)?;
    let now_ns = monotonic_ns();
    let node = Node::new(node_config(&plan, &transport), pool.clone(), now_ns)
        .map_err(|error| Failure::new(Exit::Config, error))?;
    let (server, acceptor) = session::open(session_config(&plan), pool.clone(), region_fd)
        .map_err(|error| not_served(&error))?;
    for (fd, key) in [(channel.hot_bell(), KEY_CONTROL), (server.bell(), KEY_PROGRAMS)] {
        transport.watch(fd, key).map_err(|error| system(&error))?;
    }
    let recorder = recorder(&plan, &mut warnings);
    let mut hot = Hot {
        _awake: awake,
        awaited: Awaited::new(&transport, now_ns),
        roster: config.nodes.clone(),
        running: config.clone(),
        takeover: None,
        positions: Positions::new(config.nodes.iter().map(|node| NodeId(node.id))),
        pool,
        node,
        server,
        transport,
        channel,
        recorder,
        page: None,
        page_at_ns: 0,
        wall_offset_ns: wall_ns().wrapping_sub(now_ns),
        strategy: Strategy::new(config.engine.idle, config.engine.spin_ns),
        scratch: Scratch::default(),
        requests: Vec::with_capacity(64),
        left: false,
        counters: LoopCounters::default(),
        plan: plan.clone(),
    };
    hot.page = page(&hot, &config.engine.state_dir, &mut warnings);
    Ok((hot, Started { acceptor, warnings }))
}

fn pin(cpu: Cpu) -> Result<(), Failure> {
    let Cpu::Pinned(wanted) = cpu else { return Ok(()) };
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let Some(core) = cores.iter().find(|core| core.id == wanted) else {
        let known: Vec<_> = cores.iter().map(|core| core.id.to_string()).collect();
        let message =
            format!("engine.cpu = {wanted}: this process may run on cores {}", known.join(", "));
        return Err(Failure::new(Exit::System, message));
    };
    if core_affinity::set_for_current(*core) {
        Ok(())
    } else {
        let message = format!("engine.cpu = {wanted}: the kernel refuses to pin the thread");
        Err(Failure::new(Exit::System, message))
    }
}

/// Makes this thread the first that gets a core when it has something to do. A node that waits for its turn
/// holds up the whole ring, and one that waits for too long is taken for dead. Not a real-time class: a thread
/// that spins in one would take a shared core away from the programs it serves.
fn raise_priority(wanted: Priority) -> Result<(), Failure> {
    use rustix::process::setpriority_process;
    if wanted == Priority::Normal {
        return Ok(());
    }
    // On Linux a thread's id in place of a process's means that thread alone.
    let raised = setpriority_process(Some(rustix::thread::gettid()), NICE_HIGH);
    match raised {
        Err(error) if wanted == Priority::High => {
            let hint = "give it CAP_SYS_NICE (AmbientCapabilities in the unit) or LimitNICE=-16";
            let message = format!("engine.priority = \"high\": nice {NICE_HIGH}: {error}; {hint}");
            Err(Failure::new(Exit::System, message))
        }
        _ => Ok(()),
    }
}

/// Locks what the process touches. `Auto` does so only where no limit stands in the way: with a limit the
/// call may succeed and a later mapping fail.
fn lock_memory(wanted: LockMemory, warnings: &mut Vec<String>) -> Result<(), Failure> {
    use rustix::mm::{MlockAllFlags, mlockall};
    use rustix::thread::CapabilitySet;
    let unlimited =
        rustix::process::getrlimit(rustix::process::Resource::Memlock).current.is_none();
    let capable = rustix::thread::capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK));
    let wanted_now = match wanted {
        LockMemory::On => true,
        LockMemory::Auto => unlimited || capable,
        LockMemory::Off => false,
    };
    if !wanted_now {
        return Ok(());
    }
    // Pages are locked as they are touched: an idle engine does not hold its whole region.
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    match mlockall(flags) {
        Ok(()) => Ok(()),
        Err(error) if wanted == LockMemory::On => {
            let hint = "raise the limit (LimitMEMLOCK=infinity in the unit, `ulimit -l unlimited`)";
            let message = format!("engine.lock_memory = \"on\": mlockall: {error}; {hint}");
            Err(Failure::new(Exit::System, message))
        }
        Err(error) => {
            warnings.push(format!("memory is not locked: mlockall: {error}"));
            Ok(())
        }
    }
}

/// When a silent ring is declared lost.
pub(super) fn token_timeout(config: &Config) -> totem::TokenTimeout {
    match config.totem.token_timeout {
        schema::TokenTimeout::Auto { min_us, max_us } => {
            totem::TokenTimeout::Auto { min_us, max_us }
        }
        schema::TokenTimeout::Fixed { us } => totem::TokenTimeout::Fixed { us },
    }
}

/// What local programs may use.
pub(super) fn group_limits(config: &Config) -> groups::Limits {
    groups::Limits {
        sessions_max: config.ipc.max_clients,
        memberships_max: config.limits.memberships_max,
    }
}

/// Every link that the configuration names, each with its own driver.
fn open_links(
    plan: &Plan,
    pool: &Pool,
    warnings: &mut Vec<String>,
) -> Result<Links<Lossy<Driver>>, Failure> {
    let (mut links, mut failure, count) = (Vec::new(), None, plan.config.link_count());
    for link in 0..count {
        let opened = Driver::open(&plan.config, link, pool, warnings);
        let driver = match opened.and_then(|driver| alone_on_its_device(driver, link, &links)) {
            Ok(driver) => driver,
            Err(error) if count == 1 => return Err(error),
            Err(error) => {
                let absent = Driver::absent(&plan.config, link);
                warnings.push(format!("not used until {}: {}", absent.until(), error.message));
                failure = Some(error);
                absent
            }
        };
        // What one link is told to lose is no concern of the others.
        let seed = plan.seed.wrapping_add(link as u64);
        links.push(faulty(driver, pool, plan, seed, warnings)?);
    }
    // One over RDMA has more to look after in its sleep than one over UDP: it sleeps for both.
    let rdma = links.iter().position(|link: &Lossy<Driver>| link.inner().device().is_some());
    let home = rdma.or_else(|| links.iter().position(|link| link.inner().is_there()));
    match (home, failure) {
        (None, Some(failure)) => Err(failure),
        (home, _) => Links::new(links, home.unwrap_or(0), pool.clone())
            .map_err(|error| Failure::new(Exit::System, error)),
    }
}

/// Two links on one RDMA device would take each other's events, and fail together.
fn alone_on_its_device(
    driver: Driver,
    link: usize,
    before: &[Lossy<Driver>],
) -> Result<Driver, Failure> {
    let same =
        |other: &Lossy<Driver>| driver.device().is_some_and(|d| other.inner().device() == Some(d));
    let Some(other) = before.iter().position(same) else { return Ok(driver) };
    let device = driver.device().unwrap_or_default();
    let message = format!(
        "link {link}: the RDMA device {device} carries link {other} already; each link over verbs needs a device of \
         its own"
    );
    Err(Failure::new(Exit::Config, message))
}

/// How frames travel on them.
pub(super) fn links(config: &Config) -> node::Links {
    let mut priorities = [1; transport::links::LINKS_MAX];
    for (to, from) in priorities.iter_mut().zip(&config.transport.link_priorities) {
        *to = *from;
    }
    node::Links {
        count: config.link_count() as u8,
        mode: match config.transport.link_mode {
            schema::LinkMode::Passive => node::LinkMode::Passive,
            schema::LinkMode::Active => node::LinkMode::Active,
            schema::LinkMode::RoundRobin => node::LinkMode::RoundRobin,
        },
        priorities,
    }
}

/// For tests of whole engines: what `SYNCHROTRON_FAULTS` asks for happens to the datagrams received.
fn faulty(
    driver: Driver,
    pool: &Pool,
    plan: &Plan,
    seed: u64,
    warnings: &mut Vec<String>,
) -> Result<Lossy<Driver>, Failure> {
    let text = std::env::var(FAULTS_VARIABLE).unwrap_or_default();
    let faults: Faults = text
        .parse()
        .map_err(|error| Failure::new(Exit::Config, format!("{FAULTS_VARIABLE}: {error}")))?;
    if faults != Faults::default() {
        warnings.push(format!("datagrams are mistreated on purpose: {FAULTS_VARIABLE}={text}"));
    }
    let nodes = &plan.config.nodes;
    let me = nodes.iter().position(|node| node.id == plan.config.me).unwrap_or_default();
    Ok(Lossy::new(driver, pool.clone(), me as u16, nodes.len() as u16, faults, seed))
}

/// Intervals of the ring; its windows are as usual.
fn intervals(config: &Config) -> totem::Tuning {
    totem::Tuning { consensus_us: config.totem.consensus_timeout_us, ..totem::Tuning::default() }
}

/// The longest time that this node can owe others under a configuration, nanoseconds; 0 where votes are not
/// counted.
pub(crate) fn owed_ns_max(config: &Config) -> u64 {
    if !config.quorum.votequorum {
        return 0;
    }
    totem::owed_ns_max(token_timeout(config), config.nodes.len(), &intervals(config))
}

fn node_config<'p>(plan: &'p Plan, transport: &Links<Lossy<Driver>>) -> node::Config<'p> {
    let config = &plan.config;
    let caps = transport.caps();
    let tuning = intervals(config);
    let global_window_bytes = tuning.global_window_bytes.min(window_bytes(config));
    node::Config {
        me: NodeId(config.me),
        nodes: config.nodes.iter().map(|node| NodeId(node.id)).collect(),
        cluster_name: &config.cluster_name,
        security: security(plan),
        boot: plan.boot,
        seed: plan.seed,
        datagram_bytes: caps.datagram_bytes,
        burst_segments: caps.burst_segments,
        burst_bytes: caps.burst_bytes,
        links: links(config),
        token_timeout: token_timeout(config),
        config_version: config.config_version,
        config_hash: config.shared_hash(),
        stored: plan.stored,
        tuning: totem::Tuning {
            global_window_bytes,
            personal_window_bytes_max: tuning.personal_window_bytes_max.min(global_window_bytes),
            ..tuning
        },
        limits: group_limits(config),
        quorum: super::quorum::options(config),
        expected_votes_tracked: plan.expected_votes_tracked,
    }
}

/// Bytes that one rotation may fill of the small slots: every link over RDMA has as much room to receive them.
fn window_bytes(config: &Config) -> u64 {
    let small_bytes = u64::from(config.memory.small_slots) * mtu_bytes(config) as u64;
    small_bytes / WINDOW_SHARE / config.verbs_links().max(1) as u64
}

fn security(plan: &Plan) -> link::Security {
    match (&plan.config.security.encryption, &plan.key) {
        (Encryption::Aes256Gcm { .. }, Some(key)) => link::Security::Aes256Gcm {
            key: key.0,
            epoch: link::epoch_of(&key.0),
            provider: match plan.config.security.provider {
                Provider::AesGcm => link::Provider::AesGcm,
                _ => fastest(),
            },
        },
        _ => link::Security::Off,
    }
}

#[cfg(feature = "aws-lc")]
fn fastest() -> link::Provider {
    link::Provider::AwsLc
}

#[cfg(not(feature = "aws-lc"))]
fn fastest() -> link::Provider {
    link::Provider::AesGcm
}

/// Which users may connect.
pub(crate) fn access(config: &Config) -> Access {
    Access {
        uids: config.ipc.allow_uids.clone(),
        gids: config.ipc.allow_gids.clone(),
        private_uids: config.ipc.private_uids.clone(),
        private_gids: config.ipc.private_gids.clone(),
    }
}

fn session_config(plan: &Plan) -> session::Config {
    let ipc = &plan.config.ipc;
    session::Config {
        access: access(&plan.config),
        node: plan.config.me,
        boot: plan.boot.0,
        first_session: (plan.seed >> 32) as u32,
        sessions_max: ipc.max_clients as usize,
        delivery_slots: ipc.delivery_slots,
        submit_bytes: ipc.submit_bytes,
        private_bytes: ipc.private_bytes,
        message_bytes_max: plan.config.limits.message_bytes_max,
        lag_slots: ipc.lag_slots,
        backlog_bytes_max: ipc.spill_bytes,
        backlog_bytes_total_max: ipc.spill_bytes_total,
        lease_ns: ipc.lease_ns,
        ..session::Config::new(&ipc.socket)
    }
}

/// Why programs cannot be served, with whose fault it is.
fn not_served(error: &session::OpenError) -> Failure {
    match error {
        session::OpenError::Memory(_) => Failure::new(Exit::System, error),
        session::OpenError::Socket { .. } => {
            let hint = "ipc.socket must lie in a directory that is there and that the engine's user may write to";
            Failure::new(Exit::Files, format!("{error}; {hint}"))
        }
    }
}

/// The flight recorder; without room for it the engine runs all the same.
fn recorder(plan: &Plan, warnings: &mut Vec<String>) -> Option<Recorder> {
    let file = plan.config.recorder.file.as_ref()?;
    let bytes = plan.config.recorder.bytes;
    match Recorder::open(file, bytes, plan.config.me, plan.boot.0, wall_ns()) {
        Ok(recorder) => Some(recorder),
        Err(error) => {
            warnings.push(format!("no flight recorder: {}: {error}", file.display()));
            None
        }
    }
}

fn page(hot: &Hot, dir: &Path, warnings: &mut Vec<String>) -> Option<CountersPage> {
    let mut names = Vec::new();
    hot.each_counter(&mut |layer, name, _| names.push(format!("{layer}.{name}")));
    let path = dir.join("counters");
    match CountersPage::create(&path, &names, hot.plan.boot.0) {
        Ok(page) => Some(page),
        Err(error) => {
            warnings.push(format!("no counters page: {}: {error}", path.display()));
            None
        }
    }
}
