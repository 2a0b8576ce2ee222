//! Why keys could not be turned into handles. Told to the person who granted them, never to the guest.
//!
//! Every message names the thing, the reason and, after a semicolon, the mend, in the words of keys: how they were granted, by flags, a policy or a program, is not known here.

use std::net::SocketAddr;
use std::path::PathBuf;

use thiserror::Error;

/// A key that cannot be honoured.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The host directory of a [`crate::keys::DirKey`] does not exist.
    #[error("cannot grant {}: there is no such directory on this machine; create it, or correct the path", .0.display())]
    DirectoryMissing(PathBuf),
    /// The host path of a [`crate::keys::DirKey`] is something else than a directory.
    #[error("cannot grant {}: it is not a directory; grant the directory that contains it", .0.display())]
    NotADirectory(PathBuf),
    /// The host directory could not be opened.
    #[error("cannot grant {}: {reason}; check that this user may read it", .path.display())]
    DirectoryUnreadable {
        /// The host path as granted.
        path: PathBuf,
        /// The system's reason.
        reason: std::io::Error,
    },
    /// The host directory is the kernel's, such as `/proc`.
    #[error(
        "cannot grant {}: it is the kernel's, and a guest could reach the host process through it; grant another directory, or have the key include the kernel's files",
        .0.display()
    )]
    KernelFiles(PathBuf),
    /// The host directory is what the host keeps for itself; see [`crate::keys::Keys::hidden`].
    #[error("cannot grant {}: the code cache or its key is kept in it, which no guest may reach; grant another directory", .0.display())]
    Hidden(PathBuf),
    /// The code cache or its key is there, which no guest is to reach.
    #[error("cannot use {} as {name}: the code cache or its key is kept there, which no guest may reach; name another file", .path.display())]
    HiddenStream {
        /// The stream's usual name.
        name: &'static str,
        /// The file as granted.
        path: PathBuf,
    },
    /// The host directory is one in which changes are staged, or in one.
    #[error("cannot grant {}: it is in a directory in which changes are kept while they are made; finish them first, or take them back", .0.display())]
    Reserved(PathBuf),
    /// It cannot be told what a path of [`crate::keys::Keys::hidden`] leads to.
    #[error(
        "cannot hide {} from the guest: {reason}; mend the way there, or the limits of this process (ulimit -n), or grant no directory",
        .path.display()
    )]
    CannotHide {
        /// What was to be hidden.
        path: PathBuf,
        /// The system's reason.
        reason: std::io::Error,
    },
    /// A tar archive that a directory in memory is to hold is broken, or has what cannot be in one.
    #[error(
        "cannot unpack the archive, at byte {offset_bytes}: {reason}; make it anew, of regular files, directories and symbolic links"
    )]
    Archive {
        /// Where the member begins that it is about.
        offset_bytes: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// Something cannot be put into a directory in memory.
    #[error(
        "cannot put {path:?} into the directory {directory} in memory: {reason}; correct the path, or let the directory take more"
    )]
    Preload {
        /// The guest's name for the directory.
        directory: String,
        /// What was to be put there.
        path: String,
        /// Why it cannot.
        reason: std::io::Error,
    },
    /// Files were to be put into a directory of the host's, whatever its access: that is for directories in memory.
    #[error(
        "cannot put {path:?} into the directory {directory}, which is one of this machine's: only a directory in memory can be given files; write the file there before, or make the key with `DirKey::temporary`"
    )]
    PreloadOfHost {
        /// The guest's name for the directory.
        directory: String,
        /// What was to be put there first.
        path: String,
    },
    /// The name a directory should have for the guest is empty or contains a NUL.
    #[error(
        "cannot call a directory {0:?}: a guest path is not empty and contains no NUL; give a name such as /data"
    )]
    BadGuestPath(String),
    /// An argument contains a NUL.
    #[error("argument {0:?} contains a NUL, and guests read arguments up to the first NUL; remove it")]
    BadArgument(String),
    /// An environment variable's name is empty or contains `=` or NUL, or its value contains NUL.
    #[error(
        "environment variable {0:?} is malformed: a name is not empty and has no '=', and neither part has a NUL"
    )]
    BadVariable(String),
    /// The file that a standard stream should be cannot be opened.
    #[error("cannot use {} as {name}: {reason}; check the path and its permissions", .path.display())]
    Stream {
        /// The stream's usual name.
        name: &'static str,
        /// The file as granted.
        path: PathBuf,
        /// The system's reason.
        reason: std::io::Error,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {reason}; choose another address or port")]
    Listen {
        /// The address as granted.
        address: SocketAddr,
        /// The system's reason.
        reason: std::io::Error,
    },
    /// More keys than [`crate::keys::WasiLimits::max_open_handles`] allows handles.
    #[error("the keys need {needed} handles and the limit is {limit}; raise the limit or grant less")]
    TooManyHandles {
        /// Handles the keys would take.
        needed: usize,
        /// The limit.
        limit: u32,
    },
    /// The system refuses what every guest needs.
    #[error(
        "cannot open the descriptors that every guest needs: {0}; raise the limit of this process (ulimit -n), or have it hold fewer open files"
    )]
    Setup(std::io::Error),
}
