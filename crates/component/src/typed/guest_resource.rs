//! Handles of a guest's resources that tell their types apart, by a Rust type that stands for each.

use std::any::TypeId;
use std::marker::PhantomData;

use innkeeper_engine::Error;

use super::resource::{Handed, hand_any, handles, lend_any, lent_any, take_any};
use super::{
    ComponentType, GivenHandles, Lift, LiftContext, Lower, LowerContext, Shape, Slots, SlotsMut, WitType,
    WitTypes,
};
use crate::resource::ResourceAny;

/// An owned resource of a guest's, of the type that `R` stands for: as [`ResourceAny`], and tells resource types apart where a function has several. Dropping it in Rust keeps the resource until the store
/// goes; [`GuestResource::drop`] has the guest drop it.
pub struct GuestResource<R> {
    any: ResourceAny,
    of: PhantomData<fn() -> R>,
}

impl<R: 'static> GuestResource<R> {
    /// A handle that is said to be of the type; where it is not, functions refuse it.
    #[must_use]
    pub fn from_any(any: ResourceAny) -> GuestResource<R> {
        GuestResource { any, of: PhantomData }
    }

    /// The handle without the type.
    #[must_use]
    pub fn any(&self) -> ResourceAny {
        self.any
    }

    /// The resource, to lend it to a guest for a call.
    #[must_use]
    pub fn borrow(&self) -> GuestBorrowed<'_, R> {
        GuestBorrowed { any: self.any, lender: PhantomData, of: PhantomData }
    }

    /// Drops the resource: its destructor is called.
    ///
    /// # Errors
    /// As [`ResourceAny::drop`].
    pub fn drop(self, store: impl innkeeper_engine::AsContextMut) -> Result<(), Error> {
        self.any.drop(store)
    }
}

impl<R> std::fmt::Debug for GuestResource<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("GuestResource").field(&self.any).finish()
    }
}

impl<R: 'static> ComponentType for GuestResource<R> {
    const SHAPE: Shape = Shape::HANDLE;

    fn define(types: &mut WitTypes) -> WitType {
        types.own(TypeId::of::<GuestResource<R>>(), None)
    }
}

impl<R: 'static> Handed for GuestResource<R> {
    fn take(context: &mut LiftContext<'_>, handle: u32) -> Result<Self, Error> {
        take_any(context, handle, TypeId::of::<GuestResource<R>>()).map(GuestResource::from_any)
    }

    fn hand(&self, context: &mut LowerContext<'_>) -> Result<u32, Error> {
        hand_any(self.any, context, TypeId::of::<GuestResource<R>>())
    }

    fn look(&self, given: &mut GivenHandles<'_>) -> Result<(), Error> {
        given.any(self.any, TypeId::of::<GuestResource<R>>(), true)
    }
}

/// A resource of a guest's that is lent for a call; see [`GuestResource`].
pub struct GuestBorrowed<'a, R> {
    any: ResourceAny,
    lender: PhantomData<&'a ()>,
    of: PhantomData<fn() -> R>,
}

impl<R> Clone for GuestBorrowed<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for GuestBorrowed<'_, R> {}

impl<R> std::fmt::Debug for GuestBorrowed<'_, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("GuestBorrowed").field(&self.any).finish()
    }
}

impl<R: 'static> ComponentType for GuestBorrowed<'_, R> {
    const SHAPE: Shape = Shape::HANDLE;

    fn define(types: &mut WitTypes) -> WitType {
        types.borrow(TypeId::of::<GuestResource<R>>(), None)
    }
}

impl<R: 'static> Handed for GuestBorrowed<'_, R> {
    fn take(context: &mut LiftContext<'_>, handle: u32) -> Result<Self, Error> {
        let any = lent_any(context, handle, TypeId::of::<GuestResource<R>>())?;
        Ok(GuestBorrowed { any, lender: PhantomData, of: PhantomData })
    }

    fn hand(&self, context: &mut LowerContext<'_>) -> Result<u32, Error> {
        lend_any(self.any, context, TypeId::of::<GuestResource<R>>())
    }

    fn look(&self, given: &mut GivenHandles<'_>) -> Result<(), Error> {
        given.any(self.any, TypeId::of::<GuestResource<R>>(), false)
    }
}

handles! {
    (R: 'static) GuestResource<R>, GuestResource<R>;
    (R: 'static) GuestBorrowed<'_, R>, GuestBorrowed<'a, R>;
}
