//! Error codes of `wasi:filesystem`, and the one place where the host's errors become them.

use innkeeper_component::{Borrowed, ComponentType, Lift, Lower};

use crate::host;
use crate::p2::failure;
pub(crate) use crate::p2::failure::told;
use crate::p2::interface::{FindContext, Interface};
use crate::p2::streams::IoError;
use crate::p2::table::Full;

/// `wasi:filesystem/types.error-code`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(path = innkeeper_component)]
pub(crate) enum ErrorCode {
    Access,
    WouldBlock,
    Already,
    BadDescriptor,
    Busy,
    Deadlock,
    Quota,
    Exist,
    FileTooLarge,
    IllegalByteSequence,
    InProgress,
    Interrupted,
    Invalid,
    Io,
    IsDirectory,
    Loop,
    TooManyLinks,
    MessageSize,
    NameTooLong,
    NoDevice,
    NoEntry,
    NoLock,
    InsufficientMemory,
    InsufficientSpace,
    NotDirectory,
    NotEmpty,
    NotRecoverable,
    Unsupported,
    NoTty,
    NoSuchDevice,
    Overflow,
    NotPermitted,
    Pipe,
    ReadOnly,
    InvalidSeek,
    TextFileBusy,
    CrossDevice,
}

impl ErrorCode {
    /// The code of a host's error; none where it is about something else than files.
    pub(crate) fn of(error: host::Error) -> Option<ErrorCode> {
        use host::Error;
        Some(match error {
            Error::Denied
            | Error::Escape
            | Error::KernelFiles
            | Error::Hidden
            | Error::Reserved
            | Error::NotPermitted => ErrorCode::NotPermitted,
            Error::Locked | Error::NotFound => ErrorCode::NoEntry,
            Error::NotOpenForThis | Error::BadHandle => ErrorCode::BadDescriptor,
            Error::Access => ErrorCode::Access,
            Error::Again => ErrorCode::WouldBlock,
            Error::Busy => ErrorCode::Busy,
            Error::CrossDevice => ErrorCode::CrossDevice,
            Error::Deadlock => ErrorCode::Deadlock,
            Error::Exists => ErrorCode::Exist,
            Error::FileTooLarge => ErrorCode::FileTooLarge,
            Error::IllegalBytes => ErrorCode::IllegalByteSequence,
            Error::Interrupted => ErrorCode::Interrupted,
            Error::Invalid => ErrorCode::Invalid,
            Error::Io | Error::Stale | Error::TimedOut => ErrorCode::Io,
            Error::IsDirectory => ErrorCode::IsDirectory,
            Error::Loop => ErrorCode::Loop,
            Error::MessageSize => ErrorCode::MessageSize,
            Error::NameTooLong => ErrorCode::NameTooLong,
            Error::NoDevice => ErrorCode::NoDevice,
            Error::NoMemory | Error::SystemHandles | Error::TooManyHandles => ErrorCode::InsufficientMemory,
            Error::NoSpace => ErrorCode::InsufficientSpace,
            Error::NotDirectory => ErrorCode::NotDirectory,
            Error::NotEmpty => ErrorCode::NotEmpty,
            Error::NotSupported => ErrorCode::Unsupported,
            Error::NotTerminal => ErrorCode::NoTty,
            Error::NoSuchAddress => ErrorCode::NoSuchDevice,
            Error::Overflow => ErrorCode::Overflow,
            Error::Pipe => ErrorCode::Pipe,
            Error::Quota => ErrorCode::Quota,
            Error::ReadOnlyFileSystem => ErrorCode::ReadOnly,
            Error::Seek => ErrorCode::InvalidSeek,
            Error::TextBusy => ErrorCode::TextFileBusy,
            Error::TooManyLinks => ErrorCode::TooManyLinks,
            Error::AddressFamily
            | Error::AddressInUse
            | Error::AddressNotAvailable
            | Error::AlreadyConnected
            | Error::ConnectionAborted
            | Error::ConnectionRefused
            | Error::ConnectionReset
            | Error::InProgress
            | Error::NameNotFound
            | Error::NamePermanent
            | Error::NameTemporary
            | Error::NetworkDown
            | Error::NotConnected
            | Error::NotSocket
            | Error::Unreachable => return None,
        })
    }
}

/// Why an operation on a file has failed.
pub(crate) type Failure = failure::Failure<ErrorCode>;

impl From<ErrorCode> for Failure {
    fn from(code: ErrorCode) -> Failure {
        Failure::Code(code)
    }
}

impl From<host::Error> for Failure {
    fn from(error: host::Error) -> Failure {
        Failure::Code(ErrorCode::of(error).unwrap_or(ErrorCode::Io))
    }
}

impl From<Full> for Failure {
    fn from(_: Full) -> Failure {
        Failure::Code(ErrorCode::InsufficientMemory)
    }
}

/// What a function gives that can fail.
pub(crate) type Outcome<R> = failure::Outcome<R, ErrorCode>;

pub(crate) fn bind<T: Send + 'static>(types: &mut Interface<'_, T, impl FindContext<T>>) {
    types.func::<(Borrowed<'_, IoError>,), Option<ErrorCode>>("filesystem-error-code", |cx, (error,)| {
        Ok(cx.table.get(error)?.host().and_then(ErrorCode::of))
    });
}
