//! Walking by handles through the directories of a journal, however deep they lie: one descriptor, no recursion.
//!
//! A cursor goes from one directory to the next by the way between them, up by `..` and down by names, so that going through a
//! tree in order takes as many steps as it has directories. What must stay true: it follows no link and stays on the file system of
//! the top; what `..` leads to is believed only if it is the directory that the cursor came down from; what no guest may reach
//! ([`crate::host::reach`]) is neither entered nor changed.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::journal::{DirectoryId, DirectoryRecord, NameInDirectory, TOP};
use crate::host::error::Error;
use crate::host::gate::Permit;
use crate::host::hidden::{Identity, identity};
use crate::host::metadata::Metadata;
use crate::host::reach::NativeDirectory;
use crate::host::sys;

/// When the directories are where a cursor looks for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Time {
    /// Before anything was done.
    Before,
    /// At the end.
    After,
}

pub(super) struct Cursor<'a> {
    permit: &'a Permit,
    top: &'a NativeDirectory,
    device: u64,
    time: Time,
    /// The directories from beneath the top to where the cursor is, with their numbers on the file system.
    way: Vec<(DirectoryId, u64)>,
    depth_of: HashMap<DirectoryId, usize>,
    /// The last of the way.
    here: Option<OwnedFd>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(permit: &'a Permit, top: &'a NativeDirectory, time: Time) -> Result<Cursor<'a>, Error> {
        let device = sys::stat(permit, top.as_fd())?.device;
        Ok(Cursor { permit, top, device, time, way: Vec::new(), depth_of: HashMap::new(), here: None })
    }

    /// The device of the top.
    pub(super) fn device(&self) -> u64 {
        self.device
    }

    /// Goes to a directory.
    ///
    /// # Errors
    /// [`Error::Stale`] if it is not where it should be, or another; [`Error::CrossDevice`] on another file system.
    pub(super) fn go(
        &mut self,
        directories: &[DirectoryRecord],
        to: DirectoryId,
    ) -> Result<BorrowedFd<'_>, Error> {
        let mut down = self.way_down(directories, to)?;
        let kept = down.last().and_then(|first| parent(self.time, directories, *first));
        let kept = kept.unwrap_or(to);
        let depth = if kept == TOP { 0 } else { self.depth_of.get(&kept).map_or(0, |depth| depth + 1) };
        if self.rise(depth).is_err() {
            // The way has changed under the cursor.
            self.leave();
            down = self.way_down(directories, to)?;
        }
        for directory in down.into_iter().rev() {
            self.enter(directories, directory)?;
        }
        Ok(self.here())
    }

    /// Looks at a name in a directory, or at the directory.
    pub(super) fn stat(
        &mut self,
        directories: &[DirectoryRecord],
        place: &NameInDirectory,
    ) -> Result<Metadata, Error> {
        let permit = self.permit;
        let top = self.top;
        let directory = self.go(directories, place.directory)?;
        if place.name.is_empty() {
            return sys::stat(permit, directory);
        }
        let found = sys::stat_at(permit, directory, &place.name)?;
        top.admit_name(permit, (directory, &place.name), &found)?;
        self.require_not_hidden(&place.name, &found)?;
        Ok(found)
    }

    /// Goes to the directory of a place in which something is about to be made, moved or removed.
    ///
    /// # Errors
    /// Those of [`Cursor::go`]; [`Error::Hidden`] where the name is on the way to what no guest may reach.
    pub(super) fn go_to_change(
        &mut self,
        directories: &[DirectoryRecord],
        place: &NameInDirectory,
    ) -> Result<BorrowedFd<'_>, Error> {
        let (permit, top) = (self.permit, self.top);
        self.go(directories, place.directory)?;
        if let Some(hidden) = top.near(true) {
            let is_on_the_way = hidden.is_on_the_way((self.here_identity(), &place.name));
            // By another mount, the name need not be one of the way.
            let found = sys::stat_at(permit, self.here(), &place.name);
            if is_on_the_way || found.is_ok_and(|found| hidden.is_part_of_the_way(identity(&found))) {
                return Err(Error::Hidden);
            }
        }
        Ok(self.here())
    }

    /// Refuses what a name stands for in the directory that the cursor is in, if that is hidden.
    fn require_not_hidden(&self, name: &[u8], found: &Metadata) -> Result<(), Error> {
        match self.top.near(true) {
            Some(hidden) if hidden.is_behind((self.here_identity(), name), found) => Err(Error::Hidden),
            _ => Ok(()),
        }
    }

    /// What the directory is that the cursor is in.
    fn here_identity(&self) -> Identity {
        self.way.last().map_or(self.top.identity(), |(_, inode)| (self.device, *inode))
    }

    fn here(&self) -> BorrowedFd<'_> {
        self.here.as_ref().map_or(self.top.as_fd(), AsFd::as_fd)
    }

    /// The directories that are to be entered to come to `to`, the last one first.
    fn way_down(&self, directories: &[DirectoryRecord], to: DirectoryId) -> Result<Vec<DirectoryId>, Error> {
        let mut down = Vec::new();
        let mut at = to;
        while at != TOP && !self.depth_of.contains_key(&at) {
            down.push(at);
            at = parent(self.time, directories, at).ok_or(Error::Stale)?;
        }
        Ok(down)
    }

    /// Goes up until the way has this length.
    fn rise(&mut self, depth: usize) -> Result<(), Error> {
        if depth == 0 {
            self.leave();
        }
        while self.way.len() > depth {
            let Some((left, _)) = self.way.pop() else { break };
            self.depth_of.remove(&left);
            let Some(&(_, identity)) = self.way.last() else { break };
            let up = sys::open_name(self.permit, self.here(), b"..", sys::OpenHow::lookup())?;
            let found = sys::stat(self.permit, up.as_fd())?;
            if (found.device, found.inode) != (self.device, identity) {
                return Err(Error::Stale);
            }
            self.here = Some(up);
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.way.clear();
        self.depth_of.clear();
        self.here = None;
    }

    fn enter(&mut self, directories: &[DirectoryRecord], directory: DirectoryId) -> Result<(), Error> {
        let record = directories.get(directory.0 as usize).ok_or(Error::Stale)?;
        let place = place(self.time, record).ok_or(Error::Stale)?;
        let fd = sys::open_name(self.permit, self.here(), &place.name, sys::OpenHow::lookup()).map_err(
            |error| match error {
                Error::NotFound | Error::NotDirectory | Error::Loop => Error::Stale,
                other => other,
            },
        )?;
        let found = sys::stat(self.permit, fd.as_fd())?;
        if found.device != self.device {
            return Err(Error::CrossDevice);
        }
        self.top.admit_open(self.permit, fd.as_fd(), &found)?;
        self.require_not_hidden(&place.name, &found)?;
        if record.identity != 0 && record.identity != found.inode {
            return Err(Error::Stale);
        }
        self.depth_of.insert(directory, self.way.len());
        self.way.push((directory, found.inode));
        self.here = Some(fd);
        Ok(())
    }
}

fn place(time: Time, record: &DirectoryRecord) -> Option<&NameInDirectory> {
    match time {
        Time::Before => record.before.as_ref(),
        Time::After => record.after.as_ref(),
    }
}

fn parent(time: Time, directories: &[DirectoryRecord], of: DirectoryId) -> Option<DirectoryId> {
    directories.get(of.0 as usize).and_then(|record| place(time, record)).map(|place| place.directory)
}
