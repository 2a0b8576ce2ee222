//! What takes as long as a guest, a directory or a peer chooses, in a guest that is to end: it ends with `intr`, and has changed nothing but what was done by then.
//!
//! The interrupt is there before the call, so that no time is measured; how soon guests end is measured by the deadline tests of `innkeeper`.

mod support;

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use innkeeper_wasi::host::{Error, Grant, Host, Interrupt, Nonblocking, ReceiveFlags, hold_thread};
use innkeeper_wasi::keys::{Access, DirectoryOrder, Keys, ListenKey, ProbeAnswer, WasiLimits, WasiTuning};
use innkeeper_wasi::p1::Errno;
use support::*;

const INTERRUPTED: i32 = number(Errno::Intr);

/// A guest and what interrupts it.
fn interruptible(keys: &Keys) -> (TestGuest, Interrupt) {
    let guest = TestGuest::new(keys);
    let interrupt = Interrupt::new().expect("descriptor");
    guest.cx.host().set_interrupt(interrupt.clone());
    (guest, interrupt)
}

/// A directory with names and a file of many portions.
fn populated() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("directory");
    for number in 0..40 {
        File::create(folder.path().join(number.to_string())).expect("file");
    }
    fs::hard_link(folder.path().join("1"), folder.path().join("again")).expect("link");
    fs::create_dir_all(folder.path().join("a/b")).expect("directory");
    File::create(folder.path().join("large")).expect("file").set_len(1 << 30).expect("size");
    folder
}

#[test]
fn emptying_a_large_file_in_opening_it_can_be_interrupted() {
    let folder = populated();
    for (name, tuning) in resolvers() {
        for rights in [READ, WRITE, READ | WRITE] {
            let keys = Keys::builder().dir(folder.path(), "/d", Access::ReadWrite).tuning(tuning.clone());
            let (mut guest, interrupt) = interruptible(&keys.build());
            interrupt.raise();
            assert_eq!(guest.open(3, "large", open_for(rights, TRUNC)), Err(INTERRUPTED), "{name} {rights}");
            assert_eq!(guest.stat(3, 0, "large").map(|found| found.size), Ok(1 << 30), "{name}: size");
            interrupt.clear();
        }
    }
    let keys = Keys::builder().dir(folder.path(), "/d", Access::ReadWrite);
    let (mut guest, _interrupt) = interruptible(&keys.build());
    // A handle that empties has no more rights by that.
    let fd = guest.open(3, "large", open_for(READ, TRUNC)).expect("open");
    assert_eq!(guest.fd_stat(fd).map(|found| found.size), Ok(0));
    assert!(guest.write(fd, b"more").is_err());
}

#[test]
fn cutting_a_file_of_many_pieces_can_be_interrupted() {
    let keys = Keys::builder().dir("", "/t", Access::Temporary { limit_bytes: 64 << 20 }).build();
    let (mut guest, interrupt) = interruptible(&keys);
    let fd = guest.open(3, "f", open_for(READ | WRITE, CREAT)).expect("open");
    for piece in 0..10_000 {
        guest.pwrite(fd, b"x", piece << 14).expect("write");
    }
    interrupt.raise();
    assert_eq!(guest.call("fd_filestat_set_size", &[fd.into(), 0]), Err(INTERRUPTED));
    assert_eq!(guest.open(3, "f", open_for(WRITE, TRUNC)), Err(INTERRUPTED));
    interrupt.clear();
    guest.call("fd_filestat_set_size", &[fd.into(), 0]).expect("cut");
    assert_eq!(guest.fd_stat(fd).map(|found| found.size), Ok(0));
}

#[test]
fn reading_the_names_of_a_directory_can_be_interrupted() {
    let folder = populated();
    for (name, tuning) in resolvers() {
        let keys = || Keys::builder().tuning(tuning.clone()).dir(folder.path(), "/d", Access::CopyOnWrite);
        let (mut guest, interrupt) = interruptible(&keys().build());
        interrupt.raise();
        assert_eq!(guest.stat(3, 0, "1").err(), Some(INTERRUPTED), "{name}");
        assert_eq!(guest.open(3, "new", open_for(WRITE, CREAT)).err(), Some(INTERRUPTED), "{name}");
        interrupt.clear();
        assert_eq!(guest.list(3, 4096).len(), 40 + 2 + 3, "{name}");
        // In order, as they are taken when a listing begins.
        let keys = Keys::builder().tuning(tuning.clone()).dir(folder.path(), "/d", Access::ReadOnly);
        let (mut guest, interrupt) = interruptible(&keys.directory_order(DirectoryOrder::Sorted).build());
        interrupt.raise();
        assert_eq!(guest.readdir(3, 4096, 0).err(), Some(INTERRUPTED), "{name}");
        interrupt.clear();
        assert_eq!(guest.list(3, 4096).len(), 40 + 2 + 3, "{name}");
    }
}

/// Whenever it is interrupted, a directory is as if nobody had begun to read it.
#[test]
fn names_that_were_read_in_part_are_read_again() {
    let folder = populated();
    for number in 0..3000 {
        fs::hard_link(folder.path().join("2"), folder.path().join(format!("link-{number}"))).expect("link");
    }
    let mut limits = WasiLimits::default();
    limits.overlay_bytes = 3 << 20;
    let keys = Keys::builder().limits(limits).dir(folder.path(), "/d", Access::CopyOnWrite).build();
    let mut interrupted = 0;
    for round in 0..24 {
        let (mut guest, interrupt) = interruptible(&keys);
        // Where something was not given back, the limit would be reached.
        for again in 0..8 {
            let raise = interrupt.clone();
            let pause = Duration::from_micros(200 * (round + again));
            let other = std::thread::spawn(move || {
                std::thread::sleep(pause);
                raise.raise();
            });
            let answer = guest.stat(3, 0, "a");
            interrupted += usize::from(answer.err() == Some(INTERRUPTED));
            other.join().expect("thread");
            interrupt.clear();
        }
        assert_eq!(guest.list(3, 4096).len(), 3000 + 40 + 2 + 3, "{round}");
        assert_eq!(guest.stat(3, 0, "2").map(|found| found.nlink), Ok(3001), "{round}");
    }
    assert!(interrupted > 0);
}

#[test]
fn long_paths_can_be_interrupted() {
    let folder = populated();
    let long = "a/b/../../".repeat(100);
    for access in [Access::ReadWrite, Access::ReadOnly, Access::CopyOnWrite] {
        let walks = WasiTuning::with_probe(ProbeAnswer::Enosys);
        let keys = Keys::builder().dir(folder.path(), "/d", access).tuning(walks);
        let (mut guest, interrupt) = interruptible(&keys.build());
        guest.stat(3, 0, &format!("{long}1")).expect("it is there");
        interrupt.raise();
        assert_eq!(guest.stat(3, 0, &format!("{long}1")).err(), Some(INTERRUPTED), "{access:?}");
        assert_eq!(guest.open(3, &format!("{long}1"), open_for(READ, 0)), Err(INTERRUPTED), "{access:?}");
    }
}

/// Whether a directory is moved into itself is found out by going up from there, however deep that is.
#[test]
fn renaming_between_deep_directories_can_be_interrupted() {
    let keys = Keys::builder().dir("", "/t", Access::Temporary { limit_bytes: 64 << 20 }).build();
    let (mut guest, interrupt) = interruptible(&keys);
    guest.mkdir(3, "moved").expect("directory");
    let mut deep = 3;
    for _ in 0..2000 {
        guest.mkdir(deep, "d").expect("directory");
        let next = guest.open(deep, "d", open_for(READ, DIRECTORY)).expect("directory");
        if deep != 3 {
            guest.close(deep).expect("close");
        }
        deep = next;
    }
    interrupt.raise();
    assert_eq!(guest.rename((3, "moved"), (deep, "here")), Err(INTERRUPTED));
    interrupt.clear();
    assert!(guest.stat(3, 0, "moved").is_ok());
    guest.rename((3, "moved"), (deep, "here")).expect("rename");
    assert!(guest.stat(deep, 0, "here").is_ok());
}

#[test]
fn receiving_all_from_a_peer_that_sends_without_end_can_be_interrupted() {
    let keys = Keys::builder().listener(ListenKey::new("127.0.0.1:0".parse().expect("address"))).build();
    let (host, handles) = Host::open(&keys).expect("keys");
    let Grant::Listener(address) = *handles.listeners[0].credentials().grant() else { panic!("a listener") };
    let interrupt = Interrupt::new().expect("descriptor");
    host.set_interrupt(interrupt.clone());
    let mut peer = TcpStream::connect(address).expect("connect");
    let accepted = hold_thread(host.accept(&handles.listeners[0], Nonblocking::No));
    let socket = accepted.expect("accept");
    peer.write_all(&[1; 100]).expect("send");
    let mut buffer = [0; 10];
    interrupt.raise();
    let flags = ReceiveFlags { wait_all: true, ..ReceiveFlags::default() };
    let received = hold_thread(host.receive(&socket, &mut buffer, flags));
    assert_eq!(received, Err(Error::Interrupted));
}
