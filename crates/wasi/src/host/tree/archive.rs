//! A tree's changes as a tar archive: a layer in the form that container images use.
//!
//! New and changed files are in it whole; a name that is gone is an empty file with `.wh.` before its name, and a new directory in
//! the place of an old one contains `.wh..wh..opq`. Names that are too long for the plain header are in an extended one (POSIX.1-2001, `pax`).

use std::io::{self, Write};

use super::Visit;
use super::changes::{ChangeKind, Overlay, Step, steps};
use super::node::{NodeId, NodeKind, State};
use crate::host::error::Error;
use crate::host::gate::Permit;
use crate::host::metadata::FileKind;

const BLOCK_BYTES: usize = 512;

/// Bytes copied at once.
const COPY_BYTES: usize = 64 * 1024;

/// Numbers up to this fit into the plain header's eleven octal digits.
const MAX_OCTAL: u64 = 0o777_7777_7777;

impl Overlay {
    /// Writes the changes as a tar archive.
    ///
    /// # Errors
    /// What reading the host directory or writing reports.
    pub fn write_tar(&self, to: &mut dyn Write) -> io::Result<()> {
        let permit = Permit::of_the_keys_owner();
        let mut state = self.tree.lock();
        let visit = self.visit(&permit);
        let mut written: Vec<(NodeId, Vec<u8>)> = Vec::new();
        for step in steps(&mut state, visit)? {
            write_step(&mut state, visit, &step, &mut written, to)?;
        }
        // The end: two empty blocks.
        to.write_all(&[0; 2 * BLOCK_BYTES])
    }
}

/// One member of an archive.
struct Member<'a> {
    path: &'a [u8],
    /// The header's type flag.
    flag: u8,
    mode: u32,
    size_bytes: u64,
    modified_seconds: u64,
    link: &'a [u8],
}

fn write_step(
    state: &mut State,
    visit: Visit<'_>,
    step: &Step,
    written: &mut Vec<(NodeId, Vec<u8>)>,
    to: &mut dyn Write,
) -> io::Result<()> {
    let path = &step.change.path;
    let Some(id) = step.node else {
        return member(to, &Member::empty(&whiteout(path)));
    };
    state.load_metadata(visit, id)?;
    let metadata = state.metadata(id)?;
    let seconds = metadata.modified.to_nanoseconds() / 1_000_000_000;
    let file = Member { modified_seconds: seconds, mode: mode(state, visit, id), ..Member::empty(path) };
    match &state.node(id)?.kind {
        NodeKind::Directory(_) => {
            let named = [path, &b"/"[..]].concat();
            member(to, &Member { path: &named, flag: b'5', ..file })?;
            if step.replaces && step.change.kind == ChangeKind::Added {
                member(to, &Member::empty(&[path, &b"/.wh..wh..opq"[..]].concat()))?;
            }
            Ok(())
        }
        NodeKind::Link(target) => member(to, &Member { flag: b'2', mode: 0o777, link: target, ..file }),
        NodeKind::File(_) => {
            if let Some((_, first)) = written.iter().find(|(known, _)| *known == id) {
                return member(to, &Member { flag: b'1', link: first, ..file });
            }
            written.push((id, path.clone()));
            member(to, &Member { size_bytes: metadata.size_bytes, ..file })?;
            write_content(state, visit, id, metadata.size_bytes, to)
        }
        NodeKind::LowerLink | NodeKind::Other(_) => Err(Error::NotSupported.into()),
    }
}

/// Permissions: those of the file that it comes from, or the usual ones.
fn mode(state: &State, visit: Visit<'_>, id: NodeId) -> u32 {
    let Ok(node) = state.node(id) else { return 0o644 };
    let usual = if node.file_kind() == FileKind::Directory { 0o755 } else { 0o644 };
    match &node.origin {
        Some(origin) => state
            .at_lower(visit, origin, |place| {
                crate::host::sys::permissions_at(visit.permit, place.parent(), &place.name)
            })
            .unwrap_or(usual),
        None => usual,
    }
}

fn write_content(
    state: &mut State,
    visit: Visit<'_>,
    id: NodeId,
    size_bytes: u64,
    to: &mut dyn Write,
) -> io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES];
    let mut offset = 0;
    while offset < size_bytes {
        let count = state.read(id, &mut buffer, offset, visit)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        to.write_all(&buffer[..count])?;
        offset += count as u64;
    }
    pad(to, size_bytes)
}

/// Writes a header, and an extended one before it where the plain one is too small.
fn member(to: &mut dyn Write, member: &Member<'_>) -> io::Result<()> {
    let mut extended = Vec::new();
    if member.path.len() > 100 {
        extended.extend(record("path", member.path));
    }
    if member.link.len() > 100 {
        extended.extend(record("linkpath", member.link));
    }
    if member.size_bytes > MAX_OCTAL {
        extended.extend(record("size", member.size_bytes.to_string().as_bytes()));
    }
    if !extended.is_empty() {
        let size_bytes = extended.len() as u64;
        to.write_all(&header(&Member { flag: b'x', size_bytes, ..Member::empty(b"././@PaxHeader") }))?;
        to.write_all(&extended)?;
        pad(to, size_bytes)?;
    }
    to.write_all(&header(member))
}

fn header(member: &Member<'_>) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &member.path[..member.path.len().min(100)]);
    put(100, format!("{:07o}\0", member.mode & 0o7777).as_bytes());
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", member.size_bytes.min(MAX_OCTAL)).as_bytes());
    put(136, format!("{:011o}\0", member.modified_seconds.min(MAX_OCTAL)).as_bytes());
    // The checksum is taken with spaces in its own place.
    put(148, b"        ");
    put(156, &[member.flag]);
    put(157, &member.link[..member.link.len().min(100)]);
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().copied().map(u32::from).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// A record of an extended header: its own length, a key, a value.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

fn pad(to: &mut dyn Write, size_bytes: u64) -> io::Result<()> {
    let over = (size_bytes % BLOCK_BYTES as u64) as usize;
    if over == 0 { Ok(()) } else { to.write_all(&[0; BLOCK_BYTES][over..]) }
}

fn whiteout(path: &[u8]) -> Vec<u8> {
    let name_at = path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    [&path[..name_at], b".wh.", &path[name_at..]].concat()
}

impl<'a> Member<'a> {
    /// An empty file.
    fn empty(path: &'a [u8]) -> Member<'a> {
        Member { path, flag: b'0', mode: 0o644, size_bytes: 0, modified_seconds: 0, link: b"" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_say_their_own_length() {
        for length in [1, 90, 91, 92, 93, 94, 95, 985, 990, 991] {
            let record = record("path", &vec![b'a'; length]);
            let said = record.split(|&byte| byte == b' ').next().unwrap();
            assert_eq!(String::from_utf8_lossy(said), record.len().to_string());
        }
    }

    #[test]
    fn a_whiteout_keeps_its_directory() {
        assert_eq!(whiteout(b"a/b"), b"a/.wh.b");
        assert_eq!(whiteout(b"a"), b".wh.a");
    }
}
