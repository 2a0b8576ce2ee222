//! A tree's changes as a tar archive: a layer in the form that container images use.
//!
//! New and changed files are in it whole; a name that is gone is an empty file with `.wh.` before its name, and a new directory in
//! the place of an old one contains `.wh..wh..opq`. What does not fit into a member's header is in an extended one before it
//! ([`super::archive_member`]). Holes stay holes, in the form that GNU tar calls 1.0.
//!
//! What must stay true: a name of the guest's never says that something is gone, so where a path that is to be written has a
//! component that begins with `.wh.`, nothing is written at all: the form reserves these names and knows no other way to write them.

use std::collections::HashMap;
use std::io::{self, Write};
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};

use super::Visit;
use super::archive_member::{Member, pad, write_end, write_member};
use super::changes::{ChangeKind, Overlay, Step, Stop, Walk};
use super::content::ReadLower;
use super::node::{NodeId, NodeKind, State};
use crate::host::error::Error;
use crate::host::gate::Permit;
use crate::host::metadata::{FileKind, Metadata};
use crate::host::sys;
use crate::host::visible;

/// What the form puts before the name of what is gone.
const WHITEOUT: &[u8] = b".wh.";

/// Bytes copied at once.
const COPY_BYTES: u64 = 64 * 1024;

/// A file whose holes are no larger is written with zeros.
const MIN_HOLE_BYTES: u64 = 16 * 1024;

/// Why no archive, or no whole one, was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// A name that the form of the archive reserves. Nothing was written.
    #[error("{}: names that begin with `.wh.` mark what is gone in an archive of changes, and cannot be in one", visible(&String::from_utf8_lossy(.0)))]
    ReservedName(Vec<u8>),
    /// Something beneath could not be read.
    #[error("{}: {reason}", visible(&String::from_utf8_lossy(.path)))]
    Unreadable {
        /// The path in the directory.
        path: Vec<u8>,
        /// Why not.
        reason: Error,
    },
    /// The archive could not be written.
    #[error("{0}")]
    Unwritable(io::Error),
    /// It was to stop before it was done.
    #[error("stopped before the archive was complete")]
    Stopped,
}

impl From<io::Error> for ArchiveError {
    fn from(error: io::Error) -> ArchiveError {
        ArchiveError::Unwritable(error)
    }
}

impl Overlay {
    /// Writes the changes as a tar archive, and returns the paths that were left out: sockets, for which archives have no form.
    ///
    /// # Errors
    /// A name that archives reserve, before anything is written; what reading the host directory or writing reports; and
    /// [`ArchiveError::Stopped`] where `stop` says so.
    pub fn write_tar(&self, to: &mut dyn Write, stop: &Stop<'_>) -> Result<Vec<Vec<u8>>, ArchiveError> {
        let permit = Permit::of_the_keys_owner();
        let mut state = self.tree.lock();
        let visit = self.visit(&permit);
        let mut left_out = Vec::new();
        each(&mut state, visit, stop, &mut |state, path, step| {
            if path.split(|&byte| byte == b'/').any(|name| name.starts_with(WHITEOUT)) {
                return Err(ArchiveError::ReservedName(path.to_vec()));
            }
            // What is beneath and cannot be looked at is found out before anything is written, too.
            match step.node {
                Some(node) => state.load_metadata(visit, node).map_err(|error| unreadable(path, error)),
                None => Ok(()),
            }
        })?;
        let mut archive = Archive { visit, stop, written: HashMap::new(), to };
        each(&mut state, visit, stop, &mut |state, path, step| {
            if step.file_kind == FileKind::Socket && step.node.is_some() {
                left_out.push(path.to_vec());
                return Ok(());
            }
            archive.step(state, path, step)
        })?;
        write_end(to)?;
        Ok(left_out)
    }
}

/// What is done with a change and its path.
type Show<'a> = dyn FnMut(&mut State, &[u8], Step) -> Result<(), ArchiveError> + 'a;

/// Shows every change with its path.
fn each(
    state: &mut State,
    visit: Visit<'_>,
    stop: &Stop<'_>,
    show: &mut Show<'_>,
) -> Result<(), ArchiveError> {
    let mut walk = Walk::new();
    while let Some(step) = walk.next(state, visit).map_err(|error| unreadable(walk.path(), error))? {
        if stop() {
            return Err(ArchiveError::Stopped);
        }
        show(state, walk.path(), step)?;
    }
    Ok(())
}

fn unreadable(path: &[u8], reason: Error) -> ArchiveError {
    ArchiveError::Unreadable { path: path.to_vec(), reason }
}

struct Archive<'a> {
    visit: Visit<'a>,
    stop: &'a Stop<'a>,
    /// Files of several names that are in the archive, by the one that they have there.
    written: HashMap<NodeId, Vec<u8>>,
    to: &'a mut dyn Write,
}

impl Archive<'_> {
    fn step(&mut self, state: &mut State, path: &[u8], step: Step) -> Result<(), ArchiveError> {
        let Some(id) = step.node else {
            return Ok(write_member(self.to, &Member::empty(&whiteout(path)))?);
        };
        let failed = |error| unreadable(path, error);
        state.load_metadata(self.visit, id).map_err(failed)?;
        let metadata = state.metadata(id).map_err(failed)?;
        let file = Member {
            modified_seconds: metadata.modified.to_nanoseconds() / 1_000_000_000,
            ..self.owned(state, id, path)
        };
        match &state.node(id).map_err(failed)?.kind {
            NodeKind::Directory(_) => {
                let named = [path, &b"/"[..]].concat();
                write_member(self.to, &Member { path: &named, flag: b'5', ..file })?;
                if step.replaces.is_some() && step.kind == ChangeKind::Added {
                    write_member(self.to, &Member::empty(&[path, &b"/.wh..wh..opq"[..]].concat()))?;
                }
            }
            NodeKind::Link(target) => {
                write_member(self.to, &Member { flag: b'2', mode: 0o777, link: target, ..file })?;
            }
            _ if self.written.contains_key(&id) => {
                write_member(self.to, &Member { flag: b'1', link: &self.written[&id], ..file })?;
            }
            NodeKind::File(_) => {
                self.note(id, path, &metadata);
                self.file(state, id, &file, metadata.size_bytes)?;
            }
            NodeKind::Other(kind) => {
                let flag = match kind {
                    FileKind::Fifo => b'6',
                    FileKind::CharacterDevice => b'3',
                    FileKind::BlockDevice => b'4',
                    _ => return Err(failed(Error::NotSupported)),
                };
                self.note(id, path, &metadata);
                write_member(self.to, &Member { flag, ..file })?;
            }
            // Its text was read with its metadata.
            NodeKind::LowerLink => return Err(failed(Error::Stale)),
        }
        Ok(())
    }

    /// Notes what may come again by another name. A path is as long as the guest likes, and there are as many files.
    fn note(&mut self, id: NodeId, path: &[u8], metadata: &Metadata) {
        if metadata.links > 1 {
            self.written.insert(id, path.to_vec());
        }
    }

    /// Permissions and owner: those of what it comes from, or the usual ones.
    fn owned<'p>(&self, state: &State, id: NodeId, path: &'p [u8]) -> Member<'p> {
        let plain = Member::empty(path);
        let Ok(node) = state.node(id) else { return plain };
        let usual = if node.file_kind() == FileKind::Directory { 0o755 } else { 0o644 };
        if node.origin.is_none() {
            return Member { mode: usual, ..plain };
        }
        let look = state
            .at_lower(self.visit, id, |place| sys::status_at(self.visit.permit, place.parent(), &place.name));
        look.map_or(Member { mode: usual, ..plain }, |found| Member {
            mode: found.mode,
            owner: found.owner,
            group: found.group,
            device: found.stands_for,
            ..plain
        })
    }

    /// Writes a file's header and content.
    fn file(
        &mut self,
        state: &State,
        id: NodeId,
        member: &Member<'_>,
        size_bytes: u64,
    ) -> Result<(), ArchiveError> {
        let failed = |error| unreadable(member.path, error);
        let NodeKind::File(content) = &state.node(id).map_err(failed)?.kind else { return Ok(()) };
        let lower = match content.needs_lower() {
            true => Some(state.open_lower(self.visit, id).map_err(failed)?),
            false => None,
        };
        let permit = self.visit.permit;
        let data = content
            .data(&mut |range| match &lower {
                Some(fd) => sys::next_data(permit, fd.as_fd(), range),
                None => Ok(None),
            })
            .map_err(failed)?;
        let data_bytes: u64 = data.iter().map(|range| range.end - range.start).sum();
        let mut read = |buffer: &mut [u8], offset| {
            content.read(buffer, offset, &mut |buffer, offset| {
                read_lower(permit, lower.as_ref(), buffer, offset)
            })
        };
        if size_bytes - data_bytes <= MIN_HOLE_BYTES {
            write_member(self.to, &Member { size_bytes, ..*member })?;
            self.copy(0..size_bytes, member.path, &mut read)?;
            return Ok(pad(self.to, size_bytes)?);
        }
        let map = sparse_map(&data, size_bytes);
        let stored = map.len() as u64 + data_bytes;
        write_member(self.to, &Member { size_bytes: stored, sparse_size: Some(size_bytes), ..*member })?;
        self.to.write_all(&map)?;
        for range in data {
            self.copy(range, member.path, &mut read)?;
        }
        Ok(pad(self.to, stored)?)
    }

    fn copy(
        &mut self,
        mut range: Range<u64>,
        path: &[u8],
        read: &mut ReadLower<'_>,
    ) -> Result<(), ArchiveError> {
        let mut buffer = vec![0; COPY_BYTES.min(range.end - range.start) as usize];
        while range.start < range.end {
            if (self.stop)() {
                return Err(ArchiveError::Stopped);
            }
            let count = COPY_BYTES.min(range.end - range.start) as usize;
            let count = read(&mut buffer[..count], range.start).map_err(|error| unreadable(path, error))?;
            if count == 0 {
                return Err(unreadable(path, Error::Stale));
            }
            self.to.write_all(&buffer[..count])?;
            range.start += count as u64;
        }
        Ok(())
    }
}

fn read_lower(
    permit: &Permit,
    lower: Option<&OwnedFd>,
    buffer: &mut [u8],
    offset: u64,
) -> Result<usize, Error> {
    match lower {
        Some(fd) => sys::read_at(permit, fd.as_fd(), &mut [io::IoSliceMut::new(buffer)], offset),
        None => Ok(0),
    }
}

/// Where a file has data, as text: how many ranges, then where each begins and how long it is; whole blocks of the archive.
fn sparse_map(data: &[Range<u64>], size_bytes: u64) -> Vec<u8> {
    let ends_with_data = data.last().is_some_and(|range| range.end == size_bytes);
    let end = if ends_with_data { None } else { Some(size_bytes..size_bytes) };
    let mut map = format!("{}\n", data.len() + usize::from(!ends_with_data)).into_bytes();
    for range in data.iter().chain(&end) {
        map.extend(format!("{}\n{}\n", range.start, range.end - range.start).into_bytes());
    }
    map.resize(map.len().next_multiple_of(super::archive_member::BLOCK_BYTES), 0);
    map
}

fn whiteout(path: &[u8]) -> Vec<u8> {
    let name_at = path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    [&path[..name_at], WHITEOUT, &path[name_at..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whiteout_keeps_its_directory() {
        assert_eq!(whiteout(b"a/b"), b"a/.wh.b");
        assert_eq!(whiteout(b"a"), b".wh.a");
    }

    #[test]
    fn a_map_says_where_a_file_ends() {
        let text = |data: &[Range<u64>], size| {
            let map = sparse_map(data, size);
            assert_eq!(map.len(), 512);
            String::from_utf8(map).unwrap().trim_end_matches('\0').to_owned()
        };
        assert_eq!(text(&[0..1, 10..12], 12), "2\n0\n1\n10\n2\n");
        assert_eq!(text(&[0..1, 10..12], 13), "3\n0\n1\n10\n2\n13\n0\n");
        assert_eq!(text(&[], 1 << 40), "1\n1099511627776\n0\n");
    }
}
