//! What stops guests that do not end by themselves, wherever they are in a call: fuel, deadlines, interrupts, and the end of the stack.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use innkeeper::component::{Instance, Linker, Running, Val};
use innkeeper::{Adapters, Config, Engine, Error, Metering, Store, Tiers, Trap};

use super::adapters::{Pair, all_engines};
use super::{call, component};

/// What stops a guest.
#[derive(Clone, Copy, Debug)]
enum Stop {
    Fuel,
    Deadline,
    Interrupt,
}

const STOPS: [Stop; 3] = [Stop::Fuel, Stop::Deadline, Stop::Interrupt];

/// What stores have: who wants to know that the guest has begun, and how many futures of the host were dropped.
struct Data {
    begun: Sender<()>,
    dropped: Arc<AtomicU32>,
}

/// Engines that count fuel, in each way to execute guests and to take values over.
fn metered() -> impl Iterator<Item = Engine> {
    let ways = [Tiers::Interpreter, Tiers::Compiled]
        .into_iter()
        .flat_map(|tiers| [Adapters::Generated, Adapters::Walked].map(|adapters| (tiers, adapters)));
    ways.map(|(tiers, adapters)| {
        let mut config = Config { metering: Metering::Fuel, ..Config::default() };
        config.tuning.adapters = adapters;
        innkeeper::engine_with(config, tiers)
    })
}

/// What cannot be called any more.
#[derive(PartialEq)]
enum Poisons {
    Instance,
    /// What waits is left where it is.
    Nothing,
}

const PLENTY: u64 = 1 << 40;

impl Stop {
    /// Lets a guest begin that does not end, and gives why it has ended.
    fn stops(self, engine: &Engine, text: &str, act: fn(&mut Store<Data>, Instance) -> Error) -> Error {
        self.ends(engine, text, Poisons::Instance, act)
    }

    fn ends(
        self,
        engine: &Engine,
        text: &str,
        poisons: Poisons,
        act: fn(&mut Store<Data>, Instance) -> Error,
    ) -> Error {
        let (begun, has_begun) = channel();
        let data = Data { begun, dropped: Arc::default() };
        let mut store = Store::new(engine, data).unwrap();
        store.set_fuel(PLENTY).unwrap();
        let mut linker: Linker<Data> = Linker::new(engine);
        linker.root().func_wrap("begun", |store, ()| {
            // Nobody listens where nobody interrupts.
            let _ = store.data().begun.send(());
            Ok(())
        });
        let dropped = Arc::clone(&store.data().dropped);
        linker.root().func_wrap_concurrent("never", move |_, (): ()| -> Running<()> {
            let counted = Counted(Arc::clone(&dropped));
            Box::pin(async move {
                let _counted = counted;
                std::future::pending::<Result<(), Error>>().await
            })
        });
        let instance = linker.instantiate(&mut store, &component(engine, text)).unwrap();
        let interrupt = store.interrupt_handle();
        let error = std::thread::scope(|scope| {
            match self {
                Stop::Fuel => store.set_fuel(2_000).unwrap(),
                // Guests are to come to where they wait or loop before that, on a busy machine as well.
                Stop::Deadline => store.set_deadline(Some(Duration::from_millis(300))).unwrap(),
                Stop::Interrupt => {
                    scope.spawn(move || {
                        has_begun.recv_timeout(Duration::from_secs(60)).unwrap();
                        interrupt.interrupt();
                    });
                }
            }
            act(&mut store, instance)
        });
        assert_eq!(instance.is_poisoned(&mut store), poisons == Poisons::Instance, "{self:?}: {error}");
        // What is not part of it goes on.
        store.set_fuel(PLENTY).unwrap();
        store.set_deadline(None).unwrap();
        let fresh = linker.instantiate(&mut store, &component(engine, text)).unwrap();
        assert!(!fresh.is_poisoned(&mut store));
        error
    }

    fn trap(self) -> Trap {
        match self {
            Stop::Fuel => Trap::OutOfFuel,
            Stop::Deadline => Trap::DeadlineExceeded,
            Stop::Interrupt => Trap::Interrupted,
        }
    }
}

/// Counts that it was dropped.
struct Counted(Arc<AtomicU32>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// `run` of a component says that it has begun, and does what `caller` says; `f` of another is what it can call. Each has an allocator of its own.
struct Crossing<'a> {
    ty: &'a str,
    import: &'a str,
    caller: &'a str,
    caller_realloc: &'a str,
    callee: &'a str,
    callee_realloc: &'a str,
    options: &'a str,
}

/// For ever.
const ENDLESS: &str = "(loop (br 0)) (unreachable)";

/// Nothing that ends or does not.
const NOTHING: Crossing<'_> = Crossing {
    ty: "",
    import: "",
    caller: "(call $f)",
    caller_realloc: "(i32.const 0)",
    callee: r#"(func (export "f"))"#,
    callee_realloc: "(i32.const 0)",
    options: "",
};

impl Crossing<'_> {
    fn text(&self) -> String {
        let Crossing { ty, import, caller, caller_realloc, callee, callee_realloc, options } = self;
        format!(
            r#"(component
            (import "begun" (func $begun))
            (component $C
                (core module $m (memory (export "mem") 200) {callee}
                    (func (export "realloc") (param i32 i32 i32 i32) (result i32) {callee_realloc}))
                (core instance $m (instantiate $m))
                (func (export "f") {ty} (canon lift (core func $m "f")
                    (memory (core memory $m "mem")) (realloc (core func $m "realloc")) {options})))
            (component $D
                (import "begun" (func $begun)) (import "f" (func $f {ty}))
                (core module $libc (memory (export "mem") 200)
                    (func (export "realloc") (param i32 i32 i32 i32) (result i32) {caller_realloc}))
                (core instance $libc (instantiate $libc))
                (core func $begun (canon lower (func $begun)))
                (core func $f (canon lower (func $f) (memory (core memory $libc "mem")) (realloc (core func $libc "realloc"))))
                (core module $m (import "" "begun" (func $begun)) (import "" "f" (func $f {import}))
                    (func (export "run") (call $begun) {caller}))
                (core instance $m (instantiate $m (with "" (instance (export "begun" (func $begun)) (export "f" (func $f))))))
                (func (export "run") (canon lift (core func $m "run"))))
            (instance $c (instantiate $C))
            (instance $d (instantiate $D (with "begun" (func $begun)) (with "f" (func $c "f"))))
            (func (export "run") (alias export $d "run")))"#
        )
    }
}

fn run(store: &mut Store<Data>, instance: Instance) -> Error {
    call(store, instance, "run", &[]).unwrap_err()
}

#[track_caller]
fn stopped(what: &str, text: &str, act: fn(&mut Store<Data>, Instance) -> Error) {
    for engine in metered() {
        for stop in STOPS {
            let error = stop.stops(&engine, text, act);
            assert_eq!(error.trap(), Some(stop.trap()), "{what}, {stop:?}: {error}");
        }
    }
}

/// C51: an allocator that never returns, which a caller's result needs, a callee's parameter, or one that the host gives.
#[test]
fn c51_allocators_that_never_return_are_stopped() {
    let param = Crossing {
        ty: r#"(param "s" string)"#,
        import: "(param i32 i32)",
        caller: "(call $f (i32.const 0) (i32.const 1))",
        callee: r#"(func (export "f") (param i32 i32))"#,
        callee_realloc: ENDLESS,
        ..NOTHING
    };
    stopped("for a parameter", &param.text(), run);
    let result = Crossing {
        ty: "(result string)",
        import: "(param i32)",
        caller: "(call $f (i32.const 16))",
        caller_realloc: ENDLESS,
        callee: r#"(data (i32.const 8) "\00\00\00\00\01\00\00\00") (func (export "f") (result i32) (i32.const 8))"#,
        ..NOTHING
    };
    stopped("for a result", &result.text(), run);
    let of_host = format!(
        r#"(component
            (core module $m (memory (export "mem") 1) (func (export "f") (param i32 i32))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) {ENDLESS}))
            (core instance $m (instantiate $m))
            (func (export "f") (param "s" string)
                (canon lift (core func $m "f") (memory (core memory $m "mem")) (realloc (core func $m "realloc")))))"#
    );
    stopped("for the host", &of_host, |store, instance| {
        store.data().begun.send(()).ok();
        call(store, instance, "f", &[Val::from("a")]).unwrap_err()
    });
    stopped("for the host, typed", &of_host, |store, instance| {
        store.data().begun.send(()).ok();
        let func = instance.get_typed_func::<(&str,), ()>(&mut *store, "f").unwrap();
        func.call(store, ("a",)).unwrap_err()
    });
}

/// C60: in a callee, in what tidies up after its return, and in strings that are made others again and again.
#[test]
fn c60_whatever_does_not_end_in_a_call_is_stopped() {
    let callee = format!(r#"(func (export "f") {ENDLESS})"#);
    stopped("in a callee", &Crossing { callee: &callee, ..NOTHING }.text(), run);
    let callee = format!(r#"(func (export "f")) (func (export "post") {ENDLESS})"#);
    let options = r#"(post-return (core func $m "post"))"#;
    stopped("after a return", &Crossing { callee: &callee, options, ..NOTHING }.text(), run);
    // A quarter of a MiB becomes half of one.
    let transcoded = Crossing {
        ty: r#"(param "s" string)"#,
        import: "(param i32 i32)",
        caller: "(loop (call $f (i32.const 0) (i32.const 0x40000)) (br 0))",
        callee: r#"(func (export "f") (param i32 i32))"#,
        options: "string-encoding=utf16",
        ..NOTHING
    };
    stopped("between encodings", &transcoded.text(), run);
}

/// A component whose resource has a destructor that never returns; it drops one itself.
fn of_destructor() -> String {
    format!(
        r#"(component
        (import "begun" (func $begun))
        (core func $begun (canon lower (func $begun)))
        (core module $d (import "" "begun" (func $begun)) (func (export "dtor") (param i32) (call $begun) {ENDLESS}))
        (core instance $d (instantiate $d (with "" (instance (export "begun" (func $begun))))))
        (type $r' (resource (rep i32) (dtor (core func $d "dtor")))) (export $r "r" (type $r'))
        (core func $new (canon resource.new $r')) (core func $drop (canon resource.drop $r'))
        (core module $m (import "" "new" (func $new (param i32) (result i32))) (import "" "drop" (func $drop (param i32)))
            (func (export "make") (result i32) (call $new (i32.const 1)))
            (func (export "run") (call $drop (call $new (i32.const 1)))))
        (core instance $m (instantiate $m (with "" (instance (export "new" (func $new)) (export "drop" (func $drop))))))
        (func (export "make") (result (own $r)) (canon lift (core func $m "make")))
        (func (export "run") (canon lift (core func $m "run"))))"#
    )
}

#[test]
fn c60_destructors_that_never_return_are_stopped() {
    stopped("of the guest's", &of_destructor(), run);
    stopped("for the host", &of_destructor(), |store, instance| {
        let Some(Val::Resource(made)) = call(store, instance, "make", &[]).unwrap() else { panic!("none") };
        made.drop(store).unwrap_err()
    });
}

/// `run` returns and waits then for what never comes; `waits` returns after that, and `spins` never. `hold` keeps others from entering, until `release`; `f` counts how often it has begun.
const WAITS: &str = r#"(component
    (import "begun" (func $begun)) (import "never" (func $never async))
    (core module $mem (memory (export "mem") 1)) (core instance $mem (instantiate $mem))
    (core func $begun (canon lower (func $begun)))
    (core func $never (canon lower (func $never) async))
    (core func $return (canon task.return)) (core func $return-u32 (canon task.return (result u32)))
    (core func $inc (canon backpressure.inc)) (core func $dec (canon backpressure.dec))
    (core func $set-new (canon waitable-set.new))
    (core func $join (canon waitable.join))
    (core module $m
        (import "" "inc" (func $inc)) (import "" "dec" (func $dec)) (import "" "return-u32" (func $return-u32 (param i32)))
        (import "" "begun" (func $begun)) (import "" "never" (func $never (result i32)))
        (import "" "return" (func $return)) (import "" "set-new" (func $set-new (result i32)))
        (import "" "join" (func $join (param i32 i32)))
        (global $begun-times (mut i32) (i32.const 0))
        (func (export "hold") (call $inc)) (func (export "release") (call $dec))
        (func (export "f") (result i32)
            (global.set $begun-times (i32.add (global.get $begun-times) (i32.const 1)))
            (call $return-u32 (global.get $begun-times)) (i32.const 0))
        (func $wait (result i32) (local i32)
            (local.set 0 (call $set-new))
            (call $join (i32.shr_u (call $never) (i32.const 4)) (local.get 0))
            (call $begun)
            ;; WAIT
            (i32.or (i32.const 2) (i32.shl (local.get 0) (i32.const 4))))
        (func (export "run") (result i32) (call $return) (call $wait))
        (func (export "waits") (result i32) (call $wait))
        (func (export "spins") (result i32) (call $begun) (loop (br 0)) (unreachable))
        (func (export "cb") (param i32 i32 i32) (result i32) (unreachable)))
    (core instance $m (instantiate $m (with "" (instance
        (export "begun" (func $begun)) (export "never" (func $never)) (export "return" (func $return))
        (export "set-new" (func $set-new)) (export "join" (func $join)) (export "inc" (func $inc)) (export "dec" (func $dec))
        (export "return-u32" (func $return-u32))))))
    (func (export "hold") (canon lift (core func $m "hold"))) (func (export "release") (canon lift (core func $m "release")))
    (func (export "f") async (result u32) (canon lift (core func $m "f") async (callback (core func $m "cb"))))
    (func (export "run") async (canon lift (core func $m "run") async (callback (core func $m "cb"))))
    (func (export "waits") async (canon lift (core func $m "waits") async (callback (core func $m "cb"))))
    (func (export "spins") async (canon lift (core func $m "spins") async (callback (core func $m "cb")))))"#;

/// C60: a task that waits for the host ends with what stops it, or another one of its instance, and so does what the host does for it.
#[test]
fn c60_tasks_that_wait_are_stopped() {
    for engine in metered() {
        for stop in STOPS {
            let error = stop.stops(&engine, WAITS, |store, instance| {
                call(store, instance, "run", &[]).unwrap();
                let error = call(store, instance, "spins", &[]).unwrap_err();
                assert_eq!(store.data().dropped.load(Ordering::Relaxed), 1, "{error}");
                error
            });
            // The first one to have begun is only waited for by nobody: an interrupt meets the other.
            assert_eq!(error.trap(), Some(stop.trap()), "{stop:?}: {error}");
        }
        // Who waits uses no fuel. Nothing of it was cut short, and nothing is poisoned: nobody asks for its result any more.
        for stop in [Stop::Deadline, Stop::Interrupt] {
            let error = stop.ends(&engine, WAITS, Poisons::Nothing, |store, instance| {
                let error = call(store, instance, "waits", &[]).unwrap_err();
                store.set_deadline(None).unwrap();
                assert_eq!(call(store, instance, "f", &[]).unwrap(), Some(Val::U32(1)));
                error
            });
            assert_eq!(error.trap(), Some(stop.trap()), "{stop:?}: {error}");
        }
    }
}

/// C79: a call that is dropped before its task has begun never begins, and whoever comes after it does.
#[cfg(feature = "async")]
#[test]
fn c79_a_call_that_is_dropped_before_it_has_begun_never_begins() {
    use std::task::{Context, Waker};
    for engine in metered() {
        let (begun, _has_begun) = channel();
        let mut store = Store::new(&engine, Data { begun, dropped: Arc::default() }).unwrap();
        store.set_fuel(PLENTY).unwrap();
        let mut linker: Linker<Data> = Linker::new(&engine);
        linker.root().func_wrap("begun", |_, ()| Ok(()));
        linker.root().func_wrap_concurrent("never", |_, (): ()| -> Running<()> {
            Box::pin(std::future::pending::<Result<(), Error>>())
        });
        let instance = linker.instantiate(&mut store, &component(&engine, WAITS)).unwrap();
        // What might still come keeps this from being a deadlock.
        call(&mut store, instance, "run", &[]).unwrap();
        call(&mut store, instance, "hold", &[]).unwrap();
        let func = instance.get_func(&mut store, "f").unwrap();
        for _ in 0..20 {
            let mut results = [Val::Bool(false)];
            let mut running = Box::pin(func.call_async(&mut store, &[], &mut results));
            assert!(running.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        assert!(!instance.is_poisoned(&mut store));
        call(&mut store, instance, "release", &[]).unwrap();
        assert_eq!(call(&mut store, instance, "f", &[]).unwrap(), Some(Val::U32(1)));
    }
}

/// C59: the stack's end is a trap in what makes a string another one, and in a function of the host that a guest on a fiber calls at each depth.
#[test]
fn c59_the_stack_ends_in_transcoders_and_in_functions_of_the_host() {
    let pair = Pair {
        types: &[],
        ty: r#"(param "s" string)"#,
        run_ty: "",
        core_c: r#"(func (export "f") (param i32 i32))"#,
        core_d: r#"(func $deep (call $f (i32.const 0) (i32.const 8)) (call $deep) (call $deep))
            (func (export "run") (call $deep))"#,
        import: "(param i32 i32)",
        options: ["string-encoding=latin1+utf16", "string-encoding=utf16"],
    };
    let text = pair.text().replace(
        "(global.set $next (i32.add (local.get $at) (local.get 3)))",
        "(local.set $at (i32.const 1024))",
    );
    let calls_host = r#"(component
        (import "host" (func $host (param "s" string) (result u32)))
        (core module $libc (memory (export "mem") 1)) (core instance $libc (instantiate $libc))
        (core func $host (canon lower (func $host) (memory (core memory $libc "mem"))))
        (core module $m (import "" "host" (func $host (param i32 i32) (result i32)))
            (func $deep (drop (call $host (i32.const 0) (i32.const 8))) (call $deep) (call $deep))
            (func (export "run") (call $deep)))
        (core instance $m (instantiate $m (with "" (instance (export "host" (func $host))))))
        (func (export "run") async (canon lift (core func $m "run"))))"#;
    for engine in all_engines() {
        for text in [&text, calls_host] {
            let mut linker: Linker<u32> = Linker::new(&engine);
            linker.root().func_wrap("host", |mut store, (text,): (String,)| {
                *store.data_mut() += 1;
                Ok(text.len() as u32)
            });
            let mut store = Store::new(&engine, 0).unwrap();
            let instance = linker.instantiate(&mut store, &component(&engine, text)).unwrap();
            let error = call(&mut store, instance, "run", &[]).unwrap_err();
            assert_eq!(error.trap(), Some(Trap::CallStackExhausted), "{error}");
            assert!(instance.is_poisoned(&mut store));
            assert!(*store.data() > 1000 || text != calls_host, "{} deep", store.data());
        }
    }
}
