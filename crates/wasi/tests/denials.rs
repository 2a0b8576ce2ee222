//! What the person who granted the keys is told: denials, missing keys and flags, and case D14 of the sandbox.

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use innkeeper_wasi::host::{
    Aftermath, ApplyCause, ApplyError, ArchiveError, Error, Explanation, MissingKey, Operation, visible,
};
use innkeeper_wasi::keys::{Access, Keys, LockedRoot, WasiLimits, WasiTuning};
use support::*;

fn guest_in(sandbox: &Sandbox, guest_path: &str, access: Access) -> TestGuest {
    TestGuest::new(&Keys::builder().dir(sandbox.inside(), guest_path, access).build())
}

fn real(path: &Path) -> std::path::PathBuf {
    path.canonicalize().expect("it is there")
}

fn lines(guest: &TestGuest) -> Vec<String> {
    guest.cx.explain().iter().map(ToString::to_string).collect()
}

#[test]
fn a_read_only_key_names_the_key_that_would_be_writable() {
    let sandbox = Sandbox::new();
    let mut guest = guest_in(&sandbox, "/data", Access::ReadOnly);
    for _ in 0..3 {
        guest.open(3, "f", open_for(WRITE, 0)).expect_err("denied");
    }
    guest.mkdir(3, "a/new").expect_err("denied");
    let denials = guest.cx.host().denials();
    assert_eq!(denials.len(), 2);
    assert_eq!(
        (denials[0].operation, denials[0].path.as_str(), denials[0].count),
        (Operation::OpenWrite, "/data/f", 3)
    );
    let missing = MissingKey::Write { host: real(&sandbox.inside()), guest: "/data".into() };
    assert_eq!(denials[0].missing, missing);
    assert_eq!(lines(&guest)[0], "denied: open for writing /data/f (3 times): /data was granted read-only");
    assert!(lines(&guest)[1].starts_with("denied: create directory /data/a/new: "));
    assert_eq!(guest.cx.host().gate().count(Operation::OpenWrite), 3);
}

#[test]
fn a_path_outside_names_the_directory_to_grant() {
    let sandbox = Sandbox::new();
    let out = real(&sandbox.outside());
    let nowhere = out.with_file_name("nowhere");
    let certain = Some(out.clone());
    for (guest_path, path, expected) in [
        ("/in", "../out/secret", Some((certain.clone(), "/in/../out"))),
        ("/in", "a/../../out/secret", Some((certain.clone(), "/in/a/../../out"))),
        // Beside the directory on the host, or where the guest's name for it leads.
        ("/in", "../etc/passwd", Some((None, "/in/../etc"))),
        // Nobody looks whether it is there.
        ("/in", "../nowhere/f", Some((Some(nowhere.clone()), "/in/../nowhere"))),
        (".", "../out/secret", Some((certain.clone(), "../out"))),
        ("/", "../out/secret", Some((certain, "../out"))),
        // Whoever does not choose by name would not choose another.
        (".", "./../out/secret", None),
        ("/in", "/etc/passwd", None),
        ("/in", "/", None),
    ] {
        let mut guest = guest_in(&sandbox, guest_path, Access::ReadWrite);
        guest.open(3, path, open_for(READ, 0)).expect_err("denied");
        let missing = guest.cx.host().denials()[0].missing.clone();
        let expected = expected.map_or_else(
            || MissingKey::Outside { guest: guest_path.into() },
            |(host, name)| MissingKey::Directory { host, guest: name.into(), access: Access::ReadOnly },
        );
        assert_eq!(missing, expected, "{guest_path} {path}");
        // A directory that the guest has opened itself is no preopened one, whatever it is granted.
        let derived = guest.open(3, "a", open_for(READ, DIRECTORY)).expect("open");
        guest.unlink(derived, "../../../x").expect_err("denied");
        let last = guest.cx.host().denials().pop().expect("denial");
        assert!(matches!(last.missing, MissingKey::Outside { .. }), "{last:?}");
    }
}

#[test]
fn a_key_that_would_make_no_difference_is_not_named() {
    let sandbox = Sandbox::new();
    let keys = Keys::builder().dir(sandbox.inside(), ".", Access::ReadWrite).dir(
        sandbox.outside(),
        "../out",
        Access::ReadOnly,
    );
    let mut guest = TestGuest::new(&keys.build());
    guest.open(3, "../out/secret", open_for(READ, 0)).expect_err("denied");
    let missing = guest.cx.host().denials()[0].missing.clone();
    assert_eq!(missing, MissingKey::Outside { guest: ".".into() });
}

/// As programs in Go do, whose library finds no directory for a relative path where the only one is called `.`.
#[test]
fn a_path_in_no_directory_is_a_denial_in_every_operation() {
    let sandbox = Sandbox::new();
    let none = u64::from(u32::MAX);
    for (guest_path, expected) in [
        (
            ".",
            MissingKey::Name {
                host: real(&sandbox.inside()),
                known: ".".into(),
                guest: "/".into(),
                access: Access::ReadOnly,
            },
        ),
        (
            "/in",
            MissingKey::Directory {
                host: Some("/etc".into()),
                guest: "/etc".into(),
                access: Access::ReadOnly,
            },
        ),
    ] {
        let mut guest = guest_in(&sandbox, guest_path, Access::ReadOnly);
        guest.open(u32::MAX, "etc/passwd", open_for(READ, 0)).expect_err("no directory");
        assert_eq!(guest.cx.host().denials()[0].missing, expected);
    }
    // A new operation on paths is one of these.
    let names = innkeeper_wasi::p1::functions(innkeeper_wasi::p1::Version::Preview1)
        .iter()
        .map(|function| function.name);
    for name in names.filter(|name| name.starts_with("path_")) {
        let mut guest = guest_in(&sandbox, ".", Access::ReadOnly);
        let arguments: &[u64] = match name {
            "path_create_directory" | "path_remove_directory" | "path_unlink_file" => &[none, 16, 1],
            "path_filestat_get" => &[none, 0, 16, 1, 64],
            "path_filestat_set_times" => &[none, 0, 16, 1, 0, 0, 0],
            "path_link" => &[none, 0, 16, 1, none, 16, 1],
            "path_open" => &[none, 0, 16, 1, 0, 2, 0, 0, 64],
            "path_readlink" => &[none, 16, 1, 64, 16, 128],
            "path_rename" => &[none, 16, 1, none, 16, 1],
            "path_symlink" => &[16, 1, none, 16, 1],
            _ => panic!("{name} is not tried"),
        };
        guest.call(name, arguments).expect_err(name);
        let denials = guest.cx.host().denials();
        assert!(matches!(denials[0].missing, MissingKey::Name { .. }), "{name}: {denials:?}");
    }
}

/// Whoever embeds the library grants keys by other means than flags.
#[test]
fn no_text_of_the_library_names_flags_or_commands() {
    let mut todo = vec![
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../innkeeper/src"),
    ];
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(std::fs::read_dir(path).expect("list").map(|entry| entry.expect("entry").path()));
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("source");
        let own = text.split("#[cfg(test)]").next().unwrap_or_default();
        for line in own.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let is_flag = |word: &str| {
                word.strip_prefix("--")
                    .is_some_and(|name| name.starts_with(|first: char| first.is_ascii_lowercase()))
            };
            let words = || line.split([' ', '"', '`', '(', '\'', '{', '}']);
            assert!(!words().any(is_flag), "{}: {line}", path.display());
            for command in ["`inn ", "docs/"] {
                assert!(!line.contains(command), "{}: {line}", path.display());
            }
        }
    }
}

#[test]
fn a_link_that_leads_out_says_so() {
    let sandbox = Sandbox::new();
    sandbox.link("../out", "l");
    let mut guest = guest_in(&sandbox, "/in", Access::ReadWrite);
    guest.open(3, "l/secret", open_for(READ, 0)).expect_err("denied");
    assert_eq!(
        lines(&guest),
        [
            "denied: open for reading /in/l/secret: a symbolic link leads out of /in, and none is followed there, whatever is granted; \
          name to the guest what the link points to, or put that into /in"
        ]
    );
}

#[test]
fn a_guest_without_directories_is_explained() {
    let mut guest = TestGuest::new(&Keys::builder().build());
    assert!(lines(&guest).is_empty(), "it has not looked");
    guest.call("fd_prestat_get", &[3, 64]).expect_err("none");
    let explanations = guest.cx.host().explain();
    assert_eq!(explanations[0], Explanation::NoDirectory);
    let sandbox = Sandbox::new();
    let mut guest = guest_in(&sandbox, "/data", Access::ReadOnly);
    guest.call("fd_prestat_get", &[3, 64]).expect("one");
    guest.call("fd_prestat_get", &[4, 64]).expect_err("no more");
    let explanations = guest.cx.host().explain();
    assert!(matches!(&explanations[0], Explanation::DirectoriesHeld(held) if held.len() == 1));
    assert!(lines(&guest)[0].contains("/data (ro, "), "{:?}", lines(&guest));
}

#[test]
fn d14_what_a_guest_chose_cannot_drive_the_terminal() {
    let sandbox = Sandbox::new();
    let mut guest = guest_in(&sandbox, "/data", Access::ReadOnly);
    guest.open(3, "\u{1b}[2J\u{7}\r\n\u{202e}\u{9b}31m", open_for(WRITE, CREAT)).expect_err("denied");
    guest.open(3, "../'; rm -rf $HOME #\n/x", open_for(READ, 0)).expect_err("denied");
    for text in lines(&guest) {
        assert!(!text.contains(char::is_control) && !text.contains('\u{202e}'), "D14 {text:?}");
    }
    assert_eq!(visible("a\u{1b}b"), r"a\u{1b}b");
}

#[test]
fn the_record_is_bounded() {
    let sandbox = Sandbox::new();
    let mut limits = WasiLimits::default();
    limits.max_denials = 5;
    let keys = sandbox.keys(&WasiTuning::default()).limits(limits).build();
    let mut guest = TestGuest::new(&keys);
    for index in 0..100 {
        guest.open(3, &format!("../{index}"), open_for(READ, 0)).expect_err("denied");
    }
    assert_eq!((guest.cx.host().denials().len(), guest.cx.host().gate().denials_dropped()), (5, 95));
    assert_eq!(lines(&guest).last().map(String::as_str), Some("denied: 95 more requests, not listed"));
}

/// Errors about paths that guests have chosen show them so that they write no lines of their own. Whoever puts bytes into a message goes through `visible`: all
/// sources of this crate are looked at.
#[test]
fn d14_paths_in_errors_do_not_drive_the_terminal() {
    let path = b"a\nerror: \x1b[2Jforged".to_vec();
    let shown = r"a\u{a}error: \u{1b}[2Jforged";
    let applied = ApplyError {
        path: path.clone(),
        cause: ApplyCause::Changed,
        left: Aftermath::Nothing,
        staging: None,
    };
    let unreadable = ArchiveError::Unreadable { path: path.clone(), reason: Error::Io };
    for text in [applied.to_string(), unreadable.to_string(), ArchiveError::ReservedName(path).to_string()] {
        assert!(text.starts_with(&format!("{shown}: ")), "{text:?}");
    }
    let mut todo = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut seen = 0;
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(std::fs::read_dir(path).expect("list").map(|entry| entry.expect("entry").path()));
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("source");
        for line in text.lines().filter(|line| line.contains("from_utf8_lossy")) {
            let is_shown = line.contains("#[error(") || line.contains("write!(") || line.contains("format!(");
            seen += usize::from(is_shown);
            assert!(!is_shown || line.contains("visible("), "{}: {line}", path.display());
        }
    }
    assert!(seen >= 3, "{seen}");
}

/// Where a denied path leads is the guest's choice, and could be a file system that answers nobody. Whoever follows a link changes the time at which it was last read.
#[test]
fn no_link_outside_of_the_working_directory_is_followed_to_tell_which_key_is_missing() {
    let read_at = |link: &Path| {
        let found = fs::symlink_metadata(link).expect("link");
        (found.atime(), found.atime_nsec())
    };
    let folder = tempfile::tempdir().expect("directory");
    let folder = real(folder.path());
    for directory in ["granted", "beside"] {
        fs::create_dir(folder.join(directory)).expect("directory");
        fs::write(folder.join(directory).join("file"), "text").expect("file");
    }
    for link in ["link", "granted/link"] {
        symlink(folder.join("beside"), folder.join(link)).expect("link");
    }
    let links = [folder.join("link"), folder.join("granted/link")];
    let before: Vec<(i64, i64)> = links.iter().map(|link| read_at(link)).collect();
    let absolute = folder.to_str().expect("path").trim_start_matches('/');
    let paths = [
        format!("{absolute}/link/file"),
        format!("{absolute}/link"),
        format!("{absolute}/granted/link/file"),
        format!("/{absolute}/link/file"),
        format!("/{absolute}/link/../link"),
        String::from("../link/file"),
        String::from("../granted/link"),
        String::from("../link"),
        String::from("x/../../link/file"),
        String::from("granted/link/file"),
    ];
    let here = std::env::current_dir().expect("directory");
    let up = "../".repeat(here.components().count());
    let upwards = format!("{up}{absolute}/link/file");
    for access in [Access::ReadOnly, Access::ReadWrite, Access::CopyOnWrite] {
        for name in [None, Some("."), Some("/"), Some("/granted"), Some("granted")] {
            let keys = Keys::builder().locked_root(LockedRoot::Present);
            let keys = match name {
                Some(name) => keys.dir(folder.join("granted"), name, access),
                None => keys,
            };
            let mut guest = TestGuest::new(&keys.build());
            for fd in [3, 4, 99] {
                for path in paths.iter().chain([&upwards]) {
                    let _ = guest.stat(fd, 0, path);
                    let _ = guest.open(fd, path, open_for(READ, 0));
                    let _ = guest.open(fd, path, open_for(WRITE, CREAT));
                    let _ = guest.mkdir(fd, path);
                    // The last path that was not found is told of, too.
                    let _ = lines(&guest);
                }
            }
            assert!(name.is_some() || guest.cx.host().denials().len() > 3);
        }
    }
    // A guest looks up links in what it was granted itself: that one is none of these.
    assert_eq!(read_at(&links[0]), before[0], "a link outside was followed");
    fs::metadata(links[0].join("file")).expect("file");
    assert_ne!(
        read_at(&links[0]),
        before[0],
        "this file system does not tell who follows a link: set TMPDIR to another"
    );
}
