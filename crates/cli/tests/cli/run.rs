//! Running programs: what reaches the guest, and what its end looks like from outside.

use crate::{inn, scratch};

/// Prints its arguments, each ended by a NUL.
pub(crate) const PRINT_ARGS: &str = r#"(module
    (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (drop (call $sizes (i32.const 0) (i32.const 4)))
        (drop (call $args (i32.const 1024) (i32.const 4096)))
        (i32.store (i32.const 8) (i32.const 4096))
        (i32.store (i32.const 12) (i32.load (i32.const 4)))
        (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 16)))))"#;

#[test]
fn the_exit_code_is_the_guests() {
    inn(&["{exit-code}"]).run().code(42).stdout("").stderr("");
}

#[test]
fn of_an_exit_code_the_low_8_bits_are_kept_and_failure_stays_failure() {
    for (code, kept) in
        [(0, 0), (1, 1), (126, 126), (200, 200), (255, 255), (256, 1), (0x1_0000, 1), (0x1_0103, 3)]
    {
        let text = format!(
            r#"(module (import "wasi_unstable" "proc_exit" (func $exit (param i32)))
                (func (export "_start") (call $exit (i32.const {code}))))"#
        );
        inn(&["-"]).stdin(text).run().code(kept).stdout("").stderr("");
    }
}

#[test]
fn a_trap_says_what_and_where_and_exits_134() {
    let ran = inn(&["{trap}"]).run();
    ran.code(134).stdout("");
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(
        lines,
        [
            "error: wasm trap: unreachable",
            "   0: trap!fall (at offset 0x37)",
            "   1: trap!step (at offset 0x3b)",
            "   2: trap!_start (at offset 0x43)",
        ]
    );
}

#[test]
fn a_trap_while_instantiating_is_a_trap() {
    let text = r#"(module (memory 1) (data (i32.const 65536) "x") (func (export "_start")))"#;
    inn(&["-"]).stdin(text).run().code(134).says(&["error: wasm trap: out of bounds memory access"]);
    let text = r#"(module (func $begin unreachable) (start $begin) (func (export "_start")))"#;
    inn(&["-"]).stdin(text).run().code(134).says(&["wasm trap: unreachable", "begin"]);
}

#[test]
fn names_in_a_backtrace_are_demangled_and_harmless() {
    let text = "(module (func $_ZN5guest4fail17h0123456789abcdefE unreachable) (func (@name \"a\\1b[2Jb\") (call 0)) (export \"_start\" (func 1)))";
    let ran = inn(&["-"]).stdin(text).run();
    ran.code(134).says(&["0: guest::fail (at", "1: a\\u{1b}[2Jb (at"]);
}

#[test]
fn endless_recursion_is_a_trap_with_a_short_backtrace() {
    let text = r#"(module (func $again (call $again)) (func $begin (export "_start") (call $again)))"#;
    for tier in ["interpreter", "compiled"] {
        let ran = inn(&["--tier", tier, "-"]).stdin(text).run();
        ran.code(134).says(&["error: wasm trap: call stack exhausted", "again", ",", " times", "begin"]);
        assert!(ran.stderr.lines().count() < 8, "{ran:#?}");
    }
}

#[test]
fn everything_after_the_file_reaches_the_guest() {
    let dir = scratch();
    std::fs::write(dir.path().join("args.wat"), PRINT_ARGS).unwrap();
    let cases: &[&[&str]] = &[
        &[],
        &["a", "b c", ""],
        &["--help"],
        &["--dir", ".", "--version"],
        &["--", "-x"],
        &["inspect", "-"],
        &["é\t"],
    ];
    for guest_args in cases {
        for command in [
            vec!["args.wat"],
            vec!["run", "args.wat"],
            vec!["--explain", "args.wat"],
            vec!["run", "--", "args.wat"],
        ] {
            let args: Vec<&str> = command.iter().chain(*guest_args).copied().collect();
            let expected: String =
                ["args.wat"].iter().chain(*guest_args).map(|arg| format!("{arg}\0")).collect();
            inn(&args).current_dir(&dir).run().code(0).stdout(&expected);
        }
    }
}

#[test]
fn the_guests_name_is_the_files_or_the_one_given() {
    let dir = scratch();
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    std::fs::write(dir.path().join("sub/args.wat"), PRINT_ARGS).unwrap();
    inn(&["sub/args.wat", "x"]).current_dir(&dir).run().code(0).stdout("args.wat\0x\0");
    inn(&["--argv0", "/bin/other", "sub/args.wat", "x"])
        .current_dir(&dir)
        .run()
        .code(0)
        .stdout("/bin/other\0x\0");
    inn(&["--argv0=", "sub/args.wat"]).current_dir(&dir).run().code(0).stdout("\0");
    inn(&["-", "x"]).stdin(PRINT_ARGS).run().code(0).stdout("-\0x\0");
}

#[test]
fn a_program_named_like_a_command_can_be_run() {
    let dir = scratch();
    std::fs::write(dir.path().join("inspect"), PRINT_ARGS).unwrap();
    inn(&["run", "inspect", "x"]).current_dir(&dir).run().code(0).stdout("inspect\0x\0");
    inn(&["./inspect", "x"]).current_dir(&dir).run().code(0).stdout("inspect\0x\0");
}

#[test]
fn standard_input_is_the_guests() {
    inn(&["{cat}"]).stdin("to be\nor not").run().code(0).stdout("to be\nor not").stderr("");
}

#[test]
fn a_module_without_start_is_no_program() {
    let ran = inn(&["{reactor}"]).run();
    ran.code(2).says(&[
        "reactor.wasm: it exports no `_start`: it is a reactor",
        "help:",
        "--invoke add",
        "(i32, i32) -> (i32)",
    ]);
    inn(&["-"])
        .stdin("(module)")
        .run()
        .code(1)
        .says(&["it exports no `_start`", "exports no function at all"]);
    inn(&["-"])
        .stdin(r#"(module (func (export "_start") (param i32)))"#)
        .run()
        .code(1)
        .says(&["(i32) -> ()", "--invoke _start"]);
}

#[test]
fn a_missing_import_is_named() {
    let text = r#"(module (import "e\1b[2Jnv" "blink" (func (param i32))) (func (export "_start")))"#;
    let ran = inn(&["-"]).stdin(text).run();
    ran.code(1).says(&[
        "error: standard input: it wants what inn does not provide: e\\u{1b}[2Jnv blink\n",
        "help: inn provides WASI 0.1",
    ]);
}

#[test]
fn mistakes_on_the_command_line_exit_2() {
    for args in [
        &["--bogus", "x.wasm"][..],
        &["run"],
        &[],
        &["inspect"],
        &["validate", "a", "b"],
        &["completion", "tcsh"],
        &["inspect", "--dir", ".", "x"],
    ] {
        let ran = inn(args).run();
        ran.code(2).stdout("");
        assert!(!ran.stderr.is_empty(), "{args:?}");
    }
}
