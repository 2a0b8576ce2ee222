//! Shared memories, as the host uses them.

use std::time::Duration;

use innkeeper::{Linker, MemoryType, SharedMemory, Sharing, SizeRange, Store, Trap, WaitResult};

use super::{engines, module};

fn shared(engine: &innkeeper::Engine) -> SharedMemory {
    let ty = MemoryType { sharing: Sharing::Shared, ..MemoryType::new(SizeRange { min: 1, max: Some(2) }) };
    SharedMemory::new(engine, ty).unwrap()
}

#[test]
fn the_host_waits_and_a_guest_wakes_it() {
    let text = r#"(module (import "host" "m" (memory 1 2 shared))
        (func (export "wake") (result i32)
            (i32.atomic.store (i32.const 8) (i32.const 1))
            (memory.atomic.notify (i32.const 8) (i32.const 1))))"#;
    for engine in engines() {
        let memory = shared(&engine);
        let mut linker = Linker::new(&engine);
        linker.define_shared("host", "m", &memory).unwrap();
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        let wake = instance.get_typed_func::<(), i32>(&store, "wake").unwrap();
        let waiting = memory.clone();
        let waiter = std::thread::spawn(move || waiting.atomic_wait32(8, 0, None).unwrap());
        // Until it waits, nobody is woken; if it comes only now, it sees the value.
        while wake.call(&mut store, ()).unwrap() == 0 && !waiter.is_finished() {
            std::thread::yield_now();
        }
        assert!(matches!(waiter.join().unwrap(), WaitResult::Ok | WaitResult::Mismatch));
    }
}

#[test]
fn the_host_wakes_a_guest_that_waits() {
    let text = r#"(module (import "host" "m" (memory 1 2 shared))
        (func (export "wait") (result i32) (memory.atomic.wait32 (i32.const 16) (i32.const 0) (i64.const -1))))"#;
    for engine in engines() {
        let memory = shared(&engine);
        let mut linker = Linker::new(&engine);
        linker.define_shared("host", "m", &memory).unwrap();
        let module = module(&engine, text);
        let waiter = std::thread::spawn(move || {
            let mut store = Store::new(linker.engine(), ()).unwrap();
            let instance = linker.instantiate(&mut store, &module).unwrap();
            instance.get_typed_func::<(), i32>(&store, "wait").unwrap().call(&mut store, ()).unwrap()
        });
        while memory.atomic_notify(16, 1).unwrap() == 0 {
            std::thread::yield_now();
        }
        assert_eq!(waiter.join().unwrap(), 0);
    }
}

#[test]
fn waits_end_with_their_time_or_at_once_and_check_their_address() {
    let [engine, _] = engines();
    let memory = shared(&engine);
    memory.write(0, &5_u64.to_le_bytes()).unwrap();
    let soon = Some(Duration::from_millis(1));
    assert_eq!(memory.atomic_wait32(0, 5, soon).unwrap(), WaitResult::TimedOut);
    assert_eq!(memory.atomic_wait32(0, 6, None).unwrap(), WaitResult::Mismatch);
    assert_eq!(memory.atomic_wait64(0, 5, soon).unwrap(), WaitResult::TimedOut);
    assert_eq!(memory.atomic_wait64(0, 6, None).unwrap(), WaitResult::Mismatch);
    assert_eq!(memory.atomic_notify(0, 9).unwrap(), 0);
    assert_eq!(memory.atomic_wait32(2, 0, None).unwrap_err().trap(), Some(Trap::UnalignedAtomic));
    assert_eq!(memory.atomic_wait64(4, 0, None).unwrap_err().trap(), Some(Trap::UnalignedAtomic));
    assert!(memory.atomic_notify(65536, 1).is_err() && memory.atomic_wait64(65536, 0, None).is_err());
    assert_eq!((memory.grow(1).unwrap(), memory.data_size()), (1, 131_072));
    assert_eq!(memory.atomic_notify(65536, 1).unwrap(), 0);
}
