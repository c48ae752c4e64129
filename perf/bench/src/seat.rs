//! One member of the group: a thread that publishes as ordered, receives everything and keeps account.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use cluster::now_ns;
use serde::{Deserialize, Serialize};

use crate::cpg::Cpg;
use crate::desk::Desk;
use crate::load::{Due, Load, Pace, Sizes};
use crate::native::Native;

/// Where a seat sits.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Place {
    /// At an engine of ours that listens on this socket.
    Synchrotron(PathBuf),
    /// At Corosync, through the system's `libcpg` or the one at this path.
    Cpg(Option<PathBuf>),
}

/// How a seat waits for what is to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Waiting {
    /// Asleep, until something arrives or is due.
    #[default]
    Block,
    /// Looking again and again, letting others have the core in between.
    Yield,
    /// Looking again and again.
    Spin,
}

/// What a seat shall do from now on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// What to publish.
    pub(crate) load: Load,
    /// Messages of which sizes.
    pub(crate) sizes: Sizes,
    /// How to wait.
    pub(crate) waiting: Waiting,
    /// An open loop starts this much later: all senders at once would be a burst.
    pub(crate) delay_ns: u64,
}

/// The group everybody joins.
const GROUP: &str = "bench";

/// Messages published between two looks at what arrived.
const BURST: u32 = 64;

/// Events taken between two bursts.
const INTAKE: usize = 2048;

/// Longest wait: orders are looked at this often.
const WAIT_MAX: Duration = Duration::from_millis(20);

/// Wait after a message was refused for want of room: not every engine says when there is some.
const ROOM_WAIT: Duration = Duration::from_micros(500);

/// Pause before trying again to reach an engine that is not there.
const CONNECT_PAUSE: Duration = Duration::from_millis(5);

/// Stack of a seat: `cpg_dispatch` has a buffer of more than 1 MiB there.
const STACK_BYTES: usize = 8 << 20;

struct Shared {
    stop: AtomicBool,
    order: Mutex<Option<Order>>,
    /// Set while there is an order not taken yet.
    has_order: AtomicBool,
    sent: AtomicU64,
    desk: Mutex<Desk>,
    failure: Mutex<Option<String>>,
}

/// A running seat.
pub(crate) struct Seat {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Seat {
    /// Starts the thread; it tries to connect until it succeeds.
    pub(crate) fn open(place: Place, nodes: usize, message_bytes_max: usize) -> Self {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            order: Mutex::new(None),
            has_order: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            desk: Mutex::new(Desk::new(nodes)),
            failure: Mutex::new(None),
        });
        let theirs = shared.clone();
        let run = move || {
            if let Err(error) = work(&theirs, &place, message_bytes_max) {
                *lock(&theirs.failure) = Some(format!("{error:#}"));
            }
        };
        let thread = std::thread::Builder::new().name("seat".into());
        let thread = thread.stack_size(STACK_BYTES).spawn(run);
        let thread = thread.expect("the machine has room for one more thread");
        Self { shared, thread: Some(thread) }
    }

    /// Gives the thread another order.
    pub(crate) fn order(&self, order: Order) {
        *lock(&self.shared.order) = Some(order);
        self.shared.has_order.store(true, Ordering::Release);
    }

    /// Messages published.
    pub(crate) fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// The account.
    pub(crate) fn desk(&self) -> MutexGuard<'_, Desk> {
        lock(&self.shared.desk)
    }

    /// Why the thread ended, if it did.
    pub(crate) fn failure(&self) -> Option<String> {
        lock(&self.shared.failure).clone()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic was printed, and whoever asks the seat for its account finds it incomplete.
            let _ = thread.join();
        }
    }
}

/// The connection of a seat, whatever it is to.
enum Member {
    Native(Box<Native>),
    Cpg(Cpg),
}

impl Member {
    fn connect(
        place: &Place,
        message_bytes_max: usize,
        desk: &Mutex<Desk>,
    ) -> anyhow::Result<Option<Self>> {
        match place {
            Place::Synchrotron(socket) => {
                let native = Native::connect(socket, GROUP, message_bytes_max, desk)?;
                Ok(native.map(|native| Self::Native(Box::new(native))))
            }
            Place::Cpg(library) => {
                let cpg = Cpg::connect(library.as_deref(), GROUP, message_bytes_max)?;
                Ok(cpg.map(Self::Cpg))
            }
        }
    }

    #[inline]
    fn send(&mut self, bytes: usize, number: u64, due_ns: u64) -> anyhow::Result<bool> {
        match self {
            Self::Native(member) => member.send(bytes, number, due_ns),
            Self::Cpg(member) => member.send(bytes, number, due_ns),
        }
    }

    /// To be called after the last of some messages.
    fn show(&mut self) {
        if let Self::Native(member) = self {
            member.show();
        }
    }

    fn take(&mut self, most: usize, desk: &Mutex<Desk>) -> anyhow::Result<usize> {
        match self {
            Self::Native(member) => member.take(most, desk),
            Self::Cpg(member) => member.take(most, desk),
        }
    }

    fn wait(&mut self, timeout: Duration, desk: &Mutex<Desk>) -> anyhow::Result<()> {
        match self {
            Self::Native(member) => member.wait(timeout, desk),
            Self::Cpg(member) => member.wait(timeout),
        }
    }
}

fn work(shared: &Shared, place: &Place, message_bytes_max: usize) -> anyhow::Result<()> {
    // Timers to the nanosecond: the default of 50 us would be in every latency of an open loop.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
    let mut member = loop {
        if shared.stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        match Member::connect(place, message_bytes_max, &shared.desk)? {
            Some(member) => break member,
            None => std::thread::sleep(CONNECT_PAUSE),
        }
    };
    let mut order = Order {
        load: Load::Silent,
        sizes: Sizes { bytes: vec![64], seed: 0 },
        waiting: Waiting::Block,
        delay_ns: 0,
    };
    let mut pace = Pace::new(order.load, order.sizes.mean(), 0);
    let (mut number, mut back) = (0, 0);
    while !shared.stop.load(Ordering::Relaxed) {
        if shared.has_order.swap(false, Ordering::Acquire)
            && let Some(new) = lock(&shared.order).take()
        {
            pace = Pace::new(new.load, new.sizes.mean(), now_ns() + new.delay_ns);
            lock(&shared.desk).sample_every = pace.sample_every();
            order = new;
        }
        let taken = member.take(INTAKE, &shared.desk)?;
        let own = lock(&shared.desk).own;
        if own > back {
            back = own;
            pace.back(now_ns());
        }
        let (sent, wait) = publish(&mut member, &mut pace, &order.sizes, &mut number, back)?;
        if sent > 0 {
            member.show();
            shared.sent.store(number, Ordering::Relaxed);
        }
        if taken + sent == 0 {
            match order.waiting {
                Waiting::Block => member.wait(wait, &shared.desk)?,
                Waiting::Yield => std::thread::yield_now(),
                Waiting::Spin => std::hint::spin_loop(),
            }
        }
    }
    Ok(())
}

/// Publishes what is due; how many, and how long to wait if nothing arrives.
fn publish(
    member: &mut Member,
    pace: &mut Pace,
    sizes: &Sizes,
    number: &mut u64,
    back: u64,
) -> anyhow::Result<(usize, Duration)> {
    let now = now_ns();
    for sent in 0..BURST {
        match pace.due(now, *number - back) {
            Due::Now(due_ns) => {
                if !member.send(sizes.of(*number), *number, due_ns)? {
                    return Ok((sent as usize, ROOM_WAIT));
                }
                *number += 1;
                pace.sent(now);
            }
            Due::At(at_ns) => {
                let wait = Duration::from_nanos(at_ns.saturating_sub(now));
                return Ok((sent as usize, wait.min(WAIT_MAX)));
            }
            Due::Later => return Ok((sent as usize, WAIT_MAX)),
        }
    }
    Ok((BURST as usize, WAIT_MAX))
}

/// The data behind a poisoned lock is a plain record: still good to read.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
