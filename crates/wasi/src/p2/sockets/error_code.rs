//! Error codes of `wasi:sockets`, and the one place where the host's errors become them.

use innkeeper_component::{ComponentType, Lift, Lower};
use innkeeper_engine::Error;

use crate::host;
use crate::p2::misuse::{Misuse, interrupted};
use crate::p2::table::Full;

/// `wasi:sockets/network.error-code`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(path = innkeeper_component)]
pub(super) enum ErrorCode {
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

/// Why an operation on a socket has failed: what the guest is told, or a trap.
#[derive(Debug)]
pub(super) enum Failure {
    Code(ErrorCode),
    Trap(Error),
}

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

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Trap(error)
    }
}

impl From<Misuse> for Failure {
    fn from(misuse: Misuse) -> Failure {
        Failure::Trap(misuse.into())
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
pub(super) type Outcome<R> = Result<Result<R, ErrorCode>, Error>;

/// Tells the guest what came of an operation.
pub(super) fn told<R>(result: Result<R, Failure>) -> Outcome<R> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Failure::Code(code)) => Ok(Err(code)),
        Err(Failure::Trap(error)) => Err(error),
    }
}
