//! Traces, records and replays of components.

use std::fs;

use crate::components::component_of;
use crate::{guest, inn, scratch, site};

/// A program of WASI 0.2 whose core function `run` has this body, which can call `$stdout`, `$write`, `$now`, `$random` and `$exit`.
fn program(body: &str) -> String {
    format!(
        r#"(component
            (import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource)))))
            (alias export $error "error" (type $error-type))
            (import "wasi:io/streams@0.2.0" (instance $io
                (export "output-stream" (type $out (sub resource)))
                (alias outer 1 $error-type (type $theirs)) (export "error" (type $err (eq $theirs)))
                (type $stream-error (variant (case "last-operation-failed" (own $err)) (case "closed")))
                (export "stream-error" (type $e (eq $stream-error)))
                (export "[method]output-stream.blocking-write-and-flush"
                    (func (param "self" (borrow $out)) (param "contents" (list u8)) (result (result (error $e)))))))
            (alias export $io "output-stream" (type $out))
            (import "wasi:cli/stdout@0.2.0" (instance $cli
                (alias outer 1 $out (type $o)) (export "output-stream" (type $so (eq $o)))
                (export "get-stdout" (func (result (own $so))))))
            (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clocks (export "now" (func (result u64)))))
            (import "wasi:random/random@0.2.0" (instance $random
                (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
            (import "wasi:cli/exit@0.2.3" (instance $exit (export "exit-with-code" (func (param "status-code" u8)))))
            (core module $m0 (memory (export "memory") 1)
                (global $next (mut i32) (i32.const 4096))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                    (if (i32.gt_u (i32.add (global.get $next) (local.get 3)) (i32.mul (memory.size) (i32.const 65536)))
                        (then (drop (memory.grow (i32.add (i32.const 1) (i32.shr_u (local.get 3) (i32.const 16)))))))
                    (global.get $next) (global.set $next (i32.add (global.get $next) (local.get 3))))
                (data (i32.const 100) "hello\n"))
            (core instance $m0 (instantiate $m0))
            (alias core export $m0 "memory" (core memory $memory))
            (alias core export $m0 "realloc" (core func $realloc))
            (core func $stdout (canon lower (func $cli "get-stdout")))
            (core func $write (canon lower (func $io "[method]output-stream.blocking-write-and-flush") (memory $memory)))
            (core func $now (canon lower (func $clocks "now")))
            (core func $random (canon lower (func $random "get-random-bytes") (memory $memory) (realloc $realloc)))
            (core func $exit (canon lower (func $exit "exit-with-code")))
            (core func $drop (canon resource.drop $out))
            (core instance $wasi
                (export "memory" (memory $memory)) (export "stdout" (func $stdout)) (export "write" (func $write))
                (export "now" (func $now)) (export "random" (func $random)) (export "exit" (func $exit))
                (export "drop" (func $drop)))
            (core module $m
                (import "" "memory" (memory 1))
                (import "" "stdout" (func $stdout (result i32)))
                (import "" "write" (func $write (param i32 i32 i32 i32)))
                (import "" "now" (func $now (result i64)))
                (import "" "random" (func $random (param i64 i32)))
                (import "" "exit" (func $exit (param i32)))
                (import "" "drop" (func $drop (param i32)))
                (func (export "run") (result i32) {body}))
            (core instance $i (instantiate $m (with "" (instance $wasi))))
            (func $run (result (result)) (canon lift (core func $i "run")))
            (instance $program (export "run" (func $run)))
            (export "wasi:cli/run@0.2.3" (instance $program)))"#
    )
}

/// Says hello, and ends with a number that the host chooses.
const SPEAKER: &str = "(call $write (call $stdout) (i32.const 100) (i32.const 6) (i32.const 8))
    (call $drop (i32.const 1))
    (call $exit (i32.and (i32.wrap_i64 (call $now)) (i32.const 127))) (unreachable)";

#[test]
fn a_trace_has_calls_with_their_values() {
    let dir = scratch();
    fs::write(dir.path().join("p.wat"), program(SPEAKER)).unwrap();
    let ran = inn(&["--trace", "--clocks", "fixed:1", "p.wat"]).current_dir(&dir).run();
    ran.code(0).stdout("hello\n").says(&[
        "wasi:cli/stdout.get-stdout() -> output-stream#1 <",
        "wasi:io/streams.[method]output-stream.blocking-write-and-flush(output-stream#1, b\"hello\\n\") -> ok <",
        "wasi:io/streams.[resource-drop]output-stream(output-stream#1) <",
        "wasi:clocks/monotonic-clock.now() -> 0 <",
        "wasi:cli/exit.exit-with-code(0) -> exit 0 <",
    ]);
    let args = ["--trace=json", "--trace-file", "t", "--trace=summary", "p.wat"];
    inn(&args).current_dir(&dir).run().says(&["calls", "wasi:io/streams.[method]output-stream", "  all\n"]);
    let trace = fs::read_to_string(dir.path().join("t")).unwrap();
    assert_eq!(trace.lines().count(), 5, "{trace}");
    for part in [
        "{\"call\":\"wasi:cli/stdout.get-stdout\",\"arguments\":{},\"result\":\"output-stream#1\",\"ns\":",
        "\"arguments\":{\"self\":\"output-stream#1\",\"contents\":{\"bytes\":6,\"begin\":\"hello\\u000a\"}},\"result\":\"ok\",\"ns\":",
        "\"arguments\":{\"status-code\":",
    ] {
        assert!(trace.contains(part), "no {part} in {trace}");
    }
    for line in trace.lines() {
        assert!(line.ends_with('}') && !line.contains(|character: char| character.is_control()), "{line}");
    }
}

/// What was denied is an error in the trace, with the path that the guest has named, and what a rule forbids is said.
#[test]
fn a_trace_has_denials_and_traps() {
    let dir = scratch();
    let module = fs::read(guest("cat")).unwrap();
    fs::write(dir.path().join("cat.wasm"), component_of(&module).unwrap()).unwrap();
    fs::write(dir.path().join("f"), "text").unwrap();
    let ran = inn(&["--trace", "--dir", ".::/w::ro", "cat.wasm", "/w/../f"]).current_dir(&dir).run();
    ran.code(1).says(&["open-at(descriptor#", "\"../f\"", " -> err(not-permitted) <"]);
    let ran = inn(&["--trace", "--dir", ".::/w::ro", "cat.wasm", "/w/\u{1b}[2J"]).current_dir(&dir).run();
    ran.code(1).says(&["\"\\u{1b}[2J\"", " -> err(no-entry) <"]);
    fs::write(dir.path().join("p.wat"), program("(call $random (i64.const -1) (i32.const 8)) (i32.const 0)"))
        .unwrap();
    let ran = inn(&["--trace", "p.wat"]).current_dir(&dir).run();
    ran.code(134).says(&["get-random-bytes(18446744073709551615) -> "]);
}

#[test]
fn a_replay_needs_nothing_and_does_the_same() {
    let dir = site();
    let module = fs::read(guest("markdown-site")).unwrap();
    fs::write(dir.path().join("m.wasm"), component_of(&module).unwrap()).unwrap();
    let args = ["--record", "r", "--dir", "site", "m.wasm", "build", "site", "site/out"];
    let recorded = inn(&args).current_dir(&dir).run();
    recorded.code(0);
    fs::remove_dir_all(dir.path().join("site")).unwrap();
    let ran = inn(&["replay", "r"]).current_dir(&dir).run();
    ran.code(0).stdout(&recorded.stdout).says(&["all as recorded; the guest exited with 0\n"]);
    assert!(!dir.path().join("site").exists());
}

#[test]
fn what_the_host_answered_is_what_a_replay_answers() {
    let dir = scratch();
    fs::write(dir.path().join("p.wat"), program(SPEAKER)).unwrap();
    let recorded = inn(&["--record", "r", "--stdout", "discard", "p.wat"]).current_dir(&dir).run().code;
    let words =
        format!("p.wat: replayed 5 calls, all as recorded; the guest exited with {}\n", recorded.unwrap());
    for _ in 0..3 {
        inn(&["replay", "r"]).current_dir(&dir).run().code(0).stdout("hello\n").says(&[&words]);
    }
    // Another one, and another module.
    fs::write(dir.path().join("other.wat"), program(&SPEAKER.replace("127", "63"))).unwrap();
    let ran = inn(&["replay", "r", "other.wat"]).current_dir(&dir).run();
    ran.code(1).says(&["the component is not the one that was recorded"]);
    inn(&["replay", "r", "{cat}"]).current_dir(&dir).run().code(1).says(&["the module is not the one"]);
    // The component in the place of its record.
    let ran = inn(&["replay", "p.wat", "r"]).current_dir(&dir).run();
    ran.code(1).says(&["not a record"]);
}

#[test]
fn a_replay_tells_of_traps_and_of_what_ends_calls() {
    let dir = scratch();
    for (body, code) in [
        ("(unreachable)", 134),
        // More than there can be.
        ("(call $random (i64.const -1) (i32.const 8)) (i32.const 0)", 134),
        // A handle that there is not.
        ("(call $write (i32.const 9) (i32.const 100) (i32.const 6) (i32.const 8)) (i32.const 0)", 134),
        // Beyond the memory.
        ("(call $write (call $stdout) (i32.const -1) (i32.const 6) (i32.const 8)) (i32.const 0)", 134),
        // Where the result is to be there is nothing.
        ("(call $random (i64.const 6) (i32.const -4)) (i32.const 0)", 134),
        ("(call $write (call $stdout) (i32.const 100) (i32.const 9999) (i32.const 8)) (i32.const 1)", 134),
        ("(i32.const 1)", 1),
        ("(i32.const 0)", 0),
    ] {
        fs::write(dir.path().join("p.wat"), program(body)).unwrap();
        let recorded = inn(&["--record", "r", "p.wat"]).current_dir(&dir).run();
        recorded.code(code);
        let replayed = inn(&["replay", "r"]).current_dir(&dir).run();
        replayed.code(0).stdout(&recorded.stdout).says(&["all as recorded"]);
        let first = recorded.stderr.lines().next().unwrap_or_default();
        replayed.says(&[first]);
    }
}

#[test]
fn invoked_functions_are_replayed() {
    let dir = scratch();
    let counter = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/components/counter.wat");
    let scaled = r#"(component (core module $m (func (export "f") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 21))))
        (core instance $i (instantiate $m))
        (func (export "scaled") (param "by" u32) (result u32) (canon lift (core func $i "f"))))"#;
    fs::write(dir.path().join("math.wat"), scaled).unwrap();
    let math = "math.wat";
    for args in [
        &["--invoke", "c = counter.new(5)", "--invoke", "c.add(2)", "--invoke", "c.drop()", counter][..],
        &["--invoke", "scaled(2)", math],
        &["--invoke", "scaled", math, "2"],
    ] {
        let recorded = inn(&[&["--record", "r"], args].concat()).current_dir(&dir).run();
        recorded.code(0);
        inn(&["replay", "r"])
            .current_dir(&dir)
            .run()
            .code(0)
            .stdout(&recorded.stdout)
            .says(&["all as recorded"]);
    }
}

/// A call that cannot be made leaves no record behind, and what was recorded before is not replaced.
#[test]
fn calls_that_are_mistaken_leave_no_record() {
    let dir = scratch();
    let text = r#"(component (core module $m (func (export "f") (param i32))) (core instance $i (instantiate $m))
        (func (export "takes") (param "n" u32) (canon lift (core func $i "f"))))"#;
    fs::write(dir.path().join("c.wat"), text).unwrap();
    let calls =
        [("wrong()", "exports no function `wrong`"), ("takes('x')", "expected u32"), ("takes()", "takes 1")];
    for (call, said) in calls {
        inn(&["--record", "r", "--invoke", call, "c.wat"]).current_dir(&dir).run().code(2).says(&[said]);
        assert!(!dir.path().join("r").exists(), "{call}");
    }
    inn(&["--record", "r", "--invoke", "takes(1)", "c.wat"]).current_dir(&dir).run().code(0);
    let before = fs::read(dir.path().join("r")).unwrap();
    let twice = ["--record", "r", "--invoke", "takes(1)", "--invoke", "wrong()", "c.wat"];
    inn(&twice).current_dir(&dir).run().code(2).says(&["exports no function `wrong`"]);
    assert_eq!(fs::read(dir.path().join("r")).unwrap(), before);
}

/// The replay of a run that was stopped ends where that was, and does not go on for ever.
#[test]
fn a_run_that_was_stopped_is_replayed_up_to_there() {
    let dir = scratch();
    let speaks = "(call $write (call $stdout) (i32.const 100) (i32.const 6) (i32.const 8)) (loop $l (br $l)) (unreachable)";
    for (body, calls, stdout) in
        [(speaks, "replayed 2 calls", "hello\n"), ("(loop $l (br $l)) (unreachable)", "replayed 0 calls", "")]
    {
        fs::write(dir.path().join("p.wat"), program(body)).unwrap();
        inn(&["--timeout", "300ms", "--record", "r", "p.wat"]).current_dir(&dir).run().code(134);
        let ran = inn(&["replay", "--timeout", "60s", "r"]).current_dir(&dir).run();
        ran.code(0).stdout(stdout).says(&[calls, "there the recorded run was stopped"]);
    }
}

#[test]
fn bounds_of_a_run_are_those_of_its_replay() {
    let dir = scratch();
    fs::write(dir.path().join("p.wat"), program("(loop $l (br $l)) (unreachable)")).unwrap();
    inn(&["--record", "r", "--fuel", "1000", "p.wat"]).current_dir(&dir).run().code(134);
    inn(&["replay", "r"]).current_dir(&dir).run().code(0).says(&["all as recorded", "fuel"]);
    let grows = "(drop (memory.grow (i32.const 100))) (i32.eq (memory.size) (i32.const 1))";
    fs::write(dir.path().join("p.wat"), program(grows)).unwrap();
    for (args, code) in [(&["--max-memory", "1MiB"][..], 1), (&[], 0)] {
        inn(&[&["--record", "r", "p.wat"], args].concat()).current_dir(&dir).run();
        let args = [&["--record", "r"], args, &["p.wat"]].concat();
        inn(&args).current_dir(&dir).run().code(code);
        let words = format!("all as recorded; the guest exited with {code}");
        inn(&["replay", "r"]).current_dir(&dir).run().code(0).says(&[&words]);
    }
}

#[test]
fn a_record_that_is_cut_off_or_altered_anywhere_is_blamed_itself() {
    let dir = scratch();
    fs::write(dir.path().join("p.wat"), program(SPEAKER)).unwrap();
    inn(&["--clocks", "fixed:1", "--record", "r", "p.wat"]).current_dir(&dir).run().code(0);
    let whole = fs::read(dir.path().join("r")).unwrap();
    let try_one = |bytes: &[u8], what: &str| {
        fs::write(dir.path().join("x"), bytes).unwrap();
        let ran = inn(&["replay", "x"]).current_dir(&dir).run();
        if ran.code == Some(0) {
            ran.stdout("hello\n").says(&["all as recorded; the guest exited with 0"]);
            return;
        }
        ran.code(1).says(&["record the run again"]);
        let error = ran.stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
        assert!(error.starts_with("error: x: ") && error.contains("record"), "{what}: {ran:#?}");
        for never in ["panicked", "diverges", "the guest's code"] {
            assert!(!ran.stderr.contains(never), "{what}: {ran:#?}");
        }
    };
    for position in (0..whole.len()).step_by(5) {
        try_one(&whole[..position], &format!("cut off at {position}"));
        let mut altered = whole.clone();
        altered[position] ^= 1 << (position % 8);
        try_one(&altered, &format!("byte {position} altered"));
    }
}

/// Clocks, random numbers and the order of listings are the same in every run.
#[test]
fn deterministic_runs_are_the_same() {
    let dir = scratch();
    let body = "(call $random (i64.const 6) (i32.const 16))
        (call $write (call $stdout) (i32.load (i32.const 16)) (i32.const 6) (i32.const 8))
        (i64.store (i32.const 200) (call $now))
        (call $write (call $stdout) (i32.const 200) (i32.const 8) (i32.const 8)) (i32.const 0)";
    fs::write(dir.path().join("p.wat"), program(body)).unwrap();
    let trace = |flags: &[&str]| {
        let args = [flags, &["--trace", "--stdout", "discard", "p.wat"]].concat();
        let ran = inn(&args).current_dir(&dir).run();
        ran.code(0);
        ran.stderr.lines().map(|line| line.split(" <").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = trace(&["--deterministic"]);
    assert_eq!(first, trace(&["--deterministic"]));
    assert_ne!(first, trace(&[]));
    assert_ne!(first, trace(&["--deterministic", "--random", "seed:9"]));
    // Files are made in one order and listed in another.
    let module = fs::read(guest("ls")).unwrap();
    fs::write(dir.path().join("ls.wasm"), component_of(&module).unwrap()).unwrap();
    for name in ["b", "c", "a", "zz", "d"] {
        fs::create_dir_all(dir.path().join("t")).unwrap();
        fs::write(dir.path().join("t").join(name), "").unwrap();
    }
    let args = ["--deterministic", "--trace", "--dir", "t::/t::ro", "ls.wasm", "/t"];
    let ran = inn(&args).current_dir(&dir).run();
    let names: Vec<&str> = ran
        .stderr
        .lines()
        .filter(|line| line.contains("read-directory-entry("))
        .filter_map(|line| line.split("name: \"").nth(1)?.split('"').next())
        .collect();
    assert_eq!(names, ["a", "b", "c", "d", "zz"], "{ran:#?}");
}
