//! Fibers: executions that have a stack of their own, so that they can wait without holding a thread.
//!
//! A call from the host runs on a fiber from its first frame to its last, interpreted and compiled code alike. What it asks of the host runs on
//! the stack of whoever has called; see [`switch`]. Where a fiber's frames lie is the business of [`stack`].
//!
//! Must stay true: a fiber runs on one thread at a time, that of whoever has the store; it can be resumed on another one, so that nothing on its stack refers to a
//! thread while it is suspended. Nothing on its stack is owned by what is not on it: it can be left for good.
//!
//! What this is not: the record of an execution that guest code sees, which is part of the store's.

mod stack;
pub(crate) mod switch;
#[cfg(test)]
mod tests;

pub(crate) use stack::{FiberStack, StackPool, StackShape};
pub(crate) use switch::Switch;
