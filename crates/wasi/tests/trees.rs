//! Copy-on-write and in-memory directories, beside the system's own: the same operations give the same answers.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use innkeeper_wasi::host::{ChangeKind, Overlay};
use innkeeper_wasi::keys::{Access, DirKey, Keys, Limits, Tuning};
use innkeeper_wasi::p1::Errno;
use support::*;

const DIR: u32 = 3;

/// Numbers that look random and are the same in every run.
struct Sequence(u64);

impl Sequence {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn path(&mut self) -> String {
        const NAMES: [&str; 6] = ["a", "b", "c", "d", "l", "."];
        let depth = 1 + self.below(3);
        let parts: Vec<&str> = (0..depth)
            .map(|_| if self.below(12) == 0 { ".." } else { NAMES[self.below(6) as usize] })
            .collect();
        let slash = if self.below(10) == 0 { "/" } else { "" };
        parts.join("/") + slash
    }
}

/// One random operation, described by what it answered.
fn operate(random: &mut Sequence, guest: &mut TestGuest) -> String {
    let path = random.path();
    let other = random.path();
    let lookup = random.below(2) as u32;
    let kind = random.below(12);
    let answer = match kind {
        0 => format!("{:?}", guest.mkdir(DIR, &path)),
        1 => format!("{:?}", guest.rmdir(DIR, &path)),
        2 => format!("{:?}", guest.unlink(DIR, &path)),
        3 => format!("{:?}", guest.symlink(&other, DIR, &path)),
        4 => format!("{:?}", guest.link(0, (DIR, &path), (DIR, &other))),
        5 => format!("{:?}", guest.rename((DIR, &path), (DIR, &other))),
        6 => format!("{:?}", guest.readlink(DIR, &path)),
        7 => {
            let stat = guest.stat(DIR, lookup, &path);
            // Sizes and link counts of directories are the file system's own affair.
            format!(
                "{:?}",
                stat.map(|it| (it.filetype, if it.filetype == 3 { (0, 0) } else { (it.size, it.nlink) }))
            )
        }
        8 => match guest.open(DIR, &path, Open { lookup, ..open_for(READ, DIRECTORY) }) {
            Ok(fd) => {
                let mut names = guest.list(fd, 4096);
                names.sort();
                guest.close(fd).expect("close");
                format!("{names:?}")
            }
            Err(errno) => format!("{errno}"),
        },
        _ => {
            let oflags = [0, CREAT, CREAT | EXCL, TRUNC, CREAT | TRUNC][random.below(5) as usize];
            let fdflags = if random.below(4) == 0 { APPEND } else { 0 };
            let length = random.below(40_000) as usize;
            let offset = random.below(60_000) as i64;
            let byte = random.below(250) as u8;
            match guest.open(DIR, &path, Open { lookup, fdflags, ..open_for(READ | WRITE, oflags) }) {
                Ok(fd) => {
                    let mut text = format!("{:?}", guest.seek(fd, offset, 0));
                    text += &format!("{:?}", guest.write(fd, &vec![byte; length]));
                    text += &format!("{:?}", guest.seek(fd, 0, 1));
                    if length.is_multiple_of(3) {
                        let size = guest.call("fd_filestat_set_size", &[fd.into(), (offset / 2) as u64]);
                        text += &format!("{size:?}");
                    }
                    text += &format!("{:?}", guest.seek(fd, -10, 2));
                    text += &format!("{:?}", guest.seek(fd, 0, 0));
                    let read = guest.read(fd, 100_000).expect("read");
                    text += &format!(
                        "{} {:x}",
                        read.len(),
                        read.iter().fold(0_u64, |hash, byte| hash.wrapping_mul(31) + u64::from(*byte))
                    );
                    guest.close(fd).expect("close");
                    text
                }
                Err(errno) => format!("{errno}"),
            }
        }
    };
    format!("{kind} {path} {other} {lookup}: {answer}")
}

/// A directory with a little of everything.
fn populate(root: &Path) {
    fs::create_dir_all(root.join("a/b")).expect("a/b");
    fs::write(root.join("a/b/c"), vec![9; 50_000]).expect("a/b/c");
    fs::write(root.join("a/c"), "text").expect("a/c");
    fs::hard_link(root.join("a/c"), root.join("d")).expect("d");
    symlink("a/b", root.join("l")).expect("l");
    symlink("../c", root.join("a/b/l")).expect("a/b/l");
}

fn contents(root: &Path) -> BTreeMap<PathBuf, String> {
    let strip = |path: PathBuf| path.strip_prefix(root).expect("inside").to_path_buf();
    let describe = |path: &Path| {
        let metadata = fs::symlink_metadata(path).expect("metadata");
        if metadata.is_dir() {
            String::from("directory")
        } else if metadata.is_symlink() {
            format!("{:?}", fs::read_link(path))
        } else {
            format!("{:?}", fs::read(path))
        }
    };
    snapshot(root).into_keys().map(|path| (strip(path.clone()), describe(&path))).collect()
}

fn guest_in(key: DirKey, tuning: &Tuning) -> TestGuest {
    TestGuest::new(&Keys::builder().directory(key).tuning(tuning.clone()).build())
}

/// The guests differ in kind only, so whatever one answers the others must.
#[test]
fn trees_answer_as_the_system_does_and_apply_gives_the_same() {
    for (resolver, tuning) in resolvers() {
        for seed in 0..12 {
            let [native, beneath] = [0, 1].map(|_| tempfile::tempdir().expect("temporary directory"));
            let populated = seed % 3 > 0;
            if populated {
                populate(native.path());
                populate(beneath.path());
            }
            let before = snapshot(beneath.path());
            let mut guests = vec![
                guest_in(DirKey::new(native.path(), "/in", Access::ReadWrite), &tuning),
                guest_in(DirKey::new(beneath.path(), "/in", Access::CopyOnWrite), &tuning),
            ];
            if !populated {
                guests.push(guest_in(DirKey::temporary("/in", 1 << 30), &tuning));
            }
            for step in 0..500 {
                let answers: Vec<String> = guests
                    .iter_mut()
                    .map(|guest| operate(&mut Sequence(seed * 1000 + step), guest))
                    .collect();
                for answer in &answers[1..] {
                    assert_eq!(*answer, answers[0], "{resolver} seed {seed} step {step}");
                }
            }
            assert_eq!(
                snapshot(beneath.path()),
                before,
                "{resolver} {seed}: the directory beneath has changed"
            );
            overlay(&guests[1]).apply().expect("apply");
            assert_eq!(contents(beneath.path()), contents(native.path()), "{resolver} {seed}");
        }
    }
}

fn overlay(guest: &TestGuest) -> Overlay {
    guest.cx.host().overlays()[0].clone()
}

fn changes(guest: &TestGuest) -> Vec<(ChangeKind, String)> {
    let changes = overlay(guest).changes().expect("changes");
    changes.into_iter().map(|it| (it.kind, String::from_utf8(it.path).expect("UTF-8"))).collect()
}

fn put(guest: &mut TestGuest, path: &str, bytes: &[u8]) {
    let fd = guest.open(DIR, path, open_for(WRITE, CREAT)).expect(path);
    guest.write(fd, bytes).expect("write");
    guest.close(fd).expect("close");
}

#[test]
fn changes_are_listed_once_and_with_what_was_moved() {
    let beneath = tempfile::tempdir().expect("temporary directory");
    populate(beneath.path());
    let mut guest = guest_in(DirKey::new(beneath.path(), "/in", Access::CopyOnWrite), &Tuning::default());
    assert_eq!(changes(&guest), []);
    guest.stat(DIR, 0, "a/b/c").expect("stat");
    assert_eq!(changes(&guest), [], "looking changes nothing");
    put(&mut guest, "a/c", b"TEXT");
    put(&mut guest, "a/new", b"new");
    guest.rename((DIR, "a/b"), (DIR, "moved")).expect("rename");
    guest.unlink(DIR, "l").expect("unlink");
    put(&mut guest, "l", b"a file now");
    use ChangeKind::{Added, Modified, Removed};
    let expected = [
        (Removed, "a/b"),
        (Modified, "a/c"),
        (Added, "a/new"),
        (Modified, "d"),
        (Added, "l"),
        (Added, "moved"),
        (Added, "moved/c"),
        (Added, "moved/l"),
    ];
    assert_eq!(changes(&guest), expected.map(|(kind, path)| (kind, path.to_owned())));
}

#[test]
fn an_archive_is_what_tar_reads() {
    let beneath = tempfile::tempdir().expect("temporary directory");
    populate(beneath.path());
    let mut guest = guest_in(DirKey::new(beneath.path(), "/in", Access::CopyOnWrite), &Tuning::default());
    guest.mkdir(DIR, "sub").expect("mkdir");
    let long = format!("sub/{}", "n".repeat(180));
    put(&mut guest, &long, &[5; 1000]);
    put(&mut guest, "a/b/c", b"changed");
    guest.unlink(DIR, "l").expect("unlink");
    guest.symlink("a", DIR, "link").expect("symlink");
    let mut archive = Vec::new();
    overlay(&guest).write_tar(&mut archive).expect("archive");
    let unpacked = tempfile::tempdir().expect("temporary directory");
    fs::write(unpacked.path().join("x.tar"), &archive).expect("write");
    let status =
        std::process::Command::new("tar").arg("xf").arg("x.tar").current_dir(unpacked.path()).status();
    assert!(status.expect("tar runs").success());
    let at = |path: &str| unpacked.path().join(path);
    assert_eq!(fs::read(at(&long)).expect("long name"), [5; 1000]);
    let changed = fs::read(at("a/b/c")).expect("changed");
    assert_eq!((changed.len(), &changed[..8]), (50_000, &b"changed\x09"[..]));
    assert_eq!(fs::read(at(".wh.l")).expect("whiteout"), b"");
    assert_eq!(fs::read_link(at("link")).expect("link"), Path::new("a"));
}

#[test]
fn memory_is_bounded() {
    let limit = 1 << 20;
    let mut guest = guest_in(DirKey::temporary("/tmp", limit), &Tuning::default());
    let fd = guest.open(DIR, "f", open_for(READ | WRITE, CREAT)).expect("open");
    let mut written = 0;
    let full = loop {
        match guest.write(fd, &[1; 10_000]) {
            Ok(count) => written += u64::from(count),
            Err(errno) => break errno,
        }
    };
    assert_eq!(full, number(Errno::NoSpc));
    assert!(written <= limit && written > limit - 70_000, "{written}");
    assert_eq!(guest.fd_stat(fd).expect("stat").size, written);
    // Overwriting what is there takes nothing.
    guest.seek(fd, 0, 0).expect("seek");
    assert_eq!(guest.write(fd, &[2; 10_000]), Ok(10_000));
    // A hole takes nothing either, reserving does.
    assert_eq!(guest.call("fd_filestat_set_size", &[fd.into(), 1 << 40]), Ok(()));
    assert_eq!(guest.call("fd_allocate", &[fd.into(), 1 << 40, 1 << 30]), Err(number(Errno::NoSpc)));
    assert_eq!(guest.call("fd_filestat_set_size", &[fd.into(), 0]), Ok(()));
    assert_eq!(guest.write(fd, &[3; 10_000]), Ok(10_000));
    guest.close(fd).expect("close");
    guest.unlink(DIR, "f").expect("unlink");
    // Names are not free.
    let mut made = 0;
    while guest.mkdir(DIR, &format!("d{made}")).is_ok() {
        made += 1;
    }
    assert!((1000..=limit / 256).contains(&made), "{made}");
    for name in 0..made {
        guest.rmdir(DIR, &format!("d{name}")).expect("rmdir");
    }
    put(&mut guest, "again", &[0; 100_000]);
}

#[test]
fn an_overlay_is_bounded_and_the_directory_beneath_may_be_large() {
    let beneath = tempfile::tempdir().expect("temporary directory");
    let large = fs::File::create(beneath.path().join("large")).expect("create");
    large.set_len(1 << 32).expect("set_len");
    let limits = {
        let mut limits = Limits::default();
        limits.overlay_bytes = 1 << 20;
        limits
    };
    let keys = Keys::builder().dir(beneath.path(), "/in", Access::CopyOnWrite).limits(limits).build();
    let mut guest = TestGuest::new(&keys);
    let fd = guest.open(DIR, "large", open_for(READ | WRITE, 0)).expect("open");
    assert_eq!(
        guest.pwrite(fd, b"x", 1 << 31),
        Ok(1),
        "one byte in a large file costs a piece, not the file"
    );
    let full = (0..).find_map(|step| guest.pwrite(fd, b"x", step << 16).err());
    assert_eq!(full, Some(number(Errno::NoSpc)));
}

#[test]
fn a_handle_outlives_its_name_and_what_it_was_moved_to() {
    for key in [
        DirKey::temporary("/in", 1 << 20),
        DirKey::new(tempfile::tempdir().expect("d").keep(), "/in", Access::CopyOnWrite),
    ] {
        let host = key.host.clone();
        let mut guest = guest_in(key, &Tuning::default());
        guest.mkdir(DIR, "d").expect("mkdir");
        let inner = guest.open(DIR, "d", open_for(READ, DIRECTORY)).expect("open");
        put(&mut guest, "d/f", b"data");
        let file = guest.open(DIR, "d/f", open_for(READ | WRITE, 0)).expect("open");
        guest.unlink(DIR, "d/f").expect("unlink");
        assert_eq!(guest.fd_stat(file).expect("stat").nlink, 0);
        assert_eq!(guest.read(file, 10).expect("read"), b"data");
        guest.rename((DIR, "d"), (DIR, "e")).expect("rename");
        put(&mut guest, "e/g", b"moved");
        assert_eq!(guest.stat(inner, 0, "g").expect("stat").size, 5);
        assert_eq!(guest.open(inner, "../e", open_for(READ, 0)), Err(number(Errno::Perm)));
        guest.unlink(DIR, "e/g").expect("unlink");
        guest.rmdir(DIR, "e").expect("rmdir");
        assert_eq!(guest.open(inner, "h", open_for(WRITE, CREAT)), Err(number(Errno::NoEnt)));
        assert_eq!(guest.mkdir(inner, "h"), Err(number(Errno::NoEnt)));
        if host.exists() {
            fs::remove_dir_all(host).expect("tidy");
        }
    }
}

#[test]
fn links_and_renames_do_not_cross_kinds() {
    let beneath = tempfile::tempdir().expect("temporary directory");
    fs::write(beneath.path().join("f"), "f").expect("f");
    let keys = Keys::builder()
        .dir(beneath.path(), "/rw", Access::ReadWrite)
        .dir(beneath.path(), "/cow", Access::CopyOnWrite)
        .directory(DirKey::temporary("/tmp", 1 << 20))
        .directory(DirKey::temporary("/tmp2", 1 << 20));
    let mut guest = TestGuest::new(&keys.build());
    let fd = guest.open(5, "f", open_for(WRITE, CREAT)).expect("open");
    guest.close(fd).expect("close");
    for (from, to) in [(3, 4), (4, 3), (3, 5), (5, 3), (4, 5), (5, 4), (5, 6)] {
        assert_eq!(guest.rename((from, "f"), (to, "g")), Err(number(Errno::Xdev)), "{from} {to}");
        assert_eq!(guest.link(0, (from, "f"), (to, "g")), Err(number(Errno::Xdev)), "{from} {to}");
    }
}
