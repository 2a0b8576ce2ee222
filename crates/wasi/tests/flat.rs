//! A million operations leave nothing behind: neither descriptors of the host nor memory, in any kind of directory.

mod support;

use std::fs;

use innkeeper_wasi::keys::{Access, DirKey, Keys};
use support::populated::scratch;
use support::*;

const DIR: u32 = 3;
const OPERATIONS: usize = 1_000_000;

/// How much the process's memory may differ between the middle and the end.
const SLACK_BYTES: usize = 4 << 20;

/// What Linux uses on nearly every machine; larger pages only make the test stricter.
const PAGE_BYTES: usize = 4096;

/// What this process holds beside pages of files: how many of those the system maps differs from machine to machine.
fn held_bytes() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").expect("statm");
    let pages: Vec<usize> = statm.split(' ').map_while(|pages| pages.parse().ok()).collect();
    (pages[1] - pages[2]) * PAGE_BYTES
}

/// Sixteen operations that leave the directory as it was.
fn round(guest: &mut TestGuest) {
    let fd = guest.open(DIR, "work", open_for(READ | WRITE, CREAT)).expect("open");
    guest.write(fd, b"some bytes").expect("write");
    guest.seek(fd, 0, 0).expect("seek");
    assert_eq!(guest.read(fd, 100).expect("read"), b"some bytes");
    guest.fd_stat(fd).expect("stat");
    let other = guest.open(DIR, "f", open_for(READ, 0)).expect("open");
    guest.call("fd_renumber", &[fd.into(), other.into()]).expect("renumber");
    guest.close(other).expect("close");
    guest.mkdir(DIR, "d").expect("mkdir");
    guest.rename((DIR, "work"), (DIR, "d/moved")).expect("rename");
    let directory = guest.open(DIR, "d", open_for(READ, DIRECTORY)).expect("open");
    assert_eq!(guest.readdir(directory, 512, 0).expect("readdir").0.len(), 3);
    guest.close(directory).expect("close");
    guest.unlink(DIR, "d/moved").expect("unlink");
    guest.rmdir(DIR, "d").expect("rmdir");
    assert!(guest.stat(DIR, 0, "missing").is_err());
}

#[test]
fn handles_and_memory_stay_flat_over_a_million_operations() {
    // In memory: what is looked for is not on a disk, which takes most of the time.
    let [native, beneath] = [scratch(), scratch()];
    for directory in [&native, &beneath] {
        fs::write(directory.path().join("f"), "f").expect("f");
    }
    let keys = [
        DirKey::new(native.path(), "/in", Access::ReadWrite),
        DirKey::new(beneath.path(), "/in", Access::CopyOnWrite),
        DirKey::temporary("/in", 1 << 20),
    ];
    for key in keys {
        let kind = key.access;
        let mut guest = TestGuest::new(&Keys::builder().directory(key).build());
        let made = guest.open(DIR, "f", open_for(WRITE, CREAT)).expect("open");
        guest.close(made).expect("close");
        let rounds = OPERATIONS / 16 / 3;
        let mut middle = None;
        for index in 0..rounds {
            round(&mut guest);
            if index == rounds / 2 {
                middle = Some((host_descriptors(), held_bytes()));
            }
        }
        let (descriptors, bytes) = middle.expect("the middle was passed");
        assert_eq!(host_descriptors(), descriptors, "{kind:?}");
        assert!(held_bytes() <= bytes + SLACK_BYTES, "{kind:?}: {} and then {}", bytes, held_bytes());
    }
}
