//! What guests import: functions of the host that borrow, that trap, that are there behind a gate only; names that are Rust's own.

use innkeeper::Error;
use innkeeper::component::{Linker, bindgen};

use crate::{component, store};

mod logger {
    super::bindgen!({
        inline: "
            package test:logger;
            interface log {
                enum level { info, bad }
                record place { file: string, line: u32 }
                line: func(level: level, text: string, bytes: list<u8>, words: option<list<u32>>, at: place) -> u64;
                names: func(names: list<string>) -> list<string>;
            }
            world logger { import log; export run: func() -> u64; }",
    });
}

/// Parameters that are borrowed from the guest's memory, wherever they can be.
#[test]
fn a_logger_borrows() {
    use logger::test::logger::log::{Host, Level, Place};
    const WIT: &str = "package test:logger; interface log { enum level { info, bad } record place { file: string, line: u32 }
        line: func(level: level, text: string, bytes: list<u8>, words: option<list<u32>>, at: place) -> u64; names: func(names: list<string>) -> list<string>; }
        world logger { import log; export run: func() -> u64; }";
    #[derive(Default)]
    struct Log(Vec<String>);
    impl Host for Log {
        fn line(&mut self, level: Level, text: &str, bytes: &[u8], words: Option<&[u32]>, at: Place) -> u64 {
            self.0.push(format!("{level} {text} {bytes:?} {words:?} {}:{}", at.file, at.line));
            7
        }

        fn names(&mut self, names: Vec<&str>) -> Vec<String> {
            names.into_iter().map(str::to_uppercase).collect()
        }
    }
    let imports = r#"(import "test:logger/log" "line" (func $line (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i64)))
        (import "test:logger/log" "names" (func $names (param i32 i32 i32)))"#;
    let run = r#"
        (data (i32.const 64) "hello, log")
        (data (i32.const 80) "\01\00\00\00\02\00\00\00")
        (data (i32.const 96) "\40\00\00\00\05\00\00\00")
        (func (export "run") (result i64)
            (call $names (i32.const 96) (i32.const 1) (i32.const 104))
            (call $line (i32.const 1) (i32.load (i32.load (i32.const 104))) (i32.const 5) (i32.const 80) (i32.const 2)
                (i32.const 1) (i32.const 80) (i32.const 2) (i32.const 64) (i32.const 3) (i32.const 12)))"#;
    let (engine, mut store) = store(Log::default());
    let component = component(&engine, WIT, "logger", imports, run);
    let mut linker = Linker::new(&engine);
    logger::Logger::add_to_linker(&mut linker, |log: &mut Log| log).unwrap();
    let logger = logger::Logger::instantiate(&mut store, &linker, &component).unwrap();
    assert_eq!(logger.call_run(&mut store).unwrap(), 7);
    assert_eq!(store.data().0, ["bad HELLO [1, 0] Some([1, 2]) hel:12"]);
}

mod trapping {
    super::bindgen!({
        inline: "
            package test:trapping@0.1.0;
            interface values { take: func(value: u32) -> result<u32, string>; plain: func(text: string) -> u32; }
            world trapping { import values; import check: func(); export run: func(value: u32) -> u32; }",
        imports: { "test:trapping/values#take": trappable, "check": trappable },
        owned_parameters: true,
    });
}

/// Functions of the host that end the guest, one by one; and that own what they are given.
#[test]
fn a_host_that_ends_guests() {
    const WIT: &str = "package test:trapping@0.1.0; interface values { take: func(value: u32) -> result<u32, string>; plain: func(text: string) -> u32; }
        world trapping { import values; import check: func(); export run: func(value: u32) -> u32; }";
    struct Host;
    impl trapping::test::trapping::values::Host for Host {
        fn take(&mut self, value: u32) -> Result<Result<u32, String>, Error> {
            if value == 0 { Err(Error::msg("no zeros here")) } else { Ok(Ok(value + 1)) }
        }

        fn plain(&mut self, text: String) -> u32 {
            text.len() as u32
        }
    }
    impl trapping::TrappingImports for Host {
        fn check(&mut self) -> Result<(), Error> {
            Ok(())
        }
    }
    let imports = r#"(import "test:trapping/values@0.1.0" "take" (func $take (param i32 i32)))
        (import "test:trapping/values@0.1.0" "plain" (func $plain (param i32 i32) (result i32)))
        (import "$root" "check" (func $check))"#;
    let run = r#"(func (export "run") (param i32) (result i32)
        (call $check)
        (call $take (local.get 0) (i32.const 16))
        (i32.add (i32.load (i32.const 20)) (call $plain (i32.const 0) (i32.const 3))))"#;
    let (engine, mut store) = store(Host);
    let component = component(&engine, WIT, "trapping", imports, run);
    let mut linker = Linker::new(&engine);
    trapping::Trapping::add_to_linker(&mut linker, |host: &mut Host| host).unwrap();
    let trapping = trapping::Trapping::instantiate(&mut store, &linker, &component).unwrap();
    assert_eq!(trapping.call_run(&mut store, 5).unwrap(), 9);
    let error = trapping.call_run(&mut store, 0).unwrap_err();
    assert!(error.to_string().contains("no zeros here"), "{error}");
}

const GATED: &str = "package test:gated@1.0.0;
    @since(version = 1.0.0)
    interface gated {
        @since(version = 1.0.0) old: func() -> u32;
        @unstable(feature = next) new: func() -> u32;
    }
    world gate { @since(version = 1.0.0) import gated; export run: func() -> u32; }";

mod closed {
    super::bindgen!({
        inline: "package test:gated@1.0.0;
            @since(version = 1.0.0)
            interface gated {
                @since(version = 1.0.0) old: func() -> u32;
                @unstable(feature = next) new: func() -> u32;
            }
            world gate { @since(version = 1.0.0) import gated; export run: func() -> u32; }",
    });
}

mod opened {
    super::bindgen!({
        inline: "package test:gated@1.0.0;
            @since(version = 1.0.0)
            interface gated {
                @since(version = 1.0.0) old: func() -> u32;
                @unstable(feature = next) new: func() -> u32;
            }
            world gate { @since(version = 1.0.0) import gated; export run: func() -> u32; }",
        features: ["next"],
    });
}

/// What is behind a gate is there where the gate is opened.
#[test]
fn a_gate() {
    struct Host;
    impl closed::test::gated::gated::Host for Host {
        fn old(&mut self) -> u32 {
            1
        }
    }
    impl opened::test::gated::gated::Host for Host {
        fn old(&mut self) -> u32 {
            1
        }

        fn new(&mut self) -> u32 {
            2
        }
    }
    let imports = r#"(import "test:gated/gated@1.0.0" "old" (func $old (result i32))) (import "test:gated/gated@1.0.0" "new" (func $new (result i32)))"#;
    let run = r#"(func (export "run") (result i32) (i32.add (call $old) (call $new)))"#;
    let (engine, mut store) = store(Host);
    let component = component(&engine, GATED, "gate", imports, run);
    let mut linker = Linker::new(&engine);
    closed::Gate::add_to_linker(&mut linker, |host: &mut Host| host).unwrap();
    let error = closed::Gate::instantiate(&mut store, &linker, &component).unwrap_err();
    assert!(error.to_string().contains("`test:gated/gated@1.0.0#new`"), "{error}");
    opened::Gate::add_to_linker(&mut linker, |host: &mut Host| host).unwrap();
    assert_eq!(
        opened::Gate::instantiate(&mut store, &linker, &component).unwrap().call_run(&mut store).unwrap(),
        3
    );
}

mod names {
    super::bindgen!({
        inline: "
            package test:names@2.0.0;
            interface %type {
                record %option { %self: u32, %type: string, HTTP-status: u16 }
                variant %result { %ok, %none(%option) }
                enum vec { %string, %self }
                %fn: func(%self: vec, store: %option, data: option<%option>) -> %result;
                host: func();
            }
            world names {
                import %type;
                import inline: interface { %loop: func(get: u8) -> u8; }
                export %match: func(%type: u32) -> u32;
                export inline: interface { %loop: func(get: u8) -> u8; }
            }",
    });
}

/// Names that Rust has for other things.
#[test]
fn names_of_rust() {
    use names::test::names::r#type::{self, Option as Wit, Result as Ended, Vec as Kind};
    const WIT: &str = "package test:names@2.0.0; interface %type {
        record %option { %self: u32, %type: string, HTTP-status: u16 } variant %result { %ok, %none(%option) } enum vec { %string, %self }
        %fn: func(%self: vec, store: %option, data: option<%option>) -> %result; host: func(); }
        world names { import %type; import inline: interface { %loop: func(get: u8) -> u8; } export %match: func(%type: u32) -> u32; export inline: interface { %loop: func(get: u8) -> u8; } }";
    #[derive(Default)]
    struct Host(u32);
    impl r#type::Host for Host {
        fn r#fn(&mut self, this: Kind, store_: Wit, data: Option<Wit>) -> Ended {
            self.0 += store_.self_ + u32::from(store_.http_status);
            assert!(data.is_none() && this == Kind::Self_);
            Ended::None(store_)
        }

        fn host(&mut self) {}
    }
    impl names::inline::Host for Host {
        fn r#loop(&mut self, get_: u8) -> u8 {
            get_ + 1
        }
    }
    let imports = r#"(import "test:names/type@2.0.0" "fn" (func $fn (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
        (import "inline" "loop" (func $loop (param i32) (result i32)))"#;
    let functions = r#"
        (func (export "match") (param i32) (result i32)
            (call $fn (i32.const 1) (local.get 0) (i32.const 0) (i32.const 4) (i32.const 200)
                (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 64))
            (i32.load (i32.const 68)))
        (func (export "inline#loop") (param i32) (result i32) (call $loop (local.get 0)))"#;
    let (engine, mut store) = store(Host::default());
    let component = component(&engine, WIT, "names", imports, functions);
    let mut linker = Linker::new(&engine);
    names::Names::add_to_linker(&mut linker, |host: &mut Host| host).unwrap();
    let names = names::Names::instantiate(&mut store, &linker, &component).unwrap();
    assert_eq!(names.call_match(&mut store, 42).unwrap(), 42);
    assert_eq!(store.data().0, 242);
    assert_eq!(names.inline().call_loop(&mut store, 6).unwrap(), 7);
}
