//! How calls end before they return: deadlines of any length, functions of the host that outlast them, and an embedder's own `proc_exit`.

use std::time::Duration;

use innkeeper::wasi::{self, keys::Keys, p1};
use innkeeper::{Caller, Linker, Store, Trap};

use super::{engines, instance, module};

#[test]
fn deadlines_of_any_length_can_be_set() {
    let text = r#"(module (func (export "seventeen") (result i32) (local $i i32)
        (loop $l (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 10000))))
        (i32.const 17)))"#;
    for engine in engines() {
        let (mut store, instance) = instance(&engine, text);
        let seventeen = instance.get_typed_func::<(), i32>(&store, "seventeen").unwrap();
        for after in [Duration::MAX, Duration::from_secs(u64::MAX), Duration::from_secs(1 << 40)] {
            store.set_deadline(Some(after)).unwrap();
            store.set_processor_time(Some(after));
            assert_eq!(seventeen.call(&mut store, ()).unwrap(), 17, "{after:?}");
        }
        store.set_deadline(None).unwrap();
        store.set_processor_time(Some(Duration::ZERO));
        assert_eq!(seventeen.call(&mut store, ()).unwrap_err().trap(), Some(Trap::DeadlineExceeded));
        store.set_processor_time(None);
        assert_eq!(seventeen.call(&mut store, ()).unwrap(), 17);
        Store::builder(&engine, ()).deadline(Duration::MAX).processor_time(Duration::MAX).build().unwrap();
    }
}

/// Functions that take long, one after the other and with nothing else between: the first one that begins too late does not.
#[test]
fn no_function_of_the_host_is_called_after_the_deadline() {
    let calls = "(call $slow)".repeat(20);
    let text = format!(r#"(module (import "host" "slow" (func $slow)) (func (export "run") {calls}))"#);
    for engine in engines() {
        let mut linker = Linker::<u32>::new(&engine);
        let slow = |mut caller: Caller<'_, u32>| {
            *caller.data_mut() += 1;
            let handle = caller.interrupt_handle();
            while !handle.is_stop_asked() {
                std::thread::yield_now();
            }
        };
        linker.func_wrap("host", "slow", slow).unwrap();
        let mut store = Store::new(&engine, 0).unwrap();
        let instance = linker.instantiate(&mut store, &module(&engine, &text)).unwrap();
        let run = instance.get_typed_func::<(), ()>(&store, "run").unwrap();
        store.set_deadline(Some(Duration::from_millis(10))).unwrap();
        assert_eq!(run.call(&mut store, ()).unwrap_err().trap(), Some(Trap::DeadlineExceeded));
        assert!(*store.data() <= 1, "{} were called", store.data());
    }
}

/// Whoever provides `proc_exit` instead of WASI ends the guest as WASI does, in the start function as in a call.
#[test]
fn an_embedders_own_exit_ends_a_guest_as_wasis_does() {
    for engine in engines() {
        for code in [0_u32, 7, 256, u32::MAX] {
            let exit = format!("(call $exit (i32.const {}))", code.cast_signed());
            for what in [
                format!(r#"(func $start {exit}) (start $start) (func (export "_start"))"#),
                format!(r#"(func (export "_start") {exit})"#),
            ] {
                let text = format!(
                    r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32))) (memory (export "memory") 1) {what})"#
                );
                let module = module(&engine, &text);
                assert_eq!(p1::run(&engine, &module, Keys::builder().build()).unwrap(), code.cast_signed());
                let mut linker = Linker::<()>::new(&engine);
                let exit = |code: u32| Err::<(), _>(wasi::Exit(code));
                linker.func_wrap("wasi_snapshot_preview1", "proc_exit", exit).unwrap();
                let mut store = Store::new(&engine, ()).unwrap();
                let ended = linker.instantiate(&mut store, &module).and_then(|instance| {
                    instance.get_typed_func::<(), ()>(&store, "_start")?.call(&mut store, ())
                });
                assert_eq!(wasi::exit_code(&ended.unwrap_err()), Some(code.cast_signed()));
            }
        }
    }
}
