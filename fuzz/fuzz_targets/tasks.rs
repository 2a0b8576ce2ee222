//! A shell: a fuzzer's bytes become a script of tasks, streams and cancellations, which a guest carries out beside a model; everything else is in `crates/differential`.

#![no_main]

use innkeeper_differential::tasks::{Script, Tasks};

thread_local!(static TASKS: Tasks = Tasks::new());

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let came = TASKS.with(|tasks| tasks.run(&Script::from_bytes(bytes)));
    assert!(came.is_ok(), "{}", came.unwrap_err());
});
