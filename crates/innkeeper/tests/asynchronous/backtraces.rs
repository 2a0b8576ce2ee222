//! Backtraces that functions of the host ask for which wait: in whichever poll, they see the frames of their own calls, and those further out.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll, Waker};

use innkeeper::{Backtrace, Caller, Engine, Error, Extern, Func, Instance, Linker, Store, WasmBacktrace};

use crate::support::{Later, block_on, engines, module, poll_on_threads};

static ALIVE: AtomicUsize = AtomicUsize::new(0);

/// What is done with the inner call once it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inner {
    Finishes,
    IsDropped,
    IsLeaked,
}

struct Data {
    inner: Inner,
    /// What the functions that wait have seen, each before and after.
    seen: Vec<Backtrace>,
}

const GUEST: &str = r#"(module
    (import "host" "call" (func $call))
    (import "host" "wait" (func $wait (param i32)))
    (export "wait" (func $wait))
    (func $between (call $call) (nop))
    (func (export "outer") (call $between) (nop))
    (func $deep (param i32)
        (if (local.get 0) (then (call $deep (i32.sub (local.get 0) (i32.const 1)))) (else (call $wait (i32.const 0)))))
    (func (export "inner") (call $wait (i32.const 1)) (call $deep (i32.const 5)))
    (func (export "spin") (local i32)
        (loop $l (br_if $l (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 1000))))))"#;

fn names(backtrace: &Backtrace) -> Vec<&str> {
    backtrace.frames().iter().map(|frame| frame.func_name.as_deref().unwrap_or("?")).collect()
}

fn note(caller: &mut Caller<'_, Data>) {
    let seen = caller.backtrace();
    assert_eq!(seen, WasmBacktrace::capture(&*caller));
    caller.data_mut().seen.push(seen);
}

fn export(caller: &Caller<'_, Data>, name: &str) -> Func {
    caller.get_export(name).and_then(Extern::into_func).unwrap()
}

/// Polls a future once, which is not ready then.
fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) {
    assert!(matches!(future.poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
}

fn guest(engine: &Engine, inner: Inner) -> (Store<Data>, Instance) {
    let mut linker = Linker::new(engine);
    linker
        .func_wrap_async("host", "wait", |mut caller: Caller<'_, Data>, goes_on: i32| {
            Box::new(async move {
                note(&mut caller);
                Later::new(&ALIVE).await;
                note(&mut caller);
                if goes_on == 1 { Ok(()) } else { Err(Error::msg("looked")) }
            })
        })
        .unwrap();
    linker
        .func_wrap_async("host", "call", |mut caller: Caller<'_, Data>, (): ()| {
            Box::new(async move {
                note(&mut caller);
                Later::new(&ALIVE).await;
                note(&mut caller);
                let inner = export(&caller, "inner");
                let typed = inner.typed::<(), ()>(&caller)?;
                let what = caller.data().inner;
                if what == Inner::Finishes {
                    let result = typed.call_async(&mut caller, ()).await;
                    note(&mut caller);
                    return result;
                }
                {
                    let mut call = Box::pin(typed.call_async(&mut caller, ()));
                    poll_once(call.as_mut());
                    if what == Inner::IsLeaked {
                        std::mem::forget(call);
                    }
                }
                note(&mut caller);
                Ok(())
            })
        })
        .unwrap();
    let mut store = Store::new(engine, Data { inner, seen: Vec::new() }).unwrap();
    let instance = linker.instantiate(&mut store, &module(engine, GUEST)).unwrap();
    (store, instance)
}

#[test]
fn functions_that_wait_see_their_callers_in_every_poll() {
    const OUTER: [&str; 2] = ["between", "outer"];
    for engine in engines() {
        let (mut store, instance) = guest(&engine, Inner::Finishes);
        let outer = instance.get_typed_func::<(), ()>(&store, "outer").unwrap();
        for on_threads in [false, true] {
            let call = Box::pin(outer.call_async(&mut store, ()));
            let result = match on_threads {
                false => block_on(call),
                true => poll_on_threads(Box::pin(call).as_mut(), usize::MAX).unwrap(),
            };
            let error = result.unwrap_err();
            let seen = std::mem::take(&mut store.data_mut().seen);
            assert_eq!(seen.len(), 7);
            // Of the outer function before and after it has waited, and when what it has called has ended.
            assert!([0, 1, 6].iter().all(|i| names(&seen[*i]) == OUTER && seen[*i] == seen[0]));
            // Of the inner one, of a call that returns and of one that fails, whose error says the same.
            assert_eq!(names(&seen[2]), ["inner", "between", "outer"]);
            assert_eq!(seen[2], seen[3]);
            assert_eq!(names(&seen[5])[..2], ["deep", "deep"]);
            assert_eq!(seen[4], seen[5]);
            assert_eq!(&seen[5], error.backtrace());
            assert_eq!(WasmBacktrace::capture(&store), Backtrace::default());
        }
    }
}

#[test]
fn a_call_that_was_left_waiting_leaves_no_frames_to_see() {
    for engine in engines() {
        for inner in [Inner::IsDropped, Inner::IsLeaked] {
            let (mut store, instance) = guest(&engine, inner);
            let outer = instance.get_typed_func::<(), ()>(&store, "outer").unwrap();
            for _ in 0..2 {
                block_on(outer.call_async(&mut store, ())).unwrap();
                let seen = std::mem::take(&mut store.data_mut().seen);
                let own = &["between", "outer"][..];
                // Where the inner call was leaked, nobody can tell whose frames there are; the next call sees its own again.
                let last = if inner == Inner::IsLeaked { &[] } else { own };
                let expected = [own, own, &["inner", "between", "outer"], last];
                assert_eq!(seen.iter().map(names).collect::<Vec<_>>(), expected, "{inner:?}");
            }
        }
    }
}

#[test]
fn after_a_leak_outermost_there_is_nothing_to_see_until_the_store_is_reset() {
    for engine in engines() {
        let (mut store, instance) = guest(&engine, Inner::Finishes);
        store.yield_every(Some(std::time::Duration::from_nanos(1)));
        let outer = instance.get_typed_func::<(), ()>(&store, "outer").unwrap();
        let mut call = Box::pin(outer.call_async(&mut store, ()));
        poll_once(call.as_mut());
        std::mem::forget(call);
        assert_eq!(WasmBacktrace::capture(&store), Backtrace::default());
        store.data_mut().seen.clear();
        block_on(outer.call_async(&mut store, ())).unwrap_err();
        assert!(store.data().seen.iter().all(|seen| seen.frames().is_empty()));
        let spin = instance.get_typed_func::<(), ()>(&store, "spin").unwrap();
        block_on(spin.call_async(&mut store, ())).unwrap();
        assert_eq!(WasmBacktrace::capture(&store), Backtrace::default());
    }
}

#[test]
fn a_function_of_the_host_that_the_host_calls_and_waits_for_has_no_guest_before_it() {
    for engine in engines() {
        let (mut store, instance) = guest(&engine, Inner::Finishes);
        let outer = instance.get_typed_func::<(), ()>(&store, "outer").unwrap();
        block_on(outer.call_async(&mut store, ())).unwrap_err();
        store.data_mut().seen.clear();
        // The import itself, which the guest exports.
        let wait = instance.get_typed_func::<i32, ()>(&store, "wait").unwrap();
        block_on(wait.call_async(&mut store, 1)).unwrap();
        assert_eq!(store.data().seen, [Backtrace::default(), Backtrace::default()]);
    }
}
