//! One load-making member of a group: a thread with a client that publishes as told, reads everything, and
//! keeps account of it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use hdrhistogram::Histogram;

use crate::clock::now_ns;
use crate::worker::Worker;
use crate::{Observer, ViewId};

/// How fast to publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// Nothing.
    Silent,
    /// As fast as the engine takes messages.
    Flood,
    /// Evenly, this many a second; lateness counts as latency (open loop).
    PerSecond(u64),
}

/// A view as it reached this program.
#[derive(Clone, Debug)]
pub struct SeenView {
    /// When, by [`crate::now_ns`].
    pub at_ns: u64,
    /// Which.
    pub id: ViewId,
    /// Nodes with at least one member.
    pub nodes: Vec<u32>,
}

/// What a participant shares with whoever started it.
pub(crate) struct Shared {
    pub(crate) stop: AtomicBool,
    /// Nothing is on the way any more: the present view can be compared.
    pub(crate) settled: AtomicBool,
    /// See [`Rate`]: 0 is silent, `u64::MAX` flood, else messages a second.
    pub(crate) rate: AtomicU64,
    /// Published in this connection.
    pub(crate) sent: AtomicU64,
    /// Published in earlier connections.
    pub(crate) sent_before: AtomicU64,
    pub(crate) delivered: AtomicU64,
    /// Own messages that came back in this connection.
    pub(crate) own_delivered: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) is_connected: AtomicBool,
    pub(crate) views: Mutex<Vec<SeenView>>,
    pub(crate) latency: Mutex<Histogram<u64>>,
    /// Latency and silence are recorded only while this is set.
    pub(crate) measure: AtomicBool,
    /// When the last message was delivered, and the longest time without one so far.
    pub(crate) heard_ns: AtomicU64,
    pub(crate) silence_ns: AtomicU64,
}

impl Shared {
    fn new() -> Self {
        let histogram = Histogram::new_with_bounds(100, LATENCY_NS_MAX, 3)
            .expect("bounds and precision are constants that fit");
        Self {
            stop: AtomicBool::new(false),
            settled: AtomicBool::new(false),
            rate: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            sent_before: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            own_delivered: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            is_connected: AtomicBool::new(false),
            views: Mutex::new(Vec::new()),
            latency: Mutex::new(histogram),
            measure: AtomicBool::new(false),
            heard_ns: AtomicU64::new(0),
            silence_ns: AtomicU64::new(0),
        }
    }

    /// Notes how long it was silent until now.
    pub(crate) fn note_silence(&self) {
        let now_ns = now_ns();
        let heard_ns = self.heard_ns.swap(now_ns, Ordering::Relaxed);
        self.silence_ns.fetch_max(now_ns.saturating_sub(heard_ns), Ordering::Relaxed);
    }
}

/// A running participant.
pub struct Participant {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Observer>>,
}

/// Where and what a participant sends.
#[derive(Clone, Debug)]
pub struct Role {
    /// Name in reports.
    pub name: String,
    /// The engine's socket.
    pub socket: PathBuf,
    /// The group.
    pub group: Vec<u8>,
    /// Bytes of each message, at least 16.
    pub message_bytes: usize,
}

/// Longest latency kept, in nanoseconds: one minute.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

impl Participant {
    /// Starts the thread. It connects (and later reconnects) by itself and keeps trying.
    pub fn start(role: Role) -> Self {
        let shared = Arc::new(Shared::new());
        let theirs = shared.clone();
        let thread = std::thread::Builder::new()
            .name(role.name.clone())
            .spawn(move || Worker::new(role, theirs).run())
            .expect("the machine has room for one more thread");
        Self { shared, thread: Some(thread) }
    }

    /// Sets how fast it publishes.
    pub fn set_rate(&self, rate: Rate) {
        let value = match rate {
            Rate::Silent => 0,
            Rate::Flood => u64::MAX,
            Rate::PerSecond(rate) => rate,
        };
        self.shared.rate.store(value, Ordering::Relaxed);
    }

    /// Messages published in this connection.
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// Messages published in all connections.
    pub fn sent_in_all(&self) -> u64 {
        self.shared.sent_before.load(Ordering::Relaxed) + self.sent()
    }

    /// Whether everything published in this connection has come back.
    pub fn is_settled(&self) -> bool {
        self.own_delivered() == self.sent()
    }

    /// Messages delivered, its own included.
    pub fn delivered(&self) -> u64 {
        self.shared.delivered.load(Ordering::Relaxed)
    }

    /// Its own messages that came back in this connection.
    pub fn own_delivered(&self) -> u64 {
        self.shared.own_delivered.load(Ordering::Relaxed)
    }

    /// How many times it was connected.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Whether it is connected and has joined.
    pub fn is_connected(&self) -> bool {
        self.shared.is_connected.load(Ordering::Relaxed)
    }

    /// The views it saw.
    pub fn views(&self) -> Vec<SeenView> {
        lock(&self.shared.views).clone()
    }

    /// The view it saw last.
    pub fn last_view(&self) -> Option<SeenView> {
        lock(&self.shared.views).last().cloned()
    }

    /// Starts or stops recording latency (publish to own agreed delivery) and silence; starting empties the
    /// record.
    pub fn measure(&self, on: bool) {
        let shared = &self.shared;
        if on {
            lock(&shared.latency).reset();
            shared.heard_ns.store(now_ns(), Ordering::Relaxed);
            shared.silence_ns.store(0, Ordering::Relaxed);
        } else {
            shared.note_silence();
        }
        shared.measure.store(on, Ordering::Relaxed);
    }

    /// The longest time without a delivery, whoever sent it, while it was measured, in nanoseconds.
    pub fn silence_ns(&self) -> u64 {
        self.shared.silence_ns.load(Ordering::Relaxed)
    }

    /// The latencies recorded, in nanoseconds.
    pub fn latency(&self) -> Histogram<u64> {
        lock(&self.shared.latency).clone()
    }

    /// Says that everything published anywhere has been delivered here.
    pub fn declare_settled(&self) {
        self.shared.settled.store(true, Ordering::Release);
    }

    /// Ends the thread and gives its account.
    ///
    /// # Panics
    /// If the thread panicked: the panic goes on here.
    pub fn finish(mut self) -> Observer {
        self.shared.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("finish consumes the participant");
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Participant {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there was seen by `finish`, or the test is failing already.
            let _ = thread.join();
        }
    }
}

/// The data behind a poisoned lock is a plain record: still good to read.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
