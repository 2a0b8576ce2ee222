//! Values as the embedder sees them, and their form in slots.
//!
//! A slot is 64 bits: an `i32` or `f32` stands zero-extended, a vector takes two slots, low half first, a reference is an address
//! known to the engine alone (0 is null).
//! What a reference is to the embedder is in [`crate::reference`].

use crate::composite::TypeId;
use crate::error::Error;
use crate::func::Func;
use crate::reference::{AnyRef, ArrayRef, EqRef, ExnRef, ExternRef, StructRef, object_kind};
use crate::registry::Registry;
use crate::store::StoreCore;
use crate::types::{HeapType, RefType, ValType};
use crate::vmctx::object::ObjectKind;

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
    /// Something from outside, or null.
    ExternRef(Option<ExternRef>),
    /// Something of the guest's, or null.
    AnyRef(Option<AnyRef>),
    /// An exception, or null.
    ExnRef(Option<ExnRef>),
}

impl Val {
    /// The value's type; a reference has the nullable type of its hierarchy's top.
    #[must_use]
    pub fn ty(&self) -> ValType {
        let top = |heap| ValType::Ref(RefType { nullable: true, heap });
        match self {
            Val::I32(_) => ValType::I32,
            Val::I64(_) => ValType::I64,
            Val::F32(_) => ValType::F32,
            Val::F64(_) => ValType::F64,
            Val::V128(_) => ValType::V128,
            Val::FuncRef(_) => ValType::FUNCREF,
            Val::ExternRef(_) => ValType::EXTERNREF,
            Val::AnyRef(_) => top(HeapType::Any),
            Val::ExnRef(_) => top(HeapType::Exn),
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
            ValType::Ref(ty) => match hierarchy(ty.heap, |_| false) {
                HeapType::Func => Val::FuncRef(None),
                HeapType::Extern => Val::ExternRef(None),
                HeapType::Exn => Val::ExnRef(None),
                _ => Val::AnyRef(None),
            },
        }
    }

    /// Whether the value belongs to `ty`.
    pub(crate) fn matches(self, ty: ValType, core: &StoreCore) -> Result<bool, Error> {
        let ValType::Ref(ty) = ty else { return Ok(self.ty() == ty) };
        let registry = core.engine().registry();
        let slot = match self {
            Val::FuncRef(Some(func)) => {
                return Ok(registry.heap_matches(HeapType::Concrete(func.type_id(core)?), ty.heap));
            }
            Val::ExternRef(Some(ExternRef(root))) => {
                core.slot_of_root(root)?;
                return Ok(ty.heap == HeapType::Extern);
            }
            Val::ExnRef(Some(ExnRef(root))) => {
                core.slot_of_root(root)?;
                return Ok(ty.heap == HeapType::Exn);
            }
            Val::AnyRef(Some(AnyRef(root))) => core.slot_of_root(root)?,
            Val::FuncRef(None) | Val::ExternRef(None) | Val::AnyRef(None) | Val::ExnRef(None) => {
                let ValType::Ref(top) = self.ty() else { return Ok(false) };
                return Ok(ty.nullable && registry.heap_matches(ty.heap, top.heap));
            }
            _ => return Ok(false),
        };
        let heap = match object_kind(slot) {
            None => HeapType::I31,
            Some(ObjectKind::Struct | ObjectKind::Array) => {
                core.object_type(slot).map_or(HeapType::Any, HeapType::Concrete)
            }
            Some(_) => HeapType::Any,
        };
        Ok(registry.heap_matches(heap, ty.heap))
    }

    /// The value's slots, of which all but vectors use the first only.
    pub(crate) fn to_slots(self, core: &StoreCore) -> Result<[u64; 2], Error> {
        let slot = match self {
            Val::I32(value) => u64::from(value.cast_unsigned()),
            Val::I64(value) => value.cast_unsigned(),
            Val::F32(bits) => u64::from(bits),
            Val::F64(bits) => bits,
            Val::V128(value) => return Ok([value as u64, (value >> 64) as u64]),
            Val::FuncRef(Some(func)) => func.to_slot(core)?,
            Val::ExternRef(Some(ExternRef(root)))
            | Val::AnyRef(Some(AnyRef(root)))
            | Val::ExnRef(Some(ExnRef(root))) => core.slot_of_root(root)?,
            Val::FuncRef(None) | Val::ExternRef(None) | Val::AnyRef(None) | Val::ExnRef(None) => 0,
        };
        Ok([slot, 0])
    }

    /// The value of type `ty` that stands in `slots`, which come from `core`'s guests.
    pub(crate) fn from_slots(slots: [u64; 2], ty: ValType, core: &mut StoreCore) -> Val {
        let slot = slots[0];
        match ty {
            ValType::I32 => Val::I32((slot as u32).cast_signed()),
            ValType::I64 => Val::I64(slot.cast_signed()),
            ValType::F32 => Val::F32(slot as u32),
            ValType::F64 => Val::F64(slot),
            ValType::V128 => Val::V128(u128::from(slots[0]) | u128::from(slots[1]) << 64),
            ValType::Ref(ty) => {
                let is_func = |id| core.engine().registry().is_func(id);
                match hierarchy(ty.heap, is_func) {
                    HeapType::Func => Val::FuncRef(Func::from_slot(slot, core)),
                    HeapType::Extern => Val::ExternRef((slot != 0).then(|| ExternRef(core.root(slot)))),
                    HeapType::Exn => Val::ExnRef((slot != 0).then(|| ExnRef(core.root(slot)))),
                    _ => Val::AnyRef((slot != 0).then(|| AnyRef(core.root(slot)))),
                }
            }
        }
    }
}

/// The top of the hierarchy that a heap type belongs to; `is_func` tells of a defined type whether it is a function's.
fn hierarchy(heap: HeapType, is_func: impl Fn(TypeId) -> bool) -> HeapType {
    match heap {
        HeapType::Func | HeapType::NoFunc => HeapType::Func,
        HeapType::Extern | HeapType::NoExtern => HeapType::Extern,
        HeapType::Exn | HeapType::NoExn => HeapType::Exn,
        HeapType::Concrete(id) if is_func(id) => HeapType::Func,
        _ => HeapType::Any,
    }
}

impl Registry {
    /// The null value of a type's hierarchy, or 0.
    pub(crate) fn zero(&self, ty: ValType) -> Val {
        match ty {
            ValType::Ref(RefType { heap: HeapType::Concrete(id), .. }) if self.is_func(id) => {
                Val::FuncRef(None)
            }
            _ => Val::zero(ty),
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

impl From<u128> for Val {
    fn from(value: u128) -> Val {
        Val::V128(value)
    }
}

macro_rules! from_references {
    ($($reference:ident $variant:ident: |$value:ident| $any:expr;)*) => {$(
        impl From<$reference> for Val {
            fn from($value: $reference) -> Val {
                Val::$variant(Some($any))
            }
        }

        impl From<Option<$reference>> for Val {
            fn from(reference: Option<$reference>) -> Val {
                Val::$variant(reference.map(|$value| $any))
            }
        }
    )*};
}

from_references! {
    Func FuncRef: |value| value;
    ExternRef ExternRef: |value| value;
    AnyRef AnyRef: |value| value;
    EqRef AnyRef: |value| value.into();
    StructRef AnyRef: |value| value.into();
    ArrayRef AnyRef: |value| value.into();
    ExnRef ExnRef: |value| value;
}

impl PartialEq for Val {
    /// Bit for bit: NaNs with the same bits are equal, and +0 differs from -0. References are equal if they are the same handle.
    fn eq(&self, other: &Val) -> bool {
        match (self, other) {
            (Val::I32(a), Val::I32(b)) => a == b,
            (Val::I64(a), Val::I64(b)) => a == b,
            (Val::F32(a), Val::F32(b)) => a == b,
            (Val::F64(a), Val::F64(b)) => a == b,
            (Val::V128(a), Val::V128(b)) => a == b,
            (Val::FuncRef(a), Val::FuncRef(b)) => a == b,
            (Val::ExternRef(a), Val::ExternRef(b)) => a == b,
            (Val::AnyRef(a), Val::AnyRef(b)) => a == b,
            (Val::ExnRef(a), Val::ExnRef(b)) => a == b,
            _ => false,
        }
    }
}
