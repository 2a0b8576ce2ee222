//! Carrying a journal out, and taking it back: from the file system and the journal alone, by whichever process.
//!
//! Every step is one rename, or writes that can be repeated. Whether a step was done is seen from what lies in the staging directory,
//! so that a process that ends anywhere leaves a state from which both ways lead on. What must stay true: nothing is replaced, and
//! nothing is moved but what the journal knows by its number, and nothing taken back to be removed but what was made; nothing is removed before everything else is done; whatever the journal
//! says, what no guest may reach stays as it is.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};

use super::cursor::{Cursor, Time};
use super::journal::{
    Attach, Contents, Detach, FileTimes, Identity, Journal, KeptFile, ObjectId, Patch, PatchPlace, TOP,
};
use super::look::open;
use super::stage::{Phase, Staging, copy, copy_data, list};
use super::{Cause, Failure, Guard};
use crate::host::error::Error;
use crate::host::gate::Permit;
use crate::host::hidden::identity;
use crate::host::metadata::{Metadata, Timestamp};
use crate::host::open::{DataAccess, OpenOptions};
use crate::host::reach::NativeDirectory;
use crate::host::resolve::ResolvedName as SystemPlace;
use crate::host::sys;
use crate::host::times::{SetTime, SetTimes};

/// A journal being carried out or taken back.
pub(super) struct Run<'a> {
    pub(super) permit: &'a Permit,
    pub(super) top: &'a NativeDirectory,
    pub(super) staging: &'a Staging<'a>,
    pub(super) journal: &'a Journal,
    pub(super) guard: &'a Guard<'a>,
}

type Done = Result<(), Failure>;

/// When what is new was last written to, as the journal has it set.
type TimesSet = HashMap<Identity, Timestamp>;

impl Run<'_> {
    /// Carries out what is still to be done.
    pub(super) fn forward(&self, phase: Phase) -> Done {
        let journal = self.journal;
        if phase <= Phase::Taking && !journal.detach.is_empty() {
            self.begin(Phase::Taking)?;
            let mut before = self.cursor(Time::Before)?;
            self.each(
                &journal.detach,
                |step| self.take(&mut before, step),
                |step| journal.path_before(&step.from),
            )?;
        }
        let mut after = self.cursor(Time::After)?;
        if phase <= Phase::Putting && !journal.attach.is_empty() {
            self.begin(Phase::Putting)?;
            let times_set = self.times_set();
            self.each(
                &journal.attach,
                |step| self.put(&mut after, step, &times_set),
                |step| journal.path_after(&step.to),
            )?;
        }
        if phase <= Phase::Patching && !journal.patches.is_empty() {
            let path = |step: &Patch| journal.path_of_patch(&step.place);
            if phase < Phase::Patching {
                self.each(&journal.patches, |step| self.check_patch(&mut after, step), path)?;
                self.begin(Phase::Patching)?;
            }
            self.each(&journal.patches, |step| self.patch(&mut after, step), path)?;
        }
        if phase <= Phase::Timing && !journal.times.is_empty() {
            self.begin(Phase::Timing)?;
            self.each(
                &journal.times,
                |step| self.set_times(&mut after, &step.place, step.identity, step.times),
                |step| journal.path_of_patch(&step.place),
            )?;
        }
        if phase < Phase::Finishing {
            self.guard.check().map_err(Failure::without_path)?;
            sys::flush_file_system(self.permit, self.staging.top()).map_err(Failure::without_path)?;
            self.begin(Phase::Finishing)?;
        }
        self.staging.remove(self.guard).map_err(Failure::without_path)?;
        self.set_top_times(journal.top_times)
    }

    /// Takes back what was done, up to where everything is as it was and only the staging directory is there in addition.
    pub(super) fn backward(&self, phase: Phase) -> Done {
        let journal = self.journal;
        let mut after = self.cursor(Time::After)?;
        if phase >= Phase::Timing {
            self.each(
                &journal.times,
                |step| match step.old {
                    Some(old) => self.set_times_back(&mut after, &step.place, step.identity, old),
                    None => Ok(()),
                },
                |step| journal.path_of_patch(&step.place),
            )?;
        }
        if phase >= Phase::Patching {
            let path = |step: &Patch| journal.path_of_patch(&step.place);
            self.each(&journal.patches, |step| self.take_back_patch(&mut after, step), path)?;
            self.begin(Phase::Putting)?;
        }
        if phase >= Phase::Putting {
            let times_set = self.times_set();
            self.each(
                journal.attach.iter().rev(),
                |step| self.take_back(&mut after, step, &times_set),
                |step| journal.path_after(&step.to),
            )?;
            self.begin(Phase::Taking)?;
        }
        if phase >= Phase::Taking {
            let mut before = self.cursor(Time::Before)?;
            self.each(
                journal.detach.iter().rev(),
                |step| self.put_back(&mut before, step),
                |step| journal.path_before(&step.from),
            )?;
            for record in journal.directories.iter().filter(|record| record.before.is_some()) {
                let (Some(place), Some(times)) = (&record.before, record.old_times) else { continue };
                self.set_times_back(&mut before, &PatchPlace::In(place.clone()), record.identity, times)
                    .map_err(|cause| Failure { cause, path: journal.path_before(place) })?;
            }
            self.begin(Phase::Staged)?;
        }
        self.set_top_times(self.old_top_times())
    }

    /// What the times of the top were before anything was done.
    pub(super) fn old_top_times(&self) -> Option<FileTimes> {
        self.journal.directory(TOP).and_then(|top| top.old_times)
    }

    /// Sets the times of the top, which the staging directory has changed.
    pub(super) fn set_top_times(&self, times: Option<FileTimes>) -> Done {
        match times {
            Some(times) => {
                sys::set_times(self.permit, self.staging.top(), to_set(times)).map_err(Failure::without_path)
            }
            None => Ok(()),
        }
    }

    fn times_set(&self) -> TimesSet {
        let of_new = self.journal.times.iter().filter(|step| step.old.is_none());
        of_new.map(|step| (step.identity, step.times.modified)).collect()
    }

    fn begin(&self, phase: Phase) -> Done {
        self.guard.check().map_err(Failure::without_path)?;
        self.staging.set_phase(phase).map_err(Failure::without_path)
    }

    fn cursor(&self, time: Time) -> Result<Cursor<'_>, Failure> {
        Cursor::new(self.permit, self.top, time).map_err(Failure::without_path)
    }

    fn each<'s, T: 's>(
        &self,
        steps: impl IntoIterator<Item = &'s T>,
        mut act: impl FnMut(&'s T) -> Result<(), Cause>,
        path: impl Fn(&'s T) -> Vec<u8>,
    ) -> Done {
        for step in steps {
            self.guard
                .check()
                .and_then(|()| act(step))
                .map_err(|cause| Failure { cause, path: path(step) })?;
        }
        Ok(())
    }

    fn take(&self, cursor: &mut Cursor<'_>, step: &Detach) -> Result<(), Cause> {
        if self.staged(step.object)?.is_some() {
            return Ok(());
        }
        let found = match cursor.stat(&self.journal.directories, &step.from) {
            // What was to go has gone by itself.
            Err(Error::NotFound) if step.lost.is_some() => return Ok(()),
            found => found?,
        };
        expect(step.identity, &found)?;
        let directory = cursor.go_to_change(&self.journal.directories, &step.from)?;
        match &step.lost {
            Some(Contents::File { size_bytes, modified })
                if (*size_bytes, *modified) != (found.size_bytes, found.modified) =>
            {
                return Err(Cause::Changed);
            }
            Some(Contents::Directory) => self.expect_empty(directory, &step.from.name)?,
            _ => {}
        }
        let to = step.object.name();
        Ok(sys::rename_to_free(self.permit, (directory, &step.from.name), (self.staging.fd(), &to))?)
    }

    fn put_back(&self, cursor: &mut Cursor<'_>, step: &Detach) -> Result<(), Cause> {
        let Some(found) = self.staged(step.object)? else { return Ok(()) };
        expect(step.identity, &found)?;
        self.admit_staged(&found)?;
        let directory = cursor.go_to_change(&self.journal.directories, &step.from)?;
        let from = step.object.name();
        rename_or_occupied(self.permit, (self.staging.fd(), &from), (directory, &step.from.name))
    }

    fn put(&self, cursor: &mut Cursor<'_>, step: &Attach, times_set: &TimesSet) -> Result<(), Cause> {
        let Some(found) = self.staged(step.object)? else {
            // It was put there, or somebody has taken it.
            return self.find(cursor, step, times_set);
        };
        expect(step.identity, &found)?;
        self.admit_staged(&found)?;
        let directory = cursor.go_to_change(&self.journal.directories, &step.to)?;
        let from = step.object.name();
        if step.made.is_some() {
            sys::inherit_group(self.permit, directory, (self.staging.fd(), &from))?;
        }
        rename_or_occupied(self.permit, (self.staging.fd(), &from), (directory, &step.to.name))
    }

    /// Expects in its place what was put there.
    fn find(&self, cursor: &mut Cursor<'_>, step: &Attach, times_set: &TimesSet) -> Result<(), Cause> {
        let found = cursor.stat(&self.journal.directories, &step.to)?;
        expect(step.identity, &found)?;
        let Some(made) = &step.made else { return Ok(()) };
        let directory = cursor.go(&self.journal.directories, step.to.directory)?;
        let born = sys::birth_at(self.permit, directory, &step.to.name);
        let time_set = times_set.get(&step.identity).copied();
        if made.is(&found, born, time_set) { Ok(()) } else { Err(Cause::Changed) }
    }

    fn take_back(&self, cursor: &mut Cursor<'_>, step: &Attach, times_set: &TimesSet) -> Result<(), Cause> {
        if self.staged(step.object)?.is_some() {
            return Ok(());
        }
        self.find(cursor, step, times_set)?;
        let directory = cursor.go_to_change(&self.journal.directories, &step.to)?;
        let to = step.object.name();
        Ok(sys::rename_to_free(self.permit, (directory, &step.to.name), (self.staging.fd(), &to))?)
    }

    fn check_patch(&self, cursor: &mut Cursor<'_>, step: &Patch) -> Result<(), Cause> {
        let file = self.open_patched(cursor, step)?;
        let found = sys::stat(self.permit, file.as_fd())?;
        let is_same = (found.size_bytes, found.modified) == (step.old_size, step.old_times.modified);
        if is_same { Ok(()) } else { Err(Cause::Changed) }
    }

    fn patch(&self, cursor: &mut Cursor<'_>, step: &Patch) -> Result<(), Cause> {
        let file = self.open_patched(cursor, step)?;
        let new = self.open_kept(&step.new)?;
        sys::set_size(self.permit, file.as_fd(), step.kept_bytes)?;
        sys::set_size(self.permit, file.as_fd(), step.new_size)?;
        for range in &step.ranges {
            copy(self.permit, new.as_fd(), file.as_fd(), range.clone(), self.guard)?;
        }
        Ok(())
    }

    fn take_back_patch(&self, cursor: &mut Cursor<'_>, step: &Patch) -> Result<(), Cause> {
        let file = self.open_patched(cursor, step)?;
        let old = self.open_kept(&step.old)?;
        sys::set_size(self.permit, file.as_fd(), step.kept_bytes)?;
        sys::set_size(self.permit, file.as_fd(), step.old_size)?;
        for range in &step.ranges {
            let range = range.start..range.end.min(step.old_size);
            copy(self.permit, old.as_fd(), file.as_fd(), range, self.guard)?;
        }
        let cut = step.kept_bytes..step.old_size;
        copy_data(self.permit, old.as_fd(), file.as_fd(), cut, self.guard)?;
        Ok(sys::set_times(self.permit, file.as_fd(), to_set(step.old_times))?)
    }

    fn open_patched(&self, cursor: &mut Cursor<'_>, step: &Patch) -> Result<std::os::fd::OwnedFd, Cause> {
        let file = match &step.place {
            PatchPlace::In(place) => {
                let directory = cursor.go_to_change(&self.journal.directories, place)?;
                open(self.permit, directory, &place.name, DataAccess::Write)?
            }
            PatchPlace::Staged(object) => {
                open(self.permit, self.staging.fd(), &object.name(), DataAccess::Write)?
            }
        };
        expect(step.identity, &sys::stat(self.permit, file.as_fd())?)?;
        Ok(file)
    }

    /// Opens a file that is kept here to be read, if it is still what it was when the journal was written.
    fn open_kept(&self, kept: &KeptFile) -> Result<std::os::fd::OwnedFd, Cause> {
        let file = open(self.permit, self.staging.fd(), &kept.object.name(), DataAccess::Read)?;
        let found = sys::stat(self.permit, file.as_fd())?;
        let is_same = (found.inode, found.changed) == (kept.identity, kept.changed);
        if is_same { Ok(file) } else { Err(Cause::Changed) }
    }

    fn set_times(
        &self,
        cursor: &mut Cursor<'_>,
        place: &PatchPlace,
        identity: Identity,
        times: FileTimes,
    ) -> Result<(), Cause> {
        let staged;
        let (found, place) = match place {
            PatchPlace::In(place) => {
                let found = cursor.stat(&self.journal.directories, place)?;
                let directory = cursor.go_to_change(&self.journal.directories, place)?;
                (found, SystemPlace::of_name(directory, &place.name))
            }
            PatchPlace::Staged(object) => {
                let found = self.staged(*object)?.ok_or(Cause::Vanished)?;
                self.admit_staged(&found)?;
                staged = object.name();
                (found, SystemPlace::of_name(self.staging.fd(), &staged))
            }
        };
        expect(identity, &found)?;
        Ok(sys::set_times_at(self.permit, &place, to_set(times))?)
    }

    /// Sets the times that were. Where nothing may be changed, nothing was.
    fn set_times_back(
        &self,
        cursor: &mut Cursor<'_>,
        place: &PatchPlace,
        identity: Identity,
        times: FileTimes,
    ) -> Result<(), Cause> {
        match self.set_times(cursor, place, identity, times) {
            Err(Cause::Hidden) => Ok(()),
            result => result,
        }
    }

    /// What lies in the staging directory under a number.
    fn staged(&self, object: ObjectId) -> Result<Option<Metadata>, Error> {
        match sys::stat_at(self.permit, self.staging.fd(), &object.name()) {
            Ok(found) => Ok(Some(found)),
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Refuses to put what no guest may reach where one could.
    fn admit_staged(&self, found: &Metadata) -> Result<(), Error> {
        match self.top.near(true) {
            Some(hidden) if hidden.is_part_of_the_way(identity(found)) => Err(Error::Hidden),
            _ => Ok(()),
        }
    }

    fn expect_empty(&self, parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Cause> {
        let how = sys::OpenHow::new(&OpenOptions { directory: true, ..OpenOptions::default() });
        let directory = sys::open_name(self.permit, parent, name, how)?;
        let mut is_empty = true;
        list(self.permit, directory.as_fd(), |_, _| is_empty = false)?;
        if is_empty { Ok(()) } else { Err(Cause::Filled) }
    }
}

fn rename_or_occupied(
    permit: &Permit,
    from: (BorrowedFd<'_>, &[u8]),
    to: (BorrowedFd<'_>, &[u8]),
) -> Result<(), Cause> {
    match sys::rename_to_free(permit, from, to) {
        Err(Error::Exists) => Err(Cause::Occupied),
        result => Ok(result?),
    }
}

/// Whether something is what the journal speaks of.
fn expect(identity: Identity, found: &Metadata) -> Result<(), Cause> {
    if identity == found.inode { Ok(()) } else { Err(Cause::Changed) }
}

fn to_set(times: FileTimes) -> SetTimes {
    SetTimes { accessed: SetTime::To(times.accessed), modified: SetTime::To(times.modified) }
}
