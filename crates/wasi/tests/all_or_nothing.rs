//! Operations that are refused because the guest may make the host hold no more: whatever they would have changed is as it was.

mod support;

use std::fs;
use std::io::Write;
use std::net::TcpStream;

use innkeeper_engine::{Budget, BudgetKind, Charge};
use innkeeper_wasi::host::{Grant, Host};
use innkeeper_wasi::keys::{Access, DirectoryOrder, Keys, ListenKey, WasiLimits};
use innkeeper_wasi::p1::{Context, Errno};
use support::*;

const DIR: u32 = 3;

/// What is in the directory: names, with kind, links, size and bytes.
fn seen(guest: &mut TestGuest) -> Vec<String> {
    let root = guest.open(DIR, ".", open_for(0, DIRECTORY)).expect("the directory");
    let mut names = guest.list(root, 4096);
    guest.close(root).expect("close");
    names.retain(|name| name != "fill" && !name.starts_with('.'));
    names.sort();
    let describe = |name: &String| {
        let stat = guest.stat(DIR, 0, name).expect("a name that is listed");
        let mut text = Vec::new();
        if stat.filetype == 4 {
            let fd = guest.open(DIR, name, open_for(READ, 0)).expect("a file");
            text = guest.read(fd, 100).expect("bytes");
            guest.close(fd).expect("close");
        }
        let links = if stat.filetype == 3 { 0 } else { stat.nlink };
        format!("{name} {} {links} {} {text:?}", stat.filetype, stat.size)
    };
    names.iter().map(describe).collect()
}

/// All that is left of a budget, to the byte.
fn everything_of(budget: &Budget) -> Charge {
    let mut all = budget.empty(BudgetKind::Buffer);
    for step in (0..24).rev() {
        while all.add(1 << step).is_ok() {}
    }
    all
}

/// Every operation that changes names or bytes, where the guest may make the host hold nothing more: what is refused has changed nothing.
#[test]
fn what_is_refused_for_lack_of_memory_has_changed_nothing() {
    type Operation = fn(&mut TestGuest, &str) -> Result<(), i32>;
    let operations: [(&str, Operation); 15] = [
        ("rename a file", |guest, long| guest.rename((DIR, "f"), (DIR, long))),
        ("rename a directory", |guest, long| guest.rename((DIR, "d"), (DIR, long))),
        ("rename into a directory", |guest, long| guest.rename((DIR, "f"), (DIR, &format!("d/{long}")))),
        ("rename over a file", |guest, _| guest.rename((DIR, "f"), (DIR, "g"))),
        ("rename over an empty directory", |guest, _| guest.rename((DIR, "d"), (DIR, "e"))),
        ("create by opening", |guest, long| guest.open(DIR, long, open_for(WRITE, CREAT)).map(drop)),
        ("truncate by opening", |guest, _| guest.open(DIR, "f", open_for(WRITE, TRUNC)).map(drop)),
        ("create or truncate", |guest, _| guest.open(DIR, "g", open_for(WRITE, CREAT | TRUNC)).map(drop)),
        ("make a directory", |guest, long| guest.mkdir(DIR, long)),
        ("make a link", |guest, long| guest.symlink(long, DIR, long)),
        ("make a hard link", |guest, long| guest.link(0, (DIR, "f"), (DIR, long))),
        ("remove a file", |guest, _| guest.unlink(DIR, "f")),
        ("remove a directory", |guest, _| guest.rmdir(DIR, "d")),
        ("write", |guest, _| guest.write(4, &[7; 5000]).map(drop)),
        ("set the size", |guest, _| guest.call("fd_filestat_set_size", &[4, 3])),
    ];
    let long = "y".repeat(255);
    let mut refused = std::collections::BTreeSet::new();
    for access in [Access::ReadWrite, Access::CopyOnWrite, Access::Temporary { limit_bytes: 1 << 30 }] {
        for (name, operation) in &operations {
            let folder = tempfile::tempdir().expect("folder");
            let mut limits = WasiLimits::default();
            limits.memory_bytes = Some(8 << 20);
            let keys = Keys::builder().dir(folder.path(), "/", access).limits(limits).build();
            let is_temporary = matches!(access, Access::Temporary { .. });
            if !is_temporary {
                fs::write(folder.path().join("f"), "precious").expect("file");
                fs::write(folder.path().join("g"), "other").expect("file");
                for name in ["d", "e", "fill"] {
                    fs::create_dir(folder.path().join(name)).expect("directory");
                }
            }
            let mut guest = TestGuest::new(&keys);
            if is_temporary {
                for (name, text) in [("f", "precious"), ("g", "other")] {
                    let fd = guest.open(DIR, name, open_for(WRITE, CREAT)).expect("file");
                    guest.write(fd, text.as_bytes()).expect("bytes");
                    guest.close(fd).expect("close");
                }
                for name in ["d", "e", "fill"] {
                    guest.mkdir(DIR, name).expect("directory");
                }
            }
            let before = seen(&mut guest);
            let held = guest.open(DIR, "g", open_for(WRITE, 0)).expect("file");
            assert_eq!(held, 4);
            let budget = guest.cx.host().budget().clone();
            let all = everything_of(&budget);
            // What the tree has charged beforehand: whole nodes, then names alone.
            if access != Access::ReadWrite {
                (0..).find(|number| guest.symlink("y", DIR, &format!("fill/s{number}")).is_err());
                (0..).find(|number| {
                    guest.link(0, (DIR, "fill/s0"), (DIR, &format!("fill/l{number}"))).is_err()
                });
            }
            let outcome = operation(&mut guest, &long);
            drop(all);
            guest.close(held).expect("close");
            if let Err(errno) = outcome {
                assert_eq!(seen(&mut guest), before, "{access:?}: {name}: {errno}");
                refused.insert(*name);
            }
        }
    }
    let expected = [
        "rename a file",
        "rename a directory",
        "rename into a directory",
        "truncate by opening",
        "create by opening",
        "write",
    ];
    assert!(expected.iter().all(|name| refused.contains(name)), "{refused:?}");
}

/// A listing is charged for the names that it holds, and for no others; where it is refused names, it goes on from the same place once there is room.
#[test]
fn a_listing_that_is_refused_names_is_as_it_was() {
    const NAMES: usize = 300;
    // As many bytes as `.` and `..` take: nothing of the directory is read yet.
    const DOTS_BYTES: usize = 2 * 24 + 3;
    let name = |number: usize| format!("{number:0250}");
    let all_names: Vec<String> = (0..NAMES).map(name).collect();
    for (access, order) in [
        (Access::ReadWrite, DirectoryOrder::Host),
        (Access::ReadOnly, DirectoryOrder::Sorted),
        (Access::CopyOnWrite, DirectoryOrder::Host),
        (Access::Temporary { limit_bytes: 1 << 30 }, DirectoryOrder::Host),
    ] {
        let case = format!("{access:?} {order:?}");
        let folder = tempfile::tempdir().expect("folder");
        let mut limits = WasiLimits::default();
        limits.memory_bytes = Some(8 << 20);
        let mut keys = Keys::builder().dir(folder.path(), "/", access).limits(limits).build();
        keys.directory_order = order;
        let mut guest = TestGuest::new(&keys);
        for name in &all_names {
            match access {
                Access::Temporary { .. } => guest.symlink("x", DIR, name).expect("a name"),
                _ => fs::write(folder.path().join(name), "").expect("a file"),
            }
        }
        let budget = guest.cx.host().budget().clone();
        let held = || budget.used_for(BudgetKind::Listing);
        let fd = guest.open(DIR, ".", open_for(READ, DIRECTORY)).expect("the directory");
        // What is in order is read as a whole when it begins.
        let from = if order == DirectoryOrder::Sorted { 0 } else { 2 };
        if from > 0 {
            let (dots, used) = guest.readdir(fd, DOTS_BYTES, 0).expect("dots");
            assert_eq!((dots.len(), used), (2, DOTS_BYTES), "{case}");
        }
        let all = everything_of(&budget);
        for _ in 0..2 {
            let refused = guest.readdir(fd, 4096, from).map(drop);
            assert_eq!(refused, Err(number(Errno::NoMem)), "{case}");
        }
        assert_eq!(held(), 0, "{case}: what was refused is not held");
        drop(all);
        let mut seen = Vec::new();
        let (mut cookie, mut most) = (from, 0);
        loop {
            let (entries, _) = guest.readdir(fd, 4096, cookie).expect("names");
            let Some(last) = entries.last() else { break };
            cookie = last.next;
            seen.extend(entries.into_iter().map(|entry| entry.name).filter(|name| !name.starts_with('.')));
            most = most.max(held());
        }
        assert!(most > 32 * 250, "{case}: names that are held are charged");
        seen.sort();
        assert_eq!(seen, all_names, "{case}");
        if order == DirectoryOrder::Host {
            guest.readdir(fd, DOTS_BYTES, 0).expect("dots");
            assert_eq!(held(), 0, "{case}: it has begun anew, and let go of its names");
            guest.readdir(fd, 4096, 2).expect("names");
        }
        guest.close(fd).expect("close");
        assert_eq!(held(), 0, "{case}: it is closed");
    }
}

/// A connection that no descriptor can be had for is not taken from those who wait to be accepted.
#[test]
fn a_connection_that_is_refused_a_descriptor_still_waits() {
    let mut limits = WasiLimits::default();
    limits.memory_bytes = Some(8 << 20);
    // Three streams, the listener, and one more.
    limits.max_open_handles = 5;
    let listener = ListenKey::new("127.0.0.1:0".parse().expect("address"));
    let keys = Keys::builder().listener(listener).limits(limits).build();
    let (host, handles) = Host::open(&keys).expect("keys");
    let Grant::Listener(address) = *handles.listeners[0].credentials().grant() else { panic!("a listener") };
    let mut guest = TestGuest::new(&Keys::default());
    guest.cx = Context::from_parts(host, handles);
    let (name, listener) = ("sock_accept", 3_u64);
    let connect = || TcpStream::connect(address).expect("connect");
    let (mut first, mut second) = (connect(), connect());
    first.write_all(b"first").expect("send");
    second.write_all(b"second").expect("send");
    let budget = guest.cx.host().budget().clone();
    let result = guest.put(&[0; 4]);
    let all = everything_of(&budget);
    for _ in 0..3 {
        assert_eq!(guest.call(name, &[listener, NONBLOCK.into(), result]), Err(number(Errno::NoMem)));
    }
    drop(all);
    guest.call(name, &[listener, NONBLOCK.into(), result]).expect("accept");
    let fd = guest.u32_at(result);
    assert_eq!(guest.read(fd, 100).expect("bytes"), b"first");
    for _ in 0..3 {
        assert_eq!(guest.call(name, &[listener, NONBLOCK.into(), result]), Err(number(Errno::Mfile)));
    }
    guest.close(fd).expect("close");
    guest.call(name, &[listener, NONBLOCK.into(), result]).expect("accept");
    let fd = guest.u32_at(result);
    assert_eq!(guest.read(fd, 100).expect("bytes"), b"second");
}

/// What is refused, or finds nothing, over and over again leaves nothing charged.
#[test]
fn what_is_refused_again_and_again_is_charged_once_at_most() {
    // A tree charges in steps, and keeps some.
    const SLACK_BYTES: u64 = 192 << 10;
    let folder = tempfile::tempdir().expect("folder");
    for number in 0..3000 {
        fs::write(folder.path().join(format!("{number:0200}")), "").expect("file");
    }
    for access in [Access::CopyOnWrite, Access::Temporary { limit_bytes: 1 << 30 }] {
        let mut limits = WasiLimits::default();
        limits.memory_bytes = Some(8 << 20);
        let keys = Keys::builder().dir(folder.path(), "/", access).limits(limits).build();
        let mut guest = TestGuest::new(&keys);
        let budget = guest.cx.host().budget().clone();
        if access == Access::CopyOnWrite {
            // So much that the first names fit, and not all.
            let mut most = everything_of(&budget);
            let left_bytes = most.bytes() - (1 << 20);
            most.set(left_bytes).expect("less");
            for _ in 0..20 {
                assert!(guest.open(DIR, "absent", open_for(READ, 0)).is_err());
            }
            assert!(budget.used_for(BudgetKind::Tree) <= SLACK_BYTES, "{budget:?}");
            drop(most);
        }
        assert_eq!(guest.open(DIR, "absent", open_for(READ, 0)), Err(number(Errno::NoEnt)));
        let before = budget.used_for(BudgetKind::Tree);
        for _ in 0..20_000 {
            assert_eq!(guest.open(DIR, "absent", open_for(READ, 0)), Err(number(Errno::NoEnt)));
        }
        guest.mkdir(DIR, "new").expect("directory");
        assert!(budget.used_for(BudgetKind::Tree) <= before + SLACK_BYTES, "{access:?}: {budget:?}");
    }
}
