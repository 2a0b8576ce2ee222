//! Linkers: what modules import, by name; instances of them; and what guests call of C's with its caller at hand.

use std::ffi::c_void;
use std::sync::Arc;

use innkeeper::wasi::keys::Keys;
use innkeeper::wasi::p1::{self, Context};
use innkeeper::{InstancePre, Linker, Module, Result};

use super::error::Told;
use crate::boundary::{Env, Finalizer, In, InOut, Out, Own, Text, c_functions, usage};
use crate::object::{Identity, Ref};
use crate::problem::{Frame, Problem, enter};
use crate::store::{Data, StoreRef};
use crate::vector::Vector;
use crate::wasm_h::engine::{EngineBox, StoreBox};
use crate::wasm_h::func::answered;
use crate::wasm_h::instance::{instance, instance_ref};
use crate::wasm_h::types::ItemType;
use crate::wasm_h::value::Value;

/// `innkeeper_linker_t`.
pub struct LinkerBox(Linker<Data>);

/// `innkeeper_instance_pre_t`.
pub struct Prepared(InstancePre<Data>);

/// `innkeeper_caller_t`, for one call.
pub struct Calling {
    store: StoreRef,
    instance: Option<innkeeper::Instance>,
}

/// `innkeeper_func_callback_t`.
type Callback =
    extern "C" fn(*mut c_void, *const Calling, *const Vector<Value>, *mut Vector<Value>) -> Own<Ref>;

/// Gives C the instance that `make` makes in the store.
fn instantiated(
    (store, module): (&StoreRef, &Module),
    out: &Out<Own<Ref>>,
    make: impl FnOnce(innkeeper::StoreContextMut<'_, Data>) -> Result<innkeeper::Instance>,
) -> std::result::Result<(), Arc<Problem>> {
    let instance = enter(store, make)?;
    out.set(instance_ref(store, module, instance));
    Ok(())
}

/// The guest's keys; without any, those that grant nothing.
fn context(data: &mut Data) -> &mut Context {
    data.wasi.get_or_insert_with(|| match Context::new(&Keys::default()) {
        Ok(context) => context,
        // A panic in a function of the host is an error of the call.
        Err(error) => panic!("no keys can be opened: {error}"),
    })
}

c_functions! {
    fn innkeeper_linker_new(engine: In<EngineBox>) -> Own<LinkerBox> {
        Ok(Own::new(LinkerBox(Linker::new(&engine.get("the engine")?.0))))
    }

    fn innkeeper_linker_delete(linker: Own<LinkerBox>) {
        drop(linker.take());
        Ok(())
    }

    fn innkeeper_linker_allow_shadowing(linker: InOut<LinkerBox>, allow: bool) {
        linker.get("the linker")?.0.allow_shadowing(allow);
        Ok(())
    }

    fn innkeeper_linker_define(linker: InOut<LinkerBox>, module: Text, name: Text, item: In<Ref>) -> Told {
        let (module, name) = (module.get("the module's name")?, name.get("the name")?);
        let item = item.get("what is defined")?.as_extern();
        let item = item.ok_or_else(|| usage("the object is nothing that can be imported"))?;
        linker.get("the linker")?.0.define(module, name, item)?;
        Ok(Told::DONE)
    }

    fn innkeeper_linker_define_func(
        linker: InOut<LinkerBox>,
        module: Text,
        name: Text,
        ty: In<ItemType>,
        callback: Option<Callback>,
        env: *mut c_void,
        finalizer: Option<Finalizer>,
    ) -> Told {
        let env = Env::new(env, finalizer);
        let (module, name) = (module.get("the module's name")?, name.get("the name")?);
        let callback = callback.ok_or_else(|| usage("the function to call is missing"))?;
        let ty = ty.get("the function's type")?.func()?.clone();
        let of_call = ty.clone();
        linker.get("the linker")?.0.func_new(module, name, ty, move |mut caller, params, results| {
            let calling = Calling { store: crate::store::of_caller(&caller)?, instance: caller.instance() };
            let calling = &raw const calling;
            answered(&mut caller, &of_call, (params, results), |args, results| {
                callback(env.pointer(), calling, args, results)
            })
        })?;
        Ok(Told::DONE)
    }

    fn innkeeper_linker_define_instance(
        linker: InOut<LinkerBox>,
        name: Text,
        of: In<Ref>,
    ) -> Told {
        let of = of.get("the instance")?;
        let instance = instance(of)?;
        let (linker, name) = (linker.get("the linker")?, name.get("the name")?);
        of.store()?.enter(|cx| {
            linker.0.instance(cx, name, instance)?;
            Ok(())
        })?;
        Ok(Told::DONE)
    }

    fn innkeeper_linker_define_wasi(linker: InOut<LinkerBox>) -> Told {
        p1::add_to_linker(&mut linker.get("the linker")?.0, context)?;
        Ok(Told::DONE)
    }

    fn innkeeper_linker_define_unknown_as_traps(linker: InOut<LinkerBox>, module: In<Ref>) -> Told {
        let module = module.get("the module")?.module()?;
        linker.get("the linker")?.0.define_unknown_imports_as_traps(module)?;
        Ok(Told::DONE)
    }

    fn innkeeper_linker_instantiate(
        linker: In<LinkerBox>,
        store: In<StoreBox>,
        module: In<Ref>,
        out: Out<Own<Ref>>,
    ) -> Told {
        out.set(Own::NULL);
        let linker = linker.get("the linker")?;
        let store = Arc::clone(&store.get("the store")?.0);
        // The start function may call C, which may delete what it has given.
        let module = module.get("the module")?.module()?.clone();
        let prepared = linker.0.instantiate_pre(&module);
        Ok(Told::of(&store, instantiated((&store, &module), &out, |cx| prepared?.instantiate(cx))))
    }

    fn innkeeper_linker_instantiate_pre(
        linker: In<LinkerBox>,
        module: In<Ref>,
        out: Out<Own<Prepared>>,
    ) -> Told {
        out.set(Own::NULL);
        let module = module.get("the module")?.module()?;
        out.set(Own::new(Prepared(linker.get("the linker")?.0.instantiate_pre(module)?)));
        Ok(Told::DONE)
    }

    fn innkeeper_instance_pre_instantiate(
        prepared: In<Prepared>,
        store: In<StoreBox>,
        out: Out<Own<Ref>>,
    ) -> Told {
        out.set(Own::NULL);
        // The start function may call C, which may delete what it has given.
        let prepared = prepared.get("the prepared instance")?.0.clone();
        let store = Arc::clone(&store.get("the store")?.0);
        Ok(Told::of(&store, instantiated((&store, prepared.module()), &out, |cx| prepared.instantiate(cx))))
    }

    fn innkeeper_instance_pre_delete(prepared: Own<Prepared>) {
        drop(prepared.take());
        Ok(())
    }

    fn innkeeper_instance_export(of: In<Ref>, name: Text) -> Own<Ref> {
        let of = of.get("the instance")?;
        let (instance, store, name) = (instance(of)?, of.store()?, name.get("the export's name")?);
        let item = store.enter(|cx| Ok(instance.get_export(cx, name)))?;
        let item = item.ok_or_else(|| usage(format!("the instance exports no `{name}`")))?;
        Ok(Own::new(Ref::of_extern(store, item)))
    }

    fn innkeeper_caller_export(caller: In<Calling>, name: Text) -> Own<Ref> {
        let (caller, name) = (caller.get("the caller")?, name.get("the export's name")?);
        let instance = caller.instance.ok_or_else(|| usage("the host itself is the caller"))?;
        let item = caller.store.enter(|cx| Ok(instance.get_export(cx, name)))?;
        let item = item.ok_or_else(|| usage(format!("the caller exports no `{name}`")))?;
        Ok(Own::new(Ref::of_extern(&caller.store, item)))
    }

    fn innkeeper_caller_instance(caller: In<Calling>) -> Own<Ref> {
        let caller = caller.get("the caller")?;
        let of = |instance| Ref::item(&caller.store, Identity::Instance(instance));
        Ok(Own::option(caller.instance.map(of)))
    }

    fn innkeeper_caller_backtrace(caller: In<Calling>, out: Out<Vector<Own<Frame>>>) {
        out.set(Vector::EMPTY);
        let frames = Frame::captured(&caller.get("the caller")?.store)?;
        out.set(Vector::of(frames.into_iter().map(Own::new))?);
        Ok(())
    }

    fn innkeeper_caller_store(caller: In<Calling>) -> Own<StoreBox> {
        Ok(Own::new(StoreBox(Arc::clone(&caller.get("the caller")?.store))))
    }
}
