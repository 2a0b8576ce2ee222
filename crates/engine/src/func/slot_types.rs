//! Rust types that stand for WebAssembly types in typed calls and host functions.
//!
//! Must stay true: nobody outside implements these traits. What they say of a type is believed: a type that called itself a reference would
//! make an address of any number.

use crate::types::ValType;

/// What the traits of this file ask for, and nobody outside can have.
mod sealed {
    /// Of types that this crate says are values, or lists of values.
    pub trait Sealed {}
}

/// A Rust type that stands for a value type of one slot. The types that there are, are all there are:
///
/// ```compile_fail,E0277
/// use innkeeper_engine::{ValType, WasmType};
///
/// #[derive(Clone, Copy)]
/// struct Forged(u64);
///
/// impl WasmType for Forged {
///     const TYPE: ValType = ValType::EXTERNREF;
///     fn from_slot(slot: u64) -> Forged {
///         Forged(slot)
///     }
///     fn to_slot(self) -> u64 {
///         self.0
///     }
/// }
/// ```
pub trait WasmType: sealed::Sealed + Copy + Send + 'static {
    /// The value type.
    const TYPE: ValType;
    /// The value that stands in a slot.
    fn from_slot(slot: u64) -> Self;
    /// The slot's bits, zero-extended.
    fn to_slot(self) -> u64;
}

macro_rules! wasm_type {
    ($($rust:ty = $ty:ident: |$slot:ident| $from:expr, |$value:ident| $to:expr;)*) => {$(
        impl sealed::Sealed for $rust {}

        impl WasmType for $rust {
            const TYPE: ValType = ValType::$ty;
            #[inline(always)]
            fn from_slot($slot: u64) -> Self {
                $from
            }
            #[inline(always)]
            fn to_slot(self) -> u64 {
                let $value = self;
                $to
            }
        }
    )*};
}

wasm_type! {
    i32 = I32: |slot| (slot as u32).cast_signed(), |value| u64::from(value.cast_unsigned());
    u32 = I32: |slot| slot as u32, |value| u64::from(value);
    i64 = I64: |slot| slot.cast_signed(), |value| value.cast_unsigned();
    u64 = I64: |slot| slot, |value| value;
    f32 = F32: |slot| f32::from_bits(slot as u32), |value| u64::from(value.to_bits());
    f64 = F64: |slot| f64::from_bits(slot), |value| value.to_bits();
}

/// A list of parameters: nothing, one value, or a tuple. There are no others:
///
/// ```compile_fail,E0277
/// use innkeeper_engine::{ValType, WasmParams};
///
/// struct Forged(u64);
///
/// impl WasmParams for Forged {
///     fn types() -> Vec<ValType> {
///         vec![ValType::EXTERNREF]
///     }
///     fn write(self, slots: &mut [u64]) {
///         slots[0] = self.0;
///     }
/// }
/// ```
pub trait WasmParams: sealed::Sealed + Send {
    /// The types in order.
    fn types() -> Vec<ValType>;
    /// Writes the values into the first slots.
    fn write(self, slots: &mut [u64]);
}

/// A list of results: nothing, one value, or a tuple. There are no others:
///
/// ```compile_fail,E0277
/// use innkeeper_engine::{ValType, WasmResults};
///
/// struct Address(u64);
///
/// impl WasmResults for Address {
///     fn types() -> Vec<ValType> {
///         vec![ValType::FUNCREF]
///     }
///     fn read(slots: &[u64]) -> Address {
///         Address(slots[0])
///     }
/// }
/// ```
pub trait WasmResults: sealed::Sealed + Send + 'static {
    /// How many there are.
    #[doc(hidden)]
    const COUNT: usize;
    /// The types in order.
    fn types() -> Vec<ValType>;
    /// Reads the values from the first slots.
    fn read(slots: &[u64]) -> Self;
}

/// A list of parameters that a function of the host takes at once: nothing, one value, or a tuple of up to 12. There are no others, as with [`WasmParams`].
pub trait HostParams: sealed::Sealed + Send + 'static {
    /// How many there are.
    #[doc(hidden)]
    const COUNT: usize;
    /// The types in order.
    fn types() -> Vec<ValType>;
    /// Reads the values from the first slots.
    fn read(slots: &[u64]) -> Self;
}

impl<V: WasmType> WasmParams for V {
    fn types() -> Vec<ValType> {
        vec![V::TYPE]
    }
    #[inline(always)]
    fn write(self, slots: &mut [u64]) {
        slots[0] = self.to_slot();
    }
}

impl<V: WasmType> WasmResults for V {
    const COUNT: usize = 1;
    fn types() -> Vec<ValType> {
        vec![V::TYPE]
    }
    #[inline(always)]
    fn read(slots: &[u64]) -> Self {
        V::from_slot(slots[0])
    }
}

impl<V: WasmType> HostParams for V {
    const COUNT: usize = 1;
    fn types() -> Vec<ValType> {
        vec![V::TYPE]
    }
    #[inline(always)]
    fn read(slots: &[u64]) -> Self {
        V::from_slot(slots[0])
    }
}

macro_rules! tuples {
    ($(($($name:ident $position:tt),*))*) => {$(
        impl<$($name: WasmType),*> sealed::Sealed for ($($name,)*) {}

        impl<$($name: WasmType),*> WasmParams for ($($name,)*) {
            fn types() -> Vec<ValType> {
                vec![$($name::TYPE),*]
            }
            #[inline(always)]
            #[allow(unused_variables, reason = "the empty tuple writes nothing")]
            fn write(self, slots: &mut [u64]) {
                $(slots[$position] = self.$position.to_slot();)*
            }
        }

        impl<$($name: WasmType),*> WasmResults for ($($name,)*) {
            const COUNT: usize = <[usize]>::len(&[$($position),*]);
            fn types() -> Vec<ValType> {
                vec![$($name::TYPE),*]
            }
            #[inline(always)]
            #[allow(unused_variables, clippy::unused_unit, reason = "the empty tuple reads nothing")]
            fn read(slots: &[u64]) -> Self {
                ($($name::from_slot(slots[$position]),)*)
            }
        }
    )*};
}

tuples! {
    ()
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
}

macro_rules! host_tuples {
    ($(($($name:ident $position:tt),*))*) => {$(
        impl<$($name: WasmType),*> HostParams for ($($name,)*) {
            const COUNT: usize = <[usize]>::len(&[$($position),*]);
            fn types() -> Vec<ValType> {
                vec![$($name::TYPE),*]
            }
            #[inline(always)]
            #[allow(unused_variables, clippy::unused_unit, reason = "the empty tuple reads nothing")]
            fn read(slots: &[u64]) -> Self {
                ($($name::from_slot(slots[$position]),)*)
            }
        }
    )*};
}

host_tuples! {
    ()
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11)
}

/// Longer lists than typed calls have are parameters of functions of the host only.
macro_rules! sealed_tuples {
    ($(($($name:ident),*))*) => {$(
        impl<$($name: WasmType),*> sealed::Sealed for ($($name,)*) {}
    )*};
}

sealed_tuples! {
    (A, B, C, D, E, F, G, H, I)
    (A, B, C, D, E, F, G, H, I, J)
    (A, B, C, D, E, F, G, H, I, J, K)
    (A, B, C, D, E, F, G, H, I, J, K, L)
}
