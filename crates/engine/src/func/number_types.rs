//! Types of functions of numbers that an engine has looked up, for functions that are made of them in store after store.
//!
//! Must stay true: a store that has a function of such a type holds the type.

use std::borrow::Cow;
use std::sync::Arc;

use super::numbers::check_numbers;
use crate::engine::Engine;
use crate::error::Error;
use crate::registry::{HeldTypes, TypeRecord};
use crate::runtime::host::HostCode;
use crate::store::StoreCore;
use crate::types::FuncType;
use crate::vmctx::VmFunc;

/// Types of functions of numbers ([`crate::Func::new_of_numbers`]), each looked up once in an engine. Clones are the same.
#[derive(Clone)]
pub struct NumberTypes(Arc<Known>);

/// What a store holds that has functions of these types.
struct Known {
    types: Box<[(FuncType, Arc<TypeRecord>)]>,
    held: HeldTypes,
}

impl NumberTypes {
    /// Looks types up.
    ///
    /// # Errors
    /// Where a parameter or a result is no number; where the engine's registry of types is full.
    pub fn new<'a>(
        engine: &Engine,
        types: impl IntoIterator<Item = &'a FuncType>,
    ) -> Result<NumberTypes, Error> {
        let mut held = HeldTypes::new(engine.registry());
        let look_up = |ty: &FuncType| {
            check_numbers(ty)?;
            Ok((ty.clone(), held.intern_func(ty)?))
        };
        let types = types.into_iter().map(look_up).collect::<Result<_, Error>>()?;
        Ok(NumberTypes(Arc::new(Known { types, held })))
    }

    /// One of them, counted from 0.
    #[must_use]
    pub fn get(&self, number: usize) -> Option<NumbersType<'_>> {
        let (ty, record) = self.0.types.get(number)?;
        Some(NumbersType { ty: Cow::Borrowed(ty), known: Some((self, record)) })
    }
}

impl std::fmt::Debug for NumberTypes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.types.iter().map(|(ty, _)| ty)).finish()
    }
}

/// The type of a function of numbers: one of [`NumberTypes`], or one that is looked up when the function is made.
#[derive(Clone)]
pub struct NumbersType<'a> {
    ty: Cow<'a, FuncType>,
    known: Option<(&'a NumberTypes, &'a Arc<TypeRecord>)>,
}

impl NumbersType<'_> {
    /// The type.
    #[must_use]
    pub fn ty(&self) -> &FuncType {
        &self.ty
    }

    /// # Errors
    /// Where a parameter or a result is no number.
    pub(super) fn get(&self) -> Result<&FuncType, Error> {
        if self.known.is_none() {
            check_numbers(&self.ty)?;
        }
        Ok(&self.ty)
    }
}

impl From<FuncType> for NumbersType<'_> {
    fn from(ty: FuncType) -> Self {
        NumbersType { ty: Cow::Owned(ty), known: None }
    }
}

impl std::fmt::Debug for NumbersType<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.ty.fmt(f)
    }
}

impl StoreCore {
    /// As [`StoreCore::new_host_func`].
    pub(super) fn new_host_func_of_numbers(
        &mut self,
        code: Arc<dyn HostCode>,
        ty: &NumbersType<'_>,
    ) -> Result<*const VmFunc, Error> {
        match ty.known {
            // Types of another engine are others, whatever they look like.
            Some((types, record)) if types.0.held.is_of(self.engine().registry()) => {
                self.keep_types(&types.0);
                Ok(self.new_host_func_of(code, record, ty.ty.call_slots()))
            }
            _ => self.new_host_func(code, &ty.ty),
        }
    }
}
