//! The user's own key, by which a file of machine code is known to come from one of this user's runs.
//!
//! A digest says that a file is whole, not who wrote it: whoever can put a file into a cache could compute it. So the head of a file in a cache has a code that
//! only who knows the key can make. The key is made once, at random, in a directory of its own outside of every cache, and is readable by this user alone.
//!
//! Must stay true: what is believed of key and directory is asked of their descriptors, never of a path; a key is there whole or not at all, and is never replaced.
//! Files of `inn compile` have no such code: whoever runs one vouches for it.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use blake3::Hash;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RenameFlags, Stat, fstat, linkat, openat, renameat_with, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;
use rustix::rand::{GetRandomFlags, getrandom};

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// What the key is called in its directory.
const NAME: &str = CacheSeal::FILE_NAME;
/// What others may not do with the directory: write to it.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// What others may not do with the key: anything.
const OPEN_TO_OTHERS: u32 = 0o077;

/// A key that files of a cache are authenticated with. Whoever reads it can make files that are executed.
#[derive(Clone)]
pub struct CacheSeal {
    key: [u8; KEY_BYTES],
    directory: PathBuf,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum CacheSealError {
    /// The system refuses to make, open or read the key or its directory.
    #[error("cannot be made or read: {0}")]
    System(#[from] io::Error),
    /// The directory is a link, or something else.
    #[error("is a symbolic link or no directory")]
    Link,
    /// The directory or the key belongs to another user.
    #[error("belongs to user {owner}")]
    Owner {
        /// Whose it is.
        owner: u32,
    },
    /// Others can write to the directory, or read the key.
    #[error("is open to others (mode {mode:04o})")]
    Mode {
        /// The permission bits.
        mode: u32,
    },
    /// The key is no file of its own with as many bytes as a key has.
    #[error("holds something else than a key: remove it, and the next run makes a new one")]
    Foreign,
}

impl CacheSeal {
    /// What the file of the key is called in its directory.
    pub const FILE_NAME: &'static str = "key";

    /// The key in a directory; both are made if they are not there.
    ///
    /// # Errors
    /// [`CacheSealError`] where they cannot be made or read, or where others could read or replace the key.
    pub fn in_directory(path: &Path) -> Result<CacheSeal, CacheSealError> {
        // Without a slash at the end, which would make the system follow a link.
        let path: PathBuf = path.components().collect();
        let directory = open_directory(&path)?;
        let key = match read(&directory)? {
            Some(key) => key,
            None => {
                make(&directory)?;
                read(&directory)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?
            }
        };
        Ok(CacheSeal { key, directory: path })
    }

    /// The directory that the key is in. No guest may read or change what is there.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Another key for something else, of which this one cannot be told: the same each time, for a context that nothing else has.
    #[must_use]
    pub fn derive(&self, context: &str) -> [u8; 32] {
        blake3::derive_key(context, &self.key)
    }

    /// What only this key makes of these bytes.
    pub(crate) fn code_of(&self, bytes: &[u8]) -> Hash {
        blake3::keyed_hash(&self.key, bytes)
    }
}

impl std::fmt::Debug for CacheSeal {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CacheSeal").field("directory", &self.directory).finish_non_exhaustive()
    }
}

fn open_directory(path: &Path) -> Result<OwnedFd, CacheSealError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || rustix::fs::open(path, flags, Mode::empty());
    let opened = match open() {
        Err(Errno::NOENT) => {
            DirBuilder::new().recursive(true).mode(0o700).create(path)?;
            open()
        }
        opened => opened,
    };
    let directory = opened.map_err(|error| match error {
        Errno::LOOP | Errno::NOTDIR => CacheSealError::Link,
        error => CacheSealError::System(error.into()),
    })?;
    check(&fstat(&directory).map_err(io::Error::from)?, WRITABLE_BY_OTHERS)?;
    Ok(directory)
}

/// The key, if there is one.
fn read(directory: &OwnedFd) -> Result<Option<[u8; KEY_BYTES]>, CacheSealError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match openat(directory, NAME, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => return Err(CacheSealError::Foreign),
        opened => opened.map_err(io::Error::from)?,
    };
    let stat = fstat(&file).map_err(io::Error::from)?;
    check(&stat, OPEN_TO_OTHERS)?;
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    if !is_file || stat.st_nlink != 1 || stat.st_size != KEY_BYTES as i64 {
        return Err(CacheSealError::Foreign);
    }
    let mut key = [0; KEY_BYTES];
    File::from(file).read_exact_at(&mut key, 0)?;
    Ok(Some(key))
}

fn check(stat: &Stat, forbidden: u32) -> Result<(), CacheSealError> {
    if stat.st_uid != geteuid().as_raw() {
        return Err(CacheSealError::Owner { owner: stat.st_uid });
    }
    if stat.st_mode & forbidden != 0 {
        return Err(CacheSealError::Mode { mode: stat.st_mode & 0o7777 });
    }
    Ok(())
}

/// Makes a key under another name, and gives it its own if nobody else has been first.
fn make(directory: &OwnedFd) -> Result<(), CacheSealError> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut key = [0; KEY_BYTES];
    let mut filled = 0;
    while filled < KEY_BYTES {
        match getrandom(&mut key[filled..], GetRandomFlags::empty()) {
            Err(Errno::INTR) => {}
            taken => filled += taken.map_err(io::Error::from)?,
        }
    }
    let temporary = format!(".making-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || openat(directory, &temporary, flags, Mode::RUSR | Mode::WUSR);
    let mut file = match open() {
        // Of a process that had the same number and was ended here.
        Err(Errno::EXIST) => {
            let _ = unlinkat(directory, &temporary, AtFlags::empty());
            open()
        }
        opened => opened,
    }
    .map(File::from)
    .map_err(io::Error::from)?;
    let made = file.write_all(&key).and_then(|()| file.sync_all()).and_then(|()| name(directory, &temporary));
    let _ = unlinkat(directory, &temporary, AtFlags::empty());
    Ok(made?)
}

/// Calls the file `temporary` a key, unless there is one: then that is the key.
fn name(directory: &OwnedFd, temporary: &str) -> io::Result<()> {
    match renameat_with(directory, temporary, directory, NAME, RenameFlags::NOREPLACE) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        // Not every file system can rename so. Until the other name goes, the key has two, and is not believed.
        Err(Errno::INVAL | Errno::NOSYS) => {
            match linkat(directory, temporary, directory, NAME, AtFlags::empty()) {
                Ok(()) | Err(Errno::EXIST) => Ok(()),
                Err(error) => Err(error.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::sync::Barrier;

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn y4_a_key_is_made_once_and_for_its_user_alone() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/seal");
        let first = CacheSeal::in_directory(&path).unwrap();
        let found = |name: &str| std::fs::metadata(path.join(name)).unwrap().mode() & 0o7777;
        assert_eq!((found(""), found(NAME)), (0o700, 0o600));
        assert_eq!(names(&path), [NAME]);
        assert_eq!(first.key, CacheSeal::in_directory(&path).unwrap().key);
        let other = CacheSeal::in_directory(&parent.path().join("b")).unwrap();
        assert_ne!(first.key, other.key);
        let derived = first.derive("a");
        assert!(derived == CacheSeal::in_directory(&path).unwrap().derive("a"));
        assert!(![first.derive("b"), other.derive("a"), first.key].contains(&derived));
        assert!(!format!("{first:?}").contains(&format!("{:?}", first.key[0])), "{first:?}");
    }

    #[test]
    fn y4_those_who_make_a_key_at_the_same_time_get_the_same() {
        for _ in 0..20 {
            let parent = tempfile::tempdir().unwrap();
            let path = parent.path().join("seal");
            let start = Barrier::new(8);
            let keys: Vec<[u8; KEY_BYTES]> = std::thread::scope(|scope| {
                let made = || {
                    start.wait();
                    CacheSeal::in_directory(&path).unwrap().key
                };
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(made)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert!(keys.iter().all(|key| *key == keys[0]));
            assert_eq!(names(&path), [NAME]);
        }
    }

    #[test]
    fn y4_a_key_that_others_could_know_or_replace_is_not_used() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("seal");
        let original = CacheSeal::in_directory(&path).unwrap().key;
        let key = path.join(NAME);
        let mode = |of: &Path, mode| std::fs::set_permissions(of, PermissionsExt::from_mode(mode)).unwrap();
        let refused = || CacheSeal::in_directory(&path).unwrap_err();
        for bits in [0o640, 0o604, 0o620, 0o666] {
            mode(&key, bits);
            assert!(matches!(refused(), CacheSealError::Mode { mode } if mode == bits), "{bits:o}");
        }
        mode(&key, 0o600);
        for bits in [0o720, 0o702, 0o1777] {
            mode(&path, bits);
            assert!(matches!(refused(), CacheSealError::Mode { mode } if mode == bits), "{bits:o}");
        }
        mode(&path, 0o700);
        // Another name, through which somebody could write to it.
        std::fs::hard_link(&key, parent.path().join("second")).unwrap();
        assert!(matches!(refused(), CacheSealError::Foreign));
        std::fs::remove_file(parent.path().join("second")).unwrap();
        for contents in [&original[..31], &[&original[..], &[0]].concat(), &[]] {
            std::fs::write(&key, contents).unwrap();
            assert!(matches!(refused(), CacheSealError::Foreign));
        }
        std::fs::remove_file(&key).unwrap();
        std::fs::write(parent.path().join("planted"), original).unwrap();
        symlink(parent.path().join("planted"), &key).unwrap();
        assert!(matches!(refused(), CacheSealError::Foreign));
        std::fs::rename(&path, parent.path().join("moved")).unwrap();
        symlink(parent.path().join("moved"), &path).unwrap();
        assert!(matches!(refused(), CacheSealError::Link));
        if geteuid().is_root() {
            std::fs::remove_file(&path).unwrap();
            std::fs::rename(parent.path().join("moved"), &path).unwrap();
            std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
            assert!(matches!(refused(), CacheSealError::Owner { owner: 12345 }));
        }
    }
}
