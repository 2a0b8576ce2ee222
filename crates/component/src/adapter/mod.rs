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
use innkeeper_engine::{Adapters, Engine, Error, Feature, NanBits};

use crate::plan::{CoreDef, InstanceNumber, Plan, TrampolineNumber};
use host::HostFunction;
use which::Seen;
pub(crate) use which::{Batch, Calls, why_walked};

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
pub(crate) struct Needs<'c> {
    pub(crate) canonical_nans: bool,
    pub(crate) may_throw: bool,
    /// Whether the module is the first of its component, and defines the flags that it uses: its own globals are nearer at hand than imported ones.
    pub(crate) defines_flags: bool,
    pub(crate) has_tail_calls: bool,
    pub(crate) seen: &'c Seen,
}

impl<'c> Needs<'c> {
    pub(crate) fn of((engine, may_throw): (&Engine, bool), defines_flags: bool, seen: &'c Seen) -> Needs<'c> {
        let config = engine.config();
        let canonical_nans = config.nan_bits == NanBits::Canonical;
        let has_tail_calls = config.features.contains(Feature::TailCalls);
        Needs { canonical_nans, may_throw, defines_flags, has_tail_calls, seen }
    }
}

/// The module for some calls.
pub(crate) struct Made {
    /// None where there is code for none of them.
    module: Option<core::Module>,
    parts: Parts,
    /// What it takes of the component's [`Allowance`].
    ops: usize,
    work: usize,
    /// What is held of it, which the component's budget is charged with.
    charge: Option<core::Charge>,
}

/// What a generated module has, in order.
#[derive(Default)]
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

/// What a component's generated code may come to, all modules together. Code is copied for each place where a value of a type is passed, so that a component of a few bytes
/// could ask for any amount: what would be more is walked. Toolchains' components have some hundreds of instructions a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Instructions that are kept.
    ops: usize,
    /// Instructions that are made, also for calls that are then walked because their code is too long.
    work: usize,
}

impl Allowance {
    /// For any component.
    const OPS: usize = 80_000;
    /// For each byte of a component.
    const OPS_OF_BYTE: usize = 8;
    const MAX_OPS: usize = 1_000_000;
    /// Of one module: until it is made, which takes some tenths of a second where it is compiled at once, nobody who stops the guest is heeded.
    const MAX_OPS_OF_MODULE: usize = 40_000;
    /// Each may be made so often until it is kept.
    const WORK_OF_OP: usize = 4;
    /// What a module takes beside its code, and a call beside its instructions, by what instructions take.
    const OPS_OF_MODULE: usize = 300;
    const OPS_OF_CALL: usize = 20;
    /// What the host holds of an instruction: its bytes, its lowered form, and machine code.
    const BYTES_OF_OP: usize = 48;

    /// For a component of so many bytes.
    pub(crate) fn of_component(bytes: usize) -> Allowance {
        let ops = Self::OPS.saturating_add(Self::OPS_OF_BYTE.saturating_mul(bytes));
        let ops = ops.min(Self::MAX_OPS);
        Allowance { ops, work: Self::WORK_OF_OP * ops }
    }

    /// How many instructions the next module may have.
    fn of_module(self) -> usize {
        self.ops.min(self.work).saturating_sub(Self::OPS_OF_MODULE).min(Self::MAX_OPS_OF_MODULE)
    }

    /// Without what a module takes.
    fn less(self, made: &Made) -> Allowance {
        Allowance { ops: self.ops.saturating_sub(made.ops), work: self.work.saturating_sub(made.work) }
    }

    /// What the host holds of so many instructions.
    fn bytes(ops: usize) -> u64 {
        ops.saturating_mul(Self::BYTES_OF_OP) as u64
    }
}

/// What was generated for some calls.
struct Generated {
    bytes: Vec<u8>,
    parts: Parts,
    ops: usize,
    /// How many were made until then.
    work: usize,
}

/// Generates the module for some calls, with so many instructions at most. `goes_on` is asked now and then.
fn generate(
    (plan, needs): (&Plan, Needs<'_>),
    calls: &[TrampolineNumber],
    most_ops: usize,
    goes_on: &mut GoesOn<'_>,
) -> Result<Generated, Error> {
    /// How often it is begun anew without a call whose code is too long.
    const ATTEMPTS: usize = 3;
    let mut calls: Vec<TrampolineNumber> = calls.to_vec();
    let (mut attempts, mut work) = (0, 0);
    loop {
        let mut builder = module::Builder::new(plan, needs, most_ops);
        let mut failed = None;
        for (position, number) in calls.iter().enumerate() {
            goes_on()?;
            if add(&mut builder, *number).is_err() {
                failed = Some(position);
                break;
            }
        }
        let Some(failed) = failed else {
            let ops = builder.ops();
            let (bytes, parts) = builder.finish(calls);
            return Ok(Generated { bytes, parts, ops, work: work + ops });
        };
        // What was made of it is in the way.
        attempts += 1;
        work += most_ops;
        if attempts < ATTEMPTS {
            calls.remove(failed);
        } else {
            calls.truncate(failed);
        }
    }
}

/// Fails where whoever asks for code has been told to stop.
type GoesOn<'a> = dyn FnMut() -> Result<(), Error> + 'a;

fn add(builder: &mut module::Builder<'_>, number: TrampolineNumber) -> Result<(), Walked> {
    let call = which::Call::of(builder.plan, number).map_err(|why| why.unwrap_or(Walked::Imported))?;
    call::adapter(builder, &call)?;
    call::outlined(builder)
}
