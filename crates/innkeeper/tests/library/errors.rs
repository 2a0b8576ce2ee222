//! Errors of every origin, and what can be got back out of them.

use std::error::Error as StdError;
use std::fmt;

use innkeeper::{Caller, Context, Error, ErrorKind, Linker, Store, Trap};

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

/// What another library makes of an error.
#[derive(Debug)]
struct Wrapped(Box<dyn StdError + Send + Sync>);

impl std::fmt::Display for Wrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("wrapped")
    }
}

impl StdError for Wrapped {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.0)
    }
}

#[test]
fn an_error_that_others_have_wrapped_still_tells_its_trap() {
    for engine in engines() {
        let (mut store, instance) = instance(&engine, r#"(module (func (export "f") unreachable))"#);
        let error = instance.get_func(&store, "f").unwrap().call(&mut store, &[], &mut []).unwrap_err();
        let wrapped = Wrapped(Box::new(Wrapped(error.into())));
        let found = Error::find_in(&wrapped).expect("it is there");
        assert_eq!((found.trap(), found.backtrace().frames().len()), (Some(Trap::Unreachable), 1));
        let again = Error::from(wrapped);
        assert_eq!((again.trap(), again.backtrace().frames().len()), (Some(Trap::Unreachable), 1));
        assert!(Error::find_in(&Full(1)).is_none() && Error::from(Full(1)).trap().is_none());
    }
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

#[test]
fn what_is_no_module_is_named() {
    let [engine, compiled] = engines();
    let refusal = |bytes: &[u8]| innkeeper::Module::new(&engine, bytes).unwrap_err().to_string();
    let elf = refusal(b"\x7fELF\x02\x01\x01\0\0\0");
    assert!(elf.contains(r"begins with the bytes `\x7fELF`"), "{elf}");
    assert!(refusal(b"\0asn\x01\0\0\0").contains(r"`\x00asn`"));
    assert!(refusal(b"").contains("no bytes"));
    // What is cut off is one, as far as can be seen.
    for end in 1..8 {
        let cut = refusal(&b"\0asm\x01\0\0\0"[..end]);
        assert!(cut.contains("unexpected end"), "{end}: {cut}");
    }
    let serialized = module(&compiled, "(module)").serialize().unwrap();
    let refused = refusal(&serialized);
    assert!(refused.contains("`Module::deserialize`") && refused.contains("`Module::deserialize_file`"));
    // And the other way round.
    for bytes in [&b"\0asm\x01\0\0\0"[..], b"(module)", b""] {
        // SAFETY: it is refused.
        let error = unsafe { innkeeper::Module::deserialize(&compiled, bytes) }.map(drop).unwrap_err();
        assert!(error.to_string().contains("no module or component that was compiled"), "{error}");
    }
}

#[test]
fn an_export_of_another_kind_is_named() {
    let text = r#"(module (memory (export "m") 1) (table (export "t") 1 funcref) (global (export "g") i32 (i32.const 0))
        (tag (export "e")))"#;
    for engine in engines() {
        let (store, instance) = instance(&engine, text);
        for (name, what) in [("m", "a memory"), ("t", "a table"), ("g", "a global"), ("e", "a tag")] {
            let error = instance.get_typed_func::<(), ()>(&store, name).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("the instance exports `{name}` as {what}, not as a function")
            );
        }
        let error = instance.get_typed_func::<(), ()>(&store, "x").unwrap_err();
        assert_eq!(error.to_string(), "the instance exports no function `x`");
    }
}

/// Told on the way out, by functions of the host as well, and through guests.
#[test]
fn contexts_are_told_with_what_went_wrong() {
    let text = r#"(module (import "host" "f" (func $f (param i32))) (func (export "run") (param i32) (call $f (local.get 0))))"#;
    for engine in engines() {
        let mut linker = Linker::<()>::new(&engine);
        let f = |n: u32| -> innkeeper::Result<()> {
            match n {
                0 => Err(Outer(Full(7))).context("looking for room"),
                1 => Err(Trap::IntegerOverflow).with_context(|| format!("adding {n}")),
                2 => Err(Error::new(ErrorKind::Link("nobody".to_owned())).context("linking")),
                _ => None.context("there is nothing"),
            }
        };
        linker.func_wrap("host", "f", f).unwrap();
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        let run = instance.get_typed_func::<u32, ()>(&store, "run").unwrap();
        let mut error = |n| run.call(&mut store, n).context("the plugin").unwrap_err();
        let chain = |error: &Error| error.chain().map(ToString::to_string).collect::<Vec<_>>();

        let full = error(0);
        assert_eq!((full.to_string().as_str(), full.downcast_ref()), ("the plugin", Some(&Full(7))));
        assert_eq!(format!("{full:#}"), "the plugin: looking for room: the outer one");
        assert_eq!(chain(&full), ["the plugin", "looking for room", "the outer one", "full at 7"]);
        let told = format!("{full:?}");
        let expected =
            "the plugin\n  because: looking for room\n  because: the outer one\n  because: full at 7\n";
        assert!(told.starts_with(expected) && told.contains("run"), "{told}");
        assert_eq!(full.backtrace().frames().len(), 1);

        let overflow = error(1);
        assert_eq!(overflow.trap(), Some(Trap::IntegerOverflow));
        assert_eq!(format!("{overflow:#}"), "the plugin: adding 1: wasm trap: integer overflow");
        let linking = error(2);
        assert!(matches!(linking.kind(), ErrorKind::Link(_)));
        assert_eq!(chain(&linking), ["the plugin", "linking", "nobody"]);
        assert_eq!(format!("{:#}", error(3)), "the plugin: there is nothing");
        // Through a box nothing is lost.
        let boxed: Box<dyn StdError + Send + Sync> = linking.into();
        assert_eq!(boxed.to_string(), "the plugin: linking: nobody");
        assert_eq!(chain(&Error::from_boxed(boxed)), ["the plugin", "linking", "nobody"]);
    }
}
