//! A feed of prices to several processes.
//!
//! The parent makes the ring and starts three readers, each a process of its own: one blocks
//! (sync), one waits with `poll` on a descriptor beside other things (async), one is so slow that
//! the feed has to go on without it. Run it:
//!
//! ```text
//! cargo run --release -p synchrotron-ring --example ticker
//! ```

use std::error::Error;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use ring::bell::{PollFd, RingFd, Ringer, Sleeper, fds};
use ring::broadcast::{Cursor, Descriptor, Lease, Memory, Producer, Reader, ReaderId, State};
use ring::shm::{Access, Draft, PAGE_BYTES, PeerAccess, Segment};

const QUOTES: u64 = 1_000_000;
const BATCH: u64 = 32;
const CAPACITY: usize = 8192;
const LEASE_MAX: u32 = 256;
/// How long the feed puts up with a ring that is nearly full.
const PATIENCE: Duration = Duration::from_millis(500);
/// Who is then this many quotes behind is put out.
const LAG_MAX: u64 = 6000;
/// Why it was put out; the number is ours to choose.
const TOO_SLOW: u64 = 1;
const SYMBOLS: [&str; 4] = ["OATS", "RYE", "TEA", "TIN"];

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A quote, as it lies in a descriptor.
struct Quote {
    number: u64,
    symbol: usize,
    price_cents: u64,
}

impl Quote {
    fn new(number: u64) -> Self {
        let symbol = (number % SYMBOLS.len() as u64) as usize;
        let wave = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58;
        Self { number, symbol, price_cents: 1000 * (symbol as u64 + 1) + wave }
    }

    fn to_words(&self) -> Descriptor {
        [self.number, self.symbol as u64, self.price_cents, 0, 0, 0, 0]
    }

    fn from_words(words: Descriptor) -> Self {
        Self { number: words[0], symbol: words[1] as usize, price_cents: words[2] }
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        None => publish(),
        Some((style, descriptors)) => read(style, descriptors),
    }
}

/// The parent: makes everything, starts the readers, feeds them.
fn publish() -> Result<()> {
    let (memory, ring) = Memory::create("ticker", CAPACITY, LEASE_MAX)?;
    let mut producer = Producer::new(&memory)?;
    let mut readers = Vec::new();
    for style in ["sync", "async", "slow"] {
        readers.push(start_reader(style, &mut producer, &ring)?);
    }
    let start = Instant::now();
    let (mut wakes, mut full_since) = (0, None::<Instant>);
    while producer.next() < QUOTES {
        for _ in 0..BATCH {
            let quote = Quote::new(producer.next()).to_words();
            while producer.push(&quote).is_err() {
                // Somebody needs the oldest slot.
                if full_since.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                    put_out_the_slow(&mut producer);
                }
                std::thread::yield_now();
            }
        }
        if producer.room() > CAPACITY as u64 / 2 {
            full_since = None;
        }
        producer.publish();
        wakes += producer.wake_sleepers();
    }
    let took = start.elapsed();
    println!(
        "{QUOTES} quotes in {took:.1?} ({:.1} million/s), {wakes} wake-ups",
        QUOTES as f64 / took.as_secs_f64() / 1e6
    );
    for (id, mut child) in readers {
        let status = child.wait()?;
        producer.remove_reader(id);
        if !status.success() {
            return Err(format!("a reader ended with {status}").into());
        }
    }
    Ok(())
}

fn put_out_the_slow(producer: &mut Producer) {
    let mut slow = Vec::new();
    producer.scan(|id, state| match state {
        State::Reading { lag } if lag <= LAG_MAX => {}
        State::Evicted => {}
        State::Reading { .. } | State::Diverted | State::Corrupt(_) => slow.push(id),
    });
    for id in slow {
        // Quotes are whole in their descriptors, so nothing of what it holds has to be kept for it.
        let _ = producer.evict(id, TOO_SLOW);
    }
}

/// Starts a reader that inherits the ring (it can only read it), its cursor, and the end of a bell.
fn start_reader(style: &str, producer: &mut Producer, ring: &Segment) -> Result<(ReaderId, Child)> {
    let page = Draft::create("ticker-cursor", PAGE_BYTES)?.seal(PeerAccess::ReadWrite)?;
    let cursor = Cursor::new(&page.map_all()?, 0)?;
    let (ring_fd, poll_fd): (RingFd, PollFd) = fds()?;
    let ringer = Ringer::new(&cursor.bell(), Some(ring_fd))?;
    let (id, _first) = producer.add_reader(&cursor, Some(ringer));
    let inherited = [ring.fd(), page.fd(), poll_fd.as_fd()];
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(style);
    for fd in inherited {
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty())?;
        command.arg(fd.as_raw_fd().to_string());
    }
    let child = command.spawn()?;
    for fd in inherited {
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC)?;
    }
    Ok((id, child))
}

/// A child: maps what it inherited and reads to the end.
fn read(style: &str, descriptors: &[String]) -> Result<()> {
    let fds: Vec<OwnedFd> = descriptors.iter().map(|fd| inherited(fd)).collect::<Result<_>>()?;
    let [ring, page, poll_fd] = <[OwnedFd; 3]>::try_from(fds).map_err(|_| "three descriptors")?;
    let ring = Segment::receive(ring, PAGE_BYTES + CAPACITY * 64, Access::ReadOnly)?;
    let page = Segment::receive(page, PAGE_BYTES, Access::ReadWrite)?;
    let cursor = Cursor::new(&page.map_all()?, 0)?;
    let mut reader = Reader::new(&Memory::attach(&ring)?, &cursor);
    let mut sleeper = Sleeper::new(&cursor.bell(), Some(PollFd::from(poll_fd)))?;
    let mut board = Board::default();
    while board.seen < QUOTES {
        let lease = match style {
            "async" => wait_among_others(&mut reader, &mut sleeper)?,
            _ => sleeper.block_on(None, || some(reader.lease(64)))?.expect("no time limit"),
        };
        match lease {
            Lease::Range(range) => {
                for index in range.clone() {
                    let Some(words) = reader.read(index) else { break };
                    board.show(&Quote::from_words(words))?;
                }
                reader.release(range.end);
            }
            Lease::Evicted(reason) => {
                println!("{style}: put out after {} quotes, reason {reason}", board.seen);
                return Ok(());
            }
            Lease::Empty | Lease::Held | Lease::Moved { .. } => return Err("unexpected".into()),
        }
        if style == "slow" {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    println!("{style}: all {} quotes, {}", board.seen, board.line());
    Ok(())
}

fn some(lease: Lease) -> Option<Lease> {
    (lease != Lease::Empty).then_some(lease)
}

/// How a program with an event loop of its own waits: announce, look again, then poll the descriptor with
/// everything else it has.
fn wait_among_others(reader: &mut Reader, sleeper: &mut Sleeper) -> Result<Lease> {
    loop {
        sleeper.prepare();
        let lease = reader.lease(64);
        if lease == Lease::Empty {
            let fd = sleeper.fd().expect("made with a descriptor");
            let mut fds = [rustix::event::PollFd::new(fd, rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut fds, None)?;
        }
        sleeper.cancel();
        if lease != Lease::Empty {
            return Ok(lease);
        }
    }
}

fn inherited(number: &str) -> Result<OwnedFd> {
    let number = number.parse()?;
    // Says whether it is open before anything is done with it.
    // SAFETY: borrowed for one call only.
    rustix::io::fcntl_getfd(unsafe { BorrowedFd::borrow_raw(number) })?;
    // SAFETY: an open descriptor that our parent gave us and nobody else in this process knows.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// The last price of each symbol.
#[derive(Default)]
struct Board {
    seen: u64,
    last_cents: [u64; SYMBOLS.len()],
}

impl Board {
    fn show(&mut self, quote: &Quote) -> Result<()> {
        if quote.number != self.seen {
            return Err(format!("quote {} where {} was due", quote.number, self.seen).into());
        }
        self.seen += 1;
        self.last_cents[quote.symbol] = quote.price_cents;
        Ok(())
    }

    fn line(&self) -> String {
        let prices = SYMBOLS.iter().zip(self.last_cents);
        let prices =
            prices.map(|(symbol, cents)| format!("{symbol} {}.{:02}", cents / 100, cents % 100));
        prices.collect::<Vec<_>>().join(", ")
    }
}
