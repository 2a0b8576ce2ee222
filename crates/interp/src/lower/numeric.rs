//! Numeric instructions, out of the engine's opcode table.

use innkeeper_engine::for_each_opcode;

use super::emit::{Condition, Forms, slots, slots_immediate};
use super::stack::Source;
use super::{Lowering, Result};
use crate::machine::{Class, Handler, Slot};
use crate::op::numeric::{self, branch_if, branch_unless};

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

/// The forms of a comparison: its value, and branches on its outcome.
struct Compare {
    binary: Binary,
    branch_if: BinaryForms,
    branch_unless: BinaryForms,
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

macro_rules! lower_numeric {
    (
        compare { $($compare:ident $visit_compare:ident $compare_mnemonic:literal $_e1:literal ($compare_ty:ty);)* }
        test { $($test:ident $visit_test:ident $_m2:literal $_e2:literal ($test_ty:ty);)* }
        unary { $($unary:ident $visit_unary:ident $_m3:literal $_e3:literal ($unary_ty:ty) -> $unary_result:ty;)* }
        binary { $($binary:ident $visit_binary:ident $binary_mnemonic:literal $_e4:literal ($binary_ty:ty);)* }
        unary_trapping { $($unary_trapping:ident $visit_unary_trapping:ident $_m5:literal $_e5:literal ($unary_trapping_ty:ty) -> $unary_trapping_result:ty;)* }
        binary_trapping { $($binary_trapping:ident $visit_binary_trapping:ident $_m6:literal $_e6:literal ($binary_trapping_ty:ty);)* }
        load { $($_load:tt)* }
        store { $($_store:tt)* }
    ) => {
        impl Lowering<'_> {
            $(pub(super) fn $visit_compare(&mut self) -> Result {
                self.compare(&Compare {
                    binary: Binary {
                        forms: forms!(numeric => $compare),
                        words: <$compare_ty as Slot>::WITH_IMMEDIATE,
                        operands: <$compare_ty as Slot>::CLASS,
                        result: Class::Integer,
                        commutative: commutative($compare_mnemonic),
                    },
                    branch_if: forms!(numeric::branch_if => $compare),
                    branch_unless: forms!(numeric::branch_unless => $compare),
                })
            })*
            $(pub(super) fn $visit_test(&mut self) -> Result {
                self.test(&Test {
                    value: Unary {
                        slot: numeric::s::$test,
                        accumulated: numeric::a::$test,
                        operand: Class::Integer,
                        result: Class::Integer,
                    },
                    branch_if: (branch_if::s::$test, branch_if::a::$test),
                    branch_unless: (branch_unless::s::$test, branch_unless::a::$test),
                })
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
                self.binary(&Binary {
                    forms: forms!(numeric => $binary),
                    words: <$binary_ty as Slot>::WITH_IMMEDIATE,
                    operands: <$binary_ty as Slot>::CLASS,
                    result: <$binary_ty as Slot>::CLASS,
                    commutative: commutative($binary_mnemonic),
                })
            })*
            $(pub(super) fn $visit_binary_trapping(&mut self) -> Result {
                self.binary(&Binary {
                    forms: forms!(numeric => $binary_trapping),
                    words: <$binary_trapping_ty as Slot>::WITH_IMMEDIATE,
                    operands: <$binary_trapping_ty as Slot>::CLASS,
                    result: <$binary_trapping_ty as Slot>::CLASS,
                    commutative: Commutative::No,
                })
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

/// The forms of a test: its value, and branches on its outcome, with the operand in a slot and in the accumulator.
struct Test {
    value: Unary,
    branch_if: (Handler, Handler),
    branch_unless: (Handler, Handler),
}

impl Lowering<'_> {
    /// An operation with one operand that knows no accumulators.
    pub(super) fn unary(&mut self, handler: Handler) -> Result {
        let a = self.pop_slot();
        let start = self.emit.position();
        let result = self.stack.push_slot()?;
        self.emit.op(handler, slots(result, a, 0, 0));
        self.emit.wrote(start, result, None);
        Ok(())
    }

    fn unary_through(&mut self, op: &Unary) -> Result {
        let a = self.pop_slot();
        let handler = if self.emit.is_accumulated(a, op.operand) { op.accumulated } else { op.slot };
        let start = self.emit.position();
        let result = self.stack.push_slot()?;
        self.emit.op(handler, slots(result, a, 0, 0));
        self.emit.wrote_through(op.result, start, result, None);
        Ok(())
    }

    fn binary(&mut self, op: &Binary) -> Result {
        self.binary_with(op, None)
    }

    fn compare(&mut self, op: &Compare) -> Result {
        self.binary_with(&op.binary, Some((&op.branch_if, &op.branch_unless)))
    }

    /// Emits the form that fits the operands; `branches` are the forms of branching on the result.
    fn binary_with(&mut self, op: &Binary, branches: Option<(&BinaryForms, &BinaryForms)>) -> Result {
        let (mut b, mut a) = (self.stack.pop(), self.stack.pop());
        if op.commutative == Commutative::Yes && matches!(a.source, Source::Constant(_)) {
            (a, b) = (b, a);
        }
        let constant = match (a.source, b.source) {
            (Source::Constant(_), _) => None,
            (_, Source::Constant(bits)) => Some(bits),
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
        let handler = op.forms.with(constant.is_some(), accumulated).handler();
        let start = self.emit.position();
        let result = self.stack.push_slot()?;
        match constant {
            Some(bits) if op.words == 2 => self.emit.op(handler, slots_immediate(result, a, bits as u32)),
            Some(bits) => {
                self.emit.op(handler, slots(result, a, 0, 0));
                self.emit.word(bits);
            }
            None => self.emit.op(handler, slots(result, a, b, 0)),
        }
        let condition = branches.map(|(branch_if, branch_unless)| Condition {
            start,
            branch_if: branch_if.with(constant.is_some(), accumulated),
            branch_unless: branch_unless.with(constant.is_some(), accumulated),
            a,
            b,
            constant,
        });
        self.emit.wrote_through(op.result, start, result, condition);
        Ok(())
    }

    /// `eqz`, which is also the negation of a comparison.
    fn test(&mut self, op: &Test) -> Result {
        let operand = self.stack.pop();
        let negated = match operand.source {
            Source::Slot => self.emit.condition(operand.slot),
            _ => None,
        };
        let a = self.slot_of(operand);
        let is_accumulated = self.emit.is_accumulated(a, Class::Integer);
        let start = self.emit.position();
        let result = self.stack.push_slot()?;
        let handler = if is_accumulated { op.value.accumulated } else { op.value.slot };
        self.emit.op(handler, slots(result, a, 0, 0));
        let forms = |(slots, accumulated): (Handler, Handler)| Forms {
            slots,
            accumulated: is_accumulated.then_some(accumulated),
        };
        let condition = match negated {
            Some(of) => Condition { branch_if: of.branch_unless, branch_unless: of.branch_if, ..of },
            None => Condition {
                start,
                branch_if: forms(op.branch_if),
                branch_unless: forms(op.branch_unless),
                a,
                b: 0,
                constant: None,
            },
        };
        self.emit.wrote_through(Class::Integer, start, result, Some(condition));
        Ok(())
    }
}
