//! Components that nobody knows are refused or run, and do the same with generated calls as with walked ones.

use innkeeper_differential::nest::{Nest, Tried};

#[test]
fn changed_components_are_refused_or_run() {
    let mut total = Tried::default();
    for seed in 0..120 {
        let tried =
            Nest::from_seed(seed).check().unwrap_or_else(|difference| panic!("seed {seed}: {difference}"));
        total.add(tried);
    }
    // Enough of them are still components, and what these do is seen.
    assert!(total.valid * 10 > total.components && total.valid < total.components, "{total:?}");
    assert!(total.returned * 10 > total.calls && total.returned < total.calls, "{total:?}");
}
