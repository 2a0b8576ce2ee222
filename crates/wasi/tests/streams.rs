//! Standard streams, sockets and the older version's records.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use innkeeper_wasi::host::{Grant, Host};
use innkeeper_wasi::keys::{Capture, Keys, ListenKey, StdinKey, StdoutKey, WasiLimits, WasiTuning};
use innkeeper_wasi::p1::{Context, Errno, Version};
use support::*;

const BADF: i32 = number(Errno::Badf);

#[test]
fn captured_streams_hold_what_was_written() {
    let (out, err) = (Capture::new(16), Capture::new(1000));
    let keys = Keys::builder()
        .stdin(StdinKey::Bytes(b"hello".to_vec()))
        .stdout(StdoutKey::Capture(out.clone()))
        .stderr(StdoutKey::Capture(err.clone()));
    let mut guest = TestGuest::new(&keys.build());
    assert_eq!(guest.read(0, 3).as_deref(), Ok(&b"hel"[..]));
    assert_eq!(guest.read(0, 30).as_deref(), Ok(&b"lo"[..]));
    assert_eq!(guest.read(0, 30).as_deref(), Ok(&b""[..]));
    assert_eq!(guest.write(1, b"0123456789"), Ok(10));
    assert_eq!(guest.write(2, b"problem"), Ok(7));
    assert_eq!(guest.write(1, b"0123456789"), Ok(6), "a bounded capture takes part");
    assert_eq!(guest.write(1, b"x"), Err(number(Errno::NoSpc)), "and then nothing");
    assert_eq!((out.contents(), err.contents()), (b"0123456789012345".to_vec(), b"problem".to_vec()));
    assert_eq!(guest.write(0, b"x"), Err(BADF));
    assert_eq!(guest.read(1, 1), Err(BADF));
    assert_eq!(guest.fd_stat(1).map(|stat| (stat.ino, stat.filetype)), Ok((0, 0)));
    let (base, _) = guest.rights(1).expect("rights");
    assert_eq!(base & (1 << 2 | 1 << 5), 0, "neither seek nor tell, as a terminal has neither");
}

#[test]
fn empty_discarded_and_closed_streams() {
    let mut guest = TestGuest::new(&Keys::builder().build());
    assert_eq!(guest.read(0, 4).as_deref(), Ok(&b""[..]));
    assert_eq!(guest.write(1, b"gone"), Ok(4));
    let keys = Keys::builder().stdin(StdinKey::Closed).stdout(StdoutKey::Closed).stderr(StdoutKey::Closed);
    let mut guest = TestGuest::new(&keys.build());
    assert_eq!(guest.read(0, 4), Err(BADF));
    assert_eq!(guest.write(1, b"x"), Err(BADF));
    assert_eq!(guest.write(2, b"x"), Err(BADF));
    assert_eq!(guest.close(1), Err(BADF));
}

#[test]
fn inherited_streams_work() {
    let mut guest = TestGuest::new(&Keys::builder().inherit_stdio().build());
    assert_eq!(guest.write(2, b""), Ok(0));
    assert!(guest.rights(0).is_ok());
    assert_eq!(guest.call("fd_fdstat_set_flags", &[1, 4]), Ok(()));
    assert_eq!(guest.fdflags(1), Ok(4));
}

#[test]
fn a_listening_socket_accepts_and_exchanges() {
    let keys = Keys::builder().listener(ListenKey::new("127.0.0.1:0".parse().expect("address"))).build();
    let (host, handles) = Host::open(&keys).expect("keys open");
    let Grant::Listener(address) = *handles.listeners[0].credentials().grant() else { panic!("a listener") };
    let cx = Context::from_parts(host, handles);
    let mut guest = TestGuest::new(&Keys::builder().build());
    guest.cx = cx;
    let again = Err(number(Errno::Again));
    assert_eq!(guest.call("fd_fdstat_set_flags", &[3, 4]), Ok(()));
    assert_eq!(guest.call("sock_accept", &[3, 0, 512]), again);
    assert_eq!(guest.call("fd_fdstat_set_flags", &[3, 0]), Ok(()));
    assert_eq!(guest.call("fd_prestat_get", &[3, 512]), Err(BADF), "not a directory: the search ends here");
    let mut peer = TcpStream::connect(address).expect("connect");
    assert_eq!(guest.call("sock_accept", &[3, 4, 512]), Ok(()));
    let fd = u64::from(guest.u32_at(512));
    let vector = guest.vector(&[(4096, 0), (4096, 4)]);
    assert_eq!(guest.call("sock_recv", &[fd, vector, 2, 0, 512, 516]), again);
    peer.write_all(b"question").expect("write");
    assert_eq!(guest.call("fd_fdstat_set_flags", &[fd, 0]), Ok(()));
    assert_eq!(guest.call("sock_recv", &[fd, vector, 2, 1, 512, 516]), Ok(()), "peek");
    assert_eq!(guest.call("sock_recv", &[fd, vector, 2, 2, 512, 516]), Ok(()), "wait for all");
    assert_eq!((guest.u32_at(512), &guest.memory[4096..4100]), (4, &b"ques"[..]));
    assert_eq!(guest.read(fd as u32, 16).as_deref(), Ok(&b"tion"[..]));
    let answer = guest.put(b"answer");
    let vector = guest.vector(&[(answer, 6)]);
    assert_eq!(guest.call("sock_send", &[fd, vector, 1, 0, 512]), Ok(()));
    assert_eq!(guest.call("sock_send", &[fd, vector, 1, 1, 512]), Err(number(Errno::Inval)));
    assert_eq!(guest.write(fd as u32, b"!"), Ok(1));
    assert_eq!(guest.call("sock_shutdown", &[fd, 0]), Err(number(Errno::Inval)));
    assert_eq!(guest.call("sock_shutdown", &[fd, 4]), Err(number(Errno::Inval)));
    assert_eq!(guest.call("sock_shutdown", &[fd, 2]), Ok(()));
    let mut received = String::new();
    peer.read_to_string(&mut received).expect("read");
    assert_eq!(received, "answer!");
    drop(peer);
    assert_eq!(guest.read(fd as u32, 16).as_deref(), Ok(&b""[..]), "the peer has closed");
    assert_eq!(guest.call("sock_accept", &[fd, 0, 512]), Err(number(Errno::Inval)));
    assert_eq!(guest.call("sock_accept", &[3, 1, 512]), Err(number(Errno::Inval)));
    assert_eq!(guest.close(fd as u32), Ok(()));
}

/// A broken pipe is one, whether of a standard stream or a connection, and a reset is told by the first call that hears of it.
#[test]
fn what_nobody_reads_any_more_is_a_broken_pipe() {
    let (reader, writer) = std::io::pipe().expect("pipe");
    let stdout = StdoutKey::Opened(Arc::new(OwnedFd::from(writer)));
    let listener = ListenKey::new("127.0.0.1:0".parse().expect("address"));
    let keys = Keys::builder().listener(listener).stdout(stdout).build();
    let (host, handles) = Host::open(&keys).expect("keys open");
    let Grant::Listener(address) = *handles.listeners[0].credentials().grant() else { panic!("a listener") };
    let mut guest = TestGuest::new(&Keys::builder().build());
    guest.cx = Context::from_parts(host, handles);
    drop(reader);
    assert_eq!(guest.write(1, b"x"), Err(number(Errno::Pipe)));
    assert_eq!(guest.write(1, b"x"), Err(number(Errno::Pipe)));
    let peer = TcpStream::connect(address).expect("connect");
    assert_eq!(guest.call("sock_accept", &[3, 0, 512]), Ok(()));
    let fd = guest.u32_at(512);
    assert_eq!(guest.write(fd, b"unread"), Ok(6));
    assert!(peer.peek(&mut [0; 8]).expect("peek") > 0);
    // What it has not read resets the connection.
    drop(peer);
    assert_eq!(guest.write(fd, b"x"), Err(number(Errno::ConnReset)));
    assert_eq!(guest.write(fd, b"x"), Err(number(Errno::Pipe)));
    assert_eq!(guest.read(fd, 16).as_deref(), Ok(&b""[..]));
}

#[test]
fn s1_there_is_no_socket_without_a_key() {
    let sandbox = Sandbox::new();
    let mut guest = TestGuest::new(&sandbox.keys(&WasiTuning::default()).build());
    let file = guest.open(3, "f", open_for(READ | WRITE, 0)).expect("open");
    for fd in [0, 1, 2, 3, u64::from(file)] {
        let vector = guest.vector(&[(4096, 4)]);
        for (name, parameters) in [
            ("sock_accept", &[fd, 0, 512][..]),
            ("sock_recv", &[fd, vector, 1, 0, 512, 516]),
            ("sock_send", &[fd, vector, 1, 0, 512]),
            ("sock_shutdown", &[fd, 3]),
        ] {
            assert_eq!(guest.call(name, parameters), Err(number(Errno::NotSock)), "{name} of {fd}");
        }
    }
}

#[test]
fn s8_a_flood_of_connections_ends_at_the_cap_of_handles() {
    const CAP: u32 = 8;
    let mut limits = WasiLimits::default();
    limits.max_open_handles = CAP;
    let listener = ListenKey::new("127.0.0.1:0".parse().expect("address"));
    let (host, handles) =
        Host::open(&Keys::builder().listener(listener).limits(limits).build()).expect("keys open");
    let Grant::Listener(address) = *handles.listeners[0].credentials().grant() else { panic!("a listener") };
    let mut guest = TestGuest::new(&Keys::builder().build());
    guest.cx = Context::from_parts(host, handles);
    let _peers: Vec<TcpStream> =
        (0..CAP + 4).map(|_| TcpStream::connect(address).expect("connect")).collect();
    let mut accepted = Vec::new();
    let refused = loop {
        match guest.call("sock_accept", &[3, 0, 512]) {
            Ok(()) => accepted.push(guest.u32_at(512)),
            Err(errno) => break errno,
        }
    };
    assert_eq!(refused, number(Errno::Mfile));
    assert!((1..=CAP as usize).contains(&accepted.len()), "{accepted:?}");
    guest.close(accepted[0]).expect("close");
    assert_eq!(guest.call("sock_accept", &[3, 0, 512]), Ok(()), "room for one again");
}

#[test]
fn the_older_version_has_other_records() {
    let sandbox = Sandbox::new();
    std::fs::hard_link(sandbox.inside().join("f"), sandbox.inside().join("g")).expect("link");
    let mut guest = TestGuest::new(&sandbox.keys(&WasiTuning::default()).build());
    let now = guest.stat(3, 0, "f").expect("stat");
    let fd = guest.open(3, "f", open_for(READ, 0)).expect("open");
    guest.version = Version::Unstable;
    let path = guest.put(b"f");
    for (name, parameters) in
        [("path_filestat_get", &[3, 0, path, 1, 4096][..]), ("fd_filestat_get", &[fd.into(), 4096])]
    {
        guest.memory[4096..4160].fill(0xee);
        guest.call(name, parameters).expect(name);
        assert_eq!(guest.u64_at(4104), now.ino, "{name}");
        assert_eq!((guest.memory[4112], guest.u32_at(4116), guest.u64_at(4120)), (4, 2, 6), "{name}");
        assert_eq!((guest.u64_at(4128), guest.u64_at(4136)), (now.atim, now.mtim), "{name}");
        assert_eq!(guest.memory[4152..4160], [0xee; 8], "{name}: 56 bytes and no more");
    }
    assert_eq!(guest.seek(fd, 2, 2), Ok(2), "2 is the beginning");
    assert_eq!(guest.seek(fd, 1, 0), Ok(3), "0 is the position");
    assert_eq!(guest.seek(fd, -1, 1), Ok(5), "1 is the end");
    assert_eq!(guest.seek(fd, 0, 3), Err(number(Errno::Inval)));
    assert_eq!(guest.seek(fd, -1, 2), Err(number(Errno::Inval)));
}
