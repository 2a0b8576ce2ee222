//! What the host keeps for itself stays out of sight where it is made, removed or replaced while the guest runs, and where mounts lead around the way to it.

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use innkeeper_wasi::keys::{Access, FileMode, KeyError, Keys, StdinKey, StdoutKey, WasiTuning};
use innkeeper_wasi::p1::{Context, Errno};
use support::*;

const PERM: i32 = number(Errno::Perm);
const EXIST: i32 = number(Errno::Exist);
const READ_IT: Open = open_for(READ, 0);
const KINDS: [Access; 3] = [Access::ReadOnly, Access::ReadWrite, Access::CopyOnWrite];
const SEAL: &str = ".local/state/inn/seal";
const KEY: &str = ".local/state/inn/seal/key";
const CACHE: &str = ".cache/inn";

fn hidden_in(home: &Path) -> Vec<PathBuf> {
    [KEY, SEAL, CACHE].map(|path| home.join(path)).into()
}

/// What another run of the host does while the guest runs.
fn make_all(home: &Path) {
    fs::create_dir_all(home.join(SEAL)).unwrap();
    fs::write(home.join(KEY), "secret").unwrap();
    fs::create_dir_all(home.join(CACHE)).unwrap();
    fs::write(home.join(CACHE).join("code"), "secret").unwrap();
}

fn guest_of(granted: &Path, access: Access, hidden: Vec<PathBuf>, tuning: &WasiTuning) -> TestGuest {
    let mut keys = Keys::builder().dir(granted, "/h", access).tuning(tuning.clone()).build();
    keys.hidden = hidden;
    TestGuest::new(&keys)
}

/// Tries to read, list, stat, make, remove and replace, by paths that begin with `to`, where the key and the cache are.
fn try_all(guest: &mut TestGuest, to: &str, host: &Path, case: &str) {
    let before = (snapshot(&host.join(SEAL)), snapshot(&host.join(CACHE)));
    for path in [KEY, ".cache/inn/code", ".local/state/../state/inn/seal/key"] {
        let path = format!("{to}{path}");
        assert!(guest.open(3, &path, READ_IT).is_err(), "{case}: open {path}");
        assert!(guest.stat(3, 0, &path).is_err(), "{case}: stat {path}");
        for how in [open_for(WRITE, TRUNC), open_for(WRITE, CREAT)] {
            assert!(guest.open(3, &path, how).is_err(), "{case}: write {path}");
        }
        assert!(guest.unlink(3, &path).is_err(), "{case}: unlink {path}");
        assert!(guest.rename((3, &path), (3, "taken")).is_err(), "{case}: rename {path}");
        assert!(guest.link(0, (3, &path), (3, "taken")).is_err(), "{case}: link {path}");
    }
    for path in [SEAL, CACHE] {
        let path = format!("{to}{path}");
        assert!(guest.open(3, &path, open_for(READ, DIRECTORY)).is_err(), "{case}: enter {path}");
        assert_eq!(guest.stat(3, 0, &path).err(), Some(PERM), "{case}: stat {path}");
        for name in ["new", "../seal/new", "../inn/new"] {
            let path = format!("{path}/{name}");
            assert!(guest.mkdir(3, &path).is_err(), "{case}: mkdir {path}");
            assert!(guest.symlink("x", 3, &path).is_err(), "{case}: symlink {path}");
            assert!(guest.open(3, &path, open_for(WRITE, CREAT)).is_err(), "{case}: make {path}");
        }
        assert!(guest.rename((3, &path), (3, "taken")).is_err(), "{case}: rename {path}");
    }
    assert_eq!((snapshot(&host.join(SEAL)), snapshot(&host.join(CACHE))), before, "{case}");
}

#[test]
fn y4_what_is_made_while_the_guest_runs_is_hidden() {
    // As much of the ways as is there when the guest starts.
    for there in ["", ".local", ".local/state", ".local/state/inn", SEAL, ".cache", CACHE] {
        for (name, tuning) in resolvers() {
            for access in KINDS {
                let case = format!("{there:?} {name} {access:?}");
                let home = tempfile::tempdir().unwrap();
                fs::create_dir_all(home.path().join(there)).unwrap();
                let mut guest = guest_of(home.path(), access, hidden_in(home.path()), &tuning);
                make_all(home.path());
                try_all(&mut guest, "", home.path(), &case);
            }
        }
    }
}

#[test]
fn y4_what_is_replaced_while_the_guest_runs_is_hidden() {
    for replaced in [".local", ".local/state", ".local/state/inn", SEAL, KEY, ".cache", CACHE] {
        for (name, tuning) in resolvers() {
            for access in KINDS {
                let case = format!("{replaced} {name} {access:?}");
                let home = tempfile::tempdir().unwrap();
                make_all(home.path());
                let mut guest = guest_of(home.path(), access, hidden_in(home.path()), &tuning);
                // It stays, so that its number is not used again.
                fs::rename(home.path().join(replaced), home.path().with_extension("old")).unwrap();
                make_all(home.path());
                try_all(&mut guest, "", home.path(), &case);
                let old = home.path().with_extension("old");
                let _ = if old.is_dir() { fs::remove_dir_all(old) } else { fs::remove_file(old) };
            }
        }
    }
}

#[test]
fn y4_a_name_on_the_way_that_others_remove_meanwhile_is_not_made_anew() {
    const ROUNDS: u32 = 3000;
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join(".local/state/inn");
    fs::create_dir_all(&state).unwrap();
    fs::write(home.path().join("file"), "").unwrap();
    let mut guest = guest_of(home.path(), Access::ReadWrite, hidden_in(home.path()), &WasiTuning::default());
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                // A guest that makes it makes these fail.
                let _ = fs::remove_dir(&state).and_then(|()| fs::create_dir(&state));
            }
        });
        let made = (0..ROUNDS).find_map(|_| {
            let path = ".local/state/inn";
            let made = [
                ("symlink", guest.symlink("../../evil", 3, path).is_ok()),
                ("mkdir", guest.mkdir(3, path).is_ok()),
                ("link", guest.link(0, (3, "file"), (3, path)).is_ok()),
            ];
            made.into_iter().find(|(_, is_made)| *is_made)
        });
        is_done.store(true, Ordering::Relaxed);
        assert_eq!(made, None);
    });
    fs::create_dir_all(&state).unwrap();
    for (name, answer) in [
        ("symlink", guest.symlink("../../evil", 3, ".local/state/inn")),
        ("mkdir", guest.mkdir(3, ".local/state/inn")),
        ("link", guest.link(0, (3, "file"), (3, ".local/state/inn"))),
    ] {
        assert_eq!(answer.err(), Some(EXIST), "{name}");
    }
}

/// On a file system that takes another spelling for the same name, a guest that made that would have made the cache or its key.
#[test]
fn y4_no_other_spelling_of_a_name_on_the_way_is_made_or_taken_away() {
    for (name, tuning) in resolvers() {
        for (there, path) in [
            ("", ".LOCAL"),
            ("", ".Cache"),
            ("", "CACHE~1"),
            ("", ".cache\u{200d}"),
            ("", ".local. "),
            (".cache", ".cache/INN"),
            (".cache", ".cache/inn."),
            (".local/state/inn", ".local/state/inn/SEAL"),
            (".local/state/inn", ".local/state/inn/\u{17f}eal"),
            (SEAL, ".local/state/inn/seal/\u{212a}ey"),
        ] {
            for access in [Access::ReadWrite, Access::CopyOnWrite] {
                let home = tempfile::tempdir().unwrap();
                fs::create_dir_all(home.path().join(there)).unwrap();
                fs::write(home.path().join("file"), "").unwrap();
                let before = snapshot(home.path());
                let mut guest = guest_of(home.path(), access, hidden_in(home.path()), &tuning);
                for (how, answer) in [
                    ("mkdir", guest.mkdir(3, path).is_ok()),
                    ("symlink", guest.symlink("file", 3, path).is_ok()),
                    ("link", guest.link(0, (3, "file"), (3, path)).is_ok()),
                    ("rename", guest.rename((3, "file"), (3, path)).is_ok()),
                    ("open", guest.open(3, path, open_for(WRITE, CREAT)).is_ok()),
                ] {
                    assert!(!answer, "{name} {access:?}: {how} {path}");
                }
                assert_eq!(snapshot(home.path()), before, "{name} {access:?}: {path}");
                // Names beside the way are free.
                guest.mkdir(3, ".caches").expect("another name");
            }
        }
    }
}

/// Puts something else where something is, with the same number if the file system can be brought to give it again.
fn replace(path: &Path, make: Make<'_>) {
    /// Some file systems give the lowest number that is free, and others may take it meanwhile; some never give one twice.
    const TRIES: usize = 64;
    let old = fs::symlink_metadata(path).unwrap();
    let remove = |path: &Path| {
        if path.is_symlink() { fs::remove_file(path).unwrap() } else { fs::remove_dir_all(path).unwrap() }
    };
    remove(path);
    let mut in_the_way = Vec::new();
    make(path);
    while fs::symlink_metadata(path).unwrap().ino() != old.ino() && in_the_way.len() < TRIES {
        let aside = path.with_extension(in_the_way.len().to_string());
        fs::rename(path, &aside).unwrap();
        in_the_way.push(aside);
        make(path);
    }
    in_the_way.iter().for_each(|path| remove(path));
}

#[test]
fn y4_links_that_lead_round_keep_no_run_from_starting() {
    for (name, tuning) in resolvers() {
        for access in KINDS {
            let home = tempfile::tempdir().unwrap();
            symlink(".cache", home.path().join(".cache")).unwrap();
            symlink("b", home.path().join("a")).unwrap();
            symlink("a", home.path().join("b")).unwrap();
            symlink("a/x", home.path().join(".local")).unwrap();
            let mut guest = guest_of(home.path(), access, hidden_in(home.path()), &tuning);
            // Who mends it while the guest runs.
            for round in [".cache", ".local"] {
                replace(&home.path().join(round), &|path| fs::create_dir(path).unwrap());
            }
            make_all(home.path());
            try_all(&mut guest, "", home.path(), &format!("{name} {access:?}"));
        }
    }
}

type Make<'a> = &'a dyn Fn(&Path);

/// A file system may give the number of what is removed to what is made next.
#[test]
fn y4_a_number_that_comes_again_does_not_pass_for_what_it_was() {
    let to = |target: &'static str| move |path: &Path| symlink(target, path).unwrap();
    let directory = |path: &Path| fs::create_dir(path).unwrap();
    let states: [(&str, Make<'_>); 4] =
        [("directory", &directory), ("one", &to("one")), ("other", &to("other")), ("round", &to(".local"))];
    for (before, make_before) in states {
        for (after, make_after) in states.into_iter().filter(|(after, _)| *after != "round") {
            for (name, tuning) in resolvers() {
                for access in KINDS {
                    let case = format!("{before} -> {after} {name} {access:?}");
                    let home = tempfile::tempdir().unwrap();
                    ["one", "other"]
                        .into_iter()
                        .for_each(|path| fs::create_dir(home.path().join(path)).unwrap());
                    make_before(&home.path().join(".local"));
                    if before != "round" {
                        fs::create_dir_all(home.path().join(".local/state/inn")).unwrap();
                    }
                    let mut guest = guest_of(home.path(), access, hidden_in(home.path()), &tuning);
                    replace(&home.path().join(".local"), make_after);
                    make_all(home.path());
                    try_all(&mut guest, "", home.path(), &case);
                }
            }
        }
    }
}

#[test]
fn y4_a_link_that_leads_to_what_is_hidden_stays_what_it_is() {
    for (name, tuning) in resolvers() {
        for access in [Access::ReadWrite, Access::CopyOnWrite] {
            let case = format!("{name} {access:?}");
            let home = tempfile::tempdir().unwrap();
            fs::create_dir_all(home.path().join("elsewhere")).unwrap();
            fs::create_dir_all(home.path().join(".local")).unwrap();
            symlink("../elsewhere", home.path().join(".local/state")).unwrap();
            let mut guest = guest_of(home.path(), access, hidden_in(home.path()), &tuning);
            make_all(home.path());
            try_all(&mut guest, "", home.path(), &case);
            for path in ["elsewhere/inn/seal/key", "elsewhere/inn/seal/new"] {
                assert!(guest.open(3, path, open_for(READ | WRITE, CREAT)).is_err(), "{case}: {path}");
            }
            assert!(guest.rename((3, "elsewhere/inn"), (3, "taken")).is_err(), "{case}");
            assert!(guest.rename((3, "elsewhere"), (3, "taken")).is_err(), "{case}");
        }
    }
}

/// The granted directory is around the source of a mount on the way to the key, or around one of what is above it, or on the key and cache themselves: they are in
/// it by other names, on no way that leads through it.
#[test]
fn y4_a_mount_does_not_lead_around_what_is_hidden() {
    in_own_mounts("y4_a_mount_does_not_lead_around_what_is_hidden", || {
        for (mounted, source) in [
            ("", "home"),
            (".local", "home/.local"),
            (".local/state", "home/.local/state"),
            (".local/state/inn", "home/.local/state/inn"),
            (SEAL, "home/.local/state/inn/seal"),
            (CACHE, "home/.cache/inn"),
        ] {
            for is_there in [true, false] {
                for (name, tuning) in resolvers() {
                    for access in KINDS {
                        let case = format!("{mounted} {is_there} {name} {access:?}");
                        let dir = tempfile::tempdir().unwrap();
                        let at = |path: &str| dir.path().join(path);
                        fs::create_dir_all(at("data").join(source)).unwrap();
                        fs::create_dir_all(at("user").join(mounted)).unwrap();
                        let _mount = Mounted::bind(&at("data").join(source), &at("user").join(mounted));
                        if is_there {
                            make_all(&at("user"));
                        }
                        let mut guest = guest_of(&at("data"), access, hidden_in(&at("user")), &tuning);
                        make_all(&at("user"));
                        // What is not in the source is not in the grant, either.
                        for path in [SEAL, CACHE] {
                            fs::create_dir_all(at("data/home").join(path)).unwrap();
                        }
                        let inside = |path: &str| Path::new(path).starts_with(mounted);
                        let before = snapshot(&at("user"));
                        for (path, name) in [(SEAL, "key"), (CACHE, "code")] {
                            if !inside(path) {
                                continue;
                            }
                            let path = format!("home/{path}");
                            let open = |guest: &mut TestGuest, path: &str, how| guest.open(3, path, how);
                            let file = format!("{path}/{name}");
                            assert!(open(&mut guest, &file, READ_IT).is_err(), "{case}: read {file}");
                            assert_eq!(guest.stat(3, 0, &path).err(), Some(PERM), "{case}: stat {path}");
                            let new = format!("{path}/new");
                            let make = open_for(WRITE, CREAT);
                            assert!(open(&mut guest, &new, make).is_err(), "{case}: make {new}");
                            assert!(guest.mkdir(3, &new).is_err(), "{case}: mkdir {new}");
                            assert!(guest.unlink(3, &file).is_err(), "{case}: unlink {file}");
                            assert!(guest.rename((3, &path), (3, "taken")).is_err(), "{case}: rename {path}");
                        }
                        let renamed = guest.rename((3, source), (3, "taken"));
                        assert!(renamed.is_err(), "{case}: rename {source}");
                        assert_eq!(snapshot(&at("user")), before, "{case}");
                    }
                }
            }
        }
    });
}

#[test]
fn y4_a_mount_of_what_is_hidden_is_not_granted() {
    in_own_mounts("y4_a_mount_of_what_is_hidden_is_not_granted", || {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        make_all(&at("user"));
        fs::create_dir(at("seen")).unwrap();
        let _mount = Mounted::bind(&at("user").join(SEAL), &at("seen"));
        let mut keys = Keys::builder().dir(at("seen"), "/h", Access::ReadOnly).build();
        keys.hidden = hidden_in(&at("user"));
        assert!(matches!(Context::new(&keys), Err(KeyError::Hidden(_))));
        let mut guest =
            guest_of(dir.path(), Access::ReadWrite, hidden_in(&at("user")), &WasiTuning::default());
        assert!(guest.open(3, "seen/key", READ_IT).is_err());
        assert!(guest.open(3, "seen/new", open_for(WRITE, CREAT)).is_err());
    });
}

/// Another name of a hidden file, where nothing else of the way is near: the kernel searches there, and what it opens is looked at afterwards.
#[test]
fn y4_another_name_of_what_is_hidden_leads_to_nothing() {
    for (name, tuning) in resolvers() {
        let dir = tempfile::tempdir().unwrap();
        make_all(dir.path());
        let granted = dir.path().join("granted");
        fs::create_dir(&granted).unwrap();
        fs::hard_link(dir.path().join(KEY), granted.join("name")).unwrap();
        let mut guest = guest_of(&granted, Access::ReadWrite, hidden_in(dir.path()), &tuning);
        for (rights, flags) in
            [(READ, 0), (WRITE, 0), (WRITE, TRUNC), (READ, TRUNC), (READ | WRITE, TRUNC | CREAT)]
        {
            assert_eq!(guest.open(3, "name", open_for(rights, flags)), Err(PERM), "{name}");
            assert_eq!(fs::read(dir.path().join(KEY)).unwrap(), b"secret", "{name}: {rights} {flags}");
        }
        assert_eq!(guest.stat(3, 0, "name").err(), Some(PERM), "{name}");
    }
}

/// Whatever path a stream is opened by, and before anything is changed.
#[test]
fn y4_no_standard_stream_is_hidden() {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    make_all(dir.path());
    symlink(at(KEY), at("link")).unwrap();
    symlink(at(SEAL), at("alias")).unwrap();
    fs::hard_link(at(KEY), at("name")).unwrap();
    fs::write(at("seen"), "seen").unwrap();
    let open = |stream: &str, path: &Path| {
        let mut keys = Keys::default();
        keys.hidden = hidden_in(dir.path());
        let file = |mode| StdoutKey::File { path: path.to_owned(), mode };
        match stream {
            "stdin" => keys.stdin = StdinKey::File(path.to_owned()),
            "stdout" => keys.stdout = file(FileMode::Truncate),
            "stderr" => keys.stderr = file(FileMode::Append),
            _ => panic!("{stream}"),
        }
        Context::new(&keys).map(drop)
    };
    let before = (snapshot(&at(SEAL)), snapshot(&at(CACHE)));
    for stream in ["stdin", "stdout", "stderr"] {
        for path in [KEY, "alias/key", "link", "name", ".cache/inn/code", ".cache/inn/new"] {
            let error = open(stream, &at(path)).expect_err(path);
            // A link in the last place is not followed to what is written, and what is not there cannot be read.
            let is_other =
                matches!((stream, path), ("stdout" | "stderr", "link") | ("stdin", ".cache/inn/new"));
            let is_hidden = matches!(error, KeyError::HiddenStream { name, .. } if name == stream);
            assert!(is_hidden != is_other, "{stream} {path}: {error}");
            assert_eq!((snapshot(&at(SEAL)), snapshot(&at(CACHE))), before, "{stream} {path}");
        }
        open(stream, &at("seen")).expect(stream);
    }
}
