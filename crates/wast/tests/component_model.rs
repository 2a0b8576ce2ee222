//! The component model's reference tests, where they are: `test/` of WebAssembly/component-model, in a folder `shared/component-model` beside the checkout or
//! one above, or where `COMPONENT_MODEL_TESTS` says. They are run through the interpreter and as compiled code, with
//! generated calls between components and with walked ones.
//!
//! Directives that are known not to hold are listed in `known-component-failures.txt`, one a line as `folder/file:line reason`. The test fails for a failure that
//! is not listed, and for a listed one that has stopped failing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use innkeeper::{Adapters, Config, Tiers};

const KNOWN: &str = include_str!("known-component-failures.txt");

/// Folders of the suite that are run whole, and how many directives of each hold at least.
const FOLDERS: [(&str, usize); 6] = [
    ("async", 150),
    ("binary", 100),
    ("linking", 250),
    ("resources", 15),
    ("validation", 300),
    ("values", 100),
];

#[test]
fn the_reference_tests_hold_interpreted() {
    run(Tiers::Interpreter, Adapters::Generated);
}

#[test]
fn the_reference_tests_hold_interpreted_with_walked_calls() {
    run(Tiers::Interpreter, Adapters::Walked);
}

#[test]
fn the_reference_tests_hold_compiled() {
    run(Tiers::Compiled, Adapters::Generated);
}

#[test]
fn the_reference_tests_hold_compiled_with_walked_calls() {
    run(Tiers::Compiled, Adapters::Walked);
}

/// Files whose assertions are about tasks that go on in the order in which they became ready.
const IN_ORDER: &[&str] = &["async-calls-sync.wast"];

#[test]
fn the_async_tests_hold_in_other_orders_interpreted() {
    hold_in_other_orders(Tiers::Interpreter, 40);
}

/// Fewer, since each compiles everything.
#[test]
fn the_async_tests_hold_in_other_orders_compiled() {
    hold_in_other_orders(Tiers::Compiled, 3);
}

/// What tasks come to is not a matter of the order in which they go on, as far as the suite leaves that open. `INNKEEPER_ORDERS` says how many orders are tried.
fn hold_in_other_orders(tiers: Tiers, orders: u64) {
    let Some(suite) = suite() else { return };
    let orders =
        std::env::var("INNKEEPER_ORDERS").map_or(orders, |count| count.parse().expect("a number of orders"));
    let mut in_order = BTreeMap::new();
    for seed in 0..orders {
        let mut config = Config::default();
        config.tuning.schedule_seed = Some(seed);
        let engine = innkeeper::engine_with(config, tiers);
        let known = known_failures("async");
        for file in files(&suite.join("async")) {
            let text = std::fs::read_to_string(&file).expect("a script of the suite");
            let name = file.file_name().expect("a file").to_string_lossy().into_owned();
            for failure in innkeeper_wast::run(&engine, &text).failures {
                let place = format!("async/{name}:{}", failure.line);
                if !known.contains_key(place.as_str()) {
                    in_order.insert(name.clone(), format!("seed {seed}: {place}: {}", failure.message));
                }
            }
        }
    }
    let names: Vec<&str> = in_order.keys().map(String::as_str).collect();
    assert_eq!(names, IN_ORDER, "{in_order:#?}");
}

fn run(tiers: Tiers, adapters: Adapters) {
    let Some(suite) = suite() else {
        println!("the component model's reference tests are not here: set COMPONENT_MODEL_TESTS");
        return;
    };
    let mut config = Config::default();
    config.tuning.adapters = adapters;
    let engine = innkeeper::engine_with(config, tiers);
    let mut unknown = Vec::new();
    for (folder, least) in FOLDERS {
        let mut known = known_failures(folder);
        let (mut passed, mut failed) = (0, 0);
        for file in files(&suite.join(folder)) {
            let text = std::fs::read_to_string(&file).expect("a script of the suite");
            let name = file.file_name().expect("a file").to_string_lossy().into_owned();
            let outcome = innkeeper_wast::run(&engine, &text);
            passed += outcome.passed;
            failed += outcome.failures.len();
            for failure in outcome.failures {
                let place = format!("{folder}/{name}:{}", failure.line);
                if known.remove(place.as_str()).is_none() {
                    unknown.push(format!("{place}: {}", failure.message));
                }
            }
        }
        println!("{folder}: {passed} directives passed, {failed} failed as listed");
        assert!(passed >= least, "only {passed} directives of {folder}: the suite is not there");
        assert!(known.is_empty(), "listed, but these hold now: {known:?}");
    }
    assert!(unknown.is_empty(), "{} unlisted failures:\n{}", unknown.len(), unknown.join("\n"));
}

fn suite() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os("COMPONENT_MODEL_TESTS") {
        return Some(PathBuf::from(given));
    }
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    let around = checkout.ancestors().skip(1).take(2);
    around.map(|folder| folder.join("shared/component-model")).find(|suite| suite.is_dir())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder of the suite");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "wast"));
    files.sort();
    files
}

fn known_failures(folder: &str) -> BTreeMap<&str, &str> {
    let lines = KNOWN.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once(' '))
        .filter(|(place, _)| place.starts_with(folder) && place[folder.len()..].starts_with('/'))
        .collect()
}
