//! The directory `/` of a guest that was not granted one: what it answers, what it records, and that nothing comes of it.

mod support;

use innkeeper_wasi::host::MissingKey;
use innkeeper_wasi::keys::{Access, Keys, LockedRoot};
use innkeeper_wasi::p1::{Context, Errno, GuestMemory, Version, call};
use support::{DIRECTORY, READ, TestGuest, open_for};

/// A guest's memory with a path at 16.
fn memory(path: &str) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    bytes[16..16 + path.len()].copy_from_slice(path.as_bytes());
    bytes
}

fn errno(cx: &mut Context, bytes: &mut [u8], name: &str, arguments: &[u64]) -> Result<i32, String> {
    let mut guest = GuestMemory::new(bytes);
    match call(Version::Preview1, name, cx, &mut guest, arguments) {
        Some(Ok(errno)) => Ok(errno),
        other => Err(format!("{name}: {other:?}")),
    }
}

fn keys() -> Keys {
    Keys::builder().locked_root(LockedRoot::Present).build()
}

#[test]
fn every_path_in_it_does_not_exist_and_is_recorded() {
    for (path, guest, host) in [
        ("helloworld/helloworld.txt", "/helloworld", None),
        ("notes.txt", "/", Some(".")),
        ("./notes.txt", "/", Some(".")),
        ("./etc/passwd", "/", Some(".")),
        // Outside of the working directory, nobody looks whether it is there.
        ("a/../../b/c", "a/../../b", Some("../b")),
        ("../tests/x", "../tests", Some("../tests")),
        ("../wasi/x", "../wasi", Some("../wasi")),
        ("etc/none/x", "/etc/none", Some("/etc/none")),
        ("src/../tests/x", "/src/../tests", Some("tests")),
        ("tests/x", "/tests", Some("tests")),
        ("etc/passwd", "/etc", Some("/etc")),
    ] {
        let mut cx = Context::new(&keys()).unwrap();
        let mut bytes = memory(path);
        let len = path.len() as u64;
        // path_open for writing, with creation.
        let arguments = [3, 0, 16, len, 1, 1 << 6, 0, 0, 8];
        let answer = errno(&mut cx, &mut bytes, "path_open", &arguments).unwrap();
        assert_eq!(answer, Errno::NoEnt.number(), "{path}");
        let denials = cx.host().denials();
        assert_eq!(denials.len(), 1, "{path}");
        let expected = MissingKey::Directory {
            host: host.map(Into::into),
            guest: guest.into(),
            access: Access::ReadWrite,
        };
        assert_eq!(denials[0].missing, expected, "{path}");
    }
}

#[test]
fn no_operation_gets_through_it() {
    let mut cx = Context::new(&keys()).unwrap();
    let mut bytes = memory("x");
    let (path, len) = (16, 1);
    let calls: &[(&str, &[u64])] = &[
        ("path_create_directory", &[3, path, len]),
        ("path_filestat_get", &[3, 0, path, len, 64]),
        ("path_filestat_set_times", &[3, 0, path, len, 0, 0, 0]),
        ("path_link", &[3, 0, path, len, 3, path, len]),
        ("path_open", &[3, 0, path, len, 0, 2, 0, 0, 8]),
        ("path_readlink", &[3, path, len, 64, 16, 8]),
        ("path_remove_directory", &[3, path, len]),
        ("path_rename", &[3, path, len, 3, path, len]),
        ("path_symlink", &[path, len, 3, path, len]),
        ("path_unlink_file", &[3, path, len]),
        ("fd_filestat_set_times", &[3, 0, 0, 5]),
        ("fd_sync", &[3]),
    ];
    for (name, arguments) in calls {
        let answer = errno(&mut cx, &mut bytes, name, arguments).unwrap();
        assert_ne!(answer, 0, "{name} went through");
    }
    assert_eq!(errno(&mut cx, &mut bytes, "fd_close", &[3]), Ok(0));
}

/// A program that shows all that it was given, such as `find` on each preopened directory.
#[test]
fn a_guest_that_opens_looks_at_and_lists_each_of_its_directories_finds_nothing_broken() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("notes.txt"), "text").unwrap();
    let granted = Keys::builder().dir(folder.path(), "/data", Access::ReadOnly);
    let mut guest = TestGuest::new(&granted.locked_root(LockedRoot::Present).build());
    let mut found = Vec::new();
    for directory in [3, 4] {
        let opened = guest.open(directory, ".", open_for(READ, DIRECTORY)).unwrap();
        for fd in [directory, opened] {
            assert_eq!(guest.fd_stat(fd).unwrap().filetype, 3, "a directory");
            assert_eq!(guest.stat(fd, 0, ".").unwrap().filetype, 3, "a directory");
            let names: Vec<String> = guest.list(fd, 4096).into_iter().collect();
            found.push(names);
        }
        guest.close(opened).unwrap();
    }
    let all: Vec<Vec<&str>> = found.iter().map(|names| names.iter().map(String::as_str).collect()).collect();
    assert_eq!(
        all,
        [
            [".", "..", "notes.txt"].to_vec(),
            [".", "..", "notes.txt"].to_vec(),
            vec![".", ".."],
            vec![".", ".."]
        ]
    );
    assert_eq!(guest.cx.host().denials(), [], "nothing was asked for that is not there");
    assert_eq!(guest.open(4, "etc/passwd", open_for(READ, 0)), Err(Errno::NoEnt.number()));
    assert_eq!(guest.mkdir(4, "new"), Err(Errno::NoEnt.number()));
    assert_eq!(guest.cx.host().denials().len(), 2);
}

#[test]
fn it_comes_last_and_only_where_nothing_else_is_the_root() {
    let folder = tempfile::tempdir().unwrap();
    let name_of = |cx: &mut Context, fd: u64| {
        let mut bytes = memory("");
        let answer = errno(cx, &mut bytes, "fd_prestat_get", &[fd, 64]).unwrap();
        if answer != 0 {
            return Err(answer);
        }
        let len = u64::from(u32::from_le_bytes(bytes[68..72].try_into().unwrap()));
        assert_eq!(errno(cx, &mut bytes, "fd_prestat_dir_name", &[fd, 128, len]), Ok(0));
        Ok(String::from_utf8(bytes[128..128 + len as usize].to_vec()).unwrap())
    };
    let badf = Err(Errno::Badf.number());

    let granted = Keys::builder().dir(folder.path(), "data", Access::ReadWrite);
    let mut cx = Context::new(&granted.clone().locked_root(LockedRoot::Present).build()).unwrap();
    assert_eq!(name_of(&mut cx, 3), Ok("data".into()));
    assert_eq!(name_of(&mut cx, 4), Ok("/".into()));
    assert_eq!(name_of(&mut cx, 5), badf);

    let mut cx = Context::new(&granted.build()).unwrap();
    assert_eq!(name_of(&mut cx, 4), badf);

    for root in ["/", "."] {
        let keys =
            Keys::builder().dir(folder.path(), root, Access::ReadOnly).locked_root(LockedRoot::Present);
        let mut cx = Context::new(&keys.build()).unwrap();
        assert_eq!(name_of(&mut cx, 3), Ok(root.into()));
        assert_eq!(name_of(&mut cx, 4), badf);
    }
}
