//! What a tier fulfils: traits, and the words they use. The records that executing code sees are in [`crate::vmctx`].
//!
//! From hot to published the contract is crossed three times: the baseline tells [`ModuleCompiler::hot`]; the compiler, when it chooses what is next, asks
//! [`Baseline::uses_since_hot`]; and hands [`Baseline::publish`] the code.
//!
//! Architecture invariant: this file names no tier, and no tier names another.

use std::any::Any;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::config::Config;
use crate::error::Error;
use crate::index::{DefinedFuncIndex, FuncIndex};
use crate::module::{Module, ModuleParts};
use crate::vmctx::{FuncEntry, TrapSite, VmContext, VmFunc};

/// Executes guest code.
///
/// # Safety
/// Whoever executes guest code relies on the answers: `host_entry` and `libcalls` are what machine code of this tier jumps to, and nothing or null where it makes none.
pub unsafe trait Tier: Send + Sync + 'static {
    /// What the tier remembers of a module from an earlier time, or of a component with all modules in it, to prepare it with; asked before the bytes are decoded.
    fn cache_lookup(&self, config: &Config, bytes: &[u8]) -> Box<dyn Preparation>;

    /// Is told that there will be one more instance; must be cheap.
    fn before_instance(&self) {}

    /// Where machine code jumps to call a function of the host; null where no machine code is made.
    fn host_entry(&self) -> *const u8;

    /// What [`ModuleCompiler::serialize`] gave: the module or component in the binary format, and what the tier knows of it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Precompiled`], where the tier has made something else, or nothing that this engine can use.
    ///
    /// # Safety
    /// The tier has made it: what is in it is executed.
    unsafe fn deserialize(
        &self,
        config: &Config,
        serialized: Serialized<'_>,
    ) -> Result<(Vec<u8>, Box<dyn Preparation>), Error> {
        let _ = (config, serialized);
        Err(Error::precompiled(
            "cannot be used: this engine only interprets; load the bytes that it was made from",
        ))
    }

    /// What machine code finds as [`super::VmStore::libcalls`].
    fn libcalls(&self) -> *const ();

    /// What has been compiled so far, and what was not.
    fn compile_statistics(&self) -> CompileStatistics;

    /// Calls a guest function. `slots` holds the parameters on entry and the results on return, and is `call_slots` long. False where the function was
    /// stopped: the reason is in the store's record, with its backtrace.
    ///
    /// # Safety
    /// `func` is a guest function of the store whose record is `(*func.ctx).store`, the caller has exclusive use of
    /// that store until the call returns, and `slots` holds values of the function's parameter types.
    unsafe fn call(&self, func: &VmFunc, slots: &mut [u64]) -> bool;

    /// Appends the frames of the run that has called a function of the host, innermost first.
    ///
    /// # Safety
    /// That function has not returned, and was called from there.
    unsafe fn describe_caller(&self, caller: HostCaller, error: &mut Error);
}

/// Who has called a function of the host that has not returned.
#[derive(Clone, Copy)]
pub enum HostCaller {
    /// The interpreter, as [`crate::vmctx::VmFiber::call_site`] says.
    Interpreter(TrapSite),
    /// Machine code: where it goes on, and its frame pointer.
    MachineCode {
        /// The address.
        pc: usize,
        /// The frame pointer.
        frame: usize,
    },
}

/// A module or component with what a tier has made for it, as somebody has kept it.
#[derive(Clone, Copy, Debug)]
pub enum Serialized<'a> {
    /// All of it.
    Bytes(&'a [u8]),
    /// The file that it is in.
    File(&'a Path),
}

/// A module as tiers see it.
#[must_use]
pub fn parts(module: &Module) -> &Arc<ModuleParts> {
    &module.0
}

/// A module or a component that is about to be decoded, as a tier knows it.
///
/// # Safety
/// With [`Verdict::Valid`] the tier vouches that an engine of the same version, with the same features, has validated the same
/// bytes: everything that executes them relies on it.
pub unsafe trait Preparation: Send + Sync {
    /// Whether the module is known to be valid; of a component, whether the bodies of its functions are.
    fn verdict(&self) -> Verdict;

    /// What is known of one of a component's modules, where this is the component's: they share what is kept. Code of one number is used again for the same number of
    /// the same component; a module that was generated for the component has no bytes in it, and brings them.
    fn part(&self, number: u32, generated: Option<&[u8]>) -> Box<dyn Preparation>;

    /// Makes what the tier keeps for the module, before its first instance; must be cheap, whatever the module's size.
    fn prepare(self: Box<Self>, module: &Arc<ModuleParts>) -> ModuleTiers;
}

/// Whether a module is known to be valid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// It has to be validated.
    #[default]
    Unknown,
    /// It has been validated.
    Valid,
}

/// What the tiers keep for a module; dropped with it.
pub struct ModuleTiers {
    /// The tier that every function starts in.
    pub baseline: Box<dyn Baseline>,
    /// The tier that compiles what is hot; none where everything is interpreted.
    pub compiler: Option<Box<dyn ModuleCompiler>>,
}

impl ModuleTiers {
    /// Tells the compiler what has been called and is still interpreted.
    pub(crate) fn note_called(&self) {
        if let Some(compiler) = &self.compiler {
            compiler.note_called(&|| self.baseline.called());
        }
    }

    /// Writes to the cache what is new since it was last written, and says what it lacks; nothing where nothing compiles.
    pub(crate) fn write_cache(&self) -> Lacking {
        self.compiler.as_ref().map_or(Lacking::default(), |compiler| compiler.write_cache())
    }
}

impl Drop for ModuleTiers {
    fn drop(&mut self) {
        self.note_called();
        self.write_cache();
    }
}

/// The code of a module, for whoever calls its functions.
///
/// # Safety
/// The engine hands guests the entries, and whoever calls a function executes what they lead to: they are of this module, one for each function, and stay as
/// they are for as long as this lives.
pub unsafe trait Code: Any + Send + Sync {
    /// One entry for each function that the module defines, at an address that stays.
    fn entries(&self) -> *const FuncEntry;

    /// Calls a function within an activation, for machine code. `slots` points to the `call_slots` parameters on entry and results on
    /// return. False where the function was stopped: the reason is in the store's record, with its backtrace.
    ///
    /// # Safety
    /// `entry` is one of the entries of `ctx`'s module, the activation has exclusive use of `ctx`'s store, and the slots are those
    /// of the function's type.
    unsafe fn call_within(&self, entry: *const FuncEntry, ctx: *mut VmContext, slots: *mut u64) -> bool;
}

/// The tier that a module's functions start in, as a compiler sees it: what is worth compiling, and where machine code is published.
pub trait Baseline: Code {
    /// Lets callers of a function have its machine code from now on, or a loop that is being executed go on in it when it next comes round.
    ///
    /// # Safety
    /// The code is that of this function of this module, made for the type whose `call_slots` these are, and lives as long as the module; that of a loop
    /// enters it at the position that [`OsrEntry`] names.
    unsafe fn publish(&self, what: &Hot, call_slots: u32, code: NativeCode);

    /// How often what is hot was called, or has come round, since it was said to be: 0 where nobody waits for it any more.
    fn uses_since_hot(&self, what: &Hot) -> u64;

    /// Lets something that was said to be hot and was not compiled become hot again.
    fn cool(&self, what: &Hot);

    /// Functions that this tier has called and still executes itself, each with a lower bound on its number of calls.
    fn called(&self) -> Vec<Called>;

    /// Whether a function has been called since the module was made.
    fn was_called(&self, func: DefinedFuncIndex) -> bool;

    /// Calls that a function was seen to make, as far as somebody looked, of functions of its own instance.
    fn calls_seen(&self, module: &ModuleParts, func: DefinedFuncIndex) -> Vec<CallSeen>;
}

/// The tier that compiles a module's hot functions and loops.
///
/// # Safety
/// Whoever calls a function executes the code that is [`ModuleCompiler::cached`] for it: it is that function's, and lives as long as this.
pub unsafe trait ModuleCompiler: Any + Send + Sync {
    /// Is told that something would be worth compiling.
    fn hot(&self, what: Hot);

    /// The machine code that a function has from an earlier run; asked when the function is first called.
    fn cached(&self, func: DefinedFuncIndex) -> Option<NativeCode>;

    /// Is told, before the cache is written, what is still executed by the baseline: `called` gives it, where that is worth the while.
    fn note_called(&self, called: &dyn Fn() -> Vec<Called>);

    /// Writes to the cache what is new since it was last written, of all modules of the component where this is one of those. Waits for nothing that is still being
    /// compiled. The answer is what of the functions that were noted as called the cache has no code for, and could have.
    fn write_cache(&self) -> Lacking;

    /// Compiles all functions of modules that are kept together and gives them with `whole`, for [`Tier::deserialize`]: a module by itself, or a component with all modules
    /// in it and those that are generated for it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Precompiled`], where that cannot be.
    fn serialize(&self, modules: &[&ModuleParts], whole: &[u8]) -> Result<Vec<u8>, Error>;

    /// What the compiler makes of a function, or why it makes nothing of it; none where there is no compiler for this processor.
    fn explain(&self, module: &ModuleParts, func: DefinedFuncIndex) -> Option<Result<Disassembly, String>>;
}

/// What a compiler makes of a function, for people to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disassembly {
    /// The function in the compiler's intermediate representation, optimized, with offsets in the module's bytes.
    pub intermediate: String,
    /// Its machine code, as assembly text.
    pub machine: String,
    /// Its machine code.
    pub code: Vec<u8>,
    /// Where instructions of one origin begin in the machine code, ascending, with the offset in the module's bytes that they come from. Of a body in the place
    /// of a call, that is the call.
    pub places: Vec<(u32, u32)>,
}

/// Machine code that has come into being, or has been mapped from a file, and is about to be executed.
#[derive(Clone, Copy, Debug)]
pub struct NewCode<'a> {
    /// Its first address.
    pub start: usize,
    /// Its length.
    pub bytes: usize,
    /// The function that it is; none for a trampoline between calling conventions.
    pub func: Option<FuncIndex>,
    /// What the function is called: in its module's name section, or else as an export.
    pub func_name: Option<&'a str>,
}

/// What a tier has compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompileStatistics {
    /// Functions, and loops to be entered in their middle.
    pub compiled: usize,
    /// Functions, and loops to be entered in their middle, whose machine code is from an earlier time.
    pub cached: usize,
    /// Modules that were known to be valid from an earlier time.
    pub known_valid: usize,
    /// Those that were tried and stay interpreted, counted by the reason.
    pub refused: BTreeMap<String, usize>,
}

/// How much a function was used, or a lower bound of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Called {
    /// Which.
    pub func: DefinedFuncIndex,
    /// How often it was called.
    pub calls: u32,
    /// How many back-edges its loops have taken.
    pub back_edges: u64,
    /// How long its body is, about, in the binary format.
    pub body_bytes: usize,
}

/// What was called, could have machine code at a later time, and has none yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lacking {
    /// So many functions.
    pub functions: usize,
    /// So many of them were hot, or had a loop that was: the next run would compile them itself, and interpret them until then.
    pub hot: usize,
    /// What interpreting them has cost, about, in back-edges to a small loop's header: some nanoseconds each.
    pub branches: u64,
}

impl Lacking {
    /// Whether it would be felt that it is interpreted again, or compiled meanwhile: for its cost or for its number.
    #[must_use]
    pub fn is_much(&self) -> bool {
        self.hot > 0 || self.functions >= MANY_FUNCTIONS || self.branches >= MANY_BRANCHES
    }
}

/// Functions that were called a few times each are felt together.
const MANY_FUNCTIONS: usize = 256;
/// About half a millisecond.
const MANY_BRANCHES: u64 = 64 << 10;

/// What is worth compiling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hot {
    /// A function.
    Function(DefinedFuncIndex),
    /// A loop, to be entered in its middle.
    Loop(OsrEntry),
}

/// A call that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallSeen {
    /// Where the instruction lies in the module's bytes.
    pub offset_bytes: usize,
    /// What was called.
    pub callee: DefinedFuncIndex,
    /// How often that was seen.
    pub times: u32,
}

/// How a loop that is being interpreted can be entered in machine code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OsrEntry {
    /// The function.
    pub func: DefinedFuncIndex,
    /// The interpreter's own name of the loop.
    pub position: usize,
    /// Where the `loop` instruction lies in the module's bytes.
    pub offset_bytes: usize,
    /// Where the function's locals are.
    pub locals: Box<[OsrValue]>,
    /// Where the values on the operand stack are, the loop's parameters included, lowest first.
    pub operands: Box<[OsrValue]>,
}

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OsrValue {
    /// In the frame, from this slot on.
    Slot(u32),
    /// Nowhere: it is this constant, as a slot would hold it.
    Constant(u64),
}

/// A compiled function, or a compiled loop with the rest of its function.
#[derive(Clone, Copy)]
pub struct NativeCode {
    /// Enters it.
    pub enter: EnterNative,
    /// For `enter`: how slots become registers.
    pub trampoline: *const u8,
    /// For `enter`: the code.
    pub code: *const u8,
}

// SAFETY: the addresses are of code, which never changes.
unsafe impl Send for NativeCode {}
// SAFETY: as above.
unsafe impl Sync for NativeCode {}

/// Runs machine code on the frame at `frame`, whose slots hold the parameters and get the results.
///
/// The store's `stack_top` must lie beyond the frame's slots in use, where these are of the store's stack; they may be the host's.
#[cfg(target_arch = "x86_64")]
pub type EnterNative =
    unsafe extern "sysv64" fn(code: &NativeCode, ctx: *mut VmContext, frame: *mut u64) -> NativeExit;
/// As above, where no machine code is made.
#[cfg(not(target_arch = "x86_64"))]
pub type EnterNative =
    unsafe extern "C" fn(code: &NativeCode, ctx: *mut VmContext, frame: *mut u64) -> NativeExit;

/// How machine code was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum NativeExit {
    /// The function has returned.
    Done = 0,
    /// The reason is in the store's record; if it is not an exception that somebody catches, its backtrace is complete.
    Stopped = 1,
    /// The function goes on as the tail call that the store's record describes.
    TailCall = 2,
}

/// What the position in code is at which a frame stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FramePosition {
    /// That of the instruction that stopped.
    Instruction,
    /// The one after a call.
    Return,
}
