//! `inn inspect`, `validate`, `completion`, `--version` and `--help`.

use crate::{inn, scratch};

#[test]
fn inspect_tells_a_program_and_the_keys_it_may_want() {
    let ran = inn(&["inspect", "{hello-c}"]).run();
    ran.code(0).stderr("").prints(&[
        "hello-c.wasm\n",
        "program (exports _start)",
        " bytes\n",
        " defined\n",
        "2 pages (131072 bytes) at start, no maximum",
        "0.1 (wasi_snapshot_preview1, 12 functions)",
        "Imports: 12\n",
        "  wasi_snapshot_preview1 path_open: func (i32, i32, i32, i32, i32, i64, i64, i32, i32) -> (i32)\n",
        "Exports: 2\n",
        "  _start: func () -> ()\n",
        "--dir HOST[::GUEST][::ro|rw|cow]   files and directories (path_open)",
        "ARGS after FILE                    arguments (args_get)",
    ]);
    assert!(!ran.stdout.contains("--env"), "{ran:#?}");
    inn(&["inspect", "{hello-rust}"])
        .run()
        .code(0)
        .prints(&["--env NAME[=VALUE]                 environment variables (environ_get)"]);
    inn(&["inspect", "{clockrandom}"]).run().code(0).prints(&[
        "always granted",
        "clock_time_get",
        "random_get",
    ]);
}

#[test]
fn inspect_tells_a_reactor() {
    inn(&["inspect", "{reactor}"]).run().code(0).prints(&[
        "reactor (exports _initialize",
        "name       reactor\n",
        "WASI       none\n",
        "  add: func (i32, i32) -> (i32)\n",
        "Keys that it may want: none\n",
    ]);
}

#[test]
fn inspect_tells_what_inn_does_not_have() {
    let text = r#"(module
        (import "env" "a\1b[2Jb" (func))
        (import "wasi_unstable" "sock_accept" (func (param i32 i32 i32) (result i32)))
        (import "wasi_unstable" "fd_close" (func (param i64) (result i32)))
        (import "wasi_unstable" "sock_send" (func (param i32 i32 i32 i32 i32) (result i32)))
        (memory (export "m") 0 3))"#;
    let ran = inn(&["inspect", "-"]).stdin(text).run();
    ran.code(0).prints(&[
        "standard input\n",
        "library",
        "0.1 (wasi_unstable, 1 function)",
        "0 pages (0 bytes) at start, 3 pages (196608 bytes) at most",
        "Imports that inn does not have",
        "  env a\\u{1b}[2Jb: is not there\n",
        "  wasi_unstable sock_accept: is not there\n",
        "  wasi_unstable fd_close: is there, with another type\n",
        "--listen ADDRESS:PORT              connections to accept (sock_send)",
    ]);
}

#[test]
fn validate_says_one_line() {
    let ran = inn(&["validate", "{hello-as}"]).run();
    ran.code(0).stderr("");
    assert!(ran.stdout.ends_with("hello-as.wasm: valid\n") && ran.stdout.lines().count() == 1, "{ran:#?}");
    let text = "(module (func (result i32) (i64.const 1)))";
    inn(&["validate", "-"]).stdin(text).run().code(1).stdout("").says(&["type mismatch", "(at offset 0x"]);
}

#[test]
fn completion_is_there_for_every_usual_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        inn(&["completion", shell]).run().code(0).stderr("").prints(&["inn", "inspect", "explain"]);
    }
}

#[test]
fn version_and_help() {
    inn(&["--version"]).run().code(0).stdout(concat!("inn ", env!("CARGO_PKG_VERSION"), "\n"));
    inn(&["--help"]).run().code(0).prints(&[
        "Usage: inn [run] [FLAGS] FILE [ARGS]...",
        "inspect",
        "--dir",
        "Examples:",
        "Exit codes:",
    ]);
    inn(&["run", "--help"]).run().code(0).prints(&[
        "Usage: inn run [FLAGS] FILE [ARGS]...",
        "--invoke",
        "Examples:",
    ]);
}

#[test]
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn exploring_shows_functions_in_three_forms_hot_ones_first() {
    let dir = scratch();
    let text = r#"(module
        (func $large (param i32) (result i32) (i32.add (i32.mul (local.get 0) (i32.const 3)) (i32.const 4)))
        (func $hot (export "<b>") (param i32) (result i32) (i32.popcnt (local.get 0))))"#;
    std::fs::write(dir.path().join("m.wat"), text).unwrap();
    std::fs::write(dir.path().join("m.folded"), "large;hot 7\nlarge 3\n").unwrap();
    let page = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    inn(&["explore", "m.wat"]).current_dir(&dir).run().code(0).prints(&["m.html: 2 of 2 functions"]);
    let largest_first = page("m.html");
    assert!(largest_first.find("<b>large</b>").unwrap() < largest_first.find("<b>hot</b>").unwrap());
    inn(&["explore", "--profile", "m.folded", "--functions", "1", "--to", "hot.html", "m.wat"])
        .current_dir(&dir)
        .run()
        .code(0);
    let hottest = page("hot.html");
    for part in ["<b>hot</b> 100.0 %", "i32.popcnt", "= popcnt", "popcntl", "1 of 2 functions"] {
        assert!(hottest.contains(part), "{part} is not in {hottest}");
    }
    assert!(!hottest.contains("large"));
    inn(&["explore", "--profile", "nowhere", "m.wat"]).current_dir(&dir).run().code(1).says(&["--profile"]);
}
