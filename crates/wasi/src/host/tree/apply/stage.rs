//! The staging directory: everything new lies in it before anything is changed, everything old before it is gone.
//!
//! It is in the directory that changes are carried out in, and so on its file system; its owner alone may enter it. What must stay true:
//! its name is random and free, and one that no guest can make, move or enter; nothing is removed from it but what was put in, one by one;
//! what is read from it is whole and of this user's own run ([`seal`](super::seal)), or is not believed.

use std::collections::HashMap;
use std::io::IoSlice;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::super::content::Content;
use super::super::node::{NodeId, NodeKind, State};
use super::journal::{Contents, Identity, KeptFile, Made, ObjectId, Patch};
use super::plan::Plan;
use super::seal::{Sealer, Trust};
use super::{Cause, Guard};
use crate::host::error::Error;
use crate::host::gate::Permit;
use crate::host::metadata::FileKind;
use crate::host::open::{DataAccess, OpenOptions};
use crate::host::resolve::ResolvedName as SystemPlace;
use crate::host::sys;

/// What the names of staging directories begin with; no guest's path has such a name in it.
pub(in crate::host) const PREFIX: &[u8] = b".innkeeper-cow-";

/// Names tried before giving up.
const MAX_ATTEMPTS: u32 = 16;

/// Bytes copied at once.
const COPY_BYTES: u64 = 256 * 1024;

/// How far changes have been carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Nothing is changed; everything new is in the staging directory if the journal is.
    Staged,
    /// Names are being taken out of their places.
    Taking,
    /// Names are being put into their places.
    Putting,
    /// Bytes are being written.
    Patching,
    /// Times are being set.
    Timing,
    /// Everything is done, and what is left in the staging directory is removed.
    Finishing,
}

impl Phase {
    pub(super) const ALL: [Phase; 6] =
        [Phase::Staged, Phase::Taking, Phase::Putting, Phase::Patching, Phase::Timing, Phase::Finishing];
}

pub(super) struct Staging<'a> {
    pub(super) permit: &'a Permit,
    top: BorrowedFd<'a>,
    pub(super) name: Vec<u8>,
    pub(super) fd: OwnedFd,
    pub(super) sealer: Sealer<'a>,
}

impl<'a> Staging<'a> {
    /// Makes one, under a name that is free.
    pub(super) fn create(
        permit: &'a Permit,
        top: BorrowedFd<'a>,
        trust: Trust<'a>,
    ) -> Result<Staging<'a>, Cause> {
        for _ in 0..MAX_ATTEMPTS {
            let mut random = [0; 8];
            sys::random(permit, &mut random)?;
            let digits = format!("{:016x}", u64::from_ne_bytes(random));
            let name = [PREFIX, digits.as_bytes()].concat();
            match sys::create_private_directory(permit, top, &name) {
                Ok(()) => return Staging::begin(permit, top, (name, trust)),
                Err(Error::Exists) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Exists.into())
    }

    /// Opens one that was just made, and removes it again if it cannot be used.
    fn begin(
        permit: &'a Permit,
        top: BorrowedFd<'a>,
        (name, trust): (Vec<u8>, Trust<'a>),
    ) -> Result<Staging<'a>, Cause> {
        let begun = match Staging::open(permit, top, (name.clone(), trust)) {
            // What is made in it is to be as if it had been made where it is put.
            Ok(Some(staging)) => {
                sys::hand_nothing_on(permit, staging.fd());
                // From now on it is known whose it is.
                staging.set_phase(Phase::Staged).map(|()| staging).map_err(Cause::from)
            }
            Ok(None) => Err(Cause::NotPrivate),
            Err(error) => Err(error.into()),
        };
        if begun.is_err() {
            // What failed before is told. It has no more than what was just made in it, or is not removed.
            if let Ok(Some(staging)) = Staging::open(permit, top, (name.clone(), trust)) {
                let _ = staging.remove_sealed_files();
            }
            let _ = sys::remove_directory(permit, &SystemPlace::of_name(top, &name));
        }
        begun
    }

    /// Opens one that is there; nothing if it is something else.
    pub(super) fn open(
        permit: &'a Permit,
        top: BorrowedFd<'a>,
        (name, trust): (Vec<u8>, Trust<'a>),
    ) -> Result<Option<Staging<'a>>, Error> {
        let how = sys::OpenHow::new(&OpenOptions { directory: true, ..OpenOptions::default() });
        let fd = match sys::open_name(permit, top, &name, how) {
            Ok(fd) => fd,
            Err(Error::NotDirectory | Error::Loop | Error::Access) => return Ok(None),
            Err(error) => return Err(error),
        };
        if !sys::is_private(permit, top, fd.as_fd())? {
            return Ok(None);
        }
        let sealer = Sealer::new(permit, trust, (top, fd.as_fd(), &name))?;
        Ok(Some(Staging { permit, top, name, fd, sealer }))
    }

    /// All that are in a directory, by name, each opened when it is asked for: there may be more than the process may have open.
    pub(super) fn find(
        permit: &'a Permit,
        top: BorrowedFd<'a>,
        trust: Trust<'a>,
    ) -> Result<impl Iterator<Item = Result<Staging<'a>, Error>>, Error> {
        let mut names = Vec::new();
        list(permit, top, |name, _| {
            if name.starts_with(PREFIX) {
                names.push(name.to_vec());
            }
        })?;
        names.sort();
        Ok(names.into_iter().filter_map(move |name| Staging::open(permit, top, (name, trust)).transpose()))
    }

    /// The directory that it is in.
    pub(super) fn top(&self) -> BorrowedFd<'a> {
        self.top
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Makes everything new, and notes what everything is known by; `identities` has what was made so far.
    pub(super) fn fill(
        &self,
        state: &State,
        plan: &mut Plan,
        mut identities: HashMap<ObjectId, Identity>,
        guard: &Guard<'_>,
    ) -> Result<(), Cause> {
        let mut new: HashMap<ObjectId, (Identity, Made)> = HashMap::new();
        for &(object, node) in &plan.made {
            guard.check()?;
            self.make(state, object, node, guard)?;
            new.insert(object, self.look_at_made(object)?);
        }
        for &(first, further) in &plan.made_again {
            guard.check()?;
            self.link_within(first, further)?;
            new.insert(further, self.look_at_made(first)?);
        }
        for step in &plan.journal.detach {
            identities.insert(step.object, step.identity);
        }
        let mut of_node: HashMap<NodeId, Identity> = HashMap::new();
        for (step, node) in plan.journal.attach.iter_mut().zip(&plan.attached) {
            if let Some((identity, made)) = new.get(&step.object) {
                step.identity = *identity;
                step.made = Some(*made);
            } else if let Some(identity) = identities.get(&step.object) {
                step.identity = *identity;
            }
            of_node.insert(*node, step.identity);
        }
        for (record, node) in plan.journal.directories.iter_mut().zip(&plan.directory_nodes) {
            if let Some(identity) = of_node.get(node) {
                record.identity = *identity;
            }
        }
        for (step, node) in plan.journal.times.iter_mut().zip(&plan.timed) {
            if let (0, Some(identity)) = (step.identity, of_node.get(node)) {
                step.identity = *identity;
            }
        }
        Ok(())
    }

    /// Makes the node that an object will be.
    fn make(&self, state: &State, object: ObjectId, node: NodeId, guard: &Guard<'_>) -> Result<(), Cause> {
        let name = object.name();
        let place = SystemPlace::of_name(self.fd(), &name);
        match &state.node(node)?.kind {
            NodeKind::Directory(_) => sys::create_directory(self.permit, &place)?,
            NodeKind::Link(target) => sys::symlink(self.permit, target, &place)?,
            NodeKind::File(content) => {
                let options = OpenOptions {
                    access: DataAccess::Write,
                    create: true,
                    exclusive: true,
                    ..OpenOptions::default()
                };
                let how = sys::OpenHow::new(&options);
                let file = sys::open_name(self.permit, self.fd(), &name, how)?;
                sys::set_size(self.permit, file.as_fd(), content.size_bytes())?;
                self.write_pieces(content, file.as_fd(), guard)?;
            }
            NodeKind::LowerLink | NodeKind::Other(_) => return Err(Error::NotSupported.into()),
        }
        Ok(())
    }

    fn write_pieces(&self, content: &Content, to: BorrowedFd<'_>, guard: &Guard<'_>) -> Result<(), Cause> {
        for (offset, piece) in content.pieces() {
            guard.check()?;
            write_all(self.permit, to, piece, offset)?;
        }
        Ok(())
    }

    /// Gives an object another name here.
    pub(super) fn link_here(&self, from: (BorrowedFd<'_>, &[u8]), object: ObjectId) -> Result<(), Error> {
        let name = object.name();
        let from = SystemPlace::of_name(from.0, from.1);
        sys::link(self.permit, &from, &SystemPlace::of_name(self.fd(), &name))
    }

    fn link_within(&self, first: ObjectId, further: ObjectId) -> Result<(), Error> {
        self.link_here((self.fd(), &first.name()), further)
    }

    fn look_at_made(&self, object: ObjectId) -> Result<(Identity, Made), Error> {
        let name = object.name();
        let found = sys::stat_at(self.permit, self.fd(), &name)?;
        let born = sys::birth_at(self.permit, self.fd(), &name);
        Ok((found.inode, Made { born, contents: Contents::of(&found) }))
    }

    /// Keeps the new bytes of a file, and those that they will replace. The file must be one that can be given its new size.
    pub(super) fn keep_bytes(
        &self,
        patch: &mut Patch,
        content: &Content,
        file: BorrowedFd<'_>,
        guard: &Guard<'_>,
    ) -> Result<(), Cause> {
        let new = sys::create_private_file(self.permit, self.fd(), &patch.new.object.name())?;
        // Whether the file system has files of this size is known then, before anything is changed.
        sys::set_size(self.permit, new.as_fd(), patch.new_size)?;
        self.write_pieces(content, new.as_fd(), guard)?;
        let old = sys::create_private_file(self.permit, self.fd(), &patch.old.object.name())?;
        sys::set_size(self.permit, old.as_fd(), patch.old_size)?;
        for range in patch.ranges.iter().cloned().chain(std::iter::once(patch.kept_bytes..patch.old_size)) {
            let range = range.start..range.end.min(patch.old_size);
            copy_data(self.permit, file, old.as_fd(), range, guard)?;
        }
        for (kept, file) in [(&mut patch.new, new), (&mut patch.old, old)] {
            let found = sys::stat(self.permit, file.as_fd())?;
            *kept = KeptFile { identity: found.inode, changed: found.changed, ..*kept };
        }
        Ok(())
    }

    /// Removes everything that was put in, the directories only if they are empty, and then itself. Only where nothing in here is
    /// wanted any more.
    pub(super) fn remove(&self, guard: &Guard<'_>) -> Result<(), Cause> {
        let mut objects = Vec::new();
        list(self.permit, self.fd(), |name, kind| {
            if std::str::from_utf8(name).is_ok_and(|name| name.parse::<u64>().is_ok()) {
                objects.push((name.to_vec(), kind));
            }
        })?;
        for (name, kind) in objects {
            guard.check()?;
            let place = SystemPlace::of_name(self.fd(), &name);
            let kind = match kind {
                FileKind::Unknown => sys::stat_at(self.permit, self.fd(), &name)?.kind,
                known => known,
            };
            match kind {
                FileKind::Directory => match sys::remove_directory(self.permit, &place) {
                    Err(Error::NotEmpty | Error::Exists) => return Err(Cause::Filled),
                    result => result?,
                },
                _ => sys::remove_file(self.permit, &place)?,
            }
        }
        guard.check()?;
        self.remove_sealed_files()?;
        Ok(sys::remove_directory(self.permit, &SystemPlace::of_name(self.top, &self.name))?)
    }
}

/// Shows the names in a directory with what they are, as far as the file system says.
pub(super) fn list(
    permit: &Permit,
    directory: BorrowedFd<'_>,
    mut show: impl FnMut(&[u8], FileKind),
) -> Result<(), Error> {
    let list = sys::open_list(permit, directory)?;
    let mut position = Some(sys::ListPosition::START);
    while let Some(at) = position {
        position = sys::read_list(permit, list.as_fd(), at, |entry| show(entry.name, entry.kind))?;
    }
    Ok(())
}

pub(super) fn write_all(
    permit: &Permit,
    to: BorrowedFd<'_>,
    mut bytes: &[u8],
    mut offset: u64,
) -> Result<(), Error> {
    while !bytes.is_empty() {
        match sys::write_at(permit, to, &[IoSlice::new(bytes)], offset)? {
            0 => return Err(Error::NoSpace),
            count => {
                bytes = &bytes[count..];
                offset += count as u64;
            }
        }
    }
    Ok(())
}

/// Copies a range of a file to the same place in another, where there is data; holes stay holes.
pub(super) fn copy_data(
    permit: &Permit,
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    mut range: Range<u64>,
    guard: &Guard<'_>,
) -> Result<(), Cause> {
    while range.start < range.end
        && let Some(data) = sys::next_data(permit, from, range.clone())?
    {
        range.start = data.end;
        copy(permit, from, to, data, guard)?;
    }
    Ok(())
}

/// Copies a range of a file to the same place in another, up to where the first ends.
pub(super) fn copy(
    permit: &Permit,
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    mut range: Range<u64>,
    guard: &Guard<'_>,
) -> Result<(), Cause> {
    let mut buffer = vec![0; COPY_BYTES.min(range.end.saturating_sub(range.start)) as usize];
    while range.start < range.end {
        guard.check()?;
        let count = COPY_BYTES.min(range.end - range.start) as usize;
        let buffer = &mut buffer[..count];
        let count = sys::read_at(permit, from, &mut [std::io::IoSliceMut::new(buffer)], range.start)?;
        if count == 0 {
            break;
        }
        write_all(permit, to, &buffer[..count], range.start)?;
        range.start += count as u64;
    }
    Ok(())
}
