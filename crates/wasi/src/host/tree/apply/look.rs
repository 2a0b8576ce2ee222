//! Looking at everything that changes are about, before anything is changed: whether it is still what the guest saw, and whether what
//! is to be done with it can be done.
//!
//! The first thing that is not as it should be is told; the rest is kept all the same, so that nothing of the guest's is lost.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use super::super::node::{Node, NodeKind, State};
use super::cursor::Cursor;
use super::journal::{Contents, DirectoryRecord, FileTimes, Identity, Journal, NameInDirectory, ObjectId};
use super::plan::{Look, Plan, Source};
use super::stage::{Staging, list};
use super::{Cause, Failure, Guard};
use crate::host::error::Error;
use crate::host::gate::Permit;
use crate::host::metadata::{FileKind, Metadata};
use crate::host::open::{DataAccess, OpenOptions};
use crate::host::sys;

/// Looks at everything, and completes the plan with what is found.
pub(super) fn look(
    permit: &Permit,
    state: &State,
    plan: &mut Plan,
    cursor: &mut Cursor<'_>,
    guard: &Guard<'_>,
) -> Result<Option<Failure>, Cause> {
    let mut first = None;
    for look in &plan.looks {
        guard.check()?;
        let (place, found) = match look {
            Look::Directory(id) => {
                let place = NameInDirectory { directory: *id, name: Arc::from([]) };
                let found = directory(permit, plan.journal.directories.as_slice(), cursor, &place);
                let found = found.map(|times| {
                    // What the top's times were has been found out before the staging directory was made.
                    plan.journal.directories[id.0 as usize].old_times.get_or_insert(times);
                });
                (place, found)
            }
            Look::Free(index) => {
                let place = plan.journal.attach[*index].to.clone();
                let free = cursor.stat(&plan.journal.directories, &place);
                let may_change = cursor.go_to_change(&plan.journal.directories, &place).map(drop);
                let found = match (may_change, free) {
                    (Err(error), _) => Err(error.into()),
                    (_, Err(Error::NotFound)) => Ok(()),
                    (_, Err(error)) => Err(error.into()),
                    (_, Ok(_)) => Err(Cause::Occupied),
                };
                (place, found)
            }
            Look::Detach(index) => {
                let step = &plan.journal.detach[*index];
                let place = step.from.clone();
                let node = state.node(plan.detached[*index])?;
                let is_lost = plan.is_lost(step.object);
                let found = cursor.stat(&plan.journal.directories, &place);
                let found = known(node, cursor, found, is_lost).and_then(|found| {
                    let Some(found) = found else {
                        plan.journal.detach[*index].lost = Some(Contents::Directory);
                        return Ok(());
                    };
                    let step = &mut plan.journal.detach[*index];
                    step.identity = found.inode;
                    step.lost = is_lost.then(|| Contents::of(&found));
                    may_be_taken(permit, (node, is_lost), &plan.journal.directories, cursor, (&place, &found))
                });
                (place, found)
            }
            Look::Source(source) => {
                let Source { place, node, patch, times, .. } = &**source;
                let node = state.node(*node)?;
                let found = cursor.stat(&plan.journal.directories, place);
                let found = known(node, cursor, found, false).and_then(|found| {
                    let found = found.ok_or(Cause::Vanished)?;
                    if let Some(patch) = patch.map(|index| &mut plan.journal.patches[index]) {
                        patch.identity = found.inode;
                        patch.old_size = found.size_bytes;
                        patch.old_times = FileTimes::of(&found);
                        may_be_patched(permit, node, &plan.journal.directories, cursor, (place, &found))?;
                    }
                    if let Some(times) = times.map(|index| &mut plan.journal.times[index]) {
                        times.identity = found.inode;
                        times.old = Some(FileTimes::of(&found));
                    }
                    Ok(())
                });
                (place.clone(), found)
            }
        };
        if let (Err(cause), None) = (found, &first) {
            first = Some(Failure { cause, path: plan.journal.path_before(&place) });
        }
    }
    Ok(first)
}

/// Keeps what will be overwritten, and makes further names of what is beneath, whose numbers it returns.
pub(super) fn keep_sources(
    permit: &Permit,
    state: &State,
    plan: &mut Plan,
    cursor: &mut Cursor<'_>,
    staging: &Staging<'_>,
    guard: &Guard<'_>,
) -> Result<HashMap<ObjectId, Identity>, Failure> {
    let mut identities = HashMap::new();
    for look in &plan.looks {
        let Look::Source(source) = look else { continue };
        let Source { place, node, links, patch, .. } = &**source;
        let journal = &mut plan.journal;
        let path = |cause: Cause, journal: &Journal| Failure { cause, path: journal.path_before(place) };
        guard.check().map_err(|cause| path(cause, journal))?;
        let kept = (|| {
            let directory = cursor.go(&journal.directories, place.directory)?;
            // One that is gone was told of when it was looked at.
            let Ok(found) = sys::stat_at(permit, directory, &place.name) else { return Ok(()) };
            for object in links {
                staging.link_here((directory, &place.name), *object)?;
                identities.insert(*object, found.inode);
            }
            let NodeKind::File(content) = &state.node(*node)?.kind else { return Ok(()) };
            if let Some(patch) = patch.map(|index| &mut journal.patches[index]) {
                let file = open(permit, directory, &place.name, DataAccess::Read)?;
                staging.keep_bytes(patch, content, file.as_fd(), guard)?;
            }
            Ok(())
        })();
        kept.map_err(|cause| path(cause, journal))?;
    }
    Ok(identities)
}

fn directory(
    permit: &Permit,
    directories: &[DirectoryRecord],
    cursor: &mut Cursor<'_>,
    place: &NameInDirectory,
) -> Result<FileTimes, Cause> {
    let fd = cursor.go(directories, place.directory)?;
    sys::may_change(permit, fd, b".")?;
    Ok(FileTimes::of(&sys::stat(permit, fd)?))
}

/// What is found in a place, if it is what the guest saw there; nothing where what is to go has gone by itself.
fn known(
    node: &Node,
    cursor: &Cursor<'_>,
    found: Result<Metadata, Error>,
    is_lost: bool,
) -> Result<Option<Metadata>, Cause> {
    let found = match found {
        Err(Error::NotFound) if is_lost => return Ok(None),
        found => found?,
    };
    compare_identity(node, &found)?;
    if found.device == cursor.device() { Ok(Some(found)) } else { Err(Cause::OtherFileSystem) }
}

/// Whether something can be taken out of its place, and nothing is lost with it if it is put nowhere else.
fn may_be_taken(
    permit: &Permit,
    (node, is_lost): (&Node, bool),
    directories: &[DirectoryRecord],
    cursor: &mut Cursor<'_>,
    (place, found): (&NameInDirectory, &Metadata),
) -> Result<(), Cause> {
    let parent = cursor.go_to_change(directories, place)?;
    let NodeKind::Directory(entries) = &node.kind else {
        return if is_lost && node.links == 0 { compare_content(node, found) } else { Ok(()) };
    };
    // What is above a directory is written down in it.
    sys::may_change(permit, parent, &place.name)?;
    if !is_lost {
        return Ok(());
    }
    let how = sys::OpenHow::new(&OpenOptions { directory: true, ..OpenOptions::default() });
    let fd = sys::open_name(permit, parent, &place.name, how)?;
    let mut is_filled = false;
    list(permit, fd.as_fd(), |name, _| is_filled |= entries.lower_entry(name).is_none())?;
    if is_filled { Err(Cause::Filled) } else { Ok(()) }
}

/// Whether a file has the content that the guest saw, and can be given another.
fn may_be_patched(
    permit: &Permit,
    node: &Node,
    directories: &[DirectoryRecord],
    cursor: &mut Cursor<'_>,
    (place, found): (&NameInDirectory, &Metadata),
) -> Result<(), Cause> {
    compare_content(node, found)?;
    let directory = cursor.go_to_change(directories, place)?;
    open(permit, directory, &place.name, DataAccess::Write).map(|_| ())
}

/// Whether something is still what the guest saw there.
fn compare_identity(node: &Node, found: &Metadata) -> Result<(), Cause> {
    let is_same = found.kind == node.file_kind()
        && node.seen().is_none_or(|seen| (seen.device, seen.inode) == (found.device, found.inode));
    if is_same { Ok(()) } else { Err(Cause::Changed) }
}

/// Whether a file's content is still what the guest saw, where it looked.
fn compare_content(node: &Node, found: &Metadata) -> Result<(), Cause> {
    let is_same = node.seen().is_none_or(|seen| {
        (seen.size_bytes, seen.modified, seen.changed) == (found.size_bytes, found.modified, found.changed)
    });
    if is_same || found.kind != FileKind::Regular { Ok(()) } else { Err(Cause::Changed) }
}

/// Opens a regular file in its place.
pub(super) fn open(
    permit: &Permit,
    directory: BorrowedFd<'_>,
    name: &[u8],
    access: DataAccess,
) -> Result<std::os::fd::OwnedFd, Cause> {
    let how = sys::OpenHow::new(&OpenOptions { access, ..OpenOptions::default() });
    let file = sys::open_name(permit, directory, name, how)?;
    match sys::stat(permit, file.as_fd())?.kind {
        FileKind::Regular => Ok(file),
        _ => Err(Cause::Changed),
    }
}
