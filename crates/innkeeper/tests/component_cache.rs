//! The code cache of components: one file has the code of all modules of a component and of what is generated for calls between its instances, and each function finds its own there.
//!
//! What of files is believed at all is in `cache.rs`. There is no code where there is no compiler.

#![cfg(all(target_os = "linux", target_arch = "x86_64", feature = "component"))]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use innkeeper::component::{Component, Feature, Features, Linker};
use innkeeper::{
    Cache, CacheSeal, CompileStatistics, Config, Engine, Inlining, Lacking, Precompiled, Store, TierUp,
    Tiers, Trap, Tuning,
};

/// Two components, one of which calls the other, and the outermost one, which calls both: three modules, and code between the inner two. `run` traps in the innermost with 0.
const TEXT: &str = r#"(component
    (component $inner
        (core module $m
            (func $double (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
            (func (export "twice") (param i32) (result i32)
                (if (i32.eqz (local.get 0)) (then unreachable))
                (call $double (local.get 0))))
        (core instance $i (instantiate $m))
        (func (export "twice") (param "of" u32) (result u32) (canon lift (core func $i "twice"))))
    (component $outer
        (import "twice" (func $twice (param "of" u32) (result u32)))
        (core func $twice (canon lower (func $twice)))
        (core module $m
            (import "" "twice" (func $twice (param i32) (result i32)))
            (func (export "run") (param i32) (result i32) (i32.add (call $twice (local.get 0)) (i32.const 1))))
        (core instance $i (instantiate $m (with "" (instance (export "twice" (func $twice))))))
        (func (export "run") (param "of" u32) (result u32) (canon lift (core func $i "run"))))
    (instance $inner (instantiate $inner))
    ;; Walked as a rule, since one of the two is in the other.
    (alias export $inner "twice" (func $twice))
    (core func (canon lower (func $twice)))
    (instance $outer (instantiate $outer (with "twice" (func $inner "twice"))))
    (alias export $outer "run" (func $run))
    (core func $run (canon lower (func $run)))
    (core module $m
        (import "" "run" (func $run (param i32) (result i32)))
        (func (export "all") (param i32) (result i32) (call $run (local.get 0))))
    (core instance $i (instantiate $m (with "" (instance (export "run" (func $run))))))
    (export "run" (func $run))
    (func (export "all") (param "of" u32) (result u32) (canon lift (core func $i "all"))))"#;

/// Those of the three modules, and those that are generated for the call.
const FUNCTIONS: usize = 4 + GENERATED;
const GENERATED: usize = 2;
/// Those that a call of `run` comes by.
const RUN: usize = 4;

/// The key of whoever runs these tests.
fn seal() -> CacheSeal {
    CacheSeal::in_directory(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("seal")).unwrap()
}

fn cache(directory: &Path) -> Cache {
    Cache::in_directory(directory, seal()).unwrap()
}

/// An engine where every call is one, so that each function that is used can be counted.
fn engine(tiers: Tiers, tier_up: TierUp, cache: Cache) -> Engine {
    let tuning = Tuning { tier_up, inlining: Inlining::never(), ..Tuning::default() };
    innkeeper::engine_cached(Config { tuning, ..Config::default() }, tiers, cache)
}

fn usual() -> TierUp {
    Tuning::default().tier_up
}

fn compiled(cache: Cache) -> Engine {
    engine(Tiers::Compiled, usual(), cache)
}

fn component(engine: &Engine) -> Component {
    Component::new(engine, innkeeper::to_binary(TEXT.as_bytes()).unwrap().into_owned()).unwrap()
}

/// Calls `run`, so often with 20 and once with 0.
fn call(engine: &Engine, component: &Component, times: usize) {
    let mut store = Store::new(engine, ()).unwrap();
    let instance = Linker::new(engine).instantiate(&mut store, component).unwrap();
    let run = instance.get_typed_func::<(u32,), u32>(&mut store, "run").unwrap();
    for _ in 0..times {
        assert_eq!(run.call(&mut store, (20,)).unwrap(), 41);
    }
    let error = run.call(&mut store, (0,)).unwrap_err();
    assert_eq!(error.trap(), Some(Trap::Unreachable));
    let names: Vec<_> = error.backtrace().frames().iter().map(|frame| frame.func_name.clone()).collect();
    assert_eq!(names.len(), 2, "what is generated is left out: {names:?}");
    assert!(error.backtrace().frames().iter().all(|frame| frame.offset_bytes.is_some()));
}

fn run(directory: &Path) -> CompileStatistics {
    let engine = compiled(cache(directory));
    call(&engine, &component(&engine), 1);
    engine.compile_statistics()
}

fn only_file(directory: &Path) -> PathBuf {
    let files: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

fn numbers(statistics: &CompileStatistics) -> (usize, usize, usize) {
    (statistics.compiled, statistics.cached, statistics.known_valid)
}

#[test]
fn a_component_has_one_file_and_the_second_engine_compiles_nothing() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(numbers(&run(directory.path())), (FUNCTIONS, 0, 0));
    let file = only_file(directory.path());
    let (before, changed) = (fs::read(&file).unwrap(), fs::metadata(&file).unwrap().ino());
    assert_eq!(numbers(&run(directory.path())), (0, FUNCTIONS, 1));
    assert!(fs::read(only_file(directory.path())).unwrap() == before);
    assert_eq!(fs::metadata(&file).unwrap().ino(), changed, "nothing new, so nothing is written");
}

#[test]
fn damaged_code_is_made_again_whichever_part_it_is_of() {
    let directory = tempfile::tempdir().unwrap();
    run(directory.path());
    let file = only_file(directory.path());
    let original = fs::read(&file).unwrap();
    // Every byte is tried of a module's file, which has the same format.
    for at in (0..original.len()).step_by(97) {
        let mut damaged = original.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(&file, &damaged).unwrap();
        let statistics = run(directory.path());
        assert_eq!(statistics.cached + statistics.compiled, FUNCTIONS, "byte {at}: {statistics:?}");
        assert!(statistics.cached < FUNCTIONS, "byte {at}: {statistics:?}");
        assert!(fs::read(&file).unwrap() == original, "byte {at}: not as it was");
    }
    for len in [0, 50, original.len() - 1] {
        fs::write(&file, &original[..len]).unwrap();
        assert!(run(directory.path()).cached < FUNCTIONS, "{len} bytes");
    }
}

/// The key is the same: features of components change no code but what is generated.
#[test]
fn code_of_what_was_generated_otherwise_is_not_used() {
    let directory = tempfile::tempdir().unwrap();
    run(directory.path());
    let engine = compiled(cache(directory.path()));
    let features = Features::default().with(Feature::CallsToRelatives);
    let bytes = innkeeper::to_binary(TEXT.as_bytes()).unwrap().into_owned();
    let component = Component::with_features(&engine, bytes, features).unwrap();
    let mut store = Store::new(&engine, ()).unwrap();
    let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
    let all = instance.get_typed_func::<(u32,), u32>(&mut store, "all").unwrap();
    assert_eq!(all.call(&mut store, (20,)).unwrap(), 41);
    let statistics = engine.compile_statistics();
    assert!(statistics.compiled > 0, "{statistics:?}");
    assert_eq!(statistics.cached, FUNCTIONS - GENERATED, "the modules' own: {statistics:?}");
    drop((store, component));
    // It has taken the other's place.
    assert_eq!(numbers(&run(directory.path())), (GENERATED, FUNCTIONS - GENERATED, 1));
}

#[test]
fn what_gets_hot_in_any_module_is_used_before_it_is_interpreted() {
    let directory = tempfile::tempdir().unwrap();
    let run = |times| {
        let engine = engine(Tiers::Auto, TierUp::eager(), cache(directory.path()));
        call(&engine, &component(&engine), times);
        engine.compile_statistics()
    };
    assert_eq!(run(0).compiled, 0);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing hot, nothing written");
    assert_eq!(run(3).compiled, RUN);
    only_file(directory.path());
    assert_eq!(numbers(&run(1)), (0, RUN, 1));
}

#[test]
fn what_was_called_is_told_of_all_modules_together_and_compiled_between_runs() {
    let directory = tempfile::tempdir().unwrap();
    let never_hot = || TierUp { calls: u32::MAX, ..usual() };
    let run = |times| -> (Lacking, CompileStatistics) {
        let engine = engine(Tiers::Auto, never_hot(), cache(directory.path()));
        let component = component(&engine);
        call(&engine, &component, times);
        (component.keep_code(), engine.compile_statistics())
    };
    // So often that it would be felt.
    let (lacking, _) = run(20_000);
    assert_eq!((lacking.functions, lacking.is_much()), (RUN, true));
    let engine = engine(Tiers::Auto, usual(), cache(directory.path()));
    let statistics = innkeeper::fill_cache_with_called(&component(&engine), &|_, _| {}, &|| true).unwrap();
    assert_eq!(statistics.compiled, RUN);
    let (lacking, statistics) = run(1);
    assert_eq!((lacking.functions, statistics.cached), (0, RUN));
    only_file(directory.path());
}

#[test]
fn all_of_a_component_is_compiled_into_the_cache() {
    let directory = tempfile::tempdir().unwrap();
    let filling = engine(Tiers::Auto, usual(), cache(directory.path()));
    assert_eq!(innkeeper::fill_cache(&component(&filling), &|_, _| {}).unwrap().compiled, FUNCTIONS);
    let engine = engine(Tiers::Auto, usual(), cache(directory.path()));
    call(&engine, &component(&engine), 1);
    assert_eq!(numbers(&engine.compile_statistics()), (0, RUN, 1));
}

#[test]
fn a_component_is_compiled_ahead_of_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("component.cwasm");
    let engine = innkeeper::engine_with(Config::default(), Tiers::Auto);
    let made = component(&engine);
    let mut bytes = Vec::new();
    let statistics = innkeeper::precompile(&made, &mut bytes, &|_, _| {}).unwrap();
    assert_eq!(statistics.compiled, FUNCTIONS);
    fs::write(&path, &bytes).unwrap();
    let mut precompiled = Precompiled::open_trusted(&path, &Config::default()).unwrap();
    assert!(precompiled.take_module() == made.bytes());
    let cache = Cache::of_precompiled(precompiled);
    let engine = innkeeper::engine_cached(Config::default(), Tiers::Auto, cache);
    // Several have a mapping each.
    let (first, second) = (component(&engine), component(&engine));
    call(&engine, &first, 1);
    drop(first);
    call(&engine, &second, 1);
    // One function is inlined in the other.
    assert_eq!(numbers(&engine.compile_statistics()), (0, 2 * (RUN - 1), 2));
}

#[test]
fn a_component_without_modules_has_nothing_to_compile() {
    let engine = innkeeper::engine_with(Config::default(), Tiers::Auto);
    let empty = Component::new(&engine, innkeeper::to_binary(b"(component)").unwrap().into_owned()).unwrap();
    let error = innkeeper::precompile(&empty, &mut Vec::new(), &|_, _| {}).unwrap_err();
    assert!(error.to_string().contains("nothing to compile"), "{error}");
}
