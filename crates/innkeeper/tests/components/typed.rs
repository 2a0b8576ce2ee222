//! Calls with Rust types: of guests' functions, and of the host's by guests.

use innkeeper::component::{
    Borrowed, BorrowedAny, ComponentType, Instance, Lift, Linker, Lower, Resource, ResourceAny,
    ResourceTable, Trap, Val,
};
use innkeeper::{Engine, Error, Store, StoreContextMut};

use super::{component, engines};

/// Echoes what it is given, through its memory, with an allocator that never frees and a function after the return that counts.
const ECHO: &str = r#"(component
    (import "test:host/log@1.0.0" (instance $log
        (export "line" (func (param "text" string) (param "bytes" (list u8)) (param "words" (list u32)) (result u32)))
        (export "name" (func (param "id" u64) (result string)))))
    (core module $libc
        (memory (export "memory") 2)
        (global $next (mut i32) (i32.const 4096))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (global.set $next (i32.and
                (i32.add (global.get $next) (i32.sub (local.get 2) (i32.const 1)))
                (i32.sub (i32.const 0) (local.get 2))))
            (global.get $next)
            (global.set $next (i32.add (global.get $next) (local.get 3)))))
    (core instance $libc (instantiate $libc))
    (alias core export $libc "memory" (core memory $mem))
    (alias core export $libc "realloc" (core func $realloc))
    (core func $line (canon lower (func $log "line") (memory $mem)))
    (core func $name (canon lower (func $log "name") (memory $mem) (realloc $realloc)))
    (core module $m
        (import "libc" "memory" (memory 2))
        (import "log" "line" (func $line (param i32 i32 i32 i32 i32 i32) (result i32)))
        (import "log" "name" (func $name (param i64 i32)))
        (global $tidied (mut i32) (i32.const 0))
        (data (i32.const 64) "\01\00\00\00\02\00\00\00\28\00\00\00")
        (func (export "pair") (param i32 i32) (result i32)
            (i32.store (i32.const 16) (local.get 0))
            (i32.store (i32.const 20) (local.get 1))
            (i32.const 16))
        (func (export "triple") (param i32 i32 i32) (result i32)
            (i32.store (i32.const 16) (local.get 0))
            (i32.store (i32.const 20) (local.get 1))
            (i32.store (i32.const 24) (local.get 2))
            (i32.const 16))
        (func (export "tidy") (param i32) (global.set $tidied (i32.add (global.get $tidied) (i32.const 1))))
        (func (export "tidied") (result i32) (global.get $tidied))
        (func (export "sum") (param i32) (result i64)
            (local $i i32) (local $sum i64)
            (loop $next
                (local.set $sum (i64.add (local.get $sum) (i64.load (i32.add (local.get 0) (local.get $i)))))
                (br_if $next (i32.lt_u
                    (local.tee $i (i32.add (local.get $i) (i32.const 8)))
                    (i32.const 128))))
            (i64.add (local.get $sum) (i64.load8_u (i32.add (local.get 0) (i32.const 128)))))
        (func (export "talk") (param i32 i32) (result i32)
            (call $line (local.get 0) (local.get 1) (local.get 0) (local.get 1) (i32.const 64) (i32.const 3)))
        (func (export "wild") (param i32) (result i32)
            (call $line (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (local.get 0) (i32.const 3)))
        (func (export "named") (param i64) (result i32)
            (call $name (local.get 0) (i32.const 32))
            (i32.const 32)))
    (core instance $m (instantiate $m
        (with "libc" (instance $libc))
        (with "log" (instance (export "line" (func $line)) (export "name" (func $name))))))
    (alias core export $m "tidy" (core func $tidy))
    (type $point' (record (field "the-x" u32) (field "label" string)))
    (export $point "point" (type $point'))
    (func (export "text") (param "text" string) (result string) (canon lift (core func $m "pair")
        (memory $mem) (realloc $realloc) (post-return $tidy)))
    (func (export "words") (param "words" (list u32)) (result (list u32)) (canon lift (core func $m "pair")
        (memory $mem) (realloc $realloc) (post-return $tidy)))
    (func (export "point-back") (param "point" $point) (result $point) (canon lift (core func $m "triple")
        (memory $mem) (realloc $realloc)))
    (func (export "sum") (param "a" (tuple u64 u64 u64 u64 u64 u64 u64 u64 u64 u64 u64 u64 u64 u64 u64 u64)) (param "b" u8)
        (result u64)
        (canon lift (core func $m "sum") (memory $mem) (realloc $realloc)))
    (func (export "tidied") (result u32) (canon lift (core func $m "tidied")))
    (func (export "talk") (param "text" string) (result u32) (canon lift (core func $m "talk")
        (memory $mem) (realloc $realloc)))
    (func (export "wild") (param "at" u32) (result u32) (canon lift (core func $m "wild")))
    (func (export "named") (param "id" u64) (result string) (canon lift (core func $m "named")
        (memory $mem))))"#;

#[derive(Debug, PartialEq, ComponentType, Lift, Lower)]
struct Point {
    the_x: u32,
    label: String,
}

#[derive(ComponentType, Lower)]
#[allow(dead_code, reason = "it is of another type than the component's")]
struct Misnamed {
    x: u32,
    label: String,
}

/// What the host was told.
type Lines = Vec<String>;

fn linker(engine: &Engine) -> Linker<Lines> {
    let mut linker: Linker<Lines> = Linker::new(engine);
    let mut log = linker.instance("test:host/log@1.0.0").unwrap();
    log.func_wrap_borrowed::<(&str, &[u8], &[u32]), _>("line", |lines, (text, bytes, words)| {
        assert_eq!(text.as_bytes(), bytes);
        lines.push(text.to_owned());
        Ok(words.iter().sum::<u32>())
    });
    log.func_wrap("name", |mut store: StoreContextMut<'_, Lines>, (id,): (u64,)| {
        store.data_mut().push(id.to_string());
        Ok(format!("number {id}"))
    });
    linker
}

fn echo(engine: &Engine) -> (Store<Lines>, Instance) {
    let mut store = Store::new(engine, Lines::new()).unwrap();
    let instance = linker(engine).instantiate(&mut store, &component(engine, ECHO)).unwrap();
    (store, instance)
}

#[test]
fn functions_of_guests_take_and_give_rust_types() {
    for engine in engines() {
        let (mut store, instance) = echo(&engine);
        let text = instance.get_typed_func::<(&str,), String>(&mut store, "text").unwrap();
        for sent in ["", "hello", "\u{1f600} and more"] {
            assert_eq!(text.call(&mut store, (sent,)).unwrap(), sent);
        }
        let all: Vec<u32> = (0..1025).map(|i: u32| i.wrapping_mul(0x0101_0101)).collect();
        let words = instance.get_typed_func::<(&[u32],), Vec<u32>>(&mut store, "words").unwrap();
        for length in [0, 1, 3, 4, 5, 1023, 1024, 1025] {
            assert_eq!(words.call(&mut store, (&all[..length],)).unwrap(), all[..length]);
        }
        let tidied = instance.get_typed_func::<(), u32>(&mut store, "tidied").unwrap();
        assert_eq!(
            tidied.call(&mut store, ()).unwrap(),
            11,
            "the function after the return was called each time"
        );
        let point = instance.get_typed_func::<(Point,), Point>(&mut store, "point-back").unwrap();
        let sent = || Point { the_x: 7, label: "here".to_owned() };
        assert_eq!(point.call(&mut store, (sent(),)).unwrap(), sent());
    }
}

/// Seventeen parameters are passed in memory.
#[test]
fn parameters_that_are_too_many_are_passed_in_memory() {
    type Sixteen = (u64, u64, u64, u64, u64, u64, u64, u64, u64, u64, u64, u64, u64, u64, u64, u64);
    for engine in engines() {
        let (mut store, instance) = echo(&engine);
        let sum = instance.get_typed_func::<(Sixteen, u8), u64>(&mut store, "sum").unwrap();
        let sent = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16);
        assert_eq!(sum.call(&mut store, (sent, 100)).unwrap(), 236);
    }
}

#[test]
fn types_that_differ_are_told_in_one_sentence() {
    for engine in engines() {
        let (mut store, instance) = echo(&engine);
        let error =
            instance.get_typed_func::<(&str, u8), Vec<u64>>(&mut store, "text").unwrap_err().to_string();
        let said = "`text` is `func(text: string) -> string` in the component, and Rust has `func(string, u8) -> list<u64>` for it";
        assert!(error.contains(said), "{error}");
        let error =
            instance.get_typed_func::<(Misnamed,), Point>(&mut store, "point-back").unwrap_err().to_string();
        assert!(error.contains("record{x: u32, label: string}"), "{error}");
        assert!(error.contains("record{the-x: u32, label: string}"), "{error}");
        for error in [
            instance.get_typed_func::<(&str,), ()>(&mut store, "text").map(drop).unwrap_err(),
            instance.get_typed_func::<(), String>(&mut store, "text").map(drop).unwrap_err(),
            instance.get_typed_func::<(&str,), String>(&mut store, "no-such").map(drop).unwrap_err(),
        ] {
            assert!(
                error.to_string().contains("`text`") || error.to_string().contains("`no-such`"),
                "{error}"
            );
        }
        // The host's functions are checked when a component is linked with them.
        let mut linker = linker(&engine);
        let mut log = linker.instance("test:host/log@1.0.0").unwrap();
        log.func_wrap("name", |_, (_,): (u32,)| Ok(String::new()));
        let mut store = Store::new(&engine, Lines::new()).unwrap();
        let error = linker.instantiate(&mut store, &component(&engine, ECHO)).unwrap_err().to_string();
        assert!(error.contains("test:host/log@1.0.0#name"), "{error}");
        assert!(
            error.contains("func(id: u64) -> string") && error.contains("func(u32) -> string"),
            "{error}"
        );
    }
}

#[test]
fn functions_of_the_host_borrow_from_the_guest() {
    for engine in engines() {
        let (mut store, instance) = echo(&engine);
        let talk = instance.get_typed_func::<(&str,), u32>(&mut store, "talk").unwrap();
        assert_eq!(talk.call(&mut store, ("hé",)).unwrap(), 43);
        assert_eq!(*store.data(), ["hé"]);
        let named = instance.get_typed_func::<(u64,), String>(&mut store, "named").unwrap();
        assert_eq!(named.call(&mut store, (1 << 40,)).unwrap(), "number 1099511627776");
        // The walk over types calls the same functions.
        assert_eq!(super::call(&mut store, instance, "talk", &["x".into()]).unwrap(), Some(Val::U32(43)));
        for (at, trap) in
            [(66, Trap::Unaligned), (0xffff_fff0, Trap::ListOutOfBounds), (131_064, Trap::ListOutOfBounds)]
        {
            let (mut store, instance) = echo(&engine);
            let wild = instance.get_typed_func::<(u32,), u32>(&mut store, "wild").unwrap();
            let error = wild.call(&mut store, (at,)).unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&trap), "{error}");
            assert!(instance.is_poisoned(&mut store));
            let error = wild.call(&mut store, (64,)).unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&Trap::CannotEnter), "{error}");
        }
    }
}

/// Uses counters of the host's.
const COUNTS: &str = r#"(component
    (import "test:host/counters" (instance $counters
        (export "counter" (type $counter (sub resource)))
        (export "make" (func (param "start" u32) (result (own $counter))))
        (export "add" (func (param "counter" (borrow $counter)) (param "by" u32) (result u32)))
        (export "close" (func (param "counter" (own $counter)) (result u32)))))
    (alias export $counters "counter" (type $counter))
    (core func $make (canon lower (func $counters "make")))
    (core func $add (canon lower (func $counters "add")))
    (core func $close (canon lower (func $counters "close")))
    (core func $drop (canon resource.drop $counter))
    (core module $m
        (import "" "make" (func $make (param i32) (result i32)))
        (import "" "add" (func $add (param i32 i32) (result i32)))
        (import "" "close" (func $close (param i32) (result i32)))
        (import "" "drop" (func $drop (param i32)))
        (func (export "count") (param $by i32) (result i32)
            (local $counter i32)
            (local.set $counter (call $make (i32.const 5)))
            (drop (call $add (local.get $counter) (local.get $by)))
            (call $add (local.get $counter) (local.get $by))
            (call $drop (local.get $counter)))
        (func (export "make") (param i32) (result i32) (call $make (local.get 0)))
        (func (export "look") (param i32) (result i32)
            (call $add (local.get 0) (i32.const 0))
            (call $drop (local.get 0)))
        (func (export "forget") (param i32) (result i32) (i32.const 0))
        (func (export "close") (param i32) (result i32) (call $close (local.get 0)))
        (func (export "drop") (param i32) (call $drop (local.get 0))))
    (core instance $m (instantiate $m (with "" (instance
        (export "make" (func $make)) (export "add" (func $add)) (export "close" (func $close)) (export "drop" (func $drop))))))
    (func (export "count") (param "by" u32) (result u32) (canon lift (core func $m "count")))
    (func (export "make") (param "start" u32) (result (own $counter)) (canon lift (core func $m "make")))
    (func (export "look") (param "counter" (borrow $counter)) (result u32) (canon lift (core func $m "look")))
    (func (export "forget") (param "counter" (borrow $counter)) (result u32) (canon lift (core func $m "forget")))
    (func (export "close") (param "counter" (own $counter)) (result u32) (canon lift (core func $m "close")))
    (func (export "drop") (param "counter" (own $counter)) (canon lift (core func $m "drop"))))"#;

struct Counter(u32);

#[derive(Default)]
struct Host {
    table: ResourceTable,
    dropped: u32,
}

fn counts(engine: &Engine) -> (Store<Host>, Instance) {
    let mut linker: Linker<Host> = Linker::new(engine);
    let mut counters = linker.instance("test:host/counters").unwrap();
    counters
        .resource_of::<Counter>("counter", |mut store, counter| {
            let host = store.data_mut();
            host.dropped += host.table.delete(counter)?.0;
            Ok(())
        })
        .func_wrap_borrowed::<(u32,), _>("make", |host, (start,)| host.table.push(Counter(start)))
        .func_wrap_borrowed::<(Borrowed<'_, Counter>, u32), _>("add", |host, (counter, by)| {
            let counter = host.table.borrowed_mut(counter)?;
            counter.0 += by;
            Ok(counter.0)
        })
        .func_wrap("close", |mut store: StoreContextMut<'_, Host>, (counter,): (Resource<Counter>,)| {
            Ok(store.data_mut().table.delete(counter)?.0)
        });
    let mut store = Store::new(engine, Host::default()).unwrap();
    let instance = linker.instantiate(&mut store, &component(engine, COUNTS)).unwrap();
    (store, instance)
}

#[test]
fn resources_of_the_host_have_a_rust_type() {
    for engine in engines() {
        let (mut store, instance) = counts(&engine);
        let count = instance.get_typed_func::<(u32,), u32>(&mut store, "count").unwrap();
        assert_eq!(count.call(&mut store, (10,)).unwrap(), 25);
        assert_eq!(store.data().dropped, 25, "its destructor was called");
        let make = instance.get_typed_func::<(u32,), Resource<Counter>>(&mut store, "make").unwrap();
        let look = instance.get_typed_func::<(Borrowed<'_, Counter>,), u32>(&mut store, "look").unwrap();
        let close = instance.get_typed_func::<(Resource<Counter>,), u32>(&mut store, "close").unwrap();
        let drop = instance.get_typed_func::<(&Resource<Counter>,), ()>(&mut store, "drop").unwrap();
        let (one, two) = (make.call(&mut store, (3,)).unwrap(), make.call(&mut store, (40,)).unwrap());
        for _ in 0..2 {
            assert_eq!(look.call(&mut store, (one.borrow(),)).unwrap(), 3);
        }
        assert_eq!(store.data().table.get(&two).unwrap().0, 40);
        assert_eq!(close.call(&mut store, (one,)).unwrap(), 3);
        drop.call(&mut store, (&two,)).unwrap();
        assert_eq!(store.data().dropped, 65);
        let error = drop.call(&mut store, (&two,)).unwrap_err().to_string();
        assert!(error.contains("given away"), "{error}");
        assert_eq!(count.call(&mut store, (0,)).unwrap(), 5, "it was found before the guest was entered");
    }
}

/// However many handles a guest lends for a call, it has all of them back after it, and can drop them.
#[test]
fn each_handle_that_is_lent_comes_back() {
    let text = r#"(component
        (import "counters" (instance $counters
            (export "counter" (type $counter (sub resource)))
            (export "make" (func (param "start" u32) (result (own $counter))))
            (export "sum" (func (param "a" (borrow $counter)) (param "b" (borrow $counter)) (param "c" (borrow $counter)) (result u32)))))
        (alias export $counters "counter" (type $counter))
        (core func $make (canon lower (func $counters "make")))
        (core func $sum (canon lower (func $counters "sum")))
        (core func $drop (canon resource.drop $counter))
        (core module $m
            (import "" "make" (func $make (param i32) (result i32)))
            (import "" "sum" (func $sum (param i32 i32 i32) (result i32)))
            (import "" "drop" (func $drop (param i32)))
            (func (export "run") (result i32) (local $a i32) (local $b i32)
                (local.set $a (call $make (i32.const 5)))
                (local.set $b (call $make (i32.const 40)))
                (call $sum (local.get $a) (local.get $b) (local.get $a))
                (call $drop (local.get $b))
                (call $drop (local.get $a))))
        (core instance $m (instantiate $m (with "" (instance
            (export "make" (func $make)) (export "sum" (func $sum)) (export "drop" (func $drop))))))
        (func (export "run") (result u32) (canon lift (core func $m "run"))))"#;
    for engine in engines() {
        let mut linker: Linker<u32> = Linker::new(&engine);
        let mut counters = linker.instance("counters").unwrap();
        counters.resource_of::<Counter>("counter", |mut store, counter| {
            *store.data_mut() += counter.rep();
            Ok(())
        });
        counters.func_wrap("make", |_, (start,): (u32,)| Ok(Resource::<Counter>::new(start)));
        type Three<'a> = (Borrowed<'a, Counter>, Borrowed<'a, Counter>, Borrowed<'a, Counter>);
        counters.func_wrap_borrowed::<Three<'_>, u32>("sum", |_, (a, b, c)| Ok(a.rep() + b.rep() + c.rep()));
        let mut store = Store::new(&engine, 0).unwrap();
        let instance = linker.instantiate(&mut store, &component(&engine, text)).unwrap();
        let run = instance.get_typed_func::<(), u32>(&mut store, "run").unwrap();
        assert_eq!(run.call(&mut store, ()).unwrap(), 50);
        assert_eq!(*store.data(), 45, "both were dropped");
    }
}

/// A handle that a guest was lent and has not dropped is a trap; another resource type is not the one that is imported.
#[test]
fn rules_of_resources_hold_for_rust_types() {
    for engine in engines() {
        let (mut store, instance) = counts(&engine);
        let forget = instance.get_typed_func::<(Borrowed<'_, Counter>,), u32>(&mut store, "forget").unwrap();
        let counter = store.data_mut().table.push(Counter(1)).unwrap();
        let error = forget.call(&mut store, (counter.borrow(),)).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::BorrowsRemain), "{error}");
        let (mut store, instance) = counts(&engine);
        assert!(instance.get_typed_func::<(u32,), Resource<String>>(&mut store, "make").is_err());
        assert!(
            instance.get_typed_func::<(Resource<Counter>,), u32>(&mut store, "look").is_err(),
            "it borrows"
        );
    }
}

/// What a guest has defined is a [`ResourceAny`] in Rust.
#[test]
fn resources_of_guests_have_no_rust_type() -> Result<(), Error> {
    for engine in engines() {
        let (mut store, instance) = super::instance(&engine, super::resources::COUNTER);
        let make = instance.get_typed_func::<(u32,), ResourceAny>(&mut store, "make")?;
        let look = instance.get_typed_func::<(BorrowedAny,), u32>(&mut store, "look")?;
        let take = instance.get_typed_func::<(ResourceAny,), ()>(&mut store, "take")?;
        let dropped = instance.get_typed_func::<(), u32>(&mut store, "dropped")?;
        let counter = make.call(&mut store, (9,))?;
        assert_eq!(look.call(&mut store, (BorrowedAny(counter),))?, 9);
        take.call(&mut store, (counter,))?;
        assert_eq!(dropped.call(&mut store, ())?, 9);
        assert!(look.call(&mut store, (BorrowedAny(counter),)).unwrap_err().to_string().contains("gone"));
        assert_eq!(dropped.call(&mut store, ())?, 9, "it was found before the guest was entered");
    }
    Ok(())
}
