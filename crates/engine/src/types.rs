//! The types of the standard: values, functions, tables, memories, globals and what may be imported or exported.
//!
//! Structure follows the core specification, section 2.3 ("Types"). Types here are plain data; the engine-wide identity
//! of a defined type is a [`TypeId`].

use std::fmt::{self, Display};
use std::sync::Arc;

use crate::composite::TypeId;

/// A value type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValType {
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
    /// 32-bit IEEE 754 float.
    F32,
    /// 64-bit IEEE 754 float.
    F64,
    /// 128-bit vector.
    V128,
    /// A reference.
    Ref(RefType),
}

impl ValType {
    /// `funcref`, that is `(ref null func)`.
    pub const FUNCREF: ValType = ValType::Ref(RefType::FUNCREF);
    /// `externref`, that is `(ref null extern)`.
    pub const EXTERNREF: ValType = ValType::Ref(RefType::EXTERNREF);

    /// How many 64-bit slots a value of this type takes on the guest stack: two for `v128`, else one.
    #[inline]
    #[must_use]
    pub fn slots(self) -> u32 {
        match self {
            ValType::V128 => 2,
            _ => 1,
        }
    }
}

/// A reference type: what is referred to, and whether null is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RefType {
    /// Whether the null reference belongs to the type.
    pub nullable: bool,
    /// What a non-null reference refers to.
    pub heap: HeapType,
}

impl RefType {
    /// `(ref null func)`.
    pub const FUNCREF: RefType = RefType { nullable: true, heap: HeapType::Func };
    /// `(ref null extern)`.
    pub const EXTERNREF: RefType = RefType { nullable: true, heap: HeapType::Extern };
}

/// What a reference refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeapType {
    /// Any function.
    Func,
    /// No function: the type of null among functions.
    NoFunc,
    /// Anything that comes from outside.
    Extern,
    /// Nothing from outside.
    NoExtern,
    /// Anything that the guest can make, and internalized objects of the host.
    Any,
    /// What can be compared by identity.
    Eq,
    /// A 31-bit integer without an object.
    I31,
    /// Any structure.
    Struct,
    /// Any array.
    Array,
    /// Nothing of `any`.
    None,
    /// An exception.
    Exn,
    /// No exception.
    NoExn,
    /// A value of a defined type.
    Concrete(TypeId),
}

/// A function type: parameters and results in order. Clones share them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FuncType {
    types: Arc<[ValType]>,
    params: usize,
}

impl FuncType {
    /// The type of functions from `params` to `results`.
    pub fn new(
        params: impl IntoIterator<Item = ValType>,
        results: impl IntoIterator<Item = ValType>,
    ) -> FuncType {
        let mut types: Vec<ValType> = params.into_iter().collect();
        let params = types.len();
        types.extend(results);
        // The empty one allocates nothing.
        let types = if types.is_empty() { Arc::default() } else { types.into() };
        FuncType { types, params }
    }

    /// The parameter types, in order.
    #[must_use]
    pub fn params(&self) -> &[ValType] {
        &self.types[..self.params]
    }

    /// The result types, in order.
    #[must_use]
    pub fn results(&self) -> &[ValType] {
        &self.types[self.params..]
    }

    /// Slots that all parameters take together.
    #[must_use]
    pub fn param_slots(&self) -> u32 {
        self.params().iter().map(|ty| ty.slots()).sum()
    }

    /// Slots that all results take together.
    #[must_use]
    pub fn result_slots(&self) -> u32 {
        self.results().iter().map(|ty| ty.slots()).sum()
    }

    /// Slots that a call passes through: parameters and results share them, so the larger of the two.
    #[must_use]
    pub fn call_slots(&self) -> u32 {
        self.param_slots().max(self.result_slots())
    }
}

/// The smallest and largest size of a table (elements) or memory (pages).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeRange {
    /// The size at creation.
    pub min: u64,
    /// The size that growing may reach, or none stated.
    pub max: Option<u64>,
}

impl SizeRange {
    /// Whether there is such a range: an embedder may write down any numbers.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`], where there is none.
    pub(crate) fn check(&self, what: &str) -> Result<(), crate::Error> {
        let SizeRange { min, max } = *self;
        match max {
            Some(max) if max < min => Err(crate::Error::usage(format!(
                "a {what} has {min} at first, which is more than its most, {max}"
            ))),
            _ => Ok(()),
        }
    }

    /// Whether something of current size `min` and declared maximum `max` (that is: `self`) may stand where `wanted` is imported
    /// (core specification 3.3, "Import Matching", limits).
    #[must_use]
    pub fn satisfies(&self, wanted: &SizeRange) -> bool {
        self.min >= wanted.min
            && match (self.max, wanted.max) {
                (_, None) => true,
                (Some(have), Some(want)) => have <= want,
                (None, Some(_)) => false,
            }
    }
}

/// How wide a memory's addresses and lengths, or a table's indices and lengths, are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IndexType {
    /// 32 bits.
    I32,
    /// 64 bits.
    I64,
}

impl IndexType {
    /// The greatest index.
    #[must_use]
    pub const fn max(self) -> u64 {
        match self {
            IndexType::I32 => u32::MAX as u64,
            IndexType::I64 => u64::MAX,
        }
    }
}

/// A table type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableType {
    /// The type of every element.
    pub element: RefType,
    /// Sizes in elements.
    pub size: SizeRange,
    /// How wide indices are.
    pub index: IndexType,
}

impl TableType {
    /// A table with 32-bit indices.
    #[must_use]
    pub const fn new(element: RefType, size: SizeRange) -> TableType {
        TableType { element, size, index: IndexType::I32 }
    }
}

/// Who may use a memory at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sharing {
    /// One store.
    Unshared,
    /// Any number of stores, on as many threads.
    Shared,
}

/// A memory type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryType {
    /// Sizes in pages.
    pub pages: SizeRange,
    /// How wide addresses are.
    pub index: IndexType,
    /// The size of a page: 16 for 2^16 bytes, as everywhere without the custom page sizes proposal, or 0 for one byte.
    pub page_size_log2: u32,
    /// Who may use the memory at once.
    pub sharing: Sharing,
}

impl MemoryType {
    /// The page size of memories that state none: 64 KiB.
    pub const DEFAULT_PAGE_SIZE_LOG2: u32 = 16;

    /// An unshared memory with 32-bit addresses and pages of 64 KiB.
    #[must_use]
    pub const fn new(pages: SizeRange) -> MemoryType {
        MemoryType {
            pages,
            index: IndexType::I32,
            page_size_log2: MemoryType::DEFAULT_PAGE_SIZE_LOG2,
            sharing: Sharing::Unshared,
        }
    }

    /// Bytes of a page.
    #[must_use]
    pub const fn page_bytes(&self) -> u64 {
        1 << self.page_size_log2
    }

    /// Whether there can be memories of this type: an embedder may write down any number.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`], where the size of a page is none of the two, or the largest size is below the smallest.
    pub(crate) fn check(&self) -> Result<(), crate::Error> {
        match self.page_size_log2 {
            0 | MemoryType::DEFAULT_PAGE_SIZE_LOG2 => self.pages.check("memory"),
            log2 => {
                Err(crate::Error::usage(format!("pages of a memory have 2^16 bytes or one, not 2^{log2}")))
            }
        }
    }

    /// Pages that a memory of this type can have: its maximum, or where none is stated as many as can be addressed and counted.
    #[must_use]
    pub fn max_pages(&self) -> u64 {
        let addressable = (u128::from(self.index.max()) + 1) >> self.page_size_log2;
        let countable = addressable.min(u128::from(self.index.max())) as u64;
        self.pages.max.unwrap_or(countable).min(countable)
    }

    /// Whether a memory of this type, with its current size as the minimum, may stand where `wanted` is imported.
    #[must_use]
    pub fn satisfies(&self, wanted: &MemoryType) -> bool {
        self.index == wanted.index
            && self.page_size_log2 == wanted.page_size_log2
            && self.sharing == wanted.sharing
            && self.pages.satisfies(&wanted.pages)
    }
}

/// A global type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlobalType {
    /// The type of the value held.
    pub content: ValType,
    /// Whether `global.set` may change it.
    pub mutability: Mutability,
}

/// Whether a global can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutability {
    /// The value never changes.
    Const,
    /// `global.set` may change the value.
    Var,
}

/// The type of an import or export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExternType {
    /// A function.
    Func(FuncType),
    /// A table.
    Table(TableType),
    /// A memory.
    Memory(MemoryType),
    /// A global.
    Global(GlobalType),
    /// A tag of exceptions, whose parameters are the exception's values.
    Tag(FuncType),
}

impl fmt::Display for ValType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValType::I32 => f.write_str("i32"),
            ValType::I64 => f.write_str("i64"),
            ValType::F32 => f.write_str("f32"),
            ValType::F64 => f.write_str("f64"),
            ValType::V128 => f.write_str("v128"),
            ValType::Ref(ty) => ty.fmt(f),
        }
    }
}

impl fmt::Display for RefType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.nullable, self.heap) {
            (true, HeapType::Concrete(_)) => write!(f, "(ref null {})", self.heap),
            (true, HeapType::NoFunc | HeapType::NoExtern | HeapType::NoExn | HeapType::None) => {
                write!(f, "null{}ref", self.heap.to_string().trim_start_matches("no"))
            }
            (true, heap) => write!(f, "{heap}ref"),
            (false, heap) => write!(f, "(ref {heap})"),
        }
    }
}

impl fmt::Display for HeapType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HeapType::Func => "func",
            HeapType::NoFunc => "nofunc",
            HeapType::Extern => "extern",
            HeapType::NoExtern => "noextern",
            HeapType::Any => "any",
            HeapType::Eq => "eq",
            HeapType::I31 => "i31",
            HeapType::Struct => "struct",
            HeapType::Array => "array",
            HeapType::None => "none",
            HeapType::Exn => "exn",
            HeapType::NoExn => "noexn",
            HeapType::Concrete(id) => return write!(f, "$type{id}"),
        })
    }
}

impl fmt::Display for FuncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_list(f, self.params())?;
        f.write_str(" -> ")?;
        write_list(f, self.results())
    }
}

impl fmt::Display for SizeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.max {
            Some(max) => write!(f, "{}..={max}", self.min),
            None => write!(f, "{}..", self.min),
        }
    }
}

impl fmt::Display for MemoryType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = if self.sharing == Sharing::Shared { "shared " } else { "" };
        write!(f, "{shared}memory{} {} pages", bits(self.index), self.pages)?;
        if self.page_size_log2 == MemoryType::DEFAULT_PAGE_SIZE_LOG2 {
            return Ok(());
        }
        write!(f, " of {} bytes", self.page_bytes())
    }
}

impl fmt::Display for ExternType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExternType::Func(ty) => write!(f, "func {ty}"),
            ExternType::Table(ty) => write!(f, "table{} {} of {}", bits(ty.index), ty.size, ty.element),
            ExternType::Memory(ty) => ty.fmt(f),
            ExternType::Tag(ty) => write!(f, "tag {ty}"),
            ExternType::Global(GlobalType { content, mutability: Mutability::Const }) => {
                write!(f, "global {content}")
            }
            ExternType::Global(GlobalType { content, mutability: Mutability::Var }) => {
                write!(f, "global mut {content}")
            }
        }
    }
}

/// What is said of indices that are not of the usual width.
fn bits(index: IndexType) -> &'static str {
    match index {
        IndexType::I32 => "",
        IndexType::I64 => " (64-bit)",
    }
}

fn write_list(f: &mut fmt::Formatter<'_>, types: &[ValType]) -> fmt::Result {
    f.write_str("(")?;
    for (i, ty) in types.iter().enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        ty.fmt(f)?;
    }
    f.write_str(")")
}
