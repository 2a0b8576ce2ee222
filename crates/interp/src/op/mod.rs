//! One handler per operation, by topic.
//!
//! Numeric and vector handlers, loads and stores come out of the engine's opcode tables; the rest is written by hand. Forms are told apart by
//! module: `ss` has two slots, `si` a slot and a constant.

pub(crate) mod aggregate;
pub(crate) mod atomic;
pub(crate) mod call;
pub(crate) mod control;
pub(crate) mod exception;
pub(crate) mod fused;
pub(crate) mod memory;
pub(crate) mod nan;
pub(crate) mod native;
pub(crate) mod numeric;
pub(crate) mod reference;
pub(crate) mod simd;
pub(crate) mod table;
pub(crate) mod variable;
pub(crate) mod wide;
