//! Instances, and what they export.

use std::sync::Arc;

use innkeeper::{AsContextMut, Extern, Instance, Module, Result};

use super::types::ItemType;
use crate::boundary::{In, Out, Own, c_functions, usage};
use crate::object::{Identity, Object, Ref};
use crate::problem::{Problem, enter, trap};
use crate::store::StoreRef;
use crate::vector::{Vector, vector_functions};
use crate::wasm_h::engine::StoreBox;

pub(crate) fn instance(of: &Ref) -> Result<Instance> {
    match of.object {
        Object::Item(Identity::Instance(instance)) => Ok(instance),
        _ => Err(usage("the object is no instance")),
    }
}

/// A new instance, as C holds it.
pub(crate) fn instance_ref(store: &StoreRef, module: &Module, instance: Instance) -> Own<Ref> {
    store.note_instance(module, instance);
    Own::new(Ref::item(store, Identity::Instance(instance)))
}

fn items(imports: &[Own<Ref>]) -> Result<Vec<Extern>> {
    let item = |(place, import): (usize, &Own<Ref>)| {
        let item = import.as_ref().and_then(Ref::as_extern);
        item.ok_or_else(|| usage(format!("import {place} is null, or nothing that can be imported")))
    };
    imports.iter().enumerate().map(item).collect()
}

fn instantiated(
    store: &StoreRef,
    module: &Module,
    imports: &[Own<Ref>],
) -> std::result::Result<Instance, Arc<Problem>> {
    enter(store, |mut cx| {
        let items = items(imports)?;
        let wanted = module.imports().len();
        if items.len() < wanted {
            let given = items.len();
            return Err(usage(format!("the module has {wanted} imports, and {given} are given")));
        }
        // More than it imports do no harm: the standard does not mind.
        Instance::new(cx.as_context_mut(), module, &items[..wanted])
    })
}

c_functions! {
    fn wasm_instance_new(
        store: In<StoreBox>,
        module: In<Ref>,
        imports: In<Vector<Own<Ref>>>,
        out: Out<Own<Ref>>,
    ) -> Own<Ref> {
        out.set(Own::NULL);
        let store = Arc::clone(&store.get("the store")?.0);
        let module = module.get("the module")?.module()?.clone();
        let imports = imports.option().map_or(&[][..], Vector::as_slice);
        match instantiated(&store, &module, imports) {
            Ok(instance) => Ok(instance_ref(&store, &module, instance)),
            Err(problem) if out.is_wanted() => {
                out.set(trap(problem, Some(&store)));
                Ok(Own::NULL)
            }
            Err(problem) => Err(problem.into_error()),
        }
    }

    fn wasm_instance_exports(of: In<Ref>, out: Out<Vector<Own<Ref>>>) {
        out.set(Vector::EMPTY);
        let of = of.get("the instance")?;
        let (instance, store) = (instance(of)?, of.store()?);
        let exports = store.enter(|cx| Ok(instance.exports(cx)))?;
        out.set(Vector::of(exports.into_iter().map(|(_, item)| Own::new(Ref::of_extern(store, item))))?);
        Ok(())
    }

    fn wasm_extern_kind(of: In<Ref>) -> u8 {
        match of.get("the extern")?.as_extern() {
            Some(Extern::Func(_)) => Ok(0),
            Some(Extern::Global(_)) => Ok(1),
            Some(Extern::Table(_)) => Ok(2),
            Some(Extern::Memory(_)) => Ok(3),
            Some(Extern::Tag(_)) => Ok(4),
            None => Err(usage("the object is nothing that can be exported")),
        }
    }

    fn wasm_extern_type(of: In<Ref>) -> Own<ItemType> {
        let of = of.get("the extern")?;
        let item = of.as_extern().ok_or_else(|| usage("the object is nothing that can be exported"))?;
        let store = of.store()?;
        let ty = store.enter(|cx| item.ty(cx))?;
        Ok(Own::new(ItemType::new(ty, store.engine())?))
    }
}

vector_functions! {
    Own<Ref>: wasm_extern_vec_new_empty wasm_extern_vec_new_uninitialized wasm_extern_vec_new wasm_extern_vec_copy wasm_extern_vec_delete;
}
