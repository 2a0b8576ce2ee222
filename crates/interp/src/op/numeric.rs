//! Numeric operations, and comparisons fused with the branch or selection that follows.

use innkeeper_engine::for_each_opcode;

macro_rules! numeric_handlers {
    (
        compare { $($compare:ident $_v1:ident $_m1:literal $_e1:literal ($compare_ty:ty);)* }
        test { $($test:ident $_v2:ident $_m2:literal $_e2:literal ($test_ty:ty);)* }
        unary { $($unary:ident $_v3:ident $_m3:literal $_e3:literal ($unary_ty:ty) -> $unary_result:ty;)* }
        binary { $($binary:ident $_v4:ident $_m4:literal $_e4:literal ($binary_ty:ty);)* }
        unary_trapping { $($unary_trapping:ident $_v5:ident $_m5:literal $_e5:literal ($unary_trapping_ty:ty) -> $unary_trapping_result:ty;)* }
        binary_trapping { $($binary_trapping:ident $_v6:ident $_m6:literal $_e6:literal ($binary_trapping_ty:ty);)* }
        load { $($_load:tt)* }
        store { $($_store:tt)* }
    ) => {
        /// `[r a]`: one operand.
        pub(crate) mod s {
            use innkeeper_engine::numeric;

            use crate::machine::{A, B, handlers};

            handlers! {
                $(fn $test(m) {
                    m.set(A, numeric::$test(m.get::<$test_ty>(B)));
                    m.next(2)
                })*
                $(fn $unary(m) {
                    m.set(A, numeric::$unary(m.get::<$unary_ty>(B)));
                    m.next(2)
                })*
                $(fn $unary_trapping(m) {
                    match numeric::$unary_trapping(m.get::<$unary_trapping_ty>(B)) {
                        Ok(value) => {
                            m.set(A, value);
                            m.next(2)
                        }
                        Err(trap) => m.trap(trap),
                    }
                })*
            }
        }

        /// `[r]`: one operand, the accumulator.
        pub(crate) mod a {
            use innkeeper_engine::numeric;

            use crate::machine::{A, handlers};

            handlers! {
                $(fn $test(m) {
                    m.set(A, numeric::$test(m.last::<$test_ty>()));
                    m.next(2)
                })*
                $(fn $unary(m) {
                    m.set(A, numeric::$unary(m.last::<$unary_ty>()));
                    m.next(2)
                })*
                $(fn $unary_trapping(m) {
                    match numeric::$unary_trapping(m.last::<$unary_trapping_ty>()) {
                        Ok(value) => {
                            m.set(A, value);
                            m.next(2)
                        }
                        Err(trap) => m.trap(trap),
                    }
                })*
            }
        }

        numeric_handlers! { @binary ss "`[r a b]`: two slots." (|m| (m.get(B), m.get(C))) (fixed)
            compare { $($compare $compare_ty)* } binary { $($binary $binary_ty)* } binary_trapping { $($binary_trapping $binary_trapping_ty)* } }
        numeric_handlers! { @binary acc_s "`[r _ b]`: the accumulator and a slot." (|m| (m.last(), m.get(C))) (fixed)
            compare { $($compare $compare_ty)* } binary { $($binary $binary_ty)* } binary_trapping { $($binary_trapping $binary_trapping_ty)* } }
        numeric_handlers! { @binary s_acc "`[r a _]`: a slot and the accumulator." (|m| (m.get(B), m.last())) (fixed)
            compare { $($compare $compare_ty)* } binary { $($binary $binary_ty)* } binary_trapping { $($binary_trapping $binary_trapping_ty)* } }
        numeric_handlers! { @binary si "`[r a imm32]` or `[r a] [imm64]`: a slot and a constant." (|m| (m.get(B), m.constant())) (immediate)
            compare { $($compare $compare_ty)* } binary { $($binary $binary_ty)* } binary_trapping { $($binary_trapping $binary_trapping_ty)* } }
        numeric_handlers! { @binary acc_i "`[r _ imm32]` or `[r] [imm64]`: the accumulator and a constant." (|m| (m.last(), m.constant())) (immediate)
            compare { $($compare $compare_ty)* } binary { $($binary $binary_ty)* } binary_trapping { $($binary_trapping $binary_trapping_ty)* } }

        numeric_handlers! { @branch branch_if taken branch test { $($test $test_ty)* } compare { $($compare $compare_ty)* } }
        numeric_handlers! { @branch branch_unless not_taken branch test { $($test $test_ty)* } compare { $($compare $compare_ty)* } }
        numeric_handlers! { @branch loop_if taken back_edge test { $($test $test_ty)* } compare { $($compare $compare_ty)* } }
        numeric_handlers! { @branch loop_unless not_taken back_edge test { $($test $test_ty)* } compare { $($compare $compare_ty)* } }

        /// `[r x y a] [b]` or `[r x y a] [imm64]`: `x` where `a` and `b` compare, else `y`.
        pub(crate) mod select {
            numeric_handlers! { @select ss (|m| (m.get(D), m.get_of(2, A))) $($compare $compare_ty)* }
            numeric_handlers! { @select acc_s (|m| (m.last(), m.get_of(2, A))) $($compare $compare_ty)* }
            numeric_handlers! { @select s_acc (|m| (m.get(D), m.last())) $($compare $compare_ty)* }
            numeric_handlers! { @select si (|m| (m.get(D), m.constant_of(2))) $($compare $compare_ty)* }
            numeric_handlers! { @select acc_i (|m| (m.last(), m.constant_of(2))) $($compare $compare_ty)* }
        }
    };
    (@binary $module:ident $doc:literal (|$m:ident| $operands:expr) ($words:ident)
        compare { $($compare:ident $compare_ty:ty)* } binary { $($binary:ident $binary_ty:ty)* } binary_trapping { $($binary_trapping:ident $binary_trapping_ty:ty)* }
    ) => {
        #[doc = $doc]
        pub(crate) mod $module {
            use innkeeper_engine::numeric;

            #[allow(unused_imports, reason = "each form names the operands it has")]
            use crate::machine::{A, B, C, Machine, Slot, handlers};

            /// The operands.
            ///
            /// # Safety
            /// The contract of [`crate::machine::Handler`].
            #[inline(always)]
            #[allow(unused_unsafe, reason = "not every form reads slots")]
            unsafe fn operands<T: Slot>($m: Machine) -> (T, T) {
                // SAFETY: the contract of `Handler`: operands are slots of the frame, or constants in the instruction, by lowering.
                unsafe { $operands }
            }

            /// Words of the instruction.
            const fn words<T: Slot>() -> usize {
                numeric_handlers!(@words $words T)
            }

            handlers! {
                $(fn $compare(m) {
                    let (a, b) = operands::<$compare_ty>(m);
                    m.set(A, numeric::$compare(a, b));
                    m.next(words::<$compare_ty>())
                })*
                $(fn $binary(m) {
                    let (a, b) = operands::<$binary_ty>(m);
                    m.set(A, numeric::$binary(a, b));
                    m.next(words::<$binary_ty>())
                })*
                $(fn $binary_trapping(m) {
                    let (a, b) = operands::<$binary_trapping_ty>(m);
                    match numeric::$binary_trapping(a, b) {
                        Ok(value) => {
                            m.set(A, value);
                            m.next(words::<$binary_trapping_ty>())
                        }
                        Err(trap) => m.trap(trap),
                    }
                })*
            }
        }
    };
    (@words fixed $ty:ident) => { 2 };
    (@words immediate $ty:ident) => { $ty::WITH_IMMEDIATE };
    (@select $module:ident (|$m:ident| $operands:expr) $($compare:ident $compare_ty:ty)*) => {
        pub(crate) mod $module {
            use std::hint::select_unpredictable;

            use innkeeper_engine::numeric;

            #[allow(unused_imports, reason = "each form names the operands it has")]
            use crate::machine::{A, B, C, D, Machine, Slot, handlers};

            /// The operands.
            ///
            /// # Safety
            /// The contract of [`crate::machine::Handler`].
            #[inline(always)]
            unsafe fn operands<T: Slot>($m: Machine) -> (T, T) {
                // SAFETY: the contract of `Handler`: operands are slots of the frame, or constants in the instruction, by lowering.
                unsafe { $operands }
            }

            handlers! {
                $(fn $compare(m) {
                    let (a, b) = operands::<$compare_ty>(m);
                    m.set(A, select_unpredictable(numeric::$compare(a, b), m.get::<u64>(B), m.get(C)));
                    m.next(3)
                })*
            }
        }
    };
    (@branch $module:ident $taken:ident $go:ident test { $($test:ident $test_ty:ty)* } compare { $($compare:ident $compare_ty:ty)* }) => {
        /// `[a _ target]`, `[a b target]` or `[a _ target] [imm64]`: branches on a comparison's outcome.
        pub(crate) mod $module {
            #[inline(always)]
            #[allow(dead_code, reason = "each module uses one")]
            fn taken(condition: bool) -> bool {
                condition
            }

            #[inline(always)]
            #[allow(dead_code, reason = "each module uses one")]
            fn not_taken(condition: bool) -> bool {
                !condition
            }

            pub(crate) mod s {
                use innkeeper_engine::numeric;

                use crate::machine::{A, handlers};

                handlers! {
                    $(fn $test(m) {
                        if super::$taken(numeric::$test(m.get::<$test_ty>(A))) { m.$go() } else { m.next(2) }
                    })*
                }
            }

            pub(crate) mod a {
                use innkeeper_engine::numeric;

                use crate::machine::handlers;

                handlers! {
                    $(fn $test(m) {
                        if super::$taken(numeric::$test(m.last::<$test_ty>())) { m.$go() } else { m.next(2) }
                    })*
                }
            }

            pub(crate) mod acc_s {
                use innkeeper_engine::numeric;

                use crate::machine::{B, handlers};

                handlers! {
                    $(fn $compare(m) {
                        if super::$taken(numeric::$compare(m.last::<$compare_ty>(), m.get(B))) { m.$go() } else { m.next(2) }
                    })*
                }
            }

            pub(crate) mod s_acc {
                use innkeeper_engine::numeric;

                use crate::machine::{A, handlers};

                handlers! {
                    $(fn $compare(m) {
                        if super::$taken(numeric::$compare(m.get::<$compare_ty>(A), m.last())) { m.$go() } else { m.next(2) }
                    })*
                }
            }

            pub(crate) mod acc_i {
                use innkeeper_engine::numeric;

                use crate::machine::{Slot, handlers};

                handlers! {
                    $(fn $compare(m) {
                        let constant = <$compare_ty as Slot>::from_slot(m.word(2));
                        if super::$taken(numeric::$compare(m.last(), constant)) { m.$go() } else { m.next(3) }
                    })*
                }
            }

            pub(crate) mod ss {
                use innkeeper_engine::numeric;

                use crate::machine::{A, B, handlers};

                handlers! {
                    $(fn $compare(m) {
                        if super::$taken(numeric::$compare(m.get::<$compare_ty>(A), m.get(B))) { m.$go() } else { m.next(2) }
                    })*
                }
            }

            pub(crate) mod si {
                use innkeeper_engine::numeric;

                use crate::machine::{A, Slot, handlers};

                handlers! {
                    $(fn $compare(m) {
                        let constant = <$compare_ty as Slot>::from_slot(m.word(2));
                        if super::$taken(numeric::$compare(m.get(A), constant)) { m.$go() } else { m.next(3) }
                    })*
                }
            }
        }
    };
}
for_each_opcode!(numeric_handlers);
