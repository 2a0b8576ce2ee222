//! Calls between components for which code is generated do what walked ones do.

use innkeeper_differential::pair::{Pair, Told};

#[test]
fn generated_calls_are_as_walked_ones() {
    let mut total = Told::default();
    for seed in 0..40 {
        let told =
            Pair::from_seed(seed).check().unwrap_or_else(|difference| panic!("seed {seed}: {difference}"));
        total.add(told);
    }
    // Both that a call goes well and that it fails is tried often enough.
    assert!(total.failed * 20 > total.calls && total.failed * 2 < total.calls, "{total:?}");
    assert!(total.failed_differently * 5 < total.failed, "{total:?}");
}
