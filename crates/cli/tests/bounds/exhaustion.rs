//! Where the system has nothing left: with address space limited at many values, a guest of every kind ends with a result, a trap or an error, and never takes the
//! process with it.

use std::process::Command;

use crate::run;

/// Guests that take as much as they get of one thing.
fn guests() -> Vec<(&'static str, String)> {
    let start = |body: &str| format!("(func (export \"_start\") {body})");
    let many: String = (0..90).map(|_| "(memory 16)").collect();
    vec![
        ("nothing", format!("(module {})", start(""))),
        (
            "memory",
            format!(
                "(module (memory i64 1) {})",
                start("(loop $l (br_if $l (i64.ne (i64.const -1) (memory.grow (i64.const 77)))))")
            ),
        ),
        ("memories", format!("(module {many} {})", start(""))),
        (
            "tables",
            format!(
                "(module (table 1 funcref) (table 1 externref) {})",
                start(
                    "(loop $l (br_if $l (i32.and
                        (i32.ne (i32.const -1) (table.grow 0 (ref.null func) (i32.const 77777)))
                        (i32.ne (i32.const -1) (table.grow 1 (ref.null extern) (i32.const 77777))))))"
                )
            ),
        ),
        (
            "objects",
            format!(
                "(module (type $s (struct (field (mut (ref null $s))))) {})",
                start(
                    "(local $n (ref null $s)) (loop $l (local.set $n (struct.new $s (local.get $n))) (br $l))"
                )
            ),
        ),
        (
            "stacks",
            format!(
                "(module (func $down (param i64) (result i64) (i64.add (local.get 0) (call $down (local.get 0)))) {})",
                start("(drop (call $down (i64.const 1)))")
            ),
        ),
        (
            "files",
            String::from(
                r#"(module
                (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
                (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
                (memory (export "memory") 1) (data (i32.const 0) "x") (data (i32.const 18) "\01\00\ff\ff")
                (func (export "_start")
                    (drop (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 1)
                        (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 32)))
                    (loop $l (br_if $l (i32.eqz
                        (call $write (i32.load (i32.const 32)) (i32.const 16) (i32.const 1) (i32.const 40)))))))"#,
            ),
        ),
        (
            "threads",
            String::from(
                r#"(module
                (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
                (import "env" "memory" (memory 1 1 shared)) (export "memory" (memory 0))
                (func (export "wasi_thread_start") (param i32 i32)
                    (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const 300000000))))
                (func (export "_start") (local $i i32)
                    (loop $l
                        (drop (call $spawn (i32.const 0)))
                        (local.set $i (i32.add (local.get $i) (i32.const 1)))
                        (br_if $l (i32.lt_u (local.get $i) (i32.const 300))))))"#,
            ),
        ),
    ]
}

/// `inn` under a limit on its address space, in KiB.
fn limited(kibibytes: u64, args: &[&str], text: &str) -> crate::Ran {
    let mut command = Command::new("sh");
    // The shell becomes `inn`, whose end is then seen as it is.
    let script = format!("ulimit -v {kibibytes} && exec \"$@\"");
    command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_inn")]).args(args);
    run(command, text)
}

#[test]
fn y8_l12_wherever_address_space_ends_the_guest_gets_an_answer() {
    for (step, kibibytes) in
        [70_000, 90_000, 130_000, 190_000, 280_000, 400_000, 600_000].into_iter().enumerate()
    {
        // With less the system does not even load the program.
        if limited(kibibytes, &["--version"], "").code != Some(0) {
            continue;
        }
        for (i, (name, text)) in guests().into_iter().enumerate() {
            let tier = ["auto", "interpreter", "compiled"][(i + step) % 3];
            // No two guests meet the end at the same place.
            let kibibytes = kibibytes + 1_111 * i as u64;
            let flags = ["--cache", "off", "--timeout", "5s", "--tier", tier, "--tmp", "/t::1GiB", "-"];
            let ran = limited(kibibytes, &flags, &text);
            let what = format!("{name} {tier} with {kibibytes} KiB");
            assert!(matches!(ran.code, Some(0 | 1 | 134)), "{what}: {ran:#?}");
            assert!(!ran.stderr.contains("panicked"), "{what}: {ran:#?}");
        }
    }
}
