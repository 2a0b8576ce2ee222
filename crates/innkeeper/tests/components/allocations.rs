//! When a guest is asked to allocate, and how much; and values at the end of large lists and texts.

use std::sync::{Arc, Mutex};

use innkeeper::Store;
use innkeeper::component::{Linker, List, ResourceAny, ResourceType, Trap, Val};

use super::{call, component, engines, instance};

/// C39: what is passed in numbers alone needs no room, though the options say how it would be made.
#[test]
fn c39_numbers_need_no_allocation() {
    let text = r#"(component
        (core module $m (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (unreachable))
            (func (export "f") (param i32 i64 f32 i32 i32) (result i64) (local.get 1)))
        (core instance $m (instantiate $m))
        (func (export "f") (param "a" u8) (param "b" s64) (param "c" f32) (param "d" (tuple bool char)) (result s64)
            (canon lift (core func $m "f") (memory (core memory $m "memory")) (realloc (core func $m "realloc")))))"#;
    for engine in engines() {
        let (mut store, instance) = instance(&engine, text);
        let pair = Val::Tuple(vec![Val::Bool(true), Val::Char('x')]);
        let params = [Val::U8(1), Val::S64(-5), Val::Float32(0.5), pair];
        assert_eq!(call(&mut store, instance, "f", &params).unwrap(), Some(Val::S64(-5)));
    }
}

/// What `realloc` is called with for a text of the host's: the old address, or 0 for none, and sizes.
fn reallocations(engine: &innkeeper::Engine, encoding: &str, text: &str) -> Vec<[u32; 4]> {
    let guest = format!(
        r#"(component
            (core module $m (memory (export "memory") 1) (global $count (mut i32) (i32.const 0))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
                    (local.set $at (i32.mul (global.get $count) (i32.const 16)))
                    (i32.store (local.get $at) (local.get 0)) (i32.store offset=4 (local.get $at) (local.get 1))
                    (i32.store offset=8 (local.get $at) (local.get 2)) (i32.store offset=12 (local.get $at) (local.get 3))
                    (global.set $count (i32.add (global.get $count) (i32.const 1)))
                    ;; What was there stays where it is.
                    (i32.const 4096))
                (func (export "take") (param i32 i32))
                (func (export "calls") (result i32)
                    (i32.store (i32.const 2048) (i32.const 0))
                    (i32.store (i32.const 2052) (i32.mul (global.get $count) (i32.const 4))) (i32.const 2048)))
            (core instance $m (instantiate $m))
            (alias core export $m "memory" (core memory $memory)) (alias core export $m "realloc" (core func $realloc))
            (func (export "take") (param "s" string)
                (canon lift (core func $m "take") (memory $memory) (realloc $realloc) string-encoding={encoding}))
            (func (export "calls") (result (list u32)) (canon lift (core func $m "calls") (memory $memory))))"#
    );
    let (mut store, instance) = instance(engine, &guest);
    call(&mut store, instance, "take", &[Val::from(text)]).unwrap();
    let Some(Val::List(List::U32(numbers))) = call(&mut store, instance, "calls", &[]).unwrap() else {
        panic!("no list")
    };
    numbers.chunks_exact(4).map(|call| [call[0], call[1], call[2], call[3]]).collect()
}

/// C46: once where the size is known, twice where it turns out smaller or larger, thrice where it becomes larger and then smaller.
#[test]
fn c46_texts_are_allocated_as_the_standard_says() {
    const AT: u32 = 4096;
    for engine in engines() {
        for (encoding, text, calls) in [
            ("utf8", "abc", vec![[0, 0, 1, 3]]),
            ("utf8", "é€", vec![[0, 0, 1, 5]]),
            ("utf16", "abc", vec![[0, 0, 2, 6]]),
            ("utf16", "é", vec![[0, 0, 2, 4], [AT, 4, 2, 2]]),
            ("latin1+utf16", "abc", vec![[0, 0, 2, 3]]),
            ("latin1+utf16", "aé", vec![[0, 0, 2, 3], [AT, 3, 2, 2]]),
            ("latin1+utf16", "a€", vec![[0, 0, 2, 4], [AT, 4, 2, 8], [AT, 8, 2, 4]]),
        ] {
            assert_eq!(reallocations(&engine, encoding, text), calls, "{text} in {encoding}");
        }
    }
}

/// A guest that returns a text in UTF-16 from an address, of so many units.
fn utf16(data: &str, address: u32, units: u32) -> String {
    let place: String = [address, units]
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .map(|byte| format!("\\{byte:02x}"))
        .collect();
    format!(
        r#"(component
            (core module $m (memory (export "memory") 1) (data (i32.const 0) "{place}") (data (i32.const 16) "{data}")
                (data (i32.const 65534) "\3d\d8")
                (func (export "f") (result i32) (i32.const 0)))
            (core instance $m (instantiate $m))
            (func (export "f") (result string)
                (canon lift (core func $m "f") (memory (core memory $m "memory")) string-encoding=utf16)))"#
    )
}

#[test]
fn c43_utf16_is_pairs_of_bytes_and_of_surrogates() {
    let cup = "\\3c\\d8\\75\\df";
    for engine in engines() {
        let got = |data: &str, address, units| {
            let (mut store, instance) = instance(&engine, &utf16(data, address, units));
            call(&mut store, instance, "f", &[])
                .map_err(|error| error.downcast_ref::<Trap>().unwrap().clone())
        };
        assert_eq!(got(cup, 16, 2), Ok(Some(Val::from("🍵"))));
        assert_eq!(got(cup, 17, 1), Err(Trap::Unaligned), "an odd address");
        assert_eq!(got(cup, 16, 1), Err(Trap::InvalidUtf16), "a pair that is cut");
        assert_eq!(got(cup, 18, 1), Err(Trap::InvalidUtf16), "the low half alone");
        assert_eq!(got("\\75\\df\\3c\\d8", 16, 2), Err(Trap::InvalidUtf16), "the halves swapped");
        assert_eq!(got("\\3c\\d8a\\00", 16, 2), Err(Trap::InvalidUtf16), "the high half alone");
        assert_eq!(got("", 65534, 1), Err(Trap::InvalidUtf16), "the high half where the memory ends");
        assert_eq!(got("", 65534, 2), Err(Trap::StringOutOfBounds), "one unit beyond the memory");
        assert_eq!(got("", 16, 0x8000_0000), Err(Trap::StringOutOfBounds), "twice that is 0 in 32 bits");
        assert_eq!(got("", 16, u32::MAX), Err(Trap::StringOutOfBounds));
    }
}

/// C37: one element that is no value at the end of very many.
#[test]
fn c37_the_last_element_of_a_long_list_is_looked_at() {
    for engine in engines() {
        for (ty, size, last, said) in [
            ("char", 4, "i32.const 0xd800", Some(Trap::InvalidChar(0xd800))),
            ("bool", 1, "i32.const 2", None),
        ] {
            let (count, bytes) = (4 << 20, (4 << 20) * size);
            let text = format!(
                r#"(component
                    (core module $m (memory (export "memory") 512)
                        (func (export "f") (result i32)
                            (i32.store (i32.const 0) (i32.const 65536)) (i32.store (i32.const 4) (i32.const {count}))
                            (i32.store8 (i32.const {}) ({last})) (i32.store8 (i32.const {}) (i32.shr_u ({last}) (i32.const 8)))
                            (i32.const 0)))
                    (core instance $m (instantiate $m))
                    (func (export "f") (result (list {ty}))
                        (canon lift (core func $m "f") (memory (core memory $m "memory")))))"#,
                65536 + bytes - size,
                if size == 1 { 0 } else { 65536 + bytes - size + 1 },
            );
            // With the address at 0 itself, the second byte is stored before that.
            let text = if size == 1 {
                text.replace("(i32.store8 (i32.const 0) (i32.shr_u (i32.const 2) (i32.const 8)))", "")
            } else {
                text
            };
            let (mut store, instance) = instance(&engine, &text);
            let got = call(&mut store, instance, "f", &[]);
            match said {
                Some(trap) => assert_eq!(got.unwrap_err().downcast_ref::<Trap>(), Some(&trap)),
                None => {
                    let Some(Val::List(list)) = got.unwrap() else { panic!("no list") };
                    assert_eq!((list.len(), list.get(count - 1)), (count, Some(Val::Bool(true))));
                }
            }
        }
    }
}

/// C40: a map keeps its pairs as they come, however many, with keys that are there twice, in each encoding.
#[test]
fn c40_maps_keep_their_order() {
    const PAIRS: u32 = 20_000;
    let pairs: Vec<(Val, Val)> =
        (0..PAIRS).map(|i| (Val::String(format!("ké{}", i % 1000)), Val::U32(i))).collect();
    for encoding in ["utf8", "utf16", "latin1+utf16"] {
        let text = format!(
            r#"(component
                (core module $m (memory (export "memory") 64) (global $next (mut i32) (i32.const 16))
                    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
                        (if (local.get 0) (then (return (local.get 0))))
                        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                        (global.set $next (i32.add (local.get $at) (local.get 3))) (local.get $at))
                    (func (export "f") (param i32 i32) (result i32)
                        (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1)) (i32.const 0)))
                (core instance $m (instantiate $m))
                (func (export "f") (param "m" (map string u32)) (result (map string u32))
                    (canon lift (core func $m "f") (memory (core memory $m "memory")) (realloc (core func $m "realloc"))
                        string-encoding={encoding})))"#
        );
        for engine in engines() {
            let (mut store, instance) = instance(&engine, &text);
            let got = call(&mut store, instance, "f", &[Val::Map(pairs.clone())]).unwrap();
            assert_eq!(got, Some(Val::Map(pairs.clone())), "{encoding}");
        }
    }
}

/// A guest that does something with a handle of its own choice.
const HANDLES: &str = r#"(component
    (import "files" (instance $files
        (export "file" (type $file (sub resource)))
        (export "open" (func (result (own $file))))
        (export "read" (func (param "f" (borrow $file))))
        (export "take" (func (param "f" (own $file))))))
    (alias export $files "file" (type $file))
    (type $other (resource (rep i32)))
    (core func $open (canon lower (func $files "open"))) (core func $read (canon lower (func $files "read")))
    (core func $take (canon lower (func $files "take"))) (core func $drop (canon resource.drop $file))
    (core func $new (canon resource.new $other)) (core func $rep (canon resource.rep $other))
    (core module $m
        (import "" "open" (func $open (result i32))) (import "" "read" (func $read (param i32)))
        (import "" "take" (func $take (param i32))) (import "" "drop" (func $drop (param i32)))
        (import "" "new" (func $new (param i32) (result i32))) (import "" "rep" (func $rep (param i32) (result i32)))
        (func (export "drop") (param i32) (call $drop (local.get 0)))
        (func (export "read") (param i32) (call $read (local.get 0)))
        (func (export "take") (param i32) (call $take (local.get 0)))
        (func (export "rep") (param i32) (drop (call $rep (local.get 0))))
        (func (export "open") (result i32) (call $open))
        (func (export "new") (result i32) (call $new (i32.const 7))))
    (core instance $m (instantiate $m (with "" (instance
        (export "open" (func $open)) (export "read" (func $read)) (export "take" (func $take))
        (export "drop" (func $drop)) (export "new" (func $new)) (export "rep" (func $rep))))))
    (func (export "drop") (param "h" u32) (canon lift (core func $m "drop")))
    (func (export "read") (param "h" u32) (canon lift (core func $m "read")))
    (func (export "take") (param "h" u32) (canon lift (core func $m "take")))
    (func (export "rep") (param "h" u32) (canon lift (core func $m "rep")))
    (func (export "open") (result u32) (canon lift (core func $m "open")))
    (func (export "new") (result u32) (canon lift (core func $m "new"))))"#;

/// C61: whatever a number that is no handle is used for, the trap says which, and of what type another is.
#[test]
fn c61_numbers_that_are_no_handles_trap() {
    for engine in engines() {
        let component = component(&engine, HANDLES);
        let started = || {
            let ty = ResourceType::new("file");
            let mut linker: Linker<Arc<Mutex<u32>>> = Linker::new(&engine);
            let mut files = linker.instance("files").unwrap();
            files.resource("file", &ty, |mut store, _| {
                *store.data_mut().lock().unwrap() += 1;
                Ok(())
            });
            files.func_new("open", move |mut store, _, results| {
                results[0] = ResourceAny::new(&mut store, &ty, 1)?.into();
                Ok(())
            });
            files.func_new("read", |_, _, _| Ok(()));
            files.func_new("take", |_, _, _| Ok(()));
            let mut store = Store::new(&engine, Arc::default()).unwrap();
            let instance = linker.instantiate(&mut store, &component).unwrap();
            assert_eq!(call(&mut store, instance, "open", &[]).unwrap(), Some(Val::U32(1)));
            assert_eq!(call(&mut store, instance, "open", &[]).unwrap(), Some(Val::U32(2)));
            assert_eq!(call(&mut store, instance, "new", &[]).unwrap(), Some(Val::U32(3)));
            call(&mut store, instance, "drop", &[Val::U32(2)]).unwrap();
            (store, instance)
        };
        for function in ["drop", "read", "take", "rep"] {
            for (handle, said) in [
                (0, String::from("unknown handle index 0")),
                (2, String::from("unknown handle index 2")),
                (4, String::from("unknown handle index 4")),
                (1 << 28, String::from("unknown handle index 268435456")),
                (u32::MAX, String::from("unknown handle index 4294967295")),
                match function {
                    "rep" => (
                        1,
                        String::from(
                            "handle index 1 used with the wrong type, expected guest-defined resource but found a host-defined resource",
                        ),
                    ),
                    _ => (
                        3,
                        String::from(
                            "handle index 3 used with the wrong type, expected host-defined resource but found a guest-defined resource",
                        ),
                    ),
                },
            ] {
                let (mut store, instance) = started();
                let error = call(&mut store, instance, function, &[Val::U32(handle)]).unwrap_err();
                assert_eq!(error.to_string(), format!("wasm trap: {said}"), "{function}");
                // What was dropped was dropped once, and nothing else.
                assert_eq!(*store.data().lock().unwrap(), 1, "{function}");
            }
        }
    }
}

/// Elements that are nothing take no memory, wherever they are said to be, and as many as there may be are handed over at once.
#[test]
fn c37_streams_of_nothing_are_counted_only() {
    const MOST: u32 = (1 << 28) - 1;
    let text = |count: u32| {
        format!(
            r#"(component
        (type $s (stream))
        (core func $new (canon stream.new $s))
        (core func $read (canon stream.read $s async))
        (core func $write (canon stream.write $s async))
        (core module $m
            (import "" "new" (func $new (result i64)))
            (import "" "read" (func $read (param i32 i32 i32) (result i32)))
            (import "" "write" (func $write (param i32 i32 i32) (result i32)))
            (func (export "run") (result i32) (local $ends i64)
                (local.set $ends (call $new))
                ;; Nobody has written yet: BLOCKED.
                (if (i32.ne (call $read (i32.wrap_i64 (local.get $ends)) (i32.const -1) (i32.const {count})) (i32.const -1))
                    (then (unreachable)))
                (call $write (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32))) (i32.const -1) (i32.const {count}))))
        (core instance $m (instantiate $m (with "" (instance
            (export "new" (func $new)) (export "read" (func $read)) (export "write" (func $write))))))
        (func (export "run") (result u32) (canon lift (core func $m "run"))))"#
        )
    };
    for engine in engines() {
        let (mut store, one) = instance(&engine, &text(MOST));
        // COMPLETED, and how many.
        assert_eq!(call(&mut store, one, "run", &[]).unwrap(), Some(Val::U32(MOST << 4)));
        let (mut store, more) = instance(&engine, &text(MOST + 1));
        let error = call(&mut store, more, "run", &[]).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::BufferTooLong), "{error}");
    }
}
