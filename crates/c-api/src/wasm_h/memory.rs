//! Memories. Their bytes are C's to read and write, at an address that is good until the memory grows or goes.

use innkeeper::{ExternType, Memory, Result};

use super::types::ItemType;
use crate::boundary::{In, Own, c_functions, usage};
use crate::object::{Identity, Object, Ref};
use crate::wasm_h::engine::StoreBox;

fn memory(of: &Ref) -> Result<Memory> {
    match of.object {
        Object::Item(Identity::Memory(memory)) => Ok(memory),
        _ => Err(usage("the object is no memory")),
    }
}

c_functions! {
    fn wasm_memory_new(store: In<StoreBox>, ty: In<ItemType>) -> Own<Ref> {
        let StoreBox(store) = store.get("the store")?;
        let ExternType::Memory(ty) = ty.get("the memory's type")?.ty else {
            return Err(usage("the type is none of a memory"));
        };
        let memory = store.enter(|cx| Memory::new(cx, ty))?;
        Ok(Own::new(Ref::item(store, Identity::Memory(memory))))
    }

    fn wasm_memory_type(of: In<Ref>) -> Own<ItemType> {
        let of = of.get("the memory")?;
        let memory = memory(of)?;
        let ty = of.store()?.enter(|cx| memory.ty(cx))?;
        Ok(Own::new(ItemType::new(ExternType::Memory(ty), of.store()?.engine())?))
    }

    fn wasm_memory_data(of: In<Ref>) -> *mut u8 {
        let of = of.get("the memory")?;
        let memory = memory(of)?;
        of.store()?.enter(|mut cx| Ok(memory.data_mut(&mut cx)?.as_mut_ptr()))
    }

    fn wasm_memory_data_size(of: In<Ref>) -> usize {
        let of = of.get("the memory")?;
        let memory = memory(of)?;
        of.store()?.enter(|cx| memory.data_size(cx))
    }

    fn wasm_memory_size(of: In<Ref>) -> u32 {
        let of = of.get("the memory")?;
        let memory = memory(of)?;
        let pages = of.store()?.enter(|cx| memory.size(cx))?;
        Ok(u32::try_from(pages).unwrap_or(u32::MAX))
    }

    fn wasm_memory_grow(of: In<Ref>, delta: u32) -> bool {
        let of = of.get("the memory")?;
        let memory = memory(of)?;
        of.store()?.enter(|cx| memory.grow(cx, delta.into()))?;
        Ok(true)
    }
}
