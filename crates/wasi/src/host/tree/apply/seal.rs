//! By what unfinished changes are known to be those that one of this user's own runs has left.
//!
//! A checksum says that a journal is whole, not who wrote it, and whoever can write beneath the directory could put one there. So journal and phase have a
//! code that only who knows the user's key can make. It is bound to the directory and to the staging directory in it, so that a copy of either is not believed: by their
//! numbers on the file system, and by the random name of the staging directory. What the system says of the device is no part of it: after it was restarted or the file
//! system mounted again, that may be another number, and just then there is something to finish.
//!
//! What this is not: the place of the key. Who uses this library says what the key is, and keeps it from guests.

use std::os::fd::BorrowedFd;

use blake3::{Hash, Hasher};

use crate::host::error::Error;
use crate::host::gate::Permit;
use crate::host::sys;

/// The user's key to unfinished changes. Whoever knows it can say what `finish_apply` does.
#[derive(Clone)]
pub struct ChangesSeal([u8; 32]);

impl ChangesSeal {
    /// A seal with this key, which is to be the user's alone, used for nothing else, and the same in every process that makes or finishes changes.
    #[must_use]
    pub const fn with_key(key: [u8; 32]) -> ChangesSeal {
        ChangesSeal(key)
    }
}

impl std::fmt::Debug for ChangesSeal {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChangesSeal").finish_non_exhaustive()
    }
}

/// Which unfinished changes are believed to be the user's own.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Trust<'a> {
    /// Those with this seal.
    Sealed(&'a ChangesSeal),
    /// All: somebody has looked at them and vouches for them, or there is no key.
    All,
}

/// A file in a staging directory, as it was found.
#[derive(Debug)]
pub(super) enum Kept<T> {
    /// There is none.
    Absent,
    /// It is not whole, or says what makes no sense.
    Damaged,
    /// It is whole, and nobody knows who wrote it.
    Foreign,
    /// It is whole, and believed.
    Believed(T),
}

/// A seal for the files of one staging directory.
#[derive(Clone, Debug)]
pub(super) struct Sealer<'a> {
    trust: Trust<'a>,
    /// The numbers of the directory and of the staging directory on their file system.
    places: [u64; 2],
    /// The name of the staging directory, which is random.
    name: Vec<u8>,
}

/// What stands for the code of who has no key.
const NO_CODE: &str = "-";

impl<'a> Sealer<'a> {
    pub(super) fn new(
        permit: &Permit,
        trust: Trust<'a>,
        (top, staging, name): (BorrowedFd<'_>, BorrowedFd<'_>, &[u8]),
    ) -> Result<Sealer<'a>, Error> {
        let [top, staging] = [sys::stat(permit, top)?, sys::stat(permit, staging)?];
        Ok(Sealer { trust, places: [top.inode, staging.inode], name: name.to_vec() })
    }

    /// The text with a line after it that says that it is whole, and whose.
    pub(super) fn seal(&self, text: &str) -> String {
        let checksum = blake3::hash(text.as_bytes()).to_hex();
        let code = match self.trust {
            Trust::Sealed(seal) => self.code(seal, text).to_string(),
            Trust::All => String::from(NO_CODE),
        };
        format!("{text}sealed {checksum} {code}\n")
    }

    /// The text without that line, if it can be believed.
    pub(super) fn open<'t>(&self, sealed: &'t str) -> Kept<&'t str> {
        let Some((text, checksum, code)) = taken_apart(sealed) else { return Kept::Damaged };
        if checksum != blake3::hash(text.as_bytes()).to_hex().as_str() {
            return Kept::Damaged;
        }
        match self.trust {
            Trust::All => Kept::Believed(text),
            // The comparison of hashes takes the same time wherever they differ.
            Trust::Sealed(seal) if Hash::from_hex(code).is_ok_and(|code| code == self.code(seal, text)) => {
                Kept::Believed(text)
            }
            Trust::Sealed(_) => Kept::Foreign,
        }
    }

    fn code(&self, ChangesSeal(key): &ChangesSeal, text: &str) -> Hash {
        let mut hasher = Hasher::new_keyed(key);
        for number in self.places {
            hasher.update(&number.to_le_bytes());
        }
        // With its length, so that none of the name is taken for text.
        hasher.update(&(self.name.len() as u64).to_le_bytes()).update(&self.name);
        hasher.update(text.as_bytes()).finalize()
    }
}

/// The text, its checksum and its code.
fn taken_apart(sealed: &str) -> Option<(&str, &str, &str)> {
    let end = sealed.strip_suffix('\n')?.rfind('\n').map_or(0, |at| at + 1);
    let (text, last) = sealed.split_at(end);
    let (checksum, code) = last.strip_suffix('\n')?.strip_prefix("sealed ")?.split_once(' ')?;
    Some((text, checksum, code))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn only_the_same_key_in_the_same_place_is_believed() {
        let [seal, other] = [[1; 32], [2; 32]].map(ChangesSeal::with_key);
        let sealer = |seal, places, name: &str| Sealer {
            trust: Trust::Sealed(seal),
            places,
            name: name.as_bytes().to_vec(),
        };
        let mine = sealer(&seal, [1, 2], "name");
        let sealed = mine.seal("a\nb\n");
        assert!(matches!(mine.open(&sealed), Kept::Believed("a\nb\n")));
        for (places, name) in [([0, 2], "name"), ([1, 0], "name"), ([1, 2], "nam"), ([1, 2], "namea")] {
            assert!(matches!(sealer(&seal, places, name).open(&sealed), Kept::Foreign), "{places:?} {name}");
        }
        assert!(matches!(sealer(&other, [1, 2], "name").open(&sealed), Kept::Foreign));
        let everybody = Sealer { trust: Trust::All, places: [0; 2], name: Vec::new() };
        assert!(matches!(everybody.open(&sealed), Kept::Believed("a\nb\n")));
        let unsealed = everybody.seal("a\nb\n");
        assert!(matches!(mine.open(&unsealed), Kept::Foreign));
        for (sealer, sealed) in [(&mine, sealed), (&everybody, unsealed)] {
            for end in 0..sealed.len() {
                assert!(matches!(sealer.open(&sealed[..end]), Kept::Damaged), "{end}");
            }
            assert!(matches!(sealer.open(&sealed.replacen('a', "c", 1)), Kept::Damaged));
        }
        assert!(!format!("{seal:?}").contains('1'), "{seal:?}");
    }

    /// A seal from before a restart is known after it, when the system has given the device another number. The expected text is computed here from the
    /// numbers that the file system keeps, so that nothing else can become a part of it.
    #[test]
    fn what_is_sealed_depends_on_nothing_that_a_restart_changes() {
        let permit = Permit::of_the_keys_owner();
        let directory = tempfile::tempdir().expect("temporary directory");
        std::fs::create_dir(directory.path().join("staging")).expect("staging");
        let [top, staging] = [directory.path().into(), directory.path().join("staging")]
            .map(|path: std::path::PathBuf| std::fs::File::open(path).expect("directory"));
        let seal = ChangesSeal::with_key([3; 32]);
        let here = (top.as_fd(), staging.as_fd(), &b"staging"[..]);
        let sealer = Sealer::new(&permit, Trust::Sealed(&seal), here).expect("sealer");
        let mut bytes = Vec::new();
        for file in [&top, &staging] {
            bytes.extend(file.metadata().expect("metadata").ino().to_le_bytes());
        }
        bytes.extend(7_u64.to_le_bytes());
        bytes.extend(b"stagingtext");
        assert_eq!(sealer.code(&seal, "text"), blake3::keyed_hash(&[3; 32], &bytes));
    }
}
