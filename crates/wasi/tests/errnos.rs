//! Random operations on paths beside the system's own on the same tree: with `.`, `..`, slashes at the end, several in a row, and links.
//!
//! Each kind of directory answers with the error number that the system gives, and leaves the same tree. What leads out of the directory is not put to the
//! system, and answered alike by all kinds.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use innkeeper_wasi::keys::{Access, DirKey, Keys, WasiTuning};
use innkeeper_wasi::p1::Errno;
use rustix::fs::{
    AtFlags, Mode, OFlags, linkat, mkdirat, openat, readlinkat, renameat, statat, symlinkat, unlinkat,
};
use support::*;

const DIR: u32 = 3;

/// Numbers that look random and are the same in every run.
struct Sequence(u64);

impl Sequence {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn path(&mut self) -> String {
        const NAMES: [&str; 12] = ["a", "b", "c", "d", "l", "m", "a", "b", ".", ".", "..", "gone"];
        const ENDS: [&str; 12] = ["", "", "", "", "", "/", "/", "/.", "/./", "//", "/..", "/../"];
        let depth = 1 + self.below(3);
        let parts: Vec<&str> = (0..depth).map(|_| self.pick(&NAMES)).collect();
        parts.join(self.pick(&["/", "/", "/", "//", "/./"])) + self.pick(&ENDS)
    }
}

/// One operation, the same for guests and the system.
#[derive(Debug)]
enum Step {
    Mkdir(String),
    Rmdir(String),
    Unlink(String),
    Symlink(String, String),
    Link(String, String),
    Rename(String, String),
    Readlink(String),
    Stat(String, u32),
    Open { path: String, lookup: u32, oflags: u32, rights: u64 },
}

fn step(random: &mut Sequence) -> Step {
    let (path, other) = (random.path(), random.path());
    let lookup = random.pick(&[0, FOLLOW]);
    match random.below(13) {
        0 => Step::Mkdir(path),
        1 => Step::Rmdir(path),
        2 => Step::Unlink(path),
        3 => Step::Symlink(other, path),
        4 => Step::Link(path, other),
        5 | 6 => Step::Rename(path, other),
        7 => Step::Readlink(path),
        8 | 9 => Step::Stat(path, lookup),
        _ => {
            let oflags = random.pick(&[0, 0, DIRECTORY, CREAT, CREAT | EXCL, TRUNC, CREAT | TRUNC]);
            let rights =
                if oflags & (CREAT | TRUNC) != 0 { WRITE } else { random.pick(&[READ, WRITE, READ | WRITE]) };
            Step::Open { path, lookup, oflags, rights }
        }
    }
}

/// What a guest gets: an error number, or what there is to tell.
fn by_guest(step: &Step, guest: &mut TestGuest) -> Answer<String> {
    let done = |()| String::new();
    match step {
        Step::Mkdir(path) => guest.mkdir(DIR, path).map(done),
        Step::Rmdir(path) => guest.rmdir(DIR, path).map(done),
        Step::Unlink(path) => guest.unlink(DIR, path).map(done),
        Step::Symlink(target, path) => guest.symlink(target, DIR, path).map(done),
        Step::Link(path, to) => guest.link(0, (DIR, path), (DIR, to)).map(done),
        Step::Rename(path, to) => guest.rename((DIR, path), (DIR, to)).map(done),
        Step::Readlink(path) => guest.readlink(DIR, path),
        Step::Stat(path, lookup) => guest.stat(DIR, *lookup, path).map(|stat| stat.filetype.to_string()),
        Step::Open { path, lookup, oflags, rights } => {
            let how = Open { lookup: *lookup, ..open_for(*rights, *oflags) };
            let fd = guest.open(DIR, path, how)?;
            guest.close(fd)?;
            Ok(String::new())
        }
    }
}

/// The same, asked of the system.
fn by_system(step: &Step, at: BorrowedFd<'_>) -> Answer<String> {
    let done = |()| String::new();
    let answer = match step {
        Step::Mkdir(path) => mkdirat(at, path, Mode::RWXU).map(done),
        Step::Rmdir(path) => unlinkat(at, path, AtFlags::REMOVEDIR).map(done),
        Step::Unlink(path) => unlinkat(at, path, AtFlags::empty()).map(done),
        Step::Symlink(target, path) => symlinkat(target, at, path).map(done),
        Step::Link(path, to) => linkat(at, path, at, to, AtFlags::empty()).map(done),
        Step::Rename(path, to) => renameat(at, path, at, to).map(done),
        Step::Readlink(path) => {
            readlinkat(at, path, Vec::new()).map(|target| target.to_string_lossy().into_owned())
        }
        Step::Stat(path, lookup) => {
            let flags = if *lookup == FOLLOW { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
            statat(at, path, flags).map(|stat| {
                let kind = rustix::fs::FileType::from_raw_mode(stat.st_mode);
                let wasi = if kind.is_dir() {
                    3
                } else if kind.is_symlink() {
                    7
                } else {
                    4
                };
                wasi.to_string()
            })
        }
        Step::Open { path, lookup, oflags, rights } => {
            let mut flags = match (rights & READ != 0, rights & WRITE != 0) {
                (true, true) => OFlags::RDWR,
                (false, true) => OFlags::WRONLY,
                _ => OFlags::RDONLY,
            };
            for (wish, flag) in [(CREAT, OFlags::CREATE), (EXCL, OFlags::EXCL), (TRUNC, OFlags::TRUNC)] {
                flags.set(flag, oflags & wish != 0);
            }
            flags.set(OFlags::DIRECTORY, oflags & DIRECTORY != 0);
            flags.set(OFlags::NOFOLLOW, *lookup != FOLLOW);
            openat(at, path, flags, Mode::RWXU).map(|_| String::new())
        }
    };
    answer.map_err(|errno| number(errno).number())
}

/// WASI's number for one of the system's.
fn number(errno: rustix::io::Errno) -> Errno {
    use rustix::io::Errno as System;
    match errno {
        System::BUSY => Errno::Busy,
        System::EXIST => Errno::Exist,
        System::INVAL => Errno::Inval,
        System::ISDIR => Errno::IsDir,
        System::LOOP => Errno::Loop,
        System::NOENT => Errno::NoEnt,
        System::NOTDIR => Errno::NotDir,
        System::NOTEMPTY => Errno::NotEmpty,
        System::PERM => Errno::Perm,
        System::NAMETOOLONG => Errno::NameTooLong,
        other => panic!("an error that is not foreseen here: {other}"),
    }
}

fn populate(root: &Path) {
    fs::create_dir_all(root.join("a/b")).expect("a/b");
    fs::create_dir_all(root.join("b")).expect("b");
    fs::write(root.join("a/b/c"), "text").expect("a/b/c");
    fs::write(root.join("c"), "text").expect("c");
    symlink("a/b", root.join("l")).expect("l");
    symlink("gone", root.join("m")).expect("m");
    symlink("c", root.join("a/l")).expect("a/l");
}

fn contents(root: &Path) -> BTreeMap<PathBuf, String> {
    let describe = |path: &Path| match fs::symlink_metadata(path).expect("metadata") {
        found if found.is_dir() => String::from("directory"),
        found if found.is_symlink() => format!("{:?}", fs::read_link(path)),
        _ => format!("{:?}", fs::read(path)),
    };
    let strip = |path: &Path| path.strip_prefix(root).expect("inside").to_path_buf();
    snapshot(root).into_keys().map(|path| (strip(&path), describe(&path))).collect()
}

fn denied(guest: &TestGuest) -> u64 {
    guest.cx.host().denials().iter().map(|denial| denial.count).sum::<u64>()
        + guest.cx.host().gate().denials_dropped()
}

#[test]
fn every_kind_of_directory_answers_as_the_system_does() {
    for (resolver, tuning) in resolvers() {
        for seed in 0..12 {
            compare(resolver, &tuning, seed);
        }
    }
}

fn compare(resolver: &str, tuning: &WasiTuning, seed: u64) {
    let [system, native, beneath] = [0, 1, 2].map(|_| tempfile::tempdir().expect("temporary directory"));
    let is_populated = !seed.is_multiple_of(4);
    if is_populated {
        [&system, &native, &beneath].into_iter().for_each(|folder| populate(folder.path()));
    }
    let guest = |key: DirKey| TestGuest::new(&Keys::builder().directory(key).tuning(tuning.clone()).build());
    let mut guests = vec![
        ("rw", guest(DirKey::new(native.path(), "/in", Access::ReadWrite))),
        ("cow", guest(DirKey::new(beneath.path(), "/in", Access::CopyOnWrite))),
    ];
    if !is_populated {
        guests.push(("tmp", guest(DirKey::temporary("/in", 1 << 30))));
    }
    let at = fs::File::open(system.path()).expect("open");
    let mut random = Sequence(seed * 7919 + 1);
    let mut differences = Vec::new();
    for index in 0..400 {
        let step = step(&mut random);
        let mut answers = Vec::new();
        let mut leads_out = false;
        for (kind, guest) in &mut guests {
            let before = denied(guest);
            answers.push((*kind, by_guest(&step, guest)));
            leads_out |= denied(guest) > before;
        }
        let expected = if leads_out { answers[0].1.clone() } else { by_system(&step, at.as_fd()) };
        for (kind, answer) in answers {
            if answer != expected {
                differences.push(format!(
                    "{resolver} seed {seed} step {index} {step:?}: {kind} {answer:?}, the system {expected:?}"
                ));
            }
        }
        if !differences.is_empty() && differences.iter().any(|line| line.contains("Ok(")) {
            break;
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert_eq!(contents(native.path()), contents(system.path()), "{resolver} seed {seed}");
}
