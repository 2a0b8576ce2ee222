//! Why the rules of the component model stop a guest. What core code traps for is the engine's [`innkeeper_engine::Trap`].

use std::fmt;

use innkeeper_engine::{Error, ErrorKind};

/// A rule of the component model that a guest has broken (canonical ABI, `trap_if`). [`innkeeper_engine::Error::downcast_ref`] gives it back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trap {
    /// A call into an instance that is in a call already, or in which something has trapped before.
    CannotEnter,
    /// A call out of an instance where none is allowed: in `realloc` or a function that runs after the return.
    CannotLeave,
    /// An address that is no multiple of what it must be.
    Unaligned,
    /// An address that `realloc` has returned is no multiple of what it must be.
    ReallocUnaligned,
    /// What `realloc` has returned lies beyond the end of the memory.
    ReallocOutOfBounds,
    /// Parameters or results in memory that lie beyond its end.
    PointerOutOfBounds,
    /// A string that is handed to the host lies beyond the end of the memory.
    StringOutOfBounds,
    /// A string that is handed to another guest lies beyond the end of the memory it is in, or of that which it goes to.
    StringContentOutOfBounds,
    /// A list that is handed to the host lies beyond the end of the memory.
    ListOutOfBounds,
    /// A list that is handed to another guest lies beyond the end of the memory it is in, or of that which it goes to.
    ListContentOutOfBounds,
    /// A string of more bytes than strings may have.
    StringTooLong,
    /// A list of more bytes than lists may have.
    ListTooLong,
    /// Bytes that are not UTF-8; what is wrong with them.
    InvalidUtf8(std::str::Utf8Error),
    /// Half of a pair of surrogates without the other.
    InvalidUtf16,
    /// A number that is no character's.
    InvalidChar(u32),
    /// A number that is no case's.
    InvalidDiscriminant(u32),
    /// A number that is no handle's.
    UnknownHandle(u32),
    /// A handle of another resource type.
    WrongHandleType {
        /// The handle.
        handle: u32,
        /// Whose type was expected.
        expected: ResourceOwner,
        /// Whose type it is of.
        found: ResourceOwner,
    },
    /// An owned handle is wanted, and this one is borrowed.
    NotOwned(u32),
    /// An owned handle is to be removed while it is lent.
    Lent,
    /// A call returns, and handles are left that were borrowed for it.
    BorrowsRemain,
    /// An instance has as many handles as it may.
    TooManyHandles,
    /// An exception was thrown out of a component.
    UncaughtException,
    /// A function of an `async` function's ABI that is not allowed here.
    NotAsync,
    /// An `async` function has returned twice.
    ReturnedTwice,
    /// An `async` function has ended without a result.
    NotReturned,
    /// What `task.return` was given is not of the function's type.
    WrongReturnType,
    /// An `async` function's callback has returned a number that means nothing.
    UnknownCallbackCode(u32),
    /// `backpressure.inc` too often, or `backpressure.dec`.
    BackpressureOutOfRange,
    /// A handle of something else than the function works on.
    WrongHandleKind {
        /// The handle.
        handle: u32,
        /// What the function works on.
        expected: &'static str,
    },
    /// A function that waits, in a call of a function that is not async, which must not.
    CannotBlock,
    /// Nothing can ever go on any more; who waits for what.
    Deadlock(Vec<String>),
    /// `task.cancel` in a task that nobody has asked to end.
    NotCancelled,
    /// The task of a call of the host's has ended without a result, since it was cancelled.
    TaskCancelled,
    /// A subtask is dropped, and its caller was not told that it has ended.
    SubtaskUnresolved,
    /// A subtask is cancelled whose caller was told that it has ended.
    SubtaskEnded,
    /// A subtask is cancelled twice.
    SubtaskCancelledTwice,
    /// A waitable that is in a set is waited for by itself, or one that is waited for so is put into a set.
    WaitableInSet,
    /// A waitable set is dropped that has members.
    SetHasMembers,
    /// A waitable set is dropped that is waited for.
    SetHasWaiters,
    /// An end of a stream or future is read from or written to while it is already.
    Concurrent,
    /// A future is read a second time.
    ReadTwice,
    /// A future is written a second time, or after nobody can read it any more.
    WrittenTwice,
    /// A stream is read after it is known that nobody can write to it any more.
    ReadAfterDropped,
    /// A stream is written after it is known that nobody can read it any more.
    WrittenAfterDropped,
    /// A future is handed over after it was read.
    LiftedAfterRead,
    /// A stream is handed over after it is known that nobody can write to it any more.
    LiftedAfterDropped,
    /// A stream or future is handed over while it is in a waitable set.
    LiftedInSet(&'static str),
    /// A readable end is handed over or dropped while it is being read.
    BusyRemoved(&'static str),
    /// A writable end is dropped while it is being written.
    BusyDropped(&'static str),
    /// The writable end of a future is dropped before anything was written.
    DroppedUnwritten,
    /// A stream or future is read and written by the same component instance, whose elements are not numbers.
    CopyToItself(&'static str),
    /// Nothing is being copied that could be cancelled.
    NothingToCancel,
    /// More elements than a buffer may have.
    BufferTooLong,
    /// A number that is no thread's.
    UnknownThread(u32),
    /// A thread is to go on that is not suspended.
    NotSuspended(u32),
}

/// Who has defined a resource type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceOwner {
    /// The host.
    Host,
    /// A component.
    Guest,
}

impl fmt::Display for ResourceOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ResourceOwner::Host => "host-defined",
            ResourceOwner::Guest => "guest-defined",
        })
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("wasm trap: ")?;
        f.write_str(match self {
            Trap::CannotEnter => "cannot enter component instance",
            Trap::CannotLeave => "cannot leave component instance",
            Trap::Unaligned => "unaligned pointer",
            Trap::ReallocUnaligned => "realloc return: result not aligned",
            Trap::ReallocOutOfBounds => "realloc return: beyond end of memory",
            Trap::PointerOutOfBounds => "pointer out of bounds of memory",
            Trap::StringOutOfBounds => "string pointer/length out of bounds of memory",
            Trap::StringContentOutOfBounds => "string content out-of-bounds",
            Trap::ListOutOfBounds => "list pointer/length out of bounds of memory",
            Trap::ListContentOutOfBounds => "list content out-of-bounds",
            Trap::StringTooLong => "string has more than 2^28-1 bytes",
            Trap::ListTooLong => "list has more than 2^28-1 bytes",
            Trap::InvalidUtf8(error) => return fmt::Display::fmt(error, f),
            Trap::InvalidUtf16 => "invalid utf-16: unpaired surrogate",
            Trap::InvalidChar(_) => "invalid `char` bit pattern",
            Trap::InvalidDiscriminant(_) => "invalid variant discriminant",
            Trap::UnknownHandle(handle) => return write!(f, "unknown handle index {handle}"),
            Trap::WrongHandleType { handle, expected, found } => {
                let different = if expected == found { "different " } else { "" };
                return write!(
                    f,
                    "handle index {handle} used with the wrong type, expected {expected} resource but found a \
                     {different}{found} resource"
                );
            }
            Trap::NotOwned(handle) => {
                return write!(f, "handle index {handle} is borrowed, and an owned one is wanted");
            }
            Trap::Lent => "cannot remove owned resource while borrowed",
            Trap::BorrowsRemain => "borrow handles still remain at the end of the call",
            Trap::TooManyHandles => "the component instance has as many handles as it may",
            Trap::UncaughtException => "an exception was thrown out of the component instance",
            Trap::NotAsync => "`task.return` or `task.cancel` in a function that is not lifted with the async ABI",
            Trap::ReturnedTwice => "`task.return` was called twice",
            Trap::NotReturned => "an async function has ended without calling `task.return`",
            Trap::WrongReturnType => "`task.return` was given another type than the function's result",
            Trap::UnknownCallbackCode(code) => return write!(f, "unsupported callback code: {code}"),
            Trap::BackpressureOutOfRange => "the backpressure counter is out of range",
            Trap::WrongHandleKind { handle, expected } => {
                return write!(f, "handle index {handle} used with the wrong type, expected a {expected}");
            }
            Trap::CannotBlock => "cannot block a synchronous task before returning",
            Trap::Deadlock(waits) => {
                f.write_str("deadlock detected: event loop cannot make further progress")?;
                for (index, wait) in waits.iter().enumerate() {
                    write!(f, "{}{wait}", if index == 0 { ": " } else { "; " })?;
                }
                return Ok(());
            }
            Trap::NotCancelled => "`task.cancel` in a task that was not cancelled",
            Trap::TaskCancelled => "the task was cancelled before it has returned",
            Trap::SubtaskUnresolved => "cannot drop a subtask which has not yet resolved",
            Trap::SubtaskEnded => "cannot cancel a subtask which has resolved",
            Trap::SubtaskCancelledTwice => "cannot cancel a subtask twice",
            Trap::WaitableInSet => "waitable cannot be used synchronously while added to a waitable set",
            Trap::SetHasMembers => "cannot drop waitable set with members",
            Trap::SetHasWaiters => "cannot drop waitable set with waiters",
            Trap::Concurrent => "cannot have concurrent operations active on a future/stream",
            Trap::ReadTwice => "cannot read from future after previous read succeeded",
            Trap::WrittenTwice => {
                "cannot write to future after previous write succeeded or readable end dropped"
            }
            Trap::ReadAfterDropped => {
                "cannot read from stream after being notified that the writable end dropped"
            }
            Trap::WrittenAfterDropped => {
                "cannot write to stream after being notified that the readable end dropped"
            }
            Trap::LiftedAfterRead => "cannot lift future after previous read succeeded",
            Trap::LiftedAfterDropped => {
                "cannot lift stream after being notified that the writable end dropped"
            }
            Trap::LiftedInSet(kind) => return write!(f, "cannot lift {kind} while it's in a waitable set"),
            Trap::BusyRemoved(kind) => return write!(f, "cannot remove busy {kind}"),
            Trap::BusyDropped(kind) => return write!(f, "cannot drop busy {kind}"),
            Trap::DroppedUnwritten => "cannot drop future write end without first writing a value",
            Trap::CopyToItself(kind) => {
                return write!(f, "cannot read from and write to intra-component {kind}");
            }
            Trap::NothingToCancel => "cannot cancel a copy: none is under way",
            Trap::BufferTooLong => "a buffer has more than 2^28-1 elements",
            Trap::UnknownThread(thread) => return write!(f, "unknown thread index {thread}"),
            Trap::NotSuspended(thread) => {
                return write!(f, "cannot resume thread {thread}, which is not suspended");
            }
        })
    }
}

impl std::error::Error for Trap {}

/// An exception ends at the boundary of the component that has thrown it.
pub(crate) fn trap_on_throw(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Exception(_) => Trap::UncaughtException.into(),
        _ => error,
    }
}
