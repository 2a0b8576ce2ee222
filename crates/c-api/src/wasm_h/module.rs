//! Modules, and modules that threads share.

use std::sync::Arc;

use innkeeper::{Engine, Module, Result};

use super::types::{Export, Import};
use crate::boundary::{In, Out, Own, c_functions, usage};
use crate::host_info::HostInfo;
use crate::object::{ModuleObject, Object, Ref};
use crate::store::StoreRef;
use crate::vector::Vector;
use crate::wasm_h::engine::StoreBox;

/// `wasm_shared_module_t`.
pub struct SharedModule(Module);

/// What modules in the binary format begin with. Modules with their machine code begin otherwise.
const MAGIC: &[u8] = b"\0asm";

pub(crate) fn module_ref(module: Module, store: Option<&StoreRef>) -> Own<Ref> {
    let object = Object::Module(Arc::new(ModuleObject { module, info: HostInfo::default() }));
    Own::new(Ref { store: store.cloned(), object })
}

/// A module of what `wasm_module_serialize` has made: with machine code, or the module as it was where the engine makes none.
pub(crate) fn deserialized(engine: &Engine, bytes: &[u8]) -> Result<Module> {
    if bytes.starts_with(MAGIC) {
        return Module::new(engine, bytes);
    }
    // SAFETY: the header makes the C program promise that `wasm_module_serialize` has made the bytes and nobody has changed them.
    unsafe { Module::deserialize(engine, bytes) }
}

c_functions! {
    fn wasm_module_new(store: In<StoreBox>, binary: In<Vector<u8>>) -> Own<Ref> {
        let StoreBox(store) = store.get("the store")?;
        let binary = binary.get("the module's bytes")?.as_slice();
        Ok(module_ref(Module::new(store.engine(), binary)?, Some(store)))
    }

    fn wasm_module_validate(store: In<StoreBox>, binary: In<Vector<u8>>) -> bool {
        let StoreBox(store) = store.get("the store")?;
        let binary = binary.get("the module's bytes")?.as_slice();
        if binary.starts_with(MAGIC) {
            Module::validate(store.engine(), binary)?;
        } else {
            Module::new(store.engine(), binary)?;
        }
        Ok(true)
    }

    fn wasm_module_imports(module: In<Ref>, out: Out<Vector<Own<Import>>>) {
        out.set(Vector::EMPTY);
        let module = module.get("the module")?.module()?;
        let imports = module.imports().map(|import| Import::new(import, module.engine()));
        let imports = imports.collect::<Result<Vec<_>>>()?;
        out.set(Vector::of(imports.into_iter().map(Own::new))?);
        Ok(())
    }

    fn wasm_module_exports(module: In<Ref>, out: Out<Vector<Own<Export>>>) {
        out.set(Vector::EMPTY);
        let module = module.get("the module")?.module()?;
        let exports = module.exports().map(|export| Export::new(export, module.engine()));
        let exports = exports.collect::<Result<Vec<_>>>()?;
        out.set(Vector::of(exports.into_iter().map(Own::new))?);
        Ok(())
    }

    fn wasm_module_serialize(module: In<Ref>, out: Out<Vector<u8>>) {
        out.set(Vector::EMPTY);
        let module = module.get("the module")?.module()?;
        let bytes = match module.serialize() {
            Ok(bytes) => Vector::of_bytes(&bytes)?,
            // An engine that only interprets has no machine code to keep.
            Err(_) => Vector::of_bytes(module.bytes())?,
        };
        out.set(bytes);
        Ok(())
    }

    fn wasm_module_deserialize(store: In<StoreBox>, bytes: In<Vector<u8>>) -> Own<Ref> {
        let StoreBox(store) = store.get("the store")?;
        let module = deserialized(store.engine(), bytes.get("the module's bytes")?.as_slice())?;
        Ok(module_ref(module, Some(store)))
    }

    fn wasm_module_share(module: In<Ref>) -> Own<SharedModule> {
        Ok(Own::new(SharedModule(module.get("the module")?.module()?.clone())))
    }

    fn wasm_module_obtain(store: In<StoreBox>, shared: In<SharedModule>) -> Own<Ref> {
        let StoreBox(store) = store.get("the store")?;
        let SharedModule(module) = shared.get("the shared module")?;
        if !Engine::same(store.engine(), module.engine()) {
            return Err(usage("the shared module is of another engine than the store"));
        }
        Ok(module_ref(module.clone(), Some(store)))
    }

    fn wasm_shared_module_delete(shared: Own<SharedModule>) {
        drop(shared.take());
        Ok(())
    }
}
