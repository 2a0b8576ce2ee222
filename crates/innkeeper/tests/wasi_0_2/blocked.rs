//! Functions of WASI 0.2 that wait, each with something that it waits for and what somebody else does for it to go on.

use std::fs::{File, OpenOptions};
#[cfg(feature = "async")]
use std::io::Read;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use innkeeper::component::{List, Val};
use innkeeper::wasi::keys::{Access, Keys, StdinKey, StdoutKey};

use super::driver::{Driver, bytes_val, flags_val, follow, resource, text_val};

/// Functions that may have to wait, but for those of sockets: these wait by pollables only.
pub(crate) const WAITING: &[&str] = &[
    "poll",
    "[method]pollable.block",
    "[method]input-stream.blocking-read",
    "[method]input-stream.blocking-skip",
    "[method]output-stream.blocking-write-and-flush",
    "[method]output-stream.blocking-write-zeroes-and-flush",
    "[method]output-stream.blocking-splice",
    "[method]descriptor.open-at",
];

/// Longer than any test takes.
pub(crate) const NEVER: Duration = Duration::from_nanos(u64::MAX);

/// What guests wait for: pipes that nobody writes to, or that take no more.
#[cfg_attr(
    not(feature = "async"),
    expect(dead_code, reason = "ends are held open; only calls that wait are let go on")
)]
pub(crate) struct World {
    folder: tempfile::TempDir,
    stdin: PathBuf,
    /// The other ends.
    silent: File,
    unread: File,
    full: OwnedFd,
}

impl World {
    pub(crate) fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let (stdin, silent) = pipe(folder.path(), "stdin");
        let (stdout, unread) = pipe(folder.path(), "stdout");
        let full = full_pipe(&stdout);
        assert!(Command::new("mkfifo").arg(folder.path().join("lonely")).status().unwrap().success());
        World { stdin, silent, unread, full, folder }
    }

    pub(crate) fn keys(&self) -> Keys {
        Keys::builder()
            .dir(self.folder.path(), "/work", Access::ReadWrite)
            .stdin(StdinKey::File(self.stdin.clone()))
            .stdout(StdoutKey::Opened(Arc::new(self.full.try_clone().unwrap())))
            .stderr(StdoutKey::Discard)
            .build()
    }

    /// Lets a function go on that waits.
    #[cfg(feature = "async")]
    pub(crate) fn act(&mut self, name: &str) {
        match name {
            "poll" | "[method]pollable.block" => {}
            "[method]descriptor.open-at" => {
                drop(OpenOptions::new().write(true).open(self.folder.path().join("lonely")).unwrap());
            }
            "[method]output-stream.blocking-splice" => self.silent.write_all(b"x").unwrap(),
            _ if name.contains("input-stream") => self.silent.write_all(b"x").unwrap(),
            _ => drop(self.unread.read(&mut [0; 1 << 16]).unwrap()),
        }
    }
}

/// What a function is given to wait: the pollables come after a time.
pub(crate) fn params(driver: &mut Driver, name: &str, time: Duration) -> Vec<Val> {
    let of = |driver: &mut Driver, get: &str| Val::Resource(resource(driver.call(get, &[]).unwrap()));
    let pollable = |driver: &mut Driver| {
        let time = Val::U64(time.as_nanos().try_into().unwrap());
        Val::Resource(resource(driver.call("subscribe-duration", &[time]).unwrap()))
    };
    match name {
        "poll" => vec![Val::List(List::Vals(vec![pollable(driver)]))],
        "[method]pollable.block" => vec![pollable(driver)],
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
    }
}

/// A named pipe with both ends held open.
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
