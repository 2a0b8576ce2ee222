//! Trees deeper than a path of the system's is long and than a process may have descriptors, applied and archived. In a process of its own, whose limit on
//! descriptors is lowered.

mod support;

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use innkeeper_wasi::host::{Aftermath, Finish};
use innkeeper_wasi::keys::{Access, DirKey, Keys};
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::populated::{MINE, finish_apply};
use support::*;

const DIR: u32 = 3;
const LEVELS: usize = 1500;

/// As many descriptors as a few levels would take.
const MAX_DESCRIPTORS: u64 = 64;

fn name(level: usize) -> String {
    format!("{level:05}{}", "d".repeat(15))
}

fn open(directory: impl AsFd, name: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    openat(directory, name, flags | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)
}

/// Directories in each other beneath `top`, with a file in the last.
fn make_deep(root: &Path, top: &str) {
    let mut directory = open(CWD, root.to_str().expect("UTF-8"), OFlags::RDONLY).expect("root");
    for level in 0..LEVELS {
        let name = if level == 0 { top.to_owned() } else { name(level) };
        mkdirat(&directory, &name, Mode::RWXU).expect("mkdir");
        directory = open(&directory, &name, OFlags::RDONLY).expect("open");
    }
    rustix::io::write(open(&directory, "f", OFlags::WRONLY | OFlags::CREATE).expect("f"), b"deep")
        .expect("write");
}

/// How many directories lie in each other, and what the file in the last says.
fn look_deep(root: &Path, top: &str) -> (usize, String) {
    let mut directory = open(CWD, root.to_str().expect("UTF-8"), OFlags::RDONLY).expect("root");
    let mut levels = 0;
    loop {
        let name = if levels == 0 { top.to_owned() } else { name(levels) };
        match open(&directory, &name, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(next) => directory = next,
            Err(_) => break,
        }
        levels += 1;
    }
    let mut text = String::new();
    if let Ok(file) = open(&directory, "f", OFlags::RDONLY) {
        std::fs::File::from(file).read_to_string(&mut text).expect("read");
    }
    (levels, text)
}

/// Handles to every level.
fn descend(guest: &mut TestGuest, top: &str, makes: bool) -> Vec<u32> {
    let mut handles = vec![DIR];
    for level in 0..LEVELS {
        let above = handles[level];
        let name = if level == 0 { top.to_owned() } else { name(level) };
        if makes {
            guest.mkdir(above, &name).expect("mkdir");
        }
        handles.push(guest.open(above, &name, open_for(READ, DIRECTORY)).expect("open"));
    }
    handles
}

#[test]
fn depth_costs_no_descriptors() {
    let root = tempfile::tempdir().expect("temporary directory");
    for top in ["removed", "moved", "changed"] {
        make_deep(root.path(), top);
    }
    let limit = Rlimit { current: Some(MAX_DESCRIPTORS), ..getrlimit(Resource::Nofile) };
    setrlimit(Resource::Nofile, limit).expect("setrlimit");
    let key = DirKey::new(root.path(), "/in", Access::CopyOnWrite);
    let mut guest = TestGuest::new(&Keys::builder().directory(key).build());

    let handles = descend(&mut guest, "removed", false);
    guest.unlink(handles[LEVELS], "f").expect("unlink");
    for level in (1..LEVELS).rev() {
        guest.rmdir(handles[level], &name(level)).expect("rmdir");
    }
    guest.rmdir(DIR, "removed").expect("rmdir");
    handles[1..].iter().for_each(|handle| guest.close(*handle).expect("close"));
    guest.rename((DIR, "moved"), (DIR, "elsewhere")).expect("rename");
    for (top, makes) in [("changed", false), ("new", true)] {
        let handles = descend(&mut guest, top, makes);
        let fd = guest.open(handles[LEVELS], "f", open_for(WRITE, CREAT)).expect("f");
        guest.write(fd, b"DEEP").expect("write");
        guest.close(fd).expect("close");
        handles[1..].iter().for_each(|handle| guest.close(*handle).expect("close"));
    }

    let overlay = guest.cx.host().overlays()[0].clone();
    overlay.write_tar(&mut std::io::sink(), &|| false).expect("archive");
    // Stopped half-way and gone on with, so that both the journal's making and its reading are as deep.
    let steps = std::cell::Cell::new(0);
    let count = || {
        steps.set(steps.get() + 1);
        steps.get() > 12 * LEVELS
    };
    if let Err(error) = overlay.apply(MINE, &count) {
        assert!(matches!(error.left, Aftermath::HalfMade | Aftermath::Staged | Aftermath::Made), "{error:?}");
        finish_apply(root.path(), Finish::Resume, &|| false).expect("resume");
    }
    assert_eq!(look_deep(root.path(), "removed"), (0, String::new()));
    assert_eq!(look_deep(root.path(), "moved"), (0, String::new()));
    for (top, text) in [("elsewhere", "deep"), ("changed", "DEEP"), ("new", "DEEP")] {
        assert_eq!(look_deep(root.path(), top), (LEVELS, text.to_owned()), "{top}");
    }
}
