//! Why a question has no answer, numbered as Corosync numbers it.

use serde::{Deserialize, Serialize};

macro_rules! failures {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// Why a question has no answer. The numbers are those of Corosync's `cs_error_t`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
        #[repr(u8)]
        pub enum Failure {
            $($(#[$doc])* #[error($text)] $name = $code,)*
        }

        impl Failure {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

failures! {
    /// The library cannot reach the engine, or the engine is gone.
    Library = 2, "no connection to the engine";
    /// It did not come to an end in time.
    Timeout = 5, "it took too long";
    /// Not now; later it may work.
    TryAgain = 6, "not now, try again";
    /// An argument is not one.
    InvalidParameter = 7, "an argument is wrong";
    /// The engine is out of memory, or a limit is reached.
    NoMemory = 8, "out of memory";
    /// Somebody else is at it.
    Busy = 10, "busy";
    /// It is not allowed.
    Access = 11, "not allowed";
    /// There is no such thing.
    NotExist = 12, "there is no such thing";
    /// A name is too long.
    NameTooLong = 13, "the name is too long";
    /// It exists already.
    Exist = 14, "it exists already";
    /// It does not fit.
    NoSpace = 15, "there is no space for it";
    /// The engine has no such service.
    NotSupported = 19, "not supported";
    /// It does not make sense now.
    BadOperation = 20, "that cannot be done now";
    /// It was tried and failed.
    FailedOperation = 21, "it failed";
    /// What was said does not fit the present state.
    MessageError = 22, "out of place";
    /// It is too big.
    TooBig = 26, "too big";
    /// There are no more.
    NoSections = 27, "there are no more";
}

impl Failure {
    /// Its number in `cs_error_t`.
    pub const fn code(self) -> u8 {
        self as u8
    }
}
