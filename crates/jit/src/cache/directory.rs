//! A directory of files of machine code, of which only what is ours alone is believed.
//!
//! Whoever can write to a file here decides what this process executes. So the directory and each file must belong to the user that the process runs as, and
//! nobody else may write to them; a file must have no other name. All of that is asked of the descriptor that is then read and mapped, never of a
//! path. That is not enough to believe a file, which also needs the code of the user's key ([`super::seal`]). Files are written whole under another name and then renamed: readers see the old one or the new one.

use std::fs::{DirBuilder, File};
use std::io::{self, BufWriter, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_NOW, flock,
    futimens, openat, renameat, statat, unlinkat,
};
use rustix::process::geteuid;

use super::key::is_file_name;
use crate::module::lock;

/// A directory that compiled code is kept in from one run to the next.
#[derive(Debug)]
pub struct CacheDirectory {
    directory: OwnedFd,
    path: PathBuf,
    limit_bytes: u64,
    /// Whether it was made when it was opened.
    is_new: bool,
    /// Bytes that may be written before all files are counted again.
    uncounted_bytes: Mutex<u64>,
}

/// How much is in a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheContents {
    /// Modules and components that there is something about.
    pub files: u64,
    /// Bytes of their files.
    pub bytes: u64,
}

/// Why a directory cannot be a cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The system refuses to make or open it.
    #[error("cannot be made or opened as a directory: {0}")]
    System(#[from] io::Error),
    /// Its name is a link, whose target others may choose.
    #[error(
        "is a symbolic link or no directory; a cache holds machine code, and must be where its name says"
    )]
    Link,
    /// It belongs to another user.
    #[error("belongs to user {owner}, and a cache holds machine code, which only this user may provide")]
    Owner {
        /// Whose it is.
        owner: u32,
    },
    /// Others may write to it.
    #[error("can be written to by others (mode {mode:04o}), and a cache holds machine code")]
    Mode {
        /// The permission bits.
        mode: u32,
    },
}

/// What others may not have: writing.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// Use is noted in the time of a file's last change, if that is longer ago.
const NOTED_EVERY: Duration = Duration::from_secs(3600);
/// Files are counted so often at least while a whole limit's bytes are written.
const COUNTED_PER_LIMIT: u64 = 16;
/// Files that were being written so long ago never will be.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(3600);

impl CacheDirectory {
    /// Bytes that a cache may have, unless somebody says otherwise.
    pub const DEFAULT_LIMIT_BYTES: u64 = 1 << 30;

    /// Opens a directory, which is made if it is not there. Files that have not been used for longest go when there are more than `limit_bytes`.
    ///
    /// # Errors
    /// [`CacheError`] where the directory cannot be opened, or where somebody else could put code there.
    pub fn open(path: &Path, limit_bytes: u64) -> Result<CacheDirectory, CacheError> {
        // Without a slash at the end, which would make the system follow a link.
        let path: PathBuf = path.components().collect();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || rustix::fs::open(&path, flags, Mode::empty());
        let mut is_new = false;
        let opened = match open() {
            Err(rustix::io::Errno::NOENT) => {
                DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
                is_new = true;
                open()
            }
            opened => opened,
        };
        let directory = opened.map_err(|error| match error {
            rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR => CacheError::Link,
            error => CacheError::System(error.into()),
        })?;
        let stat = rustix::fs::fstat(&directory).map_err(io::Error::from)?;
        if stat.st_uid != geteuid().as_raw() {
            return Err(CacheError::Owner { owner: stat.st_uid });
        }
        if stat.st_mode & WRITABLE_BY_OTHERS != 0 {
            return Err(CacheError::Mode { mode: stat.st_mode & 0o7777 });
        }
        Ok(CacheDirectory { directory, path, limit_bytes, is_new, uncounted_bytes: Mutex::new(0) })
    }

    /// Removes the directory if it was made when it was opened, and nothing is in it: nobody wanted it before, and nobody does now.
    pub fn remove_if_new(&self) {
        if self.is_new {
            // Whoever uses it meanwhile keeps it.
            let _ = std::fs::remove_dir(&self.path);
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether one of the two is inside the other, or both are the same, by whatever names. A guest must not be granted such a directory.
    #[must_use]
    pub fn overlaps(&self, other: &Path) -> bool {
        is_inside(&self.path, other) || is_inside(other, &self.path)
    }

    /// Bytes that it may have.
    #[must_use]
    pub fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    /// Keeps others from doing the same until the file is closed by this process and all that have inherited it: for whoever fills the cache in
    /// the background, where one at a time is enough. None where somebody does so already, or the system has no such locks there.
    #[must_use]
    pub fn reserve(&self) -> Option<File> {
        // A lock belongs to what was opened: not to the directory that others of this process have open.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = openat(&self.directory, ".", flags, Mode::empty()).ok()?;
        flock(&opened, FlockOperation::NonBlockingLockExclusive).ok()?;
        Some(opened.into())
    }

    /// Whether nobody has been told yet that the directory is not used, until it is cleared: that need not be said each time.
    #[must_use]
    pub fn is_first_refusal(&self) -> bool {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = openat(&self.directory, TOLD, flags, Mode::RUSR | Mode::WUSR);
        !matches!(made, Err(rustix::io::Errno::EXIST))
    }

    /// Opens a file, if it is there and ours alone; gives its length too.
    pub(crate) fn find(&self, name: &str) -> Option<(File, u64)> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = openat(&self.directory, name, flags, Mode::empty()).ok()?;
        let stat = rustix::fs::fstat(&file).ok()?;
        let is_ours = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            && stat.st_uid == geteuid().as_raw()
            && stat.st_mode & WRITABLE_BY_OTHERS == 0
            && stat.st_nlink == 1;
        if !is_ours {
            return None;
        }
        if age(&stat) > NOTED_EVERY {
            let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
            let _ = futimens(&file, &Timestamps { last_access: now, last_modification: now });
        }
        Some((file.into(), u64::try_from(stat.st_size).ok()?))
    }

    /// Writes a file of about so many bytes and puts it in the place of the one that is there. If that fails, everything is as it was.
    pub(crate) fn write(
        &self,
        name: &str,
        bytes: u64,
        fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
    ) -> io::Result<()> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        if bytes > self.limit_bytes {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let temporary = format!("{}{}-{count}", TEMPORARY, std::process::id());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.directory, &temporary, flags, Mode::RUSR | Mode::WUSR)?;
        let mut writer = BufWriter::with_capacity(1 << 16, File::from(file));
        let written = fill(&mut writer)
            .and_then(|()| writer.flush())
            .and_then(|()| Ok(renameat(&self.directory, &temporary, &self.directory, name)?));
        if written.is_err() {
            let _ = unlinkat(&self.directory, &temporary, AtFlags::empty());
        } else if self.is_count_due(bytes) {
            self.evict(name);
        }
        written
    }

    /// Whether all files are to be counted after so many bytes have been written: after the first file, and then now and then.
    fn is_count_due(&self, bytes: u64) -> bool {
        let mut left = lock(&self.uncounted_bytes);
        let is_due = *left < bytes;
        *left = if is_due { self.limit_bytes / COUNTED_PER_LIMIT } else { *left - bytes };
        is_due
    }

    /// How much there is.
    ///
    /// # Errors
    /// Of the system, where the directory cannot be read.
    pub fn contents(&self) -> io::Result<CacheContents> {
        let files = self.files()?;
        Ok(CacheContents { files: files.len() as u64, bytes: files.iter().map(|file| file.bytes).sum() })
    }

    /// Removes all files that are the cache's, and says how much there was.
    ///
    /// # Errors
    /// Of the system, where the directory cannot be read or a file not be removed.
    pub fn clear(&self) -> io::Result<CacheContents> {
        let contents = self.contents()?;
        self.remove_given_up(Duration::ZERO)?;
        let _ = unlinkat(&self.directory, TOLD, AtFlags::empty());
        for file in self.files()? {
            unlinkat(&self.directory, &file.name, AtFlags::empty())?;
        }
        Ok(contents)
    }

    /// Removes what was used longest ago, until there is room for more again; `newest` stays.
    fn evict(&self, newest: &str) {
        let Ok(mut files) = self.files() else { return };
        let mut bytes: u64 = files.iter().map(|file| file.bytes).sum();
        if bytes <= self.limit_bytes {
            return;
        }
        let _ = self.remove_given_up(GIVEN_UP_AFTER);
        files.sort_by_key(|file| file.used);
        for file in files.iter().filter(|file| file.name != newest) {
            if bytes <= self.limit_bytes / 4 * 3 {
                break;
            }
            if unlinkat(&self.directory, &file.name, AtFlags::empty()).is_ok() {
                bytes -= file.bytes;
            }
        }
    }

    fn files(&self) -> io::Result<Vec<Entry>> {
        let mut files = Vec::new();
        for entry in Dir::read_from(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if !is_file_name(name.to_bytes()) {
                continue;
            }
            // One that is gone meanwhile is none.
            let Ok(stat) = statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            files.push(Entry {
                name: name.to_string_lossy().into_owned(),
                bytes: u64::try_from(stat.st_size).unwrap_or(0),
                used: changed(&stat),
            });
        }
        Ok(files)
    }

    /// Removes files that somebody has begun to write, at least so long ago, and given up.
    fn remove_given_up(&self, after: Duration) -> io::Result<()> {
        for entry in Dir::read_from(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if name.to_bytes().starts_with(TEMPORARY.as_bytes())
                && let Ok(stat) = statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW)
                && age(&stat) >= after
            {
                let _ = unlinkat(&self.directory, name, AtFlags::empty());
            }
        }
        Ok(())
    }
}

/// What names of files that are being written begin with.
const TEMPORARY: &str = ".writing-";

/// What the file is called that says that somebody has been told; it is empty.
const TOLD: &str = ".told-not-used";

/// Whether `path` is `outer` or beneath it; directories are compared by what they are, not by name.
fn is_inside(path: &Path, outer: &Path) -> bool {
    let identity = |path: &Path| path.metadata().ok().map(|found| (found.dev(), found.ino()));
    let (Some(outer), Ok(path)) = (identity(outer), path.canonicalize()) else { return false };
    path.ancestors().any(|ancestor| identity(ancestor) == Some(outer))
}

struct Entry {
    name: String,
    bytes: u64,
    used: SystemTime,
}

fn changed(stat: &Stat) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(0))
}

fn age(stat: &Stat) -> Duration {
    SystemTime::now().duration_since(changed(stat)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "0000000000000000000000000000000000000000000000000000000000000000.code";

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn put(directory: &CacheDirectory, bytes: &[u8]) {
        directory.write(NAME, bytes.len() as u64, |to| to.write_all(bytes)).unwrap();
    }

    #[test]
    fn c6_no_room_leaves_what_was_there() {
        let path = tempfile::tempdir().unwrap();
        let directory = CacheDirectory::open(path.path(), 1 << 20).unwrap();
        put(&directory, b"old");
        let full = directory.write(NAME, 3, |to| {
            to.write_all(&[0; 1 << 17])?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
        let too_much = directory.write(NAME, 2 << 20, |_| Ok(()));
        assert_eq!(too_much.unwrap_err().kind(), io::ErrorKind::QuotaExceeded);
        assert_eq!(names(path.path()), [NAME]);
        assert_eq!(std::fs::read(path.path().join(NAME)).unwrap(), b"old");
    }

    /// The test below starts itself again with this set, to be killed.
    const KILLED_IN: &str = "INNKEEPER_TEST_KILLED_IN";

    #[test]
    fn c6_killed_while_writing_leaves_what_was_there() {
        if let Some(path) = std::env::var_os(KILLED_IN) {
            let directory = CacheDirectory::open(Path::new(&path), 1 << 20).unwrap();
            let _ = directory.write(NAME, 3, |to| {
                to.write_all(&[0; 1 << 17])?;
                rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)?;
                Ok(())
            });
            return;
        }
        let path = tempfile::tempdir().unwrap();
        let directory = CacheDirectory::open(path.path(), 1 << 20).unwrap();
        put(&directory, b"old");
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "cache::directory::tests::c6_killed_while_writing_leaves_what_was_there"])
            .env(KILLED_IN, path.path())
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
        assert_eq!(names(path.path()).len(), 2, "what was being written is left behind");
        assert_eq!(directory.contents().unwrap(), CacheContents { files: 1, bytes: 3 });
        assert_eq!(std::fs::read(path.path().join(NAME)).unwrap(), b"old");
        directory.clear().unwrap();
        assert_eq!(names(path.path()).len(), 0);
    }

    #[test]
    fn c5_what_was_opened_is_what_is_read() {
        let path = tempfile::tempdir().unwrap();
        let directory = CacheDirectory::open(path.path(), 1 << 20).unwrap();
        put(&directory, b"old");
        let (file, bytes) = directory.find(NAME).unwrap();
        put(&directory, b"newer");
        assert_eq!((bytes, io::read_to_string(file).unwrap().as_str()), (3, "old"));
    }

    #[test]
    fn c7_directories_overlap_by_what_they_are() {
        let path = tempfile::tempdir().unwrap();
        let inner = path.path().join("a/b");
        let directory = CacheDirectory::open(&inner, 1 << 20).unwrap();
        std::fs::create_dir(inner.join("c")).unwrap();
        std::fs::create_dir(path.path().join("other")).unwrap();
        let link = path.path().join("other/link");
        std::os::unix::fs::symlink(path.path().join("a"), &link).unwrap();
        for granted in ["", "a", "a/b", "a/b/c", "a/../a/b/", "other/link", "other/link/b"] {
            assert!(directory.overlaps(&path.path().join(granted)), "{granted:?}");
        }
        for granted in ["other", "missing"] {
            assert!(!directory.overlaps(&path.path().join(granted)), "{granted:?}");
        }
    }
}
