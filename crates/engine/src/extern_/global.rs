//! Globals, as the embedder reaches them (core specification 4.2.10, "Global Instances").

use super::{Global, check_type};
use crate::error::Error;
use crate::index::StoreId;
use crate::store::{AsContext, AsContextMut, GlobalId};
use crate::types::{GlobalType, Mutability};
use crate::value::Val;

impl Global {
    /// The entity's number, where it is of that store.
    #[inline]
    pub(crate) fn id_of(self, store: StoreId) -> Option<GlobalId> {
        (self.store == store).then_some(self.id)
    }

    /// A global of its own.
    ///
    /// # Errors
    /// Where `value` is of another type.
    pub fn new(mut store: impl AsContextMut, ty: GlobalType, value: Val) -> Result<Global, Error> {
        let core = &mut store.as_context_mut().0.core;
        check_type(core, value, ty.content)?;
        let slots = value.to_slots(core)?;
        let id = core.new_global(ty, slots)?;
        Ok(Global::from_id(id, core))
    }

    /// The type.
    ///
    /// # Errors
    /// Where the global is of another store.
    pub fn ty(self, store: impl AsContext) -> Result<GlobalType, Error> {
        let core = &store.as_context().0.core;
        Ok(core.globals[self.id(core)?].ty())
    }

    /// The value.
    ///
    /// # Errors
    /// Where the global is of another store.
    pub fn get(self, mut store: impl AsContextMut) -> Result<Val, Error> {
        let core = &mut store.as_context_mut().0.core;
        let global = &core.globals[self.id(core)?];
        let (slots, ty) = (global.slots(), global.ty().content);
        Ok(Val::from_slots(slots, ty, core))
    }

    /// Changes the value.
    ///
    /// # Errors
    /// Where the global is constant, or the value is of another type.
    pub fn set(self, mut store: impl AsContextMut, value: Val) -> Result<(), Error> {
        let core = &mut store.as_context_mut().0.core;
        let id = self.id(core)?;
        let ty = core.globals[id].ty();
        if ty.mutability == Mutability::Const {
            return Err(Error::usage("a constant global cannot be set"));
        }
        check_type(core, value, ty.content)?;
        let slots = value.to_slots(core)?;
        core.globals[id].set_slots(slots);
        Ok(())
    }
}
