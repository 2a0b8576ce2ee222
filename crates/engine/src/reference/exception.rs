//! Exceptions, made and read by the host (core specification 4.2.16, "Exception Instances").

use super::{heap_is_full, references};
use crate::error::Error;
use crate::extern_::Tag;
use crate::runtime::objects;
use crate::store::{AsContext, AsContextMut, StoreCore};
use crate::types::ValType;
use crate::value::Val;
use crate::vmctx::VmTag;
use crate::vmctx::object::object_at;

references! {
    /// An exception: a tag, and values of the types that are the tag's parameters. A function of the host throws it by returning it as an error.
    ExnRef Exn;
}

impl ExnRef {
    /// An exception of a tag with these values.
    ///
    /// # Errors
    /// Where the values are not those that the tag has; where the heap's limit refuses the exception.
    pub fn new(mut store: impl AsContextMut, tag: Tag, values: &[Val]) -> Result<ExnRef, Error> {
        let core = &mut store.as_context_mut().0.core;
        let id = tag.id(core)?;
        let ty = core.tags[id].ty().ty.composite.as_func().cloned();
        let types = ty.as_ref().map_or(&[][..], |ty| ty.params());
        let slots = core.slots_of(types, values, "an exception's value")?;
        let object = objects::new_exception(core, id, &slots).ok_or_else(heap_is_full)?;
        Ok(ExnRef(core.root(object)))
    }

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

    /// The value at `index` among those that were thrown with it.
    ///
    /// # Errors
    /// Where there is none; where the reference is no longer good, or of another store.
    pub fn field(self, store: impl AsContextMut, index: usize) -> Result<Val, Error> {
        let values = self.values(store)?;
        let missing =
            || Error::usage(format!("the exception has {} values, none of them {index}", values.len()));
        values.get(index).copied().ok_or_else(missing)
    }
}

fn not_an_exception() -> Error {
    Error::usage("the reference is to no exception of this store")
}

impl StoreCore {
    fn exception_parts(&self, exception: ExnRef) -> Result<(*mut VmTag, Vec<u64>), Error> {
        let object = object_at(self.slot_of_root(exception.0)?);
        object.and_then(crate::vmctx::object::exception_parts).ok_or_else(not_an_exception)
    }

    pub(crate) fn root_exception(&mut self, slot: u64) -> ExnRef {
        ExnRef(self.root(slot))
    }

    /// The slots of values, which are to be of these types; `what` is what an error calls one of them.
    pub(super) fn slots_of(&self, types: &[ValType], values: &[Val], what: &str) -> Result<Vec<u64>, Error> {
        if types.len() != values.len() {
            return Err(Error::usage(format!(
                "{} values were given where {} are wanted",
                values.len(),
                types.len()
            )));
        }
        let mut slots = Vec::with_capacity(values.len());
        for (i, (value, want)) in values.iter().zip(types).enumerate() {
            if !value.matches(*want, self)? {
                return Err(Error::usage(format!("{what} {i} is {}, not {want}", value.ty())));
            }
            slots.extend(&value.to_slots(self)?[..want.slots() as usize]);
        }
        Ok(slots)
    }
}
