//! The code cache from run to run: what a run leaves for the next one, what is compiled between runs, and that runs of the same program come to an end of compiling.
//!
//! Which files are believed is in `cache.rs`. There is no code where there is no compiler.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use innkeeper::{Cache, CacheSeal, Config, Engine, Inlining, Linker, Module, Store, TierUp, Tiers, Tuning};

/// The key of whoever runs these tests.
fn seal() -> CacheSeal {
    CacheSeal::in_directory(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("seal")).unwrap()
}

fn only_file(directory: &Path) -> PathBuf {
    let files: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

/// Every call is one, so that each function that is used can be counted.
fn counted(tier_up: TierUp) -> Tuning {
    Tuning { tier_up, inlining: Inlining::never(), ..Tuning::default() }
}

/// A function that calls another one.
const TEXT: &str = r#"(module
    (func $double (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
    (func (export "run") (param i32) (result i32) (i32.add (call $double (local.get 0)) (i32.const 1))))"#;

#[test]
fn what_gets_hot_is_written_and_used_before_it_is_interpreted() {
    let directory = tempfile::tempdir().unwrap();
    let run = |calls| {
        let config = Config { tuning: counted(TierUp::eager()), ..Config::default() };
        let cache = Cache::in_directory(directory.path(), seal()).unwrap();
        let engine = innkeeper::engine_cached(config, Tiers::Auto, cache);
        let module =
            Module::new(&engine, innkeeper::to_binary(TEXT.as_bytes()).unwrap().into_owned()).unwrap();
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
        let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
        for _ in 0..calls {
            assert_eq!(run.call(&mut store, 20).unwrap(), 41);
        }
        engine.compile_statistics()
    };
    assert_eq!(run(1).compiled, 0);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing hot, nothing written");
    let first = run(3);
    assert_eq!((first.compiled, first.cached), (2, 0));
    let second = run(1);
    assert_eq!((second.compiled, second.cached, second.known_valid), (0, 2, 1));
}

/// A module of functions that are called once each by `run`, so many that interpreting them is felt.
fn flat(engine: &Engine) -> Module {
    let functions: String = (0..FLAT).map(|i| format!("(func $f{i} (result i32) (i32.const {i}))")).collect();
    let calls: String = (0..FLAT).map(|i| format!("(drop (call $f{i}))")).collect();
    let text = format!(
        r#"(module {functions} (func (export "hot"))
            (func (export "one") (drop (call $f1)))
            (func (export "run") {calls}))"#
    );
    Module::new(engine, innkeeper::to_binary(text.as_bytes()).unwrap().into_owned()).unwrap()
}

const FLAT: usize = 300;

fn engine_that_counts(directory: &Path, tier_up: TierUp) -> Engine {
    let cache = Cache::in_directory(directory, seal()).unwrap();
    innkeeper::engine_cached(Config { tuning: counted(tier_up), ..Config::default() }, Tiers::Auto, cache)
}

/// Functions are compiled because they were called: nothing gets hot.
fn never_hot() -> TierUp {
    TierUp { calls: u32::MAX, ..Tuning::default().tier_up }
}

fn call(module: &Module, names: &[&str]) {
    let mut store = Store::new(module.engine(), ()).unwrap();
    let instance = Linker::new(module.engine()).instantiate(&mut store, module).unwrap();
    for name in names {
        instance.get_func(&mut store, name).unwrap().call(&mut store, &[], &mut []).unwrap();
    }
}

#[test]
fn what_was_called_is_compiled_in_the_next_run_when_there_is_time() {
    let directory = tempfile::tempdir().unwrap();
    let first = engine_that_counts(directory.path(), TierUp::eager());
    call(&flat(&first), &["run", "hot", "hot"]);
    assert_eq!(first.compile_statistics().compiled, 1);
    // Nothing is hot here, but somebody has called it before.
    let second = engine_that_counts(directory.path(), never_hot());
    let module = flat(&second);
    call(&module, &["hot"]);
    let written = || -> u64 {
        let files = fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap());
        files
            .filter(|file| file.path().extension().is_some_and(|it| it == "code"))
            .map(|file| file.metadata().map_or(0, |it| it.len()))
            .sum()
    };
    let before = written();
    // Not by a run that is short.
    assert_eq!(second.compile_statistics().compiled, 0);
    while second.compile_statistics().compiled < FLAT + 1 {
        std::thread::yield_now();
    }
    drop(module);
    // Whoever compiles has the module as well, for a moment longer, and writes when the last one lets go of it.
    while written() <= before {
        std::thread::yield_now();
    }
    let third = engine_that_counts(directory.path(), TierUp::eager());
    call(&flat(&third), &["run", "hot"]);
    assert_eq!((third.compile_statistics().compiled, third.compile_statistics().cached), (0, FLAT + 2));
}

/// Few functions that were called once each: no run would be shorter for their code, and each run would make some of it.
#[test]
fn what_nobody_would_feel_is_not_compiled_for_later_runs() {
    let directory = tempfile::tempdir().unwrap();
    let fill = |goes_on: &(dyn Fn() -> bool + Sync)| {
        let engine = engine_that_counts(directory.path(), never_hot());
        innkeeper::fill_cache_with_called(&flat(&engine), &|_, _| {}, goes_on).unwrap().compiled
    };
    call(&flat(&engine_that_counts(directory.path(), TierUp::eager())), &["one", "hot", "hot"]);
    assert!(only_file(directory.path()).exists());
    assert_eq!(fill(&|| true), 0);
    // What was felt with many others is not felt by a run that calls little else.
    let engine = engine_that_counts(directory.path(), never_hot());
    call(&flat(&engine), &["run", "one"]);
    call(&flat(&engine), &["one"]);
    assert_eq!(fill(&|| true), FLAT, "all but `one` and the function that it calls");
}

#[test]
fn what_is_compiled_between_runs_is_written_in_steps() {
    let directory = tempfile::tempdir().unwrap();
    let engine = || engine_that_counts(directory.path(), never_hot());
    call(&flat(&engine()), &["run"]);
    let found = || {
        let engine = engine();
        call(&flat(&engine), &["run"]);
        engine.compile_statistics().cached
    };
    let seen = std::sync::Mutex::new(Vec::new());
    let look = |done: usize, _| {
        if done.is_multiple_of(100) {
            seen.lock().unwrap().push((done, found()));
        }
    };
    innkeeper::fill_cache_with_called(&flat(&engine()), &look, &|| true).unwrap();
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen.len(), FLAT / 100);
    for (done, found) in seen {
        assert!(found > done / 2, "{found} of {done} are found by a run that begins meanwhile");
    }
    assert_eq!(found(), FLAT + 1);
}

/// What is found to stay interpreted is news, too: nobody is to try it after each run.
#[test]
fn what_cannot_be_compiled_is_not_tried_after_each_run() {
    let directory = tempfile::tempdir().unwrap();
    let too_long = "(local.set 0 (i32.const 123456789))".repeat(50_000);
    let calls = "(call $too_long) (call $short)".repeat(3000);
    let text = format!(
        "(module (func $too_long (local i32) {too_long}) (func $short) (func (export \"run\") {calls}))"
    );
    let binary = innkeeper::to_binary(text.as_bytes()).unwrap().into_owned();
    let module = || Module::new(&engine_that_counts(directory.path(), never_hot()), binary.clone()).unwrap();
    let lacking = || {
        let module = module();
        call(&module, &["run"]);
        module.keep_code()
    };
    assert!(lacking().is_much(), "{:?}", lacking());
    // One after the other. The first has brought all trampolines that the others need.
    for _ in 0..3 {
        let is_first = AtomicBool::new(true);
        innkeeper::fill_cache_with_called(&module(), &|_, _| {}, &|| is_first.swap(false, Ordering::Relaxed))
            .unwrap();
    }
    assert_eq!(lacking().functions, 0);
}

/// A loop that gets hot while it is executed has code that is entered there; that of its function is another matter, as what comes before the loop takes long to compile.
#[test]
fn what_was_compiled_of_a_loop_is_entered_in_the_next_run() {
    let before: String = (1..6000)
        .map(|i| format!("(local.set 1 (i32.rotl (i32.mul (local.get 1) (i32.const {i})) (local.get 0)))"))
        .collect();
    let text = format!(
        r#"(module (func (export "run") (param i32) (result i32) (local i32) {before}
            (loop
              (local.set 1 (i32.add (local.get 1) (local.get 0)))
              (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
            (local.get 1)))"#
    );
    let binary = innkeeper::to_binary(text.as_bytes()).unwrap().into_owned();
    // In a directory of its own with this file; gives what it leaves at once, and what was compiled and found.
    let run = |file: Option<(&std::ffi::OsStr, &[u8])>| {
        let directory = tempfile::tempdir().unwrap();
        if let Some((name, bytes)) = file {
            fs::write(directory.path().join(name), bytes).unwrap();
            fs::set_permissions(directory.path().join(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
        let engine = engine_that_counts(directory.path(), TierUp::eager());
        let module = Module::new(&engine, binary.clone()).unwrap();
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
        let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
        assert_eq!(run.call(&mut store, 1000).unwrap(), 500_500);
        let statistics = engine.compile_statistics();
        module.keep_code();
        let file = only_file(directory.path());
        (file.file_name().unwrap().to_owned(), fs::read(&file).unwrap(), statistics)
    };
    let (name, bytes, first) = run(None);
    assert_eq!((first.compiled, first.cached), (1, 0));
    let (_, _, second) = run(Some((&name, &bytes)));
    assert_eq!((second.compiled, second.cached), (0, 1));
    // What is not as it was written is made again.
    let mut damaged = bytes.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let (_, _, third) = run(Some((&name, &damaged)));
    assert_eq!((third.compiled, third.cached), (1, 0));
}

#[test]
fn what_was_called_can_be_compiled_between_runs() {
    let directory = tempfile::tempdir().unwrap();
    let count = 300;
    let functions: String =
        (0..count).map(|i| format!("(func $f{i} (result i32) (i32.const {i}))")).collect();
    let calls: String = (0..count).map(|i| format!("(drop (call $f{i}))")).collect();
    let text = format!("(module {functions} (func $never) (func (export \"run\") {calls}))");
    let binary = innkeeper::to_binary(text.as_bytes()).unwrap().into_owned();
    let module = || {
        let cache = Cache::in_directory(directory.path(), seal()).unwrap();
        // Nothing is hot: what is compiled is compiled because it was called.
        let tier_up = TierUp { calls: u32::MAX, ..innkeeper::Tuning::default().tier_up };
        let config = Config { tuning: counted(tier_up), ..Config::default() };
        let engine = innkeeper::engine_cached(config, Tiers::Auto, cache);
        Module::new(&engine, binary.clone()).unwrap()
    };
    let run = |module: &Module| {
        let mut store = Store::new(module.engine(), ()).unwrap();
        let instance = Linker::new(module.engine()).instantiate(&mut store, module).unwrap();
        instance.get_typed_func::<(), ()>(&mut store, "run").unwrap().call(&mut store, ()).unwrap();
    };
    let meanwhile = module();
    let first = module();
    run(&first);
    assert_eq!(first.keep_code().functions, count + 1);
    let asked = AtomicUsize::new(0);
    let goes_on = || asked.fetch_add(1, Ordering::Relaxed) < count / 2;
    let statistics = innkeeper::fill_cache_with_called(&module(), &|_, _| {}, &goes_on).unwrap();
    assert_eq!(statistics.compiled, count / 2);
    let statistics = innkeeper::fill_cache_with_called(&module(), &|_, _| {}, &|| true).unwrap();
    assert_eq!(statistics.compiled, count + 1 - count / 2);
    // A run that began when there was no file ends, and writes what it knows: that does not undo what others have written meanwhile.
    run(&meanwhile);
    assert_eq!(meanwhile.keep_code().functions, count + 1);
    let second = module();
    run(&second);
    assert_eq!(second.keep_code().functions, 0);
    let statistics = second.engine().compile_statistics();
    assert_eq!((statistics.compiled, statistics.cached), (0, count + 1));
}

/// What is refused because there is no memory now is not remembered as what can never be compiled.
#[test]
fn what_was_refused_for_the_moment_is_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let operands = 4000;
    // Enough others that something is written at all.
    let others: String = (0..300).map(|i| format!("(func $f{i} (result i32) (i32.const {i}))")).collect();
    let calls: String = (0..300).map(|i| format!("(drop (call $f{i}))")).collect();
    let text = format!(
        "(module {others} (func (export \"run\") (result i32) {calls} {} {}))",
        "(call $f1)".repeat(operands),
        "i32.add ".repeat(operands - 1)
    );
    let module = || {
        let tuning = counted(TierUp { calls: u32::MAX, ..Tuning::default().tier_up });
        let cache = Cache::in_directory(directory.path(), seal()).unwrap();
        let engine = innkeeper::engine_cached(Config { tuning, ..Config::default() }, Tiers::Auto, cache);
        Module::new(&engine, innkeeper::to_binary(text.as_bytes()).unwrap().into_owned()).unwrap()
    };
    let first = module();
    let mut store = Store::new(first.engine(), ()).unwrap();
    let instance = Linker::new(first.engine()).instantiate(&mut store, &first).unwrap();
    let run = instance.get_typed_func::<(), i32>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), operands as i32);
    assert!(first.keep_code().functions > 0);
    let refused = module();
    refused.engine().charge_compiling_to(&innkeeper::Budget::new(Some(1), "nothing"));
    let statistics = innkeeper::fill_cache_with_called(&refused, &|_, _| {}, &|| true).unwrap();
    let reason = "compiling it would take more memory than the limit allows";
    assert_eq!(statistics.refused.get(reason), Some(&1), "{statistics:?}");
    let statistics = innkeeper::fill_cache_with_called(&module(), &|_, _| {}, &|| true).unwrap();
    assert!(statistics.compiled > 0 && statistics.refused.is_empty(), "{statistics:?}");
}

#[test]
fn what_has_been_kept_is_not_written_again_when_the_module_goes() {
    let directory = tempfile::tempdir().unwrap();
    let module = flat(&engine_that_counts(directory.path(), never_hot()));
    call(&module, &["run"]);
    assert!(module.keep_code().is_much());
    let written = || fs::metadata(only_file(directory.path())).unwrap().ino();
    let before = written();
    drop(module);
    assert_eq!(written(), before);
}
