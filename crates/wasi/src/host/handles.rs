//! What keys open to: the handles a guest starts with, for a front end to number.

use super::credentials::{Credentials, Grant};
use super::directory::Directory;
use super::gate::Permit;
use super::socket::{Socket, SocketKind};
use super::stdio::Stream;
use super::sys;
use crate::keys::{DirKey, KeyError, Keys, ListenKey, LockedRoot};

/// The handles that a guest starts with.
#[derive(Debug)]
#[non_exhaustive]
pub struct Handles {
    /// Standard input, unless closed.
    pub stdin: Option<Stream>,
    /// Standard output, unless closed.
    pub stdout: Option<Stream>,
    /// Standard error, unless closed.
    pub stderr: Option<Stream>,
    /// Directories with the guest's names for them, in the order of the keys.
    pub directories: Vec<Directory>,
    /// The directory `/` that opens nothing, if the keys ask for it and none of them is for `/`.
    pub locked_root: Option<Directory>,
    /// Listening sockets, in the order of the keys.
    pub listeners: Vec<Socket>,
}

impl Handles {
    pub(super) fn open(permit: &Permit, keys: &Keys) -> Result<Handles, KeyError> {
        let directories =
            keys.directories.iter().map(|key| open_directory(permit, key)).collect::<Result<_, _>>()?;
        let listeners = keys.listeners.iter().map(|key| listen(permit, key)).collect::<Result<_, _>>()?;
        Ok(Handles {
            stdin: Stream::input(&keys.stdin),
            stdout: Stream::output(&keys.stdout),
            stderr: Stream::error(&keys.stderr),
            locked_root: locked_root(permit, keys)?,
            directories,
            listeners,
        })
    }
}

impl Directory {
    /// The guest's name for it, if it was opened from a key.
    #[must_use]
    pub fn guest_path(&self) -> &str {
        &self.credentials.guest_path
    }
}

fn open_directory(permit: &Permit, key: &DirKey) -> Result<Directory, KeyError> {
    let fd = sys::open_granted(permit, &key.host).map_err(|reason| match reason.kind() {
        std::io::ErrorKind::NotFound => KeyError::DirectoryMissing(key.host.clone()),
        std::io::ErrorKind::NotADirectory => KeyError::NotADirectory(key.host.clone()),
        _ => KeyError::DirectoryUnreadable { path: key.host.clone(), reason },
    })?;
    let grant = Grant::Directory { host: key.host.clone(), guest: key.guest.clone(), access: key.access };
    Ok(Directory { fd, credentials: Credentials::of_grant(grant, &key.guest) })
}

/// The handle refers to nothing that could be opened by mistake; the gate refuses every use of it anyway.
fn locked_root(permit: &Permit, keys: &Keys) -> Result<Option<Directory>, KeyError> {
    let covered = keys.directories.iter().any(|key| covers_everything(&key.guest));
    if covered || keys.locked_root == LockedRoot::Absent {
        return Ok(None);
    }
    let fd = sys::open_nothing(permit).map_err(KeyError::Setup)?;
    Ok(Some(Directory { fd, credentials: Credentials::of_grant(Grant::LockedRoot, "/") }))
}

/// Whether guests look up every path in a directory of this name. Their libraries strip `/` and `./` from the front of names and
/// paths and prefer, among equals, the directory that comes last: a locked root would hide this one.
fn covers_everything(guest: &str) -> bool {
    guest.split('/').all(|part| part.is_empty() || part == ".")
}

fn listen(permit: &Permit, key: &ListenKey) -> Result<Socket, KeyError> {
    let (fd, address) = sys::listen(permit, key.address)
        .map_err(|reason| KeyError::Listen { address: key.address, reason })?;
    let credentials = Credentials::of_grant(Grant::Listener(address), &format!("the socket on {address}"));
    Ok(Socket::new(fd, credentials, SocketKind::Listener))
}

#[cfg(test)]
mod tests {
    use super::covers_everything;

    #[test]
    fn a_directory_that_covers_everything_is_told_apart() {
        for guest in [".", "/", "./", "/.", "././/", "//"] {
            assert!(covers_everything(guest), "{guest}");
        }
        for guest in ["..", "a", "/a", "./a", ".a", "./.."] {
            assert!(!covers_everything(guest), "{guest}");
        }
    }
}
