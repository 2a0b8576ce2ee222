//! Opening a path.
//!
//! Everything is opened without blocking, and reading or writing waits in the host's own way, which can be interrupted. So does opening a named
//! pipe for reading only or writing only, until there is somebody at its other end; a guest that does not want to wait gets a reader at once, and
//! [`Error::NoSuchAddress`] for a writer. A terminal opened so never becomes the host process's controlling one.

use std::os::fd::AsFd;
use std::time::Duration;

use super::credentials::Rights;
use super::directory::{Directory, DirectoryNode};
use super::error::Error;
use super::file::{File, FileNode};
use super::gate::{Operation, Permit, Request};
use super::metadata::FileKind;
use super::poll::Direction;
use super::reach::{NativeDirectory, Reached};
use super::resolve::{GuestPath, LastPart};
use super::tree::{TreeDirectory, TreeOpened};
use super::{Host, sys};

/// Whether a symbolic link in the last place of a path is followed. A trailing slash follows it in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LastLink {
    /// The link itself is meant.
    #[default]
    Keep,
    /// What it leads to is meant.
    Follow,
}

/// What an opened file's data is wanted for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DataAccess {
    /// Nothing; metadata only. (The system opens it for reading all the same.)
    #[default]
    Neither,
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Both.
    ReadWrite,
}

/// What every write waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteSync {
    /// That the data is on the medium.
    Data,
    /// That data and metadata are.
    File,
}

/// How to open a path.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenOptions {
    /// What the data is wanted for.
    pub access: DataAccess,
    /// Create a file if there is nothing.
    pub create: bool,
    /// With `create`: fail if there is something.
    pub exclusive: bool,
    /// Make an existing file empty.
    pub truncate: bool,
    /// Fail unless it is a directory.
    pub directory: bool,
    /// Every write goes to the end, except one at a given offset.
    pub append: bool,
    /// Reading and writing fail with [`Error::Again`] instead of waiting.
    pub nonblocking: bool,
    /// Writes wait for the medium.
    pub sync: Option<WriteSync>,
    /// Whether a link in the last place is followed.
    pub last_link: LastLink,
}

impl OpenOptions {
    /// The rights that opening in this way takes.
    fn needs(&self) -> Rights {
        let mut needs = match self.access {
            DataAccess::Neither | DataAccess::Read => Rights::READ,
            DataAccess::Write => Rights::WRITE,
            DataAccess::ReadWrite => Rights::READ | Rights::WRITE,
        };
        if self.truncate || self.append {
            needs = needs | Rights::WRITE;
        }
        if self.create {
            needs = needs | Rights::CHANGE;
        }
        needs
    }

    /// The rights that a file opened in this way has, if its directory has them.
    fn gives(&self) -> Rights {
        let data = match self.access {
            DataAccess::Neither => Rights::NONE,
            DataAccess::Read => Rights::READ,
            DataAccess::Write => Rights::WRITE,
            DataAccess::ReadWrite => Rights::READ | Rights::WRITE,
        };
        data | Rights::CHANGE
    }
}

/// What a path turned out to be.
#[derive(Debug)]
pub enum Opened {
    /// A directory, with the rights of the one it was reached through.
    Directory(Directory),
    /// Anything else.
    File(File),
}

impl Host {
    /// Opens `path` in `directory`.
    ///
    /// # Errors
    /// [`Error::Denied`] if the directory's rights do not allow it, [`Error::IsDirectory`] for writing to a directory,
    /// [`Error::NotDirectory`], [`Error::Exists`], [`Error::Loop`] for a link that is not to be followed,
    /// [`Error::Invalid`] for creating a directory, and those of every path operation.
    pub async fn open_at(
        &self,
        directory: &Directory,
        path: &[u8],
        options: &OpenOptions,
    ) -> Result<Opened, Error> {
        let needs = options.needs();
        let operation = if Rights::READ.contains(needs) { Operation::OpenRead } else { Operation::OpenWrite };
        let request = Request::path(operation, needs, directory, path);
        let permit = self.gate.decide(&request)?;
        let result = match (GuestPath::parse(path), &directory.node) {
            (Ok(parsed), DirectoryNode::Native(base)) => {
                self.open_native(&permit, base, &parsed, options).await
            }
            (Ok(parsed), DirectoryNode::Tree(tree)) => self.open_in_tree(&permit, tree, &parsed, options),
            (Err(error), _) => Err(error),
        };
        match self.conclude(&permit, &request, directory, result)? {
            Found::Directory(node) => {
                let credentials = directory.credentials.derive(path, Rights::ALL);
                Ok(Opened::Directory(Directory { node, credentials }))
            }
            Found::File(node, kind) => {
                let credentials = directory.credentials.derive(path, options.gives());
                Ok(Opened::File(File::new(node, credentials, kind, options)))
            }
        }
    }

    async fn open_native(
        &self,
        permit: &Permit,
        base: &NativeDirectory,
        path: &GuestPath<'_>,
        options: &OpenOptions,
    ) -> Result<Found, Error> {
        let mut options = *options;
        if options.create && options.directory {
            return Err(Error::Invalid);
        }
        if path.must_be_directory() {
            if options.create {
                // Whether the path may be looked at comes first.
                self.searching().place(permit, base, path)?;
                let is_name = path.last() == LastPart::Name;
                return Err(if options.exclusive && !is_name { Error::Exists } else { Error::IsDirectory });
            }
            options.directory = true;
        }
        // What turns out to be out of reach must not have been emptied by then.
        let empties = std::mem::take(&mut options.truncate);
        let wanted = options.access;
        let writes = matches!(wanted, DataAccess::Write | DataAccess::ReadWrite);
        if empties && !writes {
            // Emptying takes the permission to write. The handle's rights do not get more by it.
            options.access = DataAccess::ReadWrite;
        }
        let mut reached = match self.searching().open(permit, base, path, &options) {
            Err(Error::NoSuchAddress) if options.access == DataAccess::Write && !options.nonblocking => {
                Box::pin(self.open_pipe_with_reader(permit, base, path, &options)).await?
            }
            reached => reached?,
        };
        let mut found = sys::stat(permit, reached.fd.as_fd())?;
        base.admit_open(permit, reached.fd.as_fd(), &found)?;
        if options.access != wanted && found.kind != FileKind::Regular {
            // There is nothing to empty; and a pipe that is open for writing has no end.
            options = OpenOptions { access: wanted, create: false, exclusive: false, ..options };
            reached = self.searching().open(permit, base, path, &options)?;
            found = sys::stat(permit, reached.fd.as_fd())?;
            base.admit_open(permit, reached.fd.as_fd(), &found)?;
        }
        if found.kind == FileKind::Fifo && options.access == DataAccess::Read && !options.nonblocking {
            Box::pin(self.wait_for_writer(permit, &reached)).await?;
        }
        if empties && found.kind == FileKind::Regular {
            let _alone = self.alone_with_sizes();
            self.set_size_in_portions(permit, reached.fd.as_fd(), 0)?;
        }
        match found.kind {
            FileKind::Directory => {
                Ok(Found::Directory(DirectoryNode::Native(base.derive(permit, reached, &found))))
            }
            kind => Ok(Found::File(FileNode::Native(reached.fd), kind)),
        }
    }

    /// Waits until somebody has opened the other end of a named pipe that was opened for reading, or has come and gone.
    async fn wait_for_writer(&self, permit: &Permit, reached: &Reached) -> Result<(), Error> {
        let mut pause = FIRST_PAUSE;
        while !sys::has_writer(permit, reached.fd.as_fd())? {
            if self.wait_for_descriptor_until(permit, (reached.fd.as_fd(), Direction::Read), pause).await? {
                return Ok(());
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Ok(())
    }

    /// Opens a named pipe for writing, once somebody has opened it for reading.
    async fn open_pipe_with_reader(
        &self,
        permit: &Permit,
        base: &NativeDirectory,
        path: &GuestPath<'_>,
        options: &OpenOptions,
    ) -> Result<Reached, Error> {
        if self.stat_native(permit, base, path, options.last_link)?.kind != FileKind::Fifo {
            return Err(Error::NoSuchAddress);
        }
        let mut pause = FIRST_PAUSE;
        loop {
            match self.searching().open(permit, base, path, options) {
                Err(Error::NoSuchAddress) => self.pause(permit, pause).await?,
                reached => return reached,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn open_in_tree(
        &self,
        permit: &Permit,
        base: &TreeDirectory,
        path: &GuestPath<'_>,
        options: &OpenOptions,
    ) -> Result<Found, Error> {
        if options.create && options.directory {
            return Err(Error::Invalid);
        }
        let _alone = options.truncate.then(|| self.alone_with_sizes());
        Ok(match base.open(self.visit(permit), path, options)? {
            TreeOpened::Directory(directory) => Found::Directory(DirectoryNode::Tree(directory)),
            TreeOpened::File(file) => Found::File(FileNode::Tree(file), FileKind::Regular),
        })
    }
}

/// Between two looks at whether a named pipe has an other end: the system tells nobody who cannot wait in opening it, where nothing interrupts.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(16);

/// What was found, before it gets rights.
enum Found {
    Directory(DirectoryNode),
    File(FileNode, FileKind),
}
