//! Fills a directory in memory before the guest begins.
//!
//! Must stay true: what is put there is charged as what a guest puts there, and lies inside: a path that leads out is refused, as a guest's is.

use super::{TreeDirectory, TreeOpened, Visit, WriteAt};
use crate::host::error::Error;
use crate::host::open::{DataAccess, LastLink, OpenOptions};
use crate::host::resolve::GuestPath;
use crate::keys::{Preloaded, PreloadedKind};

impl TreeDirectory {
    /// Makes something, with the directories that lead to it.
    pub(in crate::host) fn preload(&self, visit: Visit<'_>, member: &Preloaded) -> Result<(), Error> {
        let path = member.path.trim_start_matches("./").trim_matches('/');
        if path.is_empty() || path == "." {
            return Ok(());
        }
        for (end, _) in path.match_indices('/') {
            self.make_directory(visit, &path[..end])?;
        }
        match &member.what {
            PreloadedKind::Directory => self.make_directory(visit, path),
            PreloadedKind::Link(target) => {
                self.symlink(visit, target.as_bytes(), &GuestPath::parse(path.as_bytes())?)
            }
            PreloadedKind::File(contents) => self.make_file(visit, path, contents),
        }
    }

    fn make_directory(&self, visit: Visit<'_>, path: &str) -> Result<(), Error> {
        match self.create_directory(visit, &GuestPath::parse(path.as_bytes())?) {
            Ok(()) | Err(Error::Exists) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn make_file(&self, visit: Visit<'_>, path: &str, contents: &[u8]) -> Result<(), Error> {
        let options = OpenOptions {
            access: DataAccess::Write,
            create: true,
            exclusive: false,
            // A later member of the same name takes the place of an earlier one.
            truncate: true,
            directory: false,
            append: false,
            nonblocking: false,
            sync: None,
            last_link: LastLink::Keep,
        };
        let TreeOpened::File(file) = self.open(visit, &GuestPath::parse(path.as_bytes())?, &options)? else {
            return Err(Error::IsDirectory);
        };
        let written = file.write(visit, &[std::io::IoSlice::new(contents)], WriteAt::Position)?;
        if written < contents.len() { Err(Error::NoSpace) } else { Ok(()) }
    }
}
