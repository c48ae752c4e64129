//! Names for the numbers in events: causes and reasons, each as its own crate numbers them.

use wire::trace::Code;

/// What an argument's number means, if it is more than a number.
pub(crate) fn arg_text(code: Code, name: &str, value: u64) -> Option<&'static str> {
    match (code, name) {
        (Code::SessionClosed, "cause") | (Code::SessionEvicted, "reason") => {
            u16::try_from(value).ok().and_then(session::Cause::from_code).map(session::Cause::text)
        }
        _ => None,
    }
}
