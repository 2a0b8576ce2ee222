//! What modules share that have one file: one module that is by itself, or all those of a component, with the ones that were generated for it.
//!
//! Each is a *part* with a number. Modules of a component are the same whenever it is; a generated one may differ from what it was, so that a digest of its bytes
//! is part of what its code takes for granted ([`Part::frame`]): code that was made for another one is as good as damaged.
//!
//! Must stay true: of two modules that are alive, no two are the same part of the same file.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, Weak};

use blake3::Hash;
use innkeeper_engine::index::DefinedFuncIndex;
use innkeeper_engine::tier::{Called, Lacking, ModuleParts, Verdict};

use super::SealedDirectory;
use super::entry_point::{EntryPoint, PartFunc, frame_bytes};
use super::format::SavedTrampoline;
use super::key::Key;
use super::saved::SavedCode;
use super::writer::CacheWriter;
use crate::code_memory::{HeldCode, MappedCode};
use crate::module::lock;
use crate::region::FunctionOf;
use crate::tables::Tables;
use crate::trampoline::{self, HeldTrampolines};
use crate::translate::Start;
use crate::worth::Use;

/// What is kept from run to run of one file, and in memory for all parts of it.
#[derive(Default)]
pub(crate) struct Kept {
    /// Code from an earlier time.
    mapped: Option<MappedCode>,
    /// Where there is a cache to write to.
    writer: Option<CacheWriter>,
    /// The trampolines that the parts' code was called or has called by: the file has no others, and others can go.
    pub(crate) used_trampolines: Mutex<HeldTrampolines>,
    /// Parts that a module is.
    taken: Mutex<HashSet<u32>>,
}

impl Kept {
    /// What there is of a module or component of so many bytes, and where news of it is written.
    pub(crate) fn new(
        key: Key,
        saved: Option<Arc<SavedCode>>,
        directory: Option<Arc<SealedDirectory>>,
        bytes: usize,
    ) -> Kept {
        let writer = directory.map(|directory| CacheWriter::new(key, directory, saved.clone(), bytes));
        Kept { mapped: saved.map(MappedCode::new), writer, ..Kept::default() }
    }

    /// What the file has, which goes when the last part goes.
    pub(crate) fn earlier_trampolines(&self) -> &[SavedTrampoline] {
        self.mapped.as_ref().map_or(&[], |mapped| &mapped.saved().head().trampolines)
    }
}

/// What is cached of a module that is being decoded, or of a component; nothing where there is no cache.
#[derive(Default)]
pub struct CacheLookup {
    kept: Arc<Kept>,
    number: u32,
    /// Of the bytes of a module that was generated.
    generated: Option<Hash>,
}

impl CacheLookup {
    pub(crate) fn of(kept: Kept) -> CacheLookup {
        CacheLookup { kept: Arc::new(kept), number: 0, generated: None }
    }

    /// What is cached of one of the modules, where this is a component's. The bytes are those of one that was generated for it.
    #[must_use]
    pub fn part(&self, number: u32, generated: Option<&[u8]>) -> CacheLookup {
        CacheLookup { kept: Arc::clone(&self.kept), number, generated: generated.map(blake3::hash) }
    }

    /// Whether the module is known to be valid: whatever has code in the cache was validated by the same build.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match (&self.kept.mapped, self.generated) {
            (Some(_), None) => Verdict::Valid,
            _ => Verdict::Unknown,
        }
    }
}

/// A module as a part of a file.
pub(crate) struct Part {
    kept: Arc<Kept>,
    number: u32,
    generated: Option<Hash>,
}

impl Part {
    /// The part of a file that a module is from now on. Where another one is that already, this one is of no file.
    pub(crate) fn take(lookup: CacheLookup) -> Part {
        let CacheLookup { mut kept, number, generated } = lookup;
        if !lock(&kept.taken).insert(number) {
            kept = Arc::default();
            lock(&kept.taken).insert(number);
        }
        Part { kept, number, generated }
    }

    pub(crate) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Whether there is code from an earlier time, of this part or another one.
    pub(crate) fn is_known(&self) -> bool {
        self.kept.mapped.is_some()
    }

    /// Which function one of the module's is in the file.
    pub(crate) fn func(&self, func: DefinedFuncIndex) -> PartFunc {
        PartFunc { part: self.number, func: func.0 }
    }

    /// Where one of the module's functions is entered in the file.
    pub(crate) fn entry(&self, func: DefinedFuncIndex, start: Start<'_>) -> Option<EntryPoint> {
        EntryPoint::of(self.func(func), start)
    }

    /// What code of the module takes for granted where it is entered.
    pub(crate) fn frame(&self, start: Start<'_>) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.generated.iter().flat_map(|digest| *digest.as_bytes()).collect();
        bytes.extend(frame_bytes(start));
        bytes
    }

    /// The code that one of the module's functions has from an earlier time, made known as its; none where there is none that can be used.
    pub(crate) fn function(
        &self,
        module: &Weak<ModuleParts>,
        (func, start): (DefinedFuncIndex, Start<'_>),
    ) -> Option<*const u8> {
        let mapped = self.kept.mapped.as_ref()?;
        let of = FunctionOf { module: Weak::clone(module), func };
        mapped.function(self.entry(func, start)?, &self.frame(start), of)
    }

    /// The functions of the module that the file says were hot or called, and has no code for, those first that are worth most; each with its place among all of them.
    pub(crate) fn profile(&self) -> impl Iterator<Item = (usize, DefinedFuncIndex)> {
        let profile = self.kept.mapped.iter().flat_map(|mapped| &mapped.saved().head().profile).enumerate();
        let own = profile.filter(|(_, func)| func.part == self.number);
        own.map(|(at, func)| (at, DefinedFuncIndex(func.func)))
    }

    /// Where there is a cache to write to.
    pub(crate) fn writer(&self) -> Option<&CacheWriter> {
        self.kept.writer.as_ref()
    }

    /// Whether it is known how compiling a function ends.
    pub(crate) fn has(&self, func: DefinedFuncIndex) -> bool {
        self.writer().is_some_and(|writer| writer.has(self.func(func)))
    }

    /// Notes what has been compiled.
    pub(crate) fn made(
        &self,
        (func, start): (DefinedFuncIndex, Start<'_>),
        held: Option<HeldCode>,
        tables: &Tables,
    ) {
        if let (Some(writer), Some(entry), Some(held)) = (self.writer(), self.entry(func, start), held) {
            writer.made(entry, &self.frame(start), held, tables);
        }
    }

    /// Notes functions that have been called and are interpreted.
    pub(crate) fn note_called(&self, called: &dyn Fn() -> Vec<Called>) {
        if let Some(writer) = self.writer() {
            writer.called(self.number, called().iter().map(Use::from).collect());
        }
    }

    /// Works out what is lacking of the functions that all parts have noted as called.
    pub(crate) fn settle(&self) -> Lacking {
        let Some(writer) = self.writer() else { return Lacking::default() };
        // What would be worth most is compiled first for later runs.
        let lacking = writer.settle_called();
        let used = trampoline::count_new(&lock(&self.kept.used_trampolines), self.kept.earlier_trampolines());
        writer.used_trampolines(used);
        lacking
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        lock(&self.kept.taken).remove(&self.number);
    }
}
