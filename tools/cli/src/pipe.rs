//! When nobody reads our output any more, as in `synchrotron status | head`: Rust has the signal ignored, and every
//! print would panic.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind, set_hook, take_hook};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::SIGPIPE;

/// What a shell says of a program that the signal has ended.
const ENDED_BY_SIGNAL: u8 = 128 + SIGPIPE as u8;

/// Lets this process end without a word, as other tools do.
pub(crate) fn end_with_the_reader() {
    let always = Arc::new(AtomicBool::new(true));
    // Where that is refused a print panics, which is no worse than before.
    let _ = signal_hook::flag::register_conditional_default(SIGPIPE, always);
}

/// Does something that starts engines or makes network namespaces: where its output is not read any more it ends
/// without a word as well, but puts them in order first.
pub(crate) fn end_in_order(
    work: impl FnOnce() -> anyhow::Result<ExitCode>,
) -> anyhow::Result<ExitCode> {
    let usual = take_hook();
    set_hook(Box::new(move |info| {
        if !is_unread(info.payload()) {
            usual(info);
        }
    }));
    // Nothing of what it worked on is looked at afterwards.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result,
        Err(payload) if is_unread(payload.as_ref()) => Ok(ExitCode::from(ENDED_BY_SIGNAL)),
        Err(payload) => resume_unwind(payload),
    }
}

/// Whether this is what `print!` panics with when the reader of the output has ended.
fn is_unread(payload: &(dyn Any + Send)) -> bool {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.is_some_and(|text| {
        text.starts_with("failed printing to stdout") && text.contains("Broken pipe")
    })
}
