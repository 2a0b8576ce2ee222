//! One number bounds what a guest makes its host hold: every source of memory is tried on the built `inn`, and its resident size measured.
//!
//! The sources are enumerated, not remembered: kinds of the budget, WebAssembly's instructions, functions of WASI. One that is new and unknown to
//! these tests fails them. Case names are those of the sandbox's list.

mod changes;
mod exhaustion;
mod instructions;
mod wasi;

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What guests may make the host hold, as a flag and in bytes.
const LIMIT: &str = "16MiB";
const LIMIT_BYTES: u64 = 16 << 20;

/// What comes on top of the limit: the command itself with what it keeps of a small module, what a budget gives for free, and what the allocator
/// leaves unused between objects.
const CONSTANT_BYTES: u64 = 40 << 20;

/// How a run of `inn` ended.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
    /// The most memory that it had at once. Pages of files (the program itself, libraries) are not among it: how many of them the system maps
    /// at once differs from machine to machine, and no guest has a say in it.
    held_bytes: u64,
}

/// Runs `inn` with a module in the text format, which comes in at standard input.
fn inn(args: &[&str], text: &str) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inn"));
    command.args(["--cache", "off", "--timeout", "20s"]).args(args).arg("-");
    run(command, text)
}

fn run(mut command: Command, text: &str) -> Ran {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("inn starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let text = text.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let held_bytes = watch(&mut child);
    let _ = writer.join();
    let output = child.wait_with_output().expect("inn has ended");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr), held_bytes }
}

/// Waits for a process, and tells how much it held at its largest: the system keeps that number, so that looking now and then is enough.
fn watch(child: &mut Child) -> u64 {
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    let begin = Instant::now();
    while child.try_wait().expect("inn can be waited for").is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let bytes = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
            value.and_then(|value| value.trim().parse::<u64>().ok()).unwrap_or(0) << 10
        };
        most = most.max(bytes("VmHWM:").saturating_sub(bytes("RssFile:")));
        assert!(begin.elapsed() < Duration::from_secs(120), "inn does not end");
        std::thread::sleep(Duration::from_millis(1));
    }
    most
}

impl Ran {
    /// Checks that the host held no more than it may.
    fn is_bounded(&self, what: &str) {
        assert!(self.code.is_some(), "{what}: killed by a signal: {self:#?}");
        let most = LIMIT_BYTES + CONSTANT_BYTES;
        assert!(self.held_bytes <= most, "{what}: {} bytes held: {self:#?}", self.held_bytes);
    }

    /// Checks that the limit was named.
    fn names_limit(&self, what: &str) {
        assert!(self.stderr.contains("--max-memory"), "{what}: {self:#?}");
    }
}

/// A file of inputs that once went wrong, in the text format.
fn limited(args: &[&str], text: &str) -> Ran {
    inn(&[&["--max-memory", LIMIT], args].concat(), text)
}

#[test]
fn y7_what_the_first_attacks_took_is_refused() {
    let tables = "(table 10000000 10000000 funcref)".repeat(100);
    let fills: String = (0..100)
        .map(|i| format!("(table.fill {i} (i32.const 0) (ref.func $f) (i32.const 10000000))"))
        .collect();
    let many =
        format!("(module {tables} (elem declare func $f) (func $f) (func (export \"_start\") {fills}))");
    let ran = limited(&[], &many);
    ran.is_bounded("a hundred tables");
    ran.names_limit("a hundred tables");
    assert_eq!(ran.code, Some(1));

    let array = r#"(module (type $a (array (mut i32)))
        (func (export "_start") (drop (array.new $a (i32.const 1) (i32.const 250000000)))))"#;
    let ran = limited(&[], array);
    ran.is_bounded("a large array");
    ran.names_limit("a large array");
    assert_eq!(ran.code, Some(134));
}

/// `fd_allocate`, `fd_filestat_set_size` and a write beyond the end make a file longer, of which nothing was written.
#[test]
fn y7_bytes_written_are_also_those_that_files_become_longer_by() {
    let calls = [
        ("fd_allocate", "(call $allocate (i32.load (i32.const 32)) (i64.const 0) (i64.const 150000000))"),
        ("fd_filestat_set_size", "(call $set_size (i32.load (i32.const 32)) (i64.const 150000000))"),
        (
            "fd_pwrite",
            "(call $pwrite (i32.load (i32.const 32)) (i32.const 16) (i32.const 1) (i64.const 150000000) (i32.const 40))",
        ),
    ];
    for (name, call) in calls {
        let text = format!(
            r#"(module
                (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
                (import "wasi_snapshot_preview1" "fd_allocate" (func $allocate (param i32 i64 i64) (result i32)))
                (import "wasi_snapshot_preview1" "fd_filestat_set_size" (func $set_size (param i32 i64) (result i32)))
                (import "wasi_snapshot_preview1" "fd_pwrite" (func $pwrite (param i32 i32 i32 i64 i32) (result i32)))
                (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                (memory (export "memory") 1)
                (data (i32.const 0) "x")
                (data (i32.const 20) "\01")
                (func (export "_start")
                    (if (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 1)
                            (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 32))
                        (then (call $exit (i32.const 9))))
                    (call $exit {call})))"#
        );
        let dir = tempfile::tempdir().unwrap();
        for access in ["rw", "cow"] {
            let grant = format!("{}::/d::{access}", dir.path().display());
            let ran = inn(&["--max-written", "1KiB", "--dir", &grant], &text);
            // Quota exceeded.
            assert_eq!(ran.code, Some(19), "{name} {access}: {ran:#?}");
            assert!(ran.stderr.contains("--max-written is 1 KiB"), "{name} {access}: {ran:#?}");
            let made = Path::new(dir.path()).join("x");
            assert!(std::fs::metadata(made).map_or(0, |metadata| metadata.len()) == 0, "{name} {access}");
            // As many as it asked for, it gets.
            let ran = inn(&["--max-written", "200MB", "--dir", &grant], &text);
            assert_eq!(ran.code, Some(0), "{name} {access}: {ran:#?}");
            let _ = std::fs::remove_file(dir.path().join("x"));
        }
    }
}

/// The default bounds a guest as well.
#[test]
fn y7_without_a_flag_half_of_the_machine_is_the_limit() {
    let text = r#"(module (memory i64 1)
        (func (export "grow") (param i64) (result i64) (memory.grow (local.get 0))))"#;
    // All memory that any machine has.
    let ran = inn_invoke("grow", &(1_u64 << 32).to_string(), text);
    assert_eq!((ran.code, ran.stdout.trim()), (Some(0), "-1"), "{ran:#?}");
    let ran = inn_invoke("grow", "1", text);
    assert_eq!((ran.code, ran.stdout.trim()), (Some(0), "1"), "{ran:#?}");
}

fn inn_invoke(name: &str, argument: &str, text: &str) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inn"));
    command.args(["--cache", "off", "--invoke", name, "-", argument]);
    run(command, text)
}

/// Commands that run no guest with keys, or none at all.
#[test]
fn y5_y7_commands_that_read_what_others_made_have_bounds_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.into_os_string().into_string().unwrap()
    };
    let module = file("m.wat", "(module)");
    let script = file("s.wast", "(module (func (export \"f\") (loop $l (br $l)))) (invoke \"f\")");
    let bounded = |args: &[&str], reason: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_inn"));
        command.args(args).env("XDG_CACHE_HOME", dir.path());
        let ran = run(command, "");
        assert!(ran.code == Some(1) && ran.stderr.contains(reason), "{args:?}: {ran:#?}");
    };
    for (command, path) in [
        ("validate", &module),
        ("inspect", &module),
        ("explore", &module),
        ("replay", &module),
        ("wast", &script),
        ("compile", &module),
        ("compose --plug none.wasm -o none.wasm", &module),
        ("cache fill", &module),
    ] {
        let with =
            |flag, value| -> Vec<&str> { command.split(' ').chain([flag, value, path.as_str()]).collect() };
        bounded(&with("--timeout", "0s"), "it takes longer than 0s");
        bounded(&with("--max-memory", "1KiB"), "it needs more than 1024 bytes");
    }
    bounded(&["wast", "--timeout", "300ms", &script], "it takes longer than 300ms");
}

/// Whoever adds a command says whether what it reads can be large.
#[test]
fn y7_every_command_has_a_limit_on_memory_or_reads_nothing_that_is_large() {
    let unlimited =
        ["cache clear", "cache info", "completion", "cow list", "cow resume", "cow undo", "version"];
    let mut found = Vec::new();
    let mut waiting = vec![Vec::<String>::new()];
    while let Some(command) = waiting.pop() {
        let mut inn = Command::new(env!("CARGO_BIN_EXE_inn"));
        inn.args(&command).arg("--help");
        let help = run(inn, "").stdout;
        let lines = help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
        let below: Vec<_> = lines
            .take_while(|line| line.starts_with("  "))
            .filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')))
            .filter_map(|line| line.split_whitespace().next().filter(|name| *name != "help"))
            .map(|name| command.iter().cloned().chain([name.to_owned()]).collect::<Vec<_>>())
            .collect();
        if below.is_empty() && !help.contains("--max-memory") {
            found.push(command.join(" "));
        }
        waiting.extend(below);
    }
    found.sort();
    assert_eq!(found, unlimited);
}
