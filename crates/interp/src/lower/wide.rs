//! Wide arithmetic, out of the engine's opcode table.

use innkeeper_engine::for_each_wide_opcode;

use super::emit::slots;
use super::{Lowering, Result};
use crate::machine::Handler;
use crate::op::wide;

/// How many operands of the instruction a number takes.
macro_rules! operands {
    (u64) => {
        1
    };
    (u128) => {
        2
    };
}

macro_rules! lower_wide {
    (wide { $($name:ident $visit:ident $_mnemonic:literal $_encoding:literal ($a:ident $b:ident);)* }) => {
        impl Lowering<'_> {
            $(pub(super) fn $visit(&mut self) -> Result {
                self.wide(wide::$name, operands!($a), operands!($b))
            })*
        }
    };
}
for_each_wide_opcode!(lower_wide);

impl Lowering<'_> {
    /// An operation on two numbers of one or two operands each, with a result of two.
    fn wide(&mut self, handler: Handler, a_operands: usize, b_operands: usize) -> Result {
        let b_high = if b_operands == 2 { self.pop_slot() } else { 0 };
        let b = self.pop_slot();
        let a_high = if a_operands == 2 { self.pop_slot() } else { 0 };
        let a = self.pop_slot();
        let low = self.stack.push_slot()?;
        self.stack.push_slot()?;
        self.emit.op(handler, slots(a, a_high, b, b_high));
        self.emit.word(slots(low, 0, 0, 0));
        Ok(())
    }
}
