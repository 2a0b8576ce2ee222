//! The engine-wide registry of defined types.
//!
//! Two defined types are the same exactly when they have the same [`TypeId`], whichever module they came from. Types are registered by
//! recursion groups (core specification 3.1.2, "Rolling and Unrolling"): within a group, references to its own members are positions in
//! the group, so that groups of the same shape are the same whatever their modules called them. Entries are never removed: programs use few
//! distinct types, and an identity that is never reused cannot be confused.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::composite::{CompositeType, FieldType, StorageType, SubType, TypeId};
use crate::error::Error;
use crate::types::{FuncType, HeapType, RefType, ValType};

/// A registered type, with what executing code wants to know of it. Its address is its identity too.
#[derive(Debug)]
pub struct TypeRecord {
    /// The identity.
    pub id: TypeId,
    /// The definition, in which all references are engine-wide.
    pub ty: SubType,
    /// The chain of supertypes from the root down to this type itself.
    pub supertypes: Box<[TypeId]>,
}

impl TypeRecord {
    /// Whether this type is `other` or one of its subtypes.
    #[inline]
    #[must_use]
    pub fn is_subtype_of(&self, other: &TypeRecord) -> bool {
        self.supertypes.get(other.supertypes.len() - 1) == Some(&other.id)
    }
}

#[derive(Default)]
pub(crate) struct Registry(RwLock<Inner>);

#[derive(Default)]
struct Inner {
    /// The first type of each group, by the group with its own members as positions.
    groups: HashMap<Box<[SubType]>, TypeId>,
    records: Vec<Arc<TypeRecord>>,
}

/// Distinct types that one engine can hold; a bound on memory that a host loading hostile modules can rely on.
const MAX_TYPES: usize = 10_000_000;

/// In a group that is not registered yet, its member `i` is `TypeId(MEMBER + i)`.
pub(crate) const MEMBER: u32 = 1 << 31;

impl Registry {
    /// Registers a recursion group and gives its members' records. Members refer to each other by [`MEMBER`] numbers.
    pub(crate) fn intern(&self, group: &[SubType]) -> Result<Vec<Arc<TypeRecord>>, Error> {
        {
            let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(first) = inner.groups.get(group) {
                return Ok(inner.group(*first, group.len()));
            }
        }
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = inner.groups.get(group) {
            return Ok(inner.group(*first, group.len()));
        }
        if inner.records.len() + group.len() > MAX_TYPES {
            return Err(Error::limit(format!("the engine holds {MAX_TYPES} types, the most it can")));
        }
        let first = inner.records.len() as u32;
        for ty in group {
            let ty = resolve(ty, first);
            let id = TypeId(inner.records.len() as u32);
            let mut supertypes = match ty.supertype {
                Some(above) => inner.records[above.0 as usize].supertypes.to_vec(),
                None => Vec::new(),
            };
            supertypes.push(id);
            inner.records.push(Arc::new(TypeRecord { id, ty, supertypes: supertypes.into() }));
        }
        inner.groups.insert(group.into(), TypeId(first));
        Ok(inner.group(TypeId(first), group.len()))
    }

    /// Whether an embedder's type is one of this engine, as far as can be told: an identity could be another engine's, or nobody's.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`].
    pub(crate) fn check(&self, ty: ValType) -> Result<(), Error> {
        match ty {
            ValType::Ref(RefType { heap: HeapType::Concrete(id), .. }) if !self.knows(id) => {
                Err(Error::usage(format!("the engine has no type {}; is it another engine's?", id.0)))
            }
            _ => Ok(()),
        }
    }

    fn knows(&self, id: TypeId) -> bool {
        (id.0 as usize) < self.0.read().unwrap_or_else(PoisonError::into_inner).records.len()
    }

    /// The record of a function type that stands alone.
    pub(crate) fn intern_func(&self, ty: &FuncType) -> Result<Arc<TypeRecord>, Error> {
        ty.params().iter().chain(ty.results()).try_for_each(|ty| self.check(*ty))?;
        let mut records = self.intern(&[SubType::plain(ty.clone())])?;
        Ok(records.remove(0))
    }

    /// The record that `id` stands for.
    pub(crate) fn get(&self, id: TypeId) -> Arc<TypeRecord> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).records[id.0 as usize].clone()
    }

    /// Whether `sub` is `sup` or a subtype of it (core specification 3.3.4, "Value Types").
    pub(crate) fn val_matches(&self, sub: ValType, sup: ValType) -> bool {
        match (sub, sup) {
            (ValType::Ref(sub), ValType::Ref(sup)) => self.ref_matches(sub, sup),
            _ => sub == sup,
        }
    }

    /// Whether `sub` is `sup` or a subtype of it (core specification 3.3.3, "Reference Types").
    pub(crate) fn ref_matches(&self, sub: RefType, sup: RefType) -> bool {
        (!sub.nullable || sup.nullable) && self.heap_matches(sub.heap, sup.heap)
    }

    /// Whether `sub` is `sup` or a subtype of it (core specification 3.3.2, "Heap Types").
    pub(crate) fn heap_matches(&self, sub: HeapType, sup: HeapType) -> bool {
        use HeapType::*;
        match (sub, sup) {
            _ if sub == sup => true,
            (Concrete(sub), Concrete(sup)) => self.get(sub).is_subtype_of(&self.get(sup)),
            (Concrete(sub), _) => {
                let above = match self.get(sub).ty.composite {
                    CompositeType::Func(_) => Func,
                    CompositeType::Struct(_) => Struct,
                    CompositeType::Array(_) => Array,
                };
                self.heap_matches(above, sup)
            }
            (None, Any | Eq | I31 | Struct | Array) => true,
            (None, Concrete(sup)) => self.get(sup).ty.composite.as_func().is_none(),
            (NoFunc, Func) | (NoExtern, Extern) | (NoExn, Exn) => true,
            (NoFunc, Concrete(sup)) => self.get(sup).ty.composite.as_func().is_some(),
            (I31 | Struct | Array, Eq | Any) | (Eq, Any) => true,
            _ => false,
        }
    }
}

impl Inner {
    fn group(&self, first: TypeId, len: usize) -> Vec<Arc<TypeRecord>> {
        self.records[first.0 as usize..first.0 as usize + len].to_vec()
    }
}

/// The type with references to its own group's members made engine-wide; the group's first member is `first`.
fn resolve(ty: &SubType, first: u32) -> SubType {
    let id = |id: TypeId| if id.0 >= MEMBER { TypeId(id.0 - MEMBER + first) } else { id };
    let val = |ty: ValType| match ty {
        ValType::Ref(RefType { nullable, heap: HeapType::Concrete(of) }) => {
            ValType::Ref(RefType { nullable, heap: HeapType::Concrete(id(of)) })
        }
        other => other,
    };
    let field = |field: FieldType| FieldType {
        storage: match field.storage {
            StorageType::Val(ty) => StorageType::Val(val(ty)),
            packed => packed,
        },
        mutability: field.mutability,
    };
    SubType {
        finality: ty.finality,
        supertype: ty.supertype.map(id),
        composite: match &ty.composite {
            CompositeType::Func(func) => CompositeType::Func(FuncType::new(
                func.params().iter().map(|ty| val(*ty)),
                func.results().iter().map(|ty| val(*ty)),
            )),
            CompositeType::Struct(fields) => {
                CompositeType::Struct(fields.iter().map(|f| field(*f)).collect())
            }
            CompositeType::Array(element) => CompositeType::Array(field(*element)),
        },
    }
}
