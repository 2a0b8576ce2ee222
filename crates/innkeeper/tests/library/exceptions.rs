//! Exceptions, made and read by the host.

use innkeeper::{Caller, Error, ErrorKind, ExnRef, ExternRef, FuncType, Linker, Store, Tag, Val, ValType};

use super::{engines, instance, module};

#[test]
fn the_host_reads_what_a_guest_threw() {
    let text = r#"(module (tag $e (export "e") (param i32 v128 externref i64))
        (func (export "throw") (param externref)
            (throw $e (i32.const 5) (v128.const i64x2 1 2) (local.get 0) (i64.const -1))))"#;
    for engine in engines() {
        let (mut store, instance) = instance(&engine, text);
        let object = ExternRef::new(&mut store, "thrown").unwrap();
        let throw = instance.get_typed_func::<Option<ExternRef>, ()>(&store, "throw").unwrap();
        let error = throw.call(&mut store, Some(object)).unwrap_err();
        let ErrorKind::Exception(exception) = error.kind() else { panic!("{error}") };
        let tag = exception.tag(&store).unwrap();
        assert_eq!(tag, instance.get_tag(&store, "e").unwrap());
        let values = exception.values(&mut store).unwrap();
        assert_eq!((values[0], values[1], values[3]), (Val::I32(5), Val::V128(1 | 2 << 64), Val::I64(-1)));
        let Val::ExternRef(Some(object)) = exception.field(&mut store, 2).unwrap() else { panic!() };
        assert_eq!(object.data(&store).unwrap().unwrap().downcast_ref(), Some(&"thrown"));
        assert!(exception.field(&mut store, 4).unwrap_err().to_string().contains("has 4 values"));
    }
}

/// A function of the host throws what its caller catches, by the tag that it shares with the guest.
#[test]
fn a_guest_catches_what_the_host_made_and_threw() {
    let text = r#"(module (import "host" "e" (tag $e (param i32 i64)))
        (import "host" "throw" (func $throw (param i32)))
        (func (export "run") (param i32) (result i32 i64)
            (block $caught (result i32 i64)
                (try_table (catch $e $caught) (call $throw (local.get 0)))
                (i32.const -1) (i64.const -1))))"#;
    for engine in engines() {
        let mut store = Store::new(&engine, None::<Tag>).unwrap();
        let tag = Tag::new(&mut store, &FuncType::new([ValType::I32, ValType::I64], [])).unwrap();
        *store.data_mut() = Some(tag);
        let mut linker = Linker::new(&engine);
        linker.define("host", "e", tag).unwrap();
        linker
            .func_wrap(
                "host",
                "throw",
                |mut caller: Caller<'_, Option<Tag>>, value: i32| -> Result<(), Error> {
                    let tag = caller.data().unwrap();
                    Err(ExnRef::new(&mut caller, tag, &[Val::I32(value + 1), Val::I64(9)])?.into())
                },
            )
            .unwrap();
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        let run = instance.get_typed_func::<i32, (i32, i64)>(&store, "run").unwrap();
        assert_eq!(run.call(&mut store, 41).unwrap(), (42, 9));
    }
}

#[test]
fn an_exception_has_the_values_that_its_tag_says() {
    let [engine, _] = engines();
    let (mut store, _) = instance(&engine, "(module)");
    let tag = Tag::new(&mut store, &FuncType::new([ValType::I32], [])).unwrap();
    for values in [&[][..], &[Val::I64(1)], &[Val::I32(1), Val::I32(2)]] {
        assert!(ExnRef::new(&mut store, tag, values).is_err(), "{values:?}");
    }
    let exception = ExnRef::new(&mut store, tag, &[Val::I32(1)]).unwrap();
    assert_eq!(exception.values(&mut store).unwrap(), [Val::I32(1)]);
}

/// An exception that passes the host on its way from one guest to another stays one.
#[test]
fn an_exception_passes_through_the_host() {
    let text = r#"(module (import "host" "call" (func $call)) (tag $e (param i32))
        (func (export "inner") (throw $e (i32.const 3)))
        (func (export "outer") (result i32)
            (block $caught (result i32) (try_table (catch $e $caught) (call $call)) (i32.const 0))))"#;
    for engine in engines() {
        let mut linker = Linker::<()>::new(&engine);
        linker
            .func_wrap("host", "call", |mut caller: Caller<'_, ()>| -> Result<(), Error> {
                let inner = caller.get_export("inner").and_then(innkeeper::Extern::into_func).unwrap();
                inner.call(&mut caller, &[], &mut [])
            })
            .unwrap();
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        let outer = instance.get_typed_func::<(), i32>(&store, "outer").unwrap();
        assert_eq!(outer.call(&mut store, ()).unwrap(), 3);
    }
}

/// Exceptions are values of typed functions, too.
#[test]
fn exceptions_are_typed_references() {
    let text = r#"(module (tag $e (export "e"))
        (func (export "rethrow") (param exnref) (throw_ref (local.get 0))))"#;
    for engine in engines() {
        let (mut store, instance) = instance(&engine, text);
        let tag = instance.get_tag(&store, "e").unwrap();
        let exception = ExnRef::new(&mut store, tag, &[]).unwrap();
        let rethrow = instance.get_typed_func::<Option<ExnRef>, ()>(&store, "rethrow").unwrap();
        let error = rethrow.call(&mut store, Some(exception)).unwrap_err();
        let ErrorKind::Exception(thrown) = error.kind() else { panic!("{error}") };
        assert_eq!(thrown.tag(&store).unwrap(), tag);
        assert!(rethrow.call(&mut store, None).unwrap_err().trap().is_some());
    }
}
