//! The engine-wide registry of function types.
//!
//! Two function types are the same exactly when they have the same [`SignatureId`], whichever module they came from; this is
//! what `call_indirect` compares. Entries are never removed: programs use few distinct types, and an identity that is never
//! reused cannot be confused.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use crate::error::Error;
use crate::types::FuncType;

/// The identity of a function type within one [`crate::Engine`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct SignatureId(pub u32);

#[derive(Default)]
pub(crate) struct Signatures(RwLock<Inner>);

#[derive(Default)]
struct Inner {
    by_type: HashMap<FuncType, SignatureId>,
    types: Vec<FuncType>,
}

/// Distinct function types that one engine can hold; a bound on memory that a host loading hostile modules can rely on.
const MAX_SIGNATURES: usize = 10_000_000;

impl Signatures {
    /// The identity of `ty`, registering it if it is new.
    pub(crate) fn intern(&self, ty: &FuncType) -> Result<SignatureId, Error> {
        if let Some(id) = self.0.read().unwrap_or_else(PoisonError::into_inner).by_type.get(ty) {
            return Ok(*id);
        }
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = inner.by_type.get(ty) {
            return Ok(*id);
        }
        if inner.types.len() >= MAX_SIGNATURES {
            return Err(Error::limit(format!(
                "the engine holds {MAX_SIGNATURES} function types, the most it can"
            )));
        }
        let id = SignatureId(inner.types.len() as u32);
        inner.types.push(ty.clone());
        inner.by_type.insert(ty.clone(), id);
        Ok(id)
    }

    /// The type that `id` stands for.
    pub(crate) fn get(&self, id: SignatureId) -> FuncType {
        self.0.read().unwrap_or_else(PoisonError::into_inner).types[id.0 as usize].clone()
    }
}
