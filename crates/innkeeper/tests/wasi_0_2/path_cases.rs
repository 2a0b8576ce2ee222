//! C107: cases of paths that are not about leaving a directory, or only by the way, with both ways to resolve paths. Those about leaving, and about keys to read, are in
//! `paths.rs`, listings and what is read in `path_reads.rs` of WASI 0.2.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use innkeeper::Trap;
use innkeeper::component::{ResourceAny, Val};
use innkeeper::wasi::keys::{Access, DirKey, KernelFiles, Keys};

use super::driver::{Driver, flags_val, follow, resource, text_val};
use super::paths::{Sandbox, directory, tunings};
use super::{drivers, kind};

/// A guest in a sandbox of its own, for each way to resolve paths, and to execute guests.
pub(crate) fn for_each_guest(links: &[(&str, &str)], act: impl Fn(&Path, &mut Driver, ResourceAny)) {
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

pub(crate) fn open(
    driver: &mut Driver,
    at: ResourceAny,
    (path, follows): (&str, bool),
    open: &[&str],
) -> Result<ResourceAny, String> {
    let flags: &[&str] = if open.contains(&"create") { &["write"] } else { &["read"] };
    let rest = [follow(follows), text_val(path), flags_val(open), flags_val(flags)];
    driver.at("open-at", at, &rest).map(resource)
}

pub(crate) fn stat(
    driver: &mut Driver,
    at: ResourceAny,
    (path, follows): (&str, bool),
) -> Result<(), String> {
    driver.at("stat-at", at, &[follow(follows), text_val(path)]).map(drop)
}

pub(crate) fn said<R>(error: &str) -> Result<R, String> {
    Err(error.to_owned())
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

/// A pipe is waited for, until the deadline at most.
#[test]
fn f23_pipes_are_waited_for() {
    for_each_guest(&[], |inside, driver, at| {
        if !inside.join("pipe").exists() {
            assert!(Command::new("mkfifo").arg(inside.join("pipe")).status().unwrap().success());
        }
        let ty = |driver: &mut Driver| {
            let stat = driver.at("stat-at", at, &[follow(true), text_val("pipe")]).unwrap();
            let Some(Val::Record(fields)) = stat else { panic!("no record") };
            fields[0].1.clone()
        };
        assert_eq!(ty(driver), kind("fifo"));
        driver.store.set_deadline(Some(Duration::from_millis(20))).unwrap();
        let params =
            [Val::Resource(at), follow(true), text_val("pipe"), flags_val(&[]), flags_val(&["read"])];
        let ended = driver.call("[method]descriptor.open-at", &params);
        assert_eq!(ended.unwrap_err().trap(), Some(Trap::DeadlineExceeded));
    });
}

/// Names on the way to what the host keeps for itself are as if they were not there, and none is made in their place; what is beside them is (Y4).
#[test]
fn y4_what_the_host_keeps_for_itself_is_not_reached() {
    for tuning in tunings() {
        for access in [Access::ReadWrite, Access::ReadOnly, Access::CopyOnWrite] {
            let sandbox = Sandbox::new();
            let inside = sandbox.0.path().join("in");
            fs::create_dir(inside.join("state")).unwrap();
            fs::write(inside.join("state/key"), "secret").unwrap();
            let mut keys = sandbox.keys(access, tuning.clone());
            keys.hidden = vec![inside.join("state"), inside.join("later")];
            let before = sandbox.tree("in/state");
            for mut driver in drivers(&keys) {
                let at = directory(&mut driver);
                for path in ["state/key", "state", "dir/../state/key", "later", "later/key"] {
                    assert!(open(&mut driver, at, (path, true), &[]).is_err(), "{path}, {access:?}");
                    assert!(open(&mut driver, at, (path, true), &["create"]).is_err(), "{path}, {access:?}");
                    assert!(stat(&mut driver, at, (path, true)).is_err(), "{path}, {access:?}");
                    assert!(driver.at("create-directory-at", at, &[text_val(path)]).is_err(), "{path}");
                    let to = [text_val("file"), Val::Resource(at), text_val(path)];
                    assert!(driver.at("rename-at", at, &to).is_err(), "{path}, {access:?}");
                    let from = [text_val(path), Val::Resource(at), text_val("taken")];
                    assert!(driver.at("rename-at", at, &from).is_err(), "{path}, {access:?}");
                }
                assert_eq!(stat(&mut driver, at, ("file", true)), Ok(()));
            }
            assert_eq!(sandbox.tree("in/state"), before);
            assert!(!inside.join("later").exists() && !inside.join("taken").exists());
        }
    }
}

/// What talks to the kernel is no part of a grant, wherever in it, unless that says so (Y9).
#[test]
fn y9_files_of_the_kernel_are_refused() {
    for tuning in tunings() {
        for access in [Access::ReadOnly, Access::ReadWrite] {
            for mut driver in drivers(&Keys::builder().dir("/", "/", access).tuning(tuning.clone()).build()) {
                let at = directory(&mut driver);
                for path in [
                    "proc/self/mem",
                    "proc/self/environ",
                    "proc/1/cmdline",
                    "sys/kernel/profiling",
                    "proc/sys/kernel/hostname",
                ] {
                    let opened = open(&mut driver, at, (path, true), &[]).map(drop);
                    assert!(opened.is_err(), "{path}, {access:?}");
                }
            }
        }
    }
}

/// In a directory whose changes the host does not get, paths lead nowhere else than in others, the guest sees what it has made, and the host's is as it was.
#[test]
fn copies_on_write_are_the_guests_alone() {
    for tuning in tunings() {
        let sandbox = Sandbox::new();
        let before = [sandbox.tree("in"), sandbox.tree("out")];
        for mut driver in drivers(&sandbox.keys(Access::CopyOnWrite, tuning)) {
            let at = directory(&mut driver);
            for path in ["../out/secret", "up/secret", "leak", "absolute", "dir/../../out/secret"] {
                assert_eq!(
                    open(&mut driver, at, (path, true), &[]).map(drop),
                    said("not-permitted"),
                    "{path}"
                );
                assert_eq!(stat(&mut driver, at, (path, true)), said("not-permitted"), "{path}");
            }
            assert_eq!(
                open(&mut driver, at, ("dangling", true), &["create"]).map(drop),
                said("not-permitted")
            );
            let made = open(&mut driver, at, ("dir/made", true), &["create"]).unwrap();
            driver.at("set-size", made, &[Val::U64(7)]).unwrap();
            let file = driver.open(at, "file", (&["truncate"], &["write"])).unwrap();
            driver.at("set-size", file, &[Val::U64(1)]).unwrap();
            driver.at("create-directory-at", at, &[text_val("new")]).unwrap();
            driver.at("unlink-file-at", at, &[text_val("dir/file")]).unwrap();
            driver
                .at("rename-at", at, &[text_val("dir/made"), Val::Resource(at), text_val("new/moved")])
                .unwrap();
            assert_eq!(stat(&mut driver, at, ("new/moved", true)), Ok(()));
            for path in ["dir/file", "dir/made"] {
                assert_eq!(stat(&mut driver, at, (path, true)), said("no-entry"), "{path}");
            }
        }
        assert_eq!([sandbox.tree("in"), sandbox.tree("out")], before);
    }
}
