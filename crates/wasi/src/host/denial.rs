//! Denials as data: what was asked, which key is missing, and the flag that would grant it.
//!
//! The guest chose the texts in here. Print them only through [`super::visible`].

use std::path::{Component, Path, PathBuf};

use super::credentials::{Credentials, Grant, Rights};
use super::error::Error;
use super::gate::Operation;
use super::sys;
use crate::keys::Access;

/// One distinct thing that was denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// What was asked for.
    pub operation: Operation,
    /// On what, in the guest's words.
    pub path: String,
    /// The key that would have allowed it.
    pub missing: MissingKey,
    /// How often it was denied.
    pub count: u64,
}

/// The key that a denied operation lacked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MissingKey {
    /// The directory was granted, but only for reading.
    Write {
        /// The host path of the grant.
        host: PathBuf,
        /// The guest path of the grant.
        guest: String,
    },
    /// The path names something outside the granted directory.
    Directory {
        /// The host directory that is probably meant.
        host: PathBuf,
        /// The guest path it should have.
        guest: String,
        /// What the operation needs to do in it.
        access: Access,
    },
    /// The path stays inside as text, and a symbolic link in it leads outside.
    LinkTarget {
        /// The guest path of the grant.
        guest: String,
    },
    /// The path leads to a file of the kernel's, such as those in `/proc`, which a grant includes only if it says so.
    KernelFiles {
        /// The guest path of the grant.
        guest: String,
    },
    /// The path leads to what the host keeps for itself, such as the code cache and its key.
    Hidden,
    /// The path has a name in it that is reserved for directories in which changes of copy-on-write directories are staged.
    Reserved,
    /// The standard stream or socket does not allow this, and no key would.
    Nothing,
}

impl MissingKey {
    /// The command line flag that grants the key, where there is one. `HOST` stands for a host directory to be chosen, where the one
    /// that is probably meant does not exist.
    #[must_use]
    pub fn flag(&self) -> Option<String> {
        match self {
            MissingKey::Directory { host, guest, access } if !sys::is_directory_for_owner(host) => {
                Some(directory_flag(Path::new("HOST"), guest, *access))
            }
            MissingKey::Write { host, guest } => Some(directory_flag(&plain(host), guest, Access::ReadWrite)),
            MissingKey::Directory { host, guest, access } => {
                Some(directory_flag(&plain(host), guest, *access))
            }
            MissingKey::LinkTarget { .. }
            | MissingKey::KernelFiles { .. }
            | MissingKey::Hidden
            | MissingKey::Reserved
            | MissingKey::Nothing => None,
        }
    }
}

/// Denials, each distinct one once, up to a bound.
#[derive(Debug)]
pub(super) struct DenialRecord {
    list: Vec<Denial>,
    limit: usize,
    dropped: u64,
}

impl DenialRecord {
    pub(super) fn new(limit: u32) -> DenialRecord {
        DenialRecord { list: Vec::new(), limit: limit as usize, dropped: 0 }
    }

    pub(super) fn list(&self) -> &[Denial] {
        &self.list
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(super) fn add(&mut self, denial: Denial) {
        let same = |known: &&mut Denial| {
            known.operation == denial.operation
                && known.path == denial.path
                && known.missing == denial.missing
        };
        if let Some(known) = self.list.iter_mut().find(same) {
            known.count += 1;
        } else if self.list.len() < self.limit {
            self.list.push(denial);
        } else {
            self.dropped += 1;
        }
    }
}

/// Works out which key would have allowed an operation on `path` in the directory of `credentials`.
pub(super) fn missing_key(
    credentials: &Credentials,
    path: Option<&[u8]>,
    reason: Error,
    needs: Rights,
) -> MissingKey {
    let (host, guest) = match &*credentials.grant {
        Grant::Directory { host, guest, .. } => (host, guest),
        Grant::LockedRoot => return uncovered(path, needs),
        Grant::Stdio(_) | Grant::Listener(_) => return MissingKey::Nothing,
    };
    let path = match (reason, path) {
        (Error::Escape, Some(path)) => path,
        (Error::KernelFiles, _) => return MissingKey::KernelFiles { guest: guest.clone() },
        (Error::Hidden, _) => return MissingKey::Hidden,
        (Error::Reserved, _) => return MissingKey::Reserved,
        _ => return MissingKey::Write { host: host.clone(), guest: guest.clone() },
    };
    let access = access_for(needs);
    let path = String::from_utf8_lossy(path);
    if path.starts_with('/') {
        let directory = parent_of(&fold(Path::new(&*path)));
        return MissingKey::Directory { guest: text(&directory), host: directory, access };
    }
    let relative = fold(&path_within(&credentials.guest_path, guest).join(&*path));
    if !relative.starts_with("..") {
        return MissingKey::LinkTarget { guest: guest.clone() };
    }
    let meant = parent_of(&fold(&Path::new(guest).join(&relative)));
    let host = if meant.is_absolute() {
        // As where no key covers a path: what the guest calls by an absolute name has nothing to do with where the grant lies on the host.
        meant.clone()
    } else if fold(Path::new(guest)).as_os_str().is_empty() || fold(host) == fold(Path::new(guest)) {
        parent_of(&fold(&host.join(&relative)))
    } else {
        // Nobody knows: it is to be chosen.
        PathBuf::new()
    };
    MissingKey::Directory { host, guest: text(&meant), access }
}

/// The key for a path that no key covers: its directory, by the same name on the host; for a name in the root, which is
/// where libraries look up relative paths, the current directory.
fn uncovered(path: Option<&[u8]>, needs: Rights) -> MissingKey {
    let path = String::from_utf8_lossy(path.unwrap_or_default());
    let guest = parent_of(&fold(&Path::new("/").join(&*path)));
    let host = if guest == Path::new("/") { PathBuf::from(".") } else { guest.clone() };
    MissingKey::Directory { host, guest: text(&guest), access: access_for(needs) }
}

fn access_for(needs: Rights) -> Access {
    if Rights::READ.contains(needs) { Access::ReadOnly } else { Access::ReadWrite }
}

/// The part of a handle's guest path that lies beneath its grant's.
pub(super) fn path_within(guest_path: &str, guest: &str) -> PathBuf {
    if guest_path == guest {
        PathBuf::new()
    } else if guest == "." {
        PathBuf::from(guest_path)
    } else {
        Path::new(guest_path).strip_prefix(guest).map_or_else(|_| PathBuf::new(), Path::to_path_buf)
    }
}

fn directory_flag(host: &Path, guest: &str, access: Access) -> String {
    let value = format!("{}::{guest}::{}", host.display(), access.flag_word());
    let plain = |character: char| character.is_alphanumeric() || "/._-:+,@%~".contains(character);
    if value.chars().all(plain) {
        format!("--dir {value}")
    } else {
        format!("--dir '{}'", value.replace('\'', r"'\''"))
    }
}

/// A host path without `.` and `..`, if it still leads to a directory so.
fn plain(host: &Path) -> PathBuf {
    let folded = fold(host);
    let folded = if folded.as_os_str().is_empty() { PathBuf::from(".") } else { folded };
    if sys::is_directory_for_owner(&folded) { folded } else { host.to_owned() }
}

/// Removes `.` and resolves `..` in the text of a path.
fn fold(path: &Path) -> PathBuf {
    let mut folded = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => match folded.components().next_back() {
                Some(Component::Normal(_)) => {
                    folded.pop();
                }
                Some(Component::RootDir) => {}
                _ => folded.push(".."),
            },
            other => folded.push(other),
        }
    }
    folded
}

fn parent_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() && path.file_name().is_some() => parent.to_path_buf(),
        Some(_) => PathBuf::from("."),
        None => path.to_path_buf(),
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
