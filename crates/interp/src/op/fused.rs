//! Pairs of instructions in one: which, and why these, says `lower/fuse.rs`.
//!
//! Pairs that belong to rows of the opcode table are with their rows: comparisons with branches and selections in [`super::numeric`],
//! addresses with loads and stores in [`super::memory`].

use innkeeper_engine::numeric;

use crate::machine::{A, B, C, D, handlers};

handlers! {
    /// `[r2 a2 r1 a1] [imm2 imm1]`: `i32.add` of a constant twice, the second one first in the words.
    fn count_two(m) {
        let first = numeric::i32_add(m.get(D), m.immediate_of(2));
        m.set(C, first);
        let second = numeric::i32_add(m.get(B), m.word(2) as u32);
        m.set(A, second);
        m.next(3)
    }

    /// `[r a target] [imm32]`: `i32.add` of a constant, and back to a loop's header unless that gave zero.
    fn count_loop(m) {
        let value = numeric::i32_add(m.get(B), m.word(2) as u32);
        m.set(A, value);
        if value != 0 { m.back_edge() } else { m.next(3) }
    }

    /// `[r a imm32] [mask]`: `i32.and` of a constant with the sum of another.
    fn add_mask(m) {
        m.set(A, numeric::i32_and(numeric::i32_add(m.get(B), m.immediate()), m.word(2) as u32));
        m.next(3)
    }

    /// `[r _ imm32] [mask]`: as `add_mask`, of the accumulator.
    fn add_mask_acc(m) {
        m.set(A, numeric::i32_and(numeric::i32_add(m.last(), m.immediate()), m.word(2) as u32));
        m.next(3)
    }

    /// `[r a b]`: `a + (b << 1)`.
    fn index1(m) {
        m.set(A, numeric::i32_add(m.get(B), m.get::<u32>(C) << 1));
        m.next(2)
    }

    /// `[r a b]`: `a + (b << 2)`.
    fn index2(m) {
        m.set(A, numeric::i32_add(m.get(B), m.get::<u32>(C) << 2));
        m.next(2)
    }

    /// `[r a b]`: `a + (b << 3)`.
    fn index3(m) {
        m.set(A, numeric::i32_add(m.get(B), m.get::<u32>(C) << 3));
        m.next(2)
    }

    /// `[r2 a2 r1 a1]`: two copies, the second one first in the word.
    fn copy_two(m) {
        m.set(C, m.get::<u64>(D));
        m.set(A, m.get::<u64>(B));
        m.next(2)
    }

    /// `[r a target]`: a copy, then `br`.
    fn copy_branch(m) {
        m.set(A, m.get::<u64>(B));
        m.branch()
    }

    /// `[r _ target] [imm64]`: a constant, then `br`.
    fn constant_branch(m) {
        m.set(A, m.word(2));
        m.branch()
    }

    /// `[r _ target] [imm64]`: a constant, then `br` to a loop's header.
    fn constant_loop(m) {
        m.set(A, m.word(2));
        m.back_edge()
    }

    /// `[r a target]`: a copy, then `br` to a loop's header.
    fn copy_loop(m) {
        m.set(A, m.get::<u64>(B));
        m.back_edge()
    }
}

macro_rules! products {
    ($($module:ident $ty:ident: $mul:ident $add:ident $sub:ident;)*) => {$(
        /// A product, rounded, and what it is an operand of.
        pub(crate) mod $module {
            products! { @form slots "`[r a b c]`." (|m| (m.get(B), m.get(C), m.get(D))) $ty: $mul $add $sub }
            products! { @form factor_acc "`[r a _ c]`: the accumulator is a factor." (|m| (m.get(B), m.last(), m.get(D))) $ty: $mul $add $sub }
            products! { @form term_acc "`[r a b _]`: the accumulator is the other term." (|m| (m.get(B), m.get(C), m.last())) $ty: $mul $add $sub }
        }
    )*};
    (@form $form:ident $doc:literal (|$m:ident| $operands:expr) $ty:ident: $mul:ident $add:ident $sub:ident) => {
        #[doc = $doc]
        pub(crate) mod $form {
            use innkeeper_engine::numeric;

            #[allow(unused_imports, reason = "each form names the operands it has")]
            use crate::machine::{A, B, C, D, handlers};

            handlers! {
                fn add($m) {
                    let (a, b, c) = $operands;
                    $m.set(A, numeric::$add(numeric::$mul(a, b), c));
                    $m.next(2)
                }

                fn subtract($m) {
                    let (a, b, c) = $operands;
                    $m.set(A, numeric::$sub(numeric::$mul(a, b), c));
                    $m.next(2)
                }

                fn subtract_from($m) {
                    let (a, b, c) = $operands;
                    $m.set(A, numeric::$sub(c, numeric::$mul(a, b)));
                    $m.next(2)
                }
            }
        }
    };
}

products! {
    f32_product f32: f32_mul f32_add f32_sub;
    f64_product f64: f64_mul f64_add f64_sub;
}

/// `[r a] [by] [plus]`: `a * by + plus` of integers.
pub(crate) mod multiple {
    macro_rules! multiple {
        ($form:ident (|$m:ident, $a:ident| $from:expr)) => {
            pub(crate) mod $form {
                #[allow(unused_imports, reason = "each form names the operands it has")]
                use crate::machine::{A, B, handlers};

                handlers! {
                    fn u32($m) {
                        let $a: u32 = $from;
                        $m.set(A, $a.wrapping_mul($m.constant_of(2)).wrapping_add($m.constant_of(3)));
                        $m.next(4)
                    }

                    fn u64($m) {
                        let $a: u64 = $from;
                        $m.set(A, $a.wrapping_mul($m.constant_of(2)).wrapping_add($m.constant_of(3)));
                        $m.next(4)
                    }
                }
            }
        };
    }
    multiple! { slot (|m, a| m.get(B)) }
    multiple! { acc (|m, a| m.last()) }
}

macro_rules! counted_loops {
    ($($module:ident $condition:ident (|$m:ident| $limit:expr);)*) => {$(
        counted_loops! { @module $module $condition (|$m| $limit)
            i32_eq i32_ne i32_lt_s i32_lt_u i32_gt_s i32_gt_u i32_le_s i32_le_u i32_ge_s i32_ge_u }
    )*};
    (@module $module:ident $condition:ident (|$m:ident| $limit:expr) $($compare:ident)*) => {
        /// `[r a target] [imm32 b]`, where `b` is a slot or a constant: `i32.add` of a constant, a comparison of the sum, and back to a loop's header.
        pub(crate) mod $module {
            use innkeeper_engine::numeric;

            #[allow(unused_imports, reason = "each form names the operands it has")]
            use crate::machine::{A, B, C, handlers};

            handlers! {
                $(fn $compare($m) {
                    let value = numeric::i32_add($m.get(B), $m.word(2) as u32);
                    $m.set(A, value);
                    if super::$condition(numeric::$compare(value, $limit)) { $m.back_edge() } else { $m.next(3) }
                })*
            }
        }
    };
}

counted_loops! {
    loop_if_slot holds (|m| m.get_of(2, C));
    loop_unless_slot fails (|m| m.get_of(2, C));
    loop_if_constant holds (|m| m.immediate_of(2));
    loop_unless_constant fails (|m| m.immediate_of(2));
}

#[inline(always)]
fn holds(condition: bool) -> bool {
    condition
}

#[inline(always)]
fn fails(condition: bool) -> bool {
    !condition
}

macro_rules! masks {
    ($($module:ident $condition:ident $go:ident;)*) => {$(
        /// `[a b target]` or `[a _ target] [imm64]`: branches on whether two operands have a bit in common.
        pub(crate) mod $module {
            use innkeeper_engine::numeric;

            use crate::machine::{A, B, handlers};

            handlers! {
                fn ss(m) {
                    if super::$condition(numeric::i32_and(m.get(A), m.get(B)) != 0) { m.$go() } else { m.next(2) }
                }

                fn acc_s(m) {
                    if super::$condition(numeric::i32_and(m.last(), m.get(B)) != 0) { m.$go() } else { m.next(2) }
                }

                fn s_acc(m) {
                    if super::$condition(numeric::i32_and(m.get(A), m.last()) != 0) { m.$go() } else { m.next(2) }
                }

                fn si(m) {
                    if super::$condition(numeric::i32_and(m.get(A), m.constant_of(2)) != 0) { m.$go() } else { m.next(3) }
                }

                fn acc_i(m) {
                    if super::$condition(numeric::i32_and(m.last(), m.constant_of(2)) != 0) { m.$go() } else { m.next(3) }
                }
            }
        }
    )*};
}

masks! {
    mask_branch_if holds branch;
    mask_branch_unless fails branch;
    mask_loop_if holds back_edge;
    mask_loop_unless fails back_edge;
}
