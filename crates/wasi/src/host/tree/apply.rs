//! Carrying a tree's changes out in the host directory beneath it, for the owner of the keys, once the guest has ended.
//!
//! Every step is one name in one directory that was resolved beneath the granted one, as for a guest. Files that are new in their place but
//! take bytes from beneath are copied aside first, since what they take them from may be removed. Changed files are changed in
//! place, piece by piece, and keep their owner, permissions and other names.

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::changes::{ChangeKind, Overlay, Step, steps};
use super::node::{NodeId, NodeKind, State};
use super::{Change, Visit};
use crate::host::error::Error;
use crate::host::gate::Permit;
use crate::host::metadata::FileKind;
use crate::host::open::{DataAccess, OpenOptions};
use crate::host::resolve::{GuestPath, Place, Resolve};
use crate::host::sys;
use crate::host::times::{SetTime, SetTimes};

/// Bytes copied at once.
const COPY_BYTES: usize = 64 * 1024;

/// A change that could not be carried out; those before it were.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", String::from_utf8_lossy(.change.path.as_slice()))]
pub struct ApplyError {
    /// The change.
    pub change: Change,
    /// Why not.
    pub reason: Error,
}

impl Overlay {
    /// Makes the host directory what the guest saw. To be called once: afterwards the tree no longer describes a difference.
    ///
    /// # Errors
    /// The first change that failed; changes before it, in the order of the list, have been made.
    pub fn apply(&self) -> Result<(), ApplyError> {
        let permit = Permit::of_the_keys_owner();
        let visit = self.visit(&permit);
        let mut state = self.tree.lock();
        let top = Change { kind: ChangeKind::Modified, path: Vec::new(), file_kind: FileKind::Directory };
        let failed = |reason| ApplyError { change: top.clone(), reason };
        let steps = steps(&mut state, visit).map_err(failed)?;
        let Some(lower) = state.lower.as_ref() else { return Ok(()) };
        let root = sys::duplicate(&permit, lower.as_fd()).map_err(failed)?;
        let mut apply = Apply { root, visit, resolve: self.resolve, state: &mut state };
        let result = match apply.remove_staging() {
            Ok(()) => apply.all(&steps),
            Err(reason) => Err(ApplyError { change: top, reason }),
        };
        // Left there only if the process ends on the way.
        let tidied = apply.remove_staging();
        match (result, steps.first()) {
            (Ok(()), Some(step)) => {
                tidied.map_err(|reason| ApplyError { change: step.change.clone(), reason })
            }
            (result, _) => result,
        }
    }
}

struct Apply<'a> {
    root: OwnedFd,
    visit: Visit<'a>,
    resolve: Resolve,
    state: &'a mut State,
}

impl Apply<'_> {
    fn all(&mut self, steps: &[Step]) -> Result<(), ApplyError> {
        let failed = |step: &Step| {
            let change = step.change.clone();
            move |reason| ApplyError { change, reason }
        };
        let mut written: Vec<(NodeId, Vec<u8>)> = Vec::new();
        for step in steps {
            self.stage(step).map_err(failed(step))?;
        }
        for step in steps.iter().filter(|step| step.replaces) {
            self.remove(&step.change.path).map_err(failed(step))?;
        }
        for step in steps {
            let result = match (step.change.kind, step.node) {
                (ChangeKind::Added, Some(node)) => self.add(node, &step.change.path, &mut written),
                (ChangeKind::Modified, Some(node)) => self.modify(node, &step.change.path),
                _ => Ok(()),
            };
            result.map_err(failed(step))?;
        }
        // Last, since writing in a directory changes its times.
        for step in steps.iter().rev() {
            if let Some(node) = step.node {
                self.set_times(node, &step.change.path).map_err(failed(step))?;
            }
        }
        Ok(())
    }

    /// Copies aside the content of a file that was moved or linked away from its place beneath.
    fn stage(&mut self, step: &Step) -> Result<(), Error> {
        let Some(node) = step.node.filter(|_| step.change.kind == ChangeKind::Added) else {
            return Ok(());
        };
        let needs_lower =
            step.change.file_kind == FileKind::Regular && self.state.node(node)?.origin.is_some();
        if !needs_lower {
            return Ok(());
        }
        let (staging, name) = (staging_name(), node.0.to_string().into_bytes());
        match self.at(&staging, sys::create_directory) {
            Ok(()) | Err(Error::Exists) => {}
            Err(error) => return Err(error),
        }
        let path = [&staging[..], b"/", &name].concat();
        match self.create(&path) {
            Ok(file) => self.copy(node, file.as_fd()),
            // Another name of the same file.
            Err(Error::Exists) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn add(&self, node: NodeId, path: &[u8], written: &mut Vec<(NodeId, Vec<u8>)>) -> Result<(), Error> {
        match &self.state.node(node)?.kind {
            NodeKind::Directory(_) => self.at(path, sys::create_directory),
            NodeKind::Link(target) => self.at(path, |permit, place| sys::symlink(permit, target, place)),
            NodeKind::File(_) => {
                if let Some((_, first)) = written.iter().find(|(known, _)| *known == node) {
                    return self.at_two(first, path, sys::link);
                }
                written.push((node, path.to_vec()));
                if self.state.node(node)?.origin.is_some() {
                    let staged = [&staging_name()[..], b"/", node.0.to_string().as_bytes()].concat();
                    return self.at_two(&staged, path, sys::rename);
                }
                let file = self.create(path)?;
                self.copy_own(node, file.as_fd())
            }
            NodeKind::LowerLink | NodeKind::Other(_) => Err(Error::NotSupported),
        }
    }

    /// Changes a file in place.
    fn modify(&self, node: NodeId, path: &[u8]) -> Result<(), Error> {
        let NodeKind::File(content) = &self.state.node(node)?.kind else {
            return Ok(());
        };
        if !content.is_changed() {
            return Ok(());
        }
        let options = OpenOptions { access: DataAccess::Write, ..OpenOptions::default() };
        let file = self.at(path, |permit, place| {
            sys::open_name(permit, place.parent(), &place.name, sys::OpenHow::new(&options))
        })?;
        if sys::stat(self.visit.permit, file.as_fd())?.kind != FileKind::Regular {
            return Err(Error::Stale);
        }
        // What lay between is zero in the guest's view.
        sys::set_size(self.visit.permit, file.as_fd(), content.lower_bytes())?;
        sys::set_size(self.visit.permit, file.as_fd(), content.size_bytes())?;
        for (offset, piece) in content.pieces() {
            self.write_all(file.as_fd(), piece, offset)?;
        }
        Ok(())
    }

    fn set_times(&self, node: NodeId, path: &[u8]) -> Result<(), Error> {
        let node = self.state.node(node)?;
        let (Some(times), true) = (node.times, node.times_set) else {
            return Ok(());
        };
        let times = SetTimes { accessed: SetTime::To(times.accessed), modified: SetTime::To(times.modified) };
        self.at(path, |permit, place| sys::set_times_at(permit, place, times))
    }

    /// Removes what is beneath, with everything in it.
    fn remove(&self, path: &[u8]) -> Result<(), Error> {
        self.at(path, |permit, place| remove_all(permit, place.parent(), &place.name))
    }

    fn remove_staging(&self) -> Result<(), Error> {
        match self.remove(&staging_name()) {
            Err(Error::NotFound) => Ok(()),
            result => result,
        }
    }

    fn create(&self, path: &[u8]) -> Result<OwnedFd, Error> {
        let options = OpenOptions {
            access: DataAccess::Write,
            create: true,
            exclusive: true,
            ..OpenOptions::default()
        };
        self.at(path, |permit, place| {
            sys::open_name(permit, place.parent(), &place.name, sys::OpenHow::new(&options))
        })
    }

    /// Writes all of a file's content, also what is beneath.
    fn copy(&mut self, node: NodeId, to: BorrowedFd<'_>) -> Result<(), Error> {
        let mut buffer = vec![0; COPY_BYTES];
        let mut offset = 0;
        loop {
            let count = self.state.read(node, &mut buffer, offset, self.visit)?;
            if count == 0 {
                return Ok(());
            }
            self.write_all(to, &buffer[..count], offset)?;
            offset += count as u64;
        }
    }

    /// Writes the content of a file that is not beneath.
    fn copy_own(&self, node: NodeId, to: BorrowedFd<'_>) -> Result<(), Error> {
        let NodeKind::File(content) = &self.state.node(node)?.kind else {
            return Err(Error::Invalid);
        };
        sys::set_size(self.visit.permit, to, content.size_bytes())?;
        content.pieces().try_for_each(|(offset, piece)| self.write_all(to, piece, offset))
    }

    fn write_all(&self, to: BorrowedFd<'_>, mut bytes: &[u8], mut offset: u64) -> Result<(), Error> {
        while !bytes.is_empty() {
            match sys::write_at(self.visit.permit, to, &[IoSlice::new(bytes)], offset)? {
                0 => return Err(Error::NoSpace),
                count => {
                    bytes = &bytes[count..];
                    offset += count as u64;
                }
            }
        }
        Ok(())
    }

    fn at<T>(
        &self,
        path: &[u8],
        action: impl FnOnce(&Permit, &Place<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let place = self.resolve.place(self.visit.permit, self.root.as_fd(), &GuestPath::parse(path)?)?;
        action(self.visit.permit, &place)
    }

    fn at_two(
        &self,
        from: &[u8],
        to: &[u8],
        action: impl FnOnce(&Permit, &Place<'_>, &Place<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.at(from, |permit, from| self.at(to, |_, to| action(permit, from, to)))
    }
}

/// A name for what is copied aside: of this process alone.
fn staging_name() -> Vec<u8> {
    format!(".innkeeper-{}", std::process::id()).into_bytes()
}

/// Removes one name and, where it is a directory, all in it. No link is followed.
fn remove_all(permit: &Permit, parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Error> {
    let place = Place::of_name(parent, name);
    match sys::remove_file(permit, &place) {
        Err(Error::IsDirectory | Error::NotPermitted) => {}
        result => return result,
    }
    let how = sys::OpenHow::new(&OpenOptions { directory: true, ..OpenOptions::default() });
    let directory = sys::open_name(permit, parent, name, how)?;
    let mut names = Vec::new();
    let mut position = Some(sys::ListPosition::START);
    while let Some(at) = position {
        position = sys::read_list(permit, directory.as_fd(), at, |entry| names.push(entry.name.to_vec()))?;
    }
    for name in names {
        remove_all(permit, directory.as_fd(), &name)?;
    }
    sys::remove_directory(permit, &place)
}
