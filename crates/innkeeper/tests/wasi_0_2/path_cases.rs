//! C107: cases of paths that are not about leaving a directory, or only by the way, with both ways to resolve paths. Those about leaving, and about keys to read, are in
//! `paths.rs`.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use innkeeper::Trap;
use innkeeper::component::{List, ResourceAny, Val};
use innkeeper::wasi::keys::{Access, DirKey, KernelFiles, Keys};

use super::driver::{Driver, bytes_val, flags_val, follow, resource, text_val};
use super::drivers;
use super::paths::{Sandbox, directory, tunings};

/// A guest in a sandbox of its own, for each way to resolve paths, and to execute guests.
fn for_each_guest(links: &[(&str, &str)], act: impl Fn(&Path, &mut Driver, ResourceAny)) {
    for tuning in tunings() {
        let sandbox = Sandbox::new();
        let inside = sandbox.0.path().join("in");
        for (link, target) in links {
            symlink(target, inside.join(link)).unwrap();
        }
        let outside = sandbox.tree("out");
        for mut driver in drivers(&sandbox.keys(Access::ReadWrite, tuning)) {
            let at = directory(&mut driver);
            act(&inside, &mut driver, at);
        }
        assert_eq!(sandbox.tree("out"), outside);
    }
}

fn open(
    driver: &mut Driver,
    at: ResourceAny,
    (path, follows): (&str, bool),
    open: &[&str],
) -> Result<ResourceAny, String> {
    let flags: &[&str] = if open.contains(&"create") { &["write"] } else { &["read"] };
    let rest = [follow(follows), text_val(path), flags_val(open), flags_val(flags)];
    driver.at("open-at", at, &rest).map(resource)
}

fn stat(driver: &mut Driver, at: ResourceAny, (path, follows): (&str, bool)) -> Result<(), String> {
    driver.at("stat-at", at, &[follow(follows), text_val(path)]).map(drop)
}

fn said<R>(error: &str) -> Result<R, String> {
    Err(error.to_owned())
}

/// The names in a directory.
fn names(driver: &mut Driver, at: ResourceAny) -> Vec<String> {
    let listing = resource(driver.at("read-directory", at, &[]).unwrap());
    let next = |driver: &mut Driver| {
        driver
            .outcome("[method]directory-entry-stream.read-directory-entry", &[Val::Resource(listing)])
            .unwrap()
    };
    let mut names = Vec::new();
    while let Some(Val::Option(Some(entry))) = next(driver) {
        match *entry {
            Val::Record(mut fields) => match fields.pop() {
                Some((_, Val::String(name))) => names.push(name),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }
    driver.drop(listing);
    names
}

#[test]
fn f4_f12_f15_paths_that_stay_inside_work() {
    for_each_guest(&[("to-dir", "dir"), ("back", "dir/../dir/file")], |_, driver, at| {
        for path in ["dir/./..//file", "dir///", "dir/.", "to-dir/file", "to-dir/", "back", "to-dir/../file"]
        {
            assert_eq!(stat(driver, at, (path, true)), Ok(()), "{path}");
        }
        assert_eq!(stat(driver, at, ("../in/file", true)), said("not-permitted"));
    });
}

#[test]
fn f9_host_names_that_are_not_utf8_are_listed_with_replacements() {
    for_each_guest(&[], |inside, driver, at| {
        let name = std::ffi::OsStr::from_bytes(b"bad\xff");
        if fs::write(inside.join(name), "x").is_err() {
            return;
        }
        let names = names(driver, at);
        assert!(names.contains(&"bad\u{fffd}".to_owned()), "{names:?}");
        assert_eq!(stat(driver, at, ("bad\u{fffd}", true)), said("no-entry"));
    });
}

#[test]
fn f10_long_paths_are_refused() {
    for_each_guest(&[], |_, driver, at| {
        for path in
            ["n".repeat(256), format!("dir/{}", "n".repeat(256)), "d/".repeat(4096), "n".repeat(1 << 20)]
        {
            assert_eq!(stat(driver, at, (&path, true)), said("name-too-long"), "{}", path.len());
            assert_eq!(open(driver, at, (&path, true), &["create"]).map(drop), said("name-too-long"));
        }
    });
}

#[test]
fn f11_a_file_is_no_directory() {
    for_each_guest(&[], |_, driver, at| {
        for path in ["file/", "file/.", "file//", "file/./", "file/x", "file/.."] {
            assert_eq!(stat(driver, at, (path, true)), said("not-directory"), "{path}");
            assert_eq!(open(driver, at, (path, true), &[]).map(drop), said("not-directory"), "{path}");
        }
        assert_eq!(open(driver, at, ("file", true), &["directory"]).map(drop), said("not-directory"));
    });
}

#[test]
fn f17_f18_dangling_links_create_nothing_outside() {
    for_each_guest(&[], |inside, driver, at| {
        assert_eq!(open(driver, at, ("dangling", true), &["create"]).map(drop), said("not-permitted"));
        assert_eq!(open(driver, at, ("dangling", true), &["create", "exclusive"]).map(drop), said("exist"));
        assert_eq!(open(driver, at, ("dangling", false), &["create", "exclusive"]).map(drop), said("exist"));
        assert!(!inside.join("../out/new").exists());
    });
}

#[test]
fn f19_f20_link_loops_end() {
    let chain: Vec<(String, String)> = (0..=41)
        .map(|i| (format!("chain{i}"), if i == 0 { "file".to_owned() } else { format!("chain{}", i - 1) }))
        .collect();
    let links: Vec<(&str, &str)> = chain.iter().map(|(link, target)| (&link[..], &target[..])).collect();
    for_each_guest(&links, |_, driver, at| {
        for path in ["loop", "loop/x", "loop/", "chain40"] {
            assert_eq!(stat(driver, at, (path, true)), said("loop"), "{path}");
            assert_eq!(open(driver, at, (path, true), &[]).map(drop), said("loop"), "{path}");
        }
        assert_eq!(stat(driver, at, ("chain39", true)), Ok(()));
        for path in ["loop", "chain0", "inside"] {
            assert_eq!(open(driver, at, (path, false), &[]).map(drop), said("loop"), "F20 {path}");
            assert_eq!(stat(driver, at, (path, false)), Ok(()), "F20 {path}");
        }
    });
}

#[test]
fn f21_magic_links_are_denied() {
    let links = [
        ("magic0", "/proc/self/fd/0"),
        ("magic1", "/proc/self/root"),
        ("magic2", "/proc/self/cwd"),
        ("magic3", "/dev/fd/1"),
    ];
    for_each_guest(&links, |_, driver, at| {
        for (link, _) in links {
            for suffix in ["", "/", "/etc"] {
                let path = format!("{link}{suffix}");
                assert_eq!(open(driver, at, (&path, true), &[]).map(drop), said("not-permitted"), "{path}");
                assert_eq!(stat(driver, at, (&path, true)), said("not-permitted"), "{path}");
            }
        }
    });
    for tuning in tunings() {
        // Even where /proc itself is granted, its links to open files lead nowhere.
        let key =
            DirKey::new("/proc/self", "/proc", Access::ReadOnly).with_kernel_files(KernelFiles::Granted);
        for mut driver in drivers(&Keys::builder().directory(key).tuning(tuning).build()) {
            let at = directory(&mut driver);
            for path in ["root", "root/etc", "cwd", "fd/0", "exe"] {
                assert!(open(&mut driver, at, (path, true), &[]).is_err(), "{path}");
            }
        }
    }
}

#[test]
fn f22_a_key_that_is_a_link_is_resolved_once() {
    for tuning in tunings() {
        let sandbox = Sandbox::new();
        let (inside, outside) = (sandbox.0.path().join("in"), sandbox.0.path().join("out"));
        let link = sandbox.0.path().join("link");
        symlink(&inside, &link).unwrap();
        let keys = Keys::builder().dir(&link, "/", Access::ReadWrite).tuning(tuning).build();
        let guests = drivers(&keys);
        fs::remove_file(&link).unwrap();
        symlink(&outside, &link).unwrap();
        for mut driver in guests {
            let at = directory(&mut driver);
            assert_eq!(stat(&mut driver, at, ("secret", true)), said("no-entry"));
            assert_eq!(stat(&mut driver, at, ("file", true)), Ok(()));
        }
    }
}

/// A pipe is waited for, until the deadline at most; a device is what it is; a mount beneath is part of the directory.
#[test]
fn f23_f24_pipes_devices_and_mounts() {
    for_each_guest(&[], |inside, driver, at| {
        if !inside.join("pipe").exists() {
            assert!(Command::new("mkfifo").arg(inside.join("pipe")).status().unwrap().success());
        }
        let ty = |driver: &mut Driver| {
            let stat = driver.at("stat-at", at, &[follow(true), text_val("pipe")]).unwrap();
            let Some(Val::Record(fields)) = stat else { panic!("no record") };
            fields[0].1.clone()
        };
        assert_eq!(ty(driver), Val::Enum("fifo".into()));
        driver.store.set_deadline(Some(Duration::from_millis(20))).unwrap();
        let params =
            [Val::Resource(at), follow(true), text_val("pipe"), flags_val(&[]), flags_val(&["read"])];
        let ended = driver.call("[method]descriptor.open-at", &params);
        assert_eq!(ended.unwrap_err().trap(), Some(Trap::DeadlineExceeded));
    });
    for tuning in tunings() {
        for mut driver in drivers(&Keys::builder().dir("/", "/", Access::ReadOnly).tuning(tuning).build()) {
            let at = directory(&mut driver);
            let zero = open(&mut driver, at, ("dev/zero", true), &[]).unwrap();
            assert_eq!(driver.at("get-type", zero, &[]), Ok(Some(Val::Enum("character-device".into()))));
            let stream = driver.at("read-via-stream", zero, &[Val::U64(0)]).map(resource).unwrap();
            let read =
                driver.outcome("[method]input-stream.blocking-read", &[Val::Resource(stream), Val::U64(4)]);
            assert_eq!(read, Ok(Some(bytes_val(&[0; 4]))));
        }
    }
}

#[test]
fn f32_a_handle_does_only_what_it_was_opened_for() {
    for_each_guest(&[], |_, driver, at| {
        let mut open = |flags: &[&str]| driver.open(at, "file", (&[], flags)).unwrap();
        let (reader, writer) = (open(&["read"]), open(&["write"]));
        for (name, file, rest) in [
            ("read", writer, vec![Val::U64(1), Val::U64(0)]),
            ("read-via-stream", writer, vec![Val::U64(0)]),
            ("write", reader, vec![bytes_val(b"x"), Val::U64(0)]),
            ("write-via-stream", reader, vec![Val::U64(0)]),
            ("append-via-stream", reader, vec![]),
            ("set-size", reader, vec![Val::U64(0)]),
        ] {
            assert!(driver.at(name, file, &rest).is_err(), "{name}");
        }
        assert_eq!(
            driver.at("read", reader, &[Val::U64(2), Val::U64(0)]).map(|it| match it {
                Some(Val::Tuple(parts)) => parts[0].clone(),
                other => panic!("{other:?}"),
            }),
            Ok(Val::List(List::U8(b"in".to_vec())))
        );
    });
}

/// Says when a test is over, also when it fails.
struct AtTheEnd<'a>(&'a AtomicBool);

impl Drop for AtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// R1, R3, R4: while somebody else makes a link of a directory or a file and back, nothing outside is ever read, told of or changed. At length: `cargo xtask races`.
#[test]
fn r1_r3_names_that_change_meanwhile_do_not_lead_out() {
    const TRIES: usize = 2_000;
    for tuning in tunings() {
        let sandbox = Sandbox::new();
        let inside = sandbox.0.path().join("in");
        let outside = sandbox.tree("out");
        symlink("../out", inside.join("turn")).unwrap();
        fs::create_dir(inside.join("other")).unwrap();
        fs::write(inside.join("other/secret"), "own").unwrap();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let _end = AtTheEnd(&is_over);
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    // The link and the directory change places.
                    for (from, to) in
                        [("turn", "kept"), ("other", "turn"), ("turn", "other"), ("kept", "turn")]
                    {
                        fs::rename(inside.join(from), inside.join(to)).unwrap();
                    }
                }
            });
            let [mut driver, _] = drivers(&sandbox.keys(Access::ReadWrite, tuning));
            let at = directory(&mut driver);
            for _ in 0..TRIES {
                if let Ok(file) = open(&mut driver, at, ("turn/secret", true), &[]) {
                    let read = driver.at("read", file, &[Val::U64(9), Val::U64(0)]).unwrap();
                    assert_eq!(read, Some(Val::Tuple(vec![bytes_val(b"own"), Val::Bool(false)])));
                    driver.drop(file);
                }
                let _ = driver.at("unlink-file-at", at, &[text_val("turn/sub")]);
                let _ = driver.at("create-directory-at", at, &[text_val("turn/made")]);
                let _ = driver.at("remove-directory-at", at, &[text_val("turn/made")]);
            }
        });
        assert_eq!(sandbox.tree("out"), outside);
    }
}
