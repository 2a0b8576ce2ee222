//! Traps and the wasm backtrace that goes with them.
//!
//! A trap is data: tiers raise a [`Trap`], never a string. The texts here are the ones that the specification's test
//! suite expects, so that every front end says the same thing.

use std::fmt;
use std::sync::Arc;

use crate::index::FuncIndex;
use crate::module::{Module, ModuleParts};
use crate::runtime;
use crate::store::AsContext;

/// Why a guest's computation was aborted (core specification 4.4 and appendix A.6, "Implementation Limitations").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Trap {
    /// The `unreachable` instruction was executed.
    Unreachable,
    /// A load, store or bulk operation reached beyond the end of a memory or data segment.
    MemoryOutOfBounds,
    /// A table access or bulk operation reached beyond the end of a table or element segment.
    TableOutOfBounds,
    /// `call_indirect` named an element beyond the end of the table.
    UndefinedElement,
    /// `call_indirect` met a null element.
    UninitializedElement,
    /// `call_indirect` met a function of another type.
    IndirectCallTypeMismatch,
    /// A signed division overflowed, or a float was out of the integer's range.
    IntegerOverflow,
    /// An integer was divided by zero.
    IntegerDivideByZero,
    /// NaN was converted to an integer.
    InvalidConversionToInteger,
    /// A null reference was used where an object is needed.
    NullReference,
    /// A null structure was accessed.
    NullStructure,
    /// A null array was accessed.
    NullArray,
    /// A null `i31` was read.
    NullI31,
    /// A null function was called.
    NullFunction,
    /// A null exception was thrown.
    NullException,
    /// An array access or bulk operation reached beyond the array's end.
    ArrayOutOfBounds,
    /// A reference was cast to a type it does not have.
    CastFailure,
    /// The heap's limit refused an object.
    AllocationTooLarge,
    /// The embedder interrupted the guest.
    Interrupted,
    /// The guest ran beyond its deadline.
    DeadlineExceeded,
    /// The guest used up its fuel.
    OutOfFuel,
    /// The guest's stack, or the depth of calls between guest and host, is used up.
    CallStackExhausted,
    /// An atomic access at an address that is not a multiple of its size.
    UnalignedAtomic,
    /// `memory.atomic.wait` on a memory that no other thread can have.
    ExpectedSharedMemory,
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Trap::Unreachable => "unreachable",
            Trap::MemoryOutOfBounds => "out of bounds memory access",
            Trap::TableOutOfBounds => "out of bounds table access",
            Trap::UndefinedElement => "undefined element",
            Trap::UninitializedElement => "uninitialized element",
            Trap::IndirectCallTypeMismatch => "indirect call type mismatch",
            Trap::IntegerOverflow => "integer overflow",
            Trap::IntegerDivideByZero => "integer divide by zero",
            Trap::InvalidConversionToInteger => "invalid conversion to integer",
            Trap::NullReference => "null reference",
            Trap::NullStructure => "null structure reference",
            Trap::NullArray => "null array reference",
            Trap::NullI31 => "null i31 reference",
            Trap::NullFunction => "null function reference",
            Trap::NullException => "null exception reference",
            Trap::ArrayOutOfBounds => "out of bounds array access",
            Trap::CastFailure => "cast failure",
            Trap::AllocationTooLarge => "allocation size too large",
            Trap::Interrupted => "interrupted",
            Trap::DeadlineExceeded => "deadline exceeded",
            Trap::OutOfFuel => "out of fuel",
            Trap::CallStackExhausted => "call stack exhausted",
            Trap::UnalignedAtomic => "unaligned atomic",
            Trap::ExpectedSharedMemory => "expected shared memory",
        })
    }
}

impl std::error::Error for Trap {}

/// One function that was active when a trap or host error happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FrameInfo {
    /// The module's name from its name section, if it has one; of a module of a component, with the names of the components that it is nested in before it, as in
    /// `outer/inner/module`.
    pub module_name: Option<String>,
    /// The function within its module.
    pub func: FuncIndex,
    /// What the function is called, as it stands in the name section, or else as an export. Where the frame is shown, names of Rust's are demangled.
    pub func_name: Option<String>,
    /// Offset in bytes from the start of the module's file of the instruction that was executing, where known.
    pub offset_bytes: Option<usize>,
    /// How many frames in a row are this one: more than one where the function has called itself at the same place.
    pub times: usize,
    /// What executed it.
    pub tier: FrameTier,
    /// What can say where it comes from.
    pub(crate) module: FrameModule,
}

/// The module of a frame, which is no part of what makes two frames alike.
#[derive(Clone, Default)]
pub(crate) struct FrameModule(Option<Arc<ModuleParts>>);

impl FrameModule {
    fn is_adapter(&self) -> bool {
        self.0.as_ref().is_some_and(|module| module.is_adapter())
    }
}

impl PartialEq for FrameModule {
    fn eq(&self, _: &FrameModule) -> bool {
        true
    }
}

impl Eq for FrameModule {}

impl std::hash::Hash for FrameModule {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

impl fmt::Debug for FrameModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FrameModule")
    }
}

/// Where an instruction comes from: a function of the source, which a compiler may have inlined into another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SourceFrame {
    /// The function's name, demangled by nobody yet.
    pub func_name: Option<String>,
    /// The file, as the compiler called it.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: Option<u32>,
    /// The column, from 1.
    pub column: Option<u32>,
}

/// What executes a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FrameTier {
    /// The interpreter.
    Interpreted,
    /// Machine code.
    Compiled,
    /// The host, whose function it is; in profiles only.
    Host,
}

/// The active functions, innermost first: at most [`Backtrace::MAX_FRAMES`] different ones in a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backtrace {
    frames: Vec<FrameInfo>,
    omitted: usize,
    /// Omitted frames whose function had to be looked up to go on to the next, or as much work as so many are.
    looked_up: usize,
    purpose: Purpose,
}

/// What a backtrace is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Purpose {
    /// To be read by somebody.
    #[default]
    Report,
    /// To be counted: functions alone matter, and the outermost most of all.
    Profile,
}

impl Backtrace {
    /// Frames kept, where equal ones in a row count as one: the innermost. A runaway recursion has hundreds of thousands.
    pub const MAX_FRAMES: usize = 32;

    /// Frames that are only counted, and whose functions have to be looked up for that, before nobody counts any more: some milliseconds.
    const MAX_LOOKED_UP: usize = 50_000;

    /// Frames kept in a profile.
    const MAX_PROFILED_FRAMES: usize = 512;

    /// The guest's functions that are active in a store while a function of the host runs that they have called, innermost first, with those of the calls from the host further
    /// out; see [`crate::Caller::backtrace`]. Empty where no guest has called the host, and where a call that waits was leaked.
    #[must_use]
    pub fn capture(store: impl AsContext) -> Backtrace {
        runtime::backtrace::capture(&store.as_context().0.core)
    }

    /// An empty one that is to be counted in a profile.
    pub(crate) fn for_profile() -> Backtrace {
        Backtrace { purpose: Purpose::Profile, ..Backtrace::default() }
    }

    pub(crate) fn into_frames(self) -> Vec<FrameInfo> {
        self.frames
    }

    /// Whether it matters where in its function a frame is, which may be costly to find out.
    #[must_use]
    pub fn wants_offsets(&self) -> bool {
        self.purpose == Purpose::Report
    }

    /// The frames, innermost first.
    #[must_use]
    pub fn frames(&self) -> &[FrameInfo] {
        &self.frames
    }

    /// Where the frames' instructions come from, frame by frame: see [`FrameInfo::sources`].
    #[must_use]
    pub fn sources(&self) -> Vec<Vec<SourceFrame>> {
        sources(&self.frames)
    }

    /// How many outer frames were left out: at least so many, see [`Backtrace::is_complete`].
    #[must_use]
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// Whether there are no more frames than are kept and omitted.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.looked_up <= Backtrace::MAX_LOOKED_UP
    }

    /// Whether [`Backtrace::push`] may still keep a frame. Afterwards frames are only counted.
    #[must_use]
    pub fn wants_frames(&self) -> bool {
        self.omitted == 0
    }

    /// Appends the next outer frame, unless it is one of code that only stands between guests.
    pub fn push(&mut self, frame: FrameInfo) {
        if self.purpose == Purpose::Report && frame.module.is_adapter() {
            return;
        }
        let most = match self.purpose {
            Purpose::Report => Backtrace::MAX_FRAMES,
            Purpose::Profile => Backtrace::MAX_PROFILED_FRAMES,
        };
        if self.omitted > 0 {
            self.omitted += frame.times;
            return;
        }
        let has_room = self.frames.len() < most;
        match self.frames.last_mut() {
            Some(last) if self.purpose == Purpose::Report && last.is_like(&frame) => {
                last.times += frame.times;
            }
            _ if has_room => self.frames.push(frame),
            _ => self.omitted += frame.times,
        }
    }

    /// Appends frames that are like the one before them, whether that was kept or not.
    pub fn push_same(&mut self, times: usize) {
        match self.frames.last_mut() {
            Some(last) if self.omitted == 0 && self.purpose == Purpose::Report => last.times += times,
            Some(last) if self.omitted == 0 => {
                let frame = last.clone();
                (0..times).for_each(|_| self.push(frame.clone()));
            }
            _ => self.omitted += times,
        }
    }

    /// Counts outer frames without describing them.
    pub fn push_omitted(&mut self, times: usize) {
        self.omitted += times;
    }

    /// Notes that the function of a frame that is only counted had to be looked up, with how much work that was, compared to the usual. False where it was
    /// one too many to go on.
    pub fn note_look_up(&mut self, work: usize) -> bool {
        self.looked_up = self.looked_up.saturating_add(work);
        self.is_complete()
    }
}

impl FrameInfo {
    /// A frame of a function of a module, once.
    #[must_use]
    pub fn of(
        module: &ModuleParts,
        func: FuncIndex,
        offset_bytes: Option<usize>,
        tier: FrameTier,
    ) -> FrameInfo {
        FrameInfo {
            module_name: module.path_name().map(str::to_owned),
            func,
            func_name: module.func_name(func).map(str::to_owned),
            offset_bytes,
            times: 1,
            tier,
            module: FrameModule(module.this()),
        }
    }

    /// Where the instruction comes from, if the module has DWARF that says so, which is read now: the function of the source, before it those that a compiler has inlined
    /// there, innermost first. Of many frames, [`Backtrace::sources`] reads it once.
    #[must_use]
    pub fn sources(&self) -> Vec<SourceFrame> {
        sources(std::slice::from_ref(self)).pop().unwrap_or_default()
    }

    /// Whether the frame is of a function of this module.
    #[must_use]
    pub fn is_of(&self, module: &Module) -> bool {
        self.module.0.as_ref().is_some_and(|own| Arc::ptr_eq(own, &module.0))
    }

    /// Whether it is of code that was generated to stand between guests, which profiles tell of and backtraces do not.
    #[must_use]
    pub fn is_adapter(&self) -> bool {
        self.module.is_adapter()
    }

    /// Where the body of the frame's function begins in the module's bytes.
    #[must_use]
    pub fn body_start_bytes(&self) -> Option<usize> {
        let module = self.module.0.as_ref()?;
        Some(module.body_range(module.defined(self.func)?).start)
    }

    /// Whether the other stands for the same place.
    fn is_like(&self, other: &FrameInfo) -> bool {
        (self.func, self.offset_bytes) == (other.func, other.offset_bytes)
            && self.module_name == other.module_name
            && self.func_name == other.func_name
    }
}

/// The number of times, where there are several.
struct Times(usize);

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 | 1 => Ok(()),
            times => write!(f, " ... {times} times"),
        }
    }
}

impl fmt::Display for FrameInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(module) = &self.module_name {
            write!(f, "{module}!")?;
        }
        match &self.func_name {
            Some(name) => write!(f, "{:#}", rustc_demangle::demangle(name))?,
            None => write!(f, "func[{}]", self.func.0)?,
        }
        if let Some(offset) = self.offset_bytes {
            write!(f, " (at 0x{offset:x})")?;
        }
        Times(self.times).fmt(f)
    }
}

/// Where frames' instructions come from.
#[cfg(feature = "dwarf")]
fn sources(frames: &[FrameInfo]) -> Vec<Vec<SourceFrame>> {
    use crate::dwarf::Sources;

    // Each module's are read once.
    let mut known: Vec<(*const ModuleParts, Option<Sources<'_>>)> = Vec::new();
    let mut all = Vec::with_capacity(frames.len());
    for frame in frames {
        let mut found = Vec::new();
        if let (FrameModule(Some(module)), Some(offset)) = (&frame.module, frame.offset_bytes) {
            let address: *const ModuleParts = Arc::as_ptr(module);
            if known.iter().all(|(known, _)| *known != address) {
                known.push((address, Sources::of(module)));
            }
            let of_module = known.iter().find(|(known, _)| *known == address);
            if let Some((_, Some(sources))) = of_module {
                found = sources.frames(offset);
            }
        }
        all.push(found);
    }
    all
}

/// As above, where nobody can read them.
#[cfg(not(feature = "dwarf"))]
fn sources(frames: &[FrameInfo]) -> Vec<Vec<SourceFrame>> {
    vec![Vec::new(); frames.len()]
}

impl fmt::Display for SourceFrame {
    /// The file with line and column.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.file.as_deref().unwrap_or("<unknown file>"))?;
        match (self.line, self.column) {
            (Some(line), Some(column)) if column > 0 => write!(f, ":{line}:{column}"),
            (Some(line), _) => write!(f, ":{line}"),
            (None, _) => Ok(()),
        }
    }
}

impl fmt::Display for Backtrace {
    /// One line a frame, and beneath it, where the module says so, the places in the source that it stands for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, (frame, sources)) in self.frames.iter().zip(self.sources()).enumerate() {
            if depth > 0 {
                f.write_str("\n")?;
            }
            write!(f, "  {depth}: {frame}")?;
            for (inlined, source) in sources.iter().enumerate() {
                write!(f, "\n       at {source}")?;
                if let Some(name) = source.func_name.as_ref().filter(|_| sources.len() > 1) {
                    let name = rustc_demangle::demangle(name);
                    write!(f, " ({}{name})", if inlined + 1 < sources.len() { "inlined " } else { "" })?;
                }
            }
        }
        if self.omitted > 0 {
            let least = if self.is_complete() { "" } else { "at least " };
            write!(f, "\n  ... and {least}{} more", self.omitted)?;
        }
        Ok(())
    }
}
