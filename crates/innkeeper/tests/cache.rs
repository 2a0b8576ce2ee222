//! The code cache, case by case: what was compiled in one engine is used in the next, and nothing else ever is.
//!
//! C1 to C5 are the sandbox's cases for it: whatever is wrong with a file, the module is validated and compiled again, and the file is as it should
//! be afterwards. C6 is beside the code that writes, C7 is a case for the command.
//!
//! There is no code where there is no compiler.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use innkeeper::{
    Cache, CacheDirectory, CacheError, CacheSeal, CompileStatistics, Config, Engine, Linker, MemoryLayout,
    Module, Store, Tiers, Trap,
};

/// Three functions, two of which run; one traps, so that tables matter.
const TEXT: &str = r#"(module
    (func $double (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
    (func $never (result i32) unreachable)
    (func (export "run") (param i32) (result i32)
        (if (i32.eqz (local.get 0)) (then unreachable))
        (i32.add (call $double (local.get 0)) (i32.const 1))))"#;

const FUNCTIONS: usize = 3;

fn binary() -> Vec<u8> {
    innkeeper::to_binary(TEXT.as_bytes()).unwrap().into_owned()
}

/// The key of whoever runs these tests.
fn seal() -> CacheSeal {
    CacheSeal::in_directory(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("seal")).unwrap()
}

fn engine(directory: &Path, config: Config) -> Engine {
    innkeeper::engine_cached(config, Tiers::Compiled, Cache::in_directory(directory, seal()).unwrap())
}

/// Runs the module in an engine of its own; what that has compiled and found in the cache.
fn run_with(directory: &Path, config: Config) -> CompileStatistics {
    let engine = engine(directory, config);
    let module = Module::new(&engine, binary()).unwrap();
    let mut store = Store::new(&engine, ()).unwrap();
    if engine.config().metering == innkeeper::Metering::Fuel {
        store.set_fuel(1000).unwrap();
    }
    let instance = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, 20).unwrap(), 41);
    let error = run.call(&mut store, 0).unwrap_err();
    assert_eq!(error.trap(), Some(Trap::Unreachable));
    assert!(error.backtrace().frames()[0].offset_bytes.is_some());
    engine.compile_statistics()
}

fn run(directory: &Path) -> CompileStatistics {
    run_with(directory, Config::default())
}

/// A directory, with the one file that a run has left in it.
fn filled() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let statistics = run(directory.path());
    assert_eq!((statistics.compiled, statistics.cached, statistics.known_valid), (FUNCTIONS, 0, 0));
    let file = only_file(directory.path());
    (directory, file)
}

fn only_file(directory: &Path) -> PathBuf {
    let files: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

fn is_hit(statistics: &CompileStatistics) -> bool {
    (statistics.compiled, statistics.cached, statistics.known_valid) == (0, FUNCTIONS, 1)
}

fn is_miss(statistics: &CompileStatistics) -> bool {
    (statistics.compiled, statistics.cached, statistics.known_valid) == (FUNCTIONS, 0, 0)
}

/// Runs with a file that is not as it was left: of what the cache gives, at least one function fewer than there are, and the file is good afterwards.
#[track_caller]
fn is_rebuilt(directory: &Path, file: &Path, original: &[u8], what: &str) {
    let statistics = run(directory);
    assert!(statistics.cached < FUNCTIONS, "{what}: {statistics:?}");
    assert_eq!(statistics.cached + statistics.compiled, FUNCTIONS, "{what}: {statistics:?}");
    assert!(fs::read(file).unwrap() == original, "{what}: not as it was");
}

#[test]
fn the_second_engine_compiles_and_validates_nothing() {
    let (directory, file) = filled();
    let (before, changed) = (fs::read(&file).unwrap(), fs::metadata(&file).unwrap().ino());
    assert!(is_hit(&run(directory.path())));
    assert!(fs::read(&file).unwrap() == before);
    assert_eq!(fs::metadata(&file).unwrap().ino(), changed, "nothing new, so nothing is written");
}

#[test]
fn a_large_module_is_validated_once() {
    let directory = tempfile::tempdir().unwrap();
    let text = format!("(module (func (export \"run\")) (data \"{}\"))", "x".repeat(300 << 10));
    let load = || {
        let cache = Cache::in_directory(directory.path(), seal()).unwrap();
        let engine = innkeeper::engine_cached(Config::default(), Tiers::Auto, cache);
        Module::new(&engine, innkeeper::to_binary(text.as_bytes()).unwrap().into_owned()).unwrap();
        engine.compile_statistics()
    };
    assert_eq!(load().known_valid, 0);
    assert_eq!(load().known_valid, 1);
}

#[test]
fn code_can_be_kept_before_the_module_goes() {
    let directory = tempfile::tempdir().unwrap();
    let engine = engine(directory.path(), Config::default());
    let module = Module::new(&engine, binary()).unwrap();
    module.keep_code();
    assert!(is_hit(&run(directory.path())));
}

#[test]
fn c1_truncated_at_every_length() {
    let (directory, file) = filled();
    let original = fs::read(&file).unwrap();
    for len in 0..original.len() {
        fs::write(&file, &original[..len]).unwrap();
        is_rebuilt(directory.path(), &file, &original, &format!("{len} bytes"));
    }
    assert!(is_hit(&run(directory.path())));
    fs::write(&file, [&original[..], &[0]].concat()).unwrap();
    is_rebuilt(directory.path(), &file, &original, "longer");
}

#[test]
fn c2_every_byte_flipped() {
    let (directory, file) = filled();
    let original = fs::read(&file).unwrap();
    let mut damaged = original.clone();
    for at in 0..original.len() {
        damaged[at] ^= 1 << (at % 8);
        fs::write(&file, &damaged).unwrap();
        is_rebuilt(directory.path(), &file, &original, &format!("byte {at}"));
        damaged[at] = original[at];
    }
    assert!(is_hit(&run(directory.path())));
}

#[test]
fn c3_other_settings() {
    let (directory, file) = filled();
    let mut config = Config::default();
    config.tuning.memory_layout = MemoryLayout::Exact;
    let other = tempfile::tempdir().unwrap();
    assert!(is_miss(&run_with(other.path(), config.clone())));
    let other_file = only_file(other.path());
    assert_ne!(file.file_name(), other_file.file_name());
    // Neither is used in the other's place.
    let original = fs::read(&file).unwrap();
    fs::copy(&other_file, &file).unwrap();
    assert!(is_miss(&run(directory.path())));
    assert!(fs::read(&file).unwrap() == original);
    // Code that counts fuel, or makes NaNs the same everywhere, is other code.
    let nan_bits = innkeeper::NanBits::Canonical;
    assert!(is_miss(&run_with(directory.path(), Config { nan_bits, ..Config::default() })));
    let metering = innkeeper::Metering::Fuel;
    assert!(is_miss(&run_with(directory.path(), Config { metering, ..Config::default() })));
    // Features decide what is valid.
    let features = config.features.without(innkeeper::Feature::GarbageCollection);
    assert!(is_miss(&run_with(directory.path(), Config { features, ..Config::default() })));
}

#[test]
fn c4_links() {
    let (directory, file) = filled();
    let elsewhere = tempfile::tempdir().unwrap();
    let moved = elsewhere.path().join("moved");
    fs::rename(&file, &moved).unwrap();
    symlink(&moved, &file).unwrap();
    assert!(is_miss(&run(directory.path())));
    assert!(fs::symlink_metadata(&file).unwrap().is_file(), "the link has been replaced");
    fs::remove_file(&file).unwrap();
    fs::hard_link(&moved, &file).unwrap();
    assert!(is_miss(&run(directory.path())));
    assert_eq!(fs::metadata(&moved).unwrap().nlink(), 1, "the other name is not touched");
    assert!(is_hit(&run(directory.path())));

    let link = elsewhere.path().join("link");
    symlink(directory.path(), &link).unwrap();
    for name in [link.clone(), link.join("")] {
        assert!(matches!(Cache::in_directory(&name, seal()), Err(CacheError::Link)), "{name:?}");
    }
}

#[test]
fn c4_special_files() {
    let (directory, file) = filled();
    fs::remove_file(&file).unwrap();
    // Opening it does not wait for whoever writes to it.
    let made = std::process::Command::new("mkfifo").arg(&file).status().unwrap();
    assert!(made.success());
    assert!(is_miss(&run(directory.path())));
    assert!(is_hit(&run(directory.path())));
}

#[test]
fn c4_others_may_write() {
    let (directory, file) = filled();
    for mode in [0o620, 0o602, 0o666] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        assert!(is_miss(&run(directory.path())), "{mode:o}");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600, "{mode:o}");
    }
    for mode in [0o770, 0o702, 0o777, 0o1777] {
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode)).unwrap();
        let refused = Cache::in_directory(directory.path(), seal());
        assert!(
            matches!(refused, Err(CacheError::Mode { mode: found }) if found == mode),
            "{mode:o}: {refused:?}"
        );
    }
}

#[test]
fn c4_wrong_owner() {
    let (directory, file) = filled();
    if fs::metadata(&file).unwrap().uid() != 0 {
        // Who is not root cannot give files away, but there are root's.
        assert!(matches!(Cache::in_directory(Path::new("/"), seal()), Err(CacheError::Owner { owner: 0 })));
        return;
    }
    std::os::unix::fs::chown(&file, Some(12345), None).unwrap();
    assert!(is_miss(&run(directory.path())));
    assert!(is_hit(&run(directory.path())));
    std::os::unix::fs::chown(directory.path(), Some(12345), None).unwrap();
    let refused = Cache::in_directory(directory.path(), seal());
    assert!(matches!(refused, Err(CacheError::Owner { owner: 12345 })), "{refused:?}");
}

/// A guest with a grant around the cache can leave files there for a later run, and compute every digest; what it lacks is the key.
#[test]
fn y4_a_file_that_was_forged_is_not_executed() {
    let (directory, file) = filled();
    let original = fs::read(&file).unwrap();
    // As others make it, for the same module, build, processor and settings: with a key of their own, and ahead of time with a digest.
    let others = tempfile::tempdir().unwrap();
    let (code, seal) = (others.path().join("code"), others.path().join("seal"));
    let cache = Cache::in_directory(&code, CacheSeal::in_directory(&seal).unwrap()).unwrap();
    let engine = innkeeper::engine_cached(Config::default(), Tiers::Compiled, cache);
    let module = Module::new(&engine, binary()).unwrap();
    module.keep_code();
    let with_another_key = fs::read(only_file(&code)).unwrap();
    let mut with_a_digest = Vec::new();
    innkeeper::precompile(&module, &mut with_a_digest, &|_, _| {}).unwrap();
    // A digest over a file of this very cache.
    let mut with_a_digest_of_its_own = original.clone();
    let len = u32::from_le_bytes(original[48..52].try_into().unwrap()) as usize;
    with_a_digest_of_its_own[16..48].copy_from_slice(blake3::hash(&original[48..len]).as_bytes());
    for (what, forged) in [
        ("another key", with_another_key),
        ("compiled ahead", with_a_digest),
        ("a digest", with_a_digest_of_its_own),
    ] {
        assert_ne!(forged, original, "{what}");
        fs::write(&file, forged).unwrap();
        assert!(is_miss(&run(directory.path())), "{what}");
        assert!(fs::read(&file).unwrap() == original, "{what}: not as it was");
    }
    assert!(is_hit(&run(directory.path())));
}

#[test]
fn c5_swapped_while_it_is_opened() {
    let (directory, file) = filled();
    let original = fs::read(&file).unwrap();
    let mut damaged = original.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let next = directory.path().join("next");
            while !is_done.load(Ordering::Relaxed) {
                for contents in [&damaged, &original] {
                    fs::write(&next, contents).unwrap();
                    fs::set_permissions(&next, fs::Permissions::from_mode(0o600)).unwrap();
                    fs::rename(&next, &file).unwrap();
                }
            }
        });
        for _ in 0..300 {
            // Whichever it was, results are right.
            let statistics = run(directory.path());
            assert_eq!(statistics.cached + statistics.compiled, FUNCTIONS, "{statistics:?}");
        }
        is_done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn what_was_not_used_for_longest_goes() {
    let directory = tempfile::tempdir().unwrap();
    let module = |i: usize| {
        let text = format!("(module (func (export \"run\") (result i32) (i32.const {i})))");
        innkeeper::to_binary(text.as_bytes()).unwrap().into_owned()
    };
    let load = |i: usize, limit_bytes: u64| {
        let cache = CacheDirectory::open(directory.path(), limit_bytes).unwrap();
        let engine = innkeeper::engine_cached(Config::default(), Tiers::Compiled, Cache::new(cache, seal()));
        Module::new(&engine, module(i)).unwrap();
        engine.compile_statistics().cached
    };
    for i in 0..8 {
        assert_eq!(load(i, u64::MAX), 0);
        // Times of files are in seconds.
        let newest = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .max_by_key(|path| fs::metadata(path).unwrap().modified().unwrap())
            .unwrap();
        let file = fs::File::options().write(true).open(newest).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1000 * (i as u64 + 1)))
            .unwrap();
    }
    // The first is used again, which makes it the last to go.
    assert_eq!(load(0, u64::MAX), 1);
    let contents = CacheDirectory::open(directory.path(), u64::MAX).unwrap().contents().unwrap();
    assert_eq!(contents.files, 8);
    let of_one = contents.bytes / 8;
    assert_eq!(load(8, of_one * 6), 0);
    let remaining: Vec<usize> = (0..9).filter(|i| load(*i, u64::MAX) == 1).collect();
    assert_eq!(remaining, [0, 6, 7, 8]);
    let cleared = CacheDirectory::open(directory.path(), u64::MAX).unwrap().clear().unwrap();
    assert!(cleared.files >= 4);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

/// What other modules of the engine need does not get into a module's file.
#[test]
fn a_module_s_file_has_no_other_module_s_trampolines() {
    let module = |engine: &Engine, text: &str| Module::new(engine, wat::parse_str(text).unwrap()).unwrap();
    let call = |engine: &Engine, module: &Module| {
        let mut store = Store::new(engine, ()).unwrap();
        let instance = Linker::new(engine).instantiate(&mut store, module).unwrap();
        let func = instance.get_func(&mut store, "run").unwrap();
        let params = vec![innkeeper::Val::I32(1); func.ty(&store).unwrap().params().len()];
        func.call(&mut store, &params, &mut []).unwrap();
    };
    let innocent = "(module (func (export \"run\") (param i32)))";
    let file_bytes = |before: usize| {
        let directory = tempfile::tempdir().unwrap();
        let engine = engine(directory.path(), Config::default());
        let others: Vec<Module> = (2..2 + before)
            .map(|params| {
                let text = format!("(module (func (export \"run\") (param {})))", "i32 ".repeat(params));
                let other = module(&engine, &text);
                call(&engine, &other);
                other
            })
            .collect();
        let innocent = module(&engine, innocent);
        call(&engine, &innocent);
        drop(innocent);
        drop(others);
        let files = fs::read_dir(directory.path()).unwrap().map(Result::unwrap);
        files.map(|file| (file.file_name(), file.metadata().unwrap().len())).collect::<Vec<_>>()
    };
    let alone = file_bytes(0);
    assert_eq!(alone.len(), 1);
    let beside = file_bytes(50);
    assert!(beside.contains(&alone[0]), "{alone:?}, {beside:?}");
}
