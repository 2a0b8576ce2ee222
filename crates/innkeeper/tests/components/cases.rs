//! Whether every case of the list of what an implementation of components must survive has a test, and every class of faults that others had with async functions: `cases.txt` and `classes.txt` say which, and nothing in
//! them may be stale.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const CASES: &str = include_str!("cases.txt");
const CLASSES: &str = include_str!("classes.txt");

#[test]
fn every_case_has_a_test() {
    // C112 is of HTTP.
    check(CASES, 'C', 111);
}

#[test]
fn every_class_of_faults_has_a_test() {
    check(CLASSES, 'B', 15);
}

/// Each line names what it is about, with a number up to `last`, and tests that there are; no number is missing.
fn check(lines: &str, letter: char, last: u32) {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut held: BTreeMap<u32, usize> = BTreeMap::new();
    for line in lines.lines().filter(|line| !line.starts_with('#')) {
        let split = line.find(".rs ").and_then(|at| line[..at].rfind(": "));
        let (case, tests) = line.split_at(split.unwrap_or_else(|| panic!("no tests in {line}")));
        let number = case.split(' ').next().and_then(|case| case.strip_prefix(letter)).unwrap();
        let tests = tests[2..].split(" | lacks ").next().unwrap_or_default();
        for test in tests.split("; ") {
            let (file, function) = test.split_once(' ').unwrap_or_else(|| panic!("no function in {line}"));
            let text =
                fs::read_to_string(crates.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            let is_test = text.split("#[test]").skip(1).any(|rest| {
                let first = rest.lines().map(str::trim).find(|line| line.starts_with("fn "));
                first.is_some_and(|first| first.starts_with(&format!("fn {function}(")))
            });
            assert!(is_test, "{file} has no test {function}, which is to hold {letter}{number}");
            *held.entry(number.parse().unwrap()).or_default() += 1;
        }
    }
    let missing: Vec<u32> = (1..=last).filter(|number| !held.contains_key(number)).collect();
    assert!(missing.is_empty(), "these have no test: {missing:?}");
    let strange: Vec<&u32> = held.keys().filter(|held| **held == 0 || **held > last).collect();
    assert!(strange.is_empty(), "these are not in the list: {strange:?}");
}
