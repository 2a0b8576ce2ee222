//! Named pipes in a granted directory: opening one waits for its other end, as the system does, and can be interrupted.

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use innkeeper_wasi::host::Interrupt;
use innkeeper_wasi::keys::{Access, Keys};
use innkeeper_wasi::p1::Errno;
use support::*;

const DIR: u32 = 3;

/// Long enough for a guest that does not wait to say so.
const MOMENT: Duration = Duration::from_millis(30);

/// A guest on a thread of its own that opens the pipe and then does `then`.
struct Opener<T> {
    opened: Receiver<Answer<u32>>,
    interrupt: Interrupt,
    thread: std::thread::JoinHandle<T>,
}

fn open_on_a_thread<T: Send + 'static>(
    folder: &Path,
    rights: u64,
    then: impl FnOnce(&mut TestGuest, Answer<u32>) -> T + Send + 'static,
) -> Opener<T> {
    let mut guest = TestGuest::new(&Keys::builder().dir(folder, "/in", Access::ReadWrite).build());
    let interrupt = Interrupt::new().expect("interrupt");
    guest.cx.host().set_interrupt(interrupt.clone());
    let (sender, opened) = channel();
    let thread = std::thread::spawn(move || {
        let fd = guest.open(DIR, "pipe", open_for(rights, 0));
        // Who only wants the result does not listen.
        let _ = sender.send(fd);
        then(&mut guest, fd)
    });
    Opener { opened, interrupt, thread }
}

fn pipe() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("temporary directory");
    let pipe = folder.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).expect("mkfifo");
    (folder, pipe)
}

#[test]
fn a_reader_waits_for_a_writer_and_reads_all_of_it() {
    let (folder, pipe) = pipe();
    let reader = open_on_a_thread(folder.path(), READ, |guest, fd| {
        let fd = fd.expect("opened");
        let mut all = Vec::new();
        loop {
            match guest.read(fd, 5).expect("read") {
                part if part.is_empty() => return all,
                part => all.extend(part),
            }
        }
    });
    assert_eq!(reader.opened.recv_timeout(MOMENT), Err(RecvTimeoutError::Timeout), "nobody writes yet");
    let mut writer = File::options().write(true).open(&pipe).expect("there is a reader");
    assert!(
        reader.opened.recv().expect("the guest goes on").is_ok(),
        "a writer is there, though it has written nothing"
    );
    writer.write_all(b"through the pipe").expect("write");
    drop(writer);
    assert_eq!(reader.thread.join().expect("no panic"), b"through the pipe");
}

#[test]
fn a_writer_waits_for_a_reader() {
    let (folder, pipe) = pipe();
    let writer =
        open_on_a_thread(folder.path(), WRITE, |guest, fd| guest.write(fd.expect("opened"), b"hello"));
    assert_eq!(writer.opened.recv_timeout(MOMENT), Err(RecvTimeoutError::Timeout), "nobody reads yet");
    let mut text = String::new();
    let mut reader = File::open(&pipe).expect("open");
    assert_eq!(writer.thread.join().expect("no panic"), Ok(5));
    reader.read_to_string(&mut text).expect("read");
    assert_eq!(text, "hello");
}

#[test]
fn who_comes_and_goes_is_waited_for_no_longer() {
    let (folder, pipe) = pipe();
    let reader = open_on_a_thread(folder.path(), READ, |guest, fd| guest.read(fd.expect("opened"), 5));
    drop(File::options().write(true).open(&pipe).expect("there is a reader"));
    assert_eq!(reader.thread.join().expect("no panic"), Ok(Vec::new()), "the end");
}

#[test]
fn who_reads_and_writes_waits_for_nobody() {
    let (folder, _pipe) = pipe();
    let both = open_on_a_thread(folder.path(), READ | WRITE, |_, fd| fd.is_ok());
    assert!(both.thread.join().expect("no panic"));
}

#[test]
fn waiting_for_the_other_end_can_be_interrupted() {
    for rights in [READ, WRITE] {
        let (folder, _pipe) = pipe();
        let opener = open_on_a_thread(folder.path(), rights, |_, fd| fd);
        assert_eq!(opener.opened.recv_timeout(MOMENT), Err(RecvTimeoutError::Timeout), "{rights}");
        opener.interrupt.raise();
        assert_eq!(opener.thread.join().expect("no panic"), Err(Errno::Intr.number()), "{rights}");
    }
}
