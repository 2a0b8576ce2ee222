//! Sockets that go from one server to the next.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;

use crate::client::{Client, GET, ask, is_served};
use crate::{PATIENCE, Server, guests};

fn command(dir: &Path, flags: &[&str], guest: &str) -> Command {
    let mut inn = Command::new(env!("CARGO_BIN_EXE_inn"));
    inn.args(["serve", "--cgi", "--cache", "off"]).args(flags).arg(guest).current_dir(dir);
    inn
}

/// A folder that outlives its servers.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("echo.wat"), guests::echo()).unwrap();
    std::fs::write(dir.path().join("hello.wat"), guests::hello()).unwrap();
    dir
}

fn start(dir: &Path, flags: &[&str], guest: &str) -> Server {
    Server::start(command(dir, flags, guest), tempfile::tempdir().unwrap())
}

/// While clients connect without a pause, one server follows another: each request is answered, and those that the first has are, too.
#[test]
fn a_restart_loses_nothing() {
    let dir = folder();
    let mut server = start(dir.path(), &["--listen", "0", "--handover", "next"], "echo.wat");
    let address = server.address();
    let is_over = Arc::new(AtomicBool::new(false));
    let (answered, heard) = channel();
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let (is_over, answered) = (Arc::clone(&is_over), answered.clone());
            std::thread::spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    let request = GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
                    assert_eq!(ask(address, request).status, 200);
                    answered.send(()).unwrap();
                }
            })
        })
        .collect();
    let listen = address.to_string();
    for _ in 0..3 {
        let mut open = Client::connect(address);
        open.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
        open.wait_for("first\r\n");
        let next = start(dir.path(), &["--listen", &listen, "--handover", "next"], "echo.wat");
        assert_eq!(next.address(), address);
        let before = heard.try_iter().count();
        for _ in 0..50 {
            heard.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("nothing more after {before}"));
        }
        open.send("6\r\nsecond\r\n0\r\n\r\n");
        let answer = open.answer().unwrap();
        assert_eq!((&*answer.body, answer.is_whole), (&b"firstsecond"[..], true));
        let ended = std::mem::replace(&mut server, next).ended();
        assert_eq!(ended.code, Some(0));
        assert!(ended.log.iter().all(|line| line["status"] == 200 && line["incomplete"].is_null()));
    }
    is_over.store(true, Ordering::SeqCst);
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert!(server.log().iter().all(|line| line["status"] == 200));
    assert!(!dir.path().join("next").exists());
}

/// Sockets of the file system and the admin's go along, and stay where they are.
#[test]
fn sockets_of_the_file_system_and_the_admins_go_along() {
    let dir = folder();
    let flags = ["--listen", "unix:socket", "--admin", "unix:admin", "--handover", "next"];
    let first = start(dir.path(), &flags, "echo.wat");
    let inode = |name: &str| {
        use std::os::unix::fs::MetadataExt as _;
        std::fs::symlink_metadata(dir.path().join(name)).unwrap().ino()
    };
    let before = (inode("socket"), inode("admin"));
    let second = start(dir.path(), &flags, "hello.wat");
    assert_eq!(first.ended().code, Some(0));
    assert_eq!((inode("socket"), inode("admin")), before);
    let mut stream = std::os::unix::net::UnixStream::connect(dir.path().join("socket")).unwrap();
    std::io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut stream, &mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 ") && text.ends_with("hello\n"), "{text}");
    second.log();
    for name in ["socket", "admin", "next"] {
        assert!(!dir.path().join(name).exists(), "{name}");
    }
}

/// One that does not come as far as to serve changes nothing.
#[test]
fn a_server_goes_on_where_the_next_one_fails() {
    let dir = folder();
    let server = start(dir.path(), &["--listen", "0", "--handover", "next"], "hello.wat");
    let listen = server.address().to_string();
    for flags in
        [["--listen", &*listen, "--listen", "unix:none/socket"], ["--listen", &listen, "--dir", "none"]]
    {
        let flags = [&flags[..], &["--handover", "next"]].concat();
        let ran = command(dir.path(), &flags, "hello.wat").output().unwrap();
        assert!(!ran.status.success());
        is_served(server.address());
    }
    // Whatever else connects there is given up when it has said something else, or gone.
    drop(std::os::unix::net::UnixStream::connect(dir.path().join("next")).unwrap());
    is_served(server.address());
    server.log();
    // A file that is no socket stays.
    std::fs::write(dir.path().join("next"), "kept").unwrap();
    let ran = command(dir.path(), &["--listen", "0", "--handover", "next"], "hello.wat").output().unwrap();
    assert!(!ran.status.success());
    assert_eq!(std::fs::read_to_string(dir.path().join("next")).unwrap(), "kept");
}

/// Until the next server serves, what the first has is the first's: its sockets of the file system, and the place where others can ask for them.
#[test]
fn one_that_fails_takes_nothing_with_it() {
    let dir = folder();
    let flags = ["--listen", "unix:socket", "--admin", "unix:admin", "--handover", "next"];
    let server = start(dir.path(), &flags, "hello.wat");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let names = |dir: &Path| {
        let mut names: Vec<_> =
            std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names(dir.path());
    let many: Vec<String> = (0..64).map(|_| String::from("127.0.0.1:0")).collect();
    let too_many: Vec<&str> = many.iter().flat_map(|address| ["--listen", address]).collect();
    let cases: [&[&str]; 4] = [
        // Its second address is somebody's already; the admin's is.
        &["--listen", "unix:socket", "--listen", &taken, "--admin", "unix:admin"],
        &["--listen", "unix:socket", "--admin", &taken],
        &["--listen", "unix:socket", "--admin", "unix:admin", "--listen", "unix:none/socket"],
        &[&["--listen", "unix:socket", "--admin", "unix:admin"], &*too_many].concat(),
    ];
    for flags in cases {
        let flags = [flags, &["--handover", "next"]].concat();
        let ran = command(dir.path(), &flags, "hello.wat").output().unwrap();
        assert!(!ran.status.success(), "{flags:?}");
        assert_eq!(names(dir.path()), before, "{flags:?}");
        for name in ["socket", "admin", "next"] {
            std::os::unix::net::UnixStream::connect(dir.path().join(name)).unwrap();
        }
    }
    // What it offers can still be taken.
    let next = start(dir.path(), &flags, "echo.wat");
    assert_eq!(server.ended().code, Some(0));
    assert_eq!(names(dir.path()), before);
    next.log();
}

/// One of both would be lost.
#[test]
fn clients_and_the_next_server_do_not_share_a_path() {
    let dir = folder();
    for (flag, path) in [("--listen", "socket"), ("--admin", "socket"), ("--listen", "./socket")] {
        let address = format!("unix:{path}");
        let flags = [flag, &address, "--handover", "socket"];
        let ran = command(dir.path(), &flags, "hello.wat").output().unwrap();
        assert_eq!(ran.status.code(), Some(2), "{flags:?}");
        let stderr = String::from_utf8(ran.stderr).unwrap();
        assert!(stderr.contains("clients connect there"), "{flags:?}: {stderr}");
        assert!(!dir.path().join("socket").exists(), "{flags:?}");
    }
}
