//! References to objects, as the embedder holds them.
//!
//! They keep the objects alive. One that was made during a host call is good until that call returns; one that was made outside lives as long as
//! the store, or until [`crate::Store::release_references`]. Must stay true: one that is no longer good is found out, by its generation.

use std::any::Any;
use std::sync::Arc;

use crate::error::Error;
use crate::extern_::Tag;
use crate::index::StoreId;
use crate::store::{AsContext, AsContextMut, StoreCore};
use crate::types::ValType;
use crate::value::Val;
use crate::vmctx::VmTag;
use crate::vmctx::object::{Allocation, ObjectKind, object_at};

/// A reference that the embedder holds: a place in the store's list of roots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rooted {
    store: StoreId,
    index: usize,
    /// Tells apart the references that have stood at the same place.
    generation: u64,
}

/// An entry of the store's list of roots.
pub(crate) struct Root {
    pub(crate) slot: u64,
    generation: u64,
}

/// Something from outside that guests can hold and pass on, but not look into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExternRef(pub(crate) Rooted);

/// A structure, an array, an `i31`, or an internalized object of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnyRef(pub(crate) Rooted);

/// An exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExnRef(pub(crate) Rooted);

/// What an [`AnyRef`] refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnyKind {
    /// A 31-bit integer, sign-extended.
    I31(i32),
    /// A structure.
    Struct,
    /// An array.
    Array,
    /// An object of the host.
    Host,
}

impl ExternRef {
    /// Puts `object` into the store.
    ///
    /// # Errors
    /// Where the heap's limit refuses it.
    pub fn new(mut store: impl AsContextMut, object: impl Any + Send + Sync) -> Result<ExternRef, Error> {
        let core = &mut store.as_context_mut().0.core;
        let live_end = core.stack_top();
        let allocated = core.allocate(Allocation::Host(Arc::new(object)), live_end);
        let object = allocated.ok_or_else(|| Error::limit("the heap is full (Limits::heap_bytes)"))?;
        Ok(ExternRef(core.root(object.as_ptr() as usize as u64)))
    }

    /// The object; none where it is the guest's own, or the reference is no longer good.
    #[must_use]
    pub fn get(self, store: &impl AsContext) -> Option<Arc<dyn Any + Send + Sync>> {
        let core = &store.as_context().0.core;
        core.heap.host_object(core.slot_of_root(self.0).ok()?)
    }
}

impl AnyRef {
    /// What it refers to.
    ///
    /// # Errors
    /// Where the reference is no longer good, or of another store.
    pub fn kind(self, store: &impl AsContext) -> Result<AnyKind, Error> {
        let core = &store.as_context().0.core;
        let slot = core.slot_of_root(self.0)?;
        Ok(match object_kind(slot) {
            None => AnyKind::I31((slot as u32).cast_signed() >> 1),
            Some(ObjectKind::Struct) => AnyKind::Struct,
            Some(ObjectKind::Array) => AnyKind::Array,
            Some(ObjectKind::Host | ObjectKind::Exception) => AnyKind::Host,
        })
    }

    /// The host's object, if it is one.
    #[must_use]
    pub fn get(self, store: &impl AsContext) -> Option<Arc<dyn Any + Send + Sync>> {
        ExternRef(self.0).get(store)
    }

    /// The same object as seen from inside (`any.convert_extern`).
    #[must_use]
    pub fn from_extern(object: ExternRef) -> AnyRef {
        AnyRef(object.0)
    }
}

impl ExnRef {
    /// Its tag.
    ///
    /// # Errors
    /// Where the reference is no longer good, or of another store.
    pub fn tag(self, store: &impl AsContext) -> Result<Tag, Error> {
        let core = &store.as_context().0.core;
        let (tag, _) = core.exception_parts(self)?;
        let found = core.tags.ids().find(|id| core.tags[*id].vm() == tag);
        found.map(|id| Tag::from_id(id, core)).ok_or_else(not_an_exception)
    }

    /// The values that were thrown with it, which its tag's parameters are the types of.
    ///
    /// # Errors
    /// Where the reference is no longer good, or of another store.
    pub fn values(self, mut store: impl AsContextMut) -> Result<Vec<Val>, Error> {
        let types = self.tag(&store)?.ty(&store)?;
        let core = &mut store.as_context_mut().0.core;
        let (_, slots) = core.exception_parts(self)?;
        let mut slots = slots.into_iter();
        let mut next = || slots.next().unwrap_or(0);
        let value = |ty: &ValType| {
            let slots = if *ty == ValType::V128 { [next(), next()] } else { [next(), 0] };
            Val::from_slots(slots, *ty, core)
        };
        Ok(types.params().iter().map(value).collect())
    }
}

fn not_an_exception() -> Error {
    Error::usage("the reference is to no exception of this store")
}

impl StoreCore {
    /// Keeps what `slot` refers to, for the embedder.
    pub(crate) fn root(&mut self, slot: u64) -> Rooted {
        self.root_generation += 1;
        let generation = self.root_generation;
        self.roots.push(Root { slot, generation });
        Rooted { store: self.id(), index: self.roots.len() - 1, generation }
    }

    pub(crate) fn slot_of_root(&self, root: Rooted) -> Result<u64, Error> {
        if root.store != self.id() {
            return Err(Error::usage("a reference of another store"));
        }
        match self.roots.get(root.index) {
            Some(entry) if entry.generation == root.generation => Ok(entry.slot),
            _ => Err(Error::usage("a reference that was good only during the host call it was made in")),
        }
    }

    fn exception_parts(&self, exception: ExnRef) -> Result<(*mut VmTag, Vec<u64>), Error> {
        let object = object_at(self.slot_of_root(exception.0)?);
        object.and_then(crate::vmctx::object::exception_parts).ok_or_else(not_an_exception)
    }

    pub(crate) fn root_exception(&mut self, slot: u64) -> ExnRef {
        ExnRef(self.root(slot))
    }
}

pub(crate) fn object_kind(slot: u64) -> Option<ObjectKind> {
    object_at(slot).map(crate::vmctx::object::kind)
}
