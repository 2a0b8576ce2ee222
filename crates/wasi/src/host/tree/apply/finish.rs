//! Changes that an earlier process has left unfinished in a directory: what they are, going on with them, and going back.
//!
//! What must stay true: nothing is done that a journal says but where this user's own run wrote it, or its owner says that it is believed; one staging directory
//! that is not believed keeps nobody from finishing another, nor from making new changes; where nothing can be done here, the answer says so.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use super::journal::Journal;
use super::seal::{Kept, Trust};
use super::stage::{Phase, Staging};
use super::steps::Run;
use super::{Aftermath, ApplyError, Cause, Failure, Guard, forward_or_back, open_top};
use crate::host::error::Error;
use crate::host::gate::Permit;
use crate::host::hidden::Hidden;
use crate::host::reach::NativeDirectory;
use crate::host::resolve::ResolverKind;
use crate::host::sys;
use crate::host::tree::changes::Stop;
use crate::keys::{KernelFiles, NameAliases};

/// A directory in which changes may be unfinished, and what is believed and spared there.
#[derive(Clone, Copy, Debug)]
pub struct Unfinished<'a> {
    /// The directory that the changes are in.
    pub directory: &'a Path,
    /// Whose changes are believed.
    pub trust: Trust<'a>,
    /// What is not touched, whatever the changes say; see [`crate::keys::Keys::hidden`].
    pub hidden: &'a [PathBuf],
}

/// What is done about unfinished changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// They are made.
    Resume,
    /// They are taken back.
    Undo,
}

/// A staging directory that was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Its name in the directory.
    pub staging: Vec<u8>,
    /// How far its changes have been made.
    pub left: Aftermath,
    /// Whether it is on an overlay file system, where no change can be made that moves a directory of a lower layer.
    pub is_on_overlay: bool,
}

/// What a staging directory holds.
enum Found {
    /// All that is needed to go on and to go back.
    Whole(Phase, Journal),
    /// No whole journal.
    WithoutJournal(Phase),
    /// Nobody knows whose it is.
    Foreign,
    /// Nobody knows how far it has come.
    Damaged,
}

impl Found {
    fn of(staging: &Staging<'_>) -> Result<Found, Error> {
        let phase = match staging.phase()? {
            Kept::Believed(phase) => phase,
            Kept::Foreign => return Ok(Found::Foreign),
            Kept::Damaged | Kept::Absent => return Ok(Found::Damaged),
        };
        Ok(match staging.read_journal()? {
            Kept::Believed(journal) => Found::Whole(phase, journal),
            Kept::Foreign => Found::Foreign,
            Kept::Damaged | Kept::Absent => Found::WithoutJournal(phase),
        })
    }

    fn left(&self) -> Aftermath {
        match self {
            // The journal is written before the first phase begins, and removed after the last.
            Found::WithoutJournal(Phase::Staged) => Aftermath::Unstaged,
            Found::Whole(Phase::Staged, _) => Aftermath::Staged,
            Found::Whole(Phase::Finishing, _) | Found::WithoutJournal(Phase::Finishing) => Aftermath::Made,
            Found::Whole(..) => Aftermath::HalfMade,
            Found::WithoutJournal(_) | Found::Damaged => Aftermath::Damaged,
            Found::Foreign => Aftermath::Foreign,
        }
    }
}

/// Finishes changes in a directory that earlier processes began: makes them or takes them back.
///
/// # Errors
/// [`Cause::NothingToDo`], and why not, with what there is now. Where several have been left, all are tried, and the first that could not be finished is told.
pub fn finish_apply(unfinished: &Unfinished<'_>, how: Finish, stop: &Stop<'_>) -> Result<(), ApplyError> {
    let permit = Permit::of_the_keys_owner();
    let guard = Guard { stop };
    let at_first = |cause: Cause| Failure::without_path(cause).leaves(Aftermath::Nothing, None);
    let directory = open(&permit, unfinished).map_err(at_first)?;
    let top = open_top(&permit, directory.as_fd()).map_err(at_first)?;
    let found = Staging::find(&permit, top.as_fd(), unfinished.trust);
    let found = found.map_err(|error| at_first(error.into()))?;
    let mut first = None;
    for staging in found {
        let done = match staging {
            Ok(staging) => finish_one(&permit, &directory, &staging, how, &guard),
            Err(error) => Err(at_first(error.into())),
        };
        let is_stopped = matches!(&done, Err(error) if error.cause == Cause::Stopped);
        first = Some(first.unwrap_or(Ok(())).and(done));
        if is_stopped {
            break;
        }
    }
    first.unwrap_or(Err(at_first(Cause::NothingToDo)))
}

/// The staging directories that earlier processes have left in a directory.
///
/// # Errors
/// What keeps from looking.
pub fn list_unfinished(unfinished: &Unfinished<'_>) -> Result<Vec<Leftover>, ApplyError> {
    let permit = Permit::of_the_keys_owner();
    let look = || -> Result<Vec<Leftover>, Cause> {
        let directory = open(&permit, unfinished)?;
        let top = open_top(&permit, directory.as_fd())?;
        let found = Staging::find(&permit, top.as_fd(), unfinished.trust)?;
        let is_on_overlay = sys::is_overlay(&permit, top.as_fd())?;
        let leftover = |staging: Result<Staging<'_>, Error>| {
            let staging = staging?;
            let left = Found::of(&staging)?.left();
            Ok(Leftover { staging: staging.name, left, is_on_overlay })
        };
        found.map(leftover).collect()
    };
    look().map_err(|cause| Failure::without_path(cause).leaves(Aftermath::Nothing, None))
}

/// Refuses to add to changes that are half made: what the guest saw was neither before nor after. Gives the names of those that are passed over.
pub(super) fn refuse_half_made(
    permit: &Permit,
    top: BorrowedFd<'_>,
    trust: Trust<'_>,
) -> Result<Vec<Vec<u8>>, ApplyError> {
    let at_first = |cause: Cause| Failure::without_path(cause).leaves(Aftermath::Nothing, None);
    let mut passed_over = Vec::new();
    for staging in Staging::find(permit, top, trust).map_err(|error| at_first(error.into()))? {
        let staging = staging.map_err(|error| at_first(error.into()))?;
        match Found::of(&staging).map_err(|error| at_first(error.into()))?.left() {
            Aftermath::Nothing | Aftermath::Unstaged | Aftermath::Staged => {}
            Aftermath::HalfMade | Aftermath::Made => {
                return Err(
                    Failure::without_path(Cause::Unfinished).leaves(Aftermath::Nothing, Some(&staging))
                );
            }
            // Whoever can write here could leave one for ever. What is made now is compared with what the guest saw all the same.
            Aftermath::Damaged | Aftermath::Foreign => passed_over.push(staging.name),
        }
    }
    Ok(passed_over)
}

/// Opens the directory as one that a guest could be granted.
fn open(permit: &Permit, unfinished: &Unfinished<'_>) -> Result<NativeDirectory, Cause> {
    let fd = sys::open_granted(permit, unfinished.directory).map_err(|error| {
        let errno = rustix::io::Errno::from_io_error(&error);
        Cause::System(errno.map_or(Error::Io, Error::from))
    })?;
    let hidden = Hidden::find(permit, unfinished.hidden).map_err(|(_, error)| error)?;
    Ok(NativeDirectory::granted(
        permit,
        fd,
        (KernelFiles::Refused, hidden.as_ref()),
        (ResolverKind::Walk, NameAliases::Auto),
    )?)
}

fn finish_one(
    permit: &Permit,
    top: &NativeDirectory,
    staging: &Staging<'_>,
    how: Finish,
    guard: &Guard<'_>,
) -> Result<(), ApplyError> {
    let found = Found::of(staging)
        .map_err(|error| Failure::without_path(error).leaves(Aftermath::Damaged, Some(staging)))?;
    let left = found.left();
    let fails = |cause: Cause| Failure::without_path(cause).leaves(left, Some(staging));
    let (phase, journal) = match found {
        Found::Whole(phase, journal) => (phase, journal),
        Found::Foreign => return Err(fails(Cause::Foreign)),
        Found::Damaged => return Err(fails(Cause::NoJournal)),
        Found::WithoutJournal(phase) => {
            return match (phase, how) {
                (Phase::Staged, Finish::Undo) | (Phase::Finishing, Finish::Resume) => {
                    staging.remove(guard).map_err(fails)
                }
                (Phase::Finishing, Finish::Undo) => Err(fails(Cause::AllDone)),
                _ => Err(fails(Cause::NoJournal)),
            };
        }
    };
    let run = Run { permit, top, staging, journal: &journal, guard };
    match how {
        Finish::Resume => forward_or_back(&run, phase),
        Finish::Undo if phase == Phase::Finishing => Err(fails(Cause::AllDone)),
        Finish::Undo => undo(&run, phase),
    }
}

fn undo(run: &Run<'_>, phase: Phase) -> Result<(), ApplyError> {
    let staging = run.staging;
    let undone = run.backward(phase);
    let undone = undone.and_then(|()| {
        staging.forget_journal().map_err(Failure::without_path)?;
        staging.remove(run.guard).map_err(Failure::without_path)
    });
    let undone = undone.and_then(|()| run.set_top_times(run.old_top_times()));
    undone.map_err(|failure| {
        let left = match staging.phase() {
            Ok(Kept::Believed(Phase::Staged)) => Aftermath::Unstaged,
            _ => Aftermath::HalfMade,
        };
        failure.leaves(left, Some(staging))
    })
}
