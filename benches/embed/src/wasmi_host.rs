//! wasmi, with its default configuration.

use std::any::Any;

use wasmi::{Engine, Linker, Module, Store, TypedFunc};

use crate::guest::{CALLS, Case, MOST_IMPORTS};
use crate::{Host, Once, Shared};

pub const HOST: Host = Host {
    name: "wasmi",
    store,
    call,
    host_calls,
    call_async: None,
    host_calls_async: None,
    idle,
    parked: None,
};

fn parts(text: &str) -> (Engine, Linker<()>, Module) {
    let engine = Engine::default();
    let mut linker = Linker::new(&engine);
    for i in 0..MOST_IMPORTS {
        linker.func_wrap("host", &format!("f{i}"), |x: i32| x).unwrap();
    }
    let module = Module::new(&engine, innkeeper::to_binary(text.as_bytes()).unwrap()).unwrap();
    (engine, linker, module)
}

fn store(case: &Case) -> Shared {
    let Some(shape) = case.module else {
        let engine = Engine::default();
        return Box::new(move || drop(Store::new(&engine, ())));
    };
    let ((engine, linker, module), calls) = (parts(&shape.text()), case.calls);
    Box::new(move || {
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate_and_start(&mut store, &module).unwrap();
        if calls {
            let run = instance.get_typed_func::<i32, i32>(&store, "run").unwrap();
            assert_eq!(run.call(&mut store, 1).unwrap(), 2);
        }
    })
}

fn calling(name: &str) -> (Store<()>, TypedFunc<i32, i32>) {
    let (engine, linker, module) = parts(CALLS);
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate_and_start(&mut store, &module).unwrap();
    let run = instance.get_typed_func::<i32, i32>(&store, name).unwrap();
    (store, run)
}

fn call() -> Once {
    let (mut store, run) = calling("run");
    Box::new(move || assert_eq!(run.call(&mut store, 1).unwrap(), 2))
}

fn host_calls() -> Once {
    let (mut store, run) = calling("calls");
    Box::new(move || assert_eq!(run.call(&mut store, 1000).unwrap(), 0))
}

fn idle(case: &Case, count: usize) -> Box<dyn Any> {
    let Some(shape) = case.module else { return Box::new(()) };
    let (engine, linker, module) = parts(&shape.text());
    let stores: Vec<_> = (0..count)
        .map(|_| {
            let mut store = Store::new(&engine, ());
            let instance = linker.instantiate_and_start(&mut store, &module).unwrap();
            if case.calls {
                let run = instance.get_typed_func::<i32, i32>(&store, "run").unwrap();
                run.call(&mut store, 1).unwrap();
            }
            store
        })
        .collect();
    Box::new(stores)
}
