//! Functions: those of guests, called from C, and those of C, called by guests.

use std::ffi::c_void;
use std::sync::Arc;

use innkeeper::{AsContext, AsContextMut, Caller, Error, ExternType, Func, FuncType, Result, Val};

use super::types::ItemType;
use super::value::{Value, to_vals, values};
use crate::boundary::{Env, Finalizer, In, InOut, Own, c_functions, usage};
use crate::object::{Identity, Object, Ref};
use crate::problem::{Problem, enter, trap};
use crate::store::{Data, StoreRef, host_call, of_caller};
use crate::vector::{Element, Vector};
use crate::wasm_h::engine::StoreBox;

/// `wasm_func_callback_t`.
pub(crate) type Callback = extern "C" fn(*const Vector<Value>, *mut Vector<Value>) -> Own<Ref>;

/// `wasm_func_callback_with_env_t`.
pub(crate) type CallbackWithEnv =
    extern "C" fn(*mut c_void, *const Vector<Value>, *mut Vector<Value>) -> Own<Ref>;

/// Lets C answer a guest's call: `answer` gets arguments, and room for results.
pub(crate) fn answered(
    caller: &mut Caller<'_, Data>,
    ty: &FuncType,
    (params, results): (&[Val], &mut [Val]),
    answer: impl FnOnce(*const Vector<Value>, *mut Vector<Value>) -> Own<Ref>,
) -> Result<()> {
    let store = of_caller(caller)?;
    let mut given = Vec::with_capacity(params.len());
    for (param, ty) in params.iter().zip(ty.params()) {
        given.push(Value::of_val(caller.as_context_mut(), &store, *param, *ty)?);
    }
    let engine = store.engine();
    let mut given = Lending(Vector::of(given)?);
    let zeros = ty.results().iter().map(|ty| Value::zero(*ty, engine));
    let mut wanted = Lending(Vector::of(zeros)?);
    let (arguments, room): (*const _, *mut _) = (&raw const given.0, &raw mut wanted.0);
    let trap = host_call(caller, || answer(arguments, room))?;
    if let Some(trap) = trap.take() {
        return match trap.object {
            Object::Trap(problem) => Err(problem.into_error()),
            _ => Err(usage("a function of the host has returned something that is no trap")),
        };
    }
    let values = to_vals(&mut caller.as_context_mut(), wanted.0.as_slice(), ty.results())?;
    results.copy_from_slice(&values);
    given.0.clear();
    Ok(())
}

/// A vector whose values C gets lent, or fills; they are the library's to delete.
struct Lending(Vector<Value>);

impl Drop for Lending {
    fn drop(&mut self) {
        self.0.clear();
    }
}

/// A function of C's in a store.
fn new(
    store: &StoreRef,
    ty: &ItemType,
    answer: impl Fn(*const Vector<Value>, *mut Vector<Value>) -> Own<Ref> + Send + Sync + 'static,
) -> Result<Own<Ref>> {
    let ty = ty.func()?.clone();
    let of_call = ty.clone();
    let func = store.enter(|cx| {
        Func::new(cx, ty, move |mut caller, params, results| {
            answered(&mut caller, &of_call, (params, results), &answer)
        })
    })?;
    Ok(Own::new(Ref::item(store, Identity::Func(func))))
}

pub(crate) fn func(of: &Ref) -> Result<Func> {
    match of.object {
        Object::Item(Identity::Func(func)) => Ok(func),
        _ => Err(usage("the object is no function")),
    }
}

fn ty(of: &Ref) -> Result<FuncType> {
    let func = func(of)?;
    of.store()?.enter(|cx| func.ty(cx.as_context()))
}

/// Calls a function, and gives what has stopped it.
fn call(of: &Ref, args: &[Value], results: &mut [Value]) -> std::result::Result<(), Arc<Problem>> {
    let prepared = || Ok((func(of)?, of.store()?));
    let (func, store) = prepared().map_err(|error: Error| Problem::new(error, None))?;
    enter(store, |mut cx| {
        let ty = func.ty(cx.as_context())?;
        let params = to_vals(&mut cx, args, ty.params())?;
        // Without any room the results are not wanted.
        if !results.is_empty() && results.len() != ty.results().len() {
            let (has, wants) = (results.len(), ty.results().len());
            return Err(usage(format!("there is room for {has} results; the function has {wants}")));
        }
        let mut vals = vec![Val::I32(0); ty.results().len()];
        func.call(cx.as_context_mut(), &params, &mut vals)?;
        let mut made = Vec::with_capacity(vals.len());
        for (val, ty) in vals.into_iter().zip(ty.results()) {
            match Value::of_val(cx.as_context_mut(), store, val, *ty) {
                Ok(value) => made.push(value),
                Err(error) => {
                    made.into_iter().for_each(Element::delete);
                    return Err(error);
                }
            }
        }
        let mut places = results.iter_mut();
        for value in made {
            match places.next() {
                Some(place) => *place = value,
                None => value.delete(),
            }
        }
        Ok(())
    })
}

c_functions! {
    fn wasm_func_new(store: In<StoreBox>, ty: In<ItemType>, callback: Option<Callback>) -> Own<Ref> {
        let StoreBox(store) = store.get("the store")?;
        let callback = callback.ok_or_else(|| usage("the function to call is missing"))?;
        new(store, ty.get("the function's type")?, move |args, results| callback(args, results))
    }

    fn wasm_func_new_with_env(
        store: In<StoreBox>,
        ty: In<ItemType>,
        callback: Option<CallbackWithEnv>,
        env: *mut c_void,
        finalizer: Option<Finalizer>,
    ) -> Own<Ref> {
        let env = Env::new(env, finalizer);
        let StoreBox(store) = store.get("the store")?;
        let callback = callback.ok_or_else(|| usage("the function to call is missing"))?;
        new(store, ty.get("the function's type")?, move |args, results| callback(env.pointer(), args, results))
    }

    fn wasm_func_type(of: In<Ref>) -> Own<ItemType> {
        let of = of.get("the function")?;
        Ok(Own::new(ItemType::new(ExternType::Func(ty(of)?), of.store()?.engine())?))
    }

    fn wasm_func_param_arity(of: In<Ref>) -> usize {
        Ok(ty(of.get("the function")?)?.params().len())
    }

    fn wasm_func_result_arity(of: In<Ref>) -> usize {
        Ok(ty(of.get("the function")?)?.results().len())
    }

    fn wasm_func_call(of: In<Ref>, args: In<Vector<Value>>, results: InOut<Vector<Value>>) -> Own<Ref> {
        // The program may delete the function, and its store, while it runs.
        let of = match of.get("the function") {
            Ok(of) => of.clone(),
            Err(error) => return Ok(trap(Problem::new(error, None), None)),
        };
        let results = results.get("the results").map_or(&mut [][..], Vector::as_mut_slice);
        Ok(match call(&of, values(&args), results) {
            Ok(()) => Own::NULL,
            Err(problem) => trap(problem, of.store.as_ref()),
        })
    }
}
