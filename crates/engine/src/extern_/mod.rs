//! Handles to what can be imported and exported: memories, tables, globals, and [`Extern`], any of them or a function.

#[cfg(feature = "async")]
mod waiting;

use crate::error::Error;
use crate::func::Func;
use crate::index::StoreId;
use crate::index::TagIndex;
use crate::runtime::instance::InstanceBox;
use crate::store::{AsContext, AsContextMut, GlobalId, MemoryId, StoreCore, TableId, TagId};
use crate::types::{ExternType, FuncType, GlobalType, MemoryType, Mutability, TableType, ValType};
use crate::value::Val;
use crate::vmctx::LinearMemory;
use crate::vmctx::shared_memory::SharedMemory;
use crate::vmctx::tag::TagEntity;

/// Something that can be imported and exported.
#[derive(Clone, Copy, Debug)]
pub enum Extern {
    /// A function.
    Func(Func),
    /// A table.
    Table(Table),
    /// A memory.
    Memory(Memory),
    /// A global.
    Global(Global),
    /// A tag of exceptions.
    Tag(Tag),
}

macro_rules! handles {
    ($($(#[$doc:meta])* $name:ident($id:ident) $into:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name {
            store: StoreId,
            id: $id,
        }

        impl $name {
            pub(crate) fn from_id(id: $id, core: &StoreCore) -> $name {
                $name { store: core.id(), id }
            }

            /// The entity's number in its store.
            pub(crate) fn id(self, core: &StoreCore) -> Result<$id, Error> {
                self.id_in(core).ok_or_else(|| Error::usage(concat!("a ", stringify!($name), " of another store")))
            }

            /// The same; none where it is of another store.
            #[inline]
            pub(crate) fn id_in(self, core: &StoreCore) -> Option<$id> {
                (self.store == core.id()).then_some(self.id)
            }
        }

        impl From<$name> for Extern {
            fn from(handle: $name) -> Extern {
                Extern::$name(handle)
            }
        }

        impl Extern {
            #[doc = concat!("The ", stringify!($name), ", if it is one.")]
            #[must_use]
            pub fn $into(self) -> Option<$name> {
                match self {
                    Extern::$name(handle) => Some(handle),
                    _ => None,
                }
            }
        }
    )*};
}

handles! {
    /// A linear memory of a store.
    Memory(MemoryId) into_memory;
    /// A table of a store.
    Table(TableId) into_table;
    /// A global of a store.
    Global(GlobalId) into_global;
    /// A tag of exceptions of a store.
    Tag(TagId) into_tag;
}

impl From<Func> for Extern {
    fn from(func: Func) -> Extern {
        Extern::Func(func)
    }
}

impl Extern {
    /// The function, if it is one.
    #[must_use]
    pub fn into_func(self) -> Option<Func> {
        match self {
            Extern::Func(func) => Some(func),
            _ => None,
        }
    }

    /// The type, with current sizes.
    ///
    /// # Errors
    /// Where the handle is of another store.
    pub fn ty(self, store: impl AsContext) -> Result<ExternType, Error> {
        Ok(match self {
            Extern::Func(func) => ExternType::Func(func.ty(store)?),
            Extern::Table(table) => ExternType::Table(table.ty(store)?),
            Extern::Memory(memory) => ExternType::Memory(memory.ty(store)?),
            Extern::Global(global) => ExternType::Global(global.ty(store)?),
            Extern::Tag(tag) => ExternType::Tag(tag.ty(store)?),
        })
    }
}

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

impl Table {
    /// A table of its own, filled with `init`.
    ///
    /// # Errors
    /// Where a limit refuses it, or `init` is of another type.
    pub fn new(mut store: impl AsContextMut, ty: TableType, init: Val) -> Result<Table, Error> {
        Table::make(&mut store.as_context_mut().0.core, ty, init)
    }

    fn make(core: &mut StoreCore, ty: TableType, init: Val) -> Result<Table, Error> {
        check_type(core, init, ValType::Ref(ty.element))?;
        let [slot, _] = init.to_slots(core)?;
        let id = core.new_table(ty)?;
        core.tables[id].elements_mut().fill(slot);
        Ok(Table::from_id(id, core))
    }

    /// The type, with the current size as the minimum.
    ///
    /// # Errors
    /// Where the table is of another store.
    pub fn ty(self, store: impl AsContext) -> Result<TableType, Error> {
        let core = &store.as_context().0.core;
        Ok(core.tables[self.id(core)?].ty())
    }

    /// Grows by `delta` elements, which are `init`, and returns the old size.
    ///
    /// # Errors
    /// Where the table's maximum, the store's limit or its limiter refuses it, or `init` is of another type.
    pub fn grow(self, mut store: impl AsContextMut, delta: u64, init: Val) -> Result<u64, Error> {
        let core = &mut store.as_context_mut().0.core;
        let grown = self.try_grow(core, delta, init)?;
        grown.ok_or_else(|| core.refused(|| table_cannot_grow(delta)))
    }

    /// None where it is refused.
    fn try_grow(self, core: &mut StoreCore, delta: u64, init: Val) -> Result<Option<u64>, Error> {
        let id = self.id(core)?;
        check_type(core, init, ValType::Ref(core.tables[id].ty().element))?;
        let [slot, _] = init.to_slots(core)?;
        Ok(core.grow_table(id, (delta, slot), || Ok(()))?)
    }

    /// The element at `index`, if there is one.
    ///
    /// # Errors
    /// Where the table is of another store.
    pub fn get(self, mut store: impl AsContextMut, index: u64) -> Result<Option<Val>, Error> {
        let core = &mut store.as_context_mut().0.core;
        let table = &core.tables[self.id(core)?];
        let ty = ValType::Ref(table.ty().element);
        Ok(table.get(index).map(|slot| Val::from_slots([slot, 0], ty, core)))
    }

    /// Replaces the element at `index`.
    ///
    /// # Errors
    /// Where there is no such element, or the value is of another type.
    pub fn set(self, mut store: impl AsContextMut, index: u64, value: Val) -> Result<(), Error> {
        let core = &mut store.as_context_mut().0.core;
        let id = self.id(core)?;
        check_type(core, value, ValType::Ref(core.tables[id].ty().element))?;
        let [slot, _] = value.to_slots(core)?;
        let element =
            usize::try_from(index).ok().and_then(|index| core.tables[id].elements_mut().get_mut(index));
        *element.ok_or_else(|| Error::usage(format!("a table has no element {index}")))? = slot;
        Ok(())
    }
}

impl Global {
    /// A global of its own.
    ///
    /// # Errors
    /// Where `value` is of another type.
    pub fn new(mut store: impl AsContextMut, ty: GlobalType, value: Val) -> Result<Global, Error> {
        let core = &mut store.as_context_mut().0.core;
        check_type(core, value, ty.content)?;
        let slots = value.to_slots(core)?;
        let id = core.new_global(ty, slots)?;
        Ok(Global::from_id(id, core))
    }

    /// The type.
    ///
    /// # Errors
    /// Where the global is of another store.
    pub fn ty(self, store: impl AsContext) -> Result<GlobalType, Error> {
        let core = &store.as_context().0.core;
        Ok(core.globals[self.id(core)?].ty())
    }

    /// The value.
    ///
    /// # Errors
    /// Where the global is of another store.
    pub fn get(self, mut store: impl AsContextMut) -> Result<Val, Error> {
        let core = &mut store.as_context_mut().0.core;
        let global = &core.globals[self.id(core)?];
        let (slots, ty) = (global.slots(), global.ty().content);
        Ok(Val::from_slots(slots, ty, core))
    }

    /// Changes the value.
    ///
    /// # Errors
    /// Where the global is constant, or the value is of another type.
    pub fn set(self, mut store: impl AsContextMut, value: Val) -> Result<(), Error> {
        let core = &mut store.as_context_mut().0.core;
        let id = self.id(core)?;
        let ty = core.globals[id].ty();
        if ty.mutability == Mutability::Const {
            return Err(Error::usage("a constant global cannot be set"));
        }
        check_type(core, value, ty.content)?;
        let slots = value.to_slots(core)?;
        core.globals[id].set_slots(slots);
        Ok(())
    }
}

fn memory_cannot_grow(delta_pages: u64) -> Error {
    Error::limit(format!("a memory cannot grow by {delta_pages} pages"))
}

fn table_cannot_grow(delta: u64) -> Error {
    Error::limit(format!("a table cannot grow by {delta} elements"))
}

fn cannot_borrow() -> Error {
    Error::usage("a shared memory cannot be borrowed as a slice; `Memory::read` and `Memory::write` copy")
}

fn not_inside(address: u64, len: usize) -> Error {
    Error::usage(format!("{len} bytes at {address} are not inside the memory"))
}

impl Tag {
    /// A tag of its own, whose exceptions carry values of the parameters' types.
    ///
    /// # Errors
    /// Where the engine's registry of types is full.
    pub fn new(mut store: impl AsContextMut, ty: &FuncType) -> Result<Tag, Error> {
        let core = &mut store.as_context_mut().0.core;
        let record = core.held_types.intern_func(ty)?;
        let id = core.tags.push(TagEntity::new(record))?;
        Ok(Tag::from_id(id, core))
    }

    /// The type, whose parameters are an exception's values.
    ///
    /// # Errors
    /// Where the tag is of another store.
    pub fn ty(self, store: impl AsContext) -> Result<FuncType, Error> {
        let core = &store.as_context().0.core;
        let record = core.tags[self.id(core)?].ty();
        Ok(record.ty.composite.as_func().cloned().unwrap_or_else(|| FuncType::new([], [])))
    }

    /// What the first instance that has the tag calls it: in its name section, as an export, or as an import.
    ///
    /// # Errors
    /// Where the tag is of another store.
    pub fn name(self, store: impl AsContext) -> Result<Option<String>, Error> {
        let core = &store.as_context().0.core;
        let id = self.id(core)?;
        let named = |instance: &InstanceBox| {
            let entity = instance.get();
            let index = entity.tag_ids.iter().position(|tag| *tag == id)?;
            entity.module.0.tag_name(TagIndex(index as u32))
        };
        Ok(core.instances.iter().find_map(named))
    }
}

/// Whether a value is of a type; the store holds the type from now on.
fn check_type(core: &mut StoreCore, value: Val, want: ValType) -> Result<(), Error> {
    core.held_types.hold(want)?;
    if value.matches(want, core)? {
        Ok(())
    } else {
        Err(Error::usage(format!("a value of type {} where {want} is wanted", value.ty())))
    }
}
