//! `--cow-changes`: what becomes of the changes in copy-on-write directories once the guest has ended; `inn cow`: what becomes of those
//! that a run has left half made.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand, ValueHint};
use innkeeper::wasi::host::{
    Aftermath, ApplyCause, ApplyError, ArchiveError, ChangeKind, ChangesSeal, FileKind, Finish, Host,
    Leftover, Overlay, Stop, Trust, Unfinished, finish_apply, list_unfinished,
};
use innkeeper::wasi::keys::{WasiLimits, parse_duration};

use crate::deadline::Deadline;
use crate::output::Output;
use crate::report::{self, Problem, visible};
use crate::values::ChangesFlag;
use crate::writable::Writable;
use crate::{absent, cache, output, signals};

/// Text of a list that is printed at once.
const MAX_TEXT_BYTES: usize = 64 * 1024;

#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct CowArgs {
    #[command(subcommand)]
    pub(crate) command: CowCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CowCommand {
    /// Say what changes are unfinished
    List(UnfinishedArgs),
    /// Make the changes that were not made yet
    Resume(UnfinishedArgs),
    /// Take back the changes that were made
    Undo(UnfinishedArgs),
}

#[derive(Debug, Args)]
pub(crate) struct UnfinishedArgs {
    /// The directory that the changes are in
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) directory: PathBuf,

    /// Believe what was left there, also where this user's key has not sealed it
    ///
    /// Whoever has left it decides what is moved, overwritten and removed in DIR, except for the cache and its key. Needed where the key is another, where changes
    /// were made without a home directory, and where DIR was copied.
    #[arg(long)]
    pub(crate) trust: bool,

    /// Stop after this time, as in 10s; what is not done then can be done later
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) timeout: Option<Duration>,
}

/// What is to become of changes, with all that is needed for it, which is there before the guest starts.
pub(crate) struct Wishes<'a> {
    flags: &'a [ChangesFlag],
    /// The archives that the flags name, in their order.
    archives: Vec<Output>,
    /// By what changes are known that are interrupted; nothing where they are not made, or there is no key.
    seal: Option<ChangesSeal>,
}

impl<'a> Wishes<'a> {
    pub(crate) fn prepare(flags: &'a [ChangesFlag], writable: &Writable) -> Result<Wishes<'a>, Problem> {
        let open = |flag: &ChangesFlag| match flag {
            ChangesFlag::Tar(path) => Some(Output::open(path, writable)),
            _ => None,
        };
        let archives = flags.iter().filter_map(open).collect::<Result<_, _>>()?;
        let seal = match flags.contains(&ChangesFlag::Apply) {
            true => cache::changes_seal()?,
            false => None,
        };
        Ok(Wishes { flags, archives, seal })
    }

    /// Refuses what could not be done once the guest has ended.
    pub(crate) fn check(&self, host: &Host) -> Result<(), Problem> {
        if !self.flags.contains(&ChangesFlag::Apply) {
            return Ok(());
        }
        for overlay in host.overlays() {
            overlay.check_apply().map_err(|error| {
                Problem::new(shown(overlay.host_path()), format!("changes cannot be applied to it: {error}"))
                    .help("grant a directory that is beside it; --cow-changes list and tar=FILE keep the changes elsewhere")
            })?;
        }
        Ok(())
    }

    /// Does what the flags say, in their order, until `stop` says that it is to end. Whatever fails, the rest is done all the same, as it may be all that is left of the
    /// changes; the answer is all that has failed.
    pub(crate) fn carry_out(self, host: &Host, stop: &Stop<'_>) -> Vec<Problem> {
        let Wishes { flags, archives, seal } = self;
        let overlays = host.overlays();
        if flags.is_empty() {
            return Vec::new();
        }
        if overlays.is_empty() {
            let problem = Problem::new("--cow-changes", "there is no cow directory");
            return vec![problem.help("grant one: --dir HOST::GUEST::cow")];
        }
        let mut problems = Vec::new();
        let mut archives = archives.into_iter();
        // Applying comes last: then there is nothing left to list.
        for flag in flags.iter().filter(|flag| **flag != ChangesFlag::Apply) {
            match flag {
                ChangesFlag::List => problems
                    .extend(overlays.iter().filter_map(|overlay| list(overlay, overlays.len(), stop).err())),
                ChangesFlag::Tar(_) => {
                    problems.extend(archives.next().and_then(|file| archive(overlays, file, stop).err()));
                }
                ChangesFlag::Apply => {}
            }
        }
        if flags.contains(&ChangesFlag::Apply) {
            let trust = seal.as_ref().map_or(Trust::All, Trust::Sealed);
            problems.extend(overlays.iter().filter_map(|overlay| apply(overlay, trust, stop).err()));
        }
        problems
    }
}

fn apply(overlay: &Overlay, trust: Trust<'_>, stop: &Stop<'_>) -> Result<(), Problem> {
    let host = overlay.host_path();
    let passed_over = overlay.apply(trust, stop).map_err(|error| not_made(host, &error))?;
    for staging in passed_over {
        let staging = visible(&String::from_utf8_lossy(&staging));
        let reason =
            format!("{staging} has changes that this user's runs have not left there, and was passed over");
        report::warning(&Problem::new(shown(host), reason).help(unknown_help(&shown(host), &staging)));
    }
    Ok(())
}

/// One line a change, as in `A sub/new.txt`, to standard error: standard output is the guest's.
fn list(overlay: &Overlay, overlays: usize, stop: &Stop<'_>) -> Result<(), Problem> {
    let mut text = String::new();
    if overlays > 1 {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{} ({}):", visible(overlay.guest_path()), shown(overlay.host_path()));
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
    let path = file.path().to_owned();
    let failed = |error| match error {
        ArchiveError::Unwritable(error) => output::unwritable(&path, &error),
        ArchiveError::ReservedName(_) => Problem::new(shown(overlay.host_path()), error)
            .help("nothing was archived; --cow-changes apply makes changes under any name"),
        error => Problem::new(shown(overlay.host_path()), error),
    };
    let left_out = file.write_or(|to| overlay.write_tar(to, stop), (ArchiveError::Unwritable, failed))?;
    for socket in left_out {
        let socket = visible(&String::from_utf8_lossy(&socket));
        report::warning(&Problem::new(socket, "a socket cannot be in an archive, and was left out"));
    }
    Ok(())
}

/// `inn cow`: what changes runs have left unfinished, and their end.
pub(crate) fn cow(command: &CowCommand) -> Result<ExitCode, Problem> {
    let begin = Instant::now();
    let (args, how) = match command {
        CowCommand::List(args) => (args, None),
        CowCommand::Resume(args) => (args, Some(Finish::Resume)),
        CowCommand::Undo(args) => (args, Some(Finish::Undo)),
    };
    let directory = &args.directory;
    require_directory(directory)?;
    let mut limits = WasiLimits::default();
    limits.wall_time = args.timeout;
    let deadline = Deadline::watch_work(&limits, begin, shown(directory))?;
    let signal = signals::stop_on_signals(deadline.start_guest())?;
    let seal = if args.trust { None } else { cache::changes_seal()? };
    if !args.trust && seal.is_none() {
        let reason =
            "there is no home directory, and so no key by which changes of this user's own runs are known";
        let problem = Problem::from_message(reason);
        return Err(problem.help("set HOME or XDG_STATE_HOME to an absolute path, or say with --trust that you know what was left there"));
    }
    let trust = seal.as_ref().map_or(Trust::All, Trust::Sealed);
    let hidden = cache::out_of_sight(None);
    let unfinished = Unfinished { directory, trust, hidden: &hidden };
    let Some(how) = how else {
        let text = listed(&unfinished)?;
        if text.is_empty() {
            report::note(&Problem::new(shown(directory), "there are no unfinished changes in it"));
        }
        report::output(&text)?;
        return Ok(ExitCode::SUCCESS);
    };
    let stop = || deadline.has_passed() || signal.exit_code().is_some();
    match finish_apply(&unfinished, how, &stop) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            report::problem(&not_finished(directory, &error));
            Ok(signal.exit_code().map_or(ExitCode::FAILURE, ExitCode::from))
        }
    }
}

/// Changes are in a directory, and an empty answer about none would be taken for one about something.
fn require_directory(directory: &Path) -> Result<(), Problem> {
    match directory.metadata() {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(Problem::new(shown(directory), "it is not a directory")
            .help("name the directory that --cow-changes apply was to change")
            .mistake()),
        Err(error) => Err(absent::unopened(directory.as_os_str(), "directory", &error)),
    }
}

/// One line a staging directory.
fn listed(unfinished: &Unfinished<'_>) -> Result<String, Problem> {
    let found = list_unfinished(unfinished).map_err(|error| not_finished(unfinished.directory, &error))?;
    let mut text = String::new();
    for leftover in found {
        let state = in_words(&leftover);
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}  {state}", visible(&String::from_utf8_lossy(&leftover.staging)));
    }
    Ok(text)
}

/// What there is, and what can be done with it.
fn in_words(leftover: &Leftover) -> &'static str {
    match leftover.left {
        Aftermath::Nothing => "nothing",
        Aftermath::Unstaged => "no changes made, a part of them kept: undo removes it",
        // Had they been possible, they would mostly have been made.
        Aftermath::Staged if leftover.is_on_overlay => {
            "no changes made, all of them kept: undo, or resume if they move no directory of a lower layer, as this is an overlay file system"
        }
        Aftermath::Staged => "no changes made, all of them kept: resume or undo",
        Aftermath::HalfMade => "some changes made: resume or undo",
        Aftermath::Made => "all changes made: resume removes what is left",
        Aftermath::Damaged => "damaged: nobody knows what was made",
        Aftermath::Foreign => "not sealed by this user's key: nobody knows what was made",
    }
}

/// What went wrong where there was nothing new to make.
fn not_finished(directory: &Path, error: &ApplyError) -> Problem {
    match error.staging {
        Some(_) => not_made(directory, error),
        None => Problem::new(shown(directory), error),
    }
}

/// What went wrong, what there is now, and what can be done.
fn not_made(directory: &Path, error: &ApplyError) -> Problem {
    let directory = shown(directory);
    let problem = Problem::new(&directory, error);
    let Some(staging) = &error.staging else {
        return problem.help("nothing in it was changed, and the guest's changes were not kept: mend that and run it again, or with --cow-changes tar=FILE, which keeps all changes elsewhere");
    };
    let staging = visible(staging);
    if error.cause == ApplyCause::OtherFileSystem && error.left == Aftermath::Staged {
        return problem.help(format!(
            "nothing in it was changed, and cannot be in this place: `inn cow undo {directory}` throws away the changes, which are kept in {directory}/{staging}; run it again with --cow-changes tar=FILE, or on a copy"
        ));
    }
    let (resume, undo) = (format!("`inn cow resume {directory}`"), format!("`inn cow undo {directory}`"));
    problem.help(match error.left {
        Aftermath::Nothing => format!(
            "nothing was changed now; finish those first: {resume} makes them, {undo} takes them back; if neither can, {}", keep(&directory, &staging)
        ),
        Aftermath::Staged => format!(
            "nothing in it was changed; the guest's changes are kept in {directory}/{staging}: {resume} makes them once nothing is in the way, {undo} throws them away"
        ),
        Aftermath::Unstaged => format!(
            "nothing in it was changed; {directory}/{staging} has a part of the guest's changes, which {undo} removes: run it again to have all of them"
        ),
        Aftermath::HalfMade => format!(
            "some changes were made, and everything that belongs to them is in {directory}/{staging}: once that is mended, {resume} makes the rest, {undo} takes them back; if neither can, {}",
            keep(&directory, &staging)
        ),
        Aftermath::Made => format!(
            "all changes were made; {directory}/{staging} has what was removed: {resume} removes it for good"
        ),
        Aftermath::Damaged | Aftermath::Foreign => unknown_help(&directory, &staging),
    })
}

/// What can be done about a staging directory that is not believed.
fn unknown_help(directory: &str, staging: &str) -> String {
    format!(
        "look at {directory}/{staging}: if you know that inn has left it, `inn cow resume --trust {directory}` or `inn cow undo --trust {directory}` believes what is whole there; \
         otherwise {}; it keeps nobody from making other changes",
        keep(directory, staging)
    )
}

/// What can be done with a staging directory that neither way finishes: what is in it may be all that there is of a file.
fn keep(directory: &str, staging: &str) -> String {
    format!(
        "move {directory}/{staging} out of {directory} and keep it, as it may have the only copy of what a run was about to remove"
    )
}

/// A path as it is shown.
fn shown(path: &Path) -> String {
    visible(&path.to_string_lossy())
}

fn unreadable(overlay: &Overlay, error: &dyn std::error::Error) -> Problem {
    Problem::new(shown(overlay.host_path()), format!("its changes cannot be listed: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resuming_is_not_advised_where_it_may_never_help() {
        let told = |is_on_overlay| {
            in_words(&Leftover { staging: Vec::new(), left: Aftermath::Staged, is_on_overlay })
        };
        assert!(told(false).ends_with(": resume or undo"));
        assert!(told(true).contains(": undo, or resume if they move no directory of a lower layer"));
    }
}
