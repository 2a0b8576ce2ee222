//! A file of machine code that has been opened and can be used.
//!
//! The head is read into memory and authenticated when the file is opened. Tables and code are mapped, and each function's are compared with
//! their digest when the function is first asked for: a run touches the pages that it uses, and processes share them. Where somebody else could write to the file
//! meanwhile, both are copied instead: what was compared is what is executed.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use super::entry_point::EntryPoint;
use super::format::{self, Head, PREFIX_BYTES, Seal, Unusable};
use super::mapping::{Mapping, Sharing, Use};

/// The machine code of a module, from an earlier time.
pub(crate) struct SavedCode {
    head: Head,
    tables: Mapping,
    code: Mapping,
    /// Of each function, once somebody has looked: whether it is intact.
    intact: Box<[OnceLock<bool>]>,
}

/// A function or a loop that is intact: where its code is in memory, and its tables among the file's.
pub(crate) struct Intact {
    pub(crate) code: Range<usize>,
    pub(crate) tables: Range<usize>,
}

impl SavedCode {
    /// Makes the code of a file of so many bytes usable: of one that has been found to be this user's, or that the user vouches for.
    pub(crate) fn open(
        (file, file_bytes): (&File, u64),
        seal: Seal<'_>,
        sharing: Sharing,
    ) -> Result<SavedCode, Unusable> {
        let read = |len: usize| {
            let mut bytes = vec![0; len];
            file.read_exact_at(&mut bytes, 0).map(|()| bytes).map_err(|_| Unusable::Damaged)
        };
        if file_bytes < PREFIX_BYTES as u64 {
            // As much as there is of it says what it is.
            let all = read(file_bytes as usize)?;
            return Err(if format::may_begin(&all) { Unusable::Damaged } else { Unusable::Foreign });
        }
        let len = format::head_len(&read(PREFIX_BYTES)?)?;
        if len as u64 > file_bytes {
            return Err(Unusable::Damaged);
        }
        let head = Head::read(&read(len)?, file_bytes, seal)?;
        let sections = &head.sections;
        // The zeros before the code belong to nothing, and are looked at all the same: no byte is left unsaid.
        let tables = Mapping::new(file, &(sections.tables.start..sections.code.start), Use::Read, sharing);
        let code = Mapping::new(file, &sections.code, Use::Execute, sharing);
        let (Some(tables), Some(code)) = (tables, code) else { return Err(Unusable::Damaged) };
        let tables_bytes = (sections.tables.end - sections.tables.start) as usize;
        if tables.bytes()[tables_bytes..].iter().any(|byte| *byte != 0) {
            return Err(Unusable::Damaged);
        }
        let intact = head.functions.iter().map(|_| OnceLock::new()).collect();
        Ok(SavedCode { head, tables, code, intact })
    }

    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    /// Whether there is code that is entered there, intact or not.
    pub(crate) fn has(&self, entry: EntryPoint) -> bool {
        self.place_of(entry).is_some()
    }

    fn place_of(&self, entry: EntryPoint) -> Option<usize> {
        self.head.functions.binary_search_by_key(&entry, |function| function.entry).ok()
    }

    /// The code that is entered there from a frame that is laid out like this, if there is some and it is intact.
    pub(crate) fn function(&self, entry: EntryPoint, frame: &[u8]) -> Option<Intact> {
        let at = self.place_of(entry)?;
        let function = &self.head.functions[at];
        let (code, tables) = (range(&function.code), range(&function.tables));
        let bytes = &self.code.bytes()[code];
        let look =
            || format::digest(bytes, 0, &self.tables.bytes()[tables.clone()], frame) == function.digest;
        // What is known of a loop is known for one frame; it is asked for once.
        let is_intact = match entry.is_start() {
            true => *self.intact[at].get_or_init(look),
            false => {
                let is_intact = look();
                let _ = self.intact[at].set(is_intact);
                is_intact
            }
        };
        let address = bytes.as_ptr() as usize;
        is_intact.then(|| Intact { code: address..address + bytes.len(), tables })
    }

    /// Whether somebody has looked at a function, by its place in the head, and found it damaged.
    pub(crate) fn is_damaged(&self, at: usize) -> bool {
        self.intact[at].get() == Some(&false)
    }

    /// The bytes of a function's code and tables, by its place in the head, whether intact or not.
    pub(crate) fn bytes(&self, at: usize) -> (&[u8], &[u8]) {
        let function = &self.head.functions[at];
        (&self.code.bytes()[range(&function.code)], self.tables(range(&function.tables)))
    }

    /// Part of the tables.
    pub(crate) fn tables(&self, range: Range<usize>) -> &[u8] {
        self.tables.bytes().get(range).unwrap_or_default()
    }

    /// Where the code lies in memory.
    pub(crate) fn addresses(&self) -> Range<usize> {
        let range = self.code.bytes().as_ptr_range();
        range.start as usize..range.end as usize
    }
}

fn range(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}
