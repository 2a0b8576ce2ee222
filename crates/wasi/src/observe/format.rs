//! The form of a record.
//!
//! A record begins with eight bytes that say what it is; blocks follow. A block is its length (32 bits), a checksum (16 bytes, of the
//! checksum before it and the block's bytes, so that blocks cannot be left out or reordered), and its bytes. The first block is the
//! header, the others hold calls. A call may go on in the next block, between two pieces of what it wrote, so that whoever writes or reads a record holds little of it at once,
//! whatever the guest has asked for. Numbers are LEB128, little end first; signed ones are zigzagged.
//!
//! A call is the function's number, a byte of flags, then what the flags say is not the same as in the function's last call:
//! arguments, ranges read; then the checksum of what was read, the ending, and pieces of what was written: each [`WRITE`], the offset from the last one's
//! address, a length, bytes. [`WRITES_END`] ends them; [`WRITES_CUT`] says that the guest was stopped meanwhile. [`END`] in place of a function's number is followed by how the guest ended.

use std::io::{self, Read, Write};

use thiserror::Error;

/// What a record begins with; the last byte is the form's version.
const MAGIC: &[u8; 8] = b"innrec\0\x02";

/// Whether a file that begins with these bytes is a record, of whatever version.
#[must_use]
pub fn is_record(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC[..MAGIC.len() - 1])
}

/// In place of a function's number: the guest has ended, for the reason that follows.
pub(super) const END: u64 = 0x3fff;

/// Bytes after which a block is written.
pub(super) const BLOCK_BYTES: usize = 64 * 1024;

/// Longest piece of what a call wrote.
pub(super) const PIECE_BYTES: usize = 64 * 1024;

/// Longest block that is believed. Only a header with many arguments comes near.
const MAX_BLOCK_BYTES: u64 = 16 << 20;

/// What follows in the list of a call's writes.
pub(super) const WRITES_END: u8 = 0;
pub(super) const WRITE: u8 = 1;
pub(super) const WRITES_CUT: u8 = 2;

const CHECKSUM_BYTES: usize = 16;

/// Flags of a call.
pub(super) const SAME_ARGUMENTS: u8 = 1;
pub(super) const SAME_RANGES: u8 = 2;
pub(super) const EXITED: u8 = 4;

/// What a record is of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordHeader {
    /// The module's path, as it was given.
    pub module: String,
    /// A hash of the module's bytes.
    pub module_hash: [u8; 32],
    /// The function called and its arguments, where it was not the usual one.
    pub invoke: Vec<String>,
    /// Settings of the runner's that change what a guest computes, one word each.
    pub settings: Vec<String>,
}

impl RecordHeader {
    /// A header for the module at this path with these bytes.
    #[must_use]
    pub fn new(module: impl Into<String>, bytes: &[u8]) -> RecordHeader {
        RecordHeader {
            module: module.into(),
            module_hash: *blake3::hash(bytes).as_bytes(),
            invoke: Vec::new(),
            settings: Vec::new(),
        }
    }

    /// Whether the record is of a module with these bytes.
    #[must_use]
    pub fn is_of(&self, bytes: &[u8]) -> bool {
        self.module_hash == *blake3::hash(bytes).as_bytes()
    }
}

/// Why a record cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// It cannot be read or written.
    #[error("the record cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is no record, or one of another version.
    #[error("it is not a record of this version of inn")]
    Foreign,
    /// A checksum is wrong, or what is in a block means nothing.
    #[error("the record is damaged at byte {byte}, or in the block that begins there")]
    Damaged {
        /// Where the block begins in the record.
        byte: u64,
    },
    /// It ends within a block: it was cut off there, or the block's length is damaged.
    #[error(
        "the record is damaged at byte {byte}: the block that begins there is not whole when the file ends at byte {end}"
    )]
    Incomplete {
        /// Where the block begins in the record.
        byte: u64,
        /// How long the record is.
        end: u64,
    },
    /// It ends between two blocks, before the guest did.
    #[error("the record was cut off at byte {byte}, or its run was killed: it ends before the guest did")]
    CutOff {
        /// How long the record is.
        byte: u64,
    },
    /// Something follows the guest's end.
    #[error("the record is damaged at byte {byte}: it goes on after the guest's end")]
    GoesOn {
        /// Where what is too much begins.
        byte: u64,
    },
}

/// Writes blocks.
pub(super) struct BlockWriter {
    to: Box<dyn Write + Send>,
    chain: [u8; CHECKSUM_BYTES],
}

impl BlockWriter {
    pub(super) fn new(mut to: Box<dyn Write + Send>) -> io::Result<BlockWriter> {
        to.write_all(MAGIC)?;
        Ok(BlockWriter { to, chain: [0; CHECKSUM_BYTES] })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.chain = checksum(self.chain, bytes);
        self.to.write_all(&length.to_le_bytes())?;
        self.to.write_all(&self.chain)?;
        self.to.write_all(bytes)
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Reads blocks, and checks each.
pub(super) struct BlockReader {
    from: Box<dyn Read + Send>,
    chain: [u8; CHECKSUM_BYTES],
    /// Where the block that was read last begins.
    block_start: u64,
    /// Bytes read so far.
    position: u64,
}

impl BlockReader {
    pub(super) fn new(mut from: Box<dyn Read + Send>) -> Result<BlockReader, RecordError> {
        let mut magic = [0; MAGIC.len()];
        let count = read_up_to(&mut from, &mut magic)?;
        if magic[..count] != MAGIC[..count] {
            return Err(RecordError::Foreign);
        }
        let position = count as u64;
        if count < magic.len() {
            return Err(RecordError::CutOff { byte: position });
        }
        Ok(BlockReader { from, chain: [0; CHECKSUM_BYTES], block_start: position, position })
    }

    /// The next block; nothing at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, RecordError> {
        self.block_start = self.position;
        let byte = self.block_start;
        let mut head = [0; 4 + CHECKSUM_BYTES];
        let count = read_up_to(&mut self.from, &mut head)?;
        self.position += count as u64;
        match count {
            0 => return Ok(None),
            count if count < head.len() => {
                return Err(RecordError::Incomplete { byte, end: self.position });
            }
            _ => {}
        }
        let [a, b, c, d, ..] = head;
        let length = u32::from_le_bytes([a, b, c, d]);
        let mut bytes = Vec::new();
        // As much as is there: a damaged length reserves nothing.
        (&mut self.from).take(u64::from(length).min(MAX_BLOCK_BYTES)).read_to_end(&mut bytes)?;
        self.position += bytes.len() as u64;
        if bytes.len() as u64 == MAX_BLOCK_BYTES && u64::from(length) > MAX_BLOCK_BYTES {
            return Err(self.damaged());
        }
        if bytes.len() as u64 != u64::from(length) {
            return Err(RecordError::Incomplete { byte, end: self.position });
        }
        self.chain = checksum(self.chain, &bytes);
        if self.chain != head[4..] {
            return Err(self.damaged());
        }
        Ok(Some(bytes))
    }

    /// Something in the block that was read last is wrong.
    pub(super) fn damaged(&self) -> RecordError {
        RecordError::Damaged { byte: self.block_start }
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }
}

fn read_up_to(from: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn checksum(chain: [u8; CHECKSUM_BYTES], bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&chain).update(bytes);
    let mut first = [0; CHECKSUM_BYTES];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..CHECKSUM_BYTES]);
    first
}

pub(super) fn put_number(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

pub(super) fn put_signed(to: &mut Vec<u8>, number: i64) {
    put_number(to, ((number << 1) ^ (number >> 63)).cast_unsigned());
}

pub(super) fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    put_number(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

/// Takes numbers and bytes off the front of a block. Nothing where it ends too early.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    bytes: Vec<u8>,
    at: usize,
}

impl Cursor {
    pub(super) fn new(bytes: Vec<u8>) -> Cursor {
        Cursor { bytes, at: 0 }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    pub(super) fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1).cast_signed() ^ -((number & 1).cast_signed()))
    }

    pub(super) fn bytes(&mut self) -> Option<&[u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let end = self.at.checked_add(length)?;
        let bytes = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(bytes)
    }

    pub(super) fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = self.bytes.get(self.at..self.at + N)?.try_into().ok()?;
        self.at += N;
        Some(bytes)
    }

    pub(super) fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }
}

pub(super) fn encode_header(header: &RecordHeader) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_bytes(&mut bytes, header.module.as_bytes());
    bytes.extend_from_slice(&header.module_hash);
    for list in [&header.invoke, &header.settings] {
        put_number(&mut bytes, list.len() as u64);
        for text in list {
            put_bytes(&mut bytes, text.as_bytes());
        }
    }
    bytes
}

pub(super) fn decode_header(bytes: Vec<u8>) -> Option<RecordHeader> {
    let mut cursor = Cursor::new(bytes);
    let module = cursor.text()?;
    let module_hash = cursor.fixed()?;
    let mut list = || (0..cursor.number()?).map(|_| cursor.text()).collect::<Option<Vec<_>>>();
    let (invoke, settings) = (list()?, list()?);
    Some(RecordHeader { module, module_hash, invoke, settings })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        let numbers = [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, u64::from(u32::MAX), u64::MAX];
        let mut bytes = Vec::new();
        for number in numbers {
            put_number(&mut bytes, number);
            put_signed(&mut bytes, number.cast_signed());
            put_signed(&mut bytes, number.cast_signed().wrapping_neg());
        }
        let mut cursor = Cursor::new(bytes);
        for number in numbers {
            assert_eq!(cursor.number(), Some(number));
            assert_eq!(cursor.signed(), Some(number.cast_signed()));
            assert_eq!(cursor.signed(), Some(number.cast_signed().wrapping_neg()));
        }
        assert!(cursor.is_at_end() && cursor.number().is_none());
        assert_eq!(Cursor::new(vec![0xff; 11]).number(), None);
    }
}
