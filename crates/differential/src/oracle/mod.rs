//! Who runs a module and tells what can be seen of it.
//!
//! Must stay true: the arguments and imports that an oracle gives a module are functions of the module's bytes and of types alone, drawn
//! in the same order by every oracle.

mod innkeeper;
mod wasmi;
mod wasmi_faults;
#[cfg(feature = "wasmtime")]
mod wasmtime;

use std::fmt;

pub use self::innkeeper::{Answers, InnkeeperOracle};
pub use self::wasmi::WasmiOracle;
#[cfg(feature = "wasmtime")]
pub use self::wasmtime::WasmtimeOracle;
use crate::generate::Module;
use crate::random::Random;
use crate::value::Value;
use ::innkeeper::Trap;

/// Runs modules.
pub trait Oracle {
    /// What to call it in reports.
    fn name(&self) -> &str;

    /// Instantiates the module, calls all its functions in order and looks at what is left.
    fn observe(&self, module: &Module) -> Observation;
}

/// What came of an instantiation or call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It returned these values.
    Returned(Vec<Value>),
    /// It trapped, and there, where the oracle tells.
    Trapped(Trap, Vec<Frame>),
    /// An exception left it.
    Threw,
    /// A resource ran out of which engines have different amounts: stack, heap.
    Exhausted,
    /// There was nothing to call it with.
    NotCalled,
    /// The engine would not do it, and says why.
    Refused(String),
}

/// A function that was active when a guest trapped, innermost first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The function.
    pub func: u32,
    /// Where it was, in bytes from the start of the module.
    pub offset_bytes: Option<usize>,
}

/// A call of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The function's export name.
    pub name: String,
    /// What it was called with.
    pub arguments: Vec<Value>,
    /// What came of it.
    pub outcome: Outcome,
    /// The fuel left after it, where the oracle meters.
    pub fuel: Option<u64>,
}

/// Everything that was seen of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Instantiation, the start function included.
    pub instantiation: Outcome,
    /// The calls in order.
    pub calls: Vec<Call>,
    /// Calls of the host by the guest: how many, and a digest of their arguments.
    pub host_calls: HostCalls,
    /// Exported and imported memories, tables and globals at the end, by name.
    pub state: Vec<(String, State)>,
}

/// What the guest called of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostCalls {
    /// How many calls.
    pub count: u64,
    /// Of the imports' numbers and arguments, in order.
    pub digest: u64,
}

/// What is in something that can be exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// A memory: bytes and digest.
    Memory(usize, u64),
    /// A table's elements.
    Table(Vec<Value>),
    /// A global's value.
    Global(Value),
}

/// What an import is known by in every engine: engines list imports in orders of their own, but those of one kind alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ImportNumber(u64);

impl ImportNumber {
    fn of(module: &str, name: &str) -> ImportNumber {
        ImportNumber(crate::random::digest((module, name)))
    }

    fn random(self) -> Random {
        Random::new(self.0)
    }
}

/// Brings what was seen of exports and imports into an order that does not depend on the engine.
fn sorted(mut state: Vec<(String, State)>) -> Vec<(String, State)> {
    state.sort_by_key(|(name, state)| (name.clone(), state.kind()));
    state
}

impl State {
    fn kind(&self) -> u8 {
        match self {
            State::Memory(..) => 0,
            State::Table(_) => 1,
            State::Global(_) => 2,
        }
    }
}

impl HostCalls {
    fn record(&mut self, import: ImportNumber, arguments: &[Value]) {
        self.count += 1;
        self.digest = crate::random::digest((self.digest, import.0, arguments));
    }
}

impl Observation {
    fn refused(why: impl fmt::Display) -> Observation {
        Observation::only(Outcome::Refused(why.to_string()))
    }

    fn only(instantiation: Outcome) -> Observation {
        Observation { instantiation, calls: Vec::new(), host_calls: HostCalls::default(), state: Vec::new() }
    }
}
