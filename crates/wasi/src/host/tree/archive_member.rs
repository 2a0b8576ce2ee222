//! The headers of a tar archive: a plain one (POSIX.1-1988, `ustar`), and an extended one before it (POSIX.1-2001, `pax`) where
//! something does not fit.
//!
//! What must stay true: whatever a name contains, it stands in a header or in a record that says its own length, so that no name
//! can pass for another header.

use std::io::{self, Write};

pub(super) const BLOCK_BYTES: usize = 512;

/// Numbers up to this fit into the plain header's eleven octal digits.
const MAX_OCTAL: u64 = 0o777_7777_7777;

/// Owners and devices up to this fit into seven.
const MAX_SHORT_OCTAL: u32 = 0o777_7777;

/// Longest path and link in the plain header.
const MAX_PLAIN_PATH_BYTES: usize = 100;

/// One member of an archive.
#[derive(Clone, Copy)]
pub(super) struct Member<'a> {
    pub(super) path: &'a [u8],
    /// The header's type flag.
    pub(super) flag: u8,
    pub(super) mode: u32,
    pub(super) owner: u32,
    pub(super) group: u32,
    /// Bytes that follow.
    pub(super) size_bytes: u64,
    /// The size of a file of which only the data is there, after a map that says where.
    pub(super) sparse_size: Option<u64>,
    pub(super) modified_seconds: u64,
    pub(super) link: &'a [u8],
    /// The numbers of a device.
    pub(super) device: Option<(u32, u32)>,
}

impl<'a> Member<'a> {
    /// An empty file.
    pub(super) fn empty(path: &'a [u8]) -> Member<'a> {
        Member {
            path,
            flag: b'0',
            mode: 0o644,
            owner: 0,
            group: 0,
            size_bytes: 0,
            sparse_size: None,
            modified_seconds: 0,
            link: b"",
            device: None,
        }
    }
}

/// Writes a header, and an extended one before it where the plain one is too small.
pub(super) fn write_member(to: &mut dyn Write, member: &Member<'_>) -> io::Result<()> {
    let number = |value: u64| value.to_string().into_bytes();
    let mut extended = Vec::new();
    let mut plain_path = member.path;
    if let Some(size) = member.sparse_size {
        // A reader that knows nothing of sparse files gives its data this name.
        plain_path = b"./GNUSparseFile.0/file";
        extended.extend(record("GNU.sparse.major", b"1"));
        extended.extend(record("GNU.sparse.minor", b"0"));
        extended.extend(record("GNU.sparse.name", member.path));
        extended.extend(record("GNU.sparse.realsize", &number(size)));
    } else if member.path.len() > MAX_PLAIN_PATH_BYTES {
        extended.extend(record("path", member.path));
    }
    if member.link.len() > MAX_PLAIN_PATH_BYTES {
        extended.extend(record("linkpath", member.link));
    }
    if member.size_bytes > MAX_OCTAL {
        extended.extend(record("size", &number(member.size_bytes)));
    }
    for (key, id) in [("uid", member.owner), ("gid", member.group)] {
        if id > MAX_SHORT_OCTAL {
            extended.extend(record(key, &number(id.into())));
        }
    }
    if !extended.is_empty() {
        let size_bytes = extended.len() as u64;
        to.write_all(&header(&Member { flag: b'x', size_bytes, ..Member::empty(b"././@PaxHeader") }))?;
        to.write_all(&extended)?;
        pad(to, size_bytes)?;
    }
    to.write_all(&header(&Member { path: plain_path, ..*member }))
}

/// Fills the last block of so many bytes with zeros.
pub(super) fn pad(to: &mut dyn Write, size_bytes: u64) -> io::Result<()> {
    let over = (size_bytes % BLOCK_BYTES as u64) as usize;
    if over == 0 { Ok(()) } else { to.write_all(&[0; BLOCK_BYTES][over..]) }
}

/// The end: two empty blocks.
pub(super) fn write_end(to: &mut dyn Write) -> io::Result<()> {
    to.write_all(&[0; 2 * BLOCK_BYTES])
}

fn header(member: &Member<'_>) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    let short = |value: u32| format!("{:07o}\0", value.min(MAX_SHORT_OCTAL)).into_bytes();
    put(0, &member.path[..member.path.len().min(MAX_PLAIN_PATH_BYTES)]);
    put(100, &short(member.mode & 0o7777));
    put(108, &short(member.owner));
    put(116, &short(member.group));
    put(124, format!("{:011o}\0", member.size_bytes.min(MAX_OCTAL)).as_bytes());
    put(136, format!("{:011o}\0", member.modified_seconds.min(MAX_OCTAL)).as_bytes());
    // The checksum is taken with spaces in its own place.
    put(148, b"        ");
    put(156, &[member.flag]);
    put(157, &member.link[..member.link.len().min(MAX_PLAIN_PATH_BYTES)]);
    put(257, b"ustar\x0000");
    if let Some((major, minor)) = member.device {
        put(329, &short(major));
        put(337, &short(minor));
    }
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
}
