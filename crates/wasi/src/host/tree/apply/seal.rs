//! By what unfinished changes are known to be those that one of this user's own runs has left.
//!
//! A checksum says that a journal is whole, not who wrote it, and whoever can write beneath the directory could put one there. So journal and phase have a
//! code that only who knows the user's key can make. It is bound to the directory and to the staging directory in it, by what they are and not by name, so that a copy
//! of either is not believed.
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
#[derive(Clone, Copy, Debug)]
pub(super) struct Sealer<'a> {
    trust: Trust<'a>,
    /// What the directory and the staging directory are: the numbers of their devices and on them.
    places: [u64; 4],
}

/// What stands for the code of who has no key.
const NO_CODE: &str = "-";

impl<'a> Sealer<'a> {
    pub(super) fn new(
        permit: &Permit,
        trust: Trust<'a>,
        (top, staging): (BorrowedFd<'_>, BorrowedFd<'_>),
    ) -> Result<Sealer<'a>, Error> {
        let [top, staging] = [sys::stat(permit, top)?, sys::stat(permit, staging)?];
        Ok(Sealer { trust, places: [top.device, top.inode, staging.device, staging.inode] })
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
    use super::*;

    #[test]
    fn only_the_same_key_in_the_same_place_is_believed() {
        let [seal, other] = [[1; 32], [2; 32]].map(ChangesSeal::with_key);
        let sealer = |seal, places| Sealer { trust: Trust::Sealed(seal), places };
        let mine = sealer(&seal, [1, 2, 3, 4]);
        let sealed = mine.seal("a\nb\n");
        assert!(matches!(mine.open(&sealed), Kept::Believed("a\nb\n")));
        for places in [[0, 2, 3, 4], [1, 0, 3, 4], [1, 2, 0, 4], [1, 2, 3, 0]] {
            assert!(matches!(sealer(&seal, places).open(&sealed), Kept::Foreign), "{places:?}");
        }
        assert!(matches!(sealer(&other, [1, 2, 3, 4]).open(&sealed), Kept::Foreign));
        let everybody = Sealer { trust: Trust::All, places: [0; 4] };
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
}
