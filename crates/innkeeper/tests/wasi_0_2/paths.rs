//! C107: nothing outside of a grant is reached by a path, and nothing is changed by a key to read, by any function that takes a path.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use innkeeper::component::{ResourceAny, Val};
use innkeeper::wasi::keys::{Access, Keys, ProbeAnswer, WasiTuning};

use super::driver::{Driver, flags_val, follow, text_val};
use super::types::bound_functions;
use super::{changes, drivers};

/// What functions do with a path in a directory: each function with each way to call it.
fn operations(path: &str) -> Vec<(&'static str, Vec<Val>)> {
    let path = || text_val(path);
    let keep = || Val::Variant("no-change".into(), None);
    let now = || Val::Variant("now".into(), None);
    let open = |open: &[&str], flags: &[&str]| {
        ("open-at", vec![follow(true), path(), flags_val(open), flags_val(flags)])
    };
    vec![
        ("create-directory-at", vec![path()]),
        ("remove-directory-at", vec![path()]),
        ("unlink-file-at", vec![path()]),
        ("readlink-at", vec![path()]),
        ("symlink-at", vec![text_val("target"), path()]),
        ("stat-at", vec![follow(true), path()]),
        ("metadata-hash-at", vec![follow(true), path()]),
        ("set-times-at", vec![follow(true), path(), keep(), now()]),
        open(&[], &["read"]),
        open(&[], &["read", "write"]),
        open(&["create"], &["write"]),
        open(&["create", "exclusive"], &["write"]),
        open(&["truncate"], &["write"]),
        open(&["directory"], &["read", "mutate-directory"]),
    ]
}

/// Those of two paths: with the path in question in the first or the second place.
fn pairs(directory: ResourceAny, path: &str) -> Vec<(&'static str, Vec<Val>)> {
    let (path, file, new) = (text_val(path), text_val("file"), text_val("new"));
    let to = Val::Resource(directory);
    vec![
        ("link-at", vec![follow(false), path.clone(), to.clone(), new.clone()]),
        ("link-at", vec![follow(false), file.clone(), to.clone(), path.clone()]),
        ("rename-at", vec![path.clone(), to.clone(), new]),
        ("rename-at", vec![file, to, path]),
    ]
}

/// A folder `in` that is granted, with links out of it, and one `out` that is not.
pub(crate) struct Sandbox(pub(crate) tempfile::TempDir);

impl Sandbox {
    pub(crate) fn new() -> Sandbox {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for path in ["in", "in/dir", "out", "out/sub"] {
            fs::create_dir(at(path)).unwrap();
        }
        for path in ["in/file", "in/dir/file", "out/secret"] {
            fs::write(at(path), path).unwrap();
        }
        for (link, target) in [
            ("in/up", "../out"),
            ("in/slash", "../out/"),
            ("in/leak", "../out/secret"),
            ("in/dangling", "../out/new"),
            ("in/absolute", "/etc/passwd"),
            ("in/loop", "loop"),
            ("in/inside", "file"),
        ] {
            symlink(target, at(link)).unwrap();
        }
        Sandbox(folder)
    }

    pub(crate) fn keys(&self, access: Access, tuning: WasiTuning) -> Keys {
        let mut keys = Keys::builder().dir(self.0.path().join("in"), "/in", access).build();
        keys.tuning = tuning;
        keys
    }

    /// All files with what is in them, and links with where they lead.
    pub(crate) fn tree(&self, path: &str) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.0.path().join(path)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let holds = match fs::read_link(&path) {
                    Ok(target) => format!("-> {}", target.display()),
                    Err(_) if path.is_dir() => {
                        folders.push(path.clone());
                        String::from("folder")
                    }
                    Err(_) => fs::read_to_string(&path).unwrap(),
                };
                let modified = fs::symlink_metadata(&path).unwrap().modified().unwrap();
                found.insert(path.display().to_string(), format!("{holds} {modified:?}"));
            }
        }
        found
    }
}

/// Both ways to resolve paths: by the system, and step by step where it cannot.
pub(crate) fn tunings() -> [WasiTuning; 3] {
    [
        WasiTuning::default(),
        WasiTuning::with_probe(ProbeAnswer::Enosys),
        WasiTuning::with_probe(ProbeAnswer::Eperm),
    ]
}

pub(crate) fn directory(driver: &mut Driver) -> ResourceAny {
    driver.directories()[0].0
}

#[test]
fn every_function_that_takes_a_path_is_tried() {
    let mut driver = drivers(&Keys::default()).into_iter().next().unwrap();
    let some = driver.directories().first().map(|(directory, _)| *directory);
    let tried: Vec<&str> =
        operations("x").into_iter().map(|(name, _)| name).chain(["link-at", "rename-at"]).collect();
    assert!(some.is_none(), "there are no keys");
    for function in bound_functions() {
        if let Some(name) =
            function.name.strip_prefix("[method]descriptor.").filter(|name| name.ends_with("-at"))
        {
            assert!(tried.contains(&name), "{name} is not tried");
        }
    }
}

/// F1 to F5, F13, F14, F16, F17: by `..`, absolute paths, and links out of the directory, also where the last name is one and is followed.
#[test]
fn f13_no_path_leads_out() {
    for tuning in tunings() {
        let sandbox = Sandbox::new();
        let outside = sandbox.tree("out");
        for mut driver in drivers(&sandbox.keys(Access::ReadWrite, tuning)) {
            let at = directory(&mut driver);
            for path in [
                "..",
                "../out",
                "../out/secret",
                "../out/new",
                "dir/../../out/secret",
                "/etc/passwd",
                "/",
                "/in/file",
                "up/",
                "up//",
                "up/.",
                "up/secret",
                "up/new",
                "up/sub",
                "slash/",
                "slash/secret",
                "absolute/",
                "dir/../../in/file",
            ] {
                for (name, rest) in operations(path).into_iter().chain(pairs(at, path)) {
                    let told = driver.at(name, at, &rest).map(drop);
                    // Of a link itself some say that there is something, or that it is no directory.
                    if path.ends_with('/') && path.len() > 1 {
                        assert!(told.is_err(), "{name} {path} {rest:?}");
                    } else {
                        assert_eq!(told, Err("not-permitted".to_owned()), "{name} {path} {rest:?}");
                    }
                }
            }
            for path in ["leak", "dangling", "absolute"] {
                for (name, rest) in operations(path) {
                    let follows = matches!(rest.first(), Some(Val::Flags(flags)) if !flags.is_empty());
                    let is_exclusive = rest.iter().any(|val| matches!(val, Val::Flags(flags) if flags.iter().any(|flag| &**flag == "exclusive")));
                    if !follows {
                        continue;
                    }
                    let told = driver.at(name, at, &rest).map(drop);
                    let expected = if is_exclusive { "exist" } else { "not-permitted" };
                    assert_eq!(told, Err(expected.to_owned()), "{name} {path} {rest:?}");
                }
            }
        }
        assert_eq!(sandbox.tree("out"), outside);
        assert!(sandbox.0.path().join("in/file").exists());
    }
}

/// F6 to F12, F15, F19: what is wrong with a path itself.
#[test]
fn f6_malformed_paths_are_told_apart() {
    let long_name = "n".repeat(256);
    let long_path = "d/".repeat(4096);
    for tuning in tunings() {
        let sandbox = Sandbox::new();
        for mut driver in drivers(&sandbox.keys(Access::ReadWrite, tuning)) {
            let at = directory(&mut driver);
            let mut stat = |path: &str| driver.at("stat-at", at, &[follow(true), text_val(path)]).map(drop);
            for (path, expected) in [
                ("", "no-entry"),
                ("missing", "no-entry"),
                ("file\0", "invalid"),
                (&long_name, "name-too-long"),
                (&long_path, "name-too-long"),
                ("file/", "not-directory"),
                ("file/.", "not-directory"),
                ("file/x", "not-directory"),
                ("loop", "loop"),
            ] {
                assert_eq!(stat(path), Err(expected.to_owned()), "{path:?}");
            }
            for path in ["file", "./file", "dir///", "dir/../file", "dir/./..//dir/file", "inside", "."] {
                assert_eq!(stat(path), Ok(()), "{path:?}");
            }
            assert_eq!(
                driver.at("symlink-at", at, &[text_val("/etc"), text_val("made")]),
                Err("not-permitted".to_owned())
            );
        }
    }
}

/// F26 to F31: a key to read lets nothing be changed, also through a directory that was opened in it.
#[test]
fn f30_what_may_be_read_only_is_not_changed() {
    for tuning in tunings() {
        let sandbox = Sandbox::new();
        let before = sandbox.tree("in");
        for mut driver in drivers(&sandbox.keys(Access::ReadOnly, tuning)) {
            let granted = directory(&mut driver);
            let derived = driver.open(granted, ".", (&["directory"], &["read", "mutate-directory"])).unwrap();
            for at in [granted, derived] {
                for path in ["file", "dir", "fresh"] {
                    for (name, rest) in operations(path).into_iter().chain(pairs(at, path)) {
                        let reads = match name {
                            "stat-at" | "metadata-hash-at" | "readlink-at" => true,
                            "open-at" => !rest.iter().any(|val| matches!(val, Val::Flags(flags) if flags.iter().any(|flag| matches!(&**flag, "write" | "create" | "truncate")))),
                            _ => false,
                        };
                        if !reads {
                            let told = driver.at(name, at, &rest).map(drop);
                            assert_eq!(told, Err("not-permitted".to_owned()), "{name} {path} {rest:?}");
                        }
                    }
                }
                let file = driver.open(at, "file", (&[], &["read"])).unwrap();
                for (name, rest) in changes() {
                    assert!(driver.at(name, file, &rest).is_err(), "{name}");
                }
                let flags = driver.at("get-flags", at, &[]).unwrap();
                assert_eq!(flags, Some(flags_val(&["read"])));
                driver.drop(file);
            }
        }
        assert_eq!(sandbox.tree("in"), before);
    }
}

/// F33, F34: each handle keeps its own grant, and nothing is moved from one that may be read only to one that may be written.
#[test]
fn f34_grants_stay_apart() {
    for tuning in tunings() {
        let sandbox = Sandbox::new();
        let keys = Keys::builder()
            .dir(sandbox.0.path().join("in"), "/ro", Access::ReadOnly)
            .dir(sandbox.0.path().join("in/dir"), "/rw", Access::ReadWrite)
            .tuning(tuning)
            .build();
        for mut driver in drivers(&keys) {
            let [(ro, _), (rw, _)] = driver.directories().try_into().unwrap();
            let new = || text_val("taken");
            let (ro_val, rw_val) = (Val::Resource(ro), Val::Resource(rw));
            for (name, from, rest) in [
                ("rename-at", ro, vec![text_val("file"), rw_val.clone(), new()]),
                ("rename-at", rw, vec![text_val("file"), ro_val.clone(), new()]),
                ("link-at", ro, vec![follow(false), text_val("file"), rw_val.clone(), new()]),
                ("link-at", rw, vec![follow(false), text_val("file"), ro_val, new()]),
            ] {
                assert_eq!(driver.at(name, from, &rest).map(drop), Err("not-permitted".to_owned()), "{name}");
            }
            assert_eq!(
                driver.at("rename-at", rw, &[text_val("."), rw_val, new()]).map(drop),
                Err("busy".to_owned())
            );
            // The file in both is written through the one key only.
            let write = |driver: &mut Driver, at, path| driver.open(at, path, (&[], &["write"])).map(drop);
            assert_eq!(write(&mut driver, ro, "dir/file"), Err("not-permitted".to_owned()));
            assert_eq!(write(&mut driver, rw, "file"), Ok(()));
            let same = |driver: &mut Driver, one, other| {
                driver
                    .call("[method]descriptor.is-same-object", &[Val::Resource(one), Val::Resource(other)])
                    .unwrap()
            };
            let dir = driver.open(ro, "dir", (&["directory"], &["read"])).unwrap();
            assert_eq!(same(&mut driver, dir, rw), Some(Val::Bool(true)));
            assert_eq!(same(&mut driver, ro, rw), Some(Val::Bool(false)));
        }
        assert!(!Path::new(&sandbox.0.path().join("in/dir/taken")).exists());
    }
}

/// F34: between two keys to write, on one file system, a rename is a rename and a link a link; neither leads out of either, and a directory does not go into itself.
#[test]
fn f34_what_may_be_written_is_moved_and_linked_across() {
    for tuning in tunings() {
        let sandbox = Sandbox::new();
        let keys = Keys::builder()
            .dir(sandbox.0.path().join("in"), "/one", Access::ReadWrite)
            .dir(sandbox.0.path().join("in/dir"), "/two", Access::ReadWrite)
            .tuning(tuning)
            .build();
        let outside = sandbox.tree("out");
        for mut driver in drivers(&keys) {
            let [(one, _), (two, _)] = driver.directories().try_into().unwrap();
            let (at_one, at_two) = (Val::Resource(one), Val::Resource(two));
            let at = |path: &str| sandbox.0.path().join("in").join(path);
            let rest = [follow(false), text_val("file"), at_two.clone(), text_val("linked")];
            assert_eq!(driver.at("link-at", one, &rest), Ok(None));
            assert_eq!(fs::read_to_string(at("dir/linked")).unwrap(), "in/file");
            let back = [text_val("linked"), at_one.clone(), text_val("back")];
            assert_eq!(driver.at("rename-at", two, &back), Ok(None));
            assert!(at("back").exists() && !at("dir/linked").exists());
            assert_eq!(driver.at("unlink-file-at", one, &[text_val("back")]), Ok(None));
            for (from, path, to, new, expected) in [
                (one, "dir", &at_two, "self", "invalid"),
                (one, "../out/secret", &at_two, "taken", "not-permitted"),
                (two, "../file", &at_one, "taken", "not-permitted"),
                (one, "file", &at_two, "../../out/taken", "not-permitted"),
                (one, "up/secret", &at_two, "taken", "not-permitted"),
            ] {
                let rest = [text_val(path), to.clone(), text_val(new)];
                assert_eq!(driver.at("rename-at", from, &rest), Err(expected.to_owned()), "{path} to {new}");
                if path != "dir" {
                    let rest = [follow(false), text_val(path), to.clone(), text_val(new)];
                    assert_eq!(
                        driver.at("link-at", from, &rest),
                        Err(expected.to_owned()),
                        "{path} to {new}"
                    );
                }
            }
            assert!(at("dir/file").exists() && at("file").exists() && !at("dir/taken").exists());
        }
        assert_eq!(sandbox.tree("out"), outside);
    }
}
