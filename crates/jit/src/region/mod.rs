//! Which machine code is where: for the signal handler, which must not lock ([`handler`]), and for everybody else, who may.

#[allow(unsafe_code, reason = "seen by the signal handler")]
pub(crate) mod handler;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock, Weak};

use innkeeper_engine::index::DefinedFuncIndex;
use innkeeper_engine::tier::{ModuleParts, NewCode};
use innkeeper_engine::{Error, FrameInfo, FrameTier};

use crate::tables::{FoundSite, Origin, Tables};
use crate::watch;

/// Functions of one piece of code memory.
pub(crate) struct Region {
    range: Range<usize>,
    /// By the address at which they start.
    functions: RwLock<BTreeMap<usize, Function>>,
}

/// A function in code memory.
pub(crate) struct Function {
    /// Its addresses.
    pub(crate) range: Range<usize>,
    /// Which one it is; none for trampolines.
    pub(crate) of: Option<FunctionOf>,
    /// Its traps, what it catches, and where its instructions come from.
    pub(crate) tables: Tables,
}

/// Which function it is that has code, and of which module.
#[derive(Clone)]
pub(crate) struct FunctionOf {
    pub(crate) module: Weak<ModuleParts>,
    pub(crate) func: DefinedFuncIndex,
}

/// A call inside a `try` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CatchSite {
    /// Where it returns to, in bytes from the function's start.
    pub(crate) return_offset: u32,
    /// From the stack pointer there to the frame pointer.
    pub(crate) frame_bytes: u32,
    /// Where above the stack pointer the function's context is.
    pub(crate) context: u32,
    /// What is caught, innermost first.
    pub(crate) catches: Box<[Catch]>,
}

/// What is caught, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Catch {
    /// The tag; any exception without one.
    pub(crate) tag: Option<u32>,
    /// The handler, in bytes from the function's start.
    pub(crate) handler: u32,
}

/// What is to be known of a place that a call returns to, for an exception that comes from it.
pub(crate) enum Returning<R> {
    /// In a compiled function, with what was found out about the call's exceptions, if any are caught there.
    Function(Option<R>),
    /// In a trampoline.
    Trampoline,
}

static REGIONS: RwLock<BTreeMap<usize, Arc<Region>>> = RwLock::new(BTreeMap::new());

impl Region {
    /// Makes a range of addresses known; none where there is nothing in it, or something of it is known already: each piece of code memory is one owner's,
    /// and is forgotten with it.
    pub(crate) fn new(range: Range<usize>) -> Option<Arc<Region>> {
        if range.is_empty() {
            return None;
        }
        let region = Arc::new(Region { range: range.clone(), functions: RwLock::default() });
        let mut regions = REGIONS.write().unwrap_or_else(PoisonError::into_inner);
        let below = regions.range(..range.end).next_back();
        if below.is_some_and(|(_, below)| below.range.end > range.start) {
            return None;
        }
        regions.insert(range.start, Arc::clone(&region));
        drop(regions);
        handler::announce(&region.range);
        Some(region)
    }

    /// Makes a function known.
    pub(crate) fn add(&self, function: Function) {
        watch::tell(|watcher| {
            let (start, bytes) = (function.range.start, function.range.len());
            let of = function.of.as_ref().and_then(|of| of.module.upgrade().map(|module| (module, of.func)));
            let index = of.as_ref().map(|(module, func)| module.func_index(*func));
            let name = of.as_ref().zip(index).and_then(|((module, _), index)| module.func_name(index));
            watcher(NewCode { start, bytes, func: index, func_name: name });
        });
        let mut functions = self.functions.write().unwrap_or_else(PoisonError::into_inner);
        functions.insert(function.range.start, function);
    }

    /// Forgets the region, whose memory goes.
    pub(crate) fn remove(&self) {
        handler::withdraw(&self.range);
        REGIONS.write().unwrap_or_else(PoisonError::into_inner).remove(&self.range.start);
    }

    fn with<R>(pc: usize, look: impl FnOnce(&Function) -> R) -> Option<R> {
        let region = {
            let regions = REGIONS.read().unwrap_or_else(PoisonError::into_inner);
            let (_, region) = regions.range(..=pc).next_back()?;
            Arc::clone(region)
        };
        let functions = region.functions.read().unwrap_or_else(PoisonError::into_inner);
        let (_, function) = functions.range(..=pc).next_back()?;
        function.range.contains(&pc).then(|| look(function))
    }
}

/// The code of the trap that the instruction at `pc` raises.
pub(crate) fn trap_at(pc: usize) -> Option<u8> {
    Region::with(pc, |function| function.tables.trap_at((pc - function.range.start) as u32))?
}

/// Whether a return address leads back to a trampoline.
pub(crate) fn is_trampoline(return_address: usize) -> bool {
    Region::with(return_address - 1, |function| function.of.is_none()).unwrap_or(false)
}

/// What an exception meets that a call throws which returns to `return_address`; none where that is not in machine code of ours. `look` gets the address
/// of the function, and what is caught of the call.
pub(crate) fn catch_site<R>(
    return_address: usize,
    look: impl FnOnce(usize, FoundSite<'_>) -> Option<R>,
) -> Option<Returning<R>> {
    Region::with(return_address - 1, |function| {
        if function.of.is_none() {
            return Returning::Trampoline;
        }
        let start = function.range.start;
        let site = function.tables.catch_site((return_address - start) as u32);
        Returning::Function(site.and_then(|site| look(start, site)))
    })
}

/// Frames that the machine code at an address stands for.
#[derive(Clone, Copy)]
pub(crate) struct Described {
    pub(crate) frames: usize,
    /// Whether all of them are the same.
    pub(crate) are_same: bool,
    /// How much work it was to find them.
    pub(crate) work: usize,
}

/// Appends the frames that the machine code at `pc` stands for to an error's backtrace, innermost first: the function's, and before it those of bodies
/// that are inlined there. None where it is no compiled function's.
pub(crate) fn describe(pc: usize, error: &mut Error) -> Option<Described> {
    Region::with(pc, |function| {
        let FunctionOf { module, func } = function.of.as_ref()?;
        let (module, func) = (module.upgrade(), *func);
        let mut origins = function.tables.origins_at((pc - function.range.start) as u32).into_iter();
        let first = origins.next();
        let mut next = first;
        // Tables are read from their start.
        let work = 1 + function.tables.bytes().len() / 64;
        let mut described = Described { frames: 0, are_same: true, work };
        loop {
            let place = |origin: Option<Origin>| {
                (
                    origin.and_then(|origin| origin.func).unwrap_or(func),
                    origin.map(|origin| origin.offset_bytes),
                )
            };
            described.frames += 1;
            described.are_same &= place(next) == place(first);
            match &module {
                Some(module) if error.backtrace().wants_frames() => {
                    let (func, offset_bytes) = place(next);
                    let offset_bytes = offset_bytes.map(|offset| offset as usize);
                    error.note_instruction(module, offset_bytes);
                    let offset_bytes = offset_bytes.filter(|_| error.backtrace().wants_offsets());
                    error.backtrace_mut().push(frame(module, func, offset_bytes));
                }
                _ => error.backtrace_mut().push_omitted(1),
            }
            next = origins.next();
            if next.is_none() {
                return Some(described);
            }
        }
    })?
}

fn frame(module: &ModuleParts, func: DefinedFuncIndex, offset_bytes: Option<usize>) -> FrameInfo {
    FrameInfo::of(module, module.func_index(func), offset_bytes, FrameTier::Compiled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_not_empty_and_do_not_overlap() {
        // Nothing is mapped there.
        const PAGE: usize = 4096;
        let new = |pages: Range<usize>| Region::new(pages.start * PAGE..pages.end * PAGE);
        let first = new(4..8).unwrap();
        for overlapping in [4..8, 4..5, 5..6, 7..9, 3..5, 3..9] {
            assert!(new(overlapping.clone()).is_none(), "{overlapping:?}");
        }
        assert!(Region::new(1..1).is_none());
        let (below, above) = (new(3..4).unwrap(), new(8..9).unwrap());
        first.remove();
        let again = new(5..8).unwrap();
        [below, above, again].iter().for_each(|region| region.remove());
    }
}
