//! Components that nobody knows are refused or run, and do the same with generated calls as with walked ones.

use innkeeper_differential::nest::{Nest, Tried};

/// What a fuzzer has is as good as what a seed makes, and is refused where it is none.
#[test]
fn bytes_of_a_fuzzer_are_components_or_refused() {
    for seed in 0..8 {
        let made = Nest::from_seed(seed);
        let from_bytes = Nest::from_bytes(made.bytes());
        assert_eq!(from_bytes.check(), made.check(), "seed {seed}");
    }
    for bytes in [&b""[..], b"\0asm", b"\0asm\x0d\0\x01\0\xff", &[0x80; 100]] {
        let tried = Nest::from_bytes(bytes).check().unwrap();
        assert_eq!((tried.components, tried.valid), (1, 0));
    }
}

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
