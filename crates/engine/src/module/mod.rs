//! A module: decoded, validated, immutable and shared.
//!
//! Function bodies stay as the bytes they came as; a tier reads them when it needs them. Nothing here depends on a store: what an
//! instance adds is in [`crate::vmctx`].

mod bytes;
mod const_expr;
mod decode;
mod file;
mod foreign;
mod held;
mod image;
mod names;
#[cfg(feature = "component")]
mod nest;
#[cfg(feature = "component")]
mod nest_names;
mod room;
mod types;

use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, OnceLock, Weak};

use bytes::ModuleBytes;
pub(crate) use const_expr::{ConstExpr, ConstOp};
#[cfg(feature = "component")]
pub use nest::{Nest, Visit};

use crate::composite::{SubType, TypeId, TypeNumber};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind};
use crate::index::*;
use crate::registry::{HeldTypes, TypeRecord};
use crate::tier::{Baseline, Disassembly, Lacking, ModuleCompiler, ModuleTiers, Preparation, Verdict};
use crate::types::*;

/// A validated module. Cloning is cheap: clones share everything.
#[derive(Clone)]
pub struct Module(pub(crate) Arc<ModuleParts>);

/// What decoding a module yields; a tier reads it through [`crate::tier`].
pub struct ModuleParts {
    pub(crate) engine: Engine,
    pub(crate) bytes: ModuleBytes,
    pub(crate) types: Vec<Arc<TypeRecord>>,
    held_types: HeldTypes,
    type_numbers: OnceLock<Box<[TypeNumber]>>,
    pub(crate) imports: Vec<ImportDecl>,
    pub(crate) exports: Vec<ExportDecl>,
    pub(crate) funcs: Vec<TypeIndex>,
    pub(crate) imported_funcs: u32,
    pub(crate) bodies: Vec<Range<u32>>,
    pub(crate) tables: Vec<TableDecl>,
    pub(crate) imported_tables: u32,
    pub(crate) memories: Vec<MemoryType>,
    pub(crate) imported_memories: u32,
    pub(crate) globals: Vec<GlobalDecl>,
    pub(crate) imported_globals: u32,
    pub(crate) tags: Vec<TypeIndex>,
    pub(crate) imported_tags: u32,
    pub(crate) start: Option<FuncIndex>,
    pub(crate) elems: Vec<ElemSegment>,
    pub(crate) datas: Vec<DataSegment>,
    /// Functions that a reference may be made to, ascending.
    pub(crate) referenced_funcs: Vec<FuncIndex>,
    name_sections: names::Sections,
    names: OnceLock<names::Names>,
    #[cfg(feature = "component")]
    path: OnceLock<Option<Box<str>>>,
    image: image::ImageOnce,
    purpose: Purpose,
    tiers: OnceLock<ModuleTiers>,
    /// The module itself, for those who keep it.
    this: OnceLock<Weak<ModuleParts>>,
}

/// Whose a module is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The embedder's, or a part of a component.
    Guest,
    /// Code that was generated to stand between guests, of which no backtrace tells.
    #[cfg(feature = "component")]
    Adapter,
}

pub(crate) struct ImportDecl {
    pub(crate) module: Box<str>,
    pub(crate) name: Box<str>,
    pub(crate) item: Item,
}

pub(crate) struct ExportDecl {
    pub(crate) name: Box<str>,
    pub(crate) item: Item,
}

/// An element of one of the index spaces that can be imported and exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Func(FuncIndex),
    Table(TableIndex),
    Memory(MemoryIndex),
    Global(GlobalIndex),
    Tag(TagIndex),
}

pub(crate) struct TableDecl {
    pub(crate) ty: TableType,
    /// What every element starts as; null where absent.
    pub(crate) init: Option<ConstExpr>,
}

pub(crate) struct GlobalDecl {
    pub(crate) ty: GlobalType,
    /// The starting value; absent for imports.
    pub(crate) init: Option<ConstExpr>,
}

pub(crate) struct ElemSegment {
    pub(crate) mode: SegmentMode<TableIndex>,
    pub(crate) items: ElemItems,
}

pub(crate) enum ElemItems {
    Funcs(Box<[FuncIndex]>),
    Exprs(Box<[ConstExpr]>),
}

impl ElemItems {
    pub(crate) fn len(&self) -> usize {
        match self {
            ElemItems::Funcs(funcs) => funcs.len(),
            ElemItems::Exprs(exprs) => exprs.len(),
        }
    }
}

pub(crate) struct DataSegment {
    pub(crate) mode: SegmentMode<MemoryIndex>,
    /// Where the contents are in the module's bytes.
    pub(crate) contents: Range<u32>,
}

pub(crate) enum SegmentMode<Target> {
    Active { target: Target, offset: ConstExpr },
    Passive,
    Declared,
}

/// What a module asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportType<'module> {
    /// First part of the name.
    pub module: &'module str,
    /// Second part of the name.
    pub name: &'module str,
    /// What must stand there.
    pub ty: ExternType,
}

/// What a module offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportType<'module> {
    /// The name under which it is offered.
    pub name: &'module str,
    /// What it is.
    pub ty: ExternType,
}

impl Module {
    /// Decodes and validates a module in the binary format, or in the text format, if the engine was made by somebody who can read it ([`Engine::with_text`]).
    ///
    /// # Errors
    /// [`crate::ErrorKind::Malformed`] with the offset where the bytes break the rules of the binary format or of validation; [`crate::ErrorKind::Text`], where text is wrong.
    pub fn new(engine: &Engine, bytes: impl Into<Vec<u8>>) -> Result<Module, Error> {
        let bytes = engine.to_binary(bytes.into())?;
        foreign::refuse(&bytes)?;
        let lookup = engine.tier().cache_lookup(engine.config(), &bytes);
        Module::of_prepared(engine, bytes, lookup)
    }

    /// As [`Module::new`], from a file of at most 1 GiB, the most that browsers take too.
    ///
    /// # Errors
    /// As [`Module::new`], and where the file cannot be read, or is larger, as devices that never end are.
    pub fn from_file(engine: &Engine, path: impl AsRef<Path>) -> Result<Module, Error> {
        let path = path.as_ref();
        let unreadable = |error| {
            Error::new(ErrorKind::Os(format!("the module's file {} cannot be read: {error}", path.display())))
        };
        Module::new(engine, file::read(path).map_err(unreadable)?)
    }

    /// The module of an engine's whose tier has been asked about it.
    pub(crate) fn of_prepared(
        engine: &Engine,
        bytes: Vec<u8>,
        preparation: Box<dyn Preparation>,
    ) -> Result<Module, Error> {
        let verdict = preparation.verdict();
        Module::with_verdict(engine, ModuleBytes::Own(bytes), (verdict, preparation))
    }

    /// The module of an engine's, of which somebody may know that it is valid.
    fn with_verdict(
        engine: &Engine,
        bytes: ModuleBytes,
        (verdict, preparation): (Verdict, Box<dyn Preparation>),
    ) -> Result<Module, Error> {
        Module::of_parts(decode::decode(engine, bytes, verdict)?, preparation)
    }

    /// A module that was generated to stand between guests; backtraces leave out its frames. It is validated whatever is known.
    #[cfg(feature = "component")]
    fn adapter(engine: &Engine, bytes: Vec<u8>, preparation: Box<dyn Preparation>) -> Result<Module, Error> {
        let mut parts = decode::decode(engine, ModuleBytes::Own(bytes), Verdict::Unknown)?;
        parts.purpose = Purpose::Adapter;
        Module::of_parts(parts, preparation)
    }

    fn of_parts(parts: ModuleParts, preparation: Box<dyn Preparation>) -> Result<Module, Error> {
        let parts = Arc::new(parts);
        let _ = parts.this.set(Arc::downgrade(&parts));
        let _ = parts.tiers.set(preparation.prepare(&parts));
        Ok(Module(parts))
    }

    /// Whether code of the module can throw exceptions of its own: those that it is given are of others' tags.
    #[must_use]
    pub fn has_tags(&self) -> bool {
        !self.0.tags.is_empty()
    }

    /// The module in the binary format, as it came.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// Checks that bytes are a valid module, without keeping it.
    ///
    /// # Errors
    /// As [`Module::new`], and where the system has no memory for a copy.
    pub fn validate(engine: &Engine, bytes: &[u8]) -> Result<(), Error> {
        let mut copy = Vec::new();
        copy.try_reserve_exact(bytes.len()).map_err(|_| {
            Error::limit(format!("the system has no memory for a copy of the module's {} bytes", bytes.len()))
        })?;
        copy.extend_from_slice(bytes);
        decode::decode(engine, ModuleBytes::Own(copy), Verdict::Unknown).map(drop)
    }

    /// The engine that the module was made for.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// Has the machine code that was made for the module written to the engine's cache, if it has one, as far as it is new and worth
    /// it. That is done now and then anyway, and when the module is dropped; a process that is about to end calls it. Failures to write
    /// are silent: the next run compiles again.
    ///
    /// Gives what was called and is still interpreted, though the cache could have code for it; nothing without a cache.
    pub fn keep_code(&self) -> Lacking {
        self.0.note_called();
        self.0.write_cache()
    }

    /// The module's name from its name section.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.module_name()
    }

    /// As [`Module::name`]; of a module of a component, with the names of the components that it is nested in before it, as in `outer/inner/module`. Where some have no name, their
    /// indices stand there.
    #[must_use]
    pub fn path_name(&self) -> Option<&str> {
        self.0.path_name()
    }

    /// What the module asks for, in order.
    pub fn imports(&self) -> impl ExactSizeIterator<Item = ImportType<'_>> {
        self.0.imports.iter().map(|import| ImportType {
            module: &import.module,
            name: &import.name,
            ty: self.0.item_type(import.item),
        })
    }

    /// What the module offers, in order.
    pub fn exports(&self) -> impl ExactSizeIterator<Item = ExportType<'_>> {
        self.0
            .exports
            .iter()
            .map(|export| ExportType { name: &export.name, ty: self.0.item_type(export.item) })
    }

    /// The memories that the module defines, in order, without those it imports.
    pub fn defined_memories(&self) -> impl ExactSizeIterator<Item = MemoryType> + '_ {
        self.0.memories[self.0.imported_memories as usize..].iter().copied()
    }

    /// Whether the module has a start function, which runs when it is instantiated.
    #[must_use]
    pub fn has_start_function(&self) -> bool {
        self.0.start.is_some()
    }

    /// How many functions the module defines.
    #[must_use]
    pub fn defined_func_count(&self) -> usize {
        self.0.bodies.len()
    }

    /// The functions that the module defines, in order.
    pub fn functions(&self) -> impl ExactSizeIterator<Item = FunctionInfo<'_>> {
        (0..self.0.bodies.len()).map(|defined| {
            let defined = DefinedFuncIndex(defined as u32);
            let func = self.0.func_index(defined);
            FunctionInfo { func, name: self.0.func_name(func), body: self.0.body_range(defined) }
        })
    }

    /// What the compiler of the module's engine makes of a function, or why it makes nothing of it; none where there is no compiler, or the
    /// function is not one that the module defines.
    #[must_use]
    pub fn explain(&self, func: FuncIndex) -> Option<Result<Disassembly, String>> {
        self.0.compiler()?.explain(&self.0, self.0.defined(func)?)
    }
}

/// A function that a module defines.
#[derive(Clone, Debug)]
pub struct FunctionInfo<'a> {
    /// The function.
    pub func: FuncIndex,
    /// Its name in the name section, or else as an export.
    pub name: Option<&'a str>,
    /// Where its body (locals and instructions) lies in the module's bytes.
    pub body: Range<usize>,
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Module").field("name", &self.name()).field("bytes", &self.0.bytes.len()).finish()
    }
}

impl ModuleParts {
    fn note_called(&self) {
        if let Some(tiers) = self.tiers.get() {
            tiers.note_called();
        }
    }

    fn write_cache(&self) -> Lacking {
        self.tiers.get().map_or(Lacking::default(), ModuleTiers::write_cache)
    }

    /// Whether the module only stands between guests: it was generated for calls of components.
    #[must_use]
    pub fn is_adapter(&self) -> bool {
        self.purpose != Purpose::Guest
    }

    /// The engine that the module was made for.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The module, to be kept.
    pub(crate) fn this(&self) -> Option<Arc<ModuleParts>> {
        self.this.get().and_then(Weak::upgrade)
    }

    /// The module as it came, in the binary format.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where a defined function's body (locals and code) lies in [`ModuleParts::bytes`].
    #[must_use]
    pub fn body_range(&self, func: DefinedFuncIndex) -> Range<usize> {
        let range = &self.bodies[func.index()];
        range.start as usize..range.end as usize
    }

    /// How many functions the module defines.
    #[must_use]
    pub fn defined_func_count(&self) -> usize {
        self.bodies.len()
    }

    /// The function's position among those the module defines; none if it is imported.
    #[must_use]
    pub fn defined(&self, func: FuncIndex) -> Option<DefinedFuncIndex> {
        func.0.checked_sub(self.imported_funcs).map(DefinedFuncIndex)
    }

    /// The function's position in the function index space.
    #[must_use]
    pub fn func_index(&self, defined: DefinedFuncIndex) -> FuncIndex {
        FuncIndex(defined.0 + self.imported_funcs)
    }

    /// The type at `index` of the type section.
    #[must_use]
    pub fn sub_type(&self, index: TypeIndex) -> &SubType {
        &self.types[index.index()].ty
    }

    /// The function type at `index` of the type section, which validation has seen to be one.
    #[must_use]
    pub fn func_type(&self, index: TypeIndex) -> &FuncType {
        static NONE: std::sync::LazyLock<FuncType> = std::sync::LazyLock::new(|| FuncType::new([], []));
        self.sub_type(index).composite.as_func().unwrap_or(&NONE)
    }

    /// What stands for each type where code executes.
    #[must_use]
    pub fn type_numbers(&self) -> &[TypeNumber] {
        self.type_numbers.get_or_init(|| self.types.iter().map(|ty| ty.number()).collect())
    }

    /// The record of a type.
    #[must_use]
    pub fn type_record(&self, index: TypeIndex) -> &Arc<TypeRecord> {
        &self.types[index.index()]
    }

    /// The engine-wide identity of a type.
    #[must_use]
    pub fn type_id(&self, index: TypeIndex) -> TypeId {
        self.types[index.index()].id
    }

    /// The type of a tag.
    #[must_use]
    pub fn tag_type(&self, tag: TagIndex) -> &FuncType {
        self.func_type(self.tags[tag.index()])
    }

    /// The type index of a function.
    #[must_use]
    pub fn type_of_func(&self, func: FuncIndex) -> TypeIndex {
        self.funcs[func.index()]
    }

    /// The type of a global.
    #[must_use]
    pub fn global_type(&self, global: GlobalIndex) -> GlobalType {
        self.globals[global.index()].ty
    }

    /// The position of a global among those that the module defines; none if it is imported.
    #[must_use]
    pub fn own_global(&self, global: GlobalIndex) -> Option<usize> {
        global.index().checked_sub(self.imported_globals as usize)
    }

    /// How many globals the module defines.
    #[must_use]
    pub fn own_globals(&self) -> usize {
        self.globals.len() - self.imported_globals as usize
    }

    /// The type of a table.
    #[must_use]
    pub fn table_type(&self, table: TableIndex) -> TableType {
        self.tables[table.index()].ty
    }

    /// The type of a memory.
    #[must_use]
    pub fn memory_type(&self, memory: MemoryIndex) -> MemoryType {
        self.memories[memory.index()]
    }

    /// What a function is called: in the name section, or else as an export.
    #[must_use]
    pub fn func_name(&self, func: FuncIndex) -> Option<&str> {
        self.names().funcs.get(func.index(), &self.bytes)
    }

    /// What a tag is called: in the name section, as an export, or as an import.
    pub(crate) fn tag_name(&self, tag: TagIndex) -> Option<String> {
        if let Some(name) = self.names().tags.get(tag.index(), &self.bytes) {
            return Some(name.to_owned());
        }
        let exported = self.exports.iter().find(|export| export.item == Item::Tag(tag));
        let imported = || self.imports.iter().find(|import| import.item == Item::Tag(tag));
        exported
            .map(|export| export.name.to_string())
            .or_else(|| imported().map(|import| import.name.to_string()))
    }

    /// The name that the name section gives the module.
    #[must_use]
    pub fn module_name(&self) -> Option<&str> {
        self.names().module(&self.bytes)
    }

    /// The name of the module where it is by itself; of a module of a component, with those of the components that it is nested in before it.
    #[must_use]
    pub fn path_name(&self) -> Option<&str> {
        #[cfg(feature = "component")]
        if let ModuleBytes::Part { whole, range } = &self.bytes {
            let path = || nest_names::path(whole, range.start, self.module_name());
            return self.path.get_or_init(path).as_deref();
        }
        self.module_name()
    }

    /// The module's code, as the tier has it that its functions start in.
    #[must_use]
    pub fn code(&self) -> &dyn Baseline {
        // Set once by `Module::new` before anybody else can see the module.
        self.tiers.get().map(|tiers| &*tiers.baseline).unwrap_or(&crate::tier::NoCode)
    }

    /// What compiles the module's functions; none where everything is interpreted.
    #[must_use]
    pub fn compiler(&self) -> Option<&dyn ModuleCompiler> {
        self.tiers.get()?.compiler.as_deref()
    }

    pub(crate) fn item_type(&self, item: Item) -> ExternType {
        match item {
            Item::Func(func) => ExternType::Func(self.func_type(self.type_of_func(func)).clone()),
            Item::Table(table) => ExternType::Table(self.table_type(table)),
            Item::Memory(memory) => ExternType::Memory(self.memory_type(memory)),
            Item::Global(global) => ExternType::Global(self.global_type(global)),
            Item::Tag(tag) => ExternType::Tag(self.tag_type(tag).clone()),
        }
    }

    fn names(&self) -> &names::Names {
        self.names.get_or_init(|| {
            names::read(&self.bytes, &self.name_sections, (self.funcs.len(), self.tags.len()))
        })
    }
}

/// That there is no memory for a list.
fn no_memory(count: usize, what: &str) -> Error {
    Error::limit(format!("the system has no memory for a list of {count} {what} of the module"))
}
