//! What is to be done to carry out changes, as data; [`text`](super::text) is the file that outlives the process.
//!
//! What must stay true: nothing in here can name anything outside of the directory that the journal lies in, whoever wrote it: every
//! place is a directory of the list and one component, and directories of the list lie in others of it. It is no larger than it has to be: names are those of the
//! tree, not copies.

use std::collections::HashMap;
use std::ops::Range;

use super::super::node::Name;
use crate::host::metadata::{FileKind, Metadata, Timestamp};

/// An index into [`Journal::directories`]. The first is the directory that everything is beneath.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct DirectoryId(pub(super) u32);

pub(super) const TOP: DirectoryId = DirectoryId(0);

/// The number of a file or directory in the staging directory, which is its name there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ObjectId(pub(super) u64);

impl ObjectId {
    pub(super) fn name(self) -> Vec<u8> {
        self.0.to_string().into_bytes()
    }
}

/// The number that the file system gives a file, by which it is known again; zero is none.
pub(super) type Identity = u64;

/// A name in a directory; the directory itself if the name is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NameInDirectory {
    pub(super) directory: DirectoryId,
    pub(super) name: Name,
}

/// The times of a file that can be set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FileTimes {
    pub(super) accessed: Timestamp,
    pub(super) modified: Timestamp,
}

/// A directory that is worked in, or lies above one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DirectoryRecord {
    /// Where it is before anything is done; nothing for a new one.
    pub(super) before: Option<NameInDirectory>,
    /// Where it is at the end; nothing for one that is gone then.
    pub(super) after: Option<NameInDirectory>,
    /// Zero for one that nobody has looked at.
    pub(super) identity: Identity,
    /// What its times were, where names in it change.
    pub(super) old_times: Option<FileTimes>,
}

/// What is taken out of its place into the staging directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Detach {
    pub(super) from: NameInDirectory,
    pub(super) object: ObjectId,
    pub(super) identity: Identity,
    /// What is known of it, where it is not put back anywhere.
    pub(super) lost: Option<Contents>,
}

/// What there is to lose of something that will be gone for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contents {
    /// A directory, which must be empty.
    Directory,
    /// Anything else, as it was.
    File { size_bytes: u64, modified: Timestamp },
}

/// What is put from the staging directory into its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attach {
    pub(super) object: ObjectId,
    pub(super) to: NameInDirectory,
    pub(super) identity: Identity,
    /// What it was when it was made, if it was not there before.
    pub(super) made: Option<Made>,
}

/// What something was when it was made. Days later, what others have put in its place can have the same number; it is not that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Made {
    /// Since when it is there; nothing where the file system does not tell.
    pub(super) born: Option<Timestamp>,
    pub(super) contents: Contents,
}

/// Bytes that are written into a file in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Patch {
    pub(super) place: PatchPlace,
    pub(super) identity: Identity,
    /// A file with the new bytes, and one with those that they replace.
    pub(super) new: KeptFile,
    pub(super) old: KeptFile,
    /// The file is cut to this length, and then given the new size: what was beyond is zero.
    pub(super) kept_bytes: u64,
    pub(super) old_size: u64,
    pub(super) new_size: u64,
    pub(super) old_times: FileTimes,
    /// Where the new bytes are.
    pub(super) ranges: Vec<Range<u64>>,
}

/// A file that lies in the staging directory and is only read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeptFile {
    pub(super) object: ObjectId,
    pub(super) identity: Identity,
    /// When it was last written to or renamed, which nobody can set: before the journal.
    pub(super) changed: Timestamp,
}

impl Made {
    /// One that is still to be made.
    pub(super) const NOT_YET: Made = Made { born: None, contents: Contents::Directory };

    /// Whether what is found is what was made; its times may have been set by now.
    pub(super) fn is(&self, found: &Metadata, born: Option<Timestamp>, time_set: Option<Timestamp>) -> bool {
        let was_born_then = match (self.born, born) {
            (Some(then), Some(born)) => then == born,
            _ => true,
        };
        // File systems keep times to two seconds or better.
        let is_set = |set: Timestamp| set.seconds().abs_diff(found.modified.seconds()) <= 2;
        was_born_then
            && match (self.contents, Contents::of(found)) {
                (Contents::Directory, Contents::Directory) => true,
                (
                    Contents::File { size_bytes, modified },
                    Contents::File { size_bytes: size_now, modified: now },
                ) => size_bytes == size_now && (modified == now || time_set.is_some_and(is_set)),
                _ => false,
            }
    }
}

impl Contents {
    pub(super) fn of(found: &Metadata) -> Contents {
        match found.kind {
            FileKind::Directory => Contents::Directory,
            _ => Contents::File { size_bytes: found.size_bytes, modified: found.modified },
        }
    }
}

impl KeptFile {
    /// One that is still to be made.
    pub(super) fn new(object: ObjectId) -> KeptFile {
        KeptFile { object, identity: 0, changed: Timestamp::default() }
    }
}

/// Where a file is that is patched, or whose times are set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PatchPlace {
    In(NameInDirectory),
    /// In the staging directory: it has names left only where nobody has looked.
    Staged(ObjectId),
}

/// Times that are set in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SetTimes {
    pub(super) place: PatchPlace,
    pub(super) identity: Identity,
    pub(super) times: FileTimes,
    /// What they were, if it was there.
    pub(super) old: Option<FileTimes>,
}

/// Everything that is done, in the order in which it is done: the lists one after the other, each from its beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Journal {
    pub(super) directories: Vec<DirectoryRecord>,
    pub(super) detach: Vec<Detach>,
    pub(super) attach: Vec<Attach>,
    pub(super) patches: Vec<Patch>,
    pub(super) times: Vec<SetTimes>,
    /// Times that the top is given in the end; nothing where its names have changed, and so its times with them.
    pub(super) top_times: Option<FileTimes>,
}

impl Journal {
    pub(super) fn directory(&self, id: DirectoryId) -> Option<&DirectoryRecord> {
        self.directories.get(id.0 as usize)
    }

    /// Whether every place is in a directory of the list, and these lie in each other up to the top.
    pub(super) fn makes_sense(&self) -> bool {
        let count = self.directories.len();
        let known = |place: &NameInDirectory| (place.directory.0 as usize) < count;
        // Whether each directory leads to the top, found once for each.
        let leads_to_top = |up: &dyn Fn(&DirectoryRecord) -> Option<DirectoryId>| {
            let mut known: HashMap<usize, bool> = HashMap::from([(0, true)]);
            for start in 0..count {
                let mut way = Vec::new();
                let mut at = start;
                let leads = loop {
                    if let Some(&leads) = known.get(&at) {
                        break leads;
                    }
                    way.push(at);
                    // On the way and come back to: a circle.
                    known.insert(at, false);
                    match self.directories.get(at).and_then(up) {
                        Some(parent) => at = parent.0 as usize,
                        // It is not there at this time.
                        None => break true,
                    }
                };
                for directory in way {
                    known.insert(directory, leads);
                }
                if !leads {
                    return false;
                }
            }
            true
        };
        count > 0
            && self.directories.iter().all(|record| record.before.iter().chain(&record.after).all(&known))
            && self.detach.iter().all(|step| known(&step.from))
            && self.attach.iter().all(|step| known(&step.to))
            && self
                .times
                .iter()
                .map(|step| &step.place)
                .chain(self.patches.iter().map(|step| &step.place))
                .all(|place| match place {
                    PatchPlace::In(place) => known(place),
                    PatchPlace::Staged(_) => true,
                })
            && leads_to_top(&|record| record.before.as_ref().map(|place| place.directory))
            && leads_to_top(&|record| record.after.as_ref().map(|place| place.directory))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_told_from_what_has_its_number() {
        let [then, later] = [100, 200].map(|seconds| Timestamp::new(seconds, 7));
        let found = Metadata {
            device: 1,
            inode: 2,
            kind: FileKind::Regular,
            links: 1,
            size_bytes: 3,
            accessed: then,
            modified: then,
            changed: then,
        };
        let made = Made { born: Some(then), contents: Contents::of(&found) };
        assert!(made.is(&found, Some(then), None));
        assert!(!made.is(&found, Some(later), None), "made later");
        assert!(made.is(&found, None, None), "nobody tells since when it is there");
        assert!(!made.is(&Metadata { size_bytes: 4, ..found }, Some(then), None), "longer");
        assert!(!made.is(&Metadata { kind: FileKind::Directory, ..found }, None, None), "no file");
        let modified_later = Metadata { modified: later, ..found };
        assert!(!made.is(&modified_later, Some(then), None), "written to");
        assert!(made.is(&modified_later, Some(then), Some(later)), "its times were set");
        // Directories change by what is put into them.
        let directory = Metadata { kind: FileKind::Directory, ..found };
        let made = Made { born: Some(then), contents: Contents::of(&directory) };
        assert!(made.is(&Metadata { kind: FileKind::Directory, ..modified_later }, Some(then), None));
        assert!(!made.is(&directory, Some(later), None), "made later");
    }
}
