//! What is to be done to carry out changes, as data: in memory, and as a file that outlives the process.
//!
//! The file is text, one record a line; names have every byte outside of visible ASCII, and `%`, as `%XX`. Its last line is a
//! [`seal`](super::seal). A file without one was not finished, and then nothing was changed yet.
//!
//! What must stay true: nothing in here can name anything outside of the directory that the journal lies in, whoever wrote it: every
//! place is a directory of the list and one component, and directories of the list lie in others of it. Nor can it name a staging directory.

use std::collections::HashMap;
use std::ops::Range;

use crate::host::metadata::Timestamp;
use crate::host::resolve::is_reserved;

const FIRST_LINE: &str = "innkeeper changes 2";

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
    pub(super) name: Vec<u8>,
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
    pub(super) lost: Option<Lost>,
}

/// What will be gone for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lost {
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
    /// Whether it was not there before.
    pub(super) is_new: bool,
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

    /// The text of the file, without its seal.
    pub(super) fn to_text(&self) -> String {
        let mut text = Text(format!("{FIRST_LINE}\n"));
        for directory in &self.directories {
            text.word("directory");
            text.optional(directory.before.as_ref(), Text::place);
            text.optional(directory.after.as_ref(), Text::place);
            text.word(directory.identity);
            text.optional(directory.old_times.as_ref(), Text::times);
            text.end_line();
        }
        for step in &self.detach {
            text.word("take");
            text.place(&step.from);
            text.word(step.object.0);
            text.word(step.identity);
            match &step.lost {
                None => text.word("-"),
                Some(Lost::Directory) => text.word("directory"),
                Some(Lost::File { size_bytes, modified }) => {
                    text.word("file");
                    text.word(size_bytes);
                    text.time(*modified);
                }
            }
            text.end_line();
        }
        for step in &self.attach {
            text.word("put");
            text.word(step.object.0);
            text.place(&step.to);
            text.word(step.identity);
            text.word(if step.is_new { "new" } else { "-" });
            text.end_line();
        }
        for step in &self.patches {
            text.word("patch");
            text.patch_place(&step.place);
            for number in
                [step.identity, step.kept_bytes, step.old_size, step.new_size, step.ranges.len() as u64]
            {
                text.word(number);
            }
            text.kept_file(&step.new);
            text.kept_file(&step.old);
            text.times(&step.old_times);
            for range in &step.ranges {
                text.word(range.start);
                text.word(range.end);
            }
            text.end_line();
        }
        for step in &self.times {
            text.word("times");
            text.patch_place(&step.place);
            text.word(step.identity);
            text.times(&step.times);
            text.optional(step.old.as_ref(), Text::times);
            text.end_line();
        }
        if let Some(times) = &self.top_times {
            text.word("top");
            text.times(times);
            text.end_line();
        }
        text.0
    }

    /// Reads the text of a file, without its seal; nothing if it says what makes no sense.
    pub(super) fn parse(text: &str) -> Option<Journal> {
        let mut lines = text.lines();
        if lines.next()? != FIRST_LINE {
            return None;
        }
        let mut journal = Journal::default();
        for line in lines {
            let mut words = Words(line.split(' '));
            journal.read_line(&mut words)?;
            if words.0.next().is_some() {
                return None;
            }
        }
        journal.makes_sense().then_some(journal)
    }

    fn read_line(&mut self, words: &mut Words<'_>) -> Option<()> {
        match words.0.next()? {
            "directory" => self.directories.push(DirectoryRecord {
                before: words.optional(Words::place)?,
                after: words.optional(Words::place)?,
                identity: words.number()?,
                old_times: words.optional(Words::times)?,
            }),
            "take" => self.detach.push(Detach {
                from: words.place()?,
                object: ObjectId(words.number()?),
                identity: words.number()?,
                lost: match words.0.next()? {
                    "-" => None,
                    "directory" => Some(Lost::Directory),
                    "file" => Some(Lost::File { size_bytes: words.number()?, modified: words.time()? }),
                    _ => return None,
                },
            }),
            "put" => self.attach.push(Attach {
                object: ObjectId(words.number()?),
                to: words.place()?,
                identity: words.number()?,
                is_new: match words.0.next()? {
                    "new" => true,
                    "-" => false,
                    _ => return None,
                },
            }),
            "patch" => {
                let patch = words.patch()?;
                self.patches.push(patch);
            }
            "times" => self.times.push(SetTimes {
                place: words.patch_place()?,
                identity: words.number()?,
                times: words.times()?,
                old: words.optional(Words::times)?,
            }),
            "top" => self.top_times = Some(words.times()?),
            _ => return None,
        }
        Some(())
    }

    /// Whether every place is in a directory of the list, and these lie in each other up to the top.
    fn makes_sense(&self) -> bool {
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

/// A text that grows by words and lines.
struct Text(String);

impl Text {
    fn word(&mut self, word: impl std::fmt::Display) {
        use std::fmt::Write as _;
        if !self.0.ends_with('\n') {
            self.0.push(' ');
        }
        // Writing to a string does not fail.
        let _ = write!(self.0, "{word}");
    }

    fn end_line(&mut self) {
        self.0.push('\n');
    }

    fn place(&mut self, place: &NameInDirectory) {
        self.word(place.directory.0);
        let mut name = String::with_capacity(place.name.len() + 1);
        // So that an empty name is a word.
        name.push('/');
        for &byte in &place.name {
            if byte.is_ascii_graphic() && byte != b'%' {
                name.push(char::from(byte));
            } else {
                name.push_str(&format!("%{byte:02x}"));
            }
        }
        self.word(name);
    }

    fn time(&mut self, time: Timestamp) {
        self.word(time.seconds());
        self.word(time.nanoseconds());
    }

    fn times(&mut self, times: &FileTimes) {
        self.time(times.accessed);
        self.time(times.modified);
    }

    fn patch_place(&mut self, place: &PatchPlace) {
        match place {
            PatchPlace::In(place) => self.place(place),
            PatchPlace::Staged(object) => {
                self.word("staged");
                self.word(object.0);
            }
        }
    }

    fn kept_file(&mut self, file: &KeptFile) {
        self.word(file.object.0);
        self.word(file.identity);
        self.time(file.changed);
    }

    fn optional<T>(&mut self, value: Option<&T>, write: impl FnOnce(&mut Text, &T)) {
        match value {
            None => self.word("-"),
            Some(value) => {
                self.word("+");
                write(self, value);
            }
        }
    }
}

/// The words of a line that are still to be read.
struct Words<'a>(std::str::Split<'a, char>);

impl Words<'_> {
    fn number(&mut self) -> Option<u64> {
        self.0.next()?.parse().ok()
    }

    fn place(&mut self) -> Option<NameInDirectory> {
        let directory = u32::try_from(self.number()?).ok()?;
        self.name_in(DirectoryId(directory))
    }

    fn name_in(&mut self, directory: DirectoryId) -> Option<NameInDirectory> {
        let text = self.0.next()?.strip_prefix('/')?;
        let mut name = Vec::with_capacity(text.len());
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            if byte == b'%' {
                let digits = [bytes.next()?, bytes.next()?];
                name.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
            } else {
                name.push(byte);
            }
        }
        let is_component = !name.contains(&b'/') && !name.contains(&0) && name != b"." && name != b"..";
        (is_component && !is_reserved(&name)).then_some(NameInDirectory { directory, name })
    }

    fn time(&mut self) -> Option<Timestamp> {
        let seconds = self.0.next()?.parse().ok()?;
        Some(Timestamp::new(seconds, self.0.next()?.parse().ok()?))
    }

    fn times(&mut self) -> Option<FileTimes> {
        Some(FileTimes { accessed: self.time()?, modified: self.time()? })
    }

    fn kept_file(&mut self) -> Option<KeptFile> {
        Some(KeptFile { object: ObjectId(self.number()?), identity: self.number()?, changed: self.time()? })
    }

    fn patch_place(&mut self) -> Option<PatchPlace> {
        Some(match self.0.next()? {
            "staged" => PatchPlace::Staged(ObjectId(self.number()?)),
            directory => PatchPlace::In(self.name_in(DirectoryId(directory.parse().ok()?))?),
        })
    }

    fn patch(&mut self) -> Option<Patch> {
        let mut patch = Patch {
            place: self.patch_place()?,
            identity: self.number()?,
            kept_bytes: self.number()?,
            old_size: self.number()?,
            new_size: self.number()?,
            new: KeptFile::new(ObjectId(0)),
            old: KeptFile::new(ObjectId(0)),
            old_times: FileTimes::default(),
            ranges: Vec::new(),
        };
        let count = self.number()?;
        patch.new = self.kept_file()?;
        patch.old = self.kept_file()?;
        patch.old_times = self.times()?;
        for _ in 0..count {
            patch.ranges.push(self.number()?..self.number()?);
        }
        Some(patch)
    }

    fn optional<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.0.next()? {
            "-" => Some(None),
            "+" => read(self).map(Some),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(directory: u32, name: &[u8]) -> NameInDirectory {
        NameInDirectory { directory: DirectoryId(directory), name: name.to_vec() }
    }

    fn sample() -> Journal {
        let times = |seconds| FileTimes {
            accessed: Timestamp::new(seconds, 1),
            modified: Timestamp::new(-seconds, 999_999_999),
        };
        Journal {
            directories: vec![
                DirectoryRecord { identity: 7, ..DirectoryRecord::default() },
                DirectoryRecord {
                    before: Some(place(0, b"a b%\n\xff")),
                    after: Some(place(2, b"moved")),
                    identity: 8,
                    old_times: Some(times(5)),
                },
                DirectoryRecord { after: Some(place(0, b"new")), ..DirectoryRecord::default() },
            ],
            detach: vec![
                Detach { from: place(0, b"a b%\n\xff"), object: ObjectId(0), identity: 8, lost: None },
                Detach {
                    from: place(1, b"d"),
                    object: ObjectId(1),
                    identity: 9,
                    lost: Some(Lost::Directory),
                },
                Detach {
                    from: place(1, b"f"),
                    object: ObjectId(2),
                    identity: 10,
                    lost: Some(Lost::File { size_bytes: 3, modified: Timestamp::new(4, 5) }),
                },
            ],
            attach: vec![Attach { object: ObjectId(3), to: place(0, b"new"), identity: 11, is_new: true }],
            patches: vec![Patch {
                place: PatchPlace::Staged(ObjectId(2)),
                identity: 10,
                new: KeptFile { object: ObjectId(4), identity: 12, changed: Timestamp::new(7, 8) },
                old: KeptFile { object: ObjectId(5), identity: 13, changed: Timestamp::new(-9, 10) },
                kept_bytes: 1,
                old_size: 2,
                new_size: u64::MAX,
                old_times: times(6),
                ranges: vec![0..1, 4..9],
            }],
            times: vec![
                SetTimes { place: PatchPlace::In(place(0, b"")), identity: 7, times: times(1), old: None },
                SetTimes {
                    place: PatchPlace::Staged(ObjectId(2)),
                    identity: 7,
                    times: times(1),
                    old: Some(times(2)),
                },
            ],
            top_times: Some(times(2)),
        }
    }

    #[test]
    fn a_journal_is_read_as_it_was_written() {
        let journal = sample();
        assert_eq!(Journal::parse(&journal.to_text()).as_ref(), Some(&journal));
    }

    #[test]
    fn no_journal_leads_out_or_in_circles() {
        let mut circle = sample();
        circle.directories[2].after = Some(place(1, b"x"));
        let mut unknown = sample();
        unknown.detach[0].from.directory = DirectoryId(3);
        let mut up = sample();
        up.attach[0].to.name = b"..".to_vec();
        let mut path = sample();
        path.attach[0].to.name = b"a/b".to_vec();
        let mut staging = sample();
        staging.attach[0].to.name = b".Innkeeper-cow-1".to_vec();
        for journal in [circle, unknown, up, path, staging, Journal::default()] {
            assert_eq!(Journal::parse(&journal.to_text()), None);
        }
    }
}
