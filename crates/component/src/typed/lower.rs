//! What lowering works with: the guest, whose `realloc` may run at any time, so that its memory is looked up anew for each write.

use std::any::TypeId;

use super::wit::BoundResources;
use super::{Lower, Shape, SlotsMut};
use crate::abi::{Guest, Kind, Lends, MAX_BYTES, Side, check_allocated, check_range, lower_string, write};
use crate::resource::ResourceTypeId;
use crate::trap::Trap;
use crate::types::TypeIndex;

use innkeeper_engine::Error;

/// Where values are lowered to.
pub struct LowerContext<'a> {
    pub(super) side: &'a Side,
    pub(super) guest: &'a mut dyn Guest,
    /// The call that handles are borrowed for; none where there can be no such.
    pub(super) call: Option<u32>,
    pub(super) lends: &'a mut Lends,
    resources: &'a BoundResources,
}

impl<'a> LowerContext<'a> {
    pub(crate) fn new(
        (side, resources): (&'a Side, &'a BoundResources),
        (guest, call): (&'a mut dyn Guest, Option<u32>),
        lends: &'a mut Lends,
    ) -> LowerContext<'a> {
        LowerContext { side, guest, call, lends, resources }
    }

    /// Parameters: in slots, or in memory of the guest's where there would be more than `max_flat`.
    pub(crate) fn params<V: Lower>(
        &mut self,
        max_flat: usize,
        params: &V,
        slots: &mut SlotsMut,
    ) -> Result<(), Error> {
        if V::SHAPE.flat() <= max_flat {
            return params.lower(self, slots);
        }
        let address = self.guest.realloc(0, 0, V::SHAPE.align(), V::SHAPE.size())?;
        self.check::<V>(address, Trap::ReallocOutOfBounds)?;
        params.store(self, address)?;
        slots.push(u64::from(address));
        Ok(())
    }

    /// A result: in a slot, or where the caller wants it.
    pub(crate) fn result<V: Lower>(
        &mut self,
        max_flat: usize,
        (result, out): (&V, u32),
        slots: &mut SlotsMut,
    ) -> Result<(), Error> {
        if V::SHAPE.flat() <= max_flat {
            return result.lower(self, slots);
        }
        self.check::<V>(out, Trap::PointerOutOfBounds)?;
        result.store(self, out)
    }

    fn check<V: Lower>(&mut self, address: u32, beyond: Trap) -> Result<(), Error> {
        let shape = (u64::from(V::SHAPE.size()), V::SHAPE.align());
        Ok(check_range(address, shape, self.guest.memory()?.len(), beyond).map(drop)?)
    }

    /// Writes bytes at an address that was checked.
    ///
    /// # Errors
    /// Where the guest has no memory, which no checked function comes to.
    #[inline]
    pub fn write(&mut self, address: u32, bytes: &[u8]) -> Result<(), Error> {
        write(self.guest, address, bytes)
    }

    /// Writes the number of a case or of flags, in so many bytes.
    ///
    /// # Errors
    /// As [`LowerContext::write`].
    pub fn write_number(&mut self, address: u32, number: u32, size: u32) -> Result<(), Error> {
        let bytes = number.to_le_bytes();
        self.write(address, bytes.get(..size as usize).unwrap_or(&bytes))
    }

    pub(super) fn check_interrupts(&mut self) -> Result<(), Error> {
        self.guest.check_interrupts()
    }

    /// The bytes at an address that was checked, to write to.
    pub(super) fn bytes(&mut self, address: u32, bytes: usize) -> Result<&mut [u8], Error> {
        let memory = self.guest.memory()?;
        let to = memory.get_mut(address as usize..).and_then(|to| to.get_mut(..bytes));
        Ok(to.ok_or(Trap::PointerOutOfBounds)?)
    }

    /// Has the guest allocate room for so many values.
    pub(super) fn allocate(&mut self, length: usize, shape: Shape) -> Result<u32, Error> {
        let bytes = (length as u64).saturating_mul(u64::from(shape.size()));
        if bytes > MAX_BYTES {
            return Err(Trap::ListTooLong.into());
        }
        let address = self.guest.realloc(0, 0, shape.align(), bytes as u32)?;
        check_allocated(self.guest, address, (bytes, shape.align()), crate::abi::Boundary::Host, Kind::List)?;
        Ok(address)
    }

    /// Has the guest allocate room for a string, and writes it; gives its address and length as they are passed.
    pub(super) fn string(&mut self, text: &str) -> Result<(u32, u32), Error> {
        lower_string(self.guest, text, self.side.encoding)
    }

    pub(super) fn write_pair(&mut self, address: u32, (first, second): (u32, u32)) -> Result<(), Error> {
        let pair = u64::from(first) | u64::from(second) << 32;
        self.write(address, &pair.to_le_bytes())
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

impl std::fmt::Debug for LowerContext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LowerContext").finish_non_exhaustive()
    }
}
