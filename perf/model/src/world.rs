//! Virtual time: nodes, processors and links.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use anyhow::ensure;
use groups::Event;
use hdrhistogram::Histogram;
use node::{Dest, Input, Output};
use wire::run::{Fragment, RunKind, fragments};

use crate::machine::{Machine, Packet};
use crate::network::Port;
use crate::{Cores, LatencyUs, Load, Plan, Prediction, Receive};

/// A ring of 128 takes a fraction of a second.
const FORMATION_NS_MAX: u64 = 30_000_000_000;

/// Before anything is counted: windows and timeouts find their size.
const WARM_UP_NS: u64 = 100_000_000;

/// A second in nanoseconds.
const SECOND_NS: u64 = 1_000_000_000;

enum What {
    /// The first bit of a packet reaches a node's port.
    Port(usize, Packet),
    /// All of it is there.
    There(usize, Packet),
    /// A node may have something to do.
    Look(usize),
}

/// One thing that happens; equal times in the order in which they were put in.
struct Happening {
    at_ns: u64,
    number: u64,
    what: What,
}

impl PartialEq for Happening {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Happening {}
impl PartialOrd for Happening {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Happening {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_ns, self.number).cmp(&(other.at_ns, other.number))
    }
}

/// A cluster in virtual time.
pub(crate) struct World<'p> {
    plan: &'p Plan,
    machines: Vec<Machine>,
    ports: Vec<Port>,
    /// When each processor is free, and how long it was busy.
    cores: Vec<(u64, u64)>,
    happenings: BinaryHeap<Reverse<Happening>>,
    number: u64,
    now_ns: u64,
    latency: Option<Histogram<u64>>,
    /// Real time the nodes took, when somebody wants to know.
    pub(crate) real: Option<Vec<Duration>>,
}

impl<'p> World<'p> {
    pub(crate) fn new(plan: &'p Plan) -> anyhow::Result<Self> {
        let count = usize::from(plan.nodes);
        let machines =
            (1..=count as u32).map(|me| Machine::new(plan, me)).collect::<anyhow::Result<_>>()?;
        let cores = match plan.cores {
            Cores::Own => count,
            Cores::Shared(cores) => usize::from(cores.max(1)),
        };
        let mut world = Self {
            plan,
            machines,
            ports: vec![Port::default(); count],
            cores: vec![(0, 0); cores],
            happenings: BinaryHeap::new(),
            number: 0,
            now_ns: 0,
            latency: None,
            real: None,
        };
        for index in 0..count {
            world.drain(index, 0, 0.0);
            world.look(index, 0);
        }
        Ok(world)
    }

    pub(crate) fn run(mut self) -> anyhow::Result<Prediction> {
        let formation_ns = self.form()?;
        self.run_for(WARM_UP_NS);
        self.latency = Some(Histogram::new(3)?);
        let before = self.marks();
        self.run_for(self.plan.measure_ns);
        let after = self.marks();
        let latency = self.latency.take().expect("set above");
        let seconds = self.plan.measure_ns as f64 / SECOND_NS as f64;
        let messages = (after.received - before.received) as f64;
        ensure!(
            messages > 0.0,
            "nothing was delivered in {seconds} s: the model does not fit this plan"
        );
        let share = |ns: u64| ns as f64 / self.plan.measure_ns as f64;
        let busiest = |after: &[u64], before: &[u64]| {
            after.iter().zip(before).map(|(after, before)| after - before).max().unwrap_or_default()
        };
        let bursts = (after.bursts - before.bursts).max(1);
        Ok(Prediction {
            formation_ms: formation_ns as f64 / 1e6,
            messages_per_second: messages / seconds,
            megabytes_per_second: messages * self.plan.message_bytes as f64 / seconds / 1e6,
            latency_us: (self.plan.load != Load::Flood).then(|| LatencyUs::of(&latency)),
            rotation_us: self.machines[0].node.status().totem.rotation_p50_us as f64,
            processor_busy: share(busiest(&after.cores, &before.cores)),
            link_busy: share(busiest(&after.links, &before.links)),
            cpu_us_per_message: (after.cores.iter().sum::<u64>() - before.cores.iter().sum::<u64>())
                as f64
                / messages
                / 1e3,
            datagrams_per_burst: (after.datagrams - before.datagrams) as f64 / bursts as f64,
        })
    }

    /// Until every program sees every other; then they start to send.
    pub(crate) fn form(&mut self) -> anyhow::Result<u64> {
        let count = self.machines.len();
        while self.machines.iter().any(|machine| machine.members < count) {
            ensure!(
                self.now_ns < FORMATION_NS_MAX,
                "{count} nodes form no ring within {} s of virtual time",
                FORMATION_NS_MAX / SECOND_NS
            );
            self.step();
        }
        for index in 0..count {
            self.machines[index].program.start(self.now_ns);
            self.look(index, self.now_ns);
        }
        Ok(self.now_ns)
    }

    pub(crate) fn run_for(&mut self, ns: u64) {
        let end_ns = self.now_ns + ns;
        while self.happenings.peek().is_some_and(|Reverse(next)| next.at_ns <= end_ns) {
            self.step();
        }
        self.now_ns = end_ns;
    }

    /// Datagrams the last node received so far.
    pub(crate) fn datagrams(&self) -> u64 {
        self.machines.last().map_or(0, |machine| machine.node.counters().node.datagrams_received)
    }

    fn marks(&self) -> Marks {
        let counters = |index: usize| self.machines[index].node.counters().node;
        let ports = self.ports.iter().flat_map(|port| [port.into.busy_ns, port.out.busy_ns]);
        Marks {
            received: self
                .machines
                .iter()
                .map(|machine| machine.received)
                .min()
                .unwrap_or_default(),
            cores: self.cores.iter().map(|(_, busy_ns)| *busy_ns).collect(),
            links: ports.collect(),
            bursts: counters(self.machines.len() - 1).data_bursts_received,
            datagrams: self.datagrams(),
        }
    }

    fn put(&mut self, at_ns: u64, what: What) {
        self.number += 1;
        self.happenings.push(Reverse(Happening { at_ns, number: self.number, what }));
    }

    /// Has a node looked at, at this time or before.
    fn look(&mut self, index: usize, at_ns: u64) {
        let machine = &mut self.machines[index];
        if machine.look_at_ns.is_none_or(|planned| at_ns < planned) {
            machine.look_at_ns = Some(at_ns);
            self.put(at_ns, What::Look(index));
        }
    }

    fn step(&mut self) {
        let Some(Reverse(Happening { at_ns, what, .. })) = self.happenings.pop() else {
            self.now_ns = u64::MAX;
            return;
        };
        self.now_ns = self.now_ns.max(at_ns);
        match what {
            What::Port(index, packet) => {
                let (bytes, count) = (packet.bytes.len(), packet.datagrams());
                let there_ns =
                    self.plan.network.arrive(&mut self.ports[index], at_ns, bytes, count);
                self.put(there_ns, What::There(index, packet));
            }
            What::There(index, packet) => {
                self.machines[index].receive(packet);
                self.look(index, at_ns);
            }
            What::Look(index) if self.machines[index].look_at_ns == Some(at_ns) => {
                self.machines[index].look_at_ns = None;
                self.work(index, at_ns);
            }
            What::Look(_) => {}
        }
    }

    /// The processor that takes a node's next work.
    fn core(&self, index: usize) -> usize {
        match self.plan.cores {
            Cores::Own => index,
            Cores::Shared(_) => {
                let free = self.cores.iter().enumerate().min_by_key(|(_, (free_ns, _))| *free_ns);
                free.map_or(0, |(core, _)| core)
            }
        }
    }

    /// Lets a node do one thing, if a processor is free.
    fn work(&mut self, index: usize, now_ns: u64) {
        let core = self.core(index);
        if self.cores[core].0 > now_ns {
            self.look(index, self.cores[core].0);
            return;
        }
        let costs = self.plan.costs;
        let shared = self.plan.cores != Cores::Own;
        let machine = &mut self.machines[index];
        let Some((input, datagrams)) = machine.next(now_ns) else {
            machine.idle = true;
            if let Some(at_ns) = machine.wake_ns() {
                self.look(index, at_ns.max(now_ns + 1));
            }
            return;
        };
        let mut cost_ns = if machine.idle && shared { costs.wake_ns } else { 0.0 };
        machine.idle = false;
        if datagrams > 0 {
            cost_ns += costs.frame_receive_ns * datagrams as f64;
            cost_ns += match self.plan.network.receive {
                Receive::Merged => costs.receive_ns(datagrams),
                Receive::Single => costs.burst_receive_ns * datagrams as f64,
            };
        }
        self.handle(index, now_ns, input);
        let mut cost_ns = self.drain(index, now_ns, cost_ns);
        if shared {
            let program = &mut self.machines[index].program;
            cost_ns += std::mem::take(&mut program.pulled) as f64 * costs.message_submit_ns;
        }
        let cost_ns = cost_ns.ceil() as u64;
        self.cores[core] = (now_ns + cost_ns, self.cores[core].1 + cost_ns);
        self.look(index, now_ns + cost_ns);
    }

    fn handle(&mut self, index: usize, now_ns: u64, input: Input) {
        let machine = &mut self.machines[index];
        let start = self.real.is_some().then(Instant::now);
        machine.node.handle(now_ns, input, &mut machine.program);
        if let (Some(real), Some(start)) = (&mut self.real, start) {
            real[index] += start.elapsed();
        }
    }

    /// Does what a node says, from `spent_ns` into its work on; returns how long the work took in all.
    fn drain(&mut self, index: usize, now_ns: u64, mut spent_ns: f64) -> f64 {
        loop {
            let start = self.real.is_some().then(Instant::now);
            let output = self.machines[index].node.poll_output();
            if let (Some(real), Some(start)) = (&mut self.real, start) {
                real[index] += start.elapsed();
            }
            match output {
                None => return spent_ns,
                Some(Output::Send { to, lane, bytes, segment_bytes, .. }) => {
                    let packet = Packet { lane, bytes: (&bytes[..]).into(), segment_bytes };
                    spent_ns = self.send(index, now_ns, spent_ns, to, &packet);
                }
                Some(Output::Persist(stored)) => {
                    self.machines[index].other.push_back(Input::Persisted(stored));
                }
                Some(Output::Event(event)) => {
                    spent_ns = self.event(index, now_ns, spent_ns, &event)
                }
                Some(Output::Change(_) | Output::Trace(_) | Output::Left) => {}
            }
        }
    }

    fn send(&mut self, index: usize, now_ns: u64, spent_ns: f64, to: Dest, packet: &Packet) -> f64 {
        let costs = self.plan.costs;
        let receivers: Vec<usize> = match to {
            Dest::All => (0..self.machines.len()).filter(|other| *other != index).collect(),
            Dest::Node(id) => vec![id.0 as usize - 1],
        };
        // On one machine the sender's kernel walks to every receiver; elsewhere the switch does.
        let copies = if self.plan.network.bits_per_second.is_none() { receivers.len() } else { 1 };
        let datagrams = packet.datagrams();
        let spent_ns =
            spent_ns + costs.send_ns(datagrams, copies) + costs.frame_send_ns * datagrams as f64;
        let at_ns = now_ns + spent_ns.ceil() as u64;
        let (port, bytes) = (&mut self.ports[index], packet.bytes.len());
        let leaves_ns = self.plan.network.depart(port, at_ns, bytes, datagrams);
        for receiver in receivers {
            self.put(leaves_ns, What::Port(receiver, packet.clone()));
        }
        spent_ns
    }

    fn event(&mut self, index: usize, now_ns: u64, spent_ns: f64, event: &Event) -> f64 {
        let machine = &mut self.machines[index];
        match event {
            Event::Joined { group, .. } => machine.program.group = Some(*group),
            Event::View(view) => machine.members = view.members.len(),
            Event::Messages(run) => {
                let count = match run.kind {
                    RunKind::Fragment => fragments(&run.body).filter(is_last).count() as u64,
                    _ => u64::from(run.count),
                };
                return self.delivered(
                    index,
                    now_ns,
                    spent_ns,
                    count,
                    run.sender.node.0 as usize == index + 1,
                );
            }
            _ => {}
        }
        spent_ns
    }

    /// A program got messages.
    fn delivered(
        &mut self,
        index: usize,
        now_ns: u64,
        spent_ns: f64,
        count: u64,
        own: bool,
    ) -> f64 {
        let machine = &mut self.machines[index];
        let reading_ns = count as f64 * self.plan.costs.message_read_ns;
        let (spent_ns, done_ns) = if self.plan.cores == Cores::Own {
            let start_ns = machine.reader_free_ns.max(now_ns + spent_ns as u64);
            machine.reader_free_ns = start_ns + reading_ns as u64;
            (spent_ns, machine.reader_free_ns)
        } else {
            (spent_ns + reading_ns, now_ns + (spent_ns + reading_ns) as u64)
        };
        machine.received += count;
        if own {
            for _ in 0..count {
                let Some(meant_ns) = machine.program.underway.pop_front() else { break };
                if let Some(latency) = &mut self.latency {
                    latency.saturating_record(done_ns.saturating_sub(meant_ns));
                }
            }
        }
        spent_ns
    }
}

/// What is counted at a moment.
struct Marks {
    received: u64,
    cores: Vec<u64>,
    links: Vec<u64>,
    bursts: u64,
    datagrams: u64,
}

/// Whether a fragment ends its message.
fn is_last(fragment: &Fragment<'_>) -> bool {
    fragment.offset + fragment.bytes.len() as u64 == fragment.total
}
