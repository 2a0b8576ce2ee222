//! Error codes of `wasi:filesystem`: those of WASI 0.2, but for one, and one for all others.

use innkeeper_component::{ComponentType, Lower, Val};
use innkeeper_engine::Error;

use crate::host;
use crate::p2::filesystem::error_code as p2;
use crate::p2::table::Full;
use crate::p3::streams::Code;

macro_rules! codes {
    ($($code:ident $label:literal,)*) => {
        /// `wasi:filesystem/types.error-code`
        #[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lower)]
        #[component(path = innkeeper_component)]
        pub(super) enum ErrorCode {
            $($code,)*
            Other(Option<String>),
        }

        impl From<p2::ErrorCode> for ErrorCode {
            fn from(code: p2::ErrorCode) -> ErrorCode {
                match code {
                    $(p2::ErrorCode::$code => ErrorCode::$code,)*
                    p2::ErrorCode::WouldBlock => ErrorCode::Other(Some(String::from("would-block"))),
                }
            }
        }

        impl Code for ErrorCode {
            fn val(self) -> Val {
                match self {
                    $(ErrorCode::$code => Val::variant($label, None),)*
                    ErrorCode::Other(reason) => {
                        let reason = reason.map(|reason| Box::new(Val::String(reason)));
                        Val::variant("other", Some(Val::Option(reason)))
                    }
                }
            }
        }
    };
}

codes! {
    Access "access",
    Already "already",
    BadDescriptor "bad-descriptor",
    Busy "busy",
    Deadlock "deadlock",
    Quota "quota",
    Exist "exist",
    FileTooLarge "file-too-large",
    IllegalByteSequence "illegal-byte-sequence",
    InProgress "in-progress",
    Interrupted "interrupted",
    Invalid "invalid",
    Io "io",
    IsDirectory "is-directory",
    Loop "loop",
    TooManyLinks "too-many-links",
    MessageSize "message-size",
    NameTooLong "name-too-long",
    NoDevice "no-device",
    NoEntry "no-entry",
    NoLock "no-lock",
    InsufficientMemory "insufficient-memory",
    InsufficientSpace "insufficient-space",
    NotDirectory "not-directory",
    NotEmpty "not-empty",
    NotRecoverable "not-recoverable",
    Unsupported "unsupported",
    NoTty "no-tty",
    NoSuchDevice "no-such-device",
    Overflow "overflow",
    NotPermitted "not-permitted",
    Pipe "pipe",
    ReadOnly "read-only",
    InvalidSeek "invalid-seek",
    TextFileBusy "text-file-busy",
    CrossDevice "cross-device",
}

impl From<host::Error> for ErrorCode {
    fn from(error: host::Error) -> ErrorCode {
        p2::ErrorCode::of(error).unwrap_or(p2::ErrorCode::Io).into()
    }
}

impl From<Full> for ErrorCode {
    fn from(_: Full) -> ErrorCode {
        ErrorCode::InsufficientMemory
    }
}

/// What a function gives that can fail.
pub(super) type Outcome<R> = Result<Result<R, ErrorCode>, Error>;

/// Tells the guest what came of an operation.
///
/// # Errors
/// Those that end the guest.
pub(super) fn told<R>(result: Result<R, p2::Failure>) -> Outcome<R> {
    translated(p2::told(result))
}

/// What a function of WASI 0.2 gives, in the error codes of 0.3.
pub(super) fn translated<R>(outcome: p2::Outcome<R>) -> Outcome<R> {
    Ok(outcome?.map_err(ErrorCode::from))
}
