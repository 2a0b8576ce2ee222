//! Streams: standard ones and those of files.

use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use innkeeper::component::{List, ResourceAny, Val};
use innkeeper::wasi::keys::{Access, Capture, Keys, StdinKey, StdoutKey};
use innkeeper::wasi::p2::Misuse;

use super::driver::{Driver, bytes_val, resource};
use super::drivers;

fn stream(driver: &mut Driver, name: &str) -> ResourceAny {
    resource(driver.call(name, &[]).unwrap())
}

fn input(driver: &mut Driver, stream: ResourceAny, name: &str, length: u64) -> Result<Vec<u8>, String> {
    let params = [Val::Resource(stream), Val::U64(length)];
    match driver.outcome(&format!("[method]input-stream.{name}"), &params)? {
        Some(Val::List(List::U8(bytes))) => Ok(bytes),
        other => panic!("{other:?}"),
    }
}

fn output(driver: &mut Driver, stream: ResourceAny, name: &str, rest: &[Val]) -> Result<Option<Val>, String> {
    let params = [&[Val::Resource(stream)], rest].concat();
    driver.outcome(&format!("[method]output-stream.{name}"), &params)
}

/// The sentence of a trap.
fn misuse(driver: &mut Driver, name: &str, params: &[Val]) -> String {
    let error = driver.call(name, params).unwrap_err();
    error.downcast_ref::<Misuse>().unwrap_or_else(|| panic!("{error}")).to_string()
}

/// C104: read by two handles, to its end, and beyond.
#[test]
fn c104_standard_input_is_one_stream() {
    let keys = Keys::builder().stdin(StdinKey::Bytes(b"abcdefgh".to_vec())).build();
    for mut driver in drivers(&keys) {
        let (one, two) = (stream(&mut driver, "get-stdin"), stream(&mut driver, "get-stdin"));
        assert_eq!(input(&mut driver, one, "read", 3), Ok(b"abc".to_vec()));
        assert_eq!(input(&mut driver, two, "blocking-read", 2), Ok(b"de".to_vec()));
        assert_eq!(input(&mut driver, one, "read", 0), Ok(vec![]));
        let skipped = driver.outcome("[method]input-stream.skip", &[Val::Resource(one), Val::U64(1)]);
        assert_eq!(skipped, Ok(Some(Val::U64(1))));
        driver.drop(two);
        assert_eq!(input(&mut driver, one, "blocking-read", u64::MAX), Ok(b"gh".to_vec()));
        assert_eq!(input(&mut driver, one, "read", 1), Err("closed".to_owned()));
        assert_eq!(input(&mut driver, one, "blocking-read", 1), Err("closed".to_owned()));
    }
}

/// C104: a pipe that nobody writes to any more is at its end, which is told at once.
#[test]
fn c104_a_pipe_without_a_writer_is_at_its_end() {
    for i in 0..2 {
        let (read, mut write) = std::io::pipe().unwrap();
        std::io::Write::write_all(&mut write, b"last").unwrap();
        drop(write);
        let keys = Keys::builder().stdin(StdinKey::Opened(Arc::new(OwnedFd::from(read)))).build();
        let mut driver = drivers(&keys).into_iter().nth(i).unwrap();
        let stdin = stream(&mut driver, "get-stdin");
        assert_eq!(input(&mut driver, stdin, "blocking-read", 100), Ok(b"last".to_vec()));
        for name in ["read", "blocking-read", "read"] {
            assert_eq!(input(&mut driver, stdin, name, 1), Err("closed".to_owned()), "{name}");
        }
    }
}

/// C105: whoever reads slowly from what does not wait by itself gets everything, in order, before the program ends.
#[test]
fn c105_output_that_does_not_wait_arrives_whole() {
    const PIECES: u32 = 500;
    for i in 0..2 {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let reader = std::thread::spawn(move || {
            let (mut all, mut piece) = (Vec::new(), [0; 1000]);
            loop {
                let count = std::io::Read::read(&mut &theirs, &mut piece).unwrap();
                if count == 0 {
                    return all;
                }
                all.extend_from_slice(&piece[..count]);
                std::thread::yield_now();
            }
        });
        let keys = Keys::builder().stdout(StdoutKey::Opened(Arc::new(OwnedFd::from(ours)))).build();
        let mut driver = drivers(&keys).into_iter().nth(i).unwrap();
        drop(keys);
        let stdout = stream(&mut driver, "get-stdout");
        let piece = |number: u32| number.to_le_bytes().repeat(1024);
        for number in 0..PIECES {
            output(&mut driver, stdout, "blocking-write-and-flush", &[bytes_val(&piece(number))]).unwrap();
        }
        drop(driver);
        let expected: Vec<u8> = (0..PIECES).flat_map(piece).collect();
        assert!(reader.join().unwrap() == expected, "something is missing, or in another order");
    }
}

/// C104, C105: streams that are not there are closed.
#[test]
fn c105_closed_streams_say_so() {
    let keys = Keys::builder().stdin(StdinKey::Closed).stdout(StdoutKey::Closed).build();
    for mut driver in drivers(&keys) {
        let (stdin, stdout) = (stream(&mut driver, "get-stdin"), stream(&mut driver, "get-stdout"));
        assert_eq!(input(&mut driver, stdin, "blocking-read", 1), Err("closed".to_owned()));
        for name in ["check-write", "flush", "blocking-flush"] {
            assert_eq!(output(&mut driver, stdout, name, &[]), Err("closed".to_owned()), "{name}");
        }
        assert!(output(&mut driver, stdout, "blocking-write-and-flush", &[bytes_val(b"x")]).is_err());
        for name in ["get-terminal-stdin", "get-terminal-stdout", "get-terminal-stderr"] {
            assert_eq!(driver.call(name, &[]).unwrap(), Some(Val::Option(None)), "{name}");
        }
    }
}

#[test]
fn what_is_written_arrives_in_order() {
    let capture = Capture::new(1 << 20);
    let keys = Keys::builder()
        .stdin(StdinKey::Bytes(b"spliced".to_vec()))
        .stdout(StdoutKey::Capture(capture.clone()))
        .stderr(StdoutKey::Capture(capture.clone()))
        .build();
    for mut driver in drivers(&keys) {
        let before = capture.contents().len();
        let (stdout, stderr) = (stream(&mut driver, "get-stdout"), stream(&mut driver, "get-stderr"));
        output(&mut driver, stdout, "blocking-write-and-flush", &[bytes_val(b"one ")]).unwrap();
        output(&mut driver, stderr, "blocking-write-and-flush", &[bytes_val(b"two ")]).unwrap();
        let Some(Val::U64(permitted)) = output(&mut driver, stdout, "check-write", &[]).unwrap() else {
            panic!()
        };
        assert!(permitted >= 4096);
        output(&mut driver, stdout, "write", &[bytes_val(b"three")]).unwrap();
        output(&mut driver, stdout, "write-zeroes", &[Val::U64(2)]).unwrap();
        output(&mut driver, stdout, "flush", &[]).unwrap();
        output(&mut driver, stdout, "blocking-write-zeroes-and-flush", &[Val::U64(1)]).unwrap();
        let stdin = stream(&mut driver, "get-stdin");
        let spliced = output(&mut driver, stdout, "splice", &[Val::Resource(stdin), Val::U64(3)]);
        assert_eq!(spliced, Ok(Some(Val::U64(3))));
        let spliced = output(&mut driver, stdout, "blocking-splice", &[Val::Resource(stdin), Val::U64(100)]);
        assert_eq!(spliced, Ok(Some(Val::U64(4))));
        let spliced = output(&mut driver, stdout, "splice", &[Val::Resource(stdin), Val::U64(1)]);
        assert_eq!(spliced, Err("closed".to_owned()));
        assert_eq!(&capture.contents()[before..], b"one two three\0\0\0spliced");
    }
}

#[test]
fn what_was_not_permitted_is_a_trap() {
    let keys = Keys::builder().stdout(StdoutKey::Discard).build();
    let method = |name: &str| format!("[method]output-stream.{name}");
    for (name, argument, says) in [
        ("write", bytes_val(b"x"), "was given 1 bytes, and `check-write` has allowed 0"),
        ("write-zeroes", Val::U64(u64::MAX), "`check-write` has allowed 0"),
        ("blocking-write-and-flush", bytes_val(&[0; 4097]), "was given 4097 bytes, and takes 4096 at most"),
        ("blocking-write-zeroes-and-flush", Val::U64(4097), "takes 4096 at most"),
    ] {
        for mut driver in drivers(&keys) {
            let stdout = stream(&mut driver, "get-stdout");
            let told = misuse(&mut driver, &method(name), &[Val::Resource(stdout), argument.clone()]);
            assert!(told.contains(says), "{told}");
        }
    }
}

/// A stream of a file has a position of its own, and outlives the descriptor; appending goes to the end, whoever else has written.
#[test]
fn streams_of_files_have_places_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::builder().dir(folder.path(), "/work", Access::ReadWrite).build();
    for mut driver in drivers(&keys) {
        let path = folder.path().join("f");
        fs::write(&path, "0123456789").unwrap();
        let at = driver.directories()[0].0;
        let file = driver.open(at, "f", (&[], &["read", "write"])).unwrap();
        let one = resource(driver.at("read-via-stream", file, &[Val::U64(0)]).unwrap());
        let two = resource(driver.at("read-via-stream", file, &[Val::U64(5)]).unwrap());
        let write = resource(driver.at("write-via-stream", file, &[Val::U64(2)]).unwrap());
        let append = resource(driver.at("append-via-stream", file, &[]).unwrap());
        driver.drop(file);
        assert_eq!(input(&mut driver, one, "read", 4), Ok(b"0123".to_vec()));
        assert_eq!(input(&mut driver, two, "read", 3), Ok(b"567".to_vec()));
        output(&mut driver, append, "blocking-write-and-flush", &[bytes_val(b"A")]).unwrap();
        output(&mut driver, write, "blocking-write-and-flush", &[bytes_val(b"WW")]).unwrap();
        fs::write(&path, "01WWxxxxxxxxxxxx").unwrap();
        output(&mut driver, append, "blocking-write-and-flush", &[bytes_val(b"B")]).unwrap();
        output(&mut driver, write, "blocking-write-and-flush", &[bytes_val(b"VV")]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "01WWVVxxxxxxxxxxB");
        assert_eq!(input(&mut driver, one, "blocking-read", 4), Ok(b"VVxx".to_vec()));
    }
}

/// C105: nobody reads any more.
#[test]
fn c105_a_broken_pipe_fails_once_and_is_closed_then() {
    let full = Keys::builder().stdout(StdoutKey::Capture(Capture::new(3))).build();
    for mut driver in drivers(&full) {
        let stdout = stream(&mut driver, "get-stdout");
        let wrote = output(&mut driver, stdout, "blocking-write-and-flush", &[bytes_val(b"four")]);
        let told = wrote.unwrap_err();
        assert!(told.starts_with("last-operation-failed") && told.contains("insufficient-space"), "{told}");
        assert_eq!(
            output(&mut driver, stdout, "blocking-write-and-flush", &[bytes_val(b"more")]),
            Err("closed".to_owned())
        );
        assert_eq!(output(&mut driver, stdout, "check-write", &[]), Err("closed".to_owned()));
    }
}

/// C105: what nobody reads any more is closed, from the first write on: programs see a broken pipe, and no failing device.
#[test]
fn c105_what_nobody_reads_any_more_is_closed() {
    let closed = || Err("closed".to_owned());
    for asks_first in [true, false] {
        let (reader, writer) = std::io::pipe().unwrap();
        let keys = Keys::builder().stdout(StdoutKey::Opened(Arc::new(OwnedFd::from(writer)))).build();
        let [one, other] = drivers(&keys);
        drop(reader);
        for mut driver in [one, other] {
            let stdout = stream(&mut driver, "get-stdout");
            if asks_first {
                output(&mut driver, stdout, "check-write", &[]).unwrap();
                assert_eq!(output(&mut driver, stdout, "write", &[bytes_val(b"x")]), closed());
            } else {
                let written = output(&mut driver, stdout, "blocking-write-and-flush", &[bytes_val(b"x")]);
                assert_eq!(written, closed());
            }
            for name in ["check-write", "flush", "blocking-flush"] {
                assert_eq!(output(&mut driver, stdout, name, &[]), closed(), "{name}");
            }
        }
    }
}

/// C104: once a stream has said that it is at its end, that is so for nothing as well; where more comes all the same, as in a file, it is open again.
#[test]
fn c104_nothing_cannot_be_read_after_the_end() {
    const NAMES: [&str; 4] = ["read", "blocking-read", "skip", "blocking-skip"];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    let zero = |driver: &mut Driver, stream: ResourceAny, name: &str| {
        let params = [Val::Resource(stream), Val::U64(0)];
        driver.outcome(&format!("[method]input-stream.{name}"), &params).map(drop)
    };
    let pipe = || {
        let (reader, _) = std::io::pipe().unwrap();
        StdinKey::Opened(Arc::new(OwnedFd::from(reader)))
    };
    for (stdin, is_open) in [(StdinKey::Bytes(vec![]), true), (pipe(), true), (StdinKey::Closed, false)] {
        let keys = Keys::builder().stdin(stdin).stdout(StdoutKey::Discard).build();
        for mut driver in drivers(&keys) {
            let driver = &mut driver;
            let stdin = stream(driver, "get-stdin");
            for name in NAMES {
                assert_eq!(zero(driver, stdin, name).is_ok(), is_open, "{name}");
            }
            assert_eq!(input(driver, stdin, "blocking-read", 1), Err("closed".to_owned()));
            for name in NAMES {
                assert_eq!(zero(driver, stdin, name), Err("closed".to_owned()), "{name}");
            }
            let stdout = stream(driver, "get-stdout");
            let spliced = output(driver, stdout, "splice", &[Val::Resource(stdin), Val::U64(0)]);
            assert_eq!(spliced, Err("closed".to_owned()));
        }
    }
    let keys = Keys::builder().dir(folder.path(), "/work", Access::ReadWrite).build();
    for mut driver in drivers(&keys) {
        let driver = &mut driver;
        fs::write(&path, "x").unwrap();
        let at = driver.directories()[0].0;
        let file = driver.open(at, "f", (&[], &["read"])).unwrap();
        let from = resource(driver.at("read-via-stream", file, &[Val::U64(0)]).unwrap());
        assert_eq!(input(driver, from, "read", 9), Ok(b"x".to_vec()));
        assert_eq!(zero(driver, from, "read"), Ok(()));
        assert_eq!(input(driver, from, "read", 9), Err("closed".to_owned()));
        for name in NAMES {
            assert_eq!(zero(driver, from, name), Err("closed".to_owned()), "{name}");
        }
        fs::write(&path, "xy").unwrap();
        assert_eq!(input(driver, from, "read", 9), Ok(b"y".to_vec()));
        assert_eq!(zero(driver, from, "read"), Ok(()));
    }
}

/// C72: a stream is not dropped before its pollables, and the guest is told which.
#[test]
fn c72_a_stream_outlives_its_pollables() {
    let keys = Keys::builder().stdin(StdinKey::Bytes(b"x".to_vec())).stdout(StdoutKey::Discard).build();
    for (get, subscribe, kind) in [
        ("get-stdin", "[method]input-stream.subscribe", "input-stream"),
        ("get-stdout", "[method]output-stream.subscribe", "output-stream"),
    ] {
        for mut driver in drivers(&keys) {
            let parent = stream(&mut driver, get);
            let child = resource(driver.call(subscribe, &[Val::Resource(parent)]).unwrap());
            let told = parent.drop(&mut driver.store).unwrap_err().to_string();
            assert!(
                told.contains(&format!(
                    "wasi:io/streams {kind} was dropped before the wasi:io/poll pollable"
                )),
                "{told}"
            );
            drop(driver);
            let _ = child;
        }
    }
}

/// However long the pieces are: nothing that `check-write` has allowed waits for the reader, and most of what a pipe has room for is allowed.
#[test]
fn what_may_be_written_to_a_pipe_never_waits() {
    for length in [1, 9, 2047, 2049, 4096] {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let keys = Keys::builder().stdout(StdoutKey::Opened(Arc::new(OwnedFd::from(writer)))).build();
        let [mut driver, _] = drivers(&keys);
        let stdout = stream(&mut driver, "get-stdout");
        for round in 0..3 {
            let mut written = 0;
            driver.store.set_deadline(Some(Duration::from_secs(60))).unwrap();
            while output(&mut driver, stdout, "check-write", &[]).unwrap() != Some(Val::U64(0)) {
                output(&mut driver, stdout, "write", &[bytes_val(&vec![7; length])]).unwrap();
                written += length;
            }
            assert!(written > 30_000 || round > 0 && written > 2000, "{length} {round}: {written}");
            let mut read = vec![0; 8000 + 4096 * round];
            reader.read_exact(&mut read).unwrap();
            assert!(read.iter().all(|byte| *byte == 7));
        }
    }
}
