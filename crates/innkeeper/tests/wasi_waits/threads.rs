//! Threads of guests that are started in calls that can wait: whoever waits for one holds no thread.

use std::pin::pin;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use innkeeper::wasi::keys::Keys;
use innkeeper::wasi::p1::{self, Context, threads::Threads};
use innkeeper::wasi::stop::Stopper;
use innkeeper::{Caller, Config, Engine, Error, Linker, Module, Store, Tiers};

use super::sleeper::{SOON, Sleeper};

/// The first instance's start function starts a thread and waits for its instance, whose start function asks the host. Then the thread is waited for.
fn text(asked: &str) -> String {
    format!(
        r#"(module
        (import "env" "memory" (memory 1 1 shared))
        (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
        (import "host" "hold" (func $hold))
        (func (export "wasi_thread_start") (param i32 i32)
            (i32.atomic.store (i32.const 4) (local.get 1))
            (drop (memory.atomic.notify (i32.const 4) (i32.const 1))))
        (func $start
            (if (i32.atomic.rmw.add (i32.const 0) (i32.const 1))
                (then (call $hold) {asked})
                (else (if (i32.le_s (call $spawn (i32.const 7)) (i32.const 0)) (then unreachable)))))
        (func (export "run") (result i32)
            (drop (memory.atomic.wait32 (i32.const 4) (i32.const 0) (i64.const -1)))
            (i32.atomic.load (i32.const 4)))
        (start $start))"#
    )
}

/// A guest whose first instance is to be made, and who lets its second one go on.
struct Started {
    threads: Threads<Context>,
    store: Store<Context>,
    module: Module,
    hold: Sender<()>,
    /// Told when the second instance's start function is under way.
    is_held: Receiver<()>,
}

fn started(tiers: Tiers, asked: &str) -> Started {
    let engine: Engine = innkeeper::engine_with(Config::default(), tiers);
    let module =
        Module::new(&engine, innkeeper::to_binary(text(asked).as_bytes()).unwrap().as_ref()).unwrap();
    let ((hold, held), (told, is_held)) = (channel(), channel());
    let held = Mutex::new(held);
    let mut linker = Linker::new(&engine);
    p1::add_to_linker(&mut linker, |context: &mut Context| context).unwrap();
    linker
        .func_wrap("host", "hold", move |_: Caller<'_, Context>| {
            told.send(()).unwrap();
            // Long, so that what would wait for ever is an error.
            held.lock().unwrap().recv_timeout(SOON).map_err(Error::from_host)
        })
        .unwrap();
    let context = Context::new(&Keys::builder().build()).unwrap();
    let stopper = Stopper::new().unwrap();
    let store = Store::new(&engine, context.clone()).unwrap();
    stopper.add_store(store.interrupt_handle());
    let data = context.clone();
    let threads = Threads::new(linker, &module, (&context, &stopper), move || data.clone()).unwrap();
    Started { threads, store, module, hold, is_held }
}

const TIERS: [Tiers; 3] = [Tiers::Interpreter, Tiers::Compiled, Tiers::Auto];

#[test]
fn a_start_function_that_starts_a_thread_waits_for_its_instance_and_holds_none() {
    for tiers in TIERS {
        let Started { threads, mut store, module, hold, is_held } = started(tiers, "");
        let instance = {
            let mut instantiated = pin!(threads.linker().instantiate_async(&mut store, &module));
            let sleeper = Sleeper::new();
            assert!(sleeper.poll(instantiated.as_mut()).is_pending());
            // The new instance is being made meanwhile, on its own thread, and this one is free to let it.
            is_held.recv().unwrap();
            assert!(sleeper.poll(instantiated.as_mut()).is_pending());
            hold.send(()).unwrap();
            sleeper.run(instantiated).unwrap()
        };
        let run = instance.get_typed_func::<(), i32>(&mut store, "run").unwrap();
        assert_eq!(Sleeper::new().run(pin!(run.call_async(&mut store, ()))).unwrap(), 7);
        threads.finish(Ok(())).unwrap();
    }
}

#[test]
fn whoever_waits_for_a_thread_learns_why_there_is_none() {
    for tiers in TIERS {
        let Started { threads, mut store, module, hold, is_held } = started(tiers, "unreachable");
        hold.send(()).unwrap();
        let mut instantiated = Box::pin(threads.linker().instantiate_async(&mut store, &module));
        let error = Sleeper::new().run(instantiated.as_mut()).unwrap_err();
        drop(instantiated);
        is_held.recv().unwrap();
        assert_eq!(error.trap(), Some(innkeeper::Trap::Unreachable), "{error}");
        threads.finish(Ok(())).unwrap();
    }
}

#[test]
fn a_wait_for_a_thread_can_be_dropped_and_stopped() {
    for tiers in TIERS {
        let Started { threads, mut store, module, hold, is_held } = started(tiers, "");
        {
            let mut dropped = pin!(threads.linker().instantiate_async(&mut store, &module));
            assert!(Sleeper::new().poll(dropped.as_mut()).is_pending());
            is_held.recv().unwrap();
        }
        hold.send(()).unwrap();
        threads.finish(Ok(())).unwrap();

        let Started { threads, mut store, module, hold, is_held } = started(tiers, "");
        store.set_deadline(Some(Duration::from_millis(20))).unwrap();
        let mut stopped = Box::pin(threads.linker().instantiate_async(&mut store, &module));
        let error = Sleeper::new().run(stopped.as_mut()).unwrap_err();
        drop(stopped);
        assert_eq!(error.trap(), Some(innkeeper::Trap::DeadlineExceeded), "{error}");
        is_held.recv().unwrap();
        hold.send(()).unwrap();
        threads.finish(Ok(())).unwrap();
    }
}
