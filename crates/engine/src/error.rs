//! The one public error of the engine: what went wrong, and the wasm backtrace where a guest was running.
//!
//! Every variant names the thing and the reason. Traps stay data ([`Trap`]) and errors of host functions keep their own
//! type, so that an embedder can get back what it put in ([`Error::host`]).

use std::fmt;

use crate::out_of_bounds::OutOfBounds;
use crate::reference::ExnRef;
use crate::tier::ModuleParts;
use crate::trap::{Backtrace, Trap};

/// An error with its context; one pointer wide.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    backtrace: Backtrace,
    out_of_bounds: Option<OutOfBounds>,
}

/// What kind of thing went wrong.
#[derive(Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The bytes are not a module of WebAssembly, or one that breaks the rules of validation.
    Malformed {
        /// Bytes from the start of the input.
        offset_bytes: usize,
        /// What is wrong there.
        message: String,
    },
    /// The text is not a module; the message says where and why.
    Text(String),
    /// The module is valid, but uses something that this engine does not support.
    Unsupported(String),
    /// An import is missing or has another type than the module asks for.
    Link(String),
    /// A limit of the engine or of the store was reached before the guest ran.
    Limit(String),
    /// The guest trapped.
    Trap(Trap),
    /// The guest threw an exception that nothing caught; a host function that passes the error on lets its caller catch it.
    Exception(ExnRef),
    /// A host function returned an error.
    Host(Box<dyn std::error::Error + Send + Sync>),
    /// The embedder's call does not fit: wrong arguments, a handle of another store, a missing export.
    Usage(String),
    /// The operating system refused something the engine needs.
    Os(String),
}

impl Error {
    /// An error of the given kind with no backtrace.
    #[must_use]
    pub fn new(kind: ErrorKind) -> Error {
        Error(Box::new(Inner { kind, backtrace: Backtrace::default(), out_of_bounds: None }))
    }

    /// Something that gathers the frames of a sample as an error does those of a trap.
    pub(crate) fn for_profile() -> Error {
        Error(Box::new(Inner {
            kind: ErrorKind::Trap(Trap::Interrupted),
            backtrace: Backtrace::for_profile(),
            out_of_bounds: None,
        }))
    }

    pub(crate) fn into_backtrace(self) -> Backtrace {
        self.0.backtrace
    }

    /// An error raised by a host function; [`Error::host`] gives it back.
    pub fn from_host(error: impl std::error::Error + Send + Sync + 'static) -> Error {
        Error::new(ErrorKind::Host(Box::new(error)))
    }

    pub(crate) fn link(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Link(message.into()))
    }

    /// A limit was reached; `message` names the limit, its value and what was asked.
    pub fn limit(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Limit(message.into()))
    }

    pub(crate) fn usage(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Usage(message.into()))
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// The trap, where the guest trapped.
    #[must_use]
    pub fn trap(&self) -> Option<Trap> {
        match self.kind() {
            ErrorKind::Trap(trap) => Some(*trap),
            _ => None,
        }
    }

    /// What was asked for that is out of bounds, where the guest trapped for that and as far as it is known.
    #[must_use]
    pub fn out_of_bounds(&self) -> Option<OutOfBounds> {
        self.0.out_of_bounds
    }

    /// A trap for what is out of bounds.
    pub(crate) fn beyond(trap: Trap, beyond: OutOfBounds) -> Error {
        let mut error = Error::from(trap);
        error.set_out_of_bounds(Some(beyond));
        error
    }

    pub(crate) fn set_out_of_bounds(&mut self, beyond: Option<OutOfBounds>) {
        self.0.out_of_bounds = beyond;
    }

    /// Tells which instruction the innermost frame is at, for what [`Error::out_of_bounds`] does not know: to be called by a tier before it pushes the frame.
    pub fn note_instruction(&mut self, module: &ModuleParts, offset_bytes: Option<usize>) {
        if let (Some(beyond), Some(offset)) = (&mut self.0.out_of_bounds, offset_bytes)
            && self.0.backtrace.frames().is_empty()
        {
            beyond.complete(module, offset);
        }
    }

    /// The host function's own error, where there is one of type `E`.
    #[must_use]
    pub fn host<E: std::error::Error + 'static>(&self) -> Option<&E> {
        match self.kind() {
            ErrorKind::Host(error) => error.downcast_ref(),
            _ => None,
        }
    }

    /// The guest functions that were active, innermost first; empty where none was.
    #[must_use]
    pub fn backtrace(&self) -> &Backtrace {
        &self.0.backtrace
    }

    /// The backtrace, for a tier to append the frames it unwinds.
    pub fn backtrace_mut(&mut self) -> &mut Backtrace {
        &mut self.0.backtrace
    }
}

impl From<Trap> for Error {
    fn from(trap: Trap) -> Error {
        Error::new(ErrorKind::Trap(trap))
    }
}

impl From<wasmparser::BinaryReaderError> for Error {
    fn from(error: wasmparser::BinaryReaderError) -> Error {
        Error::new(ErrorKind::Malformed {
            offset_bytes: usize::try_from(error.offset()).unwrap_or(usize::MAX),
            message: error.message().to_owned(),
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            ErrorKind::Malformed { offset_bytes, message } => {
                write!(f, "not a valid WebAssembly module: {message} (at offset 0x{offset_bytes:x})")
            }
            ErrorKind::Unsupported(what) => write!(f, "not supported: {what}"),
            ErrorKind::Text(message)
            | ErrorKind::Link(message)
            | ErrorKind::Limit(message)
            | ErrorKind::Usage(message)
            | ErrorKind::Os(message) => f.write_str(message),
            ErrorKind::Trap(trap) => match self.out_of_bounds() {
                Some(beyond) => write!(f, "wasm trap: {trap}: {beyond}"),
                None => write!(f, "wasm trap: {trap}"),
            },
            ErrorKind::Exception(_) => f.write_str("the guest threw an exception that nothing caught"),
            ErrorKind::Host(error) => error.fmt(f),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error").field("kind", &self.0.kind).field("backtrace", &self.0.backtrace).finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self.kind() {
            ErrorKind::Host(error) => Some(error.as_ref()),
            _ => None,
        }
    }
}
