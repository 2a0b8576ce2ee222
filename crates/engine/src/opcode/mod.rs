//! The opcode table: every instruction whose meaning is a function of its operands, or a plain load or store.
//!
//! One row an instruction: the name of its semantic function in [`crate::numeric`] (where it has one), the name under which
//! wasmparser visits it, its mnemonic, its binary encoding and its operand types. Tiers expand the table with a callback
//! macro; decoding, lowering, printing and the coverage tests are all driven by it, so that an instruction is added in
//! one place. Instructions with control, tables, calls or bulk memory in their meaning are not in it: each is written by hand in
//! the topic file of every tier. Vector instructions have a table of their own: [`crate::for_each_simd_opcode!`].
//!
//! Operand types are those of a slot's bits (`u32` for i32, `f32` for f32 and so on). Signedness belongs to the operation.
//!
//! Source: core specification 5.4 ("Instructions", binary format).

mod simd;

pub use simd::SIMD_OPCODES;

/// Expands `$callback! { compare {..} test {..} unary {..} binary {..} unary_trapping {..} binary_trapping {..} load {..} store {..} }`.
///
/// Rows read `name visitor "mnemonic" encoding operands;`:
/// - `compare`: `(T)`, two operands of `T`, result `i32` of 0 or 1. `test`: the same with one operand.
/// - `unary`: `(T) -> R`. `binary`: `(T)`, two operands and a result of `T`.
/// - `unary_trapping`, `binary_trapping`: the same, but the function returns `Result<_, Trap>`.
/// - `load`: `(M) -> R`: a memory cell of type `M`, extended as `M`'s signedness says to the bits of `R`.
/// - `store`: `(S) -> M`: the low bits of an operand of `S`, as many as `M` has.
///
/// Encodings over 0xFF are the prefix byte and the sub-opcode, as in `0xFC01`.
#[macro_export]
macro_rules! for_each_opcode {
    ($callback:ident) => {
        $callback! {
            compare {
                i32_eq visit_i32_eq "i32.eq" 0x46 (u32);
                i32_ne visit_i32_ne "i32.ne" 0x47 (u32);
                i32_lt_s visit_i32_lt_s "i32.lt_s" 0x48 (u32);
                i32_lt_u visit_i32_lt_u "i32.lt_u" 0x49 (u32);
                i32_gt_s visit_i32_gt_s "i32.gt_s" 0x4A (u32);
                i32_gt_u visit_i32_gt_u "i32.gt_u" 0x4B (u32);
                i32_le_s visit_i32_le_s "i32.le_s" 0x4C (u32);
                i32_le_u visit_i32_le_u "i32.le_u" 0x4D (u32);
                i32_ge_s visit_i32_ge_s "i32.ge_s" 0x4E (u32);
                i32_ge_u visit_i32_ge_u "i32.ge_u" 0x4F (u32);
                i64_eq visit_i64_eq "i64.eq" 0x51 (u64);
                i64_ne visit_i64_ne "i64.ne" 0x52 (u64);
                i64_lt_s visit_i64_lt_s "i64.lt_s" 0x53 (u64);
                i64_lt_u visit_i64_lt_u "i64.lt_u" 0x54 (u64);
                i64_gt_s visit_i64_gt_s "i64.gt_s" 0x55 (u64);
                i64_gt_u visit_i64_gt_u "i64.gt_u" 0x56 (u64);
                i64_le_s visit_i64_le_s "i64.le_s" 0x57 (u64);
                i64_le_u visit_i64_le_u "i64.le_u" 0x58 (u64);
                i64_ge_s visit_i64_ge_s "i64.ge_s" 0x59 (u64);
                i64_ge_u visit_i64_ge_u "i64.ge_u" 0x5A (u64);
                f32_eq visit_f32_eq "f32.eq" 0x5B (f32);
                f32_ne visit_f32_ne "f32.ne" 0x5C (f32);
                f32_lt visit_f32_lt "f32.lt" 0x5D (f32);
                f32_gt visit_f32_gt "f32.gt" 0x5E (f32);
                f32_le visit_f32_le "f32.le" 0x5F (f32);
                f32_ge visit_f32_ge "f32.ge" 0x60 (f32);
                f64_eq visit_f64_eq "f64.eq" 0x61 (f64);
                f64_ne visit_f64_ne "f64.ne" 0x62 (f64);
                f64_lt visit_f64_lt "f64.lt" 0x63 (f64);
                f64_gt visit_f64_gt "f64.gt" 0x64 (f64);
                f64_le visit_f64_le "f64.le" 0x65 (f64);
                f64_ge visit_f64_ge "f64.ge" 0x66 (f64);
            }
            test {
                i32_eqz visit_i32_eqz "i32.eqz" 0x45 (u32);
                i64_eqz visit_i64_eqz "i64.eqz" 0x50 (u64);
            }
            unary {
                i32_clz visit_i32_clz "i32.clz" 0x67 (u32) -> u32;
                i32_ctz visit_i32_ctz "i32.ctz" 0x68 (u32) -> u32;
                i32_popcnt visit_i32_popcnt "i32.popcnt" 0x69 (u32) -> u32;
                i64_clz visit_i64_clz "i64.clz" 0x79 (u64) -> u64;
                i64_ctz visit_i64_ctz "i64.ctz" 0x7A (u64) -> u64;
                i64_popcnt visit_i64_popcnt "i64.popcnt" 0x7B (u64) -> u64;
                f32_abs visit_f32_abs "f32.abs" 0x8B (f32) -> f32;
                f32_neg visit_f32_neg "f32.neg" 0x8C (f32) -> f32;
                f32_ceil visit_f32_ceil "f32.ceil" 0x8D (f32) -> f32;
                f32_floor visit_f32_floor "f32.floor" 0x8E (f32) -> f32;
                f32_trunc visit_f32_trunc "f32.trunc" 0x8F (f32) -> f32;
                f32_nearest visit_f32_nearest "f32.nearest" 0x90 (f32) -> f32;
                f32_sqrt visit_f32_sqrt "f32.sqrt" 0x91 (f32) -> f32;
                f64_abs visit_f64_abs "f64.abs" 0x99 (f64) -> f64;
                f64_neg visit_f64_neg "f64.neg" 0x9A (f64) -> f64;
                f64_ceil visit_f64_ceil "f64.ceil" 0x9B (f64) -> f64;
                f64_floor visit_f64_floor "f64.floor" 0x9C (f64) -> f64;
                f64_trunc visit_f64_trunc "f64.trunc" 0x9D (f64) -> f64;
                f64_nearest visit_f64_nearest "f64.nearest" 0x9E (f64) -> f64;
                f64_sqrt visit_f64_sqrt "f64.sqrt" 0x9F (f64) -> f64;
                i32_wrap_i64 visit_i32_wrap_i64 "i32.wrap_i64" 0xA7 (u64) -> u32;
                i64_extend_i32_s visit_i64_extend_i32_s "i64.extend_i32_s" 0xAC (u32) -> u64;
                i64_extend_i32_u visit_i64_extend_i32_u "i64.extend_i32_u" 0xAD (u32) -> u64;
                f32_convert_i32_s visit_f32_convert_i32_s "f32.convert_i32_s" 0xB2 (u32) -> f32;
                f32_convert_i32_u visit_f32_convert_i32_u "f32.convert_i32_u" 0xB3 (u32) -> f32;
                f32_convert_i64_s visit_f32_convert_i64_s "f32.convert_i64_s" 0xB4 (u64) -> f32;
                f32_convert_i64_u visit_f32_convert_i64_u "f32.convert_i64_u" 0xB5 (u64) -> f32;
                f32_demote_f64 visit_f32_demote_f64 "f32.demote_f64" 0xB6 (f64) -> f32;
                f64_convert_i32_s visit_f64_convert_i32_s "f64.convert_i32_s" 0xB7 (u32) -> f64;
                f64_convert_i32_u visit_f64_convert_i32_u "f64.convert_i32_u" 0xB8 (u32) -> f64;
                f64_convert_i64_s visit_f64_convert_i64_s "f64.convert_i64_s" 0xB9 (u64) -> f64;
                f64_convert_i64_u visit_f64_convert_i64_u "f64.convert_i64_u" 0xBA (u64) -> f64;
                f64_promote_f32 visit_f64_promote_f32 "f64.promote_f32" 0xBB (f32) -> f64;
                i32_reinterpret_f32 visit_i32_reinterpret_f32 "i32.reinterpret_f32" 0xBC (f32) -> u32;
                i64_reinterpret_f64 visit_i64_reinterpret_f64 "i64.reinterpret_f64" 0xBD (f64) -> u64;
                f32_reinterpret_i32 visit_f32_reinterpret_i32 "f32.reinterpret_i32" 0xBE (u32) -> f32;
                f64_reinterpret_i64 visit_f64_reinterpret_i64 "f64.reinterpret_i64" 0xBF (u64) -> f64;
                i32_extend8_s visit_i32_extend8_s "i32.extend8_s" 0xC0 (u32) -> u32;
                i32_extend16_s visit_i32_extend16_s "i32.extend16_s" 0xC1 (u32) -> u32;
                i64_extend8_s visit_i64_extend8_s "i64.extend8_s" 0xC2 (u64) -> u64;
                i64_extend16_s visit_i64_extend16_s "i64.extend16_s" 0xC3 (u64) -> u64;
                i64_extend32_s visit_i64_extend32_s "i64.extend32_s" 0xC4 (u64) -> u64;
                i32_trunc_sat_f32_s visit_i32_trunc_sat_f32_s "i32.trunc_sat_f32_s" 0xFC00 (f32) -> u32;
                i32_trunc_sat_f32_u visit_i32_trunc_sat_f32_u "i32.trunc_sat_f32_u" 0xFC01 (f32) -> u32;
                i32_trunc_sat_f64_s visit_i32_trunc_sat_f64_s "i32.trunc_sat_f64_s" 0xFC02 (f64) -> u32;
                i32_trunc_sat_f64_u visit_i32_trunc_sat_f64_u "i32.trunc_sat_f64_u" 0xFC03 (f64) -> u32;
                i64_trunc_sat_f32_s visit_i64_trunc_sat_f32_s "i64.trunc_sat_f32_s" 0xFC04 (f32) -> u64;
                i64_trunc_sat_f32_u visit_i64_trunc_sat_f32_u "i64.trunc_sat_f32_u" 0xFC05 (f32) -> u64;
                i64_trunc_sat_f64_s visit_i64_trunc_sat_f64_s "i64.trunc_sat_f64_s" 0xFC06 (f64) -> u64;
                i64_trunc_sat_f64_u visit_i64_trunc_sat_f64_u "i64.trunc_sat_f64_u" 0xFC07 (f64) -> u64;
            }
            binary {
                i32_add visit_i32_add "i32.add" 0x6A (u32);
                i32_sub visit_i32_sub "i32.sub" 0x6B (u32);
                i32_mul visit_i32_mul "i32.mul" 0x6C (u32);
                i32_and visit_i32_and "i32.and" 0x71 (u32);
                i32_or visit_i32_or "i32.or" 0x72 (u32);
                i32_xor visit_i32_xor "i32.xor" 0x73 (u32);
                i32_shl visit_i32_shl "i32.shl" 0x74 (u32);
                i32_shr_s visit_i32_shr_s "i32.shr_s" 0x75 (u32);
                i32_shr_u visit_i32_shr_u "i32.shr_u" 0x76 (u32);
                i32_rotl visit_i32_rotl "i32.rotl" 0x77 (u32);
                i32_rotr visit_i32_rotr "i32.rotr" 0x78 (u32);
                i64_add visit_i64_add "i64.add" 0x7C (u64);
                i64_sub visit_i64_sub "i64.sub" 0x7D (u64);
                i64_mul visit_i64_mul "i64.mul" 0x7E (u64);
                i64_and visit_i64_and "i64.and" 0x83 (u64);
                i64_or visit_i64_or "i64.or" 0x84 (u64);
                i64_xor visit_i64_xor "i64.xor" 0x85 (u64);
                i64_shl visit_i64_shl "i64.shl" 0x86 (u64);
                i64_shr_s visit_i64_shr_s "i64.shr_s" 0x87 (u64);
                i64_shr_u visit_i64_shr_u "i64.shr_u" 0x88 (u64);
                i64_rotl visit_i64_rotl "i64.rotl" 0x89 (u64);
                i64_rotr visit_i64_rotr "i64.rotr" 0x8A (u64);
                f32_add visit_f32_add "f32.add" 0x92 (f32);
                f32_sub visit_f32_sub "f32.sub" 0x93 (f32);
                f32_mul visit_f32_mul "f32.mul" 0x94 (f32);
                f32_div visit_f32_div "f32.div" 0x95 (f32);
                f32_min visit_f32_min "f32.min" 0x96 (f32);
                f32_max visit_f32_max "f32.max" 0x97 (f32);
                f32_copysign visit_f32_copysign "f32.copysign" 0x98 (f32);
                f64_add visit_f64_add "f64.add" 0xA0 (f64);
                f64_sub visit_f64_sub "f64.sub" 0xA1 (f64);
                f64_mul visit_f64_mul "f64.mul" 0xA2 (f64);
                f64_div visit_f64_div "f64.div" 0xA3 (f64);
                f64_min visit_f64_min "f64.min" 0xA4 (f64);
                f64_max visit_f64_max "f64.max" 0xA5 (f64);
                f64_copysign visit_f64_copysign "f64.copysign" 0xA6 (f64);
            }
            unary_trapping {
                i32_trunc_f32_s visit_i32_trunc_f32_s "i32.trunc_f32_s" 0xA8 (f32) -> u32;
                i32_trunc_f32_u visit_i32_trunc_f32_u "i32.trunc_f32_u" 0xA9 (f32) -> u32;
                i32_trunc_f64_s visit_i32_trunc_f64_s "i32.trunc_f64_s" 0xAA (f64) -> u32;
                i32_trunc_f64_u visit_i32_trunc_f64_u "i32.trunc_f64_u" 0xAB (f64) -> u32;
                i64_trunc_f32_s visit_i64_trunc_f32_s "i64.trunc_f32_s" 0xAE (f32) -> u64;
                i64_trunc_f32_u visit_i64_trunc_f32_u "i64.trunc_f32_u" 0xAF (f32) -> u64;
                i64_trunc_f64_s visit_i64_trunc_f64_s "i64.trunc_f64_s" 0xB0 (f64) -> u64;
                i64_trunc_f64_u visit_i64_trunc_f64_u "i64.trunc_f64_u" 0xB1 (f64) -> u64;
            }
            binary_trapping {
                i32_div_s visit_i32_div_s "i32.div_s" 0x6D (u32);
                i32_div_u visit_i32_div_u "i32.div_u" 0x6E (u32);
                i32_rem_s visit_i32_rem_s "i32.rem_s" 0x6F (u32);
                i32_rem_u visit_i32_rem_u "i32.rem_u" 0x70 (u32);
                i64_div_s visit_i64_div_s "i64.div_s" 0x7F (u64);
                i64_div_u visit_i64_div_u "i64.div_u" 0x80 (u64);
                i64_rem_s visit_i64_rem_s "i64.rem_s" 0x81 (u64);
                i64_rem_u visit_i64_rem_u "i64.rem_u" 0x82 (u64);
            }
            load {
                i32_load visit_i32_load "i32.load" 0x28 (u32) -> u32;
                i64_load visit_i64_load "i64.load" 0x29 (u64) -> u64;
                f32_load visit_f32_load "f32.load" 0x2A (u32) -> f32;
                f64_load visit_f64_load "f64.load" 0x2B (u64) -> f64;
                i32_load8_s visit_i32_load8_s "i32.load8_s" 0x2C (i8) -> u32;
                i32_load8_u visit_i32_load8_u "i32.load8_u" 0x2D (u8) -> u32;
                i32_load16_s visit_i32_load16_s "i32.load16_s" 0x2E (i16) -> u32;
                i32_load16_u visit_i32_load16_u "i32.load16_u" 0x2F (u16) -> u32;
                i64_load8_s visit_i64_load8_s "i64.load8_s" 0x30 (i8) -> u64;
                i64_load8_u visit_i64_load8_u "i64.load8_u" 0x31 (u8) -> u64;
                i64_load16_s visit_i64_load16_s "i64.load16_s" 0x32 (i16) -> u64;
                i64_load16_u visit_i64_load16_u "i64.load16_u" 0x33 (u16) -> u64;
                i64_load32_s visit_i64_load32_s "i64.load32_s" 0x34 (i32) -> u64;
                i64_load32_u visit_i64_load32_u "i64.load32_u" 0x35 (u32) -> u64;
            }
            store {
                i32_store visit_i32_store "i32.store" 0x36 (u32) -> u32;
                i64_store visit_i64_store "i64.store" 0x37 (u64) -> u64;
                f32_store visit_f32_store "f32.store" 0x38 (f32) -> u32;
                f64_store visit_f64_store "f64.store" 0x39 (f64) -> u64;
                i32_store8 visit_i32_store8 "i32.store8" 0x3A (u32) -> u8;
                i32_store16 visit_i32_store16 "i32.store16" 0x3B (u32) -> u16;
                i64_store8 visit_i64_store8 "i64.store8" 0x3C (u64) -> u8;
                i64_store16 visit_i64_store16 "i64.store16" 0x3D (u64) -> u16;
                i64_store32 visit_i64_store32 "i64.store32" 0x3E (u64) -> u32;
            }
        }
    };
}

/// Expands `$callback! { wide { .. } }`: instructions on 128-bit numbers, each of which is two operands, low half first.
///
/// Rows read as in [`for_each_opcode!`]; `(u128 u128)` are two operands of 128 bits, `(u64 u64)` two of 64. Results have 128.
#[macro_export]
macro_rules! for_each_wide_opcode {
    ($callback:ident) => {
        $callback! {
            wide {
                i64_add128 visit_i64_add128 "i64.add128" 0xFC13 (u128 u128);
                i64_sub128 visit_i64_sub128 "i64.sub128" 0xFC14 (u128 u128);
                i64_mul_wide_s visit_i64_mul_wide_s "i64.mul_wide_s" 0xFC15 (u64 u64);
                i64_mul_wide_u visit_i64_mul_wide_u "i64.mul_wide_u" 0xFC16 (u64 u64);
            }
        }
    };
}

/// Expands `$callback! { load {..} store {..} rmw {..} cmpxchg {..} }`: atomic accesses (threads proposal). Waiting, waking and fences are
/// written by hand.
///
/// Rows read as in [`for_each_opcode!`]:
/// - `load`: `(M) -> R`; `store`: `(S) -> M`. Cells are never sign-extended.
/// - `rmw`: `(M op) -> R`: `op` of [`crate::tier::atomic`] on a cell of type `M`, with an operand and a result of `R`.
/// - `cmpxchg`: `(M) -> R`, with two operands of `R`: what is expected, and its replacement.
#[macro_export]
macro_rules! for_each_atomic_opcode {
    ($callback:ident) => {
        $callback! {
            load {
                i32_atomic_load visit_i32_atomic_load "i32.atomic.load" 0xFE10 (u32) -> u32;
                i64_atomic_load visit_i64_atomic_load "i64.atomic.load" 0xFE11 (u64) -> u64;
                i32_atomic_load8_u visit_i32_atomic_load8_u "i32.atomic.load8_u" 0xFE12 (u8) -> u32;
                i32_atomic_load16_u visit_i32_atomic_load16_u "i32.atomic.load16_u" 0xFE13 (u16) -> u32;
                i64_atomic_load8_u visit_i64_atomic_load8_u "i64.atomic.load8_u" 0xFE14 (u8) -> u64;
                i64_atomic_load16_u visit_i64_atomic_load16_u "i64.atomic.load16_u" 0xFE15 (u16) -> u64;
                i64_atomic_load32_u visit_i64_atomic_load32_u "i64.atomic.load32_u" 0xFE16 (u32) -> u64;
            }
            store {
                i32_atomic_store visit_i32_atomic_store "i32.atomic.store" 0xFE17 (u32) -> u32;
                i64_atomic_store visit_i64_atomic_store "i64.atomic.store" 0xFE18 (u64) -> u64;
                i32_atomic_store8 visit_i32_atomic_store8 "i32.atomic.store8" 0xFE19 (u32) -> u8;
                i32_atomic_store16 visit_i32_atomic_store16 "i32.atomic.store16" 0xFE1A (u32) -> u16;
                i64_atomic_store8 visit_i64_atomic_store8 "i64.atomic.store8" 0xFE1B (u64) -> u8;
                i64_atomic_store16 visit_i64_atomic_store16 "i64.atomic.store16" 0xFE1C (u64) -> u16;
                i64_atomic_store32 visit_i64_atomic_store32 "i64.atomic.store32" 0xFE1D (u64) -> u32;
            }
            rmw {
                i32_atomic_rmw_add visit_i32_atomic_rmw_add "i32.atomic.rmw.add" 0xFE1E (u32 add) -> u32;
                i64_atomic_rmw_add visit_i64_atomic_rmw_add "i64.atomic.rmw.add" 0xFE1F (u64 add) -> u64;
                i32_atomic_rmw8_add_u visit_i32_atomic_rmw8_add_u "i32.atomic.rmw8.add_u" 0xFE20 (u8 add) -> u32;
                i32_atomic_rmw16_add_u visit_i32_atomic_rmw16_add_u "i32.atomic.rmw16.add_u" 0xFE21 (u16 add) -> u32;
                i64_atomic_rmw8_add_u visit_i64_atomic_rmw8_add_u "i64.atomic.rmw8.add_u" 0xFE22 (u8 add) -> u64;
                i64_atomic_rmw16_add_u visit_i64_atomic_rmw16_add_u "i64.atomic.rmw16.add_u" 0xFE23 (u16 add) -> u64;
                i64_atomic_rmw32_add_u visit_i64_atomic_rmw32_add_u "i64.atomic.rmw32.add_u" 0xFE24 (u32 add) -> u64;
                i32_atomic_rmw_sub visit_i32_atomic_rmw_sub "i32.atomic.rmw.sub" 0xFE25 (u32 sub) -> u32;
                i64_atomic_rmw_sub visit_i64_atomic_rmw_sub "i64.atomic.rmw.sub" 0xFE26 (u64 sub) -> u64;
                i32_atomic_rmw8_sub_u visit_i32_atomic_rmw8_sub_u "i32.atomic.rmw8.sub_u" 0xFE27 (u8 sub) -> u32;
                i32_atomic_rmw16_sub_u visit_i32_atomic_rmw16_sub_u "i32.atomic.rmw16.sub_u" 0xFE28 (u16 sub) -> u32;
                i64_atomic_rmw8_sub_u visit_i64_atomic_rmw8_sub_u "i64.atomic.rmw8.sub_u" 0xFE29 (u8 sub) -> u64;
                i64_atomic_rmw16_sub_u visit_i64_atomic_rmw16_sub_u "i64.atomic.rmw16.sub_u" 0xFE2A (u16 sub) -> u64;
                i64_atomic_rmw32_sub_u visit_i64_atomic_rmw32_sub_u "i64.atomic.rmw32.sub_u" 0xFE2B (u32 sub) -> u64;
                i32_atomic_rmw_and visit_i32_atomic_rmw_and "i32.atomic.rmw.and" 0xFE2C (u32 and) -> u32;
                i64_atomic_rmw_and visit_i64_atomic_rmw_and "i64.atomic.rmw.and" 0xFE2D (u64 and) -> u64;
                i32_atomic_rmw8_and_u visit_i32_atomic_rmw8_and_u "i32.atomic.rmw8.and_u" 0xFE2E (u8 and) -> u32;
                i32_atomic_rmw16_and_u visit_i32_atomic_rmw16_and_u "i32.atomic.rmw16.and_u" 0xFE2F (u16 and) -> u32;
                i64_atomic_rmw8_and_u visit_i64_atomic_rmw8_and_u "i64.atomic.rmw8.and_u" 0xFE30 (u8 and) -> u64;
                i64_atomic_rmw16_and_u visit_i64_atomic_rmw16_and_u "i64.atomic.rmw16.and_u" 0xFE31 (u16 and) -> u64;
                i64_atomic_rmw32_and_u visit_i64_atomic_rmw32_and_u "i64.atomic.rmw32.and_u" 0xFE32 (u32 and) -> u64;
                i32_atomic_rmw_or visit_i32_atomic_rmw_or "i32.atomic.rmw.or" 0xFE33 (u32 or) -> u32;
                i64_atomic_rmw_or visit_i64_atomic_rmw_or "i64.atomic.rmw.or" 0xFE34 (u64 or) -> u64;
                i32_atomic_rmw8_or_u visit_i32_atomic_rmw8_or_u "i32.atomic.rmw8.or_u" 0xFE35 (u8 or) -> u32;
                i32_atomic_rmw16_or_u visit_i32_atomic_rmw16_or_u "i32.atomic.rmw16.or_u" 0xFE36 (u16 or) -> u32;
                i64_atomic_rmw8_or_u visit_i64_atomic_rmw8_or_u "i64.atomic.rmw8.or_u" 0xFE37 (u8 or) -> u64;
                i64_atomic_rmw16_or_u visit_i64_atomic_rmw16_or_u "i64.atomic.rmw16.or_u" 0xFE38 (u16 or) -> u64;
                i64_atomic_rmw32_or_u visit_i64_atomic_rmw32_or_u "i64.atomic.rmw32.or_u" 0xFE39 (u32 or) -> u64;
                i32_atomic_rmw_xor visit_i32_atomic_rmw_xor "i32.atomic.rmw.xor" 0xFE3A (u32 xor) -> u32;
                i64_atomic_rmw_xor visit_i64_atomic_rmw_xor "i64.atomic.rmw.xor" 0xFE3B (u64 xor) -> u64;
                i32_atomic_rmw8_xor_u visit_i32_atomic_rmw8_xor_u "i32.atomic.rmw8.xor_u" 0xFE3C (u8 xor) -> u32;
                i32_atomic_rmw16_xor_u visit_i32_atomic_rmw16_xor_u "i32.atomic.rmw16.xor_u" 0xFE3D (u16 xor) -> u32;
                i64_atomic_rmw8_xor_u visit_i64_atomic_rmw8_xor_u "i64.atomic.rmw8.xor_u" 0xFE3E (u8 xor) -> u64;
                i64_atomic_rmw16_xor_u visit_i64_atomic_rmw16_xor_u "i64.atomic.rmw16.xor_u" 0xFE3F (u16 xor) -> u64;
                i64_atomic_rmw32_xor_u visit_i64_atomic_rmw32_xor_u "i64.atomic.rmw32.xor_u" 0xFE40 (u32 xor) -> u64;
                i32_atomic_rmw_xchg visit_i32_atomic_rmw_xchg "i32.atomic.rmw.xchg" 0xFE41 (u32 xchg) -> u32;
                i64_atomic_rmw_xchg visit_i64_atomic_rmw_xchg "i64.atomic.rmw.xchg" 0xFE42 (u64 xchg) -> u64;
                i32_atomic_rmw8_xchg_u visit_i32_atomic_rmw8_xchg_u "i32.atomic.rmw8.xchg_u" 0xFE43 (u8 xchg) -> u32;
                i32_atomic_rmw16_xchg_u visit_i32_atomic_rmw16_xchg_u "i32.atomic.rmw16.xchg_u" 0xFE44 (u16 xchg) -> u32;
                i64_atomic_rmw8_xchg_u visit_i64_atomic_rmw8_xchg_u "i64.atomic.rmw8.xchg_u" 0xFE45 (u8 xchg) -> u64;
                i64_atomic_rmw16_xchg_u visit_i64_atomic_rmw16_xchg_u "i64.atomic.rmw16.xchg_u" 0xFE46 (u16 xchg) -> u64;
                i64_atomic_rmw32_xchg_u visit_i64_atomic_rmw32_xchg_u "i64.atomic.rmw32.xchg_u" 0xFE47 (u32 xchg) -> u64;
            }
            cmpxchg {
                i32_atomic_rmw_cmpxchg visit_i32_atomic_rmw_cmpxchg "i32.atomic.rmw.cmpxchg" 0xFE48 (u32) -> u32;
                i64_atomic_rmw_cmpxchg visit_i64_atomic_rmw_cmpxchg "i64.atomic.rmw.cmpxchg" 0xFE49 (u64) -> u64;
                i32_atomic_rmw8_cmpxchg_u visit_i32_atomic_rmw8_cmpxchg_u "i32.atomic.rmw8.cmpxchg_u" 0xFE4A (u8) -> u32;
                i32_atomic_rmw16_cmpxchg_u visit_i32_atomic_rmw16_cmpxchg_u "i32.atomic.rmw16.cmpxchg_u" 0xFE4B (u16) -> u32;
                i64_atomic_rmw8_cmpxchg_u visit_i64_atomic_rmw8_cmpxchg_u "i64.atomic.rmw8.cmpxchg_u" 0xFE4C (u8) -> u64;
                i64_atomic_rmw16_cmpxchg_u visit_i64_atomic_rmw16_cmpxchg_u "i64.atomic.rmw16.cmpxchg_u" 0xFE4D (u16) -> u64;
                i64_atomic_rmw32_cmpxchg_u visit_i64_atomic_rmw32_cmpxchg_u "i64.atomic.rmw32.cmpxchg_u" 0xFE4E (u32) -> u64;
            }
        }
    };
}

/// One row of the opcode table as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opcode {
    /// The text format's name.
    pub mnemonic: &'static str,
    /// The binary format's encoding; a prefix byte stands before the sub-opcode.
    pub encoding: u32,
}

macro_rules! rows {
    ($($section:ident { $($name:ident $visit:ident $mnemonic:literal $encoding:literal ($($operand:ty),*) $(-> $result:ty)?;)* })*) => {
        /// Every row of [`for_each_opcode!`], in table order.
        pub const OPCODES: &[Opcode] = &[$($(Opcode { mnemonic: $mnemonic, encoding: $encoding },)*)*];
    };
}
for_each_opcode!(rows);

macro_rules! proposal_rows {
    ($($section:ident { $($name:ident $visit:ident $mnemonic:literal $encoding:literal ($($operand:ident)*) $(-> $result:ty)?;)* })*) => {
        &[$($(Opcode { mnemonic: $mnemonic, encoding: $encoding },)*)*]
    };
}

/// Every row of [`for_each_wide_opcode!`].
pub const WIDE_OPCODES: &[Opcode] = for_each_wide_opcode!(proposal_rows);

/// Every row of [`for_each_atomic_opcode!`].
pub const ATOMIC_OPCODES: &[Opcode] = for_each_atomic_opcode!(proposal_rows);

#[cfg(test)]
mod tests {
    use super::{ATOMIC_OPCODES, OPCODES, Opcode, WIDE_OPCODES};

    fn all() -> Vec<Opcode> {
        [OPCODES, WIDE_OPCODES, ATOMIC_OPCODES].concat()
    }

    #[test]
    fn encodings_and_mnemonics_are_unique() {
        let all = all();
        for (i, a) in all.iter().enumerate() {
            for b in &all[..i] {
                assert_ne!(a.encoding, b.encoding, "{} and {}", a.mnemonic, b.mnemonic);
                assert_ne!(a.mnemonic, b.mnemonic);
            }
        }
    }

    #[test]
    fn table_holds_the_plain_instructions_of_the_standard() {
        // 0x28..=0x3E loads and stores, 0x45..=0xC4 numeric, 0xFC00..=0xFC07 saturating truncation.
        let expected = (0x3E - 0x28 + 1) + (0xC4 - 0x45 + 1) + 8;
        assert_eq!(OPCODES.len(), expected);
        assert_eq!(ATOMIC_OPCODES.len(), 0x4E - 0x10 + 1);
    }

    #[test]
    fn encodings_decode_to_their_mnemonics() {
        use wasmparser::{BinaryReader, OperatorsReader};
        for row in all() {
            let mut bytes = row.encoding.to_be_bytes().to_vec();
            let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(3);
            bytes.drain(..start);
            bytes.extend([0, 0]); // the alignment and offset of loads and stores
            let operator = OperatorsReader::new(BinaryReader::new(&bytes, 0)).read().expect(row.mnemonic);
            let printed = format!("{operator:?}").split([' ', '{']).next().unwrap_or("").to_lowercase();
            assert_eq!(printed, row.mnemonic.replace(['.', '_'], ""), "encoding {:x}", row.encoding);
        }
    }
}
