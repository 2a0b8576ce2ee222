//! Defined types: functions, structures, arrays, and their place in the hierarchy of subtypes.
//!
//! Core specification 2.3.8 to 2.3.11 ("Composite Types", "Recursive Types"). What makes two defined types the same is in
//! [`crate::registry`].

use std::sync::Arc;

use crate::types::{FuncType, HeapType, Mutability, RefType, ValType};

/// A type as its definition states it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SubType {
    /// Whether other types may declare it as their supertype.
    pub finality: Finality,
    /// The declared supertype.
    pub supertype: Option<TypeId>,
    /// What it is.
    pub composite: CompositeType,
}

/// Whether a type may have subtypes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Finality {
    /// It has none.
    Final,
    /// It may have some.
    Open,
}

/// The identity of a defined type within one [`crate::Engine`]: no other type ever has it, also when no module has this one any more.
///
/// Aligned like 32 bits, so that value types, of which modules have very many, take no more than they need.
#[repr(Rust, packed(4))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(pub u64);

/// What stands for a defined type where code executes. Unlike a [`TypeId`] it is given again when the type is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct TypeNumber(pub u32);

/// What a defined type is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CompositeType {
    /// A function.
    Func(FuncType),
    /// A structure: its fields in order.
    Struct(Arc<[FieldType]>),
    /// An array of elements of one type.
    Array(FieldType),
}

/// A field of a structure, or the elements of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FieldType {
    /// What is stored.
    pub storage: StorageType,
    /// Whether it can be changed after creation.
    pub mutability: Mutability,
}

/// What a field stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StorageType {
    /// The low 8 bits of an `i32`.
    I8,
    /// The low 16 bits of an `i32`.
    I16,
    /// A value.
    Val(ValType),
}

impl SubType {
    /// A final type without a supertype: what a function type of earlier versions of the standard is.
    #[must_use]
    pub fn plain(func: FuncType) -> SubType {
        SubType { finality: Finality::Final, supertype: None, composite: CompositeType::Func(func) }
    }

    /// The defined types that it names.
    pub(crate) fn references(&self) -> impl Iterator<Item = TypeId> {
        self.supertype.into_iter().chain(self.composite.references())
    }
}

impl TypeId {
    /// More types than so many have a number one after the other in no engine; the bit above tells members of groups that are not registered yet.
    pub(crate) const MAX_GENERATION: u32 = (1 << 31) - 1;

    /// The identity of the type that is the `generation`th to have a number, from 0.
    pub(crate) fn new(number: TypeNumber, generation: u32) -> TypeId {
        TypeId(u64::from(generation) << 32 | u64::from(number.0))
    }

    /// What stands for the type where code executes.
    #[inline]
    #[must_use]
    pub fn number(self) -> TypeNumber {
        TypeNumber(self.0 as u32)
    }
}

impl std::fmt::Display for TypeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 >> 32 {
            0 => write!(f, "{}", { self.0 }),
            generation => write!(f, "{}.{generation}", self.number().0),
        }
    }
}

impl CompositeType {
    /// The defined types that parameters and results, fields, or elements name.
    pub(crate) fn references(&self) -> impl Iterator<Item = TypeId> {
        self.value_types().filter_map(|ty| match ty {
            ValType::Ref(RefType { heap: HeapType::Concrete(id), .. }) => Some(id),
            _ => None,
        })
    }

    /// The types of parameters and results, fields, or elements, as far as they are values'.
    fn value_types(&self) -> impl Iterator<Item = ValType> {
        let of_field = |field: &FieldType| match field.storage {
            StorageType::Val(ty) => Some(ty),
            StorageType::I8 | StorageType::I16 => None,
        };
        let (func, fields): (Option<&FuncType>, &[FieldType]) = match self {
            CompositeType::Func(func) => (Some(func), &[]),
            CompositeType::Struct(fields) => (None, fields),
            CompositeType::Array(element) => (None, std::slice::from_ref(element)),
        };
        let of_func = func.into_iter().flat_map(|func| func.params().iter().chain(func.results()).copied());
        of_func.chain(fields.iter().filter_map(of_field))
    }

    /// The function type, if it is one.
    #[must_use]
    pub fn as_func(&self) -> Option<&FuncType> {
        match self {
            CompositeType::Func(func) => Some(func),
            _ => None,
        }
    }
}

impl StorageType {
    /// The type of the value that reading the field gives.
    #[must_use]
    pub fn unpacked(self) -> ValType {
        match self {
            StorageType::I8 | StorageType::I16 => ValType::I32,
            StorageType::Val(ty) => ty,
        }
    }

    /// Bytes that an element takes in an array; structures give every field whole slots.
    #[must_use]
    pub fn size_bytes(self) -> usize {
        match self {
            StorageType::I8 => 1,
            StorageType::I16 => 2,
            StorageType::Val(ValType::I32 | ValType::F32) => 4,
            StorageType::Val(ValType::V128) => 16,
            StorageType::Val(_) => 8,
        }
    }
}
