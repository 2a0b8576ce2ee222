//! The format of a file of machine code: a head that says what there is, then tables, then code from a page's start on.
//!
//! ```text
//! magic | digest or code of the rest of the head | length of the head
//!       | key | sections | name of the build | functions | profile | trampolines
//! the module, where the file has it
//! tables of functions
//! zeros to the next page
//! code of functions
//! ```
//!
//! The head has a digest of each function's code and tables. In a cache it begins with a code that the user's key makes of the rest of it ([`Seal`]); in a file
//! that was compiled ahead of time, with a digest. Numbers are little-endian.
//!
//! Must stay true: every number in a file is an allegation. What [`Head::read`] returns is consistent in itself and with the file's length.

use std::ops::Range;
use std::sync::Arc;

use blake3::Hash;

use super::entry_point::{EntryPoint, PartFunc};
use super::key::Key;
use super::seal::CacheSeal;

const MAGIC: [u8; 16] = *b"\0innkeeper code\x02";
/// Magic, digest, length.
pub(crate) const PREFIX_BYTES: usize = 16 + 32 + 4;
/// Code begins at a multiple of this in the file, so that it can be mapped.
pub(crate) const PAGE_BYTES: u64 = 4096;
/// Functions begin at a multiple of this in the code.
pub(crate) const ALIGNMENT: u32 = 64;
/// Of a function in the head.
const FUNCTION_BYTES: usize = 7 * 4 + 32;
/// A head that says it is longer is not believed.
const MAX_HEAD_BYTES: u32 = 256 << 20;

/// What a file says of itself.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) key: Key,
    /// Who made it, for messages.
    pub(crate) build_name: String,
    pub(crate) sections: Sections,
    /// The functions and loops whose code there is, ascending by where they are entered.
    pub(crate) functions: Vec<SavedFunction>,
    /// Functions that were called and have no code here, those first that are most worth compiling.
    pub(crate) profile: Vec<PartFunc>,
    /// Functions that cannot be compiled, ascending.
    pub(crate) refused: Vec<PartFunc>,
    pub(crate) trampolines: Vec<SavedTrampoline>,
}

/// Where things are in a file, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sections {
    pub(crate) module: Range<u64>,
    pub(crate) tables: Range<u64>,
    pub(crate) code: Range<u64>,
}

/// A function's code and tables, or those of one that is entered at a loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SavedFunction {
    pub(crate) entry: EntryPoint,
    /// Where its code is in the code section, padding included.
    pub(crate) code: Range<u32>,
    /// Where its tables are in their section.
    pub(crate) tables: Range<u32>,
    /// Of code and tables, and of what the code takes for granted where it is entered.
    pub(crate) digest: Hash,
}

/// A trampoline: what it is for, and its code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SavedTrampoline {
    pub(crate) key: Arc<[u8]>,
    pub(crate) code: Arc<[u8]>,
    pub(crate) tables: Arc<[u8]>,
}

/// How a head says that the rest of it is as it was written.
#[derive(Clone, Copy)]
pub(crate) enum Seal<'a> {
    /// By a digest, which anybody can make: whoever names the file vouches for it.
    Digest,
    /// By a code that only this user's runs can make.
    Keyed(&'a CacheSeal),
}

impl Seal<'_> {
    fn of(self, bytes: &[u8]) -> Hash {
        match self {
            Seal::Digest => blake3::hash(bytes),
            Seal::Keyed(seal) => seal.code_of(bytes),
        }
    }
}

/// Why a file is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("it is no file of machine code")]
    Foreign,
    #[error("it is damaged")]
    Damaged,
}

/// The digest of a function's code, with its padding, and tables, and of what it takes for granted of the frame that it is entered from.
pub(crate) fn digest(code: &[u8], padding: usize, tables: &[u8], frame: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(code);
    hasher.update(&[0; ALIGNMENT as usize][..padding]);
    hasher.update(tables);
    hasher.update(frame);
    hasher.finalize()
}

/// The length of a head whose first bytes these are.
pub(crate) fn head_len(prefix: &[u8]) -> Result<usize, Unusable> {
    let (magic, rest) = prefix.split_at_checked(MAGIC.len()).ok_or(Unusable::Foreign)?;
    if magic != MAGIC {
        return Err(Unusable::Foreign);
    }
    let len = rest.get(32..36).and_then(|len| len.try_into().ok()).map(u32::from_le_bytes);
    match len {
        Some(len) if len <= MAX_HEAD_BYTES && len as usize >= PREFIX_BYTES => Ok(len as usize),
        _ => Err(Unusable::Damaged),
    }
}

/// Whether a file that begins so is one of machine code, in whatever state.
pub(crate) fn has_magic(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// Whether bytes, be there ever so few, can be the beginning of such a file.
pub(crate) fn may_begin(bytes: &[u8]) -> bool {
    let known = bytes.len().min(MAGIC.len());
    known > 0 && bytes[..known] == MAGIC[..known]
}

impl Head {
    /// Reads the head of a file of `file_bytes` that was written with this seal.
    pub(crate) fn read(head: &[u8], file_bytes: u64, seal: Seal<'_>) -> Result<Head, Unusable> {
        if head_len(head)? != head.len() {
            return Err(Unusable::Damaged);
        }
        let (said, body) = (&head[MAGIC.len()..MAGIC.len() + 32], &head[MAGIC.len() + 32..]);
        // In constant time, as a comparison with a hash is.
        if seal.of(body) != Hash::from_slice(said).map_err(|_| Unusable::Damaged)? {
            return Err(Unusable::Damaged);
        }
        let mut reader = Reader(&body[4..]);
        let head_bytes = head.len() as u64;
        Head::read_body(&mut reader)
            .filter(|head| reader.0.is_empty() && head.is_consistent(head_bytes, file_bytes))
            .ok_or(Unusable::Damaged)
    }

    fn read_body(reader: &mut Reader<'_>) -> Option<Head> {
        let key = Key::from_parts([reader.hash()?, reader.hash()?, reader.hash()?, reader.hash()?]);
        let sections =
            Sections { module: reader.range64()?, tables: reader.range64()?, code: reader.range64()? };
        let build_name = String::from_utf8(reader.bytes()?.to_vec()).ok()?;
        let functions = reader.list(|reader| {
            Some(SavedFunction {
                entry: EntryPoint { func: reader.func()?, place: reader.u32()? },
                code: reader.u32()?..reader.u32()?,
                tables: reader.u32()?..reader.u32()?,
                digest: reader.hash()?,
            })
        })?;
        let (profile, refused) = (reader.list(Reader::func)?, reader.list(Reader::func)?);
        let trampolines = reader.list(|reader| {
            let mut bytes = || Some(reader.bytes()?.to_vec());
            Some(SavedTrampoline { key: bytes()?.into(), code: bytes()?.into(), tables: bytes()?.into() })
        })?;
        Some(Head { key, build_name, sections, functions, profile, refused, trampolines })
    }

    /// Whether everything lies where it can lie: sections behind each other to the end of the file, functions inside them, in order and apart.
    fn is_consistent(&self, head_bytes: u64, file_bytes: u64) -> bool {
        let Sections { module, tables, code } = &self.sections;
        let ascend = |numbers: &[u64]| numbers.is_sorted();
        let sections_fit = module.start == head_bytes
            && tables.start == module.end
            && ascend(&[module.start, module.end, tables.start, tables.end, code.start, code.end])
            && Some(code.start) == tables.end.checked_next_multiple_of(PAGE_BYTES)
            && code.end == file_bytes
            && code.end - code.start <= u64::from(u32::MAX)
            && tables.end - tables.start <= u64::from(u32::MAX);
        let (mut code_end, mut tables_end) = (0, 0);
        let functions_fit = self.functions.iter().all(|function| {
            let fits = function.code.start == code_end
                && function.code.start < function.code.end
                && function.code.end.is_multiple_of(ALIGNMENT)
                && function.tables.start == tables_end
                && function.tables.start <= function.tables.end;
            code_end = function.code.end;
            tables_end = function.tables.end;
            fits
        });
        sections_fit
            && functions_fit
            && self.functions.is_sorted_by(|a, b| a.entry < b.entry)
            && u64::from(code_end) == code.end - code.start
            && u64::from(tables_end) == tables.end - tables.start
            && self.refused.is_sorted_by(|a, b| a < b)
    }

    /// The head as it stands in a file. `sections` begins behind it, wherever it says; lengths count.
    pub(crate) fn write(&mut self, seal: Seal<'_>) -> Vec<u8> {
        // The first time to learn the length.
        let len = self.body().len() + PREFIX_BYTES;
        let lens = [&self.sections.module, &self.sections.tables, &self.sections.code]
            .map(|section| section.end - section.start);
        let module = len as u64..len as u64 + lens[0];
        let tables = module.end..module.end + lens[1];
        let code = tables.end.next_multiple_of(PAGE_BYTES);
        self.sections = Sections { module, tables, code: code..code + lens[2] };
        let mut rest = (len as u32).to_le_bytes().to_vec();
        rest.extend(self.body());
        let mut head = MAGIC.to_vec();
        head.extend(seal.of(&rest).as_bytes());
        head.extend(rest);
        head
    }

    fn body(&self) -> Vec<u8> {
        let mut to = Vec::new();
        for part in self.key.parts() {
            to.extend(part.as_bytes());
        }
        let Sections { module, tables, code } = &self.sections;
        for range in [module, tables, code] {
            to.extend(range.start.to_le_bytes());
            to.extend(range.end.to_le_bytes());
        }
        put_bytes(&mut to, self.build_name.as_bytes());
        put_u32(&mut to, self.functions.len() as u32);
        for SavedFunction { entry, code, tables, digest } in &self.functions {
            put_func(&mut to, entry.func);
            for number in [entry.place, code.start, code.end, tables.start, tables.end] {
                put_u32(&mut to, number);
            }
            to.extend(digest.as_bytes());
        }
        for list in [&self.profile, &self.refused] {
            put_u32(&mut to, list.len() as u32);
            list.iter().for_each(|func| put_func(&mut to, *func));
        }
        put_u32(&mut to, self.trampolines.len() as u32);
        for trampoline in &self.trampolines {
            for bytes in [&trampoline.key, &trampoline.code, &trampoline.tables] {
                put_bytes(&mut to, bytes);
            }
        }
        to
    }
}

fn put_u32(to: &mut Vec<u8>, number: u32) {
    to.extend(number.to_le_bytes());
}

fn put_func(to: &mut Vec<u8>, PartFunc { part, func }: PartFunc) {
    put_u32(to, part);
    put_u32(to, func);
}

fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(to, bytes.len() as u32);
    to.extend(bytes);
}

/// Reads what may end anywhere.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn func(&mut self) -> Option<PartFunc> {
        Some(PartFunc { part: self.u32()?, func: self.u32()? })
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn range64(&mut self) -> Option<Range<u64>> {
        Some(self.u64()?..self.u64()?)
    }

    fn hash(&mut self) -> Option<Hash> {
        Hash::from_slice(self.take(32)?).ok()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.u32()?;
        self.take(len as usize)
    }

    /// As many as it says there are; nothing is reserved for what may not be there.
    fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.u32()?;
        let mut list = Vec::with_capacity((count as usize).min(self.0.len() / FUNCTION_BYTES));
        for _ in 0..count {
            list.push(read(self)?);
        }
        Some(list)
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::Target;
    use super::*;

    fn head() -> Head {
        let hash = |text: &str| blake3::hash(text.as_bytes());
        let of = |part, func| PartFunc { part, func };
        let target = Target { build: hash("b"), processor: hash("p"), settings: hash("s") };
        let function = |func, place, code, tables| {
            let entry = EntryPoint { func: PartFunc { part: 0, func }, place };
            SavedFunction { entry, code, tables, digest: hash("f") }
        };
        Head {
            key: Key { module: hash("m"), target },
            build_name: "build".to_owned(),
            sections: Sections { module: 0..0, tables: 0..10, code: 0..192 },
            functions: vec![function(3, 70, 0..64, 0..7), function(9, 0, 64..192, 7..10)],
            profile: vec![of(1, 4), of(0, 1)],
            refused: vec![of(0, 8), of(1, 2)],
            trampolines: vec![SavedTrampoline { key: [1, 2].into(), code: [3].into(), tables: [].into() }],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = head().write(Seal::Digest);
        let file_bytes = (bytes.len() as u64 + 10).next_multiple_of(PAGE_BYTES) + 192;
        let read = Head::read(&bytes, file_bytes, Seal::Digest).unwrap();
        let written = head();
        assert_eq!((read.key, &read.functions), (written.key, &written.functions));
        assert_eq!((read.profile, read.refused), (written.profile, written.refused));
        assert_eq!(read.trampolines, written.trampolines);
        for other in [file_bytes - 1, file_bytes + 1, 0, u64::MAX] {
            assert_eq!(Head::read(&bytes, other, Seal::Digest).unwrap_err(), Unusable::Damaged);
        }
    }

    #[test]
    fn y4_a_head_is_believed_by_the_key_that_made_it_alone() {
        let directory = tempfile::tempdir().unwrap();
        let seal = |name: &str| CacheSeal::in_directory(&directory.path().join(name)).unwrap();
        let (own, other) = (seal("own"), seal("other"));
        let seals = [Seal::Digest, Seal::Keyed(&own), Seal::Keyed(&other)];
        for (made_with, made) in seals.iter().enumerate() {
            let mut head = head();
            let bytes = head.write(*made);
            for (read_with, read) in seals.iter().enumerate() {
                let read = Head::read(&bytes, head.sections.code.end, *read);
                assert_eq!(
                    read.is_ok(),
                    made_with == read_with,
                    "made with {made_with}, read with {read_with}"
                );
            }
        }
    }

    #[test]
    fn no_number_is_too_large_to_be_refused() {
        let mut head = head();
        head.sections = Sections { module: 0..0, tables: 0..u64::MAX - 5, code: u64::MAX - 5..u64::MAX };
        assert!(!head.is_consistent(0, u64::MAX));
    }

    #[test]
    fn heads_that_are_authentic_and_make_no_sense_are_refused() {
        let read = |change: &dyn Fn(&mut Head)| {
            let mut head = head();
            change(&mut head);
            let bytes = head.write(Seal::Digest);
            Head::read(&bytes, head.sections.code.end, Seal::Digest).map(drop)
        };
        assert_eq!(read(&|_| {}), Ok(()));
        let changes: [&dyn Fn(&mut Head); 10] = [
            &|head| head.functions.swap(0, 1),
            &|head| head.functions[1].entry = head.functions[0].entry,
            &|head| head.functions[1].entry.func.func = 3,
            &|head| head.functions[1].code.end = 128,
            &|head| head.functions[1].code.end = u32::MAX,
            &|head| head.functions[0].code = 64..64,
            &|head| (head.functions[0].tables.start, head.functions[0].tables.end) = (7, 0),
            &|head| head.functions[1].tables.end = 11,
            &|head| head.refused.reverse(),
            &|head| head.sections.code.end += 64,
        ];
        for (i, change) in changes.iter().enumerate() {
            assert_eq!(read(change), Err(Unusable::Damaged), "change {i}");
        }
    }
}
