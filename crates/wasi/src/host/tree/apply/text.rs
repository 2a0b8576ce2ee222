//! The text of a journal: what is written into its file, and read from there, part by part, so that no more than a part is held beside the journal.
//!
//! One record a line; names have every byte outside of visible ASCII, and `%`, as `%XX`. The file's last line is a [`seal`](super::seal), which is no part of the
//! text. A file without one was not finished, and then nothing was changed yet.
//!
//! What must stay true: what is read makes sense, whoever wrote it, or is not taken; no name that is read is a path, or a staging directory's.

use super::journal::{
    Attach, Contents, Detach, DirectoryId, DirectoryRecord, FileTimes, Journal, KeptFile, Made,
    NameInDirectory, ObjectId, Patch, PatchPlace, SetTimes,
};
use crate::host::metadata::Timestamp;
use crate::host::resolve::is_reserved;

const FIRST_LINE: &str = "innkeeper changes 3";

/// A part is given away when it is longer.
const PART_BYTES: usize = 64 * 1024;

impl Journal {
    /// Gives the text, part by part.
    pub(super) fn write<E>(&self, take: &mut dyn FnMut(&str) -> Result<(), E>) -> Result<(), E> {
        let mut text = Text(format!("{FIRST_LINE}\n"));
        let mut give = |text: &mut Text| {
            if text.0.len() >= PART_BYTES {
                take(&text.0)?;
                text.0.clear();
            }
            Ok(())
        };
        for record in &self.directories {
            text.directory(record);
            give(&mut text)?;
        }
        for step in &self.detach {
            text.detach(step);
            give(&mut text)?;
        }
        for step in &self.attach {
            text.attach(step);
            give(&mut text)?;
        }
        for step in &self.patches {
            text.patch(step);
            give(&mut text)?;
        }
        for step in &self.times {
            text.set_times(step);
            give(&mut text)?;
        }
        if let Some(times) = &self.top_times {
            text.word("top");
            text.times(times);
            text.end_line();
        }
        take(&text.0)
    }

    fn read_whole_line(&mut self, line: &str, has_begun: &mut bool) -> Option<()> {
        if !std::mem::replace(has_begun, true) {
            return (line == FIRST_LINE).then_some(());
        }
        let mut words = Words(line.split(' '));
        self.read_line(&mut words)?;
        words.0.next().is_none().then_some(())
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
                lost: words.optional(Words::contents)?,
            }),
            "put" => self.attach.push(Attach {
                object: ObjectId(words.number()?),
                to: words.place()?,
                identity: words.number()?,
                made: words.optional(Words::made)?,
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
}

/// A journal that is being read.
#[derive(Default)]
pub(super) struct Reader {
    journal: Journal,
    has_begun: bool,
    /// The beginning of a line whose end is in the next part.
    line: Vec<u8>,
}

impl Reader {
    /// Reads a part; nothing if it says what makes no sense.
    pub(super) fn part(&mut self, part: &[u8]) -> Option<()> {
        for piece in part.split_inclusive(|&byte| byte == b'\n') {
            self.line.extend_from_slice(piece);
            if let Some(line) = self.line.strip_suffix(b"\n") {
                self.journal.read_whole_line(std::str::from_utf8(line).ok()?, &mut self.has_begun)?;
                self.line.clear();
            }
        }
        Some(())
    }

    /// What was read, once it was the last part.
    pub(super) fn end(self) -> Option<Journal> {
        (self.line.is_empty() && self.journal.makes_sense()).then_some(self.journal)
    }
}

/// A text that grows by words and lines. It is emptied at the end of a line only.
struct Text(String);

impl Text {
    fn word(&mut self, word: impl std::fmt::Display) {
        use std::fmt::Write as _;
        if !self.0.is_empty() && !self.0.ends_with('\n') {
            self.0.push(' ');
        }
        // Writing to a string does not fail.
        let _ = write!(self.0, "{word}");
    }

    fn end_line(&mut self) {
        self.0.push('\n');
    }

    fn directory(&mut self, record: &DirectoryRecord) {
        self.word("directory");
        self.optional(record.before.as_ref(), Text::place);
        self.optional(record.after.as_ref(), Text::place);
        self.word(record.identity);
        self.optional(record.old_times.as_ref(), Text::times);
        self.end_line();
    }

    fn detach(&mut self, step: &Detach) {
        self.word("take");
        self.place(&step.from);
        self.word(step.object.0);
        self.word(step.identity);
        self.optional(step.lost.as_ref(), Text::contents);
        self.end_line();
    }

    fn attach(&mut self, step: &Attach) {
        self.word("put");
        self.word(step.object.0);
        self.place(&step.to);
        self.word(step.identity);
        self.optional(step.made.as_ref(), Text::made);
        self.end_line();
    }

    fn patch(&mut self, step: &Patch) {
        self.word("patch");
        self.patch_place(&step.place);
        for number in [step.identity, step.kept_bytes, step.old_size, step.new_size, step.ranges.len() as u64]
        {
            self.word(number);
        }
        self.kept_file(&step.new);
        self.kept_file(&step.old);
        self.times(&step.old_times);
        for range in &step.ranges {
            self.word(range.start);
            self.word(range.end);
        }
        self.end_line();
    }

    fn set_times(&mut self, step: &SetTimes) {
        self.word("times");
        self.patch_place(&step.place);
        self.word(step.identity);
        self.times(&step.times);
        self.optional(step.old.as_ref(), Text::times);
        self.end_line();
    }

    fn contents(&mut self, contents: &Contents) {
        match contents {
            Contents::Directory => self.word("directory"),
            Contents::File { size_bytes, modified } => {
                self.word("file");
                self.word(size_bytes);
                self.time(*modified);
            }
        }
    }

    fn made(&mut self, made: &Made) {
        self.optional(made.born.as_ref(), |text, born| text.time(*born));
        self.contents(&made.contents);
    }

    fn place(&mut self, place: &NameInDirectory) {
        self.word(place.directory.0);
        let mut name = String::with_capacity(place.name.len() + 1);
        // So that an empty name is a word.
        name.push('/');
        for &byte in place.name.iter() {
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
        (is_component && !is_reserved(&name)).then(|| NameInDirectory { directory, name: name.into() })
    }

    fn time(&mut self) -> Option<Timestamp> {
        let seconds = self.0.next()?.parse().ok()?;
        Some(Timestamp::new(seconds, self.0.next()?.parse().ok()?))
    }

    fn times(&mut self) -> Option<FileTimes> {
        Some(FileTimes { accessed: self.time()?, modified: self.time()? })
    }

    fn contents(&mut self) -> Option<Contents> {
        match self.0.next()? {
            "directory" => Some(Contents::Directory),
            "file" => Some(Contents::File { size_bytes: self.number()?, modified: self.time()? }),
            _ => None,
        }
    }

    fn made(&mut self) -> Option<Made> {
        Some(Made { born: self.optional(Words::time)?, contents: self.contents()? })
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
        NameInDirectory { directory: DirectoryId(directory), name: name.into() }
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
                    lost: Some(Contents::Directory),
                },
                Detach {
                    from: place(1, b"f"),
                    object: ObjectId(2),
                    identity: 10,
                    lost: Some(Contents::File { size_bytes: 3, modified: Timestamp::new(4, 5) }),
                },
            ],
            attach: [
                None,
                Some(Made { born: None, contents: Contents::Directory }),
                Some(Made {
                    born: Some(Timestamp::new(-5, 6)),
                    contents: Contents::File { size_bytes: 3, modified: Timestamp::new(4, 5) },
                }),
            ]
            .map(|made| Attach { object: ObjectId(3), to: place(0, b"new"), identity: 11, made })
            .to_vec(),
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

    fn text_of(journal: &Journal) -> String {
        let mut text = String::new();
        let written: Result<(), ()> = journal.write(&mut |part| {
            text.push_str(part);
            Ok(())
        });
        assert_eq!(written, Ok(()));
        text
    }

    /// Reads a text in parts of this many bytes.
    fn read(text: &str, part_bytes: usize) -> Option<Journal> {
        let mut reader = Reader::default();
        text.as_bytes().chunks(part_bytes).try_for_each(|part| reader.part(part))?;
        reader.end()
    }

    #[test]
    fn a_journal_is_read_as_it_was_written() {
        let journal = sample();
        let text = text_of(&journal);
        for part_bytes in [1, 2, 7, text.len()] {
            assert_eq!(read(&text, part_bytes).as_ref(), Some(&journal));
        }
        assert_eq!(read(&text[..text.len() - 1], 64), None, "its last line has no end");
    }

    /// However long the text is, it is given in parts.
    #[test]
    fn a_long_journal_is_written_in_parts() {
        let mut journal = sample();
        journal.attach = vec![journal.attach[0].clone(); 10_000];
        let mut text = String::new();
        let written: Result<(), ()> = journal.write(&mut |part| {
            assert!(part.len() < 2 * PART_BYTES);
            text.push_str(part);
            Ok(())
        });
        assert_eq!(written, Ok(()));
        assert!(text.len() > 2 * PART_BYTES);
        assert_eq!(read(&text, 1000).as_ref(), Some(&journal));
    }

    #[test]
    fn no_journal_leads_out_or_in_circles() {
        let mut circle = sample();
        circle.directories[2].after = Some(place(1, b"x"));
        let mut unknown = sample();
        unknown.detach[0].from.directory = DirectoryId(3);
        let mut up = sample();
        up.attach[0].to.name = b".."[..].into();
        let mut path = sample();
        path.attach[0].to.name = b"a/b"[..].into();
        let mut staging = sample();
        staging.attach[0].to.name = b".Innkeeper-cow-1"[..].into();
        for journal in [circle, unknown, up, path, staging, Journal::default()] {
            assert_eq!(read(&text_of(&journal), 64), None);
        }
    }
}
