//! Why a host operation failed, in the vocabulary of POSIX plus the host's own refusals.
//!
//! Front ends translate this into their own codes. It carries no text: what a person should be told about a
//! refusal is in [`super::Denial`].

use thiserror::Error;

/// A failed host operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum Error {
    /// The guest holds no key for this. A denial has been recorded.
    #[error("no key for this")]
    Denied,
    /// No directory key covers the path. A denial has been recorded; to the guest it does not exist.
    #[error("no key covers the path")]
    Locked,
    /// The path leads out of the directory that it was looked up in. A denial has been recorded.
    #[error("the path leaves the directory")]
    Escape,
    /// A file of the kernel's, such as those in `/proc`, which the directory key does not include. A denial has been recorded.
    #[error("the kernel's own files are not part of the grant")]
    KernelFiles,
    /// What the host keeps for itself. A denial has been recorded.
    #[error("what the host keeps for itself is not part of a grant")]
    Hidden,
    /// A name that directories are reserved for in which changes are staged. A denial has been recorded.
    #[error("names that begin with `.innkeeper-cow-` are reserved for changes that are being made")]
    Reserved,
    /// The handle was not opened for this, although its key would allow it.
    #[error("the handle is not open for this")]
    NotOpenForThis,
    /// The host user may not do this.
    #[error("permission denied")]
    Access,
    /// An address of another family than the socket's, or a family that the system does not have.
    #[error("address family not supported")]
    AddressFamily,
    /// Address in use.
    #[error("address in use")]
    AddressInUse,
    /// No address of this machine.
    #[error("address not available")]
    AddressNotAvailable,
    /// The socket is connected.
    #[error("already connected")]
    AlreadyConnected,
    /// The operation would block and the handle is non-blocking.
    #[error("would block")]
    Again,
    /// Not a usable handle.
    #[error("bad handle")]
    BadHandle,
    /// In use.
    #[error("busy")]
    Busy,
    /// A connection was aborted.
    #[error("connection aborted")]
    ConnectionAborted,
    /// A connection was refused.
    #[error("connection refused")]
    ConnectionRefused,
    /// A connection was reset by the peer.
    #[error("connection reset")]
    ConnectionReset,
    /// A rename or link between file systems.
    #[error("different file systems")]
    CrossDevice,
    /// A deadlock was avoided.
    #[error("would deadlock")]
    Deadlock,
    /// Something of that name exists.
    #[error("exists")]
    Exists,
    /// The file would be too large.
    #[error("file too large")]
    FileTooLarge,
    /// Bytes that are not text in the required encoding.
    #[error("illegal byte sequence")]
    IllegalBytes,
    /// It has begun, and is not done.
    #[error("in progress")]
    InProgress,
    /// The wait was interrupted.
    #[error("interrupted")]
    Interrupted,
    /// An argument makes no sense.
    #[error("invalid argument")]
    Invalid,
    /// The device failed.
    #[error("input/output error")]
    Io,
    /// A directory where something else is needed.
    #[error("is a directory")]
    IsDirectory,
    /// Too many symbolic links, or one where none may be.
    #[error("too many symbolic links")]
    Loop,
    /// Message too long.
    #[error("message too long")]
    MessageSize,
    /// A host's name does not exist, or has no address.
    #[error("name not found")]
    NameNotFound,
    /// A host's name cannot be looked up.
    #[error("name cannot be looked up")]
    NamePermanent,
    /// A host's name cannot be looked up now.
    #[error("name cannot be looked up now")]
    NameTemporary,
    /// A name or path is too long.
    #[error("name too long")]
    NameTooLong,
    /// The network is down.
    #[error("network down")]
    NetworkDown,
    /// No such device.
    #[error("no such device")]
    NoDevice,
    /// Not enough memory.
    #[error("out of memory")]
    NoMemory,
    /// No space left.
    #[error("no space left")]
    NoSpace,
    /// Not connected.
    #[error("not connected")]
    NotConnected,
    /// Not a directory.
    #[error("not a directory")]
    NotDirectory,
    /// A directory that should be empty is not.
    #[error("not empty")]
    NotEmpty,
    /// Nothing of that name.
    #[error("not found")]
    NotFound,
    /// The system does not permit it.
    #[error("not permitted")]
    NotPermitted,
    /// Not a socket.
    #[error("not a socket")]
    NotSocket,
    /// Not supported by the system or the file.
    #[error("not supported")]
    NotSupported,
    /// Not a terminal.
    #[error("not a terminal")]
    NotTerminal,
    /// No such device or address.
    #[error("no such device or address")]
    NoSuchAddress,
    /// The host, or its network, cannot be reached.
    #[error("unreachable")]
    Unreachable,
    /// A value does not fit.
    #[error("overflow")]
    Overflow,
    /// Nobody reads the other end.
    #[error("broken pipe")]
    Pipe,
    /// A disk quota is used up.
    #[error("quota exceeded")]
    Quota,
    /// The file system is read-only.
    #[error("read-only file system")]
    ReadOnlyFileSystem,
    /// The handle has no position.
    #[error("illegal seek")]
    Seek,
    /// The handle refers to something gone.
    #[error("stale handle")]
    Stale,
    /// The whole system has too many open files.
    #[error("too many open files in the system")]
    SystemHandles,
    /// A program is being executed from the file.
    #[error("text file busy")]
    TextBusy,
    /// Too long without an answer.
    #[error("timed out")]
    TimedOut,
    /// The guest's, or the process's, handles are used up.
    #[error("too many open handles")]
    TooManyHandles,
    /// Too many hard links.
    #[error("too many links")]
    TooManyLinks,
}
