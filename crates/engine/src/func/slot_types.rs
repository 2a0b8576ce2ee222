//! Rust types that stand for WebAssembly types in typed calls and host functions, and lists of them.
//!
//! Must stay true: nobody outside implements these traits. What they say of a type is believed: a type that called itself a reference would
//! make an address of any number. A reference is checked against the store that it is used with whenever it is written.

use super::Func;
use crate::error::Error;
use crate::reference::{AnyRef, ArrayRef, EqRef, ExnRef, ExternRef, I31, StructRef};
use crate::store::StoreCore;
use crate::types::{HeapType, RefType, ValType};

/// What the traits of this file ask for, and nobody outside can have.
mod sealed {
    /// Of types that this crate says are values, or lists of values.
    pub trait Sealed {}
}

/// A Rust type that stands for a value type: numbers, `u128` for `v128`, and references, those that may be null as an `Option`. The types that there are, are all there are:
///
/// ```compile_fail,E0277
/// use innkeeper_engine::{ValType, WasmType};
///
/// #[derive(Clone, Copy)]
/// struct Forged(u64);
///
/// impl WasmType for Forged {
///     const TYPE: ValType = ValType::EXTERNREF;
/// }
/// ```
#[allow(private_interfaces, reason = "implemented here only")]
pub trait WasmType: sealed::Sealed + Copy + Send + 'static {
    /// The value type.
    const TYPE: ValType;
    /// Slots that a value takes.
    #[doc(hidden)]
    const SLOTS: usize = 1;
    /// Whether a value means something in one store only.
    #[doc(hidden)]
    const IS_REFERENCE: bool = false;
    /// The value that stands in the slots from `at` on, which come from `core`'s guests.
    #[doc(hidden)]
    fn read(slots: &[u64], at: usize, core: &mut StoreCore) -> Self;
    /// Writes the value to the slots from `at` on. `core` is that of the store, and may be missing for values that are no references.
    #[doc(hidden)]
    fn write(self, slots: &mut [u64], at: usize, core: Option<&StoreCore>) -> Result<(), Error>;
}

macro_rules! numbers {
    ($($rust:ty = $ty:ident: |$slot:ident| $from:expr, |$value:ident| $to:expr;)*) => {$(
        impl sealed::Sealed for $rust {}

        #[allow(private_interfaces, reason = "implemented here only")]
        impl WasmType for $rust {
            const TYPE: ValType = ValType::$ty;
            #[inline(always)]
            fn read(slots: &[u64], at: usize, _: &mut StoreCore) -> Self {
                let $slot = slots[at];
                $from
            }
            #[inline(always)]
            fn write(self, slots: &mut [u64], at: usize, _: Option<&StoreCore>) -> Result<(), Error> {
                let $value = self;
                slots[at] = $to;
                Ok(())
            }
        }
    )*};
}

numbers! {
    i32 = I32: |slot| (slot as u32).cast_signed(), |value| u64::from(value.cast_unsigned());
    u32 = I32: |slot| slot as u32, |value| u64::from(value);
    i64 = I64: |slot| slot.cast_signed(), |value| value.cast_unsigned();
    u64 = I64: |slot| slot, |value| value;
    f32 = F32: |slot| f32::from_bits(slot as u32), |value| u64::from(value.to_bits());
    f64 = F64: |slot| f64::from_bits(slot), |value| value.to_bits();
}

impl sealed::Sealed for u128 {}

#[allow(private_interfaces, reason = "implemented here only")]
impl WasmType for u128 {
    const TYPE: ValType = ValType::V128;
    const SLOTS: usize = 2;
    #[inline(always)]
    fn read(slots: &[u64], at: usize, _: &mut StoreCore) -> Self {
        u128::from(slots[at]) | u128::from(slots[at + 1]) << 64
    }
    #[inline(always)]
    fn write(self, slots: &mut [u64], at: usize, _: Option<&StoreCore>) -> Result<(), Error> {
        slots[at] = self as u64;
        slots[at + 1] = (self >> 64) as u64;
        Ok(())
    }
}

/// What a reference is to its store.
pub(crate) trait Handle: Copy + Send + 'static {
    /// What it refers to, at the most.
    const HEAP: HeapType;
    /// What stands in a slot of the store's guests, which is not null.
    fn from_slot(slot: u64, core: &mut StoreCore) -> Self;
    /// The slot's bits.
    fn to_slot(self, core: &StoreCore) -> Result<u64, Error>;
}

impl Handle for Func {
    const HEAP: HeapType = HeapType::Func;
    fn from_slot(slot: u64, core: &mut StoreCore) -> Self {
        Func::at_slot(slot, core)
    }
    fn to_slot(self, core: &StoreCore) -> Result<u64, Error> {
        Func::to_slot(self, core)
    }
}

macro_rules! references {
    ($($rust:ident)*) => {$(
        impl sealed::Sealed for $rust {}
        impl sealed::Sealed for Option<$rust> {}

        #[allow(private_interfaces, reason = "implemented here only")]
        impl WasmType for $rust {
            const TYPE: ValType = ValType::Ref(RefType { nullable: false, heap: <$rust as Handle>::HEAP });
            const IS_REFERENCE: bool = true;
            fn read(slots: &[u64], at: usize, core: &mut StoreCore) -> Self {
                <$rust as Handle>::from_slot(slots[at], core)
            }
            fn write(self, slots: &mut [u64], at: usize, core: Option<&StoreCore>) -> Result<(), Error> {
                slots[at] = Handle::to_slot(self, core.ok_or_else(no_store)?)?;
                Ok(())
            }
        }

        #[allow(private_interfaces, reason = "implemented here only")]
        impl WasmType for Option<$rust> {
            const TYPE: ValType = ValType::Ref(RefType { nullable: true, heap: <$rust as Handle>::HEAP });
            const IS_REFERENCE: bool = true;
            fn read(slots: &[u64], at: usize, core: &mut StoreCore) -> Self {
                (slots[at] != 0).then(|| <$rust as Handle>::from_slot(slots[at], core))
            }
            fn write(self, slots: &mut [u64], at: usize, core: Option<&StoreCore>) -> Result<(), Error> {
                match self {
                    Some(reference) => WasmType::write(reference, slots, at, core),
                    None => {
                        slots[at] = 0;
                        Ok(())
                    }
                }
            }
        }
    )*};
}

references! { Func ExternRef AnyRef EqRef I31 StructRef ArrayRef ExnRef }

fn no_store() -> Error {
    Error::usage("a reference was returned where no store is at hand")
}

/// A list of values: nothing, one value, or a tuple.
#[doc(hidden)]
#[allow(private_interfaces, reason = "implemented here only")]
pub trait WasmList: sealed::Sealed + Send + 'static {
    /// Slots that they take together.
    const SLOTS: usize;
    /// Whether one of them means something in one store only.
    const HAS_REFERENCES: bool;
    /// The types in order.
    fn types() -> Vec<ValType>;
    /// Reads the values from the first slots, which come from `core`'s guests.
    fn read(slots: &[u64], core: &mut StoreCore) -> Self;
    /// Writes the values to the first slots; `core` as in [`WasmType::write`].
    fn write(self, slots: &mut [u64], core: Option<&StoreCore>) -> Result<(), Error>;
}

/// A list of parameters: nothing, one value, or a tuple of up to 20. There are no others:
///
/// ```compile_fail,E0277
/// use innkeeper_engine::WasmParams;
///
/// struct Forged(u64);
///
/// impl WasmParams for Forged {}
/// ```
pub trait WasmParams: WasmList {}

/// A list of results: nothing, one value, or a tuple of up to 20. There are no others:
///
/// ```compile_fail,E0277
/// use innkeeper_engine::WasmResults;
///
/// struct Address(u64);
///
/// impl WasmResults for Address {}
/// ```
pub trait WasmResults: WasmList {}

/// A list of parameters that a function of the host takes at once: nothing, one value, or a tuple of up to 20. There are no others, as with [`WasmParams`].
pub trait HostParams: WasmList {}

impl<L: WasmList> WasmParams for L {}
impl<L: WasmList> WasmResults for L {}
impl<L: WasmList> HostParams for L {}

#[allow(private_interfaces, reason = "implemented here only")]
impl<V: WasmType> WasmList for V {
    const SLOTS: usize = V::SLOTS;
    const HAS_REFERENCES: bool = V::IS_REFERENCE;
    fn types() -> Vec<ValType> {
        vec![V::TYPE]
    }
    #[inline(always)]
    fn read(slots: &[u64], core: &mut StoreCore) -> Self {
        V::read(slots, 0, core)
    }
    #[inline(always)]
    fn write(self, slots: &mut [u64], core: Option<&StoreCore>) -> Result<(), Error> {
        V::write(self, slots, 0, core)
    }
}

/// Gives `$each` the names of every list's types, of none to 20.
macro_rules! for_each_list {
    ($each:ident) => {
        $each! {
            () (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H)
            (A B C D E F G H I) (A B C D E F G H I J) (A B C D E F G H I J K) (A B C D E F G H I J K L)
            (A B C D E F G H I J K L M) (A B C D E F G H I J K L M N) (A B C D E F G H I J K L M N O)
            (A B C D E F G H I J K L M N O P) (A B C D E F G H I J K L M N O P Q)
            (A B C D E F G H I J K L M N O P Q S) (A B C D E F G H I J K L M N O P Q S U)
            (A B C D E F G H I J K L M N O P Q S U V)
        }
    };
}
pub(super) use for_each_list;

/// Slots that no list takes more than.
pub(super) const MOST_SLOTS: usize = 40;

macro_rules! tuples {
    ($(($($name:ident)*))*) => {$(
        impl<$($name: WasmType),*> sealed::Sealed for ($($name,)*) {}

        #[allow(private_interfaces, reason = "implemented here only")]
        #[allow(non_snake_case, unused_variables, unused_mut, unused_assignments, clippy::unused_unit, reason = "values are named as their types, and the empty tuple has none")]
        impl<$($name: WasmType),*> WasmList for ($($name,)*) {
            const SLOTS: usize = 0 $(+ $name::SLOTS)*;
            const HAS_REFERENCES: bool = false $(|| $name::IS_REFERENCE)*;
            fn types() -> Vec<ValType> {
                vec![$($name::TYPE),*]
            }
            #[inline(always)]
            fn read(slots: &[u64], core: &mut StoreCore) -> Self {
                let mut at = 0;
                $(
                    let $name = <$name as WasmType>::read(slots, at, core);
                    at += $name::SLOTS;
                )*
                ($($name,)*)
            }
            #[inline(always)]
            fn write(self, slots: &mut [u64], core: Option<&StoreCore>) -> Result<(), Error> {
                let ($($name,)*) = self;
                let mut at = 0;
                $(
                    <$name as WasmType>::write($name, slots, at, core)?;
                    at += $name::SLOTS;
                )*
                Ok(())
            }
        }
    )*};
}

for_each_list!(tuples);
