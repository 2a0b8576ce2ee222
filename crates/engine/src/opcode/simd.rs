//! The opcode table of vectors: every instruction of fixed-width and of relaxed SIMD.
//!
//! Rows are those of [`crate::for_each_opcode!`], with semantic functions in [`crate::simd`]; operands are `v128` where a row does not
//! say otherwise. Memory cells are arrays of bytes, as they stand in memory.
//!
//! Source: core specification 5.4 ("Instructions", binary format, "Vector Instructions").

use super::Opcode;

/// Expands `$callback! { unary {..} binary {..} ternary {..} shift {..} test {..} splat {..} extract {..} replace {..} load {..} store {..}
/// load_lane {..} store_lane {..} constant {..} shuffle {..} }`.
///
/// Rows read `name visitor "mnemonic" encoding operands;`:
/// - `unary`, `binary`, `ternary`: as many vectors, and a vector as result. `shift`: a vector and an i32.
/// - `test`: a vector, with an `i32` as result.
/// - `splat`: `(T)`: a number that all lanes get. `extract`: `(T)`: the number in a lane that is an immediate. `replace`: `(T)`: a vector, and
///   the number for such a lane.
/// - `load`: `(M)`: a vector made of a memory cell. `store`: `(M)`: the cell made of a vector.
/// - `load_lane`, `store_lane`: `(M)`: a cell to and from a lane that is an immediate.
/// - `constant`: 16 bytes as immediate. `shuffle`: two vectors, and 16 lane numbers as immediate.
///
/// Encodings are the prefix byte 0xFD and three digits of the sub-opcode, as in `0xFD100` for sub-opcode 0x100.
#[macro_export]
macro_rules! for_each_simd_opcode {
    ($callback:ident) => {
        $callback! {
            unary {
                v128_not visit_v128_not "v128.not" 0xFD04D;
                f32x4_demote_f64x2_zero visit_f32x4_demote_f64x2_zero "f32x4.demote_f64x2_zero" 0xFD05E;
                f64x2_promote_low_f32x4 visit_f64x2_promote_low_f32x4 "f64x2.promote_low_f32x4" 0xFD05F;
                i8x16_abs visit_i8x16_abs "i8x16.abs" 0xFD060;
                i8x16_neg visit_i8x16_neg "i8x16.neg" 0xFD061;
                i8x16_popcnt visit_i8x16_popcnt "i8x16.popcnt" 0xFD062;
                f32x4_ceil visit_f32x4_ceil "f32x4.ceil" 0xFD067;
                f32x4_floor visit_f32x4_floor "f32x4.floor" 0xFD068;
                f32x4_trunc visit_f32x4_trunc "f32x4.trunc" 0xFD069;
                f32x4_nearest visit_f32x4_nearest "f32x4.nearest" 0xFD06A;
                f64x2_ceil visit_f64x2_ceil "f64x2.ceil" 0xFD074;
                f64x2_floor visit_f64x2_floor "f64x2.floor" 0xFD075;
                f64x2_trunc visit_f64x2_trunc "f64x2.trunc" 0xFD07A;
                i16x8_extadd_pairwise_i8x16_s visit_i16x8_extadd_pairwise_i8x16_s "i16x8.extadd_pairwise_i8x16_s" 0xFD07C;
                i16x8_extadd_pairwise_i8x16_u visit_i16x8_extadd_pairwise_i8x16_u "i16x8.extadd_pairwise_i8x16_u" 0xFD07D;
                i32x4_extadd_pairwise_i16x8_s visit_i32x4_extadd_pairwise_i16x8_s "i32x4.extadd_pairwise_i16x8_s" 0xFD07E;
                i32x4_extadd_pairwise_i16x8_u visit_i32x4_extadd_pairwise_i16x8_u "i32x4.extadd_pairwise_i16x8_u" 0xFD07F;
                i16x8_abs visit_i16x8_abs "i16x8.abs" 0xFD080;
                i16x8_neg visit_i16x8_neg "i16x8.neg" 0xFD081;
                i16x8_extend_low_i8x16_s visit_i16x8_extend_low_i8x16_s "i16x8.extend_low_i8x16_s" 0xFD087;
                i16x8_extend_high_i8x16_s visit_i16x8_extend_high_i8x16_s "i16x8.extend_high_i8x16_s" 0xFD088;
                i16x8_extend_low_i8x16_u visit_i16x8_extend_low_i8x16_u "i16x8.extend_low_i8x16_u" 0xFD089;
                i16x8_extend_high_i8x16_u visit_i16x8_extend_high_i8x16_u "i16x8.extend_high_i8x16_u" 0xFD08A;
                f64x2_nearest visit_f64x2_nearest "f64x2.nearest" 0xFD094;
                i32x4_abs visit_i32x4_abs "i32x4.abs" 0xFD0A0;
                i32x4_neg visit_i32x4_neg "i32x4.neg" 0xFD0A1;
                i32x4_extend_low_i16x8_s visit_i32x4_extend_low_i16x8_s "i32x4.extend_low_i16x8_s" 0xFD0A7;
                i32x4_extend_high_i16x8_s visit_i32x4_extend_high_i16x8_s "i32x4.extend_high_i16x8_s" 0xFD0A8;
                i32x4_extend_low_i16x8_u visit_i32x4_extend_low_i16x8_u "i32x4.extend_low_i16x8_u" 0xFD0A9;
                i32x4_extend_high_i16x8_u visit_i32x4_extend_high_i16x8_u "i32x4.extend_high_i16x8_u" 0xFD0AA;
                i64x2_abs visit_i64x2_abs "i64x2.abs" 0xFD0C0;
                i64x2_neg visit_i64x2_neg "i64x2.neg" 0xFD0C1;
                i64x2_extend_low_i32x4_s visit_i64x2_extend_low_i32x4_s "i64x2.extend_low_i32x4_s" 0xFD0C7;
                i64x2_extend_high_i32x4_s visit_i64x2_extend_high_i32x4_s "i64x2.extend_high_i32x4_s" 0xFD0C8;
                i64x2_extend_low_i32x4_u visit_i64x2_extend_low_i32x4_u "i64x2.extend_low_i32x4_u" 0xFD0C9;
                i64x2_extend_high_i32x4_u visit_i64x2_extend_high_i32x4_u "i64x2.extend_high_i32x4_u" 0xFD0CA;
                f32x4_abs visit_f32x4_abs "f32x4.abs" 0xFD0E0;
                f32x4_neg visit_f32x4_neg "f32x4.neg" 0xFD0E1;
                f32x4_sqrt visit_f32x4_sqrt "f32x4.sqrt" 0xFD0E3;
                f64x2_abs visit_f64x2_abs "f64x2.abs" 0xFD0EC;
                f64x2_neg visit_f64x2_neg "f64x2.neg" 0xFD0ED;
                f64x2_sqrt visit_f64x2_sqrt "f64x2.sqrt" 0xFD0EF;
                i32x4_trunc_sat_f32x4_s visit_i32x4_trunc_sat_f32x4_s "i32x4.trunc_sat_f32x4_s" 0xFD0F8;
                i32x4_trunc_sat_f32x4_u visit_i32x4_trunc_sat_f32x4_u "i32x4.trunc_sat_f32x4_u" 0xFD0F9;
                f32x4_convert_i32x4_s visit_f32x4_convert_i32x4_s "f32x4.convert_i32x4_s" 0xFD0FA;
                f32x4_convert_i32x4_u visit_f32x4_convert_i32x4_u "f32x4.convert_i32x4_u" 0xFD0FB;
                i32x4_trunc_sat_f64x2_s_zero visit_i32x4_trunc_sat_f64x2_s_zero "i32x4.trunc_sat_f64x2_s_zero" 0xFD0FC;
                i32x4_trunc_sat_f64x2_u_zero visit_i32x4_trunc_sat_f64x2_u_zero "i32x4.trunc_sat_f64x2_u_zero" 0xFD0FD;
                f64x2_convert_low_i32x4_s visit_f64x2_convert_low_i32x4_s "f64x2.convert_low_i32x4_s" 0xFD0FE;
                f64x2_convert_low_i32x4_u visit_f64x2_convert_low_i32x4_u "f64x2.convert_low_i32x4_u" 0xFD0FF;
                i32x4_relaxed_trunc_f32x4_s visit_i32x4_relaxed_trunc_f32x4_s "i32x4.relaxed_trunc_f32x4_s" 0xFD101;
                i32x4_relaxed_trunc_f32x4_u visit_i32x4_relaxed_trunc_f32x4_u "i32x4.relaxed_trunc_f32x4_u" 0xFD102;
                i32x4_relaxed_trunc_f64x2_s_zero visit_i32x4_relaxed_trunc_f64x2_s_zero "i32x4.relaxed_trunc_f64x2_s_zero" 0xFD103;
                i32x4_relaxed_trunc_f64x2_u_zero visit_i32x4_relaxed_trunc_f64x2_u_zero "i32x4.relaxed_trunc_f64x2_u_zero" 0xFD104;
            }
            binary {
                i8x16_swizzle visit_i8x16_swizzle "i8x16.swizzle" 0xFD00E;
                i8x16_eq visit_i8x16_eq "i8x16.eq" 0xFD023;
                i8x16_ne visit_i8x16_ne "i8x16.ne" 0xFD024;
                i8x16_lt_s visit_i8x16_lt_s "i8x16.lt_s" 0xFD025;
                i8x16_lt_u visit_i8x16_lt_u "i8x16.lt_u" 0xFD026;
                i8x16_gt_s visit_i8x16_gt_s "i8x16.gt_s" 0xFD027;
                i8x16_gt_u visit_i8x16_gt_u "i8x16.gt_u" 0xFD028;
                i8x16_le_s visit_i8x16_le_s "i8x16.le_s" 0xFD029;
                i8x16_le_u visit_i8x16_le_u "i8x16.le_u" 0xFD02A;
                i8x16_ge_s visit_i8x16_ge_s "i8x16.ge_s" 0xFD02B;
                i8x16_ge_u visit_i8x16_ge_u "i8x16.ge_u" 0xFD02C;
                i16x8_eq visit_i16x8_eq "i16x8.eq" 0xFD02D;
                i16x8_ne visit_i16x8_ne "i16x8.ne" 0xFD02E;
                i16x8_lt_s visit_i16x8_lt_s "i16x8.lt_s" 0xFD02F;
                i16x8_lt_u visit_i16x8_lt_u "i16x8.lt_u" 0xFD030;
                i16x8_gt_s visit_i16x8_gt_s "i16x8.gt_s" 0xFD031;
                i16x8_gt_u visit_i16x8_gt_u "i16x8.gt_u" 0xFD032;
                i16x8_le_s visit_i16x8_le_s "i16x8.le_s" 0xFD033;
                i16x8_le_u visit_i16x8_le_u "i16x8.le_u" 0xFD034;
                i16x8_ge_s visit_i16x8_ge_s "i16x8.ge_s" 0xFD035;
                i16x8_ge_u visit_i16x8_ge_u "i16x8.ge_u" 0xFD036;
                i32x4_eq visit_i32x4_eq "i32x4.eq" 0xFD037;
                i32x4_ne visit_i32x4_ne "i32x4.ne" 0xFD038;
                i32x4_lt_s visit_i32x4_lt_s "i32x4.lt_s" 0xFD039;
                i32x4_lt_u visit_i32x4_lt_u "i32x4.lt_u" 0xFD03A;
                i32x4_gt_s visit_i32x4_gt_s "i32x4.gt_s" 0xFD03B;
                i32x4_gt_u visit_i32x4_gt_u "i32x4.gt_u" 0xFD03C;
                i32x4_le_s visit_i32x4_le_s "i32x4.le_s" 0xFD03D;
                i32x4_le_u visit_i32x4_le_u "i32x4.le_u" 0xFD03E;
                i32x4_ge_s visit_i32x4_ge_s "i32x4.ge_s" 0xFD03F;
                i32x4_ge_u visit_i32x4_ge_u "i32x4.ge_u" 0xFD040;
                f32x4_eq visit_f32x4_eq "f32x4.eq" 0xFD041;
                f32x4_ne visit_f32x4_ne "f32x4.ne" 0xFD042;
                f32x4_lt visit_f32x4_lt "f32x4.lt" 0xFD043;
                f32x4_gt visit_f32x4_gt "f32x4.gt" 0xFD044;
                f32x4_le visit_f32x4_le "f32x4.le" 0xFD045;
                f32x4_ge visit_f32x4_ge "f32x4.ge" 0xFD046;
                f64x2_eq visit_f64x2_eq "f64x2.eq" 0xFD047;
                f64x2_ne visit_f64x2_ne "f64x2.ne" 0xFD048;
                f64x2_lt visit_f64x2_lt "f64x2.lt" 0xFD049;
                f64x2_gt visit_f64x2_gt "f64x2.gt" 0xFD04A;
                f64x2_le visit_f64x2_le "f64x2.le" 0xFD04B;
                f64x2_ge visit_f64x2_ge "f64x2.ge" 0xFD04C;
                v128_and visit_v128_and "v128.and" 0xFD04E;
                v128_andnot visit_v128_andnot "v128.andnot" 0xFD04F;
                v128_or visit_v128_or "v128.or" 0xFD050;
                v128_xor visit_v128_xor "v128.xor" 0xFD051;
                i8x16_narrow_i16x8_s visit_i8x16_narrow_i16x8_s "i8x16.narrow_i16x8_s" 0xFD065;
                i8x16_narrow_i16x8_u visit_i8x16_narrow_i16x8_u "i8x16.narrow_i16x8_u" 0xFD066;
                i8x16_add visit_i8x16_add "i8x16.add" 0xFD06E;
                i8x16_add_sat_s visit_i8x16_add_sat_s "i8x16.add_sat_s" 0xFD06F;
                i8x16_add_sat_u visit_i8x16_add_sat_u "i8x16.add_sat_u" 0xFD070;
                i8x16_sub visit_i8x16_sub "i8x16.sub" 0xFD071;
                i8x16_sub_sat_s visit_i8x16_sub_sat_s "i8x16.sub_sat_s" 0xFD072;
                i8x16_sub_sat_u visit_i8x16_sub_sat_u "i8x16.sub_sat_u" 0xFD073;
                i8x16_min_s visit_i8x16_min_s "i8x16.min_s" 0xFD076;
                i8x16_min_u visit_i8x16_min_u "i8x16.min_u" 0xFD077;
                i8x16_max_s visit_i8x16_max_s "i8x16.max_s" 0xFD078;
                i8x16_max_u visit_i8x16_max_u "i8x16.max_u" 0xFD079;
                i8x16_avgr_u visit_i8x16_avgr_u "i8x16.avgr_u" 0xFD07B;
                i16x8_q15mulr_sat_s visit_i16x8_q15mulr_sat_s "i16x8.q15mulr_sat_s" 0xFD082;
                i16x8_narrow_i32x4_s visit_i16x8_narrow_i32x4_s "i16x8.narrow_i32x4_s" 0xFD085;
                i16x8_narrow_i32x4_u visit_i16x8_narrow_i32x4_u "i16x8.narrow_i32x4_u" 0xFD086;
                i16x8_add visit_i16x8_add "i16x8.add" 0xFD08E;
                i16x8_add_sat_s visit_i16x8_add_sat_s "i16x8.add_sat_s" 0xFD08F;
                i16x8_add_sat_u visit_i16x8_add_sat_u "i16x8.add_sat_u" 0xFD090;
                i16x8_sub visit_i16x8_sub "i16x8.sub" 0xFD091;
                i16x8_sub_sat_s visit_i16x8_sub_sat_s "i16x8.sub_sat_s" 0xFD092;
                i16x8_sub_sat_u visit_i16x8_sub_sat_u "i16x8.sub_sat_u" 0xFD093;
                i16x8_mul visit_i16x8_mul "i16x8.mul" 0xFD095;
                i16x8_min_s visit_i16x8_min_s "i16x8.min_s" 0xFD096;
                i16x8_min_u visit_i16x8_min_u "i16x8.min_u" 0xFD097;
                i16x8_max_s visit_i16x8_max_s "i16x8.max_s" 0xFD098;
                i16x8_max_u visit_i16x8_max_u "i16x8.max_u" 0xFD099;
                i16x8_avgr_u visit_i16x8_avgr_u "i16x8.avgr_u" 0xFD09B;
                i16x8_extmul_low_i8x16_s visit_i16x8_extmul_low_i8x16_s "i16x8.extmul_low_i8x16_s" 0xFD09C;
                i16x8_extmul_high_i8x16_s visit_i16x8_extmul_high_i8x16_s "i16x8.extmul_high_i8x16_s" 0xFD09D;
                i16x8_extmul_low_i8x16_u visit_i16x8_extmul_low_i8x16_u "i16x8.extmul_low_i8x16_u" 0xFD09E;
                i16x8_extmul_high_i8x16_u visit_i16x8_extmul_high_i8x16_u "i16x8.extmul_high_i8x16_u" 0xFD09F;
                i32x4_add visit_i32x4_add "i32x4.add" 0xFD0AE;
                i32x4_sub visit_i32x4_sub "i32x4.sub" 0xFD0B1;
                i32x4_mul visit_i32x4_mul "i32x4.mul" 0xFD0B5;
                i32x4_min_s visit_i32x4_min_s "i32x4.min_s" 0xFD0B6;
                i32x4_min_u visit_i32x4_min_u "i32x4.min_u" 0xFD0B7;
                i32x4_max_s visit_i32x4_max_s "i32x4.max_s" 0xFD0B8;
                i32x4_max_u visit_i32x4_max_u "i32x4.max_u" 0xFD0B9;
                i32x4_dot_i16x8_s visit_i32x4_dot_i16x8_s "i32x4.dot_i16x8_s" 0xFD0BA;
                i32x4_extmul_low_i16x8_s visit_i32x4_extmul_low_i16x8_s "i32x4.extmul_low_i16x8_s" 0xFD0BC;
                i32x4_extmul_high_i16x8_s visit_i32x4_extmul_high_i16x8_s "i32x4.extmul_high_i16x8_s" 0xFD0BD;
                i32x4_extmul_low_i16x8_u visit_i32x4_extmul_low_i16x8_u "i32x4.extmul_low_i16x8_u" 0xFD0BE;
                i32x4_extmul_high_i16x8_u visit_i32x4_extmul_high_i16x8_u "i32x4.extmul_high_i16x8_u" 0xFD0BF;
                i64x2_add visit_i64x2_add "i64x2.add" 0xFD0CE;
                i64x2_sub visit_i64x2_sub "i64x2.sub" 0xFD0D1;
                i64x2_mul visit_i64x2_mul "i64x2.mul" 0xFD0D5;
                i64x2_eq visit_i64x2_eq "i64x2.eq" 0xFD0D6;
                i64x2_ne visit_i64x2_ne "i64x2.ne" 0xFD0D7;
                i64x2_lt_s visit_i64x2_lt_s "i64x2.lt_s" 0xFD0D8;
                i64x2_gt_s visit_i64x2_gt_s "i64x2.gt_s" 0xFD0D9;
                i64x2_le_s visit_i64x2_le_s "i64x2.le_s" 0xFD0DA;
                i64x2_ge_s visit_i64x2_ge_s "i64x2.ge_s" 0xFD0DB;
                i64x2_extmul_low_i32x4_s visit_i64x2_extmul_low_i32x4_s "i64x2.extmul_low_i32x4_s" 0xFD0DC;
                i64x2_extmul_high_i32x4_s visit_i64x2_extmul_high_i32x4_s "i64x2.extmul_high_i32x4_s" 0xFD0DD;
                i64x2_extmul_low_i32x4_u visit_i64x2_extmul_low_i32x4_u "i64x2.extmul_low_i32x4_u" 0xFD0DE;
                i64x2_extmul_high_i32x4_u visit_i64x2_extmul_high_i32x4_u "i64x2.extmul_high_i32x4_u" 0xFD0DF;
                f32x4_add visit_f32x4_add "f32x4.add" 0xFD0E4;
                f32x4_sub visit_f32x4_sub "f32x4.sub" 0xFD0E5;
                f32x4_mul visit_f32x4_mul "f32x4.mul" 0xFD0E6;
                f32x4_div visit_f32x4_div "f32x4.div" 0xFD0E7;
                f32x4_min visit_f32x4_min "f32x4.min" 0xFD0E8;
                f32x4_max visit_f32x4_max "f32x4.max" 0xFD0E9;
                f32x4_pmin visit_f32x4_pmin "f32x4.pmin" 0xFD0EA;
                f32x4_pmax visit_f32x4_pmax "f32x4.pmax" 0xFD0EB;
                f64x2_add visit_f64x2_add "f64x2.add" 0xFD0F0;
                f64x2_sub visit_f64x2_sub "f64x2.sub" 0xFD0F1;
                f64x2_mul visit_f64x2_mul "f64x2.mul" 0xFD0F2;
                f64x2_div visit_f64x2_div "f64x2.div" 0xFD0F3;
                f64x2_min visit_f64x2_min "f64x2.min" 0xFD0F4;
                f64x2_max visit_f64x2_max "f64x2.max" 0xFD0F5;
                f64x2_pmin visit_f64x2_pmin "f64x2.pmin" 0xFD0F6;
                f64x2_pmax visit_f64x2_pmax "f64x2.pmax" 0xFD0F7;
                i8x16_relaxed_swizzle visit_i8x16_relaxed_swizzle "i8x16.relaxed_swizzle" 0xFD100;
                f32x4_relaxed_min visit_f32x4_relaxed_min "f32x4.relaxed_min" 0xFD10D;
                f32x4_relaxed_max visit_f32x4_relaxed_max "f32x4.relaxed_max" 0xFD10E;
                f64x2_relaxed_min visit_f64x2_relaxed_min "f64x2.relaxed_min" 0xFD10F;
                f64x2_relaxed_max visit_f64x2_relaxed_max "f64x2.relaxed_max" 0xFD110;
                i16x8_relaxed_q15mulr_s visit_i16x8_relaxed_q15mulr_s "i16x8.relaxed_q15mulr_s" 0xFD111;
                i16x8_relaxed_dot_i8x16_i7x16_s visit_i16x8_relaxed_dot_i8x16_i7x16_s "i16x8.relaxed_dot_i8x16_i7x16_s" 0xFD112;
            }
            ternary {
                v128_bitselect visit_v128_bitselect "v128.bitselect" 0xFD052;
                f32x4_relaxed_madd visit_f32x4_relaxed_madd "f32x4.relaxed_madd" 0xFD105;
                f32x4_relaxed_nmadd visit_f32x4_relaxed_nmadd "f32x4.relaxed_nmadd" 0xFD106;
                f64x2_relaxed_madd visit_f64x2_relaxed_madd "f64x2.relaxed_madd" 0xFD107;
                f64x2_relaxed_nmadd visit_f64x2_relaxed_nmadd "f64x2.relaxed_nmadd" 0xFD108;
                i8x16_relaxed_laneselect visit_i8x16_relaxed_laneselect "i8x16.relaxed_laneselect" 0xFD109;
                i16x8_relaxed_laneselect visit_i16x8_relaxed_laneselect "i16x8.relaxed_laneselect" 0xFD10A;
                i32x4_relaxed_laneselect visit_i32x4_relaxed_laneselect "i32x4.relaxed_laneselect" 0xFD10B;
                i64x2_relaxed_laneselect visit_i64x2_relaxed_laneselect "i64x2.relaxed_laneselect" 0xFD10C;
                i32x4_relaxed_dot_i8x16_i7x16_add_s visit_i32x4_relaxed_dot_i8x16_i7x16_add_s "i32x4.relaxed_dot_i8x16_i7x16_add_s" 0xFD113;
            }
            shift {
                i8x16_shl visit_i8x16_shl "i8x16.shl" 0xFD06B;
                i8x16_shr_s visit_i8x16_shr_s "i8x16.shr_s" 0xFD06C;
                i8x16_shr_u visit_i8x16_shr_u "i8x16.shr_u" 0xFD06D;
                i16x8_shl visit_i16x8_shl "i16x8.shl" 0xFD08B;
                i16x8_shr_s visit_i16x8_shr_s "i16x8.shr_s" 0xFD08C;
                i16x8_shr_u visit_i16x8_shr_u "i16x8.shr_u" 0xFD08D;
                i32x4_shl visit_i32x4_shl "i32x4.shl" 0xFD0AB;
                i32x4_shr_s visit_i32x4_shr_s "i32x4.shr_s" 0xFD0AC;
                i32x4_shr_u visit_i32x4_shr_u "i32x4.shr_u" 0xFD0AD;
                i64x2_shl visit_i64x2_shl "i64x2.shl" 0xFD0CB;
                i64x2_shr_s visit_i64x2_shr_s "i64x2.shr_s" 0xFD0CC;
                i64x2_shr_u visit_i64x2_shr_u "i64x2.shr_u" 0xFD0CD;
            }
            test {
                v128_any_true visit_v128_any_true "v128.any_true" 0xFD053;
                i8x16_all_true visit_i8x16_all_true "i8x16.all_true" 0xFD063;
                i8x16_bitmask visit_i8x16_bitmask "i8x16.bitmask" 0xFD064;
                i16x8_all_true visit_i16x8_all_true "i16x8.all_true" 0xFD083;
                i16x8_bitmask visit_i16x8_bitmask "i16x8.bitmask" 0xFD084;
                i32x4_all_true visit_i32x4_all_true "i32x4.all_true" 0xFD0A3;
                i32x4_bitmask visit_i32x4_bitmask "i32x4.bitmask" 0xFD0A4;
                i64x2_all_true visit_i64x2_all_true "i64x2.all_true" 0xFD0C3;
                i64x2_bitmask visit_i64x2_bitmask "i64x2.bitmask" 0xFD0C4;
            }
            splat {
                i8x16_splat visit_i8x16_splat "i8x16.splat" 0xFD00F (u32);
                i16x8_splat visit_i16x8_splat "i16x8.splat" 0xFD010 (u32);
                i32x4_splat visit_i32x4_splat "i32x4.splat" 0xFD011 (u32);
                i64x2_splat visit_i64x2_splat "i64x2.splat" 0xFD012 (u64);
                f32x4_splat visit_f32x4_splat "f32x4.splat" 0xFD013 (f32);
                f64x2_splat visit_f64x2_splat "f64x2.splat" 0xFD014 (f64);
            }
            extract {
                i8x16_extract_lane_s visit_i8x16_extract_lane_s "i8x16.extract_lane_s" 0xFD015 (u32);
                i8x16_extract_lane_u visit_i8x16_extract_lane_u "i8x16.extract_lane_u" 0xFD016 (u32);
                i16x8_extract_lane_s visit_i16x8_extract_lane_s "i16x8.extract_lane_s" 0xFD018 (u32);
                i16x8_extract_lane_u visit_i16x8_extract_lane_u "i16x8.extract_lane_u" 0xFD019 (u32);
                i32x4_extract_lane visit_i32x4_extract_lane "i32x4.extract_lane" 0xFD01B (u32);
                i64x2_extract_lane visit_i64x2_extract_lane "i64x2.extract_lane" 0xFD01D (u64);
                f32x4_extract_lane visit_f32x4_extract_lane "f32x4.extract_lane" 0xFD01F (f32);
                f64x2_extract_lane visit_f64x2_extract_lane "f64x2.extract_lane" 0xFD021 (f64);
            }
            replace {
                i8x16_replace_lane visit_i8x16_replace_lane "i8x16.replace_lane" 0xFD017 (u32);
                i16x8_replace_lane visit_i16x8_replace_lane "i16x8.replace_lane" 0xFD01A (u32);
                i32x4_replace_lane visit_i32x4_replace_lane "i32x4.replace_lane" 0xFD01C (u32);
                i64x2_replace_lane visit_i64x2_replace_lane "i64x2.replace_lane" 0xFD01E (u64);
                f32x4_replace_lane visit_f32x4_replace_lane "f32x4.replace_lane" 0xFD020 (f32);
                f64x2_replace_lane visit_f64x2_replace_lane "f64x2.replace_lane" 0xFD022 (f64);
            }
            load {
                v128_load visit_v128_load "v128.load" 0xFD000 ([u8; 16]);
                v128_load8x8_s visit_v128_load8x8_s "v128.load8x8_s" 0xFD001 ([u8; 8]);
                v128_load8x8_u visit_v128_load8x8_u "v128.load8x8_u" 0xFD002 ([u8; 8]);
                v128_load16x4_s visit_v128_load16x4_s "v128.load16x4_s" 0xFD003 ([u8; 8]);
                v128_load16x4_u visit_v128_load16x4_u "v128.load16x4_u" 0xFD004 ([u8; 8]);
                v128_load32x2_s visit_v128_load32x2_s "v128.load32x2_s" 0xFD005 ([u8; 8]);
                v128_load32x2_u visit_v128_load32x2_u "v128.load32x2_u" 0xFD006 ([u8; 8]);
                v128_load8_splat visit_v128_load8_splat "v128.load8_splat" 0xFD007 ([u8; 1]);
                v128_load16_splat visit_v128_load16_splat "v128.load16_splat" 0xFD008 ([u8; 2]);
                v128_load32_splat visit_v128_load32_splat "v128.load32_splat" 0xFD009 ([u8; 4]);
                v128_load64_splat visit_v128_load64_splat "v128.load64_splat" 0xFD00A ([u8; 8]);
                v128_load32_zero visit_v128_load32_zero "v128.load32_zero" 0xFD05C ([u8; 4]);
                v128_load64_zero visit_v128_load64_zero "v128.load64_zero" 0xFD05D ([u8; 8]);
            }
            store {
                v128_store visit_v128_store "v128.store" 0xFD00B ([u8; 16]);
            }
            load_lane {
                v128_load8_lane visit_v128_load8_lane "v128.load8_lane" 0xFD054 ([u8; 1]);
                v128_load16_lane visit_v128_load16_lane "v128.load16_lane" 0xFD055 ([u8; 2]);
                v128_load32_lane visit_v128_load32_lane "v128.load32_lane" 0xFD056 ([u8; 4]);
                v128_load64_lane visit_v128_load64_lane "v128.load64_lane" 0xFD057 ([u8; 8]);
            }
            store_lane {
                v128_store8_lane visit_v128_store8_lane "v128.store8_lane" 0xFD058 ([u8; 1]);
                v128_store16_lane visit_v128_store16_lane "v128.store16_lane" 0xFD059 ([u8; 2]);
                v128_store32_lane visit_v128_store32_lane "v128.store32_lane" 0xFD05A ([u8; 4]);
                v128_store64_lane visit_v128_store64_lane "v128.store64_lane" 0xFD05B ([u8; 8]);
            }
            constant {
                v128_const visit_v128_const "v128.const" 0xFD00C;
            }
            shuffle {
                i8x16_shuffle visit_i8x16_shuffle "i8x16.shuffle" 0xFD00D;
            }
        }
    };
}

macro_rules! rows {
    ($($section:ident { $($name:ident $visit:ident $mnemonic:literal $encoding:literal $(($operand:ty))?;)* })*) => {
        /// Every row of [`for_each_simd_opcode!`], in table order.
        pub const SIMD_OPCODES: &[Opcode] = &[$($(Opcode { mnemonic: $mnemonic, encoding: $encoding },)*)*];
    };
}
for_each_simd_opcode!(rows);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::SIMD_OPCODES;

    #[test]
    fn table_holds_every_instruction_once() {
        assert_eq!(SIMD_OPCODES.len(), 236 + 20);
        let encodings: BTreeSet<u32> = SIMD_OPCODES.iter().map(|row| row.encoding).collect();
        let mnemonics: BTreeSet<&str> = SIMD_OPCODES.iter().map(|row| row.mnemonic).collect();
        assert_eq!((encodings.len(), mnemonics.len()), (SIMD_OPCODES.len(), SIMD_OPCODES.len()));
    }

    #[test]
    fn encodings_decode_to_their_mnemonics() {
        use wasmparser::{BinaryReader, OperatorsReader};
        for row in SIMD_OPCODES {
            assert_eq!(row.encoding >> 12, 0xFD, "{}", row.mnemonic);
            let sub_opcode = row.encoding & 0xFFF;
            // The sub-opcode in LEB128 with two bytes, then room for the longest immediate.
            let mut bytes = vec![0xFD, 0x80 | (sub_opcode & 0x7F) as u8, (sub_opcode >> 7) as u8];
            bytes.extend([0; 16]);
            let operator = OperatorsReader::new(BinaryReader::new(&bytes, 0)).read().expect(row.mnemonic);
            let printed = format!("{operator:?}").split([' ', '{']).next().unwrap_or("").to_lowercase();
            assert_eq!(printed, row.mnemonic.replace(['.', '_'], ""), "encoding {:x}", row.encoding);
        }
    }
}
