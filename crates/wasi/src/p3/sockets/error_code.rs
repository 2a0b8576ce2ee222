//! Error codes of `wasi:sockets`, and the one place where the host's errors become them.

use innkeeper_component::{ComponentType, Lower, Val};

use crate::host;
use crate::p2::failure;
pub(super) use crate::p2::failure::told;
use crate::p2::misuse::interrupted;
use crate::p2::sockets::error_code as p2;
use crate::p2::table::Full;
use crate::p3::streams::Code;

/// `wasi:sockets/types.error-code`
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lower)]
#[component(path = innkeeper_component)]
pub(super) enum ErrorCode {
    AccessDenied,
    NotSupported,
    InvalidArgument,
    OutOfMemory,
    Timeout,
    InvalidState,
    AddressNotBindable,
    AddressInUse,
    RemoteUnreachable,
    ConnectionRefused,
    ConnectionBroken,
    ConnectionReset,
    ConnectionAborted,
    DatagramTooLarge,
    Other(Option<String>),
}

impl From<host::Error> for ErrorCode {
    fn from(error: host::Error) -> ErrorCode {
        use host::Error;
        match error {
            Error::Denied | Error::Locked | Error::Access | Error::NotPermitted | Error::NotOpenForThis => {
                ErrorCode::AccessDenied
            }
            Error::NotSupported | Error::AddressFamily => ErrorCode::NotSupported,
            Error::Invalid => ErrorCode::InvalidArgument,
            // What may not be written is, for POSIX, no room in a buffer.
            Error::NoMemory | Error::Quota => ErrorCode::OutOfMemory,
            Error::TimedOut => ErrorCode::Timeout,
            Error::InProgress | Error::AlreadyConnected | Error::NotConnected => ErrorCode::InvalidState,
            Error::AddressNotAvailable => ErrorCode::AddressNotBindable,
            Error::AddressInUse => ErrorCode::AddressInUse,
            Error::Unreachable | Error::NetworkDown => ErrorCode::RemoteUnreachable,
            Error::ConnectionRefused => ErrorCode::ConnectionRefused,
            Error::Pipe => ErrorCode::ConnectionBroken,
            Error::ConnectionReset => ErrorCode::ConnectionReset,
            Error::ConnectionAborted => ErrorCode::ConnectionAborted,
            Error::MessageSize => ErrorCode::DatagramTooLarge,
            Error::TooManyHandles | Error::SystemHandles => ErrorCode::too_many(),
            _ => ErrorCode::Other(None),
        }
    }
}

impl ErrorCode {
    /// As many sockets and other handles are open as there may be.
    fn too_many() -> ErrorCode {
        ErrorCode::Other(Some(String::from("new-socket-limit")))
    }
}

impl Code for ErrorCode {
    fn val(self) -> Val {
        let label = match self {
            ErrorCode::AccessDenied => "access-denied",
            ErrorCode::NotSupported => "not-supported",
            ErrorCode::InvalidArgument => "invalid-argument",
            ErrorCode::OutOfMemory => "out-of-memory",
            ErrorCode::Timeout => "timeout",
            ErrorCode::InvalidState => "invalid-state",
            ErrorCode::AddressNotBindable => "address-not-bindable",
            ErrorCode::AddressInUse => "address-in-use",
            ErrorCode::RemoteUnreachable => "remote-unreachable",
            ErrorCode::ConnectionRefused => "connection-refused",
            ErrorCode::ConnectionBroken => "connection-broken",
            ErrorCode::ConnectionReset => "connection-reset",
            ErrorCode::ConnectionAborted => "connection-aborted",
            ErrorCode::DatagramTooLarge => "datagram-too-large",
            ErrorCode::Other(reason) => {
                let reason = reason.map(|reason| Box::new(Val::String(reason)));
                return Val::variant("other", Some(Val::Option(reason)));
            }
        };
        Val::variant(label, None)
    }
}

impl From<Full> for ErrorCode {
    fn from(full: Full) -> ErrorCode {
        match full {
            Full::Handles => ErrorCode::too_many(),
            Full::Memory(_) => ErrorCode::OutOfMemory,
        }
    }
}

/// Why an operation on a socket has failed.
pub(super) type Failure = failure::Failure<ErrorCode>;

impl From<ErrorCode> for Failure {
    fn from(code: ErrorCode) -> Failure {
        Failure::Code(code)
    }
}

/// Of an address, which is all that is looked at as in WASI 0.2, nothing else is wrong.
impl From<p2::ErrorCode> for Failure {
    fn from(_: p2::ErrorCode) -> Failure {
        Failure::Code(ErrorCode::InvalidArgument)
    }
}

impl From<host::Error> for Failure {
    fn from(error: host::Error) -> Failure {
        match error {
            host::Error::Interrupted => Failure::Trap(interrupted()),
            error => Failure::Code(error.into()),
        }
    }
}

impl From<Full> for Failure {
    fn from(full: Full) -> Failure {
        Failure::Code(full.into())
    }
}

/// What a function gives that can fail.
pub(super) type Outcome<R> = failure::Outcome<R, ErrorCode>;
