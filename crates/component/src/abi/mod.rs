//! The canonical ABI by one walk over types, which serves everything dynamic: calls of the host with [`crate::Val`]s, and those between guests that no code is generated for.
//!
//! The faster ways beside it (code generated for calls between guests, Rust types for the host) are compared with this one.
//!
//! Must stay true: an address or a length of a guest's is an allegation; each is checked once, in 64 bits, before anything is read or written.

mod costs;
mod fit;
mod lends;
mod lift;
mod lower;
mod string;

use std::sync::Arc;

use innkeeper_engine as core;
use innkeeper_engine::{AsContextMut, Error, StoreContextMut};

pub(crate) use costs::{Costs, Work};
pub(crate) use lends::{LendingCall, Lends};
pub(crate) use lift::{Lift, missing};
pub(crate) use lower::Lower;
pub(crate) use string::{
    Kind, StringShapes, check_allocated, lift_string, lift_utf8, locate_string, lower_string, transcode,
    write,
};

use crate::decode::Encoding;
use crate::entry::set_may_leave;
use crate::state::{InstanceId, Shared, State};
use crate::trap::{Trap, trap_on_throw};
use crate::under_way::CallUnderWay;

/// Parameters that are passed in core values; more are passed in memory (canonical ABI, `MAX_FLAT_PARAMS`).
pub(crate) const MAX_FLAT_PARAMS: usize = 16;
/// The same of functions that are lowered with the async ABI.
pub(crate) const MAX_FLAT_ASYNC_PARAMS: usize = 4;
/// Results that are passed in core values.
pub(crate) const MAX_FLAT_RESULTS: usize = 1;

/// Bytes of a list or a string (canonical ABI, `MAX_LIST_BYTE_LENGTH`).
pub(crate) const MAX_BYTES: u64 = (1 << 28) - 1;

/// Who is on the other side of a call. Traps are named by that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Boundary {
    Host,
    Guest,
}

/// A guest's side of a call: its instance, and the options that the function was lifted or lowered with.
#[derive(Clone)]
pub(crate) struct Side {
    pub(crate) shared: Arc<Shared>,
    pub(crate) instance: InstanceId,
    pub(crate) encoding: Encoding,
    pub(crate) memory: Option<core::Memory>,
    pub(crate) realloc: Option<core::Func>,
}

/// What lowering needs of a guest; whatever the embedder's data is.
pub(crate) trait Guest {
    fn state(&mut self) -> &mut State;
    fn budget(&self) -> core::Budget;
    /// The bytes of its memory; none where it has none.
    fn memory(&mut self) -> Result<&mut [u8], Error>;
    /// Stops where somebody wants the guest to.
    fn check_interrupts(&mut self) -> Result<(), Error>;
    /// Has the guest allocate, or change an allocation (canonical ABI, `reallocate`).
    fn realloc(&mut self, old: u32, old_size: u32, align: u32, new_size: u32) -> Result<u32, Error>;
}

/// A guest in its store.
pub(crate) struct InStore<'a, 'b, T: 'static> {
    pub(crate) store: &'a mut StoreContextMut<'b, T>,
    pub(crate) side: &'a Side,
}

impl<T> Guest for InStore<'_, '_, T> {
    fn state(&mut self) -> &mut State {
        self.store.attachment()
    }

    fn budget(&self) -> core::Budget {
        self.store.budget().clone()
    }

    fn memory(&mut self) -> Result<&mut [u8], Error> {
        match self.side.memory {
            Some(memory) => memory.data_mut(self.store),
            None => Ok(&mut []),
        }
    }

    fn check_interrupts(&mut self) -> Result<(), Error> {
        self.store.check_interrupts()
    }

    fn realloc(&mut self, old: u32, old_size: u32, align: u32, new_size: u32) -> Result<u32, Error> {
        let realloc = self.side.realloc.ok_or_else(no_realloc)?;
        set_may_leave(self.store, self.side.instance, false);
        // It runs as a call of its own, with a context of zeros.
        let call = CallUnderWay::begin(&mut *self.store, None);
        let mut slots = [old, old_size, align, new_size].map(u64::from);
        realloc.call_of_numbers(call.store.as_context_mut(), &mut slots).map_err(trap_on_throw)?;
        drop(call);
        set_may_leave(self.store, self.side.instance, true);
        Ok(slots[0] as u32)
    }
}

/// Validation has demanded one.
fn no_realloc() -> Error {
    crate::resource::usage("a function that allocates has no realloc")
}

/// Checks that `size` bytes at an address lie in a memory of so many, and that the address is a multiple of `align`.
pub(crate) fn check_range(
    address: u32,
    (size, align): (u64, u32),
    memory_bytes: usize,
    beyond: Trap,
) -> Result<std::ops::Range<usize>, Trap> {
    if !address.is_multiple_of(align) {
        return Err(Trap::Unaligned);
    }
    let end = u64::from(address) + size;
    if end > memory_bytes as u64 { Err(beyond) } else { Ok(address as usize..end as usize) }
}
