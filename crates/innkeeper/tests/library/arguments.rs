//! Many arguments, several results, vectors and references, typed and raw.

use innkeeper::{AnyRef, Caller, ErrorKind, ExternRef, Func, FuncType, I31, Linker, Store, Val, ValType};

use super::{engines, instance, module};

#[test]
fn twenty_parameters_of_every_numeric_type_arrive_in_order() {
    let types = "i32 i64 f32 f64 i32 i64 f32 f64 i32 i64 f32 f64 i32 i64 f32 f64 i32 i64 f32 f64";
    let gets: String = (0..20).map(|i| format!("(local.get {i})")).collect();
    let text = format!(
        r#"(module (import "host" "f" (func $f (param {types}) (result i64)))
            (func (export "run") (param {types}) (result i64) (call $f {gets})))"#
    );
    for engine in engines() {
        let mut linker = Linker::<()>::new(&engine);
        let weigh =
            |a: i32, b: i64, c: f32, d: f64| i64::from(a) + b * 3 + (c * 5.0) as i64 + (d * 7.0) as i64;
        linker
            .func_wrap(
                "host",
                "f",
                move |a: i32,
                      b: i64,
                      c: f32,
                      d: f64,
                      e: i32,
                      f: i64,
                      g: f32,
                      h: f64,
                      i: i32,
                      j: i64,
                      k: f32,
                      l: f64,
                      m: i32,
                      n: i64,
                      o: f32,
                      p: f64,
                      q: i32,
                      r: i64,
                      s: f32,
                      t: f64| {
                    weigh(a, b, c, d)
                        + 10 * weigh(e, f, g, h)
                        + 100 * weigh(i, j, k, l)
                        + 1000 * weigh(m, n, o, p)
                        + 10_000 * weigh(q, r, s, t)
                },
            )
            .unwrap();
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = linker.instantiate(&mut store, &module(&engine, &text)).unwrap();
        type Four = (i32, i64, f32, f64);
        let ones: Four = (1, 1, 1.0, 1.0);
        let run = instance.get_func(&store, "run").unwrap();
        let typed = run
            .typed::<(
                i32,
                i64,
                f32,
                f64,
                i32,
                i64,
                f32,
                f64,
                i32,
                i64,
                f32,
                f64,
                i32,
                i64,
                f32,
                f64,
                i32,
                i64,
                f32,
                f64,
            ), i64>(&store)
            .unwrap();
        let (a, b, c, d) = ones;
        let arguments = (a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d, 2, b, c, d);
        assert_eq!(typed.call(&mut store, arguments).unwrap(), 16 * 11_111 + 10_000);
    }
}

#[test]
fn several_results_of_several_types() {
    let text = r#"(module (import "host" "f" (func $f (param i32) (result i32 f64 i64)))
        (func (export "run") (param i32) (result i32 f64 i64) (call $f (local.get 0))))"#;
    for engine in engines() {
        let mut linker = Linker::<()>::new(&engine);
        linker.func_wrap("host", "f", |x: i32| (x + 1, f64::from(x) / 2.0, i64::from(x) << 40)).unwrap();
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        let run = instance.get_typed_func::<i32, (i32, f64, i64)>(&store, "run").unwrap();
        assert_eq!(run.call(&mut store, 3).unwrap(), (4, 1.5, 3 << 40));
    }
}

#[test]
fn vectors_are_typed() {
    let text = r#"(module (import "host" "f" (func $f (param i32 v128 i32 v128) (result v128 i32)))
        (func (export "run") (param i32 v128 i32 v128) (result v128 i32)
            (call $f (local.get 0) (local.get 1) (local.get 2) (local.get 3))))"#;
    for engine in engines() {
        let mut linker = Linker::<()>::new(&engine);
        linker.func_wrap("host", "f", |a: i32, x: u128, b: i32, y: u128| (x ^ y, a - b)).unwrap();
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        let run = instance.get_typed_func::<(i32, u128, i32, u128), (u128, i32)>(&store, "run").unwrap();
        let (x, y) = (0x0123_4567_89ab_cdef_0011_2233_4455_6677, u128::MAX << 3);
        assert_eq!(run.call(&mut store, (9, x, 4, y)).unwrap(), (x ^ y, 5));
    }
}

#[test]
fn references_are_typed_and_null_is_none() {
    let text = r#"(module
        (import "host" "pick" (func $pick (param externref funcref anyref) (result externref)))
        (func (export "run") (param externref) (result externref)
            (call $pick (local.get 0) (ref.func $seven) (ref.i31 (i32.const -5))))
        (func $seven (export "seven") (result i32) (i32.const 7))
        (func (export "or_null") (param i32) (result funcref)
            (if (result funcref) (local.get 0) (then (ref.func $seven)) (else (ref.null func)))))"#;
    for engine in engines() {
        let mut linker = Linker::<()>::new(&engine);
        linker
            .func_wrap(
                "host",
                "pick",
                |mut caller: Caller<'_, ()>,
                 object: Option<ExternRef>,
                 func: Option<Func>,
                 any: Option<AnyRef>| {
                    let seven = func.unwrap().typed::<(), i32>(&caller)?.call(&mut caller, ())?;
                    assert_eq!(seven, 7);
                    assert_eq!(any.unwrap().as_i31(&caller)?, I31::new(-5));
                    Ok::<_, innkeeper::Error>(object)
                },
            )
            .unwrap();
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        let run = instance.get_typed_func::<Option<ExternRef>, Option<ExternRef>>(&store, "run").unwrap();
        assert_eq!(run.call(&mut store, None).unwrap(), None);
        let object = ExternRef::new(&mut store, String::from("kept")).unwrap();
        let back = run.call(&mut store, Some(object)).unwrap().unwrap();
        let back = back.data(&store).unwrap().unwrap();
        assert_eq!(back.downcast_ref::<String>().unwrap(), "kept");
        let or_null = instance.get_typed_func::<i32, Option<Func>>(&store, "or_null").unwrap();
        assert_eq!(or_null.call(&mut store, 0).unwrap(), None);
        let seven = or_null.call(&mut store, 1).unwrap().unwrap();
        assert_eq!(seven.typed::<(), i32>(&store).unwrap().call(&mut store, ()).unwrap(), 7);
        // What may be null does not stand for what may not.
        let error = or_null.func().typed::<i32, Func>(&store).map(drop).unwrap_err();
        assert!(error.to_string().contains("(ref func)"), "{error}");
    }
}

#[test]
fn a_typed_function_takes_less_and_gives_more_than_its_type_says() {
    let [engine, _] = engines();
    let text = r#"(module (func (export "f") (param anyref) (result (ref i31)) (ref.i31 (i32.const 3))))"#;
    let (mut store, instance) = instance(&engine, text);
    let f = instance.get_func(&store, "f").unwrap();
    // A parameter may be of a subtype, a result of a supertype.
    let f = f.typed::<I31, Option<AnyRef>>(&store).unwrap();
    let any = f.call(&mut store, I31::wrapping(9)).unwrap().unwrap();
    assert_eq!(any.as_i31(&store).unwrap(), I31::new(3));
    assert!(instance.get_typed_func::<Option<ExternRef>, I31>(&store, "f").is_err());
}

#[test]
fn wrong_arguments_are_named() {
    let [engine, _] = engines();
    let (mut store, instance) = instance(&engine, r#"(module (func (export "f") (param i32 i64)))"#);
    let f = instance.get_func(&store, "f").unwrap();
    let error = f.call(&mut store, &[Val::I32(1)], &mut []).unwrap_err();
    assert!(error.to_string().contains("(i32, i64) -> (), but 1 arguments"), "{error}");
    let error = f.call(&mut store, &[Val::I32(1), Val::I32(2)], &mut []).unwrap_err();
    assert!(error.to_string().contains("argument 1 is i32"), "{error}");
    let error = instance.get_typed_func::<i32, ()>(&store, "f").map(drop).unwrap_err();
    assert_eq!(error.to_string(), "`f` has type (i32, i64) -> (), not (i32) -> ()");
    assert!(matches!(error.kind(), ErrorKind::Usage(_)));
}

/// A dynamic host function that leaves a result of the wrong type is an error, not a confusion.
#[test]
fn results_of_dynamic_functions_are_checked() {
    for engine in engines() {
        let mut linker = Linker::<()>::new(&engine);
        let ty = FuncType::new([], [ValType::EXTERNREF]);
        linker
            .func_new("host", "f", ty, |_, _, results| {
                results[0] = Val::I64(0x1234_5678);
                Ok(())
            })
            .unwrap();
        let text = r#"(module (import "host" "f" (func $f (result externref))) (func (export "run") (drop (call $f))))"#;
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        let error = instance.get_func(&store, "run").unwrap().call(&mut store, &[], &mut []).unwrap_err();
        assert!(error.to_string().contains("result 0 is i64, not externref"), "{error}");
    }
}

#[test]
#[allow(unsafe_code, reason = "raw slots")]
fn raw_slots_are_parameters_and_then_results() {
    let text = r#"(module (import "host" "f" (func $f (param i32 v128) (result v128 i32)))
        (func (export "run") (param i32 v128) (result v128 i32) (call $f (local.get 0) (local.get 1))))"#;
    for engine in engines() {
        let mut linker = Linker::<()>::new(&engine);
        let ty = FuncType::new([ValType::I32, ValType::V128], [ValType::V128, ValType::I32]);
        assert_eq!(ty.call_slots(), 3);
        // SAFETY: a vector and a number are left.
        unsafe {
            linker
                .func_new_unchecked("host", "f", ty, |_, slots| {
                    let [number, low, high] = *slots else { unreachable!() };
                    slots.copy_from_slice(&[low + 1, high + 1, number]);
                    Ok(())
                })
                .unwrap();
        }
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        let run = instance.get_func(&store, "run").unwrap();
        let mut slots = [5, 10, 20, 99];
        // SAFETY: a number and a vector.
        unsafe { run.call_unchecked(&mut store, &mut slots).unwrap() };
        assert_eq!(slots, [11, 21, 5, 99]);
        // SAFETY: too few slots are refused.
        let error = unsafe { run.call_unchecked(&mut store, &mut slots[..2]).unwrap_err() };
        assert!(error.to_string().contains("needs 3 slots"), "{error}");
        let object = ExternRef::new(&mut store, 1_u8).unwrap();
        let raw = Val::ExternRef(Some(object)).to_raw(&store).unwrap();
        // SAFETY: the root still refers to it.
        let again = unsafe { Val::from_raw(&mut store, raw, ValType::EXTERNREF) };
        let Val::ExternRef(Some(again)) = again else { panic!("{again:?}") };
        assert!(again.data(&store).unwrap().unwrap().is::<u8>());
    }
}
