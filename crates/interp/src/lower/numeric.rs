//! Numeric instructions, out of the engine's opcode table.

use innkeeper_engine::for_each_opcode;

use super::emit::{Branches, Condition, Forms, Select, slots, slots_immediate};
use super::frame::SlotIndex;
use super::fuse::{Address, LoopHandlers, Made, ProductForms, SumHandlers};
use super::stack::{Operand, OperandLocation};
use super::{Lowering, Result};
use crate::machine::{Class, Handler, Slot};
use crate::op::numeric::{self, branch_if, branch_unless, loop_if, loop_unless};
use crate::op::{control, fused};

/// The forms of an operation with one operand.
pub(super) struct Unary {
    pub(super) slot: Handler,
    pub(super) accumulated: Handler,
    pub(super) operand: Class,
    pub(super) result: Class,
}

/// The forms of an operation with two operands of one class.
struct Binary {
    forms: BinaryForms,
    /// Words of the forms with a constant.
    words: usize,
    operands: Class,
    result: Class,
    commutative: Commutative,
    fusion: Fusion,
}

/// What an operation can fuse with.
enum Fusion {
    Nothing,
    /// With a branch or a selection on its outcome.
    Condition(&'static ConditionForms),
    /// `i32.and`: with a branch on its outcome, or the sum that is an operand.
    Mask(&'static ConditionForms),
    /// `i32.add`: with another one or a multiple, and into addresses.
    Add,
    /// `i64.add`: with a multiple.
    AddLong,
    /// An integer's product with a constant: into the sum it is an operand of.
    Multiply,
    /// `i32.shl`: into addresses.
    Shift,
    /// A float's product: into the sum it is an operand of.
    Product,
    /// A float's sum or difference: with the product that is an operand.
    Sum {
        forms: &'static ProductForms,
        subtract: bool,
    },
}

/// The forms of what fuses with a condition.
struct ConditionForms {
    branch_if: BinaryForms,
    branch_unless: BinaryForms,
    loop_if: BinaryForms,
    loop_unless: BinaryForms,
    select: Option<BinaryForms>,
    counted: Option<CountedForms>,
}

/// The forms of counting, comparing and branching back.
struct CountedForms {
    with_slot: LoopHandlers,
    with_constant: LoopHandlers,
}

/// Handlers by where the operands are.
struct BinaryForms {
    slots: Handler,
    accumulator_slot: Handler,
    slot_accumulator: Handler,
    slot_constant: Handler,
    accumulator_constant: Handler,
}

#[derive(Clone, Copy, PartialEq)]
enum Commutative {
    Yes,
    No,
}

/// Which operand is in the accumulator.
#[derive(Clone, Copy, PartialEq)]
enum Accumulated {
    Neither,
    First,
    Second,
}

impl BinaryForms {
    fn with(&self, second_is_constant: bool, accumulated: Accumulated) -> Forms {
        let (slots, first) = match second_is_constant {
            true => (self.slot_constant, self.accumulator_constant),
            false => (self.slots, self.accumulator_slot),
        };
        let accumulated = match accumulated {
            Accumulated::Neither => None,
            Accumulated::First => Some(first),
            Accumulated::Second => Some(self.slot_accumulator),
        };
        Forms { slots, accumulated }
    }
}

macro_rules! forms {
    ($($module:ident)::* => $name:ident) => {
        BinaryForms {
            slots: $($module)::*::ss::$name,
            accumulator_slot: $($module)::*::acc_s::$name,
            slot_accumulator: $($module)::*::s_acc::$name,
            slot_constant: $($module)::*::si::$name,
            accumulator_constant: $($module)::*::acc_i::$name,
        }
    };
}

/// The forms of counting before a comparison, which are there for `i32` only.
macro_rules! counted {
    (u32 $compare:ident) => {
        Some(CountedForms {
            with_slot: LoopHandlers {
                loop_if: fused::loop_if_slot::$compare,
                loop_unless: fused::loop_unless_slot::$compare,
            },
            with_constant: LoopHandlers {
                loop_if: fused::loop_if_constant::$compare,
                loop_unless: fused::loop_unless_constant::$compare,
            },
        })
    };
    ($ty:ident $compare:ident) => {
        None
    };
}

macro_rules! lower_numeric {
    (
        compare { $($compare:ident $visit_compare:ident $compare_mnemonic:literal $_e1:literal ($compare_ty:ident);)* }
        test { $($test:ident $visit_test:ident $_m2:literal $_e2:literal ($test_ty:ident);)* }
        unary { $($unary:ident $visit_unary:ident $_m3:literal $_e3:literal ($unary_ty:ty) -> $unary_result:ty;)* }
        binary { $($binary:ident $visit_binary:ident $binary_mnemonic:literal $binary_encoding:literal ($binary_ty:ty);)* }
        unary_trapping { $($unary_trapping:ident $visit_unary_trapping:ident $_m5:literal $_e5:literal ($unary_trapping_ty:ty) -> $unary_trapping_result:ty;)* }
        binary_trapping { $($binary_trapping:ident $visit_binary_trapping:ident $_m6:literal $_e6:literal ($binary_trapping_ty:ty);)* }
        load { $($_load:tt)* }
        store { $($_store:tt)* }
    ) => {
        impl Lowering<'_> {
            $(pub(super) fn $visit_compare(&mut self) -> Result {
                const CONDITION: ConditionForms = ConditionForms {
                    branch_if: forms!(numeric::branch_if => $compare),
                    branch_unless: forms!(numeric::branch_unless => $compare),
                    loop_if: forms!(numeric::loop_if => $compare),
                    loop_unless: forms!(numeric::loop_unless => $compare),
                    select: Some(forms!(numeric::select => $compare)),
                    counted: counted!($compare_ty $compare),
                };
                const COMPARE: Binary = Binary {
                    forms: forms!(numeric => $compare),
                    words: <$compare_ty as Slot>::WITH_IMMEDIATE,
                    operands: <$compare_ty as Slot>::CLASS,
                    result: Class::Integer,
                    commutative: commutative($compare_mnemonic),
                    fusion: Fusion::Condition(&CONDITION),
                };
                self.binary(&COMPARE)
            })*
            $(pub(super) fn $visit_test(&mut self) -> Result {
                const TEST: Test = Test {
                    value: Unary {
                        slot: numeric::s::$test,
                        accumulated: numeric::a::$test,
                        operand: Class::Integer,
                        result: Class::Integer,
                    },
                    branch_if: (branch_if::s::$test, branch_if::a::$test),
                    branch_unless: (branch_unless::s::$test, branch_unless::a::$test),
                    loop_if: (loop_if::s::$test, loop_if::a::$test),
                    loop_unless: (loop_unless::s::$test, loop_unless::a::$test),
                    select: (control::select_by::slot::$test_ty, control::select_by::acc::$test_ty),
                };
                self.test(&TEST)
            })*
            $(pub(super) fn $visit_unary(&mut self) -> Result {
                self.unary_through(&Unary {
                    slot: numeric::s::$unary,
                    accumulated: numeric::a::$unary,
                    operand: <$unary_ty as Slot>::CLASS,
                    result: <$unary_result as Slot>::CLASS,
                })
            })*
            $(pub(super) fn $visit_unary_trapping(&mut self) -> Result {
                self.unary_through(&Unary {
                    slot: numeric::s::$unary_trapping,
                    accumulated: numeric::a::$unary_trapping,
                    operand: <$unary_trapping_ty as Slot>::CLASS,
                    result: <$unary_trapping_result as Slot>::CLASS,
                })
            })*
            $(pub(super) fn $visit_binary(&mut self) -> Result {
                const BINARY: Binary = Binary {
                    forms: forms!(numeric => $binary),
                    words: <$binary_ty as Slot>::WITH_IMMEDIATE,
                    operands: <$binary_ty as Slot>::CLASS,
                    result: <$binary_ty as Slot>::CLASS,
                    commutative: commutative($binary_mnemonic),
                    fusion: fusion($binary_encoding),
                };
                self.binary(&BINARY)
            })*
            $(pub(super) fn $visit_binary_trapping(&mut self) -> Result {
                const BINARY: Binary = Binary {
                    forms: forms!(numeric => $binary_trapping),
                    words: <$binary_trapping_ty as Slot>::WITH_IMMEDIATE,
                    operands: <$binary_trapping_ty as Slot>::CLASS,
                    result: <$binary_trapping_ty as Slot>::CLASS,
                    commutative: Commutative::No,
                    fusion: Fusion::Nothing,
                };
                self.binary(&BINARY)
            })*
        }
    };
}
for_each_opcode!(lower_numeric);

/// Whether operands may change places. For floats that can change which NaN comes out, which the specification leaves open.
const fn commutative(mnemonic: &str) -> Commutative {
    match mnemonic.as_bytes() {
        [_, _, _, b'.', b'a', b'd', b'd']
        | [_, _, _, b'.', b'm', b'u', b'l']
        | [_, _, _, b'.', b'a', b'n', b'd']
        | [_, _, _, b'.', b'o', b'r']
        | [_, _, _, b'.', b'x', b'o', b'r']
        | [_, _, _, b'.', b'e', b'q']
        | [_, _, _, b'.', b'n', b'e'] => Commutative::Yes,
        _ => Commutative::No,
    }
}

/// What an operation can fuse with, by its encoding.
const fn fusion(encoding: u32) -> Fusion {
    match encoding {
        0x6A => Fusion::Add,
        0x7C => Fusion::AddLong,
        0x6C | 0x7E => Fusion::Multiply,
        0x71 => Fusion::Mask(&MASK),
        0x74 => Fusion::Shift,
        0x94 | 0xA2 => Fusion::Product,
        0x92 => Fusion::Sum { forms: &F32_PRODUCT, subtract: false },
        0x93 => Fusion::Sum { forms: &F32_PRODUCT, subtract: true },
        0xA0 => Fusion::Sum { forms: &F64_PRODUCT, subtract: false },
        0xA1 => Fusion::Sum { forms: &F64_PRODUCT, subtract: true },
        _ => Fusion::Nothing,
    }
}

macro_rules! mask {
    ($module:ident) => {
        BinaryForms {
            slots: fused::$module::ss,
            accumulator_slot: fused::$module::acc_s,
            slot_accumulator: fused::$module::s_acc,
            slot_constant: fused::$module::si,
            accumulator_constant: fused::$module::acc_i,
        }
    };
}

/// `i32.and` as a condition.
const MASK: ConditionForms = ConditionForms {
    branch_if: mask!(mask_branch_if),
    branch_unless: mask!(mask_branch_unless),
    loop_if: mask!(mask_loop_if),
    loop_unless: mask!(mask_loop_unless),
    select: None,
    counted: None,
};

macro_rules! sums {
    ($product:ident $form:ident) => {
        SumHandlers {
            add: fused::$product::$form::add,
            subtract: fused::$product::$form::subtract,
            subtract_from: fused::$product::$form::subtract_from,
        }
    };
}

const F32_PRODUCT: ProductForms = ProductForms {
    slots: sums!(f32_product slots),
    factor_accumulated: sums!(f32_product factor_acc),
    term_accumulated: sums!(f32_product term_acc),
};

const F64_PRODUCT: ProductForms = ProductForms {
    slots: sums!(f64_product slots),
    factor_accumulated: sums!(f64_product factor_acc),
    term_accumulated: sums!(f64_product term_acc),
};

/// The forms of a test: its value, and branches on its outcome, with the operand in a slot and in the accumulator.
struct Test {
    value: Unary,
    branch_if: (Handler, Handler),
    branch_unless: (Handler, Handler),
    loop_if: (Handler, Handler),
    loop_unless: (Handler, Handler),
    /// Selection by the operand: one by the result, the other way round.
    select: (Handler, Handler),
}

impl ConditionForms {
    fn branches(&self, second_is_constant: bool, accumulated: Accumulated) -> Branches {
        Branches {
            branch_if: self.branch_if.with(second_is_constant, accumulated),
            branch_unless: self.branch_unless.with(second_is_constant, accumulated),
            loop_if: self.loop_if.with(second_is_constant, accumulated),
            loop_unless: self.loop_unless.with(second_is_constant, accumulated),
        }
    }
}

impl Lowering<'_> {
    /// An operation with one operand that knows no accumulators.
    pub(super) fn unary(&mut self, handler: Handler) -> Result {
        let a = self.pop_slot();
        let result = self.stack.push_slot()?;
        self.emit.op_writing(handler, slots(result, a, 0, 0), Made::Other);
        Ok(())
    }

    fn unary_through(&mut self, op: &Unary) -> Result {
        let a = self.pop_slot();
        let handler = if self.emit.is_accumulated(a, op.operand) { op.accumulated } else { op.slot };
        let result = self.stack.push_slot()?;
        self.emit.op_through(handler, slots(result, a, 0, 0), op.result, Made::Other);
        Ok(())
    }

    fn binary(&mut self, op: &Binary) -> Result {
        let (mut b, mut a) = (self.stack.pop(), self.stack.pop());
        if op.commutative == Commutative::Yes && matches!(a.location, OperandLocation::Constant(_)) {
            (a, b) = (b, a);
        }
        if !matches!(a.location, OperandLocation::Constant(_)) && self.fuse_binary(op, a, b)? {
            return Ok(());
        }
        let constant = match (a.location, b.location) {
            (OperandLocation::Constant(_), _) => None,
            (_, OperandLocation::Constant(bits)) => Some(bits),
            _ => None,
        };
        let a = self.slot_of(a);
        let b = if constant.is_some() { 0 } else { self.slot_of(b) };
        let accumulated = if self.emit.is_accumulated(a, op.operands) {
            Accumulated::First
        } else if constant.is_none() && self.emit.is_accumulated(b, op.operands) {
            Accumulated::Second
        } else {
            Accumulated::Neither
        };
        let made = self.made_by(op, a, b, constant, accumulated);
        let handler = op.forms.with(constant.is_some(), accumulated).handler();
        let result = self.stack.push_slot()?;
        match constant {
            Some(bits) if op.words == 2 => {
                self.emit.op_through(handler, slots_immediate(result, a, bits as u32), op.result, made);
            }
            Some(bits) => {
                self.emit.op_through(handler, slots(result, a, 0, 0), op.result, made);
                self.emit.word(bits);
            }
            None => self.emit.op_through(handler, slots(result, a, b, 0), op.result, made),
        }
        Ok(())
    }

    /// Emits the operation together with the instruction before, if those two fuse; false where they do not.
    fn fuse_binary(&mut self, op: &Binary, a: Operand, b: Operand) -> Result<bool> {
        match op.fusion {
            Fusion::Add => {
                let forms: (Handler, Handler) = (fused::multiple::slot::u32, fused::multiple::acc::u32);
                Ok(self.fuse_multiple(forms, a, b)? || self.fuse_add(a, b)?)
            }
            Fusion::AddLong => {
                self.fuse_multiple((fused::multiple::slot::u64, fused::multiple::acc::u64), a, b)
            }
            Fusion::Mask(_) => self.fuse_mask(a, b),
            Fusion::Sum { forms, subtract } => self.fuse_product(forms, op.result, subtract, a, b),
            _ => Ok(false),
        }
    }

    /// What the next instruction can know of the result of the operation that is about to be emitted.
    fn made_by(
        &self,
        op: &Binary,
        a: SlotIndex,
        b: SlotIndex,
        constant: Option<u64>,
        accumulated: Accumulated,
    ) -> Made {
        match (&op.fusion, constant) {
            (Fusion::Condition(forms) | Fusion::Mask(forms), _) => {
                let is_constant = constant.is_some();
                let counted = forms
                    .counted
                    .as_ref()
                    .map(|counted| if is_constant { counted.with_constant } else { counted.with_slot });
                Made::Condition(Condition {
                    start: self.emit.position(),
                    branches: forms.branches(is_constant, accumulated),
                    a,
                    b,
                    constant,
                    select: match &forms.select {
                        Some(select) => Select::Compare(select.with(is_constant, accumulated)),
                        None => Select::Value,
                    },
                    counted: counted.and_then(|handlers| self.counted_compare(a, handlers)),
                })
            }
            (Fusion::Add, Some(by)) => Made::Counted { from: a, by: by as u32 },
            (Fusion::Add, None) => Made::Address(Address::Indexed { base: a, index: b, shift: 0 }),
            (Fusion::Shift, Some(shift @ 1..=3)) => {
                Made::Address(Address::Scaled { index: a, shift: shift as u32 })
            }
            (Fusion::Multiply, Some(by)) => Made::Multiplied { from: a, by },
            (Fusion::Product, None) => Made::Product { a, b },
            _ => Made::Other,
        }
    }

    /// `eqz`, which is also the negation of a comparison.
    fn test(&mut self, op: &Test) -> Result {
        let operand = self.stack.pop();
        let negated = match operand.location {
            OperandLocation::Slot => self.emit.condition(operand.slot),
            _ => None,
        };
        let a = self.slot_of(operand);
        let is_accumulated = self.emit.is_accumulated(a, Class::Integer);
        let result = self.stack.push_slot()?;
        let handler = if is_accumulated { op.value.accumulated } else { op.value.slot };
        let forms = |(slots, accumulated): (Handler, Handler)| Forms {
            slots,
            accumulated: is_accumulated.then_some(accumulated),
        };
        let condition = match negated {
            Some(of) => of.inverted(),
            None => Condition {
                select: Select::Inverted { slot: a, in_slot: op.select.0, accumulated: op.select.1 },
                ..Condition::branching(
                    self.emit.position(),
                    Branches {
                        branch_if: forms(op.branch_if),
                        branch_unless: forms(op.branch_unless),
                        loop_if: forms(op.loop_if),
                        loop_unless: forms(op.loop_unless),
                    },
                    a,
                    0,
                )
            },
        };
        self.emit.op_through(handler, slots(result, a, 0, 0), Class::Integer, Made::Condition(condition));
        Ok(())
    }
}
