//! Paths: cases F1 to F24 of the sandbox, each with every resolver.
//!
//! "Denied" is `perm`, and the tree outside byte- and time-identical afterwards, which the harness checks.

mod support;

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use innkeeper_wasi::host::ResolverKind;
use innkeeper_wasi::keys::{Access, DirKey, KernelFiles, Keys};
use innkeeper_wasi::p1::Errno;
use support::*;

const DIR: u32 = 3;
const PERM: i32 = number(Errno::Perm);

/// Every operation on one path, as name and answer. Opening and looking follow links or not.
fn every_operation(guest: &mut TestGuest, path: &str) -> Vec<(String, Answer<()>)> {
    let mut answers: Vec<(String, Answer<()>)> = Vec::new();
    for lookup in [0, FOLLOW] {
        for (rights, oflags, fdflags) in [
            (READ, 0, 0),
            (READ, DIRECTORY, 0),
            (0, 0, 0),
            (WRITE, 0, 0),
            (READ | WRITE, 0, 0),
            (WRITE, CREAT, 0),
            (WRITE, CREAT | TRUNC, 0),
            (READ, TRUNC, 0),
            (WRITE, CREAT | EXCL, 0),
            (WRITE, 0, APPEND),
        ] {
            let how = Open { lookup, oflags, rights, fdflags };
            let opened = guest.open(DIR, path, how);
            if let Ok(fd) = opened {
                guest.close(fd).expect("close");
            }
            answers.push((format!("path_open {lookup} {oflags} {rights:x} {fdflags}"), opened.map(drop)));
        }
        answers.push((format!("path_filestat_get {lookup}"), guest.stat(DIR, lookup, path).map(drop)));
        answers.push((format!("path_filestat_set_times {lookup}"), guest.set_times(DIR, lookup, path)));
        answers
            .push((format!("path_link from {lookup}"), guest.link(lookup, (DIR, path), (DIR, "made-link"))));
        let _ = guest.unlink(DIR, "made-link");
    }
    answers.push(("path_link to".into(), guest.link(0, (DIR, "f"), (DIR, path))));
    answers.push(("path_readlink".into(), guest.readlink(DIR, path).map(drop)));
    answers.push(("path_create_directory".into(), guest.mkdir(DIR, path)));
    answers.push(("path_symlink".into(), guest.symlink("f", DIR, path)));
    answers.push(("path_rename to".into(), guest.rename((DIR, "victim"), (DIR, path))));
    answers.push(("path_rename from".into(), guest.rename((DIR, path), (DIR, "moved"))));
    answers.push(("path_remove_directory".into(), guest.rmdir(DIR, path)));
    answers.push(("path_unlink_file".into(), guest.unlink(DIR, path)));
    answers
}

/// Operations that concern what a link leads to, or need it to be followed on the way.
fn assert_denied(case: &str, answers: &[(String, Answer<()>)]) {
    for (operation, answer) in answers {
        let refused_anyway = *operation == "path_link from 1" && *answer == Err(number(Errno::Inval));
        assert!(*answer == Err(PERM) || refused_anyway, "{case}: {operation} gave {answer:?}");
    }
}

#[test]
fn the_probe_decides_the_resolver() {
    for_each_kind(|resolver, sandbox, tuning| {
        let guest = TestGuest::new(&sandbox.keys(tuning).build());
        let kind = guest.cx.host().resolver();
        if !resolver.starts_with("openat2") {
            assert_eq!(kind, ResolverKind::Walk, "{resolver}");
        }
    });
}

#[test]
fn f1_f2_f3_f5_paths_that_leave_are_denied() {
    for_each_kind(|resolver, sandbox, tuning| {
        let mut guest = TestGuest::new(&sandbox.keys(tuning).build());
        let absolute = sandbox.outside().join("secret");
        for path in [
            "../x",
            "../out/secret",
            "..",
            "../",
            "a/../../x",
            "a/../../out/secret",
            "a/b/../../../out",
            "../in/f",
            "../in",
            "./../in/f",
            "a/.//../../in/f",
            "/etc/passwd",
            "/",
            "//etc",
            "/proc/self/root",
            absolute.to_str().expect("UTF-8"),
        ] {
            let case = format!("F1-F5 {path} with {resolver}");
            assert_denied(&case, &every_operation(&mut guest, path));
            sandbox.check_outside(&case);
        }
    });
}

#[test]
fn f4_f12_paths_that_stay_inside_work() {
    for_each_kind(|resolver, sandbox, tuning| {
        let mut guest = TestGuest::new(&sandbox.keys(tuning).build());
        for path in ["a/./b//../b/f", "./a/b/f", "a//b/f", "a/../a/b/f", "a/b/../b/./f"] {
            let fd = guest
                .open(DIR, path, open_for(READ, 0))
                .unwrap_or_else(|e| panic!("F4 {path} {resolver}: {e}"));
            assert_eq!(guest.read(fd, 64).expect("read"), b"deep inside", "F4 {path} {resolver}");
        }
        for path in ["a", "a/", "a///", "a/.", "a/./", "a//.//", ".", "./", "a/..", "a/b/../..", "a/b/"] {
            assert_eq!(guest.stat(DIR, 0, path).map(|stat| stat.filetype), Ok(3), "F12 {path} {resolver}");
            let fd = guest.open(DIR, path, open_for(READ, 0));
            assert!(fd.is_ok(), "F12 {path} {resolver}: {fd:?}");
        }
    });
}

#[test]
fn f6_f7_f8_f10_malformed_paths() {
    for_each_kind(|resolver, sandbox, tuning| {
        let mut guest = TestGuest::new(&sandbox.keys(tuning).build());
        let component = "c".repeat(256);
        let long = "a/".repeat(2100) + "f";
        let cases: &[(&[u8], Errno)] = &[
            (b"", Errno::NoEnt),
            (b"f\0", Errno::Inval),
            (b"\0", Errno::Inval),
            (b"a\0/../../out/secret", Errno::Inval),
            (b"\xff\xfe", Errno::Ilseq),
            (b"a/\xc3\x28", Errno::Ilseq),
            (component.as_bytes(), Errno::NameTooLong),
            (long.as_bytes(), Errno::NameTooLong),
        ];
        for (path, errno) in cases {
            let answer = guest.open_bytes(DIR, path, open_for(READ, 0));
            assert_eq!(answer, Err(number(*errno)), "F6-F10 {path:?} {resolver}");
        }
        // 1 GiB of path in a memory of less: not in memory. In one that has it: too long, before any copy.
        assert_eq!(
            guest.call("path_unlink_file", &[3, 1024, 1 << 30]),
            Err(number(Errno::Fault)),
            "F10 {resolver}"
        );
        let all = guest.memory.len() as u64;
        assert_eq!(
            guest.call("path_unlink_file", &[3, 0, all]),
            Err(number(Errno::NameTooLong)),
            "F10 {resolver}"
        );
    });
}

#[test]
fn f9_host_names_that_are_not_utf8_are_listed_with_replacements() {
    for_each_kind(|resolver, sandbox, tuning| {
        let name = std::ffi::OsStr::from_bytes(b"bad\xff");
        if fs::write(sandbox.inside().join(name), "x").is_err() {
            return;
        }
        let mut guest = TestGuest::new(&sandbox.keys(tuning).build());
        let names = guest.list(DIR, 4096);
        assert!(names.contains(&"bad\u{fffd}".to_string()), "F9 {resolver}: {names:?}");
        let answer = guest.open(DIR, "bad\u{fffd}", open_for(READ, 0));
        assert_eq!(answer, Err(number(Errno::NoEnt)), "F9 {resolver}");
    });
}

#[test]
fn f11_a_file_is_no_directory() {
    for_each_kind(|resolver, sandbox, tuning| {
        let mut guest = TestGuest::new(&sandbox.keys(tuning).build());
        for path in ["f/", "f/.", "f//", "f/./", "f/x", "f/.."] {
            let notdir = Err(number(Errno::NotDir));
            assert_eq!(
                guest.open(DIR, path, open_for(READ, 0)).map(drop),
                notdir,
                "F11 open {path} {resolver}"
            );
            assert_eq!(guest.stat(DIR, 0, path).map(drop), notdir, "F11 stat {path} {resolver}");
            assert_eq!(guest.set_times(DIR, 0, path), notdir, "F11 set_times {path} {resolver}");
            assert!(guest.unlink(DIR, path).is_err(), "F11 unlink {path} {resolver}");
            assert!(guest.rename((DIR, path), (DIR, "g")).is_err(), "F11 rename {path} {resolver}");
            assert!(guest.rename((DIR, "a/b/f"), (DIR, path)).is_err(), "F11 rename to {path} {resolver}");
        }
        let answer = guest.open(DIR, "new/", open_for(WRITE, CREAT));
        assert_eq!(answer, Err(number(Errno::IsDir)), "F11 create {resolver}");
        assert_eq!(fs::read(sandbox.inside().join("f")).expect("f"), b"inside");
    });
}

#[test]
fn f13_f14_escaping_links_are_denied_in_every_form() {
    let targets: &[&str] = &["../out", "../out/", "../out/sub", "a/../../out", "../out/secret"];
    for_each_kind(|resolver, sandbox, tuning| {
        for target in targets {
            for suffix in ["", "/", "//", "/.", "/x", "/./", "/secret", "/.."] {
                let link = sandbox.inside().join("l");
                let _ = fs::remove_file(&link);
                sandbox.link(target, "l");
                let _ = fs::write(sandbox.inside().join("victim"), "v");
                let mut guest = TestGuest::new(&sandbox.keys(tuning).build());
                let path = format!("l{suffix}");
                let case = format!("F13 {path} -> {target} with {resolver}");
                for (operation, answer) in every_operation(&mut guest, &path) {
                    check_link_answer(&format!("{case}: {operation}"), &operation, suffix, answer);
                    let _ = fs::remove_file(&link);
                    if !link.exists() && fs::symlink_metadata(&link).is_err() {
                        sandbox.link(target, "l");
                    }
                }
                sandbox.check_outside(&case);
            }
        }
    });
}

/// What is behind the link must be refused; the link itself is inside and may be used as a link.
fn check_link_answer(case: &str, operation: &str, suffix: &str, answer: Answer<()>) {
    let names_the_link = suffix.is_empty();
    let never_follows = [
        "path_link",
        "path_readlink",
        "path_create",
        "path_symlink",
        "path_rename",
        "path_remove",
        "path_unlink",
    ]
    .iter()
    .any(|prefix| operation.starts_with(prefix))
        || ["path_filestat_get 0", "path_filestat_set_times 0"].contains(&operation);
    if names_the_link && never_follows {
        return;
    }
    // A name that must be a directory, and is a link that is not followed, is none: nothing is behind it.
    let trailing = ["/", "//", "/.", "/./"].contains(&suffix);
    let as_link =
        [Errno::NotDir, Errno::Exist, Errno::Inval, Errno::NoEnt, Errno::IsDir, Errno::Loop].map(number);
    match answer {
        Err(PERM) => {}
        Err(errno)
            if as_link.contains(&errno)
                && (trailing || names_the_link || operation == "path_link from 1") => {}
        other => panic!("{case} gave {other:?}"),
    }
}

#[test]
fn f13_following_an_escaping_link_is_perm() {
    for_each_kind(|resolver, sandbox, tuning| {
        sandbox.link("../out", "l");
        sandbox.link("../out/secret", "s");
        let mut guest = TestGuest::new(&sandbox.keys(tuning).build());
        for path in ["l", "l/", "l//", "l/.", "l/secret", "l/sub/f", "s"] {
            let follow = Open { lookup: FOLLOW, rights: READ, ..Open::default() };
            assert_eq!(guest.open(DIR, path, follow), Err(PERM), "F13 open {path} {resolver}");
            assert_eq!(guest.stat(DIR, FOLLOW, path).map(drop), Err(PERM), "F13 stat {path} {resolver}");
            assert_eq!(guest.set_times(DIR, FOLLOW, path), Err(PERM), "F13 set_times {path} {resolver}");
        }
        for path in ["l/", "l//", "l/.", "l/secret"] {
            assert_eq!(guest.open(DIR, path, open_for(READ, 0)), Err(PERM), "F13 open {path} {resolver}");
            assert_eq!(guest.stat(DIR, 0, path).map(drop), Err(PERM), "F13 stat {path} {resolver}");
            assert_eq!(guest.set_times(DIR, 0, path), Err(PERM), "F13 set_times {path} {resolver}");
        }
    });
}

#[test]
fn f15_links_inside_work() {
    for_each_kind(|resolver, sandbox, tuning| {
        sandbox.link("a/b", "d");
        sandbox.link("a/b/f", "g");
        sandbox.link("../f", "a/up");
        sandbox.link("d/", "slash");
        sandbox.link("../in/f", "round");
        let mut guest = TestGuest::new(&sandbox.keys(tuning).build());
        let follow = Open { lookup: FOLLOW, rights: READ, ..Open::default() };
        for (path, content) in [
            ("g", "deep inside"),
            ("d/f", "deep inside"),
            ("a/up", "inside"),
            ("slash/f", "deep inside"),
            ("d/../../f", "inside"),
        ] {
            let fd = guest.open(DIR, path, follow).unwrap_or_else(|e| panic!("F15 {path} {resolver}: {e}"));
            assert_eq!(guest.read(fd, 64).expect("read"), content.as_bytes(), "F15 {path} {resolver}");
            assert_eq!(
                guest.stat(DIR, FOLLOW, path).map(|stat| stat.filetype),
                Ok(4),
                "F15 {path} {resolver}"
            );
        }
        for path in ["d/", "d/.", "slash", "slash/"] {
            let fd = guest.open(DIR, path, follow).unwrap_or_else(|e| panic!("F15 {path} {resolver}: {e}"));
            assert_eq!(guest.fd_stat(fd).map(|stat| stat.filetype), Ok(3), "F15 {path} {resolver}");
            assert_eq!(
                guest.stat(DIR, FOLLOW, path).map(|stat| stat.filetype),
                Ok(3),
                "F15 {path} {resolver}"
            );
        }
        assert_eq!(guest.stat(DIR, 0, "d/").map(|stat| stat.filetype), Ok(3), "F15 stat d/ {resolver}");
        assert_eq!(guest.stat(DIR, 0, "d").map(|stat| stat.filetype), Ok(7), "F15 stat d {resolver}");
        assert_eq!(guest.open(DIR, "g/", follow), Err(number(Errno::NotDir)), "F15 g/ {resolver}");
        assert_eq!(guest.open(DIR, "round", follow), Err(PERM), "F15 round {resolver}");
        assert_eq!(guest.set_times(DIR, FOLLOW, "g"), Ok(()), "F15 set_times {resolver}");
        assert_eq!(guest.stat(DIR, 0, "a/b/f").map(|stat| stat.mtim), Ok(2), "F15 set_times {resolver}");
        assert_eq!(guest.unlink(DIR, "d/"), Err(number(Errno::NotDir)), "F15 unlink d/ {resolver}");
        assert_eq!(guest.rmdir(DIR, "d/"), Err(number(Errno::NotDir)), "F15 rmdir d/ {resolver}");
        assert_eq!(guest.readlink(DIR, "g").as_deref(), Ok("a/b/f"), "F15 readlink {resolver}");
    });
}

/// Each text is followed from where its link is: together they can be longer than a path.
#[test]
fn f15_long_texts_of_links_are_followed_by_every_operation() {
    let padding = "./".repeat(900);
    for_each_kind(|case, sandbox, tuning| {
        for link in 0..4 {
            sandbox.link(format!("{padding}../a/l{}", link + 1), &format!("a/l{link}"));
        }
        sandbox.link(format!("{padding}b/f"), "a/l4");
        sandbox.link(format!("{padding}../a/round"), "a/round");
        sandbox.link(format!("{padding}../a/out"), "a/leads");
        sandbox.link(format!("{padding}../../out/secret"), "a/out");
        let mut guest = TestGuest::new(&sandbox.keys(tuning).build());
        let read = Open { lookup: FOLLOW, ..open_for(READ, 0) };
        let fd = guest.open(DIR, "a/l0", read).expect(case);
        assert_eq!(guest.read(fd, 100).as_deref(), Ok(&b"deep inside"[..]), "{case}");
        assert_eq!(guest.stat(DIR, FOLLOW, "a/l0").map(|found| found.size), Ok(11), "{case}");
        assert_eq!(guest.set_times(DIR, FOLLOW, "a/l0"), Ok(()), "{case}");
        for (path, errno) in [("a/round", Errno::Loop), ("a/leads", Errno::Perm), ("a/l0/", Errno::NotDir)] {
            let expected = Err(number(errno));
            assert_eq!(guest.open(DIR, path, read).map(drop), expected, "{case}: open {path}");
            assert_eq!(guest.stat(DIR, FOLLOW, path).map(drop), expected, "{case}: stat {path}");
            assert_eq!(guest.set_times(DIR, FOLLOW, path), expected, "{case}: times {path}");
        }
    });
}

#[test]
fn f16_absolute_links_are_refused() {
    for_each_kind(|resolver, sandbox, tuning| {
        sandbox.link(sandbox.outside().join("secret"), "host-made");
        sandbox.link(sandbox.inside().join("f"), "host-made-inside");
        let mut guest = TestGuest::new(&sandbox.keys(tuning).build());
        let follow = Open { lookup: FOLLOW, rights: READ, ..Open::default() };
        for path in ["host-made", "host-made-inside"] {
            assert_eq!(guest.open(DIR, path, follow), Err(PERM), "F16 {path} {resolver}");
            assert_eq!(guest.stat(DIR, FOLLOW, path).map(drop), Err(PERM), "F16 {path} {resolver}");
            assert_eq!(guest.readlink(DIR, path), Err(PERM), "F16 {path} {resolver}");
        }
        assert_eq!(guest.symlink("/etc/passwd", DIR, "guest-made"), Err(PERM), "F16 {resolver}");
        assert_eq!(guest.symlink("", DIR, "guest-made"), Err(number(Errno::NoEnt)), "F16 {resolver}");
        assert!(fs::symlink_metadata(sandbox.inside().join("guest-made")).is_err(), "F16 {resolver}");
    });
}

#[test]
fn f17_f18_dangling_links_create_nothing_outside() {
    for_each_kind(|resolver, sandbox, tuning| {
        sandbox.link("../out/new", "dangling");
        sandbox.link("new", "dangling-inside");
        let mut guest = TestGuest::new(&sandbox.keys(tuning).build());
        let create = Open { lookup: FOLLOW, oflags: CREAT, rights: WRITE, fdflags: 0 };
        assert_eq!(guest.open(DIR, "dangling", create), Err(PERM), "F17 {resolver}");
        assert_eq!(guest.mkdir(DIR, "dangling"), Err(number(Errno::Exist)), "F17 {resolver}");
        let exclusive = Open { oflags: CREAT | EXCL, ..create };
        assert_eq!(guest.open(DIR, "dangling", exclusive), Err(number(Errno::Exist)), "F18 {resolver}");
        assert_eq!(
            guest.open(DIR, "dangling-inside", exclusive),
            Err(number(Errno::Exist)),
            "F18 {resolver}"
        );
        assert!(guest.open(DIR, "dangling-inside", create).is_ok(), "F17 inside {resolver}");
        assert!(guest.stat(DIR, 0, "new").is_ok(), "F17 inside {resolver}");
    });
}

#[test]
fn f19_f20_link_loops_end() {
    for_each_kind(|resolver, sandbox, tuning| {
        sandbox.link("self", "self");
        sandbox.link("f", "chain0");
        for index in 1..=41 {
            sandbox.link(format!("chain{}", index - 1), &format!("chain{index}"));
        }
        sandbox.link("a", "d0");
        for index in 1..=41 {
            sandbox.link(format!("d{}", index - 1), &format!("d{index}"));
        }
        let mut guest = TestGuest::new(&sandbox.keys(tuning).build());
        let follow = Open { lookup: FOLLOW, rights: READ, ..Open::default() };
        let looping = number(Errno::Loop);
        for path in ["self", "self/x", "self/", "chain40", "d40/b/f"] {
            assert_eq!(guest.open(DIR, path, follow), Err(looping), "F19 open {path} {resolver}");
            assert_eq!(guest.stat(DIR, FOLLOW, path).map(drop), Err(looping), "F19 stat {path} {resolver}");
        }
        for path in ["chain39", "d39/b/f"] {
            assert!(guest.open(DIR, path, follow).is_ok(), "F19 open {path} {resolver}");
            assert!(guest.stat(DIR, FOLLOW, path).is_ok(), "F19 stat {path} {resolver}");
        }
        assert_eq!(guest.open(DIR, "chain0", open_for(READ, 0)), Err(looping), "F20 {resolver}");
        assert!(guest.open(DIR, "self", open_for(READ, 0)) == Err(looping), "F20 {resolver}");
    });
}

#[test]
fn f21_magic_links_are_denied() {
    for_each_kind(|resolver, sandbox, tuning| {
        for (index, target) in
            ["/proc/self/fd/0", "/proc/self/root", "/proc/self/cwd", "/dev/fd/1"].iter().enumerate()
        {
            sandbox.link(target, &format!("magic{index}"));
        }
        let mut guest = TestGuest::new(&sandbox.keys(tuning).build());
        let follow = Open { lookup: FOLLOW, rights: READ, ..Open::default() };
        for index in 0..4 {
            for suffix in ["", "/", "/etc"] {
                let path = format!("magic{index}{suffix}");
                assert_eq!(guest.open(DIR, &path, follow), Err(PERM), "F21 {path} {resolver}");
                assert_eq!(guest.stat(DIR, FOLLOW, &path).map(drop), Err(PERM), "F21 {path} {resolver}");
            }
        }
        // Even where /proc itself is granted, its links to open files lead nowhere.
        let key =
            DirKey::new("/proc/self", "/proc", Access::ReadOnly).with_kernel_files(KernelFiles::Granted);
        let keys = Keys::builder().directory(key).tuning(tuning.clone()).build();
        let mut guest = TestGuest::new(&keys);
        for path in ["root", "root/etc", "cwd", "fd/0", "exe"] {
            let answer = guest.open(DIR, path, follow);
            assert!(answer.is_err(), "F21 {path} {resolver}: {answer:?}");
        }
    });
}

#[test]
fn f22_a_preopen_that_is_a_link_is_resolved_once() {
    for_each_kind(|resolver, sandbox, tuning| {
        let link = tempfile::tempdir().expect("temporary directory");
        let name = link.path().join("preopen");
        symlink(sandbox.inside(), &name).expect("symlink");
        let keys = Keys::builder().dir(&name, "/", Access::ReadWrite).tuning(tuning.clone()).build();
        let mut guest = TestGuest::new(&keys);
        fs::remove_file(&name).expect("remove");
        symlink(sandbox.outside(), &name).expect("symlink");
        assert_eq!(guest.stat(DIR, 0, "secret").map(drop), Err(number(Errno::NoEnt)), "F22 {resolver}");
        assert!(guest.stat(DIR, 0, "f").is_ok(), "F22 {resolver}");
    });
}

#[test]
fn f23_devices_and_pipes_that_are_not_waited_for_do_not_hang() {
    for_each_resolver(|resolver, sandbox, tuning| {
        let pipe = sandbox.inside().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).expect("mkfifo");
        let mut guest = TestGuest::new(&sandbox.keys(tuning).build());
        let unwaiting = |rights| Open { fdflags: NONBLOCK, ..open_for(rights, 0) };
        let reader = guest.open(DIR, "pipe", unwaiting(READ)).expect("open for reading");
        assert_eq!(guest.read(reader, 8).as_deref(), Ok(&b""[..]), "F23 no writer: the end {resolver}");
        let writer = guest.open(DIR, "pipe", open_for(WRITE, 0)).expect("open for writing");
        assert_eq!(guest.write(writer, b"through"), Ok(7), "F23 {resolver}");
        assert_eq!(guest.read(reader, 8).as_deref(), Ok(&b"through"[..]), "F23 {resolver}");
        assert_eq!(guest.seek(reader, 0, 0), Err(number(Errno::Spipe)), "F23 {resolver}");
        guest.close(reader).expect("close");
        guest.close(writer).expect("close");
        let alone = guest.open(DIR, "pipe", unwaiting(WRITE));
        assert_eq!(alone, Err(number(Errno::Nxio)), "F23 no reader {resolver}");

        let keys = Keys::builder().dir("/dev", "/dev", Access::ReadOnly).tuning(tuning.clone()).build();
        let mut guest = TestGuest::new(&keys);
        let zero = guest.open(DIR, "zero", open_for(READ, 0)).expect("device");
        assert_eq!(guest.read(zero, 4).as_deref(), Ok(&[0; 4][..]), "F23 {resolver}");
        assert_eq!(guest.fd_stat(zero).map(|stat| stat.filetype), Ok(2), "F23 {resolver}");
    });
}

#[test]
fn f23_pipes_beneath_an_overlay_are_seen_and_not_opened() {
    for_each_resolver(|resolver, sandbox, tuning| {
        let pipe = sandbox.inside().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).expect("mkfifo");
        let keys = Keys::builder().dir(sandbox.inside(), "/in", Access::CopyOnWrite).tuning(tuning.clone());
        let mut guest = TestGuest::new(&keys.build());
        assert_eq!(guest.stat(DIR, 0, "pipe").map(|it| it.filetype), Ok(0), "F23 {resolver}");
        assert_eq!(guest.open(DIR, "pipe", open_for(READ, 0)), Err(number(Errno::NotSup)), "F23 {resolver}");
        guest.unlink(DIR, "pipe").expect("unlink");
        assert!(pipe.exists(), "F23 {resolver}");
    });
}

#[test]
fn f24_a_mount_beneath_is_part_of_the_directory() {
    for_each_kind(|resolver, _, tuning| {
        // Those of the kernel's own are not: see `kernel_files`.
        let key = DirKey::new("/", "/", Access::ReadOnly);
        for (key, mount) in
            [(key.clone(), "dev/"), (key.with_kernel_files(KernelFiles::Granted), "proc/self/")]
        {
            let keys = Keys::builder().directory(key).tuning(tuning.clone()).build();
            let mut guest = TestGuest::new(&keys);
            assert!(guest.stat(DIR, 0, mount).is_ok(), "F24 {mount} {resolver}");
        }
    });
}

#[test]
fn trailing_slashes_where_something_is_made() {
    for_each_kind(|resolver, sandbox, tuning| {
        let mut guest = TestGuest::new(&sandbox.keys(tuning).build());
        assert_eq!(guest.mkdir(DIR, "new/"), Ok(()), "{resolver}");
        assert_eq!(guest.mkdir(DIR, "new/."), Err(number(Errno::Exist)), "{resolver}");
        assert_eq!(guest.rmdir(DIR, "new//"), Ok(()), "{resolver}");
        assert_eq!(guest.symlink("f", DIR, "s/"), Err(number(Errno::NoEnt)), "{resolver}");
        assert_eq!(guest.symlink("f", DIR, "a/"), Err(number(Errno::Exist)), "{resolver}");
        assert_eq!(guest.symlink("x", DIR, "f/"), Err(number(Errno::Exist)), "{resolver}");
        assert_eq!(guest.link(0, (DIR, "f"), (DIR, "hard/")), Err(number(Errno::NoEnt)), "{resolver}");
        assert_eq!(guest.link(0, (DIR, "a"), (DIR, "hard")), Err(PERM), "{resolver}");
        assert_eq!(guest.rename((DIR, "a/"), (DIR, "z/")), Ok(()), "{resolver}");
        assert_eq!(guest.unlink(DIR, "z/"), Err(number(Errno::IsDir)), "{resolver}");
        assert_eq!(guest.unlink(DIR, "z"), Err(number(Errno::IsDir)), "{resolver}");
        assert_eq!(guest.rmdir(DIR, "z"), Err(number(Errno::NotEmpty)), "{resolver}");
        assert_eq!(guest.rmdir(DIR, "f"), Err(number(Errno::NotDir)), "{resolver}");
    });
}
