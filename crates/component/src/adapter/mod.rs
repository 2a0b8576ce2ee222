//! Code for calls between components: core modules that are generated for the types of the functions, and executed as guests' code is.
//!
//! A function of such a module is what one component imports and another exports: it enters the callee, takes the parameters from one memory to the other, calls, takes
//! the result back and leaves (`call`, `value`, `variant`, `list`). What it cannot do itself, it asks the host for (`host`): strings in other encodings, handles. Fuel,
//! deadlines, bounds of memories and the code cache are those of any module.
//!
//! Must stay true: what a guest sees is what it sees where the call is walked (`crate::call`), which tests compare; whatever is not generated is walked, and the reasons are
//! those of [`Walked`].

mod call;
mod code;
mod cost;
mod host;
mod link;
mod list;
mod module;
mod number;
mod text;
mod utf8;
mod value;
mod variant;
mod which;

use innkeeper_engine as core;
use innkeeper_engine::{Adapters, Engine, Feature, NanBits};

use crate::plan::{CoreDef, InstanceNumber, Plan, TrampolineNumber};
use host::HostFunction;
pub(crate) use which::{Batch, batches, why_walked};

/// Why calls from one component to another are walked: each value is made one of the host's on the way, which takes longer. See [`crate::Instance::walked_calls`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Walked {
    /// The engine is configured so ([`Adapters::Walked`]), or without a feature of core modules that generated code uses.
    Off,
    /// The callee is of an instance that was there before, and which the linker was given.
    Imported,
    /// One side has the async ABI.
    Async,
    /// The components are nested in each other, and such calls are refused.
    Relatives,
    /// There is a type that only the async ABI has use for.
    Type,
    /// Both sides have the same memory, or one has a memory with pages of another size.
    Memory,
    /// There would be too much code.
    TooLong,
}

impl Walked {
    /// All of them.
    pub const ALL: &'static [Walked] = &[
        Walked::Off,
        Walked::Imported,
        Walked::Async,
        Walked::Relatives,
        Walked::Type,
        Walked::Memory,
        Walked::TooLong,
    ];
}

/// What a generated module imports.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Import {
    /// The flags of an instance: [`crate::entry::MAY_LEAVE`], [`crate::entry::MAY_ENTER`].
    Flags(InstanceNumber),
    Memory(CoreDef),
    Func(CoreDef),
    Host(HostFunction),
}

impl Import {
    /// What profiles call it.
    fn name(&self) -> (&'static str, &'static str) {
        match self {
            Import::Flags(_) => ("component", "flags"),
            Import::Memory(_) => ("component", "memory"),
            Import::Func(_) => ("component", "function"),
            Import::Host(func) => ("host", func.name()),
        }
    }
}

/// What generated code must heed beside the plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Needs {
    pub(crate) canonical_nans: bool,
    pub(crate) may_throw: bool,
    /// Whether the module is the first of its component, and defines the flags that it uses: its own globals are nearer at hand than imported ones.
    pub(crate) defines_flags: bool,
}

impl Needs {
    pub(crate) fn of(engine: &Engine, may_throw: bool, defines_flags: bool) -> Needs {
        Needs { canonical_nans: engine.config().nan_bits == NanBits::Canonical, may_throw, defines_flags }
    }
}

/// The module for some calls.
pub(crate) struct Made {
    module: core::Module,
    parts: Parts,
}

/// What a generated module has, in order.
struct Parts {
    imports: Vec<Import>,
    /// Whose flags it defines; each is exported by [`flags_name`].
    flags: Vec<InstanceNumber>,
    /// Which of the calls it was to be made for it has functions for; each is exported by its number here.
    calls: Vec<TrampolineNumber>,
}

/// What flags are exported as.
fn flags_name(number: usize) -> String {
    format!("flags {number}")
}

/// Whether calls are generated at all: an engine may be configured to have them walked, or without what generated code uses.
pub(crate) fn is_on(engine: &Engine) -> bool {
    const USED: [Feature; 6] = [
        Feature::MutableGlobals,
        Feature::SignExtension,
        Feature::BulkMemory,
        Feature::ReferenceTypes,
        Feature::Exceptions,
        Feature::MultiMemory,
    ];
    let config = engine.config();
    config.tuning.adapters == Adapters::Generated
        && USED.iter().all(|feature| config.features.contains(*feature))
}

/// Generates the module for some calls.
fn generate(plan: &Plan, needs: Needs, calls: &[TrampolineNumber]) -> (Vec<u8>, Parts) {
    /// How often it is begun anew without a call whose code is too long.
    const ATTEMPTS: usize = 8;
    let mut calls: Vec<TrampolineNumber> = calls.to_vec();
    let mut attempts = 0;
    loop {
        let mut builder = module::Builder::new(plan, needs);
        let failed = calls.iter().position(|number| add(&mut builder, *number).is_err());
        let Some(failed) = failed else {
            return builder.finish(calls);
        };
        // What was made of it is in the way.
        attempts += 1;
        if attempts < ATTEMPTS {
            calls.remove(failed);
        } else {
            calls.truncate(failed);
        }
    }
}

fn add(builder: &mut module::Builder<'_>, number: TrampolineNumber) -> Result<(), Walked> {
    let call = which::Call::of(builder.plan, number).map_err(|why| why.unwrap_or(Walked::Imported))?;
    call::adapter(builder, &call)?;
    call::outlined(builder)
}
