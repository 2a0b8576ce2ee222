//! The files of a staging directory that are sealed: the journal, and how far it has come.
//!
//! What must stay true: what is believed is what was sealed, to the last byte, and nothing that is not believed is taken for a journal; neither writing nor reading
//! holds more of a file than a part.

use std::io::IoSliceMut;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::Cause;
use super::journal::Journal;
use super::seal::{Kept, SealLine};
use super::stage::{Phase, Staging, write_all};
use super::text::Reader;
use crate::host::error::Error;
use crate::host::gate::Permit;
use crate::host::metadata::FileKind;
use crate::host::open::{DataAccess, OpenOptions};
use crate::host::resolve::ResolvedName as SystemPlace;
use crate::host::sys;

/// A journal is no longer; somebody else has put there what is.
const MAX_JOURNAL_BYTES: u64 = 256 << 20;

const JOURNAL: &[u8] = b"journal";
const PHASE: &[u8] = b"phase";
const NEW_PHASE: &[u8] = b"phase.new";

/// What a phase's number comes after.
const PHASE_WORD: &str = "phase ";

/// Longer is no phase.
const MAX_PHASE_BYTES: u64 = 4096;

/// Bytes read at once.
const PART_BYTES: usize = 64 * 1024;

/// Whether a directory is one that changes are staged in, by what is in it: whatever its name is where it is mounted. A guest makes no file that is the user's alone,
/// or no run could grant a directory any more in which it has made one that looks like this.
pub(in crate::host) fn is_staging_directory(permit: &Permit, directory: BorrowedFd<'_>) -> bool {
    phase_in(permit, directory).is_some_and(|file| sys::is_owners_alone(permit, file.as_fd()))
}

/// Whether a directory may be one that changes are staged in, where file systems do not say what is the user's alone: a guest can make one that is refused to guests.
pub(in crate::host) fn looks_like_staging_directory(permit: &Permit, directory: BorrowedFd<'_>) -> bool {
    phase_in(permit, directory).is_some()
}

/// The phase in a directory, if there is what is written like one.
fn phase_in(permit: &Permit, directory: BorrowedFd<'_>) -> Option<OwnedFd> {
    let options = OpenOptions { access: DataAccess::Read, nonblocking: true, ..OpenOptions::default() };
    let file = sys::open_name(permit, directory, PHASE, sys::OpenHow::new(&options)).ok()?;
    let mut buffer = [0; 64];
    let read = sys::is_regular(file.as_fd())
        && sys::read_at(permit, file.as_fd(), &mut [IoSliceMut::new(&mut buffer)], 0).is_ok();
    let number = buffer.strip_prefix(PHASE_WORD.as_bytes()).and_then(|rest| rest.split_first());
    let is_one =
        read && number.is_some_and(|(digit, rest)| digit.is_ascii_digit() && rest.starts_with(b"\nsealed "));
    is_one.then_some(file)
}

impl Staging<'_> {
    /// Writes the journal, after which everything can be carried out from here.
    pub(super) fn write_journal(&self, journal: &Journal) -> Result<(), Cause> {
        self.write_journal_up_to(MAX_JOURNAL_BYTES, journal)
    }

    /// Writes a journal that is no longer: a longer one could not be read back, and nothing finished.
    fn write_journal_up_to(&self, max_bytes: u64, journal: &Journal) -> Result<(), Cause> {
        let mut length_bytes = SealLine::MAX_BYTES as u64;
        journal.write(&mut |part| {
            length_bytes += part.len() as u64;
            if length_bytes > max_bytes { Err(Cause::TooMany) } else { Ok(()) }
        })?;
        // What the journal speaks of comes before it.
        sys::flush_file_system(self.permit, self.fd())?;
        let file = sys::create_private_file(self.permit, self.fd(), JOURNAL)?;
        let mut sealing = self.sealer.begin();
        let mut offset = 0;
        let mut write = |part: &str| {
            let at = offset;
            offset += part.len() as u64;
            write_all(self.permit, file.as_fd(), part.as_bytes(), at)
        };
        journal.write(&mut |part| {
            sealing.add(part.as_bytes());
            write(part)
        })?;
        write(&sealing.line())?;
        sys::flush_all(self.permit, file.as_fd())?;
        Ok(sys::flush_all(self.permit, self.fd())?)
    }

    /// The journal. One that was not written to its end is damaged.
    pub(super) fn read_journal(&self) -> Result<Kept<Journal>, Error> {
        let mut reader = Some(Reader::default());
        let kept = self.read_sealed((JOURNAL, MAX_JOURNAL_BYTES), &mut |part| {
            if reader.as_mut().is_some_and(|reader| reader.part(part).is_none()) {
                reader = None;
            }
        })?;
        Ok(kept.and_then(|()| reader.and_then(Reader::end)))
    }

    /// How far it has come.
    pub(super) fn phase(&self) -> Result<Kept<Phase>, Error> {
        let mut text = Vec::new();
        let kept = self.read_sealed((PHASE, MAX_PHASE_BYTES), &mut |part| text.extend_from_slice(part))?;
        Ok(match kept {
            // It is noted before anything else is put here. Nobody knows who has made one without.
            Kept::Absent => self.sealer.without_file(Phase::Staged),
            kept => kept.and_then(|()| {
                let number = std::str::from_utf8(&text).ok()?.trim_end().strip_prefix(PHASE_WORD)?;
                Phase::ALL.get(number.parse::<usize>().ok()?).copied()
            }),
        })
    }

    /// Notes, for good, that the next phase has begun.
    pub(super) fn set_phase(&self, phase: Phase) -> Result<(), Error> {
        match sys::remove_file(self.permit, &SystemPlace::of_name(self.fd(), NEW_PHASE)) {
            Ok(()) | Err(Error::NotFound) => {}
            Err(error) => return Err(error),
        }
        let file = sys::create_private_file(self.permit, self.fd(), NEW_PHASE)?;
        let text = format!("{PHASE_WORD}{}\n", phase as usize);
        let mut sealing = self.sealer.begin();
        sealing.add(text.as_bytes());
        write_all(self.permit, file.as_fd(), (text + &sealing.line()).as_bytes(), 0)?;
        sys::flush_all(self.permit, file.as_fd())?;
        let [from, to] = [NEW_PHASE, PHASE].map(|name| SystemPlace::of_name(self.fd(), name));
        sys::rename(self.permit, &from, &to)?;
        sys::flush_all(self.permit, self.fd())
    }

    /// Removes the journal, so that nobody goes on with what is about to be removed.
    pub(super) fn forget_journal(&self) -> Result<(), Error> {
        sys::remove_file(self.permit, &SystemPlace::of_name(self.fd(), JOURNAL))?;
        sys::flush_all(self.permit, self.fd())
    }

    /// Removes these files, the phase last, as without it nobody knows whose the rest is.
    pub(super) fn remove_sealed_files(&self) -> Result<(), Error> {
        for name in [JOURNAL, NEW_PHASE, PHASE] {
            match sys::remove_file(self.permit, &SystemPlace::of_name(self.fd(), name)) {
                Ok(()) | Err(Error::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads a sealed file: all of it to know whether it is believed, and if so again, to show its text.
    fn read_sealed(
        &self,
        (name, max_bytes): (&[u8], u64),
        show: &mut dyn FnMut(&[u8]),
    ) -> Result<Kept<()>, Error> {
        match sys::stat_at(self.permit, self.fd(), name) {
            Err(Error::NotFound) => return Ok(Kept::Absent),
            Ok(found) if found.kind != FileKind::Regular => return Ok(Kept::Damaged),
            found => found.map(drop)?,
        }
        let Some(file) = self.open_sealed(name)? else { return Ok(Kept::Damaged) };
        let size = sys::stat(self.permit, file.as_fd())?.size_bytes;
        if size > max_bytes {
            return Ok(Kept::Damaged);
        }
        let mut end = Vec::new();
        // One byte more: the end of the line before.
        let end_at = size.saturating_sub(SealLine::MAX_BYTES as u64 + 1);
        self.read(file.as_fd(), end_at..size, &mut |part| end.extend_from_slice(part))?;
        let Some(line) = SealLine::at_end_of(&end) else { return Ok(Kept::Damaged) };
        let text = 0..size.saturating_sub(line.length_bytes as u64);
        for show in [None, Some(show)] {
            let mut sealing = self.sealer.begin();
            let mut show = show;
            self.read(file.as_fd(), text.clone(), &mut |part| {
                sealing.add(part);
                if let Some(show) = &mut show {
                    show(part);
                }
            })?;
            match sealing.compare(&line) {
                Kept::Believed(()) => {}
                kept => return Ok(kept),
            }
        }
        Ok(Kept::Believed(()))
    }

    /// Opens a regular file here; nothing if it is something else.
    fn open_sealed(&self, name: &[u8]) -> Result<Option<OwnedFd>, Error> {
        let options = OpenOptions { access: DataAccess::Read, ..OpenOptions::default() };
        match sys::open_name(self.permit, self.fd(), name, sys::OpenHow::new(&options)) {
            Ok(file) => Ok(sys::is_regular(file.as_fd()).then_some(file)),
            Err(Error::Loop | Error::IsDirectory) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Shows a range of a file, part by part, as far as there is any.
    fn read(
        &self,
        file: BorrowedFd<'_>,
        mut range: Range<u64>,
        show: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Error> {
        let mut buffer = vec![0; PART_BYTES];
        while range.start < range.end {
            let wanted = (PART_BYTES as u64).min(range.end - range.start) as usize;
            let part = &mut [IoSliceMut::new(&mut buffer[..wanted])];
            match sys::read_at(self.permit, file, part, range.start)? {
                0 => break,
                count => {
                    show(&buffer[..count]);
                    range.start += count as u64;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::journal::DirectoryRecord;
    use super::super::seal::Trust;
    use super::*;

    /// What could not be read back is not written, so that nothing is changed that could not be finished.
    #[test]
    fn a_journal_that_is_too_long_is_not_written() {
        let permit = Permit::of_the_keys_owner();
        let directory = tempfile::tempdir().expect("temporary directory");
        let top = std::fs::File::open(directory.path()).expect("directory");
        let staging = Staging::create(&permit, top.as_fd(), Trust::All).expect("staging");
        let journal = Journal { directories: vec![DirectoryRecord::default()], ..Journal::default() };
        let mut bytes = SealLine::MAX_BYTES as u64;
        let counted: Result<(), ()> = journal.write(&mut |part| {
            bytes += part.len() as u64;
            Ok(())
        });
        assert_eq!(counted, Ok(()));
        assert_eq!(staging.write_journal_up_to(bytes - 1, &journal), Err(Cause::TooMany));
        assert!(matches!(staging.read_journal(), Ok(Kept::Absent)));
        staging.write_journal_up_to(bytes, &journal).expect("it is as long as it may be");
        assert!(matches!(staging.read_journal(), Ok(Kept::Believed(read)) if read == journal));
    }
}
