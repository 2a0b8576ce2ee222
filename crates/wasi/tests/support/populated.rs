//! A directory with something of every kind, for what changes it, and everything about a whole tree, to be compared.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use innkeeper_wasi::host::{self, ApplyError, ChangesSeal, Finish, Overlay, Trust, Unfinished};
use innkeeper_wasi::keys::{Access, DirKey, Keys};
use rustix::fs::{CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, mknodat, setxattr, utimensat};

use super::*;

pub const DIR: u32 = 3;

/// Times before this are ones that a test has set.
pub const LONG_AGO_SECONDS: i64 = 100_000_000;

pub fn never() -> bool {
    false
}

/// The key of whoever runs these tests.
pub static SEAL: ChangesSeal = ChangesSeal::with_key([7; 32]);
pub const MINE: Trust<'static> = Trust::Sealed(&SEAL);

/// What this user's own runs have left in a directory is finished.
pub fn finish_apply(root: &Path, how: Finish, stop: &dyn Fn() -> bool) -> Result<(), ApplyError> {
    host::finish_apply(&Unfinished { directory: root, trust: MINE, hidden: &[] }, how, stop)
}

/// A directory in memory, if the system has one: then waiting for the medium takes no time.
pub fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("temporary directory")
}

pub fn guest_in(path: &Path, access: Access) -> TestGuest {
    TestGuest::new(&Keys::builder().directory(DirKey::new(path, "/in", access)).build())
}

pub fn overlay(guest: &TestGuest) -> Overlay {
    guest.cx.host().overlays()[0].clone()
}

pub fn write(guest: &mut TestGuest, path: &str, oflags: u32, bytes: &[u8], offset: u64) {
    let fd = guest.open(DIR, path, open_for(WRITE, oflags)).expect(path);
    assert_eq!(guest.pwrite(fd, bytes, offset), Ok(bytes.len() as u32), "{path}");
    guest.close(fd).expect("close");
}

/// Which times of a tree are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// All, to the nanosecond.
    All,
    /// All but the top's.
    Beneath,
    /// Those of files, where a test has set them.
    Set,
}

/// Every path of a tree, the top first.
pub fn paths(root: &Path) -> Vec<PathBuf> {
    let mut todo = vec![root.to_path_buf()];
    let mut paths = Vec::new();
    while let Some(path) = todo.pop() {
        if fs::symlink_metadata(&path).expect("metadata").is_dir() {
            todo.extend(fs::read_dir(&path).expect("list").map(|entry| entry.expect("entry").path()));
        }
        paths.push(path);
    }
    paths.sort();
    paths
}

/// Everything about every file of a tree: kind, permissions, owner, times, attributes, content, and which names are one file.
pub fn whole(root: &Path, times: Times) -> BTreeMap<PathBuf, String> {
    let mut tree = BTreeMap::new();
    let mut first_names: BTreeMap<u64, PathBuf> = BTreeMap::new();
    for path in paths(root) {
        let name = path.strip_prefix(root).expect("beneath").to_path_buf();
        let metadata = fs::symlink_metadata(&path).expect("metadata");
        let kind = metadata.file_type();
        let content = match () {
            () if kind.is_dir() => String::from("directory"),
            () if kind.is_symlink() => format!("{:?}", fs::read_link(&path).expect("link")),
            () if kind.is_file() && metadata.len() < 1 << 20 => {
                let bytes = fs::read(&path).expect("read");
                format!(
                    "{} {:x}",
                    bytes.len(),
                    bytes
                        .iter()
                        .fold(7_u64, |hash, byte| { hash.wrapping_mul(0x100_0000_01b3) ^ u64::from(*byte) })
                )
            }
            () if kind.is_file() => format!("{} bytes", metadata.len()),
            () => format!("{kind:?} {:x}", metadata.rdev()),
        };
        let same = first_names.entry(metadata.ino()).or_insert_with(|| name.clone());
        let is_told = match times {
            Times::All => true,
            Times::Beneath => !name.as_os_str().is_empty(),
            Times::Set => !kind.is_dir() && metadata.mtime() < LONG_AGO_SECONDS,
        };
        let told =
            if is_told { format!("{}.{}", metadata.mtime(), metadata.mtime_nsec()) } else { String::new() };
        let attribute = if kind.is_symlink() { String::new() } else { attribute(&path) };
        let links = if kind.is_dir() { 0 } else { metadata.nlink() };
        let text = format!(
            "{:o} {}:{} {told} {attribute} as {} ({links}): {content}",
            metadata.mode(),
            metadata.uid(),
            metadata.gid(),
            same.display(),
        );
        tree.insert(name, text);
    }
    tree
}

pub fn attribute(path: &Path) -> String {
    let mut value = [0; 100];
    match rustix::fs::lgetxattr(path, "user.note", &mut value[..]) {
        Ok(count) => String::from_utf8_lossy(&value[..count]).into_owned(),
        Err(_) => String::new(),
    }
}

pub fn set_modified(path: &Path, seconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: 5 };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).expect("utimensat");
}

/// A directory with something of every kind, all of it long ago.
pub fn populate(root: &Path) {
    let at = |path: &str| root.join(path);
    for directory in ["a/b", "d1", "d2", "full/x/y", "gone", "sub/deep"] {
        fs::create_dir_all(at(directory)).expect(directory);
    }
    fs::write(at("a/b/c"), vec![9; 50_000]).expect("a/b/c");
    symlink("b/c", at("a/link")).expect("a/link");
    mknodat(CWD, at("a/pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a/pipe");
    std::os::unix::net::UnixListener::bind(at("a/socket")).expect("a/socket");
    for (name, text) in [("keep", "keep"), ("secret", "secret"), ("old", "old"), ("x1", "one"), ("x2", "two")]
    {
        fs::write(at(name), text).expect(name);
    }
    fs::set_permissions(at("secret"), fs::Permissions::from_mode(0o600)).expect("secret");
    fs::set_permissions(at("full"), fs::Permissions::from_mode(0o750)).expect("full");
    // Where the file system has attributes.
    let _ = setxattr(at("secret"), "user.note", b"kept", XattrFlags::empty());
    let _ = setxattr(at("full/x"), "user.note", b"kept too", XattrFlags::empty());
    fs::write(at("d1/h1"), "linked").expect("d1/h1");
    fs::hard_link(at("d1/h1"), at("d2/h2")).expect("d2/h2");
    fs::hard_link(at("d1/h1"), at("sub/h3")).expect("sub/h3");
    fs::write(at("patched"), vec![3; 100_000]).expect("patched");
    fs::hard_link(at("patched"), at("sub/deep/patched")).expect("sub/deep/patched");
    fs::write(at("cut"), vec![4; 90_000]).expect("cut");
    fs::write(at("emptied"), vec![5; 70_000]).expect("emptied");
    let sparse = fs::File::create(at("sparse")).expect("sparse");
    sparse.set_len(1 << 33).expect("set_len");
    for (index, path) in paths(root).iter().rev().enumerate() {
        set_modified(path, 1_000_000 + index as i64);
    }
}
