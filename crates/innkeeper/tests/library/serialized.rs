//! Modules with their machine code: as many as one likes in an engine, from bytes and files, and refused where they are not what they should be.
#![allow(
    unsafe_code,
    reason = "what is deserialized is executed: here, it is what was serialized a moment ago, or refused"
)]

use innkeeper::{Config, Engine, ErrorKind, Features, Linker, Module, Store, Tiers};

fn text(result: i32) -> String {
    format!(r#"(module (func (export "run") (result i32) (i32.const {result})))"#)
}

fn run(module: &Module) -> i32 {
    let mut store = Store::new(module.engine(), ()).unwrap();
    let instance = Linker::new(module.engine()).instantiate(&mut store, module).unwrap();
    instance.get_typed_func::<(), i32>(&store, "run").unwrap().call(&mut store, ()).unwrap()
}

fn serialized(result: i32) -> Vec<u8> {
    let engine = innkeeper::engine(Config::default());
    Module::new(&engine, text(result)).unwrap().serialize().unwrap()
}

#[test]
fn many_serialized_modules_in_one_engine_from_bytes_and_files() {
    let directory = tempfile::tempdir().unwrap();
    for tiers in [Tiers::Auto, Tiers::Compiled] {
        let engine = innkeeper::engine_with(Config::default(), tiers);
        let mut modules = Vec::new();
        for i in 0..8 {
            let bytes = serialized(i);
            let module = match i % 2 {
                // SAFETY: serialized just now.
                0 => unsafe { Module::deserialize(&engine, &bytes) },
                _ => {
                    let path = directory.path().join(format!("{i}.cwasm"));
                    std::fs::write(&path, &bytes).unwrap();
                    // SAFETY: as above.
                    let module = unsafe { Module::deserialize_file(&engine, &path) };
                    // Whatever becomes of the name.
                    std::fs::remove_file(&path).unwrap();
                    module
                }
            };
            modules.push(module.unwrap());
        }
        for (i, module) in (0..).zip(&modules) {
            assert_eq!(run(module), i, "{tiers:?}");
        }
        let statistics = engine.compile_statistics();
        assert_eq!((statistics.compiled, statistics.known_valid), (0, 8), "{tiers:?} {statistics:?}");
        assert!(statistics.cached > 0);
        // A module from source beside them.
        assert_eq!(run(&Module::new(&engine, text(9)).unwrap()), 9);
    }
}

#[test]
fn a_deserialized_module_is_the_same_module() {
    let engine = innkeeper::engine(Config::default());
    let module = Module::new(&engine, text(3)).unwrap();
    let bytes = module.serialize().unwrap();
    // SAFETY: serialized just now.
    let again = unsafe { Module::deserialize(&engine, &bytes).unwrap() };
    assert_eq!(again.bytes(), module.bytes());
    assert_eq!(again.exports().next(), module.exports().next());
    assert_eq!(again.serialize().unwrap().len(), bytes.len());
}

fn refusal(engine: &Engine, bytes: &[u8]) -> String {
    // SAFETY: it is refused: what is damaged or foreign is found out before anything of it is executed.
    let error = unsafe { Module::deserialize(engine, bytes) }.map(drop).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Precompiled(_)), "{error}");
    error.to_string()
}

#[test]
fn what_is_something_else_is_refused() {
    let engine = innkeeper::engine(Config::default());
    let wasm = Module::new(&engine, text(1)).unwrap().bytes().to_vec();
    for bytes in [&[][..], b"(module)", &wasm, &[0; 4096], b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0"] {
        let refused = refusal(&engine, bytes);
        assert!(refused.starts_with("the precompiled module is "), "{refused}");
    }
    // SAFETY: there is no such file.
    let error = unsafe { Module::deserialize_file(&engine, "/nowhere/x.cwasm") }.map(drop).unwrap_err();
    assert!(error.to_string().contains("cannot be read"), "{error}");
}

#[test]
fn what_is_damaged_or_cut_off_is_refused() {
    let engine = innkeeper::engine(Config::default());
    let bytes = serialized(1);
    for end in [1, 8, 64, bytes.len() / 2, bytes.len() - 1] {
        refusal(&engine, &bytes[..end]);
    }
    // Damage of the head and of the module is found when it is opened, that of a function's code when the function is first called, which is compiled anew then.
    for at in (0..bytes.len()).step_by(bytes.len().div_ceil(64)) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        // SAFETY: every part of it is compared with its digest before it is used.
        if let Ok(module) = unsafe { Module::deserialize(&engine, &damaged) } {
            assert_eq!(run(&module), 1, "byte {at}");
        }
    }
}

#[test]
fn what_was_made_for_another_configuration_is_refused() {
    let bytes = serialized(1);
    let features = Features::default().without(innkeeper::Feature::Simd);
    let nans = Config { nan_bits: innkeeper::NanBits::Canonical, ..Config::default() };
    let fuel = Config { metering: innkeeper::Metering::Fuel, ..Config::default() };
    let fewer = Config { features, ..Config::default() };
    for config in [fuel, nans, fewer] {
        let refused = refusal(&innkeeper::engine(config), &bytes);
        assert!(refused.contains("was compiled for"), "{refused}");
    }
    let refused = refusal(&innkeeper::engine_with(Config::default(), Tiers::Interpreter), &bytes);
    assert!(refused.contains("only interprets"), "{refused}");
}

#[test]
fn an_engine_that_only_interprets_serializes_nothing() {
    let engine = innkeeper::engine_with(Config::default(), Tiers::Interpreter);
    let error = Module::new(&engine, text(1)).unwrap().serialize().unwrap_err();
    assert!(error.to_string().contains("only interprets"), "{error}");
}

#[test]
fn modules_are_read_from_files_in_either_format() {
    let directory = tempfile::tempdir().unwrap();
    let engine = innkeeper::engine(Config::default());
    let (as_text, as_binary) = (directory.path().join("m.wat"), directory.path().join("m.wasm"));
    std::fs::write(&as_text, format!(";; a comment\n {}", text(4))).unwrap();
    std::fs::write(&as_binary, Module::new(&engine, text(5)).unwrap().bytes()).unwrap();
    assert_eq!(run(&Module::from_file(&engine, as_text).unwrap()), 4);
    assert_eq!(run(&Module::from_file(&engine, as_binary).unwrap()), 5);
}

/// Text takes much memory to be read; whoever bounds what a guest may hold bounds that.
#[test]
fn text_that_would_take_more_than_the_limit_is_refused() {
    let mut config = Config::default();
    config.limits.memory_bytes = Some(64 << 10);
    let engine = innkeeper::engine(config);
    let error = Module::new(&engine, text(1)).unwrap_err();
    assert!(error.to_string().contains("Limits::memory_bytes"), "{error}");
}
