//! What keys open to: the handles a guest starts with, for a front end to number.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use innkeeper_engine::Budget;

use super::credentials::{Credentials, Grant};
use super::directory::{Directory, DirectoryNode};
use super::error::Error;
use super::gate::Permit;
use super::hidden::Hidden;
use super::metadata::Timestamp;
use super::open_keys::OpenedKeys;
use super::reach::NativeDirectory;
use super::resolve::{Resolve, names_reserved};
use super::socket::{Socket, SocketKind};
use super::stdio::Stream;
use super::sys;
use super::tree::{KeptDirectory, Overlay, Tree, TreeDirectory, Visit, is_staging_directory};
use crate::keys::{Access, DirKey, KeyError, Keys, ListenKey, LockedRoot, NameAliases};

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
    /// The empty directory `/`, if the keys ask for it and none of them is for `/`.
    pub locked_root: Option<Directory>,
    /// Listening sockets, in the order of the keys.
    pub listeners: Vec<Socket>,
}

impl Handles {
    /// Opens every key, and gives the directories among them that the host keeps a second time, for the keys' owner.
    pub(super) fn open(opening: &Opening<'_>) -> Result<(Handles, KeptTrees), KeyError> {
        let keys = opening.keys;
        let mut trees = KeptTrees::default();
        let mut directories = Vec::new();
        for (key, native) in keys.directories.iter().zip(&*opening.opened.directories) {
            directories.push(directory(opening, key, native.as_ref(), &mut trees)?);
        }
        let listeners = opening.opened.listeners.iter().map(|(fd, grant)| {
            let name = match grant {
                Grant::Listener(address) => format!("the socket on {address}"),
                _ => String::new(),
            };
            let credentials = Credentials::of_grant(grant.clone(), &name);
            Socket::new(Arc::clone(fd), credentials, SocketKind::Listener)
        });
        let listeners = listeners.collect();
        let handles = Handles {
            stdin: Stream::input(opening)?,
            stdout: Stream::output(opening)?,
            stderr: Stream::error(opening)?,
            locked_root: locked_root(opening),
            directories,
            listeners,
        };
        Ok((handles, trees))
    }
}

/// The directories that the host keeps itself, for the keys' owner, each in the order of the keys.
#[derive(Debug, Default)]
pub(super) struct KeptTrees {
    pub(super) overlays: Vec<Overlay>,
    pub(super) kept: Vec<KeptDirectory>,
}

/// What opening keys needs.
pub(super) struct Opening<'a> {
    pub(super) permit: &'a Permit,
    pub(super) keys: &'a Keys,
    pub(super) opened: &'a OpenedKeys,
    /// What the guest's trees are charged to.
    pub(super) budget: &'a Budget,
    pub(super) now: Timestamp,
}

impl Directory {
    /// The guest's name for it, if it was opened from a key.
    #[must_use]
    pub fn guest_path(&self) -> &str {
        &self.credentials.guest_path
    }

    /// Whether it stands for everything that was not granted.
    #[must_use]
    pub fn is_locked_root(&self) -> bool {
        matches!(*self.credentials.grant, Grant::LockedRoot)
    }
}

/// A guest's directory; `native` is what its key opened to, unless it is in memory.
fn directory(
    opening: &Opening<'_>,
    key: &DirKey,
    native: Option<&NativeDirectory>,
    trees: &mut KeptTrees,
) -> Result<Directory, KeyError> {
    let grant = Grant::Directory { host: key.host.clone(), guest: key.guest.clone(), access: key.access };
    let credentials = Credentials::of_grant(grant, &key.guest);
    let in_tree = |tree: &Arc<Tree>| DirectoryNode::Tree(TreeDirectory::root(tree));
    let mut keep = |tree| {
        let overlay = Overlay::new(tree, opening.opened.resolve, &key.host, &key.guest);
        trees.kept.push(KeptDirectory::new(overlay.clone()));
        overlay
    };
    let node = match (key.access, native) {
        (Access::ReadOnly | Access::ReadWrite, Some(native)) => DirectoryNode::Native(native.clone()),
        (Access::CopyOnWrite, Some(native)) => {
            let limit_bytes = opening.keys.limits.overlay_bytes;
            let tree = Tree::over(native.clone(), opening.budget, limit_bytes, opening.now);
            let node = in_tree(&tree);
            let overlay = keep(tree);
            trees.overlays.push(overlay);
            node
        }
        (Access::Temporary { limit_bytes }, _) => {
            let tree = Tree::in_memory(opening.budget, limit_bytes, opening.now);
            preload(opening, key, &tree)?;
            let node = in_tree(&tree);
            keep(tree);
            node
        }
        // Every other key was opened, or the keys were refused; an empty directory grants nothing.
        (_, None) => in_tree(&Tree::in_memory(opening.budget, 0, opening.now)),
    };
    Ok(Directory { node, credentials })
}

/// Puts into a directory in memory what its key says.
fn preload(opening: &Opening<'_>, key: &DirKey, tree: &Arc<Tree>) -> Result<(), KeyError> {
    let visit = Visit { permit: opening.permit, resolve: opening.opened.resolve, now: opening.now };
    let root = TreeDirectory::root(tree);
    key.preloaded.iter().try_for_each(|member| {
        root.preload(visit, member).map_err(|error| KeyError::Preload {
            directory: key.guest.clone(),
            path: member.path.clone(),
            reason: error.into(),
        })
    })
}

/// Opens the directory of a key.
pub(super) fn open_host(
    (permit, resolve, aliases): (&Permit, Resolve<'_>, NameAliases),
    hidden: Option<&Arc<Hidden>>,
    key: &DirKey,
) -> Result<NativeDirectory, KeyError> {
    let path = || key.host.clone();
    if names_reserved(key.host.as_os_str().as_encoded_bytes()) {
        return Err(KeyError::Reserved(path()));
    }
    let fd = match &key.opened {
        Some(opened) => sys::open_granted_again(permit, opened.0.as_fd()),
        None => sys::open_granted(permit, &key.host),
    };
    let fd = fd.map_err(|reason| match reason.kind() {
        std::io::ErrorKind::NotFound => KeyError::DirectoryMissing(path()),
        std::io::ErrorKind::NotADirectory => KeyError::NotADirectory(path()),
        _ => KeyError::DirectoryUnreadable { path: path(), reason },
    })?;
    // A link or `.` leads there, too, and so does a mount of the directory itself.
    let is_staging = sys::path_of(permit, fd.as_fd())
        .is_ok_and(|path| names_reserved(path.as_os_str().as_encoded_bytes()))
        || is_staging_directory(permit, fd.as_fd());
    if is_staging {
        return Err(KeyError::Reserved(path()));
    }
    NativeDirectory::granted(permit, fd, (key.kernel_files, hidden), (resolve.kind(), aliases)).map_err(
        |error| match error {
            Error::KernelFiles => KeyError::KernelFiles(path()),
            Error::Hidden => KeyError::Hidden(path()),
            reason => KeyError::DirectoryUnreadable { path: path(), reason: reason.into() },
        },
    )
}

/// An empty directory that the gate lets nobody change: a guest that opens, looks at and lists each directory it finds meets nothing broken.
fn locked_root(opening: &Opening<'_>) -> Option<Directory> {
    let keys = opening.keys;
    let covered = keys.directories.iter().any(|key| covers_everything(&key.guest));
    if covered || keys.locked_root == LockedRoot::Absent {
        return None;
    }
    let tree = Tree::in_memory(opening.budget, 0, opening.now);
    let node = DirectoryNode::Tree(TreeDirectory::root(&tree));
    Some(Directory { node, credentials: Credentials::of_grant(Grant::LockedRoot, "/") })
}

/// Whether guests look up every path in a directory of this name. Their libraries strip `/` and `./` from the front of names and
/// paths and prefer, among equals, the directory that comes last: a locked root would hide this one.
fn covers_everything(guest: &str) -> bool {
    guest.split('/').all(|part| part.is_empty() || part == ".")
}

/// Listens as a key says; tells what is granted by that.
pub(super) fn listen(permit: &Permit, key: &ListenKey) -> Result<(Arc<OwnedFd>, Grant), KeyError> {
    let (fd, address) = sys::listen(permit, key.address)
        .map_err(|reason| KeyError::Listen { address: key.address, reason })?;
    Ok((Arc::new(fd), Grant::Listener(address)))
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
