//! Read-only keys and rights: cases F26 to F34 of the sandbox, each with every resolver.

mod support;

use std::fs;
use std::path::Path;

use innkeeper_wasi::keys::{Access, Keys};
use innkeeper_wasi::p1::{Errno, Rights};
use support::*;

const RO: u32 = 3;
const RW: u32 = 4;
const PERM: i32 = number(Errno::Perm);

/// A guest with `in` read-only as 3 and `in/a` read-write as 4, and a check that `in/f` and the names in `in` stay.
fn with_both(case: impl Fn(&str, &mut TestGuest, &Path)) {
    for (resolver, tuning) in resolvers() {
        let sandbox = Sandbox::new();
        sandbox.link("f", "l");
        let keys = Keys::builder()
            .dir(sandbox.inside(), "/ro", Access::ReadOnly)
            .dir(sandbox.inside().join("a"), "/ro/a", Access::ReadWrite)
            .tuning(tuning)
            .build();
        let mut guest = TestGuest::new(&keys);
        let before = tree_without_a(&sandbox.inside());
        case(resolver, &mut guest, &sandbox.inside());
        assert_eq!(tree_without_a(&sandbox.inside()), before, "{resolver}: the read-only tree has changed");
    }
}

/// The tree apart from the writable directory, whose own times may change.
fn tree_without_a(root: &Path) -> Vec<(String, String)> {
    snapshot(root)
        .into_iter()
        .filter(|(path, _)| !path.starts_with(root.join("a")))
        .map(|(path, text)| (path.display().to_string(), text))
        .collect()
}

#[test]
fn f26_opening_for_change_is_denied() {
    with_both(|resolver, guest, _| {
        for lookup in [0, FOLLOW] {
            for path in ["f", "l", "new", "a/b/f"] {
                for (rights, oflags, fdflags) in [
                    (WRITE, 0, 0),
                    (READ | WRITE, 0, 0),
                    (READ, TRUNC, 0),
                    (0, TRUNC, 0),
                    (READ, CREAT, 0),
                    (WRITE, CREAT | TRUNC, 0),
                    (READ, CREAT | EXCL, 0),
                    (READ, 0, APPEND),
                    (0, 0, APPEND),
                ] {
                    let how = Open { lookup, oflags, rights, fdflags };
                    let answer = guest.open(RO, path, how);
                    assert_eq!(answer, Err(PERM), "F26 {path} {oflags} {rights:x} {fdflags} {resolver}");
                }
            }
        }
    });
}

/// Rights that a read-only directory states and passes on: all that change nothing. Every right is in one of the lists.
const HARMLESS: &[&str] = &[
    "FD_DATASYNC",
    "FD_READ",
    "FD_SEEK",
    "FD_FDSTAT_SET_FLAGS",
    "FD_SYNC",
    "FD_TELL",
    "FD_ADVISE",
    "PATH_OPEN",
    "FD_READDIR",
    "PATH_READLINK",
    "PATH_FILESTAT_GET",
    "FD_FILESTAT_GET",
    "POLL_FD_READWRITE",
];
const CHANGING: &[&str] = &[
    "FD_WRITE",
    "FD_ALLOCATE",
    "PATH_CREATE_DIRECTORY",
    "PATH_CREATE_FILE",
    "PATH_LINK_SOURCE",
    "PATH_LINK_TARGET",
    "PATH_RENAME_SOURCE",
    "PATH_RENAME_TARGET",
    "PATH_FILESTAT_SET_SIZE",
    "PATH_FILESTAT_SET_TIMES",
    "FD_FILESTAT_SET_SIZE",
    "FD_FILESTAT_SET_TIMES",
    "PATH_SYMLINK",
    "PATH_REMOVE_DIRECTORY",
    "PATH_UNLINK_FILE",
];
/// No directory or file has these.
const OF_SOCKETS: &[&str] = &["SOCK_SHUTDOWN", "SOCK_ACCEPT"];

#[test]
fn a_read_only_directory_states_no_right_to_change_anything() {
    let find = |name: &str| Rights::NAMES.iter().find(|(_, known)| *known == name).expect("a right").0;
    for (_, name) in Rights::NAMES {
        let lists = [HARMLESS, CHANGING, OF_SOCKETS].iter().filter(|list| list.contains(name));
        assert_eq!(lists.count(), 1, "{name}: say whether it changes anything");
    }
    with_both(|resolver, guest, _| {
        let sub = guest.open(RO, "a", open_for(READ, DIRECTORY)).expect("a directory beneath");
        let file = guest.open(RO, "f", open_for(READ, 0)).expect("a file");
        for fd in [RO, sub, file] {
            let (base, inheriting) = guest.rights(fd).expect("rights");
            for name in CHANGING {
                assert_eq!((base | inheriting) & find(name), 0, "{fd} {name} {resolver}");
            }
            let harmless = HARMLESS.iter().map(|name| find(name)).fold(0, |all, bit| all | bit);
            assert!(fd == file || inheriting & harmless == harmless, "{fd} {resolver}");
            // What is stated can be given back, and no more.
            assert_eq!(guest.call("fd_fdstat_set_rights", &[fd.into(), base, inheriting]), Ok(()));
            let more = base | find("FD_FILESTAT_SET_TIMES");
            let widened = guest.call("fd_fdstat_set_rights", &[fd.into(), more, inheriting]);
            assert_eq!(widened, Err(number(Errno::NotCapable)), "{fd} {resolver}");
        }
        // Which key is missing is still told.
        assert_eq!(guest.mkdir(RO, "new"), Err(PERM), "{resolver}");
        assert_eq!(guest.call("fd_filestat_set_times", &[file.into(), 1, 2, 5]), Err(PERM), "{resolver}");
        let (_, all) = guest.rights(RW).expect("rights");
        for name in CHANGING {
            assert_ne!(all & find(name), 0, "{name} {resolver}");
        }
        // Libraries of C, Rust, Go and Zig ask for this set where they are to write, of which those of C and Zig leave out what is not stated.
        let writing =
            find("FD_DATASYNC") | find("FD_WRITE") | find("FD_ALLOCATE") | find("FD_FILESTAT_SET_SIZE");
        for dir in [RO, sub] {
            let (_, passed_on) = guest.rights(dir).expect("rights");
            for wish in [writing, writing | READ] {
                let path = if dir == RO { "f" } else { "b/f" };
                let opened = guest.open(dir, path, open_for(wish & passed_on, 0));
                assert_eq!(opened, Err(PERM), "{dir} {wish:x} {resolver}");
            }
        }
        let masked = (writing | READ) & all;
        assert!(guest.open(RW, "b/f", open_for(masked, 0)).is_ok(), "{resolver}");
        // Who may write may ask for less.
        let fd = guest.open(RW, "b/f", open_for(READ | find("FD_DATASYNC"), 0)).expect("for reading");
        assert_eq!(guest.write(fd, b"x"), Err(number(Errno::Badf)), "{resolver}");
    });
}

#[test]
fn f27_changing_an_open_file_is_denied() {
    with_both(|resolver, guest, _| {
        let fd = guest.open(RO, "f", open_for(READ, 0)).expect("open");
        let fd64 = u64::from(fd);
        assert_eq!(guest.call("fd_filestat_set_size", &[fd64, 0]), Err(PERM), "F27 {resolver}");
        let allocate = guest.call("fd_allocate", &[fd64, 0, 100]);
        assert_eq!(allocate, Err(PERM), "F27 {resolver}");
        assert_eq!(guest.call("fd_filestat_set_times", &[fd64, 1, 2, 5]), Err(PERM), "F27 {resolver}");
        assert_eq!(guest.call("fd_filestat_set_times", &[3, 1, 2, 5]), Err(PERM), "F27 directory {resolver}");
        assert_eq!(guest.write(fd, b"x"), Err(number(Errno::Badf)), "F27 {resolver}");
        assert_eq!(guest.pwrite(fd, b"x", 0), Err(number(Errno::Badf)), "F27 {resolver}");
        assert_eq!(guest.call("fd_fdstat_set_flags", &[fd64, 1]), Err(PERM), "F27 append {resolver}");
        for lookup in [0, FOLLOW] {
            for path in ["f", "l", "a", ".", "a/b/f"] {
                assert_eq!(guest.set_times(RO, lookup, path), Err(PERM), "F27 {path} {resolver}");
            }
        }
    });
}

#[test]
fn f28_changing_names_is_denied() {
    with_both(|resolver, guest, _| {
        assert_eq!(guest.mkdir(RO, "new"), Err(PERM), "F28 {resolver}");
        assert_eq!(guest.mkdir(RO, "a/new"), Err(PERM), "F28 {resolver}");
        assert_eq!(guest.rmdir(RO, "a/b"), Err(PERM), "F28 {resolver}");
        assert_eq!(guest.unlink(RO, "f"), Err(PERM), "F28 {resolver}");
        assert_eq!(guest.unlink(RO, "nothing"), Err(PERM), "F28 {resolver}");
        assert_eq!(guest.symlink("f", RO, "new"), Err(PERM), "F28 {resolver}");
    });
}

#[test]
fn f29_links_and_renames_between_keys_are_denied() {
    with_both(|resolver, guest, inside| {
        for ((from, from_path), (to, to_path)) in [
            ((RO, "f"), (RW, "f")),
            ((RW, "b/f"), (RO, "g")),
            ((RO, "f"), (RO, "g")),
            ((RO, "a/b/f"), (RW, "g")),
        ] {
            assert_eq!(
                guest.link(0, (from, from_path), (to, to_path)),
                Err(PERM),
                "F29 link {from_path} {resolver}"
            );
            assert_eq!(
                guest.rename((from, from_path), (to, to_path)),
                Err(PERM),
                "F29 rename {from_path} {resolver}"
            );
        }
        assert!(!inside.join("a/f").exists() && !inside.join("a/g").exists(), "F29 {resolver}");
    });
}

#[test]
fn f30_a_derived_directory_has_no_more_rights() {
    with_both(|resolver, guest, inside| {
        let derived = guest.open(RO, "a", open_for(READ, DIRECTORY)).expect("open directory");
        let again = guest.open(derived, "b", open_for(READ, DIRECTORY)).expect("open directory");
        for (dir, file) in [(derived, "b/f"), (again, "f")] {
            assert_eq!(guest.open(dir, file, open_for(WRITE, 0)), Err(PERM), "F30 {resolver}");
            assert_eq!(guest.open(dir, "new", open_for(WRITE, CREAT)), Err(PERM), "F30 {resolver}");
            assert_eq!(guest.mkdir(dir, "new"), Err(PERM), "F30 {resolver}");
            assert_eq!(guest.unlink(dir, file), Err(PERM), "F30 {resolver}");
            assert_eq!(guest.set_times(dir, 0, file), Err(PERM), "F30 {resolver}");
            assert_eq!(guest.rename((dir, file), (RW, "got")), Err(PERM), "F30 {resolver}");
            assert_eq!(guest.link(0, (dir, file), (RW, "got")), Err(PERM), "F30 {resolver}");
            assert_eq!(
                guest.open(dir, "../f", open_for(READ, 0)),
                Err(PERM),
                "F30 above a handle {resolver}"
            );
        }
        assert_eq!(fs::read(inside.join("a/b/f")).expect("f"), b"deep inside");
    });
}

#[test]
fn f31_rights_only_shrink() {
    with_both(|resolver, guest, _| {
        let fd = guest.open(RW, "b/f", open_for(READ, 0)).expect("open");
        let (base, inheriting) = guest.rights(fd).expect("rights");
        let widen = Rights::FD_WRITE.bits();
        let capable = Err(number(Errno::NotCapable));
        assert_eq!(
            guest.call("fd_fdstat_set_rights", &[fd.into(), base | widen, inheriting]),
            capable,
            "F31 {resolver}"
        );
        assert_eq!(
            guest.call("fd_fdstat_set_rights", &[fd.into(), u64::MAX, u64::MAX]),
            capable,
            "F31 {resolver}"
        );
        let less = base & !Rights::FD_SEEK.bits();
        assert_eq!(
            guest.call("fd_fdstat_set_rights", &[fd.into(), less, inheriting]),
            Ok(()),
            "F31 {resolver}"
        );
        assert_eq!(guest.seek(fd, 1, 0), capable.map(|()| 0), "F31 {resolver}");
        assert_eq!(
            guest.call("fd_fdstat_set_rights", &[fd.into(), base, inheriting]),
            capable,
            "F31 {resolver}"
        );
        assert_eq!(guest.call("fd_fdstat_set_rights", &[fd.into(), 0, 0]), Ok(()), "F31 {resolver}");
        assert_eq!(guest.read(fd, 1), Err(number(Errno::Badf)), "F31 {resolver}");
        // What a directory no longer passes on, nothing opened through it has.
        let (base, inheriting) = guest.rights(RW).expect("rights");
        let narrowed = inheriting & !WRITE;
        assert_eq!(
            guest.call("fd_fdstat_set_rights", &[RW.into(), base, narrowed]),
            Ok(()),
            "F31 {resolver}"
        );
        assert_eq!(guest.open(RW, "b/f", open_for(WRITE, 0)), capable.map(|()| 0), "F31 {resolver}");
        let derived = guest.open(RW, "b", open_for(READ, DIRECTORY)).expect("open");
        assert_eq!(guest.open(derived, "f", open_for(WRITE, 0)), capable.map(|()| 0), "F31 {resolver}");
    });
}

#[test]
fn f32_a_handle_does_only_what_it_was_opened_for() {
    with_both(|resolver, guest, _| {
        let badf = number(Errno::Badf);
        let writer = guest.open(RW, "b/f", open_for(WRITE, 0)).expect("open");
        assert_eq!(guest.read(writer, 1), Err(badf), "F32 {resolver}");
        let vector = guest.vector(&[(1024, 1)]);
        assert_eq!(guest.call("fd_pread", &[writer.into(), vector, 1, 0, 512]), Err(badf), "F32 {resolver}");
        let reader = guest.open(RW, "b/f", open_for(READ, 0)).expect("open");
        assert_eq!(guest.write(reader, b"x"), Err(badf), "F32 {resolver}");
        assert_eq!(guest.pwrite(reader, b"x", 0), Err(badf), "F32 {resolver}");
        let set_size = guest.call("fd_filestat_set_size", &[reader.into(), 0]);
        assert_eq!(set_size, Err(number(Errno::Inval)), "F32 {resolver}");
        let neither = guest.open(RW, "b/f", open_for(0, 0)).expect("open");
        assert_eq!(guest.read(neither, 1), Err(badf), "F32 {resolver}");
        assert_eq!(guest.write(neither, b"x"), Err(badf), "F32 {resolver}");
        assert!(guest.fd_stat(neither).is_ok(), "F32 {resolver}");
    });
}

#[test]
fn f33_overlapping_preopens_keep_their_own_grants() {
    with_both(|resolver, guest, inside| {
        assert_eq!(guest.open(RO, "a/b/f", open_for(WRITE, 0)), Err(PERM), "F33 {resolver}");
        let fd = guest.open(RW, "b/f", open_for(WRITE, TRUNC)).expect("writable through the other key");
        assert_eq!(guest.write(fd, b"new"), Ok(3), "F33 {resolver}");
        assert_eq!(fs::read(inside.join("a/b/f")).expect("f"), b"new", "F33 {resolver}");
        assert_eq!(guest.open(RW, "../f", open_for(READ, 0)), Err(PERM), "F33 {resolver}");
    });
}

#[test]
fn f34_renames_of_and_across_preopens() {
    for (resolver, tuning) in resolvers() {
        let sandbox = Sandbox::new();
        let keys = sandbox.keys(&tuning).dir(sandbox.inside().join("a"), "/a", Access::ReadWrite).build();
        let mut guest = TestGuest::new(&keys);
        let busy = number(Errno::Busy);
        for path in [".", "./", "a/.."] {
            assert_eq!(guest.rename((3, path), (3, "moved")), Err(busy), "F34 from {path} {resolver}");
            assert_eq!(guest.rename((3, "a"), (3, path)).err(), Some(busy), "F34 to {path} {resolver}");
        }
        assert_eq!(guest.rmdir(3, "."), Err(number(Errno::Inval)), "F34 {resolver}");
        assert_eq!(guest.rename((3, "../in"), (3, "moved")), Err(PERM), "F34 {resolver}");
        assert_eq!(guest.rename((4, ".."), (4, "moved")), Err(PERM), "F34 {resolver}");
        // Between two writable keys on one file system a rename is a rename.
        assert_eq!(guest.rename((3, "f"), (4, "g")), Ok(()), "F34 {resolver}");
        assert_eq!(fs::read(sandbox.inside().join("a/g")).expect("g"), b"inside", "F34 {resolver}");
        assert!(!sandbox.inside().join("f").exists(), "F34 {resolver}");
        // A directory into itself: refused, nothing moved.
        assert_eq!(guest.rename((3, "a"), (4, "b/self")), Err(number(Errno::Inval)), "F34 {resolver}");
        assert!(sandbox.inside().join("a/b/f").exists(), "F34 {resolver}");
        sandbox.check_outside(resolver);
    }
}

/// What `inn cow resume` would finish with the user's rights is made by no guest: neither by that name nor by moving something there.
#[test]
fn y4_no_guest_makes_a_staging_directory() {
    with_both(|resolver, guest, inside| {
        assert_eq!(guest.mkdir(RW, ".innkeeper-cow-7"), Err(PERM), "{resolver}");
        assert_eq!(guest.mkdir(RW, "mine"), Ok(()), "{resolver}");
        assert_eq!(guest.rename((RW, "mine"), (RW, ".innkeeper-cow-7")), Err(PERM), "{resolver}");
        assert_eq!(guest.symlink("mine", RW, ".innkeeper-cow-7"), Err(PERM), "{resolver}");
        assert!(!inside.join("a/.innkeeper-cow-7").exists(), "{resolver}");
        fs::remove_dir(inside.join("a/mine")).unwrap();
    });
}
