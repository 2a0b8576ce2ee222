//! Linux, through rustix.
//!
//! Topics: `path` (names and opening), `data` (bytes and files), `list` (directory entries), `event` (waiting, clocks,
//! randomness), `readiness` (being told of many descriptors), `socket`, `socket_option`, `staging` (carrying out changes), `kernel_files` (types of file systems). No state lives here.

mod data;
mod event;
mod kernel_files;
mod list;
mod path;
#[cfg(any(feature = "async", feature = "component"))]
mod readiness;
mod socket;
mod socket_option;
mod staging;

use rustix::io::Errno;

pub(crate) use data::*;
pub(crate) use event::*;
pub(crate) use kernel_files::*;
pub(crate) use list::*;
pub(crate) use path::*;
#[cfg(any(feature = "async", feature = "component"))]
pub(crate) use readiness::*;
pub(crate) use socket::*;
pub(crate) use socket_option::*;
pub(crate) use staging::*;

use crate::host::error::Error;

impl From<Errno> for Error {
    fn from(errno: Errno) -> Error {
        match errno {
            Errno::ACCESS => Error::Access,
            Errno::ADDRINUSE => Error::AddressInUse,
            Errno::ADDRNOTAVAIL => Error::AddressNotAvailable,
            Errno::AFNOSUPPORT => Error::AddressFamily,
            Errno::AGAIN => Error::Again,
            Errno::INPROGRESS => Error::InProgress,
            Errno::BADF => Error::BadHandle,
            Errno::BUSY => Error::Busy,
            Errno::CONNABORTED => Error::ConnectionAborted,
            Errno::CONNREFUSED => Error::ConnectionRefused,
            Errno::CONNRESET => Error::ConnectionReset,
            Errno::XDEV => Error::CrossDevice,
            Errno::DEADLK => Error::Deadlock,
            Errno::EXIST => Error::Exists,
            Errno::FBIG => Error::FileTooLarge,
            Errno::ILSEQ => Error::IllegalBytes,
            Errno::INTR => Error::Interrupted,
            Errno::INVAL | Errno::DESTADDRREQ => Error::Invalid,
            Errno::HOSTUNREACH | Errno::HOSTDOWN | Errno::NETUNREACH | Errno::NETRESET | Errno::NONET => {
                Error::Unreachable
            }
            Errno::ISCONN => Error::AlreadyConnected,
            Errno::ISDIR => Error::IsDirectory,
            Errno::LOOP => Error::Loop,
            Errno::MSGSIZE => Error::MessageSize,
            Errno::NAMETOOLONG => Error::NameTooLong,
            Errno::NETDOWN => Error::NetworkDown,
            Errno::NODEV => Error::NoDevice,
            Errno::NOMEM | Errno::NOBUFS => Error::NoMemory,
            Errno::NOSPC => Error::NoSpace,
            Errno::NOTCONN => Error::NotConnected,
            Errno::NOTDIR => Error::NotDirectory,
            Errno::NOTEMPTY => Error::NotEmpty,
            Errno::NOENT => Error::NotFound,
            Errno::PERM => Error::NotPermitted,
            Errno::NOTSOCK => Error::NotSocket,
            Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOPROTOOPT | Errno::PROTONOSUPPORT => {
                Error::NotSupported
            }
            Errno::NOTTY => Error::NotTerminal,
            Errno::NXIO => Error::NoSuchAddress,
            Errno::OVERFLOW => Error::Overflow,
            Errno::PIPE => Error::Pipe,
            Errno::DQUOT => Error::Quota,
            Errno::ROFS => Error::ReadOnlyFileSystem,
            Errno::SPIPE => Error::Seek,
            Errno::STALE => Error::Stale,
            Errno::NFILE => Error::SystemHandles,
            Errno::TXTBSY => Error::TextBusy,
            Errno::TIMEDOUT => Error::TimedOut,
            Errno::MFILE => Error::TooManyHandles,
            Errno::MLINK => Error::TooManyLinks,
            _ => Error::Io,
        }
    }
}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> std::io::Error {
        std::io::Error::other(error)
    }
}

/// Repeats `call` while a signal interrupts it.
fn retry<T>(call: impl FnMut() -> rustix::io::Result<T>) -> Result<T, Error> {
    Ok(rustix::io::retry_on_intr(call)?)
}
