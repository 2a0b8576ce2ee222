//! Writing a file of machine code.

use std::io::{self, Write};

use blake3::Hash;

use super::entry_point::{EntryPoint, PartFunc};
use super::format::{ALIGNMENT, Head, SavedFunction, SavedTrampoline, Seal, Sections};
use super::key::{self, Key};

/// What a file is to hold.
pub(crate) struct Contents<'a> {
    pub(crate) key: Key,
    /// Empty where the file needs none.
    pub(crate) module: &'a [u8],
    /// Ascending.
    pub(crate) functions: Vec<Function<'a>>,
    /// Those most worth compiling first.
    pub(crate) profile: Vec<PartFunc>,
    /// Ascending.
    pub(crate) refused: Vec<PartFunc>,
    pub(crate) trampolines: Vec<SavedTrampoline>,
}

/// A function's code, or that of one that is entered at a loop, which may lack padding, and its tables.
#[derive(Clone, Copy)]
pub(crate) struct Function<'a> {
    pub(crate) entry: EntryPoint,
    pub(crate) code: &'a [u8],
    pub(crate) tables: &'a [u8],
    pub(crate) digest: Hash,
}

/// Bytes of zeros that code needs behind it.
pub(crate) fn padding(code: &[u8]) -> usize {
    code.len().next_multiple_of(ALIGNMENT as usize) - code.len()
}

/// What is ready to be written.
pub(crate) struct Ready<'a> {
    head: Vec<u8>,
    sections: Sections,
    contents: Contents<'a>,
}

impl<'a> Contents<'a> {
    /// With the module in the file.
    pub(crate) fn with_module(self, module: &'a [u8]) -> Contents<'a> {
        Contents { module, ..self }
    }

    /// Lays the file out, with a head that this seal vouches for; an error where that is beyond what a file can hold.
    pub(crate) fn ready(mut self, seal: Seal<'_>) -> io::Result<Ready<'a>> {
        let (mut code, mut tables) = (0u64, 0u64);
        let mut functions = Vec::with_capacity(self.functions.len());
        let narrow =
            |number: u64| u32::try_from(number).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge));
        for function in &self.functions {
            let (code_end, tables_end) = (
                code + (function.code.len() + padding(function.code)) as u64,
                tables + function.tables.len() as u64,
            );
            functions.push(SavedFunction {
                entry: function.entry,
                code: narrow(code)?..narrow(code_end)?,
                tables: narrow(tables)?..narrow(tables_end)?,
                digest: function.digest,
            });
            (code, tables) = (code_end, tables_end);
        }
        let mut head = Head {
            key: self.key,
            build_name: key::build_name(),
            sections: Sections { module: 0..self.module.len() as u64, tables: 0..tables, code: 0..code },
            functions,
            profile: std::mem::take(&mut self.profile),
            refused: std::mem::take(&mut self.refused),
            trampolines: std::mem::take(&mut self.trampolines),
        };
        Ok(Ready { head: head.write(seal), sections: head.sections, contents: self })
    }
}

impl Ready<'_> {
    /// Bytes that the file will have.
    pub(crate) fn bytes(&self) -> u64 {
        self.sections.code.end
    }

    pub(crate) fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        to.write_all(&self.head)?;
        to.write_all(self.contents.module)?;
        for function in &self.contents.functions {
            to.write_all(function.tables)?;
        }
        zeros(to, self.sections.code.start - self.sections.tables.end)?;
        for function in &self.contents.functions {
            to.write_all(function.code)?;
            zeros(to, padding(function.code) as u64)?;
        }
        Ok(())
    }
}

fn zeros(to: &mut dyn Write, count: u64) -> io::Result<()> {
    io::copy(&mut io::Read::take(io::repeat(0), count), to).map(drop)
}
