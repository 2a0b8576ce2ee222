//! Modules that belong to no store yet, and whole programs in one call.

use innkeeper::{Module, wasi};

use super::error::Told;
use super::keys::KeysBox;
use crate::boundary::{In, Out, Own, Text, c_functions};
use crate::object::Ref;
use crate::vector::Vector;
use crate::wasm_h::engine::EngineBox;
use crate::wasm_h::module::{deserialized, module_ref};

c_functions! {
    fn innkeeper_module_new(engine: In<EngineBox>, bytes: In<Vector<u8>>, out: Out<Own<Ref>>) -> Told {
        out.set(Own::NULL);
        let EngineBox(engine) = engine.get("the engine")?;
        let module = Module::new(engine, bytes.get("the module's bytes")?.as_slice())?;
        out.set(module_ref(module, None));
        Ok(Told::DONE)
    }

    fn innkeeper_module_from_file(engine: In<EngineBox>, path: Text, out: Out<Own<Ref>>) -> Told {
        out.set(Own::NULL);
        let EngineBox(engine) = engine.get("the engine")?;
        out.set(module_ref(Module::from_file(engine, path.get("the file's name")?)?, None));
        Ok(Told::DONE)
    }

    fn innkeeper_module_deserialize(
        engine: In<EngineBox>,
        bytes: In<Vector<u8>>,
        out: Out<Own<Ref>>,
    ) -> Told {
        out.set(Own::NULL);
        let EngineBox(engine) = engine.get("the engine")?;
        let module = deserialized(engine, bytes.get("the module's bytes")?.as_slice())?;
        out.set(module_ref(module, None));
        Ok(Told::DONE)
    }

    fn innkeeper_module_bytes(module: In<Ref>, out: Out<Vector<u8>>) {
        out.set(Vector::EMPTY);
        out.set(Vector::of_bytes(module.get("the module")?.module()?.bytes())?);
        Ok(())
    }

    fn innkeeper_run(module: In<Ref>, keys: In<KeysBox>, exit_status: Out<i32>) -> Told {
        let module = module.get("the module")?.module()?;
        let empty = wasi::keys::Keys::default();
        let keys = keys.option().map_or(&empty, |keys| &keys.0);
        exit_status.set(wasi::p1::run(module.engine(), module, keys)?);
        Ok(Told::DONE)
    }
}
