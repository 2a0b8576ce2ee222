//! The bound on what a guest writes: the text of links too, and where several threads of it use one descriptor or one file at once.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};

use innkeeper_wasi::keys::{Access, Keys, WasiLimits};
use innkeeper_wasi::p1::Errno;
use support::*;

const DIR: u32 = 3;
const LIMIT_BYTES: u64 = 1 << 20;
const FAR: i64 = 1 << 40;

/// What another thread does while one writes: each changes where the write goes, or where the file ends, between the measurement of the gap and the write.
#[test]
fn no_thread_gets_between_a_gap_that_is_measured_and_the_write() {
    type Meanwhile = fn(&mut TestGuest, u32);
    let meanwhile: [(&str, Meanwhile); 2] = [
        ("seek", |guest, fd| {
            let _ = guest.seek(fd, FAR, 0);
            let _ = guest.seek(fd, 0, 0);
        }),
        ("append", |guest, fd| {
            let _ = guest.call("fd_fdstat_set_flags", &[fd.into(), 0]);
            let _ = guest.seek(fd, FAR, 0);
            let _ = guest.call("fd_fdstat_set_flags", &[fd.into(), APPEND.into()]);
        }),
    ];
    for access in [Access::ReadWrite, Access::CopyOnWrite, Access::Temporary { limit_bytes: 1 << 30 }] {
        for (name, meanwhile) in meanwhile {
            let folder = tempfile::tempdir().expect("folder");
            let mut limits = WasiLimits::default();
            limits.written_bytes = Some(LIMIT_BYTES);
            let keys = Keys::builder().dir(folder.path(), "/", access).limits(limits).build();
            let mut guest = TestGuest::new(&keys);
            let fd = guest.open(DIR, "f", open_for(READ | WRITE, CREAT)).expect("file");
            let mut other = TestGuest::new(&keys);
            other.cx = guest.cx.clone();
            let is_over = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        meanwhile(&mut other, fd);
                    }
                });
                for _ in 0..40_000 {
                    if name == "seek" {
                        let _ = guest.seek(fd, 0, 0);
                    }
                    let _ = guest.write(fd, b"x");
                }
                is_over.store(true, Ordering::Relaxed);
            });
            let size = guest.stat(DIR, 0, "f").expect("file").size;
            assert!(size <= LIMIT_BYTES, "{access:?}: {name}: {size} bytes");
        }
    }
}

/// The text of a link is kept on the medium as bytes of a file are. What is refused for another reason has used up nothing.
#[test]
fn links_count_as_what_is_written() {
    const TEXT_BYTES: usize = 100;
    const LINKS: usize = 10;
    for access in [Access::ReadWrite, Access::CopyOnWrite, Access::Temporary { limit_bytes: 1 << 30 }] {
        let folder = tempfile::tempdir().expect("folder");
        let mut limits = WasiLimits::default();
        limits.written_bytes = Some((TEXT_BYTES * LINKS) as u64);
        let keys = Keys::builder().dir(folder.path(), "/", access).limits(limits).build();
        let mut guest = TestGuest::new(&keys);
        let text = "x".repeat(TEXT_BYTES);
        for link in 0..LINKS {
            let name = format!("link-{link}");
            guest.symlink(&text, DIR, &name).expect("a link");
            // As long as there would be room for it.
            for _ in link + 1..LINKS {
                assert_eq!(guest.symlink(&text, DIR, &name), Err(number(Errno::Exist)), "{access:?}");
            }
        }
        assert_eq!(guest.symlink("x", DIR, "more"), Err(number(Errno::Dquot)), "{access:?}");
        assert!(guest.stat(DIR, 0, "more").is_err(), "{access:?}: nothing was made");
        let fd = guest.open(DIR, "f", open_for(WRITE, CREAT)).expect("file");
        assert!(guest.write(fd, b"x").is_err(), "{access:?}: files have the same bound");
    }
}
