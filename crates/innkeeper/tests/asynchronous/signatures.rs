//! Functions of the host of every short type, called from each tier: what they are given and give back goes through registers, at once or after a wait, and when they fail.

use std::pin::pin;
use std::sync::atomic::AtomicUsize;

use innkeeper::{Caller, Error, ExternRef, FuncType, Linker, Store, Trap, Val, ValType};

use crate::support::{Later, block_on, engines, module, poll_on_threads};

const TYPES: [ValType; 4] = [ValType::I32, ValType::I64, ValType::EXTERNREF, ValType::F64];

/// Bits that lie above those of a number of 32 bits, where it was cut off a longer one.
const ABOVE: i64 = 0x5a5a_5a5a_0000_0000;

/// All lists of so many types. Of more than three, those without floating point.
fn lists(len: usize) -> Vec<Vec<ValType>> {
    let types = if len > 3 { &TYPES[..3] } else { &TYPES[..] };
    (0..len).fold(vec![Vec::new()], |lists, _| {
        let longer = |list: &Vec<ValType>| {
            let list = list.clone();
            types.iter().map(move |ty| list.iter().copied().chain([*ty]).collect())
        };
        lists.iter().flat_map(longer).collect()
    })
}

/// Every type with up to four parameters and at most one result, and some with more.
fn signatures() -> Vec<FuncType> {
    let mut params: Vec<Vec<ValType>> = (0..=4).flat_map(lists).collect();
    params.extend([vec![ValType::I32; 5], vec![ValType::I64; 7], vec![ValType::EXTERNREF; 5]]);
    let results = TYPES.iter().map(|ty| vec![*ty]).chain([Vec::new(), vec![ValType::I32, ValType::I64]]);
    results
        .flat_map(|results| params.iter().map(move |params| FuncType::new(params.clone(), results.clone())))
        .collect()
}

/// The module has a function for each type that calls the host's with the numbers 1, 2 and so on, and `outer`, which keeps values of its own meanwhile.
fn text(signatures: &[FuncType]) -> String {
    let name = |ty: &ValType| match ty {
        ValType::I32 => "i32",
        ValType::I64 => "i64",
        ValType::F64 => "f64",
        _ => "externref",
    };
    let mut imports = String::new();
    let mut functions = String::new();
    for (at, ty) in signatures.iter().enumerate() {
        let list = |types: &[ValType]| types.iter().map(name).collect::<Vec<_>>().join(" ");
        let (params, results) = (list(ty.params()), list(ty.results()));
        imports +=
            &format!("(import \"host\" \"f{at}\" (func $h{at} (param {params}) (result {results})))\n");
        let arguments: String = (1_i64..)
            .zip(ty.params())
            .map(|(number, ty)| match ty {
                ValType::I32 => format!("(i32.wrap_i64 (i64.add (local.get $above) (i64.const {number})))"),
                ValType::I64 => format!("(i64.add (local.get $above) (i64.const {number}))"),
                ValType::F64 => format!("(f64.convert_i64_s (i64.const {number}))"),
                _ => "(local.get $ref)".to_owned(),
            })
            .collect();
        functions += &format!(
            r#"(func (export "f{at}") (param $above i64) (param $ref externref) (result {results} i64 externref)
                (local $kept i64) (local.set $kept (i64.mul (local.get $above) (i64.const 3)))
                (call $h{at} {arguments}) (local.get $kept) (local.get $ref))"#
        );
    }
    format!("(module {imports} {functions})")
}

fn check_params(caller: &mut Caller<'_, ()>, params: &[Val]) {
    for (number, param) in (1_i64..).zip(params) {
        match param {
            Val::I32(value) => assert_eq!(i64::from(*value), number),
            Val::I64(value) => assert_eq!(*value, ABOVE + number),
            Val::F64(bits) => assert_eq!(f64::from_bits(*bits), number as f64),
            Val::ExternRef(Some(held)) => {
                let data = held.get(&*caller).unwrap();
                assert_eq!(data.downcast_ref(), Some(&"held"));
            }
            other => panic!("{other:?}"),
        }
    }
}

fn write_results(caller: &mut Caller<'_, ()>, results: &mut [Val]) {
    for result in results {
        *result = match result {
            Val::I32(_) => Val::I32(-7),
            Val::I64(_) => Val::I64(-8),
            Val::F64(_) => Val::F64(0.5_f64.to_bits()),
            _ => Val::ExternRef(Some(ExternRef::new(&mut *caller, "made").unwrap())),
        };
    }
}

fn check_results(store: &mut Store<()>, results: &[Val]) {
    for (at, result) in results.iter().enumerate() {
        let is_kept = at + 2 >= results.len();
        match result {
            Val::I32(value) => assert_eq!(*value, -7),
            Val::I64(value) if is_kept => assert_eq!(*value, ABOVE.wrapping_mul(3)),
            Val::I64(value) => assert_eq!(*value, -8),
            Val::F64(bits) => assert_eq!(f64::from_bits(*bits), 0.5),
            Val::ExternRef(Some(held)) => {
                let data = held.get(&*store).unwrap();
                assert_eq!(data.downcast_ref(), Some(if is_kept { &"held" } else { &"made" }));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// How the host's functions are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    AtOnce,
    ReadyInAFuture,
    AfterAWait,
    Fails,
    FailsAfterAWait,
}

fn define(linker: &mut Linker<()>, name: &str, ty: FuncType, way: Way) {
    if way == Way::AtOnce || way == Way::Fails {
        linker
            .func_new("host", name, ty, move |mut caller, params, results| {
                check_params(&mut caller, params);
                write_results(&mut caller, results);
                if way == Way::Fails { Err(Error::from(Trap::Unreachable)) } else { Ok(()) }
            })
            .unwrap();
        return;
    }
    linker
        .func_new_async("host", name, ty, move |mut caller, params, results| {
            Box::new(async move {
                check_params(&mut caller, params);
                if way != Way::ReadyInAFuture {
                    Later::new(&AtomicUsize::new(0)).await;
                }
                check_params(&mut caller, params);
                write_results(&mut caller, results);
                if way == Way::FailsAfterAWait { Err(Error::from(Trap::Unreachable)) } else { Ok(()) }
            })
        })
        .unwrap();
}

#[test]
fn functions_of_the_host_of_every_short_type_are_called() {
    let signatures = signatures();
    let text = text(&signatures);
    for engine in engines() {
        let module = module(&engine, &text);
        for way in [Way::AtOnce, Way::ReadyInAFuture, Way::AfterAWait, Way::Fails, Way::FailsAfterAWait] {
            let mut linker = Linker::new(&engine);
            for (at, ty) in signatures.iter().enumerate() {
                define(&mut linker, &format!("f{at}"), ty.clone(), way);
            }
            let mut store = Store::new(&engine, ()).unwrap();
            let instance = linker.instantiate(&mut store, &module).unwrap();
            for (at, ty) in signatures.iter().enumerate() {
                let func = instance.get_func(&mut store, &format!("f{at}")).unwrap();
                let held = Val::ExternRef(Some(ExternRef::new(&mut store, "held").unwrap()));
                for _ in 0..2 {
                    let mut results = vec![Val::I32(0); ty.results().len() + 2];
                    let params = [Val::I64(ABOVE), held];
                    let called = match way {
                        Way::AtOnce | Way::Fails => func.call(&mut store, &params, &mut results),
                        Way::ReadyInAFuture => block_on(func.call_async(&mut store, &params, &mut results)),
                        Way::AfterAWait | Way::FailsAfterAWait if at % 16 != 0 => {
                            block_on(func.call_async(&mut store, &params, &mut results))
                        }
                        _ => {
                            let call = pin!(func.call_async(&mut store, &params, &mut results));
                            poll_on_threads(call, usize::MAX).unwrap()
                        }
                    };
                    if way == Way::Fails || way == Way::FailsAfterAWait {
                        let error = called.unwrap_err();
                        assert_eq!(error.trap(), Some(Trap::Unreachable), "{ty:?}, {way:?}: {error}");
                        let frames: Vec<_> =
                            error.backtrace().frames().iter().map(|frame| frame.func.0).collect();
                        assert_eq!(frames.len(), 1, "{ty:?}, {way:?}: {error}");
                    } else {
                        called.unwrap();
                        check_results(&mut store, &results);
                    }
                }
                store.release_references();
            }
        }
    }
}
