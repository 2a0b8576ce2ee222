//! Scripts of tasks, streams, futures, sets and cancellations, which a guest carries out step by step and a model foresees.
//!
//! A [`Script`] comes of a fuzzer's bytes: its steps are chosen with the model ([`model`]) at hand, so that most of them go well, and some trap. The model is written after the component model's own definitions
//! (`definitions.py`), with data in the place of closures, and knows nothing of how Innkeeper does it; what each step is to give is noted, and compared with what the guest was given ([`Tasks::run`]) in both tiers, and at
//! the end what its memories hold. The order in which tasks go on is the one that Innkeeper promises: first in, first out.
//!
//! [`Tasks::soak`] is no comparison: tasks by the million, of which nothing may be left.

mod guest;
mod model;
mod script;
mod soak;

pub use guest::Tasks;
pub use script::Script;
pub use soak::Held;
