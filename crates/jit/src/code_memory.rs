//! Memory that machine code lives in: mapped twice, once to be written and once to be executed, never both.
//!
//! Must stay true: what has been given out as executable is never written again, and lives as long as its [`CodeMemory`], or of trampolines as long as somebody
//! holds it.

use std::ffi::c_void;
use std::ops::Range;
use std::sync::{Arc, Weak};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io;
use rustix::mm::{
    MapFlags, MprotectFlags, MremapFlags, ProtFlags, mmap, mmap_anonymous, mprotect, mremap, munmap,
};

use crate::cache::SavedCode;
use crate::cache::entry_point::EntryPoint;
use crate::region::{Function, FunctionOf, Region};
use crate::tables::Tables;
use crate::watch;

/// Pieces of memory that are filled from the start.
pub(crate) struct CodeMemory {
    /// With how much of each is used.
    pieces: Vec<(Arc<Piece>, usize)>,
    of: CodeOf,
}

/// What code is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CodeOf {
    /// Functions of a module, which stay as long as it does.
    Module,
    /// Trampolines, which are many modules'.
    Trampolines,
}

struct Piece {
    writable: *mut u8,
    executable: *mut u8,
    len: usize,
    region: Arc<Region>,
}

// SAFETY: the mappings are owned and have no thread affinity.
unsafe impl Send for Piece {}
// SAFETY: a shared reference gives out addresses only.
unsafe impl Sync for Piece {}

const FIRST_BYTES: usize = 256 << 10;
const MOST_BYTES: usize = 64 << 20;
const ALIGNMENT: usize = 64;

/// Code that stays where it is as long as this is held.
#[derive(Clone)]
pub(crate) struct HeldCode {
    piece: Arc<Piece>,
    range: Range<usize>,
}

/// Code that goes when nobody holds anything of its piece any more.
pub(crate) struct UnheldCode {
    piece: Weak<Piece>,
    range: Range<usize>,
}

impl UnheldCode {
    /// Whether it is still there.
    pub(crate) fn is_there(&self) -> bool {
        self.piece.strong_count() > 0
    }

    /// Holds it, where it is still there.
    pub(crate) fn hold(&self) -> Option<HeldCode> {
        Some(HeldCode { piece: self.piece.upgrade()?, range: self.range.clone() })
    }
}

impl HeldCode {
    /// The same code, not held.
    pub(crate) fn unheld(&self) -> UnheldCode {
        UnheldCode { piece: Arc::downgrade(&self.piece), range: self.range.clone() }
    }

    /// Where it is executed.
    pub(crate) fn address(&self) -> *const u8 {
        self.bytes().as_ptr()
    }

    /// The code.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: inside the piece, which is readable, and written before this was made.
        unsafe { std::slice::from_raw_parts(self.piece.executable.add(self.range.start), self.range.len()) }
    }
}

impl CodeMemory {
    /// Of trampolines here is only the piece that is being filled, and the others stay as long as somebody holds code in them.
    pub(crate) fn new(of: CodeOf) -> CodeMemory {
        CodeMemory { pieces: Vec::new(), of }
    }

    /// Copies code in and makes it known; none where the system refuses memory. `describe` gets the addresses.
    pub(crate) fn add(
        &mut self,
        code: &[u8],
        describe: impl FnOnce(Range<usize>) -> Function,
    ) -> Option<*const u8> {
        if self.pieces.last().is_none_or(|(piece, used)| piece.len - used < code.len() + ALIGNMENT) {
            let next = match (self.of, self.pieces.last()) {
                (CodeOf::Module, Some((last, _))) => (last.len * 2).min(MOST_BYTES),
                _ => FIRST_BYTES,
            };
            let len = next.max((code.len() + ALIGNMENT).next_multiple_of(FIRST_BYTES));
            let piece = Arc::new(Piece::new(len)?);
            if self.of == CodeOf::Trampolines {
                self.pieces.clear();
            }
            self.pieces.push((piece, 0));
        }
        let (piece, used) = self.pieces.last_mut()?;
        let start = used.next_multiple_of(ALIGNMENT);
        // SAFETY: the range is inside the piece, and nobody was given it yet.
        let address = unsafe {
            piece.writable.add(start).copy_from_nonoverlapping(code.as_ptr(), code.len());
            piece.executable.add(start)
        };
        *used = start + code.len();
        piece.region.add(describe(address as usize..address as usize + code.len()));
        Some(address)
    }

    /// The last code that was added, held.
    pub(crate) fn last_added(&self, len: usize) -> Option<HeldCode> {
        let (piece, used) = self.pieces.last()?;
        Some(HeldCode { piece: Arc::clone(piece), range: used.checked_sub(len)?..*used })
    }

    /// Bytes in use.
    pub(crate) fn used_bytes(&self) -> usize {
        self.pieces.iter().map(|(_, used)| used).sum()
    }
}

impl Piece {
    fn new(len: usize) -> Option<Piece> {
        let mapped = if watch::is_watched() { map_nameless(len) } else { map_file(len) };
        let (writable, executable) = mapped.ok()?;
        let start = executable as usize;
        let Some(region) = Region::new(start..start + len) else {
            unmap(writable, len);
            unmap(executable, len);
            return None;
        };
        Some(Piece { writable: writable.cast(), executable: executable.cast(), len, region })
    }
}

const WRITABLE: ProtFlags = ProtFlags::READ.union(ProtFlags::WRITE);
const EXECUTABLE: ProtFlags = ProtFlags::READ.union(ProtFlags::EXEC);

/// Maps the same memory twice, to be written and to be executed: a file in memory.
fn map_file(len: usize) -> io::Result<(*mut c_void, *mut c_void)> {
    let file = memfd_create("innkeeper code", MemfdFlags::CLOEXEC)?;
    ftruncate(&file, len as u64)?;
    // SAFETY: a mapping at an address of the kernel's choice touches no existing memory.
    let map = |protection| unsafe { mmap(std::ptr::null_mut(), len, protection, MapFlags::SHARED, &file, 0) };
    let writable = map(WRITABLE)?;
    let executable = map(EXECUTABLE).inspect_err(|_| unmap(writable, len))?;
    Ok((writable, executable))
}

/// The same without a file: tools look for a file's symbols in the file.
fn map_nameless(len: usize) -> io::Result<(*mut c_void, *mut c_void)> {
    // SAFETY: as above.
    let writable = unsafe { mmap_anonymous(std::ptr::null_mut(), len, WRITABLE, MapFlags::SHARED)? };
    // SAFETY: of nothing, a shared mapping is "moved" by being mapped once more, at an address of the kernel's choice.
    let executable = unsafe { mremap(writable, 0, len, MremapFlags::MAYMOVE) };
    let executable = executable.inspect_err(|_| unmap(writable, len))?;
    // SAFETY: just mapped, and given to nobody.
    let protected = unsafe { mprotect(executable, len, MprotectFlags::READ | MprotectFlags::EXEC) };
    protected.inspect_err(|_| {
        unmap(writable, len);
        unmap(executable, len);
    })?;
    Ok((writable, executable))
}

fn unmap(mapping: *mut c_void, len: usize) {
    // SAFETY: a whole mapping of this file's that has been given to nobody.
    let _ = unsafe { munmap(mapping, len) };
}

/// Machine code that lies in a file, of a module or of all modules of a component.
pub(crate) struct MappedCode {
    saved: Arc<SavedCode>,
    /// None where the file has no code.
    region: Option<Arc<Region>>,
}

impl MappedCode {
    /// Makes the addresses known; none of the functions is yet. Each module, and each component, has a mapping of its own.
    pub(crate) fn new(saved: Arc<SavedCode>) -> MappedCode {
        let region = Region::new(saved.addresses());
        MappedCode { saved, region }
    }

    /// The code that is entered there from such a frame, made known as that of a function; none where there is none, or it is damaged, or made for another frame.
    pub(crate) fn function(&self, entry: EntryPoint, frame: &[u8], of: FunctionOf) -> Option<*const u8> {
        let region = self.region.as_ref()?;
        let intact = self.saved.function(entry, frame)?;
        let tables = Tables::saved(Arc::clone(&self.saved), intact.tables);
        let address = intact.code.start as *const u8;
        region.add(Function { range: intact.code, of: Some(of), tables });
        Some(address)
    }

    /// The file.
    pub(crate) fn saved(&self) -> &Arc<SavedCode> {
        &self.saved
    }
}

impl Drop for MappedCode {
    fn drop(&mut self) {
        if let Some(region) = &self.region {
            region.remove();
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.region.remove();
        // SAFETY: the mappings are ours, and whoever owns the code says that it is not used any more.
        unsafe {
            let _ = munmap(self.writable.cast(), self.len);
            let _ = munmap(self.executable.cast(), self.len);
        }
    }
}

/// Whether the system would give the process so many bytes more, by taking them and giving them back.
pub(crate) fn has_room(bytes: u64) -> bool {
    let Ok(bytes) = usize::try_from(bytes) else { return false };
    // SAFETY: a mapping at an address of the kernel's choice touches no existing memory, and goes at once.
    unsafe {
        match mmap_anonymous(std::ptr::null_mut(), bytes, WRITABLE, MapFlags::PRIVATE) {
            Ok(base) => munmap(base, bytes).is_ok(),
            Err(_) => false,
        }
    }
}
