//! Compiling a module ahead of time, or all modules of a component: every function, on all processors, into one file with the module or component in it.

use std::io::Write;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use innkeeper_engine::CompileStatistics;
use innkeeper_engine::index::{DefinedFuncIndex, FuncIndex};
use innkeeper_engine::tier::ModuleParts;

use crate::cache::PrecompiledError;
use crate::cache::contents::{Contents, Function, padding};
use crate::cache::entry_point::EntryPoint;
use crate::cache::format::{Seal, digest};
use crate::cache::key::{Key, Target};
use crate::cache::writer::Occasion;
use crate::compiler::Code;
use crate::module::NativeModule;
use crate::trampoline::Kind;
use crate::translate::{Start, Unsupported};

/// What has become of a function; nothing yet, or nothing at all where there is no compiler.
type Outcome = OnceLock<Result<Code, Unsupported>>;

/// What is told while functions are compiled: how many are done, of how many. Several threads call it.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// What is compiled together: a module, or all modules of a component, those included that are generated for it; and the bytes of the module or component.
pub type Whole<'a> = (&'a [&'a ModuleParts], &'a [u8]);

/// A module of the whole that is compiled.
type Of<'a> = (&'a NativeModule, &'a ModuleParts);

/// Compiles all functions and writes them, with the module or component, as [`crate::cache::Precompiled`] reads it. Functions that cannot be compiled are counted by the
/// reason; they will be interpreted.
///
/// # Errors
/// Of the writer.
pub fn compile_ahead(
    (modules, bytes): Whole<'_>,
    to: &mut dyn Write,
    progress: Progress<'_>,
) -> Result<CompileStatistics, PrecompiledError> {
    let parts = parts(modules)?;
    let outcomes = compile_all(&parts, progress);
    contents((&parts, bytes), &outcomes)?.with_module(bytes).ready(Seal::Digest)?.write(to)?;
    Ok(statistics(&outcomes))
}

/// Compiles all functions and writes them to the engine's cache.
///
/// # Errors
/// [`PrecompiledError::NoCache`] where there is none; those of the system.
pub fn fill_cache(
    (modules, bytes): Whole<'_>,
    progress: Progress<'_>,
) -> Result<CompileStatistics, PrecompiledError> {
    let parts = parts(modules)?;
    let Some((first, _)) = parts.first() else { return Ok(CompileStatistics::default()) };
    let writer = first.part().writer().ok_or(PrecompiledError::NoCache)?;
    let outcomes = compile_all(&parts, progress);
    writer.complete(contents((&parts, bytes), &outcomes)?)?;
    Ok(statistics(&outcomes))
}

/// Compiles the functions that earlier runs have called and the engine's cache has no code for, those that were called most often first, on all processors, until
/// `goes_on` says no; what has been compiled is written in small steps, for runs that begin meanwhile. The statistics are the engine's.
///
/// # Errors
/// [`PrecompiledError::NoCache`] where there is none.
pub fn fill_cache_with_called(
    modules: &[&ModuleParts],
    progress: Progress<'_>,
    goes_on: &(dyn Fn() -> bool + Sync),
) -> Result<CompileStatistics, PrecompiledError> {
    let parts = parts(modules)?;
    let Some((first, _)) = parts.first() else { return Ok(CompileStatistics::default()) };
    let writer = first.part().writer().ok_or(PrecompiledError::NoCache)?;
    let mut wanted = Vec::new();
    for (native, module) in &parts {
        wanted.extend(native.wanted(module).map(|(at, func)| (at, *native, *module, func)));
    }
    wanted.sort_by_key(|(at, ..)| *at);
    for (native, module) in &parts {
        if native.wanted(module).next().is_some() {
            native.make_trampolines_of(module, 0..module.func_index(DefinedFuncIndex(0)).0);
        }
    }
    let done = AtomicUsize::new(0);
    on_all_processors(wanted.len(), |next| {
        while goes_on()
            && let Some(at) = next()
        {
            let (_, native, module, func) = wanted[at];
            let index = module.func_index(func).0;
            native.make_trampolines_of(module, index..index + 1);
            // Where it stays interpreted, that is cached too: also where it takes more than all functions may take together.
            let code = native.compile(module, func);
            if at == 0 && code.is_none() && native.has_used_up_credit() {
                writer.refused(native.part().func(func));
            }
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, wanted.len());
            native.write_new(Occasion::Step);
        }
    });
    first.write_new(Occasion::Filled);
    Ok(first.jit().compile_statistics())
}

fn parts<'a>(modules: &[&'a ModuleParts]) -> Result<Vec<Of<'a>>, PrecompiledError> {
    let part = |module: &&'a ModuleParts| {
        let native = NativeModule::of(module).ok_or(PrecompiledError::NoCompiler)?;
        Ok((native, *module))
    };
    modules.iter().map(part).collect()
}

/// What a file with these functions has, which come module by module.
fn contents<'a>(
    (parts, bytes): (&[Of<'_>], &[u8]),
    outcomes: &'a [Outcome],
) -> Result<Contents<'a>, PrecompiledError> {
    let (first, module) = parts.first().ok_or(PrecompiledError::NoCode)?;
    let isa = first.jit().isa().ok_or(PrecompiledError::NoCompiler)?;
    let target = Target::new(&**isa, module.engine().config());
    let (mut functions, mut refused, mut trampolines) = (Vec::new(), Vec::new(), Vec::new());
    let mut outcomes = outcomes.iter();
    for (native, module) in parts {
        let imported = module.func_index(DefinedFuncIndex(0)).0;
        native.make_trampolines_of(module, 0..imported + module.defined_func_count() as u32);
        let frame = native.part().frame(Start::Call);
        for func in 0..module.defined_func_count() as u32 {
            let func = native.part().func(DefinedFuncIndex(func));
            match outcomes.next().and_then(OnceLock::get) {
                Some(Ok(code)) => {
                    let (bytes, tables) = (&code.bytes[..], code.tables.bytes());
                    let digest = digest(bytes, padding(bytes), tables, &frame);
                    functions.push(Function { entry: EntryPoint::start(func), code: bytes, tables, digest });
                }
                Some(Err(Unsupported::Now(_))) | None => {}
                Some(Err(_)) => refused.push(func),
            }
        }
        trampolines.extend(native.trampolines_to_save());
    }
    trampolines.sort_by(|a, b| a.key.cmp(&b.key));
    trampolines.dedup_by(|a, b| a.key == b.key);
    let key = Key::new(bytes, target);
    Ok(Contents { key, module: &[], functions, profile: Vec::new(), refused, trampolines })
}

/// Compiles all functions, module by module.
fn compile_all(parts: &[Of<'_>], progress: Progress<'_>) -> Vec<Outcome> {
    let mut all = Vec::new();
    for (native, module) in parts {
        let funcs = (0..module.defined_func_count() as u32).map(DefinedFuncIndex);
        all.extend(funcs.map(|func| (*native, *module, func)));
    }
    let outcomes: Vec<Outcome> = all.iter().map(|_| OnceLock::new()).collect();
    let done = AtomicUsize::new(0);
    on_all_processors(all.len(), |next| {
        let Some(mut compiler) = parts.first().and_then(|(native, _)| native.jit().compiler()) else {
            return;
        };
        while let Some(at) = next() {
            let (native, module, func) = all[at];
            let _ = outcomes[at].set(native.compile_with(&mut compiler, module, (func, Start::Call)));
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, all.len());
        }
    });
    outcomes
}

impl NativeModule {
    /// Makes the trampolines that a run will ask for where it calls these functions.
    fn make_trampolines_of(&self, module: &ModuleParts, funcs: Range<u32>) {
        let imported = module.func_index(DefinedFuncIndex(0)).0;
        for func in funcs.map(FuncIndex) {
            let ty = module.func_type(module.type_of_func(func));
            let kinds: &[Kind] = if func.0 < imported { &[Kind::Host] } else { &[Kind::Enter, Kind::Guest] };
            for kind in kinds {
                let _ = self.trampoline(*kind, ty);
            }
        }
    }
}

/// Has each processor work through the numbers below `count`, of which `next` gives each once.
fn on_all_processors(count: usize, work: impl Fn(&dyn Fn() -> Option<usize>) + Sync) {
    let taken = AtomicUsize::new(0);
    let next = || Some(taken.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < count);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 1..threads.min(count) {
            // Where the system refuses another thread, this one does the work.
            let _ = std::thread::Builder::new().spawn_scoped(scope, || work(&next));
        }
        work(&next);
    });
}

fn statistics(outcomes: &[Outcome]) -> CompileStatistics {
    let mut statistics = CompileStatistics::default();
    for outcome in outcomes.iter().filter_map(OnceLock::get) {
        match outcome {
            Ok(_) => statistics.compiled += 1,
            Err(reason) => *statistics.refused.entry(reason.to_string()).or_default() += 1,
        }
    }
    statistics
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn all_processors_together_work_through_everything_once_and_in_order() {
        for count in [0, 1, 2, 1000] {
            let done = Mutex::new(Vec::new());
            on_all_processors(count, |next| {
                let mut before = None;
                while let Some(at) = next() {
                    assert!(before < Some(at));
                    before = Some(at);
                    done.lock().unwrap().push(at);
                }
            });
            let mut done = done.into_inner().unwrap();
            done.sort_unstable();
            assert!(done.into_iter().eq(0..count));
        }
    }
}
