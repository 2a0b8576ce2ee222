//! Files that are not there, or cannot be read: what their names may mean.
//!
//! Guesses for messages only: nothing that stands here is understood as if it had been written.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use crate::elsewhere;
use crate::nearest::nearest;
use crate::report::{Problem, visible};
use crate::written::{command_meant, commands};

/// Why a module cannot be read, and what may be meant by its name.
pub(crate) fn unreadable_module(path: &OsStr, name: &str, reason: &io::Error) -> Problem {
    let problem = match reason.kind() {
        io::ErrorKind::NotFound => match path.to_str().and_then(elsewhere::command) {
            Some(answer) => Problem::new(name, "there is no such command, and no such file").help(answer),
            None => Problem::new(name, "no such file").help(not_found(path)),
        },
        io::ErrorKind::IsADirectory => Problem::new(name, "it is a directory, and a module is a file")
            .help("name the .wasm or .wat file; a directory is granted with --dir"),
        io::ErrorKind::PermissionDenied => {
            Problem::new(name, "permission denied").help("check that this user may read the file")
        }
        _ => return Problem::new(name, format!("cannot be read: {reason}")),
    };
    problem.mistake()
}

/// Why something cannot be opened that a command reads and that is no module: a record, a profile, a directory of changes.
pub(crate) fn unopened(path: &OsStr, what: &str, reason: &io::Error) -> Problem {
    let name = visible(&path.to_string_lossy());
    let problem = match reason.kind() {
        io::ErrorKind::NotFound if is_elsewhere(&name) => Problem::new(name, format!("no such {what}"))
            .help("inn fetches nothing: download it, and name the file"),
        io::ErrorKind::NotFound => {
            Problem::new(name, format!("no such {}", if what == "directory" { what } else { "file" }))
                .help(format!("check the path of the {what}"))
        }
        io::ErrorKind::PermissionDenied => {
            Problem::new(name, "permission denied").help(format!("check that this user may read the {what}"))
        }
        _ => Problem::new(name, format!("cannot be opened: {reason}"))
            .help(format!("check the path of the {what}")),
    };
    problem.mistake()
}

/// Whether a path that is not there is written as what is fetched from elsewhere: a URL, or a name in a registry such as `ghcr.io/me/app:1`.
fn is_elsewhere(path: &str) -> bool {
    let is_scheme = |scheme: &str| {
        scheme.len() > 1 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    let is_host = |host: &str| host.contains('.') && !host.starts_with('.') && !host.ends_with('.');
    match (path.split_once("://"), path.split_once('/')) {
        (Some((scheme, _)), _) => is_scheme(scheme),
        (None, Some((host, rest))) => is_host(host) && rest.contains([':', '@']) && !Path::new(host).is_dir(),
        _ => false,
    }
}

/// What may be meant by a file that is not there.
fn not_found(path: &OsStr) -> String {
    let word = path.to_string_lossy();
    if let Some(path) = word.strip_prefix("file://") {
        return format!("write the path itself: {path}");
    }
    if is_elsewhere(&word) {
        return String::from("inn fetches nothing: download the module, and name the file");
    }
    let with_ending = ["wasm", "wat"].map(|ending| Path::new(path).with_added_extension(ending));
    if let Some(found) = with_ending.iter().find(|path| path.is_file()) {
        return format!("did you mean {}?", found.display());
    }
    if Path::new(path).components().count() == 1 && !word.contains('.') {
        let commands = commands();
        if commands.contains(&word.to_string()) {
            return format!(
                "the command stands before all flags: inn {word} ...; `inn help {word}` shows how it is used"
            );
        }
        if let Some(near) = nearest(&word, commands.iter().map(String::as_str)) {
            return format!("did you mean the command: inn {near} ...? `inn help` lists all");
        }
        if let Some(meant) = command_meant(&word) {
            return meant;
        }
        if ["text", "json", "summary"].contains(&&*word) {
            return format!("a form of the trace follows an equals sign: --trace={word}");
        }
    }
    String::from("check the path, or build the program first")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_fetched_is_told_from_paths() {
        for name in ["https://a.b/c.wasm", "oci://r/x", "ghcr.io/me/app:1", "r.io/x@sha256:0"] {
            assert!(is_elsewhere(name), "{name}");
        }
        for name in
            ["a.wasm", "./a:b", "../x.y/a:1", "dir/a:b", "my.dir/a.wasm", "://x", "a b://c", "/x.y/z:1"]
        {
            assert!(!is_elsewhere(name), "{name}");
        }
    }
}
