//! The one public error of the engine: what went wrong, and the wasm backtrace where a guest was running.
//!
//! Every variant names the thing and the reason. Traps stay data ([`Trap`]) and errors of host functions keep their own
//! type, so that an embedder can get back what it put in ([`Error::downcast_ref`]).
//!
//! Must stay true: `?` makes this error of any other. That is why it is no [`std::error::Error`] itself, as is usual for errors that can be any; it becomes one
//! by `?`, too, where a `Box<dyn std::error::Error>` is wanted.

mod context;
mod display;

use std::error::Error as StdError;
use std::fmt;

use crate::budget::Exceeded;
use crate::out_of_bounds::OutOfBounds;
use crate::reference::ExnRef;
use crate::tier::ModuleParts;
use crate::trap::{Backtrace, Trap};

pub use context::Context;

/// An error with its context; one pointer wide.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    /// What was being done, innermost first, as [`Error::context`] was told.
    contexts: Vec<Message>,
    backtrace: Backtrace,
    out_of_bounds: Option<OutOfBounds>,
}

/// An [`ErrorKind`] as a cause among others. Not that type itself: `?` would make errors of the embedder's out of it.
#[derive(Debug)]
struct Kind(ErrorKind);

/// What a function gives that may fail with an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

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
    /// The bytes are not a component, or one that breaks the rules of validation, or of which a module does.
    MalformedComponent {
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
    Host(Box<dyn StdError + Send + Sync>),
    /// The embedder's call does not fit: wrong arguments, a handle of another store, a missing export.
    Usage(String),
    /// A module with its machine code cannot be made, or what should be one is something else, damaged, or made for another build, processor or configuration.
    Precompiled(String),
    /// The operating system refused something the engine needs.
    Os(String),
}

impl Error {
    /// An error of the given kind with no backtrace.
    #[must_use]
    pub fn new(kind: ErrorKind) -> Error {
        Error::with_backtrace(kind, Backtrace::default())
    }

    fn with_backtrace(kind: ErrorKind, backtrace: Backtrace) -> Error {
        Error(Box::new(Inner { kind: Kind(kind), contexts: Vec::new(), backtrace, out_of_bounds: None }))
    }

    /// Something that gathers the frames of a sample as an error does those of a trap.
    pub(crate) fn for_profile() -> Error {
        Error::with_backtrace(ErrorKind::Trap(Trap::Interrupted), Backtrace::for_profile())
    }

    /// Something that gathers frames as an error does, for who asks for a backtrace without one.
    pub(crate) fn for_backtrace() -> Error {
        Error::new(ErrorKind::Trap(Trap::Interrupted))
    }

    pub(crate) fn into_backtrace(self) -> Backtrace {
        self.0.backtrace
    }

    /// An error raised by a host function; [`Error::downcast_ref`] gives it back. `?` does the same.
    pub fn from_host(error: impl StdError + Send + Sync + 'static) -> Error {
        Error::from(error)
    }

    /// An error of the embedder's that is a sentence only.
    ///
    /// ```
    /// # use innkeeper_engine::Error;
    /// let error = "seven".parse::<u32>().map_err(|_| Error::msg("the plugin gave no number"));
    /// assert_eq!(error.unwrap_err().to_string(), "the plugin gave no number");
    /// ```
    pub fn msg(message: impl fmt::Display) -> Error {
        Error::new(ErrorKind::Host(Box::new(Message(message.to_string()))))
    }

    /// An error of any type, as `?` makes it of one whose type is known: an error of this type stays what it was before it was put into the box.
    #[must_use]
    pub fn from_boxed(error: Box<dyn StdError + Send + Sync>) -> Error {
        let error = match error.downcast::<Boxed>() {
            Ok(boxed) => return boxed.0,
            Err(error) => error,
        };
        if let Some(trap) = error.downcast_ref::<Trap>() {
            return Error::new(ErrorKind::Trap(*trap));
        }
        if let Some(exceeded) = error.downcast_ref::<Exceeded>() {
            return Error::limit(exceeded.to_string());
        }
        if let Some(broken) = error.downcast_ref::<wasmparser::BinaryReaderError>() {
            return Error::new(ErrorKind::Malformed {
                offset_bytes: usize::try_from(broken.offset()).unwrap_or(usize::MAX),
                message: broken.message().to_owned(),
            });
        }
        Error::new(ErrorKind::Host(error))
    }

    /// About a module or component with its machine code; `problem` says what of it, as in "is damaged". Whoever knows which it is puts that before it
    /// ([`Error::of_precompiled`]).
    pub fn precompiled(problem: impl fmt::Display) -> Error {
        Error::new(ErrorKind::Precompiled(problem.to_string()))
    }

    /// The same error, which says of what it tells: `noun` is "module" or "component".
    pub(crate) fn of_precompiled(self, noun: &str) -> Error {
        match self.kind() {
            ErrorKind::Precompiled(problem) => {
                Error::new(ErrorKind::Precompiled(format!("the precompiled {noun} {problem}")))
            }
            _ => self,
        }
    }

    pub(crate) fn link(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Link(message.into()))
    }

    /// A limit was reached; `message` names the limit, its value and what was asked.
    pub fn limit(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Limit(message.into()))
    }

    /// A handle of one store was given together with another.
    #[cold]
    pub(crate) fn foreign(what: &str) -> Error {
        Error::usage(format!(
            "{what} belongs to another store than the one it is used with: handles are good only in the store that they come from"
        ))
    }

    pub(crate) fn usage(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Usage(message.into()))
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind.0
    }

    /// The trap, where the guest trapped; also of an error that has been another library's meanwhile ([`Error::find_in`]).
    #[must_use]
    pub fn trap(&self) -> Option<Trap> {
        match self.kind() {
            ErrorKind::Trap(trap) => Some(*trap),
            ErrorKind::Host(error) => Error::find_in(error.as_ref())?.trap(),
            _ => None,
        }
    }

    /// The error of this type that another one has come from: the first in its chain of sources that was put into a box (`Box<dyn std::error::Error>::from`). So what other libraries have
    /// made of an error still tells its trap and its backtrace; of an `anyhow::Error`, that is `Error::find_in(&*error)`.
    ///
    /// ```
    /// # use innkeeper_engine::{Error, ErrorKind, Trap};
    /// let error = Error::new(ErrorKind::Trap(Trap::Unreachable)).context("the plugin");
    /// let boxed: Box<dyn std::error::Error> = error.into();
    /// assert_eq!(Error::find_in(&*boxed).unwrap().trap(), Some(Trap::Unreachable));
    /// ```
    #[must_use]
    pub fn find_in<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
        let chain = std::iter::successors(Some(error), |error| (*error).source());
        chain.filter_map(|error| error.downcast_ref::<Boxed>()).map(|boxed| &boxed.0).next()
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

    /// The trap, or the host function's own error, or what that was caused by: the first that is an `E`.
    #[must_use]
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        self.chain().find_map(|cause| cause.downcast_ref())
    }

    /// Whether there is an error of type `E` for [`Error::downcast_ref`] to find.
    #[must_use]
    pub fn is<E: StdError + 'static>(&self) -> bool {
        self.downcast_ref::<E>().is_some()
    }

    /// What has caused this error, outermost first: the contexts that were told ([`Error::context`]), then the trap, or the host function's own error and its causes. Of an
    /// error of another kind there is nothing beside contexts but the error itself, after them.
    pub fn chain(&self) -> impl Iterator<Item = &(dyn StdError + 'static)> {
        let contexts = self.0.contexts.iter().rev().map(|context| context as &(dyn StdError + 'static));
        let mut next = self.cause();
        contexts.chain(std::iter::from_fn(move || {
            let cause = next?;
            next = cause.source();
            Some(cause)
        }))
    }

    fn cause(&self) -> Option<&(dyn StdError + 'static)> {
        match self.kind() {
            ErrorKind::Host(error) => Some(error.as_ref()),
            ErrorKind::Trap(trap) => Some(trap),
            _ if self.0.contexts.is_empty() => None,
            _ => Some(&self.0.kind),
        }
    }

    /// The guest functions that were active, innermost first; empty where none was. As of [`Error::trap`].
    #[must_use]
    pub fn backtrace(&self) -> &Backtrace {
        match self.kind() {
            ErrorKind::Host(error) if self.0.backtrace.frames().is_empty() => {
                Error::find_in(error.as_ref()).map_or(&self.0.backtrace, Error::backtrace)
            }
            _ => &self.0.backtrace,
        }
    }

    /// The backtrace, for a tier to append the frames it unwinds.
    pub fn backtrace_mut(&mut self) -> &mut Backtrace {
        &mut self.0.backtrace
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Error {
        Error::from_boxed(Box::new(error))
    }
}

impl From<ExnRef> for Error {
    /// What a host function returns to throw the exception: its caller can catch it.
    fn from(exception: ExnRef) -> Error {
        Error::new(ErrorKind::Exception(exception))
    }
}

impl From<Error> for Box<dyn StdError + Send + Sync> {
    fn from(error: Error) -> Self {
        Box::new(Boxed(error))
    }
}

impl From<Error> for Box<dyn StdError> {
    fn from(error: Error) -> Self {
        Box::new(Boxed(error))
    }
}

/// This error where one of any type is wanted.
struct Boxed(Error);

impl fmt::Debug for Boxed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Boxed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // With all its contexts: they are no sources of it.
        write!(f, "{:#}", self.0)
    }
}

impl StdError for Boxed {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self.0.kind() {
            ErrorKind::Host(error) => error.source(),
            _ => None,
        }
    }
}

/// An error that is a sentence only.
#[derive(Debug)]
struct Message(String);

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Message {}
