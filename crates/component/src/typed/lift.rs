//! What lifting works with: the guest's memory, borrowed, and its handles.

use std::any::TypeId;

use innkeeper_engine::{Charge, Error, StoreContextMut, StoreParts};

use super::arena::Arena;
use super::wit::BoundResources;
use super::{Lift, Shape, Slots};
use crate::abi::{Costs, Lends, MAX_BYTES, Side, check_range, lift_string, lift_utf8};
use crate::decode::Encoding;
use crate::resource::ResourceTypeId;
use crate::state::State;
use crate::trap::Trap;
use crate::types::TypeIndex;

/// Where values are lifted from. What borrows from the guest's memory lives as long as `'a`.
pub struct LiftContext<'a> {
    pub(super) side: &'a Side,
    pub(super) state: &'a mut State,
    memory: &'a [u8],
    pub(super) lends: &'a mut Lends,
    resources: &'a BoundResources,
    /// Where the next string is kept that cannot be borrowed.
    kept: &'a Arena,
    pub(super) costs: Costs<'a>,
}

impl<'a> LiftContext<'a> {
    pub(crate) fn new(
        (side, resources): (&'a Side, &'a BoundResources),
        (state, memory): (&'a mut State, &'a [u8]),
        (lends, kept): (&'a mut Lends, &'a Arena),
        costs: Costs<'a>,
    ) -> LiftContext<'a> {
        LiftContext { side, state, memory, lends, resources, kept, costs }
    }

    /// A value from as many slots as it has, or from memory where these would be more than `max_flat`.
    #[inline]
    pub(crate) fn value<V: Lift>(&mut self, max_flat: usize, slots: &[u64]) -> Result<V::Lifted<'a>, Error> {
        if V::SHAPE.flat() <= max_flat {
            return V::lift(self, &mut Slots::new(slots));
        }
        let address = slots.first().copied().unwrap_or_default() as u32;
        let shape = (u64::from(V::SHAPE.size()), V::SHAPE.align());
        check_range(address, shape, self.memory.len(), Trap::PointerOutOfBounds)?;
        V::load(self, address)
    }

    /// The bytes at an address that was checked; zeros beyond the end, where nobody reads after the checks.
    #[inline]
    #[must_use]
    pub fn read<const N: usize>(&self, address: u32) -> [u8; N] {
        let from = self.memory.get(address as usize..).and_then(|from| from.first_chunk());
        from.copied().unwrap_or([0; N])
    }

    /// A number of a case or of flags, of so many bytes, at an address that was checked.
    #[must_use]
    pub fn read_number(&self, address: u32, size: u32) -> u32 {
        match size {
            1 => u32::from(self.read::<1>(address)[0]),
            2 => u32::from(u16::from_le_bytes(self.read(address))),
            _ => u32::from_le_bytes(self.read(address)),
        }
    }

    /// The error for a number that is no case's.
    #[must_use]
    pub fn no_case(&self, case: u32) -> Error {
        Trap::InvalidDiscriminant(case).into()
    }

    /// The bytes of so many values of a shape, once it is clear that they are aligned and in the memory.
    pub(super) fn list(&self, (address, length): (u32, u32), shape: Shape) -> Result<&'a [u8], Trap> {
        let bytes = u64::from(length) * u64::from(shape.size());
        if bytes > MAX_BYTES {
            return Err(Trap::ListTooLong);
        }
        let range = check_range(address, (bytes, shape.align()), self.memory.len(), Trap::ListOutOfBounds)?;
        Ok(self.memory.get(range).unwrap_or_default())
    }

    /// The bytes of values at an address that was checked.
    pub(super) fn bytes(&self, address: u32, bytes: usize) -> &'a [u8] {
        self.memory.get(address as usize..).and_then(|from| from.get(..bytes)).unwrap_or_default()
    }

    pub(super) fn owned_string(&mut self, passed: (u32, u32)) -> Result<String, Error> {
        lift_string((self.memory, self.side.encoding), passed, &mut self.costs)
    }

    /// A string of which a copy is made that cannot fail, for which there is room.
    pub(super) fn string_to_copy(&mut self, passed: (u32, u32)) -> Result<String, Error> {
        let text = self.owned_string(passed)?;
        self.costs.room_for_copy(&text)?;
        Ok(text)
    }

    /// A string where it is, or kept for as long, where it is not in UTF-8.
    pub(super) fn borrowed_string(&mut self, passed: (u32, u32)) -> Result<&'a str, Error> {
        if self.side.encoding == Encoding::Utf8 {
            self.costs.work_on(passed.1 as usize)?;
            return Ok(lift_utf8(self.memory, passed)?);
        }
        let text = self.owned_string(passed)?;
        self.costs.hold(2 * size_of::<(String, Arena)>())?;
        let (text, next) = self.kept.keep(text);
        self.kept = next;
        Ok(text)
    }

    /// Room for so many values, as far as the guest may make the host hold them.
    pub(crate) fn room_for<V>(&mut self, length: usize) -> Result<Vec<V>, Error> {
        self.costs.work_on(length.saturating_mul(size_of::<V>()))?;
        self.costs.room_for(length)
    }

    /// Stops where somebody wants the guest to; whoever lifts finds out which it is.
    pub(super) fn check_interrupts(&self) -> Result<(), Error> {
        self.costs.look()
    }

    /// Which stream's or future's type a Rust type stands for.
    pub(super) fn end_type(&self, rust: TypeId) -> Result<TypeIndex, Error> {
        self.resources.end(rust)
    }

    /// Which resource type a Rust type stands for.
    pub(super) fn resource_type(&self, rust: TypeId) -> Result<ResourceTypeId, Error> {
        self.resources.get(rust)
    }
}

/// What [`lift_from`] gives: the value, what it takes on the host's side (to be held as long as it), and the embedder's data, which can be used beside it.
pub(super) type LiftedFrom<'a, V, T> = (<V as Lift>::Lifted<'a>, Option<Charge>, &'a mut T);

/// Lifts a value with all that is lent of a store.
#[inline]
pub(super) fn lift_from<'a, V: Lift, T>(
    parts: StoreParts<'a, T, State>,
    of: (&'a Side, &'a BoundResources),
    to: (&'a mut Lends, &'a Arena),
    (max_flat, slots): (usize, &[u64]),
) -> Result<LiftedFrom<'a, V, T>, Error> {
    let StoreParts { data, attachment, memory, budget, interrupts, .. } = parts;
    let mut context = LiftContext::new(of, (attachment, memory), to, Costs::new(budget, interrupts));
    let value = context.value::<V>(max_flat, slots)?;
    Ok((value, context.costs.into_charge(), data))
}

/// Why lifting has failed: where it was given up because somebody wants the guest to stop, what is asked for.
pub(super) fn or_stopped<T: 'static>(store: &mut StoreContextMut<'_, T>, error: Error) -> Error {
    store.check_interrupts().err().unwrap_or(error)
}

impl std::fmt::Debug for LiftContext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiftContext").field("memory_bytes", &self.memory.len()).finish_non_exhaustive()
    }
}
