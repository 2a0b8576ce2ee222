//! Linear memories, as the embedder reaches them (core specification 4.2.9, "Memory Instances").
//!
//! What this is not: a shared memory that belongs to no store, which is [`SharedMemory`].

use super::Memory;
use crate::error::Error;
use crate::store::{AsContext, AsContextMut};
use crate::types::MemoryType;
use crate::vmctx::LinearMemory;
use crate::vmctx::shared_memory::SharedMemory;

impl Memory {
    /// A memory of its own, of zeros.
    ///
    /// # Errors
    /// Where a limit or the operating system refuses it.
    pub fn new(mut store: impl AsContextMut, ty: MemoryType) -> Result<Memory, Error> {
        let core = &mut store.as_context_mut().0.core;
        let id = core.new_memory(ty, None)?;
        Ok(Memory::from_id(id, core))
    }

    /// The type, with the current size as the minimum.
    ///
    /// # Errors
    /// Where the memory is of another store.
    pub fn ty(self, store: impl AsContext) -> Result<MemoryType, Error> {
        let core = &store.as_context().0.core;
        Ok(core.memories[self.id(core)?].ty())
    }

    /// The size in pages of the size that the type says, of 64 KiB where it says none.
    ///
    /// # Errors
    /// Where the memory is of another store.
    pub fn size(self, store: impl AsContext) -> Result<u64, Error> {
        Ok(self.ty(store)?.pages.min)
    }

    /// The size in bytes.
    ///
    /// # Errors
    /// Where the memory is of another store.
    pub fn data_size(self, store: impl AsContext) -> Result<usize, Error> {
        let core = &store.as_context().0.core;
        Ok(core.memories[self.id(core)?].len_bytes())
    }

    /// A memory that other stores may share.
    ///
    /// # Errors
    /// Where `memory` was made for another engine.
    pub fn from_shared(mut store: impl AsContextMut, memory: &SharedMemory) -> Result<Memory, Error> {
        let core = &mut store.as_context_mut().0.core;
        let id = core.adopt_memory(memory)?;
        Ok(Memory::from_id(id, core))
    }

    /// A handle for other stores to share the memory with; none where the memory is not shared.
    ///
    /// # Errors
    /// Where the memory is of another store.
    pub fn shared(self, store: impl AsContext) -> Result<Option<SharedMemory>, Error> {
        let core = &store.as_context().0.core;
        Ok(match &core.memories[self.id(core)?] {
            LinearMemory::Shared(memory) => Some(memory.clone()),
            LinearMemory::Own(_) => None,
        })
    }

    /// The bytes.
    ///
    /// # Errors
    /// Where the memory is of another store, or shared: nobody can borrow what other threads write to. [`Memory::read`] can.
    pub fn data(self, store: &impl AsContext) -> Result<&[u8], Error> {
        let core = &store.as_context().0.core;
        core.memories[self.id(core)?].bytes().ok_or_else(cannot_borrow)
    }

    /// The bytes, to write to.
    ///
    /// # Errors
    /// Where the memory is of another store, or shared: nobody can borrow what other threads write to. [`Memory::write`] can.
    pub fn data_mut(self, store: &mut impl AsContextMut) -> Result<&mut [u8], Error> {
        let core = &mut store.as_context_mut().0.core;
        let id = self.id(core)?;
        core.memories[id].bytes_mut().ok_or_else(cannot_borrow)
    }

    /// The bytes, to write to, together with the embedder's data.
    ///
    /// # Errors
    /// As [`Memory::data_mut`].
    pub fn data_and_store_mut<C: AsContextMut>(
        self,
        store: &mut C,
    ) -> Result<(&mut [u8], &mut C::Data), Error> {
        let inner = store.as_context_mut().0;
        let id = self.id(&inner.core)?;
        let bytes = inner.core.memories[id].bytes_mut().ok_or_else(cannot_borrow)?;
        Ok((bytes, &mut inner.data))
    }

    /// Copies bytes out, of a shared memory too.
    ///
    /// # Errors
    /// Where the memory is of another store, or the range is not inside it.
    pub fn read(self, store: impl AsContext, address: u64, to: &mut [u8]) -> Result<(), Error> {
        let core = &store.as_context().0.core;
        let len = to.len();
        core.memories[self.id(core)?].read(address, to).ok_or_else(|| not_inside(address, len))
    }

    /// Copies bytes in, to a shared memory too.
    ///
    /// # Errors
    /// Where the memory is of another store, or the range is not inside it.
    pub fn write(self, mut store: impl AsContextMut, address: u64, from: &[u8]) -> Result<(), Error> {
        let core = &mut store.as_context_mut().0.core;
        let id = self.id(core)?;
        core.memories[id].write(address, from).ok_or_else(|| not_inside(address, from.len()))
    }

    /// Grows by `delta_pages` pages, of the size that the type says, and returns the old size in pages.
    ///
    /// # Errors
    /// Where the memory's maximum, the store's limit or the operating system refuses it.
    pub fn grow(self, mut store: impl AsContextMut, delta_pages: u64) -> Result<u64, Error> {
        let core = &mut store.as_context_mut().0.core;
        let id = self.id(core)?;
        let grown = core.grow_memory(id, delta_pages);
        grown.ok_or_else(|| core.refused(|| memory_cannot_grow(delta_pages)))
    }
}

pub(super) fn memory_cannot_grow(delta_pages: u64) -> Error {
    Error::limit(format!("a memory cannot grow by {delta_pages} pages"))
}

fn cannot_borrow() -> Error {
    Error::usage("a shared memory cannot be borrowed as a slice; `Memory::read` and `Memory::write` copy")
}

fn not_inside(address: u64, len: usize) -> Error {
    Error::usage(format!("{len} bytes at {address} are not inside the memory"))
}
