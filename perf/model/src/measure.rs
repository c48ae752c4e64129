//! What work costs on this machine: short measurements of the real code.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use frame::{Class, Pool, PoolConfig};
use ring::spsc;
use rustix::event::{EventfdFlags, eventfd};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use transport::{Burst, Dest, Event, Queue, Transport};
use uring::{Config, Peer, UdpTransport};

use crate::world::World;
use crate::{Cores, Costs, Load, Network, Plan};

/// Repetitions of each measurement; the median counts.
const RUNS: usize = 5;

/// Bursts of a measurement: together less than a socket buffer holds.
const BURSTS: usize = 16;

/// Datagrams of the larger burst: a full one of Ethernet frames.
const DATAGRAMS: usize = 44;
const DATAGRAM_BYTES: usize = 1472;

/// Messages through a ring, and how many are published together.
const MESSAGES: usize = 100_000;
const BATCH: usize = 16;

/// Wake-ups.
const HOPS: usize = 2_000;

/// Virtual time in which the engine's own work is measured.
const ENGINE_NS: u64 = 30_000_000;

/// How long datagrams on loopback may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Measures, in about a second.
///
/// # Errors
/// When this machine has no io_uring or no loopback.
pub fn measure(encrypted: bool) -> anyhow::Result<Costs> {
    let [(send_one, receive_one), (send_full, receive_full)] = [1, DATAGRAMS]
        .map(|datagrams| {
            let mut runs: Vec<_> =
                (0..RUNS).map(|_| burst_ns(datagrams)).collect::<anyhow::Result<_>>()?;
            runs.sort_by(|a, b| f64::total_cmp(&(a.0 + a.1), &(b.0 + b.1)));
            anyhow::Ok(runs[RUNS / 2])
        })
        .map(|result| result.unwrap_or((f64::NAN, f64::NAN)));
    ensure!(
        send_one.is_finite() && send_full.is_finite(),
        "cannot measure UDP over io_uring on loopback: `synchrotron doctor` says what is missing"
    );
    let more = (DATAGRAMS - 1) as f64;
    let mut costs = Costs {
        burst_send_ns: send_one,
        burst_receive_ns: receive_one,
        datagram_send_ns: ((send_full - send_one) / more).max(0.0),
        datagram_receive_ns: ((receive_full - receive_one) / more).max(0.0),
        frame_send_ns: 0.0,
        frame_receive_ns: 0.0,
        message_submit_ns: median(message_ns)?,
        message_read_ns: 0.0,
        wake_ns: median(wake_ns)?,
    };
    // The ring's cost is that of both sides.
    costs.message_submit_ns /= 2.0;
    costs.message_read_ns = costs.message_submit_ns;
    (costs.frame_send_ns, costs.frame_receive_ns) = engine_ns(encrypted, costs)?;
    Ok(costs)
}

fn median(measure: impl Fn() -> anyhow::Result<f64>) -> anyhow::Result<f64> {
    let mut runs: Vec<f64> = (0..RUNS).map(|_| measure()).collect::<anyhow::Result<_>>()?;
    runs.sort_by(f64::total_cmp);
    Ok(runs[RUNS / 2])
}

/// Processor time of this thread, nanoseconds.
fn cpu_ns() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Two nodes that flood each other's program, in virtual time: real time per frame sent and received.
fn engine_ns(encrypted: bool, costs: Costs) -> anyhow::Result<(f64, f64)> {
    let plan = Plan {
        nodes: 2,
        senders: 1,
        message_bytes: 64,
        load: Load::Flood,
        mtu_bytes: 1500,
        encrypted,
        cores: Cores::Own,
        network: Network::HERE,
        costs: Costs { frame_send_ns: 200.0, frame_receive_ns: 200.0, ..costs },
        measure_ns: ENGINE_NS,
    };
    let mut world = World::new(&plan)?;
    world.form()?;
    world.run_for(ENGINE_NS);
    let before = world.datagrams();
    world.real = Some(vec![Duration::ZERO; 2]);
    world.run_for(ENGINE_NS);
    let frames = (world.datagrams() - before).max(1) as f64;
    let real = world.real.take().unwrap_or_default();
    let per_frame = |index: usize| real[index].as_nanos() as f64 / frames;
    Ok((per_frame(0), per_frame(1)))
}

/// Two transports on loopback in this thread: processor time to send and to receive a burst.
fn burst_ns(datagrams: usize) -> anyhow::Result<(f64, f64)> {
    let ports = free_ports().context("loopback")?;
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let peers = vec![
        Peer { data: at(ports[0]), token: at(ports[1]) },
        Peer { data: at(ports[2]), token: at(ports[3]) },
    ];
    let open = |me| {
        let pool = Pool::heap(PoolConfig::default());
        let config = Config {
            tethers: false,
            datagram_bytes_max: DATAGRAM_BYTES,
            ..Config::new(me, peers.clone())
        };
        UdpTransport::new(config, pool.clone()).map(|transport| (transport, pool))
    };
    let ((mut sender, pool), (mut receiver, _)) = (open(0)?, open(1)?);
    let (mut sending_ns, mut receiving_ns) = (0.0, 0.0);
    for round in 0..=BURSTS {
        let mut slot = pool.alloc(Class::Large).context("a slot")?;
        slot.truncate(datagrams * DATAGRAM_BYTES);
        let start_ns = cpu_ns();
        sender.send(
            Dest::Peer(1),
            Queue::Data,
            Burst { bytes: slot, segment_bytes: DATAGRAM_BYTES },
        )?;
        sender.flush();
        sender.poll(8, Queue::Data, &mut |_| {});
        let sent_ns = cpu_ns();
        let (mut got, deadline) = (0, Instant::now() + PATIENCE);
        while got < datagrams {
            ensure!(Instant::now() < deadline, "datagrams do not arrive on loopback");
            receiver.poll(8, Queue::Data, &mut |event| {
                if let Event::Received { burst, .. } = event {
                    got += burst.bytes.len().div_ceil(burst.segment_bytes.max(1));
                }
            });
        }
        receiver.flush();
        // The first one warms caches.
        if round > 0 {
            sending_ns += sent_ns - start_ns;
            receiving_ns += cpu_ns() - sent_ns;
        }
    }
    Ok((sending_ns / BURSTS as f64, receiving_ns / BURSTS as f64))
}

/// Four UDP ports of loopback that are free now.
fn free_ports() -> std::io::Result<[u16; 4]> {
    let mut ports = [0; 4];
    let mut held = Vec::new();
    for port in &mut ports {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        *port = socket.local_addr()?.port();
        held.push(socket);
    }
    Ok(ports)
}

/// A 64-byte message through a ring in one thread: both sides' processor time.
fn message_ns() -> anyhow::Result<f64> {
    let (mut producer, mut consumer) = spsc::pair(64 << 10)?;
    let (payload, mut copy) = ([7; 64], [0; 64]);
    let start_ns = cpu_ns();
    for _ in 0..MESSAGES / BATCH {
        for _ in 0..BATCH {
            producer.push(0, &payload)?;
        }
        producer.publish();
        for _ in 0..BATCH {
            let record = consumer.peek()?.context("a published record")?;
            consumer.copy_payload(&record, 0, &mut copy);
            consumer.consume(&record);
        }
        consumer.release();
    }
    ensure!(copy == payload, "the ring lost bytes");
    Ok((cpu_ns() - start_ns) / MESSAGES as f64)
}

/// Two threads on one core that wake each other: what a change from one to the other takes.
fn wake_ns() -> anyhow::Result<f64> {
    let bell = || eventfd(0, EventfdFlags::empty());
    let (ping, pong) = (bell()?, bell()?);
    let mut one = CpuSet::new();
    let allowed = sched_getaffinity(None)?;
    let core = (0..CpuSet::MAX_CPU).find(|core| allowed.is_set(*core)).unwrap_or(0);
    one.set(core);
    let took = std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let _ = sched_setaffinity(None, &one);
            let mut count = [0; 8];
            (0..HOPS).try_for_each(|_| {
                rustix::io::read(&ping, &mut count)?;
                rustix::io::write(&pong, &1_u64.to_ne_bytes()).map(|_| ())
            })
        });
        let this = scope.spawn(|| {
            let _ = sched_setaffinity(None, &one);
            let (mut count, start) = ([0; 8], Instant::now());
            for _ in 0..HOPS {
                rustix::io::write(&ping, &1_u64.to_ne_bytes())?;
                rustix::io::read(&pong, &mut count)?;
            }
            rustix::io::Result::Ok(start.elapsed())
        });
        let took = this.join();
        other.join().map_err(|_| anyhow::anyhow!("a thread failed"))??;
        anyhow::Ok(took.map_err(|_| anyhow::anyhow!("a thread failed"))??)
    })?;
    Ok(took.as_nanos() as f64 / (2 * HOPS) as f64)
}
