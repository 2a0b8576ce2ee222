//! Globals.

use innkeeper::{AsContextMut, ExternType, Global, Result};

use super::types::ItemType;
use super::value::Value;
use crate::boundary::{In, Out, Own, c_functions, usage};
use crate::object::{Identity, Object, Ref};
use crate::wasm_h::engine::StoreBox;

fn global(of: &Ref) -> Result<Global> {
    match of.object {
        Object::Item(Identity::Global(global)) => Ok(global),
        _ => Err(usage("the object is no global")),
    }
}

c_functions! {
    fn wasm_global_new(store: In<StoreBox>, ty: In<ItemType>, value: In<Value>) -> Own<Ref> {
        let StoreBox(store) = store.get("the store")?;
        let ExternType::Global(ty) = ty.get("the global's type")?.ty else {
            return Err(usage("the type is none of a global"));
        };
        let value = value.get("the global's value")?;
        let global = store.enter(|mut cx| {
            let value = value.to_val(cx.as_context_mut(), ty.content)?;
            Global::new(cx, ty, value)
        })?;
        Ok(Own::new(Ref::item(store, Identity::Global(global))))
    }

    fn wasm_global_type(of: In<Ref>) -> Own<ItemType> {
        let of = of.get("the global")?;
        let global = global(of)?;
        let ty = of.store()?.enter(|cx| global.ty(cx))?;
        Ok(Own::new(ItemType::new(ExternType::Global(ty), of.store()?.engine())?))
    }

    fn wasm_global_get(of: In<Ref>, out: Out<Value>) {
        let of = of.get("the global")?;
        let (global, store) = (global(of)?, of.store()?);
        out.set(store.enter(|mut cx| {
            let value = global.get(cx.as_context_mut())?;
            let ty = global.ty(cx.as_context_mut())?.content;
            Value::of_val(cx, store, value, ty)
        })?);
        Ok(())
    }

    fn wasm_global_set(of: In<Ref>, value: In<Value>) {
        let of = of.get("the global")?;
        let (global, value) = (global(of)?, value.get("the value")?);
        of.store()?.enter(|mut cx| {
            let ty = global.ty(cx.as_context_mut())?.content;
            let value = value.to_val(cx.as_context_mut(), ty)?;
            global.set(cx, value)
        })
    }
}
