//! An open file that is not a directory: regular files, and pipes and devices found in a directory.
//!
//! The system's descriptor never blocks. Where the guest expects to wait, [`Host`] waits for readiness and tries again,
//! so that every wait can be interrupted. Appending is left to the system, except where an offset is given: that is honoured, as POSIX has it and Linux
//! does not.

use std::io::{IoSlice, IoSliceMut};
use std::num::NonZeroU64;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::allowance::Unwritten;
use super::credentials::{Credentials, Rights};
use super::error::Error;
use super::gate::{Operation, Permit, Request};
use super::metadata::FileKind;
use super::open::{OpenOptions, WriteSync};
use super::poll::Direction;
use super::portion::{Moved, PORTION_BYTES, RESIZED_BYTES, portions, total};
use super::tree::{TreeFile, WriteAt};
use super::{Host, sys};

/// An open file.
#[derive(Debug)]
pub struct File {
    pub(super) node: FileNode,
    pub(super) credentials: Credentials,
    kind: FileKind,
    append: AtomicBool,
    /// Held while `append` and the system's own note of it change together.
    changing: Mutex<()>,
    nonblocking: AtomicBool,
    sync: Option<WriteSync>,
}

/// What kind of file it is. Nobody above this layer can tell.
#[derive(Debug)]
pub(super) enum FileNode {
    /// The system's.
    Native(OwnedFd),
    /// One that the host keeps itself.
    Tree(TreeFile),
}

/// Where a position is counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whence {
    /// The beginning.
    Start(u64),
    /// The current position.
    Current(i64),
    /// The end.
    End(i64),
}

/// How a range of a file will be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Nothing special.
    Normal,
    /// From lower to higher offsets.
    Sequential,
    /// In no order.
    Random,
    /// Soon.
    WillNeed,
    /// Not soon.
    DontNeed,
    /// Once.
    NoReuse,
}

/// The flags of an open file that can change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileFlags {
    /// Writes go to the end.
    pub append: bool,
    /// Reads and writes fail with [`Error::Again`] instead of waiting.
    pub nonblocking: bool,
}

impl File {
    pub(super) fn new(
        node: FileNode,
        credentials: Credentials,
        kind: FileKind,
        options: &OpenOptions,
    ) -> File {
        File {
            node,
            credentials,
            kind,
            append: AtomicBool::new(options.append),
            changing: Mutex::default(),
            nonblocking: AtomicBool::new(options.nonblocking),
            sync: options.sync,
        }
    }

    /// The system's descriptor, if it is the system's file.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.node {
            FileNode::Native(fd) => Some(fd.as_fd()),
            FileNode::Tree(_) => None,
        }
    }

    /// Its rights and origin.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> FileKind {
        self.kind
    }

    /// Its flags.
    #[must_use]
    pub fn flags(&self) -> FileFlags {
        FileFlags {
            append: self.append.load(Ordering::Relaxed),
            nonblocking: self.nonblocking.load(Ordering::Relaxed),
        }
    }

    /// Whether it is a pipe or a device, which may have to be waited for.
    #[must_use]
    pub fn may_wait(&self) -> bool {
        self.waited_for().is_some()
    }

    /// The descriptor of a pipe or a device, which may have to be waited for. Regular files never are.
    fn waited_for(&self) -> Option<BorrowedFd<'_>> {
        self.descriptor().filter(|_| self.kind != FileKind::Regular)
    }

    /// What writes wait for.
    #[must_use]
    pub fn sync(&self) -> Option<WriteSync> {
        self.sync
    }
}

impl Host {
    /// Reads at the position and moves it. Zero bytes at the end.
    ///
    /// # Errors
    /// [`Error::NotOpenForThis`], [`Error::Again`], [`Error::Interrupted`], [`Error::Io`].
    pub async fn read(&self, file: &File, buffers: &mut [IoSliceMut<'_>]) -> Result<usize, Error> {
        let Some(fd) = file.waited_for() else { return self.read_regular(file, buffers) };
        let permit = self.decide_for(Operation::Read, Rights::READ, file)?;
        match self.read_pipe(&permit, fd, buffers) {
            Err(Error::Again) if !file.flags().nonblocking => {
                Box::pin(self.read_when_ready(&permit, (file, fd), buffers)).await
            }
            result => result,
        }
    }

    /// [`Host::read`] of what there is now.
    ///
    /// # Errors
    /// As there; [`Error::Again`] where there is nothing yet, whatever the file's operations do otherwise.
    pub fn read_now(&self, file: &File, buffers: &mut [IoSliceMut<'_>]) -> Result<usize, Error> {
        let Some(fd) = file.waited_for() else { return self.read_regular(file, buffers) };
        let permit = self.decide_for(Operation::Read, Rights::READ, file)?;
        self.read_pipe(&permit, fd, buffers)
    }

    /// [`Host::read`] of a file that never has to be waited for.
    ///
    /// # Errors
    /// As there.
    pub fn read_regular(&self, file: &File, buffers: &mut [IoSliceMut<'_>]) -> Result<usize, Error> {
        let permit = self.decide_for(Operation::Read, Rights::READ, file)?;
        self.read_in_portions(buffers, |buffers, _| match &file.node {
            FileNode::Native(fd) => sys::read(&permit, fd.as_fd(), buffers),
            FileNode::Tree(tree) => tree.read(self.visit(&permit), buffers, None),
        })
    }

    /// Reads at `offset`; the position stays. It never waits: what has positions is always ready.
    ///
    /// # Errors
    /// As [`Host::read`], and [`Error::Seek`] for a pipe, [`Error::Invalid`] for an offset beyond the system's range.
    pub fn read_at(&self, file: &File, buffers: &mut [IoSliceMut<'_>], offset: u64) -> Result<usize, Error> {
        let permit = self.decide_for(Operation::Read, Rights::READ, file)?;
        self.read_in_portions(buffers, |buffers, before| {
            let offset = offset.saturating_add(before);
            match &file.node {
                FileNode::Native(fd) => sys::read_at(&permit, fd.as_fd(), buffers, offset),
                FileNode::Tree(tree) => tree.read(self.visit(&permit), buffers, Some(offset)),
            }
        })
    }

    /// Writes at the position, or the end when appending, and moves it. May write less than all.
    ///
    /// # Errors
    /// [`Error::Denied`], [`Error::NotOpenForThis`], [`Error::NoSpace`], [`Error::FileTooLarge`], [`Error::Pipe`],
    /// [`Error::Again`], [`Error::Interrupted`], [`Error::Io`].
    pub async fn write(&self, file: &File, buffers: &[IoSlice<'_>]) -> Result<usize, Error> {
        let Some(fd) = file.waited_for() else { return self.write_regular(file, buffers) };
        let permit = self.decide_for(Operation::Write, Rights::WRITE, file)?;
        let mut allowed = self.take_allowance(buffers)?;
        let (buffers, unwritten) = allowed.parts();
        let first = (total(buffers) <= PORTION_BYTES).then(|| sys::write(&permit, fd, buffers));
        let result = match first {
            Some(result) if result != Err(Error::Again) || file.flags().nonblocking => {
                unwritten.settle(&result);
                result
            }
            _ => Box::pin(self.write_when_ready(&permit, (file, fd), (buffers, unwritten))).await,
        };
        self.note_no_space(&file.credentials.grant, &result);
        result
    }

    /// [`Host::write`] of as much as there is room for now, a portion at most.
    ///
    /// # Errors
    /// As there; [`Error::Again`] where there is no room, whatever the file's operations do otherwise.
    pub fn write_now(&self, file: &File, bytes: &[u8]) -> Result<usize, Error> {
        let bytes = &[IoSlice::new(bytes.get(..PORTION_BYTES).unwrap_or(bytes))];
        let Some(fd) = file.waited_for() else { return self.write_regular(file, bytes) };
        let permit = self.decide_for(Operation::Write, Rights::WRITE, file)?;
        let mut allowed = self.take_allowance(bytes)?;
        let (buffers, unwritten) = allowed.parts();
        let result = sys::write(&permit, fd, buffers);
        unwritten.settle(&result);
        self.note_no_space(&file.credentials.grant, &result);
        result
    }

    /// [`Host::write`] to a file that never has to be waited for.
    ///
    /// # Errors
    /// As there.
    pub fn write_regular(&self, file: &File, buffers: &[IoSlice<'_>]) -> Result<usize, Error> {
        let permit = self.decide_for(Operation::Write, Rights::WRITE, file)?;
        let gap = || self.gap(&permit, file, None);
        let portion = |buffers: &[IoSlice<'_>], _| match &file.node {
            FileNode::Native(fd) => sys::write(&permit, fd.as_fd(), buffers),
            FileNode::Tree(tree) => {
                let at = if file.flags().append { WriteAt::End } else { WriteAt::Position };
                tree.write(self.visit(&permit), buffers, at)
            }
        };
        let result =
            self.within_allowance_after_gap(gap, buffers, |buffers| self.write_in_portions(buffers, portion));
        self.note_no_space(&file.credentials.grant, &result);
        result
    }

    /// Writes at `offset`, also where [`Host::write`] appends; the position stays. As [`Host::read_at`], it never waits.
    ///
    /// # Errors
    /// As [`Host::write`], and [`Error::Seek`] for a pipe, [`Error::Invalid`] for an offset beyond the system's range.
    pub fn write_at(&self, file: &File, buffers: &[IoSlice<'_>], offset: u64) -> Result<usize, Error> {
        let permit = self.decide_for(Operation::Write, Rights::WRITE, file)?;
        let gap = || self.gap(&permit, file, Some(offset));
        let portion = |buffers: &[IoSlice<'_>], before: u64| {
            let offset = offset.saturating_add(before);
            match &file.node {
                FileNode::Native(fd) if file.flags().append => {
                    sys::write_at_not_appending(&permit, fd.as_fd(), buffers, offset)
                }
                FileNode::Native(fd) => sys::write_at(&permit, fd.as_fd(), buffers, offset),
                FileNode::Tree(tree) => tree.write(self.visit(&permit), buffers, WriteAt::Offset(offset)),
            }
        };
        let result =
            self.within_allowance_after_gap(gap, buffers, |buffers| self.write_in_portions(buffers, portion));
        self.note_no_space(&file.credentials.grant, &result);
        result
    }

    /// Writes at the end of a file that never has to be waited for, wherever that is by then, as if the file had been opened for appending.
    ///
    /// # Errors
    /// As [`Host::write`].
    pub fn append(&self, file: &File, buffers: &[IoSlice<'_>]) -> Result<usize, Error> {
        let permit = self.decide_for(Operation::Write, Rights::WRITE, file)?;
        let portion = |buffers: &[IoSlice<'_>], _| match &file.node {
            FileNode::Native(fd) => sys::write_appending(&permit, fd.as_fd(), buffers),
            FileNode::Tree(tree) => tree.write(self.visit(&permit), buffers, WriteAt::End),
        };
        let result = self.within_allowance(buffers, |buffers| self.write_in_portions(buffers, portion));
        self.note_no_space(&file.credentials.grant, &result);
        result
    }

    /// Moves the position and returns it, from the beginning.
    ///
    /// # Errors
    /// [`Error::Invalid`] before the beginning or beyond the system's range, [`Error::Seek`] for a pipe.
    pub fn seek(&self, file: &File, whence: Whence) -> Result<u64, Error> {
        let permit = self.decide_for(Operation::Seek, Rights::NONE, file)?;
        let _alone = self.alone_with_sizes();
        match &file.node {
            FileNode::Native(fd) => sys::seek(&permit, fd.as_fd(), whence),
            FileNode::Tree(tree) => tree.seek(whence),
        }
    }

    /// Waits until data, and if `what` says so metadata, is on the medium.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::NoSpace`], [`Error::Invalid`] where the file cannot be flushed.
    pub fn flush(&self, file: &File, what: WriteSync) -> Result<(), Error> {
        let permit = self.decide_for(Operation::Flush, Rights::NONE, file)?;
        match (&file.node, what) {
            (FileNode::Native(fd), WriteSync::Data) => sys::flush_data(&permit, fd.as_fd()),
            (FileNode::Native(fd), WriteSync::File) => sys::flush_all(&permit, fd.as_fd()),
            (FileNode::Tree(_), _) => Ok(()),
        }
    }

    /// Makes the file this long, cutting or filling with zeros.
    ///
    /// # Errors
    /// [`Error::Denied`]; [`Error::Invalid`] if it is not open for writing or not a regular file; [`Error::FileTooLarge`].
    pub fn set_size(&self, file: &File, size_bytes: u64) -> Result<(), Error> {
        let permit =
            self.decide_for(Operation::SetSize, Rights::WRITE, file).map_err(|error| match error {
                Error::NotOpenForThis => Error::Invalid,
                other => other,
            })?;
        let growth = || Ok(size_bytes.saturating_sub(self.size_of(&permit, file)?));
        let result = self.growing(growth, || match &file.node {
            FileNode::Native(fd) => self.set_size_in_portions(&permit, fd.as_fd(), size_bytes),
            FileNode::Tree(tree) => tree.set_size(self.visit(&permit), size_bytes),
        });
        self.note_no_space(&file.credentials.grant, &result);
        result
    }

    /// Makes sure that writing into a range will not lack space, growing the file if it is shorter.
    ///
    /// # Errors
    /// [`Error::Denied`], [`Error::NotOpenForThis`], [`Error::Invalid`] for an empty range, [`Error::NoSpace`],
    /// [`Error::NotSupported`] by the file system.
    pub fn allocate(&self, file: &File, offset: u64, length: u64) -> Result<(), Error> {
        let permit = self.decide_for(Operation::Allocate, Rights::WRITE, file)?;
        if length == 0 || i64::try_from(offset).is_err() || i64::try_from(length).is_err() {
            return Err(Error::Invalid);
        }
        // Also within the file it may take space that was not taken before.
        self.growing(
            || Ok(length.saturating_add(offset.saturating_sub(self.size_of(&permit, file)?))),
            || match &file.node {
                FileNode::Native(fd) => self.allocate_in_portions(&permit, fd.as_fd(), offset, length),
                FileNode::Tree(tree) => tree.allocate(self.visit(&permit), offset, length),
            },
        )
    }

    /// Says how a range will be used; a length of zero means to the end. Changes nothing but speed.
    ///
    /// # Errors
    /// [`Error::Invalid`] beyond the system's range, [`Error::Seek`] for a pipe.
    pub fn advise(&self, file: &File, range: (u64, u64), advice: Advice) -> Result<(), Error> {
        let permit = self.decide_for(Operation::Advise, Rights::NONE, file)?;
        if i64::try_from(range.0).is_err() || i64::try_from(range.1).is_err() {
            return Err(Error::Invalid);
        }
        match &file.node {
            FileNode::Native(fd) => {
                let length = match advice {
                    // The system does these at once, for as long as that takes. Doing less than is advised is no mistake.
                    Advice::WillNeed | Advice::DontNeed if range.1 == 0 => RESIZED_BYTES,
                    Advice::WillNeed | Advice::DontNeed => range.1.min(RESIZED_BYTES),
                    _ => range.1,
                };
                sys::advise(&permit, fd.as_fd(), (range.0, NonZeroU64::new(length)), advice)
            }
            FileNode::Tree(_) => Ok(()),
        }
    }

    /// Changes whether writes go to the end and whether operations wait.
    ///
    /// # Errors
    /// [`Error::Denied`] for appending through a handle whose key does not allow writing.
    pub fn set_flags(&self, file: &File, flags: FileFlags) -> Result<(), Error> {
        let FileFlags { append, nonblocking } = flags;
        let needs = if append && !file.flags().append { Rights::CHANGE } else { Rights::NONE };
        let permit = self.decide_for(Operation::SetFlags, needs, file)?;
        let _alone = self.alone_with_sizes();
        let _changing = file.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if append != file.flags().append {
            let wish = if append { sys::Append::Yes } else { sys::Append::No };
            if let FileNode::Native(fd) = &file.node {
                sys::set_append(&permit, fd.as_fd(), wish)?;
            }
            file.append.store(append, Ordering::Relaxed);
        }
        file.nonblocking.store(nonblocking, Ordering::Relaxed);
        Ok(())
    }

    /// Bytes between the end of a file and where a write begins: at `offset`, or at the position.
    fn gap(&self, permit: &Permit, file: &File, offset: Option<u64>) -> Result<u64, Error> {
        if file.kind != FileKind::Regular || offset.is_none() && file.flags().append {
            return Ok(0);
        }
        let start = match (offset, &file.node) {
            (Some(offset), _) => offset,
            (None, FileNode::Native(fd)) => sys::seek(permit, fd.as_fd(), Whence::Current(0))?,
            (None, FileNode::Tree(tree)) => tree.seek(Whence::Current(0))?,
        };
        Ok(start.saturating_sub(self.size_of(permit, file)?))
    }

    fn size_of(&self, permit: &Permit, file: &File) -> Result<u64, Error> {
        match &file.node {
            FileNode::Native(fd) => Ok(sys::stat(permit, fd.as_fd())?.size_bytes),
            FileNode::Tree(tree) => Ok(tree.stat(self.visit(permit))?.size_bytes),
        }
    }

    fn decide_for(&self, operation: Operation, needs: Rights, file: &File) -> Result<Permit, Error> {
        self.gate.decide(&Request::handle(operation, needs, &file.credentials))
    }

    /// Reads from a pipe or a device what there is, at most a portion; [`Error::Again`] where that is nothing.
    fn read_pipe(
        &self,
        permit: &Permit,
        fd: BorrowedFd<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Result<usize, Error> {
        match self.first_portion(buffers)? {
            Some(portion) => sys::read(permit, fd, &mut [portion]),
            None => sys::read(permit, fd, buffers),
        }
    }

    /// Reads from a pipe or a device as soon as there is something, unless the file is non-blocking.
    async fn read_when_ready(
        &self,
        permit: &Permit,
        (file, fd): (&File, BorrowedFd<'_>),
        buffers: &mut [IoSliceMut<'_>],
    ) -> Result<usize, Error> {
        let read = || self.read_pipe(permit, fd, buffers);
        self.when_ready(permit, (Some(fd), Direction::Read), || file.flags().nonblocking, read).await
    }

    /// Writes to a pipe or a device, each portion as soon as there is room for some of it, unless the file is non-blocking.
    async fn write_when_ready(
        &self,
        permit: &Permit,
        (file, fd): (&File, BorrowedFd<'_>),
        (buffers, unwritten): (&[IoSlice<'_>], &mut Unwritten<'_>),
    ) -> Result<usize, Error> {
        let mut moved = Moved::default();
        for portion in portions(buffers) {
            let write = || {
                let written = self.heed_before(&portion).and_then(|()| sys::write(permit, fd, &portion));
                unwritten.settle(&written);
                written
            };
            let is_nonblocking = || file.flags().nonblocking;
            let done = self.when_ready(permit, (Some(fd), Direction::Write), is_nonblocking, write).await;
            if moved.add(total(&portion), done)?.is_break() {
                break;
            }
        }
        Ok(moved.bytes)
    }
}
