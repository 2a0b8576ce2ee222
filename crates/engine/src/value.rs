//! Values as the embedder sees them, and their form in slots.
//!
//! A slot is 64 bits: an `i32` or `f32` stands zero-extended, a vector takes two slots, low half first, a reference is an address
//! or number known to the engine alone (0 is null).

use std::any::Any;
use std::sync::Arc;

use crate::error::Error;
use crate::func::Func;
use crate::store::{AsContext, AsContextMut, StoreCore, StoreId};
use crate::types::{HeapType, RefType, ValType};

/// A WebAssembly value. Floats are given as their bits, so that no NaN is ever changed on the way.
#[derive(Clone, Copy, Debug)]
pub enum Val {
    /// 32-bit integer.
    I32(i32),
    /// 64-bit integer.
    I64(i64),
    /// Bits of a 32-bit float.
    F32(u32),
    /// Bits of a 64-bit float.
    F64(u64),
    /// Vector.
    V128(u128),
    /// A function, or null.
    FuncRef(Option<Func>),
    /// An object of the host, or null.
    ExternRef(Option<ExternRef>),
}

/// An object of the host that guests can hold and pass on, but not look into. It lives as long as its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExternRef {
    store: StoreId,
    number: u64,
}

impl ExternRef {
    /// Puts `object` into the store.
    pub fn new(mut store: impl AsContextMut, object: impl Any + Send + Sync) -> ExternRef {
        let core = &mut store.as_context_mut().0.core;
        core.externs.push(Arc::new(object));
        ExternRef { store: core.id(), number: core.externs.len() as u64 }
    }

    /// The object; none where the reference is of another store.
    #[must_use]
    pub fn get(self, store: &impl AsContext) -> Option<Arc<dyn Any + Send + Sync>> {
        let core = &store.as_context().0.core;
        if self.store != core.id() {
            return None;
        }
        core.externs.get(usize::try_from(self.number).ok()?.checked_sub(1)?).cloned()
    }
}

impl Val {
    /// The value's type; a reference has the nullable type of its kind.
    #[must_use]
    pub fn ty(&self) -> ValType {
        match self {
            Val::I32(_) => ValType::I32,
            Val::I64(_) => ValType::I64,
            Val::F32(_) => ValType::F32,
            Val::F64(_) => ValType::F64,
            Val::V128(_) => ValType::V128,
            Val::FuncRef(_) => ValType::FUNCREF,
            Val::ExternRef(_) => ValType::EXTERNREF,
        }
    }

    /// The value of a type that is all zero: 0, or null.
    #[must_use]
    pub fn zero(ty: ValType) -> Val {
        match ty {
            ValType::I32 => Val::I32(0),
            ValType::I64 => Val::I64(0),
            ValType::F32 => Val::F32(0),
            ValType::F64 => Val::F64(0),
            ValType::V128 => Val::V128(0),
            ValType::Ref(RefType { heap: HeapType::Func, .. }) => Val::FuncRef(None),
            ValType::Ref(RefType { heap: HeapType::Extern, .. }) => Val::ExternRef(None),
        }
    }

    /// The value's slots, of which all but vectors use the first only.
    pub(crate) fn to_slots(self, core: &StoreCore) -> Result<[u64; 2], Error> {
        let slot = match self {
            Val::I32(value) => u64::from(value.cast_unsigned()),
            Val::I64(value) => value.cast_unsigned(),
            Val::F32(bits) => u64::from(bits),
            Val::F64(bits) => bits,
            Val::V128(value) => return Ok([value as u64, (value >> 64) as u64]),
            Val::FuncRef(None) | Val::ExternRef(None) => 0,
            Val::FuncRef(Some(func)) => func.to_slot(core)?,
            Val::ExternRef(Some(object)) if object.store == core.id() => object.number,
            Val::ExternRef(Some(_)) => return Err(Error::usage("an externref of another store")),
        };
        Ok([slot, 0])
    }

    /// The value of type `ty` that stands in `slots`, which come from `core`'s guests.
    pub(crate) fn from_slots(slots: [u64; 2], ty: ValType, core: &StoreCore) -> Val {
        let slot = slots[0];
        match ty {
            ValType::I32 => Val::I32((slot as u32).cast_signed()),
            ValType::I64 => Val::I64(slot.cast_signed()),
            ValType::F32 => Val::F32(slot as u32),
            ValType::F64 => Val::F64(slot),
            ValType::V128 => Val::V128(u128::from(slots[0]) | u128::from(slots[1]) << 64),
            ValType::Ref(RefType { heap: HeapType::Func, .. }) => Val::FuncRef(Func::from_slot(slot, core)),
            ValType::Ref(RefType { heap: HeapType::Extern, .. }) => {
                Val::ExternRef((slot != 0).then_some(ExternRef { store: core.id(), number: slot }))
            }
        }
    }
}

impl From<i32> for Val {
    fn from(value: i32) -> Val {
        Val::I32(value)
    }
}

impl From<i64> for Val {
    fn from(value: i64) -> Val {
        Val::I64(value)
    }
}

impl From<f32> for Val {
    fn from(value: f32) -> Val {
        Val::F32(value.to_bits())
    }
}

impl From<f64> for Val {
    fn from(value: f64) -> Val {
        Val::F64(value.to_bits())
    }
}

impl PartialEq for Val {
    /// Bit for bit: NaNs with the same bits are equal, and +0 differs from -0.
    fn eq(&self, other: &Val) -> bool {
        match (self, other) {
            (Val::I32(a), Val::I32(b)) => a == b,
            (Val::I64(a), Val::I64(b)) => a == b,
            (Val::F32(a), Val::F32(b)) => a == b,
            (Val::F64(a), Val::F64(b)) => a == b,
            (Val::V128(a), Val::V128(b)) => a == b,
            (Val::FuncRef(a), Val::FuncRef(b)) => a == b,
            (Val::ExternRef(a), Val::ExternRef(b)) => a == b,
            _ => false,
        }
    }
}
