//! The compiler: from intermediate representation to bytes, with what must be known about them.
//!
//! Development builds, and the differential harness, verify what is compiled: values are of the right types, and are used only where they are defined. A fault
//! ends the process there.

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, UnwindSafe, catch_unwind};
use std::sync::Arc;

use cranelift_codegen::Context;
use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::{ExternalName, Function};
use cranelift_codegen::isa::{TargetFrontendConfig, TargetIsa};
use cranelift_codegen::print_errors::pretty_verifier_error;
use cranelift_codegen::settings::{self, Configurable};
use cranelift_codegen::{
    CodegenError, ExceptionContextLoc, Final, FinalizedMachExceptionHandler, FinalizedMachReloc,
    FinalizedRelocTarget, MachBufferFinalized,
};
use cranelift_frontend::FunctionBuilderContext;
use innkeeper_engine::index::{DefinedFuncIndex, FuncIndex};
use innkeeper_engine::{Disassembly, FuncType, NanBits};

use crate::allowance::Allowance;
use crate::constants;
use crate::cost::{self, Stage};
use crate::region::{self, Catch, CatchSite};
use crate::tables::{Inlined, Places, Tables, origins};
use crate::translate::{Result, Unsupported};
use crate::trap;

/// Frames larger than this are refused: the check of the stack at a function's start leaves room for as much.
pub(crate) const MAX_FRAME_BYTES: u32 = 128 << 10;

// From a frame that has been checked to the next one there are two trampolines and a function that calls nothing, which are not checked.
const _: () = assert!(4 * MAX_FRAME_BYTES as usize <= innkeeper_engine::tier::NATIVE_HEADROOM_BYTES);

/// The compiler's settings for the processor that this process runs on; none where there is no compiler for it.
pub(crate) fn isa(nan_bits: NanBits) -> Option<Arc<dyn TargetIsa>> {
    let mut flags = settings::builder();
    for (name, value) in [
        ("opt_level", "speed"),
        ("enable_pinned_reg", "true"),
        ("preserve_frame_pointers", "true"),
        ("unwind_info", "false"),
        ("is_pic", "true"),
        ("enable_probestack", "false"),
        ("enable_nan_canonicalization", if nan_bits == NanBits::Canonical { "true" } else { "false" }),
        ("enable_verifier", if cfg!(debug_assertions) { "true" } else { "false" }),
    ] {
        flags.set(name, value).ok()?;
    }
    cranelift_native::builder().ok()?.finish(settings::Flags::new(flags)).ok()
}

/// Compiles one function after another on one thread.
pub(crate) struct Compiler {
    isa: Arc<dyn TargetIsa>,
    context: Context,
    registers: regalloc2::Ctx,
    builder: FunctionBuilderContext,
}

/// A compiled function, not yet where it will run.
pub(crate) struct Code {
    pub(crate) bytes: Vec<u8>,
    pub(crate) tables: Tables,
    /// See [`Places::callees`].
    pub(crate) callees: HashSet<FuncType>,
}

/// A function as text: in the compiler's representation, and as assembly.
#[derive(Default)]
struct Text {
    intermediate: String,
    machine: String,
    /// Where instructions of one place begin in the code, with the place.
    places: Vec<(u32, u32)>,
}

/// Makes a function, and says whose bodies are in it.
pub(crate) trait Build:
    FnOnce(&mut Function, &mut FunctionBuilderContext, TargetFrontendConfig, &mut Allowance<'_>) -> Result<Places>
{
}

impl<F> Build for F where
    F: FnOnce(
        &mut Function,
        &mut FunctionBuilderContext,
        TargetFrontendConfig,
        &mut Allowance<'_>,
    ) -> Result<Places>
{
}

impl Code {
    /// What is to be known about the code once it lies at `range`.
    pub(crate) fn describe(&self, range: Range<usize>, of: region::FunctionOf) -> region::Function {
        region::Function { range, of: Some(of), tables: self.tables.clone() }
    }
}

/// Whether machine code is wanted as text, too.
#[derive(Clone, Copy, PartialEq)]
enum Listing {
    Wanted,
    Unwanted,
}

thread_local! {
    static IS_COMPILING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is inside the compiler, whose panics are caught: the function stays interpreted. For the panic hook of a program that does not
/// want to show them.
#[must_use]
pub fn is_compiling() -> bool {
    IS_COMPILING.get()
}

/// Catches a panic of the compiler's. The process's panic hook is its owner's, and is told as usual.
fn caught<T>(compile: impl FnOnce() -> T + UnwindSafe) -> std::thread::Result<T> {
    let outer = IS_COMPILING.replace(true);
    let outcome = catch_unwind(compile);
    IS_COMPILING.set(outer);
    outcome
}

/// What an error of the compiler's means for `func`: that its translation is wrong, or that it cannot be compiled.
fn failed(error: CodegenError, func: &Function) -> Unsupported {
    match error {
        CodegenError::Verifier(errors) => Unsupported::Faulty(pretty_verifier_error(func, None, errors)),
        error => Unsupported::Compiler(format!("{error:?}")),
    }
}

/// In development builds, where translations are verified, ends the process for a fault of ours or of the compiler's, with a message: the function would stay
/// interpreted, and nobody would see that machine code is made in other builds that may be wrong.
fn complain(reason: &Unsupported) {
    if let (true, Unsupported::Faulty(fault)) = (cfg!(debug_assertions), reason) {
        eprintln!("a translation is not valid, or the compiler panicked: {fault}");
        std::process::abort();
    }
}

impl Compiler {
    pub(crate) fn new(isa: Arc<dyn TargetIsa>) -> Compiler {
        Compiler {
            isa,
            context: Context::new(),
            registers: regalloc2::Ctx::default(),
            builder: FunctionBuilderContext::new(),
        }
    }

    /// Compiles what `build` makes. A panic of the compiler's is an error like any other: the function stays as it is.
    pub(crate) fn compile(&mut self, allowance: &mut Allowance<'_>, build: impl Build) -> Result<Code> {
        self.compile_with(Listing::Unwanted, allowance, build).map(|(code, _)| code).inspect_err(complain)
    }

    /// The code, and its text if that is wanted.
    fn compile_with(
        &mut self,
        listing: Listing,
        allowance: &mut Allowance<'_>,
        build: impl Build,
    ) -> Result<(Code, Option<Text>)> {
        self.context.clear();
        self.context.set_disasm(listing == Listing::Wanted);
        let outcome = caught(AssertUnwindSafe(|| {
            let config = self.isa.frontend_config();
            let places = build(&mut self.context.func, &mut self.builder, config, allowance);
            // The work was done, whatever has come of it.
            allowance.draw(cost::work_of_translation(&self.context.func))?;
            let places = places?;
            cost::check(&self.context.func, Stage::Translated, allowance)?;
            self.finish(places, allowance)
        }));
        if allowance.is_large() || !matches!(outcome, Ok(Ok(_))) {
            // What is half done is not for the next function, and what is large is not kept for it.
            self.context = Context::new();
            self.registers = regalloc2::Ctx::default();
            self.builder = FunctionBuilderContext::new();
        }
        outcome.unwrap_or_else(|_| Err(Unsupported::Faulty("the compiler panicked".to_owned())))
    }

    /// What becomes of what `build` makes, for people to read; `index` says what number people know a function by.
    pub(crate) fn explain(
        &mut self,
        allowance: &mut Allowance<'_>,
        index: impl Fn(DefinedFuncIndex) -> FuncIndex,
        build: impl Build,
    ) -> Result<Disassembly> {
        let (code, text) = self.compile_with(Listing::Wanted, allowance, build)?;
        let Text { intermediate, machine, places } = text.unwrap_or_default();
        let inlined = code.tables.inlined();
        // Of what is inlined, the call that is in the function itself.
        let outermost = |place| origins(&inlined, place).last().map_or(0, |origin| origin.offset_bytes);
        let places = places.into_iter().map(|(offset, place)| (offset, outermost(place))).collect();
        Ok(Disassembly {
            intermediate: with_offsets(&intermediate, &inlined, index),
            machine,
            code: code.bytes,
            places,
        })
    }

    fn finish(&mut self, of: Places, allowance: &mut Allowance<'_>) -> Result<(Code, Option<Text>)> {
        let control = &mut ControlPlane::default();
        self.context.optimize(&*self.isa, control).map_err(|error| failed(error, &self.context.func))?;
        // It may have moved instructions away from where their results are used.
        cost::check(&self.context.func, Stage::Optimized, allowance)?;
        constants::make_locally(&mut self.context.func);
        self.context.verify_if(&*self.isa).map_err(|error| failed(error, &self.context.func))?;
        let (func, wants_text) = (&self.context.func, self.context.want_disasm);
        let compiled =
            self.isa.compile_function(func, &self.context.domtree, &mut self.registers, wants_text, control);
        let compiled = compiled.map_err(|error| failed(error, func))?.apply_params(&func.params);
        let buffer = &compiled.buffer;
        let mut bytes = buffer.data().to_vec();
        for relocation in buffer.relocs() {
            link_to_self(&mut bytes, relocation, &self.context.func)?;
        }
        if buffer.frame_layout().is_none_or(|layout| layout.frame_to_fp_offset > MAX_FRAME_BYTES) {
            return Err(Unsupported::Compiler("the frame is too large".to_owned()));
        }
        let mut traps: Vec<(u32, u8)> =
            buffer.traps().iter().map(|trap| (trap.offset, trap.code.as_raw().get())).collect();
        traps.sort_unstable();
        let places = buffer.get_srclocs_sorted().iter().filter(|place| !place.loc.is_default());
        let places: Vec<(u32, u32)> = places.map(|place| (place.start, place.loc.bits())).collect();
        let places = of.complete(&places, &traps, trap::LOAD.as_raw().get());
        let tables = Tables::new(&traps, &places, &catch_sites(buffer)?, &of.inlined);
        let text =
            compiled.vcode.map(|machine| Text { intermediate: func.display().to_string(), machine, places });
        Ok((Code { bytes, tables, callees: of.callees }, text))
    }
}

/// The text of a function with places (see [`Inlined`]) replaced by offsets: those of the calls where bodies are inlined, which are then named behind the
/// instruction. Functions have the numbers that people know them by.
fn with_offsets(text: &str, inlined: &[Inlined], index: impl Fn(DefinedFuncIndex) -> FuncIndex) -> String {
    let mut with = String::with_capacity(text.len());
    for line in text.lines() {
        if let Some((before, func, rest)) = named_function(line) {
            let _ = writeln!(with, "{before}func[{}]{rest}", index(func).0);
            continue;
        }
        let place = line.strip_prefix('@').and_then(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_hexdigit())?;
            Some((u32::from_str_radix(&rest[..end], 16).ok()?, &rest[end..]))
        });
        match place.map(|(place, rest)| (origins(inlined, place), rest)) {
            Some((origins, rest)) if origins.len() > 1 => {
                let (innermost, call) = (origins[0], origins[origins.len() - 1].offset_bytes);
                let func = innermost.func.map_or(0, |func| index(func).0);
                let offset_bytes = innermost.offset_bytes;
                let _ = writeln!(with, "@{call:04x}{rest}  ; of func[{func}], @{offset_bytes:04x}");
            }
            // A loop that is there once more.
            Some((origins, rest)) if !inlined.is_empty() => {
                let _ = writeln!(with, "@{:04x}{rest}", origins[0].offset_bytes);
            }
            _ => {
                with.push_str(line);
                with.push('\n');
            }
        }
    }
    with
}

/// A line that declares a function, apart: what is before its name, the name, which is a number among the functions that the module defines, and the rest.
fn named_function(line: &str) -> Option<(&str, DefinedFuncIndex, &str)> {
    const NAMESPACE: &str = "u0:";
    let at = line.find(NAMESPACE)?;
    let (before, named) = (&line[..at], &line[at + NAMESPACE.len()..]);
    let is_declaration = before == "function " || before.ends_with(" = ") || before.ends_with(" colocated ");
    let end = named.find(|c: char| !c.is_ascii_digit()).unwrap_or(named.len());
    let func = named[..end].parse().ok().filter(|_| is_declaration)?;
    Some((before, DefinedFuncIndex(func), &named[end..]))
}

/// The calls whose exceptions the function catches.
fn catch_sites(buffer: &MachBufferFinalized<Final>) -> Result<Box<[CatchSite]>> {
    let mut sites = Vec::new();
    for site in buffer.call_sites().filter(|site| !site.exception_handlers.is_empty()) {
        let mut context = None;
        let mut catches = Vec::with_capacity(site.exception_handlers.len());
        for handler in site.exception_handlers {
            match handler {
                FinalizedMachExceptionHandler::Context(ExceptionContextLoc::SPOffset(offset)) => {
                    context = Some(*offset);
                }
                FinalizedMachExceptionHandler::Tag(tag, handler) => {
                    catches.push(Catch { tag: Some(tag.as_u32()), handler: *handler });
                }
                FinalizedMachExceptionHandler::Default(handler) => {
                    catches.push(Catch { tag: None, handler: *handler });
                }
                // Nothing stays in a register across a call that can be left by an exception.
                FinalizedMachExceptionHandler::Context(ExceptionContextLoc::GPR(_)) => {}
            }
        }
        let (Some(frame_bytes), Some(context)) = (site.frame_offset, context) else {
            return Err(Unsupported::Compiler("a handler's frame is not known".to_owned()));
        };
        sites.push(CatchSite { return_offset: site.ret_addr, frame_bytes, context, catches: catches.into() });
    }
    sites.sort_unstable_by_key(|site| site.return_offset);
    Ok(sites.into())
}

/// Lets a call of the function itself go to its start: code is copied to where it runs as it is, and refers to nothing else.
fn link_to_self(code: &mut [u8], relocation: &FinalizedMachReloc, func: &Function) -> Result {
    if let FinalizedRelocTarget::ExternalName(ExternalName::User(name)) = relocation.target
        && relocation.kind == Reloc::X86CallPCRel4
        && func.params.user_named_funcs().get(name) == func.name.get_user()
        && let Ok(distance) = i32::try_from(relocation.addend - i64::from(relocation.offset))
        && let Some(place) = code.get_mut(relocation.offset as usize..).and_then(<[u8]>::first_chunk_mut)
    {
        *place = distance.to_le_bytes();
        return Ok(());
    }
    Err(Unsupported::Compiler(format!("the code refers to {:?}", relocation.target)))
}

#[cfg(test)]
mod tests {
    use cranelift_codegen::ir::{InstBuilder, types};
    use cranelift_frontend::FunctionBuilder;
    use innkeeper_engine::Budget;

    use super::*;
    use crate::allowance::Credit;

    /// Compiles what `make` makes.
    fn outcome(make: impl FnOnce(&mut FunctionBuilder<'_>)) -> Result {
        let mut compiler = Compiler::new(isa(NanBits::default()).unwrap());
        let budget = Budget::new(Some(64 << 20), "the limit");
        let credit = Credit::of_module(1 << 20);
        let compiled = compiler.compile_with(
            Listing::Unwanted,
            &mut Allowance::new(&credit, &budget),
            |function, context, config, _| {
                let mut b = FunctionBuilder::new(function, context);
                make(&mut b);
                b.seal_all_blocks();
                b.finalize(config);
                Ok(Places::default())
            },
        );
        compiled.map(|_| ())
    }

    /// Tests rely on it: in no other build is it seen that a value is used where it is not defined.
    #[test]
    #[cfg(debug_assertions)]
    fn values_that_are_used_where_they_are_not_defined_are_faults() {
        let outcome = outcome(|b| {
            let (start, past, end) = (b.create_block(), b.create_block(), b.create_block());
            b.switch_to_block(start);
            let condition = b.ins().iconst(types::I32, 1);
            b.ins().brif(condition, past, &[], end, &[]);
            b.switch_to_block(past);
            let value = b.ins().iconst(types::I32, 2);
            b.ins().jump(end, &[]);
            b.switch_to_block(end);
            let _ = b.ins().iadd(value, condition);
            b.ins().return_(&[]);
        });
        let Err(Unsupported::Faulty(fault)) = outcome else { panic!("{outcome:?}") };
        assert!(fault.contains("non-dominating"), "{fault}");
    }

    #[test]
    fn panics_are_faults() {
        let outcome = outcome(|_| panic!("as a test"));
        assert!(matches!(outcome, Err(Unsupported::Faulty(_))), "{outcome:?}");
    }
}
