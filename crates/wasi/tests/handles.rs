//! Handles, pointers and listings: cases D1 to D13 of the sandbox.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, SystemTime};

use innkeeper_wasi::keys::{Access, DirKey, Keys, StdinKey, WasiLimits, WasiTuning};
use innkeeper_wasi::p1::functions::{ParameterType, Returns};
use innkeeper_wasi::p1::{Errno, Version, functions};
use support::*;

const DIR: u32 = 3;
const BADF: i32 = number(Errno::Badf);
const FAULT: i32 = number(Errno::Fault);

fn guest(sandbox: &Sandbox) -> TestGuest {
    TestGuest::new(&sandbox.keys(&WasiTuning::default()).build())
}

#[test]
fn there_are_46_functions_and_45_before() {
    let names: BTreeSet<_> = functions(Version::Preview1).iter().map(|function| function.name).collect();
    assert_eq!(names.len(), 46);
    assert_eq!(functions(Version::Preview1).len(), 46);
    let before: BTreeSet<_> = functions(Version::Unstable).iter().map(|function| function.name).collect();
    assert_eq!(names.difference(&before).copied().collect::<Vec<_>>(), ["sock_accept"]);
    let never: Vec<_> =
        functions(Version::Preview1).iter().filter(|function| function.returns == Returns::Never).collect();
    assert_eq!(never.len(), 1);
}

#[test]
fn d1_every_call_on_a_descriptor_that_is_not_open_is_badf() {
    let sandbox = Sandbox::new();
    let mut guest = guest(&sandbox);
    let closed = guest.open(DIR, "f", open_for(READ, 0)).expect("open");
    guest.close(closed).expect("close");
    for version in Version::ALL {
        guest.version = version;
        for fd in [closed, 77, i32::MAX as u32, u32::MAX - 1, u32::MAX] {
            for function in functions(version) {
                let is_fd = |name: &str| ["fd", "old_fd", "new_fd", "to"].contains(&name);
                if !function.parameters.iter().any(|(name, _)| is_fd(name)) {
                    continue;
                }
                let parameters: Vec<u64> = function
                    .parameters
                    .iter()
                    .map(|(name, _)| match *name {
                        name if is_fd(name) => fd.into(),
                        name if name.ends_with("_len") || name == "flags" || name.ends_with("flags") => 0,
                        _ => 64,
                    })
                    .collect();
                assert_eq!(guest.call(function.name, &parameters), Err(BADF), "D1 {} {fd}", function.name);
            }
        }
    }
}

/// Any call with any odd parameters gives some answer.
#[test]
fn no_call_panics_on_odd_parameters() {
    let sandbox = Sandbox::new();
    let odd: [u64; 9] = [0, 1, 3, 4, 0x3_fff8, 0x3_ffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut guest = guest(&sandbox);
    guest.open(DIR, "f", open_for(READ, 0)).expect("open");
    for version in Version::ALL {
        guest.version = version;
        for function in functions(version) {
            for _ in 0..300 {
                let parameters: Vec<u64> = function
                    .parameters
                    .iter()
                    .map(|(_, kind)| match kind {
                        ParameterType::I32 => odd[random() as usize % odd.len()] & 0xffff_ffff,
                        ParameterType::I64 => odd[random() as usize % odd.len()],
                    })
                    .collect();
                // A wait for an arbitrary time is the one thing that may rightly last.
                if function.name != "poll_oneoff" {
                    let _ = guest.call_raw(function.name, &parameters);
                }
            }
        }
    }
    sandbox.check_outside("odd parameters");
}

#[test]
fn d2_renumbering_and_reopening_leak_nothing() {
    let sandbox = Sandbox::new();
    let mut guest = guest(&sandbox);
    let renumber =
        |guest: &mut TestGuest, from: u32, to: u32| guest.call("fd_renumber", &[from.into(), to.into()]);
    let fd = guest.open(DIR, "f", open_for(READ, 0)).expect("open");
    assert_eq!(renumber(&mut guest, fd, fd), Ok(()), "D2 onto itself");
    assert_eq!(renumber(&mut guest, fd, 99), Err(BADF), "D2 onto nothing");
    assert_eq!(renumber(&mut guest, fd, u32::MAX), Err(BADF), "D2 onto nothing");
    assert_eq!(renumber(&mut guest, 99, fd), Err(BADF), "D2 from nothing");
    assert_eq!(renumber(&mut guest, 99, 99), Err(BADF), "D2 nothing onto itself");
    guest.close(fd).expect("close");
    let before = host_descriptors();
    for _ in 0..10_000 {
        let one = guest.open(DIR, "f", open_for(READ, 0)).expect("open");
        let two = guest.open(DIR, "a", open_for(READ, DIRECTORY)).expect("open");
        guest.readdir(two, 64, 0).expect("readdir");
        renumber(&mut guest, one, two).expect("renumber");
        assert_eq!(guest.close(one), Err(BADF));
        guest.close(two).expect("close");
    }
    // Other tests run in this process too, so a few may come and go; a leak would be thousands.
    assert!(host_descriptors() < before + 200, "D2: descriptors leaked");
    assert_eq!(guest.open(DIR, "f", open_for(READ, 0)), Ok(fd), "D2: the lowest free number");
    let dir = guest.open(DIR, "a", open_for(READ, DIRECTORY)).expect("open");
    assert_eq!(renumber(&mut guest, dir, DIR), Ok(()), "D2 onto a preopen");
    assert!(guest.stat(DIR, 0, "b/f").is_ok(), "D2 path_open after it");
    assert_eq!(guest.call("fd_prestat_get", &[3, 64]), Err(BADF), "D2: no longer a preopen");
}

#[test]
fn d3_the_cap_is_mfile_and_others_go_on() {
    let sandbox = Sandbox::new();
    let mut limits = WasiLimits::default();
    limits.max_open_handles = 10;
    let mut guest = TestGuest::new(&sandbox.keys(&WasiTuning::default()).limits(limits).build());
    let mut opened = Vec::new();
    let error = loop {
        match guest.open(DIR, "f", open_for(READ, 0)) {
            Ok(fd) => opened.push(fd),
            Err(error) => break error,
        }
    };
    assert_eq!((error, opened.len()), (number(Errno::Mfile), 6), "D3");
    let created = guest.open(DIR, "new", open_for(WRITE, CREAT));
    assert_eq!(created, Err(number(Errno::Mfile)), "D3");
    assert!(!sandbox.inside().join("new").exists(), "D3: nothing is created in vain");
    assert_eq!(guest.read(opened[0], 6).as_deref(), Ok(&b"inside"[..]), "D3");
    guest.close(opened[3]).expect("close");
    assert_eq!(guest.open(DIR, "f", open_for(READ, 0)), Ok(opened[3]), "D3");
    let crowded = Keys::builder().dir("/", "/", Access::ReadOnly).limits({
        let mut limits = WasiLimits::default();
        limits.max_open_handles = 3;
        limits
    });
    assert!(innkeeper_wasi::p1::Context::new(&crowded.build()).is_err(), "D3: keys that do not fit");
}

#[test]
fn d4_operations_on_the_wrong_kind() {
    let sandbox = Sandbox::new();
    let mut guest = guest(&sandbox);
    let file = guest.open(DIR, "f", open_for(READ | WRITE, 0)).expect("open");
    let notdir = number(Errno::NotDir);
    assert_eq!(guest.open(file, "x", open_for(READ, 0)), Err(notdir), "D4");
    assert_eq!(guest.stat(file, 0, "x").map(drop), Err(notdir), "D4");
    assert_eq!(guest.mkdir(file, "x"), Err(notdir), "D4");
    assert_eq!(guest.readdir(file, 64, 0).map(drop), Err(notdir), "D4");
    assert_eq!(guest.open(DIR, "f", open_for(READ, DIRECTORY)), Err(notdir), "D4");
    let isdir = number(Errno::IsDir);
    assert_eq!(guest.open(DIR, "a", open_for(WRITE, 0)), Err(isdir), "D4");
    assert_eq!(guest.open(DIR, ".", open_for(READ | WRITE, DIRECTORY)), Err(isdir), "D4");
    assert_eq!(guest.open(DIR, "a", open_for(WRITE, CREAT)), Err(isdir), "D4");
    assert_eq!(guest.open(DIR, "x", open_for(WRITE, CREAT | DIRECTORY)), Err(number(Errno::Inval)), "D4");
    assert_eq!(guest.read(DIR, 1), Err(isdir), "D4");
    assert_eq!(guest.write(DIR, b"x"), Err(BADF), "D4");
    assert_eq!(guest.seek(DIR, 0, 0), Err(BADF), "D4");
    for (name, rest) in [
        ("fd_tell", &[64][..]),
        ("fd_advise", &[0, 0, 4]),
        ("fd_allocate", &[0, 1]),
        ("fd_fdstat_set_flags", &[4]),
        ("fd_filestat_set_size", &[0]),
    ] {
        assert_eq!(guest.call(name, &[&[3], rest].concat()), Err(BADF), "D4 {name}");
    }
    for name in ["sock_shutdown", "sock_accept", "sock_recv", "sock_send"] {
        assert_eq!(guest.call(name, &[file.into(), 0, 0, 0, 0, 0]), Err(number(Errno::NotSock)), "D4 {name}");
    }
    assert_eq!(guest.open(1, "x", open_for(READ, 0)), Err(BADF), "D4 a stream");
    assert_eq!(guest.seek(1, 0, 0), Err(number(Errno::Spipe)), "D4 a stream");
}

#[test]
fn d5_offsets_at_the_edges() {
    let sandbox = Sandbox::new();
    let mut guest = guest(&sandbox);
    let fd = guest.open(DIR, "f", open_for(READ | WRITE, 0)).expect("open");
    let inval = number(Errno::Inval);
    for (offset, whence) in
        [(i64::MIN, 0), (-1, 0), (i64::MIN, 1), (-1, 1), (i64::MIN, 2), (-7, 2), (0, 3), (0, 0xffff_ffff)]
    {
        assert_eq!(guest.seek(fd, offset, whence), Err(inval), "D5 {offset} {whence}");
    }
    let far = guest.seek(fd, i64::MAX, 0);
    assert!(far.is_ok() || far == Err(inval), "D5 {far:?}");
    assert_eq!(guest.seek(fd, 0, 0), Ok(0), "D5");
    assert_eq!(guest.seek(fd, -2, 2), Ok(4), "D5");
    assert_eq!(guest.read(fd, 8).as_deref(), Ok(&b"de"[..]), "D5");
    for offset in [u64::MAX, 1 << 63, u64::MAX - 1] {
        assert_eq!(guest.pwrite(fd, b"x", offset), Err(inval), "D5 pwrite {offset}");
        let set_size = guest.call("fd_filestat_set_size", &[fd.into(), offset]);
        assert_eq!(set_size, Err(inval), "D5 set_size {offset}");
        assert_eq!(guest.call("fd_advise", &[fd.into(), offset, 1, 0]), Err(inval), "D5 advise {offset}");
        assert!(guest.call("fd_allocate", &[fd.into(), offset, 1]).is_err(), "D5 allocate {offset}");
    }
    assert_eq!(guest.call("fd_allocate", &[fd.into(), 0, 0]), Err(inval), "D5");
    assert_eq!(guest.fd_stat(fd).map(|stat| stat.size), Ok(6), "D5: nothing has grown");
    assert_eq!(guest.call("fd_allocate", &[fd.into(), 0, 100]), Ok(()), "D5");
    assert_eq!(guest.fd_stat(fd).map(|stat| stat.size), Ok(100), "D5");
}

#[test]
fn d6_appending_goes_to_the_end() {
    let sandbox = Sandbox::new();
    let mut guest = guest(&sandbox);
    let fd = guest
        .open(DIR, "f", Open { rights: READ | WRITE, fdflags: APPEND, ..Open::default() })
        .expect("open");
    assert_eq!(guest.fdflags(fd), Ok(1), "D6");
    assert_eq!(guest.write(fd, b"-one"), Ok(4), "D6");
    assert_eq!(guest.write(fd, b"-two"), Ok(4), "D6");
    assert_eq!(fs::read(sandbox.inside().join("f")).expect("f"), b"inside-one-two", "D6");
    assert_eq!(guest.call("fd_fdstat_set_flags", &[fd.into(), 0]), Ok(()), "D6");
    assert_eq!(guest.fdflags(fd), Ok(0), "D6");
    assert_eq!(guest.pwrite(fd, b"IN", 0), Ok(2), "D6");
    assert_eq!(fs::read(sandbox.inside().join("f")).expect("f"), b"INside-one-two", "D6");
    for flags in [2, 8, 16, 32, 0x1_0001] {
        let answer = guest.call("fd_fdstat_set_flags", &[fd.into(), flags]);
        assert_eq!(answer, Err(number(Errno::Inval)), "D6 {flags}");
    }
    let synced = guest.open(DIR, "f", Open { rights: WRITE, fdflags: 16, ..Open::default() }).expect("open");
    assert_eq!(guest.fdflags(synced), Ok(16), "D6");
    assert_eq!(guest.call("fd_fdstat_set_flags", &[synced.into(), 16 | 4]), Ok(()), "D6: already set");
}

/// An offset that is given is honoured, as POSIX has it, whatever Linux does.
#[test]
fn d6_a_write_at_an_offset_goes_there_though_the_file_is_open_for_appending() {
    for access in [Access::ReadWrite, Access::CopyOnWrite, Access::Temporary { limit_bytes: 1 << 20 }] {
        let sandbox = Sandbox::new();
        let mut key = DirKey::new(sandbox.inside(), "/in", access);
        key.access = access;
        let mut guest = TestGuest::new(&Keys::builder().directory(key).build());
        let how = Open { rights: READ | WRITE, fdflags: APPEND, ..open_for(READ | WRITE, CREAT | TRUNC) };
        let fd = guest.open(DIR, "f", how).expect("open");
        assert_eq!(guest.write(fd, b"0123456789"), Ok(10), "{access:?}");
        assert_eq!(guest.pwrite(fd, b"AB", 2), Ok(2), "{access:?}");
        assert_eq!(guest.seek(fd, 0, 1), Ok(10), "the position stays {access:?}");
        // Beyond the end, and more than is moved at once.
        assert_eq!(guest.pwrite(fd, b"far", 20), Ok(3), "{access:?}");
        assert_eq!(guest.write(fd, b"end"), Ok(3), "{access:?}");
        assert_eq!(guest.seek(fd, 0, 0), Ok(0));
        assert_eq!(guest.read(fd, 100).expect("read"), b"01AB456789\0\0\0\0\0\0\0\0\0\0farend", "{access:?}");
    }
}

#[test]
fn d7_listing_with_any_cookie_and_buffer() {
    let sandbox = Sandbox::new();
    let many = sandbox.inside().join("many");
    fs::create_dir(&many).expect("many");
    let mut expected: BTreeSet<String> = (0..3000).map(|index| format!("file-with-a-name-{index}")).collect();
    for name in &expected {
        fs::write(many.join(name), "").expect("file");
    }
    expected.extend([".".to_string(), "..".to_string()]);
    let mut guest = guest(&sandbox);
    let fd = guest.open(DIR, "many", open_for(READ, DIRECTORY)).expect("open");
    for length in [64, 300, 4096, 100_000] {
        let names = guest.list(fd, length);
        assert_eq!(names.len(), expected.len(), "D7 {length}");
        assert_eq!(names.into_iter().collect::<BTreeSet<_>>(), expected, "D7 {length}");
    }
    for (length, used) in [(0, 0), (1, 1), (23, 23), (24, 24)] {
        let (entries, got) = guest.readdir(fd, length, 0).expect("readdir");
        assert_eq!((entries.len(), got), (0, used), "D7 {length}");
    }
    for cookie in [3002, 4000, u64::from(u32::MAX), 1 << 63, u64::MAX] {
        let (entries, used) = guest.readdir(fd, 4096, cookie).expect("readdir");
        assert_eq!((entries.len(), used), (0, 0), "D7 cookie {cookie}");
    }
    // Any cookie that was given out can be returned to.
    let (all, _) = guest.readdir(fd, 200_000, 0).expect("readdir");
    for start in [2900, 7, 1500, 2, 2999, 1, 800] {
        let (entries, _) = guest.readdir(fd, 200, all[start].next).expect("readdir");
        assert_eq!(entries[0].name, all[start + 1].name, "D7 back to {start}");
    }
    let own = guest.fd_stat(fd).expect("stat").ino;
    assert_eq!((all[0].name.as_str(), all[0].ino, all[0].filetype), (".", own, 3), "D7");
    assert_eq!((all[1].name.as_str(), all[1].ino, all[1].filetype), ("..", own, 3), "D7");
    let some = guest.stat(fd, 0, &all[5].name).expect("stat");
    assert_eq!((all[5].ino, all[5].filetype), (some.ino, 4), "D7");
}

#[test]
fn r6_a_listing_during_deletes_ends_and_misses_nothing() {
    let sandbox = Sandbox::new();
    let many = sandbox.inside().join("many");
    fs::create_dir(&many).expect("many");
    for index in 0..2000 {
        fs::write(many.join(format!("file-{index}")), "").expect("file");
    }
    let mut guest = guest(&sandbox);
    let fd = guest.open(DIR, "many", open_for(READ, DIRECTORY)).expect("open");
    let mut cookie = 0;
    let mut seen = 0;
    loop {
        let (entries, _) = guest.readdir(fd, 512, cookie).expect("readdir");
        let Some(last) = entries.last() else {
            break;
        };
        cookie = last.next;
        for entry in entries.iter().filter(|entry| !entry.name.starts_with('.')) {
            guest.unlink(fd, &entry.name).expect("unlink");
            seen += 1;
        }
    }
    assert_eq!(seen, 2000, "R6");
    assert_eq!(guest.rmdir(DIR, "many"), Ok(()), "R6");
}

#[test]
fn d8_d9_vectors_of_any_count_and_overlap() {
    let sandbox = Sandbox::new();
    let mut guest = guest(&sandbox);
    let fd = guest.open(DIR, "f", open_for(READ | WRITE, 0)).expect("open");
    let call = |guest: &mut TestGuest, name: &str, vector: u64, count: u64| {
        guest.call(name, &[fd.into(), vector, count, 512]).map(|()| guest.u32_at(512))
    };
    for name in ["fd_read", "fd_write"] {
        assert_eq!(call(&mut guest, name, 1024, 0), Ok(0), "D8 {name} none");
        for count in [0xffff_ffff, 0x2000_0000, 0x2000_0001] {
            assert_eq!(call(&mut guest, name, 1024, count), Err(FAULT), "D8 {name} {count}");
        }
    }
    let vector = guest.vector(&vec![(2048, 1); 1025]);
    assert_eq!(call(&mut guest, "fd_write", vector, 1025), Ok(1024), "D8: a short write");
    let huge = guest.vector(&[(0, 0x3_ffff), (0, 0xffff_ffff)]);
    assert!(call(&mut guest, "fd_write", huge, 2).is_err(), "D8");
    let text = guest.put(b"abcdefgh");
    guest.call("fd_filestat_set_size", &[fd.into(), 0]).expect("set_size");
    guest.seek(fd, 0, 0).expect("seek");
    let overlapping = guest.vector(&[(text, 4), (text + 2, 4), (text, 2)]);
    assert_eq!(call(&mut guest, "fd_write", overlapping, 3), Ok(10), "D9");
    assert_eq!(fs::read(sandbox.inside().join("f")).expect("f"), b"abcdcdefab", "D9");
    guest.seek(fd, 0, 0).expect("seek");
    let count = call(&mut guest, "fd_read", overlapping, 3).expect("read");
    assert!((1..=10).contains(&count), "D9 {count}");
    guest.seek(fd, 0, 0).expect("seek");
    let disjoint = guest.vector(&[(text + 6, 2), (text + 8, 0), (text, 3)]);
    assert_eq!(call(&mut guest, "fd_read", disjoint, 3), Ok(5), "D9");
    assert_eq!(&guest.memory[text as usize..text as usize + 8], b"cdcdefab", "D9");
}

#[test]
fn d10_pointers_outside_are_faults_and_nothing_happens() {
    let sandbox = Sandbox::new();
    let mut guest = guest(&sandbox);
    let fd = guest.open(DIR, "f", open_for(READ | WRITE, 0)).expect("open");
    let end = MEMORY_BYTES as u64;
    let bad: &[u64] = &[end - 1, end, end + 1, 0x7fff_ffff, 0x8000_0000, 0xffff_fff8, 0xffff_ffff];
    let name = guest.put(b"new");
    let good = guest.vector(&[(2048, 4)]);
    for &at in bad {
        assert_eq!(guest.call("fd_write", &[fd.into(), good, 1, at]), Err(FAULT), "D10 result {at:x}");
        assert_eq!(guest.call("fd_read", &[fd.into(), good, 1, at]), Err(FAULT), "D10 result {at:x}");
        assert_eq!(guest.call("fd_seek", &[fd.into(), 3, 0, at]), Err(FAULT), "D10 seek {at:x}");
        let open = [3, 0, name, 3, CREAT.into(), READ | WRITE, 0, 0, at];
        assert_eq!(guest.call("path_open", &open), Err(FAULT), "D10 path_open {at:x}");
        assert_eq!(guest.call("path_create_directory", &[3, at, 8]), Err(FAULT), "D10 path {at:x}");
        assert_eq!(guest.call("clock_time_get", &[0, 0, at]), Err(FAULT), "D10 clock {at:x}");
        assert_eq!(guest.call("random_get", &[at, 8]), Err(FAULT), "D10 random {at:x}");
        assert_eq!(guest.call("fd_fdstat_get", &[3, at]), Err(FAULT), "D10 fdstat {at:x}");
        assert_eq!(guest.call("fd_filestat_get", &[3, at]), Err(FAULT), "D10 filestat {at:x}");
        assert_eq!(guest.call("fd_readdir", &[3, at, 8, 0, 512]), Err(FAULT), "D10 readdir {at:x}");
        assert_eq!(guest.call("fd_readdir", &[3, 2048, 8, 0, at]), Err(FAULT), "D10 readdir {at:x}");
        assert_eq!(guest.call("poll_oneoff", &[at, 2048, 1, 512]), Err(FAULT), "D10 poll {at:x}");
        assert_eq!(guest.call("poll_oneoff", &[2048, at, 1, 512]), Err(FAULT), "D10 poll {at:x}");
        let vector = guest.vector(&[(2048, 4), (at, 8)]);
        assert_eq!(
            guest.call("fd_write", &[fd.into(), vector, 2, 512]),
            Err(FAULT),
            "D10 second buffer {at:x}"
        );
        assert_eq!(
            guest.call("fd_read", &[fd.into(), vector, 2, 512]),
            Err(FAULT),
            "D10 second buffer {at:x}"
        );
    }
    assert_eq!(fs::read(sandbox.inside().join("f")).expect("f"), b"inside", "D10");
    assert!(!sandbox.inside().join("new").exists(), "D10");
    assert_eq!(guest.seek(fd, 0, 1), Ok(0), "D10: the position has not moved");
}

#[test]
fn d11_d12_misaligned_and_aliasing_pointers_work() {
    let sandbox = Sandbox::new();
    let mut guest = guest(&sandbox);
    let fd = guest.open(DIR, "f", open_for(READ, 0)).expect("open");
    guest.memory[3001..3009].copy_from_slice(&[0xa1, 0x0f, 0, 0, 6, 0, 0, 0]);
    assert_eq!(guest.call("fd_read", &[fd.into(), 3001, 1, 5003]), Ok(()), "D11");
    assert_eq!((&guest.memory[0xfa1..0xfa7], guest.u32_at(5003)), (&b"inside"[..], 6), "D11");
    assert_eq!(guest.call("clock_time_get", &[1, 0, 4099]), Ok(()), "D11");
    // The result over the vector, and over the path.
    guest.seek(fd, 0, 0).expect("seek");
    assert_eq!(guest.call("fd_read", &[fd.into(), 3001, 1, 3001]), Ok(()), "D12");
    assert_eq!(guest.u32_at(3001), 6, "D12");
    let path = guest.put(b"f\0\0\0");
    assert_eq!(guest.call("path_open", &[3, 0, path, 1, 0, READ, 0, 0, path]), Ok(()), "D12");
    assert_eq!(guest.u32_at(path), fd + 1, "D12");
}

#[test]
fn d13_extreme_times() {
    let sandbox = Sandbox::new();
    let mut guest = guest(&sandbox);
    let file = fs::File::options().write(true).open(sandbox.inside().join("f")).expect("open");
    for seconds in [9_000_000_000_000_000_000_u64, 1 << 40, 10_000_000_000] {
        for time in [
            SystemTime::UNIX_EPOCH.checked_sub(Duration::from_secs(seconds)),
            SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)),
        ] {
            // The file system may keep something less extreme, or refuse.
            if let Some(time) = time
                && file.set_modified(time).is_ok()
            {
                assert!(guest.stat(DIR, 0, "f").is_ok(), "D13 {seconds}");
            }
        }
    }
    for time in [0, 1, u64::MAX, i64::MAX as u64] {
        let path = guest.put(b"f");
        let answer = guest.call("path_filestat_set_times", &[3, 0, path, 1, time, time, 5]);
        assert!(answer.is_ok() || answer == Err(number(Errno::Inval)), "D13 {time}: {answer:?}");
        assert!(guest.stat(DIR, 0, "f").is_ok(), "D13 {time}");
    }
}

#[test]
fn times_are_set_in_every_combination() {
    let sandbox = Sandbox::new();
    let mut guest = guest(&sandbox);
    let fd = guest.open(DIR, "f", open_for(READ, 0)).expect("open");
    for flags in 0..16_u64 {
        let contradiction = flags & 3 == 3 || flags & 12 == 12;
        let answer = guest.call("fd_filestat_set_times", &[fd.into(), 5_000_000_000, 7_000_000_001, flags]);
        assert_eq!(answer, if contradiction { Err(number(Errno::Inval)) } else { Ok(()) }, "{flags}");
        let stat = guest.fd_stat(fd).expect("stat");
        assert!(flags & 3 != 1 || contradiction || stat.atim == 5_000_000_000, "{flags}");
        assert!(flags & 12 != 4 || contradiction || stat.mtim == 7_000_000_001, "{flags}");
        assert!(flags & 3 != 2 || contradiction || stat.atim > 1_000_000_000_000_000_000, "{flags}");
    }
    assert_eq!(guest.call("fd_filestat_set_times", &[fd.into(), 0, 0, 16]), Err(number(Errno::Inval)));
    let path = guest.put(b"f");
    for flags in [3, 12, 15, 16, 0x100] {
        let answer = guest.call("path_filestat_set_times", &[3, 0, path, 1, 0, 0, flags]);
        assert_eq!(answer, Err(number(Errno::Inval)), "{flags}");
    }
}

#[test]
fn excess_flag_bits_are_invalid() {
    let sandbox = Sandbox::new();
    let mut guest = guest(&sandbox);
    let inval = number(Errno::Inval);
    let path = guest.put(b"f");
    assert_eq!(guest.open(DIR, "f", Open { lookup: 2, rights: READ, ..Open::default() }), Err(inval));
    assert_eq!(guest.open(DIR, "f", Open { oflags: 16, rights: READ, ..Open::default() }), Err(inval));
    assert_eq!(guest.open(DIR, "f", Open { fdflags: 32, rights: READ, ..Open::default() }), Err(inval));
    assert_eq!(guest.stat(DIR, 0x8000_0000, "f").map(drop), Err(inval));
    assert_eq!(guest.link(FOLLOW, (DIR, "f"), (DIR, "g")), Err(inval));
    assert_eq!(guest.link(2, (DIR, "f"), (DIR, "g")), Err(inval));
    assert_eq!(guest.call("path_filestat_set_times", &[3, 2, path, 1, 0, 0, 0]), Err(inval));
}

#[test]
fn preopens_are_found_in_order() {
    let sandbox = Sandbox::new();
    let keys =
        sandbox.keys(&WasiTuning::default()).dir(sandbox.inside().join("a"), "/second", Access::ReadOnly);
    // Closed standard streams leave their numbers free and move nothing.
    let mut guest = TestGuest::new(&keys.stdin(StdinKey::Closed).build());
    for (fd, name) in [(3, "/in"), (4, "/second")] {
        guest.call("fd_prestat_get", &[fd, 64]).expect("preopen");
        assert_eq!((guest.memory[64], guest.u32_at(68) as usize), (0, name.len()));
        assert_eq!(guest.call("fd_prestat_dir_name", &[fd, 64, 0]), Err(number(Errno::NameTooLong)));
        guest.call("fd_prestat_dir_name", &[fd, 64, name.len() as u64 + 1]).expect("name");
        assert_eq!(&guest.memory[64..64 + name.len()], name.as_bytes());
    }
    assert_eq!(guest.call("fd_prestat_get", &[5, 64]), Err(BADF));
    let (_, inheriting) = guest.rights(3).expect("rights");
    assert_eq!(inheriting & (READ | WRITE), READ | WRITE, "libraries mask their wishes with this");
    let (base, inheriting) = guest.rights(4).expect("rights");
    assert_eq!(inheriting & (READ | WRITE), READ, "it is read-only");
    assert_eq!(base & (1 << 13), 1 << 13);
    assert_eq!(guest.fd_stat(0), Err(BADF));
    assert_eq!(guest.open(3, "f", open_for(READ, 0)), Ok(0), "the lowest free number");
}

#[test]
fn a_key_to_nothing_says_so() {
    for (keys, part) in [
        (Keys::builder().dir("/nonexistent/dir", "/x", Access::ReadOnly), "no such directory"),
        (Keys::builder().dir("/proc/self/status", "/x", Access::ReadOnly), "not a directory"),
        (Keys::builder().dir("/", "", Access::ReadOnly), "guest path"),
        (Keys::builder().argument("a\0b"), "NUL"),
        (Keys::builder().variable("A=B", "c"), "malformed"),
        (Keys::builder().variable("", "c"), "malformed"),
    ] {
        let error = innkeeper_wasi::p1::Context::new(&keys.build()).expect_err("no such key");
        assert!(error.to_string().contains(part), "{error}");
    }
}
