//! libsam: a process watches another one of itself and starts it again.
//!
//! `sam_register` forks. The child goes on with the program; the parent stays inside as its `watcher`, keeps its
//! data, warns it and kills it when it is silent for too long or the quorum is lost, and by the policy starts it again
//! where it came out of `sam_register`, or ends with it. They talk over a socket (`channel`).

mod channel;
mod health;
mod keys;
mod watcher;

use std::ffi::{c_int, c_void};
use std::sync::Mutex;
use std::time::Duration;

use crate::edge::{guard, lock, put, slice_at};
use crate::error::{BAD_HANDLE, CsError, INVALID_PARAM, LIBRARY, NO_MEMORY, Outcome};
use channel::{Channel, Command};
use health::Health;
use keys::{Keys, State};
use watcher::{Child, End, Quorum, Watcher};

/// `SAM_RECOVERY_POLICY_QUIT` and `_RESTART`: what follows a failure.
const QUIT: i32 = 1;
const RESTART: i32 = 2;

/// `SAM_RECOVERY_POLICY_QUORUM`: no work without a quorum.
const WITH_QUORUM: i32 = 0x08;

/// `SAM_RECOVERY_POLICY_CMAP`: write down what happens.
const WITH_CMAP: i32 = 0x10;

/// `sam_hc_callback_t`.
pub type Callback = Option<unsafe extern "C" fn() -> c_int>;

/// What the program wants.
#[derive(Clone, Copy)]
struct Policy {
    interval_ms: i32,
    restart: bool,
    quorum: bool,
    cmap: bool,
    warn_signal: c_int,
}

impl Policy {
    fn from_c(interval_ms: c_int, policy: c_int) -> Outcome<Self> {
        let restart = match policy & !(WITH_QUORUM | WITH_CMAP) {
            QUIT => false,
            RESTART => true,
            _ => return Err(INVALID_PARAM),
        };
        let (quorum, cmap) = (policy & WITH_QUORUM != 0, policy & WITH_CMAP != 0);
        Ok(Self { interval_ms, restart, quorum, cmap, warn_signal: libc::SIGTERM })
    }

    /// After how much silence a process is ended; `None`: never.
    fn interval(&self) -> Option<Duration> {
        u64::try_from(self.interval_ms).ok().filter(|ms| *ms > 0).map(Duration::from_millis)
    }

    fn recovery(&self) -> &'static str {
        if self.restart { "restart" } else { "quit" }
    }
}

/// Data that outlives processes.
type Store = Vec<u8>;

/// Where this process is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    New,
    Initialized,
    Registered,
    Started,
    Finalized,
}

struct Sam {
    phase: Phase,
    policy: Policy,
    store: Store,
    /// How many processes there were.
    instance: u32,
    /// To the watcher; in the watched process only.
    channel: Option<Channel>,
    /// In the watcher only.
    quorum: Option<Quorum>,
}

static SAM: Mutex<Sam> = Mutex::new(Sam {
    phase: Phase::New,
    policy: Policy {
        interval_ms: 0,
        restart: false,
        quorum: false,
        cmap: false,
        warn_signal: libc::SIGTERM,
    },
    store: Vec::new(),
    instance: 0,
    channel: None,
    quorum: None,
});

static HEALTH: Health = Health::new();

impl Sam {
    /// Between `sam_initialize` and `sam_finalize`.
    fn in_use(&mut self) -> Outcome<&mut Self> {
        match self.phase {
            Phase::Initialized | Phase::Registered | Phase::Started => Ok(self),
            Phase::New | Phase::Finalized => Err(BAD_HANDLE),
        }
    }

    fn in_phase(&mut self, phase: Phase) -> Outcome<&mut Self> {
        if self.phase == phase { Ok(self) } else { Err(BAD_HANDLE) }
    }

    fn ask(&mut self, command: &Command) -> Outcome {
        self.channel.as_mut().ok_or(LIBRARY)?.ask(command)
    }

    fn stop(&mut self) -> Outcome {
        self.in_phase(Phase::Started)?.ask(&Command::Stop)?;
        HEALTH.switch(false);
        self.phase = Phase::Registered;
        Ok(())
    }
}

/// Says by which policy this process is to be watched. Once per process.
#[unsafe(no_mangle)]
pub extern "C" fn sam_initialize(interval_ms: c_int, recovery_policy: c_int) -> CsError {
    guard(|| {
        let policy = Policy::from_c(interval_ms, recovery_policy)?;
        let mut sam = lock(&SAM);
        sam.in_phase(Phase::New)?;
        sam.quorum = if policy.quorum { Some(Quorum::open()?) } else { None };
        sam.policy = policy;
        sam.phase = Phase::Initialized;
        Ok(())
    })
}

/// No more watching; a failure has no consequences any more.
#[unsafe(no_mangle)]
pub extern "C" fn sam_finalize() -> CsError {
    guard(|| {
        let mut sam = lock(&SAM);
        if sam.in_use()?.phase == Phase::Started {
            sam.stop()?;
        }
        sam.phase = Phase::Finalized;
        sam.store = Vec::new();
        Ok(())
    })
}

/// Watching begins. With a quorum in the policy it waits for one first.
#[unsafe(no_mangle)]
pub extern "C" fn sam_start() -> CsError {
    guard(|| {
        let mut sam = lock(&SAM);
        sam.in_phase(Phase::Registered)?.ask(&Command::Start)?;
        HEALTH.switch(true);
        sam.phase = Phase::Started;
        Ok(())
    })
}

/// Watching ends, until the next `sam_start`.
#[unsafe(no_mangle)]
pub extern "C" fn sam_stop() -> CsError {
    guard(|| lock(&SAM).stop())
}

/// This process is well.
#[unsafe(no_mangle)]
pub extern "C" fn sam_hc_send() -> CsError {
    guard(|| {
        let mut sam = lock(&SAM);
        sam.in_phase(Phase::Started)?.channel.as_mut().ok_or(LIBRARY)?.say(&Command::Alive)
    })
}

/// From now on the callback says whether this process is well: 0 if it is. Null: the process says so itself again.
#[unsafe(no_mangle)]
pub extern "C" fn sam_hc_callback_register(callback: Callback) -> CsError {
    guard(|| {
        let mut sam = lock(&SAM);
        let policy = sam.in_phase(Phase::Registered)?.policy;
        if policy.interval_ms == 0 {
            return Err(INVALID_PARAM);
        }
        if HEALTH.has_thread() {
            HEALTH.set_callback(callback);
            return Ok(());
        }
        if callback.is_none() {
            return Err(INVALID_PARAM);
        }
        let say = || sam_hc_send() == crate::error::OK;
        HEALTH.start_thread(callback, policy.interval(), say).map_err(|_| LIBRARY)
    })
}

/// The signal before SIGKILL.
#[unsafe(no_mangle)]
pub extern "C" fn sam_warn_signal_set(signal: c_int) -> CsError {
    guard(|| {
        let mut sam = lock(&SAM);
        if sam.in_use()?.channel.is_some() {
            sam.ask(&Command::WarnSignal(signal))?;
        }
        sam.policy.warn_signal = signal;
        Ok(())
    })
}

/// Bytes of data that processes before this one, or this one, left.
#[unsafe(no_mangle)]
pub extern "C" fn sam_data_getsize(size: *mut usize) -> CsError {
    guard(|| {
        if size.is_null() {
            return Err(INVALID_PARAM);
        }
        let bytes = lock(&SAM).in_use()?.store.len();
        put(size, bytes)
    })
}

/// Copies that data to memory with room for it.
#[unsafe(no_mangle)]
pub extern "C" fn sam_data_restore(data: *mut c_void, size: usize) -> CsError {
    guard(|| {
        if data.is_null() {
            return Err(INVALID_PARAM);
        }
        let mut sam = lock(&SAM);
        let store = &sam.in_use()?.store;
        if size < store.len() {
            return Err(INVALID_PARAM);
        }
        // SAFETY: not null, and by contract room for `size` bytes, of which the store has no more.
        unsafe { data.cast::<u8>().copy_from_nonoverlapping(store.as_ptr(), store.len()) };
        Ok(())
    })
}

/// Leaves data for processes after this one. Null: none.
#[unsafe(no_mangle)]
pub extern "C" fn sam_data_store(data: *const c_void, size: usize) -> CsError {
    guard(|| {
        if size >= isize::MAX as usize {
            return Err(NO_MEMORY);
        }
        let mut sam = lock(&SAM);
        sam.in_use()?;
        let bytes = slice_at(data.cast::<u8>(), if data.is_null() { 0 } else { size })?;
        let mut store = Vec::new();
        store.try_reserve_exact(bytes.len()).map_err(|_| NO_MEMORY)?;
        store.extend_from_slice(bytes);
        if sam.channel.is_some() {
            let command = Command::Data(store);
            sam.ask(&command)?;
            let Command::Data(kept) = command else { return Err(LIBRARY) };
            store = kept;
        }
        sam.store = store;
        Ok(())
    })
}

/// Ends this process at once, for good, and writes down that it failed. Needs the policy `CMAP`.
#[unsafe(no_mangle)]
pub extern "C" fn sam_mark_failed() -> CsError {
    guard(|| {
        let mut sam = lock(&SAM);
        if !matches!(sam.phase, Phase::Registered | Phase::Started) {
            return Err(BAD_HANDLE);
        }
        if !sam.policy.cmap {
            return Err(INVALID_PARAM);
        }
        sam.channel.as_mut().ok_or(LIBRARY)?.say(&Command::Failed)
    })
}

/// Makes this process a watcher, and another one of it go on behind this call. It is the `instance`th, counted from 1.
#[unsafe(no_mangle)]
pub extern "C" fn sam_register(instance: *mut u32) -> CsError {
    guard(|| {
        let mut sam = lock(&SAM);
        let policy = sam.in_phase(Phase::Initialized)?.policy;
        let keys = match policy.cmap {
            true => Some(Keys::open(policy.recovery(), policy.interval_ms)?),
            false => None,
        };
        loop {
            let (watched, watching) = Channel::pair().map_err(|_| LIBRARY)?;
            if let Some(keys) = &keys {
                keys.state(State::Stopped)?;
            }
            // The lock is held, so that no other thread has it in the child.
            // SAFETY: the child goes on with the program, as C programs expect of this function. The C library makes
            // its own locks usable there; ours is held by this thread, which is the one that goes on.
            let pid = unsafe { libc::fork() };
            if pid < 0 {
                return Err(BAD_HANDLE);
            }
            sam.instance = sam.instance.wrapping_add(1);
            if pid == 0 {
                drop(watching);
                sam.channel = Some(watched);
                sam.phase = Phase::Registered;
                // The watcher's sessions: not ours to close in order, and of no use here.
                std::mem::forget((sam.quorum.take(), keys));
                if !instance.is_null() {
                    put(instance, sam.instance)?;
                }
                return Ok(());
            }
            drop(watched);
            if let Some(code) = watch(&mut sam, keys.as_ref(), watching, pid)? {
                // What the program registered for its end may call us.
                drop(sam);
                std::process::exit(code);
            }
        }
    })
}

/// Watches a process until it has ended: with what to end, too, unless it is to be started again.
fn watch(
    sam: &mut Sam,
    keys: Option<&Keys>,
    channel: Channel,
    pid: libc::pid_t,
) -> Outcome<Option<i32>> {
    let child = Child::new(pid)?;
    let Sam { policy, store, quorum, .. } = sam;
    let mut watcher = Watcher::new(policy, store, quorum.as_mut(), keys, channel, child);
    let end = watcher.run().map_err(|_| LIBRARY)?;
    let code = watcher.child.wait();
    if end == End::Failed && sam.policy.restart {
        return Ok(None);
    }
    match (end, keys) {
        (End::Failed, Some(keys)) => _ = keys.state(State::Failed),
        (End::Quit, Some(keys)) => keys.delete(),
        (_, None) => {}
    }
    Ok(Some(code))
}
