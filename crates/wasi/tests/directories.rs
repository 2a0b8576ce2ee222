//! What can be done with an open directory itself, and with directories that may be read or searched but not both: the same in every kind of directory.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use innkeeper_wasi::keys::{Access, Keys};
use innkeeper_wasi::p1::Errno;
use support::*;

const KINDS: [Access; 4] =
    [Access::ReadWrite, Access::ReadOnly, Access::CopyOnWrite, Access::Temporary { limit_bytes: 1 << 20 }];

fn guest_in(path: &Path, access: Access) -> TestGuest {
    TestGuest::new(&Keys::builder().dir(path, "/d", access).build())
}

#[test]
fn a_directory_is_flushed_and_not_read_as_a_file() {
    let isdir = Err(number(Errno::IsDir));
    for access in KINDS {
        let folder = tempfile::tempdir().expect("directory");
        fs::create_dir(folder.path().join("sub")).expect("directory");
        let mut guest = guest_in(folder.path(), access);
        if matches!(access, Access::Temporary { .. }) {
            guest.mkdir(3, "sub").expect("mkdir");
        }
        let sub = guest.open(3, "sub", open_for(READ, DIRECTORY)).expect("open");
        for fd in [3, sub] {
            for name in ["fd_sync", "fd_datasync"] {
                assert_eq!(guest.call(name, &[fd.into()]), Ok(()), "{name} {fd} {access:?}");
            }
            assert_eq!(guest.read(fd, 1).map(drop), isdir, "{fd} {access:?}");
            let vector = guest.vector(&[(64, 1)]);
            assert_eq!(guest.call("fd_pread", &[fd.into(), vector, 1, 0, 128]), isdir, "{fd} {access:?}");
        }
    }
}

#[test]
fn numbers_that_no_file_has_are_invalid_and_a_removed_directory_has_no_links() {
    for access in KINDS.into_iter().filter(|access| *access != Access::ReadOnly) {
        let folder = tempfile::tempdir().expect("directory");
        let mut guest = guest_in(folder.path(), access);
        let fd = guest.open(3, "f", open_for(READ | WRITE, CREAT)).expect("open");
        for (offset, length) in [(u64::MAX, 1), (0, u64::MAX), (0, 0), (1 << 63, 1)] {
            let answer = guest.call("fd_allocate", &[fd.into(), offset, length]);
            assert_eq!(answer, Err(number(Errno::Inval)), "{offset} {length} {access:?}");
        }
        guest.mkdir(3, "sub").expect("mkdir");
        let sub = guest.open(3, "sub", open_for(READ, DIRECTORY)).expect("open");
        guest.rmdir(3, "sub").expect("rmdir");
        assert_eq!(guest.fd_stat(sub).map(|found| found.nlink), Ok(0), "{access:?}");
    }
}

/// Runs a test of this file as a user whom permissions bind, which the superuser is not.
fn as_ordinary_user(test: &str, case: impl FnOnce()) {
    const IS_CHILD: &str = "INNKEEPER_TEST_AS_ORDINARY_USER";
    if !rustix::process::geteuid().is_root() || std::env::var_os(IS_CHILD).is_some() {
        return case();
    }
    let program = std::env::current_exe().expect("this test");
    let mut child = Command::new(program);
    child.args(["--exact", test, "--nocapture"]).env(IS_CHILD, "1").current_dir("/").gid(65534).uid(65534);
    let ran = child.output().expect("the test's file can be executed by an ordinary user");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert!(String::from_utf8_lossy(&ran.stdout).contains("1 passed"), "{ran:?}");
}

#[test]
fn reading_names_takes_no_permission_to_look_them_up_and_the_other_way_round() {
    as_ordinary_user("reading_names_takes_no_permission_to_look_them_up_and_the_other_way_round", || {
        let folder = tempfile::tempdir().expect("directory");
        let made = folder.path().join("made");
        fs::create_dir(&made).expect("directory");
        fs::write(made.join("file"), "hi").expect("file");
        let mode = |bits| fs::set_permissions(&made, fs::Permissions::from_mode(bits)).expect("mode");
        for access in [Access::ReadWrite, Access::ReadOnly, Access::CopyOnWrite] {
            mode(0o400);
            for (granted, name) in [(folder.path(), "made"), (made.as_path(), ".")] {
                let mut guest = guest_in(granted, access);
                let fd = match name {
                    "." => 3,
                    name => guest.open(3, name, open_for(READ, DIRECTORY)).expect("open"),
                };
                assert_eq!(guest.list(fd, 4096), [".", "..", "file"], "{name} {access:?}");
                let acces = Err(number(Errno::Acces));
                assert_eq!(guest.open(fd, "file", open_for(READ, 0)), acces, "{name} {access:?}");
            }
            mode(0o300);
            for (granted, path, dir) in [(folder.path(), "made/file", "made"), (made.as_path(), "file", ".")]
            {
                let mut guest = guest_in(granted, access);
                let fd = guest.open(3, path, open_for(READ, 0)).expect("open");
                assert_eq!(guest.read(fd, 8).as_deref(), Ok(&b"hi"[..]), "{path} {access:?}");
                let noent = Err(number(Errno::NoEnt));
                assert_eq!(guest.open(3, &format!("{dir}/absent"), open_for(READ, 0)), noent, "{access:?}");
                // It is not listed, whatever has been looked up in it.
                let listed =
                    guest.open(3, dir, open_for(READ, DIRECTORY)).and_then(|fd| guest.readdir(fd, 4096, 0));
                assert_eq!(listed.map(drop), Err(number(Errno::Acces)), "{dir} {access:?}");
            }
        }
        mode(0o700);
    });
}

/// What a guest changes in a directory that can be searched and not listed is what it sees from then on, what is told of it, and what is applied.
#[test]
fn a_directory_that_cannot_be_listed_is_changed_copy_on_write_name_by_name() {
    as_ordinary_user("a_directory_that_cannot_be_listed_is_changed_copy_on_write_name_by_name", || {
        let folder = tempfile::tempdir().expect("directory");
        let made = folder.path().join("made");
        fs::create_dir(&made).expect("directory");
        for name in ["file", "gone", "moved", "untouched"] {
            fs::write(made.join(name), name).expect("file");
        }
        fs::hard_link(made.join("file"), made.join("again")).expect("link");
        let mode = |bits| fs::set_permissions(&made, fs::Permissions::from_mode(bits)).expect("mode");
        mode(0o300);
        let mut guest = guest_in(folder.path(), Access::CopyOnWrite);
        let exist = Err(number(Errno::Exist));
        assert_eq!(guest.open(3, "made/file", open_for(WRITE, CREAT | EXCL)).map(drop), exist);
        guest.unlink(3, "made/gone").expect("unlink");
        guest.rename((3, "made/moved"), (3, "made/there")).expect("rename");
        guest.mkdir(3, "made/new").expect("mkdir");
        let fd = guest.open(3, "made/file", open_for(WRITE, 0)).expect("open");
        guest.write(fd, b"FI").expect("write");
        for (path, there) in
            [("gone", false), ("moved", false), ("there", true), ("new", true), ("file", true)]
        {
            assert_eq!(guest.stat(3, 0, &format!("made/{path}")).is_ok(), there, "{path}");
        }
        // Both names are of one file.
        let fd = guest.open(3, "made/again", open_for(READ, 0)).expect("open");
        assert_eq!(guest.read(fd, 8).as_deref(), Ok(&b"FIle"[..]));
        // Whether it is empty cannot be told.
        assert_eq!(guest.rmdir(3, "made"), Err(number(Errno::Acces)));
        let changes = guest.cx.host().overlays()[0].changes().expect("changes");
        let told: Vec<String> = changes
            .iter()
            .map(|change| format!("{:?} {}", change.kind, String::from_utf8_lossy(&change.path)))
            .collect();
        for line in ["Removed made/gone", "Removed made/moved", "Added made/there", "Added made/new"] {
            assert!(told.iter().any(|it| it == line), "{line}: {told:?}");
        }
        assert!(told.iter().all(|line| !line.contains("untouched")), "{told:?}");
        mode(0o700);
        assert!(made.join("gone").exists() && !made.join("new").exists(), "the host's is as it was");
    });
}
