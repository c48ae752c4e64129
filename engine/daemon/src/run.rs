//! From a configuration file to a running engine, and to its end.

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::thread;

use node::Stored;
use schema::{Config, Encryption, Loaded as Configuration, Source, System};
use wire::BootId;
use wire::trace::Level;

use crate::channel::Channel;
use crate::clock::wall_ns;
use crate::control::{Control, Signals};
use crate::exit::{Exit, Failure};
use crate::hot::{self, Plan, Started};
use crate::lock;
use crate::log::{Field, Log};
use crate::state::{Loaded, State};
use crate::tracked::VotesFile;

/// Runs an engine with this configuration until it is told to stop. Whatever keeps it from running is said on
/// standard error. See [`Exit`] for the codes.
pub fn main_with(source: &Source) -> ExitCode {
    match run(source) {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            eprintln!("synchrotrond: {failure}");
            failure.exit.into()
        }
    }
}

/// Reads a configuration and everything it names, and changes nothing.
///
/// # Errors
/// All that is wrong, in one message.
pub fn check(source: &Source) -> Result<Configuration, Failure> {
    load(source).map(|(configuration, _)| configuration)
}

/// The cluster key, if encryption is on.
pub(crate) type Key = Option<schema::key_file::ClusterKey>;

/// Reads a configuration and the key it names.
pub(crate) fn load(source: &Source) -> Result<(Configuration, Key), Failure> {
    let loaded = source.load(&System).map_err(|problems| Failure::new(Exit::Config, problems))?;
    let config = &loaded.config;
    let key = match &config.security.encryption {
        Encryption::Off => None,
        Encryption::Aes256Gcm { key } => {
            let key = schema::key_file::cluster_key(key).map_err(|error| {
                Failure::new(Exit::Config, format!("security.key_file: {error}"))
            })?;
            Some(key)
        }
    };
    if let Some(problem) = hot::quorum_problem(config) {
        let file = source.file().display();
        return Err(Failure::new(Exit::Config, format!("{file}: {problem}")));
    }
    if config.security.provider == schema::Provider::AwsLc && !cfg!(feature = "aws-lc") {
        let message = "security.provider = \"aws-lc\": this engine was built without it; accepted: \
                       \"auto\", \"aes-gcm\"";
        let file = source.file().display();
        return Err(Failure::new(Exit::Config, format!("{file}: {message}")));
    }
    Ok((loaded, key))
}

/// Runs an engine until it is told to stop by SIGTERM or SIGINT. Call it once per process, from its main
/// thread.
///
/// # Errors
/// Why it did not start, or did not end well.
pub fn run(source: &Source) -> Result<(), Failure> {
    let (Configuration { config, warnings, keys }, key) = load(source)?;
    let system =
        |what: &str, error: std::io::Error| Failure::new(Exit::System, format!("{what}: {error}"));
    let log = Log::open(&config.log, config.me).map_err(|error| {
        let file = config.log.file.as_deref().unwrap_or(Path::new("stderr"));
        Failure::new(Exit::Files, format!("log.file: {}: {error}", file.display()))
    })?;
    let _lock = lock::take(&config.engine.state_dir)?;
    let signals = Signals::install(Exit::Failed as i32).map_err(|e| system("signals", e))?;
    let loaded = load_state(&config)?;
    store_owed(&config, loaded.stored)?;
    let expected_votes_tracked = load_votes(&config)?;
    let mut random = [0; 24];
    getrandom::fill(&mut random).map_err(|error| {
        Failure::new(Exit::System, format!("the kernel gives no random bytes: {error}"))
    })?;
    let (boot, seed) = random.split_at(16);
    let plan = Arc::new(Plan {
        boot: BootId(boot.try_into().unwrap_or_default()),
        seed: u64::from_le_bytes(seed.try_into().unwrap_or_default()),
        stored: loaded.stored,
        warnings: warnings.iter().map(ToString::to_string).collect(),
        source: source.clone(),
        expected_votes_tracked,
        config,
        keys,
        key,
    });
    let channel = Arc::new(Channel::new().map_err(|e| system("eventfd", e))?);
    engine(plan, channel, signals, log, &loaded)
}

fn load_state(config: &Config) -> Result<Loaded, Failure> {
    let dir = &config.engine.state_dir;
    let state = State::new(dir);
    state.load(wall_ns()).map_err(|error| {
        let hint = "a number that is there but cannot be read must not be guessed; mend or remove the file";
        Failure::new(Exit::Files, format!("the ring number in {}: {error}; {hint}", dir.display()))
    })
}

/// Before this start promises others anything by the configuration, the next one has to know how long that may hold.
fn store_owed(config: &Config, stored: Stored) -> Result<(), Failure> {
    let owed_ns = hot::owed_ns_max(config);
    if owed_ns <= stored.owed_ns {
        return Ok(());
    }
    let dir = &config.engine.state_dir;
    State::new(dir).store(Stored { owed_ns, ..stored }).map_err(|error| {
        let hint = "with votes counted, how long others may act on this node must be stored before it starts";
        Failure::new(Exit::Files, format!("{}: {error}; {hint}", dir.display()))
    })
}

fn load_votes(config: &Config) -> Result<u32, Failure> {
    let quorum = &config.quorum;
    if !(quorum.votequorum && (quorum.expected_votes_tracking || quorum.allow_downscale)) {
        return Ok(0);
    }
    let dir = &config.engine.state_dir;
    VotesFile::new(dir).load().map_err(|error| {
        let hint = "with fewer votes than were expected once two parts of the cluster could act; \
                    remove the file to expect what the configuration says";
        Failure::new(Exit::Files, format!("expected-votes in {}: {error}; {hint}", dir.display()))
    })
}

/// Starts the hot thread and serves as the control thread until the end.
fn engine(
    plan: Arc<Plan>,
    channel: Arc<Channel>,
    signals: Signals,
    log: Log,
    loaded: &Loaded,
) -> Result<(), Failure> {
    let (told, started) = mpsc::sync_channel::<Result<Started, Failure>>(1);
    let thread = {
        let (plan, channel) = (plan.clone(), channel.clone());
        thread::Builder::new()
            .name("hot".into())
            .spawn(move || hot_thread(plan, channel, &told))
            .map_err(|error| {
                Failure::new(Exit::System, format!("cannot start a thread: {error}"))
            })?
    };
    let Started { acceptor, warnings } = match started.recv() {
        Ok(started) => started?,
        // It ended without a word: it panicked while it made its things.
        Err(mpsc::RecvError) => return join(thread),
    };
    let mut control = Control::new(plan, channel, acceptor, warnings, signals, log);
    control.say_start(loaded);
    let served = control.run(&|| !thread.is_finished());
    if served.is_ok() {
        let ended = join(thread);
        if let Err(failure) = &ended {
            let fields = [("why", Field::Text(failure))];
            control.log().say(Level::Error, "engine failed", &fields);
        }
        return ended;
    }
    served
}

/// The hot thread from its first instruction to its last.
fn hot_thread(
    plan: Arc<Plan>,
    channel: Arc<Channel>,
    told: &mpsc::SyncSender<Result<Started, Failure>>,
) -> Result<(), Failure> {
    /// Wakes the control thread whatever ends this one.
    struct Last(Arc<Channel>);
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.wake_control();
        }
    }
    let _last = Last(channel.clone());
    match hot::start(plan, channel) {
        Ok((hot, started)) => {
            // If the control thread is gone the process is about to end anyway.
            let _ = told.send(Ok(started));
            hot.run()
        }
        Err(failure) => {
            let _ = told.send(Err(failure));
            Ok(())
        }
    }
}

fn join(thread: thread::JoinHandle<Result<(), Failure>>) -> Result<(), Failure> {
    thread.join().unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<&str>()
            .map(ToString::to_string)
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "unknown".to_owned());
        Err(Failure::new(Exit::Bug, format!("the hot thread panicked: {what}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_hot_thread_is_an_exit_code_with_its_words() {
        let panics = thread::spawn(|| -> Result<(), Failure> { panic!("slot {} twice", 7) });
        let failure = join(panics).unwrap_err();
        assert_eq!(failure.exit, Exit::Bug);
        assert_eq!(failure.message, "the hot thread panicked: slot 7 twice");
        assert!(join(thread::spawn(|| Ok(()))).is_ok());
    }
}
