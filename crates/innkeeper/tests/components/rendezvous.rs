//! Copies from one end of a stream to the other: of nothing, within one instance, of handles, of texts, of more than there is memory for.

use innkeeper::component::{Component, Feature, Features, Instance, Linker, Trap, Val};
use innkeeper::{Engine, Store};

use super::tasks::{self, STACKFUL};
use super::{call, engines};

/// What a copy that has to wait returns, of which its lowest byte is shown.
const BLOCKED: u32 = 0xff;

/// Lets `a` come first and `b` then, each with so many elements, one of them reading and the other writing; tells in bytes what `b` was told, which event there is then, and how it has ended.
const MEET: &str = r#"(func $copy (param $reads i32) (param $ends i64) (param $length i32) (result i32)
        (if (result i32) (local.get $reads)
            (then (call $s-read (call $low (local.get $ends)) (i32.const 64) (local.get $length)))
            (else (call $s-write (call $high (local.get $ends)) (i32.const 96) (local.get $length)))))
    (func (export "f") (param $reads i32) (param $a i32) (param $b i32) (local $ends i64) (local $set i32) (local $told i32)
        (local.set $ends (call $s-new))
        (local.set $set (call $set-new))
        (if (i32.ne (call $copy (local.get $reads) (local.get $ends) (local.get $a)) (i32.const -1)) (then (unreachable)))
        (call $join (select (call $low (local.get $ends)) (call $high (local.get $ends)) (local.get $reads)) (local.get $set))
        (local.set $told (i32.and (i32.const 255) (call $copy (i32.eqz (local.get $reads)) (local.get $ends) (local.get $b))))
        (call $return (i32.or (local.get $told) (i32.or
            (i32.shl (call $set-poll (local.get $set) (i32.const 0)) (i32.const 8))
            (i32.shl (i32.load (i32.const 4)) (i32.const 16))))))"#;

const MEET_EXPORTS: &str = r#"(func (export "f") async (param "reads" bool) (param "a" u32) (param "b" u32) (result u32)
    (canon lift (core func $m "f") async))"#;

/// C91: who comes with nothing learns that the other one is there, and nobody is told twice.
#[test]
fn c91_nothing_meets_nothing_and_something_in_both_orders() {
    const STREAM_READ: u32 = 2;
    const STREAM_WRITE: u32 = 3;
    let completed = |count: u32| count << 4;
    // Whether a read comes first, with how many, and with how many a write then; what the second one is told, and what the first one.
    let cases = [
        (true, 0, 0, completed(0), None),
        (true, 0, 4, BLOCKED, Some((STREAM_READ, 0))),
        (true, 4, 0, completed(0), None),
        (true, 4, 3, completed(3), Some((STREAM_READ, completed(3)))),
        (false, 0, 0, BLOCKED, Some((STREAM_WRITE, 0))),
        (false, 0, 4, BLOCKED, Some((STREAM_WRITE, 0))),
        (false, 4, 0, completed(0), None),
        (false, 4, 5, completed(4), Some((STREAM_WRITE, completed(4)))),
    ];
    for engine in engines() {
        for (reads, a, b, second, first) in cases {
            let (mut store, instance) = tasks::instance(&engine, MEET, MEET_EXPORTS);
            let given = [Val::Bool(reads), Val::U32(a), Val::U32(b)];
            let told = tasks::result(call(&mut store, instance, "f", &given));
            let first = first.map_or(0, |(code, how)| code << 8 | how << 16);
            assert_eq!(told, second | first, "{reads} {a} {b}: {told:#x}");
        }
    }
}

/// C91: a read of nothing from nobody is told that there is nobody.
#[test]
fn c91_a_read_of_nothing_after_the_writer_has_gone() {
    let body = r#"(func (export "f") (local i64) (local.set 0 (call $s-new))
        (call $s-drop-w (call $high (local.get 0)))
        (call $return (call $s-read (call $low (local.get 0)) (i32.const 0) (i32.const 0))))"#;
    for engine in engines() {
        let (mut store, instance) = tasks::instance(&engine, body, STACKFUL);
        assert_eq!(tasks::result(call(&mut store, instance, "f", &[])), 1, "DROPPED");
    }
}

/// C100: how much is asked for is looked at before anything is taken for it.
#[test]
fn c100_a_guest_that_asks_for_four_gibibytes_gets_none() {
    let read = |length: u32, address: u32| {
        format!(
            r#"(func (export "f") (drop (call $s-read (call $low (call $s-new)) (i32.const {address}) (i32.const {length}))))"#
        )
    };
    let cases = [
        (u32::MAX, 0, Trap::BufferTooLong),
        (1 << 28, 0, Trap::BufferTooLong),
        ((1 << 28) - 1, 0, Trap::PointerOutOfBounds),
        (65_537, 0, Trap::PointerOutOfBounds),
        (2, 65_535, Trap::PointerOutOfBounds),
        (1, u32::MAX, Trap::PointerOutOfBounds),
    ];
    for engine in engines() {
        for (length, address, expected) in &cases {
            let (mut store, instance) = tasks::instance(&engine, &read(*length, *address), STACKFUL);
            let used = store.budget().used_bytes();
            let error = call(&mut store, instance, "f", &[]).unwrap_err();
            assert_eq!(error.downcast_ref::<Trap>(), Some(expected), "{length} at {address}: {error}");
            assert!(store.budget().used_bytes() < used + (1 << 20), "{length} at {address}");
        }
    }
}

/// What both components of a pair have besides.
struct Besides {
    /// In the component around them.
    around: &'static str,
    /// In each of them: it must make `$drop` and `$make` core functions.
    within: &'static str,
    /// How they are instantiated.
    with: &'static str,
}

/// Nothing.
const NOTHING: Besides = Besides {
    around: "",
    within: r#"(core module $none (func (export "drop") (param i32)) (func (export "make") (result i32) (unreachable)))
        (core instance $none (instantiate $none))
        (alias core export $none "drop" (core func $drop)) (alias core export $none "make" (core func $make))"#,
    with: "",
};

/// A resource type of a third component, which counts its destructor's calls.
const COUNTED: Besides = Besides {
    around: r#"(component $res
            (core module $d (global $count (mut i32) (i32.const 0))
                (func (export "dtor") (param i32) (global.set $count (i32.add (global.get $count) (i32.const 1))))
                (func (export "count") (result i32) (global.get $count)))
            (core instance $d (instantiate $d))
            (type $t (resource (rep i32) (dtor (core func $d "dtor"))))
            (core func $new (canon resource.new $t))
            (core module $n (import "" "new" (func $new (param i32) (result i32)))
                (func (export "make") (result i32) (call $new (i32.const 7))))
            (core instance $n (instantiate $n (with "" (instance (export "new" (func $new))))))
            (export $out "r" (type $t))
            (func (export "make") (result (own $out)) (canon lift (core func $n "make")))
            (func (export "count") (result u32) (canon lift (core func $d "count"))))
        (instance $res (instantiate $res))
        (alias export $res "r" (type $r))
        (export "count" (func $res "count"))"#,
    within: r#"(import "r" (type $r (sub resource))) (import "make" (func $make (result (own $r))))
        (core func $drop (canon resource.drop $r)) (core func $make (canon lower (func $make)))"#,
    with: r#"(with "r" (type $r)) (with "make" (func $res "make"))"#,
};

/// What both components have: a memory, an allocator that notes the context of its caller, and the functions of a stream and of one of bytes.
const COMMON: &str = r#"(core module $mem (memory (export "mem") 1)
        (global $next (export "next") (mut i32) (i32.const 4096)) (global $seen (export "seen") (mut i32) (i32.const 0)))
    (core instance $mem (instantiate $mem))
    (alias core export $mem "mem" (core memory $mem))
    (core func $get (canon context.get i32 0)) (core func $ctx (canon context.set i32 0))
    (core module $realloc
        (import "" "next" (global $next (mut i32))) (import "" "seen" (global $seen (mut i32))) (import "" "get" (func $get (result i32)))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local i32)
            (global.set $seen (i32.or (global.get $seen) (call $get)))
            (local.set 4 (global.get $next))
            (global.set $next (i32.add (global.get $next) (i32.and (i32.add (local.get 3) (i32.const 7)) (i32.const -8))))
            (local.get 4)))
    (alias core export $mem "next" (core global $next)) (alias core export $mem "seen" (core global $seen))
    (core instance $realloc (instantiate $realloc (with "" (instance
        (export "next" (global $next)) (export "seen" (global $seen)) (export "get" (func $get))))))
    (alias core export $realloc "realloc" (core func $realloc))
    (core func $new (canon stream.new $s))
    (core func $read (canon stream.read $s async (memory $mem) (realloc $realloc)))
    (core func $write (canon stream.write $s async (memory $mem) (realloc $realloc)))
    (core func $cancel (canon stream.cancel-write $s async))
    (core func $b-new (canon stream.new $b))
    (core func $b-read (canon stream.read $b async (memory $mem))) (core func $b-write (canon stream.write $b async (memory $mem)))"#;

const IMPORTS: &str = r#"(import "" "mem" (memory 1)) (import "" "seen" (global $seen (mut i32))) (import "" "ctx" (func $ctx (param i32)))
    (import "" "new" (func $new (result i64))) (import "" "b-new" (func $b-new (result i64)))
    (import "" "read" (func $read (param i32 i32 i32) (result i32))) (import "" "write" (func $write (param i32 i32 i32) (result i32)))
    (import "" "b-read" (func $b-read (param i32 i32 i32) (result i32))) (import "" "b-write" (func $b-write (param i32 i32 i32) (result i32)))
    (import "" "cancel" (func $cancel (param i32) (result i32)))
    (import "" "drop" (func $drop (param i32))) (import "" "make" (func $make (result i32)))"#;

const GLOBALS: &str = "(global $end (mut i32) (i32.const 0)) (global $inner (mut i32) (i32.const 0))";

const GIVES: &str = r#"(export "mem" (memory $mem)) (export "seen" (global $seen)) (export "ctx" (func $ctx))
    (export "new" (func $new)) (export "read" (func $read)) (export "write" (func $write)) (export "cancel" (func $cancel))
    (export "b-new" (func $b-new)) (export "b-read" (func $b-read)) (export "b-write" (func $b-write))
    (export "drop" (func $drop)) (export "make" (func $make))"#;

/// Two components: the writer makes a stream of such elements and gives the reader its readable end (`begins`); then `writes` and `reads` do what the bodies say.
fn pair(engine: &Engine, element: &str, (writer, reader): (&str, &str), besides: &Besides) -> Component {
    let Besides { around, within, with } = besides;
    let text = format!(
        r#"(component {around}
        (component $reader {within} (type $b (stream u8)) (type $s (stream {element})) {COMMON}
            (core module $m {IMPORTS} {GLOBALS}
                (func (export "take") (param i32) (global.set $end (local.get 0)))
                (func (export "give") (result i32) (global.get $end))
                {reader})
            (core instance $m (instantiate $m (with "" (instance {GIVES}))))
            (func (export "take") (param "s" $s) (canon lift (core func $m "take")))
            (func (export "give") (result $s) (canon lift (core func $m "give")))
            (func (export "reads") (param "n" u32) (result u32) (canon lift (core func $m "reads"))))
        (component $writer {within} (type $b (stream u8)) (type $s (stream {element})) {COMMON}
            (import "take" (func $take (param "s" $s))) (import "give" (func $give (result $s)))
            (core func $take (canon lower (func $take))) (core func $give (canon lower (func $give)))
            (core module $m {IMPORTS}
                (import "" "take" (func $take (param i32))) (import "" "give" (func $give (result i32))) {GLOBALS}
                (func (export "begins") (local i64) (local.set 0 (call $new))
                    (global.set $end (i32.wrap_i64 (i64.shr_u (local.get 0) (i64.const 32))))
                    (call $take (i32.wrap_i64 (local.get 0))))
                {writer})
            (core instance $m (instantiate $m (with "" (instance {GIVES} (export "take" (func $take)) (export "give" (func $give))))))
            (func (export "begins") (canon lift (core func $m "begins")))
            (func (export "writes") (param "n" u32) (result u32) (canon lift (core func $m "writes"))))
        (instance $reader (instantiate $reader {with}))
        (instance $writer (instantiate $writer {with} (with "take" (func $reader "take")) (with "give" (func $reader "give"))))
        (export "begins" (func $writer "begins")) (export "writes" (func $writer "writes")) (export "reads" (func $reader "reads")))"#
    );
    let features = [Feature::StackfulAsync, Feature::MoreAsyncBuiltins];
    let features = features.into_iter().fold(Features::default(), Features::with);
    let bytes = innkeeper::to_binary(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"));
    Component::with_features(engine, bytes, features).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A pair that has begun.
fn begun(engine: &Engine, element: &str, bodies: (&str, &str), besides: &Besides) -> (Store<()>, Instance) {
    let mut store = Store::new(engine, ()).unwrap();
    let component = pair(engine, element, bodies, besides);
    let instance = Linker::new(engine).instantiate(&mut store, &component).unwrap();
    call(&mut store, instance, "begins", &[]).unwrap();
    (store, instance)
}

fn number<T>(store: &mut Store<T>, instance: Instance, name: &str, n: u32) -> u32 {
    tasks::result(call(store, instance, name, &[Val::U32(n)]))
}

/// C97: texts in a stream are allocated by the reader's allocator, as a call that knows nothing of the task it is made in.
#[test]
fn c97_texts_go_through_a_stream_between_guests() {
    let writer = r#"(func (export "writes") (param i32) (result i32)
        ;; Two texts, of five and of three bytes.
        (i32.store (i32.const 0) (i32.const 32)) (i32.store (i32.const 4) (i32.const 5))
        (i32.store (i32.const 8) (i32.const 48)) (i32.store (i32.const 12) (i32.const 3))
        (i64.store (i32.const 32) (i64.const 0x6f6c6c6568)) (i32.store (i32.const 48) (i32.const 0x00636261))
        (call $write (global.get $end) (i32.const 0) (local.get 0)))"#;
    let reader = r#"(func (export "reads") (param i32) (result i32) (local i32)
        (call $ctx (i32.const 5))
        (local.set 1 (call $read (global.get $end) (i32.const 128) (local.get 0)))
        ;; What the allocator has seen of the task's context, what was read, and the first and last letter.
        (if (i32.ne (global.get $seen) (i32.const 0)) (then (unreachable)))
        (if (i32.lt_u (i32.load (i32.const 128)) (i32.const 4096)) (then (unreachable)))
        (i32.or (i32.shl (local.get 1) (i32.const 16)) (i32.or
            (i32.load8_u (i32.load (i32.const 128)))
            (i32.shl (i32.load8_u (i32.add (i32.load (i32.const 136)) (i32.const 2))) (i32.const 8)))))"#;
    for engine in engines() {
        let (mut store, instance) = begun(&engine, "string", (writer, reader), &NOTHING);
        assert_eq!(number(&mut store, instance, "writes", 2), u32::MAX);
        let read = number(&mut store, instance, "reads", 2);
        assert_eq!(read, 2 << 4 << 16 | u32::from(b'c') << 8 | u32::from(b'h'), "{read:#x}");
    }
}

/// A reader that does nothing.
const IDLE_READER: &str = r#"(func (export "reads") (param i32) (result i32) (i32.const 0))"#;

/// C95: an end that has come back is read where it was made: numbers and nothing go from an instance to itself, all else traps for the time being.
#[test]
fn c95_ends_come_back_and_numbers_only_go_from_an_instance_to_itself() {
    let writer = r#"(func (export "writes") (param i32) (result i32) (local i32)
        (local.set 1 (call $give))
        (if (i32.ne (call $write (global.get $end) (i32.const 0) (local.get 0)) (i32.const -1)) (then (unreachable)))
        (call $read (local.get 1) (i32.const 64) (local.get 0)))"#;
    for (element, goes) in [
        ("u8", true),
        ("", true),
        ("f64", true),
        ("s32", true),
        ("bool", false),
        ("string", false),
        ("(tuple u8)", false),
    ] {
        for engine in engines() {
            let (mut store, instance) = begun(&engine, element, (writer, IDLE_READER), &NOTHING);
            let came = call(&mut store, instance, "writes", &[Val::U32(3)]);
            match goes {
                true => assert_eq!(tasks::result(came), 3 << 4, "{element}"),
                false => {
                    let error = came.unwrap_err();
                    let expected = Some(&Trap::CopyToItself("stream"));
                    assert_eq!(error.downcast_ref::<Trap>(), expected, "{element}: {error}");
                }
            }
        }
    }
}

/// C95: ends go through streams; what is no readable end of the element's type does not.
#[test]
fn c95_streams_of_streams_carry_ends_and_nothing_else() {
    let writer = r#"(func (export "writes") (param i32) (result i32) (local i64)
        (if (i32.eqz (local.get 0)) (then
            (local.set 1 (call $b-new))
            (global.set $inner (i32.wrap_i64 (i64.shr_u (local.get 1) (i64.const 32))))
            (i32.store (i32.const 0) (i32.wrap_i64 (local.get 1)))
            (return (call $write (global.get $end) (i32.const 0) (i32.const 1)))))
        (if (i32.eq (local.get 0) (i32.const 1)) (then
            (i32.store (i32.const 32) (i32.const 0x04030201))
            (return (call $b-write (global.get $inner) (i32.const 32) (i32.const 4)))))
        ;; The stream's own end.
        (i32.store (i32.const 0) (global.get $end))
        (call $write (global.get $end) (i32.const 0) (i32.const 1)))"#;
    let reader = r#"(func (export "reads") (param i32) (result i32)
        (if (i32.eqz (local.get 0)) (then
            (return (call $read (global.get $end) (i32.const 128) (i32.const 1)))))
        (if (i32.eq (local.get 0) (i32.const 1)) (then
            (return (call $b-read (i32.load (i32.const 128)) (i32.const 200) (i32.const 4)))))
        (i32.load (i32.const 200)))"#;
    for engine in engines() {
        let (mut store, instance) = begun(&engine, "$b", (writer, reader), &NOTHING);
        assert_eq!(number(&mut store, instance, "writes", 0), u32::MAX);
        assert_eq!(number(&mut store, instance, "reads", 0), 1 << 4);
        assert_eq!(number(&mut store, instance, "reads", 1), u32::MAX);
        assert_eq!(number(&mut store, instance, "writes", 1), 4 << 4);
        assert_eq!(number(&mut store, instance, "reads", 2), 0x0403_0201);

        let (mut store, instance) = begun(&engine, "$b", (writer, reader), &NOTHING);
        assert_eq!(number(&mut store, instance, "reads", 0), u32::MAX);
        let error = call(&mut store, instance, "writes", &[Val::U32(2)]).unwrap_err();
        let trap = error.downcast_ref::<Trap>();
        assert!(
            matches!(trap, Some(Trap::WrongHandleKind { expected: "readable end of a stream", .. })),
            "{error}"
        );
    }
    // Nothing is of a type that has itself in it.
    let [engine, _] = engines();
    for text in ["(component (type $f (future $f)))", "(component (type $s (stream (stream $s))))"] {
        let made = innkeeper::to_binary(text.as_bytes()).map(|bytes| Component::new(&engine, bytes).is_ok());
        assert!(!matches!(made, Ok(true)), "{text}");
    }
}

/// C96: handles go over once, those that there was room for; the others stay where they are.
#[test]
fn c96_handles_in_a_stream_go_over_once() {
    let writer = r#"(func (export "writes") (param i32) (result i32)
        (if (i32.eqz (local.get 0)) (then
            (i32.store (i32.const 0) (call $make)) (i32.store (i32.const 4) (call $make)) (i32.store (i32.const 8) (call $make))
            (return (call $write (global.get $end) (i32.const 0) (i32.const 3)))))
        (if (i32.eq (local.get 0) (i32.const 1)) (then (return (call $cancel (global.get $end)))))
        ;; The third one is here still; the second one is not.
        (if (i32.eq (local.get 0) (i32.const 2)) (then (call $drop (i32.load (i32.const 8))) (return (i32.const 0))))
        (if (i32.eq (local.get 0) (i32.const 3)) (then (call $drop (i32.load (i32.const 4))) (return (i32.const 0))))
        ;; One that there is, and one that there is not.
        (i32.store (i32.const 0) (call $make)) (i32.store (i32.const 4) (i32.const 99))
        (call $write (global.get $end) (i32.const 0) (i32.const 2)))"#;
    let reader = r#"(func (export "reads") (param i32) (result i32) (local i32)
        (local.set 1 (call $read (global.get $end) (i32.const 128) (i32.const 2)))
        (if (i32.eq (local.get 0) (i32.const 2)) (then (call $drop (i32.load (i32.const 128))) (call $drop (i32.load (i32.const 132)))))
        (local.get 1))"#;
    let count = |store: &mut Store<()>, instance| tasks::result(call(store, instance, "count", &[]));
    for engine in engines() {
        let (mut store, instance) = begun(&engine, "(own $r)", (writer, reader), &COUNTED);
        assert_eq!(number(&mut store, instance, "writes", 0), u32::MAX);
        assert_eq!(number(&mut store, instance, "reads", 2), 2 << 4);
        assert_eq!(count(&mut store, instance), 2);
        // CANCELLED, with two that have gone.
        assert_eq!(number(&mut store, instance, "writes", 1), 2 | 2 << 4);
        assert_eq!(number(&mut store, instance, "writes", 2), 0);
        assert_eq!(count(&mut store, instance), 3);
        let error = call(&mut store, instance, "writes", &[Val::U32(3)]).unwrap_err();
        assert!(matches!(error.downcast_ref::<Trap>(), Some(Trap::UnknownHandle(_))), "{error}");

        let (mut store, instance) = begun(&engine, "(own $r)", (writer, reader), &COUNTED);
        assert_eq!(number(&mut store, instance, "writes", 4), u32::MAX);
        let error = call(&mut store, instance, "reads", &[Val::U32(0)]).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::UnknownHandle(99)), "{error}");
        assert!(instance.is_poisoned(&mut store));
    }
}

/// More than is copied at once, from a part of a memory to another one that overlaps it, both ways: nothing is overwritten before it was copied.
#[test]
fn long_copies_within_a_memory_may_overlap() {
    let text = r#"(component
        (core module $mem (memory (export "mem") 800))
        (core instance $mem (instantiate $mem))
        (alias core export $mem "mem" (core memory $mem))
        (type $s (stream u64))
        (core func $return (canon task.return (result u32)))
        (core func $new (canon stream.new $s))
        (core func $read (canon stream.read $s async (memory $mem)))
        (core func $write (canon stream.write $s async (memory $mem)))
        (core module $m
            (import "" "mem" (memory 800))
            (import "" "return" (func $return (param i32)))
            (import "" "new" (func $new (result i64)))
            (import "" "read" (func $read (param i32 i32 i32) (result i32)))
            (import "" "write" (func $write (param i32 i32 i32) (result i32)))
            ;; How many of so many elements are not where they should be.
            (func (export "f") (param $from i32) (param $to i32) (param $count i32) (local $ends i64) (local $i i32) (local $wrong i32)
                (loop
                    (i64.store (i32.add (local.get $from) (i32.shl (local.get $i) (i32.const 3))) (i64.extend_i32_u (local.get $i)))
                    (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $count))))
                (local.set $ends (call $new))
                (drop (call $write (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32))) (local.get $from) (local.get $count)))
                (if (i32.ne
                        (call $read (i32.wrap_i64 (local.get $ends)) (local.get $to) (local.get $count))
                        (i32.shl (local.get $count) (i32.const 4)))
                    (then (unreachable)))
                (local.set $i (i32.const 0))
                (loop
                    (local.set $wrong (i32.add (local.get $wrong) (i64.ne
                        (i64.load (i32.add (local.get $to) (i32.shl (local.get $i) (i32.const 3))))
                        (i64.extend_i32_u (local.get $i)))))
                    (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $count))))
                (call $return (local.get $wrong))))
        (core instance $m (instantiate $m (with "" (instance
            (export "mem" (memory $mem)) (export "return" (func $return)) (export "new" (func $new))
            (export "read" (func $read)) (export "write" (func $write))))))
        (func (export "f") async (param "from" u32) (param "to" u32) (param "count" u32) (result u32)
            (canon lift (core func $m "f") async)))"#;
    let count = (20 << 20) / 8 + 1;
    for engine in engines() {
        let features = Features::default().with(Feature::StackfulAsync);
        let bytes = innkeeper::to_binary(text.as_bytes()).unwrap();
        let component = Component::with_features(&engine, bytes, features).unwrap();
        for (from, to) in [(0, 1 << 20), (1 << 20, 0), (0, 24 << 20), (24 << 20, 0), (8, 0), (0, 8)] {
            let mut store = Store::new(&engine, ()).unwrap();
            let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
            let given = [Val::U32(from), Val::U32(to), Val::U32(count)];
            assert_eq!(tasks::result(call(&mut store, instance, "f", &given)), 0, "{from} {to}");
        }
    }
}
