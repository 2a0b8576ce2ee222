//! Whether every case of the list of what an implementation of components must survive has a test: `cases.txt` says which, and nothing in it may be stale.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const CASES: &str = include_str!("cases.txt");

/// The cases of what came with WASI 0.2. Those between are of async functions, and the last of HTTP.
fn numbers() -> impl Iterator<Item = u32> {
    (1..=73).chain(103..=111)
}

#[test]
fn every_case_has_a_test() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut held: BTreeMap<u32, usize> = BTreeMap::new();
    for line in CASES.lines().filter(|line| !line.starts_with('#')) {
        let (case, tests) = line.split_once(": ").unwrap_or_else(|| panic!("no tests in {line}"));
        let number = case.split(' ').next().and_then(|case| case.strip_prefix('C')).unwrap();
        let tests = tests.split(" | lacks ").next().unwrap_or_default();
        for test in tests.split("; ") {
            let (file, function) = test.split_once(' ').unwrap_or_else(|| panic!("no function in {line}"));
            let text =
                fs::read_to_string(crates.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            let is_test = text.split("#[test]").skip(1).any(|rest| {
                let first = rest.lines().map(str::trim).find(|line| line.starts_with("fn "));
                first.is_some_and(|first| first.starts_with(&format!("fn {function}(")))
            });
            assert!(is_test, "{file} has no test {function}, which is to hold C{number}");
            *held.entry(number.parse().unwrap()).or_default() += 1;
        }
    }
    let missing: Vec<u32> = numbers().filter(|number| !held.contains_key(number)).collect();
    assert!(missing.is_empty(), "these cases have no test: {missing:?}");
    let strange: Vec<&u32> = held.keys().filter(|held| !numbers().any(|number| number == **held)).collect();
    assert!(strange.is_empty(), "these are no cases of the list: {strange:?}");
}
