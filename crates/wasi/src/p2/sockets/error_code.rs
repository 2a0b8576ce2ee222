//! Error codes of `wasi:sockets`, and the one place where the host's errors become them.

use innkeeper_component::{ComponentType, Lift, Lower};

use crate::host;
use crate::p2::failure;
pub(super) use crate::p2::failure::told;
use crate::p2::misuse::interrupted;
use crate::p2::table::Full;

/// `wasi:sockets/network.error-code`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(path = innkeeper_component)]
pub(crate) enum ErrorCode {
    Unknown,
    AccessDenied,
    NotSupported,
    InvalidArgument,
    OutOfMemory,
    Timeout,
    ConcurrencyConflict,
    NotInProgress,
    WouldBlock,
    InvalidState,
    NewSocketLimit,
    AddressNotBindable,
    AddressInUse,
    RemoteUnreachable,
    ConnectionRefused,
    ConnectionReset,
    ConnectionAborted,
    DatagramTooLarge,
    NameUnresolvable,
    TemporaryResolverFailure,
    PermanentResolverFailure,
}

impl ErrorCode {
    /// The code of a host's error; none where it has none of its own.
    fn of(error: host::Error) -> Option<ErrorCode> {
        use host::Error;
        Some(match error {
            Error::Denied | Error::Locked | Error::Access | Error::NotPermitted | Error::NotOpenForThis => {
                ErrorCode::AccessDenied
            }
            Error::NotSupported | Error::AddressFamily => ErrorCode::NotSupported,
            Error::Invalid => ErrorCode::InvalidArgument,
            // What may not be written is, for POSIX, no room in a buffer.
            Error::NoMemory | Error::Quota => ErrorCode::OutOfMemory,
            Error::TimedOut => ErrorCode::Timeout,
            Error::InProgress => ErrorCode::ConcurrencyConflict,
            Error::Again => ErrorCode::WouldBlock,
            Error::AlreadyConnected | Error::NotConnected => ErrorCode::InvalidState,
            Error::TooManyHandles | Error::SystemHandles => ErrorCode::NewSocketLimit,
            Error::AddressNotAvailable => ErrorCode::AddressNotBindable,
            Error::AddressInUse => ErrorCode::AddressInUse,
            Error::Unreachable | Error::NetworkDown => ErrorCode::RemoteUnreachable,
            Error::ConnectionRefused => ErrorCode::ConnectionRefused,
            Error::ConnectionReset | Error::Pipe => ErrorCode::ConnectionReset,
            Error::ConnectionAborted => ErrorCode::ConnectionAborted,
            Error::MessageSize => ErrorCode::DatagramTooLarge,
            Error::NameNotFound => ErrorCode::NameUnresolvable,
            Error::NameTemporary => ErrorCode::TemporaryResolverFailure,
            Error::NamePermanent => ErrorCode::PermanentResolverFailure,
            _ => return None,
        })
    }

    /// The code of an error that a stream has failed with; none where that says nothing of the network.
    pub(super) fn of_stream(error: host::Error) -> Option<ErrorCode> {
        ErrorCode::of(error)
    }
}

/// Why an operation on a socket has failed.
pub(super) type Failure = failure::Failure<ErrorCode>;

impl From<ErrorCode> for Failure {
    fn from(code: ErrorCode) -> Failure {
        Failure::Code(code)
    }
}

impl From<host::Error> for Failure {
    fn from(error: host::Error) -> Failure {
        match error {
            host::Error::Interrupted => Failure::Trap(interrupted()),
            error => Failure::Code(ErrorCode::of(error).unwrap_or(ErrorCode::Unknown)),
        }
    }
}

impl From<Full> for Failure {
    fn from(full: Full) -> Failure {
        Failure::Code(match full {
            Full::Handles => ErrorCode::NewSocketLimit,
            Full::Memory(_) => ErrorCode::OutOfMemory,
        })
    }
}

/// What a function gives that can fail.
pub(super) type Outcome<R> = failure::Outcome<R, ErrorCode>;
