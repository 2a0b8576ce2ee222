//! Numeric instructions, out of the engine's opcode table.

use innkeeper_engine::for_each_opcode;

use super::emit::{Condition, slots, slots_immediate};
use super::stack::Source;
use super::{Lowering, Result};
use crate::machine::{Handler, Slot};
use crate::op::numeric::{branch_if, branch_unless, s, si, ss};

/// The forms of an operation with two operands.
struct Binary {
    slots: Handler,
    constant: Handler,
    /// Words of the form with a constant.
    words: usize,
    commutative: Commutative,
}

#[derive(Clone, Copy, PartialEq)]
enum Commutative {
    Yes,
    No,
}

/// The forms of a comparison: its value, and branches on its outcome.
struct Compare {
    binary: Binary,
    branch_if: (Handler, Handler),
    branch_unless: (Handler, Handler),
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
                        slots: ss::$compare,
                        constant: si::$compare,
                        words: <$compare_ty as Slot>::WITH_IMMEDIATE,
                        commutative: commutative($compare_mnemonic),
                    },
                    branch_if: (branch_if::ss::$compare, branch_if::si::$compare),
                    branch_unless: (branch_unless::ss::$compare, branch_unless::si::$compare),
                })
            })*
            $(pub(super) fn $visit_test(&mut self) -> Result {
                self.test(s::$test, branch_if::s::$test, branch_unless::s::$test)
            })*
            $(pub(super) fn $visit_unary(&mut self) -> Result {
                self.unary(s::$unary)
            })*
            $(pub(super) fn $visit_unary_trapping(&mut self) -> Result {
                self.unary(s::$unary_trapping)
            })*
            $(pub(super) fn $visit_binary(&mut self) -> Result {
                self.binary(&Binary {
                    slots: ss::$binary,
                    constant: si::$binary,
                    words: <$binary_ty as Slot>::WITH_IMMEDIATE,
                    commutative: commutative($binary_mnemonic),
                })
            })*
            $(pub(super) fn $visit_binary_trapping(&mut self) -> Result {
                self.binary(&Binary {
                    slots: ss::$binary_trapping,
                    constant: si::$binary_trapping,
                    words: <$binary_trapping_ty as Slot>::WITH_IMMEDIATE,
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

impl Lowering<'_> {
    pub(super) fn unary(&mut self, handler: Handler) -> Result {
        let a = self.pop_slot();
        let start = self.emit.position();
        let result = self.stack.push_slot()?;
        self.emit.op(handler, slots(result, a, 0, 0));
        self.emit.wrote(start, result, None);
        Ok(())
    }

    fn binary(&mut self, op: &Binary) -> Result {
        self.binary_with(op, |_, _, _| None)
    }

    fn compare(&mut self, op: &Compare) -> Result {
        self.binary_with(&op.binary, |a, b, constant| {
            let (branch_if, branch_unless) = match constant {
                None => (op.branch_if.0, op.branch_unless.0),
                Some(_) => (op.branch_if.1, op.branch_unless.1),
            };
            Some(Condition { start: 0, branch_if, branch_unless, a, b, constant })
        })
    }

    /// Emits the form that fits the operands; `condition` tells, from the operands, how to branch on the result.
    fn binary_with(
        &mut self,
        op: &Binary,
        condition: impl Fn(u16, u16, Option<u64>) -> Option<Condition>,
    ) -> Result {
        let (mut b, mut a) = (self.stack.pop(), self.stack.pop());
        if op.commutative == Commutative::Yes && matches!(a.source, Source::Constant(_)) {
            (a, b) = (b, a);
        }
        if let Source::Constant(bits) = b.source
            && !matches!(a.source, Source::Constant(_))
        {
            let a = self.slot_of(a);
            let start = self.emit.position();
            let result = self.stack.push_slot()?;
            if op.words == 2 {
                self.emit.op(op.constant, slots_immediate(result, a, bits as u32));
            } else {
                self.emit.op(op.constant, slots(result, a, 0, 0));
                self.emit.word(bits);
            }
            self.emit.wrote(start, result, condition(a, 0, Some(bits)).map(|c| Condition { start, ..c }));
            return Ok(());
        }
        let (a, b) = (self.slot_of(a), self.slot_of(b));
        let start = self.emit.position();
        let result = self.stack.push_slot()?;
        self.emit.op(op.slots, slots(result, a, b, 0));
        self.emit.wrote(start, result, condition(a, b, None).map(|c| Condition { start, ..c }));
        Ok(())
    }

    /// `eqz`, which is also the negation of a comparison.
    fn test(&mut self, handler: Handler, branch_if: Handler, branch_unless: Handler) -> Result {
        let operand = self.stack.pop();
        let negated = match operand.source {
            Source::Slot => self.emit.condition(operand.slot),
            _ => None,
        };
        let a = self.slot_of(operand);
        let start = self.emit.position();
        let result = self.stack.push_slot()?;
        self.emit.op(handler, slots(result, a, 0, 0));
        let condition = match negated {
            Some(of) => Condition { branch_if: of.branch_unless, branch_unless: of.branch_if, ..of },
            None => Condition { start, branch_if, branch_unless, a, b: 0, constant: None },
        };
        self.emit.wrote(start, result, Some(condition));
        Ok(())
    }
}
