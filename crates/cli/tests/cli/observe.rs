//! Traces and profiles.

use std::fs;

use crate::{inn, scratch, site};

#[test]
fn a_trace_names_what_the_guest_named() {
    let dir = scratch();
    fs::create_dir(dir.path().join("d")).unwrap();
    let ran = inn(&["--trace", "--dir", "d::/helloworld", "{hello-rust}"]).current_dir(&dir).run();
    ran.code(0).stdout("Hello, World!\n").says(&[
        "path_open(fd=3</helloworld>, dirflags=symlink_follow, path=\"helloworld.txt\", oflags=creat|trunc, rights_base=FD_WRITE|and others, fdflags=0) = ok opened_fd",
        "= ok opened_fd=5</helloworld/helloworld.txt> <",
        "fd_write(fd=5</helloworld/helloworld.txt>, buffers=1, bytes=14) = ok nwritten=14 <",
        "fd_prestat_get(fd=5<not open>) = badf <",
    ]);
}

#[test]
fn a_trace_for_machines_is_one_object_a_line() {
    let dir = scratch();
    let args = [
        "--trace=json",
        "--trace-file",
        "t",
        "--tmp",
        "/helloworld",
        "{hello-c}",
        "/helloworld/\u{1b}[2J\"x",
    ];
    inn(&args).current_dir(&dir).run().code(0).stderr("");
    let trace = fs::read_to_string(dir.path().join("t")).unwrap();
    assert!(trace.contains(r#""path":"\u001b[2J\"x""#), "{trace}");
    for line in trace.lines() {
        assert!(
            line.starts_with("{\"call\":\"") && line.ends_with('}') && line.contains("\"ns\":"),
            "{line}"
        );
        assert!(!line.contains(|character: char| character.is_control()), "{line}");
    }
}

#[test]
fn a_summary_counts_by_function() {
    let dir = site();
    let args = ["--trace=summary", "--dir", "site", "{markdown-site}", "build", "site", "site/out"];
    let ran = inn(&args).current_dir(&dir).run();
    ran.code(0).says(&["calls", "path_open", "fd_write", "  all\n"]);
}

/// Asks the clock and exits with its lowest bits: a guest whose end the host decides.
pub(crate) const CLOCK: &str = r#"(module
    (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (drop (call $clock (i32.const 0) (i64.const 1) (i32.const 8)))
        (call $exit (i32.and (i32.load (i32.const 8)) (i32.const 127)))))"#;

#[test]
fn deterministic_runs_are_the_same_and_others_are_not() {
    let dir = scratch();
    fs::write(dir.path().join("clock.wat"), CLOCK).unwrap();
    let codes: Vec<_> =
        (0..3).map(|_| inn(&["--deterministic", "clock.wat"]).current_dir(&dir).run().code).collect();
    assert_eq!(codes, [Some(0); 3], "the year 2000, to the nanosecond");
    inn(&["--clocks", "fixed:1", "clock.wat"]).current_dir(&dir).run().code(1_000_000_000 & 127);
}

#[test]
fn a_profile_is_a_flame_graph_and_folded_stacks() {
    let dir = scratch();
    let busy = r#"(module (func $busy (loop $l (br $l))) (func $main (export "_start") (call $busy)))"#;
    fs::write(dir.path().join("busy.wat"), busy).unwrap();
    inn(&["--timeout", "300ms", "--profile", "out.svg", "busy.wat"]).current_dir(&dir).run().code(134);
    let stacks = fs::read_to_string(dir.path().join("out.folded")).unwrap();
    let (stack, ticks) = stacks.lines().nth(1).unwrap().rsplit_once(' ').unwrap();
    assert_eq!(stack, "main;busy");
    assert!(ticks.parse::<u64>().unwrap() > 0);
    let graph = fs::read_to_string(dir.path().join("out.svg")).unwrap();
    for part in
        ["<svg", ">busy, ", "compiled: ", "interpreted: ", "host: ", "prefers-color-scheme: dark", "</svg>"]
    {
        assert!(graph.contains(part), "{part} is not in {graph}");
    }
    // What is outermost is on top.
    assert!(graph.find(">main, ").unwrap() < graph.find(">busy, ").unwrap());
}

/// Stacks that are ever new ones fill what a profile may hold; what there is is written when the deadline ends the guest, and the rest is counted. Nobody reads what
/// the guest's end is told with, until the command is over.
#[test]
fn a_profile_of_ever_new_stacks_is_bounded_and_written_at_the_deadline() {
    let dir = scratch();
    let long = "n".repeat(60_000);
    let text = format!(
        r#"(module
        (func ${long} (param $depth i32) (param $turns i32)
            (if (local.get $depth)
                (then (call ${long} (i32.sub (local.get $depth) (i32.const 1)) (local.get $turns)))
                (else (loop $l (br_if $l (local.tee $turns (i32.sub (local.get $turns) (i32.const 1))))))))
        (func (export "_start") (local $depth i32)
            (loop $l
                (call ${long} (i32.rem_u (local.tee $depth (i32.add (local.get $depth) (i32.const 1))) (i32.const 400))
                    (i32.const 100000))
                (br $l))))"#
    );
    fs::write(dir.path().join("new.wat"), text).unwrap();
    let flags = ["--timeout", "1500ms", "--tier", "interpreter", "--profile", "out.svg", "new.wat"];
    inn(&flags).current_dir(&dir).run().code(134);
    let stacks = fs::read_to_string(dir.path().join("out.folded")).unwrap();
    assert!(stacks.contains("more samples whose stacks found no room) "), "{}", stacks.len());
    let graph = fs::read_to_string(dir.path().join("out.svg")).unwrap();
    assert!(graph.contains("</svg>"));
}

#[test]
fn perf_finds_the_names_of_compiled_functions() {
    let dir = scratch();
    let text = r#"(module (func $"<a::B>::twice;" (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
        (func (export "run") (param i32) (result i32) (call 0 (local.get 0))))"#;
    fs::write(dir.path().join("m.wat"), text).unwrap();
    fs::create_dir_all(dir.path().join("cache")).unwrap();
    let flags = ["--tier", "compiled", "--profile=perf"];
    // The second time, the code is from the cache.
    for cache in ["off", "cache", "cache"] {
        let args = [&flags[..], &["--cache", cache, "--invoke", "run", "m.wat", "21"]].concat();
        let (ran, id) = inn(&args).current_dir(&dir).run_with_id();
        ran.code(0).stdout("42\n").stderr("");
        let path = format!("/tmp/perf-{id}.map");
        let map = fs::read_to_string(&path).unwrap();
        fs::remove_file(&path).unwrap();
        is_map_of(&map, &["<a::B>::twice:", "run", "[trampoline]"]);
    }
}

/// Checks that a map has these names, and no address twice.
fn is_map_of(map: &str, names: &[&str]) {
    let read = |line: &str| {
        let parts: Vec<&str> = line.splitn(3, ' ').collect();
        let number = |text| u64::from_str_radix(text, 16).unwrap();
        (number(parts[0])..number(parts[0]) + number(parts[1]), parts[2].to_owned())
    };
    let code: Vec<(std::ops::Range<u64>, String)> = map.lines().map(read).collect();
    for name in names {
        assert!(code.iter().any(|(_, of)| of == name), "{name}: {map}");
    }
    for (range, _) in &code {
        assert!(!range.is_empty());
        let overlapping = code.iter().filter(|(other, _)| other.start < range.end && range.start < other.end);
        assert_eq!(overlapping.count(), 1, "{map}");
    }
}

#[test]
fn a_profile_without_a_sample_is_warned_of_and_the_exit_code_is_the_guests() {
    let dir = scratch();
    fs::write(dir.path().join("m.wat"), r#"(module (func (export "_start") unreachable))"#).unwrap();
    // Whether the first sample comes in time is chance.
    let ran = inn(&["--profile", "out.svg", "m.wat"]).current_dir(&dir).run();
    ran.code(134);
    let is_written = ["out.svg", "out.folded"].map(|name| dir.path().join(name).exists());
    assert_eq!(is_written, [!ran.stderr.contains("no sample was taken"); 2], "{ran:#?}");
}

#[test]
fn a_core_dump_is_written_where_the_guest_traps_and_nowhere_else() {
    let dir = scratch();
    inn(&["--coredump", "core", "{exit-code}"]).current_dir(&dir).run().code(42);
    assert!(!dir.path().join("core").exists());
    inn(&["--coredump", "core", "{trap}"]).current_dir(&dir).run().code(134);
    let dump = fs::read(dir.path().join("core")).unwrap();
    assert!(dump.starts_with(b"\0asm") && dump.windows(9).any(|window| window == b"corestack"));
    // It is a module itself.
    inn(&["validate", "core"]).current_dir(&dir).run().code(0);
    let ran = inn(&["--coredump", "missing/core", "{trap}"]).current_dir(&dir).run();
    ran.code(1).says(&["missing/core", "No such file"]);
}

#[test]
fn a_backtrace_has_lines_and_the_environment_says_how_much() {
    let lines = concat!(env!("CARGO_MANIFEST_DIR"), "/../innkeeper/tests/library/source-lines.wasm");
    let run = |amount: Option<&str>| {
        let command = inn(&["--invoke", "run", lines, "4"]);
        match amount {
            Some(amount) => command.env("INN_BACKTRACE", amount).run(),
            None => command.run(),
        }
    };
    let ran = run(None);
    ran.code(134).says(&[
        "0: total (at offset",
        "\n        at /src/source-lines.c:5",
        "1: run",
        "source-lines.c:23",
    ]);
    assert!(!ran.stderr.contains("inlined"), "{ran:#?}");
    let ran = run(Some("full"));
    ran.code(134).says(&[
        "interpreted",
        "(element, inlined)",
        "(sum, inlined)",
        "source-lines.c:19",
        "(total)",
    ]);
    let ran = run(Some("off"));
    ran.code(134).says(&["wasm trap: unreachable"]);
    assert!(!ran.stderr.contains("run"), "{ran:#?}");
}
