//! Handles of resources: of the host's, with the Rust type that is behind them, and of any.

use std::any::TypeId;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};

use innkeeper_engine::Error;

use super::{
    ComponentType, GivenHandles, Lift, LiftContext, Lower, LowerContext, Shape, Slots, SlotsMut, WitType,
    WitTypes,
};
use crate::resource::{ResourceAny, ResourceType, usage};
use crate::table::ResourceHandle;

/// An owned resource of the host's, `own<...>` in WIT, behind which values of type `R` are. Which one it is, a number says, most often of a
/// [`crate::ResourceTable`]. It is given to a guest once: where it is given a second time, that is an error.
pub struct Resource<R> {
    rep: u32,
    is_given: AtomicBool,
    behind: PhantomData<fn() -> R>,
}

impl<R: 'static> Resource<R> {
    /// The resource that a number stands for.
    #[must_use]
    pub fn new(rep: u32) -> Resource<R> {
        Resource { rep, is_given: AtomicBool::new(false), behind: PhantomData }
    }

    /// What stands for the resource.
    #[must_use]
    pub fn rep(&self) -> u32 {
        self.rep
    }

    /// The resource, to lend it to a guest for a call.
    #[must_use]
    pub fn borrow(&self) -> Borrowed<'_, R> {
        Borrowed { rep: self.rep, lender: PhantomData, behind: PhantomData }
    }

    /// What stands for the resource, which is given to a guest now.
    fn give(&self) -> Result<u32, Error> {
        match self.is_given.swap(true, Ordering::Relaxed) {
            false => Ok(self.rep),
            true => Err(given_before()),
        }
    }
}

fn given_before() -> Error {
    usage("the resource was given away before")
}

impl<R> std::fmt::Debug for Resource<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resource").field("rep", &self.rep).finish_non_exhaustive()
    }
}

/// A resource of the host's that is lent, `borrow<...>` in WIT: by a guest to a function of the host for as long as that runs, or by the host to a guest for a call.
pub struct Borrowed<'a, R> {
    rep: u32,
    lender: PhantomData<&'a ()>,
    behind: PhantomData<fn() -> R>,
}

impl<R> Borrowed<'_, R> {
    /// What stands for the resource.
    #[must_use]
    pub fn rep(&self) -> u32 {
        self.rep
    }
}

impl<R> Clone for Borrowed<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Borrowed<'_, R> {}

impl<R> std::fmt::Debug for Borrowed<'_, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Borrowed").field("rep", &self.rep).finish()
    }
}

impl<R: 'static> ComponentType for Resource<R> {
    const SHAPE: Shape = Shape::HANDLE;

    fn define(types: &mut WitTypes) -> WitType {
        types.own(TypeId::of::<R>(), Some(ResourceType::of::<R>()))
    }
}

impl<R: 'static> Handed for Resource<R> {
    fn take(context: &mut LiftContext<'_>, handle: u32) -> Result<Self, Error> {
        let ty = context.resource_type(TypeId::of::<R>())?;
        Ok(Resource::new(context.state.take_own(context.side.instance, handle, ty)?))
    }

    fn hand(&self, context: &mut LowerContext<'_>) -> Result<u32, Error> {
        let ty = context.resource_type(TypeId::of::<R>())?;
        let rep = self.give()?;
        let budget = context.guest.budget();
        let state = context.guest.state();
        state.instance(context.side.instance).handles.add(ResourceHandle::own(ty, rep), &budget)
    }

    fn look(&self, given: &mut GivenHandles<'_>) -> Result<(), Error> {
        if self.is_given.load(Ordering::Relaxed) || !given.first(std::ptr::from_ref(self).addr()) {
            return Err(given_before());
        }
        Ok(())
    }
}

impl<R: 'static> ComponentType for Borrowed<'_, R> {
    const SHAPE: Shape = Shape::HANDLE;

    fn define(types: &mut WitTypes) -> WitType {
        types.borrow(TypeId::of::<R>(), Some(ResourceType::of::<R>()))
    }
}

impl<R: 'static> Handed for Borrowed<'_, R> {
    fn take(context: &mut LiftContext<'_>, handle: u32) -> Result<Self, Error> {
        let ty = context.resource_type(TypeId::of::<R>())?;
        let lender = (context.side.instance, handle);
        let rep = context.lends.lend(context.state, lender, ty, &mut context.costs)?;
        Ok(Borrowed { rep, lender: PhantomData, behind: PhantomData })
    }

    fn hand(&self, context: &mut LowerContext<'_>) -> Result<u32, Error> {
        let ty = context.resource_type(TypeId::of::<R>())?;
        let budget = context.guest.budget();
        let to = (context.side.instance, context.call);
        context.guest.state().give_borrow(to, (ty, self.rep), &budget)
    }

    fn look(&self, _: &mut GivenHandles<'_>) -> Result<(), Error> {
        Ok(())
    }
}

/// A resource of the host's that a guest lends to a function of the host, in a form that borrows nothing, for functions that wait. When the call is over, what it was lent may be gone, which
/// a [`crate::ResourceTable`] finds out.
pub struct Lent<R> {
    rep: u32,
    behind: PhantomData<fn() -> R>,
}

impl<R> Lent<R> {
    /// What stands for the resource.
    #[must_use]
    pub fn rep(&self) -> u32 {
        self.rep
    }

    /// The resource, as functions take it that do not wait.
    #[must_use]
    pub fn borrow(&self) -> Borrowed<'_, R> {
        Borrowed { rep: self.rep, lender: PhantomData, behind: PhantomData }
    }
}

impl<R> std::fmt::Debug for Lent<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lent").field("rep", &self.rep).finish()
    }
}

impl<R: 'static> ComponentType for Lent<R> {
    const SHAPE: Shape = Shape::HANDLE;

    fn define(types: &mut WitTypes) -> WitType {
        Borrowed::<R>::define(types)
    }
}

impl<R: 'static> Handed for Lent<R> {
    fn take(context: &mut LiftContext<'_>, handle: u32) -> Result<Self, Error> {
        let rep = Borrowed::<R>::take(context, handle)?.rep;
        Ok(Lent { rep, behind: PhantomData })
    }

    fn hand(&self, context: &mut LowerContext<'_>) -> Result<u32, Error> {
        self.borrow().hand(context)
    }

    fn look(&self, _: &mut GivenHandles<'_>) -> Result<(), Error> {
        Ok(())
    }
}

/// Takes an owned handle from a guest, of the type that a Rust type stands for.
pub(super) fn take_any(
    context: &mut LiftContext<'_>,
    handle: u32,
    rust: TypeId,
) -> Result<ResourceAny, Error> {
    let ty = context.resource_type(rust)?;
    context.state.take_own_for_host((context.side.instance, handle), ty, context.costs.budget())
}

/// Gives an owned handle to a guest.
pub(super) fn hand_any(any: ResourceAny, context: &mut LowerContext<'_>, rust: TypeId) -> Result<u32, Error> {
    let ty = context.resource_type(rust)?;
    let budget = context.guest.budget();
    let state = context.guest.state();
    let rep = state.take_host(any, ty)?;
    state.instance(context.side.instance).handles.add(ResourceHandle::own(ty, rep), &budget)
}

/// Takes what a guest lends, until the call is over.
pub(super) fn lent_any(
    context: &mut LiftContext<'_>,
    handle: u32,
    rust: TypeId,
) -> Result<ResourceAny, Error> {
    let ty = context.resource_type(rust)?;
    let lender = (context.side.instance, handle);
    context.lends.lend_to_host(context.state, lender, ty, &mut context.costs)
}

/// Lends a handle to a guest for a call.
pub(super) fn lend_any(any: ResourceAny, context: &mut LowerContext<'_>, rust: TypeId) -> Result<u32, Error> {
    let ty = context.resource_type(rust)?;
    let (rep, lent) = context.guest.state().lend_host(any, ty)?;
    context.lends.host.push(lent);
    let budget = context.guest.budget();
    let to = (context.side.instance, context.call);
    context.guest.state().give_borrow(to, (ty, rep), &budget)
}

/// An owned resource of whatever type the function has there, most often a guest's. All in one function's type must be of one resource type.
impl ComponentType for ResourceAny {
    const SHAPE: Shape = Shape::HANDLE;

    fn define(types: &mut WitTypes) -> WitType {
        types.own(TypeId::of::<ResourceAny>(), None)
    }
}

impl Handed for ResourceAny {
    fn take(context: &mut LiftContext<'_>, handle: u32) -> Result<Self, Error> {
        take_any(context, handle, TypeId::of::<ResourceAny>())
    }

    fn hand(&self, context: &mut LowerContext<'_>) -> Result<u32, Error> {
        hand_any(*self, context, TypeId::of::<ResourceAny>())
    }

    fn look(&self, given: &mut GivenHandles<'_>) -> Result<(), Error> {
        given.any(*self, TypeId::of::<ResourceAny>(), true)
    }
}

/// A resource of whatever type the function has there, lent. As a function of the host's parameter it is good until that returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BorrowedAny(pub ResourceAny);

impl ComponentType for BorrowedAny {
    const SHAPE: Shape = Shape::HANDLE;

    fn define(types: &mut WitTypes) -> WitType {
        types.borrow(TypeId::of::<ResourceAny>(), None)
    }
}

impl Handed for BorrowedAny {
    fn take(context: &mut LiftContext<'_>, handle: u32) -> Result<Self, Error> {
        lent_any(context, handle, TypeId::of::<ResourceAny>()).map(BorrowedAny)
    }

    fn hand(&self, context: &mut LowerContext<'_>) -> Result<u32, Error> {
        lend_any(self.0, context, TypeId::of::<ResourceAny>())
    }

    fn look(&self, given: &mut GivenHandles<'_>) -> Result<(), Error> {
        given.any(self.0, TypeId::of::<ResourceAny>(), false)
    }
}

/// Something that is passed as a handle.
pub(super) trait Handed: Sized {
    /// Takes what a guest's handle stands for.
    fn take(context: &mut LiftContext<'_>, handle: u32) -> Result<Self, Error>;
    /// Gives a guest a handle.
    fn hand(&self, context: &mut LowerContext<'_>) -> Result<u32, Error>;
    /// Whether it can be given, together with those before it.
    fn look(&self, given: &mut GivenHandles<'_>) -> Result<(), Error>;
}

macro_rules! handles {
    ($(($($generics:tt)*) $ty:ty, $lifted:ty;)*) => {$(
        impl<$($generics)*> Lift for $ty {
            type Lifted<'a> = $lifted;

            fn lift<'a>(context: &mut LiftContext<'a>, slots: &mut Slots<'_>) -> Result<$lifted, Error> {
                Handed::take(context, slots.next_slot() as u32)
            }

            fn load<'a>(context: &mut LiftContext<'a>, address: u32) -> Result<$lifted, Error> {
                let handle = u32::from_le_bytes(context.read(address));
                Handed::take(context, handle)
            }
        }

        impl<$($generics)*> Lower for $ty {
            fn lower(&self, context: &mut LowerContext<'_>, slots: &mut SlotsMut) -> Result<(), Error> {
                slots.push(u64::from(self.hand(context)?));
                Ok(())
            }

            fn store(&self, context: &mut LowerContext<'_>, address: u32) -> Result<(), Error> {
                let handle = self.hand(context)?;
                context.write(address, &handle.to_le_bytes())
            }

            fn look_at_handles(&self, given: &mut GivenHandles<'_>) -> Result<(), Error> {
                self.look(given)
            }
        }
    )*};
}

pub(super) use handles;

handles! {
    (R: 'static) Resource<R>, Resource<R>;
    (R: 'static) Borrowed<'_, R>, Borrowed<'a, R>;
    (R: 'static) Lent<R>, Lent<R>;
    () ResourceAny, ResourceAny;
    () BorrowedAny, BorrowedAny;
}
