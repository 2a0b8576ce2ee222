//! The machine code of a module.

use std::any::Any;
use std::borrow::BorrowMut;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError, Weak};
use std::time::{Duration, Instant};

use innkeeper_engine::index::DefinedFuncIndex;
use innkeeper_engine::tier::{Called, Hot, Lacking, ModuleCompiler, ModuleParts, NativeCode, OsrEntry};
use innkeeper_engine::{Compilation, Disassembly, Error, FuncType, Inlining};

use crate::ahead::compile_ahead;
use crate::allowance::{Allowance, Credit};
use crate::cache::format::SavedTrampoline;
use crate::cache::kept::{CacheLookup, Part};
use crate::cache::writer::Occasion;
use crate::code_memory::{CodeMemory, CodeOf, HeldCode};
use crate::compiler::{Code, Compiler};
use crate::queue::Later;
use crate::region::FunctionOf;
use crate::trampoline::{self, Kind};
use crate::translate::{Start, Unsupported, translate};
use crate::{Jit, entry, publish};

/// What is kept for a module; its code lives as long.
pub struct NativeModule {
    jit: Jit,
    module: Weak<ModuleParts>,
    memory: Mutex<CodeMemory>,
    /// What is kept of it from run to run.
    part: Part,
    /// What tells those apart that the module's credit has been drawn on for, and that are made when a guest first calls through them.
    paid_trampolines: Mutex<HashSet<Box<[u8]>>>,
    /// Whether guests wait for what is being compiled.
    compilation: Compilation,
    /// What compiling its functions may still take.
    credit: Credit,
    /// The background's own work, begun with the first call.
    start: Once,
    /// From when on functions are compiled for later runs.
    later_from: Instant,
}

/// Work that a trampoline stands for which stays with its module, whatever making it takes: it has some 2 KiB, and what it is made for may be a few bytes.
const WORK_OF_TRAMPOLINE: u64 = 2000;

/// A function whose body is longer is not compiled: time and memory grow faster than the body.
const MAX_BODY_BYTES: usize = 256 << 10;

/// Until then runs of what the cache has something of do nothing for later ones: short runs, and one core, are not to pay for them, and where functions are
/// wanted somebody else may be compiling them.
const SHORT_RUN: Duration = Duration::from_millis(250);

impl NativeModule {
    pub(crate) fn new(jit: Jit, module: &Arc<ModuleParts>, lookup: CacheLookup) -> NativeModule {
        let part = Part::take(lookup);
        let credit = Credit::of_module(module.bytes().len());
        let wait = if part.is_known() { SHORT_RUN } else { Duration::ZERO };
        NativeModule {
            jit,
            module: Arc::downgrade(module),
            memory: Mutex::new(CodeMemory::new(CodeOf::Module)),
            part,
            paid_trampolines: Mutex::default(),
            compilation: module.engine().config().tuning.tier_up.compilation,
            credit,
            start: Once::new(),
            later_from: Instant::now() + wait,
        }
    }

    /// What the compiler keeps for a module of an engine that compiles; none of another.
    #[must_use]
    pub fn of(module: &ModuleParts) -> Option<&NativeModule> {
        let compiler: &dyn Any = module.compiler()?;
        compiler.downcast_ref()
    }

    /// The machine code that a function has from an earlier time.
    #[must_use]
    pub fn cached_of(&self, module: &ModuleParts, func: DefinedFuncIndex) -> Option<NativeCode> {
        self.start.call_once(|| self.begin());
        let code = self.part.function(&self.module, (func, Start::Call))?;
        let ty = module.func_type(module.type_of_func(module.func_index(func)));
        let trampoline = self.trampoline(Kind::Enter, ty).ok()?;
        lock(&self.jit.0.statistics).cached += 1;
        Some(NativeCode { enter: entry::enter, trampoline, code })
    }

    /// The machine code that a loop has from an earlier time, where the frame is laid out as it was then.
    pub(crate) fn cached_loop(&self, entry: &OsrEntry) -> Option<NativeCode> {
        let code = self.part.function(&self.module, (entry.func, Start::Loop(entry)))?;
        lock(&self.jit.0.statistics).cached += 1;
        Some(loop_code(code))
    }

    /// Lets functions be compiled in the background that were hot at an earlier time.
    fn begin(&self) {
        let Some(module) = self.module.upgrade() else { return };
        if module.engine().config().tuning.tier_up.compilation == Compilation::AtOnce {
            return;
        }
        for (_, func) in self.part.profile() {
            if func.index() < module.defined_func_count() {
                self.push_later(func);
            }
        }
    }

    /// A function that is hot in a loop only, which the next run would rather enter at its start.
    pub(crate) fn whole_later(&self, func: DefinedFuncIndex) {
        if self.part.writer().is_some() {
            self.push_later(func);
        }
    }

    fn push_later(&self, func: DefinedFuncIndex) {
        self.jit.0.queue.push_later(Later { module: Weak::clone(&self.module), func, from: self.later_from });
    }

    /// Compiles a function for later runs with `compile`, unless it is known how that ends.
    pub(crate) fn for_later_runs(&self, func: DefinedFuncIndex, compile: impl FnOnce()) {
        let of_file = self.part.func(func);
        if let Some(writer) = self.part.writer()
            && !writer.has(of_file)
        {
            writer.try_later(of_file);
            compile();
            writer.tried(of_file);
        }
    }

    /// Writes what is new to the cache, if there is one and it is worth it.
    pub(crate) fn write_new(&self, occasion: Occasion) {
        let Some(writer) = self.part.writer() else { return };
        writer.write_if_worth_it(occasion, || self.trampolines_to_save());
    }

    /// The functions that the cache's file says were hot or called, each with its place among all that it lists, those first that are worth most, and has no code for.
    pub(crate) fn wanted<'n>(
        &'n self,
        module: &'n ModuleParts,
    ) -> impl Iterator<Item = (usize, DefinedFuncIndex)> + 'n {
        self.part.profile().filter(|(_, func)| {
            func.index() < module.defined_func_count()
                && self.part.writer().is_some()
                && !self.part.has(*func)
        })
    }

    /// Compiles a function to be called; none where it stays interpreted.
    #[must_use]
    pub fn compile(&self, module: &ModuleParts, func: DefinedFuncIndex) -> Option<NativeCode> {
        let ty = module.func_type(module.type_of_func(module.func_index(func)));
        let mut compiler = self.jit.compiler()?;
        let code = self.code(&mut compiler, module, (func, Start::Call)).and_then(|code| {
            let (_, trampoline) = self.trampoline_with(|| Some(&mut compiler), (Kind::Enter, ty))?;
            Ok(NativeCode { enter: entry::enter, trampoline: trampoline.address(), code })
        });
        self.count(&code);
        code.ok()
    }

    /// Compiles a function to be entered at one of its loops; none where it cannot be.
    #[must_use]
    pub fn compile_loop(&self, module: &ModuleParts, entry: &OsrEntry) -> Option<NativeCode> {
        let mut compiler = self.jit.compiler()?;
        let code = self.code(&mut compiler, module, (entry.func, Start::Loop(entry)));
        self.count(&code);
        code.ok().map(loop_code)
    }

    /// Bytes of machine code.
    #[must_use]
    pub fn code_bytes(&self) -> usize {
        lock(&self.memory).used_bytes()
    }

    /// The address of a trampoline, which is made if there is none, and stays as long as the module.
    pub(crate) fn trampoline(&self, kind: Kind, ty: &FuncType) -> Result<*const u8, Unsupported> {
        Ok(self.trampoline_with(|| self.jit.compiler(), (kind, ty))?.1.address())
    }

    /// As [`NativeModule::trampoline`], for the entry of a function of the module or, where that is the kind, of the host, whose entries may outlive the module.
    pub(crate) fn trampoline_to_bind(&self, kind: Kind, ty: &FuncType) -> Result<*const u8, Unsupported> {
        let (key, held) = self.trampoline_with(|| self.jit.compiler(), (kind, ty))?;
        if kind == Kind::Host {
            self.jit.0.trampolines.keep(&key, &held);
        }
        Ok(held.address())
    }

    fn trampoline_with<C: BorrowMut<Compiler>>(
        &self,
        compiler: impl FnOnce() -> Option<C>,
        (kind, ty): (Kind, &FuncType),
    ) -> Result<(Arc<[u8]>, HeldCode), Unsupported> {
        let key: Arc<[u8]> = trampoline::key_bytes(kind, ty).into();
        if let Some(held) = lock(&self.part.kept().used_trampolines).get(&key) {
            return Ok((key, held.clone()));
        }
        let module = self.module.upgrade().ok_or(Unsupported::Now("the module is no more"))?;
        let budget = module.engine().compiling_budget();
        // The others are made for a guest that waits; see `pay_for_callee`.
        let may_be_refused = kind == Kind::Enter || trampoline::is_wide(ty);
        let credit = may_be_refused.then_some(&self.credit);
        let mut allowance = Allowance::of_trampoline(credit, &budget);
        allowance.draw(WORK_OF_TRAMPOLINE)?;
        let earlier = self.part.kept().earlier_trampolines();
        let made = self.jit.0.trampolines.get(compiler, &mut allowance, (&key, kind, ty), earlier)?;
        // Of two threads that have got one, both have the first one's.
        let held = lock(&self.part.kept().used_trampolines).entry(Arc::clone(&key)).or_insert(made).clone();
        Ok((key, held))
    }

    /// Draws on the module's credit for the trampolines that calls of a type may be made through: they must not be refused when a guest waits for one, so that the
    /// calling code is, where there are too many.
    fn pay_for_callee(&self, ty: &FuncType) -> Result<(), Unsupported> {
        let key = trampoline::key_bytes(Kind::Guest, ty).into();
        match lock(&self.paid_trampolines).insert(key) {
            true => self.credit.draw(WORK_OF_TRAMPOLINE),
            false => Ok(()),
        }
    }

    /// What a file of the module's code needs.
    pub(crate) fn trampolines_to_save(&self) -> Vec<SavedTrampoline> {
        let kept = self.part.kept();
        self.jit.0.trampolines.to_save(&lock(&kept.used_trampolines), kept.earlier_trampolines())
    }

    pub(crate) fn part(&self) -> &Part {
        &self.part
    }

    /// Whether nothing more may be compiled of the module.
    pub(crate) fn has_used_up_credit(&self) -> bool {
        self.credit.is_used_up()
    }

    pub(crate) fn jit(&self) -> &Jit {
        &self.jit
    }

    fn count<T>(&self, outcome: &Result<T, Unsupported>) {
        let mut statistics = lock(&self.jit.0.statistics);
        match outcome {
            Ok(_) => statistics.compiled += 1,
            Err(reason) => *statistics.refused.entry(reason.to_string()).or_default() += 1,
        }
    }

    fn code(
        &self,
        compiler: &mut Compiler,
        module: &ModuleParts,
        (func, start): (DefinedFuncIndex, Start<'_>),
    ) -> Result<*const u8, Unsupported> {
        let code = self.compile_with(compiler, module, (func, start));
        if let (Some(writer), Start::Call, Err(reason)) = (self.part.writer(), start, &code)
            && !matches!(reason, Unsupported::Now(_))
        {
            writer.refused(self.part.func(func));
        }
        let code = code?;
        let mut memory = lock(&self.memory);
        let of = FunctionOf { module: Weak::clone(&self.module), func };
        let address = memory.add(&code.bytes, |range| code.describe(range, of));
        let held = address.and_then(|_| memory.last_added(code.bytes.len()));
        drop(memory);
        self.part.made((func, start), held, &code.tables);
        address.ok_or(Unsupported::Now("there is no memory for code"))
    }

    /// Compiles a function as it can be written to a file.
    pub(crate) fn compile_with(
        &self,
        compiler: &mut Compiler,
        module: &ModuleParts,
        (func, start): (DefinedFuncIndex, Start<'_>),
    ) -> Result<Code, Unsupported> {
        if module.body_range(func).len() > MAX_BODY_BYTES {
            return Err(Unsupported::Compiler("the body is too long".to_owned()));
        }
        let code = best(&self.credit, module, |allowance, inlining| {
            compiler.compile(allowance, |function, context, config, allowance| {
                translate(function, context, config, allowance, module, (func, start), inlining)
            })
        })?;
        for ty in &code.callees {
            if !trampoline::is_wide(ty) {
                self.pay_for_callee(ty)?;
                continue;
            }
            // Whether a callee is the host's, and whether it stays interpreted, is not known here.
            for kind in [Kind::Guest, Kind::Host] {
                self.trampoline_with(|| Some(&mut *compiler), (kind, ty))?;
            }
        }
        Ok(code)
    }
}

// SAFETY: `cached` gives what the file has for this module: its key is of the module's bytes, or of those of the component that it is a part of, or the code's digest is of the
// bytes that were generated. The file's mapping lives as long as this.
#[allow(unsafe_code, reason = "the contract is unsafe to fulfil")]
unsafe impl ModuleCompiler for NativeModule {
    fn hot(&self, what: Hot) {
        let func = match &what {
            Hot::Function(func) => *func,
            Hot::Loop(entry) => entry.func,
        };
        if let Some(writer) = self.part.writer() {
            writer.hot(self.part.func(func));
        }
        let module = self.module.upgrade();
        if let (Some(module), Hot::Loop(entry)) = (&module, &what)
            && publish::cached_loop(module, entry)
        {
            return;
        }
        match (self.compilation, module) {
            (Compilation::AtOnce, Some(module)) => publish::compile(&module, &what),
            _ => self.jit.0.queue.push(Weak::clone(&self.module), what),
        }
    }

    fn cached(&self, func: DefinedFuncIndex) -> Option<NativeCode> {
        self.cached_of(&*self.module.upgrade()?, func)
    }

    fn note_called(&self, called: &dyn Fn() -> Vec<Called>) {
        self.part.note_called(called);
    }

    fn write_cache(&self) -> Lacking {
        let lacking = self.part.settle();
        self.write_new(Occasion::End);
        lacking
    }

    fn serialize(&self, modules: &[&ModuleParts], whole: &[u8]) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        match compile_ahead((modules, whole), &mut bytes, &|_, _| {}) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(Error::precompiled(format!("cannot be made: {error}"))),
        }
    }

    fn explain(&self, module: &ModuleParts, func: DefinedFuncIndex) -> Option<Result<Disassembly, String>> {
        let mut compiler = self.jit.compiler()?;
        // Whoever asks is no guest.
        let explained = best(&Credit::of_module(usize::MAX >> 8), module, |allowance, inlining| {
            compiler.explain(
                allowance,
                |func| module.func_index(func),
                |function, context, config, allowance| {
                    translate(function, context, config, allowance, module, (func, Start::Call), inlining)
                },
            )
        });
        Some(explained.map_err(|reason| reason.to_string()))
    }
}

/// Code that is entered at a loop, as a trampoline is: it takes its values from the frame itself.
fn loop_code(code: *const u8) -> NativeCode {
    NativeCode { enter: entry::enter, trampoline: code, code }
}

/// Compiles with others' bodies inlined or, where that fails and there were some, without: one of them may have what is not compiled.
fn best<T>(
    credit: &Credit,
    module: &ModuleParts,
    mut compile: impl FnMut(&mut Allowance<'_>, &Inlining) -> Result<T, Unsupported>,
) -> Result<T, Unsupported> {
    let engine = module.engine();
    let budget = engine.compiling_budget();
    let mut allowance = Allowance::new(credit, &budget);
    let compiled = compile(&mut allowance, &engine.config().tuning.inlining);
    if compiled.is_ok() || !allowance.has_inlined {
        return compiled;
    }
    drop(allowance);
    compile(&mut Allowance::new(credit, &budget), &Inlining::never())
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
