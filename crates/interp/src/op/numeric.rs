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

        /// `[r a b]`: two slots.
        pub(crate) mod ss {
            use innkeeper_engine::numeric;

            use crate::machine::{A, B, C, handlers};

            handlers! {
                $(fn $compare(m) {
                    m.set(A, numeric::$compare(m.get::<$compare_ty>(B), m.get(C)));
                    m.next(2)
                })*
                $(fn $binary(m) {
                    m.set(A, numeric::$binary(m.get::<$binary_ty>(B), m.get(C)));
                    m.next(2)
                })*
                $(fn $binary_trapping(m) {
                    match numeric::$binary_trapping(m.get::<$binary_trapping_ty>(B), m.get(C)) {
                        Ok(value) => {
                            m.set(A, value);
                            m.next(2)
                        }
                        Err(trap) => m.trap(trap),
                    }
                })*
            }
        }

        /// `[r a imm32]` or `[r a] [imm64]`: a slot and a constant.
        pub(crate) mod si {
            use innkeeper_engine::numeric;

            use crate::machine::{A, B, Slot, handlers};

            handlers! {
                $(fn $compare(m) {
                    m.set(A, numeric::$compare(m.get::<$compare_ty>(B), m.constant()));
                    m.next(<$compare_ty as Slot>::WITH_IMMEDIATE)
                })*
                $(fn $binary(m) {
                    m.set(A, numeric::$binary(m.get::<$binary_ty>(B), m.constant()));
                    m.next(<$binary_ty as Slot>::WITH_IMMEDIATE)
                })*
                $(fn $binary_trapping(m) {
                    match numeric::$binary_trapping(m.get::<$binary_trapping_ty>(B), m.constant()) {
                        Ok(value) => {
                            m.set(A, value);
                            m.next(<$binary_trapping_ty as Slot>::WITH_IMMEDIATE)
                        }
                        Err(trap) => m.trap(trap),
                    }
                })*
            }
        }

        numeric_handlers! { @branch branch_if taken test { $($test $test_ty)* } compare { $($compare $compare_ty)* } }
        numeric_handlers! { @branch branch_unless not_taken test { $($test $test_ty)* } compare { $($compare $compare_ty)* } }
    };
    (@branch $module:ident $taken:ident test { $($test:ident $test_ty:ty)* } compare { $($compare:ident $compare_ty:ty)* }) => {
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
                        if super::$taken(numeric::$test(m.get::<$test_ty>(A))) { m.branch() } else { m.next(2) }
                    })*
                }
            }

            pub(crate) mod ss {
                use innkeeper_engine::numeric;

                use crate::machine::{A, B, handlers};

                handlers! {
                    $(fn $compare(m) {
                        if super::$taken(numeric::$compare(m.get::<$compare_ty>(A), m.get(B))) { m.branch() } else { m.next(2) }
                    })*
                }
            }

            pub(crate) mod si {
                use innkeeper_engine::numeric;

                use crate::machine::{A, Slot, handlers};

                handlers! {
                    $(fn $compare(m) {
                        let constant = <$compare_ty as Slot>::from_slot(m.word(2));
                        if super::$taken(numeric::$compare(m.get(A), constant)) { m.branch() } else { m.next(3) }
                    })*
                }
            }
        }
    };
}
for_each_opcode!(numeric_handlers);
