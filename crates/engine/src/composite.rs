//! Defined types: functions, structures, arrays, and their place in the hierarchy of subtypes.
//!
//! Core specification 2.3.8 to 2.3.11 ("Composite Types", "Recursive Types"). What makes two defined types the same is in
//! [`crate::registry`].

use crate::types::{FuncType, Mutability, ValType};

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

/// The identity of a defined type within one [`crate::Engine`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct TypeId(pub u32);

/// What a defined type is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CompositeType {
    /// A function.
    Func(FuncType),
    /// A structure: its fields in order.
    Struct(Box<[FieldType]>),
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
}

impl CompositeType {
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
