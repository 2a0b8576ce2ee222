//! Rust types in the place of [`crate::Val`]s: each type that can be handed to a guest or taken from one says how it is laid out and copies itself, so that a call walks
//! no types.
//!
//! [`ComponentType`] says which WIT type a Rust type is, [`Lower`] hands its values to a guest and [`Lift`] takes them from one. Whether a function is of the types that
//! it is called with is checked once, when it is looked up or linked (`wit.rs`), and the sizes that Rust types claim with it.
//!
//! Must stay true: what is passed is, byte for byte and trap for trap, what the walk over types (`abi`) passes, with which the tests compare it. What was lifted borrows
//! from the memory, and the store cannot be used meanwhile: the borrow checker says so, and there is no `unsafe` here.

mod arena;
mod compound;
mod concurrent;
mod func;
mod given;
mod guest_resource;
mod host;
mod lift;
mod list;
mod lower;
mod number;
mod resource;
mod resource_table;
mod shape;
mod slots;
mod stream;
mod text;
#[cfg(feature = "async")]
mod waiting;
mod wit;

use innkeeper_engine::Error;

/// After how many elements of a list it is looked whether the guest is to stop. What an element has of lists and strings is counted for itself.
const LOOK_EVERY: usize = 4096;

pub use concurrent::Running;
pub use func::TypedFunc;
pub use given::GivenHandles;
pub use guest_resource::{GuestBorrowed, GuestResource};
pub(crate) use host::{BoundHost, TypedHost};
pub use lift::LiftContext;
pub use lower::LowerContext;
pub use resource::{Borrowed, BorrowedAny, Lent, Resource};
pub use resource_table::ResourceTable;
pub use shape::Shape;
pub use slots::{Slots, SlotsMut};
pub use stream::{FutureOf, StreamOf};
#[cfg(feature = "async")]
pub use waiting::Answering;
#[cfg(feature = "async")]
pub(crate) use waiting::{WaitingHost, waiting_trampoline};
pub(crate) use wit::BoundResources;
pub use wit::{WitType, WitTypes};

/// A Rust type that is a type of WIT. Derived for structs (records, and with `#[component(flags)]` flags) and enums (enums and variants).
pub trait ComponentType {
    /// How values are laid out.
    const SHAPE: Shape;

    /// Says which type it is.
    fn define(types: &mut WitTypes) -> WitType;
}

/// A type whose values can be taken from a guest.
pub trait Lift: ComponentType {
    /// What is got: the type itself, or where it borrows from a guest's memory, the type with that lifetime.
    type Lifted<'a>;

    /// Takes a value from core values.
    ///
    /// # Errors
    /// [`crate::Trap`] where the guest breaks a rule; limits.
    fn lift<'a>(context: &mut LiftContext<'a>, slots: &mut Slots<'_>) -> Result<Self::Lifted<'a>, Error>;

    /// Takes a value from an address, which was checked: it is aligned, and all of the value's bytes are in the memory.
    ///
    /// # Errors
    /// As [`Lift::lift`].
    fn load<'a>(context: &mut LiftContext<'a>, address: u32) -> Result<Self::Lifted<'a>, Error>;

    /// Takes values that stand one after the other from an address, which was checked for all of them.
    ///
    /// # Errors
    /// As [`Lift::lift`].
    fn load_list<'a>(
        context: &mut LiftContext<'a>,
        address: u32,
        length: usize,
    ) -> Result<Vec<Self::Lifted<'a>>, Error> {
        let mut list = context.room_for(length)?;
        let mut at = address;
        for i in 0..length {
            if i % LOOK_EVERY == 0 {
                context.check_interrupts()?;
            }
            list.push(Self::load(context, at)?);
            // The last one may end where the address space does.
            at = at.wrapping_add(Self::SHAPE.size());
        }
        Ok(list)
    }
}

/// A type that is lifted as itself: it borrows nothing.
pub trait LiftOwned: for<'a> Lift<Lifted<'a> = Self> + Sized {}

impl<V: for<'a> Lift<Lifted<'a> = V>> LiftOwned for V {}

/// A type whose values can be handed to a guest.
pub trait Lower: ComponentType {
    /// Hands a value over in core values.
    ///
    /// # Errors
    /// [`crate::Trap`] where the guest breaks a rule; a trap of its `realloc`; handles that are gone.
    fn lower(&self, context: &mut LowerContext<'_>, slots: &mut SlotsMut) -> Result<(), Error>;

    /// Stores a value at an address, which was checked: it is aligned, and all of the value's bytes are in the memory.
    ///
    /// # Errors
    /// As [`Lower::lower`].
    fn store(&self, context: &mut LowerContext<'_>, address: u32) -> Result<(), Error>;

    /// Looks at the handles of resources among the values, before a guest is called with them: types that have such say so in their [`Shape::has_handles`].
    ///
    /// # Errors
    /// Where a handle is gone, or given away twice.
    fn look_at_handles(&self, given: &mut GivenHandles<'_>) -> Result<(), Error> {
        let _ = given;
        Ok(())
    }

    /// Stores values one after the other at an address, which was checked for all of them.
    ///
    /// # Errors
    /// As [`Lower::lower`].
    fn store_list(list: &[Self], context: &mut LowerContext<'_>, address: u32) -> Result<(), Error>
    where
        Self: Sized,
    {
        let mut at = address;
        for (i, value) in list.iter().enumerate() {
            if i % LOOK_EVERY == 0 {
                context.check_interrupts()?;
            }
            value.store(context, at)?;
            // The last one may end where the address space does.
            at = at.wrapping_add(Self::SHAPE.size());
        }
        Ok(())
    }
}

/// Parameters of a function: a tuple of up to 16, `()` where there are none.
pub trait ParamList: ComponentType + sealed::Sealed {}

mod sealed {
    pub trait Sealed {}
}

#[cfg(test)]
mod tests;
