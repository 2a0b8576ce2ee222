//! Numbers: everything that is a function of its operands.
//!
//! The compiler's instructions mean what the specification says, traps included, with few exceptions: conversions that trap say so by codes
//! of the compiler's own, and NaNs are whatever the processor makes of them, within what the specification allows.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Type, Value, types};
use wasmparser::Operator;

use super::{Result, Translator};

impl Translator<'_, '_> {
    fn compare(&mut self, cc: IntCC) -> Result {
        let (a, b) = self.pop2()?;
        let holds = self.b.ins().icmp(cc, a, b);
        self.push_bool(holds)
    }

    fn compare_floats(&mut self, cc: FloatCC) -> Result {
        let (a, b) = self.pop2()?;
        let holds = self.b.ins().fcmp(cc, a, b);
        self.push_bool(holds)
    }

    pub(super) fn push_bool(&mut self, holds: Value) -> Result {
        let value = self.b.ins().uextend(types::I32, holds);
        self.push(value)
    }

    fn test_zero(&mut self) -> Result {
        let a = self.pop()?;
        let holds = self.b.ins().icmp_imm_s(IntCC::Equal, a, 0);
        self.push_bool(holds)
    }

    /// Sign-extends the low bits.
    fn extend_low(&mut self, low: Type, to: Type) -> Result {
        let a = self.pop()?;
        let cut = self.b.ins().ireduce(low, a);
        let value = self.b.ins().sextend(to, cut);
        self.push(value)
    }

    fn wide(&mut self, operation: impl FnOnce(&mut Self, Value, Value) -> Value) -> Result {
        let (b_low, b_high) = self.pop2()?;
        let (a_low, a_high) = self.pop2()?;
        let a = self.b.ins().iconcat(a_low, a_high);
        let b = self.b.ins().iconcat(b_low, b_high);
        let value = operation(self, a, b);
        let (low, high) = self.b.ins().isplit(value);
        self.push(low)?;
        self.push(high)
    }

    pub(super) fn numeric(&mut self, operator: &Operator<'_>) -> Result<bool> {
        /// `pops => pushes`: one value made of one or two.
        macro_rules! unary {
            (|$a:ident| $ins:ident($($arg:expr),*)) => {{
                let $a = self.pop()?;
                let value = self.b.ins().$ins($($arg),*);
                self.push(value)
            }};
        }
        macro_rules! binary {
            ($ins:ident) => {{
                let (a, b) = self.pop2()?;
                let value = self.b.ins().$ins(a, b);
                self.push(value)
            }};
        }
        match operator {
            Operator::I32Eqz | Operator::I64Eqz => self.test_zero(),
            Operator::I32Eq | Operator::I64Eq => self.compare(IntCC::Equal),
            Operator::I32Ne | Operator::I64Ne => self.compare(IntCC::NotEqual),
            Operator::I32LtS | Operator::I64LtS => self.compare(IntCC::SignedLessThan),
            Operator::I32LtU | Operator::I64LtU => self.compare(IntCC::UnsignedLessThan),
            Operator::I32GtS | Operator::I64GtS => self.compare(IntCC::SignedGreaterThan),
            Operator::I32GtU | Operator::I64GtU => self.compare(IntCC::UnsignedGreaterThan),
            Operator::I32LeS | Operator::I64LeS => self.compare(IntCC::SignedLessThanOrEqual),
            Operator::I32LeU | Operator::I64LeU => self.compare(IntCC::UnsignedLessThanOrEqual),
            Operator::I32GeS | Operator::I64GeS => self.compare(IntCC::SignedGreaterThanOrEqual),
            Operator::I32GeU | Operator::I64GeU => self.compare(IntCC::UnsignedGreaterThanOrEqual),
            Operator::F32Eq | Operator::F64Eq => self.compare_floats(FloatCC::Equal),
            Operator::F32Ne | Operator::F64Ne => self.compare_floats(FloatCC::NotEqual),
            Operator::F32Lt | Operator::F64Lt => self.compare_floats(FloatCC::LessThan),
            Operator::F32Gt | Operator::F64Gt => self.compare_floats(FloatCC::GreaterThan),
            Operator::F32Le | Operator::F64Le => self.compare_floats(FloatCC::LessThanOrEqual),
            Operator::F32Ge | Operator::F64Ge => self.compare_floats(FloatCC::GreaterThanOrEqual),
            Operator::I32Clz | Operator::I64Clz => unary!(|a| clz(a)),
            Operator::I32Ctz | Operator::I64Ctz => unary!(|a| ctz(a)),
            Operator::I32Popcnt | Operator::I64Popcnt => unary!(|a| popcnt(a)),
            Operator::I32Add | Operator::I64Add => binary!(iadd),
            Operator::I32Sub | Operator::I64Sub => binary!(isub),
            Operator::I32Mul | Operator::I64Mul => binary!(imul),
            Operator::I32DivS | Operator::I64DivS => binary!(sdiv),
            Operator::I32DivU | Operator::I64DivU => binary!(udiv),
            Operator::I32RemS | Operator::I64RemS => binary!(srem),
            Operator::I32RemU | Operator::I64RemU => binary!(urem),
            Operator::I32And | Operator::I64And => binary!(band),
            Operator::I32Or | Operator::I64Or => binary!(bor),
            Operator::I32Xor | Operator::I64Xor => binary!(bxor),
            Operator::I32Shl | Operator::I64Shl => binary!(ishl),
            Operator::I32ShrS | Operator::I64ShrS => binary!(sshr),
            Operator::I32ShrU | Operator::I64ShrU => binary!(ushr),
            Operator::I32Rotl | Operator::I64Rotl => binary!(rotl),
            Operator::I32Rotr | Operator::I64Rotr => binary!(rotr),
            Operator::F32Abs | Operator::F64Abs => unary!(|a| fabs(a)),
            Operator::F32Neg | Operator::F64Neg => unary!(|a| fneg(a)),
            Operator::F32Ceil | Operator::F64Ceil => unary!(|a| ceil(a)),
            Operator::F32Floor | Operator::F64Floor => unary!(|a| floor(a)),
            Operator::F32Trunc | Operator::F64Trunc => unary!(|a| trunc(a)),
            Operator::F32Nearest | Operator::F64Nearest => unary!(|a| nearest(a)),
            Operator::F32Sqrt | Operator::F64Sqrt => unary!(|a| sqrt(a)),
            Operator::F32Add | Operator::F64Add => binary!(fadd),
            Operator::F32Sub | Operator::F64Sub => binary!(fsub),
            Operator::F32Mul | Operator::F64Mul => binary!(fmul),
            Operator::F32Div | Operator::F64Div => binary!(fdiv),
            Operator::F32Min | Operator::F64Min => binary!(fmin),
            Operator::F32Max | Operator::F64Max => binary!(fmax),
            Operator::F32Copysign | Operator::F64Copysign => binary!(fcopysign),
            Operator::I32WrapI64 => unary!(|a| ireduce(types::I32, a)),
            Operator::I64ExtendI32S => unary!(|a| sextend(types::I64, a)),
            Operator::I64ExtendI32U => unary!(|a| uextend(types::I64, a)),
            Operator::I32TruncF32S | Operator::I32TruncF64S => unary!(|a| fcvt_to_sint(types::I32, a)),
            Operator::I32TruncF32U | Operator::I32TruncF64U => unary!(|a| fcvt_to_uint(types::I32, a)),
            Operator::I64TruncF32S | Operator::I64TruncF64S => unary!(|a| fcvt_to_sint(types::I64, a)),
            Operator::I64TruncF32U | Operator::I64TruncF64U => unary!(|a| fcvt_to_uint(types::I64, a)),
            Operator::I32TruncSatF32S | Operator::I32TruncSatF64S => {
                unary!(|a| fcvt_to_sint_sat(types::I32, a))
            }
            Operator::I32TruncSatF32U | Operator::I32TruncSatF64U => {
                unary!(|a| fcvt_to_uint_sat(types::I32, a))
            }
            Operator::I64TruncSatF32S | Operator::I64TruncSatF64S => {
                unary!(|a| fcvt_to_sint_sat(types::I64, a))
            }
            Operator::I64TruncSatF32U | Operator::I64TruncSatF64U => {
                unary!(|a| fcvt_to_uint_sat(types::I64, a))
            }
            Operator::F32ConvertI32S | Operator::F32ConvertI64S => {
                unary!(|a| fcvt_from_sint(types::F32, a))
            }
            Operator::F32ConvertI32U | Operator::F32ConvertI64U => {
                unary!(|a| fcvt_from_uint(types::F32, a))
            }
            Operator::F64ConvertI32S | Operator::F64ConvertI64S => {
                unary!(|a| fcvt_from_sint(types::F64, a))
            }
            Operator::F64ConvertI32U | Operator::F64ConvertI64U => {
                unary!(|a| fcvt_from_uint(types::F64, a))
            }
            Operator::F32DemoteF64 => unary!(|a| fdemote(types::F32, a)),
            Operator::F64PromoteF32 => unary!(|a| fpromote(types::F64, a)),
            Operator::I32ReinterpretF32 => unary!(|a| bitcast(types::I32, MemFlagsData::new(), a)),
            Operator::I64ReinterpretF64 => unary!(|a| bitcast(types::I64, MemFlagsData::new(), a)),
            Operator::F32ReinterpretI32 => unary!(|a| bitcast(types::F32, MemFlagsData::new(), a)),
            Operator::F64ReinterpretI64 => unary!(|a| bitcast(types::F64, MemFlagsData::new(), a)),
            Operator::I32Extend8S => self.extend_low(types::I8, types::I32),
            Operator::I32Extend16S => self.extend_low(types::I16, types::I32),
            Operator::I64Extend8S => self.extend_low(types::I8, types::I64),
            Operator::I64Extend16S => self.extend_low(types::I16, types::I64),
            Operator::I64Extend32S => self.extend_low(types::I32, types::I64),
            Operator::I64Add128 => self.wide(|t, a, b| t.b.ins().iadd(a, b)),
            Operator::I64Sub128 => self.wide(|t, a, b| t.b.ins().isub(a, b)),
            Operator::I64MulWideS => {
                let (a, b) = self.pop2()?;
                let low = self.b.ins().imul(a, b);
                let high = self.b.ins().smulhi(a, b);
                self.push(low)?;
                self.push(high)
            }
            Operator::I64MulWideU => {
                let (a, b) = self.pop2()?;
                let low = self.b.ins().imul(a, b);
                let high = self.b.ins().umulhi(a, b);
                self.push(low)?;
                self.push(high)
            }
            _ => return Ok(false),
        }?;
        Ok(true)
    }
}
