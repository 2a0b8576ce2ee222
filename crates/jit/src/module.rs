//! The machine code of a module.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use innkeeper_engine::index::DefinedFuncIndex;
use innkeeper_engine::tier::{Hot, LoopEntry, ModuleParts, NativeCode};
use innkeeper_engine::{Compilation, Explanation, FuncType};

use crate::adapter::Kind;
use crate::code_memory::CodeMemory;
use crate::compiler::Compiler;
use crate::translate::{Start, Unsupported, translate};
use crate::{Jit, entry, queue};

/// What is kept for a module; its code lives as long.
pub struct NativeModule {
    jit: Jit,
    module: Weak<ModuleParts>,
    memory: Mutex<CodeMemory>,
}

/// A function whose body is longer is not compiled: time and memory grow faster than the body.
const MAX_BODY_BYTES: usize = 256 << 10;

impl NativeModule {
    pub(crate) fn new(jit: Jit, module: &Arc<ModuleParts>) -> NativeModule {
        let memory = Mutex::new(CodeMemory::new(Some(Arc::downgrade(module))));
        NativeModule { jit, module: Arc::downgrade(module), memory }
    }

    /// Compiles a function to be called; none where it stays interpreted.
    #[must_use]
    pub fn compile(&self, module: &ModuleParts, func: DefinedFuncIndex) -> Option<NativeCode> {
        let ty = module.func_type(module.type_of_func(module.func_index(func)));
        let mut compiler = self.jit.compiler()?;
        let code = self.code(&mut compiler, module, (func, Start::Call));
        self.count(&code);
        let adapter = lock(&self.jit.0.adapters).get(&mut compiler, Kind::Enter, ty)?;
        Some(NativeCode { enter: entry::enter, adapter, code: code.ok()? })
    }

    /// Compiles a function to be entered at one of its loops; none where it cannot be.
    #[must_use]
    pub fn compile_loop(&self, module: &ModuleParts, entry: &LoopEntry) -> Option<NativeCode> {
        let mut compiler = self.jit.compiler()?;
        let code = self.code(&mut compiler, module, (entry.func, Start::Loop(entry)));
        self.count(&code);
        let code = code.ok()?;
        // Entered as an adapter is: it takes its values from the frame itself.
        Some(NativeCode { enter: entry::enter, adapter: code, code })
    }

    /// What becomes of a function, for people to read, or why nothing does; none where there is no compiler for this processor.
    #[must_use]
    pub fn explain(
        &self,
        module: &ModuleParts,
        func: DefinedFuncIndex,
    ) -> Option<Result<Explanation, String>> {
        let explained = self.jit.compiler()?.explain(|function, context, config| {
            translate(function, context, config, module, (func, Start::Call))
        });
        Some(explained.map_err(|reason| reason.to_string()))
    }

    /// Has something compiled and published that is hot, now or in the background.
    pub fn hot(&self, what: Hot, compilation: Compilation) {
        match (compilation, self.module.upgrade()) {
            (Compilation::AtOnce, Some(module)) => queue::compile(&module, &what),
            _ => self.jit.0.queue.push(Weak::clone(&self.module), what),
        }
    }

    /// Bytes of machine code.
    #[must_use]
    pub fn code_bytes(&self) -> usize {
        lock(&self.memory).used_bytes()
    }

    pub(crate) fn adapter(&self, kind: Kind, ty: &FuncType) -> Option<*const u8> {
        let mut compiler = self.jit.compiler()?;
        lock(&self.jit.0.adapters).get(&mut compiler, kind, ty)
    }

    fn count(&self, outcome: &Result<*const u8, Unsupported>) {
        let mut census = lock(&self.jit.0.census);
        match outcome {
            Ok(_) => census.compiled += 1,
            Err(reason) => *census.refused.entry(reason.to_string()).or_default() += 1,
        }
    }

    fn code(
        &self,
        compiler: &mut Compiler,
        module: &ModuleParts,
        (func, start): (DefinedFuncIndex, Start<'_>),
    ) -> Result<*const u8, Unsupported> {
        if module.body_range(func).len() > MAX_BODY_BYTES {
            return Err(Unsupported::Compiler("the body is too long".to_owned()));
        }
        let code = compiler.compile(|function, context, config| {
            translate(function, context, config, module, (func, start))
        })?;
        let address = lock(&self.memory).add(&code.bytes, |range| code.describe(range, Some(func)));
        address.ok_or_else(|| Unsupported::Compiler("there is no memory for code".to_owned()))
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
