//! Programs of WASI 0.3: what they do is the same again where it is to be, where their time went, and that what waits takes no thread.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::run_component::NEWER;
use crate::{inn, scratch};

/// The program that says hello, with something imported besides, and something done before.
fn program(import: &str, lowered: &str, (given, wanted): (&str, &str), body: &str) -> String {
    let text = [
        ("(import \"wasi:cli/stdout@0.3.0\"", format!("{import} (import \"wasi:cli/stdout@0.3.0\"")),
        (
            "(core func $new (canon stream.new $bytes))",
            format!("(core func $new (canon stream.new $bytes)) {lowered}"),
        ),
        (
            "(import \"\" \"new\" (func $new (result i64)))",
            format!("(import \"\" \"new\" (func $new (result i64))) {wanted}"),
        ),
        ("(export \"new\" (func $new))", format!("(export \"new\" (func $new)) {given}")),
        ("(local.set 0 (call $new))", format!("{body} (local.set 0 (call $new))")),
    ];
    text.iter().fold(NEWER.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    })
}

#[test]
fn deterministic_programs_of_wasi_0_3_do_the_same_again() {
    let text = program(
        r#"(import "wasi:random/random@0.3.0" (instance $random (export "get-random-u64" (func (result u64)))))
           (import "wasi:clocks/monotonic-clock@0.3.0" (instance $clock (export "now" (func (result u64)))))"#,
        r#"(core func $random (canon lower (func $random "get-random-u64"))) (core func $now (canon lower (func $clock "now")))"#,
        (
            r#"(export "random" (func $random)) (export "now" (func $now))"#,
            r#"(import "" "random" (func $random (result i64))) (import "" "now" (func $now (result i64)))"#,
        ),
        // Thirty bits of each, as letters.
        r#"(local.set 0 (i64.xor (call $random) (call $now)))
            (local.set 1 (i32.const 10))
            (loop
                (i32.store8 offset=100 (local.get 1) (i32.add (i32.const 97) (i32.wrap_i64 (i64.and (local.get 0) (i64.const 7)))))
                (local.set 0 (i64.shr_u (local.get 0) (i64.const 3)))
                (br_if 0 (local.tee 1 (i32.sub (local.get 1) (i32.const 1)))))"#,
    );
    let run = |args: &[&str]| {
        let ran = inn(&[args, &["-"]].concat()).stdin(text.as_str()).run();
        ran.code(0);
        ran.stdout.clone()
    };
    let one = run(&["--deterministic"]);
    for tier in ["interpreter", "compiled"] {
        assert_eq!(run(&["--deterministic", "--tier", tier]), one);
    }
    assert_ne!(run(&[]), run(&[]), "otherwise it is not");
}

#[test]
fn programs_of_wasi_0_3_are_profiled() {
    let folder = scratch();
    let spins = NEWER.replacen("(local.set 0 (call $new))", "(call $busy) (local.set 0 (call $new))", 1);
    let spins =
        spins.replacen("(func (export \"0.2\")", "(func $busy (loop (br 0))) (func (export \"0.2\")", 1);
    fs::write(folder.path().join("p.wat"), spins).unwrap();
    let args = ["--timeout", "500ms", "--profile", "p.svg", "p.wat"];
    inn(&args).current_dir(&folder).run().code(134);
    let drawn = fs::read_to_string(folder.path().join("p.svg")).unwrap();
    assert!(drawn.contains("busy"), "{drawn}");
}

/// However many things a program waits for, it is done on as many threads: the process's own are counted while it waits.
#[test]
fn what_waits_takes_no_thread() {
    let threads = |waits: u32| {
        let text = program(
            r#"(import "wasi:clocks/monotonic-clock@0.3.0" (instance $clock (export "wait-for" (func async (param "how-long" u64)))))
               (import "wasi:cli/stdin@0.3.0" (instance $stdin
                    (type $e (enum "io" "illegal-byte-sequence" "pipe")) (export "error-code" (type $c (eq $e)))
                    (type $s (stream u8)) (type $r (result (error $c))) (type $f (future $r)) (type $both (tuple $s $f))
                    (export "read-via-stream" (func (result $both)))))"#,
            r#"(core func $wait-for (canon lower (func $clock "wait-for") async))
               (core func $stdin (canon lower (func $stdin "read-via-stream") (memory $mem)))
               (core func $read-bytes (canon stream.read $bytes async (memory $mem)))"#,
            (
                r#"(export "wait-for" (func $wait-for)) (export "stdin" (func $stdin)) (export "read-bytes" (func $read-bytes))"#,
                r#"(import "" "wait-for" (func $wait-for (param i64) (result i32))) (import "" "stdin" (func $stdin (param i32)))
                   (import "" "read-bytes" (func $read-bytes (param i32 i32 i32) (result i32)))"#,
            ),
            // An hour each, and standard input as long as it is there.
            &format!(
                r#"(local.set 1 (i32.const {waits}))
                (loop (drop (call $wait-for (i64.const 3600000000000)))
                    (br_if 0 (local.tee 1 (i32.sub (local.get 1) (i32.const 1)))))
                (call $stdin (i32.const 200))
                (drop (call $read-bytes (i32.load (i32.const 200)) (i32.const 300) (i32.const 8)))"#
            ),
        );
        // It waits for its input when it has said hello.
        let text = text.replacen(
            "(i32.load8_u (i32.const 48))))",
            "(call $wait (i32.load (i32.const 200)) (i32.const -1)) (i32.load8_u (i32.const 48))))",
            1,
        );
        let folder = scratch();
        fs::write(folder.path().join("p.wat"), text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_inn"));
        command.args(["--cache", "off", "--tier", "interpreter", "--timeout", "100s", "p.wat"]);
        let mut child =
            command.current_dir(folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut printed = BufReader::new(child.stdout.take().unwrap());
        printed.read_line(&mut line).unwrap();
        assert_eq!(line, "Hello, 0.3!\n");
        let count = fs::read_dir(format!("/proc/{}/task", child.id())).unwrap().count();
        // Its input is over.
        drop(child.stdin.take());
        let code = child.wait().unwrap().code();
        assert_eq!(code, Some(0));
        count
    };
    assert_eq!(threads(200), threads(1));
}

/// C106: arguments and variables of this machine that are not UTF-8 are told of, whichever kind of program is to be given them, and nothing is started.
#[test]
fn c106_words_that_are_not_utf8_are_told_of() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let odd = OsStr::from_bytes(b"a\xffb");
    let folder = scratch();
    fs::write(folder.path().join("p.wat"), NEWER).unwrap();
    fs::write(
        folder.path().join("m.wat"),
        r#"(module (memory (export "memory") 1) (func (export "_start")))"#,
    )
    .unwrap();
    for program in ["p.wat", "m.wat"] {
        let run = |flags: &[&str], word: Option<&OsStr>, variable: Option<&OsStr>| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_inn"));
            command.args(["--cache", "off"]).args(flags).arg(program).args(word).current_dir(folder.path());
            if let Some(variable) = variable {
                command.env("ODD", variable);
            }
            command.output().unwrap()
        };
        for (told, ended) in [
            ("an argument of the guest is not UTF-8", run(&[], Some(odd), None)),
            ("--env ODD: its value is not UTF-8", run(&["--env", "ODD"], None, Some(odd))),
        ] {
            assert_eq!(ended.status.code(), Some(1), "{program}: {ended:?}");
            assert!(ended.stdout.is_empty(), "{program}: {ended:?}");
            let said = String::from_utf8_lossy(&ended.stderr);
            assert!(said.contains(told), "{program}: {said}");
        }
        // Those that nobody gives to the guest are in nobody's way.
        assert_eq!(run(&[], None, Some(odd)).status.code(), Some(0));
    }
}
