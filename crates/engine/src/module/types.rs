//! Types as the parser gives them, as the engine keeps them.

use wasmparser::{CompositeInnerType, UnpackedIndex};

use super::*;
use crate::composite::{CompositeType, FieldType, Finality, StorageType};
use crate::error::ErrorKind;
use crate::registry::MEMBER;

pub(super) fn memory_type(ty: &wasmparser::MemoryType) -> MemoryType {
    MemoryType {
        pages: SizeRange { min: ty.initial, max: ty.maximum },
        index: index_type(ty.memory64),
        page_size_log2: ty.page_size_log2.unwrap_or(MemoryType::DEFAULT_PAGE_SIZE_LOG2),
        sharing: if ty.shared { Sharing::Shared } else { Sharing::Unshared },
    }
}

/// wasmparser says with a flag whether indices have 64 bits.
pub(super) fn index_type(wide: bool) -> IndexType {
    if wide { IndexType::I64 } else { IndexType::I32 }
}

impl ModuleParts {
    pub(super) fn context(&self) -> TypeContext<'_> {
        TypeContext { parts: self, start: self.types.len() }
    }
}

/// What type indices mean: those below `start` are of types already registered, others of the group being read.
pub(super) struct TypeContext<'a> {
    pub(super) parts: &'a ModuleParts,
    pub(super) start: usize,
}

impl TypeContext<'_> {
    pub(super) fn sub_type(&self, ty: &wasmparser::SubType) -> Result<SubType, Error> {
        let supertype = ty.supertype_idxs.first().map(|index| self.type_id(index.unpack())).transpose()?;
        let composite = match &ty.composite_type.inner {
            CompositeInnerType::Func(func) => CompositeType::Func(self.func_type(func)?),
            CompositeInnerType::Struct(ty) => CompositeType::Struct(
                ty.fields.iter().map(|field| self.field(field)).collect::<Result<_, _>>()?,
            ),
            CompositeInnerType::Array(ty) => CompositeType::Array(self.field(&ty.0)?),
            CompositeInnerType::Cont(_) => return Err(unsupported("continuation types")),
        };
        let finality = if ty.is_final { Finality::Final } else { Finality::Open };
        Ok(SubType { finality, supertype, composite })
    }

    fn field(&self, field: &wasmparser::FieldType) -> Result<FieldType, Error> {
        let storage = match field.element_type {
            wasmparser::StorageType::I8 => StorageType::I8,
            wasmparser::StorageType::I16 => StorageType::I16,
            wasmparser::StorageType::Val(ty) => StorageType::Val(self.val_type(ty)?),
        };
        Ok(FieldType { storage, mutability: mutability(field.mutable) })
    }

    pub(super) fn func_type(&self, ty: &wasmparser::FuncType) -> Result<FuncType, Error> {
        let params = ty.params().iter().map(|ty| self.val_type(*ty)).collect::<Result<Vec<_>, _>>()?;
        let results = ty.results().iter().map(|ty| self.val_type(*ty)).collect::<Result<Vec<_>, _>>()?;
        Ok(FuncType::new(params, results))
    }

    pub(super) fn val_type(&self, ty: wasmparser::ValType) -> Result<ValType, Error> {
        Ok(match ty {
            wasmparser::ValType::I32 => ValType::I32,
            wasmparser::ValType::I64 => ValType::I64,
            wasmparser::ValType::F32 => ValType::F32,
            wasmparser::ValType::F64 => ValType::F64,
            wasmparser::ValType::V128 => ValType::V128,
            wasmparser::ValType::Ref(ty) => ValType::Ref(self.ref_type(ty)?),
        })
    }

    pub(super) fn ref_type(&self, ty: wasmparser::RefType) -> Result<RefType, Error> {
        Ok(RefType { nullable: ty.is_nullable(), heap: self.heap_type(ty.heap_type())? })
    }

    pub(super) fn heap_type(&self, ty: wasmparser::HeapType) -> Result<HeapType, Error> {
        use wasmparser::AbstractHeapType as Abstract;
        Ok(match ty {
            wasmparser::HeapType::Concrete(index) => HeapType::Concrete(self.type_id(index)?),
            wasmparser::HeapType::Abstract { shared: false, ty } => match ty {
                Abstract::Func => HeapType::Func,
                Abstract::NoFunc => HeapType::NoFunc,
                Abstract::Extern => HeapType::Extern,
                Abstract::NoExtern => HeapType::NoExtern,
                Abstract::Any => HeapType::Any,
                Abstract::Eq => HeapType::Eq,
                Abstract::I31 => HeapType::I31,
                Abstract::Struct => HeapType::Struct,
                Abstract::Array => HeapType::Array,
                Abstract::None => HeapType::None,
                Abstract::Exn => HeapType::Exn,
                Abstract::NoExn => HeapType::NoExn,
                other => return Err(unsupported(&format!("the heap type {other:?}"))),
            },
            other => return Err(unsupported(&format!("the heap type {other:?}"))),
        })
    }

    fn type_id(&self, index: UnpackedIndex) -> Result<TypeId, Error> {
        match index {
            UnpackedIndex::Module(index) => match self.parts.types.get(index as usize) {
                Some(record) => Ok(record.id),
                None => Ok(TypeId(MEMBER + u64::from(index - self.start as u32))),
            },
            UnpackedIndex::RecGroup(index) => Ok(TypeId(MEMBER + u64::from(index))),
            other => Err(unsupported(&format!("the type index {other:?}"))),
        }
    }

    pub(super) fn table_type(&self, ty: &wasmparser::TableType) -> Result<TableType, Error> {
        let size = SizeRange { min: ty.initial, max: ty.maximum };
        Ok(TableType { element: self.ref_type(ty.element_type)?, size, index: index_type(ty.table64) })
    }

    pub(super) fn global_type(&self, ty: &wasmparser::GlobalType) -> Result<GlobalType, Error> {
        Ok(GlobalType { content: self.val_type(ty.content_type)?, mutability: mutability(ty.mutable) })
    }
}

impl ModuleParts {
    /// The engine's form of a heap type that an instruction of this module names.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for types of proposals that are not implemented.
    pub fn heap_type(&self, ty: wasmparser::HeapType) -> Result<HeapType, Error> {
        self.context().heap_type(ty)
    }
}

pub(super) fn mutability(mutable: bool) -> Mutability {
    if mutable { Mutability::Var } else { Mutability::Const }
}

pub(super) fn unsupported(what: &str) -> Error {
    Error::new(ErrorKind::Unsupported(what.to_owned()))
}
