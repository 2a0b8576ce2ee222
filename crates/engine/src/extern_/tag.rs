//! Tags of exceptions, as the embedder reaches them (core specification 4.2.11, "Tag Instances").

use super::Tag;
use crate::error::Error;
use crate::index::TagIndex;
use crate::runtime::instance::InstanceBox;
use crate::store::{AsContext, AsContextMut};
use crate::types::FuncType;
use crate::vmctx::tag::TagEntity;

impl Tag {
    /// A tag of its own, whose exceptions carry values of the parameters' types.
    ///
    /// # Errors
    /// Where the engine's registry of types is full.
    pub fn new(mut store: impl AsContextMut, ty: &FuncType) -> Result<Tag, Error> {
        let core = &mut store.as_context_mut().0.core;
        let record = core.held_types.intern_func(ty)?;
        let id = core.tags.push(TagEntity::new(record))?;
        Ok(Tag::from_id(id, core))
    }

    /// The type, whose parameters are an exception's values.
    ///
    /// # Errors
    /// Where the tag is of another store.
    pub fn ty(self, store: impl AsContext) -> Result<FuncType, Error> {
        let core = &store.as_context().0.core;
        let record = core.tags[self.id(core)?].ty();
        Ok(record.ty.composite.as_func().cloned().unwrap_or_else(|| FuncType::new([], [])))
    }

    /// What the first instance that has the tag calls it: in its name section, as an export, or as an import.
    ///
    /// # Errors
    /// Where the tag is of another store.
    pub fn name(self, store: impl AsContext) -> Result<Option<String>, Error> {
        let core = &store.as_context().0.core;
        let id = self.id(core)?;
        let named = |instance: &InstanceBox| {
            let entity = instance.get();
            let index = entity.tag_ids.iter().position(|tag| *tag == id)?;
            entity.module.0.tag_name(TagIndex(index as u32))
        };
        Ok(core.instances.iter().find_map(named))
    }
}
