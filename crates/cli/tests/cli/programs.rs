//! Programs of other people's kinds: what runs, what is said about what does not, and what the system has decided for a process.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use crate::{inn, scratch};

/// A module of WASI that exports its memory.
const PROC_EXIT: &str =
    r#"(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32))) (memory (export "memory") 1)"#;

fn run(flags: &[&str], module: &str) -> crate::Ran {
    inn(&[&["--cache", "off"], flags, &["-"]].concat()).stdin(module).run()
}

/// Prints its environment, sorted, a variable a line.
fn environment(flags: &[&str]) -> String {
    let module = r#"(module
        (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "environ_get" (func $get (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start")
            (drop (call $sizes (i32.const 0) (i32.const 4)))
            (drop (call $get (i32.const 1024) (i32.const 8192)))
            (i32.store (i32.const 16) (i32.const 8192))
            (i32.store (i32.const 20) (i32.load (i32.const 4)))
            (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))))"#;
    let ran = inn(&[&["--cache", "off"], flags, &["-"]].concat())
        .env("PEOPLE_A", "own")
        .env("PEOPLE_B", "own")
        .stdin(module)
        .run();
    let mut variables: Vec<&str> = ran.code(0).stdout.split_terminator('\0').collect();
    variables.sort_unstable();
    variables.join(" ")
}

#[test]
fn a_variable_is_there_once_and_the_last_word_counts() {
    assert_eq!(environment(&["--env", "X=1", "--env", "X=2"]), "X=2");
    assert_eq!(environment(&["--env", "PEOPLE_A=1", "--env", "PEOPLE_A"]), "PEOPLE_A=own");
    // One variable's own value counts more than a pattern's, wherever it stands.
    for flags in [["--env", "PEOPLE_A=1", "--env", "PEOPLE_*"], ["--env", "PEOPLE_*", "--env", "PEOPLE_A=1"]]
    {
        assert_eq!(environment(&flags), "PEOPLE_A=1 PEOPLE_B=own");
    }
    let folder = scratch();
    let policy = folder.path().join("p.toml");
    std::fs::write(
        &policy,
        "[environment]\ninherit = [\"PEOPLE_*\"]\nset = { X = \"policy\", PEOPLE_B = \"policy\" }\n",
    )
    .unwrap();
    let policy = policy.to_str().unwrap();
    assert_eq!(environment(&["--policy", policy]), "PEOPLE_A=own PEOPLE_B=policy X=policy");
    assert_eq!(environment(&["--env", "X=flag", "--policy", policy]), "PEOPLE_A=own PEOPLE_B=policy X=flag");
    assert_eq!(environment(&["--env", "PEOPLE_B", "--policy", policy]), "PEOPLE_A=own PEOPLE_B=own X=policy");
}

#[test]
fn a_module_whose_program_is_its_start_function_runs() {
    let module = format!("(module {PROC_EXIT} (func $s (call $exit (i32.const 7))) (start $s))");
    run(&[], &module).code(7).stdout("").stderr("");
    run(&[], "(module (func $s) (start $s))").code(0).stderr("");
    run(&[], "(module (func $s unreachable) (start $s))").code(134).says(&["unreachable"]);
    // What comes of it besides is told.
    run(&[], r#"(module (func $s) (start $s) (func (export "f")))"#).code(0).says(&[
        "note",
        "start function",
        "`f`",
        "--invoke",
    ]);
    // A reactor's start function is no program.
    run(&[], r#"(module (func $s) (start $s) (func (export "_initialize")) (func (export "f")))"#)
        .code(2)
        .says(&["reactor", "--invoke", "`f` () -> ()"]);
    inn(&["inspect", "-"])
        .stdin("(module (func $s) (start $s))")
        .run()
        .code(0)
        .prints(&["program (its start function)"]);
}

#[test]
fn calls_of_wasi_without_a_memory_are_told_of_once() {
    let call = |memory: &str| {
        format!(
            r#"(module (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
            {memory} (func (export "_start")
                (drop (call $w (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 0)))
                (drop (call $w (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 0)))))"#
        )
    };
    for memory in [r#"(memory 1)"#, r#"(memory (export "mem") 1)"#, r#"(func (export "memory"))"#, ""] {
        let ran = run(&[], &call(memory));
        ran.code(0).says(&["warning:", "exports no memory named `memory`"]);
        assert_eq!(ran.stderr.matches("warning").count(), 1, "{ran:?}");
    }
    run(&[], &call(r#"(memory (export "memory") 1)"#)).code(0).stderr("");
    // Who asks for nothing that is in memory needs none.
    let module = r#"(module (import "wasi_snapshot_preview1" "sched_yield" (func $y (result i32)))
        (func (export "_start") (drop (call $y))))"#;
    run(&[], module).code(0).stderr("");
}

#[test]
fn an_uncaught_exception_is_told_of_like_a_trap() {
    let module = |tag: &str, throw: &str| {
        format!(
            r#"(module (tag $e {tag} (param i32 f64 v128)) (tag $empty)
            (func $deep {throw}) (func $main (call $deep)) (export "_start" (func $main)) (export "f" (func $main)))"#
        )
    };
    let full = "(throw $e (i32.const -3) (f64.const 0.5) (v128.const i64x2 1 0))";
    for tier in ["interpreter", "compiled"] {
        let ran = run(&["--tier", tier], &module("", full));
        ran.code(134).says(&[
            "error: the guest threw an exception that nothing caught: tag `e` (i32 f64 v128) with -3 0.5 0x00000000000000000000000000000001\n",
            "0: deep",
            "1: main",
        ]);
        run(&["--tier", tier, "--invoke", "f"], &module("", "(throw $empty)"))
            .code(134)
            .says(&["tag `empty` ()\n", "0: deep"]);
    }
    // In its start function, and with a name from an export alone.
    let binary = r#"(module (tag (export "oops") (param i32)) (func (throw 0 (i32.const 42))) (start 0))"#;
    run(&[], binary).code(134).says(&["tag `oops` (i32) with 42\n"]);
    run(&[], r#"(module (tag) (func (throw 0)) (start 0))"#).code(134).says(&["tag without a name ()\n"]);
}

/// What comes of a signal that is sent while the guest waits for input. An ignored one is followed by the end of the input.
fn signalled(ignored: &[&str], signal: &str) -> Option<i32> {
    let module = r#"(module (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_read" (func $r (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1) (data (i32.const 64) "ready\n")
        (func (export "_start")
            (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 6))
            (drop (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
            (drop (call $r (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)))))"#;
    let folder = scratch();
    let file = folder.path().join("wait.wat");
    std::fs::write(&file, module).unwrap();
    let traps: String = ignored.iter().map(|signal| format!("trap '' {signal}; ")).collect();
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{traps}exec \"$0\" --cache off \"$1\""));
    command.arg(env!("CARGO_BIN_EXE_inn")).arg(&file).process_group(0);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let stdin = child.stdin.take();
    let mut ready = [0; 6];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
    let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    if ignored.contains(&signal) {
        drop(stdin);
        return child.wait().unwrap().code();
    }
    let code = child.wait().unwrap().code();
    drop(stdin);
    code
}

#[test]
fn signals_that_were_ignored_at_the_start_stay_ignored() {
    for (signal, code, other) in [("INT", 130, "HUP"), ("TERM", 143, "INT"), ("HUP", 129, "TERM")] {
        assert_eq!(signalled(&[signal], signal), Some(0), "{signal} is ignored");
        assert_eq!(
            signalled(&[other], signal),
            Some(code),
            "{signal} stops the guest, while {other} is ignored"
        );
    }
    assert_eq!(signalled(&["INT", "TERM", "HUP", "PIPE"], "PIPE"), Some(0));
    assert_eq!(signalled(&["INT", "TERM", "HUP", "PIPE"], "TERM"), Some(0));
}

/// Modules are read and not mapped, and machine code from files that others may write to is copied: what becomes of the file is nothing to a guest that runs.
#[test]
fn a_file_that_is_cut_short_while_its_module_runs_changes_nothing() {
    let late = "(drop (call $w (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 24)))";
    let module = format!(
        r#"(module (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_read" (func $r (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1) (data (i32.const 64) "ready\nlate\n")
        (data (i32.const 0) "\40\00\00\00\06\00\00\00\46\00\00\00\05\00\00\00\80\00\00\00\01\00\00\00")
        (func (export "_start")
            (drop (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 24)))
            (drop (call $r (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 24)))
            (call $late))
        (func $late {late}))"#
    );
    let folder = scratch();
    let (wasm, cwasm) = (folder.path().join("wait.wasm"), folder.path().join("wait.cwasm"));
    std::fs::write(&wasm, innkeeper::to_binary(module.as_bytes()).unwrap()).unwrap();
    inn(&["compile", "wait.wasm", "-o", "wait.cwasm"]).current_dir(&folder).run().code(0);
    for (file, flag) in [(&cwasm, "--allow-precompiled"), (&wasm, "--explain")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_inn"));
        command.args(["run", "--cache", "off", flag]).arg(file);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take();
        let mut ready = [0; 6];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
        std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(0).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}: {output:?}", file.display());
        assert_eq!(output.stdout, b"late\n", "{}", file.display());
    }
}

#[test]
fn inspect_lists_what_is_imported_twice_once() {
    let import = r#"(import "wasi_snapshot_preview1" "random_get" (func (param i32 i32) (result i32)))"#;
    let ran = inn(&["inspect", "-"]).stdin(format!("(module {import} {import} {import})")).run();
    ran.code(0).prints(&["Imports: 1\n", "(random_get)"]);
    assert_eq!(ran.stdout.matches("random_get:").count(), 1, "{ran:?}");
}

#[test]
fn a_guest_that_has_used_up_its_memory_may_get_hot() {
    let dir = scratch();
    let text = "(module (memory (export \"memory\") 1)
        (func $next (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
        (func (export \"go\") (result i32) (local i32)
          (loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
          (loop (local.set 0 (call $next (local.get 0))) (br_if 0 (i32.lt_u (local.get 0) (i32.const 3000000))))
          (local.get 0)))";
    std::fs::write(dir.path().join("hot.wat"), text).unwrap();
    for tier in ["interpreter", "auto", "compiled"] {
        let args = ["--cache", "off", "--tier", tier, "--max-memory", "16MiB", "--invoke", "go", "hot.wat"];
        inn(&args).current_dir(&dir).run().code(0).prints(&["3000000"]);
    }
}
