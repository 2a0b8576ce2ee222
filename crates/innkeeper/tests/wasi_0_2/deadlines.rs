//! L4: whatever a guest waits for in WASI 0.2, the store's deadline ends it.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use innkeeper::Trap;
use innkeeper::component::{List, Val};
use innkeeper::wasi::keys::{Access, Keys, StdinKey, StdoutKey};

use super::driver::{Driver, bytes_val, flags_val, follow, resource, text_val};
use super::drivers;
use super::types::bound_functions;

/// Functions that may have to wait, but for those of sockets, which have a test of their own.
const WAITING: &[&str] = &[
    "poll",
    "[method]pollable.block",
    "[method]input-stream.blocking-read",
    "[method]input-stream.blocking-skip",
    "[method]output-stream.blocking-write-and-flush",
    "[method]output-stream.blocking-write-zeroes-and-flush",
    "[method]output-stream.blocking-splice",
    "[method]descriptor.open-at",
];

/// A named pipe that nobody writes to, with both ends held open.
fn pipe(folder: &Path, name: &str) -> (PathBuf, File) {
    let path = folder.join(name);
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let held = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    (path, held)
}

/// The end of a pipe that takes no more.
fn full_pipe(path: &Path) -> OwnedFd {
    const O_NONBLOCK: i32 = 0o4000;
    let mut writer = OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(path).unwrap();
    while writer.write(&[0; 4096]).is_ok() {}
    while writer.write(&[0]).is_ok() {}
    OpenOptions::new().write(true).open(path).unwrap().into()
}

fn call(driver: &mut Driver, name: &str) -> Result<Option<Val>, innkeeper::Error> {
    let of = |driver: &mut Driver, get: &str| Val::Resource(resource(driver.call(get, &[]).unwrap()));
    let never = |driver: &mut Driver| {
        Val::Resource(resource(driver.call("subscribe-duration", &[Val::U64(u64::MAX)]).unwrap()))
    };
    let params = match name {
        "poll" => vec![Val::List(List::Vals(vec![never(driver)]))],
        "[method]pollable.block" => vec![never(driver)],
        "[method]descriptor.open-at" => {
            let at = Val::Resource(driver.directories()[0].0);
            vec![at, follow(true), text_val("lonely"), flags_val(&[]), flags_val(&["read"])]
        }
        _ if name.contains("input-stream") => vec![of(driver, "get-stdin"), Val::U64(1)],
        "[method]output-stream.blocking-splice" => {
            vec![of(driver, "get-stderr"), of(driver, "get-stdin"), Val::U64(1)]
        }
        _ if name.contains("zeroes") => vec![of(driver, "get-stdout"), Val::U64(1)],
        _ => vec![of(driver, "get-stdout"), bytes_val(b"x")],
    };
    driver.store.set_deadline(Some(Duration::from_millis(50))).unwrap();
    driver.call(name, &params)
}

#[test]
fn l4_every_wait_ends_at_the_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let (stdin, _silent) = pipe(folder.path(), "stdin");
    let (stdout, _unread) = pipe(folder.path(), "stdout");
    let full = full_pipe(&stdout);
    let lonely = folder.path().join("lonely");
    assert!(Command::new("mkfifo").arg(lonely).status().unwrap().success());
    for name in WAITING {
        let keys = Keys::builder()
            .dir(folder.path(), "/work", Access::ReadWrite)
            .stdin(StdinKey::File(stdin.clone()))
            .stdout(StdoutKey::Opened(std::sync::Arc::new(full.try_clone().unwrap())))
            .stderr(StdoutKey::Discard)
            .build();
        for mut driver in drivers(&keys) {
            let begin = Instant::now();
            let ended = call(&mut driver, name);
            let is_deadline = |error: &innkeeper::Error| error.trap() == Some(Trap::DeadlineExceeded);
            assert!(ended.as_ref().is_err_and(is_deadline), "{name}: {ended:?}");
            assert!(begin.elapsed() < Duration::from_secs(10), "{name}");
        }
    }
}

#[test]
fn every_function_that_says_that_it_blocks_is_tried() {
    for function in bound_functions() {
        let name = function.name;
        let is_of_sockets = function.interface.starts_with("wasi:sockets");
        if name.contains("block") && !is_of_sockets {
            let waits = WAITING.contains(&name) || name == "[method]output-stream.blocking-flush";
            assert!(waits, "{name} is not tried");
        }
    }
}
