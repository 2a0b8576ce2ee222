//! Types that the embedder defines: structures and arrays that no module has to have.

use std::fmt;
use std::sync::Arc;

use crate::composite::{CompositeType, SubType, TypeId};
use crate::engine::Engine;
use crate::error::Error;
use crate::registry::{HeldTypes, MEMBER, TypeRecord, unknown};

/// A type that is there for as long as this is, also where no module has it. The same type in a module is the same type.
pub struct DefinedType {
    id: TypeId,
    _held: HeldTypes,
}

impl DefinedType {
    /// A type without supertypes, alone in its group of recursive types.
    ///
    /// # Errors
    /// Where it has a supertype, or names a type that the engine does not have; where the engine's registry of types is full.
    pub fn new(engine: &Engine, ty: SubType) -> Result<DefinedType, Error> {
        if ty.supertype.is_some() {
            // Whoever relies on a type to be like its supertype has it from a module, which was validated.
            return Err(Error::usage("types with a supertype are defined by modules only"));
        }
        let mut held = HeldTypes::new(engine.registry());
        let id = held.intern_alone(ty)?.id;
        Ok(DefinedType { id, _held: held })
    }

    /// The type's identity, as [`crate::HeapType::Concrete`] has it.
    #[must_use]
    pub fn id(&self) -> TypeId {
        self.id
    }
}

impl fmt::Debug for DefinedType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DefinedType").field(&self.id).finish()
    }
}

impl HeldTypes {
    /// The record of a type that stands alone.
    ///
    /// # Errors
    /// As [`HeldTypes::intern_func`].
    pub(crate) fn intern_alone(&mut self, ty: SubType) -> Result<Arc<TypeRecord>, Error> {
        // A member of a group stands for nothing outside.
        if let Some(id) = ty.references().find(|id| id.0 >= MEMBER) {
            return Err(unknown(id));
        }
        let mut records = self.intern(vec![ty])?;
        Ok(records.remove(0))
    }
}

impl Engine {
    /// What a type is defined as; none where no module, no store and no [`DefinedType`] has it any more, or it is another engine's.
    #[must_use]
    pub fn sub_type(&self, id: TypeId) -> Option<SubType> {
        self.registry().get(id).map(|record| record.ty.clone())
    }

    /// What a type consists of, as [`Engine::sub_type`].
    #[must_use]
    pub fn composite_type(&self, id: TypeId) -> Option<CompositeType> {
        self.sub_type(id).map(|ty| ty.composite)
    }
}
