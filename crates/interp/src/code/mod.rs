//! Lowered code: who owns it, and how a function gets its own on the first call.
//!
//! Must stay true: code that an entry points to lives as long as the module, and never changes once it is published.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use innkeeper_engine::index::DefinedFuncIndex;
use innkeeper_engine::sync::Mutex;
use innkeeper_engine::tier::{
    Baseline, CallSeen, Called, Code, FuncEntry, Hot, ModuleParts, NativeCode, OsrEntry, VmContext,
};
use innkeeper_engine::{Error, TierUp};

use crate::call_profile::{CallProfile, Heat, Quanta};
use crate::op::native;
use crate::unwind::ExceptionEntry;
use crate::{activation, lower};

/// A unit of code: a handler's address, operands, or an immediate.
pub(crate) type Word = u64;

/// Bytes of a body in the binary format that become a word of code, in the mean.
const BODY_BYTES_OF_WORD: usize = 2;

/// What the interpreter keeps for a module.
pub(crate) struct ModuleCode {
    entries: Box<[FuncEntry]>,
    /// How calls that make a function hot are counted.
    quanta: Quanta,
    /// What is hot.
    tier_up: TierUp,
    lowered: Mutex<Lowered>,
}

#[derive(Default)]
struct Lowered {
    functions: Vec<(DefinedFuncIndex, lower::Lowered)>,
    /// Where each is in `functions`.
    places: HashMap<DefinedFuncIndex, usize>,
    /// The same by the address of the code.
    addresses: BTreeMap<usize, usize>,
    /// Instructions that enter machine code; see [`native`].
    #[allow(clippy::vec_box, reason = "they are executed where they are")]
    stubs: Vec<Box<native::Stub>>,
    /// Loops that were looked at, by the address of their header.
    loops: HashMap<usize, LoopCode>,
    calls: CallProfile,
    scratch: lower::Scratch,
}

/// What is known of a loop that was looked at.
enum LoopCode {
    /// How often.
    Warm(u32),
    /// Its compilation has been asked for, or has failed; how often it was looked at since.
    Asked(u64),
    /// It can be entered.
    Compiled(Box<native::Stub>),
}

impl Lowered {
    fn code(&self, func: DefinedFuncIndex) -> Option<&lower::Lowered> {
        self.functions.get(*self.places.get(&func)?).map(|(_, code)| code)
    }

    /// How often the loops of each function in `functions` were looked at; compiled ones count as being `hot` after so many looks, and are not looked at again.
    fn looks_of_functions(&self, hot: u32) -> Vec<u64> {
        let mut looks = vec![0; self.functions.len()];
        for (header, state) in &self.loops {
            let Some((_, place)) = self.addresses.range(..=*header).next_back() else { continue };
            looks[*place] += match state {
                LoopCode::Warm(count) => u64::from(*count),
                LoopCode::Asked(count) => u64::from(hot) + count,
                LoopCode::Compiled(_) => u64::from(hot),
            };
        }
        looks
    }
}

impl ModuleCode {
    /// `native` is where machine code jumps to call a function that is not compiled; `tier_up` says what is hot.
    pub(crate) fn new(functions: usize, native: *const u8, tier_up: &TierUp) -> ModuleCode {
        let quanta = Quanta::of(tier_up.calls.max(1));
        let entries = (0..functions).map(|_| FuncEntry::new(native, quanta.first())).collect();
        ModuleCode { entries, quanta, tier_up: tier_up.clone(), lowered: Mutex::new(Lowered::default()) }
    }

    /// The code kept for `module`.
    pub(crate) fn of(module: &ModuleParts) -> Option<&ModuleCode> {
        let code: &dyn Any = module.code();
        code.downcast_ref()
    }

    /// The function's code: what enters its cached machine code if there is some, else lowered now if it has not been.
    pub(crate) fn lower(&self, module: &ModuleParts, func: DefinedFuncIndex) -> Result<*const Word, Error> {
        if let Some(code) = module.compiler().and_then(|compiler| compiler.cached(func)) {
            let call_slots = module.func_type(module.type_of_func(module.func_index(func))).call_slots();
            // SAFETY: the module's tier vouches that this is the function's code (the contract of `ModuleCompiler`), and the slots are its type's.
            #[allow(unsafe_code, reason = "the contract has an unsafe method")]
            unsafe {
                self.publish(&Hot::Function(func), call_slots, code);
            }
            return Ok(self.entries[func.index()].code.load(Ordering::Acquire));
        }
        let mut lowered = self.lowered.lock().unwrap_or_else(PoisonError::into_inner);
        let published = self.entries[func.index()].code.load(Ordering::Acquire);
        if !published.is_null() {
            return Ok(published);
        }
        let code = lower::lower(module, func, &mut lowered.scratch)?;
        let address = code.words.as_ptr();
        let place = lowered.functions.len();
        lowered.places.insert(func, place);
        lowered.addresses.insert(address as usize, place);
        lowered.functions.push((func, code));
        self.entries[func.index()].code.store(address.cast_mut(), Ordering::Release);
        Ok(address)
    }

    /// The code to go on with at the header of a loop, or null to stay where it is; the loop that is looked at often becomes hot.
    ///
    /// Not inlined: what it drops would keep handlers from jumping to each other.
    #[cold]
    #[inline(never)]
    pub(crate) fn look_at_loop(module: &ModuleParts, header: *const Word) -> *const Word {
        let Some(code) = ModuleCode::of(module) else { return std::ptr::null() };
        if code.tier_up.looks == u32::MAX {
            return std::ptr::null();
        }
        if !code.count_look(header as usize) {
            return code.loop_stub(header as usize);
        }
        // Branches of a table may lead on, to no loop at all.
        let found = code.locate(header).and_then(|(func, word)| lower::loop_at(module, func, word));
        if let Some(entry) = found {
            say_hot(module, Hot::Loop(entry));
        }
        code.loop_stub(header as usize)
    }

    /// Notes a call that ends a quantum of the callee's calls; see [`CallProfile`].
    #[cold]
    #[inline(never)]
    pub(crate) fn look_at_call(
        module: &ModuleParts,
        callee: DefinedFuncIndex,
        returns_to: *const Word,
    ) -> Heat {
        let look = |calls: &mut CallProfile, quanta| calls.look(quanta, callee, returns_to);
        ModuleCode::with_calls(module, look).unwrap_or(Heat::Hot)
    }

    /// Notes a call of machine code, and says after how many others the next is looked at.
    pub(crate) fn look_at_native_call(
        module: &ModuleParts,
        callee: DefinedFuncIndex,
        returns_to: *const Word,
    ) -> u32 {
        let note = |calls: &mut CallProfile, quanta: Quanta| {
            calls.note(callee, returns_to);
            quanta.later()
        };
        ModuleCode::with_calls(module, note).unwrap_or(u32::MAX)
    }

    /// Calls that were looked at of a module that this tier has lowered.
    fn with_calls<R>(module: &ModuleParts, act: impl FnOnce(&mut CallProfile, Quanta) -> R) -> Option<R> {
        let code = ModuleCode::of(module)?;
        let mut lowered = code.lowered.lock().unwrap_or_else(PoisonError::into_inner);
        Some(act(&mut lowered.calls, code.quanta))
    }

    /// Says that a function is hot.
    #[cold]
    #[inline(never)]
    pub(crate) fn say_hot(module: &ModuleParts, func: DefinedFuncIndex) {
        say_hot(module, Hot::Function(func));
    }

    /// Whether a loop is looked at for the time that makes it hot.
    fn count_look(&self, header: usize) -> bool {
        let mut lowered = self.lowered.lock().unwrap_or_else(PoisonError::into_inner);
        match lowered.loops.entry(header).or_insert(LoopCode::Warm(0)) {
            LoopCode::Warm(count) if *count + 1 < self.tier_up.looks => *count += 1,
            LoopCode::Asked(count) => *count += 1,
            LoopCode::Compiled(_) => {}
            state @ LoopCode::Warm(_) => {
                *state = LoopCode::Asked(0);
                return true;
            }
        }
        false
    }

    /// What is known of a loop that was said to be hot.
    fn with_loop<R>(&self, entry: &OsrEntry, look: impl FnOnce(&mut LoopCode) -> R) -> Option<R> {
        let mut lowered = self.lowered.lock().unwrap_or_else(PoisonError::into_inner);
        let header = lowered.code(entry.func)?.words.as_ptr().wrapping_add(entry.position) as usize;
        lowered.loops.get_mut(&header).map(look)
    }

    /// The stub that enters a compiled loop, or null.
    fn loop_stub(&self, header: usize) -> *const Word {
        let lowered = self.lowered.lock().unwrap_or_else(PoisonError::into_inner);
        match lowered.loops.get(&header) {
            Some(LoopCode::Compiled(stub)) => stub.words(),
            _ => std::ptr::null(),
        }
    }

    /// Slots from the start of the frame of a function to its frame pointer, at word `word` of its code.
    pub(crate) fn window_distance(&self, func: DefinedFuncIndex, word: usize) -> usize {
        let lowered = self.lowered.lock().unwrap_or_else(PoisonError::into_inner);
        let window = lowered.code(func).and_then(|code| code.window.as_ref());
        window.map_or(0, |window| window.distance_at(word))
    }

    /// Which function's code holds `position`, and how many words into it.
    pub(crate) fn locate(&self, position: *const Word) -> Option<(DefinedFuncIndex, usize)> {
        let lowered = self.lowered.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, place) = lowered.addresses.range(..=position as usize).next_back()?;
        let (func, code) = lowered.functions.get(*place)?;
        let range = code.words.as_ptr_range();
        // One past the end may be another function's: no call is the last instruction, since what follows it returns, branches or stops.
        let inside = range.contains(&position);
        inside.then(|| (*func, (position as usize - range.start as usize) / size_of::<Word>()))
    }
}

impl ModuleCode {
    /// Gives a lowered function's first word and its exception table to `look`.
    pub(crate) fn with_exception_table<R>(
        &self,
        func: DefinedFuncIndex,
        look: impl FnOnce(*const Word, &[ExceptionEntry]) -> Option<R>,
    ) -> Option<R> {
        let lowered = self.lowered.lock().unwrap_or_else(PoisonError::into_inner);
        let code = lowered.code(func)?;
        look(code.words.as_ptr(), &code.exception_table)
    }
}

// SAFETY: `entries` is a boxed slice, one entry a function, that is never replaced; it caches no code of its own.
#[allow(unsafe_code, reason = "the contract has unsafe methods")]
unsafe impl Code for ModuleCode {
    fn entries(&self) -> *const FuncEntry {
        self.entries.as_ptr()
    }

    #[allow(unsafe_code, reason = "the contract has an unsafe method")]
    unsafe fn call_within(&self, entry: *const FuncEntry, ctx: *mut VmContext, slots: *mut u64) -> bool {
        // SAFETY: the same contract.
        unsafe { activation::run_within(entry, ctx, slots) }
    }
}

#[allow(unsafe_code, reason = "the contract has an unsafe method")]
impl Baseline for ModuleCode {
    fn was_called(&self, func: DefinedFuncIndex) -> bool {
        !self.entries[func.index()].code.load(Ordering::Relaxed).is_null()
    }

    fn calls_seen(&self, module: &ModuleParts, func: DefinedFuncIndex) -> Vec<CallSeen> {
        let lowered = self.lowered.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(code) = lowered.code(func) else { return Vec::new() };
        let calls = lowered.calls.from(code.words.as_ptr_range());
        drop(lowered);
        if calls.is_empty() {
            return Vec::new();
        }
        // The call's last word is the one before that it returns to.
        let words: Vec<usize> = calls.iter().map(|(word, ..)| word - 1).collect();
        let starts = lower::Starts::of(module, func);
        let offsets = words.iter().map(|word| starts.offset_of(*word));
        let of = |(offset, (_, callee, times)): (Option<usize>, (usize, DefinedFuncIndex, u32))| {
            Some(CallSeen { offset_bytes: offset?, callee, times })
        };
        offsets.zip(calls).filter_map(of).collect()
    }

    fn called(&self) -> Vec<Called> {
        let lowered = self.lowered.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = |func: DefinedFuncIndex, entry: &FuncEntry| {
            self.quanta.counted(lowered.calls.ended(func), entry.calls_left.load(Ordering::Relaxed))
        };
        let is_own = |entry: &FuncEntry, code: &lower::Lowered| {
            std::ptr::eq(entry.code.load(Ordering::Relaxed), code.words.as_ptr())
        };
        let looks = lowered.looks_of_functions(self.tier_up.looks);
        let functions = lowered.functions.iter().zip(looks);
        let functions =
            functions.map(|((func, code), looks)| (*func, &self.entries[func.index()], code, looks));
        functions
            .filter(|(_, entry, code, _)| is_own(entry, code))
            .map(|(func, entry, code, looks)| Called {
                func,
                calls: calls(func, entry),
                back_edges: looks * u64::from(self.tier_up.back_edges),
                body_bytes: code.words.len() * BODY_BYTES_OF_WORD,
            })
            .collect()
    }

    unsafe fn publish(&self, what: &Hot, call_slots: u32, code: NativeCode) {
        match what {
            Hot::Function(func) => self.publish_function(*func, call_slots, code),
            Hot::Loop(entry) => self.publish_loop(entry, call_slots, code),
        }
    }

    fn uses_since_hot(&self, what: &Hot) -> u64 {
        match what {
            // As `hot` has left it.
            Hot::Function(func) => {
                u64::from(u32::MAX - self.entries[func.index()].calls_left.load(Ordering::Relaxed))
            }
            Hot::Loop(entry) => {
                let looks = self.with_loop(entry, |state| match state {
                    LoopCode::Asked(count) => *count,
                    _ => 0,
                });
                looks.unwrap_or(0)
            }
        }
    }

    fn cool(&self, what: &Hot) {
        match what {
            Hot::Function(func) => {
                let mut lowered = self.lowered.lock().unwrap_or_else(PoisonError::into_inner);
                lowered.calls.forget(*func);
                self.entries[func.index()].calls_left.store(self.quanta.first(), Ordering::Relaxed);
            }
            Hot::Loop(entry) => {
                self.with_loop(entry, |state| {
                    if let LoopCode::Asked(_) = state {
                        *state = LoopCode::Warm(0);
                    }
                });
            }
        }
    }
}

impl ModuleCode {
    fn publish_function(&self, func: DefinedFuncIndex, call_slots: u32, code: NativeCode) {
        let mut lowered = self.lowered.lock().unwrap_or_else(PoisonError::into_inner);
        let stub = native::Stub::new((func, self.quanta.later()), call_slots, code);
        self.entries[func.index()].publish(stub.words(), code.code);
        lowered.stubs.push(stub);
    }

    fn publish_loop(&self, entry: &OsrEntry, call_slots: u32, code: NativeCode) {
        let func = entry.func;
        let mut lowered = self.lowered.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(of) = lowered.code(func) else { return };
        let header = of.words.as_ptr_range().start.wrapping_add(entry.position) as usize;
        let stub = native::Stub::new((func, self.quanta.later()), call_slots, code);
        if let Some(LoopCode::Compiled(former)) = lowered.loops.insert(header, LoopCode::Compiled(stub)) {
            // Somebody may be about to enter it.
            lowered.stubs.push(former);
        }
    }
}

/// Tells the compiler that something would be worth compiling, where there is one.
fn say_hot(module: &ModuleParts, what: Hot) {
    if let Some(compiler) = module.compiler() {
        compiler.hot(what);
    }
}

#[cfg(all(test, feature = "loom"))]
mod model;
