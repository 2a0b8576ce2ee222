//! Calls on fibers of their own, of which a store has many at once: parked and let go on in any order, in every tier; what they hold, limits, and what is left of those that are dropped.

use innkeeper::{
    AsContextMut, Backtrace, Caller, Config, Engine, Error, FuncType, Instance, Metering, Module, Store,
    Tiers, Trap, ValType, engine_with,
};
use innkeeper_engine::{FiberEnd, FiberId, Func, HostEnding};

const TIERS: [Tiers; 3] = [Tiers::Auto, Tiers::Interpreter, Tiers::Compiled];

/// What functions of the host note.
#[derive(Default)]
struct Data {
    /// Fibers that were parked inside of a call of another one.
    parked_inside: Vec<FiberId>,
    inner: Option<Func>,
    /// The frames that the last call of `park` has come from.
    seen: Backtrace,
}

/// Functions of the host: `park(i32) -> i32`, `inside(i32) -> i32`, which calls a function on a fiber of its own, `nested()`, which calls one as any other, and `gc()`.
fn funcs(store: &mut Store<Data>) -> [Func; 4] {
    let one = || FuncType::new([ValType::I32], [ValType::I32]);
    let park = Func::new_of_numbers_parking(
        &mut *store,
        one(),
        |mut caller: Caller<'_, Data>, slots: &mut [u64]| {
            caller.data_mut().seen = caller.backtrace();
            if slots[0] == 13 { Err(Error::from_host(std::fmt::Error)) } else { Ok(HostEnding::Parks) }
        },
    );
    let inside = Func::new_of_numbers(&mut *store, one(), |mut caller: Caller<'_, Data>, slots| {
        let inner = caller.data().inner.unwrap();
        let ended = caller.as_context_mut().start_fiber(inner, &[slots[0]])?;
        slots[0] = match ended {
            FiberEnd::Finished(value) => value,
            FiberEnd::Parked(id) => {
                caller.data_mut().parked_inside.push(id);
                1000
            }
            FiberEnd::Yields(_) => unreachable!("nobody was to leave a turn"),
        };
        Ok(())
    });
    let none = FuncType::new([], []);
    let nested = Func::new_of_numbers(&mut *store, none.clone(), |mut caller: Caller<'_, Data>, _| {
        let inner = caller.data().inner.unwrap();
        inner.call_of_numbers(&mut caller, &mut [5, 0])
    });
    let gc = Func::new_of_numbers(&mut *store, none, |mut caller: Caller<'_, Data>, _| {
        caller.gc();
        Ok(())
    });
    [park.unwrap(), inside.unwrap(), nested.unwrap(), gc.unwrap()]
}

const TEXT: &str = r#"(module
  (type $box (struct (field i32)))
  (import "" "park" (func $park (param i32) (result i32)))
  (import "" "inside" (func $inside (param i32) (result i32)))
  (import "" "nested" (func $nested))
  (import "" "gc" (func $gc))
  ;; Parks so often, so deep, and adds up what it is told.
  (func $sum (export "sum") (param i32) (result i32) (local $box (ref null $box))
    (local.set $box (struct.new $box (local.get 0)))
    (if (i32.eqz (local.get 0)) (then (return (i32.const 0))))
    (i32.add
      (i32.add (call $park (local.get 0)) (call $sum (i32.sub (local.get 0) (i32.const 1))))
      (i32.sub (struct.get $box 0 (local.get $box)) (local.get 0))))
  (func (export "fill") (param i32) (local $box (ref null $box))
    (loop
      (local.set $box (struct.new $box (i32.const -1)))
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
  (func (export "around") (param i32) (result i32) (local $box (ref null $box))
    (local.set $box (struct.new $box (local.get 0)))
    (i32.add (call $inside (local.get 0)) (struct.get $box 0 (local.get $box))))
  (func (export "nests") (param i32) (result i32) (call $nested) (i32.const 1))
  (func (export "collects") (param i32) (result i32)
    (call $gc) (call $park (local.get 0)))
  (func (export "spins") (param i32) (result i32)
    (drop (call $park (i32.const 1)))
    (loop (br 0)) (unreachable))
  (func $deep (export "deep") (param i32) (result i32)
    (if (i32.eqz (local.get 0)) (then (return (call $park (i32.const 1)))))
    (i32.add (i32.const 1) (call $deep (i32.sub (local.get 0) (i32.const 1)))))
)"#;

fn store(engine: &Engine) -> (Store<Data>, Instance) {
    let module = Module::new(engine, TEXT).unwrap();
    let mut store = Store::new(engine, Data::default()).unwrap();
    let instance = instantiate(&mut store, &module);
    (store, instance)
}

fn instantiate(store: &mut Store<Data>, module: &Module) -> Instance {
    let funcs = funcs(store).map(Into::into);
    Instance::new(&mut *store, module, &funcs).unwrap()
}

fn func(store: &mut Store<Data>, instance: Instance, name: &str) -> Func {
    instance.get_func(&mut *store, name).unwrap()
}

/// Begins a call that parks.
fn start(store: &mut Store<Data>, func: Func, param: u64) -> FiberId {
    match store.as_context_mut().start_fiber(func, &[param]).unwrap() {
        FiberEnd::Parked(id) => id,
        other => panic!("{other:?}"),
    }
}

fn resume(store: &mut Store<Data>, id: FiberId, answer: u64) -> FiberEnd {
    store.as_context_mut().resume_fiber(id, Ok(answer)).unwrap()
}

/// Numbers that seem to be random.
fn random(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize
}

#[test]
fn fibers_go_on_in_any_order_with_all_that_they_hold() {
    for tiers in TIERS {
        let (mut store, instance) = store(&engine_with(Config::default(), tiers));
        let [sum, fill] = ["sum", "fill"].map(|name| func(&mut store, instance, name));
        let mut state = 7;
        let mut parked: Vec<(FiberId, u64, u64)> =
            (0..200).map(|i| (start(&mut store, sum, i % 12 + 1), i % 12 + 1, 0)).collect();
        let mut ended = 0;
        while !parked.is_empty() {
            let (id, wanted, told) = parked.swap_remove(random(&mut state) % parked.len());
            let answer = random(&mut state) as u64 % 1000;
            match resume(&mut store, id, answer) {
                FiberEnd::Parked(id) => parked.push((id, wanted, told + answer)),
                FiberEnd::Finished(sum) => {
                    assert_eq!(sum, told + answer, "{tiers:?}, {wanted}");
                    ended += 1;
                }
                FiberEnd::Yields(_) => panic!("nobody was to leave a turn"),
            }
            if random(&mut state).is_multiple_of(50) {
                // Objects that nobody saw would be written over now.
                store.gc();
                fill.call_of_numbers(&mut store, &mut [2000]).unwrap();
            }
        }
        assert_eq!(ended, 200);
    }
}

#[test]
fn a_fiber_runs_inside_of_another_one_and_is_parked_there() {
    for tiers in TIERS {
        let (mut store, instance) = store(&engine_with(Config::default(), tiers));
        let [around, collects, fill] =
            ["around", "collects", "fill"].map(|name| func(&mut store, instance, name));
        // The inner one collects while the outer one holds an object, and waits.
        store.data_mut().inner = Some(collects);
        for _ in 0..20 {
            match store.as_context_mut().start_fiber(around, &[7]).unwrap() {
                FiberEnd::Finished(value) => assert_eq!(value, 1007),
                other => panic!("{other:?}"),
            }
            // On the store's first fiber just so.
            let mut slots = [7];
            around.call_of_numbers(&mut store, &mut slots).unwrap();
            assert_eq!(slots, [1007]);
            fill.call_of_numbers(&mut store, &mut [100]).unwrap();
        }
        let inside = std::mem::take(&mut store.data_mut().parked_inside);
        assert_eq!(inside.len(), 40);
        for (answer, id) in inside.into_iter().rev().enumerate() {
            let FiberEnd::Finished(value) = resume(&mut store, id, answer as u64) else { panic!("{answer}") };
            assert_eq!(value, answer as u64);
        }
    }
}

#[test]
fn a_function_of_the_host_sees_the_frames_of_its_fiber_and_of_who_has_let_it_run() {
    fn seen(store: &Store<Data>) -> Vec<&str> {
        store.data().seen.frames().iter().map(|frame| frame.func_name.as_deref().unwrap_or("?")).collect()
    }
    for tiers in TIERS {
        let (mut store, instance) = store(&engine_with(Config::default(), tiers));
        store.data_mut().inner = Some(func(&mut store, instance, "sum"));
        let around = func(&mut store, instance, "around");
        let ended = store.as_context_mut().start_fiber(around, &[2]).unwrap();
        assert!(matches!(ended, FiberEnd::Finished(_)), "{ended:?}");
        assert_eq!(seen(&store), ["sum", "around"], "{tiers:?}");
        // The one that was parked inside goes on from outside.
        let parked = store.data_mut().parked_inside.pop().unwrap();
        let ended = resume(&mut store, parked, 1);
        assert!(matches!(ended, FiberEnd::Parked(_)), "{ended:?}");
        assert_eq!(seen(&store), ["sum", "sum"], "{tiers:?}");
        assert_eq!(Backtrace::capture(&store), Backtrace::default());
    }
}

#[test]
fn nobody_is_parked_that_somebody_waits_for() {
    for tiers in TIERS {
        let (mut store, instance) = store(&engine_with(Config::default(), tiers));
        let [sum, nests] = ["sum", "nests"].map(|name| func(&mut store, instance, name));
        store.data_mut().inner = Some(sum);
        let is_refused = |error: Error| error.to_string().contains("somebody waits for");
        assert!(is_refused(store.as_context_mut().start_fiber(nests, &[1]).unwrap_err()));
        // Nor is the store's first fiber.
        assert!(is_refused(sum.call_of_numbers(&mut store, &mut [1]).unwrap_err()));
        assert!(!store.as_context_mut().can_park());
    }
}

#[test]
fn what_has_ended_or_was_dropped_cannot_go_on() {
    for tiers in TIERS {
        let engine = engine_with(Config::default(), tiers);
        let (mut store, instance) = store(&engine);
        let sum = func(&mut store, instance, "sum");
        let id = start(&mut store, sum, 1);
        assert!(matches!(resume(&mut store, id, 5), FiberEnd::Finished(5)));
        assert!(store.as_context_mut().resume_fiber(id, Ok(5)).is_err());
        let id = start(&mut store, sum, 3);
        store.as_context_mut().drop_fiber(id);
        store.as_context_mut().drop_fiber(id);
        assert!(store.as_context_mut().resume_fiber(id, Ok(5)).is_err());
        // It is used again, and the old name is nobody's.
        let other = start(&mut store, sum, 1);
        assert!(store.as_context_mut().resume_fiber(id, Ok(5)).is_err());
        assert!(matches!(resume(&mut store, other, 9), FiberEnd::Finished(9)));
        let (mut foreign, _) = self::store(&engine);
        let id = start(&mut store, sum, 1);
        assert!(foreign.as_context_mut().resume_fiber(id, Ok(5)).is_err());
    }
}

#[test]
fn errors_and_answers_that_are_errors_end_the_fiber_alone() {
    for tiers in TIERS {
        let (mut store, instance) = store(&engine_with(Config::default(), tiers));
        let sum = func(&mut store, instance, "sum");
        let other = start(&mut store, sum, 1);
        let id = start(&mut store, sum, 14);
        let error = store.as_context_mut().resume_fiber(id, Ok(1)).unwrap_err();
        assert!(error.downcast_ref::<std::fmt::Error>().is_some(), "{error}");
        let id = start(&mut store, sum, 2);
        let error = store.as_context_mut().resume_fiber(id, Err(Trap::Unreachable.into())).unwrap_err();
        assert_eq!(error.trap(), Some(Trap::Unreachable));
        assert!(!error.backtrace().frames().is_empty());
        assert!(matches!(resume(&mut store, other, 4), FiberEnd::Finished(4)));
    }
}

#[test]
fn deadlines_and_interrupts_meet_whoever_runs() {
    for tiers in TIERS {
        let (mut store, instance) = store(&engine_with(Config::default(), tiers));
        let [sum, spins] = ["sum", "spins"].map(|name| func(&mut store, instance, name));
        let other = start(&mut store, sum, 2);
        let id = start(&mut store, spins, 1);
        // Asked for while it is parked, and nobody runs.
        store.interrupt_handle().interrupt();
        let error = store.as_context_mut().resume_fiber(id, Ok(1)).unwrap_err();
        assert_eq!(error.trap(), Some(Trap::Interrupted), "{tiers:?}");
        let id = start(&mut store, spins, 1);
        store.set_deadline(Some(std::time::Duration::from_millis(20))).unwrap();
        let error = store.as_context_mut().resume_fiber(id, Ok(1)).unwrap_err();
        assert_eq!(error.trap(), Some(Trap::DeadlineExceeded), "{tiers:?}");
        store.set_deadline(None).unwrap();
        // Limits are those of the one that runs again.
        let FiberEnd::Parked(other) = resume(&mut store, other, 3) else { panic!("parked once") };
        assert!(matches!(resume(&mut store, other, 4), FiberEnd::Finished(7)));
    }
}

#[test]
fn fuel_is_that_of_the_store() {
    for tiers in TIERS {
        let config = Config { metering: Metering::Fuel, ..Config::default() };
        let (mut store, instance) = store(&engine_with(config, tiers));
        let [sum, spins] = ["sum", "spins"].map(|name| func(&mut store, instance, name));
        store.set_fuel(10_000).unwrap();
        let other = start(&mut store, sum, 1);
        let id = start(&mut store, spins, 1);
        let error = store.as_context_mut().resume_fiber(id, Ok(1)).unwrap_err();
        assert_eq!(error.trap(), Some(Trap::OutOfFuel), "{tiers:?}");
        store.set_fuel(10_000).unwrap();
        assert!(matches!(resume(&mut store, other, 3), FiberEnd::Finished(3)));
    }
}

/// Stacks that have grown, and are parked so, are charged; all is given back with the fibers.
#[test]
fn stores_give_back_what_fibers_took() {
    for tiers in TIERS {
        let engine = engine_with(Config::default(), tiers);
        let (mut store, instance) = store(&engine);
        let deep = func(&mut store, instance, "deep");
        let budget = store.budget().clone();
        let round = |store: &mut Store<Data>| {
            let ids: Vec<FiberId> = (0..40).map(|_| start(store, deep, 2_000)).collect();
            let held = budget.used_bytes();
            for (i, id) in ids.into_iter().enumerate() {
                match i % 2 {
                    0 => assert!(matches!(resume(store, id, 1), FiberEnd::Finished(2_001))),
                    _ => store.as_context_mut().drop_fiber(id),
                }
            }
            (held, budget.used_bytes())
        };
        // What is compiled meanwhile is charged as well; later rounds compile nothing.
        let (first, _) = (round(&mut store), round(&mut store));
        let mut third = round(&mut store);
        // On a busy machine the compiler comes late.
        let fourth = (0..100)
            .map(|_| round(&mut store))
            .find(|next| std::mem::replace(&mut third, *next) == *next)
            .unwrap_or_default();
        assert!(third.0 > third.1, "{tiers:?}: 40 fibers hold something");
        assert_eq!(third, fourth, "{tiers:?}");
        assert!(third.1 < first.0, "{tiers:?}");
        let _parked = start(&mut store, deep, 100);
        drop(store);
        assert_eq!(budget.used_bytes(), 0, "{tiers:?}");
    }
}

#[test]
fn a_function_that_a_fiber_calls_may_panic() {
    for tiers in TIERS {
        let (mut store, instance) = store(&engine_with(Config::default(), tiers));
        let [sum, around] = ["sum", "around"].map(|name| func(&mut store, instance, name));
        let other = start(&mut store, sum, 1);
        // `inside` finds no function to call.
        let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            drop(store.as_context_mut().start_fiber(around, &[1]));
        }));
        assert!(panics.is_err());
        assert!(matches!(resume(&mut store, other, 3), FiberEnd::Finished(3)));
    }
}

/// Each level takes of the host's stack, and so there are only so many.
#[test]
fn fibers_inside_of_fibers_end_where_calls_do() {
    for tiers in TIERS {
        let (mut store, instance) = store(&engine_with(Config::default(), tiers));
        let around = func(&mut store, instance, "around");
        store.data_mut().inner = Some(around);
        let error = store.as_context_mut().start_fiber(around, &[1]).unwrap_err();
        assert_eq!(error.trap(), Some(Trap::CallStackExhausted), "{tiers:?}");
    }
}

#[test]
fn parked_fibers_go_with_a_store_to_another_thread() {
    for tiers in TIERS {
        let (mut store, instance) = store(&engine_with(Config::default(), tiers));
        let sum = func(&mut store, instance, "sum");
        let id = start(&mut store, sum, 2);
        let other = std::thread::spawn(move || {
            let FiberEnd::Parked(id) = resume(&mut store, id, 1) else { panic!("parked once") };
            (store, id)
        });
        let (mut store, id) = other.join().unwrap();
        assert!(matches!(resume(&mut store, id, 2), FiberEnd::Finished(3)));
    }
}
