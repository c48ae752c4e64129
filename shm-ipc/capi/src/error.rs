//! `cs_error_t`, and what becomes one.

use client::{Cause, ConnectError};
use std::io::ErrorKind;

/// `cs_error_t`.
pub type CsError = i32;

pub(crate) const OK: CsError = 1;
pub(crate) const LIBRARY: CsError = 2;
pub(crate) const VERSION: CsError = 3;
pub(crate) const TRY_AGAIN: CsError = 6;
pub(crate) const INVALID_PARAM: CsError = 7;
pub(crate) const NO_MEMORY: CsError = 8;
pub(crate) const BAD_HANDLE: CsError = 9;
pub(crate) const ACCESS: CsError = 11;
pub(crate) const NOT_EXIST: CsError = 12;
pub(crate) const NAME_TOO_LONG: CsError = 13;
pub(crate) const EXIST: CsError = 14;
pub(crate) const NAME_NOT_FOUND: CsError = 17;
pub(crate) const NOT_SUPPORTED: CsError = 19;
pub(crate) const TOO_BIG: CsError = 26;
pub(crate) const NO_SECTIONS: CsError = 27;

/// For answers that do not fit their question: engine and library are not of one kind.
pub(crate) const STRANGE: CsError = LIBRARY;

/// A result in the words of C.
pub(crate) type Outcome<T = ()> = Result<T, CsError>;

/// No connection: nobody listens is `LIBRARY`, not yet is `TRY_AGAIN`, not for you is `ACCESS`.
pub(crate) fn of_connect(error: &ConnectError) -> CsError {
    match error {
        ConnectError::Unreachable { source, .. } => match source.kind() {
            ErrorKind::PermissionDenied => ACCESS,
            ErrorKind::WouldBlock => TRY_AGAIN,
            _ => LIBRARY,
        },
        ConnectError::Refused { cause, .. } => match cause {
            Cause::NotAuthorised => ACCESS,
            Cause::Version => VERSION,
            Cause::TooMany | Cause::Late => TRY_AGAIN,
            Cause::Resources => NO_MEMORY,
            _ => LIBRARY,
        },
        ConnectError::Timeout { .. } => TRY_AGAIN,
        ConnectError::NotAnEngine { .. } | ConnectError::Memory { .. } => LIBRARY,
    }
}

/// A question without an answer.
pub(crate) fn of_service(error: &services::Error) -> CsError {
    error.failure().code().into()
}
