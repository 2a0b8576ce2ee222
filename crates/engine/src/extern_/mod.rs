//! Handles to what can be imported and exported: memories, tables, globals, and [`Extern`], any of them or a function.
//!
//! Must stay true: a handle says which store it is of, and every use of it with another store is refused with a sentence that says so.

mod global;
mod memory;
mod table;
mod tag;
#[cfg(feature = "async")]
mod waiting;

use crate::error::Error;
use crate::func::Func;
use crate::index::StoreId;
use crate::store::{AsContext, GlobalId, MemoryId, StoreCore, TableId, TagId};
use crate::types::{ExternType, ValType};
use crate::value::Val;

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
    ($($(#[$doc:meta])* $name:ident($id:ident) $what:literal $into:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
                self.id_in(core).ok_or_else(|| Error::foreign($what))
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
    Memory(MemoryId) "the memory" into_memory;
    /// A table of a store.
    Table(TableId) "the table" into_table;
    /// A global of a store.
    Global(GlobalId) "the global" into_global;
    /// A tag of exceptions of a store.
    Tag(TagId) "the tag" into_tag;
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

    /// What it is, in a sentence.
    pub(crate) fn noun(&self) -> &'static str {
        match self {
            Extern::Func(_) => "a function",
            Extern::Table(_) => "a table",
            Extern::Memory(_) => "a memory",
            Extern::Global(_) => "a global",
            Extern::Tag(_) => "a tag",
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

/// Whether a value is of a type; the store holds the type from now on.
pub(super) fn check_type(core: &mut StoreCore, value: Val, want: ValType) -> Result<(), Error> {
    core.held_types.hold(want)?;
    if value.matches(want, core)? {
        Ok(())
    } else {
        Err(Error::usage(format!("a value of type {} where {want} is wanted", value.ty())))
    }
}
