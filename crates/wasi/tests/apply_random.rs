//! Random changes, applied and made directly, and with somebody else at work in the directory.

mod support;

use std::fs;

use innkeeper_wasi::host::{Aftermath, Finish};
use innkeeper_wasi::keys::{Access, DirKey, Keys};
use support::populated::*;
use support::*;

/// What is operated on.
const PATHS: [&str; 24] = [
    "a",
    "a/b",
    "a/b/c",
    "a/link",
    "a/pipe",
    "a/socket",
    "d1",
    "d1/h1",
    "d2",
    "d2/h2",
    "full",
    "full/x",
    "full/x/y",
    "gone",
    "keep",
    "secret",
    "old",
    "x1",
    "patched",
    "cut",
    "sub",
    "sub/deep",
    "sub/deep/patched",
    "new",
];

/// Numbers that look random and are the same in every run.
struct Sequence(u64);

impl Sequence {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn path(&mut self) -> &'static str {
        PATHS[self.below(24) as usize]
    }
}

/// One random operation, described by what it answered.
fn operate(random: &mut Sequence, guest: &mut TestGuest) -> String {
    let (path, other) = (random.path(), random.path());
    let kind = random.below(9);
    let (length, offset) = (1 + random.below(30_000) as usize, random.below(120_000));
    let answer = match kind {
        0 => format!("{:?}", guest.mkdir(DIR, path)),
        1 => format!("{:?}", guest.rmdir(DIR, path)),
        2 => format!("{:?}", guest.unlink(DIR, path)),
        3 => format!("{:?}", guest.symlink(other, DIR, path)),
        4 => format!("{:?}", guest.link(0, (DIR, path), (DIR, other))),
        5 | 6 => format!("{:?}", guest.rename((DIR, path), (DIR, other))),
        7 => format!("{:?}", guest.set_times(DIR, 0, path)),
        _ => {
            // What is neither file nor directory is not opened.
            let is_file = guest.stat(DIR, 0, path).is_ok_and(|it| it.filetype == 4)
                || guest.stat(DIR, 0, path).is_err();
            // Nor is a pipe waited for whose other end nobody opens.
            let how = Open { fdflags: NONBLOCK, ..open_for(WRITE, CREAT * u32::from(length % 2 == 0)) };
            match guest.open(DIR, path, how) {
                _ if !is_file => String::new(),
                Ok(fd) => {
                    let written = guest.pwrite(fd, &vec![length as u8; length], offset);
                    let size = guest.call("fd_filestat_set_size", &[fd.into(), offset + (length as u64) / 2]);
                    guest.close(fd).expect("close");
                    format!("{written:?} {size:?}")
                }
                Err(errno) => format!("{errno}"),
            }
        }
    };
    format!("{kind} {path} {other}: {answer}")
}

/// Random operations where a guest works directly, and through a copy-on-write directory that is applied afterwards.
#[test]
fn random_changes_are_applied_as_if_they_had_been_made_there() {
    for seed in 0..60 {
        let [native, beneath] = [0, 1].map(|_| {
            let root = scratch();
            populate(root.path());
            root
        });
        let before = whole(beneath.path(), Times::All);
        let mut guests =
            [guest_in(native.path(), Access::ReadWrite), guest_in(beneath.path(), Access::CopyOnWrite)];
        for step in 0..40 {
            let [a, b] = guests.each_mut().map(|guest| operate(&mut Sequence(seed * 1000 + step), guest));
            assert_eq!(b, a, "{seed} {step}");
        }
        assert_eq!(whole(beneath.path(), Times::All), before, "{seed}");
        overlay(&guests[1]).apply(MINE, &never).unwrap_or_else(|error| panic!("{seed}: {error}"));
        let [native, beneath] = [&native, &beneath].map(|root| whole(root.path(), Times::Set));
        for (path, text) in &native {
            assert_eq!(beneath.get(path), Some(text), "{seed}: {}", path.display());
        }
        assert_eq!(beneath.len(), native.len(), "{seed}");
    }
}

/// What a guest sees under each path: kind, size, number of names, and the bytes or the target.
fn seen(guest: &mut TestGuest) -> Vec<String> {
    let look = |path: &&str| {
        let found = guest.stat(DIR, 0, path).map(|found| {
            // Sizes of directories are the file system's own.
            let size = if found.filetype == 3 { 0 } else { found.size };
            let names = if found.filetype == 3 { 0 } else { found.nlink };
            (found.filetype, size, names)
        });
        let bytes = match found {
            Ok((4, size, _)) => {
                let fd = guest.open(DIR, path, open_for(READ, 0)).expect(path);
                let bytes = guest.read(fd, size as usize).expect(path);
                guest.close(fd).expect("close");
                format!("{bytes:?}")
            }
            Ok((7, ..)) => format!("{:?}", guest.readlink(DIR, path)),
            _ => String::new(),
        };
        format!("{path} {found:?} {bytes}")
    };
    PATHS.iter().map(look).collect()
}

/// The same operations from nothing, in a directory of the system's, in one that changes are applied to, and in memory.
#[test]
fn random_changes_are_the_same_in_memory() {
    let mut there = 0;
    for seed in 0..60 {
        let [native, beneath] = [scratch(), scratch()];
        let memory = Keys::builder().directory(DirKey::temporary("/in", 64 << 20)).build();
        let mut guests = [
            guest_in(native.path(), Access::ReadWrite),
            guest_in(beneath.path(), Access::CopyOnWrite),
            TestGuest::new(&memory),
        ];
        for step in 0..120 {
            let [native, cow, memory] =
                guests.each_mut().map(|guest| operate(&mut Sequence(seed * 1000 + step), guest));
            assert_eq!(cow, native, "{seed} {step}");
            assert_eq!(memory, native, "{seed} {step}");
        }
        let [of_native, of_cow, of_memory] = guests.each_mut().map(seen);
        there += of_native.iter().filter(|path| !path.contains("Err")).count();
        assert_eq!(of_cow, of_native, "{seed}");
        assert_eq!(of_memory, of_native, "{seed}");
        overlay(&guests[1]).apply(MINE, &never).unwrap_or_else(|error| panic!("{seed}: {error}"));
        assert_eq!(seen(&mut guest_in(beneath.path(), Access::ReadOnly)), of_native, "{seed}");
    }
    assert!(there > 100, "{there}");
}

/// Whatever somebody else writes into the directory meanwhile is there afterwards, wherever what it lies in was moved to.
#[test]
fn nothing_of_somebody_elses_is_lost_at_random() {
    let mut applied = 0;
    for seed in 0..60 {
        let beneath = scratch();
        populate(beneath.path());
        let mut guest = guest_in(beneath.path(), Access::CopyOnWrite);
        for step in 0..15 {
            operate(&mut Sequence(seed * 1000 + step), &mut guest);
        }
        let mut random = Sequence(seed);
        let mut texts = Vec::new();
        for index in 0..1 + random.below(3) {
            let path = beneath.path().join(random.path());
            let path = if path.is_dir() { path.join("theirs") } else { path };
            let kind = fs::symlink_metadata(&path).map(|found| found.is_file());
            if kind.unwrap_or(true) && !texts.iter().any(|(known, _)| *known == path) {
                let text = format!("somebody else's {seed} {index}");
                if fs::write(&path, &text).is_ok() {
                    texts.push((path, text));
                }
            }
        }
        let has = |text: &String| {
            paths(beneath.path()).iter().any(|path| {
                fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.len() < 1000)
                    && fs::read_to_string(path).is_ok_and(|found| found == *text)
            })
        };
        texts.retain(|(_, text)| has(text));
        let before = whole(beneath.path(), Times::Beneath);
        match overlay(&guest).apply(MINE, &never) {
            Ok(_) => applied += 1,
            Err(error) => {
                assert!(matches!(error.left, Aftermath::Staged | Aftermath::Nothing), "{seed}: {error:?}");
                if error.left == Aftermath::Staged {
                    finish_apply(beneath.path(), Finish::Undo, &never).expect("undo");
                }
                assert_eq!(whole(beneath.path(), Times::Beneath), before, "{seed}: {error}");
            }
        }
        for (path, text) in &texts {
            assert!(has(text), "{seed}: {} is lost", path.display());
        }
    }
    assert!(applied > 5 && applied < 55, "{applied}");
}
