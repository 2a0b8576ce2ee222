//! Copy-on-write and in-memory directories, beside the system's own: the same operations give the same answers.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Instant;

use innkeeper_engine::BudgetKind;
use innkeeper_wasi::host::{ArchiveError, ChangeKind, Overlay};
use innkeeper_wasi::keys::{Access, DirKey, Keys, WasiLimits, WasiTuning};
use innkeeper_wasi::p1::Errno;
use support::populated::MINE;
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

fn guest_in(key: DirKey, tuning: &WasiTuning) -> TestGuest {
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
            overlay(&guests[1]).apply(MINE, &|| false).expect("apply");
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
    let mut guest = guest_in(DirKey::new(beneath.path(), "/in", Access::CopyOnWrite), &WasiTuning::default());
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
        (Removed, "l"),
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
    let mut guest = guest_in(DirKey::new(beneath.path(), "/in", Access::CopyOnWrite), &WasiTuning::default());
    guest.mkdir(DIR, "sub").expect("mkdir");
    let long = format!("sub/{}", "n".repeat(180));
    put(&mut guest, &long, &[5; 1000]);
    put(&mut guest, "a/b/c", b"changed");
    guest.unlink(DIR, "l").expect("unlink");
    guest.symlink("a", DIR, "link").expect("symlink");
    let mut archive = Vec::new();
    overlay(&guest).write_tar(&mut archive, &|| false).expect("archive");
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

/// The file system of what an archive says, as `tar` unpacks it.
fn unpack(archive: &[u8]) -> tempfile::TempDir {
    let unpacked = tempfile::tempdir().expect("temporary directory");
    fs::write(unpacked.path().join("x.tar"), archive).expect("write");
    let status =
        std::process::Command::new("tar").arg("xf").arg("x.tar").current_dir(unpacked.path()).status();
    assert!(status.expect("tar runs").success());
    fs::remove_file(unpacked.path().join("x.tar")).expect("remove");
    unpacked
}

fn archive(guest: &TestGuest) -> Result<Vec<u8>, ArchiveError> {
    let mut archive = Vec::new();
    overlay(guest).write_tar(&mut archive, &|| false)?;
    Ok(archive)
}

/// What a guest calls a file never says that another is gone (Y10).
#[test]
fn no_name_of_a_guest_is_a_whiteout() {
    for path in [".wh.passwd", ".wh..wh..opq", "a/.wh.c", "moved/.wh.x", ".wh.d/f"] {
        let beneath = tempfile::tempdir().expect("temporary directory");
        populate(beneath.path());
        fs::create_dir(beneath.path().join("theirs")).expect("theirs");
        fs::write(beneath.path().join("theirs/.wh.x"), "theirs").expect("theirs/.wh.x");
        let mut guest =
            guest_in(DirKey::new(beneath.path(), "/in", Access::CopyOnWrite), &WasiTuning::default());
        put(&mut guest, "b", b"another change");
        match path.split_once('/') {
            Some(("moved", _)) => guest.rename((DIR, "theirs"), (DIR, "moved")).expect("rename"),
            Some((".wh.d", _)) => guest.mkdir(DIR, ".wh.d").expect("mkdir"),
            _ => put(&mut guest, path, b""),
        }
        let mut written = Vec::new();
        let error = overlay(&guest).write_tar(&mut written, &|| false).expect_err(path);
        let ArchiveError::ReservedName(name) = error else { panic!("{error}") };
        assert!(path.starts_with(&*String::from_utf8_lossy(&name)), "{path}");
        assert_eq!(written, b"", "{path}");
        // It is a file like any other elsewhere.
        overlay(&guest).apply(MINE, &|| false).expect("apply");
    }
    // The mark that a directory is new would come of a file of the host's that is gone.
    let beneath = tempfile::tempdir().expect("temporary directory");
    fs::write(beneath.path().join(".wh..opq"), "").expect("write");
    let mut guest = guest_in(DirKey::new(beneath.path(), "/in", Access::CopyOnWrite), &WasiTuning::default());
    guest.unlink(DIR, ".wh..opq").expect("unlink");
    assert!(matches!(archive(&guest), Err(ArchiveError::ReservedName(_))));
}

#[test]
fn holes_stay_holes_in_an_archive() {
    let beneath = tempfile::tempdir().expect("temporary directory");
    let large = fs::File::create(beneath.path().join("large")).expect("create");
    large.set_len(1 << 33).expect("set_len");
    std::os::unix::fs::FileExt::write_at(&large, b"beneath", 1 << 32).expect("write");
    let mut guest = guest_in(DirKey::new(beneath.path(), "/in", Access::CopyOnWrite), &WasiTuning::default());
    let fd = guest.open(DIR, "large", open_for(WRITE, 0)).expect("open");
    assert_eq!(guest.pwrite(fd, b"guest", 1 << 31), Ok(5));
    let fd = guest.open(DIR, "new", open_for(WRITE, CREAT)).expect("open");
    assert_eq!(guest.pwrite(fd, b"end", (1 << 34) - 3), Ok(3));
    let fd = guest.open(DIR, &format!("empty-{}", "n".repeat(120)), open_for(WRITE, CREAT)).expect("open");
    assert_eq!(guest.call("fd_filestat_set_size", &[fd.into(), 1 << 34]), Ok(()));
    let archive = archive(&guest).expect("archive");
    assert!(archive.len() < 200_000, "{}", archive.len());
    let unpacked = unpack(&archive);
    let large = fs::File::open(unpacked.path().join("large")).expect("large");
    let read = |offset, length| {
        let mut bytes = vec![1; length];
        std::os::unix::fs::FileExt::read_exact_at(&large, &mut bytes, offset).expect("read");
        bytes
    };
    assert_eq!(
        (read(1 << 32, 7), read(1 << 31, 5), read(0, 5)),
        (b"beneath".to_vec(), b"guest".to_vec(), vec![0; 5])
    );
    for (name, size) in
        [("large", 1 << 33), ("new", 1 << 34), (&format!("empty-{}", "n".repeat(120)), 1 << 34)]
    {
        let metadata = fs::metadata(unpacked.path().join(name)).expect(name);
        assert_eq!(metadata.len(), size, "{name}");
        assert!(metadata.blocks() < 1000, "{name}");
    }
}

/// What is neither file nor directory is archived as what it is, and a socket is left out.
#[test]
fn pipes_and_sockets_do_not_end_an_archive() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let beneath = tempfile::tempdir().expect("temporary directory");
    let at = |path: &str| beneath.path().join(path);
    fs::create_dir(at("d")).expect("d");
    mknodat(CWD, at("d/pipe"), FileType::Fifo, Mode::RUSR, 0).expect("pipe");
    symlink("nowhere", at("d/link")).expect("link");
    let _listener = std::os::unix::net::UnixListener::bind(at("d/socket")).expect("socket");
    fs::write(at("d/z"), "last").expect("z");
    fs::set_permissions(at("d/z"), std::os::unix::fs::PermissionsExt::from_mode(0o640)).expect("mode");
    let mut guest = guest_in(DirKey::new(beneath.path(), "/in", Access::CopyOnWrite), &WasiTuning::default());
    guest.rename((DIR, "d"), (DIR, "e")).expect("rename");
    let mut archive = Vec::new();
    let left_out = overlay(&guest).write_tar(&mut archive, &|| false).expect("archive");
    assert_eq!(left_out, [b"e/socket"]);
    let unpacked = unpack(&archive);
    let kind = |path: &str| fs::symlink_metadata(unpacked.path().join(path)).expect("metadata");
    assert!(kind("e/pipe").mode() & 0o170_000 == 0o010_000);
    assert!(kind("e/link").is_symlink());
    assert_eq!((kind("e/z").mode() & 0o7777, kind("e/z").len()), (0o640, 4));
}

/// What a tree takes of the host, as the budget that all of a guest's is charged to has it (Y7).
fn tree_bytes(guest: &TestGuest) -> u64 {
    guest.cx.host().budget().used_for(BudgetKind::Tree)
}

/// One byte a piece, and a name and a node for each file, cost what they cost.
#[test]
fn what_a_tree_costs_is_what_is_bounded() {
    let limit = 2 << 20;
    let mut guest = guest_in(DirKey::temporary("/tmp", limit), &WasiTuning::default());
    let fd = guest.open(DIR, "x", open_for(WRITE, CREAT)).expect("open");
    let pieces = (0..).take_while(|index| guest.pwrite(fd, b"x", index << 14).is_ok()).count();
    assert!((5000..15_000).contains(&pieces), "{pieces}");
    assert!(tree_bytes(&guest) <= limit + (1 << 18));
    assert_eq!(guest.call("fd_filestat_set_size", &[fd.into(), 0]), Ok(()));
    assert!(tree_bytes(&guest) <= 1 << 18, "{}", tree_bytes(&guest));
    // Names are paid for where they are: a longer one costs more, and a removed one nothing.
    let long = "n".repeat(255);
    let mut made = 0;
    while guest.mkdir(DIR, &format!("{made}")).is_ok() {
        made += 1;
    }
    assert!((3000..8000).contains(&made), "{made}");
    assert_eq!(guest.rename((DIR, "0"), (DIR, &long)), Err(number(Errno::NoSpc)));
    guest.rmdir(DIR, "1").expect("rmdir");
    guest.rename((DIR, "0"), (DIR, &long)).expect("room for a longer name");
    guest.rmdir(DIR, &long).expect("rmdir");
    for name in 2..made {
        guest.rmdir(DIR, &format!("{name}")).expect("rmdir");
    }
    assert!(tree_bytes(&guest) <= 1 << 18, "{}", tree_bytes(&guest));
    // Links and refused ones give back what they took.
    for _ in 0..20_000 {
        guest.link(0, (DIR, "x"), (DIR, "y")).expect("link");
        guest.unlink(DIR, "y").expect("unlink");
        assert_eq!(guest.link(0, (DIR, "x"), (DIR, "x")), Err(number(Errno::Exist)));
    }
    assert!(tree_bytes(&guest) <= 1 << 18, "{}", tree_bytes(&guest));
    guest.close(fd).expect("close");
    drop(guest);
}

/// The listing of a large directory does not take a copy of it, however often it is listed at once.
#[test]
fn listings_of_a_tree_hold_little() {
    let mut guest = guest_in(DirKey::temporary("/tmp", 8 << 20), &WasiTuning::default());
    let mut made = 0;
    let name = |index: i32| format!("{index:07}{}", "n".repeat(233));
    while guest.open(DIR, &name(made), open_for(WRITE, CREAT)).and_then(|fd| guest.close(fd)).is_ok() {
        made += 1;
    }
    assert!(made > 5000, "{made}");
    let mut listings = Vec::new();
    let before = tree_bytes(&guest);
    while listings.len() < 2000 {
        let fd = guest.open(DIR, ".", open_for(READ, DIRECTORY)).expect("a full tree is listed");
        guest.readdir(fd, 300, 0).expect("readdir");
        listings.push(fd);
    }
    assert!(tree_bytes(&guest) - before < 2 << 20, "{}", tree_bytes(&guest) - before);
    // All of it, while entries are removed, and with a step back.
    let fd = listings.pop().expect("a listing");
    let (first, _) = guest.readdir(fd, 4000, 0).expect("readdir");
    let (again, _) = guest.readdir(fd, 4000, first[3].next).expect("readdir");
    assert_eq!(again[0].name, first[4].name);
    let mut cookie = 0;
    let mut seen = 0;
    loop {
        let (entries, _) = guest.readdir(fd, 8000, cookie).expect("readdir");
        let Some(last) = entries.last() else { break };
        cookie = last.next;
        for entry in entries.iter().filter(|entry| !entry.name.starts_with('.')) {
            seen += 1;
            guest.unlink(DIR, &entry.name).expect("unlink");
        }
    }
    assert_eq!(seen, made);
}

/// Nothing can be put into a directory that is gone, and it lists nothing.
#[test]
fn a_removed_directory_takes_nothing_and_lists_nothing() {
    let beneath = tempfile::tempdir().expect("temporary directory");
    fs::create_dir(beneath.path().join("d")).expect("d");
    let native = tempfile::tempdir().expect("temporary directory");
    for key in [
        DirKey::new(native.path(), "/in", Access::ReadWrite),
        DirKey::temporary("/in", 1 << 20),
        DirKey::new(beneath.path(), "/in", Access::CopyOnWrite),
    ] {
        let is_native = key.access == Access::ReadWrite;
        let mut guest = guest_in(key, &WasiTuning::default());
        let _ = guest.mkdir(DIR, "d");
        put(&mut guest, "f", b"kept");
        let gone = guest.open(DIR, "d", open_for(READ, DIRECTORY)).expect("open");
        guest.rmdir(DIR, "d").expect("rmdir");
        assert_eq!(guest.rename((DIR, "f"), (gone, "f")), Err(number(Errno::NoEnt)));
        assert_eq!(guest.link(0, (DIR, "f"), (gone, "f")), Err(number(Errno::NoEnt)));
        assert_eq!(guest.symlink("f", gone, "l"), Err(number(Errno::NoEnt)));
        assert_eq!(guest.stat(DIR, 0, "f").expect("f").size, 4);
        let names = guest.list(gone, 1000);
        assert!(names.is_empty() || (is_native && names == [".", ".."]), "{names:?}");
    }
}

/// As many files as there are take as many steps (Y12).
#[test]
fn work_on_a_tree_grows_with_its_files_only() {
    let time = |files: i32| {
        let beneath = tempfile::tempdir().expect("temporary directory");
        let mut guest =
            guest_in(DirKey::new(beneath.path(), "/in", Access::CopyOnWrite), &WasiTuning::default());
        let start = Instant::now();
        for file in 0..files {
            let fd = guest.open(DIR, &format!("{file:08}"), open_for(WRITE, CREAT)).expect("open");
            guest.close(fd).expect("close");
        }
        overlay(&guest).write_tar(&mut std::io::sink(), &|| false).expect("archive");
        for file in 0..files {
            guest.unlink(DIR, &format!("{file:08}")).expect("unlink");
        }
        start.elapsed()
    };
    // Sixteen times as many; what grows with the square would take 256 times as long.
    let is_linear = (0..5).any(|_| time(32_000) < time(2000) * 64);
    assert!(is_linear);
}

#[test]
fn memory_is_bounded() {
    let limit = 1 << 20;
    let mut guest = guest_in(DirKey::temporary("/tmp", limit), &WasiTuning::default());
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
        let mut limits = WasiLimits::default();
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
        let mut guest = guest_in(key, &WasiTuning::default());
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
