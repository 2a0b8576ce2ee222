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

impl<T> Kept<T> {
    /// What is found in what is believed; where that is nothing, the file is damaged.
    pub(super) fn and_then<U>(self, find: impl FnOnce(T) -> Option<U>) -> Kept<U> {
        match self {
            Kept::Absent => Kept::Absent,
            Kept::Damaged => Kept::Damaged,
            Kept::Foreign => Kept::Foreign,
            Kept::Believed(found) => find(found).map_or(Kept::Damaged, Kept::Believed),
        }
    }
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

    /// What is believed where there is no file at all, which anybody can bring about.
    pub(super) fn without_file<T>(&self, otherwise: T) -> Kept<T> {
        match self.trust {
            Trust::All => Kept::Believed(otherwise),
            Trust::Sealed(_) => Kept::Foreign,
        }
    }

    /// Begins a seal, for a text that comes part by part.
    pub(super) fn begin(&self) -> Sealing {
        let code = match self.trust {
            Trust::All => None,
            Trust::Sealed(ChangesSeal(key)) => {
                let mut code = Hasher::new_keyed(key);
                for number in self.places {
                    code.update(&number.to_le_bytes());
                }
                // With its length, so that none of the name is taken for text.
                code.update(&(self.name.len() as u64).to_le_bytes()).update(&self.name);
                Some(code)
            }
        };
        Sealing { checksum: Hasher::new(), code }
    }
}

/// A seal in the making.
pub(super) struct Sealing {
    checksum: Hasher,
    /// Nothing for who has no key.
    code: Option<Hasher>,
}

impl Sealing {
    pub(super) fn add(&mut self, part: &[u8]) {
        self.checksum.update(part);
        if let Some(code) = &mut self.code {
            code.update(part);
        }
    }

    /// The line that comes after the text: it says that the text is whole, and whose.
    pub(super) fn line(&self) -> String {
        let code = self.code.as_ref().map_or(String::from(NO_CODE), |code| code.finalize().to_string());
        format!("{SEALED}{} {code}\n", self.checksum.finalize())
    }

    /// Whether a text that had this line after it can be believed.
    pub(super) fn compare(&self, line: &SealLine) -> Kept<()> {
        // The comparison of hashes takes the same time wherever they differ.
        if !Hash::from_hex(&line.checksum).is_ok_and(|checksum| checksum == self.checksum.finalize()) {
            return Kept::Damaged;
        }
        match &self.code {
            None => Kept::Believed(()),
            Some(code) if Hash::from_hex(&line.code).is_ok_and(|it| it == code.finalize()) => {
                Kept::Believed(())
            }
            Some(_) => Kept::Foreign,
        }
    }
}

const SEALED: &str = "sealed ";

/// The line after a text.
pub(super) struct SealLine {
    checksum: String,
    code: String,
    /// Its length with its end.
    pub(super) length_bytes: usize,
}

impl SealLine {
    /// None is longer: a word and two hashes.
    pub(super) const MAX_BYTES: usize = SEALED.len() + 2 * (2 * blake3::OUT_LEN + 1);

    /// The last line of a file, from its last bytes, which have that line and the end of the one before.
    pub(super) fn at_end_of(end: &[u8]) -> Option<SealLine> {
        let begin = end.strip_suffix(b"\n")?.iter().rposition(|&byte| byte == b'\n')? + 1;
        let line = std::str::from_utf8(&end[begin..]).ok()?;
        let (checksum, code) = line.strip_suffix('\n')?.strip_prefix(SEALED)?.split_once(' ')?;
        Some(SealLine { checksum: checksum.to_owned(), code: code.to_owned(), length_bytes: line.len() })
    }
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
        fn seal_with(sealer: &Sealer<'_>, text: &str) -> String {
            let mut sealing = sealer.begin();
            sealing.add(text.as_bytes());
            format!("{text}{}", sealing.line())
        }
        fn open(sealer: &Sealer<'_>, sealed: &str) -> Kept<()> {
            let Some(line) = SealLine::at_end_of(sealed.as_bytes()) else { return Kept::Damaged };
            assert!(line.length_bytes <= SealLine::MAX_BYTES);
            let mut sealing = sealer.begin();
            sealing.add(&sealed.as_bytes()[..sealed.len() - line.length_bytes]);
            sealing.compare(&line)
        }
        let mine = sealer(&seal, [1, 2], "name");
        let sealed = seal_with(&mine, "a\nb\n");
        assert!(matches!(open(&mine, &sealed), Kept::Believed(())));
        for (places, name) in [([0, 2], "name"), ([1, 0], "name"), ([1, 2], "nam"), ([1, 2], "namea")] {
            assert!(
                matches!(open(&sealer(&seal, places, name), &sealed), Kept::Foreign),
                "{places:?} {name}"
            );
        }
        assert!(matches!(open(&sealer(&other, [1, 2], "name"), &sealed), Kept::Foreign));
        let everybody = Sealer { trust: Trust::All, places: [0; 2], name: Vec::new() };
        assert!(matches!(open(&everybody, &sealed), Kept::Believed(())));
        let unsealed = seal_with(&everybody, "a\nb\n");
        assert!(matches!(open(&mine, &unsealed), Kept::Foreign));
        for (sealer, sealed) in [(&mine, sealed), (&everybody, unsealed)] {
            for end in 0..sealed.len() {
                assert!(matches!(open(sealer, &sealed[..end]), Kept::Damaged), "{end}");
            }
            assert!(matches!(open(sealer, &sealed.replacen('a', "c", 1)), Kept::Damaged));
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
        let mut sealing = sealer.begin();
        sealing.add(b"text");
        assert!(sealing.line().ends_with(&format!(" {}\n", blake3::keyed_hash(&[3; 32], &bytes))));
    }
}
