//! A shell: a fuzzer's bytes are a component, which is refused or run, with generated calls between its parts beside walked ones; everything else is in `crates/differential`.

#![no_main]

use innkeeper_differential::nest::Nest;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let tried = Nest::from_bytes(bytes).check();
    assert!(tried.is_ok(), "{}", tried.unwrap_err());
});
