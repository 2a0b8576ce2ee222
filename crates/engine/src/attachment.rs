//! What layers above the engine keep with a store, such as the handles of components' instances: one thing of each type.

use std::any::{Any, TypeId};

use crate::arena::{Arena, two};
use crate::budget::Budget;
use crate::error::Error;
use crate::extern_::{Global, Memory};
use crate::host_panics::FirstPanic;
use crate::index::StoreId;
use crate::store::{GlobalId, StoreContext, StoreContextMut};
use crate::types::{Mutability, ValType};
use crate::vmctx::global::GlobalEntity;
use crate::vmctx::record::InterruptHandle;

/// Things of different types, few enough to look through.
#[derive(Default)]
pub(crate) struct Attachments(Vec<(TypeId, Box<dyn Any + Send + Sync>)>);

impl Attachments {
    fn get<A: Any>(&self) -> Option<&A> {
        self.0.iter().find_map(|(_, attachment)| attachment.downcast_ref())
    }

    #[inline]
    fn get_or_default<A: Any + Default + Send + Sync>(&mut self) -> &mut A {
        let wanted = TypeId::of::<A>();
        let position = match self.0.iter().position(|(ty, _)| *ty == wanted) {
            Some(position) => position,
            None => self.add::<A>(),
        };
        match self.0[position].1.downcast_mut() {
            Some(attachment) => attachment,
            None => unreachable!("the position is one of this type"),
        }
    }

    #[cold]
    fn add<A: Any + Default + Send + Sync>(&mut self) -> usize {
        self.0.push((TypeId::of::<A>(), Box::<A>::default()));
        self.0.len() - 1
    }

    pub(crate) fn clear(&mut self, panics: &mut FirstPanic) {
        panics.drop_all(self.0.drain(..).map(|(_, attachment)| attachment));
    }
}

/// Parts of a store that are borrowed together ([`StoreContextMut::parts`]).
pub struct StoreParts<'a, T, A> {
    /// The embedder's data.
    pub data: &'a mut T,
    /// What a layer keeps with the store.
    pub attachment: &'a mut A,
    /// The bytes of the memory.
    pub memory: &'a mut [u8],
    /// What the store's guests charge what they hold to.
    pub budget: &'a Budget,
    /// Tells whether somebody wants the store's guests to stop.
    pub interrupts: &'a InterruptHandle,
    /// The store's globals.
    pub globals: Globals<'a>,
}

impl<T, A> std::fmt::Debug for StoreParts<'_, T, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreParts").field("memory_bytes", &self.memory.len()).finish_non_exhaustive()
    }
}

/// Globals of a store, for a layer that shares numbers with guests' code.
pub struct Globals<'a> {
    store: StoreId,
    globals: &'a mut Arena<GlobalEntity, GlobalId>,
}

impl Globals<'_> {
    /// The value of a global of type `i32`; none where it is of another store or type.
    #[inline]
    #[must_use]
    pub fn i32(&self, global: Global) -> Option<u32> {
        let entity = &self.globals[global.id_of(self.store)?];
        (entity.ty().content == ValType::I32).then(|| entity.slot() as u32)
    }

    /// Changes the value of a variable global of type `i32`; does nothing where it is another's.
    #[inline]
    pub fn set_i32(&mut self, global: Global, value: u32) {
        if let Some(id) = global.id_of(self.store) {
            let entity = &mut self.globals[id];
            let ty = entity.ty();
            if ty.content == ValType::I32 && ty.mutability == Mutability::Var {
                entity.set_slot(u64::from(value));
            }
        }
    }
}

impl std::fmt::Debug for Globals<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Globals").field("count", &self.globals.len()).finish_non_exhaustive()
    }
}

impl<'a, T> StoreContext<'a, T> {
    /// What a layer keeps with the store; none where it has kept nothing yet.
    #[must_use]
    pub fn attachment<A: Send + Sync + 'static>(&self) -> Option<&'a A> {
        self.0.core.attachments.get()
    }
}

impl<T> StoreContextMut<'_, T> {
    /// What a layer keeps with the store, made now where it has kept nothing yet. It goes with the store, or when that begins anew.
    #[inline]
    pub fn attachment<A: Default + Send + Sync + 'static>(&mut self) -> &mut A {
        self.0.core.attachments.get_or_default()
    }

    /// The same, together with the store's globals.
    #[inline]
    pub fn attachment_and_globals<A: Default + Send + Sync + 'static>(&mut self) -> (&mut A, Globals<'_>) {
        let core = &mut self.0.core;
        let store = core.id();
        (core.attachments.get_or_default(), Globals { store, globals: &mut core.globals })
    }

    /// The bytes of two memories at once: one to read from, and one to write to.
    ///
    /// # Errors
    /// Where one is of another store, or shared, or both are the same.
    pub fn two_memories(&mut self, from: Memory, to: Memory) -> Result<(&[u8], &mut [u8]), Error> {
        let core = &mut self.0.core;
        let (from, to) = (from.id(core)?, to.id(core)?);
        if from == to {
            return Err(Error::usage("a memory cannot be borrowed twice at once"));
        }
        let [from, to] = two(&mut core.memories, from, to);
        let shared = || Error::usage("a shared memory cannot be borrowed");
        Ok((from.bytes().ok_or_else(shared)?, to.bytes_mut().ok_or_else(shared)?))
    }

    /// The same, together with the bytes of a memory.
    ///
    /// # Errors
    /// Where the memory is of another store, or shared.
    pub fn attachment_and_memory<A: Default + Send + Sync + 'static>(
        &mut self,
        memory: Memory,
    ) -> Result<(&mut A, &mut [u8]), Error> {
        let core = &mut self.0.core;
        let id = memory.id(core)?;
        let bytes = core.memories[id].bytes_mut();
        let bytes = bytes.ok_or_else(|| Error::usage("a shared memory cannot be borrowed"))?;
        Ok((core.attachments.get_or_default(), bytes))
    }

    /// All that a call of the host's needs at once: the embedder's data, what a layer keeps with the store, the bytes of a memory (none where there is no memory),
    /// what guests charge what they hold to, whether they are to stop, and globals. Nothing of the guest's runs while they are borrowed, and no memory grows.
    ///
    /// # Errors
    /// Where the memory is of another store, or shared.
    #[inline]
    pub fn parts<A: Default + Send + Sync + 'static>(
        &mut self,
        memory: Option<Memory>,
    ) -> Result<StoreParts<'_, T, A>, Error> {
        let inner = &mut *self.0;
        let core = &mut inner.core;
        let store = core.id();
        let memory: &mut [u8] = match memory {
            Some(memory) => {
                let id = memory.id(core)?;
                let bytes = core.memories[id].bytes_mut();
                bytes.ok_or_else(|| Error::usage("a shared memory cannot be borrowed"))?
            }
            None => &mut [],
        };
        let attachment = core.attachments.get_or_default();
        let interrupts = core.record.interrupt_handle();
        let globals = Globals { store, globals: &mut core.globals };
        Ok(StoreParts {
            data: &mut inner.data,
            attachment,
            memory,
            budget: &core.budget,
            interrupts,
            globals,
        })
    }

    /// What the store's guests charge what they hold to.
    #[must_use]
    pub fn budget(&self) -> &crate::budget::Budget {
        self.0.core.budget()
    }

    /// Tells whether somebody wants the store's guests to stop, for work on their behalf that takes long.
    #[must_use]
    pub fn interrupt_handle(&self) -> &crate::vmctx::record::InterruptHandle {
        self.0.core.record.interrupt_handle()
    }

    /// The trap that the store's owner has asked for, if any, as [`crate::Caller::check_interrupts`] gives it.
    ///
    /// # Errors
    /// [`crate::Trap::Interrupted`], [`crate::Trap::DeadlineExceeded`].
    pub fn check_interrupts(&mut self) -> Result<(), Error> {
        Ok(self.0.core.stop_if_asked()?)
    }
}
