//! Keys that are opened once, for many guests.

use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};

use innkeeper_wasi::host::{Grant, Host, LastLink, OpenKeys, OpenOptions, hold_thread};
use innkeeper_wasi::keys::{Access, DirKey, KeyError, Keys, ListenKey, StdinKey};
use innkeeper_wasi::p1::Context;

/// Descriptors are counted by one test at a time.
static COUNTING: Mutex<()> = Mutex::new(());

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Descriptors were opened, and the system was probed, for each guest.
#[test]
fn guests_share_what_their_keys_opened_to() {
    let _alone = COUNTING.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "text").unwrap();
    let keys = Keys::builder()
        .stdin(StdinKey::Empty)
        .directory(DirKey::new(dir.path(), "/native", Access::ReadWrite))
        .directory(DirKey::new(dir.path(), "/cow", Access::CopyOnWrite))
        .directory(DirKey::new("", "/tmp", Access::Temporary { limit_bytes: 1 << 20 }))
        .listener(ListenKey::new("127.0.0.1:0".parse().unwrap()))
        .build();
    let before = descriptors();
    let open = OpenKeys::open(&keys).unwrap();
    assert_eq!(descriptors(), before + 3, "two directories and a socket");
    let guests: Vec<_> = (0..100).map(|_| open.host().unwrap()).collect();
    assert_eq!(descriptors(), before + 3);
    // They outlive the keys, and each works.
    drop(open);
    let mut peers = Vec::new();
    for (host, handles) in &guests {
        for directory in &handles.directories[..2] {
            let options = OpenOptions { last_link: LastLink::Follow, ..OpenOptions::default() };
            hold_thread(host.open_at(directory, b"file", &options)).unwrap();
        }
        let Grant::Listener(address) = *handles.listeners[0].credentials().grant() else {
            panic!("a listener")
        };
        peers.push(TcpStream::connect(address).unwrap());
    }
    drop((guests, peers));
    assert_eq!(descriptors(), before);
}

/// What a guest changes in directories that the host keeps is its own, and so are its streams and its counts.
#[test]
fn what_guests_change_is_their_own() {
    let _alone = COUNTING.lock().unwrap_or_else(PoisonError::into_inner);
    let keys = Keys::builder()
        .stdin(StdinKey::Bytes(b"abc".to_vec()))
        .directory(DirKey::new("", "/tmp", Access::Temporary { limit_bytes: 1 << 20 }))
        .build();
    let open = OpenKeys::open(&keys).unwrap();
    let (one, its) = open.host().unwrap();
    let (other, others) = open.host().unwrap();
    one.create_directory(&its.directories[0], b"made").unwrap();
    assert!(other.create_directory(&others.directories[0], b"made").is_ok());
    for (host, handles) in [(&one, &its), (&other, &others)] {
        let mut bytes = [0; 8];
        let stream = handles.stdin.as_ref().unwrap();
        let read =
            hold_thread(host.read_stream(stream, &mut [std::io::IoSliceMut::new(&mut bytes)])).unwrap();
        assert_eq!(&bytes[..read], b"abc");
    }
}

/// A guest that has nothing of the host's but its standard streams.
#[test]
fn a_guest_without_directories_opens_nothing() {
    let _alone = COUNTING.lock().unwrap_or_else(PoisonError::into_inner);
    let before = descriptors();
    let open = OpenKeys::open(&Keys::builder().build()).unwrap();
    let guests: Vec<_> = (0..1000).map(|_| Context::with_open_keys(&open).unwrap()).collect();
    let alone: Vec<_> = (0..10).map(|_| Host::open(&Keys::builder().build()).unwrap()).collect();
    assert_eq!(descriptors(), before);
    drop((guests, alone));
}

#[test]
fn a_key_that_cannot_be_honoured_is_told_when_it_is_opened() {
    // What is opened on the way to the answer would be counted by the others.
    let _alone = COUNTING.lock().unwrap_or_else(PoisonError::into_inner);
    let keys = Keys::builder().directory(DirKey::new("/no/such/place", "/d", Access::ReadOnly)).build();
    assert!(matches!(OpenKeys::open(&keys), Err(KeyError::DirectoryMissing(_))));
}
