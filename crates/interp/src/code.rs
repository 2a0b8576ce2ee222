//! Lowered code: who owns it, and how a function gets its own on the first call.
//!
//! Must stay true: code that an entry points to lives as long as the module, and never changes once it is published.

use std::any::Any;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use innkeeper_engine::Error;
use innkeeper_engine::index::DefinedFuncIndex;
use innkeeper_engine::tier::{FuncEntry, ModuleParts, NativeCode, TierModule, VmContext};

use crate::op::native;
use crate::{activation, lower};
use crate::unwind::TryRange;

/// A unit of code: a handler's address, operands, or an immediate.
pub(crate) type Word = u64;

/// What the interpreter keeps for a module.
pub(crate) struct ModuleCode {
    entries: Box<[FuncEntry]>,
    lowered: Mutex<Lowered>,
}

#[derive(Default)]
struct Lowered {
    functions: Vec<(DefinedFuncIndex, lower::Lowered)>,
    /// Instructions that enter machine code; see [`native`].
    stubs: Vec<Box<native::Stub>>,
    scratch: lower::Scratch,
}

impl ModuleCode {
    /// `native` is where machine code jumps to call a function that is not compiled.
    pub(crate) fn new(functions: usize, native: *const u8) -> ModuleCode {
        let entries = (0..functions).map(|_| FuncEntry::new(native, u32::MAX - 1)).collect();
        ModuleCode { entries, lowered: Mutex::default() }
    }

    /// The code kept for `module`.
    pub(crate) fn of(module: &ModuleParts) -> Option<&ModuleCode> {
        module.code().as_any().downcast_ref()
    }

    /// The function's code, lowered now if it has not been.
    pub(crate) fn lower(&self, module: &ModuleParts, func: DefinedFuncIndex) -> Result<*const Word, Error> {
        let mut lowered = self.lowered.lock().unwrap_or_else(PoisonError::into_inner);
        let published = self.entries[func.index()].code.load(Ordering::Acquire);
        if !published.is_null() {
            return Ok(published);
        }
        let code = lower::lower(module, func, &mut lowered.scratch)?;
        let address = code.words.as_ptr();
        lowered.functions.push((func, code));
        self.entries[func.index()].code.store(address.cast_mut(), Ordering::Release);
        Ok(address)
    }

    /// Which function's code holds `position`, and how many words into it.
    pub(crate) fn locate(&self, position: *const Word) -> Option<(DefinedFuncIndex, usize)> {
        let lowered = self.lowered.lock().unwrap_or_else(PoisonError::into_inner);
        lowered.functions.iter().find_map(|(func, code)| {
            let range = code.words.as_ptr_range();
            // One past the end belongs to a call that is the last instruction.
            let inside = position >= range.start && position <= range.end;
            inside.then(|| (*func, (position as usize - range.start as usize) / size_of::<Word>()))
        })
    }
}

impl ModuleCode {
    /// Gives a lowered function's first word and its tried ranges to `look`.
    pub(crate) fn with_tries<R>(
        &self,
        func: DefinedFuncIndex,
        look: impl FnOnce(*const Word, &[TryRange]) -> Option<R>,
    ) -> Option<R> {
        let lowered = self.lowered.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, code) = lowered.functions.iter().find(|(index, _)| *index == func)?;
        look(code.words.as_ptr(), &code.tries)
    }
}

impl TierModule for ModuleCode {
    fn entries(&self) -> *const FuncEntry {
        self.entries.as_ptr()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    #[allow(unsafe_code, reason = "the contract has an unsafe method")]
    unsafe fn call_within(&self, entry: *const FuncEntry, ctx: *mut VmContext, slots: *mut u64) -> bool {
        // SAFETY: the same contract.
        unsafe { activation::run_within(entry, ctx, slots) }
    }

    fn publish(&self, func: DefinedFuncIndex, call_slots: u32, code: NativeCode) {
        let mut lowered = self.lowered.lock().unwrap_or_else(PoisonError::into_inner);
        let stub = native::Stub::new(call_slots, code);
        let entry = &self.entries[func.index()];
        // Machine code first: whoever finds the stub may be about to call the function from there.
        entry.native.store(code.code.cast_mut(), Ordering::Release);
        entry.code.store(stub.words().cast_mut(), Ordering::Release);
        lowered.stubs.push(stub);
    }
}
