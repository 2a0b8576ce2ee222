//! References to objects, as the embedder holds them.
//!
//! They keep the objects alive. One that was made during a host call is good until that call returns; one that was made outside lives as long as
//! the store, or until [`crate::Store::release_references`], or until the [`RootScope`] it was made in ends. One that is to be held for as long as somebody wants it,
//! and no longer, is an [`OwnedRooted`]. Must stay true: one that is no longer good is found out, by its generation.
//!
//! Here are the references that are defined by what they may refer to; structures and arrays are in `aggregate`, exceptions in `exception`.

mod aggregate;
mod defined_type;
mod exception;
mod roots;

use std::any::Any;
use std::sync::Arc;

pub use aggregate::{ArrayRef, StructRef};
pub use defined_type::DefinedType;
pub use exception::ExnRef;
pub use roots::{OwnedRooted, Reference, RootScope};
pub(crate) use roots::{OwnedRoots, Root, Rooted};

use crate::error::Error;
use crate::store::{AsContext, AsContextMut, StoreCore};
use crate::vmctx::object::{Allocation, ObjectKind, object_at};

/// Defines a reference: a place in the store's list of roots, as a typed function's parameter or result as well.
macro_rules! references {
    ($($(#[$doc:meta])* $name:ident $heap:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// `==` compares handles: two that were got separately are unequal, whether or not they refer to the same object.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name(pub(crate) $crate::reference::Rooted);

        impl $crate::func::Handle for $name {
            const HEAP: $crate::types::HeapType = $crate::types::HeapType::$heap;
            fn from_slot(slot: u64, core: &mut $crate::store::StoreCore) -> Self {
                $name(core.root(slot))
            }
            fn to_slot(self, core: &$crate::store::StoreCore) -> Result<u64, $crate::error::Error> {
                core.slot_of_root(self.0)
            }
        }

        impl $crate::reference::roots::Place for $name {
            fn rooted(self) -> $crate::reference::Rooted {
                self.0
            }
            fn at(rooted: $crate::reference::Rooted) -> Self {
                $name(rooted)
            }
        }

        impl $crate::reference::Reference for $name {}
    )*};
}
use references;

references! {
    /// Something from outside that guests can hold and pass on, but not look into.
    ExternRef Extern;
    /// A structure, an array, an `i31`, or an internalized object of the host.
    AnyRef Any;
    /// A structure, an array, or an `i31`: what can be compared by identity.
    EqRef Eq;
}

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

/// A 31-bit integer, which is a reference without an object: it belongs to no store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct I31(u32);

impl I31 {
    /// The signed integer; none where it takes more than 31 bits.
    #[must_use]
    pub const fn new(value: i32) -> Option<I31> {
        let wrapped = I31::wrapping(value);
        if wrapped.get() == value { Some(wrapped) } else { None }
    }

    /// The lower 31 bits, as `ref.i31` takes them.
    #[must_use]
    pub const fn wrapping(value: i32) -> I31 {
        I31(value.cast_unsigned() & 0x7fff_ffff)
    }

    /// The integer, sign-extended (`i31.get_s`).
    #[must_use]
    pub const fn get(self) -> i32 {
        (self.0 << 1).cast_signed() >> 1
    }

    /// The integer, zero-extended (`i31.get_u`).
    #[must_use]
    pub const fn get_unsigned(self) -> u32 {
        self.0
    }

    fn slot(self) -> u64 {
        u64::from(self.0 << 1 | 1)
    }

    fn of_slot(slot: u64) -> I31 {
        I31((slot as u32) >> 1)
    }
}

impl crate::func::Handle for I31 {
    const HEAP: crate::types::HeapType = crate::types::HeapType::I31;
    fn from_slot(slot: u64, _: &mut StoreCore) -> Self {
        I31::of_slot(slot)
    }
    fn to_slot(self, _: &StoreCore) -> Result<u64, Error> {
        Ok(self.slot())
    }
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
        let object = allocated.ok_or_else(heap_is_full)?;
        Ok(ExternRef(core.root(object.as_ptr() as usize as u64)))
    }

    /// The object; none where it is the guest's own, or the reference is no longer good or of another store: [`ExternRef::data`] tells which.
    #[must_use]
    pub fn get(self, store: &impl AsContext) -> Option<Arc<dyn Any + Send + Sync>> {
        self.data(store).ok().flatten()
    }

    /// The object; none where it is the guest's own.
    ///
    /// # Errors
    /// Where the reference is no longer good, or of another store.
    pub fn data(self, store: impl AsContext) -> Result<Option<Arc<dyn Any + Send + Sync>>, Error> {
        let core = &store.as_context().0.core;
        Ok(core.heap.host_object(core.slot_of_root(self.0)?))
    }

    /// Whether both refer to the same object, or the same integer, however they were got; `==` compares the handles alone.
    ///
    /// # Errors
    /// Where one of the references is no longer good, or of another store.
    #[doc(alias = "ref_eq")]
    pub fn same(store: impl AsContext, a: ExternRef, b: ExternRef) -> Result<bool, Error> {
        same(&store.as_context().0.core, a.0, b.0)
    }
}

fn same(core: &StoreCore, a: Rooted, b: Rooted) -> Result<bool, Error> {
    Ok(core.slot_of_root(a)? == core.slot_of_root(b)?)
}

impl AnyRef {
    /// As [`ExternRef::same`]; structures and arrays convert into this with `into`.
    ///
    /// # Errors
    /// Where one of the references is no longer good, or of another store.
    #[doc(alias = "ref_eq")]
    pub fn same(store: impl AsContext, a: AnyRef, b: AnyRef) -> Result<bool, Error> {
        same(&store.as_context().0.core, a.0, b.0)
    }

    /// What it refers to.
    ///
    /// # Errors
    /// Where the reference is no longer good, or of another store.
    pub fn kind(self, store: &impl AsContext) -> Result<AnyKind, Error> {
        let core = &store.as_context().0.core;
        let slot = core.slot_of_root(self.0)?;
        Ok(match object_kind(slot) {
            None => AnyKind::I31(I31::of_slot(slot).get()),
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

    /// The same object as seen from outside (`extern.convert_any`).
    #[must_use]
    pub fn to_extern(self) -> ExternRef {
        ExternRef(self.0)
    }

    /// A 31-bit integer as a reference.
    pub fn from_i31(mut store: impl AsContextMut, value: I31) -> AnyRef {
        AnyRef(store.as_context_mut().0.core.root(value.slot()))
    }

    /// The integer, if it is one of 31 bits.
    ///
    /// # Errors
    /// Where the reference is no longer good, or of another store. So are those of the methods below.
    pub fn as_i31(self, store: impl AsContext) -> Result<Option<I31>, Error> {
        let slot = store.as_context().0.core.slot_of_root(self.0)?;
        Ok(object_kind(slot).is_none().then(|| I31::of_slot(slot)))
    }

    /// The structure, if it is one.
    ///
    /// # Errors
    /// As [`AnyRef::as_i31`].
    pub fn as_struct(self, store: impl AsContext) -> Result<Option<StructRef>, Error> {
        Ok((self.kind(&store)? == AnyKind::Struct).then_some(StructRef(self.0)))
    }

    /// The array, if it is one.
    ///
    /// # Errors
    /// As [`AnyRef::as_i31`].
    pub fn as_array(self, store: impl AsContext) -> Result<Option<ArrayRef>, Error> {
        Ok((self.kind(&store)? == AnyKind::Array).then_some(ArrayRef(self.0)))
    }

    /// The reference as one that can be compared, unless it is to an object of the host.
    ///
    /// # Errors
    /// As [`AnyRef::as_i31`].
    pub fn as_eq(self, store: impl AsContext) -> Result<Option<EqRef>, Error> {
        Ok((self.kind(&store)? != AnyKind::Host).then_some(EqRef(self.0)))
    }
}

impl EqRef {
    /// Whether both are the same structure, array or integer (`ref.eq`).
    ///
    /// # Errors
    /// Where one of the references is no longer good, or of another store.
    #[doc(alias = "ref_eq")]
    pub fn same(store: impl AsContext, a: EqRef, b: EqRef) -> Result<bool, Error> {
        same(&store.as_context().0.core, a.0, b.0)
    }
}

impl From<EqRef> for AnyRef {
    fn from(reference: EqRef) -> AnyRef {
        AnyRef(reference.0)
    }
}

/// That the heap's limit refuses an object.
fn heap_is_full() -> Error {
    Error::limit("the heap is full (Limits::heap_bytes)")
}

pub(crate) fn object_kind(slot: u64) -> Option<ObjectKind> {
    object_at(slot).map(crate::vmctx::object::kind)
}
