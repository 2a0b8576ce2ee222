//! The key to one directory: where it is on the host, what the guest calls it, and what may be done in it.
//!
//! Plain data, except that a directory may be open already: none is opened here.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use super::KeyError;
use super::preload::{Preloaded, PreloadedKind, members_of_tar};

/// What a directory key allows.
///
/// More kinds may join; match with a wildcard arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Access {
    /// Look up, list and read. Nothing in the tree can be changed, through any derived handle.
    ReadOnly,
    /// Everything [`Access::ReadOnly`] allows, and create, write, rename, remove, change times.
    ReadWrite,
    /// The guest sees its own changes, and the directory on the host stays as it is (copy-on-write). What became of it
    /// can be listed, archived or applied afterwards: [`crate::host::Host::overlays`].
    CopyOnWrite,
    /// A directory in memory, empty at first unless its key has files for it, and gone with the guest's host. There is none on the host. What is in it can be read before that:
    /// [`crate::host::Host::kept_directory`].
    Temporary {
        /// Bytes it may take, overhead for each file included.
        limit_bytes: u64,
    },
}

impl Access {
    /// The word for this access, as in policies: `ro`, `rw`, `cow` or `tmp`.
    #[must_use]
    pub fn flag_word(self) -> &'static str {
        match self {
            Access::ReadOnly => "ro",
            Access::ReadWrite => "rw",
            Access::CopyOnWrite => "cow",
            Access::Temporary { .. } => "tmp",
        }
    }
}

/// Whether a directory key includes files by which one talks to the kernel: those in `/proc`, `/sys` and their like, among them the memory
/// and the environment of the host process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KernelFiles {
    /// They are refused, wherever beneath the directory they are mounted.
    #[default]
    Refused,
    /// They are part of it, as far as this user can open them. A guest can get out of the sandbox through them.
    Granted,
}

/// The key to one directory and everything beneath it, except for what [`KernelFiles`] and [`crate::keys::Keys::hidden`] are about.
///
/// Overlapping keys are allowed; each handle keeps the access of the key that it came from.
/// File systems mounted beneath the directory are part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DirKey {
    /// The directory on the host, or what one is called that was opened already; without meaning for [`Access::Temporary`]. If it is a symbolic link, the link is followed once, when the key is opened.
    pub host: PathBuf,
    /// The name under which the guest finds it, such as `/data` or `.`. Not a path on the host.
    pub guest: String,
    /// What may be done in it.
    pub access: Access,
    /// Whether the kernel's files beneath it are part of it.
    pub kernel_files: KernelFiles,
    /// What is in it before the guest begins, if it is in memory.
    pub(crate) preloaded: Vec<Preloaded>,
    /// The directory itself, where it was opened already.
    pub(crate) opened: Option<OpenedDirectory>,
}

/// A directory that is open. Two are the same if they are one descriptor.
#[derive(Clone, Debug)]
pub(crate) struct OpenedDirectory(pub(crate) Arc<OwnedFd>);

impl PartialEq for OpenedDirectory {
    fn eq(&self, other: &OpenedDirectory) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for OpenedDirectory {}

impl DirKey {
    /// What a directory in memory may take where nothing is said of it: 64 MiB.
    pub const TEMPORARY_BYTES: u64 = 64 << 20;

    /// A key to the host directory `host`, called `guest` by the guest: without slashes and dots at its end, since guests' libraries compare names as text.
    #[must_use]
    pub fn new(host: impl Into<PathBuf>, guest: impl Into<String>, access: Access) -> DirKey {
        let guest = plain_guest_path(guest.into());
        DirKey {
            host: host.into(),
            guest,
            access,
            kernel_files: KernelFiles::Refused,
            preloaded: Vec::new(),
            opened: None,
        }
    }

    /// The same key, to a directory that has been opened: it is what is granted, whatever its path leads to by the time that the key is used, and `host` is what messages call it. For whoever has a say in
    /// which way is gone to a directory, as where others may leave links on it.
    #[must_use]
    pub fn with_opened(mut self, directory: Arc<OwnedFd>) -> DirKey {
        self.opened = Some(OpenedDirectory(directory));
        self
    }

    /// A key to a directory in memory, called `guest` by the guest, that takes `limit_bytes`.
    #[must_use]
    pub fn temporary(guest: impl Into<String>, limit_bytes: u64) -> DirKey {
        let guest = plain_guest_path(guest.into());
        DirKey::new(guest.clone(), guest, Access::Temporary { limit_bytes })
    }

    /// The same key, for a directory in memory, with a file at a path in it before the guest begins; directories that lead there are made. The bytes count towards what the directory takes.
    /// What has become of it is told by [`crate::host::Host::kept_directory`]. Keys with files for any other directory are refused when they are opened.
    ///
    /// ```
    /// # use innkeeper_wasi::keys::DirKey;
    /// let key = DirKey::temporary("/data", DirKey::TEMPORARY_BYTES).with_file("etc/motd", "hello");
    /// ```
    #[must_use]
    pub fn with_file(mut self, path: impl Into<String>, contents: impl Into<Vec<u8>>) -> DirKey {
        let what = PreloadedKind::File(Arc::from(contents.into()));
        self.preloaded.push(Preloaded { path: path.into(), what });
        self
    }

    /// As [`DirKey::with_file`], for many.
    #[must_use]
    pub fn with_files<P: Into<String>, C: Into<Vec<u8>>>(
        self,
        files: impl IntoIterator<Item = (P, C)>,
    ) -> DirKey {
        files.into_iter().fold(self, |key, (path, contents)| key.with_file(path, contents))
    }

    /// The same key, for a directory in memory, with what a tar archive holds in it before the guest begins: regular files, directories and symbolic links.
    ///
    /// # Errors
    /// [`KeyError::Archive`], where the archive is broken or holds something else.
    pub fn with_tar(mut self, archive: &[u8]) -> Result<DirKey, KeyError> {
        self.preloaded.extend(members_of_tar(archive)?);
        Ok(self)
    }

    /// Whether there is no directory of the host's beneath.
    pub(crate) fn is_in_memory(&self) -> bool {
        matches!(self.access, Access::Temporary { .. })
    }

    /// The same key with or without the kernel's files.
    #[must_use]
    pub fn with_kernel_files(self, kernel_files: KernelFiles) -> DirKey {
        DirKey { kernel_files, ..self }
    }
}

/// A name without the slashes and dots at its end, and without `./` before it, which completion of shells writes; those libraries that do not take it off find nothing
/// under such a name. What is inside stays as it is: libraries look for paths that begin with the name, letter by letter.
pub(crate) fn plain_guest_path(mut name: String) -> String {
    while let Some(rest) = name.strip_prefix("./").map(|rest| rest.trim_start_matches('/')) {
        name = if rest.is_empty() { String::from(".") } else { rest.to_owned() };
    }
    while name.len() > 1 && (name.ends_with('/') || name.ends_with("/.")) {
        name.truncate(name.rfind('/').filter(|end| *end > 0).unwrap_or(1));
    }
    name
}

/// What becomes of paths that no directory key covers.
///
/// A guest's library looks for the directory that covers a path, and where there is none fails without asking the host, which then cannot
/// say which key was missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockedRoot {
    /// The library answers; the host never hears of them.
    #[default]
    Absent,
    /// The guest also finds an empty directory `/`, which it can open, look at and list: every path in it is refused as not found, and recorded as
    /// denied. It comes after the directories that were granted, and not at all where one of them is `/` or `.`, or where it would be in the way of what guests
    /// find by its place after them, as they do sockets in WASI 0.1.
    Present,
}

/// The order in which directories are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DirectoryOrder {
    /// That of the host's file system.
    #[default]
    Host,
    /// By name.
    Sorted,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_libraries_compare() {
        for (given, name) in [
            ("/data/", "/data"),
            ("data//", "data"),
            ("./data", "data"),
            (".//./data/x", "data/x"),
            ("./..", ".."),
            ("./.", "."),
            (".data", ".data"),
            ("/g/.", "/g"),
            ("/g/./", "/g"),
            ("/g.", "/g."),
            ("/x//y", "/x//y"),
            (".", "."),
            ("./", "."),
            ("/", "/"),
            ("//", "/"),
            ("/.", "/"),
            ("..", ".."),
            ("../", ".."),
            ("", ""),
        ] {
            assert_eq!(DirKey::new("h", given, Access::ReadOnly).guest, name, "{given}");
            assert_eq!(DirKey::temporary(given, 1).guest, name, "{given}");
        }
    }
}
