//! Being told to stop: what was started here ends with us, namespaces included, so we end in order.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::ensure;
use signal_hook::consts::{SIGINT, SIGTERM};

static ASKED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on SIGINT and SIGTERM are noted instead of ending the process.
///
/// # Errors
/// When the kernel refuses.
pub fn listen() -> anyhow::Result<()> {
    let asked = ASKED.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM] {
        // A second one ends us at once.
        signal_hook::flag::register_conditional_default(signal, asked.clone())?;
        signal_hook::flag::register(signal, asked.clone())?;
    }
    Ok(())
}

/// An error once we have been told to stop.
///
/// # Errors
/// That one.
pub fn check() -> anyhow::Result<()> {
    let asked = ASKED.get().is_some_and(|asked| asked.load(Ordering::Relaxed));
    ensure!(!asked, "told to stop");
    Ok(())
}
