//! The directories that a host keeps itself, in memory or over one of the host's, with their files, for the owner of the keys.
//!
//! Must stay true: what is read lies in the tree, as for the guest, whatever links lead to it; nothing is charged to the guest, and reading holds no more than whoever reads has allowed.

use std::io::Write;

use super::archive::ArchiveError;
use super::changes::{Overlay, Stop};
use super::node::ROOT;
use super::walk::Last;
use crate::host::error::Error;
use crate::host::gate::Permit;
use crate::host::metadata::FileKind;
use crate::host::resolve::GuestPath;

/// Bytes read at once.
const PORTION_BYTES: usize = 64 * 1024;

/// A directory in memory ([`crate::keys::Access::Temporary`]) or a copy-on-write one, for the owner of the keys: before its guest begins, between its calls, and when it has ended.
///
/// What is in memory alone is taken for a change of nothing: all of it is new.
#[derive(Clone, Debug)]
pub struct KeptDirectory(Overlay);

impl KeptDirectory {
    pub(in crate::host) fn new(tree: Overlay) -> KeptDirectory {
        KeptDirectory(tree)
    }

    /// The guest's name for it.
    #[must_use]
    pub fn guest_path(&self) -> &str {
        self.0.guest_path()
    }

    /// The paths of regular files in it, sorted: all that there are in a directory in memory, those that it had before the guest began among them; and what the guest has made or changed in a
    /// copy-on-write one.
    ///
    /// # Errors
    /// What reading the host directory reports.
    pub fn files(&self) -> Result<Vec<Vec<u8>>, Error> {
        let mut files = Vec::new();
        self.0.visit_changes(&|| false, &mut |change| {
            // What was removed cannot be read, and has been replaced where its name is here again.
            if change.file_kind == FileKind::Regular && change.kind != super::ChangeKind::Removed {
                files.push(change.path.clone());
            }
        })?;
        Ok(files)
    }

    /// What is in a regular file, as the guest sees it now: `path` is one in the directory, without `/` at its front, and links are followed where they stay inside.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::IsDirectory`], and [`Error::NotSupported`] for anything else that is no file; [`Error::Escape`] for a path that leads out;
    /// [`Error::FileTooLarge`] for a file of more than `most_bytes`, which guests make at no cost, since holes take no room; what reading the host directory reports.
    pub fn read_file(&self, path: impl AsRef<[u8]>, most_bytes: u64) -> Result<Vec<u8>, Error> {
        let permit = Permit::of_the_keys_owner();
        let visit = self.0.visit(&permit);
        let path = GuestPath::parse(path.as_ref())?;
        let mut state = self.0.tree.lock();
        let spot = state.walk(visit, ROOT, &path, Last::Follow)?;
        let node = spot.existing()?;
        match state.node(node)?.file_kind() {
            FileKind::Regular if spot.must_be_directory => return Err(Error::NotDirectory),
            FileKind::Regular => {}
            FileKind::Directory => return Err(Error::IsDirectory),
            _ => return Err(Error::NotSupported),
        }
        state.load_metadata(visit, node)?;
        let size_bytes = state.metadata(node)?.size_bytes;
        if size_bytes > most_bytes {
            return Err(Error::FileTooLarge);
        }
        let size = usize::try_from(size_bytes).map_err(|_| Error::FileTooLarge)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size).map_err(|_| Error::NoMemory)?;
        while bytes.len() < size {
            let done = bytes.len();
            bytes.resize(size.min(done + PORTION_BYTES), 0);
            let count = state.read(node, &mut bytes[done..], done as u64, visit)?;
            bytes.truncate(done + count);
            if count == 0 {
                // What is beneath has been cut meanwhile.
                break;
            }
        }
        Ok(bytes)
    }

    /// Writes what is in it as a tar archive, or, of a copy-on-write one, the changes, as [`Overlay::write_tar`] does; gives the paths that were left out, of sockets.
    ///
    /// # Errors
    /// As there.
    pub fn write_tar(&self, to: &mut dyn Write, stop: &Stop<'_>) -> Result<Vec<Vec<u8>>, ArchiveError> {
        self.0.write_tar(to, stop)
    }
}
