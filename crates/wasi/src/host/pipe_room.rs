//! How much can be written to a pipe without waiting, known in advance: a guest that asks before each line has the system asked once for thousands of them.
//!
//! A pipe has slots of a page each. A write that does not fit into what is left of the last page begins another one, so that of two slots in a row one is at least half full,
//! and what is counted on is half of the room. Only whoever reads takes slots away; that another process writes to the same pipe meanwhile can be no better known than
//! after a poll: then a write waits.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};

use super::credentials::Rights;
use super::error::Error;
use super::gate::{Operation, Permit};
use super::stdio::Stream;
use super::{Host, sys};

/// Room that is known of, in bytes. Nothing is known at first.
#[derive(Debug, Default)]
pub(super) struct PipeRoom(AtomicU64);

/// How full a pipe is.
#[derive(Clone, Copy, Debug)]
pub(super) struct PipeUse {
    pub(super) capacity_bytes: u64,
    pub(super) used_bytes: u64,
}

const PAGE_BYTES: u64 = 4096;

impl PipeUse {
    /// What can be written for sure, in pieces of a page at most.
    fn room(self) -> u64 {
        let slots = self.capacity_bytes / PAGE_BYTES;
        // One at each end may hold a single byte.
        let used_slots = self.used_bytes.div_ceil(PAGE_BYTES / 2) + 2;
        slots.saturating_sub(used_slots) * (PAGE_BYTES / 2)
    }
}

impl PipeRoom {
    /// Whether there is room for so many bytes, as far as is known.
    pub(super) fn is_known_for(&self, bytes: u64) -> bool {
        self.0.load(Ordering::Relaxed) >= bytes
    }

    /// Asks the system, where it is a pipe.
    pub(super) fn ask(&self, permit: &Permit, fd: BorrowedFd<'_>) {
        let room = sys::pipe_use(permit, fd).map_or(0, PipeUse::room);
        self.0.store(room, Ordering::Relaxed);
    }

    /// Notes that so much was written of what was to be.
    #[inline]
    pub(super) fn take(&self, written: usize, wanted: usize) {
        let known = self.0.load(Ordering::Relaxed);
        if known > 0 {
            let left = if written < wanted { 0 } else { known.saturating_sub(written as u64) };
            self.0.store(left, Ordering::Relaxed);
        }
    }
}

impl Stream {
    /// Whether so many bytes can be written without waiting, as far as is known from when it was last asked ([`Host::ask_room`]) and what was written since.
    #[must_use]
    pub fn has_room(&self, bytes: u64) -> bool {
        self.room.is_known_for(bytes)
    }
}

impl Host {
    /// Asks how much can be written without waiting, where the stream is a pipe: see [`Stream::has_room`].
    ///
    /// # Errors
    /// [`Error::NotOpenForThis`] on an input.
    pub fn ask_room(&self, stream: &Stream) -> Result<(), Error> {
        let permit = self.decide_for_stream(Operation::Poll, Rights::WRITE, stream)?;
        if let Some(fd) = stream.descriptor() {
            stream.room.ask(&permit, fd);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;

    use super::*;

    /// Whatever is read meanwhile, and however long the pieces are, what there is said to be room for can be written at once.
    #[test]
    fn what_there_is_room_for_is_written_at_once() {
        let permit = Permit::of_the_keys_owner();
        for piece in [1, 9, 100, 2047, 2048, 2049, 4095, 4096] {
            for read_first in [0, 1, 4095, 4097, 20_000] {
                let (mut reader, mut writer) = std::io::pipe().unwrap();
                rustix::io::ioctl_fionbio(&writer, true).unwrap();
                writer.write_all(&vec![0; 30_000]).unwrap();
                std::io::Read::read_exact(&mut reader, &mut vec![0; read_first]).unwrap();
                let room = sys::pipe_use(&permit, writer.as_fd()).unwrap().room();
                assert!(read_first < 20_000 || room > 10_000, "{room}");
                for _ in 0..room / piece {
                    assert_eq!(writer.write(&vec![1; piece as usize]).unwrap() as u64, piece);
                }
            }
        }
    }

    #[test]
    fn what_is_no_pipe_has_no_room() {
        let permit = Permit::of_the_keys_owner();
        let file = tempfile::tempfile().unwrap();
        assert!(sys::pipe_use(&permit, file.as_fd()).is_none());
        let (_reader, writer) = std::io::pipe().unwrap();
        let room = PipeRoom::default();
        assert!(!room.is_known_for(1));
        room.ask(&permit, writer.as_fd());
        assert!(room.is_known_for(20_000));
        room.take(9, 9);
        assert!(room.is_known_for(20_000));
        room.take(9, 10);
        assert!(!room.is_known_for(1));
    }
}
