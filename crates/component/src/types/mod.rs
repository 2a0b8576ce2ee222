//! The types of a component's values, interned: types that look alike have one number, and each has its size, alignment and flat form computed once
//! (canonical ABI, "Alignment", "Element Size", "Flattening").
//!
//! Where a type stands for a handle, it names a *slot*: which resource type that is in a store is known when the component is instantiated.

mod intern;
mod layout;
mod matches;
mod reflect;

use std::collections::HashMap;
use std::sync::Arc;

pub(crate) use intern::{Interner, Known};
pub(crate) use layout::{Flat, Layout};
pub(crate) use matches::{fits, same_parts};
pub use reflect::{FuncType, Type, TypeKind, TypeResource};

/// The number of a type in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TypeIndex(pub(crate) u32);

/// The number of a function type in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FuncTypeIndex(pub(crate) u32);

/// Which of a component's resource types it is, imported ones and its own counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ResourceSlot(pub(crate) u32);

/// A type, made of others of the same table. `Map` is what its specialization says: a list of pairs, in memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ValType {
    Bool,
    S8,
    U8,
    S16,
    U16,
    S32,
    U32,
    S64,
    U64,
    Float32,
    Float64,
    Char,
    String,
    ErrorContext,
    List(TypeIndex),
    FixedLengthList(TypeIndex, u32),
    /// The key, the value, and the tuple of both.
    Map(TypeIndex, TypeIndex, TypeIndex),
    Record(Box<[(Arc<str>, TypeIndex)]>),
    Tuple(Box<[TypeIndex]>),
    Variant(Box<[(Arc<str>, Option<TypeIndex>)]>),
    Enum(Box<[Arc<str>]>),
    Option(TypeIndex),
    Result(Option<TypeIndex>, Option<TypeIndex>),
    Flags(Box<[Arc<str>]>),
    Own(ResourceSlot),
    Borrow(ResourceSlot),
    Stream(Option<TypeIndex>),
    Future(Option<TypeIndex>),
}

impl ValType {
    /// What is written for the kind, as in "expected a list".
    pub(crate) fn kind_name(&self) -> &'static str {
        match self {
            ValType::Bool => "bool",
            ValType::S8 => "s8",
            ValType::U8 => "u8",
            ValType::S16 => "s16",
            ValType::U16 => "u16",
            ValType::S32 => "s32",
            ValType::U32 => "u32",
            ValType::S64 => "s64",
            ValType::U64 => "u64",
            ValType::Float32 => "f32",
            ValType::Float64 => "f64",
            ValType::Char => "char",
            ValType::String => "string",
            ValType::ErrorContext => "error-context",
            ValType::List(_) => "list",
            ValType::FixedLengthList(..) => "list of a fixed length",
            ValType::Map(..) => "map",
            ValType::Record(_) => "record",
            ValType::Tuple(_) => "tuple",
            ValType::Variant(_) => "variant",
            ValType::Enum(_) => "enum",
            ValType::Option(_) => "option",
            ValType::Result(..) => "result",
            ValType::Flags(_) => "flags",
            ValType::Own(_) => "own",
            ValType::Borrow(_) => "borrow",
            ValType::Stream(_) => "stream",
            ValType::Future(_) => "future",
        }
    }
}

/// The type of a function, with what the canonical ABI needs of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FuncTypeDef {
    pub(crate) params: Box<[(Arc<str>, TypeIndex)]>,
    pub(crate) result: Option<TypeIndex>,
    pub(crate) is_async: bool,
    /// The parameters as one tuple, which is what they are in memory.
    pub(crate) params_tuple: TypeIndex,
    pub(crate) has_borrow: bool,
}

/// Cases that are looked through; where there are more, they are found by a map.
const FEW_CASES: usize = 8;

/// All types of a component.
#[derive(Debug, Default)]
pub(crate) struct TypeTable {
    types: Vec<(ValType, Layout)>,
    by_type: HashMap<ValType, TypeIndex>,
    funcs: Vec<FuncTypeDef>,
    by_func: HashMap<FuncTypeDef, FuncTypeIndex>,
    /// By type and label, the number of each case of types that have many.
    cases: HashMap<TypeIndex, HashMap<Arc<str>, u32>>,
    /// What resource types are called in messages, by slot.
    resource_names: Vec<Option<Arc<str>>>,
}

impl TypeTable {
    pub(crate) fn get(&self, index: TypeIndex) -> &ValType {
        &self.types[index.0 as usize].0
    }

    pub(crate) fn layout(&self, index: TypeIndex) -> &Layout {
        &self.types[index.0 as usize].1
    }

    /// What a resource type is called, where it has a name in what the component imports or exports.
    pub(crate) fn resource_name(&self, slot: ResourceSlot) -> Option<&Arc<str>> {
        self.resource_names.get(slot.0 as usize)?.as_ref()
    }

    /// Gives a resource type a name, unless it has one.
    pub(crate) fn name_resource(&mut self, slot: ResourceSlot, name: &Arc<str>) {
        let index = slot.0 as usize;
        if self.resource_names.len() <= index {
            self.resource_names.resize(index + 1, None);
        }
        self.resource_names[index].get_or_insert_with(|| Arc::clone(name));
    }

    pub(crate) fn func(&self, index: FuncTypeIndex) -> &FuncTypeDef {
        &self.funcs[index.0 as usize]
    }

    /// The number of a type, whose parts are of this table.
    pub(crate) fn intern(&mut self, ty: ValType) -> TypeIndex {
        if let Some(index) = self.by_type.get(&ty) {
            return *index;
        }
        let layout = Layout::of(self, &ty);
        let index = TypeIndex(self.types.len() as u32);
        self.types.push((ty.clone(), layout));
        let labels: Vec<&Arc<str>> = match &ty {
            ValType::Variant(cases) if cases.len() > FEW_CASES => {
                cases.iter().map(|(label, _)| label).collect()
            }
            ValType::Enum(labels) if labels.len() > FEW_CASES => labels.iter().collect(),
            _ => Vec::new(),
        };
        if !labels.is_empty() {
            let numbers = labels.into_iter().zip(0..).map(|(label, number)| (Arc::clone(label), number));
            self.cases.insert(index, numbers.collect());
        }
        self.by_type.insert(ty, index);
        index
    }

    /// The number of a variant's or an enum's case.
    pub(crate) fn case(&self, ty: TypeIndex, label: &Arc<str>) -> Option<usize> {
        if let Some(cases) = self.cases.get(&ty) {
            return cases.get(label).map(|number| *number as usize);
        }
        let is_it = |known: &Arc<str>| Arc::ptr_eq(known, label) || known == label;
        match self.get(ty) {
            ValType::Variant(cases) => cases.iter().position(|(known, _)| is_it(known)),
            ValType::Enum(labels) => labels.iter().position(is_it),
            _ => None,
        }
    }

    pub(crate) fn intern_func(&mut self, ty: FuncTypeDef) -> FuncTypeIndex {
        if let Some(index) = self.by_func.get(&ty) {
            return *index;
        }
        let index = FuncTypeIndex(self.funcs.len() as u32);
        self.funcs.push(ty.clone());
        self.by_func.insert(ty, index);
        index
    }
}
