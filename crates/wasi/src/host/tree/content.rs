//! The bytes of a file in a tree: pieces that were written, over what the file beneath still provides.
//!
//! A piece is filled from beneath when it is first written to, so that a byte changed in a large file costs one piece. A piece may be
//! shorter than a full one: what is beyond its end is zero. What was never written and is not beneath is zero, too.

use std::collections::BTreeMap;
use std::ops::Range;

use super::cost;
use crate::host::error::Error;

/// Bytes of a full piece.
const PIECE_BYTES: u64 = 16 * 1024;

/// Room of the smallest piece. Larger ones have twice as much as the next smaller, so that growing byte by byte copies little.
const MIN_ROOM_BYTES: u64 = 64;

/// As many pieces are given back at once: less than a millisecond.
const PIECES_CUT: usize = 4096;

/// Largest size a file can be given: positions are signed in the system's interface.
const MAX_SIZE_BYTES: u64 = i64::MAX as u64;

/// A file's bytes.
#[derive(Debug, Default)]
pub(super) struct Content {
    pieces: BTreeMap<u64, Vec<u8>>,
    size_bytes: u64,
    /// Bytes from the beginning that the file beneath provides where no piece does.
    lower_bytes: u64,
    held_bytes: u64,
    /// Whether it differs from what is beneath.
    changed: bool,
}

/// Reads bytes of the file beneath at an offset; all of them, unless it has become shorter.
pub(super) type ReadLower<'a> = dyn FnMut(&mut [u8], u64) -> Result<usize, Error> + 'a;

impl Content {
    /// The content of a file beneath of this size.
    pub(super) fn of_lower(size_bytes: u64) -> Content {
        Content { size_bytes, lower_bytes: size_bytes, ..Content::default() }
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Bytes of memory that the pieces take, with all that belongs to them.
    pub(super) fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    pub(super) fn is_changed(&self) -> bool {
        self.changed
    }

    /// Whether reading or writing can need the file beneath.
    pub(super) fn needs_lower(&self) -> bool {
        self.lower_bytes > 0
    }

    /// Bytes from the beginning that are still those beneath, where no piece is.
    pub(super) fn lower_bytes(&self) -> u64 {
        self.lower_bytes
    }

    /// The pieces, each with its offset.
    pub(super) fn pieces(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.pieces.iter().map(|(index, piece)| (index * PIECE_BYTES, &piece[..]))
    }

    /// Where pieces are.
    pub(super) fn piece_ranges(&self) -> Vec<Range<u64>> {
        let mut ranges = Vec::new();
        for (offset, piece) in self.pieces() {
            append(&mut ranges, offset..offset + piece.len() as u64);
        }
        ranges
    }

    /// Where there are bytes that are not known to be zero: pieces, and what `lower_data` says of the file beneath, which is the first
    /// range of data in a range.
    ///
    /// # Errors
    /// Those of `lower_data`.
    pub(super) fn data(
        &self,
        lower_data: &mut dyn FnMut(Range<u64>) -> Result<Option<Range<u64>>, Error>,
    ) -> Result<Vec<Range<u64>>, Error> {
        let mut data = Vec::new();
        let mut below = |data: &mut Vec<Range<u64>>, mut rest: Range<u64>| {
            while rest.start < rest.end
                && let Some(found) = lower_data(rest.clone())?
            {
                rest.start = found.end.max(rest.start + 1);
                append(data, found);
            }
            Ok::<(), Error>(())
        };
        let mut at = 0;
        for (offset, piece) in self.pieces() {
            below(&mut data, at..offset.min(self.lower_bytes))?;
            append(&mut data, offset..offset + piece.len() as u64);
            at = offset + PIECE_BYTES;
        }
        below(&mut data, at..self.lower_bytes)?;
        Ok(data)
    }

    /// How many of `length` bytes can be written at `offset` without holding more than `left_bytes` in addition, and how much
    /// more [`Content::write`] of so many will hold.
    pub(super) fn room(&self, offset: u64, length: u64, left_bytes: u64) -> (u64, u64) {
        let mut left = left_bytes;
        let mut done = 0;
        while done < length {
            let at = offset.saturating_add(done);
            let (index, within) = (at / PIECE_BYTES, at % PIECE_BYTES);
            let count = (length - done).min(PIECE_BYTES - within);
            let provided = || self.lower_bytes.saturating_sub(index * PIECE_BYTES).min(PIECE_BYTES);
            let cost = match self.pieces.get(&index) {
                Some(piece) => {
                    let room = room_bytes((within + count).max(piece.len() as u64));
                    cost::allocation_bytes(room)
                        .saturating_sub(cost::allocation_bytes(piece.capacity() as u64))
                }
                None => piece_bytes(room_bytes(provided().max(within + count))),
            };
            if cost > left {
                break;
            }
            left -= cost;
            done += count;
        }
        (done, left_bytes - left)
    }

    /// Reads at `offset`; fewer bytes at the end.
    pub(super) fn read(
        &self,
        buffer: &mut [u8],
        offset: u64,
        lower: &mut ReadLower<'_>,
    ) -> Result<usize, Error> {
        let left = self.size_bytes.saturating_sub(offset);
        let total = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut done = 0;
        while done < total {
            let at = offset + done as u64;
            let (index, within) = (at / PIECE_BYTES, at % PIECE_BYTES);
            // At most a piece, so it fits.
            let count = (total - done).min((PIECE_BYTES - within) as usize);
            let part = &mut buffer[done..done + count];
            match self.pieces.get(&index) {
                Some(piece) => copy_from(piece, within as usize, part),
                None => self.read_lower(part, at, lower)?,
            }
            done += count;
        }
        Ok(total)
    }

    /// Writes at `offset`, and tells how much: less than all where a later piece cannot be filled from beneath.
    ///
    /// # Errors
    /// [`Error::FileTooLarge`], [`Error::Invalid`], and what reading beneath gives; then nothing has been written.
    pub(super) fn write(
        &mut self,
        bytes: &[u8],
        offset: u64,
        lower: &mut ReadLower<'_>,
    ) -> Result<usize, Error> {
        if i64::try_from(offset).is_err() {
            return Err(Error::Invalid);
        }
        let end = offset.checked_add(bytes.len() as u64).ok_or(Error::FileTooLarge)?;
        if end > MAX_SIZE_BYTES {
            return Err(Error::FileTooLarge);
        }
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let (index, within) = (at / PIECE_BYTES, (at % PIECE_BYTES) as usize);
            let count = (bytes.len() - done).min(PIECE_BYTES as usize - within);
            let piece = match self.piece(index, (within + count) as u64, lower) {
                Ok(piece) => piece,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            };
            if piece.len() < within + count {
                piece.resize(within + count, 0);
            }
            piece[within..within + count].copy_from_slice(&bytes[done..done + count]);
            done += count;
        }
        if done > 0 {
            self.changed = true;
            self.size_bytes = self.size_bytes.max(offset + done as u64);
        }
        Ok(done)
    }

    /// The size that it has next on the way to a smaller one, where that would give back very many pieces at once.
    pub(super) fn size_after_cut(&self, size_bytes: u64) -> u64 {
        let last = self.pieces.keys().nth_back(PIECES_CUT);
        last.map_or(size_bytes, |index| size_bytes.max(index * PIECE_BYTES))
    }

    /// Makes it this long, and returns how many bytes of memory that gives back.
    ///
    /// # Errors
    /// [`Error::FileTooLarge`].
    pub(super) fn set_size(&mut self, size_bytes: u64) -> Result<u64, Error> {
        if size_bytes > MAX_SIZE_BYTES {
            return Err(Error::FileTooLarge);
        }
        let before = self.held_bytes;
        self.changed |= size_bytes != self.size_bytes;
        if size_bytes < self.size_bytes {
            let (index, within) = (size_bytes / PIECE_BYTES, (size_bytes % PIECE_BYTES) as usize);
            let beyond = self.pieces.split_off(&index);
            for (at, mut piece) in beyond {
                self.held_bytes -= piece_bytes(piece.capacity() as u64);
                let kept = if at == index { piece.len().min(within) } else { 0 };
                // A piece is never shorter than what is provided beneath it, so one without bytes says nothing.
                if kept > 0 {
                    piece.truncate(kept);
                    piece.shrink_to(room_bytes(kept as u64) as usize);
                    self.held_bytes += piece_bytes(piece.capacity() as u64);
                    self.pieces.insert(at, piece);
                }
            }
        }
        self.size_bytes = size_bytes;
        self.lower_bytes = self.lower_bytes.min(size_bytes);
        Ok(before - self.held_bytes)
    }

    /// The piece with this index, filled from beneath if it is new, and with room for `length` bytes.
    ///
    /// # Errors
    /// [`Error::NoMemory`], and what reading beneath gives.
    fn piece(&mut self, index: u64, length: u64, lower: &mut ReadLower<'_>) -> Result<&mut Vec<u8>, Error> {
        if !self.pieces.contains_key(&index) {
            let start = index * PIECE_BYTES;
            let provided = self.lower_bytes.saturating_sub(start).min(PIECE_BYTES);
            let mut piece = Vec::new();
            make_room(&mut piece, provided.max(length))?;
            piece.resize(provided as usize, 0);
            if provided > 0 {
                self.read_lower(&mut piece, start, lower)?;
            }
            self.held_bytes += piece_bytes(piece.capacity() as u64);
            self.pieces.insert(index, piece);
        }
        let piece = self.pieces.get_mut(&index).ok_or(Error::Io)?;
        let before = piece_bytes(piece.capacity() as u64);
        make_room(piece, length)?;
        self.held_bytes = self.held_bytes - before + piece_bytes(piece.capacity() as u64);
        Ok(piece)
    }

    /// Reads where there is no piece. What the file beneath has lost meanwhile is zero.
    fn read_lower(&self, part: &mut [u8], at: u64, lower: &mut ReadLower<'_>) -> Result<(), Error> {
        let provided = self.lower_bytes.saturating_sub(at).min(part.len() as u64) as usize;
        let mut filled = 0;
        while filled < provided {
            match lower(&mut part[filled..provided], at + filled as u64)? {
                0 => break,
                count => filled += count,
            }
        }
        part[filled..].fill(0);
        Ok(())
    }
}

/// Room that a piece of this length is given.
fn room_bytes(length: u64) -> u64 {
    length.next_power_of_two().clamp(MIN_ROOM_BYTES, PIECE_BYTES)
}

/// What a piece with so much room costs.
fn piece_bytes(room: u64) -> u64 {
    cost::PIECE_SLOT_BYTES + cost::allocation_bytes(room)
}

fn make_room(piece: &mut Vec<u8>, length: u64) -> Result<(), Error> {
    let room = room_bytes(length) as usize;
    let more = room.saturating_sub(piece.len());
    if piece.capacity() < room { piece.try_reserve_exact(more).map_err(|_| Error::NoMemory) } else { Ok(()) }
}

/// Adds a range behind the last, or to it.
fn append(ranges: &mut Vec<Range<u64>>, range: Range<u64>) {
    match ranges.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ => ranges.push(range),
    }
}

/// Copies from a piece, whose end is followed by zeros.
fn copy_from(piece: &[u8], start: usize, part: &mut [u8]) {
    let there = piece.len().saturating_sub(start).min(part.len());
    if there > 0 {
        part[..there].copy_from_slice(&piece[start..start + there]);
    }
    part[there..].fill(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOWER: &[u8] = &[7; 40_000];

    fn read_lower(buffer: &mut [u8], offset: u64) -> Result<usize, Error> {
        let from = &LOWER[(offset as usize).min(LOWER.len())..];
        // Short reads happen.
        let count = buffer.len().min(from.len()).min(5000);
        buffer[..count].copy_from_slice(&from[..count]);
        Ok(count)
    }

    fn all(content: &Content) -> Vec<u8> {
        let mut bytes = vec![1; content.size_bytes() as usize + 10];
        let count = content.read(&mut bytes, 0, &mut read_lower).unwrap();
        bytes.truncate(count);
        bytes
    }

    /// Random operations on a content and on plain bytes give the same.
    #[test]
    fn it_behaves_like_plain_bytes() {
        let mut content = Content::of_lower(LOWER.len() as u64);
        let mut model = LOWER.to_vec();
        let mut seed = 1_u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % below
        };
        for round in 0..400 {
            if random(3) == 0 {
                let size = random(90_000);
                content.set_size(size).unwrap();
                model.resize(size as usize, 0);
            } else {
                let (offset, length) = (random(80_000) as usize, random(40_000) as usize);
                let bytes = vec![random(256) as u8; length];
                let before = content.held_bytes();
                let (room, cost) = content.room(offset as u64, length as u64, u64::MAX);
                assert_eq!(room, length as u64);
                content.write(&bytes, offset as u64, &mut read_lower).unwrap();
                assert_eq!(content.held_bytes() - before, cost);
                if length > 0 && model.len() < offset + length {
                    model.resize(offset + length, 0);
                }
                if length > 0 {
                    model[offset..offset + length].copy_from_slice(&bytes);
                }
            }
            assert!(all(&content) == model, "round {round}");
            let held: u64 = content.pieces.values().map(|piece| piece_bytes(piece.capacity() as u64)).sum();
            assert_eq!(content.held_bytes(), held);
        }
    }

    /// The file beneath cannot be read from some place on: whatever was written before it is told, and nothing else has changed.
    #[test]
    fn a_write_that_cannot_be_filled_from_beneath_tells_what_was_written() {
        let mut fails_beyond = |buffer: &mut [u8], offset: u64| match offset >= PIECE_BYTES {
            true => Err(Error::Io),
            false => read_lower(buffer, offset),
        };
        let mut content = Content::of_lower(LOWER.len() as u64);
        let held = content.held_bytes();
        // From within the second piece on, nothing can be.
        let refused = content.write(&[1; 100], PIECE_BYTES + 5, &mut fails_beyond);
        assert_eq!(refused, Err(Error::Io));
        assert_eq!((content.held_bytes(), content.is_changed()), (held, false));
        assert!(all(&content) == LOWER);
        // From the first into the second.
        let written = content.write(&[1; 100], PIECE_BYTES - 60, &mut fails_beyond);
        assert_eq!(written, Ok(60));
        assert!(content.is_changed());
        let mut model = LOWER.to_vec();
        model[PIECE_BYTES as usize - 60..PIECE_BYTES as usize].fill(1);
        assert!(all(&content) == model);
    }

    #[test]
    fn far_offsets_cost_nothing_but_their_piece() {
        let mut content = Content::default();
        content.write(&[1], 1 << 40, &mut |_, _| Ok(0)).unwrap();
        assert!(content.held_bytes() <= 2 * MIN_ROOM_BYTES + cost::PIECE_SLOT_BYTES);
        assert_eq!(content.write(&[1], u64::MAX, &mut |_, _| Ok(0)), Err(Error::Invalid));
        assert_eq!(content.write(&[1], i64::MAX as u64, &mut |_, _| Ok(0)), Err(Error::FileTooLarge));
        assert_eq!(content.set_size(u64::MAX), Err(Error::FileTooLarge));
    }
}
