//! Vector operations, out of the engine's table of them.
//!
//! A vector takes two slots; operands name the first. Every handler reads all its operands before it writes: a result's slots may overlap those
//! of its operands.

use innkeeper_engine::for_each_simd_opcode;
use innkeeper_engine::simd::V128;

use crate::machine::{Machine, handlers};

/// `[a _ target]`: branches on a test's outcome, on or back to a loop's header.
macro_rules! simd_branch {
    ($module:ident ($relation:tt) $go:ident { $($test:ident)* }) => {
        pub(crate) mod $module {
            use innkeeper_engine::simd;

            use crate::machine::{A, handlers};

            handlers! {
                $(fn $test(m) {
                    if simd::$test(m.get_vector(A)) $relation 0 { m.$go() } else { m.next(2) }
                })*
            }
        }
    };
}

macro_rules! simd_handlers {
    (
        unary { $($unary:ident $_v1:ident $_m1:literal $_e1:literal;)* }
        binary { $($binary:ident $_v2:ident $_m2:literal $_e2:literal;)* }
        ternary { $($ternary:ident $_v3:ident $_m3:literal $_e3:literal;)* }
        shift { $($shift:ident $_v4:ident $_m4:literal $_e4:literal;)* }
        test { $($test:ident $_v5:ident $_m5:literal $_e5:literal;)* }
        splat { $($splat:ident $_v6:ident $_m6:literal $_e6:literal ($splat_ty:ty);)* }
        extract { $($extract:ident $_v7:ident $_m7:literal $_e7:literal ($extract_ty:ty);)* }
        replace { $($replace:ident $_v8:ident $_m8:literal $_e8:literal ($replace_ty:ty);)* }
        load { $($load:ident $_v9:ident $_m9:literal $_e9:literal ($load_cell:ty);)* }
        store { $($store:ident $_v10:ident $_m10:literal $_e10:literal ($store_cell:ty);)* }
        load_lane { $($load_lane:ident $_v11:ident $_m11:literal $_e11:literal ($load_lane_cell:ty);)* }
        store_lane { $($store_lane:ident $_v12:ident $_m12:literal $_e12:literal ($store_lane_cell:ty);)* }
        constant { $($constant:ident $_v13:ident $_m13:literal $_e13:literal;)* }
        shuffle { $($shuffle:ident $_v14:ident $_m14:literal $_e14:literal;)* }
    ) => {
        /// `[r a]`, `[r a b]`, `[r a b c]`: one to three slots or pairs of them.
        pub(crate) mod s {
            use innkeeper_engine::simd;

            use crate::machine::{A, B, C, D, handlers};

            handlers! {
                $(fn $unary(m) {
                    m.set_vector(A, simd::$unary(m.get_vector(B)));
                    m.next(2)
                })*
                $(fn $binary(m) {
                    m.set_vector(A, simd::$binary(m.get_vector(B), m.get_vector(C)));
                    m.next(2)
                })*
                $(fn $ternary(m) {
                    m.set_vector(A, simd::$ternary(m.get_vector(B), m.get_vector(C), m.get_vector(D)));
                    m.next(2)
                })*
                $(fn $shift(m) {
                    m.set_vector(A, simd::$shift(m.get_vector(B), m.get::<u32>(C)));
                    m.next(2)
                })*
                $(fn $test(m) {
                    m.set(A, simd::$test(m.get_vector(B)));
                    m.next(2)
                })*
                $(fn $splat(m) {
                    m.set_vector(A, simd::$splat(m.get::<$splat_ty>(B)));
                    m.next(2)
                })*
                $(
                    /// `[r a lane]`.
                    fn $extract(m) {
                        m.set::<$extract_ty>(A, simd::$extract(m.get_vector(B), m.operand(C) as u8));
                        m.next(2)
                    }
                )*
                $(
                    /// `[r a b lane]`.
                    fn $replace(m) {
                        let value = m.get::<$replace_ty>(C);
                        m.set_vector(A, simd::$replace(m.get_vector(B), m.operand(D) as u8, value));
                        m.next(2)
                    }
                )*
                $(
                    /// `[r a b] [lanes] [lanes]`.
                    fn $shuffle(m) {
                        let lanes = simd::V128::from_slots([m.word(2), m.word(3)]);
                        m.set_vector(A, simd::$shuffle(m.get_vector(B), m.get_vector(C), lanes));
                        m.next(4)
                    }
                )*
            }
        }

        /// `[r a imm32]`: a vector and a constant.
        pub(crate) mod i {
            use innkeeper_engine::simd;

            use crate::machine::{A, B, handlers};

            handlers! {
                $(fn $shift(m) {
                    m.set_vector(A, simd::$shift(m.get_vector(B), m.immediate()));
                    m.next(2)
                })*
            }
        }

        simd_branch! { branch_if (!=) branch { $($test)* } }
        simd_branch! { branch_unless (==) branch { $($test)* } }
        simd_branch! { loop_if (!=) back_edge { $($test)* } }
        simd_branch! { loop_unless (==) back_edge { $($test)* } }

        /// Loads and stores.
        pub(crate) mod memory {
            use innkeeper_engine::simd;

            use crate::machine::{A, B, handlers};

            handlers! {
                $(
                    /// `[r address offset]`.
                    fn $load(m) {
                        let address = m.vector_address(B);
                        let Some(cell) = m.cell::<$load_cell>(address) else { return m.beyond_memory::<$load_cell>(address) };
                        m.set_vector(A, simd::$load(*cell));
                        m.next(2)
                    }
                )*
                $(
                    /// `[address a offset]`.
                    fn $store(m) {
                        let address = m.vector_address(A);
                        let Some(cell) = m.cell::<$store_cell>(address) else { return m.beyond_memory::<$store_cell>(address) };
                        *cell = simd::$store(m.get_vector(B));
                        m.next(2)
                    }
                )*
                $(
                    /// `[r address offset] [a lane]`.
                    fn $load_lane(m) {
                        let address = m.vector_address(B);
                        let Some(cell) = m.cell::<$load_lane_cell>(address) else { return m.beyond_memory::<$load_lane_cell>(address) };
                        let (a, lane) = (m.vector_of(2, A), m.operand_of(2, B) as u8);
                        m.set_vector(A, simd::$load_lane(a, lane, *cell));
                        m.next(3)
                    }
                )*
                $(
                    /// `[address a offset] [lane]`.
                    fn $store_lane(m) {
                        let address = m.vector_address(A);
                        let Some(cell) = m.cell::<$store_lane_cell>(address) else { return m.beyond_memory::<$store_lane_cell>(address) };
                        *cell = simd::$store_lane(m.get_vector(B), m.operand_of(2, A) as u8);
                        m.next(3)
                    }
                )*
            }
        }

        /// Loads and stores of any memory, with addresses of any width; see [`crate::op::memory`].
        pub(crate) mod other_memory {
            use innkeeper_engine::simd;

            use crate::machine::{A, B, handlers};
            use crate::op::memory::OTHER_WORDS;

            handlers! {
                $(
                    /// `[r address] [offset] [mask] [memory]`.
                    fn $load(m) {
                        let Some(cell) = m.other_cell::<$load_cell>(B) else { return m.beyond_other::<$load_cell>(B) };
                        m.set_vector(A, simd::$load(*cell));
                        m.next(OTHER_WORDS)
                    }
                )*
                $(
                    /// `[address a] [offset] [mask] [memory]`.
                    fn $store(m) {
                        let Some(cell) = m.other_cell::<$store_cell>(A) else { return m.beyond_other::<$store_cell>(A) };
                        *cell = simd::$store(m.get_vector(B));
                        m.next(OTHER_WORDS)
                    }
                )*
                $(
                    /// `[r address] [offset] [mask] [memory] [a lane]`.
                    fn $load_lane(m) {
                        let Some(cell) = m.other_cell::<$load_lane_cell>(B) else { return m.beyond_other::<$load_lane_cell>(B) };
                        let (a, lane) = (m.vector_of(OTHER_WORDS, A), m.operand_of(OTHER_WORDS, B) as u8);
                        m.set_vector(A, simd::$load_lane(a, lane, *cell));
                        m.next(OTHER_WORDS + 1)
                    }
                )*
                $(
                    /// `[address a] [offset] [mask] [memory] [lane]`.
                    fn $store_lane(m) {
                        let Some(cell) = m.other_cell::<$store_lane_cell>(A) else { return m.beyond_other::<$store_lane_cell>(A) };
                        *cell = simd::$store_lane(m.get_vector(B), m.operand_of(OTHER_WORDS, A) as u8);
                        m.next(OTHER_WORDS + 1)
                    }
                )*
            }
        }
    };
}
for_each_simd_opcode!(simd_handlers);

handlers! {
    /// `[r] [low] [high]`.
    fn constant(m) {
        m.set2(crate::machine::A, [m.word(2), m.word(3)]);
        m.next(4)
    }
}

/// # Safety
/// All methods share the contract of [`crate::machine::Handler`]; operands name the first of two slots.
impl Machine {
    /// The vector in the two slots from the one that the operand at position `i` names.
    #[inline(always)]
    pub(crate) unsafe fn get_vector(self, i: usize) -> V128 {
        // SAFETY: see the impl.
        unsafe { self.vector_of(1, i) }
    }

    /// The vector in the slots that the operand at position `i` of word `word` names.
    #[inline(always)]
    unsafe fn vector_of(self, word: usize, i: usize) -> V128 {
        // SAFETY: see the impl.
        let slots = unsafe { self.fp.add(self.operand_of(word, i)) };
        if cfg!(target_endian = "little") {
            // The bytes of the slots are those of the vector: reading them as such keeps the value out of integer registers.
            // SAFETY: see the impl; a vector has the size of two slots and no alignment.
            unsafe { *slots.cast::<V128>() }
        } else {
            // SAFETY: see the impl.
            V128::from_slots(unsafe { *slots.cast::<[u64; 2]>() })
        }
    }

    /// The address of the cell that a load or store names: `offset` in the upper half of word 1, the rest at position `i`.
    #[inline(always)]
    unsafe fn vector_address(self, i: usize) -> u64 {
        // SAFETY: see the impl.
        unsafe { u64::from(self.get::<u32>(i)) + u64::from(self.immediate()) }
    }

    /// Writes the two slots from the one that the operand at position `i` names.
    #[inline(always)]
    pub(crate) unsafe fn set_vector(self, i: usize, value: V128) {
        // SAFETY: see the impl.
        let slots = unsafe { self.fp.add(self.operand(i)) };
        if cfg!(target_endian = "little") {
            // SAFETY: as in `vector_of`.
            unsafe { *slots.cast::<V128>() = value }
        } else {
            // SAFETY: see the impl.
            unsafe { *slots.cast::<[u64; 2]>() = value.to_slots() }
        }
    }
}
