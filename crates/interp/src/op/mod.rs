//! One handler per operation, by topic.
//!
//! Numeric handlers, loads and stores come out of the engine's opcode table; the rest is written by hand. Forms are told apart by
//! module: `ss` has two slots, `si` a slot and a constant.

pub(crate) mod atomic;
pub(crate) mod call;
pub(crate) mod control;
pub(crate) mod memory;
pub(crate) mod numeric;
pub(crate) mod reference;
pub(crate) mod table;
pub(crate) mod variable;
pub(crate) mod wide;
