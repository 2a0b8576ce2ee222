//! A shell: a fuzzer's bytes become a module, which all oracles run; everything else is in `crates/differential`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let report = innkeeper_differential::check_bytes(bytes);
    assert!(report.differences.is_empty(), "{}", report.differences.join("\n"));
});
