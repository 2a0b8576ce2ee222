//! `--cow-changes`: what becomes of the changes in copy-on-write directories once the guest has ended.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use innkeeper::wasi::host::{ChangeKind, FileKind, Host, Overlay};

use crate::report::{self, Problem, visible};
use crate::values::ChangesFlag;

/// Does what the flags say, in their order.
pub(crate) fn deal_with(flags: &[ChangesFlag], host: &Host) -> Result<(), Problem> {
    let overlays = host.overlays();
    if flags.is_empty() {
        return Ok(());
    }
    if overlays.is_empty() {
        return Err(Problem::new("--cow-changes", "there is no cow directory")
            .help("grant one: --dir HOST::GUEST::cow"));
    }
    // Applying comes last: then there is nothing left to list.
    for flag in flags.iter().filter(|flag| **flag != ChangesFlag::Apply) {
        match flag {
            ChangesFlag::List => overlays.iter().try_for_each(|overlay| list(overlay, overlays.len()))?,
            ChangesFlag::Tar(path) => archive(overlays, path)?,
            ChangesFlag::Apply => {}
        }
    }
    if flags.contains(&ChangesFlag::Apply) {
        for overlay in overlays {
            overlay.apply().map_err(|error| {
                Problem::new(overlay.host_path().display(), format!("a change could not be applied: {error}"))
                    .help("what was applied before stays; --cow-changes tar=FILE keeps all changes")
            })?;
        }
    }
    Ok(())
}

/// One line a change, as in `A sub/new.txt`, to standard error: standard output is the guest's.
fn list(overlay: &Overlay, overlays: usize) -> Result<(), Problem> {
    let mut text = String::new();
    if overlays > 1 {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{} ({}):", visible(overlay.guest_path()), overlay.host_path().display());
    }
    for change in overlay.changes().map_err(|error| unreadable(overlay, &error))? {
        let letter = match change.kind {
            ChangeKind::Added => 'A',
            ChangeKind::Modified => 'M',
            ChangeKind::Removed => 'D',
            _ => '?',
        };
        let slash = if change.file_kind == FileKind::Directory { "/" } else { "" };
        let _ = writeln!(text, "{letter} {}{slash}", visible(&String::from_utf8_lossy(&change.path)));
    }
    report::table(&text);
    Ok(())
}

fn archive(overlays: &[Overlay], path: &Path) -> Result<(), Problem> {
    let [overlay] = overlays else {
        return Err(Problem::new(
            "--cow-changes tar",
            "an archive holds the changes of one cow directory, and there are several",
        )
        .help("grant one cow directory, or list or apply the changes"));
    };
    let unwritable =
        |error: std::io::Error| Problem::new(path.display(), format!("cannot be written: {error}"));
    let mut file = BufWriter::new(File::create(path).map_err(unwritable)?);
    overlay.write_tar(&mut file).and_then(|()| file.flush()).map_err(unwritable)
}

fn unreadable(overlay: &Overlay, error: &dyn std::error::Error) -> Problem {
    Problem::new(overlay.host_path().display(), format!("its changes cannot be listed: {error}"))
}
