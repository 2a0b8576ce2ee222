//! A shell: a fuzzer's bytes choose two components and what they hand to each other, by generated calls and by walked ones; everything else is in `crates/differential`.

#![no_main]

use innkeeper_differential::pair::Pair;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let told = Pair::from_bytes(bytes).check();
    assert!(told.is_ok(), "{}", told.unwrap_err());
});
