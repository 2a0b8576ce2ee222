//! `--cow-changes`: what becomes of the changes in copy-on-write directories once the guest has ended; `inn cow`: what becomes of those
//! that a run has left half made.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use innkeeper::wasi::host::{
    ApplyCause, ApplyError, ArchiveError, ChangeKind, FileKind, Finish, Host, Left, Overlay, Stop,
    finish_apply,
};

use crate::args::CowCommand;
use crate::output::{Output, Writable};
use crate::report::{self, Problem, visible};
use crate::values::ChangesFlag;

/// Text of a list that is printed at once.
const MAX_TEXT_BYTES: usize = 64 * 1024;

/// The archives that the flags name, in their order, opened before the guest starts.
pub(crate) fn open_archives(flags: &[ChangesFlag], writable: &Writable) -> Result<Vec<Output>, Problem> {
    let open = |flag: &ChangesFlag| match flag {
        ChangesFlag::Tar(path) => Some(Output::open(path, writable)),
        _ => None,
    };
    flags.iter().filter_map(open).collect()
}

/// Does what the flags say, in their order, until `stop` says that it is to end.
pub(crate) fn deal_with(
    flags: &[ChangesFlag],
    archives: Vec<Output>,
    host: &Host,
    stop: &Stop<'_>,
) -> Result<(), Problem> {
    let overlays = host.overlays();
    if flags.is_empty() {
        return Ok(());
    }
    if overlays.is_empty() {
        return Err(Problem::new("--cow-changes", "there is no cow directory")
            .help("grant one: --dir HOST::GUEST::cow"));
    }
    let mut archives = archives.into_iter();
    // Applying comes last: then there is nothing left to list.
    for flag in flags.iter().filter(|flag| **flag != ChangesFlag::Apply) {
        match flag {
            ChangesFlag::List => {
                overlays.iter().try_for_each(|overlay| list(overlay, overlays.len(), stop))?
            }
            ChangesFlag::Tar(_) => {
                if let Some(file) = archives.next() {
                    archive(overlays, file, stop)?;
                }
            }
            ChangesFlag::Apply => {}
        }
    }
    if flags.contains(&ChangesFlag::Apply) {
        for overlay in overlays {
            overlay.apply(stop).map_err(|error| not_made(overlay.host_path(), &error))?;
        }
    }
    Ok(())
}

/// One line a change, as in `A sub/new.txt`, to standard error: standard output is the guest's.
fn list(overlay: &Overlay, overlays: usize, stop: &Stop<'_>) -> Result<(), Problem> {
    let mut text = String::new();
    if overlays > 1 {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{} ({}):", visible(overlay.guest_path()), overlay.host_path().display());
    }
    let listed = overlay.visit_changes(stop, &mut |change| {
        let letter = match change.kind {
            ChangeKind::Added => 'A',
            ChangeKind::Modified => 'M',
            ChangeKind::Removed => 'D',
            _ => '?',
        };
        let slash = if change.file_kind == FileKind::Directory { "/" } else { "" };
        let _ = writeln!(text, "{letter} {}{slash}", visible(&String::from_utf8_lossy(&change.path)));
        if text.len() > MAX_TEXT_BYTES {
            report::table(&text);
            text.clear();
        }
    });
    report::table(&text);
    listed.map_err(|error| unreadable(overlay, &error))
}

fn archive(overlays: &[Overlay], file: Output, stop: &Stop<'_>) -> Result<(), Problem> {
    let [overlay] = overlays else {
        return Err(Problem::new(
            "--cow-changes tar",
            "an archive holds the changes of one cow directory, and there are several",
        )
        .help("grant one cow directory, or list or apply the changes"));
    };
    let failed = |error| match error {
        ArchiveError::ReservedName(_) => Problem::new(overlay.host_path().display(), error)
            .help("nothing was archived; --cow-changes apply makes changes under any name"),
        error => Problem::new(overlay.host_path().display(), error),
    };
    let left_out = file.write_or(|to| overlay.write_tar(to, stop), (ArchiveError::Unwritable, failed))?;
    for socket in left_out {
        let socket = visible(&String::from_utf8_lossy(&socket));
        report::warning(&Problem::new(socket, "a socket cannot be in an archive, and was left out"));
    }
    Ok(())
}

/// `inn cow`: finishes changes that a run has left half made.
pub(crate) fn finish(command: &CowCommand) -> Result<ExitCode, Problem> {
    let (directory, how) = match command {
        CowCommand::Resume { directory } => (directory, Finish::Resume),
        CowCommand::Undo { directory } => (directory, Finish::Undo),
    };
    finish_apply(directory, how, &|| false).map_err(|error| not_made(directory, &error))?;
    Ok(ExitCode::SUCCESS)
}

/// What went wrong, what there is now, and what can be done.
fn not_made(directory: &Path, error: &ApplyError) -> Problem {
    let directory = directory.display();
    let problem = Problem::new(&directory, error);
    let Some(staging) = &error.staging else {
        return match error.cause {
            ApplyCause::NothingToDo | ApplyCause::Busy | ApplyCause::System(_)
                if error.left == Left::HalfMade =>
            {
                problem
            }
            _ => problem.help("nothing in it was changed; --cow-changes tar=FILE keeps all changes"),
        };
    };
    let (resume, undo) = (format!("`inn cow resume {directory}`"), format!("`inn cow undo {directory}`"));
    problem.help(match error.left {
        Left::Nothing => format!("nothing was changed now; finish those first: {resume} makes them, {undo} takes them back"),
        Left::Staged => format!(
            "nothing in it was changed; the guest's changes are kept in {directory}/{staging}: {resume} makes them once nothing is in the way, {undo} throws them away"
        ),
        Left::Unstaged => format!(
            "nothing in it was changed; {directory}/{staging} has a part of the guest's changes: {undo} removes it"
        ),
        Left::HalfMade => format!(
            "some changes were made, and everything that belongs to them is in {directory}/{staging}: {resume} makes the rest, {undo} takes them back"
        ),
        Left::Made => format!(
            "all changes were made; {directory}/{staging} has what was removed: {resume} removes it for good"
        ),
    })
}

fn unreadable(overlay: &Overlay, error: &dyn std::error::Error) -> Problem {
    Problem::new(overlay.host_path().display(), format!("its changes cannot be listed: {error}"))
}
