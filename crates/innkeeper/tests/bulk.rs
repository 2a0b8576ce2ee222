//! Bulk operations on so many bytes that they are done in portions. Case names are those of the sandbox's list.

use std::sync::{Arc, OnceLock};

use innkeeper::{Config, Engine, Instance, InterruptHandle, Linker, Memory, Module, Store, Tiers, Trap};

const TIERS: [Tiers; 2] = [Tiers::Interpreter, Tiers::Compiled];

/// 64 MiB of memory, and operations on 40 MiB and more of it.
const BULK: &str = r#"(module
    (import "host" "interrupt" (func $interrupt))
    (memory (export "memory") 1024)
    (func (export "fill") (call $interrupt) (memory.fill (i32.const 0) (i32.const 7) (i32.const 0x4000000)))
    (func (export "copy_up") (memory.copy (i32.const 5) (i32.const 0) (i32.const 0x2800000)))
    (func (export "copy_down") (memory.copy (i32.const 0) (i32.const 5) (i32.const 0x2800000)))
    (func (export "fill_beyond") (memory.fill (i32.const 1) (i32.const 7) (i32.const 0x4000000))))"#;

struct Guest {
    store: Store<()>,
    instance: Instance,
    memory: Memory,
}

fn guest(engine: &Engine) -> Guest {
    let handle = Arc::new(OnceLock::<InterruptHandle>::new());
    let mut store = Store::new(engine, ()).unwrap();
    let mut linker = Linker::new(engine);
    let of_guest = Arc::clone(&handle);
    linker.func_wrap("host", "interrupt", move || of_guest.get().unwrap().interrupt()).unwrap();
    let binary = innkeeper::to_binary(BULK.as_bytes()).unwrap().into_owned();
    let instance = linker.instantiate(&mut store, &Module::new(engine, binary).unwrap()).unwrap();
    let memory = instance.get_memory(&mut store, "memory").unwrap();
    assert!(handle.set(store.interrupt_handle()).is_ok());
    Guest { store, instance, memory }
}

impl Guest {
    fn call(&mut self, name: &str) -> Result<(), innkeeper::Error> {
        let func = self.instance.get_typed_func::<(), ()>(&mut self.store, name).unwrap();
        func.call(&mut self.store, ())
    }

    fn byte(&self, at: usize) -> u8 {
        let mut byte = [0];
        self.memory.read(&self.store, at as u64, &mut byte).unwrap();
        byte[0]
    }
}

#[test]
fn l6_filling_very_many_bytes_stops_when_somebody_says_so() {
    for tiers in TIERS {
        let mut guest = guest(&innkeeper::engine_with(Config::default(), tiers));
        assert_eq!(guest.call("fill").unwrap_err().trap(), Some(Trap::Interrupted), "{tiers:?}");
        assert_eq!((guest.byte(0), guest.byte((64 << 20) - 1)), (7, 0), "it has begun, and not ended");
    }
}

#[test]
fn overlapping_copies_of_very_many_bytes_are_right_in_both_directions() {
    for tiers in TIERS {
        let mut guest = guest(&innkeeper::engine_with(Config::default(), tiers));
        // Marks around the places where portions meet.
        let marks: Vec<usize> = (1..40)
            .flat_map(|portion| (0..40).map(move |i| (portion << 20) - 20 + i))
            .chain([0, (40 << 20) - 1])
            .collect();
        let value = |at: usize| (at % 251) as u8 + 1;
        for at in &marks {
            guest.memory.write(&mut guest.store, *at as u64, &[value(*at)]).unwrap();
        }
        guest.call("copy_up").unwrap();
        for at in &marks {
            assert_eq!(guest.byte(at + 5), value(*at), "byte {at} up, {tiers:?}");
        }
        guest.call("copy_down").unwrap();
        for at in &marks {
            assert_eq!(guest.byte(*at), value(*at), "byte {at} down, {tiers:?}");
        }
    }
}

#[test]
fn what_would_end_outside_writes_nothing() {
    for tiers in TIERS {
        let mut guest = guest(&innkeeper::engine_with(Config::default(), tiers));
        assert_eq!(guest.call("fill_beyond").unwrap_err().trap(), Some(Trap::MemoryOutOfBounds));
        assert_eq!(guest.byte(1), 0);
    }
}

#[test]
fn l10_memory_is_zero_whatever_a_store_before_has_written() {
    for tiers in TIERS {
        let engine = innkeeper::engine_with(Config::default(), tiers);
        for _ in 0..3 {
            let mut guest = guest(&engine);
            let mut all = vec![1_u8; 64 << 20];
            guest.memory.read(&guest.store, 0, &mut all).unwrap();
            assert!(all == vec![0; 64 << 20], "{tiers:?}");
            guest.memory.write(&mut guest.store, 0, &vec![0xAA; 64 << 20]).unwrap();
        }
    }
}

/// Functions that fill and copy as many bytes as their code says, at an address or between two.
fn constant_lengths() -> String {
    let functions = |len: u32| {
        format!(
            r#"(func (export "fill{len}") (param i32 i32)
                (memory.fill (local.get 0) (local.get 1) (i32.const {len})))
            (func (export "copy{len}") (param i32 i32)
                (memory.copy (local.get 0) (local.get 1) (i32.const {len})))"#
        )
    };
    let all: String = (0..=LONGEST).map(functions).collect();
    format!("(module (memory (export \"memory\") 1) {all})")
}

const LONGEST: u32 = 70;
const PAGE: u32 = 1 << 16;

#[test]
fn few_bytes_are_moved_as_many_are() {
    for tiers in TIERS {
        let engine = innkeeper::engine_with(Config::default(), tiers);
        let binary = innkeeper::to_binary(constant_lengths().as_bytes()).unwrap().into_owned();
        let mut store = Store::new(&engine, ()).unwrap();
        let module = Module::new(&engine, binary).unwrap();
        let instance = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        let before: Vec<u8> = (0..300u32).map(|at| (at * 7 + 1) as u8).collect();
        for len in 0..=LONGEST {
            let mut call = |name: &str, to: u32, with: u32| {
                memory.write(&mut store, 0, &before).unwrap();
                let func =
                    instance.get_typed_func::<(u32, u32), ()>(&mut store, &format!("{name}{len}")).unwrap();
                let ended = func.call(&mut store, (to, with)).map_err(|error| error.trap());
                let mut after = vec![0; before.len()];
                memory.read(&store, 0, &mut after).unwrap();
                (ended, after)
            };
            let end = len as usize;
            let mut filled = before.clone();
            filled[100..100 + end].fill(0xa5);
            assert_eq!(call("fill", 100, 0x12_34a5), (Ok(()), filled), "{tiers:?} {len}");
            for from in [0, 93, 99, 100, 101, 130] {
                let mut copied = before.clone();
                copied.copy_within(from..from + end, 100);
                assert_eq!(call("copy", 100, from as u32), (Ok(()), copied), "{tiers:?} {len} from {from}");
            }
            let outside = (Err(Some(Trap::MemoryOutOfBounds)), before.clone());
            assert_eq!(call("fill", PAGE - len, 0).0, Ok(()), "{tiers:?} {len}");
            for beyond in [PAGE - len + 1, u32::MAX] {
                assert_eq!(call("fill", beyond, 0), outside, "{tiers:?} {len}");
                assert_eq!(call("copy", 0, beyond), outside, "{tiers:?} {len}");
                assert_eq!(call("copy", beyond, 0), outside, "{tiers:?} {len}");
            }
        }
    }
}
