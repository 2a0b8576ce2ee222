//! The first seeds show no difference, and modules do something.

use innkeeper_differential::{Dialect, Module, Report, check, check_bytes};

const SEEDS: u64 = 300;

#[test]
fn the_first_seeds_differ_in_nothing() {
    let mut total = Report::default();
    for seed in 0..SEEDS {
        if let Some(module) = Module::from_seed(seed, Dialect::of(seed)) {
            let report = check(&module, Dialect::of(seed));
            assert!(report.differences.is_empty(), "seed {seed}: {}", report.differences.join("\n"));
            total.add(report);
        }
    }
    // A harness that runs nothing finds nothing.
    assert!(total.modules > SEEDS * 9 / 10, "{total:?}");
    assert!(total.calls > 3 * SEEDS, "{total:?}");
    assert!(total.refused + total.inconclusive < SEEDS / 10, "{total:?}");
    assert!((total.misplaced.len() as u64) < SEEDS / 100, "{total:?}");
}

#[test]
fn any_bytes_will_do() {
    assert_eq!(check_bytes(&[]).modules, 0);
    assert!(check_bytes(&[0; 300]).differences.is_empty());
    assert!(check_bytes(&[1; 300]).differences.is_empty());
}

#[test]
fn the_first_mutants_differ_in_nothing() {
    let mut total = Report::default();
    for seed in 0..12 {
        if let Some(module) = Module::from_seed(seed, Dialect::Mutant) {
            let report = check(&module, Dialect::Mutant);
            assert!(report.differences.is_empty(), "mutant {seed}: {}", report.differences.join("\n"));
            total.add(report);
        }
    }
    assert!(total.modules > 6 && total.calls >= total.modules, "{total:?}");
    assert!(total.refused < total.modules / 2, "{total:?}");
}
