//! Carrying a tree's changes out in the host directory beneath it, for the owner of the keys, once the guest has ended.
//!
//! In this order, so that nothing is lost whatever happens on the way:
//! 1. `plan`: what the changes come to;
//! 2. `look`: everything is still as the guest saw it, and all of it can be done;
//! 3. `stage`: everything new, and everything that will be overwritten, is written into a staging directory, and a `journal` beside it;
//! 4. `steps`: what leaves its place is moved into the staging directory, what is new or moved is put into its place, bytes and times of
//!    files that stay are changed;
//! 5. what is left in the staging directory is removed, and it too.
//!
//! What fails before 4 has changed nothing; what fails later is taken back. A process that ends on the way leaves the staging
//! directory, from which `finish` goes on or back if it is believed (`seal`). Everything is reached by handles (`cursor`), and what no guest may
//! reach is not touched.

mod cursor;
mod finish;
mod journal;
mod look;
mod plan;
mod seal;
mod sealed_file;
pub(in crate::host) mod stage;
mod steps;
mod text;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

pub use finish::{Finish, Leftover, Unfinished, finish_apply, list_unfinished};
pub use seal::{ChangesSeal, Trust};
pub(in crate::host) use sealed_file::{is_staging_directory, looks_like_staging_directory};

use super::changes::{Overlay, Stop};
use super::node::State;
use crate::host::error::Error;
use crate::host::gate::Permit;
use crate::host::reach::NativeDirectory;
use crate::host::sys;
use crate::host::visible;
use cursor::{Cursor, Time};
use journal::{FileTimes, Journal, NameInDirectory, TOP};
use plan::Plan;
use seal::Kept;
use stage::{Phase, Staging};
use steps::Run;

/// Changes that were not, or not wholly, carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{cause}", Colon(.path))]
pub struct ApplyError {
    /// What it was about: a path in the directory; empty if it was about all of it.
    pub path: Vec<u8>,
    /// Why not.
    pub cause: Cause,
    /// What is there now.
    pub left: Aftermath,
    /// The staging directory's name in the directory, if it is there. Somebody else may have chosen it.
    pub staging: Option<String>,
}

/// Why changes could not be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The system refuses something.
    #[error("{0}")]
    System(Error),
    /// It is not what the guest saw.
    #[error("somebody else has changed it meanwhile")]
    Changed,
    /// It is not there any more.
    #[error("somebody else has removed it meanwhile")]
    Vanished,
    /// The place is taken.
    #[error("somebody else has put something there meanwhile")]
    Occupied,
    /// A directory that is to be removed is not empty.
    #[error("somebody else has put something into it meanwhile, and it would be removed")]
    Filled,
    /// Names cannot move between file systems.
    #[error(
        "it is on another file system, which is mounted there, or in a lower layer of an overlay, and cannot be moved"
    )]
    OtherFileSystem,
    /// It was to stop before it was done.
    #[error("stopped before all changes were made")]
    Stopped,
    /// Another process is at work in the directory.
    #[error("other changes are just being made in it")]
    Busy,
    /// Changes of an earlier run are half made.
    #[error("changes of an earlier run are half made in it")]
    Unfinished,
    /// The file system says that what this user makes belongs to somebody else, or lets others do more with it than around it.
    #[error("changes cannot be kept there: its file system does not give this user a directory of their own")]
    NotPrivate,
    /// The journal would be longer than one may be.
    #[error("there are more changes than can be made at once")]
    TooMany,
    /// There is no staging directory.
    #[error("it has no unfinished changes")]
    NothingToDo,
    /// What it is about is kept from guests.
    #[error("it is on the way to what no guest may reach, the code cache or its key")]
    Hidden,
    /// Nobody knows who has left it.
    #[error(
        "it does not have the seal of this user's key: an inn that did not find the key has left it, or somebody else, such as a guest"
    )]
    Foreign,
    /// The journal is damaged, or was not finished.
    #[error("not everything had been kept when it stopped, so that it cannot go on")]
    NoJournal,
    /// It cannot be undone any more.
    #[error("all changes have been made, and what was removed is being removed for good")]
    AllDone,
}

/// What unsuccessful work has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aftermath {
    /// Nothing: the directory is as it was.
    Nothing,
    /// Everything is as it was, and a part of the guest's changes is in the staging directory.
    Unstaged,
    /// Everything is as it was, and all of the guest's changes are in the staging directory.
    Staged,
    /// Some changes have been made.
    HalfMade,
    /// All changes have been made, and the staging directory could not be removed.
    Made,
    /// Some changes may have been made, and nobody knows which: the staging directory is damaged.
    Damaged,
    /// A staging directory that is not believed to be this user's own.
    Foreign,
}

impl From<Error> for Cause {
    fn from(error: Error) -> Cause {
        match error {
            Error::Stale => Cause::Changed,
            Error::NotFound => Cause::Vanished,
            Error::CrossDevice => Cause::OtherFileSystem,
            Error::Interrupted => Cause::Stopped,
            Error::Hidden => Cause::Hidden,
            other => Cause::System(other),
        }
    }
}

/// Something that went wrong, with the path that it was about.
#[derive(Debug)]
struct Failure {
    cause: Cause,
    path: Vec<u8>,
}

impl Failure {
    fn without_path(cause: impl Into<Cause>) -> Failure {
        Failure { cause: cause.into(), path: Vec::new() }
    }

    fn leaves(self, left: Aftermath, staging: Option<&Staging<'_>>) -> ApplyError {
        let staging = staging.map(|staging| String::from_utf8_lossy(&staging.name).into_owned());
        ApplyError { path: self.path, cause: self.cause, left, staging }
    }
}

/// Asked before every step.
struct Guard<'a> {
    stop: &'a Stop<'a>,
}

impl Guard<'_> {
    fn check(&self) -> Result<(), Cause> {
        if (self.stop)() { Err(Cause::Stopped) } else { Ok(()) }
    }
}

impl Overlay {
    /// Whether changes could be made here at all: where something that is kept from guests is beneath, they are not.
    ///
    /// # Errors
    /// [`Cause::Hidden`].
    pub fn check_apply(&self) -> Result<(), ApplyError> {
        let state = self.tree.lock();
        match state.lower.as_ref() {
            Some(lower) if lower.surrounds_hidden() => {
                Err(Failure::without_path(Cause::Hidden).leaves(Aftermath::Nothing, None))
            }
            _ => Ok(()),
        }
    }

    /// Makes the host directory what the guest saw. To be called once: afterwards the tree no longer describes a difference.
    ///
    /// What is left where that is interrupted has the seal that is trusted, and with [`Trust::All`] none. The answer is the names of staging directories
    /// that were passed over: they are damaged, or do not have the seal.
    ///
    /// # Errors
    /// Why not, and what there is now. Where `stop` says so, it ends before the next step; [`finish_apply`] goes on from there.
    pub fn apply(&self, trust: Trust<'_>, stop: &Stop<'_>) -> Result<Vec<Vec<u8>>, ApplyError> {
        self.check_apply()?;
        let permit = Permit::of_the_keys_owner();
        let guard = Guard { stop };
        let state = self.tree.lock();
        let Some(lower) = state.lower.as_ref() else { return Ok(Vec::new()) };
        let at_first = |cause: Cause| Failure::without_path(cause).leaves(Aftermath::Nothing, None);
        let mut plan = Plan::new(&state, stop).map_err(|error| at_first(error.into()))?;
        if plan.is_empty() {
            return Ok(Vec::new());
        }
        let top = open_top(&permit, lower.as_fd()).map_err(at_first)?;
        let passed_over = finish::refuse_half_made(&permit, top.as_fd(), trust)?;
        let found = sys::stat(&permit, top.as_fd()).map_err(|error| at_first(error.into()))?;
        plan.set_top(found.inode, FileTimes::of(&found));
        let staging = Staging::create(&permit, top.as_fd(), trust).map_err(at_first)?;
        let conflict = match stage(&permit, (&state, lower), &mut plan, &staging, &guard) {
            Ok(conflict) => conflict,
            Err(failure) if failure.cause == Cause::Stopped => {
                return Err(failure.leaves(Aftermath::Unstaged, Some(&staging)));
            }
            Err(failure) => return Err(unstage(&permit, lower, &plan, &staging, failure)),
        };
        let run =
            Run { permit: &permit, top: lower, staging: &staging, journal: &plan.journal, guard: &guard };
        match conflict {
            Some(failure) => {
                let failure = run.set_top_times(run.old_top_times()).err().unwrap_or(failure);
                Err(failure.leaves(Aftermath::Staged, Some(&staging)))
            }
            None => forward_or_back(&run, Phase::Staged).map(|()| passed_over),
        }
    }
}

/// Looks at everything and keeps everything; what is not as the guest saw it is the answer.
fn stage(
    permit: &Permit,
    (state, lower): (&State, &NativeDirectory),
    plan: &mut Plan,
    staging: &Staging<'_>,
    guard: &Guard<'_>,
) -> Result<Option<Failure>, Failure> {
    let mut cursor = Cursor::new(permit, lower, Time::Before).map_err(Failure::without_path)?;
    let conflict = look::look(permit, state, plan, &mut cursor, guard).map_err(Failure::without_path)?;
    let identities = look::keep_sources(permit, state, plan, &mut cursor, staging, guard)?;
    staging.fill(state, plan, identities, guard)?;
    guard.check().map_err(Failure::without_path)?;
    staging.write_journal(&plan.journal).map_err(Failure::without_path)?;
    Ok(conflict)
}

/// Removes what was kept of changes that cannot be kept as a whole: there is no room, or no such file here.
fn unstage(
    permit: &Permit,
    lower: &NativeDirectory,
    plan: &Plan,
    staging: &Staging<'_>,
    failure: Failure,
) -> ApplyError {
    let never = Guard { stop: &|| false };
    match staging.remove(&never) {
        Ok(()) => {
            let run = Run { permit, top: lower, staging, journal: &plan.journal, guard: &never };
            // What failed before is told.
            let _ = run.set_top_times(run.old_top_times());
            failure.leaves(Aftermath::Nothing, None)
        }
        Err(_) => failure.leaves(Aftermath::Unstaged, Some(staging)),
    }
}

/// Carries a journal out, and takes everything back if that fails.
fn forward_or_back(run: &Run<'_>, phase: Phase) -> Result<(), ApplyError> {
    let Err(failure) = run.forward(phase) else { return Ok(()) };
    let reached = match run.staging.phase() {
        Ok(Kept::Believed(phase)) => Some(phase),
        _ => None,
    };
    if reached == Some(Phase::Finishing) {
        return Err(failure.leaves(Aftermath::Made, Some(run.staging)));
    }
    if failure.cause == Cause::Stopped {
        let left = if reached == Some(Phase::Staged) { Aftermath::Staged } else { Aftermath::HalfMade };
        return Err(failure.leaves(left, Some(run.staging)));
    }
    let left = match reached.map(|reached| run.backward(reached)) {
        Some(Ok(())) => Aftermath::Staged,
        _ => Aftermath::HalfMade,
    };
    Err(failure.leaves(left, Some(run.staging)))
}

/// A handle to a directory of one's own, which nobody else makes changes in meanwhile.
fn open_top(permit: &Permit, directory: BorrowedFd<'_>) -> Result<OwnedFd, Cause> {
    let top = sys::open_list(permit, directory)?;
    match sys::lock_alone(permit, top.as_fd()) {
        Err(Error::Again) => Err(Cause::Busy),
        result => {
            result?;
            Ok(top)
        }
    }
}

impl Plan {
    fn is_empty(&self) -> bool {
        let journal = &self.journal;
        journal.detach.is_empty()
            && journal.attach.is_empty()
            && journal.patches.is_empty()
            && journal.times.is_empty()
            && journal.top_times.is_none()
    }

    /// Notes what the top is and was, and that its times stay unless names in it change.
    fn set_top(&mut self, identity: u64, times: FileTimes) {
        let names_change = self.journal.detach.iter().any(|step| step.from.directory == TOP)
            || self.journal.attach.iter().any(|step| step.to.directory == TOP);
        if let Some(top) = self.journal.directories.first_mut() {
            top.identity = identity;
            top.old_times = Some(times);
        }
        if self.journal.top_times.is_none() && !names_change {
            self.journal.top_times = Some(times);
        }
    }
}

impl Journal {
    fn path_before(&self, place: &NameInDirectory) -> Vec<u8> {
        self.path(place, |record| record.before.as_ref())
    }

    fn path_after(&self, place: &NameInDirectory) -> Vec<u8> {
        self.path(place, |record| record.after.as_ref())
    }

    fn path_of_patch(&self, place: &journal::PatchPlace) -> Vec<u8> {
        match place {
            journal::PatchPlace::In(place) => self.path_after(place),
            journal::PatchPlace::Staged(object) => object.name(),
        }
    }

    /// The path of a place, for people.
    fn path(
        &self,
        place: &NameInDirectory,
        up: impl Fn(&journal::DirectoryRecord) -> Option<&NameInDirectory>,
    ) -> Vec<u8> {
        let mut names = vec![&place.name];
        let mut at = place.directory;
        while at != TOP
            && let Some(place) = self.directory(at).and_then(&up)
        {
            names.push(&place.name);
            at = place.directory;
        }
        names.reverse();
        names.retain(|name| !name.is_empty());
        names.iter().map(|name| &name[..]).collect::<Vec<_>>().join(&b'/')
    }
}

/// A path before a message, if there is one.
struct Colon<'a>(&'a [u8]);

impl std::fmt::Display for Colon<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "{}: ", visible(&String::from_utf8_lossy(self.0))) }
    }
}

impl From<Cause> for Failure {
    fn from(cause: Cause) -> Failure {
        Failure::without_path(cause)
    }
}
