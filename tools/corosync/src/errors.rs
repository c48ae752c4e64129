//! Failures as Corosync's tools name them.

use services::Failure;

/// The name that `cs_strerror` gives.
pub(crate) fn name(failure: Failure) -> &'static str {
    match failure {
        Failure::Library => "CS_ERR_LIBRARY",
        Failure::Timeout => "CS_ERR_TIMEOUT",
        Failure::TryAgain => "CS_ERR_TRY_AGAIN",
        Failure::InvalidParameter => "CS_ERR_INVALID_PARAM",
        Failure::NoMemory => "CS_ERR_NO_MEMORY",
        Failure::Busy => "CS_ERR_BUSY",
        Failure::Access => "CS_ERR_ACCESS",
        Failure::NotExist => "CS_ERR_NOT_EXIST",
        Failure::NameTooLong => "CS_ERR_NAME_TOO_LONG",
        Failure::Exist => "CS_ERR_EXIST",
        Failure::NoSpace => "CS_ERR_NO_SPACE",
        Failure::NotSupported => "CS_ERR_NOT_SUPPORTED",
        Failure::BadOperation => "CS_ERR_BAD_OPERATION",
        Failure::FailedOperation => "CS_ERR_FAILED_OPERATION",
        Failure::MessageError => "CS_ERR_MESSAGE_ERROR",
        Failure::TooBig => "CS_ERR_TOO_BIG",
        Failure::NoSections => "CS_ERR_NO_SECTIONS",
    }
}
