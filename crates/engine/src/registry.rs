//! The engine-wide registry of defined types.
//!
//! Two defined types are the same exactly when they have the same [`TypeId`], whichever module they came from. Types are registered by
//! recursion groups (core specification 3.1.2, "Rolling and Unrolling"): within a group, references to its own members are positions in
//! the group, so that groups of the same shape are the same whatever their modules called them.
//!
//! A group stays as long as somebody holds it ([`HeldTypes`]: a module, a store, or a group that refers to it), so that an engine can load modules without end.
//!
//! Must stay true: a [`TypeId`] is never given to another type. The [`TypeNumber`] that executing code compares is given again, when no module and
//! no store is left that could meet the type which had it. Nobody waits for somebody else's large group: groups are hashed, compared, made and freed with nothing
//! locked, and what is done under the lock for each of their types is done in portions.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

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
pub(crate) struct Registry {
    /// Keyed anew in each engine, so that nobody can choose groups that have one hash.
    hasher: RandomState,
    inner: RwLock<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Groups that can be found, by the hash of what they are found by.
    by_hash: BTreeSet<(u64, GroupId)>,
    groups: HashMap<GroupId, Arc<Group>>,
    /// By the number of the type.
    slots: Vec<Slot>,
    /// Numbers that no type has at present.
    free: Vec<TypeNumber>,
    /// Types that there are, or that are being made.
    types: usize,
}

/// The number of a group's first member, which is the last of its members' that is given again.
type GroupId = TypeNumber;

/// A recursion group that somebody holds.
struct Group {
    /// The members with each other as positions.
    key: Box<[SubType]>,
    hash: u64,
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
            self.registry.release(self.groups.drain());
        }
    }
}

/// Distinct types that one engine can hold at a time; a bound on memory that a host loading hostile modules can rely on.
const MAX_TYPES: usize = 10_000_000;

/// Types that something is done for before the lock is let go.
const PORTION: usize = 4096;

/// In a group that is not registered yet, its member `i` is `TypeId(MEMBER + i)`.
pub(crate) const MEMBER: u64 = 1 << 63;

impl HeldTypes {
    /// Nothing yet.
    pub(crate) fn new(registry: &Arc<Registry>) -> HeldTypes {
        HeldTypes { registry: Arc::clone(registry), groups: HashSet::new() }
    }

    /// Whether they are types of this registry.
    pub(crate) fn is_of(&self, registry: &Arc<Registry>) -> bool {
        Arc::ptr_eq(&self.registry, registry)
    }

    /// How many groups are held.
    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }

    /// Registers a recursion group, holds it, and gives its members' records. Members refer to each other by [`MEMBER`] numbers.
    pub(crate) fn intern(&mut self, group: Vec<SubType>) -> Result<Vec<Arc<TypeRecord>>, Error> {
        if group.is_empty() {
            return Ok(Vec::new());
        }
        let hash = self.registry.hasher.hash_one(&group);
        let mut others = HashSet::new();
        if let Some(found) = self.find(hash, &group, &mut others) {
            return Ok(found.members.to_vec());
        }
        let new = self.make(hash, group)?;
        let registry = Arc::clone(&self.registry);
        // Somebody else may have registered the same one meanwhile, and then this one goes again.
        while !registry.write().publish(&new, &others) {
            if let Some(found) = self.find(hash, &new.key, &mut others) {
                self.let_go(new.id());
                return Ok(found.members.to_vec());
            }
        }
        Ok(new.members.to_vec())
    }

    /// The record of a function type that stands alone.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] where it names a type that the engine does not have, or not any more.
    pub(crate) fn intern_func(&mut self, ty: &FuncType) -> Result<Arc<TypeRecord>, Error> {
        self.intern_alone(SubType::plain(ty.clone()))
    }

    /// Holds an embedder's type.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] where it is not one of this engine, or of no module or store that is left.
    pub(crate) fn hold(&mut self, ty: ValType) -> Result<(), Error> {
        match ty {
            ValType::Ref(RefType { heap: HeapType::Concrete(id), .. }) => self.hold_id(id),
            _ => Ok(()),
        }
    }

    fn hold_id(&mut self, id: TypeId) -> Result<(), Error> {
        let inner = self.registry.read();
        // A type whose group is gone is about to go.
        let group = inner.get(id).and_then(|record| inner.groups.get(&record.group));
        inner.hold(group.ok_or_else(|| unknown(id))?, &mut self.groups);
        Ok(())
    }

    /// The group that is registered with the members of `group`, which this holds from now on. `others` are the first members of groups that have the same hash
    /// and are known to be others.
    fn find(&mut self, hash: u64, group: &[SubType], others: &mut HashSet<TypeId>) -> Option<Arc<Group>> {
        loop {
            let candidate = {
                let inner = self.registry.read();
                let candidate = Arc::clone(inner.candidate(hash, others)?);
                inner.hold(&candidate, &mut self.groups);
                candidate
            };
            if *candidate.key == *group {
                return Some(candidate);
            }
            // That it is held, too, does no harm: one hash for two groups is next to impossible.
            others.insert(candidate.members[0].id);
        }
    }

    /// Makes a group that cannot be found yet, and holds it.
    fn make(&mut self, hash: u64, group: Vec<SubType>) -> Result<Arc<Group>, Error> {
        let registry = Arc::clone(&self.registry);
        let mut refers_to = HeldTypes::new(&registry);
        let mut seen = HashSet::new();
        for id in group.iter().flat_map(SubType::references).filter(|id| id.0 < MEMBER) {
            if seen.insert(id) {
                refers_to.hold_id(id)?;
            }
        }
        let ids = registry.new_ids(group.len())?;
        let id = ids[0].number();
        let mut members: Vec<Arc<TypeRecord>> = Vec::with_capacity(group.len());
        for (ty, own) in group.iter().zip(&ids) {
            // One of the group's own, which has been made before, or one that is held.
            let above = ty.supertype.and_then(|above| match above.0.checked_sub(MEMBER) {
                Some(member) => members.get(member as usize).cloned(),
                None => registry.get(above),
            });
            let mut supertypes = above.map_or(Vec::new(), |above| above.supertypes.to_vec());
            supertypes.push(own.number());
            let (id, ty, supertypes) = (*own, resolve(ty, &ids), supertypes.into());
            members.push(Arc::new(TypeRecord { id, ty, supertypes, group: ids[0].number() }));
        }
        // From now on the group holds them.
        let refers_to = std::mem::take(&mut refers_to.groups).into_iter().collect();
        let (key, members, holders) = (group.into(), members.into(), AtomicUsize::new(1));
        let made = Arc::new(Group { key, hash, members, refers_to, holders });
        // The group first: whoever finds a member finds that.
        registry.write().groups.insert(id, Arc::clone(&made));
        self.groups.insert(id);
        for members in made.members.chunks(PORTION) {
            registry.write().occupy(members);
        }
        Ok(made)
    }

    fn let_go(&mut self, group: GroupId) {
        if self.groups.remove(&group) {
            self.registry.release([group].into_iter());
        }
    }
}

impl Registry {
    /// The record that `id` stands for; none where no module and no store holds it any more, or it is another engine's.
    pub(crate) fn get(&self, id: TypeId) -> Option<Arc<TypeRecord>> {
        self.read().get(id).cloned()
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

pub(crate) fn unknown(id: TypeId) -> Error {
    Error::usage(format!("the engine has no type {id}; is it another engine's, or of modules that are gone?"))
}

impl Registry {
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many identities that no type has had.
    fn new_ids(&self, count: usize) -> Result<Vec<TypeId>, Error> {
        {
            let mut inner = self.write();
            if inner.types + count > MAX_TYPES {
                return Err(Error::limit(format!("the engine holds {MAX_TYPES} types, the most it can")));
            }
            inner.types += count;
        }
        let mut ids = Vec::with_capacity(count);
        while ids.len() < count {
            let mut inner = self.write();
            let portion = (count - ids.len()).min(PORTION);
            ids.extend((0..portion).map(|_| inner.new_id()));
        }
        Ok(ids)
    }

    /// Ends a hold on each of these groups, and frees those that nobody holds any more, with what only they hold. Chains of them may be very long: no recursion.
    fn release(&self, groups: impl Iterator<Item = GroupId>) {
        let mut released: Vec<GroupId> = groups.collect();
        while !released.is_empty() {
            let freed: Vec<Arc<Group>> = {
                let mut inner = self.write();
                let portion = released.len().saturating_sub(PORTION);
                released.drain(portion..).filter_map(|id| inner.end_hold(id)).collect()
            };
            for group in freed {
                released.extend(&group.refers_to);
                for members in group.members.rchunks(PORTION) {
                    self.write().vacate(members);
                }
            }
        }
    }
}

impl Group {
    fn id(&self) -> GroupId {
        self.members[0].number()
    }
}

impl Inner {
    fn get(&self, id: TypeId) -> Option<&Arc<TypeRecord>> {
        let record = self.slots.get(id.number().0 as usize)?.record.as_ref()?;
        (record.id == id).then_some(record)
    }

    fn hold(&self, group: &Group, held: &mut HashSet<GroupId>) {
        if held.insert(group.id()) {
            group.holders.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A group with this hash that is not one of `others`.
    fn candidate(&self, hash: u64, others: &HashSet<TypeId>) -> Option<&Arc<Group>> {
        let all = self.by_hash.range((hash, TypeNumber(0))..=(hash, TypeNumber(u32::MAX)));
        let mut groups = all.filter_map(|(_, id)| self.groups.get(id));
        groups.find(|group| !others.contains(&group.members[0].id))
    }

    /// Lets a group be found, unless there is one with its hash that is not one of `others`: that may be the same.
    fn publish(&mut self, group: &Group, others: &HashSet<TypeId>) -> bool {
        let is_alone = self.candidate(group.hash, others).is_none();
        if is_alone {
            self.by_hash.insert((group.hash, group.id()));
        }
        is_alone
    }

    /// An identity that no type has had.
    fn new_id(&mut self) -> TypeId {
        let number = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            TypeNumber(self.slots.len() as u32 - 1)
        });
        TypeId::new(number, self.slots[number.0 as usize].generation)
    }

    /// Ends a hold on a group; gives the group where that was the last one, and it cannot be found or held any more.
    fn end_hold(&mut self, id: GroupId) -> Option<Arc<Group>> {
        if self.groups.get(&id)?.holders.fetch_sub(1, Ordering::Relaxed) > 1 {
            return None;
        }
        let group = self.groups.remove(&id)?;
        self.by_hash.remove(&(group.hash, id));
        Some(group)
    }

    fn occupy(&mut self, members: &[Arc<TypeRecord>]) {
        for member in members {
            self.slots[member.number().0 as usize].record = Some(Arc::clone(member));
        }
    }

    /// Lets the numbers of types be given again that are gone, the first one last.
    fn vacate(&mut self, members: &[Arc<TypeRecord>]) {
        self.types -= members.len();
        for member in members.iter().rev() {
            let number = member.number();
            let slot = &mut self.slots[number.0 as usize];
            slot.record = None;
            // A number whose generations are used up is not given again.
            let next = slot.generation.checked_add(1).filter(|next| *next <= TypeId::MAX_GENERATION);
            if let Some(next) = next {
                slot.generation = next;
                self.free.push(number);
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
    let has_own = ty.composite.references().any(|id| id.0 >= MEMBER);
    SubType {
        finality: ty.finality,
        supertype: ty.supertype.map(id),
        composite: match &ty.composite {
            // Shared with what it is found by.
            composite if !has_own => composite.clone(),
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
            let inner = self.read();
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
            let first = a.intern(vec![structure(Err(1), None)]).unwrap();
            let same = b.intern(vec![structure(Err(1), None)]).unwrap();
            assert_eq!(first[0].id, same[0].id);
            // One that refers to it holds it.
            let above = b.intern(vec![structure(Ok(first[0].id), None), structure(Ok(TypeId(MEMBER)), None)]);
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
        let mut last = held.intern(vec![structure(Err(1), None)]).unwrap()[0].id;
        for depth in 0..200_000 {
            let supertype = (depth % 60 != 0).then_some(last);
            last = held.intern(vec![structure(Ok(last), supertype)]).unwrap()[0].id;
        }
        // The last holds all the others.
        let mut end = HeldTypes::new(&registry);
        end.hold(ValType::Ref(RefType { nullable: true, heap: HeapType::Concrete(last) })).unwrap();
        drop(held);
        assert_eq!(registry.counts().0, 200_001);
        drop(end);
        assert_eq!(registry.counts().0, 0);
    }

    /// Each thread of several that register one group at once gets the same types, whoever was first.
    #[test]
    fn groups_that_are_registered_at_once_are_one() {
        let registry = Arc::new(Registry::default());
        let group = || (0..3).map(|i| structure(Ok(TypeId(MEMBER + (i + 1) % 3)), None)).collect();
        for _ in 0..200 {
            let meet = std::sync::Barrier::new(4);
            std::thread::scope(|scope| {
                let intern = || {
                    let mut held = HeldTypes::new(&registry);
                    meet.wait();
                    let ids: Vec<TypeId> = held.intern(group()).unwrap().iter().map(|ty| ty.id).collect();
                    meet.wait();
                    ids
                };
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(intern)).collect();
                let all: HashSet<Vec<TypeId>> =
                    threads.into_iter().map(|thread| thread.join().unwrap()).collect();
                assert_eq!(all.len(), 1, "{all:?}");
            });
            assert_eq!(registry.counts().0, 0);
            assert_eq!(registry.read().types, 0);
        }
        // Numbers that were reserved in vain are given again.
        assert!(registry.counts().1 <= 12, "{:?}", registry.counts());
    }

    /// Whoever has a small type meanwhile waits for a portion at most, of making it, of finding it again, and of freeing it. Others may be at work on the machine: one of several attempts has
    /// to show it.
    #[test]
    fn nobody_waits_for_a_large_group() {
        let registry = Arc::new(Registry::default());
        let large = || vec![structure(Err(20), None); 200_000];
        let mut seen = Vec::new();
        for _ in 0..10 {
            let is_over = std::sync::atomic::AtomicBool::new(false);
            let worst = std::thread::scope(|scope| {
                let waiting = scope.spawn(|| {
                    let mut worst = std::time::Duration::ZERO;
                    for count in (1..60).cycle() {
                        let begin = std::time::Instant::now();
                        HeldTypes::new(&registry).intern(vec![structure(Err(count), None)]).unwrap();
                        worst = worst.max(begin.elapsed());
                        if is_over.load(Ordering::Relaxed) {
                            break;
                        }
                        std::thread::yield_now();
                    }
                    worst
                });
                let groups = [large(), large()];
                let begin = std::time::Instant::now();
                let mut held = [HeldTypes::new(&registry), HeldTypes::new(&registry)];
                for (held, group) in held.iter_mut().zip(groups) {
                    held.intern(group).unwrap();
                }
                drop(held);
                let taken = begin.elapsed();
                is_over.store(true, Ordering::Relaxed);
                (waiting.join().unwrap(), taken)
            });
            seen.push(worst);
            if worst.0 * 8 < worst.1 {
                return;
            }
        }
        panic!("waited, of time that it took: {seen:?}");
    }
}
