//! A guest for tests: a memory of bytes, and the functions of WASI 0.1 called on it the way a guest would.
//!
//! Also a sandbox on disk (`in/` granted, `out/` not) whose outside can be compared before and after. Not every test uses everything.
#![allow(dead_code, missing_docs, unreachable_pub)]

pub mod populated;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use innkeeper_wasi::keys::{Access, Keys, KeysBuilder, ProbeAnswer, WasiTuning};
use innkeeper_wasi::p1::{Context, Errno, Exit, GuestMemory, Version, call};

pub const MEMORY_BYTES: usize = 1 << 18;
pub const READ: u64 = 1 << 1;
pub const WRITE: u64 = 1 << 6;
pub const CREAT: u32 = 1;
pub const DIRECTORY: u32 = 2;
pub const EXCL: u32 = 4;
pub const TRUNC: u32 = 8;
pub const FOLLOW: u32 = 1;
pub const APPEND: u32 = 1;
pub const NONBLOCK: u32 = 4;

/// A result as a guest sees it: an error number.
pub type Answer<T> = Result<T, i32>;

pub struct TestGuest {
    pub cx: Context,
    pub memory: Vec<u8>,
    next: usize,
    pub version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    pub ino: u64,
    pub filetype: u8,
    pub nlink: u64,
    pub size: u64,
    pub atim: u64,
    pub mtim: u64,
}

impl TestGuest {
    pub fn new(keys: &Keys) -> TestGuest {
        let cx = Context::new(keys).expect("keys open");
        TestGuest { cx, memory: vec![0; MEMORY_BYTES], next: 1024, version: Version::Preview1 }
    }

    /// Copies bytes to fresh guest memory; memory is never freed, only begun anew.
    pub fn put(&mut self, bytes: &[u8]) -> u64 {
        if self.next + bytes.len() + 64 > self.memory.len() {
            self.next = 1024;
        }
        let at = self.next;
        self.memory[at..at + bytes.len()].copy_from_slice(bytes);
        self.next += (bytes.len() + 15) & !7;
        at as u64
    }

    pub fn call_raw(&mut self, name: &str, parameters: &[u64]) -> Result<i32, Exit> {
        let mut memory = GuestMemory::new(&mut self.memory);
        call(self.version, name, &mut self.cx, &mut memory, parameters).expect("known function")
    }

    pub fn call(&mut self, name: &str, parameters: &[u64]) -> Answer<()> {
        match self.call_raw(name, parameters).expect("no exit") {
            0 => Ok(()),
            errno => Err(errno),
        }
    }

    pub fn u32_at(&self, at: u64) -> u32 {
        let at = at as usize;
        u32::from_le_bytes(self.memory[at..at + 4].try_into().expect("4 bytes"))
    }

    pub fn u64_at(&self, at: u64) -> u64 {
        let at = at as usize;
        u64::from_le_bytes(self.memory[at..at + 8].try_into().expect("8 bytes"))
    }

    /// Calls a function whose fixed parameters are followed by a path.
    fn with_path(&mut self, name: &str, before: &[u64], path: &[u8], after: &[u64]) -> Answer<()> {
        let at = self.put(path);
        let parameters = [before, &[at, path.len() as u64], after].concat();
        self.call(name, &parameters)
    }

    pub fn open(&mut self, dir: u32, path: &str, how: Open) -> Answer<u32> {
        self.open_bytes(dir, path.as_bytes(), how)
    }

    pub fn open_bytes(&mut self, dir: u32, path: &[u8], how: Open) -> Answer<u32> {
        let result = self.put(&[0; 4]);
        let after = [how.oflags.into(), how.rights, u64::MAX, how.fdflags.into(), result];
        self.with_path("path_open", &[dir.into(), how.lookup.into()], path, &after)?;
        Ok(self.u32_at(result))
    }

    pub fn close(&mut self, fd: u32) -> Answer<()> {
        self.call("fd_close", &[fd.into()])
    }

    pub fn read(&mut self, fd: u32, length: usize) -> Answer<Vec<u8>> {
        let buffer = self.put(&vec![0; length]);
        let vector = self.vector(&[(buffer, length)]);
        let result = self.put(&[0; 4]);
        self.call("fd_read", &[fd.into(), vector, 1, result])?;
        let count = self.u32_at(result) as usize;
        Ok(self.memory[buffer as usize..buffer as usize + count].to_vec())
    }

    pub fn vector(&mut self, buffers: &[(u64, usize)]) -> u64 {
        let mut bytes = Vec::new();
        for (at, length) in buffers {
            bytes.extend((*at as u32).to_le_bytes());
            bytes.extend((*length as u32).to_le_bytes());
        }
        self.put(&bytes)
    }

    pub fn write(&mut self, fd: u32, bytes: &[u8]) -> Answer<u32> {
        let buffer = self.put(bytes);
        let vector = self.vector(&[(buffer, bytes.len())]);
        let result = self.put(&[0; 4]);
        self.call("fd_write", &[fd.into(), vector, 1, result])?;
        Ok(self.u32_at(result))
    }

    pub fn pwrite(&mut self, fd: u32, bytes: &[u8], offset: u64) -> Answer<u32> {
        let buffer = self.put(bytes);
        let vector = self.vector(&[(buffer, bytes.len())]);
        let result = self.put(&[0; 4]);
        self.call("fd_pwrite", &[fd.into(), vector, 1, offset, result])?;
        Ok(self.u32_at(result))
    }

    pub fn seek(&mut self, fd: u32, offset: i64, whence: u64) -> Answer<u64> {
        let result = self.put(&[0; 8]);
        self.call("fd_seek", &[fd.into(), offset as u64, whence, result])?;
        Ok(self.u64_at(result))
    }

    pub fn stat(&mut self, dir: u32, lookup: u32, path: &str) -> Answer<Stat> {
        let result = self.put(&[0; 64]);
        self.with_path("path_filestat_get", &[dir.into(), lookup.into()], path.as_bytes(), &[result])?;
        Ok(self.stat_at(result))
    }

    pub fn fd_stat(&mut self, fd: u32) -> Answer<Stat> {
        let result = self.put(&[0; 64]);
        self.call("fd_filestat_get", &[fd.into(), result])?;
        Ok(self.stat_at(result))
    }

    fn stat_at(&self, at: u64) -> Stat {
        Stat {
            ino: self.u64_at(at + 8),
            filetype: self.memory[at as usize + 16],
            nlink: self.u64_at(at + 24),
            size: self.u64_at(at + 32),
            atim: self.u64_at(at + 40),
            mtim: self.u64_at(at + 48),
        }
    }

    pub fn set_times(&mut self, dir: u32, lookup: u32, path: &str) -> Answer<()> {
        self.with_path(
            "path_filestat_set_times",
            &[dir.into(), lookup.into()],
            path.as_bytes(),
            &[1, 2, 1 | 4],
        )
    }

    pub fn mkdir(&mut self, dir: u32, path: &str) -> Answer<()> {
        self.with_path("path_create_directory", &[dir.into()], path.as_bytes(), &[])
    }

    pub fn rmdir(&mut self, dir: u32, path: &str) -> Answer<()> {
        self.with_path("path_remove_directory", &[dir.into()], path.as_bytes(), &[])
    }

    pub fn unlink(&mut self, dir: u32, path: &str) -> Answer<()> {
        self.with_path("path_unlink_file", &[dir.into()], path.as_bytes(), &[])
    }

    pub fn symlink(&mut self, target: &str, dir: u32, path: &str) -> Answer<()> {
        let target_at = self.put(target.as_bytes());
        let before = [target_at, target.len() as u64, dir.into()];
        self.with_path("path_symlink", &before, path.as_bytes(), &[])
    }

    pub fn readlink(&mut self, dir: u32, path: &str) -> Answer<String> {
        let buffer = self.put(&[0; 512]);
        let result = self.put(&[0; 4]);
        self.with_path("path_readlink", &[dir.into()], path.as_bytes(), &[buffer, 512, result])?;
        let count = self.u32_at(result) as usize;
        let at = buffer as usize;
        Ok(String::from_utf8(self.memory[at..at + count].to_vec()).expect("UTF-8"))
    }

    pub fn rename(&mut self, from: (u32, &str), to: (u32, &str)) -> Answer<()> {
        let from_at = self.put(from.1.as_bytes());
        let before = [from.0.into(), from_at, from.1.len() as u64, to.0.into()];
        self.with_path("path_rename", &before, to.1.as_bytes(), &[])
    }

    pub fn link(&mut self, lookup: u32, from: (u32, &str), to: (u32, &str)) -> Answer<()> {
        let from_at = self.put(from.1.as_bytes());
        let before = [from.0.into(), lookup.into(), from_at, from.1.len() as u64, to.0.into()];
        self.with_path("path_link", &before, to.1.as_bytes(), &[])
    }

    pub fn rights(&mut self, fd: u32) -> Answer<(u64, u64)> {
        let result = self.put(&[0; 24]);
        self.call("fd_fdstat_get", &[fd.into(), result])?;
        Ok((self.u64_at(result + 8), self.u64_at(result + 16)))
    }

    pub fn fdflags(&mut self, fd: u32) -> Answer<u16> {
        let result = self.put(&[0; 24]);
        self.call("fd_fdstat_get", &[fd.into(), result])?;
        Ok((self.u32_at(result) >> 16) as u16)
    }

    /// One call of `fd_readdir`: complete entries as (next cookie, inode, type, name), and bytes used.
    pub fn readdir(&mut self, fd: u32, length: usize, cookie: u64) -> Answer<(Vec<Entry>, usize)> {
        let buffer = self.put(&vec![0; length]);
        let result = self.put(&[0; 4]);
        self.call("fd_readdir", &[fd.into(), buffer, length as u64, cookie, result])?;
        let used = self.u32_at(result) as usize;
        let mut entries = Vec::new();
        let mut at = buffer;
        let end = buffer + used as u64;
        while at + 24 <= end {
            let name_end = at + 24 + u64::from(self.u32_at(at + 16));
            if name_end > end {
                break;
            }
            let name = &self.memory[at as usize + 24..name_end as usize];
            entries.push(Entry {
                next: self.u64_at(at),
                ino: self.u64_at(at + 8),
                filetype: self.memory[at as usize + 20],
                name: String::from_utf8(name.to_vec()).expect("UTF-8"),
            });
            at = name_end;
        }
        Ok((entries, used))
    }

    /// Every name in a directory, through a buffer of this size.
    pub fn list(&mut self, fd: u32, length: usize) -> Vec<String> {
        let mut names = Vec::new();
        let mut cookie = 0;
        loop {
            let (entries, used) = self.readdir(fd, length, cookie).expect("readdir");
            names.extend(entries.iter().map(|entry| entry.name.clone()));
            match entries.last() {
                Some(last) => cookie = last.next,
                None => return names,
            }
            if used < length {
                return names;
            }
        }
    }
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub next: u64,
    pub ino: u64,
    pub filetype: u8,
    pub name: String,
}

/// How a test opens a path.
#[derive(Clone, Copy, Default)]
pub struct Open {
    pub lookup: u32,
    pub oflags: u32,
    pub rights: u64,
    pub fdflags: u32,
}

pub const fn open_for(rights: u64, oflags: u32) -> Open {
    Open { lookup: 0, oflags, rights, fdflags: 0 }
}

pub const fn number(errno: Errno) -> i32 {
    errno as i32
}

/// A directory `in` that is granted beside a directory `out` that is not.
pub struct Sandbox {
    pub temporary: tempfile::TempDir,
    /// How `in` is granted.
    pub access: Access,
    outside: BTreeMap<PathBuf, String>,
}

impl Sandbox {
    pub fn new() -> Sandbox {
        let temporary = tempfile::tempdir().expect("temporary directory");
        let root = temporary.path();
        fs::create_dir_all(root.join("out/sub")).expect("out");
        fs::write(root.join("out/secret"), "secret").expect("secret");
        fs::write(root.join("out/sub/f"), "deep secret").expect("deep secret");
        fs::create_dir_all(root.join("in/a/b")).expect("in");
        fs::write(root.join("in/f"), "inside").expect("f");
        fs::write(root.join("in/a/b/f"), "deep inside").expect("deep f");
        let outside = snapshot(&root.join("out"));
        Sandbox { temporary, access: Access::ReadWrite, outside }
    }

    pub fn inside(&self) -> PathBuf {
        self.temporary.path().join("in")
    }

    pub fn outside(&self) -> PathBuf {
        self.temporary.path().join("out")
    }

    /// A symbolic link in the granted directory.
    pub fn link(&self, target: impl AsRef<Path>, name: &str) {
        symlink(target, self.inside().join(name)).expect("symlink");
    }

    pub fn keys(&self, tuning: &WasiTuning) -> KeysBuilder {
        Keys::builder().dir(self.inside(), "/in", self.access).tuning(tuning.clone())
    }

    /// Fails unless everything outside is as it was, byte and time.
    pub fn check_outside(&self, case: &str) {
        assert_eq!(snapshot(&self.outside()), self.outside, "{case}: the tree outside has changed");
        let mut names: Vec<_> = fs::read_dir(self.temporary.path())
            .expect("root")
            .map(|entry| entry.expect("entry").file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["in", "out"], "{case}: something was created outside");
    }
}

/// Everything in a tree: kinds, sizes, times of change, contents.
pub fn snapshot(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut tree = BTreeMap::new();
    let mut todo = vec![root.to_path_buf()];
    while let Some(path) = todo.pop() {
        let metadata = fs::symlink_metadata(&path).expect("metadata");
        let content = if metadata.is_dir() {
            todo.extend(fs::read_dir(&path).expect("list").map(|entry| entry.expect("entry").path()));
            String::new()
        } else if metadata.is_symlink() {
            format!("{:?}", fs::read_link(&path))
        } else {
            format!("{:?}", fs::read(&path))
        };
        let text = format!(
            "{:o} {} {} {}.{} {}.{} {content}",
            metadata.mode(),
            metadata.size(),
            metadata.nlink(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.ctime(),
            metadata.ctime_nsec()
        );
        tree.insert(path, text);
    }
    tree
}

/// The three ways in which paths are resolved: `openat2`, and the walker after each answer to the probe that leads to it.
pub fn resolvers() -> Vec<(&'static str, WasiTuning)> {
    vec![
        ("openat2", WasiTuning::default()),
        ("probe=ENOSYS", WasiTuning::with_probe(ProbeAnswer::Enosys)),
        ("probe=EPERM", WasiTuning::with_probe(ProbeAnswer::Eperm)),
    ]
}

/// Runs `case` in a fresh sandbox for each resolver and each kind of writable directory.
pub fn for_each_kind(case: impl Fn(&str, &Sandbox, &WasiTuning)) {
    for_each_resolver(&case);
    for (name, tuning) in resolvers() {
        let sandbox = Sandbox { access: Access::CopyOnWrite, ..Sandbox::new() };
        case(&format!("{name} cow"), &sandbox, &tuning);
        sandbox.check_outside(name);
    }
}

/// Runs `case` in a fresh sandbox for each resolver.
pub fn for_each_resolver(case: impl Fn(&str, &Sandbox, &WasiTuning)) {
    for (name, tuning) in resolvers() {
        let sandbox = Sandbox::new();
        case(name, &sandbox, &tuning);
        sandbox.check_outside(name);
    }
}

/// Host descriptors that this process has open.
pub fn host_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("/proc/self/fd").count()
}

/// Something that is mounted until this is dropped.
pub struct Mounted(PathBuf);

impl Mounted {
    /// Mounts a directory or file at another place, too.
    #[track_caller]
    pub fn bind(from: &Path, to: &Path) -> Mounted {
        let mounted = Command::new("mount").arg("--bind").args([from, to]).status();
        assert!(mounted.expect("mount runs").success(), "{} on {}", from.display(), to.display());
        Mounted(to.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Runs a test's case in a process with mounts of its own: this test program again, with nothing but that test. Where the system forbids such processes, it says so.
pub fn in_own_mounts(test: &str, case: impl FnOnce()) {
    const IS_INSIDE: &str = "INNKEEPER_TEST_HAS_OWN_MOUNTS";
    if std::env::var_os(IS_INSIDE).is_some() {
        return case();
    }
    let unshare = |flags: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(flags).args(["--mount", "--propagation", "private"]);
        command
    };
    let works = |flags: &&[&str]| unshare(flags).arg("true").output().is_ok_and(|ran| ran.status.success());
    let Some(flags) = [&[][..], &["--user", "--map-root-user"]].into_iter().find(|flags| works(flags)) else {
        eprintln!(
            "KNOWN GAP: {test} was not tried: this system lets nobody mount anything (unshare --mount)"
        );
        return;
    };
    let itself = std::env::current_exe().expect("this program");
    let ran = unshare(flags).arg(itself).args(["--exact", test, "--nocapture"]).env(IS_INSIDE, "1").output();
    let ran = ran.expect("unshare runs");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(ran.status.success(), "{}{}", said(&ran.stdout), said(&ran.stderr));
    assert!(said(&ran.stdout).contains("1 passed"), "{test} is no test: {}", said(&ran.stdout));
}
