//! The engine-wide registry of defined types.
//!
//! Two defined types are the same exactly when they have the same [`TypeId`], whichever module they came from. Types are registered by
//! recursion groups (core specification 3.1.2, "Rolling and Unrolling"): within a group, references to its own members are positions in
//! the group, so that groups of the same shape are the same whatever their modules called them.
//!
//! A group stays as long as somebody holds it ([`HeldTypes`]: a module, a store, or a group that refers to it), so that an engine can load modules without end.
//!
//! Must stay true: a [`TypeId`] is never given to another type. The [`TypeNumber`] that executing code compares is given again, when no module and
//! no store is left that could meet the type which had it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::composite::{CompositeType, FieldType, StorageType, SubType, TypeId, TypeNumber};
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
    pub supertypes: Box<[TypeNumber]>,
    /// The group that it is of.
    group: GroupId,
}

impl TypeRecord {
    /// What executing code compares.
    #[inline]
    #[must_use]
    pub fn number(&self) -> TypeNumber {
        self.id.number()
    }

    /// Whether this type is `other` or one of its subtypes.
    #[inline]
    #[must_use]
    pub fn is_subtype_of(&self, other: &TypeRecord) -> bool {
        self.supertypes.get(other.supertypes.len() - 1) == Some(&other.number())
    }
}

#[derive(Default)]
pub(crate) struct Registry(RwLock<Inner>);

#[derive(Default)]
struct Inner {
    /// By the group with its own members as positions.
    ids: HashMap<Arc<[SubType]>, GroupId>,
    groups: HashMap<GroupId, Group>,
    /// By the number of the type.
    slots: Vec<Slot>,
    /// Numbers that no type has at present.
    free: Vec<TypeNumber>,
}

/// The number of a group's first member.
type GroupId = TypeNumber;

/// A recursion group that somebody holds.
struct Group {
    key: Arc<[SubType]>,
    members: Box<[Arc<TypeRecord>]>,
    /// Groups that the members refer to, each once; this one holds them.
    refers_to: Box<[GroupId]>,
    holders: AtomicUsize,
}

/// What a number stands for.
#[derive(Default)]
struct Slot {
    /// How many types have had the number before.
    generation: u32,
    record: Option<Arc<TypeRecord>>,
}

/// Groups of types that somebody holds, each once: they stay as long as this.
pub(crate) struct HeldTypes {
    registry: Arc<Registry>,
    groups: HashSet<GroupId>,
}

impl Drop for HeldTypes {
    fn drop(&mut self) {
        if !self.groups.is_empty() {
            self.registry.0.write().unwrap_or_else(PoisonError::into_inner).release(self.groups.drain());
        }
    }
}

/// Distinct types that one engine can hold at a time; a bound on memory that a host loading hostile modules can rely on.
const MAX_TYPES: usize = 10_000_000;

/// In a group that is not registered yet, its member `i` is `TypeId(MEMBER + i)`.
pub(crate) const MEMBER: u64 = 1 << 63;

impl HeldTypes {
    /// Nothing yet.
    pub(crate) fn new(registry: &Arc<Registry>) -> HeldTypes {
        HeldTypes { registry: Arc::clone(registry), groups: HashSet::new() }
    }

    /// Registers a recursion group, holds it, and gives its members' records. Members refer to each other by [`MEMBER`] numbers.
    pub(crate) fn intern(&mut self, group: &[SubType]) -> Result<Vec<Arc<TypeRecord>>, Error> {
        if group.is_empty() {
            return Ok(Vec::new());
        }
        {
            let inner = self.registry.0.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(found) = inner.find(group, &mut self.groups) {
                return Ok(found);
            }
        }
        let mut inner = self.registry.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = inner.find(group, &mut self.groups) {
            return Ok(found);
        }
        let id = inner.add(group)?;
        self.groups.insert(id);
        Ok(inner.groups[&id].members.to_vec())
    }

    /// The record of a function type that stands alone.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] where it names a type that the engine does not have, or not any more.
    pub(crate) fn intern_func(&mut self, ty: &FuncType) -> Result<Arc<TypeRecord>, Error> {
        for ty in ty.params().iter().chain(ty.results()) {
            match ty {
                // A member of a group stands for nothing outside.
                ValType::Ref(RefType { heap: HeapType::Concrete(id), .. }) if id.0 >= MEMBER => {
                    return Err(unknown(*id));
                }
                _ => {}
            }
        }
        let mut records = self.intern(&[SubType::plain(ty.clone())])?;
        Ok(records.remove(0))
    }

    /// Holds an embedder's type.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] where it is not one of this engine, or of no module or store that is left.
    pub(crate) fn hold(&mut self, ty: ValType) -> Result<(), Error> {
        if let ValType::Ref(RefType { heap: HeapType::Concrete(id), .. }) = ty {
            let inner = self.registry.0.read().unwrap_or_else(PoisonError::into_inner);
            let group = inner.get(id).ok_or_else(|| unknown(id))?.group;
            inner.hold(group, &mut self.groups);
        }
        Ok(())
    }
}

impl Registry {
    /// The record that `id` stands for; none where no module and no store holds it any more, or it is another engine's.
    pub(crate) fn get(&self, id: TypeId) -> Option<Arc<TypeRecord>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Whether a type is a function's.
    pub(crate) fn is_func(&self, id: TypeId) -> bool {
        self.get(id).is_some_and(|record| record.ty.composite.as_func().is_some())
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
            (Concrete(sub), Concrete(sup)) => {
                self.get(sub).zip(self.get(sup)).is_some_and(|(sub, sup)| sub.is_subtype_of(&sup))
            }
            (Concrete(sub), _) => {
                let Some(sub) = self.get(sub) else { return false };
                let above = match sub.ty.composite {
                    CompositeType::Func(_) => Func,
                    CompositeType::Struct(_) => Struct,
                    CompositeType::Array(_) => Array,
                };
                self.heap_matches(above, sup)
            }
            (None, Any | Eq | I31 | Struct | Array) => true,
            (None, Concrete(sup)) => self.get(sup).is_some_and(|sup| sup.ty.composite.as_func().is_none()),
            (NoFunc, Func) | (NoExtern, Extern) | (NoExn, Exn) => true,
            (NoFunc, Concrete(sup)) => self.is_func(sup),
            (I31 | Struct | Array, Eq | Any) | (Eq, Any) => true,
            _ => false,
        }
    }
}

fn unknown(id: TypeId) -> Error {
    Error::usage(format!("the engine has no type {id}; is it another engine's, or of modules that are gone?"))
}

impl Inner {
    fn get(&self, id: TypeId) -> Option<&Arc<TypeRecord>> {
        let record = self.slots.get(id.number().0 as usize)?.record.as_ref()?;
        (record.id == id).then_some(record)
    }

    /// The members of a group that is registered, which `held` holds from now on.
    fn find(&self, group: &[SubType], held: &mut HashSet<GroupId>) -> Option<Vec<Arc<TypeRecord>>> {
        let id = *self.ids.get(group)?;
        self.hold(id, held);
        Some(self.groups[&id].members.to_vec())
    }

    fn hold(&self, group: GroupId, held: &mut HashSet<GroupId>) {
        if held.insert(group) {
            self.groups[&group].holders.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Registers a group with one holder.
    fn add(&mut self, group: &[SubType]) -> Result<GroupId, Error> {
        if self.slots.len() - self.free.len() + group.len() > MAX_TYPES {
            return Err(Error::limit(format!("the engine holds {MAX_TYPES} types, the most it can")));
        }
        let refers_to = self.references_of(group)?;
        let ids: Vec<TypeId> = group.iter().map(|_| self.new_id()).collect();
        let id = ids[0].number();
        let mut members = Vec::with_capacity(group.len());
        for (ty, own) in group.iter().zip(&ids) {
            let ty = resolve(ty, &ids);
            // One of the group's own, which has been made before, or one that `references_of` has found.
            let above = ty.supertype.and_then(|above| self.get(above));
            let mut supertypes = above.map_or(Vec::new(), |above| above.supertypes.to_vec());
            supertypes.push(own.number());
            let record = Arc::new(TypeRecord { id: *own, ty, supertypes: supertypes.into(), group: id });
            self.slots[own.number().0 as usize].record = Some(Arc::clone(&record));
            members.push(record);
        }
        for other in &refers_to {
            self.groups[other].holders.fetch_add(1, Ordering::Relaxed);
        }
        let key: Arc<[SubType]> = group.into();
        self.ids.insert(Arc::clone(&key), id);
        let holders = AtomicUsize::new(1);
        let refers_to = refers_to.into_iter().collect();
        self.groups.insert(id, Group { key, members: members.into(), refers_to, holders });
        Ok(id)
    }

    /// An identity that no type has had.
    fn new_id(&mut self) -> TypeId {
        let number = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            TypeNumber(self.slots.len() as u32 - 1)
        });
        TypeId::new(number, self.slots[number.0 as usize].generation)
    }

    /// The other groups that a group refers to.
    fn references_of(&self, group: &[SubType]) -> Result<HashSet<GroupId>, Error> {
        let mut groups = HashSet::new();
        let mut note = |id: TypeId| {
            if id.0 < MEMBER {
                groups.insert(self.get(id).ok_or_else(|| unknown(id))?.group);
            }
            Ok::<_, Error>(())
        };
        for ty in group {
            ty.supertype.map(&mut note).transpose()?;
            for val in ty.composite.value_types() {
                if let ValType::Ref(RefType { heap: HeapType::Concrete(id), .. }) = val {
                    note(id)?;
                }
            }
        }
        Ok(groups)
    }

    /// Ends the hold on groups, and frees those that nobody holds any more, with what only they hold. Chains of them may be very long: no recursion.
    fn release(&mut self, groups: impl Iterator<Item = GroupId>) {
        let mut released: Vec<GroupId> = groups.collect();
        while let Some(id) = released.pop() {
            let Some(group) = self.groups.get(&id) else { continue };
            if group.holders.fetch_sub(1, Ordering::Relaxed) > 1 {
                continue;
            }
            let Some(group) = self.groups.remove(&id) else { continue };
            self.ids.remove(&group.key);
            released.extend(&group.refers_to);
            for member in &group.members {
                let number = member.number();
                let slot = &mut self.slots[number.0 as usize];
                slot.record = None;
                // A number whose generations are used up is not given again.
                if let Some(next) =
                    slot.generation.checked_add(1).filter(|next| *next <= TypeId::MAX_GENERATION)
                {
                    slot.generation = next;
                    self.free.push(number);
                }
            }
        }
    }
}

/// The type with references to its own group's members made engine-wide; those have `ids`.
fn resolve(ty: &SubType, ids: &[TypeId]) -> SubType {
    let id = |id: TypeId| if id.0 >= MEMBER { ids[(id.0 - MEMBER) as usize] } else { id };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::composite::Finality;
    use crate::types::Mutability;

    impl Registry {
        /// How many types there are, and how many numbers have been given.
        fn counts(&self) -> (usize, usize) {
            let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
            (inner.groups.values().map(|group| group.members.len()).sum(), inner.slots.len())
        }
    }

    /// An open structure with a field that refers to a type, or with so many numbers.
    fn structure(field: Result<TypeId, usize>, supertype: Option<TypeId>) -> SubType {
        let storage = |ty| FieldType { storage: StorageType::Val(ty), mutability: Mutability::Const };
        let fields = match field {
            Ok(id) => vec![storage(ValType::Ref(RefType { nullable: true, heap: HeapType::Concrete(id) }))],
            Err(count) => vec![storage(ValType::I32); count],
        };
        SubType { finality: Finality::Open, supertype, composite: CompositeType::Struct(fields.into()) }
    }

    #[test]
    fn types_go_with_their_last_holder_and_identities_never_come_again() {
        let registry = Arc::new(Registry::default());
        let mut seen = HashSet::new();
        for _ in 0..100 {
            let (mut a, mut b) = (HeldTypes::new(&registry), HeldTypes::new(&registry));
            let first = a.intern(&[structure(Err(1), None)]).unwrap();
            let same = b.intern(&[structure(Err(1), None)]).unwrap();
            assert_eq!(first[0].id, same[0].id);
            // One that refers to it holds it.
            let above = b.intern(&[structure(Ok(first[0].id), None), structure(Ok(TypeId(MEMBER)), None)]);
            let (first, above) = (first[0].id, above.unwrap()[1].id);
            assert!(seen.insert(first) && seen.insert(above), "{first} {above}");
            drop(a);
            assert!(registry.get(first).is_some());
            let mut other = HeldTypes::new(&registry);
            let heap = HeapType::Concrete(above);
            other.hold(ValType::Ref(RefType { nullable: false, heap })).unwrap();
            drop(b);
            assert!(registry.get(first).is_some() && registry.get(above).is_some());
            drop(other);
            assert!(registry.get(first).is_none() && registry.get(above).is_none());
            // What is gone cannot be named, held or referred to any more.
            let mut late = HeldTypes::new(&registry);
            let gone = ValType::Ref(RefType { nullable: true, heap });
            late.hold(gone).unwrap_err();
            late.intern_func(&FuncType::new([gone], [])).unwrap_err();
            assert_eq!(registry.counts(), (0, 3));
        }
    }

    /// However long chains of types are, of supertypes or of references, they are freed without recursion.
    #[test]
    fn long_chains_are_freed() {
        let registry = Arc::new(Registry::default());
        let mut held = HeldTypes::new(&registry);
        let mut last = held.intern(&[structure(Err(1), None)]).unwrap()[0].id;
        for depth in 0..200_000 {
            let supertype = (depth % 60 != 0).then_some(last);
            last = held.intern(&[structure(Ok(last), supertype)]).unwrap()[0].id;
        }
        // The last holds all the others.
        let mut end = HeldTypes::new(&registry);
        end.hold(ValType::Ref(RefType { nullable: true, heap: HeapType::Concrete(last) })).unwrap();
        drop(held);
        assert_eq!(registry.counts().0, 200_001);
        drop(end);
        assert_eq!(registry.counts().0, 0);
    }
}
