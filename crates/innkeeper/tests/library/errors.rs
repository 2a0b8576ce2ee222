//! Errors of every origin, and what can be got back out of them.

use std::error::Error as StdError;
use std::fmt;

use innkeeper::{Caller, Error, ErrorKind, Linker, Store, Trap};

use super::{engines, instance, module};

#[derive(Debug, PartialEq)]
struct Full(u32);

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "full at {}", self.0)
    }
}

impl StdError for Full {}

#[derive(Debug)]
struct Outer(Full);

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the outer one")
    }
}

impl StdError for Outer {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn any_error_becomes_this_one_by_a_question_mark() {
    fn parses(text: &str) -> Result<i32, Error> {
        Ok(text.parse::<i32>()?)
    }
    assert_eq!(parses("5").unwrap(), 5);
    let error = parses("five").unwrap_err();
    assert!(error.is::<std::num::ParseIntError>() && !error.is::<Full>());
    fn traps() -> Result<(), Error> {
        Err(Trap::Unreachable)?
    }
    assert_eq!(traps().unwrap_err().trap(), Some(Trap::Unreachable));
    assert_eq!(traps().unwrap_err().downcast_ref(), Some(&Trap::Unreachable));
    let error = Error::from(Outer(Full(3)));
    assert_eq!(error.downcast_ref(), Some(&Full(3)), "causes are looked through");
    let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
    assert_eq!(chain, ["the outer one", "full at 3"]);
    let error = Error::msg("just a sentence");
    assert_eq!((error.to_string().as_str(), error.chain().count()), ("just a sentence", 1));
}

#[test]
fn this_error_becomes_a_boxed_one_and_comes_back_as_it_was() {
    fn boxed() -> Result<(), Box<dyn StdError + Send + Sync>> {
        let [engine, _] = engines();
        let (mut store, instance) = instance(&engine, r#"(module (func (export "f") unreachable))"#);
        instance.get_func(&store, "f").unwrap().call(&mut store, &[], &mut [])?;
        Ok(())
    }
    fn plain() -> Result<(), Box<dyn StdError>> {
        Err(Error::from(Full(1)))?
    }
    let error = Error::from_boxed(boxed().unwrap_err());
    assert_eq!((error.trap(), error.backtrace().frames().len()), (Some(Trap::Unreachable), 1));
    assert_eq!(plain().unwrap_err().to_string(), "full at 1");
    let error = Error::from_boxed(Box::new(Full(2)));
    assert_eq!(error.downcast_ref(), Some(&Full(2)));
}

#[test]
fn a_host_functions_own_error_comes_back_through_the_guest() {
    let text = r#"(module (import "host" "f" (func $f (param i32))) (func (export "run") (param i32) (call $f (local.get 0))))"#;
    for engine in engines() {
        let mut linker = Linker::<()>::new(&engine);
        // Of any type that is an error, without a conversion by hand.
        linker.func_wrap("host", "f", |n: u32| if n > 2 { Err(Full(n)) } else { Ok(()) }).unwrap();
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        let run = instance.get_typed_func::<u32, ()>(&store, "run").unwrap();
        run.call(&mut store, 1).unwrap();
        let error = run.call(&mut store, 7).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Full(7)));
        assert_eq!(error.backtrace().frames().len(), 1, "with the guest's frames");
        run.call(&mut store, 2).unwrap();
    }
}

/// An error passes through several guests and hosts as one.
#[test]
fn an_error_passes_through_nested_calls_whole() {
    let text = r#"(module (import "host" "deeper" (func $deeper (param i32)))
        (func (export "run") (param i32) (call $deeper (local.get 0))))"#;
    for engine in engines() {
        let mut linker = Linker::<()>::new(&engine);
        linker
            .func_wrap("host", "deeper", |mut caller: Caller<'_, ()>, depth: i32| -> Result<(), Error> {
                match depth {
                    0 => Err(Full(0))?,
                    1 => Err(Trap::IntegerOverflow)?,
                    _ => {
                        let run = caller.get_export("run").and_then(innkeeper::Extern::into_func).unwrap();
                        run.typed::<i32, ()>(&caller)?.call(&mut caller, depth - 2)
                    }
                }
            })
            .unwrap();
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        let run = instance.get_typed_func::<i32, ()>(&store, "run").unwrap();
        assert_eq!(run.call(&mut store, 8).unwrap_err().downcast_ref(), Some(&Full(0)));
        assert_eq!(run.call(&mut store, 9).unwrap_err().trap(), Some(Trap::IntegerOverflow));
    }
}

#[test]
fn a_traps_frame_is_named_by_its_export_where_there_is_no_name() {
    let text = r#"(module (func (export "outer") (call 1)) (func (call 2)) (func (export "inner") (export "also") unreachable))"#;
    for engine in engines() {
        let (mut store, instance) = instance(&engine, text);
        let error = instance.get_func(&store, "outer").unwrap().call(&mut store, &[], &mut []).unwrap_err();
        let names: Vec<_> =
            error.backtrace().frames().iter().map(|frame| frame.func_name.as_deref()).collect();
        assert_eq!(names, [Some("inner"), None, Some("outer")]);
        let text = error.backtrace().to_string();
        assert!(text.contains("func[1]") && !text.contains("func[2]"), "{text}");
    }
}

#[test]
fn what_kind_of_error_it_is_can_be_asked() {
    let [engine, _] = engines();
    let module = |text: &str| innkeeper::Module::new(&engine, text).unwrap_err();
    assert!(matches!(module("(module (func").kind(), ErrorKind::Text(_)));
    let malformed = innkeeper::Module::new(&engine, *b"\0asm\x02\0\0\0").unwrap_err();
    assert!(matches!(malformed.kind(), ErrorKind::Malformed { .. }));
    let missing = innkeeper::Module::from_file(&engine, "/nowhere/x.wasm").unwrap_err();
    assert!(matches!(missing.kind(), ErrorKind::Os(_)) && missing.to_string().contains("/nowhere/x.wasm"));
}
