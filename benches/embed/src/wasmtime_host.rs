//! The wasmtime crate with its pooling allocator. Guests can be stopped, as ours.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, InstancePre, Linker, Module, PoolingAllocationConfig, Store,
    TypedFunc,
};

use crate::guest::{CALLS, Case, MOST_IMPORTS};
use crate::{Host, MOST_HELD, Once, Shared};

pub const HOST: Host = Host {
    name: "wasmtime",
    store,
    call,
    host_calls,
    call_async: Some(call_async),
    host_calls_async: Some(host_calls_async),
    idle,
    parked: Some(parked),
};

fn engine() -> Engine {
    let most = MOST_HELD as u32 + 1;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(most).total_memories(most).total_tables(most).total_stacks(most);
    let mut config = Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config.epoch_interruption(true);
    Engine::new(&config).unwrap()
}

fn parts(text: &str) -> (Engine, Linker<()>, Module) {
    let engine = engine();
    let mut linker = Linker::new(&engine);
    for i in 0..MOST_IMPORTS {
        linker.func_wrap("host", &format!("f{i}"), |x: i32| x).unwrap();
    }
    let module = Module::new(&engine, innkeeper::to_binary(text.as_bytes()).unwrap()).unwrap();
    (engine, linker, module)
}

fn prepared(case: &Case) -> (Engine, Option<InstancePre<()>>) {
    let Some(shape) = case.module else { return (engine(), None) };
    let (engine, linker, module) = parts(&shape.text());
    (engine, Some(linker.instantiate_pre(&module).unwrap()))
}

fn new_store(engine: &Engine) -> Store<()> {
    let mut store = Store::new(engine, ());
    store.set_epoch_deadline(1);
    store
}

fn store(case: &Case) -> Shared {
    let ((engine, pre), calls) = (prepared(case), case.calls);
    Box::new(move || {
        let mut store = new_store(&engine);
        let Some(pre) = &pre else { return };
        let instance = pre.instantiate(&mut store).unwrap();
        if calls {
            let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
            assert_eq!(run.call(&mut store, 1).unwrap(), 2);
        }
    })
}

fn calling(name: &str) -> (Store<()>, TypedFunc<i32, i32>) {
    let (engine, linker, module) = parts(CALLS);
    let mut store = new_store(&engine);
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.get_typed_func::<i32, i32>(&mut store, name).unwrap();
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

fn call_async() -> Once {
    let engine = engine();
    let mut linker = Linker::new(&engine);
    linker.func_wrap_async("host", "f0", |_, (x,): (i32,)| Box::new(async move { x })).unwrap();
    let (mut store, run) = waiting(&engine, &linker);
    Box::new(move || assert_eq!(block_on(run.call_async(&mut store, 1000)).unwrap(), 0))
}

fn host_calls_async() -> Once {
    let engine = engine();
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "f0", |x: i32| x).unwrap();
    let (mut store, run) = waiting(&engine, &linker);
    Box::new(move || assert_eq!(block_on(run.call_async(&mut store, 1000)).unwrap(), 0))
}

fn waiting(engine: &Engine, linker: &Linker<()>) -> (Store<()>, TypedFunc<i32, i32>) {
    let module = Module::new(engine, innkeeper::to_binary(CALLS.as_bytes()).unwrap()).unwrap();
    let mut store = new_store(engine);
    let instance = block_on(linker.instantiate_async(&mut store, &module)).unwrap();
    let run = instance.get_typed_func::<i32, i32>(&mut store, "calls").unwrap();
    (store, run)
}

fn idle(case: &Case, count: usize) -> Box<dyn Any> {
    let (engine, pre) = prepared(case);
    let stores: Vec<_> = (0..count)
        .map(|_| {
            let mut store = new_store(&engine);
            let instance = pre.as_ref().map(|pre| pre.instantiate(&mut store).unwrap());
            if case.calls {
                let run = instance.unwrap().get_typed_func::<i32, i32>(&mut store, "run").unwrap();
                run.call(&mut store, 1).unwrap();
            }
            store
        })
        .collect();
    Box::new(stores)
}

fn parked(count: usize) -> Box<dyn Any> {
    let engine = engine();
    let mut linker = Linker::new(&engine);
    linker.func_wrap_async("host", "f0", |_, _: (i32,)| Box::new(std::future::pending::<i32>())).unwrap();
    let calls: Vec<_> = (0..count)
        .map(|_| {
            let (mut store, run) = waiting(&engine, &linker);
            let mut call: Pin<Box<dyn Future<Output = _>>> =
                Box::pin(async move { run.call_async(&mut store, 1).await.map(drop) });
            assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            call
        })
        .collect();
    Box::new(calls)
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return result;
        }
    }
}
